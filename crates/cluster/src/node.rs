//! The node: members, links, owned tables, replicated maps and requests, as one machine.
//!
//! Inputs are the public methods. Each ends in [`Node::finish`], which says what has to be said to peers
//! and keeps what has to be kept. When [`Node::wake_at`] has come, call [`Node::expire`].

pub(crate) mod frame;
mod leaving;
mod links;
mod membership;
mod peer;
mod request;
mod state;
mod talk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::effects::{Command, CommandId, DialId, Effects, Event, Gone, LinkId, MapId, Outcome, TableId};
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::member::swim::Swim;
use crate::member::{Member, Members, State};
use crate::name::NodeName;
use crate::now::{Now, earlier};
use crate::replica::{Clock, Origin, Stamp, merge, put_entry};
use crate::table::Owner;
use crate::{Cause, Digest};

use links::Dial;
use membership::Doing;
use peer::Peer;
use state::Own;
pub use state::StartError;

/// How often the small things are looked at, in milliseconds.
const TICK: u64 = 200;
/// A peer that heard nothing for so long is told that we are here, in milliseconds.
const BEAT: u64 = 400;
/// How often digests are compared, in milliseconds.
const DIGESTS: u64 = 1_000;
/// Bulk leaves so many bytes of a lane free for words that cannot wait.
const BULK_RESERVE: usize = 6 * 1024 * 1024;
/// So many pieces of bulk are said to one peer in one turn.
const PIECES_MAX: usize = 8;

/// What a node is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The name from the configuration.
    pub name: NodeName,
    /// What [`Effects::persist`] was last given; `None` on the first start.
    pub state: Option<Vec<u8>>,
    /// From a good source of chance, another at each start.
    pub seed: [u8; 32],
    /// The owned tables.
    pub tables: Vec<TableId>,
    /// The replicated maps. What they hold at start is told by [`Node::loaded`].
    pub maps: Vec<MapId>,
    /// After how long a stopped member is cleaned away; `None`: never.
    pub autoclean: Option<Duration>,
    /// Whether the sides of a partition come together by themselves.
    pub autoheal: bool,
}

/// Who a node is, as handshakes show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its identity.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
}

/// The members as this node sees them, names sorted by bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Those that serve; this node is one of them.
    pub running: Vec<NodeName>,
    /// Those that do not.
    pub stopped: Vec<NodeName>,
}

/// The digest of one table of one node, as held here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    /// The owner.
    pub node: NodeName,
    /// Which table.
    pub table: TableId,
    /// Its digest.
    pub digest: Digest,
}

/// The machine.
pub struct Node {
    own: Own,
    autoclean: Option<u64>,
    autoheal: bool,
    now: Now,
    rng: StdRng,
    clock: Clock,
    peers: BTreeMap<NodeId, Peer>,
    links: BTreeMap<LinkId, NodeId>,
    dials: BTreeMap<NodeName, Dial>,
    dial_serial: u64,
    swim: Swim,
    swim_out: Vec<(NodeId, Vec<u8>)>,
    owner: Owner,
    tables: Vec<TableId>,
    /// The replicated maps, and from behind which key the search for old tombstones goes on.
    maps: BTreeMap<MapId, Option<Vec<u8>>>,
    doing: Doing,
    /// Who may join under which name, until when.
    granted: BTreeMap<NodeName, u64>,
    /// Commands that wait for a member to go.
    expelling: Vec<(CommandId, NodeId, u64)>,
    /// Requests that wait for an answer: of whom, until when.
    requests: BTreeMap<u64, (NodeId, u64)>,
    request_serial: u64,
    started_at: u64,
    tick_at: u64,
    digests_at: u64,
    clean_at: u64,
    partition: bool,
    stopping: bool,
    /// Something has to be said to peers that have nothing to say to us.
    unsaid: bool,
    /// The record on disk is behind.
    unkept: bool,
    /// The members or the links have changed.
    unsettled: bool,
    /// The members have changed and peers have to know.
    untold: bool,
    scratch: Vec<u8>,
}

