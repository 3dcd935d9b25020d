//! `conn`, `pub` and `sub`: clients that come one after the other, stay, and say each second what
//! they did.

use std::collections::VecDeque;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::Events;
use serde_json::json;

use crate::Fallible;
use crate::histogram::Histogram;
use crate::ledger::{HEAD_BYTES, Head, Ledger, Order, Payload};
use crate::links::{Links, Play, Target};
use crate::wire::{Ack, Connect, Packet, PublishForm, ack, connect, ping, subscribe};

/// A client that publishes as fast as it goes stops while so much waits to be sent.
const OUT_BYTES_MAX: usize = 64 << 10;

/// What the clients do.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Stay connected.
    Conn,
    /// Receive.
    Sub {
        /// The filter, with its placeholders.
        topic: String,
        /// Of the subscription.
        qos: u8,
    },
    /// Publish.
    Pub {
        /// The topic, with its placeholders.
        topic: String,
        /// Of the messages.
        qos: u8,
        /// Of the messages.
        retain: bool,
        /// Of the messages.
        payload: Vec<u8>,
        /// Between two messages of a client; zero: no pause.
        every: Duration,
        /// Over all clients.
        limit: Option<u64>,
        /// On their way per client, at QoS 1 and 2.
        inflight: u64,
    },
}

/// How the clients log in.
#[derive(Clone, Debug)]
pub struct Login {
    /// With placeholders.
    pub username: Option<String>,
    /// As it is.
    pub password: Option<String>,
    /// Seconds.
    pub keep_alive: u16,
    /// Clean session, clean start.
    pub clean: bool,
    /// Session expiry in seconds.
    pub expiry: u32,
    /// What comes before the number in the client id.
    pub prefix: String,
}

/// The whole order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What they do.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// The number of the first.
    pub first: u64,
    /// Between two connects.
    pub connect_every: Duration,
    /// How they log in.
    pub login: Login,
    /// Payloads carry a proof.
    pub verify: bool,
    /// When to stop.
    pub time: Option<Duration>,
    /// How it reports.
    pub say: Say,
}

/// How a run reports each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// Not at all, but for the summary.
    Nothing,
    /// A line a count.
    Words,
    /// An object a line.
    Json,
}

/// The name of this host, for client ids.
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or("localhost".to_owned(), |s| s.trim().to_owned())
}

/// Puts user name, client id, number and message number in place of `%u`, `%c`, `%i`, `%s`.
fn fill(pattern: &str, username: &str, client_id: &str, number: u64, message: u64) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let known = rest[at + 1..].chars().next();
        match known {
            Some('u') => out.push_str(username),
            Some('c') => out.push_str(client_id),
            Some('i') => out.push_str(&number.to_string()),
            Some('s') => out.push_str(&message.to_string()),
            _ => {
                out.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &rest[at + 2..];
    }
    out + rest
}

struct Client {
    number: u64,
    client_id: String,
    username: String,
    form: Option<PublishForm>,
    sent: u64,
    in_flight: u64,
    packet_id: u16,
    connected: bool,
}

/// What is counted, in the words of the reports.
const COUNTS: [&str; 8] =
    ["connect_succ", "connect_fail", "disconnected", "sub", "sub_fail", "pub", "pub_fail", "recv"];
const CONNECT_SUCC: usize = 0;
const CONNECT_FAIL: usize = 1;
const DISCONNECTED: usize = 2;
const SUB: usize = 3;
const SUB_FAIL: usize = 4;
const PUB: usize = 5;
const PUB_FAIL: usize = 6;
const RECV: usize = 7;

