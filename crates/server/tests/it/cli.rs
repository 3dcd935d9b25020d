//! `bin/emqx` and `bin/emqx_ctl`: texts and exit states.

use std::time::{Duration, Instant};

use crate::node::{Node, until};

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

#[test]
fn a_daemon_starts_answers_and_stops() {
    let node = Node::new();
    let begin = Instant::now();
    node.emqx(&["start"]).has("is started successfully!").ok();
    assert!(begin.elapsed() < Duration::from_secs(3), "start took {:?}", begin.elapsed());
    // It serves as soon as `start` has returned.
    node.client("first").ping();
    assert_eq!(node.emqx(&["ping"]).ok(), "pong");
    let pid = node.emqx(&["pid"]).ok().to_owned();
    assert!(alive(&pid), "pid {pid}");
    let again = node.emqx(&["start"]);
    assert_eq!(again.code, 1, "{again:?}");
    again.has("Node is already running!");
    let name = node.name.clone();
    node.ctl(&["status"]).has(&format!("Node '{name}'")).has("is started").ok();
    assert_eq!(node.emqx(&["stop"]).ok(), "ok");
    assert!(!alive(&pid), "`stop` returns when the process is gone");
}

#[test]
fn what_needs_a_running_node_says_that_there_is_none() {
    let mut node = Node::new();
    let text = format!("Node '{}' not responding to pings.", node.name);
    for stage in ["never started", "stopped"] {
        for (program, args) in [
            ("emqx", &["ping"][..]),
            ("emqx", &["stop"]),
            ("emqx_ctl", &["status"]),
            ("emqx_ctl", &["cluster", "status"]),
        ] {
            let said = if program == "emqx" { node.emqx(args) } else { node.ctl(args) };
            assert_eq!(said.code, 1, "{stage}, {program} {args:?}: {said:?}");
            if stage == "stopped" {
                said.has(&text);
            }
        }
        assert_eq!(node.emqx(&["pid"]).code, 1, "{stage}");
        if stage == "never started" {
            node.start();
            node.stop();
        }
    }
}

#[test]
fn a_restart_is_another_process_with_the_same_data() {
    let node = Node::new();
    node.emqx(&["start"]).ok();
    node.client("a").retain("kept", "1");
    let before = node.emqx(&["pid"]).ok().to_owned();
    node.emqx(&["restart"]).has("is started successfully!").ok();
    let after = node.emqx(&["pid"]).ok().to_owned();
    assert_ne!(before, after);
    let mut client = node.client("b");
    client.subscribe("kept", 0);
    assert_eq!(client.message().line(), "kept 1");
}

#[test]
fn usage_is_exit_0_for_help_and_1_for_nothing_and_nonsense() {
    let node = Node::new();
    assert_eq!(node.emqx(&["help"]).code, 0);
    assert_eq!(node.emqx(&[]).code, 1);
    let said = node.emqx(&["nonsense"]);
    assert_eq!(said.code, 1);
    said.has("start").has("stop");
}

