//! A table from topic filters to sets. Exact filters are found with one look-up in a hash table,
//! wildcard filters by a walk through a trie; both are entries of one slab, named by a [`FilterId`].

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::set::{Member, Set};
use super::trie::Trie;

/// Names a filter of one table for as long as it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(pub u32);

/// Filter → members. With members of 8 bytes an exact filter costs about 50 bytes beyond its text.
pub struct Table<T> {
    hasher: FixedState,
    entries: Slab<Entry<T>>,
    numbers: HashTable<u32>,
    trie: Trie,
    members: usize,
    version: u64,
}

struct Entry<T> {
    /// Whoever else keeps it shares it.
    filter: Arc<str>,
    members: Set<T>,
}

/// What an insertion found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted<T> {
    /// The filter's name.
    pub id: FilterId,
    /// The filter was not in the table before.
    pub first: bool,
    /// The member that had the same key.
    pub replaced: Option<T>,
}

impl<T: Member> Table<T> {
    /// An empty table; `seed` decides how it hashes, so that no client can choose colliding filters.
    pub fn new(seed: u64) -> Table<T> {
        Table {
            hasher: FixedState::with_seed(seed),
            entries: Slab::new(),
            numbers: HashTable::new(),
            trie: Trie::new(seed),
            members: 0,
            version: 0,
        }
    }

    /// Adds a member to a filter, or replaces the one with the same key.
    pub fn insert(&mut self, filter: impl AsRef<str> + Into<Arc<str>>, member: T) -> Inserted<T> {
        self.version += 1;
        if let Some(id) = self.find(filter.as_ref()) {
            let replaced = self.entries[id.0 as usize].members.insert(member);
            self.members += usize::from(replaced.is_none());
            return Inserted { id, first: false, replaced };
        }
        self.members += 1;
        let filter = filter.into();
        let hash = self.hasher.hash_one(&*filter);
        let is_wildcard = is_wildcard(&filter);
        let id = self.entries.insert(Entry { filter, members: Set::One(member) });
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |&n: &u32| hasher.hash_one(&*entries[n as usize].filter);
        let number = id as u32;
        self.numbers.insert_unique(hash, number, rehash);
        if is_wildcard {
            self.trie.insert(&entries[id].filter, number);
        }
        Inserted { id: FilterId(number), first: true, replaced: None }
    }

    /// Removes a member by its key. The flag says that it was the last one and the filter is gone.
    pub fn remove(&mut self, id: FilterId, key: u64) -> Option<(T, bool)> {
        let entry = self.entries.get_mut(id.0 as usize)?;
        match entry.members.remove(key) {
            Ok(None) => None,
            Ok(Some(gone)) => {
                self.version += 1;
                self.members -= 1;
                Some((gone, false))
            }
            Err(gone) => {
                self.version += 1;
                self.members -= 1;
                self.forget(id);
                Some((gone, true))
            }
        }
    }

    /// The name of a filter that has members.
    pub fn find(&self, filter: &str) -> Option<FilterId> {
        let hash = self.hasher.hash_one(filter);
        self.numbers.find(hash, |&n| *self.entries[n as usize].filter == *filter).map(|&n| FilterId(n))
    }

    /// The text of a filter.
    pub fn filter(&self, id: FilterId) -> &str {
        self.entries.get(id.0 as usize).map_or("", |e| &e.filter)
    }

    /// The same, to be kept by somebody else too.
    pub fn shared_filter(&self, id: FilterId) -> Option<&Arc<str>> {
        self.entries.get(id.0 as usize).map(|e| &e.filter)
    }

    /// The members of a filter.
    pub fn members(&self, id: FilterId) -> &[T] {
        self.entries.get(id.0 as usize).map_or(&[], |e| e.members.as_slice())
    }

    /// The member of a filter with this key.
    pub fn member(&self, id: FilterId, key: u64) -> Option<&T> {
        self.entries.get(id.0 as usize)?.members.find(key)
    }

    /// Calls `sink` with each filter that matches the topic, and its members. Allocates nothing for
    /// topics of up to 24 levels.
    pub fn matches(&self, topic: &str, mut sink: impl FnMut(FilterId, &[T])) {
        let mut found = |id: u32| sink(FilterId(id), self.entries[id as usize].members.as_slice());
        if let Some(id) = self.find(topic) {
            found(id.0);
        }
        self.trie.matches(topic, found);
    }

    /// All filters with their members, in an order that only the history of the table decides.
    pub fn iter(&self) -> impl Iterator<Item = (FilterId, &str, &[T])> {
        self.entries.iter().map(|(n, e)| (FilterId(n as u32), &*e.filter, e.members.as_slice()))
    }

    /// Filters that have members.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no filter has members.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Members of all filters together.
    pub fn members_len(&self) -> usize {
        self.members
    }

    /// Another number after each change: what was looked up under the same one still holds.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn forget(&mut self, id: FilterId) {
        let entry = self.entries.remove(id.0 as usize);
        if let Ok(found) = self.numbers.find_entry(self.hasher.hash_one(&*entry.filter), |&n| n == id.0) {
            found.remove();
        }
        if is_wildcard(&entry.filter) {
            self.trie.remove(&entry.filter);
        }
    }
}

