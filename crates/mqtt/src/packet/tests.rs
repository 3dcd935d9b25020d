//! Every packet in every version: there and back, cut, with other flags, with other bytes, and the
//! mistakes that clients make. Tags name statements of 5.0; those of 3.1.1 have its number after them.

use super::*;
use crate::codec::{PACKET_BYTES_MAX, Properties, Property, frame};
use crate::{Epoch, MessageRef, QoS};

mod mistakes;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// A property list that lives as long as the test.
fn list(properties: &[Property<'_>]) -> Properties<'static> {
    let mut raw = Vec::new();
    properties.iter().for_each(|p| p.write(&mut raw));
    Properties::trusted(raw.leak())
}

/// The list in 5.0, none before.
fn in_v5(version: Version, properties: &[Property<'_>]) -> Properties<'static> {
    if version.is_v5() { list(properties) } else { Properties::NONE }
}

fn bytes_of(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    out
}

fn decode(version: Version, bytes: &[u8]) -> Result<Packet<'_>, Reason> {
    let whole = frame(bytes, usize::MAX).map_err(|e| e.0)?.expect("the packet is whole");
    assert_eq!(whole.length, bytes.len());
    Packet::decode(version, &whole)
}

/// The packet with another body, and the length that fits it.
fn with_body(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.put_varint(body.len());
    bytes.extend_from_slice(body);
    bytes
}

/// At least one of every packet, with every property that it may carry.
fn samples(version: Version) -> Vec<Vec<u8>> {
    let user = Property::User(("k", "v"));
    let reasoned = [Property::ReasonString("why"), user, user];
    let mut all = vec![
        Packet::Connect(Connect {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id: "c",
            username: None,
            password: None,
            will: None,
            properties: Properties::NONE,
            bridge: false,
        }),
        Packet::Connect(Connect {
            version,
            clean_start: false,
            keep_alive: 65_535,
            client_id: "",
            username: Some("user"),
            password: Some(&[0, 255]),
            will: Some(Will {
                topic: "will/é",
                payload: &[1, 2, 0],
                qos: QoS::ExactlyOnce,
                retain: true,
                properties: in_v5(
                    version,
                    &[
                        Property::WillDelay(5),
                        Property::PayloadFormat(1),
                        Property::MessageExpiry(u32::MAX),
                        Property::ContentType("t"),
                        Property::ResponseTopic("r/t"),
                        Property::CorrelationData(&[0, 1]),
                        user,
                    ],
                ),
            }),
            properties: in_v5(
                version,
                &[
                    Property::SessionExpiry(u32::MAX),
                    Property::ReceiveMax(1),
                    Property::MaxPacketSize(u32::MAX),
                    Property::TopicAliasMax(0),
                    Property::RequestResponseInfo(1),
                    Property::RequestProblemInfo(0),
                    user,
                    Property::AuthMethod("m"),
                    Property::AuthData(&[9]),
                ],
            ),
            bridge: version == Version::V311,
        }),
        Packet::Connack(Connack {
            session_present: version != Version::V31,
            reason: Reason::Success,
            properties: in_v5(
                version,
                &[
                    Property::SessionExpiry(1),
                    Property::ReceiveMax(2),
                    Property::MaxQos(1),
                    Property::RetainAvailable(0),
                    Property::MaxPacketSize(3),
                    Property::AssignedClientId("id"),
                    Property::TopicAliasMax(4),
                    Property::WildcardAvailable(0),
                    Property::SubscriptionIdAvailable(0),
                    Property::SharedAvailable(0),
                    Property::ServerKeepAlive(5),
                    Property::ResponseInfo("i"),
                    Property::ServerReference("s"),
                    Property::AuthMethod("m"),
                    Property::AuthData(&[]),
                    Property::ReasonString("why"),
                    user,
                ],
            ),
        }),
        Packet::Connack(Connack {
            session_present: false,
            reason: Reason::NotAuthorized,
            properties: Properties::NONE,
        }),
        Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: true,
            topic: "a/b",
            packet_id: 0,
            properties: Properties::NONE,
            payload: b"",
        }),
        Packet::Publish(Publish {
            dup: true,
            qos: QoS::ExactlyOnce,
            retain: false,
            topic: "\u{FEFF}/\u{10FFFF}/ ",
            packet_id: 65_535,
            properties: in_v5(
                version,
                &[
                    Property::PayloadFormat(0),
                    Property::MessageExpiry(0),
                    Property::TopicAlias(7),
                    Property::ResponseTopic("r"),
                    Property::CorrelationData(&[1; 200]),
                    Property::SubscriptionId(1),
                    Property::SubscriptionId(268_435_455),
                    Property::ContentType(""),
                    user,
                    user,
                ],
            ),
            payload: &[7; 300],
        }),
        Packet::Suback(Suback {
            packet_id: 3,
            properties: in_v5(version, &reasoned),
            codes: if version.is_v5() { &[0, 1, 2, 0x8F] } else { &[0, 1, 2, 0x80] },
        }),
        Packet::Unsuback(Unsuback {
            packet_id: 4,
            properties: in_v5(version, &reasoned),
            codes: if version.is_v5() { &[0, 0x11] } else { &[] },
        }),
        Packet::Pingreq,
        Packet::Pingresp,
        Packet::Disconnect(Disconnect { reason: Reason::Success, properties: Properties::NONE }),
    ];
    for kind in [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp] {
        all.push(Packet::Ack(Ack::new(kind, 1, Reason::Success)));
    }
    if version.is_v5() {
        let properties = list(&reasoned);
        all.extend([
            Packet::Ack(Ack::new(AckKind::Pubrec, 256, Reason::QuotaExceeded)),
            Packet::Ack(Ack { kind: AckKind::Puback, packet_id: 9, reason: Reason::Success, properties }),
            Packet::Ack(Ack {
                kind: AckKind::Pubrel,
                packet_id: 9,
                reason: Reason::PacketIdNotFound,
                properties,
            }),
            Packet::Disconnect(Disconnect { reason: Reason::SessionTakenOver, properties }),
            Packet::Disconnect(Disconnect {
                reason: Reason::DisconnectWithWill,
                properties: list(&[Property::SessionExpiry(9)]),
            }),
            Packet::Auth(Auth {
                reason: Reason::ReAuthenticate,
                properties: list(&[Property::AuthMethod("m"), Property::AuthData(&[1, 2])]),
            }),
            Packet::Auth(Auth { reason: Reason::Success, properties: Properties::NONE }),
        ]);
    }
    let mut encoded: Vec<Vec<u8>> = all.iter().map(|p| bytes_of(version, p)).collect();
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: version.is_v5(),
        retain_as_published: version.is_v5(),
        retain_handling: if version.is_v5() { RetainHandling::Never } else { RetainHandling::Always },
    };
    let filters = [
        SubscribeFilter { filter: "a/+/#", options },
        SubscribeFilter { filter: "$share/g/a", options: SubscriptionOptions::default() },
    ];
    let mut out = Vec::new();
    let properties = in_v5(version, &[Property::SubscriptionId(128), user]);
    Subscribe::encode_for(version, 77, properties, &filters, &mut out);
    encoded.push(std::mem::take(&mut out));
    Unsubscribe::encode_for(version, 78, &["a/+/#", "b"], &mut out);
    encoded.push(out);
    encoded
}