#[test]
fn two_programs_cannot_have_one_data_directory() {
    let mut node = Node::new();
    node.start();
    let said = node.emqx(&["foreground"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(node.runs());
    node.client("still-served").ping();
}

#[test]
fn a_busy_port_refuses_the_start_and_is_named() {
    let node = Node::new();
    let _busy = std::net::TcpListener::bind(node.mqtt()).unwrap();
    let begin = Instant::now();
    let said = node.emqx(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    said.has(&node.port(0).to_string());
    assert!(begin.elapsed() < Duration::from_secs(5), "took {:?}", begin.elapsed());
    assert_eq!(node.emqx(&["ping"]).code, 1, "nothing is left running");
}

#[test]
fn stop_tells_clients_of_5_0_that_the_server_shuts_down() {
    let mut node = Node::new();
    node.start();
    let mut client = node.client("five");
    client.ping();
    node.stop();
    assert_eq!(client.ended(), Some(0x8b));
}

#[test]
fn sigterm_is_a_stop() {
    let mut node = Node::new();
    node.start();
    let mut client = node.client("five");
    let pid = node.pid().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert_eq!(client.ended(), Some(0x8b));
    until("the process has ended", || !node.runs());
}

#[test]
fn control_commands_have_the_texts_and_exit_states_of_4_4() {
    let mut node = Node::new();
    node.start();
    let name = node.name.clone();
    let mut client = node.connect("dev-1").keep_alive(33).open();
    client.subscribe("room/+/t", 1);

    for args in [&["cluster"][..], &["cluster", "foo"], &["cluster", "join"]] {
        let said = node.ctl(args);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        for (command, text) in [
            ("cluster join <Node>", "Join the cluster"),
            ("cluster leave", "Leave the cluster"),
            ("cluster force-leave <Node>", "Force the node leave from cluster"),
            ("cluster status", "Cluster status"),
        ] {
            said.has(&format!("{command:<70}# {text}"));
        }
    }
    let said = node.ctl(&["nosuch"]);
    assert_eq!(said.code, 1);
    said.has("Usage: emqx_ctl");
    assert_eq!(node.ctl(&[]).code, 0);

    let broker = node.ctl(&["broker"]);
    for start in ["sysdescr  : ", "version   : ", "uptime    : ", "datetime  : "] {
        broker.has(start);
    }
    node.ctl(&["broker", "stats"]).has(&format!("{:<30}: 1", "connections.count"));
    node.ctl(&["broker", "metrics"]).has(&format!("{:<30}: ", "messages.received"));

    let clients = node.ctl(&["clients", "list"]);
    assert!(clients.ok().starts_with("Client(dev-1, username=undefined, peername=127.0.0.1:"), "{clients:?}");
    clients.has("keepalive=33").has("subscriptions=1").has("connected=true");
    assert_eq!(node.ctl(&["clients", "show", "dev-1"]).ok().split(',').next(), Some("Client(dev-1"));
    assert_eq!(node.ctl(&["clients", "show", "nobody"]).fails(), "Not Found.");
    assert_eq!(node.ctl(&["routes", "list"]).ok(), format!("room/+/t -> {name}"));
    assert_eq!(node.ctl(&["routes", "show", "room/+/t"]).ok(), format!("room/+/t -> {name}"));
    assert_eq!(node.ctl(&["subscriptions", "list"]).ok(), "dev-1 -> room/+/t");
    assert_eq!(node.ctl(&["subscriptions", "show", "dev-1"]).ok(), "dev-1 -> room/+/t");
    assert_eq!(node.ctl(&["subscriptions", "add", "dev-1", "more/#", "2"]).ok(), "ok");
    client.publish("more/1", "by-command", 1);
    assert_eq!(client.message().line(), "more/1 by-command");
    assert_eq!(node.ctl(&["subscriptions", "del", "dev-1", "more/#"]).ok(), "ok");
    node.ctl(&["subscriptions", "add", "nobody", "t", "0"]).has("Error: Channel not found!").fails();
    node.ctl(&["topics", "list"]).has("room/+/t").ok();
    node.ctl(&["listeners"]).has("mqtt:tcp:external").has("listen_on").has("current_conn").ok();
    node.ctl(&["vm"]).ok();
    client.retain("kept/1", "x");
    // The node's own $SYS topics are retained messages too.
    let topics = node.ctl(&["retainer", "topics"]).ok().to_owned();
    assert!(topics.lines().any(|l| l == "kept/1"), "{topics}");
    let total = topics.lines().count();
    assert_eq!(node.ctl(&["retainer", "info"]).ok(), format!("retained/total: {total}"));
    assert_eq!(node.ctl(&["retainer", "clean", "kept/1"]).ok(), "Cleaned 1 retained messages");
    assert_eq!(node.ctl(&["clients", "kick", "dev-1"]).ok(), "ok");
    assert_eq!(client.ended(), Some(0x98));
    assert_eq!(node.ctl(&["clients", "kick", "dev-1"]).fails(), "Not Found.");
}

#[test]
fn json_last_on_any_command_is_one_document() {
    let mut node = Node::new();
    node.start();
    let _client = node.client("dev-1");
    let name = node.name.clone();
    for args in
        [&["status"][..], &["broker"], &["clients", "list"], &["routes", "list"], &["listeners"], &["vm"]]
    {
        node.json(args);
    }
    assert_eq!(node.json(&["cluster", "status"])["running_nodes"], serde_json::json!([name]));
    assert_eq!(node.json(&["cluster", "status"])["stopped_nodes"], serde_json::json!([]));
    let said = node.ctl(&["clients", "kick", "nobody", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let failure: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(failure["error"].is_string() && failure["message"].is_string(), "{failure}");
    let down = Node::new();
    let said = down.ctl(&["status", "--json"]);
    assert_eq!(said.code, 1);
    let failure: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert!(failure["error"].is_string(), "{failure}");
}

#[test]
fn the_socket_works_however_long_its_path_and_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut node = Node::new();
    let deep = node.root.join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    node.set("node.data_dir", &deep.display().to_string());
    node.start();
    node.ctl(&["status"]).has("is started").ok();
    let mut sockets = 0;
    for entry in std::fs::read_dir(&deep).unwrap() {
        use std::os::unix::fs::FileTypeExt;
        let entry = entry.unwrap();
        let data = entry.metadata().unwrap();
        if data.file_type().is_socket() {
            sockets += 1;
            assert_eq!(data.permissions().mode() & 0o077, 0, "{}", entry.path().display());
        }
    }
    assert!(sockets > 0, "no socket under {}", deep.display());
}

#[test]
fn a_node_serves_within_150_ms_and_is_small_when_idle() {
    // The debug build of a busy test machine gets room; the release is measured by `make bench`.
    let mut node = Node::new();
    node.start();
    node.stop();
    let begin = Instant::now();
    node.start();
    assert!(begin.elapsed() < Duration::from_millis(1500), "served after {:?}", begin.elapsed());
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let rss: u64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|v| v.trim().trim_end_matches(" kB").parse().ok())
        .unwrap();
    assert!(rss < 60_000, "{rss} kB");
}
