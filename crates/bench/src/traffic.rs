//! Messages on their way: senders with a window, receivers with a ledger, and what the broker spent
//! on them meanwhile.

use std::time::{Duration, Instant};

use mio::Events;

use crate::Fallible;
use crate::fleet::Greeting;
use crate::histogram::Histogram;
use crate::ledger::{Faults, Head, Ledger, Order, Payload, Rising};
use crate::links::{Links, Play};
use crate::process;
use crate::wire::{Ack, Packet, PublishForm, ack};

/// A broker that delivers nothing for so long has lost what is outstanding.
const STALL: Duration = Duration::from_millis(500);
/// How long stragglers are waited for after the last delivery.
const DRAIN: Duration = Duration::from_millis(1500);

/// How the senders are paced.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// At most so many messages of a sender on their way; it sends again when half have arrived.
    Window(u64),
    /// So many messages per second over all senders, whatever the broker does. Latency counts from the moment
    /// that a message was due, so a broker that stalls is charged for all that had to wait.
    Rate(f64),
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// Warm up, then measure.
    Time {
        /// Before the count starts.
        warm: Duration,
        /// The counted part.
        measure: Duration,
    },
    /// So many messages over all senders; everything is counted.
    Count(u64),
}

struct Sender {
    id: usize,
    form: PublishForm,
    limit: u64,
    sent: u64,
    /// Deliveries of this sender's messages, over all receivers.
    delivered: u64,
    /// Sent at QoS 1 or 2 and not yet through.
    in_flight: u64,
    next_id: u16,
    queued: bool,
}

struct Receiver {
    ledger: Option<Ledger>,
    rising: Rising,
}

#[derive(Clone, Copy)]
enum Role {
    None,
    Sender(usize),
    Receiver(usize),
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Deliveries in the counted part; without receivers, messages acknowledged.
    pub delivered: u64,
    /// Length of the counted part.
    pub time: Duration,
    /// The broker's CPU in it.
    pub broker_cpu: Duration,
    /// The generator's own CPU in it: near `time`, it is the generator that was measured.
    pub own_cpu: Duration,
    /// From due to read.
    pub latency: Histogram,
    /// Over the whole run.
    pub faults: Faults,
    /// PUBLISH refused by the broker.
    pub refused: u64,
}

impl Measure {
    /// Deliveries per second of the broker's CPU.
    pub fn per_cpu_second(&self) -> f64 {
        self.delivered as f64 / self.broker_cpu.as_secs_f64().max(1e-9)
    }
}

/// A run of messages over connections that are up and subscribed.
pub struct Traffic {
    payload: Payload,
    qos: u8,
    /// Deliveries that one message brings.
    fan: u64,
    pace: Pace,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    /// The book of a shared group, whose members have none of their own.
    group: Option<Ledger>,
    roles: Vec<Role>,
    ready: Vec<usize>,
    received: u64,
    acknowledged: u64,
    refused: u64,
    timing: bool,
    latency: Histogram,
    /// Who says what once its connection is up.
    greetings: Vec<(usize, Greeting)>,
    failed: Option<String>,
}

impl Traffic {
    /// Nobody yet. `fan` is the number of deliveries that one message brings; 0 when nobody listens.
    pub fn new(payload_bytes: usize, qos: u8, fan: u64, pace: Pace) -> Traffic {
        Traffic {
            payload: Payload::new(payload_bytes),
            qos,
            fan,
            pace,
            senders: Vec::new(),
            receivers: Vec::new(),
            group: None,
            roles: Vec::new(),
            ready: Vec::new(),
            received: 0,
            acknowledged: 0,
            refused: 0,
            timing: false,
            latency: Histogram::default(),
            greetings: Vec::new(),
            failed: None,
        }
    }

    fn set_role(&mut self, id: usize, role: Role) {
        if self.roles.len() <= id {
            self.roles.resize(id + 1, Role::None);
        }
        self.roles[id] = role;
    }

    /// The connection `id` publishes to `topic`. Publishers are numbered from 0 in this order.
    pub fn add_sender(&mut self, links: &Links, id: usize, topic: &str, retain: bool) {
        self.set_role(id, Role::Sender(self.senders.len()));
        self.senders.push(Sender {
            id,
            form: PublishForm::new(links.version(), topic, self.qos, retain, self.payload.blank()),
            limit: u64::MAX,
            sent: 0,
            delivered: 0,
            in_flight: 0,
            next_id: 1,
            queued: false,
        });
    }

    /// The connection `id` receives every message of `count` publishers from `first` on.
    pub fn add_receiver(&mut self, id: usize, first: u32, count: usize) {
        let ledger = Some(Ledger::new(first, count, Order::Kept));
        self.set_role(id, Role::Receiver(self.receivers.len()));
        self.receivers.push(Receiver { ledger, rising: Rising::default() });
    }

    /// The connection `id` is a member of the shared group, which as a whole receives every message of
    /// `publishers` once.
    pub fn add_member(&mut self, id: usize, publishers: usize) {
        self.group.get_or_insert_with(|| Ledger::new(0, publishers, Order::Free));
        self.set_role(id, Role::Receiver(self.receivers.len()));
        self.receivers.push(Receiver { ledger: None, rising: Rising::default() });
    }

