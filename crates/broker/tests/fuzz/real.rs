//! The machines of one or two shards, driven for two programs.

mod driver;
mod words;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::access::Everybody;
use broker::retained::{Limits, Retained};
use broker::routes::Place;
use broker::settings::{DefaultPriority, MailboxRules};
use broker::{ConnId, ConnInfo, Settings, Shard, ShardConfig, Stamp, Zone};
use mqtt::codec::{PACKET_BYTES_MAX, frame};
use mqtt::packet::{AckKind, Connect};
use mqtt::session::Out;
use mqtt::{Now, Packet, Reason, Version};

use crate::model::Shown;
use crate::op::{Hello, Op, Rules};
use driver::{Driver, Node};
use words::{Receiver, answer, encoded, hello};

/// Both clocks begin here.
pub const START: u64 = 1_000_000;

/// A shard, and what it works on.
pub struct Machine {
    pub shard: Shard,
    pub driver: Driver,
}

pub struct Real {
    /// The client id `b` is at home on the last one.
    pub machines: Vec<Machine>,
    node: Rc<RefCell<Node>>,
    is_late: bool,
    /// Each program's listener has one.
    zones: [Arc<Zone>; 2],
    /// Each program's connection, and on which shard it is.
    lines: [Option<(usize, ConnId, Version)>; 2],
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
        let node = Node { retained: Retained::new(Limits::default()), now: START, stamps: 0 };
        let node = Rc::new(RefCell::new(node));
        let machine = |n| Machine {
            shard: Shard::new(ShardConfig {
                place: Place::shard(n as u16),
                node_key: 1,
                seed: seed + n as u64,
                settings: Settings { shared_ack: rules.shared_ack, ..Settings::default() },
                access: Box::new(Everybody),
            }),
            driver: Driver::new(n, rules.shards, node.clone()),
        };
        Real {
            machines: (0..rules.shards).map(machine).collect(),
            node,
            is_late: rules.is_late,
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
        let now = self.now();
        match *op {
            Op::Connect { at, id, how } => {
                self.lose(at);
                self.settle();
                self.connect(at, id, &how);
            }
            Op::Lose { at } => self.lose(at),
            Op::Malformed { at } => {
                if let Some((shard, conn, _)) = self.lines[at] {
                    let Machine { shard, driver } = &mut self.machines[shard];
                    shard.malformed(conn, Reason::MalformedPacket, now, driver);
                }
            }
            Op::Wait { ms } => self.wait(ms),
            Op::Hand { from } => drop(self.hand(from)),
            Op::ConnectAgain { at }
            | Op::Subscribe { at, .. }
            | Op::Unsubscribe { at, .. }
            | Op::Publish { at, .. }
            | Op::Ack { at, .. }
            | Op::Answer { at, .. }
            | Op::Ping { at }
            | Op::Disconnect { at, .. } => {
                if let Some((shard, conn, version)) = self.lines[at] {
                    let bytes = encoded(op, version, payload);
                    let whole = frame(&bytes, PACKET_BYTES_MAX as usize).unwrap().unwrap();
                    let Machine { shard, driver } = &mut self.machines[shard];
                    match Packet::decode_from_client(version, &whole) {
                        Ok(packet) => shard.packet(conn, packet, now, driver),
                        Err(reason) => shard.malformed(conn, reason, now, driver),
                    }
                }
            }
        }
        self.settle();
        self.take_out();
    }

