//! A small, slow model of a broker of two clients: lists that are searched from their beginning, and
//! nothing that is remembered twice. Where MQTT leaves something open it asks for a choice, and every
//! choice is tried.

mod deliver;
mod filter;
mod letter;
mod packets;
mod queue;

use std::collections::{BTreeMap, VecDeque};

use crate::op::{Hello, Op, Rules, Wanted};
use filter::{Filter, matches};
use letter::{Letter, Message};
use queue::Queue;

pub use letter::publish_line;

const NEVER: u32 = u32::MAX;

/// Picks of what is left open. All of them come one after the other.
#[derive(Default)]
pub struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    fn of(&mut self, count: usize) -> usize {
        if count < 2 {
            return 0;
        }
        if self.at == self.taken.len() {
            self.taken.push((0, count));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }

    /// Another combination. `false`: that was the last one.
    pub fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((taken, count)) = self.taken.pop() {
            if taken + 1 < count {
                self.taken.push((taken + 1, count));
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Flying {
    id: u16,
    letter: Letter,
    /// Its PUBREC has come.
    released: bool,
    /// On this connection.
    sent: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Replay {
    filter: String,
    how: Wanted,
    after: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Line {
    at: usize,
    v5: bool,
    room: usize,
    is_resumed: bool,
    heard: u64,
    /// Milliseconds; 0: for ever.
    silence: u64,
    expiry_asked: u32,
    packet_max: usize,
    /// Stands before each of its topics and filters, and it does not see it.
    mount: String,
    /// What it has set.
    aliases: BTreeMap<u16, &'static str>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    line: Option<Line>,
    expiry: u32,
    will: Option<(Message, u32)>,
    will_at: Option<u64>,
    ends_at: Option<u64>,
    subscriptions: Vec<(Filter, Wanted)>,
    window: Vec<Flying>,
    last_id: u16,
    queue: Queue,
    replays: VecDeque<Replay>,
    /// QoS 2 identifiers without PUBREL, and when they came.
    received: Vec<(u16, u64)>,
}

/// What can be seen of a session from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub id: String,
    pub connected: bool,
    pub subscriptions: usize,
    pub inflight: usize,
    pub queue: usize,
    pub awaiting_rel: usize,
}

/// A message on its way to the other shard.
#[derive(Clone, Debug, PartialEq)]
struct Parcel {
    message: Message,
    /// For whoever has subscribed there when it comes; otherwise for the groups alone.
    is_for_all: bool,
    /// Those of which the member there was chosen.
    groups: Vec<Filter>,
}

#[derive(Clone, PartialEq)]
pub struct Model {
    rules: Rules,
    now: u64,
    sessions: BTreeMap<&'static str, Session>,
    retained: BTreeMap<String, Message>,
    /// What each shard has for the other one.
    wires: [VecDeque<Parcel>; 2],
    /// What each program has got in this step.
    pub out: [Vec<String>; 2],
}

impl Model {
    pub fn new(rules: Rules, now: u64) -> Model {
        Model {
            rules,
            now,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            wires: Default::default(),
            out: Default::default(),
        }
    }

    pub fn shown(&self) -> Vec<Shown> {
        let shown = |(id, s): (&&str, &Session)| Shown {
            id: (*id).to_owned(),
            connected: s.line.is_some(),
            subscriptions: s.subscriptions.len(),
            inflight: s.window.len(),
            queue: s.queue.len(),
            // Nobody is shown those of a session without connection.
            awaiting_rel: s.line.as_ref().map_or(0, |_| s.received.len()),
        };
        self.sessions.iter().map(shown).collect()
    }

    /// One step; `payload` is that of a PUBLISH.
    pub fn step(&mut self, op: &Op, payload: &str, choices: &mut Choices) {
        self.out = Default::default();
        match *op {
            Op::Connect { at, id, how } => self.connect(at, id, how, choices),
            Op::Wait { ms } => self.pass(ms, choices),
            Op::Hand { from } => self.hand(from),
            Op::ConnectAgain { at }
            | Op::Subscribe { at, .. }
            | Op::Unsubscribe { at, .. }
            | Op::Publish { at, .. }
            | Op::Ack { at, .. }
            | Op::Answer { at, .. }
            | Op::Ping { at }
            | Op::Disconnect { at, .. }
            | Op::Lose { at }
            | Op::Malformed { at } => {
                if let Some(id) = self.id_at(at) {
                    self.packet(id, op, payload, choices);
                }
            }
        }
    }

    fn id_at(&self, at: usize) -> Option<&'static str> {
        let is_it = |s: &Session| s.line.as_ref().is_some_and(|l| l.at == at);
        self.sessions.iter().find(|(_, s)| is_it(s)).map(|(id, _)| *id)
    }

    fn session(&mut self, id: &str) -> &mut Session {
        self.sessions.get_mut(id).expect("there is such a session")
    }

    fn say(&mut self, id: &str, line: impl Into<String>) {
        if let Some(Line { at, .. }) = self.sessions[id].line {
            self.out[at].push(line.into());
        }
    }

    /// [MQTT-3.1.2-24]
    fn takes(&self, id: &str, bytes: usize) -> bool {
        self.sessions[id].line.as_ref().is_some_and(|l| bytes <= l.packet_max)
    }

    fn mount(&self, id: &str) -> &str {
        self.sessions[id].line.as_ref().map_or("", |l| &l.mount)
    }

    fn is_v5(&self, id: &str) -> bool {
        self.sessions[id].line.as_ref().is_some_and(|l| l.v5)
    }

    fn connect(&mut self, at: usize, id: &'static str, how: Hello, choices: &mut Choices) {
        if let Some(before) = self.id_at(at) {
            self.end(before, choices);
        }
        if self.sessions.get(id).is_some_and(|s| s.line.is_some()) {
            // [MQTT-3.1.4-3]
            let cause = if how.clean { "Discarded" } else { "TakenOver" };
            self.close(id, "session_taken_over", cause, choices);
        }
        if how.clean && self.sessions.contains_key(id) {
            self.end_session(id, choices);
        }
        let now = self.now;
        let present = self.sessions.contains_key(id);
        let rules = self.rules;
        let asked = if how.receive_max == 0 { usize::from(u16::MAX) } else { usize::from(how.receive_max) };
        let own = if rules.inflight_max == 0 { usize::MAX } else { usize::from(rules.inflight_max) };
        let mount = rules.mounts[at].replace("%c", id);
        let session = self.sessions.entry(id).or_default();
        session.line = Some(Line {
            at,
            v5: how.v5,
            room: own.min(asked),
            is_resumed: present,
            heard: now,
            silence: u64::from(how.keep_alive) * 1500,
            expiry_asked: how.expiry,
            packet_max: if how.packet_max == 0 { usize::MAX } else { how.packet_max as usize },
            mount: mount.clone(),
            aliases: BTreeMap::new(),
        });
        session.expiry = match (how.v5, how.clean) {
            (true, _) => how.expiry,
            (false, true) => 0,
            (false, false) => rules.session_expiry,
        };
        session.will = how.will.map(|will| {
            let message = Message {
                topic: format!("{mount}{}", will.topic),
                payload: format!("will of {id}"),
                qos: will.qos,
                retain: will.retain,
                created: now,
                expiry: None,
                publisher: id,
            };
            (message, will.delay)
        });
        (session.will_at, session.ends_at) = (None, None);
        session.received.iter_mut().for_each(|(_, came)| *came = now);
        session.window.iter_mut().for_each(|f| f.sent = false);
        // The flags, the reason, and a property of three bytes for each limit that is told.
        let told = [rules.awaiting_rel_max, rules.alias_max].into_iter().filter(|max| *max > 0).count();
        if !self.takes(id, 5 + 3 * told) {
            return self.give_up(id, choices);
        }
        self.say(id, if present { "CONNACK success present" } else { "CONNACK success" });
        self.send_again(id);
        self.pump(id);
    }

    /// The broker ends a connection.
    fn close(&mut self, id: &'static str, reason: &str, cause: &str, choices: &mut Choices) {
        if self.is_v5(id) {
            self.say(id, format!("DISCONNECT {reason}"));
        }
        self.say(id, format!("CLOSED {cause}"));
        self.end(id, choices);
    }

    /// A client that does not even take the answers cannot be served.
    fn give_up(&mut self, id: &'static str, choices: &mut Choices) {
        self.say(id, "CLOSED Refused(PacketTooLarge)");
        self.end(id, choices);
    }

    /// A connection has ended: the will, and the session, have their time.
    fn end(&mut self, id: &'static str, choices: &mut Choices) {
        let (now, session) = (self.now, self.session(id));
        session.line = None;
        let after = |seconds: u32| now + u64::from(seconds) * 1000;
        // [MQTT-3.1.2-8] [MQTT-3.1.3-9]
        session.will_at = session.will.as_ref().map(|(_, delay)| after((*delay).min(session.expiry)));
        session.ends_at = (session.expiry != NEVER).then(|| after(session.expiry));
        self.due(id, choices);
    }

    /// What has come due of a session without connection.
    fn due(&mut self, id: &'static str, choices: &mut Choices) {
        let now = self.now;
        if self.session(id).will_at.is_some_and(|at| at <= now) {
            self.session(id).will_at = None;
            self.leave_will(id, choices);
        }
        if self.session(id).ends_at.is_some_and(|at| at <= now) {
            self.end_session(id, choices);
        }
    }

    fn leave_will(&mut self, id: &str, choices: &mut Choices) {
        if let Some((will, _)) = self.session(id).will.take() {
            self.publish(&Message { created: self.now, ..will }, None, choices);
        }
    }

    fn end_session(&mut self, id: &'static str, choices: &mut Choices) {
        let Some(session) = self.sessions.remove(id) else { return };
        if let Some((will, _)) = session.will.clone() {
            self.publish(&Message { created: self.now, ..will }, None, choices);
        }
        // [MQTT-4.8.2-5]: what a group gave it goes to another member, unless it may have it already.
        let flying = session.window.iter().filter(|f| f.letter.qos == 1).map(|f| &f.letter);
        let waiting = session.queue.all().into_iter().filter(|l| l.qos > 0);
        let owed: Vec<Letter> = flying.chain(waiting).cloned().collect();
        for letter in owed {
            let own = session.subscriptions.iter().map(|(filter, _)| filter);
            let own = own.filter(|filter| matches(&filter.text, &letter.message.topic));
            let (groups, plain): (Vec<&Filter>, Vec<&Filter>) = own.partition(|filter| filter.is_shared);
            if plain.is_empty() && !groups.is_empty() {
                let group = groups[choices.of(groups.len())];
                match self.member(group, &letter.message, choices) {
                    Some((to, _)) if self.is_far(id, to) => {
                        self.send_away(id, &letter.message, false, vec![group.clone()]);
                    }
                    Some((to, how)) => self.deliver_shared(to, &how, &letter.message),
                    None => {}
                }
            }
        }
    }

    fn pass(&mut self, ms: u64, choices: &mut Choices) {
        let until = self.now + ms;
        loop {
            let await_rel = self.rules.await_rel_ms;
            let wish = |s: &Session| {
                let silent = s.line.as_ref().filter(|l| l.silence > 0).map(|l| l.heard + l.silence);
                let came = s.received.iter().map(|(_, came)| came + await_rel).min();
                let given_up = came.filter(|_| await_rel > 0 && s.line.is_some());
                let away = [s.will_at, s.ends_at].into_iter().flatten().min().filter(|_| s.line.is_none());
                [silent, given_up, away].into_iter().flatten().min()
            };
            let wishes: Vec<_> = self.sessions.iter().filter_map(|(id, s)| Some((wish(s)?, *id))).collect();
            let Some(first) = wishes.iter().map(|(at, _)| *at).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(first);
            let same: Vec<_> = wishes.into_iter().filter(|(at, _)| *at == first).collect();
            let (_, id) = same[choices.of(same.len())];
            let now = self.now;
            let session = self.session(id);
            let Some(line) = &session.line else {
                self.due(id, choices);
                continue;
            };
            let is_silent = line.silence > 0 && line.heard + line.silence <= now;
            if await_rel > 0 {
                session.received.retain(|(_, came)| came + await_rel > now);
            }
            if is_silent {
                // [MQTT-3.1.2-22]
                self.close(id, "keepalive_timeout", "KeepAlive", choices);
            }
        }
        self.now = until;
    }
}