    /// The receivers at these connections, which have ended, come back on new ones inside the run, so that
    /// nothing that the broker sends right behind its CONNACK is missed.
    pub fn resume(&mut self, links: &mut Links, back: &[(usize, Greeting)]) -> Fallible<()> {
        // A new connection may get the number of an ended one, so all roles are taken before the first is given.
        let roles: Vec<Role> =
            back.iter().map(|(from, _)| std::mem::replace(&mut self.roles[*from], Role::None)).collect();
        for (role, (_, greeting)) in roles.into_iter().zip(back) {
            let to = links.dial(greeting.place)?;
            self.set_role(to, role);
            self.greetings.push((to, greeting.clone()));
        }
        Ok(())
    }

    /// Messages received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next messages are not expected to arrive during the run: only acknowledgements pace it.
    pub fn set_fan(&mut self, fan: u64) {
        self.fan = fan;
    }

    /// Runs to the end of `extent`, waits for stragglers and closes the books.
    pub fn run(&mut self, links: &mut Links, brokers: &[u32], extent: Extent) -> Fallible<Measure> {
        let mut events = Events::with_capacity(1024);
        let cpu = || brokers.iter().map(|&pid| process::cpu(pid)).sum::<std::io::Result<Duration>>();
        let own = || process::cpu(std::process::id());
        let (warm, measure) = match extent {
            Extent::Time { warm, measure } => (warm, measure),
            Extent::Count(count) => {
                let senders = self.senders.len() as u64;
                for (i, sender) in (0..).zip(&mut self.senders) {
                    sender.limit = sender.sent + count / senders + u64::from(i < count % senders);
                }
                (Duration::ZERO, Duration::MAX)
            }
        };
        let start = Instant::now();
        let mut paced = 0;
        let mut from = None;
        let mut heard = Instant::now();
        let mut progress = 0;
        self.ready = (0..self.senders.len()).collect();
        let wait =
            if matches!(self.pace, Pace::Rate(_)) { Duration::ZERO } else { Duration::from_millis(50) };
        let (mark, time, broker_cpu, own_cpu) = loop {
            let now = Instant::now();
            if from.is_none() && now - start >= warm {
                self.timing = true;
                from = Some((self.done(), now, cpu()?, own()?));
            }
            if let Some((mark, since, cpu_then, own_then)) = from
                && (now - since >= measure || self.all_through())
            {
                break (
                    self.done() - mark,
                    now - since,
                    cpu()?.saturating_sub(cpu_then),
                    own()?.saturating_sub(own_then),
                );
            }
            self.pump(links, now - start, &mut paced);
            links.turn(&mut events, wait, self)?;
            if let Some(why) = self.failed.take() {
                return Err(why.into());
            }
            if self.done() > progress {
                (progress, heard) = (self.done(), now);
            } else if now - heard > STALL {
                if now - heard > 20 * STALL {
                    return Err("the broker has fallen silent".into());
                }
                self.forgive();
            }
        };
        self.timing = false;
        let faults = self.drain(links, &mut events)?;
        let latency = std::mem::take(&mut self.latency);
        Ok(Measure { delivered: mark, time, broker_cpu, own_cpu, latency, faults, refused: self.refused })
    }

    fn done(&self) -> u64 {
        if self.fan == 0 { self.acknowledged } else { self.received }
    }

    fn all_through(&self) -> bool {
        self.senders
            .iter()
            .all(|s| s.sent >= s.limit && s.in_flight == 0 && s.delivered >= s.sent.saturating_mul(self.fan))
    }

    /// What was outstanding when everything stopped is lost or late; the senders go on without it.
    fn forgive(&mut self) {
        for (at, sender) in self.senders.iter_mut().enumerate() {
            sender.delivered = sender.delivered.max(sender.sent * self.fan);
            if !sender.queued {
                sender.queued = true;
                self.ready.push(at);
            }
        }
    }

    fn pump(&mut self, links: &mut Links, elapsed: Duration, paced: &mut u64) {
        match self.pace {
            Pace::Window(window) => {
                for at in std::mem::take(&mut self.ready) {
                    self.senders[at].queued = false;
                    let sender = &self.senders[at];
                    let outstanding = (sender.sent * self.fan).saturating_sub(sender.delivered);
                    let outstanding = outstanding.div_ceil(self.fan.max(1)).max(sender.in_flight);
                    let room = window.saturating_sub(outstanding).min(sender.limit - sender.sent);
                    let stamp = links.now();
                    for _ in 0..room {
                        self.send(links, at, stamp);
                    }
                }
            }
            Pace::Rate(rate) => {
                // The first is due at once.
                let due = (elapsed.as_secs_f64() * rate) as u64 + 1;
                let base = links.now().saturating_sub(elapsed.as_nanos() as u64);
                while *paced < due {
                    let at = usize::try_from(*paced).unwrap_or(0) % self.senders.len();
                    self.send(links, at, base + (*paced as f64 / rate * 1e9) as u64);
                    *paced += 1;
                }
            }
        }
    }