    /// Hands on what the shards have for one another until there is nothing any more.
    fn settle(&mut self) {
        let now = self.now();
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for n in 0..self.machines.len() {
                for change in std::mem::take(&mut self.machines[n].driver.wishes) {
                    // A shard passes over what is said of itself: that it has changed must not be noticed by it.
                    let others = self.machines.iter_mut().enumerate().filter(|(other, _)| *other != n);
                    others.for_each(|(_, m)| m.driver.interest.apply(&change));
                }
                let Machine { shard, driver } = &mut self.machines[n];
                for ticket in std::mem::take(&mut driver.tickets) {
                    shard.routes_in(ticket, now, driver);
                    moved = true;
                }
                moved |= !self.is_late && self.hand(n);
            }
        }
    }

    /// Hands on what one shard has for another. Says whether there was something.
    fn hand(&mut self, from: usize) -> bool {
        let Some(machine) = self.machines.get_mut(from) else { return false };
        let is_here = |(place, _): &mut (Place, Vec<u8>)| !place.is_peer();
        let frames: Vec<_> = machine.driver.frames.extract_if(.., is_here).collect();
        for (place, frame) in &frames {
            let Machine { shard, driver } = &mut self.machines[usize::from(place.number())];
            shard.forwarded(Place::shard(from as u16), frame, driver);
        }
        !frames.is_empty()
    }

    /// A frame from a peer.
    pub fn forwarded(&mut self, peer: Place, frame: &[u8]) {
        let Machine { shard, driver } = &mut self.machines[0];
        shard.forwarded(peer, frame, driver);
    }

    /// A peer says something of a session.
    pub fn told(&mut self, peer: Place, bytes: &[u8]) {
        let now = self.now();
        let Machine { shard, driver } = &mut self.machines[0];
        shard.told(peer, bytes, now, driver);
    }

    /// A peer says that it has a client.
    pub fn claimed(&mut self, peer: Place, client: &str) {
        let now = self.now();
        let Machine { shard, driver } = &mut self.machines[0];
        shard.peer_claim(peer, &client.into(), Stamp { time: 1, node: 1 }, now, driver);
    }

    fn lose(&mut self, at: usize) {
        let now = self.now();
        if let Some((shard, conn, _)) = self.lines[at].take() {
            let Machine { shard, driver } = &mut self.machines[shard];
            shard.closed(conn, now, driver);
            driver.outs.remove(&conn);
        }
    }

    fn connect(&mut self, at: usize, id: &str, how: &Hello) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let version = if how.v5 { Version::V5 } else { Version::V311 };
        let home = if id == "b" { self.machines.len() - 1 } else { 0 };
        self.lines[at] = Some((home, conn, version));
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
        let now = self.now();
        // The other program may have had the client id: its last words are taken first.
        let Machine { shard, driver } = &mut self.machines[home];
        shard.connect(conn, &connect, info, now, driver);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now().0 + ms;
        let wish = |m: &Machine| m.shard.wake_at().filter(|at| at.0 <= until);
        while let Some((at, n)) =
            self.machines.iter().enumerate().filter_map(|(n, m)| Some((wish(m)?, n))).min()
        {
            let now = self.now().max(at);
            self.node.borrow_mut().now = now.0;
            let Machine { shard, driver } = &mut self.machines[n];
            shard.expire(now, driver);
            self.settle();
        }
        self.node.borrow_mut().now = until;
    }

    /// What the clock shows.
    pub fn now(&self) -> Now {
        Now(self.node.borrow().now)
    }

    /// What has been put out, as lines.
    pub fn take_out(&mut self) {
        for at in 0..2 {
            let Some((shard, conn, version)) = self.lines[at] else { continue };
            let driver = &mut self.machines[shard].driver;
            let bytes = driver.outs.get_mut(&conn).map(Out::take_bytes).unwrap_or_default();
            let mut rest = &bytes[..];
            while let Some(whole) = frame(rest, PACKET_BYTES_MAX as usize).unwrap() {
                rest = &rest[whole.length..];
                let packet = Packet::decode(version, &whole).unwrap();
                self.owed[at].extend(answer(&packet));
                self.out[at].push(self.receivers[at].line(&packet, whole.length));
            }
            assert!(rest.is_empty(), "a packet is cut");
            if let Some((_, cause)) = driver.closed.iter().find(|(c, _)| *c == conn) {
                self.out[at].push(format!("CLOSED {cause:?}"));
                self.lines[at] = None;
                driver.outs.remove(&conn);
            }
        }
    }

    pub fn shown(&self) -> Vec<Shown> {
        let mut all: Vec<Shown> = self
            .machines
            .iter()
            .flat_map(|m| m.shard.clients())
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
        let gauges = self.machines.iter().map(|m| m.shard.gauges());
        let gauges = gauges
            .fold([0; 3], |sum, g| [sum[0] + g.sessions, sum[1] + g.connections, sum[2] + g.subscriptions]);
        let connected = all.iter().filter(|s| s.connected).count();
        let subscriptions = all.iter().map(|s| s.subscriptions).sum::<usize>();
        assert_eq!(
            gauges,
            [all.len() as u64, connected as u64, subscriptions as u64],
            "gauges count what there is"
        );
    }
}
