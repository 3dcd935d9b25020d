//! Links: dialling for ever, which of two connections stays, and when a member counts as down.

use std::collections::BTreeMap;

use rand::RngExt;

use super::peer::{Link, Peer};
use super::*;
use crate::bus::handshake::Peer as Proven;
use crate::bus::newer_wins;

/// The first pause between two dials, and the longest, in milliseconds.
const PAUSE_MIN: u64 = 200;
const PAUSE_MAX: u64 = 1_000;
/// The pause where another node answers under the name.
const PAUSE_STRANGER: u64 = 5_000;
/// For so long those are dialled who are no members and have yet to hear something: whom autoclean has taken out, whom
/// this node has forced out, who does not know that it left. Later, or where it matters less, the pause is a minute,
/// or they are told when they turn up.
const EAGER: u64 = 24 * 3_600 * 1_000;
const PAUSE_SELDOM: u64 = 60_000;
/// So much later the greater identity dials: rarely do two dials cross.
const GIVE_WAY: u64 = 150;
/// A dial that was not answered by then is forgotten.
const DIAL_LIMIT: u64 = 15_000;
/// A link without purpose is closed after so long.
const LINGER: u64 = 3_000;
/// A link over which nothing came for so long is asked about.
const QUIET: u64 = 600;
/// A link over which nothing came for so long is made anew, though its node lives.
const LINK_SILENCE_MAX: u64 = 12_000;
/// When nothing came in for so long beyond a tick, it was this process that slept.
const PAUSE_NOTICED: u64 = 300;

/// A name that is dialled.
#[derive(Debug, Default)]
pub(crate) struct Dial {
    next_at: u64,
    pause: u64,
    pause_min: u64,
    in_flight: Option<(DialId, u64)>,
    cause: Option<Cause>,
}

impl Node {
    /// A connection for the control lane stands, its handshake is over: dialled by us for that `dial`, or
    /// by the other side.
    pub fn link_up(
        &mut self,
        link: LinkId,
        dial: Option<DialId>,
        peer: &Proven,
        now: Now,
        fx: &mut dyn Effects,
    ) {
        self.now = now;
        if let Some((_, entry)) = self.dialled(dial) {
            *entry = Dial { next_at: now.at + PAUSE_MIN, pause: entry.pause, ..Dial::default() };
        }
        if self.stopping || self.doing.is_wiping() || peer.id == self.own.id {
            fx.close(link);
            return;
        }
        let dialled_by = if dial.is_some() { self.own.id } else { peer.id };
        if !self.make_way(peer, dialled_by, fx) {
            fx.close(link);
            return self.finish(fx);
        }
        let epoch = self.epoch();
        let entry = self.peers.entry(peer.id).or_insert_with(|| Peer::new(peer, epoch, now.at));
        entry.name = peer.name.clone();
        // A node once taken in stays in; a handshake that began before may tell otherwise.
        if entry.cluster != self.own.cluster {
            entry.cluster = peer.cluster;
        }
        entry.link = Some(Link { id: link, since: now.at, dialled_by });
        entry.heard_at = now.at;
        entry.link_heard_at = now.at;
        entry.linger_until = now.at + LINGER;
        entry.met = false;
        entry.lane.connected();
        self.links.insert(link, peer.id);
        if peer.by_further_cookie {
            fx.event(Event::FurtherCookie(Box::new(peer.clone())));
        }
        self.unsettled = true;
        self.finish(fx);
    }

    /// Whether the new connection may take its place; the one that was there is closed.
    fn make_way(&mut self, peer: &Proven, dialled_by: NodeId, fx: &mut dyn Effects) -> bool {
        let Some(known) = self.peers.get(&peer.id) else { return true };
        if known.incarnation > peer.incarnation {
            return false;
        }
        if known.incarnation < peer.incarnation {
            self.down(peer.id, Gone::Restarted, fx);
            let epoch = self.epoch();
            if let Some(known) = self.peers.get_mut(&peer.id) {
                known.copy.clear(peer.id, fx);
                known.start_over(epoch);
                known.incarnation = peer.incarnation;
                known.apart = false;
                known.gone = Some(Gone::Restarted);
            }
            return true;
        }
        if let Some(link) = known.link {
            if !newer_wins(dialled_by, link.dialled_by, self.now.at - link.since) {
                return false;
            }
            self.unlink(peer.id, fx);
        }
        true
    }

    /// The link is gone.
    pub fn link_down(&mut self, link: LinkId, now: Now, fx: &mut dyn Effects) {
        self.now = now;
        let Some(id) = self.links.remove(&link) else { return };
        let give_way = if self.own.id > id { GIVE_WAY } else { 0 };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let age = peer.link.take().map_or(0, |link| now.at - link.since);
        peer.lane.disconnected();
        peer.lost_at = now.at;
        let (name, stopping) = (peer.name.clone(), peer.stopping);
        if age > PAUSE_MAX
            && let Some(dial) = self.dials.get_mut(&name)
        {
            *dial = Dial { next_at: now.at + give_way, ..Dial::default() };
        }
        if stopping {
            self.down(id, Gone::Stopped, fx);
        }
        self.link_lost(id, fx);
        self.forget_stranger(id);
        self.unsettled = true;
        self.finish(fx);
    }

