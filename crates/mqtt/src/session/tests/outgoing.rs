//! Messages to the client: identifiers, the window, and what comes again.

use super::*;

/// [MQTT-2.2.1-2] [MQTT-2.2.1-4] [MQTT-3.3.1-2] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1]
/// [MQTT-4.3.3-2] [MQTT-4.3.3-4], [MQTT-2.3.1-4] (3.1.1) [MQTT-3.3.1-2] (3.1.1) [MQTT-4.3.1-1] (3.1.1)
/// [MQTT-4.3.2-1] (3.1.1) [MQTT-4.3.3-1] (3.1.1)
#[test]
fn messages_to_a_client_are_numbered_from_one_and_kept_until_it_has_them() {
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        let sent = |line: &str| (Delivered::Sent, vec![line.to_owned()]);
        assert_eq!(side.deliver(&message(2, "a"), 0), sent("PUBLISH \"a\" q0"));
        assert_eq!(side.session.inflight(), 0);
        assert_eq!(side.deliver(&message(2, "a"), 1), sent("PUBLISH \"a\" q1 1"));
        assert_eq!(side.deliver(&message(2, "b"), 2), sent("PUBLISH \"b\" q2 2"));
        assert_eq!(side.deliver(&message(2, "c"), 1), sent("PUBLISH \"c\" q1 3"));
        assert_eq!(side.session.inflight(), 3);
        assert_eq!(side.ack(AckKind::Pubrec, 2), ["Pubrel 2"]);
        assert_eq!(side.ack(AckKind::Pubrec, 2), ["Pubrel 2"], "a repetition is answered");
        assert_eq!(side.ack(AckKind::Puback, 1), ["acked"]);
        assert_eq!(side.ack(AckKind::Pubcomp, 2), ["acked"]);
        assert_eq!(side.ack(AckKind::Puback, 3), ["acked"]);
        assert_eq!(side.session.inflight(), 0);
        assert_eq!(side.deliver(&message(1, "d"), 1), sent("PUBLISH \"d\" q1 4"));
    }
}

/// [MQTT-4.3.3-4] [MQTT-4.4.0-2] [MQTT-3.6.2-1]
#[test]
fn acknowledgements_of_nothing_change_nothing_and_wrong_ones_end_the_connection() {
    let mut side = Side::new(V5, &[], &Limits::default());
    side.deliver(&message(1, "a"), 1);
    side.deliver(&message(2, "b"), 2);
    assert_eq!(side.ack(AckKind::Puback, 9), NOTHING);
    assert_eq!(side.ack(AckKind::Pubcomp, 9), NOTHING);
    assert_eq!(side.ack(AckKind::Pubrec, 9), ["Pubrel 9 packet_identifier_not_found"]);
    assert_eq!((side.session.inflight(), side.missed), (2, 3));
    let refused = |id| Packet::Ack(Ack::new(AckKind::Pubrec, id, Reason::QuotaExceeded));
    assert_eq!(side.send(refused(9)), NOTHING);
    assert_eq!(side.send(refused(2)), ["acked"], "an error ends the exchange");
    assert_eq!(side.send(Packet::Ack(Ack::new(AckKind::Puback, 1, Reason::Unspecified))), ["acked"]);
    assert_eq!(side.session.inflight(), 0);
    // QoS 2 has no PUBACK and no PUBCOMP before the PUBREC, QoS 1 has neither PUBREC nor PUBCOMP.
    use AckKind::{Puback, Pubcomp, Pubrec};
    for (qos, kind) in [(2, Puback), (2, Pubcomp), (1, Pubcomp), (1, Pubrec)] {
        let mut side = Side::new(V5, &[], &Limits::default());
        side.deliver(&message(qos, "a"), qos);
        assert_eq!(side.ack(kind, 1), ["DISCONNECT protocol_error", "end protocol_error"], "{qos} {kind:?}");
    }
}

