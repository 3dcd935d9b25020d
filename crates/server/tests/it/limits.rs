//! Every limit of a zone, crossed by one step: `zone.NAME.*`, `mqtt.*` and the rates of a listener.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, Connect, Level, Packet, prop};
use crate::node::{Node, until};
use crate::wire::{V5, V311, Wire};

/// One node whose listeners have a zone each: the limits named by their zone.
struct Zones(Node);

impl Zones {
    fn start() -> Zones {
        let mut node = Node::new();
        let names = ["tight", "loose", "paced", "mounted"];
        for (i, name) in names.iter().enumerate() {
            node.set(&format!("listener.tcp.{name}"), &format!("127.0.0.1:{}", node.port(6 + i as u16)));
            node.set(&format!("listener.tcp.{name}.zone"), name);
        }
        let lines = [
            ("tight.max_packet_size", "2KB"),
            ("tight.max_clientid_len", "12"),
            ("tight.max_topic_levels", "3"),
            ("tight.max_qos_allowed", "1"),
            ("tight.max_topic_alias", "2"),
            ("tight.retain_available", "false"),
            ("tight.wildcard_subscription", "false"),
            ("tight.shared_subscription", "false"),
            ("tight.server_keepalive", "30"),
            ("tight.max_subscriptions", "2"),
            ("tight.idle_timeout", "1s"),
            ("loose.upgrade_qos", "on"),
            ("loose.ignore_loop_deliver", "true"),
            ("loose.response_information", "answers/here"),
            ("loose.strict_mode", "true"),
            ("loose.max_inflight", "2"),
            ("loose.max_mqueue_len", "3"),
            ("loose.mqueue_store_qos0", "false"),
            ("loose.mqueue_priorities", "p/high=9,p/low=1"),
            ("loose.max_awaiting_rel", "2"),
            ("loose.await_rel_timeout", "1s"),
            ("loose.session_expiry_interval", "1s"),
            ("loose.keepalive_backoff", "0.6"),
            ("paced.quota.conn_messages_routing", "2,1m"),
            ("paced.rate_limit.conn_messages_in", "5,1s"),
            ("paced.max_mqueue_len", "0"),
            ("paced.force_shutdown_policy", "4|1MB"),
            ("mounted.mountpoint", "of/%u/%c/"),
            ("mounted.use_username_as_clientid", "false"),
        ];
        for (key, value) in lines {
            node.set(&format!("zone.{key}"), value);
        }
        node.start();
        Zones(node)
    }

    fn at(&self, zone: &str) -> SocketAddr {
        let port = match zone {
            "tight" => 6,
            "loose" => 7,
            "paced" => 8,
            "mounted" => 9,
            _ => 0,
        };
        SocketAddr::from(([127, 0, 0, 1], self.0.port(port)))
    }

    /// Waits until the node says this of a client: what was accepted from a publisher may be on its way to it.
    fn shows(&self, id: &str, words: &str) {
        until(&format!("{id} has {words}"), || self.0.ctl(&["clients", "show", id]).out.contains(words));
    }

    fn client(&self, zone: &str, id: &str) -> Client {
        Connect::new(self.at(zone), id).open()
    }
}

/// A limit that is crossed.
type Crossing = fn(&Zones);

#[test]
fn every_limit_of_a_zone_holds() {
    let zones = Zones::start();
    let all: [(&str, Crossing); 15] = [
        ("availability", what_is_not_available_is_said_and_refused),
        ("size", a_packet_that_is_too_large_ends_the_connection),
        ("client id", a_client_id_may_have_so_many_bytes),
        ("subscriptions", a_client_has_so_many_subscriptions),
        ("idle", a_connection_without_connect_ends),
        ("upgrade", the_greater_qos_counts_where_the_zone_says_so),
        ("strict", strict_zones_refuse_control_characters),
        ("window", so_many_messages_are_on_their_way),
        ("queue", the_queue_keeps_the_newest_and_no_qos_0),
        ("priorities", some_topics_go_first),
        ("await-rel", so_many_qos_2_messages_wait_for_their_release),
        ("expiry", a_session_of_3_1_1_ends_after_the_zones_time),
        ("keep-alive", a_silent_client_ends_after_the_zones_patience),
        ("rates", a_fast_publisher_is_slowed_and_a_quota_refuses),
        ("mountpoint", a_mountpoint_is_not_seen_by_its_clients),
    ];
    for (name, test) in all {
        let from = Instant::now();
        test(&zones);
        eprintln!("{name}: {:?}", from.elapsed());
    }
    overfull_clients_are_ended(&zones);
    a_listeners_rate_counts_bytes();
}

