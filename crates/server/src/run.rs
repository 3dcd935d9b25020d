//! A node from its start to its end: everything is bound and opened before anything serves, so that what
//! is wrong is said at once; and everything ends in the reverse order.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use broker::routes::{Interest, Place};
use broker::settings::MailboxRules;
use broker::{ShardConfig, Zone};
use parking_lot::{Mutex, RwLock};
use store::Store;
use tokio::sync::{Notify, oneshot};

use crate::access::{AccessStore, Asking, Gate};
use crate::api;
use crate::cli::{Ready, StartError};
use crate::discover::{self, Board};
use crate::epmd::{self, Registration};
use crate::listeners::Listeners;
use crate::node::{self, BusSettings, Control, ControlHandle, Parts};
use crate::operator::Operator;
use crate::persist::{self, DiskThread};
use crate::pressure::Gauge;
use crate::retained::RetainedStore;
use crate::revoked;
use crate::settings::{self, Settings};
use crate::shard::pace::Bucket;
use crate::shard::{self, Clock, ShardHandle, ShardMessage, Shared};
use crate::stapled;
use crate::tls;
use crate::twin::Twin;

/// Shards are numbered by the bits of one word.
const SHARDS_MAX: usize = 64;
/// How long clients may take to go when the node stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(4);

/// Runs a node until it is told to stop.
pub fn run(settings: Settings, ready: Ready) -> Result<(), StartError> {
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| StartError(format!("The control thread cannot start: {e}")))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(settings, ready))
}

