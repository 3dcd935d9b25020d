//! Commands about clients and what they subscribed to. As in 4.4 the lists are those of the node that is asked; routes
//! are the cluster's, and kicking and subscribing reach a client on any node.

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::link::part;
use super::term::plain;
use super::{Call, Failure, Outcome};
use crate::api::shapes::{Change, Client, Route, Subscription};

fn read<T: DeserializeOwned>(item: &Value) -> Result<T, Failure> {
    T::deserialize(item).map_err(|why| Failure::Broken(format!("the answer is not understood: {why}")))
}

fn client_line(client: &Client) -> String {
    let counts = &client.counts;
    let disconnected = match client.disconnected_at_ms {
        Some(at) if !client.connected => format!(", disconnected_at={at}"),
        _ => String::new(),
    };
    format!(
        "Client({}, username={}, peername={}:{}, clean_start={}, keepalive={}, session_expiry_interval={}, \
         subscriptions={}, inflight={}, awaiting_rel={}, delivered_msgs={}, enqueued_msgs={}, dropped_msgs={}, \
         connected={}, created_at={}, connected_at={}{disconnected})\n",
        plain(&client.clientid),
        plain(client.username.as_deref().unwrap_or("undefined")),
        client.ip_address,
        client.port,
        client.clean_start,
        client.keepalive,
        client.expiry_interval,
        counts.subscriptions_cnt,
        counts.inflight,
        counts.awaiting_rel,
        counts.send_msg,
        counts.mqueue_len,
        counts.mqueue_dropped,
        client.connected,
        client.created_at_ms,
        client.connected_at_ms,
    )
}

pub(super) fn list(call: &mut Call<'_>) -> Outcome {
    call.list("/api/v4/nodes/self/clients", |item| Ok(client_line(&read(item)?))).map(drop)
}

pub(super) fn show(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/nodes/self/clients/{}", part(&named(call)?));
    let found: Vec<Client> = call.link.get(&path)?;
    match found.first() {
        Some(client) => call.say(client, client_line(client)),
        None => Err(Failure::not_found()),
    }
}

/// The client id of the command. The empty one is nobody's: no path leads to it.
fn named(call: &Call<'_>) -> Result<String, Failure> {
    Some(call.arg(0)).filter(|id| !id.is_empty()).ok_or_else(Failure::not_found)
}

pub(super) fn kick(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/clients/{}", part(&named(call)?));
    match call.link.send::<Change>(Method::DELETE, &path, None) {
        Ok(change) => call.say(&change, "ok\n"),
        Err(Failure::Refused(refused)) if refused.error == "not_found" => Err(Failure::not_found()),
        Err(failure) => Err(failure),
    }
}

pub(super) fn routes(call: &mut Call<'_>) -> Outcome {
    let path = match call.args.first() {
        // No route has the empty topic, and no path leads to it.
        Some(&"") => return call.say(&json!([]), ""),
        Some(topic) => format!("/api/v4/routes/{}", part(topic)),
        None => "/api/v4/routes".to_owned(),
    };
    call.list(&path, |item| {
        let route: Route = read(item)?;
        Ok(format!("{} -> {}\n", plain(&route.topic), route.node))
    })
    .map(drop)
}

fn subscription_line(subscription: &Subscription) -> String {
    format!("{} -> {}\n", plain(&subscription.clientid), plain(&subscription.topic))
}

pub(super) fn subscriptions(call: &mut Call<'_>) -> Outcome {
    call.list("/api/v4/nodes/self/subscriptions", |item| Ok(subscription_line(&read(item)?))).map(drop)
}

pub(super) fn subscriptions_of(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/nodes/self/subscriptions/{}", part(&named(call)?));
    let found: Vec<Subscription> = call.link.get(&path)?;
    if found.is_empty() {
        return Err(Failure::not_found());
    }
    call.say(&found, found.iter().map(subscription_line).collect::<String>())
}

pub(super) fn subscribe(call: &mut Call<'_>) -> Outcome {
    let qos = match call.arg(2).parse::<u8>() {
        Ok(qos) if qos <= 2 => qos,
        _ => return Err(Failure::told("bad_qos", "QoS should be 0, 1, 2", "QoS should be 0, 1, 2\n")),
    };
    let wish = json!({"clientid": call.arg(0), "topic": call.arg(1), "qos": qos});
    change(call, "/api/v4/mqtt/subscribe", wish)
}

pub(super) fn unsubscribe(call: &mut Call<'_>) -> Outcome {
    let wish = json!({"clientid": call.arg(0), "topic": call.arg(1)});
    change(call, "/api/v4/mqtt/unsubscribe", wish)
}

fn change(call: &mut Call<'_>, path: &str, wish: Value) -> Outcome {
    match call.link.send::<Change>(Method::POST, path, Some(wish)) {
        Ok(change) => call.say(&change, "ok\n"),
        // The text has no newline in 4.4 either.
        Err(Failure::Refused(refused)) if refused.error == "not_found" => {
            Err(Failure::told("not_found", "Channel not found!", "Error: Channel not found!"))
        }
        Err(failure) => Err(failure),
    }
}
