//! The machine of a shard, driven for two programs.

mod driver;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::access::Everybody;
use broker::retained::{Limits, Retained};
use broker::routes::{Interest, Place};
use broker::settings::{DefaultPriority, MailboxRules};
use broker::{ConnId, ConnInfo, Settings, Shard, ShardConfig, Zone};
use mqtt::codec::{PACKET_BYTES_MAX, frame};
use mqtt::packet::{AckKind, Connect};
use mqtt::session::Out;
use mqtt::{Now, Packet, Reason, Version};

use crate::model::Shown;
use crate::op::{Hello, Op, Rules};
use driver::Driver;
use words::{Receiver, answer, encoded, hello};

/// Both clocks begin here.
pub const START: u64 = 1_000_000;

pub struct Real {
    pub shard: Shard,
    pub driver: Driver,
    /// Each program's listener has one.
    zones: [Arc<Zone>; 2],
    /// Each program's connection.
    lines: [Option<(ConnId, Version)>; 2],
    conns: u32,
    /// Each program as it receives packets.
    receivers: [Receiver; 2],
    /// What each program should still answer.
    owed: [Vec<(AckKind, u16)>; 2],
    pub out: [Vec<String>; 2],
}

impl Real {
    pub fn new(rules: &Rules, seed: u64) -> Real {
        let zone = |mount: &str| Zone {
            inflight_max: rules.inflight_max,
            mailbox: MailboxRules {
                len_max: rules.queue_max,
                store_qos0: rules.store_qos0,
                priorities: rules.priorities.iter().map(|(topic, n)| ((*topic).to_owned(), *n)).collect(),
                default_priority: match rules.others_first {
                    true => DefaultPriority::Highest,
                    false => DefaultPriority::Lowest,
                },
            },
            awaiting_rel_max: rules.awaiting_rel_max,
            topic_alias_max: rules.alias_max,
            packet_bytes_max: 0,
            await_rel_timeout: Duration::from_millis(rules.await_rel_ms),
            upgrade_qos: rules.upgrade_qos,
            ignore_loop_deliver: rules.ignore_loop,
            session_expiry_interval: Duration::from_secs(rules.session_expiry.into()),
            mountpoint: (!mount.is_empty()).then(|| mount.to_owned()),
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
            zones: rules.mounts.map(|mount| Arc::new(zone(mount))),
            lines: [None; 2],
            conns: 0,
            receivers: Default::default(),
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
        self.receivers[at] = Receiver::new(how);
        let info = ConnInfo {
            client_id: id.to_owned(),
            assigned: false,
            peer: SocketAddr::from(([127, 0, 0, 1], 5000)),
            listener: Arc::new("mqtt:tcp:external".into()),
            zone: self.zones[at].clone(),
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
                self.out[at].push(self.receivers[at].line(&packet, whole.length));
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
