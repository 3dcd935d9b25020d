//! Instructions of the hot path, counted by callgrind: the same on every run, so that a change that
//! costs 5 % is seen where a clock would see nothing.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Fallible;
use crate::hot::{CASES, Case, World};

/// Growth above this share fails.
const GROWTH_MAX: f64 = 0.05;
/// Messages of one count; the first ones, which fill caches and buffers, weigh nothing then.
const MESSAGES: usize = 20_000;
/// What callgrind counts inside of, with all that is called from there.
const MEASURED: &str = "*bench::hot::take_*";

/// The work of one count: runs the case and says how many deliveries that were.
pub fn work(name: &str) -> Fallible<()> {
    let case = CASES.iter().find(|case| case.name == name).ok_or_else(|| format!("no case {name}"))?;
    println!("{}", World::new(*case).run(MESSAGES));
    Ok(())
}

/// Instructions per delivery.
fn count(case: &Case) -> Fallible<f64> {
    let file =
        std::env::temp_dir().join(format!("emqx_bench-{}-{}.callgrind", std::process::id(), case.name));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["guard", "--work", case.name])
        .output()
        .map_err(|e| format!("valgrind (apt-get install valgrind): {e}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr)).into());
    }
    let deliveries: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let profile = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let instructions = total(&profile).ok_or("callgrind counted nothing")?;
    Ok(instructions / deliveries)
}

/// The sum in a profile of callgrind.
fn total(profile: &str) -> Option<f64> {
    let line = profile.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok().filter(|sum| *sum > 0.0)
}

/// The counts in a table: `name<TAB>instructions`, `#` begins a remark.
fn read(table: &str) -> Vec<(String, f64)> {
    let row = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

/// Counts all cases and compares them with the table in `file`; with `write` they become the table.
/// Errors: a case has grown by over 5 %, or is not in the table.
pub fn run(file: &Path, write: bool) -> Fallible<()> {
    let before = match fs::read_to_string(file) {
        Ok(text) => read(&text),
        Err(_) if write => Vec::new(),
        Err(e) => return Err(format!("{}: {e}", file.display()).into()),
    };
    let mut table = String::from(
        "# Instructions in user space per delivery on the hot path (decode, session, routes, encode), without sockets.\n\
         # Counted by callgrind in the release build: emqx_bench guard; emqx_bench guard --write renews this table.\n",
    );
    let mut grown = Vec::new();
    for case in CASES {
        let count = count(case)?;
        let old = before.iter().find(|(name, _)| name == case.name).map(|(_, count)| *count);
        let change = old.map_or("new".to_owned(), |old| format!("{:+.1} %", (count / old - 1.0) * 100.0));
        println!("{:12} {count:10.1}  {change}", case.name);
        if old.is_none_or(|old| count > old * (1.0 + GROWTH_MAX)) {
            grown.push(case.name);
        }
        let _ = writeln!(table, "{}\t{count:.1}", case.name);
    }
    if write {
        fs::write(file, table)?;
        return Ok(());
    }
    if grown.is_empty() {
        Ok(())
    } else {
        Err(format!("grown by over 5 %, or new: {}", grown.join(", ")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_profile_and_the_rows_of_a_table_are_read() {
        assert_eq!(total("events: Ir\nfn=x\n1 2\n\ntotals: 1234\n"), Some(1234.0));
        assert_eq!(total("totals: 0\n"), None);
        assert_eq!(read("# a\nx\t12.5\ny\t3\nnoise\n"), [("x".to_owned(), 12.5), ("y".to_owned(), 3.0)]);
    }
}
