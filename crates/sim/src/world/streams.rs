//! Streams between nodes: parcels arrive, streams break, dials come to something.

use broker::routes::Place;
use cluster::bus::handshake::{Handshake, Local, Peer, Progress, Purpose};
use cluster::bus::lane::Lane;
use cluster::{Cause, DialId, Identity, LinkId, NodeName, Now};
use rand::RngExt;

use super::{EPOCH, Event, World};
use crate::desk::{Frames, LANE_LIMITS, LaneIn};
use crate::net::{End, Parcel, Role, Sent};
use crate::process::Process;

/// How long a dial into a cut takes to fail.
const DIAL_LIMIT: u64 = 3_000;
/// Between two tries of a data lane.
const LANE_RETRY: u64 = 200;

impl World {
    /// Streams between hosts break, with what is on its way.
    pub fn break_links(&mut self, hit: impl Fn(usize, usize) -> bool) {
        let hit = |link: &crate::net::Link| hit(link.ends[0].host, link.ends[1].host);
        let links: Vec<_> = self.net.links.iter().filter(|(_, l)| hit(l)).map(|(n, _)| *n).collect();
        self.break_numbers(&links);
    }

    pub(super) fn links_with(&self, hit: impl Fn(&End) -> bool) -> Vec<u64> {
        self.net.links.iter().filter(|(_, l)| l.ends.iter().any(&hit)).map(|(n, _)| *n).collect()
    }

    pub(super) fn break_numbers(&mut self, links: &[u64]) {
        for number in links {
            let Some(link) = self.net.links.remove(number) else { continue };
            for end in link.ends {
                let delay = self.net.delay(&mut self.rng);
                self.push(self.now + delay, Event::Broken { end });
            }
        }
    }

    pub fn mend(&mut self) {
        if !self.net.cut.is_empty() {
            self.trouble("all cuts are mended".into());
            self.net.cut.clear();
            let sent = self.net.release(self.now, &mut self.rng);
            for Sent { at, link, to, parcel } in sent {
                self.push(at, Event::Arrive { link, to, parcel });
            }
        }
    }

    pub(super) fn send(&mut self, link: u64, to: usize, parcel: Parcel) {
        if let Some(Sent { at, link, to, parcel }) = self.net.send(link, to, parcel, self.now, &mut self.rng)
        {
            self.push(at, Event::Arrive { link, to, parcel });
        }
    }

    pub(super) fn arrive(&mut self, link: u64, to: usize, parcel: Parcel) {
        let Some((end, parcel)) = self.net.arrive(link, to, parcel) else { return };
        if !self.runs(end.host, end.run) {
            return;
        }
        match parcel {
            Parcel::Bytes(bytes) => self.receive(link, end, &bytes),
            Parcel::End => {
                self.net.links.remove(&link);
                self.broken(end);
            }
        }
    }

    pub(super) fn receive(&mut self, link: u64, end: End, bytes: &[u8]) {
        let Some((process, now)) = self.process(end.host) else { return };
        let lanes = |process: &mut Process, shard: usize| -> Option<(Place, Frames, bool)> {
            let slot = match end.role {
                Role::LaneIn { peer, .. } => process.control.slot(peer),
                Role::LaneOut { slot, .. } => slot,
                Role::Control(_) => 0,
            };
            let desk = &mut process.workers[shard].desk;
            let (known, lane) = match end.role {
                Role::LaneIn { peer, lane, .. } => {
                    desk.lanes_in.get_mut(&(peer, lane)).map(|l| (l.link, &mut l.lane))?
                }
                _ => desk.lanes_out.get_mut(&slot).map(|l| (l.link, &mut l.lane))?,
            };
            if known != Some(link) {
                // A newer connection has taken its place: nobody reads this one any more.
                return None;
            }
            let mut frames = Frames::default();
            let sound = lane.receive(bytes, now, &mut frames).is_ok();
            Some((Place::peer(slot), frames, sound))
        };
        match end.role {
            Role::Control(id) => process.input(now, |node, fx| node.receive(id, bytes, now, fx)),
            Role::LaneOut { shard, .. } | Role::LaneIn { shard, .. } => {
                let Some((from, frames, sound)) = lanes(process, shard) else { return };
                assert!(sound, "lanes understand one another");
                for frame in frames.0 {
                    process.turn(shard, now, |shard, _, fx| shard.forwarded(from, &frame, fx));
                }
            }
        }
        self.drain(end.host);
    }