struct Tool {
    plan: Plan,
    clients: Vec<Option<Client>>,
    counts: [u64; COUNTS.len()],
    /// Who publishes next, and when; the pause is the same for all, so the order is that of arrival.
    schedule: VecDeque<(Instant, usize)>,
    /// Who may send at once.
    eager: Vec<usize>,
    pings: VecDeque<(Instant, usize)>,
    sent: u64,
    first_message: Vec<Option<u64>>,
    ledger: Ledger,
    latency: Histogram,
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs until the plan is fulfilled, or for ever.
pub fn run(target: Target, plan: Plan) -> Fallible<()> {
    let mut links = Links::new(target)?;
    let mut events = Events::with_capacity(1024);
    let start = Instant::now();
    let (mut dialed, mut report_at, mut seconds) = (0, start + Duration::from_secs(1), 0);
    let mut last = [0; COUNTS.len()];
    let publishers = 1 << 16;
    let mut tool = Tool {
        clients: Vec::new(),
        counts: [0; COUNTS.len()],
        schedule: VecDeque::new(),
        eager: Vec::new(),
        pings: VecDeque::new(),
        sent: 0,
        first_message: vec![None; if plan.verify { publishers } else { 0 }],
        ledger: Ledger::new(0, if plan.verify { publishers } else { 0 }, Order::Kept),
        latency: Histogram::default(),
        plan,
    };
    loop {
        let now = Instant::now();
        while dialed < tool.plan.count && now >= start + tool.plan.connect_every * u32::try_from(dialed)? {
            let id = links.dial(usize::try_from(dialed)?)?;
            tool.arrive(id, tool.plan.first + dialed);
            dialed += 1;
        }
        tool.publish_due(&mut links, now);
        tool.ping_due(&mut links, now);
        if now >= report_at {
            seconds += 1;
            report_at += Duration::from_secs(1);
            tool.report(seconds, &mut last);
        }
        let over = tool.plan.time.is_some_and(|time| now - start >= time);
        if over || tool.complete() {
            tool.report(seconds + 1, &mut last);
            tool.summary();
            return Ok(());
        }
        let mut wait = report_at - now;
        if dialed < tool.plan.count {
            wait = wait.min(
                (start + tool.plan.connect_every * u32::try_from(dialed)?).saturating_duration_since(now),
            );
        }
        for due in [tool.schedule.front(), tool.pings.front()].into_iter().flatten() {
            wait = wait.min(due.0.saturating_duration_since(now));
        }
        if !tool.eager.is_empty() {
            wait = Duration::ZERO;
        }
        links.turn(&mut events, wait, &mut tool)?;
    }
}

impl Tool {
    fn arrive(&mut self, id: usize, number: u64) {
        let login = &self.plan.login;
        let client_id = format!("{}{number}", login.prefix);
        let username = fill(login.username.as_deref().unwrap_or(""), "", &client_id, number, 0);
        if self.clients.len() <= id {
            self.clients.resize_with(id + 1, || None);
        }
        self.clients[id] = Some(Client {
            number,
            client_id,
            username,
            form: None,
            sent: 0,
            in_flight: 0,
            packet_id: 1,
            connected: false,
        });
    }

    fn welcome(&mut self, links: &mut Links, id: usize) {
        self.counts[CONNECT_SUCC] += 1;
        let Some(Some(client)) = self.clients.get_mut(id) else { return };
        client.connected = true;
        let now = Instant::now();
        if self.plan.login.keep_alive > 0 {
            self.pings.push_back((now + Duration::from_secs(u64::from(self.plan.login.keep_alive)) / 2, id));
        }
        let version = links.version();
        match &self.plan.kind {
            Kind::Conn => {}
            Kind::Sub { topic, qos } => {
                let filter = fill(topic, &client.username, &client.client_id, client.number, 0);
                subscribe(links.out(id), version, 1, &[&filter], *qos);
            }
            Kind::Pub { topic, qos, retain, payload, every, .. } => {
                let topic = fill(topic, &client.username, &client.client_id, client.number, 0);
                let mut payload = payload.clone();
                if self.plan.verify {
                    payload = Payload::new(payload.len().max(HEAD_BYTES)).blank().to_vec();
                }
                client.form = Some(PublishForm::new(version, &topic, *qos, *retain, &payload));
                if every.is_zero() {
                    self.eager.push(id);
                } else {
                    self.schedule.push_back((now + *every, id));
                }
            }
        }
    }

