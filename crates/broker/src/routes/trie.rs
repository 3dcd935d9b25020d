//! The wildcard filters, level by level. A node is a few numbers in one slab, an edge one number in one
//! hash table, a level's text is kept once however many filters have it. Matching walks with a list of
//! its own instead of recursion: a hostile topic of thirty thousand levels costs no stack.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

/// "Nothing there" in a node.
const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

/// A set of wildcard filters, each with a number.
pub(super) struct Trie {
    hasher: FixedState,
    nodes: Slab<Node>,
    /// Nodes by parent and level; `+` is not among them.
    edges: HashTable<u32>,
    levels: Levels,
    filters: usize,
}

struct Node {
    parent: u32,
    /// The level that leads here; `NONE` for `+`.
    level: u32,
    /// The child for `+`.
    plus: u32,
    /// The filter that ends here.
    here: u32,
    /// The filter that ends here with `/#`.
    rest: u32,
    /// Children, that for `+` included.
    children: u32,
}

impl Node {
    fn new(parent: u32, level: u32) -> Node {
        Node { parent, level, plus: NONE, here: NONE, rest: NONE, children: 0 }
    }
}

impl Trie {
    pub(super) fn new(seed: u64) -> Trie {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(NONE, NONE));
        let hasher = FixedState::with_seed(seed);
        Trie { hasher, nodes, edges: HashTable::new(), levels: Levels::new(seed), filters: 0 }
    }

    /// Adds a filter that is not there yet.
    pub(super) fn insert(&mut self, filter: &str, id: u32) {
        self.filters += 1;
        let mut at = ROOT;
        for level in filter.split('/') {
            match level {
                "#" => break,
                "+" => {
                    if self.nodes[at as usize].plus == NONE {
                        let new = self.nodes.insert(Node::new(at, NONE)) as u32;
                        self.nodes[at as usize].plus = new;
                        self.nodes[at as usize].children += 1;
                    }
                    at = self.nodes[at as usize].plus;
                }
                _ => at = self.child_or_new(at, level),
            }
        }
        let node = &mut self.nodes[at as usize];
        *(if ends_with_hash(filter) { &mut node.rest } else { &mut node.here }) = id;
    }

    /// Removes a filter that is there.
    pub(super) fn remove(&mut self, filter: &str) {
        let mut at = ROOT;
        for level in filter.split('/') {
            let next = match level {
                "#" => break,
                "+" => self.nodes[at as usize].plus,
                _ => self.levels.find(level).map_or(NONE, |l| self.child(at, l)),
            };
            if next == NONE {
                return;
            }
            at = next;
        }
        self.filters -= 1;
        let node = &mut self.nodes[at as usize];
        *(if ends_with_hash(filter) { &mut node.rest } else { &mut node.here }) = NONE;
        self.prune(at);
    }

    /// Calls `sink` with the number of each filter that matches the topic. The first level of a topic
    /// that starts with `$` is not matched by a wildcard. [MQTT-4.7.2-1]
    pub(super) fn matches(&self, topic: &str, mut sink: impl FnMut(u32)) {
        if self.filters == 0 {
            return;
        }
        let levels: SmallVec<[u32; 24]> =
            topic.split('/').map(|l| self.levels.find(l).unwrap_or(NONE)).collect();
        let reserved = topic.starts_with('$');
        let mut open: SmallVec<[(u32, u32); 24]> = SmallVec::new();
        open.push((ROOT, 0));
        while let Some((at, depth)) = open.pop() {
            let node = &self.nodes[at as usize];
            let wild = !(reserved && depth == 0);
            if node.rest != NONE && wild {
                sink(node.rest);
            }
            let Some(&level) = levels.get(depth as usize) else {
                if node.here != NONE {
                    sink(node.here);
                }
                continue;
            };
            if node.plus != NONE && wild {
                open.push((node.plus, depth + 1));
            }
            if level != NONE {
                let child = self.child(at, level);
                if child != NONE {
                    open.push((child, depth + 1));
                }
            }
        }
    }

    fn edge_hash(hasher: &FixedState, parent: u32, level: u32) -> u64 {
        hasher.hash_one((u64::from(parent) << 32) | u64::from(level))
    }

    fn child(&self, parent: u32, level: u32) -> u32 {
        let hash = Self::edge_hash(&self.hasher, parent, level);
        let same = |&n: &u32| {
            let node = &self.nodes[n as usize];
            node.parent == parent && node.level == level
        };
        self.edges.find(hash, same).copied().unwrap_or(NONE)
    }

    fn child_or_new(&mut self, parent: u32, text: &str) -> u32 {
        let level = self.levels.intern(text);
        let child = self.child(parent, level);
        if child != NONE {
            self.levels.release(level);
            return child;
        }
        let new = self.nodes.insert(Node::new(parent, level)) as u32;
        self.nodes[parent as usize].children += 1;
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let rehash = |&n: &u32| {
            let node = &nodes[n as usize];
            Self::edge_hash(hasher, node.parent, node.level)
        };
        self.edges.insert_unique(Self::edge_hash(hasher, parent, level), new, rehash);
        new
    }

    /// Takes away the nodes that no filter needs any more, from `at` upwards.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT {
            let node = &self.nodes[at as usize];
            if node.children > 0 || node.here != NONE || node.rest != NONE {
                return;
            }
            let (parent, level) = (node.parent, node.level);
            if level == NONE {
                self.nodes[parent as usize].plus = NONE;
            } else {
                let hash = Self::edge_hash(&self.hasher, parent, level);
                if let Ok(edge) = self.edges.find_entry(hash, |&n| n == at) {
                    edge.remove();
                }
                self.levels.release(level);
            }
            self.nodes.remove(at as usize);
            self.nodes[parent as usize].children -= 1;
            at = parent;
        }
    }
}

