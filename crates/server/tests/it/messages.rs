//! One broker over all nodes: publish anywhere, receive anywhere, once per subscription.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::client::{Client, Level, prop};
use crate::node::{Node, cluster, until};

#[test]
fn every_level_and_qos_on_one_node() {
    let mut node = Node::new();
    node.start();
    for level in [Level::V31, Level::V311, Level::V5] {
        for qos in 0..3 {
            let id = format!("c{level:?}{qos}");
            let mut client = node.connect(&id).level(level).open();
            client.subscribe("t/+/x", qos);
            for sent in 0..3 {
                client.publish("t/1/x", &format!("m{sent}"), sent);
                let got = client.message();
                assert_eq!((got.line(), got.qos), (format!("t/1/x m{sent}"), sent.min(qos)), "{id}");
            }
            client.unsubscribe("t/+/x");
            client.publish("t/1/x", "gone", 1);
            assert_eq!(client.message_within(Duration::from_millis(50)), None);
            client.close();
        }
    }
}

#[test]
fn every_node_hears_every_node_in_every_qos() {
    let nodes = cluster(3);
    let mut clients: Vec<Client> = nodes.iter().map(|n| n.client(&n.name)).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.subscribe("all/#", 2);
        for node in &nodes {
            node.routes("all/#", &nodes[i]);
        }
    }
    for from in 0..3 {
        for qos in 0..3 {
            let text = format!("from {from} qos {qos}");
            clients[from].publish("all/t", &text, qos);
            for client in &mut clients {
                let got = client.message();
                assert_eq!((got.text(), got.qos), (text.clone(), qos));
            }
        }
    }
}

#[test]
fn a_wildcard_here_and_a_topic_there_get_one_copy_each() {
    let nodes = cluster(3);
    let mut wild = nodes[0].client("wild");
    let mut exact = nodes[1].client("exact");
    let mut both = nodes[1].client("both");
    let mut all = nodes[0].client("all");
    wild.subscribe("t/#", 1);
    exact.subscribe("t/a", 1);
    // Overlapping subscriptions with identifiers: a copy for each.
    both.subscribe_code("t/+", 1, vec![(prop::SUBSCRIPTION_ID, prop::varint(7))]);
    both.subscribe_code("t/a", 1, vec![(prop::SUBSCRIPTION_ID, prop::varint(8))]);
    all.subscribe("#", 0);
    for (filter, to) in [("t/#", 0), ("t/a", 1), ("t/+", 1), ("#", 0)] {
        nodes[2].routes(filter, &nodes[to]);
    }
    let mut publisher = nodes[2].client("publisher");
    publisher.publish("t/a", "one", 1);
    publisher.publish("t/a", "end", 1);
    assert_eq!(wild.lines_until("end"), ["t/a one"]);
    assert_eq!(exact.lines_until("end"), ["t/a one"]);
    assert_eq!(all.lines_until("end"), ["t/a one"], "# hears no $SYS");
    let mut ids = vec![];
    while ids.len() < 2 {
        let got = both.message();
        assert_eq!(got.line(), "t/a one");
        ids.extend(got.props.iter().filter(|(id, _)| *id == prop::SUBSCRIPTION_ID).map(|(_, v)| v[0]));
    }
    ids.sort_unstable();
    assert_eq!(ids, [7, 8]);
}

/// [MQTT-4.6.0-5] [MQTT-4.6.0-6], [MQTT-4.6.0-5] (3.1.1) [MQTT-4.6.0-6] (3.1.1)
#[test]
fn order_is_kept_per_publisher_and_topic_across_nodes() {
    let nodes = cluster(2);
    let mut listener = nodes[0].connect("listener").prop(prop::RECEIVE_MAX, prop::u16(20)).open();
    listener.subscribe("order/#", 2);
    nodes[1].routes("order/#", &nodes[0]);
    let mut publishers: Vec<Client> = (0..4).map(|i| nodes[1].client(&format!("p{i}"))).collect();
    for round in 0..100 {
        for (p, publisher) in publishers.iter_mut().enumerate() {
            publisher.publish(&format!("order/{p}"), &round.to_string(), p as u8 % 3);
        }
    }
    let mut next = BTreeMap::new();
    for _ in 0..400 {
        let got = listener.message();
        let want: &mut u32 = next.entry(got.topic.clone()).or_default();
        assert_eq!(got.text(), want.to_string(), "{}", got.topic);
        *want += 1;
    }
}

