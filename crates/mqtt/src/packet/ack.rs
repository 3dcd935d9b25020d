//! PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 to §3.7).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Reader, Writer};
use crate::{Reason, Version};

/// Which of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// Ends a QoS 1 exchange.
    Puback,
    /// The receiver of a QoS 2 message has it.
    Pubrec,
    /// The sender of a QoS 2 message will not send it again.
    Pubrel,
    /// Ends a QoS 2 exchange.
    Pubcomp,
}

/// A step of the exchange of a QoS 1 or 2 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Which of the four packets.
    pub kind: AckKind,
    /// Of the PUBLISH; not 0.
    pub packet_id: u16,
    /// Success in 3.x.
    pub reason: Reason,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// Without properties.
    pub fn new(kind: AckKind, packet_id: u16, reason: Reason) -> Ack<'static> {
        Ack { kind, packet_id, reason, properties: Properties::NONE }
    }

    pub(super) fn decode(kind: AckKind, version: Version, body: &'a [u8]) -> Result<Ack<'a>, Reason> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut ack = Ack::new(kind, packet_id, Reason::Success);
        if version.is_v5() && !reader.is_empty() {
            ack.reason = Reason::read(reader.u8()?, kind.on())?;
            if !reader.is_empty() {
                ack.properties = Properties::read(&mut reader, kind.on())?;
            }
        }
        if reader.is_empty() { Ok(ack) } else { Err(Reason::MalformedPacket) }
    }

    /// Appends the packet's bytes: in the shortest form, without a reason that says nothing.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let first = self.kind.first_byte();
        if !version.is_v5() || (self.reason == Reason::Success && self.properties.is_empty()) {
            let [high, low] = self.packet_id.to_be_bytes();
            out.extend_from_slice(&[first, 2, high, low]);
            return;
        }
        framed(first, out, |out| {
            out.put_u16(self.packet_id);
            out.put_u8(self.reason.code());
            if !self.properties.is_empty() {
                self.properties.write(out);
            }
        });
    }
}

impl AckKind {
    fn first_byte(self) -> u8 {
        match self {
            AckKind::Puback => kind::PUBACK << 4,
            AckKind::Pubrec => kind::PUBREC << 4,
            AckKind::Pubrel => kind::PUBREL << 4 | 2,
            AckKind::Pubcomp => kind::PUBCOMP << 4,
        }
    }

    /// The bit of [`on`] that stands for it.
    pub(crate) fn on(self) -> u16 {
        match self {
            AckKind::Puback => on::PUBACK,
            AckKind::Pubrec => on::PUBREC,
            AckKind::Pubrel => on::PUBREL,
            AckKind::Pubcomp => on::PUBCOMP,
        }
    }
}
