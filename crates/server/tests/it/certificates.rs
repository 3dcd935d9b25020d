//! Listeners with TLS: what their certificates and those of clients decide.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use md5::{Digest, Md5};
use rustls::ClientConfig;

use crate::authority::{Authority, Pair};
use crate::carriers::{Tls, Web, client_config, tls};
use crate::node::Node;
use crate::wire::Wire;

/// A node whose TLS listeners have a certificate of the authority, and ask clients for one.
fn verifying(set: &[(&str, &str)]) -> (Node, Authority) {
    let mut node = Node::new();
    let authority = Authority::new(&node.root.join("etc"), "root");
    let own = authority.issue("server", &["localhost"]);
    for kind in ["ssl.external", "wss.external"] {
        for (key, value) in [
            ("certfile", own.cert()),
            ("keyfile", own.key()),
            ("cacertfile", authority.file()),
            ("verify", "verify_peer"),
        ]
        .iter()
        .chain(set)
        {
            node.set(&format!("listener.{kind}.{key}"), value);
        }
    }
    node.start();
    (node, authority)
}

fn connected(node: &Node, port: u16) -> TcpStream {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], node.port(port)))).unwrap()
}

fn over_tls(node: &Node, port: u16, config: &Arc<ClientConfig>) -> Tls {
    tls(connected(node, port), config).unwrap()
}

fn config(authority: &Path, pair: &Pair) -> Arc<ClientConfig> {
    client_config(authority, pair.files())
}

