//! Commands about the node itself: status, broker, listeners, vm, retainer.

use std::collections::BTreeMap;
use std::fmt::Write;

use hyper::Method;
use serde_json::{Map, Value, json};

use super::link::part;
use super::term::{atom, plain};
use super::{Call, Failure, Outcome};
use crate::api::shapes::{Broker, Change, Listener, Removal, RetainerInfo, Vm};

pub(super) fn status(call: &mut Call<'_>) -> Outcome {
    let broker: Broker = call.link.get("/api/v4/brokers/self")?;
    let words = match broker.node_status.as_str() {
        "Running" => "started".to_owned(),
        other => other.to_lowercase(),
    };
    let text = format!("Node {} {} is {words}\n", atom(&broker.node), broker.version);
    call.say(
        &json!({"node": broker.node, "node_status": broker.node_status, "version": broker.version}),
        text,
    )
}

pub(super) fn broker(call: &mut Call<'_>) -> Outcome {
    let broker: Broker = call.link.get("/api/v4/brokers/self")?;
    let mut text = String::new();
    for (key, value) in [
        ("sysdescr", &broker.sysdescr),
        ("version", &broker.version),
        ("uptime", &broker.uptime),
        ("datetime", &broker.datetime),
    ] {
        let _ = writeln!(text, "{key:<10}: {value}");
    }
    call.say(&broker, text)
}

pub(super) fn stats(call: &mut Call<'_>) -> Outcome {
    figures(call, "/api/v4/nodes/self/stats")
}

pub(super) fn metrics(call: &mut Call<'_>) -> Outcome {
    figures(call, "/api/v4/nodes/self/metrics")
}

fn figures(call: &mut Call<'_>, path: &str) -> Outcome {
    let figures: BTreeMap<String, u64> = call.link.get(path)?;
    let text: String = figures.iter().map(|(name, value)| format!("{name:<30}: {value}\n")).collect();
    call.say(&figures, text)
}

pub(super) fn listeners(call: &mut Call<'_>) -> Outcome {
    let listeners: Vec<Listener> = call.link.get("/api/v4/nodes/self/listeners")?;
    let mut text = String::new();
    for listener in &listeners {
        let ends: Vec<String> =
            listener.shutdown_count.iter().map(|(why, count)| format!("{{{},{count}}}", atom(why))).collect();
        let _ = writeln!(text, "{}", listener.identifier);
        for (key, value) in [
            ("listen_on", listener.listen_on.clone()),
            ("acceptors", listener.acceptors.to_string()),
            ("max_conns", listener.max_conns.to_string()),
            ("current_conn", listener.current_conns.to_string()),
            ("shutdown_count", format!("[{}]", ends.join(","))),
        ] {
            let _ = writeln!(text, "  {key:<16}: {value}");
        }
        // 4.4 knows no listener that is not open; a line of its own is only there for one that is not.
        if !listener.running {
            let _ = writeln!(text, "  {:<16}: false", "running");
        }
    }
    call.say(&listeners, text)
}

/// Asks for a change of the listener that was named. A refusal stands alone on its line, as in 4.4.
fn change_listener(call: &mut Call<'_>, verb: &str) -> Result<Listener, Failure> {
    let path = format!("/api/v4/nodes/self/listeners/{}/{verb}", part(&call.arg(0)));
    call.link.send(Method::PUT, &path, None).map_err(|failure| match failure {
        Failure::Refused(refused) => {
            let text = format!("{}\n", plain(&refused.message));
            Failure::told(&refused.error, &refused.message, text)
        }
        other => other,
    })
}

pub(super) fn start_listener(call: &mut Call<'_>) -> Outcome {
    let listener = change_listener(call, "start")?;
    let text = format!("Start {} listener on {} successfully.\n", listener.identifier, listener.listen_on);
    call.say(&listener, text)
}

