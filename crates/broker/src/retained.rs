//! The retained messages of a node, one a topic, in the order of topics. A later write wins whatever
//! order writes arrive in; a deletion is a write too and is remembered. As [`cluster::Records`] it is
//! one of the replicated maps, which keep the digests that nodes compare.

mod sorted;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cluster::replica::{Buckets, Origin};
use cluster::{Records, Stamp, VisitRecords};
use mqtt::{Message, MessageRef};

/// What a node may retain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages (`retainer.max_retained_messages`); 0: no limit.
    pub messages_max: usize,
    /// Bytes of a payload (`retainer.max_payload_size`); 0: no limit.
    pub payload_bytes_max: usize,
    /// Seconds after which a message without an expiry of its own goes (`retainer.expiry_interval`);
    /// 0: never.
    pub expiry_secs: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { messages_max: 0, payload_bytes_max: 1 << 20, expiry_secs: 0 }
    }
}

/// Why a message is not retained. It is delivered all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room for another topic.
    Full,
    /// The payload is too large.
    TooLarge,
}

use sorted::{Keyed, Sorted};

/// Topic → message. A message of 100 bytes costs some 200.
#[derive(Default)]
pub struct Retained {
    /// Ordered by the bytes of their topics, which is how the texts are ordered too.
    entries: Sorted<Entry>,
    tombstones: BTreeMap<Box<str>, Stamp>,
    /// Topics by the time at which their message goes, milliseconds since 1970.
    expiries: BTreeSet<(u64, Box<str>)>,
    buckets: Buckets,
    limits: Limits,
}

struct Entry {
    message: Message,
    stamp: Stamp,
}

impl Retained {
    /// An empty store.
    pub fn new(limits: Limits) -> Retained {
        Retained { limits, ..Retained::default() }
    }

    /// New limits, for what comes from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether a message of a client of this node may be retained. What other nodes have accepted, and
    /// what is on disk, is not asked for.
    pub fn admits(&self, message: &MessageRef<'_>) -> Result<(), Refused> {
        let limits = self.limits;
        if limits.payload_bytes_max > 0 && message.payload.len() > limits.payload_bytes_max {
            return Err(Refused::TooLarge);
        }
        let full = limits.messages_max > 0 && self.entries.len() >= limits.messages_max;
        if full && !message.payload.is_empty() && self.find(message.topic).is_none() {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Makes a write: a message, or, with an empty payload, its topic's deletion. Says whether it is in
    /// force: `false` if a later write of the topic is known.
    pub fn put(&mut self, message: &Message, stamp: Stamp) -> bool {
        let view = message.view();
        if self.stamp(view.topic).is_some_and(|known| known >= stamp) {
            return false;
        }
        self.replace(view.topic, stamp, (!view.payload.is_empty()).then(|| message.clone()));
        true
    }

    /// Deletes a topic's message. As [`Retained::put`].
    pub fn delete(&mut self, topic: &str, stamp: Stamp) -> bool {
        if self.stamp(topic).is_some_and(|known| known >= stamp) {
            return false;
        }
        self.replace(topic, stamp, None);
        true
    }

    /// The message of a topic.
    pub fn find(&self, topic: &str) -> Option<&Message> {
        self.entries.get(topic.as_bytes()).map(|e| &e.message)
    }

    /// When a topic was last written, or deleted.
    pub fn stamp(&self, topic: &str) -> Option<Stamp> {
        let live = self.entries.get(topic.as_bytes()).map(|e| e.stamp);
        live.or_else(|| self.tombstones.get(topic).copied())
    }

    /// Messages whose topic matches the filter, in the order of topics, from the one after `after` on
    /// and at most `limit`; those whose time is over at `unix_ms` are left out. Ends when `into` got
    /// fewer than `limit`. What cannot match is skipped, not walked through.
    pub fn matches(
        &self,
        filter: &str,
        after: Option<&str>,
        limit: usize,
        unix_ms: u64,
        into: &mut Vec<Message>,
    ) {
        let mut from = match after {
            Some(topic) => Bound::Excluded(topic.to_owned()),
            None => Bound::Included(first_candidate(filter).to_owned()),
        };
        let mut left = limit;
        'seek: loop {
            let low = from.as_ref().map(String::as_bytes);
            for entry in self.entries.from(low) {
                if left == 0 {
                    return;
                }
                let view = entry.message.view();
                match step(filter, view.topic) {
                    Step::Matches => {
                        if self.expires_at(&view, entry.stamp).is_none_or(|at| at > unix_ms) {
                            into.push(entry.message.clone());
                            left -= 1;
                        }
                    }
                    Step::Next => {}
                    Step::Seek(to) => {
                        from = Bound::Included(to);
                        continue 'seek;
                    }
                    Step::End => return,
                }
            }
            return;
        }
    }

    /// Everything, in the order of topics.
    pub fn iter(&self) -> impl Iterator<Item = (&Message, Stamp)> {
        self.entries.from(Bound::Unbounded).map(|e| (&e.message, e.stamp))
    }

    /// Topics whose message's time is over at `unix_ms`, at most `limit`. They are given to no one any
    /// more; whoever owns the replicated map removes them there.
    pub fn expired(&self, unix_ms: u64, limit: usize) -> Vec<String> {
        let over = self.expiries.iter().take_while(|(at, _)| *at <= unix_ms).take(limit);
        over.map(|(_, topic)| topic.to_string()).collect()
    }

    /// Removes everything and remembers nothing: for a node that joins or leaves.
    pub fn wipe(&mut self) {
        *self = Retained::new(self.limits);
    }

    /// Messages retained.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is retained.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Puts a message or a deletion in the place of whatever is held.
    fn replace(&mut self, topic: &str, stamp: Stamp, message: Option<Message>) {
        let goes_at = message.as_ref().and_then(|message| self.expires_at(&message.view(), stamp));
        let (old, deleted) = match message {
            Some(message) => (self.entries.replace(Entry { message, stamp }), self.tombstones.remove(topic)),
            None => (self.entries.take(topic.as_bytes()), self.tombstones.insert(topic.into(), stamp)),
        };
        if let Some(held) = old.as_ref().map(|old| old.stamp).or(deleted) {
            self.buckets.count_out(topic.as_bytes(), held);
        }
        self.buckets.count_in(topic.as_bytes(), stamp);
        if let Some(at) = old.and_then(|old| self.expires_at(&old.message.view(), old.stamp)) {
            self.expiries.remove(&(at, topic.into()));
        }
        if let Some(at) = goes_at {
            self.expiries.insert((at, topic.into()));
        }
    }

    /// Milliseconds since 1970 at which a message goes.
    fn expires_at(&self, message: &MessageRef<'_>, stamp: Stamp) -> Option<u64> {
        let own = message.expiry.map(|secs| message.created.0.saturating_add(u64::from(secs) * 1000));
        let rule = (self.limits.expiry_secs > 0).then(|| (stamp.time >> 16) + self.limits.expiry_secs * 1000);
        own.or(rule)
    }
}

/// Keys are topics, values messages in their canonical encoding. Whoever keeps them on disk too wraps
/// this.
impl Records for Retained {
    fn stamp(&self, key: &[u8]) -> Option<Stamp> {
        self.stamp(std::str::from_utf8(key).ok()?)
    }

