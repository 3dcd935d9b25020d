//! Fuzzing on stable Rust: good packets and records, changed at random from a seed. As a plain test it runs
//! the kept samples and a fixed number of changes; `make fuzz SECONDS=n` runs each target that long, and
//! says how often it ran.
#![allow(clippy::disallowed_types, reason = "the machine has no clock; whoever runs it for a time has one")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has to fail there")]

#[path = "fuzz/harness.rs"]
mod harness;

use harness::{Random, fuzz};
use mqtt::codec::PACKET_BYTES_MAX;
use mqtt::packet::{Ack, AckKind, Connect, Publish};
use mqtt::session::{Delivered, Delivery, Flight, Limits, Out, Session};
use mqtt::{Epoch, MessageRef, Now, Packet, Properties, QoS, Reason, Version, frame};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
/// How often a target runs as a plain test.
const RUNS: u64 = 20_000;

/// Kept samples: one good packet of every type, and what was once worth a look.
const SAMPLES: [&str; 16] = [
    "101a00044d51545404ce003c000178000177000362796500036100016e",
    "101000044d5154540502003c000003626164",
    "2003000000",
    "320a0003612f620001000178",
    "320f0003612f62000107020000000a0178",
    "4004000100001f",
    "50020001",
    "62020001",
    "70020001",
    "820b00010003612f2b01000162",
    "82080001020b0500016100",
    "90040001000a",
    "a206000100026162",
    "c000",
    "e00704051100000005",
    "f0091807150001611600017a",
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Another input made of the samples.
fn changed(random: &mut Random, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = samples[random.below(samples.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.insert(at, [0, 0x7f, 0x80, 0xff, 0x26][random.below(5)]),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {
                let other = &samples[random.below(samples.len())];
                let (from, to) = (random.below(other.len()), random.below(other.len()));
                bytes.extend_from_slice(&other[from.min(to)..from.max(to)]);
            }
        }
    }
    // Mostly the length should be right, or little else is reached.
    if random.below(4) > 0 && (2..130).contains(&bytes.len()) {
        bytes[1] = bytes.len() as u8 - 2;
    }
    bytes
}

/// Nothing panics, and what is a packet is the same packet again when it has been sent.
#[test]
fn decode_and_round_trip() {
    let samples: Vec<Vec<u8>> = SAMPLES.iter().map(|s| unhex(s)).collect();
    fuzz("decode and round trip", RUNS, |random| {
        let bytes = changed(random, &samples);
        for version in VERSIONS {
            let Ok(Some(whole)) = frame(&bytes, PACKET_BYTES_MAX as usize) else { continue };
            let Ok(packet) = Packet::decode(version, &whole) else { continue };
            let version = if let Packet::Connect(c) = &packet { c.version } else { version };
            let mut again = Vec::new();
            packet.encode(version, &mut again);
            let whole = frame(&again, PACKET_BYTES_MAX as usize).unwrap().unwrap();
            let mut twice = Vec::new();
            Packet::decode(version, &whole).unwrap().encode(version, &mut twice);
            assert_eq!(twice, again, "{bytes:02x?}");
        }
    });
}

/// Records that come from a disk or from another node: no panic, and what is one is written as it was.
#[test]
fn records() {
    let message = view(2, "a/b").to_message();
    let mut flight = Vec::new();
    Flight::default().encode(&mut flight);
    let samples = [message.as_bytes().to_vec(), flight];
    fuzz("records", RUNS, |random| {
        let bytes = changed(random, &samples);
        if let Some(flight) = Flight::decode(&bytes) {
            let mut again = Vec::new();
            flight.encode(&mut again);
            assert_eq!(again, bytes);
        }
        if let Ok(view) = mqtt::message::decode(&bytes) {
            assert_eq!(mqtt::message::decode(view.to_message().as_bytes()), Ok(view));
        }
    });
}

fn view(qos: u8, topic: &str) -> MessageRef<'_> {
    MessageRef {
        topic,
        payload: b"x",
        properties: Properties::NONE,
        qos: QoS::from_bits(qos).unwrap(),
        retain: false,
        created: Epoch(0),
        expiry: None,
        publisher: b"p",
    }
}

