//! Messages to the client: packet identifiers, the window of those that it has not acknowledged, topic
//! aliases, and what of it outlives a connection.
//!
//! Nothing is sent again while a connection lasts, in any version: 5.0 forbids it [MQTT-4.4.0-1], and in
//! 3.x a stream that delivers in order makes it useless.

use std::collections::VecDeque;

use super::Out;
use super::alias::Aliases;
use super::copies::{Copies, Form};
use super::flight::{Entry, Flight, SubscriptionIds};
use super::out::LARGE_PAYLOAD_BYTES;
use crate::packet::{Ack, AckKind, Forward};
use crate::{Epoch, Message, MessageRef, QoS, Reason, Version};

/// How a message is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Of this delivery, whatever the message's is.
    pub qos: QoS,
    /// The retain flag that the client sees.
    pub retain: bool,
    /// Those of all its subscriptions that match; each 1 to 268,435,455.
    pub subscription_ids: &'a [u32],
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the output, and in the window if its QoS is not 0.
    Sent,
    /// The window is full. Nothing was changed; try again after [`super::Request::Acked`].
    NoRoom,
    /// Larger than the client takes, or than a packet can be: it is dropped as if it had been delivered [MQTT-3.1.2-25].
    TooLarge,
    /// Its time is over [MQTT-3.3.2-5].
    Expired,
}

/// The client as a receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver {
    pub(super) version: Version,
    /// Bytes of the largest packet that it takes.
    pub(super) packet_bytes_max: u32,
}

/// How topics are written to a client that does not get them as they are.
#[derive(Debug)]
struct Topics {
    /// What stands before its topics and it does not see.
    mount: Box<str>,
    aliases: Aliases,
}

impl Topics {
    fn new(alias_max: u16) -> Box<Topics> {
        Box::new(Topics { mount: Box::default(), aliases: Aliases::new(alias_max) })
    }

    /// The message with the topic that the client sees. A session may have subscribed behind another
    /// mountpoint than that of its connection now: such a topic stays whole.
    fn shown<'a>(&self, message: &MessageRef<'a>) -> MessageRef<'a> {
        let topic = message.topic.strip_prefix(&*self.mount).filter(|topic| !topic.is_empty());
        MessageRef { topic: topic.unwrap_or(message.topic), ..*message }
    }
}

/// What a PUBREC leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A PUBREL with this reason.
    Release(Reason),
    /// The exchange is over, and its place in the window free.
    Ended,
    /// Nothing.
    Unknown,
    /// It is no answer to what was sent: the client breaks the protocol.
    Wrong,
}

/// The window of one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The most messages in the window; not 0.
    window: u16,
    /// The packet identifier that was given last; 0 in a new session.
    last_id: u16,
    /// What is in the window. An idle client has nothing.
    open: Option<Box<Open>>,
    topics: Option<Box<Topics>>,
}

/// Messages that the client has not acknowledged.
#[derive(Debug)]
struct Open {
    /// In the order of sending.
    entries: VecDeque<Entry>,
    /// Whether `entries` are in the order of their identifiers, counted from that of the first one.
    is_sorted: bool,
    /// How many at the end of `entries` have not been sent on this connection: they are of an earlier
    /// one, and the window had no room for them yet.
    unsent: u16,
}

impl Outgoing {
    /// With what an earlier connection left, and the identifiers that the client has not released.
    pub(super) fn resume(flight: Flight, window: u16, alias_max: u16) -> (Outgoing, Vec<u16>) {
        let Flight { entries, received, last_id } = flight;
        let outgoing = Outgoing {
            window: window.max(1),
            last_id,
            open: (!entries.is_empty()).then(|| Box::new(Open::resume(entries))),
            topics: (alias_max > 0).then(|| Topics::new(alias_max)),
        };
        (outgoing, received)
    }

    pub(super) fn set_mount(&mut self, mount: &str) {
        if !mount.is_empty() {
            self.topics.get_or_insert_with(|| Topics::new(0)).mount = mount.into();
        }
    }

    /// Bytes of the messages in the window.
    pub(super) fn kept_bytes(&self) -> usize {
        let entries = self.open.iter().flat_map(|open| &open.entries);
        entries.filter_map(|e| e.message.as_ref()).map(|m| m.as_bytes().len()).sum()
    }

