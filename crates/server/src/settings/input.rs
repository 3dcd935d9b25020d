//! Where settings come from: the lines of files and the variables of the environment.
//!
//! A line is `key = value`, `include path`, a comment, or blank. `#` begins a comment only where a line begins: behind a value it belongs to it.

use std::collections::BTreeMap;
use std::fmt;

use super::problem::{Phase, Problem};
use super::{load, table};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    Line {
        /// The file as it is shown.
        file: String,
        /// The line, from 1.
        line: u32,
    },
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line { file, line } => write!(f, "{file} line {line}"),
            Origin::Variable(name) => write!(f, "environment {name}"),
        }
    }
}

/// The variables of the environment that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 cannot be settings and are left out.
    pub fn of_process() -> Self {
        Self::of(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// An environment of these variables.
    pub fn of<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The value of a variable, which may be empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Sets a variable that is not set.
    pub fn or_insert(&mut self, name: &str, value: &str) {
        self.variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Where epmd listens, if peers are found with it (`WITH_EPMD`: any value but the empty one counts).
    pub fn epmd(&self) -> Option<u16> {
        let with = self.variable("WITH_EPMD").is_some_and(|value| !value.is_empty());
        let port = self.variable("ERL_EPMD_PORT").and_then(|text| text.parse().ok());
        with.then(|| port.unwrap_or(crate::epmd::PORT))
    }

    /// The overrides in the order in which they apply: key, value (empty: the key is unset), and the variable's name.
    ///
    /// `EMQX_A__B` stands for `a.b`; names that are no setting are ignored. The short names win over the general form, and
    /// `EMQX_NAME` with `EMQX_HOST` stand in for `EMQX_NODE_NAME` when that is empty.
    pub(super) fn overrides(&self) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for (name, value) in &self.variables {
            let Some(rest) = name.strip_prefix("EMQX_") else { continue };
            let key = rest.replace("__", ".").to_lowercase();
            if ALIASES.iter().all(|(alias, _)| alias != name) && load::declared(&key).is_some() {
                found.push((key, value.clone(), name.clone()));
            }
        }
        for (alias, key) in ALIASES {
            if let Some(value) = self.variable(alias) {
                found.push(((*key).to_owned(), value.to_owned(), (*alias).to_owned()));
            }
        }
        let filled = |name| self.variable(name).filter(|value| !value.is_empty());
        if filled("EMQX_NODE_NAME").is_none()
            && let (Some(name), Some(host)) = (filled("EMQX_NAME"), filled("EMQX_HOST"))
        {
            found.push(("node.name".into(), format!("{name}@{host}"), "EMQX_NAME".into()));
        }
        found
    }
}

/// Variables with one underscore that stand for keys.
const ALIASES: &[(&str, &str)] = &[
    ("EMQX_NODE_NAME", "node.name"),
    ("EMQX_NODE_COOKIE", "node.cookie"),
    ("EMQX_MAX_PORTS", "node.max_ports"),
    ("EMQX_MAX_PACKET_SIZE", "mqtt.max_packet_size"),
    ("EMQX_SSL_DIST_OPTFILE", "node.ssl_dist_optfile"),
];

/// The lines of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Key, value and line, in the order of the file.
    pub settings: Vec<(String, String, u32)>,
    /// The paths of includes and their lines.
    pub includes: Vec<(String, u32)>,
    /// Lines that are none of these.
    pub problems: Vec<Problem>,
}

/// Reads the text of a file that is shown as `file`.
pub(super) fn lines(text: &str, file: &str) -> Lines {
    let mut found = Lines::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, raw) in (1_u32..).zip(text.split('\n')) {
        let line = raw.strip_suffix('\r').unwrap_or(raw).trim_matches([' ', '\t']);
        let placeholder = line.starts_with("{{") && line.ends_with("}}");
        if line.is_empty() || line.starts_with('#') || placeholder {
            continue;
        }
        if let Some(path) = included(line) {
            found.includes.push((path.to_owned(), number));
            continue;
        }
        match setting(line) {
            Ok((key, value)) => found.settings.push((key.to_owned(), value.to_owned(), number)),
            Err(why) => found.problems.push(Problem {
                origin: None,
                key: None,
                text: format!(
                    "Syntax error in {file} after line {number} column 1, parsing incomplete ({why})"
                ),
                phase: Phase::Parsing,
            }),
        }
    }
    found
}