/// The window as a list that is searched from its beginning: identifier, QoS, released.
#[derive(Default)]
struct Model {
    window: Vec<(u16, u8, bool)>,
    last: u16,
    received: Vec<u16>,
    over: bool,
}

/// One session and a slow, obvious model of it: the same messages are taken or not, the same acknowledgements
/// end something, nothing or the connection.
#[test]
fn a_session_does_as_its_model() {
    fuzz("session", RUNS, |random| {
        let room = 1 + random.below(4);
        let limits = Limits { inflight_max: room as u16, awaiting_rel_max: 3, ..Limits::default() };
        let connect = Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive: 0,
            client_id: "c",
            username: None,
            password: None,
            will: None,
            properties: Properties::NONE,
            bridge: false,
        };
        let mut session = Session::open(&connect, &limits, Flight::default(), Now(0));
        let (mut model, mut out) = (Model::default(), Out::default());
        for _ in 0..30 {
            let id = 1 + random.below(5) as u16;
            match random.below(7) {
                0 | 1 => {
                    let qos = 1 + random.below(2) as u8;
                    let how =
                        Delivery { qos: QoS::from_bits(qos).unwrap(), retain: false, subscription_ids: &[] };
                    let got = session.deliver(
                        &view(qos, "t"),
                        &mut mqtt::session::Copies::default(),
                        &how,
                        Epoch(0),
                        &mut out,
                    );
                    let fits = model.window.len() < room;
                    assert_eq!(got, if fits { Delivered::Sent } else { Delivered::NoRoom });
                    if fits {
                        model.last += 1;
                        model.window.push((model.last, qos, false));
                    }
                }
                2 => {
                    let publish = Publish {
                        dup: false,
                        qos: QoS::ExactlyOnce,
                        retain: false,
                        topic: "t",
                        packet_id: id,
                        properties: Properties::NONE,
                        payload: b"",
                    };
                    let asked = session.receive(Packet::Publish(publish), Now(0), &mut out);
                    let is_known = model.received.contains(&id);
                    model.over |= !is_known && model.received.len() == 3;
                    assert_eq!(asked.is_some(), !is_known && !model.over);
                    if let Some(mqtt::session::Request::Publish(published)) = asked {
                        session.accepted(published.ticket, Reason::Success, &mut out);
                        model.received.push(id);
                    }
                }
                kind => {
                    let kind =
                        [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp][kind - 3];
                    let ended =
                        session.receive(Packet::Ack(Ack::new(kind, id, Reason::Success)), Now(0), &mut out);
                    let place = model.window.iter().position(|(i, ..)| *i == id);
                    let state = place.map(|p| (model.window[p].1, model.window[p].2));
                    let ends = match (kind, state) {
                        (AckKind::Pubrel, _) => {
                            model.received.retain(|r| *r != id);
                            false
                        }
                        (_, None) => false,
                        (AckKind::Puback, Some((1, _))) | (AckKind::Pubcomp, Some((2, true))) => true,
                        (AckKind::Pubrec, Some((2, _))) => {
                            model.window[place.unwrap()].2 = true;
                            false
                        }
                        _ => {
                            model.over = true;
                            false
                        }
                    };
                    if let Some(place) = place.filter(|_| ends) {
                        model.window.remove(place);
                    }
                    assert_eq!(
                        matches!(ended, Some(mqtt::session::Request::Acked)),
                        ends,
                        "{kind:?} {id} {state:?}"
                    );
                }
            }
            assert_eq!(out.closing().is_some(), model.over);
            if model.over {
                return;
            }
            assert_eq!(
                (session.inflight(), session.awaiting_rel()),
                (model.window.len(), model.received.len())
            );
            drop(out.take_bytes());
        }
    });
}
