//! Filters that one client of the cluster has for itself: `$exclusive/…`.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, Connect, Level, Packet};
use crate::node::{Node, cluster_with, until};

/// Quota exceeded.
const TAKEN: u8 = 0x97;

fn exclusive(node: &Node) {
    node.set("mqtt.exclusive_subscription", "true");
}

fn alone() -> Node {
    let mut node = Node::new();
    exclusive(&node);
    node.start();
    node
}

fn ask(client: &mut Client, filter: &str) -> u8 {
    client.subscribe_code(filter, 1, vec![])
}

/// Asks until the filter is free.
fn gets(client: &mut Client, filter: &str) {
    until("the filter is free", || match ask(client, filter) {
        1 => true,
        TAKEN => false,
        code => panic!("SUBACK {code:#x}"),
    });
}

#[test]
fn one_client_of_a_node_has_a_filter_for_itself() {
    let node = alone();
    let (mut a, mut b) = (node.client("a"), node.client("b"));
    let mut old = node.connect("old").level(Level::V311).open();
    assert_eq!(ask(&mut a, "$exclusive/t/1"), 1);
    assert_eq!(ask(&mut b, "$exclusive/t/1"), TAKEN);
    assert_eq!(ask(&mut old, "$exclusive/t/1"), 0x80);
    // Again is a change of options; plain subscriptions of others are nobody's business.
    assert_eq!(ask(&mut a, "$exclusive/t/1"), 1);
    assert_eq!(ask(&mut b, "t/1"), 1);
    b.publish("t/1", "x", 1);
    assert_eq!(a.message().line(), "t/1 x");
    assert_eq!(b.message().line(), "t/1 x");
    assert_eq!(node.ctl(&["subscriptions", "show", "a"]).ok(), "a -> t/1");
    a.unsubscribe("$exclusive/t/1");
    gets(&mut old, "$exclusive/t/1");
    // A clean session gives it back with its connection.
    old.close();
    gets(&mut b, "$exclusive/t/1");
}

#[test]
fn many_shards_of_a_node_have_one_holder_between_them() {
    let mut node = Node::new();
    exclusive(&node);
    node.set("node.shards", "2");
    node.start();
    let mut clients: Vec<Client> = (0..8).map(|n| node.client(&format!("c{n}"))).collect();
    for turn in 0..10 {
        let filter = format!("$exclusive/t/{turn}");
        let ids: Vec<u16> = clients.iter_mut().map(|c| c.send_subscribe(&[&filter], 1, vec![])).collect();
        let codes: Vec<u8> = clients.iter_mut().zip(ids).map(|(c, id)| c.suback(id)[0]).collect();
        assert_eq!(codes.iter().filter(|code| **code == 1).count(), 1, "{codes:?}");
    }
}

#[test]
fn where_it_is_off_the_filter_is_not_valid() {
    let mut node = Node::new();
    node.set("listener.tcp.other", &format!("127.0.0.1:{}", node.port(6)));
    node.set("listener.tcp.other.zone", "other");
    node.set("zone.other.exclusive_subscription", "true");
    node.start();
    assert_eq!(ask(&mut node.client("a"), "$exclusive/t"), 0x8F);
    assert_eq!(ask(&mut node.connect("old").level(Level::V311).open(), "$exclusive/t"), 0x80);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], node.port(6)));
    assert_eq!(ask(&mut Connect::new(address, "b").open(), "$exclusive/t"), 1);
}

/// As every filter that is none.
#[test]
fn what_is_shared_is_nobodys_alone() {
    let node = alone();
    for filter in ["$exclusive/$share/g/t", "$exclusive/$queue/t", "$share/g/$exclusive/t", "$exclusive/"] {
        let mut client = node.client("a");
        client.send_subscribe(&[filter], 1, vec![]);
        assert_eq!(client.ended(), Some(0x8F), "{filter}");
    }
}

