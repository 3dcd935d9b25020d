//! MQTT 3.1, 3.1.1 and 5.0 as a client speaks them: what a load generator needs, and no more. It does
//! not share the broker's codec on purpose: an error made in both directions would cancel itself out.

/// The protocol's version, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1
    V3 = 3,
    /// MQTT 3.1.1
    V4 = 4,
    /// MQTT 5.0
    V5 = 5,
}

/// What a CONNECT says.
#[derive(Clone, Debug)]
pub struct Connect<'a> {
    /// The version to speak.
    pub version: Version,
    /// The client id.
    pub client_id: &'a str,
    /// Clean session, clean start.
    pub clean: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// Login.
    pub username: Option<&'a str>,
    /// Login.
    pub password: Option<&'a str>,
    /// Seconds; only version 5 says it.
    pub session_expiry: u32,
}

/// A packet from the broker.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The answer to CONNECT; 0 is success.
    ConnAck {
        /// The broker kept a session.
        session_present: bool,
        /// 0 or why not.
        reason: u8,
    },
    /// An application message.
    Publish {
        /// 0, 1, 2
        qos: u8,
        /// 0 at QoS 0.
        id: u16,
        /// From the retained store.
        retain: bool,
        /// Sent again.
        dup: bool,
        /// The topic.
        topic: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack {
        /// Which of the four.
        kind: Ack,
        /// The packet id.
        id: u16,
        /// 0x80 and above: refused.
        reason: u8,
    },
    /// The answer to SUBSCRIBE.
    SubAck {
        /// The packet id.
        id: u16,
        /// One a filter.
        reasons: &'a [u8],
    },
    /// The answer to PINGREQ.
    PingResp,
    /// The broker ends the connection (version 5).
    Disconnect {
        /// Why.
        reason: u8,
    },
    /// UNSUBACK or AUTH, which nothing here asks for.
    Other,
}

/// The four acknowledgements, by their first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ack {
    /// QoS 1 done.
    PubAck = 0x40,
    /// QoS 2, first answer.
    PubRec = 0x50,
    /// QoS 2, second step.
    PubRel = 0x62,
    /// QoS 2 done.
    PubComp = 0x70,
}

/// The bytes are no MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

fn remaining_length(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        out.push(if n > 0 { low | 0x80 } else { low });
        if n == 0 {
            return;
        }
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}

/// Appends a CONNECT.
pub fn connect(out: &mut Vec<u8>, say: &Connect<'_>) {
    let mut body = Vec::with_capacity(64);
    text(&mut body, if say.version == Version::V3 { b"MQIsdp" } else { b"MQTT" });
    body.push(say.version as u8);
    let flags = u8::from(say.username.is_some()) << 7
        | u8::from(say.password.is_some()) << 6
        | u8::from(say.clean) << 1;
    body.push(flags);
    body.extend_from_slice(&say.keep_alive.to_be_bytes());
    if say.version == Version::V5 {
        if say.session_expiry > 0 {
            body.push(5);
            body.push(0x11);
            body.extend_from_slice(&say.session_expiry.to_be_bytes());
        } else {
            body.push(0);
        }
    }
    text(&mut body, say.client_id.as_bytes());
    for part in [say.username, say.password].into_iter().flatten() {
        text(&mut body, part.as_bytes());
    }
    out.push(0x10);
    remaining_length(out, body.len());
    out.extend_from_slice(&body);
}

/// Appends a SUBSCRIBE for all filters at one QoS.
pub fn subscribe(out: &mut Vec<u8>, version: Version, id: u16, filters: &[&str], qos: u8) {
    let properties = usize::from(version == Version::V5);
    let length = 2 + properties + filters.iter().map(|f| f.len() + 3).sum::<usize>();
    out.push(0x82);
    remaining_length(out, length);
    out.extend_from_slice(&id.to_be_bytes());
    if version == Version::V5 {
        out.push(0);
    }
    for filter in filters {
        text(out, filter.as_bytes());
        out.push(qos);
    }
}

/// Appends an acknowledgement without properties, the form that all versions share.
pub fn ack(out: &mut Vec<u8>, kind: Ack, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[kind as u8, 2, high, low]);
}

/// Appends a PINGREQ.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, 0]);
}

/// Appends a DISCONNECT, the normal end.
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xe0, 0]);
}

/// A PUBLISH whose fixed parts are encoded once; each message is one copy of it with the payload's
/// head and the packet id written over.
#[derive(Clone, Debug)]
pub struct PublishForm {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    payload_at: usize,
}

impl PublishForm {
    /// The form of a message to `topic` with `payload`.
    pub fn new(version: Version, topic: &str, qos: u8, retain: bool, payload: &[u8]) -> PublishForm {
        let mut bytes = Vec::with_capacity(topic.len() + payload.len() + 12);
        let properties = usize::from(version == Version::V5);
        let id_bytes = if qos > 0 { 2 } else { 0 };
        bytes.push(0x30 | qos << 1 | u8::from(retain));
        remaining_length(&mut bytes, 2 + topic.len() + id_bytes + properties + payload.len());
        text(&mut bytes, topic.as_bytes());
        let id_at = (qos > 0).then_some(bytes.len());
        bytes.extend_from_slice(&[0, 0][..id_bytes]);
        if version == Version::V5 {
            bytes.push(0);
        }
        let payload_at = bytes.len();
        bytes.extend_from_slice(payload);
        PublishForm { bytes, id_at, payload_at }
    }

    /// Appends the message and gives its payload to fill in.
    pub fn write<'o>(&self, out: &'o mut Vec<u8>, id: u16) -> &'o mut [u8] {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(at) = self.id_at {
            out[start + at..start + at + 2].copy_from_slice(&id.to_be_bytes());
        }
        &mut out[start + self.payload_at..]
    }
}

