use super::*;

fn local(name: &str, byte: u8, cookies: &[&str]) -> Local {
    Local {
        id: NodeId([byte; 16]),
        name: NodeName::parse(name).expect("a name"),
        incarnation: u64::from(byte),
        cluster: ClusterId { born_at: 9, id: NodeId([byte; 16]) },
        cookies: cookies.iter().map(|c| c.as_bytes().to_vec()).collect(),
        capabilities: 7,
    }
}

fn name(text: &str) -> NodeName {
    NodeName::parse(text).expect("a name")
}

/// Runs both sides against each other, `step` bytes at a time.
fn run(a: Local, b: Local, seeks: &str, step: usize) -> (Progress, Progress) {
    let mut to_b = Vec::new();
    let mut to_a = Vec::new();
    let mut a = Handshake::dial(a, name(seeks), Purpose::Data(3), [1; 32], Now::default(), &mut to_b);
    let mut b = Handshake::accept(b, [2; 32], Now::default());
    let (mut seen_a, mut seen_b) = (Progress::More, Progress::More);
    while !to_a.is_empty() || !to_b.is_empty() {
        for chunk in std::mem::take(&mut to_b).chunks(step) {
            if seen_b == Progress::More {
                seen_b = b.receive(chunk, &mut to_a);
            }
        }
        for chunk in std::mem::take(&mut to_a).chunks(step) {
            if seen_a == Progress::More {
                seen_a = a.receive(chunk, &mut to_b);
            }
        }
    }
    (seen_a, seen_b)
}

#[test]
fn both_sides_learn_who_is_there_however_the_bytes_arrive() {
    for step in [1, 7, 5_000] {
        let (a, b) = run(local("a@h", 1, &["s"]), local("b@h", 2, &["s"]), "b@h", step);
        let (Progress::Done { peer: b_seen, .. }, Progress::Done { peer: a_seen, .. }) = (a, b) else {
            panic!("not done")
        };
        assert_eq!((b_seen.name.as_str(), b_seen.id), ("b@h", NodeId([2; 16])));
        assert_eq!((a_seen.name.as_str(), a_seen.incarnation, a_seen.purpose), ("a@h", 1, Purpose::Data(3)));
        assert!(!a_seen.by_further_cookie);
    }
}

#[test]
fn a_wrong_cookie_is_named_on_both_sides() {
    let (a, b) = run(local("a@h", 1, &["s"]), local("b@h", 2, &["other"]), "b@h", 100);
    assert_eq!((a, b), (Progress::Close(Cause::BadCookie), Progress::Close(Cause::BadCookie)));
}

#[test]
fn a_further_cookie_is_enough_in_both_directions() {
    for (one, two) in [(["new", "old"].as_slice(), ["old"].as_slice()), (&["old"], &["new", "old"])] {
        let (a, b) = run(local("a@h", 1, one), local("b@h", 2, two), "b@h", 100);
        assert!(matches!(a, Progress::Done { .. }), "{a:?}");
        assert!(matches!(b, Progress::Done { .. }), "{b:?}");
    }
}

#[test]
fn another_name_than_the_one_sought_is_refused() {
    let (a, b) = run(local("a@h", 1, &["s"]), local("b@h", 2, &["s"]), "c@h", 100);
    assert_eq!((a, b), (Progress::Close(Cause::NameMismatch), Progress::Close(Cause::NameMismatch)));
}

#[test]
fn reaching_oneself_is_noticed() {
    let (a, _) = run(local("a@h", 1, &["s"]), local("a@h", 1, &["s"]), "a@h", 100);
    assert_eq!(a, Progress::Close(Cause::Myself));
}

#[test]
fn another_tls_channel_spoils_the_proof() {
    for (theirs, fits) in [("channel", true), ("other channel", false)] {
        let (mut said, mut answer) = (Vec::new(), Vec::new());
        let now = Now::default();
        let mut dialler =
            Handshake::dial(local("a@h", 1, &["s"]), name("b@h"), Purpose::Control, [1; 32], now, &mut said);
        let mut acceptor = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], now);
        dialler.bind(b"channel");
        acceptor.bind(theirs.as_bytes());
        acceptor.receive(&said, &mut answer);
        said.clear();
        dialler.receive(&answer, &mut said);
        let end = acceptor.receive(&said, &mut answer);
        assert_eq!(matches!(end, Progress::Done { .. }), fits, "{end:?}");
        assert!(fits || end == Progress::Close(Cause::BadCookie));
    }
}