    fn publish_due(&mut self, links: &mut Links, now: Instant) {
        let Kind::Pub { every, inflight, qos, .. } = self.plan.kind else { return };
        while let Some(&(due, id)) = self.schedule.front()
            && due <= now
        {
            self.schedule.pop_front();
            if self.clients.get(id).is_some_and(Option::is_some) {
                self.publish(links, id);
                self.schedule.push_back((due + every, id));
            }
        }
        for id in std::mem::take(&mut self.eager) {
            while let Some(Some(client)) = self.clients.get(id)
                && (qos == 0 || client.in_flight < inflight)
                && links.out(id).len() < OUT_BYTES_MAX
                && self.publish(links, id)
            {}
            if qos == 0 && self.clients.get(id).is_some_and(Option::is_some) {
                self.eager.push(id);
            }
        }
    }

    fn publish(&mut self, links: &mut Links, id: usize) -> bool {
        let Kind::Pub { topic, qos, retain, limit, .. } = &self.plan.kind else { return false };
        let Some(Some(client)) = self.clients.get_mut(id) else { return false };
        let Some(form) = &client.form else { return false };
        if limit.is_some_and(|limit| self.sent >= limit) {
            return false;
        }
        let fresh;
        let form = if topic.contains("%s") {
            let topic = fill(topic, &client.username, &client.client_id, client.number, client.sent);
            let blank = vec![b'a'; HEAD_BYTES];
            let payload = match &self.plan.kind {
                Kind::Pub { payload, .. } if !self.plan.verify => payload,
                _ => &blank,
            };
            fresh = PublishForm::new(links.version(), &topic, *qos, *retain, payload);
            &fresh
        } else {
            form
        };
        let payload = form.write(links.out(id), client.packet_id);
        if self.plan.verify {
            let publisher = u32::try_from(client.number).unwrap_or(u32::MAX);
            Payload::seal(payload, Head { publisher, number: client.sent, stamp: unix_nanos() });
        }
        client.sent += 1;
        self.sent += 1;
        if *qos > 0 {
            client.in_flight += 1;
            client.packet_id = client.packet_id.checked_add(1).unwrap_or(1);
        } else {
            self.counts[PUB] += 1;
        }
        true
    }

    fn ping_due(&mut self, links: &mut Links, now: Instant) {
        while let Some(&(due, id)) = self.pings.front()
            && due <= now
        {
            self.pings.pop_front();
            if self.clients.get(id).is_some_and(Option::is_some) {
                ping(links.out(id));
                let pause = Duration::from_secs(u64::from(self.plan.login.keep_alive)) / 2;
                self.pings.push_back((now + pause, id));
            }
        }
    }

    fn complete(&self) -> bool {
        let Kind::Pub { limit: Some(limit), qos, .. } = self.plan.kind else { return false };
        let through = self.counts[PUB] + self.counts[PUB_FAIL] >= limit;
        self.sent >= limit && (qos == 0 || through)
    }

    fn receive(&mut self, payload: &[u8]) {
        self.counts[RECV] += 1;
        if !self.plan.verify {
            return;
        }
        let Some(head) = Payload::head(payload) else { return self.ledger.note_corrupt() };
        // A subscriber may come when the publishers have long begun: the first number seen is its zero.
        let Some(first) = self.first_message.get_mut(head.publisher as usize) else {
            return self.ledger.note_corrupt();
        };
        let first = *first.get_or_insert(head.number);
        let number = head.number.wrapping_sub(first);
        self.ledger.note(Head { number, ..head });
        self.latency.note(unix_nanos().saturating_sub(head.stamp));
    }