    fn apply(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>, _: Origin) {
        let Ok(topic) = std::str::from_utf8(key) else { return };
        // What is no message of this topic is as good as none, but its stamp counts.
        let message = value.and_then(|bytes| Message::from_bytes(bytes).ok());
        let message = message.filter(|m| m.topic_bytes() == key && !m.payload().is_empty());
        self.replace(topic, stamp, message);
    }

    fn read(&self, key: &[u8], visit: &mut dyn FnMut(Stamp, Option<&[u8]>)) {
        let Ok(topic) = std::str::from_utf8(key) else { return };
        if let Some(entry) = self.entries.get(key) {
            visit(entry.stamp, Some(entry.message.as_bytes()));
        } else if let Some(stamp) = self.tombstones.get(topic) {
            visit(*stamp, None);
        }
    }

    fn scan(&self, after: Option<&[u8]>, visit: &mut VisitRecords<'_>) {
        let text = after.map(|key| String::from_utf8_lossy(key).into_owned());
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut live = self.entries.from(low).peekable();
        let low = text.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut gone = self.tombstones.range::<str, _>((low, Bound::Unbounded)).peekable();
        loop {
            let go_on = match (live.peek(), gone.peek()) {
                (Some(entry), Some((topic, _))) if entry.key() > topic.as_bytes() => {
                    next_gone(&mut gone, visit)
                }
                (Some(_), _) => {
                    live.next().is_some_and(|e| visit(e.key(), e.stamp, Some(e.message.as_bytes())))
                }
                (None, Some(_)) => next_gone(&mut gone, visit),
                (None, None) => false,
            };
            if !go_on {
                return;
            }
        }
    }

    fn purge(&mut self, key: &[u8]) {
        if let Ok(topic) = std::str::from_utf8(key)
            && let Some(stamp) = self.tombstones.remove(topic)
        {
            self.buckets.count_out(key, stamp);
        }
    }

    fn buckets(&self) -> &Buckets {
        &self.buckets
    }
}

fn next_gone<'a>(
    gone: &mut impl Iterator<Item = (&'a Box<str>, &'a Stamp)>,
    visit: &mut VisitRecords<'_>,
) -> bool {
    gone.next().is_some_and(|(topic, stamp)| visit(topic.as_bytes(), *stamp, None))
}

