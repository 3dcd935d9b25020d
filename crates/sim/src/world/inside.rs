//! What happens inside a node: between its shards and control, and to its disk.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::exclusive::Asker;
use broker::routes::{Change, GroupCount, Place};
use broker::{Extent, Stamp};
use cluster::bus::lane::Lane;
use cluster::{NodeId, Wipe};
use rand::RngExt;

use super::{Event, World};
use crate::control::{Asked, CLIENTS, CURRENT, Deed, GROUPS, ROUTES, ShardMessage, TELL};
use crate::desk::{LANE_LIMITS, LaneOut, Note, Words};
use crate::net::{Parcel, Role};

/// How long a shard waits for peers to know its routes.
const ROUTES_LIMIT: Duration = Duration::from_secs(5);

impl World {
    pub(super) fn wake(&mut self, host: usize, run: u64) {
        if !self.runs(host, run) {
            return;
        }
        let at = self.now;
        let Some((process, now)) = self.process(host) else { return };
        // An earlier look was called for after this one, and has taken place.
        if process.wake.is_none_or(|wake| wake > at) {
            return;
        }
        process.wake = None;
        if process.node.wake_at().is_some_and(|wake| wake <= at) {
            process.input(now, |node, fx| node.expire(now, fx));
        }
        for n in 0..process.workers.len() {
            if process.workers[n].shard.wake_at().is_some_and(|wake| wake.0 <= at) {
                process.turn(n, now, |shard, now, fx| shard.expire(now, fx));
            }
            let desk = &mut process.workers[n].desk;
            desk.lanes_out.values_mut().for_each(|lane| lane.lane.expire(now));
            desk.lanes_in.values_mut().for_each(|lane| lane.lane.expire(now));
        }
        self.drain(host);
    }

    /// When a message in a channel of a node arrives.
    pub(super) fn channel(&mut self, host: usize, from: usize, to: usize) -> u64 {
        let at = self.now + self.rng.random_range(0..2);
        let last = self.channels.entry((host, from, to)).or_default();
        *last = at.max(*last);
        *last
    }

    pub(super) fn note(&mut self, host: usize, shard: usize, note: Note) {
        self.say(|| format!("n{host}.{shard}: {note:?}"));
        let Some((process, now)) = self.process(host) else { return };
        let place = Place::shard(shard as u16);
        process.control.now = now;
        match note {
            Note::Route { filter, on } => {
                let control = &mut process.control;
                let filter_text: std::sync::Arc<str> = filter.as_str().into();
                let who = control.wanted.entry(filter.clone()).or_default();
                let is_new = if on { who.insert(shard as u16) } else { who.remove(&(shard as u16)) };
                assert!(is_new, "a wish is told when it changes: {filter} {on} of shard {shard}");
                let wanted = !who.is_empty();
                control.interest.apply(&match on {
                    true => Change::Add { place, filter: filter_text },
                    false => Change::Remove { place, filter: filter_text },
                });
                let is = wanted.then_some(&b""[..]);
                if let Some(was) = control.set_own(ROUTES, filter.as_bytes(), is) {
                    process.node.changed(ROUTES, filter.as_bytes(), was.as_deref(), is);
                }
            }
            Note::Members { key, count } => {
                let control = &mut process.control;
                control.interest.apply(&Change::Members { place, key: key.as_str().into(), count });
                let shards = control.members.entry(key.clone()).or_default();
                shards.insert(shard as u16, count);
                let sum = shards.values().fold(GroupCount::default(), |sum, count| GroupCount {
                    members: sum.members + count.members,
                    online: sum.online + count.online,
                });
                let bytes = sum.to_bytes();
                let is = (sum.members > 0).then_some(&bytes[..]);
                if let Some(was) = control.set_own(GROUPS, key.as_bytes(), is) {
                    process.node.changed(GROUPS, key.as_bytes(), was.as_deref(), is);
                }
            }
            Note::Claim { client, stamp } => {
                let bytes = stamp.map(Stamp::encode);
                let is = bytes.as_ref().map(|bytes| &bytes[..]);
                if let Some(was) = process.control.set_own(CLIENTS, client.as_bytes(), is) {
                    process.node.changed(CLIENTS, client.as_bytes(), was.as_deref(), is);
                }
            }
            Note::Tell { peer, bytes } => {
                if let Some(id) = process.control.peer_in(peer.number()) {
                    // A peer that does not serve is masked, and that ends what was under way with it.
                    let _ = process.node.cast(id, TELL, &bytes.0);
                }
            }
            Note::Routes { extent: Extent::Node, ticket } => {
                let deed = Deed::ToShard(shard, ShardMessage::RoutesIn(ticket));
                process.control.deeds.push(deed);
            }
            Note::Routes { extent: Extent::Cluster, ticket } => {
                // The changes go first, so that the question comes behind them.
                process.input(now, |node, fx| node.expire(now, fx));
                let peers: Vec<NodeId> = process.control.serving.keys().copied().collect();
                for peer in peers {
                    if let Ok(request) = process.node.request(peer, CURRENT, &[], ROUTES_LIMIT, now) {
                        process.control.waiting.insert(request, Asked::Shard(shard, ticket));
                    }
                }
                if !process.control.waiting.values().any(|waits| *waits == Asked::Shard(shard, ticket)) {
                    let deed = Deed::ToShard(shard, ShardMessage::RoutesIn(ticket));
                    process.control.deeds.push(deed);
                }
            }
            Note::AskExclusive { client, filters, ticket } => {
                let control = &mut process.control;
                let stamp = control.clock.tick(process.node.identity().id, None, now);
                let (asker, effects) =
                    (Asker { shard: shard as u16, ticket }, &mut control.exclusive_effects);
                control.exclusive.ask(asker, &client, filters, stamp, effects);
            }
            Note::GiveBack { filter, ticket } => {
                let control = &mut process.control;
                let asker = Asker { shard: shard as u16, ticket };
                control.exclusive.give_back(asker, &filter, &mut control.exclusive_effects);
            }
        }
    }

