//! The records about access: one replicated map, in memory and on disk. Only the control thread writes it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cluster::replica::{Buckets, Origin, Stamp};
use cluster::{Records, VisitRecords};
use parking_lot::RwLock;
use store::{Space, Store, StoreError};

use super::lists::{Change, Kind, Lists};
use crate::persist::{self, Disk, Write};
use crate::shard::Clock;

/// When a record was written, and what it says; `None`: it was removed.
type Held = (Stamp, Option<Box<[u8]>>);

/// The records, and the lists that they make.
pub struct AccessStore {
    records: BTreeMap<Box<[u8]>, Held>,
    buckets: Buckets,
    lists: Arc<RwLock<Lists>>,
    version: Arc<AtomicU32>,
    /// Who has been banned since [`AccessStore::take_banned`].
    banned: Vec<(Kind, String)>,
    /// Rights have changed since [`AccessStore::take_rights_changed`].
    rights_changed: bool,
    disk: Disk,
    space: Space,
    clock: Arc<Clock>,
}

impl AccessStore {
    /// Opens what is on disk; `seen` is called with each stamp.
    pub fn open(
        store: &Store,
        disk: Disk,
        clock: Arc<Clock>,
        mut seen: impl FnMut(Stamp),
    ) -> Result<AccessStore, StoreError> {
        let space = store.space("access")?;
        let mut this = AccessStore {
            records: BTreeMap::new(),
            buckets: Buckets::default(),
            lists: Arc::default(),
            version: Arc::default(),
            banned: Vec::new(),
            rights_changed: false,
            disk,
            space,
            clock,
        };
        for record in store.scan(&this.space) {
            let (key, value) = record?;
            let Some((stamp, body)) = value.split_at_checked(16) else { continue };
            let Some(stamp) = Stamp::decode(stamp) else { continue };
            this.hold(&key, stamp, (!body.is_empty()).then_some(body));
            this.clock.observe(stamp, Clock::epoch());
            seen(stamp);
        }
        this.banned.clear();
        this.rights_changed = false;
        Ok(this)
    }

    /// The lists, for those who ask.
    pub fn lists(&self) -> Arc<RwLock<Lists>> {
        self.lists.clone()
    }

    /// Counts the changes after which rules have to be asked anew.
    pub fn version(&self) -> Arc<AtomicU32> {
        self.version.clone()
    }

    /// Who has been banned since this was last asked.
    pub fn take_banned(&mut self) -> Vec<(Kind, String)> {
        std::mem::take(&mut self.banned)
    }

    /// Whether rights have changed since this was last asked.
    pub fn take_rights_changed(&mut self) -> bool {
        std::mem::take(&mut self.rights_changed)
    }

    /// Everything goes, from disk too.
    pub fn wipe(&mut self) {
        for key in std::mem::take(&mut self.records).into_keys() {
            self.disk.write(Write {
                space: self.space.clone(),
                change: persist::Change::Remove { key },
                then: None,
            });
        }
        self.buckets = Buckets::default();
        *self.lists.write() = Lists::default();
        self.version.fetch_add(1, Ordering::Release);
        self.rights_changed = true;
    }

    /// What is held, one record a line of JSON, for a copy before a wipe. Secrets are hashes.
    pub fn dump(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in self.records.iter().filter_map(|(k, (_, v))| Some((k, v.as_ref()?))) {
            out.extend_from_slice(String::from_utf8_lossy(key).replace('\0', " ").as_bytes());
            out.push(b' ');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out
    }

    fn hold(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>) {
        if let Some((before, _)) = self.records.insert(key.into(), (stamp, value.map(Box::from))) {
            self.buckets.count_out(key, before);
        }
        self.buckets.count_in(key, stamp);
        match self.lists.write().apply(key, value) {
            Some(Change::Banned(kind, who)) => self.banned.push((kind, who)),
            Some(Change::Rights) => self.rights_changed = true,
            None => {}
        }
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl Records for AccessStore {
    fn stamp(&self, key: &[u8]) -> Option<Stamp> {
        self.records.get(key).map(|(stamp, _)| *stamp)
    }

    fn apply(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>, _: Origin) {
        self.clock.observe(stamp, Clock::epoch());
        self.hold(key, stamp, value);
        let value = [&stamp.encode()[..], value.unwrap_or_default()].concat();
        let change = persist::Change::Put { key: key.into(), value: value.into() };
        self.disk.write(Write { space: self.space.clone(), change, then: None });
    }

    fn read(&self, key: &[u8], visit: &mut dyn FnMut(Stamp, Option<&[u8]>)) {
        if let Some((stamp, value)) = self.records.get(key) {
            visit(*stamp, value.as_deref());
        }
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut VisitRecords<'_>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, (stamp, value)) in self.records.range::<[u8], _>((from, Bound::Unbounded)) {
            if !visit(key, *stamp, value.as_deref()) {
                return;
            }
        }
    }

    fn purge(&mut self, key: &[u8]) {
        if let Some((stamp, _)) = self.records.remove(key) {
            self.buckets.count_out(key, stamp);
            let change = persist::Change::Remove { key: key.into() };
            self.disk.write(Write { space: self.space.clone(), change, then: None });
        }
    }

    fn buckets(&self) -> &Buckets {
        &self.buckets
    }
}
