//! A session moves whole from one node to another, in two parts, and nothing is lost or overtaken.
//!
//! The new node claims the client id and asks the old one, which ends its connection, gives window and
//! mailbox away, and keeps its routes. The new node serves the client at once from what it got, makes
//! its routes known to all, and holds back what they bring. When everybody knows them it says so; the
//! old node waits a moment for what is still on its way, sends all that came since as the second part,
//! and forgets the session. The new node puts the second part before what it has held back, each
//! publication once. If either node dies in between, the other one has the session.

use std::sync::Arc;

use cluster::Stamp;
use mqtt::Now;
use mqtt::session::Flight;

use super::connect::decoded;
use super::exclusive::{exclusive_filter, exclusive_key};
use super::{Pending, Shard};
use crate::client::{Arriving, Ask, Away, Leaving, LeavingStep, Life, NEVER, Waiting, Will};
use crate::effects::{Cause, Effects, Extent};
use crate::kept::{KeptLetter, KeptSession, Told};
use crate::mailbox::Letter;
use crate::routes::{Place, shared};
use crate::subscription::Options;

/// Milliseconds that the old node keeps what it has given away, at most.
const LEAVING_LIMIT_MS: u64 = 30_000;
/// Milliseconds that the new node waits for the second part, at most.
const ARRIVING_LIMIT_MS: u64 = 30_000;
/// Milliseconds in which a frame that was sent by the old routes is sure to arrive.
const LATE_MS: u64 = 100;
/// Milliseconds that a session waits to be asked for after another node's newer claim has come.
const SUPERSEDED_MS: u64 = 60_000;

impl Shard {
    /// Bytes of [`Effects::tell`] from a peer, for a client id whose home is this shard.
    pub fn told(&mut self, from: Place, bytes: &[u8], now: Now, fx: &mut impl Effects) {
        let Some((client, request, told)) = Told::decode(bytes) else {
            self.stats.frames_bad += 1;
            return;
        };
        match told {
            Told::Ask { fresh, stamp } => {
                self.asked(client, Ask { from, request, fresh, stamp }, now, fx);
            }
            Told::Pass { key, fresh, stamp } => {
                // Whoever has gone meanwhile wants nothing any more.
                if let Some(place) = fx.interest().node_with(key) {
                    self.asked(client, Ask { from: place, request, fresh, stamp }, now, fx);
                }
            }
            Told::Whole(kept) => {
                if let Some(slot) = self.find(client) {
                    self.arrived(slot, from, request, kept, now, fx);
                }
            }
            Told::Settled => {
                if let Some(slot) = self.find(client)
                    && let Life::Leaving(leaving) = &mut self.clients[slot as usize].life
                    && (leaving.to, leaving.request) == (from, request)
                {
                    leaving.step = LeavingStep::Settled { done_at: now.plus(LATE_MS) };
                    self.arm(slot);
                }
            }
            Told::Late(letters) => {
                if let Some(slot) = self.find(client)
                    && let Some(arriving) = &self.clients[slot as usize].arriving
                    && (arriving.from, arriving.request) == (from, request)
                {
                    self.finish_arrival(slot, letters, now, fx);
                }
            }
        }
    }

    /// A peer has claimed a client id whose home is this shard.
    pub fn peer_claim(
        &mut self,
        peer: Place,
        client: &Arc<str>,
        stamp: Stamp,
        now: Now,
        fx: &mut impl Effects,
    ) {
        self.registry.claim(peer, client, stamp);
        self.yield_to(client, stamp, now, fx);
    }

    /// It has given it up.
    pub fn peer_release(&mut self, peer: Place, client: &str, now: Now, fx: &mut impl Effects) {
        let released = self.registry.release(peer, client);
        // It was to have the session and does without: whatever it knew of it, it has said before.
        if let Some(slot) = self.find(client)
            && let Life::Leaving(leaving) = &self.clients[slot as usize].life
            && (leaving.to, Some(leaving.stamp)) == (peer, released)
            && matches!(leaving.step, LeavingStep::Given { .. })
        {
            self.take_back(slot, now, fx);
        }
    }

