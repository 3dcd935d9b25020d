//! One client's connection as a shard drives it: its stream, what has been read of a packet that is
//! not complete, and where it stands between the first byte and the last.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt::session::Out;
use mqtt::{Now, Version};

use super::pace::Paced;
use crate::identity::Names;
use crate::listener::Listener;
use crate::stream::Stream;

/// Pieces of output that one system call takes.
const PIECES_MAX: usize = 64;
/// Bytes that a closing connection may still send before it is cut.
const LINGER_BYTES: u32 = 256 << 10;

/// A connection from its accept to its end.
pub struct Conn {
    pub stream: Stream,
    /// Bytes of a packet that has not come whole. Empty, and without room of its own, when idle.
    pub partial: Vec<u8>,
    pub phase: Phase,
    /// Which version its packets are of, once that is known.
    pub version: Version,
    pub listener: Arc<Listener>,
    /// The stream said that it takes no more for now; it will say when it does again.
    pub blocked: bool,
    /// Much of its output waits.
    pub slow: bool,
    /// The machine has paused it while bytes waited, read or unread.
    pub held: bool,
    /// Bytes may wait that no poll announces.
    pub ready: bool,
    /// The client sends no more: what has come is read to its end.
    pub hung_up: bool,
    /// How fast it sends, where that has limits.
    pub paced: Option<Box<Paced>>,
}

/// How far a connection's password has been compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nobody has asked.
    None,
    /// It is being compared; the number tells this connection from others before it.
    Going(u64),
    /// Whether it fits.
    Done(bool),
}

/// Where a connection stands.
pub enum Phase {
    /// The CONNECT has not come whole.
    Greeting(Box<Newcomer>),
    /// The shard knows it.
    Open,
    /// The last bytes are on their way; what still comes is thrown away.
    Closing { give_up_at: Now, bytes_left: u32 },
}

/// What is known of a client until it has come in.
pub struct Newcomer {
    pub awaits: Awaits,
    /// The connection ends then.
    pub give_up_at: Now,
    /// Where the client connects from, as the socket or the PROXY header says.
    pub peer: SocketAddr,
    /// What its certificate calls it.
    pub names: Option<Arc<Names>>,
    /// How far its password has been compared.
    pub check: Check,
}

impl Newcomer {
    /// The first thing that a stream has to say is waited for from now on.
    pub fn new(
        stream: &mut Stream,
        listener: &Listener,
        peer: SocketAddr,
        names: Option<Arc<Names>>,
        now: Now,
    ) -> Box<Newcomer> {
        let awaits = Awaits::first(stream);
        Box::new(Newcomer {
            awaits,
            give_up_at: awaits.limit(now, listener),
            peer,
            names,
            check: Check::None,
        })
    }

    /// That is waited for now.
    pub fn await_now(&mut self, awaits: Awaits, listener: &Listener, now: Now) {
        self.awaits = awaits;
        self.give_up_at = awaits.limit(now, listener);
    }

    /// A password of it is being compared: what it has sent waits.
    pub fn is_checked(&self) -> bool {
        matches!(self.check, Check::Going(_))
    }
}

/// What a connection has to say next before the machine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The PROXY header of a load balancer.
    Announcement,
    /// The TLS handshake.
    Handshake,
    /// The CONNECT, and whatever WebSocket needs before it.
    Connect,
}

impl Awaits {
    /// What a stream that begins has to say first.
    pub fn first(stream: &mut Stream) -> Awaits {
        if matches!(stream, Stream::Announced(_)) {
            Awaits::Announcement
        } else if stream.is_handshaking() {
            Awaits::Handshake
        } else {
            Awaits::Connect
        }
    }

    /// Until when that is waited for.
    fn limit(self, now: Now, listener: &Listener) -> Now {
        let limit = match self {
            Awaits::Announcement => listener.proxy_limit.unwrap_or_default(),
            Awaits::Handshake => listener.handshake_limit,
            Awaits::Connect => listener.greeting_limit,
        };
        now.plus(limit.as_millis() as u64)
    }

