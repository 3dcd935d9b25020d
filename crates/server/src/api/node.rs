//! What a node can be asked over HTTP: the one trait between the paths of the REST API and the node that runs.
//! Nothing here knows of HTTP; nothing behind the trait knows of paths.

use std::future::Future;

use super::shapes::{
    Banned, Broker, Client, ClusterError, ClusterStatus, Discovery, Finding, JoinOutcome, JoinPlan, Listener,
    LogState, Module, NodeInfo, NodeListeners, NodeMetrics, NodeStats, Removal, RetainerInfo, RightShape,
    Route, Subscription, UserShape, Vm,
};
use crate::access::Kind;

/// Whom a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The node that is asked.
    Here,
    /// The node of this name, a member of the cluster. `Refusal::node_down` when it is not reached.
    Node(String),
    /// Every running node.
    Cluster,
}

/// Which clients or subscriptions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// All.
    Everyone,
    /// Those of one client id.
    ClientId(String),
    /// Those of one user name.
    Username(String),
}

/// A part of a long list: `_page` and `_limit` of the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Counted from 1.
    pub page: usize,
    /// Items a page, 1 to [`Page::LIMIT_MAX`].
    pub limit: usize,
}

impl Page {
    /// The most that is handed out at once.
    pub const LIMIT_MAX: usize = 10_000;

    /// How many items lie before this page.
    pub fn skip(self) -> usize {
        (self.page - 1).saturating_mul(self.limit)
    }

    /// This page of a list that is there as a whole.
    pub fn of<T>(self, items: impl ExactSizeIterator<Item = T>) -> Listing<T> {
        let count = items.len();
        Listing { items: items.skip(self.skip()).take(self.limit).collect(), count }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// At most `limit` items, in an order that stays the same from page to page (by client id, by topic).
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub count: usize,
}

/// The numbers of the REST API v4 for what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Another node did not answer.
    RpcFailed = 101,
    /// Whatever has no number of its own.
    Unknown = 102,
    /// A field of the request is absent.
    MissingParameter = 107,
    /// A field of the request has a wrong value.
    BadParameter = 108,
    /// The body is not JSON.
    NotJson = 109,
    /// No such client.
    ClientOffline = 112,
    /// Not a topic, or not a topic filter.
    BadTopic = 115,
    /// Not 0, 1 or 2.
    BadQos = 116,
}

/// Why a question was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the REST API v4.
    pub code: Code,
    /// One word for programs.
    pub error: String,
    /// For people.
    pub message: String,
    /// The node that it is about, if it is about one.
    pub node: Option<String>,
}

impl Refusal {
    /// A refusal about no node in particular.
    pub fn new(code: Code, error: impl Into<String>, message: impl Into<String>) -> Refusal {
        Refusal { code, error: error.into(), message: message.into(), node: None }
    }

    /// The node that was asked about is no running member.
    pub fn node_down(node: &str) -> Refusal {
        Refusal {
            code: Code::Unknown,
            error: "nodedown".into(),
            message: format!("{node} is not a running member of this cluster"),
            node: Some(node.into()),
        }
    }

    /// There is no client of that id.
    pub fn no_client(clientid: &str) -> Refusal {
        Refusal::new(Code::ClientOffline, "not_found", format!("there is no client {clientid}"))
    }
}

/// How a user's secret is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password itself.
    Password(String),
    /// What EMQ X 4.4 keeps of one.
    Kept(Vec<u8>),
}

/// What can be done with one destination of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogChange {
    /// Lines below this level are not written there.
    Level(String),
    /// Write there again.
    Start,
    /// Write there no more.
    Stop,
}

/// What can be done with a listener. Its clients stay connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ListenerChange {
    /// Open one that was stopped.
    Start,
    /// Accept no more clients, and give the address back.
    Stop,
    /// Read its certificates again, and open it anew.
    Restart,
}

