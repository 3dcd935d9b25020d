//! How long good clients wait for their messages, without and with a hostile crowd, turn about in one run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::{is_long, node, resident_kib};
use crate::node::Node;

const CLIENTS: usize = 100;
/// How often each of them publishes.
const PACE: Duration = Duration::from_millis(100);
/// What it may wait longer for its messages because of the crowd, where twice as long is less.
const MORE_MAX: Duration = Duration::from_millis(5);
/// Clients measure nothing, or are to end.
const BETWEEN: usize = usize::MAX - 1;
const OVER: usize = usize::MAX;

/// Ends what is measured, also where the test fails: nobody would wait for the clients in vain.
struct UntilDropped<'a>(&'a AtomicUsize);

impl Drop for UntilDropped<'_> {
    fn drop(&mut self) {
        self.0.store(OVER, Ordering::Relaxed);
    }
}

/// Publishes with QoS 1, and takes the time until it has both its answer and its own message.
fn measure(node: &Node, number: usize, phase: &AtomicUsize) -> Vec<(usize, Duration)> {
    let (id, topic) = (format!("good{number}"), format!("good/{number}"));
    let mut client = node.client(&id);
    client.subscribe(&topic, 1);
    let mut seen = vec![];
    let mut next = Instant::now() + PACE * number as u32 / CLIENTS as u32;
    loop {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += PACE;
        let (during, from) = (phase.load(Ordering::Relaxed), Instant::now());
        if during == OVER {
            return seen;
        }
        client.publish(&topic, "x", 1);
        client.message();
        if during != BETWEEN && phase.load(Ordering::Relaxed) == during {
            seen.push((during, from.elapsed()));
        }
    }
}

/// What a node has used of a processor, in hundredths of a second.
fn ticks(node: &Node) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).expect("the node runs");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split(' ').skip(12).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}

/// The value that a share of all is not above.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// The latencies without and with the crowd, sorted.
fn run(length: Duration, in_step: bool) -> [Vec<Duration>; 2] {
    let node = node();
    let phase = AtomicUsize::new(BETWEEN);
    let mut seen = [vec![], vec![]];
    std::thread::scope(|scope| {
        let end = UntilDropped(&phase);
        let good: Vec<_> = (0..CLIENTS)
            .map(|n| {
                scope.spawn({
                    let (node, phase) = (&node, &phase);
                    move || measure(node, n, phase)
                })
            })
            .collect();
        for round in 0..2 {
            for (n, with_crowd) in [false, true].into_iter().enumerate() {
                let crowd = with_crowd.then(|| Crowd::gather(node.mqtt(), in_step));
                let before = ticks(&node);
                phase.store(2 * round + n, Ordering::Relaxed);
                std::thread::sleep(length);
                phase.store(BETWEEN, Ordering::Relaxed);
                let cpu = Duration::from_millis(10 * (ticks(&node) - before));
                println!("crowd {with_crowd}: resident {} KiB, {cpu:?} of a processor", resident_kib(&node));
                drop(crowd);
            }
        }
        drop(end);
        for client in good {
            for (during, waited) in client.join().expect("a good client is served") {
                seen[during % 2].push(waited);
            }
        }
    });
    seen.each_mut().map(|side| {
        side.sort_unstable();
        std::mem::take(side)
    })
}

/// Where tests run side by side a latency says little: the short form holds that nobody starves.
const STARVES: Duration = Duration::from_millis(500);

#[test]
fn good_clients_do_not_feel_a_thousand_hostile_ones() {
    must_hold(false);
}

/// What a shard writes at once, 28 MB, is more than goes in one turn.
#[test]
fn good_clients_do_not_feel_hostile_ones_that_are_in_step() {
    must_hold(true);
}

fn must_hold(in_step: bool) {
    let length = Duration::from_secs(if is_long() { 20 } else { 2 });
    let mut worst = String::new();
    // Whatever else the machine does falls into one of the turns: what the crowd does falls into each.
    for _ in 0..3 {
        let [without, with] = run(length, in_step);
        let [a, b] = [&without, &with].map(|side| percentile(side, 0.99));
        let halves = [&without, &with].map(|side| percentile(side, 0.5));
        let said = format!(
            "latency of {CLIENTS} good clients, without and with the crowd (in step: {in_step}): p50 {halves:?}, p99 {a:?} {b:?}, of {} and {}",
            without.len(),
            with.len()
        );
        println!("{said}");
        let most = (2 * a).max(a + MORE_MAX);
        if b <= if is_long() { most } else { most.max(STARVES) } {
            return;
        }
        worst = said;
    }
    panic!("{worst}");
}