impl Keyed for Entry {
    fn key(&self) -> &[u8] {
        self.message.topic_bytes()
    }
}

/// Where the search for a filter goes on after it has looked at a topic.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Matches,
    /// With the next topic.
    Next,
    /// With the first topic that is not before this one.
    Seek(String),
    /// Nothing can come any more.
    End,
}

/// The first topic that can match: what is before the first wildcard.
fn first_candidate(filter: &str) -> &str {
    let wildcard = filter.find(['+', '#']).unwrap_or(filter.len());
    filter[..wildcard].trim_end_matches('/')
}

/// Topics are ordered by bytes: below a level `l` everything is from `l/` to before `l0` (`0` follows
/// `/`); `l` itself comes earlier, and between the two are its siblings like `l!`.
fn step(filter: &str, topic: &str) -> Step {
    // Where, in the topic, the last level that a `+` matched ends.
    let mut last_plus: Option<usize> = None;
    let mut at = 0;
    let mut levels = topic.split('/');
    for (depth, wanted) in filter.split('/').enumerate() {
        if depth == 0 && topic.starts_with('$') && matches!(wanted, "+" | "#") {
            return Step::Seek("%".to_owned());
        }
        if wanted == "#" {
            return Step::Matches;
        }
        // A topic that is shorter than the filter is followed by those that may not be.
        let Some(level) = levels.next() else { return Step::Next };
        let end = at + level.len();
        if wanted == "+" {
            last_plus = Some(end);
        } else if level != wanted {
            let exact = format!("{}{wanted}", &topic[..at]);
            if topic < exact.as_str() {
                return Step::Seek(exact);
            }
            let below = exact + "/";
            return if topic < below.as_str() { Step::Seek(below) } else { past(topic, last_plus) };
        }
        at = end + 1;
    }
    // One that is longer than the filter is below something that ends here.
    if levels.next().is_none() { Step::Matches } else { past(topic, Some(at - 1)) }
}

/// The first topic behind all that are below the level that ends at `end`.
fn past(topic: &str, end: Option<usize>) -> Step {
    end.map_or(Step::End, |end| Step::Seek(format!("{}0", &topic[..end])))
}

#[cfg(test)]
mod tests {
    use mqtt::{Epoch, Properties, QoS};

    use super::*;

    fn message(topic: &str, payload: &str, expiry: Option<u32>) -> Message {
        let message = MessageRef {
            topic,
            payload: payload.as_bytes(),
            properties: Properties::NONE,
            qos: QoS::AtLeastOnce,
            retain: true,
            created: Epoch(1000),
            expiry,
            publisher: b"p",
        };
        message.to_message()
    }

    fn at(time: u64) -> Stamp {
        Stamp { time, node: 1 }
    }

