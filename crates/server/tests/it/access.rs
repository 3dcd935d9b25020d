//! Who may connect, publish and subscribe.

use crate::client::{Level, Packet};
use crate::node::{Node, cluster, until};

const BANNED: u8 = 0x8A;
const BAD_LOGIN: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;

/// A node that has rules of its own, not started.
fn with_rules(rules: &str) -> (Node, std::path::PathBuf) {
    let node = Node::new();
    let file = node.conf().with_file_name("own.acl");
    std::fs::write(&file, rules).expect("the folder of the settings can be written");
    node.set("acl_file", &file.display().to_string());
    (node, file)
}

#[test]
fn the_rules_of_the_access_file_decide() {
    let (mut node, _) = with_rules(
        "{deny, all, publish, [\"secret/#\"]}.\n{allow, all, subscribe, [\"c/%c\"]}.\n\
         {deny, all, subscribe, [\"c/#\", {eq, \"#\"}]}.\n{allow, all}.\n",
    );
    node.start();
    let mut client = node.client("me");
    assert_eq!(client.publish_with("secret/1", "x", 1, false, vec![]), NOT_AUTHORIZED);
    assert!(client.publish_with("open/1", "x", 1, false, vec![]) < 0x80);
    assert_eq!(client.subscribe_code("c/me", 1, vec![]), 1);
    assert_eq!(client.subscribe_code("c/you", 1, vec![]), NOT_AUTHORIZED);
    assert_eq!(client.subscribe_code("#", 1, vec![]), NOT_AUTHORIZED);
    assert_eq!(node.client("+").subscribe_code("c/+", 1, vec![]), NOT_AUTHORIZED);
    // A will is published only if its client might publish it.
    client.subscribe("w/#", 1);
    client.subscribe("secret/#", 1);
    drop(node.connect("a").will("secret/will", "no", 1, false).open());
    drop(node.connect("b").will("w/will", "yes", 1, false).open());
    assert_eq!(client.message().text(), "yes");
}

#[test]
fn what_no_rule_fits_and_what_follows_a_denial_is_set_by_zone() {
    let (mut node, _) = with_rules("{allow, all, pubsub, [\"a\"]}.\n");
    node.set("acl_nomatch", "deny");
    node.set("zone.external.acl_deny_action", "disconnect");
    node.start();
    let mut client = node.client("me");
    client.subscribe("a", 1);
    client.publish("a", "x", 1);
    client.send_publish("b", b"x", 1, false, vec![]);
    assert_eq!(client.ended(), Some(NOT_AUTHORIZED));
    let mut other = node.connect("other").level(Level::V311).open();
    other.send_raw(&[0x82, 6, 0, 1, 0, 1, b'b', 0]);
    assert_eq!(other.ended(), None);
}

#[test]
fn rules_that_are_read_anew_end_what_they_do_not_allow_any_more() {
    let (mut node, file) = with_rules("{allow, all}.\n");
    node.start();
    let mut client = node.client("me");
    client.subscribe("a/b", 1).subscribe("c", 1).subscribe("$share/g/a/c", 1);
    std::fs::write(&file, "{deny, all, subscribe, [\"a/#\"]}.\n{allow, all}.\n").expect("written");
    assert_eq!(
        node.ctl(&["modules", "reload", "emqx_mod_acl_internal"]).ok(),
        "Module emqx_mod_acl_internal reloaded successfully."
    );
    until("the subscriptions have ended", || node.ctl(&["subscriptions", "show", "me"]).ok() == "me -> c");
    // What is no rule leaves the old ones in force.
    std::fs::write(&file, "{allow, nobody}.\n").expect("written");
    node.ctl(&["modules", "reload", "emqx_mod_acl_internal"]).fails();
    assert_eq!(client.subscribe_code("a/b", 1, vec![]), NOT_AUTHORIZED);
    assert_eq!(client.subscribe_code("d", 1, vec![]), 1);
}

#[test]
fn a_node_does_not_start_with_rules_that_it_cannot_read() {
    let (node, _) = with_rules("{allow, everybody}.\n");
    let said = node.emqx(&["start"]);
    assert_ne!(said.code, 0);
    assert!(format!("{}{}", said.out, said.err).contains("own.acl"), "{said:?}");
}

