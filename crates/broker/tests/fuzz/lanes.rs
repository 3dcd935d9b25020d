//! What comes on a data lane from a peer: recorded frames, changed at random, in pieces of any length. No
//! bytes make anything panic or grow, what makes no sense ends the connection with a reason, and clients get
//! whole packets whatever their peer was made to forward. What nodes say of a session that moves is changed
//! in the same way.

use broker::routes::{Change, GroupCount, Place};
use broker::told_client;
use cluster::Now;
use cluster::bus::lane::{KIND_MIN, Lane, LaneError, Limits, Sink};

use crate::harness::{Random, fuzz};
use crate::op::{Hello, Op, Rules, Sent, Wanted};
use crate::real::Real;

/// As those of a shard, and small, so that a frame can be too long.
const LIMITS: Limits = Limits { buffer_bytes_max: 4096, frame_bytes_max: 2048 };
const PEER: Place = Place::peer(0);
const OTHER: Place = Place::peer(1);
const KEPT: Hello = Hello {
    v5: true,
    clean: false,
    expiry: 60,
    keep_alive: 0,
    receive_max: 0,
    alias_max: 0,
    packet_max: 0,
    will: None,
};
/// It does not even take the CONNACK, and its session ends with it.
const DEAF: Hello = Hello { expiry: 0, packet_max: 4, ..KEPT };

/// The frames that came.
#[derive(Default, PartialEq, Debug)]
struct Frames(Vec<Vec<u8>>);

impl Sink for Frames {
    fn frame(&mut self, kind: u8, body: &[u8]) {
        if kind == KIND_MIN {
            self.0.push(body.to_vec());
        }
    }
}

/// One end of a lane after a connection that said these bytes in pieces of at most so many.
fn heard(bytes: &[u8], piece: usize) -> (Lane, Frames, Result<(), LaneError>) {
    let (mut lane, mut frames) = (Lane::new(2, LIMITS), Frames::default());
    lane.connected();
    for piece in bytes.chunks(piece) {
        if let Err(why) = lane.receive(piece, Now::new(0, 0), &mut frames) {
            return (lane, frames, Err(why));
        }
    }
    (lane, frames, Ok(()))
}

/// What the other end writes when it has these frames to send.
fn stream_of(epoch: u64, frames: &[Vec<u8>]) -> Vec<u8> {
    let (mut here, mut there) = (Lane::new(epoch, LIMITS), Lane::new(2, LIMITS));
    for frame in frames {
        here.push(KIND_MIN, frame).unwrap();
    }
    here.connected();
    there.connected();
    let mut all = Vec::new();
    for _ in 0..4 {
        let bytes = here.to_write().to_vec();
        here.wrote(bytes.len());
        all.extend_from_slice(&bytes);
        let back = there.to_write().to_vec();
        there.wrote(back.len());
        here.receive(&back, Now::new(0, 0), &mut Frames::default()).unwrap();
    }
    all
}

/// What one node sends another: frames of messages, and the words of a session that moves there and back.
fn recorded() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut here, mut there) = (Real::new(&Rules::default(), 1), Real::new(&Rules::default(), 2));
    for filter in ["t", "t/under"] {
        here.machines[0].driver.interest.apply(&Change::Add { place: PEER, filter: filter.into() });
    }
    let count = GroupCount { members: 2, online: 2 };
    here.machines[0].driver.interest.apply(&Change::Members { place: PEER, key: "$share/g/t".into(), count });
    for node in [&mut here, &mut there] {
        node.machines[0].driver.interest.apply(&Change::NodeKey { place: PEER, key: 7 });
    }
    here.step(&Op::Connect { at: 0, id: "a", how: KEPT }, "");
    here.step(&Op::Subscribe { at: 0, filter: "#", how: Wanted { qos: 2, ..Wanted::default() } }, "");
    for qos in 0..3 {
        let how = Sent { qos, retain: qos == 1, expiry: Some(u32::from(qos)), ..Sent::default() };
        here.step(&Op::Publish { at: 0, topic: "t", packet_id: 1, how }, "payload");
        here.step(&Op::Publish { at: 0, topic: "t/under", packet_id: 2, how }, "payload");
    }
    there.claimed(PEER, "a");
    there.step(&Op::Wait { ms: 10 }, "");
    there.step(&Op::Connect { at: 0, id: "a", how: KEPT }, "");
    let mut words = Vec::new();
    for _ in 0..8 {
        for node in [&mut here, &mut there] {
            node.step(&Op::Wait { ms: 50 }, "");
        }
        let (from_here, from_there) = (
            std::mem::take(&mut here.machines[0].driver.told),
            std::mem::take(&mut there.machines[0].driver.told),
        );
        for (_, bytes) in from_there {
            here.told(PEER, &bytes);
            words.push(bytes);
        }
        for (_, bytes) in from_here {
            there.told(PEER, &bytes);
            words.push(bytes);
        }
    }
    let frames = std::mem::take(&mut here.machines[0].driver.frames)
        .into_iter()
        .map(|(_, frame)| frame)
        .collect::<Vec<_>>();
    assert!(frames.len() >= 6 && words.len() >= 4, "{} frames, {} words", frames.len(), words.len());
    (frames, words)
}

