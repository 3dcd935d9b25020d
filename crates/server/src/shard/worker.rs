//! The loop of a shard thread: wait, read, decide, write.

mod arrivals;
mod greet;
mod output;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use broker::routes::Place;
use broker::{ConnId, Pressure, Shard, ShardConfig};
use cluster::Incarnation;
use mio::{Events, Interest, Poll, Token};
use mqtt::packet::{Packet, kind};
use mqtt::session::{Out, refuse};
use mqtt::{Now, Reason, Version};
use slab::Slab;

use super::conn::{Awaits, Check, Conn, Flushed, Newcomer, Phase};
use super::effects::{Fx, Traffic};
use super::flapping::{Flapping, FlappingPolicy};
use super::greeting::{self, Greeting};
use super::lanes::{Arrived, Lanes};
use super::pace::{Paced, Quota};
use super::{Adopted, PeerChange, ShardHandle, ShardMessage, Shared};
use crate::access::{Ban, Kind};
use crate::inbox::Inbox;
use crate::listen::Listening;
use crate::listener::Listener;
use crate::node::ControlMessage;
use crate::socket::Socket;

pub(super) const WAKE: Token = Token(usize::MAX);
const LISTENERS: usize = 1 << 48;
const LANES: usize = 1 << 49;
/// Bytes read from one connection in one turn.
const READ_BYTES: usize = 64 << 10;
/// Connections accepted from one listener in one turn.
const ACCEPTS: usize = 128;
/// How soon publishers that have to wait for a peer or for the disk are looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a connection rests whose message there is no memory for.
const CRAMMED_MS: u64 = 50;
/// How long a password may wait to be compared.
const CHECK_LIMIT_MS: u64 = 15_000;
/// How long a connection may take to take its last bytes.
const LINGER_MS: u64 = 2_000;
/// How often connections that say nothing are looked at.
const SWEEP_MS: u64 = 250;

/// One shard thread.
pub struct Worker {
    number: usize,
    poll: Poll,
    inbox: Inbox<ShardMessage>,
    messages: Vec<ShardMessage>,
    conns: Slab<Conn>,
    listeners: Slab<(Arc<Listener>, Listening, bool)>,
    shard: Shard,
    fx: Fx,
    shared: Arc<Shared>,
    scratch: Vec<u8>,
    /// Room for the frames of peers; empty between turns.
    arrived: Arrived,
    /// Connections whose CONNECT has come whole in this turn.
    greeted: Vec<u32>,
    /// The inbox has been emptied since those CONNECTs were read.
    inbox_is_fresh: bool,
    /// Listeners with more clients than one turn takes in.
    crowded: Vec<usize>,
    /// Connections that may have something to read.
    ready: Vec<u32>,
    /// Connections whose output is larger than what goes first, in the order in which it has become so.
    large: VecDeque<u32>,
    /// Connections that are not read for a while, and until when.
    resting: Vec<(Now, u32)>,
    swept_at: Now,
    /// Some connection may wait for its CONNECT, or for its end. Looked up anew at each sweep, as looking through all of
    /// them costs more than a turn.
    unsettled: bool,
    /// Connections that take no more output, and since when.
    stuck: BTreeMap<u32, Now>,
    flapping: Flapping,
    /// Passwords given to be compared.
    checks: u64,
    stopping: bool,
}

