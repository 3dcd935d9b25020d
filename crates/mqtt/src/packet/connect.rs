//! CONNECT (§3.1).

use super::{framed, kind};
use crate::codec::property::on;
use crate::codec::{Properties, Property, Reader, Writer};
use crate::topic;
use crate::{QoS, Reason, Version};

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the connection speaks.
    pub version: Version,
    /// Clean Session of 3.x.
    pub clean_start: bool,
    /// Seconds; 0: none.
    pub keep_alive: u16,
    /// Empty: the server chooses.
    pub client_id: &'a str,
    /// Part of the login.
    pub username: Option<&'a str>,
    /// Part of the login; 5.0 allows it alone.
    pub password: Option<&'a [u8]>,
    /// Published when the connection ends otherwise than by DISCONNECT.
    pub will: Option<Will<'a>>,
    /// What the client takes and asks for.
    pub properties: Properties<'a>,
    /// A bridge of Mosquitto or EMQ X sets the top bit of the level: what it published does not come
    /// back to it.
    pub bridge: bool,
}

/// The message that is published when the connection ends otherwise than by DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Whether it is a valid topic has not been looked at.
    pub topic: &'a str,
    /// At most 65,535 bytes.
    pub payload: &'a [u8],
    /// As a PUBLISH would have it.
    pub qos: QoS,
    /// As a PUBLISH would have it.
    pub retain: bool,
    /// Those of a PUBLISH, and the delay.
    pub properties: Properties<'a>,
}

/// Why a CONNECT was not accepted, and in which version to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// What a CONNACK says.
    pub reason: Reason,
    /// The version the client speaks, as far as that was read; without one the connection just ends.
    pub version: Option<Version>,
}

impl<'a> Connect<'a> {
    /// Looks into the body of a CONNECT.
    pub fn decode(body: &'a [u8]) -> Result<Connect<'a>, ConnectError> {
        let mut reader = Reader::new(body);
        let unknown = |reason| ConnectError { reason, version: None };
        let name = reader.binary().map_err(unknown)?;
        let level = reader.u8().map_err(unknown)?;
        let bridge = level & 0x80 != 0;
        let version = match (name, level & 0x7F) {
            (b"MQIsdp", 3) => Version::V31,
            (b"MQTT", 4) => Version::V311,
            (b"MQTT", 5) if !bridge => Version::V5,
            // [MQTT-3.1.2-2]: the answer of 3.1.1, which is the shortest, so that every client can read it.
            (b"MQTT", _) => {
                return Err(ConnectError {
                    reason: Reason::UnsupportedProtocolVersion,
                    version: Some(Version::V311),
                });
            }
            (b"MQIsdp", _) => {
                return Err(ConnectError {
                    reason: Reason::UnsupportedProtocolVersion,
                    version: Some(Version::V31),
                });
            }
            _ => return Err(unknown(Reason::UnsupportedProtocolVersion)),
        };
        Connect::decode_rest(version, bridge, &mut reader)
            .map_err(|reason| ConnectError { reason, version: Some(version) })
    }

    fn decode_rest(version: Version, bridge: bool, reader: &mut Reader<'a>) -> Result<Connect<'a>, Reason> {
        let flags = reader.u8()?;
        // [MQTT-3.1.2-3]: the reserved bit. 3.1 has no such rule.
        if flags & 1 != 0 && version != Version::V31 {
            return Err(Reason::MalformedPacket);
        }
        let has_will = flags & 0x04 != 0;
        let will_qos = QoS::from_bits(flags >> 3 & 3).ok_or(Reason::MalformedPacket)?;
        let will_retain = flags & 0x20 != 0;
        if !has_will && (will_qos != QoS::AtMostOnce || will_retain) {
            return Err(Reason::MalformedPacket);
        }
        let (has_username, has_password) = (flags & 0x80 != 0, flags & 0x40 != 0);
        // [MQTT-3.1.2-22] of 3.1.1; 5.0 allows a password alone.
        if has_password && !has_username && !version.is_v5() {
            return Err(Reason::MalformedPacket);
        }
        let keep_alive = reader.u16()?;
        let properties =
            if version.is_v5() { Properties::read(reader, on::CONNECT)? } else { Properties::NONE };
        check_auth(&properties)?;
        let client_id = reader.string()?;
        let will = if has_will {
            let properties =
                if version.is_v5() { Properties::read(reader, on::WILL)? } else { Properties::NONE };
            check_response_topic(&properties)?;
            let topic = reader.string()?;
            let payload = reader.binary()?;
            Some(Will { topic, payload, qos: will_qos, retain: will_retain, properties })
        } else {
            None
        };
        // In 3.1 the packet's length decides whether they are there, not the flags (§3.1 of 3.1).
        let is_there = |flag, rest: &Reader<'_>| flag && !(version == Version::V31 && rest.is_empty());
        let username = if is_there(has_username, reader) { Some(reader.string()?) } else { None };
        let password = if is_there(has_password, reader) { Some(reader.binary()?) } else { None };
        if !reader.is_empty() {
            return Err(Reason::MalformedPacket);
        }
        Ok(Connect {
            version,
            clean_start: flags & 0x02 != 0,
            keep_alive,
            client_id,
            username,
            password,
            will,
            properties,
            bridge,
        })
    }

    /// Seconds that the session outlives its connection; 3.x has no number for it.
    pub fn session_expiry(&self) -> Option<u32> {
        self.properties.find(|p| if let Property::SessionExpiry(s) = p { Some(s) } else { None })
    }

    /// Appends the packet's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(kind::CONNECT << 4, out, |out| {
            out.put_binary(self.version.name().as_bytes());
            out.put_u8(self.version.level() | if self.bridge { 0x80 } else { 0 });
            let will = self.will.as_ref();
            out.put_u8(
                u8::from(self.clean_start) << 1
                    | u8::from(will.is_some()) << 2
                    | will.map_or(0, |w| (w.qos as u8) << 3 | u8::from(w.retain) << 5)
                    | u8::from(self.password.is_some()) << 6
                    | u8::from(self.username.is_some()) << 7,
            );
            out.put_u16(self.keep_alive);
            if self.version.is_v5() {
                self.properties.write(out);
            }
            out.put_binary(self.client_id.as_bytes());
            if let Some(will) = will {
                if self.version.is_v5() {
                    will.properties.write(out);
                }
                out.put_binary(will.topic.as_bytes());
                out.put_binary(will.payload);
            }
            if let Some(username) = self.username {
                out.put_binary(username.as_bytes());
            }
            if let Some(password) = self.password {
                out.put_binary(password);
            }
        });
    }
}

/// A response topic is a topic [MQTT-3.3.2-14].
pub(super) fn check_response_topic(properties: &Properties<'_>) -> Result<(), Reason> {
    let valid = |p| !matches!(p, Property::ResponseTopic(name) if !topic::valid_name(name, 0));
    if properties.iter().all(valid) { Ok(()) } else { Err(Reason::ProtocolError) }
}

/// Authentication data without a method means nothing (§3.1.2.11.10).
fn check_auth(properties: &Properties<'_>) -> Result<(), Reason> {
    let has = |id| properties.iter().any(|p| p.id() == id);
    if has(22) && !has(21) { Err(Reason::ProtocolError) } else { Ok(()) }
}
