//! Answers of the rules that a client's home shard remembers (the ACL cache of EMQ X 4.4): of the last
//! topics, each for a while. A new version of the rules empties it at once.

use std::collections::VecDeque;

use mqtt::Now;

use super::{Deed, Verdict};
use crate::settings::DecidedRules;

/// The remembered answers of one client, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Decided(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    topic: Box<str>,
    deed: Deed,
    verdict: Verdict,
    until: Now,
}

impl Decided {
    pub(crate) fn find(&self, deed: Deed, topic: &str, now: Now) -> Option<Verdict> {
        let fits = |e: &&Entry| e.deed == deed && e.until > now && *e.topic == *topic;
        self.0.iter().rev().find(fits).map(|e| e.verdict)
    }

    pub(crate) fn note(&mut self, deed: Deed, topic: &str, verdict: Verdict, rules: DecidedRules, now: Now) {
        while self.0.len() >= rules.entries_max {
            self.0.pop_front();
        }
        let until = now.plus(rules.ttl.as_millis() as u64);
        self.0.push_back(Entry { topic: topic.into(), deed, verdict, until });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_topics_are_remembered_for_a_while() {
        let rules = DecidedRules { entries_max: 2, ttl: Duration::from_secs(1) };
        let mut decided = Decided::default();
        for topic in ["a", "b", "c"] {
            decided.note(Deed::Subscribe, topic, Verdict::Deny, rules, Now(1));
        }
        assert_eq!(decided.find(Deed::Subscribe, "a", Now(1)), None);
        assert_eq!(decided.find(Deed::Subscribe, "c", Now(1_000)), Some(Verdict::Deny));
        assert_eq!(decided.find(Deed::Publish, "c", Now(1)), None);
        assert_eq!(decided.find(Deed::Subscribe, "c", Now(1_001)), None);
    }
}
