//! What a node bears for long: its memory stays what it was, and good clients do not feel bad ones. Each test has
//! a short form, which is the one that runs; `LONG=1` gives the figures of docs/limits.md:
//! `LONG=1 cargo test --release -p flockmq-server --test it -- endurance --nocapture --test-threads=1`.

mod crowd;
mod latency;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client::LIMIT;
use crate::node::Node;
use crate::wire::bytes;

fn is_long() -> bool {
    std::env::var_os("LONG").is_some()
}

/// A node that makes no client wait to come in.
fn node() -> Node {
    let mut node = Node::new();
    node.set("listener.tcp.external.max_connections", "10000");
    node.set("listener.tcp.external.max_conn_rate", "1000000");
    node.start();
    node
}

fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("the node runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says so");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// A connection that is cut without a word when it is dropped, so that its port may be used again at once.
fn cut_off(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, LIMIT).expect("the node listens");
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a fresh socket takes options");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out above zero");
    stream
}

/// CONNECT packets of every kind of badness, and what else comes in place of one.
fn bad_connects() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let whole =
        bytes("10 * 'MQTT' 05 ce 003c {11 0000000a 26 'k' 'v'} 'x' {18 00000001} 'w' 'bye' 'ann' 'secret'");
    all.extend((1..whole.len()).map(|cut| whole[..cut].to_vec()));
    // The same with a length that says that this is all.
    all.extend((3..whole.len()).map(|cut| {
        let mut short = whole[..cut].to_vec();
        short[1] = cut as u8 - 2;
        short
    }));
    // Protocol, level, flags.
    let texts = [
        "10 * 'MQTX' 04 02 003c 'x'",
        "10 * '' 04 02 003c 'x'",
        "10 * 'MQIsdp' 04 02 003c 'x'",
        "10 * 'MQTT' 00 02 003c 'x'",
        "10 * 'MQTT' 06 02 003c 'x'",
        "10 * 'MQTT' ff 02 003c 'x'",
        "10 * 'MQTT' 04 03 003c 'x'",
        "10 * 'MQTT' 04 1e 003c 'x' 'w' 'b'",
        "10 * 'MQTT' 04 0a 003c 'x'",
        "10 * 'MQTT' 04 22 003c 'x'",
        "10 * 'MQTT' 04 42 003c 'x' 'pw'",
        "10 * 'MQTT' 04 00 003c ''",
        "11 * 'MQTT' 04 02 003c 'x'",
        "1f * 'MQTT' 05 02 003c {} 'x'",
        // Properties.
        "10 * 'MQTT' 05 02 003c {21 0000} 'x'",
        "10 * 'MQTT' 05 02 003c {27 00000000} 'x'",
        "10 * 'MQTT' 05 02 003c {11 00000001 11 00000001} 'x'",
        "10 * 'MQTT' 05 02 003c {18 00000001} 'x'",
        "10 * 'MQTT' 05 02 003c {7e 00} 'x'",
        "10 * 'MQTT' 05 02 003c {15 'x'} 'x'",
        "10 * 'MQTT' 05 02 003c ffffffff01 'x'",
        "10 * 'MQTT' 05 02 003c 7f 'x'",
        // UTF-8.
        "10 * 'MQTT' 04 02 003c 0002 c328",
        "10 * 'MQTT' 05 02 003c {} 0003 eda080",
        "10 * 'MQTT' 05 82 003c {} 'x' 0001 00",
        "10 * 'MQTT' 05 06 003c {} 'x' {} 0002 c080 'b'",
        "10 * 'MQTT' 05 06 003c {} 'x' {} 'a/#' 'b'",
        // Lengths.
        "10 ffffff7f 0004 4d515454 05",
        "10 ffffffff01 0004 4d515454 04",
        "10 808080",
        "10 ffff7f 0004 4d515454 04",
        "10 00",
        // No CONNECT at all.
        "30 * 'a' \"x\"",
        "82 * 0001 'a' 00",
        "c0 00",
        "e0 00",
        "f0 * 18 {15 'x'}",
        "16 03 01 02 00 01 00 01 fc 03 03",
        "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a 0d 0a",
    ];
    all.extend(texts.iter().map(|text| bytes(text)));
    // Almost as long as a CONNECT may be, and cut; as long as may be, and with a client id that is too long.
    let long = "y".repeat(60_000);
    all.push(bytes(&format!("10 * 'MQTT' 04 02 003c '{long}'"))[..59_000].to_vec());
    all.push(bytes(&format!("10 * 'MQTT' 05 02 003c {{}} '{long}' 00")));
    all
}

/// Sends a bad CONNECT and waits for the node to end the connection.
fn bad_connect(address: SocketAddr, packet: &[u8]) {
    let mut stream = cut_off(address);
    // The node may have closed already.
    let _ = stream.write_all(packet);
    let _ = stream.shutdown(Shutdown::Write);
    let mut chunk = [0; 256];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("the node keeps {packet:x?}"),
            Err(_) => return,
        }
    }
}

#[test]
fn bad_connects_leave_the_memory_as_it_was() {
    let node = node();
    let packets = bad_connects();
    let (count, steps) = if is_long() { (1_000_000, 20) } else { (10_000, 4) };
    let (address, from) = (node.mqtt(), Instant::now());
    let batch = |count: usize| {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return;
                        }
                        bad_connect(address, &packets[n % packets.len()]);
                    }
                });
            }
        });
    };
    // The allocator takes what it needs for as many connections as there are at a time.
    batch(count / 10);
    let warm = resident_kib(&node);
    let mut seen = vec![];
    for _ in 0..steps {
        batch(count / steps);
        seen.push(resident_kib(&node));
    }
    println!(
        "bad connects: {count} of {} kinds in {:?}; resident {warm} KiB after the first tenth, then {seen:?}",
        packets.len(),
        from.elapsed()
    );
    let (low, high) = (warm * 95 / 100, warm * 105 / 100);
    assert!(seen.iter().all(|kib| (low..=high).contains(kib)), "{warm} KiB, then {seen:?}");
    node.client("good").ping();
}
