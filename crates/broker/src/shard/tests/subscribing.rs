use mqtt::packet::{RetainHandling, SubscriptionOptions};
use mqtt::{Now, Version};

use super::world::{Hello, KEPT, V5, World, q};
use crate::Wait;
use crate::settings::MailboxRules;

#[test]
fn a_message_reaches_every_subscriber_on_every_shard_and_node_once_per_subscription() {
    let mut world = World::new(3, 2);
    // Home shards go by the last digit.
    let publisher = world.connect(0, "p0", V5);
    let subscribers: Vec<_> = [(0, "a0"), (1, "b1"), (2, "c0"), (3, "d1"), (5, "e1")]
        .map(|(at, id)| world.connect(at, id, V5))
        .into();
    for (n, c) in subscribers.iter().enumerate() {
        world.got(*c);
        world.subscribe(*c, ["t/1", "t/+", "t/#", "#", "+/1"][n], 1);
    }
    world.subscribe(subscribers[3], "t/1", 0);
    world.got(publisher);
    world.publish(publisher, "t/1", "hello", 1);
    assert_eq!(world.got(publisher), ["PUBACK 9 SUCCESS"]);
    for (n, c) in subscribers.iter().enumerate() {
        let expected = if n == 3 { 2 } else { 1 };
        assert_eq!(world.payloads(*c), vec!["hello"; expected], "subscriber {n}");
    }
    assert_eq!(world.machines[0].shard.stats().messages_forward, 2);
    world.publish(publisher, "$SYS/x", "not for wildcards", 0);
    assert!(subscribers.iter().all(|c| world.payloads(*c).is_empty()));
}

#[test]
fn nobody_subscribed_is_said_and_counted() {
    let mut world = World::new(1, 1);
    let c = world.connect(0, "p", V5);
    world.got(c);
    world.publish(c, "t", "x", 1);
    assert_eq!(world.got(c), ["PUBACK 9 NO_MATCHING_SUBSCRIBERS"]);
    let stats = world.machines[0].shard.stats();
    assert_eq!((stats.messages_dropped, stats.messages_dropped_no_subscribers), (1, 1));
}

#[test]
fn suback_waits_until_the_routes_are_in() {
    let mut world = World::new(1, 2);
    let c = world.connect(0, "a0", V5);
    world.got(c);
    let mut bytes = Vec::new();
    let filters = [mqtt::packet::SubscribeFilter { filter: "t", options: Default::default() }];
    mqtt::packet::Subscribe::encode_for(Version::V5, 1, Default::default(), &filters, &mut bytes);
    world.send(c, &bytes);
    assert!(world.got(c).is_empty());
    world.settle();
    assert_eq!(world.got(c), ["SUBACK 0"]);
    // The second subscriber of the filter changes no route.
    let d = world.connect(0, "b0", V5);
    world.got(d);
    world.send(d, &bytes);
    assert_eq!(world.got(d), ["SUBACK 0"]);
    world.machines[0].driver.routes = Wait::Over;
}

#[test]
fn only_the_first_and_the_last_subscriber_of_a_filter_are_told() {
    let mut world = World::new(1, 1);
    let (a, b) = (world.connect(0, "a", V5), world.connect(0, "b", V5));
    for c in [a, b] {
        world.got(c);
        world.subscribe(c, "t", 0);
        world.subscribe(c, "t", 1);
    }
    world.unsubscribe(a, "t");
    assert_eq!(world.got(a), ["UNSUBACK 0"]);
    world.unsubscribe(a, "t");
    assert_eq!(world.got(a), ["UNSUBACK 17"]);
    world.lose(b);
    assert_eq!(world.machines[0].driver.wishes, ["On(\"t\")", "Off(\"t\")"]);
    assert_eq!(world.machines[0].shard.gauges().subscriptions, 0);
}