    /// The peer had counted this node as down, while this node went on: words to it are lost. What waits for
    /// an answer is said again; who has heard it before takes no harm.
    pub fn peer_interrupted(&mut self, peer: Place, fx: &mut impl Effects) {
        for (_, client) in &self.clients {
            if let Life::Fetching(fetching) = &client.life
                && fetching.from == peer
            {
                let told = Told::Ask { fresh: fetching.fresh, stamp: client.stamp };
                fx.tell(peer, &client.id, &told.encode(&client.id, fetching.request));
            }
            if let Some(arriving) = client.arriving.as_ref().filter(|a| a.from == peer && a.settled) {
                fx.tell(peer, &client.id, &Told::Settled.encode(&client.id, arriving.request));
            }
        }
    }

    /// The peer cannot be reached: its claims count for nothing, and what was under way with it ends.
    pub fn peer_masked(&mut self, peer: Place, now: Now, fx: &mut impl Effects) {
        self.registry.mask(peer);
        let slots: Vec<u32> = self.clients.iter().map(|(slot, _)| slot as u32).collect();
        for slot in slots {
            let Some(client) = self.clients.get_mut(slot as usize) else { continue };
            // It will ask again, if it still wants to.
            if let Some(arriving) = &mut client.arriving {
                arriving.next.take_if(|ask| ask.from == peer);
            }
            match &mut client.life {
                Life::Fetching(fetching) if fetching.from != peer => {
                    fetching.next.take_if(|ask| ask.from == peer);
                }
                Life::Fetching(fetching) => {
                    let request = fetching.request;
                    self.arrived(slot, peer, request, None, now, fx);
                }
                Life::Leaving(leaving) if leaving.to == peer => self.take_back(slot, now, fx),
                _ => {}
            }
            let Some(client) = self.clients.get_mut(slot as usize) else { continue };
            if client.arriving.as_ref().is_some_and(|a| a.from == peer) {
                self.finish_arrival(slot, Vec::new(), now, fx);
            }
        }
    }

    /// The peer can be reached again: its claims count, and where they are newer this node's sessions
    /// give way.
    pub fn peer_unmasked(&mut self, peer: Place, now: Now, fx: &mut impl Effects) {
        for (client, stamp) in self.registry.unmask(peer) {
            self.yield_to(&client, stamp, now, fx);
        }
    }

    /// The peer is gone for good.
    pub fn peer_forgotten(&mut self, peer: Place, now: Now, fx: &mut impl Effects) {
        self.peer_masked(peer, now, fx);
        self.registry.forget(peer);
    }

    /// The newer connection has the client id: this node's ends, and its session waits a while to be
    /// asked for.
    fn yield_to(&mut self, client: &str, stamp: Stamp, now: Now, fx: &mut impl Effects) {
        let Some(slot) = self.find(client) else { return };
        if self.clients[slot as usize].stamp >= stamp {
            return;
        }
        self.displace(slot, Cause::TakenOver, now, fx);
        let Some(slot) = self.find(client) else { return };
        self.limit_if_superseded(slot, now);
        let waiting = match &mut self.clients[slot as usize].life {
            Life::Fetching(fetching) => fetching.waiting.take(),
            Life::Open { .. } | Life::Leaving(_) | Life::Away(_) => None,
        };
        self.turn_away(waiting, fx);
        self.arm(slot);
    }

    /// A session without connection that another node claims waits a while to be asked for, and no longer.
    fn limit_if_superseded(&mut self, slot: u32, now: Now) {
        let client = &mut self.clients[slot as usize];
        if let Life::Away(away) = &mut client.life
            && self.registry.owner(&client.id).is_some_and(|(_, claimed)| claimed > client.stamp)
        {
            let until = now.plus(SUPERSEDED_MS);
            away.ends_at = Some(away.ends_at.map_or(until, |at| at.min(until)));
        }
    }

