//! The memory of a node as a whole: what it does as its limit comes near, and that the limit holds.

use std::time::Duration;

use crate::client::{Level, Packet, prop};
use crate::node::{Node, until};

const LIMIT: u64 = 96 << 20;
const SERVER_BUSY: u8 = 0x89;
const QUOTA_EXCEEDED: u8 = 0x97;

fn small(node: &Node) {
    node.set("node.max_memory", "96MB");
    node.set("zone.external.max_mqueue_len", "0");
}

/// Bytes in memory, as the kernel counts them, and the most there ever were.
fn resident(node: &Node) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("the node runs");
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("Linux says so");
        line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).expect("a number") * 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn counter(node: &Node, name: &str) -> u64 {
    node.json(&["broker", "metrics"])[name].as_u64().unwrap_or(0)
}

#[test]
fn as_the_limit_comes_near_less_and_less_is_taken() {
    let mut node = Node::new();
    small(&node);
    node.start();
    let stats = node.json(&["broker", "stats"]);
    assert_eq!(stats["memory.limit"], LIMIT);
    assert!(stats["memory.used"].as_u64().is_some_and(|used| used > 1 << 20));
    let mut good = node.client("good");
    good.subscribe("q0", 0);
    node.connect("away").expiry(3600).open().subscribe("big/#", 1);
    let mut old = node.connect("old").level(Level::V311).keep_alive(1).open();
    let mut new = node.client("new");
    // Nobody takes what is published: it is kept, until there is no room.
    let payload = "x".repeat(50_000);
    let mut refused = 0;
    for n in 0..4_000 {
        if n % 100 == 0 {
            old.ping();
        }
        match new.publish_with("big/1", &payload, 1, false, vec![]) {
            QUOTA_EXCEEDED => refused += 1,
            code => assert!(code < 0x80, "{code:#x}"),
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "a publish is refused before 200 MB are kept");
    assert!(counter(&node, "overload.refused") >= 3);
    // Those who are here are served, but for QoS 0; who comes is told to come later.
    good.ping();
    new.publish_with("q0", "x", 0, false, vec![]);
    until("QoS 0 is dropped", || counter(&node, "overload.qos0") >= 1);
    assert_eq!(good.subscribe_code("more", 1, vec![]), QUOTA_EXCEEDED);
    assert_eq!(node.connect("late").refused(), SERVER_BUSY);
    assert_eq!(node.connect("late").level(Level::V311).refused(), 3);
    assert!(counter(&node, "overload.connects") >= 2);
    // Before 5.0 there is no word for it: the packet waits, and so does what follows it.
    old.send_publish("big/2", b"waits", 1, false, vec![]);
    old.send_raw(&[0xc0, 0]);
    // Meanwhile its keep-alive, of which 1.5 s are left, rests: the PINGREQ has come and is not read.
    assert_eq!(old.packet_within(Duration::from_millis(2500)), None);
    assert!(counter(&node, "overload.paused") >= 1);
    assert!(resident(&node).1 <= LIMIT, "{} bytes", resident(&node).1);
    // With room there is all again.
    node.ctl(&["clients", "kick", "away"]).ok();
    assert!(matches!(old.packet_within(Duration::from_secs(10)), Some(Packet::Puback { .. })));
    assert_eq!(old.packet(), Packet::Pingresp);
    assert_eq!(old.ended(), None, "once it is read its silence counts");
    until("clients come in again", || {
        matches!(node.connect("late").answer().1, Packet::Connack { code: 0, .. })
    });
    until("all is delivered again", || {
        new.publish_with("q0", "y", 0, false, vec![]);
        good.message_within(Duration::from_millis(100)).is_some()
    });
}

#[test]
fn what_other_nodes_bring_ends_those_for_whom_most_is_kept() {
    let (mut free, mut short) = (Node::new(), Node::new());
    small(&short);
    free.start();
    short.start();
    short.join(&free);
    let (free, short) = (&free, &short);
    free.sees(&[free, short], &[]);
    short.connect("greedy").expiry(3600).open().subscribe("big/#", 1);
    short.connect("modest").expiry(3600).open().subscribe("small/#", 1);
    free.routes("big/#", short);
    free.routes("small/#", short);
    let mut publisher = free.client("p");
    publisher.publish("small/1", "kept", 1);
    let payload = "x".repeat(50_000);
    for _ in 0..3_000 {
        publisher.publish("big/1", &payload, 1);
        if counter(short, "overload.clients") > 0 {
            break;
        }
    }
    assert!(counter(short, "overload.clients") > 0, "150 MB do not end the client that they are kept for");
    assert!(short.ctl(&["clients", "show", "greedy"]).fails().contains("Not Found"));
    assert!(resident(short).1 <= LIMIT, "{} bytes", resident(short).1);
    until("there is room again", || {
        matches!(
            short.connect("modest").prop(prop::SESSION_EXPIRY, prop::u32(60)).keep().answer().1,
            Packet::Connack { present: true, code: 0, .. }
        )
    });
}
