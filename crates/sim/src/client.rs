//! A made-up MQTT client: it keeps the rules of the protocol, as a client that must not lose anything
//! does, and otherwise does what it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt::codec::frame;
use mqtt::packet::{
    Ack, AckKind, Connect, Disconnect, Packet, Publish, Subscribe, SubscribeFilter, SubscriptionOptions,
    Unsubscribe, Will,
};
use mqtt::{Properties, Property, QoS, Reason, Version};

/// A message that its publisher has not done with.
#[derive(Clone, Debug)]
pub struct Pending {
    pub packet_id: u16,
    pub message: u64,
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    pub payload: Vec<u8>,
    pub released: bool,
}

/// A connection that was begun.
#[derive(Debug)]
pub struct Conn {
    pub attempt: u64,
    pub host: usize,
    pub clean: bool,
    pub welcome: bool,
    input: Vec<u8>,
}

/// What it asked of the broker and waits for.
#[derive(Clone, Debug)]
pub enum Asked {
    Subscribe(Vec<(String, QoS)>),
    Unsubscribe(String),
    /// `$exclusive/` and the filter.
    Alone(String),
}

/// What a client has seen.
#[derive(Debug)]
pub enum Seen {
    Welcome { present: bool },
    Refused(Reason),
    Message { topic: String, payload: Vec<u8>, qos: QoS, retain: bool },
    Accepted { message: u64 },
    Subscribed(Vec<(String, QoS)>),
    Unsubscribed(String),
    Alone { granted: bool },
    Closing(Reason),
}

pub struct Client {
    pub id: String,
    pub version: Version,
    /// The session outlives its connections.
    pub persistent: bool,
    /// So it is said of this connection: before 5.0 a clean session ends with it.
    pub keeps: bool,
    pub will: bool,
    pub conn: Option<Conn>,
    pub pending: VecDeque<Pending>,
    received: BTreeSet<u16>,
    pub asked: BTreeMap<u16, Asked>,
    packet_id: u16,
    /// No CONNACK has come to its last CONNECT; whether that asked for a new session.
    pub unanswered: Option<bool>,
}

impl Client {
    pub fn new(id: String, version: Version, persistent: bool, will: bool) -> Self {
        Self {
            id,
            version,
            persistent,
            keeps: false,
            will,
            conn: None,
            pending: VecDeque::new(),
            received: BTreeSet::new(),
            asked: BTreeMap::new(),
            packet_id: 0,
            unanswered: None,
        }
    }

