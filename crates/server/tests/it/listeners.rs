//! Listeners that an operator stops, starts and restarts while clients are connected.

use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::carriers::Web;
use crate::client::Connect;
use crate::node::{Node, until};
use crate::wire::Wire;

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

#[test]
fn clients_connect_through_a_unix_socket_that_comes_and_goes_with_its_listener() {
    let mut node = Node::new();
    let (path, web) = (node.root.join("data/mqtt.sock"), node.root.join("data/web.sock"));
    node.set("listener.tcp.local", path.to_str().unwrap());
    node.set("listener.ws.local", web.to_str().unwrap());
    // A leftover of a node that was killed.
    drop(UnixListener::bind(&path).unwrap());
    node.start();
    let file = std::fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.mode() & 0o777, 0o660);

    let connect = || UnixStream::connect(&path).unwrap();
    let mut early = Wire::on(connect()).login("early");
    early.send("82 * 0001 't' 00").gets("90 03 0001 00");
    let mut over_web = Wire::on(Web::upgrade(UnixStream::connect(&web).unwrap())).login("over web");
    over_web.send("30 * 't' \"x\"");
    early.gets("30 * 't' \"x\"");
    assert!(node.ctl(&["clients", "show", "early"]).ok().contains("peername=127.0.0.1:0,"));
    // As many as come, whichever shard they come to.
    let mut many: Vec<Wire> = (0..40).map(|n| Wire::on(connect()).login(&format!("many-{n}"))).collect();
    for wire in &mut many {
        wire.alive();
    }

    let id = "mqtt:tcp:local";
    node.ctl(&["listeners", "restart", id]).ok();
    Wire::on(connect()).login("late").send("30 * 't' \"y\"");
    early.gets("30 * 't' \"y\"");
    node.ctl(&["listeners", "stop", id]).ok();
    assert!(!path.exists());
    early.alive();
    node.ctl(&["listeners", "start", id]).ok();
    Wire::on(connect()).login("last").bye();

    node.stop();
    assert!(!path.exists() && !web.exists(), "a clean stop leaves nothing");
}

#[test]
fn a_unix_socket_that_another_process_has_is_not_taken() {
    let mut node = Node::new();
    let path = node.root.join("data/mqtt.sock");
    node.set("listener.tcp.local", path.to_str().unwrap());
    let owner = UnixListener::bind(&path).unwrap();
    let said = node.emqx(&["foreground"]);
    said.has(&format!("{} is in use by another process", path.display()));
    assert_ne!(said.code, 0, "{said:?}");
    drop(owner);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "no socket").unwrap();
    node.emqx(&["foreground"]).has("is there and is no socket");
    assert_eq!(std::fs::read(&path).unwrap(), b"no socket");
    std::fs::remove_file(&path).unwrap();
    node.start();
    // Killed, it leaves its file, which does not keep it from starting again.
    node.kill();
    assert!(path.exists());
    node.start();
    until("it listens", || UnixStream::connect(&path).is_ok());
}
