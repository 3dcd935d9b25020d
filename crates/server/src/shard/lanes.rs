//! The data lanes of a shard: one of its own to each peer, for what it forwards, and those of peers that
//! end here. A lane outlives its connections; control makes those.

use std::cmp::Ordering;
use std::io::{self, Read, Write};

use broker::routes::Place;
use cluster::bus::lane::{KIND_MIN, Lane, LaneError, Limits, Sink};
use cluster::{Incarnation, NodeId};
use mio::{Interest, Registry, Token};

use crate::stream::Wire;

/// The kind of a forwarded message on a data lane.
const FORWARD: u8 = KIND_MIN;
/// Asks for nothing but an acknowledgement, as a sign of life.
const ALIVE: u8 = KIND_MIN + 1;
/// What a lane holds back while its peer does not take it.
const LIMITS: Limits = Limits { buffer_bytes_max: 32 << 20, frame_bytes_max: 64 << 20 };
/// With less room than this in any lane that is up, publishers have to wait.
const ROOM_MIN: usize = 8 << 20;
/// Bytes read from a lane in one turn.
const READ_BYTES: usize = 256 << 10;
/// Room for frames that have been read, kept from turn to turn.
const ARRIVED_ROOM_MAX: usize = 1 << 20;
/// Lanes of one peer that end in this shard: it has one for each of its own shards.
const PEER_LANES_MAX: usize = 256;
/// Bytes of one peer's frames that have not come whole. With more than that only its lane that holds most of them is read.
const PEER_UNFINISHED_MAX: usize = 64 << 20;

/// One data lane and its connection.
struct DataLane {
    peer: Place,
    /// Of an incoming lane: whose it is.
    from: Option<(NodeId, Incarnation, u16)>,
    lane: Lane,
    wire: Option<Wire>,
    readable: bool,
    writable: bool,
    token: Token,
    /// Somebody wants to know whether the peer lives.
    is_asked: bool,
}

/// All data lanes of a shard.
pub struct Lanes {
    epoch: u64,
    lanes: slab::Slab<DataLane>,
    /// The own lane by peer slot.
    out: Vec<Option<usize>>,
    first_token: usize,
    buffer: Vec<u8>,
}

/// Frames of peers that a turn has read, to be dealt with once the lanes have had their turn.
#[derive(Default)]
pub struct Arrived {
    /// Each frame behind its length.
    bytes: Vec<u8>,
    /// Whose they are, and where those of each end.
    runs: Vec<(Place, usize)>,
}

impl Arrived {
    /// Of each peer in turn.
    pub fn runs(&self) -> impl Iterator<Item = (Place, &[u8])> {
        let mut start = 0;
        self.runs
            .iter()
            .map(move |(peer, end)| (*peer, &self.bytes[std::mem::replace(&mut start, *end)..*end]))
    }

    /// Forgets them; the room stays for the next ones, unless it is very large.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.bytes.clear();
        if self.bytes.capacity() > ARRIVED_ROOM_MAX {
            self.bytes = Vec::new();
        }
    }
}

/// Collects frames for after the lane's turn.
struct Frames<'a>(&'a mut Vec<u8>);

impl Sink for Frames<'_> {
    fn frame(&mut self, kind: u8, body: &[u8]) {
        // A kind of a later version is skipped.
        if kind == FORWARD {
            self.0.extend_from_slice(&(body.len() as u32).to_be_bytes());
            self.0.extend_from_slice(body);
        }
    }
}

impl Lanes {
    pub fn new(epoch: u64, first_token: usize) -> Lanes {
        Lanes { epoch, lanes: slab::Slab::new(), out: Vec::new(), first_token, buffer: Vec::new() }
    }

    /// Takes a frame for a peer; `false`: there is no lane, or no room in it.
    pub fn push(&mut self, peer: Place, frame: &[u8]) -> bool {
        let Some(lane) = self.own(peer) else { return false };
        self.lanes[lane].lane.push(FORWARD, frame).is_ok()
    }

    /// Lets the peer show that it lives: what is on its way already asks for an acknowledgement, else a frame does.
    pub fn ask(&mut self, peer: Place) {
        let Some(lane) = self.own(peer).map(|at| &mut self.lanes[at]).filter(|lane| lane.wire.is_some())
        else {
            return;
        };
        lane.is_asked = true;
        if lane.lane.backlog() == 0 {
            let _ = lane.lane.push(ALIVE, &[]);
        }
    }

    /// Whether publishers may go on.
    pub fn have_room(&self) -> bool {
        self.lanes.iter().all(|(_, l)| l.wire.is_none() || l.lane.room() >= ROOM_MIN)
    }

    /// The peer serves, in that run of it: what is forwarded from now on waits for a lane there.
    pub fn serves(&mut self, peer: Place, run: Incarnation) {
        let at = self.own_or_new(peer);
        self.lanes[at].renew(run);
    }

    fn own(&self, peer: Place) -> Option<usize> {
        self.out.get(usize::from(peer.number())).copied().flatten()
    }

