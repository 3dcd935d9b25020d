//! A histogram of durations with a bounded relative error: 128 steps between one power of two and the
//! next, so a quantile is right within 0.8 %.

use std::time::Duration;

const STEP_BITS: u32 = 7;
const STEPS: usize = 1 << STEP_BITS;

/// Counts durations; one is 57 KiB.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; (64 - STEP_BITS as usize) * STEPS + STEPS], total: 0, max: 0 }
    }
}

fn place(nanos: u64) -> usize {
    if nanos < STEPS as u64 {
        return nanos as usize;
    }
    let shift = 63 - nanos.leading_zeros() - STEP_BITS;
    ((shift as usize + 1) << STEP_BITS) + ((nanos >> shift) as usize - STEPS)
}

/// The highest duration that is counted at `place`.
fn top(place: usize) -> u64 {
    if place < STEPS {
        return place as u64;
    }
    let shift = (place >> STEP_BITS) - 1;
    let low = ((place & (STEPS - 1)) + STEPS) as u64;
    (low << shift) + ((1 << shift) - 1)
}

impl Histogram {
    /// Counts one duration, in nanoseconds.
    pub fn note(&mut self, nanos: u64) {
        self.counts[place(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that `share` (0 to 1) of all do not exceed; zero when nothing was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(top(place).min(self.max));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_a_hundredth_of_its_step() {
        for nanos in [0, 1, 127, 128, 129, 1_000, 65_535, 1_000_000, 123_456_789, u64::MAX / 3, u64::MAX] {
            let high = top(place(nanos));
            assert!(high >= nanos && (high - nanos) as f64 <= nanos as f64 / 128.0, "{nanos} {high}");
        }
    }

    #[test]
    fn quantiles_of_a_row_of_numbers() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for n in 1..=1000u64 {
            histogram.note(n * 1000);
        }
        for (share, want) in [(0.5, 500e3), (0.99, 990e3), (1.0, 1e6)] {
            let got = histogram.quantile(share).as_nanos() as f64;
            assert!((got - want).abs() <= want / 100.0, "{share}: {got}");
        }
        assert_eq!(histogram.count(), 1000);
    }
}
