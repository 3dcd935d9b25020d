//! A cluster in one thread, from a seed: the real machines of `cluster`, `broker` and `mqtt` with
//! made-up bytes, time and disks. Messages are lost, slow and out of order between streams, the network
//! is cut in any shape, nodes crash, sleep and come back, clocks jump, clients come and go. After every
//! step it is checked that nothing happened that must not; then the trouble ends and the cluster has to
//! come to rest, agree, and have kept what it acknowledged.
//!
//! What a node's threads do with one another is made up here as the server does it: shards, control,
//! and queues between them with an order of their own.

pub mod check;
pub mod client;
pub mod control;
pub mod desk;
pub mod faults;
pub mod net;
pub mod oracle;
pub mod process;
pub mod traffic;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cluster::{Command, Outcome};
use rand::RngExt;

use oracle::Counts;
use world::{Event, World};

/// How long it storms unless asked otherwise, in milliseconds of the made-up time.
pub const STORM: u64 = 25_000;
/// From this seed on clients also want filters for themselves.
pub const EXCLUSIVE: u64 = 1 << 32;
/// How long the cluster may take to come to rest.
const REST: u64 = 95_000;

/// What a run found.
#[derive(Debug)]
pub struct Failure {
    /// What repeats it.
    pub seed: u64,
    /// Which property, and how it was broken.
    pub what: String,
    /// The last lines before it.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "{}", self.what)?;
        write!(f, "repeat with: make sim SEED={}", self.seed)
    }
}

/// Runs one seed. A failing one is run again for its trace.
///
/// # Errors
/// A property does not hold.
pub fn run(seed: u64, storm: u64) -> Result<Counts, Box<Failure>> {
    match once(seed, storm, false) {
        Ok(counts) => Ok(counts),
        Err(_) => match once(seed, storm, true) {
            Err(failure) => Err(failure),
            Ok(_) => panic!("seed {seed} fails only at times: something reads a clock or an unordered map"),
        },
    }
}

fn once(seed: u64, storm: u64, is_traced: bool) -> Result<Counts, Box<Failure>> {
    let mut world = World::new(seed, is_traced);
    let ended = catch_unwind(AssertUnwindSafe(|| play(&mut world, storm)));
    let what = match ended {
        Ok(()) => world.oracle.violation.take(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("panic: {}", text.unwrap_or("without words")))
        }
    };
    match what {
        None => Ok(world.oracle.counts),
        Some(what) => {
            let what = format!("{what}\nat {} with {:?}", world.now, world.mix);
            Err(Box::new(Failure { seed, what, trace: world.trace.unwrap_or_default().into() }))
        }
    }
}

fn play(world: &mut World, storm: u64) {
    join_all(world);
    world.run_until(world.now + 2_000);
    check::converged::at_rest(world);
    world.storm = true;
    for client in 0..world.clients.len() {
        let at = world.now + world.rng.random_range(1..500);
        world.push(at, Event::Act { client });
    }
    world.push(world.now + 3_000, Event::Fault);
    world.run_until(world.now + storm);
    if world.oracle.violation.is_some() {
        return;
    }
    world.storm = false;
    faults::end(world);
    let rested_at = world.now + REST;
    while world.now < rested_at {
        traffic::gather(world);
        world.run_until(world.now + 5_000);
        if world.oracle.violation.is_some() {
            return;
        }
    }
    check::converged::at_rest(world);
    check::owner::at_rest(world);
    check::exclusive::at_rest(world);
    check::acked::at_rest(&mut world.oracle);
    for (n, host) in world.hosts.iter().enumerate() {
        if let Some(process) = &host.process {
            let cluster = process.identity().cluster;
            check::acked::retained(&mut world.oracle, n, cluster, &process.control.shelf.retained);
        }
    }
}

/// Every node joins the first one.
fn join_all(world: &mut World) {
    world.run_until(100);
    for host in 1..world.hosts.len() {
        let name = world.hosts[0].name.clone();
        let command = world.command(host, Command::Join(name));
        for _ in 0..100 {
            world.run_until(world.now + 50);
            if world.outcomes.contains_key(&command) {
                break;
            }
        }
        assert_eq!(world.outcomes.get(&command), Some(&Outcome::Done), "n{host} joins");
    }
}

#[cfg(test)]
mod tests;
