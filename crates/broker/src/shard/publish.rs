//! PUBLISH: may it, is it retained, who gets it. Own sessions at once, other places in one frame each.

use mqtt::session::{Copies, Published, Ticket as AckTicket};
use mqtt::{Message, MessageRef, Now, Properties, QoS, Reason};
use smallvec::SmallVec;

use super::{Pending, Shard};
use crate::access::{Deed, Verdict};
use crate::client::{Life, Publishing, Remembered};
use crate::effects::{ConnId, Effects, Pressure, Ticket, Wait};
use crate::frame::{self, Publication, Reach};
use crate::groups::{Candidate, GroupTargets, Pick, Publisher, choose};
use crate::routes::Place;
use crate::settings::DenyAction;

/// Picks of group members at other places, by place.
type Picks = SmallVec<[(Place, usize, Pick); 4]>;

impl Shard {
    /// A client has published.
    pub(super) fn publish_from(
        &mut self,
        slot: u32,
        conn: ConnId,
        published: &Published<'_>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        self.count_published(slot, published.qos);
        if self.may(slot, Deed::Publish, &published.topic, now) == Verdict::Deny {
            self.deny_publish(slot, conn, published.ticket, fx);
            return;
        }
        if self.is_short_of_memory(slot, conn, published, fx) {
            return;
        }
        let client = &mut self.clients[slot as usize];
        if client.zone.quota && !fx.may_pass_on(conn) {
            self.stats.messages_dropped += 1;
            self.answer_publish(slot, conn, published.ticket, Reason::QuotaExceeded, None, fx);
            return;
        }
        let mut publishing = client.publishing.take().unwrap_or_else(|| {
            let last = Remembered { token: self.rng.next(), ..Remembered::default() };
            Box::new(Publishing { publisher: client.id.clone(), last })
        });
        let Publishing { publisher, last } = &mut *publishing;
        let mut mounted = std::mem::take(&mut self.topic);
        mounted.clear();
        let topic = match client.mount() {
            "" => &*published.topic,
            mount => {
                mounted.push_str(mount);
                mounted.push_str(&published.topic);
                &mounted
            }
        };
        let message = MessageRef {
            topic,
            payload: published.payload,
            properties: Properties::trusted(&published.properties),
            qos: published.qos,
            retain: published.retain,
            created: fx.epoch(),
            expiry: published.expiry,
            publisher: publisher.as_bytes(),
        };
        let mut copies = self.fresh_copies();
        let stored = if published.retain { self.retain(&message, &mut copies, fx) } else { None };
        let reached = self.route(&message, &mut copies, Some(slot), last, fx);
        // Only a PUBACK says so: a PUBREC is not the end of it.
        let is_nobody = reached == 0 && published.qos == QoS::AtLeastOnce;
        let reason = if is_nobody { Reason::NoMatchingSubscribers } else { Reason::Success };
        self.answer_publish(slot, conn, published.ticket, reason, stored, fx);
        // What it sends to itself comes after the answer.
        for target in last.targets.own.iter().filter(|t| t.is_session(slot)) {
            self.deliver(*target, &message, &mut copies, Publication(self.publication), Some(slot), fx);
        }
        self.copies = Some(copies);
        self.topic = mounted;
        self.clients[slot as usize].publishing = Some(publishing);
    }

    /// Something that is not of a client's connection is published: `$SYS`, a will, an operator's
    /// message. Retained, if it says so.
    pub fn publish_local(&mut self, message: &MessageRef<'_>, fx: &mut impl Effects) {
        let mut copies = self.fresh_copies();
        if message.retain {
            // Nobody waits for the disk here.
            self.retain(message, &mut copies, fx);
        }
        self.stats.messages_publish += 1;
        let mut last = std::mem::take(&mut self.elsewhere);
        last.token = self.rng.next();
        self.route(message, &mut copies, None, &mut last, fx);
        self.elsewhere = last;
        self.copies = Some(copies);
    }

    /// What the deliveries of the next message share; to be put back after them.
    fn fresh_copies(&mut self) -> Box<Copies> {
        let mut copies = self.copies.take().unwrap_or_default();
        copies.begin();
        copies
    }

