//! The control thread of a node, made up: it owns the tables and the `Interest`, and tells its shards
//! what peers say. Here is the driver's side of [`cluster::Effects`].

use std::collections::{BTreeMap, BTreeSet};

use broker::Ticket;
use broker::exclusive::{Effect, Exclusive, RoundId};
use broker::retained::{Limits, Retained};
use broker::routes::{Change, GroupCount, Interest, Place};
use cluster::replica::{Buckets, Clock, Origin};
use cluster::{
    Cause, CommandId, DialId, Effects, Event, Incarnation, LinkId, MapId, NodeId, NodeName, Outcome, Records,
    RequestId, Stamp, TableId, VisitEntries, VisitRecords, Wipe,
};

/// Filter → nothing.
pub const ROUTES: TableId = TableId(1);
/// Shared filter → how many members.
pub const GROUPS: TableId = TableId(2);
/// Client id → the stamp of its connection.
pub const CLIENTS: TableId = TableId(3);
/// Filter → the client that has it for itself.
pub const EXCLUSIVE: TableId = TableId(4);
/// All tables.
pub const TABLES: [TableId; 4] = [ROUTES, GROUPS, CLIENTS, EXCLUSIVE];
/// Topic → retained message.
pub const RETAINED: MapId = MapId(1);
/// A word between the home shards of a client id.
pub const TELL: u16 = 1;
/// Answer when all that was said before is in force.
pub const CURRENT: u16 = 2;

use crate::desk::Words;

/// A record as it is on disk.
pub type DiskRecord = (Vec<u8>, Stamp, Option<Vec<u8>>);

/// So many frames of the lane of that shard to that slot.
pub type Mark = (usize, u16, u64);

/// What control tells a shard, in order.
#[derive(Debug)]
pub enum ShardMessage {
    Forward { from: Place, bytes: Words },
    RoutesIn(Ticket),
    Exclusive { ticket: Ticket, granted: Vec<bool> },
    ExclusiveEnded { ticket: Ticket, filter: String },
    Stored(Ticket),
    Told { from: Place, bytes: Words },
    PeerClaim { peer: Place, client: String, stamp: Stamp },
    PeerRelease { peer: Place, client: String },
    PeerMasked(Place),
    PeerInterrupted(Place),
    PeerUnmasked(Place, Incarnation),
    PeerForgotten(Place),
}

/// What the machine of the cluster has asked for.
pub enum Deed {
    Dial(DialId, NodeName),
    Send(LinkId, Vec<u8>),
    Close(LinkId),
    Wipe(Wipe),
    ToShard(usize, ShardMessage),
    Respond(cluster::Asked),
    /// With how far the peer is with its own tables, if it answered.
    Answered(RequestId, Option<u64>),
    Reply(CommandId, Outcome),
    Event(Event),
    Persist(Vec<u8>),
}

/// What waits for the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Shard(usize, Ticket),
    Round(RoundId, NodeId),
}

/// A round of questions, and what has been heard.
#[derive(Debug)]
pub struct Heard {
    pub left: usize,
    /// How far the peers were with their own tables.
    pub marks: Vec<(NodeId, u64)>,
    pub silent: Vec<NodeId>,
    pub until: u64,
}

/// The retained messages, and what of them has yet to reach the disk.
#[derive(Default)]
pub struct Shelf {
    pub retained: Retained,
    pub unsynced: Vec<DiskRecord>,
}

impl Records for Shelf {
    fn stamp(&self, key: &[u8]) -> Option<Stamp> {
        Records::stamp(&self.retained, key)
    }

    fn apply(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>, origin: Origin) {
        self.retained.apply(key, stamp, value, origin);
        self.unsynced.push((key.to_vec(), stamp, value.map(<[u8]>::to_vec)));
    }

    fn read(&self, key: &[u8], visit: &mut dyn FnMut(Stamp, Option<&[u8]>)) {
        self.retained.read(key, visit);
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut VisitRecords<'_>) {
        self.retained.scan(after, visit);
    }

    fn purge(&mut self, key: &[u8]) {
        self.retained.purge(key);
    }

    fn buckets(&self) -> &Buckets {
        self.retained.buckets()
    }
}

