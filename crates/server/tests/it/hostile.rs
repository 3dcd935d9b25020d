//! Bytes that no well-behaved client sends. Each ends with the right reason code or with the end of that
//! connection, another client sees nothing of it, and the node lives.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::node::Node;
use crate::wire::{V5, V311, Wire, bytes};

/// A good packet of every type that a client sends, in 3.1.1 and in 5.0.
const SAMPLES: [(&str, &str); 11] = [
    (
        "10 * 'MQTT' 04 ce 003c 'x' 'w' 'bye' 'ann' 'secret'",
        "10 * 'MQTT' 05 ce 003c {11 0000000a 26 'k' 'v'} 'x' {18 00000001} 'w' 'bye' 'ann' 'secret'",
    ),
    ("32 * 'a/b' 0001 \"x\"", "32 * 'a/b' 0001 {01 01 02 0000000a 23 0001 26 'k' 'v'} \"x\""),
    ("40 * 0001", "40 * 0001 00 {1f 'why'}"),
    ("50 * 0001", "50 * 0001 00 {1f 'why'}"),
    ("62 * 0001", "62 * 0001 00 {1f 'why'}"),
    ("70 * 0001", "70 * 0001 00 {1f 'why'}"),
    ("82 * 0001 'a/+' 01 'b' 00", "82 * 0001 {0b 05 26 'k' 'v'} 'a/+' 2d 'b' 00"),
    ("a2 * 0001 'a/+' 'b'", "a2 * 0001 {26 'k' 'v'} 'a/+' 'b'"),
    ("c0 *", "c0 *"),
    ("e0 *", "e0 * 04 {11 00000005 1f 'why'}"),
    ("f0 *", "f0 * 18 {15 'method' 16 'data'}"),
];

/// How a connection went on: `alive`, `close`, `connack:XX` or `disconnect:XX`.
fn outcome(wire: &mut Wire) -> String {
    wire.send("c0 *");
    let mut last = "close".to_owned();
    loop {
        let packet = wire.packet();
        match packet.first() {
            None => return last,
            Some(0xd0) => return "alive".into(),
            Some(0x20) => last = format!("connack:{:02x}", packet[3]),
            Some(0xe0) => last = format!("disconnect:{:02x}", packet.get(2).copied().unwrap_or(0)),
            Some(_) => {}
        }
    }
}

fn is_error(outcome: &str) -> bool {
    let code = outcome.split_once(':').map(|(_, code)| u8::from_str_radix(code, 16).unwrap());
    outcome == "close" || code.is_some_and(|code| code >= 0x80)
}

/// A node, and a good client that must not notice anything.
struct Scene {
    node: Node,
    witness: Client,
}

impl Scene {
    fn start() -> Scene {
        let mut node = Node::new();
        node.set("zone.internal.max_topic_levels", "0");
        node.set("listener.tcp.external.max_connections", "5000");
        // More than these tests need, as they must not wait.
        node.set("listener.tcp.external.max_conn_rate", "1000000");
        node.start();
        let mut witness = node.client("witness");
        witness.subscribe("witness/#", 1);
        Scene { node, witness }
    }

    fn unharmed(&mut self, after: &str) {
        let from = Instant::now();
        self.witness.publish("witness/t", after, 1);
        assert_eq!(self.witness.message().text(), after);
        assert!(from.elapsed() < Duration::from_secs(2), "{after}: {:?}", from.elapsed());
        assert!(self.node.runs(), "the node ended after {after}");
    }

