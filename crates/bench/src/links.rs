//! Many client connections in one epoll loop. This room moves bytes and cuts them into packets; what
//! the packets are for is said by whoever implements [`Play`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::stream::{Layers, Stream};
use crate::wire::{Packet, Version, split};

/// Bytes that are read at a time; one buffer serves all connections.
const READ_BYTES: usize = 256 << 10;
/// Output buffers that wait for their next use.
const SPARE_BUFFERS: usize = 256;

/// What happens on a connection. A connection is named by a number that [`Links::dial`] gives and that
/// is used again after `closed`.
pub trait Play {
    /// TCP is there; say CONNECT.
    fn opened(&mut self, links: &mut Links, id: usize);
    /// A packet came.
    fn packet(&mut self, links: &mut Links, id: usize, packet: Packet<'_>);
    /// The connection has ended, for a reason in words.
    fn closed(&mut self, links: &mut Links, id: usize, why: &str);
}

struct Link {
    stream: Stream,
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    state: State,
    dirty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Dialing,
    Open,
    /// Ends as soon as what is to be sent has left.
    Leaving,
}

/// Where to connect to, and how.
#[derive(Clone)]
pub struct Target {
    /// The broker, or the nodes of a cluster; never empty.
    pub addresses: Vec<SocketAddr>,
    /// The version spoken on every connection.
    pub version: Version,
    /// What lies between TCP and MQTT.
    pub layers: Layers,
    /// Own addresses, used in turn; each gives some 28,000 ports. Empty: the kernel chooses.
    pub sources: Vec<IpAddr>,
}

/// All connections of one generator.
pub struct Links {
    target: Target,
    poll: Poll,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    leaving: Vec<usize>,
    dirty: Vec<usize>,
    again: Vec<usize>,
    spare: Vec<Vec<u8>>,
    sink: Vec<u8>,
    scratch: Vec<u8>,
    dialed: usize,
    open: usize,
    start: Instant,
    read_at: u64,
}

impl Links {
    /// No connection yet.
    pub fn new(target: Target) -> io::Result<Links> {
        Ok(Links {
            target,
            poll: Poll::new()?,
            links: Vec::new(),
            free: Vec::new(),
            leaving: Vec::new(),
            dirty: Vec::new(),
            again: Vec::new(),
            spare: Vec::new(),
            sink: Vec::new(),
            scratch: vec![0; READ_BYTES],
            dialed: 0,
            open: 0,
            start: Instant::now(),
            read_at: 0,
        })
    }

    /// The version spoken.
    pub fn version(&self) -> Version {
        self.target.version
    }

    /// Nanoseconds since the start: the clock of the stamps.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// When the bytes were read that are being played now.
    pub fn read_at(&self) -> u64 {
        self.read_at
    }

