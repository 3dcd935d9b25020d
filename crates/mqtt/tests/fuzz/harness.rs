//! What fuzz targets have in common: random numbers from a seed, and how often a target runs. As a plain
//! test a fixed number of runs; `make fuzz SECONDS=n` runs each target that long, and says how often it
//! ran and what time of a processor that took.

use std::time::{Duration, Instant};

/// Xorshift: the same sequence for the same seed, everywhere.
pub struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of them.
    #[allow(dead_code, reason = "not every target has such a choice")]
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Runs a target so often, or for the seconds of `SECONDS`, from the seed of `SEED`.
pub fn fuzz(name: &str, runs_max: u64, mut target: impl FnMut(&mut Random)) {
    let of = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seconds = of("SECONDS");
    // A state of 0 would stay 0.
    let seed = of("SEED").unwrap_or(0x9E37_79B9_7F4A_7C15).max(1);
    let (mut random, from, cpu, mut runs) = (Random(seed), Instant::now(), cpu_time(), 0u64);
    let is_over = |runs: u64| match seconds {
        None => runs >= runs_max,
        Some(seconds) => runs.is_multiple_of(32) && from.elapsed() >= Duration::from_secs(seconds),
    };
    loop {
        target(&mut random);
        runs += 1;
        if is_over(runs) {
            break;
        }
    }
    println!(
        "{name}: {runs} runs in {:?}, {:?} of a processor, seed {seed}",
        from.elapsed(),
        cpu_time() - cpu
    );
}

/// What this process has used of a processor, in user and in system mode; nothing where the system does not
/// say so.
fn cpu_time() -> Duration {
    let spent = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = spent.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(12).take(2).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}
