//! The whole way from files and variables to settings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// An installation in a directory of its own with this `etc/emqx.conf`.
struct Installation {
    dir: tempfile::TempDir,
}

impl Installation {
    fn with(conf: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let installation = Self { dir };
        installation.file("etc/emqx.conf", conf);
        installation
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Settings, Problems> {
        load(self.dir.path(), &Environment::of(variables.iter().copied()))
    }

    fn settings(&self, variables: &[(&str, &str)]) -> Settings {
        self.load(variables).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

fn refusal(conf: &str) -> String {
    Installation::with(conf).load(&[]).map(|_| ()).unwrap_err().to_string()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The active lines of a group's file as EMQ X 4.4.19 distributes it.
fn shipped(group: &str) -> Vec<(String, String)> {
    let rows = GROUPS.iter().filter(|candidate| candidate.name == group).flat_map(|candidate| candidate.rows);
    rows.flat_map(|row| row.shipped_lines()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_setting_of_4_4_is_declared_once_in_its_group() {
    const OURS: [&str; 10] = [
        "cluster.join_wait",
        "cluster.etcd.version",
        "cluster.etcd.username",
        "cluster.etcd.password",
        "node.cookie_accept",
        "node.max_memory",
        "node.shards",
        "listener.ssl.$name.crlfile",
        "listener.wss.$name.crlfile",
        "listener.quic.$name",
    ];
    let mut seen = BTreeSet::new();
    let mut of_4_4 = 0;
    for group in GROUPS {
        for row in group.rows {
            assert!(seen.insert((group.name, row.key)), "{} twice", row.key);
            assert!(!row.doc.concat().trim().is_empty());
            let ours = OURS.contains(&row.key) || row.key.starts_with("listener.quic.");
            of_4_4 += usize::from(!ours);
        }
    }
    assert_eq!(of_4_4, 788);
}

#[test]
fn every_default_and_every_shipped_value_is_of_its_type() {
    for group in GROUPS {
        for row in group.rows {
            for (key, value) in row.shipped_lines() {
                assert!(row.matches(key), "{key}");
                assert_eq!(value::check(row.kind, value), Ok(()), "{key} = {value}");
            }
        }
    }
}

#[test]
fn what_fills_a_field_is_what_is_said_to_work() {
    let conf = "listener.tcp.a = 1\nlistener.ssl.a = 2\nlistener.ws.a = 3\nlistener.wss.a = 4\nlistener.quic.a = 5\n\
                zone.z.max_inflight = 1\nbroker.g.shared_subscription_strategy = sticky\nlog.error.file = e.log\n\
                listener.tcp.a.access.1 = allow all\nlistener.ssl.a.access.1 = allow all\nlistener.ws.a.access.1 = allow all\n\
                listener.wss.a.access.1 = allow all\nlistener.quic.a.access.1 = allow all\n";
    let installation = Installation::with(&format!(
        "{conf}cluster.discovery = static\nlistener.ssl.a.certfile = c\nlistener.ssl.a.keyfile = k\nlistener.wss.a.certfile = c\nlistener.wss.a.keyfile = k\n\
         listener.quic.a.certfile = c\nlistener.quic.a.keyfile = k\n"
    ));
    installation.file(
        "etc/plugins/emqx_auth_mnesia.conf",
        "auth.user.1.username = u\nauth.user.1.password = p\nauth.client.1.clientid = c\nauth.client.1.password = p\n",
    );
    let settings = installation.settings(&[]);
    let mut used = read::used_keys(installation.dir.path(), &settings.values);
    // Read by the zones only where the zone says nothing itself, or only with the strategy that needs them.
    used.extend(["plugins.etc_dir"]);
    for strategy in [
        "mcast\n",
        "dns\ncluster.dns.name = a\ncluster.dns.app = b\n",
        "etcd\ncluster.etcd.server = http://a\n",
        "k8s\ncluster.k8s.apiserver = http://a\ncluster.k8s.service_name = a\ncluster.k8s.app_name = a\ncluster.k8s.namespace = a\n",
    ] {
        let one = Installation::with(&format!("cluster.discovery = {strategy}")).settings(&[]);
        used.extend(read::used_keys(installation.dir.path(), &one.values));
    }
    for group in GROUPS {
        for row in group.rows.iter().filter(|row| row.effect == Effect::Works) {
            let by_zone = row
                .key
                .strip_prefix("zone.$name.")
                .is_some_and(|rest| used.contains(format!("mqtt.{rest}").as_str()) || used.contains(rest));
            assert!(used.contains(row.key) || by_zone, "{} is said to work, but nobody reads it", row.key);
        }
    }
}

#[test]
fn an_unmodified_configuration_of_4_4_is_accepted_and_opens_its_listeners() {
    let lines = |group: &str| -> String {
        shipped(group).iter().map(|(key, value)| format!("## as distributed\n{key} = {value}\n\n")).collect()
    };
    let installation = Installation::with(&lines("core"));
    for group in GROUPS.iter().filter(|group| group.name != "core") {
        installation.file(&format!("etc/plugins/{}.conf", group.name), &lines(group.name));
    }
    let settings = installation.settings(&[]);
    let open: Vec<String> = settings
        .listeners
        .iter()
        .map(|listener| format!("{} {}", listener.full_name(), listener.address))
        .collect();
    assert_eq!(
        open,
        [
            "mqtt:tcp:external 0.0.0.0:1883",
            "mqtt:tcp:internal 127.0.0.1:11883",
            "mqtt:ssl:external 0.0.0.0:8883",
            "mqtt:ws:external 0.0.0.0:8083",
            "mqtt:wss:external 0.0.0.0:8084"
        ]
    );
    assert_eq!(settings.node.name, "emqx@127.0.0.1");
    assert_eq!(settings.cluster.autoclean, Some(Duration::from_secs(300)));
    let zone = &settings.listeners[0].zone;
    assert_eq!(
        (zone.name.as_str(), zone.max_inflight, zone.max_awaiting_rel),
        ("external", Some(32), Some(100))
    );
    assert_eq!((zone.allow_anonymous, zone.enable_acl, zone.enable_ban), (Anonymous::Allow, true, true));
    assert!(zone.mqueue_default_highest && !zone.ignore_loop_deliver);
    let inner = &settings.listeners[1].zone;
    assert_eq!(
        (inner.max_inflight, inner.max_mqueue_len, inner.bypass_auth_plugins),
        (Some(128), Some(10_000), true)
    );
    assert_eq!(settings.broker.shared_strategy, SharedStrategy::Random);
    assert_eq!(settings.access.flapping, (30, Duration::from_secs(60), Duration::from_secs(300)));
    assert_eq!(settings.modules.presence_qos, Some(1));
    assert!(settings.retainer.enabled);
    assert_eq!(settings.listeners[2].tls.as_ref().map(|tls| tls.ciphers.len() > 30), Some(true));
}

#[test]
fn our_distributed_files_have_exactly_the_active_lines_of_4_4() {
    let active = |path: &str| -> BTreeSet<(String, String)> {
        let text = fs::read_to_string(repository().join("release").join(path)).unwrap();
        let lines = input::lines(&text, path);
        assert_eq!(lines.problems, []);
        lines.settings.into_iter().map(|(key, value, _)| (key, value)).collect()
    };
    for group in GROUPS {
        let path = if group.name == "core" {
            "etc/emqx.conf".into()
        } else {
            format!("etc/plugins/{}.conf", group.name)
        };
        assert_eq!(active(&path), shipped(group.name).into_iter().collect(), "{path}");
    }
    load(&repository().join("release"), &Environment::default()).unwrap();
    let rules = fs::read_to_string(repository().join("release/etc/acl.conf")).unwrap();
    assert_eq!(crate::term::parse(&rules).unwrap().len(), 4);
}

#[test]
fn the_reference_page_is_fresh() {
    let path = repository().join("docs/reference/settings.md");
    let page = reference::page();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/reference/settings.md is stale: run the tests with UPDATE=1");
}

#[test]
fn an_empty_file_gives_the_defaults_of_the_schema() {
    let settings = Installation::with("").settings(&[]);
    assert!(!settings.cluster.autoheal);
    assert_eq!(settings.cluster.autoclean, None);
    assert_eq!(settings.broker.shared_strategy, SharedStrategy::RoundRobin);
    assert_eq!(settings.node.cookie.reveal(), "emqxsecretcookie");
    assert_eq!(format!("{:?}", settings.node.cookie), "******");
    assert_eq!(settings.listeners.len(), 0);
    assert_eq!(settings.zones[""].max_packet_size, 1 << 20);
    assert_eq!(settings.zones[""].allow_anonymous, Anonymous::Deny);
    assert_eq!(settings.node.max_memory, MemoryLimit::Share);
    let addresses: Vec<_> = settings.peer_addresses().map(|a| a.to_string()).collect();
    assert_eq!(addresses, ["0.0.0.0:4370"]);
}

#[test]
fn unknown_keys_name_the_nearest_ones() {
    let text = refusal("node.name = a@b\ncluster.bogus = 1\n");
    assert!(text.starts_with(
        "etc/emqx.conf line 2: You've tried to set cluster.bogus, but there is no setting with that name.\n  Did you mean one of these?\n    cluster."
    ), "{text}");
    assert!(text.contains("\nConf file attempted to set unknown variable: cluster.bogus\n"), "{text}");
    assert!(text.ends_with("Error generating configuration in phase transform_datatypes"), "{text}");
}

#[test]
fn values_are_refused_with_the_words_that_users_know() {
    let cases = [
        (
            "cluster.autoheal = true",
            "cluster.autoheal: \"true\" is not a valid enum value, acceptable values are: on, off",
        ),
        ("cluster.autoclean = 300", "cluster.autoclean: Invalid duration value: 300"),
        ("node.async_threads = x", "node.async_threads: \"x\" cannot be converted to a(n) integer"),
        ("node.async_threads = 1025", "node.async_threads invalid, must be 0 to 1024"),
        ("node.max_ports = 1", "node.max_ports invalid, must be 1024 to 134217727"),
        ("node.heartbeat = off", "node.heartbeat invalid, should be 'on' or comment the line!"),
        ("node.dist_use_interface = x", "bad_node_dist_use_interface"),
        ("rpc.tcp_client_num = 256", "rpc.tcp_client_num invalid, must greater than 0 and less than 256"),
        (
            "cluster.discovery = consul",
            "Error running translation for ekka.cluster_discovery, [error, cluster.discovery: \"consul\"",
        ),
        (
            "cluster.discovery = k8s\ncluster.k8s.apiserver = x\ncluster.k8s.service_name = x\ncluster.k8s.app_name = x",
            "Translation for 'ekka.cluster_discovery' expected to find setting 'cluster.k8s.namespace' but was missing",
        ),
        (
            "cluster.discovery = mcast\ncluster.mcast.addr = x",
            "cluster.mcast.addr: \"x\" is not an IP address",
        ),
        ("node.name = em!qx@127.0.0.1", "Invalid node name, should be of format '^[0-9A-Za-z_-]+$'."),
        ("node.name = emqx", "Can't set long node name!"),
        ("node.name =", "Syntax error in etc/emqx.conf after line 1 column 1, parsing incomplete"),
        (
            "node.name = $(node.nick)@h",
            "'node.name' substitution requires a config variable 'node.nick' to be set",
        ),
        ("log.dir = $(log.file)\nlog.file = $(log.dir)", "Circular RHS substitutions: "),
        ("listener.tcp.a = x:1", "listener.tcp.a: \"x:1\" cannot be converted to a(n) IP"),
        ("listener.ssl.a = 1", "listener.ssl.a.certfile invalid, must be set"),
        ("listener.tcp.a = 1\nlistener.tcp.a.access.1 = maybe all", "listener.tcp.a.access.1 invalid"),
        ("include etc/none.conf", "etc/none.conf cannot be read"),
        ("mqtt.max_qos_allowed = 3", "mqtt.max_qos_allowed invalid, must be 0 to 2"),
        ("log.x.file = y", "log.x.file invalid, \"x\" is not a valid enum value"),
        (
            "retainer.max_payload_size = 1MB",
            "retainer.max_payload_size belongs in etc/plugins/emqx_retainer.conf",
        ),
    ];
    for (conf, expected) in cases {
        let text = refusal(conf);
        assert!(text.contains(expected), "{conf}\n{text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let installation = Installation::with(
        "cluster.autoheal = yes\nx.y = 1\nnode.async_threads = 5000\n=\ncluster.discovery = consul\n",
    );
    installation.file(
        "etc/plugins/emqx_retainer.conf",
        "retainer.max_payload_size = 1Mb\nmqtt.max_qos_allowed = 1\n",
    );
    let Problems(problems) = installation.load(&[("EMQX_LOG__TO", "paper")]).unwrap_err();
    let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    for part in [
        "etc/emqx.conf line 1: cluster.autoheal: ",
        "tried to set x.y",
        "etc/emqx.conf line 3: node.async_threads invalid",
        "after line 4 column 1",
        "cluster.discovery",
        "etc/plugins/emqx_retainer.conf line 1: retainer.max_payload_size: \"1Mb\"",
        "mqtt.max_qos_allowed belongs in etc/emqx.conf",
        "environment EMQX_LOG__TO: log.to: \"paper\" is not a valid enum value, acceptable values are: file, console, both",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_last_line_the_main_file_and_the_variable_win() {
    let installation =
        Installation::with("log.level = info\r\ninclude etc/more.conf\r\nlog.level = error\r\n");
    installation.file(
        "etc/more.conf",
        "log.level = debug\nlog.file = more.log\nlog.dir = deep\ninclude etc/most.conf",
    );
    installation
        .file("etc/most.conf", "log.file = most.log\nnode.name = a@$(log.dir).x\ninclude etc/more.conf");
    let settings = installation.settings(&[]);
    assert_eq!(settings.log.level, crate::log::Level::Error);
    assert_eq!(settings.log.file, "more.log");
    assert_eq!(settings.node.name, "a@deep.x");
    assert_eq!(settings.files, ["etc/emqx.conf", "etc/more.conf", "etc/most.conf"]);
    let settings = installation.settings(&[
        ("EMQX_LOG__LEVEL", "debug"),
        ("EMQX_NODE_NAME", "b@h"),
        ("EMQX_LOG__FILE", ""),
    ]);
    assert_eq!(settings.log.level, crate::log::Level::Debug);
    assert_eq!(settings.node.name, "b@h");
    assert_eq!(settings.log.file, "emqx.log");
}

#[test]
fn zones_fall_back_to_what_holds_for_all() {
    let conf = "mqtt.max_topic_levels = 7\nmqtt.max_topic_alias = 9\nmqtt.retain_available = false\nallow_anonymous = true\n\
                zone.a.max_topic_levels = 0\nzone.a.mqueue_priorities = x/1=10, y=2\nzone.a.allow_anonymous = false_quick_deny\n\
                listener.tcp.t = [::1]:1\nlistener.tcp.t.zone = b\nlistener.tcp.u = /run/x.sock\n";
    let settings = Installation::with(conf).settings(&[]);
    let (a, b, bare) = (&settings.zones["a"], &settings.zones["b"], &settings.zones[""]);
    assert_eq!((a.max_topic_levels, b.max_topic_levels), (None, Some(7)));
    assert_eq!((a.max_topic_alias, a.retain_available), (9, false));
    assert_eq!(a.mqueue_priorities, [("x/1".to_owned(), 10), ("y".to_owned(), 2)]);
    assert_eq!((a.allow_anonymous, bare.allow_anonymous), (Anonymous::DenyAtOnce, Anonymous::Allow));
    assert_eq!(settings.listeners[0].zone.name, "b");
    assert_eq!(settings.listeners[1].zone.name, "");
    assert_eq!(settings.listeners[1].address.to_string(), "/run/x.sock");
}

#[test]
fn ports_follow_from_names() {
    let cases = [
        ("emqx@127.0.0.1", 0),
        ("emqx1@h", 1),
        ("emqx-1@192.168.0.12", 1),
        ("emqx2-10@h", 10),
        ("emqx_3@h", 3),
        ("emqx007@h", 7),
        ("emqx0@h", 0),
        ("3@h", 3),
        ("emqx-1a@h", 0),
        ("12345@h", 12345),
        ("emqx60000@h", 0),
        ("emqx60001@h", 1),
        ("emqx99999@h", 39_999),
        ("20260101@h", 40_101),
    ];
    for (name, offset) in cases {
        assert_eq!(port_offset(name), offset, "{name}");
    }
}

#[test]
fn what_has_no_effect_is_listed_with_its_reason() {
    let settings =
        Installation::with("rpc.mode = sync\nnode.global_gc_interval = 15m\nnode.name = a@h\n").settings(&[]);
    let notes = settings.values.without_effect();
    let keys: Vec<&str> = notes.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    assert_eq!(keys, ["node.global_gc_interval", "rpc.mode"]);
    assert!(settings.values.is_as_shipped("node.global_gc_interval"));
    assert!(!settings.values.is_as_shipped("rpc.mode"));
}

#[test]
fn any_text_is_read_without_a_panic() {
    let words = [
        "node.name",
        "=",
        " ",
        "\n",
        "listener.tcp.a",
        "listener.ssl.é",
        ".",
        "\\.",
        "zone.z.max_inflight",
        "$(",
        ")",
        "1883",
        "include ",
        "log.error.file",
        "#",
        "\r",
        "{{",
        "}}",
        "broker.g.shared_subscription_strategy",
        "99999999999999999999",
        "1h",
        "KB",
        "-1",
        "\u{0}",
        "[::]:1",
        "zone.z.mqueue_priorities",
        "listener.ws.a.access.x",
        "%",
        "on",
        "cluster.discovery",
        "etcd",
        "k8s",
        "mcast",
        "é",
        "module.presence.qos",
    ];
    let mut state = 11_u64;
    let installation = Installation::with("");
    for _ in 0..1_500 {
        let mut conf = String::new();
        for _ in 0..24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            conf.push_str(words[(state >> 33) as usize % words.len()]);
        }
        installation.file("etc/emqx.conf", &conf);
        let _ = installation.load(&[]).map_err(|problems| problems.to_string());
    }
}

#[test]
fn a_zone_may_be_called_anything() {
    for name in ["a.b", ".", ".external", "external.", "a..b", "a\\", "\\.", "$name", "zone", "ä b", "#"] {
        let zone = name.replace('.', "\\.");
        let conf = format!("listener.tcp.x = 1883\nlistener.tcp.x.zone = {name}\nmqtt.max_qos_allowed = 1\n");
        let settings = Installation::with(&conf).settings(&[]);
        assert_eq!(
            (&*settings.listeners[0].zone.name, settings.listeners[0].zone.max_qos_allowed),
            (name, 1)
        );
        if name == "a.b" {
            let settings =
                Installation::with(&format!("{conf}zone.{zone}.max_qos_allowed = 0\n")).settings(&[]);
            assert_eq!(settings.listeners[0].zone.max_qos_allowed, 0);
        }
    }
}