async fn serve(settings: Settings, ready: Ready) -> Result<(), StartError> {
    let name = cluster::NodeName::parse(&settings.node.name)
        .map_err(|_| StartError(format!("{} is no valid node name", settings.node.name)))?;
    let shards = shard_count(&settings);
    let bus = bus_settings(&settings);
    bus.check().map_err(|why| StartError(format!("TLS between nodes cannot be used: {why}")))?;
    let bus_socket = bind_bus(&settings)?;
    let registration = register(&settings, &name, &bus_socket).await?;
    let zones = Zones::of(&settings);
    let listeners = Arc::new(Listeners::bind(&settings, &zones, shards)?);

    let clock = Arc::new(Clock::new(cluster::NodeId::default()));
    let store = Store::open(&settings.node.data_dir.join("store")).map_err(|e| StartError(e.to_string()))?;
    let disk = persist::start(store.clone()).map_err(|e| StartError(format!("The disk thread: {e}")))?;
    let mut loaded = Vec::new();
    let retained =
        RetainedStore::open(&store, disk.disk(), clock.clone(), retained_limits(&settings), |stamp| {
            loaded.push(stamp);
        });
    let retained = Arc::new(RwLock::new(retained.map_err(|e| StartError(e.to_string()))?));
    let access = AccessStore::open(&store, disk.disk(), clock.clone(), |stamp| loaded.push(stamp));
    let access = access.map_err(|e| StartError(e.to_string()))?;
    let file = settings.access.acl_file.clone().filter(|_| settings.modules.acl_internal);
    let gate = Arc::new(Gate::open(file, &access).map_err(StartError)?);

    let unstarted = (0..shards).map(|_| shard::prepare()).collect::<Result<Vec<_>, _>>();
    let unstarted = unstarted.map_err(|e| StartError(format!("A shard cannot start: {e}")))?;
    let handles: Vec<ShardHandle> = unstarted.iter().map(|u| u.handle()).collect();

    let bell = Arc::new(Notify::new());
    let (sender, inbox) = crate::inbox::inbox(Box::new(Ring(bell.clone())));
    let seed = u64::from_ne_bytes(crate::chance::bytes());
    let interest = Twin::new(Interest::new(seed), Interest::new(seed));
    let memory = Arc::new(Gauge::new(settings.node.max_memory));
    let shared = Arc::new(Shared {
        shards,
        interest: interest.reader(),
        retained: retained.clone(),
        disk: disk.disk(),
        gate: gate.clone(),
        memory: memory.clone(),
        clock: clock.clone(),
        control: sender.clone(),
        has_peers: Arc::new(AtomicBool::new(false)),
    });
    let mut control = Control::new(Parts {
        setup: cluster_setup(&settings, name.clone())?,
        bus: bus.clone(),
        shards: handles.clone(),
        interest,
        shared: shared.clone(),
        access,
        loaded,
        data_dir: settings.node.data_dir.clone(),
    })
    .map_err(StartError)?;

    let threads = start_shards(unstarted, &settings, &shared, &handles, &control)?;
    let handle = ControlHandle { sender: sender.clone() };
    let board = Arc::new(Board::default());
    let operator = Arc::new(Operator::new(
        &settings,
        bus.clone(),
        handle.clone(),
        handles.clone(),
        listeners.clone(),
        retained,
        gate,
        memory.clone(),
        clock.clone(),
        control.fx().local(),
        board.clone(),
    ));
    operator.clone().serve_peers(&mut control);
    crate::sys::publish_alarms(&operator, &mut control);
    if let Some(qos) = settings.modules.presence_qos.and_then(mqtt::QoS::from_bits) {
        crate::sys::publish_presence(&operator, &mut control, qos);
    }

    let door = api::bind(&settings.node.data_dir).map_err(|e| {
        StartError(format!("The control socket in {}: {e}", settings.node.data_dir.display()))
    })?;
    let (end_api, api_ends) = oneshot::channel::<()>();
    let serving = tokio::task::spawn_local(api::serve(door, operator.clone(), async {
        let _ = api_ends.await;
    }));
    let accepting = tokio::net::TcpListener::from_std(bus_socket)
        .map_err(|e| StartError(format!("The cluster port cannot be polled: {e}")))?;
    let local = control.fx().local();
    let own = move || local.read().clone().expect("a node knows itself before it serves");
    let prober = node::Prober { bus: bus.clone(), local: control.fx().local(), clock: clock.clone() };
    let accepting = node::accept(accepting, bus, own, clock.clone(), sender.clone(), board.clone());
    let accepting = tokio::task::spawn_local(accepting);
    if let Some(registration) = registration {
        // Ends with the process: so long the name is its.
        tokio::task::spawn_local(registration.keep());
    }
    let (end_control, control_ends) = oneshot::channel();
    let members_changed = control.members_changed();
    let controlling = tokio::task::spawn_local(control.run(inbox, bell, control_ends));
    let chores = crate::sys::publish(operator.clone(), settings.broker.clone(), members_changed);
    let mut chores = vec![tokio::task::spawn_local(chores)];
    let watching = crate::pressure::watch(memory.clone(), handles.clone(), handle.clone());
    chores.push(tokio::task::spawn_local(watching));

    let discovering = discover::start(&settings.cluster, &name, handle, prober, board);
    let mut told_to_stop = std::pin::pin!(wait_for_signal());
    // Whoever is let in before this node has joined would be cut off by the join.
    let (discovering, first_round) = discovering.unzip();
    tokio::select! {
        () = &mut told_to_stop => {}
        () = first_round_of(first_round, settings.cluster.join_wait) => {
            // Without its lists a listener would have to refuse clients that are good.
            let pace = settings.revocation;
            let whole = tokio::time::timeout(pace.limit, revoked::fetch(&listeners, pace)).await;
            let keeping = revoked::keep(listeners.clone(), pace, whole.unwrap_or(false));
            chores.push(tokio::task::spawn_local(keeping));
            for how in listeners.stapled() {
                chores.push(tokio::task::spawn_local(stapled::keep(how.clone())));
            }
            operator.make_users(&settings.access.users).await;
            listeners.open(&handles, &ready);
            ready.ready();
            tracing::info!(shards, "the node serves");
            told_to_stop.await;
        }
    }
    tracing::info!("the node stops");
    if let Some(discovering) = discovering {
        discovering.end().await;
    }
    for chore in chores {
        chore.abort();
    }
    listeners.close_quic();
    drain(&handles).await;
    listeners.end_quic().await;
    listeners.clear_away();
    accepting.abort();
    let _ = end_control.send(());
    let _ = controlling.await;
    let _ = end_api.send(());
    let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
    end(handles, threads, disk);
    tracing::info!("the node has stopped");
    Ok(())
}

