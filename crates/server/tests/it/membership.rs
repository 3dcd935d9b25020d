//! join, leave, force-leave, status: texts, effects on both sides, restarts.

use std::time::{Duration, Instant};

use crate::node::{Node, cluster, quoted, status_line, until};

fn two() -> (Node, Node) {
    let (mut a, mut b) = (Node::new(), Node::new());
    a.start();
    b.start();
    (a, b)
}

#[test]
fn a_join_says_so_and_shows_both_members_everywhere() {
    let (a, b) = two();
    let begin = Instant::now();
    let said = b.ctl(&["cluster", "join", &a.name]);
    let took = begin.elapsed();
    assert_eq!(said.ok(), format!("Join the cluster successfully.\n{}", status_line(&[&a, &b], &[])));
    assert!(took < Duration::from_secs(2), "the join took {took:?}");
    a.sees(&[&a, &b], &[]);
    b.sees(&[&a, &b], &[]);
}

#[test]
fn the_roles_of_a_join_can_be_swapped() {
    let (a, b) = two();
    a.join(&b);
    a.sees(&[&a, &b], &[]);
    b.sees(&[&a, &b], &[]);
}

#[test]
fn any_member_can_be_the_target() {
    let (a, b) = two();
    let mut c = Node::new();
    c.start();
    b.join(&a);
    c.join(&b);
    for node in [&a, &b, &c] {
        node.sees(&[&a, &b, &c], &[]);
    }
}

#[test]
fn a_node_alone_reports_itself() {
    let mut a = Node::new();
    a.start();
    assert_eq!(a.ctl(&["cluster", "status"]).ok(), status_line(&[&a], &[]));
}

#[test]
fn the_joiner_takes_over_the_clusters_data_and_keeps_a_copy_of_its_own() {
    let (a, b) = two();
    let mut on_a = a.client("on-a");
    let mut on_b = b.client("on-b");
    on_a.retain("from/a", "a");
    on_b.retain("from/b", "b");
    b.join(&a);
    // The joiner's clients are cut off, the target's see nothing of it.
    on_b.ended();
    on_a.ping();
    for node in [&a, &b] {
        node.sees(&[&a, &b], &[]);
        let mut reader = node.client("reader");
        reader.subscribe("from/#", 0);
        assert_eq!(reader.message().line(), "from/a a");
        reader.publish("from/end", "end", 0);
        assert_eq!(reader.lines_until("end"), Vec::<String>::new());
        reader.close();
    }
    let backup = b.root.join("data/backup");
    assert!(
        std::fs::read_dir(&backup).is_ok_and(|mut d| d.next().is_some()),
        "what was wiped is kept under {}",
        backup.display()
    );
}

#[test]
fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let (a, b) = two();
    b.client("x").retain("mine", "1");
    let said = b.ctl(&["cluster", "join", &a.name, "--dry-run"]);
    said.ok();
    a.sees(&[&a], &[]);
    b.sees(&[&b], &[]);
    let mut reader = b.client("reader");
    reader.subscribe("mine", 0);
    assert_eq!(reader.message().line(), "mine 1");
}

#[test]
fn joins_that_cannot_be_say_why_and_change_nothing() {
    let (a, b) = two();
    let mut client = b.client("stays");
    client.retain("mine", "1");
    assert_eq!(b.ctl(&["cluster", "join", &b.name]).ok(), "Ignore.");
    // A port that this test owns and where nobody listens.
    let nobody = format!("emqx{}@127.0.0.1", b.port(8) - 4370);
    let said = b.ctl(&["cluster", "join", &nobody]);
    assert_eq!(said.fails(), format!("Failed to join the cluster: {{node_down,'{nobody}'}}"));
    let mut stranger = Node::new();
    stranger.set("node.cookie", "another-cookie");
    stranger.start();
    let said = b.ctl(&["cluster", "join", &stranger.name]);
    assert_eq!(said.fails(), format!("Failed to join the cluster: {{bad_cookie,'{}'}}", stranger.name));
    // The port is a's, the name is not.
    let other = a.name.replace("emqx", "other");
    let said = b.ctl(&["cluster", "join", &other]);
    assert_eq!(said.fails(), format!("Failed to join the cluster: {{name_mismatch,'{other}'}}"));
    client.ping();
    b.sees(&[&b], &[]);
    b.join(&a);
    let said = b.ctl(&["cluster", "join", &a.name]);
    assert_eq!(
        said.fails(),
        format!("Failed to join the cluster: {{already_in_cluster,{}}}", quoted(&a.name))
    );
}

