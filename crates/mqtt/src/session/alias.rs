//! Topic aliases, both ways (§3.3.2.3.4): the numbers that stand for topics on one connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Reason;
use crate::packet::Alias;

/// Topics that the client may name by number: bytes of all of them together.
const RECEIVED_BYTES_MAX: usize = 4 << 20;
/// Topics that are named by number to one client.
const SENT_MAX: u16 = 64;
/// Shorter topics are sent as they are: the alias takes three bytes itself.
const SENT_TOPIC_BYTES_MIN: usize = 4;
/// Longer topics are not remembered.
const SENT_TOPIC_BYTES_MAX: usize = 1024;

/// The aliases that a client has set.
#[derive(Debug, Default)]
pub(super) struct Received {
    topics: BTreeMap<u16, Arc<str>>,
    bytes: usize,
}

impl Received {
    /// The topic of an alias.
    pub(super) fn topic(&self, alias: u16) -> Option<&Arc<str>> {
        self.topics.get(&alias)
    }

    /// Sets an alias, or sets it anew. Too much to remember is refused.
    pub(super) fn set(&mut self, alias: u16, topic: &str) -> Result<(), Reason> {
        let before = self.topics.get(&alias);
        if before.is_some_and(|t| **t == *topic) {
            return Ok(());
        }
        let bytes = self.bytes - before.map_or(0, |t| t.len()) + topic.len();
        if bytes > RECEIVED_BYTES_MAX {
            return Err(Reason::QuotaExceeded);
        }
        self.bytes = bytes;
        self.topics.insert(alias, topic.into());
        Ok(())
    }
}

/// The aliases that are used towards a client: the first topics get one each, in the order of their
/// first message.
#[derive(Debug)]
pub(super) struct Aliases {
    max: u16,
    /// By alias − 1: a hash and the topic.
    topics: Vec<(u32, Box<str>)>,
}

impl Aliases {
    /// At most as many as the client allows.
    pub(super) fn new(client_max: u16) -> Aliases {
        Aliases { max: client_max.min(SENT_MAX), topics: Vec::new() }
    }

    /// The alias that a topic is to be sent with.
    pub(super) fn of(&mut self, topic: &str) -> Option<Alias> {
        if !(SENT_TOPIC_BYTES_MIN..=SENT_TOPIC_BYTES_MAX).contains(&topic.len()) {
            return None;
        }
        let hash = hash(topic);
        let known = self.topics.iter().position(|(h, t)| *h == hash && **t == *topic);
        if let Some(position) = known {
            return Some(Alias { number: position as u16 + 1, is_known: true });
        }
        if self.topics.len() >= usize::from(self.max) {
            return None;
        }
        self.topics.push((hash, topic.into()));
        Some(Alias { number: self.topics.len() as u16, is_known: false })
    }
}

/// FNV-1a: it only saves comparing texts.
fn hash(topic: &str) -> u32 {
    topic.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_numbers_from_one_and_are_named_by_them_from_the_second_time() {
        let mut aliases = Aliases::new(2);
        let set = |number| Some(Alias { number, is_known: false });
        let known = |number| Some(Alias { number, is_known: true });
        let table = [("a/bb", set(1)), ("c/dd", set(2)), ("a/bb", known(1)), ("e/ff", None), ("a/b", None)];
        for (topic, expected) in table {
            assert_eq!(aliases.of(topic), expected, "{topic}");
        }
        assert_eq!(Aliases::new(5).of(&"x".repeat(1025)), None);
    }

    #[test]
    fn what_a_client_makes_the_broker_remember_is_bounded() {
        let mut received = Received::default();
        let topic = "x".repeat(65_535);
        let set = (1..=65_535).take_while(|alias| received.set(*alias, &topic).is_ok()).count();
        assert_eq!(set, RECEIVED_BYTES_MAX / 65_535);
        // An alias that is set anew gives its old topic's bytes back.
        assert_eq!(received.set(1, "short"), Ok(()));
        assert_eq!(received.set(100, "other"), Ok(()));
        assert_eq!(received.topic(1).map(|t| &**t), Some("short"));
    }
}
