//! Replicated maps in which the last writer wins. The values live with the consumer, behind
//! [`Records`]; here are their digests by bucket, and what is left to say to each peer so that both
//! become equal.
//!
//! Every write goes to every peer. Besides, digests are compared on connection and each second; where
//! they differ, one side lists keys and stamps of the buckets that differ, and the other sends what is
//! newer and asks for what it lacks.

mod clock;
mod sync;

pub use clock::{Clock, SKEW_MAX, Stamp};
pub(crate) use sync::{Work, put_entry, read_entries};

use crate::digest::hash;
use crate::effects::Records;

/// Into so many buckets the keys of a map are divided.
pub(crate) const BUCKETS: usize = 256;
/// For how long a removed key is remembered, in milliseconds: a node that was away longer may bring
/// back what was removed meanwhile.
pub const TOMBSTONE_KEEP: u64 = 14 * 24 * 3_600 * 1_000;

/// Who wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This node.
    Local,
    /// Another one; the write came over the bus.
    Peer,
}

/// What is known here of one map.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    /// From where the search for old tombstones goes on.
    pub purged_to: Option<Vec<u8>>,
}

impl Default for Map {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, purged_to: None }
    }
}

/// Which buckets: one bit each.
pub(crate) type Bitmap = [u8; BUCKETS / 8];

pub(crate) fn bucket_of(key: &[u8]) -> usize {
    hash(key, &[]) as usize % BUCKETS
}

pub(crate) fn has(bitmap: &Bitmap, bucket: usize) -> bool {
    bitmap[bucket / 8] & (1 << (bucket % 8)) != 0
}

impl Map {
    pub fn count_in(&mut self, key: &[u8], stamp: Stamp) {
        let bucket = &mut self.buckets[bucket_of(key)];
        *bucket = bucket.wrapping_add(hash(key, &stamp.encode()));
        self.count += 1;
    }

    pub fn count_out(&mut self, key: &[u8], stamp: Stamp) {
        let bucket = &mut self.buckets[bucket_of(key)];
        *bucket = bucket.wrapping_sub(hash(key, &stamp.encode()));
        self.count = self.count.wrapping_sub(1);
    }

    /// Holds a record if it is newer than what is held; yields whether it was.
    pub fn merge(
        &mut self,
        records: &mut dyn Records,
        key: &[u8],
        stamp: Stamp,
        value: Option<&[u8]>,
        origin: Origin,
    ) -> bool {
        let held = records.stamp(key);
        if held.is_some_and(|held| held >= stamp) {
            return false;
        }
        if let Some(held) = held {
            self.count_out(key, held);
        }
        records.apply(key, stamp, value, origin);
        self.count_in(key, stamp);
        true
    }

    /// Forgets a few tombstones that nobody needs any more, and goes on where it stopped.
    pub fn purge(&mut self, records: &mut dyn Records, now_unix: u64) {
        const VISITS_MAX: usize = 2_000;
        let mut old = Vec::new();
        let (mut visits, mut last) = (0, None);
        records.scan(self.purged_to.as_deref(), &mut |key, stamp, value| {
            visits += 1;
            if value.is_none() && stamp.unix_millis() + TOMBSTONE_KEEP < now_unix {
                old.push((key.to_vec(), stamp));
            }
            last = (visits == VISITS_MAX).then(|| key.to_vec());
            visits < VISITS_MAX
        });
        self.purged_to = last;
        for (key, stamp) in old {
            self.count_out(&key, stamp);
            records.purge(&key);
        }
    }

    pub fn root(&self) -> u64 {
        self.buckets.iter().enumerate().fold(0u64, |root, (i, bucket)| {
            root.wrapping_add(hash(&(i as u64).to_be_bytes(), &bucket.to_be_bytes()))
        })
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn write_buckets(&self, out: &mut Vec<u8>) {
        for bucket in self.buckets.iter() {
            out.extend_from_slice(&bucket.to_be_bytes());
        }
    }

    /// In which buckets the other side differs; `None` when it sent something else.
    pub fn differing(&self, buckets: &[u8]) -> Option<Bitmap> {
        if buckets.len() != BUCKETS * 8 {
            return None;
        }
        let mut bitmap = [0; BUCKETS / 8];
        for (i, (own, other)) in self.buckets.iter().zip(buckets.chunks_exact(8)).enumerate() {
            if own.to_be_bytes() != other {
                bitmap[i / 8] |= 1 << (i % 8);
            }
        }
        Some(bitmap)
    }
}