#[test]
fn joining_a_stopped_fellow_member_is_already_in_cluster() {
    let mut nodes = cluster(2);
    nodes[1].stop();
    nodes[0].sees(&[&nodes[0]], &[&nodes[1]]);
    let said = nodes[0].ctl(&["cluster", "join", &nodes[1].name]);
    assert_eq!(
        said.fails(),
        format!("Failed to join the cluster: {{already_in_cluster,{}}}", quoted(&nodes[1].name))
    );
}

#[test]
fn two_that_join_each_other_at_once_never_both_wipe() {
    let (a, b) = two();
    a.client("x").retain("of/a", "a");
    b.client("x").retain("of/b", "b");
    let (one, two) = std::thread::scope(|s| {
        let one = s.spawn(|| a.ctl(&["cluster", "join", &b.name]));
        let two = s.spawn(|| b.ctl(&["cluster", "join", &a.name]));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(one.code == 0 || two.code == 0, "{one:?} {two:?}");
    a.sees(&[&a, &b], &[]);
    b.sees(&[&a, &b], &[]);
    // Exactly one side's data is left, the same on both.
    let mut seen = vec![];
    for node in [&a, &b] {
        let mut reader = node.client("reader");
        reader.subscribe("of/#", 0);
        seen.push(reader.message().line());
        reader.close();
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn who_leaves_is_alone_and_empty_and_the_others_forget_it() {
    let nodes = cluster(2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.client("x").retain("shared", "1");
    until("the retained message is on the second node", || b.retained() == ["shared"]);
    let mut client = b.client("of-the-leaver");
    let said = b.ctl(&["cluster", "leave"]);
    assert_eq!(said.ok(), format!("Leave the cluster successfully.\n{}", status_line(&[b], &[])));
    client.ended();
    a.sees(&[a], &[]);
    assert_eq!(b.retained(), Vec::<String>::new());
    assert_eq!(a.retained(), ["shared"]);
    let said = b.ctl(&["cluster", "leave"]);
    assert_eq!(said.fails(), "Failed to leave the cluster: node_not_in_cluster");
    b.join(a);
    a.sees(&[a, b], &[]);
}

#[test]
fn leave_works_with_no_other_member_up() {
    let mut nodes = cluster(2);
    nodes[0].stop();
    let said = nodes[1].ctl(&["cluster", "leave"]);
    assert!(said.ok().starts_with("Leave the cluster successfully.\n"), "{said:?}");
    nodes[0].start();
    nodes[0].sees(&[&nodes[0]], &[]);
    nodes[1].sees(&[&nodes[1]], &[]);
}

#[test]
fn force_leave_of_a_running_member_leaves_it_alive_alone_and_empty() {
    let nodes = cluster(3);
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    a.client("x").retain("shared", "1");
    let mut client = b.client("of-the-removed");
    let said = a.ctl(&["cluster", "force-leave", &b.name]);
    assert_eq!(
        said.ok(),
        format!("Remove the node from cluster successfully.\n{}", status_line(&[a, c], &[]))
    );
    client.ended();
    c.sees(&[a, c], &[]);
    b.sees(&[b], &[]);
    assert_eq!(b.retained(), Vec::<String>::new());
    let nobody = "nobody@127.0.0.1";
    let said = a.ctl(&["cluster", "force-leave", nobody]);
    assert_eq!(said.fails(), "Failed to remove the node from cluster: node_not_in_cluster");
    assert_eq!(a.ctl(&["cluster", "force-leave", &a.name]).ok(), "Ignore.");
}

#[test]
fn force_leave_of_a_dead_member_is_final() {
    let mut nodes = cluster(3);
    nodes[2].kill();
    nodes[0].sees(&[&nodes[0], &nodes[1]], &[&nodes[2]]);
    nodes[0].ctl(&["cluster", "force-leave", &nodes[2].name]).ok();
    for node in &nodes[..2] {
        node.sees(&[&nodes[0], &nodes[1]], &[]);
    }
    // It learns it when it comes back, starts alone, and can join anew.
    nodes[2].start();
    nodes[2].sees(&[&nodes[2]], &[]);
    nodes[0].sees(&[&nodes[0], &nodes[1]], &[]);
    nodes[2].join(&nodes[1]);
    for node in &nodes {
        node.sees(&[&nodes[0], &nodes[1], &nodes[2]], &[]);
    }
}

#[test]
fn who_joins_another_cluster_leaves_no_ghost_behind() {
    let nodes = cluster(2);
    let mut other = Node::new();
    other.start();
    let (a, b) = (&nodes[0], &nodes[1]);
    other.client("x").retain("of/other", "1");
    a.client("x").retain("of/old", "1");
    b.join(&other);
    a.sees(&[a], &[]);
    b.sees(&[b, &other], &[]);
    other.sees(&[b, &other], &[]);
    assert_eq!(b.retained(), ["of/other"]);
}

#[test]
fn a_member_cannot_start_under_another_name() {
    let mut nodes = cluster(2);
    let number = nodes[1].port(6) - 4370;
    nodes[1].stop();
    let renamed = format!("renamed{number}@127.0.0.1");
    nodes[1].env("EMQX_NODE_NAME", &renamed);
    let said = nodes[1].emqx(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    let old = nodes[1].name.clone();
    said.has(&old).has("leave");
    nodes[1].no_env();
    nodes[1].start();
    nodes[0].sees(&[&nodes[0], &nodes[1]], &[]);
}

#[test]
fn a_node_that_is_alone_may_be_renamed_and_keeps_its_data() {
    let mut node = Node::new();
    node.start();
    node.client("x").retain("kept", "1");
    node.stop();
    let renamed = format!("renamed{}@127.0.0.1", node.port(6) - 4370);
    node.env("EMQX_NODE_NAME", &renamed);
    node.start();
    assert_eq!(node.retained(), ["kept"]);
}

#[test]
fn membership_survives_restarts_in_every_order() {
    let mut nodes = cluster(3);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        for i in [2, 0, 1] {
            nodes[i].stop();
        }
        for i in order {
            nodes[i].start();
        }
        let all: Vec<&Node> = nodes.iter().collect();
        for node in &nodes {
            node.sees(&all, &[]);
        }
    }
    // A subset, killed.
    nodes[0].kill();
    nodes[2].kill();
    nodes[1].sees(&[&nodes[1]], &[&nodes[0], &nodes[2]]);
    nodes[2].start();
    nodes[0].start();
    let all: Vec<&Node> = nodes.iter().collect();
    for node in &nodes {
        node.sees(&all, &[]);
    }
}

#[test]
fn a_member_starts_without_waiting_for_the_others() {
    let mut nodes = cluster(2);
    nodes[1].stop();
    nodes[0].stop();
    let begin = Instant::now();
    nodes[1].start();
    assert!(begin.elapsed() < Duration::from_secs(2), "served after {:?}", begin.elapsed());
    nodes[1].sees(&[&nodes[1]], &[&nodes[0]]);
}

#[test]
fn the_doctor_finds_nothing_in_a_healthy_pair_and_the_cookie_in_a_sick_one() {
    let nodes = cluster(2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.ctl(&["cluster", "doctor", &b.name]).ok();
    let mut stranger = Node::new();
    stranger.set("node.cookie", "another-cookie");
    stranger.start();
    let said = a.ctl(&["cluster", "doctor", &stranger.name]);
    assert_eq!(said.code, 1, "{said:?}");
    said.has("cookie");
}
