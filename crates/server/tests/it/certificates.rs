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

/// Whether a client of that certificate gets a CONNACK. In TLS 1.3 its handshake ends before the server has looked at it.
fn comes_in(node: &Node, port: u16, config: &Arc<ClientConfig>) -> bool {
    let Ok(stream) = tls(connected(node, port), config) else { return false };
    !Wire::on(stream).send("10 * 'MQTT' 04 02 003c 'guest'").packet().is_empty()
}

/// A client that speaks these suites alone, in this order.
fn speaking(authority: &Authority, suites: &[rustls::CipherSuite]) -> Arc<ClientConfig> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let known = std::mem::take(&mut provider.cipher_suites);
    provider.cipher_suites =
        suites.iter().map(|suite| *known.iter().find(|known| known.suite() == *suite).unwrap()).collect();
    let builder = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_file(&authority.file).unwrap()).unwrap();
    Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn the_suites_that_are_set_are_spoken_in_their_order_and_the_others_are_named() {
    use rustls::CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as SMALL, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as LARGE,
        TLS13_AES_128_GCM_SHA256 as NEW,
    };
    let both =
        "AES128-SHA,ECDHE-ECDSA-AES256-GCM-SHA384,NO-SUCH-SUITE,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let (mut node, authority) =
        verifying(&[("ciphers", both), ("tls_versions", "tlsv1.3, tlsv1.2, tlsv1.1")]);
    let said = node.said();
    assert!(said.contains("AES128-SHA, NO-SUCH-SUITE"), "{said}");
    let suite = |node: &Node, order: &[rustls::CipherSuite]| {
        let stream = tls(connected(node, 2), &speaking(&authority, order)).ok()?;
        stream.conn.negotiated_cipher_suite().map(|suite| suite.suite())
    };
    assert_eq!(suite(&node, &[NEW]), None, "no suite of 1.3 is among them");
    assert_eq!(suite(&node, &[NEW, SMALL, LARGE]), Some(SMALL), "the client's order decides");
    node.stop();
    node.set("listener.ssl.external.honor_cipher_order", "on");
    node.start();
    assert_eq!(suite(&node, &[NEW, SMALL, LARGE]), Some(LARGE));
    node.stop();
    for (key, value, why) in [
        ("ciphers", "AES128-SHA", "none of the cipher suites [\"AES128-SHA\"] is spoken"),
        ("tls_versions", "tlsv1", "none of the versions [\"tlsv1\"] is spoken"),
        ("tls_versions", "tlsv1.3", "belongs to one of the versions"),
    ] {
        node.set("listener.ssl.external.ciphers", both);
        node.set("listener.ssl.external.tls_versions", "tlsv1.2");
        node.set(&format!("listener.ssl.external.{key}"), value);
        node.emqx(&["foreground"]).has("Failed to start mqtt:ssl:external listener").has(why).fails();
    }
}

#[test]
fn chains_of_clients_are_as_deep_as_they_may_be_and_end_where_they_may() {
    let (mut node, root) = verifying(&[("fail_if_no_peer_cert", "true"), ("depth", "1")]);
    let (upper, other) = (root.intermediate("upper"), root.intermediate("other"));
    let lower = upper.intermediate("lower");
    let client = |pair: Pair| config(&root.file, &pair);
    let near = client(upper.issue("near", &[]).with_chain(&[&upper]));
    let far = client(lower.issue("far", &[]).with_chain(&[&lower, &upper]));
    let beside = client(other.issue("beside", &[]).with_chain(&[&other]));
    assert!(comes_in(&node, 2, &near) && comes_in(&node, 2, &beside) && !comes_in(&node, 2, &far));
    node.stop();
    node.set("listener.ssl.external.depth", "2");
    node.start();
    assert!(comes_in(&node, 2, &near) && comes_in(&node, 2, &far));
    node.stop();
    // The last certificate of the file, and no other.
    let both = [&root.file, &upper.file].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    std::fs::write(&root.file, both).unwrap();
    node.set("listener.ssl.external.partial_chain", "true");
    node.start();
    assert!(comes_in(&node, 2, &near) && comes_in(&node, 2, &far) && !comes_in(&node, 2, &beside));
}

