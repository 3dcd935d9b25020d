//! The JSON of the REST API: one struct a thing, its fields named as in the REST API v4. The server writes them and
//! `emqx_ctl` reads them, so the two cannot drift apart. Instants are milliseconds since 1970 where a field says `_ms`,
//! and local time (`2020-02-21 09:39:58`) where it is text.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::words::local_time;

/// `GET /brokers`: what a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broker {
    pub node: String,
    /// `Running`, `Starting` or `Stopping`.
    pub node_status: String,
    pub version: String,
    /// `4 minutes, 52 seconds`: see [`super::words::uptime`].
    pub uptime: String,
    pub sysdescr: String,
    /// Kept because programs read it; there is no Erlang here.
    pub otp_release: String,
    pub datetime: String,
}

/// `GET /nodes`: how a member fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NodeInfo {
    Running(Box<RunningNode>),
    /// A member that should answer and did not.
    Silent {
        node: String,
        error: String,
    },
    Stopped {
        name: String,
        node: String,
        /// `Stopped`.
        node_status: String,
    },
}

/// The figures of a running member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningNode {
    pub name: String,
    pub node: String,
    pub node_status: String,
    pub version: String,
    pub uptime: String,
    pub otp_release: String,
    pub load1: String,
    pub load5: String,
    pub load15: String,
    /// `96.75M`: see [`super::words::size`].
    pub memory_total: String,
    pub memory_used: String,
    pub process_available: u64,
    pub process_used: u64,
    pub max_fds: u64,
    pub connections: u64,
    pub live_connections: u64,
}

/// `GET /stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
    pub node: String,
    pub stats: BTreeMap<String, u64>,
}

/// `GET /metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeMetrics {
    pub node: String,
    pub metrics: BTreeMap<String, u64>,
}

/// `GET /clients`: a client id with a connection, a kept session, or both.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "ClientJson", from = "ClientJson")]
pub struct Client {
    pub node: String,
    pub clientid: String,
    pub username: Option<String>,
    /// `MQTT`, `MQIsdp`.
    pub proto_name: String,
    /// 3, 4, 5.
    pub proto_ver: u8,
    pub ip_address: String,
    pub port: u16,
    pub is_bridge: bool,
    pub connected: bool,
    pub created_at_ms: u64,
    pub connected_at_ms: u64,
    /// Only of a client that is not connected.
    pub disconnected_at_ms: Option<u64>,
    pub clean_start: bool,
    /// Seconds; 0: none.
    pub keepalive: u16,
    /// Seconds.
    pub expiry_interval: u32,
    pub zone: String,
    pub mountpoint: String,
    pub counts: ClientCounts,
}

/// The numbers of a client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClientCounts {
    pub subscriptions_cnt: u64,
    pub max_subscriptions: u64,
    pub inflight: u64,
    pub max_inflight: u64,
    pub mqueue_len: u64,
    pub max_mqueue: u64,
    pub mqueue_dropped: u64,
    pub awaiting_rel: u64,
    pub max_awaiting_rel: u64,
    pub recv_oct: u64,
    pub recv_cnt: u64,
    pub recv_pkt: u64,
    pub recv_msg: u64,
    pub send_oct: u64,
    pub send_cnt: u64,
    pub send_pkt: u64,
    pub send_msg: u64,
    pub mailbox_len: u64,
    pub heap_size: u64,
    pub reductions: u64,
}

/// A client on the wire: every instant twice, once for people as in 4.4 and once exactly.
#[derive(Serialize, Deserialize)]
struct ClientJson {
    node: String,
    clientid: String,
    username: Option<String>,
    proto_name: String,
    proto_ver: u8,
    ip_address: String,
    port: u16,
    is_bridge: bool,
    connected: bool,
    created_at: String,
    created_at_ms: u64,
    connected_at: String,
    connected_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    disconnected_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    disconnected_at_ms: Option<u64>,
    clean_start: bool,
    keepalive: u16,
    expiry_interval: u32,
    zone: String,
    mountpoint: String,
    #[serde(flatten)]
    counts: ClientCounts,
}

impl From<Client> for ClientJson {
    fn from(client: Client) -> ClientJson {
        ClientJson {
            created_at: local_time(client.created_at_ms),
            connected_at: local_time(client.connected_at_ms),
            disconnected_at: client.disconnected_at_ms.map(local_time),
            node: client.node,
            clientid: client.clientid,
            username: client.username,
            proto_name: client.proto_name,
            proto_ver: client.proto_ver,
            ip_address: client.ip_address,
            port: client.port,
            is_bridge: client.is_bridge,
            connected: client.connected,
            created_at_ms: client.created_at_ms,
            connected_at_ms: client.connected_at_ms,
            disconnected_at_ms: client.disconnected_at_ms,
            clean_start: client.clean_start,
            keepalive: client.keepalive,
            expiry_interval: client.expiry_interval,
            zone: client.zone,
            mountpoint: client.mountpoint,
            counts: client.counts,
        }
    }
}

