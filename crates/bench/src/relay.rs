//! The ceiling: the least that something between publishers and subscribers can do. It knows just
//! enough MQTT 3.1.1 to be put under the same loads of QoS 0 (a table look-up per message, the bytes copied
//! on as they came) and nothing of sessions, rules or limits. What a broker costs above it is its own.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Output of one connection that may wait; a reader that is slower loses messages.
const OUT_BYTES_MAX: usize = 4 << 20;
const READ_BYTES: usize = 256 << 10;
const LISTENER: Token = Token(usize::MAX);

#[derive(Default)]
struct Table {
    exact: HashMap<Vec<u8>, Vec<usize>>,
    /// Filters that end in `/+`, by what comes before it.
    last_level: HashMap<Vec<u8>, Vec<usize>>,
}

#[derive(Default)]
struct Buffers {
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    dirty: bool,
}

struct Relay {
    table: Table,
    buffers: Vec<Buffers>,
    dirty: Vec<usize>,
    spare: Vec<Vec<u8>>,
}

/// Length of the fixed header and of the packet, once the header is there.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((at + 2, at + 2 + length));
        }
    }
    None
}

fn text(body: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    body.get(at + 2..at + 2 + length)
}

impl Relay {
    fn input(&mut self, from: usize, read: &[u8]) {
        let mut joined = std::mem::take(&mut self.buffers[from].partial);
        let mut bytes = read;
        if !joined.is_empty() {
            joined.extend_from_slice(read);
            bytes = &joined;
        }
        while let Some((header, total)) = lengths(bytes)
            && total <= bytes.len()
        {
            self.packet(from, &bytes[..total], header);
            bytes = &bytes[total..];
        }
        if !bytes.is_empty() {
            self.buffers[from].partial = bytes.to_vec();
        }
    }

    fn packet(&mut self, from: usize, packet: &[u8], header: usize) -> Option<()> {
        let body = &packet[header..];
        match packet[0] >> 4 {
            1 => self.put(&[from], b"\x20\x02\x00\x00"),
            3 => {
                let topic = text(body, 0)?;
                let table = std::mem::take(&mut self.table);
                if let Some(targets) = table.exact.get(topic) {
                    self.put(targets, packet);
                }
                if !table.last_level.is_empty()
                    && let Some(end) = topic.iter().rposition(|&byte| byte == b'/')
                    && let Some(targets) = table.last_level.get(&topic[..end])
                {
                    self.put(targets, packet);
                }
                self.table = table;
            }
            8 => {
                let filter = text(body, 2)?;
                let targets = match filter.strip_suffix(b"/+") {
                    Some(head) => self.table.last_level.entry(head.to_vec()),
                    None => self.table.exact.entry(filter.to_vec()),
                };
                targets.or_default().push(from);
                self.put(&[from], &[0x90, 3, body[0], body[1], 0]);
            }
            12 => self.put(&[from], b"\xd0\x00"),
            _ => {}
        }
        Some(())
    }

    fn put(&mut self, targets: &[usize], bytes: &[u8]) {
        for &to in targets {
            let buffers = &mut self.buffers[to];
            if buffers.out.capacity() == 0 {
                buffers.out = self.spare.pop().unwrap_or_default();
            }
            if buffers.out.len() - buffers.written < OUT_BYTES_MAX {
                buffers.out.extend_from_slice(bytes);
            }
            if !buffers.dirty {
                buffers.dirty = true;
                self.dirty.push(to);
            }
        }
    }

    /// Forgets a connection that has ended.
    fn forget(&mut self, who: usize) {
        for table in [&mut self.table.exact, &mut self.table.last_level] {
            table.retain(|_, targets| {
                targets.retain(|&to| to != who);
                !targets.is_empty()
            });
        }
        self.buffers[who] = Buffers::default();
    }
}

/// Listens on `address` and relays until the process is ended.
pub fn run(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut sockets: Vec<Option<TcpStream>> = Vec::new();
    let mut relay = Relay { table: Table::default(), buffers: vec![], dirty: vec![], spare: vec![] };
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; READ_BYTES];
    let mut again: Vec<usize> = Vec::new();
    loop {
        let wait = if again.is_empty() { None } else { Some(std::time::Duration::ZERO) };
        match poll.poll(&mut events, wait) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        let mut readable = std::mem::take(&mut again);
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true)?;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut socket, Token(sockets.len()), both)?;
                    sockets.push(Some(socket));
                    relay.buffers.push(Buffers::default());
                }
                continue;
            }
            let at = event.token().0;
            if event.is_readable() {
                readable.push(at);
            }
            if event.is_writable() && !relay.buffers[at].out.is_empty() && !relay.buffers[at].dirty {
                relay.buffers[at].dirty = true;
                relay.dirty.push(at);
            }
        }
        for at in readable {
            let Some(socket) = &mut sockets[at] else { continue };
            match socket.read(&mut scratch) {
                Ok(n) if n > 0 => {
                    relay.input(at, &scratch[..n]);
                    if n == scratch.len() {
                        again.push(at);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => {
                    sockets[at] = None;
                    relay.forget(at);
                }
            }
        }
        for at in std::mem::take(&mut relay.dirty) {
            let buffers = &mut relay.buffers[at];
            buffers.dirty = false;
            let Some(socket) = &mut sockets[at] else { continue };
            while buffers.written < buffers.out.len()
                && let Ok(n) = socket.write(&buffers.out[buffers.written..])
            {
                buffers.written += n;
            }
            if buffers.written == buffers.out.len() {
                buffers.written = 0;
                let mut done = std::mem::take(&mut buffers.out);
                done.clear();
                relay.spare.push(done);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{PublishForm, Version, subscribe};

    #[test]
    fn what_comes_goes_on_as_it_is_to_those_who_want_it() {
        let mut relay = Relay { table: Table::default(), buffers: vec![], dirty: vec![], spare: vec![] };
        relay.buffers.resize_with(4, Buffers::default);
        for (who, filter) in [(1, "a/b"), (2, "a/+"), (3, "b/+")] {
            let mut bytes = vec![];
            subscribe(&mut bytes, Version::V4, 1, &[filter], 0);
            relay.input(who, &bytes);
            relay.buffers[who].out.clear();
        }
        let mut message = vec![];
        PublishForm::new(Version::V4, "a/b", 0, false, &[7; 200]).write(&mut message, 0);
        for piece in message.chunks(50) {
            relay.input(0, piece);
        }
        let outs: Vec<&[u8]> = relay.buffers.iter().map(|b| b.out.as_slice()).collect();
        assert_eq!(outs, [&b""[..], &message, &message, b""]);
    }
}
