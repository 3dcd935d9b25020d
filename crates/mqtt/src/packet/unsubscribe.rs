//! UNSUBSCRIBE (§3.10).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Reader, Writer};
use crate::{Reason, Version};

/// What a client wants no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Answered by the same.
    pub packet_id: u16,
    /// User properties.
    pub properties: Properties<'a>,
    /// Strings, valid and at least one.
    filters: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Unsubscribe<'a>, Reason> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id().map_err(|_| Reason::MalformedPacket)?;
        let properties =
            if version.is_v5() { Properties::read(&mut reader, on::UNSUBSCRIBE)? } else { Properties::NONE };
        let filters = reader.rest();
        // [MQTT-3.10.3-2]
        if filters.is_empty() {
            return Err(Reason::ProtocolError);
        }
        while !reader.is_empty() {
            reader.string()?;
        }
        Ok(Unsubscribe { packet_id, properties, filters })
    }

    /// The filters, in order.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.filters);
        std::iter::from_fn(move || reader.string().ok())
    }

    /// Appends an UNSUBSCRIBE for these filters.
    pub fn encode_for(version: Version, packet_id: u16, filters: &[&str], out: &mut Vec<u8>) {
        let mut list = Vec::new();
        for filter in filters {
            list.put_binary(filter.as_bytes());
        }
        Unsubscribe { packet_id, properties: Properties::NONE, filters: &list }.encode(version, out);
    }

    pub(super) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        framed(kind::UNSUBSCRIBE << 4 | 2, out, |out| {
            out.put_u16(self.packet_id);
            if version.is_v5() {
                self.properties.write(out);
            }
            out.extend_from_slice(self.filters);
        });
    }
}