#[test]
fn properties_cross_nodes_unchanged() {
    let nodes = cluster(2);
    let mut listener = nodes[0].client("listener");
    listener.subscribe("p", 1);
    nodes[1].routes("p", &nodes[0]);
    let props = vec![
        (prop::MESSAGE_EXPIRY, prop::u32(100)),
        (prop::CONTENT_TYPE, prop::text("text/plain")),
        (prop::RESPONSE_TOPIC, prop::text("answers/1")),
        (prop::CORRELATION, prop::text("c-1")),
        (prop::USER, prop::pair("k", "v1")),
        (prop::USER, prop::pair("k", "v2")),
    ];
    nodes[1].client("publisher").publish_with("p", "x", 1, false, props.clone());
    let mut got = listener.message();
    let expiry = got.prop(prop::MESSAGE_EXPIRY).map(|v| u32::from_be_bytes(v.try_into().unwrap()));
    assert!(matches!(expiry, Some(98..=100)), "{expiry:?}");
    let mut want = props;
    want.retain(|(id, _)| *id != prop::MESSAGE_EXPIRY);
    got.props.retain(|(id, _)| *id != prop::MESSAGE_EXPIRY);
    want.sort();
    let users =
        |p: &Vec<(u8, Vec<u8>)>| p.iter().filter(|(i, _)| *i == prop::USER).cloned().collect::<Vec<_>>();
    assert_eq!(users(&got.props), [(prop::USER, prop::pair("k", "v1")), (prop::USER, prop::pair("k", "v2"))]);
    got.props.sort();
    assert_eq!(got.props, want);
}

#[test]
fn a_shared_group_over_two_nodes_gets_each_message_once() {
    let nodes = cluster(3);
    let mut members: Vec<Client> = (0..4).map(|i| nodes[i % 2].client(&format!("member{i}"))).collect();
    for member in &mut members {
        member.subscribe("$share/g/jobs/#", 1);
    }
    for i in 0..2 {
        nodes[2].routes("jobs/#", &nodes[i]);
    }
    let mut publisher = nodes[2].client("publisher");
    for i in 0..100 {
        publisher.publish("jobs/x", &i.to_string(), 1);
    }
    let mut got: Vec<u32> = vec![];
    let end = Instant::now() + Duration::from_secs(10);
    while got.len() < 100 && Instant::now() < end {
        for member in &mut members {
            while let Some(m) = member.message_within(Duration::from_millis(20)) {
                got.push(m.text().parse().unwrap());
            }
        }
    }
    for member in &mut members {
        assert_eq!(member.message_within(Duration::from_millis(50)), None, "nothing comes twice");
    }
    got.sort_unstable();
    assert_eq!(got, (0..100).collect::<Vec<_>>());
}

#[test]
fn two_groups_and_a_plain_subscriber_each_get_their_own() {
    let nodes = cluster(2);
    let mut g1 = nodes[0].client("g1");
    let mut g2 = nodes[1].client("g2");
    let mut queue = nodes[0].client("queue");
    let mut plain = nodes[1].client("plain");
    g1.subscribe("$share/one/t", 0);
    g2.subscribe("$share/two/t", 0);
    queue.subscribe("$queue/t", 0);
    plain.subscribe("t", 0);
    nodes[1].routes_times("t", &nodes[0], 2);
    nodes[0].routes_times("t", &nodes[1], 2);
    for node in &nodes {
        node.client("publisher").publish("t", "x", 1);
        for client in [&mut g1, &mut g2, &mut queue, &mut plain] {
            assert_eq!(client.message().line(), "t x", "{}", client.id);
        }
    }
}

