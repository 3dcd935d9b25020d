//! Bringing many clients up: connected, greeted, subscribed. Each step is run to its end before the
//! next begins, so a scenario starts from a known state.

use std::time::{Duration, Instant};

use mio::Events;

use crate::Fallible;
use crate::links::{Links, Play};
use crate::wire::{Connect, Packet, connect, disconnect, subscribe};

/// A step in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one turn waits.
const TURN: Duration = Duration::from_millis(20);

/// Who a client is.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The client id.
    pub client_id: String,
    /// Clean session or start.
    pub clean: bool,
    /// Session expiry in seconds (version 5).
    pub expiry: u32,
    /// Which of the target's addresses it connects to.
    pub place: usize,
}

impl Greeting {
    /// A clean session.
    pub fn clean(client_id: String) -> Greeting {
        Greeting { client_id, clean: true, expiry: 0, place: 0 }
    }

    /// A session that outlives its connection.
    pub fn kept(client_id: String) -> Greeting {
        Greeting { client_id, clean: false, expiry: 7200, place: 0 }
    }

    /// The same client at another address.
    pub fn at(mut self, place: usize) -> Greeting {
        self.place = place;
        self
    }

    /// Says CONNECT on a connection that has just opened.
    pub fn send(&self, links: &mut Links, id: usize) {
        let say = Connect {
            version: links.version(),
            client_id: &self.client_id,
            clean: self.clean,
            keep_alive: 300,
            username: None,
            password: None,
            session_expiry: self.expiry,
        };
        connect(links.out(id), &say);
    }
}

struct Welcome<'g> {
    greetings: &'g [Greeting],
    /// Which greeting a connection says.
    which: Vec<usize>,
    ids: Vec<usize>,
    welcomed: usize,
    waiting: usize,
    leave: bool,
    failed: Option<String>,
}

impl Play for Welcome<'_> {
    fn opened(&mut self, links: &mut Links, id: usize) {
        self.greetings[self.which[id]].send(links, id);
    }

    fn packet(&mut self, links: &mut Links, id: usize, packet: Packet<'_>) {
        match packet {
            Packet::ConnAck { reason: 0, .. } => {
                self.welcomed += 1;
                self.waiting -= 1;
                self.ids[self.which[id]] = id;
                if self.leave {
                    disconnect(links.out(id));
                    links.leave(id);
                }
            }
            Packet::ConnAck { reason, .. } => {
                self.failed.get_or_insert(format!("CONNECT was refused with {reason:#04x}"));
            }
            _ => {}
        }
    }

    fn closed(&mut self, _: &mut Links, _: usize, why: &str) {
        self.failed.get_or_insert(format!("a connection ended before its CONNACK: {why}"));
    }
}

fn greet(links: &mut Links, greetings: &[Greeting], at_once: usize, leave: bool) -> Fallible<Vec<usize>> {
    let mut play = Welcome {
        greetings,
        which: Vec::new(),
        ids: vec![0; greetings.len()],
        welcomed: 0,
        waiting: 0,
        leave,
        failed: None,
    };
    let mut events = Events::with_capacity(1024);
    let mut dialed = 0;
    let (mut progress, mut heard) = (0, Instant::now());
    while play.welcomed < greetings.len() {
        while dialed < greetings.len() && play.waiting < at_once {
            let id = links.dial(greetings[dialed].place)?;
            if play.which.len() <= id {
                play.which.resize(id + 1, 0);
            }
            play.which[id] = dialed;
            play.waiting += 1;
            dialed += 1;
        }
        links.turn(&mut events, TURN, &mut play)?;
        if let Some(why) = play.failed {
            return Err(why.into());
        }
        if play.welcomed > progress {
            (progress, heard) = (play.welcomed, Instant::now());
        } else if heard.elapsed() > PATIENCE {
            return Err(format!("{progress} of {} clients connected, then silence", greetings.len()).into());
        }
    }
    Ok(play.ids)
}

/// Connects all, `at_once` at a time, and gives their connections in the order of the greetings.
pub fn connect_all(links: &mut Links, greetings: &[Greeting], at_once: usize) -> Fallible<Vec<usize>> {
    greet(links, greetings, at_once, false)
}

/// Connects all, `at_once` at a time; each leaves with DISCONNECT as soon as it is welcome.
pub fn connect_and_leave(links: &mut Links, greetings: &[Greeting], at_once: usize) -> Fallible<()> {
    greet(links, greetings, at_once, true)?;
    while links.open() > 0 {
        links.turn(&mut Events::with_capacity(1024), TURN, &mut Quiet::default())?;
    }
    Ok(())
}

