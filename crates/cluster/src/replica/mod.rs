//! Replicated maps in which the last writer wins. The values live with the consumer, behind
//! [`Records`]; here are the rules, the digests by bucket, and what is left to say to each peer so that
//! both become equal.
//!
//! Every write goes to every peer. Besides, digests are compared on connection and each second; where
//! they differ, one side lists keys and stamps of the buckets that differ, and the other sends what is
//! newer and asks for what it lacks.

mod clock;
mod sync;

pub use clock::{Clock, SKEW_MAX, Stamp};
pub(crate) use sync::{Work, put_entry, read_entries};

use crate::digest::{Digest, hash};
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

/// The digests of a map by bucket. Whoever holds the records keeps it up with them, so that it always
/// tells what is held, whoever wrote it and when.
#[derive(Debug, Clone)]
pub struct Buckets {
    sums: Box<[u64; BUCKETS]>,
    count: u64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { sums: Box::new([0; BUCKETS]), count: 0 }
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

impl Buckets {
    /// A record is held from now on.
    pub fn count_in(&mut self, key: &[u8], stamp: Stamp) {
        let sum = &mut self.sums[bucket_of(key)];
        *sum = sum.wrapping_add(hash(key, &stamp.encode()));
        self.count += 1;
    }

    /// A record that was counted in is held no longer.
    pub fn count_out(&mut self, key: &[u8], stamp: Stamp) {
        let sum = &mut self.sums[bucket_of(key)];
        *sum = sum.wrapping_sub(hash(key, &stamp.encode()));
        self.count -= 1;
    }

    /// Of the whole map, removed keys too.
    pub fn digest(&self) -> Digest {
        let sum = self.sums.iter().enumerate().fold(0u64, |root, (i, sum)| {
            root.wrapping_add(hash(&(i as u64).to_be_bytes(), &sum.to_be_bytes()))
        });
        Digest { sum, count: self.count }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for sum in self.sums.iter() {
            out.extend_from_slice(&sum.to_be_bytes());
        }
    }

    /// In which buckets the other side differs; `None` when it sent something else.
    pub(crate) fn differing(&self, theirs: &[u8]) -> Option<Bitmap> {
        if theirs.len() != BUCKETS * 8 {
            return None;
        }
        let mut bitmap = [0; BUCKETS / 8];
        for (i, (own, other)) in self.sums.iter().zip(theirs.chunks_exact(8)).enumerate() {
            if own.to_be_bytes() != other {
                bitmap[i / 8] |= 1 << (i % 8);
            }
        }
        Some(bitmap)
    }
}

/// Holds a record if it is newer than what is held.
pub(crate) fn merge(
    records: &mut dyn Records,
    key: &[u8],
    stamp: Stamp,
    value: Option<&[u8]>,
    origin: Origin,
) {
    if records.stamp(key).is_none_or(|held| held < stamp) {
        records.apply(key, stamp, value, origin);
    }
}

/// Forgets a few tombstones that nobody needs any more, from behind `after`; yields from where to go on.
pub(crate) fn purge(records: &mut dyn Records, after: Option<&[u8]>, now_unix: u64) -> Option<Vec<u8>> {
    const VISITS_MAX: usize = 2_000;
    let mut old = Vec::new();
    let (mut visits, mut last) = (0, None);
    records.scan(after, &mut |key, stamp, value| {
        visits += 1;
        if value.is_none() && stamp.unix_millis() + TOMBSTONE_KEEP < now_unix {
            old.push(key.to_vec());
        }
        last = (visits == VISITS_MAX).then(|| key.to_vec());
        visits < VISITS_MAX
    });
    old.iter().for_each(|key| records.purge(key));
    last
}
