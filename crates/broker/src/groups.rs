//! Shared groups: the members that a shard has, and how the publisher's shard picks one member among
//! all places. The order of members is the same seen from everywhere (by node, by shard, by arrival), so
//! that `hash` strategies choose the same member whoever publishes.

use std::collections::VecDeque;

use slab::Slab;
use smallvec::SmallVec;

use crate::routes::{GroupCount, Place};
use crate::settings::Strategy;
use crate::subscription::Target;

/// Publishers whose sticky choice a group remembers.
const STICKY_MAX: usize = 4096;

/// The groups that have members on this shard.
#[derive(Default)]
pub(crate) struct Groups {
    groups: Slab<Group>,
}

/// The members of one group and filter on this shard.
pub(crate) struct Group {
    pub(crate) name: Box<str>,
    pub(crate) filter: Box<str>,
    /// Connected members first.
    members: Vec<Target>,
    online: usize,
    sticky: VecDeque<(u64, u32)>,
}

impl Groups {
    pub(crate) fn create(&mut self, name: &str, filter: &str) -> u32 {
        let group = Group {
            name: name.into(),
            filter: filter.into(),
            members: Vec::new(),
            online: 0,
            sticky: VecDeque::new(),
        };
        self.groups.insert(group) as u32
    }

    pub(crate) fn group(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)
    }

    pub(crate) fn group_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(number as usize)
    }

    pub(crate) fn remove(&mut self, number: u32) {
        self.groups.try_remove(number as usize);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(|(_, group)| group)
    }
}

/// How a member is chosen at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// By its number; beyond the last one it starts again.
    Index(u32),
    /// The one that this publisher was given before, if it is there; any other from now on.
    Sticky(u64),
}

impl Group {
    /// Adds a member or replaces its options. Says whether it was not there.
    pub(crate) fn insert(&mut self, member: Target, connected: bool) -> bool {
        if let Some(old) = self.members.iter_mut().find(|m| m.session() == member.session()) {
            *old = member;
            return false;
        }
        self.members.push(member);
        if connected {
            let last = self.members.len() - 1;
            self.members.swap(self.online, last);
            self.online += 1;
        }
        true
    }

    /// Removes a member. Says whether it was there.
    pub(crate) fn remove(&mut self, session: u32) -> bool {
        self.set_connected(session, false);
        let Some(at) = self.position(session) else { return false };
        // What is removed is not online, so the last one, which takes its place, is not either.
        self.members.swap_remove(at);
        self.sticky.retain(|(_, s)| *s != session);
        true
    }

    /// A member's connection came or went.
    pub(crate) fn set_connected(&mut self, session: u32, connected: bool) {
        let Some(at) = self.position(session) else { return };
        match (at < self.online, connected) {
            (false, true) => {
                self.members.swap(at, self.online);
                self.online += 1;
            }
            (true, false) => {
                self.online -= 1;
                self.members.swap(at, self.online);
            }
            _ => {}
        }
    }

    /// The member with this number among the connected ones, or among all.
    pub(crate) fn pick(&mut self, pick: Pick, connected_first: bool) -> Option<Target> {
        let among = if connected_first && self.online > 0 { self.online } else { self.members.len() };
        match pick {
            Pick::Index(index) => self.members.get(index as usize % among.max(1)).copied(),
            Pick::Sticky(token) => {
                let before = self.sticky.iter().find(|(t, _)| *t == token).map(|(_, s)| *s);
                if let Some(at) = before.and_then(|s| self.position(s))
                    && at < among
                {
                    return Some(self.members[at]);
                }
                let chosen = *self.members.get((token % among.max(1) as u64) as usize)?;
                self.sticky.retain(|(t, _)| *t != token);
                if self.sticky.len() >= STICKY_MAX {
                    self.sticky.pop_front();
                }
                self.sticky.push_back((token, chosen.session()));
                Some(chosen)
            }
        }
    }

    /// The next member after this one, for a message that it could not take.
    pub(crate) fn after(&self, session: u32, connected_first: bool) -> impl Iterator<Item = Target> {
        let among = if connected_first && self.online > 0 { self.online } else { self.members.len() };
        let start = self.position(session).map_or(0, |at| at + 1);
        let others = (0..among).map(move |n| (start + n) % among);
        others.map(|at| self.members[at]).filter(move |m| m.session() != session)
    }

    /// How many members other places are told of.
    pub(crate) fn count(&self, connected_first: bool) -> GroupCount {
        let members = self.members.len() as u32;
        GroupCount { members, online: if connected_first { self.online as u32 } else { members } }
    }

    /// `$share/<group>/<filter>`, or `$queue/<filter>`.
    pub(crate) fn key(&self) -> String {
        shared_key(&self.name, &self.filter)
    }

    fn position(&self, session: u32) -> Option<usize> {
        self.members.iter().position(|m| m.session() == session)
    }
}