    /// Sends a message with this QoS, whatever that of the message and of `how` is. With QoS 1 and 2,
    /// and with a large payload, it is kept.
    pub(super) fn deliver(
        &mut self,
        receiver: Receiver,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        how: &Delivery<'_>,
        epoch: Epoch,
        out: &mut Out,
    ) -> Delivered {
        if message.is_expired(epoch) {
            return Delivered::Expired;
        }
        let as_shown = self.topics.as_ref().map(|topics| topics.shown(message));
        let shown = as_shown.as_ref().unwrap_or(message);
        let mut forward = Forward {
            message: shown,
            dup: false,
            qos: how.qos,
            retain: how.retain,
            packet_id: 0,
            expiry: message.seconds_left(epoch),
            subscription_ids: how.subscription_ids,
            alias: None,
        };
        let bytes = forward.bytes(receiver.version);
        if bytes > receiver.packet_bytes_max as usize || shown.topic.len() > usize::from(u16::MAX) {
            return Delivered::TooLarge;
        }
        if how.qos > QoS::AtMostOnce {
            let Some(id) = self.keep(message, copies, how) else { return Delivered::NoRoom };
            forward.packet_id = id;
        } else if message.payload.len() >= LARGE_PAYLOAD_BYTES {
            copies.keep(message);
        }
        // An alias that is new makes the packet longer, at most by this.
        if let Some(Topics { aliases, .. }) = self.topics.as_deref_mut()
            && bytes + 7 <= receiver.packet_bytes_max as usize
        {
            forward.alias = aliases.of(shown.topic);
        }
        send(&forward, receiver.version, copies.kept(), out);
        Delivered::Sent
    }

    /// Sends the packet that `copies` have noted, which has that form.
    pub(super) fn repeat(
        &mut self,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        form: Form,
        packet_bytes_max: usize,
        out: &mut Out,
    ) -> Delivered {
        let is_large = message.payload.len() >= LARGE_PAYLOAD_BYTES;
        let payload = if is_large { message.payload.len() } else { 0 };
        if copies.packet().0.len() + payload > packet_bytes_max {
            return Delivered::TooLarge;
        }
        let mut id = None;
        if form.qos > QoS::AtMostOnce {
            let how = Delivery { qos: form.qos, retain: form.retain, subscription_ids: &[] };
            id = self.keep(message, copies, &how);
            if id.is_none() {
                return Delivered::NoRoom;
            }
        } else if is_large {
            copies.keep(message);
        }
        let (packet, id_at) = copies.packet();
        out.repeat(packet, id.map(|id| (id_at, id)), copies.kept().filter(|_| is_large));
        Delivered::Sent
    }

    /// Whether topics are not written as they are: then each client has its own.
    pub(super) fn has_own_topics(&self) -> bool {
        self.topics.is_some()
    }

    /// Puts a message of QoS 1 or 2 into the window and says its packet identifier; `None`: there is no room.
    fn keep(&mut self, message: &MessageRef<'_>, copies: &mut Copies, how: &Delivery<'_>) -> Option<u16> {
        if !self.has_room() {
            return None;
        }
        let id = self.next_id();
        let entry = Entry {
            id,
            qos: how.qos,
            retain: how.retain,
            message: Some(copies.keep(message).clone()),
            subscription_ids: SubscriptionIds::new(how.subscription_ids),
        };
        self.open.get_or_insert_with(|| Box::new(Open::resume(VecDeque::new()))).push(entry);
        Some(id)
    }

    /// Sends what an earlier connection left, as far as the window has room: PUBLISH with DUP, or PUBREL
    /// after a PUBREC, with the identifiers of before and in their order [MQTT-4.4.0-1] [MQTT-4.6.0-1].
    pub(super) fn send_unsent(&mut self, receiver: Receiver, epoch: Epoch, out: &mut Out) {
        // A connection that ends with its CONNACK has no part in it.
        let Some(open) = self.open.as_mut().filter(|_| out.closing().is_none()) else { return };
        while open.unsent > 0 && open.entries.len() - usize::from(open.unsent) < usize::from(self.window) {
            let position = open.entries.len() - usize::from(open.unsent);
            open.unsent -= 1;
            let entry = &open.entries[position];
            let Some(message) = &entry.message else {
                let pubrel = Ack::new(AckKind::Pubrel, entry.id, Reason::Success);
                out.packet(|bytes| pubrel.encode(receiver.version, bytes));
                continue;
            };
            let view = message.view();
            let view = self.topics.as_ref().map_or(view, |topics| topics.shown(&view));
            // An expired one goes too: its delivery had begun.
            let forward = Forward {
                message: &view,
                dup: true,
                qos: entry.qos,
                retain: entry.retain,
                packet_id: entry.id,
                expiry: view.seconds_left(epoch),
                subscription_ids: entry.subscription_ids.as_slice(),
                alias: None,
            };
            if forward.bytes(receiver.version) > receiver.packet_bytes_max as usize {
                // The client takes less than it did.
                open.entries.remove(position);
                continue;
            }
            send(&forward, receiver.version, Some(message), out);
        }
    }

