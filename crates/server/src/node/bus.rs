//! Connections between nodes: dialled, accepted, proven, and handed to whoever owns the lane.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::bus::handshake::{Handshake, Local, Peer, Progress, Purpose};
use cluster::{Cause, DialId, LinkId, NodeId, NodeName};
use parking_lot::RwLock;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::ControlMessage;
use super::wire::AsyncWire;
use crate::discover::Board;
use crate::inbox::Sender;
use crate::settings::ssl_dist;
use crate::shard::{Clock, LaneOut};
use crate::stream::Wire;
use crate::tls::{self, TlsFiles};

/// Handshakes that strangers may have under way at a time.
const HANDSHAKES_MAX: usize = 256;
/// How long a connection may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a link that is closed may take for its last bytes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How nodes reach one another.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// IPv6 alone.
    pub ipv6: bool,
    /// Where epmd listens on every host, in epmd mode; without, the number in a node's name tells its port.
    pub epmd: Option<u16>,
    /// The file of certificates where the wire is encrypted, and what its relative paths begin at.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The cookie, and behind it those that peers may show.
    pub cookies: Vec<Vec<u8>>,
}

impl BusSettings {
    /// TLS for dialling. The files are read anew each time, so that new certificates need no restart.
    fn client(&self) -> Result<Option<Arc<rustls::ClientConfig>>, String> {
        let Some((path, root)) = &self.tls else { return Ok(None) };
        let side = ssl_dist::read(path, root)?.client;
        tls::client(&files(&side)).map(Some).map_err(|e| e.to_string())
    }

    /// TLS for accepting.
    fn server(&self) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
        let Some((path, root)) = &self.tls else { return Ok(None) };
        let side = ssl_dist::read(path, root)?.server;
        tls::server(&files(&side)).map(Some).map_err(|e| e.to_string())
    }

    /// When the certificate that this node shows to who connects ends, in milliseconds since 1970.
    pub fn certificate_until_ms(&self) -> Option<u64> {
        let (path, root) = self.tls.as_ref()?;
        crate::certs::valid_until_ms(&ssl_dist::read(path, root).ok()?.server.certfile?)
    }

    /// Whether the files are usable; what is wrong with them otherwise.
    pub fn check(&self) -> Result<(), String> {
        self.client()?;
        self.server()?;
        Ok(())
    }
}

fn files(side: &ssl_dist::DistSide) -> TlsFiles {
    TlsFiles {
        certfile: side.certfile.clone().unwrap_or_default(),
        keyfile: side.keyfile.clone().unwrap_or_default(),
        cacertfile: side.cacertfile.clone(),
        verify_peer: side.verify_peer,
        peer_required: side.fail_if_no_peer_cert,
        versions: Vec::new(),
    }
}

/// Dials a node and proves who we are.
pub async fn dial(
    settings: &BusSettings,
    local: Local,
    name: NodeName,
    purpose: Purpose,
    clock: &Clock,
) -> Result<(Peer, Wire, Vec<u8>), Cause> {
    let mut tcp = Err(Cause::TimedOut);
    for ip in resolve(name.host(), settings.ipv6).await? {
        tcp = match port(settings, ip, &name).await {
            Ok(port) => connect(SocketAddr::new(ip, port)).await,
            Err(cause) => Err(cause),
        };
        if tcp.is_ok() {
            break;
        }
    }
    greet(settings, local, name, tcp?, purpose, clock).await
}

/// Dials a node at an address that is known already.
pub async fn dial_address(
    settings: &BusSettings,
    local: Local,
    name: NodeName,
    address: SocketAddr,
    purpose: Purpose,
    clock: &Clock,
) -> Result<(Peer, Wire, Vec<u8>), Cause> {
    let tcp = connect(address).await?;
    greet(settings, local, name, tcp, purpose, clock).await
}

