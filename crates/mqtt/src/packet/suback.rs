//! SUBACK and UNSUBACK (§3.9, §3.11).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Reader, Writer};
use crate::{Reason, Version};

/// The answer to SUBSCRIBE: a code for each filter, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback<'a> {
    /// Of the SUBSCRIBE.
    pub packet_id: u16,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
    /// Reason codes; 3.x: the granted QoS or 0x80.
    pub codes: &'a [u8],
}

/// The answer to UNSUBSCRIBE: a code for each filter, in order; none in 3.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuback<'a> {
    /// Of the UNSUBSCRIBE.
    pub packet_id: u16,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
    /// Reason codes.
    pub codes: &'a [u8],
}

impl<'a> Suback<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Suback<'a>, Reason> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let properties =
            if version.is_v5() { Properties::read(&mut reader, on::SUBACK)? } else { Properties::NONE };
        Ok(Suback { packet_id, properties, codes: reader.rest() })
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        framed(kind::SUBACK << 4, out, |out| {
            out.put_u16(self.packet_id);
            if version.is_v5() {
                self.properties.write(out);
                out.extend_from_slice(self.codes);
            } else {
                // 3.x has one code for every failure.
                out.extend(self.codes.iter().map(|c| if *c >= 0x80 { 0x80 } else { *c }));
            }
        });
    }
}

impl<'a> Unsuback<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Unsuback<'a>, Reason> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        if !version.is_v5() {
            return if reader.is_empty() {
                Ok(Unsuback { packet_id, properties: Properties::NONE, codes: &[] })
            } else {
                Err(Reason::MalformedPacket)
            };
        }
        let properties = Properties::read(&mut reader, on::UNSUBACK)?;
        Ok(Unsuback { packet_id, properties, codes: reader.rest() })
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        framed(kind::UNSUBACK << 4, out, |out| {
            out.put_u16(self.packet_id);
            if version.is_v5() {
                self.properties.write(out);
                out.extend_from_slice(self.codes);
            }
        });
    }
}
