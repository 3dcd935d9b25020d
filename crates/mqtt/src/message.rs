//! An application message. [`MessageRef`] borrows its parts; [`Message`] is one reference-counted
//! buffer in one encoding that is the same in queues, in the retained store, between nodes and on disk:
//!
//! ```text
//! 0      1 byte   bits 0–1 QoS, bit 2 retain, bit 3 an expiry is set, bit 4 there are properties, bits 5–7 layout, 1
//! 1      6 bytes  created, milliseconds since 1970
//! 7      2 bytes  length of the topic
//! 9      2 bytes  length of the publisher's client id
//! 11     4 bytes  expiry, seconds after created; only if one is set
//!        4 bytes  length of the properties; only if there are some
//!        topic, publisher, properties, payload
//! ```
//!
//! Numbers are big-endian. Properties are in the encoding of MQTT 5.0 and only those that a PUBLISH
//! forwards: payload format, content type, response topic, correlation data, user properties.

use std::sync::Arc;

use crate::codec::property::on;
use crate::codec::{Properties, Property};
use crate::topic;
use crate::{Epoch, QoS};

const LAYOUT: u8 = 1 << 5;
const LAYOUT_BITS: u8 = 7 << 5;
const HAS_EXPIRY: u8 = 1 << 3;
const HAS_PROPERTIES: u8 = 1 << 4;
/// Bytes that every message has before its parts, and what each of the two others adds.
const HEAD: usize = 11;
const EXTRA: usize = 4;
/// The year 10889.
const CREATED_MAX: u64 = (1 << 48) - 1;

/// An application message whose parts lie somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRef<'a> {
    /// A valid topic name, of at most 65,535 bytes.
    pub topic: &'a str,
    /// Any bytes.
    pub payload: &'a [u8],
    /// Only what is forwarded.
    pub properties: Properties<'a>,
    /// As published.
    pub qos: QoS,
    /// As published; or, of a retained message that is sent to a new subscriber, set.
    pub retain: bool,
    /// When this cluster got it.
    pub created: Epoch,
    /// Seconds after `created`.
    pub expiry: Option<u32>,
    /// Client id, at most 65,535 bytes; empty for messages of the node itself. It is compared, and never shown: nobody looks
    /// whether the bytes are a text.
    pub publisher: &'a [u8],
}

