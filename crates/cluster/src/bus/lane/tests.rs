use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

#[derive(Default)]
struct Seen {
    frames: Vec<(u8, Vec<u8>)>,
    resumed: Vec<Resumed>,
}

impl Sink for Seen {
    fn frame(&mut self, kind: u8, body: &[u8]) {
        self.frames.push((kind, body.to_vec()));
    }
    fn resumed(&mut self, resumed: Resumed) {
        self.resumed.push(resumed);
    }
}

struct Pair {
    a: Lane,
    b: Lane,
    at_a: Seen,
    at_b: Seen,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        Self {
            a: Lane::new(1, limits),
            b: Lane::new(2, limits),
            at_a: Seen::default(),
            at_b: Seen::default(),
        }
    }

    fn connect(&mut self) {
        self.a.connected();
        self.b.connected();
    }

    fn disconnect(&mut self) {
        self.a.disconnected();
        self.b.disconnected();
    }

    /// Moves at most so many bytes each way; yields whether anything moved.
    fn step(&mut self, most: usize, now: u64) -> bool {
        let now = Now::new(now, 0);
        self.a.expire(now);
        self.b.expire(now);
        let ab = self.a.to_write().iter().take(most).copied().collect::<Vec<_>>();
        self.a.wrote(ab.len());
        self.b.receive(&ab, now, &mut self.at_b).expect("sound");
        let ba = self.b.to_write().iter().take(most).copied().collect::<Vec<_>>();
        self.b.wrote(ba.len());
        self.a.receive(&ba, now, &mut self.at_a).expect("sound");
        !ab.is_empty() || !ba.is_empty()
    }

    fn settle(&mut self) {
        for now in 0..1_000_000 {
            if !self.step(4096, now * 100) && self.a.wake_at().is_none() && self.b.wake_at().is_none() {
                return;
            }
        }
        panic!("does not settle");
    }
}

#[test]
fn frames_arrive_in_order_and_are_let_go_when_acknowledged() {
    let mut pair = Pair::new(Limits::default());
    pair.a.push(20, b"before the first connection").expect("room");
    pair.connect();
    for i in 0..1000u32 {
        pair.a.push(16, &i.to_be_bytes()).expect("room");
        pair.b.push(17, b"").expect("room");
    }
    pair.settle();
    assert_eq!(pair.at_b.frames.len(), 1001);
    assert_eq!(pair.at_b.frames[1000], (16, 999u32.to_be_bytes().to_vec()));
    assert_eq!(pair.at_a.frames.len(), 1000);
    assert_eq!((pair.a.backlog(), pair.b.backlog()), (0, 0));
}

#[test]
fn broken_connections_lose_and_double_nothing() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new(Limits { buffer_bytes_max: 2_000, frame_bytes_max: 1_000 });
        let (mut sent_a, mut sent_b) = (Vec::new(), Vec::new());
        let mut up = false;
        for now in 0..2_000u64 {
            match rng.random_range(0..40) {
                0 => {
                    // One end may notice the break, and even the next connection, before the other.
                    pair.disconnect();
                    up = false;
                }
                1 | 2 if !up => {
                    pair.connect();
                    up = true;
                }
                3..20 => {
                    let body = vec![rng.random::<u8>(); rng.random_range(0..200)];
                    let kind = rng.random_range(16..=255);
                    if pair.a.push(kind, &body).is_ok() {
                        sent_a.push((kind, body.clone()));
                    }
                    if rng.random_bool(0.3) && pair.b.push(kind, &body).is_ok() {
                        sent_b.push((kind, body));
                    }
                }
                _ if up => {
                    pair.step(rng.random_range(1..300), now * 7);
                }
                _ => {}
            }
            assert!(pair.a.backlog() < 2_000 + 1_000, "bounded");
        }
        if !up {
            pair.connect();
        }
        pair.settle();
        assert!(pair.at_b.frames == sent_a, "seed {seed}");
        assert!(pair.at_a.frames == sent_b, "seed {seed}");
        assert_eq!(pair.a.stats().lost + pair.b.stats().missed, 0);
        assert_eq!(pair.a.stats().pushed, sent_a.len() as u64);
    }
}