    /// A frame from another place: own sessions get it, and of a peer's the sibling shards; it never
    /// goes on to a node. `from` is the place that sent it.
    pub fn forwarded(&mut self, from: Place, bytes: &[u8], fx: &mut impl Effects) {
        let parsed = frame::parse(bytes)
            .and_then(|frame| mqtt::message::decode(frame.message).ok().map(|message| (frame, message)));
        let Some((frame, message)) = parsed else {
            self.stats.frames_bad += 1;
            return;
        };
        let mut copies = self.fresh_copies();
        let publication = frame.publication;
        let mut places: SmallVec<[Place; 8]> = SmallVec::new();
        if frame.reach == Reach::Everyone {
            let mut last = std::mem::take(&mut self.elsewhere);
            last.targets.look_up(message.topic, &self.lookup(fx));
            copies.are_for(last.targets.own.len());
            for target in &last.targets.own {
                self.deliver(*target, &message, &mut copies, publication, None, fx);
            }
            if from.is_peer() {
                places.extend(last.targets.places.iter().copied().filter(|p| !p.is_peer()));
            }
            self.elsewhere = last;
        }
        let mut groups: Vec<GroupTargets> = Vec::new();
        let mut picks = Picks::new();
        for (name, filter, pick) in frame.picks() {
            let here = self.lookup(fx).group_here(name, filter);
            let Some((candidate, pick)) = resolve(&here, pick, from) else {
                self.stats.shared_missed += 1;
                continue;
            };
            match candidate.own {
                Some(group) => self.deliver_to_member(group, pick, &message, &mut copies, publication, fx),
                None => {
                    picks.push((candidate.place, groups.len(), pick));
                    groups.push(here);
                }
            }
        }
        self.send_frames(&message, publication, frame.reach, &places, &groups, &picks, fx);
        self.copies = Some(copies);
    }

    /// Gives a message to everyone who wants its topic, but for `from`, whose turn comes after its answer.
    /// Returns how many sessions and places want it.
    pub(super) fn route(
        &mut self,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        from: Option<u32>,
        last: &mut Remembered,
        fx: &mut impl Effects,
    ) -> usize {
        let Remembered { targets, picks: remembered, token } = last;
        targets.look_up(message.topic, &self.lookup(fx));
        if targets.is_empty() {
            if !message.topic.starts_with("$SYS/") {
                self.stats.messages_dropped += 1;
                self.stats.messages_dropped_no_subscribers += 1;
            }
            return 0;
        }
        let publication = self.next_publication();
        copies.are_for(targets.own.len());
        for target in &targets.own {
            if from.is_none_or(|slot| !target.is_session(slot)) {
                self.deliver(*target, message, copies, publication, from, fx);
            }
        }
        let mut reached = targets.own.len() + targets.places.len();
        let mut picks = Picks::new();
        for (n, group) in targets.groups.iter().enumerate() {
            let publisher =
                Publisher { client: message.publisher, topic: message.topic.as_bytes(), token: *token };
            let Some((candidate, pick)) = choose(group, &publisher, remembered, &mut self.rng) else {
                continue;
            };
            reached += 1;
            match candidate.own {
                Some(own) => self.deliver_to_member(own, pick, message, copies, publication, fx),
                None => picks.push((candidate.place, n, pick)),
            }
        }
        self.send_frames(message, publication, Reach::Everyone, &targets.places, &targets.groups, &picks, fx);
        reached
    }

    /// Gives a message of a member that has ended to another one of its group, if there is any.
    pub(super) fn give_to_another(&mut self, key: &str, message: &Message, fx: &mut impl Effects) {
        let Some(group) = self.lookup(fx).group(key) else { return };
        let view = message.view();
        let publisher =
            Publisher { client: view.publisher, topic: view.topic.as_bytes(), token: self.rng.next() };
        let Some((candidate, pick)) = choose(&group, &publisher, &mut Default::default(), &mut self.rng)
        else {
            return;
        };
        let publication = self.next_publication();
        match candidate.own {
            Some(own) => {
                self.deliver_to_member(own, pick, &view, &mut Copies::of(message.clone()), publication, fx);
            }
            None => {
                let picks = Picks::from_elem((candidate.place, 0, pick), 1);
                self.send_frames(&view, publication, Reach::Picks, &[], &[group], &picks, fx);
            }
        }
    }

