//! Where the messages of one topic go: looked up once, then used for as long as neither the shard's own
//! index nor `Interest` has changed. Each publisher keeps the targets of its last topic.

use crate::groups::{Candidate, GroupTargets, Groups, group_key};
use crate::routes::{Interest, Place, Share, Table, shared};
use crate::settings::Settings;
use crate::subscription::Target;

/// The targets of one topic, as seen from one shard.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    topic: String,
    /// Versions of the index and of `Interest` under which this was looked up. 0: never.
    versions: (u64, u64),
    /// Sessions of this shard.
    pub(crate) own: Vec<Target>,
    /// Places with plain subscribers.
    pub(crate) places: Vec<Place>,
    pub(crate) groups: Vec<GroupTargets>,
}

/// What targets are looked up in.
pub(crate) struct Lookup<'a> {
    pub(crate) index: &'a Table<Target>,
    /// Counts changes of the index and of the groups' members together.
    pub(crate) index_version: u64,
    pub(crate) groups: &'a Groups,
    pub(crate) interest: &'a Interest,
    pub(crate) settings: &'a Settings,
    pub(crate) own_place: Place,
    pub(crate) node_key: u64,
}

impl Lookup<'_> {
    /// All candidates of one group, ordered by node and place.
    fn candidates(&self, name: &str, filter: &str) -> GroupTargets {
        let mut found = GroupTargets {
            key: group_key(name, filter),
            name: name.into(),
            filter: filter.into(),
            strategy: self.settings.strategy(name),
            candidates: Default::default(),
        };
        if let Some(number) = self.own_group(name, filter)
            && let Some(group) = self.groups.group(number)
        {
            let count = group.count(self.settings.shared_ack);
            let place = self.own_place;
            found.candidates.push(Candidate { node_key: self.node_key, place, count, own: Some(number) });
        }
        self.interest.of_filter(filter, |share| {
            let same = share.group.is_some_and(|g| self.interest.group(g) == name);
            if same && share.place != self.own_place {
                found.candidates.push(self.candidate(share));
            }
        });
        found.candidates.sort_by_key(|c| (c.node_key, c.place));
        found
    }

    /// The shard's own number of a group.
    pub(crate) fn own_group(&self, name: &str, filter: &str) -> Option<u32> {
        own_group(self.index, self.groups, name, filter)
    }

    fn candidate(&self, share: &Share) -> Candidate {
        let node_key =
            if share.place.is_peer() { self.interest.node_key(share.place) } else { self.node_key };
        Candidate { node_key, place: share.place, count: share.count, own: None }
    }

    /// One group's targets, wherever they are.
    pub(crate) fn group(&self, key: &str) -> Option<GroupTargets> {
        let (name, filter) = shared(key)?;
        Some(self.candidates(name, filter))
    }

    /// The members of one group on this node: the index counts through its shards in their order.
    pub(crate) fn group_here(&self, name: &str, filter: &str) -> GroupTargets {
        let mut found = self.candidates(name, filter);
        found.candidates.retain(|c| !c.place.is_peer());
        found
    }
}

/// The shard's own number of a group.
pub(crate) fn own_group(index: &Table<Target>, groups: &Groups, name: &str, filter: &str) -> Option<u32> {
    let members = index.members(index.find(filter)?);
    members.iter().filter_map(|t| t.group()).find(|n| groups.group(*n).is_some_and(|g| &*g.name == name))
}

impl Targets {
    /// Makes these the targets of `topic`; does nothing if they still are.
    pub(crate) fn look_up(&mut self, topic: &str, lookup: &Lookup<'_>) {
        let versions = (lookup.index_version + 1, lookup.interest.version() + 1);
        if self.versions == versions && self.topic == topic {
            return;
        }
        self.versions = versions;
        self.topic.clear();
        self.topic.push_str(topic);
        self.own.clear();
        self.places.clear();
        self.groups.clear();
        let Targets { own, places, groups, .. } = self;
        let add_group = |groups: &mut Vec<GroupTargets>, name: &str, filter: &str| {
            if !groups.iter().any(|g| &*g.name == name && &*g.filter == filter) {
                groups.push(lookup.candidates(name, filter));
            }
        };
        lookup.index.matches(topic, |id, targets| {
            for target in targets {
                match target.group() {
                    None => own.push(*target),
                    Some(number) => {
                        if let Some(group) = lookup.groups.group(number) {
                            add_group(groups, &group.name, lookup.index.filter(id));
                        }
                    }
                }
            }
        });
        lookup.interest.matches(topic, |filter, share| match share.group {
            _ if share.place == lookup.own_place => {}
            None => {
                if !places.contains(&share.place) {
                    places.push(share.place);
                }
            }
            Some(number) => add_group(groups, lookup.interest.group(number), filter),
        });
        places.sort_unstable();
    }

    /// Whether nobody wants the topic.
    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.places.is_empty() && self.groups.is_empty()
    }
}
