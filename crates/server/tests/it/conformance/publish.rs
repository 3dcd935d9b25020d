//! Messages: kept, sent again, and to whom.

use super::Places;
use crate::wire::{Wire, bytes};

/// [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-8] [MQTT-3.3.1-9] [MQTT-3.3.1-10]
/// [MQTT-3.3.1-11] [MQTT-3.3.1-12] [MQTT-3.3.1-13], [MQTT-3.3.1-5] (3.1.1) [MQTT-3.3.1-6] (3.1.1)
/// [MQTT-3.3.1-7] (3.1.1) [MQTT-3.3.1-8] (3.1.1) [MQTT-3.3.1-9] (3.1.1) [MQTT-3.3.1-10] (3.1.1)
/// [MQTT-3.3.1-11] (3.1.1) [MQTT-3.3.1-12] (3.1.1) [MQTT-3.8.4-3] (3.1.1)
pub fn retained_messages_are_kept_replaced_and_removed(at: &Places) {
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

/// [MQTT-3.1.2-7] (3.1.1)
pub fn a_retained_message_outlives_the_session_that_published_it(at: &Places) {
    let mut publisher = at.p3("rl p");
    publisher.send("33 * 'rl' 0001 \"stays\"").gets("40 * 0001").bye();
    // The next session of the same client id is a new one.
    at.p3("rl p").bye();
    let mut reader = at.p3("rl s");
    reader.send("82 * 0001 'rl' 00").gets("90 * 0001 00 | 31 * 'rl' \"stays\"");
    reader.send("31 * 'rl'").gets("30 * 'rl'");
}

/// [MQTT-3.3.1-3] [MQTT-4.3.2-5], [MQTT-3.3.1-3] (3.1.1) [MQTT-4.3.2-2] (3.1.1)
pub fn dup_says_whether_this_packet_was_sent_before(at: &Places) {
    let kept = "10 * 'MQTT' 04 00 003c";
    let mut subscriber = Wire::greet(at.subscriber.mqtt(), kept, "dup s", "");
    subscriber.gets("20 02 00 00").send("82 * 0001 'dup' 01").gets("90 * 0001 01");
    at.known("dup");
    let mut publisher = at.p3("dup p");
    publisher.send("3a * 'dup' 0001 \"x\"").gets("40 * 0001");
    subscriber.gets("32 * 'dup' 0001 \"x\"");
    drop(subscriber);
    let mut subscriber = Wire::greet(at.subscriber.mqtt(), kept, "dup s", "");
    subscriber.gets("20 02 01 00 | 3a * 'dup' 0001 \"x\"").send("40 * 0001");
    // The identifier is free again: the same packet is another message.
    publisher.send("3a * 'dup' 0001 \"x\"").gets("40 * 0001");
    subscriber.gets("32 * 'dup' 0002 \"x\"").send("40 * 0002").bye();
    at.s3("dup s").bye();
}

/// Each with the QoS and the identifier of its subscription, so one of them has the greatest QoS.
/// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-5], [MQTT-3.3.5-1] (3.1.1)
pub fn overlapping_subscriptions_get_a_copy_each(at: &Places) {
    let (mut new, mut old, mut publisher) = (at.s5("ov 5"), at.s3("ov 3"), at.p3("ov p"));
    new.send("82 * 0001 {0b 01} 'ov/#' 00").gets("90 * 0001 {} 00");
    new.send("82 * 0002 {0b 02} 'ov/+' 02").gets("90 * 0002 {} 02");
    new.send("82 * 0003 {} 'ov/a' 01").gets("90 * 0003 {} 01");
    old.send("82 * 0001 'ov/#' 00 'ov/+' 02 'ov/a' 01").gets("90 * 0001 00 02 01");
    for filter in ["ov/#", "ov/+", "ov/a"] {
        at.known(filter);
    }
    publisher.send("34 * 'ov/a' 0001 \"x\"").gets("50 * 0001").send("62 * 0001").gets("70 * 0001");
    let copies = |wire: &mut Wire| {
        let mut all: Vec<(u8, Vec<u8>)> = (0..3)
            .map(|_| {
                let packet = wire.packet();
                // Without the packet identifier, whose number depends on the order of the copies.
                let rest = 2 + 2 + "ov/a".len() + if packet[0] == 0x30 { 0 } else { 2 };
                (packet[0], packet[rest..].to_vec())
            })
            .collect();
        all.sort();
        wire.silent();
        all
    };
    let expected = [(0x30, "{0b 01} \"x\""), (0x32, "{} \"x\""), (0x34, "{0b 02} \"x\"")];
    assert_eq!(copies(&mut new), expected.map(|(first, rest)| (first, bytes(rest))));
    assert_eq!(copies(&mut old), [0x30, 0x32, 0x34].map(|first| (first, b"x".to_vec())));
}