    /// PUBACK or PUBCOMP: the last word about a message.
    pub(super) fn finish(&mut self, id: u16, kind: AckKind) -> Received {
        let Some(open) = &mut self.open else { return Received::Unknown };
        let Some(position) = open.find(id) else { return Received::Unknown };
        let entry = &open.entries[position];
        let awaited = match (entry.qos, &entry.message) {
            (QoS::ExactlyOnce, None) => AckKind::Pubcomp,
            (QoS::ExactlyOnce, Some(_)) => AckKind::Pubrec,
            _ => AckKind::Puback,
        };
        if awaited != kind {
            return Received::Wrong;
        }
        open.end(position);
        Received::Ended
    }

    /// PUBREC: the message need not be kept any longer, its identifier does [MQTT-4.3.3-4].
    pub(super) fn pubrec(&mut self, id: u16, reason: Reason) -> Received {
        let found = self.open.as_mut().and_then(|open| open.find(id).map(|position| (open, position)));
        match found {
            Some((open, position)) if open.entries[position].qos != QoS::ExactlyOnce => Received::Wrong,
            // An error ends the exchange: no PUBREL may follow.
            Some((open, position)) if reason.is_error() => {
                open.end(position);
                Received::Ended
            }
            Some((open, position)) => {
                let entry = &mut open.entries[position];
                entry.message = None;
                entry.subscription_ids = SubscriptionIds::new(&[]);
                Received::Release(Reason::Success)
            }
            None if reason.is_error() => Received::Unknown,
            None => Received::Release(Reason::PacketIdNotFound),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.inflight() < usize::from(self.window)
    }

    /// Messages in the window.
    pub(super) fn inflight(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.entries.len())
    }

    pub(super) fn window(&self) -> u16 {
        self.window
    }

    pub(super) fn suspend(self, received: Vec<u16>) -> Flight {
        let entries = self.open.map(|open| open.entries).unwrap_or_default();
        Flight { entries, received, last_id: self.last_id }
    }

    /// Gives back room that an idle client does not need.
    pub(super) fn shrink(&mut self) {
        self.open.take_if(|open| open.entries.is_empty());
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.entries.capacity())
    }

    /// Identifiers go round from 1 to 65,535, past those in use [MQTT-2.2.1-4].
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.open.as_ref().is_none_or(|open| open.find(self.last_id).is_none()) {
                return self.last_id;
            }
        }
    }
}

impl Open {
    fn resume(entries: VecDeque<Entry>) -> Open {
        let unsent = u16::try_from(entries.len()).unwrap_or(u16::MAX);
        Open { is_sorted: is_sorted(&entries), entries, unsent }
    }

    fn push(&mut self, entry: Entry) {
        if let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) {
            self.is_sorted &= distance(first.id, last.id) < distance(first.id, entry.id);
        }
        self.entries.push_back(entry);
    }

    fn end(&mut self, position: usize) {
        if position >= self.entries.len() - usize::from(self.unsent) {
            self.unsent -= 1;
        }
        if position == 0 {
            self.entries.pop_front();
        } else {
            self.entries.remove(position);
        }
        self.is_sorted |= self.entries.is_empty();
    }

    /// Clients acknowledge the oldest first, as a rule; another one is searched in a way that takes no
    /// long time even in the largest window.
    fn find(&self, id: u16) -> Option<usize> {
        let first = self.entries.front()?.id;
        if first == id {
            return Some(0);
        }
        if self.is_sorted {
            let wanted = distance(first, id);
            // As a rule that is asked of the next new one.
            if self.entries.back().is_some_and(|last| distance(first, last.id) < wanted) {
                return None;
            }
            return self.entries.binary_search_by_key(&wanted, |e| distance(first, e.id)).ok();
        }
        self.entries.iter().position(|e| e.id == id)
    }
}

fn send(forward: &Forward<'_>, version: Version, kept: Option<&Message>, out: &mut Out) {
    out.publish(|bytes| forward.encode_head(version, bytes), forward.message.payload, kept);
}

/// How far `id` comes after `first`, going round.
fn distance(first: u16, id: u16) -> u16 {
    id.wrapping_sub(first)
}

fn is_sorted(entries: &VecDeque<Entry>) -> bool {
    let Some(first) = entries.front() else { return true };
    entries.iter().map(|e| distance(first.id, e.id)).is_sorted_by(|a, b| a < b)
}
