//! What the cluster machine asks for: links, disk, the shards' view of the other nodes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::routes::{Change, GroupCount, Interest, Place};
use broker::{Stamp, Ticket};
use cluster::bus::handshake::{Local, Peer};
use cluster::{
    Asked, Cause, CommandId, DialId, Effects, Event, Identity, Incarnation, LinkId, MapId, NodeId, NodeName,
    Outcome, Records, RequestId, TableId, VisitEntries, Wipe,
};
use parking_lot::lock_api::ArcRwLockWriteGuard;
use parking_lot::{RawRwLock, RwLock};
use tokio::sync::{mpsc, oneshot};

use super::bus::{self, BusSettings, LinkWord};
use super::exclusive::Exclusives;
use super::sync::{ASK_SYNC, Syncs};
use super::tables::Own;
use super::wire::AsyncWire;
use super::{
    ACCESS, ASK_API, CAST_TELL, CLIENTS, ControlMessage, EXCLUSIVE, GROUPS, RETAINED, ROUTES, Waiting, to_all,
};
use crate::access::AccessStore;
use crate::inbox::Sender;
use crate::retained::RetainedStore;
use crate::shard::{
    ClientEvent, Clock, LaneIn, LaneOut, PeerChange, ShardHandle, ShardMessage, Shared, home,
};
use crate::stream::Wire;
use crate::twin::{Apply, Twin};

/// Answers a question of another node about this one.
pub type ServeApi = Box<dyn Fn(Asked, Vec<u8>)>;

impl Apply<Change> for Interest {
    fn apply(&mut self, change: &Change) {
        Interest::apply(self, change);
    }
}

/// The driver's side of the cluster machine.
pub struct NodeFx {
    pub(super) bus: BusSettings,
    pub(super) shards: Vec<ShardHandle>,
    interest: Twin<Interest, Change>,
    pub(super) retained: Arc<RwLock<RetainedStore>>,
    /// Held while the machine works on the records; released at the end of the turn.
    guard: Option<ArcRwLockWriteGuard<RawRwLock, RetainedStore>>,
    pub(super) access: AccessStore,
    pub(super) clock: Arc<Clock>,
    data_dir: PathBuf,
    pub(super) sender: Sender<ControlMessage>,
    pub(super) has_peers: Arc<AtomicBool>,
    local: Arc<RwLock<Option<Local>>>,
    links: HashMap<LinkId, mpsc::UnboundedSender<LinkWord>>,
    link_serial: u64,
    pub(super) own: Own,
    pub(super) exclusive: Exclusives,
    peers: HashMap<NodeId, PeerSlot>,
    slots: slab::Slab<NodeId>,
    events: Vec<Event>,
    wipe: Option<Wipe>,
    commands: Waiting<CommandId, Outcome>,
    answers: Waiting<RequestId, Result<Vec<u8>, Cause>>,
    pub(super) syncs: Syncs,
    api_asked: Vec<(Asked, Vec<u8>)>,
    /// Shards that wait until everything so far is visible.
    to_publish: Vec<(usize, Ticket)>,
    pub(super) serve: Option<ServeApi>,
    /// Clients that came or went, for whoever publishes that.
    pub(super) presence: Option<Box<dyn Fn(ClientEvent)>>,
    sys_wanted: i64,
}

/// A peer as the shards know it.
struct PeerSlot {
    place: Place,
    /// What is held of its tables, to sweep after a reset.
    held: HashMap<TableId, HashSet<Arc<str>>>,
    /// Keys that a reset has made stale and that have not been named again.
    stale: HashMap<TableId, HashSet<Arc<str>>>,
    name: Option<NodeName>,
    lanes_wanted: bool,
}