    /// A stream has ended, as seen from one end.
    pub(super) fn broken(&mut self, end: End) {
        if !self.runs(end.host, end.run) {
            return;
        }
        let now_at = self.now;
        let links = &self.net.links;
        let stands = |link: Option<u64>| link.is_some_and(|link| links.contains_key(&link));
        let now = Now::new(self.now, EPOCH + self.now + self.hosts[end.host].skew);
        let Some(process) = &mut self.hosts[end.host].process else { return };
        match end.role {
            Role::Control(id) => process.input(now, |node, fx| node.link_down(id, now, fx)),
            Role::LaneOut { shard, slot } => {
                if let Some(lane) = process.workers[shard].desk.lanes_out.get_mut(&slot)
                    && !stands(lane.link)
                {
                    lane.lane.disconnected();
                    lane.link = None;
                    lane.retry_at = now_at;
                }
            }
            Role::LaneIn { shard, peer, lane } => {
                if let Some(lane) = process.workers[shard].desk.lanes_in.get_mut(&(peer, lane))
                    && !stands(lane.link)
                {
                    lane.lane.disconnected();
                    lane.link = None;
                }
            }
        }
        self.drain(end.host);
    }

    /// Closes a stream from one side.
    pub(super) fn close(&mut self, link: u64, side: usize) {
        self.send(link, 1 - side, Parcel::End);
        // What still comes the other way finds nobody.
        if let Some(link) = self.net.links.get_mut(&link) {
            link.ends[side].run = 0;
        }
    }

    pub(super) fn local(&self, host: usize) -> Option<Local> {
        let process = self.hosts[host].process.as_ref()?;
        let Identity { id, name, incarnation, cluster } = process.identity();
        let cookies = vec![b"cookie".to_vec()];
        Some(Local { id, name, incarnation, cluster, cookies, capabilities: 1 })
    }