/// [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]
#[test]
fn the_window_is_what_the_client_and_the_zone_allow() {
    let table = [
        (V5, Some(2), 32, 2),
        (V5, Some(50), 3, 3),
        (V5, None, 4, 4),
        (V5, Some(5), 0, 5),
        (V311, None, 2, 2),
    ];
    for (version, receive_max, inflight_max, window) in table {
        let list: Vec<_> = receive_max.map(Property::ReceiveMax).into_iter().collect();
        let mut side = Side::new(version, &list, &Limits { inflight_max, ..Limits::default() });
        assert_eq!(side.session.inflight_max(), window);
        for _ in 0..window {
            assert_eq!(side.deliver(&message(1, "a"), 1).0, Delivered::Sent);
        }
        assert!(!side.session.has_room());
        assert_eq!(side.deliver(&message(1, "a"), 1), (Delivered::NoRoom, vec![]));
        assert_eq!(side.deliver(&message(1, "a"), 0).0, Delivered::Sent, "QoS 0 needs no room");
        assert_eq!(side.send(Packet::Pingreq).len(), 1);
        side.ack(AckKind::Puback, 2);
        assert_eq!(side.deliver(&message(1, "a"), 1).1, [format!("PUBLISH \"a\" q1 {}", window + 1)]);
    }
}

/// A PUBREC does not make room, a PUBCOMP does.
#[test]
fn qos_2_messages_stay_in_the_window_until_the_end_of_their_exchange() {
    let mut side = Side::new(V5, &[Property::ReceiveMax(1)], &Limits::default());
    side.deliver(&message(2, "a"), 2);
    side.ack(AckKind::Pubrec, 1);
    assert!(!side.session.has_room());
    assert_eq!(side.ack(AckKind::Pubcomp, 1), ["acked"]);
    assert!(side.session.has_room());
}

/// [MQTT-2.2.1-4], [MQTT-2.3.1-4] (3.1.1)
#[test]
fn identifiers_go_round_and_pass_over_those_in_use() {
    let mut side = Side::new(V5, &[], &Limits { inflight_max: 4, ..Limits::default() });
    side.deliver(&message(1, "a"), 1);
    let mut before = 1;
    for _ in 0..140_000 {
        let (_, said) = side.deliver(&message(1, "b"), 1);
        let id = before % 65_535 + 1;
        let id = if id == 1 { 2 } else { id };
        assert_eq!(said, [format!("PUBLISH \"b\" q1 {id}")]);
        assert_eq!(side.ack(AckKind::Puback, id), ["acked"]);
        before = id;
    }
    assert_eq!(side.ack(AckKind::Puback, 1), ["acked"]);
}

#[test]
fn acknowledgements_in_any_order_find_their_message_even_after_the_identifiers_went_round() {
    let flight = Flight { last_id: 65_530, ..Flight::default() };
    let mut side = Side::resumed(V5, &[], &Limits { inflight_max: 0, ..Limits::default() }, flight);
    let ids: Vec<u16> = (0..20).map(|n| if n < 5 { 65_531 + n } else { n - 4 }).collect();
    for id in &ids {
        assert_eq!(side.deliver(&message(1, "b"), 1).1, [format!("PUBLISH \"b\" q1 {id}")]);
    }
    for position in [7, 0, 19, 3, 12, 1, 2, 18, 4, 5, 6, 17, 8, 9, 10, 16, 11, 13, 15, 14] {
        assert_eq!(side.ack(AckKind::Puback, ids[position]), ["acked"], "{position}");
        assert_eq!(side.ack(AckKind::Puback, ids[position]), NOTHING);
    }
    assert_eq!(side.session.inflight(), 0);
}

/// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn nothing_is_sent_that_is_larger_than_the_client_takes() {
    // PUBLISH of QoS 0 with topic `a`: type, length, 2 + 1 topic, properties' length, payload.
    for (max, expected) in [(7, Delivered::Sent), (6, Delivered::TooLarge)] {
        let mut side = Side::new(V5, &[Property::MaxPacketSize(max)], &Limits::default());
        assert_eq!(side.deliver(&message(0, "a"), 0).0, expected);
    }
    let long = "a".repeat(65_536);
    let mut side = Side::new(V311, &[], &Limits::default());
    assert_eq!(side.deliver(&message(1, &long), 1), (Delivered::TooLarge, vec![]));
    let mut side = Side::new(V5, &[Property::MaxPacketSize(8)], &Limits::default());
    assert_eq!(side.deliver(&message(1, "a"), 1), (Delivered::TooLarge, vec![]));
    assert_eq!((side.session.inflight(), side.session.has_room()), (0, true));
    // A SUBACK that does not fit cannot be left out, so the connection ends; a DISCONNECT would fit.
    side.session.suback(1, &[0; 10], &mut side.out);
    assert_eq!(side.output(), ["end packet_too_large"]);
    let mut side = Side::new(V5, &[Property::MaxPacketSize(2)], &Limits::default());
    side.session.close(Reason::ServerShuttingDown, &mut side.out);
    assert_eq!(side.output(), ["end packet_too_large"]);
    // A CONNACK that refuses has five bytes.
    for (max, connack) in [(5, 5), (4, 0)] {
        let mut out = Out::default();
        refuse(&connect(V5, &[Property::MaxPacketSize(max)]), Reason::ServerBusy, &mut out);
        assert_eq!((out.len(), out.closing()), (connack, Some(Close::ByServer(Reason::ServerBusy))));
    }
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]
#[test]
fn a_message_whose_time_is_over_is_not_sent() {
    let mut side = Side::new(V5, &[], &Limits::default());
    let expiring = MessageRef { expiry: Some(2), ..message(1, "a") };
    side.now = Now(1999);
    assert_eq!(side.deliver(&expiring, 1).1, ["PUBLISH \"a\" q1 1 MessageExpiry(1)"]);
    side.now = Now(2000);
    assert_eq!(side.deliver(&expiring, 1), (Delivered::Expired, vec![]));
}

