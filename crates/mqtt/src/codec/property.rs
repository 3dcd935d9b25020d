//! The properties of MQTT 5.0 (§2.2.2): one row each, with its identifier, its type and the packets
//! that may carry it. A property list is validated once and then read where it lies.

use crate::Reason;
use crate::codec::{Reader, Writer};

/// The packets that carry properties, as bits; the will counts as one.
pub mod on {
    /// On CONNECT.
    pub const CONNECT: u16 = 1 << 1;
    /// On CONNACK.
    pub const CONNACK: u16 = 1 << 2;
    /// On PUBLISH.
    pub const PUBLISH: u16 = 1 << 3;
    /// On PUBACK.
    pub const PUBACK: u16 = 1 << 4;
    /// On PUBREC.
    pub const PUBREC: u16 = 1 << 5;
    /// On PUBREL.
    pub const PUBREL: u16 = 1 << 6;
    /// On PUBCOMP.
    pub const PUBCOMP: u16 = 1 << 7;
    /// On SUBSCRIBE.
    pub const SUBSCRIBE: u16 = 1 << 8;
    /// On SUBACK.
    pub const SUBACK: u16 = 1 << 9;
    /// On UNSUBSCRIBE.
    pub const UNSUBSCRIBE: u16 = 1 << 10;
    /// On UNSUBACK.
    pub const UNSUBACK: u16 = 1 << 11;
    /// On DISCONNECT.
    pub const DISCONNECT: u16 = 1 << 14;
    /// On AUTH.
    pub const AUTH: u16 = 1 << 15;
    /// In the will of CONNECT.
    pub const WILL: u16 = 1;
    /// Every packet that answers with a reason.
    pub const REASONED: u16 =
        CONNACK | PUBACK | PUBREC | PUBREL | PUBCOMP | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    /// Every packet.
    pub const ANY: u16 = REASONED | CONNECT | PUBLISH | SUBSCRIBE | UNSUBSCRIBE | WILL;
}

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident $(<$lt:lifetime>)? = $id:literal, $ty:ty, $read:ident, $write:ident, $on:expr;)*) => {
        /// One property.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property<'a> { $($(#[$doc])* $name($ty),)* }

        impl<'a> Property<'a> {
            /// Its identifier on the wire.
            pub fn id(&self) -> u8 {
                match self { $(Property::$name(_) => $id,)* }
            }

            fn read(reader: &mut Reader<'a>) -> Result<(Property<'a>, u16), Reason> {
                // An identifier is a variable byte integer, and all known ones take one byte.
                match reader.varint()? {
                    $($id => Ok((Property::$name($read(reader)?), $on)),)*
                    _ => Err(Reason::MalformedPacket),
                }
            }

            /// Appends it.
            pub fn write(&self, out: &mut Vec<u8>) {
                out.put_u8(self.id());
                match self { $(Property::$name(value) => $write(*value, out),)* }
            }
        }
    };
}

