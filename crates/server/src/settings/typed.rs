//! The settings as the server reads them: structures with types and units.
//!
//! A field has the name of its key. `None` means that no line sets the key and no default exists, or that a limit is off, as its sentence says.

mod clients;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::load::Values;

pub use clients::*;

/// Everything that the operator has said, with the defaults filled in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of the installation; relative paths in settings have been resolved against it.
    pub root: PathBuf,
    /// `etc/emqx.conf` and the files it includes, as they are shown to the operator.
    pub files: Vec<String>,
    /// `node.*`.
    pub node: Node,
    /// `cluster.*`.
    pub cluster: Cluster,
    /// `log.*`.
    pub log: Log,
    /// The zones that are named anywhere, and the one for listeners without a zone (`""`), each with `mqtt.*` filled in.
    pub zones: BTreeMap<String, Arc<Zone>>,
    /// `listener.*`, in the order tcp, ssl, ws, wss, quic, and by name.
    pub listeners: Vec<Listener>,
    /// `crl_cache_*`.
    pub revocation: RevocationPace,
    /// `broker.*`.
    pub broker: Broker,
    /// `acl_*`, `enable_acl_cache`, `flapping_detect_policy`.
    pub access: Access,
    /// `retainer.*`.
    pub retainer: Retainer,
    /// `module.*` and the lists of what is switched on.
    pub modules: Modules,
    /// Every key as it was written.
    pub values: Values,
}

/// A text that is never shown, not even by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// The node itself.
#[derive(Debug, Clone)]
pub struct Node {
    /// The full name, `Name@Host`, already checked.
    pub name: String,
    /// The secret of the cluster.
    pub cookie: Secret,
    /// Further cookies that peers may show.
    pub cookie_accept: Vec<Secret>,
    /// The directory of what outlives the process.
    pub data_dir: PathBuf,
    /// The address on which peers are waited for.
    pub dist_use_interface: IpAddr,
    /// The first and last port for peers in epmd mode.
    pub dist_listen: (u16, u16),
    /// The file of Erlang terms with the certificates for TLS between nodes; always there with `inet_tls`, and readable
    /// by [`ssl_dist::read`](super::ssl_dist::read).
    pub ssl_dist_optfile: Option<PathBuf>,
    /// Where epmd listens (`ERL_EPMD_PORT`), when `WITH_EPMD` is set.
    pub epmd: Option<u16>,
    /// Threads that carry clients; 0 is one for each core.
    pub shards: usize,
    /// The limit of the node's memory.
    pub max_memory: MemoryLimit,
}

/// `node.max_memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// 80 % of what the host or the control group has.
    Share,
    /// So many bytes.
    Bytes(u64),
    /// No limit.
    Off,
}

impl Node {
    /// The part of the name before the `@`.
    pub fn short_name(&self) -> &str {
        self.name.split('@').next().unwrap_or(&self.name)
    }

    /// The part of the name behind the `@`.
    pub fn host(&self) -> &str {
        self.name.split_once('@').map_or("", |(_, host)| host)
    }
}

/// What is added to 4370 for a node of this name: the number at the end of its short name, modulo 60000.
pub fn port_offset(name: &str) -> u16 {
    let short = name.split('@').next().unwrap_or(name);
    let digits = short.len() - short.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let tail = &short.as_bytes()[short.len() - digits..];
    tail.iter().fold(0_u32, |sum, digit| (sum * 10 + u32::from(digit - b'0')) % 60_000) as u16
}

/// The transport between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtoDist {
    /// TCP over IPv4.
    InetTcp,
    /// TCP over IPv6.
    Inet6Tcp,
    /// TLS.
    InetTls,
}

/// Who belongs together.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The cluster's name.
    pub name: String,
    /// How nodes find one another.
    pub discovery: Discovery,
    /// Whether sides come together by themselves after a partition.
    pub autoheal: bool,
    /// After how long an absent member is forgotten; `None` is never.
    pub autoclean: Option<Duration>,
    /// The transport between nodes.
    pub proto_dist: ProtoDist,
    /// How long listeners wait for the first round of discovery at most.
    pub join_wait: Duration,
}

/// A strategy of discovery with its own settings.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// Nodes are joined by hand.
    Manual,
    /// The names are listed.
    Static {
        /// Full node names.
        seeds: Vec<String>,
    },
    /// UDP multicast.
    Mcast {
        /// The group.
        addr: IpAddr,
        /// Ports in order of preference.
        ports: Vec<u16>,
        /// The interface.
        iface: IpAddr,
        /// How many routers a datagram may cross.
        ttl: u8,
        /// Whether the same host hears it.
        looped: bool,
    },
    /// Records of a name.
    Dns {
        /// The name.
        name: String,
        /// The part of node names before the `@`.
        app: String,
        /// `a`, `aaaa` or `srv`.
        records: DnsRecords,
    },
    /// Keys in etcd.
    Etcd {
        /// URLs.
        servers: Vec<String>,
        /// The directory.
        prefix: String,
        /// How long an entry outlives its node.
        node_ttl: Duration,
        /// Which API.
        version: EtcdVersion,
        /// User name and password.
        login: Option<(String, Secret)>,
        /// Private key, certificate, authorities.
        ssl: ClientTls,
    },
    /// Endpoints of a service.
    K8s {
        /// The URL of the API server.
        apiserver: String,
        /// The service.
        service_name: String,
        /// What hosts are made of.
        address_type: AddressType,
        /// The part of node names before the `@`.
        app_name: String,
        /// The namespace.
        namespace: String,
        /// What is put behind a dns or hostname address; empty for nothing.
        suffix: String,
    },
}

