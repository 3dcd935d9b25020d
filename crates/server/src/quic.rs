//! MQTT over QUIC: one connection, one stream of the client's, ALPN `mqtt` (ADR 0005).
//!
//! QUIC has threads of its own. What they take off a client's stream they hand to a shard through a pair of Unix sockets,
//! so that a shard sees a client like any other, and so that whoever is slow holds up the other side: the pipe is small, and
//! QUIC's flow control lets a client send no more than there is room for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connecting, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TransportConfig, VarInt,
};
use rustls::pki_types::CertificateDer;
use socket2::SockRef;
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout, timeout_at};

use crate::identity::Names;
use crate::listener::Listener;
use crate::shard::{Adopted, Clock, ShardHandle, ShardMessage};
use crate::socket::Socket;
use crate::stream::{Stream, Wire};

/// What a client has to name as its protocol.
pub const ALPN: &str = "mqtt";
/// Bytes of datagrams that are kept of a connection until its handshake begins.
const HELLO_BYTES: u64 = 16 << 10;
/// Bytes that a client may send ahead before the node has answered it, and afterwards.
const WINDOW_BYTES_BEFORE: u32 = 4 << 10;
const WINDOW_BYTES: u32 = 256 << 10;
/// Bytes on their way to a client that QUIC keeps until they are acknowledged. Each piece of them costs some 64 more.
const SEND_BYTES: u64 = 128 << 10;
/// The kernel's room in the pipe, towards the shard and from it.
const PIPE_BYTES_IN: usize = 8 << 10;
const PIPE_BYTES_OUT: usize = 64 << 10;
/// Bytes that go through at a time.
const PIECE_BYTES: usize = 16 << 10;
/// Handshakes under way from which on a client has to show that it is where it says (Retry).
const VALIDATE_FROM: usize = 64;
/// The most handshakes under way; whoever comes then is not answered, and tries again.
const HANDSHAKES_MAX: usize = 1024;
/// A client that is not heard of for so long is gone. One that is there answers what is sent each `ALIVE_EACH`, whatever
/// its keep-alive in MQTT is; it also keeps the way through NATs open.
const SILENCE_MAX: Duration = Duration::from_secs(90);
const ALIVE_EACH: Duration = Duration::from_secs(20);
/// How long a client may take to acknowledge the last bytes.
const LINGER: Duration = Duration::from_secs(2);
/// How long an endpoint may take to say good-bye when the node stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// The threads of all QUIC listeners.
pub struct Threads(Option<Runtime>);

