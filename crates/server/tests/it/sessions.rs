//! Sessions that outlive their connection, on one node and across nodes.

use std::time::Duration;

use crate::client::{Level, Packet, prop};
use crate::node::{Node, cluster, until};

#[test]
fn a_kept_session_gets_what_came_meanwhile_in_order() {
    let mut node = Node::new();
    node.start();
    for level in [Level::V31, Level::V311, Level::V5] {
        let connect = || {
            let c = node.connect("kept").level(level);
            if level == Level::V5 { c.expiry(600) } else { c.keep() }
        };
        let mut client = connect().open();
        assert!(!client.present);
        client.subscribe("t", 2);
        client.close();
        let mut publisher = node.client("publisher");
        for i in 0..5 {
            publisher.publish("t", &i.to_string(), 1 + i % 2);
        }
        let mut client = connect().open();
        if level != Level::V31 {
            assert!(client.present);
        }
        for i in 0..5 {
            let got = client.message();
            assert_eq!((got.text(), got.qos), (i.to_string(), 1 + i % 2));
        }
        client.close();
        node.connect("kept").level(level).open().close();
    }
}

/// [MQTT-4.1.0-2]
#[test]
fn a_session_ends_with_its_expiry() {
    let mut node = Node::new();
    node.start();
    let mut client = node.connect("short").expiry(1).open();
    client.subscribe("t", 1);
    drop(client);
    until("the session has ended", || node.ctl(&["subscriptions", "show", "short"]).code == 1);
    assert!(!node.connect("short").expiry(1).open().present);
}

#[test]
fn the_second_connection_of_a_client_id_takes_over() {
    let nodes = cluster(2);
    // On the same node, and on another one; 5.0 is told, 3.1.1 is cut.
    for (first, second) in [(0, 0), (0, 1), (1, 0)] {
        for (level, code) in [(Level::V5, Some(0x8e)), (Level::V311, None)] {
            let mut old = nodes[first].connect("one").level(level).open();
            let mut new = nodes[second].connect("one").level(level).open();
            assert_eq!(old.ended(), code, "{level:?} {first} -> {second}");
            new.ping();
            new.close();
        }
    }
}

#[test]
fn a_take_over_across_nodes_brings_the_queue_in_order() {
    let nodes = cluster(2);
    let mut client = nodes[0].connect("roamer").expiry(600).open();
    client.subscribe("t/#", 2);
    client.close();
    nodes[1].routes("t/#", &nodes[0]);
    let mut publisher = nodes[1].client("publisher");
    for i in 0..20 {
        publisher.publish("t/1", &i.to_string(), 1 + i % 2);
    }
    let mut client = nodes[1].connect("roamer").expiry(600).open();
    assert!(client.present);
    for i in 0..20 {
        assert_eq!(client.message().text(), i.to_string());
    }
    // The routes moved with it.
    nodes[0].routes("t/#", &nodes[1]);
    until("the old route is gone", || {
        !nodes[0].ctl(&["routes", "list"]).out.contains(&format!("t/# -> {}", nodes[0].name))
    });
    publisher.publish("t/2", "after", 1);
    assert_eq!(client.message().line(), "t/2 after");
    nodes[0].client("another").publish("t/3", "from the old node", 1);
    assert_eq!(client.message().line(), "t/3 from the old node");
}