impl ListenerChange {
    /// The verb in paths and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            ListenerChange::Start => "start",
            ListenerChange::Stop => "stop",
            ListenerChange::Restart => "restart",
        }
    }
}

/// Who may connect, publish and subscribe: what a node can be asked and told about that, for the whole cluster
/// where nothing else is said. As of [`Node`].
pub trait Access {
    /// Who is banned, by kind and name.
    fn banned(&self, page: Page) -> impl Future<Output = Result<Listing<Banned>, Refusal>> + Send;

    /// Bans somebody on every node and ends their sessions.
    fn ban(&self, ban: Banned) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Ends a ban. False when there was none.
    fn unban(&self, kind: Kind, who: String) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Users of one kind, by name.
    fn users(
        &self,
        kind: Kind,
        page: Page,
    ) -> impl Future<Output = Result<Listing<UserShape>, Refusal>> + Send;

    /// Adds a user (`new`), or changes the secret of one. False when there is one already, or none.
    fn set_user(
        &self,
        kind: Kind,
        name: String,
        secret: Secret,
        new: bool,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Removes a user. False when there was none.
    fn delete_user(&self, kind: Kind, name: String) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Rights that were given or denied: all, those of a kind, or those of one name.
    fn rights(
        &self,
        kind: Option<Kind>,
        name: Option<String>,
        page: Page,
    ) -> impl Future<Output = Result<Listing<RightShape>, Refusal>> + Send;

    /// Gives or denies a right on every node.
    fn give_right(&self, right: RightShape) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Removes a right. False when there was none.
    fn delete_right(
        &self,
        kind: Kind,
        name: String,
        topic: String,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Forgets what is remembered of the rules' answers, of one client or of all. False: no such client.
    fn clean_acl_cache(
        &self,
        at: At,
        clientid: Option<String>,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// The modules of this node.
    fn modules(&self) -> Vec<Module>;

    /// Reads a module's files anew; error `not_found` when there is no such module to reload.
    fn reload_module(&self, name: String) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A running node, as seen by whoever asks over HTTP. Every method may be called at any time and in any number at once;
/// whatever needs other nodes must answer within 10 s.
pub trait Node: Access + Send + Sync + 'static {
    /// This node's own name, `emqx@127.0.0.1`.
    fn name(&self) -> String;

    /// Version, uptime and the like. `Here` always answers, with exactly one.
    fn brokers(&self, at: At) -> impl Future<Output = Result<Vec<Broker>, Refusal>> + Send;

    /// Load, memory, connections. With `Cluster` stopped members are in the list as well.
    fn nodes(&self, at: At) -> impl Future<Output = Result<Vec<NodeInfo>, Refusal>> + Send;

    /// Gauges: `connections.count` and the like.
    fn stats(&self, at: At) -> impl Future<Output = Result<Vec<NodeStats>, Refusal>> + Send;

    /// Counters: `messages.received` and the like.
    fn metrics(&self, at: At) -> impl Future<Output = Result<Vec<NodeMetrics>, Refusal>> + Send;

    /// Connected clients, and kept sessions without a connection.
    fn clients(
        &self,
        at: At,
        who: Who,
        page: Page,
    ) -> impl Future<Output = Result<Listing<Client>, Refusal>> + Send;

    /// Ends a client's connection and its session. False when there was none.
    fn kick(&self, at: At, clientid: String) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Subscriptions; `who` is `Everyone` or `ClientId`.
    fn subscriptions(
        &self,
        at: At,
        who: Who,
        page: Page,
    ) -> impl Future<Output = Result<Listing<Subscription>, Refusal>> + Send;

    /// Subscribes a client, wherever it is. False when there is no such client.
    fn subscribe(
        &self,
        clientid: String,
        topic: String,
        qos: u8,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// The reverse of `subscribe`. False when there is no such client.
    fn unsubscribe(
        &self,
        clientid: String,
        topic: String,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// The routes of the whole cluster, by topic; with `topic` those of exactly this filter.
    fn routes(
        &self,
        topic: Option<String>,
        page: Page,
    ) -> impl Future<Output = Result<Listing<Route>, Refusal>> + Send;

    /// Listeners and how many connections each has.
    fn listeners(&self, at: At) -> impl Future<Output = Result<Vec<NodeListeners>, Refusal>> + Send;

    /// Starts, stops or restarts the listener of that identifier on one node (`at` is never `Cluster`). Error `not_found` when
    /// there is none, `already` when there is nothing to do, `failed` when it cannot be done; then nothing has changed.
    fn change_listener(
        &self,
        at: At,
        id: String,
        change: ListenerChange,
    ) -> impl Future<Output = Result<Listener, Refusal>> + Send;

    /// Reads the certificates of the listeners again. Error `failed` where files cannot be used; what was in use stays
    /// in use then.
    fn reread_certificates(&self, at: At) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// How many retained messages there are.
    fn retainer(&self) -> impl Future<Output = Result<RetainerInfo, Refusal>> + Send;

    /// The topics of the retained messages, sorted.
    fn retained_topics(&self, page: Page) -> impl Future<Output = Result<Listing<String>, Refusal>> + Send;

    /// Removes retained messages on every node: those that match the filter, or all.
    fn clean_retained(&self, filter: Option<String>)
    -> impl Future<Output = Result<Removal, Refusal>> + Send;

    /// What this process uses.
    fn vm(&self) -> impl Future<Output = Result<Vm, Refusal>> + Send;

    /// The levels of the log.
    fn log(&self) -> impl Future<Output = Result<LogState, Refusal>> + Send;

    /// Sets the primary level and that of every handler. The level is one of [`super::LOG_LEVELS`].
    fn set_log_level(&self, level: String) -> impl Future<Output = Result<LogState, Refusal>> + Send;

    /// Sets the primary level alone. The level is one of [`super::LOG_LEVELS`].
    fn set_primary_log_level(&self, level: String) -> impl Future<Output = Result<LogState, Refusal>> + Send;

    /// Changes one handler; error `not_found` when there is none of that id.
    fn change_log_handler(
        &self,
        id: String,
        change: LogChange,
    ) -> impl Future<Output = Result<LogState, Refusal>> + Send;

    /// Who is in the cluster, as this node sees it.
    fn cluster_status(&self) -> impl Future<Output = ClusterStatus> + Send;

    /// Makes this node a member of the target's cluster. The target has the form `Name@Host`.
    fn cluster_join(&self, target: String) -> impl Future<Output = Result<JoinOutcome, ClusterError>> + Send;

    /// What `cluster_join` would do, without doing it. None when there is nothing to do (oneself).
    fn cluster_join_plan(
        &self,
        target: String,
    ) -> impl Future<Output = Result<Option<JoinPlan>, ClusterError>> + Send;

    /// Leaves the cluster.
    fn cluster_leave(&self) -> impl Future<Output = Result<ClusterStatus, ClusterError>> + Send;

    /// Removes another member for good. The target has the form `Name@Host`.
    fn cluster_force_leave(
        &self,
        target: String,
    ) -> impl Future<Output = Result<JoinOutcome, ClusterError>> + Send;

    /// Merges the sides of a healed partition where `cluster.autoheal` is off.
    fn cluster_heal(&self) -> impl Future<Output = Result<ClusterStatus, ClusterError>> + Send;

    /// Whether automatic discovery acts; `Some` switches it on or off first.
    fn cluster_discovery(
        &self,
        switch: Option<bool>,
    ) -> impl Future<Output = Result<Discovery, ClusterError>> + Send;

    /// Examines the way to a node, member or not; to every member when none is named. Within 10 s.
    fn cluster_doctor(&self, target: Option<String>) -> impl Future<Output = Vec<Finding>> + Send;
}