/// [MQTT-2.2.2-1] [MQTT-1.5.4-3] [MQTT-1.5.7-1], [MQTT-1.5.3-3] (3.1.1)
#[test]
fn every_packet_goes_there_and_back_in_every_version() {
    for version in VERSIONS {
        for bytes in samples(version) {
            let packet = decode(version, &bytes).expect("a sample is valid");
            assert_eq!(bytes_of(version, &packet), bytes, "{version:?} {packet:?}");
        }
    }
}

#[test]
fn the_filters_of_subscribe_and_unsubscribe_come_in_order_with_their_options() {
    for version in VERSIONS {
        for bytes in samples(version) {
            match decode(version, &bytes) {
                Ok(Packet::Subscribe(packet)) => {
                    let filters: Vec<_> = packet.filters().collect();
                    assert_eq!(
                        (filters.len(), filters[0].filter, filters[1].filter),
                        (2, "a/+/#", "$share/g/a")
                    );
                    assert_eq!(filters[0].options.qos, QoS::ExactlyOnce);
                    assert_eq!(filters[0].options.no_local, version.is_v5());
                    assert_eq!(packet.subscription_id(), version.is_v5().then_some(128));
                }
                Ok(Packet::Unsubscribe(packet)) => {
                    assert_eq!(packet.filters().collect::<Vec<_>>(), ["a/+/#", "b"]);
                }
                _ => {}
            }
        }
    }
}

/// A packet that has not come whole is waited for; one whose length lies is refused or, by chance,
/// another valid packet. Nothing panics.
#[test]
fn every_packet_cut_at_every_byte_is_waited_for_or_refused() {
    for version in VERSIONS {
        for bytes in samples(version) {
            let whole = frame(&bytes, usize::MAX).unwrap().unwrap();
            for cut in 0..bytes.len() {
                assert_eq!(frame(&bytes[..cut], usize::MAX), Ok(None), "{bytes:?} cut at {cut}");
            }
            for cut in 0..whole.body.len() {
                let cut_bytes = with_body(bytes[0], &whole.body[..cut]);
                for judge in VERSIONS {
                    if let Ok(packet) = decode(judge, &cut_bytes) {
                        let again = bytes_of(judge, &packet);
                        assert!(decode(judge, &again).is_ok(), "{judge:?} {packet:?}");
                    }
                }
            }
        }
    }
}

