//! Commands about who may connect, publish and subscribe: the banned, users, rights, and the rules of the file.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::link::part;
use super::term::plain;
use super::{Call, Failure, Outcome};
use crate::access::Action;
use crate::api::shapes::{Banned, Change, Module, RightShape, UserShape};
use crate::api::words::local_time;

fn read<T: DeserializeOwned>(item: &Value) -> Result<T, Failure> {
    T::deserialize(item).map_err(|why| Failure::Broken(format!("the answer is not understood: {why}")))
}

/// Sends a change; what the node refuses is said in 4.4's words, `Error: …`.
fn change(call: &mut Call<'_>, method: Method, path: &str, body: Option<Value>) -> Outcome {
    match call.link.send::<Change>(method, path, body) {
        Ok(change) => call.say(&change, "ok\n"),
        Err(Failure::Refused(refused)) if refused.error == "not_found" => Err(Failure::not_found()),
        Err(Failure::Refused(refused)) if ["existed", "noexisted"].contains(&refused.error.as_str()) => {
            let text = format!("Error: {}\n", refused.error);
            Err(Failure::told(&refused.error, &refused.message, text))
        }
        Err(failure) => Err(failure),
    }
}

pub(super) fn banned(call: &mut Call<'_>) -> Outcome {
    let line = |item: &Value| {
        let ban: Banned = read(item)?;
        let time = |at: Option<u64>| at.map_or_else(|| "infinity".to_owned(), |at| local_time(at * 1_000));
        Ok(format!(
            "Banned({}={}, by={}, reason={}, at={}, until={})\n",
            ban.kind,
            plain(&ban.who),
            plain(ban.by.as_deref().unwrap_or_default()),
            plain(ban.reason.as_deref().unwrap_or_default()),
            time(ban.at),
            time(ban.until),
        ))
    };
    call.list("/api/v4/banned", line).map(drop)
}