    /// The whole handshake, by the real machine: who answers, as each side sees the other.
    pub(super) fn shake(
        &mut self,
        from: usize,
        name: &NodeName,
        purpose: Purpose,
    ) -> Result<(usize, Peer, Peer), Cause> {
        let to = self.hosts.iter().position(|host| host.name == *name).ok_or(Cause::NodeDown)?;
        let (ours, theirs) = (self.local(from), self.local(to));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Err(Cause::NodeDown) };
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let nonces: [[u8; 32]; 2] = [self.rng.random(), self.rng.random()];
        let (a_now, b_now) = (self.clock(from), self.clock(to));
        let mut a = Handshake::dial(ours, name.clone(), purpose, nonces[0], a_now, &mut there);
        let mut b = Handshake::accept(theirs, nonces[1], b_now);
        let mut by_b = b.receive(&there, &mut back);
        loop {
            there.clear();
            let by_a = a.receive(&std::mem::take(&mut back), &mut there);
            match (by_a, &by_b) {
                (Progress::Done { peer: b_seen, .. }, Progress::Done { peer: a_seen, .. }) => {
                    return Ok((to, b_seen, a_seen.clone()));
                }
                (Progress::Close(cause), _) => return Err(cause),
                _ => by_b = b.receive(&there, &mut back),
            }
        }
    }

    /// Whether a dial gets an answer at all.
    pub(super) fn is_silent(&self, from: usize, name: &NodeName) -> bool {
        let to = self.hosts.iter().position(|host| host.name == *name);
        to.is_some_and(|to| {
            let host = &self.hosts[to];
            self.net.is_cut(from, to) || host.dark || host.paused_until > self.now
        })
    }

    pub(super) fn dialled(&mut self, host: usize, run: u64, dial: DialId, name: &NodeName, late: bool) {
        if !self.runs(host, run) {
            return;
        }
        if !late && self.is_silent(host, name) {
            let event = Event::Dialled { host, run, dial, name: name.clone(), late: true };
            return self.push(self.now + DIAL_LIMIT, event);
        }
        let shaken = if late { Err(Cause::TimedOut) } else { self.shake(host, name, Purpose::Control) };
        match shaken {
            Err(cause) => {
                let Some((process, now)) = self.process(host) else { return };
                process.input(now, |node, fx| node.dial_failed(dial, cause, now, fx));
            }
            Ok((to, theirs, ours)) => {
                let number = self.net.number();
                let link = LinkId(number);
                let there = self.hosts[to].run;
                let role = Role::Control(link);
                self.net.connect(number, [End { host, run, role }, End { host: to, run: there, role }]);
                if let Some((process, now)) = self.process(host) {
                    process.input(now, |node, fx| node.link_up(link, Some(dial), &theirs, now, fx));
                }
                if let Some((process, now)) = self.process(to) {
                    process.input(now, |node, fx| node.link_up(link, None, &ours, now, fx));
                }
                self.drain(to);
            }
        }
        self.drain(host);
    }

    pub(super) fn lane_dialled(&mut self, host: usize, run: u64, shard: usize, slot: u16, late: bool) {
        if !self.runs(host, run) {
            return;
        }
        let Some(process) = &self.hosts[host].process else { return };
        let Some(peer) = process.workers[shard].desk.lanes_out.get(&slot).map(|lane| lane.peer) else {
            return;
        };
        let Some(name) = process.node.member(peer).map(|member| member.name.clone()) else {
            return self.lane_failed(host, shard, slot);
        };
        if !late && self.is_silent(host, &name) {
            let event = Event::LaneDialled { host, run, shard, slot, late: true };
            return self.push(self.now + DIAL_LIMIT, event);
        }
        let lane = shard as u16;
        let shaken = if late { Err(Cause::TimedOut) } else { self.shake(host, &name, Purpose::Data(lane)) };
        let Some((to, theirs, ours)) = shaken.ok().filter(|(_, theirs, _)| theirs.id == peer) else {
            return self.lane_failed(host, shard, slot);
        };
        let there = self.hosts[to].run;
        let target = shard % self.shards;
        let accepted = self.process(to).is_some_and(|(process, _)| {
            process.node.member(ours.id).is_some() && process.identity().cluster == ours.cluster
        });
        if !accepted {
            return self.lane_failed(host, shard, slot);
        }
        let number = self.net.number();
        let ends = [
            End { host, run, role: Role::LaneOut { shard, slot } },
            End { host: to, run: there, role: Role::LaneIn { shard: target, peer: ours.id, lane } },
        ];
        self.net.connect(number, ends);
        let mut old = None;
        if let Some((process, _)) = self.process(to) {
            let epoch = process.incarnation;
            let lanes = &mut process.workers[target].desk.lanes_in;
            if lanes.get(&(ours.id, lane)).is_some_and(|known| known.incarnation != ours.incarnation) {
                old = lanes.remove(&(ours.id, lane)).and_then(|lane| lane.link);
            }
            let known = lanes.entry((ours.id, lane)).or_insert_with(|| LaneIn {
                incarnation: ours.incarnation,
                lane: Lane::new(epoch, LANE_LIMITS),
                link: None,
            });
            old = known.link.replace(number).or(old);
            known.lane.disconnected();
            known.lane.connected();
        }
        if let Some((process, _)) = self.process(host)
            && let Some(known) = process.workers[shard].desk.lanes_out.get_mut(&slot)
        {
            known.dialling = false;
            known.renew(theirs.incarnation);
            known.link = Some(number);
            known.lane.disconnected();
            known.lane.connected();
        }
        if let Some(old) = old {
            self.close(old, 1);
        }
        self.drain(to);
        self.drain(host);
    }

    pub(super) fn lane_failed(&mut self, host: usize, shard: usize, slot: u16) {
        let retry_at = self.now + LANE_RETRY;
        if let Some((process, _)) = self.process(host)
            && let Some(lane) = process.workers[shard].desk.lanes_out.get_mut(&slot)
        {
            lane.dialling = false;
            lane.retry_at = retry_at;
        }
        self.drain(host);
    }
}