impl Discovery {
    /// Whether nodes join by themselves.
    pub fn is_automatic(&self) -> bool {
        !matches!(self, Discovery::Manual)
    }
}

/// Which DNS records list the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsRecords {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Host names.
    Srv,
}

/// Which API of etcd is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtcdVersion {
    /// v3 when the server has it, v2 otherwise.
    Auto,
    /// v3.
    V3,
    /// v2.
    V2,
}

/// What a node's host is made of in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressType {
    /// The address itself.
    Ip,
    /// The address with dashes.
    Dns,
    /// The host name of the pod.
    Hostname,
}

/// Files for TLS as a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The private key.
    pub keyfile: Option<PathBuf>,
    /// The certificate.
    pub certfile: Option<PathBuf>,
    /// The authorities.
    pub cacertfile: Option<PathBuf>,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// Files.
    File,
    /// Standard output.
    Console,
    /// Both.
    Both,
}

/// Log settings.
#[derive(Debug, Clone)]
pub struct Log {
    /// Where lines go.
    pub to: LogTo,
    /// The least severe level.
    pub level: crate::log::Level,
    /// The directory of the files.
    pub dir: PathBuf,
    /// The name of the file inside it.
    pub file: String,
    /// Whether lines are JSON objects.
    pub json: bool,
    /// The longest text of an event in characters; `None` is no limit.
    pub chars_limit: Option<usize>,
    /// Size in bytes and number of files; `None` is one file without a limit.
    pub rotation: Option<(u64, u32)>,
    /// Further files by level.
    pub level_files: Vec<(crate::log::Level, String)>,
    /// How many events may wait to be written.
    pub queue_max: usize,
}

/// How the member of a shared group is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedStrategy {
    /// By chance.
    Random,
    /// In turn.
    RoundRobin,
    /// The same for a publisher as long as it is there.
    Sticky,
    /// By the publisher's client id; an older name of the next.
    Hash,
    /// By the publisher's client id.
    HashClientid,
    /// By the topic.
    HashTopic,
    /// By chance among members of the publisher's node, if there are any.
    Local,
}

/// Settings of the broker as a whole.
#[derive(Debug, Clone)]
pub struct Broker {
    /// How often `$SYS` is published.
    pub sys_interval: Duration,
    /// How often uptime and time of day are published.
    pub sys_heartbeat: Duration,
    /// Whether a client id is looked up on all nodes.
    pub enable_session_registry: bool,
    /// How members of shared groups are chosen.
    pub shared_strategy: SharedStrategy,
    /// The same by group.
    pub shared_strategy_of: BTreeMap<String, SharedStrategy>,
    /// Whether another member gets what the chosen one does not acknowledge.
    pub shared_dispatch_ack: bool,
}

impl Broker {
    /// The strategy of a group.
    pub fn strategy_of(&self, group: &str) -> SharedStrategy {
        self.shared_strategy_of.get(group).copied().unwrap_or(self.shared_strategy)
    }
}

/// Settings of retained messages. A limit of `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retainer {
    /// Whether messages are retained at all (`data/loaded_plugins`).
    pub enabled: bool,
    /// `ram`, `disc` or `disc_only`, as it was written; it only shows in `emqx_ctl`.
    pub storage_type: String,
    /// The most retained messages.
    pub max_retained_messages: Option<usize>,
    /// The largest payload, in bytes.
    pub max_payload_size: Option<usize>,
    /// How long a message without an expiry of its own is kept.
    pub expiry_interval: Option<Duration>,
    /// Whether the message that clears a topic is kept from subscribers.
    pub stop_publish_clear_msg: bool,
}

/// What is switched on, and the modules' settings.
#[derive(Debug, Clone)]
pub struct Modules {
    /// The QoS of messages about clients that come and go; `None` when the module is off.
    pub presence_qos: Option<u8>,
    /// Whether the rules of `acl_file` are asked.
    pub acl_internal: bool,
    /// Whether `$delayed/SECONDS/topic` delays a message.
    pub delayed: bool,
    /// Modules by name, and whether they are on.
    pub loaded: BTreeMap<String, bool>,
    /// Plugins by name, and whether they are on.
    pub plugins: BTreeMap<String, bool>,
}

impl Settings {
    /// The addresses on which this node may wait for peers; the first free one is taken. In ekka mode it is one,
    /// whose port follows from the name, see [`port_offset`].
    pub fn peer_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let by_name = 4370 + port_offset(&self.node.name);
        let (first, last) = if self.node.epmd.is_some() { self.node.dist_listen } else { (by_name, by_name) };
        (first..=last).map(|port| SocketAddr::new(self.node.dist_use_interface, port))
    }

    /// Whether somebody may expect an effect of the key: it is a core setting, its plugin is switched on, or it is not as
    /// distributed. EMQ X does not even read the files of the other plugins.
    pub fn matters(&self, key: &str) -> bool {
        let group = self.values.group_of(key);
        let on = group == "core" || self.modules.plugins.get(group).copied().unwrap_or(false);
        on || !self.values.is_as_shipped(key)
    }
}