/// The inverse of [`crate::routes::shared`].
pub(crate) fn shared_key(name: &str, filter: &str) -> String {
    if name == "$queue" { format!("$queue/{filter}") } else { format!("$share/{name}/{filter}") }
}

/// One group that wants a topic, and where its members are.
#[derive(Clone, Debug)]
pub(crate) struct GroupTargets {
    /// Names the group in a publisher's state.
    pub(crate) key: u64,
    pub(crate) name: Box<str>,
    pub(crate) filter: Box<str>,
    pub(crate) strategy: Strategy,
    pub(crate) candidates: SmallVec<[Candidate; 2]>,
}

/// Members of a group at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) node_key: u64,
    pub(crate) place: Place,
    pub(crate) count: GroupCount,
    /// The number of the group on this shard, where the place is this shard.
    pub(crate) own: Option<u32>,
}

/// What a pick depends on.
pub(crate) struct Publisher<'a> {
    pub(crate) client: &'a [u8],
    pub(crate) topic: &'a [u8],
    /// Names the publishing connection.
    pub(crate) token: u64,
}

/// What one publisher remembers of the groups it has published to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picks {
    last: Vec<(u64, Last)>,
}

#[derive(Clone, Copy, Debug)]
enum Last {
    RoundRobin(u32),
    Sticky(Place),
}

/// Groups that one publisher remembers.
const PICKS_MAX: usize = 64;

impl Picks {
    fn find(&mut self, key: u64) -> Option<&mut Last> {
        self.last.iter_mut().find(|(k, _)| *k == key).map(|(_, last)| last)
    }

    fn note(&mut self, key: u64, last: Last) {
        if let Some(old) = self.find(key) {
            *old = last;
            return;
        }
        if self.last.len() >= PICKS_MAX {
            self.last.remove(0);
        }
        self.last.push((key, last));
    }
}

/// Names a group, alike on every node and in every run.
pub(crate) fn group_key(name: &str, filter: &str) -> u64 {
    stable_hash(name.as_bytes()) ^ stable_hash(filter.as_bytes()).rotate_left(1)
}

/// A hash that means the same on every node and in every version (FNV-1a, then mixed).
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// Chooses the place, and the member there. `None`: the group has no member at all.
pub(crate) fn choose(
    group: &GroupTargets,
    publisher: &Publisher<'_>,
    picks: &mut Picks,
    rng: &mut Rng,
) -> Option<(Candidate, Pick)> {
    // Where nobody is connected, somebody who is not gets it.
    let someone_online = group.candidates.iter().any(|c| c.count.online > 0);
    let weight = |c: &Candidate| if someone_online { c.count.online } else { c.count.members };
    let total: u64 = group.candidates.iter().map(|c| u64::from(weight(c))).sum();
    if total == 0 {
        return None;
    }
    let nth = |mut n: u64| {
        for candidate in &group.candidates {
            match n.checked_sub(u64::from(weight(candidate))) {
                Some(rest) => n = rest,
                None => return Some((*candidate, Pick::Index(n as u32))),
            }
        }
        None
    };
    match group.strategy {
        Strategy::Random => nth(rng.below(total)),
        Strategy::HashClientId => nth(stable_hash(publisher.client) % total),
        Strategy::HashTopic => nth(stable_hash(publisher.topic) % total),
        Strategy::RoundRobin => {
            let next = match picks.find(group.key) {
                Some(Last::RoundRobin(last)) => (u64::from(*last) + 1) % total,
                _ => rng.below(total),
            };
            picks.note(group.key, Last::RoundRobin(next as u32));
            nth(next)
        }
        Strategy::Sticky => {
            if let Some(Last::Sticky(place)) = picks.find(group.key) {
                let place = *place;
                if let Some(same) = group.candidates.iter().find(|c| c.place == place && weight(c) > 0) {
                    return Some((*same, Pick::Sticky(publisher.token)));
                }
            }
            let (chosen, _) = nth(rng.below(total))?;
            picks.note(group.key, Last::Sticky(chosen.place));
            Some((chosen, Pick::Sticky(publisher.token)))
        }
        Strategy::Local => {
            let near = |c: &&Candidate| !c.place.is_peer() && weight(c) > 0;
            let total_near: u64 = group.candidates.iter().filter(near).map(|c| u64::from(weight(c))).sum();
            if total_near == 0 {
                return nth(rng.below(total));
            }
            let mut n = rng.below(total_near);
            for candidate in group.candidates.iter().filter(near) {
                match n.checked_sub(u64::from(weight(candidate))) {
                    Some(rest) => n = rest,
                    None => return Some((*candidate, Pick::Index(n as u32))),
                }
            }
            None
        }
    }
}

