//! Nodes that find one another: the loop that asks a strategy for names, asks who answers there, and joins
//! the oldest cluster among them. What is decided is in [`cluster::discovery`]; a strategy is a room of its own.
//!
//! Nobody ever leaves because of discovery: a name that vanishes removes no member.

mod datagram;
mod dns;
mod etcd;
pub(crate) mod http;
mod k8s;
mod mcast;
mod round;
mod seeds;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::discovery::{Candidate, Decision, decide};
use cluster::{Cause, Command, NodeName, Outcome};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::api::shapes::DiscoveryAnswer;
use crate::node::{ControlHandle, Prober};
use crate::settings::{Cluster, Discovery};
use dns::Dns;
use etcd::Etcd;
use k8s::K8s;
use mcast::Mcast;
use round::{Fate, Here, Reply, Round, Trouble};
use seeds::Static;

/// How long a candidate may take to say who it is, so that a dead one holds nobody up.
const WHO_LIMIT: Duration = Duration::from_secs(1);
/// Between rounds while this node is alone or a candidate is missing; up to [`CHANCE`] is added.
const RETRY: Duration = Duration::from_secs(5);
const CHANCE: Duration = Duration::from_secs(1);
/// Between rounds while listeners wait for a join that did not succeed at once.
const RETRY_SOON: Duration = Duration::from_millis(400);
/// Between rounds when all is well: clusters that grew up apart are to find each other too.
const REST: Duration = Duration::from_secs(30);
/// How long a join may take.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// More names than these are not asked.
const CANDIDATES_MAX: usize = 256;

/// What discovery last found, for operators; and a bell that begins a round at once.
#[derive(Default)]
pub struct Board {
    last: Mutex<Option<(DiscoveryAnswer, Instant)>>,
    wake: Notify,
}

impl Board {
    /// Begins a round now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The last answer, with its age.
    pub fn answer(&self) -> Option<DiscoveryAnswer> {
        let last = self.last.lock();
        let (answer, at) = last.as_ref()?;
        let age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(DiscoveryAnswer { age_ms, ..answer.clone() })
    }
}

/// How names are found.
enum Strategy {
    Static(Static),
    Mcast(Box<Mcast>),
    Dns(Dns),
    Etcd(Box<Etcd>),
    K8s(Box<K8s>),
}

impl Strategy {
    fn of(settings: &Cluster, own: &NodeName, cookies: &[Vec<u8>], board: &Arc<Board>) -> Option<Strategy> {
        Some(match &settings.discovery {
            Discovery::Manual => return None,
            Discovery::Static { seeds } => Strategy::Static(Static::new(seeds)),
            Discovery::Mcast { addr, ports, iface, ttl, looped } => {
                let reach = mcast::Reach {
                    group: *addr,
                    ports: ports.clone(),
                    iface: *iface,
                    ttl: *ttl,
                    looped: *looped,
                };
                let seal = datagram::Seal {
                    node: own.clone(),
                    cluster: settings.name.clone(),
                    cookies: cookies.to_vec(),
                };
                Strategy::Mcast(Box::new(Mcast::new(reach, seal)))
            }
            Discovery::Dns { name, app, records } => Strategy::Dns(Dns::new(name, app, *records)),
            Discovery::Etcd { servers, prefix, node_ttl, version, login, ssl } => {
                Strategy::Etcd(Box::new(Etcd::new(etcd::Config {
                    servers: servers.clone(),
                    prefix: prefix.clone(),
                    cluster: settings.name.clone(),
                    node: own.to_string(),
                    node_ttl: *node_ttl,
                    version: *version,
                    login: login.clone(),
                    ssl: ssl.clone(),
                })))
            }
            Discovery::K8s { apiserver, service_name, address_type, app_name, namespace, suffix } => {
                let naming = k8s::Naming {
                    app: app_name.clone(),
                    kind: *address_type,
                    suffix: suffix.clone(),
                    namespace: namespace.clone(),
                    service: service_name.clone(),
                };
                Strategy::K8s(Box::new(K8s::new(apiserver, naming, board.clone())))
            }
        })
    }

    /// What is asked, in words.
    fn asks(&self) -> String {
        match self {
            Strategy::Static(seeds) => seeds.asks(),
            Strategy::Mcast(mcast) => mcast.asks(),
            Strategy::Dns(dns) => dns.asks(),
            Strategy::Etcd(etcd) => etcd.asks(),
            Strategy::K8s(k8s) => k8s.asks(),
        }
    }