#[test]
fn a_certificate_that_is_made_for_something_else_is_refused() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, EmailProtection, Other};
    let usages = "clientAuth, codeSigning, OID:1.3.9.9.1";
    let (node, authority) =
        verifying(&[("fail_if_no_peer_cert", "true"), ("tls_versions", "tlsv1.2,tlsv1.3")]);
    let issue = |name: &str, usages: Vec<rcgen::ExtendedKeyUsagePurpose>| {
        let pair = authority.issue_with(name, &[], |params| params.extended_key_usages = usages);
        config(&authority.file, &pair)
    };
    let own = Other(vec![1, 3, 9, 9, 1]);
    let whole = issue("whole", vec![ClientAuth, CodeSigning, EmailProtection, own.clone()]);
    let part = issue("part", vec![ClientAuth, own]);
    let none = issue("none", vec![]);
    let wrong = issue("wrong", vec![CodeSigning]);
    let comes = |node: &Node| [&whole, &part, &none, &wrong].map(|config| comes_in(node, 2, config));
    assert_eq!(comes(&node), [true, true, true, false]);
    let mut strict = node;
    strict.stop();
    strict.set("listener.ssl.external.verify_peer_ext_key_usage", usages);
    strict.start();
    assert_eq!(comes(&strict), [true, false, false, false]);
}

#[test]
fn sessions_are_resumed_unless_the_listener_says_no() {
    for (says, expected) in [("on", rustls::HandshakeKind::Resumed), ("off", rustls::HandshakeKind::Full)] {
        let (node, authority) = verifying(&[("reuse_sessions", says)]);
        let config = client_config(&authority.file, None);
        Wire::on(over_tls(&node, 2, &config)).login("first").bye();
        let second = over_tls(&node, 2, &config);
        assert_eq!(second.conn.handshake_kind(), Some(expected), "{says}");
    }
}

#[test]
fn a_client_that_names_the_server_gets_the_certificate_for_that_name() {
    let mut node = Node::new();
    let authority = Authority::new(&node.root.join("etc"), "root");
    let pairs = [
        authority.issue("first", &["first.example"]),
        authority.issue("second", &["second.example", "10.0.0.1"]),
        authority.issue("wild", &["*.wild.example"]),
    ];
    let list = |pick: fn(&Pair) -> &str| pairs.iter().map(pick).collect::<Vec<_>>().join(", ");
    node.set("listener.ssl.external.certfile", &list(Pair::cert));
    node.set("listener.ssl.external.keyfile", &list(Pair::key));
    node.start();
    let config = client_config(&authority.file, None);
    let shakes = |name: &'static str| {
        let mut tcp = connected(&node, 2);
        let mut tls = rustls::ClientConnection::new(config.clone(), name.try_into().unwrap()).unwrap();
        tls.complete_io(&mut tcp).is_ok()
    };
    for name in ["first.example", "second.example", "a.wild.example"] {
        assert!(shakes(name), "{name}");
    }
    // Whoever asks for a name that there is none for, or for none, gets the first.
    assert!(!shakes("third.example") && !shakes("10.0.0.1"));
    node.stop();
    node.set("listener.ssl.external.keyfile", pairs[0].key());
    node.emqx(&["foreground"]).has("listener.ssl.external.keyfile invalid, must name as many files").fails();
}

/// Two clients, whose certificates have the serial numbers 71 and 72.
fn numbered(authority: &Authority) -> [Arc<ClientConfig>; 2] {
    [71u64, 72].map(|serial| {
        let name = format!("client-{serial}");
        let pair = authority.issue_with(&name, &[], |params| params.serial_number = Some(serial.into()));
        config(&authority.file, &pair)
    })
}

