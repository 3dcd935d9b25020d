//! What the machine of a shard asks for, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::retained::Retained;
use broker::routes::{Interest, Place};
use broker::{Cause, ConnId, Effects, Event, Extent, Stamp, Ticket, Wait, Wish};
use mqtt::session::Out;
use mqtt::{Epoch, Message};

pub struct Driver {
    pub interest: Interest,
    pub(super) outs: BTreeMap<ConnId, Out>,
    pub(super) closed: Vec<(ConnId, Cause)>,
    /// What went to other places: frames of messages, and what nodes say of a session.
    pub frames: Vec<(Place, Vec<u8>)>,
    pub told: Vec<(Place, Vec<u8>)>,
    pub(super) retained: Retained,
    pub(super) now: u64,
    pub(super) stamps: u64,
}

impl Effects for Driver {
    fn epoch(&self) -> Epoch {
        Epoch(self.now)
    }
    fn interest(&self) -> &Interest {
        &self.interest
    }
    fn out(&mut self, conn: ConnId) -> &mut Out {
        self.outs.entry(conn).or_default()
    }
    fn close(&mut self, conn: ConnId, cause: Cause) {
        assert!(!self.closed.iter().any(|(c, _)| *c == conn), "a connection is closed once");
        self.closed.push((conn, cause));
    }
    fn pause(&mut self, _: ConnId) {}
    fn resume(&mut self, _: ConnId) {}
    fn forward(&mut self, place: Place, frame: &[u8]) {
        self.frames.push((place, frame.to_vec()));
    }
    fn wish(&mut self, _: Wish<'_>) {}
    fn routes(&mut self, _: Extent, _: Ticket) -> Wait {
        Wait::Over
    }
    fn claim(&mut self, _: &Arc<str>, _: Option<Stamp>) {}
    fn ask_exclusive(&mut self, _: &Arc<str>, _: &[Arc<str>], _: Ticket) {
        unreachable!("the zone has no exclusive subscriptions");
    }
    fn give_back(&mut self, _: &str, _: Ticket) {}
    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp { time: (self.now << 16) + self.stamps, node: 1 }
    }
    fn tell(&mut self, peer: Place, _: &str, bytes: &[u8]) {
        self.told.push((peer, bytes.to_vec()));
    }
    fn retain(&mut self, message: &Message, _: Ticket) -> Wait {
        let stamp = self.stamp();
        self.retained.put(message, stamp);
        Wait::Over
    }
    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>) {
        self.retained.matches(filter, after, limit, self.now, into);
    }
    fn event(&mut self, _: Event<'_>) {}
}
