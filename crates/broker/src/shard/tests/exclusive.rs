use mqtt::packet::{RetainHandling, Subscribe, SubscribeFilter, SubscriptionOptions};
use mqtt::{Properties, Reason, Version};

use super::world::{C, Hello, KEPT, V5, World, q};
use crate::routes::Place;

fn world(nodes: usize, shards: u16) -> World {
    let mut world = World::new(nodes, shards);
    world.zone.exclusive_subscription = true;
    world
}

/// A connection whose CONNACK has been read.
fn open(world: &mut World, at: usize, id: &str, hello: Hello<'_>) -> C {
    let c = world.connect(at, id, hello);
    world.got(c);
    c
}

/// The codes of a SUBACK to one SUBSCRIBE of these filters.
fn subscribe(world: &mut World, c: C, filters: &[&str]) -> Vec<String> {
    send_subscribe(world, c, filters);
    world.settle();
    world.got(c)
}

fn send_subscribe(world: &mut World, c: C, filters: &[&str]) {
    let options = SubscriptionOptions { qos: q(1), ..Default::default() };
    let filters: Vec<_> = filters.iter().map(|filter| SubscribeFilter { filter, options }).collect();
    let mut bytes = Vec::new();
    Subscribe::encode_for(c.version, 1, Properties::NONE, &filters, &mut bytes);
    world.send(c, &bytes);
}

#[test]
fn one_client_of_a_shard_has_a_filter_for_itself_and_others_subscribe_it_plainly() {
    let mut world = world(1, 1);
    let (a, b) = (open(&mut world, 0, "a", V5), open(&mut world, 0, "b", V5));
    let old = open(&mut world, 0, "old", Hello { version: Version::V311, ..V5 });
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t/1"]), ["SUBACK 1"]);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t/1"]), ["SUBACK 151"]);
    assert_eq!(subscribe(&mut world, old, &["$exclusive/t/1"]), ["SUBACK 128"]);
    // Filters that match the same topics are other filters.
    assert_eq!(subscribe(&mut world, b, &["t/1", "$exclusive/t/+"]), ["SUBACK 1 1"]);
    world.publish(b, "t/1", "x", 1);
    assert_eq!(world.payloads(a), ["x"]);
    assert_eq!(world.payloads(b), ["x", "x"]);
    assert_eq!(world.payloads(old), Vec::<String>::new());
    let listed: Vec<_> = world.machines[0].shard.client_subscriptions("a").unwrap();
    assert_eq!(listed[0].filter, "t/1");
    assert_eq!(world.machines[0].shard.stats().packets_subscribe_error, 2);
    assert_eq!(world.alone(), [(0, "t/+".into(), "b".into()), (0, "t/1".into(), "a".into())]);
}

#[test]
fn clients_of_different_shards_and_of_different_nodes_are_in_each_others_way() {
    for at in [1, 2] {
        let mut world = world(2, 2);
        let a = open(&mut world, 0, "a0", V5);
        let b = open(&mut world, at, if at == 1 { "b1" } else { "b0" }, V5);
        assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 1"]);
        assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 151"]);
        world.unsubscribe(a, "$exclusive/t");
        assert_eq!(world.got(a), ["UNSUBACK 0"]);
        assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 1"]);
        assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 151"]);
        world.unsubscribe(a, "$exclusive/t");
        assert_eq!(world.got(a), ["UNSUBACK 17"]);
    }
}

#[test]
fn of_two_that_ask_at_once_one_gets_it() {
    let mut world = world(3, 1);
    let clients = [0, 1, 2].map(|at| open(&mut world, at, ["a", "b", "c"][at], V5));
    for turn in 0..6 {
        for c in [0, 1, 2].map(|n| clients[(n + turn) % 3]) {
            send_subscribe(&mut world, c, &["$exclusive/t"]);
        }
        world.settle();
        let got: Vec<_> = clients.iter().map(|c| world.got(*c).concat()).collect();
        assert_eq!(got.iter().filter(|line| *line == "SUBACK 1").count(), 1, "{got:?}");
        assert_eq!(world.alone().len(), 1);
        for c in clients {
            world.unsubscribe(c, "$exclusive/t");
            world.got(c);
        }
    }
}

