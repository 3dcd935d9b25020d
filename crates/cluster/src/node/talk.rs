//! What nodes say to one another on the control lane: taking frames, greeting, digests, bulk.

use super::*;
use crate::bus::lane::{Resumed, Sink};
use crate::effects::Event;
use crate::replica::{Work, merge, purge, read_entries};
use crate::table::{Answer, Feed};
use crate::wire::{Reader, as_u64, put, put_bytes, put_u64};

/// The frames of one input, copied out of the lane.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    frames: Vec<(u8, usize, usize)>,
    fresh: bool,
    resumed: bool,
}

impl Sink for Inbox {
    fn frame(&mut self, kind: u8, body: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body);
        self.frames.push((kind, start, self.bytes.len()));
    }

    fn resumed(&mut self, resumed: Resumed) {
        self.resumed = true;
        self.fresh |= resumed.fresh;
    }
}

impl Node {
    /// Bytes of a link.
    pub fn receive(&mut self, link: LinkId, bytes: &[u8], now: Now, fx: &mut dyn Effects) {
        self.now = now;
        let Some(id) = self.links.get(&link).copied() else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.heard(now.at);
        peer.link_heard_at = now.at;
        let mut inbox = Inbox::default();
        let sound = peer.lane.receive(bytes, now, &mut inbox).is_ok();
        if inbox.resumed {
            peer.greeted &= !inbox.fresh;
            if inbox.fresh {
                self.link_lost(id, fx);
                if self.is_running(id) {
                    fx.interrupted(id);
                }
            }
            self.settle_peers(fx);
        }
        for (kind, start, end) in inbox.frames {
            // A frame may have ended the link, or this node's membership.
            if self.links.get(&link) != Some(&id) {
                break;
            }
            self.take(id, kind, &inbox.bytes[start..end], fx);
        }
        if !sound && self.links.get(&link) == Some(&id) {
            self.unlink(id, fx);
            self.link_lost(id, fx);
            self.unsettled = true;
        }
        self.finish(fx);
    }

