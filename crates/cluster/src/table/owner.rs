//! The owner's side: the log of the last changes, and how far each peer has been told.

use std::collections::BTreeMap;

use crate::digest::{Digest, hash};
use crate::effects::{Effects, TableId};
use crate::id::Incarnation;
use crate::node::frame;
use crate::wire::{Reader, put_bytes};

/// The log keeps at least half so many bytes of changes; a peer further behind gets a snapshot.
const LOG_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A frame of changes or of a snapshot holds about so many bytes.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// The tables of this node.
#[derive(Debug)]
pub(crate) struct Owner {
    incarnation: Incarnation,
    tables: BTreeMap<TableId, Digest>,
    /// How many changes there were.
    seq: u64,
    /// The last changes, each behind its length; `start` is where the first one begins.
    log: Vec<u8>,
    start: usize,
    /// The number of changes before `start`, and of bytes before the vector.
    first: u64,
    gone: u64,
}

/// How far a peer has been told.
#[derive(Debug, Default)]
pub(crate) enum Feed {
    /// It has not said what it holds.
    #[default]
    Unknown,
    /// Told up to a change; `offset` is where the next begins. A snapshot of some tables may be under way.
    Live { seq: u64, offset: u64, snapshot: Option<Snapshot> },
}

/// A snapshot under way. Changes behind its cursor are left out of the stream: it will show their outcome.
#[derive(Debug)]
pub(crate) struct Snapshot {
    announced: bool,
    /// All tables of it, as they were announced.
    all: Vec<TableId>,
    /// The tables that are not done, the first is under way.
    left: Vec<TableId>,
    /// The last key told of the first table.
    after: Option<Vec<u8>>,
}

impl Owner {
    pub fn new(incarnation: Incarnation, tables: &[TableId]) -> Self {
        Self {
            incarnation,
            tables: tables.iter().map(|table| (*table, Digest::default())).collect(),
            seq: 0,
            log: Vec::new(),
            start: 0,
            first: 0,
            gone: 0,
        }
    }

    /// Digests of the own tables.
    pub fn digests(&self) -> impl Iterator<Item = (TableId, Digest)> {
        self.tables.iter().map(|(table, digest)| (*table, *digest))
    }

    /// The entry was `was` and is `is`; `None` where there was or is none. `is_heard`: there are peers to be told;
    /// whoever comes after changes that nobody heard gets a snapshot.
    pub fn changed(
        &mut self,
        table: TableId,
        key: &[u8],
        was: Option<&[u8]>,
        is: Option<&[u8]>,
        is_heard: bool,
    ) {
        if was == is {
            return;
        }
        let digest = self.tables.entry(table).or_default();
        let old = was.map(|was| hash(key, was));
        if let Some(old) = old {
            digest.remove(old);
        }
        if let Some(is) = is {
            digest.add(hash(key, is));
        }
        self.seq += 1;
        if !is_heard {
            return self.forget_log();
        }
        let at = self.log.len();
        self.log.extend_from_slice(&[0; 4]);
        self.log.push(table.0);
        self.log.push(u8::from(old.is_some()) | u8::from(is.is_some()) << 1);
        self.log.extend_from_slice(&old.unwrap_or(0).to_be_bytes());
        put_bytes(&mut self.log, key);
        put_bytes(&mut self.log, is.unwrap_or_default());
        let length = u32::try_from(self.log.len() - at - 4).unwrap_or(u32::MAX);
        self.log[at..at + 4].copy_from_slice(&length.to_be_bytes());
        self.trim();
    }

    fn trim(&mut self) {
        if self.log.len() - self.start > LOG_BYTES_MAX {
            while self.log.len() - self.start > LOG_BYTES_MAX / 2 {
                let length = Reader(&self.log[self.start..]).u32().expect("each change is behind its length");
                self.start += 4 + length as usize;
                self.first += 1;
            }
            self.log.drain(..self.start);
            self.gone += self.start as u64;
            self.start = 0;
        }
    }

    fn forget_log(&mut self) {
        self.first = self.seq;
        self.gone += self.log.len() as u64;
        self.log.clear();
        self.start = 0;
    }

    /// The number of the last change.
    pub fn sequence(&self) -> u64 {
        self.seq
    }

    /// The peer says what it holds: changes of that run of ours, up to that number, whole or not.
    pub fn resume(&self, incarnation: Incarnation, seq: u64, whole: bool) -> Feed {
        if incarnation != self.incarnation || !whole || seq < self.first || seq > self.seq {
            return self.snapshot();
        }
        let mut offset = self.start;
        for _ in self.first..seq {
            let length = Reader(&self.log[offset..]).u32().expect("each change is behind its length");
            offset += 4 + length as usize;
        }
        Feed::Live { seq, offset: self.gone + offset as u64, snapshot: None }
    }

