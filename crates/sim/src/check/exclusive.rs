//! A filter that is a client's alone is no other client's of the same cluster: at any time in a cluster that is
//! whole, and for good at rest. A session on the move may be on two nodes; that is one client.

use std::collections::BTreeMap;

use crate::control::EXCLUSIVE;
use crate::oracle::CALM;
use crate::world::World;

pub fn now(world: &mut World) {
    if world.contends && world.now.saturating_sub(world.oracle.trouble_at) > CALM {
        one_each(world);
    }
}

pub fn at_rest(world: &mut World) {
    one_each(world);
    let mut found = None;
    for (n, host) in world.hosts.iter().enumerate() {
        let Some(process) = &host.process else { continue };
        let mut had: Vec<_> = process.workers.iter().flat_map(|worker| worker.shard.exclusive()).collect();
        let mut held: Vec<_> = process.control.exclusive.held().collect();
        had.sort_unstable();
        held.sort_unstable();
        let owned = process.control.own[&EXCLUSIVE].len();
        let rounds = process.control.exclusive.rounds();
        if had != held || owned != held.len() || rounds > 0 {
            found = Some(format!("n{n}: {held:?} are held of {owned}, {had:?} are had, {rounds} rounds"));
        }
    }
    if let Some(what) = found {
        world.oracle.violate("exclusive", what);
    }
}

fn one_each(world: &mut World) {
    let mut holders = BTreeMap::new();
    let mut found = None;
    for (host, filter, client) in world.alone() {
        let Some(process) = &world.hosts[host].process else { continue };
        let of = (process.identity().cluster, filter);
        let (first, known) = holders.entry(of.clone()).or_insert((host, client.clone()));
        if *known != client {
            found = Some(format!("{known} on n{first} and {client} on n{host} both have {}", of.1));
        }
    }
    if let Some(what) = found {
        world.oracle.violate("exclusive", what);
    }
}
