//! A node that is not there, for the tests of the paths and of `emqx_ctl`: fixed answers, and a record of what it was asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use serde_json::json;

use super::node::{Access, At, Code, ListenerChange, Listing, LogChange, Node, Page, Refusal, Secret, Who};
use super::shapes::*;
use crate::access::{Action, Kind};

/// A member called `emqx@s1.emqx.io`.
#[derive(Default)]
pub(crate) struct Fake {
    pub clients: Vec<Client>,
    pub stopped: Vec<String>,
    pub asked: Mutex<Vec<String>>,
}

impl Fake {
    pub fn with_clients(clients: Vec<Client>) -> Fake {
        Fake { clients, ..Fake::default() }
    }

    fn note(&self, what: String) {
        self.asked.lock().push(what);
    }

    fn status(&self) -> ClusterStatus {
        ClusterStatus {
            running_nodes: vec!["emqx@s1.emqx.io".into(), "emqx@s2.emqx.io".into()],
            stopped_nodes: self.stopped.clone(),
            digests: BTreeMap::from([(
                "emqx@s1.emqx.io".into(),
                BTreeMap::from([("routes".into(), "00ff".into())]),
            )]),
        }
    }

    fn log_state(level: &str) -> LogState {
        let handler = |id: &str, destination: &str| LogHandler {
            id: id.into(),
            level: level.into(),
            destination: destination.into(),
            status: "started".into(),
        };
        LogState {
            primary_level: level.into(),
            handlers: vec![handler("file", "log/emqx.log"), handler("default", "console")],
        }
    }
}

pub(crate) fn client(id: &str) -> Client {
    Client {
        node: "emqx@s1.emqx.io".into(),
        clientid: id.into(),
        username: Some("joe".into()),
        proto_name: "MQTT".into(),
        proto_ver: 5,
        ip_address: "127.0.0.1".into(),
        port: 64826,
        connected: true,
        created_at_ms: 1_582_249_657_001,
        connected_at_ms: 1_582_249_657_002,
        clean_start: true,
        keepalive: 60,
        expiry_interval: 7200,
        zone: "external".into(),
        counts: ClientCounts {
            subscriptions_cnt: 1,
            inflight: 2,
            awaiting_rel: 3,
            send_msg: 4,
            mqueue_len: 5,
            mqueue_dropped: 6,
            ..ClientCounts::default()
        },
        ..Client::default()
    }
}

fn subscription(clientid: &str, topic: &str) -> Subscription {
    Subscription { node: "emqx@s1.emqx.io".into(), topic: topic.into(), clientid: clientid.into(), qos: 1 }
}

fn figures(pairs: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    pairs.as_object().cloned().unwrap_or_default()
}

impl Access for Fake {
    async fn banned(&self, page: Page) -> Result<Listing<Banned>, Refusal> {
        let ban = Banned {
            kind: "clientid".into(),
            who: "c".into(),
            by: Some("user".into()),
            reason: Some("spam".into()),
            at: Some(1_582_249_657),
            until: None,
        };
        Ok(page.of([ban].into_iter()))
    }

    async fn ban(&self, ban: Banned) -> Result<(), Refusal> {
        self.note(format!("ban {} {} until {:?}", ban.kind, ban.who, ban.until));
        Ok(())
    }

    async fn unban(&self, kind: Kind, who: String) -> Result<bool, Refusal> {
        self.note(format!("unban {} {who}", kind.word()));
        Ok(who == "c")
    }

    async fn users(&self, kind: Kind, page: Page) -> Result<Listing<UserShape>, Refusal> {
        let name = |of| (kind == of).then(|| "joe".to_owned());
        let (username, clientid) = (name(Kind::Username), name(Kind::ClientId));
        Ok(page.of([UserShape { username, clientid, created_at_ms: 1_582_249_657_001 }].into_iter()))
    }

    async fn set_user(&self, kind: Kind, name: String, _: Secret, new: bool) -> Result<bool, Refusal> {
        self.note(format!("user {} {name} new={new}", kind.word()));
        Ok((name == "joe") != new)
    }

    async fn delete_user(&self, kind: Kind, name: String) -> Result<bool, Refusal> {
        self.note(format!("no user {} {name}", kind.word()));
        Ok(name == "joe")
    }

