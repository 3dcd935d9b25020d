//! What a table of filters costs as it grows: the time of a look-up and the bytes of a filter, for the
//! three shapes that filters have. No broker runs here; it is the table of one shard, and what a node
//! knows of its peers.

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

use broker::routes::{Change, Interest, Member, Place, Table};

use crate::{Fallible, process};

/// Look-ups of one figure.
const LOOKUPS: usize = 200_000;
/// Peers that a node's routes come from.
const PEERS: usize = 2;

/// A session as the index of a shard has it.
#[derive(Clone, Copy)]
struct Session(u32, #[allow(dead_code, reason = "the options, for the size")] u32);

impl Member for Session {
    fn key(&self) -> u64 {
        u64::from(self.0)
    }
}

/// A shape of filters, and the topics that match one of each.
struct Shape {
    words: &'static str,
    filter: fn(usize) -> String,
    topic: fn(usize) -> String,
}

const SHAPES: [Shape; 3] = [
    Shape {
        words: "plain, `device/N/state`",
        filter: |n| format!("device/{n}/state"),
        topic: |n| format!("device/{n}/state"),
    },
    Shape {
        words: "one wildcard, `device/N/+`",
        filter: |n| format!("device/{n}/+"),
        topic: |n| format!("device/{n}/state"),
    },
    Shape {
        words: "deep, `site/+/hall/N/#`",
        filter: |n| format!("site/+/hall/{n}/#"),
        topic: |n| format!("site/a/hall/{n}/line/3/motor"),
    },
];

/// Prints a table of markdown: a line for each number of filters up to `filters_max`, in steps of ten.
/// Each figure is of a process of its own, so that memory is not what another one has left.
///
/// # Errors
/// A process does not start, or the system does not say what it takes.
pub fn run(filters_max: usize) -> Fallible<()> {
    println!("| filters | shape | ns a look-up | bytes a filter | bytes a route of a peer |");
    println!("|---|---|---|---|---|");
    for (n, shape) in SHAPES.iter().enumerate() {
        let mut count = 1_000;
        while count <= filters_max {
            let (own, peers) = (child("own", n, count)?, child("peers", n, count)?);
            println!("| {count} | {} | {own} | {peers} |", shape.words);
            count *= 10;
        }
    }
    Ok(())
}

fn child(what: &str, shape: usize, count: usize) -> Fallible<String> {
    let work = format!("{what} {shape} {count}");
    let output = Command::new(std::env::current_exe()?).args(["tables", "--work", &work]).output()?;
    if !output.status.success() {
        return Err(format!("{work}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The work of such a process: `own` or `peers`, the number of the shape, how many filters.
///
/// # Errors
/// That is not what `work` says, or the system does not say what this process takes.
pub fn work(work: &str) -> Fallible<()> {
    let words: Vec<&str> = work.split(' ').collect();
    let &[what, shape, count] = words.as_slice() else { return Err(format!("no work: {work}").into()) };
    let shape = SHAPES.get(shape.parse::<usize>()?).ok_or("no such shape")?;
    let count = count.parse()?;
    if what == "own" {
        let (nanos, bytes) = look_up(shape, count)?;
        println!("{nanos:.0} | {bytes:.0}");
    } else {
        println!("{:.0}", route_bytes(shape, count)?);
    }
    Ok(())
}

/// Nanoseconds of a look-up that finds one filter, in an order that no cache foresees; and bytes.
fn look_up(shape: &Shape, count: usize) -> Fallible<(f64, f64)> {
    let own = std::process::id();
    let before = process::resident(own)?;
    let mut table = Table::new(1);
    for n in 0..count {
        table.insert((shape.filter)(n), Session(n as u32, 0));
    }
    let bytes = process::resident(own)?.saturating_sub(before) as f64 / count as f64;
    let mut order = 1usize;
    let topics: Vec<String> = (0..LOOKUPS)
        .map(|_| {
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (shape.topic)((order >> 33) % count)
        })
        .collect();
    let begun = process::cpu(own)?;
    let mut found = 0;
    for topic in &topics {
        table.matches(topic, |_, sessions| found += black_box(sessions).len());
    }
    let spent = process::cpu(own)? - begun;
    if found != LOOKUPS {
        return Err(format!("{found} of {LOOKUPS} topics were found").into());
    }
    Ok((spent.as_nanos() as f64 / LOOKUPS as f64, bytes))
}

/// Bytes of a route of a peer in one copy of what a node knows of others; there are two copies, which
/// share the text.
fn route_bytes(shape: &Shape, count: usize) -> Fallible<f64> {
    let own = std::process::id();
    let before = process::resident(own)?;
    let (mut one, mut other) = (Interest::new(1), Interest::new(1));
    for n in 0..count {
        let filter: Arc<str> = (shape.filter)(n).into();
        let change = Change::Add { place: Place::peer((n % PEERS) as u16), filter };
        one.apply(&change);
        other.apply(&change);
    }
    let bytes = process::resident(own)?.saturating_sub(before) as f64 / count as f64;
    black_box((&one, &other));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_finds_its_filter() {
        for shape in &SHAPES {
            look_up(shape, 1_000).unwrap();
            route_bytes(shape, 1_000).unwrap();
        }
    }
}
