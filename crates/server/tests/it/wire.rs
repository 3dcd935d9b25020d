//! MQTT written out byte by byte, for tests about bytes.
//!
//! A packet is a text of hexadecimal bytes, with four helps: `*` is the remaining length of what follows,
//! `{…}` a property list with its length before it, `'abc'` a string with its two bytes of length, and
//! `"abc"` bare characters. `|` begins the next packet: `82 * 0001 {} 'a/b' 01 | c0 *`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::LIMIT;

/// A good CONNECT of 3.1.1 with clean session, but for its client id.
pub const V311: &str = "10 * 'MQTT' 04 02 003c";
/// A good CONNECT of 5.0 with clean start and without properties, but for its client id.
pub const V5: &str = "10 * 'MQTT' 05 02 003c {}";

/// The bytes of a text.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for packet in split(text) {
        let mut rest: Vec<char> = packet.trim().chars().rev().collect();
        let mut frames: Vec<(usize, char)> = vec![];
        let at = out.len();
        out.extend(part(&mut rest, &mut frames));
        assert!(frames.is_empty() && at <= out.len(), "a brace is open in {text:?}");
    }
    out
}

/// At `|`, but not within quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut quote, mut from) = (vec![], None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, '|') => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn part(rest: &mut Vec<char>, open: &mut Vec<(usize, char)>) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(c) = rest.pop() {
        match c {
            c if c.is_whitespace() => {}
            '*' => {
                let body = part(rest, open);
                put_length(&mut out, body.len());
                out.extend(body);
            }
            '{' => {
                open.push((out.len(), '{'));
                let body = part(rest, open);
                put_length(&mut out, body.len());
                out.extend(body);
            }
            '}' => {
                open.pop().expect("a brace was opened");
                return out;
            }
            '\'' | '"' => {
                let mut text = String::new();
                while let Some(next) = rest.pop().filter(|n| *n != c) {
                    text.push(next);
                }
                if c == '\'' {
                    out.extend((text.len() as u16).to_be_bytes());
                }
                out.extend(text.as_bytes());
            }
            high => {
                let low = rest.pop().expect("two digits make a byte");
                let digit = |c: char| c.to_digit(16).unwrap_or_else(|| panic!("{c:?} is no digit"));
                out.push((digit(high) * 16 + digit(low)) as u8);
            }
        }
    }
    out
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            return;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

/// What carries the bytes: TCP, or something on it.
pub trait Carrier: Read + Write + Send {
    fn patience(&mut self, limit: Duration);
    fn send_no_more(&mut self) {}
}

impl Carrier for TcpStream {
    fn patience(&mut self, limit: Duration) {
        self.set_read_timeout(Some(limit)).expect("a time-out above zero");
    }
    fn send_no_more(&mut self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// A connection whose bytes are given and looked at one by one. It answers nothing by itself.
pub struct Wire {
    stream: Box<dyn Carrier>,
    name: String,
}

impl Wire {
    /// Nothing is sent yet.
    pub fn bare(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect_timeout(&address, LIMIT).expect("the node listens");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Wire::on(stream)
    }

    /// On what is connected already.
    pub fn on(stream: impl Carrier + 'static) -> Wire {
        Wire { stream: Box::new(stream), name: "?".into() }
    }

    /// A good CONNECT of 3.1.1, and its answer.
    pub fn login(mut self, id: &str) -> Wire {
        self.name = id.into();
        self.send(&format!("{V311} '{id}'")).gets("20 02 00 00");
        self
    }

    /// Sends a CONNECT (all but the client id, and what comes after it) and looks at nothing.
    pub fn greet(address: SocketAddr, connect: &str, id: &str, after: &str) -> Wire {
        let mut wire = Wire::bare(address);
        wire.name = id.into();
        wire.send(&format!("{connect} '{id}' {after}"));
        wire
    }

    /// A client of 3.1.1 with a clean session.
    pub fn v3(address: SocketAddr, id: &str) -> Wire {
        let mut wire = Wire::greet(address, V311, id, "");
        wire.gets("20 02 00 00");
        wire
    }

    /// A client of 5.0 with a clean start.
    pub fn v5(address: SocketAddr, id: &str) -> Wire {
        let mut wire = Wire::greet(address, V5, id, "");
        let connack = wire.packet();
        assert!(connack.len() > 4, "{id}: CONNACK {}", hex(&connack));
        assert_eq!((connack[0], &connack[2..4]), (0x20, &[0u8, 0][..]), "{id}: {}", hex(&connack));
        wire
    }

    pub fn send(&mut self, text: &str) -> &mut Wire {
        self.send_raw(&bytes(text))
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> &mut Wire {
        // A server that has closed is seen by the next read.
        let _ = self.stream.write_all(bytes);
        self
    }

    /// The same for more than the other side takes at once.
    pub fn send_whole(&mut self, bytes: &[u8]) -> &mut Wire {
        self.stream.write_all(bytes).expect("the server takes it");
        self
    }

    fn read(&mut self, count: usize, limit: Duration) -> Vec<u8> {
        let end = Instant::now() + limit;
        let mut got = vec![0; count];
        let mut have = 0;
        while have < count {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.patience(left);
            match self.stream.read(&mut got[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= end {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        got.truncate(have);
        got
    }

    /// The next bytes are exactly these.
    pub fn gets(&mut self, text: &str) -> &mut Wire {
        let wanted = bytes(text);
        let got = self.read(wanted.len(), LIMIT);
        assert_eq!(hex(&got), hex(&wanted), "{}: {text}", self.name);
        self
    }

    /// The next packet, whatever it is; empty: the connection ended.
    pub fn packet(&mut self) -> Vec<u8> {
        self.packet_within(LIMIT)
    }

    pub fn packet_within(&mut self, limit: Duration) -> Vec<u8> {
        let mut packet = self.read(1, limit);
        if packet.is_empty() {
            return packet;
        }
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = self.read(1, LIMIT);
            let byte = *byte.first().expect("a packet has a length");
            packet.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        packet.extend(self.read(length, LIMIT));
        packet
    }

    /// The server ends the connection without another byte.
    pub fn ends(&mut self) {
        let got = self.read(1, LIMIT);
        assert!(got.is_empty(), "{}: {} instead of the end", self.name, hex(&got));
        let mut byte = [0];
        assert!(
            !matches!(self.stream.read(&mut byte), Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
            "{}: the server keeps the connection",
            self.name
        );
    }

    /// Nothing comes for a while.
    pub fn silent(&mut self) -> &mut Wire {
        let got = self.read(1, Duration::from_millis(60));
        assert!(got.is_empty(), "{}: {} came", self.name, hex(&got));
        self.alive()
    }

    /// The connection stands, and nothing has come before the answer that says so.
    pub fn alive(&mut self) -> &mut Wire {
        self.send("c0 *").gets("d0 00")
    }

    /// DISCONNECT, and the server's close.
    pub fn bye(&mut self) {
        self.send("e0 *");
        self.ends();
    }

    /// No more is sent; what comes can still be read.
    pub fn half_close(&mut self) {
        self.stream.send_no_more();
    }
}

#[test]
fn the_text_of_a_packet_makes_its_bytes() {
    assert_eq!(bytes("c0 *"), [0xc0, 0]);
    assert_eq!(bytes("82 * 0001 {} 'a' 01 | c0*"), [0x82, 7, 0, 1, 0, 0, 1, b'a', 1, 0xc0, 0]);
    assert_eq!(bytes("{11 0000} \"xy\""), [3, 0x11, 0, 0, b'x', b'y']);
}
