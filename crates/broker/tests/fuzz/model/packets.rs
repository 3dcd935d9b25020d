//! What a connected client says.

use mqtt::packet::AckKind;

use super::filter::Filter;
use super::letter::Message;
use super::{Choices, Model, Replay};
use crate::op::{Op, Sent, Wanted};

/// A SUBACK or UNSUBACK of 5.0 with one code. Other answers are shorter than any CONNACK.
const ANSWER_BYTES: usize = 6;

impl Model {
    pub(super) fn packet(&mut self, id: &'static str, op: &Op, payload: &str, choices: &mut Choices) {
        let (now, v5) = (self.now, self.is_v5(id));
        if let Some(line) = &mut self.session(id).line {
            line.heard = now;
        }
        match *op {
            Op::Connect { .. } | Op::Wait { .. } | Op::Hand { .. } | Op::Answer { .. } => {}
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
            Op::Subscribe { filter, how, .. } => self.subscribe(id, filter, how, v5, choices),
            Op::Unsubscribe { filter, .. } => {
                let filter = Filter::new(filter, self.mount(id));
                let session = self.session(id);
                let before = session.subscriptions.len();
                session.subscriptions.retain(|(f, _)| *f != filter);
                let had = session.subscriptions.len() < before;
                // A shared one is owed nothing.
                session.replays.retain(|r| filter.is_shared || r.filter != filter.text);
                if !self.takes(id, ANSWER_BYTES) {
                    return self.give_up(id, choices);
                }
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

    fn subscribe(
        &mut self,
        id: &'static str,
        filter: &'static str,
        how: Wanted,
        v5: bool,
        choices: &mut Choices,
    ) {
        let ignore_loop = self.rules.ignore_loop;
        let how = match v5 {
            true => how,
            false => Wanted { qos: how.qos, no_local: ignore_loop, ..Wanted::default() },
        };
        let filter = Filter::new(filter, self.mount(id));
        let session = self.session(id);
        let own = session.subscriptions.iter_mut().find(|(f, _)| *f == filter);
        let is_new = own.is_none();
        match own {
            Some((_, before)) => *before = how,
            None => session.subscriptions.push((filter.clone(), how)),
        }
        // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; nothing for a shared one.
        if !filter.is_shared && (how.handling == 0 || (how.handling == 1 && is_new)) {
            session.replays.push_back(Replay { filter: filter.text, how, after: None });
        }
        if !self.takes(id, ANSWER_BYTES) {
            return self.give_up(id, choices);
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
        let topic = match self.topic_of(id, topic, &how) {
            Ok(topic) => format!("{}{topic}", self.mount(id)),
            Err((reason, cause)) => return self.close(id, reason, cause, choices),
        };
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
            topic: topic.clone(),
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
        for (_, how) in self.plain(&topic).into_iter().filter(|(to, _)| *to == id) {
            self.deliver_plain(id, &how, &message);
        }
    }

    /// The topic of a PUBLISH, or how and why the connection ends.
    fn topic_of(
        &mut self,
        id: &'static str,
        topic: &'static str,
        how: &Sent,
    ) -> Result<&'static str, (&'static str, &'static str)> {
        const WRONG: (&str, &str) = ("protocol_error", "Refused(ProtocolError)");
        let alias_max = self.rules.alias_max;
        let Some(line) = self.session(id).line.as_mut().filter(|line| line.v5) else { return Ok(topic) };
        match (how.alias, how.nameless) {
            (0, false) => Ok(topic),
            (0, true) => Err(WRONG),
            // [MQTT-3.3.2-9]
            (alias, _) if alias > alias_max => Err(("topic_alias_invalid", "Refused(TopicAliasInvalid)")),
            (alias, true) => line.aliases.get(&alias).copied().ok_or(WRONG),
            (alias, false) => {
                line.aliases.insert(alias, topic);
                Ok(topic)
            }
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
