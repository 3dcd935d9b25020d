//! MQTT over QUIC, with real clients on real sockets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use tokio::runtime::Runtime;

use crate::authority::{Authority, Pair};
use crate::carriers::client_config;
use crate::client::LIMIT;
use crate::node::{Node, until};
use crate::wire::{Carrier, Wire};

/// A client's side of QUIC: its own endpoint, one connection, one stream.
struct Quic {
    runtime: Arc<Runtime>,
    endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    patience: Duration,
}

/// What a client is.
#[derive(Clone)]
struct Setup {
    tls: rustls::ClientConfig,
    transport: Arc<quinn::TransportConfig>,
}

impl Setup {
    fn new(authority: &Path, own: Option<&Pair>) -> Setup {
        let mut tls = (*client_config(authority, own.and_then(Pair::files))).clone();
        tls.alpn_protocols = vec![b"mqtt".to_vec()];
        Setup { tls, transport: Arc::default() }
    }

    /// An endpoint and its connection. The handshake has been done.
    fn reach(&self, at: SocketAddr) -> Result<(Arc<Runtime>, Endpoint, Connection), ConnectionError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Arc::new(runtime.unwrap());
        let crypto = QuicClientConfig::try_from(self.tls.clone()).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.transport.clone());
        let (endpoint, connection) = runtime.block_on(async {
            let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let connecting = endpoint.connect_with(config, at, "localhost").unwrap();
            let connection = tokio::time::timeout(LIMIT, connecting).await.expect("an answer in time");
            (endpoint, connection)
        });
        Ok((runtime, endpoint, connection?))
    }

    fn open(&self, at: SocketAddr) -> Result<Quic, ConnectionError> {
        let (runtime, endpoint, connection) = self.reach(at)?;
        let (send, recv) = runtime.block_on(connection.open_bi())?;
        Ok(Quic { runtime, endpoint, connection, send, recv, patience: LIMIT })
    }

    fn login(&self, at: SocketAddr, id: &str) -> Wire {
        Wire::on(self.open(at).expect("a connection")).login(id)
    }
}

impl Read for Quic {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (recv, patience) = (&mut self.recv, self.patience);
        let read = self.runtime.block_on(async { tokio::time::timeout(patience, recv.read(buffer)).await });
        match read {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(Ok(count)) => Ok(count.unwrap_or(0)),
            Ok(Err(why)) => Err(io::Error::other(why)),
        }
    }
}

