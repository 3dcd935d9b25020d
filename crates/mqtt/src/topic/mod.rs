//! Topic names and filters (§4.7, §4.8): what is valid, what matches, what a shared filter consists of.

use std::fmt;
use std::sync::Arc;

/// The prefix of shared subscriptions (§4.8.2).
const SHARE: &str = "$share/";
/// EMQ X's group without a name.
const QUEUE: &str = "$queue/";
/// EMQ X's subscription that one client alone may have.
const EXCLUSIVE: &str = "$exclusive/";

/// A topic filter, shared by all who name it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Arc<str>);

impl Filter {
    /// From text that is a valid filter.
    pub fn new(text: &str) -> Filter {
        Filter(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Filter {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Filter {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed<'a> {
    /// A filter of its own.
    Plain(&'a str),
    /// A filter whose messages are shared out in a group.
    Shared {
        /// The group's name; `$queue` for `$queue/…`.
        group: &'a str,
        /// What the group gets.
        filter: &'a str,
    },
    /// A filter that one client alone may have.
    Exclusive(&'a str),
}

impl<'a> Subscribed<'a> {
    /// Takes the text of a SUBSCRIBE apart; `None` when it is no valid filter
    /// [MQTT-4.7.1-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    pub fn parse(text: &'a str, levels_max: usize) -> Option<Subscribed<'a>> {
        let (subscribed, filter) = if let Some(rest) = text.strip_prefix(SHARE) {
            let (group, filter) = rest.split_once('/')?;
            if group.is_empty() || has_wildcard(group) {
                return None;
            }
            (Subscribed::Shared { group, filter }, filter)
        } else if let Some(filter) = text.strip_prefix(QUEUE) {
            (Subscribed::Shared { group: "$queue", filter }, filter)
        } else if let Some(filter) = text.strip_prefix(EXCLUSIVE) {
            (Subscribed::Exclusive(filter), filter)
        } else {
            (Subscribed::Plain(text), text)
        };
        // What is shared cannot be one client's alone.
        let contradicts = match subscribed {
            Subscribed::Plain(_) => false,
            Subscribed::Shared { filter, .. } => filter.starts_with(EXCLUSIVE),
            Subscribed::Exclusive(filter) => [SHARE, QUEUE, EXCLUSIVE].iter().any(|p| filter.starts_with(p)),
        };
        (!contradicts && valid_filter(filter, levels_max)).then_some(subscribed)
    }

    /// The filter that topics are matched against.
    pub fn filter(&self) -> &'a str {
        match self {
            Subscribed::Plain(filter) | Subscribed::Shared { filter, .. } | Subscribed::Exclusive(filter) => {
                filter
            }
        }
    }
}

/// Whether `+` or `#` occurs.
pub fn has_wildcard(text: &str) -> bool {
    holds_any(text.as_bytes(), [b'+', b'#'])
}

/// Whether one of these bytes of ASCII occurs, looked for in eight bytes at a time: every message's topic goes through
/// here, and most are too short for what the standard library does.
pub(crate) fn holds_any<const N: usize>(bytes: &[u8], sought: [u8; N]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Not 0 exactly where some byte of the word is sought; which one it does not say.
    let found = |word: u64| {
        let is_zero = |x: u64| x.wrapping_sub(ONES) & !x & (ONES << 7);
        sought.iter().fold(0, |found, byte| found | is_zero(word ^ (ONES * u64::from(*byte))))
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let all = words.iter().fold(0, |all, word| all | found(u64::from_le_bytes(*word)));
    // The last bytes with some of those before them, or with what is not sought.
    let last = match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => rest.iter().fold(ONES << 7, |word, byte| word << 8 | u64::from(*byte)),
    };
    (all | found(last)) != 0
}

/// Whether there are characters that §1.5.4 advises against: controls, and what Unicode calls
/// non-characters.
pub fn has_unwise_characters(text: &str) -> bool {
    text.chars()
        .any(|c| c.is_control() || matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE)
}

/// Whether there are at most `levels_max` levels; 0: any number.
pub(crate) fn levels_fit(text: &str, levels_max: usize) -> bool {
    // A text of n bytes has at most n + 1 levels.
    levels_max == 0 || text.len() < levels_max || text.bytes().filter(|b| *b == b'/').count() < levels_max
}

/// Whether messages can be published to `name`: not empty, no wildcard, no NUL, at most `levels_max`
/// levels (0: any number) [MQTT-4.7.3-1].
pub fn valid_name(name: &str, levels_max: usize) -> bool {
    !name.is_empty()
        && name.len() <= usize::from(u16::MAX)
        && !holds_any(name.as_bytes(), [b'+', b'#', 0])
        && levels_fit(name, levels_max)
}

/// Whether what a client wrote in a SUBSCRIBE is well formed, prefixes included; how many levels it has
/// is not looked at.
pub fn valid_subscription(text: &str) -> bool {
    Subscribed::parse(text, 0).is_some()
}

/// Whether `filter` is well formed [MQTT-4.7.1-1] [MQTT-4.7.1-2].
pub fn valid_filter(filter: &str, levels_max: usize) -> bool {
    if filter.is_empty() || filter.len() > usize::from(u16::MAX) || holds_any(filter.as_bytes(), [0]) {
        return false;
    }
    if !levels_fit(filter, levels_max) {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" => return levels.peek().is_none(),
            "+" => {}
            level if has_wildcard(level) => return false,
            _ => {}
        }
    }
    true
}

/// Whether a message to `topic` goes to who subscribed to `filter` (§4.7). A filter that begins with a
/// wildcard does not match topics that begin with `$` [MQTT-4.7.2-1].
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            // `a/#` matches `a` as well.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_is_in_a_text_of_any_length() {
        // Neighbours of what is sought, and bytes with the highest bit.
        for other in [b'a', b'*', b',', b'"', b'$', 1, 0x80, 0xAB, 0xFF] {
            for length in 0..40 {
                let mut bytes = vec![other; length];
                assert!(!holds_any(&bytes, [b'+', b'#', 0]), "{length} of {other}");
                for at in 0..length {
                    for sought in [b'+', b'#', 0] {
                        bytes[at] = sought;
                        assert!(holds_any(&bytes, [b'+', b'#', 0]), "{sought} at {at} of {length}");
                    }
                    bytes[at] = other;
                }
            }
        }
    }

    #[test]
    fn filters_match_as_the_specification_shows() {
        let table = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
            ("a/b", "a/B", false),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
        ];
        for (filter, topic, expected) in table {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_stand_alone_in_their_level() {
        for filter in ["#", "+", "a/#", "+/a/#", "/", "a//b", "+/+"] {
            assert!(valid_filter(filter, 0), "{filter}");
        }
        for filter in ["", "a#", "a/#/b", "#/", "a+", "+a", "a/+b", "a\0b"] {
            assert!(!valid_filter(filter, 0), "{filter}");
        }
        assert!(valid_filter("a/b/c", 3) && !valid_filter("a/b/c/d", 3));
    }

    #[test]
    fn a_shared_filter_has_a_group_and_a_filter() {
        assert_eq!(
            Subscribed::parse("$share/g/a/+", 0),
            Some(Subscribed::Shared { group: "g", filter: "a/+" })
        );
        assert_eq!(
            Subscribed::parse("$queue/a", 0),
            Some(Subscribed::Shared { group: "$queue", filter: "a" })
        );
        for text in ["$share/g", "$share//a", "$share/+/a", "$share/g#/a", "$share/g/", "$share/g/a#"] {
            assert_eq!(Subscribed::parse(text, 0), None, "{text}");
        }
        assert_eq!(
            Subscribed::parse("$share/g//a", 0),
            Some(Subscribed::Shared { group: "g", filter: "/a" })
        );
    }

    #[test]
    fn an_exclusive_filter_has_no_other_prefix() {
        assert_eq!(Subscribed::parse("$exclusive/a/+", 0), Some(Subscribed::Exclusive("a/+")));
        assert_eq!(Subscribed::parse("$exclusive//a", 0), Some(Subscribed::Exclusive("/a")));
        for text in [
            "$exclusive/",
            "$exclusive/a#",
            "$exclusive/$share/g/a",
            "$exclusive/$queue/a",
            "$exclusive/$exclusive/a",
            "$share/g/$exclusive/a",
            "$queue/$exclusive/a",
        ] {
            assert_eq!(Subscribed::parse(text, 0), None, "{text}");
        }
    }
}
