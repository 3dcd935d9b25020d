//! Which places want a topic: for plain filters the place is enough, for shared groups it comes with
//! how many members are there. One thread writes it, in two copies that swap; all shards of the node
//! read it. It names every place of the node and of its peers; a reader passes over its own.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::set::Member;
use super::table::Table;
use super::{Place, shared};

/// One change of an [`Interest`]; the same changes in the same order make the same table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The place has subscribers of this filter, which is not a shared one.
    Add { place: Place, filter: Arc<str> },
    /// It has none any more.
    Remove { place: Place, filter: Arc<str> },
    /// The place has so many members of a group; `key` is `$share/<group>/<filter>` or
    /// `$queue/<filter>`. A count without members removes the entry.
    Members { place: Place, key: Arc<str>, count: GroupCount },
    /// The place cannot be reached: all its entries stay and match nothing.
    Mask { place: Place },
    /// It can be reached again.
    Unmask { place: Place },
    /// The place is gone for good: its entries are removed. Costs a walk through the whole table.
    Forget { place: Place },
    /// What the node of this place is called by every node, so that all order the members of a group
    /// alike. Without it the number of the place is taken.
    NodeKey { place: Place, key: u64 },
}

/// Members of a shared group at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCount {
    /// All of them.
    pub members: u32,
    /// Those that a message should go to first: where unacknowledged dispatch is in force
    /// (`broker.shared_dispatch_ack_enabled = false`) all, else those that are connected.
    pub online: u32,
}

impl GroupCount {
    /// Eight bytes, for the value of an owned table.
    pub fn to_bytes(self) -> [u8; 8] {
        let (m, o) = (self.members.to_be_bytes(), self.online.to_be_bytes());
        [m[0], m[1], m[2], m[3], o[0], o[1], o[2], o[3]]
    }

    /// The inverse; anything else than eight bytes is no member.
    pub fn from_bytes(bytes: &[u8]) -> GroupCount {
        let Ok([m0, m1, m2, m3, o0, o1, o2, o3]) = <[u8; 8]>::try_from(bytes) else {
            return GroupCount::default();
        };
        let members = u32::from_be_bytes([m0, m1, m2, m3]);
        GroupCount { members, online: u32::from_be_bytes([o0, o1, o2, o3]).min(members) }
    }
}

/// What one place has of one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where.
    pub place: Place,
    /// The number of the group, see [`Interest::group`]; `None` for plain subscribers.
    pub group: Option<std::num::NonZeroU32>,
    /// Members of the group there.
    pub count: GroupCount,
}

impl Member for Share {
    fn key(&self) -> u64 {
        (u64::from(self.group.map_or(0, |g| g.get())) << 16) | u64::from(self.place.0)
    }
}

/// Filter → places.
pub struct Interest {
    table: Table<Share>,
    groups: Groups,
    masked: Vec<Place>,
    node_keys: Vec<(Place, u64)>,
    version: u64,
}

impl Interest {
    /// An empty one; both copies need the same seed.
    pub fn new(seed: u64) -> Interest {
        let groups = Groups { names: Slab::new(), numbers: HashTable::new() };
        Interest { table: Table::new(seed), groups, masked: Vec::new(), node_keys: Vec::new(), version: 0 }
    }

    /// Makes one change.
    pub fn apply(&mut self, change: &Change) {
        self.version += 1;
        match change {
            Change::Add { place, filter } => {
                self.table.insert(
                    Arc::clone(filter),
                    Share { place: *place, group: None, count: GroupCount::default() },
                );
            }
            Change::Remove { place, filter } => {
                if let Some(id) = self.table.find(filter) {
                    self.table.remove(id, u64::from(place.0));
                }
            }
            Change::Members { place, key, count } => self.set_members(*place, key, *count),
            Change::Mask { place } => {
                if let Err(at) = self.masked.binary_search(place) {
                    self.masked.insert(at, *place);
                }
            }
            Change::Unmask { place } => {
                if let Ok(at) = self.masked.binary_search(place) {
                    self.masked.remove(at);
                }
            }
            Change::Forget { place } => self.forget(*place),
            Change::NodeKey { place, key } => match self.node_keys.binary_search_by_key(place, |k| k.0) {
                Ok(at) => self.node_keys[at].1 = *key,
                Err(at) => self.node_keys.insert(at, (*place, *key)),
            },
        }
    }

    /// Calls `sink` with the filter and what each reachable place has of it, for each filter that
    /// matches the topic.
    pub fn matches(&self, topic: &str, mut sink: impl FnMut(&str, &Share)) {
        self.table.matches(topic, |id, shares| {
            for share in shares.iter().filter(|s| !self.is_masked(s.place)) {
                sink(self.table.filter(id), share);
            }
        });
    }

    /// Calls `sink` with what each reachable place has of this filter.
    pub fn of_filter(&self, filter: &str, mut sink: impl FnMut(&Share)) {
        let Some(id) = self.table.find(filter) else { return };
        self.table.members(id).iter().filter(|s| !self.is_masked(s.place)).for_each(&mut sink);
    }

    /// The name of a group.
    pub fn group(&self, number: std::num::NonZeroU32) -> &str {
        self.groups.names.get(number.get() as usize - 1).map_or("", |g| &g.0)
    }

    /// What the node of this place is called by every node.
    pub fn node_key(&self, place: Place) -> u64 {
        let found = self.node_keys.binary_search_by_key(&place, |k| k.0);
        found.map_or(u64::from(place.0), |at| self.node_keys[at].1)
    }