/// [MQTT-3.1.4-2] [MQTT-3.2.2-10], [MQTT-3.8.3-2] (3.1.1) [MQTT-3.9.3-2] (3.1.1)
fn what_is_not_available_is_said_and_refused(zones: &Zones) {
    let at = zones.at("tight");
    let mut wire = Wire::greet(at, V5, "avail", "");
    // Maximum QoS 1, no retain, 2,048 bytes, 2 aliases, no wildcards, no shared ones, keep-alive 30.
    wire.gets("20 * 00 00 {24 01 25 00 27 00000800 22 0002 28 00 2a 00 13 001e}");
    wire.send("34 * 'a' 0001 {} \"x\"").gets("e0 01 9b").ends();
    for (id, packet, answer) in [
        ("retain", "31 * 'a' {} \"x\"", "e0 01 9a"),
        ("alias", "30 * 'a' {23 0003} \"x\"", "e0 01 94"),
        ("levels", "32 * 'a/b/c/d' 0001 {} \"x\"", "e0 01 90"),
        ("wildcard", "82 * 0001 {} 'a/+' 00", "90 * 0001 {} a2"),
        ("shared", "82 * 0001 {} '$share/g/a' 00", "90 * 0001 {} 9e"),
        ("filter", "82 * 0001 {} 'a/b/c/d' 00", "90 * 0001 {} 8f"),
        // A subscription may have the QoS that a publisher may have.
        ("granted", "82 * 0001 {} 'a/b/c' 02", "90 * 0001 {} 01"),
    ] {
        Wire::v5(at, id).send(packet).gets(answer);
    }
    // 3.1.1 has a code for none of these.
    Wire::v3(at, "wildcard").send("82 * 0001 'a/+' 00").gets("90 03 0001 80");
    Wire::v3(at, "qos 2").send("34 * 'a' 0001 \"x\"").ends();
    // A will is a message as any other.
    let will = |flags: &str, topic: &str| {
        let connect = format!("10 * 'MQTT' 05 {flags} 003c {{}}");
        Wire::greet(at, &connect, "will", &format!("{{}} '{topic}' 'bye'"))
    };
    will("16", "w").gets("20 * 00 9b {}").ends();
    will("26", "w").gets("20 * 00 9a {}").ends();
    will("06", "w/x/y/z").gets("20 * 00 90 {}").ends();
}

fn a_packet_that_is_too_large_ends_the_connection(zones: &Zones) {
    let at = zones.at("tight");
    let payload = "61".repeat(2048 - 3 - 3 - 1);
    let mut wire = Wire::v5(at, "size");
    wire.send(&format!("30 * 't' {{}} {payload}")).alive();
    wire.send(&format!("30 * 't' {{}} {payload} 61")).gets("e0 01 95").ends();
    Wire::v3(at, "size 3").send(&format!("30 * 't' {payload} 6161")).ends();
    // What a client takes is kept too: what is larger is not sent.
    let mut small = Wire::greet(at, "10 * 'MQTT' 05 02 003c {27 00000020}", "small", "");
    small.packet();
    small.send("82 * 0001 {} 's' 00").gets("90 * 0001 {} 00");
    let mut publisher = Wire::v5(at, "p");
    publisher.send(&format!("30 * 's' {{}} {}", "62".repeat(40)));
    publisher.send("30 * 's' {} \"fits\"");
    small.gets("30 * 's' {} \"fits\"");
}

/// [MQTT-3.1.3-8] [MQTT-3.1.4-2], [MQTT-3.1.3-9] (3.1.1)
fn a_client_id_may_have_so_many_bytes(zones: &Zones) {
    Wire::v3(zones.at("tight"), "123456789012").bye();
    Wire::greet(zones.at("tight"), V311, "1234567890123", "").gets("20 02 00 02").ends();
    Wire::greet(zones.at("tight"), V5, "1234567890123", "").gets("20 * 00 85 {}").ends();
}

fn a_client_has_so_many_subscriptions(zones: &Zones) {
    let mut wire = Wire::v5(zones.at("tight"), "subs");
    wire.send("82 * 0001 {} 'a' 00 'b' 00 'c' 00").gets("90 * 0001 {} 00 00 97");
    // One that is there already may be changed.
    wire.send("82 * 0002 {} 'a' 01").gets("90 * 0002 {} 01");
    wire.send("a2 * 0003 {} 'b'").gets("b0 * 0003 {} 00");
    wire.send("82 * 0004 {} 'c' 00").gets("90 * 0004 {} 00");
}

