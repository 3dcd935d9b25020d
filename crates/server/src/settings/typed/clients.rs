//! What clients meet: who may come in, what a zone lets them ask, and the listeners that they connect to.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Secret;
use crate::settings::value::{ListenAddress, Rate};

/// Whether clients that no login method knows may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// They may.
    Allow,
    /// They may not.
    Deny,
    /// They may not, and no method is asked.
    DenyAtOnce,
}

/// What happens to a client that a rule denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyAction {
    /// The packet is ignored.
    Ignore,
    /// The client is disconnected.
    Disconnect,
}

/// Settings about access that hold for the whole node.
#[derive(Debug, Clone)]
pub struct Access {
    /// The file of access rules.
    pub acl_file: Option<PathBuf>,
    /// How many decisions are remembered for each client, and how long; `None` is not at all.
    pub acl_cache: Option<(usize, Duration)>,
    /// So many connects, in so much time, ban for so long.
    pub flapping: (u32, Duration, Duration),
    /// Who is to be there when the node starts.
    pub users: Vec<BuiltInUser>,
}

/// A user whom the configuration names.
#[derive(Debug, Clone)]
pub struct BuiltInUser {
    /// Known by the client id rather than the user name.
    pub is_client: bool,
    pub name: String,
    pub password: Secret,
}

/// What clients of a zone may ask. A limit of `None` is no limit.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The zone's name; empty for listeners without a zone.
    pub name: String,
    /// How long a connection may take to send its CONNECT.
    pub idle_timeout: Duration,
    /// Whether clients that no login method knows may connect.
    pub allow_anonymous: Anonymous,
    /// Whether what no rule matches is allowed.
    pub acl_nomatch_allow: bool,
    /// Whether rules are asked.
    pub enable_acl: bool,
    /// What happens to a client that a rule denies.
    pub acl_deny_action: DenyAction,
    /// Whether banned clients are refused.
    pub enable_ban: bool,
    /// Whether clients that connect too often are banned.
    pub enable_flapping_detect: bool,
    /// Whether clients connect without a login method being asked.
    pub bypass_auth_plugins: bool,
    /// The largest packet of a client, in bytes.
    pub max_packet_size: u32,
    /// The longest client id, in bytes.
    pub max_clientid_len: usize,
    /// The most levels of a topic.
    pub max_topic_levels: Option<usize>,
    /// The highest QoS of a publish, 0 to 2.
    pub max_qos_allowed: u8,
    /// The largest topic alias; 0 forbids them.
    pub max_topic_alias: u16,
    /// Whether messages may be retained.
    pub retain_available: bool,
    /// Whether subscriptions may have wildcards.
    pub wildcard_subscription: bool,
    /// Whether subscriptions may be shared.
    pub shared_subscription: bool,
    /// Whether subscriptions may be exclusive.
    pub exclusive_subscription: bool,
    /// Whether a client's own messages are kept from it.
    pub ignore_loop_deliver: bool,
    /// Whether everything is checked to the letter.
    pub strict_mode: bool,
    /// What a client is told that asks for response information.
    pub response_information: Option<String>,
    /// The keep-alive that is imposed on clients, in seconds.
    pub server_keepalive: Option<u16>,
    /// A client is silent for too long after twice this factor times its keep-alive.
    pub keepalive_backoff: f64,
    /// The most subscriptions of a client.
    pub max_subscriptions: Option<usize>,
    /// Whether a message is delivered with the higher QoS.
    pub upgrade_qos: bool,
    /// The most QoS 1 and 2 messages on their way to a client.
    pub max_inflight: Option<u16>,
    /// After how long an unanswered message is sent again.
    pub retry_interval: Duration,
    /// The most QoS 2 messages that wait for PUBREL.
    pub max_awaiting_rel: Option<u16>,
    /// How long they wait.
    pub await_rel_timeout: Duration,
    /// How long a session outlives its connection, for clients before 5.0.
    pub session_expiry_interval: Duration,
    /// The most messages that wait for a client.
    pub max_mqueue_len: Option<usize>,
    /// Topics that overtake others.
    pub mqueue_priorities: Vec<(String, u8)>,
    /// Whether topics without a priority come first.
    pub mqueue_default_highest: bool,
    /// Whether QoS 0 messages wait in the queue.
    pub mqueue_store_qos0: bool,
    /// Messages a client may publish.
    pub publish_limit: Option<Rate>,
    /// Messages a connection may send.
    pub conn_messages_in: Option<Rate>,
    /// Bytes a connection may send.
    pub conn_bytes_in: Option<Rate>,
    /// Messages a connection may have routed.
    pub conn_messages_routing: Option<Rate>,
    /// Messages all connections may have routed together.
    pub overall_messages_routing: Option<Rate>,
    /// Waiting messages, and their bytes, with more of which a client is ended.
    pub force_shutdown_policy: Option<(usize, usize)>,
    /// What is put before every topic of a client.
    pub mountpoint: Option<String>,
    /// Whether the user name is the client id.
    pub use_username_as_clientid: bool,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// TLS.
    Ssl,
    /// WebSocket.
    Ws,
    /// WebSocket with TLS.
    Wss,
    /// QUIC.
    Quic,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Protocol; 5] =
        [Protocol::Tcp, Protocol::Ssl, Protocol::Ws, Protocol::Wss, Protocol::Quic];

    /// The word in keys and in listener names.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Ssl => "ssl",
            Protocol::Ws => "ws",
            Protocol::Wss => "wss",
            Protocol::Quic => "quic",
        }
    }
}

