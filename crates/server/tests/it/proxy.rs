//! Listeners behind a load balancer that speaks the PROXY protocol.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::carriers::{Web, client_config, tls};
use crate::node::Node;
use crate::wire::Wire;

/// A node all of whose listeners expect a header.
fn behind() -> Node {
    let mut node = Node::new();
    for name in ["tcp.external", "ssl.external", "ws.external", "wss.external"] {
        node.set(&format!("listener.{name}.proxy_protocol"), "on");
        node.set(&format!("listener.{name}.proxy_protocol_timeout"), "1s");
    }
    node.start();
    node
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

const V4: [u8; 12] = [10, 1, 2, 4, 10, 0, 0, 1, 0x1f, 0x90, 0x07, 0x5b];
const V1: &[u8] = b"PROXY TCP4 10.1.2.3 10.0.0.1 8080 1883\r\n";

fn at(node: &Node, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], node.port(port)))
}

fn announced(node: &Node, port: u16, header: &[u8]) -> TcpStream {
    let mut tcp = TcpStream::connect(at(node, port)).unwrap();
    tcp.write_all(header).unwrap();
    tcp
}

fn is_from(node: &Node, id: &str, peer: &str) {
    let said = node.ctl(&["clients", "show", id]);
    assert!(said.ok().contains(&format!("peername={peer},")), "{said:?}");
}

#[test]
fn the_announced_address_is_the_clients_over_every_transport() {
    let node = behind();
    let config = client_config(&node.root.join("etc/certs/cacert.pem"), None);
    let v2_header = v2(0x21, 0x11, &V4);
    for (n, (header, peer)) in [(V1, "10.1.2.3:8080"), (&v2_header, "10.1.2.4:8080")].into_iter().enumerate()
    {
        let name = |kind: &str| format!("{kind}-{n}");
        let tcp = Wire::on(announced(&node, 0, header)).login(&name("tcp"));
        let ssl = Wire::on(tls(announced(&node, 2, header), &config).unwrap()).login(&name("ssl"));
        let ws = Wire::on(Web::upgrade(announced(&node, 3, header))).login(&name("ws"));
        let wss = tls(announced(&node, 4, header), &config).unwrap();
        let wss = Wire::on(Web::upgrade(wss)).login(&name("wss"));
        for (kind, mut wire) in [("tcp", tcp), ("ssl", ssl), ("ws", ws), ("wss", wss)] {
            is_from(&node, &name(kind), peer);
            wire.alive();
        }
    }
    let mut v6 = [0; 36];
    (v6[0], v6[1], v6[15], v6[32], v6[33]) = (0xfd, 0x77, 0x05, 0x12, 0x34);
    let _six = Wire::on(announced(&node, 0, &v2(0x21, 0x21, &v6))).login("six");
    is_from(&node, "six", "fd77::5:4660");
}

#[test]
fn whoever_speaks_for_itself_keeps_its_own_address() {
    let node = behind();
    for (n, header) in
        [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, &[]), v2(0x20, 0x11, &V4)].iter().enumerate()
    {
        let tcp = announced(&node, 0, header);
        let own = tcp.local_addr().unwrap().to_string();
        let id = format!("local-{n}");
        let _wire = Wire::on(tcp).login(&id);
        is_from(&node, &id, &own);
    }
}

#[test]
fn a_header_in_drops_with_the_connect_behind_it_is_understood() {
    let node = behind();
    for header in [V1.to_vec(), v2(0x21, 0x11, &V4)] {
        let mut tcp = announced(&node, 0, b"");
        tcp.set_nodelay(true).unwrap();
        let connect = crate::wire::bytes("10 * 'MQTT' 04 02 003c 'drop'");
        for byte in header.iter().chain(&connect) {
            tcp.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        Wire::on(tcp).gets("20 02 00 00").alive();
        // And all of it at once.
        Wire::on(announced(&node, 0, &[header, connect].concat())).gets("20 02 00 00").alive();
    }
}

#[test]
fn a_header_that_is_malformed_slow_or_missing_ends_the_connection() {
    let node = behind();
    let connect = crate::wire::bytes("10 * 'MQTT' 04 02 003c 'none'");
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 300]].concat();
    let wrong: [&[u8]; 5] = [
        &connect,
        b"PROXY TCP4 10.1.2.3 10.0.0.1 8080\r\n",
        &endless,
        &v2(0x21, 0x11, &[0; 5000]),
        &v2(0x23, 0x11, &V4),
    ];
    for header in wrong {
        Wire::on(announced(&node, 0, header)).ends();
    }
    let from = Instant::now();
    let mut silent = Wire::on(announced(&node, 0, b""));
    let mut slow = Wire::on(announced(&node, 0, b"PROXY TCP4 10."));
    let mut slow_v2 = Wire::on(announced(&node, 2, b"\r\n\r\n\0\r\nQUIT\n\x21"));
    for late in [&mut silent, &mut slow, &mut slow_v2] {
        late.ends();
    }
    let took = from.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(4), "{took:?}");
    let listed = node.ctl(&["listeners"]);
    let ends: Vec<&str> = listed.ok().lines().filter(|line| line.contains("shutdown_count")).collect();
    assert!(ends[0].contains("{proxy_proto_error,5},{proxy_proto_timeout,2}"), "{ends:?}");
    assert!(ends.iter().any(|line| line.contains("[{proxy_proto_timeout,1}]")), "{ends:?}");
    // Whoever has announced itself has the time that any client has for its CONNECT.
    let mut later = Wire::on(announced(&node, 0, V1));
    std::thread::sleep(Duration::from_millis(1500));
    later.send("10 * 'MQTT' 04 02 003c 'later'").gets("20 02 00 00");
}
