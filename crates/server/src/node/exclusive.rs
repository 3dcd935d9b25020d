//! Filters that one client of the cluster has for itself: the control thread is the place of the node where that
//! is decided ([`broker::exclusive`]), and it asks the peers what has to be known before.

use std::sync::Arc;

use broker::Ticket;
use broker::exclusive::{Asker, Effect, Exclusive, RoundId};
use cluster::NodeId;

use super::sync::Waits;
use super::{Control, EXCLUSIVE};
use crate::shard::ShardMessage;

/// The machine, and what stands around it.
#[derive(Default)]
pub(super) struct Exclusives {
    pub claims: Exclusive,
    /// What the machine has asked for and has not been done.
    pub effects: Vec<Effect>,
    /// Rounds in which all peers have been heard, or given up.
    pub heard: Vec<Heard>,
}

/// A round that is over when what the peers had when they answered is here too.
pub(super) struct Heard {
    pub round: RoundId,
    /// How far the peers were with their own tables.
    pub marks: Vec<(NodeId, u64)>,
    /// Peers that did not answer.
    pub silent: Vec<NodeId>,
    /// When nobody waits any longer.
    pub until: u64,
}

impl Control {
    pub(super) fn ask_exclusive(
        &mut self,
        shard: usize,
        client: &Arc<str>,
        filters: Vec<Arc<str>>,
        ticket: Ticket,
    ) {
        let stamp = self.fx.clock.stamp();
        let Exclusives { claims, effects, .. } = &mut self.fx.exclusive;
        claims.ask(Asker { shard: shard as u16, ticket }, client, filters, stamp, effects);
        self.run_exclusive();
    }

    pub(super) fn give_back(&mut self, shard: usize, filter: &str, ticket: Ticket) {
        let Exclusives { claims, effects, .. } = &mut self.fx.exclusive;
        claims.give_back(Asker { shard: shard as u16, ticket }, filter, effects);
        self.run_exclusive();
    }

    /// The node gives up all it has.
    pub(super) fn clear_exclusive(&mut self) {
        let Exclusives { claims, effects, heard } = &mut self.fx.exclusive;
        claims.clear(effects);
        heard.clear();
        self.run_exclusive();
    }

    /// Ends the rounds of which all is known, and does what the peers' words have led to.
    pub(super) fn settle_exclusive(&mut self, now: cluster::Now) {
        self.run_exclusive();
        let node = &self.node;
        let runs = |peer: &NodeId| node.is_running(*peer);
        // A peer that does not serve counts for nothing.
        let is_known = |heard: &Heard| {
            let has_come =
                |(peer, mark): &(NodeId, u64)| node.held_sequence(*peer).is_some_and(|to| to >= *mark);
            !heard.silent.iter().any(runs) && heard.marks.iter().all(|mark| !runs(&mark.0) || has_come(mark))
        };
        let over = self.fx.exclusive.heard.extract_if(.., |heard| is_known(heard) || heard.until <= now.at);
        let over: Vec<(RoundId, bool)> = over.map(|heard| (heard.round, is_known(&heard))).collect();
        for (round, is_sure) in over {
            let Exclusives { claims, effects, .. } = &mut self.fx.exclusive;
            claims.known(round, is_sure, effects);
            self.run_exclusive();
        }
    }

    fn run_exclusive(&mut self) {
        for effect in std::mem::take(&mut self.fx.exclusive.effects) {
            match effect {
                Effect::Entry { filter, was, is } => {
                    self.node.changed(EXCLUSIVE, filter.as_bytes(), was.as_deref(), is.as_deref());
                }
                // What this leads to is looked at when the turn ends.
                Effect::Round(round) => self.sync_peers(Waits::Round(round)),
                Effect::Answer { asker: Asker { shard, ticket }, granted } => {
                    let message = ShardMessage::Exclusive { ticket, granted };
                    self.fx.shards[usize::from(shard)].sender.send(message);
                }
                Effect::End { asker: Asker { shard, ticket }, filter } => {
                    let message = ShardMessage::ExclusiveEnded { ticket, filter };
                    self.fx.shards[usize::from(shard)].sender.send(message);
                }
            }
        }
    }
}
