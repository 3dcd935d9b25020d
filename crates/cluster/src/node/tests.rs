use super::world::{RETAINED, ROUTES, World};
use super::*;
use crate::effects::Wipe;

fn cluster(count: usize, seed: u64) -> World {
    let mut world = World::new(count, seed);
    for i in 1..count {
        assert_eq!(world.join(i, 0), Outcome::Done);
    }
    world.run(1_000);
    world
}

#[test]
fn two_nodes_join_within_a_second_and_the_joiner_gets_everything() {
    let mut world = World::new(2, 1);
    world.retain(0, "kept", Some("yes"));
    world.retain(1, "gone", Some("yes"));
    world.route(0, "a/#", Some(""));
    assert_eq!(world.join(1, 0), Outcome::Done);
    assert!(world.at < 1_000, "took {}", world.at);
    world.run(100);
    world.assert_one_cluster(&[0, 1]);
    assert_eq!(world.retained(1, "kept").as_deref(), Some("yes"));
    assert_eq!(world.retained(1, "gone"), None);
    assert_eq!(world.places[1].host.wipes, [Wipe::Join(world.places[0].name.clone())]);
    assert_eq!(world.node(0).identity().cluster, world.node(1).identity().cluster);
}

#[test]
fn joins_in_every_direction_make_one_cluster() {
    for seed in 0..20 {
        let mut world = World::new(5, seed);
        // Chain: each joins the next lower one, in an order made by the seed.
        let mut order = vec![1, 2, 3, 4];
        order.rotate_left(seed as usize % 4);
        let mut inside = vec![0];
        for i in order {
            let to = inside[(seed as usize / 4) % inside.len()];
            assert_eq!(world.join(i, to), Outcome::Done, "seed {seed}");
            inside.push(i);
        }
        for i in 0..5 {
            world.route(i, &format!("r/{i}"), Some("1"));
            world.retain(i, &format!("m/{i}"), Some("v"));
        }
        world.run(3_000);
        world.assert_one_cluster(&[0, 1, 2, 3, 4]);
    }
}

#[test]
fn the_checks_of_a_join_come_in_order() {
    let mut world = cluster(3, 2);
    world.kill(2);
    world.run(3_000);
    assert_eq!(world.join(0, 0), Outcome::Ignored);
    assert_eq!(world.join(0, 1), Outcome::Failed(Cause::AlreadyInCluster));
    assert_eq!(world.join(0, 2), Outcome::Failed(Cause::AlreadyInCluster));
    let nobody = NodeName::parse("nobody@h").expect("a name");
    assert_eq!(world.command_and_wait(0, Command::Join(nobody)), Outcome::Failed(Cause::NodeDown));
    let mut world = World::new(2, 3);
    world.places[1].cookie = "other";
    assert_eq!(world.join(0, 1), Outcome::Failed(Cause::BadCookie));
    assert!(world.places[0].host.wipes.is_empty());
}

#[test]
fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let mut world = cluster(2, 4);
    world.places.truncate(2);
    let mut other = World::new(4, 5);
    assert_eq!(other.join(1, 0), Outcome::Done);
    assert_eq!(other.join(3, 2), Outcome::Done);
    let outcome = other.command_and_wait(1, Command::JoinDryRun(other.places[2].name.clone()));
    let names = |ids: &[usize]| ids.iter().map(|i| other.places[*i].name.clone()).collect::<Vec<_>>();
    let would = crate::effects::WouldJoin { members: names(&[2, 3]), leaves: names(&[0]) };
    assert_eq!(outcome, Outcome::WouldJoin(would));
    other.run(5_000);
    other.assert_one_cluster(&[0, 1]);
    other.assert_one_cluster(&[2, 3]);
}

