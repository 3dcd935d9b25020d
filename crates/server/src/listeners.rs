//! All listeners of this node: bound before anything serves, opened when clients may come, and stopped, started and
//! restarted by operators afterwards. Clients that are connected stay so, whatever happens to the listener.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::cli::{Ready, StartError};
use crate::identity::Identity;
use crate::listen::{self, Listening, SocketFile};
use crate::listener::Listener;
use crate::quic;
use crate::run::Zones;
use crate::settings::{self, ListenAddress, Protocol, Settings};
use crate::shard::flapping::FlappingPolicy;
use crate::shard::pace::Pace;
use crate::shard::{ShardHandle, ShardMessage};
use crate::stream::{Origins, WebRules};
use crate::tls::listener::{ListenerTls, Peers, Revoked, Stapled};

/// The listeners of the settings.
pub struct Listeners {
    all: Vec<Entry>,
    /// Where QUIC is spoken, if it is.
    quic: Option<quic::Threads>,
    /// Held by whoever changes a listener: one change after the other.
    turn: tokio::sync::Mutex<()>,
}

struct Entry {
    listener: Arc<Listener>,
    /// What its TLS is made of, to be read again.
    tls: Option<ListenerTls>,
    /// The port of a QUIC listener, which no shard sees.
    quic: Option<quic::Port>,
    door: Mutex<Door>,
}

/// Where a listener stands, with the file of a Unix socket as long as it is there.
enum Door {
    /// Its sockets, one for each shard, are bound and not yet with the shards.
    Bound(Bound),
    /// The shards accept.
    Open { _file: Option<SocketFile> },
    /// An operator has stopped it.
    Stopped,
}

/// Why a listener was not changed. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum NotChanged {
    /// There is none of that name.
    Unknown,
    /// It is stopped, or runs, already.
    Already,
    /// The address cannot be had, or a file of its TLS cannot be used.
    Failed(String),
}

impl Listeners {
    /// Binds every listener; all that cannot be bound are named at once.
    pub(crate) fn bind(settings: &Settings, zones: &Zones, shards: usize) -> Result<Listeners, StartError> {
        let mut all = Vec::new();
        let mut wrong = Vec::new();
        for from in &settings.listeners {
            match Entry::bind(settings, from, zones, shards) {
                Ok(one) => all.push(one),
                Err(why) => wrong.push(format!(
                    "Failed to start {} listener on {}: {why}",
                    from.full_name(),
                    from.address
                )),
            }
        }
        if !wrong.is_empty() {
            return Err(StartError(wrong.join("\n")));
        }
        let quic = all.iter().any(|entry| entry.quic.is_some()).then(|| quic::Threads::start(shards));
        let quic =
            quic.transpose().map_err(|why| StartError(format!("The threads of QUIC cannot start: {why}")))?;
        Ok(Listeners { all, quic, turn: tokio::sync::Mutex::new(()) })
    }

    /// From now on clients are accepted; those that came early have been waiting in the backlog.
    pub fn open(&self, shards: &[ShardHandle], ready: &Ready) {
        for entry in &self.all {
            let mut door = entry.door.lock();
            // Otherwise an operator was faster.
            let Door::Bound((file, sockets)) = &mut *door else { continue };
            for (shard, socket) in shards.iter().zip(std::mem::take(sockets)) {
                shard.sender.send(ShardMessage::Listen(entry.listener.clone(), socket));
            }
            *door = Door::Open { _file: file.take() };
            if let Err(why) = entry.open_quic(self.quic.as_ref(), shards) {
                tracing::error!(listener = %entry.listener.id, why, "cannot accept clients");
            }
            let Listener { id, address, .. } = &*entry.listener;
            ready.say(&format!("Start {id} listener on {address} successfully."));
        }
    }

    /// Each of them, and whether it accepts clients, or will once the node serves.
    pub fn each(&self) -> impl Iterator<Item = (&Arc<Listener>, bool)> {
        self.all.iter().map(|entry| (&entry.listener, !matches!(*entry.door.lock(), Door::Stopped)))
    }