/// The sample with some bytes changed, and parts of it again, or of itself elsewhere.
fn change(random: &mut Random, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=random.below(5) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            3 => bytes.insert(at, random.one(&[0, 1, 2, 16, 17, 0x7f, 0xff])),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            5 => bytes.truncate(at),
            _ => {
                let (from, to) = (random.below(sample.len()), random.below(sample.len()));
                let part = sample[from.min(to)..from.max(to)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// A node with a client of each version that wants everything, and one that is away.
fn node() -> Real {
    let mut node = Real::new(&Rules { queue_max: 5, ..Rules::default() }, 3);
    node.machines[0].driver.interest.apply(&Change::NodeKey { place: PEER, key: 7 });
    for (at, id, how) in [(0, "a", KEPT), (1, "b", Hello { v5: false, expiry: 0, ..KEPT })] {
        node.step(&Op::Connect { at, id, how }, "");
        for filter in ["#", "$SYS/+", "$share/g/t"] {
            node.step(&Op::Subscribe { at, filter, how: Wanted { qos: 2, ..Wanted::default() } }, "");
        }
    }
    node
}

/// A session that comes from a peer, with any bytes in place of what it kept: the client is served all the
/// same, and what it gets are packets. Where `ask` is given another node wants the session meanwhile, and the
/// client comes again.
fn must_come(whole: &[u8], kept: &[u8], how: Hello, ask: Option<&[u8]>) {
    let mut node = Real::new(&Rules { queue_max: 5, ..Rules::default() }, 4);
    node.machines[0].driver.interest.apply(&Change::NodeKey { place: PEER, key: 7 });
    node.claimed(PEER, "a");
    let first = if ask.is_some() { KEPT } else { how };
    node.step(&Op::Connect { at: 0, id: "a", how: first }, "");
    let (_, asked) = node.machines[0].driver.told.pop().unwrap();
    if let Some(ask) = ask {
        node.told(OTHER, ask);
        node.step(&Op::Connect { at: 0, id: "a", how }, "");
    }
    // The client id, the number of the question, the kind of answer, and that there is one.
    let (head, length) = (4, 14);
    assert_eq!(asked[..head], whole[..head]);
    let mut word = whole[..length].to_vec();
    word[head..head + 8].copy_from_slice(&asked[head..head + 8]);
    word.extend_from_slice(&(kept.len() as u32).to_be_bytes());
    word.extend_from_slice(kept);
    node.told(PEER, &word);
    node.step(&Op::Connect { at: 1, id: "b", how: KEPT }, "");
    let is_served = node.shown().iter().any(|s| s.id == "a" && s.connected);
    assert!(is_served || ask.is_some() || how != KEPT, "it has waited for nothing else");
    for nth in 0..6 {
        node.step(&Op::Publish { at: 1, topic: "t/under", packet_id: 1, how: Sent::default() }, "m");
        if let Some(op) = node.resolve(Op::Answer { at: 0, nth }) {
            node.step(&op, "");
        }
        node.step(&Op::Wait { ms: 10_000 }, "");
    }
}

fn must_stand(bytes: &[u8], piece: usize, node: &mut Real) {
    let (mut lane, frames, outcome) = heard(bytes, piece);
    let (_, whole, same) = heard(bytes, usize::MAX);
    assert_eq!((&frames, outcome), (&whole, same), "it does not matter how bytes come");
    assert!(lane.unfinished() <= LIMITS.frame_bytes_max + 4, "{}", lane.unfinished());
    assert!(lane.backlog() == 0 && lane.to_write().len() <= 64, "{}", lane.to_write().len());
    for frame in &frames.0 {
        node.forwarded(PEER, frame);
        // Looks whether what the clients got are packets.
        node.take_out();
    }
    assert!(node.shown().iter().all(|s| s.queue <= 5), "the queues have their limit");
    // A node that begins anew on the same lane is heard whatever was before it.
    lane.disconnected();
    lane.connected();
    let mut frames = Frames::default();
    let good = stream_of(0x5EED_0000_5EED_0000, &[vec![1], vec![2; 500]]);
    lane.receive(&good, Now::new(0, 0), &mut frames).unwrap();
    assert_eq!(frames.0, [vec![1], vec![2; 500]]);
}

#[test]
fn what_was_kept_of_lanes_holds() {
    let (frames, words) = recorded();
    let good = stream_of(1, &frames);
    assert_eq!(heard(&good, 7).1.0, frames);
    let whole = words.iter().max_by_key(|word| word.len()).unwrap();
    // What is asked for first.
    let ask = &words[0];
    for (how, ask) in [(KEPT, None), (KEPT, Some(&ask[..])), (DEAF, None), (DEAF, Some(ask))] {
        must_come(whole, &whole[18..], how, ask);
        must_come(whole, b"", how, ask);
    }
    let resume = "0000001901 0000000000000001 0000000000000000 0000000000000000";
    let start = "0000000902 0000000000000000";
    let table = [
        ("a length of 0", "00000000", LaneError::Malformed),
        ("a frame that is too long", "00000801", LaneError::FrameTooLong),
        ("as long as can be said", "ffffffff", LaneError::FrameTooLong),
        ("a message first", "0000000210 00", LaneError::Malformed),
        ("where it goes on, first", start, LaneError::Malformed),
        ("what it has taken, cut", "0000000901 0000000000000001", LaneError::Malformed),
        ("twice what it has taken", &format!("{resume}{resume}"), LaneError::Malformed),
        ("twice where it goes on", &format!("{resume}{start}{start}"), LaneError::Malformed),
        ("where it goes on, cut", &format!("{resume}0000000302 0000"), LaneError::Malformed),
        (
            "a message before it said where it goes on",
            &format!("{resume}0000000210 00"),
            LaneError::Malformed,
        ),
        (
            "taken what was never sent",
            &format!("{resume}{start}0000000900 0000000000000001"),
            LaneError::Malformed,
        ),
        ("an acknowledgement, cut", &format!("{resume}{start}0000000200 00"), LaneError::Malformed),
    ];
    let mut node = node();
    for (name, text, why) in table {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let of = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(of).collect();
        assert_eq!(heard(&bytes, 3).2, Err(why), "{name}");
        must_stand(&bytes, 1, &mut node);
    }
    for cut in 0..good.len() {
        assert_eq!(heard(&good[..cut], 5).2, Ok(()), "what is only cut may go on");
    }
}

#[test]
fn data_lanes_stand_whatever_a_peer_sends() {
    let (frames, words) = recorded();
    let good = stream_of(1, &frames);
    let mut node = node();
    fuzz("data lanes", 3_000, |random| {
        match random.below(5) {
            2 => {
                let whole = words.iter().max_by_key(|word| word.len()).unwrap();
                let how = random.one(&[KEPT, KEPT, DEAF]);
                let ask = (random.below(3) == 0).then_some(&words[0][..]);
                must_come(whole, &change(random, &whole[18..]), how, ask);
            }
            // The lane is sound and what it brings is not.
            0 => {
                let frames: Vec<Vec<u8>> = frames.iter().map(|frame| change(random, frame)).collect();
                must_stand(
                    &stream_of(1, &frames[random.below(frames.len())..]),
                    1 + random.below(99),
                    &mut node,
                );
            }
            1 => {
                let word = random.below(words.len());
                let word = change(random, &words[word]);
                // Whoever finds the client's home on this node, and the client itself.
                let _ = told_client(&word);
                node.told(PEER, &word);
                node.step(&Op::Wait { ms: 40 }, "");
            }
            _ => must_stand(&change(random, &good), 1 + random.below(99), &mut node),
        }
        assert!(node.shown().len() <= 2, "nobody else comes in that way");
        node.machines[0].driver.frames.clear();
        node.machines[0].driver.told.clear();
        if random.below(200) == 0 {
            node = self::node();
        }
    });
}