    /// The place whose [`Interest::node_key`] that is.
    pub fn node_with(&self, key: u64) -> Option<Place> {
        self.node_keys.iter().find(|(_, known)| *known == key).map(|(place, _)| *place)
    }

    /// Whether the place cannot be reached.
    pub fn is_masked(&self, place: Place) -> bool {
        !self.masked.is_empty() && self.masked.binary_search(&place).is_ok()
    }

    /// Every entry of a reachable place: filter, place, group; in an order that history decides.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Share)> {
        let all = self.table.iter().flat_map(|(_, filter, shares)| shares.iter().map(move |s| (filter, s)));
        all.filter(|(_, s)| !self.is_masked(s.place))
    }

    /// Entries, masked ones included.
    pub fn len(&self) -> usize {
        self.table.members_len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Another number after each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn set_members(&mut self, place: Place, key: &str, count: GroupCount) {
        let Some((name, filter)) = shared(key) else { return };
        let share_of = |group| Share { place, group: std::num::NonZeroU32::new(group), count };
        if count.members > 0 {
            let group = self.groups.intern(name);
            if self.table.insert(filter, share_of(group)).replaced.is_some() {
                self.groups.release(group);
            }
        } else if let (Some(group), Some(id)) = (self.groups.find(name), self.table.find(filter))
            && self.table.remove(id, share_of(group).key()).is_some()
        {
            self.groups.release(group);
        }
    }

    fn forget(&mut self, place: Place) {
        let mut gone = Vec::new();
        for (id, _, shares) in self.table.iter() {
            gone.extend(shares.iter().filter(|s| s.place == place).map(|s| (id, *s)));
        }
        for (id, share) in gone {
            self.table.remove(id, share.key());
            if let Some(group) = share.group {
                self.groups.release(group.get());
            }
        }
        self.masked.retain(|p| *p != place);
        self.node_keys.retain(|(p, _)| *p != place);
    }
}

/// The names of groups, numbered from 1, each with how many entries have it.
struct Groups {
    names: Slab<(Box<str>, u32)>,
    numbers: HashTable<u32>,
}

impl Groups {
    fn hash(name: &str) -> u64 {
        FixedState::with_seed(0).hash_one(name)
    }

    fn find(&self, name: &str) -> Option<u32> {
        self.numbers.find(Self::hash(name), |&n| *self.names[n as usize - 1].0 == *name).copied()
    }

    fn intern(&mut self, name: &str) -> u32 {
        if let Some(n) = self.find(name) {
            self.names[n as usize - 1].1 += 1;
            return n;
        }
        let n = self.names.insert((name.into(), 1)) as u32 + 1;
        let names = &self.names;
        self.numbers.insert_unique(Self::hash(name), n, |&n| Self::hash(&names[n as usize - 1].0));
        n
    }

    fn release(&mut self, n: u32) {
        let entry = &mut self.names[n as usize - 1];
        entry.1 -= 1;
        if entry.1 == 0 {
            let hash = Self::hash(&entry.0);
            if let Ok(found) = self.numbers.find_entry(hash, |&m| m == n) {
                found.remove();
            }
            self.names.remove(n as usize - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(place: Place, filter: &str) -> Change {
        Change::Add { place, filter: filter.into() }
    }

    fn members(place: Place, key: &str, members: u32) -> Change {
        Change::Members { place, key: key.into(), count: GroupCount { members, online: members } }
    }

    fn places(interest: &Interest, topic: &str) -> Vec<(u16, String, u32)> {
        let mut found = Vec::new();
        interest.matches(topic, |_, s| {
            let group = s.group.map(|g| interest.group(g).to_owned()).unwrap_or_default();
            found.push((s.place.0, group, s.count.members));
        });
        found.sort();
        found
    }

    #[test]
    fn masking_a_place_hides_all_its_entries_in_one_step_and_brings_them_back() {
        let mut interest = Interest::new(1);
        let (a, b) = (Place(1), Place::peer(0));
        for change in [add(a, "t/+"), add(b, "t/#"), members(b, "$share/g/t/1", 3)] {
            interest.apply(&change);
        }
        let all = vec![(1, String::new(), 0), (256, String::new(), 0), (256, "g".to_owned(), 3)];
        assert_eq!(places(&interest, "t/1"), all);
        let before = interest.version();
        interest.apply(&Change::Mask { place: b });
        assert_eq!(places(&interest, "t/1"), vec![(1, String::new(), 0)]);
        interest.apply(&Change::Unmask { place: b });
        assert_eq!(places(&interest, "t/1"), all);
        assert!(interest.version() > before);
        interest.apply(&Change::Forget { place: b });
        assert_eq!((places(&interest, "t/1"), interest.len()), (vec![(1, String::new(), 0)], 1));
        assert_eq!(interest.groups.names.len(), 0);
    }

    #[test]
    fn a_count_of_members_replaces_the_one_before_and_zero_removes_it() {
        let mut interest = Interest::new(1);
        interest.apply(&members(Place(0), "$queue/t", 2));
        interest.apply(&members(Place(0), "$queue/t", 5));
        assert_eq!(places(&interest, "t"), vec![(0, "$queue".to_owned(), 5)]);
        interest.apply(&members(Place(0), "$queue/t", 0));
        assert!(interest.is_empty() && interest.groups.names.is_empty());
        interest.apply(&members(Place(0), "$queue/t", 0));
    }

    #[test]
    fn a_count_survives_its_bytes() {
        let count = GroupCount { members: 70_000, online: 3 };
        assert_eq!(GroupCount::from_bytes(&count.to_bytes()), count);
        assert_eq!(GroupCount::from_bytes(&[1]), GroupCount::default());
    }
}