    /// One frame to each place that has plain subscribers or was picked; the same one where nobody was.
    #[allow(clippy::too_many_arguments, reason = "the parts of one frame, each from another place")]
    fn send_frames(
        &mut self,
        message: &MessageRef<'_>,
        publication: Publication,
        reach: Reach,
        places: &[Place],
        groups: &[GroupTargets],
        picks: &Picks,
        fx: &mut impl Effects,
    ) {
        if places.is_empty() && picks.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.frame);
        if picks.is_empty() {
            frame::begin(&mut bytes, publication, reach);
            message.encode(&mut bytes);
            for place in places {
                self.send_frame(*place, &bytes, fx);
            }
            self.frame = bytes;
            return;
        }
        // A place that was only picked has no plain subscriber as far as is known here, but it may have
        // just got one, and that one may have it.
        let mut all: SmallVec<[Place; 8]> = places.into();
        for (place, ..) in picks {
            if !all.contains(place) {
                all.push(*place);
            }
        }
        for place in all {
            frame::begin(&mut bytes, publication, reach);
            for (_, group, pick) in picks.iter().filter(|(p, ..)| *p == place) {
                frame::pick(&mut bytes, &groups[*group].name, &groups[*group].filter, *pick);
            }
            message.encode(&mut bytes);
            self.send_frame(place, &bytes, fx);
        }
        self.frame = bytes;
    }

    fn send_frame(&mut self, place: Place, frame: &[u8], fx: &mut impl Effects) {
        fx.forward(place, frame);
        self.stats.messages_forward += u64::from(place.is_peer());
    }

    /// Hands a message to the retained store. `Some`: the answer comes with this ticket.
    fn retain(
        &mut self,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        fx: &mut impl Effects,
    ) -> Option<Ticket> {
        self.stats.messages_retained += 1;
        let ticket = self.ticket();
        (fx.retain(copies.keep(message), ticket) == Wait::Later).then_some(ticket)
    }

    /// Answers a PUBLISH now, or notes that the answer waits for the disk.
    fn answer_publish(
        &mut self,
        slot: u32,
        conn: ConnId,
        ack: AckTicket,
        reason: Reason,
        stored: Option<Ticket>,
        fx: &mut impl Effects,
    ) {
        let Some(client) = self.clients.get_mut(slot as usize) else { return };
        let Life::Open { session, .. } = &mut client.life else { return };
        match stored {
            None => session.accepted(ack, reason, fx.out(conn)),
            Some(ticket) => {
                session.defer(ack);
                let waits = Pending::Retain { client: slot, opening: client.opening, ticket: ack, reason };
                self.pending.insert(ticket.0, waits);
            }
        }
    }

    fn count_published(&mut self, slot: u32, qos: QoS) {
        self.clients[slot as usize].info.counts.messages_in += 1;
        let stats = &mut self.stats;
        stats.messages_received += 1;
        stats.messages_publish += 1;
        match qos {
            QoS::AtMostOnce => stats.messages_qos0_received += 1,
            QoS::AtLeastOnce => {
                stats.messages_qos1_received += 1;
                stats.packets_puback_sent += 1;
                stats.packets_sent += 1;
            }
            QoS::ExactlyOnce => {
                stats.messages_qos2_received += 1;
                stats.packets_pubrec_sent += 1;
                stats.packets_sent += 1;
            }
        }
    }

    /// Whether a message is dropped or refused because the node is short of memory.
    fn is_short_of_memory(
        &mut self,
        slot: u32,
        conn: ConnId,
        published: &Published<'_>,
        fx: &mut impl Effects,
    ) -> bool {
        let pressure = fx.pressure();
        if published.qos == QoS::AtMostOnce && pressure >= Pressure::Shed {
            self.stats.overload_qos0 += 1;
            self.stats.messages_dropped += 1;
            return true;
        }
        // Before 5.0 there is no word for a refusal: the driver does not read such a connection.
        let is_v5 = self.clients[slot as usize].info.version.is_v5();
        if is_v5 && published.qos > QoS::AtMostOnce && pressure >= Pressure::Refuse {
            self.stats.overload_refused += 1;
            self.stats.messages_dropped += 1;
            self.answer_publish(slot, conn, published.ticket, Reason::QuotaExceeded, None, fx);
            return true;
        }
        false
    }

    fn deny_publish(&mut self, slot: u32, conn: ConnId, ack: AckTicket, fx: &mut impl Effects) {
        self.stats.packets_publish_auth_error += 1;
        let client = &mut self.clients[slot as usize];
        let disconnect = client.zone.denied == DenyAction::Disconnect;
        let Life::Open { session, .. } = &mut client.life else { return };
        if disconnect {
            session.close(Reason::NotAuthorized, fx.out(conn));
        } else {
            session.accepted(ack, Reason::NotAuthorized, fx.out(conn));
        }
    }

    pub(super) fn next_publication(&mut self) -> Publication {
        self.publication = self.publication.wrapping_add(1);
        Publication(self.publication)
    }
}

/// Who a pick from another place means here. A sibling has picked within this shard already; a peer
/// counts through the shards of this node in their order.
fn resolve(here: &GroupTargets, pick: Pick, from: Place) -> Option<(Candidate, Pick)> {
    let own = || here.candidates.iter().find(|c| c.own.is_some()).copied();
    if !from.is_peer() {
        return Some((own()?, pick));
    }
    let someone_online = here.candidates.iter().any(|c| c.count.online > 0);
    let weight = |c: &Candidate| u64::from(if someone_online { c.count.online } else { c.count.members });
    let total: u64 = here.candidates.iter().map(weight).sum();
    if total == 0 {
        return None;
    }
    let mut n = match pick {
        Pick::Index(index) => u64::from(index),
        Pick::Sticky(token) => token,
    } % total;
    for candidate in &here.candidates {
        match n.checked_sub(weight(candidate)) {
            Some(rest) => n = rest,
            None => {
                let index = Pick::Index(n as u32);
                return Some((*candidate, if matches!(pick, Pick::Sticky(_)) { pick } else { index }));
            }
        }
    }
    None
}
