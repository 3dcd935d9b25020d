//! What MQTT demands, byte by byte, with publisher and subscriber on one node and on two nodes of three.
//! The tags before a scenario name the statements that it shows; `docs/conformance.md` is made from them.

use std::time::Instant;

use crate::node::{Node, cluster};
use crate::wire::{V5, V311, Wire};

/// Where the two sides of a scenario connect.
struct Places<'a> {
    publisher: &'a Node,
    subscriber: &'a Node,
}

impl Places<'_> {
    fn p3(&self, id: &str) -> Wire {
        Wire::v3(self.publisher.mqtt(), id)
    }
    fn p5(&self, id: &str) -> Wire {
        Wire::v5(self.publisher.mqtt(), id)
    }
    fn s3(&self, id: &str) -> Wire {
        Wire::v3(self.subscriber.mqtt(), id)
    }
    fn s5(&self, id: &str) -> Wire {
        Wire::v5(self.subscriber.mqtt(), id)
    }
    /// Until the publisher's node knows that the subscriber's wants this.
    fn known(&self, filter: &str) {
        if self.publisher.name != self.subscriber.name {
            self.publisher.routes(filter, self.subscriber);
        }
    }
}

type Scenario = fn(&Places);

const ALL: [(&str, Scenario); 9] = [
    ("sessions", a_session_goes_on_or_begins_anew),
    ("wills", a_will_is_published_unless_the_client_says_good_bye),
    ("take-over", a_second_connection_of_a_client_id_ends_the_first),
    ("connack", the_first_packet_is_a_connack_and_a_refusal_is_the_last),
    ("client ids", client_ids_are_as_long_as_they_must_be),
    ("retained", retained_messages_are_kept_replaced_and_removed),
    ("filters", filters_match_and_dollar_topics_stay_apart),
    ("unsubscribing", after_unsuback_nothing_new_comes),
    ("subscribing", one_subscribe_with_many_filters_is_many_subscriptions),
];

fn run(places: &Places) {
    for (name, scenario) in ALL {
        let from = Instant::now();
        scenario(places);
        eprintln!("{name}: {:?}", from.elapsed());
    }
}

#[test]
fn statements_hold_on_one_node() {
    let mut node = Node::new();
    node.start();
    run(&Places { publisher: &node, subscriber: &node });
}

#[test]
fn statements_hold_across_nodes() {
    let nodes = cluster(3);
    run(&Places { publisher: &nodes[0], subscriber: &nodes[2] });
}

/// [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.2.2-3] [MQTT-4.1.0-1],
/// [MQTT-3.1.2-4] (3.1.1) [MQTT-3.1.2-5] (3.1.1) [MQTT-3.1.2-6] (3.1.1) [MQTT-3.2.2-1] (3.1.1)
/// [MQTT-3.2.2-2] (3.1.1) [MQTT-3.2.2-3] (3.1.1)
fn a_session_goes_on_or_begins_anew(at: &Places) {
    let kept = "10 * 'MQTT' 04 00 003c";
    let to = at.subscriber.mqtt();
    let mut first = Wire::greet(to, kept, "cs", "");
    first.gets("20 02 00 00").send("82 * 0001 'cs/t' 01").gets("90 * 0001 01");
    at.known("cs/t");
    first.bye();
    let mut publisher = at.p3("cs p");
    publisher.send("32 * 'cs/t' 0001 \"m\"").gets("40 * 0001");
    let mut again = Wire::greet(to, kept, "cs", "");
    again.gets("20 02 01 00 | 32 * 'cs/t' 0001 \"m\"").send("40 * 0001").bye();
    Wire::greet(to, V311, "cs", "").gets("20 02 00 00").bye();
    Wire::greet(to, kept, "cs", "").gets("20 02 00 00").silent().bye();
    Wire::greet(to, V311, "cs", "").gets("20 02 00 00").bye();
    // 5.0 says for how long.
    let resumed = |wire: &mut Wire| wire.packet()[2];
    let lasting = "10 * 'MQTT' 05 00 003c {11 0000003c}";
    assert_eq!(resumed(&mut Wire::greet(to, lasting, "cs5", "")), 0);
    assert_eq!(resumed(&mut Wire::greet(to, lasting, "cs5", "")), 1);
    assert_eq!(resumed(&mut Wire::greet(to, V5, "cs5", "")), 0);
}

