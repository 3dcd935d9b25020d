//! The hot path without sockets: bytes of publishers into shards, bytes for subscribers out of them, as
//! a driver would do it, but with a made-up network, so that each run does exactly the same. It is
//! here for counting instructions and allocations, not time.

use std::net::SocketAddr;
use std::sync::Arc;

use broker::access::Everybody;
use broker::routes::{Change, Interest, Place};
use broker::{
    Cause, ConnId, ConnInfo, Effects, Event, Extent, Settings, Shard, ShardConfig, Stamp, Ticket, Wait, Wish,
    Zone,
};
use mqtt::packet::Packet;
use mqtt::session::Out;
use mqtt::{Epoch, Message, Now, Version};

use crate::wire::{self, Ack, Connect, PublishForm};

/// Messages that a publisher sends in one turn.
const BATCH: usize = 32;

/// One kind of traffic.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    /// Clients that publish, each to a topic of its own unless there is one subscriber.
    pub publishers: usize,
    /// Clients that get every message.
    pub subscribers: usize,
    /// Of messages and subscriptions.
    pub qos: u8,
    /// Publishers and subscribers are on two nodes.
    pub across: bool,
}

const fn case(name: &'static str, publishers: usize, subscribers: usize, qos: u8, across: bool) -> Case {
    Case { name, publishers, subscribers, qos, across }
}

/// All of them.
pub const CASES: &[Case] = &[
    case("1-1-q0", 1, 1, 0, false),
    case("1-1-q1", 1, 1, 1, false),
    case("1-1-q2", 1, 1, 2, false),
    case("1-100-q0", 1, 100, 0, false),
    case("1-100-q1", 1, 100, 1, false),
    case("1-100-q2", 1, 100, 2, false),
    case("100-1-q0", 100, 1, 0, false),
    case("100-1-q1", 100, 1, 1, false),
    case("100-1-q2", 100, 1, 2, false),
    case("across-q0", 1, 1, 0, true),
    case("across-q1", 1, 1, 1, true),
    case("across-q2", 1, 1, 2, true),
];

/// What a shard asks for, in memory.
struct Wires {
    interest: Interest,
    outs: Vec<Out>,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    forwards: Vec<u8>,
    ends: Vec<usize>,
    stamps: u64,
}

impl Effects for Wires {
    fn epoch(&self) -> Epoch {
        Epoch(1_800_000_000_000)
    }

    fn interest(&self) -> &Interest {
        &self.interest
    }

    fn out(&mut self, conn: ConnId) -> &mut Out {
        let at = conn.0 as usize;
        if !self.is_touched[at] {
            self.is_touched[at] = true;
            self.touched.push(conn.0);
        }
        &mut self.outs[at]
    }

    fn close(&mut self, conn: ConnId, cause: Cause) {
        panic!("connection {conn:?} is ended: {cause:?}");
    }

    fn pause(&mut self, _: ConnId) {}

    fn resume(&mut self, _: ConnId) {}

    fn forward(&mut self, _: Place, frame: &[u8]) {
        self.forwards.extend_from_slice(frame);
        self.ends.push(self.forwards.len());
    }

    fn wish(&mut self, _: Wish<'_>) {}

    fn routes(&mut self, _: Extent, _: Ticket) -> Wait {
        Wait::Over
    }

    fn claim(&mut self, _: &Arc<str>, _: Option<Stamp>) {}

    fn ask_exclusive(&mut self, _: &Arc<str>, _: &[Arc<str>], _: Ticket) {}

    fn give_back(&mut self, _: &str, _: Ticket) {}

    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp { time: self.stamps, node: 1 }
    }

    fn tell(&mut self, _: Place, _: &str, _: &[u8]) {}

    fn retain(&mut self, _: &Message, _: Ticket) -> Wait {
        Wait::Over
    }

    fn retained(&mut self, _: &str, _: Option<&str>, _: usize, _: &mut Vec<Message>) {}

