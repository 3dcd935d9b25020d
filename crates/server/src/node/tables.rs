//! The node's own entries of the owned tables: what its shards together want and have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker::routes::GroupCount;
use cluster::{Stamp, TableId, VisitEntries};

use super::{CLIENTS, GROUPS, ROUTES};

/// Routes, shared groups and client ids of this node, in order. The texts are those that the shards have.
#[derive(Default)]
pub struct Own {
    /// The filters that each shard wants. Most are wanted by one shard only, and a set of texts is a third
    /// smaller than a map from them to shards.
    routes: Vec<BTreeSet<Arc<str>>>,
    /// Shared filter → members by shard.
    groups: BTreeMap<Arc<str>, Vec<(usize, GroupCount)>>,
    clients: BTreeMap<Arc<str>, Stamp>,
}

/// The value of an entry before and after a change; `None`: there was, or is, none.
type Change<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

impl Own {
    /// A shard wants a filter, or no longer; what changed for the node, if anything.
    pub fn route(&mut self, shard: usize, filter: &Arc<str>, on: bool) -> Option<Change<'static>> {
        if self.routes.len() <= shard {
            self.routes.resize_with(shard + 1, BTreeSet::new);
        }
        let wanted = &mut self.routes[shard];
        let is_news = if on { wanted.insert(Arc::clone(filter)) } else { wanted.remove(filter) };
        let mut others = (0..).zip(&self.routes).filter(|(other, _)| *other != shard);
        if !is_news || others.any(|(_, wanted)| wanted.contains(filter)) {
            return None;
        }
        let (there, gone) = (Some(&[][..]), None);
        Some(if on { (gone, there) } else { (there, gone) })
    }

    /// A shard has so many members of a group; the node's count before and after.
    pub fn members(
        &mut self,
        shard: usize,
        key: &Arc<str>,
        count: GroupCount,
    ) -> (Option<[u8; 8]>, Option<[u8; 8]>) {
        let parts = self.groups.entry(Arc::clone(key)).or_default();
        let was = sum(parts);
        parts.retain(|(of, _)| *of != shard);
        if count.members > 0 {
            parts.push((shard, count));
        }
        let is = sum(parts);
        if parts.is_empty() {
            self.groups.remove(key);
        }
        (was.map(GroupCount::to_bytes), is.map(GroupCount::to_bytes))
    }

    /// The node claims a client id, or gives it up.
    pub fn claim(&mut self, client: Arc<str>, stamp: Option<Stamp>) -> (Option<Stamp>, Option<Stamp>) {
        let was = match stamp {
            Some(stamp) => self.clients.insert(client, stamp),
            None => self.clients.remove(&client),
        };
        (was, stamp)
    }

    /// Walks over a table by ascending key from behind `after`.
    pub fn visit(&self, table: TableId, after: Option<&[u8]>, visit: &mut VisitEntries<'_>) {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = after.map(|key| String::from_utf8_lossy(key).into_owned());
        let from = after.as_deref().map_or(Unbounded, Excluded);
        match table {
            ROUTES => {
                let parts = self.routes.iter().map(|part| part.range::<str, _>((from, Unbounded)));
                let _ = merged(parts).all(|key| visit(key.as_bytes(), &[]));
            }
            GROUPS => {
                let _ = self.groups.range::<str, _>((from, Unbounded)).all(|(key, parts)| {
                    sum(parts).is_none_or(|count| visit(key.as_bytes(), &count.to_bytes()))
                });
            }
            CLIENTS => {
                let _ = self
                    .clients
                    .range::<str, _>((from, Unbounded))
                    .all(|(key, stamp)| visit(key.as_bytes(), &stamp.encode()));
            }
            _ => {}
        }
    }

    /// Filters, shared ones among them, in order.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        merged(self.routes.iter().map(|part| part.iter())).chain(self.groups.keys().map(|key| &**key))
    }
}

/// Texts of several ordered lists in one order, each text once.
fn merged<'a, L>(lists: impl Iterator<Item = L>) -> impl Iterator<Item = &'a str>
where
    L: Iterator<Item = &'a Arc<str>>,
{
    let mut heads: Vec<_> = lists.map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let least = heads.iter_mut().filter_map(|list| list.peek().map(|text| &***text)).min()?;
        for list in &mut heads {
            list.next_if(|text| ***text == *least);
        }
        Some(least)
    })
}

fn sum(parts: &[(usize, GroupCount)]) -> Option<GroupCount> {
    if parts.is_empty() {
        return None;
    }
    Some(parts.iter().fold(GroupCount::default(), |sum, (_, count)| GroupCount {
        members: sum.members + count.members,
        online: sum.online + count.online,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_the_nodes_from_its_first_shard_to_its_last() {
        let mut own = Own::default();
        assert_eq!(own.route(0, &"a".into(), true), Some((None, Some(&[][..]))));
        assert_eq!(own.route(1, &"a".into(), true), None);
        assert_eq!(own.route(0, &"a".into(), true), None);
        assert_eq!(own.route(0, &"a".into(), false), None);
        assert_eq!(own.route(1, &"a".into(), false), Some((Some(&[][..]), None)));
        assert_eq!(own.route(1, &"a".into(), false), None);
    }

    #[test]
    fn routes_are_visited_in_order_and_once_whichever_shards_want_them() {
        let mut own = Own::default();
        for (shard, filter) in [(2, "c"), (0, "a"), (1, "b"), (2, "a"), (0, "d"), (1, "d"), (2, "d")] {
            own.route(shard, &filter.into(), true);
        }
        let visited = |after: Option<&[u8]>| {
            let mut keys = Vec::new();
            own.visit(ROUTES, after, &mut |key, _| {
                keys.push(String::from_utf8_lossy(key).into_owned());
                true
            });
            keys.concat()
        };
        assert_eq!((visited(None), visited(Some(b"b"))), ("abcd".to_owned(), "cd".to_owned()));
        assert_eq!(own.filters().collect::<String>(), "abcd");
    }

    #[test]
    fn members_of_a_group_add_up_over_the_shards() {
        let mut own = Own::default();
        let count = |members| GroupCount { members, online: members };
        assert_eq!(own.members(0, &"$queue/a".into(), count(2)), (None, Some(count(2).to_bytes())));
        assert_eq!(own.members(1, &"$queue/a".into(), count(3)).1, Some(count(5).to_bytes()));
        assert_eq!(own.members(0, &"$queue/a".into(), count(0)).1, Some(count(3).to_bytes()));
        assert_eq!(own.members(1, &"$queue/a".into(), count(0)).1, None);
        assert_eq!(own.filters().count(), 0);
    }
}
