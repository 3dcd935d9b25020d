//! A host, and on it one run of a node: the machine of the cluster, control, and the shards.

use std::collections::BTreeMap;

use broker::access::Everybody;
use broker::exclusive::RoundId;
use broker::routes::Place;
use broker::{Settings, Shard, ShardConfig};
use cluster::{Identity, Incarnation, Node, NodeId, NodeName, Now, Setup, Stamp};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::control::{Control, DiskRecord, Heard, Mark, RETAINED, TABLES, node_key};
use crate::desk::{Desk, Fx};

/// What outlives a run.
#[derive(Default)]
pub struct Disk {
    pub state: Option<Vec<u8>>,
    pub retained: BTreeMap<Vec<u8>, (Stamp, Option<Vec<u8>>)>,
}

impl Disk {
    /// These records have reached it.
    pub fn store(&mut self, records: Vec<DiskRecord>) {
        for (key, stamp, value) in records {
            self.retained.insert(key, (stamp, value));
        }
    }
}

/// Where a node can run.
pub struct Host {
    pub name: NodeName,
    pub disk: Disk,
    pub process: Option<Process>,
    /// Counts the runs.
    pub run: u64,
    /// Nothing of the node happens before that.
    pub paused_until: u64,
    /// How far the clock on the wall is ahead, in milliseconds.
    pub skew: u64,
    /// Lost power rather than a process: nobody refuses connections.
    pub dark: bool,
}

/// A shard and what stands around it.
pub struct Worker {
    pub shard: Shard,
    pub desk: Desk,
}

/// One run of a node.
pub struct Process {
    pub run: u64,
    pub node: Node,
    pub control: Control,
    pub workers: Vec<Worker>,
    /// When the next look at its timers is due.
    pub wake: Option<u64>,
    pub incarnation: Incarnation,
}

impl Process {
    /// Starts a node on a disk.
    pub fn start(name: &NodeName, disk: &Disk, run: u64, shards: usize, now: Now, rng: &mut StdRng) -> Self {
        let mut control = Control::new(shards);
        control.now = now;
        let setup = Setup {
            name: name.clone(),
            state: disk.state.clone(),
            seed: rng.random(),
            tables: TABLES.to_vec(),
            maps: vec![RETAINED],
            autoclean: None,
            autoheal: true,
        };
        let mut node = Node::new(setup, now, &mut control).expect("its own state is readable");
        for (key, (stamp, value)) in &disk.retained {
            cluster::Records::apply(
                &mut control.shelf.retained,
                key,
                *stamp,
                value.as_deref(),
                cluster::replica::Origin::Local,
            );
            node.loaded(*stamp);
        }
        let workers = (0..shards).map(|n| {
            let place = Place::shard(n as u16);
            let shard = Shard::new(ShardConfig {
                place,
                node_key: node_key(name),
                seed: rng.random(),
                settings: Settings::default(),
                access: Box::new(Everybody),
            });
            Worker { shard, desk: Desk::new(place) }
        });
        let workers = workers.collect();
        let incarnation = node.identity().incarnation;
        Self { run, node, control, workers, wake: None, incarnation }
    }

    /// One input of a shard.
    pub fn turn<R>(
        &mut self,
        shard: usize,
        now: Now,
        input: impl FnOnce(&mut Shard, mqtt::Now, &mut Fx<'_>) -> R,
    ) -> R {
        self.control.now = now;
        let Worker { shard, desk } = &mut self.workers[shard];
        let mut fx = Fx { now, desk, control: &mut self.control, node: &mut self.node };
        input(shard, mqtt::Now(now.at), &mut fx)
    }

    /// One input of the machine of the cluster.
    pub fn input<R>(&mut self, now: Now, input: impl FnOnce(&mut Node, &mut Control) -> R) -> R {
        self.control.now = now;
        input(&mut self.node, &mut self.control)
    }

    /// When something of it wants to be looked at.
    pub fn wake_at(&self) -> Option<u64> {
        let shards = self.workers.iter().filter_map(|w| w.shard.wake_at()).map(|at| at.0);
        let out = self.workers.iter().flat_map(|w| w.desk.lanes_out.values());
        let acks = out.clone().filter(|l| l.link.is_some()).filter_map(|l| l.lane.wake_at());
        let dials = out
            .filter(|l| l.link.is_none() && !l.dialling && self.control.serving.contains_key(&l.peer))
            .map(|l| l.retry_at);
        let ins = self.workers.iter().flat_map(|w| w.desk.lanes_in.values());
        let ins = ins.filter(|l| l.link.is_some()).filter_map(|l| l.lane.wake_at());
        let rounds = self.control.rounds.values().map(|heard| heard.until);
        shards.chain(acks).chain(dials).chain(ins).chain(rounds).chain(self.node.wake_at()).min()
    }

    /// How far each lane has to be done so that all that was forwarded by now has arrived.
    pub fn marks(&self) -> Vec<Mark> {
        let lanes = |(shard, worker): (usize, &Worker)| {
            let lanes = worker.desk.lanes_out.iter();
            lanes.map(|(slot, lane)| (shard, *slot, lane.lane.stats().pushed)).collect::<Vec<_>>()
        };
        self.workers.iter().enumerate().flat_map(lanes).collect()
    }

    /// Tells peers that have asked that all is current here: the changes of their routes are in force,
    /// and what was forwarded by the routes of before has arrived. A lane without connection is not
    /// waited for.
    pub fn answer_syncs(&mut self) {
        let workers = &self.workers;
        let done = |(shard, slot, mark): &Mark| {
            let lane = workers[*shard].desk.lanes_out.get(slot);
            lane.is_none_or(|lane| lane.link.is_none() || lane.lane.done() >= *mark)
        };
        for (asked, _) in self.control.syncs.extract_if(.., |(_, marks)| marks.iter().all(done)) {
            self.node.respond(asked, Ok(&self.node.own_sequence().to_be_bytes()));
        }
    }

    /// Rounds that are over: everything the peers had when they answered is here, or nobody waits any longer.
    pub fn known_rounds(&self, now: Now) -> Vec<(RoundId, bool)> {
        let runs = |peer: &NodeId| self.node.is_running(*peer);
        let has_come = |peer, mark| self.node.held_sequence(peer).is_some_and(|to| to >= mark);
        let is_sure = |heard: &Heard| {
            heard.left == 0
                && !heard.silent.iter().any(runs)
                && heard.marks.iter().all(|(peer, mark)| !runs(peer) || has_come(*peer, *mark))
        };
        let over = self.control.rounds.iter().filter(|(_, heard)| is_sure(heard) || heard.until <= now.at);
        over.map(|(round, heard)| (*round, is_sure(heard))).collect()
    }

    pub fn identity(&self) -> Identity {
        self.node.identity()
    }

    /// The shards' client of that id that is this node's: its shard.
    pub fn shard_of(&self, client: &str) -> usize {
        crate::control::home(client, self.workers.len())
    }
}
