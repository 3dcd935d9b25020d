//! A session as its client sees it: packets in, packets out, and what the broker is asked. Tags name
//! statements of 5.0; those of 3.1.1 have its number after them.

use super::*;
use crate::packet::{Publish, Will};
use crate::{frame, packet};

mod answers;
mod connecting;
mod outgoing;

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
        publisher: b"p",
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
        let delivered = self.session.deliver(message, &mut Copies::default(), &how, epoch, &mut self.out);
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
        publisher: b"p",
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

/// A million connections are a million of these: see docs/memory.md.
#[test]
fn a_session_stays_small() {
    assert!(size_of::<Session>() <= 112, "{}", size_of::<Session>());
    assert!(size_of::<Out>() <= 48, "{}", size_of::<Out>());
}
