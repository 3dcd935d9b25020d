//! The machine of a shard, driven for two programs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::access::Everybody;
use broker::retained::{Limits, Retained};
use broker::routes::{Interest, Place};
use broker::settings::MailboxRules;
use broker::{
    Cause, ConnId, ConnInfo, Effects, Event, Extent, Settings, Shard, ShardConfig, Stamp, Ticket, Wait, Wish,
    Zone,
};
use mqtt::codec::{PACKET_BYTES_MAX, frame};
use mqtt::packet::{
    Ack, AckKind, Connect, Disconnect, Publish, RetainHandling, Subscribe, SubscribeFilter,
    SubscriptionOptions, Unsubscribe, Will,
};
use mqtt::session::Out;
use mqtt::{Epoch, Message, Now, Packet, Properties, Property, QoS, Reason, Version};

use crate::model::{Shown, publish_line};
use crate::op::{Hello, Op, Rules};

/// Both clocks begin here.
pub const START: u64 = 1_000_000;

pub struct Driver {
    pub interest: Interest,
    outs: BTreeMap<ConnId, Out>,
    closed: Vec<(ConnId, Cause)>,
    /// What went to other places: frames of messages, and what nodes say of a session.
    pub frames: Vec<(Place, Vec<u8>)>,
    pub told: Vec<(Place, Vec<u8>)>,
    retained: Retained,
    now: u64,
    stamps: u64,
}

impl Effects for Driver {
    fn epoch(&self) -> Epoch {
        Epoch(self.now)
    }
    fn interest(&self) -> &Interest {
        &self.interest
    }
    fn out(&mut self, conn: ConnId) -> &mut Out {
        self.outs.entry(conn).or_default()
    }
    fn close(&mut self, conn: ConnId, cause: Cause) {
        assert!(!self.closed.iter().any(|(c, _)| *c == conn), "a connection is closed once");
        self.closed.push((conn, cause));
    }
    fn pause(&mut self, _: ConnId) {}
    fn resume(&mut self, _: ConnId) {}
    fn forward(&mut self, place: Place, frame: &[u8]) {
        self.frames.push((place, frame.to_vec()));
    }
    fn wish(&mut self, _: Wish<'_>) {}
    fn routes(&mut self, _: Extent, _: Ticket) -> Wait {
        Wait::Over
    }
    fn claim(&mut self, _: &Arc<str>, _: Option<Stamp>) {}
    fn ask_exclusive(&mut self, _: &Arc<str>, _: &[Arc<str>], _: Ticket) {
        unreachable!("the zone has no exclusive subscriptions");
    }
    fn give_back(&mut self, _: &str, _: Ticket) {}
    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp { time: (self.now << 16) + self.stamps, node: 1 }
    }
    fn tell(&mut self, peer: Place, _: &str, bytes: &[u8]) {
        self.told.push((peer, bytes.to_vec()));
    }
    fn retain(&mut self, message: &Message, _: Ticket) -> Wait {
        let stamp = self.stamp();
        self.retained.put(message, stamp);
        Wait::Over
    }
    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>) {
        self.retained.matches(filter, after, limit, self.now, into);
    }
    fn event(&mut self, _: Event<'_>) {}
}

pub struct Real {
    pub shard: Shard,
    pub driver: Driver,
    zone: Arc<Zone>,
    /// Each program's connection.
    lines: [Option<(ConnId, Version)>; 2],
    conns: u32,
    /// What each program should still answer.
    owed: [Vec<(AckKind, u16)>; 2],
    pub out: [Vec<String>; 2],
}