impl NodeFx {
    pub(super) fn new(
        bus: BusSettings,
        shards: Vec<ShardHandle>,
        interest: Twin<Interest, Change>,
        shared: &Shared,
        access: AccessStore,
        data_dir: PathBuf,
    ) -> NodeFx {
        NodeFx {
            bus,
            shards,
            interest,
            retained: shared.retained.clone(),
            guard: None,
            access,
            clock: shared.clock.clone(),
            data_dir,
            sender: shared.control.clone(),
            has_peers: shared.has_peers.clone(),
            local: Arc::new(RwLock::new(None)),
            links: HashMap::new(),
            link_serial: 0,
            own: Own::default(),
            exclusive: Exclusives::default(),
            peers: HashMap::new(),
            slots: slab::Slab::new(),
            events: Vec::new(),
            wipe: None,
            commands: HashMap::new(),
            answers: HashMap::new(),
            syncs: Syncs::default(),
            api_asked: Vec::new(),
            to_publish: Vec::new(),
            serve: None,
            presence: None,
            sys_wanted: 0,
        }
    }

    /// Who this node is, for handshakes and stamps from now on.
    pub(super) fn identity(&mut self, identity: &Identity) {
        self.clock.set_node(identity.id);
        *self.local.write() = Some(Local {
            id: identity.id,
            name: identity.name.clone(),
            incarnation: identity.incarnation,
            cluster: identity.cluster,
            cookies: self.bus.cookies.clone(),
            capabilities: 0,
        });
    }

    /// Ourselves as handshakes show it, kept up to date.
    pub fn local(&self) -> Arc<RwLock<Option<Local>>> {
        self.local.clone()
    }

    pub(super) fn open_link(&mut self, wire: Wire) -> Option<LinkId> {
        let wire = AsyncWire::new(wire).ok()?;
        self.link_serial += 1;
        let link = LinkId(self.link_serial);
        let (words, heard) = mpsc::unbounded_channel();
        self.links.insert(link, words);
        tokio::task::spawn_local(bus::carry(link, wire, heard, self.sender.clone()));
        Some(link)
    }

    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// The place of a peer, given to it when it is first heard of.
    fn slot(&mut self, node: NodeId) -> &mut PeerSlot {
        if !self.peers.contains_key(&node) {
            let place = Place::peer(self.slots.insert(node) as u16);
            // It counts from when it serves.
            self.interest.change(Change::Mask { place });
            let slot = PeerSlot {
                place,
                held: HashMap::new(),
                stale: HashMap::new(),
                name: None,
                lanes_wanted: false,
            };
            self.peers.insert(node, slot);
        }
        self.peers.get_mut(&node).expect("it was put in where it was missing")
    }

    pub(super) fn node_at(&self, place: Place) -> Option<NodeId> {
        self.slots.get(usize::from(place.number())).copied()
    }

    /// A node is gone for good.
    pub(super) fn forget_node(&mut self, node: NodeId) {
        let Some(slot) = self.peers.remove(&node) else { return };
        self.slots.try_remove(usize::from(slot.place.number()));
        for (_, held) in slot.held.iter().filter(|(table, _)| has_routes(**table)) {
            for key in held {
                self.count_sys(key, -1);
            }
        }
        self.exclusive.claims.forget(slot.place);
        self.note_peers();
        self.interest.change(Change::Forget { place: slot.place });
        to_all(&self.shards, || ShardMessage::Peer(PeerChange::Forgotten(slot.place)));
    }

    pub(super) fn lanes_wanted(&mut self, node: NodeId, name: &NodeName) {
        let slot = self.slot(node);
        slot.lanes_wanted = true;
        slot.name = Some(name.clone());
        let place = slot.place;
        self.note_peers();
        self.interest.change(Change::NodeKey { place, key: super::key_of(&name.to_string()) });
        for shard in 0..self.shards.len() {
            self.dial_lane(node, name.clone(), shard, Duration::ZERO);
        }
    }

    pub(super) fn lanes_unwanted(&mut self, node: NodeId) {
        if let Some(slot) = self.peers.get_mut(&node) {
            slot.lanes_wanted = false;
        }
        self.note_peers();
    }

    /// Asks on all data lanes to the peer whether it lives.
    pub(super) fn ask_alive(&mut self, node: NodeId) {
        let peer = self.slot(node).place;
        to_all(&self.shards, || ShardMessage::AskAlive { peer });
    }

    fn note_peers(&self) {
        self.has_peers.store(self.peers.values().any(|slot| slot.lanes_wanted), Ordering::Relaxed);
    }