    /// Closes a listener's sockets. What had been accepted by then goes on.
    pub async fn stop(&self, id: &str, shards: &[ShardHandle]) -> Result<Arc<Listener>, NotChanged> {
        let _turn = self.turn.lock().await;
        let entry = self.find(id)?;
        let was = std::mem::replace(&mut *entry.door.lock(), Door::Stopped);
        if matches!(was, Door::Stopped) {
            return Err(NotChanged::Already);
        }
        if let Some(port) = &entry.quic {
            port.close();
        }
        for shard in shards {
            let id = entry.listener.id.clone();
            // A shard that is gone listens no more either.
            let _ = shard.ask(move |worker| worker.unlisten(&id)).await;
        }
        // The file of a Unix socket goes when nobody listens on it any more.
        drop(was);
        tracing::info!(listener = id, "a listener was stopped");
        Ok(entry.listener.clone())
    }

    /// Opens a listener that was stopped.
    pub async fn start(&self, id: &str, shards: &[ShardHandle]) -> Result<Arc<Listener>, NotChanged> {
        let _turn = self.turn.lock().await;
        let entry = self.find(id)?;
        if !matches!(*entry.door.lock(), Door::Stopped) {
            return Err(NotChanged::Already);
        }
        entry.reopen(self.quic.as_ref(), shards).await?;
        tracing::info!(listener = id, "a listener was started");
        Ok(entry.listener.clone())
    }

    /// Reads a listener's certificates again and gives it new sockets, whether it was stopped or not. The new ones are
    /// there before the old ones go, so that nobody finds the port closed.
    pub async fn restart(&self, id: &str, shards: &[ShardHandle]) -> Result<Arc<Listener>, NotChanged> {
        let _turn = self.turn.lock().await;
        let entry = self.find(id)?;
        entry.reopen(self.quic.as_ref(), shards).await?;
        tracing::info!(listener = id, "a listener was restarted");
        Ok(entry.listener.clone())
    }

    /// Reads the certificates of all listeners again, whether they are open or not. Connections that stand are not
    /// touched. Names the listeners whose files cannot be used, which keep what they have, and why.
    pub async fn reread(&self) -> Vec<String> {
        let _turn = self.turn.lock().await;
        let mut wrong = Vec::new();
        for Entry { listener, tls, .. } in &self.all {
            let (Some(files), Some(current)) = (tls, &listener.tls) else { continue };
            match files.config() {
                Ok(config) => current.store(config),
                Err(why) => {
                    tracing::warn!(listener = %listener.id, %why, "a listener keeps the certificates that it has");
                    wrong.push(format!("{}: {why}", listener.id));
                }
            }
        }
        if wrong.is_empty() {
            tracing::info!("the certificates of the listeners have been read anew");
        }
        wrong
    }

    /// Where revocation lists are fetched, with the number of the listener that wants them.
    pub fn revocation_urls(&self) -> impl Iterator<Item = (usize, &str)> {
        self.all.iter().enumerate().flat_map(|(at, entry)| {
            entry
                .revoked()
                .into_iter()
                .flat_map(move |revoked| revoked.urls.iter().map(move |url| (at, url.as_str())))
        })
    }

    /// A revocation list has been fetched; from now on it counts.
    pub async fn put_revoked(&self, at: usize, url: &str, list: Vec<u8>) {
        let Some(entry) = self.all.get(at) else { return };
        if !entry.revoked().is_some_and(|revoked| revoked.fetched.put(url, list)) {
            return;
        }
        let _turn = self.turn.lock().await;
        let (Some(files), Some(current)) = (&entry.tls, &entry.listener.tls) else { return };
        match files.config() {
            Ok(config) => current.store(config),
            Err(why) => {
                tracing::warn!(listener = %entry.listener.id, %why, "a revocation list does not count yet");
            }
        }
    }

    /// How the state of the listeners' certificates is asked for.
    pub fn stapled(&self) -> impl Iterator<Item = &Stapled> {
        self.all.iter().filter_map(|entry| entry.tls.as_ref()?.stapled.as_ref())
    }

    /// No new clients come in by QUIC.
    pub fn close_quic(&self) {
        self.all.iter().filter_map(|entry| entry.quic.as_ref()).for_each(quic::Port::close);
    }

    /// The connections of QUIC end, those that shards have ended first.
    pub async fn end_quic(&self) {
        for port in self.all.iter().filter_map(|entry| entry.quic.as_ref()) {
            port.end().await;
        }
    }

    /// Removes the files of Unix sockets, when nobody listens on them any more.
    pub fn clear_away(&self) {
        for entry in &self.all {
            *entry.door.lock() = Door::Stopped;
        }
    }

    fn find(&self, id: &str) -> Result<&Entry, NotChanged> {
        self.all.iter().find(|entry| *entry.listener.id == *id).ok_or(NotChanged::Unknown)
    }
}

