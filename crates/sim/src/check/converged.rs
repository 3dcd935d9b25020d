//! At rest all nodes agree: on who is here, on every table and map; and what a node thinks that others
//! want is exactly what they want.

use std::collections::BTreeSet;

use broker::routes::GroupCount;

use crate::control::{GROUPS, ROUTES};
use crate::world::World;

pub fn at_rest(world: &mut World) {
    let fault = first_difference(world);
    if let Some(what) = fault {
        world.oracle.violate("converged", what);
    }
}

/// What is not agreed upon, if anything.
pub fn first_difference(world: &World) -> Option<String> {
    let running: Vec<_> =
        (0..world.hosts.len()).filter_map(|n| Some((n, world.hosts[n].process.as_ref()?))).collect();
    // Nodes of the same cluster have to agree; each node is in one.
    for (n, process) in &running {
        let fellows: Vec<_> =
            running.iter().filter(|(_, p)| p.identity().cluster == process.identity().cluster).collect();
        let mut names: Vec<_> = fellows.iter().map(|(m, _)| world.hosts[*m].name.clone()).collect();
        names.sort();
        let status = process.node.status();
        if status.running != names || !status.stopped.is_empty() {
            return Some(format!("n{n} sees {status:?}, there are {names:?}"));
        }
        let first = fellows[0].1;
        if process.node.members_digest() != first.node.members_digest() {
            return Some(format!("the members of n{n} are not those of n{}", fellows[0].0));
        }
        if process.node.table_digests() != first.node.table_digests() {
            return Some(format!("the tables of n{n} are not those of n{}", fellows[0].0));
        }
        let digest = |p: &crate::process::Process| cluster::Records::buckets(&p.control.shelf).digest();
        if digest(process) != digest(first) {
            return Some(format!("the maps of n{n} are not those of n{}", fellows[0].0));
        }
        let held = |p: &crate::process::Process| -> Vec<_> {
            p.control.shelf.retained.iter().map(|(m, s)| (m.as_bytes().to_vec(), s)).collect()
        };
        if held(process) != held(first) {
            return Some(format!("n{n} and n{} retain different messages", fellows[0].0));
        }
        let mut wanted = BTreeSet::new();
        for (m, other) in fellows.iter().filter(|(m, _)| m != n) {
            let Some(slot) = process.control.slots.get(&other.identity().id) else {
                return Some(format!("n{n} has no slot for n{m}"));
            };
            let place = broker::routes::Place::peer(*slot);
            for filter in other.control.own[&ROUTES].keys() {
                wanted.insert((text(filter), place, String::new(), GroupCount::default().to_bytes()));
            }
            for (key, count) in &other.control.own[&GROUPS] {
                let key = text(key);
                let (group, filter) = broker::routes::shared(&key).expect("only shared filters are there");
                let count = GroupCount::from_bytes(count).to_bytes();
                wanted.insert((filter.to_owned(), place, group.to_owned(), count));
            }
        }
        for worker in &process.workers {
            let (plain, groups) = worker.shard.wishes();
            for filter in plain {
                wanted.insert((
                    filter.to_owned(),
                    worker.desk.place,
                    String::new(),
                    GroupCount::default().to_bytes(),
                ));
            }
            for (key, count) in groups {
                let (group, filter) = broker::routes::shared(&key).expect("only shared filters are there");
                wanted.insert((filter.to_owned(), worker.desk.place, group.to_owned(), count.to_bytes()));
            }
        }
        let interest = &process.control.interest;
        let known: BTreeSet<_> = interest
            .iter()
            .map(|(filter, share)| {
                let group = share.group.map_or(String::new(), |group| interest.group(group).to_owned());
                (filter.to_owned(), share.place, group, share.count.to_bytes())
            })
            .collect();
        if known != wanted {
            let more: Vec<_> = known.difference(&wanted).collect();
            let less: Vec<_> = wanted.difference(&known).collect();
            return Some(format!("n{n} thinks {more:?} too much, {less:?} too little"));
        }
    }
    None
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