    pub(super) fn tell_owner(&mut self, slot: u32, told: &Told, fx: &mut impl Effects) {
        let client = &self.clients[slot as usize];
        if let Life::Fetching(fetching) = &client.life {
            fx.tell(fetching.from, &client.id, &told.encode(&client.id, fetching.request));
        }
    }

    /// A peer wants a session.
    fn asked(&mut self, client: &str, ask: Ask, now: Now, fx: &mut impl Effects) {
        let none = |fx: &mut _| answer(client, ask, &Told::Whole(None), fx);
        let Some(slot) = self.find(client) else { return none(fx) };
        let known = &mut self.clients[slot as usize];
        // My claim is the newer one: whoever asks will learn of it and give way.
        if known.stamp >= ask.stamp {
            return none(fx);
        }
        if let Life::Fetching(fetching) = &mut known.life {
            fetching.next = Some(ask);
            let waiting = fetching.waiting.take();
            return self.turn_away(waiting, fx);
        }
        if let Some(arriving) = &mut known.arriving {
            arriving.next = Some(ask);
            return self.displace(slot, Cause::TakenOver, now, fx);
        }
        if let Life::Leaving(leaving) = &known.life {
            let (to, request) = (leaving.to, leaving.request);
            if to != ask.from {
                return self.pass_on(client, to, ask, fx);
            }
            if request == ask.request {
                let whole = Told::Whole(Some(self.keep(slot).encode()));
                return answer(client, ask, &whole, fx);
            }
            // What was given did not come, or was given up: it is to begin anew.
            self.take_back(slot, now, fx);
        }
        let Some(slot) = self.find(client) else { return none(fx) };
        self.displace(slot, if ask.fresh { Cause::Discarded } else { Cause::TakenOver }, now, fx);
        match self.find(client) {
            Some(slot) if ask.fresh => {
                self.stats.session_discarded += 1;
                self.end_session(slot, now, fx);
                none(fx);
            }
            Some(slot) => self.give(slot, ask, now, fx),
            None => none(fx),
        }
    }

    /// Whoever has the session by now may give it to the one that asks.
    fn pass_on(&self, client: &str, to: Place, ask: Ask, fx: &mut impl Effects) {
        let key = fx.interest().node_key(ask.from);
        let told = Told::Pass { key, fresh: ask.fresh, stamp: ask.stamp };
        fx.tell(to, client, &told.encode(client, ask.request));
    }

    /// First part: the session as it is.
    fn give(&mut self, slot: u32, ask: Ask, now: Now, fx: &mut impl Effects) {
        let kept = self.keep(slot).encode();
        let client = &mut self.clients[slot as usize];
        let Life::Away(away) = &mut client.life else { return };
        let away = std::mem::take(&mut **away);
        let step = LeavingStep::Given { give_up_at: now.plus(LEAVING_LIMIT_MS) };
        client.life = Life::Leaving(Box::new(Leaving {
            to: ask.from,
            request: ask.request,
            stamp: ask.stamp,
            away,
            late: Default::default(),
            step,
            next: None,
        }));
        self.stats.session_takeovered += 1;
        let id = client.id.clone();
        answer(&id, ask, &Told::Whole(Some(kept)), fx);
        self.arm(slot);
    }

    /// Everything of a session without connection.
    fn keep(&self, slot: u32) -> KeptSession {
        let client = &self.clients[slot as usize];
        let mut kept = KeptSession {
            created_at: client.info.created_at,
            expiry_secs: client.expiry,
            ..KeptSession::default()
        };
        match &client.life {
            Life::Away(away) => away.flight.encode(&mut kept.flight),
            Life::Leaving(leaving) => leaving.away.flight.encode(&mut kept.flight),
            Life::Open { .. } | Life::Fetching(_) => {}
        }
        for subscription in client.subscriptions() {
            let filter = match subscription.group().and_then(|g| self.groups.group(g)) {
                Some(group) => group.key(),
                None if self.has_alone(slot, subscription.filter) => {
                    exclusive_key(self.index.filter(subscription.filter))
                }
                None => self.index.filter(subscription.filter).to_owned(),
            };
            kept.subscriptions.push((filter, subscription.options().pack()));
        }
        let letters = client.mailbox.iter().cloned();
        kept.letters = letters.map(|l| KeptLetter::new(Default::default(), l)).collect();
        kept.will = client.will.as_ref().map(|w| (w.message.clone(), w.delay));
        kept
    }

