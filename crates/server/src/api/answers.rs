//! What each path does: read the question, ask the node, put the answer into the shape that 4.4 gave it.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::asked::{Answer, Asked};
use super::node::{At, Code, ListenerChange, LogChange, Node, Refusal};
use super::shapes::{Change, JoinOutcome};
use super::{LOG_LEVELS, endpoints, words};

type Result<T> = std::result::Result<T, Refusal>;

/// A list when the whole cluster was asked, its one item when a node was.
fn one_or_all<T: serde::Serialize>(at: &At, mut items: Vec<T>) -> Result<Answer> {
    match at {
        At::Cluster => Answer::data(&items),
        At::Node(name) if items.is_empty() => Err(Refusal::node_down(name)),
        At::Here | At::Node(_) => Answer::data(&items.pop()),
    }
}

pub(super) async fn status<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    let name = node.name();
    let running = node.brokers(At::Here).await?.first().is_some_and(|broker| broker.node_status == "Running");
    Ok(if running {
        Answer::Text(StatusCode::OK, format!("Node {name} is started\nemqx is running"))
    } else {
        Answer::Text(StatusCode::SERVICE_UNAVAILABLE, format!("Node {name} is starting\nemqx is not_running"))
    })
}

pub(super) async fn paths<N: Node>(_: Arc<N>, _: Asked) -> Result<Answer> {
    let rows = endpoints::<N>().into_iter().filter_map(|row| {
        let path = row.path.strip_prefix("/api/v4").filter(|path| !path.is_empty())?;
        // 4.4 writes the parts that vary as `:node`.
        let path = path.replace('{', ":").replace('}', "");
        Some(json!({"path": path, "method": row.method.as_str(), "descr": row.does}))
    });
    Answer::data(&rows.collect::<Vec<_>>())
}

pub(super) async fn brokers<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let at = asked.at(&node.name());
    one_or_all(&at, node.brokers(at.clone()).await?)
}

pub(super) async fn nodes<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let at = asked.at(&node.name());
    one_or_all(&at, node.nodes(at.clone()).await?)
}

pub(super) async fn stats<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    match asked.at(&node.name()) {
        At::Cluster => Answer::data(&node.stats(At::Cluster).await?),
        at => one_or_all(&at, node.stats(at.clone()).await?.into_iter().map(|one| one.stats).collect()),
    }
}

pub(super) async fn metrics<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    match asked.at(&node.name()) {
        At::Cluster => Answer::data(&node.metrics(At::Cluster).await?),
        at => one_or_all(&at, node.metrics(at.clone()).await?.into_iter().map(|one| one.metrics).collect()),
    }
}

pub(super) async fn clients<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    Answer::list(&node.clients(asked.at(&node.name()), asked.who(), page).await?, page)
}

pub(super) async fn kick<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let id = asked.part("clientid");
    match node.kick(asked.at(&node.name()), id.clone()).await? {
        true => Answer::data(&Change::result("ok")),
        false => Err(Refusal::no_client(&id)),
    }
}

pub(super) async fn subscriptions<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    Answer::list(&node.subscriptions(asked.at(&node.name()), asked.who(), page).await?, page)
}

#[derive(Deserialize)]
struct Subscribe {
    clientid: String,
    #[serde(default)]
    topic: Option<String>,
    /// Several, separated by commas.
    #[serde(default)]
    topics: Option<String>,
    #[serde(default)]
    qos: u8,
}

impl Subscribe {
    fn filters(&self) -> Result<Vec<String>> {
        let filters: Vec<String> = match (&self.topic, &self.topics) {
            (Some(one), _) => vec![one.clone()],
            (None, Some(several)) => several.split(',').map(str::to_owned).collect(),
            (None, None) => {
                return Err(Refusal::new(
                    Code::MissingParameter,
                    "missing_parameter",
                    "missing field `topic`",
                ));
            }
        };
        // A topic filter is 1 to 65,535 bytes without U+0000. [MQTT-4.7.3-1, 4.7.3-2, 4.7.3-3]
        match filters.iter().find(|f| f.is_empty() || f.len() > 65_535 || f.contains('\0')) {
            Some(_) => Err(Refusal::new(Code::BadTopic, "bad_topic", "that is not a topic filter")),
            None => Ok(filters),
        }
    }
}

pub(super) async fn subscribe<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let wish: Subscribe = asked.body()?;
    if wish.qos > 2 {
        return Err(Refusal::new(Code::BadQos, "bad_qos", "QoS should be 0, 1, 2"));
    }
    for filter in wish.filters()? {
        if !node.subscribe(wish.clientid.clone(), filter, wish.qos).await? {
            return Err(Refusal::no_client(&wish.clientid));
        }
    }
    Answer::data(&Change::result("ok"))
}

pub(super) async fn unsubscribe<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let wish: Subscribe = asked.body()?;
    for filter in wish.filters()? {
        if !node.unsubscribe(wish.clientid.clone(), filter).await? {
            return Err(Refusal::no_client(&wish.clientid));
        }
    }
    Answer::data(&Change::result("ok"))
}

pub(super) async fn routes<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    Answer::list(&node.routes(asked.part_if_any("topic"), page).await?, page)
}