#[test]
fn one_suback_answers_all_filters_in_order_and_before_what_comes_next() {
    let node = alone();
    let (mut a, mut b) = (node.client("a"), node.client("b"));
    assert_eq!(ask(&mut b, "$exclusive/taken"), 1);
    let id = a.send_subscribe(&["$exclusive/x", "plain", "$exclusive/taken", "$exclusive/x"], 1, vec![]);
    // Sent behind it, before there is an answer.
    a.send_raw(&[0xc0, 0]);
    assert_eq!(a.suback(id), [1, 1, TAKEN, 1]);
    assert!(matches!(a.packet(), Packet::Pingresp));
}

#[test]
fn who_may_not_subscribe_a_filter_may_not_have_it_for_itself() {
    let mut node = Node::new();
    exclusive(&node);
    node.start();
    node.ctl(&["acl", "add", "clientid", "a", "secret/#", "sub", "deny"]).ok();
    assert_eq!(ask(&mut node.client("a"), "$exclusive/secret/1"), 0x87);
    assert_eq!(ask(&mut node.client("b"), "$exclusive/secret/1"), 1);
}

#[test]
fn clients_of_different_nodes_are_in_each_others_way() {
    let nodes = cluster_with(3, exclusive);
    let mut clients: Vec<Client> =
        nodes.iter().enumerate().map(|(n, node)| node.client(&format!("c{n}"))).collect();
    for holder in 0..3 {
        gets(&mut clients[holder], "$exclusive/t");
        for other in (0..3).filter(|other| *other != holder) {
            assert_eq!(ask(&mut clients[other], "$exclusive/t"), TAKEN);
        }
        // Given back by UNSUBSCRIBE, and by the end of a clean session.
        let next = (holder + 1) % 3;
        clients[holder].unsubscribe("$exclusive/t");
        gets(&mut clients[next], "$exclusive/t");
        assert_eq!(ask(&mut clients[holder], "$exclusive/t"), TAKEN);
        let new = nodes[next].client(&format!("d{next}"));
        std::mem::replace(&mut clients[next], new).close();
    }
}

#[test]
fn of_two_that_ask_on_two_nodes_at_once_one_gets_it() {
    let nodes = cluster_with(3, exclusive);
    let mut clients = [nodes[0].client("a"), nodes[1].client("b")];
    let mut wins = [0, 0];
    for turn in 0..200 {
        let filter = format!("$exclusive/t/{turn}");
        // Each goes first now and then.
        let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut ids = [0; 2];
        for n in order {
            ids[n] = clients[n].send_subscribe(&[&filter], 1, vec![]);
        }
        let got = [0, 1].map(|n| clients[n].suback(ids[n])[0]);
        assert!(matches!(got, [1, TAKEN] | [TAKEN, 1]), "turn {turn}: {got:x?}");
        wins[usize::from(got[1] == 1)] += 1;
        clients[usize::from(got[1] == 1)].unsubscribe(&filter);
    }
    // One filter, again and again: nobody is shut out for ever.
    for turn in 0..50 {
        let n = turn % 2;
        gets(&mut clients[n], "$exclusive/one");
        assert_eq!(ask(&mut clients[1 - n], "$exclusive/one"), TAKEN);
        clients[n].unsubscribe("$exclusive/one");
    }
    assert_eq!(wins[0] + wins[1], 200);
}

#[test]
fn a_session_that_is_away_keeps_it_until_it_ends_and_takes_it_along() {
    let nodes = cluster_with(2, exclusive);
    let mut other = nodes[1].client("other");
    let mut kept = nodes[0].connect("kept").expiry(600).open();
    assert_eq!(ask(&mut kept, "$exclusive/t"), 1);
    kept.close();
    assert_eq!(ask(&mut other, "$exclusive/t"), TAKEN);
    // On another node it is the same session.
    let mut kept = nodes[1].connect("kept").expiry(600).open();
    assert!(kept.present);
    assert_eq!(ask(&mut other, "$exclusive/t"), TAKEN);
    assert_eq!(ask(&mut kept, "$exclusive/t"), 1);
    until("the old node has forgotten the session", || {
        !nodes[0].ctl(&["subscriptions", "list"]).out.contains("kept")
    });
    assert_eq!(ask(&mut other, "$exclusive/t"), TAKEN);
    other.publish("t", "x", 1);
    assert_eq!(kept.message().line(), "t x");
    kept.close();
    let short = nodes[1].connect("kept").expiry(1).open();
    assert!(short.present);
    drop(short);
    gets(&mut other, "$exclusive/t");
}

