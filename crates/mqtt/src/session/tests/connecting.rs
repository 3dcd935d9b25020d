//! What a new connection says and hears first.

use super::*;

/// [MQTT-3.2.2-2] [MQTT-3.2.2-9] [MQTT-3.2.2-16] [MQTT-3.1.2-28]
#[test]
fn a_connack_says_what_is_limited_and_nothing_else() {
    let say = |connect: &Connect<'_>, limits: &Limits, present: bool, assigned: Option<&str>, expiry: u32| {
        let mut session = Session::open(connect, limits, Flight::default(), Now(0));
        let mut out = Out::default();
        session.connack(connect, limits, present, assigned, expiry, &mut out);
        in_words(connect.version, &out.take_bytes()).concat()
    };
    let plain = connect(V5, &[]);
    assert_eq!(
        say(&plain, &Limits::default(), true, None, 0),
        "CONNACK true success ReceiveMax(100) MaxPacketSize(1048576) TopicAliasMax(65535)"
    );
    let unlimited =
        Limits { awaiting_rel_max: 0, packet_bytes_max: 0, topic_alias_max: 0, ..Limits::default() };
    assert_eq!(say(&plain, &unlimited, false, None, 0), "CONNACK false success");
    assert_eq!(
        say(&plain, &unlimited, false, Some("id"), 7),
        "CONNACK false success SessionExpiry(7) AssignedClientId(\"id\")"
    );
    let limited = Limits {
        qos_max: QoS::AtMostOnce,
        retain_available: false,
        wildcard_available: false,
        shared_available: false,
        server_keep_alive: Some(9),
        response_information: Some("r".into()),
        ..unlimited
    };
    let words = "CONNACK false success MaxQos(0) RetainAvailable(0) WildcardAvailable(0) SharedAvailable(0) ServerKeepAlive(9)";
    assert_eq!(say(&plain, &limited, false, None, 0), words);
    let curious = connect(V5, &[Property::RequestResponseInfo(1)]);
    assert_eq!(say(&curious, &limited, false, None, 0), format!("{words} ResponseInfo(\"r\")"));
    assert_eq!(say(&connect(V311, &[]), &limited, true, None, 0), "CONNACK true success");
    assert_eq!(say(&connect(Version::V31, &[]), &limited, true, None, 0), "CONNACK false success");
}

/// [MQTT-3.2.2-12] [MQTT-3.2.2-13] [MQTT-3.1.3-6], [MQTT-3.1.3-8] (3.1.1)
#[test]
fn a_connect_beyond_the_rules_is_not_acceptable() {
    let will = Will {
        topic: "a/b",
        payload: b"",
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: Properties::NONE,
    };
    let willing = Connect { will: Some(will), ..connect(V5, &[]) };
    let all = Limits::default();
    let nameless = |version, clean_start| Connect { client_id: "", clean_start, ..connect(version, &[]) };
    let table = [
        (willing, all.clone(), Ok(())),
        (willing, Limits { qos_max: QoS::AtLeastOnce, ..all.clone() }, Err(Reason::QosNotSupported)),
        (willing, Limits { retain_available: false, ..all.clone() }, Err(Reason::RetainNotSupported)),
        (willing, Limits { topic_levels_max: 1, ..all.clone() }, Err(Reason::TopicNameInvalid)),
        (
            Connect { will: Some(Will { topic: "a/#", ..will }), ..willing },
            all.clone(),
            Err(Reason::TopicNameInvalid),
        ),
        (connect(V5, &[Property::AuthMethod("m")]), all.clone(), Err(Reason::BadAuthenticationMethod)),
        (nameless(V5, false), all.clone(), Ok(())),
        (nameless(V311, true), all.clone(), Ok(())),
        (nameless(V311, false), all.clone(), Err(Reason::ClientIdNotValid)),
        (nameless(Version::V31, true), all.clone(), Err(Reason::ClientIdNotValid)),
    ];
    for (connect, limits, expected) in table {
        assert_eq!(acceptable(&connect, &limits), expected, "{connect:?}");
    }
}

