//! From files and variables to [`Settings`]: what wins over what, and every problem at once.
//!
//! The environment wins over the main file, that over the files it includes, that over the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::check;
use super::input::{self, Environment, Origin};
use super::problem::{Phase, Problem, Problems};
use super::read;
use super::rows::GROUPS;
use super::suggest;
use super::table::{Effect, Row, split_words};
use super::typed::Settings;
use super::value;

/// Every key that is set, as it was written, with its place.
#[derive(Debug, Clone, Default)]
pub struct Values {
    entries: BTreeMap<String, (String, Origin)>,
}

impl Values {
    /// The text and the place of a key that is set.
    pub fn entry(&self, key: &str) -> Option<(&str, &Origin)> {
        self.entries.get(key).map(|(value, origin)| (value.as_str(), origin))
    }

    /// The keys that are set, in alphabetical order, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, (value, _))| (key.as_str(), value.as_str()))
    }

    /// What is set and does nothing here: a reason, and the keys that it holds for.
    pub fn without_effect(&self) -> Vec<(Effect, Vec<&str>)> {
        let mut found: Vec<(Effect, Vec<&str>)> = Vec::new();
        for (key, _) in self.iter() {
            let Some((_, row)) = declared(key) else { continue };
            if row.effect == Effect::Works {
                continue;
            }
            match found.iter_mut().find(|(effect, _)| *effect == row.effect) {
                Some((_, keys)) => keys.push(key),
                None => found.push((row.effect, vec![key])),
            }
        }
        found
    }

    /// The plugin whose file the key is in, or `core`.
    pub fn group_of(&self, key: &str) -> &'static str {
        declared(key).map_or("core", |(group, _)| group)
    }

    /// Whether the value is the one in the files that are distributed, so that nobody chose it.
    pub fn is_as_shipped(&self, key: &str) -> bool {
        let shipped = declared(key).and_then(|(_, row)| row.shipped_lines().find(|(name, _)| *name == key));
        shipped.is_some_and(|(_, value)| self.entry(key).is_some_and(|(mine, _)| mine == value))
    }
}

/// The row of a key and the name of its group.
pub(super) fn declared(key: &str) -> Option<(&'static str, &'static Row)> {
    static INDEX: OnceLock<Index> = OnceLock::new();
    let index = INDEX.get_or_init(Index::new);
    if let Some(found) = index.exact.get(key) {
        return Some(*found);
    }
    let words = split_words(key).count();
    index.free.get(&words)?.iter().find(|(_, row)| row.matches(key)).copied()
}

/// The rows by key, and those with free words by their number of words.
struct Index {
    exact: BTreeMap<&'static str, (&'static str, &'static Row)>,
    free: BTreeMap<usize, Vec<(&'static str, &'static Row)>>,
}

impl Index {
    fn new() -> Self {
        let mut index = Self { exact: BTreeMap::new(), free: BTreeMap::new() };
        for group in GROUPS {
            for row in group.rows {
                if row.key.contains('$') {
                    index.free.entry(row.key.split('.').count()).or_default().push((group.name, row));
                } else {
                    index.exact.entry(row.key).or_insert((group.name, row));
                }
            }
        }
        index
    }
}

/// Reads `etc/emqx.conf` under `root`, what it includes, the plugins' files and the variables.
///
/// # Errors
/// Everything that is wrong. Nothing has been changed anywhere.
pub fn load(root: &Path, environment: &Environment) -> Result<Settings, Problems> {
    let mut loader = Loader { root, values: Values::default(), files: Vec::new(), problems: Vec::new() };
    loader.main_file();
    loader.plugin_files();
    loader.environment(environment);
    loader.substitute();
    loader.check_types();
    let Loader { values, files, mut problems, .. } = loader;
    check::ranges(&values, &mut problems);
    let settings = read::settings(root, files, values, environment, &mut problems);
    if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
}

/// The node's name and data directory, however wrong the rest of the configuration is: a running node must be found and stopped
/// also after its files have been spoilt.
pub fn whereabouts(root: &Path, environment: &Environment) -> (String, PathBuf) {
    let mut loader = Loader { root, values: Values::default(), files: Vec::new(), problems: Vec::new() };
    loader.main_file();
    loader.environment(environment);
    loader.substitute();
    let value = |key: &str| {
        let default = declared(key).and_then(|(_, row)| row.default).unwrap_or_default();
        loader.values.entry(key).map_or(default, |(value, _)| value).to_owned()
    };
    (value("node.name"), root.join(value("node.data_dir")))
}

