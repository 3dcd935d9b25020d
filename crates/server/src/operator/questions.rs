//! The questions of the REST API, answered for the node or for the cluster.

use super::*;
use crate::host;

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

    async fn change_listener(
        &self,
        at: At,
        id: String,
        change: ListenerChange,
    ) -> Result<ListenerShape, Refusal> {
        let question = Question::ChangeListener(id.clone(), change);
        let mut all = self.answers::<Result<ListenerShape, NotChanged>>(at, question).await?;
        let Some((node, answer)) = all.pop() else { return Err(Refusal::node_down(&self.name)) };
        answer.map_err(|why| {
            let verb = change.word();
            let (error, message) = match why {
                NotChanged::Unknown => ("not_found", format!("No such listener {id}")),
                NotChanged::Already if change == ListenerChange::Stop => {
                    ("already", format!("Failed to stop {id} listener: it is stopped already"))
                }
                NotChanged::Already => ("already", format!("Failed to {verb} {id} listener: it runs already")),
                NotChanged::Failed(why) => (
                    "failed",
                    format!("Failed to {verb} {id} listener: {why}. Nothing has changed; correct that and try again"),
                ),
            };
            Refusal { node: Some(node), ..Refusal::new(Code::Unknown, error, message) }
        })
    }

    async fn reread_certificates(&self, at: At) -> Result<(), Refusal> {
        for (node, answer) in self.gather::<Vec<String>>(at, Question::RereadCertificates).await? {
            let wrong = answer.map_err(|_| Refusal::node_down(&node))?;
            if !wrong.is_empty() {
                let message = format!(
                    "{node}: {}. What was in use stays in use; correct that and try again",
                    wrong.join("; ")
                );
                return Err(Refusal { node: Some(node), ..Refusal::new(Code::Unknown, "failed", message) });
            }
        }
        Ok(())
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
        let load = host::load();
        let (used, virtual_size) = host::memory();
        let (open, max) = host::descriptors();
        let threads = self.shards.len() as u64 + 2;
        Ok(Vm {
            load: map(&[("load1", json!(load[0])), ("load5", json!(load[1])), ("load15", json!(load[2]))]),
            memory: map(&[
                ("total", json!(used)),
                ("virtual", json!(virtual_size)),
                ("host", json!(host::total_memory())),
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
        let acts = self.discovery != "manual";
        Ok(Discovery {
            strategy: self.discovery.clone(),
            enabled: acts && !stays_out,
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
            mode: self.bus.epmd.map_or(api::PortMode::Ekka, api::PortMode::Epmd),
            ekka_port: |name| cluster::port_of(name.split('@').next().unwrap_or(name)),
            ipv6: self.bus.ipv6,
            tls: self.bus.tls.is_some(),
            protocol: cluster::bus::handshake::VERSION_MIN..=cluster::bus::handshake::VERSION_MAX,
            certificate_until_ms: self.bus.certificate_until_ms(),
        };
        let probe =
            node::Prober { bus: self.bus.clone(), local: self.local.clone(), clock: self.clock.clone() };
        let mut findings = api::examine(own, Arc::new(probe), targets).await;
        findings.extend(self.discovery_finding().await);
        findings
    }
}
