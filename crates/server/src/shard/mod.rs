//! The shard threads: each runs an epoll loop over its clients' sockets and its data lanes, and drives
//! one `broker::Shard`. What comes from elsewhere comes through the inbox; what goes elsewhere leaves in
//! one batch per receiver and turn.

mod conn;
mod effects;
pub mod flapping;
mod greeting;
mod lanes;
pub mod pace;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use broker::routes::{Interest, Place};
use broker::{Extent, Stamp, Ticket};
use cluster::{Incarnation, NodeId};
use foldhash::fast::FixedState;
use mqtt::{Epoch, Now, Reason};
use parking_lot::RwLock;

use crate::access::Gate;
use crate::identity::Names;
use crate::inbox::{self, Sender};
use crate::listen::Listening;
use crate::listener::Listener;
use crate::node::ControlMessage;
use crate::persist::Disk;
use crate::pressure::Gauge;
use crate::retained::RetainedStore;
use crate::stream::{Stream, Wire};
use crate::twin::Reader;

pub use effects::Traffic;
pub use worker::Worker;

/// What all shards of a node share.
pub struct Shared {
    /// How many there are.
    pub shards: usize,
    /// Which other places want which filters.
    pub interest: Reader<Interest>,
    /// The node's retained messages.
    pub retained: Arc<RwLock<RetainedStore>>,
    /// Who may connect, publish and subscribe.
    pub gate: Arc<Gate>,
    /// The disk thread, whose queue publishers must not outrun.
    pub disk: Disk,
    /// How short of memory the node is.
    pub memory: Arc<Gauge>,
    /// The node's stamps.
    pub clock: Arc<Clock>,
    /// The control thread.
    pub control: Sender<ControlMessage>,
    /// Whether other members serve: what concerns them need not wait for nobody.
    pub has_peers: Arc<AtomicBool>,
}

/// The clocks of a node, and its stamps: later than all before, over all threads.
pub struct Clock {
    started: Instant,
    last: AtomicU64,
    node: AtomicU64,
}

impl Clock {
    /// A clock for the node of that identity.
    pub fn new(node: NodeId) -> Clock {
        let clock = Clock { started: Instant::now(), last: AtomicU64::new(0), node: AtomicU64::new(0) };
        clock.set_node(node);
        clock
    }

    /// The node has become another one.
    pub fn set_node(&self, node: NodeId) {
        let mut head = [0; 8];
        head.copy_from_slice(&node.0[..8]);
        self.node.store(u64::from_be_bytes(head), Ordering::Relaxed);
    }

    /// Milliseconds since the process began.
    pub fn now(&self) -> Now {
        // One millisecond ahead, so that no instant is zero, which some take for "never".
        Now(self.started.elapsed().as_millis() as u64 + 1)
    }

    /// The clock on the wall.
    pub fn epoch() -> Epoch {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Epoch(since.map_or(0, |d| d.as_millis() as u64))
    }

    /// Both, as `cluster` reads them.
    pub fn cluster_now(&self) -> cluster::Now {
        cluster::Now::new(self.now().0, Clock::epoch().0)
    }

    /// A stamp later than all that were made or observed. What lies below the millisecond begins where the
    /// clock on the wall stands within it, so that two nodes' stamps follow their clocks as far as those go.
    pub fn stamp(&self) -> Stamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let below = u64::from(since.subsec_nanos() % 1_000_000) * 65_536 / 1_000_000;
        let wall = (since.as_millis() as u64) << 16 | below;
        let before =
            self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(wall.max(last + 1)));
        let last = before.unwrap_or_default();
        Stamp { time: wall.max(last + 1), node: self.node.load(Ordering::Relaxed) }
    }

    /// Takes note of another node's stamp, unless its clock is wrong by more than a minute.
    pub fn observe(&self, stamp: Stamp, epoch: Epoch) {
        if stamp.unix_millis() <= epoch.0 + cluster::replica::SKEW_MAX {
            self.last.fetch_max(stamp.time, Ordering::Relaxed);
        }
    }
}

/// The home of a client id.
pub fn home(client: &str, shards: usize) -> usize {
    use std::hash::BuildHasher;
    (FixedState::with_seed(0).hash_one(client) % shards as u64) as usize
}

