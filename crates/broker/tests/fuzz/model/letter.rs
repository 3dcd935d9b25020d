//! A message, the same on its way to one client, and how that is written in a line.

use super::Line;
use crate::op::{Rules, Wanted};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// With the mountpoint of its publisher.
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) created: u64,
    /// Seconds.
    pub(super) expiry: Option<u32>,
    pub(super) publisher: &'static str,
}

/// A message on its way to one client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Letter {
    pub(super) message: Message,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) identifier: u32,
}

impl Letter {
    /// A message for a subscription, with the QoS of both that counts [MQTT-3.8.4-8].
    pub(super) fn new(message: Message, how: &Wanted, retain: bool, rules: &Rules) -> Letter {
        let qos = if rules.upgrade_qos { message.qos.max(how.qos) } else { message.qos.min(how.qos) };
        Letter { qos, retain, identifier: how.identifier, message }
    }

    /// The topic without the mountpoint of whom it goes to. What a session subscribed behind another
    /// one comes as it is.
    fn shown_topic(&self, line: &Line) -> &str {
        let topic = &self.message.topic;
        topic.strip_prefix(&*line.mount).unwrap_or(topic)
    }

    /// Of its PUBLISH, with the topic and not an alias of it.
    pub(super) fn bytes(&self, line: &Line) -> usize {
        let identifier = match self.identifier {
            0 => 0,
            1..128 => 2,
            _ => 3,
        };
        let properties = if self.message.expiry.is_some() { 5 } else { 0 } + identifier;
        let packet_id = if self.qos > 0 { 2 } else { 0 };
        let properties = if line.v5 { 1 + properties } else { 0 };
        2 + 2 + self.shown_topic(line).len() + packet_id + properties + self.message.payload.len()
    }

    /// [MQTT-3.3.2-5]
    pub(super) fn is_expired(&self, now: u64) -> bool {
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

pub(super) fn publish(letter: &Letter, id: Option<u16>, dup: bool, line: &Line, now: u64) -> String {
    let message = &letter.message;
    let passed = ((now - message.created) / 1000) as u32;
    let expiry = message.expiry.map(|s| s.saturating_sub(passed));
    let identifier = Some(letter.identifier).filter(|id| *id > 0);
    let flags = (letter.retain, dup);
    let (identifier, expiry) = (identifier.filter(|_| line.v5), expiry.filter(|_| line.v5));
    publish_line(letter.shown_topic(line), &message.payload, letter.qos, id, flags, identifier, expiry)
}
