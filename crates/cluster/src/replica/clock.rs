//! A hybrid logical clock: stamps that follow the clock on the wall, and never go back behind what was
//! seen. (Kulkarni et al., "Logical Physical Clocks", 2014.)

use crate::id::NodeId;
use crate::now::Now;

/// How far ahead of this host's clock a foreign stamp may pull this one, in milliseconds. A node whose
/// clock is further ahead wins over older writes all the same; it does not make everybody's clock wrong.
pub const SKEW_MAX: u64 = 60_000;

const COUNTER_BITS: u32 = 16;

/// When a record was written, and by whom. Greater is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// Milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
    pub time: u64,
    /// The head of the writer's identity: no two writers make equal stamps.
    pub node: u64,
}

impl Stamp {
    /// Sixteen bytes whose order is that of the stamps.
    pub fn encode(self) -> [u8; 16] {
        (u128::from(self.time) << 64 | u128::from(self.node)).to_be_bytes()
    }

    /// What [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { time: (both >> 64) as u64, node: both as u64 })
    }

    /// The time in it, in milliseconds since 1970.
    pub fn unix_millis(self) -> u64 {
        self.time >> COUNTER_BITS
    }
}

/// Makes stamps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    last: u64,
}

impl Clock {
    /// A stamp greater than all that were made or seen, and than `over`.
    pub fn tick(&mut self, node: NodeId, over: Option<Stamp>, now: Now) -> Stamp {
        self.last = (now.unix << COUNTER_BITS).max(self.last + 1);
        let time = over.map_or(self.last, |over| self.last.max(over.time.saturating_add(1)));
        Stamp { time, node: node.short() }
    }

    /// Takes note of a foreign stamp.
    pub fn observe(&mut self, stamp: Stamp, now: Now) {
        if stamp.unix_millis() <= now.unix.saturating_add(SKEW_MAX) {
            self.last = self.last.max(stamp.time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_only_grow_even_when_the_wall_clock_goes_back() {
        let mut clock = Clock::default();
        let id = NodeId([1; 16]);
        let a = clock.tick(id, None, Now::new(0, 1_000));
        let b = clock.tick(id, None, Now::new(1, 10));
        assert!(b > a);
        clock.observe(Stamp { time: 2_000 << 16, node: 0 }, Now::new(2, 10));
        let c = clock.tick(id, None, Now::new(2, 10));
        assert!(c.unix_millis() >= 2_000);
        assert_eq!(Stamp::decode(&c.encode()), Some(c));
    }

    #[test]
    fn a_stamp_from_far_ahead_does_not_pull_the_clock_but_can_be_overwritten() {
        let mut clock = Clock::default();
        let far = Stamp { time: (SKEW_MAX + 20_000) << 16, node: 0 };
        clock.observe(far, Now::new(0, 1_000));
        assert!(clock.tick(NodeId([1; 16]), None, Now::new(0, 1_000)) < far);
        assert!(clock.tick(NodeId([1; 16]), Some(far), Now::new(0, 1_000)) > far);
    }
}
