//! What the machine of a shard asks for, in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use broker::retained::Retained;
use broker::routes::{Change, Interest, Place};
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
    place: Place,
    has_sibling: bool,
    /// What the other shards of the node have to know, and who waits until they do.
    pub(super) wishes: Vec<Change>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) node: Rc<RefCell<Node>>,
}

/// What the shards of a node share.
pub(super) struct Node {
    pub(super) retained: Retained,
    pub(super) now: u64,
    pub(super) stamps: u64,
}

impl Driver {
    pub(super) fn new(shard: usize, shards: usize, node: Rc<RefCell<Node>>) -> Driver {
        Driver {
            interest: Interest::new(5),
            outs: BTreeMap::new(),
            closed: Vec::new(),
            frames: Vec::new(),
            told: Vec::new(),
            place: Place::shard(shard as u16),
            has_sibling: shards > 1,
            wishes: Vec::new(),
            tickets: Vec::new(),
            node,
        }
    }
}

impl Effects for Driver {
    fn epoch(&self) -> Epoch {
        Epoch(self.node.borrow().now)
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
    fn wish(&mut self, wish: Wish<'_>) {
        let place = self.place;
        self.wishes.push(match wish {
            Wish::On(filter) => Change::Add { place, filter: filter.clone() },
            Wish::Off(filter) => Change::Remove { place, filter: filter.clone() },
            Wish::Members(key, count) => Change::Members { place, key: key.into(), count },
        });
    }
    fn routes(&mut self, _: Extent, ticket: Ticket) -> Wait {
        if !self.has_sibling {
            return Wait::Over;
        }
        self.tickets.push(ticket);
        Wait::Later
    }
    fn claim(&mut self, _: &Arc<str>, _: Option<Stamp>) {}
    fn ask_exclusive(&mut self, _: &Arc<str>, _: &[Arc<str>], _: Ticket) {
        unreachable!("the zone has no exclusive subscriptions");
    }
    fn give_back(&mut self, _: &str, _: Ticket) {}
    fn stamp(&mut self) -> Stamp {
        let mut node = self.node.borrow_mut();
        node.stamps += 1;
        Stamp { time: (node.now << 16) + node.stamps, node: 1 }
    }
    fn tell(&mut self, peer: Place, _: &str, bytes: &[u8]) {
        self.told.push((peer, bytes.to_vec()));
    }
    fn retain(&mut self, message: &Message, _: Ticket) -> Wait {
        let stamp = self.stamp();
        self.node.borrow_mut().retained.put(message, stamp);
        Wait::Over
    }
    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>) {
        let node = self.node.borrow();
        node.retained.matches(filter, after, limit, node.now, into);
    }
    fn event(&mut self, _: Event<'_>) {}
}