/// Something for a shard to do.
pub enum ShardMessage {
    /// Accept clients on this socket.
    Listen(Arc<Listener>, Listening),
    /// A connection whose home is this shard, with what has been read.
    Adopt(Box<Adopted>),
    /// Frames of a sibling: each a length (u32) and its bytes.
    Forwards { from: Place, frames: Vec<u8> },
    /// The own data lane to a peer has a connection.
    LaneOut { peer: Place, made: Box<LaneOut> },
    /// A peer's data lane has a connection.
    LaneIn(Box<LaneIn>),
    /// A peer's link is quiet: whether it lives is to be asked on the data lane, and told by [`Note::Alive`].
    AskAlive { peer: Place },
    /// A change of the peers' client ids.
    Peer(PeerChange),
    /// Words of a peer about a client id whose home is this shard.
    Told { from: Place, bytes: Vec<u8> },
    /// The answer to [`Note::Routes`].
    RoutesIn(Ticket),
    /// The answer to [`Note::AskExclusive`].
    Exclusive { ticket: Ticket, granted: Vec<bool> },
    /// A filter is not a client's alone any more.
    ExclusiveEnded { ticket: Ticket, filter: Arc<str> },
    /// The retained message is stored.
    Stored(Ticket, Reason),
    /// Anything else, done in a turn of its own.
    Do(Box<dyn FnOnce(&mut Worker) + Send>),
    /// End the thread.
    Stop,
}

/// A connection that moves.
pub struct Adopted {
    pub stream: Stream,
    pub listener: Arc<Listener>,
    pub peer: SocketAddr,
    /// What its certificate calls it.
    pub names: Option<Arc<Names>>,
    pub bytes: Vec<u8>,
}

/// A connection for the own data lane to a peer, and which run of the peer has answered.
pub struct LaneOut {
    pub incarnation: Incarnation,
    pub wire: Wire,
    pub rest: Vec<u8>,
}

/// A peer's data lane.
pub struct LaneIn {
    pub peer: Place,
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub lane: u16,
    pub wire: Wire,
    pub rest: Vec<u8>,
}

/// A change of what peers claim.
#[derive(Clone, Debug)]
pub enum PeerChange {
    Claim { peer: Place, client: Arc<str>, stamp: Stamp },
    Release { peer: Place, client: Arc<str> },
    Masked(Place),
    Interrupted(Place),
    Unmasked(Place, Incarnation),
    Forgotten(Place),
}

/// What a shard tells control, in order.
pub enum Note {
    /// The first session of this shard subscribes the filter, or the last one has gone.
    Route { filter: Arc<str>, on: bool },
    /// So many members of a shared group are here.
    Members { key: Arc<str>, count: broker::routes::GroupCount },
    /// This node has a client id, or gives it up.
    Claim { client: Arc<str>, stamp: Option<Stamp> },
    /// Words for the home shard of a client id at a peer.
    Tell { peer: Place, bytes: Vec<u8> },
    /// Answer by [`ShardMessage::RoutesIn`] when all notes before are in force.
    Routes { extent: Extent, ticket: Ticket },
    /// A client wants filters for itself.
    AskExclusive { client: Arc<str>, filters: Vec<Arc<str>>, ticket: Ticket },
    /// It does without one that it had.
    GiveBack { filter: Box<str>, ticket: Ticket },
    /// A retained message was written.
    Retained { topic: Box<str>, stamp: Stamp },
    /// The peer was asked, and lives.
    Alive { peer: Place },
    /// The own data lane to a peer has lost its connection.
    LaneLost { peer: Place },
    /// A client came or went, for `$SYS` and the log.
    Client(ClientEvent),
}

/// A client came or went.
pub struct ClientEvent {
    pub client: Box<str>,
    /// `None`: connected.
    pub cause: Option<broker::Cause>,
}

/// A shard as everybody else sees it.
#[derive(Clone)]
pub struct ShardHandle {
    pub sender: Sender<ShardMessage>,
}

impl ShardHandle {
    /// Runs `job` on the shard's thread and gives its result to whoever awaits it.
    pub fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> tokio::sync::oneshot::Receiver<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.sender.send(ShardMessage::Do(Box::new(move |worker| {
            // Whoever asked may have given up.
            let _ = tell.send(job(worker));
        })));
        told
    }
}

/// A shard before its thread runs: its siblings need its handle first.
pub struct Unstarted {
    poll: mio::Poll,
    inbox: inbox::Inbox<ShardMessage>,
    handle: ShardHandle,
}

/// Prepares a shard.
pub fn prepare() -> io::Result<Unstarted> {
    let poll = mio::Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), worker::WAKE)?;
    let (sender, inbox) = inbox::inbox(Box::new(waker));
    Ok(Unstarted { poll, inbox, handle: ShardHandle { sender } })
}

impl Unstarted {
    /// Where it will be reached.
    pub fn handle(&self) -> ShardHandle {
        self.handle.clone()
    }

    /// Starts the thread.
    pub fn start(
        self,
        number: usize,
        config: broker::ShardConfig,
        shared: Arc<Shared>,
        siblings: Vec<ShardHandle>,
        incarnation: Incarnation,
    ) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            let _whole = crate::whole::AllOrNothing;
            Worker::new(number, self.poll, self.inbox, config, shared, siblings, incarnation).run();
        })
    }
}
