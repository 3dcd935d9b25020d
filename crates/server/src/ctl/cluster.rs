//! Commands about the cluster: join, leave, force-leave, status, and those that 4.4 has not.

use std::fmt::Write;
use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::link::part;
use super::term::{atom, cluster_status, plain};
use super::{Call, Failure, Outcome, Told};
use crate::api::shapes::{Change, ClusterStatus, Discovery, Finding, JoinPlan, Verdict};
use crate::api::words;

pub(super) fn status(call: &mut Call<'_>) -> Outcome {
    let status: ClusterStatus = call.link.get("/api/v4/cluster")?;
    call.say(&status, cluster_status(&status))
}

pub(super) fn join(call: &mut Call<'_>) -> Outcome {
    let target = json!({"node": call.arg(0)});
    change(call, "join", Some(target), "Join the cluster successfully.", "Failed to join the cluster")
}

pub(super) fn leave(call: &mut Call<'_>) -> Outcome {
    change(call, "leave", None, "Leave the cluster successfully.", "Failed to leave the cluster")
}

pub(super) fn force_leave(call: &mut Call<'_>) -> Outcome {
    let target = json!({"node": call.arg(0)});
    let done = "Remove the node from cluster successfully.";
    change(call, "force-leave", Some(target), done, "Failed to remove the node from cluster")
}

pub(super) fn heal(call: &mut Call<'_>) -> Outcome {
    change(call, "heal", None, "Heal the cluster successfully.", "Failed to heal the cluster")
}

fn change(call: &mut Call<'_>, verb: &str, body: Option<Value>, done: &str, failed: &str) -> Outcome {
    let path = format!("/api/v4/cluster/{verb}");
    let change: Change =
        call.link.send(Method::POST, &path, body).map_err(|failure| in_words(failed, failure))?;
    match &change.status {
        Some(status) => call.say(&change, format!("{done}\n{}", cluster_status(status))),
        None => call.say(&change, "Ignore.\n"),
    }
}

/// `Failed to join the cluster: {node_down,'emqx@s9.emqx.io'}`.
fn in_words(failed: &str, failure: Failure) -> Failure {
    let Failure::Refused(refused) = failure else { return failure };
    let cause = match &refused.node {
        Some(node) => format!("{{{},{}}}", atom(&refused.error), atom(node)),
        None if refused.error == "node_not_in_cluster" => refused.error.clone(),
        None => format!("{{{},\"{}\"}}", atom(&refused.error), plain(&refused.message).replace('"', "\\\"")),
    };
    Failure::Told(Box::new(Told {
        text: format!("{failed}: {cause}\n"),
        error: refused.error,
        message: refused.message,
        node: refused.node,
        more: None,
    }))
}

/// A plan, or nothing to do.
#[derive(serde::Deserialize, Serialize)]
#[serde(untagged)]
enum Planned {
    Plan(JoinPlan),
    Nothing(Change),
}

pub(super) fn join_plan(call: &mut Call<'_>) -> Outcome {
    let target = json!({"node": call.arg(0), "dry_run": true});
    let failed = "Failed to join the cluster";
    let planned: Planned = call
        .link
        .send(Method::POST, "/api/v4/cluster/join", Some(target))
        .map_err(|failure| in_words(failed, failure))?;
    let text = match &planned {
        Planned::Nothing(_) => "Ignore.\n".to_owned(),
        Planned::Plan(plan) => plan_text(plan),
    };
    call.say(&planned, text)
}

fn plan_text(plan: &JoinPlan) -> String {
    let mut text = format!("Nothing has been changed. Joining {} would\n", atom(&plan.node));
    if !plan.leaves.is_empty() {
        let others: Vec<String> = plan.leaves.iter().map(|name| atom(name)).collect();
        let _ = writeln!(text, "  leave the cluster with {}", others.join(", "));
    }
    let _ = writeln!(text, "  disconnect {} clients of this node", plan.clients);
    let _ = writeln!(
        text,
        "  remove {} sessions and {} retained messages from this node",
        plan.sessions, plan.retained
    );
    let _ = writeln!(text, "  keep a copy of what is removed under {}", plan.backup);
    text
}

pub(super) fn doctor(call: &mut Call<'_>) -> Outcome {
    let path = match call.args.first() {
        Some(node) => format!("/api/v4/cluster/doctor?node={}", part(node)),
        None => "/api/v4/cluster/doctor".to_owned(),
    };
    let findings: Vec<Finding> = call.link.get(&path)?;
    let wrong = findings.iter().filter(|finding| finding.result == Verdict::Wrong).count();
    let text = doctor_text(&findings);
    if wrong == 0 {
        return call.say(&json!({"checks": findings}), text + "Nothing is wrong.\n");
    }
    let message = format!("{wrong} of {} checks found something wrong.", findings.len());
    Err(Failure::Told(Box::new(Told {
        error: "something_is_wrong".into(),
        text: format!("{text}{message}\n"),
        message,
        node: None,
        more: Some(("checks", json!(findings))),
    })))
}

fn doctor_text(findings: &[Finding]) -> String {
    let (mut text, mut node) = (String::new(), "");
    for finding in findings {
        if finding.node != node {
            node = &finding.node;
            let _ = writeln!(text, "{}", plain(node));
        }
        let mark = match finding.result {
            Verdict::Ok => "ok",
            Verdict::Wrong => "WRONG",
            Verdict::Skipped => "-",
        };
        let _ = writeln!(text, "  {mark:<6} {:<16}: {}", finding.check, plain(&finding.found));
        if !finding.advice.is_empty() {
            let _ = writeln!(text, "         what to do      : {}", plain(&finding.advice));
        }
    }
    text
}

pub(super) fn discovery(call: &mut Call<'_>) -> Outcome {
    let discovery: Discovery = call.link.get("/api/v4/cluster/discovery")?;
    discovery_said(call, &discovery)
}

pub(super) fn discovery_on(call: &mut Call<'_>) -> Outcome {
    set_discovery(call, json!({"enabled": true}))
}

pub(super) fn discovery_off(call: &mut Call<'_>) -> Outcome {
    set_discovery(call, json!({"enabled": false}))
}

fn set_discovery(call: &mut Call<'_>, wish: Value) -> Outcome {
    let discovery: Discovery = call
        .link
        .send(Method::PUT, "/api/v4/cluster/discovery", Some(wish))
        .map_err(|failure| in_words("Failed to switch automatic discovery", failure))?;
    discovery_said(call, &discovery)
}

fn discovery_said(call: &mut Call<'_>, discovery: &Discovery) -> Outcome {
    let state = if discovery.enabled { "on" } else { "off" };
    let mut text = format!("Automatic cluster discovery ({}) is {state}.\n", plain(&discovery.strategy));
    if let Some(answer) = &discovery.answer {
        let age = words::uptime(Duration::from_millis(answer.age_ms));
        let _ = writeln!(text, "Asked {age} ago: {}", plain(&answer.asked));
        for candidate in &answer.candidates {
            let _ = writeln!(text, "  {}: {}", atom(&candidate.node), plain(&candidate.outcome));
        }
        for remark in &answer.remarks {
            let _ = writeln!(text, "  {}", plain(remark));
        }
    }
    call.say(discovery, text)
}
