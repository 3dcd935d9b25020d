//! What answers may say, and in which order they leave.

use super::*;
use crate::packet::SubscribeFilter;

/// The packets that have gone out, as they are.
fn packets(side: &mut Side) -> Vec<Vec<u8>> {
    let bytes = side.out.take_bytes();
    let (mut rest, mut all) = (&bytes[..], vec![]);
    while let Some(whole) = frame(rest, usize::MAX).unwrap() {
        all.push(rest[..whole.length].to_vec());
        rest = &rest[whole.length..];
    }
    all
}

/// A reason is one that its packet may carry: the codec takes no other one in.
fn reason_and_properties(bytes: &[u8]) -> (Reason, Properties<'_>) {
    let whole = frame(bytes, usize::MAX).unwrap().unwrap();
    match Packet::decode(V5, &whole).unwrap() {
        Packet::Connack(p) => (p.reason, p.properties),
        Packet::Ack(p) => (p.reason, p.properties),
        Packet::Suback(p) => (Reason::Success, p.properties),
        Packet::Unsuback(p) => (Reason::Success, p.properties),
        Packet::Disconnect(p) => (p.reason, p.properties),
        other => panic!("{other:?}"),
    }
}

/// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.14.2-1] [MQTT-3.2.2-8]
#[test]
fn whatever_the_broker_says_leaves_as_a_reason_of_the_packet() {
    for reason in Reason::ALL {
        for qos in [1, 2] {
            let mut side = Side::new(V5, &[], &Limits::default());
            side.answers = false;
            side.publish(qos, 1, "a");
            side.session.accepted(side.tickets[0], *reason, &mut side.out);
            let sent = packets(&mut side);
            let (said, _) = reason_and_properties(&sent[0]);
            assert!(said.is_error() || !reason.is_error(), "QoS {qos} {reason:?}");
        }
        let mut side = Side::new(V5, &[], &Limits::default());
        side.session.close(*reason, &mut side.out);
        let sent = packets(&mut side);
        let (said, _) = reason_and_properties(&sent[0]);
        assert_eq!(Reason::read(said.code(), on::DISCONNECT), Ok(said), "a server may say it");
        let mut side = Side::new(V5, &[], &Limits::default());
        refuse(V5, *reason, &mut side.out);
        reason_and_properties(&packets(&mut side)[0]);
    }
}

/// Whether a client asks for them, or has no room for them: reason strings and user properties are never
/// added to an answer, nor does a server's DISCONNECT change the session expiry.
/// [MQTT-3.1.2-29] [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2]
/// [MQTT-3.5.2-3] [MQTT-3.6.2-1] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-1] [MQTT-3.7.2-2]
/// [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-2]
/// [MQTT-3.14.2-3] [MQTT-3.14.2-4]
#[test]
fn no_answer_carries_words() {
    let wishes =
        [Property::RequestProblemInfo(0), Property::RequestProblemInfo(1), Property::MaxPacketSize(60)];
    for wish in wishes {
        let connect = connect(V5, &[wish]);
        let mut side = Side::new(V5, &[wish], &Limits::default());
        side.session.connack(&connect, &Limits::default(), false, Some("chosen"), 9, &mut side.out);
        let sent = packets(&mut side);
        let (_, properties) = reason_and_properties(&sent[0]);
        let is_words = |p| matches!(p, Property::ReasonString(_) | Property::User(_));
        assert!(!properties.iter().any(is_words) && sent[0].len() <= 60, "{properties:?}");

        // Good and bad PUBACK and PUBREC, PUBREL and PUBCOMP of what is there and of what is not.
        side.answers = false;
        for (qos, id) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
            side.publish(qos, id, "a");
        }
        for (ticket, reason) in side.tickets.clone().into_iter().zip([
            Reason::Success,
            Reason::Success,
            Reason::QuotaExceeded,
            Reason::NotAuthorized,
        ]) {
            side.session.accepted(ticket, reason, &mut side.out);
        }
        let how = Delivery { qos: QoS::ExactlyOnce, retain: false, subscription_ids: &[] };
        side.session.deliver(&message(2, "b"), &mut Copies::default(), &how, Epoch(1000), &mut side.out);
        let published = packets(&mut side).pop().unwrap();
        assert_eq!(published[0], 0x34);
        for (kind, id) in
            [(AckKind::Pubrel, 2), (AckKind::Pubrel, 9), (AckKind::Pubrec, 1), (AckKind::Pubrec, 9)]
        {
            let ack = Packet::Ack(Ack::new(kind, id, Reason::Success));
            side.session.receive(ack, Now(0), &mut side.out);
        }
        side.session.suback(1, &[0, 0x80, 0x97], &mut side.out);
        side.session.unsuback(1, &[0, 0x11], &mut side.out);
        side.session.close(Reason::ProtocolError, &mut side.out);
        let sent = packets(&mut side);
        assert_eq!(sent.iter().map(|p| p[0]).collect::<Vec<_>>(), [0x70, 0x70, 0x62, 0x62, 0x90, 0xB0, 0xE0]);
        for bytes in &sent {
            assert!(reason_and_properties(bytes).1.is_empty(), "{bytes:x?}");
        }
        let mut side = Side::new(V5, &[wish], &Limits::default());
        refuse(V5, Reason::ServerBusy, &mut side.out);
        assert!(reason_and_properties(&packets(&mut side)[0]).1.is_empty());
    }
}