    /// The peer has not said that it has settled for so long: where it claims the client id the session is
    /// there, and what came since may follow; where it does not it has given up.
    pub(super) fn give_up_leaving(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        let client = &self.clients[slot as usize];
        let Life::Leaving(leaving) = &client.life else { return };
        let owner = self.registry.owner(&client.id);
        if owner.is_some_and(|(place, stamp)| place == leaving.to && stamp > client.stamp) {
            self.finish_leaving(slot, now, fx);
        } else {
            self.take_back(slot, now, fx);
        }
    }

    /// Second part: what came since; then the session is forgotten here.
    pub(super) fn finish_leaving(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        let client = self.forget_client(slot, fx);
        let Life::Leaving(leaving) = client.life else { return };
        let Leaving { to, request, late, next, .. } = *leaving;
        fx.tell(to, &client.id, &Told::Late(late.into()).encode(&client.id, request));
        self.claim(&client.id, None, fx);
        if let Some(waiting) = next {
            self.connect_again(waiting, now, fx);
        }
    }

    /// The peer that was to have the session is gone: it stays.
    fn take_back(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        let client = &mut self.clients[slot as usize];
        let Life::Leaving(leaving) = &mut client.life else { return };
        let late = std::mem::take(&mut leaving.late);
        let next = leaving.next.take();
        client.life = Life::Away(Box::new(std::mem::take(&mut leaving.away)));
        for letter in late {
            self.post(slot, letter.letter());
        }
        self.limit_if_superseded(slot, now);
        self.arm(slot);
        if let Some(waiting) = next {
            self.let_back_in(slot, waiting, now, fx);
        }
    }