/// Takes the first packet off `bytes`, with the number of bytes that it has. `None`: not complete yet.
pub fn split(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0usize;
    let mut at = 0;
    loop {
        let Some(&byte) = rest.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if at == 4 {
            return Err(Malformed);
        }
    }
    let Some(body) = rest.get(at..at + length) else { return Ok(None) };
    Ok(Some((parse(first, body, version).ok_or(Malformed)?, 1 + at + length)))
}

fn number(body: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]))
}

/// Where the properties that begin at `at` end.
fn skip_properties(body: &[u8], at: usize, version: Version) -> Option<usize> {
    if version != Version::V5 {
        return Some(at);
    }
    let mut length = 0usize;
    for shift in 0..4 {
        let byte = *body.get(at + shift)?;
        length |= usize::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            let end = at + shift + 1 + length;
            return (end <= body.len()).then_some(end);
        }
    }
    None
}

fn parse(first: u8, body: &[u8], version: Version) -> Option<Packet<'_>> {
    let acknowledge =
        |kind| Some(Packet::Ack { kind, id: number(body, 0)?, reason: body.get(2).copied().unwrap_or(0) });
    match first >> 4 {
        2 => Some(Packet::ConnAck { session_present: *body.first()? & 1 == 1, reason: *body.get(1)? }),
        3 => {
            let qos = first >> 1 & 3;
            let topic_end = 2 + usize::from(number(body, 0)?);
            let topic = body.get(2..topic_end)?;
            let (id, at) = if qos > 0 { (number(body, topic_end)?, topic_end + 2) } else { (0, topic_end) };
            let payload = body.get(skip_properties(body, at, version)?..)?;
            let (retain, dup) = (first & 1 == 1, first & 8 == 8);
            (qos < 3).then_some(Packet::Publish { qos, id, retain, dup, topic, payload })
        }
        4 => acknowledge(Ack::PubAck),
        5 => acknowledge(Ack::PubRec),
        6 => acknowledge(Ack::PubRel),
        7 => acknowledge(Ack::PubComp),
        9 => Some(Packet::SubAck {
            id: number(body, 0)?,
            reasons: body.get(skip_properties(body, 2, version)?..)?,
        }),
        13 => Some(Packet::PingResp),
        14 => Some(Packet::Disconnect { reason: body.first().copied().unwrap_or(0) }),
        11 | 15 => Some(Packet::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_of_each_version_is_the_bytes_of_the_specification() {
        let mut out = vec![];
        let mut say = Connect {
            version: Version::V4,
            client_id: "ab",
            clean: true,
            keep_alive: 300,
            username: Some("u"),
            password: None,
            session_expiry: 0,
        };
        connect(&mut out, &say);
        assert_eq!(out, b"\x10\x11\x00\x04MQTT\x04\x82\x01\x2c\x00\x02ab\x00\x01u");
        out.clear();
        say.version = Version::V5;
        say.session_expiry = 7;
        say.username = None;
        connect(&mut out, &say);
        assert_eq!(out, b"\x10\x14\x00\x04MQTT\x05\x02\x01\x2c\x05\x11\x00\x00\x00\x07\x00\x02ab");
        out.clear();
        say.version = Version::V3;
        connect(&mut out, &say);
        assert_eq!(out, b"\x10\x10\x00\x06MQIsdp\x03\x02\x01\x2c\x00\x02ab");
    }

    #[test]
    fn a_publish_form_is_read_back_in_each_version_and_qos() {
        for version in [Version::V3, Version::V4, Version::V5] {
            for qos in 0..3 {
                let form = PublishForm::new(version, "a/b", qos, false, &[0; 200]);
                let mut out = vec![];
                form.write(&mut out, 7)[0] = 9;
                let (packet, used) = split(&out, version).unwrap().unwrap();
                assert_eq!(used, out.len());
                let Packet::Publish { qos: got, id, topic, payload, .. } = packet else { panic!() };
                assert_eq!((got, id, topic), (qos, if qos > 0 { 7 } else { 0 }, &b"a/b"[..]));
                assert_eq!((payload.len(), payload[0]), (200, 9));
                for cut in 0..out.len() {
                    assert_eq!(split(&out[..cut], version), Ok(None));
                }
            }
        }
    }

    #[test]
    fn answers_of_a_broker_are_read() {
        let reads: [(&[u8], Version, Packet); 6] = [
            (b"\x20\x02\x01\x00", Version::V4, Packet::ConnAck { session_present: true, reason: 0 }),
            (b"\x20\x03\x00\x87\x00", Version::V5, Packet::ConnAck { session_present: false, reason: 0x87 }),
            (b"\x40\x02\x00\x07", Version::V5, Packet::Ack { kind: Ack::PubAck, id: 7, reason: 0 }),
            (
                b"\x50\x04\x00\x07\x97\x00",
                Version::V5,
                Packet::Ack { kind: Ack::PubRec, id: 7, reason: 0x97 },
            ),
            (b"\x90\x05\x00\x01\x00\x01\x80", Version::V5, Packet::SubAck { id: 1, reasons: &[1, 0x80] }),
            (b"\xe0\x00", Version::V5, Packet::Disconnect { reason: 0 }),
        ];
        for (bytes, version, packet) in reads {
            assert_eq!(split(bytes, version), Ok(Some((packet, bytes.len()))));
        }
    }

    #[test]
    fn noise_is_malformed() {
        assert_eq!(split(b"\x30\xff\xff\xff\xff\x01", Version::V4), Err(Malformed));
        assert_eq!(split(b"\x00\x00", Version::V4), Err(Malformed));
        assert_eq!(split(b"\x30\x03\x00\x09a", Version::V4), Err(Malformed));
    }
}