    pub(super) fn dial_lane(&self, node: NodeId, name: NodeName, shard: usize, pause: Duration) {
        let (bus, clock, sender) = (self.bus.clone(), self.clock.clone(), self.sender.clone());
        let local = self.local.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(pause).await;
            bus::dial_data(node, name, shard, bus, local, clock, sender).await;
        });
    }

    pub(super) fn lane_out(&mut self, node: NodeId, shard: usize, made: Option<LaneOut>, running: bool) {
        let Some(slot) = self.peers.get(&node) else { return };
        let (place, name) = (slot.place, slot.name.clone());
        match (made, name) {
            (Some(made), _) if running => {
                self.shards[shard].sender.send(ShardMessage::LaneOut { peer: place, made: Box::new(made) });
            }
            (None, Some(name)) if running && slot.lanes_wanted => {
                self.dial_lane(node, name, shard, Duration::from_millis(300));
            }
            _ => {}
        }
    }

    pub(super) fn lane_in(&mut self, peer: &Peer, lane: u16, wire: Wire, rest: Vec<u8>) {
        let place = self.slot(peer.id).place;
        let shard = usize::from(lane) % self.shards.len();
        let lane_in = LaneIn { peer: place, node: peer.id, incarnation: peer.incarnation, lane, wire, rest };
        self.shards[shard].sender.send(ShardMessage::LaneIn(Box::new(lane_in)));
    }

    /// A route of an own shard, for its siblings.
    pub(super) fn own_route(&mut self, shard: usize, filter: Arc<str>, on: bool) {
        if self.shards.len() > 1 {
            let place = Place::shard(shard as u16);
            self.interest.change(if on {
                Change::Add { place, filter }
            } else {
                Change::Remove { place, filter }
            });
        }
    }

    /// A group of an own shard, for its siblings.
    pub(super) fn own_members(&mut self, shard: usize, key: Arc<str>, count: GroupCount) {
        if self.shards.len() > 1 {
            self.interest.change(Change::Members { place: Place::shard(shard as u16), key, count });
        }
    }

    pub(super) fn when_published(&mut self, shard: usize, ticket: Ticket) {
        self.to_publish.push((shard, ticket));
    }

    /// Makes changes visible. `false`: a shard is in the middle of a long turn; try again soon.
    pub(super) fn publish(&mut self) -> bool {
        if !self.interest.publish() {
            return false;
        }
        for (shard, ticket) in self.to_publish.drain(..) {
            self.shards[shard].sender.send(ShardMessage::RoutesIn(ticket));
        }
        true
    }

    pub(super) fn is_behind(&self) -> bool {
        self.interest.has_waiting()
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn take_wipe(&mut self) -> Option<Wipe> {
        self.wipe.take()
    }

    pub(super) fn take_api_asked(&mut self) -> Vec<(Asked, Vec<u8>)> {
        std::mem::take(&mut self.api_asked)
    }

    pub(super) fn serve_api(&self, asked: Asked, body: Vec<u8>) {
        if let Some(serve) = &self.serve {
            serve(asked, body);
        }
    }

    pub(super) fn await_command(&mut self, id: CommandId) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        self.commands.insert(id, tell);
        told
    }

    pub(super) fn await_answer(&mut self, request: RequestId) -> oneshot::Receiver<Result<Vec<u8>, Cause>> {
        let (tell, told) = oneshot::channel();
        self.answers.insert(request, tell);
        told
    }

    pub(super) fn release_records(&mut self) {
        self.guard = None;
    }

    pub(super) fn client_event(&self, event: ClientEvent) {
        if self.sys_wanted > 0
            && let Some(presence) = &self.presence
        {
            presence(event);
        }
    }

    /// Every route of the cluster: filter and the node that has it; `None` is this one.
    pub fn routes(&self) -> Vec<(String, Option<NodeName>)> {
        let mut all: Vec<(String, Option<NodeName>)> =
            self.own.filters().map(|filter| (filter.to_owned(), None)).collect();
        for slot in self.peers.values().filter(|slot| slot.lanes_wanted) {
            for table in [ROUTES, GROUPS] {
                let keys = slot.held.get(&table).into_iter().flatten();
                all.extend(keys.map(|key| (key.to_string(), slot.name.clone())));
            }
        }
        all.sort();
        all
    }

    /// Where this node keeps what outlives it.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// Where a copy of what a wipe takes goes.
    pub fn backup_dir(&self) -> PathBuf {
        self.data_dir.join("backup")
    }

    /// Copies the members' record, the retained messages and the records about access to the backup folder, then empties the store.
    pub(super) fn move_data_aside(&mut self) {
        self.release_records();
        if let Err(error) = self.back_up() {
            tracing::error!(%error, "the data of this node could not be copied aside before it goes");
        }
        self.retained.write().wipe();
        self.access.wipe();
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.forget_node(node);
        }
    }

    fn back_up(&self) -> std::io::Result<()> {
        let dir = self.backup_dir().join(Clock::epoch().0.to_string());
        std::fs::create_dir_all(&dir)?;
        let state = self.data_dir.join(STATE_FILE);
        if state.exists() {
            std::fs::copy(&state, dir.join(STATE_FILE))?;
        }
        let mut records = Vec::new();
        self.retained.read().scan(None, &mut |_, _, value| {
            if let Some(value) = value {
                records.extend_from_slice(&(value.len() as u32).to_be_bytes());
                records.extend_from_slice(value);
            }
            true
        });
        std::fs::write(dir.join("retained.messages"), records)?;
        write_whole(&dir.join("access.records"), &self.access.dump())
    }

    /// Counts the filters of the cluster that can match topics of `$SYS`: without any, nobody is told of clients.
    pub(super) fn count_sys(&mut self, filter: &str, change: i64) {
        if filter.starts_with("$SYS/") || filter.contains("/$SYS/") {
            self.sys_wanted += change;
        }
    }

    fn table_entry(&mut self, place: Place, table: TableId, key: Arc<str>, value: Option<&[u8]>) {
        match table {
            ROUTES => {
                self.interest.change(match value {
                    Some(_) => Change::Add { place, filter: key },
                    None => Change::Remove { place, filter: key },
                });
            }
            GROUPS => {
                let count = value.map(GroupCount::from_bytes).unwrap_or_default();
                self.interest.change(Change::Members { place, key, count });
            }
            EXCLUSIVE => {
                let Exclusives { claims, effects, .. } = &mut self.exclusive;
                claims.peer_entry(place, &key, value, effects);
            }
            CLIENTS => {
                let shard = &self.shards[home(&key, self.shards.len())];
                shard.sender.send(ShardMessage::Peer(match value.and_then(Stamp::decode) {
                    Some(stamp) => PeerChange::Claim { peer: place, client: key, stamp },
                    None => PeerChange::Release { peer: place, client: key },
                }));
            }
            _ => {}
        }
    }
}