/// [MQTT-2.1.3-1] [MQTT-3.3.1-4] [MQTT-3.3.1-2] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
/// [MQTT-3.14.1-1] [MQTT-3.15.1-1], [MQTT-2.2.2-1] (3.1.1) [MQTT-2.2.2-2] (3.1.1) [MQTT-3.6.1-1] (3.1.1)
/// [MQTT-3.8.1-1] (3.1.1) [MQTT-3.10.1-1] (3.1.1) [MQTT-3.14.1-1] (3.1.1)
#[test]
fn flags_other_than_those_of_the_packet_are_refused() {
    for version in VERSIONS {
        for bytes in samples(version) {
            let kind = bytes[0] >> 4;
            for flags in 0..16u8 {
                let mut changed = bytes.clone();
                changed[0] = kind << 4 | flags;
                let is_valid = match frame(&changed, usize::MAX) {
                    Ok(Some(whole)) => Packet::decode(version, &whole).is_ok(),
                    Ok(None) => panic!("flags do not change the length"),
                    Err(error) => {
                        assert_eq!(error.0, Reason::MalformedPacket);
                        false
                    }
                };
                let own = bytes[0] & 0x0F;
                match kind {
                    kind::PUBLISH => assert!(
                        is_valid
                            || flags & 0b0110 == 0b0110
                            || flags & 0b0110 != own & 0b0110
                            || flags & 0b1110 == 0b1000
                    ),
                    // DUP of 3.1.
                    kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE if version == Version::V31 => {
                        assert_eq!(is_valid, flags == 2 || flags == 10, "{kind} {flags}");
                    }
                    _ => assert_eq!(is_valid, flags == own, "{version:?} {kind} {flags}"),
                }
            }
        }
    }
}

/// Every byte of every packet, and many at once, replaced: what is still a packet is one that can be
/// sent again.
#[test]
fn packets_with_other_bytes_are_refused_or_valid_and_nothing_panics() {
    let judge = |version: Version, bytes: &[u8]| {
        let Ok(Some(whole)) = frame(bytes, PACKET_BYTES_MAX as usize) else { return };
        let Ok(packet) = Packet::decode(version, &whole) else { return };
        let version = if let Packet::Connect(c) = &packet { c.version } else { version };
        let again = bytes_of(version, &packet);
        let reread = decode(version, &again);
        assert!(reread.is_ok(), "{version:?} {packet:?} {reread:?}");
    };
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for version in VERSIONS {
        for bytes in samples(version) {
            for position in 0..bytes.len() {
                for value in [0, 1, 2, 0x23, 0x2B, 0x7F, 0x80, 0xC3, 0xED, 0xFF] {
                    let mut changed = bytes.clone();
                    changed[position] = value;
                    judge(version, &changed);
                }
            }
            for _ in 0..500 {
                let mut changed = bytes.clone();
                for _ in 0..=next(4) {
                    let position = next(changed.len());
                    changed[position] = next(256) as u8;
                }
                judge(VERSIONS[next(3)], &changed);
            }
        }
    }
}

/// A body in hexadecimal digits; blanks are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-2], [MQTT-3.1.2-1] (3.1.1) [MQTT-3.1.2-2] (3.1.1)
#[test]
fn an_unknown_version_says_in_which_words_it_can_be_refused() {
    let table = [
        ("00044d515454 06 02 003c 0000", Some(Version::V311)),
        ("00044d515454 00 02 003c 0000", Some(Version::V311)),
        ("00064d5149736470 04 02 003c 0000", Some(Version::V31)),
        ("00044d515458 04 02 003c 0000", None),
        ("0000 04 02 003c 0000", None),
    ];
    for (body, version) in table {
        let error = ConnectError { reason: Reason::UnsupportedProtocolVersion, version };
        assert_eq!(Connect::decode(&hex(body)), Err(error), "{body}");
    }
    let body = hex("00044d515454 05 02 003c 7f");
    let cut = Connect::decode(&body);
    assert_eq!(cut, Err(ConnectError { reason: Reason::MalformedPacket, version: Some(Version::V5) }));
}