/// Everything of the control thread but the machine itself.
pub struct Control {
    pub shards: usize,
    pub own: BTreeMap<TableId, BTreeMap<Vec<u8>, Vec<u8>>>,
    pub copies: BTreeMap<(NodeId, TableId), BTreeMap<Vec<u8>, Vec<u8>>>,
    swept: BTreeMap<(NodeId, TableId), BTreeSet<Vec<u8>>>,
    pub slots: BTreeMap<NodeId, u16>,
    next_slot: u16,
    /// Peers that serve, and in which run of theirs.
    pub serving: BTreeMap<NodeId, Incarnation>,
    pub interest: Interest,
    pub shelf: Shelf,
    pub clock: Clock,
    /// Which shards want a filter.
    pub wanted: BTreeMap<String, BTreeSet<u16>>,
    /// Members of a group by shard.
    pub members: BTreeMap<String, BTreeMap<u16, GroupCount>>,
    /// Requests, and what waits for them.
    pub waiting: BTreeMap<RequestId, Asked>,
    pub exclusive: Exclusive,
    pub exclusive_effects: Vec<Effect>,
    pub rounds: BTreeMap<RoundId, Heard>,
    /// Peers that have asked whether all is current here, and how far each lane has to be done before
    /// the answer.
    pub syncs: Vec<(cluster::Asked, Vec<Mark>)>,
    /// Runs of the tables' copies that had to be fetched again.
    pub repairs: u64,
    pub deeds: Vec<Deed>,
    pub now: cluster::Now,
}

/// The home of a client id among so many shards.
pub fn home(client: &str, shards: usize) -> usize {
    client.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % shards
}

/// What all nodes call the node of that name in the order of group members.
pub fn node_key(name: &NodeName) -> u64 {
    name.as_str().bytes().fold(11u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(byte.into())) | 1
}

impl Control {
    pub fn new(shards: usize) -> Self {
        Self {
            shards,
            own: TABLES.iter().map(|table| (*table, BTreeMap::new())).collect(),
            copies: BTreeMap::new(),
            swept: BTreeMap::new(),
            slots: BTreeMap::new(),
            next_slot: 0,
            serving: BTreeMap::new(),
            interest: Interest::new(3),
            shelf: Shelf { retained: Retained::new(Limits::default()), unsynced: Vec::new() },
            clock: Clock::default(),
            wanted: BTreeMap::new(),
            members: BTreeMap::new(),
            waiting: BTreeMap::new(),
            exclusive: Exclusive::default(),
            exclusive_effects: Vec::new(),
            rounds: BTreeMap::new(),
            syncs: Vec::new(),
            repairs: 0,
            deeds: Vec::new(),
            now: cluster::Now::default(),
        }
    }

    /// The slot of a peer, made if it has none.
    pub fn slot(&mut self, node: NodeId) -> u16 {
        *self.slots.entry(node).or_insert_with(|| {
            self.next_slot += 1;
            self.next_slot - 1
        })
    }

    /// The peer in a slot.
    pub fn peer_in(&self, slot: u16) -> Option<NodeId> {
        self.slots.iter().find(|(_, known)| **known == slot).map(|(node, _)| *node)
    }

    /// Makes an own entry what it is now. Returns what it was if that was something else.
    #[allow(clippy::option_option, reason = "what it was may have been nothing")]
    pub fn set_own(&mut self, table: TableId, key: &[u8], is: Option<&[u8]>) -> Option<Option<Vec<u8>>> {
        let entries = self.own.entry(table).or_default();
        let was = match is {
            Some(value) => entries.insert(key.to_vec(), value.to_vec()),
            None => entries.remove(key),
        };
        (was.as_deref() != is).then_some(was)
    }

    /// Nothing of peers is known any more; the slots stay used.
    pub fn forget_peers(&mut self) {
        for node in self.slots.keys().copied().collect::<Vec<_>>() {
            self.forget(node);
        }
        self.copies.clear();
        self.swept.clear();
    }

    /// The peer is gone for good.
    pub fn forget(&mut self, node: NodeId) {
        let Some(slot) = self.slots.remove(&node) else { return };
        self.serving.remove(&node);
        self.interest.apply(&Change::Forget { place: Place::peer(slot) });
        self.exclusive.forget(Place::peer(slot));
        self.each_shard(|| ShardMessage::PeerForgotten(Place::peer(slot)));
        self.copies.retain(|(of, _), _| *of != node);
        self.swept.retain(|(of, _), _| *of != node);
    }

    fn each_shard(&mut self, message: impl Fn() -> ShardMessage) {
        for shard in 0..self.shards {
            self.deeds.push(Deed::ToShard(shard, message()));
        }
    }

    fn entry_changed(&mut self, node: NodeId, table: TableId, key: &[u8], value: Option<&[u8]>) {
        let place = Place::peer(self.slot(node));
        let text = String::from_utf8_lossy(key).into_owned();
        match table {
            ROUTES => self.interest.apply(&match value {
                Some(_) => Change::Add { place, filter: text.into() },
                None => Change::Remove { place, filter: text.into() },
            }),
            GROUPS => self.interest.apply(&Change::Members {
                place,
                key: text.into(),
                count: value.map(GroupCount::from_bytes).unwrap_or_default(),
            }),
            EXCLUSIVE => {
                self.exclusive.peer_entry(place, &text.into(), value, &mut self.exclusive_effects);
            }
            _ => {
                let shard = home(&text, self.shards);
                let message = match value.and_then(Stamp::decode) {
                    Some(stamp) => {
                        self.clock.observe(stamp, self.now);
                        ShardMessage::PeerClaim { peer: place, client: text, stamp }
                    }
                    None => ShardMessage::PeerRelease { peer: place, client: text },
                };
                self.deeds.push(Deed::ToShard(shard, message));
            }
        }
    }
}