    pub(super) fn tell_shard(&mut self, host: usize, shard: usize, message: ShardMessage) {
        self.say(|| format!("n{host}.{shard} is told: {message:?}"));
        let Some((process, now)) = self.process(host) else { return };
        process.turn(shard, now, |shard, now, fx| match message {
            ShardMessage::Forward { from, bytes } => shard.forwarded(from, &bytes.0, fx),
            ShardMessage::RoutesIn(ticket) => shard.routes_in(ticket, now, fx),
            ShardMessage::Exclusive { ticket, granted } => {
                shard.exclusive_answered(ticket, &granted, now, fx);
            }
            ShardMessage::ExclusiveEnded { ticket, filter } => shard.exclusive_ended(ticket, &filter, fx),
            ShardMessage::Stored(ticket) => shard.retained_stored(ticket, mqtt::Reason::Success, now, fx),
            ShardMessage::Told { from, bytes } => shard.told(from, &bytes.0, now, fx),
            ShardMessage::PeerClaim { peer, client, stamp } => {
                shard.peer_claim(peer, &client.as_str().into(), stamp, now, fx)
            }
            ShardMessage::PeerRelease { peer, client } => shard.peer_release(peer, &client, now, fx),
            ShardMessage::PeerInterrupted(peer) => shard.peer_interrupted(peer, fx),
            ShardMessage::PeerMasked(peer) => shard.peer_masked(peer, now, fx),
            ShardMessage::PeerUnmasked(peer, incarnation) => {
                if let Some(lane) = fx.desk.lanes_out.get_mut(&peer.number()) {
                    lane.renew(incarnation);
                }
                shard.peer_unmasked(peer, now, fx);
            }
            ShardMessage::PeerForgotten(peer) => {
                shard.peer_forgotten(peer, now, fx);
                fx.desk.lanes_out.remove(&peer.number());
            }
        });
    }

    /// Carries out everything that the inputs of a node have led to.
    pub fn drain(&mut self, host: usize) {
        loop {
            let mut moved = self.deeds(host);
            moved |= self.exclusive(host);
            if let Some((process, _)) = self.process(host) {
                process.answer_syncs();
            }
            moved |= self.desks(host);
            if !moved {
                break;
            }
        }
        self.lanes(host);
        self.schedule(host);
    }

