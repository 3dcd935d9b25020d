//! A client id belongs to one node: at rest one node has its session, and that node alone claims it.

use std::collections::BTreeMap;

use cluster::ClusterId;

use crate::control::CLIENTS;
use crate::world::World;

pub fn at_rest(world: &mut World) {
    let mut claims: BTreeMap<(ClusterId, String), Vec<String>> = BTreeMap::new();
    let mut sessions: BTreeMap<(ClusterId, String), Vec<String>> = BTreeMap::new();
    for host in &world.hosts {
        let Some(process) = &host.process else { continue };
        let cluster = process.identity().cluster;
        for id in process.control.own[&CLIENTS].keys() {
            let id = String::from_utf8_lossy(id).into_owned();
            claims.entry((cluster, id)).or_default().push(host.name.as_str().to_owned());
        }
        for worker in &process.workers {
            for client in worker.shard.clients() {
                sessions.entry((cluster, client.client_id)).or_default().push(host.name.as_str().to_owned());
            }
        }
    }
    let many = claims.iter().chain(&sessions).find(|(_, nodes)| nodes.len() > 1);
    let many = many.map(|((_, id), nodes)| format!("{id} belongs to {nodes:?}"));
    let differ = (claims != sessions).then(|| format!("claims {claims:?}, sessions {sessions:?}"));
    if let Some(what) = many.or(differ) {
        world.oracle.violate("owner", what);
    }
}