pub(super) async fn listeners<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    match asked.at(&node.name()) {
        At::Cluster => Answer::data(&node.listeners(At::Cluster).await?),
        at => {
            one_or_all(&at, node.listeners(at.clone()).await?.into_iter().map(|one| one.listeners).collect())
        }
    }
}

async fn change_listener<N: Node>(node: Arc<N>, asked: Asked, change: ListenerChange) -> Result<Answer> {
    Answer::data(&node.change_listener(asked.at(&node.name()), asked.part("identifier"), change).await?)
}

pub(super) async fn start_listener<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    change_listener(node, asked, ListenerChange::Start).await
}

pub(super) async fn stop_listener<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    change_listener(node, asked, ListenerChange::Stop).await
}

pub(super) async fn restart_listener<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    change_listener(node, asked, ListenerChange::Restart).await
}

pub(super) async fn reread_certificates<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    node.reread_certificates(asked.at(&node.name())).await?;
    Answer::data(&Change::result("ok"))
}

pub(super) async fn retainer<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    Answer::data(&node.retainer().await?)
}

pub(super) async fn retained_topics<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    Answer::list(&node.retained_topics(page).await?, page)
}

pub(super) async fn clean_retained<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    Answer::data(&node.clean_retained(asked.part_if_any("topic")).await?)
}

pub(super) async fn vm<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    Answer::data(&node.vm().await?)
}

#[derive(Deserialize)]
struct Level {
    level: String,
}

fn known_level(level: String) -> Result<String> {
    if LOG_LEVELS.contains(&level.as_str()) {
        return Ok(level);
    }
    let words = format!("{level} is no level of the log; there are {}", LOG_LEVELS.join(", "));
    Err(Refusal::new(Code::BadParameter, "bad_level", words))
}

pub(super) async fn log<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    Answer::data(&node.log().await?)
}

pub(super) async fn set_log_level<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let level = known_level(asked.body::<Level>()?.level)?;
    Answer::data(&node.set_log_level(level).await?)
}

pub(super) async fn set_primary_log_level<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let level = known_level(asked.body::<Level>()?.level)?;
    Answer::data(&node.set_primary_log_level(level).await?)
}

#[derive(Deserialize)]
struct HandlerWish {
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

pub(super) async fn change_log_handler<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let wish: HandlerWish = asked.body()?;
    let change = match (wish.level, wish.status.as_deref()) {
        (Some(level), None) => LogChange::Level(known_level(level)?),
        (None, Some("started")) => LogChange::Start,
        (None, Some("stopped")) => LogChange::Stop,
        (None, None) => {
            return Err(Refusal::new(Code::MissingParameter, "missing_parameter", "missing field `level`"));
        }
        _ => {
            let words = "either level, or status with started or stopped";
            return Err(Refusal::new(Code::BadParameter, "bad_parameter", words));
        }
    };
    Answer::data(&node.change_log_handler(asked.part("id"), change).await?)
}

pub(super) async fn cluster_status<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    Answer::data(&node.cluster_status().await)
}

#[derive(Deserialize)]
struct Target {
    node: String,
    #[serde(default)]
    dry_run: bool,
}

impl Target {
    fn name<N: Node>(&self, node: &N) -> Result<String> {
        match words::node_name(&self.node, &node.name()) {
            name if self.node.is_empty() || name.len() > 255 => {
                Err(Refusal::new(Code::BadParameter, "bad_parameter", "that is not a node name"))
            }
            name => Ok(name),
        }
    }
}

fn change(outcome: JoinOutcome) -> Result<Answer> {
    match outcome {
        JoinOutcome::Done(status) => Answer::data(&Change { result: "ok".into(), status: Some(status) }),
        JoinOutcome::Ignored => Answer::data(&Change::result("ignored")),
    }
}

pub(super) async fn cluster_join<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let target: Target = asked.body()?;
    let name = target.name(&*node)?;
    if !target.dry_run {
        return change(node.cluster_join(name).await?);
    }
    match node.cluster_join_plan(name).await? {
        Some(plan) => Answer::data(&plan),
        None => Answer::data(&Change::result("ignored")),
    }
}

pub(super) async fn cluster_leave<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    change(JoinOutcome::Done(node.cluster_leave().await?))
}

pub(super) async fn cluster_force_leave<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let name = asked.body::<Target>()?.name(&*node)?;
    change(node.cluster_force_leave(name).await?)
}

pub(super) async fn cluster_heal<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    change(JoinOutcome::Done(node.cluster_heal().await?))
}

pub(super) async fn cluster_discovery<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    Answer::data(&node.cluster_discovery(None).await?)
}

#[derive(Deserialize)]
struct Switch {
    enabled: bool,
}

pub(super) async fn set_cluster_discovery<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let switch: Switch = asked.body()?;
    Answer::data(&node.cluster_discovery(Some(switch.enabled)).await?)
}

pub(super) async fn cluster_doctor<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let target =
        asked.query("node").filter(|word| !word.is_empty()).map(|word| words::node_name(word, &node.name()));
    Answer::data(&node.cluster_doctor(target).await)
}
