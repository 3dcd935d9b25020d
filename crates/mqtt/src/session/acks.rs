//! The order of answers: PUBACK and PUBREC leave in the order in which the messages came [MQTT-4.6.0-2],
//! also when a later one was accepted earlier. While every answer is immediate, nothing is stored.

use std::collections::VecDeque;

use crate::packet::AckKind;
use crate::{QoS, Reason};

/// A PUBLISH that is to be answered once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    qos: QoS,
    packet_id: u16,
    number: u32,
}

impl Ticket {
    /// The packet that answers; none for QoS 0.
    pub(super) fn kind(&self) -> Option<AckKind> {
        match self.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(AckKind::Puback),
            QoS::ExactlyOnce => Some(AckKind::Pubrec),
        }
    }

    pub(super) fn packet_id(&self) -> u16 {
        self.packet_id
    }
}

/// Answers that wait for others before them.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// Number of the next ticket; those of QoS 0 have none.
    next: u32,
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By number.
    queue: VecDeque<(Ticket, Option<Reason>)>,
    /// Those of QoS 1 among them.
    qos1: usize,
}

impl Acks {
    pub(super) fn issue(&mut self, qos: QoS, packet_id: u16) -> Ticket {
        let number = self.next;
        if qos > QoS::AtMostOnce {
            self.next = self.next.wrapping_add(1);
        }
        Ticket { qos, packet_id, number }
    }

    /// Messages whose answer has not left.
    pub(super) fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |w| w.queue.len())
    }

    /// QoS 1 messages whose answer has not left.
    pub(super) fn qos1(&self) -> usize {
        self.waiting.as_ref().map_or(0, |w| w.qos1)
    }

    /// Whether the PUBREC for this packet identifier has not left.
    pub(super) fn is_waiting(&self, packet_id: u16) -> bool {
        let is_it = |t: &Ticket| t.packet_id == packet_id && t.qos == QoS::ExactlyOnce;
        self.waiting.as_ref().is_some_and(|w| w.queue.iter().any(|(t, _)| is_it(t)))
    }

    /// The answer comes later.
    pub(super) fn defer(&mut self, ticket: Ticket) {
        if ticket.kind().is_some() {
            self.waiting.get_or_insert_default().push(ticket, None);
        }
    }

    /// The answer; `send` gets those that may leave now, in order.
    pub(super) fn answer(&mut self, ticket: Ticket, reason: Reason, mut send: impl FnMut(Ticket, Reason)) {
        if ticket.kind().is_none() {
            return;
        }
        let Some(waiting) = &mut self.waiting else { return send(ticket, reason) };
        match waiting.find(ticket) {
            Some(place) => *place = Some(reason),
            None => waiting.push(ticket, Some(reason)),
        }
        while let Some((ticket, Some(reason))) = waiting.queue.front().copied() {
            waiting.queue.pop_front();
            waiting.qos1 -= usize::from(ticket.qos == QoS::AtLeastOnce);
            send(ticket, reason);
        }
        if waiting.queue.is_empty() {
            self.waiting = None;
        }
    }
}

impl Waiting {
    fn push(&mut self, ticket: Ticket, reason: Option<Reason>) {
        self.qos1 += usize::from(ticket.qos == QoS::AtLeastOnce);
        self.queue.push_back((ticket, reason));
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Option<Reason>> {
        let first = self.queue.front()?.0.number;
        // Numbers go round, and those in the queue follow one another closely.
        let distance = |t: &Ticket| t.number.wrapping_sub(first);
        let place = self.queue.binary_search_by_key(&distance(&ticket), |(t, _)| distance(t)).ok()?;
        self.queue.get_mut(place).map(|(_, reason)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issues a ticket per identifier, defers those in `deferred`, answers the others at once; then
    /// answers the deferred ones in the order given. Returns the identifiers in the order of leaving.
    fn order(next: u32, ids: &[u16], deferred: &[u16]) -> Vec<u16> {
        let mut acks = Acks { next, waiting: None };
        let (mut sent, mut later) = (Vec::new(), Vec::new());
        for id in ids {
            let ticket = acks.issue(QoS::AtLeastOnce, *id);
            if deferred.contains(id) {
                acks.defer(ticket);
                later.push(ticket);
            } else {
                acks.answer(ticket, Reason::Success, |t, _| sent.push(t.packet_id));
            }
        }
        later.sort_by_key(|t| deferred.iter().position(|d| *d == t.packet_id));
        for ticket in later {
            acks.answer(ticket, Reason::Success, |t, _| sent.push(t.packet_id));
        }
        assert_eq!((acks.len(), acks.qos1(), acks.waiting.is_none()), (0, 0, true));
        sent
    }

    /// [MQTT-4.6.0-2]
    #[test]
    fn answers_leave_in_the_order_of_arrival_whenever_they_were_given() {
        let orders: [&[u16]; 5] = [&[], &[1], &[2, 1], &[5, 3, 1], &[1, 2, 3, 4, 5]];
        for deferred in orders {
            for next in [0, u32::MAX - 2] {
                assert_eq!(order(next, &[1, 2, 3, 4, 5], deferred), [1, 2, 3, 4, 5], "{deferred:?}");
            }
        }
    }

    #[test]
    fn qos_0_needs_no_answer_and_waits_for_none() {
        let mut acks = Acks::default();
        let first = acks.issue(QoS::ExactlyOnce, 9);
        acks.defer(first);
        let none = acks.issue(QoS::AtMostOnce, 0);
        acks.defer(none);
        acks.answer(none, Reason::Success, |_, _| panic!("QoS 0 has no answer"));
        assert!(acks.is_waiting(9) && !acks.is_waiting(0));
        assert_eq!(acks.len(), 1);
    }
}
