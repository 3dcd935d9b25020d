//! The beginning and the end of a connection: sessions, wills, take-over, client ids.

use super::Places;
use crate::node::Node;
use crate::wire::{V5, V311, Wire};

/// [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.1.3-2] [MQTT-3.1.4-4]
/// [MQTT-3.2.2-1] [MQTT-3.2.2-3] [MQTT-4.1.0-1], [MQTT-3.1.2-4] (3.1.1) [MQTT-3.1.2-5] (3.1.1)
/// [MQTT-3.1.2-6] (3.1.1) [MQTT-3.1.3-2] (3.1.1) [MQTT-3.1.4-3] (3.1.1) [MQTT-3.2.2-1] (3.1.1)
/// [MQTT-3.2.2-2] (3.1.1) [MQTT-3.2.2-3] (3.1.1)
pub fn a_session_goes_on_or_begins_anew(at: &Places) {
    let kept = "10 * 'MQTT' 04 00 003c";
    let to = at.subscriber.mqtt();
    let mut first = Wire::greet(to, kept, "cs", "");
    first.gets("20 02 00 00").send("82 * 0001 'cs/t' 01").gets("90 * 0001 01");
    at.known("cs/t");
    first.bye();
    let mut publisher = at.p3("cs p");
    publisher.send("32 * 'cs/t' 0001 \"m\"").gets("40 * 0001");
    Wire::greet(to, kept, "cS", "").gets("20 02 00 00").silent().bye();
    let mut again = Wire::greet(to, kept, "cs", "");
    again.gets("20 02 01 00 | 32 * 'cs/t' 0001 \"m\"").send("40 * 0001").bye();
    Wire::greet(to, V311, "cs", "").gets("20 02 00 00").bye();
    Wire::greet(to, kept, "cs", "").gets("20 02 00 00").silent().bye();
    Wire::greet(to, V311, "cs", "").gets("20 02 00 00").bye();
    // 5.0 says for how long.
    let resumed = |wire: &mut Wire| wire.packet()[2];
    let lasting = "10 * 'MQTT' 05 00 003c {11 0000003c}";
    assert_eq!(resumed(&mut Wire::greet(to, lasting, "cs5", "")), 0);
    assert_eq!(resumed(&mut Wire::greet(to, lasting, "cS5", "")), 0);
    assert_eq!(resumed(&mut Wire::greet(to, lasting, "cs5", "")), 1);
    assert_eq!(resumed(&mut Wire::greet(to, V5, "cs5", "")), 0);
}

/// [MQTT-3.1.2-7] [MQTT-3.1.2-14] [MQTT-3.1.2-15], [MQTT-3.1.2-8] (3.1.1) [MQTT-3.1.2-10] (3.1.1)
/// [MQTT-3.1.2-12] (3.1.1) [MQTT-3.1.2-16] (3.1.1) [MQTT-3.1.2-17] (3.1.1)
pub fn a_will_is_published_unless_the_client_says_good_bye(at: &Places) {
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
    // Whoever had a will and says nothing of one the next time has none.
    willing("0e", "none").bye();
    drop(at.p3("none"));
    drop(willing("0e", "a"));
    hears.gets("32 * 'w/a' 0001 \"gone\"").send("40 * 0001");
    drop(willing("2e", "b"));
    hears.gets("32 * 'w/b' 0002 \"gone\"").send("40 * 0002").silent();
    let mut later = at.p3("w later");
    later.send("82 * 0001 'w/#' 00").gets("90 * 0001 00 | 31 * 'w/b' \"gone\"").silent();
    later.send("31 * 'w/b'");
    hears.gets("30 * 'w/b'");
}

/// The properties of a will, as those of any message. [MQTT-3.1.3-10]
pub fn the_properties_of_a_will_arrive_in_their_order(at: &Places) {
    let mut hears = at.s5("wp s");
    hears.send("82 * 0001 {} 'wp' 00").gets("90 * 0001 {} 00");
    at.known("wp");
    let will = "{26 'b' '2' 26 'a' '1' 26 'b' '0'} 'wp' 'gone'";
    let mut wire = Wire::greet(at.publisher.mqtt(), "10 * 'MQTT' 05 06 003c {}", "wp", will);
    wire.packet();
    drop(wire);
    hears.gets("30 * 'wp' {26 'b' '2' 26 'a' '1' 26 'b' '0'} \"gone\"");
}

