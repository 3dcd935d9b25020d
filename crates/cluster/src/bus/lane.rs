//! A lane: frames in order, both ways, over one connection after another. Used by the control lanes and,
//! in the shards, by the data lanes; it knows nothing of what the frames mean.
//!
//! A frame is a length (u32, big endian, of what follows), a kind (one byte) and a body. Frames of kind
//! [`KIND_MIN`] and above are numbered by counting: when a connection begins each side says how many frames
//! of the other it has taken ([`RESUME`]), then each says with which number it goes on ([`START`]).
//! What was taken is acknowledged with a count ([`ACK`]); what was not is kept, and sent again on the next
//! connection. So while both ends live, a broken connection loses and doubles nothing that fits the limit.
//!
//! The frames to send are one buffer: `[acknowledged later … | not yet written …]`. The acknowledgement of the
//! other direction has a place of its own and goes between two frames; while it waits it is brought up to
//! date, so that whoever sends and never reads makes nothing grow. Nothing is allocated per frame.

use std::cmp::Ordering;

use crate::id::Incarnation;
use crate::now::Now;
use crate::wire::Reader;

/// The first kind that the users of a lane may give their frames.
pub const KIND_MIN: u8 = 16;
const ACK: u8 = 0;
const RESUME: u8 = 1;
const START: u8 = 2;

const HEADER: usize = 5;
/// Room of a frame that came in pieces, kept for the next one.
const PARTIAL_ROOM_MAX: usize = 256 * 1024;
/// So many bytes taken without an acknowledgement make one due at once.
const ACK_AFTER_BYTES: usize = 32 * 1024;
/// So many milliseconds after a frame was taken its acknowledgement is due.
const ACK_AFTER: u64 = 20;

/// The limits of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept for sending, acknowledged ones not counted. More is refused by [`Lane::push`].
    pub buffer_bytes_max: usize,
    /// No frame (kind and body) may be longer, in either direction.
    pub frame_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { buffer_bytes_max: 8 * 1024 * 1024, frame_bytes_max: 16 * 1024 * 1024 }
    }
}

/// What the other side did wrong: the connection must be closed; a new one resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneError {
    /// A frame longer than the limit.
    FrameTooLong,
    /// A frame of the lane itself that makes no sense here.
    Malformed,
}

/// The lane has no room for the frame: nothing was taken, it was counted in [`Stats::refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What a new connection of a lane found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The other end is not the one we spoke with before: nothing of what was said still counts.
    pub fresh: bool,
    /// Own frames that were given up because the other end is new.
    pub lost: u64,
}

/// Where received frames go.
pub trait Sink {
    /// A numbered frame, in order, once.
    fn frame(&mut self, kind: u8, body: &[u8]);
    /// The connection is ready in this direction; comes before its frames.
    fn resumed(&mut self, resumed: Resumed) {
        let _ = resumed;
    }
}

/// Counters since the lane was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Frames taken from the owner.
    pub pushed: u64,
    /// Frames that found no room.
    pub refused: u64,
    /// Frames given up because the other end was gone for good.
    pub lost: u64,
    /// Frames of the other end that never came.
    pub missed: u64,
    /// Frames handed to the owner.
    pub received: u64,
    /// Connections so far.
    pub connections: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    /// The other side's [`RESUME`] is to come; frames wait.
    Greeting,
    Up,
}

/// One end of a lane. It outlives its connections.
#[derive(Debug)]
pub struct Lane {
    limits: Limits,
    /// Names this end: another value makes the other side forget what it knew.
    epoch: u64,
    peer_epoch: Option<u64>,
    /// The run of the peer's process that the frames are for.
    peer_run: Incarnation,
    link: Link,
    /// What must be written before anything else on this connection.
    greeting: Vec<u8>,
    greeting_written: usize,
    /// Frames: before `start` nothing counts any more, before `written` all is with the socket.
    buffer: Vec<u8>,
    start: usize,
    written: usize,
    /// Where the frame begins that `written` lies in; the same where it lies between two.
    edge: usize,
    /// The acknowledgement that waits, or is being written.
    ack: Vec<u8>,
    ack_written: usize,
    /// The number of the first frame at or behind `start`.
    first: u64,
    /// The number that the next pushed frame gets.
    next: u64,
    /// Frames taken from the other side, and how many of them it has been told of.
    taken: u64,
    told: u64,
    taken_bytes: usize,
    ack_at: Option<u64>,
    /// The other side has said where it goes on, on this connection.
    started: bool,
    partial: Vec<u8>,
    stats: Stats,
}