impl From<ClientJson> for Client {
    fn from(json: ClientJson) -> Client {
        Client {
            node: json.node,
            clientid: json.clientid,
            username: json.username,
            proto_name: json.proto_name,
            proto_ver: json.proto_ver,
            ip_address: json.ip_address,
            port: json.port,
            is_bridge: json.is_bridge,
            connected: json.connected,
            created_at_ms: json.created_at_ms,
            connected_at_ms: json.connected_at_ms,
            disconnected_at_ms: json.disconnected_at_ms,
            clean_start: json.clean_start,
            keepalive: json.keepalive,
            expiry_interval: json.expiry_interval,
            zone: json.zone,
            mountpoint: json.mountpoint,
            counts: json.counts,
        }
    }
}

/// `GET /subscriptions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub node: String,
    pub topic: String,
    pub clientid: String,
    pub qos: u8,
}

/// `GET /routes`: a filter, and a node that has subscribers of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub topic: String,
    pub node: String,
}

/// `GET /listeners`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeListeners {
    pub node: String,
    pub listeners: Vec<Listener>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// `mqtt:tcp:external`.
    pub identifier: String,
    /// `mqtt:tcp`.
    pub protocol: String,
    /// `0.0.0.0:1883`.
    pub listen_on: String,
    /// False once an operator has stopped it.
    pub running: bool,
    pub acceptors: u64,
    pub max_conns: u64,
    pub current_conns: u64,
    /// How many connections ended for which reason.
    pub shutdown_count: BTreeMap<String, u64>,
}

/// `GET /retainer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetainerInfo {
    pub retained: u64,
}

/// `DELETE /retainer`: how many retained messages went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    pub cleaned: u64,
}

/// `GET /vm`: what the process uses, in the five groups of `emqx_ctl vm`. The order of the fields is that of the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vm {
    /// `load1`, `load5`, `load15`: numbers as text, `0.25`.
    pub load: Map<String, Value>,
    /// Bytes: `total`, and what it consists of.
    pub memory: Map<String, Value>,
    /// `limit`, `count`.
    pub process: Map<String, Value>,
    /// `max_fds`, `active_fds`.
    pub io: Map<String, Value>,
    /// `count`, `limit`.
    pub ports: Map<String, Value>,
}

/// `GET /log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogState {
    pub primary_level: String,
    pub handlers: Vec<LogHandler>,
}

/// One destination of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogHandler {
    pub id: String,
    pub level: String,
    /// A file's path, or `console`.
    pub destination: String,
    /// `started` or `stopped`.
    pub status: String,
}

/// `GET /cluster`: who is in it, as the node that is asked sees it. Names are sorted by bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub running_nodes: Vec<String>,
    pub stopped_nodes: Vec<String>,
    /// Per node and table a digest of what that node owns, the same on every node once the copies have caught up.
    pub digests: BTreeMap<String, BTreeMap<String, String>>,
}

/// What `join` and `force-leave` came to.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinOutcome {
    Done(ClusterStatus),
    /// The node that was named is this one.
    Ignored,
}

/// What a request that changes something came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `ok`, or `ignored` where there was nothing to do.
    pub result: String,
    /// The cluster afterwards, where it is the cluster that changed.
    #[serde(flatten)]
    pub status: Option<ClusterStatus>,
}

impl Change {
    pub(super) fn result(word: &str) -> Change {
        Change { result: word.into(), status: None }
    }
}

/// `POST /cluster/join` with `dry_run`: what a join would do to the node that is asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JoinPlan {
    /// The node that would be joined.
    pub node: String,
    /// The members of the cluster that this node would leave first.
    pub leaves: Vec<String>,
    /// Clients that would be disconnected.
    pub clients: u64,
    /// Sessions that would go.
    pub sessions: u64,
    /// Retained messages that would go.
    pub retained: u64,
    /// The folder that would hold a copy of what goes.
    pub backup: String,
}

