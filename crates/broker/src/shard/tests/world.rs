//! The wires: each machine is a shard of some node, with a driver that records and hands on.

use cluster::Stamp;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt::codec::frame;
use mqtt::packet::{
    Ack, AckKind, Connect, Disconnect, Packet, Publish, Subscribe, SubscribeFilter, SubscriptionOptions,
    Unsubscribe, Will,
};
use mqtt::session::Out;
use mqtt::{Epoch, Message, Now, Properties, Property, QoS, Reason, Version};

use crate::ConnInfo;
use crate::access::Everybody;
use crate::effects::{Cause, ConnId, Effects, Event, Extent, Ticket, Wait, Wish};
use crate::exclusive::{Asker, Effect, Exclusive, RoundId};
use crate::retained::{Limits, Retained};
use crate::routes::{Change, GroupCount, Interest, Place};
use crate::settings::{Settings, Zone};
use crate::shard::{Shard, ShardConfig};

pub struct Driver {
    pub interest: Interest,
    pub outs: BTreeMap<ConnId, Out>,
    pub closed: Vec<(ConnId, Cause)>,
    pub paused: Vec<ConnId>,
    /// Connections that are not read.
    pub unread: Vec<ConnId>,
    pub forwards: VecDeque<(Place, Vec<u8>)>,
    pub tells: VecDeque<(Place, Vec<u8>)>,
    pub claims: VecDeque<(String, Option<Stamp>)>,
    /// Questions for filters, and filters given back.
    exclusive: VecDeque<Alone>,
    pub tickets: VecDeque<(Extent, Ticket)>,
    pub stored: VecDeque<Ticket>,
    pub retained: Retained,
    pub disk: Wait,
    pub routes: Wait,
    pub wishes: Vec<String>,
    pub events: Vec<String>,
    pub epoch: u64,
    pub stamps: u64,
    pub node: u64,
}

impl Effects for Driver {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
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
        self.resume(conn);
    }

    fn pause(&mut self, conn: ConnId) {
        self.paused.push(conn);
    }

    fn resume(&mut self, conn: ConnId) {
        self.paused.retain(|c| *c != conn);
    }

    fn is_read(&self, conn: ConnId, _: Now) -> bool {
        !self.unread.contains(&conn)
    }

    fn forward(&mut self, place: Place, frame: &[u8]) {
        self.forwards.push_back((place, frame.to_vec()));
    }

    fn wish(&mut self, wish: Wish<'_>) {
        self.wishes.push(format!("{wish:?}"));
    }

    fn routes(&mut self, extent: Extent, ticket: Ticket) -> Wait {
        if extent == Extent::Node && self.routes == Wait::Over {
            return Wait::Over;
        }
        self.tickets.push_back((extent, ticket));
        Wait::Later
    }

    fn claim(&mut self, client: &Arc<str>, stamp: Option<Stamp>) {
        self.claims.push_back((client.to_string(), stamp));
    }

    fn ask_exclusive(&mut self, client: &Arc<str>, filters: &[Arc<str>], ticket: Ticket) {
        self.exclusive.push_back(Alone::Ask(Arc::clone(client), filters.to_vec(), ticket));
    }

    fn give_back(&mut self, filter: &str, ticket: Ticket) {
        self.exclusive.push_back(Alone::GiveBack(filter.to_owned(), ticket));
    }

    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp { time: (self.epoch << 16) + self.stamps, node: self.node }
    }

    fn tell(&mut self, peer: Place, client: &str, bytes: &[u8]) {
        assert_eq!(crate::told_client(bytes), Some(client));
        self.tells.push_back((peer, bytes.to_vec()));
    }

    fn retain(&mut self, message: &Message, ticket: Ticket) -> Wait {
        let stamp = self.stamp();
        self.retained.put(message, stamp);
        if self.disk == Wait::Later {
            self.stored.push_back(ticket);
        }
        self.disk
    }

    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>) {
        self.retained.matches(filter, after, limit, self.epoch, into);
    }

    fn event(&mut self, event: Event<'_>) {
        self.events.push(format!("{event:?}"));
    }
}

