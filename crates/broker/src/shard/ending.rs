//! How things end: a connection, a session, and what a client left to be published then.

use mqtt::{Message, Now, Reason};

use super::Shard;
use super::takeover::answer;
use crate::client::{Arriving, Away, Client, Leaving, LeavingStep, Life, NEVER};
use crate::effects::{Cause, ConnId, Effects, Event};
use crate::groups::shared_key;
use crate::kept::Told;
use crate::routes::Set;

impl Shard {
    /// The client said DISCONNECT: its will goes unless it asked for it. Says how that is called.
    pub(super) fn said_goodbye(&mut self, slot: u32, will: bool, session_expiry: Option<u32>) -> Cause {
        let client = &mut self.clients[slot as usize];
        if !will {
            client.will = None;
        }
        if let Some(secs) = session_expiry {
            client.expiry = secs;
        }
        Cause::Normal
    }

    /// Ends a connection with a reason that 5.0 clients are told.
    pub(super) fn dismiss(
        &mut self,
        slot: u32,
        reason: Reason,
        cause: Cause,
        now: Now,
        fx: &mut impl Effects,
    ) {
        if let Life::Open { conn, session } = &mut self.clients[slot as usize].life {
            session.close(reason, fx.out(*conn));
            self.stats.packets_disconnect_sent += 1;
            self.stats.packets_sent += 1;
            self.end_connection(slot, cause, now, fx);
        }
    }

    /// A newer connection has the client id.
    pub(super) fn displace(&mut self, slot: u32, cause: Cause, now: Now, fx: &mut impl Effects) {
        self.dismiss(slot, Reason::SessionTakenOver, cause, now, fx);
    }

    /// Ends a connection after what is in its output.
    pub(super) fn end_connection(&mut self, slot: u32, cause: Cause, now: Now, fx: &mut impl Effects) {
        if let Life::Open { conn, .. } = self.clients[slot as usize].life {
            fx.close(conn, cause);
            self.disconnected(slot, conn, cause, now, fx);
        }
    }

    /// A connection has gone by itself.
    pub(super) fn lose_connection(&mut self, slot: u32, conn: ConnId, now: Now, fx: &mut impl Effects) {
        match &mut self.clients[slot as usize].life {
            Life::Open { .. } => self.disconnected(slot, conn, Cause::Lost, now, fx),
            Life::Fetching(fetching) => {
                fetching.waiting = None;
                self.unbind(conn);
            }
            Life::Leaving(leaving) => {
                leaving.next = None;
                self.unbind(conn);
            }
            Life::Away(_) => self.unbind(conn),
        }
    }

    /// The session is without connection now: it is kept, or it ends.
    fn disconnected(&mut self, slot: u32, conn: ConnId, cause: Cause, now: Now, fx: &mut impl Effects) {
        self.unbind(conn);
        self.gauges.connections -= 1;
        self.stats.client_disconnected += 1;
        let client = &mut self.clients[slot as usize];
        let id = client.id.clone();
        fx.event(Event::Disconnected { client: &id, cause });
        let expiry = client.expiry;
        let ends_at = (expiry != NEVER).then(|| now.plus(u64::from(expiry) * 1000));
        let will_at = client.will.as_ref().map(|w| now.plus(u64::from(w.delay.min(expiry)) * 1000));
        client.info.disconnected_at = fx.epoch().0;
        client.publishing = None;
        let away = Away { ends_at, will_at, ..Away::default() };
        if let Life::Open { session, .. } = std::mem::replace(&mut client.life, Life::Away(Box::new(away)))
            && let Life::Away(away) = &mut client.life
        {
            away.flight = session.suspend();
        }
        for group in client.groups() {
            if let Some(members) = self.groups.group_mut(group) {
                members.set_connected(slot, false);
            }
            if self.settings.shared_ack {
                self.tell_members(group, fx);
            }
        }
        self.expire_away(slot, now, fx);
        self.arm(slot);
    }

    /// Everything of a client whose time has come.
    pub(super) fn expire_client(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        let client = &mut self.clients[slot as usize];
        if client.arriving.as_ref().is_some_and(|a| a.give_up_at <= now) {
            self.finish_arrival(slot, Vec::new(), now, fx);
        }
        let Some(client) = self.clients.get_mut(slot as usize) else { return };
        if client.is_overfull() && matches!(client.life, Life::Open { .. } | Life::Away(_)) {
            self.stats.session_discarded += 1;
            self.dismiss(slot, Reason::QuotaExceeded, Cause::Overfull, now, fx);
            if self.clients.contains(slot as usize) {
                self.end_session(slot, now, fx);
            }
            return;
        }
        match &mut client.life {
            Life::Open { conn, session } => {
                let conn = *conn;
                if !fx.is_read(conn, now) {
                    // What it has said since may wait to be read: only then its silence counts. [MQTT-3.1.2-22]
                    session.hear(now);
                }
                session.expire(now, fx.out(conn));
                if fx.out(conn).closing().is_some() {
                    self.end_connection(slot, Cause::KeepAlive, now, fx);
                }
            }
            Life::Away(_) => self.expire_away(slot, now, fx),
            Life::Fetching(fetching) if fetching.give_up_at <= now => self.give_up_fetching(slot, fx),
            Life::Leaving(leaving) => match leaving.step {
                LeavingStep::Given { give_up_at: at } if at <= now => self.give_up_leaving(slot, now, fx),
                LeavingStep::Settled { done_at: at } if at <= now => self.finish_leaving(slot, now, fx),
                _ => {}
            },
            Life::Fetching(_) => {}
        }
    }