impl Node {
    /// A node on its data, which dials its members at once.
    ///
    /// # Errors
    /// When the data belongs to a member of another name, or is not readable. Nothing was done.
    pub fn new(setup: Setup, now: Now, fx: &mut dyn Effects) -> Result<Self, StartError> {
        let mut rng = StdRng::from_seed(setup.seed);
        let mut clock = Clock::default();
        let mut own = match setup.state.as_deref() {
            None => newborn(setup.name.clone(), 0, &mut rng, now),
            Some(state) => {
                let mut own = Own::decode(state).ok_or(StartError::Unreadable)?;
                own.check_name(&setup.name)?;
                own.incarnation = now.unix.max(own.incarnation + 1);
                own
            }
        };
        for member in own.members.all() {
            clock.observe(member.stamp, now);
        }
        if own.name != setup.name || !own.members.is_member(own.id) {
            own.name = setup.name;
            let over = own.members.find(own.id).map(|m| m.stamp);
            let stamp = clock.tick(own.id, over, now);
            let record =
                Member { id: own.id, name: own.name.clone(), state: State::Member, since: now.unix, stamp };
            own.members.merge(record);
        }
        let mut this = Self {
            swim: Swim::new(own.id, own.incarnation, StdRng::from_seed(rng.random())),
            owner: Owner::new(own.incarnation, &setup.tables),
            own,
            autoclean: setup.autoclean.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX).max(1)),
            autoheal: setup.autoheal,
            now,
            rng,
            clock,
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            dial_serial: 0,
            swim_out: Vec::new(),
            tables: setup.tables,
            maps: setup.maps.into_iter().map(|map| (map, None)).collect(),
            doing: Doing::Nothing,
            granted: BTreeMap::new(),
            expelling: Vec::new(),
            requests: BTreeMap::new(),
            request_serial: 0,
            started_at: now.at,
            tick_at: now.at + TICK,
            digests_at: now.at + DIGESTS,
            clean_at: now.at,
            partition: false,
            stopping: false,
            unsaid: false,
            unkept: true,
            unsettled: true,
            untold: false,
            scratch: Vec::new(),
        };
        this.clean_at = now.at + this.autoclean.unwrap_or(0) / 4;
        this.finish(fx);
        Ok(this)
    }

    /// Who this node is: what its handshakes must show. Changes only with [`Event::Identity`].
    pub fn identity(&self) -> Identity {
        Identity {
            id: self.own.id,
            name: self.own.name.clone(),
            incarnation: self.own.incarnation,
            cluster: self.own.cluster,
        }
    }

    /// The members that serve and those that do not.
    pub fn status(&self) -> Status {
        let mut status = Status::default();
        for member in self.own.members.members() {
            let list = if self.is_running(member.id) { &mut status.running } else { &mut status.stopped };
            list.push(member.name.clone());
        }
        status.running.sort();
        status.stopped.sort();
        status
    }

    /// All members, this node too, by identity; and whether each serves.
    pub fn members(&self) -> impl Iterator<Item = (&Member, bool)> {
        self.own.members.members().map(|member| (member, self.is_running(member.id)))
    }

    /// The member of that name.
    pub fn member_named(&self, name: &NodeName) -> Option<&Member> {
        self.own.members.named(name)
    }

    /// The member of that identity.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.own.members.find(id).filter(|m| m.state == State::Member)
    }

    /// Whether that member serves, as far as this node knows; itself always does.
    pub fn is_running(&self, id: NodeId) -> bool {
        id == self.own.id || self.peers.get(&id).is_some_and(|peer| peer.running)
    }

    /// Whether this node has left on purpose, so that automatic discovery leaves it alone.
    pub fn stays_out(&self) -> bool {
        self.own.stays_out
    }

    /// The digests of all tables held here, sorted by name and table; equal on all nodes at rest.
    pub fn table_digests(&self) -> Vec<TableDigest> {
        let own = self.owner.digests().map(|(table, digest)| (&self.own.name, table, digest));
        let others =
            self.own.members.members().filter_map(|m| self.peers.get(&m.id).map(|peer| (&m.name, peer)));
        let others = others.flat_map(|(name, peer)| peer.copy.digests().map(move |(t, d)| (name, t, d)));
        let mut all: Vec<_> = own
            .chain(others)
            .map(|(node, table, digest)| TableDigest { node: node.clone(), table, digest })
            .collect();
        all.sort_by(|a, b| (&a.node, a.table).cmp(&(&b.node, b.table)));
        all
    }

    /// The digest of the member set.
    pub fn members_digest(&self) -> Digest {
        self.own.members.digest()
    }

    /// Bytes held back for that node by its control lane.
    pub fn backlog(&self, id: NodeId) -> usize {
        self.peers.get(&id).map_or(0, |peer| peer.lane.backlog())
    }

    /// The stamp of a record that the consumer already holds, at start and before anything else.
    pub fn loaded(&mut self, stamp: Stamp) {
        self.clock.observe(stamp, self.now);
    }

    /// An entry of an owned table was `was` and is `is` now; `None` where there was or is none. To be told
    /// right with each change. It travels at the next input: [`Self::wake_at`] is now.
    pub fn changed(&mut self, table: TableId, key: &[u8], was: Option<&[u8]>, is: Option<&[u8]>) {
        self.owner.changed(table, key, was, is, !self.peers.is_empty());
        self.unsaid |= !self.links.is_empty();
    }

    /// The number of the last change of the own tables; see [`Self::held_sequence`].
    pub fn own_sequence(&self) -> u64 {
        self.owner.sequence()
    }

    /// Up to which of its changes the tables of that node are held here; `None` while they are not whole.
    pub fn held_sequence(&self, id: NodeId) -> Option<u64> {
        self.peers.get(&id)?.copy.sequence()
    }

    /// Writes (or with `None` removes) a record of a replicated map, here and everywhere. It is applied
    /// through [`crate::Records::apply`] and travels at the next input.
    pub fn write(&mut self, map: MapId, key: &[u8], value: Option<&[u8]>, now: Now, fx: &mut dyn Effects) {
        self.now = now;
        let Some(records) = fx.records(map) else { return };
        let stamp = self.clock.tick(self.own.id, records.stamp(key), now);
        merge(records, key, stamp, value, Origin::Local);
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        body.push(map.0);
        put_entry(&mut body, key, stamp, value);
        for peer in self.peers.values_mut().filter(|peer| peer.running) {
            // What finds no room is found by its digest.
            let _ = peer.lane.push(frame::MAP_WRITE, &body);
        }
        self.scratch = body;
        self.unsaid = true;
    }

    /// The consumer has written a record of a replicated map by itself, with a newer stamp of its own making
    /// than the record had. It travels to the peers at the next input. For records that must be visible
    /// where they are written before this machine's turn comes.
    pub fn written(&mut self, map: MapId, key: &[u8], stamp: Stamp, fx: &mut dyn Effects) {
        self.clock.observe(stamp, self.now);
        let Some(records) = fx.records(map) else { return };
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        body.push(map.0);
        // What is held now may be newer still; then that is what travels.
        records.read(key, &mut |stamp, value| put_entry(&mut body, key, stamp, value));
        if body.len() > 1 {
            for peer in self.peers.values_mut().filter(|peer| peer.running) {
                // What finds no room is found by its digest.
                let _ = peer.lane.push(frame::MAP_WRITE, &body);
            }
        }
        self.scratch = body;
        self.unsaid = true;
    }

    /// A command of an operator; its outcome comes by [`Effects::reply`].
    pub fn command(&mut self, id: CommandId, command: Command, now: Now, fx: &mut dyn Effects) {
        self.now = now;
        match command {
            Command::Join(name) => self.join(id, name, membership::Wish::Join, fx),
            Command::JoinDryRun(name) => self.join(id, name, membership::Wish::DryRun, fx),
            Command::Leave => self.leave(id, fx),
            Command::ForceLeave(name) => self.force_leave(id, &name, fx),
            Command::Heal => {
                self.heal();
                fx.reply(id, Outcome::Done);
            }
            Command::DiscoveryOn | Command::DiscoveryOff => {
                self.own.stays_out = command == Command::DiscoveryOff;
                self.unkept = true;
                fx.reply(id, Outcome::Done);
            }
        }
        self.finish(fx);
    }

    /// The process is about to end: peers are told. No input counts after this.
    pub fn stop(&mut self, now: Now, fx: &mut dyn Effects) {
        self.now = now;
        self.say_to_all(frame::BYE, &[]);
        self.finish(fx);
        self.stopping = true;
        self.close_all(fx);
    }

    /// To be called when [`Self::wake_at`] has come.
    pub fn expire(&mut self, now: Now, fx: &mut dyn Effects) {
        self.notice_own_pause(now);
        self.now = now;
        self.swim.expire(now.at, &mut self.swim_out);
        for peer in self.peers.values_mut() {
            peer.lane.expire(now);
        }
        self.end_late_requests(fx);
        self.end_late_doings(fx);
        if self.tick_at <= now.at {
            self.tick_at = now.at + TICK;
            self.find_the_silent(fx);
            self.beat();
        }
        if self.digests_at <= now.at {
            self.digests_at = now.at + DIGESTS;
            self.say_digests(fx);
            self.purge(fx);
        }
        if self.autoclean.is_some() && self.clean_at <= now.at {
            self.clean(fx);
        }
        self.unsettled = true;
        self.finish(fx);
    }

    /// When [`Self::expire`] wants to be called, on the clock of [`Now::at`].
    pub fn wake_at(&self) -> Option<u64> {
        if self.stopping {
            return None;
        }
        if self.unsaid {
            return Some(self.now.at);
        }
        let mut wake = self.dials_wake_at();
        if !self.peers.is_empty() {
            wake = earlier(wake, Some(self.tick_at));
            wake = earlier(wake, self.swim.wake_at());
        }
        wake = earlier(
            wake,
            (self.autoclean.is_some() && self.own.members.members().count() > 1).then_some(self.clean_at),
        );
        wake = self.peers.values().fold(wake, |wake, peer| earlier(wake, peer.lane.wake_at()));
        wake = self.requests.values().fold(wake, |wake, (_, until)| earlier(wake, Some(*until)));
        wake = self.expelling.iter().fold(wake, |wake, (_, _, until)| earlier(wake, Some(*until)));
        earlier(wake, self.doing.wake_at())
    }

    /// What every input ends in.
    fn finish(&mut self, fx: &mut dyn Effects) {
        if self.stopping {
            return;
        }
        self.unsaid = false;
        if self.unsettled {
            self.unsettled = false;
            self.settle_peers(fx);
            self.dial_the_missing(fx);
        }
        if self.untold {
            self.untold = false;
            self.tell_members();
        }
        self.say_swim();
        self.say_bulk(fx);
        self.keep(fx);
        self.flush(fx);
    }

    fn keep(&mut self, fx: &mut dyn Effects) {
        if self.unkept {
            self.unkept = false;
            fx.persist(&self.own.encode());
        }
    }

    /// Hands the lanes' bytes to their links.
    fn flush(&mut self, fx: &mut dyn Effects) {
        for peer in self.peers.values_mut() {
            let Some(link) = peer.link else { continue };
            loop {
                let bytes = peer.lane.to_write();
                if bytes.is_empty() {
                    break;
                }
                fx.send(link.id, bytes);
                let length = bytes.len();
                peer.lane.wrote(length);
                peer.spoken_at = self.now.at;
            }
        }
    }

    fn epoch(&mut self) -> u64 {
        self.rng.random::<u64>() | 1
    }

    fn say(&mut self, to: NodeId, kind: u8, body: &[u8]) -> Result<(), Cause> {
        let peer = self.peers.get_mut(&to).ok_or(Cause::NodeDown)?;
        self.unsaid = true;
        peer.lane.push(kind, body).map_err(|_| Cause::NoRoom)
    }

    /// To each member that serves.
    fn say_to_all(&mut self, kind: u8, body: &[u8]) {
        let running: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.running).map(|(id, _)| *id).collect();
        for id in running {
            // What finds no room is repeated, or found by a digest.
            let _ = self.say(id, kind, body);
        }
    }

    /// Whether that peer is a member of this cluster and knows it.
    fn is_fellow(&self, id: NodeId) -> bool {
        self.own.members.is_member(id)
            && self.peers.get(&id).is_some_and(|peer| peer.cluster == self.own.cluster)
    }

    fn fellows(&self) -> BTreeSet<NodeId> {
        self.peers.keys().copied().filter(|id| self.is_fellow(*id)).collect()
    }
}

/// A node of its own, in a cluster of its own.
fn newborn(name: NodeName, after: Incarnation, rng: &mut StdRng, now: Now) -> Own {
    // A random UUID, version 4 (RFC 9562 §5.4).
    let mut uuid = || {
        let mut id: [u8; 16] = rng.random();
        id[6] = id[6] & 0x0F | 0x40;
        id[8] = id[8] & 0x3F | 0x80;
        NodeId(id)
    };
    let (id, cluster) = (uuid(), uuid());
    Own {
        id,
        name,
        incarnation: now.unix.max(after + 1),
        cluster: ClusterId { born_at: now.unix, id: cluster },
        members: Members::default(),
        farewells: Vec::new(),
        stays_out: false,
    }
}

#[cfg(test)]
#[path = "node/tests.rs"]
mod tests;
#[cfg(test)]
#[path = "node/world.rs"]
mod world;