async fn greet(
    settings: &BusSettings,
    local: Local,
    name: NodeName,
    tcp: mio::net::TcpStream,
    purpose: Purpose,
    clock: &Clock,
) -> Result<(Peer, Wire, Vec<u8>), Cause> {
    let wire = encrypt(settings, tcp, &name)?;
    let mut out = Vec::new();
    let handshake =
        Handshake::dial(local, name, purpose, crate::chance::bytes(), clock.cluster_now(), &mut out);
    shake(wire, handshake, out).await
}

/// Where that node waits for peers.
async fn port(settings: &BusSettings, host: IpAddr, name: &NodeName) -> Result<u16, Cause> {
    let Some(epmd) = settings.epmd else { return Ok(cluster::port_of(name.short())) };
    match crate::epmd::lookup(host, epmd, name.short()).await {
        Ok(Some(port)) => Ok(port),
        Ok(None) => Err(Cause::NodeDown),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Err(Cause::NodeDown),
        Err(_) => Err(Cause::TimedOut),
    }
}

async fn resolve(host: &str, ipv6: bool) -> Result<Vec<IpAddr>, Cause> {
    let found = tokio::time::timeout(CONNECT_LIMIT, tokio::net::lookup_host((host, 0))).await;
    let found: Vec<IpAddr> = match found {
        Ok(Ok(addresses)) => addresses.map(|a| a.ip()).filter(|ip| ip.is_ipv6() == ipv6).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    if found.is_empty() { Err(Cause::TimedOut) } else { Ok(found) }
}

async fn connect(address: SocketAddr) -> Result<mio::net::TcpStream, Cause> {
    let connecting = tokio::time::timeout(CONNECT_LIMIT, tokio::net::TcpStream::connect(address));
    let tcp = match connecting.await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => return Err(Cause::NodeDown),
        Ok(Err(_)) | Err(_) => return Err(Cause::TimedOut),
    };
    prompt(&tcp);
    tcp.into_std().map(mio::net::TcpStream::from_std).map_err(|_| Cause::Closed)
}

/// Small words leave at once, and lost ones are repeated steadily: doubled pauses, right for bulk, would make a link
/// that loses a third of its packets silent for so long that its node is taken for dead.
fn prompt(tcp: &tokio::net::TcpStream) {
    let socket = socket2::SockRef::from(tcp);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_thin_linear_timeouts(true);
}

fn encrypt(settings: &BusSettings, tcp: mio::net::TcpStream, name: &NodeName) -> Result<Wire, Cause> {
    let config = settings.client().map_err(|error| {
        tracing::error!(%error, "TLS between nodes cannot be used");
        Cause::BadCertificate
    })?;
    let Some(config) = config else { return Ok(Wire::plain(tcp)) };
    let server = ServerName::try_from(name.host().to_owned()).map_err(|_| Cause::BadCertificate)?;
    Wire::tls_client(tcp, config, server).map_err(|_| Cause::BadCertificate)
}

/// What answers at an address when spoken to with these bytes: the first that come; `None` when nothing does.
pub async fn first_bytes(address: SocketAddr, words: &[u8]) -> Option<[u8; 8]> {
    let asking = async {
        let mut tcp = tokio::net::TcpStream::connect(address).await.ok()?;
        tcp.write_all(words).await.ok()?;
        let mut answer = [0; 8];
        let mut length = 0;
        while length < answer.len() {
            match tcp.read(&mut answer[length..]).await {
                Ok(0) | Err(_) => break,
                Ok(count) => length += count,
            }
        }
        (length > 0).then_some(answer)
    };
    tokio::time::timeout(Duration::from_secs(1), asking).await.ok()?
}

/// How a client of TLS begins.
pub fn tls_hello() -> Option<Vec<u8>> {
    let nobody = rustls::RootCertStore::empty();
    let config = rustls::ClientConfig::builder().with_root_certificates(nobody).with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut hello = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    Some(hello)
}

