//! Joining, and the member set itself.

use super::*;
use crate::effects::{Wipe, WouldJoin};
use crate::member::Change;
use crate::wire::{Reader, put};

/// How long the target of a join may take to be reached and to answer.
const REACH_LIMIT: u64 = 5_000;
/// How long it may take to take us in once our data is wiped.
const COMMIT_LIMIT: u64 = 10_000;
/// How long the data of the cluster may pause on its way.
const FETCH_LIMIT: u64 = 30_000;
/// How long a grant holds, in which we neither join nor leave ourselves.
const GRANT_LIMIT: u64 = 15_000;

/// What this node is about.
#[derive(Debug)]
pub(crate) enum Doing {
    Nothing,
    Joining(Join),
    /// The consumer empties itself; no links meanwhile.
    Wiping(Then),
}

#[derive(Debug, Clone)]
pub(crate) struct Join {
    command: CommandId,
    target: NodeName,
    wish: Wish,
    step: Step,
    give_up_at: u64,
    /// Who was asked to take us in, so may have done it.
    told: Option<(NodeId, NodeName, ClusterId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Join,
    DryRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A link to the target is wanted, to ask.
    Reach,
    /// It was asked.
    Asked(NodeId),
    /// The data is wiped; a link is wanted, to be taken in.
    Commit,
    /// It was told.
    Committed(NodeId),
    /// We are a member, and fetch the cluster's data from it.
    Fetch(NodeId),
}

#[derive(Debug, Clone)]
pub(crate) enum Then {
    Join(Join),
    /// Be alone; a command may wait for it.
    Alone {
        command: Option<CommandId>,
        stays_out: bool,
    },
}

impl Doing {
    pub fn is_wiping(&self) -> bool {
        matches!(self, Self::Wiping(_))
    }

    /// The name of the node that we want to join.
    pub fn seeks(&self) -> impl Iterator<Item = &NodeName> {
        match self {
            Self::Joining(join) => Some(&join.target),
            _ => None,
        }
        .into_iter()
    }

    pub fn wake_at(&self) -> Option<u64> {
        match self {
            Self::Joining(join) => Some(join.give_up_at),
            _ => None,
        }
    }
}

impl Node {
    // ---- join, on the joiner's side

    /// The order of the checks is part of what users see.
    pub(super) fn join(&mut self, command: CommandId, target: NodeName, wish: Wish, fx: &mut dyn Effects) {
        let outcome = if target == self.own.name {
            Outcome::Ignored
        } else if self.own.members.named(&target).is_some() {
            Outcome::Failed(Cause::AlreadyInCluster)
        } else if self.is_busy() {
            Outcome::Failed(Cause::JoinInProgress)
        } else {
            let give_up_at = self.now.at + REACH_LIMIT;
            self.dials.remove(&target);
            self.doing = Doing::Joining(Join {
                command,
                target: target.clone(),
                wish,
                step: Step::Reach,
                give_up_at,
                told: None,
            });
            if let Some(id) = self.linked_by_name(&target) {
                self.join_reached(id);
            }
            self.unsettled = true;
            return;
        };
        fx.reply(command, outcome);
    }

    pub(super) fn is_busy(&mut self) -> bool {
        let at = self.now.at;
        self.granted.retain(|_, until| *until > at);
        !matches!(self.doing, Doing::Nothing) || !self.granted.is_empty()
    }