enum Alone {
    Ask(Arc<str>, Vec<Arc<str>>, Ticket),
    GiveBack(String, Ticket),
}

pub struct Machine {
    pub node: usize,
    pub number: u16,
    pub shard: Shard,
    pub driver: Driver,
    known: BTreeMap<(Place, String), GroupCount>,
    pub up: bool,
}

pub struct World {
    pub machines: Vec<Machine>,
    /// Who decides about filters that one client has for itself, by node; what nodes have yet to hear of one
    /// another; and what waits for that.
    pub exclusive: Vec<Exclusive>,
    entries: VecDeque<(usize, Arc<str>, Option<Vec<u8>>)>,
    rounds: VecDeque<(usize, RoundId)>,
    pub now: u64,
    pub zone: Zone,
    conns: u32,
    /// Nothing goes from machine to machine.
    pub cut: bool,
}

/// A connection of a test.
#[derive(Clone, Copy, Debug)]
pub struct C {
    pub at: usize,
    pub conn: ConnId,
    pub version: Version,
}

/// What a test's CONNECT says.
#[derive(Clone, Copy)]
pub struct Hello<'a> {
    pub version: Version,
    pub clean: bool,
    pub expiry: u32,
    pub keep_alive: u16,
    /// 0: not said.
    pub packet_max: u32,
    pub will: Option<(&'a str, &'a str, u32)>,
}

pub const V5: Hello<'static> =
    Hello { version: Version::V5, clean: true, expiry: 0, keep_alive: 60, packet_max: 0, will: None };
pub const KEPT: Hello<'static> = Hello { clean: false, expiry: 1000, ..V5 };

impl World {
    /// So many nodes of so many shards.
    pub fn new(nodes: usize, shards: u16) -> World {
        World::with(nodes, shards, Settings::default())
    }

    pub fn with(nodes: usize, shards: u16, settings: Settings) -> World {
        let mut machines = Vec::new();
        for node in 0..nodes {
            for number in 0..shards {
                let shard = Shard::new(ShardConfig {
                    place: Place::shard(number),
                    node_key: node as u64 + 1,
                    seed: machines.len() as u64 + 77,
                    settings: settings.clone(),
                    access: Box::new(Everybody),
                });
                let mut interest = Interest::new(5);
                for other in (0..nodes).filter(|n| *n != node) {
                    interest
                        .apply(&Change::NodeKey { place: Place::peer(other as u16), key: other as u64 + 1 });
                }
                let driver = Driver {
                    interest,
                    outs: BTreeMap::new(),
                    closed: Vec::new(),
                    paused: Vec::new(),
                    unread: Vec::new(),
                    forwards: VecDeque::new(),
                    tells: VecDeque::new(),
                    claims: VecDeque::new(),
                    exclusive: VecDeque::new(),
                    tickets: VecDeque::new(),
                    stored: VecDeque::new(),
                    retained: Retained::new(Limits::default()),
                    disk: Wait::Over,
                    routes: Wait::Later,
                    wishes: Vec::new(),
                    events: Vec::new(),
                    epoch: 1_000_000,
                    stamps: 0,
                    node: node as u64,
                };
                machines.push(Machine { node, number, shard, driver, known: BTreeMap::new(), up: true });
            }
        }
        let mut exclusive: Vec<Exclusive> = (0..nodes).map(|_| Exclusive::default()).collect();
        for (node, exclusive) in exclusive.iter_mut().enumerate() {
            for other in (0..nodes).filter(|other| *other != node) {
                exclusive.unmask(Place::peer(other as u16), &mut Vec::new());
            }
        }
        World {
            machines,
            exclusive,
            entries: VecDeque::new(),
            rounds: VecDeque::new(),
            now: 0,
            zone: Zone::default(),
            conns: 0,
            cut: false,
        }
    }