impl Real {
    pub fn new(rules: &Rules, seed: u64) -> Real {
        let zone = Zone {
            inflight_max: rules.inflight_max,
            mailbox: MailboxRules {
                len_max: rules.queue_max,
                store_qos0: rules.store_qos0,
                ..MailboxRules::default()
            },
            awaiting_rel_max: rules.awaiting_rel_max,
            await_rel_timeout: Duration::from_millis(rules.await_rel_ms),
            upgrade_qos: rules.upgrade_qos,
            ignore_loop_deliver: rules.ignore_loop,
            session_expiry_interval: Duration::from_secs(rules.session_expiry.into()),
            ..Zone::default()
        };
        let shard = Shard::new(ShardConfig {
            place: Place::shard(0),
            node_key: 1,
            seed,
            settings: Settings { shared_ack: rules.shared_ack, ..Settings::default() },
            access: Box::new(Everybody),
        });
        let driver = Driver {
            interest: Interest::new(5),
            outs: BTreeMap::new(),
            closed: Vec::new(),
            frames: Vec::new(),
            told: Vec::new(),
            retained: Retained::new(Limits::default()),
            now: START,
            stamps: 0,
        };
        Real {
            shard,
            driver,
            zone: Arc::new(zone),
            lines: [None; 2],
            conns: 0,
            owed: Default::default(),
            out: Default::default(),
        }
    }

    /// An answer as the acknowledgement that it is; `None`: nothing waits for one.
    pub fn resolve(&mut self, op: Op) -> Option<Op> {
        let Op::Answer { at, nth } = op else { return Some(op) };
        let owed = &mut self.owed[at];
        if owed.is_empty() {
            return None;
        }
        let (kind, packet_id) = owed.remove(nth % owed.len());
        Some(Op::Ack { at, kind, packet_id, error: false })
    }

    pub fn step(&mut self, op: &Op, payload: &str) {
        self.out = Default::default();
        let now = Now(self.driver.now);
        match *op {
            Op::Connect { at, id, how } => {
                self.lose(at, now);
                self.connect(at, id, &how, now);
            }
            Op::Lose { at } => self.lose(at, now),
            Op::Malformed { at } => {
                if let Some((conn, _)) = self.lines[at] {
                    self.shard.malformed(conn, Reason::MalformedPacket, now, &mut self.driver);
                }
            }
            Op::Wait { ms } => self.wait(ms),
            Op::ConnectAgain { at }
            | Op::Subscribe { at, .. }
            | Op::Unsubscribe { at, .. }
            | Op::Publish { at, .. }
            | Op::Ack { at, .. }
            | Op::Answer { at, .. }
            | Op::Ping { at }
            | Op::Disconnect { at, .. } => {
                if let Some((conn, version)) = self.lines[at] {
                    let bytes = encoded(op, version, payload);
                    let whole = frame(&bytes, PACKET_BYTES_MAX as usize).unwrap().unwrap();
                    match Packet::decode_from_client(version, &whole) {
                        Ok(packet) => self.shard.packet(conn, packet, now, &mut self.driver),
                        Err(reason) => self.shard.malformed(conn, reason, now, &mut self.driver),
                    }
                }
            }
        }
        self.take_out();
    }

    fn lose(&mut self, at: usize, now: Now) {
        if let Some((conn, _)) = self.lines[at].take() {
            self.shard.closed(conn, now, &mut self.driver);
            self.driver.outs.remove(&conn);
        }
    }