#[test]
fn when_two_join_each_other_exactly_one_wins() {
    for seed in seeds(50) {
        let mut world = World::new(2, seed);
        world.retain(0, "zero", Some("0"));
        world.retain(1, "one", Some("1"));
        let (a, b) = (world.places[1].name.clone(), world.places[0].name.clone());
        let first = world.command(0, Command::Join(a));
        world.run(seed % 12);
        let second = world.command(1, Command::Join(b));
        world.run(8_000);
        let outcomes =
            [world.places[0].host.replies[&first].clone(), world.places[1].host.replies[&second].clone()];
        let done = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
        assert_eq!(done, 1, "seed {seed}: {outcomes:?}");
        assert_eq!(world.places[0].host.wipes.len() + world.places[1].host.wipes.len(), 1, "seed {seed}");
        world.assert_one_cluster(&[0, 1]);
        assert_eq!(world.retained(0, "zero").is_some() as u8 + world.retained(0, "one").is_some() as u8, 1);
    }
}

#[test]
fn a_joiner_from_another_cluster_leaves_it_first_even_when_that_hears_of_it_late() {
    let mut world = World::new(5, 6);
    assert_eq!(world.join(1, 0), Outcome::Done);
    assert_eq!(world.join(2, 0), Outcome::Done);
    assert_eq!(world.join(4, 3), Outcome::Done);
    world.run(1_000);
    world.kill(0);
    world.cut(&[2], &[1]);
    world.run(4_000);
    assert_eq!(world.join(2, 3), Outcome::Done);
    world.run(2_000);
    world.assert_one_cluster(&[2, 3, 4]);
    world.mend();
    world.start(0);
    world.run(5_000);
    world.assert_one_cluster(&[2, 3, 4]);
    world.assert_one_cluster(&[0, 1]);
}

#[test]
fn who_leaves_is_alone_and_may_leave_while_others_are_down() {
    let mut world = cluster(3, 7);
    world.retain(0, "k", Some("v"));
    assert_eq!(world.command_and_wait(2, Command::Leave), Outcome::Done);
    world.run(1_000);
    world.assert_one_cluster(&[0, 1]);
    world.assert_one_cluster(&[2]);
    assert!(world.node(2).stays_out());
    assert_eq!(world.command_and_wait(2, Command::Leave), Outcome::Failed(Cause::NodeNotInCluster));
    world.kill(0);
    world.run(3_000);
    assert_eq!(world.command_and_wait(1, Command::Leave), Outcome::Done);
    world.assert_one_cluster(&[1]);
    world.start(0);
    world.run(3_000);
    world.assert_one_cluster(&[0]);
    // Back under the old name.
    assert_eq!(world.join(1, 0), Outcome::Done);
    assert_eq!(world.retained(1, "k").as_deref(), Some("v"));
}

#[test]
fn force_leave_of_a_running_member_empties_it() {
    let mut world = cluster(3, 8);
    let name = world.places[2].name.clone();
    assert_eq!(world.command_and_wait(0, Command::ForceLeave(name.clone())), Outcome::Done);
    world.run(500);
    world.assert_one_cluster(&[0, 1]);
    world.assert_one_cluster(&[2]);
    assert!(matches!(world.places[2].host.wipes.last(), Some(Wipe::ForcedOut { .. })));
    assert_eq!(
        world.command_and_wait(0, Command::ForceLeave(name)),
        Outcome::Failed(Cause::NodeNotInCluster)
    );
    assert_eq!(
        world.command_and_wait(0, Command::ForceLeave(world.places[0].name.clone())),
        Outcome::Ignored
    );
}

#[test]
fn force_leave_of_a_stopped_member_is_final() {
    let mut world = cluster(3, 9);
    world.kill(2);
    world.run(3_000);
    let name = world.places[2].name.clone();
    assert_eq!(world.command_and_wait(0, Command::ForceLeave(name)), Outcome::Done);
    world.run(500);
    world.assert_one_cluster(&[0, 1]);
    let before = world.places[2].host.wipes.len();
    world.start(2);
    world.run(4_000);
    world.assert_one_cluster(&[0, 1]);
    world.assert_one_cluster(&[2]);
    assert_eq!(world.places[2].host.wipes.len(), before + 1);
    assert_eq!(world.join(2, 1), Outcome::Done);
    world.run(1_000);
    world.assert_one_cluster(&[0, 1, 2]);
}