    /// The names of nodes, as they came; or why there are none, in words.
    async fn ask(&mut self) -> Result<Vec<String>, String> {
        match self {
            Strategy::Static(seeds) => Ok(seeds.ask()),
            Strategy::Mcast(mcast) => mcast.ask().await,
            Strategy::Dns(dns) => dns.ask().await,
            Strategy::Etcd(etcd) => etcd.ask().await,
            Strategy::K8s(k8s) => k8s.ask().await,
        }
    }

    /// What followed from the answer is done.
    async fn settled(&mut self) {
        if let Strategy::Etcd(etcd) = self {
            etcd.settled().await;
        }
    }

    /// What was noticed besides, such as nodes with another cookie; empty for nothing.
    fn noticed(&mut self) -> String {
        match self {
            Strategy::Static(_) | Strategy::Dns(_) => String::new(),
            Strategy::Mcast(mcast) => mcast.noticed(),
            Strategy::Etcd(etcd) => etcd.noticed(),
            Strategy::K8s(k8s) => k8s.noticed(),
        }
    }

    /// This node is to be found by nobody for now.
    async fn hide(&mut self) {
        match self {
            Strategy::Static(_) | Strategy::Dns(_) | Strategy::K8s(_) => {}
            Strategy::Mcast(mcast) => mcast.hide(),
            Strategy::Etcd(etcd) => etcd.hide().await,
        }
    }
}

/// The loop of this node.
pub struct Discoverer {
    strategy: Strategy,
    own: NodeName,
    control: ControlHandle,
    prober: Arc<Prober>,
    board: Arc<Board>,
    /// Fired when the first round has ended.
    first: Option<oneshot::Sender<()>>,
    /// What was said last, so that the same is not said every five seconds.
    said: String,
    warned: Option<Trouble>,
    refused: Option<(NodeName, Cause)>,
}

/// Begins to discover, where a strategy is configured that acts. The receiver hears when the first round has
/// ended: this node has joined, or there is nobody older to join.
pub fn start(
    settings: &Cluster,
    own: &NodeName,
    control: ControlHandle,
    prober: Prober,
    board: Arc<Board>,
) -> Option<(Discovering, oneshot::Receiver<()>)> {
    let strategy = Strategy::of(settings, own, &prober.bus.cookies, &board)?;
    let (first, first_round) = oneshot::channel();
    let (end, ends) = oneshot::channel();
    let discoverer = Discoverer {
        strategy,
        own: own.clone(),
        control,
        prober: Arc::new(prober),
        board,
        first: Some(first),
        said: String::new(),
        warned: None,
        refused: None,
    };
    let task = tokio::task::spawn_local(discoverer.run(ends));
    Some((Discovering { task, end }, first_round))
}

/// The loop, running.
pub struct Discovering {
    task: tokio::task::JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Discovering {
    /// Ends the loop; what tells others of this node is taken back, within a second.
    pub async fn end(self) {
        let _ = self.end.send(());
        let abort = self.task.abort_handle();
        if tokio::time::timeout(Duration::from_secs(1), self.task).await.is_err() {
            abort.abort();
        }
    }
}

impl Discoverer {
    async fn run(mut self, mut ends: oneshot::Receiver<()>) {
        let board = self.board.clone();
        loop {
            let round = async {
                let rest = self.round().await;
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    () = board.wake.notified() => {}
                }
            };
            tokio::select! {
                () = round => {}
                _ = &mut ends => break,
            }
        }
        self.strategy.hide().await;
    }

