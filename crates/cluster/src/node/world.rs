//! A cluster in memory, for tests: nodes, links that take time, break and stall, and disks. Driven by one
//! seed, so a run repeats.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::bus::handshake::{Handshake, Local, Peer as Proven, Progress, Purpose};
use crate::effects::{Asked, Records, RequestId, VisitEntries, VisitRecords, Wipe};
use crate::replica::Buckets;

pub(crate) const ROUTES: TableId = TableId(1);
pub(crate) const RETAINED: MapId = MapId(1);

type Store = BTreeMap<Vec<u8>, (Stamp, Option<Vec<u8>>)>;

#[derive(Default)]
struct Kept(Store, Buckets);

impl Records for Kept {
    fn stamp(&self, key: &[u8]) -> Option<Stamp> {
        self.0.get(key).map(|(stamp, _)| *stamp)
    }
    fn apply(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>, _: Origin) {
        self.purge(key);
        self.1.count_in(key, stamp);
        self.0.insert(key.to_vec(), (stamp, value.map(<[u8]>::to_vec)));
    }
    fn read(&self, key: &[u8], visit: &mut dyn FnMut(Stamp, Option<&[u8]>)) {
        if let Some((stamp, value)) = self.0.get(key) {
            visit(*stamp, value.as_deref());
        }
    }
    fn scan(&self, after: Option<&[u8]>, visit: &mut VisitRecords<'_>) {
        for (key, (stamp, value)) in
            self.0.iter().filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after))
        {
            if !visit(key, *stamp, value.as_deref()) {
                return;
            }
        }
    }
    fn purge(&mut self, key: &[u8]) {
        if let Some((stamp, _)) = self.0.remove(key) {
            self.1.count_out(key, stamp);
        }
    }
    fn buckets(&self) -> &Buckets {
        &self.1
    }
}

/// What a host keeps for its node, and what the node asked of it.
#[derive(Default)]
pub(crate) struct Host {
    disk: Option<Vec<u8>>,
    records: Kept,
    own: BTreeMap<Vec<u8>, Vec<u8>>,
    seen: BTreeMap<NodeId, BTreeMap<Vec<u8>, Vec<u8>>>,
    swept: BTreeMap<NodeId, BTreeSet<Vec<u8>>>,
    masked: BTreeSet<NodeId>,
    pub events: Vec<Event>,
    pub replies: BTreeMap<CommandId, Outcome>,
    pub casts: Vec<(u16, Vec<u8>)>,
    pub answers: BTreeMap<RequestId, Result<Vec<u8>, Cause>>,
    asked: Vec<(Asked, u16, Vec<u8>)>,
    dials: Vec<(DialId, NodeName)>,
    sent: Vec<(LinkId, Vec<u8>)>,
    closed: Vec<LinkId>,
    pub wipes: Vec<Wipe>,
    wiping: bool,
}

