//! When which session wants to be looked at. A session has at most one wish that counts, its earliest;
//! moving it later costs nothing (the old wish fires, finds nothing to do and is made anew), so a
//! packet that puts a keep-alive off touches nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mqtt::Now;

/// The time of a wish that is none.
pub(crate) const NEVER: Now = Now(u64::MAX);

/// Wishes to be woken, the earliest first.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Now, u32)>>,
}

impl Timers {
    /// Notes that `key` wants to be looked at at `at`, unless it already is at `armed` or before.
    /// `armed` is the keeper's note of the earliest wish that is still in here.
    pub(crate) fn arm(&mut self, key: u32, at: Option<Now>, armed: &mut Now) {
        let Some(at) = at else { return };
        if at < *armed {
            self.heap.push(Reverse((at, key)));
            *armed = at;
        }
    }

    /// The next key whose time has come. Its keeper forgets the wish if it is the one it has noted,
    /// and ignores it otherwise.
    pub(crate) fn due(&mut self, now: Now) -> Option<(Now, u32)> {
        let Reverse((at, key)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((at, key))
    }

    /// When the next wish comes due.
    pub(crate) fn wake_at(&self) -> Option<Now> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