    /// The will and the end of a session without connection.
    fn expire_away(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        let client = &mut self.clients[slot as usize];
        let Life::Away(away) = &mut client.life else { return };
        if away.will_at.is_some_and(|at| at <= now) {
            away.will_at = None;
            self.publish_will(slot, now, fx);
        }
        let client = &mut self.clients[slot as usize];
        let Life::Away(away) = &mut client.life else { return };
        if away.ends_at.is_some_and(|at| at <= now) {
            self.end_session(slot, now, fx);
        }
    }

    fn publish_will(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        let may = self.may_leave_will(slot, now);
        let Some(will) = self.clients[slot as usize].will.take() else { return };
        // It is created now; its expiry counts from here. [MQTT-3.1.3-9]
        if may {
            let message = mqtt::MessageRef { created: fx.epoch(), ..will.message.view() };
            self.publish_local(&message, fx);
        }
    }

    /// A session without connection ends: its subscriptions go, its will is published if that is still
    /// to be done, and what it had not acknowledged of a group goes to another member.
    pub(super) fn end_session(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        if matches!(self.clients[slot as usize].life, Life::Open { .. }) {
            return;
        }
        let owed = self.group_messages(slot);
        let may_leave_will = self.may_leave_will(slot, now);
        let client = self.forget_client(slot, fx);
        self.claim(&client.id, None, fx);
        self.stats.session_terminated += 1;
        fx.event(Event::Ended { client: &client.id });
        if let Some(arriving) = client.arriving {
            // Its old place keeps it until it hears that it need not, and whoever asked for it must not wait.
            let Arriving { from, request, next, .. } = *arriving;
            fx.tell(from, &client.id, &Told::Settled.encode(&client.id, request));
            if let Some(ask) = next {
                answer(&client.id, ask, &Told::Whole(None), fx);
            }
        }
        if let Some(will) = client.will.filter(|_| may_leave_will) {
            let message = mqtt::MessageRef { created: fx.epoch(), ..will.message.view() };
            self.publish_local(&message, fx);
        }
        for (key, message) in owed {
            self.give_to_another(&key, &message, fx);
        }
        if let Life::Leaving(leaving) = client.life
            && let Leaving { next: Some(waiting), .. } = *leaving
        {
            self.connect_again(waiting, now, fx);
        }
    }

    /// Removes a client and its subscriptions, without a word to anyone but the other places.
    pub(super) fn forget_client(&mut self, slot: u32, fx: &mut impl Effects) -> Client {
        let subscriptions = self.clients[slot as usize].subscriptions.take();
        for gone in subscriptions.as_ref().map_or(&[][..], Set::as_slice) {
            self.forget_subscription(slot, *gone, fx);
        }
        self.remove_client(slot)
    }

    /// QoS 1 and 2 messages that only a shared group brought to this session and that it has not
    /// acknowledged, with the group's key. A QoS 2 message that was sent to it stays with it: another client
    /// that got it could be the second to have it [MQTT-4.8.2-5].
    fn group_messages(&self, slot: u32) -> Vec<(String, Message)> {
        let client = &self.clients[slot as usize];
        let Life::Away(away) = &client.life else { return Vec::new() };
        let mut shared: Vec<(String, &str)> = Vec::new();
        let mut plain: Vec<&str> = Vec::new();
        for subscription in client.subscriptions() {
            let filter = self.index.filter(subscription.filter);
            match subscription.group().and_then(|g| self.groups.group(g)) {
                Some(group) => shared.push((shared_key(&group.name, filter), filter)),
                None => plain.push(filter),
            }
        }
        if shared.is_empty() {
            return Vec::new();
        }
        let waiting = client.mailbox.iter().filter(|l| l.options().qos > 0).map(|l| &l.message);
        let mut owed = Vec::new();
        for message in away.flight.messages_qos1().chain(waiting) {
            let topic = message.view().topic;
            if plain.iter().any(|filter| mqtt::topic::matches(filter, topic)) {
                continue;
            }
            if let Some((key, _)) = shared.iter().find(|(_, filter)| mqtt::topic::matches(filter, topic)) {
                owed.push((key.clone(), message.clone()));
            }
        }
        owed
    }
}
