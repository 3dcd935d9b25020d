//! DISCONNECT (§3.14).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Property, Reader, Writer};
use crate::reason::CLIENT_DISCONNECT;
use crate::{Reason, Version};

/// The last packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; Success in 3.x.
    pub reason: Reason,
    /// Of a client: another session expiry.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Disconnect<'a>, Reason> {
        let mut reader = Reader::new(body);
        let mut packet = Disconnect { reason: Reason::Success, properties: Properties::NONE };
        if version.is_v5() && !reader.is_empty() {
            packet.reason = Reason::read(reader.u8()?, on::DISCONNECT | CLIENT_DISCONNECT)?;
            if !reader.is_empty() {
                packet.properties = Properties::read(&mut reader, on::DISCONNECT)?;
            }
        }
        if reader.is_empty() { Ok(packet) } else { Err(Reason::MalformedPacket) }
    }

    /// The reason, where a client may give it.
    pub(crate) fn client_reason(&self) -> Result<Reason, Reason> {
        Reason::read(self.reason.code(), CLIENT_DISCONNECT)
    }

    /// Seconds that the session shall outlive the connection, where the client changes its mind.
    pub fn session_expiry(&self) -> Option<u32> {
        self.properties.find(|p| if let Property::SessionExpiry(s) = p { Some(s) } else { None })
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        framed(kind::DISCONNECT << 4, out, |out| {
            if version.is_v5() && (self.reason != Reason::Success || !self.properties.is_empty()) {
                out.put_u8(self.reason.code());
                if !self.properties.is_empty() {
                    self.properties.write(out);
                }
            }
        });
    }
}
