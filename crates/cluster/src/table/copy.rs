//! The reader's side: up to which change the copy of a peer's tables goes, and their digests. The
//! entries themselves are with the consumer.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{Digest, hash};
use crate::effects::{Effects, TableId};
use crate::id::{Incarnation, NodeId};
use crate::wire::Reader;

/// What a frame of the owner led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Fine,
    /// Changes are missing: say what is held.
    Gap,
    /// Not a frame that an owner sends.
    Malformed,
}

/// The copy of one peer's tables.
#[derive(Debug, Default)]
pub(crate) struct Copy {
    incarnation: Incarnation,
    seq: u64,
    whole: bool,
    tables: BTreeMap<TableId, Digest>,
    /// Tables of which a snapshot is under way.
    filling: BTreeSet<TableId>,
    /// A gap was told; what comes until the snapshot is of no use.
    waiting: bool,
}

impl Copy {
    /// What to tell the owner: which run of it, up to which change, whole or not.
    pub fn held(&mut self) -> (Incarnation, u64, bool) {
        let whole = self.whole && self.filling.is_empty();
        self.waiting = true;
        (self.incarnation, self.seq, whole)
    }

    /// Up to which change everything is held; `None` while a snapshot is under way or missing.
    pub fn sequence(&self) -> Option<u64> {
        (self.whole && self.filling.is_empty() && !self.waiting).then_some(self.seq)
    }

    pub fn digests(&self) -> impl Iterator<Item = (TableId, Digest)> {
        self.tables.iter().map(|(table, digest)| (*table, *digest))
    }

    /// All that is held is of no use any more.
    pub fn clear(&mut self, node: NodeId, fx: &mut dyn Effects) {
        for table in self.tables.keys() {
            fx.table_reset(node, *table);
            fx.table_complete(node, *table);
        }
        *self = Self::default();
    }

    pub fn snapshot(&mut self, node: NodeId, body: &[u8], fx: &mut dyn Effects) -> Answer {
        let mut reader = Reader(body);
        let (Some(incarnation), Some(seq)) = (reader.u64(), reader.u64()) else { return Answer::Malformed };
        if !self.whole || incarnation != self.incarnation || self.waiting {
            // A snapshot of everything, which replaces what was held.
            let named: BTreeSet<_> = reader.0.iter().map(|table| TableId(*table)).collect();
            for table in self.tables.keys().filter(|table| !named.contains(table)) {
                fx.table_reset(node, *table);
                fx.table_complete(node, *table);
            }
            self.tables.clear();
            self.filling.clear();
        } else if seq != self.seq {
            return Answer::Gap;
        }
        (self.incarnation, self.seq, self.whole, self.waiting) = (incarnation, seq, true, false);
        for table in reader.0.iter().map(|table| TableId(*table)) {
            self.tables.insert(table, Digest::default());
            self.filling.insert(table);
            fx.table_reset(node, table);
        }
        Answer::Fine
    }

    pub fn snapshot_piece(&mut self, node: NodeId, body: &[u8], fx: &mut dyn Effects) -> Answer {
        let mut reader = Reader(body);
        let Some(table) = reader.byte().map(TableId) else { return Answer::Malformed };
        if self.waiting || !self.filling.contains(&table) {
            return Answer::Fine;
        }
        let digest = self.tables.entry(table).or_default();
        while !reader.is_empty() {
            let (Some(key), Some(value)) = (reader.bytes(), reader.bytes()) else { return Answer::Malformed };
            digest.add(hash(key, value));
            fx.table_changed(node, table, key, Some(value));
        }
        Answer::Fine
    }

    pub fn snapshot_end(&mut self, node: NodeId, body: &[u8], fx: &mut dyn Effects) -> Answer {
        for table in body.iter().map(|table| TableId(*table)) {
            if !self.waiting && self.filling.remove(&table) {
                fx.table_complete(node, table);
            }
        }
        Answer::Fine
    }

    pub fn changes(&mut self, node: NodeId, body: &[u8], fx: &mut dyn Effects) -> Answer {
        let mut reader = Reader(body);
        let (Some(from), Some(to)) = (reader.u64(), reader.u64()) else { return Answer::Malformed };
        if from != self.seq || !self.whole {
            // Until the owner has heard what we hold it goes on as before.
            return if self.waiting { Answer::Fine } else { Answer::Gap };
        }
        self.waiting = false;
        while !reader.is_empty() {
            let mut one =
                || Some((reader.byte()?, reader.byte()?, reader.u64()?, reader.bytes()?, reader.bytes()?));
            let Some((table, flags, old, key, value)) = one() else { return Answer::Malformed };
            let table = TableId(table);
            let digest = self.tables.entry(table).or_default();
            if flags & 1 != 0 {
                digest.remove(old);
            }
            let value = (flags & 2 != 0).then_some(value);
            if let Some(value) = value {
                digest.add(hash(key, value));
            }
            fx.table_changed(node, table, key, value);
        }
        self.seq = to;
        Answer::Fine
    }

    /// Which tables differ from what the owner says they are after that change.
    pub fn differing(&self, seq: u64, owner: &[(TableId, Digest)]) -> Vec<TableId> {
        if seq != self.seq || !self.whole || self.waiting || !self.filling.is_empty() {
            return Vec::new();
        }
        let held = |table| self.tables.get(table).copied().unwrap_or_default();
        owner.iter().filter(|(table, digest)| held(table) != *digest).map(|(table, _)| *table).collect()
    }
}
