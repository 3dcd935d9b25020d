//! Digests that do not depend on order, kept up at each change: the wrapping sum of a hash of each
//! entry. The hash is SipHash-1-3 with a fixed key: all nodes must agree, of every version.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The digest of a set, and how many it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// The wrapping sum of the hashes.
    pub sum: u64,
    /// How many entries.
    pub count: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, hash: u64) {
        self.sum = self.sum.wrapping_add(hash);
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, hash: u64) {
        self.sum = self.sum.wrapping_sub(hash);
        self.count = self.count.wrapping_sub(1);
    }
}

/// The hash of one entry.
pub(crate) fn hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x666c_6f63, 0x6b6d_7121);
    hasher.write(&(key.len() as u64).to_le_bytes());
    hasher.write(key);
    hasher.write(value);
    hasher.finish()
}
