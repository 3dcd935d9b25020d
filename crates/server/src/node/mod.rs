//! The control thread: it drives the `cluster::Node` machine, is the only writer of `Interest`, makes the
//! connections between nodes, and answers questions about the node. It knows clients only by name.

mod access;
mod bus;
mod effects;
mod exclusive;
mod probe;
mod sync;
mod tables;
pub mod wire;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::routes::Place;
use cluster::bus::handshake::Peer;
use cluster::{
    Cause, Command, CommandId, DialId, Event, LinkId, MapId, Node, NodeId, NodeName, Outcome, TableId,
};
use tokio::sync::{Notify, oneshot};

use crate::access::AccessStore;
use crate::alarms::{Alarm, Alarms};
use crate::inbox::{Inbox, Sender};
use crate::shard::{Clock, LaneOut, Note, ShardHandle, ShardMessage, Shared};
use crate::stream::Wire;
use crate::whole::AllOrNothing;

pub use access::recheck;
pub use bus::{BusSettings, accept};
pub use effects::{NodeFx, STATE_FILE};
pub use probe::Prober;

use sync::Waits;

/// filter → nothing.
pub const ROUTES: TableId = TableId(1);
/// `$share/group/filter` → members.
pub const GROUPS: TableId = TableId(2);
/// client id → stamp of the connection.
pub const CLIENTS: TableId = TableId(3);
/// filter → the client that has it for itself.
pub const EXCLUSIVE: TableId = TableId(4);
/// Retained messages: topic → message.
pub const RETAINED: MapId = MapId(1);
/// The banned, the users, the rights given by command: see [`crate::access`].
pub const ACCESS: MapId = MapId(2);

/// A one-way word: a session on the move.
const CAST_TELL: u16 = 1;
/// A request of the layer that answers operators; JSON.
const ASK_API: u16 = 2;

/// Something for the control thread.
pub enum ControlMessage {
    /// What a shard says, in order.
    Notes { shard: usize, notes: Vec<Note> },
    /// A control connection stands; `own` is who we were in its handshake.
    LinkUp { dial: Option<DialId>, own: NodeId, peer: Box<Peer>, wire: Box<Wire>, rest: Vec<u8> },
    /// A dial came to nothing.
    DialFailed { dial: DialId, cause: Cause },
    /// Bytes of a control connection.
    LinkBytes { link: LinkId, bytes: Vec<u8> },
    /// A control connection is gone.
    LinkDown { link: LinkId },
    /// A peer's data lane has a connection.
    LaneIn { own: NodeId, peer: Box<Peer>, lane: u16, wire: Box<Wire>, rest: Vec<u8> },
    /// Our data lane to a peer has one; or none could be made.
    LaneOut { node: NodeId, shard: usize, made: Option<Box<LaneOut>> },
    /// Anything else, done in a turn of its own.
    Do(Box<dyn FnOnce(&mut Control) + Send>),
}

/// The handle by which everybody else asks the control thread.
#[derive(Clone)]
pub struct ControlHandle {
    pub sender: Sender<ControlMessage>,
}

impl ControlHandle {
    /// Runs `job` on the control thread and gives its result to whoever awaits it.
    pub fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Control) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        self.sender.send(ControlMessage::Do(Box::new(move |control| {
            // Whoever asked may have given up.
            let _ = tell.send(job(control));
        })));
        told
    }
}

/// What the control thread is made of.
pub struct Parts {
    pub setup: cluster::Setup,
    pub bus: BusSettings,
    pub shards: Vec<ShardHandle>,
    pub interest: crate::twin::Twin<broker::routes::Interest, broker::routes::Change>,
    pub shared: Arc<Shared>,
    pub access: AccessStore,
    /// The stamps of the records that were on disk.
    pub loaded: Vec<cluster::Stamp>,
    pub data_dir: PathBuf,
}