fn is_wildcard(filter: &str) -> bool {
    filter.bytes().any(|b| b == b'+' || b == b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct M(u32);

    impl Member for M {
        fn key(&self) -> u64 {
            u64::from(self.0)
        }
    }

    fn matching(table: &Table<M>, topic: &str) -> Vec<String> {
        let mut found = Vec::new();
        table.matches(topic, |id, _| found.push(table.filter(id).to_owned()));
        found.sort();
        found
    }

    fn table(filters: &[&str]) -> Table<M> {
        let mut table = Table::new(7);
        for (n, filter) in filters.iter().enumerate() {
            assert!(table.insert(*filter, M(n as u32)).first);
        }
        table
    }

    #[test]
    fn filters_match_as_the_specification_says() {
        let table = table(&[
            "sport/tennis/player1/#",
            "sport/#",
            "#",
            "sport/tennis/+",
            "+",
            "+/tennis/#",
            "/finance",
            "/+",
            "+/+",
            "sport/tennis/player1",
            "sport/+",
        ]);
        let cases: &[(&str, &[&str])] = &[
            (
                "sport/tennis/player1",
                &[
                    "#",
                    "+/tennis/#",
                    "sport/#",
                    "sport/tennis/+",
                    "sport/tennis/player1",
                    "sport/tennis/player1/#",
                ],
            ),
            ("sport/tennis/player1/ranking", &["#", "+/tennis/#", "sport/#", "sport/tennis/player1/#"]),
            ("sport", &["#", "+", "sport/#"]),
            ("sport/", &["#", "+/+", "sport/#", "sport/+"]),
            ("/finance", &["#", "+/+", "/+", "/finance"]),
            ("x", &["#", "+"]),
        ];
        for (topic, expected) in cases {
            assert_eq!(matching(&table, topic), *expected, "{topic}");
        }
    }

    #[test]
    fn leading_wildcards_do_not_match_dollar_topics() {
        let table = table(&["#", "+/monitor/Clients", "$SYS/#", "$SYS/monitor/+", "+", "$SYS/+/Clients"]);
        assert_eq!(matching(&table, "$SYS/monitor/Clients"), ["$SYS/#", "$SYS/+/Clients", "$SYS/monitor/+"]);
        assert_eq!(matching(&table, "$SYS"), ["$SYS/#"]);
        assert_eq!(matching(&table, "a/monitor/Clients"), ["#", "+/monitor/Clients"]);
    }

    #[test]
    fn the_last_member_takes_the_filter_with_it() {
        let mut table: Table<M> = Table::new(7);
        let id = table.insert("a/+", M(1)).id;
        assert!(!table.insert("a/+", M(2)).first);
        assert_eq!(table.insert("a/+", M(2)).replaced, Some(M(2)));
        assert_eq!((table.len(), table.members_len()), (1, 2));
        assert_eq!(table.remove(id, 1), Some((M(1), false)));
        assert_eq!(table.remove(id, 1), None);
        assert_eq!(table.remove(id, 2), Some((M(2), true)));
        assert!(table.is_empty() && matching(&table, "a/b").is_empty());
        assert_eq!(table.find("a/+"), None);
    }

    #[test]
    fn random_filters_match_like_a_plain_comparison() {
        fn plain(filter: &str, topic: &str) -> bool {
            let (mut f, mut t) = (filter.split('/'), topic.split('/'));
            loop {
                match (f.next(), t.next()) {
                    (Some("#"), _) => return true,
                    (Some("+"), Some(_)) => {}
                    (Some(a), Some(b)) if a == b => {}
                    (None, None) => return true,
                    _ => return false,
                }
            }
        }
        let mut state = 1u32;
        let mut next = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % n
        };
        let mut filters: Vec<String> = Vec::new();
        for _ in 0..300 {
            let mut levels: Vec<&str> =
                (0..1 + next(4)).map(|_| ["a", "b", "", "+"][next(4) as usize]).collect();
            if next(3) == 0 {
                levels.push("#");
            }
            filters.push(levels.join("/"));
        }
        filters.sort();
        filters.dedup();
        let mut table: Table<M> = Table::new(3);
        let ids: Vec<FilterId> =
            filters.iter().enumerate().map(|(n, f)| table.insert(f.as_str(), M(n as u32)).id).collect();
        for half in [false, true] {
            for _ in 0..300 {
                let topic: Vec<&str> =
                    (0..1 + next(5)).map(|_| ["a", "b", "", "c"][next(4) as usize]).collect();
                let topic = topic.join("/");
                let mut expected: Vec<String> =
                    filters.iter().filter(|f| plain(f, &topic)).cloned().collect();
                if half {
                    expected.retain(|f| filters.iter().position(|g| g == f).is_some_and(|n| n % 2 == 1));
                }
                assert_eq!(matching(&table, &topic), expected, "{topic}");
            }
            if !half {
                for n in (0..ids.len()).step_by(2) {
                    table.remove(ids[n], n as u64);
                }
            }
        }
    }

    #[test]
    fn an_exact_filter_costs_little_beyond_its_text() {
        #[derive(Clone, Copy)]
        struct Eight(u32, #[allow(dead_code, reason = "stands for the options of a subscription")] u32);
        impl Member for Eight {
            fn key(&self) -> u64 {
                u64::from(self.0)
            }
        }
        // 32 for the entry, 5 bytes per slot of a table that is at least 7/16 full after it has grown.
        assert!(size_of::<Entry<Eight>>() <= 32, "{}", size_of::<Entry<Eight>>());
    }
}