fn a_connection_without_connect_ends(zones: &Zones) {
    let from = Instant::now();
    let mut silent = Wire::bare(zones.at("tight"));
    let mut half = Wire::bare(zones.at("tight"));
    half.send("10 0f 00 04");
    silent.ends();
    half.ends();
    assert!(from.elapsed() >= Duration::from_millis(900) && from.elapsed() < Duration::from_secs(4));
}

fn the_greater_qos_counts_where_the_zone_says_so(zones: &Zones) {
    let mut subscriber = zones.client("loose", "upgrade");
    subscriber.subscribe("u", 1);
    zones.client("", "p").publish("u", "low", 0);
    assert_eq!(subscriber.message().qos, 1);
    // Its clients of 3.1.1 do not get what they publish themselves, and those who ask are told where
    // answers are to go.
    let mut echo = Connect::new(zones.at("loose"), "echo").level(Level::V311).open();
    echo.subscribe("e", 1);
    echo.publish("e", "own", 1);
    zones.client("", "p").publish("e", "other", 1);
    assert_eq!(echo.message().text(), "other");
    let asked = Connect::new(zones.at("loose"), "asks").prop(0x19, vec![1]).open();
    let told = asked.connack.iter().find(|(id, _)| *id == 0x1a).map(|(_, v)| v.clone());
    assert_eq!(told, Some(prop::text("answers/here")));
}

fn strict_zones_refuse_control_characters(zones: &Zones) {
    Wire::v5(zones.at("loose"), "s1").send("30 * 0002 6101 {} \"x\"").gets("e0 01 81").ends();
    Wire::v5(zones.at(""), "s2").send("30 * 0002 6101 {} \"x\"").alive();
    Wire::bare(zones.at("loose")).send("10 * 'MQTT' 05 02 003c {} 0002 6101").gets("20 * 00 85 {}").ends();
}

fn so_many_messages_are_on_their_way(zones: &Zones) {
    let mut subscriber = Wire::v5(zones.at("loose"), "window");
    subscriber.send("82 * 0001 {} 'i' 01").gets("90 * 0001 {} 01");
    let mut publisher = zones.client("", "p");
    for n in 1..=4 {
        publisher.publish("i", &n.to_string(), 1);
    }
    subscriber.gets("32 * 'i' 0001 {} \"1\" | 32 * 'i' 0002 {} \"2\"").silent();
    subscriber.send("40 * 0002").gets("32 * 'i' 0003 {} \"3\"").silent();
    subscriber.send("40 * 0001 | 40 * 0003").gets("32 * 'i' 0004 {} \"4\"");
}

fn the_queue_keeps_the_newest_and_no_qos_0(zones: &Zones) {
    let connect = || Connect::new(zones.at("loose"), "queue").expiry(60);
    let mut away = connect().open();
    away.subscribe("q", 1);
    away.close();
    let mut publisher = zones.client("", "p");
    publisher.publish("q", "none", 0);
    for n in 0..6 {
        publisher.publish("q", &n.to_string(), 1);
    }
    zones.shows("queue", "dropped_msgs=4,");
    let mut back = connect().open();
    let got: Vec<String> = (0..3).map(|_| back.message().text()).collect();
    assert_eq!(
        (got, back.message_within(Duration::from_millis(50))),
        (vec!["3".into(), "4".into(), "5".into()], None)
    );
}

fn some_topics_go_first(zones: &Zones) {
    let connect = || Connect::new(zones.at("loose"), "ranked").expiry(60);
    let mut away = connect().open();
    away.subscribe("p/+", 1);
    away.close();
    let mut publisher = zones.client("", "p");
    for topic in ["p/other", "p/low", "p/high", "p/low", "p/high"] {
        publisher.publish(topic, "", 1);
    }
    zones.shows("ranked", "enqueued_msgs=5,");
    let mut back = connect().open();
    let got: Vec<String> = (0..5).map(|_| back.message().topic).collect();
    assert_eq!(got, ["p/high", "p/high", "p/low", "p/low", "p/other"]);
}

