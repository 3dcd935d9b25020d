//! A listener as the shards see it: its rules and its counters.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use broker::Zone;
use parking_lot::Mutex;

use crate::identity::Identity;
use crate::settings::{AccessRule, ListenAddress, Protocol};
use crate::shard::flapping::FlappingPolicy;
use crate::shard::pace::Pace;
use crate::socket::Socket;
use crate::stream::{Layers, Stream, WebRules};

/// One listener of this node, shared by its shards.
pub struct Listener {
    /// `mqtt:tcp:external`.
    pub id: Arc<String>,
    pub protocol: Protocol,
    /// As the settings say it.
    pub address: ListenAddress,
    pub backlog: u32,
    pub acceptors: u64,
    /// Who may connect, by address: the first that fits counts.
    pub access: Vec<AccessRule>,
    pub connections_max: u64,
    /// Connections accepted a second over all shards; 0: no limit.
    pub connections_per_second_max: u64,
    pub nodelay: bool,
    pub recv_buffer_bytes: Option<usize>,
    pub send_buffer_bytes: Option<usize>,
    /// How long a load balancer may take until its PROXY header has come whole; `None`: there is none.
    pub proxy_limit: Option<Duration>,
    /// How long the TLS handshake may take.
    pub handshake_limit: Duration,
    /// How long a client may take from then until its CONNECT has come whole.
    pub greeting_limit: Duration,
    /// How long a client may take nothing of what is sent to it; `None`: for ever.
    pub send_limit: Option<Duration>,
    pub zone: Arc<Zone>,
    /// What certificates say of its clients.
    pub identity: Identity,
    /// What connects too often is banned.
    pub flapping: Option<FlappingPolicy>,
    /// How fast its clients may send.
    pub pace: Pace,
    /// Set on TLS listeners; replaced when certificates are read again.
    pub tls: Option<ArcSwap<rustls::ServerConfig>>,
    /// Set on WebSocket listeners.
    pub web: Option<Arc<WebRules>>,
    pub counts: Counts,
}

/// What a listener has seen.
#[derive(Default)]
pub struct Counts {
    current: AtomicU64,
    /// The second in which connections are being counted, and how many there were in it.
    rate: Mutex<(u64, u64)>,
    ended: Mutex<BTreeMap<&'static str, u64>>,
}

impl Listener {
    /// Bytes of a CONNECT: a longer one is refused before it is buffered. With what else a stranger's connection
    /// takes none reaches 64 KiB by much; QUIC's own state is the largest.
    pub fn connect_bytes_max(&self) -> usize {
        match self.protocol {
            Protocol::Quic => 16 << 10,
            Protocol::Tcp | Protocol::Ssl | Protocol::Ws | Protocol::Wss => 64 << 10,
        }
    }

    /// Whether another connection may be accepted in this second. Those that come too fast wait in the
    /// socket's backlog.
    pub fn may_accept(&self, second: u64) -> bool {
        if self.connections_per_second_max == 0 {
            return true;
        }
        let rate = self.counts.rate.lock();
        rate.0 != second || rate.1 < self.connections_per_second_max
    }

    /// Counts a new connection in, or says why it must not come in.
    pub fn admit(&self, from: IpAddr, second: u64) -> Result<(), &'static str> {
        if self.connections_per_second_max > 0 {
            let mut rate = self.counts.rate.lock();
            if rate.0 != second {
                *rate = (second, 0);
            }
            rate.1 += 1;
        }
        if self.access.iter().find(|rule| rule.fits(from)).is_some_and(|rule| !rule.allow) {
            return Err("access");
        }
        if self.counts.current.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.counts.current.fetch_sub(1, Ordering::Relaxed);
            return Err("max_connections");
        }
        Ok(())
    }

    /// The stream of a client that has just come.
    pub fn stream(&self, socket: Socket) -> Result<Stream, rustls::Error> {
        let tls = self.tls.as_ref().map(|tls| tls.load_full());
        let layers = Layers { tls, web: self.web.clone() };
        match self.proxy_limit {
            None => Stream::new(socket, layers),
            Some(_) => Ok(Stream::behind_proxy(socket, layers)),
        }
    }

    /// Sets the socket's options. One that the kernel refuses is no reason to refuse the client.
    pub fn tune(&self, socket: &Socket) {
        if let Socket::Tcp(tcp) = socket {
            let _ = tcp.set_nodelay(self.nodelay);
        }
        let socket = socket2::SockRef::from(socket);
        if let Some(bytes) = self.recv_buffer_bytes {
            let _ = socket.set_recv_buffer_size(bytes);
        }
        if let Some(bytes) = self.send_buffer_bytes {
            let _ = socket.set_send_buffer_size(bytes);
        }
    }

    /// Counts a connection out.
    pub fn release(&self, cause: &'static str) {
        self.counts.current.fetch_sub(1, Ordering::Relaxed);
        *self.counts.ended.lock().entry(cause).or_default() += 1;
    }

    /// Connections that are open.
    pub fn current(&self) -> u64 {
        self.counts.current.load(Ordering::Relaxed)
    }

    /// How many connections ended for which cause.
    pub fn ended(&self) -> BTreeMap<&'static str, u64> {
        self.counts.ended.lock().clone()
    }
}