properties! {
    /// 0: bytes; 1: UTF-8 text.
    PayloadFormat = 1, u8, bit, put_u8, on::PUBLISH | on::WILL;
    /// Seconds.
    MessageExpiry = 2, u32, u32, put_u32, on::PUBLISH | on::WILL;
    /// A MIME type, or anything.
    ContentType<'a> = 3, &'a str, string, put_string, on::PUBLISH | on::WILL;
    /// The topic that an answer is expected on.
    ResponseTopic<'a> = 8, &'a str, string, put_string, on::PUBLISH | on::WILL;
    /// What the answer repeats.
    CorrelationData<'a> = 9, &'a [u8], binary, put_binary, on::PUBLISH | on::WILL;
    /// 1 to 268,435,455.
    SubscriptionId = 11, u32, subscription_id, put_varint, on::PUBLISH | on::SUBSCRIBE;
    /// Seconds; 0xFFFFFFFF: never.
    SessionExpiry = 17, u32, u32, put_u32, on::CONNECT | on::CONNACK | on::DISCONNECT;
    /// The client id that the server chose.
    AssignedClientId<'a> = 18, &'a str, string, put_string, on::CONNACK;
    /// Seconds, in place of what the client asked.
    ServerKeepAlive = 19, u16, u16, put_u16, on::CONNACK;
    /// Extended authentication.
    AuthMethod<'a> = 21, &'a str, string, put_string, on::CONNECT | on::CONNACK | on::AUTH;
    /// Extended authentication.
    AuthData<'a> = 22, &'a [u8], binary, put_binary, on::CONNECT | on::CONNACK | on::AUTH;
    /// Whether reason strings and user properties are wanted.
    RequestProblemInfo = 23, u8, bit, put_u8, on::CONNECT;
    /// Seconds.
    WillDelay = 24, u32, u32, put_u32, on::WILL;
    /// Whether response information is wanted.
    RequestResponseInfo = 25, u8, bit, put_u8, on::CONNECT;
    /// What response topics are made of.
    ResponseInfo<'a> = 26, &'a str, string, put_string, on::CONNACK;
    /// Another server.
    ServerReference<'a> = 28, &'a str, string, put_string, on::CONNACK | on::DISCONNECT;
    /// For people.
    ReasonString<'a> = 31, &'a str, string, put_string, on::REASONED;
    /// QoS 1 and 2 messages at a time; not 0.
    ReceiveMax = 33, u16, nonzero_u16, put_u16, on::CONNECT | on::CONNACK;
    /// The largest alias that is accepted.
    TopicAliasMax = 34, u16, u16, put_u16, on::CONNECT | on::CONNACK;
    /// A number in place of a topic; 0 is refused where the alias is used.
    TopicAlias = 35, u16, u16, put_u16, on::PUBLISH;
    /// 0 or 1.
    MaxQos = 36, u8, bit, put_u8, on::CONNACK;
    /// Whether retained messages are available.
    RetainAvailable = 37, u8, bit, put_u8, on::CONNACK;
    /// A name and a value; may come often.
    User<'a> = 38, (&'a str, &'a str), pair, put_pair, on::ANY;
    /// Bytes; not 0.
    MaxPacketSize = 39, u32, nonzero_u32, put_u32, on::CONNECT | on::CONNACK;
    /// Whether wildcards are available.
    WildcardAvailable = 40, u8, bit, put_u8, on::CONNACK;
    /// Whether subscription identifiers are available.
    SubscriptionIdAvailable = 41, u8, bit, put_u8, on::CONNACK;
    /// Whether shared subscriptions are available.
    SharedAvailable = 42, u8, bit, put_u8, on::CONNACK;
}

fn bit(r: &mut Reader<'_>) -> Result<u8, Reason> {
    r.u8().and_then(|v| if v <= 1 { Ok(v) } else { Err(Reason::ProtocolError) })
}
fn u16(r: &mut Reader<'_>) -> Result<u16, Reason> {
    r.u16()
}
fn u32(r: &mut Reader<'_>) -> Result<u32, Reason> {
    r.u32()
}
fn nonzero_u16(r: &mut Reader<'_>) -> Result<u16, Reason> {
    r.u16().and_then(|v| if v == 0 { Err(Reason::ProtocolError) } else { Ok(v) })
}
fn nonzero_u32(r: &mut Reader<'_>) -> Result<u32, Reason> {
    r.u32().and_then(|v| if v == 0 { Err(Reason::ProtocolError) } else { Ok(v) })
}
fn subscription_id(r: &mut Reader<'_>) -> Result<u32, Reason> {
    r.varint().and_then(|v| if v == 0 { Err(Reason::ProtocolError) } else { Ok(v) })
}
fn string<'a>(r: &mut Reader<'a>) -> Result<&'a str, Reason> {
    r.string()
}
fn binary<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Reason> {
    r.binary()
}
fn pair<'a>(r: &mut Reader<'a>) -> Result<(&'a str, &'a str), Reason> {
    Ok((r.string()?, r.string()?))
}
fn put_u8(v: u8, out: &mut Vec<u8>) {
    out.put_u8(v);
}
fn put_u16(v: u16, out: &mut Vec<u8>) {
    out.put_u16(v);
}
fn put_u32(v: u32, out: &mut Vec<u8>) {
    out.put_u32(v);
}
fn put_varint(v: u32, out: &mut Vec<u8>) {
    out.put_varint(v as usize);
}
fn put_string(v: &str, out: &mut Vec<u8>) {
    out.put_binary(v.as_bytes());
}
fn put_binary(v: &[u8], out: &mut Vec<u8>) {
    out.put_binary(v);
}
fn put_pair(v: (&str, &str), out: &mut Vec<u8>) {
    out.put_binary(v.0.as_bytes());
    out.put_binary(v.1.as_bytes());
}

