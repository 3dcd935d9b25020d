//! Modules and plugins: what is switched on, and the retainer's settings.
//!
//! The lists are files of Erlang terms, `{emqx_mod_presence, true}.`, as 4.4 keeps them. A list that does not exist is the distributed one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Reader;
use crate::settings::typed::{Modules, Retainer};
use crate::settings::value;
use crate::term::{self, Term};

const MODULES: &[(&str, bool)] = &[
    ("emqx_mod_acl_internal", true),
    ("emqx_mod_presence", true),
    ("emqx_mod_trace", false),
    ("emqx_mod_delayed", false),
    ("emqx_mod_rewrite", false),
    ("emqx_mod_subscription", false),
    ("emqx_mod_topic_metrics", false),
    ("emqx_mod_slow_subs", false),
];

const PLUGINS: &[(&str, bool)] = &[
    ("emqx_management", true),
    ("emqx_dashboard", true),
    ("emqx_modules", false),
    ("emqx_recon", true),
    ("emqx_retainer", true),
    ("emqx_rule_engine", true),
    ("emqx_telemetry", true),
    ("emqx_bridge_mqtt", false),
];

pub(super) fn modules(reader: &mut Reader) -> Modules {
    let loaded = switches(reader, "modules.loaded_file", "data/loaded_modules", MODULES);
    let plugins = switches(reader, "plugins.loaded_file", "data/loaded_plugins", PLUGINS);
    reader.row_default("plugins.etc_dir");
    let on = |name: &str| loaded.get(name).copied().unwrap_or(false);
    let qos = reader.number::<u8>("module.presence.qos").unwrap_or(1);
    Modules {
        presence_qos: on("emqx_mod_presence").then_some(qos),
        acl_internal: on("emqx_mod_acl_internal"),
        delayed: on("emqx_mod_delayed"),
        loaded,
        plugins,
    }
}

fn switches(
    reader: &mut Reader,
    key: &str,
    usual: &str,
    distributed: &[(&str, bool)],
) -> BTreeMap<String, bool> {
    let shown = reader.text(key).unwrap_or_else(|| usual.to_owned());
    let path = reader.root.join(&shown);
    let as_distributed = || distributed.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return as_distributed(),
        Err(error) => {
            reader.invalid(key, &format!("{shown} cannot be read: {error}"));
            return as_distributed();
        }
    };
    match term::parse(&text) {
        Ok(terms) => terms.iter().filter_map(switch).collect(),
        Err(error) => {
            reader.invalid(key, &format!("{shown}: {error}"));
            as_distributed()
        }
    }
}

/// `{name, true}`, or the name alone, as older versions wrote it.
fn switch(term: &Term) -> Option<(String, bool)> {
    match term {
        Term::Atom(name) => Some((name.clone(), true)),
        Term::Tuple(parts) => match parts.as_slice() {
            [Term::Atom(name), Term::Atom(on)] => Some((name.clone(), on == "true")),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn retainer(reader: &mut Reader, modules: &Modules) -> Retainer {
    // A bare number is milliseconds.
    let milliseconds = |text: &str| match value::integer(text) {
        Ok(number) => Ok(Duration::from_millis(u64::try_from(number).unwrap_or(0))),
        Err(_) => value::duration(text),
    };
    let payload = reader.size("retainer.max_payload_size").filter(|bytes| *bytes > 0);
    Retainer {
        enabled: modules.plugins.get("emqx_retainer").copied().unwrap_or(false),
        storage_type: reader.string("retainer.storage_type"),
        max_retained_messages: reader.limit("retainer.max_retained_messages"),
        max_payload_size: payload.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        expiry_interval: reader
            .parsed("retainer.expiry_interval", milliseconds)
            .filter(|time| !time.is_zero()),
        stop_publish_clear_msg: reader.truth("retainer.stop_publish_clear_msg"),
    }
}