    /// Why it ends when that did not come in time.
    pub fn late(self) -> &'static str {
        match self {
            Awaits::Announcement => "proxy_proto_timeout",
            Awaits::Handshake => "ssl_upgrade_timeout",
            Awaits::Connect => "idle_timeout",
        }
    }

    /// Why it ends when something else came.
    pub fn wrong(self) -> &'static str {
        match self {
            Awaits::Announcement => "proxy_proto_error",
            Awaits::Handshake => "ssl_error",
            Awaits::Connect => "tcp_closed",
        }
    }
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is with the kernel.
    Whole,
    /// The rest has to wait until the socket is writable.
    Blocked,
    /// The connection is gone.
    Broken,
}

impl Conn {
    /// Keeps more bytes of a packet that has not come whole. Before the login never in more room than a
    /// CONNECT may have.
    pub fn keep(&mut self, bytes: &[u8]) {
        let needed = self.partial.len() + bytes.len();
        if needed > self.partial.capacity() {
            let doubled = 2 * self.partial.capacity();
            let most = if self.is_open() { doubled } else { self.listener.connect_bytes_max() };
            let room = needed.max(doubled.min(most));
            self.partial.reserve_exact(room - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// What is known of the client as long as it has not come in.
    pub fn newcomer(&mut self) -> Option<&mut Newcomer> {
        match &mut self.phase {
            Phase::Greeting(newcomer) => Some(newcomer),
            Phase::Open | Phase::Closing { .. } => None,
        }
    }

    /// The client has not come in, and has sent something: once the TLS handshake is through the time for the CONNECT
    /// begins, and once the upgrade request of a WebSocket has come it may say where the client is.
    pub fn heard(&mut self, now: Now) {
        let Phase::Greeting(newcomer) = &mut self.phase else { return };
        if newcomer.awaits == Awaits::Handshake && !self.stream.is_handshaking() {
            newcomer.await_now(Awaits::Connect, &self.listener, now);
            // A load balancer that has announced a certificate speaks of the client's; the one here may be its own.
            if newcomer.names.is_none() && self.listener.identity.is_from_certificates() {
                let certificate = self.stream.peer_certificate();
                newcomer.names = certificate.map(|der| Arc::new(self.listener.identity.of_certificate(der)));
            }
        }
        if let Some(forwarded) = self.stream.forwarded() {
            newcomer.peer.set_ip(forwarded.address.unwrap_or(newcomer.peer.ip()));
            newcomer.peer.set_port(forwarded.port.unwrap_or(newcomer.peer.port()));
        }
    }

    /// The phase in which output ends and input is thrown away, until `give_up_at` at the latest.
    pub fn closing(give_up_at: Now) -> Phase {
        Phase::Closing { give_up_at, bytes_left: LINGER_BYTES }
    }

    /// Writes what `out` holds. The buffer that it lay in is put into `spare` when it is empty.
    pub fn flush(&mut self, out: &mut Out, spare: &mut Vec<u8>) -> Flushed {
        match self.try_flush(out, spare) {
            Ok(true) => Flushed::Whole,
            Ok(false) => {
                self.blocked = true;
                Flushed::Blocked
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Flushed::Blocked
            }
            Err(_) => Flushed::Broken,
        }
    }

    fn try_flush(&mut self, out: &mut Out, spare: &mut Vec<u8>) -> io::Result<bool> {
        while !out.is_empty() {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let count = out.pieces(&mut pieces);
            let written = self.stream.write(&pieces[..count])?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if written == out.len() {
                *spare = out.written_whole();
            } else {
                out.advance(written);
            }
        }
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::effects::Output;

    /// A million connections are a million of these: see docs/memory.md.
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<Conn>() <= 96, "{}", size_of::<Conn>());
        assert!(size_of::<Output>() <= 72, "{}", size_of::<Output>());
    }
}
