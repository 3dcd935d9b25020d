//! What the upgrade request of a WebSocket decides: which web pages may connect, and where a proxy says that the client is.

use std::net::{SocketAddr, TcpStream};

use crate::carriers::{Web, client_config, tls};
use crate::node::Node;
use crate::wire::Wire;

fn connected(node: &Node, port: u16) -> TcpStream {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], node.port(port)))).unwrap()
}

fn status(node: &Node, port: u16, headers: &[(&'static str, &str)]) -> Result<(), u16> {
    if port == 4 {
        let config = client_config(&node.root.join("etc/certs/cacert.pem"), None);
        return Web::upgrade_with(tls(connected(node, port), &config).unwrap(), headers).map(drop);
    }
    Web::upgrade_with(connected(node, port), headers).map(drop)
}

#[test]
fn only_the_web_pages_that_are_named_may_connect_where_that_is_checked() {
    let mut node = Node::new();
    let page = "https://flock.example";
    for kind in ["ws.external", "wss.external"] {
        node.set(&format!("listener.{kind}.check_origins"), "http://localhost:18083, https://flock.example");
    }
    node.start();
    assert_eq!(status(&node, 3, &[("origin", "https://evil.example")]), Ok(()), "nobody looks");
    node.stop();
    for kind in ["ws.external", "wss.external"] {
        node.set(&format!("listener.{kind}.check_origin_enable"), "true");
    }
    node.start();
    for port in [3, 4] {
        assert_eq!(status(&node, port, &[("origin", page)]), Ok(()));
        assert_eq!(status(&node, port, &[]), Ok(()), "a program that is no browser");
        for wrong in ["https://evil.example", "http://flock.example", "https://flock.example.evil", "null"] {
            assert_eq!(status(&node, port, &[("origin", wrong)]), Err(403), "{wrong}");
        }
    }
    node.stop();
    node.set("listener.ws.external.allow_origin_absence", "false");
    node.start();
    assert_eq!(status(&node, 3, &[]), Err(403));
    assert_eq!(status(&node, 3, &[("origin", page)]), Ok(()));
}

/// Where the node thinks that a client is that sent these headers.
fn peer(node: &Node, id: &str, headers: &[(&'static str, &str)]) -> String {
    let tcp = connected(node, 3);
    let own = tcp.local_addr().unwrap();
    let _wire = Wire::on(Web::upgrade_with(tcp, headers).unwrap()).login(id);
    let document = node.json(&["clients", "show", id]);
    let peer = format!("{}:{}", document["ip_address"].as_str().unwrap(), document["port"]);
    peer.replace(&format!(":{}", own.port()), ":own")
}

#[test]
fn a_proxy_that_speaks_http_says_where_the_client_is() {
    let mut node = Node::new();
    node.start();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("x-forwarded-for", "10.1.2.3"), ("x-forwarded-port", "4711")], "10.1.2.3:4711"),
        (&[("x-forwarded-for", "fd77::5, 10.0.0.1"), ("x-forwarded-port", "4711, 80")], "fd77::5:4711"),
        (&[("x-forwarded-for", "10.1.2.3")], "10.1.2.3:own"),
        (&[("x-forwarded-for", "unknown"), ("x-forwarded-port", "99999")], "127.0.0.1:own"),
        (&[], "127.0.0.1:own"),
    ];
    for (n, (headers, expected)) in cases.iter().enumerate() {
        assert_eq!(peer(&node, &format!("c{n}"), headers), *expected, "{headers:?}");
    }
    node.ctl(&["banned", "add", "peerhost", "10.1.2.3"]).ok();
    let mut banned = Wire::on(Web::upgrade_with(connected(&node, 3), cases[0].0).unwrap());
    banned.send("10 * 'MQTT' 04 02 003c 'banned'").gets("20 02 00 05").ends();
    node.stop();
    node.set("listener.ws.external.proxy_address_header", "X-Real-IP");
    node.set("listener.ws.external.proxy_port_header", "X-None");
    node.start();
    let both = [("x-forwarded-for", "10.1.2.9"), ("x-real-ip", "10.1.2.4"), ("x-forwarded-port", "4711")];
    assert_eq!(peer(&node, "other", &both), "10.1.2.4:own");
}

#[test]
fn a_websocket_that_says_nothing_ends_after_the_time_of_its_listener() {
    let mut node = Node::new();
    node.set("listener.ws.external.idle_timeout", "1s");
    node.start();
    let from = std::time::Instant::now();
    let mut upgraded = Wire::on(Web::upgrade(connected(&node, 3)));
    let mut silent = Wire::on(connected(&node, 3));
    upgraded.ends();
    silent.ends();
    let took = from.elapsed().as_millis();
    assert!((900..5_000).contains(&took), "{took} ms");
}