#[test]
fn a_suback_answers_all_filters_in_their_order_and_the_next_packet_comes_behind_it() {
    let mut world = world(2, 1);
    let (a, b) = (open(&mut world, 0, "a", V5), open(&mut world, 1, "b", V5));
    assert_eq!(subscribe(&mut world, b, &["$exclusive/taken"]), ["SUBACK 1"]);
    let filters = ["$exclusive/x", "plain", "$exclusive/taken", "$exclusive/x", "$exclusive/y"];
    send_subscribe(&mut world, a, &filters);
    assert!(world.machines[0].driver.paused.contains(&a.conn), "what comes next waits");
    assert!(world.got(a).is_empty());
    world.settle();
    assert!(world.machines[0].driver.paused.is_empty());
    assert_eq!(world.got(a), ["SUBACK 1 1 151 1 1"]);
    assert_eq!(world.machines[0].shard.client("a").unwrap().subscriptions, 3);
    world.disconnect(a, Reason::Success);
    assert_eq!(world.alone(), [(1, "taken".into(), "b".into())]);
}

#[test]
fn subscribing_again_changes_the_options_and_plainly_gives_it_back() {
    let mut world = world(2, 1);
    let (a, b) = (open(&mut world, 0, "a", V5), open(&mut world, 1, "b", V5));
    world.publish_only(b, "t", "kept", 0, true);
    world.subscribe(a, "$exclusive/t", 0);
    world.got(a);
    let options =
        SubscriptionOptions { qos: q(2), retain_handling: RetainHandling::IfNew, ..Default::default() };
    world.subscribe_with(a, "$exclusive/t", options, 9);
    assert_eq!(world.got(a), ["SUBACK 2"]);
    world.publish(b, "t", "x", 1);
    assert_eq!(world.got(a), ["PUBLISH t x q1 id9"]);
    world.got(b);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 151"]);
    // One subscription to a filter: the last SUBSCRIBE says of which kind it is.
    assert_eq!(subscribe(&mut world, a, &["t"])[0], "SUBACK 1");
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"])[0], "SUBACK 1");
    assert_eq!(world.machines[0].shard.client("a").unwrap().subscriptions, 1);
    world.unsubscribe(b, "t");
    assert_eq!(world.alone(), []);
}

#[test]
fn a_session_that_is_away_keeps_it_until_it_ends() {
    let mut world = world(2, 1);
    let patient = Hello { keep_alive: 0, ..V5 };
    let (a, b) = (open(&mut world, 0, "a", KEPT), open(&mut world, 1, "b", patient));
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 1"]);
    world.lose(a);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 151"]);
    world.wait(999_000);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 151"]);
    world.wait(2_000);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 1"]);
    // A clean session ends with its connection.
    world.lose(b);
    let a = open(&mut world, 0, "a", V5);
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 1"]);
}

#[test]
fn a_session_that_moves_takes_it_along() {
    let mut world = world(3, 1);
    let a = open(&mut world, 0, "a", KEPT);
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t", "u"]), ["SUBACK 1 1"]);
    let (b, c) = (open(&mut world, 1, "b", V5), open(&mut world, 2, "c", V5));
    let moved = world.connect_only(1, "a", KEPT);
    for _ in 0..6 {
        world.step_without_routes();
        if !world.machines[1].driver.paused.contains(&b.conn) {
            send_subscribe(&mut world, b, &["$exclusive/t"]);
        }
        if !world.machines[2].driver.paused.contains(&c.conn) {
            send_subscribe(&mut world, c, &["$exclusive/t"]);
        }
    }
    world.settle();
    world.wait(200);
    for other in [b, c] {
        let got = world.got(other);
        assert!(!got.is_empty() && got.iter().all(|line| line == "SUBACK 151"), "{got:?}");
    }
    assert_eq!(world.alone(), [(1, "t".into(), "a".into())]);
    world.got(moved);
    world.publish(c, "t", "x", 1);
    assert_eq!(world.payloads(moved), ["x"]);
    world.unsubscribe(moved, "$exclusive/t");
    assert_eq!(subscribe(&mut world, c, &["$exclusive/t"]), ["PUBACK 9 SUCCESS", "SUBACK 1"]);
}

