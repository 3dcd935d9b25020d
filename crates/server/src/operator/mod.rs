//! The answers to operators: what `api::Node` asks, put together from the shards, the control thread and,
//! where it is about the whole cluster, from the other nodes.

mod access;
mod own;
mod questions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::bus::handshake::Local;
use cluster::{Cause, Command, NodeName, Outcome};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::access::Gate;
use crate::access::passwords::Brought;
use crate::api::shapes::{
    Broker, Client, ClientCounts, ClusterCause, ClusterError, ClusterStatus, Discovery, Finding, JoinOutcome,
    JoinPlan, Listener as ListenerShape, LogHandler, LogState, NodeInfo, NodeListeners, NodeMetrics,
    NodeStats, Removal, RetainerInfo, Route, RunningNode, Subscription, Vm,
};
use crate::api::{self, At, Code, ListenerChange, Listing, LogChange, Page, Refusal, Who, words};
use crate::cli::{PRODUCT, VERSION};
use crate::discover::Board;
use crate::listeners::{Listeners, NotChanged};
use crate::node::{self, BusSettings, Control, ControlHandle, ControlMessage};
use crate::pressure::Gauge;
use crate::retained::RetainedStore;
use crate::settings::{LogTo, Settings};
use crate::shard::{Clock, ShardHandle, home};

/// How long another node may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long a node that has joined waits for connections to all members before it tells who is running.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// Whoever answers operators on this node.
pub struct Operator {
    pub(crate) name: String,
    pub(crate) control: ControlHandle,
    pub(crate) shards: Vec<ShardHandle>,
    listeners: Arc<Listeners>,
    retained: Arc<RwLock<RetainedStore>>,
    gate: Arc<Gate>,
    /// How secrets that come from 4.4 were made.
    brought: Brought,
    memory: Arc<Gauge>,
    clock: Arc<Clock>,
    bus: BusSettings,
    local: Arc<RwLock<Option<Local>>>,
    discovery: String,
    board: Arc<Board>,
    log: LogFiles,
}

struct LogFiles {
    to: LogTo,
    path: String,
}

/// What one node asks another on behalf of an operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Question {
    Broker,
    Node,
    Stats,
    Metrics,
    Clients(Option<String>, Option<String>),
    Kick(String),
    Subscriptions(Option<String>),
    Subscribe(String, String, u8),
    Unsubscribe(String, String),
    Listeners,
    CleanAclCache(Option<String>),
    ChangeListener(String, ListenerChange),
    RereadCertificates,
}

impl Operator {
    /// For this node.
    #[allow(clippy::too_many_arguments, reason = "called once, with everything that a node consists of")]
    pub fn new(
        settings: &Settings,
        bus: BusSettings,
        control: ControlHandle,
        shards: Vec<ShardHandle>,
        listeners: Arc<Listeners>,
        retained: Arc<RwLock<RetainedStore>>,
        gate: Arc<Gate>,
        memory: Arc<Gauge>,
        clock: Arc<Clock>,
        local: Arc<RwLock<Option<Local>>>,
        board: Arc<Board>,
    ) -> Operator {
        let path = settings.log.dir.join(&settings.log.file).display().to_string();
        Operator {
            name: settings.node.name.clone(),
            control,
            shards,
            listeners,
            retained,
            gate,
            brought: settings
                .values
                .entry("auth.mnesia.password_hash")
                .and_then(|(word, _)| Brought::parse(word))
                .unwrap_or(Brought::Sha256),
            memory,
            clock,
            bus,
            local,
            discovery: settings
                .values
                .entry("cluster.discovery")
                .map_or("manual", |(word, _)| word)
                .to_owned(),
            board,
            log: LogFiles { to: settings.log.to, path },
        }
    }

    /// Answers what other nodes ask about this one.
    pub fn serve_peers(self: Arc<Self>, control: &mut Control) {
        control.serve_with(Box::new(move |asked, body| {
            let operator = self.clone();
            tokio::task::spawn_local(async move {
                let Ok(question) = serde_json::from_slice::<Question>(&body) else { return };
                let answer = operator.answer(question).await.to_string();
                operator.control.sender.send(ControlMessage::Do(Box::new(move |control: &mut Control| {
                    control.answer(asked, answer.as_bytes());
                })));
            });
        }));
    }