/// [MQTT-3.1.4-3] [MQTT-3.14.4-1] [MQTT-3.14.4-2], [MQTT-3.1.4-2] (3.1.1)
pub fn a_second_connection_of_a_client_id_ends_the_first(at: &Places) {
    let mut first = at.s5("twice");
    first.send("82 * 0001 {} 'twice' 00").gets("90 * 0001 {} 00");
    at.known("twice");
    let mut publisher = at.p5("twice p");
    let second = at.p5("twice");
    // What is published from here on is nothing for the first.
    publisher.send("30 * 'twice' {} \"late\"").alive();
    first.gets("e0 01 8e").ends();
    drop(second);
    let mut first = at.s3("twice 3");
    at.p3("twice 3");
    first.ends();
}

/// [MQTT-3.1.4-2] [MQTT-3.1.4-5] [MQTT-3.1.4-6] [MQTT-3.2.0-1] [MQTT-3.2.2-6] [MQTT-3.2.2-8],
/// [MQTT-3.1.4-4] (3.1.1) [MQTT-3.1.4-5] (3.1.1) [MQTT-3.2.0-1] (3.1.1) [MQTT-3.2.2-4] (3.1.1)
/// [MQTT-3.2.2-5] (3.1.1)
pub fn the_first_packet_is_a_connack_and_a_refusal_is_the_last(at: &Places) {
    let to = at.publisher.mqtt();
    // What comes right behind the CONNECT is answered after it.
    Wire::bare(to).send(&format!("{V311} 'quick' | c0 *")).gets("20 02 00 00 | d0 00");
    let mut quick = Wire::bare(to);
    let connack = quick.send(&format!("{V5} 'quick 5' | c0 *")).packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0));
    quick.gets("d0 00");
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

/// [MQTT-3.2.0-2] [MQTT-3.1.0-2], [MQTT-3.1.0-2] (3.1.1)
pub fn a_second_connect_gets_no_second_connack(at: &Places) {
    at.p3("again").send(&format!("{V311} 'again'")).ends();
    at.p5("again 5").send(&format!("{V5} 'again 5'")).gets("e0 01 82").ends();
}

/// [MQTT-3.1.3-5], [MQTT-3.1.3-5] (3.1.1)
pub fn client_ids_are_as_long_as_they_must_be(at: &Places) {
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for from in [0, 20, 39] {
        at.p3(&letters[from..from + 23]).bye();
        at.p5(&letters[from..from + 23]).bye();
    }
}

/// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16], [MQTT-3.1.3-6] (3.1.1)
pub fn who_has_no_client_id_gets_one_of_its_own(at: &Places) {
    // Two at a time: neither ends the other, and each has subscriptions of its own.
    let mut all: Vec<Wire> = [at.publisher, at.subscriber, at.publisher]
        .iter()
        .map(|node| Wire::greet(node.mqtt(), V311, "", ""))
        .collect();
    for (n, wire) in all.iter_mut().enumerate() {
        wire.gets("20 02 00 00").send(&format!("82 * 0001 'own/{n}' 00")).gets("90 * 0001 00");
    }
    for (n, wire) in all.iter_mut().enumerate() {
        wire.send(&format!("30 * 'own/{n}' \"x\"")).gets(&format!("30 * 'own/{n}' \"x\"")).silent();
    }
    // The id is told to a client of 5.0, which may come back with it.
    let nameless = |node: &Node| {
        let mut wire = Wire::greet(node.mqtt(), "10 * 'MQTT' 05 00 003c {11 0000003c}", "", "");
        let connack = wire.packet();
        let at = connack.iter().position(|b| *b == 0x12).expect("an assigned client identifier");
        let length = usize::from(u16::from_be_bytes([connack[at + 1], connack[at + 2]]));
        (wire, String::from_utf8(connack[at + 3..][..length].to_vec()).unwrap())
    };
    let ((mut first, one), (mut second, two)) = (nameless(at.publisher), nameless(at.subscriber));
    assert_ne!(one, two);
    first.alive();
    second.alive().bye();
    let connack = Wire::greet(at.subscriber.mqtt(), "10 * 'MQTT' 05 00 003c {}", &two, "").packet();
    assert_eq!((connack[2], connack[3]), (1, 0), "the session is that of the assigned id");
}
