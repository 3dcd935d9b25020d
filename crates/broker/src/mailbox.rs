//! What waits for one session: the messages that its window, or its connection, has no room for. It is
//! bounded; when it is full the oldest message goes, as in EMQ X 4.4. With priorities each topic of the
//! table has a queue of its own with the same limit, the greater priority goes first, and after ten
//! times its priority messages lets the next one through.

mod queue;

use mqtt::Message;
use queue::Queue;

use crate::settings::{DefaultPriority, MailboxRules};
use crate::subscription::Options;

/// Messages that a queue sends, per unit of its priority, before the next one has its turn.
const TURN: u32 = 10;

/// A message that waits, with what its subscription asked for.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) message: Message,
    /// The subscription's options, where `qos` is already the QoS of this delivery and
    /// `retain_as_published` its retain flag. See [`Options::pack`].
    pub(crate) options: u32,
}

/// Retained messages that a new subscription is still owed.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) filter: Box<str>,
    pub(crate) options: Options,
    /// The last topic that was given.
    pub(crate) after: Option<Box<str>>,
}

impl Letter {
    pub(crate) fn new(message: Message, options: Options) -> Letter {
        Letter { message, options: options.pack() }
    }

    pub(crate) fn options(&self) -> Options {
        Options::unpack(self.options)
    }
}

/// The bounded queue of a session. One that never had to keep anything takes eight bytes.
#[derive(Debug, Default)]
pub(crate) struct Mailbox(Option<Box<Kept>>);

/// What a session has to keep.
#[derive(Debug, Default)]
struct Kept {
    /// Topics without a priority of their own, and all topics where there are no priorities.
    plain: Queue<Letter>,
    ranked: Option<Box<Ranked>>,
    /// QoS 0 messages among them.
    qos0: usize,
    /// Bytes of all of them.
    bytes: usize,
    dropped: u64,
    /// Retained messages that new subscriptions are still owed.
    replays: Vec<Replay>,
}

#[derive(Debug, Default)]
struct Ranked {
    /// By priority, the greatest first.
    queues: Vec<(u32, Queue<Letter>)>,
    /// The queue whose turn it is, and how many it may still send.
    turn: Option<(u32, u32)>,
}

/// What became of a letter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Kept,
    /// It was kept, and the oldest one had to go.
    Displaced,
    /// QoS 0 messages are not kept here.
    Refused,
}

impl Mailbox {
    pub(crate) fn push(&mut self, letter: Letter, rules: &MailboxRules) -> Pushed {
        let kept = self.0.get_or_insert_default();
        if letter.options().qos == 0 && !rules.store_qos0 {
            kept.dropped += 1;
            return Pushed::Refused;
        }
        kept.count_in(&letter);
        let queue = if rules.priorities.is_empty() {
            &mut kept.plain
        } else {
            let priority = priority(letter.message.view().topic, rules);
            kept.ranked.get_or_insert_default().queue(priority)
        };
        queue.push_back(letter);
        if rules.len_max == 0 || queue.len() <= rules.len_max {
            return Pushed::Kept;
        }
        if let Some(oldest) = queue.pop_front() {
            kept.count_out(&oldest);
        }
        kept.dropped += 1;
        Pushed::Displaced
    }

    /// Adds a message that must not be lost: whoever brings these looks for room first.
    pub(crate) fn push_owed(&mut self, letter: Letter) {
        let kept = self.0.get_or_insert_default();
        kept.count_in(&letter);
        kept.plain.push_back(letter);
    }

    /// Whether a message of that topic would displace none.
    pub(crate) fn has_room(&self, topic: &str, rules: &MailboxRules) -> bool {
        let Some(kept) = self.0.as_ref().filter(|_| rules.len_max > 0) else { return true };
        if rules.priorities.is_empty() {
            return kept.plain.len() < rules.len_max;
        }
        let priority = priority(topic, rules);
        let own = kept.ranked.iter().flat_map(|ranked| &ranked.queues).find(|(p, _)| *p == priority);
        own.is_none_or(|(_, queue)| queue.len() < rules.len_max)
    }

    /// The next message, for whoever has to know whether there is room for it.
    pub(crate) fn next(&self) -> Option<&Letter> {
        let kept = self.0.as_ref()?;
        let ranked = || kept.ranked.as_ref().and_then(|ranked| ranked.next());
        kept.plain.front().or_else(ranked)
    }

    /// Takes the next message.
    pub(crate) fn pop(&mut self) -> Option<Letter> {
        let kept = self.0.as_mut()?;
        // With priorities only what is owed is in the plain queue.
        let letter = match &mut kept.ranked {
            Some(ranked) => kept.plain.pop_front().or_else(|| ranked.pop()),
            None => kept.plain.pop_front(),
        }?;
        kept.count_out(&letter);
        Some(letter)
    }