/// Client id, will topic, will payload, user name, password, each where its flag says so; 5.0 has the properties
/// of the will before its topic.
/// [MQTT-3.1.2-9] [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.3-1] [MQTT-3.1.3-3], [MQTT-3.1.2-9] (3.1.1)
/// [MQTT-3.1.2-19] (3.1.1) [MQTT-3.1.2-21] (3.1.1) [MQTT-3.1.3-1] (3.1.1) [MQTT-3.1.3-3] (3.1.1)
#[test]
fn the_fields_of_a_connect_come_in_their_order() {
    let login = "0001 75 0002 7077";
    for (level, properties, will_properties) in [("04", "", ""), ("05", "00", "05 1800000009")] {
        let head = format!("00044d515454 {level}");
        let body = format!("{head} f6 003c {properties} 0001 69 {will_properties} 0001 74 0001 6d {login}");
        let body = hex(&body);
        let connect = Connect::decode(&body).unwrap();
        assert_eq!(
            (connect.client_id, connect.username, connect.password),
            ("i", Some("u"), Some(&b"pw"[..]))
        );
        let will = connect.will.unwrap();
        assert_eq!(
            (will.topic, will.payload, will.qos, will.retain),
            ("t", &b"m"[..], QoS::ExactlyOnce, true)
        );
        let delay = will.properties.find(|p| if let Property::WillDelay(s) = p { Some(s) } else { None });
        assert_eq!(delay, (level == "05").then_some(9));
        let body = hex(&format!("{head} c2 003c {properties} 0001 69 {login}"));
        let connect = Connect::decode(&body).unwrap();
        assert_eq!((connect.client_id, connect.username, connect.will), ("i", Some("u"), None));
    }
}

/// The packet's length goes before its flags (§3.1 of 3.1).
#[test]
fn a_client_of_3_1_may_leave_out_a_login_that_its_flags_announce() {
    let body = hex("00064d5149736470 03 c3 003c 0001 61");
    let connect = Connect::decode(&body).unwrap();
    assert_eq!((connect.username, connect.password), (None, None));
    let body = hex("00064d5149736470 03 c2 003c 0001 61 0001 75");
    let connect = Connect::decode(&body).unwrap();
    assert_eq!((connect.username, connect.password), (Some("u"), None));
}

/// [MQTT-3.3.4-3]: the bytes that a subscriber gets are those of an ordinary PUBLISH.
#[test]
fn a_forwarded_message_is_encoded_as_a_publish_would_be() {
    let user = Property::User(("k", "v"));
    let message = MessageRef {
        topic: "a/bc",
        payload: &[5; 150],
        properties: list(&[user, Property::ContentType("t")]),
        qos: QoS::ExactlyOnce,
        retain: true,
        created: Epoch(0),
        expiry: Some(100),
        publisher: b"p",
    };
    let alias = |is_known| Some(Alias { number: 9, is_known });
    for (subscription_ids, alias, expiry) in
        [(&[][..], None, None), (&[1, 300][..], alias(false), Some(70)), (&[5][..], alias(true), None)]
    {
        let forward = Forward {
            message: &message,
            dup: true,
            qos: QoS::AtLeastOnce,
            retain: false,
            packet_id: 12,
            expiry,
            subscription_ids,
            alias,
        };
        for version in VERSIONS {
            let mut properties = Vec::new();
            properties.extend(expiry.map(Property::MessageExpiry));
            properties.extend([user, Property::ContentType("t")]);
            properties.extend(alias.map(|a| Property::TopicAlias(a.number)));
            properties.extend(subscription_ids.iter().map(|id| Property::SubscriptionId(*id)));
            let is_named = !alias.is_some_and(|a| a.is_known);
            if !version.is_v5() && !is_named {
                continue;
            }
            let expected = Packet::Publish(Publish {
                dup: true,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: if is_named { "a/bc" } else { "" },
                packet_id: 12,
                properties: in_v5(version, &properties),
                payload: &[5; 150],
            });
            let mut bytes = Vec::new();
            forward.encode_head(version, &mut bytes);
            bytes.extend_from_slice(message.payload);
            assert_eq!(bytes, bytes_of(version, &expected), "{version:?}");
            assert_eq!(forward.bytes(version), bytes.len());
        }
    }
}

#[test]
fn lengths_of_one_to_four_bytes_are_written_in_their_shortest_form() {
    for length in [0, 1, 124, 125, 126, 16_380, 16_381, 2_097_148, 2_097_149] {
        let payload = vec![0; length];
        let packet = Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "a",
            packet_id: 0,
            properties: Properties::NONE,
            payload: &payload,
        });
        let bytes = bytes_of(Version::V311, &packet);
        assert_eq!(decode(Version::V311, &bytes), Ok(packet));
        let codes = vec![0; length.max(1)];
        let suback = Packet::Suback(Suback { packet_id: 1, properties: Properties::NONE, codes: &codes });
        let bytes = bytes_of(Version::V5, &suback);
        assert_eq!(decode(Version::V5, &bytes), Ok(suback));
    }
}