/// A member on each of two nodes, `strategy` in force; how many of 40 messages each member got.
fn spread(strategy: &str, publishers: &[(usize, &str)]) -> Vec<Vec<usize>> {
    let mut nodes: Vec<Node> = (0..2).map(|_| Node::new()).collect();
    for node in &mut nodes {
        node.set("broker.shared_subscription_strategy", strategy);
        node.start();
    }
    nodes[1].join(&nodes[0]);
    let mut members: Vec<Client> = nodes.iter().map(|n| n.client(&format!("m-{}", n.port(0)))).collect();
    for member in &mut members {
        member.subscribe("$share/g/t", 1);
    }
    for from in &nodes {
        for to in &nodes {
            from.routes("t", to);
        }
    }
    publishers
        .iter()
        .map(|(at, id)| {
            let mut publisher = nodes[*at].client(id);
            for i in 0..40 {
                publisher.publish("t", &i.to_string(), 1);
            }
            let mut counts = vec![0, 0];
            until("forty deliveries", || {
                for (i, member) in members.iter_mut().enumerate() {
                    while member.message_within(Duration::from_millis(5)).is_some() {
                        counts[i] += 1;
                    }
                }
                counts[0] + counts[1] >= 40
            });
            counts
        })
        .collect()
}

#[test]
fn round_robin_shares_evenly() {
    assert_eq!(spread("round_robin", &[(0, "p")]), [[20, 20]]);
}

#[test]
fn random_gives_each_member_some() {
    let counts = spread("random", &[(0, "p")]);
    assert!(counts[0].iter().all(|n| *n > 5), "{counts:?}");
}

#[test]
fn hash_clientid_and_sticky_keep_a_publisher_on_one_member() {
    for strategy in ["hash_clientid", "sticky", "hash_topic", "hash"] {
        for counts in spread(strategy, &[(0, "p1"), (1, "p2")]) {
            assert!(counts.contains(&40), "{strategy}: {counts:?}");
        }
    }
}

#[test]
fn local_prefers_the_publishers_node() {
    assert_eq!(spread("local", &[(0, "p1"), (1, "p2")]), [[40, 0], [0, 40]]);
}

#[test]
fn no_local_and_retain_as_published_hold_across_nodes() {
    let nodes = cluster(2);
    let mut client = nodes[0].client("both");
    client.subscribe_code("t", 0x04 | 1, vec![]);
    let mut keeps = nodes[1].client("keeps");
    keeps.subscribe_code("t", 0x08 | 1, vec![]);
    nodes[0].routes("t", &nodes[1]);
    client.publish_with("t", "x", 1, true, vec![]);
    let got = keeps.message();
    assert!(got.retain, "retain as published");
    assert_eq!(client.message_within(Duration::from_millis(100)), None, "no local");
}

#[test]
fn a_will_of_a_broken_client_reaches_the_other_node() {
    let nodes = cluster(2);
    let mut listener = nodes[0].client("listener");
    listener.subscribe("wills/#", 2);
    nodes[1].routes("wills/#", &nodes[0]);
    for level in [Level::V31, Level::V311, Level::V5] {
        let topic = format!("wills/{}", level as u8);
        let client = nodes[1].connect("dying").level(level).will(&topic, "gone", 1, false).open();
        drop(client);
        assert_eq!(listener.message().line(), format!("{topic} gone"));
        // A friendly end takes the will along.
        nodes[1].connect("friendly").level(level).will(&topic, "never", 1, false).open().close();
    }
    listener.publish("wills/end", "end", 1);
    assert_eq!(listener.lines_until("end"), Vec::<String>::new());
}

#[test]
fn a_delayed_will_is_cancelled_by_a_return_in_time() {
    let mut node = Node::new();
    node.start();
    let mut listener = node.client("listener");
    listener.subscribe("wills/#", 1);
    let will = || node.connect("w").expiry(60).will("wills/w", "gone", 1, false);
    drop(will().will_delay(1).open());
    let begin = Instant::now();
    assert_eq!(listener.message().line(), "wills/w gone");
    assert!(begin.elapsed() > Duration::from_millis(700), "after {:?}", begin.elapsed());
    drop(will().will_delay(1).open());
    let _back = node.connect("w").expiry(60).open();
    assert_eq!(listener.message_within(Duration::from_millis(1500)), None);
}

