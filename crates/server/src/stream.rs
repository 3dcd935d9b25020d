//! One client's byte stream, whatever carries it: a TCP or Unix socket, TLS, WebSocket or WebSocket over TLS. All of
//! them are driven by hand on a non-blocking socket, so a stream can move from one thread to another
//! and an idle one owns no buffer of ours. This room moves bytes; it knows nothing of MQTT packets.

use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use tungstenite::handshake::server::{ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::{HeaderValue, StatusCode};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, Message, WebSocket};

use crate::proxy;
use crate::socket::Socket;

/// Bytes that a WebSocket reads at a time; each open WebSocket holds a buffer of this size.
const WEB_READ_BYTES: usize = 2048;

/// A non-blocking byte stream from a client. Every method answers `WouldBlock` instead of waiting.
pub enum Stream {
    /// A load balancer has yet to say whose stream it is. Reads nothing and writes nothing until [`Stream::announced`].
    Announced(Box<Announced>),
    /// MQTT directly on TCP or TLS.
    Wire(Wire),
    /// MQTT in binary WebSocket messages.
    Web(Box<Web>),
}

/// What lies between the socket and MQTT.
#[derive(Clone, Default)]
pub struct Layers {
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub web: Option<Arc<WebRules>>,
}

/// A stream whose PROXY header has not come whole.
pub struct Announced {
    socket: Option<Socket>,
    header: proxy::Header,
    layers: Layers,
}

impl Stream {
    /// A client's stream on its socket.
    pub fn new(socket: Socket, layers: Layers) -> Result<Stream, rustls::Error> {
        let wire = match layers.tls {
            None => Wire::plain(socket),
            Some(config) => Wire::tls_server(socket, config)?,
        };
        Ok(match layers.web {
            None => Stream::Wire(wire),
            Some(rules) => Stream::Web(Box::new(Web::new(wire, rules))),
        })
    }

    /// The same where a PROXY header comes first.
    pub fn behind_proxy(socket: Socket, layers: Layers) -> Stream {
        let header = proxy::Header::default();
        Stream::Announced(Box::new(Announced { socket: Some(socket), header, layers }))
    }

    /// Reads the PROXY header on. `WouldBlock` until it has come whole; from then on the stream is one like others.
    /// `None`: it is already, or never had a header.
    pub fn announced(&mut self) -> io::Result<Option<proxy::Announced>> {
        let Stream::Announced(waiting) = self else { return Ok(None) };
        let Some(socket) = &mut waiting.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let announced = waiting.header.read(socket)?;
        if let Some(socket) = waiting.socket.take() {
            *self = Stream::new(socket, std::mem::take(&mut waiting.layers))
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        }
        Ok(Some(announced))
    }

    /// The client's certificate, DER, once the TLS handshake is through; `None` where it has shown none.
    pub fn peer_certificate(&mut self) -> Option<&[u8]> {
        let tls = self.wire()?.tls.as_ref()?;
        tls.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// Where a proxy has said that the client is, once the upgrade request has come. Says it once.
    pub fn forwarded(&mut self) -> Option<Forwarded> {
        let Stream::Web(web) = self else { return None };
        matches!(web.state, WebState::Open(_)).then(|| web.forwarded.take())??.get().copied()
    }

    /// Whether the TLS handshake is still to be done.
    pub fn is_handshaking(&mut self) -> bool {
        self.wire().and_then(|wire| wire.tls.as_ref()).is_some_and(|tls| tls.is_handshaking())
    }

    /// The socket below, for registering with a poll; `None` once a WebSocket upgrade has failed.
    pub fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Stream::Announced(waiting) => waiting.socket.as_mut(),
            _ => self.wire().map(|wire| &mut wire.socket),
        }
    }

    fn wire(&mut self) -> Option<&mut Wire> {
        match self {
            Stream::Announced(_) => None,
            Stream::Wire(wire) => Some(wire),
            Stream::Web(web) => web.wire(),
        }
    }

    /// Reads what has come, up to the size of `buffer`. 0 means that the client ended the stream.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Announced(_) => Err(io::ErrorKind::WouldBlock.into()),
            Stream::Wire(wire) => wire.read(buffer),
            Stream::Web(web) => web.read(buffer),
        }
    }

    /// Whether bytes may be waiting above the socket, which a poll of the socket does not announce.
    pub fn may_hold_more(&self) -> bool {
        match self {
            Stream::Announced(_) => false,
            Stream::Wire(wire) => wire.tls.is_some(),
            Stream::Web(_) => true,
        }
    }

    /// Writes as much of the pieces as the stream takes now and says how many bytes that were.
    pub fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Announced(_) => Err(io::ErrorKind::WouldBlock.into()),
            Stream::Wire(wire) => wire.write_vectored(pieces),
            Stream::Web(web) => web.write(pieces),
        }
    }

    /// Pushes out what the layers between still hold. `true`: nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        match self {
            Stream::Announced(_) => Ok(true),
            Stream::Wire(wire) => wire.push(),
            Stream::Web(web) => web.push(),
        }
    }

    /// Says good-bye in the language of the layers between (TLS close_notify, WebSocket close).
    /// The socket itself ends when the stream is dropped.
    pub fn finish(&mut self) {
        if let Stream::Web(web) = self {
            web.finish();
        }
        let Some(wire) = self.wire() else { return };
        if let Some(tls) = &mut wire.tls {
            tls.send_close_notify();
            let _ = wire.push();
        }
        let _ = wire.socket.shutdown(std::net::Shutdown::Write);
    }
}

