//! Which client of the cluster has which filter for itself (`$exclusive/…`): a node's own claims, its copy of
//! the peers' claims, and the one place of a node where it is decided who gets a filter.
//!
//! A claim is an entry of an owned table: it is *asked* first and, when every peer that serves knows of it and
//! this node knows all that the peers had until then, *held*. The node where it was asked decides alone, and
//! every node by the same order: what is held goes before what is asked, then the earlier stamp. Two claims
//! that cross are known to both nodes before either decides, so one is held. Only nodes that could not hear one
//! another can both hold a filter; when they can again, the later claim ends.
//!
//! Inputs are methods; what they cause comes out as [`Effect`]s, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use cluster::Stamp;

use crate::effects::Ticket;
use crate::routes::Place;

/// Who asked for a claim: a shard of this node, and the ticket of its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub shard: u16,
    pub ticket: Ticket,
}

/// Names a question to all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoundId(pub u64);

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The own entry of the owned table was and is.
    Entry { filter: Arc<str>, was: Option<Vec<u8>>, is: Option<Vec<u8>> },
    /// Every peer that serves has to hold all own entries made so far, and this node all that such a peer had
    /// when it said so; then call [`Exclusive::known`].
    Round(RoundId),
    /// The answer to [`Exclusive::ask`]: what of each filter.
    Answer { asker: Asker, granted: Vec<bool> },
    /// The claim has ended without the shard's doing.
    End { asker: Asker, filter: Arc<str> },
}

/// The claims of a node and of its peers.
#[derive(Default)]
pub struct Exclusive {
    own: BTreeMap<Arc<str>, Claim>,
    peers: BTreeMap<Arc<str>, Vec<(Place, Entry)>>,
    /// Peers whose claims count.
    serving: BTreeSet<Place>,
    rounds: BTreeMap<RoundId, Round>,
    round: u64,
}

/// What is said of a claim to the peers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    client: Arc<str>,
    /// Asked comes after held.
    is_asked: bool,
    stamp: Stamp,
}

struct Claim {
    entry: Entry,
    /// Several questions about one claim: the client came again before the first was answered.
    askers: Vec<Asker>,
    /// It is being found out whether it has to end.
    in_doubt: bool,
}

enum Round {
    /// Filters that were asked for; `None` is decided at the end.
    Ask { asker: Asker, filters: Vec<(Arc<str>, Option<bool>)> },
    /// A peer's claim goes before the own one.
    Doubt(Arc<str>),
}

const HELD: u8 = 1;
const ASKED: u8 = 2;

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let state = if self.is_asked { ASKED } else { HELD };
        [&[state][..], &self.stamp.encode(), self.client.as_bytes()].concat()
    }

    /// `None`: a later version's entry, or none at all.
    fn decode(bytes: &[u8]) -> Option<Entry> {
        let (state, rest) = bytes.split_first()?;
        let (stamp, client) = rest.split_at_checked(16)?;
        let is_asked = match *state {
            HELD => false,
            ASKED => true,
            _ => return None,
        };
        let client = std::str::from_utf8(client).ok()?.into();
        Some(Entry { client, is_asked, stamp: Stamp::decode(stamp)? })
    }

    /// Whether the other claim goes before this one. A client is not in its own way: its session may be on the
    /// move from one node to another.
    fn yields_to(&self, other: &Entry) -> bool {
        self.client != other.client && (other.is_asked, other.stamp) < (self.is_asked, self.stamp)
    }
}

impl Exclusive {
    /// A shard wants filters for a client alone. `stamp` is new.
    pub fn ask(
        &mut self,
        asker: Asker,
        client: &Arc<str>,
        filters: Vec<Arc<str>>,
        stamp: Stamp,
        out: &mut Vec<Effect>,
    ) {
        let mut asked = Vec::with_capacity(filters.len());
        for filter in filters {
            let is_taken = self.claims_of_peers(&filter).any(|entry| entry.client != *client);
            // What the client has on another node it has here too: its session is on the move.
            let elsewhere = self.claims_of_peers(&filter).find(|entry| !entry.is_asked).cloned();
            let verdict = match self.own.get_mut(&filter) {
                Some(claim) if claim.entry.client == *client => {
                    claim.askers.push(asker);
                    (!claim.entry.is_asked).then_some(true)
                }
                Some(_) => Some(false),
                None if is_taken => Some(false),
                None => {
                    let new = || Entry { client: Arc::clone(client), is_asked: true, stamp };
                    let entry = elsewhere.unwrap_or_else(new);
                    let verdict = (!entry.is_asked).then_some(true);
                    let is = Some(entry.encode());
                    out.push(Effect::Entry { filter: Arc::clone(&filter), was: None, is });
                    let claim = Claim { entry, askers: vec![asker], in_doubt: false };
                    self.own.insert(Arc::clone(&filter), claim);
                    verdict
                }
            };
            asked.push((filter, verdict));
        }
        self.begin(Round::Ask { asker, filters: asked }, out);
    }

