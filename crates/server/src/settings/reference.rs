//! The reference page of all settings, made from the rows.

use super::rows::GROUPS;
use super::table::{Effect, Row};

/// `docs/reference/settings.md`.
pub fn page() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         This page is made from the table of settings in the program; a test keeps it fresh. `$name` and the like stand for a word of\n\
         your choice. *Default* is the value when no line sets the key, *shipped* what the distributed files say. Every key can also be set by a\n\
         variable: `EMQX_` and the key in capitals, with `__` for each dot (`EMQX_CLUSTER__DISCOVERY=static`); an empty variable unsets the key.\n\n\
         A line is `key = value`. A duration is one or more numbers with a unit, added up: `ms`, `s`, `m`, `h`, `d`, `w`, `f` (fortnight), as in\n\
         `1h30m`. A size is a number of bytes, or one with `KB`, `MB`, `GB`. `include path` fills in what the file does not set; `$(key)` in a value\n\
         stands for the value of that key. `bin/emqx check_conf` checks everything and says which lines have no effect.\n",
    );
    for group in GROUPS {
        let home = match group.name {
            "core" => "etc/emqx.conf".to_owned(),
            plugin => format!("etc/plugins/{plugin}.conf"),
        };
        out.push_str(&format!("\n## {}\n\nIn `{home}`.\n\n", group.title));
        out.push_str("| key | type | default | shipped | what it is |\n|---|---|---|---|---|\n");
        for row in group.rows {
            out.push_str(&line(row));
        }
    }
    out
}

fn line(row: &Row) -> String {
    let shipped: Vec<String> = row.ships.iter().map(|line| code(line)).collect();
    let default = row.default.map(code).unwrap_or_default();
    let mut doc: String = row.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    match row.effect {
        Effect::Works => {}
        Effect::NoEffect(why) => doc.push_str(&format!(" **No effect**: {why}.")),
        Effect::Later(why) => doc.push_str(&format!(" **Not yet in effect**: {why}.")),
    }
    let cells = [code(row.key), cell(&row.kind.words()), default, shipped.join("<br>"), cell(&doc)];
    format!("| {} |\n", cells.join(" | "))
}

/// A cipher list would make the table unreadable, so long values are cut.
fn code(text: &str) -> String {
    const LETTERS_MAX: usize = 90;
    let cut: String = text.chars().take(LETTERS_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", cell(&cut))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