#[test]
fn of_two_that_force_one_another_out_while_cut_off_the_later_word_counts() {
    let mut world = cluster(2, 10);
    world.retain(0, "k", Some("v"));
    world.run(500);
    world.cut(&[0], &[1]);
    world.run(5_000);
    for (by, whom) in [(0, 1), (1, 0)] {
        let name = world.places[whom].name.clone();
        assert_eq!(world.command_and_wait(by, Command::ForceLeave(name)), Outcome::Done);
        world.run(1_000);
    }
    world.mend();
    world.run(65_000);
    world.assert_one_cluster(&[0]);
    world.assert_one_cluster(&[1]);
    assert!(matches!(world.places[0].host.wipes.last(), Some(Wipe::ForcedOut { .. })));
    assert_ne!(world.node(0).identity().cluster, world.node(1).identity().cluster);
    assert_eq!(
        world.retained(1, "k").as_deref(),
        Some("v"),
        "what the cluster had is with the one that stays"
    );
    assert_eq!(world.join(0, 1), Outcome::Done);
    world.assert_one_cluster(&[0, 1]);
}

#[test]
fn membership_survives_restarts_in_every_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (seed, order) in orders.iter().enumerate() {
        let mut world = cluster(3, seed as u64);
        world.retain(1, "k", Some("v"));
        world.run(500);
        for i in order {
            world.kill(*i);
            world.run(700);
        }
        for i in order {
            world.start(*i);
            world.run(if seed % 2 == 0 { 10 } else { 3_000 });
        }
        for i in 0..3 {
            world.route(i, &format!("after/{i}"), Some("1"));
        }
        world.run(3_000);
        world.assert_one_cluster(&[0, 1, 2]);
        assert_eq!(world.retained(0, "k").as_deref(), Some("v"));
    }
}

#[test]
fn a_stopped_member_is_seen_at_once_and_its_routes_go_and_come_as_one() {
    let mut world = cluster(3, 10);
    for i in 0..100 {
        world.route(2, &format!("r/{i}"), Some("1"));
    }
    world.run(100);
    assert_eq!(world.routes_seen(0, 2).len(), 100);
    world.cut(&[2], &[0, 1]);
    world.run(2_400);
    assert_eq!(world.node(0).status().stopped, [world.places[2].name.clone()]);
    assert!(world.routes_seen(0, 2).is_empty());
    assert!(world.places[0].host.events.iter().any(|event| matches!(event, Event::Partition(_))));
    world.mend();
    world.run(3_000);
    world.assert_one_cluster(&[0, 1, 2]);
    assert!(world.places[0].host.events.contains(&Event::Healed { together: true }));
    // A stop is known from the closed connection and the refused dial.
    world.kill(2);
    world.run(500);
    assert_eq!(world.node(0).status().stopped.len(), 1);
}

#[test]
fn partitions_of_any_shape_heal_with_the_writes_of_all_sides() {
    let shapes: [&[&[usize]]; 4] = [
        &[&[0, 1], &[2, 3, 4]],
        &[&[0], &[1, 2], &[3, 4]],
        &[&[0], &[1], &[2], &[3], &[4]],
        &[&[0, 2, 4], &[1, 3]],
    ];
    for (seed, shape) in shapes.iter().enumerate() {
        let mut world = cluster(5, 20 + seed as u64);
        for (i, one) in shape.iter().enumerate() {
            for two in &shape[i + 1..] {
                world.cut(one, two);
            }
        }
        world.run(2_500);
        for i in 0..5 {
            world.route(i, &format!("during/{i}"), Some("1"));
            world.retain(i, &format!("during/{i}"), Some("x"));
            world.retain(i, "same", Some(&format!("{i}")));
        }
        world.run(20_000);
        world.mend();
        world.run(3_000);
        world.assert_one_cluster(&[0, 1, 2, 3, 4]);
        for i in 0..5 {
            assert!(world.retained(0, &format!("during/{i}")).is_some());
        }
    }
}

