//! A blocking MQTT client made for tests, with a codec of its own, so that an error in the product's codec
//! cannot hide behind the same error here. It shows every packet; it never reconnects.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before a test fails.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Protocol levels as they stand in CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    V31 = 3,
    V311 = 4,
    V5 = 5,
}

/// Properties of MQTT 5.0 that the tests use: (identifier, value as on the wire).
pub type Props = Vec<(u8, Vec<u8>)>;

pub mod prop {
    //! Identifiers of MQTT 5.0 §2.2.2.2, and values in their wire form.
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0b;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const WILL_DELAY: u8 = 0x18;
    pub const RECEIVE_MAX: u8 = 0x21;
    pub const USER: u8 = 0x26;

    pub fn u16(v: u16) -> Vec<u8> {
        v.to_be_bytes().to_vec()
    }
    pub fn u32(v: u32) -> Vec<u8> {
        v.to_be_bytes().to_vec()
    }
    pub fn text(v: &str) -> Vec<u8> {
        let mut out = u16(v.len() as u16);
        out.extend(v.as_bytes());
        out
    }
    pub fn pair(k: &str, v: &str) -> Vec<u8> {
        let mut out = text(k);
        out.extend(text(v));
        out
    }
    pub fn varint(v: u32) -> Vec<u8> {
        let mut out = Vec::new();
        super::put_varint(&mut out, v as usize);
        out
    }
}

fn put_varint(out: &mut Vec<u8>, mut v: usize) {
    loop {
        let byte = (v % 128) as u8;
        v /= 128;
        out.push(if v > 0 { byte | 0x80 } else { byte });
        if v == 0 {
            return;
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}

fn put_props(out: &mut Vec<u8>, props: &Props) {
    let mut body = Vec::new();
    for (id, value) in props {
        body.push(*id);
        body.extend(value);
    }
    put_varint(out, body.len());
    out.extend(body);
}

/// What is read in order from one packet's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        assert!(n <= self.0.len(), "a packet ends too early");
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        head
    }
    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }
    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }
    fn text(&mut self) -> &'a [u8] {
        let n = self.u16() as usize;
        self.take(n)
    }
    fn varint(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.u8() as usize;
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    fn props(&mut self) -> Props {
        let n = self.varint();
        let mut body = Body(self.take(n));
        let mut out = Vec::new();
        while !body.0.is_empty() {
            let id = body.u8();
            let before = body.0;
            match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => body.take(1),
                0x13 | 0x21 | 0x22 | 0x23 => body.take(2),
                0x02 | 0x11 | 0x18 | 0x27 => body.take(4),
                0x0b => {
                    body.varint();
                    &[]
                }
                0x26 => {
                    body.text();
                    body.text()
                }
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => body.text(),
                _ => panic!("property {id:#x} is none of MQTT 5.0"),
            };
            out.push((id, before[..before.len() - body.0.len()].to_vec()));
        }
        out
    }
}

/// A PUBLISH as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub id: u16,
    pub props: Props,
}