impl Lane {
    /// A lane to one peer. The epoch must differ from that of any earlier end of this lane: the
    /// incarnation of the process will do where a lane lives as long as the process.
    pub fn new(epoch: u64, limits: Limits) -> Self {
        Self {
            limits,
            epoch,
            peer_epoch: None,
            peer_run: 0,
            link: Link::Down,
            greeting: Vec::new(),
            greeting_written: 0,
            buffer: Vec::new(),
            start: 0,
            written: 0,
            edge: 0,
            ack: Vec::new(),
            ack_written: 0,
            first: 0,
            next: 0,
            taken: 0,
            told: 0,
            taken_bytes: 0,
            ack_at: None,
            started: false,
            partial: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// A connection has been made and its handshake is over.
    pub fn connected(&mut self) {
        self.link = Link::Greeting;
        self.started = false;
        self.partial.clear();
        self.greeting.clear();
        self.greeting_written = 0;
        self.write_again();
        self.stats.connections += 1;
        let mut greeting = std::mem::take(&mut self.greeting);
        header(&mut greeting, RESUME, 24);
        greeting.extend_from_slice(&self.epoch.to_be_bytes());
        greeting.extend_from_slice(&self.peer_epoch.unwrap_or(0).to_be_bytes());
        greeting.extend_from_slice(&self.taken.to_be_bytes());
        self.greeting = greeting;
    }

    /// The peer is known to run for the run `run`. Where that is later than what the lane knew (`Greater`), nothing
    /// of what was said to the run before counts any more, a connection to it counts as gone and is to be closed, and what
    /// is pushed from now on is for the new one. Where it is earlier (`Less`), who says so speaks of a run that has ended.
    pub fn renew(&mut self, run: Incarnation) -> Ordering {
        let order = run.cmp(&self.peer_run);
        if order == Ordering::Greater {
            self.peer_run = run;
            self.disconnected();
            self.give_up();
            self.peer_epoch = None;
        }
        order
    }

    /// The connection is gone. Frames may still be pushed while there is room.
    pub fn disconnected(&mut self) {
        self.link = Link::Down;
        self.partial = Vec::new();
        self.write_again();
    }

    /// Whatever was on its way on the connection of before goes on the next one; what was taken it says anyhow.
    fn write_again(&mut self) {
        self.written = self.start;
        self.edge = self.start;
        self.ack.clear();
        self.ack_written = 0;
        self.ack_at = None;
    }

    /// Whether frames flow.
    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    /// Bytes of frames that are taken before [`Self::push`] says `Full`.
    pub fn room(&self) -> usize {
        self.limits.buffer_bytes_max.saturating_sub(self.backlog())
    }

    /// Bytes kept: not written, or written and not acknowledged.
    pub fn backlog(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// How many of the frames that were ever taken are done with: acknowledged by the other side, or
    /// given up. As many as [`Stats::pushed`] when nothing is on its way.
    pub fn done(&self) -> u64 {
        self.stats.pushed - (self.next - self.first)
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Takes a frame. A single one is taken into an empty lane however small the limit is.
    pub fn push(&mut self, kind: u8, body: &[u8]) -> Result<(), Full> {
        self.push_with(kind, body.len(), |out| out.extend_from_slice(body))
    }

    /// Takes a frame whose body of at most `length` bytes is written in place by `write`.
    pub fn push_with(
        &mut self,
        kind: u8,
        length: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Full> {
        debug_assert!(kind >= KIND_MIN, "lower kinds are the lane's own");
        let fits = self.backlog() == 0 || HEADER + length <= self.room();
        if !fits || length >= self.limits.frame_bytes_max {
            self.stats.refused += 1;
            return Err(Full);
        }
        self.compact();
        let at = self.buffer.len();
        header(&mut self.buffer, kind, 0);
        write(&mut self.buffer);
        let written = u32::try_from(self.buffer.len() - at - 4).unwrap_or(u32::MAX);
        debug_assert!(written as usize <= length + 1, "the body is as long as was said");
        self.buffer[at..at + 4].copy_from_slice(&written.to_be_bytes());
        self.next += 1;
        self.stats.pushed += 1;
        Ok(())
    }

    /// Bytes for the socket, in order. Tell with [`Self::wrote`] how many it took, before anything else is done with
    /// the lane, then ask again.
    pub fn to_write(&self) -> &[u8] {
        match self.link {
            Link::Down => &[],
            _ if self.greeting_written < self.greeting.len() => &self.greeting[self.greeting_written..],
            Link::Greeting => &[],
            Link::Up if self.acknowledges() => &self.ack[self.ack_written..],
            Link::Up if !self.ack.is_empty() => &self.buffer[self.written..self.end_of(self.edge)],
            Link::Up => &self.buffer[self.written..],
        }
    }

    /// Whether the acknowledgement is what is written now: there is one, and no frame is half written.
    fn acknowledges(&self) -> bool {
        !self.ack.is_empty() && self.written == self.edge
    }

    /// Where the frame ends that begins there.
    fn end_of(&self, at: usize) -> usize {
        Reader(&self.buffer[at..]).u32().map_or(self.buffer.len(), |length| at + 4 + length as usize)
    }

    /// Bytes of a frame that has not come whole.
    pub fn unfinished(&self) -> usize {
        self.partial.len()
    }

    /// The socket has taken so many of the bytes of [`Self::to_write`].
    pub fn wrote(&mut self, bytes: usize) {
        if self.greeting_written < self.greeting.len() {
            self.greeting_written += bytes;
            debug_assert!(self.greeting_written <= self.greeting.len());
            return;
        }
        if self.acknowledges() {
            self.ack_written += bytes;
            debug_assert!(self.ack_written <= self.ack.len());
            if self.ack_written == self.ack.len() {
                self.ack.clear();
                self.ack_written = 0;
                if self.ack_at.is_none() {
                    self.acknowledge();
                }
            }
            return;
        }
        self.written += bytes;
        debug_assert!(self.written <= self.buffer.len());
        if self.written == self.buffer.len() {
            // As a rule the socket takes all of it, and nothing need be looked at to know where the last frame ends.
            self.edge = self.written;
        }
        while self.edge < self.written {
            let end = self.end_of(self.edge);
            if end > self.written {
                break;
            }
            self.edge = end;
        }
    }

    /// Takes bytes from the socket and hands out the frames that are complete.
    ///
    /// # Errors
    /// The connection must be closed; [`Self::disconnected`] is still to be called.
    pub fn receive(&mut self, bytes: &[u8], now: Now, sink: &mut impl Sink) -> Result<(), LaneError> {
        let mut input = bytes;
        if !self.partial.is_empty() {
            input = self.complete_partial(input, now, sink)?;
        }
        while let Some(length) = self.frame_length(input)? {
            if input.len() < length {
                break;
            }
            let (frame, rest) = input.split_at(length);
            self.frame(frame, now, sink)?;
            input = rest;
        }
        self.partial.extend_from_slice(input);
        if self.taken_bytes >= ACK_AFTER_BYTES {
            self.acknowledge();
        }
        Ok(())
    }

    /// To be called when [`Self::wake_at`] has come: puts due acknowledgements among the bytes to write.
    pub fn expire(&mut self, now: Now) {
        if self.ack_at.is_some_and(|at| at <= now.at) {
            self.acknowledge();
        }
    }

    /// When [`Self::expire`] wants to be called, on the clock of [`Now::at`].
    pub fn wake_at(&self) -> Option<u64> {
        self.ack_at
    }

    /// Says what was taken, now.
    pub fn acknowledge(&mut self) {
        self.ack_at = None;
        if self.ack_written > 0 {
            // Half of the one before is on its way: `wrote` comes back to this one.
            return;
        }
        self.taken_bytes = 0;
        if self.link == Link::Up && self.told < self.taken {
            self.told = self.taken;
            self.ack.clear();
            header(&mut self.ack, ACK, 8);
            self.ack.extend_from_slice(&self.taken.to_be_bytes());
        }
    }

    /// Fills up a frame of which the beginning came earlier; yields what is left of the input.
    fn complete_partial<'a>(
        &mut self,
        mut input: &'a [u8],
        now: Now,
        sink: &mut impl Sink,
    ) -> Result<&'a [u8], LaneError> {
        while self.partial.len() < 4 {
            let Some((byte, rest)) = input.split_first() else { return Ok(input) };
            self.partial.push(*byte);
            input = rest;
        }
        let length = self.frame_length(&self.partial)?.expect("the length is complete");
        let missing = (length - self.partial.len()).min(input.len());
        self.partial.extend_from_slice(&input[..missing]);
        if self.partial.len() == length {
            let frame = std::mem::take(&mut self.partial);
            let result = self.frame(&frame, now, sink);
            if frame.capacity() <= PARTIAL_ROOM_MAX {
                self.partial = frame;
                self.partial.clear();
            }
            result?;
        }
        Ok(&input[missing..])
    }

    fn frame_length(&self, input: &[u8]) -> Result<Option<usize>, LaneError> {
        let Some(length) = Reader(input).u32() else { return Ok(None) };
        let length = length as usize;
        if length == 0 {
            return Err(LaneError::Malformed);
        }
        if length > self.limits.frame_bytes_max {
            return Err(LaneError::FrameTooLong);
        }
        Ok(Some(4 + length))
    }

    fn frame(&mut self, frame: &[u8], now: Now, sink: &mut impl Sink) -> Result<(), LaneError> {
        let (kind, body) = (frame[4], &frame[HEADER..]);
        match (kind, self.link) {
            (RESUME, Link::Greeting) => self.resume(body, sink),
            (START, Link::Up) if !self.started => self.start(body),
            (ACK, Link::Up) => {
                let count = Reader(body).u64().ok_or(LaneError::Malformed)?;
                if count > self.next {
                    return Err(LaneError::Malformed);
                }
                self.release(count);
                Ok(())
            }
            (KIND_MIN.., Link::Up) if self.started => {
                self.taken += 1;
                self.taken_bytes += frame.len();
                self.stats.received += 1;
                if self.ack_at.is_none() {
                    self.ack_at = Some(now.at + ACK_AFTER);
                }
                sink.frame(kind, body);
                Ok(())
            }
            // A kind of the lane's own that a later version knows: it is not counted, and skipped.
            (START..KIND_MIN, Link::Up) if kind != START => Ok(()),
            _ => Err(LaneError::Malformed),
        }
    }

    fn resume(&mut self, body: &[u8], sink: &mut impl Sink) -> Result<(), LaneError> {
        let mut reader = Reader(body);
        let (Some(epoch), Some(known), Some(taken)) = (reader.u64(), reader.u64(), reader.u64()) else {
            return Err(LaneError::Malformed);
        };
        let mut resumed = Resumed { fresh: self.peer_epoch != Some(epoch), lost: 0 };
        if resumed.fresh {
            if self.peer_epoch.is_some() {
                resumed.lost = self.give_up();
            }
            self.peer_epoch = Some(epoch);
            self.taken = 0;
            self.told = 0;
        }
        // The count is worth something only if it speaks of this end.
        if known == self.epoch {
            if taken > self.next {
                return Err(LaneError::Malformed);
            }
            self.edge = self.buffer.len();
            self.release(taken);
        }
        self.written = self.start;
        self.edge = self.start;
        self.link = Link::Up;
        let first = self.first;
        header(&mut self.greeting, START, 8);
        self.greeting.extend_from_slice(&first.to_be_bytes());
        sink.resumed(resumed);
        Ok(())
    }

    /// Lets go of all frames, for there is nobody any more to take them. Returns how many.
    fn give_up(&mut self) -> u64 {
        let lost = self.next - self.first;
        self.stats.lost += lost;
        self.buffer.clear();
        self.start = 0;
        self.written = 0;
        self.edge = 0;
        self.first = self.next;
        lost
    }

    fn start(&mut self, body: &[u8]) -> Result<(), LaneError> {
        let first = Reader(body).u64().ok_or(LaneError::Malformed)?;
        // A new end begins behind what its predecessor gave up; an old one never goes back.
        if first < self.taken {
            return Err(LaneError::Malformed);
        }
        self.stats.missed += first - self.taken;
        self.taken = first;
        self.told = first;
        self.started = true;
        Ok(())
    }

    /// Lets go of written frames with numbers below `count`.
    fn release(&mut self, count: u64) {
        while self.start < self.edge && self.first < count {
            self.start = self.end_of(self.start);
            self.first += 1;
        }
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            self.written = 0;
            self.edge = 0;
        }
    }

    /// Moves the kept bytes to the front when at least as many before them are dead: each byte is
    /// moved at most once for each byte that was sent.
    fn compact(&mut self) {
        if self.start > 64 * 1024 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.written -= self.start;
            self.edge -= self.start;
            self.start = 0;
        }
    }
}

fn header(out: &mut Vec<u8>, kind: u8, length: u32) {
    out.extend_from_slice(&(length + 1).to_be_bytes());
    out.push(kind);
}

#[cfg(test)]
#[path = "lane/tests.rs"]
mod tests;