/// [MQTT-4.6.0-4], [MQTT-4.6.0-4] (3.1.1)
#[test]
fn releases_leave_in_the_order_in_which_the_client_said_that_it_has_the_messages() {
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        for topic in ["a", "b", "c"] {
            side.deliver(&message(2, topic), 2);
        }
        let ids = [2, 3, 1];
        let said: Vec<String> = ids.iter().flat_map(|id| side.ack(AckKind::Pubrec, *id)).collect();
        assert_eq!(said, ["Pubrel 2", "Pubrel 3", "Pubrel 1"]);
    }
}

/// The exchange of a QoS 2 message goes on to its end though its time is over meanwhile.
/// [MQTT-4.3.3-13]
#[test]
fn a_message_that_expires_during_its_exchange_is_still_acknowledged_to_the_end() {
    let mut side = Side::new(V5, &[], &Limits::default());
    let expiring = Publish { properties: properties(&[Property::MessageExpiry(1)]), ..publish(2, 7, "a") };
    assert_eq!(side.send(Packet::Publish(expiring)), ["take a q2 7", "Pubrec 7"]);
    side.now = Now(5_000);
    assert_eq!(side.send(Packet::Publish(Publish { dup: true, ..expiring })), ["Pubrec 7"]);
    assert_eq!(side.ack(AckKind::Pubrel, 7), ["Pubcomp 7"]);
}

/// A packet identifier that was answered is free, whatever DUP says.
/// [MQTT-4.3.2-5], [MQTT-4.3.2-2] (3.1.1) [MQTT-4.3.3-2] (3.1.1)
#[test]
fn a_message_that_says_it_comes_again_is_a_new_one_where_the_first_was_answered() {
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        let again = |qos, id| Packet::Publish(Publish { dup: true, ..publish(qos, id, "a") });
        assert_eq!(side.publish(1, 7, "a"), ["take a q1 7", "Puback 7"]);
        assert_eq!(side.send(again(1, 7)), ["take a q1 7", "Puback 7"]);
        assert_eq!(side.publish(2, 8, "a"), ["take a q2 8", "Pubrec 8"]);
        assert_eq!(side.send(again(2, 8)), ["Pubrec 8"]);
        assert_eq!(side.ack(AckKind::Pubrel, 8), ["Pubcomp 8"]);
        assert_eq!(side.send(again(2, 8)), ["take a q2 8", "Pubrec 8"]);
    }
}

/// A client of 3.1.1 cannot be told that it may not publish: the answer is that of a message that was taken.
/// [MQTT-3.3.5-2] (3.1.1)
#[test]
fn a_message_that_is_not_allowed_is_acknowledged_to_a_client_of_3_1_1() {
    for (qos, expected) in [(0, vec![]), (1, vec!["Puback 1"]), (2, vec!["Pubrec 1"])] {
        let mut side = Side::new(V311, &[], &Limits::default());
        side.answers = false;
        side.publish(qos, 1, "a");
        side.session.accepted(side.tickets[0], Reason::NotAuthorized, &mut side.out);
        assert_eq!(side.output(), expected);
    }
}

/// [MQTT-3.3.2-12]
#[test]
fn every_alias_that_was_offered_is_taken() {
    let limits = Limits::default();
    let mut side = Side::new(V5, &[], &limits);
    for topic in ["a", ""] {
        for alias in 1..=limits.topic_alias_max {
            let properties = properties(&[Property::TopicAlias(alias)]);
            let packet = Packet::Publish(Publish { properties, ..publish(0, 0, topic) });
            assert_eq!(side.send(packet), ["take a q0 0"], "{alias}");
        }
    }
}

/// As long as a topic can be, and no longer. [MQTT-4.7.3-3], [MQTT-4.7.3-3] (3.1.1)
#[test]
fn names_and_filters_have_up_to_65_535_bytes() {
    let longest: &'static str = "a".repeat(65_535).leak();
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        assert_eq!(side.publish(1, 1, longest).last().map(String::as_str), Some("Puback 1"));
        let filters = [SubscribeFilter { filter: longest, options: Default::default() }];
        let mut bytes = Vec::new();
        Subscribe::encode_for(version, 9, Properties::NONE, &filters, &mut bytes);
        let whole = frame(&bytes, usize::MAX).unwrap().unwrap();
        assert_eq!(side.send(Packet::decode(version, &whole).unwrap()), ["SUBACK 9 [0]"]);
        assert_eq!(side.deliver(&message(0, longest), 0).0, Delivered::Sent);
        let longer = "a".repeat(65_536);
        assert_eq!(side.deliver(&message(0, &longer), 0), (Delivered::TooLarge, vec![]));
    }
}