#[test]
fn who_only_looks_learns_the_name_of_whoever_answers() {
    let (mut said, mut answer) = (Vec::new(), Vec::new());
    let now = Now::default();
    let mut dialler =
        Handshake::dial(local("a@h", 1, &["s"]), name("c@h"), Purpose::Probe, [1; 32], now, &mut said);
    let mut acceptor = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], now);
    acceptor.receive(&said, &mut answer);
    said.clear();
    dialler.receive(&std::mem::take(&mut answer), &mut said);
    assert!(matches!(acceptor.receive(&said, &mut answer), Progress::Done { .. }));
    let Progress::Done { peer, .. } = dialler.receive(&answer, &mut said) else { panic!("refused") };
    assert_eq!(peer.name.as_str(), "b@h");
}

#[test]
fn reflected_and_replayed_proofs_are_refused() {
    // Everything that a dialler says is recorded and said again to another acceptor.
    let mut said = Vec::new();
    let mut dialler = Handshake::dial(
        local("a@h", 1, &["s"]),
        name("b@h"),
        Purpose::Control,
        [1; 32],
        Now::default(),
        &mut said,
    );
    let mut acceptor = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], Now::default());
    let mut answer = Vec::new();
    assert_eq!(acceptor.receive(&said, &mut answer), Progress::More);
    let mut proof = Vec::new();
    dialler.receive(&answer, &mut proof);
    let mut second = Handshake::accept(local("b@h", 2, &["s"]), [3; 32], Now::default());
    let mut out = Vec::new();
    second.receive(&said, &mut out);
    assert_eq!(second.receive(&proof, &mut out), Progress::Close(Cause::BadCookie));
    // Sent back to the dialler, its own proof is no acceptance.
    let (mut to, mut out) = (Vec::new(), Vec::new());
    let mut dialler = Handshake::dial(
        local("a@h", 1, &["s"]),
        name("b@h"),
        Purpose::Control,
        [1; 32],
        Now::default(),
        &mut to,
    );
    dialler.receive(&answer, &mut out);
    assert!(matches!(dialler.receive(&proof, &mut out), Progress::Close(_)));
}

#[test]
fn strangers_are_closed_at_once_and_cost_little() {
    for noise in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0],
        vec![0; 70_000],
        [&MAGIC[..], &[0xFF; 70_000]].concat(),
        [&MAGIC[..], &[0, 0]].concat(),
        [&MAGIC[..], &[0, 1, 9]].concat(),
    ] {
        let mut handshake = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], Now::default());
        let mut out = Vec::new();
        assert!(matches!(handshake.receive(&noise, &mut out), Progress::Close(_)));
        assert!(out.len() + handshake.partial.capacity() < 64 * 1024);
    }
    let mut slow = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], Now::default());
    assert_eq!(slow.receive(&MAGIC[..5], &mut Vec::new()), Progress::More);
    assert_eq!(slow.wake_at(), Some(TIME_LIMIT));
    assert_eq!(slow.expire(Now::new(TIME_LIMIT - 1, 0)), None);
    assert_eq!(slow.expire(Now::new(TIME_LIMIT, 0)), Some(Cause::TimedOut));
}

#[test]
fn any_changed_byte_ends_without_success() {
    let mut said = Vec::new();
    let mut dialler = Handshake::dial(
        local("a@h", 1, &["s"]),
        name("b@h"),
        Purpose::Control,
        [1; 32],
        Now::default(),
        &mut said,
    );
    let mut first = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], Now::default());
    let mut answer = Vec::new();
    first.receive(&said, &mut answer);
    let mut proof = Vec::new();
    dialler.receive(&answer, &mut proof);
    let whole = [said, proof].concat();
    for at in 0..whole.len() {
        for flip in [1, 0x80] {
            let mut bad = whole.clone();
            bad[at] ^= flip;
            let mut acceptor = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], Now::default());
            assert!(!matches!(acceptor.receive(&bad, &mut Vec::new()), Progress::Done { .. }), "byte {at}");
        }
    }
}

#[test]
fn bytes_behind_the_handshake_are_left_to_the_lane() {
    let mut said = Vec::new();
    let mut dialler = Handshake::dial(
        local("a@h", 1, &["s"]),
        name("b@h"),
        Purpose::Control,
        [1; 32],
        Now::default(),
        &mut said,
    );
    let mut acceptor = Handshake::accept(local("b@h", 2, &["s"]), [2; 32], Now::default());
    let (mut answer, mut proof) = (Vec::new(), Vec::new());
    acceptor.receive(&said, &mut answer);
    dialler.receive(&answer, &mut proof);
    let length = proof.len();
    proof.extend_from_slice(&[7; 20_000]);
    let Progress::Done { used, .. } = acceptor.receive(&proof, &mut answer) else { panic!("not done") };
    assert_eq!(used, length);
}