#[test]
fn a_new_process_at_the_other_end_starts_fresh_and_the_loss_is_counted() {
    let mut pair = Pair::new(Limits::default());
    pair.connect();
    pair.settle();
    for _ in 0..3 {
        pair.a.push(16, b"x").expect("room");
        pair.settle();
    }
    pair.disconnect();
    pair.a.push(16, b"to the old one").expect("room");
    pair.b = Lane::new(3, Limits::default());
    pair.at_b.frames.clear();
    pair.connect();
    pair.a.push(16, b"also, it may be").expect("room");
    pair.settle();
    assert_eq!(pair.at_a.resumed.last(), Some(&Resumed { fresh: true, lost: 2 }));
    pair.a.push(16, b"to the new one").expect("room");
    pair.settle();
    assert_eq!(pair.at_b.frames, [(16, b"to the new one".to_vec())]);
    assert_eq!(pair.a.stats().lost, 2);
}

#[test]
fn what_is_pushed_for_the_new_end_before_it_has_connected_reaches_it() {
    let mut pair = Pair::new(Limits::default());
    assert_eq!(pair.a.renew(7), Ordering::Greater);
    pair.connect();
    pair.settle();
    pair.disconnect();
    pair.a.push(16, b"to the old one").expect("room");
    pair.b = Lane::new(3, Limits::default());
    assert_eq!(pair.a.renew(8), Ordering::Greater);
    pair.a.push(16, b"to the new one").expect("room");
    pair.connect();
    pair.settle();
    assert_eq!(pair.a.renew(8), Ordering::Equal, "that is the one it speaks with");
    assert_eq!(pair.a.renew(7), Ordering::Less, "news of the old one come late");
    pair.a.push(16, b"and more").expect("room");
    pair.settle();
    assert_eq!(pair.at_b.frames, [(16, b"to the new one".to_vec()), (16, b"and more".to_vec())]);
    assert_eq!(pair.a.stats().lost, 1);
}

#[test]
fn a_full_lane_refuses_and_counts() {
    let mut lane = Lane::new(1, Limits { buffer_bytes_max: 100, frame_bytes_max: 1_000 });
    lane.push(16, &[0; 500]).expect("an empty lane takes one");
    assert_eq!(lane.push(16, &[0; 1]), Err(Full));
    assert_eq!(lane.stats().refused, 1);
    assert_eq!(Lane::new(1, Limits::default()).push(16, &vec![0; 17 << 20]), Err(Full));
}

#[test]
fn hostile_bytes_never_panic_and_are_told() {
    let bad: [&[u8]; 6] = [
        &[0, 0, 0, 0],
        &[0xFF, 0xFF, 0xFF, 0xFF, 1],
        &[0, 0, 0, 1, 16],
        &[0, 0, 0, 3, 1, 0, 0],
        &[0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 9],
    ];
    for bytes in bad {
        let mut lane = Lane::new(1, Limits::default());
        lane.connected();
        assert!(lane.receive(bytes, Now::default(), &mut Seen::default()).is_err(), "{bytes:?}");
    }
    for seed in 0..2_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new(Limits::default());
        pair.connect();
        pair.settle();
        let noise: Vec<u8> = (0..rng.random_range(0..60)).map(|_| rng.random_range(0..20)).collect();
        let _ = pair.a.receive(&noise, Now::default(), &mut pair.at_a);
    }
}