    /// This node's answer to a question.
    async fn answer(&self, question: Question) -> Value {
        match question {
            Question::Broker => json!(self.own_broker().await),
            Question::Node => json!(self.own_node().await),
            Question::Stats => json!(self.own_stats().await),
            Question::Metrics => json!(self.own_metrics().await),
            Question::Clients(id, username) => json!(self.own_clients(id, username).await),
            Question::Kick(id) => json!(self.own_kick(id).await),
            Question::Subscriptions(id) => json!(self.own_subscriptions(id).await),
            Question::Subscribe(id, topic, qos) => json!(self.own_subscribe(id, topic, qos).await),
            Question::Unsubscribe(id, topic) => json!(self.own_unsubscribe(id, topic).await),
            Question::Listeners => json!(self.own_listeners()),
            Question::CleanAclCache(id) => json!(self.own_clean_acl_cache(id).await),
            Question::RereadCertificates => json!(self.listeners.reread().await),
            Question::ChangeListener(id, change) => json!(self.own_listener_change(&id, change).await),
        }
    }

    /// The answers of the nodes in question, with their names.
    async fn gather<T: for<'de> Deserialize<'de>>(
        &self,
        at: At,
        question: Question,
    ) -> Result<Vec<(String, Result<T, Cause>)>, Refusal> {
        let nodes = match at {
            At::Here => vec![self.name.clone()],
            At::Node(node) => vec![node],
            At::Cluster => self.status().await.running_nodes,
        };
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let mut waiting = Vec::new();
        for node in nodes {
            if node == self.name {
                waiting.push((node, None));
                continue;
            }
            let Ok(name) = NodeName::parse(&node) else { return Err(Refusal::node_down(&node)) };
            let body = body.clone();
            let asked = self.control.ask(move |control| control.ask_node(&name, &body, ANSWER_LIMIT)).await;
            match asked {
                Ok(Some(answer)) => waiting.push((node, Some(answer))),
                _ => return Err(Refusal::node_down(&node)),
            }
        }
        let mut answers = Vec::new();
        for (node, answer) in waiting {
            let answer = match answer {
                None => serde_json::from_value(self.answer(question.clone()).await)
                    .map_err(|_| Cause::NotSupported),
                Some(answer) => match answer.await {
                    Ok(Ok(body)) => serde_json::from_slice(&body).map_err(|_| Cause::NotSupported),
                    Ok(Err(cause)) => Err(cause),
                    Err(_) => Err(Cause::Closed),
                },
            };
            answers.push((node, answer));
        }
        Ok(answers)
    }

    /// Those answers that came; a node that was named and did not answer is a refusal.
    async fn answers<T: for<'de> Deserialize<'de>>(
        &self,
        at: At,
        question: Question,
    ) -> Result<Vec<(String, T)>, Refusal> {
        let named = matches!(at, At::Node(_));
        let mut all = Vec::new();
        for (node, answer) in self.gather(at, question).await? {
            match answer {
                Ok(answer) => all.push((node, answer)),
                Err(_) if named => return Err(Refusal::node_down(&node)),
                Err(cause) => tracing::warn!(%node, %cause, "a member did not answer"),
            }
        }
        Ok(all)
    }