    /// Bytes of all that waits.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes)
    }

    /// Messages that found no room, or were not to be kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |kept| kept.dropped)
    }

    /// A message is dropped before it comes here.
    pub(crate) fn count_dropped(&mut self) {
        self.0.get_or_insert_default().dropped += 1;
    }

    /// Whether QoS 0 messages wait, which later ones must not overtake.
    pub(crate) fn has_qos0(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.qos0 > 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.queues().map(Queue::len).sum())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|kept| kept.queues().all(Queue::is_empty))
    }

    /// Everything, the greatest priority first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Letter> {
        self.0.iter().flat_map(|kept| kept.queues().flat_map(Queue::iter))
    }

    /// Retained messages that new subscriptions are still owed, the oldest first.
    pub(crate) fn replays(&self) -> &[Replay] {
        self.0.as_ref().map_or(&[], |kept| &kept.replays)
    }

    /// The same, for whoever sends them. They are none of the messages that are counted.
    pub(crate) fn replays_mut(&mut self) -> &mut Vec<Replay> {
        &mut self.0.get_or_insert_default().replays
    }

    /// The subscription has ended: nothing is owed to it any more.
    pub(crate) fn end_replays(&mut self, filter: &str) {
        if let Some(kept) = &mut self.0 {
            kept.replays.retain(|replay| *replay.filter != *filter);
        }
    }

    /// Gives room that is not needed back.
    pub(crate) fn shrink(&mut self) {
        if !self.is_empty() || !self.replays().is_empty() {
            return;
        }
        match &mut self.0 {
            Some(kept) if kept.dropped > 0 => **kept = Kept { dropped: kept.dropped, ..Kept::default() },
            kept => *kept = None,
        }
    }
}

impl Kept {
    fn queues(&self) -> impl Iterator<Item = &Queue<Letter>> {
        let ranked = self.ranked.iter().flat_map(|ranked| ranked.queues.iter().map(|(_, queue)| queue));
        std::iter::once(&self.plain).chain(ranked)
    }

    fn count_in(&mut self, letter: &Letter) {
        self.qos0 += usize::from(letter.options().qos == 0);
        self.bytes += letter.message.as_bytes().len();
    }

    fn count_out(&mut self, letter: &Letter) {
        self.qos0 -= usize::from(letter.options().qos == 0);
        self.bytes -= letter.message.as_bytes().len();
    }
}

impl Ranked {
    fn queue(&mut self, priority: u32) -> &mut Queue<Letter> {
        let at = match self.queues.binary_search_by(|(p, _)| priority.cmp(p)) {
            Ok(at) => at,
            Err(at) => {
                self.queues.insert(at, (priority, Queue::default()));
                at
            }
        };
        &mut self.queues[at].1
    }

    fn next(&self) -> Option<&Letter> {
        self.next_at().and_then(|(at, _)| self.queues[at].1.front())
    }

    fn pop(&mut self) -> Option<Letter> {
        let (at, left) = self.next_at()?;
        self.turn = Some((self.queues[at].0, left - 1));
        self.queues[at].1.pop_front()
    }

    /// The queue that sends next, and how many it may send, this one included.
    fn next_at(&self) -> Option<(usize, u32)> {
        let filled = |at: &usize| !self.queues[*at].1.is_empty();
        let first = (0..self.queues.len()).find(filled)?;
        let current = self.turn.and_then(|(p, left)| {
            let at = self.queues.iter().position(|(q, _)| *q == p)?;
            (filled(&at)).then_some((at, left))
        });
        Some(match current {
            Some((at, left)) if left > 0 => (at, left),
            // Its turn is over: the next one that has something, after the last one the first again.
            Some((at, _)) => {
                let next = (at + 1..self.queues.len()).find(filled).unwrap_or(first);
                (next, self.queues[next].0.saturating_mul(TURN).max(1))
            }
            None => (first, self.queues[first].0.saturating_mul(TURN).max(1)),
        })
    }
}

fn priority(topic: &str, rules: &MailboxRules) -> u32 {
    let own = rules.priorities.iter().find(|(t, _)| t == topic).map(|(_, p)| u32::from(*p));
    own.unwrap_or(match rules.default_priority {
        DefaultPriority::Highest => u32::MAX,
        DefaultPriority::Lowest => 0,
    })
}

#[cfg(test)]
mod tests {
    use mqtt::{Epoch, MessageRef, Properties, QoS};

    use super::*;

