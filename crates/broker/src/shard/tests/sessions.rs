use std::time::Duration;

use cluster::Stamp;
use mqtt::{Now, Reason, Version};

use super::world::{Hello, KEPT, V5, World};
use crate::kept::Told;
use crate::routes::Place;
use crate::{Cause, Extent, Wait};

const OLD: Hello<'static> = Hello { version: Version::V311, ..V5 };

#[test]
fn a_second_connection_takes_the_session_over_on_the_same_node() {
    let mut world = World::new(1, 1);
    let first = world.connect(0, "x", KEPT);
    assert_eq!(world.got(first), ["CONNACK success"]);
    world.subscribe(first, "t", 1);
    let second = world.connect(0, "x", KEPT);
    assert_eq!(world.got(first), ["DISCONNECT session_taken_over"]);
    assert_eq!(world.closed(first), Some(Cause::TakenOver));
    assert_eq!(world.got(second), ["CONNACK success present"]);
    world.publish(second, "t", "mine", 1);
    assert_eq!(world.payloads(second), ["mine"]);
    let third = world.connect(0, "x", V5);
    assert_eq!(world.closed(second), Some(Cause::Discarded));
    assert_eq!(world.got(third), ["CONNACK success"]);
    world.publish(third, "t", "gone", 0);
    assert!(world.got(third).is_empty());
    assert_eq!(world.machines[0].shard.gauges().connections, 1);
    assert_eq!(world.machines[0].shard.gauges().sessions, 1);
}

#[test]
fn unacknowledged_messages_are_sent_again_before_what_waits() {
    let mut world = World::new(1, 1);
    let (p, c) = (world.connect(0, "p", V5), world.connect(0, "c", KEPT));
    world.got(c);
    world.subscribe(c, "t", 1);
    world.publish(p, "t", "first", 1);
    world.lose(c);
    world.publish(p, "t", "second", 1);
    let c = world.connect(0, "c", KEPT);
    let got = world.got(c);
    assert_eq!(got, ["CONNACK success present", "PUBLISH t first q1 dup", "PUBLISH t second q1"]);
}

/// [MQTT-3.1.2-24]: not even the CONNACK, or the SUBACK, is sent then.
#[test]
fn what_a_connection_that_ends_with_its_first_answers_has_not_got_is_kept_for_the_next_one() {
    let mut world = World::new(1, 1);
    // So that a CONNACK takes five bytes.
    (world.zone.packet_bytes_max, world.zone.awaiting_rel_max, world.zone.topic_alias_max) = (0, 0, 0);
    let (p, c) = (world.connect(0, "p", V5), world.connect(0, "c", KEPT));
    world.got(c);
    world.subscribe(c, "t", 1);
    world.publish(p, "t", "sent", 1);
    world.lose(c);
    world.publish(p, "t", "waits", 1);
    let deaf = world.connect(0, "c", Hello { packet_max: 4, ..KEPT });
    assert_eq!(world.closed(deaf), Some(Cause::Refused(Reason::PacketTooLarge)));
    assert!(world.got(deaf).is_empty());
    let c = world.connect(0, "c", KEPT);
    let got = world.got(c);
    assert_eq!(got, ["CONNACK success present", "PUBLISH t sent q1 dup", "PUBLISH t waits q1"]);

    world.publish_only(p, "kept", "retained", 1, true);
    let short = world.connect(0, "d", Hello { packet_max: 5, ..KEPT });
    assert_eq!(world.got(short), ["CONNACK success"]);
    world.subscribe_with(short, "kept", Default::default(), 0);
    assert_eq!(world.closed(short), Some(Cause::Refused(Reason::PacketTooLarge)));
    let d = world.connect(0, "d", KEPT);
    assert_eq!(world.got(d), ["CONNACK success present", "PUBLISH kept retained q0 retain"]);
}

/// [MQTT-3.1.2-24]
#[test]
fn a_suback_that_is_too_large_ends_a_session_that_ends_with_its_connection() {
    let mut world = World::new(1, 1);
    (world.zone.packet_bytes_max, world.zone.awaiting_rel_max, world.zone.topic_alias_max) = (0, 0, 0);
    for routes in [Wait::Over, Wait::Later] {
        world.machines[0].driver.routes = routes;
        let c = world.connect(0, "c", Hello { packet_max: 5, ..V5 });
        world.subscribe_with(c, "t", Default::default(), 0);
        assert_eq!(world.closed(c), Some(Cause::Refused(Reason::PacketTooLarge)));
        assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    }
}

