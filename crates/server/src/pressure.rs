//! The memory of the node as a whole (`node.max_memory`): what the process has, held against the limit, and
//! what is done as it comes near, step by step: [`broker::Pressure`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use broker::Pressure;

use crate::allocator::give_back;
use crate::host;
use crate::node::{ControlHandle, to_all};
use crate::settings::MemoryLimit;
use crate::shard::{ShardHandle, ShardMessage};

/// From which share of the limit each step is taken, in percent.
const STEPS: [(Pressure, u64); 4] =
    [(Pressure::Admission, 80), (Pressure::Shed, 85), (Pressure::Refuse, 90), (Pressure::Evict, 95)];
/// A step is taken back when this much less is used, in percent of the limit.
const BACK: u64 = 3;
/// The share of what the host or the control group has that is the limit where none is set, in percent.
const SHARE: u64 = 80;
/// How often memory is looked at while there is much of it, and while there is not.
const SELDOM: Duration = Duration::from_millis(200);
const OFTEN: Duration = Duration::from_millis(10);
/// At least so long between two looks for those for whom most is kept: what they give back takes a moment.
const EVICT_PAUSE: Duration = Duration::from_millis(100);
/// How often threads give back what they hold of freed memory while it is short: what another thread has freed
/// comes back to its allocator only when that thread looks.
const GIVE_BACK_PAUSE: Duration = Duration::from_millis(500);
/// Clients that one look ends at most.
const EVICTED_AT_ONCE: usize = 16;

/// How it stands, for all threads to read.
pub struct Gauge {
    /// Bytes; `None`: no limit.
    limit: Option<u64>,
    used: AtomicU64,
    step: AtomicU8,
}

impl Gauge {
    /// With the limit that the settings say.
    pub fn new(limit: MemoryLimit) -> Gauge {
        let limit = match limit {
            MemoryLimit::Off => None,
            MemoryLimit::Bytes(bytes) => Some(bytes),
            MemoryLimit::Share => Some(host::available_memory() / 100 * SHARE).filter(|bytes| *bytes > 0),
        };
        Gauge { limit, used: AtomicU64::new(host::memory().0), step: AtomicU8::new(0) }
    }

    /// The limit in bytes, if there is one.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Bytes that the process had when it was last looked at.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Which step has been taken.
    pub fn pressure(&self) -> Pressure {
        match self.step.load(Ordering::Relaxed) {
            0 => Pressure::None,
            1 => Pressure::Admission,
            2 => Pressure::Shed,
            3 => Pressure::Refuse,
            _ => Pressure::Evict,
        }
    }

    /// Looks at the process; the step before and the one now.
    fn look(&self, limit: u64) -> (Pressure, Pressure) {
        let used = host::memory().0;
        self.used.store(used, Ordering::Relaxed);
        let before = self.pressure();
        let now = step(used, limit, before);
        self.step.store(now as u8, Ordering::Relaxed);
        (before, now)
    }
}

/// The step for so many bytes, where `before` has been taken.
fn step(used: u64, limit: u64, before: Pressure) -> Pressure {
    let reached = |share: u64| used >= limit / 100 * share;
    let holds = |(step, share): &(Pressure, u64)| {
        if *step <= before { reached(share - BACK) } else { reached(*share) }
    };
    STEPS.iter().rev().find(|step| holds(step)).map_or(Pressure::None, |(step, _)| *step)
}