impl Entry {
    fn bind(
        settings: &Settings,
        from: &settings::Listener,
        zones: &Zones,
        shards: usize,
    ) -> Result<Entry, String> {
        let tls = from.tls.as_ref().map(|tls| tls_of(tls, from.protocol)).transpose()?;
        let strange = tls.as_ref().map_or(Vec::new(), |tls| tls.strange_ciphers());
        // Whoever has changed nothing need not look.
        if !strange.is_empty()
            && !from.tls.as_ref().is_some_and(|tls| settings::are_shipped_ciphers(&tls.ciphers))
        {
            let (listener, ciphers) = (from.full_name(), strange.join(", "));
            tracing::warn!(listener, ciphers, "cipher suites that are not spoken here are left out");
        }
        let listener = listener(settings, from, tls.as_ref(), zones, shards)?;
        let (quic, bound) = match (from.protocol, &listener.address) {
            (Protocol::Quic, ListenAddress::Socket(address)) => {
                let port = quic::Port::bind(*address, &listener).map_err(|why| in_words(&why, *address))?;
                (Some(port), Bound::default())
            }
            (Protocol::Quic, ListenAddress::Path(_)) => {
                return Err("QUIC needs a port, with an address or without".to_owned());
            }
            _ => (None, bind(&listener, shards)?),
        };
        let door = Mutex::new(Door::Bound(bound));
        Ok(Entry { listener: Arc::new(listener), tls, quic, door })
    }

    fn revoked(&self) -> Option<&Revoked> {
        self.tls.as_ref()?.peers.as_ref()?.revoked.as_ref()
    }

    fn open_quic(&self, threads: Option<&quic::Threads>, shards: &[ShardHandle]) -> Result<(), String> {
        match (&self.quic, threads) {
            (Some(port), Some(threads)) => port.open(threads, &self.listener, shards),
            _ => Ok(()),
        }
    }

    /// New sockets, and certificates as the files hold them now. The port of QUIC is never given up.
    async fn reopen(
        &self,
        threads: Option<&quic::Threads>,
        shards: &[ShardHandle],
    ) -> Result<(), NotChanged> {
        let config = match &self.tls {
            Some(files) => Some(files.config().map_err(|why| NotChanged::Failed(why.to_string()))?),
            None => None,
        };
        let bound = match &*self.door.lock() {
            Door::Open { .. } | Door::Stopped if self.quic.is_some() => Some(Ok(Bound::default())),
            // The node has not begun to serve: its sockets are as good as new.
            Door::Bound(_) => None,
            Door::Open { .. } => Some(bind_beside(&self.listener, shards.len())),
            Door::Stopped => Some(bind(&self.listener, shards.len())),
        };
        let bound = bound.transpose().map_err(NotChanged::Failed)?;
        if let (Some(config), Some(current)) = (config, &self.listener.tls) {
            current.store(config);
        }
        let Some((file, sockets)) = bound else { return Ok(()) };
        self.open_quic(threads, shards).map_err(NotChanged::Failed)?;
        *self.door.lock() = Door::Open { _file: file };
        for (shard, socket) in shards.iter().zip(sockets) {
            let listener = self.listener.clone();
            let _ = shard.ask(move |worker| worker.listen_anew(listener, socket)).await;
        }
        Ok(())
    }
}

/// A socket for each shard, and the file if it is a Unix socket.
type Bound = (Option<SocketFile>, Vec<Listening>);

fn bind(listener: &Listener, shards: usize) -> Result<Bound, String> {
    match &listener.address {
        ListenAddress::Socket(address) => listen::bind(*address, listener.backlog, shards)
            .map(|sockets| (None, sockets))
            .map_err(|why| in_words(&why, *address)),
        ListenAddress::Path(path) => listen::bind_unix(path, listener.backlog, shards)
            .map(|(file, sockets)| (Some(file), sockets))
            .map_err(|e| e.to_string()),
    }
}

fn in_words(why: &std::io::Error, address: std::net::SocketAddr) -> String {
    match why.kind() {
        std::io::ErrorKind::AddrInUse => format!("port {} is in use", address.port()),
        _ => why.to_string(),
    }
}

/// The same where this node listens already.
fn bind_beside(listener: &Listener, shards: usize) -> Result<Bound, String> {
    let bound = match &listener.address {
        ListenAddress::Socket(address) => {
            listen::bind_beside(*address, listener.backlog, shards).map(|sockets| (None, sockets))
        }
        ListenAddress::Path(path) => listen::bind_unix_over(path, listener.backlog, shards)
            .map(|(file, sockets)| (Some(file), sockets)),
    };
    bound.map_err(|e| e.to_string())
}