#[test]
fn after_autoclean_on_both_sides_it_is_one_cluster_again() {
    let mut world = World::new(4, 30);
    for i in 0..4 {
        world.places[i].autoclean = Some(Duration::from_secs(20));
        world.kill(i);
        world.start(i);
    }
    for i in 1..4 {
        assert_eq!(world.join(i, 0), Outcome::Done);
    }
    world.cut(&[0, 1], &[2, 3]);
    world.run(30_000);
    world.assert_one_cluster(&[0, 1]);
    world.assert_one_cluster(&[2, 3]);
    world.mend();
    world.run(3_000);
    world.assert_one_cluster(&[0, 1, 2, 3]);
    assert!(world.places.iter().all(|place| place.host.wipes.len() <= 1));
}

#[test]
fn a_member_that_was_cleaned_away_gets_all_tables_when_it_comes_back() {
    for seed in seeds(20) {
        let mut world = World::new(3, 7_000 + seed);
        for i in 0..3 {
            world.places[i].autoclean = Some(Duration::from_secs(20));
            world.kill(i);
            world.start(i);
        }
        for i in 1..3 {
            assert_eq!(world.join(i, 0), Outcome::Done);
        }
        world.route(0, "before", Some("1"));
        world.run(1_000);
        world.kill(2);
        world.run(40_000);
        assert_eq!(world.node(0).status().stopped, [], "it is cleaned away");
        world.route(0, "meanwhile", Some("1"));
        world.start(2);
        world.run(4_000);
        world.assert_one_cluster(&[0, 1, 2]);
    }
}

#[test]
fn without_autoheal_the_sides_stay_apart_until_told() {
    let mut world = World::new(2, 31);
    for i in 0..2 {
        world.places[i].autoheal = false;
        world.kill(i);
        world.start(i);
    }
    assert_eq!(world.join(1, 0), Outcome::Done);
    world.cut(&[0], &[1]);
    world.run(4_000);
    world.mend();
    world.run(10_000);
    assert_eq!(world.node(0).status().stopped.len(), 1);
    assert_eq!(world.command_and_wait(0, Command::Heal), Outcome::Done);
    world.run(2_000);
    world.assert_one_cluster(&[0, 1]);
}

#[test]
fn broken_links_lose_no_word_and_mask_nobody() {
    let mut world = cluster(2, 11);
    let to = world.node(1).identity().id;
    for i in 0..200u16 {
        world.input(0, |node, _, _| node.cast(to, i, b"x").expect("serves"));
        world.run(7);
        if i % 40 == 39 {
            world.break_wires(|_, _| true);
        }
    }
    world.run(2_000);
    let kinds: Vec<_> = world.places[1].host.casts.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, (0..200).collect::<Vec<_>>());
    assert!(!world.places[0].host.events.iter().any(|event| matches!(event, Event::Down { .. })));
}

#[test]
fn requests_are_answered_or_fail_in_time() {
    let mut world = cluster(2, 12);
    let to = world.node(1).identity().id;
    let mut ids = Vec::new();
    for kind in [7, 404] {
        world.input(0, |node, now, _| {
            ids.extend(node.request(to, kind, b"echo", Duration::from_secs(5), now));
        });
    }
    world.run(100);
    assert_eq!(world.places[0].host.answers[&ids[0]], Ok(b"echo".to_vec()));
    assert_eq!(world.places[0].host.answers[&ids[1]], Err(Cause::NotSupported));
    world.cut(&[0], &[1]);
    world.input(0, |node, now, _| ids.extend(node.request(to, 7, b"", Duration::from_millis(300), now)));
    world.run(1_000);
    assert_eq!(world.places[0].host.answers[&ids[2]], Err(Cause::TimedOut));
    let nobody = NodeId([9; 16]);
    world.input(0, |node, now, _| {
        assert_eq!(node.request(nobody, 7, b"", Duration::from_secs(1), now), Err(Cause::NodeDown));
    });
    // Who has the refusal gets no answer besides.
    world.run(2_000);
    assert_eq!(world.places[0].host.answers.len(), ids.len());
}