    fn own_or_new(&mut self, peer: Place) -> usize {
        let slot = usize::from(peer.number());
        if self.out.len() <= slot {
            self.out.resize(slot + 1, None);
        }
        if let Some(at) = self.out[slot] {
            return at;
        }
        let at = self.insert(peer, None);
        self.out[slot] = Some(at);
        at
    }

    /// The own lane to a peer has a new connection.
    pub fn connected_out(
        &mut self,
        peer: Place,
        made: super::LaneOut,
        registry: &Registry,
        now: cluster::Now,
    ) {
        let at = self.own_or_new(peer);
        if self.lanes[at].renew(made.incarnation) {
            // Nothing but acknowledgements comes back on a lane of ours.
            self.attach(at, made.wire, &made.rest, registry, now, &mut Vec::new());
        }
    }

    /// A peer's lane has a new connection. Frames that came with it are appended to `frames`.
    pub fn connected_in(
        &mut self,
        lane_in: super::LaneIn,
        registry: &Registry,
        now: cluster::Now,
        frames: &mut Vec<u8>,
    ) {
        let super::LaneIn { peer, node, incarnation, lane, wire, rest } = lane_in;
        let known = self
            .lanes
            .iter()
            .find(|(_, l)| l.from.is_some_and(|(of, _, number)| of == node && number == lane));
        let known = known.map(|(at, l)| (at, l.from.is_some_and(|(_, of, _)| of == incarnation)));
        let at = match known {
            Some((at, true)) => at,
            Some((at, false)) => {
                self.lanes.remove(at);
                self.insert(peer, Some((node, incarnation, lane)))
            }
            None if self.lanes.iter().filter(|(_, l)| l.is_of(node)).count() >= PEER_LANES_MAX => {
                tracing::warn!(?peer, "a peer has more data lanes than any node has shards: one is closed");
                return;
            }
            None => self.insert(peer, Some((node, incarnation, lane))),
        };
        self.attach(at, wire, &rest, registry, now, frames);
    }

    fn insert(&mut self, peer: Place, from: Option<(NodeId, Incarnation, u16)>) -> usize {
        let entry = self.lanes.vacant_entry();
        let at = entry.key();
        let token = Token(self.first_token + at);
        entry.insert(DataLane {
            peer,
            from,
            lane: Lane::new(self.epoch, LIMITS),
            wire: None,
            readable: false,
            writable: false,
            token,
            is_asked: false,
        });
        at
    }

    fn attach(
        &mut self,
        at: usize,
        mut wire: Wire,
        rest: &[u8],
        registry: &Registry,
        now: cluster::Now,
        frames: &mut Vec<u8>,
    ) {
        let lane = &mut self.lanes[at];
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = registry.register(wire.socket(), lane.token, interest) {
            tracing::error!(%error, "a data lane cannot be polled");
            return;
        }
        lane.lane.disconnected();
        lane.lane.connected();
        (lane.readable, lane.writable) = (true, true);
        lane.wire = Some(wire);
        if let Err(why) = lane.lane.receive(rest, now, &mut Frames(frames)) {
            lane.wrong(why);
            lane.wire = None;
            lane.lane.disconnected();
        }
    }

    /// The peer is gone: its lanes and the own one to it end.
    pub fn end(&mut self, peer: Place) {
        self.lanes.retain(|_, lane| lane.peer != peer);
        if let Some(slot) = self.out.get_mut(usize::from(peer.number())) {
            *slot = None;
        }
    }

    /// A poll says something about a lane.
    pub fn ready(&mut self, token: usize, readable: bool, writable: bool) {
        if let Some(lane) = self.lanes.get_mut(token - self.first_token) {
            lane.readable |= readable;
            lane.writable |= writable;
        }
    }

