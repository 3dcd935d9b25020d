//! epmd mode: a node's port between nodes is not told by its name but by the port mapper of its host, the Erlang
//! daemon epmd on TCP 4369. Here is what a node asks of it: to keep its own name and port, and for those of a peer.
//! Where none runs, [`daemon`] stands in for it.
//!
//! The protocol is the one of the Erlang manual, "Distribution Protocol", EPMD.

pub mod daemon;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Where epmd listens, unless `ERL_EPMD_PORT` says otherwise.
pub const PORT: u16 = 4369;

const ALIVE2: u8 = 120;
const ALIVE2_ANSWER: u8 = 121;
const ALIVE2_LONG_ANSWER: u8 = 118;
const PORT_PLEASE2: u8 = 122;
const PORT2: u8 = 119;
const NAMES: u8 = 110;

/// A normal Erlang node that speaks versions 5 to 6 over TCP on IPv4: what `epmd -names` expects to list.
const NODE: [u8; 6] = [77, 0, 0, 6, 0, 5];

/// How long epmd may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// The pause before the name is registered anew after epmd has gone.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why a name was not registered.
#[derive(Debug)]
pub enum Refused {
    /// There is no epmd, or it does not answer.
    NoEpmd(io::Error),
    /// Another node of this host has the name.
    Taken,
}

/// The port of the node of that short name at a host, `None` when its epmd knows none.
///
/// # Errors
/// No epmd there, no answer within a second, or something that is no epmd.
pub async fn lookup(host: IpAddr, epmd: u16, name: &str) -> io::Result<Option<u16>> {
    let ask = async {
        let mut stream = TcpStream::connect((host, epmd)).await?;
        stream.write_all(&request(PORT_PLEASE2, &[name.as_bytes()])?).await?;
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        match head {
            [PORT2, 0] => Ok(Some(stream.read_u16().await?)),
            [PORT2, _] => Ok(None),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    };
    timeout(ANSWER_LIMIT, ask).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A node's name at the epmd of its host, kept for as long as [`Registration::keep`] is polled.
pub struct Registration {
    name: String,
    port: u16,
    epmd: u16,
    ipv6: bool,
    stream: TcpStream,
}

impl Registration {
    /// Registers a name and a port. Where no epmd runs, one is started within this process.
    ///
    /// # Errors
    /// As [`Refused`].
    pub async fn new(name: &str, port: u16, epmd: u16, ipv6: bool) -> Result<Registration, Refused> {
        let stream = register_somewhere(name, port, epmd, ipv6).await?;
        Ok(Registration { name: name.into(), port, epmd, ipv6, stream })
    }

    /// Registers the name anew whenever epmd has gone, for ever.
    pub async fn keep(mut self) {
        loop {
            // epmd says nothing more: what can be read is its end.
            let mut byte = [0];
            while matches!(self.stream.read(&mut byte).await, Ok(count) if count > 0) {}
            tracing::warn!(port = self.epmd, "epmd has gone; the name of this node is registered anew");
            let mut told = false;
            loop {
                match register_somewhere(&self.name, self.port, self.epmd, self.ipv6).await {
                    Ok(stream) => {
                        self.stream = stream;
                        tracing::warn!(name = %self.name, port = self.port, "the name is registered with epmd again");
                        break;
                    }
                    Err(why) => {
                        if !std::mem::replace(&mut told, true) {
                            tracing::error!(name = %self.name, ?why, "the name cannot be registered with epmd: peers do not find this node");
                        }
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
            }
        }
    }
}

async fn register_somewhere(name: &str, port: u16, epmd: u16, ipv6: bool) -> Result<TcpStream, Refused> {
    match register(name, port, epmd, ipv6).await {
        Err(Refused::NoEpmd(why)) if why.kind() == io::ErrorKind::ConnectionRefused => {
            match daemon::start(epmd, ipv6).await {
                Ok(()) => {
                    tracing::info!(port = epmd, "no epmd runs on this host: this node stands in for it")
                }
                // Another node was faster.
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                Err(e) => return Err(Refused::NoEpmd(e)),
            }
            register(name, port, epmd, ipv6).await
        }
        other => other,
    }
}

async fn register(name: &str, port: u16, epmd: u16, ipv6: bool) -> Result<TcpStream, Refused> {
    let host: IpAddr = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    let ask = async {
        let mut stream = TcpStream::connect((host, epmd)).await?;
        let length = u16::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let parts = [&port.to_be_bytes()[..], &NODE, &length.to_be_bytes(), name.as_bytes(), &[0, 0]];
        stream.write_all(&request(ALIVE2, &parts)?).await?;
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        let creation_bytes = match head[0] {
            ALIVE2_ANSWER => 2,
            ALIVE2_LONG_ANSWER => 4,
            _ => return Err(io::Error::from(io::ErrorKind::InvalidData)),
        };
        stream.read_exact(&mut [0; 4][..creation_bytes]).await?;
        Ok((head[1] == 0).then_some(stream))
    };
    match timeout(ANSWER_LIMIT, ask).await {
        Ok(Ok(Some(stream))) => Ok(stream),
        Ok(Ok(None)) => Err(Refused::Taken),
        Ok(Err(why)) => Err(Refused::NoEpmd(why)),
        Err(_) => Err(Refused::NoEpmd(io::ErrorKind::TimedOut.into())),
    }
}

fn request(kind: u8, parts: &[&[u8]]) -> io::Result<Vec<u8>> {
    let body = parts.concat();
    let length = u16::try_from(body.len() + 1).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok([&length.to_be_bytes()[..], &[kind], &body].concat())
}