impl Write for Quic {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (send, patience) = (&mut self.send, self.patience);
        let written =
            self.runtime.block_on(async { tokio::time::timeout(patience, send.write(bytes)).await });
        written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Carrier for Quic {
    fn patience(&mut self, limit: Duration) {
        self.patience = limit;
    }

    fn send_no_more(&mut self) {
        let _ = self.send.finish();
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
        // Otherwise nobody is left who could tell the server.
        let endpoint = &self.endpoint;
        let _ = self.runtime.block_on(async { tokio::time::timeout(LIMIT, endpoint.wait_idle()).await });
    }
}

const ID: &str = "mqtt:quic:external";

/// A node that listens on QUIC, its authority and where it does.
fn node(set: &[(&str, &str)]) -> (Node, Authority, SocketAddr) {
    let mut node = Node::new();
    let authority = Authority::new(&node.root.join("etc"), "root");
    let own = authority.issue("server", &["localhost"]);
    let at = SocketAddr::from(([127, 0, 0, 1], node.port(6)));
    node.set("listener.quic.external", &at.to_string());
    for (key, value) in [("certfile", own.cert()), ("keyfile", own.key())].iter().chain(set) {
        node.set(&format!("listener.quic.external.{key}"), value);
    }
    node.start();
    (node, authority, at)
}

/// What the node's process has resident, in KiB.
fn resident(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn clients_speak_mqtt_over_quic_with_one_another_and_with_others() {
    let (node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let mut first = client.login(at, "first");
    first.send("82 * 0001 't' 01").gets("90 03 0001 01");
    let mut second = client.login(at, "second");
    second.send("32 * 't' 0007 \"hello\"").gets("40 02 0007");
    assert!(first.packet().ends_with(b"hello"));
    Wire::v3(node.mqtt(), "over tcp").send("30 * 't' \"there\"").alive();
    assert!(first.packet().ends_with(b"there"));
    assert!(node.said().contains(&format!("Start {ID} listener on {at} successfully.")));
    let listed = node.ctl(&["listeners"]);
    let mine = listed.ok().split("mqtt:").find(|part| part.starts_with("quic:external")).unwrap();
    assert!(
        mine.contains(&format!("listen_on       : {at}")) && mine.contains("current_conn    : 2\n"),
        "{mine}"
    );
    let shown = node.json(&["clients", "show", "first"]);
    assert_eq!(shown["ip_address"], "127.0.0.1");
    assert!(shown["port"].as_u64().unwrap() > 0);
    // DISCONNECT, and everything that was on its way, before the end.
    second.bye();
    drop(first);
    until("nobody is left", || node.ctl(&["listeners"]).ok().contains("{normal,1},{tcp_closed,1}"));
}

#[test]
fn whoever_takes_over_a_client_id_ends_the_other_over_quic_too() {
    let (_node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    for _ in 0..4 {
        let mut old = client.login(at, "one");
        let mut new = client.login(at, "one");
        old.ends();
        new.alive();
    }
}

#[test]
fn a_client_has_one_stream() {
    let (_node, authority, at) = node(&[]);
    let quic = Setup::new(&authority.file, None).open(at).unwrap();
    let (runtime, connection) = (quic.runtime.clone(), quic.connection.clone());
    let mut wire = Wire::on(quic).login("one");
    let opened = |limit: Duration| {
        runtime.block_on(async { tokio::time::timeout(limit, connection.open_bi()).await.is_ok() })
    };
    assert!(!opened(Duration::from_millis(300)));
    let one_way = async { tokio::time::timeout(Duration::from_millis(300), connection.open_uni()).await };
    assert!(runtime.block_on(one_way).is_err());
    wire.alive();
}

#[test]
fn a_connect_may_have_16_kib() {
    let (_node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let connect = |will: usize| {
        let body = [
            &b"\0\x04MQTT\x05\x06\0\x3c\0\0\x03big\0\0\x01w"[..],
            &(will as u16).to_be_bytes(),
            &vec![b'x'; will],
        ];
        let body = body.concat();
        let mut length = vec![body.len() as u8 & 0x7f | 0x80, (body.len() >> 7) as u8 & 0x7f];
        if body.len() >= 1 << 14 {
            length[1] |= 0x80;
            length.push((body.len() >> 14) as u8);
        }
        [&[0x10][..], &length, &body].concat()
    };
    let mut fits = Wire::on(client.open(at).unwrap());
    assert_eq!(fits.send_whole(&connect(16_000)).packet()[2..4], [0, 0]);
    fits.alive();
    // Its first bytes say how long it will be.
    Wire::on(client.open(at).unwrap()).send_raw(&connect(16_400)[..100]).gets("20 * 00 95 {}").ends();
}

#[test]
fn a_client_that_moves_to_another_address_stays_connected() {
    let (node, authority, at) = node(&[]);
    let quic = Setup::new(&authority.file, None).open(at).unwrap();
    let (runtime, endpoint) = (quic.runtime.clone(), quic.endpoint.clone());
    let mut wire = Wire::on(quic).login("mover");
    for _ in 0..3 {
        let context = runtime.enter();
        endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        drop(context);
        wire.alive();
    }
    assert!(node.ctl(&["clients", "list"]).ok().contains("Client(mover,"));
}

#[test]
fn large_messages_come_through_whole_and_in_order() {
    let (_node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let mut reader = client.login(at, "reader");
    reader.send("82 * 0001 't' 01").gets("90 03 0001 01");
    let mut writer = client.login(at, "writer");
    let payload: Vec<u8> = (0..700_000u32).map(|n| (n % 251) as u8).collect();
    let mut packet = vec![0x32];
    let mut length = 2 + 1 + 2 + payload.len();
    while length > 0 {
        packet.push((length % 128) as u8 | if length >= 128 { 0x80 } else { 0 });
        length /= 128;
    }
    packet.extend(b"\0\x01t\0\x01");
    packet.extend(&payload);
    for _ in 0..3 {
        writer.send_whole(&packet).gets("40 02 0001");
        let got = reader.packet();
        assert!(got.ends_with(&payload), "{} bytes", got.len());
        let id = got[got.len() - payload.len() - 2..][..2].to_vec();
        reader.send_raw(&[&[0x40, 2], &id[..]].concat());
    }
}

#[test]
fn a_certificate_is_asked_for_and_names_its_client() {
    let (mut node, authority, at) = node(&[]);
    node.stop();
    for (key, value) in [
        ("cacertfile", authority.file()),
        ("verify", "verify_peer"),
        ("fail_if_no_peer_cert", "true"),
        ("peer_cert_as_username", "cn"),
        ("peer_cert_as_clientid", "md5"),
    ] {
        node.set(&format!("listener.quic.external.{key}"), value);
    }
    node.start();
    let truck = authority.issue("truck 7", &[]);
    let _wire = Setup::new(&authority.file, Some(&truck)).login(at, "whatever");
    let id: String = {
        use md5::{Digest, Md5};
        Md5::digest(truck.der()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(node.json(&["clients", "show", &id])["username"], "truck 7");
    let stranger = Authority::new(&node.root, "stranger").issue("eve", &[]);
    for own in [None, Some(&stranger)] {
        let refused = Setup::new(&authority.file, own).open(at);
        // The client's handshake ends before the server has looked at its certificate.
        if let Ok(stream) = refused {
            Wire::on(stream).send("10 * 'MQTT' 04 02 003c 'eve'").ends();
        }
    }
    until("both are counted", || node.ctl(&["listeners"]).ok().contains("{ssl_error,2}"));
}

#[test]
fn a_listener_that_is_stopped_refuses_at_once_and_its_clients_stay() {
    let (node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let mut early = client.login(at, "early");
    let said = node.ctl(&["listeners", "stop", ID]);
    assert_eq!(said.ok(), format!("Stop {ID} listener on {at} successfully."));
    let refused = client.open(at).err();
    assert!(matches!(refused, Some(ConnectionError::ConnectionClosed(_))), "{refused:?}");
    early.alive();
    node.ctl(&["listeners", "start", ID]).ok();
    client.login(at, "late").bye();
    node.ctl(&["listeners", "restart", ID]).ok();
    client.login(at, "later").bye();
    early.alive();
    // Certificates of another authority, read at a command.
    let other = Authority::new(&node.root.join("etc"), "other");
    other.issue("server", &["localhost"]);
    assert_eq!(node.ctl(&["pem_cache", "clean", "all"]).ok(), "PEM cache clean OK");
    assert!(client.open(at).is_err(), "the old authority vouches for nobody");
    Setup::new(&other.file, None).login(at, "new").bye();
    early.alive();
}

#[test]
fn clients_that_say_nothing_or_something_else_are_ended() {
    let (mut node, authority, at) = node(&[("handshake_timeout", "1s"), ("zone", "external")]);
    node.stop();
    node.set("zone.external.idle_timeout", "1s");
    node.start();
    let client = Setup::new(&authority.file, None);
    // A handshake, and no stream; a stream, and no CONNECT; half of one; something else.
    let (runtime, _endpoint, connection) = client.reach(at).unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, connection.closed()).await });
    assert!(matches!(ended, Ok(ConnectionError::ApplicationClosed(_))), "{ended:?}");
    let mut half = Wire::on(client.open(at).unwrap());
    half.send_raw(b"\x10\x20\0\x04MQTT");
    half.ends();
    let mut other = Wire::on(client.open(at).unwrap());
    other.send("30 * 't' \"x\"").ends();
    let mut wrong = client.clone();
    wrong.tls.alpn_protocols = vec![b"h3".to_vec()];
    assert!(wrong.open(at).is_err());
    // Datagrams that are no QUIC are thrown away.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..200u8 {
        socket.send_to(&vec![n; usize::from(n) * 6], at).unwrap();
    }
    client.login(at, "good").alive();
    let listed = node.ctl(&["listeners"]);
    let mine = listed.ok().split("mqtt:").find(|part| part.starts_with("quic:external")).unwrap().to_owned();
    assert!(mine.contains("{idle_timeout,2}") && mine.contains("{ssl_error,1}"), "{mine}");
}

#[test]
fn a_client_that_is_silent_stays_as_long_as_its_keep_alive_says() {
    let (node, authority, at) = node(&[]);
    let mut client = Setup::new(&authority.file, None);
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(600).try_into().unwrap()));
    client.transport = Arc::new(transport);
    let mut wire = Wire::on(client.open(at).unwrap());
    wire.send("10 * 'MQTT' 04 02 0001 'short'").gets("20 02 00 00");
    wire.ends();
    until("it is counted", || node.ctl(&["listeners"]).ok().contains("{keepalive_timeout,1}"));
}

#[test]
fn clients_that_do_not_read_are_held_back_and_not_kept_in_memory() {
    let (node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let mut deaf = client.login(at, "deaf");
    deaf.send("82 * 0001 't' 00").gets("90 03 0001 00");
    let mut writer = Wire::v3(node.mqtt(), "writer");
    let payload = "x".repeat(60_000);
    // 30 MB for somebody who takes nothing.
    for _ in 0..500 {
        writer.send(&format!("30 * 't' \"{payload}\""));
    }
    writer.alive();
    // It still is a client, and gets what was kept for it.
    assert!(deaf.packet().len() > 60_000);
    writer.alive();
}

#[test]
fn small_messages_that_a_client_does_not_acknowledge_take_little_room() {
    let (node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    // Its side of QUIC does nothing but while something is waited for.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crypto = Arc::new(QuicClientConfig::try_from(client.tls.clone()).unwrap());
    let _held = runtime.block_on(async {
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(crypto);
        let connection = endpoint.connect_with(config, at, "localhost").unwrap().await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&crate::wire::bytes("10 * 'MQTT' 04 02 003c 'deaf' | 82 * 0001 't' 00"))
            .await
            .unwrap();
        recv.read_exact(&mut [0; 9]).await.unwrap();
        (endpoint, connection, send, recv)
    });
    let mut writer = Wire::v3(node.mqtt(), "writer");
    writer.send("30 * 't' 'x'").alive();
    let before = resident(&node);
    for _ in 0..4_000 {
        writer.send("30 * 't' 'x'").alive();
    }
    let grown = resident(&node).saturating_sub(before);
    assert!(grown < 2_000, "{grown} KiB for 28,000 bytes");
}

#[test]
fn a_port_that_another_has_is_refused_and_so_is_a_path() {
    let mut node = Node::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    node.set("listener.quic.external", &at.to_string());
    node.set("listener.quic.external.certfile", "etc/certs/cert.pem");
    node.set("listener.quic.external.keyfile", "etc/certs/key.pem");
    let why = format!("Failed to start {ID} listener on {at}: port {} is in use", at.port());
    node.emqx(&["foreground"]).has(&why).fails();
    node.set("listener.quic.external", "/tmp/mqtt.sock");
    node.emqx(&["foreground"]).has("QUIC needs a port").fails();
    drop(socket);
    node.set("listener.quic.external", &at.to_string());
    node.start();
}

#[test]
fn a_node_that_stops_says_good_bye_over_quic() {
    let (mut node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let mut wire = Wire::on(client.open(at).unwrap());
    wire.send("10 * 'MQTT' 05 02 003c {} 'five'");
    assert_eq!(wire.packet()[3], 0);
    node.stop();
    assert_eq!(wire.packet()[..3], [0xe0, 0x01, 0x8b]);
    wire.ends();
}

/// Passes datagrams on to the server, and looks at what comes back without passing it on.
struct OneWay {
    at: SocketAddr,
    /// How many Retry packets came back.
    retries: Arc<std::sync::atomic::AtomicUsize>,
}

impl OneWay {
    fn to(server: SocketAddr) -> OneWay {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        far.connect(server).unwrap();
        let at = near.local_addr().unwrap();
        let retries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (back, counted) = (far.try_clone().unwrap(), retries.clone());
        std::thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok(count) = near.recv(&mut datagram) {
                let _ = far.send(&datagram[..count]);
            }
        });
        std::thread::spawn(move || {
            let mut datagram = [0; 2048];
            while back.recv(&mut datagram).is_ok() {
                // A long header of the type Retry [RFC 9000 §17.2.5].
                let is_retry = datagram[0] & 0xb0 == 0xb0;
                counted.fetch_add(usize::from(is_retry), std::sync::atomic::Ordering::Relaxed);
            }
        });
        OneWay { at, retries }
    }
}

#[test]
fn under_load_a_client_has_to_show_that_it_is_where_it_says() {
    let (node, authority, at) = node(&[("handshake_timeout", "3s")]);
    let client = Setup::new(&authority.file, None);
    let one_way = OneWay::to(at);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let crypto = Arc::new(QuicClientConfig::try_from(client.tls.clone()).unwrap());
    let begun: Vec<quinn::Connecting> = runtime.block_on(async {
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let begin = |_| {
            let config = quinn::ClientConfig::new(crypto.clone());
            endpoint.connect_with(config, one_way.at, "localhost").unwrap()
        };
        (0..100).map(begin).collect()
    });
    until("some are sent back", || one_way.retries.load(std::sync::atomic::Ordering::Relaxed) > 0);
    // As many as may begin without that have begun, and whoever shows it comes in beside them.
    client.login(at, "good").alive();
    let listed = |node: &Node| node.ctl(&["listeners"]).ok().to_owned();
    until("they are given up", || listed(&node).contains("{ssl_upgrade_timeout,64}"));
    drop(begun);
}

#[test]
fn nothing_is_taken_before_a_handshake_that_could_be_sent_twice() {
    let (_node, authority, at) = node(&[]);
    let mut client = Setup::new(&authority.file, None);
    client.tls.enable_early_data = true;
    let mut first = client.login(at, "first");
    first.alive();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let crypto = Arc::new(QuicClientConfig::try_from(client.tls.clone()).unwrap());
    runtime.block_on(async {
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(crypto);
        let early = endpoint.connect_with(config, at, "localhost").unwrap().into_0rtt();
        let connection = early.err().expect("no early data").await.expect("a whole handshake");
        connection.close(VarInt::from_u32(0), b"");
    });
}

#[test]
fn what_comes_before_the_login_takes_little_room_over_quic_too() {
    let (node, authority, at) = node(&[]);
    let client = Setup::new(&authority.file, None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let crypto = Arc::new(QuicClientConfig::try_from(client.tls.clone()).unwrap());
    // All but the end of the longest CONNECT, from many: a client id of 16,366 bytes.
    let begun = [b"\x10\xfa\x7f\0\x04MQTT\x04\x02\0\x3c\x3f\xee".to_vec(), vec![b'x'; 16_000]].concat();
    let sends = |count: usize| {
        runtime.block_on(async {
            let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let mut all = Vec::new();
            for _ in 0..count {
                let config = quinn::ClientConfig::new(crypto.clone());
                let connection = endpoint.connect_with(config, at, "localhost").unwrap().await.unwrap();
                let (mut send, recv) = connection.open_bi().await.unwrap();
                let sent = tokio::time::timeout(Duration::from_millis(500), send.write_all(&begun)).await;
                all.push((connection, send, recv, matches!(sent, Ok(Ok(())))));
            }
            (endpoint, all)
        })
    };
    let _warm = sends(20);
    let before = resident(&node);
    let all = sends(200);
    assert!(all.1.iter().all(|(.., sent)| *sent), "a CONNECT of that length is read");
    let each = resident(&node).saturating_sub(before) / 200;
    assert!(all.1.iter().all(|(connection, ..)| connection.close_reason().is_none()), "all are still there");
    assert!(each <= 64, "{each} KiB a connection");
}