    fn event(&mut self, _: Event<'_>) {}
}

struct Node {
    shard: Shard,
    wires: Wires,
}

impl Node {
    fn new(number: u64, clients: usize) -> Node {
        let shard = Shard::new(ShardConfig {
            place: Place::shard(0),
            node_key: number + 1,
            seed: number + 77,
            settings: Settings::default(),
            access: Box::new(Everybody),
        });
        let wires = Wires {
            interest: Interest::new(5),
            outs: (0..clients).map(|_| Out::default()).collect(),
            touched: Vec::new(),
            is_touched: vec![false; clients],
            forwards: Vec::new(),
            ends: Vec::new(),
            stamps: 0,
        };
        Node { shard, wires }
    }

    fn connect(&mut self, conn: ConnId, id: &str) {
        let mut bytes = Vec::new();
        let say = Connect {
            version: wire::Version::V4,
            client_id: id,
            clean: true,
            keep_alive: 0,
            username: None,
            password: None,
            session_expiry: 0,
        };
        wire::connect(&mut bytes, &say);
        let frame = mqtt::frame(&bytes, bytes.len()).ok().flatten().expect("a CONNECT is a whole frame");
        let Ok(Packet::Connect(connect)) = Packet::decode(Version::V311, &frame) else {
            panic!("a CONNECT is decoded as one");
        };
        let zone = Zone { inflight_max: 100, ..Zone::default() };
        let info = ConnInfo {
            client_id: id.to_owned(),
            assigned: false,
            peer: SocketAddr::from(([127, 0, 0, 1], 5000)),
            listener: Arc::new("mqtt:tcp:external".into()),
            zone: Arc::new(zone),
        };
        self.shard.connect(conn, &connect, info, Now(0), &mut self.wires);
    }
}

/// What is measured of a client's bytes: cutting, decoding, deciding, encoding for all who get it.
#[inline(never)]
fn take_bytes(node: &mut Node, conn: ConnId, mut bytes: &[u8]) {
    while let Ok(Some(frame)) = mqtt::frame(bytes, 1 << 20) {
        let Ok(packet) = Packet::decode(Version::V311, &frame) else { panic!("a packet of ours is decoded") };
        node.shard.packet(conn, packet, Now(1000), &mut node.wires);
        bytes = &bytes[frame.length..];
    }
}

/// What is measured of a frame between nodes.
#[inline(never)]
fn take_frame(node: &mut Node, frame: &[u8]) {
    node.shard.forwarded(Place::peer(0), frame, &mut node.wires);
}

/// Clients and nodes of one case.
pub struct World {
    nodes: Vec<Node>,
    case: Case,
    forms: Vec<PublishForm>,
    next_id: u16,
    delivered: u64,
    buffer: Vec<u8>,
    replies: Vec<(usize, ConnId, Vec<u8>)>,
    answering: Vec<(usize, ConnId, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl World {
    /// All clients connected and subscribed.
    pub fn new(case: Case) -> World {
        let clients = case.publishers + case.subscribers;
        let mut nodes = vec![Node::new(0, clients)];
        if case.across {
            nodes.push(Node::new(1, clients));
        }
        let far = nodes.len() - 1;
        let topic = |n: usize| format!("site/{n}/temperature");
        let filter = if case.publishers > 1 { "site/+/temperature".to_owned() } else { topic(0) };
        for n in 0..case.publishers {
            nodes[0].connect(ConnId(n as u32), &format!("publisher-{n}"));
        }
        for n in case.publishers..clients {
            let conn = ConnId(n as u32);
            nodes[far].connect(conn, &format!("subscriber-{n}"));
            let mut bytes = Vec::new();
            wire::subscribe(&mut bytes, wire::Version::V4, 1, &[&filter], case.qos);
            take_bytes(&mut nodes[far], conn, &bytes);
        }
        if case.across {
            let (place, filter) = (Place::peer(1), filter.as_str().into());
            nodes[0].wires.interest.apply(&Change::Add { place, filter });
        }
        let payload = [b'x'; 100];
        let form = |n| PublishForm::new(wire::Version::V4, &topic(n), case.qos, false, &payload);
        let forms = (0..case.publishers).map(form).collect();
        let mut world = World {
            nodes,
            case,
            forms,
            next_id: 1,
            delivered: 0,
            buffer: Vec::new(),
            replies: Vec::new(),
            answering: Vec::new(),
            spare: Vec::new(),
        };
        world.settle();
        world.delivered = 0;
        world
    }

    /// Sends at least `messages` in batches, until all have arrived and are acknowledged; gives the deliveries.
    pub fn run(&mut self, messages: usize) -> u64 {
        let before = self.delivered;
        let mut sent = 0;
        while sent < messages {
            for n in 0..self.case.publishers {
                self.buffer.clear();
                for _ in 0..BATCH {
                    self.forms[n].write(&mut self.buffer, self.next_id);
                    self.next_id = self.next_id % 60_000 + 1;
                }
                take_bytes(&mut self.nodes[0], ConnId(n as u32), &self.buffer);
                sent += BATCH;
                self.settle();
            }
        }
        let delivered = self.delivered - before;
        assert_eq!(delivered, (sent * self.case.subscribers) as u64, "every message arrives once");
        delivered
    }

    /// Hands on what the shards have put out, and the clients' answers to it, until all is quiet.
    fn settle(&mut self) {
        loop {
            self.cross();
            self.collect();
            if self.replies.is_empty() {
                return;
            }
            std::mem::swap(&mut self.replies, &mut self.answering);
            for (node, conn, bytes) in self.answering.drain(..) {
                take_bytes(&mut self.nodes[node], conn, &bytes);
                self.spare.push(bytes);
            }
        }
    }

    fn cross(&mut self) {
        let [near, far] = self.nodes.as_mut_slice() else { return };
        let mut start = 0;
        for &end in &near.wires.ends {
            take_frame(far, &near.wires.forwards[start..end]);
            start = end;
        }
        near.wires.ends.clear();
        near.wires.forwards.clear();
    }

    fn collect(&mut self) {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            while let Some(conn) = node.wires.touched.pop() {
                node.wires.is_touched[conn as usize] = false;
                let out = &mut node.wires.outs[conn as usize];
                let Some(bytes) = out.single() else { panic!("small packets lie in one piece") };
                let mut reply = self.spare.pop().unwrap_or_default();
                reply.clear();
                self.delivered += answer(bytes, &mut reply);
                if reply.is_empty() {
                    self.spare.push(reply);
                } else {
                    self.replies.push((at, ConnId(conn), reply));
                }
                // As a driver does after one write took everything.
                let buffer = out.written_whole();
                out.lend(buffer);
            }
        }
    }
}

/// What a client says to these bytes; gives the number of messages in them.
fn answer(mut bytes: &[u8], reply: &mut Vec<u8>) -> u64 {
    let mut messages = 0;
    while let Ok(Some((packet, used))) = wire::split(bytes, wire::Version::V4) {
        match packet {
            wire::Packet::Publish { qos, id, .. } => {
                messages += 1;
                match qos {
                    1 => wire::ack(reply, Ack::PubAck, id),
                    2 => wire::ack(reply, Ack::PubRec, id),
                    _ => {}
                }
            }
            wire::Packet::Ack { kind: Ack::PubRec, id, .. } => wire::ack(reply, Ack::PubRel, id),
            wire::Packet::Ack { kind: Ack::PubRel, id, .. } => wire::ack(reply, Ack::PubComp, id),
            _ => {}
        }
        bytes = &bytes[used..];
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_delivers_each_message_once() {
        for case in CASES {
            let mut world = World::new(*case);
            assert!(world.run(100) >= 100, "{}", case.name);
            assert!(world.run(100) >= 100, "{}", case.name);
        }
    }
}
