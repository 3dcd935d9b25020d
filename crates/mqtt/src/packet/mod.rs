//! The control packets, one file each, both directions, all versions. A decoded packet borrows from the
//! read buffer. What a packet means for a client is not decided here; see [`crate::session`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing, reason = "hostile bytes must not panic"))]

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsubscribe;

pub use ack::{Ack, AckKind};
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, ConnectError, Will};
pub use disconnect::Disconnect;
pub use publish::{Alias, Forward, Publish};
pub use suback::{Suback, Unsuback};
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilter, SubscriptionOptions};
pub use unsubscribe::Unsubscribe;

use crate::codec::{Frame, Writer};
use crate::{Reason, Version};

/// Packet types (§2.1.2).
pub mod kind {
    /// CONNECT.
    pub const CONNECT: u8 = 1;
    /// CONNACK.
    pub const CONNACK: u8 = 2;
    /// PUBLISH.
    pub const PUBLISH: u8 = 3;
    /// PUBACK.
    pub const PUBACK: u8 = 4;
    /// PUBREC.
    pub const PUBREC: u8 = 5;
    /// PUBREL.
    pub const PUBREL: u8 = 6;
    /// PUBCOMP.
    pub const PUBCOMP: u8 = 7;
    /// SUBSCRIBE.
    pub const SUBSCRIBE: u8 = 8;
    /// SUBACK.
    pub const SUBACK: u8 = 9;
    /// UNSUBSCRIBE.
    pub const UNSUBSCRIBE: u8 = 10;
    /// UNSUBACK.
    pub const UNSUBACK: u8 = 11;
    /// PINGREQ.
    pub const PINGREQ: u8 = 12;
    /// PINGRESP.
    pub const PINGRESP: u8 = 13;
    /// DISCONNECT.
    pub const DISCONNECT: u8 = 14;
    /// AUTH.
    pub const AUTH: u8 = 15;
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The first packet of a client.
    Connect(Connect<'a>),
    /// Its answer.
    Connack(Connack<'a>),
    /// A message, in either direction.
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Ack(Ack<'a>),
    /// A client wants messages.
    Subscribe(Subscribe<'a>),
    /// Its answer.
    Suback(Suback<'a>),
    /// A client wants no more messages.
    Unsubscribe(Unsubscribe<'a>),
    /// Its answer.
    Unsuback(Unsuback<'a>),
    /// A client is there.
    Pingreq,
    /// Its answer.
    Pingresp,
    /// The last packet of a connection.
    Disconnect(Disconnect<'a>),
    /// A step of an extended authentication.
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Looks into a packet of a connection that speaks `version`. CONNECT says its version itself; see
    /// [`Connect::decode`] for its finer errors.
    pub fn decode(version: Version, frame: &Frame<'a>) -> Result<Packet<'a>, Reason> {
        let body = frame.body;
        // A repeated PUBREL, SUBSCRIBE or UNSUBSCRIBE of 3.1 has the DUP flag; later versions have none.
        if frame.kind != kind::PUBLISH && frame.flags & 0x08 != 0 && version != Version::V31 {
            return Err(Reason::MalformedPacket);
        }
        Ok(match frame.kind {
            kind::CONNECT => Packet::Connect(Connect::decode(body).map_err(|e| e.reason)?),
            kind::CONNACK => Packet::Connack(Connack::decode(version, body)?),
            kind::PUBLISH => Packet::Publish(Publish::decode(version, frame.flags, body)?),
            kind::PUBACK => Packet::Ack(Ack::decode(AckKind::Puback, version, body)?),
            kind::PUBREC => Packet::Ack(Ack::decode(AckKind::Pubrec, version, body)?),
            kind::PUBREL => Packet::Ack(Ack::decode(AckKind::Pubrel, version, body)?),
            kind::PUBCOMP => Packet::Ack(Ack::decode(AckKind::Pubcomp, version, body)?),
            kind::SUBSCRIBE => Packet::Subscribe(Subscribe::decode(version, body)?),
            kind::SUBACK => Packet::Suback(Suback::decode(version, body)?),
            kind::UNSUBSCRIBE => Packet::Unsubscribe(Unsubscribe::decode(version, body)?),
            kind::UNSUBACK => Packet::Unsuback(Unsuback::decode(version, body)?),
            kind::PINGREQ if body.is_empty() => Packet::Pingreq,
            kind::PINGRESP if body.is_empty() => Packet::Pingresp,
            kind::PINGREQ | kind::PINGRESP => return Err(Reason::MalformedPacket),
            kind::DISCONNECT => Packet::Disconnect(Disconnect::decode(version, body)?),
            // AUTH is of MQTT 5.0 alone.
            kind::AUTH if version.is_v5() => Packet::Auth(Auth::decode(body)?),
            _ => return Err(Reason::ProtocolError),
        })
    }

    /// As [`Packet::decode`], where only a client can be at the other end: what a server alone sends is
    /// refused unread, as is AUTH, since no authentication method is offered [MQTT-4.12.0-7].
    pub fn decode_from_client(version: Version, frame: &Frame<'a>) -> Result<Packet<'a>, Reason> {
        match frame.kind {
            kind::CONNECT | kind::CONNACK | kind::SUBACK | kind::UNSUBACK | kind::PINGRESP | kind::AUTH => {
                Err(Reason::ProtocolError)
            }
            _ => Packet::decode(version, frame),
        }
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Packet::Connect(p) => p.encode(out),
            Packet::Connack(p) => p.encode(version, out),
            Packet::Publish(p) => p.encode(version, out),
            Packet::Ack(p) => p.encode(version, out),
            Packet::Subscribe(p) => p.encode(version, out),
            Packet::Suback(p) => p.encode(version, out),
            Packet::Unsubscribe(p) => p.encode(version, out),
            Packet::Unsuback(p) => p.encode(version, out),
            Packet::Pingreq => out.extend_from_slice(&[kind::PINGREQ << 4, 0]),
            Packet::Pingresp => out.extend_from_slice(&[kind::PINGRESP << 4, 0]),
            Packet::Disconnect(p) => p.encode(version, out),
            Packet::Auth(p) => p.encode(out),
        }
    }
}

/// Appends a packet whose body `write` makes: the length is not known before.
pub(crate) fn framed(first: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(first);
    out.push(0);
    write(out);
    let length = out.len() - start - 2;
    if let (0..=0x7F, Some(place)) = (length, out.get_mut(start + 1)) {
        *place = length as u8;
        return;
    }
    // Most control packets are short; a longer one is moved by the bytes that its length needs more.
    let mut varint = Vec::with_capacity(4);
    varint.put_varint(length);
    out.splice(start + 1..start + 2, varint);
}

#[cfg(test)]
mod tests;
