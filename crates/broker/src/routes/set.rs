//! The members of one filter: nearly always one, sometimes some, seldom very many. Each of the three
//! has its own form, so that one million filters with one member each stay small and one filter with
//! one hundred thousand members still adds and removes one of them at once.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// What can be in a [`Set`]: something small with a key that names it.
pub trait Member: Copy {
    /// Two members of a set never have the same key.
    fn key(&self) -> u64;
}

/// Members up to which a list is searched rather than indexed: an index costs more memory than the
/// members themselves, a search of so many less than a tenth of a microsecond.
const FEW: usize = 128;

/// A set that is never empty while it is in a table.
#[derive(Clone, Debug)]
pub enum Set<T> {
    /// One member, in place.
    One(T),
    /// A list; its order says nothing. Boxed, so that a set of one stays at 16 bytes.
    #[allow(clippy::box_collection, reason = "the second box saves 8 bytes in each of a million sets of one")]
    Few(Box<Vec<T>>),
    /// A list, and where each key is in it.
    Many(Box<Indexed<T>>),
}

/// A list with an index.
#[derive(Clone, Debug)]
pub struct Indexed<T> {
    items: Vec<T>,
    positions: HashTable<u32>,
}

fn hash(key: u64) -> u64 {
    FixedState::with_seed(0).hash_one(key)
}

impl<T: Member> Set<T> {
    /// The members, in an order that only the history of the set decides.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Set::One(member) => std::slice::from_ref(member),
            Set::Few(items) => items,
            Set::Many(indexed) => &indexed.items,
        }
    }

    /// Adds a member, or puts it in the place of the one with the same key, which is returned.
    pub fn insert(&mut self, member: T) -> Option<T> {
        match self {
            Set::One(one) if one.key() == member.key() => Some(std::mem::replace(one, member)),
            Set::One(one) => {
                *self = Set::Few(Box::new(vec![*one, member]));
                None
            }
            Set::Few(items) => {
                if let Some(at) = items.iter().position(|i| i.key() == member.key()) {
                    return Some(std::mem::replace(&mut items[at], member));
                }
                if items.len() == items.capacity() {
                    // Doubling would leave a third of all these lists empty.
                    items.reserve_exact(items.len() / 4 + 2);
                }
                items.push(member);
                if items.len() > FEW {
                    *self = Set::Many(Box::new(Indexed::new(std::mem::take(&mut **items))));
                }
                None
            }
            Set::Many(indexed) => indexed.insert(member),
        }
    }

    /// Removes the member with this key. `Err`: it was the last one, the set must be thrown away.
    pub fn remove(&mut self, key: u64) -> Result<Option<T>, T> {
        match self {
            Set::One(one) if one.key() == key => Err(*one),
            Set::One(_) => Ok(None),
            Set::Few(items) => {
                let Some(at) = items.iter().position(|i| i.key() == key) else { return Ok(None) };
                let gone = items.swap_remove(at);
                match items.as_slice() {
                    [] => return Err(gone),
                    [one] => *self = Set::One(*one),
                    _ => {}
                }
                Ok(Some(gone))
            }
            Set::Many(indexed) => {
                let Some(gone) = indexed.remove(key) else { return Ok(None) };
                if indexed.items.len() <= FEW / 2 {
                    *self = Set::Few(Box::new(std::mem::take(&mut indexed.items)));
                }
                Ok(Some(gone))
            }
        }
    }

    /// The member with this key.
    pub fn find(&self, key: u64) -> Option<&T> {
        match self {
            Set::Many(indexed) => {
                let at = indexed.positions.find(hash(key), |&i| indexed.items[i as usize].key() == key)?;
                Some(&indexed.items[*at as usize])
            }
            _ => self.as_slice().iter().find(|i| i.key() == key),
        }
    }
}

impl<T: Member> Indexed<T> {
    fn new(items: Vec<T>) -> Indexed<T> {
        let mut indexed =
            Indexed { items: Vec::with_capacity(items.len() + items.len() / 4), positions: HashTable::new() };
        for item in items {
            indexed.insert(item);
        }
        indexed
    }

    fn insert(&mut self, member: T) -> Option<T> {
        let (items, key) = (&mut self.items, member.key());
        if let Some(at) = self.positions.find(hash(key), |&i| items[i as usize].key() == key) {
            return Some(std::mem::replace(&mut items[*at as usize], member));
        }
        let at = items.len() as u32;
        items.push(member);
        self.positions.insert_unique(hash(key), at, |&i| hash(items[i as usize].key()));
        None
    }

    fn remove(&mut self, key: u64) -> Option<T> {
        let items = &mut self.items;
        let found = self.positions.find_entry(hash(key), |&i| items[i as usize].key() == key).ok()?;
        let (at, _) = found.remove();
        let last = items.len() as u32 - 1;
        if at != last {
            let moved = items[last as usize].key();
            if let Some(position) = self.positions.find_mut(hash(moved), |&i| i == last) {
                *position = at;
            }
        }
        Some(items.swap_remove(at as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct M(u64, u8);

    impl Member for M {
        fn key(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_set_keeps_every_member_while_it_grows_and_shrinks() {
        let mut set = Set::One(M(0, 0));
        for k in 1..1000 {
            assert_eq!(set.insert(M(k, 0)), None);
        }
        assert_eq!(set.insert(M(500, 9)), Some(M(500, 0)));
        assert_eq!((set.as_slice().len(), set.find(500)), (1000, Some(&M(500, 9))));
        assert!(matches!(set.remove(5000), Ok(None)));
        for k in 0..999 {
            assert!(matches!(set.remove(k), Ok(Some(_))), "{k}");
            assert_eq!(set.find(k), None);
        }
        assert_eq!(set.as_slice(), &[M(999, 0)]);
        assert!(set.remove(999).is_err());
    }

    #[test]
    fn a_member_with_the_same_key_is_replaced() {
        let mut set = Set::One(M(1, 0));
        assert_eq!(set.insert(M(1, 1)), Some(M(1, 0)));
        set.insert(M(2, 0));
        assert_eq!(set.insert(M(2, 2)), Some(M(2, 0)));
        assert_eq!(set.as_slice(), &[M(1, 1), M(2, 2)]);
    }
}