pub(super) fn ban(call: &mut Call<'_>) -> Outcome {
    let seconds = match call.args.get(2).map(|text| text.parse::<u64>()) {
        None => None,
        Some(Ok(seconds)) if seconds > 0 => Some(seconds),
        Some(_) => {
            let message = "SECONDS should be a number from 1";
            return Err(Failure::told("bad_parameter", message, format!("Error: {message}\n")));
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let until = seconds.map(|seconds| now.saturating_add(seconds));
    let body = json!({"as": call.arg(0), "who": call.arg(1), "until": until, "by": "emqx_ctl"});
    change(call, Method::POST, "/api/v4/banned", Some(body))
}

pub(super) fn unban(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/banned/{}/{}", part(&call.arg(0)), part(&call.arg(1)));
    change(call, Method::DELETE, &path, None)
}

pub(super) const CLIENT_IDS: &str = "/api/v4/auth_clientid";
pub(super) const USERNAMES: &str = "/api/v4/auth_username";

pub(super) fn list_users(call: &mut Call<'_>, path: &str) -> Outcome {
    let line = |item: &Value| {
        let user: UserShape = read(item)?;
        Ok(format!("{}\n", plain(&user.username.or(user.clientid).unwrap_or_default())))
    };
    call.list(path, line).map(drop)
}

pub(super) fn add_user(call: &mut Call<'_>, path: &str) -> Outcome {
    let body = json!({"username": call.arg(0), "password": call.arg(1)});
    change(call, Method::POST, path, Some(body))
}

pub(super) fn update_user(call: &mut Call<'_>, path: &str) -> Outcome {
    let path = format!("{path}/{}", part(&call.arg(0)));
    let body = json!({"password": call.arg(1)});
    change(call, Method::PUT, &path, Some(body))
}

pub(super) fn delete_user(call: &mut Call<'_>, path: &str) -> Outcome {
    let path = format!("{path}/{}", part(&call.arg(0)));
    change(call, Method::DELETE, &path, None)
}

/// Users and rights out of the file that `emqx_ctl data export` of EMQ X 4.4 writes.
pub(super) fn import(call: &mut Call<'_>) -> Outcome {
    let file = call.arg(0);
    let wrong =
        |why: String| Failure::told("bad_file", &why, format!("Error: {file} cannot be imported: {why}\n"));
    let text = std::fs::read(&file).map_err(|why| wrong(why.to_string()))?;
    let data: Value = serde_json::from_slice(&text).map_err(|why| wrong(format!("it is not JSON: {why}")))?;
    let rows = |name: &str| data.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut users, mut known, mut rights) = (0_usize, 0_usize, 0_usize);
    for row in rows("auth_mnesia") {
        let word = |name: &str| row.get(name).and_then(Value::as_str);
        let (Some(login), Some(kept)) = (word("login"), word("password")) else {
            return Err(wrong("an entry of auth_mnesia has no login or no password".into()));
        };
        let path = if word("type") == Some("clientid") { CLIENT_IDS } else { USERNAMES };
        let body = json!({"username": login, "password_hash": kept});
        match call.link.send::<Change>(Method::POST, path, Some(body)) {
            Ok(_) => users += 1,
            // Whoever is here already keeps their password.
            Err(Failure::Refused(refused)) if refused.error == "existed" => known += 1,
            Err(failure) => return Err(failure),
        }
    }
    for row in rows("acl_mnesia") {
        let word = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut body = json!({"topic": word("topic"), "action": word("action"), "access": word("access")});
        let name = word("login").or_else(|| word("type_value"));
        if let (Some(kind @ ("clientid" | "username")), Some(name)) = (word("type").as_deref(), name) {
            body[kind] = Value::String(name);
        }
        call.link.send::<Change>(Method::POST, "/api/v4/acl", Some(body))?;
        rights += 1;
    }
    let told = json!({"users": users, "users_known_already": known, "rights": rights});
    call.say(&told, format!("Imported {users} users ({known} were here already) and {rights} rights.\n"))
}

fn right_line(item: &Value) -> Result<String, Failure> {
    let right: RightShape = read(item)?;
    let whose = match (&right.clientid, &right.username) {
        (Some(id), _) => format!("clientid = <<\"{}\">>", plain(id)),
        (None, Some(name)) => format!("username = <<\"{}\">>", plain(name)),
        (None, None) => "$all".to_owned(),
    };
    let action = match right.action {
        Action::Pub => "pub",
        Action::Sub => "sub",
        Action::PubSub => "pubsub",
    };
    let (topic, access) = (plain(&right.topic), right.access);
    Ok(format!("Acl({whose} topic = <<\"{topic}\">> action = {action} access = {access})\n"))
}

/// Rights: all, or those below that path.
pub(super) fn rights(call: &mut Call<'_>, whose: &str) -> Outcome {
    call.list(&format!("/api/v4/acl{whose}"), right_line).map(drop)
}

pub(super) fn rights_of(call: &mut Call<'_>, kind: &str) -> Outcome {
    let whose = format!("/{kind}/{}", part(&call.arg(0)));
    rights(call, &whose)
}

/// Gives or denies a right, to somebody or, without a kind, to everybody: the words are the name if there is a kind,
/// then topic, action, access.
pub(super) fn give(call: &mut Call<'_>, kind: Option<&str>) -> Outcome {
    let first = usize::from(kind.is_some());
    let (action, access) = (call.arg(first + 1), call.arg(first + 2));
    if !["pub", "sub", "pubsub"].contains(&&*action) || !["allow", "deny"].contains(&&*access) {
        return Err(Failure::told("bad_parameter", "Input is illegal", "Error: Input is illegal\n"));
    }
    let mut body = json!({"topic": call.arg(first), "action": action, "access": access});
    if let Some(kind) = kind {
        body[kind] = Value::String(call.arg(0));
    }
    change(call, Method::POST, "/api/v4/acl", Some(body))
}

/// Removes a right: the words are the name, unless it is everybody's, and the topic.
pub(super) fn take_back(call: &mut Call<'_>, kind: &str) -> Outcome {
    let words: Vec<String> = call.args.iter().map(|word| part(word)).collect();
    let path = match words.as_slice() {
        [topic] => format!("/api/v4/acl/{kind}/topic/{topic}"),
        [name, topic] => format!("/api/v4/acl/{kind}/{name}/topic/{topic}"),
        _ => return Err(Failure::not_found()),
    };
    change(call, Method::DELETE, &path, None)
}

fn clean(call: &mut Call<'_>, path: &str) -> Outcome {
    match call.link.send::<Change>(Method::DELETE, path, None) {
        Ok(change) => call.say(&change, "ACL cache drain start OK\n"),
        Err(Failure::Refused(refused)) if refused.error == "not_found" => Err(Failure::not_found()),
        Err(failure) => Err(failure),
    }
}

pub(super) fn clean_cache(call: &mut Call<'_>) -> Outcome {
    clean(call, "/api/v4/acl-cache")
}

pub(super) fn clean_cache_of_node(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/nodes/{}/acl-cache", part(&call.arg(0)));
    clean(call, &path)
}

pub(super) fn clean_cache_of_client(call: &mut Call<'_>) -> Outcome {
    let path = format!("/api/v4/clients/{}/acl_cache", part(&call.arg(0)));
    clean(call, &path)
}

pub(super) fn modules(call: &mut Call<'_>) -> Outcome {
    let all: Vec<Module> = call.link.get("/api/v4/modules")?;
    let line = |module: &Module| {
        format!("Module({}, description={}, active={})\n", module.name, module.description, module.active)
    };
    call.say(&all, all.iter().map(line).collect::<String>())
}

pub(super) fn reload_module(call: &mut Call<'_>) -> Outcome {
    let name = call.arg(0);
    let path = format!("/api/v4/modules/{}/reload", part(&name));
    let name = plain(&name);
    match call.link.send::<Change>(Method::PUT, &path, None) {
        Ok(change) => call.say(&change, format!("Module {name} reloaded successfully.\n")),
        Err(Failure::Refused(refused)) => {
            let text = format!("Reload module {name} error: {}.\n", plain(&refused.message));
            Err(Failure::told(&refused.error, &refused.message, text))
        }
        Err(failure) => Err(failure),
    }
}