    fn topics(store: &Retained, filter: &str, limit: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let mut batch = Vec::new();
            store.matches(filter, all.last().map(String::as_str), limit, 2000, &mut batch);
            let count = batch.len();
            all.extend(batch.iter().map(|m| m.view().topic.to_owned()));
            if count < limit {
                return all;
            }
        }
    }

    #[test]
    fn the_later_write_wins_whatever_order_writes_arrive_in() {
        let mut store = Retained::new(Limits::default());
        assert!(store.put(&message("t", "new", None), at(5)));
        assert!(!store.put(&message("t", "old", None), at(4)));
        assert!(!store.delete("t", at(5)));
        assert_eq!(store.find("t").map(|m| m.payload().to_vec()), Some(b"new".to_vec()));
        assert!(store.put(&message("t", "", None), at(6)));
        assert!(!store.put(&message("t", "late", None), at(5)));
        assert_eq!((store.find("t"), store.stamp("t"), store.len()), (None, Some(at(6)), 0));
        assert!(store.put(&message("t", "again", None), at(7)));
        assert_eq!(store.len(), 1);
    }

    /// Nodes find out by it what they lack of one another.
    #[test]
    fn the_digest_tells_what_is_held_whatever_happened_before() {
        let mut rng = 1u64;
        let mut random = |below: u64| {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (rng >> 33) % below
        };
        let mut store = Retained::new(Limits::default());
        for _ in 0..2_000 {
            let topic = format!("t/{}", random(20));
            let stamp = at(1 + random(1_000));
            match random(40) {
                0 => store.wipe(),
                1..5 => Records::purge(&mut store, topic.as_bytes()),
                5..15 => drop(store.delete(&topic, stamp)),
                15..25 => store.apply(topic.as_bytes(), stamp, None, Origin::Peer),
                _ => drop(store.put(&message(&topic, "x", None), stamp)),
            }
            let mut held = Buckets::default();
            store.scan(None, &mut |key, stamp, _| {
                held.count_in(key, stamp);
                true
            });
            assert_eq!(store.buckets().digest(), held.digest());
        }
    }

    #[test]
    fn a_filter_finds_what_matches_in_the_order_of_topics_and_goes_on_where_it_stopped() {
        let mut names: Vec<String> = Vec::new();
        let parts = ["a", "b", "a!", "a0", "", "$s", "zz"];
        for a in parts {
            names.push(a.to_owned());
            for b in parts {
                names.push(format!("{a}/{b}"));
                for c in parts {
                    names.push(format!("{a}/{b}/{c}"));
                }
            }
        }
        names.retain(|n| !n.is_empty());
        names.sort();
        let mut store = Retained::new(Limits::default());
        for name in names.iter().rev() {
            assert!(store.put(&message(name, "x", None), at(1)));
        }
        for filter in [
            "#",
            "+",
            "+/+",
            "a/#",
            "a/+",
            "+/a",
            "a/+/b",
            "+/+/b",
            "+/a/#",
            "a",
            "a/b/a!",
            "/+",
            "+/a0/+",
            "$s/#",
            "$s/+/a",
            "a!/#",
            "b/+/#",
            "nothing/#",
            "+/nothing",
            "a/nothing/+",
            "zz/zz/zz",
            "+//+",
        ] {
            let expected: Vec<_> =
                names.iter().filter(|n| mqtt::topic::matches(filter, n)).cloned().collect();
            assert_eq!(topics(&store, filter, 3), expected, "{filter}");
            assert_eq!(topics(&store, filter, 1000), expected, "{filter}");
        }
    }

    #[test]
    fn what_cannot_match_is_skipped() {
        assert_eq!(step("a/+/c", "a/b/d"), Step::Seek("a/b0".into()));
        assert_eq!(step("a/+/c", "a/b/a/x"), Step::Seek("a/b/c".into()));
        assert_eq!(step("a/b", "a/b/c"), Step::Seek("a/b0".into()));
        assert_eq!(step("a/#", "a!"), Step::Seek("a/".into()));
        assert_eq!(step("a/#", "b"), Step::End);
        assert_eq!(step("+/x", "$SYS/x"), Step::Seek("%".into()));
    }

    #[test]
    fn limits_are_for_this_nodes_clients() {
        let limits = Limits { messages_max: 1, payload_bytes_max: 3, expiry_secs: 0 };
        let mut store = Retained::new(limits);
        assert_eq!(store.admits(&message("t", "four", None).view()), Err(Refused::TooLarge));
        assert_eq!(store.admits(&message("t", "x", None).view()), Ok(()));
        store.put(&message("t", "x", None), at(1));
        assert_eq!(store.admits(&message("u", "x", None).view()), Err(Refused::Full));
        assert_eq!(store.admits(&message("t", "y", None).view()), Ok(()));
        assert_eq!(store.admits(&message("u", "", None).view()), Ok(()));
    }

    #[test]
    fn a_message_whose_time_is_over_is_given_to_no_one() {
        let mut store = Retained::new(Limits::default());
        store.put(&message("t", "x", Some(1)), at(1));
        store.put(&message("u", "x", Some(2)), at(1));
        store.put(&message("v", "x", None), at(1));
        assert_eq!(topics(&store, "#", 9), ["u", "v"]);
        assert_eq!(store.expired(2000, 9), ["t"]);
        store.delete("t", at(2));
        store.put(&message("u", "x", None), at(2));
        assert!(store.expired(u64::MAX, 9).is_empty());
        // The rule of the broker counts from the write.
        let mut store = Retained::new(Limits { expiry_secs: 1, ..Limits::default() });
        store.put(&message("t", "x", None), at(500 << 16));
        assert_eq!((store.expired(1499, 9).len(), store.expired(1500, 9).len()), (0, 1));
    }

    #[test]
    fn as_records_everything_is_shown_once_in_order_deletions_too() {
        let mut store = Retained::new(Limits::default());
        for (n, topic) in ["d", "b", "a", "c"].iter().enumerate() {
            let message = message(topic, "x", None);
            store.apply(topic.as_bytes(), at(n as u64 + 1), Some(message.as_bytes()), Origin::Peer);
        }
        store.apply(b"b", at(9), None, Origin::Local);
        store.apply(b"x", at(9), Some(b"no message"), Origin::Peer);
        let mut seen = Vec::new();
        store.scan(Some(b"a"), &mut |key, stamp, value| {
            seen.push((String::from_utf8_lossy(key).into_owned(), stamp.time, value.is_some()));
            seen.len() < 3
        });
        assert_eq!(seen, [("b".into(), 9, false), ("c".into(), 4, true), ("d".into(), 1, true)]);
        assert_eq!(Records::stamp(&store, b"x"), Some(at(9)));
        store.purge(b"b");
        assert_eq!(Records::stamp(&store, b"b"), None);
    }
}
