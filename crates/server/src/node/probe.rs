//! A connection that only looks: who answers there, which version, what its clock says, and whether it
//! can reach us. For `cluster doctor`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::bus::handshake::{Local, MAGIC, Peer, Purpose};
use cluster::{Cause, NodeName};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::bus::{self, BusSettings};
use super::wire::AsyncWire;
use crate::api::{Hello, HelloError, Probe};
use crate::cli::VERSION;
use crate::shard::Clock;
use crate::stream::Wire;

/// Asks for [`About`].
const WHO: u8 = b'h';
/// Asks the other side to connect to us.
const BACK: u8 = b'b';
const ANSWER_BYTES_MAX: usize = 4096;
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

#[derive(Serialize, Deserialize)]
struct About {
    version: String,
    clock_ms: u64,
    /// When the certificate that it shows ends, in milliseconds since 1970.
    #[serde(default)]
    certificate_until_ms: Option<u64>,
    /// Of the way back: what was met; none when it is open.
    trouble: Option<String>,
}

/// Tries what only a running node can try.
pub struct Prober {
    pub bus: BusSettings,
    pub local: Arc<RwLock<Option<Local>>>,
    pub clock: Arc<Clock>,
}

impl Prober {
    /// Who runs under that name, looked up anew.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn who(&self, name: NodeName) -> Result<Peer, Cause> {
        let local = self.local.read().clone().ok_or(Cause::Closed)?;
        let (peer, ..) = bus::dial(&self.bus, local, name.clone(), Purpose::Probe, &self.clock).await?;
        if peer.name == name { Ok(peer) } else { Err(Cause::NameMismatch) }
    }

    async fn ask(&self, address: SocketAddr, name: &str, question: u8) -> Result<(String, About), Cause> {
        let local = self.local.read().clone().ok_or(Cause::Closed)?;
        let name = NodeName::parse(name).map_err(|_| Cause::NameMismatch)?;
        let (peer, wire, rest) =
            bus::dial_address(&self.bus, local, name, address, Purpose::Probe, &self.clock).await?;
        let mut wire = AsyncWire::new(wire).map_err(|_| Cause::Closed)?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, async {
            write(&mut wire, &[question]).await?;
            read(&mut wire, rest).await
        });
        let answer = answer.await.map_err(|_| Cause::TimedOut)?.map_err(|_| Cause::Closed)?;
        let about = serde_json::from_slice(&answer).map_err(|_| Cause::IncompatibleVersion)?;
        Ok((peer.name.to_string(), about))
    }

    async fn explain(&self, cause: Cause, address: SocketAddr) -> HelloError {
        match cause {
            Cause::BadCookie => HelloError::Cookie,
            Cause::IncompatibleVersion => HelloError::Version(0..=0),
            Cause::NameMismatch => HelloError::Name("by another name".into()),
            Cause::BadCertificate | Cause::NotAPeer | Cause::Closed => {
                // Spoken to in the other way it may show what it is.
                let encrypted = self.bus.tls.is_some();
                let words = if encrypted { empty_hello() } else { bus::tls_hello().unwrap_or_default() };
                match bus::first_bytes(address, &words).await {
                    Some(bytes) if encrypted && bytes.starts_with(&MAGIC) => HelloError::TlsHere,
                    // A record of TLS: of a handshake, or an alert.
                    Some([0x15 | 0x16, 3, ..]) if !encrypted => HelloError::TlsThere,
                    _ if cause == Cause::BadCertificate => {
                        HelloError::Certificate("this node's, or that one's".into())
                    }
                    _ => HelloError::Stranger("something that is no node of this product".into()),
                }
            }
            _ => HelloError::Silent,
        }
    }
}

impl Probe for Prober {
    async fn hello(&self, address: SocketAddr, name: &str) -> Result<Hello, HelloError> {
        let before = Clock::epoch().0;
        let (is, about) = match self.ask(address, name, WHO).await {
            Ok(answer) => answer,
            Err(cause) => return Err(self.explain(cause, address).await),
        };
        if is != name {
            return Err(HelloError::Name(is));
        }
        let own_clock_ms = (before + Clock::epoch().0) / 2;
        Ok(Hello {
            name: is,
            version: about.version,
            clock_ms: about.clock_ms,
            own_clock_ms,
            certificate_until_ms: about.certificate_until_ms,
        })
    }

    async fn way_back(&self, address: SocketAddr, name: &str) -> Result<(), String> {
        match self.ask(address, name, BACK).await {
            Ok((_, About { trouble: None, .. })) => Ok(()),
            Ok((_, About { trouble: Some(trouble), .. })) => Err(trouble),
            Err(cause) => Err(cause.word().to_owned()),
        }
    }
}

/// The side that is looked at: answers one question.
pub(super) async fn serve(
    wire: Wire,
    rest: Vec<u8>,
    asker: NodeName,
    bus_settings: BusSettings,
    local: Local,
    clock: Arc<Clock>,
) {
    let Ok(mut wire) = AsyncWire::new(wire) else { return };
    let mut question = rest.first().copied();
    let served = tokio::time::timeout(ANSWER_LIMIT, async {
        let mut buffer = [0; 1];
        while question.is_none() {
            match wire.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => question = Some(buffer[0]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wire.ready(false).await?,
                Err(e) => return Err(e),
            }
        }
        let trouble = if question == Some(BACK) {
            let dialled = bus::dial(&bus_settings, local, asker.clone(), Purpose::Probe, &clock).await;
            match dialled {
                Ok((peer, ..)) if peer.name == asker => None,
                Ok((peer, ..)) => Some(format!("{} answers in its place", peer.name)),
                Err(cause) => Some(cause.word().to_owned()),
            }
        } else {
            None
        };
        let about = About {
            version: VERSION.into(),
            clock_ms: Clock::epoch().0,
            certificate_until_ms: bus_settings.certificate_until_ms(),
            trouble,
        };
        write(&mut wire, &serde_json::to_vec(&about).unwrap_or_default()).await
    });
    // Whoever looks has its own time limit and its own words for silence.
    let _ = served.await;
}

/// What a node that does not use TLS refuses in its own words.
fn empty_hello() -> Vec<u8> {
    [&MAGIC[..], &[0, 1, 1]].concat()
}

async fn write(wire: &mut AsyncWire, mut bytes: &[u8]) -> io::Result<()> {
    loop {
        if bytes.is_empty() {
            if wire.try_push()? {
                return Ok(());
            }
        } else {
            match wire.try_write(bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        wire.ready(true).await?;
    }
}

/// Everything until the other side ends the connection.
async fn read(wire: &mut AsyncWire, mut all: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 1024];
    loop {
        match wire.try_read(&mut buffer) {
            Ok(0) => return Ok(all),
            Ok(count) if all.len() + count <= ANSWER_BYTES_MAX => all.extend_from_slice(&buffer[..count]),
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => wire.ready(false).await?,
            Err(e) => return Err(e),
        }
    }
}