impl Publish {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
    /// "topic payload", for short assertions.
    pub fn line(&self) -> String {
        format!("{} {}", self.topic, self.text())
    }
    pub fn prop(&self, id: u8) -> Option<&[u8]> {
        self.props.iter().find(|(i, _)| *i == id).map(|(_, v)| v.as_slice())
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    Connack {
        present: bool,
        code: u8,
        props: Props,
    },
    Publish(Publish),
    Puback {
        id: u16,
        code: u8,
    },
    Pubrec {
        id: u16,
        code: u8,
    },
    Pubrel {
        id: u16,
        code: u8,
    },
    Pubcomp {
        id: u16,
        code: u8,
    },
    Suback {
        id: u16,
        codes: Vec<u8>,
    },
    Unsuback {
        id: u16,
        codes: Vec<u8>,
    },
    Pingresp,
    Disconnect {
        code: u8,
        props: Props,
    },
    /// The server closed the socket.
    Closed,
}

/// What is sent in CONNECT, and where.
pub struct Connect {
    address: SocketAddr,
    level: Level,
    id: String,
    clean: bool,
    keep_alive: u16,
    props: Props,
    will: Option<(String, Vec<u8>, u8, bool, Props)>,
    login: Option<(String, String)>,
}

impl Connect {
    pub fn new(address: SocketAddr, id: &str) -> Self {
        Self {
            address,
            level: Level::V5,
            id: id.into(),
            clean: true,
            keep_alive: 60,
            props: vec![],
            will: None,
            login: None,
        }
    }
    /// A user name and a password.
    pub fn login(mut self, username: &str, password: &str) -> Self {
        self.login = Some((username.into(), password.into()));
        self
    }
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
    /// Clean session, clean start: no.
    pub fn keep(mut self) -> Self {
        self.clean = false;
        self
    }
    /// As `keep`, with a session expiry interval (5.0).
    pub fn expiry(self, seconds: u32) -> Self {
        self.keep().prop(prop::SESSION_EXPIRY, prop::u32(seconds))
    }
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }
    pub fn prop(mut self, id: u8, value: Vec<u8>) -> Self {
        self.props.push((id, value));
        self
    }
    pub fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
        self.will = Some((topic.into(), payload.into(), qos, retain, vec![]));
        self
    }
    pub fn will_delay(mut self, seconds: u32) -> Self {
        let will = self.will.as_mut().expect("a delay is of a will");
        will.4.push((prop::WILL_DELAY, prop::u32(seconds)));
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_text(&mut body, if self.level == Level::V31 { b"MQIsdp" } else { b"MQTT" });
        body.push(self.level as u8);
        let mut flags = u8::from(self.clean) << 1;
        if let Some((_, _, qos, retain, _)) = &self.will {
            flags |= 4 | qos << 3 | u8::from(*retain) << 5;
        }
        if self.login.is_some() {
            flags |= 0xc0;
        }
        body.push(flags);
        body.extend(self.keep_alive.to_be_bytes());
        if self.level == Level::V5 {
            put_props(&mut body, &self.props);
        }
        put_text(&mut body, self.id.as_bytes());
        if let Some((topic, payload, _, _, props)) = &self.will {
            if self.level == Level::V5 {
                put_props(&mut body, props);
            }
            put_text(&mut body, topic.as_bytes());
            put_text(&mut body, payload);
        }
        if let Some((username, password)) = &self.login {
            put_text(&mut body, username.as_bytes());
            put_text(&mut body, password.as_bytes());
        }
        frame(0x10, body)
    }

    /// Sends CONNECT; the first packet that comes back, whatever it is.
    pub fn answer(self) -> (Client, Packet) {
        let stream = TcpStream::connect_timeout(&self.address, LIMIT)
            .unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.address));
        stream.set_nodelay(true).expect("a fresh socket takes options");
        let mut client = Client {
            stream,
            id: self.id.clone(),
            level: self.level,
            present: false,
            connack: vec![],
            buffer: vec![],
            waiting: VecDeque::new(),
            last_id: 0,
            by_hand: false,
        };
        client.send_raw(&self.encode());
        let first = client.packet();
        (client, first)
    }

    /// Connects; the code of the refusing CONNACK.
    pub fn refused(self) -> u8 {
        match self.answer().1 {
            Packet::Connack { code, .. } if code > 0 => code,
            other => panic!("CONNECT was answered with {other:?}"),
        }
    }

    /// Connects; anything but an accepting CONNACK fails the test.
    pub fn open(self) -> Client {
        let id = self.id.clone();
        let (mut client, first) = self.answer();
        match first {
            Packet::Connack { present, code: 0, props } => {
                client.present = present;
                client.connack = props;
                client
            }
            other => panic!("{id}: CONNECT was answered with {other:?}"),
        }
    }
}

fn frame(first: u8, body: Vec<u8>) -> Vec<u8> {
    let mut out = vec![first];
    put_varint(&mut out, body.len());
    out.extend(body);
    out
}