#[test]
fn options_say_what_is_delivered() {
    let mut world = World::new(2, 1);
    let (p, c) = (world.connect(0, "p", V5), world.connect(1, "c", V5));
    world.got(c);
    let options = SubscriptionOptions { qos: q(1), retain_as_published: true, ..Default::default() };
    world.subscribe_with(c, "t", options, 7);
    world.got(c);
    world.publish_only(p, "t", "x", 1, true);
    world.settle();
    assert_eq!(world.got(c), ["PUBLISH t x q1 retain id7"]);
    // Options are replaced by a new SUBSCRIBE of the same filter. [MQTT-3.8.4-3]
    world.subscribe_with(
        c,
        "t",
        SubscriptionOptions { retain_handling: RetainHandling::Never, ..Default::default() },
        0,
    );
    world.got(c);
    world.publish_only(p, "t", "x", 1, true);
    world.settle();
    assert_eq!(world.got(c), ["PUBLISH t x q0"]);

    world.got(p);
    world.subscribe_with(p, "#", SubscriptionOptions { no_local: true, ..Default::default() }, 0);
    world.got(p);
    world.publish(p, "own", "x", 0);
    assert!(world.got(p).is_empty());
    assert_eq!(world.machines[0].shard.stats().delivery_dropped_no_local, 1);
}

#[test]
fn retained_messages_come_by_retain_handling_and_not_for_shared_subscriptions() {
    let mut world = World::new(1, 1);
    let p = world.connect(0, "p", V5);
    for n in 0..300 {
        world.publish_only(p, &format!("t/{n:03}"), "kept", 0, true);
    }
    world.publish_only(p, "t/007", "", 0, true);
    let c = world.connect(0, "c", V5);
    world.got(c);
    let with = |retain_handling| SubscriptionOptions { qos: q(1), retain_handling, ..Default::default() };
    world.subscribe_with(c, "t/+", with(RetainHandling::Never), 0);
    assert_eq!(world.got(c), ["SUBACK 1"]);
    world.subscribe_with(c, "t/+", with(RetainHandling::IfNew), 0);
    assert_eq!(world.got(c), ["SUBACK 1"]);
    world.subscribe_with(c, "$share/g/t/+", with(RetainHandling::Always), 0);
    assert_eq!(world.got(c), ["SUBACK 1"]);
    world.subscribe_with(c, "t/+", with(RetainHandling::Always), 3);
    let got = world.got(c);
    assert_eq!((got.len(), got[1].as_str()), (300, "PUBLISH t/000 kept q0 retain id3"));
    assert_eq!(got[299], "PUBLISH t/299 kept q0 retain id3");
    assert!(!got.iter().any(|l| l.contains("t/007")));
}

#[test]
fn more_retained_messages_than_the_mailbox_holds_are_not_lost() {
    let mut world = World::new(1, 1);
    world.zone.mailbox = MailboxRules { len_max: 10, ..MailboxRules::default() };
    let p = world.connect(0, "p", V5);
    for n in 0..200 {
        world.publish_only(p, &format!("t/{n:03}"), &format!("m{n}"), 1, true);
    }
    let c = world.connect(0, "c", V5);
    world.got(c);
    world.subscribe(c, "t/#", 1);
    // The first window has gone with the answer.
    let mut count = 32;
    for id in 1..=168 {
        world.ack(c, id);
        count += world.payloads(c).len();
    }
    assert_eq!(count, 200);
    assert_eq!(world.machines[0].shard.stats().delivery_dropped, 0);
}

#[test]
fn a_retained_message_is_acknowledged_when_it_is_on_disk() {
    let mut world = World::new(1, 1);
    let p = world.connect(0, "p", V5);
    world.got(p);
    world.machines[0].driver.disk = Wait::Later;
    world.publish_only(p, "t", "x", 1, true);
    assert!(world.got(p).is_empty());
    world.settle();
    assert_eq!(world.got(p), ["PUBACK 9 NO_MATCHING_SUBSCRIBERS"]);
}

#[test]
fn filters_that_are_not_allowed_are_refused_each() {
    let mut world = World::new(1, 1);
    world.zone.wildcard_subscription = false;
    world.zone.shared_subscription = false;
    world.zone.subscriptions_max = 1;
    world.zone.qos_max = 1;
    let c = world.connect(0, "c", V5);
    world.got(c);
    for (filter, code) in
        [("a/#", 0xA2), ("$share/g/a", 0x9E), ("$exclusive/a", 0x8F), ("ok", 1), ("more", 0x97)]
    {
        world.subscribe_with(c, filter, SubscriptionOptions { qos: q(2), ..Default::default() }, 0);
        assert_eq!(world.got(c), [format!("SUBACK {code}")], "{filter}");
    }
    let old = world.connect(0, "old", Hello { version: Version::V311, ..V5 });
    world.got(old);
    world.subscribe_with(old, "a/#", Default::default(), 0);
    assert_eq!(world.got(old), ["SUBACK 128"]);
}

