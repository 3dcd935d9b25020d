//! SUBSCRIBE (§3.8).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Property, Reader, Writer};
use crate::{QoS, Reason, Version};

/// What a client wants to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Answered by the same.
    pub packet_id: u16,
    /// A subscription identifier and user properties.
    pub properties: Properties<'a>,
    /// The filters with their options, valid and at least one.
    filters: &'a [u8],
}

/// One filter of a SUBSCRIBE. Whether it is a valid filter has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// As the client wrote it, `$share/…` included.
    pub filter: &'a str,
    /// How it wants to get the messages.
    pub options: SubscriptionOptions,
}

/// Subscription options (§3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The most that messages are delivered with.
    pub qos: QoS,
    /// What the client published itself does not come back.
    pub no_local: bool,
    /// The retain flag is forwarded as it was published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// At each SUBSCRIBE.
    #[default]
    Always,
    /// Only where there was no such subscription.
    IfNew,
    /// Never.
    Never,
}

impl SubscriptionOptions {
    /// As the byte on the wire of 5.0; 3.x knows only the QoS.
    pub fn to_byte(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }

    /// From the byte on the wire [MQTT-3.8.3-5].
    pub fn from_byte(byte: u8, version: Version) -> Result<SubscriptionOptions, Reason> {
        let qos = QoS::from_bits(byte & 3).ok_or(Reason::MalformedPacket)?;
        let reserved = if version.is_v5() { 0xC0 } else { 0xFC };
        if byte & reserved != 0 {
            return Err(Reason::MalformedPacket);
        }
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(Reason::ProtocolError),
        };
        Ok(SubscriptionOptions {
            qos,
            no_local: byte & 0x04 != 0,
            retain_as_published: byte & 0x08 != 0,
            retain_handling,
        })
    }
}

impl<'a> Subscribe<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Subscribe<'a>, Reason> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id().map_err(|_| Reason::MalformedPacket)?;
        let properties =
            if version.is_v5() { Properties::read(&mut reader, on::SUBSCRIBE)? } else { Properties::NONE };
        let filters = reader.rest();
        // [MQTT-3.8.3-2]
        if filters.is_empty() {
            return Err(Reason::ProtocolError);
        }
        while !reader.is_empty() {
            let filter = reader.string()?;
            let options = SubscriptionOptions::from_byte(reader.u8()?, version)?;
            // [MQTT-3.8.3-4]
            if options.no_local && filter.starts_with("$share/") {
                return Err(Reason::ProtocolError);
            }
        }
        Ok(Subscribe { packet_id, properties, filters })
    }

    /// The filters, in order.
    pub fn filters(&self) -> impl Iterator<Item = SubscribeFilter<'a>> + use<'a> {
        let mut reader = Reader::new(self.filters);
        std::iter::from_fn(move || {
            let filter = reader.string().ok()?;
            // The bits of 3.x are a subset of those of 5.0, and all were checked before.
            let options = SubscriptionOptions::from_byte(reader.u8().ok()?, Version::V5).ok()?;
            Some(SubscribeFilter { filter, options })
        })
    }

    /// The identifier that deliveries carry.
    pub fn subscription_id(&self) -> Option<u32> {
        self.properties.find(|p| if let Property::SubscriptionId(id) = p { Some(id) } else { None })
    }

    /// Appends a SUBSCRIBE for these filters.
    pub fn encode_for(
        version: Version,
        packet_id: u16,
        properties: Properties<'_>,
        filters: &[SubscribeFilter<'_>],
        out: &mut Vec<u8>,
    ) {
        let mut list = Vec::new();
        for filter in filters {
            list.put_binary(filter.filter.as_bytes());
            list.put_u8(if version.is_v5() { filter.options.to_byte() } else { filter.options.qos as u8 });
        }
        Subscribe { packet_id, properties, filters: &list }.encode(version, out);
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        framed(kind::SUBSCRIBE << 4 | 2, out, |out| {
            out.put_u16(self.packet_id);
            if version.is_v5() {
                self.properties.write(out);
            }
            out.extend_from_slice(self.filters);
        });
    }
}
