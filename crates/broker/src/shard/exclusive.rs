//! Filters that a session has for itself (`$exclusive/…`): asked for, granted, given back, lost. Who gets one is
//! decided in one place of the node: [`crate::exclusive`].

use std::sync::Arc;

use mqtt::packet::RetainHandling;
use mqtt::topic::Subscribed;
use mqtt::{Now, Reason};

use super::subscribe::is_owed;
use super::{Pending, Shard};
use crate::client::Subscription;
use crate::effects::{Effects, Event, Extent, Ticket};
use crate::routes::FilterId;
use crate::subscription::Options;

/// Who of this shard has a filter for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alone {
    slot: u32,
    /// The question by which it was got, which names it to whoever decides.
    ticket: Ticket,
}

/// A SUBSCRIBE that asks for filters for its client alone. Nothing more is read from the client meanwhile: what
/// it says next comes behind the answer.
pub(super) struct Asking {
    pub(super) client: u32,
    pub(super) opening: u64,
    pub(super) packet_id: u16,
    pub(super) codes: Vec<u8>,
    pub(super) replays: Vec<(Box<str>, Options)>,
    /// Of the other filters in the packet some are on their way to other places.
    pub(super) wished: bool,
    pub(super) wanted: Vec<Wanted>,
}

/// One filter of it, and where its code stands.
pub(super) struct Wanted {
    pub(super) at: usize,
    pub(super) filter: Arc<str>,
    pub(super) options: Options,
    pub(super) retain_handling: RetainHandling,
}

impl Shard {
    /// The answer to [`Effects::ask_exclusive`]: which of the filters are the client's alone.
    pub fn exclusive_answered(&mut self, ticket: Ticket, granted: &[bool], now: Now, fx: &mut impl Effects) {
        match self.pending.remove(&ticket.0) {
            Some(Pending::Exclusive(asking)) => self.subscribe_exclusively(*asking, ticket, granted, now, fx),
            Some(Pending::Keep { filters }) => {
                for (filter, granted) in filters.iter().zip(granted) {
                    if !granted {
                        self.exclusive_ended(ticket, filter, fx);
                    }
                }
            }
            Some(Pending::Retain { .. } | Pending::Subscribe { .. } | Pending::Settle { .. }) | None => {}
        }
    }

    fn subscribe_exclusively(
        &mut self,
        asking: Asking,
        ticket: Ticket,
        granted: &[bool],
        now: Now,
        fx: &mut impl Effects,
    ) {
        let Asking { client, opening, packet_id, mut codes, mut replays, mut wished, wanted } = asking;
        let conn = self.still_open(client, opening);
        for (wanted, granted) in wanted.into_iter().zip(granted) {
            if !granted {
                self.stats.packets_subscribe_error += 1;
                codes[wanted.at] = Reason::QuotaExceeded.code();
                continue;
            }
            if conn.is_none() {
                fx.give_back(&wanted.filter, ticket);
                continue;
            }
            let added = self.add_subscription(client, None, &wanted.filter, wanted.options, fx);
            self.have_alone(client, &wanted.filter, ticket);
            wished |= added.wished;
            if is_owed(wanted.retain_handling, added) {
                replays.push(((&*wanted.filter).into(), wanted.options));
            }
        }
        let Some(conn) = conn else { return };
        fx.resume(conn);
        if wished {
            let work = Pending::Subscribe { client, opening, packet_id, codes, replays };
            self.when_routes_in(Extent::Node, work, now, fx);
        } else {
            self.answer_subscribe(client, conn, packet_id, &codes, replays, fx);
            self.end_if_closing(client, conn, None, now, fx);
        }
    }

    /// A filter is not a session's alone any more, and nobody here has said so: another node's client had it
    /// before, which this node did not know. The subscription ends.
    pub fn exclusive_ended(&mut self, ticket: Ticket, filter: &str, fx: &mut impl Effects) {
        let Some(id) = self.index.find(filter) else { return };
        let Some(alone) = self.alone.get(&id).copied().filter(|alone| alone.ticket == ticket) else { return };
        self.alone.remove(&id);
        self.end_subscription(alone.slot, Subscription::key_of(id, None), fx);
        let client = &self.clients[alone.slot as usize].id;
        fx.event(Event::Deprived { client, filter });
    }

    /// The session came from a peer with filters for itself, which are subscribed already: this node has to
    /// claim them too.
    pub(super) fn keep_exclusive(&mut self, slot: u32, filters: Vec<Arc<str>>, fx: &mut impl Effects) {
        if filters.is_empty() {
            return;
        }
        let ticket = self.ticket();
        for filter in &filters {
            self.have_alone(slot, filter, ticket);
        }
        fx.ask_exclusive(&self.clients[slot as usize].id, &filters, ticket);
        self.pending.insert(ticket.0, Pending::Keep { filters });
    }

    fn have_alone(&mut self, slot: u32, filter: &str, ticket: Ticket) {
        if let Some(id) = self.index.find(filter) {
            self.alone.insert(id, Alone { slot, ticket });
        }
    }

    /// Whether the session has the filter for itself.
    pub(super) fn has_alone(&self, slot: u32, filter: FilterId) -> bool {
        self.alone.get(&filter).is_some_and(|alone| alone.slot == slot)
    }

    /// Gives back what the session has for itself; nothing where it has not.
    pub(super) fn give_back(&mut self, slot: u32, filter: FilterId, fx: &mut impl Effects) {
        if self.has_alone(slot, filter)
            && let Some(alone) = self.alone.remove(&filter)
        {
            fx.give_back(self.index.filter(filter), alone.ticket);
        }
    }

    /// Who has which filter for itself here: filter and client id.
    pub fn exclusive(&self) -> impl Iterator<Item = (&str, &str)> {
        self.alone.iter().map(|(id, alone)| (self.index.filter(*id), &*self.clients[alone.slot as usize].id))
    }
}

/// The filter of a subscription that its session has for itself, as a session on the move names it.
pub(super) fn exclusive_key(filter: &str) -> String {
    format!("$exclusive/{filter}")
}

/// What [`exclusive_key`] has made.
pub(super) fn exclusive_filter(key: &str) -> Option<&str> {
    match Subscribed::parse(key, 0) {
        Some(Subscribed::Exclusive(filter)) => Some(filter),
        _ => None,
    }
}