    /// One round; how long to rest after it.
    async fn round(&mut self) -> Duration {
        let Some(here) = self.here().await else { return RETRY };
        if here.stays_out {
            self.strategy.hide().await;
            *self.board.last.lock() = None;
            self.first_has_ended();
            return RETRY;
        }
        let (names, failed) = match self.strategy.ask().await {
            Ok(names) => (names, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let replies = self.who_is_there(names, &here).await;
        let found: Vec<Candidate> = replies.iter().filter_map(round::candidate).collect();
        let decision = decide(here.cluster, here.stays_out, &found);
        let mut round =
            Round::new(&here, replies, &decision, self.strategy.asks(), failed, self.strategy.noticed());
        if let Decision::Join(target) = decision {
            self.say(&round);
            tracing::info!(node = %target, "its cluster is older: this node joins it");
            let fate = self.join(&target).await;
            round.joined(&target, fate);
        }
        self.strategy.settled().await;
        round.notice(self.strategy.noticed());
        self.say(&round);
        self.warn(&round);
        let outcome = (round.wants_more(), round.join_failed());
        *self.board.last.lock() = Some((round.answer(), Instant::now()));
        match outcome {
            (_, true) if self.first.is_some() => RETRY_SOON,
            (more, _) => {
                self.first_has_ended();
                if more { RETRY + chance() } else { REST }
            }
        }
    }

    fn first_has_ended(&mut self) {
        if let Some(first) = self.first.take() {
            // Nobody waits any more when the node has waited long enough, or ends.
            let _ = first.send(());
        }
    }

    async fn here(&self) -> Option<Here> {
        let asked = self.control.ask(|control| {
            let node = control.node();
            let status = node.status();
            Here {
                cluster: node.identity().cluster,
                stays_out: node.stays_out(),
                running: status.running,
                stopped: status.stopped,
            }
        });
        asked.await.ok()
    }

    /// Asks all at once who they are. In the order of the names.
    async fn who_is_there(&self, mut names: Vec<String>, here: &Here) -> Vec<(String, Reply)> {
        names.truncate(CANDIDATES_MAX);
        let mut asking = JoinSet::new();
        for (place, text) in names.iter().enumerate() {
            let (text, prober, own) = (text.clone(), self.prober.clone(), self.own.clone());
            let running = NodeName::parse(&text).is_ok_and(|name| here.running.contains(&name));
            asking.spawn_local(async move {
                let reply = match NodeName::parse(&text) {
                    Err(_) => Reply::NoName,
                    Ok(name) if name == own => Reply::Myself,
                    // It is connected to this node: nothing is to be learned.
                    Ok(_) if running => Reply::Member,
                    Ok(name) => who(&prober, name).await,
                };
                (place, reply)
            });
        }
        let mut replies: Vec<(usize, Reply)> = asking.join_all().await;
        replies.sort_by_key(|(place, _)| *place);
        names.into_iter().zip(replies.into_iter().map(|(_, reply)| reply)).collect()
    }

    async fn join(&mut self, target: &NodeName) -> Fate {
        let name = target.clone();
        let told = self.control.ask(move |control| control.command(Command::Join(name)));
        let outcome = async { told.await.ok()?.await.ok() };
        let outcome = tokio::time::timeout(JOIN_LIMIT, outcome).await;
        let cause = match outcome {
            Ok(Some(Outcome::Failed(cause))) => cause,
            Ok(Some(_)) => {
                tracing::info!(node = %target, "this node has joined");
                self.refused = None;
                return Fate::Joined;
            }
            Ok(None) => Cause::Closed,
            Err(_) => Cause::TimedOut,
        };
        let refused = Some((target.clone(), cause));
        if self.refused != refused {
            tracing::warn!(node = %target, %cause, "this node could not join; it tries again");
            self.refused = refused;
        }
        Fate::JoinFailed(cause)
    }

    /// What was asked, whom, and what came back. The same again is only for who looks closely.
    fn say(&mut self, round: &Round) {
        let text = round.to_string();
        if text == self.said {
            tracing::debug!("discovery: {text}");
        } else {
            tracing::info!("discovery: {text}");
            self.said = text;
        }
    }

    fn warn(&mut self, round: &Round) {
        let trouble = round.trouble();
        if let Some(trouble) = trouble
            && self.warned != Some(trouble)
        {
            tracing::warn!("discovery finds nobody: {}", round.why(trouble));
        }
        self.warned = trouble;
    }
}

async fn who(prober: &Prober, name: NodeName) -> Reply {
    match tokio::time::timeout(WHO_LIMIT, prober.who(name)).await {
        Ok(Ok(peer)) => Reply::Cluster(peer.cluster),
        Ok(Err(Cause::Myself)) => Reply::Myself,
        Ok(Err(cause)) => Reply::Silent(cause),
        Err(_) => Reply::Silent(Cause::TimedOut),
    }
}

/// So that nodes that were started together do not go on in step.
fn chance() -> Duration {
    CHANCE.mul_f64(f64::from(u16::from_ne_bytes(crate::chance::bytes())) / f64::from(u16::MAX))
}
