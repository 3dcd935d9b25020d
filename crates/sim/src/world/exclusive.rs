//! Who has a filter for itself: what control does with the machine that decides, as the server's does.

use std::time::Duration;

use broker::exclusive::{Asker, Effect, RoundId};

use super::World;
use crate::control::{Asked, CURRENT, Deed, EXCLUSIVE, Heard, ShardMessage};

/// How long peers are waited for.
const LIMIT: Duration = Duration::from_secs(3);

impl World {
    /// Carries out what the machine has asked for, and ends the rounds of which all is known.
    pub(super) fn exclusive(&mut self, host: usize) -> bool {
        let Some((process, now)) = self.process(host) else { return false };
        let mut moved = false;
        loop {
            let known: Vec<(RoundId, bool)> = process.known_rounds(now);
            let control = &mut process.control;
            for (round, is_sure) in known {
                control.rounds.remove(&round);
                control.exclusive.known(round, is_sure, &mut control.exclusive_effects);
            }
            let effects = std::mem::take(&mut control.exclusive_effects);
            if effects.is_empty() {
                return moved;
            }
            moved = true;
            for effect in effects {
                let control = &mut process.control;
                match effect {
                    Effect::Entry { filter, is, .. } => {
                        let is = is.as_deref();
                        if let Some(was) = control.set_own(EXCLUSIVE, filter.as_bytes(), is) {
                            process.node.changed(EXCLUSIVE, filter.as_bytes(), was.as_deref(), is);
                        }
                    }
                    Effect::Round(round) => {
                        // The changes go first, so that the question comes behind them.
                        process.input(now, |node, fx| node.expire(now, fx));
                        let peers: Vec<_> = process.control.serving.keys().copied().collect();
                        let until = now.at + LIMIT.as_millis() as u64;
                        let mut heard = Heard { left: 0, marks: Vec::new(), silent: Vec::new(), until };
                        for peer in peers {
                            match process.node.request(peer, CURRENT, &[], LIMIT, now) {
                                Ok(request) => {
                                    heard.left += 1;
                                    process.control.waiting.insert(request, Asked::Round(round, peer));
                                }
                                Err(_) => heard.silent.push(peer),
                            }
                        }
                        process.control.rounds.insert(round, heard);
                    }
                    Effect::Answer { asker: Asker { shard, ticket }, granted } => {
                        let message = ShardMessage::Exclusive { ticket, granted };
                        control.deeds.push(Deed::ToShard(shard.into(), message));
                    }
                    Effect::End { asker: Asker { shard, ticket }, filter } => {
                        let message = ShardMessage::ExclusiveEnded { ticket, filter: filter.to_string() };
                        control.deeds.push(Deed::ToShard(shard.into(), message));
                    }
                }
            }
        }
    }

    /// Who has which filter for itself, as the shards have it: node, filter and client id.
    pub fn alone(&self) -> Vec<(usize, String, String)> {
        let mut all = Vec::new();
        for (n, host) in self.hosts.iter().enumerate() {
            for worker in host.process.iter().flat_map(|process| &process.workers) {
                all.extend(worker.shard.exclusive().map(|(f, c)| (n, f.to_owned(), c.to_owned())));
            }
        }
        all
    }
}
