//! Which peer has claimed which client id: a shard's copy of the peers' claims, for the client ids
//! whose home it is. The claims of a peer that cannot be reached stay and count for nothing.

use cluster::Stamp;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::routes::Place;

/// Client id → peers that claim it.
pub struct Registry {
    hasher: FixedState,
    claims: HashTable<Entry>,
    masked: Vec<Place>,
}

struct Entry {
    client: Arc<str>,
    place: Place,
    stamp: Stamp,
}

impl Registry {
    /// An empty one.
    pub fn new(seed: u64) -> Registry {
        Registry { hasher: FixedState::with_seed(seed), claims: HashTable::new(), masked: Vec::new() }
    }

    /// The peer claims the client id since `stamp`.
    pub fn claim(&mut self, place: Place, client: &Arc<str>, stamp: Stamp) {
        let hash = self.hasher.hash_one(&**client);
        if let Some(entry) = self.claims.find_mut(hash, |e| e.place == place && *e.client == **client) {
            entry.stamp = stamp;
            return;
        }
        let hasher = &self.hasher;
        let entry = Entry { client: Arc::clone(client), place, stamp };
        self.claims.insert_unique(hash, entry, |e| hasher.hash_one(&*e.client));
    }

    /// The peer has given the client id up; since when it had claimed it.
    pub fn release(&mut self, place: Place, client: &str) -> Option<Stamp> {
        let hash = self.hasher.hash_one(client);
        let found = self.claims.find_entry(hash, |e| e.place == place && *e.client == *client).ok()?;
        Some(found.remove().0.stamp)
    }

    /// The peer cannot be reached.
    pub fn mask(&mut self, place: Place) {
        if !self.masked.contains(&place) {
            self.masked.push(place);
        }
    }

    /// It can be reached again. Returns the client ids it claims, sorted.
    pub fn unmask(&mut self, place: Place) -> Vec<(Arc<str>, Stamp)> {
        self.masked.retain(|p| *p != place);
        let of_place = self.claims.iter().filter(|e| e.place == place);
        let mut back: Vec<_> = of_place.map(|e| (e.client.clone(), e.stamp)).collect();
        back.sort();
        back
    }

    /// The peer is gone for good.
    pub fn forget(&mut self, place: Place) {
        self.claims.retain(|e| e.place != place);
        self.masked.retain(|p| *p != place);
    }

    /// The reachable peer with the newest claim.
    pub fn owner(&self, client: &str) -> Option<(Place, Stamp)> {
        let hash = self.hasher.hash_one(client);
        let claims = self.claims.iter_hash(hash).filter(|e| *e.client == *client);
        let newest = claims.filter(|e| !self.masked.contains(&e.place)).max_by_key(|e| e.stamp);
        newest.map(|e| (e.place, e.stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_claim_of_a_reachable_peer_counts() {
        let mut registry = Registry::new(1);
        let (a, b) = (Place::peer(0), Place::peer(1));
        let at = |time| Stamp { time, node: 0 };
        registry.claim(a, &"x".into(), at(1));
        registry.claim(b, &"x".into(), at(2));
        assert_eq!(registry.owner("x"), Some((b, at(2))));
        registry.mask(b);
        assert_eq!(registry.owner("x"), Some((a, at(1))));
        assert_eq!(registry.unmask(b), vec![("x".into(), at(2))]);
        registry.claim(a, &"x".into(), at(3));
        assert_eq!(registry.owner("x"), Some((a, at(3))));
        registry.release(a, "x");
        registry.forget(b);
        assert_eq!(registry.owner("x"), None);
    }
}