/// A place where clients connect.
#[derive(Debug, Clone)]
pub struct Listener {
    /// What is spoken.
    pub protocol: Protocol,
    /// Its name, such as `external`.
    pub name: String,
    /// Where it listens.
    pub address: ListenAddress,
    /// The zone of its clients.
    pub zone: Arc<Zone>,
    /// The most clients connected through it.
    pub max_connections: usize,
    /// The most clients that connect in a second.
    pub max_conn_rate: Option<u32>,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Bytes a connection may send.
    pub rate_limit: Option<Rate>,
    /// Rules about client addresses, in their order.
    pub access: Vec<AccessRule>,
    /// How long the PROXY header may take; `None` is no PROXY protocol.
    pub proxy_protocol: Option<Duration>,
    /// How long a client may refuse to take what is sent.
    pub send_timeout: Duration,
    /// Whether such a client is closed.
    pub send_timeout_close: bool,
    /// The kernel's receive buffer, in bytes.
    pub recbuf: Option<usize>,
    /// The kernel's send buffer, in bytes.
    pub sndbuf: Option<usize>,
    /// TCP_NODELAY; `None` leaves it to the server.
    pub nodelay: Option<bool>,
    /// Which part of the certificate is the user name.
    pub peer_cert_as_username: Option<CertPart>,
    /// Which part of the certificate is the client id.
    pub peer_cert_as_clientid: Option<CertPart>,
    /// For TLS, secure WebSocket and QUIC.
    pub tls: Option<ListenerTls>,
    /// For WebSocket.
    pub websocket: Option<WebSocket>,
}

impl Listener {
    /// `mqtt:tcp:external`.
    pub fn full_name(&self) -> String {
        format!("mqtt:{}:{}", self.protocol.word(), self.name)
    }
}

/// A rule about client addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRule {
    /// Whether matching clients may connect.
    pub allow: bool,
    /// The network; `None` is all clients.
    pub network: Option<(IpAddr, u8)>,
}

impl AccessRule {
    /// Whether it is about that address.
    pub fn fits(&self, address: IpAddr) -> bool {
        let Some((network, bits)) = self.network else { return true };
        let differing = match (network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= u32::from(bits)
    }
}

/// A part of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertPart {
    /// The common name.
    CommonName,
    /// The distinguished name.
    DistinguishedName,
    /// The DER bytes.
    Der,
    /// The PEM text.
    Pem,
    /// The MD5 of the DER bytes, in hexadecimal.
    Md5,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificate chains with their private keys.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// The authorities that may sign client certificates.
    pub cacertfile: Option<PathBuf>,
    /// Whether clients are asked for a certificate, which is verified.
    pub verify_peer: bool,
    /// Whether a client without one is refused.
    pub fail_if_no_peer_cert: bool,
    /// Versions of TLS; empty is 1.2 and 1.3.
    pub versions: Vec<String>,
    /// Cipher suites by OpenSSL's names; empty is all safe ones.
    pub ciphers: Vec<String>,
    /// Whether that order decides, and not the client's.
    pub honor_cipher_order: bool,
    /// Whether sessions may be resumed.
    pub reuse_sessions: bool,
    /// How long the handshake may take.
    pub handshake_timeout: Duration,
    /// How many intermediate certificates a chain may have.
    pub depth: u8,
    /// How many of the authorities count, from the end of their file; `None` is all.
    pub partial_chain: Option<usize>,
    /// What a client's certificate must be made for, as object identifiers.
    pub ext_key_usage: Vec<String>,
    /// Where revoked certificates are listed; `None` is that nobody looks.
    pub revoked: Option<RevocationLists>,
    /// How the state of the first certificate is asked for; `None` is not at all.
    pub stapling: Option<Stapling>,
    /// The password of the private key.
    pub key_password: Option<Secret>,
}

/// How the state of a certificate is asked for (OCSP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stapling {
    /// Where.
    pub url: String,
    /// The certificate of the issuer.
    pub issuer: PathBuf,
    /// How often.
    pub every: Duration,
    /// How long an answer may take.
    pub limit: Duration,
}

/// Where revoked certificates are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationLists {
    /// A file.
    pub file: Option<PathBuf>,
    /// Addresses of others.
    pub urls: Vec<String>,
}

/// When revocation lists are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationPace {
    /// How often.
    pub every: Duration,
    /// How long an answer may take.
    pub limit: Duration,
}

/// WebSocket of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// The path, `/mqtt`.
    pub path: String,
    /// Whether a client that names no subprotocol is refused.
    pub fail_if_no_subprotocol: bool,
    /// The subprotocols.
    pub subprotocols: Vec<String>,
    /// The header with the client's address.
    pub proxy_address_header: String,
    /// The header with the client's port.
    pub proxy_port_header: String,
    /// How long a connection may be silent before its CONNECT.
    pub idle_timeout: Option<Duration>,
    /// The largest frame, in bytes.
    pub max_frame_size: Option<u64>,
    /// Origins that may connect; `None` is all.
    pub origins: Option<Origins>,
}

/// Which origins of browsers may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// Whether a client without an origin may.
    pub allow_absence: bool,
    /// The origins that may.
    pub allowed: Vec<String>,
}