    async fn rights(
        &self,
        kind: Option<Kind>,
        name: Option<String>,
        page: Page,
    ) -> Result<Listing<RightShape>, Refusal> {
        self.note(format!("rights of {kind:?} {name:?}"));
        let right = |kind, name| RightShape::new(kind, name, "t/#", Action::PubSub, false);
        Ok(page.of([right(Kind::Username, "joe"), right(Kind::All, "")].into_iter()))
    }

    async fn give_right(&self, right: RightShape) -> Result<(), Refusal> {
        self.note(format!("right {right:?}"));
        Ok(())
    }

    async fn delete_right(&self, kind: Kind, name: String, topic: String) -> Result<bool, Refusal> {
        self.note(format!("no right {} {name} {topic}", kind.word()));
        Ok(topic != "none")
    }

    async fn clean_acl_cache(&self, at: At, clientid: Option<String>) -> Result<bool, Refusal> {
        self.note(format!("clean {at:?} {clientid:?}"));
        Ok(clientid.is_none_or(|id| id == "c1"))
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module {
            name: "emqx_mod_acl_internal".into(),
            description: "EMQ X Internal ACL Module".into(),
            active: true,
        }]
    }

    async fn reload_module(&self, name: String) -> Result<(), Refusal> {
        match name.as_str() {
            "emqx_mod_acl_internal" => Ok(()),
            _ => Err(Refusal::new(Code::Unknown, "not_found", "there is no such module")),
        }
    }
}

impl Node for Fake {
    fn name(&self) -> String {
        "emqx@s1.emqx.io".into()
    }

    async fn brokers(&self, at: At) -> Result<Vec<Broker>, Refusal> {
        match at {
            At::Node(name) => Err(Refusal::node_down(&name)),
            At::Here | At::Cluster => Ok(vec![Broker {
                node: self.name(),
                node_status: "Running".into(),
                version: "4.4.19".into(),
                uptime: "4 minutes, 52 seconds".into(),
                sysdescr: "FlockMQ".into(),
                otp_release: "none".into(),
                datetime: "2020-02-21 09:39:58".into(),
            }]),
        }
    }

    async fn nodes(&self, _: At) -> Result<Vec<NodeInfo>, Refusal> {
        let (name, node, node_status) = ("e@h".to_owned(), "e@h".to_owned(), "Stopped".to_owned());
        Ok(vec![NodeInfo::Stopped { name, node, node_status }])
    }

    async fn stats(&self, _: At) -> Result<Vec<NodeStats>, Refusal> {
        let stats =
            BTreeMap::from([("connections.count".into(), 1), ("a.long.name.of.thirty.letters".into(), 12)]);
        Ok(vec![NodeStats { node: self.name(), stats }])
    }

    async fn metrics(&self, _: At) -> Result<Vec<NodeMetrics>, Refusal> {
        Ok(vec![NodeMetrics { node: self.name(), metrics: BTreeMap::from([("messages.forward".into(), 7)]) }])
    }

    async fn clients(&self, at: At, who: Who, page: Page) -> Result<Listing<Client>, Refusal> {
        self.note(format!("clients {at:?} {who:?} {} {}", page.page, page.limit));
        let wanted: Vec<Client> = self
            .clients
            .iter()
            .filter(|client| match &who {
                Who::Everyone => true,
                Who::ClientId(id) => client.clientid == *id,
                Who::Username(name) => client.username.as_ref() == Some(name),
            })
            .cloned()
            .collect();
        Ok(page.of(wanted.into_iter()))
    }

    async fn kick(&self, at: At, clientid: String) -> Result<bool, Refusal> {
        self.note(format!("kick {at:?} {clientid}"));
        Ok(self.clients.iter().any(|client| client.clientid == clientid))
    }

    async fn subscriptions(&self, _: At, who: Who, page: Page) -> Result<Listing<Subscription>, Refusal> {
        let all = [subscription("c1", "t/1"), subscription("c1", "t/2"), subscription("c2", "$share/g/t")];
        let wanted: Vec<Subscription> = match who {
            Who::ClientId(id) => all.into_iter().filter(|s| s.clientid == id).collect(),
            _ => all.into(),
        };
        Ok(page.of(wanted.into_iter()))
    }

    async fn subscribe(&self, clientid: String, topic: String, qos: u8) -> Result<bool, Refusal> {
        self.note(format!("subscribe {clientid} {topic} {qos}"));
        Ok(clientid == "c1")
    }