impl MessageRef<'_> {
    /// Seconds that are left; `Some(0)` when it has expired; `None` when it never does.
    pub fn seconds_left(&self, epoch: Epoch) -> Option<u32> {
        let expiry = self.expiry?;
        let passed = epoch.0.saturating_sub(self.created.0) / 1000;
        Some(u64::from(expiry).saturating_sub(passed) as u32)
    }

    /// Whether it has expired.
    pub fn is_expired(&self, epoch: Epoch) -> bool {
        // An expiry of 0 is for those who take the message at once.
        let passed = epoch.0.saturating_sub(self.created.0);
        self.expiry.is_some_and(|s| passed > 0 && passed >= u64::from(s) * 1000)
    }

    /// Bytes of the canonical encoding.
    pub fn encoded_bytes(&self) -> usize {
        head_bytes(self.flags()) + self.parts().iter().map(|part| part.len()).sum::<usize>()
    }

    /// Appends the canonical encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_bytes());
        let (head, length) = self.head();
        out.extend_from_slice(&head[..length]);
        for part in self.parts() {
            out.extend_from_slice(part);
        }
    }

    /// One buffer of its own, to be kept.
    pub fn to_message(&self) -> Message {
        // One allocation, of exactly the right length; then the parts are copied in.
        let mut buffer: Arc<[u8]> = std::iter::repeat_n(0, self.encoded_bytes()).collect();
        let mut rest = Arc::get_mut(&mut buffer).expect("nobody else has the new buffer");
        let (head, length) = self.head();
        for part in [&head[..length]].into_iter().chain(self.parts()) {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        Message(buffer)
    }

    fn flags(&self) -> u8 {
        let expiry = if self.expiry.is_some() { HAS_EXPIRY } else { 0 };
        let properties = if self.properties.raw().is_empty() { 0 } else { HAS_PROPERTIES };
        LAYOUT | self.qos as u8 | u8::from(self.retain) << 2 | expiry | properties
    }

    /// The head, and how much of it there is.
    fn head(&self) -> ([u8; HEAD + 2 * EXTRA], usize) {
        let mut head = [0; HEAD + 2 * EXTRA];
        head[0] = self.flags();
        head[1..7].copy_from_slice(&self.created.0.min(CREATED_MAX).to_be_bytes()[2..]);
        head[7..9].copy_from_slice(&(expressible(self.topic).len() as u16).to_be_bytes());
        head[9..11].copy_from_slice(&(self.publisher_bytes().len() as u16).to_be_bytes());
        let mut length = HEAD;
        if let Some(expiry) = self.expiry {
            head[length..length + EXTRA].copy_from_slice(&expiry.to_be_bytes());
            length += EXTRA;
        }
        let properties = self.properties.raw().len() as u32;
        if properties > 0 {
            head[length..length + EXTRA].copy_from_slice(&properties.to_be_bytes());
            length += EXTRA;
        }
        (head, length)
    }

    fn parts(&self) -> [&[u8]; 4] {
        [expressible(self.topic).as_bytes(), self.publisher_bytes(), self.properties.raw(), self.payload]
    }

    fn publisher_bytes(&self) -> &[u8] {
        &self.publisher[..self.publisher.len().min(usize::from(u16::MAX))]
    }
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMessage;

/// Looks at the canonical encoding, which may come from the network: everything is checked.
pub fn decode(bytes: &[u8]) -> Result<MessageRef<'_>, NotAMessage> {
    let message = view(bytes).ok_or(NotAMessage)?;
    let properties = Properties::check(message.properties.raw(), on::PUBLISH).map_err(|_| NotAMessage)?;
    let forwarded = properties.iter().all(|p| is_forwarded(&p));
    if !forwarded || !topic::valid_name(message.topic, 0) {
        return Err(NotAMessage);
    }
    Ok(message)
}

fn view(bytes: &[u8]) -> Option<MessageRef<'_>> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD>()?;
    let flags = head[0];
    if flags & LAYOUT_BITS != LAYOUT {
        return None;
    }
    let mut extra = |bit| {
        if flags & bit == 0 {
            return Some(None);
        }
        let (number, after) = rest.split_first_chunk::<EXTRA>()?;
        rest = after;
        Some(Some(u32::from_be_bytes(*number)))
    };
    let (expiry, properties) = (extra(HAS_EXPIRY)?, extra(HAS_PROPERTIES)?);
    // Nothing has two encodings.
    if properties == Some(0) {
        return None;
    }
    let (topic, rest) = rest.split_at_checked(length(head, 7))?;
    let (publisher, rest) = rest.split_at_checked(length(head, 9))?;
    let (properties, payload) = rest.split_at_checked(properties.unwrap_or(0) as usize)?;
    let created = [0, 0, head[1], head[2], head[3], head[4], head[5], head[6]];
    Some(MessageRef {
        topic: std::str::from_utf8(topic).ok()?,
        publisher,
        properties: Properties::trusted(properties),
        payload,
        qos: QoS::from_bits(flags & 3)?,
        retain: flags & 4 != 0,
        created: Epoch(u64::from_be_bytes(created)),
        expiry,
    })
}

/// Bytes before the parts of a message with these flags.
fn head_bytes(flags: u8) -> usize {
    HEAD + (flags & (HAS_EXPIRY | HAS_PROPERTIES)).count_ones() as usize * EXTRA
}

/// The length of a text, at `at` of a head.
fn length(head: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([head[at], head[at + 1]]))
}

/// As much of a text as 65,535 bytes hold. Nothing that came in a packet is longer; a mount point may make
/// a topic so, which then cannot be delivered, and must do no other harm.
fn expressible(text: &str) -> &str {
    &text[..text.floor_char_boundary(usize::from(u16::MAX))]
}