#[test]
fn large_tables_and_maps_arrive_whole_while_they_change() {
    let mut world = World::new(3, 13);
    for i in 0..20_000 {
        world.route(0, &format!("topic/number/{i}"), Some("1"));
    }
    for i in 0..5_000 {
        world.retain(0, &format!("m/{i}"), Some("some value of some length"));
    }
    for joiner in [1, 2] {
        let name = world.places[0].name.clone();
        let id = world.command(joiner, Command::Join(name));
        for i in 0..400 {
            world.route(0, &format!("topic/number/{}", i * 37), None);
            world.route(0, &format!("more/{joiner}/{i}"), Some("2"));
            world.run(3);
        }
        assert_eq!(world.places[joiner].host.replies.get(&id), Some(&Outcome::Done));
    }
    world.run(3_000);
    world.assert_one_cluster(&[0, 1, 2]);
    assert!(!world.places[1].host.events.iter().any(|event| matches!(event, Event::Repair { .. })));
}

#[test]
fn a_member_under_another_name_refuses_and_one_that_is_alone_may_be_renamed() {
    let world = cluster(2, 14);
    let mut fx = super::world::Host::default();
    let setup = |name: &str, node: &Node| Setup {
        name: NodeName::parse(name).expect("a name"),
        state: Some(node.own.encode()),
        seed: [1; 32],
        tables: vec![ROUTES],
        maps: vec![RETAINED],
        autoclean: None,
        autoheal: true,
    };
    let refused = Node::new(setup("other@h", world.node(0)), Now::default(), &mut fx).err().expect("refused");
    assert!(refused.to_string().contains("leave"), "{refused}");
    let alone = World::new(1, 15);
    let renamed = Node::new(setup("other@h", alone.node(0)), Now::default(), &mut fx).expect("renamed");
    assert_eq!(renamed.status().running, [NodeName::parse("other@h").expect("a name")]);
    let mut broken = setup("n0@h", alone.node(0));
    broken.state = Some(vec![1, 2, 3]);
    assert_eq!(Node::new(broken, Now::default(), &mut fx).err(), Some(StartError::Unreadable));
}

#[test]
fn a_node_that_lost_its_disk_takes_its_name_back_only_when_the_old_one_is_stopped() {
    let mut world = cluster(3, 16);
    world.kill(2);
    world.places[2].host = super::world::Host::default();
    world.run(2_000);
    world.start(2);
    world.run(3_000);
    assert_eq!(world.node(0).status().stopped, [world.places[2].name.clone()]);
    assert_eq!(world.join(2, 0), Outcome::Done);
    world.run(1_000);
    world.assert_one_cluster(&[0, 1, 2]);
}