#[test]
fn one_buffer_serves_all_who_keep_a_message_and_nobody_keeps_qos_0() {
    let large = vec![1; LARGE_PAYLOAD_BYTES];
    for (payload, qos, expected) in
        [(&b"x"[..], 0, 0), (&b"x"[..], 1, 4), (&large[..], 0, 4), (&large[..], 1, 7)]
    {
        let message = MessageRef { payload, ..message(2, "a") };
        let how = Delivery { qos: QoS::from_bits(qos).unwrap(), retain: false, subscription_ids: &[] };
        let mut copies = Copies::default();
        let mut sides: Vec<Side> = (0..3).map(|_| Side::new(V5, &[], &Limits::default())).collect();
        for side in &mut sides {
            side.session.deliver(&message, &mut copies, &how, Epoch(1000), &mut side.out);
        }
        assert_eq!(
            copies.kept().map_or(0, crate::Message::holders),
            expected,
            "QoS {qos} {} bytes",
            payload.len()
        );
        let bytes: Vec<Vec<u8>> = sides.iter_mut().map(|s| s.out.take_bytes()).collect();
        assert!(bytes[0] == bytes[2] && bytes[0].ends_with(payload));
    }
}

#[test]
fn what_clients_share_is_what_each_would_have_got_alone() {
    let large = vec![1; LARGE_PAYLOAD_BYTES];
    for payload in [&b"x"[..], &large] {
        let message = MessageRef { payload, expiry: Some(60), ..message(2, "a/b") };
        let sides = || {
            let mut sides = Vec::new();
            for version in [V5, V311] {
                for list in [&[][..], &[Property::TopicAliasMax(5)], &[Property::MaxPacketSize(40)]] {
                    let list = if version == V5 { list } else { &[] };
                    sides.push(Side::new(version, list, &Limits::default()));
                }
            }
            sides[3].session.set_mount("a/");
            sides
        };
        let (mut shared, mut alone) = (sides(), sides());
        for round in 0..3u8 {
            let mut copies = Copies::default();
            copies.are_for(shared.len());
            for (n, (one, other)) in shared.iter_mut().zip(&mut alone).enumerate() {
                for (qos, retain, ids) in
                    [(0, false, &[][..]), (1, false, &[]), (2, true, &[]), (1, true, &[7])]
                {
                    let how = Delivery { qos: QoS::from_bits(qos).unwrap(), retain, subscription_ids: ids };
                    let got = one.session.deliver(&message, &mut copies, &how, Epoch(1000), &mut one.out);
                    let by_itself = &mut Copies::default();
                    let wanted =
                        other.session.deliver(&message, by_itself, &how, Epoch(1000), &mut other.out);
                    assert_eq!(got, wanted, "round {round} client {n} QoS {qos}");
                    assert_eq!(
                        one.out.take_bytes(),
                        other.out.take_bytes(),
                        "round {round} client {n} QoS {qos}"
                    );
                }
            }
        }
    }
}

