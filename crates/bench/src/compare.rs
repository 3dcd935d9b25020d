//! Brokers side by side: each load against each broker in turn, a fresh process each time, the broker on
//! one core and the load on another, and medians with their spread. Only ratios of one run mean anything:
//! machines differ, and the same machine differs from hour to hour.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::contender::Contender;
use crate::scenarios::{Better, Needs, Scenario};
use crate::{Fallible, plot, report};

/// What is compared, and how.
pub struct Comparison {
    /// The directory of our release.
    pub ours: Option<PathBuf>,
    /// Names of others, as [`Contender::peer`] takes them.
    pub peers: Vec<String>,
    /// The loads.
    pub scenarios: Vec<&'static Scenario>,
    /// How often each broker gets each load.
    pub rounds: usize,
    /// For `taskset -c`.
    pub broker_core: String,
    /// For `taskset -c`.
    pub load_core: String,
    /// Where the report goes.
    pub out: Option<PathBuf>,
    /// Options handed on to `run`.
    pub sizes: Vec<(&'static str, String)>,
}

/// The values that one figure of one scenario took with one broker.
#[derive(Clone, Debug, Default)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// Median, lowest, highest; zero when there is none.
    pub fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => (0.0, 0.0, 0.0),
            n => ((sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0, sorted[0], sorted[n - 1]),
        }
    }

    /// The ratios of each round; where one of the two has more of them than the other, that of the medians. A run that
    /// failed is no round: those after it count one earlier.
    pub fn over(&self, other: &Series) -> Series {
        match (self.0.len(), other.0.len()) {
            (0, _) | (_, 0) => Series::default(),
            (a, b) if a == b => Series(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect()),
            _ => Series(vec![self.spread().0 / other.spread().0]),
        }
    }
}

/// The figures of one scenario: per contender, by name.
pub struct Row {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// In the order of the contenders.
    pub figures: Vec<Vec<(String, Series)>>,
    /// Runs that failed, in words.
    pub failures: Vec<String>,
}

impl Row {
    /// The series of a figure, per contender.
    pub fn series(&self, figure: &str) -> Vec<Series> {
        let find = |figures: &Vec<(String, Series)>| {
            figures.iter().find(|(name, _)| name == figure).map(|(_, series)| series.clone())
        };
        self.figures.iter().map(|figures| find(figures).unwrap_or_default()).collect()
    }
}

fn contenders(order: &Comparison) -> Fallible<Vec<Contender>> {
    let mut list =
        order.peers.iter().map(|word| Contender::peer(word)).collect::<Fallible<Vec<Contender>>>()?;
    if let Some(release) = &order.ours {
        list.push(Contender::ours(release)?);
    }
    if list.is_empty() {
        return Err("nothing to compare: name --ours DIR, --peer mosquitto, or both".into());
    }
    Ok(list)
}

fn once(order: &Comparison, contender: &Contender, scenario: &Scenario) -> Fallible<Vec<(String, f64)>> {
    let both = format!("{},{}", order.broker_core, order.load_core);
    let cores = if scenario.needs == Needs::TwoCores { &both } else { &order.broker_core };
    let running = contender.start(scenario, cores)?;
    let tls = scenario.needs == Needs::Tls;
    let hosts =
        running.iter().map(|one| format!("127.0.0.1:{}", if tls { one.ports.tls } else { one.ports.plain }));
    let hosts: Vec<String> = hosts.collect();
    let pids: Vec<String> = running.iter().map(|one| one.pid.to_string()).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &order.load_core]).arg(std::env::current_exe()?);
    command.args(["run", scenario.name, "--json", "--ssl", if tls { "true" } else { "false" }]);
    command.args(["-h", &hosts.join(","), "--pid", &pids.join(",")]);
    for (name, value) in &order.sizes {
        command.arg(format!("--{name}")).arg(value);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    let value: Value = serde_json::from_slice(&output.stdout)?;
    let figures = value.get("figures").and_then(Value::as_object).ok_or("no figures")?;
    Ok(figures.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect())
}