#[test]
fn keep_alive_ends_a_silent_client_and_sends_its_will() {
    let mut node = Node::new();
    node.start();
    let mut listener = node.client("listener");
    listener.subscribe("wills/#", 1);
    let mut silent = node.connect("silent").keep_alive(1).will("wills/s", "silent", 0, false).open();
    let begin = Instant::now();
    assert_eq!(silent.ended(), Some(0x8d));
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(1200) && took < Duration::from_millis(3500), "{took:?}");
    assert_eq!(listener.message().line(), "wills/s silent");
}

#[test]
fn brokers_topics_of_every_node_are_readable_on_every_node() {
    let mut nodes: Vec<Node> = (0..2).map(|_| Node::new()).collect();
    for node in &mut nodes {
        node.set("broker.sys_interval", "1s");
        node.set("broker.sys_heartbeat", "1s");
        node.start();
    }
    nodes[1].join(&nodes[0]);
    let mut names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
    names.sort_unstable();
    let both = names.join(",");
    for (at, of) in [(0, 1), (1, 0), (0, 0)] {
        let mut client = nodes[at].client("sys");
        client.subscribe("$SYS/brokers", 0);
        until("both nodes in $SYS/brokers", || {
            client.message_within(Duration::from_secs(3)).is_some_and(|m| m.text() == both)
        });
        client.unsubscribe("$SYS/brokers");
        let uptime = format!("$SYS/brokers/{}/uptime", nodes[of].name);
        client.subscribe(&uptime, 0);
        assert_eq!(client.message().topic, uptime);
        client.unsubscribe(&uptime);
        let version = format!("$SYS/brokers/{}/version", nodes[of].name);
        // Retained here as soon as it has come over; what comes before that is live, without the flag.
        until("the version is readable here", || {
            client.subscribe(&version, 0);
            let retained = client.message_within(Duration::from_secs(3)).is_some_and(|m| m.retain);
            client.unsubscribe(&version);
            while client.message_within(Duration::ZERO).is_some() {}
            retained
        });
        client.close();
    }
}

#[test]
fn a_killed_node_takes_its_routes_with_it_at_once_and_brings_them_back() {
    let mut nodes = cluster(3);
    let mut on_dying = nodes[1].connect("on-dying").expiry(600).open();
    on_dying.subscribe("only/there", 1);
    let mut on_living = nodes[2].client("on-living");
    on_living.subscribe("both", 1);
    on_dying.subscribe("both", 1);
    nodes[0].routes("only/there", &nodes[1]);
    nodes[0].routes("both", &nodes[1]);
    nodes[0].routes("both", &nodes[2]);
    let begin = Instant::now();
    nodes[1].kill();
    nodes[0].routes_nowhere("only/there");
    assert!(begin.elapsed() < Duration::from_secs(3), "took {:?}", begin.elapsed());
    nodes[0].sees(&[&nodes[0], &nodes[2]], &[&nodes[1]]);
    let mut publisher = nodes[0].client("publisher");
    publisher.publish("both", "still", 1);
    assert_eq!(on_living.message().line(), "both still");
    nodes[1].start();
    let all: Vec<&Node> = nodes.iter().collect();
    nodes[0].sees(&all, &[]);
    let mut again = nodes[1].connect("again").open();
    again.subscribe("only/there", 1);
    nodes[0].routes("only/there", &nodes[1]);
    publisher.publish("only/there", "back", 1);
    assert_eq!(again.message().line(), "only/there back");
}

#[test]
fn a_subscription_is_seen_on_the_other_node_within_moments() {
    let nodes = cluster(2);
    let mut subscriber = nodes[0].client("s");
    let mut publisher = nodes[1].client("p");
    let mut times = vec![];
    for i in 0..30 {
        let topic = format!("new/{i}");
        subscriber.subscribe(&topic, 0);
        let begin = Instant::now();
        loop {
            publisher.publish(&topic, "x", 0);
            if subscriber.message_within(Duration::from_millis(2)).is_some() {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(5));
        }
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    // The goal is 10 ms; a debug build on a busy machine gets room.
    assert!(times[27] < Duration::from_millis(100), "{times:?}");
}
