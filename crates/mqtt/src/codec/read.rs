//! Reading the protocol's data types (§1.5 of MQTT 5.0) from a borrowed buffer. Nothing is copied, and
//! every length is checked against what is there.

use crate::Reason;
use crate::topic::holds_any;

/// A cursor over a packet's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// That many bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Reason::MalformedPacket)?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Reason> {
        let (&byte, rest) = self.rest.split_first().ok_or(Reason::MalformedPacket)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A two byte integer.
    pub fn u16(&mut self) -> Result<u16, Reason> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>().ok_or(Reason::MalformedPacket)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// A four byte integer.
    pub fn u32(&mut self) -> Result<u32, Reason> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(Reason::MalformedPacket)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// A variable byte integer in its shortest form [MQTT-1.5.5-1].
    pub fn varint(&mut self) -> Result<u32, Reason> {
        let mut value = 0u32;
        for position in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << (7 * position);
            if byte & 0x80 == 0 {
                if byte == 0 && position > 0 {
                    return Err(Reason::MalformedPacket);
                }
                return Ok(value);
            }
        }
        Err(Reason::MalformedPacket)
    }

    /// Binary data with its length.
    pub fn binary(&mut self) -> Result<&'a [u8], Reason> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 string: well formed, without U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2].
    pub fn string(&mut self) -> Result<&'a str, Reason> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| Reason::MalformedPacket)?;
        if holds_any(bytes, [0]) {
            return Err(Reason::MalformedPacket);
        }
        Ok(text)
    }

    /// A packet identifier: not zero [MQTT-2.2.1-3].
    pub fn packet_id(&mut self) -> Result<u16, Reason> {
        match self.u16()? {
            0 => Err(Reason::ProtocolError),
            id => Ok(id),
        }
    }
}
