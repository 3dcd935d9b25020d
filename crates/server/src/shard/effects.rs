//! What a shard asks for, collected during a turn and carried out at its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker::routes::{Interest, Place};
use broker::{Cause, ConnId, Effects, Event, Extent, Pressure, Stamp, Ticket, Wait, Wish};
use mqtt::session::Out;
use mqtt::{Epoch, Message, Now};

use super::lanes::Lanes;
use super::pace::Quota;
use super::{ClientEvent, Clock, Note, ShardHandle, ShardMessage, Shared};

/// Bytes that a sibling may have waiting; more is dropped and counted.
const SIBLING_BYTES_MAX: usize = 64 << 20;
/// The most room that a batch for a sibling gets before it needs it.
const BATCH_ROOM_MAX: usize = 256 << 10;
/// Bytes of records that may wait for the disk.
const DISK_BYTES_MAX: usize = 64 << 20;

/// Buffers that are kept for outputs to come, and the largest of them.
const SPARES_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 64 << 10;

/// Marks tickets of holds; the machine counts its own from 1.
const HOLD: u64 = 1 << 63;
/// Their numbers go round.
const HOLDS_MAX: u32 = (1 << 31) - 1;

/// How long claims of client ids and news of clients may wait for more of their kind, in milliseconds; and
/// how many of them.
const NOTES_WAIT_MS: u64 = 2;
const NOTES_MAX: usize = 1024;

/// Bytes and frames that went through a shard's sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Frames to peers.
    pub forwarded: u64,
    /// Frames that a full or absent lane, or a sibling that does not keep up, did not take.
    pub dropped: u64,
    /// Connections refused because the node was short of memory, or had too many passwords to compare.
    pub turned_away: u64,
    /// How often a connection before 5.0 was not read for a while because the node was short of memory.
    pub paused: u64,
}

/// The driver's side of [`Effects`].
pub struct Fx {
    pub(super) shared: Arc<Shared>,
    pub(super) siblings: Vec<ShardHandle>,
    pub(super) place: Place,
    pub(super) epoch: Epoch,
    /// The snapshot of this turn; between turns there is none, so that its writer need not wait.
    pub(super) interest: Option<Arc<Interest>>,
    /// By connection.
    pub(super) outs: Vec<Output>,
    /// Connections whose output may have grown.
    pub(super) dirty: Vec<u32>,
    /// Buffers that outputs may use.
    spare: Vec<Vec<u8>>,
    pub(super) lanes: Lanes,
    /// Frames for siblings, by shard.
    batches: Vec<Batch>,
    pub(super) notes: Vec<Note>,
    handed_over_at: Now,
    holds: u32,
    pub(super) traffic: Traffic,
}

/// What a turn has for one sibling.
#[derive(Default)]
struct Batch {
    /// Each frame behind its length.
    frames: Vec<u8>,
    /// How long the last batch was: the next one gets that room at once, as its buffer goes with it.
    expected: usize,
}

/// The output of one connection.
#[derive(Default)]
pub struct Output {
    pub(super) out: Out,
    pub(super) dirty: bool,
    /// Set when the shard has ended the connection.
    pub(super) ended: Option<Cause>,
    /// The shard wants no packets now.
    pub(super) paused: bool,
    /// Nothing is read from it before: it sent too fast, or more than there is memory for.
    pub(super) rests_until: Now,
    /// Nothing is sent until the hold of this number has been answered; 0: there is none.
    pub(super) hold: u32,
    /// Messages that it may have passed on, where that has limits.
    pub(super) quota: Option<Box<Quota>>,
}

impl Fx {
    pub(super) fn new(shared: Arc<Shared>, siblings: Vec<ShardHandle>, place: Place, lanes: Lanes) -> Fx {
        let batches = siblings.iter().map(|_| Batch::default()).collect();
        Fx {
            shared,
            siblings,
            place,
            epoch: Clock::epoch(),
            interest: None,
            outs: Vec::new(),
            dirty: Vec::new(),
            spare: Vec::new(),
            lanes,
            batches,
            notes: Vec::new(),
            handed_over_at: Now(0),
            holds: 0,
            traffic: Traffic::default(),
        }
    }