#[test]
fn clients_whose_certificates_are_revoked_are_refused() {
    let mut node = Node::new();
    let authority = Authority::new(&node.root.join("etc"), "root");
    let own = authority.issue("server", &["localhost"]);
    let list = node.root.join("etc/revoked.pem");
    std::fs::write(&list, authority.revoke(&[72])).unwrap();
    for (key, value) in [
        ("certfile", own.cert()),
        ("keyfile", own.key()),
        ("cacertfile", authority.file()),
        ("verify", "verify_peer"),
        ("fail_if_no_peer_cert", "true"),
        ("crlfile", "etc/revoked.pem"),
    ] {
        node.set(&format!("listener.ssl.external.{key}"), value);
        node.set(&format!("listener.wss.external.{key}"), value);
    }
    node.start();
    let clients = numbered(&authority);
    let come = |node: &Node, port| [0, 1].map(|at: usize| comes_in(node, port, &clients[at]));
    assert_eq!(come(&node, 2), [true, false]);
    assert!(tls(connected(&node, 4), &clients[0]).is_ok());
    let mut early = Wire::on(over_tls(&node, 2, &clients[0])).login("early");
    std::fs::write(&list, authority.revoke(&[71, 72])).unwrap();
    assert_eq!(node.ctl(&["pem_cache", "clean", "all"]).ok(), "PEM cache clean OK");
    assert_eq!(come(&node, 2), [false, false]);
    early.alive();
    // A list of somebody else's says nothing about these: nobody is believed.
    std::fs::write(&list, Authority::new(&node.root, "stranger").revoke(&[1])).unwrap();
    node.ctl(&["pem_cache", "clean", "all"]).ok();
    assert_eq!(come(&node, 2), [false, false]);
    std::fs::write(&list, "").unwrap();
    node.ctl(&["pem_cache", "clean", "all"]).has("it holds no revocation list").fails();
}