    pub(super) fn deeds(&mut self, host: usize) -> bool {
        let Some(process) = &mut self.hosts[host].process else { return false };
        let run = process.run;
        let deeds = std::mem::take(&mut process.control.deeds);
        let moved = !deeds.is_empty();
        let control = self.shards;
        for deed in deeds {
            match deed {
                Deed::Dial(dial, name) => {
                    let delay = self.net.delay(&mut self.rng) * 2;
                    self.push(self.now + delay, Event::Dialled { host, run, dial, name, late: false });
                }
                Deed::Send(link, bytes) => {
                    if let Some(side) = self.net.side(link.0, host, run, Role::Control(link)) {
                        self.send(link.0, 1 - side, Parcel::Bytes(bytes));
                    }
                }
                Deed::Close(link) => {
                    if let Some(side) = self.net.side(link.0, host, run, Role::Control(link)) {
                        self.close(link.0, side);
                    }
                }
                Deed::Wipe(why) => self.wipe(host, &why),
                Deed::ToShard(shard, message) => {
                    let at = self.channel(host, control, shard);
                    self.push(at, Event::ToShard { host, run, shard, message });
                }
                Deed::Respond(asked) => {
                    if let Some((process, _)) = self.process(host) {
                        let marks = process.marks();
                        process.control.syncs.push((asked, marks));
                    }
                }
                Deed::Answered(request, mark) => {
                    let Some((process, _)) = self.process(host) else { continue };
                    let control = &mut process.control;
                    match control.waiting.remove(&request) {
                        Some(waits @ Asked::Shard(shard, ticket))
                            if !control.waiting.values().any(|other| *other == waits) =>
                        {
                            control.deeds.push(Deed::ToShard(shard, ShardMessage::RoutesIn(ticket)));
                        }
                        Some(Asked::Round(round, peer)) => {
                            if let Some(heard) = control.rounds.get_mut(&round) {
                                heard.left -= 1;
                                heard.marks.extend(mark.map(|mark| (peer, mark)));
                                heard.silent.extend(mark.is_none().then_some(peer));
                            }
                        }
                        Some(Asked::Shard(..)) | None => {}
                    }
                }
                Deed::Reply(command, outcome) => {
                    self.say(|| format!("n{host}: command {} {outcome:?}", command.0));
                    let again = self.outcomes.insert(command, outcome);
                    assert!(again.is_none(), "a command has one outcome");
                }
                Deed::Event(event) => self.say(|| format!("n{host}: {event:?}")),
                Deed::Persist(state) => self.hosts[host].disk.state = Some(state),
            }
        }
        moved
    }

    /// Notes, frames for siblings, output of sockets, and input that a pause held back.
    pub(super) fn desks(&mut self, host: usize) -> bool {
        let Some(process) = &self.hosts[host].process else { return false };
        let (run, shards) = (process.run, process.workers.len());
        let mut moved = false;
        for shard in 0..shards {
            let Some(process) = &mut self.hosts[host].process else { return false };
            let desk = &mut process.workers[shard].desk;
            let notes = std::mem::take(&mut desk.notes);
            let siblings = std::mem::take(&mut desk.siblings);
            let from = desk.place;
            let (mut outputs, mut readable) = (Vec::new(), Vec::new());
            for (conn, place) in desk.sockets.iter_mut().enumerate() {
                let Some(socket) = place else { continue };
                let bytes = socket.out.take_bytes();
                if !bytes.is_empty() || socket.ended {
                    outputs.push((socket.attempt, bytes, socket.ended));
                }
                if socket.ended {
                    *place = None;
                } else if !socket.paused && !socket.input.is_empty() {
                    readable.push(conn as u32);
                }
            }
            if !notes.is_empty() {
                let at = self.channel(host, shard, self.shards);
                self.push(at, Event::Notes { host, run, shard, notes });
            }
            for (to, bytes) in siblings {
                let at = self.channel(host, shard, to.into());
                let message = ShardMessage::Forward { from, bytes: Words(bytes) };
                self.push(at, Event::ToShard { host, run, shard: to.into(), message });
            }
            for (attempt, bytes, end) in outputs {
                self.output(attempt, bytes, end);
            }
            for conn in readable {
                moved |= self.read_socket(host, shard, broker::ConnId(conn));
            }
        }
        let Some(process) = &mut self.hosts[host].process else { return false };
        let records = std::mem::take(&mut process.control.shelf.unsynced);
        let mut tickets = Vec::new();
        for (shard, worker) in process.workers.iter_mut().enumerate() {
            tickets.extend(worker.desk.storing.drain(..).map(|ticket| (shard, ticket)));
        }
        if !records.is_empty() || !tickets.is_empty() {
            let last = self.channels.entry((host, self.shards, usize::MAX)).or_default();
            *last = (self.now + self.rng.random_range(1..8)).max(*last);
            let at = *last;
            self.push(at, Event::Stored { host, run, records, tickets });
        }
        moved
    }

