//! Zones and access: what clients may do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Reader, Zones};
use crate::settings::table::split_words;
use crate::settings::typed::{Access, Anonymous, BuiltInUser, DenyAction, Protocol, Secret, Zone};
use crate::settings::value;

/// All zones that are named by a `zone.` key or by a listener, and the one without a name.
pub(super) fn zones(reader: &mut Reader) -> Zones {
    let written = reader.names_under("zone").into_iter();
    let mut names: BTreeSet<String> = written.map(|name| name.replace("\\.", ".")).collect();
    for protocol in Protocol::ALL {
        let prefix = format!("listener.{}", protocol.word());
        for listener in reader.names_under(&prefix) {
            let zone =
                reader.values.entry(&format!("{prefix}.{listener}.zone")).map(|(zone, _)| zone.to_owned());
            names.extend(zone);
        }
    }
    names.insert(String::new());
    names.into_iter().map(|name| (name.clone(), Arc::new(zone(reader, name)))).collect()
}

fn zone(reader: &mut Reader, name: String) -> Zone {
    // A zone nobody has set anything for reads keys that cannot be written, and so takes every default.
    // So does one that a listener names with what no key can hold.
    let mut word = name.replace('.', "\\.");
    if name.is_empty() || split_words(&format!("zone.{word}.x")).count() != 3 {
        word = "\\.".to_owned();
    }
    let key = |rest: &str| format!("zone.{word}.{rest}");
    // What the zone says, else what the whole broker says.
    let pick = |reader: &mut Reader, rest: &str, global: &str| {
        let mine = key(rest);
        if reader.set(&mine).is_some() { mine } else { global.to_owned() }
    };
    let mqtt = |reader: &mut Reader, rest: &str| pick(reader, rest, &format!("mqtt.{rest}"));
    let either = |reader: &mut Reader, rest: &str| pick(reader, rest, rest);

    let k = either(reader, "allow_anonymous");
    let allow_anonymous = match reader.string(&k).as_str() {
        "true" => Anonymous::Allow,
        "false_quick_deny" => Anonymous::DenyAtOnce,
        _ => Anonymous::Deny,
    };
    let k = either(reader, "acl_nomatch");
    let acl_nomatch_allow = reader.string(&k) == "allow";
    let k = either(reader, "acl_deny_action");
    let acl_deny_action =
        if reader.string(&k) == "disconnect" { DenyAction::Disconnect } else { DenyAction::Ignore };
    let k = mqtt(reader, "max_packet_size");
    // The length field of MQTT ends at 256 MB; more cannot be said.
    let max_packet_size = reader.size(&k).unwrap_or(1 << 20).clamp(1, 268_435_460) as u32;
    let k = mqtt(reader, "max_clientid_len");
    let max_clientid_len = reader.number(&k).unwrap_or(65_535);
    let k = mqtt(reader, "max_topic_levels");
    let max_topic_levels = reader.limit(&k);
    let k = mqtt(reader, "max_qos_allowed");
    let max_qos_allowed = reader.number::<u8>(&k).unwrap_or(2);
    if max_qos_allowed > 2 && k.starts_with("zone.") {
        reader.invalid(&k, "must be 0 to 2");
    }
    let k = mqtt(reader, "max_topic_alias");
    let max_topic_alias = reader.number(&k).unwrap_or(65_535);
    let truth = |reader: &mut Reader, rest: &str| {
        let k = mqtt(reader, rest);
        reader.truth(&k)
    };
    let (retain_available, wildcard_subscription) =
        (truth(reader, "retain_available"), truth(reader, "wildcard_subscription"));
    let (shared_subscription, exclusive_subscription) =
        (truth(reader, "shared_subscription"), truth(reader, "exclusive_subscription"));
    let (ignore_loop_deliver, strict_mode) =
        (truth(reader, "ignore_loop_deliver"), truth(reader, "strict_mode"));
    let k = mqtt(reader, "response_information");
    let response_information = reader.text(&k).filter(|text| !text.is_empty());
    let priorities = key("mqueue_priorities");
    let mqueue_priorities = priorities_of(reader, &priorities);
    let k = key("keepalive_backoff");
    let keepalive_backoff = reader.parsed(&k, value::float).unwrap_or(0.75);
    if keepalive_backoff <= 0.5 {
        reader.invalid(&k, "must be greater than 0.5");
    }
    let limit_u16 = |reader: &mut Reader, k: &str| {
        // More identifiers than MQTT has are no limit either.
        reader.limit::<u32>(k).map(|n| n.min(65_535) as u16)
    };
    Zone {
        idle_timeout: reader.duration(&key("idle_timeout")),
        allow_anonymous,
        acl_nomatch_allow,
        enable_acl: reader.flag(&key("enable_acl")),
        acl_deny_action,
        enable_ban: reader.flag(&key("enable_ban")),
        enable_flapping_detect: reader.flag(&key("enable_flapping_detect")),
        bypass_auth_plugins: reader.truth(&key("bypass_auth_plugins")),
        max_packet_size,
        max_clientid_len,
        max_topic_levels,
        max_qos_allowed: max_qos_allowed.min(2),
        max_topic_alias,
        retain_available,
        wildcard_subscription,
        shared_subscription,
        exclusive_subscription,
        ignore_loop_deliver,
        strict_mode,
        response_information,
        server_keepalive: reader.number(&key("server_keepalive")),
        keepalive_backoff,
        max_subscriptions: reader.limit(&key("max_subscriptions")),
        upgrade_qos: reader.flag(&key("upgrade_qos")),
        max_inflight: limit_u16(reader, &key("max_inflight")),
        retry_interval: reader.seconds(&key("retry_interval")),
        max_awaiting_rel: limit_u16(reader, &key("max_awaiting_rel")),
        await_rel_timeout: reader.seconds(&key("await_rel_timeout")),
        session_expiry_interval: reader.seconds(&key("session_expiry_interval")),
        max_mqueue_len: reader.limit(&key("max_mqueue_len")),
        mqueue_priorities,
        mqueue_default_highest: reader.string(&key("mqueue_default_priority")) == "highest",
        mqueue_store_qos0: reader.truth(&key("mqueue_store_qos0")),
        publish_limit: reader.rate(&key("publish_limit")),
        conn_messages_in: reader.rate(&key("rate_limit.conn_messages_in")),
        conn_bytes_in: reader.rate(&key("rate_limit.conn_bytes_in")),
        conn_messages_routing: reader.rate(&key("quota.conn_messages_routing")),
        overall_messages_routing: reader.rate(&key("quota.overall_messages_routing")),
        force_shutdown_policy: shutdown_of(reader, &key("force_shutdown_policy")),
        mountpoint: reader.text(&key("mountpoint")),
        use_username_as_clientid: reader.truth(&key("use_username_as_clientid")),
        name,
    }
}

