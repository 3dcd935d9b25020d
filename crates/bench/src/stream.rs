//! One connection's bytes as a client: TCP, TLS, WebSocket, or WebSocket over TLS. Nothing here waits.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::Uri;
use tungstenite::{Bytes, Message, WebSocket};

/// What lies between TCP and MQTT.
#[derive(Clone, Default)]
pub struct Layers {
    /// TLS with these settings.
    pub tls: Option<Arc<ClientConfig>>,
    /// WebSocket with this path.
    pub web_path: Option<String>,
}

/// The stream of one connection.
pub enum Stream {
    /// MQTT on TCP or TLS.
    Wire(Wire),
    /// MQTT in WebSocket messages.
    Web(Box<Web>),
}

impl Stream {
    /// A stream over a socket that connects to `address`.
    pub fn new(tcp: TcpStream, address: SocketAddr, layers: &Layers) -> io::Result<Stream> {
        let tls = match &layers.tls {
            None => None,
            Some(config) => {
                let name = rustls::pki_types::ServerName::from(address.ip());
                Some(Box::new(ClientConnection::new(config.clone(), name).map_err(io::Error::other)?))
            }
        };
        let wire = Wire { tcp, tls };
        match &layers.web_path {
            None => Ok(Stream::Wire(wire)),
            Some(path) => Ok(Stream::Web(Box::new(Web::new(wire, address, path)?))),
        }
    }

    /// The socket, while there is one: a WebSocket that was refused has none.
    pub fn tcp(&mut self) -> Option<&mut TcpStream> {
        match self {
            Stream::Wire(wire) => Some(&mut wire.tcp),
            Stream::Web(web) => match &mut web.state {
                State::Greeting(Some(greeting)) => Some(&mut greeting.get_mut().get_mut().tcp),
                State::Greeting(None) => None,
                State::Open(socket) => Some(&mut socket.get_mut().tcp),
            },
        }
    }

    /// Whether bytes may wait above the socket, of which a poll says nothing.
    pub fn may_hold_more(&self) -> bool {
        match self {
            Stream::Wire(wire) => wire.tls.is_some(),
            Stream::Web(_) => true,
        }
    }

    /// Reads what has come; 0 is the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Wire(wire) => wire.read(buffer),
            Stream::Web(web) => web.read(buffer),
        }
    }

    /// Takes as much of `bytes` as goes now.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Wire(wire) => wire.write(bytes),
            Stream::Web(web) => web.write(bytes),
        }
    }

    /// Pushes out what the layers hold; `true` when that is nothing any more.
    pub fn push(&mut self) -> io::Result<bool> {
        match self {
            Stream::Wire(wire) => wire.push(),
            Stream::Web(web) => web.push(),
        }
    }
}

/// TCP, with or without TLS.
pub struct Wire {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Wire {
    fn push(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            }
            if tls.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            while tls.wants_write() {
                match tls.write_tls(&mut self.tcp) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match &mut self.tls {
            None => return self.tcp.write(bytes),
            Some(tls) => tls.writer().write(bytes)?,
        };
        self.push()?;
        // A full buffer that waits for the handshake or the socket.
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.push()? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

/// MQTT over WebSocket [MQTT-6.0.0-1..4].
pub struct Web {
    state: State,
    /// The rest of a message that did not fit the last read.
    rest: Bytes,
}

enum State {
    Greeting(Option<MidHandshake<ClientHandshake<Wire>>>),
    Open(WebSocket<Wire>),
}

impl Web {
    fn new(wire: Wire, address: SocketAddr, path: &str) -> io::Result<Web> {
        let scheme = if wire.tls.is_some() { "wss" } else { "ws" };
        let uri: Uri = format!("{scheme}://{address}{path}").parse().map_err(io::Error::other)?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt").into_client_request();
        let request = request.map_err(into_io)?;
        let greeting = ClientHandshake::start(wire, request, None).map_err(into_io)?;
        Ok(Web { state: State::Greeting(Some(greeting)), rest: Bytes::new() })
    }

    fn socket(&mut self) -> io::Result<&mut WebSocket<Wire>> {
        if let State::Greeting(greeting) = &mut self.state {
            let Some(mid) = greeting.take() else { return Err(io::ErrorKind::NotConnected.into()) };
            match mid.handshake() {
                Ok((socket, _)) => self.state = State::Open(socket),
                Err(HandshakeError::Interrupted(mid)) => {
                    *greeting = Some(mid);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(HandshakeError::Failure(cause)) => return Err(into_io(cause)),
            }
        }
        match &mut self.state {
            State::Open(socket) => Ok(socket),
            State::Greeting(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.socket()?.read() {
                Ok(Message::Binary(bytes)) => self.rest = bytes,
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(0),
                Ok(Message::Text(_)) => return Err(io::ErrorKind::InvalidData.into()),
                Ok(_) => {}
                Err(e) => return Err(into_io(e)),
            }
        }
        let taken = self.rest.split_to(self.rest.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket()?;
        socket.flush().map_err(into_io)?;
        match socket.write(Message::Binary(bytes.to_vec().into())).map_err(into_io) {
            Ok(()) => {}
            // The message has been taken; `push` sends the rest of it.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        Ok(bytes.len())
    }

    fn push(&mut self) -> io::Result<bool> {
        match self.socket() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
            Ok(socket) => match socket.flush().map_err(into_io) {
                Ok(()) => socket.get_mut().push(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(e) => Err(e),
            },
        }
    }
}

fn into_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(e) => e,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
