//! Retained messages: readable on every node, on disk on every node.

use crate::client::Client;
use crate::node::{Node, cluster, until};

/// What a new subscriber of `filter` gets at once, sorted.
fn read(node: &Node, filter: &str, expected: usize) -> Vec<String> {
    let mut client = node.client("retained-reader");
    client.subscribe(filter, 1);
    let mut lines: Vec<String> = (0..expected)
        .map(|_| {
            let got = client.message();
            assert!(got.retain);
            got.line()
        })
        .collect();
    client.publish("retained-fence", "end", 1);
    lines.sort();
    client.close();
    lines
}

fn all_have(nodes: &[Node], want: &[&str]) {
    for node in nodes {
        until(&format!("{} has {want:?}, not {:?}", node.name, node.retained()), || node.retained() == want);
    }
}

#[test]
fn a_retained_message_is_read_and_deleted_anywhere() {
    let nodes = cluster(3);
    nodes[0].client("p0").retain("r/0", "zero");
    nodes[1].client("p1").retain("r/1", "one");
    all_have(&nodes, &["r/0", "r/1"]);
    for node in &nodes {
        assert_eq!(read(node, "r/#", 2), ["r/0 zero", "r/1 one"]);
    }
    nodes[2].client("p2").retain("r/0", "two");
    until("the newer one is everywhere", || nodes.iter().all(|n| read(n, "r/0", 1) == ["r/0 two"]));
    nodes[1].client("p1").retain("r/0", "");
    all_have(&nodes, &["r/1"]);
}

#[test]
fn more_than_a_connection_may_hold_back_comes_all_the_same() {
    let mut node = Node::new();
    node.start();
    let mut publisher = node.client("p");
    let payload = "x".repeat(20_000);
    // Three megabytes, where QoS 0 is dropped above one.
    for n in 0..150 {
        publisher.retain(&format!("big/{n}"), &payload);
    }
    for qos in [0, 1] {
        let mut reader = node.client("reader");
        reader.subscribe("big/#", qos);
        for _ in 0..150 {
            assert_eq!(reader.message().text().len(), payload.len());
        }
        reader.close();
    }
}

#[test]
fn a_subscriber_of_now_gets_it_without_the_retain_flag() {
    let nodes = cluster(2);
    let mut now = nodes[0].client("now");
    now.subscribe("r", 1);
    nodes[1].routes("r", &nodes[0]);
    nodes[1].client("p").retain("r", "x");
    let got = now.message();
    assert_eq!((got.line(), got.retain), ("r x".into(), false));
}

#[test]
fn retain_handling_decides_what_a_subscribe_brings() {
    let mut node = Node::new();
    node.start();
    let mut client = node.client("c");
    client.retain("r", "x");
    // 2: never; 1: only for a new subscription; 0: always.
    client.subscribe_code("r", 0x20, vec![]);
    client.subscribe_code("r", 0x10, vec![]);
    client.publish("r", "end", 0);
    assert_eq!(client.lines_until("end"), Vec::<String>::new());
    client.unsubscribe("r");
    client.subscribe_code("r", 0x10, vec![]);
    assert_eq!(client.message().text(), "x");
    client.subscribe_code("r", 0, vec![]);
    assert_eq!(client.message().text(), "x");
    // A shared subscription brings none.
    client.subscribe_code("$share/g/r", 0, vec![]);
    client.ping();
}

#[test]
fn kill_9_loses_no_retained_message_that_was_acknowledged() {
    let mut node = Node::new();
    node.start();
    let mut client = node.client("p");
    for i in 0..50 {
        client.retain(&format!("r/{i:02}"), &i.to_string());
    }
    node.kill();
    node.start();
    let want: Vec<String> = (0..50).map(|i| format!("r/{i:02} {i}")).collect();
    assert_eq!(read(&node, "r/#", 50), want);
}

#[test]
fn a_full_stop_of_the_cluster_loses_none_in_any_order() {
    let mut nodes = cluster(3);
    for (i, node) in nodes.iter().enumerate() {
        node.client("p").retain(&format!("r/{i}"), &i.to_string());
    }
    all_have(&nodes, &["r/0", "r/1", "r/2"]);
    for order in [[2, 0, 1], [1, 0, 2]] {
        for node in &mut nodes {
            node.kill();
        }
        for i in order {
            nodes[i].start();
            // Each has all of them on its own disk, before the others are there.
            assert_eq!(nodes[i].retained(), ["r/0", "r/1", "r/2"]);
        }
        let all: Vec<&Node> = nodes.iter().collect();
        nodes[0].sees(&all, &[]);
    }
}

#[test]
fn what_changed_while_a_member_was_away_is_there_when_it_returns() {
    let mut nodes = cluster(2);
    let mut client: Client = nodes[0].client("p");
    client.retain("r/old", "1");
    client.retain("r/gone", "1");
    all_have(&nodes, &["r/gone", "r/old"]);
    nodes[1].kill();
    client.retain("r/new", "1");
    client.retain("r/gone", "");
    nodes[1].start();
    all_have(&nodes, &["r/new", "r/old"]);
}