/// Whether a PUBLISH hands this property on to subscribers unchanged (§3.3.2.3).
pub fn is_forwarded(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::PayloadFormat(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::User(_)
    )
}

/// An application message that is kept. Cloning counts, it does not copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Arc<[u8]>);

impl Message {
    /// From the canonical encoding, checked, copied once.
    pub fn from_bytes(bytes: &[u8]) -> Result<Message, NotAMessage> {
        decode(bytes)?;
        Ok(Message(bytes.into()))
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many hold the buffer, this one included.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Its parts.
    pub fn view(&self) -> MessageRef<'_> {
        view(&self.0).expect("a Message is made from a MessageRef or from checked bytes only")
    }

    /// The topic alone, as bytes. Cheaper than [`Message::view`]: no text is looked at.
    pub fn topic_bytes(&self) -> &[u8] {
        let at = head_bytes(self.0[0]);
        &self.0[at..at + length(&self.0, 7)]
    }

    /// The payload alone. Cheaper than [`Message::view`]: no text is looked at.
    pub fn payload(&self) -> &[u8] {
        let parts = head_bytes(self.0[0]);
        let properties = match self.0[0] & HAS_PROPERTIES {
            0 => 0,
            _ => u32::from_be_bytes(self.0[parts - EXTRA..parts].try_into().expect("four bytes")) as usize,
        };
        &self.0[parts + length(&self.0, 7) + length(&self.0, 9) + properties..]
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let view = self.view();
        write!(f, "Message({} {:?} {} bytes)", view.topic, view.qos, view.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> MessageRef<'static> {
        MessageRef {
            topic: "a/b",
            payload: b"payload",
            properties: Properties::trusted(&[1, 1, 38, 0, 1, b'k', 0, 1, b'v']),
            qos: QoS::AtLeastOnce,
            retain: true,
            created: Epoch(1_700_000_000_123),
            expiry: Some(60),
            publisher: b"client",
        }
    }

    #[test]
    fn a_message_is_the_same_after_being_kept() {
        let message = sample().to_message();
        assert_eq!(message.view(), sample());
        assert_eq!(decode(message.as_bytes()), Ok(sample()));
        assert_eq!(message.as_bytes().len(), sample().encoded_bytes());
        assert_eq!((message.topic_bytes(), message.payload()), (&b"a/b"[..], &b"payload"[..]));
    }

    #[test]
    fn what_is_not_set_takes_no_room() {
        for (expiry, properties, head) in [(None, 0, 11), (Some(60), 0, 15), (None, 9, 15), (Some(0), 9, 19)]
        {
            let properties = Properties::trusted(&sample().properties.raw()[..properties]);
            let message = MessageRef { expiry, properties, ..sample() };
            let parts = "a/b".len() + "client".len() + properties.raw().len() + "payload".len();
            assert_eq!(message.encoded_bytes(), head + parts);
            let kept = message.to_message();
            assert_eq!((kept.view(), kept.payload()), (message, &b"payload"[..]));
            assert_eq!(kept.as_bytes().len(), head + parts);
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused_or_still_a_message() {
        let bytes = sample().to_message().as_bytes().to_vec();
        for cut in 0..bytes.len() - sample().payload.len() {
            assert_eq!(decode(&bytes[..cut]), Err(NotAMessage), "cut at {cut}");
        }
        for position in 0..bytes.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[position] = value;
                let _ = decode(&changed);
            }
        }
    }

    #[test]
    fn a_topic_that_no_packet_can_carry_is_cut_between_characters() {
        let topic = "é".repeat(40_000);
        let message = MessageRef { topic: &topic, ..sample() }.to_message();
        assert_eq!(message.view(), MessageRef { topic: &topic[..65_534], ..sample() });
        assert_eq!(message.payload(), b"payload");
    }

    #[test]
    fn expiry_counts_from_creation() {
        let message = sample();
        assert_eq!(message.seconds_left(Epoch(message.created.0 + 10_500)), Some(50));
        assert!(!message.is_expired(Epoch(message.created.0 + 59_999)));
        assert!(message.is_expired(Epoch(message.created.0 + 60_000)));
    }
}
