//! Leaving, forcing out, cleaning away; and telling those who have not heard of it.

use super::membership::{Then, read_members};
use super::*;
use crate::effects::Wipe;
use crate::wire::{put, put_with};

/// How long a force-leave waits for the member to go.
pub(super) const EXPEL_LIMIT: u64 = 3_000;

impl Node {
    pub(super) fn leave(&mut self, command: CommandId, fx: &mut dyn Effects) {
        let alone = self.own.members.members().all(|m| m.id == self.own.id);
        if alone {
            return fx.reply(command, Outcome::Failed(Cause::NodeNotInCluster));
        }
        if self.is_busy() {
            return fx.reply(command, Outcome::Failed(Cause::JoinInProgress));
        }
        self.say_that_we_leave();
        self.wipe(Wipe::Leave, Then::Alone { command: Some(command), stays_out: true }, fx);
    }

    /// Tells the members that we go, and remembers whom this did not reach.
    pub(super) fn say_that_we_leave(&mut self) {
        let Some(mut record) = self.own.members.find(self.own.id).cloned() else { return };
        record.state = State::Left;
        record.since = self.now.unix;
        record.stamp = self.clock.tick(self.own.id, Some(record.stamp), self.now);
        self.own.remember_farewell(&record);
        self.own.members.merge(record);
        self.tell_members();
    }

    /// Tells a node of a cluster that we have left that we have.
    pub(super) fn say_farewell(&mut self, id: NodeId) {
        let Some(peer) = self.peers.get(&id) else { return };
        let due = |f: &&state::Farewell| f.to.contains_key(&id) || (f.cluster == peer.cluster && !f.told);
        let Some(farewell) = self.own.farewells.iter().find(due) else { return };
        let mut body = Vec::new();
        put(&mut body, 1, &farewell.cluster.encode());
        for record in &farewell.records {
            put_with(&mut body, 2, |out| record.encode(out));
        }
        let _ = self.say(id, frame::GOODBYE, &body);
    }

    pub(super) fn take_goodbye(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let Some((cluster, records)) = read_members(body) else { return };
        let own = self.own.id;
        if cluster == self.own.cluster {
            for record in records.into_iter().filter(|r| r.state.is_final() && r.id != own) {
                self.merge(record, None, fx);
            }
        }
        let _ = self.say(from, frame::GOODBYE_ACK, &cluster.encode());
    }

    pub(super) fn take_goodbye_ack(&mut self, from: NodeId, body: &[u8]) {
        let heard = ClusterId::decode(body);
        // Who still belongs to that cluster tells the rest of it.
        let cluster = self.peers.get(&from).map(|peer| peer.cluster);
        self.own.farewells.retain_mut(|farewell| {
            if heard == Some(farewell.cluster) {
                farewell.to.remove(&from);
                farewell.told |= heard == cluster;
            }
            !farewell.to.is_empty()
        });
        self.unkept = true;
        self.unsettled = true;
        let wanted = self.is_fellow(from)
            || self.doing.seeks().any(|n| self.peers.get(&from).is_some_and(|p| p.name == *n));
        if !wanted && let Some(peer) = self.peers.get_mut(&from) {
            peer.linger_until = self.now.at + TICK;
        }
    }

    pub(super) fn force_leave(&mut self, command: CommandId, name: &NodeName, fx: &mut dyn Effects) {
        if *name == self.own.name {
            return fx.reply(command, Outcome::Ignored);
        }
        let Some(member) = self.own.members.named(name).cloned() else {
            return fx.reply(command, Outcome::Failed(Cause::NodeNotInCluster));
        };
        let id = member.id;
        let linked = self.peers.get(&id).is_some_and(|peer| peer.link.is_some());
        self.write_member(member, State::ForcedOut, Some(command), fx);
        if linked {
            self.expelling.push((command, id, self.now.at + EXPEL_LIMIT));
        } else {
            fx.reply(command, Outcome::Done);
        }
    }

    pub(super) fn clean(&mut self, fx: &mut dyn Effects) {
        let Some(limit) = self.autoclean else { return };
        self.clean_at = self.now.at + (limit / 4).max(1);
        let away = |m: &&Member| {
            let since = self.peers.get(&m.id).map_or(self.started_at, |peer| peer.lost_at);
            !self.is_running(m.id) && self.now.at.saturating_sub(since) > limit
        };
        for member in self.own.members.members().filter(away).cloned().collect::<Vec<_>>() {
            self.write_member(member, State::Cleaned, None, fx);
        }
    }
}