/// Why the cluster did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterCause {
    /// Nobody answers there, or no node of that name.
    NodeDown,
    /// The two cookies differ.
    BadCookie,
    /// A member of this cluster already.
    AlreadyInCluster,
    /// Another node answers there, or another node of this name is running.
    NameMismatch,
    /// The two have no version of the protocol in common.
    IncompatibleVersion,
    /// TLS between the two failed.
    BadCertificate,
    /// That node is joining another one itself.
    JoinInProgress,
    /// There is nothing to leave, or that node is no member.
    NodeNotInCluster,
    /// Something on this node: its disk, for one.
    Failed,
}

impl ClusterCause {
    /// The word for it in texts and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            ClusterCause::NodeDown => "node_down",
            ClusterCause::BadCookie => "bad_cookie",
            ClusterCause::AlreadyInCluster => "already_in_cluster",
            ClusterCause::NameMismatch => "name_mismatch",
            ClusterCause::IncompatibleVersion => "incompatible_version",
            ClusterCause::BadCertificate => "bad_certificate",
            ClusterCause::JoinInProgress => "join_in_progress",
            ClusterCause::NodeNotInCluster => "node_not_in_cluster",
            ClusterCause::Failed => "failed",
        }
    }
}

/// A change of the cluster that did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterError {
    pub cause: ClusterCause,
    /// The node it is about; none when it is about the one that is asked.
    pub node: Option<String>,
    /// For people; empty: the usual words for the cause.
    pub words: String,
}

impl ClusterError {
    /// With the usual words.
    pub fn about(cause: ClusterCause, node: impl Into<String>) -> ClusterError {
        ClusterError { cause, node: Some(node.into()), words: String::new() }
    }

    /// About the node that is asked.
    pub fn here(cause: ClusterCause) -> ClusterError {
        ClusterError { cause, node: None, words: String::new() }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.words.is_empty() {
            return f.write_str(&self.words);
        }
        let node = self.node.as_deref().unwrap_or("this node");
        match self.cause {
            ClusterCause::NodeDown => write!(f, "{node} cannot be reached, or does not run"),
            ClusterCause::BadCookie => write!(f, "{node} has another cookie (node.cookie)"),
            ClusterCause::AlreadyInCluster => write!(f, "{node} is already in the cluster"),
            ClusterCause::NameMismatch => {
                write!(f, "{node} is the name of another running node, or another node answers there")
            }
            ClusterCause::IncompatibleVersion => {
                write!(f, "{node} runs a version that this one cannot talk to")
            }
            ClusterCause::BadCertificate => {
                write!(f, "TLS with {node} failed: its certificate or ours was refused")
            }
            ClusterCause::JoinInProgress => {
                write!(f, "{node} is joining another node; try again when it has ended")
            }
            ClusterCause::NodeNotInCluster => write!(f, "{node} is not in a cluster with others"),
            ClusterCause::Failed => write!(f, "{node} could not do it"),
        }
    }
}

/// `GET /cluster/discovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Discovery {
    /// `cluster.discovery`: `manual`, `static`, `dns`, …
    pub strategy: String,
    /// Whether it acts; it does not after `cluster leave`.
    pub enabled: bool,
    /// What the last round found; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<DiscoveryAnswer>,
}

/// What a round of discovery found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryAnswer {
    /// What was asked, in words.
    pub asked: String,
    /// Milliseconds since the round ended.
    pub age_ms: u64,
    /// The nodes that were named.
    pub candidates: Vec<DiscoveryCandidate>,
    /// What went wrong, and what was noticed besides.
    pub remarks: Vec<String>,
}

/// A node that was named by discovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryCandidate {
    pub node: String,
    /// Whether it was joined, and why not.
    pub outcome: String,
}

/// How one check of `cluster doctor` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// Something to be put right.
    Wrong,
    /// Could not be checked, because of what went wrong before.
    Skipped,
}

/// `GET /cluster/doctor`: what one check of one node found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The node that was examined.
    pub node: String,
    /// `name resolution`, `port`, ….
    pub check: String,
    pub result: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when all is well.
    pub advice: String,
}

/// `GET /banned`: who must not connect. Instants are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banned {
    /// `clientid`, `username`, `peerhost`.
    #[serde(rename = "as")]
    pub kind: String,
    pub who: String,
    #[serde(default)]
    pub by: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub at: Option<u64>,
    /// None: for good.
    #[serde(default)]
    pub until: Option<u64>,
}

/// `GET /auth_username`, `GET /auth_clientid`: who has a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserShape {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clientid: Option<String>,
    pub created_at_ms: u64,
}

/// `GET /acl`: a right that was given or denied; everybody's when it names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightShape {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clientid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    pub topic: String,
    pub action: crate::access::Action,
    /// `allow`, `deny`.
    pub access: String,
}

/// `GET /modules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    pub name: String,
    pub description: String,
    pub active: bool,
}
