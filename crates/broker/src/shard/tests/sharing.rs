use std::collections::BTreeMap;

use super::world::{C, KEPT, V5, World};
use crate::settings::{Settings, Strategy};

fn group(world: &mut World, places: &[(usize, &str)]) -> Vec<C> {
    let members: Vec<C> = places.iter().map(|(at, id)| world.connect(*at, id, KEPT)).collect();
    for c in &members {
        world.got(*c);
        world.subscribe(*c, "$share/g/t/#", 1);
    }
    members
}

fn counts(world: &mut World, members: &[C]) -> Vec<usize> {
    members.iter().map(|c| world.payloads(*c).len()).collect()
}

const SPREAD: &[(usize, &str)] = &[(0, "a0"), (1, "b1"), (2, "c0"), (3, "d1"), (3, "e1")];

#[test]
fn each_message_goes_to_one_member_wherever_it_is() {
    for strategy in [
        Strategy::Random,
        Strategy::RoundRobin,
        Strategy::HashClientId,
        Strategy::HashTopic,
        Strategy::Sticky,
        Strategy::Local,
    ] {
        let mut world = World::with(2, 2, Settings { shared_strategy: strategy, ..Settings::default() });
        world.zone.inflight_max = 0;
        let members = group(&mut world, SPREAD);
        let p = world.connect(0, "p0", V5);
        for n in 0..100 {
            world.publish(p, &format!("t/{n}"), "x", 1);
        }
        let got = counts(&mut world, &members);
        assert_eq!(got.iter().sum::<usize>(), 100, "{strategy:?} {got:?}");
        match strategy {
            Strategy::RoundRobin => assert_eq!(got, [20; 5]),
            Strategy::HashClientId | Strategy::Sticky => assert!(got.contains(&100), "{strategy:?} {got:?}"),
            Strategy::Local => assert_eq!(got[2..], [0; 3]),
            Strategy::Random | Strategy::HashTopic => {
                assert!(got.iter().all(|n| *n > 5), "{strategy:?} {got:?}")
            }
        }
    }
}

#[test]
fn a_topic_has_the_same_member_whichever_node_it_is_published_on() {
    let mut world =
        World::with(2, 2, Settings { shared_strategy: Strategy::HashTopic, ..Settings::default() });
    let members = group(&mut world, SPREAD);
    let publishers: Vec<C> = [(0, "p0"), (1, "q1"), (2, "r0"), (3, "s1")]
        .iter()
        .map(|(at, id)| world.connect(*at, id, V5))
        .collect();
    for n in 0..20 {
        let mut seen = BTreeMap::new();
        for p in &publishers {
            world.publish(*p, &format!("t/{n}"), "x", 0);
            let got = counts(&mut world, &members);
            *seen.entry(got.iter().position(|n| *n == 1)).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 1, "topic {n}: {seen:?}");
    }
}

#[test]
fn a_group_has_its_own_strategy() {
    let settings = Settings {
        shared_strategy: Strategy::RoundRobin,
        group_strategies: vec![("g".to_owned(), Strategy::HashClientId)],
        ..Settings::default()
    };
    let mut world = World::with(1, 1, settings);
    let members = group(&mut world, &[(0, "a"), (0, "b")]);
    let p = world.connect(0, "p", V5);
    for _ in 0..10 {
        world.publish(p, "t/1", "x", 0);
    }
    assert!(counts(&mut world, &members).contains(&10));
}

#[test]
fn a_sticky_publisher_moves_on_only_when_its_member_has_gone() {
    let mut world = World::with(2, 1, Settings { shared_strategy: Strategy::Sticky, ..Settings::default() });
    world.zone.inflight_max = 0;
    let members = group(&mut world, &[(0, "a"), (0, "b"), (1, "c"), (1, "d")]);
    let p = world.connect(0, "p", V5);
    let mut left: Vec<C> = members.clone();
    while !left.is_empty() {
        for _ in 0..10 {
            world.publish(p, "t/1", "x", 0);
        }
        let got = counts(&mut world, &left);
        let at = got.iter().position(|n| *n == 10).unwrap_or_else(|| panic!("one has all: {got:?}"));
        let gone = left.remove(at);
        world.unsubscribe(gone, "$share/g/t/#");
        world.got(gone);
    }
}

#[test]
fn with_acknowledged_dispatch_connected_members_go_first() {
    let settings = Settings { shared_ack: true, ..Settings::default() };
    let mut world = World::with(2, 1, settings);
    world.zone.inflight_max = 0;
    let members = group(&mut world, &[(0, "a"), (1, "b"), (1, "c")]);
    world.lose(members[0]);
    world.lose(members[1]);
    let p = world.connect(0, "p", V5);
    for _ in 0..20 {
        world.publish(p, "t/1", "x", 1);
    }
    assert_eq!(world.payloads(members[2]).len(), 20);
    world.lose(members[2]);
    world.publish(p, "t/1", "waits", 1);
    let waiting: usize = [(0, "a"), (1, "b"), (1, "c")]
        .iter()
        .map(|(at, id)| world.machines[*at].shard.client(id).unwrap().mqueue_len)
        .sum();
    assert_eq!(waiting, 1);
}

#[test]
fn without_it_a_member_that_is_away_gets_its_part_later() {
    let mut world =
        World::with(1, 1, Settings { shared_strategy: Strategy::RoundRobin, ..Settings::default() });
    let members = group(&mut world, &[(0, "a"), (0, "b")]);
    world.lose(members[0]);
    let p = world.connect(0, "p", V5);
    for _ in 0..10 {
        world.publish(p, "t/1", "x", 1);
    }
    assert_eq!(world.payloads(members[1]).len(), 5);
    let back = world.connect(0, "a", KEPT);
    assert_eq!(world.payloads(back).len(), 5);
}

/// [MQTT-4.8.2-5]
#[test]
fn a_qos_2_message_that_was_sent_to_a_member_goes_to_no_other_one_when_it_ends() {
    let mut world = World::new(2, 1);
    world.zone.inflight_max = 1;
    let first = world.connect(0, "a", KEPT);
    world.got(first);
    world.subscribe(first, "$share/g/t/#", 2);
    let p = world.connect(0, "p", V5);
    world.publish(p, "t/1", "begun", 2);
    world.publish(p, "t/1", "waiting", 1);
    assert_eq!(world.got(first), ["PUBLISH t/1 begun q2"]);
    world.zone.inflight_max = 0;
    let second = group(&mut world, &[(1, "b")])[0];
    let m = &mut world.machines[0];
    assert!(m.shard.kick("a", mqtt::Now(0), &mut m.driver));
    world.settle();
    assert_eq!(world.payloads(second), ["waiting"]);
}

#[test]
fn what_a_member_has_not_acknowledged_goes_to_another_one_when_it_ends() {
    let mut world = World::with(2, 1, Settings::default());
    world.zone.inflight_max = 2;
    let first = group(&mut world, &[(0, "a")])[0];
    let p = world.connect(0, "p", V5);
    for n in 0..5 {
        world.publish(p, "t/1", &format!("m{n}"), 1);
    }
    assert_eq!(world.payloads(first), ["m0", "m1"]);
    world.zone.inflight_max = 0;
    let second = group(&mut world, &[(1, "b")])[0];
    world.ack(first, 1);
    assert_eq!(world.payloads(first), ["m2"]);
    let m = &mut world.machines[0];
    assert!(m.shard.kick("a", mqtt::Now(0), &mut m.driver));
    world.settle();
    assert_eq!(world.payloads(second), ["m1", "m2", "m3", "m4"]);
}
