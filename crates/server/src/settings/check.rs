//! Rules about values beyond their type: ranges, names, and what must be set together.

use std::net::IpAddr;

use super::input::Origin;
use super::load::Values;
use super::problem::{Phase, Problem};
use super::value;

type Rule = (&'static str, fn(i64) -> bool, &'static str);

/// Whole numbers and sizes with a range, and the words that refuse the rest.
const RANGES: &[Rule] = &[
    ("node.async_threads", |n| (0..=1024).contains(&n), "must be 0 to 1024"),
    ("node.process_limit", |n| (1024..=134_217_727).contains(&n), "must be 1024 to 134217727"),
    ("node.max_ports", |n| (1024..=134_217_727).contains(&n), "must be 1024 to 134217727"),
    ("node.dist_listen_min", |n| (1..=65_535).contains(&n), "must be 1 to 65535"),
    ("node.dist_listen_max", |n| (1..=65_535).contains(&n), "must be 1 to 65535"),
    ("node.shards", |n| (0..=256).contains(&n), "must be 0 to 256"),
    ("rpc.tcp_client_num", |n| (0..256).contains(&n), "must greater than 0 and less than 256"),
    ("cluster.mcast.ttl", |n| (0..=255).contains(&n), "must be 0 to 255"),
    ("mqtt.max_qos_allowed", |n| (0..=2).contains(&n), "must be 0 to 2"),
    ("mqtt.max_topic_alias", |n| (0..=65_535).contains(&n), "must be 0 to 65535"),
    ("mqtt.max_clientid_len", |n| (1..=65_535).contains(&n), "must be 1 to 65535"),
    ("mqtt.max_topic_levels", |n| n >= 0, "must not be negative"),
    ("module.presence.qos", |n| (0..=2).contains(&n), "must be 0 to 2"),
    ("retainer.max_retained_messages", |n| n >= 0, "must not be negative"),
    ("log.rotation.count", |n| (1..=100_000).contains(&n), "must be 1 to 100000"),
    ("log.drop_mode_qlen", |n| (1..=1_000_000).contains(&n), "must be 1 to 1000000"),
];

/// Checks ranges and single values that have a rule of their own.
pub(super) fn ranges(values: &Values, problems: &mut Vec<Problem>) {
    for (key, legal, words) in RANGES {
        let number = values.entry(key).and_then(|(text, _)| value::integer(text).ok());
        if number.is_some_and(|number| !legal(number)) {
            invalid(values, key, words, problems);
        }
    }
    let dist_buffer = values.entry("node.dist_buffer_size").and_then(|(text, _)| value::byte_size(text).ok());
    if dist_buffer.is_some_and(|bytes| !(1024..=2_097_151 * 1024).contains(&bytes)) {
        invalid(values, "node.dist_buffer_size", "must be between 1KB and 2097151KB", problems);
    }
    if values.entry("node.heartbeat").is_some_and(|(text, _)| text == "off") {
        invalid(values, "node.heartbeat", "should be 'on' or comment the line!", problems);
    }
    if values.entry("node.dist_use_interface").is_some_and(|(text, _)| text.parse::<IpAddr>().is_err()) {
        invalid(
            values,
            "node.dist_use_interface",
            "bad_node_dist_use_interface: it is not an IP address",
            problems,
        );
    }
}

fn invalid(values: &Values, key: &str, words: &str, problems: &mut Vec<Problem>) {
    let origin = values.entry(key).map(|(_, origin)| origin.clone());
    problems.push(Problem {
        origin,
        key: Some(key.to_owned()),
        text: format!("{key} invalid, {words}"),
        phase: Phase::Validation,
    });
}

/// A setting that another one demands is missing.
pub(super) fn missing(internal: &str, key: &str) -> Problem {
    Problem {
        origin: None,
        key: Some(key.to_owned()),
        text: format!("Translation for '{internal}' expected to find setting '{key}' but was missing"),
        phase: Phase::Translation,
    }
}

/// A value that cannot be made into what the program needs.
pub(super) fn untranslatable(internal: &str, key: &str, origin: Option<Origin>, why: &str) -> Problem {
    Problem {
        origin,
        key: Some(key.to_owned()),
        text: format!("Error running translation for {internal}, [error, {key}: {why}]"),
        phase: Phase::Translation,
    }
}

/// What is wrong with a node name, if anything.
pub fn node_name(name: &str) -> Result<(), String> {
    let (short, host) = match name.split_once('@') {
        Some((short, host)) => (short, Some(host)),
        None => (name, None),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if short.is_empty() || !short.chars().all(legal) {
        return Err("Invalid node name, should be of format '^[0-9A-Za-z_-]+$'.".to_owned());
    }
    let host_is_legal = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c))
    };
    if !host.is_some_and(host_is_legal) || name.len() > 255 {
        return Err("Can't set long node name!\nPlease check your configuration".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_name_at_host() {
        for good in ["emqx@127.0.0.1", "emqx-1@h.x", "E_1@localhost", "3@h", "emqx@fd77::11"] {
            assert_eq!(node_name(good), Ok(()), "{good}");
        }
        for bad in ["em!qx@127.0.0.1", "@h", "", "é@h", "a b@h"] {
            assert_eq!(
                node_name(bad),
                Err("Invalid node name, should be of format '^[0-9A-Za-z_-]+$'.".to_owned()),
                "{bad}"
            );
        }
        for bad in ["emqx", "emqx@", "emqx@a@b", "emqx@a b", "emqx@a/b"] {
            let text = node_name(bad).unwrap_err();
            assert!(text.starts_with("Can't set long node name!"), "{bad}");
        }
    }
}
