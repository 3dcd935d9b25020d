//! The page that a comparison writes.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::compare::{Comparison, Row, faults, ratios, shares, short};
use crate::contender::Contender;

fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpuinfo
        .lines()
        .filter(|line| line.starts_with("model name"))
        .filter_map(|line| Some(line.split_once(':')?.1.trim()))
        .collect();
    let kernel = said_by("uname", &["-sr"]);
    format!("{} × {}, {kernel}", models.len(), models.first().unwrap_or(&"unknown processor"))
}

/// What more cores and more nodes cost.
fn with_more_places(rows: &[Row]) -> String {
    let shares = shares(rows);
    if shares.is_empty() {
        return String::new();
    }
    let mut part = String::from(
        "\n## More cores, more nodes\n\n\
         FlockMQ against itself, round by round: deliveries per CPU-second, of all nodes, as a share of those of one node on one core. On two cores, which \
         the load shares, twice the share is how much faster the two are than one.\n\n| load | against | share | CPU, times |\n|---|---|---|---|\n",
    );
    for (row, simpler, share) in shares {
        let (median, low, high) = share.spread();
        let (about, simpler, times) = (row.scenario.about, simpler.about, 1.0 / median);
        let _ = writeln!(part, "| {about} | {simpler} | {median:.2} ({low:.2}–{high:.2}) | {times:.2} |");
    }
    part
}

/// The whole page, in Markdown. `plots`: file name and title.
pub fn write(order: &Comparison, contenders: &[Contender], rows: &[Row], plots: &[(&str, &str)]) -> String {
    let mut page = String::from("# Benchmarks\n\n");
    let names: Vec<String> = contenders.iter().map(|c| format!("{} {}", c.name, c.version)).collect();
    let sizes: Vec<String> = order.sizes.iter().map(|(name, value)| format!("--{name} {value}")).collect();
    let peers: Vec<String> = order.peers.iter().map(|peer| format!(" --peer {peer}")).collect();
    let ours = if order.ours.is_some() { " --ours RELEASE" } else { "" };
    let _ = write!(
        page,
        "Written by `emqx_bench compare`, not by hand.\n\n\
         - date: {} (UTC)\n- machine: {}\n- brokers: {}\n- command: `emqx_bench compare{ours}{} --rounds {} {}`\n\n\
         Each load runs against each broker in turn, {} rounds of all loads, a fresh broker each time, the broker on one core and the load on \
         another, over loopback; without persistence where a broker can do without, with windows of 100 (FlashMQ: 65,535, which is also what may wait for \
         a client) and queues without end. Medians, with the lowest and \
         the highest in brackets. CPU is user and system time of the broker's process; memory is the growth of its resident set. Every payload \
         is verified. Only ratios mean something: `×` says how many times better FlockMQ is, whichever way the figure goes, as the median of the rounds' own \
         ratios.\n\n",
        said_by("date", &["-u", "+%F %R"]),
        machine(),
        names.join(", "),
        peers.concat(),
        order.rounds,
        sizes.join(" "),
        order.rounds,
    );
    let heads: Vec<&str> = contenders.iter().map(|c| c.name).collect();
    let others = &heads[..heads.len().saturating_sub(1)];
    let against: String = others.iter().map(|name| format!(" × {name} |")).collect();
    let _ = writeln!(page, "| load | figure | {} |{against}", heads.join(" | "));
    let _ = writeln!(page, "|---|---|{}", "---|".repeat(heads.len() + others.len()));
    for row in rows {
        for shown in row.scenario.shown {
            let series = row.series(shown.figure);
            let cells: Vec<String> = series
                .iter()
                .map(|one| match one.spread() {
                    _ if one.0.is_empty() => "–".to_owned(),
                    (median, low, high) => format!("{} ({}–{})", short(median), short(low), short(high)),
                })
                .collect();
            let ratios: String = ratios(&series, shown.better)
                .into_iter()
                .map(|ratio| ratio.map_or(" – |".to_owned(), |ratio| format!(" {ratio:.2} |")))
                .collect();
            let (about, words) = (row.scenario.about, shown.words);
            let _ = writeln!(page, "| {about} | {words} | {} |{ratios}", cells.join(" | "));
        }
    }
    page += &with_more_places(rows);
    page += "\n## What went wrong on the way\n\n";
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| faults(row).iter().any(|n| *n > 0.0))
        .map(|row| {
            let cells: Vec<String> = faults(row).iter().map(|n| format!("{n:.0}")).collect();
            format!("| {} | {} |\n", row.scenario.about, cells.join(" | "))
        })
        .collect();
    if wrong.is_empty() {
        page += "Nothing was lost, duplicated, reordered or changed.\n";
    } else {
        let _ = writeln!(page, "Messages lost, duplicated, reordered or changed, over all rounds:\n");
        let _ = writeln!(page, "| load | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
        page += &wrong.concat();
    }
    for failure in rows.iter().flat_map(|row| &row.failures) {
        let _ = writeln!(page, "\nA run failed: {failure}");
    }
    if let Some(directory) = order.out.as_ref().and_then(|out| out.file_stem()?.to_str()) {
        for (name, title) in plots {
            let _ = writeln!(page, "\n![{title}]({directory}/{name}.svg)");
        }
    }
    page
}