    /// A dial has failed, and why; `NodeDown` means that the host refused the connection.
    pub fn dial_failed(&mut self, dial: DialId, cause: Cause, now: Now, fx: &mut dyn Effects) {
        self.now = now;
        let jitter = self.rng.random_range(0..=50);
        let Some((name, entry)) = self.dialled(Some(dial)) else { return };
        entry.in_flight = None;
        let longest = if cause == Cause::NameMismatch { PAUSE_STRANGER } else { PAUSE_MAX };
        entry.pause = (entry.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX).max(entry.pause_min);
        let pause = if longest > PAUSE_MAX { longest } else { entry.pause };
        entry.next_at = now.at + pause + pause * jitter / 200;
        let news = entry.cause.replace(cause) != Some(cause);
        let refused = self.own.members.named(&name).map(|m| m.id).filter(|_| cause == Cause::NodeDown);
        if let Some(id) =
            refused.filter(|id| self.peers.get(id).is_some_and(|p| p.running && p.link.is_none()))
        {
            self.down(id, Gone::Refused, fx);
        }
        if news && self.own.members.named(&name).is_some() {
            fx.event(Event::Unreachable { name: name.clone(), cause });
        }
        self.join_unreachable(&name, cause, fx);
        self.unsettled = true;
        self.finish(fx);
    }

    fn dialled(&mut self, dial: Option<DialId>) -> Option<(NodeName, &mut Dial)> {
        let found =
            self.dials.iter_mut().find(|(_, entry)| entry.in_flight.is_some_and(|(id, _)| Some(id) == dial));
        found.map(|(name, entry)| (name.clone(), entry))
    }

    /// Names that we want a link with, and the shortest pause between dials.
    fn wanted(&self) -> BTreeMap<NodeName, u64> {
        let mut wanted = BTreeMap::new();
        if self.doing.is_wiping() {
            return wanted;
        }
        let linked = |id: &NodeId| self.peers.get(id).is_some_and(|peer| peer.link.is_some());
        for member in self.own.members.all().filter(|m| m.state == State::Cleaned && !linked(&m.id)) {
            let old = self.now.unix.saturating_sub(member.since) > EAGER;
            wanted.insert(member.name.clone(), if old { PAUSE_SELDOM } else { 0 });
        }
        // Who was forced out dials us, unless it has forced us out: then neither would hear of it.
        let told_of = |m: &&Member| self.now.unix.saturating_sub(m.since) < EAGER && !linked(&m.id);
        for member in self.own.members.all().filter(|m| m.state == State::ForcedOut).filter(told_of) {
            wanted.insert(member.name.clone(), PAUSE_SELDOM);
        }
        let news = |f: &&state::Farewell| !f.told && self.now.unix.saturating_sub(f.since) < EAGER;
        for farewell in self.own.farewells.iter().filter(news) {
            wanted
                .extend(farewell.to.iter().filter(|(id, _)| !linked(id)).map(|(_, name)| (name.clone(), 0)));
        }
        for member in self.own.members.members().filter(|m| m.id != self.own.id) {
            if linked(&member.id) {
                wanted.remove(&member.name);
            } else {
                wanted.insert(member.name.clone(), 0);
            }
        }
        wanted.extend(
            self.doing
                .seeks()
                .filter(|name| self.linked_by_name(name).is_none())
                .map(|name| (name.clone(), 0)),
        );
        wanted.remove(&self.own.name);
        wanted
    }

    pub(super) fn linked_by_name(&self, name: &NodeName) -> Option<NodeId> {
        self.peers.iter().find(|(_, peer)| peer.link.is_some() && peer.name == *name).map(|(id, _)| *id)
    }

    /// Dials whom we miss.
    pub(super) fn dial_the_missing(&mut self, fx: &mut dyn Effects) {
        let wanted = self.wanted();
        let at = self.now.at;
        self.dials
            .retain(|name, dial| wanted.contains_key(name) || dial.in_flight.is_some() || dial.next_at > at);
        for (name, pause_min) in wanted {
            let greater = self
                .own
                .members
                .named(&name)
                .is_some_and(|m| m.id < self.own.id && self.peers.contains_key(&m.id));
            let give_way = if greater { GIVE_WAY } else { 0 };
            let dial = self
                .dials
                .entry(name.clone())
                .or_insert_with(|| Dial { next_at: at + give_way, ..Dial::default() });
            dial.pause_min = pause_min;
            if dial.in_flight.is_some_and(|(_, since)| at.saturating_sub(since) > DIAL_LIMIT) {
                dial.in_flight = None;
            }
            if dial.in_flight.is_none() && dial.next_at <= at {
                self.dial_serial += 1;
                dial.in_flight = Some((DialId(self.dial_serial), at));
                fx.dial(DialId(self.dial_serial), &name);
            }
        }
    }

    pub(super) fn dials_wake_at(&self) -> Option<u64> {
        let wake = |dial: &Dial| dial.in_flight.map_or(dial.next_at, |(_, since)| since + DIAL_LIMIT + 1);
        self.dials.values().map(wake).min().map(|at| at.max(self.now.at + 1))
    }