/// The user name of a client, as an operator sees it.
fn username(node: &Node, id: &str) -> String {
    let document = node.json(&["clients", "show", id]);
    document["username"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn each_part_of_a_certificate_can_be_the_user_name() {
    for part in ["cn", "dn", "crt", "pem", "md5"] {
        let (node, authority) =
            verifying(&[("peer_cert_as_username", part), ("fail_if_no_peer_cert", "true")]);
        let truck = authority.issue("truck 7", &[]);
        let config = config(&authority.file, &truck);
        let expected = match part {
            "cn" => "truck 7".to_owned(),
            "dn" => "CN=truck 7,O=Tests".to_owned(),
            "md5" => Md5::digest(truck.der()).iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => base64::engine::general_purpose::STANDARD.encode(truck.der()),
        };
        // Whatever name the client gives itself.
        let mut ssl = Wire::on(over_tls(&node, 2, &config));
        ssl.send("10 * 'MQTT' 04 82 003c 'over-ssl' 'somebody'").gets("20 02 00 00");
        let mut wss = Wire::on(Web::upgrade(over_tls(&node, 4, &config)));
        wss.send("10 * 'MQTT' 05 02 003c {} 'over-wss'");
        assert_eq!(wss.packet()[3], 0);
        assert_eq!(username(&node, "over-ssl"), expected);
        assert_eq!(username(&node, "over-wss"), expected);
    }
}

#[test]
fn the_common_name_is_the_client_id_and_takes_over_what_has_it() {
    let (node, authority) = verifying(&[("peer_cert_as_clientid", "cn"), ("peer_cert_as_username", "cn")]);
    let config = config(&authority.file, &authority.issue("ann", &[]));
    let mut first = Wire::on(over_tls(&node, 2, &config));
    first.send("10 * 'MQTT' 04 82 003c 'bob' 'bob'").gets("20 02 00 00");
    let listed = node.ctl(&["clients", "list"]);
    assert!(listed.ok().contains("Client(ann,") && !listed.ok().contains("bob"), "{listed:?}");
    // An empty client id is none that the server has to make up.
    let mut second = Wire::on(over_tls(&node, 2, &config));
    second.send("10 * 'MQTT' 05 02 003c {} ''");
    let connack = second.packet();
    assert_eq!(connack[3], 0);
    assert!(!connack.windows(3).any(|three| three == b"ann"), "no id is assigned: {connack:?}");
    first.ends();
    second.alive();
    // Whoever shows no certificate, where it may, has the names that it gives.
    let nameless = client_config(&authority.file, None);
    let mut third = Wire::on(over_tls(&node, 2, &nameless));
    third.send("10 * 'MQTT' 04 82 003c 'carl' 'carla'").gets("20 02 00 00");
    assert_eq!(username(&node, "carl"), "carla");
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let (node, authority) = verifying(&[("fail_if_no_peer_cert", "true")]);
    let nameless = client_config(&authority.file, None);
    let stranger = Authority::new(&node.root, "stranger").issue("eve", &[]);
    for config in [nameless, config(&authority.file, &stranger)] {
        // TLS 1.3 lets the client speak before it has been refused.
        if let Ok(stream) = tls(connected(&node, 2), &config) {
            Wire::on(stream).send("10 * 'MQTT' 04 02 003c 'eve'").ends();
        }
    }
    Wire::on(over_tls(&node, 2, &config(&authority.file, &authority.issue("ann", &[])))).login("ann");
    let listed = node.ctl(&["listeners"]);
    assert!(listed.ok().contains("{ssl_error,2}"), "{listed:?}");
}

#[test]
fn the_common_name_that_a_load_balancer_announces_is_the_user_name() {
    let mut node = Node::new();
    for kind in ["tcp.external", "ws.external"] {
        node.set(&format!("listener.{kind}.proxy_protocol"), "on");
        node.set(&format!("listener.{kind}.peer_cert_as_username"), "cn");
    }
    node.start();
    let announced = |port: u16, verified: u8| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x1d".to_vec();
        header.extend([10, 1, 2, 4, 10, 0, 0, 1, 0x1f, 0x90, 0x07, 0x5b]);
        header.extend([0x20, 0, 14, 0x07, 0, 0, 0, verified, 0x22, 0, 6]);
        header.extend(b"truck7");
        let mut tcp = connected(&node, port);
        std::io::Write::write_all(&mut tcp, &header).unwrap();
        tcp
    };
    let _tcp = Wire::on(announced(0, 0)).login("tcp");
    let _web = Wire::on(Web::upgrade(announced(3, 0))).login("web");
    let _none = Wire::on(announced(0, 1)).login("none");
    assert_eq!(username(&node, "tcp"), "truck7");
    assert_eq!(username(&node, "web"), "truck7");
    assert_eq!(username(&node, "none"), "", "a certificate that was not verified says nothing");
}

/// Whether a handshake with a server that this authority vouches for succeeds.
fn vouched(node: &Node, port: u16, authority: &Path) -> bool {
    tls(connected(node, port), &client_config(authority, None)).is_ok()
}

#[test]
fn certificates_that_were_replaced_are_used_after_a_command_and_nobody_is_dropped() {
    let mut nodes = crate::node::cluster(2);
    let folder = nodes[0].root.join("etc");
    let authorities = [Authority::new(&folder, "old"), Authority::new(&folder, "new")];
    let [old, new] = &authorities;
    let own = old.issue("server", &["localhost"]);
    for node in &mut nodes {
        node.stop();
        for kind in ["ssl.external", "wss.external"] {
            node.set(&format!("listener.{kind}.certfile"), own.cert());
            node.set(&format!("listener.{kind}.keyfile"), own.key());
        }
        node.start();
    }
    nodes[0].sees(&[&nodes[0], &nodes[1]], &[]);
    let mut early = Wire::on(over_tls(&nodes[0], 2, &client_config(&old.file, None))).login("early");
    // The files are written anew: the same names, another authority.
    new.issue("server", &["localhost"]);
    assert!(vouched(&nodes[0], 2, &old.file), "files are read when somebody says so");

    let said = nodes[0].ctl(&["pem_cache", "clean", "node", &nodes[1].name]);
    assert_eq!(said.ok(), "PEM cache clean OK");
    assert!(vouched(&nodes[0], 2, &old.file) && vouched(&nodes[1], 2, &new.file));
    assert!(!vouched(&nodes[1], 2, &old.file));
    assert_eq!(nodes[1].ctl(&["pem_cache", "clean", "all"]).ok(), "PEM cache clean OK");
    for node in &nodes {
        for port in [2, 4] {
            assert!(vouched(node, port, &new.file) && !vouched(node, port, &old.file));
        }
    }
    early.alive();

    std::fs::write(&own.cert, "no certificate").unwrap();
    let said = nodes[1].ctl(&["pem_cache", "clean", "node", &nodes[1].name]);
    said.has(&format!("PEM cache clean FAILED\n{}: mqtt:ssl:external: cannot use ", nodes[1].name)).fails();
    assert!(said.out.contains("mqtt:wss:external") && vouched(&nodes[1], 2, &new.file));
    let nobody = nodes[1].ctl(&["pem_cache", "clean", "node", "emqx@10.9.8.7"]);
    nobody.has("PEM cache clean FAILED\n").fails();
    early.alive();
}
