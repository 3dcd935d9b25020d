//! The answers to operators: what `api::Node` asks, put together from the shards, the control thread and,
//! where it is about the whole cluster, from the other nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::bus::handshake::Local;
use cluster::{Cause, Command, NodeName, Outcome};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::shapes::{
    Broker, Client, ClientCounts, ClusterCause, ClusterError, ClusterStatus, Discovery, Finding, JoinOutcome,
    JoinPlan, Listener as ListenerShape, LogHandler, LogState, NodeInfo, NodeListeners, NodeMetrics,
    NodeStats, Removal, RetainerInfo, Route, RunningNode, Subscription, Vm,
};
use crate::api::{self, At, Code, Listing, LogChange, Page, Refusal, Who, words};
use crate::cli::{PRODUCT, VERSION};
use crate::discover::{self, Board};
use crate::listener::Listener;
use crate::node::{self, BusSettings, Control, ControlHandle, ControlMessage};
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
    listeners: Vec<Arc<Listener>>,
    retained: Arc<RwLock<RetainedStore>>,
    clock: Arc<Clock>,
    bus: BusSettings,
    local: Arc<RwLock<Option<Local>>>,
    discovery: String,
    /// Why the strategy that is configured does nothing; empty when it acts.
    discovery_note: &'static str,
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
}

