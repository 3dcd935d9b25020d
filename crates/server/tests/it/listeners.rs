//! Listeners that an operator stops, starts and restarts while clients are connected.

use std::net::TcpStream;

use crate::client::Connect;
use crate::node::Node;

const ID: &str = "mqtt:tcp:external";

#[test]
fn a_listener_that_is_stopped_takes_nobody_and_its_clients_stay() {
    let mut node = Node::new();
    node.start();
    let at = node.mqtt();
    let mut early = node.client("early");
    early.subscribe("t", 1);

    let said = node.ctl(&["listeners", "stop", ID]);
    assert_eq!(said.ok(), format!("Stop {ID} listener on {at} successfully."));
    assert!(TcpStream::connect(at).is_err(), "the port is closed");
    // The other listeners and whoever came before are not touched.
    let inside = std::net::SocketAddr::from(([127, 0, 0, 1], node.port(1)));
    Connect::new(inside, "inside").open().publish("t", "still", 1);
    assert_eq!(early.message().text(), "still");
    let listed = node.ctl(&["listeners"]);
    let mine = listed.ok().split("mqtt:").find(|part| part.starts_with("tcp:external")).unwrap();
    assert!(mine.contains("current_conn    : 1\n") && mine.contains("running         : false"), "{mine}");
    let again = node.ctl(&["listeners", "stop", ID]);
    assert_eq!(again.fails(), format!("Failed to stop {ID} listener: it is stopped already"));

    let said = node.ctl(&["listeners", "start", ID]);
    assert_eq!(said.ok(), format!("Start {ID} listener on {at} successfully."));
    let mut late = node.client("late");
    late.publish("t", "again", 1);
    assert_eq!(early.message().text(), "again");
    assert!(!node.ctl(&["listeners"]).ok().contains("running "), "nothing is stopped");
    node.ctl(&["listeners", "start", ID]).fails();
}

#[test]
fn a_listener_that_is_restarted_keeps_its_clients_and_takes_new_ones() {
    let mut node = Node::new();
    node.start();
    let mut early = node.client("early");
    early.subscribe("t", 1);
    for round in 0..3 {
        let said = node.ctl(&["listeners", "restart", ID]);
        assert_eq!(said.ok(), format!("Restarted {ID} listener successfully."));
        node.client(&format!("late-{round}")).publish("t", &round.to_string(), 1);
        assert_eq!(early.message().text(), round.to_string());
    }
    // One that is stopped runs afterwards too.
    node.ctl(&["listeners", "stop", ID]).ok();
    node.ctl(&["listeners", "restart", ID]).ok();
    node.client("last").publish("t", "last", 1);
    assert_eq!(early.message().text(), "last");
}

#[test]
fn a_listener_that_cannot_be_opened_says_why_and_stays_stopped() {
    let mut node = Node::new();
    node.start();
    node.ctl(&["listeners", "stop", ID]).ok();
    let thief = std::net::TcpListener::bind(node.mqtt()).expect("the port is free now");
    let why = format!("port {} is in use", node.port(0));
    node.ctl(&["listeners", "start", ID]).has(&why).fails();
    node.ctl(&["listeners", "restart", ID]).has(&why).fails();
    assert!(node.ctl(&["listeners"]).ok().contains("running         : false"));
    drop(thief);
    node.ctl(&["listeners", "start", ID]).ok();
    node.client("c").ping();

    let said = node.ctl(&["listeners", "restart", "mqtt:tcp:none"]);
    assert_eq!(said.fails(), "No such listener mqtt:tcp:none");
    let document = node.json(&["listeners", "stop", ID]);
    assert_eq!(document["running"], false);
}