/// [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11]
#[test]
fn topics_are_named_by_number_to_clients_that_allow_it() {
    let mut side = Side::new(V5, &[Property::TopicAliasMax(1)], &Limits::default());
    let lines = |side: &mut Side| -> Vec<String> {
        ["long/topic", "long/topic", "other/topic", "long/topic"]
            .iter()
            .flat_map(|topic| side.deliver(&message(0, topic), 0).1)
            .collect()
    };
    let expected = [
        "PUBLISH \"long/topic\" q0 TopicAlias(1)",
        "PUBLISH \"\" q0 TopicAlias(1)",
        "PUBLISH \"other/topic\" q0",
        "PUBLISH \"\" q0 TopicAlias(1)",
    ];
    assert_eq!(lines(&mut side), expected);
    for list in [&[][..], &[Property::TopicAliasMax(0)]] {
        let said = lines(&mut Side::new(V5, list, &Limits::default()));
        assert!(said.iter().all(|line| !line.contains("Alias")), "{said:?}");
    }
    // An alias that a client was told on an earlier connection means nothing on this one.
    side.deliver(&message(1, "long/topic"), 1);
    let mut side =
        Side::resumed(V5, &[Property::TopicAliasMax(1)], &Limits::default(), side.session.suspend());
    side.session.resend(Epoch(1000), &mut side.out);
    assert_eq!(side.output(), ["PUBLISH \"long/topic\" q1 1 dup"]);
}

/// Of a session that had subscribed behind another mountpoint, or none, more comes than what is behind its own.
#[test]
fn only_the_mountpoint_itself_is_taken_away_from_topics() {
    let mut side = Side::new(V5, &[], &Limits::default());
    side.session.set_mount("one/");
    let lines = |side: &mut Side| -> Vec<String> {
        let topics = ["one/t", "two/t", "one/", "one/one/t"];
        topics.iter().flat_map(|topic| side.deliver(&message(1, topic), 1).1).collect()
    };
    let topics = |lines: Vec<String>| -> Vec<String> {
        lines.iter().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
    };
    assert_eq!(topics(lines(&mut side)), ["t", "two/t", "one/", "one/t"]);
    let mut side = Side::resumed(V5, &[], &Limits::default(), side.session.suspend());
    side.session.set_mount("two/");
    side.session.resend(Epoch(1000), &mut side.out);
    assert_eq!(topics(side.output()), ["one/t", "t", "one/", "one/one/t"]);
}

/// [MQTT-3.3.1-1] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.3.3-7]
/// [MQTT-4.4.0-1] [MQTT-4.6.0-1], [MQTT-2.3.1-4] (3.1.1) [MQTT-3.3.1-1] (3.1.1) [MQTT-4.4.0-1] (3.1.1)
/// [MQTT-4.6.0-1] (3.1.1)
#[test]
fn what_a_client_has_not_acknowledged_comes_again_on_its_next_connection() {
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        let expiring = MessageRef { expiry: Some(1), ..message(2, "e") };
        side.deliver(&message(1, "a"), 1);
        side.deliver_for(&message(2, "b"), 2, &[4]);
        side.deliver(&message(2, "c"), 2);
        side.deliver(&message(1, "d"), 1);
        side.deliver(&expiring, 2);
        side.ack(AckKind::Pubrec, 3);
        side.ack(AckKind::Puback, 1);
        side.publish(2, 70, "up");
        // It travels to another node.
        let mut bytes = Vec::new();
        side.session.suspend().encode(&mut bytes);
        let flight = Flight::decode(&bytes).unwrap();
        let (waiting, waiting_qos1) = (flight.messages().count(), flight.messages_qos1().count());
        assert_eq!((flight.len(), waiting, waiting_qos1), (4, 3, 1));

        let mut side = Side::resumed(version, &[], &Limits::default(), flight);
        side.session.resend(Epoch(5000), &mut side.out);
        let (id, expiry) =
            if version.is_v5() { (" SubscriptionId(4)", " MessageExpiry(0)") } else { ("", "") };
        let expected = [
            format!("PUBLISH \"b\" q2 2 dup{id}"),
            "Pubrel 3".to_owned(),
            "PUBLISH \"d\" q1 4 dup".to_owned(),
            format!("PUBLISH \"e\" q2 5 dup{expiry}"),
        ];
        assert_eq!(side.output(), expected);
        assert_eq!(side.publish(2, 70, "up"), ["Pubrec 70"], "it was taken before");
        assert_eq!(side.deliver(&message(1, "f"), 1).1, ["PUBLISH \"f\" q1 6"]);
        assert_eq!(side.ack(AckKind::Pubcomp, 3), ["acked"]);
        assert_eq!(side.ack(AckKind::Pubrec, 2), ["Pubrel 2"]);
        assert_eq!(side.session.inflight(), 4);
    }
}