    fn send(&mut self, links: &mut Links, at: usize, stamp: u64) {
        let sender = &mut self.senders[at];
        let head = Head { publisher: u32::try_from(at).unwrap_or(u32::MAX), number: sender.sent, stamp };
        let payload = sender.form.write(links.out(sender.id), sender.next_id);
        Payload::seal(payload, head);
        sender.sent += 1;
        if self.qos > 0 {
            sender.in_flight += 1;
            sender.next_id = sender.next_id.checked_add(1).unwrap_or(1);
        } else if self.fan == 0 {
            self.acknowledged += 1;
        }
    }

    /// Notes that a sender has less on its way; it sends again once half of its window is free.
    fn credit(&mut self, at: usize) {
        let Pace::Window(window) = self.pace else { return };
        let sender = &mut self.senders[at];
        let outstanding = (sender.sent * self.fan).saturating_sub(sender.delivered);
        let half = window / 2;
        if !sender.queued && sender.in_flight <= half && outstanding <= half * self.fan {
            sender.queued = true;
            self.ready.push(at);
        }
    }

    fn receive(&mut self, links: &Links, to: usize, payload: &[u8]) {
        self.received += 1;
        let receiver = &mut self.receivers[to];
        let book = receiver.ledger.as_mut().or(self.group.as_mut());
        let Some(book) = book else { return };
        let Some(head) = self.payload.open(payload) else { return book.note_corrupt() };
        if !book.note(head) {
            return;
        }
        if receiver.ledger.is_none() {
            receiver.rising.note(head);
        }
        if self.timing {
            self.latency.note(links.read_at().saturating_sub(head.stamp));
        }
        let at = head.publisher as usize;
        if let Some(sender) = self.senders.get_mut(at) {
            sender.delivered += 1;
            self.credit(at);
        }
    }

    fn drain(&mut self, links: &mut Links, events: &mut Events) -> Fallible<Faults> {
        let (mut progress, mut heard) = (self.received, Instant::now());
        let missing = |me: &Traffic| {
            me.senders.iter().any(|s| s.in_flight > 0)
                || me.received < me.senders.iter().map(|s| s.sent).sum::<u64>() * me.fan
        };
        while missing(self) && heard.elapsed() < DRAIN {
            links.turn(events, Duration::from_millis(20), self)?;
            if self.received > progress {
                (progress, heard) = (self.received, Instant::now());
            }
        }
        Ok(if self.fan == 0 { Faults::default() } else { self.close() })
    }

    /// What was wrong so far, all that was sent counted.
    pub fn close(&self) -> Faults {
        let mut faults = Faults::default();
        let sent = |publisher: u32| self.senders.get(publisher as usize).map_or(0, |s| s.sent);
        for receiver in &self.receivers {
            if let Some(ledger) = &receiver.ledger {
                faults.add(ledger.close(sent));
            }
            faults.reordered += receiver.rising.reordered;
        }
        if let Some(group) = &self.group {
            faults.add(group.close(sent));
        }
        faults
    }
}

impl Play for Traffic {
    fn opened(&mut self, links: &mut Links, id: usize) {
        if let Some(at) = self.greetings.iter().position(|(who, _)| *who == id) {
            let (_, greeting) = self.greetings.swap_remove(at);
            greeting.send(links, id);
        }
    }

    fn packet(&mut self, links: &mut Links, id: usize, packet: Packet<'_>) {
        match (self.roles.get(id).copied().unwrap_or(Role::None), packet) {
            (Role::Receiver(at), Packet::Publish { qos, id: packet_id, payload, .. }) => {
                self.receive(links, at, payload);
                match qos {
                    1 => ack(links.out(id), Ack::PubAck, packet_id),
                    2 => ack(links.out(id), Ack::PubRec, packet_id),
                    _ => {}
                }
            }
            (Role::Receiver(_), Packet::Ack { kind: Ack::PubRel, id: packet_id, .. }) => {
                ack(links.out(id), Ack::PubComp, packet_id);
            }
            (Role::Sender(at), Packet::Ack { kind, id: packet_id, reason }) => {
                if kind == Ack::PubRec && reason < 0x80 {
                    ack(links.out(id), Ack::PubRel, packet_id);
                    return;
                }
                if reason >= 0x80 {
                    self.refused += 1;
                }
                self.acknowledged += 1;
                let sender = &mut self.senders[at];
                sender.in_flight = sender.in_flight.saturating_sub(1);
                self.credit(at);
            }
            (_, Packet::ConnAck { reason, .. }) if reason > 0 => {
                self.failed.get_or_insert(format!("CONNECT was refused with {reason:#04x}"));
            }
            (_, Packet::Disconnect { reason }) => {
                self.failed.get_or_insert(format!("the broker disconnected a client with {reason:#04x}"));
            }
            _ => {}
        }
    }

    fn closed(&mut self, _: &mut Links, id: usize, why: &str) {
        if !matches!(self.roles.get(id), None | Some(Role::None)) {
            self.failed.get_or_insert(format!("a connection ended in the middle of the run: {why}"));
        }
    }
}