    fn connect(&mut self, at: usize, id: &str, how: &Hello, now: Now) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let version = if how.v5 { Version::V5 } else { Version::V311 };
        self.lines[at] = Some((conn, version));
        self.owed[at].clear();
        let info = ConnInfo {
            client_id: id.to_owned(),
            assigned: false,
            peer: SocketAddr::from(([127, 0, 0, 1], 5000)),
            listener: Arc::new("mqtt:tcp:external".into()),
            zone: self.zone.clone(),
        };
        let bytes = hello(id, how);
        let whole = frame(&bytes, PACKET_BYTES_MAX as usize).unwrap().unwrap();
        let connect = Connect::decode(whole.body).unwrap();
        // The other program may have had the client id: its last words are taken first.
        self.shard.connect(conn, &connect, info, now, &mut self.driver);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.driver.now + ms;
        while let Some(at) = self.shard.wake_at().filter(|at| at.0 <= until) {
            self.driver.now = self.driver.now.max(at.0);
            self.shard.expire(Now(self.driver.now), &mut self.driver);
        }
        self.driver.now = until;
    }

    /// What the clock shows.
    pub fn now(&self) -> Now {
        Now(self.driver.now)
    }

    /// What has been put out, as lines.
    pub fn take_out(&mut self) {
        for at in 0..2 {
            let Some((conn, version)) = self.lines[at] else { continue };
            let bytes = self.driver.outs.get_mut(&conn).map(Out::take_bytes).unwrap_or_default();
            let mut rest = &bytes[..];
            while let Some(whole) = frame(rest, PACKET_BYTES_MAX as usize).unwrap() {
                rest = &rest[whole.length..];
                let packet = Packet::decode(version, &whole).unwrap();
                self.owed[at].extend(answer(&packet));
                self.out[at].push(line(&packet));
            }
            assert!(rest.is_empty(), "a packet is cut");
            if let Some((_, cause)) = self.driver.closed.iter().find(|(c, _)| *c == conn) {
                self.out[at].push(format!("CLOSED {cause:?}"));
                self.lines[at] = None;
                self.driver.outs.remove(&conn);
            }
        }
    }

    pub fn shown(&self) -> Vec<Shown> {
        let mut all: Vec<Shown> = self
            .shard
            .clients()
            .map(|c| Shown {
                connected: c.connected,
                subscriptions: c.subscriptions,
                inflight: c.inflight,
                queue: c.mqueue_len,
                awaiting_rel: c.awaiting_rel,
                id: c.client_id,
            })
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The gauges count what there is, where no session is on its way.
    pub fn gauges_fit(&self, all: &[Shown]) {
        let gauges = self.shard.gauges();
        let connected = all.iter().filter(|s| s.connected).count();
        let subscriptions = all.iter().map(|s| s.subscriptions).sum::<usize>();
        assert_eq!(
            (gauges.sessions, gauges.connections, gauges.subscriptions),
            (all.len() as u64, connected as u64, subscriptions as u64),
            "gauges count what there is"
        );
    }
}

fn qos(bits: u8) -> QoS {
    QoS::from_bits(bits).unwrap()
}

fn list(properties: &[Option<Property<'_>>]) -> Vec<u8> {
    let mut list = Vec::new();
    properties.iter().flatten().for_each(|p| p.write(&mut list));
    list
}

fn hello(id: &str, how: &Hello) -> Vec<u8> {
    let asked = list(&[
        (how.expiry > 0).then_some(Property::SessionExpiry(how.expiry)),
        (how.receive_max > 0).then_some(Property::ReceiveMax(how.receive_max)),
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

fn encoded(op: &Op, version: Version, payload: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match *op {
        Op::ConnectAgain { .. } => {
            let v5 = version.is_v5();
            let how = Hello { v5, clean: true, expiry: 0, keep_alive: 0, receive_max: 0, will: None };
            return hello("again", &how);
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
            let list = list(&[how.expiry.map(Property::MessageExpiry)]);
            let publish = Publish {
                dup: how.dup,
                qos: qos(how.qos),
                retain: how.retain,
                topic,
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
        Op::Connect { .. } | Op::Answer { .. } | Op::Lose { .. } | Op::Malformed { .. } | Op::Wait { .. } => {
            panic!("{op:?} is no packet")
        }
    }
    bytes
}

/// What a well-behaved client answers.
fn answer(packet: &Packet<'_>) -> Option<(AckKind, u16)> {
    match packet {
        Packet::Publish(p) if p.qos == QoS::AtLeastOnce => Some((AckKind::Puback, p.packet_id)),
        Packet::Publish(p) if p.qos == QoS::ExactlyOnce => Some((AckKind::Pubrec, p.packet_id)),
        Packet::Ack(p) if p.kind == AckKind::Pubrec => Some((AckKind::Pubrel, p.packet_id)),
        Packet::Ack(p) if p.kind == AckKind::Pubrel => Some((AckKind::Pubcomp, p.packet_id)),
        _ => None,
    }
}

fn line(packet: &Packet<'_>) -> String {
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
            publish_line(p.topic, &payload, p.qos as u8, id, (p.retain, p.dup), identifier, expiry)
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