    /// The first part has come, or the word that there is nothing.
    fn arrived(
        &mut self,
        slot: u32,
        from: Place,
        request: u64,
        kept: Option<Vec<u8>>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let client = &mut self.clients[slot as usize];
        let Life::Fetching(fetching) = &mut client.life else { return };
        // Whoever was asked may have passed the question on.
        if fetching.request != request {
            return;
        }
        let (waiting, next) = (fetching.waiting.take(), fetching.next.take());
        let id = client.id.clone();
        let kept = kept.and_then(|bytes| {
            let kept = KeptSession::decode(&bytes);
            self.stats.frames_bad += u64::from(kept.is_none());
            kept
        });
        // A newer connection that wants no session has come meanwhile.
        let wants_none = waiting.as_ref().and_then(|w| decoded(&w.packet)).is_some_and(|c| c.clean_start);
        let kept = kept.filter(|_| {
            if wants_none {
                self.stats.session_discarded += 1;
                fx.tell(from, &id, &Told::Settled.encode(&id, request));
            }
            !wants_none
        });
        match (kept, waiting) {
            (Some(kept), waiting) => self.take_in(slot, from, request, kept, waiting, now, fx),
            (None, Some(waiting)) => self.let_in(slot, waiting, None, now, fx),
            (None, None) => {
                let client = self.forget_client(slot, fx);
                self.claim(&client.id, None, fx);
                if let Some(ask) = next {
                    answer(&client.id, ask, &Told::Whole(None), fx);
                }
                return;
            }
        }
        if let Some(ask) = next {
            match self.clients.get_mut(slot as usize).and_then(|c| c.arriving.as_mut()) {
                Some(arriving) => arriving.next = Some(ask),
                // It may have ended with its first answer.
                None => self.asked(&id, ask, now, fx),
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a session, where it comes from and who waits for it")]
    fn take_in(
        &mut self,
        slot: u32,
        from: Place,
        request: u64,
        kept: KeptSession,
        waiting: Option<Waiting>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let client = &mut self.clients[slot as usize];
        let flight = Flight::decode(&kept.flight).unwrap_or_default();
        client.info.created_at = kept.created_at;
        client.expiry = kept.expiry_secs;
        client.will = kept.will.map(|(message, delay)| Box::new(Will { message, delay }));
        client.arriving = Some(Box::new(Arriving {
            from,
            request,
            held: Default::default(),
            give_up_at: now.plus(ARRIVING_LIMIT_MS),
            settled: false,
            next: None,
        }));
        // Until a connection says otherwise.
        let ends_at = (kept.expiry_secs != NEVER).then(|| now.plus(u64::from(kept.expiry_secs) * 1000));
        client.life = Life::Away(Box::new(Away { ends_at, ..Away::default() }));
        let mut alone = Vec::new();
        for (text, options) in kept.subscriptions {
            let (group, filter) = match (shared(&text), exclusive_filter(&text)) {
                (Some((group, filter)), _) => (Some(group), filter),
                (None, Some(filter)) => {
                    alone.push(filter.into());
                    (None, filter)
                }
                (None, None) => (None, text.as_str()),
            };
            self.add_subscription(slot, group, filter, Options::unpack(options), fx);
        }
        // Before the routes, so that who knows of them knows whose the filters are.
        self.keep_exclusive(slot, alone, fx);
        for letter in kept.letters {
            self.post(slot, letter.letter());
        }
        match waiting {
            Some(waiting) => self.let_in(slot, waiting, Some(flight), now, fx),
            None => {
                if let Life::Away(away) = &mut self.clients[slot as usize].life {
                    away.flight = flight;
                }
                self.limit_if_superseded(slot, now);
            }
        }
        self.arm(slot);
        self.when_routes_in(Extent::Cluster, Pending::Settle { client: slot, request }, now, fx);
    }

    /// Everybody knows the new routes.
    pub(super) fn settle(&mut self, slot: u32, request: u64, _now: Now, fx: &mut impl Effects) {
        let Some(client) = self.clients.get_mut(slot as usize) else { return };
        if let Some(arriving) = client.arriving.as_mut().filter(|a| a.request == request) {
            arriving.settled = true;
            fx.tell(arriving.from, &client.id, &Told::Settled.encode(&client.id, request));
        }
    }

    /// The second part has come, or will not: it goes before what was held back, each publication once.
    pub(super) fn finish_arrival(
        &mut self,
        slot: u32,
        late: Vec<KeptLetter>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let client = &mut self.clients[slot as usize];
        let Some(arriving) = client.arriving.take() else { return };
        // A publication may be there more than once: for several subscriptions.
        let mut seen: Vec<_> = late.iter().map(|l| l.publication).collect();
        seen.sort_unstable();
        let held = arriving.held.into_iter().filter(|l| seen.binary_search(&l.publication).is_err());
        let letters: Vec<Letter> = late.into_iter().chain(held).map(KeptLetter::letter).collect();
        for letter in letters {
            self.post(slot, letter);
        }
        self.pump(slot, fx);
        self.arm(slot);
        if let Some(ask) = arriving.next {
            let id = self.clients[slot as usize].id.clone();
            self.asked(&id, ask, now, fx);
        }
    }

    /// The peer does not answer: the client may try again.
    pub(super) fn give_up_fetching(&mut self, slot: u32, fx: &mut impl Effects) {
        let client = self.forget_client(slot, fx);
        self.claim(&client.id, None, fx);
        if let Life::Fetching(fetching) = client.life {
            let fetching = *fetching;
            if let Some(waiting) = fetching.waiting {
                self.refuse_waiting(waiting, mqtt::Reason::ServerUnavailable, fx);
            }
            if let Some(ask) = fetching.next {
                answer(&client.id, ask, &Told::Whole(None), fx);
            }
        }
    }
}

pub(super) fn answer(client: &str, ask: Ask, told: &Told, fx: &mut impl Effects) {
    fx.tell(ask.from, client, &told.encode(client, ask.request));
}