/// Runs the comparison, says what came out, and writes the report where one is asked for.
pub fn run(order: &Comparison) -> Fallible<()> {
    let contenders = contenders(order)?;
    let nothing =
        |&scenario| Row { scenario, figures: vec![Vec::new(); contenders.len()], failures: Vec::new() };
    let mut rows: Vec<Row> = order.scenarios.iter().map(nothing).collect();
    // A whole round before the next one: what is set side by side was then measured within minutes.
    for round in 1..=order.rounds {
        for row in &mut rows {
            let name = row.scenario.name;
            eprintln!("round {round} of {}: {name}", order.rounds);
            for (at, contender) in contenders.iter().enumerate().filter(|(_, c)| c.can(row.scenario)) {
                match once(order, contender, row.scenario) {
                    Ok(figures) => note(&mut row.figures[at], figures),
                    Err(e) => row.failures.push(format!("{}, {name}: {e}", contender.name)),
                }
            }
        }
    }
    for row in &rows {
        say(&contenders, row);
    }
    for (row, simpler, share) in shares(&rows) {
        let (median, low, high) = share.spread();
        println!("{} against {}: {median:.2} ({low:.2}..{high:.2})", row.scenario.name, simpler.name);
    }
    if let Some(file) = &order.out {
        let directory = file.with_extension("");
        fs::create_dir_all(&directory)?;
        let mut plots = Vec::new();
        for (name, title, figures) in PLOTS {
            let drawing = plot::bars(title, &contenders, &rows, figures);
            if let Some(drawing) = drawing {
                fs::write(directory.join(format!("{name}.svg")), drawing)?;
                plots.push((*name, *title));
            }
        }
        fs::write(file, report::write(order, &contenders, &rows, &plots))?;
        println!("written: {}", file.display());
    }
    let failed = rows.iter().flat_map(|row| &row.failures).count();
    if failed > 0 { Err(format!("{failed} runs failed").into()) } else { Ok(()) }
}

/// The plots: file name, title, figures that go in.
const PLOTS: &[(&str, &str, &[&str])] = &[
    (
        "throughput",
        "Per second of the broker's CPU, as a share of the best",
        &[
            "per_cpu_second",
            "subscribes_per_cpu_second",
            "fetched_per_cpu_second",
            "in_per_cpu_second",
            "drained_per_cpu_second",
        ],
    ),
    ("latency", "Latency, as a share of the slowest", &["p50_us", "p99_us"]),
    (
        "memory",
        "Resident bytes each, as a share of the largest",
        &["bytes_per_connection", "bytes_per_subscription", "bytes_per_message"],
    ),
];

fn note(figures: &mut Vec<(String, Series)>, new: Vec<(String, f64)>) {
    for (name, value) in new {
        match figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, series)) => series.0.push(value),
            None => figures.push((name, Series(vec![value]))),
        }
    }
}

fn say(contenders: &[Contender], row: &Row) {
    println!("{} ({})", row.scenario.name, row.scenario.about);
    for shown in row.scenario.shown {
        let mut line = format!("  {:28}", shown.words);
        let measured = row.series(shown.figure);
        for (contender, series) in contenders.iter().zip(measured).filter(|(_, series)| !series.0.is_empty())
        {
            let (median, low, high) = series.spread();
            line += &format!("  {} {} ({}..{})", contender.name, short(median), short(low), short(high));
        }
        for (contender, ratio) in contenders.iter().zip(ratios(&row.series(shown.figure), shown.better)) {
            if let Some(ratio) = ratio {
                line += &format!("  {ratio:.2} × {}", contender.name);
            }
        }
        println!("{line}");
    }
    let faults = faults(row);
    if faults.iter().any(|n| *n > 0.0) {
        println!("  lost, duplicated, reordered or corrupt: {faults:?}");
    }
    for failure in &row.failures {
        println!("  FAILED {failure}");
    }
}

/// Wrong deliveries per contender, over all rounds.
pub fn faults(row: &Row) -> Vec<f64> {
    let sum = |figure| row.series(figure).into_iter().map(|series| series.0.iter().sum::<f64>());
    let mut total = vec![0.0; row.figures.len()];
    for figure in ["lost", "duplicated", "reordered", "corrupt"] {
        for (all, one) in total.iter_mut().zip(sum(figure)) {
            *all += one;
        }
    }
    total
}

