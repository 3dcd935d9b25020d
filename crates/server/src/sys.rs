//! What the node publishes about itself under `$SYS/brokers/`, and other chores with a period.

use std::sync::Arc;
use std::time::Duration;

use mqtt::{MessageRef, Properties, QoS};
use serde_json::json;
use tokio::sync::Notify;

use crate::api::words;
use crate::cli::{PRODUCT, VERSION};
use crate::node::Control;
use crate::operator::Operator;
use crate::settings::Broker;
use crate::shard::{ClientEvent, Clock};

/// How often retained messages whose time is over are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// Publishes for as long as it is polled. What is retained is published anew with each change of the
/// members: a join has taken this node's, and the list of who runs is another one.
pub async fn publish(operator: Arc<Operator>, settings: Broker, members_changed: Arc<Notify>) {
    let mut figures = tokio::time::interval(settings.sys_interval);
    let mut heartbeat = tokio::time::interval(settings.sys_heartbeat);
    let mut expiry = tokio::time::interval(EXPIRE_EVERY);
    loop {
        tokio::select! {
            _ = figures.tick() => publish_figures(&operator).await,
            () = members_changed.notified() => publish_retained(&operator).await,
            _ = heartbeat.tick() => publish_heartbeat(&operator).await,
            _ = expiry.tick() => {
                let _ = operator.control.ask(Control::expire_retained).await;
                let _ = operator.control.ask(Control::expire_bans).await;
            }
        }
    }
}

async fn publish_retained(operator: &Operator) {
    let node = &operator.name;
    let status = operator.status().await;
    let running = status.running_nodes.join(",");
    say(operator, "$SYS/brokers".into(), running, true);
    say(operator, format!("$SYS/brokers/{node}/version"), VERSION.into(), true);
    say(operator, format!("$SYS/brokers/{node}/sysdescr"), PRODUCT.into(), true);
}

async fn publish_figures(operator: &Operator) {
    publish_retained(operator).await;
    let node = &operator.name;
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

/// Publishes alarms from now on.
pub fn publish_alarms(operator: &Arc<Operator>, control: &mut Control) {
    let operator = operator.clone();
    control.on_alarm(Box::new(move |alarm| {
        let topic = format!("$SYS/brokers/{}/alarms/{}", operator.name, alarm.word());
        say(&operator, topic, alarm.to_json().to_string(), false);
    }));
}

/// Publishes what becomes of clients from now on, with that QoS: 4.4's module `presence`.
pub fn publish_presence(operator: &Arc<Operator>, control: &mut Control, qos: QoS) {
    let operator = operator.clone();
    control.on_client(Box::new(move |event| {
        let operator = operator.clone();
        tokio::task::spawn_local(async move { say_presence(&operator, event, qos).await });
    }));
}

async fn say_presence(operator: &Operator, event: ClientEvent, qos: QoS) {
    let node = &operator.name;
    let Some(about) = operator.own_client(&event.client).await else {
        // Its session has ended with its connection.
        let cause = event.cause.map_or("normal", broker::Cause::word);
        let payload = json!({ "clientid": &*event.client, "reason": cause, "ts": Clock::epoch().0 });
        let topic = format!("$SYS/brokers/{node}/clients/{}/disconnected", event.client);
        return say_with(operator, topic, payload.to_string(), qos, false);
    };
    let mut payload = json!({
        "clientid": about.clientid,
        "username": about.username.as_deref().unwrap_or("undefined"),
        "ipaddress": about.ip_address,
        "proto_name": about.proto_name,
        "proto_ver": about.proto_ver,
        "ts": Clock::epoch().0,
    });
    let word = match event.cause {
        None => {
            payload["sockport"] = json!(about.port);
            payload["keepalive"] = json!(about.keepalive);
            payload["connack"] = json!(0);
            payload["clean_start"] = json!(about.clean_start);
            payload["expiry_interval"] = json!(about.expiry_interval);
            payload["connected_at"] = json!(about.connected_at_ms);
            "connected"
        }
        Some(cause) => {
            payload["reason"] = json!(cause.word());
            payload["disconnected_at"] = json!(about.disconnected_at_ms);
            "disconnected"
        }
    };
    let topic = format!("$SYS/brokers/{node}/clients/{}/{word}", event.client);
    say_with(operator, topic, payload.to_string(), qos, false);
}

/// Publishes one message of the node itself.
fn say(operator: &Operator, topic: String, payload: String, retain: bool) {
    say_with(operator, topic, payload, QoS::AtMostOnce, retain);
}

/// The same with a QoS, by way of the node's first shard.
fn say_with(operator: &Operator, topic: String, payload: String, qos: QoS, retain: bool) {
    let Some(shard) = operator.shards.first() else { return };
    let job = move |worker: &mut crate::shard::Worker| {
        let (machine, fx, _) = worker.machine();
        let message = MessageRef {
            topic: &topic,
            payload: payload.as_bytes(),
            properties: Properties::NONE,
            qos,
            retain,
            created: Clock::epoch(),
            expiry: None,
            publisher: b"",
        };
        machine.publish_local(&message, fx);
    };
    shard.sender.send(crate::shard::ShardMessage::Do(Box::new(job)));
}