/// [MQTT-3.1.2-7] [MQTT-3.1.2-14] [MQTT-3.1.2-15], [MQTT-3.1.2-8] (3.1.1) [MQTT-3.1.2-10] (3.1.1)
/// [MQTT-3.1.2-16] (3.1.1) [MQTT-3.1.2-17] (3.1.1)
fn a_will_is_published_unless_the_client_says_good_bye(at: &Places) {
    let mut hears = at.s3("w s");
    hears.send("82 * 0001 'w/+' 01").gets("90 * 0001 01");
    at.known("w/+");
    let willing = |flags: &str, id: &str| {
        let connect = format!("10 * 'MQTT' 04 {flags} 003c");
        let mut wire = Wire::greet(at.publisher.mqtt(), &connect, id, &format!("'w/{id}' 'gone'"));
        wire.gets("20 02 00 00");
        wire
    };
    willing("0e", "polite").bye();
    drop(willing("0e", "a"));
    hears.gets("32 * 'w/a' 0001 \"gone\"").send("40 * 0001");
    drop(willing("2e", "b"));
    hears.gets("32 * 'w/b' 0002 \"gone\"").send("40 * 0002").silent();
    let mut later = at.p3("w later");
    later.send("82 * 0001 'w/#' 00").gets("90 * 0001 00 | 31 * 'w/b' \"gone\"").silent();
    later.send("31 * 'w/b'");
    hears.gets("30 * 'w/b'");
}

/// [MQTT-3.1.4-3], [MQTT-3.1.4-2] (3.1.1)
fn a_second_connection_of_a_client_id_ends_the_first(at: &Places) {
    let mut first = at.s5("twice");
    at.p5("twice");
    first.gets("e0 01 8e").ends();
    let mut first = at.s3("twice 3");
    at.p3("twice 3");
    first.ends();
}

/// [MQTT-3.2.0-1] [MQTT-3.2.2-6] [MQTT-3.2.2-8] [MQTT-3.1.4-6], [MQTT-3.2.0-1] (3.1.1)
/// [MQTT-3.2.2-4] (3.1.1) [MQTT-3.2.2-5] (3.1.1) [MQTT-3.1.4-5] (3.1.1)
fn the_first_packet_is_a_connack_and_a_refusal_is_the_last(at: &Places) {
    let to = at.publisher.mqtt();
    // What comes right behind the CONNECT is answered after it.
    Wire::bare(to).send(&format!("{V311} 'quick' | c0 *")).gets("20 02 00 00 | d0 00");
    // What comes behind one that is refused is not looked at.
    let mut hears = at.s3("refused s");
    hears.send("82 * 0001 'refused' 00").gets("90 * 0001 00");
    at.known("refused");
    let publish = "30 * 'refused' \"x\"";
    Wire::bare(to).send(&format!("10 * 'MQTT' 04 00 003c '' | {publish}")).gets("20 02 00 02").ends();
    Wire::bare(to)
        .send(&format!("10 * 'MQTT' 05 02 003c {{15 'x'}} 'r' | {publish}"))
        .gets("20 * 00 8c {}")
        .ends();
    hears.silent();
}

/// [MQTT-3.1.3-5] [MQTT-3.1.3-7], [MQTT-3.1.3-5] (3.1.1)
fn client_ids_are_as_long_as_they_must_be(at: &Places) {
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for from in [0, 20, 39] {
        at.p3(&letters[from..from + 23]).bye();
        at.p5(&letters[from..from + 23]).bye();
    }
    let connack = Wire::greet(at.publisher.mqtt(), V5, "", "").packet();
    assert!(connack.contains(&0x12), "an assigned client identifier");
}

/// [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [MQTT-3.3.1-9] [MQTT-3.3.1-10]
/// [MQTT-3.3.1-11] [MQTT-3.3.1-12] [MQTT-3.3.1-13], [MQTT-3.3.1-5] (3.1.1) [MQTT-3.3.1-6] (3.1.1)
/// [MQTT-3.3.1-7] (3.1.1) [MQTT-3.3.1-8] (3.1.1) [MQTT-3.3.1-9] (3.1.1) [MQTT-3.3.1-10] (3.1.1)
/// [MQTT-3.3.1-11] (3.1.1) [MQTT-3.3.1-12] (3.1.1) [MQTT-3.8.4-3] (3.1.1)
fn retained_messages_are_kept_replaced_and_removed(at: &Places) {
    let (mut publisher, mut plain) = (at.p3("ret p"), at.s3("ret s"));
    let mut as_published = at.s5("ret 5");
    plain.send("82 * 0001 'ret' 01").gets("90 * 0001 01");
    as_published.send("82 * 0001 {} 'ret' 09").gets("90 * 0001 {} 01");
    at.known("ret");
    publisher.send("33 * 'ret' 0001 \"one\"").gets("40 * 0001");
    // Who was there sees no flag, unless it asked to see it.
    plain.gets("32 * 'ret' 0001 \"one\"").send("40 * 0001");
    as_published.gets("33 * 'ret' 0001 {} \"one\"").send("40 * 0001");
    publisher.send("32 * 'ret' 0002 \"not kept\"").gets("40 * 0002");
    plain.gets("32 * 'ret' 0002 \"not kept\"").send("40 * 0002");
    as_published.gets("32 * 'ret' 0002 {} \"not kept\"").send("40 * 0002");
    // Replay: always, if new, never.
    let mut late = at.p5("ret late");
    late.send("82 * 0001 {} 'ret' 00").gets("90 * 0001 {} 00 | 31 * 'ret' {} \"one\"");
    late.send("82 * 0002 {} 'ret' 00").gets("90 * 0002 {} 00 | 31 * 'ret' {} \"one\"");
    late.send("82 * 0003 {} 'ret' 10").gets("90 * 0003 {} 00").silent();
    late.send("a2 * 0004 {} 'ret'").gets("b0 * 0004 {} 00");
    late.send("82 * 0005 {} 'ret' 20").gets("90 * 0005 {} 00").silent();
    late.send("a2 * 0006 {} 'ret'").gets("b0 * 0006 {} 00");
    // QoS 0 replaces too, and an empty one removes.
    publisher.send("31 * 'ret' \"two\"").alive();
    // When all who were there have it, it is on its way to nobody.
    plain.gets("30 * 'ret' \"two\"");
    as_published.gets("31 * 'ret' {} \"two\"");
    late.send("82 * 0007 {} 'ret' 10").gets("90 * 0007 {} 00 | 31 * 'ret' {} \"two\"");
    publisher.send("33 * 'ret' 0003").gets("40 * 0003");
    plain.gets("32 * 'ret' 0003");
    at.p3("ret last").send("82 * 0001 'ret' 00").gets("90 * 0001 00").silent();
}

