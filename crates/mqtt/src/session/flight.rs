//! What of a session's exchanges outlives a connection, and travels to another node with it. Its bytes:
//!
//! ```text
//! layout u8 = 1 · packet identifier given last u16
//! count u16 · that many QoS 2 identifiers received and not released, u16 each
//! count u16 · that many messages in the order of sending, each:
//!     identifier u16 · flags u8 (bits 0–1 QoS, bit 2 retain, bit 3 PUBREC has come)
//!     count u8 · subscription identifiers, u32 each
//!     without bit 3: length u32 · the message in its canonical encoding
//! ```

use std::collections::{BTreeSet, VecDeque};

use crate::codec::{Reader, Writer};
use crate::{Message, QoS};

const LAYOUT: u8 = 1;
const RETAIN: u8 = 0x04;
const RELEASED: u8 = 0x08;
/// The largest subscription identifier.
const SUBSCRIPTION_ID_MAX: u32 = 268_435_455;

/// A message that the client has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u16,
    /// 1 or 2.
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// `None` after PUBREC: from then on only PUBREL is repeated.
    pub(super) message: Option<Message>,
    pub(super) subscription_ids: SubscriptionIds,
}

/// Mostly there is one, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionIds {
    None,
    One([u32; 1]),
    Many(Box<[u32]>),
}

impl SubscriptionIds {
    pub(super) fn new(ids: &[u32]) -> SubscriptionIds {
        match ids {
            [] => SubscriptionIds::None,
            [id] => SubscriptionIds::One([*id]),
            many => SubscriptionIds::Many(many.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            SubscriptionIds::None => &[],
            SubscriptionIds::One(id) => id,
            SubscriptionIds::Many(ids) => ids,
        }
    }
}

/// The exchanges that a connection left unfinished. The default is that of a new session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flight {
    /// In the order of sending.
    pub(super) entries: VecDeque<Entry>,
    /// QoS 2 identifiers of the client that it has not released.
    pub(super) received: Vec<u16>,
    /// The packet identifier that was given last.
    pub(super) last_id: u16,
}

impl Flight {
    /// Messages that the client has not acknowledged.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The messages that the client may not have yet, in the order of sending.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.entries.iter().filter_map(|e| e.message.as_ref())
    }

    /// Those among them that were sent with QoS 1: that another client gets them too does no harm.
    pub fn messages_qos1(&self) -> impl Iterator<Item = &Message> {
        self.entries.iter().filter(|e| e.qos == QoS::AtLeastOnce).filter_map(|e| e.message.as_ref())
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(LAYOUT);
        out.put_u16(self.last_id);
        out.put_u16(self.received.len() as u16);
        for id in &self.received {
            out.put_u16(*id);
        }
        out.put_u16(self.entries.len() as u16);
        for entry in &self.entries {
            let retain = if entry.retain { RETAIN } else { 0 };
            let released = if entry.message.is_none() { RELEASED } else { 0 };
            out.put_u16(entry.id);
            out.put_u8(entry.qos as u8 | retain | released);
            let ids = entry.subscription_ids.as_slice();
            let count = u8::try_from(ids.len()).unwrap_or(u8::MAX);
            out.put_u8(count);
            for id in ids.iter().take(usize::from(count)) {
                out.put_u32(*id);
            }
            if let Some(message) = &entry.message {
                out.put_u32(message.as_bytes().len() as u32);
                out.extend_from_slice(message.as_bytes());
            }
        }
    }

    /// From bytes that may come from the network; `None`: they are no flight.
    pub fn decode(bytes: &[u8]) -> Option<Flight> {
        let mut reader = Reader::new(bytes);
        if reader.u8().ok()? != LAYOUT {
            return None;
        }
        let last_id = reader.u16().ok()?;
        let mut seen = BTreeSet::new();
        let mut received = Vec::new();
        for _ in 0..reader.u16().ok()? {
            let id = reader.packet_id().ok().filter(|id| seen.insert(*id))?;
            received.push(id);
        }
        seen.clear();
        let mut entries = VecDeque::new();
        for _ in 0..reader.u16().ok()? {
            let entry = Entry::decode(&mut reader).filter(|e| seen.insert(e.id))?;
            entries.push_back(entry);
        }
        reader.is_empty().then_some(Flight { entries, received, last_id })
    }
}

impl Entry {
    fn decode(reader: &mut Reader<'_>) -> Option<Entry> {
        let id = reader.packet_id().ok()?;
        let flags = reader.u8().ok()?;
        let qos = QoS::from_bits(flags & 3).filter(|q| *q > QoS::AtMostOnce)?;
        let is_released = flags & RELEASED != 0;
        if flags & !(3 | RETAIN | RELEASED) != 0 || (is_released && qos != QoS::ExactlyOnce) {
            return None;
        }
        let mut ids = Vec::new();
        for _ in 0..reader.u8().ok()? {
            ids.push(reader.u32().ok().filter(|id| (1..=SUBSCRIPTION_ID_MAX).contains(id))?);
        }
        let message = if is_released {
            None
        } else {
            let length = reader.u32().ok()?;
            Some(Message::from_bytes(reader.take(length as usize).ok()?).ok()?)
        };
        let retain = flags & RETAIN != 0;
        Some(Entry { id, qos, retain, message, subscription_ids: SubscriptionIds::new(&ids) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, MessageRef, Properties};

    fn sample() -> Flight {
        let view = MessageRef {
            topic: "a",
            payload: b"p",
            properties: Properties::NONE,
            qos: QoS::ExactlyOnce,
            retain: false,
            created: Epoch(5),
            expiry: None,
            publisher: b"c",
        };
        let entry = |id, qos, message, ids: &[u32]| Entry {
            id,
            qos,
            retain: id == 7,
            message,
            subscription_ids: SubscriptionIds::new(ids),
        };
        Flight {
            entries: [
                entry(7, QoS::AtLeastOnce, Some(view.to_message()), &[]),
                entry(8, QoS::ExactlyOnce, Some(view.to_message()), &[9]),
                entry(9, QoS::ExactlyOnce, None, &[]),
                entry(10, QoS::AtLeastOnce, Some(view.to_message()), &[1, 2, 268_435_455]),
            ]
            .into(),
            received: vec![3, 1],
            last_id: 10,
        }
    }

    #[test]
    fn a_flight_is_the_same_after_travelling() {
        for flight in [sample(), Flight::default()] {
            let mut bytes = Vec::new();
            flight.encode(&mut bytes);
            assert_eq!(Flight::decode(&bytes), Some(flight));
        }
    }

    #[test]
    fn bytes_that_are_no_flight_are_refused() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Flight::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        for position in 0..bytes.len() {
            for value in [0, 1, 3, 0x0F, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[position] = value;
                if let Some(flight) = Flight::decode(&changed) {
                    let mut again = Vec::new();
                    flight.encode(&mut again);
                    assert_eq!(again, changed, "byte {position} = {value}");
                }
            }
        }
        let mut twice = sample();
        twice.entries[1].id = 7;
        bytes.clear();
        twice.encode(&mut bytes);
        assert_eq!(Flight::decode(&bytes), None, "one identifier twice");
    }
}
