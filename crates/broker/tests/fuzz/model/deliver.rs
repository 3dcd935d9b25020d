//! Who gets a message, and what waits for whom.

use super::filter::{Filter, matches};
use super::letter::{Letter, Message, publish};
use super::{Choices, Flying, Model, Parcel, Session};
use crate::op::{IDS, Wanted};

impl Model {
    /// What an earlier connection left, as far as there is room. [MQTT-4.4.0-1]
    pub(super) fn send_again(&mut self, id: &str) {
        let now = self.now;
        loop {
            let session = self.session(id);
            let Some(line) = &session.line else { return };
            let sent = session.window.iter().filter(|f| f.sent).count();
            let Some(next) = session.window.iter().position(|f| !f.sent).filter(|_| sent < line.room) else {
                return;
            };
            let flying = &mut session.window[next];
            if !flying.released && flying.letter.bytes(line) > line.packet_max {
                // It takes less than it did. [MQTT-3.1.2-25]
                session.window.remove(next);
                continue;
            }
            flying.sent = true;
            let again = match flying.released {
                true => format!("PUBREL {} success", flying.id),
                false => publish(&flying.letter, Some(flying.id), true, line, now),
            };
            self.say(id, again);
        }
    }

    /// Everything that waits for a client, while there is room.
    pub(super) fn pump(&mut self, id: &'static str) {
        loop {
            let session = self.session(id);
            let Some(line) = &session.line else { return };
            let has_room = session.window.len() < line.room;
            let Some(letter) = session.queue.front() else {
                if session.replays.is_empty() {
                    session.queue.rest();
                }
                if !has_room || !self.fetch_replay(id) {
                    return;
                }
                continue;
            };
            if letter.qos > 0 && !has_room {
                return;
            }
            if let Some(letter) = session.queue.pop_front() {
                self.send(id, letter);
            }
        }
    }

    pub(super) fn fetch_replay(&mut self, id: &'static str) -> bool {
        let (now, rules) = (self.now, self.rules);
        let batch = if rules.queue_max == 0 { 64 } else { rules.queue_max };
        while let Some(replay) = self.session(id).replays.front().cloned() {
            let fits = |m: &&Message| {
                matches(&replay.filter, &m.topic)
                    && replay.after.as_ref().is_none_or(|after| m.topic > *after)
                    && m.expiry.is_none_or(|s| m.created + u64::from(s) * 1000 > now)
            };
            let found: Vec<Message> = self.retained.values().filter(fits).take(batch).cloned().collect();
            let session = self.session(id);
            match found.last().filter(|_| found.len() == batch) {
                Some(last) => session.replays[0].after = Some(last.topic.clone()),
                None => drop(session.replays.pop_front()),
            }
            let any = !found.is_empty();
            for message in found {
                // [MQTT-3.3.1-8]: the retain flag is set.
                session.queue.push_owed(Letter::new(message, &replay.how, true, &rules), &rules);
            }
            if any {
                return true;
            }
        }
        false
    }

    pub(super) fn send(&mut self, id: &str, letter: Letter) {
        let (now, session) = (self.now, self.session(id));
        let Some(line) = &session.line else { return };
        // [MQTT-3.1.2-25]: as if it had been sent. What another client had may have waited too long as well.
        if letter.is_expired(now) || letter.bytes(line) > line.packet_max {
            return;
        }
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
        let text = publish(&letter, packet_id, false, line, now);
        self.say(id, text);
    }

    pub(super) fn deliver(&mut self, id: &'static str, letter: Letter) {
        let rules = self.rules;
        let session = self.session(id);
        if let Some(line) = &session.line {
            let goes = match letter.qos {
                0 => !session.queue.has_qos0(),
                _ => session.queue.len() == 0 && session.window.len() < line.room,
            };
            if goes {
                return self.send(id, letter);
            }
        }
        if letter.qos == 0 && !rules.store_qos0 {
            return;
        }
        session.queue.push(letter, &rules);
    }

    /// Gives a message to everybody but `from`, and to a member of each group. Says whether anybody wants it.
    pub(super) fn publish(&mut self, message: &Message, from: Option<&str>, choices: &mut Choices) -> bool {
        if message.retain {
            match message.payload.is_empty() {
                true => drop(self.retained.remove(&message.topic)),
                false => drop(self.retained.insert(message.topic.clone(), message.clone())),
            }
        }
        let plain = self.plain(&message.topic);
        for (id, how) in &plain {
            if Some(*id) != from && !self.is_far(message.publisher, id) {
                self.deliver_plain(id, how, message);
            }
        }
        let (mut groups, mut far) = (self.groups(&message.topic), Vec::new());
        let mut wanted = !plain.is_empty();
        while !groups.is_empty() {
            // A shard comes to those without a member of its own last.
            let next = if self.rules.shards > 1 { choices.of(groups.len()) } else { 0 };
            let group = groups.remove(next);
            if let Some((id, how)) = self.member(&group, message, choices) {
                wanted = true;
                match self.is_far(message.publisher, id) {
                    true => far.push(group),
                    false => self.deliver_shared(id, &how, message),
                }
            }
        }
        if !far.is_empty() || plain.iter().any(|(id, _)| self.is_far(message.publisher, id)) {
            self.send_away(message.publisher, message, true, far);
        }
        wanted
    }