    /// One input of the place of a node where it is decided who has a filter for itself.
    pub fn decides(&mut self, node: usize, input: impl FnOnce(&mut Exclusive, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        input(&mut self.exclusive[node], &mut out);
        for effect in out {
            let (now, shard) = (Now(self.now), |asker: Asker| {
                move |m: &&mut Machine| (m.node, m.number) == (node, asker.shard)
            });
            match effect {
                Effect::Entry { filter, is, .. } => self.entries.push_back((node, filter, is)),
                Effect::Round(round) => self.rounds.push_back((node, round)),
                Effect::Answer { asker, granted } => {
                    let m = self.machines.iter_mut().find(shard(asker)).unwrap();
                    m.shard.exclusive_answered(asker.ticket, &granted, now, &mut m.driver);
                }
                Effect::End { asker, filter } => {
                    let m = self.machines.iter_mut().find(shard(asker)).unwrap();
                    m.shard.exclusive_ended(asker.ticket, &filter, &mut m.driver);
                }
            }
        }
    }

    /// Filters that one client has for itself: with the node, as the shards and as the nodes see it.
    pub fn alone(&self) -> Vec<(usize, String, String)> {
        let text = |node: usize| move |(f, c): (&str, &str)| (node, f.to_owned(), c.to_owned());
        let mut held: Vec<_> =
            self.exclusive.iter().enumerate().flat_map(|(n, node)| node.held().map(text(n))).collect();
        let mut had: Vec<_> =
            self.machines.iter().flat_map(|m| m.shard.exclusive().map(text(m.node))).collect();
        held.sort();
        had.sort();
        assert_eq!(held, had);
        held
    }

    fn step_exclusive(&mut self) -> bool {
        let mut moved = false;
        for from in 0..self.machines.len() {
            while let Some(alone) = self.machines[from].driver.exclusive.pop_front() {
                moved = true;
                let m = &mut self.machines[from];
                let (node, shard, stamp) = (m.node, m.number, m.driver.stamp());
                self.decides(node, |exclusive, out| match alone {
                    Alone::Ask(client, filters, ticket) => {
                        exclusive.ask(Asker { shard, ticket }, &client, filters, stamp, out);
                    }
                    Alone::GiveBack(filter, ticket) => {
                        exclusive.give_back(Asker { shard, ticket }, &filter, out);
                    }
                });
            }
        }
        if self.cut {
            return moved;
        }
        while let Some((from, filter, is)) = self.entries.pop_front() {
            moved = true;
            for to in (0..self.exclusive.len()).filter(|to| *to != from) {
                let peer = Place::peer(from as u16);
                self.decides(to, |exclusive, out| exclusive.peer_entry(peer, &filter, is.as_deref(), out));
            }
        }
        while let Some((node, round)) = self.rounds.pop_front() {
            moved = true;
            self.decides(node, |exclusive, out| exclusive.known(round, true, out));
        }
        moved
    }

    fn place(&self, from: usize, to: usize) -> Place {
        let (from, to) = (&self.machines[from], &self.machines[to]);
        if from.node == to.node { Place::shard(to.number) } else { Place::peer(to.node as u16) }
    }

    /// The machine that a place means: of a peer its first shard.
    fn machine(&self, from: usize, place: Place) -> usize {
        let node = if place.is_peer() { usize::from(place.number()) } else { self.machines[from].node };
        let number = if place.is_peer() { 0 } else { place.number() };
        self.machines.iter().position(|m| m.node == node && m.number == number).unwrap()
    }

    /// Brings every machine's interest up to what all others want.
    pub fn spread_routes(&mut self) {
        let mut wanted: Vec<BTreeMap<(Place, String), GroupCount>> =
            vec![BTreeMap::new(); self.machines.len()];
        for from in 0..self.machines.len() {
            let (plain, groups) = self.machines[from].shard.wishes();
            for (to, wanted) in wanted.iter_mut().enumerate() {
                let place = self.place(to, from);
                for filter in &plain {
                    wanted.insert((place, (*filter).to_owned()), GroupCount::default());
                }
                for (key, count) in &groups {
                    let entry = wanted.entry((place, key.clone())).or_default();
                    entry.members += count.members;
                    entry.online += count.online;
                }
            }
        }
        for (machine, wanted) in self.machines.iter_mut().zip(wanted) {
            let change = |place: Place, key: &str, count: Option<GroupCount>| {
                if crate::routes::shared(key).is_some() {
                    return Change::Members { place, key: key.into(), count: count.unwrap_or_default() };
                }
                match count {
                    Some(_) => Change::Add { place, filter: key.into() },
                    None => Change::Remove { place, filter: key.into() },
                }
            };
            for ((place, key), _) in machine.known.iter().filter(|(k, _)| !wanted.contains_key(*k)) {
                machine.driver.interest.apply(&change(*place, key, None));
            }
            for ((place, key), count) in wanted.iter().filter(|(k, c)| machine.known.get(*k) != Some(c)) {
                machine.driver.interest.apply(&change(*place, key, Some(*count)));
            }
            machine.known = wanted;
        }
    }

    /// Hands everything on until nothing moves any more.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            self.spread_routes();
            if !self.step() {
                return;
            }
        }
        panic!("the machines do not come to rest");
    }

    /// Hands on what there is, once, while everybody sees the routes of before.
    pub fn step_without_routes(&mut self) {
        self.step();
    }

    fn step(&mut self) -> bool {
        let now = Now(self.now);
        let mut moved = self.step_exclusive();
        for from in 0..self.machines.len() {
            while let Some((extent, ticket)) = self.machines[from].driver.tickets.pop_front() {
                let _ = extent;
                let m = &mut self.machines[from];
                m.shard.routes_in(ticket, now, &mut m.driver);
                moved = true;
            }
            while let Some(ticket) = self.machines[from].driver.stored.pop_front() {
                let m = &mut self.machines[from];
                m.shard.retained_stored(ticket, Reason::Success, now, &mut m.driver);
                moved = true;
            }
            if self.cut {
                continue;
            }
            while let Some((client, stamp)) = self.machines[from].driver.claims.pop_front() {
                moved = true;
                for to in 0..self.machines.len() {
                    let peer = self.place(to, from);
                    // Client ids have their home by the digit at their end.
                    if !peer.is_peer() || self.home(to, &client) != to {
                        continue;
                    }
                    let m = &mut self.machines[to];
                    match stamp {
                        Some(stamp) => {
                            m.shard.peer_claim(peer, &client.as_str().into(), stamp, now, &mut m.driver)
                        }
                        None => m.shard.peer_release(peer, &client, now, &mut m.driver),
                    }
                }
            }
            while let Some((place, bytes)) = self.machines[from].driver.tells.pop_front() {
                moved = true;
                let to = self.home(self.machine(from, place), crate::told_client(&bytes).unwrap());
                if self.machines[to].up {
                    let back = self.place(to, from);
                    let m = &mut self.machines[to];
                    m.shard.told(back, &bytes, now, &mut m.driver);
                }
            }
            while let Some((place, bytes)) = self.machines[from].driver.forwards.pop_front() {
                moved = true;
                let to = self.machine(from, place);
                let back = self.place(to, from);
                let m = &mut self.machines[to];
                m.shard.forwarded(back, &bytes, &mut m.driver);
            }
        }
        moved
    }

    /// The home of a client id on the node of a machine.
    fn home(&self, machine: usize, client: &str) -> usize {
        let node = self.machines[machine].node;
        let shards = self.machines.iter().filter(|m| m.node == node).count();
        let number = client.bytes().last().map_or(0, usize::from) % shards;
        self.machines.iter().position(|m| m.node == node && usize::from(m.number) == number).unwrap()
    }

    /// Lets time pass, in steps in which everything comes to rest.
    pub fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            let next = self.machines.iter().filter_map(|m| m.shard.wake_at()).min().map_or(until, |n| n.0);
            let next = next.clamp(self.now, until);
            for m in &mut self.machines {
                m.driver.epoch += next - self.now;
            }
            self.now = next;
            for m in &mut self.machines {
                m.shard.expire(Now(next), &mut m.driver);
            }
            self.settle();
            let due = self.machines.iter().filter_map(|m| m.shard.wake_at()).min();
            if self.now >= until && due.is_none_or(|d| d.0 > until) {
                return;
            }
        }
    }

    /// Connects without waiting for the answer.
    pub fn connect_only(&mut self, at: usize, id: &str, hello: Hello<'_>) -> C {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let mut list = Vec::new();
        if hello.expiry > 0 {
            Property::SessionExpiry(hello.expiry).write(&mut list);
        }
        if hello.packet_max > 0 {
            Property::MaxPacketSize(hello.packet_max).write(&mut list);
        }
        let mut will_list = Vec::new();
        if let Some((_, _, delay)) = hello.will
            && delay > 0
        {
            Property::WillDelay(delay).write(&mut will_list);
        }
        let will = hello.will.map(|(topic, payload, _)| Will {
            topic,
            payload: payload.as_bytes(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Properties::trusted(&will_list),
        });
        let connect = Connect {
            version: hello.version,
            clean_start: hello.clean,
            keep_alive: hello.keep_alive,
            client_id: id,
            username: None,
            password: None,
            will,
            properties: Properties::trusted(&list),
            bridge: false,
        };
        let info = ConnInfo {
            client_id: id.to_owned(),
            assigned: false,
            peer: SocketAddr::from(([127, 0, 0, 1], 5000)),
            listener: Arc::new("mqtt:tcp:external".into()),
            zone: Arc::new(self.zone.clone()),
        };
        let m = &mut self.machines[at];
        m.shard.connect(conn, &connect, info, Now(self.now), &mut m.driver);
        C { at, conn, version: hello.version }
    }

    pub fn connect(&mut self, at: usize, id: &str, hello: Hello<'_>) -> C {
        let c = self.connect_only(at, id, hello);
        self.settle();
        c
    }

    pub fn send(&mut self, c: C, bytes: &[u8]) {
        let frame = frame(bytes, bytes.len()).unwrap().unwrap();
        let packet = Packet::decode(c.version, &frame).unwrap();
        let m = &mut self.machines[c.at];
        assert!(!m.driver.paused.contains(&c.conn), "nothing is read from a paused connection");
        m.shard.packet(c.conn, packet, Now(self.now), &mut m.driver);
    }

    /// Subscribes and swallows the answer.
    pub fn subscribe(&mut self, c: C, filter: &str, qos: u8) {
        self.subscribe_with(c, filter, SubscriptionOptions { qos: q(qos), ..Default::default() }, 0);
        let got = self.got(c);
        assert_eq!(got.first().map(String::as_str), Some(format!("SUBACK {qos}").as_str()), "{filter}");
    }

    pub fn subscribe_with(&mut self, c: C, filter: &str, options: SubscriptionOptions, id: u32) {
        let mut list = Vec::new();
        if id > 0 {
            Property::SubscriptionId(id).write(&mut list);
        }
        let mut bytes = Vec::new();
        let filters = [SubscribeFilter { filter, options }];
        Subscribe::encode_for(c.version, 1, Properties::trusted(&list), &filters, &mut bytes);
        self.send(c, &bytes);
        self.settle();
    }

    pub fn unsubscribe(&mut self, c: C, filter: &str) {
        let mut bytes = Vec::new();
        Unsubscribe::encode_for(c.version, 1, &[filter], &mut bytes);
        self.send(c, &bytes);
        self.settle();
    }

    /// Publishes; with QoS 1 and 2 the answer comes out of `got`.
    pub fn publish(&mut self, c: C, topic: &str, payload: &str, qos: u8) {
        self.publish_only(c, topic, payload, qos, false);
        self.settle();
    }

    pub fn publish_only(&mut self, c: C, topic: &str, payload: &str, qos: u8, retain: bool) {
        let publish = Publish {
            dup: false,
            qos: q(qos),
            retain,
            topic,
            packet_id: if qos > 0 { 9 } else { 0 },
            properties: Properties::NONE,
            payload: payload.as_bytes(),
        };
        let mut bytes = Vec::new();
        Packet::Publish(publish).encode(c.version, &mut bytes);
        self.send(c, &bytes);
    }

    pub fn ack(&mut self, c: C, packet_id: u16) {
        let mut bytes = Vec::new();
        Ack::new(AckKind::Puback, packet_id, Reason::Success).encode(c.version, &mut bytes);
        self.send(c, &bytes);
        self.settle();
    }

    pub fn disconnect(&mut self, c: C, reason: Reason) {
        let mut bytes = Vec::new();
        Disconnect { reason, properties: Properties::NONE }.encode(c.version, &mut bytes);
        self.send(c, &bytes);
        self.settle();
    }

    pub fn lose(&mut self, c: C) {
        let m = &mut self.machines[c.at];
        m.shard.closed(c.conn, Now(self.now), &mut m.driver);
        self.settle();
    }

    pub fn closed(&self, c: C) -> Option<Cause> {
        self.machines[c.at].driver.closed.iter().find(|(conn, _)| *conn == c.conn).map(|(_, cause)| *cause)
    }

    /// What a connection has got since the last look, a line a packet.
    pub fn got(&mut self, c: C) -> Vec<String> {
        let Some(out) = self.machines[c.at].driver.outs.get_mut(&c.conn) else { return Vec::new() };
        let bytes = out.take_bytes();
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        while let Some(frame) = frame(rest, rest.len().max(1)).unwrap() {
            rest = &rest[frame.length..];
            lines.push(line(&Packet::decode(c.version, &frame).unwrap()));
        }
        lines
    }

    /// The payloads that a connection has got since the last look, `payload` alone.
    pub fn payloads(&mut self, c: C) -> Vec<String> {
        let lines = self.got(c);
        let of = |l: &String| l.strip_prefix("PUBLISH ").and_then(|l| l.split(' ').nth(1)).map(str::to_owned);
        lines.iter().filter_map(of).collect()
    }
}

pub fn q(qos: u8) -> QoS {
    QoS::from_bits(qos).unwrap()
}

fn line(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connack(p) => {
            format!("CONNACK {}{}", p.reason.words(), if p.session_present { " present" } else { "" })
        }
        Packet::Publish(p) => {
            let mut line =
                format!("PUBLISH {} {} q{}", p.topic, String::from_utf8_lossy(p.payload), p.qos as u8);
            if p.retain {
                line.push_str(" retain");
            }
            if p.dup {
                line.push_str(" dup");
            }
            for property in p.properties.iter() {
                if let Property::SubscriptionId(id) = property {
                    line.push_str(&format!(" id{id}"));
                }
            }
            line
        }
        Packet::Ack(p) => format!("{:?} {} {}", p.kind, p.packet_id, p.reason.words()).to_uppercase(),
        Packet::Suback(p) => format!("SUBACK {}", codes(p.codes)),
        Packet::Unsuback(p) => format!("UNSUBACK {}", codes(p.codes)),
        Packet::Disconnect(p) => format!("DISCONNECT {}", p.reason.words()),
        other => format!("{other:?}"),
    }
}

fn codes(codes: &[u8]) -> String {
    codes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
}
