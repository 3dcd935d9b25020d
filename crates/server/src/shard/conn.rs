//! One client's connection as a shard drives it: its stream, what has been read of a packet that is
//! not complete, and where it stands between the first byte and the last.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt::session::Out;
use mqtt::{Now, Version};

use super::greeting::CONNECT_BYTES_MAX;
use super::pace::Paced;
use crate::identity::Names;
use crate::listener::Listener;
use crate::stream::Stream;

/// Pieces of output that one system call takes.
const PIECES_MAX: usize = 64;
/// Bytes that a closing connection may still send before it is cut.
const LINGER_BYTES: usize = 256 << 10;

/// A connection from its accept to its end.
pub struct Conn {
    pub stream: Stream,
    /// Bytes of a packet that has not come whole. Empty, and without room of its own, when idle.
    pub partial: Vec<u8>,
    pub phase: Phase,
    /// How far its password has been compared.
    pub check: Check,
    /// Which version its packets are of, once that is known.
    pub version: Version,
    /// Where the client connects from, as the socket or the PROXY header says.
    pub peer: SocketAddr,
    pub listener: Arc<Listener>,
    /// What its certificate calls it, until it has come in.
    pub names: Option<Arc<Names>>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The CONNECT has not come whole; the connection ends at that time.
    Greeting { awaits: Awaits, give_up_at: Now },
    /// The shard knows it.
    Open,
    /// The last bytes are on their way; what still comes is thrown away.
    Closing { give_up_at: Now, bytes_left: usize },
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

    /// The phase in which that is waited for.
    pub fn phase(self, now: Now, listener: &Listener) -> Phase {
        let limit = match self {
            Awaits::Announcement => listener.proxy_limit.unwrap_or_default(),
            Awaits::Handshake => listener.handshake_limit,
            Awaits::Connect => listener.greeting_limit,
        };
        Phase::Greeting { awaits: self, give_up_at: now.plus(limit.as_millis() as u64) }
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
            let most = if self.phase == Phase::Open { doubled } else { CONNECT_BYTES_MAX };
            let room = needed.max(doubled.min(most));
            self.partial.reserve_exact(room - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Once the TLS handshake is through the time for the CONNECT begins.
    pub fn shook_hands(&mut self, now: Now) {
        if matches!(self.phase, Phase::Greeting { awaits: Awaits::Handshake, .. })
            && !self.stream.is_handshaking()
        {
            self.phase = Awaits::Connect.phase(now, &self.listener);
            // A load balancer that has announced a certificate speaks of the client's; the one here may be its own.
            if self.names.is_none() && self.listener.identity.is_from_certificates() {
                let certificate = self.stream.peer_certificate();
                self.names = certificate.map(|der| Arc::new(self.listener.identity.of_certificate(der)));
            }
        }
    }

    /// Once the upgrade request of a WebSocket has come it may say where the client is.
    pub fn upgraded(&mut self) {
        if let Some(forwarded) = self.stream.forwarded() {
            self.peer.set_ip(forwarded.address.unwrap_or(self.peer.ip()));
            self.peer.set_port(forwarded.port.unwrap_or(self.peer.port()));
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