/// [MQTT-3.3.4-9]
#[test]
fn a_smaller_window_is_kept_when_messages_come_again() {
    let mut side = Side::new(V5, &[], &Limits::default());
    for topic in ["a", "b", "c", "d", "e"] {
        side.deliver(&message(1, topic), 1);
    }
    let flight = side.session.suspend();
    let mut side = Side::resumed(V5, &[Property::ReceiveMax(2)], &Limits::default(), flight);
    side.session.resend(Epoch(1000), &mut side.out);
    assert_eq!(side.output(), ["PUBLISH \"a\" q1 1 dup", "PUBLISH \"b\" q1 2 dup"]);
    assert_eq!(side.deliver(&message(1, "f"), 1).0, Delivered::NoRoom, "later messages come later");
    assert_eq!(side.ack(AckKind::Puback, 2), ["acked", "PUBLISH \"c\" q1 3 dup"]);
    assert_eq!(side.ack(AckKind::Puback, 5), ["acked"], "one that was not sent again yet");
    assert_eq!(side.ack(AckKind::Puback, 1), ["acked", "PUBLISH \"d\" q1 4 dup"]);
    assert_eq!(side.ack(AckKind::Puback, 3), ["acked"]);
    assert_eq!(side.deliver(&message(1, "f"), 1).1, ["PUBLISH \"f\" q1 6"]);
}

#[test]
fn a_message_that_has_become_too_large_is_not_sent_again() {
    let mut side = Side::new(V5, &[], &Limits::default());
    side.deliver(&message(1, "a/very/long/topic"), 1);
    side.deliver(&message(1, "b"), 1);
    let flight = side.session.suspend();
    let mut side = Side::resumed(V5, &[Property::MaxPacketSize(12)], &Limits::default(), flight);
    side.session.resend(Epoch(1000), &mut side.out);
    assert_eq!((side.output(), side.session.inflight()), (vec!["PUBLISH \"b\" q1 2 dup".to_owned()], 1));
}

/// Whatever two connections of one session send and acknowledge, nothing panics, the window is kept,
/// and an acknowledged message does not come back.
#[test]
fn random_exchanges_keep_the_window_and_the_identifiers() {
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..200 {
        let version = BOTH[next(2) as usize];
        let mut flight = Flight { last_id: [0, 65_530][next(2) as usize], ..Flight::default() };
        for _ in 0..3 {
            let window = 1 + next(6) as u16;
            let limits = Limits { inflight_max: window, awaiting_rel_max: 3, ..Limits::default() };
            let mut side = Side::resumed(version, &[], &limits, flight);
            side.session.resend(Epoch(1000), &mut side.out);
            let mut open: Vec<u16> = Vec::new();
            let mut said = side.output();
            for _ in 0..60 {
                for line in said.drain(..) {
                    let mut words = line.split_whitespace();
                    if words.next() == Some("PUBLISH") && words.nth(1) != Some("q0") {
                        let id: u16 = words.next().unwrap().parse().unwrap();
                        assert!(!open.contains(&id), "round {round}: {id} is in use");
                        open.push(id);
                    }
                }
                let sent = open.len();
                assert!(sent <= usize::from(window), "round {round}: {sent} of {window}");
                assert!(side.session.inflight() >= sent, "round {round}");
                let is_any = open.is_empty() || next(8) == 0;
                let id = if is_any { 1 + next(8) as u16 } else { open[next(sent as u64) as usize] };
                said = match next(6) {
                    0 | 1 => side.deliver(&message(next(3) as u8, "some/topic"), 2).1,
                    2 => side.ack(AckKind::Puback, id),
                    3 => side.ack(AckKind::Pubrec, id),
                    4 => side.ack(AckKind::Pubcomp, id),
                    _ => side.ack(AckKind::Pubrel, id),
                };
                if said.first().is_some_and(|line| line == "acked") {
                    open.retain(|o| *o != id);
                }
            }
            let mut bytes = Vec::new();
            side.session.suspend().encode(&mut bytes);
            flight = Flight::decode(&bytes).unwrap();
        }
    }
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
    assert!(size_of::<Out>() <= 64, "{}", size_of::<Out>());
    let mut side = Side::new(V5, &[], &Limits::default());
    for id in 1..=20 {
        side.deliver(&message(1, "a"), 1);
        side.ack(AckKind::Puback, id);
    }
    side.session.expire(Now(1), &mut side.out);
    assert_eq!(side.session.outgoing.capacity(), 0);
}
