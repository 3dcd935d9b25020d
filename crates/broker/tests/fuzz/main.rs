//! What a shard is given by others: by two clients, and by the peers at the end of its data lanes
//! (`lanes.rs`). Here: lists of operations of two clients, done to the machines of one or two shards and to a slow, obvious
//! model of the broker: each client gets the same packets from both, in the same order, and both hold the same sessions
//! afterwards. As a plain test the kept lists and a fixed number of new ones; `make fuzz SECONDS=n` runs
//! that long. A list that fails is made as short as it goes and printed, to be kept.
#![allow(clippy::disallowed_types, reason = "the machine has no clock; whoever runs it for a time has one")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has to fail there")]

#[path = "../../../mqtt/tests/fuzz/harness.rs"]
mod harness;
mod kept;
mod lanes;
mod model;
mod op;
mod real;

use harness::{Random, fuzz};
use model::{Choices, Model};
use op::{Op, Rules};
use real::{Machine, Real};

/// Worlds that may be true at a time; a list that leaves more open is not followed to its end.
const WORLDS_MAX: usize = 200;

/// Does a list; says where the machine does what the model cannot.
fn run(rules: &Rules, ops: &[Op]) -> Result<(), String> {
    let mut real = Real::new(rules, ops.len() as u64);
    let mut worlds = vec![Model::new(*rules, real::START)];
    for (n, op) in ops.iter().enumerate() {
        // Nothing happens at the same time as something else, unless it was made so.
        for op in [Op::Wait { ms: 1 }, *op] {
            let Some(op) = real.resolve(op) else { continue };
            let payload = format!("m{n}");
            real.step(&op, &payload);
            let shown = real.shown();
            real.gauges_fit(&shown);
            let (mut after, mut refuted) = (Vec::<Model>::new(), Vec::new());
            for world in &worlds {
                let mut choices = Choices::default();
                loop {
                    let mut next = world.clone();
                    next.step(&op, &payload, &mut choices);
                    if next.out != real.out || next.shown() != shown {
                        refuted.push(next);
                    } else if !after.contains(&next) {
                        after.push(next);
                    }
                    if !choices.next() {
                        break;
                    }
                }
            }
            if after.is_empty() {
                let expected: Vec<String> =
                    refuted.iter().take(4).map(|m| format!("{:#?} {:?}", m.out, m.shown())).collect();
                return Err(format!(
                    "step {n}, {op:?}: the clients got {:#?} {shown:?}\nexpected is one of {}",
                    real.out,
                    expected.join("\nor ")
                ));
            }
            worlds = after;
            if worlds.len() > WORLDS_MAX {
                return Ok(());
            }
        }
    }
    let is_alone =
        |m: &Machine| m.driver.told.is_empty() && m.driver.frames.iter().all(|(place, _)| !place.is_peer());
    assert!(real.machines.iter().all(is_alone), "there is no other node");
    Ok(())
}

/// As `run`; a panic is a failure too.
fn outcome(rules: &Rules, ops: &[Op]) -> Result<(), String> {
    let done = std::panic::catch_unwind(|| run(rules, ops));
    done.unwrap_or_else(|_| Err("the machine panicked".to_owned()))
}

/// Fails with the shortest part of the list that still fails.
fn must_hold(rules: &Rules, ops: &[Op]) {
    if outcome(rules, ops).is_ok() {
        return;
    }
    std::panic::set_hook(Box::new(|_| {}));
    let mut ops = ops.to_vec();
    let mut at = 0;
    while at < ops.len() {
        let mut shorter = ops.clone();
        shorter.remove(at);
        match outcome(rules, &shorter) {
            Ok(()) => at += 1,
            Err(_) => (ops, at) = (shorter, 0),
        }
    }
    drop(std::panic::take_hook());
    let why = run(rules, &ops).expect_err("the shorter list fails too");
    let list: Vec<String> = ops.iter().map(|op| format!("    {op:?},\n")).collect();
    panic!("{rules:?}\n[\n{}]\n{why}", list.concat());
}

fn any_list(random: &mut Random, kept: &[(Rules, Vec<Op>)]) -> (Rules, Vec<Op>) {
    let length = 1 + random.below(60);
    if random.below(4) > 0 {
        return (Rules::any(random), (0..length).map(|_| Op::any(random)).collect());
    }
    let (mut rules, mut ops) = kept[random.below(kept.len())].clone();
    if random.below(2) == 0 {
        rules = Rules::any(random);
    }
    for _ in 0..=random.below(6) {
        let at = random.below(ops.len() + 1);
        match random.below(3) {
            0 if at < ops.len() => ops[at] = Op::any(random),
            1 if at < ops.len() => drop(ops.remove(at)),
            _ => ops.insert(at, Op::any(random)),
        }
    }
    ops.extend((0..random.below(20)).map(|_| Op::any(random)));
    (rules, ops)
}

#[test]
fn what_was_kept_holds() {
    for (rules, ops) in kept::lists() {
        for (shards, is_late) in [(1, false), (2, false), (2, true)] {
            must_hold(&Rules { shards, is_late, ..rules }, &ops);
        }
    }
}

#[test]
fn two_clients_get_what_the_model_says() {
    let kept = kept::lists();
    fuzz("two clients", 3_000, |random| {
        let (rules, ops) = any_list(random, &kept);
        must_hold(&rules, &ops);
    });
}
