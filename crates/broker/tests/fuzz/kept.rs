//! Lists that were worth a look. New ones are made of these too.

use crate::op::{Hello, Left, Op, Rules, Sent, Wanted};

const V5: Hello = Hello {
    v5: true,
    clean: false,
    expiry: 60,
    keep_alive: 0,
    receive_max: 0,
    alias_max: 0,
    packet_max: 0,
    will: None,
};
const V3: Hello = Hello { v5: false, expiry: 0, ..V5 };
const QOS1: Sent =
    Sent { qos: 1, retain: false, dup: false, empty: false, expiry: None, alias: 0, nameless: false };
const QOS0: Sent = Sent { qos: 0, ..QOS1 };
const QOS2: Sent = Sent { qos: 2, ..QOS1 };

fn want(qos: u8) -> Wanted {
    Wanted { qos, ..Wanted::default() }
}

pub fn lists() -> Vec<(Rules, Vec<Op>)> {
    let (a, b) = (0, 1);
    let rules = Rules::default();
    let will = Left { topic: "t", qos: 1, retain: true, delay: 1 };
    let publish = |at, topic, packet_id, how| Op::Publish { at, topic, packet_id, how };
    vec![
        // Both take the same client id from one another, with messages on their way.
        (
            rules,
            vec![
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Subscribe { at: a, filter: "t/#", how: want(2) },
                publish(a, "t", 1, QOS2),
                publish(a, "t/under", 2, QOS1),
                publish(a, "t", 3, QOS1),
                Op::Connect { at: b, id: "a", how: V3 },
                Op::Answer { at: b, nth: 0 },
                Op::Answer { at: b, nth: 0 },
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Answer { at: a, nth: 1 },
                Op::Answer { at: a, nth: 0 },
                Op::Answer { at: a, nth: 0 },
            ],
        ),
        // A will that is delayed, retained, and dropped when its client is back in time.
        (
            rules,
            vec![
                Op::Connect { at: a, id: "a", how: Hello { will: Some(will), ..V5 } },
                Op::Lose { at: a },
                Op::Wait { ms: 700 },
                Op::Connect { at: a, id: "a", how: Hello { will: Some(will), ..V5 } },
                Op::Lose { at: a },
                Op::Wait { ms: 1100 },
                Op::Connect { at: b, id: "b", how: V3 },
                Op::Subscribe { at: b, filter: "#", how: want(1) },
            ],
        ),
        // A group of both; one ends with what it has not acknowledged.
        (
            rules,
            vec![
                Op::Connect { at: a, id: "a", how: Hello { expiry: 0, ..V5 } },
                Op::Connect { at: b, id: "b", how: V5 },
                Op::Subscribe { at: a, filter: "$share/g/t", how: want(1) },
                Op::Subscribe { at: b, filter: "$share/g/t", how: want(2) },
                publish(b, "t", 1, QOS1),
                publish(b, "t", 2, QOS2),
                publish(b, "t", 1, QOS1),
                Op::Disconnect { at: a, reason: 0, expiry: None },
                Op::Answer { at: b, nth: 0 },
            ],
        ),
        // A queue that overflows while its client is away.
        (
            rules,
            vec![
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Subscribe { at: a, filter: "+", how: want(1) },
                Op::Lose { at: a },
                Op::Connect { at: b, id: "b", how: V3 },
                publish(b, "t", 1, QOS1),
                publish(b, "voice", 1, QOS2),
                publish(b, "t", 2, QOS1),
                publish(b, "voice", 1, QOS1),
                publish(b, "t", 3, Sent { qos: 0, expiry: Some(1), ..QOS1 }),
                Op::Connect { at: a, id: "a", how: Hello { receive_max: 1, ..V5 } },
                Op::Answer { at: a, nth: 0 },
                Op::Answer { at: a, nth: 0 },
            ],
        ),
        // A QoS 2 message that nobody releases, of a client that nothing else has looked at.
        (
            rules,
            vec![
                Op::Connect { at: a, id: "a", how: V5 },
                publish(a, "t", 1, QOS2),
                Op::Wait { ms: 6000 },
                publish(a, "t", 1, QOS2),
            ],
        ),
        // Messages that are upgraded, where those of QoS 0 do not wait.
        (
            Rules { upgrade_qos: true, store_qos0: false, ..rules },
            vec![
                Op::Connect { at: a, id: "a", how: Hello { receive_max: 1, ..V5 } },
                Op::Subscribe { at: a, filter: "$share/g/#", how: want(0) },
                publish(a, "t/under", 1, QOS1),
                publish(a, "t", 1, Sent { expiry: Some(3), ..QOS2 }),
                Op::Lose { at: a },
                Op::Connect { at: b, id: "a", how: V3 },
                Op::Answer { at: b, nth: 0 },
            ],
        ),
        // A session of a group ends with a message that has waited too long for the other member.
        (
            Rules { shared_ack: true, inflight_max: 1, ..rules },
            vec![
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Subscribe { at: a, filter: "$share/g/#", how: want(1) },
                Op::Connect { at: b, id: "b", how: V5 },
                publish(b, "t", 3, Sent { expiry: Some(0), ..QOS1 }),
                Op::Subscribe { at: b, filter: "$share/g/#", how: want(1) },
                Op::Connect { at: a, id: "a", how: Hello { clean: true, ..V3 } },
            ],
        ),
        // Topics that are named by number in both directions, one of them set anew, and one that is not known.
        (
            rules,
            vec![
                Op::Connect { at: a, id: "a", how: Hello { alias_max: 1, ..V5 } },
                Op::Subscribe { at: a, filter: "#", how: want(1) },
                publish(a, "voice", 1, Sent { alias: 1, ..QOS1 }),
                publish(a, "t", 2, Sent { alias: 1, nameless: true, ..QOS1 }),
                Op::Answer { at: a, nth: 0 },
                publish(a, "t/under", 1, Sent { qos: 2, alias: 1, ..QOS1 }),
                publish(a, "t/under", 1, Sent { qos: 2, alias: 1, nameless: true, dup: true, ..QOS1 }),
                Op::Lose { at: a },
                Op::Connect { at: a, id: "a", how: Hello { alias_max: 1, ..V5 } },
                publish(a, "voice", 3, QOS0),
                publish(a, "voice", 3, Sent { qos: 0, alias: 1, nameless: true, ..QOS1 }),
            ],
        ),
        // A client that takes less than it did, and then not even the answers.
        (
            Rules { awaiting_rel_max: 0, alias_max: 0, ..rules },
            vec![
                Op::Connect { at: b, id: "b", how: V5 },
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Subscribe { at: a, filter: "#", how: want(1) },
                publish(b, "t/under", 1, QOS1),
                publish(b, "t", 1, QOS1),
                publish(b, "t/under", 2, QOS1),
                Op::Lose { at: a },
                Op::Connect { at: a, id: "a", how: Hello { packet_max: 4, ..V5 } },
                Op::Connect { at: a, id: "a", how: Hello { packet_max: 11, ..V5 } },
                Op::Connect { at: a, id: "a", how: Hello { packet_max: 5, expiry: 0, ..V5 } },
                Op::Subscribe { at: a, filter: "t", how: want(1) },
            ],
        ),
        // A session goes on behind another mountpoint, which begins like the one before.
        (
            Rules { mounts: ["m/n/", "m/"], ..rules },
            vec![
                Op::Connect { at: a, id: "a", how: Hello { will: Some(will), ..V5 } },
                Op::Subscribe { at: a, filter: "#", how: want(1) },
                publish(a, "t", 1, QOS1),
                Op::Connect { at: b, id: "a", how: V5 },
                publish(b, "t", 2, QOS1),
                Op::Unsubscribe { at: b, filter: "#" },
                Op::Subscribe { at: b, filter: "#", how: want(1) },
                publish(b, "t/under", 3, QOS1),
                Op::Answer { at: b, nth: 0 },
                Op::Answer { at: b, nth: 0 },
            ],
        ),
        // A queue of priorities that is looked at while the window is full.
        (
            Rules { inflight_max: 1, queue_max: 1, priorities: &[("t", 2), ("voice", 1)], ..rules },
            vec![
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Subscribe { at: a, filter: "#", how: want(1) },
                publish(a, "voice", 1, QOS1),
                publish(a, "voice", 1, QOS1),
                Op::Subscribe { at: a, filter: "t", how: Wanted { handling: 2, ..want(1) } },
                publish(a, "voice", 1, QOS1),
                publish(a, "t", 1, QOS1),
                Op::Answer { at: a, nth: 0 },
                Op::Answer { at: a, nth: 0 },
            ],
        ),
        // More than a turn of the greater priority waits.
        (
            Rules { queue_max: 0, priorities: &[("t", 1)], others_first: false, ..rules },
            [
                vec![
                    Op::Connect { at: a, id: "a", how: V5 },
                    Op::Subscribe { at: a, filter: "#", how: want(1) },
                    Op::Lose { at: a },
                    Op::Connect { at: b, id: "b", how: V5 },
                    publish(b, "voice", 1, QOS0),
                ],
                vec![publish(b, "t", 1, QOS0); 12],
                vec![publish(b, "voice", 1, QOS0), Op::Connect { at: a, id: "a", how: V3 }],
            ]
            .concat(),
        ),
        // Of two members with full windows one has room for messages of that priority.
        (
            Rules { shared_ack: true, inflight_max: 1, queue_max: 1, priorities: &[("t", 1)], ..rules },
            vec![
                Op::Connect { at: a, id: "a", how: V5 },
                Op::Connect { at: b, id: "b", how: V5 },
                // Without it the choice falls on that one anyway.
                Op::Ping { at: a },
                Op::Subscribe { at: a, filter: "voice", how: want(1) },
                publish(b, "voice", 1, QOS1),
                publish(b, "voice", 1, QOS1),
                Op::Subscribe { at: b, filter: "t", how: want(1) },
                publish(a, "t", 1, QOS1),
                publish(a, "t", 1, QOS1),
                Op::Subscribe { at: a, filter: "$share/g/#", how: want(1) },
                Op::Subscribe { at: b, filter: "$share/g/#", how: want(1) },
                Op::Unsubscribe { at: b, filter: "t" },
                publish(b, "t", 1, QOS1),
            ],
        ),
    ]
}