fn listener(
    settings: &Settings,
    from: &settings::Listener,
    files: Option<&ListenerTls>,
    zones: &Zones,
    shards: usize,
) -> Result<Listener, String> {
    let tls = match files {
        Some(files) => Some(ArcSwap::new(files.config().map_err(|e| e.to_string())?)),
        None => None,
    };
    let web = from.websocket.as_ref().map(|web| {
        Arc::new(WebRules {
            path: web.path.clone(),
            subprotocols: web.subprotocols.clone(),
            subprotocol_required: web.fail_if_no_subprotocol,
            message_bytes_max: web.max_frame_size.map_or(1 << 24, |bytes| bytes as usize),
            origins: web
                .origins
                .as_ref()
                .map(|origins| Origins { allowed: origins.allowed.clone(), absence: origins.allow_absence }),
            // The load balancer's own word, where it gives one, is the one that counts.
            address_header: header(&web.proxy_address_header, from),
            port_header: header(&web.proxy_port_header, from),
        })
    });
    Ok(Listener {
        id: from.full_name().into(),
        protocol: from.protocol,
        address: from.address.clone(),
        backlog: from.backlog,
        acceptors: shards as u64,
        access: from.access.clone(),
        connections_max: from.max_connections as u64,
        connections_per_second_max: from.max_conn_rate.map_or(0, u64::from),
        nodelay: from.nodelay.unwrap_or(true),
        recv_buffer_bytes: from.recbuf,
        send_buffer_bytes: from.sndbuf,
        proxy_limit: from.proxy_protocol,
        handshake_limit: from.tls.as_ref().map_or(from.zone.idle_timeout, |tls| tls.handshake_timeout),
        greeting_limit: from
            .websocket
            .as_ref()
            .and_then(|web| web.idle_timeout)
            .unwrap_or(from.zone.idle_timeout),
        send_limit: from.send_timeout_close.then_some(from.send_timeout),
        pace: Pace {
            messages: from.zone.conn_messages_in.or(from.zone.publish_limit),
            bytes: [from.zone.conn_bytes_in, from.rate_limit],
            routing: from.zone.conn_messages_routing,
            routing_all: zones.routing(&from.zone.name),
        },
        flapping: from.zone.enable_flapping_detect.then(|| {
            let (connects_max, within, banned_for) = settings.access.flapping;
            FlappingPolicy { connects_max, within, banned_for }
        }),
        zone: zones.get(&from.zone, settings),
        identity: Identity { username: from.peer_cert_as_username, client_id: from.peer_cert_as_clientid },
        tls,
        web,
        counts: Default::default(),
    })
}

/// The name of a header in which a proxy says where the client is, if that is read.
fn header(name: &str, from: &settings::Listener) -> String {
    if from.proxy_protocol.is_some() { String::new() } else { name.to_owned() }
}

fn tls_of(from: &settings::ListenerTls, protocol: Protocol) -> Result<ListenerTls, String> {
    let peers = match (&from.cacertfile, from.verify_peer) {
        (_, false) => None,
        (None, true) => return Err("verify_peer needs a cacertfile to check against".to_owned()),
        (Some(cacertfile), true) => Some(Peers {
            cacertfile: cacertfile.clone(),
            last: from.partial_chain,
            required: from.fail_if_no_peer_cert,
            depth: usize::from(from.depth),
            usages: from.ext_key_usage.clone(),
            revoked: from.revoked.as_ref().map(|lists| Revoked {
                file: lists.file.clone(),
                urls: lists.urls.clone(),
                fetched: Arc::default(),
            }),
        }),
    };
    let stapled = from.stapling.as_ref().zip(from.certificates.first()).map(|(how, (certfile, _))| Stapled {
        certfile: certfile.clone(),
        issuer: how.issuer.clone(),
        url: how.url.clone(),
        every: how.every,
        limit: how.limit,
        answer: Arc::default(),
    });
    let quic = protocol == Protocol::Quic;
    Ok(ListenerTls {
        stapled,
        certificates: from.certificates.clone(),
        password: from.key_password.clone(),
        versions: if quic { vec!["tlsv1.3".to_owned()] } else { from.versions.clone() },
        ciphers: from.ciphers.clone(),
        own_order: from.honor_cipher_order,
        resumption: from.reuse_sessions,
        protocols: if quic { vec![quic::ALPN] } else { Vec::new() },
        peers,
    })
}