    /// Makes room for a connection's output.
    pub(super) fn open(&mut self, conn: ConnId) {
        let at = conn.0 as usize;
        if self.outs.len() <= at {
            self.outs.resize_with(at + 1, Output::default);
        }
        self.outs[at] = Output::default();
    }

    pub(super) fn output(&mut self, conn: ConnId) -> &mut Output {
        &mut self.outs[conn.0 as usize]
    }

    /// Sends nothing to a connection until the peers know whose its client id is: a client that has its CONNACK
    /// finds its session from any node.
    pub(super) fn hold(&mut self, conn: ConnId) {
        if !self.shared.has_peers.load(Ordering::Relaxed) {
            return;
        }
        self.holds = self.holds % HOLDS_MAX + 1;
        let hold = self.holds;
        let ticket = Ticket(HOLD | u64::from(hold) << 32 | u64::from(conn.0));
        self.mark(conn).hold = hold;
        self.notes.push(Note::Routes { extent: Extent::Cluster, ticket });
    }

    /// The answer to a hold; `false`: the ticket is the machine's.
    pub(super) fn release(&mut self, ticket: Ticket) -> bool {
        if ticket.0 & HOLD == 0 {
            return false;
        }
        let conn = ConnId(ticket.0 as u32);
        let hold = (ticket.0 >> 32) as u32 & HOLDS_MAX;
        if self.outs.get(conn.0 as usize).is_some_and(|output| output.hold == hold) {
            self.mark(conn).hold = 0;
        }
        true
    }

    /// Whether clients are read: neither a peer nor the disk is too far behind.
    pub(super) fn may_read(&self) -> bool {
        self.lanes.have_room() && self.shared.disk.bytes_waiting() < DISK_BYTES_MAX
    }

    /// A connection that was blocked takes output again.
    pub(super) fn dirty_again(&mut self, at: u32) {
        self.mark(ConnId(at));
    }

    /// Ends a connection that the machine never knew.
    pub(super) fn refuse(&mut self, conn: ConnId, reason: mqtt::Reason) {
        self.mark(conn).ended = Some(Cause::Refused(reason));
    }

    fn mark(&mut self, conn: ConnId) -> &mut Output {
        let output = &mut self.outs[conn.0 as usize];
        if !output.dirty {
            output.dirty = true;
            self.dirty.push(conn.0);
            if output.out.is_empty()
                && let Some(buffer) = self.spare.pop()
            {
                output.out.lend(buffer);
            }
        }
        output
    }

    /// Takes a buffer back that an output has been written from.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) && self.spare.len() < SPARES_MAX {
            self.spare.push(buffer);
        }
    }

    /// When notes that can wait have waited long enough.
    pub(super) fn hand_over_at(&self) -> Option<Now> {
        (!self.notes.is_empty()).then(|| self.handed_over_at.plus(NOTES_WAIT_MS))
    }

    /// Hands siblings their frames. Before answers leave: who has one, and then subscribes at a sibling, does not get
    /// the message as a new one.
    pub(super) fn hand_frames(&mut self) {
        for (shard, batch) in self.batches.iter_mut().enumerate() {
            if !batch.frames.is_empty() {
                let frames = std::mem::take(&mut batch.frames);
                let bytes = frames.len();
                batch.expected = bytes.min(BATCH_ROOM_MAX);
                let message = ShardMessage::Forwards { from: self.place, frames };
                self.siblings[shard].sender.send_sized(message, bytes);
            }
        }
    }

    /// Hands siblings and control what is for them: one wake-up each.
    pub(super) fn hand_over(&mut self, now: Now) {
        self.hand_frames();
        if self.notes.is_empty() {
            return;
        }
        // The first goes at once; a storm of connects must not wake control once for each.
        let can_wait = self.notes.len() < NOTES_MAX
            && now.since(self.handed_over_at) < NOTES_WAIT_MS
            && self.notes.iter().all(|note| matches!(note, Note::Claim { .. } | Note::Client(_)));
        if !can_wait {
            self.handed_over_at = now;
            let notes = std::mem::take(&mut self.notes);
            let shard = usize::from(self.place.number());
            self.shared.control.send(crate::node::ControlMessage::Notes { shard, notes });
        }
    }
}

impl Effects for Fx {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn interest(&self) -> &Interest {
        self.interest.as_ref().expect("a shard's machine runs only inside a turn")
    }

    fn out(&mut self, conn: ConnId) -> &mut Out {
        &mut self.mark(conn).out
    }

