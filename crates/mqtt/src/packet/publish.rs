//! PUBLISH (§3.3).

use super::connect::check_response_topic;
use super::kind;
use crate::codec::property::on;
use crate::codec::{Properties, Property, Reader, Writer, varint_len};
use crate::topic;
use crate::{MessageRef, QoS, Reason, Version};

/// An application message on its way, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before; never with QoS 0.
    pub dup: bool,
    /// How surely it is to arrive.
    pub qos: QoS,
    /// It is to be kept, or was kept.
    pub retain: bool,
    /// Empty only with a topic alias.
    pub topic: &'a str,
    /// 0 with QoS 0.
    pub packet_id: u16,
    /// None in 3.x.
    pub properties: Properties<'a>,
    /// Any bytes.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    pub(super) fn decode(version: Version, flags: u8, body: &'a [u8]) -> Result<Publish<'a>, Reason> {
        let qos = QoS::from_bits(flags >> 1 & 3).ok_or(Reason::MalformedPacket)?;
        let dup = flags & 0x08 != 0;
        // [MQTT-3.3.1-2]
        if dup && qos == QoS::AtMostOnce {
            return Err(Reason::MalformedPacket);
        }
        let mut reader = Reader::new(body);
        let topic = reader.string()?;
        // [MQTT-3.3.2-2]; an empty name needs an alias, which is looked up later.
        if topic::has_wildcard(topic) {
            return Err(Reason::TopicNameInvalid);
        }
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { reader.packet_id()? };
        let properties = if version.is_v5() {
            let properties = Properties::read(&mut reader, on::PUBLISH)?;
            check_response_topic(&properties)?;
            properties
        } else {
            if topic.is_empty() {
                return Err(Reason::TopicNameInvalid);
            }
            Properties::NONE
        };
        Ok(Publish { dup, qos, retain: flags & 1 != 0, topic, packet_id, properties, payload: reader.rest() })
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let properties = self.properties.raw();
        out.put_u8(first_byte(self.dup, self.qos, self.retain));
        let own = if version.is_v5() { varint_len(properties.len()) + properties.len() } else { 0 };
        let id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        out.put_varint(2 + self.topic.len() + id + own + self.payload.len());
        out.put_binary(self.topic.as_bytes());
        if self.qos != QoS::AtMostOnce {
            out.put_u16(self.packet_id);
        }
        if version.is_v5() {
            self.properties.write(out);
        }
        out.extend_from_slice(self.payload);
    }
}

fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    kind::PUBLISH << 4 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain)
}

/// A message as one subscriber gets it: the bytes are written straight from where its parts lie.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// What is sent; its own QoS, retain flag and expiry are not looked at.
    pub message: &'a MessageRef<'a>,
    /// Sent before on another connection of the session.
    pub dup: bool,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// 0 with QoS 0.
    pub packet_id: u16,
    /// Seconds that are left of its life.
    pub expiry: Option<u32>,
    /// Identifiers of the subscriptions that it is sent for; each 1 to 268,435,455.
    pub subscription_ids: &'a [u32],
    /// The alias of its topic.
    pub alias: Option<Alias>,
}

/// A number in place of a topic, on one connection and in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Not 0.
    pub number: u16,
    /// The receiver knows it already, so the topic itself is not sent.
    pub is_known: bool,
}

impl Forward<'_> {
    /// Bytes of the whole packet, payload included.
    pub fn bytes(&self, version: Version) -> usize {
        let body = self.body_bytes(version);
        1 + varint_len(body) + body
    }

    /// Where the packet identifier lies, in a packet that has one.
    pub fn id_at(&self, version: Version) -> usize {
        1 + varint_len(self.body_bytes(version)) + 2 + self.topic().len()
    }

    /// Appends everything but the payload.
    pub fn encode_head(&self, version: Version, out: &mut Vec<u8>) {
        out.put_u8(first_byte(self.dup, self.qos, self.retain));
        out.put_varint(self.body_bytes(version));
        out.put_binary(self.topic().as_bytes());
        if self.qos != QoS::AtMostOnce {
            out.put_u16(self.packet_id);
        }
        if !version.is_v5() {
            return;
        }
        out.put_varint(self.properties_bytes());
        if let Some(seconds) = self.expiry {
            Property::MessageExpiry(seconds).write(out);
        }
        out.extend_from_slice(self.message.properties.raw());
        if let Some(alias) = self.alias {
            Property::TopicAlias(alias.number).write(out);
        }
        for id in self.subscription_ids {
            Property::SubscriptionId(*id).write(out);
        }
    }

    fn topic(&self) -> &str {
        if self.alias.is_some_and(|a| a.is_known) { "" } else { self.message.topic }
    }

    fn body_bytes(&self, version: Version) -> usize {
        let id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let own = if version.is_v5() { self.properties_bytes() } else { 0 };
        let own = if version.is_v5() { varint_len(own) + own } else { 0 };
        2 + self.topic().len() + id + own + self.message.payload.len()
    }

    fn properties_bytes(&self) -> usize {
        let ids: usize = self.subscription_ids.iter().map(|id| 1 + varint_len(*id as usize)).sum();
        self.message.properties.raw().len()
            + ids
            + if self.expiry.is_some() { 5 } else { 0 }
            + if self.alias.is_some() { 3 } else { 0 }
    }
}
