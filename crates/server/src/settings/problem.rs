//! What is wrong with a configuration: every problem with its place, and the words in which all of them are shown.

use std::fmt;

use super::input::Origin;

/// In which step a problem was found, by the names that users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// A file could not be read as lines.
    Parsing,
    /// `$(key)` could not be replaced.
    Substitution,
    /// Unknown keys and values of the wrong type.
    Datatypes,
    /// Values out of range.
    Validation,
    /// Values that do not go together.
    Translation,
}

impl Phase {
    fn word(self) -> Option<&'static str> {
        match self {
            Phase::Parsing => None,
            Phase::Substitution => Some("rhs_subst"),
            Phase::Datatypes => Some("transform_datatypes"),
            Phase::Validation => Some("validation"),
            Phase::Translation => Some("apply_translations"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value was written, if a value is to blame.
    pub origin: Option<Origin>,
    /// The key, if one is to blame.
    pub key: Option<String>,
    /// The sentence, sometimes several lines.
    pub text: String,
    pub(crate) phase: Phase,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = &self.key
            && !self.text.contains(key.as_str())
        {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong, in the order in which it was found. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let earliest = self.0.iter().map(|problem| problem.phase).min();
        match earliest.and_then(Phase::word) {
            Some(word) => write!(f, "Error generating configuration in phase {word}"),
            None => f.write_str("Error reading the configuration"),
        }
    }
}

impl std::error::Error for Problems {}