/// Lets the clients leave with DISCONNECT.
pub fn leave_all(links: &mut Links, ids: &[usize]) -> Fallible<()> {
    for &id in ids {
        disconnect(links.out(id));
        links.leave(id);
    }
    let mut play = Quiet::default();
    links.turn(&mut Events::with_capacity(1024), TURN, &mut play)?;
    Ok(())
}

/// Waits `time` while nothing is expected; a connection that ends is an error.
pub fn rest(links: &mut Links, time: Duration) -> Fallible<()> {
    let until = Instant::now() + time;
    let mut play = Quiet::default();
    let mut events = Events::with_capacity(1024);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        links.turn(&mut events, left.min(TURN), &mut play)?;
    }
    match play.failed {
        Some(why) => Err(why.into()),
        None => Ok(()),
    }
}

/// Expects nothing.
#[derive(Default)]
struct Quiet {
    failed: Option<String>,
}

impl Play for Quiet {
    fn opened(&mut self, _: &mut Links, _: usize) {}
    fn packet(&mut self, _: &mut Links, _: usize, _: Packet<'_>) {}
    fn closed(&mut self, _: &mut Links, _: usize, why: &str) {
        self.failed.get_or_insert(format!("a connection ended: {why}"));
    }
}

/// What one client subscribes to.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The connection.
    pub id: usize,
    /// The filters.
    pub filters: Vec<String>,
}

struct Subscribing<'w> {
    wishes: &'w [Wish],
    /// Which wish a connection has, and how many of its filters have been sent.
    state: Vec<Option<(usize, usize)>>,
    per_packet: usize,
    qos: u8,
    answered: usize,
    failed: Option<String>,
}

impl Subscribing<'_> {
    fn send(&mut self, links: &mut Links, id: usize) {
        let Some(Some((wish, sent))) = self.state.get_mut(id) else { return };
        let rest = &self.wishes[*wish].filters[*sent..];
        let filters: Vec<&str> = rest.iter().take(self.per_packet).map(String::as_str).collect();
        if !filters.is_empty() {
            let version = links.version();
            let packet_id = u16::try_from(*sent % 60_000 + 1).unwrap_or(1);
            *sent += filters.len();
            subscribe(links.out(id), version, packet_id, &filters, self.qos);
        }
    }
}

impl Play for Subscribing<'_> {
    fn opened(&mut self, _: &mut Links, _: usize) {}

    fn packet(&mut self, links: &mut Links, id: usize, packet: Packet<'_>) {
        if let Packet::SubAck { reasons, .. } = packet {
            self.answered += reasons.len();
            if let Some(reason) = reasons.iter().find(|&&reason| reason >= 0x80) {
                self.failed.get_or_insert(format!("SUBSCRIBE was refused with {reason:#04x}"));
            }
            self.send(links, id);
        }
    }

    fn closed(&mut self, _: &mut Links, _: usize, why: &str) {
        self.failed.get_or_insert(format!("a connection ended before its SUBACK: {why}"));
    }
}

/// Subscribes all at `qos`; `per_packet` filters in a SUBSCRIBE and `ahead` of them on their way per client.
pub fn subscribe_all(
    links: &mut Links,
    wishes: &[Wish],
    qos: u8,
    per_packet: usize,
    ahead: usize,
) -> Fallible<()> {
    let total: usize = wishes.iter().map(|wish| wish.filters.len()).sum();
    let mut play = Subscribing { wishes, state: Vec::new(), per_packet, qos, answered: 0, failed: None };
    for (which, wish) in wishes.iter().enumerate() {
        if play.state.len() <= wish.id {
            play.state.resize(wish.id + 1, None);
        }
        play.state[wish.id] = Some((which, 0));
        for _ in 0..ahead {
            play.send(links, wish.id);
        }
    }
    let mut events = Events::with_capacity(1024);
    let (mut progress, mut heard) = (0, Instant::now());
    while play.answered < total {
        links.turn(&mut events, TURN, &mut play)?;
        if let Some(why) = play.failed {
            return Err(why.into());
        }
        if play.answered > progress {
            (progress, heard) = (play.answered, Instant::now());
        } else if heard.elapsed() > PATIENCE {
            return Err(format!("{progress} of {total} subscriptions answered, then silence").into());
        }
    }
    Ok(())
}
