//! A small, slow model of a broker of two clients: lists that are searched from their beginning, and
//! nothing that is remembered twice. Where MQTT leaves something open it asks for a choice, and every
//! choice is tried.

use std::collections::{BTreeMap, VecDeque};

use mqtt::packet::AckKind;

use crate::op::{FILTERS, Hello, Op, Rules, SHARED, Sent, Wanted};

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
struct Message {
    topic: &'static str,
    payload: String,
    qos: u8,
    retain: bool,
    created: u64,
    /// Seconds.
    expiry: Option<u32>,
    publisher: &'static str,
}

/// A message on its way to one client.
#[derive(Clone, Debug, PartialEq)]
struct Letter {
    message: Message,
    qos: u8,
    retain: bool,
    identifier: u32,
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
    filter: &'static str,
    how: Wanted,
    after: Option<&'static str>,
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
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    line: Option<Line>,
    expiry: u32,
    will: Option<(Message, u32)>,
    will_at: Option<u64>,
    ends_at: Option<u64>,
    subscriptions: Vec<(&'static str, Wanted)>,
    window: Vec<Flying>,
    last_id: u16,
    queue: VecDeque<Letter>,
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

#[derive(Clone, PartialEq)]
pub struct Model {
    rules: Rules,
    now: u64,
    sessions: BTreeMap<&'static str, Session>,
    retained: BTreeMap<&'static str, Message>,
    /// What each program has got in this step.
    pub out: [Vec<String>; 2],
}

impl Model {
    pub fn new(rules: Rules, now: u64) -> Model {
        Model { rules, now, sessions: BTreeMap::new(), retained: BTreeMap::new(), out: Default::default() }
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
        let session = self.sessions.entry(id).or_default();
        session.line = Some(Line {
            at,
            v5: how.v5,
            room: own.min(asked),
            is_resumed: present,
            heard: now,
            silence: u64::from(how.keep_alive) * 1500,
            expiry_asked: how.expiry,
        });
        session.expiry = match (how.v5, how.clean) {
            (true, _) => how.expiry,
            (false, true) => 0,
            (false, false) => rules.session_expiry,
        };
        session.will = how.will.map(|will| {
            let message = Message {
                topic: will.topic,
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
        self.say(id, if present { "CONNACK success present" } else { "CONNACK success" });
        self.send_again(id);
        self.pump(id);
    }

    /// What an earlier connection left, as far as there is room. [MQTT-4.4.0-1]
    fn send_again(&mut self, id: &str) {
        let (now, session) = (self.now, self.session(id));
        let Some(line) = &session.line else { return };
        let mut lines = Vec::new();
        for n in 0..session.window.len() {
            if session.window[n].sent {
                continue;
            }
            if session.window.iter().filter(|f| f.sent).count() >= line.room {
                break;
            }
            let flying = &mut session.window[n];
            flying.sent = true;
            lines.push(match flying.released {
                true => format!("PUBREL {} success", flying.id),
                false => publish(&flying.letter, Some(flying.id), true, line.v5, now),
            });
        }
        lines.into_iter().for_each(|line| self.say(id, line));
    }

    /// Everything that waits for a client, while there is room.
    fn pump(&mut self, id: &'static str) {
        loop {
            let now = self.now;
            let session = self.session(id);
            let Some(line) = &session.line else { return };
            let has_room = session.window.len() < line.room;
            let Some(letter) = session.queue.front() else {
                if !has_room || !self.fetch_replay(id) {
                    return;
                }
                continue;
            };
            if letter.qos > 0 && !has_room {
                return;
            }
            if let Some(letter) = session.queue.pop_front().filter(|l| !l.is_expired(now)) {
                self.send(id, letter);
            }
        }
    }

    fn fetch_replay(&mut self, id: &'static str) -> bool {
        let (now, rules) = (self.now, self.rules);
        let batch = if rules.queue_max == 0 { 64 } else { rules.queue_max };
        while let Some(replay) = self.session(id).replays.front().cloned() {
            let fits = |m: &&Message| {
                matches(replay.filter, m.topic)
                    && replay.after.is_none_or(|after| m.topic > after)
                    && m.expiry.is_none_or(|s| m.created + u64::from(s) * 1000 > now)
            };
            let found: Vec<Message> = self.retained.values().filter(fits).take(batch).cloned().collect();
            let session = self.session(id);
            match found.last().filter(|_| found.len() == batch) {
                Some(last) => session.replays[0].after = Some(last.topic),
                None => drop(session.replays.pop_front()),
            }
            let any = !found.is_empty();
            for message in found {
                // [MQTT-3.3.1-8]: the retain flag is set.
                session.queue.push_back(Letter::new(message, &replay.how, true, &rules));
            }
            if any {
                return true;
            }
        }
        false
    }

    fn send(&mut self, id: &str, letter: Letter) {
        let (now, session) = (self.now, self.session(id));
        let v5 = session.line.as_ref().is_some_and(|l| l.v5);
        let mut packet_id = None;
        if letter.qos > 0 {
            // [MQTT-2.2.1-4]
            while {
                session.last_id = session.last_id.checked_add(1).unwrap_or(1);
                session.window.iter().any(|f| f.id == session.last_id)
            } {}
            packet_id = Some(session.last_id);
            let letter = letter.clone();
            session.window.push(Flying { id: session.last_id, letter, released: false, sent: true });
        }
        self.say(id, publish(&letter, packet_id, false, v5, now));
    }

    fn deliver(&mut self, id: &'static str, letter: Letter) {
        let (now, rules) = (self.now, self.rules);
        let session = self.session(id);
        if let Some(line) = &session.line {
            let goes = match letter.qos {
                0 => !session.queue.iter().any(|l| l.qos == 0),
                _ => session.queue.is_empty() && session.window.len() < line.room,
            };
            if goes {
                // What another client had may have waited too long.
                if !letter.is_expired(now) {
                    self.send(id, letter);
                }
                return;
            }
        }
        if letter.qos == 0 && !rules.store_qos0 {
            return;
        }
        session.queue.push_back(letter);
        if rules.queue_max > 0 && session.queue.len() > rules.queue_max {
            session.queue.pop_front();
        }
    }

    /// Gives a message to everybody but `from`, and to a member of each group. Says whether anybody wants it.
    fn publish(&mut self, message: &Message, from: Option<&str>, choices: &mut Choices) -> bool {
        if message.retain {
            match message.payload.is_empty() {
                true => drop(self.retained.remove(message.topic)),
                false => drop(self.retained.insert(message.topic, message.clone())),
            }
        }
        let plain = self.plain(message.topic);
        for (id, how) in &plain {
            if Some(*id) != from {
                self.deliver_plain(id, how, message);
            }
        }
        let mut wanted = !plain.is_empty();
        for shared in SHARED.into_iter().filter(|shared| matches(filter_of(shared), message.topic)) {
            wanted |= self.deliver_shared(shared, message, choices);
        }
        wanted
    }

    /// Who has subscribed a topic, in the order of filters.
    fn plain(&self, topic: &str) -> Vec<(&'static str, Wanted)> {
        let mut found = Vec::new();
        for filter in FILTERS.into_iter().filter(|filter| matches(filter, topic)) {
            for (id, session) in &self.sessions {
                let own = session.subscriptions.iter().filter(|(f, _)| *f == filter);
                found.extend(own.map(|(_, how)| (*id, *how)));
            }
        }
        found
    }

    fn deliver_plain(&mut self, id: &'static str, how: &Wanted, message: &Message) {
        // [MQTT-3.8.3-3]
        if how.no_local && message.publisher == id {
            return;
        }
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        let retain = how.retain_as_published && message.retain;
        self.deliver(id, Letter::new(message.clone(), how, retain, &self.rules));
    }

    /// To any one of the members [MQTT-4.8.2-4]; where it has to be one that is connected and has room, to one of those.
    fn deliver_shared(&mut self, shared: &'static str, message: &Message, choices: &mut Choices) -> bool {
        let rules = self.rules;
        let how_of = |s: &Session| s.subscriptions.iter().find(|(f, _)| *f == shared).map(|(_, how)| *how);
        let members = self.sessions.iter().filter_map(|(id, s)| Some((*id, how_of(s)?)));
        let mut members: Vec<(&'static str, Wanted)> = members.collect();
        let mut prefer = |is_better: &dyn Fn(&Session) -> bool| {
            if members.iter().any(|(id, _)| is_better(&self.sessions[id])) {
                members.retain(|(id, _)| is_better(&self.sessions[id]));
            }
        };
        if rules.shared_ack {
            prefer(&|s| s.line.is_some());
            if message.qos > 0 {
                prefer(&|s| rules.queue_max == 0 || s.queue.len() < rules.queue_max);
            }
        }
        if members.is_empty() {
            return false;
        }
        let (id, how) = members[choices.of(members.len())];
        let retain = how.retain_as_published && message.retain;
        self.deliver(id, Letter::new(message.clone(), &how, retain, &rules));
        true
    }

    /// The broker ends a connection.
    fn close(&mut self, id: &'static str, reason: &str, cause: &str, choices: &mut Choices) {
        if self.is_v5(id) {
            self.say(id, format!("DISCONNECT {reason}"));
        }
        self.say(id, format!("CLOSED {cause}"));
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
        let waiting = session.queue.iter().filter(|l| l.qos > 0);
        let owed: Vec<Letter> = flying.chain(waiting).cloned().collect();
        for letter in owed {
            let has = |filter: &&str| {
                session.subscriptions.iter().any(|(own, _)| own == filter)
                    && matches(filter_of(filter), letter.message.topic)
            };
            let groups: Vec<&'static str> = SHARED.into_iter().filter(has).collect();
            if FILTERS.iter().any(has) || groups.is_empty() {
                continue;
            }
            let group = groups[choices.of(groups.len())];
            self.deliver_shared(group, &letter.message, choices);
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

    fn packet(&mut self, id: &'static str, op: &Op, payload: &str, choices: &mut Choices) {
        let (now, v5) = (self.now, self.is_v5(id));
        if let Some(line) = &mut self.session(id).line {
            line.heard = now;
        }
        match *op {
            Op::Connect { .. } | Op::Wait { .. } | Op::Answer { .. } => {}
            // [MQTT-3.1.0-2]
            Op::ConnectAgain { .. } => {
                self.close(id, "protocol_error", "Refused(ProtocolError)", choices);
            }
            Op::Malformed { .. } => self.close(id, "malformed_packet", "Refused(MalformedPacket)", choices),
            Op::Lose { .. } => self.end(id, choices),
            Op::Ping { .. } => self.say(id, "PINGRESP"),
            Op::Disconnect { reason, expiry, .. } => {
                let (reason, expiry) = if v5 { (reason, expiry) } else { (0, None) };
                let session = self.session(id);
                let asked = session.line.as_ref().map_or(0, |l| l.expiry_asked);
                if asked == 0 && expiry.is_some_and(|s| s > 0) {
                    return self.close(id, "protocol_error", "Refused(ProtocolError)", choices);
                }
                // [MQTT-3.14.4-3]
                if reason == 0 {
                    session.will = None;
                }
                session.expiry = expiry.unwrap_or(session.expiry);
                self.say(id, "CLOSED Normal");
                self.end(id, choices);
            }
            Op::Subscribe { filter, how, .. } => self.subscribe(id, filter, how, v5),
            Op::Unsubscribe { filter, .. } => {
                let session = self.session(id);
                let before = session.subscriptions.len();
                session.subscriptions.retain(|(f, _)| *f != filter);
                let had = session.subscriptions.len() < before;
                // What it is still owed of a shared one is nothing.
                session.replays.retain(|r| r.filter != filter);
                self.say(
                    id,
                    match (v5, had) {
                        (false, _) => "UNSUBACK ",
                        (true, true) => "UNSUBACK 0",
                        (true, false) => "UNSUBACK 17",
                    },
                );
            }
            Op::Publish { topic, packet_id, how, .. } => {
                self.published(id, topic, packet_id, how, payload, v5, choices);
            }
            Op::Ack { kind, packet_id, error, .. } => {
                self.acknowledged(id, kind, packet_id, error && v5, v5, choices);
            }
        }
    }

    fn subscribe(&mut self, id: &'static str, filter: &'static str, how: Wanted, v5: bool) {
        let ignore_loop = self.rules.ignore_loop;
        let how = match v5 {
            true => how,
            false => Wanted { qos: how.qos, no_local: ignore_loop, ..Wanted::default() },
        };
        let session = self.session(id);
        let own = session.subscriptions.iter_mut().find(|(f, _)| *f == filter);
        let is_new = own.is_none();
        match own {
            Some((_, before)) => *before = how,
            None => session.subscriptions.push((filter, how)),
        }
        // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; nothing for a shared one.
        if FILTERS.contains(&filter) && (how.handling == 0 || (how.handling == 1 && is_new)) {
            session.replays.push_back(Replay { filter, how, after: None });
        }
        self.say(id, format!("SUBACK {}", how.qos));
        self.pump(id);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one packet")]
    fn published(
        &mut self,
        id: &'static str,
        topic: &'static str,
        packet_id: u16,
        how: Sent,
        payload: &str,
        v5: bool,
        choices: &mut Choices,
    ) {
        let (now, rules) = (self.now, self.rules);
        let session = self.session(id);
        if how.qos == 2 && session.received.iter().any(|(id, _)| *id == packet_id) {
            // [MQTT-4.3.3-10]
            return self.say(id, format!("PUBREC {packet_id} success"));
        }
        let counts = how.qos == 2 || (how.qos == 1 && v5);
        if counts
            && rules.awaiting_rel_max > 0
            && session.received.len() >= usize::from(rules.awaiting_rel_max)
        {
            // [MQTT-3.3.4-7]
            return self.close(id, "receive_maximum_exceeded", "Refused(ReceiveMaximumExceeded)", choices);
        }
        if how.qos == 2 {
            session.received.push((packet_id, now));
        }
        let message = Message {
            topic,
            payload: if how.empty { String::new() } else { payload.to_owned() },
            qos: how.qos,
            retain: how.retain,
            created: now,
            expiry: how.expiry.filter(|_| v5),
            publisher: id,
        };
        let wanted = self.publish(&message, Some(id), choices);
        match how.qos {
            0 => {}
            1 if wanted || !v5 => self.say(id, format!("PUBACK {packet_id} success")),
            1 => self.say(id, format!("PUBACK {packet_id} no_matching_subscribers")),
            _ => self.say(id, format!("PUBREC {packet_id} success")),
        }
        // What it sends to itself comes after the answer.
        for (_, how) in self.plain(topic).into_iter().filter(|(to, _)| *to == id) {
            self.deliver_plain(id, &how, &message);
        }
    }

    fn acknowledged(
        &mut self,
        id: &'static str,
        kind: AckKind,
        packet_id: u16,
        error: bool,
        v5: bool,
        choices: &mut Choices,
    ) {
        let session = self.session(id);
        if kind == AckKind::Pubrel {
            let before = session.received.len();
            session.received.retain(|(id, _)| *id != packet_id);
            let is_known = session.received.len() < before;
            let is_resumed = session.line.as_ref().is_some_and(|l| l.is_resumed);
            let is_wrong = v5 && !is_known && !is_resumed;
            let reason = if is_wrong { "packet_identifier_not_found" } else { "success" };
            return self.say(id, format!("PUBCOMP {packet_id} {reason}"));
        }
        let place = session.window.iter().position(|f| f.id == packet_id);
        let state = place.map(|at| (session.window[at].letter.qos, session.window[at].released));
        match (kind, state) {
            (AckKind::Puback, Some((1, _))) | (AckKind::Pubcomp, Some((2, true))) => {}
            // [MQTT-4.3.3-4]: an error ends it.
            (AckKind::Pubrec, Some((2, _))) if error => {}
            (AckKind::Pubrec, Some((2, _))) => {
                session.window[place.unwrap_or(0)].released = true;
                return self.say(id, format!("PUBREL {packet_id} success"));
            }
            (AckKind::Pubrec, None) if !error => {
                let reason = if v5 { "packet_identifier_not_found" } else { "success" };
                return self.say(id, format!("PUBREL {packet_id} {reason}"));
            }
            (_, None) => return,
            (_, Some(_)) => return self.close(id, "protocol_error", "Refused(ProtocolError)", choices),
        }
        session.window.retain(|f| f.id != packet_id);
        self.send_again(id);
        self.pump(id);
    }
}

impl Letter {
    /// A message for a subscription, with the QoS of both that counts [MQTT-3.8.4-8].
    fn new(message: Message, how: &Wanted, retain: bool, rules: &Rules) -> Letter {
        let qos = if rules.upgrade_qos { message.qos.max(how.qos) } else { message.qos.min(how.qos) };
        Letter { qos, retain, identifier: how.identifier, message }
    }

    /// [MQTT-3.3.2-5]
    fn is_expired(&self, now: u64) -> bool {
        let passed = now - self.message.created;
        self.message.expiry.is_some_and(|s| passed > 0 && passed >= u64::from(s) * 1000)
    }
}

/// A PUBLISH as a line.
pub fn publish_line(
    topic: &str,
    payload: &str,
    qos: u8,
    id: Option<u16>,
    flags: (bool, bool),
    identifier: Option<u32>,
    expiry: Option<u32>,
) -> String {
    let (retain, dup) = flags;
    format!("PUBLISH {topic} '{payload}' q{qos} {id:?} retain={retain} dup={dup} {identifier:?} {expiry:?}")
}

fn publish(letter: &Letter, id: Option<u16>, dup: bool, v5: bool, now: u64) -> String {
    let message = &letter.message;
    let passed = ((now - message.created) / 1000) as u32;
    let expiry = message.expiry.map(|s| s.saturating_sub(passed));
    let identifier = Some(letter.identifier).filter(|id| *id > 0);
    let flags = (letter.retain, dup);
    let (identifier, expiry) = (identifier.filter(|_| v5), expiry.filter(|_| v5));
    publish_line(message.topic, &message.payload, letter.qos, id, flags, identifier, expiry)
}

/// The filter of a shared subscription, or any other as it is.
fn filter_of(filter: &str) -> &str {
    filter.strip_prefix("$share/g/").unwrap_or(filter)
}

fn matches(filter: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}
