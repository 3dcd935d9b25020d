//! The node's own entries of the owned tables: what its shards together want and have.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::routes::GroupCount;
use cluster::{Stamp, TableId, VisitEntries};

use super::{CLIENTS, GROUPS, ROUTES};

/// Routes, shared groups and client ids of this node, in order. The texts are those that the shards have.
#[derive(Default)]
pub struct Own {
    /// Filter → the shards that want it, a bit each.
    routes: BTreeMap<Arc<str>, u64>,
    /// Shared filter → members by shard.
    groups: BTreeMap<Arc<str>, Vec<(usize, GroupCount)>>,
    clients: BTreeMap<Arc<str>, Stamp>,
}

/// The value of an entry before and after a change; `None`: there was, or is, none.
type Change<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

impl Own {
    /// A shard wants a filter, or no longer; what changed for the node, if anything.
    pub fn route(&mut self, shard: usize, filter: &Arc<str>, on: bool) -> Option<Change<'static>> {
        let bit = 1u64 << shard;
        match self.routes.get_mut(filter) {
            None if on => {
                self.routes.insert(Arc::clone(filter), bit);
                Some((None, Some(&[])))
            }
            None => None,
            Some(shards) => {
                *shards = if on { *shards | bit } else { *shards & !bit };
                if *shards != 0 {
                    return None;
                }
                self.routes.remove(filter);
                Some((Some(&[]), None))
            }
        }
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
                let _ =
                    self.routes.range::<str, _>((from, Unbounded)).all(|(key, _)| visit(key.as_bytes(), &[]));
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
        self.routes.keys().chain(self.groups.keys()).map(|key| &**key)
    }
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
        assert_eq!(own.route(0, &"a".into(), false), None);
        assert_eq!(own.route(1, &"a".into(), false), Some((Some(&[][..]), None)));
        assert_eq!(own.route(1, &"a".into(), false), None);
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