impl Effects for Host {
    fn dial(&mut self, dial: DialId, name: &NodeName) {
        self.dials.push((dial, name.clone()));
    }
    fn send(&mut self, link: LinkId, bytes: &[u8]) {
        self.sent.push((link, bytes.to_vec()));
    }
    fn close(&mut self, link: LinkId) {
        self.closed.push(link);
    }
    fn persist(&mut self, state: &[u8]) {
        self.disk = Some(state.to_vec());
    }
    fn wipe(&mut self, why: &Wipe) {
        self.wipes.push(why.clone());
        self.wiping = true;
    }
    fn own(&mut self, _: TableId, after: Option<&[u8]>, visit: &mut VisitEntries<'_>) {
        for (key, value) in
            self.own.iter().filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after))
        {
            if !visit(key, value) {
                return;
            }
        }
    }
    fn table_changed(&mut self, node: NodeId, _: TableId, key: &[u8], value: Option<&[u8]>) {
        if let Some(swept) = self.swept.get_mut(&node) {
            swept.remove(key);
        }
        let seen = self.seen.entry(node).or_default();
        match value {
            Some(value) => seen.insert(key.to_vec(), value.to_vec()),
            None => seen.remove(key),
        };
    }
    fn table_reset(&mut self, node: NodeId, _: TableId) {
        let keys = self.seen.entry(node).or_default().keys().cloned().collect();
        self.swept.insert(node, keys);
    }
    fn table_complete(&mut self, node: NodeId, _: TableId) {
        for key in self.swept.remove(&node).unwrap_or_default() {
            self.seen.entry(node).or_default().remove(&key);
        }
    }
    fn masked(&mut self, node: NodeId) {
        assert!(self.masked.insert(node), "masked twice");
    }
    fn interrupted(&mut self, node: NodeId) {
        assert!(!self.masked.contains(&node), "only who serves can have been interrupted");
    }
    fn unmasked(&mut self, node: NodeId, _: Incarnation) {
        self.masked.remove(&node);
    }
    fn records(&mut self, map: MapId) -> Option<&mut dyn Records> {
        (map == RETAINED).then_some(&mut self.records)
    }
    fn cast(&mut self, _: NodeId, kind: u16, body: &[u8]) {
        self.casts.push((kind, body.to_vec()));
    }
    fn asked(&mut self, asked: Asked, kind: u16, body: &[u8]) {
        self.asked.push((asked, kind, body.to_vec()));
    }
    fn answered(&mut self, request: RequestId, answer: Result<&[u8], Cause>) {
        self.answers.insert(request, answer.map(<[u8]>::to_vec));
    }
    fn reply(&mut self, command: CommandId, outcome: Outcome) {
        assert!(self.replies.insert(command, outcome).is_none(), "replied twice");
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

pub(crate) struct Place {
    pub name: NodeName,
    pub node: Option<Node>,
    pub host: Host,
    pub cookie: &'static str,
    pub autoheal: bool,
    pub autoclean: Option<Duration>,
    skew: u64,
}

/// One end of a connection: `(host, link)`; bytes on their way with the time they arrive.
struct Wire {
    ends: [(usize, LinkId); 2],
    flying: [VecDeque<(u64, Vec<u8>)>; 2],
    /// The ends whose node does not know yet that the handshake is over.
    fresh: [Option<Fresh>; 2],
}

/// The end of a handshake on its way to its node, which may become another one meanwhile.
struct Fresh {
    at: u64,
    dial: Option<DialId>,
    peer: Proven,
    own: NodeId,
}

pub(crate) struct World {
    pub places: Vec<Place>,
    wires: Vec<Wire>,
    cut: BTreeSet<(usize, usize)>,
    pub at: u64,
    /// What repeats this run.
    seed: u64,
    rng: StdRng,
    serial: u64,
    /// What all nodes have sent.
    pub parcels: u64,
    pub bytes: u64,
}

impl World {
    pub fn new(count: usize, seed: u64) -> Self {
        let mut world = Self {
            places: Vec::new(),
            wires: Vec::new(),
            cut: BTreeSet::new(),
            at: 0,
            seed,
            rng: StdRng::seed_from_u64(seed),
            serial: 0,
            parcels: 0,
            bytes: 0,
        };
        for i in 0..count {
            world.places.push(Place {
                name: NodeName::parse(&format!("n{i}@h")).expect("a name"),
                node: None,
                host: Host::default(),
                cookie: "s",
                autoheal: true,
                autoclean: None,
                skew: i as u64 * 300,
            });
            world.start(i);
        }
        world
    }

    fn now(&self, i: usize) -> Now {
        Now::new(self.at, 1_000_000 + self.at + self.places[i].skew)
    }

    pub fn start(&mut self, i: usize) {
        let now = self.now(i);
        let seed = self.rng.random();
        let place = &mut self.places[i];
        place.host.own.clear();
        place.host.seen.clear();
        place.host.swept.clear();
        place.host.masked.clear();
        let setup = Setup {
            name: place.name.clone(),
            state: place.host.disk.clone(),
            seed,
            tables: vec![ROUTES],
            maps: vec![RETAINED],
            autoclean: place.autoclean,
            autoheal: place.autoheal,
        };
        let mut node = Node::new(setup, now, &mut place.host).expect("starts");
        for (stamp, _) in place.host.records.0.values() {
            node.loaded(*stamp);
        }
        place.node = Some(node);
        self.effects(i);
    }

    pub fn kill(&mut self, i: usize) {
        self.places[i].node = None;
        self.break_wires(|a, b| a == i || b == i);
    }

    pub fn break_wires(&mut self, hit: impl Fn(usize, usize) -> bool) {
        let broken: Vec<_> = self.wires.extract_if(.., |wire| hit(wire.ends[0].0, wire.ends[1].0)).collect();
        for mut wire in broken {
            for side in 0..2 {
                self.end_of(&mut wire, side);
            }
        }
    }

    /// What a node hears when a wire has ended.
    fn end_of(&mut self, wire: &mut Wire, side: usize) {
        let (host, link) = wire.ends[side];
        if let Some(Fresh { dial, peer, own, .. }) = wire.fresh[side].take() {
            if self.places[host].node.as_ref().is_none_or(|node| node.identity().id != own) {
                // A handshake that began before the node became another one is void.
                if let Some(dial) = dial {
                    self.input(host, |node, now, fx| node.dial_failed(dial, Cause::Closed, now, fx));
                }
                return;
            }
            self.input(host, |node, now, fx| node.link_up(link, dial, &peer, now, fx));
        }
        self.input(host, |node, now, fx| node.link_down(link, now, fx));
    }

    /// Tells nodes of the handshakes that are over.
    fn bring_up(&mut self) {
        for w in (0..self.wires.len()).rev() {
            for side in 0..2 {
                let at = self.at;
                let Some(wire) = self.wires.get_mut(w) else { break };
                let (host, link) = wire.ends[side];
                let Some(fresh) = wire.fresh[side].take_if(|fresh| fresh.at <= at) else { continue };
                if self.places[host].node.as_ref().is_some_and(|node| node.identity().id == fresh.own) {
                    let Fresh { dial, peer, .. } = fresh;
                    self.input(host, |node, now, fx| node.link_up(link, dial, &peer, now, fx));
                } else {
                    wire.fresh[side] = Some(fresh);
                    let mut wire = self.wires.remove(w);
                    self.end_of(&mut wire, side);
                    self.end_of(&mut wire, 1 - side);
                    break;
                }
            }
        }
    }

    /// Cuts both ways, silently, between the two groups.
    pub fn cut(&mut self, one: &[usize], two: &[usize]) {
        for a in one {
            for b in two {
                self.cut.insert((*a, *b));
                self.cut.insert((*b, *a));
            }
        }
    }

    /// What `from` says does not reach `to`.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    pub fn mend(&mut self) {
        self.cut.clear();
    }

    pub fn input(&mut self, i: usize, input: impl FnOnce(&mut Node, Now, &mut Host)) {
        let now = self.now(i);
        let place = &mut self.places[i];
        if let Some(node) = &mut place.node {
            input(node, now, &mut place.host);
            self.effects(i);
        }
    }

    fn effects(&mut self, i: usize) {
        for (link, bytes) in std::mem::take(&mut self.places[i].host.sent) {
            self.parcels += 1;
            self.bytes += bytes.len() as u64;
            let delay = self.rng.random_range(1..4);
            for wire in &mut self.wires {
                for side in 0..2 {
                    if wire.ends[side] == (i, link) {
                        let at = (self.at + delay).max(wire.flying[side].back().map_or(0, |(at, _)| *at));
                        wire.flying[side].push_back((at, bytes.clone()));
                    }
                }
            }
        }
        for link in std::mem::take(&mut self.places[i].host.closed) {
            let Some(at) = self.wires.iter().position(|wire| wire.ends.contains(&(i, link))) else {
                continue;
            };
            let mut wire = self.wires.remove(at);
            let side = usize::from(wire.ends[1] == (i, link));
            let (other, other_link) = wire.ends[1 - side];
            // What was sent arrives before the end does, unless the cut swallows both.
            if !self.cut.contains(&(i, other)) {
                if wire.fresh[1 - side].is_some() {
                    wire.flying[side].clear();
                }
                for (_, bytes) in wire.flying[side].drain(..) {
                    self.input(other, |node, now, fx| node.receive(other_link, &bytes, now, fx));
                }
                self.end_of(&mut wire, 1 - side);
            }
        }
        for (dial, name) in std::mem::take(&mut self.places[i].host.dials) {
            self.dial(i, dial, &name);
        }
        for (asked, kind, body) in std::mem::take(&mut self.places[i].host.asked) {
            let answer = if kind == 404 { Err(Cause::NotSupported) } else { Ok(body.as_slice()) };
            if let Some(node) = &mut self.places[i].node {
                node.respond(asked, answer);
            }
        }
        if std::mem::take(&mut self.places[i].host.wiping) {
            let host = &mut self.places[i].host;
            host.records = Kept::default();
            host.own.clear();
            host.seen.clear();
            host.masked.clear();
            self.input(i, |node, now, fx| node.wiped(now, fx));
        }
    }

    fn local(&self, i: usize) -> Option<Local> {
        let place = &self.places[i];
        let Identity { id, name, incarnation, cluster } = place.node.as_ref()?.identity();
        let cookies = vec![place.cookie.as_bytes().to_vec()];
        Some(Local { id, name, incarnation, cluster, cookies, capabilities: 1 })
    }

    /// The whole handshake at once, by the real machine.
    fn dial(&mut self, from: usize, dial: DialId, name: &NodeName) {
        let to = self.places.iter().position(|place| place.name == *name);
        let Some((to, theirs)) = to.and_then(|to| self.local(to).map(|local| (to, local))) else {
            return self.input(from, |node, now, fx| node.dial_failed(dial, Cause::NodeDown, now, fx));
        };
        if self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) {
            return self.input(from, |node, now, fx| node.dial_failed(dial, Cause::TimedOut, now, fx));
        }
        let ours = self.local(from).expect("who dials runs");
        let owns = [ours.id, theirs.id];
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let (now, nonces): (_, [[u8; 32]; 2]) = (Now::new(self.at, 0), self.rng.random());
        let mut a = Handshake::dial(ours, name.clone(), Purpose::Control, nonces[0], now, &mut there);
        let mut b = Handshake::accept(theirs, nonces[1], now);
        let mut seen_b = b.receive(&there, &mut back);
        loop {
            there.clear();
            let seen_a = a.receive(&std::mem::take(&mut back), &mut there);
            match (seen_a, &seen_b) {
                (Progress::Done { peer: b_seen, .. }, Progress::Done { peer: a_seen, .. }) => {
                    self.serial += 1;
                    let link = LinkId(self.serial);
                    let mut fresh = |dial, peer: Proven, own| {
                        // Mostly soon; sometimes the thread is busy.
                        let longest = if self.rng.random_ratio(1, 8) { 60 } else { 2 };
                        Some(Fresh { at: self.at + self.rng.random_range(0..longest), dial, peer, own })
                    };
                    let fresh = [fresh(Some(dial), b_seen, owns[0]), fresh(None, a_seen.clone(), owns[1])];
                    let ends = [(from, link), (to, link)];
                    self.wires.push(Wire { ends, flying: Default::default(), fresh });
                    return;
                }
                (Progress::Close(cause), _) => {
                    return self.input(from, |node, now, fx| node.dial_failed(dial, cause, now, fx));
                }
                _ => seen_b = b.receive(&there, &mut back),
            }
        }
    }

    /// Lets time pass, a millisecond at a time where something happens.
    pub fn run(&mut self, millis: u64) {
        let end = self.at + millis;
        while self.at < end {
            self.at += 1;
            self.bring_up();
            for w in 0..self.wires.len() {
                for side in 0..2 {
                    while let Some(wire) = self.wires.get_mut(w) {
                        let (from, to) = (wire.ends[side].0, wire.ends[1 - side]);
                        if wire.fresh[1 - side].is_some()
                            || wire.flying[side].front().is_none_or(|(at, _)| *at > self.at)
                        {
                            break;
                        }
                        if self.cut.contains(&(from, to.0)) {
                            break;
                        }
                        let Some((_, bytes)) = wire.flying[side].pop_front() else { break };
                        self.input(to.0, |node, now, fx| node.receive(to.1, &bytes, now, fx));
                    }
                }
            }
            for i in 0..self.places.len() {
                let due = |node: &Node| node.wake_at().is_some_and(|wake| wake <= self.at);
                if self.places[i].node.as_ref().is_some_and(due) {
                    self.input(i, |node, now, fx| node.expire(now, fx));
                }
            }
        }
    }

    pub fn command(&mut self, i: usize, command: Command) -> CommandId {
        self.serial += 1;
        let id = CommandId(self.serial);
        self.input(i, |node, now, fx| node.command(id, command, now, fx));
        id
    }

    /// Gives a command and waits for its outcome.
    pub fn command_and_wait(&mut self, i: usize, command: Command) -> Outcome {
        let id = self.command(i, command);
        for _ in 0..400 {
            if let Some(outcome) = self.places[i].host.replies.get(&id) {
                return outcome.clone();
            }
            self.run(50);
        }
        panic!("no outcome")
    }

    pub fn join(&mut self, i: usize, to: usize) -> Outcome {
        let name = self.places[to].name.clone();
        self.command_and_wait(i, Command::Join(name))
    }

    pub fn route(&mut self, i: usize, key: &str, value: Option<&str>) {
        let host = &mut self.places[i].host;
        let key = key.as_bytes();
        let was = match value {
            Some(value) => host.own.insert(key.to_vec(), value.as_bytes().to_vec()),
            None => host.own.remove(key),
        };
        if let Some(node) = &mut self.places[i].node {
            node.changed(ROUTES, key, was.as_deref(), value.map(str::as_bytes));
        }
    }

    pub fn retain(&mut self, i: usize, key: &str, value: Option<&str>) {
        self.input(i, |node, now, fx| {
            node.write(RETAINED, key.as_bytes(), value.map(str::as_bytes), now, fx)
        });
    }

    pub fn retained(&self, i: usize, key: &str) -> Option<String> {
        let (_, value) = self.places[i].host.records.0.get(key.as_bytes())?;
        value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub fn node(&self, i: usize) -> &Node {
        self.places[i].node.as_ref().expect("runs")
    }

    /// The routes that node `i` would follow, by owner.
    pub fn routes_seen(&self, i: usize, of: usize) -> Vec<String> {
        let (host, id) = (&self.places[i].host, self.node(of).identity().id);
        if host.masked.contains(&id) {
            return Vec::new();
        }
        let seen = host.seen.get(&id).cloned().unwrap_or_default();
        seen.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// All those nodes see one another running and nobody else, and hold the same.
    pub fn assert_one_cluster(&self, of: &[usize]) {
        let mut names: Vec<_> = of.iter().map(|i| self.places[*i].name.clone()).collect();
        names.sort();
        let first = self.node(of[0]);
        for i in of {
            let node = self.node(*i);
            assert_eq!(
                node.status(),
                Status { running: names.clone(), stopped: vec![] },
                "as seen by n{i} at {}, seed {}",
                self.at,
                self.seed
            );
            assert_eq!(node.members_digest(), first.members_digest(), "members of n{i}, seed {}", self.seed);
            assert_eq!(node.table_digests(), first.table_digests(), "tables of n{i}, seed {}", self.seed);
            let digest = |i: usize| self.places[i].host.records.1.digest();
            assert_eq!(digest(*i), digest(of[0]), "maps of n{i}, seed {}", self.seed);
            for j in of.iter().filter(|j| *j != i) {
                let own: Vec<_> = self.places[*j]
                    .host
                    .own
                    .keys()
                    .map(|k| String::from_utf8_lossy(k).into_owned())
                    .collect();
                assert_eq!(self.routes_seen(*i, *j), own, "routes of n{j} at n{i}");
            }
        }
    }
}