fn ends_with_hash(filter: &str) -> bool {
    filter == "#" || filter.ends_with("/#")
}

/// Each text of a level once, with the number of nodes that have it.
struct Levels {
    hasher: FixedState,
    texts: Slab<(Box<str>, u32)>,
    numbers: HashTable<u32>,
}

impl Levels {
    fn new(seed: u64) -> Levels {
        Levels { hasher: FixedState::with_seed(seed), texts: Slab::new(), numbers: HashTable::new() }
    }

    fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.numbers.find(hash, |&n| *self.texts[n as usize].0 == *text).copied()
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(n) = self.find(text) {
            self.texts[n as usize].1 += 1;
            return n;
        }
        let n = self.texts.insert((text.into(), 1)) as u32;
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.numbers.insert_unique(hasher.hash_one(text), n, |&n| hasher.hash_one(&*texts[n as usize].0));
        n
    }

    fn release(&mut self, n: u32) {
        let entry = &mut self.texts[n as usize];
        entry.1 -= 1;
        if entry.1 > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&*entry.0);
        if let Ok(found) = self.numbers.find_entry(hash, |&m| m == n) {
            found.remove();
        }
        self.texts.remove(n as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_removed_filters() {
        let mut trie = Trie::new(1);
        let filters = ["a/+/c", "a/#", "#", "+", "a/b/+", "+/+/#", "//+", "$SYS/#"];
        for (n, filter) in filters.iter().enumerate() {
            trie.insert(filter, n as u32);
        }
        for filter in filters {
            trie.remove(filter);
        }
        trie.remove("a/+/x");
        assert_eq!((trie.nodes.len(), trie.edges.len(), trie.levels.texts.len(), trie.filters), (1, 0, 0, 0));
        assert_eq!(trie.levels.numbers.len(), 0);
    }

    #[test]
    fn a_topic_of_thirty_thousand_levels_costs_no_stack() {
        let mut trie = Trie::new(1);
        let topic = "/".repeat(30_000);
        trie.insert(&format!("{}+", "/".repeat(30_000)), 7);
        trie.insert(&"+/".repeat(30_000), 8);
        let mut found = Vec::new();
        trie.matches(&topic, |id| found.push(id));
        found.sort_unstable();
        assert_eq!(found, [7, 8]);
    }
}
