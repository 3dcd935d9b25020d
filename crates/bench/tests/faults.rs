//! The generator against a broker that is wrong on purpose: each kind of fault must be found, and none
//! where there is none.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bench::fleet::{Greeting, Wish, connect_all, subscribe_all};
use bench::ledger::Faults;
use bench::links::{Links, Target};
use bench::stream::Layers;
use bench::traffic::{Extent, Measure, Pace, Traffic};
use bench::wire::Version;

/// What the broker does to every tenth message.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Honest,
    Drops,
    Doubles,
    Delays,
    Scribbles,
}

type Subscribers = Arc<Mutex<HashMap<Vec<u8>, Vec<TcpStream>>>>;

/// A broker for exact topics at QoS 0 and 1, a thread per connection.
fn broker(mood: Mood) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let subscribers = Subscribers::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let subscribers = subscribers.clone();
            std::thread::spawn(move || serve(stream, &subscribers, mood));
        }
    });
    address
}

fn serve(mut stream: TcpStream, subscribers: &Subscribers, mood: Mood) -> Option<()> {
    let mut held: Option<Vec<u8>> = None;
    let mut count = 0;
    loop {
        let mut first = [0];
        stream.read_exact(&mut first).ok()?;
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] < 0x80 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        match first[0] >> 4 {
            1 => stream.write_all(b"\x20\x02\x00\x00").ok()?,
            8 => {
                let end = 4 + usize::from(u16::from_be_bytes([body[2], body[3]]));
                let peer = stream.try_clone().ok()?;
                subscribers.lock().unwrap().entry(body[4..end].to_vec()).or_default().push(peer);
                stream.write_all(&[0x90, 3, body[0], body[1], 1]).ok()?;
            }
            3 => {
                let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                if first[0] & 2 != 0 {
                    stream.write_all(&[0x40, 2, body[end], body[end + 1]]).ok()?;
                }
                let mut packet = vec![first[0], 0x80 | (length & 0x7f) as u8, (length >> 7) as u8];
                packet.extend_from_slice(&body);
                count += 1;
                let mut bytes = packet.clone();
                if count % 10 == 0 {
                    match mood {
                        Mood::Honest => {}
                        Mood::Drops => continue,
                        Mood::Doubles => bytes.extend_from_slice(&packet),
                        Mood::Delays => {
                            held = Some(packet);
                            continue;
                        }
                        Mood::Scribbles => *bytes.last_mut()? ^= 1,
                    }
                }
                bytes.extend(held.take().into_iter().flatten());
                for peer in subscribers.lock().unwrap().get_mut(&body[2..end]).into_iter().flatten() {
                    peer.write_all(&bytes).ok()?;
                }
            }
            _ => {}
        }
    }
}

fn run(mood: Mood, qos: u8) -> Measure {
    let target = Target {
        addresses: vec![broker(mood)],
        version: Version::V4,
        layers: Layers::default(),
        sources: vec![],
    };
    let mut links = Links::new(target).unwrap();
    let greetings: Vec<Greeting> = ["p", "s"].map(|name| Greeting::clean(name.to_owned())).to_vec();
    let ids = connect_all(&mut links, &greetings, 2).unwrap();
    subscribe_all(&mut links, &[Wish { id: ids[1], filters: vec!["a/b".to_owned()] }], qos, 1, 1).unwrap();
    let mut traffic = Traffic::new(200, qos, 1, Pace::Window(16));
    traffic.add_sender(&links, ids[0], "a/b", false);
    traffic.add_receiver(ids[1], 0, 1);
    traffic.run(&mut links, &[], Extent::Count(99)).unwrap()
}

#[test]
fn an_honest_broker_has_no_faults() {
    for qos in [0, 1] {
        let measure = run(Mood::Honest, qos);
        assert_eq!((measure.delivered, measure.faults), (99, Faults::default()));
        assert!(measure.latency.count() == 99 && measure.latency.quantile(0.5) > Duration::ZERO);
    }
}

#[test]
fn dropped_messages_are_found() {
    assert_eq!(run(Mood::Drops, 1).faults, Faults { lost: 9, ..Faults::default() });
}

#[test]
fn doubled_messages_are_found() {
    assert_eq!(run(Mood::Doubles, 0).faults, Faults { duplicated: 9, ..Faults::default() });
}

#[test]
fn delayed_messages_are_found() {
    assert_eq!(run(Mood::Delays, 1).faults, Faults { reordered: 9, ..Faults::default() });
}

#[test]
fn changed_messages_are_found() {
    assert_eq!(run(Mood::Scribbles, 1).faults, Faults { lost: 9, corrupt: 9, ..Faults::default() });
}