/// Until the first round of discovery has ended, where there is one; at most `limit`.
async fn first_round_of(ended: Option<oneshot::Receiver<()>>, limit: Duration) {
    let Some(ended) = ended else { return };
    if tokio::time::timeout(limit, ended).await.is_err() {
        tracing::warn!(
            ?limit,
            "discovery takes longer than cluster.join_wait: clients are let in before it ends"
        );
    }
}

/// Rings the control thread's bell.
struct Ring(Arc<Notify>);

impl crate::inbox::Wake for Ring {
    fn wake(&self) {
        self.0.notify_one();
    }
}

fn shard_count(settings: &Settings) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = if settings.node.shards == 0 { cores } else { settings.node.shards };
    wanted.clamp(1, SHARDS_MAX)
}

fn bus_settings(settings: &Settings) -> BusSettings {
    let cookies = std::iter::once(&settings.node.cookie).chain(&settings.node.cookie_accept);
    BusSettings {
        ipv6: settings.cluster.proto_dist == settings::ProtoDist::Inet6Tcp,
        epmd: settings.node.epmd,
        tls: (settings.cluster.proto_dist == settings::ProtoDist::InetTls)
            .then(|| settings.node.ssl_dist_optfile.clone())
            .flatten()
            .map(|path| (path, settings.root.clone())),
        cookies: cookies.map(|cookie| cookie.reveal().as_bytes().to_vec()).collect(),
    }
}