    /// Ends the link with a peer from our side.
    pub(super) fn unlink(&mut self, id: NodeId, fx: &mut dyn Effects) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Some(link) = peer.link.take() {
            peer.lane.disconnected();
            peer.lost_at = self.now.at;
            self.links.remove(&link.id);
            fx.close(link.id);
        }
    }

    pub(super) fn close_all(&mut self, fx: &mut dyn Effects) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.unlink(id, fx);
        }
    }

    /// A node that is nothing to us is forgotten with its link.
    fn forget_stranger(&mut self, id: NodeId) {
        let known = self.own.members.find(id).is_some_and(|m| !m.state.is_final());
        if !known && self.peers.get(&id).is_some_and(|peer| peer.link.is_none()) {
            self.peers.remove(&id);
        }
    }

    /// A member does not serve any more.
    pub(super) fn down(&mut self, id: NodeId, how: Gone, fx: &mut dyn Effects) {
        self.unlink(id, fx);
        let epoch = self.epoch();
        let at = self.now.at;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.start_over(epoch);
        peer.lost_at = at;
        self.unsettled = true;
        if !std::mem::take(&mut peer.running) {
            return;
        }
        peer.gone = Some(how);
        let name = peer.name.clone();
        fx.masked(id);
        fx.event(Event::Down { id, name, how });
        self.fail_requests_to(id, fx);
        self.judge_partition(fx);
    }

    /// Raises or clears the word of a partition.
    pub(super) fn judge_partition(&mut self, fx: &mut dyn Effects) {
        let cut = |m: &&Member| {
            self.peers.get(&m.id).is_some_and(|p| !p.running && (p.apart || p.gone == Some(Gone::Silent)))
        };
        let names: Vec<_> = self.own.members.members().filter(cut).map(|m| m.name.clone()).collect();
        match (self.partition, names.is_empty()) {
            (false, false) => fx.event(Event::Partition(names.clone())),
            (true, true) => fx.event(Event::Healed { together: true }),
            _ => {}
        }
        self.partition = !names.is_empty();
    }

    /// A process that slept has heard nothing: that says nothing about the others.
    pub(super) fn notice_own_pause(&mut self, now: Now) {
        let slept = now.at.saturating_sub(self.now.at);
        if slept > TICK + PAUSE_NOTICED {
            for peer in self.peers.values_mut() {
                peer.heard_at += slept;
                peer.link_heard_at = (peer.link_heard_at + slept).min(now.at);
                peer.lost_at = peer.lost_at.saturating_add(slept);
                peer.heard_at = peer.heard_at.min(now.at);
                peer.lost_at = peer.lost_at.min(now.at);
            }
        }
    }

    /// A peer has been heard on a connection that is not this machine's: it lives, whatever its link says.
    pub fn heard(&mut self, id: NodeId, now: Now) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.heard(now.at);
        }
    }

    /// Links of nodes that live are made anew when nothing comes over them any more.
    fn renew_dead_links(&mut self, fx: &mut dyn Effects) {
        let at = self.now.at;
        let dead =
            |peer: &Peer| peer.link.is_some() && at.saturating_sub(peer.link_heard_at) > LINK_SILENCE_MAX;
        let dead: Vec<_> = self.peers.iter().filter(|(_, peer)| dead(peer)).map(|(id, _)| *id).collect();
        for id in dead {
            self.unlink(id, fx);
            self.link_lost(id, fx);
            self.unsettled = true;
        }
    }

    pub(super) fn find_the_silent(&mut self, fx: &mut dyn Effects) {
        let at = self.now.at;
        let silent = |(id, peer): (&NodeId, &Peer)| peer.is_silent(at, self.swim.alive(*id)).then_some(*id);
        for (id, peer) in &self.peers {
            if peer.running && at.saturating_sub(peer.heard_at) > QUIET {
                fx.event(Event::Quiet(*id));
            }
        }
        for id in self.peers.iter().filter_map(silent).collect::<Vec<_>>() {
            self.down(id, Gone::Silent, fx);
            self.link_lost(id, fx);
            self.forget_stranger(id);
        }
        self.renew_dead_links(fx);
        let seeks: Vec<_> = self.doing.seeks().cloned().collect();
        let idle = |(id, peer): (&NodeId, &Peer)| {
            let purpose = self.own.members.find(*id).is_some_and(|m| !m.state.is_final())
                || seeks.contains(&peer.name)
                || self.granted.contains_key(&peer.name);
            (peer.link.is_some() && !purpose && peer.linger_until <= at).then_some(*id)
        };
        for id in self.peers.iter().filter_map(idle).collect::<Vec<_>>() {
            self.unlink(id, fx);
            self.forget_stranger(id);
        }
    }

    pub(super) fn beat(&mut self) {
        let at = self.now.at;
        for peer in self.peers.values_mut().filter(|peer| peer.lane.is_up() && at >= peer.spoken_at + BEAT) {
            // A full lane is being written all the time.
            let _ = peer.lane.push(frame::BEAT, &[]);
        }
    }
}