#[test]
fn a_node_that_is_lost_gives_back_what_its_clients_had() {
    let mut nodes = cluster_with(3, exclusive);
    let mut other = nodes[1].client("other");
    let mut kept = nodes[0].connect("kept").expiry(600).open();
    let mut forced = nodes[2].client("forced");
    assert_eq!(ask(&mut kept, "$exclusive/a"), 1);
    assert_eq!(ask(&mut forced, "$exclusive/b"), 1);
    for filter in ["$exclusive/a", "$exclusive/b"] {
        assert_eq!(ask(&mut other, filter), TAKEN);
    }
    nodes[0].kill();
    gets(&mut other, "$exclusive/a");
    let name = nodes[2].name.clone();
    nodes[1].ctl(&["cluster", "force-leave", &name]).ok();
    gets(&mut other, "$exclusive/b");
    // The one that was killed comes back empty, and finds both taken.
    nodes[0].start();
    nodes[1].sees(&[&nodes[0], &nodes[1]], &[]);
    let mut again = nodes[0].client("again");
    until("the node that came back knows of it", || ask(&mut again, "$exclusive/a") == TAKEN);
    assert_eq!(ask(&mut again, "$exclusive/b"), TAKEN);
    assert_eq!(ask(&mut other, "$exclusive/a"), 1);
}

/// A process that does not run cannot be heard, which to the others is a cut. Without autoheal it lasts until
/// somebody ends it.
#[test]
fn after_a_cut_the_later_holders_subscription_ends_and_the_log_says_so() {
    let nodes = cluster_with(2, |node| {
        exclusive(node);
        node.set("cluster.autoheal", "off");
    });
    let (mut a, mut b) = (nodes[0].client("a"), nodes[1].client("b"));
    assert_eq!(ask(&mut b, "$exclusive/before"), 1);
    signal(&nodes[1], Signal::STOP);
    // Nobody waits for a peer that is silent longer than until it counts as down, or for 3 s.
    let asked = Instant::now();
    assert!(matches!(ask(&mut a, "$exclusive/silent"), 1 | TAKEN));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    a.unsubscribe("$exclusive/silent");
    nodes[0].sees(&[&nodes[0]], &[&nodes[1]]);
    signal(&nodes[1], Signal::CONT);
    nodes[1].sees(&[&nodes[1]], &[&nodes[0]]);
    // Each side is alone, and waits for nobody.
    for filter in ["$exclusive/t", "$exclusive/before"] {
        assert_eq!(ask(&mut a, filter), 1);
    }
    assert_eq!(ask(&mut b, "$exclusive/t"), 1);
    nodes[0].ctl(&["cluster", "heal"]).ok();
    until("one holder is left of each", || {
        let out = |n: usize| nodes[n].ctl(&["subscriptions", "list"]).out;
        out(0) == "a -> t\n" && out(1) == "b -> before\n"
    });
    for (node, client, filter) in [(0, "a", "before"), (1, "b", "t")] {
        let said = nodes[node].said();
        let line = said.lines().find(|line| line.contains("this one's subscription ends"));
        let line = line.unwrap_or_else(|| panic!("not logged: {said}"));
        assert!(line.contains(&format!("client={client} filter={filter}")), "{line}");
    }
    assert_eq!(ask(&mut a, "$exclusive/before"), TAKEN);
    assert_eq!(ask(&mut b, "$exclusive/t"), TAKEN);
    b.publish("t", "x", 1);
    assert_eq!(a.message().line(), "t x");
}

fn signal(node: &Node, signal: Signal) {
    let pid = i32::try_from(node.pid()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}
