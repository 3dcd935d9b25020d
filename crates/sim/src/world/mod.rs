//! The made-up world: hosts, network, clients and time, in one thread. Everything happens by events,
//! ordered by time and then by when they were made; chance comes from one seed.

mod exclusive;
mod inside;
mod sockets;
mod streams;

use std::collections::{BTreeMap, VecDeque};

use broker::Zone;
use cluster::{Cause, Command, CommandId, DialId, NodeName, Now, Outcome};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::check;
use crate::client::Client;
use crate::control::{DiskRecord, ShardMessage};
use crate::desk::Note;
use crate::faults::{self, Mix};
use crate::net::{End, Net, Parcel, Weather};
use crate::oracle::Oracle;
use crate::process::{Disk, Host, Process};
use crate::traffic;

/// The clock on the wall when a run begins.
const EPOCH: u64 = 1_700_000_000_000;
/// Lines of the trace that are kept.
const TRACE_LINES: usize = 10_000;

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

/// What comes first of that which happens in the same millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// It was to happen while its process slept.
    Deferred,
    Due,
}

/// When an event happens, and its place among those of that time.
type EventKey = (u64, Turn, u64);

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
    /// Clients also want filters for themselves.
    pub contends: bool,
    pub outcomes: BTreeMap<CommandId, Outcome>,
    pub zone: std::sync::Arc<Zone>,
    pub shards: usize,
    pub trace: Option<VecDeque<String>>,
    pub steps: u64,
    events: BTreeMap<EventKey, Event>,
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
            net: Net::default(),
            oracle: Oracle::new(clients.len()),
            clients,
            mix,
            storm: false,
            contends: seed >= crate::EXCLUSIVE,
            outcomes: BTreeMap::new(),
            zone: std::sync::Arc::new(Zone { exclusive_subscription: true, ..Zone::default() }),
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
        self.events.insert((at.max(self.now), Turn::Due, self.serial), event);
    }

    /// A process that sleeps finds it when it wakes, before what comes then.
    fn defer(&mut self, until: u64, event: Event) {
        self.serial += 1;
        self.events.insert((until, Turn::Deferred, self.serial), event);
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
                self.defer(self.hosts[host].paused_until, event);
                continue;
            }
            if self.is_troubled() {
                self.oracle.trouble_at = self.oracle.trouble_at.max(self.now);
            }
            self.happen(event);
            if self.steps.is_multiple_of(64) {
                check::limits::now(self);
                check::exclusive::now(self);
            }
        }
        self.now = self.now.max(until);
    }

    /// Whether something is out of order now.
    fn is_troubled(&self) -> bool {
        let lame = |host: &Host| host.process.is_none() || host.paused_until > self.now;
        !self.net.cut.is_empty() || self.net.weather != Weather::FAIR || self.hosts.iter().any(lame)
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
                    self.tell_shard(host, shard, message);
                    self.drain(host);
                }
            }
            Event::Stored { host, run, records, tickets } => {
                if self.runs(host, run) {
                    self.hosts[host].disk.store(records);
                    for (shard, ticket) in tickets {
                        self.tell_shard(host, shard, ShardMessage::Stored(ticket));
                    }
                    self.drain(host);
                }
            }
            Event::ToNode { attempt, bytes, end } => self.node_hears(attempt, &bytes, end),
            Event::ToClient { attempt, bytes, end } => self.client_hears(attempt, &bytes, end),
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

    /// Whether another node than that one has a session of the client and serves it.
    pub fn has_session_elsewhere(&self, client: usize, host: usize) -> bool {
        let id = &self.clients[client].id;
        let others =
            self.hosts.iter().enumerate().filter(|(n, _)| *n != host).filter_map(|(_, h)| h.process.as_ref());
        others.flat_map(|process| &process.workers).any(|worker| worker.shard.client(id).is_some())
    }

    pub fn process(&mut self, host: usize) -> Option<(&mut Process, Now)> {
        let now = self.clock(host);
        self.hosts[host].process.as_mut().map(|process| (process, now))
    }

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
            let until = self.hosts[host].paused_until.max(self.now + ms);
            self.hosts[host].paused_until = until;
            self.oracle.trouble_at = self.oracle.trouble_at.max(until);
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
}