    fn close(&mut self, conn: ConnId, cause: Cause) {
        self.mark(conn).ended = Some(cause);
    }

    fn pause(&mut self, conn: ConnId) {
        self.output(conn).paused = true;
    }

    fn resume(&mut self, conn: ConnId) {
        self.mark(conn).paused = false;
    }

    fn may_pass_on(&mut self, conn: ConnId) -> bool {
        let now = Now(self.epoch.0);
        self.output(conn).quota.as_mut().is_none_or(|quota| quota.take(now))
    }

    fn is_read(&self, conn: ConnId, now: Now) -> bool {
        let output = &self.outs[conn.0 as usize];
        output.rests_until <= now && !output.paused && self.may_read()
    }

    fn pressure(&self) -> Pressure {
        self.shared.memory.pressure()
    }

    fn forward(&mut self, place: Place, frame: &[u8]) {
        if place.is_peer() {
            self.traffic.forwarded += 1;
            if !self.lanes.push(place, frame) {
                self.traffic.dropped += 1;
            }
            return;
        }
        let shard = usize::from(place.number());
        if self.siblings[shard].sender.bytes_waiting() > SIBLING_BYTES_MAX {
            self.traffic.dropped += 1;
            return;
        }
        let Batch { frames, expected } = &mut self.batches[shard];
        if frames.is_empty() {
            frames.reserve(*expected);
        }
        frames.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        frames.extend_from_slice(frame);
    }

    fn wish(&mut self, wish: Wish<'_>) {
        self.notes.push(match wish {
            Wish::On(filter) => Note::Route { filter: Arc::clone(filter), on: true },
            Wish::Off(filter) => Note::Route { filter: Arc::clone(filter), on: false },
            Wish::Members(key, count) => Note::Members { key: key.into(), count },
        });
    }

    fn routes(&mut self, extent: Extent, ticket: Ticket) -> Wait {
        if extent == Extent::Node && self.shared.shards == 1 {
            return Wait::Over;
        }
        self.notes.push(Note::Routes { extent, ticket });
        Wait::Later
    }

    fn claim(&mut self, client: &Arc<str>, stamp: Option<Stamp>) {
        self.notes.push(Note::Claim { client: Arc::clone(client), stamp });
    }

    fn ask_exclusive(&mut self, client: &Arc<str>, filters: &[Arc<str>], ticket: Ticket) {
        self.notes.push(Note::AskExclusive { client: Arc::clone(client), filters: filters.to_vec(), ticket });
    }

    fn give_back(&mut self, filter: &str, ticket: Ticket) {
        self.notes.push(Note::GiveBack { filter: filter.into(), ticket });
    }

    fn stamp(&mut self) -> Stamp {
        self.shared.clock.stamp()
    }

    fn tell(&mut self, peer: Place, _client: &str, bytes: &[u8]) {
        self.notes.push(Note::Tell { peer, bytes: bytes.to_vec() });
    }

    fn retain(&mut self, message: &Message, ticket: Ticket) -> Wait {
        let stamp = self.shared.clock.stamp();
        let sender = self.siblings[usize::from(self.place.number())].sender.clone();
        let then = Box::new(move || sender.send(ShardMessage::Stored(ticket, mqtt::Reason::Success)));
        let topic = message.view().topic;
        match self.shared.retained.write().write(message, stamp, then) {
            Ok(()) => {
                self.notes.push(Note::Retained { topic: topic.into(), stamp });
                Wait::Later
            }
            Err(refused) => {
                tracing::warn!(topic, ?refused, "a message was not retained");
                Wait::Over
            }
        }
    }

    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>) {
        self.shared.retained.read().matches(filter, after, limit, self.epoch, into);
    }

    fn event(&mut self, event: Event<'_>) {
        let (client, cause) = match event {
            Event::Connected { client, .. } => (client, None),
            Event::Disconnected { client, cause } => (client, Some(cause)),
            Event::Ended { .. } => return,
            Event::Deprived { client, filter } => {
                tracing::warn!(
                    client,
                    filter,
                    "two clients had a filter for themselves, on two sides of a cut: this one's subscription ends, as it was the later"
                );
                return;
            }
        };
        self.notes.push(Note::Client(ClientEvent { client: client.into(), cause }));
    }
}