    /// Asks the shard that is the home of a client id.
    async fn at_home<T: Send + 'static>(
        &self,
        client: &str,
        job: impl FnOnce(&mut crate::shard::Worker) -> T + Send + 'static,
    ) -> Option<T> {
        self.shards[home(client, self.shards.len())].ask(job).await.ok()
    }

    async fn at_all<T: Send + 'static>(
        &self,
        job: impl Fn(&mut crate::shard::Worker) -> T + Send + Clone + 'static,
    ) -> Vec<T> {
        let asked: Vec<_> = self.shards.iter().map(|shard| shard.ask(job.clone())).collect();
        let mut all = Vec::new();
        for answer in asked {
            all.extend(answer.await.ok());
        }
        all
    }

    /// How long the process has been running.
    pub async fn uptime(&self) -> Duration {
        self.control.ask(|control| control.uptime()).await.unwrap_or_default()
    }

    /// Who is in the cluster.
    pub async fn status(&self) -> ClusterStatus {
        self.control.ask(status_of).await.unwrap_or_default()
    }

    /// Who is in the cluster, once the connections to members that were just met have had a moment to stand.
    async fn settled_status(&self) -> ClusterStatus {
        let give_up_at = tokio::time::Instant::now() + SETTLE_LIMIT;
        loop {
            let status = self.status().await;
            if status.stopped_nodes.is_empty() || tokio::time::Instant::now() >= give_up_at {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn command(&self, command: Command) -> Outcome {
        match self.control.ask(|control| control.command(command)).await {
            Ok(told) => told.await.unwrap_or(Outcome::Failed(Cause::Closed)),
            Err(_) => Outcome::Failed(Cause::Closed),
        }
    }

    async fn changed(
        &self,
        target: String,
        command: impl FnOnce(NodeName) -> Command,
    ) -> Result<JoinOutcome, ClusterError> {
        let Ok(name) = NodeName::parse(&target) else {
            return Err(ClusterError::about(ClusterCause::NodeDown, target));
        };
        match self.command(command(name)).await {
            Outcome::Done => Ok(JoinOutcome::Done(self.settled_status().await)),
            Outcome::Ignored => Ok(JoinOutcome::Ignored),
            // What is no member is said in one bare word, as in 4.4.
            Outcome::Failed(Cause::NodeNotInCluster) => {
                Err(ClusterError::here(ClusterCause::NodeNotInCluster))
            }
            Outcome::Failed(cause) => Err(ClusterError::about(cluster_cause(cause), target)),
            Outcome::WouldJoin(_) => Err(ClusterError::about(ClusterCause::Failed, target)),
        }
    }

    fn log_state(&self) -> LogState {
        let level = crate::log::level().word().to_owned();
        let handler = |id: &str, destination: &str| LogHandler {
            id: id.into(),
            level: level.clone(),
            destination: destination.into(),
            status: "started".into(),
        };
        let mut handlers = Vec::new();
        if self.log.to != LogTo::Console {
            handlers.push(handler("file", &self.log.path));
        }
        if self.log.to != LogTo::File {
            handlers.push(handler("console", "console"));
        }
        LogState { primary_level: level.clone(), handlers }
    }
}

fn status_of(control: &mut Control) -> ClusterStatus {
    let status = control.node().status();
    let names = |names: Vec<NodeName>| names.into_iter().map(|n| n.to_string()).collect();
    let mut digests: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for table in control.node().table_digests() {
        let word = match table.table {
            node::ROUTES => "routes",
            node::GROUPS => "shared",
            node::CLIENTS => "clients",
            node::EXCLUSIVE => "exclusive",
            _ => continue,
        };
        let text = format!("{:016x}/{}", table.digest.sum, table.digest.count);
        digests.entry(table.node.to_string()).or_default().insert(word.into(), text);
    }
    // What is replicated is the same on all nodes; it is named under the cluster.
    let shared = digests.entry("cluster".into()).or_default();
    let retained = control.retained_digest();
    shared.insert("retained".into(), format!("{:016x}/{}", retained.sum, retained.count));
    let access = control.access_digest();
    shared.insert("access".into(), format!("{:016x}/{}", access.sum, access.count));
    let members = control.node().members_digest();
    shared.insert("members".into(), format!("{:016x}/{}", members.sum, members.count));
    ClusterStatus { running_nodes: names(status.running), stopped_nodes: names(status.stopped), digests }
}

/// The words that operators know; what has none means that the node is not to be had.
fn cluster_cause(cause: Cause) -> ClusterCause {
    match cause {
        Cause::BadCookie => ClusterCause::BadCookie,
        Cause::AlreadyInCluster => ClusterCause::AlreadyInCluster,
        Cause::NameMismatch => ClusterCause::NameMismatch,
        Cause::IncompatibleVersion => ClusterCause::IncompatibleVersion,
        Cause::BadCertificate => ClusterCause::BadCertificate,
        Cause::JoinInProgress => ClusterCause::JoinInProgress,
        Cause::NodeNotInCluster => ClusterCause::NodeNotInCluster,
        Cause::NoRoom => ClusterCause::Failed,
        Cause::NodeDown
        | Cause::NotAPeer
        | Cause::TimedOut
        | Cause::Myself
        | Cause::Closed
        | Cause::NotSupported => ClusterCause::NodeDown,
    }
}