    async fn unsubscribe(&self, clientid: String, topic: String) -> Result<bool, Refusal> {
        self.note(format!("unsubscribe {clientid} {topic}"));
        Ok(clientid == "c1")
    }

    async fn routes(&self, topic: Option<String>, page: Page) -> Result<Listing<Route>, Refusal> {
        let route = |topic: &str, node: &str| Route { topic: topic.into(), node: node.into() };
        let all =
            [route("t/#", "emqx@s1.emqx.io"), route("t/#", "emqx@s2.emqx.io"), route("u", "emqx@s1.emqx.io")];
        let wanted: Vec<Route> =
            all.into_iter().filter(|r| topic.as_ref().is_none_or(|t| r.topic == *t)).collect();
        Ok(page.of(wanted.into_iter()))
    }

    async fn listeners(&self, _: At) -> Result<Vec<NodeListeners>, Refusal> {
        let listener = |identifier: &str, listen_on: &str, shutdown_count| Listener {
            identifier: identifier.into(),
            protocol: "mqtt:tcp".into(),
            listen_on: listen_on.into(),
            running: true,
            acceptors: 8,
            max_conns: 1_024_000,
            current_conns: 2,
            shutdown_count,
        };
        let ended = BTreeMap::from([("kicked".into(), 1), ("tcp closed".into(), 2)]);
        Ok(vec![NodeListeners {
            node: self.name(),
            listeners: vec![
                listener("mqtt:tcp:external", "0.0.0.0:1883", ended),
                listener("mqtt:tcp:internal", "127.0.0.1:11883", BTreeMap::new()),
            ],
        }])
    }

    async fn reread_certificates(&self, at: At) -> Result<(), Refusal> {
        self.note(format!("reread {at:?}"));
        match at {
            At::Node(node) => {
                Err(Refusal::new(Code::Unknown, "failed", format!("{node}: cannot use cert.pem")))
            }
            _ => Ok(()),
        }
    }

    async fn change_listener(&self, at: At, id: String, change: ListenerChange) -> Result<Listener, Refusal> {
        self.note(format!("{} {id}", change.word()));
        let found = self.listeners(at).await?.pop().into_iter().flat_map(|node| node.listeners);
        found
            .into_iter()
            .find(|listener| listener.identifier == id)
            .ok_or_else(|| Refusal::new(Code::Unknown, "not_found", format!("No such listener {id}")))
    }

    async fn retainer(&self) -> Result<RetainerInfo, Refusal> {
        Ok(RetainerInfo { retained: 3 })
    }

    async fn retained_topics(&self, page: Page) -> Result<Listing<String>, Refusal> {
        let topics = ["a".to_owned(), "b/c".to_owned(), "evil\u{1b}[2J\nline".to_owned()];
        Ok(page.of(topics.into_iter()))
    }

    async fn clean_retained(&self, filter: Option<String>) -> Result<Removal, Refusal> {
        self.note(format!("clean {filter:?}"));
        Ok(Removal { cleaned: if filter.is_some() { 1 } else { 3 } })
    }

    async fn vm(&self) -> Result<Vm, Refusal> {
        Ok(Vm {
            load: figures(json!({"load1": "0.25", "load5": "0.10", "load15": "0.01"})),
            memory: figures(json!({"total": 19_000_000, "used": 18_000_000})),
            process: figures(json!({"limit": 63_000, "count": 5})),
            io: figures(json!({"max_fds": 1_048_576, "active_fds": 12})),
            ports: figures(json!({"count": 3, "limit": 1_048_576})),
        })
    }

    async fn log(&self) -> Result<LogState, Refusal> {
        Ok(Fake::log_state("warning"))
    }

    async fn set_log_level(&self, level: String) -> Result<LogState, Refusal> {
        Ok(Fake::log_state(&level))
    }

    async fn set_primary_log_level(&self, level: String) -> Result<LogState, Refusal> {
        Ok(LogState { primary_level: level, ..Fake::log_state("warning") })
    }

    async fn change_log_handler(&self, id: String, change: LogChange) -> Result<LogState, Refusal> {
        self.note(format!("{id} {change:?}"));
        match (id.as_str(), change) {
            ("file", LogChange::Level(level)) => Ok(Fake::log_state(&level)),
            ("file", _) => Ok(Fake::log_state("warning")),
            _ => Err(Refusal::new(Code::Unknown, "not_found", "there is no log handler of that id")),
        }
    }