impl Worker {
    pub(super) fn new(
        number: usize,
        poll: Poll,
        inbox: Inbox<ShardMessage>,
        config: ShardConfig,
        shared: Arc<Shared>,
        siblings: Vec<ShardHandle>,
        incarnation: Incarnation,
    ) -> Worker {
        let lanes = Lanes::new(incarnation, LANES);
        let fx = Fx::new(shared.clone(), siblings, Place::shard(number as u16), lanes);
        Worker {
            number,
            poll,
            inbox,
            messages: Vec::new(),
            conns: Slab::new(),
            listeners: Slab::new(),
            shard: Shard::new(config),
            fx,
            shared,
            scratch: vec![0; READ_BYTES],
            arrived: Arrived::default(),
            greeted: Vec::new(),
            inbox_is_fresh: false,
            crowded: Vec::new(),
            ready: Vec::new(),
            large: VecDeque::new(),
            resting: Vec::new(),
            swept_at: Now(0),
            unsettled: false,
            stuck: BTreeMap::new(),
            flapping: Flapping::default(),
            checks: 0,
            stopping: false,
        }
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut go_on = false;
        while !self.stopping {
            let wait = if go_on { Some(Duration::ZERO) } else { self.patience() };
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(shard = self.number, %error, "a shard cannot wait for its sockets");
                return;
            }
            go_on = self.turn(&events);
        }
    }

    /// How long nothing need be done.
    fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(LOOK_AGAIN);
        }
        let now = self.shared.clock.now();
        let machine = self.shard.wake_at().map(|at| at.0);
        let lanes = self.fx.lanes.wake_at();
        let sweep = self.needs_sweep().then_some(self.swept_at.0 + SWEEP_MS);
        let notes = self.fx.hand_over_at().map(|at| at.0);
        let rested = self.resting.iter().map(|(until, _)| until.0).min();
        let at = [machine, lanes, sweep, notes, rested].into_iter().flatten().min()?;
        // One millisecond more than is left, as the clock of the machine has no finer steps.
        Some(Duration::from_millis(at.saturating_sub(now.0) + u64::from(at > now.0)))
    }

    fn needs_sweep(&self) -> bool {
        self.unsettled || !self.stuck.is_empty() || self.listeners.iter().any(|(_, l)| l.2)
    }

    /// One turn: everything that has come, then everything that has to go out. `true`: there is more.
    fn turn(&mut self, events: &Events) -> bool {
        let now = self.shared.clock.now();
        self.fx.epoch = super::Clock::epoch();
        self.fx.interest = Some(self.shared.interest.load_full());
        self.take_messages(now);
        for listener in std::mem::take(&mut self.crowded) {
            self.accept(listener, now);
        }
        self.take_events(events, now);
        self.end_rests(now);
        let mut more = self.read_lanes(now);
        if self.fx.may_read() {
            more |= self.read_ready(now);
        }
        while !self.greeted.is_empty() {
            let greeted = std::mem::take(&mut self.greeted);
            self.take_messages(now);
            self.inbox_is_fresh = true;
            for at in greeted {
                self.process_partial(at, now);
            }
            self.inbox_is_fresh = false;
        }
        if self.shard.wake_at().is_some_and(|at| at <= now) {
            self.shard.expire(now, &mut self.fx);
        }
        if now.since(self.swept_at) >= SWEEP_MS {
            self.sweep(now);
        }
        self.fx.hand_frames();
        self.flush(now);
        self.fx.hand_over(now);
        self.fx.interest = None;
        more || !self.large.is_empty()
            || !self.crowded.is_empty()
            || (!self.ready.is_empty() && self.fx.may_read())
    }

    fn take_messages(&mut self, now: Now) {
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            self.take(message, now);
        }
        self.messages = messages;
    }

    fn take(&mut self, message: ShardMessage, now: Now) {
        match message {
            ShardMessage::Listen(listener, socket) => self.listen(listener, socket),
            ShardMessage::Adopt(adopted) => self.adopt(*adopted, now),
            ShardMessage::Forwards { from, frames } => self.take_frames(from, &frames),
            ShardMessage::LaneOut { peer, made } => {
                let now = self.cluster_now(now);
                self.fx.lanes.connected_out(peer, *made, self.poll.registry(), now);
            }
            ShardMessage::LaneIn(lane) => {
                let (peer, mut frames) = (lane.peer, Vec::new());
                let at = self.cluster_now(now);
                self.fx.lanes.connected_in(*lane, self.poll.registry(), at, &mut frames);
                self.take_frames(peer, &frames);
            }
            ShardMessage::AskAlive { peer } => self.fx.lanes.ask(peer),
            ShardMessage::Peer(change) => self.peer_change(change, now),
            ShardMessage::Told { from, bytes } => self.shard.told(from, &bytes, now, &mut self.fx),
            ShardMessage::RoutesIn(ticket) => {
                if !self.fx.release(ticket) {
                    self.shard.routes_in(ticket, now, &mut self.fx);
                }
            }
            ShardMessage::Exclusive { ticket, granted } => {
                self.shard.exclusive_answered(ticket, &granted, now, &mut self.fx);
            }
            ShardMessage::ExclusiveEnded { ticket, filter } => {
                self.shard.exclusive_ended(ticket, &filter, &mut self.fx);
            }
            ShardMessage::Stored(ticket, reason) => {
                self.shard.retained_stored(ticket, reason, now, &mut self.fx);
            }
            ShardMessage::Do(job) => job(self),
            ShardMessage::Stop => self.stopping = true,
        }
    }

    fn peer_change(&mut self, change: PeerChange, now: Now) {
        let (shard, fx) = (&mut self.shard, &mut self.fx);
        match change {
            PeerChange::Claim { peer, client, stamp } => shard.peer_claim(peer, &client, stamp, now, fx),
            PeerChange::Release { peer, client } => shard.peer_release(peer, &client, now, fx),
            PeerChange::Masked(peer) => shard.peer_masked(peer, now, fx),
            PeerChange::Interrupted(peer) => shard.peer_interrupted(peer, fx),
            PeerChange::Unmasked(peer, incarnation) => {
                fx.lanes.serves(peer, incarnation);
                shard.peer_unmasked(peer, now, fx);
            }
            PeerChange::Forgotten(peer) => {
                shard.peer_forgotten(peer, now, fx);
                fx.lanes.end(peer);
            }
        }
    }

    /// Frames of another place; the own siblings that want those of a peer get them too.
    fn take_frames(&mut self, from: Place, frames: &[u8]) {
        let mut rest = frames;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let Some((frame, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize) else {
                return;
            };
            self.shard.forwarded(from, frame, &mut self.fx);
            rest = after;
        }
    }

    fn take_events(&mut self, events: &Events, now: Now) {
        for event in events {
            match event.token().0 {
                token if token == WAKE.0 => {}
                token if token >= LANES => {
                    self.fx.lanes.ready(token, event.is_readable(), event.is_writable());
                }
                token if token >= LISTENERS => self.accept(token - LISTENERS, now),
                token => {
                    let Some(conn) = self.conns.get_mut(token) else { continue };
                    if event.is_writable() && conn.blocked {
                        conn.blocked = false;
                        self.stuck.remove(&(token as u32));
                        self.fx.dirty_again(token as u32);
                    }
                    // The end may come with the last bytes, and no event says it again.
                    conn.hung_up |= event.is_read_closed();
                    if (event.is_readable() || event.is_read_closed() || event.is_error()) && !conn.ready {
                        conn.ready = true;
                        self.ready.push(token as u32);
                    }
                }
            }
        }
    }

    fn read_lanes(&mut self, now: Now) -> bool {
        let (mut lost, mut alive) = (Vec::new(), Vec::new());
        let at = self.cluster_now(now);
        let mut arrived = std::mem::take(&mut self.arrived);
        let more = self.fx.lanes.read(at, &mut arrived, &mut lost, &mut alive);
        self.fx.notes.extend(alive.into_iter().map(|peer| super::Note::Alive { peer }));
        for (peer, frames) in arrived.runs() {
            self.take_frames(peer, frames);
        }
        arrived.clear();
        self.arrived = arrived;
        self.lanes_lost(lost);
        more
    }

    fn lanes_lost(&mut self, lost: Vec<Place>) {
        self.fx.notes.extend(lost.into_iter().map(|peer| super::Note::LaneLost { peer }));
    }

    fn cluster_now(&self, now: Now) -> cluster::Now {
        cluster::Now::new(now.0, self.fx.epoch.0)
    }

    /// Nothing is read from a connection for a while.
    fn rest(&mut self, at: u32, until: Now) {
        if self.conns.contains(at as usize) {
            self.fx.output(ConnId(at)).rests_until = until;
            self.resting.push((until, at));
        }
    }

    /// Connections that have rested long enough are read again.
    fn end_rests(&mut self, now: Now) {
        let (conns, ready) = (&mut self.conns, &mut self.ready);
        self.resting.retain(|(until, at)| {
            if *until > now {
                return true;
            }
            // Another connection may have the number by now: it is read once for nothing.
            if let Some(conn) = conns.get_mut(*at as usize)
                && !std::mem::replace(&mut conn.ready, true)
            {
                ready.push(*at);
            }
            false
        });
    }

    /// The clients for which most is kept, with the bytes.
    pub fn greediest(&self, count: usize) -> Vec<(Arc<str>, usize)> {
        self.shard.greediest(count, |conn| self.fx.outs[conn.0 as usize].out.len())
    }

    /// Reads from the connections that may have something.
    fn read_ready(&mut self, now: Now) -> bool {
        let ready = std::mem::take(&mut self.ready);
        for at in &ready {
            self.read(*at, now);
        }
        // What is still ready has been put into the new list.
        let mut ready = ready;
        ready.clear();
        if self.ready.is_empty() {
            self.ready = ready;
        }
        !self.ready.is_empty()
    }

    fn read(&mut self, at: u32, now: Now) {
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        if self.fx.output(ConnId(at)).paused || conn.newcomer().is_some_and(|newcomer| newcomer.is_checked())
        {
            // The machine, or whoever compares passwords, says when it goes on.
            conn.ready = false;
            conn.held = true;
            return;
        }
        if self.fx.output(ConnId(at)).rests_until > now {
            conn.ready = false;
            return;
        }
        if std::mem::take(&mut conn.held) {
            self.process_partial(at, now);
        }
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        if conn.newcomer().is_some_and(|newcomer| newcomer.awaits == Awaits::Announcement)
            && !self.announced(at, now)
        {
            return;
        }
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = conn.stream.read(&mut scratch);
        conn.heard(now);
        match outcome {
            Ok(0) => {
                conn.ready = false;
                self.lost(at, now);
            }
            Ok(count) => {
                let more = count == scratch.len() || conn.hung_up || conn.stream.may_hold_more();
                conn.ready = more;
                if more {
                    self.ready.push(at);
                }
                self.fx.traffic.bytes_received += count as u64;
                self.took(at, &scratch[..count], now);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => conn.ready = false,
            Err(_) => {
                conn.ready = false;
                match conn.newcomer().map(|newcomer| newcomer.awaits.wrong()) {
                    Some(cause) => self.remove(at, cause),
                    None => self.lost(at, now),
                }
            }
        }
        self.scratch = scratch;
    }

    /// Bytes have been read: whole packets are dealt with where they lie, the rest is kept.
    fn took(&mut self, at: u32, bytes: &[u8], now: Now) {
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        if let Phase::Closing { bytes_left, .. } = &mut conn.phase {
            *bytes_left = bytes_left.saturating_sub(bytes.len() as u32);
            if *bytes_left == 0 {
                self.remove(at, "closing");
            }
            return;
        }
        if !conn.partial.is_empty() {
            conn.keep(bytes);
            self.process_partial(at, now);
            return;
        }
        let used = self.process(at, bytes, now);
        if let Some(conn) = self.conns.get_mut(at as usize)
            && used < bytes.len()
            && !conn.is_closing()
        {
            conn.partial = bytes[used..].to_vec();
        }
    }

    fn process_partial(&mut self, at: u32, now: Now) {
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        let partial = std::mem::take(&mut conn.partial);
        let used = self.process(at, &partial, now);
        if let Some(conn) = self.conns.get_mut(at as usize)
            && used < partial.len()
            && !conn.is_closing()
        {
            conn.partial = if used == 0 { partial } else { partial[used..].to_vec() };
        }
    }

    /// Deals with the whole packets in `bytes`; says how many bytes they were.
    fn process(&mut self, at: u32, bytes: &[u8], now: Now) -> usize {
        let conn_id = ConnId(at);
        let mut used = 0;
        loop {
            let Some(conn) = self.conns.get_mut(at as usize) else { return bytes.len() };
            match &conn.phase {
                Phase::Closing { .. } => return bytes.len(),
                Phase::Greeting(newcomer) if newcomer.is_checked() => return used,
                Phase::Greeting(_) => match self.greet(at, &bytes[used..], now) {
                    Some(count) => used += count,
                    None => return used,
                },
                Phase::Open => {
                    let output = self.fx.output(conn_id);
                    if output.ended.is_some() {
                        return bytes.len();
                    }
                    if output.paused || output.rests_until > now {
                        conn.held = true;
                        return used;
                    }
                    let limit = conn.listener.zone.packet_bytes_max as usize;
                    let frame = match greeting::next(&bytes[used..], limit) {
                        Ok(Some(frame)) => frame,
                        Ok(None) => return used,
                        Err(reason) => {
                            self.shard.malformed(conn_id, reason, now, &mut self.fx);
                            return bytes.len();
                        }
                    };
                    let refuses =
                        conn.version != Version::V5 && frame.kind == kind::PUBLISH && frame.flags & 6 != 0;
                    if refuses && self.shared.memory.pressure() >= Pressure::Refuse {
                        conn.held = true;
                        self.fx.traffic.paused += 1;
                        self.rest(at, now.plus(CRAMMED_MS));
                        return used;
                    }
                    let is_message = frame.kind == kind::PUBLISH;
                    let rests = conn.paced.as_mut().and_then(|p| p.packet(is_message, frame.length, now));
                    match Packet::decode_from_client(conn.version, &frame) {
                        Ok(packet) => self.shard.packet(conn_id, packet, now, &mut self.fx),
                        Err(reason) => self.shard.malformed(conn_id, reason, now, &mut self.fx),
                    }
                    if let Some(until) = rests {
                        self.rest(at, until);
                    }
                    used += frame.length;
                }
            }
        }
    }

    /// The client has ended the stream, or it broke.
    fn lost(&mut self, at: u32, now: Now) {
        self.give_up(at, "tcp_closed", now);
    }

    /// The connection ends without another word.
    fn give_up(&mut self, at: u32, cause: &'static str, now: Now) {
        let Some(conn) = self.conns.get(at as usize) else { return };
        if conn.is_open() {
            self.shard.closed(ConnId(at), now, &mut self.fx);
        }
        self.remove(at, cause);
    }

    fn remove(&mut self, at: u32, cause: &'static str) {
        if let Some(conn) = self.conns.try_remove(at as usize) {
            self.stuck.remove(&at);
            let output = self.fx.output(ConnId(at));
            let cause = output.ended.map_or(cause, |ended| ended.word());
            output.out = Out::default();
            conn.listener.release(cause);
        }
    }

    /// Ends connections that say nothing before their CONNECT or after their end, and those that take nothing.
    fn sweep(&mut self, now: Now) {
        self.swept_at = now;
        if std::mem::take(&mut self.unsettled) {
            self.end_late(now);
        }
        let conns = &self.conns;
        let deaf = self.stuck.iter().filter(|(at, since)| {
            let limit = conns.get(**at as usize).and_then(|conn| conn.listener.send_limit);
            limit.is_some_and(|limit| u128::from(now.since(**since)) >= limit.as_millis())
        });
        let deaf: Vec<u32> = deaf.map(|(at, _)| *at).collect();
        for at in deaf {
            self.give_up(at, "send_timeout", now);
        }
        let paused: Vec<usize> = self.listeners.iter().filter(|(_, l)| l.2).map(|(at, _)| at).collect();
        for at in paused {
            self.accept(at, now);
        }
    }

    fn end_late(&mut self, now: Now) {
        let late: Vec<(u32, &'static str)> = self
            .conns
            .iter()
            .filter_map(|(at, conn)| match &conn.phase {
                Phase::Greeting(newcomer) if now >= newcomer.give_up_at => {
                    Some((at as u32, newcomer.awaits.late()))
                }
                Phase::Closing { give_up_at, .. } if now >= *give_up_at => Some((at as u32, "closed")),
                _ => None,
            })
            .collect();
        for (at, cause) in late {
            self.remove(at, cause);
        }
        self.unsettled = self.conns.iter().any(|(_, conn)| !conn.is_open());
    }

    /// The machine, and its driver's effects, for whoever was sent here to ask or to change something.
    pub fn machine(&mut self) -> (&mut Shard, &mut Fx, Now) {
        (&mut self.shard, &mut self.fx, self.shared.clock.now())
    }

    /// Connections whose last bytes are not with the kernel, clients' and peers'.
    pub fn unfinished(&self) -> usize {
        let open = self.conns.iter().filter(|(at, conn)| {
            let output = &self.fx.outs[*at];
            (conn.is_closing() || output.ended.is_some()) && !output.out.is_empty()
        });
        open.count() + self.fx.lanes.unfinished()
    }

    /// What went through the sockets.
    pub fn traffic(&self) -> Traffic {
        self.fx.traffic
    }
}
