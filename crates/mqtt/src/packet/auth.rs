//! AUTH (§3.15), of MQTT 5.0 alone.

use super::{framed, kind};
use crate::Reason;
use crate::codec::property::on;
use crate::codec::{Properties, Reader, Writer};

/// A step of an extended authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, go on, or begin again.
    pub reason: Reason,
    /// The method and its data.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Auth<'a>, Reason> {
        let mut reader = Reader::new(body);
        let mut packet = Auth { reason: Reason::Success, properties: Properties::NONE };
        if !reader.is_empty() {
            packet.reason = Reason::read(reader.u8()?, on::AUTH)?;
            packet.properties = Properties::read(&mut reader, on::AUTH)?;
        }
        if reader.is_empty() { Ok(packet) } else { Err(Reason::MalformedPacket) }
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(kind::AUTH << 4, out, |out| {
            out.put_u8(self.reason.code());
            self.properties.write(out);
        });
    }
}