/// `10000|64MB`: messages and bytes; `default`: what waits is bounded by the queue and by the node's memory.
fn shutdown_of(reader: &mut Reader, key: &str) -> Option<(usize, usize)> {
    let text = reader.string(key);
    if text == "default" {
        return None;
    }
    let parsed = text.split_once('|').and_then(|(messages, bytes)| {
        let bytes = value::byte_size(bytes.trim()).ok()?;
        Some((messages.trim().parse().ok()?, usize::try_from(bytes).unwrap_or(usize::MAX)))
    });
    if parsed.is_none() {
        reader.invalid(key, &format!("\"{text}\" is not MESSAGES|SIZE such as 10000|64MB"));
    }
    parsed
}

/// `topic/1=10,topic/2=8`, or `none`.
fn priorities_of(reader: &mut Reader, key: &str) -> Vec<(String, u8)> {
    let text = reader.string(key);
    if text == "none" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for pair in value::list(&text) {
        let parsed =
            pair.rsplit_once('=').and_then(|(topic, n)| Some((topic.to_owned(), n.parse::<u8>().ok()?)));
        match parsed {
            Some((topic, priority)) if priority > 0 => found.push((topic, priority)),
            _ => {
                reader.invalid(key, &format!("\"{pair}\" is not topic=priority with a priority of 1 to 255"))
            }
        }
    }
    found
}

/// What holds for all zones.
pub(super) fn access(reader: &mut Reader) -> Access {
    let cache_max = reader.number("acl_cache_max_size").unwrap_or(32);
    let cache_ttl = reader.duration("acl_cache_ttl");
    let policy = reader.string("flapping_detect_policy");
    let parts = value::list(&policy);
    let flapping = match parts.as_slice() {
        [count, window, ban] => {
            (|| Some((count.parse::<u32>().ok()?, value::duration(window).ok()?, value::duration(ban).ok()?)))(
            )
        }
        _ => None,
    };
    if flapping.is_none() {
        reader.invalid("flapping_detect_policy", "must be COUNT, TIME, BAN TIME such as 30, 1m, 5m");
    }
    Access {
        acl_file: reader.path("acl_file"),
        acl_cache: reader.flag("enable_acl_cache").then_some((cache_max, cache_ttl)),
        flapping: flapping.unwrap_or((30, Duration::from_secs(60), Duration::from_secs(300))),
        users: built_in(reader, "auth.user", "username", false)
            .into_iter()
            .chain(built_in(reader, "auth.client", "clientid", true))
            .collect(),
    }
}

/// `auth.user.1.username = NAME` and `auth.user.1.password = PASSWORD`.
fn built_in(reader: &mut Reader, prefix: &str, called: &str, is_client: bool) -> Vec<BuiltInUser> {
    let mut users = Vec::new();
    for id in reader.names_under(prefix) {
        let (name_key, password_key) = (format!("{prefix}.{id}.{called}"), format!("{prefix}.{id}.password"));
        match (reader.set(&name_key), reader.set(&password_key)) {
            (Some(name), Some(password)) if !name.is_empty() && !password.is_empty() => {
                users.push(BuiltInUser { is_client, name, password: Secret::new(password) });
            }
            (None, _) => reader.invalid(&password_key, &format!("must come with {name_key}")),
            (Some(_), _) => {
                reader.invalid(&name_key, &format!("must come with a {password_key} that is not empty"))
            }
        }
    }
    users
}