#[test]
fn who_is_banned_goes_and_does_not_come_back_on_any_node() {
    let nodes = cluster(2);
    let mut by_id = nodes[1].client("bad");
    let mut by_name = nodes[0].connect("x").login("joe", "x").open();
    let mut good = nodes[1].client("good");
    nodes[0].ctl(&["banned", "add", "clientid", "bad"]).ok();
    nodes[1].ctl(&["banned", "add", "username", "joe", "3600"]).ok();
    by_id.ended();
    by_name.ended();
    good.ping();
    for node in &nodes {
        until("the ban is known", || node.ctl(&["banned", "list"]).ok().lines().count() == 2);
        assert_eq!(node.connect("bad").refused(), BANNED);
        assert_eq!(node.connect("bad").level(Level::V311).refused(), 5);
        assert_eq!(node.connect("y").login("joe", "x").refused(), BANNED);
    }
    nodes[1].ctl(&["banned", "del", "clientid", "bad"]).ok();
    nodes[1].ctl(&["banned", "del", "clientid", "bad"]).fails();
    until("the ban is over", || {
        matches!(nodes[0].connect("bad").answer().1, Packet::Connack { code: 0, .. })
    });
    nodes[0].ctl(&["banned", "add", "peerhost", "127.0.0.1", "1"]).ok();
    good.ended();
    until("a second has passed", || {
        matches!(nodes[1].connect("good").answer().1, Packet::Connack { code: 0, .. })
    });
    nodes[0].ctl(&["banned", "add", "peerhost", "no-address"]).fails();
}

#[test]
fn users_are_known_on_every_node_by_their_password() {
    let nodes = cluster(2);
    assert_eq!(nodes[0].ctl(&["users", "add", "joe", "secret"]).ok(), "ok");
    assert_eq!(nodes[0].ctl(&["user", "add", "joe", "other"]).fails(), "Error: existed");
    assert_eq!(nodes[0].ctl(&["clientid", "add", "device", "pin"]).ok(), "ok");
    for node in &nodes {
        until("the user is known", || {
            node.ctl(&["users", "list"]).ok() == "joe" && node.ctl(&["clientid", "list"]).ok() == "device"
        });
        node.connect("a").login("joe", "secret").open().ping();
        assert_eq!(node.connect("a").login("joe", "Secret").refused(), BAD_LOGIN);
        assert_eq!(node.connect("a").level(Level::V311).login("joe", "").refused(), 4);
        node.connect("device").login("whoever", "pin").open().ping();
        assert_eq!(node.connect("device").refused(), BAD_LOGIN);
        // allow_anonymous is on: who is not known comes in.
        node.connect("b").login("jim", "x").open().ping();
    }
    nodes[1].ctl(&["users", "update", "joe", "new"]).ok();
    until("the new password counts", || {
        matches!(nodes[0].connect("a").login("joe", "new").answer().1, Packet::Connack { code: 0, .. })
    });
    assert_eq!(nodes[1].ctl(&["users", "del", "joe"]).ok(), "ok");
    until("the user is gone", || nodes[0].ctl(&["users", "list"]).ok().is_empty());
}

#[test]
fn without_anonymous_clients_only_who_is_known_comes_in() {
    let mut node = Node::new();
    node.set("allow_anonymous", "false");
    node.start();
    assert_eq!(node.connect("a").refused(), NOT_AUTHORIZED);
    node.ctl(&["users", "add", "joe", "secret"]).ok();
    // What was sent with the CONNECT is dealt with after it.
    let mut joe = node.connect("a").login("joe", "secret").open();
    joe.subscribe("t", 1);
    joe.publish("t", "x", 1);
    assert_eq!(joe.message().text(), "x");
    // The answer does not tell who has no password from who has another one.
    assert_eq!(node.connect("a").login("jim", "secret").refused(), BAD_LOGIN);
    assert_eq!(node.connect("a").login("joe", "other").refused(), BAD_LOGIN);
    assert_eq!(node.connect("a").level(Level::V311).login("jim", "secret").refused(), 4);
    node.stop();
    node.start();
    node.connect("a").login("joe", "secret").open().ping();
}