    /// The peers have said what [`Effect::Round`] wanted; with `is_sure` false one that serves did not in time.
    pub fn known(&mut self, round: RoundId, is_sure: bool, out: &mut Vec<Effect>) {
        match self.rounds.remove(&round) {
            Some(Round::Ask { asker, filters }) => {
                let mut granted = Vec::with_capacity(filters.len());
                for (filter, verdict) in filters {
                    granted.push(verdict.unwrap_or_else(|| self.decide(asker, &filter, is_sure, out)));
                }
                out.push(Effect::Answer { asker, granted });
            }
            Some(Round::Doubt(filter)) => {
                let yields = self.yields(&filter);
                let Some(claim) = self.own.get_mut(&filter) else { return };
                claim.in_doubt = false;
                if yields && is_sure && !claim.entry.is_asked {
                    self.end(&filter, out);
                } else {
                    self.doubt(&filter, out);
                }
            }
            None => {}
        }
    }

    /// The end of a question: whether the asker has the filter now.
    fn decide(&mut self, asker: Asker, filter: &Arc<str>, is_sure: bool, out: &mut Vec<Effect>) -> bool {
        let yields = self.yields(filter);
        // The shard may have given it back, or another question of the same client has been decided.
        let Some(claim) = self.own.get_mut(filter).filter(|claim| claim.askers.contains(&asker)) else {
            return false;
        };
        if !claim.entry.is_asked {
            return true;
        }
        let was = Some(claim.entry.encode());
        if yields || !is_sure {
            self.own.remove(filter);
            out.push(Effect::Entry { filter: Arc::clone(filter), was, is: None });
            return false;
        }
        claim.entry.is_asked = false;
        let is = Some(claim.entry.encode());
        out.push(Effect::Entry { filter: Arc::clone(filter), was, is });
        true
    }

    /// A shard does without what it asked for, or has.
    pub fn give_back(&mut self, asker: Asker, filter: &str, out: &mut Vec<Effect>) {
        let Some(claim) = self.own.get_mut(filter) else { return };
        claim.askers.retain(|known| *known != asker);
        if claim.askers.is_empty()
            && let Some((filter, claim)) = self.own.remove_entry(filter)
        {
            out.push(Effect::Entry { filter, was: Some(claim.entry.encode()), is: None });
        }
    }

    /// An entry of a peer is new, changed, or (`None`) gone.
    pub fn peer_entry(
        &mut self,
        peer: Place,
        filter: &Arc<str>,
        value: Option<&[u8]>,
        out: &mut Vec<Effect>,
    ) {
        let claims = self.peers.entry(Arc::clone(filter)).or_default();
        claims.retain(|(of, _)| *of != peer);
        claims.extend(value.and_then(Entry::decode).map(|entry| (peer, entry)));
        if claims.is_empty() {
            self.peers.remove(filter);
        }
        self.doubt(filter, out);
    }

    /// The peer cannot be reached: its claims count for nothing.
    pub fn mask(&mut self, peer: Place) {
        self.serving.remove(&peer);
    }

    /// It can be reached again. What is known of its claims may be old: what they put in doubt is looked into.
    pub fn unmask(&mut self, peer: Place, out: &mut Vec<Effect>) {
        self.serving.insert(peer);
        let filters: Vec<Arc<str>> = self.own.keys().map(Arc::clone).collect();
        for filter in filters {
            self.doubt(&filter, out);
        }
    }

    /// The peer is gone for good.
    pub fn forget(&mut self, peer: Place) {
        self.serving.remove(&peer);
        self.peers.retain(|_, claims| {
            claims.retain(|(of, _)| *of != peer);
            !claims.is_empty()
        });
    }