    /// Connections with TCP up.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Starts a connection to the address number `place`, counted round. Errors of the local host (no
    /// port, no descriptor) come here, the others as `closed`.
    pub fn dial(&mut self, place: usize) -> io::Result<usize> {
        let address = self.target.addresses[place % self.target.addresses.len()];
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM.nonblocking().cloexec(),
            Some(socket2::Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        if !self.target.sources.is_empty() {
            let source = self.target.sources[self.dialed % self.target.sources.len()];
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        self.dialed += 1;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            // EINPROGRESS: the poll says when it is done.
            Err(e) if e.raw_os_error() == Some(115) || e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        let mut tcp = TcpStream::from_std(socket.into());
        let id = self.free.pop().unwrap_or(self.links.len());
        self.poll.registry().register(&mut tcp, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        let stream = Stream::new(tcp, address, &self.target.layers)?;
        let (partial, out) = (Vec::new(), Vec::new());
        let link = Link { stream, partial, out, written: 0, state: State::Dialing, dirty: false };
        if id == self.links.len() {
            self.links.push(Some(link));
        } else {
            self.links[id] = Some(link);
        }
        Ok(id)
    }

    /// The connection's output; what is appended leaves with the next turn. Bytes for a connection
    /// that has ended go nowhere.
    pub fn out(&mut self, id: usize) -> &mut Vec<u8> {
        let Some(Some(link)) = self.links.get_mut(id) else {
            self.sink.clear();
            return &mut self.sink;
        };
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(id);
        }
        if link.out.capacity() == 0 {
            link.out = self.spare.pop().unwrap_or_default();
            link.out.clear();
        }
        &mut link.out
    }

    /// Ends a connection once its output has left; `closed` is not called for it.
    pub fn leave(&mut self, id: usize) {
        self.out(id);
        if let Some(Some(link)) = self.links.get_mut(id) {
            link.state = State::Leaving;
        }
    }

    /// Sends what there is to send, waits up to `wait` for the network and plays what came. Says how
    /// many connections were heard.
    pub fn turn(&mut self, events: &mut Events, wait: Duration, play: &mut impl Play) -> io::Result<usize> {
        self.flush(play);
        let wait = if self.again.is_empty() { wait } else { Duration::ZERO };
        match self.poll.poll(events, Some(wait)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => outcome?,
        }
        let mut heard = 0;
        for id in std::mem::take(&mut self.again) {
            heard += 1;
            self.hear(id, play);
        }
        for event in events.iter() {
            let id = event.token().0;
            if event.is_writable() {
                self.writable(id, play);
            }
            if event.is_readable() || event.is_error() {
                heard += 1;
                self.hear(id, play);
            }
        }
        self.free.append(&mut self.leaving);
        Ok(heard)
    }

    fn writable(&mut self, id: usize, play: &mut impl Play) {
        let Some(Some(link)) = self.links.get_mut(id) else { return };
        if link.state == State::Dialing {
            let Some(tcp) = link.stream.tcp() else { return self.end(id, play, "refused") };
            match tcp.take_error() {
                Ok(None) if tcp.peer_addr().is_ok() => {}
                Ok(None) => return,
                Ok(Some(e)) | Err(e) => return self.end(id, play, &e.to_string()),
            }
            link.state = State::Open;
            self.open += 1;
            play.opened(self, id);
        } else if !link.dirty && (link.written < link.out.len() || link.stream.may_hold_more()) {
            link.dirty = true;
            self.dirty.push(id);
        }
    }

    fn end(&mut self, id: usize, play: &mut impl Play, why: &str) {
        let Some(link) = self.links.get_mut(id).and_then(Option::take) else { return };
        self.leaving.push(id);
        if link.state != State::Dialing {
            self.open -= 1;
        }
        let told = link.state != State::Leaving;
        drop(link);
        if told {
            play.closed(self, id, why);
        }
    }

    fn flush(&mut self, play: &mut impl Play) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(Some(link)) = self.links.get_mut(id) else { continue };
            link.dirty = false;
            if link.state == State::Dialing {
                continue;
            }
            match link.push() {
                Ok(false) => {}
                Ok(true) => {
                    let mut done = std::mem::take(&mut link.out);
                    link.written = 0;
                    let leaving = link.state == State::Leaving;
                    if self.spare.len() < SPARE_BUFFERS && done.capacity() > 0 {
                        done.clear();
                        self.spare.push(done);
                    }
                    if leaving {
                        self.end(id, play, "left");
                    }
                }
                Err(e) => self.end(id, play, &e.to_string()),
            }
        }
    }

    fn hear(&mut self, id: usize, play: &mut impl Play) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut more = true;
        for _ in 0..4 {
            more = self.hear_once(id, &mut scratch, play);
            if !more {
                break;
            }
        }
        if more {
            // The readiness is edge-triggered: what was not read to its end is read in the next turn.
            self.again.push(id);
        }
        self.scratch = scratch;
    }

    /// Reads once and plays what came; `true` when there may be more.
    fn hear_once(&mut self, id: usize, scratch: &mut Vec<u8>, play: &mut impl Play) -> bool {
        let version = self.target.version;
        let Some(Some(link)) = self.links.get_mut(id) else { return false };
        if link.state == State::Dialing {
            return false;
        }
        let kept = link.partial.len();
        if scratch.len() < kept + READ_BYTES {
            scratch.resize(kept + READ_BYTES, 0);
        }
        scratch[..kept].copy_from_slice(&link.partial);
        let outcome = link.stream.read(&mut scratch[kept..]);
        if !link.dirty && link.written < link.out.len() {
            // A handshake may have ended with this read, and what waited for it can go.
            link.dirty = true;
            self.dirty.push(id);
        }
        let read = match outcome {
            Ok(0) => {
                self.end(id, play, "closed by the broker");
                return false;
            }
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
            Err(e) => {
                self.end(id, play, &e.to_string());
                return false;
            }
        };
        let more = link.stream.may_hold_more() || kept + read == scratch.len();
        link.partial = Vec::new();
        self.read_at = self.now();
        let mut bytes = &scratch[..kept + read];
        loop {
            match split(bytes, version) {
                Ok(Some((packet, used))) => {
                    play.packet(self, id, packet);
                    bytes = &bytes[used..];
                }
                Ok(None) => break,
                Err(_) => {
                    self.end(id, play, "the broker sent something that is not MQTT");
                    return false;
                }
            }
        }
        if let Some(Some(link)) = self.links.get_mut(id) {
            link.partial = bytes.to_vec();
        }
        more
    }
}

impl Link {
    /// Writes what there is; `true` when nothing is left.
    fn push(&mut self) -> io::Result<bool> {
        loop {
            if !self.stream.push()? {
                return Ok(false);
            }
            if self.written == self.out.len() {
                return Ok(true);
            }
            match self.stream.write(&self.out[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