struct Loader<'a> {
    root: &'a Path,
    values: Values,
    files: Vec<String>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn problem(&mut self, phase: Phase, origin: Option<Origin>, key: Option<&str>, text: String) {
        self.problems.push(Problem { origin, key: key.map(str::to_owned), text, phase });
    }

    fn main_file(&mut self) {
        // The files still to be read, first come first filled in; an include only sets what is missing.
        let mut waiting: Vec<(String, Option<Origin>)> = vec![("etc/emqx.conf".to_owned(), None)];
        let mut next = 0;
        while let Some((shown, origin)) = waiting.get(next).cloned() {
            next += 1;
            if self.files.contains(&shown) {
                continue;
            }
            let Some(text) = self.text_of(&shown, origin) else { continue };
            self.files.push(shown.clone());
            let lines = input::lines(&text, &shown);
            self.problems.extend(lines.problems);
            self.fill_in(lines.settings, &shown, "core");
            for (path, line) in lines.includes {
                waiting.push((path, Some(Origin::Line { file: shown.clone(), line })));
            }
        }
    }

    fn plugin_files(&mut self) {
        let etc = self.values.entry("plugins.etc_dir").map_or("etc/plugins", |(value, _)| value).to_owned();
        let plugins: BTreeSet<&str> =
            GROUPS.iter().map(|group| group.name).filter(|name| *name != "core").collect();
        for plugin in plugins {
            let shown = format!("{}/{plugin}.conf", etc.trim_end_matches('/'));
            if !self.root.join(&shown).exists() {
                continue;
            }
            let Some(text) = self.text_of(&shown, None) else { continue };
            let lines = input::lines(&text, &shown);
            self.problems.extend(lines.problems);
            for (path, line) in lines.includes {
                let origin = Origin::Line { file: shown.clone(), line };
                let text = format!("include {path}: a plugin's file cannot include another");
                self.problem(Phase::Parsing, Some(origin), None, text);
            }
            self.fill_in(lines.settings, &shown, plugin);
        }
    }

    fn text_of(&mut self, shown: &str, origin: Option<Origin>) -> Option<String> {
        let path: PathBuf = self.root.join(shown);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match text {
            Ok(text) => Some(text),
            Err(why) => {
                self.problem(Phase::Parsing, origin, None, format!("{shown} cannot be read: {why}"));
                None
            }
        }
    }

    /// Takes the lines of one file: in one file the last line of a key counts, between files the first file does.
    fn fill_in(&mut self, lines: Vec<(String, String, u32)>, shown: &str, group: &str) {
        let mut of_file: BTreeMap<String, (String, Origin)> = BTreeMap::new();
        for (key, value, line) in lines {
            of_file.insert(key, (value, Origin::Line { file: shown.to_owned(), line }));
        }
        for (key, (value, origin)) in of_file {
            if !self.belongs(&key, group) {
                self.unknown(&key, group, origin);
                continue;
            }
            self.values.entries.entry(key).or_insert((value, origin));
        }
    }

    fn belongs(&self, key: &str, group: &str) -> bool {
        let rows =
            GROUPS.iter().filter(|candidate| candidate.name == group).flat_map(|candidate| candidate.rows);
        declared(key).is_some_and(|(owner, _)| owner == group) || rows.into_iter().any(|row| row.matches(key))
    }

    fn unknown(&mut self, key: &str, group: &str, origin: Origin) {
        let near = suggest::nearest(key, group);
        let mut text = format!(
            "You've tried to set {key}, but there is no setting with that name.\n  Did you mean one of these?\n"
        );
        for candidate in near {
            text.push_str(&format!("    {candidate}\n"));
        }
        if let Some((owner, _)) = declared(key) {
            let home = if owner == "core" {
                "etc/emqx.conf".to_owned()
            } else {
                format!("etc/plugins/{owner}.conf")
            };
            text.push_str(&format!("  {key} belongs in {home}.\n"));
        }
        text.push_str(&format!("Conf file attempted to set unknown variable: {key}"));
        self.problem(Phase::Datatypes, Some(origin), Some(key), text);
    }

    fn environment(&mut self, environment: &Environment) {
        for (key, value, name) in environment.overrides() {
            if value.is_empty() {
                self.values.entries.remove(&key);
            } else {
                self.values.entries.insert(key, (value, Origin::Variable(name)));
            }
        }
    }

    /// Replaces `$(key)` by the value of that key, which may refer to others in its turn.
    fn substitute(&mut self) {
        let keys: Vec<String> = self.values.entries.keys().cloned().collect();
        for key in keys {
            let mut path = vec![key.clone()];
            match self.resolved(&key, &mut path) {
                Ok(value) => {
                    if let Some(entry) = self.values.entries.get_mut(&key) {
                        entry.0 = value;
                    }
                }
                Err(text) => {
                    let origin = self.values.entry(&key).map(|(_, origin)| origin.clone());
                    self.problem(Phase::Substitution, origin, Some(&key), text);
                }
            }
        }
    }

    fn resolved(&self, key: &str, path: &mut Vec<String>) -> Result<String, String> {
        // Each level may double the text; nobody needs more than a few, and a chain must not fill the memory.
        const TEXT_MAX: usize = 64 * 1024;
        const DEPTH_MAX: usize = 32;
        if path.len() > DEPTH_MAX {
            return Err(format!("'{key}' is substituted over more than {DEPTH_MAX} steps"));
        }
        let raw = self.values.entry(key).map_or("", |(value, _)| value);
        let mut value = raw.to_owned();
        for other in input::references(raw) {
            if path.iter().any(|step| step == other) {
                path.push(other.to_owned());
                return Err(format!("Circular RHS substitutions: {}", path.join(" -> ")));
            }
            if self.values.entry(other).is_none() {
                return Err(format!("'{key}' substitution requires a config variable '{other}' to be set"));
            }
            path.push(other.to_owned());
            let inner = self.resolved(other, path)?;
            path.pop();
            value = value.replacen(&format!("$({other})"), &inner, 1);
            if value.len() > TEXT_MAX {
                return Err(format!("'{key}' grows beyond {TEXT_MAX} bytes by substitution"));
            }
        }
        Ok(value)
    }

    fn check_types(&mut self) {
        let mut found = Vec::new();
        for (key, (text, origin)) in &self.values.entries {
            let Some((_, row)) = declared(key) else { continue };
            if let Err(why) = value::check(row.kind, text) {
                found.push((origin.clone(), key.clone(), why));
            }
        }
        for (origin, key, why) in found {
            self.problem(Phase::Datatypes, Some(origin), Some(&key), why);
        }
    }
}