impl Effects for Control {
    fn dial(&mut self, dial: DialId, name: &NodeName) {
        self.deeds.push(Deed::Dial(dial, name.clone()));
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) {
        if let Some(Deed::Send(last, before)) = self.deeds.last_mut()
            && *last == link
        {
            return before.extend_from_slice(bytes);
        }
        self.deeds.push(Deed::Send(link, bytes.to_vec()));
    }

    fn close(&mut self, link: LinkId) {
        self.deeds.push(Deed::Close(link));
    }

    fn persist(&mut self, state: &[u8]) {
        self.deeds.push(Deed::Persist(state.to_vec()));
    }

    fn wipe(&mut self, why: &Wipe) {
        self.deeds.push(Deed::Wipe(why.clone()));
    }

    fn own(&mut self, table: TableId, after: Option<&[u8]>, visit: &mut VisitEntries<'_>) {
        let entries = self.own.get(&table).into_iter().flatten();
        for (key, value) in entries.filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after)) {
            if !visit(key, value) {
                return;
            }
        }
    }

    fn table_changed(&mut self, node: NodeId, table: TableId, key: &[u8], value: Option<&[u8]>) {
        if let Some(swept) = self.swept.get_mut(&(node, table)) {
            swept.remove(key);
        }
        let copy = self.copies.entry((node, table)).or_default();
        match value {
            Some(value) => copy.insert(key.to_vec(), value.to_vec()),
            None => copy.remove(key),
        };
        self.entry_changed(node, table, key, value);
    }

    fn table_reset(&mut self, node: NodeId, table: TableId) {
        let keys = self.copies.entry((node, table)).or_default().keys().cloned().collect();
        self.swept.insert((node, table), keys);
    }

    fn table_complete(&mut self, node: NodeId, table: TableId) {
        for key in self.swept.remove(&(node, table)).unwrap_or_default() {
            self.copies.entry((node, table)).or_default().remove(&key);
            self.entry_changed(node, table, &key, None);
        }
    }

    fn masked(&mut self, node: NodeId) {
        assert!(self.serving.remove(&node).is_some(), "only a node that serves is masked");
        let place = Place::peer(self.slot(node));
        self.interest.apply(&Change::Mask { place });
        self.exclusive.mask(place);
        self.each_shard(|| ShardMessage::PeerMasked(place));
    }

    fn interrupted(&mut self, node: NodeId) {
        let place = Place::peer(self.slot(node));
        self.each_shard(|| ShardMessage::PeerInterrupted(place));
    }

    fn unmasked(&mut self, node: NodeId, incarnation: Incarnation) {
        assert!(
            self.serving.insert(node, incarnation).is_none(),
            "only a node that does not serve is unmasked"
        );
        let place = Place::peer(self.slot(node));
        self.interest.apply(&Change::Unmask { place });
        self.exclusive.unmask(place, &mut self.exclusive_effects);
        self.each_shard(|| ShardMessage::PeerUnmasked(place, incarnation));
    }

    fn records(&mut self, map: MapId) -> Option<&mut dyn Records> {
        (map == RETAINED).then_some(&mut self.shelf)
    }

    fn cast(&mut self, from: NodeId, kind: u16, body: &[u8]) {
        let from = Place::peer(self.slot(from));
        if kind == TELL
            && let Some(client) = broker::told_client(body)
        {
            let told = ShardMessage::Told { from, bytes: Words(body.to_vec()) };
            self.deeds.push(Deed::ToShard(home(client, self.shards), told));
        }
    }

    fn asked(&mut self, asked: cluster::Asked, kind: u16, _: &[u8]) {
        assert_eq!(kind, CURRENT, "nobody asks anything else");
        self.deeds.push(Deed::Respond(asked));
    }

    fn answered(&mut self, request: RequestId, answer: Result<&[u8], Cause>) {
        let mark = answer.ok().and_then(|body| body.try_into().ok()).map(u64::from_be_bytes);
        self.deeds.push(Deed::Answered(request, mark));
    }

    fn reply(&mut self, command: CommandId, outcome: Outcome) {
        self.deeds.push(Deed::Reply(command, outcome));
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Up { id, name, .. } => {
                let place = Place::peer(self.slot(*id));
                self.interest.apply(&Change::NodeKey { place, key: node_key(name) });
            }
            Event::Left { id, .. } => self.forget(*id),
            Event::Repair { .. } => self.repairs += 1,
            _ => {}
        }
        self.deeds.push(Deed::Event(event));
    }
}