/// [MQTT-3.1.2-24]
#[test]
fn a_session_that_comes_and_ends_with_the_connack_is_answered_for_to_the_next_node_that_asks() {
    let mut world = World::new(3, 1);
    let before = world.connect(2, "x", KEPT);
    world.lose(before);
    world.connect_only(0, "x", KEPT);
    let ask = Told::Ask { fresh: false, stamp: Stamp { time: u64::MAX, node: 1 } };
    let m = &mut world.machines[0];
    m.shard.told(Place::peer(1), &ask.encode("x", 77), Now(world.now), &mut m.driver);
    // It takes no CONNACK, and its session ends with it.
    let deaf = world.connect_only(0, "x", Hello { clean: false, packet_max: 4, ..V5 });
    world.settle();
    assert_eq!(world.closed(deaf), Some(Cause::Refused(Reason::PacketTooLarge)));
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
}

/// [MQTT-3.1.2-23] [MQTT-4.1.0-2], [MQTT-4.1.0-1] (3.1.1) [MQTT-4.1.0-2] (3.1.1)
#[test]
fn a_session_ends_with_its_connection_or_when_its_time_is_over() {
    let mut world = World::new(2, 1);
    let c = world.connect(0, "c", KEPT);
    world.subscribe_with(c, "t", Default::default(), 0);
    world.lose(c);
    world.wait(999_000);
    assert_eq!(world.machines[0].shard.gauges().sessions, 1);
    world.wait(1001);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    assert!(world.machines[1].driver.interest.is_empty(), "the routes have gone too");
    let clean = world.connect(0, "d", OLD);
    world.lose(clean);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    // In 3.x the zone says how long a session is kept.
    let kept = world.connect(0, "e", Hello { clean: false, ..OLD });
    world.lose(kept);
    world.wait(7_199_000);
    assert_eq!(world.machines[0].shard.gauges().sessions, 1);
    world.wait(1_001);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    assert_eq!(world.machines[0].shard.stats().session_terminated, 3);
}

#[test]
fn a_silent_client_is_ended_after_its_keep_alive() {
    let mut world = World::new(1, 1);
    let c = world.connect(0, "c", Hello { keep_alive: 10, ..V5 });
    world.wait(10_000);
    world.publish(c, "t", "alive", 0);
    world.wait(14_999);
    assert_eq!(world.closed(c), None);
    world.wait(2);
    assert_eq!(world.closed(c), Some(Cause::KeepAlive));
}

/// [MQTT-3.1.2-22]: what a client says while it is not read has not come, but it was not silent.
#[test]
fn the_keep_alive_of_a_client_rests_while_it_is_not_read() {
    let mut world = World::new(1, 1);
    let c = world.connect(0, "c", Hello { keep_alive: 10, ..V5 });
    let silent = world.connect(0, "silent", Hello { keep_alive: 10, ..V5 });
    world.machines[0].driver.unread.push(c.conn);
    world.wait(100_000);
    assert_eq!((world.closed(c), world.closed(silent)), (None, Some(Cause::KeepAlive)));
    world.machines[0].driver.unread.clear();
    world.publish(c, "t", "was said meanwhile", 0);
    world.wait(14_999);
    assert_eq!(world.closed(c), None);
    world.wait(2);
    assert_eq!(world.closed(c), Some(Cause::KeepAlive));
}

#[test]
fn a_will_is_published_when_a_connection_is_lost_and_not_when_the_client_says_goodbye() {
    let mut world = World::new(2, 1);
    let watch = world.connect(1, "w", V5);
    world.got(watch);
    world.subscribe(watch, "will", 0);
    let hello = Hello { will: Some(("will", "lost", 0)), ..V5 };
    let c = world.connect(0, "c", hello);
    world.disconnect(c, Reason::Success);
    assert!(world.payloads(watch).is_empty());
    let c = world.connect(0, "c", hello);
    world.disconnect(c, Reason::DisconnectWithWill);
    assert_eq!(world.payloads(watch), ["lost"]);
    let c = world.connect(0, "c", hello);
    world.lose(c);
    assert_eq!(world.payloads(watch), ["lost"]);
}