/// A socket, with or without TLS on it.
pub struct Wire {
    socket: Socket,
    tls: Option<Box<Connection>>,
}

impl Wire {
    /// Without TLS.
    pub fn plain(socket: impl Into<Socket>) -> Wire {
        Wire { socket: socket.into(), tls: None }
    }

    /// TLS as a server. The handshake happens inside the first reads and writes.
    pub fn tls_server(
        socket: impl Into<Socket>,
        config: Arc<rustls::ServerConfig>,
    ) -> Result<Wire, rustls::Error> {
        Ok(Wire::tls(socket.into(), ServerConnection::new(config)?.into()))
    }

    /// TLS as a client that expects the other side to be `name`.
    pub fn tls_client(
        socket: impl Into<Socket>,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Wire, rustls::Error> {
        Ok(Wire::tls(socket.into(), ClientConnection::new(config, name)?.into()))
    }

    fn tls(socket: Socket, mut tls: Connection) -> Wire {
        // What is written in plain text before the socket takes the cipher text is bounded here; the
        // rest stays with the connection, whose own limit counts.
        tls.set_buffer_limit(Some(64 << 10));
        Wire { socket, tls: Some(Box::new(tls)) }
    }

    /// The socket below.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Whether bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Keying material that only the two ends of this TLS connection have (RFC 8446 §7.5); `None` without TLS,
    /// and before its handshake is through.
    pub fn keying_material(&self) -> Option<[u8; 32]> {
        let tls = self.tls.as_ref()?;
        tls.export_keying_material([0; 32], b"EXPORTER-flockmq-bus", None).ok()
    }

    /// Pushes out what TLS still holds. `true`: nothing is left.
    pub fn push(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

impl AsRawFd for Wire {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return retry(|| self.socket.read(buffer)) };
        loop {
            match tls.reader().read(buffer) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // A client that drops the TCP connection without close_notify has ended the stream
                // all the same: MQTT has its own framing, so nothing can be cut unseen.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(e) => return Err(e),
            }
            if retry(|| tls.read_tls(&mut self.socket))? == 0 {
                return Ok(0);
            }
            let outcome = tls.process_new_packets();
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
            outcome.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return retry(|| self.socket.write_vectored(pieces)) };
        let taken = tls.writer().write_vectored(pieces)?;
        self.push()?;
        if taken == 0 && pieces.iter().any(|p| !p.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.push()? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

/// Does it again where a signal came between.
pub(crate) fn retry(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// What a WebSocket listener asks of its clients (`listener.ws.NAME.*`).
#[derive(Clone, Debug)]
pub struct WebRules {
    /// The path of the upgrade request, `/mqtt`.
    pub path: String,
    /// Subprotocols that are offered, the preferred one first.
    pub subprotocols: Vec<String>,
    /// Whether a client that names no subprotocol is refused.
    pub subprotocol_required: bool,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
    /// Which web pages may connect; `None`: all.
    pub origins: Option<Origins>,
    /// The headers in which a proxy names the client's address and port; empty: none is read.
    pub address_header: String,
    pub port_header: String,
}

/// Which web pages may connect.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub allowed: Vec<String>,
    /// Whether a client that names no origin may, as programs do that are no browser.
    pub absence: bool,
}

/// Where a proxy says that the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
}

/// MQTT over WebSocket [MQTT-6.0.0-1..4].
pub struct Web {
    state: WebState,
    /// The rest of a message that did not fit the last read.
    rest: Bytes,
    /// What the upgrade request says of the client, until somebody asks.
    forwarded: Option<Arc<OnceLock<Forwarded>>>,
}

enum WebState {
    Greeting(Option<MidHandshake<ServerHandshake<Wire, Upgrade>>>),
    Open(WebSocket<Wire>),
}

/// Checks the upgrade request against the listener's rules.
struct Upgrade {
    rules: Arc<WebRules>,
    forwarded: Arc<OnceLock<Forwarded>>,
}

impl tungstenite::handshake::server::Callback for Upgrade {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let rules = self.rules;
        if request.uri().path() != rules.path {
            return Err(refusal(StatusCode::NOT_FOUND));
        }
        if !rules.origins.as_ref().is_none_or(|origins| origins.allow(request)) {
            return Err(refusal(StatusCode::FORBIDDEN));
        }
        let forwarded = Forwarded {
            address: first_word(request, &rules.address_header),
            port: first_word(request, &rules.port_header),
        };
        if forwarded != Forwarded::default() {
            let _ = self.forwarded.set(forwarded);
        }
        let offered: Vec<&str> = request
            .headers()
            .get_all("sec-websocket-protocol")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let chosen = rules.subprotocols.iter().find(|known| offered.contains(&known.as_str()));
        match chosen {
            Some(word) => {
                if let Ok(value) = HeaderValue::from_str(word) {
                    response.headers_mut().insert("sec-websocket-protocol", value);
                }
                Ok(response)
            }
            None if rules.subprotocol_required || !offered.is_empty() => {
                Err(refusal(StatusCode::BAD_REQUEST))
            }
            None => Ok(response),
        }
    }
}

impl Origins {
    fn allow(&self, request: &Request) -> bool {
        match request.headers().get("origin") {
            None => self.absence,
            Some(origin) => self.allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()),
        }
    }
}

