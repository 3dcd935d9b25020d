//! What stands around one shard: its sockets, its data lanes, and the notes that it writes to control
//! and its siblings. Here is the driver's side of [`broker::Effects`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use broker::routes::{GroupCount, Interest, Place};
use broker::{Cause, ConnId, Effects, Event, Extent, Stamp, Ticket, Wait, Wish};
use cluster::bus::lane::{KIND_MIN, Lane, Limits, Sink};
use cluster::{Incarnation, NodeId, Now};
use mqtt::session::Out;
use mqtt::{Epoch, Message, Version};

use crate::control::{Control, RETAINED};

/// The kind of a forwarded message on a data lane.
pub const FORWARD: u8 = KIND_MIN;
/// What a data lane holds back.
pub const LANE_LIMITS: Limits = Limits { buffer_bytes_max: 4 << 20, frame_bytes_max: 16 << 20 };

/// Bytes that a trace shows in short.
pub struct Words(pub Vec<u8>);

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let client = broker::told_client(&self.0).unwrap_or_default();
        let kind = self.0.get(3 + client.len() + 8).copied().unwrap_or_default();
        let word = ["?", "ask", "whole", "settled", "late"].get(usize::from(kind)).unwrap_or(&"?");
        write!(f, "{client} {word}, {} bytes", self.0.len())
    }
}

/// What a shard tells control, in order.
#[derive(Debug)]
pub enum Note {
    Route { filter: String, on: bool },
    Members { key: String, count: GroupCount },
    Claim { client: String, stamp: Option<Stamp> },
    Tell { peer: Place, bytes: Words },
    Routes { extent: Extent, ticket: Ticket },
    AskExclusive { client: Arc<str>, filters: Vec<Arc<str>>, ticket: Ticket },
    GiveBack { filter: String, ticket: Ticket },
}

/// The node's end of a client's connection, once its CONNECT has come.
pub struct Socket {
    pub attempt: u64,
    pub version: Version,
    /// What was received and not yet handed to the shard.
    pub input: Vec<u8>,
    pub out: Out,
    pub paused: bool,
    pub ended: bool,
}

/// The own lane to a peer.
pub struct LaneOut {
    pub peer: NodeId,
    pub lane: Lane,
    pub link: Option<u64>,
    pub dialling: bool,
    pub retry_at: u64,
}

impl LaneOut {
    /// The peer is in that run of its process.
    pub fn renew(&mut self, run: Incarnation) {
        if self.lane.renew(run) == Ordering::Greater {
            self.link = None;
        }
    }
}

/// A peer's lane that ends here.
pub struct LaneIn {
    pub incarnation: Incarnation,
    pub lane: Lane,
    pub link: Option<u64>,
}

/// Frames of a lane, for after its turn.
#[derive(Default)]
pub struct Frames(pub Vec<Vec<u8>>);

impl Sink for Frames {
    fn frame(&mut self, kind: u8, body: &[u8]) {
        if kind == FORWARD {
            self.0.push(body.to_vec());
        }
    }
}

/// What belongs to one shard besides its machine.
pub struct Desk {
    pub place: Place,
    /// By connection; numbers are used again.
    pub sockets: Vec<Option<Socket>>,
    /// By the peer's slot.
    pub lanes_out: BTreeMap<u16, LaneOut>,
    /// By the peer and the number of its shard.
    pub lanes_in: BTreeMap<(NodeId, u16), LaneIn>,
    pub notes: Vec<Note>,
    /// Frames for siblings.
    pub siblings: Vec<(u16, Vec<u8>)>,
    /// Tickets of retained messages that are on their way to disk.
    pub storing: Vec<Ticket>,
    /// Forwarded frames that a full lane did not take.
    pub refused: u64,
}

impl Desk {
    pub fn new(place: Place) -> Self {
        Self {
            place,
            sockets: Vec::new(),
            lanes_out: BTreeMap::new(),
            lanes_in: BTreeMap::new(),
            notes: Vec::new(),
            siblings: Vec::new(),
            storing: Vec::new(),
            refused: 0,
        }
    }

