//! Who is who: the identity of a node, of a run of it, and of a cluster.

use std::fmt;

/// The identity of a node: made on its first start, kept with its data, given up when it leaves.
/// Names and addresses are attributes of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// The first eight bytes as a number, to break ties between stamps.
    pub(crate) fn short(self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(head)
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of a cluster: when its data was first made and by whom. It belongs to the cluster, not
/// to a process. The order is by age: the smaller is the older, a tie goes to the smaller UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId {
    /// Milliseconds since 1970.
    pub born_at: u64,
    /// Made by chance when the cluster was born.
    pub id: NodeId,
}

impl ClusterId {
    pub(crate) fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.born_at.to_be_bytes());
        bytes[8..].copy_from_slice(&self.id.0);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (born_at, id) = bytes.split_at_checked(8)?;
        Some(Self { born_at: u64::from_be_bytes(born_at.try_into().ok()?), id: NodeId::from_slice(id)? })
    }
}

/// Which run of a node's process: greater at each start.
pub type Incarnation = u64;