    fn report(&self, seconds: u64, last: &mut [u64; COUNTS.len()]) {
        for ((name, total), last) in COUNTS.iter().zip(self.counts).zip(last) {
            if total != *last {
                let rate = total - *last;
                match self.plan.say {
                    Say::Nothing => {}
                    Say::Words => println!("{seconds}s {name} total={total} rate={rate}.00/sec"),
                    Say::Json => {
                        println!(
                            "{}",
                            json!({ "second": seconds, "what": name, "total": total, "rate": rate })
                        );
                    }
                }
                *last = total;
            }
        }
    }

    fn summary(&self) {
        if !self.plan.verify || self.latency.count() == 0 {
            return;
        }
        let faults = self.ledger.close(|_| 0);
        let micros = |share| self.latency.quantile(share).as_secs_f64() * 1e6;
        let summary = json!({
            "lost": faults.lost, "duplicated": faults.duplicated, "reordered": faults.reordered,
            "corrupt": faults.corrupt,
            "p50_us": micros(0.5), "p99_us": micros(0.99), "p999_us": micros(0.999),
        });
        if self.plan.say == Say::Json {
            println!("{summary}");
        } else if let Some(map) = summary.as_object() {
            let words: Vec<String> = map.iter().map(|(name, value)| format!("{name}={value}")).collect();
            println!("{}", words.join(" "));
        }
    }
}

impl Play for Tool {
    fn opened(&mut self, links: &mut Links, id: usize) {
        let Some(Some(client)) = self.clients.get(id) else { return };
        let login = &self.plan.login;
        let say = Connect {
            version: links.version(),
            client_id: &client.client_id,
            clean: login.clean,
            keep_alive: login.keep_alive,
            username: login.username.as_ref().map(|_| client.username.as_str()),
            password: login.password.as_deref(),
            session_expiry: login.expiry,
        };
        connect(links.out(id), &say);
    }

    fn packet(&mut self, links: &mut Links, id: usize, packet: Packet<'_>) {
        match packet {
            Packet::ConnAck { reason: 0, .. } => self.welcome(links, id),
            Packet::ConnAck { .. } => self.counts[CONNECT_FAIL] += 1,
            Packet::SubAck { reasons, .. } => {
                let refused = reasons.iter().filter(|&&reason| reason >= 0x80).count();
                self.counts[SUB_FAIL] += refused as u64;
                self.counts[SUB] += (reasons.len() - refused) as u64;
            }
            Packet::Publish { qos, id: packet_id, payload, .. } => {
                self.receive(payload);
                match qos {
                    1 => ack(links.out(id), Ack::PubAck, packet_id),
                    2 => ack(links.out(id), Ack::PubRec, packet_id),
                    _ => {}
                }
            }
            Packet::Ack { kind: Ack::PubRel, id: packet_id, .. } => {
                ack(links.out(id), Ack::PubComp, packet_id);
            }
            Packet::Ack { kind: Ack::PubRec, id: packet_id, reason } if reason < 0x80 => {
                ack(links.out(id), Ack::PubRel, packet_id);
            }
            Packet::Ack { reason, .. } => {
                self.counts[if reason < 0x80 { PUB } else { PUB_FAIL }] += 1;
                if let Some(Some(client)) = self.clients.get_mut(id) {
                    client.in_flight = client.in_flight.saturating_sub(1);
                    if matches!(self.plan.kind, Kind::Pub { every: Duration::ZERO, .. }) {
                        self.eager.push(id);
                    }
                }
            }
            Packet::PingResp | Packet::Disconnect { .. } | Packet::Other => {}
        }
    }

    fn closed(&mut self, _: &mut Links, id: usize, why: &str) {
        let Some(client) = self.clients.get_mut(id).and_then(Option::take) else { return };
        self.counts[if client.connected { DISCONNECTED } else { CONNECT_FAIL }] += 1;
        eprintln!("client({}): {why}", client.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        assert_eq!(fill("a/%i/%c/%u/%s", "me", "id7", 7, 3), "a/7/id7/me/3");
        assert_eq!(fill("100%", "", "", 1, 0), "100%");
        assert_eq!(fill("%%i %x", "", "", 1, 0), "%1 %x");
    }
}