    /// A place for a new connection: the first free number.
    pub fn seat(&mut self, socket: Socket) -> ConnId {
        let at = self.sockets.iter().position(Option::is_none).unwrap_or(self.sockets.len());
        if at == self.sockets.len() {
            self.sockets.push(None);
        }
        self.sockets[at] = Some(socket);
        ConnId(at as u32)
    }

    /// The connection of that attempt.
    pub fn conn_of(&self, attempt: u64) -> Option<ConnId> {
        let at = self.sockets.iter().position(|s| s.as_ref().is_some_and(|s| s.attempt == attempt))?;
        Some(ConnId(at as u32))
    }

    fn socket(&mut self, conn: ConnId) -> &mut Socket {
        let socket = self.sockets.get_mut(conn.0 as usize).and_then(Option::as_mut);
        socket.expect("a shard speaks of connections that it was given and that have not ended")
    }
}

/// The driver of a shard for one turn.
pub struct Fx<'a> {
    pub now: Now,
    pub desk: &'a mut Desk,
    pub control: &'a mut Control,
    pub node: &'a mut cluster::Node,
}

impl Effects for Fx<'_> {
    fn epoch(&self) -> Epoch {
        Epoch(self.now.unix)
    }

    fn interest(&self) -> &Interest {
        &self.control.interest
    }

    fn out(&mut self, conn: ConnId) -> &mut Out {
        &mut self.desk.socket(conn).out
    }

    fn close(&mut self, conn: ConnId, _: Cause) {
        let socket = self.desk.socket(conn);
        assert!(!socket.ended, "a connection is closed once");
        socket.ended = true;
    }

    fn pause(&mut self, conn: ConnId) {
        self.desk.socket(conn).paused = true;
    }

    fn resume(&mut self, conn: ConnId) {
        self.desk.socket(conn).paused = false;
    }

    fn forward(&mut self, place: Place, frame: &[u8]) {
        if !place.is_peer() {
            assert!(place != self.desk.place, "a shard does not forward to itself");
            return self.desk.siblings.push((place.number(), frame.to_vec()));
        }
        let lane = self.desk.lanes_out.get_mut(&place.number());
        if lane.is_none_or(|lane| lane.lane.push(FORWARD, frame).is_err()) {
            self.desk.refused += 1;
        }
    }

    fn wish(&mut self, wish: Wish<'_>) {
        self.desk.notes.push(match wish {
            Wish::On(filter) => Note::Route { filter: filter.to_string(), on: true },
            Wish::Off(filter) => Note::Route { filter: filter.to_string(), on: false },
            Wish::Members(key, count) => Note::Members { key: key.to_owned(), count },
        });
    }

    fn routes(&mut self, extent: Extent, ticket: Ticket) -> Wait {
        self.desk.notes.push(Note::Routes { extent, ticket });
        Wait::Later
    }

    fn claim(&mut self, client: &Arc<str>, stamp: Option<Stamp>) {
        self.desk.notes.push(Note::Claim { client: client.to_string(), stamp });
    }

    fn ask_exclusive(&mut self, client: &Arc<str>, filters: &[Arc<str>], ticket: Ticket) {
        let (client, filters) = (Arc::clone(client), filters.to_vec());
        self.desk.notes.push(Note::AskExclusive { client, filters, ticket });
    }

    fn give_back(&mut self, filter: &str, ticket: Ticket) {
        self.desk.notes.push(Note::GiveBack { filter: filter.to_owned(), ticket });
    }

    fn stamp(&mut self) -> Stamp {
        self.control.clock.tick(self.node.identity().id, None, self.now)
    }

    fn tell(&mut self, peer: Place, client: &str, bytes: &[u8]) {
        assert_eq!(broker::told_client(bytes), Some(client), "the bytes name the client");
        self.desk.notes.push(Note::Tell { peer, bytes: Words(bytes.to_vec()) });
    }

    fn retain(&mut self, message: &Message, ticket: Ticket) -> Wait {
        let view = message.view();
        let value = (!view.payload.is_empty()).then_some(message.as_bytes());
        self.node.write(RETAINED, view.topic.as_bytes(), value, self.now, self.control);
        self.desk.storing.push(ticket);
        Wait::Later
    }

    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>) {
        self.control.shelf.retained.matches(filter, after, limit, self.now.unix, into);
    }

    fn event(&mut self, _: Event<'_>) {}
}
