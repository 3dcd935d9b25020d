//! What the node publishes about itself under `$SYS/brokers/`, and other chores with a period.

use std::sync::Arc;
use std::time::Duration;

use mqtt::{MessageRef, Properties, QoS};

use crate::api::words;
use crate::cli::{PRODUCT, VERSION};
use crate::operator::Operator;
use crate::settings::Broker;
use crate::shard::Clock;

/// How often retained messages whose time is over are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// Publishes for as long as it is polled.
pub async fn publish(operator: Arc<Operator>, settings: Broker) {
    let mut figures = tokio::time::interval(settings.sys_interval);
    let mut heartbeat = tokio::time::interval(settings.sys_heartbeat);
    let mut expiry = tokio::time::interval(EXPIRE_EVERY);
    loop {
        tokio::select! {
            _ = figures.tick() => publish_figures(&operator).await,
            _ = heartbeat.tick() => publish_heartbeat(&operator).await,
            _ = expiry.tick() => {
                let _ = operator.control.ask(crate::node::Control::expire_retained).await;
            }
        }
    }
}

async fn publish_figures(operator: &Operator) {
    let node = &operator.name;
    let status = operator.status().await;
    let running = status.running_nodes.join(",");
    say(operator, "$SYS/brokers".into(), running, true);
    say(operator, format!("$SYS/brokers/{node}/version"), VERSION.into(), true);
    say(operator, format!("$SYS/brokers/{node}/sysdescr"), PRODUCT.into(), true);
    for (name, value) in operator.own_stats().await {
        say(operator, format!("$SYS/brokers/{node}/stats/{name}"), value.to_string(), false);
    }
    for (name, value) in operator.own_metrics().await {
        say(
            operator,
            format!("$SYS/brokers/{node}/metrics/{}", name.replace('.', "/")),
            value.to_string(),
            false,
        );
    }
}

async fn publish_heartbeat(operator: &Operator) {
    let node = &operator.name;
    let uptime = operator.uptime().await;
    say(operator, format!("$SYS/brokers/{node}/uptime"), words::uptime(uptime), false);
    say(operator, format!("$SYS/brokers/{node}/datetime"), words::local_time(Clock::epoch().0), false);
}

/// Publishes one message of the node itself, by way of its first shard.
fn say(operator: &Operator, topic: String, payload: String, retain: bool) {
    let Some(shard) = operator.shards.first() else { return };
    let job = move |worker: &mut crate::shard::Worker| {
        let (machine, fx, _) = worker.machine();
        let message = MessageRef {
            topic: &topic,
            payload: payload.as_bytes(),
            properties: Properties::NONE,
            qos: QoS::AtMostOnce,
            retain,
            created: Clock::epoch(),
            expiry: None,
            publisher: "",
        };
        machine.publish_local(&message, fx);
    };
    shard.sender.send(crate::shard::ShardMessage::Do(Box::new(job)));
}