/// [MQTT-3.1.3-9]
#[test]
fn a_will_waits_for_its_delay_and_is_cancelled_by_a_return() {
    let mut world = World::new(1, 1);
    let watch = world.connect(0, "w", V5);
    world.got(watch);
    world.subscribe(watch, "will", 0);
    let hello = Hello { will: Some(("will", "lost", 10)), keep_alive: 0, ..KEPT };
    let c = world.connect(0, "c", hello);
    world.lose(c);
    world.wait(9_000);
    let c = world.connect(0, "c", Hello { will: None, ..hello });
    world.wait(20_000);
    assert!(world.payloads(watch).is_empty());
    world.disconnect(c, Reason::Success);
    let c = world.connect(0, "c", hello);
    world.lose(c);
    world.wait(9_999);
    assert!(world.payloads(watch).is_empty());
    world.wait(1);
    assert_eq!(world.payloads(watch), ["lost"]);
    // A session that ends earlier than the delay publishes it at its end. [MQTT-3.1.2-8]
    let c = world.connect(0, "d", Hello { expiry: 5, ..hello });
    world.lose(c);
    world.wait(5_000);
    assert_eq!(world.payloads(watch), ["lost"]);
    assert_eq!(world.machines[0].shard.client("d"), None);
}

#[test]
fn a_session_moves_to_another_node_with_window_and_queue_in_order() {
    let mut world = World::new(3, 1);
    world.zone.inflight_max = 2;
    let p = world.connect(2, "p", V5);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    for n in 0..5 {
        world.publish(p, "t", &format!("m{n}"), 1);
    }
    assert_eq!(world.payloads(old), ["m0", "m1"]);
    let new = world.connect(1, "x", KEPT);
    assert_eq!(world.got(old), ["DISCONNECT session_taken_over"]);
    assert_eq!(world.closed(old), Some(Cause::TakenOver));
    assert_eq!(world.got(new), ["CONNACK success present", "PUBLISH t m0 q1 dup", "PUBLISH t m1 q1 dup"]);
    // The old node still has its routes: what comes now comes to both.
    world.publish(p, "t", "m5", 1);
    world.wait(1_000);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    world.publish(p, "t", "m6", 1);
    for id in 1..=5 {
        world.ack(new, id);
    }
    assert_eq!(world.payloads(new), ["m2", "m3", "m4", "m5", "m6"]);
    assert_eq!(world.machines[0].shard.client("x"), None);
    assert_eq!(world.machines[1].shard.stats().frames_bad, 0);
}

#[test]
fn what_only_the_old_node_gets_while_a_session_moves_comes_before_the_rest() {
    let mut world = World::new(3, 1);
    let p = world.connect(2, "p", V5);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    let new = world.connect_only(1, "x", KEPT);
    // By hand: the publisher's node knows of the new routes only after its first message.
    for _ in 0..2 {
        world.step_without_routes();
    }
    world.publish_only(p, "t", "only-old", 1, false);
    world.step_without_routes();
    world.spread_routes();
    world.publish_only(p, "t", "both", 1, false);
    world.step_without_routes();
    world.settle();
    assert_eq!(world.got(new), ["CONNACK success present"], "held back until the old node is done");
    world.wait(200);
    assert_eq!(world.payloads(new), ["only-old", "both"]);
}

#[test]
fn a_clean_start_ends_the_session_on_the_other_node() {
    let mut world = World::new(2, 1);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    let new = world.connect(1, "x", V5);
    assert_eq!(world.got(old), ["DISCONNECT session_taken_over"]);
    assert_eq!(world.got(new), ["CONNACK success"]);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    assert!(world.machines[1].driver.paused.is_empty());
}