pub(super) fn stop_listener(call: &mut Call<'_>) -> Outcome {
    let listener = change_listener(call, "stop")?;
    let text = format!("Stop {} listener on {} successfully.\n", listener.identifier, listener.listen_on);
    call.say(&listener, text)
}

pub(super) fn restart_listener(call: &mut Call<'_>) -> Outcome {
    let listener = change_listener(call, "restart")?;
    let text = format!("Restarted {} listener successfully.\n", listener.identifier);
    call.say(&listener, text)
}

fn reread(call: &mut Call<'_>, path: &str) -> Outcome {
    match call.link.send::<Change>(Method::DELETE, path, None) {
        Ok(change) => call.say(&change, "PEM cache clean OK\n"),
        Err(Failure::Refused(refused)) => {
            let text = format!("PEM cache clean FAILED\n{}\n", plain(&refused.message));
            Err(Failure::told(&refused.error, &refused.message, text))
        }
        Err(failure) => Err(failure),
    }
}

pub(super) fn reread_certificates(call: &mut Call<'_>) -> Outcome {
    reread(call, "/api/v4/pem-cache")
}

pub(super) fn reread_certificates_of_node(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/nodes/{}/pem-cache", part(&call.arg(0)));
    reread(call, &path)
}

/// The groups of `vm`: the word before the slash, and the width of what comes after it, so that the colons stand in a column.
fn vm_text(prefix: &str, figures: &Map<String, Value>) -> String {
    let width = 23 - prefix.len();
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    figures.iter().map(|(name, figure)| format!("{prefix}/{name:<width$}: {}\n", value(figure))).collect()
}

pub(super) fn vm(call: &mut Call<'_>) -> Outcome {
    let vm: Vm = call.link.get("/api/v4/vm")?;
    let text = [
        vm_text("cpu", &vm.load),
        vm_text("memory", &vm.memory),
        vm_text("process", &vm.process),
        vm_text("io", &vm.io),
        vm_text("ports", &vm.ports),
    ];
    call.say(&vm, text.concat())
}

fn vm_group(call: &mut Call<'_>, prefix: &str, group: fn(Vm) -> Map<String, Value>) -> Outcome {
    let figures = group(call.link.get("/api/v4/vm")?);
    call.say(&figures, vm_text(prefix, &figures))
}

pub(super) fn vm_load(call: &mut Call<'_>) -> Outcome {
    vm_group(call, "cpu", |vm| vm.load)
}

pub(super) fn vm_memory(call: &mut Call<'_>) -> Outcome {
    vm_group(call, "memory", |vm| vm.memory)
}

pub(super) fn vm_process(call: &mut Call<'_>) -> Outcome {
    vm_group(call, "process", |vm| vm.process)
}

pub(super) fn vm_io(call: &mut Call<'_>) -> Outcome {
    vm_group(call, "io", |vm| vm.io)
}

pub(super) fn vm_ports(call: &mut Call<'_>) -> Outcome {
    vm_group(call, "ports", |vm| vm.ports)
}

pub(super) fn retainer(call: &mut Call<'_>) -> Outcome {
    let info: RetainerInfo = call.link.get("/api/v4/retainer")?;
    call.say(&info, format!("retained/total: {}\n", info.retained))
}

pub(super) fn retained_topics(call: &mut Call<'_>) -> Outcome {
    call.list("/api/v4/retainer/topics", |topic| {
        let topic = topic.as_str().ok_or_else(|| Failure::Broken("a topic is not text".into()))?;
        Ok(format!("{}\n", plain(topic)))
    })
    .map(drop)
}

pub(super) fn clean_retained(call: &mut Call<'_>) -> Outcome {
    let path = match call.args.first() {
        Some(filter) => format!("/api/v4/retainer/topics/{}", part(filter)),
        None => "/api/v4/retainer".to_owned(),
    };
    let removal: Removal = call.link.send(Method::DELETE, &path, None)?;
    call.say(&removal, format!("Cleaned {} retained messages\n", removal.cleaned))
}
