//! A crowd of hostile connections, driven by one thread at a pace of its own: what is measured is what the node
//! does about them, not who has more of the processor.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cut_off;
use crate::client::LIMIT;
use crate::wire::bytes;

/// How often each of them does something.
const TICK: Duration = Duration::from_millis(200);

/// What a connection does, tick after tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A CONNECT, a byte at a time.
    Drip,
    /// Nothing.
    HalfOpen,
    /// Subscribes what is published most, and never reads.
    NeverReads,
    /// Publishes with QoS 2 to itself and answers nothing.
    NeverAnswers,
    /// Bytes that are no packets.
    Garbage,
    /// As many long topics behind aliases as it can.
    Aliases,
    /// Connects with the client id of the others of its kind.
    Storm,
    /// Publishes what the ones that never read have subscribed.
    Floods,
}

/// How many of each, of a thousand.
const MIX: [(Kind, usize); 8] = [
    (Kind::Drip, 200),
    (Kind::HalfOpen, 200),
    (Kind::NeverReads, 200),
    (Kind::NeverAnswers, 150),
    (Kind::Garbage, 100),
    (Kind::Aliases, 90),
    (Kind::Storm, 50),
    (Kind::Floods, 10),
];

struct Hostile {
    number: usize,
    kind: Kind,
    stream: Option<TcpStream>,
    /// Ticks of this connection.
    age: usize,
}

/// The crowd; it goes when this is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    ticks: Arc<AtomicU64>,
}

impl Crowd {
    /// A thousand hostile connections; where they are in step, all of a kind do what they do at the same instant.
    pub fn gather(address: SocketAddr, in_step: bool) -> Crowd {
        let (stop, ticks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopping, ticked) = (stop.clone(), ticks.clone());
        let thread = std::thread::spawn(move || {
            let kinds: Vec<Kind> =
                MIX.iter().flat_map(|(kind, count)| std::iter::repeat_n(*kind, *count)).collect();
            // Mixed, and spread over the tick, so that the pace is even, or one kind after the other.
            let kinds = (0..kinds.len()).map(|n| kinds[if in_step { n } else { n * 617 % kinds.len() }]);
            let new = |(number, kind)| Hostile { number, kind, stream: None, age: 0 };
            let mut all: Vec<Hostile> = kinds.enumerate().map(new).collect();
            let part = all.len() / 20;
            for n in 0.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let began = Instant::now();
                let at = n % 20 * part;
                for hostile in &mut all[at..at + part] {
                    hostile.tick(address);
                }
                ticked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep((TICK / 20).saturating_sub(began.elapsed()));
            }
        });
        let crowd = Crowd { stop, thread: Some(thread), ticks };
        // Everybody has had two turns; where the machine is busy that takes a while.
        let end = Instant::now() + 6 * LIMIT;
        while crowd.ticks.load(Ordering::Relaxed) < 40 {
            assert!(Instant::now() < end, "the crowd does not gather");
            std::thread::sleep(Duration::from_millis(10));
        }
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the crowd does not panic");
        }
    }
}

impl Hostile {
    fn tick(&mut self, address: SocketAddr) {
        if self.stream.is_none() {
            let stream = cut_off(address);
            stream.set_nonblocking(true).expect("a fresh socket takes options");
            self.stream = Some(stream);
            self.age = 0;
        }
        let say = self.next();
        self.age += 1;
        let Some(stream) = &mut self.stream else { return };
        let is_open = match stream.write(&say) {
            Ok(_) => true,
            Err(e) => e.kind() == ErrorKind::WouldBlock,
        };
        if !is_open || (self.kind != Kind::NeverReads && has_ended(stream)) {
            self.stream = None;
        }
    }

    fn next(&self) -> Vec<u8> {
        let (number, age) = (self.number, self.age);
        let hello = |id: &str| bytes(&format!("10 * 'MQTT' 05 02 0000 {{}} '{id}'"));
        match self.kind {
            Kind::Drip => {
                let whole =
                    bytes(&format!("10 * 'MQTT' 05 02 003c {{26 'key' '{}'}} 'drip'", "v".repeat(100)));
                vec![whole[age % whole.len()]]
            }
            Kind::HalfOpen => vec![],
            Kind::Garbage => {
                let byte = |n: usize| {
                    (n.wrapping_mul(2_654_435_761).wrapping_add(age * 40_503 + number * 97) >> 7) as u8
                };
                (0..200).map(byte).collect()
            }
            Kind::Storm => match age % 2 {
                0 => hello(&format!("storm{}", number % 5)),
                _ => hello("twice"),
            },
            _ if age == 0 => hello(&format!("hostile{number}")),
            Kind::NeverReads => match age {
                1 => bytes("82 * 0001 {} 'flood/#' 00"),
                _ => bytes("c0 00"),
            },
            Kind::NeverAnswers => match age {
                1 => bytes(&format!("82 * 0001 {{}} 'own/{number}' 02")),
                _ => bytes(&format!(
                    "34 * 'own/{number}' {:04x} {{}} \"x\" | 32 * 'own/{number}' 0001 {{}} \"y\"",
                    age % 60_000 + 1
                )),
            },
            Kind::Aliases => {
                let alias = |n: usize| {
                    format!("30 * '{}/{n}' {{23 {:04x}}} \"x\"", "a".repeat(500), (age * 4 + n) % 65_535 + 1)
                };
                (0..4).flat_map(|n| bytes(&alias(n))).collect()
            }
            // As much as a socket takes at once.
            Kind::Floods => {
                let message = format!("30 * 'flood/{number}' {{}} \"{}\"", "z".repeat(7_000));
                bytes(&format!("{message} | {message}"))
            }
        }
    }
}

/// Reads what there is, at most so much at a time. `true`: there will be no more.
fn has_ended(stream: &mut TcpStream) -> bool {
    let mut chunk = [0; 16 << 10];
    for _ in 0..4 {
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() != ErrorKind::WouldBlock,
        }
    }
    false
}