/// A property list, valid for its packet, without its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No property.
    pub const NONE: Properties<'static> = Properties { raw: &[] };

    /// Reads length and list; see [`Properties::check`].
    pub fn read(reader: &mut Reader<'a>, on: u16) -> Result<Properties<'a>, Reason> {
        let length = reader.varint()?;
        Properties::check(reader.take(length as usize)?, on)
    }

    /// A list that must be valid on the packet `on`: known, allowed there, not repeated but for user
    /// properties and, on PUBLISH, subscription identifiers.
    pub fn check(raw: &'a [u8], on: u16) -> Result<Properties<'a>, Reason> {
        if raw.is_empty() {
            return Ok(Properties { raw });
        }
        let mut seen = 0u64;
        let mut list = Reader::new(raw);
        while !list.is_empty() {
            let (property, allowed) = Property::read(&mut list)?;
            if allowed & on == 0 {
                // §2.2.2.2 has 0x81 for it; brokers answer 0x82 on most packets, and clients' tests expect that.
                let is_filters = on & (self::on::SUBSCRIBE | self::on::UNSUBSCRIBE) != 0;
                let reason = if is_filters { Reason::MalformedPacket } else { Reason::ProtocolError };
                return Err(reason);
            }
            let repeatable = matches!(property, Property::User(_))
                || (matches!(property, Property::SubscriptionId(_)) && on == self::on::PUBLISH);
            let bit = 1u64 << property.id();
            if seen & bit != 0 && !repeatable {
                return Err(Reason::ProtocolError);
            }
            seen |= bit;
        }
        Ok(Properties { raw })
    }

    /// A list that `read` has accepted before, or that was written by `Property::write`.
    pub fn trusted(raw: &'a [u8]) -> Properties<'a> {
        Properties { raw }
    }

    /// The bytes of the list.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut list = Reader::new(self.raw);
        std::iter::from_fn(move || Property::read(&mut list).ok().map(|(property, _)| property))
    }

    /// All of them with their bytes, in order.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (Property<'a>, &'a [u8])> + use<'a> {
        let mut list = Reader::new(self.raw);
        std::iter::from_fn(move || {
            let before = list.rest();
            let (property, _) = Property::read(&mut list).ok()?;
            Some((property, before.get(..before.len() - list.rest().len())?))
        })
    }

    /// The first that `pick` takes.
    pub fn find<T>(&self, pick: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        self.iter().find_map(pick)
    }

    /// Appends length and list.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_varint(self.raw.len());
        out.extend_from_slice(self.raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &[u8], on: u16) -> Result<usize, Reason> {
        let mut bytes = Vec::new();
        bytes.put_varint(raw.len());
        bytes.extend_from_slice(raw);
        Properties::read(&mut Reader::new(&bytes), on).map(|p| p.iter().count())
    }

    #[test]
    fn a_property_is_refused_where_it_does_not_belong_repeated_or_out_of_range() {
        assert_eq!(read(&[1, 0], on::PUBLISH), Ok(1));
        assert_eq!(read(&[1, 0], on::CONNECT), Err(Reason::ProtocolError));
        assert_eq!(read(&[1, 0, 1, 0], on::PUBLISH), Err(Reason::ProtocolError));
        assert_eq!(read(&[1, 2], on::PUBLISH), Err(Reason::ProtocolError));
        assert_eq!(read(&[33, 0, 0], on::CONNECT), Err(Reason::ProtocolError));
        assert_eq!(read(&[39, 0, 0, 0, 0], on::CONNECT), Err(Reason::ProtocolError));
        assert_eq!(read(&[11, 0], on::SUBSCRIBE), Err(Reason::ProtocolError));
        assert_eq!(read(&[11, 1, 11, 2], on::PUBLISH), Ok(2));
        assert_eq!(read(&[11, 1, 11, 2], on::SUBSCRIBE), Err(Reason::ProtocolError));
        assert_eq!(read(&[38, 0, 1, b'a', 0, 1, b'b', 38, 0, 1, b'a', 0, 1, b'c'], on::CONNECT), Ok(2));
        assert_eq!(read(&[0x7E], on::PUBLISH), Err(Reason::MalformedPacket));
        assert_eq!(read(&[2, 0, 0], on::PUBLISH), Err(Reason::MalformedPacket));
    }
}