    fn take(&mut self, from: NodeId, kind: u8, body: &[u8], fx: &mut dyn Effects) {
        match kind {
            frame::MEMBERS => self.take_members(from, body, fx),
            frame::JOIN_ASK => self.take_join_ask(from, body, fx),
            frame::JOIN_GRANT => self.take_join_grant(from, body, fx),
            frame::JOIN_REFUSE => self.take_join_refuse(from, body, fx),
            frame::JOIN_COMMIT => self.take_join_commit(from, fx),
            frame::JOINED => self.take_joined(from, body, fx),
            frame::GOODBYE => self.take_goodbye(from, body, fx),
            frame::GOODBYE_ACK => self.take_goodbye_ack(from, body),
            frame::BYE => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.stopping = true;
                }
            }
            _ if !self.is_fellow(from) => {}
            frame::APART => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.apart = true;
                }
                self.down_but_linked(from, fx);
            }
            frame::HEAL => self.heal_with(from),
            _ if self.peers.get(&from).is_some_and(|peer| peer.apart) => {}
            frame::SWIM => self.swim.receive(body, self.now.at, &mut self.swim_out),
            frame::CAST => self.take_cast(from, body, fx),
            frame::REQUEST => self.take_request(from, body, fx),
            frame::ANSWER => self.take_answer(from, body, fx),
            frame::HELD => self.take_held(from, body),
            frame::CHANGES | frame::SNAPSHOT | frame::SNAPSHOT_PIECE | frame::SNAPSHOT_END => {
                self.take_table(from, kind, body, fx);
            }
            frame::DIGESTS => self.take_digests(from, body, fx),
            frame::REPAIR => self.take_repair(from, body),
            frame::MAP_WRITE | frame::MAP_LAST => self.take_records(from, body, fx),
            frame::MAP_BUCKETS | frame::MAP_SUMMARY | frame::MAP_WANT => {
                self.take_map_talk(from, kind, body, fx)
            }
            frame::MAP_ALL => {
                let maps: Vec<_> = self.maps.keys().copied().collect();
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.work.extend(maps.into_iter().map(|map| Work::Full { map, after: None }));
                    peer.wants_all = true;
                }
            }
            frame::MAP_ALL_DONE => self.take_all_done(from, fx),
            _ => {}
        }
        self.unsaid = true;
    }

    /// Greets each peer whose lane has come up, and lets members serve.
    pub(super) fn settle_peers(&mut self, fx: &mut dyn Effects) {
        let ready: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.lane.is_up() && !peer.greeted)
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            self.join_reached(id);
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if !std::mem::replace(&mut peer.met, true) {
                self.say_farewell(id);
                self.tell_members_to(id);
            }
            if self.is_fellow(id) {
                self.greet(id, fx);
            }
        }
    }

    fn greet(&mut self, id: NodeId, fx: &mut dyn Effects) {
        let autoheal = self.autoheal;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.greeted = true;
        if !autoheal && !peer.running && peer.gone == Some(Gone::Silent) {
            peer.apart = true;
            fx.event(Event::Healed { together: false });
        }
        if peer.apart {
            // What finds no room on a new lane does not exist.
            let _ = self.say(id, frame::APART, &[]);
            return;
        }
        self.tell_members_to(id);
        self.say_held(id);
        self.say_digests_to(id, false, fx);
        self.continue_join(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let incarnation = peer.incarnation;
        self.swim.greet(id, incarnation, self.now.at, &mut self.swim_out);
        if !peer.running {
            peer.running = true;
            peer.gone = None;
            let name = peer.name.clone();
            fx.unmasked(id, incarnation);
            fx.event(Event::Up { id, name, incarnation });
            self.judge_partition(fx);
        }
    }

    /// After a partition the other side wants to stay apart: it does not serve us, but we may be told to heal.
    fn down_but_linked(&mut self, id: NodeId, fx: &mut dyn Effects) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if std::mem::take(&mut peer.running) {
            peer.gone = Some(Gone::Silent);
            let name = peer.name.clone();
            fx.masked(id);
            fx.event(Event::Down { id, name, how: Gone::Silent });
            self.fail_requests_to(id, fx);
        }
        self.judge_partition(fx);
    }

    pub(super) fn heal(&mut self) {
        for id in self.fellows() {
            if self.peers.get(&id).is_some_and(|peer| peer.apart) {
                let _ = self.say(id, frame::HEAL, &[]);
                self.heal_with(id);
            }
        }
    }

    fn heal_with(&mut self, id: NodeId) {
        if let Some(peer) = self.peers.get_mut(&id)
            && std::mem::take(&mut peer.apart)
        {
            peer.gone = None;
            peer.greeted = false;
            self.unsettled = true;
        }
    }

    fn say_held(&mut self, id: NodeId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (incarnation, seq, whole) = peer.copy.held();
        let body = [&incarnation.to_be_bytes()[..], &seq.to_be_bytes(), &[u8::from(whole)]].concat();
        // A lane without room is repaired by the digests of the next second.
        let _ = self.say(id, frame::HELD, &body);
    }

    fn take_held(&mut self, from: NodeId, body: &[u8]) {
        let mut reader = Reader(body);
        let (Some(incarnation), Some(seq), Some(whole)) = (reader.u64(), reader.u64(), reader.byte()) else {
            return;
        };
        let feed = self.owner.resume(incarnation, seq, whole != 0);
        if self.owner.told_all(&feed).is_some() || matches!(feed, Feed::Live { snapshot: None, .. }) {
            // Tells it that the stream goes on from there, even if there is nothing to say.
            let _ = self.say(from, frame::CHANGES, &[seq.to_be_bytes(), seq.to_be_bytes()].concat());
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.feed = feed;
        }
    }

    fn take_table(&mut self, from: NodeId, kind: u8, body: &[u8], fx: &mut dyn Effects) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let answer = match kind {
            frame::CHANGES => peer.copy.changes(from, body, fx),
            frame::SNAPSHOT => peer.copy.snapshot(from, body, fx),
            frame::SNAPSHOT_PIECE => peer.copy.snapshot_piece(from, body, fx),
            _ => peer.copy.snapshot_end(from, body, fx),
        };
        if answer != Answer::Fine {
            self.say_held(from);
        }
    }

    pub(super) fn say_digests(&mut self, fx: &mut dyn Effects) {
        for id in self.fellows() {
            if let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.running) {
                // What it holds was said when we did not count it as one of us.
                let ask = matches!(peer.feed, Feed::Unknown);
                self.say_digests_to(id, ask, fx);
            }
        }
    }

    fn say_digests_to(&mut self, id: NodeId, ask: bool, fx: &mut dyn Effects) {
        let Some(peer) = self.peers.get(&id) else { return };
        let mut body = Vec::new();
        if let Some(seq) = self.owner.told_all(&peer.feed) {
            put_u64(&mut body, 1, seq);
            for (table, digest) in self.owner.digests() {
                let entry = [&[table.0][..], &digest.sum.to_be_bytes(), &digest.count.to_be_bytes()].concat();
                put(&mut body, 2, &entry);
            }
        }
        for id in self.maps.keys() {
            if let Some(records) = fx.records(*id) {
                let digest = records.buckets().digest();
                put(&mut body, 3, &[&[id.0][..], &digest.sum.to_be_bytes()].concat());
            }
        }
        put_u64(&mut body, 4, self.own.members.digest().sum);
        if ask {
            put_u64(&mut body, 5, 1);
        }
        // There is another one in a second.
        let _ = self.say(id, frame::DIGESTS, &body);
    }

    fn take_digests(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let (mut seq, mut tables, mut members) = (None, Vec::new(), None);
        let mut reader = Reader(body);
        while let Some((number, content)) = reader.field() {
            let mut inner = Reader(content);
            match number {
                1 => seq = as_u64(content),
                2 => {
                    if let (Some(table), Some(sum), Some(count)) = (inner.byte(), inner.u64(), inner.u64()) {
                        tables.push((TableId(table), Digest { sum, count }));
                    }
                }
                3 => {
                    if let (Some(map), Some(root)) = (inner.byte(), inner.u64()) {
                        self.compare_map(from, MapId(map), root, fx);
                    }
                }
                4 => members = as_u64(content),
                5 => self.say_held(from),
                _ => {}
            }
        }
        if members.is_some_and(|sum| sum != self.own.members.digest().sum) {
            self.tell_members_to(from);
        }
        let Some(peer) = self.peers.get(&from) else { return };
        let wrong = seq.map(|seq| peer.copy.differing(seq, &tables)).unwrap_or_default();
        if !wrong.is_empty() {
            for table in &wrong {
                fx.event(Event::Repair { node: from, table: *table });
            }
            let _ = self.say(from, frame::REPAIR, &wrong.iter().map(|table| table.0).collect::<Vec<_>>());
        }
    }

    /// A map that differs twice in a row (writes may be on their way), or on the first look, is compared by
    /// buckets; the smaller identity begins, so that it is done once.
    fn compare_map(&mut self, from: NodeId, id: MapId, sum: u64, fx: &mut dyn Effects) {
        if !self.maps.contains_key(&id) {
            return;
        }
        let Some(records) = fx.records(id) else { return };
        let differs = records.buckets().digest().sum != sum;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let first = !peer.differs.contains_key(&id);
        let count = peer.differs.entry(id).or_default();
        *count = if differs { *count + 1 } else { 0 };
        if differs && (first || *count >= 2) && self.own.id < from && peer.work.is_empty() {
            let mut body = vec![id.0];
            records.buckets().write(&mut body);
            let _ = self.say(from, frame::MAP_BUCKETS, &body);
        }
    }

    fn take_repair(&mut self, from: NodeId, body: &[u8]) {
        let tables: Vec<_> = body.iter().map(|table| TableId(*table)).collect();
        if let Some(peer) = self.peers.get_mut(&from) {
            self.owner.repair(&mut peer.feed, &tables);
        }
    }

    fn take_records(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        self.join_goes_on(from);
        let Some((id, entries)) = body.split_first() else { return };
        let Some(records) = fx.records(MapId(*id)) else { return };
        let (clock, now) = (&mut self.clock, self.now);
        read_entries(entries, |key, stamp, value| {
            clock.observe(stamp, now);
            merge(records, key, stamp, value, Origin::Peer);
        });
    }

    fn take_map_talk(&mut self, from: NodeId, kind: u8, body: &[u8], fx: &mut dyn Effects) {
        let Some((id, rest)) = body.split_first().map(|(id, rest)| (MapId(*id), rest)) else { return };
        let Some(records) = fx.records(id) else { return };
        let mut wanted = Vec::new();
        let work = match kind {
            frame::MAP_BUCKETS => records
                .buckets()
                .differing(rest)
                .filter(|buckets| buckets.iter().any(|bits| *bits != 0))
                .map(|buckets| Work::Summary { map: id, buckets, after: None }),
            frame::MAP_SUMMARY => {
                let judged = Work::judge(id, &*records, rest);
                judged.map(|(keys, work)| {
                    wanted = keys;
                    work
                })
            }
            _ => {
                let (mut reader, mut keys) = (Reader(rest), Vec::new());
                while let Some(key) = reader.bytes() {
                    keys.push(key.to_vec());
                }
                Some(Work::Wanted { map: id, keys })
            }
        };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.work.extend(work);
        if !wanted.is_empty() {
            let mut body = vec![id.0];
            for key in &wanted {
                put_bytes(&mut body, key);
            }
            // Without room the digests find the difference again.
            let _ = self.say(from, frame::MAP_WANT, &body);
        }
    }

    pub(super) fn say_swim(&mut self) {
        for (to, message) in std::mem::take(&mut self.swim_out) {
            if self.is_fellow(to)
                && self.peers.get(&to).is_some_and(|peer| peer.running && peer.link.is_some())
            {
                // The detector bears loss.
                let _ = self.say(to, frame::SWIM, &message);
            }
        }
        self.unsaid = false;
    }

    /// Streams of tables and maps, as far as lanes have room.
    pub(super) fn say_bulk(&mut self, fx: &mut dyn Effects) {
        let mut body = std::mem::take(&mut self.scratch);
        for peer in self.peers.values_mut().filter(|peer| peer.running && peer.lane.is_up()) {
            let mut pieces = 0;
            while peer.lane.room() > BULK_RESERVE {
                if pieces == PIECES_MAX {
                    self.unsaid = true;
                    break;
                }
                pieces += 1;
                let kind = match self.owner.piece(&mut peer.feed, fx, &mut body) {
                    Some(kind) => Some(kind),
                    None => match peer.work.front_mut() {
                        Some(work) => {
                            let (kind, done) = match fx.records(work.map()) {
                                Some(records) => work.piece(&*records, &mut body),
                                None => (None, true),
                            };
                            if done {
                                peer.work.pop_front();
                            }
                            kind
                        }
                        None if std::mem::take(&mut peer.wants_all) => {
                            body.clear();
                            Some(frame::MAP_ALL_DONE)
                        }
                        None => break,
                    },
                };
                if let Some(kind) = kind {
                    // There is more room than any piece takes, or a single record is larger than the lane:
                    // then it can travel to nobody, and is found wanting by its digest.
                    let _ = peer.lane.push(kind, &body);
                }
            }
        }
        self.scratch = body;
    }

    pub(super) fn purge(&mut self, fx: &mut dyn Effects) {
        for (id, upto) in &mut self.maps {
            if let Some(records) = fx.records(*id) {
                *upto = purge(records, upto.as_deref(), self.now.unix);
            }
        }
    }
}
