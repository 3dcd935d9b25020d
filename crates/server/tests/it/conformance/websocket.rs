//! MQTT in WebSocket frames: binary ones alone, cut anywhere.

use std::net::{Ipv4Addr, TcpStream};

use tungstenite::client::{ClientRequestBuilder, client};
use tungstenite::http::Uri;
use tungstenite::{Message, WebSocket};

use crate::client::LIMIT;
use crate::node::Node;
use crate::wire::{V5, V311, bytes};

/// A WebSocket to the node, and the subprotocol that it has chosen.
fn open(node: &Node, offered: &[&str]) -> (WebSocket<TcpStream>, String) {
    let port = node.port(3);
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the node listens");
    tcp.set_read_timeout(Some(LIMIT)).expect("a time-out above zero");
    let uri: Uri = format!("ws://127.0.0.1:{port}/mqtt").parse().expect("a good address");
    let mut request = ClientRequestBuilder::new(uri);
    for word in offered {
        request = request.with_sub_protocol(*word);
    }
    let (socket, response) = client(request, tcp).expect("an upgrade");
    let chosen = response.headers().get("sec-websocket-protocol").expect("a subprotocol");
    (socket, chosen.to_str().expect("plain letters").to_owned())
}

fn send(socket: &mut WebSocket<TcpStream>, frame: &[u8]) {
    socket.send(Message::binary(frame.to_vec())).expect("the node reads");
}

/// The next bytes are these, in binary frames however they are cut.
fn gets(socket: &mut WebSocket<TcpStream>, text: &str) {
    let (wanted, mut got) = (bytes(text), Vec::new());
    while got.len() < wanted.len() {
        match socket.read().expect("an answer in time") {
            Message::Binary(frame) => got.extend_from_slice(&frame),
            other => panic!("{other:?} is no binary frame"),
        }
    }
    assert_eq!(got, wanted, "{text}");
}

/// [MQTT-4.2-1] [MQTT-6.0.0-2], [MQTT-6.0.0-2] (3.1.1) [MQTT-7.1.1-1] (3.1.1)
#[test]
fn packets_are_cut_into_frames_anywhere() {
    let mut node = Node::new();
    node.start();
    let all = format!("{V311} 'web' | 34 * 'web/t' 0001 \"x\" | 32 * 'web/t' 0002 \"y\" | 62 * 0001 | c0 *");
    let answers = "20 02 00 00 | 50 * 0001 | 40 * 0002 | 70 * 0001 | d0 00";
    let all = bytes(&all);
    // Everything in one frame, a byte a frame, and something between.
    for size in [all.len(), 1, 3, 7] {
        let (mut socket, _) = open(&node, &["mqtt"]);
        for frame in all.chunks(size) {
            send(&mut socket, frame);
        }
        gets(&mut socket, answers);
    }
}

/// [MQTT-6.0.0-1], [MQTT-6.0.0-1] (3.1.1)
#[test]
fn a_text_frame_ends_the_connection() {
    let mut node = Node::new();
    node.start();
    for connect in ["", V311, V5] {
        let (mut socket, _) = open(&node, &["mqtt"]);
        if !connect.is_empty() {
            send(&mut socket, &bytes(&format!("{connect} 'text'")));
            assert!(socket.read().expect("a CONNACK").is_binary());
        }
        socket.send(Message::text("\u{10}")).expect("the node reads");
        let answer = socket.read();
        assert!(!matches!(answer, Ok(Message::Binary(_) | Message::Text(_))), "{answer:?}");
        while socket.read().is_ok() {}
        let tcp = socket.get_mut();
        let ended = std::io::Read::read(tcp, &mut [0]);
        assert!(matches!(ended, Ok(0)) || ended.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock));
    }
}

/// [MQTT-6.0.0-4], [MQTT-6.0.0-4] (3.1.1)
#[test]
fn the_subprotocol_is_mqtt() {
    let mut node = Node::new();
    node.start();
    for offered in [&["mqtt"][..], &["other", "mqtt"], &["mqtt-v5", "mqtt"]] {
        assert_eq!(open(&node, offered).1, "mqtt", "{offered:?}");
    }
}
