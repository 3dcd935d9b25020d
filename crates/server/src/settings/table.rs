//! How a setting is declared: one row with its key, type, default, what the distributed files say, whether it has an effect here, and a sentence.
//!
//! From the rows come the check of a configuration, the defaults, the nearest keys of a mistyped one, and `docs/reference/settings.md`.
//! The rows themselves are in `rows/`, by group.

/// The type of a setting, which decides what may stand behind `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text that names one thing.
    Atom,
    /// Any text.
    Text,
    /// A path; relative ones start at the root of the installation.
    File,
    /// `on` or `off`.
    Flag,
    /// One of the listed words, in exactly this spelling.
    OneOf(&'static [&'static str]),
    /// A whole number with an optional sign.
    Integer,
    /// A decimal fraction.
    Float,
    /// `1h30m`: numbers with a unit, added up; kept in milliseconds.
    Duration,
    /// A duration that is rounded up to whole seconds.
    Seconds,
    /// `64KB`: a number of bytes.
    ByteSize,
    /// `70%`, from 0 to 100.
    Percent,
    /// An address with a port.
    Address,
    /// A port, an address with a port, or the absolute path of a Unix socket.
    Listen,
    /// A whole number or a duration.
    IntegerOrDuration,
    /// A whole number or one of the listed words.
    IntegerOr(&'static [&'static str]),
    /// A size in bytes or one of the listed words.
    ByteSizeOr(&'static [&'static str]),
    /// A duration or one of the listed words.
    DurationOr(&'static [&'static str]),
    /// A port, an address with a port, or a host name.
    Server,
}

impl Kind {
    /// The type in words, for the reference page.
    pub fn words(self) -> String {
        let or = |what: &str, words: &[&str]| format!("{what}, or {}", words.join(", "));
        match self {
            Kind::Atom => "word".into(),
            Kind::Text => "text".into(),
            Kind::File => "path".into(),
            Kind::Flag => "on, off".into(),
            Kind::OneOf(words) => words.join(", "),
            Kind::Integer => "integer".into(),
            Kind::Float => "number".into(),
            Kind::Duration => "duration".into(),
            Kind::Seconds => "duration in whole seconds".into(),
            Kind::ByteSize => "size in bytes".into(),
            Kind::Percent => "percentage".into(),
            Kind::Address => "address:port".into(),
            Kind::Listen => "port, address:port or /path".into(),
            Kind::IntegerOrDuration => "integer or duration".into(),
            Kind::IntegerOr(words) => or("integer", words),
            Kind::ByteSizeOr(words) => or("size in bytes", words),
            Kind::DurationOr(words) => or("duration", words),
            Kind::Server => "host, port or address:port".into(),
        }
    }
}

/// Whether a setting does something in FlockMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what its sentence says.
    Works,
    /// It is accepted and never has an effect here; the text says why.
    NoEffect(&'static str),
    /// It is accepted and has no effect in this version; the text says what is not there yet.
    Later(&'static str),
}

/// One declared setting.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The key; a word that begins with `$` stands for a word of the user's choice.
    pub key: &'static str,
    /// What may stand behind `=`.
    pub kind: Kind,
    /// The value when no line sets the key.
    pub default: Option<&'static str>,
    /// The active lines of the files that are distributed, as `key = value`, or the value alone when the key has no free word.
    pub ships: &'static [&'static str],
    /// Whether it does something.
    pub effect: Effect,
    /// What it is, in a sentence or two.
    pub doc: &'static [&'static str],
}

impl Row {
    /// Whether `key` (with its literal dots escaped as `\.`) is a key of this row.
    pub fn matches(&self, key: &str) -> bool {
        let mut words = split_words(key);
        let mut mine = self.key.split('.');
        loop {
            match (mine.next(), words.next()) {
                (None, None) => return true,
                (Some(mine), Some(word)) if mine == word || mine.starts_with('$') => {}
                _ => return false,
            }
        }
    }

    /// The active lines of the distributed files as pairs of key and value.
    pub fn shipped_lines(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let key = self.key;
        self.ships.iter().map(move |line| match line.split_once(" = ") {
            Some((name, value)) if key.contains('$') => (name, value),
            _ => (key, *line),
        })
    }
}

/// The words of a key; `\.` is a dot inside a word.
pub fn split_words(key: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(key);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let end = (0..bytes.len()).find(|&i| bytes[i] == b'.' && (i == 0 || bytes[i - 1] != b'\\'));
        match end {
            Some(end) => {
                rest = Some(&text[end + 1..]);
                Some(&text[..end])
            }
            None => {
                rest = None;
                Some(text)
            }
        }
    })
}

/// A group of rows: the core, or one plugin with a file of its own under `etc/plugins/`.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The name of the plugin, or `core`.
    pub name: &'static str,
    /// The heading on the reference page.
    pub title: &'static str,
    /// Its rows, in the order of the reference page.
    pub rows: &'static [Row],
}

/// Declares the rows of a section. A row reads: doc comment, key, type, `= default`, `ships` its active lines, `=>` an effect other than `Works`.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $key:literal: $kind:ident $([$($word:literal),+])? $(= $default:literal)? $(ships $($ships:literal)+)? $(=> $effect:ident($why:expr))?;
    )*) => {
        &[$($crate::settings::table::Row {
            key: $key,
            kind: $crate::settings::table::Kind::$kind $((&[$($word),+]))?,
            default: $crate::settings::table::first(&[$($default)?]),
            ships: &[$($($ships),+)?],
            effect: $crate::settings::table::effect(&[$($crate::settings::table::Effect::$effect($why))?]),
            doc: &[$($doc),+],
        }),*]
    };
}
pub(crate) use settings;

/// The one element, when the row gives one.
pub(crate) const fn first(given: &[&'static str]) -> Option<&'static str> {
    if given.is_empty() { None } else { Some(given[0]) }
}

/// The given effect, or that the setting works.
pub(crate) const fn effect(given: &[Effect]) -> Effect {
    if given.is_empty() { Effect::Works } else { given[0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_word_matches_one_word_and_an_escaped_dot_stays_inside_it() {
        let row = Row {
            key: "zone.$name.mountpoint",
            kind: Kind::Text,
            default: None,
            ships: &[],
            effect: Effect::Works,
            doc: &[""],
        };
        assert!(row.matches("zone.external.mountpoint"));
        assert!(row.matches(r"zone.a\.b.mountpoint"));
        assert!(!row.matches("zone.a.b.mountpoint"));
        assert!(!row.matches("zone.mountpoint"));
        assert!(!row.matches("zone.x.mountpoint.y"));
        assert!(!row.matches(""));
    }
}