    /// Data lanes: those that are missing are made and dialled, what they have to say is sent.
    pub(super) fn lanes(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else { return };
        let (run, epoch, at) = (process.run, process.incarnation, self.now);
        let serving: Vec<_> = process.control.serving.keys().copied().collect();
        let slots: Vec<_> = serving.iter().map(|peer| (*peer, process.control.slot(*peer))).collect();
        let (mut dials, mut sends) = (Vec::new(), Vec::new());
        for (shard, worker) in process.workers.iter_mut().enumerate() {
            let desk = &mut worker.desk;
            for (peer, slot) in &slots {
                let lane = desk.lanes_out.entry(*slot).or_insert_with(|| {
                    let mut lane = Lane::new(epoch, LANE_LIMITS);
                    lane.renew(process.control.serving[peer]);
                    LaneOut { peer: *peer, lane, link: None, dialling: false, retry_at: at }
                });
                if lane.link.is_none() && !lane.dialling && lane.retry_at <= at {
                    lane.dialling = true;
                    dials.push((shard, *slot));
                }
            }
            let out = desk
                .lanes_out
                .iter_mut()
                .map(|(slot, l)| (l.link, Role::LaneOut { shard, slot: *slot }, &mut l.lane));
            let ins = desk.lanes_in.iter_mut().map(|((peer, lane), l)| {
                (l.link, Role::LaneIn { shard, peer: *peer, lane: *lane }, &mut l.lane)
            });
            for (link, role, lane) in out.chain(ins) {
                let Some(link) = link else { continue };
                let mut all = Vec::new();
                while !lane.to_write().is_empty() {
                    all.extend_from_slice(lane.to_write());
                    lane.wrote(lane.to_write().len());
                }
                if !all.is_empty() {
                    sends.push((link, role, all));
                }
            }
        }
        for (shard, slot) in dials {
            let delay = self.net.delay(&mut self.rng) * 2;
            self.push(self.now + delay, Event::LaneDialled { host, run, shard, slot, late: false });
        }
        for (link, role, bytes) in sends {
            if let Some(side) = self.net.side(link, host, run, role) {
                self.send(link, 1 - side, Parcel::Bytes(bytes));
            }
        }
    }

    pub(super) fn schedule(&mut self, host: usize) {
        let now = self.now;
        let Some(process) = &mut self.hosts[host].process else { return };
        let Some(at) = process.wake_at().map(|at| at.max(now)) else { return };
        if process.wake.is_none_or(|wake| wake > at) {
            process.wake = Some(at);
            let run = process.run;
            self.push(at, Event::Wake { host, run });
        }
    }

    /// A node gives up all it has: everything inside it is carried out first, then it is empty.
    pub(super) fn wipe(&mut self, host: usize, why: &Wipe) {
        self.trouble(format!("n{host} is wiped: {why:?}"));
        self.oracle.lost_node(host, self.now);
        self.oracle.retained.clear();
        self.oracle.wiped_at = self.now;
        let Some((process, now)) = self.process(host) else { return };
        for shard in 0..process.workers.len() {
            process.turn(shard, now, |shard, now, fx| shard.wipe(now, fx));
        }
        // Until shards and control have nothing more to say to one another.
        loop {
            let Some(process) = &mut self.hosts[host].process else { return };
            let mut notes = Vec::new();
            let inside = |event: &Event| match event {
                Event::Notes { host: of, .. }
                | Event::ToShard { host: of, .. }
                | Event::Stored { host: of, .. } => *of == host,
                _ => false,
            };
            let waiting: Vec<_> =
                self.events.iter().filter(|(_, e)| inside(e)).map(|(key, _)| *key).collect();
            let waiting: Vec<_> = waiting.into_iter().filter_map(|key| self.events.remove(&key)).collect();
            for (shard, worker) in process.workers.iter_mut().enumerate() {
                notes.extend(worker.desk.notes.drain(..).map(|note| (shard, note)));
                worker.desk.siblings.clear();
            }
            if waiting.is_empty() && notes.is_empty() {
                break;
            }
            for event in waiting {
                // Words of peers of the old cluster mean nothing any more.
                if let Event::Notes { shard, notes, .. } = event {
                    notes.into_iter().for_each(|n| self.note(host, shard, n));
                }
            }
            for (shard, note) in notes {
                self.note(host, shard, note);
            }
        }
        if let Some((process, _)) = self.process(host) {
            let control = &mut process.control;
            control.rounds.clear();
            control.exclusive.clear(&mut control.exclusive_effects);
        }
        self.exclusive(host);
        let Some((process, now)) = self.process(host) else { return };
        for worker in &mut process.workers {
            worker.desk.lanes_out.clear();
            worker.desk.lanes_in.clear();
            worker.desk.storing.clear();
        }
        let control = &mut process.control;
        assert!(
            control.own.values().all(BTreeMap::is_empty),
            "an empty node owns nothing: {:?}",
            control.own
        );
        control.forget_peers();
        control.waiting.clear();
        control.syncs.clear();
        control.shelf = crate::control::Shelf::default();
        process.input(now, |node, fx| node.wiped(now, fx));
        self.hosts[host].disk.retained.clear();
        let links = self.links_with(|end| end.host == host && !matches!(end.role, Role::Control(_)));
        self.break_numbers(&links);
    }
}