/// Plays the bytes of a new connection, as a driver would, and says how it stands afterwards.
fn play(mut bytes: &[u8]) -> String {
    let limits = Limits::default();
    let mut out = Out::default();
    let mut session: Option<Session> = None;
    let mut version = V311;
    while out.closing().is_none() {
        let whole = match frame(bytes, limits.packet_bytes_max as usize) {
            Ok(Some(whole)) => whole,
            Ok(None) => break,
            Err(error) => {
                match &mut session {
                    Some(session) => session.close(error.0, &mut out),
                    None => out.close(Close::ByServer(error.0)),
                }
                break;
            }
        };
        bytes = &bytes[whole.length..];
        if let Some(session) = &mut session {
            match Packet::decode(version, &whole) {
                Ok(packet) => match session.receive(packet, Now(0), &mut out) {
                    Some(Request::Publish(p)) => session.accepted(p.ticket, Reason::Success, &mut out),
                    Some(Request::Subscribe(s)) => session.suback(s.packet_id, &[0], &mut out),
                    Some(Request::Unsubscribe(u)) => session.unsuback(u.packet_id, &[0], &mut out),
                    _ => {}
                },
                Err(reason) => session.close(reason, &mut out),
            }
        } else if whole.kind != packet::kind::CONNECT {
            out.close(Close::ByServer(Reason::ProtocolError));
        } else {
            match Connect::decode(whole.body) {
                Ok(connect) => match acceptable(&connect, &limits) {
                    Ok(()) => {
                        version = connect.version;
                        session = Some(Session::open(&connect, &limits, Flight::default(), Now(0)));
                    }
                    Err(reason) => refuse(&connect, reason, &mut out),
                },
                Err(error) => {
                    version = error.version.unwrap_or(V311);
                    match error.version {
                        Some(version) => refuse(version, error.reason, &mut out),
                        None => out.close(Close::ByServer(error.reason)),
                    }
                }
            }
        }
    }
    let is_closed = out.closing().is_some();
    let answer = out.take_bytes();
    let whole = frame(&answer, 1000).unwrap();
    match whole.map(|w| (w.kind, w.body)) {
        _ if !is_closed && !bytes.is_empty() => "silent".into(),
        _ if !is_closed => "alive".into(),
        Some((packet::kind::CONNACK, body)) => format!("connack:{:02x}", body[1]),
        Some((packet::kind::DISCONNECT, body)) => format!("disconnect:{:02x}", body[0]),
        _ => "close".into(),
    }
}