#[test]
fn a_stream_of_frames_keeps_the_buffer_small() {
    let mut pair = Pair::new(Limits { buffer_bytes_max: 200_000, frame_bytes_max: 1_000 });
    pair.connect();
    let mut pushed = 0;
    for now in 0..5_000 {
        while pair.a.push(16, &[1; 500]).is_ok() {
            pushed += 1;
        }
        pair.step(20_000, now * 30);
    }
    pair.settle();
    assert_eq!(pair.at_b.frames.len(), pushed);
    assert!(pair.a.buffer.capacity() < 2_000_000, "{}", pair.a.buffer.capacity());
}

#[test]
fn who_sends_and_never_reads_makes_nothing_grow() {
    let mut pair = Pair::new(Limits::default());
    pair.b.push(16, b"is never acknowledged").expect("room");
    pair.connect();
    pair.settle();
    pair.b.push(16, b"stays").expect("room");
    let backlog = pair.b.backlog();
    let mut stream = Vec::new();
    for _ in 0..1_000 {
        header(&mut stream, 16, 1_000);
        stream.resize(stream.len() + 1_000, 0);
    }
    for now in 0..100 {
        pair.b.receive(&stream, Now::new(now * 1_000, 0), &mut pair.at_b).expect("sound");
        pair.b.expire(Now::new(now * 1_000 + 500, 0));
        // Part of a frame is taken, then nothing more for a long time.
        let some = pair.b.to_write().len().min(3);
        pair.b.wrote(if now == 50 { some } else { 0 });
        assert_eq!(pair.b.backlog(), backlog);
        assert!(pair.b.ack.len() <= HEADER + 8 && pair.b.unfinished() == 0);
    }
    assert_eq!(pair.at_b.frames.len(), 100_000);
}

#[test]
fn acknowledgements_go_between_frames_however_little_is_written_at_a_time() {
    let mut pair = Pair::new(Limits::default());
    pair.connect();
    for n in 0..200u32 {
        pair.a.push(16, &vec![1; 3_000 + n as usize]).expect("room");
        pair.b.push(17, &vec![2; 2_000 + n as usize]).expect("room");
    }
    let mut now = 0;
    while pair.a.backlog() + pair.b.backlog() > 0 || pair.a.wake_at().is_some() || pair.b.wake_at().is_some()
    {
        now += 3;
        pair.step(7 + now as usize % 900, now);
        assert!(now < 3_000_000, "does not settle");
    }
    assert_eq!((pair.at_a.frames.len(), pair.at_b.frames.len()), (200, 200));
    assert!(pair.at_b.frames.iter().zip(0u32..).all(|((_, body), n)| body.len() == 3_000 + n as usize));
}

#[test]
fn the_room_of_a_large_frame_is_given_back() {
    let mut pair = Pair::new(Limits { buffer_bytes_max: 8 << 20, frame_bytes_max: 8 << 20 });
    pair.connect();
    pair.a.push(16, &vec![0; 4 << 20]).expect("room");
    pair.settle();
    assert_eq!(pair.at_b.frames.len(), 1);
    assert!(pair.b.partial.capacity() <= PARTIAL_ROOM_MAX, "{}", pair.b.partial.capacity());
}

#[test]
fn a_lane_is_renewed_wherever_it_stands() {
    for bytes in 0..200 {
        let mut pair = Pair::new(Limits { buffer_bytes_max: 1 << 20, frame_bytes_max: 1 << 17 });
        pair.connect();
        pair.settle();
        // More than is kept in front of what waits.
        pair.a.push(16, &vec![1; 100_000]).expect("room");
        pair.settle();
        for _ in 0..20 {
            pair.a.push(16, &[1; 10]).expect("room");
        }
        pair.step(bytes, 1);
        assert_eq!(pair.a.renew(1), Ordering::Greater);
        pair.a.push(16, b"for the new one").expect("room");
        pair.b = Lane::new(3, Limits::default());
        pair.at_b = Seen::default();
        pair.connect();
        pair.settle();
        assert_eq!(pair.at_b.frames, [(16, b"for the new one".to_vec())]);
    }
}
