//! One event as one line: time, level, where, what, and the facts.

use std::fmt::{Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};

use super::Level;

/// The message and the facts of an event, or the facts of a span.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields {
    message: String,
    facts: Vec<(&'static str, Fact)>,
}

#[derive(Debug, Clone)]
enum Fact {
    Text(String),
    /// A number or a truth value, which JSON writes without quotes.
    Bare(String),
}

impl Fields {
    /// Adds the facts of the span around; what the event itself says wins.
    pub(super) fn add_context(&mut self, outer: &Fields) {
        for (name, fact) in &outer.facts {
            if !self.facts.iter().any(|(known, _)| known == name) {
                self.facts.push((name, fact.clone()));
            }
        }
    }

    fn put(&mut self, field: &Field, fact: Fact) {
        match fact {
            Fact::Text(text) if field.name() == "message" => self.message = text,
            fact => match self.facts.iter_mut().find(|(name, _)| *name == field.name()) {
                Some(known) => known.1 = fact,
                None => self.facts.push((field.name(), fact)),
            },
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, Fact::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Fact::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Fact::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Fact::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Fact::Bare(value.to_string()));
    }
}

/// `2026-11-25T03:31:52.123Z [warning] server::peer: what happened, peer=emqx@h tries=3`
pub(super) fn text(level: Level, target: &str, fields: &Fields, chars_limit: Option<usize>) -> String {
    let mut body = one_line(&fields.message);
    for (i, (name, fact)) in fields.facts.iter().enumerate() {
        let comma = if i == 0 && !body.is_empty() { "," } else { "" };
        let (Fact::Text(value) | Fact::Bare(value)) = fact;
        let value =
            if value.is_empty() || value.contains([' ', '"', '=', ',']) || value.contains(char::is_control) {
                format!("{value:?}")
            } else {
                value.clone()
            };
        // Writing into a String cannot fail.
        let _ = write!(body, "{comma} {name}={value}");
    }
    format!("{} [{}] {target}: {}\n", now(), word(level), cut(body, chars_limit))
}

/// The same as a JSON object.
pub(super) fn json(level: Level, target: &str, fields: &Fields, chars_limit: Option<usize>) -> String {
    let mut object = serde_json::Map::new();
    object.insert("time".into(), now().into());
    object.insert("level".into(), word(level).into());
    object.insert("where".into(), target.into());
    object.insert("msg".into(), cut(fields.message.clone(), chars_limit).into());
    for (name, fact) in &fields.facts {
        let value = match fact {
            Fact::Text(text) => cut(text.clone(), chars_limit).into(),
            Fact::Bare(text) => serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()),
        };
        object.entry(*name).or_insert(value);
    }
    format!("{}\n", serde_json::Value::Object(object))
}

fn word(level: Level) -> &'static str {
    // `all` is a threshold, not the level of an event.
    if level == Level::All { Level::Debug.word() } else { level.word() }
}

/// A client chooses some of the texts that are logged; it must not be able to write lines of its own.
fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

fn cut(text: String, chars_limit: Option<usize>) -> String {
    match chars_limit {
        Some(limit) if text.chars().count() > limit => {
            text.chars().take(limit).chain("...".chars()).collect()
        }
        _ => text,
    }
}

/// The time in the form of RFC 3339, UTC, with milliseconds.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_millis() as u64)
}

/// Howard Hinnant's `civil_from_days`, for days since 1970 that are not negative.
fn rfc3339(milliseconds: u64) -> String {
    let (seconds, ms) = (milliseconds / 1000, milliseconds % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_577_512_123), "2026-11-25T03:31:52.123Z");
    }

    #[test]
    fn a_message_cannot_make_a_line_of_its_own() {
        let fields = Fields {
            message: "a\nb".into(),
            facts: vec![("id", Fact::Text("x\ny z".into())), ("n", Fact::Bare("3".into()))],
        };
        let line = text(Level::Warning, "here", &fields, None);
        assert!(line.ends_with(" [warning] here: a\\nb, id=\"x\\ny z\" n=3\n"), "{line}");
        let line = json(Level::Error, "here", &fields, None);
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], "a\nb");
        assert_eq!(value["n"], 3);
        assert_eq!(value["level"], "error");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("abcdef".into(), Some(3)), "abc...");
        assert_eq!(cut("abc".into(), Some(3)), "abc");
    }
}