#[test]
fn the_last_of_several_connections_gets_the_session_or_none_as_it_asked() {
    let mut world = World::new(2, 1);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    let (first, second) = (world.connect_only(1, "x", KEPT), world.connect_only(1, "x", V5));
    world.settle();
    assert_eq!(world.got(first), ["CONNACK unspecified_error"]);
    assert_eq!(world.got(second), ["CONNACK success"]);
    world.wait(1000);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    world.publish(second, "t", "x", 0);
    assert!(world.payloads(second).is_empty());
    assert_eq!((world.closed(second), &world.machines[1].driver.paused), (None, &vec![]));
}

#[test]
fn a_client_that_comes_back_to_the_old_node_while_its_session_moves_gets_it_back() {
    let mut world = World::new(2, 1);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    let away = world.connect(1, "x", KEPT);
    // The session has not settled on the other node.
    let back = world.connect_only(0, "x", KEPT);
    world.wait(1000);
    assert_eq!(world.closed(away), Some(Cause::TakenOver));
    assert_eq!(world.got(back), ["CONNACK success present"]);
    world.publish(back, "t", "here", 1);
    assert_eq!(world.payloads(back), ["here"]);
    assert_eq!(world.machines[1].shard.gauges().sessions, 0);
}

#[test]
fn a_session_that_ends_while_it_moves_is_let_go_by_its_old_node() {
    let mut world = World::new(2, 1);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    // The other nodes do not know of its routes yet, and never will: a new session takes its place.
    let moved = world.connect_only(1, "x", KEPT);
    for _ in 0..2 {
        world.step_without_routes();
    }
    assert_eq!(world.got(moved), ["CONNACK success present"]);
    let fresh = world.connect_only(1, "x", V5);
    for _ in 0..3 {
        world.step_without_routes();
    }
    assert_eq!(world.got(fresh), ["CONNACK success"]);
    let back = world.connect_only(0, "x", KEPT);
    world.wait(1000);
    assert_eq!(world.got(back), ["CONNACK success"]);
}

#[test]
fn a_session_comes_back_and_forth_many_times_and_loses_nothing() {
    let mut world = World::new(3, 2);
    let p = world.connect(0, "p0", V5);
    let mut c = world.connect(0, "x0", KEPT);
    world.got(c);
    world.subscribe(c, "t/#", 1);
    let (mut expected, mut got) = (Vec::new(), Vec::new());
    for round in 0..20 {
        for n in 0..3 {
            world.publish(p, "t/1", &format!("r{round}n{n}"), 0);
            expected.push(format!("r{round}n{n}"));
        }
        got.extend(world.payloads(c));
        c = world.connect([2, 4, 0][round % 3], "x0", KEPT);
        if round % 2 == 0 {
            world.wait(300);
        }
    }
    world.wait(1000);
    got.extend(world.payloads(c));
    assert_eq!(got, expected);
}

#[test]
fn a_dead_owner_means_a_new_session_at_once() {
    let mut world = World::new(2, 1);
    let _old = world.connect(0, "x", KEPT);
    world.machines[0].up = false;
    let new = world.connect(1, "x", KEPT);
    assert!(world.got(new).is_empty());
    assert_eq!(world.machines[1].driver.paused, [new.conn]);
    let m = &mut world.machines[1];
    m.shard.peer_masked(Place::peer(0), Now(0), &mut m.driver);
    assert_eq!(world.got(new), ["CONNACK success"]);
}

/// [MQTT-3.1.4-2], [MQTT-4.8.0-2] (3.1.1)
#[test]
fn an_owner_that_does_not_answer_means_a_refusal_after_a_while() {
    for hello in [KEPT, Hello { clean: false, ..OLD }] {
        let mut world = World::new(2, 1);
        let _old = world.connect(0, "x", hello);
        world.machines[0].up = false;
        let new = world.connect(1, "x", hello);
        world.wait(15_000);
        assert_eq!(world.got(new), ["CONNACK server_unavailable"]);
        assert_eq!(world.closed(new), Some(Cause::Refused(Reason::ServerUnavailable)));
        assert_eq!(world.machines[1].shard.gauges().sessions, 0);
    }
}