/// An open connection. Dropping it closes the socket without DISCONNECT, as a crash does.
pub struct Client {
    stream: TcpStream,
    pub id: String,
    pub level: Level,
    /// Session present, from CONNACK.
    pub present: bool,
    pub connack: Props,
    buffer: Vec<u8>,
    /// Packets that came while another one was waited for.
    waiting: VecDeque<Packet>,
    last_id: u16,
    by_hand: bool,
}

impl Client {
    /// From here on nothing is acknowledged by itself.
    pub fn acknowledge_by_hand(&mut self) {
        self.by_hand = true;
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        // A server that has closed is seen by the next read, which says why.
        let _ = self.stream.write_all(bytes);
    }

    fn v5(&self) -> bool {
        self.level == Level::V5
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id % 65535 + 1;
        self.last_id
    }

    /// The next packet from the socket within `limit`; `None` when none came.
    fn read_packet(&mut self, limit: Duration) -> Option<Packet> {
        let end = Instant::now() + limit;
        loop {
            if let Some((packet, used)) = self.parse() {
                self.buffer.drain(..used);
                return Some(packet);
            }
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).expect("a time-out above zero");
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(Packet::Closed),
                Ok(n) => self.buffer.extend(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= end {
                        return None;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(Packet::Closed),
            }
        }
    }

    fn parse(&self) -> Option<(Packet, usize)> {
        let (mut length, mut shift, mut at) = (0usize, 0, 1);
        loop {
            let byte = *self.buffer.get(at)? as usize;
            length |= (byte & 0x7f) << shift;
            shift += 7;
            at += 1;
            if byte < 0x80 {
                break;
            }
        }
        let body = self.buffer.get(at..at + length)?;
        Some((self.decode(self.buffer[0], Body(body)), at + length))
    }

    fn decode(&self, first: u8, mut body: Body) -> Packet {
        let v5 = self.v5();
        // An acknowledgement of 5.0 may leave out its reason (0) and properties.
        let ack = |body: &mut Body| {
            let id = body.u16();
            (id, if v5 && !body.0.is_empty() { body.u8() } else { 0 })
        };
        match first >> 4 {
            2 => Packet::Connack {
                present: body.u8() & 1 == 1,
                code: body.u8(),
                props: if v5 { body.props() } else { vec![] },
            },
            3 => {
                let qos = first >> 1 & 3;
                Packet::Publish(Publish {
                    topic: String::from_utf8(body.text().to_vec()).expect("a topic is UTF-8"),
                    id: if qos > 0 { body.u16() } else { 0 },
                    props: if v5 { body.props() } else { vec![] },
                    payload: body.0.to_vec(),
                    qos,
                    retain: first & 1 == 1,
                    dup: first & 8 == 8,
                })
            }
            4 => {
                let (id, code) = ack(&mut body);
                Packet::Puback { id, code }
            }
            5 => {
                let (id, code) = ack(&mut body);
                Packet::Pubrec { id, code }
            }
            6 => {
                let (id, code) = ack(&mut body);
                Packet::Pubrel { id, code }
            }
            7 => {
                let (id, code) = ack(&mut body);
                Packet::Pubcomp { id, code }
            }
            kind @ (9 | 11) => {
                let id = body.u16();
                if v5 {
                    body.props();
                }
                let codes = body.0.to_vec();
                if kind == 9 { Packet::Suback { id, codes } } else { Packet::Unsuback { id, codes } }
            }
            13 => Packet::Pingresp,
            14 => Packet::Disconnect {
                code: if body.0.is_empty() { 0 } else { body.u8() },
                props: if body.0.is_empty() { vec![] } else { body.props() },
            },
            kind => panic!("{}: a packet of type {kind} from a server", self.id),
        }
    }