/// Accepts peers for ever.
pub async fn accept(
    listener: tokio::net::TcpListener,
    settings: BusSettings,
    local: impl Fn() -> Local + Clone + 'static,
    clock: Arc<Clock>,
    sender: Sender<ControlMessage>,
    board: Arc<Board>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (settings, local, clock, sender, board) =
            (settings.clone(), local.clone(), clock.clone(), sender.clone(), board.clone());
        tokio::task::spawn_local(async move {
            let _place = place;
            if let Some(message) = take_in(tcp, &settings, local(), clock, &board).await {
                sender.send(message);
            }
        });
    }
}

async fn take_in(
    tcp: tokio::net::TcpStream,
    settings: &BusSettings,
    local: Local,
    clock: Arc<Clock>,
    board: &Board,
) -> Option<ControlMessage> {
    let from = tcp.peer_addr().ok();
    prompt(&tcp);
    let tcp = mio::net::TcpStream::from_std(tcp.into_std().ok()?);
    let wire = match settings.server() {
        Ok(None) => Wire::plain(tcp),
        Ok(Some(config)) => Wire::tls_server(tcp, config).ok()?,
        Err(error) => {
            tracing::error!(%error, "TLS between nodes cannot be used");
            return None;
        }
    };
    let own = local.id;
    let handshake = Handshake::accept(local.clone(), crate::chance::bytes(), clock.cluster_now());
    match shake(wire, handshake, Vec::new()).await {
        Ok((peer, wire, rest)) => match peer.purpose {
            Purpose::Control => Some(ControlMessage::LinkUp {
                dial: None,
                own,
                peer: Box::new(peer),
                wire: Box::new(wire),
                rest,
            }),
            Purpose::Data(lane) => {
                Some(ControlMessage::LaneIn { own, peer: Box::new(peer), lane, wire: Box::new(wire), rest })
            }
            Purpose::Probe => {
                // A node of an older cluster looks for others: ours may want to join it, and need not wait
                // for its own next round.
                if peer.cluster < local.cluster {
                    board.wake();
                }
                super::probe::serve(wire, rest, peer.name, settings.clone(), local, clock).await;
                None
            }
        },
        Err(cause) => {
            tracing::info!(?from, %cause, "a connection to the cluster port was refused");
            None
        }
    }
}

