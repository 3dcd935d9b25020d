//! A value with one writer and many readers who never wait: two copies, of which the readers see one
//! while the writer changes the other. A change costs its own work twice, never a copy of the value.
//! Readers borrow the visible copy for one turn of their loop at most, so the writer's turn comes soon.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// What can be brought from one state to the next by a change, the same on every copy.
pub trait Apply<C> {
    /// Makes the change.
    fn apply(&mut self, change: &C);
}

/// The readers' end: clone it freely.
pub type Reader<T> = Arc<ArcSwap<T>>;

/// The writer's end.
pub struct Twin<T, C> {
    visible: Reader<T>,
    hidden: Arc<T>,
    /// What the visible copy has seen and the hidden one has not.
    behind: Vec<C>,
    /// What neither has seen.
    waiting: Vec<C>,
}

impl<T: Apply<C>, C> Twin<T, C> {
    /// Two copies that must be equal.
    pub fn new(one: T, other: T) -> Twin<T, C> {
        Twin {
            visible: Arc::new(ArcSwap::from_pointee(one)),
            hidden: Arc::new(other),
            behind: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The readers' end.
    pub fn reader(&self) -> Reader<T> {
        self.visible.clone()
    }

    /// Notes a change for the next `publish`.
    pub fn change(&mut self, change: C) {
        self.waiting.push(change);
    }

    /// Whether changes wait for `publish`.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Makes the waiting changes visible. `false`: a reader is still in a turn that began before the
    /// last `publish`; nothing was lost, try again in a moment.
    pub fn publish(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let Some(hidden) = Arc::get_mut(&mut self.hidden) else { return false };
        for change in self.behind.drain(..) {
            hidden.apply(&change);
        }
        for change in &self.waiting {
            hidden.apply(change);
        }
        std::mem::swap(&mut self.behind, &mut self.waiting);
        self.hidden = self.visible.swap(self.hidden.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sum(u64);

    impl Apply<u64> for Sum {
        fn apply(&mut self, change: &u64) {
            self.0 += change;
        }
    }

    #[test]
    fn readers_see_whole_batches_and_a_slow_reader_only_delays_the_writer() {
        let mut twin: Twin<Sum, u64> = Twin::new(Sum::default(), Sum::default());
        let reader = twin.reader();
        twin.change(1);
        twin.change(2);
        assert_eq!(reader.load().0, 0);
        assert!(twin.publish());
        assert_eq!(reader.load().0, 3);

        let held = reader.load_full();
        twin.change(10);
        assert!(twin.publish(), "the other copy is free");
        twin.change(100);
        assert!(!twin.publish(), "the copy to change is still read");
        assert_eq!((held.0, reader.load().0), (3, 13));
        drop(held);
        assert!(twin.publish());
        assert_eq!(reader.load().0, 113);
        twin.change(1000);
        assert!(twin.publish());
        assert_eq!(reader.load().0, 1113);
    }
}
