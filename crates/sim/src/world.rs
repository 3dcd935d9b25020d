//! The made-up world: hosts, network, clients and time, in one thread. Everything happens by events,
//! ordered by time and then by when they were made; chance comes from one seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use broker::routes::{Change, GroupCount, Place};
use broker::{ConnInfo, Extent, Stamp, Zone};
use cluster::bus::handshake::{Handshake, Local, Peer, Progress, Purpose};
use cluster::bus::lane::Lane;
use cluster::{Cause, Command, CommandId, DialId, Identity, LinkId, NodeId, NodeName, Now, Outcome, Wipe};
use mqtt::Packet;
use mqtt::session::Out;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::check;
use crate::client::Client;
use crate::control::{CLIENTS, CURRENT, Deed, DiskRecord, GROUPS, ROUTES, ShardMessage, TELL};
use crate::desk::{Frames, LANE_LIMITS, LaneIn, LaneOut, Note, Socket};
use crate::faults::{self, Mix};
use crate::net::{End, Net, Parcel, Role, Sent};
use crate::oracle::Oracle;
use crate::process::{Disk, Host, Process};
use crate::traffic;

/// The clock on the wall when a run begins.
const EPOCH: u64 = 1_700_000_000_000;
/// Lines of the trace that are kept.
const TRACE_LINES: usize = 10_000;
/// How long a dial into a cut takes to fail.
const DIAL_LIMIT: u64 = 3_000;
/// Between two tries of a data lane.
const LANE_RETRY: u64 = 200;
/// How long a shard waits for peers to know its routes.
const ROUTES_LIMIT: Duration = Duration::from_secs(5);

/// What happens.
pub enum Event {
    /// A parcel comes to end `to` of a link.
    Arrive { link: u64, to: usize, parcel: Parcel },
    /// A stream of a node has broken.
    Broken { end: End },
    /// The machine's dial has come to something.
    Dialled { host: usize, run: u64, dial: DialId, name: NodeName, late: bool },
    /// A data lane's dial has.
    LaneDialled { host: usize, run: u64, shard: usize, slot: u16, late: bool },
    /// Timers of a node may be due.
    Wake { host: usize, run: u64 },
    /// Shard to control.
    Notes { host: usize, run: u64, shard: usize, notes: Vec<Note> },
    /// Control, or a sibling, to a shard.
    ToShard { host: usize, run: u64, shard: usize, message: ShardMessage },
    /// Records and tickets have reached the disk.
    Stored { host: usize, run: u64, records: Vec<DiskRecord>, tickets: Vec<(usize, broker::Ticket)> },
    /// Bytes of a client, or their end.
    ToNode { attempt: u64, bytes: Vec<u8>, end: bool },
    /// Bytes for a client, or their end.
    ToClient { attempt: u64, bytes: Vec<u8>, end: bool },
    /// A client does something.
    Act { client: usize },
    /// Something goes wrong.
    Fault,
}

/// A connection of a client.
struct Wire {
    client: usize,
    host: usize,
    run: u64,
    /// The node's shard, once it is known.
    shard: Option<usize>,
    greeting: Vec<u8>,
    last: [u64; 2],
}

pub struct World {
    pub seed: u64,
    pub now: u64,
    pub hosts: Vec<Host>,
    pub net: Net,
    pub clients: Vec<Client>,
    pub oracle: Oracle,
    pub rng: StdRng,
    pub mix: Mix,
    /// Faults and clients' wishes come only while it storms.
    pub storm: bool,
    pub outcomes: BTreeMap<CommandId, Outcome>,
    pub zone: std::sync::Arc<Zone>,
    pub shards: usize,
    pub trace: Option<VecDeque<String>>,
    pub steps: u64,
    events: BTreeMap<(u64, u64), Event>,
    serial: u64,
    wires: BTreeMap<u64, Wire>,
    /// When the last message in a channel of a node arrives: host, from, to; control is the last number.
    channels: BTreeMap<(usize, usize, usize), u64>,
}

