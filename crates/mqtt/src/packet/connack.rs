//! CONNACK (§3.2).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Reader, Writer};
use crate::{Reason, Version};

/// The answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// The session of an earlier connection goes on. Not said in 3.1.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: Reason,
    /// What the server allows and has decided.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    pub(super) fn decode(version: Version, body: &'a [u8]) -> Result<Connack<'a>, Reason> {
        let mut reader = Reader::new(body);
        let flags = reader.u8()?;
        let code = reader.u8()?;
        if flags > 1 {
            return Err(Reason::MalformedPacket);
        }
        let (reason, properties) = if version.is_v5() {
            (Reason::read(code, on::CONNACK)?, Properties::read(&mut reader, on::CONNACK)?)
        } else {
            (Reason::from_connack_v3(code).ok_or(Reason::ProtocolError)?, Properties::NONE)
        };
        if !reader.is_empty() {
            return Err(Reason::MalformedPacket);
        }
        Ok(Connack { session_present: flags == 1, reason, properties })
    }

    /// Appends the packet's bytes. 3.1 has no session present flag.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        framed(kind::CONNACK << 4, out, |out| {
            out.put_u8(u8::from(self.session_present && version != Version::V31));
            if version.is_v5() {
                out.put_u8(self.reason.code());
                self.properties.write(out);
            } else {
                out.put_u8(self.reason.connack_v3());
            }
        });
    }
}