    fn snapshot(&self) -> Feed {
        let all: Vec<_> = self.tables.keys().copied().collect();
        let snapshot = Snapshot { announced: false, left: all.clone(), all, after: None };
        Feed::Live { seq: self.seq, offset: self.gone + self.log.len() as u64, snapshot: Some(snapshot) }
    }

    /// The peer's copy of these tables is wrong: tell them anew.
    pub fn repair(&self, feed: &mut Feed, tables: &[TableId]) {
        if let Feed::Live { snapshot: snapshot @ None, .. } = feed {
            let all: Vec<_> =
                tables.iter().filter(|table| self.tables.contains_key(table)).copied().collect();
            if !all.is_empty() {
                *snapshot = Some(Snapshot { announced: false, left: all.clone(), all, after: None });
            }
        }
    }

    /// Whether that peer has been told everything, so that digests may be compared; and up to which change.
    pub fn told_all(&self, feed: &Feed) -> Option<u64> {
        match feed {
            Feed::Live { seq, snapshot: None, .. } if *seq == self.seq => Some(*seq),
            _ => None,
        }
    }

    /// Writes the next frame for a peer and yields its kind; `None` when it has been told everything.
    /// Changes come before pieces of a snapshot, so a piece always shows what all of them led to.
    pub fn piece(&self, feed: &mut Feed, fx: &mut dyn Effects, out: &mut Vec<u8>) -> Option<u8> {
        out.clear();
        if matches!(feed, Feed::Live { offset, .. } if *offset < self.gone + self.start as u64) {
            *feed = self.snapshot();
        }
        let Feed::Live { seq, offset, snapshot } = feed else { return None };
        if snapshot.as_ref().is_some_and(|snapshot| !snapshot.announced) {
            return snapshot.as_mut().map(|snapshot| snapshot.announce(self.incarnation, *seq, out));
        }
        if *seq < self.seq {
            self.changes(seq, offset, snapshot.as_ref(), out);
            return Some(frame::CHANGES);
        }
        match snapshot.as_mut()?.piece(fx, out) {
            Some(kind) => Some(kind),
            None => {
                let done = snapshot.take().expect("a snapshot is under way");
                out.clear();
                out.extend(done.all.iter().map(|table| table.0));
                Some(frame::SNAPSHOT_END)
            }
        }
    }

    fn changes(&self, seq: &mut u64, offset: &mut u64, snapshot: Option<&Snapshot>, out: &mut Vec<u8>) {
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        let mut rest = Reader(&self.log[usize::try_from(*offset - self.gone).expect("within the log")..]);
        while *seq < self.seq && out.len() < PIECE_BYTES {
            let length = rest.u32().expect("each change is behind its length") as usize;
            let change = rest.take(length).expect("each change is whole");
            if snapshot.is_none_or(|snapshot| snapshot.is_past(change)) {
                out.extend_from_slice(change);
            }
            *seq += 1;
            *offset += 4 + length as u64;
        }
        out[8..16].copy_from_slice(&seq.to_be_bytes());
    }
}

impl Snapshot {
    fn announce(&mut self, incarnation: Incarnation, seq: u64, out: &mut Vec<u8>) -> u8 {
        self.announced = true;
        out.extend_from_slice(&incarnation.to_be_bytes());
        out.extend_from_slice(&seq.to_be_bytes());
        out.extend(self.all.iter().map(|table| table.0));
        frame::SNAPSHOT
    }

    /// Whether the snapshot has told that key already.
    fn is_past(&self, change: &[u8]) -> bool {
        let mut reader = Reader(change);
        let (Some(table), Some(_), Some(key)) = (reader.byte(), reader.take(9), reader.bytes()) else {
            return true;
        };
        match self.left.iter().position(|left| left.0 == table) {
            None => true,
            Some(0) => self.after.as_deref().is_some_and(|after| key <= after),
            Some(_) => false,
        }
    }

    fn piece(&mut self, fx: &mut dyn Effects, out: &mut Vec<u8>) -> Option<u8> {
        let table = *self.left.first()?;
        out.push(table.0);
        let mut last = None;
        fx.own(table, self.after.as_deref(), &mut |key, value| {
            put_bytes(out, key);
            put_bytes(out, value);
            if out.len() < PIECE_BYTES {
                return true;
            }
            last = Some(key.to_vec());
            false
        });
        if last.is_none() {
            self.left.remove(0);
        }
        self.after = last;
        Some(frame::SNAPSHOT_PIECE)
    }
}