    /// Acknowledges what a friendly client acknowledges.
    fn react(&mut self, packet: &Packet) {
        if self.by_hand {
            return;
        }
        match packet {
            Packet::Publish(p) if p.qos == 1 => self.ack(0x40, p.id),
            Packet::Publish(p) if p.qos == 2 => self.ack(0x50, p.id),
            Packet::Pubrel { id, .. } => self.ack(0x70, *id),
            _ => {}
        }
    }

    /// PUBACK 0x40, PUBREC 0x50, PUBREL 0x62, PUBCOMP 0x70, with reason 0.
    pub fn ack(&mut self, first: u8, id: u16) {
        self.send_raw(&frame(first, id.to_be_bytes().to_vec()));
    }

    /// The next packet in order of arrival, within the limit.
    pub fn packet(&mut self) -> Packet {
        self.packet_within(LIMIT).unwrap_or_else(|| panic!("{}: nothing came", self.id))
    }

    pub fn packet_within(&mut self, limit: Duration) -> Option<Packet> {
        if let Some(packet) = self.waiting.pop_front() {
            return Some(packet);
        }
        let packet = self.read_packet(limit)?;
        self.react(&packet);
        Some(packet)
    }

    /// The first packet that `wanted` accepts; others wait for later calls.
    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Packet) -> bool) -> Packet {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).expect("position is within");
        }
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let packet =
                self.read_packet(left).unwrap_or_else(|| panic!("{}: no {what} within {LIMIT:?}", self.id));
            self.react(&packet);
            if wanted(&packet) {
                return packet;
            }
            if matches!(packet, Packet::Closed | Packet::Disconnect { .. }) {
                panic!("{}: {packet:?} instead of {what}", self.id);
            }
            self.waiting.push_back(packet);
        }
    }

    /// Subscribes and gives the code of SUBACK.
    pub fn subscribe_code(&mut self, filter: &str, options: u8, props: Props) -> u8 {
        let id = self.send_subscribe(&[filter], options, props);
        let codes = self.suback(id);
        assert_eq!(codes.len(), 1, "one filter, one code");
        codes[0]
    }

    /// Sends a SUBSCRIBE and returns its packet id, without waiting.
    pub fn send_subscribe(&mut self, filters: &[&str], options: u8, props: Props) -> u16 {
        let id = self.next_id();
        let mut body = id.to_be_bytes().to_vec();
        if self.v5() {
            put_props(&mut body, &props);
        }
        for filter in filters {
            put_text(&mut body, filter.as_bytes());
            body.push(options);
        }
        self.send_raw(&frame(0x82, body));
        id
    }

    /// The codes of the SUBACK with that packet id.
    pub fn suback(&mut self, id: u16) -> Vec<u8> {
        match self.wait_for("SUBACK", |p| matches!(p, Packet::Suback { id: i, .. } if *i == id)) {
            Packet::Suback { codes, .. } => codes,
            _ => unreachable!("wait_for gives what was asked for"),
        }
    }

    /// Subscribes; another granted QoS than asked for fails the test.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> &mut Self {
        let code = self.subscribe_code(filter, qos, vec![]);
        assert_eq!(code, qos, "{}: SUBACK for {filter}", self.id);
        self
    }

    pub fn unsubscribe(&mut self, filter: &str) {
        let id = self.next_id();
        let mut body = id.to_be_bytes().to_vec();
        if self.v5() {
            body.push(0);
        }
        put_text(&mut body, filter.as_bytes());
        self.send_raw(&frame(0xa2, body));
        self.wait_for("UNSUBACK", |p| matches!(p, Packet::Unsuback { id: i, .. } if *i == id));
    }

    /// Sends a PUBLISH and returns its packet id, without waiting.
    pub fn send_publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool, props: Props) -> u16 {
        let id = if qos > 0 { self.next_id() } else { 0 };
        let mut body = Vec::new();
        put_text(&mut body, topic.as_bytes());
        if qos > 0 {
            body.extend(id.to_be_bytes());
        }
        if self.v5() {
            put_props(&mut body, &props);
        }
        body.extend(payload);
        self.send_raw(&frame(0x30 | qos << 1 | u8::from(retain), body));
        id
    }

    /// Publishes and waits until the server has taken it (QoS 1, 2); the reason code.
    pub fn publish_with(&mut self, topic: &str, payload: &str, qos: u8, retain: bool, props: Props) -> u8 {
        let id = self.send_publish(topic, payload.as_bytes(), qos, retain, props);
        match qos {
            0 => 0,
            1 => match self.wait_for("PUBACK", |p| matches!(p, Packet::Puback { id: i, .. } if *i == id)) {
                Packet::Puback { code, .. } => code,
                _ => unreachable!("wait_for gives what was asked for"),
            },
            _ => match self.wait_for("PUBREC", |p| matches!(p, Packet::Pubrec { id: i, .. } if *i == id)) {
                Packet::Pubrec { code, .. } if code < 0x80 => {
                    self.ack(0x62, id);
                    self.wait_for("PUBCOMP", |p| matches!(p, Packet::Pubcomp { id: i, .. } if *i == id));
                    code
                }
                Packet::Pubrec { code, .. } => code,
                _ => unreachable!("wait_for gives what was asked for"),
            },
        }
    }

    /// Publishes; a refusing reason code fails the test. 0x10, no subscribers, is success.
    pub fn publish(&mut self, topic: &str, payload: &str, qos: u8) {
        let code = self.publish_with(topic, payload, qos, false, vec![]);
        assert!(code < 0x80, "{}: publish to {topic} got {code:#x}", self.id);
    }

    pub fn retain(&mut self, topic: &str, payload: &str) {
        let code = self.publish_with(topic, payload, 1, true, vec![]);
        assert!(code < 0x80, "{}: retained publish to {topic} got {code:#x}", self.id);
    }

    /// The next PUBLISH within the limit.
    pub fn message(&mut self) -> Publish {
        match self.wait_for("PUBLISH", |p| matches!(p, Packet::Publish(_))) {
            Packet::Publish(p) => p,
            _ => unreachable!("wait_for gives what was asked for"),
        }
    }

    /// The next PUBLISH, if one comes within `limit`.
    pub fn message_within(&mut self, limit: Duration) -> Option<Publish> {
        let end = Instant::now() + limit;
        loop {
            let at = self.waiting.iter().position(|p| matches!(p, Packet::Publish(_)));
            if let Some(Packet::Publish(p)) = at.and_then(|at| self.waiting.remove(at)) {
                return Some(p);
            }
            let packet = self.read_packet(end.saturating_duration_since(Instant::now()))?;
            self.react(&packet);
            match packet {
                Packet::Publish(p) => return Some(p),
                Packet::Closed => return None,
                other => self.waiting.push_back(other),
            }
        }
    }

    /// All messages up to the one whose payload is `last`, as "topic payload" lines without it.
    pub fn lines_until(&mut self, last: &str) -> Vec<String> {
        let mut lines = vec![];
        loop {
            let message = self.message();
            if message.text() == last {
                return lines;
            }
            lines.push(message.line());
        }
    }

    /// DISCONNECT from the server with its code, or the bare end of the connection (`None`).
    pub fn ended(&mut self) -> Option<u8> {
        let end = Instant::now() + LIMIT;
        loop {
            match self.packet_within(end.saturating_duration_since(Instant::now())) {
                Some(Packet::Disconnect { code, .. }) => return Some(code),
                Some(Packet::Closed) => return None,
                Some(_) => {}
                None => panic!("{}: the server keeps the connection", self.id),
            }
        }
    }

    /// PINGREQ is answered: the connection stands.
    pub fn ping(&mut self) {
        self.send_raw(&[0xc0, 0]);
        self.wait_for("PINGRESP", |p| *p == Packet::Pingresp);
    }

    /// DISCONNECT, and the server's close.
    pub fn close(mut self) {
        self.send_raw(&[0xe0, 0]);
        while !matches!(self.packet_within(LIMIT), Some(Packet::Closed) | None) {}
    }
}