#[test]
fn who_is_gone_before_the_answer_has_nothing() {
    let mut world = world(2, 1);
    let a = open(&mut world, 0, "a", KEPT);
    send_subscribe(&mut world, a, &["$exclusive/t"]);
    // The same client, again, with the same session: its older question must not cost it the filter.
    let again = world.connect_only(0, "a", KEPT);
    send_subscribe(&mut world, again, &["$exclusive/t"]);
    world.settle();
    assert_eq!(world.got(again).last().unwrap(), "SUBACK 1");
    assert_eq!(world.alone(), [(0, "t".into(), "a".into())]);
    world.unsubscribe(again, "$exclusive/t");
    assert_eq!(world.alone(), []);
    send_subscribe(&mut world, again, &["$exclusive/t"]);
    world.lose(again);
    assert_eq!(world.alone(), []);
    let b = open(&mut world, 1, "b", V5);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 1"]);
}

#[test]
fn after_a_cut_the_later_holders_subscription_ends() {
    let mut world = world(2, 1);
    let (a, b) = (open(&mut world, 0, "a", V5), open(&mut world, 1, "b", KEPT));
    for (node, peer) in [(0, 1), (1, 0)] {
        world.decides(node, |exclusive, _| exclusive.mask(Place::peer(peer)));
    }
    world.cut = true;
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 1"]);
    world.machines[1].driver.epoch += 5_000;
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 1"]);
    world.lose(b);
    world.cut = false;
    for (node, peer) in [(0, 1), (1, 0)] {
        world.decides(node, |exclusive, out| exclusive.unmask(Place::peer(peer), out));
    }
    world.settle();
    assert_eq!(world.alone(), [(0, "t".into(), "a".into())]);
    let events = &world.machines[1].driver.events;
    assert!(events.contains(&r#"Deprived { client: "b", filter: "t" }"#.to_owned()), "{events:?}");
    assert_eq!(world.machines[1].shard.client("b").unwrap().subscriptions, 0);
    assert_eq!(world.machines[1].shard.gauges().filters, 0);
}

#[test]
fn mountpoints_keep_clients_out_of_each_others_way_and_limits_count_what_is_asked_for() {
    let mut world = world(1, 1);
    world.zone.mountpoint = Some("%c/".to_owned());
    world.zone.subscriptions_max = 2;
    let (a, b) = (open(&mut world, 0, "a", V5), open(&mut world, 0, "b", V5));
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 1"]);
    assert_eq!(
        subscribe(&mut world, b, &["$exclusive/t", "$exclusive/u", "$exclusive/v"]),
        ["SUBACK 1 1 151"]
    );
    assert_eq!(world.alone().len(), 3);
    assert_eq!(world.alone()[0], (0, "a/t".into(), "a".into()));
}

#[test]
fn a_node_that_gives_up_its_clients_gives_back_what_they_had() {
    let mut world = world(2, 1);
    let (a, b) = (open(&mut world, 0, "a", KEPT), open(&mut world, 1, "b", V5));
    assert_eq!(subscribe(&mut world, a, &["$exclusive/t"]), ["SUBACK 1"]);
    let m = &mut world.machines[0];
    m.shard.wipe(mqtt::Now(0), &mut m.driver);
    world.settle();
    assert_eq!(world.alone(), []);
    assert_eq!(subscribe(&mut world, b, &["$exclusive/t"]), ["SUBACK 1"]);
    let m = &mut world.machines[1];
    assert!(m.shard.kick("b", mqtt::Now(0), &mut m.driver));
    world.settle();
    assert_eq!(world.alone(), []);
}