#[test]
fn a_take_over_across_nodes_brings_what_was_in_flight() {
    let nodes = cluster(2);
    let mut client = nodes[0].connect("roamer").expiry(600).prop(prop::RECEIVE_MAX, prop::u16(3)).open();
    client.acknowledge_by_hand();
    client.subscribe("t", 2);
    let mut publisher = nodes[0].client("publisher");
    for i in 0..6 {
        publisher.publish("t", &i.to_string(), 2);
    }
    // Three are in flight: the first is half-way (PUBREC sent), the others unanswered.
    let ids: Vec<u16> = (0..3)
        .map(|i| {
            let got = client.message();
            assert_eq!(got.text(), i.to_string());
            got.id
        })
        .collect();
    client.ack(0x50, ids[0]);
    match client.packet() {
        Packet::Pubrel { id, .. } => assert_eq!(id, ids[0]),
        other => panic!("{other:?} instead of PUBREL"),
    }
    let mut client2 = nodes[1].connect("roamer").expiry(600).open();
    assert_eq!(client.ended(), Some(0x8e));
    assert!(client2.present);
    // 4.4: what was unanswered comes again with the same packet id, then the rest; PUBREL is repeated. [MQTT-4.4.0-1]
    let (mut seen, mut released) = (vec![], vec![]);
    while seen.len() < 5 || released.is_empty() {
        match client2.packet() {
            Packet::Publish(p) => seen.push((p.text(), p.dup, p.id)),
            Packet::Pubrel { id, .. } if id == ids[0] => released.push(id),
            Packet::Pubrel { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let texts: Vec<&str> = seen.iter().map(|(t, _, _)| t.as_str()).collect();
    assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    assert_eq!((seen[0].1, seen[0].2), (true, ids[1]));
    assert_eq!((seen[1].1, seen[1].2), (true, ids[2]));
    assert!(!seen[2].1, "what was only queued is no duplicate");
}

#[test]
fn an_exchange_of_qos_2_goes_on_after_the_publisher_moved() {
    let nodes = cluster(2);
    let mut listener = nodes[0].client("listener");
    listener.subscribe("t", 2);
    nodes[1].routes("t", &nodes[0]);
    let mut publisher = nodes[0].connect("mover").expiry(600).open();
    let id = publisher.send_publish("t", b"once", 2, false, vec![]);
    assert!(matches!(publisher.packet(), Packet::Pubrec { id: i, .. } if i == id));
    drop(publisher);
    let mut publisher = nodes[1].connect("mover").expiry(600).open();
    assert!(publisher.present);
    // The same id again is the same message: it is answered, not delivered.
    let mut again = vec![0x3c, 10, 0, 1, b't'];
    again.extend(id.to_be_bytes());
    again.push(0);
    again.extend(b"once");
    publisher.send_raw(&again);
    assert!(matches!(publisher.packet(), Packet::Pubrec { id: i, .. } if i == id));
    publisher.ack(0x62, id);
    assert!(matches!(publisher.packet(), Packet::Pubcomp { id: i, .. } if i == id));
    publisher.send_publish("t", b"end", 0, false, vec![]);
    assert_eq!(listener.lines_until("end"), ["t once"]);
}

#[test]
fn a_clean_start_elsewhere_ends_the_session_here() {
    let nodes = cluster(2);
    let mut client = nodes[0].connect("one").expiry(600).open();
    client.subscribe("t", 1);
    nodes[1].routes("t", &nodes[0]);
    let mut fresh = nodes[1].client("one");
    assert!(!fresh.present);
    assert_eq!(client.ended(), Some(0x8e));
    nodes[1].routes_nowhere("t");
    until("the old node has no such client", || nodes[0].ctl(&["clients", "show", "one"]).code == 1);
    fresh.ping();
}

#[test]
fn the_session_of_a_dead_node_is_not_present_elsewhere() {
    let mut nodes = cluster(2);
    let mut client = nodes[0].connect("orphan").expiry(600).open();
    client.subscribe("t", 1);
    nodes[1].routes("t", &nodes[0]);
    nodes[0].kill();
    nodes[1].routes_nowhere("t");
    let client = nodes[1].connect("orphan").expiry(600).open();
    assert!(!client.present);
    client.close();
}

#[test]
fn a_window_holds_back_what_it_has_no_room_for() {
    let mut node = Node::new();
    node.start();
    let mut client = node.connect("narrow").prop(prop::RECEIVE_MAX, prop::u16(2)).open();
    client.acknowledge_by_hand();
    client.subscribe("t", 1);
    let mut publisher = node.client("publisher");
    for i in 0..5 {
        publisher.publish("t", &i.to_string(), 1);
    }
    let (one, two) = (client.message(), client.message());
    assert_eq!((one.text(), two.text()), ("0".into(), "1".into()));
    assert_eq!(client.message_within(Duration::from_millis(100)), None);
    client.ack(0x40, one.id);
    assert_eq!(client.message().text(), "2");
    client.ack(0x40, two.id);
    assert_eq!(client.message().text(), "3");
}

#[test]
fn a_message_that_expired_in_the_queue_is_not_delivered() {
    let mut node = Node::new();
    node.start();
    let mut client = node.connect("late").expiry(600).open();
    client.subscribe("t", 1);
    client.close();
    let mut publisher = node.client("publisher");
    publisher.publish_with("t", "stale", 1, false, vec![(prop::MESSAGE_EXPIRY, prop::u32(1))]);
    publisher.publish_with("t", "fresh", 1, false, vec![(prop::MESSAGE_EXPIRY, prop::u32(600))]);
    // Time itself is what is tested here: the expiry is in whole seconds.
    std::thread::sleep(Duration::from_millis(2100));
    let mut client = node.connect("late").expiry(600).open();
    let got = client.message();
    assert_eq!(got.text(), "fresh");
    let left = got.prop(prop::MESSAGE_EXPIRY).map(|v| u32::from_be_bytes(v.try_into().unwrap()));
    assert!(matches!(left, Some(590..=599)), "{left:?}");
}

#[test]
fn an_empty_client_id_gets_one_from_the_server() {
    let mut node = Node::new();
    node.start();
    let client = node.connect("").open();
    assert!(client.connack.iter().any(|(id, v)| *id == 0x12 && v.len() > 2), "{:?}", client.connack);
    let mut old = node.connect("").level(Level::V311).open();
    old.ping();
    let (_, answer) = node.connect("").level(Level::V311).keep().answer();
    assert!(matches!(answer, Packet::Connack { code: 2, .. }), "{answer:?}");
}