    fn letter(topic: &str, payload: &str, qos: u8) -> Letter {
        let message = MessageRef {
            topic,
            payload: payload.as_bytes(),
            properties: Properties::NONE,
            qos: QoS::ExactlyOnce,
            retain: false,
            created: Epoch(0),
            expiry: None,
            publisher: b"",
        };
        Letter::new(message.to_message(), Options { qos, ..Options::default() })
    }

    fn all(mailbox: &mut Mailbox) -> Vec<String> {
        let next = |l: Letter| String::from_utf8_lossy(l.message.payload()).into_owned();
        std::iter::from_fn(|| mailbox.pop().map(next)).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let rules = MailboxRules { len_max: 2, ..MailboxRules::default() };
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.push(letter("t", "1", 0), &rules), Pushed::Kept);
        assert_eq!(mailbox.push(letter("t", "2", 1), &rules), Pushed::Kept);
        assert!(mailbox.has_qos0());
        assert_eq!(mailbox.push(letter("t", "3", 1), &rules), Pushed::Displaced);
        assert!(!mailbox.has_qos0());
        assert_eq!(mailbox.next().map(|l| l.message.payload().to_vec()), Some(b"2".to_vec()));
        assert_eq!((mailbox.len(), all(&mut mailbox)), (2, vec!["2".into(), "3".into()]));
        assert!(mailbox.is_empty() && mailbox.dropped() == 1);
    }

    #[test]
    fn qos_0_waits_only_where_the_rules_say_so_and_zero_is_no_limit() {
        let rules = MailboxRules { len_max: 0, store_qos0: false, ..MailboxRules::default() };
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.push(letter("t", "0", 0), &rules), Pushed::Refused);
        for n in 0..5000 {
            assert_eq!(mailbox.push(letter("t", &n.to_string(), 1), &rules), Pushed::Kept);
        }
        assert_eq!(mailbox.len(), 5000);
    }

    #[test]
    fn the_greater_priority_goes_first_and_lets_others_through_after_its_turn() {
        let priorities = vec![("high".to_owned(), 2), ("low".to_owned(), 1)];
        let rules = MailboxRules {
            len_max: 30,
            priorities,
            default_priority: DefaultPriority::Lowest,
            ..MailboxRules::default()
        };
        let mut mailbox = Mailbox::default();
        for _ in 0..12 {
            mailbox.push(letter("other", "o", 1), &rules);
            mailbox.push(letter("low", "l", 1), &rules);
        }
        for _ in 0..31 {
            mailbox.push(letter("high", "h", 1), &rules);
        }
        assert_eq!((mailbox.dropped(), mailbox.iter().count()), (1, 54), "each priority has the whole limit");
        let order = all(&mut mailbox).concat();
        let expected = format!("{}{}o{}{}o", "h".repeat(20), "l".repeat(10), "h".repeat(10), "l".repeat(2));
        assert!(order.starts_with(&expected), "{order}");
    }

    #[test]
    fn each_priority_has_room_of_its_own() {
        let priorities = vec![("high".to_owned(), 2)];
        let rules = MailboxRules { len_max: 1, priorities, ..MailboxRules::default() };
        let mut mailbox = Mailbox::default();
        assert!(mailbox.has_room("high", &rules));
        mailbox.push(letter("high", "h", 1), &rules);
        assert_eq!((mailbox.has_room("high", &rules), mailbox.has_room("other", &rules)), (false, true));
        assert!(mailbox.has_room("high", &MailboxRules { len_max: 0, ..rules }));
    }

    #[test]
    fn what_is_only_looked_at_keeps_its_turn_its_priority_and_its_limit() {
        let priorities = vec![("high".to_owned(), 2), ("low".to_owned(), 1)];
        let rules = MailboxRules { len_max: 1, priorities, ..MailboxRules::default() };
        let mut mailbox = Mailbox::default();
        for n in 0..20 {
            mailbox.push(letter("low", &n.to_string(), 1), &rules);
            assert_eq!((mailbox.next().is_some(), mailbox.len()), (true, 1));
        }
        mailbox.push(letter("high", "h", 1), &rules);
        assert_eq!(mailbox.next().map(|l| l.message.payload().to_vec()), Some(b"h".to_vec()));
        assert_eq!(all(&mut mailbox), ["h", "19"]);
    }

    #[test]
    fn the_default_priority_may_be_the_highest() {
        let priorities = vec![("high".to_owned(), 255)];
        let rules = MailboxRules { priorities, ..MailboxRules::default() };
        let mut mailbox = Mailbox::default();
        mailbox.push(letter("high", "h", 1), &rules);
        mailbox.push(letter("other", "o", 1), &rules);
        assert_eq!(all(&mut mailbox), ["o", "h"]);
    }
}