    async fn cluster_status(&self) -> ClusterStatus {
        self.status()
    }

    async fn cluster_join(&self, target: String) -> Result<JoinOutcome, ClusterError> {
        match target.as_str() {
            "emqx@s1.emqx.io" => Ok(JoinOutcome::Ignored),
            "emqx@s2.emqx.io" => Ok(JoinOutcome::Done(self.status())),
            "cookie@s1.emqx.io" => Err(ClusterError::about(ClusterCause::BadCookie, target)),
            _ => Err(ClusterError::about(ClusterCause::NodeDown, target)),
        }
    }

    async fn cluster_join_plan(&self, target: String) -> Result<Option<JoinPlan>, ClusterError> {
        match target.as_str() {
            "emqx@s1.emqx.io" => Ok(None),
            "emqx@s2.emqx.io" => Ok(Some(JoinPlan {
                node: target,
                leaves: vec!["emqx@s3.emqx.io".into()],
                clients: 12,
                sessions: 4,
                retained: 3,
                backup: "/srv/emqx/data/backup".into(),
            })),
            _ => Err(ClusterError::about(ClusterCause::NodeDown, target)),
        }
    }

    async fn cluster_leave(&self) -> Result<ClusterStatus, ClusterError> {
        if self.stopped.is_empty() {
            return Ok(ClusterStatus { running_nodes: vec![self.name()], ..ClusterStatus::default() });
        }
        Err(ClusterError::here(ClusterCause::NodeNotInCluster))
    }

    async fn cluster_force_leave(&self, target: String) -> Result<JoinOutcome, ClusterError> {
        match target.as_str() {
            "emqx@s1.emqx.io" => Ok(JoinOutcome::Ignored),
            "emqx@s2.emqx.io" => Ok(JoinOutcome::Done(self.status())),
            _ => Err(ClusterError::here(ClusterCause::NodeNotInCluster)),
        }
    }

    async fn cluster_heal(&self) -> Result<ClusterStatus, ClusterError> {
        Ok(self.status())
    }

    async fn cluster_discovery(&self, switch: Option<bool>) -> Result<Discovery, ClusterError> {
        let candidate =
            |node: &str, outcome: &str| DiscoveryCandidate { node: node.into(), outcome: outcome.into() };
        let answer = DiscoveryAnswer {
            asked: "cluster.static.seeds".into(),
            age_ms: 3_200,
            candidates: vec![
                candidate("emqx@s1.emqx.io", "this node"),
                candidate("emqx@s2.emqx.io", "not joined: no answer (node_down)"),
            ],
            remarks: vec!["a remark".into()],
        };
        Ok(Discovery {
            strategy: "static".into(),
            enabled: switch.unwrap_or(true),
            answer: switch.is_none().then_some(answer),
        })
    }

    async fn cluster_doctor(&self, target: Option<String>) -> Vec<Finding> {
        let finding = |check: &str, result, found: &str, advice: &str| Finding {
            node: target.clone().unwrap_or("emqx@s2.emqx.io".into()),
            check: check.into(),
            result,
            found: found.into(),
            advice: advice.into(),
        };
        let mut findings = vec![finding("port", Verdict::Ok, "10.0.0.2:4370 accepts connections", "")];
        if target.is_some() {
            findings.push(finding(
                "cookie",
                Verdict::Wrong,
                "the cookies differ",
                "set node.cookie to the same on both",
            ));
            findings.push(finding("way back", Verdict::Skipped, "not checked, because of the above", ""));
        }
        findings
    }
}

/// A folder of its own in the system's temporary one, removed when dropped.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("flockmq-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Serves a node on a thread of its own until dropped.
pub(crate) struct Served {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    pub fn start(data_dir: &std::path::Path, node: Arc<Fake>) -> Served {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let data_dir = data_dir.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let door = super::bind(&data_dir).expect("the socket can be bound");
                ready.send(()).expect("the test waits");
                super::serve(door, node, async { drop(stopped.await) }).await;
            });
        });
        is_ready.recv().expect("the server starts");
        Served { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

/// Compares a page made from a table with the one in `docs/reference`; with `UPDATE=1` writes it.
pub(crate) fn same_as_reference(name: &str, page: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is stale: run the test with UPDATE=1", path.display());
}