#[test]
fn a_new_owner_that_dies_before_it_has_settled_leaves_the_session_where_it_was() {
    let mut world = World::new(2, 1);
    let old = world.connect(0, "x", KEPT);
    world.got(old);
    world.subscribe(old, "t", 1);
    let _new = world.connect_only(1, "x", KEPT);
    world.step_without_routes();
    world.machines[1].up = false;
    let m = &mut world.machines[0];
    m.shard.peer_masked(Place::peer(1), Now(0), &mut m.driver);
    let back = world.connect(0, "x", KEPT);
    assert_eq!(world.got(back), ["CONNACK success present"]);
    world.publish(back, "t", "still", 1);
    assert_eq!(world.payloads(back), ["still"]);
}

#[test]
fn the_older_of_two_connections_gives_way_when_both_sides_hear_of_one_another() {
    let mut world = World::new(2, 1);
    world.cut = true;
    let older = world.connect(0, "x", KEPT);
    world.machines[1].driver.stamps = 100;
    let newer = world.connect(1, "x", KEPT);
    assert_eq!(
        (world.got(older), world.got(newer)),
        (vec!["CONNACK success".to_owned()], vec!["CONNACK success".to_owned()])
    );
    world.cut = false;
    world.settle();
    assert_eq!((world.closed(older), world.closed(newer)), (Some(Cause::TakenOver), None));
    world.wait(60_000);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
    assert_eq!(world.machines[1].shard.gauges().sessions, 1);
}

#[test]
fn the_claims_of_a_peer_count_again_when_it_is_back() {
    let mut world = World::new(2, 1);
    world.machines[1].driver.stamps = 100;
    let newer = world.connect(1, "x", KEPT);
    let m = &mut world.machines[0];
    m.shard.peer_masked(Place::peer(1), Now(0), &mut m.driver);
    world.cut = true;
    let older = world.connect(0, "x", KEPT);
    assert_eq!(world.got(older), ["CONNACK success"]);
    let m = &mut world.machines[0];
    m.shard.peer_unmasked(Place::peer(1), Now(0), &mut m.driver);
    assert_eq!((world.closed(older), world.closed(newer)), (Some(Cause::TakenOver), None));
}

#[test]
fn a_client_that_returns_to_a_node_with_an_older_session_of_it_gets_its_last_one() {
    let mut world = World::new(2, 1);
    world.cut = true;
    let older = world.connect(0, "x", KEPT);
    world.machines[1].driver.stamps = 100;
    let newer = world.connect(1, "x", KEPT);
    assert_eq!(
        (world.got(older), world.got(newer)),
        (vec!["CONNACK success".into()], vec!["CONNACK success".into()])
    );
    world.subscribe(newer, "t", 1);
    world.cut = false;
    world.settle();
    assert_eq!((world.closed(older), world.closed(newer)), (Some(Cause::TakenOver), None));
    let back = world.connect(0, "x", KEPT);
    assert_eq!(world.got(back), ["CONNACK success present"]);
    let publisher = world.connect(1, "p", V5);
    world.publish(publisher, "t", "kept", 1);
    world.wait(1_000);
    assert_eq!(world.payloads(back), ["kept"]);
}

#[test]
fn an_operator_sees_and_ends_clients() {
    let mut world = World::new(1, 1);
    let c = world.connect(0, "c", KEPT);
    world.got(c);
    world.subscribe(c, "$share/g/t", 1);
    let m = &mut world.machines[0];
    assert!(m.shard.subscribe_for("c", "a/#", mqtt::QoS::AtLeastOnce, &mut m.driver));
    assert!(!m.shard.subscribe_for("nobody", "a/#", mqtt::QoS::AtLeastOnce, &mut m.driver));
    let filters: Vec<_> = m.shard.client_subscriptions("c").unwrap().into_iter().map(|s| s.filter).collect();
    assert_eq!(filters, ["$share/g/t", "a/#"]);
    let info = m.shard.client("c").unwrap();
    assert_eq!((info.subscriptions, info.connected, info.expiry_interval), (2, true, 1000));
    assert!(m.shard.unsubscribe_for("c", "a/#", &mut m.driver));
    assert!(m.shard.kick("c", Now(0), &mut m.driver) && !m.shard.kick("c", Now(0), &mut m.driver));
    assert_eq!(world.got(c), ["DISCONNECT administrative_action"]);
    assert_eq!(world.machines[0].shard.gauges().sessions, 0);
}