impl Threads {
    /// As many as there are shards.
    pub fn start(count: usize) -> io::Result<Threads> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(count).thread_name("quic").enable_all().build().map(|it| Threads(Some(it)))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The control thread, which must not wait, is where this ends.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A listener's port. It is bound as long as the node runs: clients that are connected go through it, also when the listener
/// has been stopped and takes no new ones.
pub struct Port {
    socket: Mutex<Option<UdpSocket>>,
    endpoint: Mutex<Option<Endpoint>>,
    takes: Arc<AtomicBool>,
}

impl Port {
    /// Binds it. `AddrInUse` when anybody else has it.
    pub fn bind(address: SocketAddr, listener: &Listener) -> io::Result<Port> {
        let socket = crate::listen::bind_udp(address)?;
        let options = SockRef::from(&socket);
        if let Some(bytes) = listener.recv_buffer_bytes {
            options.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = listener.send_buffer_bytes {
            options.set_send_buffer_size(bytes)?;
        }
        Ok(Port {
            socket: Mutex::new(Some(socket)),
            endpoint: Mutex::new(None),
            takes: Arc::new(AtomicBool::new(false)),
        })
    }

    /// From now on clients may come.
    pub fn open(
        &self,
        threads: &Threads,
        listener: &Arc<Listener>,
        shards: &[ShardHandle],
    ) -> Result<(), String> {
        let mut endpoint = self.endpoint.lock();
        if endpoint.is_some() {
            self.takes.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let runtime = threads.0.as_ref().ok_or("the node ends")?;
        let config = config(listener, None)?;
        let socket = self.socket.lock().take().ok_or("its port is lost; start the node anew")?;
        let _context = runtime.enter();
        let transport = Arc::new(quinn::TokioRuntime);
        let made = Endpoint::new(EndpointConfig::default(), Some(config.clone()), socket, transport)
            .map_err(|why| why.to_string())?;
        *endpoint = Some(made.clone());
        self.takes.store(true, Ordering::Relaxed);
        let door = Door {
            takes: self.takes.clone(),
            base: config,
            listener: listener.clone(),
            shards: shards.to_vec(),
            handshakes: Arc::default(),
        };
        runtime.spawn(door.accept(made));
        Ok(())
    }

    /// No new clients come in.
    pub fn close(&self) {
        self.takes.store(false, Ordering::Relaxed);
    }

    /// Lets the clients that are ending end, and tells the others.
    pub async fn end(&self) {
        let Some(endpoint) = self.endpoint.lock().take() else { return };
        let ending = async {
            while endpoint.open_connections() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(LINGER, ending).await;
        endpoint.close(VarInt::from_u32(0), b"");
        let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
    }
}

/// The configuration of connections that begin now; `base` knows the tokens that clients have been given.
fn config(listener: &Listener, base: Option<&quinn::ServerConfig>) -> Result<quinn::ServerConfig, String> {
    let tls = listener.tls.as_ref().ok_or("QUIC needs TLS")?.load_full();
    // The first packets are always protected with this one, whatever is spoken afterwards [RFC 9001 §5.2].
    let first = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let first = first.tls13().and_then(|suite| suite.quic_suite()).ok_or("TLS has no suite for QUIC")?;
    let crypto = Arc::new(QuicServerConfig::with_initial(tls, first).map_err(|why| why.to_string())?);
    if let Some(base) = base {
        let mut config = base.clone();
        config.crypto = crypto;
        return Ok(config);
    }
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES_BEFORE))
        .send_window(SEND_BYTES)
        .max_idle_timeout(SILENCE_MAX.try_into().ok())
        .keep_alive_interval(Some(ALIVE_EACH));
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    config
        .transport_config(Arc::new(transport))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(HELLO_BYTES)
        .incoming_buffer_size_total(HELLO_BYTES * HANDSHAKES_MAX as u64);
    Ok(config)
}

/// Where clients of a listener come in.
struct Door {
    takes: Arc<AtomicBool>,
    base: quinn::ServerConfig,
    listener: Arc<Listener>,
    shards: Vec<ShardHandle>,
    handshakes: Arc<AtomicUsize>,
}

/// A handshake that is under way.
struct Handshake(Arc<AtomicUsize>);

impl Handshake {
    fn begin(count: &Arc<AtomicUsize>) -> Handshake {
        count.fetch_add(1, Ordering::Relaxed);
        Handshake(count.clone())
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    async fn accept(self, endpoint: Endpoint) {
        let mut shards = self.shards.iter().cycle();
        while let Some(incoming) = endpoint.accept().await {
            let (peer, second) = (incoming.remote_address(), Clock::epoch().0 / 1000);
            let handshakes = self.handshakes.load(Ordering::Relaxed);
            if !self.takes.load(Ordering::Relaxed) {
                incoming.refuse();
                continue;
            }
            if handshakes >= VALIDATE_FROM && incoming.may_retry() {
                // May it not, it has shown where it is.
                let _ = incoming.retry();
                continue;
            }
            // Who is not answered tries again: that is the backlog.
            if handshakes >= HANDSHAKES_MAX || !self.listener.may_accept(second) {
                incoming.ignore();
                continue;
            }
            if let Err(cause) = self.listener.admit(peer.ip(), second) {
                tracing::debug!(listener = %self.listener.id, %peer, cause, "a client was turned away");
                incoming.refuse();
                continue;
            }
            let begun = config(&self.listener, Some(&self.base))
                .and_then(|config| incoming.accept_with(Arc::new(config)).map_err(|why| why.to_string()));
            match (begun, shards.next()) {
                (Ok(connecting), Some(shard)) => {
                    let handshake = Handshake::begin(&self.handshakes);
                    let client = Client { listener: self.listener.clone(), shard: shard.clone(), peer };
                    tokio::spawn(client.serve(connecting, handshake));
                }
                (Err(error), _) => {
                    tracing::debug!(listener = %self.listener.id, %peer, error, "a client was refused");
                    self.listener.release("ssl_error");
                }
                (Ok(_), None) => self.listener.release("closed"),
            }
        }
    }
}

/// A client, as far as QUIC knows it.
struct Client {
    listener: Arc<Listener>,
    /// The shard that reads its CONNECT.
    shard: ShardHandle,
    peer: SocketAddr,
}

impl Client {
    async fn serve(self, connecting: Connecting, handshake: Handshake) {
        match self.greet(connecting, handshake).await {
            Ok((connection, send, recv, pipe)) => {
                carry(&connection, send, recv, &pipe).await;
                connection.close(VarInt::from_u32(0), b"");
            }
            Err(cause) => self.listener.release(cause),
        }
    }