    /// A lane to that node is up: is it the one that we want to join?
    pub(super) fn join_reached(&mut self, id: NodeId) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.lane.is_up()) else { return };
        let Doing::Joining(join) = &mut self.doing else { return };
        if peer.name != join.target {
            return;
        }
        match join.step {
            Step::Reach => {
                join.step = Step::Asked(id);
                let dry = [u8::from(join.wish == Wish::DryRun)];
                // Without room the time limit ends it.
                let _ = self.say(id, frame::JOIN_ASK, &dry);
            }
            Step::Commit => {
                join.step = Step::Committed(id);
                join.told = Some((id, peer.name.clone(), peer.cluster));
                let _ = self.say(id, frame::JOIN_COMMIT, &[]);
            }
            _ => {}
        }
    }

    pub(super) fn join_unreachable(&mut self, name: &NodeName, cause: Cause, fx: &mut dyn Effects) {
        let Doing::Joining(join) = &self.doing else { return };
        if join.target == *name && join.step == Step::Reach {
            let cause = match cause {
                Cause::NotAPeer | Cause::TimedOut | Cause::Closed => Cause::NodeDown,
                Cause::Myself => Cause::NameMismatch,
                cause => cause,
            };
            self.end_join(Outcome::Failed(cause), fx);
        }
    }

    /// The link to a node is gone, or what was said on it is: it is said again on the next.
    pub(super) fn link_lost(&mut self, id: NodeId, fx: &mut dyn Effects) {
        if let Doing::Joining(join) = &mut self.doing {
            match join.step {
                Step::Asked(of) if of == id => join.step = Step::Reach,
                Step::Committed(of) if of == id => join.step = Step::Commit,
                _ => {}
            }
        }
        for (command, _, _) in self.expelling.extract_if(.., |(_, of, _)| *of == id) {
            fx.reply(command, Outcome::Done);
        }
    }

    fn end_join(&mut self, outcome: Outcome, fx: &mut dyn Effects) {
        if let Doing::Joining(join) = std::mem::replace(&mut self.doing, Doing::Nothing) {
            if let (Some(told), Outcome::Failed(_)) = (join.told, &outcome) {
                self.take_back_commit(told);
            }
            fx.reply(join.command, outcome);
            self.unsettled = true;
        }
    }

    /// That node may have taken us in and not been able to say so: it is told that we are no member when it turns up.
    fn take_back_commit(&mut self, (target, name, cluster): (NodeId, NodeName, ClusterId)) {
        if cluster == self.own.cluster {
            return;
        }
        let to = [(target, name)].into();
        let Some(mut record) = self.own.members.find(self.own.id).cloned() else { return };
        record.state = State::Left;
        record.since = self.now.unix;
        record.stamp = self.clock.tick(self.own.id, Some(record.stamp), self.now);
        self.own.add_farewell(state::Farewell {
            cluster,
            since: self.now.unix,
            records: vec![record],
            to,
            told: false,
        });
        self.unkept = true;
    }

    pub(super) fn take_join_grant(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let Doing::Joining(join) = &self.doing else { return };
        if join.step != Step::Asked(from) {
            return;
        }
        if join.wish == Wish::DryRun {
            let mut members = Vec::new();
            let mut reader = Reader(body);
            while let Some((number, content)) = reader.field() {
                if number == 2 {
                    members.extend(
                        std::str::from_utf8(content).ok().and_then(|name| NodeName::parse(name).ok()),
                    );
                }
            }
            let others = self.own.members.members().filter(|m| m.id != self.own.id);
            let mut leaves: Vec<_> = others.map(|m| m.name.clone()).collect();
            members.sort();
            leaves.sort();
            return self.end_join(Outcome::WouldJoin(WouldJoin { members, leaves }), fx);
        }
        let join = join.clone();
        self.say_that_we_leave();
        self.wipe(Wipe::Join(join.target.clone()), Then::Join(join), fx);
    }

    pub(super) fn take_join_refuse(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let cause = Cause::from_byte(Reader(body).byte().unwrap_or_default());
        if let Doing::Joining(join) = &self.doing
            && matches!(join.step, Step::Asked(of) | Step::Committed(of) if of == from)
        {
            self.end_join(Outcome::Failed(cause), fx);
        }
    }

    pub(super) fn take_joined(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let Doing::Joining(join) = &mut self.doing else { return };
        if join.step != Step::Committed(from) {
            return;
        }
        let Some((cluster, records)) = read_members(body) else { return };
        join.step = Step::Fetch(from);
        join.give_up_at = self.now.at + FETCH_LIMIT;
        self.own.cluster = cluster;
        self.own.stays_out = false;
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.cluster = cluster;
        }
        // Other links were made when we belonged to no cluster of theirs: they are made anew.
        let others: Vec<_> = self.peers.keys().copied().filter(|id| *id != from).collect();
        for id in others {
            self.unlink(id, fx);
            self.peers.remove(&id);
        }
        for record in records {
            self.merge(record, None, fx);
        }
        self.unsettled = true;
        fx.event(Event::Identity);
    }

    /// The lane to a member is new: if we fetch the cluster's data from it, from the start.
    pub(super) fn continue_join(&mut self, id: NodeId) {
        if let Doing::Joining(Join { step: Step::Fetch(of), .. }) = &self.doing
            && *of == id
        {
            let _ = self.say(id, frame::MAP_ALL, &[]);
        }
    }

    pub(super) fn join_goes_on(&mut self, from: NodeId) {
        if let Doing::Joining(join) = &mut self.doing
            && join.step == Step::Fetch(from)
        {
            join.give_up_at = self.now.at + FETCH_LIMIT;
        }
    }

    pub(super) fn take_all_done(&mut self, from: NodeId, fx: &mut dyn Effects) {
        if let Doing::Joining(join) = &self.doing
            && join.step == Step::Fetch(from)
        {
            self.end_join(Outcome::Done, fx);
        }
    }

    // ---- join, on the side that is asked

    pub(super) fn take_join_ask(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let Some(name) = self.peers.get(&from).map(|peer| peer.name.clone()) else { return };
        let dry = body.first() == Some(&1);
        if let Err(cause) = self.may_join(from, &name, fx) {
            let _ = self.say(from, frame::JOIN_REFUSE, &[cause as u8]);
            return;
        }
        if !dry {
            self.granted.insert(name, self.now.at + GRANT_LIMIT);
        }
        let mut body = Vec::new();
        put(&mut body, 1, &[u8::from(dry)]);
        for member in self.own.members.members() {
            put(&mut body, 2, member.name.as_str().as_bytes());
        }
        let _ = self.say(from, frame::JOIN_GRANT, &body);
    }

    fn may_join(&mut self, from: NodeId, name: &NodeName, fx: &mut dyn Effects) -> Result<(), Cause> {
        if self.is_fellow(from) {
            return Err(Cause::AlreadyInCluster);
        }
        match &self.doing {
            // Two that join each other: the smaller identity joins, which both sides decide alike.
            Doing::Joining(join)
                if join.target == *name && matches!(join.step, Step::Reach | Step::Asked(_)) =>
            {
                if from > self.own.id {
                    return Err(Cause::JoinInProgress);
                }
                self.end_join(Outcome::Failed(Cause::JoinInProgress), fx);
            }
            Doing::Nothing => {}
            _ => return Err(Cause::JoinInProgress),
        }
        self.name_is_free(from, name)
    }

    fn name_is_free(&self, id: NodeId, name: &NodeName) -> Result<(), Cause> {
        match self.own.members.named(name) {
            Some(holder) if holder.id != id && self.is_running(holder.id) => Err(Cause::NameMismatch),
            _ => Ok(()),
        }
    }

    pub(super) fn take_join_commit(&mut self, from: NodeId, fx: &mut dyn Effects) {
        let Some(name) = self.peers.get(&from).map(|peer| peer.name.clone()) else { return };
        // A member that asks again has not heard that it is one.
        let granted = self.granted.contains_key(&name) || self.own.members.is_member(from);
        let granted = granted && !self.doing.is_wiping();
        let refused =
            if granted { self.name_is_free(from, &name).err() } else { Some(Cause::JoinInProgress) };
        if let Some(cause) = refused {
            let _ = self.say(from, frame::JOIN_REFUSE, &[cause as u8]);
            return;
        }
        self.granted.remove(&name);
        if let Some(holder) = self.own.members.named(&name).filter(|holder| holder.id != from).cloned() {
            self.write_member(holder, State::Replaced, None, fx);
        }
        let cluster = self.own.cluster;
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.cluster = cluster;
        }
        let record = Member { id: from, name, state: State::Member, since: 0, stamp: Stamp::default() };
        self.write_member(record, State::Member, None, fx);
        let mut body = Vec::new();
        self.write_members(&mut body);
        let _ = self.say(from, frame::JOINED, &body);
    }

    // ---- both

    /// Ends all links and lets the consumer empty itself.
    pub(super) fn wipe(&mut self, why: Wipe, then: Then, fx: &mut dyn Effects) {
        self.flush(fx);
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.down(id, Gone::Left, fx);
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.copy.clear(id, fx);
            }
        }
        self.peers.clear();
        self.links.clear();
        self.dials.clear();
        self.granted.clear();
        for (command, _, _) in std::mem::take(&mut self.expelling) {
            fx.reply(command, Outcome::Done);
        }
        self.doing = Doing::Wiping(then);
        fx.wipe(&why);
    }

    /// The consumer is empty, its former data aside: this node begins a new life.
    pub fn wiped(&mut self, now: Now, fx: &mut dyn Effects) {
        self.now = now;
        let Doing::Wiping(then) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return };
        let farewells = std::mem::take(&mut self.own.farewells);
        self.own = newborn(self.own.name.clone(), self.own.incarnation, &mut self.rng, now);
        self.own.farewells = farewells;
        let stamp = self.clock.tick(self.own.id, None, now);
        let (id, name) = (self.own.id, self.own.name.clone());
        self.own.members.merge(Member { id, name, state: State::Member, since: now.unix, stamp });
        let seed = StdRng::from_seed(self.rng.random());
        self.swim = Swim::new(id, self.own.incarnation, seed);
        self.swim_out.clear();
        self.owner = Owner::new(self.own.incarnation, &self.tables);
        self.partition = false;
        self.unkept = true;
        self.unsettled = true;
        fx.event(Event::Identity);
        match then {
            Then::Join(join) => {
                let give_up_at = now.at + COMMIT_LIMIT;
                self.doing = Doing::Joining(Join { step: Step::Commit, give_up_at, ..join });
            }
            Then::Alone { command, stays_out } => {
                self.own.stays_out = stays_out;
                if let Some(command) = command {
                    fx.reply(command, Outcome::Done);
                }
            }
        }
        self.finish(fx);
    }

    pub(super) fn end_late_doings(&mut self, fx: &mut dyn Effects) {
        let at = self.now.at;
        if let Doing::Joining(join) = &self.doing
            && join.give_up_at <= at
        {
            let cause = if matches!(join.step, Step::Fetch(_)) { Cause::TimedOut } else { Cause::NodeDown };
            self.end_join(Outcome::Failed(cause), fx);
        }
        for (command, _, _) in self.expelling.extract_if(.., |(_, _, until)| *until <= at) {
            fx.reply(command, Outcome::Done);
        }
    }

    // ---- the set

    pub(super) fn write_member(
        &mut self,
        member: Member,
        state: State,
        by: Option<CommandId>,
        fx: &mut dyn Effects,
    ) {
        let over = self.own.members.find(member.id).map(|m| m.stamp);
        let stamp = self.clock.tick(self.own.id, over, self.now);
        self.merge(Member { state, since: self.now.unix, stamp, ..member }, by, fx);
    }

    pub(super) fn merge(&mut self, mut record: Member, by: Option<CommandId>, fx: &mut dyn Effects) {
        self.clock.observe(record.stamp, self.now);
        if record.state == State::Cleaned && self.is_running(record.id) && self.own.members.takes(&record) {
            // Cleaned away by somebody who did not see it, and here it is (it may be ourselves).
            record.state = State::Member;
            record.stamp = self.clock.tick(self.own.id, Some(record.stamp), self.now);
        }
        let Some(Change { before, record }) = self.own.members.merge(record) else { return };
        self.unkept = true;
        self.untold = true;
        self.unsettled = true;
        let Member { id, name, state, .. } = record;
        if id == self.own.id {
            return;
        }
        let was = before.is_some_and(|before| before.state == State::Member);
        match (was, state == State::Member) {
            (false, true) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.greeted = false;
                }
                fx.event(Event::Joined { id, name });
            }
            (true, false) => {
                self.member_gone(id, fx);
                fx.event(Event::Left { id, name, how: state, by_command: by.is_some() });
            }
            _ => {}
        }
    }

    /// A node is no member any more: its tables go. The link stays a while, so that it can learn why.
    fn member_gone(&mut self, id: NodeId, fx: &mut dyn Effects) {
        self.swim.forget(id);
        self.fail_requests_to(id, fx);
        if let Some(peer) = self.peers.get_mut(&id) {
            if std::mem::take(&mut peer.running) {
                fx.masked(id);
                fx.event(Event::Down { id, name: peer.name.clone(), how: Gone::Left });
            }
            peer.copy.clear(id, fx);
            peer.gone = Some(Gone::Left);
            peer.linger_until = self.now.at + leaving::EXPEL_LIMIT;
        }
        self.judge_partition(fx);
    }

    pub(super) fn tell_members(&mut self) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.tell_members_to(id);
        }
    }

    pub(super) fn tell_members_to(&mut self, id: NodeId) {
        if self.peers.get(&id).is_some_and(|peer| peer.cluster == self.own.cluster && !peer.apart) {
            let mut body = Vec::new();
            self.write_members(&mut body);
            // Without room the digests of the next second find the difference.
            let _ = self.say(id, frame::MEMBERS, &body);
        }
    }

    fn write_members(&self, out: &mut Vec<u8>) {
        put(out, 1, &self.own.cluster.encode());
        self.own.members.encode(2, out);
    }

    pub(super) fn take_members(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let Some((cluster, records)) = read_members(body) else { return };
        if cluster != self.own.cluster {
            return;
        }
        let own = self.own.id;
        let out = records.iter().find(|record| record.id == own && record.state.is_final());
        // Whom we hold for gone has nothing to say about who belongs here; unless each has forced the other out
        // while they could not speak: the later word counts.
        let gone = self.own.members.find(from).filter(|m| m.state.is_final()).map(|m| m.stamp);
        if gone.is_some_and(|stamp| out.is_none_or(|out| out.stamp < stamp)) {
            return;
        }
        // It may have been taken in since it was greeted.
        if let Some(peer) = self.peers.get_mut(&from) {
            self.unsettled |= peer.cluster != cluster;
            peer.cluster = cluster;
        }
        if let Some(out) = out {
            // Members that come back may know no other node than this one to hear it from.
            self.own.remember_farewell(out);
            let by = self.peers.get(&from).map_or_else(|| self.own.name.clone(), |peer| peer.name.clone());
            if let Doing::Joining(join) = &self.doing {
                fx.reply(join.command, Outcome::Failed(Cause::JoinInProgress));
            }
            return self.wipe(Wipe::ForcedOut { by }, Then::Alone { command: None, stays_out: true }, fx);
        }
        for record in records {
            self.merge(record, None, fx);
        }
    }
}

pub(super) fn read_members(body: &[u8]) -> Option<(ClusterId, Vec<Member>)> {
    let (mut cluster, mut records) = (None, Vec::new());
    let mut reader = Reader(body);
    while let Some((number, content)) = reader.field() {
        match number {
            1 => cluster = ClusterId::decode(content),
            2 => records.push(Member::decode(content)?),
            _ => {}
        }
    }
    Some((cluster?, records))
}
