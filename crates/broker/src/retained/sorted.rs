//! A set in the order of its keys that wastes little: sorted runs of up to [`RUN_MAX`] things, and a list of the
//! runs. A `BTreeSet` of the same things fills little more than half of its nodes when they come in order.

use std::ops::Bound;

/// Things of a full run. Looking for a place among them and making room there costs about as much as finding the run.
const RUN_MAX: usize = 128;

/// What has a key of bytes that never changes.
pub(super) trait Keyed {
    fn key(&self) -> &[u8];
}

/// The set.
pub(super) struct Sorted<T> {
    /// None is empty, and each lies behind the one before it.
    runs: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Sorted<T> {
    fn default() -> Sorted<T> {
        Sorted { runs: Vec::new(), len: 0 }
    }
}

impl<T: Keyed> Sorted<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The one with that key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&T> {
        let (run, at) = self.find(key).ok()?;
        Some(&self.runs[run][at])
    }

    /// Puts one in; gives back what had its key.
    pub(super) fn replace(&mut self, thing: T) -> Option<T> {
        match self.find(thing.key()) {
            Ok((run, at)) => Some(std::mem::replace(&mut self.runs[run][at], thing)),
            Err((run, at)) => {
                self.len += 1;
                self.insert(run, at, thing);
                None
            }
        }
    }

    /// Takes the one with that key out.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<T> {
        let (run, at) = self.find(key).ok()?;
        self.len -= 1;
        let things = &mut self.runs[run];
        let taken = things.remove(at);
        if things.is_empty() {
            self.runs.remove(run);
        } else {
            self.join_next(run);
            if let Some(before) = run.checked_sub(1) {
                self.join_next(before);
            }
        }
        Some(taken)
    }

    /// From there on, in order.
    pub(super) fn from<'a>(&'a self, low: Bound<&[u8]>) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let (run, at) = match low {
            Bound::Unbounded => (0, 0),
            Bound::Included(key) => self.find(key).unwrap_or_else(|place| place),
            Bound::Excluded(key) => match self.find(key) {
                Ok((run, at)) => (run, at + 1),
                Err(place) => place,
            },
        };
        let runs = self.runs.get(run..).unwrap_or_default();
        runs.iter().flatten().skip(at)
    }

    /// Where a key is, or where it belongs.
    fn find(&self, key: &[u8]) -> Result<(usize, usize), (usize, usize)> {
        let behind = self.runs.partition_point(|run| run[0].key() <= key);
        // The last run that begins at or before it; the first one, if it comes before all.
        let run = behind.saturating_sub(1);
        let Some(things) = self.runs.get(run) else { return Err((0, 0)) };
        let place = things.binary_search_by(|thing| thing.key().cmp(key));
        place.map(|at| (run, at)).map_err(|at| (run, at))
    }

    fn insert(&mut self, run: usize, at: usize, thing: T) {
        let Some(things) = self.runs.get_mut(run) else {
            self.runs.push(vec![thing]);
            return;
        };
        if things.len() < RUN_MAX {
            insert_tight(things, at, thing);
            return;
        }
        if at == RUN_MAX {
            // What comes in order leaves full runs behind.
            match self.runs.get_mut(run + 1).filter(|next| next.len() < RUN_MAX) {
                Some(next) => insert_tight(next, 0, thing),
                None => self.runs.insert(run + 1, vec![thing]),
            }
            return;
        }
        let mut upper = tight(things.drain(RUN_MAX / 2..));
        *things = tight(things.drain(..));
        match at.checked_sub(RUN_MAX / 2) {
            Some(at) => insert_tight(&mut upper, at, thing),
            None => insert_tight(things, at, thing),
        }
        self.runs.insert(run + 1, upper);
    }

    /// Makes one of a run and the one behind it where there is ample room for both, and gives back room otherwise.
    fn join_next(&mut self, run: usize) {
        let things = &self.runs[run];
        match self.runs.get(run + 1) {
            Some(next) if things.len() + next.len() <= RUN_MAX / 2 => {
                let next = self.runs.remove(run + 1);
                self.runs[run] = tight(std::mem::take(&mut self.runs[run]).into_iter().chain(next));
            }
            _ if things.capacity() > things.len() * 2 => {
                self.runs[run] = tight(std::mem::take(&mut self.runs[run]).into_iter());
            }
            _ => {}
        }
    }
}

