//! A session as its client sees it: packets in, packets out, and what the broker is asked. Tags name
//! statements of 5.0; those of 3.1.1 have its number after them.

use super::*;
use crate::packet::{Publish, Will};
use crate::{frame, packet};

mod answers;

const V311: Version = Version::V311;
const V5: Version = Version::V5;
const BOTH: [Version; 2] = [V311, V5];

fn properties(list: &[Property<'_>]) -> Properties<'static> {
    let mut raw = Vec::new();
    list.iter().for_each(|p| p.write(&mut raw));
    Properties::trusted(raw.leak())
}

fn connect(version: Version, list: &[Property<'_>]) -> Connect<'static> {
    Connect {
        version,
        clean_start: false,
        keep_alive: 10,
        client_id: "c",
        username: None,
        password: None,
        will: None,
        properties: if version.is_v5() { properties(list) } else { Properties::NONE },
        bridge: false,
    }
}

fn publish(qos: u8, packet_id: u16, topic: &'static str) -> Publish<'static> {
    Publish {
        dup: false,
        qos: QoS::from_bits(qos).unwrap(),
        retain: false,
        topic,
        packet_id,
        properties: Properties::NONE,
        payload: b"x",
    }
}

fn message(qos: u8, topic: &str) -> MessageRef<'_> {
    MessageRef {
        topic,
        payload: b"x",
        properties: Properties::NONE,
        qos: QoS::from_bits(qos).unwrap(),
        retain: false,
        created: Epoch(1000),
        expiry: None,
        publisher: "p",
    }
}

/// A session, and what its client and its broker have seen of it.
struct Side {
    session: Session,
    out: Out,
    now: Now,
    /// Tickets of messages that the broker has not answered.
    tickets: Vec<Ticket>,
    /// Acknowledgements that fitted nothing.
    missed: usize,
    /// Whether the broker answers at once.
    answers: bool,
}

impl Side {
    fn new(version: Version, list: &[Property<'_>], limits: &Limits) -> Side {
        Side::resumed(version, list, limits, Flight::default())
    }

    fn resumed(version: Version, list: &[Property<'_>], limits: &Limits, flight: Flight) -> Side {
        let session = Session::open(&connect(version, list), limits, flight, Now(0));
        Side { session, out: Out::default(), now: Now(0), tickets: Vec::new(), missed: 0, answers: true }
    }

    /// A packet of the client; what follows, in words.
    fn send(&mut self, packet: Packet<'_>) -> Vec<String> {
        let request = self.session.receive(packet, self.now, &mut self.out);
        let mut said = Vec::new();
        match request {
            None => {}
            Some(Request::Publish(p)) => {
                said.push(format!("take {} q{} {:?}", &*p.topic, p.qos as u8, p.ticket.packet_id()));
                if self.answers {
                    self.session.accepted(p.ticket, Reason::Success, &mut self.out);
                } else {
                    self.session.defer(p.ticket);
                    self.tickets.push(p.ticket);
                }
            }
            Some(Request::Subscribe(s)) => {
                let codes: Vec<u8> = s.filters().map(|f| f.options.qos as u8).collect();
                self.session.suback(s.packet_id, &codes, &mut self.out);
            }
            Some(Request::Unsubscribe(u)) => {
                let codes = vec![0; u.filters().count()];
                self.session.unsuback(u.packet_id, &codes, &mut self.out);
            }
            Some(Request::Acked) => said.push("acked".into()),
            Some(Request::Missed) => self.missed += 1,
            Some(Request::Disconnect { will, session_expiry }) => {
                said.push(format!("bye will={will} {session_expiry:?}"));
            }
        }
        said.extend(self.output());
        said
    }

    fn publish(&mut self, qos: u8, packet_id: u16, topic: &'static str) -> Vec<String> {
        self.send(Packet::Publish(publish(qos, packet_id, topic)))
    }

    fn ack(&mut self, kind: AckKind, packet_id: u16) -> Vec<String> {
        self.send(Packet::Ack(Ack::new(kind, packet_id, Reason::Success)))
    }

    fn deliver(&mut self, message: &MessageRef<'_>, qos: u8) -> (Delivered, Vec<String>) {
        self.deliver_for(message, qos, &[])
    }

    fn deliver_for(&mut self, message: &MessageRef<'_>, qos: u8, ids: &[u32]) -> (Delivered, Vec<String>) {
        let qos = QoS::from_bits(qos).unwrap();
        let how = Delivery { qos, retain: false, subscription_ids: ids };
        let epoch = Epoch(1000 + self.now.0);
        let delivered = self.session.deliver(message, &mut None, &how, epoch, &mut self.out);
        (delivered, self.output())
    }

    /// What the client gets, in words.
    fn output(&mut self) -> Vec<String> {
        let mut said = in_words(self.session.version(), &self.out.take_bytes());
        if let Some(close) = self.out.closing() {
            said.push(match close {
                Close::ByClient => "end by client".into(),
                Close::ByServer(reason) => format!("end {}", reason.words()),
            });
        }
        said
    }
}

fn in_words(version: Version, mut bytes: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(whole) = frame(bytes, usize::MAX).unwrap() {
        said.push(match Packet::decode(version, &whole).unwrap() {
            Packet::Publish(p) => {
                let dup = if p.dup { " dup" } else { "" };
                let id = if p.packet_id > 0 { format!(" {}", p.packet_id) } else { String::new() };
                let list: Vec<String> = p.properties.iter().map(|p| format!(" {p:?}")).collect();
                format!("PUBLISH {:?} q{}{id}{dup}{}", p.topic, p.qos as u8, list.concat())
            }
            Packet::Ack(a) => {
                let reason = if a.reason == Reason::Success { "" } else { a.reason.words() };
                format!("{:?} {} {reason}", a.kind, a.packet_id).trim_end().to_owned()
            }
            Packet::Suback(s) => format!("SUBACK {} {:?}", s.packet_id, s.codes),
            Packet::Unsuback(s) => format!("UNSUBACK {} {:?}", s.packet_id, s.codes),
            Packet::Connack(c) => {
                let list: Vec<String> = c.properties.iter().map(|p| format!(" {p:?}")).collect();
                format!("CONNACK {} {}{}", c.session_present, c.reason.words(), list.concat())
            }
            Packet::Disconnect(d) => format!("DISCONNECT {}", d.reason.words()),
            other => format!("{other:?}"),
        });
        bytes = &bytes[whole.length..];
    }
    assert!(bytes.is_empty(), "half a packet");
    said
}

const NOTHING: [&str; 0] = [];

/// [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-4.3.1-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.3-10]
/// [MQTT-4.3.3-11] [MQTT-4.3.3-12] [MQTT-3.7.2-1], [MQTT-2.3.1-6] (3.1.1) [MQTT-3.3.4-1] (3.1.1)
/// [MQTT-4.3.2-2] (3.1.1) [MQTT-4.3.3-2] (3.1.1)
#[test]
fn messages_of_a_client_are_taken_once_and_answered_by_their_qos() {
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        assert_eq!(side.publish(0, 0, "a"), ["take a q0 0"]);
        assert_eq!(side.publish(1, 7, "a"), ["take a q1 7", "Puback 7"]);
        assert_eq!(side.publish(1, 7, "a"), ["take a q1 7", "Puback 7"], "QoS 1 is taken each time");
        assert_eq!(side.publish(2, 8, "a"), ["take a q2 8", "Pubrec 8"]);
        assert_eq!(side.publish(2, 8, "a"), ["Pubrec 8"], "a QoS 2 message is taken once");
        assert_eq!(side.session.awaiting_rel(), 1);
        assert_eq!(side.ack(AckKind::Pubrel, 8), ["Pubcomp 8"]);
        let unknown = if version.is_v5() { "Pubcomp 8 packet_identifier_not_found" } else { "Pubcomp 8" };
        assert_eq!(side.ack(AckKind::Pubrel, 8), [unknown]);
        assert_eq!(side.publish(2, 8, "b"), ["take b q2 8", "Pubrec 8"], "the identifier is free again");
    }
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3], [MQTT-4.6.0-2] (3.1.1) [MQTT-4.6.0-3] (3.1.1)
#[test]
fn answers_that_come_later_leave_in_the_order_of_the_messages() {
    let mut side = Side::new(V5, &[], &Limits::default());
    side.answers = false;
    assert_eq!(side.publish(1, 1, "a"), ["take a q1 1"]);
    assert_eq!(side.publish(2, 2, "a"), ["take a q2 2"]);
    assert_eq!(side.publish(2, 2, "a"), NOTHING, "its answer is on its way");
    assert_eq!(side.publish(1, 3, "a"), ["take a q1 3"]);
    side.answers = true;
    assert_eq!(side.publish(1, 4, "a"), ["take a q1 4"], "it waits for those before it");
    let tickets = side.tickets.clone();
    side.session.accepted(tickets[1], Reason::Success, &mut side.out);
    side.session.accepted(tickets[2], Reason::NoMatchingSubscribers, &mut side.out);
    assert_eq!(side.output(), NOTHING);
    side.session.accepted(tickets[0], Reason::QuotaExceeded, &mut side.out);
    let expected = ["Puback 1 quota_exceeded", "Pubrec 2", "Puback 3 no_matching_subscribers", "Puback 4"];
    assert_eq!(side.output(), expected);
    assert_eq!(side.publish(1, 5, "a"), ["take a q1 5", "Puback 5"]);
}

/// [MQTT-4.3.3-9]
#[test]
fn a_refused_qos_2_message_is_forgotten() {
    for (version, answer) in [(V5, "Pubrec 1 not_authorized"), (V311, "Pubrec 1")] {
        let mut side = Side::new(version, &[], &Limits::default());
        side.answers = false;
        side.publish(2, 1, "a");
        side.session.accepted(side.tickets[0], Reason::NotAuthorized, &mut side.out);
        assert_eq!(side.output(), [answer]);
        assert_eq!(side.session.awaiting_rel(), 0);
        side.answers = true;
        assert_eq!(side.publish(2, 1, "a"), ["take a q2 1", "Pubrec 1"]);
    }
}

/// [MQTT-3.3.4-7] [MQTT-4.9.0-2]
#[test]
fn a_client_that_sends_more_than_the_receive_maximum_is_ended() {
    let limits = Limits { awaiting_rel_max: 2, ..Limits::default() };
    let ends = ["DISCONNECT receive_maximum_exceeded", "end receive_maximum_exceeded"];
    // QoS 2 messages count until PUBREL.
    let mut side = Side::new(V5, &[], &limits);
    side.publish(2, 1, "a");
    side.publish(2, 2, "a");
    assert_eq!(side.publish(2, 2, "a"), ["Pubrec 2"], "a repetition does not count");
    side.ack(AckKind::Pubrel, 1);
    side.publish(2, 3, "a");
    assert_eq!(side.publish(0, 0, "a"), ["take a q0 0"]);
    assert_eq!(side.publish(1, 4, "a"), ends);
    // QoS 1 messages count until their answer.
    let mut side = Side::new(V5, &[], &limits);
    for id in 1..10 {
        side.publish(1, id, "a");
    }
    side.answers = false;
    side.publish(1, 10, "a");
    side.publish(2, 11, "a");
    assert_eq!(side.publish(1, 12, "a"), ends);
    // Clients of 3.1.1 know no such limit but for QoS 2.
    let mut side = Side::new(V311, &[], &limits);
    side.answers = false;
    for id in 1..10 {
        assert_eq!(side.publish(1, id, "a").len(), 1);
    }
    side.answers = true;
    side.publish(2, 20, "a");
    side.publish(2, 21, "a");
    assert_eq!(side.publish(2, 22, "a"), ["end receive_maximum_exceeded"]);
    // 0 is no limit.
    let mut side = Side::new(V5, &[], &Limits { awaiting_rel_max: 0, ..limits });
    for id in 1..=1000 {
        assert_eq!(side.publish(2, id, "a").len(), 2);
    }
}

#[test]
fn a_qos_2_message_whose_pubrel_never_comes_is_given_up() {
    let limits = Limits { awaiting_rel_max: 1, await_rel_timeout_ms: 500, ..Limits::default() };
    let mut side = Side::new(V5, &[], &limits);
    side.publish(2, 1, "a");
    assert_eq!(side.session.wake_at(), Some(Now(500)));
    side.session.expire(Now(499), &mut side.out);
    assert_eq!(side.session.awaiting_rel(), 1);
    side.session.expire(Now(500), &mut side.out);
    assert_eq!((side.session.awaiting_rel(), side.session.wake_at()), (0, Some(Now(15_000))));
    side.publish(2, 2, "a");
    side.now = Now(500);
    assert_eq!(side.publish(2, 3, "a"), ["take a q2 3", "Pubrec 3"], "an old one makes room");
}

/// [MQTT-3.3.2-7] [MQTT-3.3.2-8] [MQTT-3.3.2-9]
#[test]
fn topic_aliases_of_a_client_stand_for_what_it_set_last() {
    let limits = Limits { topic_alias_max: 3, ..Limits::default() };
    let send = |side: &mut Side, topic: &'static str, alias: u16| {
        let properties = properties(&[Property::TopicAlias(alias)]);
        side.send(Packet::Publish(Publish { properties, ..publish(0, 0, topic) }))
    };
    let mut side = Side::new(V5, &[], &limits);
    assert_eq!(send(&mut side, "a", 3), ["take a q0 0"]);
    assert_eq!(send(&mut side, "", 3), ["take a q0 0"]);
    assert_eq!(send(&mut side, "b", 3), ["take b q0 0"]);
    assert_eq!(send(&mut side, "", 3), ["take b q0 0"]);
    for (topic, alias, reason) in [
        ("a", 0, "topic_alias_invalid"),
        ("a", 4, "topic_alias_invalid"),
        ("", 4, "topic_alias_invalid"),
        ("", 2, "protocol_error"),
    ] {
        let mut side = Side::new(V5, &[], &limits);
        let expected = [format!("DISCONNECT {reason}"), format!("end {reason}")];
        assert_eq!(send(&mut side, topic, alias), expected, "{topic} {alias}");
    }
    let mut side = Side::new(V5, &[], &limits);
    assert_eq!(side.publish(0, 0, ""), ["DISCONNECT protocol_error", "end protocol_error"]);
}

/// [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.3.4-6]
#[test]
fn a_message_beyond_the_limits_of_the_zone_ends_the_connection() {
    let limits = Limits {
        qos_max: QoS::AtLeastOnce,
        retain_available: false,
        topic_levels_max: 3,
        ..Limits::default()
    };
    let with_id = properties(&[Property::SubscriptionId(1)]);
    let table = [
        (publish(2, 1, "a"), "qos_not_supported"),
        (Publish { retain: true, ..publish(0, 0, "a") }, "retain_not_supported"),
        (publish(0, 0, "a/b/c/d"), "topic_name_invalid"),
        (Publish { properties: with_id, ..publish(0, 0, "a") }, "protocol_error"),
    ];
    for (packet, reason) in table {
        for version in BOTH {
            if !version.is_v5() && !packet.properties.is_empty() {
                continue;
            }
            let mut expected = vec![format!("DISCONNECT {reason}"), format!("end {reason}")];
            expected.drain(..usize::from(!version.is_v5()));
            assert_eq!(Side::new(version, &[], &limits).send(Packet::Publish(packet)), expected);
        }
    }
    assert_eq!(Side::new(V5, &[], &limits).publish(1, 1, "a/b/c"), ["take a/b/c q1 1", "Puback 1"]);
}

/// What a PUBLISH hands on, and what it does not. [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16]
/// [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn forwarded_properties_reach_the_subscriber_unchanged_and_in_order() {
    let list = [
        Property::User(("b", "2")),
        Property::MessageExpiry(60),
        Property::CorrelationData(&[1, 0]),
        Property::User(("a", "1")),
        Property::TopicAlias(1),
        Property::ResponseTopic("r"),
        Property::ContentType("t"),
        Property::PayloadFormat(1),
    ];
    let mut publisher = Side::new(V5, &[], &Limits::default());
    let packet = Packet::Publish(Publish { properties: properties(&list), ..publish(0, 0, "a/b/c") });
    let Some(Request::Publish(p)) = publisher.session.receive(packet, Now(0), &mut publisher.out) else {
        panic!("it is a valid message");
    };
    let message = MessageRef {
        topic: &p.topic,
        payload: p.payload,
        properties: Properties::trusted(&p.properties),
        qos: p.qos,
        retain: p.retain,
        created: Epoch(1000),
        expiry: p.expiry,
        publisher: "p",
    };
    let mut subscriber = Side::new(V5, &[], &Limits::default());
    subscriber.now = Now(1500);
    let (_, said) = subscriber.deliver_for(&message, 0, &[5]);
    let expected = [
        // [MQTT-3.3.2-6]
        Property::MessageExpiry(59),
        list[0],
        list[2],
        list[3],
        list[5],
        list[6],
        list[7],
        // [MQTT-3.3.4-3]
        Property::SubscriptionId(5),
    ];
    let words: Vec<String> = expected.iter().map(|p| format!(" {p:?}")).collect();
    assert_eq!(said, [format!("PUBLISH \"a/b/c\" q0{}", words.concat())]);
    let (_, said) = Side::new(V311, &[], &Limits::default()).deliver_for(&message, 0, &[5]);
    assert_eq!(said, ["PUBLISH \"a/b/c\" q0"]);
}

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
        assert_eq!(side.deliver(&message(1, "c"), 2), sent("PUBLISH \"c\" q1 3"));
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

/// After a break a client may repeat a PUBREL whose PUBCOMP it did not get: that is no error.
#[test]
fn a_pubrel_of_before_is_no_error_in_a_session_that_goes_on() {
    for (present, expected) in [(false, "Pubcomp 9 packet_identifier_not_found"), (true, "Pubcomp 9")] {
        let mut side = Side::new(V5, &[], &Limits::default());
        let connect = connect(V5, &[]);
        side.session.connack(&connect, &Limits::default(), present, None, 0, &mut side.out);
        side.output();
        assert_eq!(side.ack(AckKind::Pubrel, 9), [expected]);
    }
}

/// What §1.5.4 advises against is refused where the zone is strict, and else taken.
#[test]
fn strict_zones_take_no_control_characters() {
    for strict in [false, true] {
        let limits = Limits { strict, ..Limits::default() };
        for text in ["a\u{1}", "a\u{7f}", "a\u{9f}", "a\u{fdd0}", "a\u{1ffff}"] {
            let filters = [packet::SubscribeFilter { filter: text, options: Default::default() }];
            let mut bytes = Vec::new();
            Subscribe::encode_for(V5, 9, Properties::NONE, &filters, &mut bytes);
            let whole = frame(&bytes, 1000).unwrap().unwrap();
            let mut side = Side::new(V5, &[], &limits);
            let said = side.send(Packet::decode(V5, &whole).unwrap());
            assert_eq!(said.iter().any(|s| s.contains("malformed")), strict, "{text:?} {said:?}");
        }
        let willing = Connect { client_id: "a\u{2}", ..connect(V5, &[]) };
        assert_eq!(acceptable(&willing, &limits).is_err(), strict);
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
        assert_eq!(side.deliver(&message(0, "a"), 1).0, Delivered::Sent, "QoS 0 needs no room");
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

/// [MQTT-3.8.4-8], [MQTT-3.8.4-6] (3.1.1)
#[test]
fn a_message_is_delivered_with_the_lesser_qos_unless_the_zone_raises_it() {
    for (upgrade_qos, published, granted, sent) in [
        (false, 1, 2, "q1 1"),
        (false, 2, 1, "q1 1"),
        (false, 0, 2, "q0"),
        (true, 0, 1, "q1 1"),
        (true, 1, 2, "q2 1"),
    ] {
        let mut side = Side::new(V311, &[], &Limits { upgrade_qos, ..Limits::default() });
        let said = side.deliver(&message(published, "a"), granted).1;
        assert_eq!(said, [format!("PUBLISH \"a\" {sent}")]);
    }
}

#[test]
fn one_buffer_serves_all_who_keep_a_message_and_nobody_keeps_qos_0() {
    let large = vec![1; LARGE_PAYLOAD_BYTES];
    for (payload, qos, expected) in
        [(&b"x"[..], 0, 0), (&b"x"[..], 1, 4), (&large[..], 0, 4), (&large[..], 1, 7)]
    {
        let message = MessageRef { payload, ..message(2, "a") };
        let how = Delivery { qos: QoS::from_bits(qos).unwrap(), retain: false, subscription_ids: &[] };
        let mut kept = None;
        let mut sides: Vec<Side> = (0..3).map(|_| Side::new(V5, &[], &Limits::default())).collect();
        for side in &mut sides {
            side.session.deliver(&message, &mut kept, &how, Epoch(1000), &mut side.out);
        }
        assert_eq!(kept.as_ref().map_or(0, Message::holders), expected, "QoS {qos} {} bytes", payload.len());
        let bytes: Vec<Vec<u8>> = sides.iter_mut().map(|s| s.out.take_bytes()).collect();
        assert!(bytes[0] == bytes[2] && bytes[0].ends_with(payload));
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

/// [MQTT-3.12.4-1] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-6] [MQTT-3.9.3-1] [MQTT-3.10.4-4]
/// [MQTT-3.11.3-1] [MQTT-2.2.1-6], [MQTT-2.3.1-7] (3.1.1) [MQTT-3.12.4-1] (3.1.1)
/// [MQTT-3.8.4-1] (3.1.1) [MQTT-3.8.4-2] (3.1.1) [MQTT-3.9.3-1] (3.1.1)
#[test]
fn pings_and_subscriptions_are_answered() {
    for version in BOTH {
        let mut side = Side::new(version, &[], &Limits::default());
        assert_eq!(side.send(Packet::Pingreq), ["Pingresp"]);
        let mut bytes = Vec::new();
        let filter = |filter, qos: u8| packet::SubscribeFilter {
            filter,
            options: packet::SubscriptionOptions { qos: QoS::from_bits(qos).unwrap(), ..Default::default() },
        };
        let filters = [filter("a", 2), filter("$share/g/+/#", 1)];
        Subscribe::encode_for(version, 9, Properties::NONE, &filters, &mut bytes);
        let whole = frame(&bytes, 1000).unwrap().unwrap();
        assert_eq!(side.send(Packet::decode(version, &whole).unwrap()), ["SUBACK 9 [2, 1]"]);
        let mut bytes = Vec::new();
        Unsubscribe::encode_for(version, 10, &["a", "b"], &mut bytes);
        let whole = frame(&bytes, 1000).unwrap().unwrap();
        let expected = if version.is_v5() { "UNSUBACK 10 [0, 0]" } else { "UNSUBACK 10 []" };
        assert_eq!(side.send(Packet::decode(version, &whole).unwrap()), [expected]);
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2], [MQTT-4.7.1-2] (3.1.1)
/// [MQTT-4.7.1-3] (3.1.1) [MQTT-4.7.3-1] (3.1.1)
#[test]
fn a_filter_that_is_none_ends_the_connection() {
    for filter in ["", "a#", "#/a", "a/#/b", "a+", "a/+b", "$share/g", "$share//a", "$share/g/", "$share/+/a"]
    {
        for version in BOTH {
            let reason = if filter.is_empty() { "malformed_packet" } else { "topic_filter_invalid" };
            let mut expected = vec![format!("DISCONNECT {reason}"), format!("end {reason}")];
            expected.drain(..usize::from(!version.is_v5()));
            let mut bytes = Vec::new();
            let filters = [packet::SubscribeFilter { filter, options: Default::default() }];
            Subscribe::encode_for(version, 9, Properties::NONE, &filters, &mut bytes);
            let whole = frame(&bytes, 1000).unwrap().unwrap();
            let mut side = Side::new(version, &[], &Limits::default());
            assert_eq!(side.send(Packet::decode(version, &whole).unwrap()), expected, "{filter}");
            let mut bytes = Vec::new();
            Unsubscribe::encode_for(version, 9, &[filter], &mut bytes);
            let whole = frame(&bytes, 1000).unwrap().unwrap();
            let mut side = Side::new(version, &[], &Limits::default());
            assert_eq!(side.send(Packet::decode(version, &whole).unwrap()), expected, "{filter}");
        }
    }
}

/// [MQTT-3.1.2-22] [MQTT-3.2.2-22], [MQTT-3.1.2-24] (3.1.1)
#[test]
fn a_client_that_is_silent_for_one_and_a_half_keep_alives_is_ended() {
    let mut side = Side::new(V5, &[], &Limits::default());
    assert_eq!(side.session.wake_at(), Some(Now(15_000)));
    side.now = Now(10_000);
    side.send(Packet::Pingreq);
    side.session.expire(Now(24_999), &mut side.out);
    assert_eq!(side.output(), NOTHING);
    side.session.expire(Now(25_000), &mut side.out);
    assert_eq!(side.output(), ["DISCONNECT keepalive_timeout", "end keepalive_timeout"]);
    assert_eq!(side.send(Packet::Pingreq), ["end keepalive_timeout"], "nothing is taken in after the end");
}

/// [MQTT-3.1.2-21] [MQTT-3.2.2-21]
#[test]
fn the_keep_alive_of_the_server_goes_before_that_of_a_client_that_can_be_told() {
    let limits = Limits { server_keep_alive: Some(100), keep_alive_backoff: 1.0, ..Limits::default() };
    assert_eq!(Side::new(V5, &[], &limits).session.wake_at(), Some(Now(200_000)));
    assert_eq!(Side::new(V311, &[], &limits).session.wake_at(), Some(Now(20_000)));
    let never = Connect { keep_alive: 0, ..connect(V311, &[]) };
    let session = Session::open(&never, &Limits::default(), Flight::default(), Now(0));
    assert_eq!(session.wake_at(), None);
}

/// [MQTT-3.14.4-3] [MQTT-3.1.2-10], [MQTT-3.14.4-3] (3.1.1)
#[test]
fn good_bye_drops_the_will_unless_it_says_otherwise() {
    let disconnect = |reason, list: &[Property<'_>]| {
        Packet::Disconnect(Disconnect { reason, properties: properties(list) })
    };
    let error = ["DISCONNECT protocol_error", "end protocol_error"];
    let expiring = [Property::SessionExpiry(5)];
    let table: [(&[Property<'_>], Packet<'_>, &[&str]); 7] = [
        (&[], disconnect(Reason::Success, &[]), &["bye will=false None", "end by client"]),
        (&[], disconnect(Reason::DisconnectWithWill, &[]), &["bye will=true None", "end by client"]),
        (&[], disconnect(Reason::Unspecified, &[]), &["bye will=true None", "end by client"]),
        (
            &expiring,
            disconnect(Reason::Success, &[Property::SessionExpiry(0)]),
            &["bye will=false Some(0)", "end by client"],
        ),
        (&[], disconnect(Reason::Success, &expiring), &error),
        (&[], disconnect(Reason::ServerShuttingDown, &[]), &error),
        (&[], disconnect(Reason::Success, &[Property::ServerReference("s")]), &error),
    ];
    for (list, packet, expected) in table {
        assert_eq!(Side::new(V5, list, &Limits::default()).send(packet), expected, "{packet:?}");
    }
    let mut side = Side::new(V311, &[], &Limits::default());
    assert_eq!(side.send(disconnect(Reason::Success, &[])), ["bye will=false None", "end by client"]);
}

/// [MQTT-3.1.0-2] [MQTT-4.12.0-7], [MQTT-3.1.0-2] (3.1.1)
#[test]
fn packets_that_a_client_may_not_send_end_the_connection() {
    let auth = packet::Auth { reason: Reason::ReAuthenticate, properties: Properties::NONE };
    let connack = Connack { session_present: false, reason: Reason::Success, properties: Properties::NONE };
    let suback = Suback { packet_id: 1, properties: Properties::NONE, codes: &[0] };
    for packet in [
        Packet::Connect(connect(V5, &[])),
        Packet::Auth(auth),
        Packet::Connack(connack),
        Packet::Suback(suback),
        Packet::Pingresp,
    ] {
        let mut side = Side::new(V5, &[], &Limits::default());
        assert_eq!(side.send(packet), ["DISCONNECT protocol_error", "end protocol_error"]);
    }
}

/// [MQTT-3.2.2-2] [MQTT-3.2.2-9] [MQTT-3.2.2-16] [MQTT-3.1.2-28]
#[test]
fn a_connack_says_what_is_limited_and_nothing_else() {
    let say = |connect: &Connect<'_>, limits: &Limits, present: bool, assigned: Option<&str>, expiry: u32| {
        let mut session = Session::open(connect, limits, Flight::default(), Now(0));
        let mut out = Out::default();
        session.connack(connect, limits, present, assigned, expiry, &mut out);
        in_words(connect.version, &out.take_bytes()).concat()
    };
    let plain = connect(V5, &[]);
    assert_eq!(
        say(&plain, &Limits::default(), true, None, 0),
        "CONNACK true success ReceiveMax(100) MaxPacketSize(1048576) TopicAliasMax(65535)"
    );
    let unlimited =
        Limits { awaiting_rel_max: 0, packet_bytes_max: 0, topic_alias_max: 0, ..Limits::default() };
    assert_eq!(say(&plain, &unlimited, false, None, 0), "CONNACK false success");
    assert_eq!(
        say(&plain, &unlimited, false, Some("id"), 7),
        "CONNACK false success SessionExpiry(7) AssignedClientId(\"id\")"
    );
    let limited = Limits {
        qos_max: QoS::AtMostOnce,
        retain_available: false,
        wildcard_available: false,
        shared_available: false,
        server_keep_alive: Some(9),
        response_information: Some("r".into()),
        ..unlimited
    };
    let words = "CONNACK false success MaxQos(0) RetainAvailable(0) WildcardAvailable(0) SharedAvailable(0) ServerKeepAlive(9)";
    assert_eq!(say(&plain, &limited, false, None, 0), words);
    let curious = connect(V5, &[Property::RequestResponseInfo(1)]);
    assert_eq!(say(&curious, &limited, false, None, 0), format!("{words} ResponseInfo(\"r\")"));
    assert_eq!(say(&connect(V311, &[]), &limited, true, None, 0), "CONNACK true success");
    assert_eq!(say(&connect(Version::V31, &[]), &limited, true, None, 0), "CONNACK false success");
}

/// [MQTT-3.2.2-12] [MQTT-3.2.2-13] [MQTT-3.1.3-6], [MQTT-3.1.3-8] (3.1.1)
#[test]
fn a_connect_beyond_the_rules_is_not_acceptable() {
    let will = Will {
        topic: "a/b",
        payload: b"",
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: Properties::NONE,
    };
    let willing = Connect { will: Some(will), ..connect(V5, &[]) };
    let all = Limits::default();
    let nameless = |version, clean_start| Connect { client_id: "", clean_start, ..connect(version, &[]) };
    let table = [
        (willing, all.clone(), Ok(())),
        (willing, Limits { qos_max: QoS::AtLeastOnce, ..all.clone() }, Err(Reason::QosNotSupported)),
        (willing, Limits { retain_available: false, ..all.clone() }, Err(Reason::RetainNotSupported)),
        (willing, Limits { topic_levels_max: 1, ..all.clone() }, Err(Reason::TopicNameInvalid)),
        (
            Connect { will: Some(Will { topic: "a/#", ..will }), ..willing },
            all.clone(),
            Err(Reason::TopicNameInvalid),
        ),
        (connect(V5, &[Property::AuthMethod("m")]), all.clone(), Err(Reason::BadAuthenticationMethod)),
        (nameless(V5, false), all.clone(), Ok(())),
        (nameless(V311, true), all.clone(), Ok(())),
        (nameless(V311, false), all.clone(), Err(Reason::ClientIdNotValid)),
        (nameless(Version::V31, true), all.clone(), Err(Reason::ClientIdNotValid)),
    ];
    for (connect, limits, expected) in table {
        assert_eq!(acceptable(&connect, &limits), expected, "{connect:?}");
    }
}

/// Plays the bytes of a new connection, as a driver would, and says how it stands afterwards.
fn play(mut bytes: &[u8]) -> String {
    let limits = Limits::default();
    let mut out = Out::default();
    let mut session: Option<Session> = None;
    let mut version = V311;
    while out.closing().is_none() {
        let whole = match frame(bytes, limits.packet_bytes_max as usize) {
            Ok(Some(whole)) => whole,
            Ok(None) => break,
            Err(error) => {
                match &mut session {
                    Some(session) => session.close(error.0, &mut out),
                    None => out.close(Close::ByServer(error.0)),
                }
                break;
            }
        };
        bytes = &bytes[whole.length..];
        if let Some(session) = &mut session {
            match Packet::decode(version, &whole) {
                Ok(packet) => match session.receive(packet, Now(0), &mut out) {
                    Some(Request::Publish(p)) => session.accepted(p.ticket, Reason::Success, &mut out),
                    Some(Request::Subscribe(s)) => session.suback(s.packet_id, &[0], &mut out),
                    Some(Request::Unsubscribe(u)) => session.unsuback(u.packet_id, &[0], &mut out),
                    _ => {}
                },
                Err(reason) => session.close(reason, &mut out),
            }
        } else if whole.kind != packet::kind::CONNECT {
            out.close(Close::ByServer(Reason::ProtocolError));
        } else {
            match Connect::decode(whole.body) {
                Ok(connect) => match acceptable(&connect, &limits) {
                    Ok(()) => {
                        version = connect.version;
                        session = Some(Session::open(&connect, &limits, Flight::default(), Now(0)));
                    }
                    Err(reason) => refuse(&connect, reason, &mut out),
                },
                Err(error) => {
                    version = error.version.unwrap_or(V311);
                    match error.version {
                        Some(version) => refuse(version, error.reason, &mut out),
                        None => out.close(Close::ByServer(error.reason)),
                    }
                }
            }
        }
    }
    let is_closed = out.closing().is_some();
    let answer = out.take_bytes();
    let whole = frame(&answer, 1000).unwrap();
    match whole.map(|w| (w.kind, w.body)) {
        _ if !is_closed && !bytes.is_empty() => "silent".into(),
        _ if !is_closed => "alive".into(),
        Some((packet::kind::CONNACK, body)) => format!("connack:{:02x}", body[1]),
        Some((packet::kind::DISCONNECT, body)) => format!("disconnect:{:02x}", body[0]),
        _ => "close".into(),
    }
}

/// What no well-behaved client sends at once on a new connection, and the answer. `+` stands for a good
/// CONNECT of 3.1.1, `5` for one of 5.0.
/// [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.1.4-1] [MQTT-3.2.2-7] [MQTT-4.13.1-1] [MQTT-4.13.2-1]
/// [MQTT-3.14.0-1], [MQTT-3.1.0-1] (3.1.1) [MQTT-3.1.4-1] (3.1.1) [MQTT-3.2.2-6] (3.1.1)
/// [MQTT-4.8.0-1] (3.1.1)
#[test]
fn bad_bytes_get_the_right_answer_or_the_end() {
    let table = [
        ("publish before connect", "30060003612f6278", "close"),
        ("ping before connect", "c000", "close"),
        ("http", "474554202f20485454502f312e310d0a486f73743a20780d0a0d0a", "close"),
        ("tls", "16030100c8010000c40303", "close"),
        ("a long length before connect", "30ffffff7f", "close"),
        ("half a connect", "100f00044d5154540402003c0003", "silent"),
        ("half a length", "10ff", "silent"),
        ("second connect", "+ 100f00044d5154540402003c0003626164", "close"),
        ("wrong protocol name", "100f00044d5154580402003c0003626164", "close"),
        ("level 6", "100f00044d5154540602003c0003626164", "connack:01"),
        ("reserved connect flag", "100f00044d5154540403003c0003626164", "close"),
        ("will QoS 3", "101500044d515454041e003c000362616400017700016d", "close"),
        ("will QoS without will", "100f00044d515454040a003c0003626164", "close"),
        ("will retain without will", "100f00044d5154540422003c0003626164", "close"),
        ("will topic with wildcard", "101500044d5154540406003c000362616400012300016d", "close"),
        ("password without user", "101300044d5154540442003c000362616400027077", "close"),
        ("no client id, not clean", "100c00044d5154540400003c0000", "connack:02"),
        ("client id not UTF-8", "100f00044d5154540402003c000361c328", "close"),
        ("client id longer than the packet", "100f00044d5154540402003c000a616263", "close"),
        ("length of five bytes", "10ffffffff01", "close"),
        ("length not minimal", "108f0000044d5154540402003c0003626164", "close"),
        ("publish QoS 3", "+ 3606000161000178", "close"),
        ("publish topic with plus", "+ 30060003612f2b78", "close"),
        ("publish topic with hash", "+ 300400012378", "close"),
        ("publish empty topic", "+ 3003000078", "close"),
        ("publish identifier 0", "+ 3206000161000078", "close"),
        ("publish topic too long", "+ 3005ffff616263", "close"),
        ("publish without body", "+ 3000", "close"),
        ("a packet larger than allowed", "+ 30ffffff7f", "close"),
        ("subscribe flags 0", "+ 8006000100016100", "close"),
        ("subscribe with DUP", "+ 8a06000100016100", "close"),
        ("subscribe without filter", "+ 82020001", "close"),
        ("subscribe QoS 3", "+ 8206000100016103", "close"),
        ("subscribe hash in the middle", "+ 820a00010005612f232f6200", "close"),
        ("subscribe plus in a level", "+ 820900010004612b2f6200", "close"),
        ("subscribe cut", "+ 820400010001", "close"),
        ("unsubscribe flags 0", "+ a0050001000161", "close"),
        ("unsubscribe without filter", "+ a2020001", "close"),
        ("pubrel flags 0", "+ 60020001", "close"),
        ("type 0", "+ 0000", "close"),
        ("type 15 in 3.1.1", "+ f000", "close"),
        ("puback of an unknown identifier", "+ 40021234", "alive"),
        ("pubrel of an unknown identifier", "+ 62021234", "alive"),
        ("half a publish", "+ 3210000161", "silent"),
        ("5.0 second connect", "5 101000044d5154540502003c000003626164", "disconnect:82"),
        (
            "5.0 session expiry twice",
            "101a00044d5154540502003c0a110000000111000000010003626164",
            "connack:82",
        ),
        ("5.0 receive maximum 0", "101300044d5154540502003c032100000003626164", "connack:82"),
        ("5.0 unknown property", "101200044d5154540502003c0204010003626164", "connack:81"),
        ("5.0 properties past the end", "101500044d5154540502003c7f11000000010003626164", "connack:81"),
        ("5.0 reserved connect flag", "101000044d5154540503003c000003626164", "connack:81"),
        ("5.0 authentication method", "101400044d5154540502003c0415000161 0003626164", "connack:8c"),
        (
            "5.0 will topic with wildcard",
            "101700044d5154540506003c000003626164000001 230001 6d",
            "connack:90",
        ),
        ("5.0 topic alias 0", "5 30080001610323000078", "disconnect:94"),
        ("5.0 empty topic without alias", "5 300400000078", "disconnect:82"),
        ("5.0 topic with hash", "5 30050001230078", "disconnect:90"),
        ("5.0 subscription identifier from a client", "5 300700016102 0b0178", "disconnect:82"),
        ("5.0 retain handling 3", "5 8207000100 000161 30", "disconnect:82"),
        ("5.0 no local on a shared filter", "5 8210000100000a2473686172652f672f6104", "disconnect:82"),
        ("5.0 filter that is none", "5 820800010000026123 00", "disconnect:8f"),
        ("5.0 a packet larger than allowed", "5 30ffffff7f", "disconnect:95"),
        ("5.0 length not minimal", "5 c08000", "disconnect:81"),
        ("5.0 type 0", "5 0000", "disconnect:81"),
        ("5.0 auth", "5 f000", "disconnect:82"),
        ("5.0 disconnect that prolongs the session", "5 e00700051100000005", "disconnect:82"),
    ];
    for (name, input, expected) in table {
        let input = input
            .replace('+', "100f00044d5154540402003c0003626164")
            .replace("5 ", "101000044d5154540502003c000003626164")
            .replace(' ', "");
        let bytes: Vec<u8> =
            (0..input.len() / 2).map(|i| u8::from_str_radix(&input[2 * i..2 * i + 2], 16).unwrap()).collect();
        assert_eq!(play(&bytes), expected, "{name}");
    }
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
