//! What changed records about access mean for the clients that are here.

use super::effects::NodeFx;
use super::to_all;
use crate::access::Kind;
use crate::shard::{ShardHandle, ShardMessage};

impl NodeFx {
    /// Those who have been banned go, and what clients may is asked anew where it has changed.
    pub(super) fn tell_access(&mut self) {
        for (kind, who) in self.access.take_banned() {
            tracing::info!(kind = kind.word(), who, "banned");
            to_all(&self.shards, || {
                let who = who.clone();
                ShardMessage::Do(Box::new(move |worker| {
                    let (machine, fx, now) = worker.machine();
                    machine.ban(|client| is_meant(kind, &who, client), now, fx);
                }))
            });
        }
        if self.access.take_rights_changed() {
            recheck(&self.shards);
        }
    }
}

fn is_meant(kind: Kind, who: &str, client: &broker::Identified<'_>) -> bool {
    match kind {
        Kind::ClientId => client.client_id == who,
        Kind::Username => client.username == Some(who),
        Kind::PeerHost => client.peer.ip().to_canonical().to_string() == who,
        Kind::All => false,
    }
}

/// Lets every shard ask anew what its clients may.
pub fn recheck(shards: &[ShardHandle]) {
    to_all(shards, || {
        ShardMessage::Do(Box::new(|worker| {
            let (machine, fx, now) = worker.machine();
            machine.recheck(now, fx);
        }))
    });
}
