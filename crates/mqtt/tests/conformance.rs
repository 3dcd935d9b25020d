//! `docs/conformance.md`: every normative statement, and the tests that name it. A test names a statement by
//! a tag in the comment before it, `[MQTT-3.1.2-1]` for 5.0 and `[MQTT-3.1.2-1] (3.1.1)`. A statement fails here
//! that has neither a test nor, in `docs/conformance/statements.tsv`, a reason why no test of ours can hold it;
//! so does a tag that names no statement. `UPDATE=1` writes the page, and takes reasons away from what has a test.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has to fail there")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Version and number.
type Statement = (String, String);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The tags of a comment.
fn tags(comment: &str) -> Vec<Statement> {
    let mut found = vec![];
    for part in comment.split("[MQTT-").skip(1) {
        let Some((number, rest)) = part.split_once(']') else { continue };
        if number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-') {
            let version = if rest.trim_start().starts_with("(3.1.1)") { "3.1.1" } else { "5.0" };
            found.push((version.to_owned(), format!("MQTT-{number}")));
        }
    }
    found
}

/// Which tests name which statements, in the comment before them. Of a source with tests at its bottom
/// only those are looked at.
fn tagged() -> BTreeMap<Statement, BTreeSet<String>> {
    let mut files = vec![];
    sources(&root().join("crates"), &mut files);
    let mut all: BTreeMap<Statement, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let name = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if name.ends_with("mqtt/tests/conformance.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let is_test = name.contains("/tests/") || name.ends_with("/tests.rs");
        let from = if is_test { 0 } else { text.find("#[cfg(test)]").unwrap_or(text.len()) };
        let (mut comment, mut function) = (String::new(), String::new());
        for line in text[from..].lines().map(str::trim) {
            if line.starts_with("//") {
                comment.push_str(line.trim_start_matches(['/', '!']));
                comment.push('\n');
                continue;
            }
            if let Some((before, rest)) = line.split_once("fn ")
                && (before.is_empty() || before.starts_with("pub"))
            {
                function = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
            }
            if !line.starts_with("#[") {
                for statement in tags(&comment) {
                    all.entry(statement).or_default().insert(format!("`{name}` {function}"));
                }
                comment.clear();
            }
        }
    }
    all
}

#[test]
fn every_statement_has_a_test_or_a_reason() {
    let place = root().join("docs/conformance/statements.tsv");
    let table = fs::read_to_string(&place).unwrap();
    let tagged = tagged();
    let (mut known, mut faults) = (BTreeSet::new(), vec![]);
    let (mut rows, mut marks) = (String::new(), String::new());
    let (mut tests, mut clients) = (0, 0);
    for line in table.lines() {
        let mut cells = line.split('\t');
        let (Some(version), Some(number)) = (cells.next(), cells.next()) else {
            marks.push_str(&format!("{line}\n"));
            continue;
        };
        let mark = cells.next().unwrap_or_default();
        let statement = (version.to_owned(), number.to_owned());
        let reason = mark.strip_prefix("client: ");
        let (words, kept) = match (tagged.get(&statement), reason) {
            (Some(by), _) => {
                tests += 1;
                (by.iter().cloned().collect::<Vec<_>>().join(", "), "")
            }
            (None, Some(reason)) => {
                clients += 1;
                (format!("no test: {reason}"), mark)
            }
            (None, None) => {
                faults.push(format!("{version} {number} has no test, and no reason why"));
                ("no test".to_owned(), mark)
            }
        };
        known.insert(statement);
        rows.push_str(&format!("| {version} | {number} | {words} |\n"));
        marks.push_str(format!("{version}\t{number}\t{kept}").trim_end());
        marks.push('\n');
    }
    for (version, number) in tagged.keys().filter(|s| !known.contains(*s)) {
        faults.push(format!("a test names {version} {number}, which is no statement"));
    }
    let page = format!(
        "# Conformance\n\nEvery normative statement of MQTT 3.1.1 and 5.0, and the tests of this repository that \
         name it. Made from the tests' own tags by\n`UPDATE=1 cargo test -p flockmq-mqtt --test conformance`; \
         do not edit it.\n\n{tests} statements have tests, {clients} bind clients or what is not offered.\n\n| version | statement | tests |\n|---|---|---|\n{rows}"
    );
    let target = root().join("docs/conformance.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&target, page).unwrap();
        fs::write(&place, marks).unwrap();
    } else if fs::read_to_string(&target).unwrap_or_default() != page || marks != table {
        faults.push(
            "docs/conformance.md is stale: UPDATE=1 cargo test -p flockmq-mqtt --test conformance".into(),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
