//! What carries a test client's bytes beside plain TCP: TLS, WebSocket, both.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::{Message, WebSocket};

use crate::wire::Carrier;

/// TLS on a connection that stands.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Carrier for Tls {
    fn patience(&mut self, limit: Duration) {
        self.sock.patience(limit);
    }
}

impl Carrier for UnixStream {
    fn patience(&mut self, limit: Duration) {
        self.set_read_timeout(Some(limit)).expect("a time-out above zero");
    }
    fn send_no_more(&mut self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// What a client needs for TLS: the authority to check the server against, and, if it has one, its own certificate
/// and key. All of them PEM files.
pub fn client_config(authority: &Path, own: Option<(&Path, &Path)>) -> Arc<ClientConfig> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).expect("an authority") {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = CertificateDer::pem_file_iter(cert).expect("a file").collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_file(key).expect("a key");
            builder.with_client_auth_cert(chain.expect("PEM"), key).expect("they fit")
        }
    };
    Arc::new(config)
}

/// Shakes hands with a server that calls itself `localhost`.
pub fn tls(mut tcp: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Tls> {
    let name = "localhost".try_into().expect("a name");
    let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    tcp.set_read_timeout(Some(crate::client::LIMIT))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

/// MQTT in binary WebSocket messages, one for each write.
pub struct Web<S> {
    socket: WebSocket<S>,
    rest: Vec<u8>,
}

impl<S: Carrier> Web<S> {
    /// Asks for the upgrade on a connection that stands.
    pub fn upgrade(stream: S) -> Web<S> {
        Web::upgrade_with(stream, &[]).expect("a WebSocket")
    }

    /// The same with these headers besides; the status of a refusal.
    pub fn upgrade_with(stream: S, headers: &[(&'static str, &str)]) -> Result<Web<S>, u16> {
        let mut request = "ws://localhost/mqtt".into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().expect("a value"));
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Web { socket, rest: Vec::new() }),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(_) => panic!("neither a WebSocket nor a refusal"),
        }
    }
}

impl<S: Carrier> Read for Web<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.rest = bytes.to_vec(),
                Ok(Message::Close(_)) => return Ok(0),
                Ok(_) => {}
                Err(tungstenite::Error::Io(e)) => return Err(e),
                Err(_) => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.rest.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl<S: Carrier> Write for Web<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send(Message::Binary(bytes.to_vec().into())).map_err(io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Carrier> Carrier for Web<S> {
    fn patience(&mut self, limit: Duration) {
        self.socket.get_mut().patience(limit);
    }
}