/// What no well-behaved client sends at once on a new connection, and the answer. `+` stands for a good
/// CONNECT of 3.1.1, `5` for one of 5.0.
/// [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.1.4-1] [MQTT-3.2.2-7] [MQTT-4.13.1-1] [MQTT-4.13.2-1]
/// [MQTT-3.14.0-1], [MQTT-3.1.0-1] (3.1.1) [MQTT-3.1.4-1] (3.1.1) [MQTT-3.2.2-6] (3.1.1)
/// [MQTT-4.8.0-1] (3.1.1)
#[test]
fn bad_bytes_get_the_right_answer_or_the_end() {
    let table = [
        ("publish before connect", "30060003612f6278", "close"),
        ("ping before connect", "c000", "close"),
        ("http", "474554202f20485454502f312e310d0a486f73743a20780d0a0d0a", "close"),
        ("tls", "16030100c8010000c40303", "close"),
        ("a long length before connect", "30ffffff7f", "close"),
        ("half a connect", "100f00044d5154540402003c0003", "silent"),
        ("half a length", "10ff", "silent"),
        ("second connect", "+ 100f00044d5154540402003c0003626164", "close"),
        ("wrong protocol name", "100f00044d5154580402003c0003626164", "close"),
        ("level 6", "100f00044d5154540602003c0003626164", "connack:01"),
        ("reserved connect flag", "100f00044d5154540403003c0003626164", "close"),
        ("will QoS 3", "101500044d515454041e003c000362616400017700016d", "close"),
        ("will QoS without will", "100f00044d515454040a003c0003626164", "close"),
        ("will retain without will", "100f00044d5154540422003c0003626164", "close"),
        ("will topic with wildcard", "101500044d5154540406003c000362616400012300016d", "close"),
        ("password without user", "101300044d5154540442003c000362616400027077", "close"),
        ("no client id, not clean", "100c00044d5154540400003c0000", "connack:02"),
        ("client id not UTF-8", "100f00044d5154540402003c000361c328", "close"),
        ("client id longer than the packet", "100f00044d5154540402003c000a616263", "close"),
        ("length of five bytes", "10ffffffff01", "close"),
        ("length not minimal", "108f0000044d5154540402003c0003626164", "close"),
        ("publish QoS 3", "+ 3606000161000178", "close"),
        ("publish topic with plus", "+ 30060003612f2b78", "close"),
        ("publish topic with hash", "+ 300400012378", "close"),
        ("publish empty topic", "+ 3003000078", "close"),
        ("publish identifier 0", "+ 3206000161000078", "close"),
        ("publish topic too long", "+ 3005ffff616263", "close"),
        ("publish without body", "+ 3000", "close"),
        ("a packet larger than allowed", "+ 30ffffff7f", "close"),
        ("subscribe flags 0", "+ 8006000100016100", "close"),
        ("subscribe with DUP", "+ 8a06000100016100", "close"),
        ("subscribe without filter", "+ 82020001", "close"),
        ("subscribe QoS 3", "+ 8206000100016103", "close"),
        ("subscribe hash in the middle", "+ 820a00010005612f232f6200", "close"),
        ("subscribe plus in a level", "+ 820900010004612b2f6200", "close"),
        ("subscribe cut", "+ 820400010001", "close"),
        ("unsubscribe flags 0", "+ a0050001000161", "close"),
        ("unsubscribe without filter", "+ a2020001", "close"),
        ("pubrel flags 0", "+ 60020001", "close"),
        ("type 0", "+ 0000", "close"),
        ("type 15 in 3.1.1", "+ f000", "close"),
        ("puback of an unknown identifier", "+ 40021234", "alive"),
        ("pubrel of an unknown identifier", "+ 62021234", "alive"),
        ("half a publish", "+ 3210000161", "silent"),
        ("5.0 second connect", "5 101000044d5154540502003c000003626164", "disconnect:82"),
        (
            "5.0 session expiry twice",
            "101a00044d5154540502003c0a110000000111000000010003626164",
            "connack:82",
        ),
        ("5.0 receive maximum 0", "101300044d5154540502003c032100000003626164", "connack:82"),
        ("5.0 unknown property", "101200044d5154540502003c0204010003626164", "connack:81"),
        ("5.0 properties past the end", "101500044d5154540502003c7f11000000010003626164", "connack:81"),
        ("5.0 reserved connect flag", "101000044d5154540503003c000003626164", "connack:81"),
        ("5.0 authentication method", "101400044d5154540502003c0415000161 0003626164", "connack:8c"),
        (
            "5.0 will topic with wildcard",
            "101700044d5154540506003c000003626164000001 230001 6d",
            "connack:90",
        ),
        ("5.0 topic alias 0", "5 30080001610323000078", "disconnect:94"),
        ("5.0 empty topic without alias", "5 300400000078", "disconnect:82"),
        ("5.0 topic with hash", "5 30050001230078", "disconnect:90"),
        ("5.0 subscription identifier from a client", "5 300700016102 0b0178", "disconnect:82"),
        ("5.0 retain handling 3", "5 8207000100 000161 30", "disconnect:82"),
        ("5.0 no local on a shared filter", "5 8210000100000a2473686172652f672f6104", "disconnect:82"),
        ("5.0 filter that is none", "5 820800010000026123 00", "disconnect:8f"),
        ("5.0 a packet larger than allowed", "5 30ffffff7f", "disconnect:95"),
        ("5.0 length not minimal", "5 c08000", "disconnect:81"),
        ("5.0 type 0", "5 0000", "disconnect:81"),
        ("5.0 auth", "5 f000", "disconnect:82"),
        ("5.0 disconnect that prolongs the session", "5 e00700051100000005", "disconnect:82"),
    ];
    for (name, input, expected) in table {
        let input = input
            .replace('+', "100f00044d5154540402003c0003626164")
            .replace("5 ", "101000044d5154540502003c000003626164")
            .replace(' ', "");
        let bytes: Vec<u8> =
            (0..input.len() / 2).map(|i| u8::from_str_radix(&input[2 * i..2 * i + 2], 16).unwrap()).collect();
        assert_eq!(play(&bytes), expected, "{name}");
    }
}