#[test]
fn users_of_the_configuration_are_there_when_the_node_serves_and_keep_a_password_of_later() {
    let mut node = Node::new();
    node.set("allow_anonymous", "false");
    let plugins = node.conf().with_file_name("plugins");
    std::fs::create_dir_all(&plugins).expect("a folder");
    let users = "auth.user.1.username = joe\nauth.user.1.password = secret\n\
        auth.client.1.clientid = device\nauth.client.1.password = pin\n";
    std::fs::write(plugins.join("emqx_auth_mnesia.conf"), users).expect("written");
    node.start();
    node.connect("a").login("joe", "secret").open().ping();
    node.connect("device").login("whoever", "pin").open().ping();
    node.ctl(&["users", "update", "joe", "new"]).ok();
    node.stop();
    node.start();
    node.connect("a").login("joe", "new").open().ping();
    assert_eq!(node.connect("a").login("joe", "secret").refused(), BAD_LOGIN);
}

#[test]
fn rights_given_by_command_come_before_the_rules_of_the_file() {
    let (mut node, _) = with_rules("{allow, all}.\n");
    node.start();
    let mut joe = node.connect("c").login("joe", "x").open();
    joe.subscribe("a/b", 1);
    assert_eq!(node.ctl(&["acl", "add", "_all", "a/#", "sub", "deny"]).ok(), "ok");
    assert_eq!(node.ctl(&["acl", "add", "username", "joe", "a/c", "pubsub", "allow"]).ok(), "ok");
    node.ctl(&["acl", "add", "username", "joe", "a/c", "all", "allow"]).fails();
    assert_eq!(
        node.ctl(&["acl", "list"]).ok(),
        "Acl(username = <<\"joe\">> topic = <<\"a/c\">> action = pubsub access = allow)\n\
         Acl($all topic = <<\"a/#\">> action = sub access = deny)"
    );
    until("the subscription has ended", || node.ctl(&["subscriptions", "show", "c"]).code != 0);
    assert_eq!(joe.subscribe_code("a/c", 1, vec![]), 1);
    assert_eq!(joe.subscribe_code("a/b", 1, vec![]), NOT_AUTHORIZED);
    assert_eq!(node.ctl(&["acl", "del", "_all", "a/#"]).ok(), "ok");
    until("the right is back", || joe.subscribe_code("a/b", 1, vec![]) == 1);
    assert_eq!(node.ctl(&["acl", "cache-clean", "all"]).ok(), "ACL cache drain start OK");
    assert_eq!(node.ctl(&["acl", "cache-clean", "c"]).ok(), "ACL cache drain start OK");
    node.ctl(&["acl", "cache-clean", "nobody"]).fails();
}

#[test]
fn users_and_rights_of_an_export_of_4_4_are_taken_over() {
    let mut node = Node::new();
    node.start();
    // A salt of four bytes and the digest of salt and password, in base64: sha256("salt" "public").
    let kept = "c2FsdGYyZWY3ZjlhZWRiMmMzYjUwNDBiYzE2NjkxYTExNzc3NThhOTJhZDkxZTFlZTc3NzcwMjE1YTMzMmJmNjA5OWY=";
    let export = serde_json::json!({
        "version": "4.4",
        "auth_mnesia": [{"login": "joe", "type": "username", "password": kept, "created_at": 1}],
        "acl_mnesia": [{"type": "username", "login": "joe", "topic": "x/#", "action": "pub", "access": "deny", "created_at": 1}],
    });
    let file = node.conf().with_file_name("export.json");
    std::fs::write(&file, export.to_string()).expect("written");
    let file = file.display().to_string();
    assert_eq!(
        node.ctl(&["users", "import", &file]).ok(),
        "Imported 1 users (0 were here already) and 1 rights."
    );
    let mut joe = node.connect("a").login("joe", "public").open();
    assert_eq!(joe.publish_with("x/1", "x", 1, false, vec![]), NOT_AUTHORIZED);
    assert_eq!(node.connect("a").login("joe", "Public").refused(), BAD_LOGIN);
}

#[test]
fn clients_that_connect_too_often_are_banned_for_a_while() {
    let mut node = Node::new();
    node.set("zone.external.enable_flapping_detect", "on");
    node.set("flapping_detect_policy", "3, 1m, 2s");
    node.start();
    node.client("often").close();
    node.client("often").close();
    assert_eq!(node.connect("often").refused(), BANNED);
    assert_eq!(node.connect("often").refused(), BANNED);
    assert!(node.ctl(&["banned", "list"]).ok().contains("by=flapping detector"));
    node.client("seldom").ping();
    until("the ban is over", || matches!(node.connect("often").answer().1, Packet::Connack { code: 0, .. }));
}