/// The control thread's state.
pub struct Control {
    node: Node,
    fx: NodeFx,
    command_serial: u64,
    started: Instant,
    members_changed: Arc<Notify>,
    alarms: Alarms,
}

impl Control {
    /// Brings the machine up on its data.
    pub fn new(parts: Parts) -> Result<Control, String> {
        let now = parts.shared.clock.cluster_now();
        let loaded = parts.loaded;
        let name = parts.setup.name.clone();
        let setup = parts.setup;
        let mut fx =
            NodeFx::new(parts.bus, parts.shards, parts.interest, &parts.shared, parts.access, parts.data_dir);
        let mut node = Node::new(setup, now, &mut fx).map_err(|error| refusal(&error, &name))?;
        for stamp in &loaded {
            node.loaded(*stamp);
        }
        fx.identity(&node.identity());
        Ok(Control {
            node,
            fx,
            command_serial: 0,
            started: Instant::now(),
            members_changed: Arc::default(),
            alarms: Alarms::default(),
        })
    }

    /// Who this node is.
    pub fn identity(&self) -> cluster::Identity {
        self.node.identity()
    }

    /// The loop. Ends when `stop` says so, after telling the peers.
    pub async fn run(
        mut self,
        inbox: Inbox<ControlMessage>,
        bell: Arc<Notify>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let _whole = AllOrNothing;
        let mut messages = Vec::new();
        loop {
            let wait = self.patience();
            tokio::select! {
                () = bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
                _ = &mut stop => break,
            }
            inbox.take(&mut messages);
            for message in messages.drain(..) {
                self.take(message);
            }
            self.settle();
        }
        let now = self.fx.clock.cluster_now();
        self.node.stop(now, &mut self.fx);
        // The last words are on their way to the link tasks; they end when they are written.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// How long nothing need be done.
    fn patience(&self) -> Duration {
        if self.fx.is_behind() {
            return Duration::from_millis(1);
        }
        let now = self.fx.clock.now().0;
        let at = self.node.wake_at().unwrap_or(u64::MAX);
        Duration::from_millis(at.saturating_sub(now).min(1_000))
    }

    fn take(&mut self, message: ControlMessage) {
        let now = self.fx.clock.cluster_now();
        match message {
            ControlMessage::Notes { shard, notes } => {
                for note in notes {
                    self.take_note(shard, note);
                }
            }
            ControlMessage::LinkUp { dial, own, peer, wire, rest } => {
                // A handshake that began before this node became another one is void.
                let link = if own == self.node.identity().id { self.fx.open_link(*wire) } else { None };
                let Some(link) = link else {
                    if let Some(dial) = dial {
                        self.node.dial_failed(dial, Cause::Closed, now, &mut self.fx);
                    }
                    return;
                };
                self.node.link_up(link, dial, &peer, now, &mut self.fx);
                if !rest.is_empty() {
                    self.node.receive(link, &rest, now, &mut self.fx);
                }
            }
            ControlMessage::DialFailed { dial, cause } => {
                self.node.dial_failed(dial, cause, now, &mut self.fx);
            }
            ControlMessage::LinkBytes { link, bytes } => {
                self.node.receive(link, &bytes, now, &mut self.fx);
            }
            ControlMessage::LinkDown { link } => {
                self.fx.forget_link(link);
                self.node.link_down(link, now, &mut self.fx);
            }
            ControlMessage::LaneIn { own, peer, lane, wire, rest } => {
                // Only members bring messages.
                if own == self.node.identity().id && self.node.member(peer.id).is_some() {
                    self.fx.lane_in(&peer, lane, *wire, rest);
                }
            }
            ControlMessage::LaneOut { node, shard, made } => {
                let running = self.node.member(node).is_some() && self.node.is_running(node);
                self.fx.lane_out(node, shard, made.map(|made| *made), running);
            }
            ControlMessage::Do(job) => {
                // What it does takes the lock of the records itself.
                self.fx.release_records();
                job(self);
            }
        }
    }

    fn take_note(&mut self, shard: usize, note: Note) {
        match note {
            Note::Route { filter, on } => {
                if let Some((was, is)) = self.fx.own.route(shard, &filter, on) {
                    self.fx.count_sys(&filter, if on { 1 } else { -1 });
                    self.node.changed(ROUTES, filter.as_bytes(), was, is);
                }
                self.fx.own_route(shard, filter, on);
            }
            Note::Members { key, count } => {
                let (was, is) = self.fx.own.members(shard, &key, count);
                self.fx.count_sys(&key, i64::from(is.is_some()) - i64::from(was.is_some()));
                self.node.changed(
                    GROUPS,
                    key.as_bytes(),
                    was.as_ref().map(|b| &b[..]),
                    is.as_ref().map(|b| &b[..]),
                );
                self.fx.own_members(shard, key, count);
            }
            Note::Claim { client, stamp } => {
                let (was, is) = self.fx.own.claim(Arc::clone(&client), stamp);
                if was != is {
                    let (was, is) = (was.map(|s| s.encode()), is.map(|s| s.encode()));
                    self.node.changed(
                        CLIENTS,
                        client.as_bytes(),
                        was.as_ref().map(|b| &b[..]),
                        is.as_ref().map(|b| &b[..]),
                    );
                }
            }
            Note::Tell { peer, bytes } => {
                if let Some(id) = self.fx.node_at(peer)
                    && let Err(cause) = self.node.cast(id, CAST_TELL, &bytes)
                {
                    tracing::debug!(%cause, "a word about a session did not reach its node");
                }
            }
            Note::Routes { extent: broker::Extent::Node, ticket } => self.fx.when_published(shard, ticket),
            Note::Routes { extent: broker::Extent::Cluster, ticket } => {
                self.sync_peers(Waits::Shard { shard, ticket });
            }
            Note::AskExclusive { client, filters, ticket } => {
                self.ask_exclusive(shard, &client, filters, ticket);
            }
            Note::GiveBack { filter, ticket } => self.give_back(shard, &filter, ticket),
            Note::Retained { topic, stamp } => {
                self.node.written(RETAINED, topic.as_bytes(), stamp, &mut self.fx);
            }
            Note::Alive { peer } => {
                if let Some(id) = self.fx.node_at(peer) {
                    let now = self.fx.clock.cluster_now();
                    self.node.heard(id, now);
                }
            }
            Note::LaneLost { peer } => self.redial_lane(shard, peer),
            Note::Client(event) => self.fx.client_event(event),
        }
    }

    fn redial_lane(&mut self, shard: usize, peer: Place) {
        if let Some(id) = self.fx.node_at(peer)
            && let Some(member) = self.node.member(id)
            && self.node.is_running(id)
        {
            let name = member.name.clone();
            self.fx.dial_lane(id, name, shard, Duration::from_millis(100));
        }
    }

    /// What the machine has left to be done once its turn is over.
    fn settle(&mut self) {
        let now = self.fx.clock.cluster_now();
        if self.node.wake_at().is_some_and(|at| at <= now.at) {
            self.node.expire(now, &mut self.fx);
        }
        for event in self.fx.take_events() {
            self.happened(event);
        }
        self.fx.tell_access();
        if let Some(why) = self.fx.take_wipe() {
            self.begin_wipe(why);
        }
        self.fx.release_records();
        self.end_syncs();
        self.settle_exclusive(now);
        if self.fx.publish() {
            self.answer_syncs();
        }
        for (asked, body) in self.fx.take_api_asked() {
            self.fx.serve_api(asked, body);
        }
    }

    fn happened(&mut self, event: Event) {
        if matches!(
            event,
            Event::Up { .. }
                | Event::Down { .. }
                | Event::Joined { .. }
                | Event::Left { .. }
                | Event::Identity
        ) {
            self.members_changed.notify_one();
        }
        match event {
            Event::Up { id, name, .. } => {
                tracing::info!(node = %name, "a member is here");
                self.fx.lanes_wanted(id, &name);
            }
            Event::Down { id, name, how } => {
                tracing::warn!(node = %name, ?how, "a member does not serve");
                self.fx.lanes_unwanted(id);
            }
            Event::Joined { id, name } => tracing::info!(node = %name, %id, "a node is a member now"),
            Event::Left { id, name, how, by_command } => {
                if by_command {
                    tracing::info!(node = %name, ?how, "a node is no member any more");
                } else {
                    tracing::warn!(node = %name, ?how, "a node is no member any more");
                }
                self.fx.forget_node(id);
            }
            Event::Quiet(id) => self.fx.ask_alive(id),
            Event::Identity => {
                let identity = self.node.identity();
                self.fx.identity(&identity);
            }
            Event::Partition(names) => {
                let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
                tracing::warn!(?names, "members are silent: the network may be cut");
                let first = names.into_iter().next().unwrap_or_default();
                let message = format!("Partition occurs at node {first}");
                self.alarms.activate("partition", serde_json::json!({ "occurred": first }), message);
            }
            Event::Healed { together: true } => self.alarms.deactivate("partition"),
            Event::Healed { together: false } => tracing::warn!(
                "the other side of the partition is reached again; cluster.autoheal is off: `emqx_ctl cluster heal` brings them together"
            ),
            Event::Unreachable { name, cause } => {
                tracing::info!(node = %name, %cause, "a member cannot be reached");
            }
            Event::Repair { node, table } => {
                tracing::warn!(%node, table = table.0, "a copy of a table differs and is fetched again");
            }
            Event::FurtherCookie(peer) => {
                tracing::info!(node = %peer.name, "a peer was accepted by a further cookie");
            }
        }
    }

    /// Ends all clients and sessions, moves the data aside; then the machine goes on.
    fn begin_wipe(&mut self, why: cluster::Wipe) {
        match &why {
            cluster::Wipe::Join(name) => tracing::warn!(node = %name, "all data of this node goes: it joins"),
            cluster::Wipe::Leave => tracing::warn!("all data of this node goes: it leaves"),
            cluster::Wipe::ForcedOut { by } => {
                tracing::warn!(%by, "this node was removed from its cluster; its data is moved aside");
            }
        }
        let shards = self.fx.shards.clone();
        let sender = self.fx.sender.clone();
        tokio::task::spawn_local(async move {
            for shard in &shards {
                let wiped = shard.ask(|worker| {
                    let (machine, fx, now) = worker.machine();
                    machine.wipe(now, fx);
                });
                let _ = wiped.await;
            }
            for shard in &shards {
                // What the wipe said is on its way here before this is answered.
                let _ = shard.ask(|_| ()).await;
            }
            sender.send(ControlMessage::Do(Box::new(Control::end_wipe)));
        });
    }

    fn end_wipe(&mut self) {
        self.clear_exclusive();
        self.fx.move_data_aside();
        let now = self.fx.clock.cluster_now();
        self.node.wiped(now, &mut self.fx);
    }

    /// Gives the machine a command; its outcome comes to whoever awaits it.
    pub fn command(&mut self, command: Command) -> oneshot::Receiver<Outcome> {
        self.command_serial += 1;
        let id = CommandId(self.command_serial);
        let told = self.fx.await_command(id);
        let now = self.fx.clock.cluster_now();
        self.node.command(id, command, now, &mut self.fx);
        told
    }

    /// Asks the layer that answers operators on another node.
    pub fn ask_node(
        &mut self,
        name: &NodeName,
        body: &[u8],
        limit: Duration,
    ) -> Option<oneshot::Receiver<Result<Vec<u8>, Cause>>> {
        let id = self.node.member_named(name).map(|m| m.id)?;
        let now = self.fx.clock.cluster_now();
        Some(match self.node.request(id, ASK_API, body, limit, now) {
            Ok(request) => self.fx.await_answer(request),
            Err(cause) => {
                let (tell, told) = oneshot::channel();
                let _ = tell.send(Err(cause));
                told
            }
        })
    }

    /// Answers another node.
    pub fn answer(&mut self, asked: cluster::Asked, body: &[u8]) {
        self.node.respond(asked, Ok(body));
    }

    /// Hands questions of other nodes to whoever answers operators.
    pub fn serve_with(&mut self, serve: effects::ServeApi) {
        self.fx.serve = Some(serve);
    }

    /// Tells whoever publishes them of alarms.
    pub fn on_alarm(&mut self, tell: Box<dyn Fn(Alarm)>) {
        self.alarms.listen(tell);
    }

    /// Tells whoever publishes it what becomes of clients.
    pub fn on_client(&mut self, tell: Box<dyn Fn(crate::shard::ClientEvent)>) {
        self.fx.presence = Some(tell);
    }

    /// Rung when the members are others, or one serves that did not, or the other way round.
    pub fn members_changed(&self) -> Arc<Notify> {
        self.members_changed.clone()
    }

    /// The machine, to look at.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The driver's tables, to look at.
    pub fn fx(&self) -> &NodeFx {
        &self.fx
    }

    /// How long this process has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Of the retained messages, deleted ones too.
    pub fn retained_digest(&self) -> cluster::Digest {
        cluster::Records::buckets(&*self.fx.retained.read()).digest()
    }

    /// Raises the alarm that memory is short, with the bytes used and the limit, or clears it.
    pub fn memory_is_short(&mut self, figures: Option<(u64, u64)>) {
        let Some((used, limit)) = figures else { return self.alarms.deactivate("high_memory_usage") };
        let details = serde_json::json!({ "used": used, "limit": limit });
        let message = format!("{used} of {limit} bytes of memory are used");
        self.alarms.activate("high_memory_usage", details, message);
    }

    /// Writes (or with `None` removes) a record about access, for the whole cluster.
    pub fn write_access(&mut self, key: &[u8], value: Option<&[u8]>) {
        let now = self.fx.clock.cluster_now();
        self.node.write(ACCESS, key, value, now, &mut self.fx);
    }

    /// Of the records about access, removed ones too.
    pub fn access_digest(&self) -> cluster::Digest {
        cluster::Records::buckets(&self.fx.access).digest()
    }

    /// Removes bans whose time is over.
    pub fn expire_bans(&mut self) {
        let over = self.fx.access.lists().read().bans_over(Clock::epoch().0 / 1_000);
        for key in over {
            self.write_access(&key, None);
        }
    }

    /// Deletes a retained message for the whole cluster. Whether there was one.
    pub fn delete_retained(&mut self, topic: &str) -> bool {
        let stamp = self.fx.clock.stamp();
        let found = self.fx.retained.write().delete(topic, stamp);
        if found {
            self.node.written(RETAINED, topic.as_bytes(), stamp, &mut self.fx);
            self.fx.release_records();
        }
        found
    }

    /// Deletes retained messages whose time is over.
    pub fn expire_retained(&mut self) {
        let expired = self.fx.retained.read().expired(Clock::epoch(), 10_000);
        for topic in expired {
            self.delete_retained(&topic);
        }
    }
}

fn refusal(error: &cluster::StartError, name: &NodeName) -> String {
    format!("{name} cannot start: {error}")
}

/// A place for the machine's replies.
pub(crate) type Waiting<K, T> = HashMap<K, oneshot::Sender<T>>;

/// Sends every shard a message of its own.
pub(crate) fn to_all(shards: &[ShardHandle], mut message: impl FnMut() -> ShardMessage) {
    for shard in shards {
        shard.sender.send(message());
    }
}

/// The listening socket between nodes.
pub fn listen(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    crate::listen::bind_alone(address)
}

/// What a node is called by every node where the order of group members has to be the same; not 0.
pub fn key_of(name: &str) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::with_seed(0).hash_one(name).max(1)
}