    /// Whether a message waits for `Op::Hand` on its way from the home of one client to that of another.
    pub(super) fn is_far(&self, from: &str, to: &str) -> bool {
        self.rules.shards > 1 && self.rules.is_late && from != to
    }

    pub(super) fn send_away(&mut self, from: &str, message: &Message, is_for_all: bool, groups: Vec<Filter>) {
        let parcel = Parcel { message: message.clone(), is_for_all, groups };
        self.wires[IDS.iter().position(|id| *id == from).unwrap_or(0)].push_back(parcel);
    }

    /// What was on its way from there goes to those who want it now.
    pub(super) fn hand(&mut self, from: usize) {
        let to = IDS[1 - from];
        while let Some(Parcel { message, is_for_all, groups }) = self.wires[from].pop_front() {
            for (id, how) in self.plain(&message.topic) {
                if is_for_all && id == to {
                    self.deliver_plain(id, &how, &message);
                }
            }
            for group in groups {
                let member = self.members(&group).into_iter().find(|(id, _)| *id == to);
                if let Some((id, how)) = member {
                    self.deliver_shared(id, &how, &message);
                }
            }
        }
    }

    /// Who has subscribed a topic, in the order of filters.
    pub(super) fn plain(&self, topic: &str) -> Vec<(&'static str, Wanted)> {
        let mut found = self.matching(topic);
        found.retain(|(filter, ..)| !filter.is_shared);
        found.into_iter().map(|(_, id, how)| (id, how)).collect()
    }

    /// The groups that have subscribed a topic, in the order of filters.
    fn groups(&self, topic: &str) -> Vec<Filter> {
        let mut found: Vec<Filter> = self.matching(topic).into_iter().map(|(filter, ..)| filter).collect();
        found.retain(|filter| filter.is_shared);
        found.dedup();
        found
    }

    fn matching(&self, topic: &str) -> Vec<(Filter, &'static str, Wanted)> {
        let all = self.sessions.iter().flat_map(|(id, s)| s.subscriptions.iter().map(|own| (*id, own)));
        let fits = all.filter(|(_, (filter, _))| matches(&filter.text, topic));
        let mut found: Vec<_> = fits.map(|(id, (filter, how))| (filter.clone(), id, *how)).collect();
        found.sort_by_key(|(filter, ..)| filter.order());
        found
    }

    pub(super) fn deliver_plain(&mut self, id: &'static str, how: &Wanted, message: &Message) {
        // [MQTT-3.8.3-3]
        if how.no_local && message.publisher == id {
            return;
        }
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        let retain = how.retain_as_published && message.retain;
        self.deliver(id, Letter::new(message.clone(), how, retain, &self.rules));
    }

    fn members(&self, group: &Filter) -> Vec<(&'static str, Wanted)> {
        let how_of = |s: &Session| s.subscriptions.iter().find(|(f, _)| f == group).map(|(_, how)| *how);
        self.sessions.iter().filter_map(|(id, s)| Some((*id, how_of(s)?))).collect()
    }

    /// Any one of the members [MQTT-4.8.2-4]; where it has to be one that is connected and has room, one of those.
    pub(super) fn member(
        &self,
        group: &Filter,
        message: &Message,
        choices: &mut Choices,
    ) -> Option<(&'static str, Wanted)> {
        let rules = self.rules;
        let mut members = self.members(group);
        let mut prefer = |is_better: &dyn Fn(&Session) -> bool| {
            if members.iter().any(|(id, _)| is_better(&self.sessions[id])) {
                members.retain(|(id, _)| is_better(&self.sessions[id]));
            }
        };
        if rules.shared_ack {
            prefer(&|s| s.line.is_some());
            // On another shard nobody looks for room.
            if message.qos > 0 && rules.shards == 1 {
                prefer(&|s| s.queue.has_room(&message.topic, &rules));
            }
        }
        (!members.is_empty()).then(|| members[choices.of(members.len())])
    }

    pub(super) fn deliver_shared(&mut self, id: &'static str, how: &Wanted, message: &Message) {
        let retain = how.retain_as_published && message.retain;
        self.deliver(id, Letter::new(message.clone(), how, retain, &self.rules));
    }
}
