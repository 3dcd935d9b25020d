//! Waiting until all peers hold what this node has said of its tables, and answering peers that wait so for this
//! node. Who answers says how far it is with its own tables.

use std::collections::HashMap;
use std::time::Duration;

use broker::Ticket;
use broker::exclusive::RoundId;
use cluster::{Asked, Cause, NodeId, RequestId};

use super::Control;
use super::exclusive::Heard;

/// A request: are my changes in?
pub(super) const ASK_SYNC: u16 = 1;

/// How long a SUBSCRIBE, a client or a session that moved waits for other nodes.
const LIMIT: Duration = Duration::from_secs(3);
/// Questions of peers that may wait for their changes.
const ASKED_MAX: usize = 10_000;

/// Who waits for all peers.
#[derive(Clone, Copy)]
pub(super) enum Waits {
    /// A shard, for its routes or claims.
    Shard { shard: usize, ticket: Ticket },
    /// The question who has a filter for itself.
    Round(RoundId),
}

/// Who waits for whom.
#[derive(Default)]
pub(super) struct Syncs {
    serial: u64,
    open: HashMap<u64, Sync>,
    /// Requests, each to one peer.
    requests: HashMap<RequestId, (u64, NodeId)>,
    /// Waits that are over.
    over: Vec<Sync>,
    /// Peers that wait until their changes up to that number are visible here.
    asked: Vec<(Asked, u64)>,
}

struct Sync {
    waits: Waits,
    until: u64,
    left: usize,
    /// The peers that have answered, and how far they were with their own tables.
    marks: Vec<(NodeId, u64)>,
    /// Those that have not.
    silent: Vec<NodeId>,
}

impl Syncs {
    /// The answer to a request, or why there is none. `false`: the request is another's.
    pub(super) fn answered(&mut self, request: RequestId, answer: Result<&[u8], Cause>) -> bool {
        let Some((sync, peer)) = self.requests.remove(&request) else { return false };
        self.heard(sync, peer, answer);
        true
    }

    fn heard(&mut self, sync: u64, peer: NodeId, answer: Result<&[u8], Cause>) {
        let Some(entry) = self.open.get_mut(&sync) else { return };
        match answer {
            // A version that does not say how far it is has no claims either.
            Ok(body) => entry.marks.push((peer, body.try_into().map_or(0, u64::from_be_bytes))),
            Err(_) => entry.silent.push(peer),
        }
        entry.left -= 1;
        if entry.left == 0 {
            self.over.extend(self.open.remove(&sync));
        }
    }

    /// A peer asks.
    pub(super) fn asked(&mut self, asked: Asked, body: &[u8]) {
        let sequence = body.try_into().map_or(0, u64::from_be_bytes);
        // Whoever asked so long ago has given up.
        if self.asked.len() >= ASKED_MAX {
            self.asked.remove(0);
        }
        self.asked.push((asked, sequence));
    }
}

impl Control {
    /// Asks every running peer whether it has all changes of this node's tables.
    pub(super) fn sync_peers(&mut self, waits: Waits) {
        let now = self.fx.clock.cluster_now();
        // The changes go first, so that the question comes behind them.
        self.node.expire(now, &mut self.fx);
        let own = self.node.identity().id;
        let peers: Vec<NodeId> =
            self.node.members().filter(|(m, running)| *running && m.id != own).map(|(m, _)| m.id).collect();
        let until = now.at + LIMIT.as_millis() as u64;
        let sync = Sync { waits, until, left: peers.len(), marks: Vec::new(), silent: Vec::new() };
        if peers.is_empty() {
            return self.fx.syncs.over.push(sync);
        }
        self.fx.syncs.serial += 1;
        let serial = self.fx.syncs.serial;
        self.fx.syncs.open.insert(serial, sync);
        let sequence = self.node.own_sequence().to_be_bytes();
        for peer in peers {
            match self.node.request(peer, ASK_SYNC, &sequence, LIMIT, now) {
                Ok(request) => drop(self.fx.syncs.requests.insert(request, (serial, peer))),
                Err(cause) => self.fx.syncs.heard(serial, peer, Err(cause)),
            }
        }
    }

    /// Tells those whose wait is over.
    pub(super) fn end_syncs(&mut self) {
        for Sync { waits, until, marks, silent, .. } in std::mem::take(&mut self.fx.syncs.over) {
            match waits {
                Waits::Shard { shard, ticket } => self.fx.when_published(shard, ticket),
                Waits::Round(round) => {
                    self.fx.exclusive.heard.push(Heard { round, marks, silent, until });
                }
            }
        }
    }

    /// Answers the peers whose changes are visible here.
    pub(super) fn answer_syncs(&mut self) {
        let own = self.node.own_sequence().to_be_bytes();
        let node = &self.node;
        let is_in = |(asked, sequence): &mut (Asked, u64)| {
            node.held_sequence(asked.from).is_some_and(|to| to >= *sequence)
        };
        let asked: Vec<_> = self.fx.syncs.asked.extract_if(.., is_in).collect();
        for (asked, _) in asked {
            self.node.respond(asked, Ok(&own));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_over_when_every_peer_was_heard_or_could_not_be() {
        let [a, b, c] = [1, 2, 3].map(|n| NodeId([n; 16]));
        let mut syncs = Syncs::default();
        let waits = Waits::Round(RoundId(1));
        syncs.open.insert(7, Sync { waits, until: 9, left: 3, marks: Vec::new(), silent: Vec::new() });
        syncs.requests.extend([(RequestId(1), (7, a)), (RequestId(2), (7, b))]);
        assert!(syncs.answered(RequestId(1), Ok(&5u64.to_be_bytes())));
        assert!(syncs.answered(RequestId(2), Ok(&[])));
        assert!(!syncs.answered(RequestId(3), Ok(&[])), "another's");
        assert!(syncs.over.is_empty());
        // The third finds no room.
        syncs.heard(7, c, Err(Cause::NoRoom));
        let over = &syncs.over[0];
        assert_eq!((over.marks.as_slice(), over.silent.as_slice()), (&[(a, 5), (b, 0)][..], &[c][..]));
        assert!(syncs.open.is_empty() && syncs.requests.is_empty());
    }

    #[test]
    fn questions_of_peers_have_a_limit() {
        let mut syncs = Syncs::default();
        let from = NodeId([1; 16]);
        for number in 0..ASKED_MAX as u64 + 5 {
            syncs.asked(Asked { from, number }, &number.to_be_bytes());
        }
        assert_eq!((syncs.asked.len(), syncs.asked[0].1), (ASKED_MAX, 5));
    }
}
