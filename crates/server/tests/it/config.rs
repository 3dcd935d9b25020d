//! What `etc/emqx.conf` and the environment say, and what is refused.

use std::net::TcpStream;

use crate::node::Node;

/// `check_conf` refuses with all of these words.
fn refused(lines: &[&str], words: &[&str]) {
    let node = Node::new();
    for line in lines {
        node.line(line);
    }
    let said = node.emqx(&["check_conf"]);
    assert_ne!(said.code, 0, "{lines:?} was taken: {said:?}");
    for word in words {
        said.has(word);
    }
}

fn taken(lines: &[&str]) {
    let node = Node::new();
    for line in lines {
        node.line(line);
    }
    node.emqx(&["check_conf"]).ok();
}

#[test]
fn the_shipped_configuration_is_ok() {
    let node = Node::new();
    node.emqx(&["check_conf"]).has("emqx.conf").has("is ok").ok();
}

#[test]
fn the_environment_names_a_node_for_one_start_only() {
    let mut node = Node::new();
    let other = format!("other{}@127.0.0.1", node.port(6) - 4370);
    node.env("EMQX_NODE_NAME", &other);
    node.start();
    node.ctl(&["status"]).has(&format!("Node '{other}'")).has("is started").ok();
    assert!(TcpStream::connect(("127.0.0.1", node.port(6))).is_ok(), "the peers' port follows the name");
    assert!(
        TcpStream::connect(("127.0.0.1", node.port(5))).is_err(),
        "the port of the file's name stays closed"
    );
    node.stop();
    node.no_env();
    node.start();
    let name = node.name.clone();
    node.ctl(&["status"]).has(&format!("Node '{name}'")).ok();
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_ones() {
    refused(&["cluster.bogus = 1"], &["cluster.bogus", "Did you mean one of these?"]);
}

#[test]
fn an_unknown_key_refuses_the_start_at_once() {
    let node = Node::new();
    node.set("cluster.bogus", "1");
    let start = std::time::Instant::now();
    let said = node.emqx(&["start"]);
    assert_ne!(said.code, 0, "{said:?}");
    said.has("cluster.bogus");
    assert!(start.elapsed().as_secs() < 5, "a refusal waits for no time-out");
}

#[test]
fn a_flag_is_on_or_off() {
    refused(&["cluster.autoheal = true"], &["cluster.autoheal", "acceptable values are: on, off"]);
}

#[test]
fn a_duration_has_a_unit() {
    refused(&["cluster.autoclean = 300"], &["Invalid duration value: 300"]);
    refused(&["cluster.autoclean = 0s"], &["Invalid duration value: 0s"]);
    for value in ["5m", "300s", "1m30s", ".5h"] {
        taken(&[&format!("cluster.autoclean = {value}")]);
    }
}

#[test]
fn all_wrong_settings_are_reported_at_once() {
    refused(
        &["cluster.autoheal = yes", "cluster.autoclean = 7", "node.bogus = 1"],
        &["acceptable values are: on, off", "Invalid duration value: 7", "node.bogus"],
    );
}

#[test]
fn an_unknown_discovery_is_refused() {
    refused(&["cluster.discovery = consul"], &["discovery"]);
}

#[test]
fn kubernetes_needs_a_namespace() {
    refused(
        &[
            "cluster.discovery = k8s",
            "cluster.k8s.apiserver = http://127.0.0.1:1",
            "cluster.k8s.service_name = emqx",
            "cluster.k8s.app_name = emqx",
        ],
        &["cluster.k8s.namespace"],
    );
}

#[test]
fn an_empty_value_is_a_syntax_error_with_its_place() {
    refused(&["node.cookie ="], &["Syntax error in", "after line"]);
}

#[test]
fn the_last_line_for_a_key_wins() {
    let mut node = Node::new();
    let name = format!("last{}@127.0.0.1", node.port(5) - 4370);
    node.set("node.name", "first@127.0.0.1");
    node.set("node.name", &name);
    node.start();
    node.ctl(&["status"]).has(&name).ok();
}

#[test]
fn the_main_file_wins_over_an_included_one() {
    let mut node = Node::new();
    std::fs::write(node.root.join("etc/more.conf"), "node.name = included@127.0.0.1\n").unwrap();
    node.line("include etc/more.conf");
    node.start();
    let name = node.name.clone();
    node.ctl(&["status"]).has(&name).ok();
}

#[test]
fn a_name_of_other_characters_is_refused_by_every_command() {
    let mut node = Node::new();
    node.env("EMQX_NODE_NAME", "em!qx@127.0.0.1");
    for args in [&["start"][..], &["ping"], &["check_conf"]] {
        let said = node.emqx(args);
        assert_eq!(said.code, 1, "{args:?}: {said:?}");
        said.has("Invalid node name, should be of format '^[0-9A-Za-z_-]+$'.");
    }
}

#[test]
fn certificates_are_made_at_the_first_start_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut node = Node::new();
    node.start();
    let key = node.root.join("etc/certs/key.pem");
    let mode =
        std::fs::metadata(&key).unwrap_or_else(|e| panic!("{}: {e}", key.display())).permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // All five listeners of the shipped file are open.
    for i in 0..5 {
        assert!(TcpStream::connect(("127.0.0.1", node.port(i))).is_ok(), "listener {i} is open");
    }
}
