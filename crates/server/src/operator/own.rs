//! This node's own answers, put together from its shards and its control thread.

use super::*;
use crate::api::shapes::Verdict;
use crate::host;
use crate::listener::Listener;

fn listener_shape(listener: &Listener, running: bool) -> ListenerShape {
    ListenerShape {
        identifier: listener.id.to_string(),
        protocol: format!("mqtt:{}", listener.protocol.word()),
        listen_on: listener.address.to_string(),
        running,
        acceptors: listener.acceptors,
        max_conns: listener.connections_max,
        current_conns: listener.current(),
        shutdown_count: listener.ended().into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
    }
}

impl Operator {
    pub(super) async fn own_broker(&self) -> Broker {
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

    pub(super) async fn own_node(&self) -> RunningNode {
        let stats = self.own_stats().await;
        let count = |name: &str| stats.get(name).copied().unwrap_or(0);
        let load = host::load();
        let (used, _) = host::memory();
        let (open, max) = host::descriptors();
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
            memory_total: words::size(host::total_memory()),
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
        stats.insert("memory.used".into(), self.memory.used());
        stats.insert("memory.limit".into(), self.memory.limit().unwrap_or(0));
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
                ("overload.connects", traffic.turned_away),
                ("overload.paused", traffic.paused),
            ] {
                *metrics.entry(name.to_owned()).or_default() += value;
            }
        }
        metrics
    }

    pub(super) async fn own_clients(&self, id: Option<String>, username: Option<String>) -> Vec<Client> {
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

    pub(super) async fn own_kick(&self, id: String) -> bool {
        let key = id.clone();
        let kicked = self.at_home(&id, move |worker| {
            let (machine, fx, now) = worker.machine();
            machine.kick(&key, now, fx)
        });
        kicked.await.unwrap_or(false)
    }

    pub(super) async fn own_subscriptions(&self, id: Option<String>) -> Vec<Subscription> {
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

    pub(super) async fn own_subscribe(&self, id: String, topic: String, qos: u8) -> bool {
        let key = id.clone();
        let done = self.at_home(&id, move |worker| {
            let (machine, fx, _) = worker.machine();
            mqtt::QoS::from_bits(qos).is_some_and(|qos| machine.subscribe_for(&key, &topic, qos, fx))
        });
        done.await.unwrap_or(false)
    }

    pub(super) async fn own_unsubscribe(&self, id: String, topic: String) -> bool {
        let key = id.clone();
        let done = self.at_home(&id, move |worker| {
            let (machine, fx, _) = worker.machine();
            machine.unsubscribe_for(&key, &topic, fx)
        });
        done.await.unwrap_or(false)
    }

    pub(super) fn own_listeners(&self) -> Vec<ListenerShape> {
        self.listeners.each().map(|(listener, runs)| listener_shape(listener, runs)).collect()
    }

    pub(super) async fn own_listener_change(
        &self,
        id: &str,
        change: ListenerChange,
    ) -> Result<ListenerShape, NotChanged> {
        let changed = match change {
            ListenerChange::Start => self.listeners.start(id, &self.shards).await,
            ListenerChange::Stop => self.listeners.stop(id, &self.shards).await,
            ListenerChange::Restart => self.listeners.restart(id, &self.shards).await,
        };
        changed.map(|listener| listener_shape(&listener, change != ListenerChange::Stop))
    }

    /// What automatic discovery has to say for itself, for `cluster doctor`; none when nodes are joined by hand.
    pub(super) async fn discovery_finding(&self) -> Option<Finding> {
        if self.discovery == "manual" {
            return None;
        }
        let stays_out = self.control.ask(|control| control.node().stays_out()).await.unwrap_or(false);
        let alone = self.status().await.running_nodes.len() < 2;
        let (result, found, advice) = match self.board.answer().filter(|_| !stays_out) {
            None if stays_out => (
                Verdict::Skipped,
                format!("{} rests, because this node left its cluster", self.discovery),
                "`emqx_ctl cluster discovery on`, or a join, ends that",
            ),
            None => (Verdict::Skipped, format!("{}: the first round goes on", self.discovery), ""),
            Some(answer) => {
                let outcomes = answer.candidates.iter().map(|c| format!("{} ({})", c.node, c.outcome));
                let all: Vec<String> = outcomes.chain(answer.remarks.iter().cloned()).collect();
                let found = format!("asked {}: {}", answer.asked, all.join(", "));
                if alone {
                    let advice = "it found nobody to be in a cluster with: check what was asked, and that the names it gave are node names that answer";
                    (Verdict::Wrong, found, advice)
                } else {
                    (Verdict::Ok, found, "")
                }
            }
        };
        let (node, check, advice) = (self.name.clone(), "discovery".into(), advice.into());
        Some(Finding { node, check, result, found, advice })
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