/// Randomness from a seed (SplitMix64). Good enough to spread messages, not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Another seed, another sequence: the mixing is in `next` (SplitMix64).
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(strategy: Strategy, counts: &[(Place, u32, u32)]) -> GroupTargets {
        let candidate = |&(place, members, online): &(Place, u32, u32)| Candidate {
            node_key: u64::from(place.0),
            place,
            count: GroupCount { members, online },
            own: None,
        };
        GroupTargets {
            key: group_key("g", "t"),
            name: "g".into(),
            filter: "t".into(),
            strategy,
            candidates: counts.iter().map(candidate).collect(),
        }
    }

    fn run(group: &GroupTargets, times: u64, client_of: impl Fn(u64) -> String) -> Vec<(u16, Pick)> {
        let (mut picks, mut rng) = (Picks::default(), Rng::new(5));
        let pick = |n| {
            let client = client_of(n);
            let publisher = Publisher { client: client.as_bytes(), topic: b"t", token: 9 };
            choose(group, &publisher, &mut picks, &mut rng).map(|(c, p)| (c.place.0, p))
        };
        (0..times).filter_map(pick).collect()
    }

    const SPREAD: &[(Place, u32, u32)] = &[(Place(0), 1, 1), (Place(256), 2, 2), (Place(257), 3, 3)];

    #[test]
    fn round_robin_visits_every_member_in_turn() {
        let mut seen = run(&targets(Strategy::RoundRobin, SPREAD), 12, |_| "p".into());
        let first: Vec<_> = seen.drain(..6).collect();
        assert_eq!(first, seen);
        assert_eq!((0..6).filter(|n| first[..*n].contains(&first[*n])).count(), 0);
    }

    #[test]
    fn random_gives_each_member_its_part() {
        let seen = run(&targets(Strategy::Random, SPREAD), 6000, |_| "p".into());
        for (place, members) in [(0, 1), (256, 2), (257, 3)] {
            let got = seen.iter().filter(|(p, _)| *p == place).count();
            assert!(got.abs_diff(members * 1000) < 200, "{place}: {got}");
        }
    }

    #[test]
    fn two_seeds_make_two_sequences() {
        let first: std::collections::BTreeSet<u64> =
            (0..1000).map(|seed| Rng::new(seed << 32).next()).collect();
        assert_eq!(first.len(), 1000);
    }

    #[test]
    fn hashes_and_sticky_stay_with_one_member() {
        for strategy in [Strategy::HashClientId, Strategy::HashTopic, Strategy::Sticky] {
            let seen = run(&targets(strategy, SPREAD), 50, |_| "p".into());
            assert!(seen.iter().all(|s| *s == seen[0]), "{strategy:?}");
        }
        let many = run(&targets(Strategy::HashClientId, SPREAD), 600, |n| format!("client{n}"));
        let mut places: Vec<_> = many.iter().map(|(p, _)| *p).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, [0, 256, 257]);
    }

    #[test]
    fn local_stays_on_the_node_while_somebody_is_there() {
        let seen =
            run(&targets(Strategy::Local, &[(Place(1), 1, 1), (Place(256), 9, 9)]), 50, |_| "p".into());
        assert!(seen.iter().all(|(p, _)| *p == 1));
        let seen =
            run(&targets(Strategy::Local, &[(Place(1), 1, 0), (Place(256), 9, 9)]), 50, |_| "p".into());
        assert!(seen.len() == 50 && seen.iter().all(|(p, _)| *p == 256));
    }

    #[test]
    fn connected_members_go_before_the_others() {
        let group = targets(Strategy::Random, &[(Place(0), 5, 0), (Place(256), 5, 1)]);
        assert!(run(&group, 50, |_| "p".into()).iter().all(|s| *s == (256, Pick::Index(0))));
        let nobody = targets(Strategy::Random, &[(Place(0), 5, 0)]);
        assert_eq!(run(&nobody, 50, |_| "p".into()).len(), 50);
        assert!(run(&targets(Strategy::Random, &[]), 5, |_| "p".into()).is_empty());
    }

    #[test]
    fn a_group_keeps_connected_members_first_through_any_change() {
        let mut groups = Groups::default();
        let number = groups.create("g", "t");
        let group = groups.group_mut(number).unwrap();
        for n in 0..6 {
            assert!(group.insert(Target::new(n, 0), n % 2 == 0));
        }
        assert!(!group.insert(Target::new(3, 1), false));
        group.set_connected(1, true);
        group.set_connected(0, false);
        assert!(group.remove(4) && !group.remove(4));
        let connected: Vec<u32> = group.members[..group.online].iter().map(|m| m.session()).collect();
        let mut sorted = connected.clone();
        sorted.sort_unstable();
        assert_eq!((sorted, group.members.len()), (vec![1, 2], 5));
        assert_eq!(group.count(true), GroupCount { members: 5, online: 2 });
        assert_eq!(group.count(false), GroupCount { members: 5, online: 5 });
        let sticky = group.pick(Pick::Sticky(7), false).unwrap();
        assert_eq!(group.pick(Pick::Sticky(7), false), Some(sticky));
        assert!(group.after(sticky.session(), false).all(|m| m != sticky));
        assert_eq!(group.after(sticky.session(), false).count(), 4);
        group.remove(sticky.session());
        assert_ne!(group.pick(Pick::Sticky(7), false), Some(sticky));
    }
}