fn so_many_qos_2_messages_wait_for_their_release(zones: &Zones) {
    let at = zones.at("loose");
    let mut wire = Wire::greet(at, V5, "rel", "");
    // Receive Maximum 2 is announced, and kept.
    wire.gets("20 * 00 00 {21 0002 27 00100000 22 ffff}");
    for id in 1..=2 {
        wire.send(&format!("34 * 'r' 000{id} {{}}")).gets(&format!("50 * 000{id}"));
    }
    wire.send("34 * 'r' 0003 {}").gets("e0 01 93").ends();
    // What waits too long is given up, and makes room.
    let mut wire = Wire::v5(at, "rel 2");
    wire.send("34 * 'r' 0001 {} | 34 * 'r' 0002 {}").gets("50 * 0001 | 50 * 0002");
    zones.shows("rel 2", "awaiting_rel=2,");
    zones.shows("rel 2", "awaiting_rel=0,");
    wire.send("34 * 'r' 0003 {}").gets("50 * 0003").send("62 * 0001").gets("70 * 0001 92");
}

fn a_session_of_3_1_1_ends_after_the_zones_time(zones: &Zones) {
    let connect = || Connect::new(zones.at("loose"), "short").level(Level::V311).keep();
    connect().open().close();
    assert!(connect().open().present);
    until("the session has ended", || zones.0.ctl(&["clients", "show", "short"]).out.contains("Not Found"));
    assert!(!connect().open().present);
}

fn a_silent_client_ends_after_the_zones_patience(zones: &Zones) {
    let from = Instant::now();
    let mut client = Connect::new(zones.at("loose"), "silent").keep_alive(1).open();
    assert_eq!(client.ended(), Some(0x8d));
    // 1 s × 2 × 0.6
    assert!(from.elapsed() >= Duration::from_millis(1150) && from.elapsed() < Duration::from_secs(3));
    // The server's keep-alive of `tight` counts for 5.0 alone, and is what is told.
    let told = zones.client("tight", "told").connack;
    assert!(told.contains(&(0x13, vec![0, 30])), "{told:?}");
}

fn a_fast_publisher_is_slowed_and_a_quota_refuses(zones: &Zones) {
    let mut wire = Wire::v5(zones.at("paced"), "quota");
    wire.send("32 * 'no' 0001 {} | 32 * 'no' 0002 {} | 32 * 'no' 0003 {}");
    wire.gets("40 * 0001 10 | 40 * 0002 10 | 40 * 0003 97");
    wire.send("34 * 'no' 0004 {}").gets("50 * 0004 97");
    // The fifth message is the last of this second.
    let from = Instant::now();
    for id in 5..=8 {
        wire.send(&format!("32 * 'no' 000{id} {{}}"));
    }
    for id in 5..=8 {
        wire.gets(&format!("40 * 000{id} 97"));
    }
    assert!(from.elapsed() >= Duration::from_millis(300), "{:?}", from.elapsed());
    // Another connection has a quota of its own.
    Wire::v5(zones.at("paced"), "quota 2").send("32 * 'no' 0001 {}").gets("40 * 0001 10");
}

fn a_mountpoint_is_not_seen_by_its_clients(zones: &Zones) {
    let at = zones.at("mounted");
    let hello = |id: &str, user: &str| {
        let mut wire = Wire::greet(at, "10 * 'MQTT' 05 82 003c {}", id, &format!("'{user}'"));
        assert_eq!(wire.packet()[3], 0, "{id}");
        wire
    };
    let mut outside = zones.client("", "outside");
    outside.subscribe("of/#", 1);
    let mut inside = hello("c", "ann");
    inside.send("82 * 0001 {} 'in/+' 01").gets("90 * 0001 {} 01");
    inside.send("32 * 'in/1' 0001 {} \"x\"").gets("40 * 0001 | 32 * 'in/1' 0001 {} \"x\"");
    assert_eq!(outside.message().topic, "of/ann/c/in/1");
    outside.publish("of/ann/c/in/2", "y", 1);
    inside.gets("32 * 'in/2' 0002 {} \"y\"");
    // Who is called like a wildcard does not get more for it.
    Wire::greet(at, "10 * 'MQTT' 05 82 003c {}", "+", "'ann'").gets("20 * 00 85 {}").ends();
    Wire::greet(at, "10 * 'MQTT' 05 82 003c {}", "c", "'#'").gets("20 * 00 86 {}").ends();
}