#[test]
fn revocation_lists_are_fetched_and_fetched_again() {
    use std::io::{Read, Write};
    let served = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/list.crl", served.local_addr().unwrap());
    let (mut node, authority) = verifying(&[("fail_if_no_peer_cert", "true")]);
    node.stop();
    let document = Arc::new(std::sync::Mutex::new(authority.revoke(&[72])));
    let answered = document.clone();
    std::thread::spawn(move || {
        for stream in served.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = answered.lock().unwrap().clone();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    node.set("listener.ssl.external.enable_crl_check", "true");
    node.emqx(&["foreground"]).has("crlfile or crl_cache_urls must say where the lists are").fails();
    node.set("listener.ssl.external.crl_cache_urls", &url);
    node.set("crl_cache_refresh_interval", "1s");
    node.start();
    let clients = numbered(&authority);
    assert!(comes_in(&node, 2, &clients[0]) && !comes_in(&node, 2, &clients[1]));
    *document.lock().unwrap() = authority.revoke(&[71]);
    crate::node::until("the new list counts", || {
        !comes_in(&node, 2, &clients[0]) && comes_in(&node, 2, &clients[1])
    });
    // What is no list leaves the one before in force.
    *document.lock().unwrap() = "not found".into();
    crate::node::until("the log says so", || node.said().contains("what comes is no revocation list"));
    assert!(!comes_in(&node, 2, &clients[0]) && comes_in(&node, 2, &clients[1]));
    node.stop();
    // Without any list nobody is believed.
    node.start();
    assert!(!comes_in(&node, 2, &clients[0]) && !comes_in(&node, 2, &clients[1]));
}

#[test]
fn a_private_key_may_be_protected_by_a_password() {
    let (mut node, authority) = verifying(&[]);
    node.stop();
    let (key, encrypted) = (node.root.join("etc/server-key.pem"), node.root.join("etc/encrypted.pem"));
    let made = std::process::Command::new("openssl")
        .args(["pkcs8", "-topk8", "-passout", "pass:opensesame", "-in"])
        .arg(key)
        .arg("-out")
        .arg(&encrypted)
        .status();
    assert!(made.unwrap().success());
    node.set("listener.ssl.external.keyfile", encrypted.to_str().unwrap());
    node.emqx(&["foreground"]).has("the key is encrypted; set key_password").fails();
    node.set("listener.ssl.external.key_password", "openbarley");
    let said = node.emqx(&["foreground"]);
    said.has("encrypted.pem: key_password does not open it").fails();
    assert!(!format!("{said:?}").contains("openbarley"));
    node.set("listener.ssl.external.key_password", "opensesame");
    node.start();
    assert!(vouched(&node, 2, &authority.file));
}

/// Takes what is stapled to the server's certificate, and believes it whoever it is.
#[derive(Debug, Default)]
struct Stapled(std::sync::Mutex<Vec<u8>>);

impl rustls::client::danger::ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        ocsp_response: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = ocsp_response.to_vec();
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn the_state_of_the_certificate_is_stapled_to_it() {
    let (mut node, authority) = verifying(&[]);
    node.stop();
    let folder = node.root.join("etc");
    let own =
        authority.issue_with("stapled", &["localhost"], |params| params.serial_number = Some(77u64.into()));
    authority.write_key();
    // The records of the authority, as OpenSSL keeps them: valid, until, -, serial number, -, name.
    std::fs::write(folder.join("index.txt"), "V\t391231235959Z\t\t4D\tunknown\t/CN=stapled\n").unwrap();
    let port = node.port(7).to_string();
    let mut responder = std::process::Command::new("openssl")
        .args([
            "ocsp",
            "-index",
            "index.txt",
            "-port",
            &port,
            "-rsigner",
            "root.pem",
            "-rkey",
            "root-key.pem",
        ])
        .args(["-CA", "root.pem", "-nmin", "5"])
        .current_dir(&folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let set = |key: &str, value: &str| node.set(&format!("listener.ssl.external.{key}"), value);
    set("certfile", own.cert());
    set("keyfile", own.key());
    set("enable_ocsp_stapling", "true");
    node.emqx(&["foreground"]).has("ocsp_responder_url invalid, must be set").fails();
    set("ocsp_responder_url", &format!("http://127.0.0.1:{port}/"));
    set("ocsp_issuer_pem", authority.file());
    set("ocsp_refresh_interval", "1s");
    node.start();
    let stapled = Arc::new(Stapled::default());
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(stapled.clone());
    let config = Arc::new(config.with_no_client_auth());
    crate::node::until("an answer is stapled", || {
        let _ = tls(connected(&node, 2), &config);
        !stapled.0.lock().unwrap().is_empty()
    });
    let _ = responder.kill();
    let _ = responder.wait();
    std::fs::write(folder.join("answer.der"), &*stapled.0.lock().unwrap()).unwrap();
    let judged = std::process::Command::new("openssl")
        .args(["ocsp", "-respin", "answer.der", "-CAfile", "root.pem", "-issuer", "root.pem", "-cert"])
        .arg(&own.cert)
        .current_dir(&folder)
        .output()
        .unwrap();
    let judged = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.contains("stapled-cert.pem: good"), "{judged}");
    // The responder is gone: the answer stays until another comes, and the log says so.
    crate::node::until("it is said", || node.said().contains("the state of a certificate cannot be had"));
    stapled.0.lock().unwrap().clear();
    tls(connected(&node, 2), &config).unwrap();
    assert!(!stapled.0.lock().unwrap().is_empty());
}

#[test]
fn every_block_of_the_page_for_operators_is_accepted_and_has_an_effect() {
    let page = include_str!("../../../../docs/operate/listeners.md");
    let blocks: Vec<&str> =
        page.split("```conf\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        let node = Node::new();
        block.lines().for_each(|line| node.line(line));
        let said = node.emqx(&["check_conf"]);
        said.ok();
        for key in block.lines().filter_map(|line| line.split(" = ").next()) {
            assert!(!said.out.contains(&format!("No effect here: {key}:")), "{key}: {said:?}");
        }
    }
}
