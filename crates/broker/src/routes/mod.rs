//! Who wants a topic: the index of filters. [`Table`] leads from a filter to a set of anything; a shard
//! keeps its own subscribers in one. [`Interest`] says which other places want a topic. Nothing here
//! knows what a session or a message is.

mod interest;
mod set;
mod table;
mod trie;

pub use interest::{Change, GroupCount, Interest, Share};
pub use set::{Member, Set};
pub use table::{FilterId, Table};

/// Where targets can be, seen from a shard: a shard of this node or a peer. Numbers are given by the
/// node that uses them and mean nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u16);

impl Place {
    /// The first number that is a peer's.
    const PEERS: u16 = 256;

    /// Shard `n` of this node; `n` below 256.
    pub const fn shard(n: u16) -> Place {
        debug_assert!(n < Self::PEERS, "a node has at most 256 shards");
        Place(n)
    }

    /// The peer in slot `n` of this node's list of peers.
    pub const fn peer(n: u16) -> Place {
        Place(Self::PEERS + n)
    }

    /// Whether this is a peer, not a shard of this node.
    pub fn is_peer(self) -> bool {
        self.0 >= Self::PEERS
    }

    /// The number of the shard or of the peer's slot.
    pub fn number(self) -> u16 {
        if self.is_peer() { self.0 - Self::PEERS } else { self.0 }
    }
}

/// Splits `$share/<group>/<filter>` and `$queue/<filter>` into group and filter; `None` for a filter
/// that is not shared. The name of the group of `$queue/` is `$queue`. [MQTT-4.8.2]
pub fn shared(filter: &str) -> Option<(&str, &str)> {
    if let Some(rest) = filter.strip_prefix("$share/") {
        let (group, filter) = rest.split_once('/')?;
        return (!group.is_empty() && !filter.is_empty()).then_some((group, filter));
    }
    let filter = filter.strip_prefix("$queue/")?;
    (!filter.is_empty()).then_some(("$queue", filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_filters_split_into_group_and_filter() {
        assert_eq!(shared("$share/g/a/+"), Some(("g", "a/+")));
        assert_eq!(shared("$share/g//a"), Some(("g", "/a")));
        assert_eq!(shared("$queue/a/#"), Some(("$queue", "a/#")));
        assert_eq!((shared("a/b"), shared("$share/g"), shared("$share//a")), (None, None, None));
    }

    #[test]
    fn places_of_shards_and_peers_do_not_meet() {
        assert!(!Place::shard(255).is_peer() && Place::peer(0).is_peer());
        assert_eq!((Place::shard(3).number(), Place::peer(3).number()), (3, 3));
    }
}