/// The greatest QoS of a zone bounds what is granted, not what may be asked for. [MQTT-3.2.2-10]
#[test]
fn where_qos_1_or_2_is_not_offered_it_may_be_subscribed() {
    for qos_max in [0, 1] {
        let mut world = World::new(1, 1);
        world.zone.qos_max = qos_max;
        let c = world.connect(0, "c", V5);
        world.got(c);
        for qos in 0..=2 {
            world.subscribe_with(c, "t", SubscriptionOptions { qos: q(qos), ..Default::default() }, 0);
            assert_eq!(world.got(c), [format!("SUBACK {}", qos.min(qos_max))]);
        }
    }
}

/// [MQTT-3.8.4-8], [MQTT-3.8.4-6] (3.1.1)
#[test]
fn a_message_is_delivered_with_the_lesser_qos_unless_the_zone_raises_it() {
    for (upgrade_qos, published, granted, sent) in
        [(false, 1, 2, 1), (false, 2, 1, 1), (false, 0, 2, 0), (true, 0, 1, 1), (true, 1, 2, 2)]
    {
        let mut world = World::new(1, 1);
        world.zone.upgrade_qos = upgrade_qos;
        let c = world.connect(0, "c", Hello { version: Version::V311, ..V5 });
        world.got(c);
        world.subscribe(c, "a", granted);
        let p = world.connect(0, "p", V5);
        world.publish(p, "a", "x", published);
        assert_eq!(world.got(c), [format!("PUBLISH a x q{sent}")]);
    }
}

#[test]
fn a_mountpoint_is_put_before_topics_and_filters() {
    let mut world = World::new(1, 1);
    let all = world.connect(0, "all", V5);
    world.got(all);
    world.subscribe(all, "#", 0);
    world.zone.mountpoint = Some("dev/%c/".to_owned());
    let c = world.connect(0, "c1", V5);
    world.got(c);
    world.subscribe(c, "in/+", 0);
    world.publish(c, "out", "x", 0);
    world.publish(all, "dev/c1/in/1", "y", 0);
    assert_eq!(world.got(all), ["PUBLISH dev/c1/out x q0", "PUBLISH dev/c1/in/1 y q0"]);
    assert_eq!(world.payloads(c), ["y"]);
    world.unsubscribe(c, "in/+");
    assert_eq!(world.got(c), ["UNSUBACK 0"]);
}

#[test]
fn hostile_frames_are_counted_and_dropped() {
    let mut world = World::new(2, 1);
    let m = &mut world.machines[0];
    for bytes in [&[][..], &[1, 0], &[1; 40], b"\x01\0\0\0\0\0\0\0\0\0\0\0nonsense"] {
        m.shard.forwarded(crate::routes::Place::peer(1), bytes, &mut m.driver);
        m.shard.told(crate::routes::Place::peer(1), bytes, Now(0), &mut m.driver);
    }
    assert_eq!(m.shard.stats().frames_bad, 8);
}

#[test]
fn a_full_mailbox_loses_its_oldest_and_counts_it() {
    let mut world = World::new(1, 1);
    world.zone.mailbox.len_max = 3;
    let c = world.connect(0, "c", KEPT);
    world.got(c);
    world.subscribe(c, "t", 1);
    world.lose(c);
    let p = world.connect(0, "p", V5);
    for n in 0..5 {
        world.publish(p, "t", &format!("m{n}"), 1);
    }
    let stats = world.machines[0].shard.stats();
    assert_eq!((stats.delivery_dropped_queue_full, stats.delivery_dropped), (2, 2));
    assert_eq!(world.machines[0].shard.client("c").unwrap().mqueue_dropped, 2);
    let c = world.connect(0, "c", KEPT);
    assert_eq!(world.payloads(c), ["m2", "m3", "m4"]);
}

#[test]
fn the_window_bounds_what_is_on_its_way_and_keeps_the_order() {
    let mut world = World::new(1, 1);
    world.zone.inflight_max = 2;
    let (p, c) = (world.connect(0, "p", V5), world.connect(0, "c", V5));
    world.got(c);
    world.subscribe(c, "t", 1);
    for n in 0..5 {
        world.publish(p, "t", &format!("m{n}"), 1);
    }
    assert_eq!(world.payloads(c), ["m0", "m1"]);
    world.ack(c, 1);
    assert_eq!(world.payloads(c), ["m2"]);
    world.ack(c, 2);
    world.ack(c, 3);
    assert_eq!(world.payloads(c), ["m3", "m4"]);
}