/// How many times better the last contender is than each of the others, in their order; above 1 is better.
/// `None` where one was not put under this load.
pub fn ratios(series: &[Series], better: Better) -> Vec<Option<f64>> {
    let Some((last, others)) = series.split_last() else { return Vec::new() };
    let ratio = |other: &Series| {
        let ratio = if better == Better::More { last.over(other) } else { other.over(last) };
        Some(ratio.spread().0).filter(|ratio| ratio.is_finite() && *ratio > 0.0)
    };
    others.iter().map(ratio).collect()
}

/// What the last contender achieves per second of CPU under a load, as a share of what it achieves under the simpler
/// one that the load is measured against.
pub fn shares<'a>(rows: &'a [Row]) -> Vec<(&'a Row, &'static Scenario, Series)> {
    let of = |row: &Row| row.series("per_cpu_second").pop().unwrap_or_default();
    let share = |row: &'a Row| {
        let against = row.scenario.against?;
        let simpler = rows.iter().find(|other| other.scenario.name == against)?;
        let share = of(row).over(&of(simpler));
        (!share.0.is_empty()).then_some((row, simpler.scenario, share))
    };
    rows.iter().filter_map(share).collect()
}

/// A number with three digits that mean something.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 9_999_500.0 => format!("{:.1} M", value / 1e6),
        v if v >= 999_500.0 => format!("{:.2} M", value / 1e6),
        v if v >= 9_995.0 => format!("{:.0} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::SCENARIOS;

    #[test]
    fn the_median_and_the_spread() {
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).spread(), (2.0, 1.0, 3.0));
        assert_eq!(Series(vec![4.0, 1.0]).spread(), (2.5, 1.0, 4.0));
        assert_eq!(Series::default().spread(), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_round_is_compared_with_itself() {
        let (slow_then_fast, other) = (Series(vec![1.0, 10.0, 2.0]), Series(vec![2.0, 20.0, 8.0]));
        assert_eq!(slow_then_fast.over(&other).0, [0.5, 0.5, 0.25]);
        assert_eq!(slow_then_fast.over(&Series(vec![4.0, 4.0])).0, [0.5]);
        assert!(slow_then_fast.over(&Series::default()).0.is_empty());
    }

    #[test]
    fn a_load_is_a_share_of_the_simpler_one() {
        let row = |name, values: &[f64]| {
            let figures = vec![vec![("per_cpu_second".to_owned(), Series(values.to_vec()))]];
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("there is one");
            Row { scenario, figures, failures: Vec::new() }
        };
        let rows = [row("pairs-q0", &[4.0, 8.0]), row("across-q0", &[2.0, 2.0]), row("across-q1", &[1.0])];
        let found: Vec<_> =
            shares(&rows).into_iter().map(|(row, _, share)| (row.scenario.name, share.0)).collect();
        assert_eq!(found, [("across-q0", vec![0.5, 0.25])]);
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.against.is_some()) {
            assert!(
                SCENARIOS.iter().any(|simpler| Some(simpler.name) == scenario.against),
                "{}",
                scenario.name
            );
        }
    }

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_figure_goes() {
        let series = [Series(vec![10.0]), Series(vec![5.0]), Series::default(), Series(vec![20.0])];
        assert_eq!(ratios(&series, Better::More), [Some(2.0), Some(4.0), None]);
        assert_eq!(ratios(&series, Better::Less), [Some(0.5), Some(0.25), None]);
        assert_eq!(ratios(&series[..1], Better::Less), []);
        assert_eq!(ratios(&series[..3], Better::Less), [None, None]);
    }

    #[test]
    fn numbers_are_short() {
        let said: Vec<String> = [0.5, 12.34, 734.2, 9_600.0, 84_321.0, 1_663_000.0].map(short).to_vec();
        assert_eq!(said, ["0.50", "12.3", "734", "9600", "84 k", "1.66 M"]);
    }
}