impl Operator {
    /// For this node.
    #[allow(clippy::too_many_arguments, reason = "called once, with everything that a node consists of")]
    pub fn new(
        settings: &Settings,
        bus: BusSettings,
        control: ControlHandle,
        shards: Vec<ShardHandle>,
        listeners: Vec<Arc<Listener>>,
        retained: Arc<RwLock<RetainedStore>>,
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
            clock,
            bus,
            local,
            discovery: settings
                .values
                .entry("cluster.discovery")
                .map_or("manual", |(word, _)| word)
                .to_owned(),
            discovery_note: discover::not_there_yet(&settings.cluster.discovery).unwrap_or_default(),
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

    async fn own_broker(&self) -> Broker {
        Broker {
            node: self.name.clone(),
            node_status: "Running".into(),
            version: VERSION.into(),
            uptime: words::uptime(self.uptime().await),
            sysdescr: PRODUCT.into(),
            otp_release: String::new(),
            datetime: words::local_time(Clock::epoch().0),
        }
    }

    async fn own_node(&self) -> RunningNode {
        let stats = self.own_stats().await;
        let count = |name: &str| stats.get(name).copied().unwrap_or(0);
        let load = load();
        let (used, _) = memory();
        let (open, max) = descriptors();
        RunningNode {
            name: self.name.clone(),
            node: self.name.clone(),
            node_status: "Running".into(),
            version: VERSION.into(),
            uptime: words::uptime(self.uptime().await),
            otp_release: String::new(),
            load1: load[0].clone(),
            load5: load[1].clone(),
            load15: load[2].clone(),
            memory_total: words::size(host_memory()),
            memory_used: words::size(used),
            process_available: max,
            process_used: open,
            max_fds: max,
            connections: count("connections.count"),
            live_connections: count("live_connections.count"),
        }
    }

    /// Gauges of this node.
    pub async fn own_stats(&self) -> BTreeMap<String, u64> {
        let all = self.at_all(|worker| worker.machine().0.gauges()).await;
        let sum = |pick: fn(&broker::stats::Gauges) -> u64| all.iter().map(pick).sum::<u64>();
        let routes = self.control.ask(|control| control.fx().routes().len() as u64).await.unwrap_or(0);
        let retained = self.retained.read().len() as u64;
        let mut stats = BTreeMap::new();
        for (name, value) in [
            ("connections", sum(|g| g.connections)),
            ("live_connections", sum(|g| g.connections)),
            ("sessions", sum(|g| g.sessions)),
            ("subscriptions", sum(|g| g.subscriptions)),
            ("subscriptions.shared", sum(|g| g.subscriptions_shared)),
            ("topics", routes),
            ("routes", routes),
            ("retained", retained),
        ] {
            stats.insert(format!("{name}.count"), value);
        }
        stats
    }

    /// Counters of this node.
    pub async fn own_metrics(&self) -> BTreeMap<String, u64> {
        let all = self.at_all(|worker| (worker.machine().0.stats().clone(), worker.traffic())).await;
        let mut metrics: BTreeMap<String, u64> = BTreeMap::new();
        for (stats, traffic) in all {
            for (name, value) in stats.named() {
                *metrics.entry(name.to_owned()).or_default() += value;
            }
            for (name, value) in [
                ("bytes.received", traffic.bytes_received),
                ("bytes.sent", traffic.bytes_sent),
                ("frames.forwarded", traffic.forwarded),
                ("frames.dropped", traffic.dropped),
            ] {
                *metrics.entry(name.to_owned()).or_default() += value;
            }
        }
        metrics
    }

    async fn own_clients(&self, id: Option<String>, username: Option<String>) -> Vec<Client> {
        let node = self.name.clone();
        let infos: Vec<broker::ClientInfo> = match id {
            Some(id) => {
                let key = id.clone();
                self.at_home(&id, move |worker| worker.machine().0.client(&key))
                    .await
                    .flatten()
                    .into_iter()
                    .collect()
            }
            None => self.at_all(|worker| worker.machine().0.clients().collect::<Vec<_>>()).await.concat(),
        };
        let mut clients: Vec<Client> = infos
            .into_iter()
            .filter(|info| username.is_none() || info.username == username)
            .map(|info| client(&node, info))
            .collect();
        clients.sort_by(|a, b| a.clientid.cmp(&b.clientid));
        clients
    }

    /// A client of this node.
    pub async fn own_client(&self, id: &str) -> Option<Client> {
        self.own_clients(Some(id.to_owned()), None).await.pop()
    }

    async fn own_kick(&self, id: String) -> bool {
        let key = id.clone();
        let kicked = self.at_home(&id, move |worker| {
            let (machine, fx, now) = worker.machine();
            machine.kick(&key, now, fx)
        });
        kicked.await.unwrap_or(false)
    }

    async fn own_subscriptions(&self, id: Option<String>) -> Vec<Subscription> {
        let infos: Vec<broker::SubscriptionInfo> = match id {
            Some(id) => {
                let key = id.clone();
                let of = self.at_home(&id, move |worker| worker.machine().0.client_subscriptions(&key));
                of.await.flatten().unwrap_or_default()
            }
            None => {
                self.at_all(|worker| worker.machine().0.subscriptions().collect::<Vec<_>>()).await.concat()
            }
        };
        let mut all: Vec<Subscription> = infos
            .into_iter()
            .map(|s| Subscription {
                node: self.name.clone(),
                topic: s.filter,
                clientid: s.client_id,
                qos: s.qos,
            })
            .collect();
        all.sort_by(|a, b| (&a.clientid, &a.topic).cmp(&(&b.clientid, &b.topic)));
        all
    }

    async fn own_subscribe(&self, id: String, topic: String, qos: u8) -> bool {
        let key = id.clone();
        let done = self.at_home(&id, move |worker| {
            let (machine, fx, _) = worker.machine();
            mqtt::QoS::from_bits(qos).is_some_and(|qos| machine.subscribe_for(&key, &topic, qos, fx))
        });
        done.await.unwrap_or(false)
    }

    async fn own_unsubscribe(&self, id: String, topic: String) -> bool {
        let key = id.clone();
        let done = self.at_home(&id, move |worker| {
            let (machine, fx, _) = worker.machine();
            machine.unsubscribe_for(&key, &topic, fx)
        });
        done.await.unwrap_or(false)
    }

    fn own_listeners(&self) -> Vec<ListenerShape> {
        let shape = |listener: &Arc<Listener>| ListenerShape {
            identifier: listener.id.to_string(),
            protocol: format!("mqtt:{}", listener.protocol.word()),
            listen_on: listener.address.to_string(),
            acceptors: listener.acceptors,
            max_conns: listener.connections_max,
            current_conns: listener.current(),
            shutdown_count: listener.ended().into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        };
        self.listeners.iter().map(shape).collect()
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

impl api::Node for Operator {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn brokers(&self, at: At) -> Result<Vec<Broker>, Refusal> {
        Ok(self.answers(at, Question::Broker).await?.into_iter().map(|(_, broker)| broker).collect())
    }

    async fn nodes(&self, at: At) -> Result<Vec<NodeInfo>, Refusal> {
        let with_stopped = at == At::Cluster;
        let mut all: Vec<NodeInfo> = self
            .gather::<RunningNode>(at, Question::Node)
            .await?
            .into_iter()
            .map(|(node, answer)| match answer {
                Ok(running) => NodeInfo::Running(Box::new(running)),
                Err(cause) => NodeInfo::Silent { node, error: cause.word().into() },
            })
            .collect();
        if with_stopped {
            let stopped = self.status().await.stopped_nodes;
            all.extend(stopped.into_iter().map(|node| NodeInfo::Stopped {
                name: node.clone(),
                node,
                node_status: "Stopped".into(),
            }));
        }
        Ok(all)
    }

    async fn stats(&self, at: At) -> Result<Vec<NodeStats>, Refusal> {
        let all = self.answers(at, Question::Stats).await?;
        Ok(all.into_iter().map(|(node, stats)| NodeStats { node, stats }).collect())
    }

    async fn metrics(&self, at: At) -> Result<Vec<NodeMetrics>, Refusal> {
        let all = self.answers(at, Question::Metrics).await?;
        Ok(all.into_iter().map(|(node, metrics)| NodeMetrics { node, metrics }).collect())
    }

    async fn clients(&self, at: At, who: Who, page: Page) -> Result<Listing<Client>, Refusal> {
        let (id, username) = match who {
            Who::Everyone => (None, None),
            Who::ClientId(id) => (Some(id), None),
            Who::Username(name) => (None, Some(name)),
        };
        let all = self.answers::<Vec<Client>>(at, Question::Clients(id, username)).await?;
        let all: Vec<Client> = all.into_iter().flat_map(|(_, clients)| clients).collect();
        Ok(page.of(all.into_iter()))
    }

    async fn kick(&self, at: At, clientid: String) -> Result<bool, Refusal> {
        let all = self.answers::<bool>(at, Question::Kick(clientid)).await?;
        Ok(all.into_iter().any(|(_, kicked)| kicked))
    }

    async fn subscriptions(&self, at: At, who: Who, page: Page) -> Result<Listing<Subscription>, Refusal> {
        let id = if let Who::ClientId(id) = who { Some(id) } else { None };
        let all = self.answers::<Vec<Subscription>>(at, Question::Subscriptions(id)).await?;
        let all: Vec<Subscription> = all.into_iter().flat_map(|(_, list)| list).collect();
        Ok(page.of(all.into_iter()))
    }

    async fn subscribe(&self, clientid: String, topic: String, qos: u8) -> Result<bool, Refusal> {
        let all = self.answers::<bool>(At::Cluster, Question::Subscribe(clientid, topic, qos)).await?;
        Ok(all.into_iter().any(|(_, done)| done))
    }

    async fn unsubscribe(&self, clientid: String, topic: String) -> Result<bool, Refusal> {
        let all = self.answers::<bool>(At::Cluster, Question::Unsubscribe(clientid, topic)).await?;
        Ok(all.into_iter().any(|(_, done)| done))
    }

    async fn routes(&self, topic: Option<String>, page: Page) -> Result<Listing<Route>, Refusal> {
        let all = self.control.ask(|control| control.fx().routes()).await.unwrap_or_default();
        // As in 4.4, a route of a shared group is named by what the group gets.
        let plain = |filter: String| match broker::routes::shared(&filter) {
            Some((_, plain)) => plain.to_owned(),
            None => filter,
        };
        let mut routes: Vec<Route> = all
            .into_iter()
            .map(|(filter, node)| Route {
                topic: plain(filter),
                node: node.map_or_else(|| self.name.clone(), |n| n.to_string()),
            })
            .filter(|route| topic.as_ref().is_none_or(|wanted| *wanted == route.topic))
            .collect();
        routes.sort_by(|a, b| (&a.topic, &a.node).cmp(&(&b.topic, &b.node)));
        Ok(page.of(routes.into_iter()))
    }

    async fn listeners(&self, at: At) -> Result<Vec<NodeListeners>, Refusal> {
        let all = self.answers(at, Question::Listeners).await?;
        Ok(all.into_iter().map(|(node, listeners)| NodeListeners { node, listeners }).collect())
    }

    async fn retainer(&self) -> Result<RetainerInfo, Refusal> {
        Ok(RetainerInfo { retained: self.retained.read().len() as u64 })
    }

    async fn retained_topics(&self, page: Page) -> Result<Listing<String>, Refusal> {
        let topics = self.retained.read().topics();
        Ok(page.of(topics.into_iter()))
    }

    async fn clean_retained(&self, filter: Option<String>) -> Result<Removal, Refusal> {
        let topics = self.retained.read().topics();
        let fits =
            |topic: &String| filter.as_ref().is_none_or(|f| f == topic || mqtt::topic::matches(f, topic));
        let topics: Vec<String> = topics.into_iter().filter(fits).collect();
        let deleted = self
            .control
            .ask(move |control| topics.iter().filter(|topic| control.delete_retained(topic)).count() as u64);
        Ok(Removal { cleaned: deleted.await.unwrap_or(0) })
    }

    async fn vm(&self) -> Result<Vm, Refusal> {
        let map = |entries: &[(&str, Value)]| -> Map<String, Value> {
            entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let load = load();
        let (used, virtual_size) = memory();
        let (open, max) = descriptors();
        let threads = self.shards.len() as u64 + 2;
        Ok(Vm {
            load: map(&[("load1", json!(load[0])), ("load5", json!(load[1])), ("load15", json!(load[2]))]),
            memory: map(&[
                ("total", json!(used)),
                ("virtual", json!(virtual_size)),
                ("host", json!(host_memory())),
            ]),
            process: map(&[("limit", json!(threads)), ("count", json!(threads))]),
            io: map(&[("max_fds", json!(max)), ("active_fds", json!(open))]),
            ports: map(&[("count", json!(open)), ("limit", json!(max))]),
        })
    }

    async fn log(&self) -> Result<LogState, Refusal> {
        Ok(self.log_state())
    }

    async fn set_log_level(&self, level: String) -> Result<LogState, Refusal> {
        let known =
            level.parse().map_err(|why: String| Refusal::new(Code::BadParameter, "bad_level", why))?;
        crate::log::set_level(known);
        Ok(self.log_state())
    }

    async fn set_primary_log_level(&self, level: String) -> Result<LogState, Refusal> {
        self.set_log_level(level).await
    }

    async fn change_log_handler(&self, id: String, change: LogChange) -> Result<LogState, Refusal> {
        if !self.log_state().handlers.iter().any(|handler| handler.id == id) {
            return Err(Refusal::new(Code::Unknown, "not_found", format!("there is no handler {id}")));
        }
        match change {
            LogChange::Level(level) => self.set_log_level(level).await,
            LogChange::Start => Ok(self.log_state()),
            LogChange::Stop => Err(Refusal::new(
                Code::Unknown,
                "not_supported",
                "a destination of the log cannot be stopped while the node runs; set log.to",
            )),
        }
    }

    async fn cluster_status(&self) -> ClusterStatus {
        self.status().await
    }

    async fn cluster_join(&self, target: String) -> Result<JoinOutcome, ClusterError> {
        self.changed(target, Command::Join).await
    }

    async fn cluster_join_plan(&self, target: String) -> Result<Option<JoinPlan>, ClusterError> {
        let Ok(name) = NodeName::parse(&target) else {
            return Err(ClusterError::about(ClusterCause::NodeDown, target));
        };
        match self.command(Command::JoinDryRun(name)).await {
            Outcome::WouldJoin(would) => {
                let stats = self.own_stats().await;
                let count = |name: &str| stats.get(name).copied().unwrap_or(0);
                let backup = self.control.ask(|c| c.fx().backup_dir().display().to_string()).await;
                Ok(Some(JoinPlan {
                    node: target,
                    leaves: would.leaves.iter().map(|n| n.to_string()).collect(),
                    clients: count("connections.count"),
                    sessions: count("sessions.count"),
                    retained: count("retained.count"),
                    backup: backup.unwrap_or_default(),
                }))
            }
            Outcome::Ignored => Ok(None),
            Outcome::Failed(cause) => Err(ClusterError::about(cluster_cause(cause), target)),
            Outcome::Done => Err(ClusterError::about(ClusterCause::Failed, target)),
        }
    }

    async fn cluster_leave(&self) -> Result<ClusterStatus, ClusterError> {
        match self.command(Command::Leave).await {
            Outcome::Failed(cause) => Err(ClusterError::here(cluster_cause(cause))),
            _ => Ok(self.status().await),
        }
    }

    async fn cluster_force_leave(&self, target: String) -> Result<JoinOutcome, ClusterError> {
        self.changed(target, Command::ForceLeave).await
    }

    async fn cluster_heal(&self) -> Result<ClusterStatus, ClusterError> {
        match self.command(Command::Heal).await {
            Outcome::Failed(cause) => Err(ClusterError::here(cluster_cause(cause))),
            _ => Ok(self.status().await),
        }
    }

    async fn cluster_discovery(&self, switch: Option<bool>) -> Result<Discovery, ClusterError> {
        if let Some(on) = switch {
            let command = if on { Command::DiscoveryOn } else { Command::DiscoveryOff };
            if let Outcome::Failed(cause) = self.command(command).await {
                return Err(ClusterError::here(cluster_cause(cause)));
            }
            self.board.wake();
        }
        let stays_out = self.control.ask(|control| control.node().stays_out()).await.unwrap_or(false);
        let acts = self.discovery != "manual" && self.discovery_note.is_empty();
        Ok(Discovery {
            strategy: self.discovery.clone(),
            enabled: acts && !stays_out,
            note: self.discovery_note.to_owned(),
            answer: self.board.answer().filter(|_| !stays_out),
        })
    }

    async fn cluster_doctor(&self, target: Option<String>) -> Vec<Finding> {
        let targets = match target {
            Some(target) => vec![target],
            None => {
                let status = self.status().await;
                let all = status.running_nodes.into_iter().chain(status.stopped_nodes);
                all.filter(|node| *node != self.name).collect()
            }
        };
        let own = api::Own {
            name: self.name.clone(),
            mode: api::PortMode::Ekka,
            ekka_port: |name| cluster::port_of(name.split('@').next().unwrap_or(name)),
            ipv6: self.bus.ipv6,
            tls: self.bus.tls.is_some(),
            protocol: cluster::bus::handshake::VERSION_MIN..=cluster::bus::handshake::VERSION_MAX,
            certificate_until_ms: self.bus.certificate_until_ms(),
        };
        let probe =
            node::Prober { bus: self.bus.clone(), local: self.local.clone(), clock: self.clock.clone() };
        api::examine(own, Arc::new(probe), targets).await
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
            _ => continue,
        };
        let text = format!("{:016x}/{}", table.digest.sum, table.digest.count);
        digests.entry(table.node.to_string()).or_default().insert(word.into(), text);
    }
    // What is replicated is the same on all nodes; it is named under the cluster.
    let shared = digests.entry("cluster".into()).or_default();
    for (map, digest) in control.node().map_digests() {
        if map == node::RETAINED {
            shared.insert("retained".into(), format!("{:016x}/{}", digest.sum, digest.count));
        }
    }
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

fn client(node: &str, info: broker::ClientInfo) -> Client {
    Client {
        node: node.to_owned(),
        clientid: info.client_id,
        username: info.username,
        proto_name: info.proto_name.to_owned(),
        proto_ver: info.proto_ver,
        ip_address: info.peer.ip().to_string(),
        port: info.peer.port(),
        is_bridge: info.is_bridge,
        connected: info.connected,
        created_at_ms: info.created_at,
        connected_at_ms: info.connected_at,
        disconnected_at_ms: info.disconnected_at,
        clean_start: info.clean_start,
        keepalive: info.keepalive,
        expiry_interval: info.expiry_interval,
        zone: info.zone,
        mountpoint: info.mountpoint,
        counts: ClientCounts {
            subscriptions_cnt: info.subscriptions as u64,
            max_subscriptions: info.subscriptions_max as u64,
            inflight: info.inflight as u64,
            max_inflight: info.inflight_max as u64,
            mqueue_len: info.mqueue_len as u64,
            max_mqueue: info.mqueue_max as u64,
            mqueue_dropped: info.mqueue_dropped,
            awaiting_rel: info.awaiting_rel as u64,
            max_awaiting_rel: info.awaiting_rel_max as u64,
            recv_pkt: info.packets_in,
            recv_msg: info.messages_in,
            send_msg: info.messages_out,
            ..ClientCounts::default()
        },
    }
}

fn load() -> [String; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = text.split_whitespace().map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap_or_else(|| "0.00".into()))
}

/// Resident and virtual bytes of this process.
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    let (virtual_size, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    (resident * page, virtual_size * page)
}

fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Open descriptors, and the most there may be.
fn descriptors() -> (u64, u64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, limit.unwrap_or(u64::MAX))
}