fn included(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("include")?;
    let path = rest.trim_start_matches([' ', '\t']);
    // `include = x` and `include.x = y` are settings, though unknown ones.
    (path.len() < rest.len() && !path.is_empty() && !path.starts_with('=')).then_some(path)
}

fn setting(line: &str) -> Result<(&str, &str), &'static str> {
    let (key, value) = line.split_once('=').ok_or("there is no =")?;
    let (key, value) = (key.trim_end_matches([' ', '\t']), value.trim_start_matches([' ', '\t']));
    if !table::split_words(key).all(legal_word) {
        return Err("that is not a key");
    }
    if value.is_empty() {
        return Err("there is no value behind =");
    }
    Ok((key, value))
}

fn legal_word(word: &str) -> bool {
    let bare = word.replace("\\.", "");
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-@/:".contains(c);
    !word.is_empty() && bare.chars().all(legal)
}

/// The keys in `$(…)` inside a value, in their order.
pub(super) fn references(value: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, tail)) = rest.split_once("$(") {
        let Some((key, after)) = tail.split_once(')') else { break };
        found.push(key);
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_setting_an_include_a_comment_or_blank() {
        let text = "## x\r\n\r\n  a.b\t= c # d = e  \r\n#z = 1\ninclude etc/other.conf\n{{ template }}\na\\.b.c = 1\ninclude.x=2";
        let found = lines(text, "f");
        assert_eq!(found.problems, []);
        assert_eq!(
            found.settings,
            [
                ("a.b".into(), "c # d = e".into(), 3),
                ("a\\.b.c".into(), "1".into(), 7),
                ("include.x".into(), "2".into(), 8)
            ]
        );
        assert_eq!(found.includes, [("etc/other.conf".to_owned(), 5)]);
    }

    #[test]
    fn every_line_that_is_nothing_is_named() {
        let found = lines("a = 1\nb =\nc\n.d = 1\ne..f = 1\ng h = 1\n= 2\ni = j", "etc/emqx.conf");
        let texts: Vec<_> = found.problems.iter().map(|problem| problem.text.as_str()).collect();
        assert_eq!(texts.len(), 6);
        assert!(
            texts[0].starts_with("Syntax error in etc/emqx.conf after line 2 column 1, parsing incomplete")
        );
        assert_eq!(found.settings.len(), 2);
    }

    #[test]
    fn variables_become_keys() {
        let env = Environment::of([
            ("EMQX_CLUSTER__DISCOVERY", "static"),
            ("EMQX_ZONE__EXTERNAL__MAX_INFLIGHT", ""),
            ("EMQX_NODE__NAME", "b@h"),
            ("EMQX_NODE_NAME", "a@h"),
            ("EMQX_NAME", "c"),
            ("EMQX_HOST", "h"),
            ("EMQX_NOTHING", "1"),
            ("PATH", "/bin"),
        ]);
        let keys: Vec<_> =
            env.overrides().into_iter().map(|(key, value, _)| format!("{key}={value}")).collect();
        assert_eq!(
            keys,
            ["cluster.discovery=static", "node.name=b@h", "zone.external.max_inflight=", "node.name=a@h"]
        );
    }

    #[test]
    fn name_and_host_stand_in_for_an_empty_node_name() {
        let env = Environment::of([("EMQX_NODE_NAME", ""), ("EMQX_NAME", "c"), ("EMQX_HOST", "10.0.0.1")]);
        assert_eq!(env.overrides().last().map(|(_, value, _)| value.as_str()), Some("c@10.0.0.1"));
        assert_eq!(Environment::of([("WITH_EPMD", "")]).epmd(), None);
        assert_eq!(Environment::of([("WITH_EPMD", "0")]).epmd(), Some(4369));
        assert_eq!(Environment::of([("WITH_EPMD", "1"), ("ERL_EPMD_PORT", "4400")]).epmd(), Some(4400));
    }

    #[test]
    fn references_are_found_in_order() {
        assert_eq!(references("a$(b.c)d$(e)$("), ["b.c", "e"]);
    }
}
