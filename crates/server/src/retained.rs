//! The node's retained messages: the broker's store, with each write put on disk as well.

use broker::Stamp;
use broker::retained::{Limits, Refused, Retained};
use cluster::replica::{Buckets, Origin};
use cluster::{Records, VisitRecords};
use mqtt::{Epoch, Message};
use std::sync::Arc;
use store::{Space, Store, StoreError};

use crate::persist::{Change, Disk, Then, Write};
use crate::shard::Clock;

/// Retained messages in memory and on disk.
pub struct RetainedStore {
    retained: Retained,
    disk: Disk,
    space: Space,
    clock: Arc<Clock>,
}

impl RetainedStore {
    /// Opens what is on disk; `seen` is called with each stamp.
    pub fn open(
        store: &Store,
        disk: Disk,
        clock: Arc<Clock>,
        limits: Limits,
        mut seen: impl FnMut(Stamp),
    ) -> Result<RetainedStore, StoreError> {
        let space = store.space("retained")?;
        let mut retained = Retained::new(limits);
        for record in store.scan(&space) {
            let (key, value) = record?;
            let Some((stamp, body)) = value.split_at_checked(16) else { continue };
            let Some(stamp) = Stamp::decode(stamp) else { continue };
            let message = (!body.is_empty()).then_some(body);
            Records::apply(&mut retained, &key, stamp, message, Origin::Local);
            clock.observe(stamp, Clock::epoch());
            seen(stamp);
        }
        Ok(RetainedStore { retained, disk, space, clock })
    }

    /// A client's write. `then` is called when it is on disk.
    pub fn write(&mut self, message: &Message, stamp: Stamp, then: Then) -> Result<(), Refused> {
        let view = message.view();
        if !view.payload.is_empty() {
            self.retained.admits(&view)?;
        }
        if view.payload.is_empty() {
            self.retained.delete(view.topic, stamp);
            self.keep(deletion(view.topic, stamp), Some(then));
        } else {
            self.retained.put(message, stamp);
            self.keep(Change::Message { stamp, message: message.clone() }, Some(then));
        }
        Ok(())
    }

    /// Deletes a topic's message. Whether there was one.
    pub fn delete(&mut self, topic: &str, stamp: Stamp) -> bool {
        let found = self.retained.find(topic).is_some();
        if found {
            self.retained.delete(topic, stamp);
            self.keep(deletion(topic, stamp), None);
        }
        found
    }

    /// See [`Retained::matches`].
    pub fn matches(
        &self,
        filter: &str,
        after: Option<&str>,
        limit: usize,
        epoch: Epoch,
        into: &mut Vec<Message>,
    ) {
        self.retained.matches(filter, after, limit, epoch.0, into);
    }

    /// See [`Retained::expired`].
    pub fn expired(&self, epoch: Epoch, limit: usize) -> Vec<String> {
        self.retained.expired(epoch.0, limit)
    }

    /// Messages held.
    pub fn len(&self) -> usize {
        self.retained.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.retained.is_empty()
    }

    /// The topics that have a message, in order.
    pub fn topics(&self) -> Vec<String> {
        self.retained.iter().map(|(message, _)| message.view().topic.to_owned()).collect()
    }

    /// Everything goes, from disk too. The backup was made before.
    pub fn wipe(&mut self) {
        let mut keys = Vec::new();
        Records::scan(&self.retained, None, &mut |key, _, _| {
            keys.push(Box::from(key));
            true
        });
        for key in keys {
            self.keep(Change::Remove { key }, None);
        }
        self.retained.wipe();
    }

    fn keep(&self, change: Change, then: Option<Then>) {
        self.disk.write(Write { space: self.space.clone(), change, then });
    }
}

/// A deletion is remembered: the stamp, and no message behind it.
fn deletion(topic: &str, stamp: Stamp) -> Change {
    Change::Put { key: topic.as_bytes().into(), value: stamp.encode().into() }
}

impl Records for RetainedStore {
    fn stamp(&self, key: &[u8]) -> Option<Stamp> {
        Records::stamp(&self.retained, key)
    }

    fn apply(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>, origin: Origin) {
        self.clock.observe(stamp, Clock::epoch());
        self.retained.apply(key, stamp, value, origin);
        let Ok(topic) = std::str::from_utf8(key) else { return };
        let change = match self.retained.find(topic) {
            Some(message) => Change::Message { stamp, message: message.clone() },
            None => deletion(topic, stamp),
        };
        self.keep(change, None);
    }

    fn read(&self, key: &[u8], visit: &mut dyn FnMut(Stamp, Option<&[u8]>)) {
        Records::read(&self.retained, key, visit);
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut VisitRecords<'_>) {
        Records::scan(&self.retained, after, visit);
    }

    fn purge(&mut self, key: &[u8]) {
        self.retained.purge(key);
        self.keep(Change::Remove { key: key.into() }, None);
    }

    fn buckets(&self) -> &Buckets {
        self.retained.buckets()
    }
}