    pub fn is_welcome(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.welcome)
    }

    fn fresh_id(&mut self) -> u16 {
        loop {
            self.packet_id = self.packet_id % 2000 + 1;
            let id = self.packet_id;
            if !self.asked.contains_key(&id) && self.pending.iter().all(|p| p.packet_id != id) {
                return id;
            }
        }
    }

    /// CONNECT. Whatever connection there was is given up without a word.
    pub fn connect(&mut self, attempt: u64, host: usize, clean: bool) -> Vec<u8> {
        let clean = clean || !self.persistent;
        self.keeps = self.persistent && (!clean || self.version.is_v5());
        self.conn = Some(Conn { attempt, host, clean, welcome: false, input: Vec::new() });
        self.unanswered = Some(clean);
        self.asked.clear();
        let mut list = Vec::new();
        if self.persistent && self.version.is_v5() {
            Property::SessionExpiry(100_000).write(&mut list);
        }
        let topic = format!("w/{}", self.id);
        let will = self.will.then_some(Will {
            topic: &topic,
            payload: b"will",
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Properties::NONE,
        });
        let connect = Connect {
            version: self.version,
            clean_start: clean,
            keep_alive: 0,
            client_id: &self.id,
            username: None,
            password: None,
            will,
            properties: Properties::trusted(&list),
            bridge: false,
        };
        let mut out = Vec::new();
        connect.encode(&mut out);
        out
    }

    /// PUBLISH.
    pub fn publish(&mut self, message: u64, topic: &str, qos: QoS, retain: bool, payload: &[u8]) -> Vec<u8> {
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { self.fresh_id() };
        let pending = Pending {
            packet_id,
            message,
            topic: topic.to_owned(),
            qos,
            retain,
            payload: payload.to_vec(),
            released: false,
        };
        let mut out = Vec::new();
        pending.encode(self.version, false, &mut out);
        if qos > QoS::AtMostOnce {
            self.pending.push_back(pending);
        }
        out
    }

    pub fn subscribe(&mut self, filters: Vec<(String, QoS)>) -> Vec<u8> {
        let id = self.fresh_id();
        let list: Vec<_> = filters
            .iter()
            .map(|(filter, qos)| SubscribeFilter {
                filter,
                options: SubscriptionOptions { qos: *qos, ..SubscriptionOptions::default() },
            })
            .collect();
        let mut out = Vec::new();
        Subscribe::encode_for(self.version, id, Properties::NONE, &list, &mut out);
        self.asked.insert(id, Asked::Subscribe(filters));
        out
    }

    /// SUBSCRIBE of a filter that it wants for itself.
    pub fn subscribe_alone(&mut self, filter: String) -> Vec<u8> {
        let id = self.fresh_id();
        let list = [SubscribeFilter { filter: &filter, options: SubscriptionOptions::default() }];
        let mut out = Vec::new();
        Subscribe::encode_for(self.version, id, Properties::NONE, &list, &mut out);
        self.asked.insert(id, Asked::Alone(filter));
        out
    }

    pub fn unsubscribe(&mut self, filter: String) -> Vec<u8> {
        let id = self.fresh_id();
        let mut out = Vec::new();
        Unsubscribe::encode_for(self.version, id, &[&filter], &mut out);
        self.asked.insert(id, Asked::Unsubscribe(filter));
        out
    }

    pub fn disconnect(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let reason = Reason::Success;
        Disconnect { reason, properties: Properties::NONE }.encode(self.version, &mut out);
        out
    }

    /// Bytes of the broker. What is to be said at once is appended to `out`, acknowledgements to `acks`.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>, acks: &mut Vec<u8>) -> Vec<Seen> {
        let Some(conn) = &mut self.conn else { return Vec::new() };
        let mut input = std::mem::take(&mut conn.input);
        input.extend_from_slice(bytes);
        let mut rest = &input[..];
        let mut seen = Vec::new();
        while let Some(whole) = frame(rest, usize::MAX).expect("the broker sends packets") {
            rest = &rest[whole.length..];
            let packet = Packet::decode(self.version, &whole).expect("the broker's packets are sound");
            self.take(packet, &mut seen, out, acks);
        }
        if let Some(conn) = &mut self.conn {
            conn.input = rest.to_vec();
        }
        seen
    }

    fn take(&mut self, packet: Packet<'_>, seen: &mut Vec<Seen>, out: &mut Vec<u8>, acks: &mut Vec<u8>) {
        let version = self.version;
        match packet {
            Packet::Connack(connack) if connack.reason.is_error() => {
                self.unanswered = None;
                seen.push(Seen::Refused(connack.reason));
            }
            Packet::Connack(connack) => {
                self.unanswered = None;
                self.welcomed(connack.session_present, out);
                seen.push(Seen::Welcome { present: connack.session_present });
            }
            Packet::Publish(publish) => {
                let new = publish.qos < QoS::ExactlyOnce || self.received.insert(publish.packet_id);
                match publish.qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => ack(AckKind::Puback, publish.packet_id, version, acks),
                    QoS::ExactlyOnce => ack(AckKind::Pubrec, publish.packet_id, version, acks),
                }
                if new {
                    seen.push(Seen::Message {
                        topic: publish.topic.to_owned(),
                        payload: publish.payload.to_vec(),
                        qos: publish.qos,
                        retain: publish.retain,
                    });
                }
            }
            Packet::Ack(answer) => self.acknowledged(&answer, seen, out, acks),
            Packet::Suback(suback) => match self.asked.remove(&suback.packet_id) {
                Some(Asked::Subscribe(filters)) => {
                    assert!(suback.codes.iter().all(|code| *code < 3), "every filter is granted");
                    seen.push(Seen::Subscribed(filters));
                }
                Some(Asked::Alone(_)) => {
                    let refusal = if self.version.is_v5() { Reason::QuotaExceeded.code() } else { 0x80 };
                    assert!(suback.codes == [0] || suback.codes == [refusal], "{:?}", suback.codes);
                    seen.push(Seen::Alone { granted: suback.codes == [0] });
                }
                Some(Asked::Unsubscribe(_)) | None => {}
            },
            Packet::Unsuback(unsuback) => {
                if let Some(Asked::Unsubscribe(filter)) = self.asked.remove(&unsuback.packet_id) {
                    seen.push(Seen::Unsubscribed(filter));
                }
            }
            Packet::Disconnect(disconnect) => seen.push(Seen::Closing(disconnect.reason)),
            other => panic!("no broker sends {other:?}"),
        }
    }

    /// CONNACK: what was not acknowledged goes again, if the session is the same. [MQTT-4.4.0-1]
    fn welcomed(&mut self, present: bool, out: &mut Vec<u8>) {
        if let Some(conn) = &mut self.conn {
            conn.welcome = true;
        }
        if !present {
            self.pending.clear();
            self.received.clear();
        }
        for pending in &self.pending {
            if pending.released {
                ack(AckKind::Pubrel, pending.packet_id, self.version, out);
            } else {
                pending.encode(self.version, true, out);
            }
        }
    }

    fn acknowledged(
        &mut self,
        answer: &Ack<'_>,
        seen: &mut Vec<Seen>,
        out: &mut Vec<u8>,
        acks: &mut Vec<u8>,
    ) {
        let id = answer.packet_id;
        if answer.kind == AckKind::Pubrel {
            self.received.remove(&id);
            return ack(AckKind::Pubcomp, id, self.version, acks);
        }
        let Some(at) = self.pending.iter().position(|p| p.packet_id == id) else { return };
        let message = self.pending[at].message;
        let failed = answer.reason.is_error();
        match answer.kind {
            AckKind::Pubrec if !failed => {
                if !std::mem::replace(&mut self.pending[at].released, true) {
                    seen.push(Seen::Accepted { message });
                }
                ack(AckKind::Pubrel, id, self.version, out);
            }
            AckKind::Puback if !failed => {
                self.pending.remove(at);
                seen.push(Seen::Accepted { message });
            }
            _ => drop(self.pending.remove(at)),
        }
    }
}

impl Pending {
    fn encode(&self, version: Version, dup: bool, out: &mut Vec<u8>) {
        let publish = Publish {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            properties: Properties::NONE,
            payload: &self.payload,
        };
        Packet::Publish(publish).encode(version, out);
    }
}

fn ack(kind: AckKind, packet_id: u16, version: Version, out: &mut Vec<u8>) {
    Ack::new(kind, packet_id, Reason::Success).encode(version, out);
}