#[test]
fn all_clients_are_told_when_the_node_stops_or_joins() {
    let mut world = World::new(1, 1);
    let (c, d) = (world.connect(0, "c", KEPT), world.connect(0, "d", OLD));
    world.got(c);
    world.got(d);
    let m = &mut world.machines[0];
    m.shard.drain(Now(0), &mut m.driver);
    assert_eq!(m.shard.gauges().connections, 0);
    assert_eq!(world.got(c), ["DISCONNECT server_shutting_down"]);
    assert!(world.got(d).is_empty() && world.closed(d) == Some(Cause::Stopping));
    let m = &mut world.machines[0];
    m.shard.wipe(Now(0), &mut m.driver);
    assert_eq!(m.shard.gauges().sessions, 0);
    assert!(m.driver.tickets.iter().all(|(e, _)| *e == Extent::Node));
}

#[test]
fn who_is_banned_goes_also_while_it_waits_for_its_session() {
    let mut world = World::new(2, 1);
    let _old = world.connect(0, "x", KEPT);
    let other = world.connect(1, "y", KEPT);
    world.machines[0].up = false;
    let waits = world.connect(1, "x", KEPT);
    world.got(other);
    let m = &mut world.machines[1];
    m.shard.ban(|client| client.client_id == "x" || client.client_id == "y", Now(0), &mut m.driver);
    assert_eq!(world.got(waits), ["CONNACK banned"]);
    assert_eq!(world.closed(waits), Some(Cause::Refused(Reason::Banned)));
    assert_eq!(world.got(other), ["DISCONNECT administrative_action"]);
}

#[test]
fn the_client_for_which_most_is_kept_is_the_first_to_go() {
    let mut world = World::new(1, 1);
    let (less, more) = (world.connect(0, "less", KEPT), world.connect(0, "more", KEPT));
    let publisher = world.connect(0, "p", OLD);
    for c in [less, more] {
        world.got(c);
        world.subscribe(c, "t", 1);
        world.lose(c);
    }
    let m = &mut world.machines[0];
    assert!(m.shard.subscribe_for("more", "u", mqtt::QoS::AtLeastOnce, &mut m.driver));
    world.publish(publisher, "t", "12345", 1);
    world.publish(publisher, "u", "12345", 1);
    let m = &mut world.machines[0];
    let greediest: Vec<_> = m.shard.greediest(9, |_| 0).into_iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(greediest, ["more", "less"]);
    m.shard.evict("more", Now(0), &mut m.driver);
    assert!(m.shard.client("more").is_none() && m.shard.stats().overload_clients == 1);
}

/// Until PUBREL the same identifier is the same message [MQTT-4.3.3-10], but for no longer than
/// `await_rel_timeout`, also where no keep-alive has the client looked at.
#[test]
fn a_message_of_qos_2_whose_pubrel_does_not_come_is_given_up_in_time() {
    let mut world = World::new(1, 1);
    world.zone.await_rel_timeout = Duration::from_secs(3);
    let c = world.connect(0, "c", Hello { keep_alive: 0, ..V5 });
    world.got(c);
    world.subscribe(c, "t", 0);
    for payload in ["first", "the same"] {
        world.publish(c, "t", payload, 2);
        world.wait(2_000);
    }
    assert_eq!(world.machines[0].shard.client("c").map(|c| c.awaiting_rel), Some(0));
    world.publish(c, "t", "another", 2);
    assert_eq!(world.payloads(c), ["first", "another"]);
}

/// What is sent with the greater QoS of both waits as a message of that QoS.
#[test]
fn a_message_whose_qos_is_upgraded_is_kept_where_qos_0_is_not() {
    let mut world = World::new(1, 1);
    world.zone.upgrade_qos = true;
    world.zone.mailbox.store_qos0 = false;
    let c = world.connect(0, "c", KEPT);
    world.got(c);
    world.subscribe(c, "t", 0);
    world.lose(c);
    let p = world.connect(0, "p", V5);
    world.publish(p, "t", "x", 1);
    let c = world.connect(0, "c", KEPT);
    assert_eq!(world.got(c), ["CONNACK success present", "PUBLISH t x q1"]);
}
