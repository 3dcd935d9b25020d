//! Filters: what they match, how they are replaced, and how they end.

use super::Places;
use crate::node::until;
use crate::wire::Wire;

/// [MQTT-3.3.2-3] [MQTT-4.5.0-1] [MQTT-4.7.2-1] [MQTT-4.7.3-4], [MQTT-3.3.2-3] (3.1.1)
/// [MQTT-4.5.0-1] (3.1.1) [MQTT-4.7.2-1] (3.1.1) [MQTT-4.7.3-4] (3.1.1)
pub fn filters_match_and_dollar_topics_stay_apart(at: &Places) {
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
    // The same to the eye: one character, or a letter and its accent after it.
    let mut composed = at.s3("f composed");
    composed.send("82 * 0001 'g/\u{e9}' 00").gets("90 * 0001 00");
    at.known("g/\u{e9}");
    publisher.send("30 * 'g/e\u{301}' | 30 * 'g/\u{c9}' | 30 * 'g/\u{e9}'").alive();
    composed.gets("30 * 'g/\u{e9}'").silent();
}

/// [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-2],
/// [MQTT-3.10.4-1] (3.1.1) [MQTT-3.10.4-2] (3.1.1) [MQTT-3.10.4-4] (3.1.1) [MQTT-3.10.4-5] (3.1.1)
/// [MQTT-3.10.4-6] (3.1.1)
pub fn after_unsuback_nothing_new_comes(at: &Places) {
    let mut publisher = at.p3("u p");
    let mut subscriber = at.s5("u s");
    subscriber.send("82 * 0001 {} 'u/a' 00 'u/b' 00").gets("90 * 0001 {} 00 00");
    at.known("u/a");
    at.known("u/b");
    // One after the other: the second time it is not there any more.
    subscriber.send("a2 * 1234 {} 'u/a' 'u/A' 'u/+' 'u/a'").gets("b0 * 1234 {} 00 11 11 11");
    publisher.send("30 * 'u/a' | 30 * 'u/b'").alive();
    subscriber.gets("30 * 'u/b' {}").silent();
    let mut old = at.s3("u 3");
    old.send("a2 * 0007 'never'").gets("b0 02 0007");
    old.send("82 * 0008 'u/c' 00 'u/d' 00 'u/e' 00").gets("90 * 0008 00 00 00");
    for filter in ["u/c", "u/d", "u/e"] {
        at.known(filter);
    }
    old.send("a2 * 0009 'u/c' 'never' 'u/d'").gets("b0 02 0009");
    publisher.send("30 * 'u/c' | 30 * 'u/d' | 30 * 'u/e'").alive();
    old.gets("30 * 'u/e'").silent();
}

/// [MQTT-3.10.4-3], [MQTT-3.10.4-3] (3.1.1)
pub fn what_was_begun_before_unsubscribe_is_finished_after_it(at: &Places) {
    for (level, none) in [("04", ""), ("05", "{}")] {
        let kept = if level == "04" { "" } else { "{11 0000003c}" };
        let connect = format!("10 * 'MQTT' {level} 00 003c {kept}");
        let greet = || {
            let mut wire = Wire::greet(at.subscriber.mqtt(), &connect, "begun", "");
            assert_eq!(wire.packet()[3], 0);
            wire
        };
        let (filter, topic) = (format!("bg{level}/#"), format!("bg{level}/a"));
        let mut subscriber = greet();
        subscriber.send(&format!("82 * 0001 {none} '{filter}' 02")).gets(&format!("90 * 0001 {none} 02"));
        at.known(&filter);
        let mut publisher = at.p3("begun p");
        publisher.send(&format!("32 * '{topic}' 0001 \"x\" | 34 * '{topic}' 0002 \"y\""));
        publisher.gets("40 * 0001 | 50 * 0002").send("62 * 0002").gets("70 * 0002");
        subscriber.gets(&format!("32 * '{topic}' 0001 {none} \"x\" | 34 * '{topic}' 0002 {none} \"y\""));
        let unsuback = if level == "04" { "b0 02 0003" } else { "b0 * 0003 {} 00" };
        subscriber.send(&format!("a2 * 0003 {none} '{filter}'")).gets(unsuback);
        // Not acknowledged, so they come again: nothing of it is forgotten with the subscription.
        drop(subscriber);
        let mut subscriber = greet();
        subscriber.gets(&format!("3a * '{topic}' 0001 {none} \"x\" | 3c * '{topic}' 0002 {none} \"y\""));
        subscriber.send("40 * 0001 | 50 * 0002").gets("62 * 0002").send("70 * 0002");
        publisher.send(&format!("32 * '{topic}' 0004 \"z\"")).gets("40 * 0004");
        subscriber.silent().bye();
        at.s3("begun").bye();
    }
}

/// [MQTT-2.2.1-2] [MQTT-3.8.3-3] [MQTT-3.8.4-5] [MQTT-3.8.4-7] [MQTT-3.9.3-2],
/// [MQTT-2.3.1-5] (3.1.1) [MQTT-3.8.4-4] (3.1.1) [MQTT-3.8.4-5] (3.1.1)
pub fn one_subscribe_with_many_filters_is_many_subscriptions(at: &Places) {
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

/// Subscribed again and again while messages come: each message comes once, in order, and the retained one
/// with each SUBSCRIBE. [MQTT-3.8.4-3] [MQTT-3.8.4-4], [MQTT-3.8.4-3] (3.1.1)
pub fn no_message_is_lost_while_a_subscription_is_replaced(at: &Places) {
    const MESSAGES: usize = 60;
    let mut publisher = at.p3("rep p");
    publisher.send("31 * 'rep/kept' \"kept\"").alive();
    until("it is kept there too", || at.subscriber.retained().contains(&"rep/kept".to_owned()));
    for (level, none) in [("04", ""), ("05", "{}")] {
        let topic = format!("rep/{level}");
        let mut subscriber = if level == "04" { at.s3("rep s") } else { at.s5("rep s") };
        let subscribe = |n: usize| format!("82 * {:04x} {none} 'rep/+' 01", n + 1);
        subscriber.send(&subscribe(0)).gets(&format!("90 * 0001 {none} 01"));
        subscriber.gets(&format!("31 * 'rep/kept' {none} \"kept\""));
        at.known("rep/+");
        let (mut subscribed, mut replayed, mut suback) = (1, 1, 1);
        let mut got = Vec::new();
        for n in 0..MESSAGES {
            publisher.send(&format!("32 * '{topic}' {:04x} {n:02x}", n + 1));
            if n % 6 == 5 {
                subscriber.send(&subscribe(subscribed));
                subscribed += 1;
            }
        }
        while got.len() < MESSAGES || suback < subscribed || replayed < subscribed {
            let packet = subscriber.packet();
            let id = 2 + 2 + topic.len();
            match packet.first() {
                Some(0x32) => {
                    subscriber.send(&format!("40 * {:02x}{:02x}", packet[id], packet[id + 1]));
                    got.push(usize::from(*packet.last().expect("a payload of one byte")));
                }
                Some(0x31) => replayed += 1,
                Some(0x90) => suback += 1,
                other => panic!("{other:?} after {} messages and {replayed} retained ones", got.len()),
            }
        }
        assert_eq!(got, (0..MESSAGES).collect::<Vec<_>>());
        subscriber.silent().bye();
        for n in 0..MESSAGES {
            publisher.gets(&format!("40 * {:04x}", n + 1));
        }
    }
    publisher.send("31 * 'rep/kept'").alive();
}