/// [MQTT-4.7.2-1] [MQTT-4.5.0-1] [MQTT-4.7.3-4], [MQTT-4.7.2-1] (3.1.1) [MQTT-4.5.0-1] (3.1.1)
/// [MQTT-4.7.1-1] (3.1.1)
fn filters_match_and_dollar_topics_stay_apart(at: &Places) {
    let mut publisher = at.p3("f p");
    let mut all = at.s3("f all");
    let mut dollar = at.s3("f dollar");
    all.send("82 * 0001 'f/#' 00 '+/f/+' 00").gets("90 * 0001 00 00");
    dollar.send("82 * 0001 '$f/f/+' 00").gets("90 * 0001 00");
    for filter in ["f/#", "+/f/+", "$f/f/+"] {
        at.known(filter);
    }
    for topic in ["f", "F/a", "f/a/b", "$f/f/x", "x/f/y", "/f/"] {
        publisher.send(&format!("30 * '{topic}'"));
    }
    publisher.alive();
    all.gets("30 * 'f' | 30 * 'f/a/b' | 30 * 'x/f/y' | 30 * '/f/'").silent();
    dollar.gets("30 * '$f/f/x'").silent();
}

/// [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-5] [MQTT-3.11.3-2], [MQTT-3.10.4-1] (3.1.1)
/// [MQTT-3.10.4-2] (3.1.1) [MQTT-3.10.4-4] (3.1.1) [MQTT-3.10.4-5] (3.1.1)
fn after_unsuback_nothing_new_comes(at: &Places) {
    let mut publisher = at.p3("u p");
    let mut subscriber = at.s5("u s");
    subscriber.send("82 * 0001 {} 'u/a' 00 'u/b' 00").gets("90 * 0001 {} 00 00");
    at.known("u/a");
    at.known("u/b");
    subscriber.send("a2 * 1234 {} 'u/a' 'u/A' 'u/+'").gets("b0 * 1234 {} 00 11 11");
    publisher.send("30 * 'u/a' | 30 * 'u/b'").alive();
    subscriber.gets("30 * 'u/b' {}").silent();
    at.s3("u 3").send("a2 * 0007 'never'").gets("b0 02 0007");
}

/// [MQTT-3.8.3-3] [MQTT-3.8.4-5] [MQTT-3.8.4-7] [MQTT-3.9.3-2], [MQTT-3.8.4-4] (3.1.1)
/// [MQTT-3.8.4-5] (3.1.1)
fn one_subscribe_with_many_filters_is_many_subscriptions(at: &Places) {
    let mut publisher = at.p5("m p");
    let mut subscriber = at.s3("m s");
    subscriber.send("82 * 4321 'm/0' 00 'm/1' 01 'm/2' 02").gets("90 * 4321 00 01 02");
    // What a client publishes itself does not come back where it asked for that.
    publisher.send("82 * 0001 {} 'm/+' 06").gets("90 * 0001 {} 02");
    for filter in ["m/0", "m/1", "m/2"] {
        at.known(filter);
    }
    for n in 0..3 {
        publisher.send(&format!("32 * 'm/{n}' 000{} {{}}", n + 1)).gets(&format!("40 * 000{}", n + 1));
    }
    // The lesser QoS of publisher and subscription.
    subscriber.gets("30 * 'm/0' | 32 * 'm/1' 0001 | 32 * 'm/2' 0002");
    publisher.silent();
}