/// Looks at the memory for as long as it is polled.
pub async fn watch(gauge: Arc<Gauge>, shards: Vec<ShardHandle>, control: ControlHandle) {
    let Some(limit) = gauge.limit() else { return };
    if gauge.used() >= limit / 100 * STEPS[0].1 {
        tracing::error!(limit, used = gauge.used(), "node.max_memory is less than an idle node needs");
    }
    let (mut evicted_at, mut given_back_at) = (tokio::time::Instant::now(), tokio::time::Instant::now());
    let mut lull = Lull::default();
    loop {
        let is_near = gauge.used() >= limit / 2;
        tokio::time::sleep(if is_near { OFTEN } else { SELDOM }).await;
        let (before, now) = gauge.look(limit);
        if before != now {
            tell(&gauge, limit, before, now, &control);
        }
        if now == Pressure::Evict && evicted_at.elapsed() >= EVICT_PAUSE {
            evict(&shards, gauge.used().saturating_sub(limit / 100 * (STEPS[3].1 - BACK))).await;
            evicted_at = tokio::time::Instant::now();
        }
        let is_short = now > Pressure::None && given_back_at.elapsed() >= GIVE_BACK_PAUSE;
        if lull.has_come(gauge.used()) || is_short {
            to_all(&shards, || ShardMessage::Do(Box::new(|_| give_back())));
            give_back();
            given_back_at = tokio::time::Instant::now();
        }
    }
}

/// Tells when memory has moved and stands still again: an allocator gives freed memory back only when it is asked
/// for some, and a node that has come to rest asks for none.
#[derive(Default)]
struct Lull {
    last: u64,
    settled: u64,
}

impl Lull {
    /// The process has so many bytes now.
    fn has_come(&mut self, used: u64) -> bool {
        let stands = std::mem::replace(&mut self.last, used) == used;
        let has_moved = used.abs_diff(self.settled) > self.settled / 32;
        if stands && has_moved {
            self.settled = used;
        }
        stands && has_moved
    }
}

fn tell(gauge: &Gauge, limit: u64, before: Pressure, now: Pressure, control: &ControlHandle) {
    let used = gauge.used();
    if now > before {
        tracing::warn!(used, limit, step = ?now, "memory is short: see node.max_memory");
    } else {
        tracing::info!(used, limit, step = ?now, "memory is less short");
    }
    let is_raised = now != Pressure::None;
    if is_raised != (before != Pressure::None) {
        drop(control.ask(move |control| control.memory_is_short(is_raised.then_some((used, limit)))));
    }
}

/// Ends the clients for which most is kept, until so many bytes are let go.
async fn evict(shards: &[ShardHandle], bytes: u64) {
    let mut all = Vec::new();
    for (number, shard) in shards.iter().enumerate() {
        let greediest = shard.ask(|worker| worker.greediest(EVICTED_AT_ONCE)).await.unwrap_or_default();
        all.extend(greediest.into_iter().map(|(client, bytes)| (bytes, number, client)));
    }
    all.sort_by(|a, b| b.cmp(a));
    let mut let_go = 0;
    for (kept, number, client) in all.into_iter().take(EVICTED_AT_ONCE) {
        if let_go >= bytes {
            break;
        }
        let_go += kept as u64;
        tracing::warn!(
            clientid = &*client,
            bytes = kept,
            "memory is short: the client for which most is kept ends"
        );
        let ended = shards[number].ask(move |worker| {
            let (machine, fx, now) = worker.machine();
            machine.evict(&client, now, fx);
        });
        let _ = ended.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lull_comes_once_memory_has_moved_and_stands_still() {
        let mut lull = Lull::default();
        let looks =
            [(100, false), (150, false), (150, true), (120, false), (120, true), (120, false), (121, false)];
        for (used, expected) in looks.into_iter().chain([(121, false), (300, false), (300, true)]) {
            assert_eq!(lull.has_come(used), expected, "{used}");
        }
    }

    #[test]
    fn steps_are_taken_in_order_and_taken_back_a_little_later() {
        assert_eq!(step(79, 100, Pressure::None), Pressure::None);
        assert_eq!(step(80, 100, Pressure::None), Pressure::Admission);
        assert_eq!(step(78, 100, Pressure::Admission), Pressure::Admission);
        assert_eq!(step(76, 100, Pressure::Admission), Pressure::None);
        assert_eq!(step(99, 100, Pressure::None), Pressure::Evict);
        assert_eq!(step(93, 100, Pressure::Evict), Pressure::Evict);
        assert_eq!(step(91, 100, Pressure::Evict), Pressure::Refuse);
        assert_eq!(step(0, 100, Pressure::Evict), Pressure::None);
    }
}