/// Whether a table's keys are filters that messages are matched against.
fn has_routes(table: TableId) -> bool {
    table == ROUTES || table == GROUPS
}

/// The members' record, in the data directory.
pub const STATE_FILE: &str = "cluster.state";

impl Effects for NodeFx {
    fn dial(&mut self, dial: DialId, name: &NodeName) {
        let (bus, clock, sender) = (self.bus.clone(), self.clock.clone(), self.sender.clone());
        let local = self.local.clone();
        tokio::task::spawn_local(bus::dial_control(dial, name.clone(), bus, local, clock, sender));
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) {
        if let Some(words) = self.links.get(&link) {
            // A link that has ended says so by itself.
            let _ = words.send(LinkWord::Send(bytes.to_vec()));
        }
    }

    fn close(&mut self, link: LinkId) {
        if let Some(words) = self.links.remove(&link) {
            let _ = words.send(LinkWord::Close);
        }
    }

    fn persist(&mut self, state: &[u8]) {
        if let Err(error) = write_whole(&self.data_dir.join(STATE_FILE), state) {
            tracing::error!(%error, "the list of members could not be written to disk");
        }
    }

    fn wipe(&mut self, why: &Wipe) {
        self.wipe = Some(why.clone());
    }

    fn own(&mut self, table: TableId, after: Option<&[u8]>, visit: &mut VisitEntries<'_>) {
        if table == EXCLUSIVE {
            let after = after.map(|key| String::from_utf8_lossy(key).into_owned());
            return self.exclusive.claims.visit(after.as_deref(), visit);
        }
        self.own.visit(table, after, visit);
    }

