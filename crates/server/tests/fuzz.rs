//! Fuzzing of what a node reads besides MQTT: its configuration, Erlang terms, and the first bytes of a
//! connection between nodes. As a plain test a fixed number of runs; `make fuzz SECONDS=n` runs each that long.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has to fail there")]

#[path = "../../mqtt/tests/fuzz/harness.rs"]
mod harness;

use std::path::Path;

use cluster::bus::handshake::{Handshake, Local, Purpose};
use cluster::{ClusterId, NodeId, NodeName, Now};
use harness::{Random, fuzz};
use server::settings::{Environment, load};

/// The sample with some bytes changed, added or removed.
fn change(random: &mut Random, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            1 => bytes.insert(at, b"=#\"{}[],%\\\n.\0\xff"[random.below(14)]),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
    bytes
}

/// A configuration is taken, or every fault of it is named; nothing panics.
#[test]
fn configurations() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    std::fs::create_dir_all(&etc).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../release/etc/emqx.conf");
    let text = std::fs::read_to_string(shipped).unwrap();
    let lines: Vec<&str> = text.lines().filter(|l| l.contains('=')).collect();
    let none: [(String, String); 0] = [];
    let environment = Environment::of(none);
    fuzz("configurations", 200, |random| {
        let mut conf = Vec::new();
        for _ in 0..random.below(20) {
            let mut any = || lines[random.below(lines.len())].trim_start_matches(['#', ' ']);
            let (line, other) = (any(), any());
            let (key, _) = line.split_once('=').unwrap();
            let (_, value) = other.split_once('=').unwrap();
            conf.extend(match random.below(6) {
                0 | 1 => change(random, line.as_bytes()),
                // What is meant for something else.
                2 => format!("{key}={value}").into_bytes(),
                _ => line.into(),
            });
            conf.push(b'\n');
        }
        std::fs::write(etc.join("emqx.conf"), &conf).unwrap();
        let _ = load(folder.path(), &environment);
    });
}

#[test]
fn terms() {
    let sample = "{allow, {user, \"dashboard\"}, subscribe, [\"$SYS/#\", {eq, \"a\"}]}.\n{deny, all}. % end\n[{'a b', 1.5}, <<\"x\">>].\n";
    fuzz("terms", 20_000, |random| {
        let _ = server::term::parse(&String::from_utf8_lossy(&change(random, sample.as_bytes())));
    });
}

/// What a stranger says to the port for peers.
#[test]
fn handshakes() {
    let local = |byte: u8| Local {
        id: NodeId([byte; 16]),
        name: NodeName::parse(&format!("n{byte}@127.0.0.1")).unwrap(),
        incarnation: 1,
        cluster: ClusterId { born_at: 9, id: NodeId([byte; 16]) },
        cookies: vec![b"cookie".to_vec()],
        capabilities: 7,
    };
    let mut hello = Vec::new();
    let seeks = NodeName::parse("n2@127.0.0.1").unwrap();
    Handshake::dial(local(1), seeks, Purpose::Probe, [1; 32], Now::new(0, 0), &mut hello);
    fuzz("handshakes", 20_000, |random| {
        let mut side = Handshake::accept(local(2), [2; 32], Now::new(0, 0));
        let (mut out, mut rest) = (Vec::new(), change(random, &hello));
        rest.extend(change(random, &hello));
        while !rest.is_empty() {
            let count = 1 + random.below(rest.len());
            let _ = side.receive(&rest[..count.min(rest.len())], &mut out);
            rest.drain(..count.min(rest.len()));
        }
        assert!(out.len() < 4096, "a stranger is told {} bytes", out.len());
    });
}
