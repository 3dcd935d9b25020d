//! The mistakes that clients make, each refused with the reason that names it.

use super::*;

const MALFORMED: Reason = Reason::MalformedPacket;
const PROTOCOL: Reason = Reason::ProtocolError;

/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.5-1] [MQTT-2.2.1-3] [MQTT-3.1.2-3] [MQTT-3.1.2-9]
/// [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18]
/// [MQTT-3.1.2-19] [MQTT-3.1.3-3] [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.3.1-2]
/// [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19] [MQTT-3.8.3-1]
/// [MQTT-3.8.3-2] [MQTT-3.8.3-4] [MQTT-3.8.3-5] [MQTT-3.10.3-1] [MQTT-3.10.3-2] [MQTT-4.7.0-1]
/// [MQTT-4.7.3-2], [MQTT-1.5.3-1] (3.1.1) [MQTT-1.5.3-2] (3.1.1) [MQTT-2.3.1-1] (3.1.1)
/// [MQTT-3.1.2-3] (3.1.1) [MQTT-3.1.2-9] (3.1.1) [MQTT-3.1.2-11] (3.1.1) [MQTT-3.1.2-13] (3.1.1)
/// [MQTT-3.1.2-14] (3.1.1) [MQTT-3.1.2-15] (3.1.1) [MQTT-3.1.2-18] (3.1.1) [MQTT-3.1.2-19] (3.1.1)
/// [MQTT-3.1.2-20] (3.1.1) [MQTT-3.1.2-21] (3.1.1) [MQTT-3.1.2-22] (3.1.1) [MQTT-3.1.3-3] (3.1.1)
/// [MQTT-3.1.3-4] (3.1.1) [MQTT-3.1.3-10] (3.1.1) [MQTT-3.1.3-11] (3.1.1) [MQTT-3.3.1-2] (3.1.1)
/// [MQTT-3.3.1-4] (3.1.1) [MQTT-3.3.2-1] (3.1.1) [MQTT-3.3.2-2] (3.1.1) [MQTT-3.8.3-1] (3.1.1)
/// [MQTT-3.8.3-3] (3.1.1) [MQTT-3.8.3-4] (3.1.1) [MQTT-3.10.3-1] (3.1.1) [MQTT-3.10.3-2] (3.1.1)
/// [MQTT-4.7.1-1] (3.1.1) [MQTT-4.7.3-1] (3.1.1) [MQTT-4.7.3-2] (3.1.1)
#[test]
fn mistakes_are_refused_with_the_reason_that_names_them() {
    use Version::{V5, V311};
    let connect5 = "00044d515454 05";
    let user = "0001 75";
    let table: Vec<(&str, Version, u8, String, Reason)> = [
        // CONNECT
        ("reserved flag", V311, 0x10, "00044d515454 04 03 003c 0001 61".into(), MALFORMED),
        ("reserved flag", V5, 0x10, format!("{connect5} 03 003c 00 0001 61"), MALFORMED),
        ("will QoS 3", V311, 0x10, "00044d515454 04 1e 003c 0001 61 0001 77 0001 6d".into(), MALFORMED),
        ("will QoS without will", V311, 0x10, "00044d515454 04 0a 003c 0001 61".into(), MALFORMED),
        ("will retain without will", V311, 0x10, "00044d515454 04 22 003c 0001 61".into(), MALFORMED),
        ("password without user", V311, 0x10, "00044d515454 04 42 003c 0001 61 0002 7077".into(), MALFORMED),
        ("client id not UTF-8", V311, 0x10, "00044d515454 04 02 003c 0002 c328".into(), MALFORMED),
        ("client id with NUL", V311, 0x10, "00044d515454 04 02 003c 0001 00".into(), MALFORMED),
        (
            "client id longer than the packet",
            V311,
            0x10,
            "00044d515454 04 02 003c 000a 616263".into(),
            MALFORMED,
        ),
        ("user name missing", V311, 0x10, "00044d515454 04 82 003c 0001 61".into(), MALFORMED),
        ("client id not UTF-8", V5, 0x10, format!("{connect5} 02 003c 00 0002 c328"), MALFORMED),
        ("client id missing", V311, 0x10, "00044d515454 04 02 003c".into(), MALFORMED),
        ("client id missing", V5, 0x10, format!("{connect5} 02 003c 00"), MALFORMED),
        // One field, as the flags say, and another one behind it.
        (
            "will without flag",
            V311,
            0x10,
            "00044d515454 04 02 003c 0001 61 0001 77 0001 6d".into(),
            MALFORMED,
        ),
        (
            "will without flag",
            V5,
            0x10,
            format!("{connect5} 02 003c 00 0001 61 00 0001 77 0001 6d"),
            MALFORMED,
        ),
        ("user name without flag", V311, 0x10, "00044d515454 04 02 003c 0001 61 0001 75".into(), MALFORMED),
        ("user name without flag", V5, 0x10, format!("{connect5} 02 003c 00 0001 61 0001 75"), MALFORMED),
        (
            "password without flag",
            V311,
            0x10,
            format!("00044d515454 04 82 003c 0001 61 {user} 0001 70"),
            MALFORMED,
        ),
        (
            "password without flag",
            V5,
            0x10,
            format!("{connect5} 82 003c 00 0001 61 {user} 0001 70"),
            MALFORMED,
        ),
        // Flags, and nothing behind the fields that are there.
        ("will topic missing", V311, 0x10, "00044d515454 04 06 003c 0001 61".into(), MALFORMED),
        ("will topic missing", V5, 0x10, format!("{connect5} 06 003c 00 0001 61 00"), MALFORMED),
        ("will properties missing", V5, 0x10, format!("{connect5} 06 003c 00 0001 61"), MALFORMED),
        ("will payload missing", V311, 0x10, "00044d515454 04 06 003c 0001 61 0001 77".into(), MALFORMED),
        ("will payload missing", V5, 0x10, format!("{connect5} 06 003c 00 0001 61 00 0001 77"), MALFORMED),
        ("user name missing", V5, 0x10, format!("{connect5} 82 003c 00 0001 61"), MALFORMED),
        ("password missing", V311, 0x10, format!("00044d515454 04 c2 003c 0001 61 {user}"), MALFORMED),
        ("password missing", V5, 0x10, format!("{connect5} c2 003c 00 0001 61 {user}"), MALFORMED),
        (
            "will topic not UTF-8",
            V311,
            0x10,
            "00044d515454 04 06 003c 0001 61 0001 ff 0000".into(),
            MALFORMED,
        ),
        (
            "will topic not UTF-8",
            V5,
            0x10,
            format!("{connect5} 06 003c 00 0001 61 00 0001 ff 0000"),
            MALFORMED,
        ),
        ("user name not UTF-8", V311, 0x10, "00044d515454 04 82 003c 0001 61 0001 ff".into(), MALFORMED),
        ("user name not UTF-8", V5, 0x10, format!("{connect5} 82 003c 00 0001 61 0001 ff"), MALFORMED),
        ("will QoS 3", V5, 0x10, format!("{connect5} 1e 003c 00 0001 61 00 0001 77 0000"), MALFORMED),
        ("will QoS without will", V5, 0x10, format!("{connect5} 0a 003c 00 0001 61"), MALFORMED),
        ("will retain without will", V5, 0x10, format!("{connect5} 22 003c 00 0001 61"), MALFORMED),
        ("bytes after the end", V311, 0x10, "00044d515454 04 02 003c 0001 61 00".into(), MALFORMED),
        ("empty", V5, 0x10, "".into(), MALFORMED),
        (
            "other protocol",
            V5,
            0x10,
            "00044d515458 04 02 003c 0001 61".into(),
            Reason::UnsupportedProtocolVersion,
        ),
        ("level 6", V5, 0x10, "00044d515454 06 02 003c 0001 61".into(), Reason::UnsupportedProtocolVersion),
        (
            "session expiry twice",
            V5,
            0x10,
            format!("{connect5} 02 003c 0a 1100000001 1100000001 0001 61"),
            PROTOCOL,
        ),
        ("receive maximum 0", V5, 0x10, format!("{connect5} 02 003c 03 210000 0001 61"), PROTOCOL),
        ("maximum packet size 0", V5, 0x10, format!("{connect5} 02 003c 05 2700000000 0001 61"), PROTOCOL),
        ("request problem information 2", V5, 0x10, format!("{connect5} 02 003c 02 1702 0001 61"), PROTOCOL),
        ("unknown property", V5, 0x10, format!("{connect5} 02 003c 02 0401 0001 61"), MALFORMED),
        ("property of another packet", V5, 0x10, format!("{connect5} 02 003c 02 0100 0001 61"), PROTOCOL),
        (
            "properties longer than the packet",
            V5,
            0x10,
            format!("{connect5} 02 003c 7f 1100000001 0001 61"),
            MALFORMED,
        ),
        (
            "property cut by the length",
            V5,
            0x10,
            format!("{connect5} 02 003c 03 1100000001 0001 61"),
            MALFORMED,
        ),
        ("property length not minimal", V5, 0x10, format!("{connect5} 02 003c 8000 0001 61"), MALFORMED),
        (
            "property length of five bytes",
            V5,
            0x10,
            format!("{connect5} 02 003c ffffffff01 0001 61"),
            MALFORMED,
        ),
        (
            "property identifier not minimal",
            V5,
            0x10,
            format!("{connect5} 02 003c 06 918000000001 0001 61"),
            MALFORMED,
        ),
        (
            "authentication data without method",
            V5,
            0x10,
            format!("{connect5} 02 003c 04 16000161 0001 61"),
            PROTOCOL,
        ),
        (
            "will delay outside the will",
            V5,
            0x10,
            format!("{connect5} 02 003c 05 1800000001 0001 61"),
            PROTOCOL,
        ),
        (
            "response topic with wildcard in will",
            V5,
            0x10,
            format!("{connect5} 06 003c 00 0001 61 05 08000261 2b 0001 77 0000"),
            PROTOCOL,
        ),
        // PUBLISH
        ("empty", V311, 0x30, "".into(), MALFORMED),
        ("topic longer than the packet", V311, 0x30, "ffff 616263".into(), MALFORMED),
        ("empty topic", V311, 0x30, "0000 78".into(), Reason::TopicNameInvalid),
        ("plus in topic", V311, 0x30, "0003 612f2b 78".into(), Reason::TopicNameInvalid),
        ("hash in topic", V5, 0x30, "0001 23 00 78".into(), Reason::TopicNameInvalid),
        ("topic not UTF-8", V311, 0x30, "0002 c328 78".into(), MALFORMED),
        ("NUL in topic", V311, 0x30, "0003 610061".into(), MALFORMED),
        ("surrogate in topic", V5, 0x30, "0003 eda080 00".into(), MALFORMED),
        ("overlong slash in topic", V5, 0x30, "0002 c0af 00".into(), MALFORMED),
        ("NUL in topic", V5, 0x30, "0003 610061 00".into(), MALFORMED),
        ("above U+10FFFF", V5, 0x30, "0004 f4908080 00".into(), MALFORMED),
        ("packet identifier 0", V311, 0x32, "0001 61 0000 78".into(), PROTOCOL),
        ("no packet identifier", V5, 0x34, "0001 61 00".into(), MALFORMED),
        ("DUP with QoS 0", V311, 0x38, "0001 61".into(), MALFORMED),
        ("DUP with QoS 0", V5, 0x38, "0001 61 00".into(), MALFORMED),
        ("topic alias twice", V5, 0x30, "0001 61 06 230001 230001".into(), PROTOCOL),
        ("payload format 2", V5, 0x30, "0001 61 02 0102".into(), PROTOCOL),
        ("response topic with wildcard", V5, 0x30, "0001 61 04 08000123".into(), PROTOCOL),
        ("response topic not UTF-8", V5, 0x30, "0001 61 04 080001ff".into(), MALFORMED),
        ("response topic empty", V5, 0x30, "0001 61 03 080000".into(), PROTOCOL),
        ("user property with half a pair", V5, 0x30, "0001 61 04 26000161".into(), MALFORMED),
        ("subscription identifier 0", V5, 0x30, "0001 61 02 0b00".into(), PROTOCOL),
        ("content type not UTF-8", V5, 0x30, "0001 61 04 030001ff".into(), MALFORMED),
        // PUBACK and its like
        ("no packet identifier", V311, 0x40, "".into(), MALFORMED),
        ("half a packet identifier", V311, 0x50, "00".into(), MALFORMED),
        ("packet identifier 0", V5, 0x70, "0000".into(), PROTOCOL),
        ("reason in 3.1.1", V311, 0x40, "0001 00".into(), MALFORMED),
        ("reason of another packet", V5, 0x40, "0001 92".into(), PROTOCOL),
        ("unknown reason", V5, 0x62, "0001 03".into(), PROTOCOL),
        ("bytes after the properties", V5, 0x40, "0001 00 00 00".into(), MALFORMED),
        ("property of another packet", V5, 0x40, "0001 00 05 1100000001".into(), PROTOCOL),
        // SUBSCRIBE, UNSUBSCRIBE
        ("no filter", V311, 0x82, "0001".into(), PROTOCOL),
        ("no filter", V5, 0x82, "0001 00".into(), PROTOCOL),
        ("packet identifier 0", V5, 0x82, "0000 00 0001 61 00".into(), MALFORMED),
        ("QoS 3", V311, 0x82, "0001 0001 61 03".into(), MALFORMED),
        ("reserved bits of 3.1.1", V311, 0x82, "0001 0001 61 04".into(), MALFORMED),
        ("reserved bits of 5.0", V5, 0x82, "0001 00 0001 61 40".into(), MALFORMED),
        ("retain handling 3", V5, 0x82, "0001 00 0001 61 30".into(), PROTOCOL),
        ("no options", V5, 0x82, "0001 00 0001 61".into(), MALFORMED),
        ("filter not UTF-8", V311, 0x82, "0001 0001 ff 00".into(), MALFORMED),
        ("filter not UTF-8", V5, 0x82, "0001 00 0001 ff 00".into(), MALFORMED),
        ("NUL in filter", V311, 0x82, "0001 0001 00 00".into(), MALFORMED),
        ("NUL in filter", V5, 0x82, "0001 00 0001 00 00".into(), MALFORMED),
        ("no local on a shared filter", V5, 0x82, "0001 00 000a 2473686172652f672f61 04".into(), PROTOCOL),
        ("subscription identifier twice", V5, 0x82, "0001 04 0b01 0b02 0001 61 00".into(), PROTOCOL),
        ("the second filter cut", V5, 0x82, "0001 00 0001 61 00 0005 61".into(), MALFORMED),
        ("no filter", V311, 0xA2, "0001".into(), PROTOCOL),
        ("no filter", V5, 0xA2, "0001 00".into(), PROTOCOL),
        ("filter not UTF-8", V311, 0xA2, "0001 0001 ff".into(), MALFORMED),
        ("filter not UTF-8", V5, 0xA2, "0001 00 0001 ff".into(), MALFORMED),
        ("filter cut", V5, 0xA2, "0001 00 0002 61".into(), MALFORMED),
        // the rest
        ("body", V311, 0xC0, "00".into(), MALFORMED),
        ("body in 3.1.1", V311, 0xE0, "00".into(), MALFORMED),
        ("reason of another packet", V5, 0xE0, "01".into(), PROTOCOL),
        ("property of another packet", V5, 0xE0, "00 03 210001".into(), PROTOCOL),
        ("AUTH in 3.1.1", V311, 0xF0, "".into(), PROTOCOL),
        ("reason without properties", V5, 0xF0, "18".into(), MALFORMED),
        ("unknown reason", V5, 0xF0, "01 00".into(), PROTOCOL),
    ]
    .into();
    for (name, version, first, body, expected) in table {
        let bytes = with_body(first, &hex(&body));
        assert_eq!(decode(version, &bytes).err(), Some(expected), "{version:?} {first:#x} {name}");
    }
}