fn bind_bus(settings: &Settings) -> Result<std::net::TcpListener, StartError> {
    let protocol = if settings.node.epmd.is_some() { "inet_tcp" } else { "ekka" };
    let refused = |why: String| StartError(format!("Protocol '{protocol}': register/listen error: {why}"));
    let (mut first, mut last) = (None, 0);
    for mut address in settings.peer_addresses() {
        if settings.cluster.proto_dist == settings::ProtoDist::Inet6Tcp && address.ip().is_unspecified() {
            address.set_ip(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
        match node::listen(address) {
            Ok(socket) => return Ok(socket),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                last = address.port();
                first.get_or_insert(last);
            }
            Err(error) => return Err(refused(format!("{address}: {error}"))),
        }
    }
    let first = first.unwrap_or(last);
    Err(refused(if first == last {
        format!("\"port {first} is in use\"")
    } else {
        format!("\"the ports {first} to {last} (node.dist_listen_min to node.dist_listen_max) are in use\"")
    }))
}

/// In epmd mode: the name and the port, where peers look for them.
async fn register(
    settings: &Settings,
    name: &cluster::NodeName,
    bus_socket: &std::net::TcpListener,
) -> Result<Option<Registration>, StartError> {
    let Some(epmd) = settings.node.epmd else { return Ok(None) };
    let port = bus_socket.local_addr().map_err(|e| StartError(format!("The cluster port: {e}")))?.port();
    let ipv6 = settings.cluster.proto_dist == settings::ProtoDist::Inet6Tcp;
    match Registration::new(name.short(), port, epmd, ipv6).await {
        Ok(registration) => Ok(Some(registration)),
        Err(epmd::Refused::Taken) => Err(StartError(format!(
            "Protocol 'inet_tcp': the name {name} seems to be in use by another Erlang node"
        ))),
        Err(epmd::Refused::NoEpmd(why)) => {
            Err(StartError(format!("The port mapper (epmd) on port {epmd} does not answer: {why}")))
        }
    }
}

fn cluster_setup(settings: &Settings, name: cluster::NodeName) -> Result<cluster::Setup, StartError> {
    let path = settings.node.data_dir.join(node::STATE_FILE);
    let state = match std::fs::read(&path) {
        Ok(state) => Some(state),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(StartError(format!("{} cannot be read: {e}", path.display()))),
    };
    Ok(cluster::Setup {
        name,
        state,
        seed: crate::chance::bytes(),
        tables: vec![node::ROUTES, node::GROUPS, node::CLIENTS, node::EXCLUSIVE],
        maps: vec![node::RETAINED, node::ACCESS],
        autoclean: settings.cluster.autoclean,
        autoheal: settings.cluster.autoheal,
    })
}

fn retained_limits(settings: &Settings) -> broker::retained::Limits {
    let retainer = &settings.retainer;
    broker::retained::Limits {
        messages_max: retainer.max_retained_messages.unwrap_or(0),
        payload_bytes_max: retainer.max_payload_size.unwrap_or(0),
        expiry_secs: retainer.expiry_interval.map_or(0, |d| d.as_secs()),
    }
}

fn start_shards(
    unstarted: Vec<shard::Unstarted>,
    settings: &Settings,
    shared: &Arc<Shared>,
    handles: &[ShardHandle],
    control: &Control,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let incarnation = control.identity().incarnation;
    let node_key = node::key_of(&settings.node.name);
    let mut threads = Vec::new();
    for (number, unstarted) in unstarted.into_iter().enumerate() {
        let config = ShardConfig {
            place: Place::shard(number as u16),
            node_key,
            seed: u64::from_ne_bytes(crate::chance::bytes()),
            settings: broker_settings(&settings.broker),
            access: Box::new(Asking(shared.gate.clone())),
        };
        let thread = unstarted
            .start(number, config, shared.clone(), handles.to_vec(), incarnation)
            .map_err(|e| StartError(format!("A shard's thread cannot start: {e}")))?;
        threads.push(thread);
    }
    Ok(threads)
}

fn broker_settings(settings: &settings::Broker) -> broker::Settings {
    broker::Settings {
        shared_strategy: strategy(settings.shared_strategy),
        group_strategies: settings
            .shared_strategy_of
            .iter()
            .map(|(g, s)| (g.clone(), strategy(*s)))
            .collect(),
        shared_ack: settings.shared_dispatch_ack,
        registry: settings.enable_session_registry,
    }
}

fn strategy(of: settings::SharedStrategy) -> broker::settings::Strategy {
    use broker::settings::Strategy;
    use settings::SharedStrategy as Setting;
    match of {
        Setting::Random => Strategy::Random,
        Setting::RoundRobin => Strategy::RoundRobin,
        Setting::Sticky => Strategy::Sticky,
        Setting::Hash | Setting::HashClientid => Strategy::HashClientId,
        Setting::HashTopic => Strategy::HashTopic,
        Setting::Local => Strategy::Local,
    }
}

/// The zones of the listeners, made once each.
pub(crate) struct Zones {
    made: std::collections::BTreeMap<String, Arc<Zone>>,
    /// What all connections of a zone may have passed on together, over all its listeners.
    routing: std::collections::BTreeMap<String, Arc<Mutex<Bucket>>>,
}

impl Zones {
    fn of(settings: &Settings) -> Zones {
        let made = settings.zones.iter().map(|(name, z)| (name.clone(), Arc::new(zone(z, settings))));
        let routing = settings.zones.iter().filter_map(|(name, z)| {
            let bucket = Bucket::new(z.overall_messages_routing?);
            Some((name.clone(), Arc::new(Mutex::new(bucket))))
        });
        Zones { made: made.collect(), routing: routing.collect() }
    }

    pub(crate) fn get(&self, of: &settings::Zone, settings: &Settings) -> Arc<Zone> {
        self.made.get(&of.name).cloned().unwrap_or_else(|| Arc::new(zone(of, settings)))
    }

    /// What all connections of that zone may have passed on together, where that has a limit.
    pub(crate) fn routing(&self, zone: &str) -> Option<Arc<Mutex<Bucket>>> {
        self.routing.get(zone).cloned()
    }
}

fn zone(from: &settings::Zone, settings: &Settings) -> Zone {
    Zone {
        name: from.name.clone(),
        logins: if from.bypass_auth_plugins {
            broker::settings::Logins::Anyone
        } else {
            broker::settings::Logins::Known {
                others: from.allow_anonymous == settings::Anonymous::Allow,
                nameless: from.allow_anonymous != settings::Anonymous::DenyAtOnce,
            }
        },
        acl: from.enable_acl,
        acl_no_match: if from.acl_nomatch_allow {
            broker::access::Verdict::Allow
        } else {
            broker::access::Verdict::Deny
        },
        decided: settings
            .access
            .acl_cache
            .map(|(entries_max, ttl)| broker::settings::DecidedRules { entries_max, ttl }),
        denied: match from.acl_deny_action {
            settings::DenyAction::Ignore => broker::settings::DenyAction::Ignore,
            settings::DenyAction::Disconnect => broker::settings::DenyAction::Disconnect,
        },
        ban: from.enable_ban,
        packet_bytes_max: from.max_packet_size,
        client_id_chars_max: from.max_clientid_len,
        topic_levels_max: from.max_topic_levels.unwrap_or(0),
        qos_max: from.max_qos_allowed,
        topic_alias_max: from.max_topic_alias,
        retain: from.retain_available && settings.retainer.enabled,
        wildcard_subscription: from.wildcard_subscription,
        shared_subscription: from.shared_subscription,
        exclusive_subscription: from.exclusive_subscription,
        ignore_loop_deliver: from.ignore_loop_deliver,
        strict: from.strict_mode,
        server_keepalive: from.server_keepalive,
        keepalive_backoff: from.keepalive_backoff,
        subscriptions_max: from.max_subscriptions.unwrap_or(0),
        upgrade_qos: from.upgrade_qos,
        inflight_max: from.max_inflight.unwrap_or(0),
        retry_interval: from.retry_interval,
        awaiting_rel_max: from.max_awaiting_rel.unwrap_or(0),
        await_rel_timeout: from.await_rel_timeout,
        session_expiry_interval: from.session_expiry_interval,
        mailbox: MailboxRules {
            len_max: from.max_mqueue_len.unwrap_or(0),
            store_qos0: from.mqueue_store_qos0,
            priorities: from.mqueue_priorities.clone(),
            default_priority: if from.mqueue_default_highest {
                broker::settings::DefaultPriority::Highest
            } else {
                broker::settings::DefaultPriority::Lowest
            },
        },
        mountpoint: from.mountpoint.clone(),
        username_as_client_id: from.use_username_as_clientid,
        response_information: from.response_information.clone(),
        quota: from.conn_messages_routing.is_some() || from.overall_messages_routing.is_some(),
        waiting_max: from
            .force_shutdown_policy
            .map(|(messages, bytes)| broker::settings::WaitingMax { messages, bytes }),
    }
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be waited for; only kill -9 ends this node");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Listeners close, clients are told, and have a while to go.
async fn drain(shards: &[ShardHandle]) {
    for shard in shards {
        let _ = shard
            .ask(|worker| {
                worker.stop_listening();
                let (machine, fx, now) = worker.machine();
                machine.drain(now, fx);
            })
            .await;
    }
    let gone = async {
        loop {
            let mut open = 0;
            for shard in shards {
                open += shard.ask(|worker| worker.unfinished()).await.unwrap_or(0);
            }
            if open == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(DRAIN_LIMIT, gone).await.is_err() {
        tracing::warn!("some clients did not take their last bytes and are cut off");
    }
}

fn end(shards: Vec<ShardHandle>, threads: Vec<JoinHandle<()>>, disk: DiskThread) {
    for shard in &shards {
        shard.sender.send(ShardMessage::Stop);
    }
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a shard's thread has panicked");
        }
    }
    disk.stop();
}