    /// The node gives up all it has: who waits for an answer is refused.
    pub fn clear(&mut self, out: &mut Vec<Effect>) {
        for filter in self.own.keys().map(Arc::clone).collect::<Vec<_>>() {
            self.end(&filter, out);
        }
        for round in std::mem::take(&mut self.rounds).into_values() {
            if let Round::Ask { asker, filters } = round {
                out.push(Effect::Answer { asker, granted: vec![false; filters.len()] });
            }
        }
    }

    /// Walks over the own entries by ascending filter, from behind `after`.
    pub fn visit(&self, after: Option<&str>, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        let _ =
            self.own.range::<str, _>(range).all(|(key, claim)| visit(key.as_bytes(), &claim.entry.encode()));
    }

    /// Own claims that are held: filter and client id.
    pub fn held(&self) -> impl Iterator<Item = (&str, &str)> {
        let held = self.own.iter().filter(|(_, claim)| !claim.entry.is_asked);
        held.map(|(filter, claim)| (&**filter, &*claim.entry.client))
    }

    /// Questions that are not answered.
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }

    fn claims_of_peers(&self, filter: &str) -> impl Iterator<Item = &Entry> {
        let all = self.peers.get(filter).into_iter().flatten();
        all.filter(|(peer, _)| self.serving.contains(peer)).map(|(_, entry)| entry)
    }

    /// Whether a peer's claim goes before the own one.
    fn yields(&self, filter: &str) -> bool {
        let Some(claim) = self.own.get(filter) else { return false };
        self.claims_of_peers(filter).any(|entry| claim.entry.yields_to(entry))
    }

    /// Looks into a claim that is held and perhaps must not be. The peer's claim may be an old one that has
    /// ended while the peer could not be reached: only what stands after a round counts.
    fn doubt(&mut self, filter: &Arc<str>, out: &mut Vec<Effect>) {
        let yields = self.yields(filter);
        if let Some(claim) = self.own.get_mut(filter)
            && yields
            && !claim.entry.is_asked
            && !std::mem::replace(&mut claim.in_doubt, true)
        {
            self.begin(Round::Doubt(Arc::clone(filter)), out);
        }
    }

    fn end(&mut self, filter: &Arc<str>, out: &mut Vec<Effect>) {
        let Some(claim) = self.own.remove(filter) else { return };
        let was = Some(claim.entry.encode());
        out.push(Effect::Entry { filter: Arc::clone(filter), was, is: None });
        out.extend(claim.askers.into_iter().map(|asker| Effect::End { asker, filter: Arc::clone(filter) }));
    }

    /// Begins a round; one that has nobody to ask, or nothing to find out, is over at once.
    fn begin(&mut self, round: Round, out: &mut Vec<Effect>) {
        self.round += 1;
        let id = RoundId(self.round);
        let is_open = match &round {
            Round::Ask { filters, .. } => filters.iter().any(|(_, verdict)| verdict.is_none()),
            Round::Doubt(_) => true,
        };
        self.rounds.insert(id, round);
        if is_open && !self.serving.is_empty() {
            out.push(Effect::Round(id));
        } else {
            self.known(id, true, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry on its way to another node.
    type Told = (Arc<str>, Option<Vec<u8>>);

    /// Nodes whose entries and rounds travel when the test says so.
    struct World {
        nodes: Vec<Exclusive>,
        /// By node: entries of it that each other node has yet to hear.
        told: BTreeMap<(usize, usize), Vec<Told>>,
        rounds: Vec<(usize, RoundId)>,
        answers: Vec<(usize, u64, Vec<bool>)>,
        ended: Vec<(usize, u64, Arc<str>)>,
    }

    fn asker(ticket: u64) -> Asker {
        Asker { shard: 0, ticket: Ticket(ticket) }
    }

    fn stamp(time: u64) -> Stamp {
        Stamp { time, node: time }
    }

    impl World {
        fn new(count: usize) -> World {
            let mut world = World {
                nodes: (0..count).map(|_| Exclusive::default()).collect(),
                told: BTreeMap::new(),
                rounds: Vec::new(),
                answers: Vec::new(),
                ended: Vec::new(),
            };
            for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b) {
                world.nodes[a].unmask(Place::peer(b as u16), &mut Vec::new());
            }
            world
        }

        fn does(&mut self, node: usize, input: impl FnOnce(&mut Exclusive, &mut Vec<Effect>)) {
            let mut out = Vec::new();
            input(&mut self.nodes[node], &mut out);
            for effect in out {
                match effect {
                    Effect::Entry { filter, is, .. } => {
                        for other in (0..self.nodes.len()).filter(|other| *other != node) {
                            let told = self.told.entry((node, other)).or_default();
                            told.push((Arc::clone(&filter), is.clone()));
                        }
                    }
                    Effect::Round(round) => self.rounds.push((node, round)),
                    Effect::Answer { asker, granted } => self.answers.push((node, asker.ticket.0, granted)),
                    Effect::End { asker, filter } => self.ended.push((node, asker.ticket.0, filter)),
                }
            }
        }

        fn ask(&mut self, node: usize, ticket: u64, client: &str, filter: &str, time: u64) {
            let (client, filters) = (client.into(), vec![filter.into()]);
            self.does(node, |exclusive, out| {
                exclusive.ask(asker(ticket), &client, filters, stamp(time), out)
            });
        }

        /// One node hears all that another one has said.
        fn hear(&mut self, from: usize, to: usize) {
            for (filter, value) in self.told.remove(&(from, to)).unwrap_or_default() {
                let peer = Place::peer(from as u16);
                self.does(to, |exclusive, out| exclusive.peer_entry(peer, &filter, value.as_deref(), out));
            }
        }

        /// A round ends: the others hold what its node has said, and it holds what they had said by then.
        fn end_round(&mut self) {
            let (node, round) = self.rounds.remove(0);
            for other in (0..self.nodes.len()).filter(|other| *other != node) {
                if self.nodes[node].serving.contains(&Place::peer(other as u16)) {
                    self.hear(node, other);
                    self.hear(other, node);
                }
            }
            self.does(node, |exclusive, out| exclusive.known(round, true, out));
        }

        fn settle(&mut self) {
            while !self.rounds.is_empty() {
                self.end_round();
            }
            for (from, to) in self.told.keys().copied().collect::<Vec<_>>() {
                self.hear(from, to);
            }
        }

        fn answers(&mut self) -> Vec<(u64, bool)> {
            let mut answers: Vec<_> =
                self.answers.drain(..).map(|(_, ticket, granted)| (ticket, granted[0])).collect();
            answers.sort_unstable();
            answers
        }

        fn holders(&self) -> Vec<(usize, &str)> {
            self.nodes
                .iter()
                .enumerate()
                .flat_map(|(n, node)| node.held().map(move |(_, c)| (n, c)))
                .collect()
        }

        fn cut(&mut self, a: usize, b: usize) {
            self.nodes[a].mask(Place::peer(b as u16));
            self.nodes[b].mask(Place::peer(a as u16));
        }

        fn mend(&mut self, a: usize, b: usize) {
            self.does(a, |exclusive, out| exclusive.unmask(Place::peer(b as u16), out));
            self.does(b, |exclusive, out| exclusive.unmask(Place::peer(a as u16), out));
        }
    }

    #[test]
    fn a_node_alone_waits_for_nobody() {
        let mut world = World::new(1);
        world.ask(0, 1, "a", "t", 1);
        world.ask(0, 2, "b", "t", 2);
        world.ask(0, 3, "b", "u", 3);
        world.ask(0, 4, "a", "t", 4);
        assert_eq!(world.answers(), [(1, true), (2, false), (3, true), (4, true)]);
        // The same client has asked twice: it is free when both are given back.
        world.does(0, |exclusive, out| exclusive.give_back(asker(1), "t", out));
        world.ask(0, 5, "b", "t", 5);
        world.does(0, |exclusive, out| exclusive.give_back(asker(4), "t", out));
        world.ask(0, 6, "b", "t", 6);
        assert_eq!(world.answers(), [(5, false), (6, true)]);
        assert_eq!(world.rounds.len(), 0);
    }

    #[test]
    fn of_claims_that_cross_one_is_held_whatever_the_order_in_which_they_are_heard() {
        for first in 0..3 {
            for heard in 0..8 {
                let mut world = World::new(3);
                for node in 0..3 {
                    // The stamps say another order than the questions.
                    let time = [20, 10, 30][(node + first) % 3];
                    world.ask(node, node as u64, ["a", "b", "c"][node], "t", time);
                    if heard >> node & 1 == 1 {
                        world.hear(node, (node + 1) % 3);
                    }
                }
                let rounds = world.rounds.len();
                world.rounds.rotate_left(first % rounds.max(1));
                world.settle();
                let granted = world.answers().iter().filter(|(_, granted)| *granted).count();
                assert_eq!((granted, world.holders().len()), (1, 1), "{first} {heard}");
                assert!(world.ended.is_empty());
            }
        }
    }

    #[test]
    fn what_is_held_is_not_lost_to_a_clock_that_is_behind() {
        let mut world = World::new(2);
        world.ask(0, 1, "a", "t", 1_000);
        world.settle();
        // Node 1 has begun anew and has yet to hear of it.
        world.nodes[1] = Exclusive::default();
        world.does(1, |exclusive, out| exclusive.unmask(Place::peer(0), out));
        world.ask(1, 2, "b", "t", 5);
        world.hear(1, 0);
        assert_eq!(world.holders(), [(0, "a")]);
        world.does(0, |_, out| {
            let is = Entry { client: "a".into(), is_asked: false, stamp: stamp(1_000) }.encode();
            out.push(Effect::Entry { filter: "t".into(), was: None, is: Some(is) });
        });
        world.settle();
        assert_eq!(world.answers(), [(1, true), (2, false)]);
        assert!(world.ended.is_empty());
    }

    #[test]
    fn a_peer_that_serves_and_does_not_answer_means_no() {
        let mut world = World::new(2);
        world.ask(0, 1, "a", "t", 1);
        let (node, round) = world.rounds.remove(0);
        world.does(node, |exclusive, out| exclusive.known(round, false, out));
        assert_eq!(world.answers(), [(1, false)]);
        assert!(world.nodes[0].own.is_empty());
    }

    #[test]
    fn after_a_cut_the_later_holder_loses_and_an_old_entry_costs_nobody_anything() {
        let mut world = World::new(2);
        world.ask(0, 1, "a", "u", 1);
        world.settle();
        world.cut(0, 1);
        world.ask(0, 2, "a", "t", 20);
        world.ask(1, 3, "b", "t", 10);
        world.ask(1, 4, "b", "u", 11);
        // What node 0 gives up during the cut node 1 hears only after it.
        world.does(0, |exclusive, out| exclusive.give_back(asker(1), "u", out));
        assert_eq!(world.answers(), [(1, true), (2, true), (3, true), (4, true)]);
        world.mend(0, 1);
        world.settle();
        assert_eq!(world.holders(), [(1, "b"), (1, "b")]);
        assert_eq!(world.ended, [(0, 2, "t".into())]);
    }

    #[test]
    fn a_client_that_moves_keeps_its_place() {
        let mut world = World::new(3);
        world.ask(0, 1, "a", "t", 10);
        world.settle();
        // A late claim of another client, from the other side of a cut.
        world.cut(1, 2);
        world.cut(0, 2);
        world.ask(2, 2, "c", "t", 20);
        world.ask(1, 3, "a", "t", 30);
        assert_eq!(world.answers(), [(1, true), (2, true), (3, true)]);
        world.does(0, |exclusive, out| exclusive.give_back(asker(1), "t", out));
        world.mend(0, 2);
        world.mend(1, 2);
        world.settle();
        assert_eq!((world.holders(), world.ended.len()), (vec![(1, "a")], 1));
    }

    #[test]
    fn who_is_gone_holds_nothing() {
        let mut world = World::new(2);
        world.ask(0, 1, "a", "t", 1);
        world.settle();
        world.nodes[1].mask(Place::peer(0));
        world.ask(1, 2, "b", "t", 2);
        world.nodes[1].forget(Place::peer(0));
        assert!(world.nodes[1].peers.is_empty());
        world.does(1, |exclusive, out| exclusive.clear(out));
        assert_eq!(world.answers(), [(1, true), (2, true)]);
        assert_eq!((world.nodes[1].own.len(), world.nodes[1].rounds()), (0, 0));
    }

    #[test]
    fn an_entry_survives_its_bytes_and_a_strange_one_is_none() {
        for is_asked in [true, false] {
            let entry = Entry { client: "client".into(), is_asked, stamp: stamp(7) };
            assert_eq!(Entry::decode(&entry.encode()), Some(entry.clone()));
            assert_eq!(Entry::decode(&entry.encode()[..16]), None);
        }
        assert_eq!(Entry::decode(&[9; 30]), None);
        assert_eq!(Entry::decode(&[]), None);
    }
}