#[test]
fn any_sequence_of_faults_heals() {
    for seed in seeds(40) {
        let mut world = cluster(4, 100 + seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut running = [true; 4];
        for step in 0..25 {
            let i = rng.random_range(0..4);
            match rng.random_range(0..8) {
                0 if running[i] => {
                    world.kill(i);
                    running[i] = false;
                }
                1 if !running[i] => {
                    world.start(i);
                    running[i] = true;
                }
                2 => world.cut(&[i], &[(i + 1) % 4]),
                3 => world.mend(),
                4 => world.break_wires(|a, b| a == i || b == i),
                5 if running[i] => {
                    world.retain(i, &format!("k{}", rng.random_range(0..5)), Some(&format!("{step}")))
                }
                6 if running[i] => {
                    world.route(i, &format!("r{}", rng.random_range(0..5)), Some(&format!("{step}")))
                }
                7 if running[i] => world.route(i, &format!("r{}", rng.random_range(0..5)), None),
                _ => {}
            }
            world.run(rng.random_range(0..1_500));
        }
        world.mend();
        for (i, runs) in running.iter().enumerate() {
            if !runs {
                world.start(i);
            }
        }
        world.run(5_000);
        world.assert_one_cluster(&[0, 1, 2, 3]);
    }
}

#[test]
fn hostile_frames_change_nothing_and_never_panic() {
    let mut world = cluster(2, 17);
    let from = world.node(1).identity().id;
    let mut rng = StdRng::seed_from_u64(1);
    for kind in 16..=60u8 {
        if matches!(kind, frame::BYE | frame::APART | frame::JOIN_ASK) {
            continue;
        }
        for _ in 0..50 {
            let body: Vec<u8> = (0..rng.random_range(0..80)).map(|_| rng.random_range(0..9)).collect();
            world.input(1, |node, _, _| {
                let _ = node.say(node.peers.keys().next().copied().unwrap_or(from), kind, &body);
            });
        }
        world.run(50);
    }
    world.run(4_000);
    world.assert_one_cluster(&[0, 1]);
}

/// How many seeds a random test runs: a few, unless asked for more.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("CLUSTER_SEEDS").ok().and_then(|text| text.parse().ok());
    0..asked.unwrap_or(few)
}

#[test]
fn whoever_joins_leaves_and_is_forced_out_amid_faults_all_agree_in_the_end() {
    for seed in seeds(30) {
        let mut world = World::new(4, 1_000 + seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut running = [true; 4];
        for _ in 0..25 {
            let (i, j) = (rng.random_range(0..4), rng.random_range(0..4));
            let name = world.places[j].name.clone();
            match rng.random_range(0..12) {
                0 if running[i] => {
                    world.kill(i);
                    running[i] = false;
                }
                1 if !running[i] => {
                    world.start(i);
                    running[i] = true;
                }
                2 => world.cut(&[i], &[j]),
                3 => world.cut_one_way(i, j),
                4 => world.mend(),
                5 => world.break_wires(|a, b| a == i || b == i),
                6..9 => {
                    world.command(i, Command::Join(name));
                }
                9 => {
                    world.command(i, Command::Leave);
                }
                10 => {
                    world.command(i, Command::ForceLeave(name));
                }
                _ if running[i] => world.retain(i, &format!("k{j}"), Some(&format!("{seed}"))),
                _ => {}
            }
            world.run(rng.random_range(0..1_500));
        }
        world.mend();
        for (i, runs) in running.iter().enumerate() {
            if !runs {
                world.start(i);
            }
        }
        world.run(25_000);
        for i in 0..4 {
            let running = world.node(i).status().running;
            let group: Vec<_> = (0..4).filter(|j| running.contains(&world.places[*j].name)).collect();
            assert!(group.contains(&i), "seed {seed}");
            world.assert_one_cluster(&group);
        }
    }
}

/// Bytes and parcels that a node of an idle cluster sends in a second.
fn talk(count: usize) -> (f64, f64) {
    let mut world = cluster(count, 3);
    world.run(5_000);
    let before = (world.bytes, world.parcels);
    world.run(10_000);
    let each = |sum: u64| sum as f64 / 10.0 / count as f64;
    (each(world.bytes - before.0), each(world.parcels - before.1))
}

#[test]
fn an_idle_cluster_of_twenty_says_little() {
    let (bytes, parcels) = talk(20);
    assert!(
        bytes < 20_000.0 && parcels < 400.0,
        "a node sends {bytes:.0} bytes in {parcels:.0} parcels a second"
    );
}

#[test]
#[ignore = "figures for docs/scale.md"]
fn what_idle_clusters_say() {
    for count in [3, 10, 20, 50, 100] {
        let (bytes, parcels) = talk(count);
        println!("| {count} | {bytes:.0} | {parcels:.0} |");
    }
}