impl World {
    /// Hosts with running nodes, each in a cluster of its own, and clients that have not connected.
    pub fn new(seed: u64, is_traced: bool) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = [3, 3, 3, 2, 4, 5][rng.random_range(0..6)];
        let shards = rng.random_range(1..=2);
        let mix = Mix::choose(&mut rng);
        let clients = traffic::cast(&mut rng);
        let mut world = World {
            seed,
            now: 1,
            hosts: Vec::new(),
            net: Net::new(),
            oracle: Oracle::new(clients.len()),
            clients,
            mix,
            storm: false,
            outcomes: BTreeMap::new(),
            zone: std::sync::Arc::new(Zone::default()),
            shards,
            trace: is_traced.then(VecDeque::new),
            steps: 0,
            events: BTreeMap::new(),
            serial: 0,
            wires: BTreeMap::new(),
            channels: BTreeMap::new(),
            rng,
        };
        for n in 0..count {
            let name = NodeName::parse(&format!("n{n}@h")).expect("it is a name");
            let skew = world.rng.random_range(0..2_000);
            let disk = Disk::default();
            world.hosts.push(Host { name, disk, process: None, run: 0, paused_until: 0, skew, dark: false });
            world.start(n);
        }
        world
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{now:>7} {}", line()));
        }
    }

    /// Something goes wrong, or right again: nothing is calm for a while.
    pub fn trouble(&mut self, what: String) {
        self.oracle.trouble_at = self.now;
        self.say(|| format!("-- {what}"));
    }

    pub fn clock(&self, host: usize) -> Now {
        Now::new(self.now, EPOCH + self.now + self.hosts[host].skew)
    }

    pub fn push(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.insert((at.max(self.now), self.serial), event);
    }

    /// Lets time pass until then, or until a check finds something.
    pub fn run_until(&mut self, until: u64) {
        while self.oracle.violation.is_none() {
            let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= until) else { break };
            self.now = entry.key().0;
            let event = entry.remove();
            self.steps += 1;
            if let Some(host) = self.host_of(&event)
                && self.hosts[host].paused_until > self.now
            {
                self.push(self.hosts[host].paused_until, event);
                continue;
            }
            self.happen(event);
            if self.steps.is_multiple_of(64) {
                check::limits::now(self);
            }
        }
        self.now = self.now.max(until);
    }

    /// Whose process has to be awake for it.
    fn host_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Arrive { link, to, .. } => self.net.links.get(link).map(|link| link.ends[*to].host),
            Event::Broken { end } => Some(end.host),
            Event::Dialled { host, .. }
            | Event::LaneDialled { host, .. }
            | Event::Wake { host, .. }
            | Event::Notes { host, .. }
            | Event::ToShard { host, .. }
            | Event::Stored { host, .. } => Some(*host),
            Event::ToNode { attempt, .. } => self.wires.get(attempt).map(|wire| wire.host),
            Event::ToClient { .. } | Event::Act { .. } | Event::Fault => None,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { link, to, parcel } => self.arrive(link, to, parcel),
            Event::Broken { end } => self.broken(end),
            Event::Dialled { host, run, dial, name, late } => self.dialled(host, run, dial, &name, late),
            Event::LaneDialled { host, run, shard, slot, late } => {
                self.lane_dialled(host, run, shard, slot, late);
            }
            Event::Wake { host, run } => self.wake(host, run),
            Event::Notes { host, run, shard, notes } => {
                if self.runs(host, run) {
                    for note in notes {
                        self.note(host, shard, note);
                    }
                    self.drain(host);
                }
            }
            Event::ToShard { host, run, shard, message } => {
                if self.runs(host, run) {
                    self.to_shard(host, shard, message);
                    self.drain(host);
                }
            }
            Event::Stored { host, run, records, tickets } => {
                if self.runs(host, run) {
                    self.hosts[host].disk.store(records);
                    for (shard, ticket) in tickets {
                        self.to_shard(host, shard, ShardMessage::Stored(ticket));
                    }
                    self.drain(host);
                }
            }
            Event::ToNode { attempt, bytes, end } => self.to_node(attempt, &bytes, end),
            Event::ToClient { attempt, bytes, end } => self.to_client(attempt, &bytes, end),
            Event::Act { client } => {
                if self.storm {
                    traffic::act(self, client);
                    let pause = self.rng.random_range(10..400);
                    self.push(self.now + pause, Event::Act { client });
                }
            }
            Event::Fault => {
                if self.storm {
                    faults::strike(self);
                    let pause = self.rng.random_range(50..4_000);
                    self.push(self.now + pause, Event::Fault);
                }
            }
        }
    }

    pub fn runs(&self, host: usize, run: u64) -> bool {
        self.hosts[host].process.as_ref().is_some_and(|process| process.run == run)
    }

    /// Whether both nodes run, in the same cluster.
    pub fn are_fellows(&self, a: usize, b: usize) -> bool {
        let cluster = |host: usize| self.hosts[host].process.as_ref().map(|p| p.identity().cluster);
        cluster(a).is_some() && cluster(a) == cluster(b)
    }

    pub fn process(&mut self, host: usize) -> Option<(&mut Process, Now)> {
        let now = self.clock(host);
        self.hosts[host].process.as_mut().map(|process| (process, now))
    }

    // ---- nodes come and go

    /// Starts the node of a host that has none.
    pub fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        let now = self.clock(host);
        let (shards, rng) = (self.shards, &mut self.rng);
        let known = &mut self.hosts[host];
        known.run += 1;
        known.dark = false;
        known.process = Some(Process::start(&known.name, &known.disk, known.run, shards, now, rng));
        self.trouble(format!("n{host} starts"));
        // What it had open before is refused now.
        let old = self.links_with(|end| end.host == host);
        self.break_numbers(&old);
        self.drain(host);
    }

    /// The process ends at once; in the `dark` its host does too, so that nobody is told.
    pub fn crash(&mut self, host: usize, dark: bool) {
        if self.hosts[host].process.take().is_none() {
            return;
        }
        self.trouble(format!("n{host} {}", if dark { "loses power" } else { "crashes" }));
        self.hosts[host].dark = dark;
        self.hosts[host].paused_until = 0;
        self.oracle.lost_node(host, self.now);
        if !dark {
            let links = self.links_with(|end| end.host == host);
            self.break_numbers(&links);
        }
        let wires: Vec<_> = self.wires.iter().filter(|(_, w)| w.host == host).map(|(n, _)| *n).collect();
        for attempt in wires {
            self.break_wire(attempt);
        }
    }

    /// The process ends as it should.
    pub fn stop(&mut self, host: usize) {
        if self.hosts[host].paused_until > self.now {
            return;
        }
        let Some((process, now)) = self.process(host) else { return };
        for shard in 0..process.workers.len() {
            process.turn(shard, now, |shard, now, fx| shard.drain(now, fx));
        }
        process.input(now, |node, fx| node.stop(now, fx));
        self.drain(host);
        self.crash(host, false);
    }

    pub fn pause(&mut self, host: usize, ms: u64) {
        if self.hosts[host].process.is_some() {
            self.trouble(format!("n{host} sleeps for {ms} ms"));
            self.hosts[host].paused_until = self.now + ms;
            self.oracle.trouble_at = self.now + ms;
        }
    }

    pub fn command(&mut self, host: usize, command: Command) -> CommandId {
        self.serial += 1;
        let id = CommandId(self.serial);
        self.say(|| format!("-- n{host}: {command:?}"));
        match self.process(host) {
            Some((process, now)) => process.input(now, |node, fx| node.command(id, command, now, fx)),
            None => drop(self.outcomes.insert(id, Outcome::Failed(Cause::NodeDown))),
        }
        self.drain(host);
        id
    }

    /// A node leaves, joins, or forces another one out.
    pub fn churn(&mut self, host: usize, other: usize) {
        if self.hosts[host].paused_until > self.now {
            return;
        }
        self.oracle.trouble_at = self.now;
        let name = self.hosts[other].name.clone();
        let command = match self.rng.random_range(0..6) {
            0 => Command::Leave,
            1 => Command::ForceLeave(name),
            _ => Command::Join(name),
        };
        self.command(host, command);
    }

    // ---- the network

    /// Streams between hosts break, with what is on its way.
    pub fn break_links(&mut self, hit: impl Fn(usize, usize) -> bool) {
        let hit = |link: &crate::net::Link| hit(link.ends[0].host, link.ends[1].host);
        let links: Vec<_> = self.net.links.iter().filter(|(_, l)| hit(l)).map(|(n, _)| *n).collect();
        self.break_numbers(&links);
    }

    fn links_with(&self, hit: impl Fn(&End) -> bool) -> Vec<u64> {
        self.net.links.iter().filter(|(_, l)| l.ends.iter().any(&hit)).map(|(n, _)| *n).collect()
    }

    fn break_numbers(&mut self, links: &[u64]) {
        for number in links {
            let Some(link) = self.net.links.remove(number) else { continue };
            for end in link.ends {
                let delay = self.net.delay(&mut self.rng);
                self.push(self.now + delay, Event::Broken { end });
            }
        }
    }

    pub fn mend(&mut self) {
        if !self.net.cut.is_empty() {
            self.trouble("all cuts are mended".into());
            self.net.cut.clear();
            let sent = self.net.release(self.now, &mut self.rng);
            for Sent { at, link, to, parcel } in sent {
                self.push(at, Event::Arrive { link, to, parcel });
            }
        }
    }

    fn send(&mut self, link: u64, to: usize, parcel: Parcel) {
        if let Some(Sent { at, link, to, parcel }) = self.net.send(link, to, parcel, self.now, &mut self.rng) {
            self.push(at, Event::Arrive { link, to, parcel });
        }
    }

    fn arrive(&mut self, link: u64, to: usize, parcel: Parcel) {
        let Some((end, parcel)) = self.net.arrive(link, to, parcel) else { return };
        if !self.runs(end.host, end.run) {
            return;
        }
        match parcel {
            Parcel::Bytes(bytes) => self.receive(link, end, &bytes),
            Parcel::End => {
                self.net.links.remove(&link);
                self.broken(end);
            }
        }
    }

    fn receive(&mut self, link: u64, end: End, bytes: &[u8]) {
        let Some((process, now)) = self.process(end.host) else { return };
        let lanes = |process: &mut Process, shard: usize| -> Option<(Place, Frames, bool)> {
            let slot = match end.role {
                Role::LaneIn { peer, .. } => process.control.slot(peer),
                Role::LaneOut { slot, .. } => slot,
                Role::Control(_) => 0,
            };
            let desk = &mut process.workers[shard].desk;
            let (known, lane) = match end.role {
                Role::LaneIn { peer, lane, .. } => {
                    desk.lanes_in.get_mut(&(peer, lane)).map(|l| (l.link, &mut l.lane))?
                }
                _ => desk.lanes_out.get_mut(&slot).map(|l| (l.link, &mut l.lane))?,
            };
            let mut frames = Frames::default();
            let sound = known == Some(link) && lane.receive(bytes, now, &mut frames).is_ok();
            Some((Place::peer(slot), frames, sound))
        };
        match end.role {
            Role::Control(id) => process.input(now, |node, fx| node.receive(id, bytes, now, fx)),
            Role::LaneOut { shard, .. } | Role::LaneIn { shard, .. } => {
                let Some((from, frames, sound)) = lanes(process, shard) else { return };
                assert!(sound, "lanes understand one another");
                for frame in frames.0 {
                    process.turn(shard, now, |shard, _, fx| shard.forwarded(from, &frame, fx));
                }
            }
        }
        self.drain(end.host);
    }

    /// A stream has ended, as seen from one end.
    fn broken(&mut self, end: End) {
        if !self.runs(end.host, end.run) {
            return;
        }
        let now_at = self.now;
        let links = &self.net.links;
        let stands = |link: Option<u64>| link.is_some_and(|link| links.contains_key(&link));
        let now = Now::new(self.now, EPOCH + self.now + self.hosts[end.host].skew);
        let Some(process) = &mut self.hosts[end.host].process else { return };
        match end.role {
            Role::Control(id) => process.input(now, |node, fx| node.link_down(id, now, fx)),
            Role::LaneOut { shard, slot } => {
                if let Some(lane) = process.workers[shard].desk.lanes_out.get_mut(&slot)
                    && !stands(lane.link)
                {
                    lane.lane.disconnected();
                    lane.link = None;
                    lane.retry_at = now_at;
                }
            }
            Role::LaneIn { shard, peer, lane } => {
                if let Some(lane) = process.workers[shard].desk.lanes_in.get_mut(&(peer, lane))
                    && !stands(lane.link)
                {
                    lane.lane.disconnected();
                    lane.link = None;
                }
            }
        }
        self.drain(end.host);
    }

    /// Closes a stream from one side.
    fn close(&mut self, link: u64, side: usize) {
        self.send(link, 1 - side, Parcel::End);
        // What still comes the other way finds nobody.
        if let Some(link) = self.net.links.get_mut(&link) {
            link.ends[side].run = 0;
        }
    }

    // ---- dialling

    fn local(&self, host: usize) -> Option<Local> {
        let process = self.hosts[host].process.as_ref()?;
        let Identity { id, name, incarnation, cluster } = process.identity();
        let cookies = vec![b"cookie".to_vec()];
        Some(Local { id, name, incarnation, cluster, cookies, capabilities: 1, binding: Vec::new() })
    }

    /// The whole handshake, by the real machine: who answers, as each side sees the other.
    fn shake(&mut self, from: usize, name: &NodeName, purpose: Purpose) -> Result<(usize, Peer, Peer), Cause> {
        let to = self.hosts.iter().position(|host| host.name == *name).ok_or(Cause::NodeDown)?;
        let (ours, theirs) = (self.local(from), self.local(to));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Err(Cause::NodeDown) };
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let nonces: [[u8; 32]; 2] = [self.rng.random(), self.rng.random()];
        let (a_now, b_now) = (self.clock(from), self.clock(to));
        let mut a = Handshake::dial(ours, name.clone(), purpose, nonces[0], a_now, &mut there);
        let mut b = Handshake::accept(theirs, nonces[1], b_now);
        let mut by_b = b.receive(&there, &mut back);
        loop {
            there.clear();
            let by_a = a.receive(&std::mem::take(&mut back), &mut there);
            match (by_a, &by_b) {
                (Progress::Done { peer: b_seen, .. }, Progress::Done { peer: a_seen, .. }) => {
                    return Ok((to, b_seen, a_seen.clone()));
                }
                (Progress::Close(cause), _) => return Err(cause),
                _ => by_b = b.receive(&there, &mut back),
            }
        }
    }

    /// Whether a dial gets an answer at all.
    fn is_silent(&self, from: usize, name: &NodeName) -> bool {
        let to = self.hosts.iter().position(|host| host.name == *name);
        to.is_some_and(|to| {
            let host = &self.hosts[to];
            self.net.is_cut(from, to) || host.dark || host.paused_until > self.now
        })
    }

    fn dialled(&mut self, host: usize, run: u64, dial: DialId, name: &NodeName, late: bool) {
        if !self.runs(host, run) {
            return;
        }
        if !late && self.is_silent(host, name) {
            let event = Event::Dialled { host, run, dial, name: name.clone(), late: true };
            return self.push(self.now + DIAL_LIMIT, event);
        }
        let shaken = if late { Err(Cause::TimedOut) } else { self.shake(host, name, Purpose::Control) };
        match shaken {
            Err(cause) => {
                let Some((process, now)) = self.process(host) else { return };
                process.input(now, |node, fx| node.dial_failed(dial, cause, now, fx));
            }
            Ok((to, theirs, ours)) => {
                let number = self.net.number();
                let link = LinkId(number);
                let there = self.hosts[to].run;
                let role = Role::Control(link);
                self.net.connect(number, [End { host, run, role }, End { host: to, run: there, role }]);
                if let Some((process, now)) = self.process(host) {
                    process.input(now, |node, fx| node.link_up(link, Some(dial), &theirs, now, fx));
                }
                if let Some((process, now)) = self.process(to) {
                    process.input(now, |node, fx| node.link_up(link, None, &ours, now, fx));
                }
                self.drain(to);
            }
        }
        self.drain(host);
    }

    fn lane_dialled(&mut self, host: usize, run: u64, shard: usize, slot: u16, late: bool) {
        if !self.runs(host, run) {
            return;
        }
        let Some(process) = &self.hosts[host].process else { return };
        let Some(peer) = process.workers[shard].desk.lanes_out.get(&slot).map(|lane| lane.peer) else { return };
        let Some(name) = process.node.member(peer).map(|member| member.name.clone()) else {
            return self.lane_failed(host, shard, slot);
        };
        if !late && self.is_silent(host, &name) {
            let event = Event::LaneDialled { host, run, shard, slot, late: true };
            return self.push(self.now + DIAL_LIMIT, event);
        }
        let lane = shard as u16;
        let shaken = if late { Err(Cause::TimedOut) } else { self.shake(host, &name, Purpose::Data(lane)) };
        let Some((to, _, ours)) = shaken.ok().filter(|(_, theirs, _)| theirs.id == peer) else {
            return self.lane_failed(host, shard, slot);
        };
        let there = self.hosts[to].run;
        let target = shard % self.shards;
        let accepted = self.process(to).is_some_and(|(process, _)| {
            process.node.member(ours.id).is_some() && process.identity().cluster == ours.cluster
        });
        if !accepted {
            return self.lane_failed(host, shard, slot);
        }
        let number = self.net.number();
        let ends = [
            End { host, run, role: Role::LaneOut { shard, slot } },
            End { host: to, run: there, role: Role::LaneIn { shard: target, peer: ours.id, lane } },
        ];
        self.net.connect(number, ends);
        let mut old = None;
        if let Some((process, _)) = self.process(to) {
            let epoch = process.incarnation;
            let lanes = &mut process.workers[target].desk.lanes_in;
            if lanes.get(&(ours.id, lane)).is_some_and(|known| known.incarnation != ours.incarnation) {
                old = lanes.remove(&(ours.id, lane)).and_then(|lane| lane.link);
            }
            let known = lanes.entry((ours.id, lane)).or_insert_with(|| LaneIn {
                incarnation: ours.incarnation,
                lane: Lane::new(epoch, LANE_LIMITS),
                link: None,
            });
            old = known.link.replace(number).or(old);
            known.lane.disconnected();
            known.lane.connected();
        }
        if let Some((process, _)) = self.process(host)
            && let Some(known) = process.workers[shard].desk.lanes_out.get_mut(&slot)
        {
            known.dialling = false;
            known.link = Some(number);
            known.lane.disconnected();
            known.lane.connected();
        }
        if let Some(old) = old {
            self.close(old, 1);
        }
        self.drain(to);
        self.drain(host);
    }

    fn lane_failed(&mut self, host: usize, shard: usize, slot: u16) {
        let retry_at = self.now + LANE_RETRY;
        if let Some((process, _)) = self.process(host)
            && let Some(lane) = process.workers[shard].desk.lanes_out.get_mut(&slot)
        {
            lane.dialling = false;
            lane.retry_at = retry_at;
        }
        self.drain(host);
    }

    // ---- inside a node

    fn wake(&mut self, host: usize, run: u64) {
        if !self.runs(host, run) {
            return;
        }
        let at = self.now;
        let Some((process, now)) = self.process(host) else { return };
        // An earlier look was called for after this one, and has taken place.
        if process.wake.is_none_or(|wake| wake > at) {
            return;
        }
        process.wake = None;
        if process.node.wake_at().is_some_and(|wake| wake <= at) {
            process.input(now, |node, fx| node.expire(now, fx));
        }
        for n in 0..process.workers.len() {
            if process.workers[n].shard.wake_at().is_some_and(|wake| wake.0 <= at) {
                process.turn(n, now, |shard, now, fx| shard.expire(now, fx));
            }
            let desk = &mut process.workers[n].desk;
            desk.lanes_out.values_mut().for_each(|lane| lane.lane.expire(now));
            desk.lanes_in.values_mut().for_each(|lane| lane.lane.expire(now));
        }
        self.drain(host);
    }

    /// When a message in a channel of a node arrives.
    fn channel(&mut self, host: usize, from: usize, to: usize) -> u64 {
        let at = self.now + self.rng.random_range(0..2);
        let last = self.channels.entry((host, from, to)).or_default();
        *last = at.max(*last);
        *last
    }

    fn note(&mut self, host: usize, shard: usize, note: Note) {
        let Some((process, now)) = self.process(host) else { return };
        let place = Place::shard(shard as u16);
        process.control.now = now;
        match note {
            Note::Route { filter, on } => {
                let control = &mut process.control;
                let filter_text: Box<str> = filter.as_str().into();
                let who = control.wanted.entry(filter.clone()).or_default();
                let is_new = if on { who.insert(shard as u16) } else { who.remove(&(shard as u16)) };
                assert!(is_new, "a wish is told when it changes: {filter} {on} of shard {shard}");
                let wanted = !who.is_empty();
                control.interest.apply(&match on {
                    true => Change::Add { place, filter: filter_text },
                    false => Change::Remove { place, filter: filter_text },
                });
                let is = wanted.then_some(&b""[..]);
                if let Some(was) = control.set_own(ROUTES, filter.as_bytes(), is) {
                    process.node.changed(ROUTES, filter.as_bytes(), was.as_deref(), is);
                }
            }
            Note::Members { key, count } => {
                let control = &mut process.control;
                control.interest.apply(&Change::Members { place, key: key.as_str().into(), count });
                let shards = control.members.entry(key.clone()).or_default();
                shards.insert(shard as u16, count);
                let sum = shards.values().fold(GroupCount::default(), |sum, count| GroupCount {
                    members: sum.members + count.members,
                    online: sum.online + count.online,
                });
                let bytes = sum.to_bytes();
                let is = (sum.members > 0).then_some(&bytes[..]);
                if let Some(was) = control.set_own(GROUPS, key.as_bytes(), is) {
                    process.node.changed(GROUPS, key.as_bytes(), was.as_deref(), is);
                }
            }
            Note::Claim { client, stamp } => {
                let bytes = stamp.map(Stamp::encode);
                let is = bytes.as_ref().map(|bytes| &bytes[..]);
                if let Some(was) = process.control.set_own(CLIENTS, client.as_bytes(), is) {
                    process.node.changed(CLIENTS, client.as_bytes(), was.as_deref(), is);
                }
            }
            Note::Tell { peer, bytes } => {
                if let Some(id) = process.control.peer_in(peer.number()) {
                    // A peer that does not serve is masked, and that ends what was under way with it.
                    let _ = process.node.cast(id, TELL, &bytes);
                }
            }
            Note::Routes { extent: Extent::Node, ticket } => {
                let deed = Deed::ToShard(shard, ShardMessage::RoutesIn(ticket));
                process.control.deeds.push(deed);
            }
            Note::Routes { extent: Extent::Cluster, ticket } => {
                let peers: Vec<NodeId> = process.control.serving.iter().copied().collect();
                for peer in peers {
                    let request = process.input(now, |node, fx| {
                        node.request(peer, CURRENT, &[], ROUTES_LIMIT, now, fx)
                    });
                    process.control.waiting.insert(request, (shard, ticket));
                }
                if !process.control.waiting.values().any(|waits| *waits == (shard, ticket)) {
                    let deed = Deed::ToShard(shard, ShardMessage::RoutesIn(ticket));
                    process.control.deeds.push(deed);
                }
            }
        }
    }

    fn to_shard(&mut self, host: usize, shard: usize, message: ShardMessage) {
        let Some((process, now)) = self.process(host) else { return };
        process.turn(shard, now, |shard, now, fx| match message {
            ShardMessage::Forward { from, bytes } => shard.forwarded(from, &bytes, fx),
            ShardMessage::RoutesIn(ticket) => shard.routes_in(ticket, now, fx),
            ShardMessage::Stored(ticket) => shard.retained_stored(ticket, mqtt::Reason::Success, now, fx),
            ShardMessage::Told { from, bytes } => shard.told(from, &bytes, now, fx),
            ShardMessage::PeerClaim { peer, client, stamp } => shard.peer_claim(peer, &client, stamp, now, fx),
            ShardMessage::PeerRelease { peer, client } => shard.peer_release(peer, &client),
            ShardMessage::PeerMasked(peer) => shard.peer_masked(peer, now, fx),
            ShardMessage::PeerUnmasked(peer) => shard.peer_unmasked(peer, now, fx),
            ShardMessage::PeerForgotten(peer) => {
                shard.peer_forgotten(peer, now, fx);
                fx.desk.lanes_out.remove(&peer.number());
            }
        });
    }

    /// Carries out everything that the inputs of a node have led to.
    pub fn drain(&mut self, host: usize) {
        loop {
            let mut moved = self.deeds(host);
            moved |= self.desks(host);
            if !moved {
                break;
            }
        }
        self.lanes(host);
        self.schedule(host);
    }

    fn deeds(&mut self, host: usize) -> bool {
        let Some(process) = &mut self.hosts[host].process else { return false };
        let run = process.run;
        let deeds = std::mem::take(&mut process.control.deeds);
        let moved = !deeds.is_empty();
        let control = self.shards;
        for deed in deeds {
            match deed {
                Deed::Dial(dial, name) => {
                    let delay = self.net.delay(&mut self.rng) * 2;
                    self.push(self.now + delay, Event::Dialled { host, run, dial, name, late: false });
                }
                Deed::Send(link, bytes) => {
                    if let Some(side) = self.net.side(link.0, host, run, Role::Control(link)) {
                        self.send(link.0, 1 - side, Parcel::Bytes(bytes));
                    }
                }
                Deed::Close(link) => {
                    if let Some(side) = self.net.side(link.0, host, run, Role::Control(link)) {
                        self.close(link.0, side);
                    }
                }
                Deed::Wipe(why) => self.wipe(host, &why),
                Deed::ToShard(shard, message) => {
                    let at = self.channel(host, control, shard);
                    self.push(at, Event::ToShard { host, run, shard, message });
                }
                Deed::Respond(asked) => {
                    if let Some((process, _)) = self.process(host) {
                        process.node.respond(asked, Ok(&[]));
                    }
                }
                Deed::Answered(request) => {
                    let Some((process, _)) = self.process(host) else { continue };
                    let waiting = &mut process.control.waiting;
                    if let Some((shard, ticket)) = waiting.remove(&request)
                        && !waiting.values().any(|waits| *waits == (shard, ticket))
                    {
                        let message = ShardMessage::RoutesIn(ticket);
                        process.control.deeds.push(Deed::ToShard(shard, message));
                    }
                }
                Deed::Reply(command, outcome) => {
                    self.say(|| format!("n{host}: command {} {outcome:?}", command.0));
                    let again = self.outcomes.insert(command, outcome);
                    assert!(again.is_none(), "a command has one outcome");
                }
                Deed::Event(event) => self.say(|| format!("n{host}: {event:?}")),
                Deed::Persist(state) => self.hosts[host].disk.state = Some(state),
            }
        }
        moved
    }

    /// Notes, frames for siblings, output of sockets, and input that a pause held back.
    fn desks(&mut self, host: usize) -> bool {
        let Some(process) = &self.hosts[host].process else { return false };
        let (run, shards) = (process.run, process.workers.len());
        let mut moved = false;
        for shard in 0..shards {
            let Some(process) = &mut self.hosts[host].process else { return false };
            let desk = &mut process.workers[shard].desk;
            let notes = std::mem::take(&mut desk.notes);
            let siblings = std::mem::take(&mut desk.siblings);
            let from = desk.place;
            let (mut outputs, mut readable) = (Vec::new(), Vec::new());
            for (conn, place) in desk.sockets.iter_mut().enumerate() {
                let Some(socket) = place else { continue };
                let bytes = socket.out.take_bytes();
                if !bytes.is_empty() || socket.ended {
                    outputs.push((socket.attempt, bytes, socket.ended));
                }
                if socket.ended {
                    *place = None;
                } else if !socket.paused && !socket.input.is_empty() {
                    readable.push(conn as u32);
                }
            }
            if !notes.is_empty() {
                let at = self.channel(host, shard, self.shards);
                self.push(at, Event::Notes { host, run, shard, notes });
            }
            for (to, bytes) in siblings {
                let at = self.channel(host, shard, to.into());
                let message = ShardMessage::Forward { from, bytes };
                self.push(at, Event::ToShard { host, run, shard: to.into(), message });
            }
            for (attempt, bytes, end) in outputs {
                self.output(attempt, bytes, end);
            }
            for conn in readable {
                moved |= self.read_socket(host, shard, broker::ConnId(conn));
            }
        }
        let Some(process) = &mut self.hosts[host].process else { return false };
        let records = std::mem::take(&mut process.control.shelf.unsynced);
        let mut tickets = Vec::new();
        for (shard, worker) in process.workers.iter_mut().enumerate() {
            tickets.extend(worker.desk.storing.drain(..).map(|ticket| (shard, ticket)));
        }
        if !records.is_empty() || !tickets.is_empty() {
            let last = self.channels.entry((host, self.shards, usize::MAX)).or_default();
            *last = (self.now + self.rng.random_range(1..8)).max(*last);
            let at = *last;
            self.push(at, Event::Stored { host, run, records, tickets });
        }
        moved
    }

    /// Data lanes: those that are missing are made and dialled, what they have to say is sent.
    fn lanes(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else { return };
        let (run, epoch, at) = (process.run, process.incarnation, self.now);
        let serving: Vec<_> = process.control.serving.iter().copied().collect();
        let slots: Vec<_> = serving.iter().map(|peer| (*peer, process.control.slot(*peer))).collect();
        let (mut dials, mut sends) = (Vec::new(), Vec::new());
        for (shard, worker) in process.workers.iter_mut().enumerate() {
            let desk = &mut worker.desk;
            for (peer, slot) in &slots {
                let lane = desk.lanes_out.entry(*slot).or_insert_with(|| LaneOut {
                    peer: *peer,
                    lane: Lane::new(epoch, LANE_LIMITS),
                    link: None,
                    dialling: false,
                    retry_at: at,
                });
                if lane.link.is_none() && !lane.dialling && lane.retry_at <= at {
                    lane.dialling = true;
                    dials.push((shard, *slot));
                }
            }
            let out = desk.lanes_out.iter_mut().map(|(slot, l)| {
                (l.link, Role::LaneOut { shard, slot: *slot }, &mut l.lane)
            });
            let ins = desk.lanes_in.iter_mut().map(|((peer, lane), l)| {
                (l.link, Role::LaneIn { shard, peer: *peer, lane: *lane }, &mut l.lane)
            });
            for (link, role, lane) in out.chain(ins) {
                let Some(link) = link else { continue };
                let mut all = Vec::new();
                while !lane.to_write().is_empty() {
                    all.extend_from_slice(lane.to_write());
                    lane.wrote(lane.to_write().len());
                }
                if !all.is_empty() {
                    sends.push((link, role, all));
                }
            }
        }
        for (shard, slot) in dials {
            let delay = self.net.delay(&mut self.rng) * 2;
            self.push(self.now + delay, Event::LaneDialled { host, run, shard, slot, late: false });
        }
        for (link, role, bytes) in sends {
            if let Some(side) = self.net.side(link, host, run, role) {
                self.send(link, 1 - side, Parcel::Bytes(bytes));
            }
        }
    }

    fn schedule(&mut self, host: usize) {
        let now = self.now;
        let Some(process) = &mut self.hosts[host].process else { return };
        let Some(at) = process.wake_at().map(|at| at.max(now)) else { return };
        if process.wake.is_none_or(|wake| wake > at) {
            process.wake = Some(at);
            let run = process.run;
            self.push(at, Event::Wake { host, run });
        }
    }

    /// A node gives up all it has: everything inside it is carried out first, then it is empty.
    fn wipe(&mut self, host: usize, why: &Wipe) {
        self.trouble(format!("n{host} is wiped: {why:?}"));
        self.oracle.lost_node(host, self.now);
        self.oracle.retained.clear();
        let Some((process, now)) = self.process(host) else { return };
        for shard in 0..process.workers.len() {
            process.turn(shard, now, |shard, now, fx| shard.wipe(now, fx));
        }
        // Until shards and control have nothing more to say to one another.
        loop {
            let Some(process) = &mut self.hosts[host].process else { return };
            let mut notes = Vec::new();
            let inside = |event: &Event| match event {
                Event::Notes { host: of, .. } | Event::ToShard { host: of, .. } | Event::Stored { host: of, .. } => {
                    *of == host
                }
                _ => false,
            };
            let waiting: Vec<_> = self.events.iter().filter(|(_, e)| inside(e)).map(|(key, _)| *key).collect();
            let waiting: Vec<_> = waiting.into_iter().filter_map(|key| self.events.remove(&key)).collect();
            for (shard, worker) in process.workers.iter_mut().enumerate() {
                notes.extend(worker.desk.notes.drain(..).map(|note| (shard, note)));
                worker.desk.siblings.clear();
            }
            if waiting.is_empty() && notes.is_empty() {
                break;
            }
            for event in waiting {
                match event {
                    Event::Notes { shard, notes, .. } => notes.into_iter().for_each(|n| self.note(host, shard, n)),
                    // Words of peers of the old cluster mean nothing any more.
                    _ => {}
                }
            }
            for (shard, note) in notes {
                self.note(host, shard, note);
            }
        }
        let Some((process, now)) = self.process(host) else { return };
        for worker in &mut process.workers {
            worker.desk.lanes_out.clear();
            worker.desk.lanes_in.clear();
            worker.desk.storing.clear();
        }
        let control = &mut process.control;
        assert!(control.own.values().all(BTreeMap::is_empty), "an empty node owns nothing: {:?}", control.own);
        control.forget_peers();
        control.waiting.clear();
        control.shelf = crate::control::Shelf::default();
        process.input(now, |node, fx| node.wiped(now, fx));
        self.hosts[host].disk.retained.clear();
        let links = self.links_with(|end| end.host == host && !matches!(end.role, Role::Control(_)));
        self.break_numbers(&links);
    }

    // ---- clients

    /// A client begins a connection to a node; what it had before is broken.
    pub fn connect(&mut self, client: usize, host: usize, clean: bool) {
        self.serial += 1;
        let attempt = self.serial;
        let bytes = self.clients[client].connect(attempt, host, clean);
        self.oracle.sessions[client].touched.insert(host, u64::MAX);
        self.say(|| format!("c{client} connects to n{host}{}", if clean { " clean" } else { "" }));
        let run = self.hosts[host].run;
        let wire = Wire { client, host, run, shard: None, greeting: Vec::new(), last: [0; 2] };
        self.wires.insert(attempt, wire);
        if self.hosts[host].process.is_none() {
            return self.break_wire(attempt);
        }
        self.client_sends(attempt, bytes, false, 0);
    }

    /// Puts bytes of a client on their way.
    pub fn client_sends(&mut self, attempt: u64, bytes: Vec<u8>, end: bool, after: u64) {
        let delay = self.rng.random_range(1..4) + after;
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        wire.last[0] = wire.last[0].max(now + delay);
        let at = wire.last[0];
        self.push(at, Event::ToNode { attempt, bytes, end });
    }

    fn output(&mut self, attempt: u64, bytes: Vec<u8>, end: bool) {
        let delay = self.rng.random_range(1..4);
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        wire.last[1] = wire.last[1].max(now + delay);
        let at = wire.last[1];
        self.push(at, Event::ToClient { attempt, bytes, end });
    }

    /// A client's connection breaks with what is on its way.
    pub fn break_wire(&mut self, attempt: u64) {
        let now = self.now;
        for key in self.events_of(attempt) {
            self.events.remove(&key);
        }
        self.push(now + 1, Event::ToNode { attempt, bytes: Vec::new(), end: true });
        self.push(now + 1, Event::ToClient { attempt, bytes: Vec::new(), end: true });
    }

    fn events_of(&self, attempt: u64) -> Vec<(u64, u64)> {
        let of = |event: &Event| match event {
            Event::ToNode { attempt: of, .. } | Event::ToClient { attempt: of, .. } => *of == attempt,
            _ => false,
        };
        self.events.iter().filter(|(_, event)| of(event)).map(|(key, _)| *key).collect()
    }

    fn to_node(&mut self, attempt: u64, bytes: &[u8], end: bool) {
        let Some(wire) = self.wires.get(&attempt) else { return };
        let (host, run, client, shard) = (wire.host, wire.run, wire.client, wire.shard);
        if !self.runs(host, run) {
            return;
        }
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        let id = self.clients[client].id.clone();
        match shard {
            None if end => {}
            None => {
                wire.greeting.extend_from_slice(bytes);
                self.greet(attempt, &id);
            }
            Some(shard) => {
                let Some((process, now)) = self.process(host) else { return };
                let desk = &mut process.workers[shard].desk;
                let Some(conn) = desk.conn_of(attempt) else { return };
                if end {
                    process.turn(shard, now, |shard, now, fx| shard.closed(conn, now, fx));
                    process.workers[shard].desk.sockets[conn.0 as usize] = None;
                } else if let Some(socket) = &mut desk.sockets[conn.0 as usize] {
                    socket.input.extend_from_slice(bytes);
                }
            }
        }
        self.drain(host);
    }

    /// Whether a CONNECT has come whole; then its home shard gets the connection.
    fn greet(&mut self, attempt: u64, id: &str) {
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        let (host, greeting) = (wire.host, std::mem::take(&mut wire.greeting));
        let whole = mqtt::frame(&greeting, 1 << 20).expect("clients send packets").expect("in one piece");
        let Ok(connect) = mqtt::packet::Connect::decode(whole.body) else { unreachable!("a sound CONNECT") };
        let zone = self.zone.clone();
        let Some((process, now)) = self.process(host) else { return };
        let shard = process.shard_of(id);
        let conn = process.workers[shard].desk.seat(Socket {
            attempt,
            version: connect.version,
            input: greeting[whole.length..].to_vec(),
            out: Out::default(),
            paused: false,
            ended: false,
        });
        let info = ConnInfo {
            client_id: id.to_owned(),
            assigned: false,
            peer: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            listener: "mqtt:tcp:external".into(),
            zone,
        };
        process.turn(shard, now, |shard, now, fx| shard.connect(conn, &connect, info, now, fx));
        if let Some(wire) = self.wires.get_mut(&attempt) {
            wire.shard = Some(shard);
        }
    }

    /// Hands packets of a connection to its shard. Says whether there were any.
    fn read_socket(&mut self, host: usize, shard: usize, conn: broker::ConnId) -> bool {
        let mut any = false;
        loop {
            let Some(process) = &mut self.hosts[host].process else { return any };
            let place = process.workers[shard].desk.sockets.get_mut(conn.0 as usize);
            let Some(socket) = place.and_then(Option::as_mut) else { return any };
            if socket.paused || socket.ended {
                return any;
            }
            let (input, version) = (std::mem::take(&mut socket.input), socket.version);
            let attempt = socket.attempt;
            let Some(whole) = mqtt::frame(&input, 1 << 20).expect("clients send packets") else {
                socket.input = input;
                return any;
            };
            socket.input = input[whole.length..].to_vec();
            any = true;
            let packet = Packet::decode(version, &whole).expect("clients send sound packets");
            let published = match &packet {
                Packet::Publish(publish) => traffic::number_of(publish.payload),
                _ => None,
            };
            if let Some(message) = published {
                traffic::taken(self, host, message, attempt);
            }
            let Some((process, now)) = self.process(host) else { return any };
            process.turn(shard, now, |shard, now, fx| shard.packet(conn, packet, now, fx));
            if let (Some(message), Some(process)) = (published, &self.hosts[host].process)
                && let Some(known) = self.oracle.messages.get_mut(&message)
                && known.retain
            {
                let stamp = process.control.shelf.retained.stamp(&known.topic);
                known.stamp = stamp.map(|stamp| (process.identity().cluster, stamp));
            }
        }
    }

    fn to_client(&mut self, attempt: u64, bytes: &[u8], end: bool) {
        let Some(wire) = self.wires.get(&attempt) else { return };
        let client = wire.client;
        let current = self.clients[client].conn.as_ref().is_some_and(|conn| conn.attempt == attempt);
        if current && !bytes.is_empty() {
            traffic::receive(self, client, attempt, bytes);
        }
        if end {
            self.wires.remove(&attempt);
            if self.clients[client].conn.as_ref().is_some_and(|conn| conn.attempt == attempt) {
                self.clients[client].conn = None;
                traffic::lost(self, client);
            }
        }
    }
}
