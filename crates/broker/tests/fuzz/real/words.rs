//! Packets: as the programs send them, and as lines.

use std::collections::BTreeMap;

use mqtt::packet::{
    Ack, AckKind, Connect, Disconnect, Publish, RetainHandling, Subscribe, SubscribeFilter,
    SubscriptionOptions, Unsubscribe, Will,
};
use mqtt::{Packet, Properties, Property, QoS, Reason, Version};

use crate::model::publish_line;
use crate::op::{Hello, Op};

fn qos(bits: u8) -> QoS {
    QoS::from_bits(bits).unwrap()
}

fn list(properties: &[Option<Property<'_>>]) -> Vec<u8> {
    let mut list = Vec::new();
    properties.iter().flatten().for_each(|p| p.write(&mut list));
    list
}

pub(super) fn hello(id: &str, how: &Hello) -> Vec<u8> {
    let asked = list(&[
        (how.expiry > 0).then_some(Property::SessionExpiry(how.expiry)),
        (how.receive_max > 0).then_some(Property::ReceiveMax(how.receive_max)),
        (how.alias_max > 0).then_some(Property::TopicAliasMax(how.alias_max)),
        (how.packet_max > 0).then_some(Property::MaxPacketSize(how.packet_max)),
    ]);
    let delay = how.will.map_or(0, |w| w.delay);
    let of_will = list(&[(delay > 0).then_some(Property::WillDelay(delay))]);
    let payload = format!("will of {id}");
    let will = how.will.map(|will| Will {
        topic: will.topic,
        payload: payload.as_bytes(),
        qos: qos(will.qos),
        retain: will.retain,
        properties: Properties::trusted(&of_will),
    });
    let connect = Connect {
        version: if how.v5 { Version::V5 } else { Version::V311 },
        clean_start: how.clean,
        keep_alive: how.keep_alive,
        client_id: id,
        username: None,
        password: None,
        will,
        properties: Properties::trusted(&asked),
        bridge: false,
    };
    let mut bytes = Vec::new();
    connect.encode(&mut bytes);
    bytes
}

pub(super) fn encoded(op: &Op, version: Version, payload: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match *op {
        Op::ConnectAgain { .. } => {
            let v5 = version.is_v5();
            return hello("again", &Hello { v5, clean: true, ..Hello::default() });
        }
        Op::Subscribe { filter, how, .. } => {
            let retain_handling = [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]
                [usize::from(how.handling)];
            let options = SubscriptionOptions {
                qos: qos(how.qos),
                no_local: how.no_local,
                retain_as_published: how.retain_as_published,
                retain_handling,
            };
            let identifier = (how.identifier > 0).then_some(Property::SubscriptionId(how.identifier));
            let list = list(&[identifier]);
            let filters = [SubscribeFilter { filter, options }];
            Subscribe::encode_for(version, 7, Properties::trusted(&list), &filters, &mut bytes);
        }
        Op::Unsubscribe { filter, .. } => Unsubscribe::encode_for(version, 7, &[filter], &mut bytes),
        Op::Publish { topic, packet_id, how, .. } => {
            let alias = (how.alias > 0).then_some(Property::TopicAlias(how.alias));
            let list = list(&[how.expiry.map(Property::MessageExpiry), alias]);
            let is_nameless = how.nameless && version.is_v5();
            let publish = Publish {
                dup: how.dup,
                qos: qos(how.qos),
                retain: how.retain,
                topic: if is_nameless { "" } else { topic },
                packet_id: if how.qos > 0 { packet_id } else { 0 },
                properties: Properties::trusted(&list),
                payload: if how.empty { b"" } else { payload.as_bytes() },
            };
            Packet::Publish(publish).encode(version, &mut bytes);
        }
        Op::Ack { kind, packet_id, error, .. } => {
            let reason = match kind {
                _ if !error => Reason::Success,
                AckKind::Puback | AckKind::Pubrec => Reason::Unspecified,
                AckKind::Pubrel | AckKind::Pubcomp => Reason::PacketIdNotFound,
            };
            Ack::new(kind, packet_id, reason).encode(version, &mut bytes);
        }
        Op::Ping { .. } => Packet::Pingreq.encode(version, &mut bytes),
        Op::Disconnect { reason, expiry, .. } => {
            let list = list(&[expiry.map(Property::SessionExpiry)]);
            let reason = Reason::from_code(reason).unwrap();
            Disconnect { reason, properties: Properties::trusted(&list) }.encode(version, &mut bytes);
        }
        Op::Connect { .. }
        | Op::Answer { .. }
        | Op::Lose { .. }
        | Op::Malformed { .. }
        | Op::Wait { .. }
        | Op::Hand { .. } => panic!("{op:?} is no packet"),
    }
    bytes
}

/// What a well-behaved client answers.
pub(super) fn answer(packet: &Packet<'_>) -> Option<(AckKind, u16)> {
    match packet {
        Packet::Publish(p) if p.qos == QoS::AtLeastOnce => Some((AckKind::Puback, p.packet_id)),
        Packet::Publish(p) if p.qos == QoS::ExactlyOnce => Some((AckKind::Pubrec, p.packet_id)),
        Packet::Ack(p) if p.kind == AckKind::Pubrec => Some((AckKind::Pubrel, p.packet_id)),
        Packet::Ack(p) if p.kind == AckKind::Pubrel => Some((AckKind::Pubcomp, p.packet_id)),
        _ => None,
    }
}

/// What a client takes, and the topics that the broker has named by number (§3.3.2.3.4).
#[derive(Default)]
pub(super) struct Receiver {
    alias_max: u16,
    packet_max: usize,
    topics: BTreeMap<u16, String>,
}

impl Receiver {
    pub(super) fn new(how: &Hello) -> Receiver {
        let packet_max = if how.packet_max == 0 { usize::MAX } else { how.packet_max as usize };
        Receiver { alias_max: how.alias_max, packet_max, topics: BTreeMap::new() }
    }

    /// A packet of so many bytes, as a line.
    pub(super) fn line(&mut self, packet: &Packet<'_>, bytes: usize) -> String {
        assert!(bytes <= self.packet_max, "{bytes} bytes of at most {}", self.packet_max);
        line(packet, self)
    }

    /// The topic that a PUBLISH means. [MQTT-3.1.2-26] [MQTT-3.1.2-27]
    fn topic(&mut self, publish: &Publish<'_>) -> String {
        let alias = publish.properties.find(|p| if let Property::TopicAlias(n) = p { Some(n) } else { None });
        let Some(alias) = alias else { return publish.topic.to_owned() };
        assert!((1..=self.alias_max).contains(&alias), "alias {alias} of at most {}", self.alias_max);
        if !publish.topic.is_empty() {
            self.topics.insert(alias, publish.topic.to_owned());
        }
        self.topics.get(&alias).expect("an alias is set before it is used").clone()
    }
}

fn line(packet: &Packet<'_>, receiver: &mut Receiver) -> String {
    let codes = |codes: &[u8]| codes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    match packet {
        Packet::Connack(p) => {
            format!("CONNACK {}{}", p.reason.words(), if p.session_present { " present" } else { "" })
        }
        Packet::Publish(p) => {
            let id = (p.qos > QoS::AtMostOnce).then_some(p.packet_id);
            let identifier =
                p.properties.find(|p| if let Property::SubscriptionId(n) = p { Some(n) } else { None });
            let expiry =
                p.properties.find(|p| if let Property::MessageExpiry(n) = p { Some(n) } else { None });
            let payload = String::from_utf8_lossy(p.payload);
            publish_line(&receiver.topic(p), &payload, p.qos as u8, id, (p.retain, p.dup), identifier, expiry)
        }
        Packet::Ack(p) => {
            let kind = format!("{:?}", p.kind).to_uppercase();
            format!("{kind} {} {}", p.packet_id, p.reason.words())
        }
        Packet::Suback(p) => format!("SUBACK {}", codes(p.codes)),
        Packet::Unsuback(p) => format!("UNSUBACK {}", codes(p.codes)),
        Packet::Disconnect(p) => format!("DISCONNECT {}", p.reason.words()),
        Packet::Pingresp => "PINGRESP".to_owned(),
        other => format!("{other:?}"),
    }
}