/// The first element of a header that is a list: each proxy on the way adds behind what the one before has said.
fn first_word<T: std::str::FromStr>(request: &Request, header: &str) -> Option<T> {
    let value = request.headers().get(header)?.to_str().ok()?;
    value.split([',', ' ']).find(|word| !word.is_empty())?.parse().ok()
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response
}

impl Web {
    /// Starts the server's side of the upgrade on `wire`.
    pub fn new(wire: Wire, rules: Arc<WebRules>) -> Web {
        let config = WebSocketConfig::default()
            .read_buffer_size(WEB_READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(rules.message_bytes_max))
            .max_frame_size(Some(rules.message_bytes_max));
        let forwarded = Arc::new(OnceLock::new());
        let upgrade = Upgrade { rules, forwarded: forwarded.clone() };
        let greeting = ServerHandshake::start(wire, upgrade, Some(config));
        Web { state: WebState::Greeting(Some(greeting)), rest: Bytes::new(), forwarded: Some(forwarded) }
    }

    fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.state {
            WebState::Greeting(Some(greeting)) => Some(greeting.get_mut().get_mut()),
            WebState::Greeting(None) => None,
            WebState::Open(socket) => Some(socket.get_mut()),
        }
    }

    fn greet(&mut self) -> io::Result<()> {
        let WebState::Greeting(greeting) = &mut self.state else { return Ok(()) };
        let Some(mid) = greeting.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        match mid.handshake() {
            Ok(socket) => {
                self.state = WebState::Open(socket);
                Ok(())
            }
            Err(HandshakeError::Interrupted(mid)) => {
                *greeting = Some(mid);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(HandshakeError::Failure(cause)) => Err(io::Error::new(io::ErrorKind::InvalidData, cause)),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.greet()?;
        let WebState::Open(socket) = &mut self.state else { return Err(io::ErrorKind::NotConnected.into()) };
        while self.rest.is_empty() {
            match socket.read().map_err(into_io) {
                Ok(Message::Binary(bytes)) => self.rest = bytes,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) => return Ok(0),
                // MQTT travels in binary frames only [MQTT-6.0.0-1].
                Ok(Message::Text(_)) => return Err(io::ErrorKind::InvalidData.into()),
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => return Ok(0),
                Err(e) => return Err(e),
            }
        }
        let taken = self.rest.split_to(self.rest.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }

    /// All pieces become one binary message: a batch of packets in one frame.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let WebState::Open(socket) = &mut self.state else { return Err(io::ErrorKind::WouldBlock.into()) };
        match socket.flush().map_err(into_io) {
            Ok(()) => {}
            Err(e) => return Err(e),
        }
        let mut message = Vec::with_capacity(pieces.iter().map(|p| p.len()).sum());
        for piece in pieces {
            message.extend_from_slice(piece);
        }
        let bytes = message.len();
        match socket.write(Message::Binary(message.into())).map_err(into_io) {
            Ok(()) => Ok(bytes),
            // The message has been taken into the socket's own buffer; `push` sends the rest.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(bytes),
            Err(e) => Err(e),
        }
    }

    fn push(&mut self) -> io::Result<bool> {
        let WebState::Open(socket) = &mut self.state else { return Ok(true) };
        match socket.flush().map_err(into_io) {
            Ok(()) => socket.get_mut().push(),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn finish(&mut self) {
        if let WebState::Open(socket) = &mut self.state {
            let _ = socket.close(None);
            let _ = socket.flush();
        }
    }
}

fn into_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(e) => e,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            io::ErrorKind::ConnectionAborted.into()
        }
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