    /// Until a shard has the client; from then on that counts it out.
    async fn greet(
        &self,
        connecting: Connecting,
        handshake: Handshake,
    ) -> Result<(Connection, SendStream, RecvStream, tokio::net::UnixStream), &'static str> {
        let late_or_wrong = |error: quinn::ConnectionError| {
            tracing::debug!(listener = %self.listener.id, peer = %self.peer, %error, "a client was refused");
            "ssl_error"
        };
        let connection = timeout(self.listener.handshake_limit, connecting)
            .await
            .map_err(|_| "ssl_upgrade_timeout")?
            .map_err(late_or_wrong)?;
        drop(handshake);
        let give_up_at = Instant::now() + self.listener.greeting_limit;
        let (send, recv) = timeout_at(give_up_at, connection.accept_bi())
            .await
            .map_err(|_| "idle_timeout")?
            .map_err(|_| "tcp_closed")?;
        let (near, far) = pipe().map_err(|error| {
            tracing::warn!(listener = %self.listener.id, %error, "cannot accept a client");
            "pipe_error"
        })?;
        let near = tokio::net::UnixStream::from_std(near).map_err(|_| "pipe_error")?;
        let socket = Socket::from(mio::net::UnixStream::from_std(far));
        self.shard.sender.send(ShardMessage::Adopt(Box::new(Adopted {
            stream: Stream::Wire(Wire::plain(socket)),
            listener: self.listener.clone(),
            peer: self.peer,
            names: self.names(&connection),
            bytes: Vec::new(),
        })));
        Ok((connection, send, recv, near))
    }

    /// What the client's certificate calls it, where that counts.
    fn names(&self, connection: &Connection) -> Option<Arc<Names>> {
        if !self.listener.identity.is_from_certificates() {
            return None;
        }
        let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        chain.first().map(|der| Arc::new(self.listener.identity.of_certificate(der)))
    }
}

/// The two ends between QUIC and a shard.
fn pipe() -> io::Result<(UnixStream, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    SockRef::from(&near).set_send_buffer_size(PIPE_BYTES_IN)?;
    SockRef::from(&far).set_send_buffer_size(PIPE_BYTES_OUT)?;
    Ok((near, far))
}

/// Carries bytes both ways until the shard has ended the connection and the client has everything, or is gone.
async fn carry(
    connection: &Connection,
    mut send: SendStream,
    mut recv: RecvStream,
    pipe: &tokio::net::UnixStream,
) {
    let in_ = async {
        // What ends the stream ends the client: the shard sees the end, and closes its side.
        let _ = take_in(&mut recv, pipe).await;
        let _ = SockRef::from(pipe).shutdown(std::net::Shutdown::Write);
        std::future::pending::<()>().await;
    };
    let out = async {
        let _ = give_out(connection, &mut send, pipe).await;
        if send.finish().is_ok() {
            let _ = timeout(LINGER, send.stopped()).await;
        }
    };
    tokio::select! {
        () = in_ => {}
        () = out => {}
    }
}

async fn take_in(recv: &mut RecvStream, pipe: &tokio::net::UnixStream) -> io::Result<()> {
    while let Some(piece) = recv.read_chunk(PIECE_BYTES, true).await? {
        let mut rest = &piece.bytes[..];
        while !rest.is_empty() {
            pipe.writable().await?;
            match pipe.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

async fn give_out(
    connection: &Connection,
    send: &mut SendStream,
    pipe: &tokio::net::UnixStream,
) -> io::Result<()> {
    let mut is_answered = false;
    loop {
        pipe.readable().await?;
        // Made for each piece: an idle client holds no buffer.
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match pipe.try_read_buf(&mut piece) {
            Ok(0) => return Ok(()),
            // Copied, as what is not acknowledged may be many pieces of a few bytes.
            Ok(_) => send.write_all(&piece).await?,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        }
        if !std::mem::replace(&mut is_answered, true) {
            connection.set_receive_window(VarInt::from_u32(WINDOW_BYTES));
        }
    }
}