    fn table_changed(&mut self, node: NodeId, table: TableId, key: &[u8], value: Option<&[u8]>) {
        let Ok(key) = std::str::from_utf8(key) else { return };
        let slot = self.slot(node);
        let place = slot.place;
        if let Some(stale) = slot.stale.get_mut(&table) {
            stale.remove(key);
        }
        let held = slot.held.entry(table).or_default();
        let known = if value.is_some() { held.get(key).cloned() } else { held.take(key) };
        let before = known.is_some();
        let key = known.unwrap_or_else(|| key.into());
        if value.is_some() && !before {
            held.insert(Arc::clone(&key));
        }
        if has_routes(table) {
            self.count_sys(&key, i64::from(value.is_some()) - i64::from(before));
        }
        self.table_entry(place, table, key, value);
    }

    fn table_reset(&mut self, node: NodeId, table: TableId) {
        let slot = self.slot(node);
        let held = slot.held.get(&table).cloned().unwrap_or_default();
        slot.stale.insert(table, held);
    }

    fn table_complete(&mut self, node: NodeId, table: TableId) {
        let slot = self.slot(node);
        let place = slot.place;
        let stale = slot.stale.remove(&table).unwrap_or_default();
        if let Some(held) = slot.held.get_mut(&table) {
            held.retain(|key| !stale.contains(key));
        }
        for key in stale {
            if has_routes(table) {
                self.count_sys(&key, -1);
            }
            self.table_entry(place, table, key, None);
        }
    }

    fn masked(&mut self, node: NodeId) {
        let place = self.slot(node).place;
        self.interest.change(Change::Mask { place });
        self.exclusive.claims.mask(place);
        to_all(&self.shards, || ShardMessage::Peer(PeerChange::Masked(place)));
    }

    fn interrupted(&mut self, node: NodeId) {
        let place = self.slot(node).place;
        to_all(&self.shards, || ShardMessage::Peer(PeerChange::Interrupted(place)));
    }

    fn unmasked(&mut self, node: NodeId, incarnation: Incarnation) {
        let place = self.slot(node).place;
        self.interest.change(Change::Unmask { place });
        let Exclusives { claims, effects, .. } = &mut self.exclusive;
        claims.unmask(place, effects);
        to_all(&self.shards, || ShardMessage::Peer(PeerChange::Unmasked(place, incarnation)));
    }

    fn records(&mut self, map: MapId) -> Option<&mut dyn Records> {
        if map == ACCESS {
            return Some(&mut self.access);
        }
        if map != RETAINED {
            return None;
        }
        let guard = self.guard.get_or_insert_with(|| RwLock::write_arc(&self.retained));
        Some(&mut **guard)
    }

    fn cast(&mut self, from: NodeId, kind: u16, body: &[u8]) {
        if kind == CAST_TELL
            && let Some(client) = broker::told_client(body)
        {
            let shard = home(client, self.shards.len());
            let from = self.slot(from).place;
            self.shards[shard].sender.send(ShardMessage::Told { from, bytes: body.to_vec() });
        }
    }

    fn asked(&mut self, asked: Asked, kind: u16, body: &[u8]) {
        match kind {
            ASK_SYNC => self.syncs.asked(asked, body),
            ASK_API => self.api_asked.push((asked, body.to_vec())),
            // A later version's question: whoever asks gets no answer in time, which is an answer.
            _ => {}
        }
    }

    fn answered(&mut self, request: RequestId, answer: Result<&[u8], Cause>) {
        if !self.syncs.answered(request, answer)
            && let Some(tell) = self.answers.remove(&request)
        {
            let _ = tell.send(answer.map(<[u8]>::to_vec));
        }
    }

    fn reply(&mut self, command: CommandId, outcome: Outcome) {
        if let Some(tell) = self.commands.remove(&command) {
            let _ = tell.send(outcome);
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Writes a file so that after a power cut either the old or the new content is there.
fn write_whole(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