    /// Reads from all lanes that have something.
    pub fn read(
        &mut self,
        now: cluster::Now,
        arrived: &mut Arrived,
        lost: &mut Vec<Place>,
        alive: &mut Vec<Place>,
    ) -> bool {
        let mut more = false;
        self.buffer.resize(READ_BYTES, 0);
        let waiting = self.waiting();
        for (at, lane) in &mut self.lanes {
            if waiting.contains(&at) {
                continue;
            }
            let Some(wire) = lane.wire.as_mut().filter(|_| lane.readable) else { continue };
            let before = arrived.bytes.len();
            let outcome = match wire.read(&mut self.buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    if std::mem::take(&mut lane.is_asked) {
                        alive.push(lane.peer);
                    }
                    lane.lane.receive(&self.buffer[..count], now, &mut Frames(&mut arrived.bytes)).map_err(
                        |why| {
                            lane.wrong(why);
                            io::ErrorKind::InvalidData.into()
                        },
                    )
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    lane.readable = false;
                    Ok(())
                }
                Err(e) => Err(e),
            };
            if arrived.bytes.len() > before {
                arrived.runs.push((lane.peer, arrived.bytes.len()));
            }
            more |= lane.readable;
            if outcome.is_err() {
                lane.lost(lost);
            }
        }
        more
    }

    /// Lanes that are not read because another one of the same peer has to finish a large frame first, so that a
    /// peer that begins many and finishes none has no more room than one frame.
    fn waiting(&self) -> Vec<usize> {
        let unfinished = |l: &DataLane| if l.from.is_some() { l.lane.unfinished() } else { 0 };
        if self.lanes.iter().map(|(_, l)| unfinished(l)).sum::<usize>() <= PEER_UNFINISHED_MAX {
            return Vec::new();
        }
        let of_peer =
            |peer: Place| self.lanes.iter().filter(move |(_, l)| l.peer == peer && l.from.is_some());
        let must_wait = |(at, lane): &(usize, &DataLane)| {
            let all: usize = of_peer(lane.peer).map(|(_, l)| unfinished(l)).sum();
            let first = of_peer(lane.peer).max_by_key(|(at, l)| (unfinished(l), *at)).map(|(at, _)| at);
            lane.from.is_some() && all > PEER_UNFINISHED_MAX && first != Some(*at)
        };
        self.lanes.iter().filter(must_wait).map(|(at, _)| at).collect()
    }

    /// Writes what the lanes hold, as far as their sockets take it.
    pub fn flush(&mut self, now: cluster::Now, lost: &mut Vec<Place>) {
        for (_, lane) in &mut self.lanes {
            if lane.wire.is_none() {
                continue;
            }
            lane.lane.expire(now);
            if lane.write().is_err() {
                lane.lost(lost);
            }
        }
    }

    /// Own lanes with a connection that hold frames which their peer has not taken.
    pub fn unfinished(&self) -> usize {
        self.lanes
            .iter()
            .filter(|(_, l)| l.from.is_none() && l.wire.is_some() && l.lane.backlog() > 0)
            .count()
    }

    /// When a lane wants to be flushed though nothing is to be said: an acknowledgement is due.
    pub fn wake_at(&self) -> Option<u64> {
        self.lanes.iter().filter(|(_, l)| l.wire.is_some()).filter_map(|(_, l)| l.lane.wake_at()).min()
    }
}

impl DataLane {
    /// The peer is in that run of its process. `false`: that has ended.
    fn renew(&mut self, run: Incarnation) -> bool {
        let order = self.lane.renew(run);
        if order == Ordering::Greater {
            self.wire = None;
        }
        order != Ordering::Less
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        while self.writable {
            let bytes = self.lane.to_write();
            if bytes.is_empty() {
                if wire.is_tls() && !wire.push()? {
                    self.writable = false;
                }
                break;
            }
            match wire.write(bytes) {
                Ok(count) => self.lane.wrote(count),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn is_of(&self, node: NodeId) -> bool {
        self.from.is_some_and(|(of, ..)| of == node)
    }

    /// The peer said what makes no sense: the connection ends, and a new one begins where the frames before it ended.
    fn wrong(&self, why: LaneError) {
        tracing::warn!(peer = ?self.peer, ?why, "a data lane is closed: its peer breaks the protocol");
    }

    fn lost(&mut self, lost: &mut Vec<Place>) {
        self.wire = None;
        self.lane.disconnected();
        if self.from.is_none() {
            lost.push(self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane of a peer that has begun a frame and sent so many bytes of it.
    fn begun(lanes: &mut Lanes, peer: u16, number: u16, bytes: usize) -> usize {
        let node = NodeId([peer as u8; 16]);
        let at = lanes.insert(Place::peer(peer), Some((node, 1, number)));
        let lane = &mut lanes.lanes[at].lane;
        lane.connected();
        let mut said = Vec::new();
        let mut frame = |kind: u8, body: &[u8]| {
            said.extend_from_slice(&(body.len() as u32 + 1).to_be_bytes());
            said.push(kind);
            said.extend_from_slice(body);
        };
        frame(1, &[7; 24]);
        frame(2, &[0; 8]);
        said.extend_from_slice(&(60u32 << 20).to_be_bytes());
        said.resize(said.len() + bytes - 4, FORWARD);
        lane.receive(&said, cluster::Now::new(0, 0), &mut Frames(&mut Vec::new())).expect("sound");
        assert_eq!(lane.unfinished(), bytes);
        at
    }

    #[test]
    fn a_peer_that_begins_many_large_frames_has_to_finish_one_first() {
        let mut lanes = Lanes::new(1, 0);
        let first = begun(&mut lanes, 0, 0, 40 << 20);
        let other = begun(&mut lanes, 1, 0, 1 << 20);
        assert!(lanes.waiting().is_empty(), "one is no more than it may be");
        let second = begun(&mut lanes, 0, 1, 30 << 20);
        let idle = begun(&mut lanes, 0, 2, 4);
        assert_eq!(lanes.waiting(), [second, idle]);
        lanes.lanes.remove(first);
        assert!(lanes.waiting().is_empty());
        assert!(lanes.lanes.contains(other));
    }
}