fn overfull_clients_are_ended(zones: &Zones) {
    let connect = || Connect::new(zones.at("paced"), "full").expiry(600);
    let mut away = connect().open();
    away.subscribe("full", 1);
    away.close();
    let mut publisher = zones.client("", "p");
    for n in 0..4 {
        publisher.publish("full", &n.to_string(), 1);
    }
    assert!(zones.0.ctl(&["clients", "show", "full"]).out.contains("full"));
    publisher.publish("full", "one too many", 1);
    until("the session has ended", || zones.0.ctl(&["clients", "show", "full"]).out.contains("Not Found"));
    // By bytes, while it is connected and does not acknowledge.
    let mut slow = Connect::new(zones.at("paced"), "slow").prop(prop::RECEIVE_MAX, prop::u16(1)).open();
    slow.acknowledge_by_hand();
    slow.subscribe("slow", 1);
    for _ in 0..3 {
        publisher.publish("slow", &"x".repeat(600_000), 1);
    }
    loop {
        match slow.packet() {
            Packet::Publish(_) => {}
            Packet::Disconnect { code, .. } => break assert_eq!(code, 0x97),
            other => panic!("{other:?}"),
        }
    }
}

fn a_listeners_rate_counts_bytes() {
    let mut node = Node::new();
    node.set("listener.tcp.external.rate_limit", "10KB,1s");
    node.set("listener.tcp.internal.max_conn_rate", "5");
    node.set("zone.external.quota.overall_messages_routing", "3,1m");
    node.start();
    let mut wire = Wire::v3(node.mqtt(), "bytes");
    let from = Instant::now();
    let packet = format!("30 * 't' {}", "61".repeat(5000));
    for _ in 0..4 {
        wire.send(&packet);
    }
    wire.alive();
    assert!(from.elapsed() >= Duration::from_millis(700), "{:?}", from.elapsed());
    // Eleven connections that end at once, where five a second may come: all are let in, in time.
    let from = Instant::now();
    let internal = SocketAddr::from(([127, 0, 0, 1], node.port(1)));
    for n in 0..11 {
        Wire::v3(internal, &format!("rate {n}")).bye();
    }
    assert!(from.elapsed() >= Duration::from_secs(1) && from.elapsed() < Duration::from_secs(5));
    // Four were passed on, or would have been: the quota of the whole zone is gone, for everybody.
    Wire::v5(node.mqtt(), "other").send("32 * 't' 0001 {}").gets("40 * 0001 97");
}

#[test]
fn whoever_connects_from_an_address_that_is_denied_is_closed() {
    let mut node = Node::new();
    node.set("listener.tcp.external.access.1", "allow 10.0.0.0/8");
    node.set("listener.tcp.external.access.2", "deny 127.0.0.0/8");
    node.set("listener.ws.external.access.1", "allow 127.0.0.1");
    node.set("listener.ws.external.access.2", "deny all");
    node.start();
    Wire::bare(node.mqtt()).send("10 * 'MQTT' 04 02 003c 'c'").ends();
    let at = SocketAddr::from(([127, 0, 0, 1], node.port(3)));
    Wire::on(crate::carriers::Web::upgrade(std::net::TcpStream::connect(at).unwrap())).login("c");
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_closed() {
    let mut node = Node::new();
    for listener in ["tcp.external", "tcp.internal"] {
        node.set(&format!("listener.{listener}.send_timeout"), "1s");
        node.set(&format!("listener.{listener}.sndbuf"), "64KB");
        node.set(&format!("listener.{listener}.max_conn_rate"), "1000");
    }
    node.set("listener.tcp.internal.send_timeout_close", "off");
    node.start();
    let inside = SocketAddr::from(([127, 0, 0, 1], node.port(1)));
    let [mut deaf, mut kept] = [("deaf", node.mqtt()), ("kept", inside)].map(|(id, at)| {
        let mut wire = Wire::v3(at, id);
        wire.send("82 * 0001 't' 00").gets("90 03 0001 00");
        wire
    });
    let mut writer = Wire::v3(node.mqtt(), "writer");
    let payload = "x".repeat(60_000);
    let from = Instant::now();
    until("the deaf one is closed", || {
        writer.send(&format!("30 * 't' \"{payload}\"")).alive();
        node.ctl(&["listeners"]).ok().contains("{send_timeout,1}")
    });
    assert!(from.elapsed() >= Duration::from_secs(1));
    // What the kernel had taken comes, and then the end.
    while !deaf.packet().is_empty() {}
    // Whoever reads on is not ended, however much there is; nor is anybody where the listener says so.
    assert!(kept.packet().len() > 60_000);
    assert!(node.ctl(&["clients", "list"]).ok().contains("Client(kept,"));
    writer.alive();
}