/// Drives a handshake to its end, or until its time is over.
async fn shake(
    wire: Wire,
    mut handshake: Handshake,
    mut out: Vec<u8>,
) -> Result<(Peer, Wire, Vec<u8>), Cause> {
    let limit = Duration::from_millis(cluster::bus::handshake::TIME_LIMIT);
    let shaking = async {
        let encrypted = wire.is_tls();
        let broken = |e: io::Error| {
            if encrypted && e.kind() == io::ErrorKind::InvalidData {
                Cause::BadCertificate
            } else {
                Cause::Closed
            }
        };
        let mut wire = AsyncWire::new(wire).map_err(|_| Cause::Closed)?;
        let mut buffer = [0; 4096];
        let mut end = None;
        loop {
            while !out.is_empty() {
                match wire.try_write(&out) {
                    Ok(count) => drop(out.drain(..count)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(broken(e)),
                }
            }
            let pushed = wire.try_push().map_err(broken)?;
            if out.is_empty()
                && pushed
                && let Some(end) = end.take()
            {
                return match end {
                    Ok((peer, rest)) => Ok((peer, wire.into_wire(), rest)),
                    Err(cause) => Err(cause),
                };
            }
            if end.is_none() {
                match wire.try_read(&mut buffer) {
                    Ok(0) => return Err(Cause::Closed),
                    Ok(count) => {
                        // The first bytes come when TLS itself is through.
                        if let Some(material) = wire.keying_material() {
                            handshake.bind(&material);
                        } else if encrypted {
                            return Err(Cause::BadCertificate);
                        }
                        match handshake.receive(&buffer[..count], &mut out) {
                            Progress::More => {}
                            Progress::Done { peer, used } => {
                                end = Some(Ok((peer, buffer[used..count].to_vec())))
                            }
                            Progress::Close(cause) => end = Some(Err(cause)),
                        }
                        continue;
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(broken(e)),
                }
            }
            wire.ready(!out.is_empty() || !pushed).await.map_err(|_| Cause::Closed)?;
        }
    };
    tokio::time::timeout(limit, shaking).await.unwrap_or(Err(Cause::TimedOut))
}

/// What a link's task is told.
pub enum LinkWord {
    /// Write this.
    Send(Vec<u8>),
    /// Write what is left, then end.
    Close,
}

/// Carries a control connection until it ends.
pub async fn carry(
    link: LinkId,
    mut wire: AsyncWire,
    mut words: mpsc::UnboundedReceiver<LinkWord>,
    sender: Sender<ControlMessage>,
) {
    let mut out: Vec<u8> = Vec::new();
    let mut written = 0;
    let mut closing = false;
    let mut buffer = vec![0; 64 << 10];
    let outcome: io::Result<()> = async {
        loop {
            while let Ok(word) = words.try_recv() {
                match word {
                    LinkWord::Send(bytes) => out.extend_from_slice(&bytes),
                    LinkWord::Close => closing = true,
                }
            }
            let mut blocked = false;
            while written < out.len() {
                match wire.try_write(&out[written..]) {
                    Ok(count) => written += count,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        blocked = true;
                        break;
                    }
                    Err(e) => return Err(e),
                }
            }
            blocked |= !wire.try_push()?;
            if written == out.len() {
                out.clear();
                written = 0;
                out.shrink_to(64 << 10);
                if closing && !blocked {
                    return Ok(());
                }
            }
            loop {
                match wire.try_read(&mut buffer) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => {
                        sender.send(ControlMessage::LinkBytes { link, bytes: buffer[..count].to_vec() });
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
            if closing {
                tokio::time::timeout(LAST_WORDS, wire.ready(blocked)).await.map_err(io::Error::other)??;
                continue;
            }
            tokio::select! {
                word = words.recv() => match word {
                    Some(LinkWord::Send(bytes)) => out.extend_from_slice(&bytes),
                    Some(LinkWord::Close) | None => closing = true,
                },
                ready = wire.ready(blocked) => ready?,
            }
        }
    }
    .await;
    if !closing {
        if let Err(error) = outcome {
            tracing::debug!(%error, "a link between nodes has ended");
        }
        sender.send(ControlMessage::LinkDown { link });
    }
}

/// Dials for the machine and reports.
pub async fn dial_control(
    dial_id: DialId,
    name: NodeName,
    settings: BusSettings,
    local: Arc<RwLock<Option<Local>>>,
    clock: Arc<Clock>,
    sender: Sender<ControlMessage>,
) {
    // Read here, not where the dial was asked for: there the machine may be about to become another.
    let local = local.read().clone();
    let own = local.as_ref().map(|local| local.id).unwrap_or_default();
    let dialled = match local {
        Some(local) => dial(&settings, local, name, Purpose::Control, &clock).await,
        None => Err(Cause::Closed),
    };
    let message = match dialled {
        Ok((peer, wire, rest)) => ControlMessage::LinkUp {
            dial: Some(dial_id),
            own,
            peer: Box::new(peer),
            wire: Box::new(wire),
            rest,
        },
        Err(cause) => ControlMessage::DialFailed { dial: dial_id, cause },
    };
    sender.send(message);
}

/// Dials a data lane and reports.
pub async fn dial_data(
    node: NodeId,
    name: NodeName,
    shard: usize,
    settings: BusSettings,
    local: Arc<RwLock<Option<Local>>>,
    clock: Arc<Clock>,
    sender: Sender<ControlMessage>,
) {
    let local = local.read().clone();
    let dialled = match local {
        Some(local) => dial(&settings, local, name, Purpose::Data(shard as u16), &clock).await,
        None => Err(Cause::Closed),
    };
    let made = dialled.ok().filter(|(peer, ..)| peer.id == node);
    let made = made.map(|(peer, wire, rest)| Box::new(LaneOut { incarnation: peer.incarnation, wire, rest }));
    sender.send(ControlMessage::LaneOut { node, shard, made });
}