/// A run with a little room to spare.
fn tight<T>(things: impl Iterator<Item = T>) -> Vec<T> {
    let count = things.size_hint().0;
    let mut run = Vec::with_capacity((count + count / 8 + 1).min(RUN_MAX));
    run.extend(things);
    run
}

/// Inserts into a run that is not full, with steps of an eighth where room is lacking, not by doubling it.
fn insert_tight<T>(things: &mut Vec<T>, at: usize, thing: T) {
    if things.len() == things.capacity() {
        let more = (things.len() / 8).max(4).min(RUN_MAX - things.len());
        things.reserve_exact(more);
    }
    things.insert(at, thing);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl Keyed for (Box<[u8]>, u32) {
        fn key(&self) -> &[u8] {
            &self.0
        }
    }

    fn key(number: u32) -> Box<[u8]> {
        number.to_string().into_bytes().into()
    }

    fn check(sorted: &Sorted<(Box<[u8]>, u32)>, model: &BTreeMap<Box<[u8]>, u32>) {
        assert_eq!(sorted.len(), model.len());
        assert!(sorted.runs.iter().all(|run| (1..=RUN_MAX).contains(&run.len())));
        let all = sorted.from(Bound::Unbounded).map(|(key, value)| (key, value));
        assert!(all.eq(model.iter()));
    }

    #[test]
    fn it_is_a_set_in_the_order_of_keys_whatever_was_done_to_it() {
        let mut rng = 1u64;
        let mut random = |below: u32| {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (rng >> 33) as u32 % below
        };
        let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
        // It grows, then it shrinks to nothing.
        for (inserts, steps) in [(9, 40_000), (5, 10_000), (2, 60_000)] {
            for step in 0..steps {
                let (number, value) = (random(20_000), random(u32::MAX));
                if random(10) < inserts {
                    let old = sorted.replace((key(number), value)).map(|(_, value)| value);
                    assert_eq!(old, model.insert(key(number), value));
                } else {
                    let old = sorted.take(&key(number)).map(|(_, value)| value);
                    assert_eq!(old, model.remove(&key(number)));
                }
                let probe = key(random(20_000));
                assert_eq!(sorted.get(&probe).map(|(_, value)| value), model.get(&probe));
                for low in [Bound::Included(&*probe), Bound::Excluded(&*probe)] {
                    let after = sorted.from(low).take(3).map(|(key, value)| (key, value));
                    assert!(after.eq(model.range::<[u8], _>((low, Bound::Unbounded)).take(3)));
                }
                if step % 5_000 == 0 {
                    check(&sorted, &model);
                }
            }
        }
        for number in 0..20_000 {
            assert_eq!(sorted.take(&key(number)).is_some(), model.remove(&key(number)).is_some());
        }
        check(&sorted, &model);
        assert!(sorted.runs.is_empty());
    }

    /// Things that there is room for, for each that there is.
    fn room(sorted: &Sorted<(Box<[u8]>, u32)>) -> f64 {
        sorted.runs.iter().map(Vec::capacity).sum::<usize>() as f64 / sorted.len() as f64
    }

    #[test]
    fn little_room_is_wasted_in_whatever_order_things_come_and_go() {
        let count = 50_000u32;
        let ascending = (0..count).collect::<Vec<_>>();
        let descending = (0..count).rev().collect::<Vec<_>>();
        // A prime that does not divide the number of them: each comes once.
        let scattered = (0..count).map(|n| (u64::from(n) * 7_919 % u64::from(count)) as u32).collect();
        for order in [ascending, descending, scattered] {
            let mut sorted = Sorted::default();
            for &number in &order {
                sorted.replace((format!("{number:08}").into_bytes().into(), 0));
            }
            assert!(room(&sorted) < 1.25, "{}", room(&sorted));
            for number in order.iter().filter(|number| **number % 10 != 0) {
                sorted.take(format!("{number:08}").as_bytes());
            }
            assert!(room(&sorted) < 2.1, "{}", room(&sorted));
        }
    }
}
