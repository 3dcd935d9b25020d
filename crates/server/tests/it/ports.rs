//! The one port between nodes follows the name.

use std::net::TcpStream;

use crate::node::Node;

fn open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn the_number_at_the_end_of_the_name_is_the_offset() {
    // Each pattern gets a number that this test owns: digits, a separator that is no sign, digits before it.
    for prefix in ["emqx", "emqx-", "emqx_", "emqx2-", "Emqx", "e2e-", "emqx00", "node-1a"] {
        let mut node = Node::named(prefix);
        if prefix == "node-1a" {
            // Zeroes in front of the number count for nothing.
            let name = node.name.replace("node-1a", "node-1a000");
            node.set("node.name", &name);
        }
        node.start();
        assert!(open(node.port(5)), "{} listens on {}", node.name, node.port(5));
        assert!(!open(node.port(5) + 1000) || node.port(5) + 1000 > 32000, "no second port between nodes");
    }
}

#[test]
fn numbers_wrap_at_60000() {
    let mut node = Node::new();
    let offset = u32::from(node.port(6)) - 4370 + 60000;
    node.set("node.name", &format!("emqx{offset}@127.0.0.1"));
    node.start();
    assert!(open(node.port(6)));
    assert!(!open(node.port(5)));
}

#[test]
fn a_second_node_of_the_same_number_is_refused_by_port() {
    let mut first = Node::named("emqx-");
    first.start();
    let second = Node::new();
    second.set("node.name", &first.name.replace("emqx-", "emqx"));
    let said = second.emqx(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    said.has(&first.port(5).to_string()).has("in use");
    first.client("unaffected").ping();
}

#[test]
fn the_epmd_range_means_nothing_without_epmd() {
    let mut node = Node::new();
    let (min, max) = (node.port(7), node.port(8));
    node.set("node.dist_listen_min", &min.to_string());
    node.set("node.dist_listen_max", &max.to_string());
    node.start();
    assert!(open(node.port(5)));
    assert!(!open(min) && !open(max));
}

#[test]
fn a_stranger_on_the_peers_port_is_closed_and_hurts_nobody() {
    use std::io::{Read, Write};
    use std::time::{Duration, Instant};
    let mut node = Node::new();
    node.start();
    let inputs: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x15n\x00\x05",
        b"\x00",
        b"",
    ];
    let begin = Instant::now();
    let mut sockets = vec![];
    for input in inputs {
        let mut socket = TcpStream::connect(("127.0.0.1", node.port(5))).unwrap();
        socket.write_all(input).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
        sockets.push(socket);
    }
    for (i, mut socket) in sockets.into_iter().enumerate() {
        let mut byte = [0; 4096];
        loop {
            match socket.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(e) => panic!("stranger {i} is not closed: {e}"),
            }
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(12));
    node.client("unaffected").ping();
}