    /// A connection that has said CONNECT.
    fn greeted(&self, v5: bool) -> Wire {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let id = format!("h{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        if v5 { Wire::v5(self.node.mqtt(), &id) } else { Wire::v3(self.node.mqtt(), &id) }
    }

    fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn hostile_bytes_end_their_own_connection_alone() {
    let mut scene = Scene::start();
    let cases: [(&str, Case); 9] = [
        ("cuts", every_packet_cut_at_every_byte),
        ("flags", every_type_with_every_flag),
        ("bytes", every_byte_replaced),
        ("table", a_table_of_mistakes),
        ("levels", as_many_levels_as_a_topic_can_have),
        ("properties", as_many_properties_as_there_is_room_for),
        ("aliases", more_aliases_than_anybody_needs),
        ("drip", a_connect_that_comes_in_drops),
        ("greetings", what_comes_before_the_login_takes_little_room),
    ];
    for (name, case) in cases {
        let from = Instant::now();
        case(&mut scene);
        scene.unharmed(name);
        eprintln!("{name}: {:?}", from.elapsed());
    }
}

type Case = fn(&mut Scene);

fn every_packet_cut_at_every_byte(scene: &mut Scene) {
    for (v3, v5) in SAMPLES {
        for (sample, is_v5) in [(v3, false), (v5, true)] {
            let whole = bytes(sample);
            for cut in 0..whole.len() {
                // As it is, and with a length that says that this is all.
                let mut short = whole[..cut].to_vec();
                if cut >= 2 {
                    short[1] = cut as u8 - 2;
                }
                for part in [&whole[..cut], &short] {
                    let mut first = Wire::bare(scene.node.mqtt());
                    first.send_raw(part).half_close();
                    let got = first.packet();
                    assert!(matches!(got.first(), None | Some(0x20)), "{sample} cut at {cut}: {got:x?}");
                    let mut later = scene.greeted(is_v5);
                    later.send_raw(part).half_close();
                    while !later.packet().is_empty() {}
                }
            }
        }
    }
}

fn every_type_with_every_flag(scene: &mut Scene) {
    for (v3, v5) in SAMPLES {
        for (sample, is_v5) in [(v3, false), (v5, true)] {
            let mut packet = bytes(sample);
            let own = packet[0];
            for kind in 0..16u8 {
                for flags in 0..16u8 {
                    packet[0] = kind << 4 | flags;
                    let mut wire = scene.greeted(is_v5);
                    let said = outcome(wire.send_raw(&packet));
                    let name = format!("{sample} as {:02x}: {said}", packet[0]);
                    match kind {
                        // Never from a client, or never a second time.
                        0 | 1 | 2 | 9 | 11 | 13 | 15 => assert!(is_error(&said), "{name}"),
                        3 | 14 => {}
                        6 | 8 | 10 if flags != 2 => assert!(is_error(&said), "{name}"),
                        4 | 5 | 7 | 12 if flags != 0 => assert!(is_error(&said), "{name}"),
                        _ if packet[0] == own => assert_eq!(said, "alive", "{name}"),
                        _ => {}
                    }
                    let mut first = Wire::bare(scene.node.mqtt());
                    let said = outcome(first.send_raw(&packet));
                    assert!(said != "alive" || packet[0] == 0x10, "{name} before CONNECT");
                }
            }
        }
    }
}

fn every_byte_replaced(scene: &mut Scene) {
    for (v3, v5) in SAMPLES {
        for (sample, is_v5) in [(v3, false), (v5, true)] {
            let whole = bytes(sample);
            // The length is changed elsewhere.
            for at in 2..whole.len() {
                for value in [0x00, 0x7f, 0x80, 0xff, 0xed, b'#'] {
                    let mut changed = whole.clone();
                    changed[at] = value;
                    let mut wire = scene.greeted(is_v5);
                    let said = outcome(wire.send_raw(&changed));
                    assert!(said == "alive" || said == "close" || is_v5, "{sample} {at}={value:x}: {said}");
                    outcome(Wire::bare(scene.node.mqtt()).send_raw(&changed));
                }
            }
        }
    }
}

/// `+` stands for a good CONNECT of 3.1.1, `5` for one of 5.0.
fn a_table_of_mistakes(scene: &mut Scene) {
    let table = [
        ("http", "474554202f20485454502f312e310d0a0d0a", "close"),
        ("length of five bytes", "10 ffffffff01", "close"),
        ("length of five bytes later", "5 30 ffffffff01", "disconnect:81"),
        ("length of five bytes in 3.1.1", "+ 30 ffffffff01", "close"),
        ("length not minimal", "5 c0 8000", "disconnect:81"),
        ("properties' length not minimal", "5 30 05 0001 61 8000", "disconnect:81"),
        ("properties' length of five bytes", "5 30 08 0001 61 ffffffff01", "disconnect:81"),
        ("properties longer than the packet", "5 30 * 0001 61 7f 26", "disconnect:81"),
        ("identifier not minimal", "5 82 * 0001 {0b 8500} 'a' 00", "disconnect:81"),
        ("identifier 0", "5 82 * 0001 {0b 00} 'a' 00", "disconnect:82"),
        ("identifier of five bytes", "5 82 * 0001 {0b ffffffff01} 'a' 00", "disconnect:81"),
        ("identifier twice", "5 82 * 0001 {0b 01 0b 02} 'a' 00", "disconnect:82"),
        ("expiry twice", "5 30 * 'a' {02 00000001 02 00000001}", "disconnect:82"),
        ("alias twice", "5 30 * 'a' {23 0001 23 0001}", "disconnect:82"),
        ("format 2", "5 30 * 'a' {01 02}", "disconnect:82"),
        ("a property of CONNECT", "5 30 * 'a' {21 0001}", "disconnect:82"),
        ("a property of nobody", "5 30 * 'a' {7e 00}", "disconnect:81"),
        ("a property cut", "5 30 * 'a' {02 0000}", "disconnect:81"),
        ("receive maximum 0", "10 * 'MQTT' 05 02 003c {21 0000} 'c'", "connack:82"),
        ("packet size 0", "10 * 'MQTT' 05 02 003c {27 00000000} 'c'", "connack:82"),
        ("expiry twice in CONNECT", "10 * 'MQTT' 05 02 003c {11 00000001 11 00000001} 'c'", "connack:82"),
        ("will properties in CONNECT", "10 * 'MQTT' 05 02 003c {18 00000001} 'c'", "connack:82"),
        ("authentication data alone", "10 * 'MQTT' 05 02 003c {16 'data'} 'c'", "connack:82"),
        ("authentication method", "10 * 'MQTT' 05 02 003c {15 'x'} 'c'", "connack:8c"),
        ("topic not UTF-8", "5 30 * 0002 c328 {}", "disconnect:81"),
        ("topic with NUL", "5 30 * 0003 610062 {}", "disconnect:81"),
        ("topic with a surrogate", "5 30 * 0003 eda080 {}", "disconnect:81"),
        ("topic too long for UTF-8", "5 30 * 0004 f8888080 {}", "disconnect:81"),
        ("topic overlong", "5 30 * 0002 c080 {}", "disconnect:81"),
        ("topic beyond Unicode", "5 30 * 0004 f4908080 {}", "disconnect:81"),
        ("topic cut within a character", "5 30 * 0002 e282 {}", "disconnect:81"),
        ("filter not UTF-8", "5 82 * 0001 {} 0002 c328 00", "disconnect:81"),
        ("filter with NUL", "+ 82 * 0001 0001 00 00", "close"),
        ("filter empty", "5 82 * 0001 {} '' 00", "disconnect:81"),
        ("client id with NUL", "10 * 'MQTT' 04 02 003c 0001 00", "close"),
        ("user with a surrogate", "10 * 'MQTT' 05 82 003c {} 'c' 0003 eda080", "connack:81"),
        ("will topic with NUL", "10 * 'MQTT' 05 06 003c {} 'c' {} 0001 00 'x'", "connack:81"),
        ("will topic with a wildcard", "10 * 'MQTT' 05 06 003c {} 'c' {} 'a/#' 'x'", "connack:90"),
        ("will topic empty", "10 * 'MQTT' 04 06 003c 'c' '' 'x'", "close"),
        ("response topic with a wildcard", "5 30 * 'a' {08 'b/#'}", "disconnect:82"),
        ("topic with a wildcard", "5 30 * 'a/+' {}", "disconnect:90"),
        ("no topic and no alias", "5 30 * '' {}", "disconnect:82"),
        ("an alias that was not set", "5 30 * '' {23 0001}", "disconnect:82"),
        ("alias 0", "5 30 * 'a' {23 0000}", "disconnect:94"),
        ("filter with a wildcard within", "5 82 * 0001 {} 'a+/b' 00", "disconnect:8f"),
        ("hash not at the end", "5 82 * 0001 {} '#/a' 00", "disconnect:8f"),
        ("shared without filter", "5 82 * 0001 {} '$share/g' 00", "disconnect:8f"),
        ("shared without group", "5 82 * 0001 {} '$share//a' 00", "disconnect:8f"),
        ("shared group with a wildcard", "5 82 * 0001 {} '$share/+/a' 00", "disconnect:8f"),
        ("shared and no local", "5 82 * 0001 {} '$share/g/a' 04", "disconnect:82"),
        ("QoS 3", "5 82 * 0001 {} 'a' 03", "disconnect:81"),
        ("reserved option bits", "5 82 * 0001 {} 'a' 40", "disconnect:81"),
        ("retain handling 3", "5 82 * 0001 {} 'a' 30", "disconnect:82"),
        ("options missing", "5 82 * 0001 {} 'a'", "disconnect:81"),
        ("one unsubscribes nothing", "5 a2 * 0001 {}", "disconnect:82"),
        ("publish with identifier 0", "5 32 * 'a' 0000 {}", "disconnect:82"),
        ("publish QoS 3", "5 36 * 'a' 0001 {}", "disconnect:81"),
        ("publish DUP with QoS 0", "5 38 * 'a' {}", "disconnect:81"),
        ("acknowledgement of nothing", "5 40 * 1234", "alive"),
        ("acknowledgement cut", "5 40 * 12", "disconnect:81"),
        ("acknowledgement with a foreign reason", "5 40 * 1234 02", "disconnect:82"),
        ("release of nothing", "5 62 * 1234", "alive"),
        ("second CONNECT", "5 10 * 'MQTT' 05 02 003c {} 'c'", "disconnect:82"),
        ("second CONNECT of 3.1.1", "+ 10 * 'MQTT' 04 02 003c 'c'", "close"),
        ("CONNACK from a client", "5 20 * 00 00 {}", "disconnect:82"),
        ("AUTH without a method", "5 f0 * 18 {15 'x'}", "disconnect:82"),
        ("DISCONNECT that prolongs", "5 e0 * 00 {11 00000005}", "disconnect:82"),
        ("DISCONNECT of a server", "5 e0 * 8b", "disconnect:82"),
        ("larger than allowed", "5 30 ffffff7f", "disconnect:95"),
        ("CONNECT larger than allowed, 5.0", "10 ffff7f 0004 4d515454 05", "connack:95"),
        ("CONNECT larger than allowed", "10 ffff7f 0004 4d515454 04", "close"),
        ("level 6", "10 * 'MQTT' 06 02 003c 'c'", "connack:01"),
        ("password alone in 3.1.1", "10 * 'MQTT' 04 42 003c 'c' 'pw'", "close"),
        ("will QoS 3", "10 * 'MQTT' 05 1e 003c {} 'c' {} 'w' 'x'", "connack:81"),
    ];
    for (name, text, expected) in table {
        let (mut wire, rest) = match text.split_at(2) {
            ("+ ", rest) => (scene.greeted(false), rest),
            ("5 ", rest) => (scene.greeted(true), rest),
            _ => (Wire::bare(scene.node.mqtt()), text),
        };
        assert_eq!(outcome(wire.send(rest)), expected, "{name}");
    }
}

/// 30,000 levels where only their number is refused, and where it is not.
fn as_many_levels_as_a_topic_can_have(scene: &mut Scene) {
    let levels = "a/".repeat(30_000);
    let filters = [levels.clone() + "#", "+/".repeat(30_000) + "#", "/".repeat(65_000)];
    let mut wire = scene.greeted(true);
    for filter in &filters {
        wire.send(&format!("82 * 0001 {{}} '{filter}' 00 '$share/g/{filter}' 00")).gets("90 * 0001 {} 8f 8f");
    }
    wire.send(&format!("30 * '{levels}' {{}}"));
    assert_eq!(outcome(&mut wire), "disconnect:90");
    let connect = "10 * 'MQTT' 05 06 003c {}";
    let mut will = Wire::greet(scene.node.mqtt(), connect, "w", &format!("{{}} '{levels}' 'x'"));
    assert_eq!(outcome(&mut will), "connack:90");
    let internal = std::net::SocketAddr::from(([127, 0, 0, 1], scene.node.port(1)));
    let mut deep = Wire::v5(internal, "deep");
    for (n, filter) in filters.iter().enumerate() {
        deep.send(&format!("82 * 000{n} {{}} '{filter}' 00").replace("0000", "0009"));
        assert_eq!(deep.packet().last(), Some(&0));
    }
    deep.send(&format!("30 * '{levels}' {{}} \"x\""));
    // `a/…/#` and `+/…/#` match; a copy for each.
    for _ in 0..2 {
        assert_eq!(deep.packet().last(), Some(&b'x'));
    }
    deep.alive();
    scene.unharmed("deep filters");
}

fn as_many_properties_as_there_is_room_for(scene: &mut Scene) {
    let many = "26 0000 0000".repeat(13_107);
    let mut wire = scene.greeted(true);
    wire.send(&format!("32 * 'p' 0001 {{{many}}}")).gets("40 * 0001 10");
    wire.send(&format!("82 * 0002 {{{many}}} 'p' 00")).gets("90 * 0002 {} 00");
    wire.send(&format!("e0 * 00 {{{many}}}")).ends();
    let mut connect = Wire::bare(scene.node.mqtt());
    connect.send(&format!("10 * 'MQTT' 05 02 003c {{{}}} 'many'", "26 0000 0000".repeat(13_000)));
    assert_eq!(connect.packet()[3], 0);
    let mut subscription_ids = scene.greeted(true);
    assert_eq!(
        outcome(subscription_ids.send(&format!("30 * 'p' {{{}}}", "0b 01".repeat(30_000)))),
        "disconnect:82"
    );
}

fn more_aliases_than_anybody_needs(scene: &mut Scene) {
    let mut wire = scene.greeted(true);
    let long = "x".repeat(60_000);
    let mut refused = false;
    for alias in 1..=200 {
        wire.send(&format!("30 * '{long}' {{23 {alias:04x}}}").replace("x'", &format!("{alias}'")));
        refused |= alias == 200 && outcome(&mut wire) == "disconnect:97";
    }
    assert!(refused, "the aliases of one client have a limit in bytes");
}

fn a_connect_that_comes_in_drops(scene: &mut Scene) {
    let mut wire = Wire::bare(scene.node.mqtt());
    for byte in bytes(&format!("{V311} 'drip' | 82 * 0001 'a' 00")) {
        wire.send_raw(&[byte]);
        std::thread::sleep(Duration::from_millis(2));
    }
    wire.gets("20 02 00 00 | 90 * 0001 00").alive();
    // Half open: the client will send no more, but has its answers.
    let mut half = Wire::bare(scene.node.mqtt());
    half.send(&format!("{V5} 'half' | c0 *")).half_close();
    while !half.packet().is_empty() {}
}

/// 300 connections with 64,000 bytes of a CONNECT each, and 300 without anything.
fn what_comes_before_the_login_takes_little_room(scene: &mut Scene) {
    let before = scene.rss_kib();
    let mut begun = bytes(&format!("10 * 'MQTT' 05 02 003c {{{}}} 'c'", "26 0000 0000".repeat(12_900)));
    begun.truncate(64_000);
    let mut waiting: Vec<Wire> = (0..300).map(|_| Wire::bare(scene.node.mqtt())).collect();
    for wire in &mut waiting {
        for part in begun.chunks(7_000) {
            wire.send_raw(part);
        }
    }
    let _idle: Vec<Wire> = (0..300).map(|_| Wire::bare(scene.node.mqtt())).collect();
    for _ in 0..20 {
        scene.unharmed("half a CONNECT");
    }
    let grown = scene.rss_kib().saturating_sub(before);
    assert!(grown < 300 * 64 * 5 / 4 + 4_000, "{grown} KiB for 300 connections");
    drop(waiting);
}
