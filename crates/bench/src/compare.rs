//! Brokers side by side: each load against each broker in turn, a fresh process each time, the broker on
//! one core and the load on another, and medians with their spread. Only ratios of one run mean anything:
//! machines differ, and the same machine differs from hour to hour.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scenarios::{Better, Needs, Scenario};
use crate::{Fallible, plot, process, report};

/// What is compared, and how.
pub struct Comparison {
    /// The directory of our release.
    pub ours: Option<PathBuf>,
    /// Names of others.
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

/// A broker that can be started.
pub struct Contender {
    /// As the report names it.
    pub name: String,
    /// Its version, in its own words.
    pub version: String,
    kind: Kind,
}

enum Kind {
    Ours(PathBuf),
    Mosquitto,
    /// No broker, but the ceiling of one.
    Relay,
}

impl Kind {
    /// Whether it can be put under this load.
    fn can(&self, scenario: &Scenario) -> bool {
        match self {
            Kind::Ours(_) => true,
            Kind::Mosquitto => scenario.needs != Needs::Cluster,
            Kind::Relay => ["pairs-q0", "fan-out", "fan-in", "latency-q0"].contains(&scenario.name),
        }
    }
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
    let mut list = Vec::new();
    for peer in &order.peers {
        if peer == "relay" {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            list.push(Contender { name: "Relay".to_owned(), version, kind: Kind::Relay });
            continue;
        }
        if peer != "mosquitto" {
            return Err(format!("no peer {peer} is known; there are: mosquitto, relay").into());
        }
        let help = Command::new(mosquitto()).arg("-h").output();
        let help = help.map_err(|e| format!("mosquitto (apt-get install mosquitto): {e}"))?;
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        let version = text.lines().next().unwrap_or("").trim_start_matches("mosquitto version ").to_owned();
        list.push(Contender { name: "Mosquitto".to_owned(), version, kind: Kind::Mosquitto });
    }
    if let Some(release) = &order.ours {
        let release = fs::canonicalize(release).map_err(|e| format!("{}: {e}", release.display()))?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        list.push(Contender { name: "FlockMQ".to_owned(), version, kind: Kind::Ours(release) });
    }
    if list.is_empty() {
        return Err("nothing to compare: name --ours DIR, --peer mosquitto, or both".into());
    }
    Ok(list)
}

/// A broker that runs; it ends with this value.
struct Running {
    child: Child,
    pid: u32,
    home: PathBuf,
    ports: Ports,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Debian puts it where only root's PATH looks.
fn mosquitto() -> &'static str {
    let debian = "/usr/sbin/mosquitto";
    if Path::new(debian).exists() { debian } else { "mosquitto" }
}

fn free_port() -> Fallible<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What of a release a fresh node needs; what a node wrote is not taken along.
fn copy_release(from: &Path, to: &Path) -> std::io::Result<()> {
    for part in ["bin", "etc"] {
        copy_tree(&from.join(part), &to.join(part))?;
    }
    for part in ["data", "log"] {
        fs::create_dir_all(to.join(part))?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Where a broker listens.
#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    tls: u16,
}

/// The same limits as Mosquitto gets: windows of 100, queues without end, nobody needs a password.
fn our_settings(ports: Ports, home: &str) -> String {
    let Ports { plain, tls } = ports;
    format!(
        "node.name = {name}\n\
         node.cookie = bench\n\
         cluster.discovery = manual\n\
         allow_anonymous = true\n\
         listener.tcp.external = 127.0.0.1:{plain}\n\
         listener.tcp.external.acceptors = 4\n\
         listener.tcp.external.max_connections = 100000\n\
         listener.tcp.external.zone = external\n\
         listener.ssl.external = 127.0.0.1:{tls}\n\
         listener.ssl.external.max_connections = 100000\n\
         listener.ssl.external.zone = external\n\
         listener.ssl.external.certfile = {home}/cert.pem\n\
         listener.ssl.external.keyfile = {home}/key.pem\n\
         zone.external.max_inflight = 100\n\
         zone.external.max_awaiting_rel = 1000\n\
         zone.external.max_mqueue_len = 0\n\
         log.level = error\n",
        name = node_name(ports),
    )
}

fn mosquitto_settings(ports: Ports, home: &str) -> String {
    let Ports { plain, tls } = ports;
    format!(
        "listener {plain} 127.0.0.1\n\
         listener {tls} 127.0.0.1\n\
         certfile {home}/cert.pem\n\
         keyfile {home}/key.pem\n\
         allow_anonymous true\n\
         persistence false\n\
         set_tcp_nodelay true\n\
         max_inflight_messages 100\n\
         max_queued_messages 0\n\
         user root\n\
         log_dest none\n"
    )
}

fn start(contender: &Contender, core: &str) -> Fallible<Running> {
    let ports = Ports { plain: free_port()?, tls: free_port()? };
    let home = std::env::temp_dir().join(format!("emqx_bench-{}-{}", std::process::id(), ports.plain));
    let place = home.to_str().ok_or("the temporary directory's name is not UTF-8")?;
    fs::create_dir_all(&home)?;
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(home.join("cert.pem"), certificate.cert.pem())?;
    fs::write(home.join("key.pem"), certificate.signing_key.serialize_pem())?;
    let mut command = Command::new("taskset");
    command.args(["-c", core]).stdin(Stdio::null());
    match &contender.kind {
        Kind::Mosquitto => {
            let file = home.join("mosquitto.conf");
            fs::write(&file, mosquitto_settings(ports, place))?;
            command.arg(mosquitto()).arg("-c").arg(file);
        }
        Kind::Relay => {
            command.arg(std::env::current_exe()?).args(["relay", "-p", &ports.plain.to_string()]);
        }
        Kind::Ours(release) => {
            copy_release(release, &home)?;
            fs::write(home.join("etc/emqx.conf"), our_settings(ports, place))?;
            command.arg(home.join("bin/emqx")).arg("foreground").current_dir(&home);
        }
    }
    let log = fs::File::create(home.join("output.txt"))?;
    let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
    let mut running = Running { child, pid: 0, home, ports };
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", ports.plain)).is_err() {
        let over = running.child.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(15);
        if over {
            let said = fs::read_to_string(running.home.join("output.txt")).unwrap_or_default();
            return Err(format!("{} did not start: {said}", contender.name).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    running.pid = process::listener(ports.plain).unwrap_or(running.child.id());
    Ok(running)
}

/// The node's name; its number keeps its port between nodes apart from those of other nodes here.
fn node_name(ports: Ports) -> String {
    format!("bench{}@127.0.0.1", ports.plain % 2000)
}

/// Three nodes of ours, joined.
fn start_cluster(contender: &Contender, core: &str) -> Fallible<Vec<Running>> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(start(contender, core)?);
    }
    let control = |node: &Running, words: &[&str]| -> Fallible<String> {
        let output =
            Command::new(node.home.join("bin/emqx_ctl")).args(words).current_dir(&node.home).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = || format!("emqx_ctl {}: {said}", words.join(" "));
        if output.status.success() { Ok(said) } else { Err(failed().into()) }
    };
    let first = node_name(nodes[0].ports);
    for node in &nodes[1..] {
        control(node, &["cluster", "join", &first])?;
    }
    let begun = Instant::now();
    for node in &nodes {
        loop {
            let status = control(node, &["cluster", "status"])?;
            if nodes.iter().all(|other| status.contains(&node_name(other.ports))) {
                break;
            }
            if begun.elapsed() > Duration::from_secs(15) {
                return Err(format!("three nodes did not join: {status}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(nodes)
}

fn once(order: &Comparison, contender: &Contender, scenario: &Scenario) -> Fallible<Vec<(String, f64)>> {
    let running = match scenario.needs {
        Needs::Cluster => start_cluster(contender, &order.broker_core)?,
        _ => vec![start(contender, &order.broker_core)?],
    };
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

/// Runs the comparison, says each figure as it comes, and writes the report where one is asked for.
pub fn run(order: &Comparison) -> Fallible<()> {
    let contenders = contenders(order)?;
    let mut rows = Vec::new();
    for &scenario in &order.scenarios {
        let mut row = Row { scenario, figures: vec![Vec::new(); contenders.len()], failures: Vec::new() };
        for _ in 0..order.rounds {
            for (at, contender) in contenders.iter().enumerate() {
                if !contender.kind.can(scenario) {
                    continue;
                }
                match once(order, contender, scenario) {
                    Ok(figures) => note(&mut row.figures[at], figures),
                    Err(e) => row.failures.push(format!("{}, {}: {e}", contender.name, scenario.name)),
                }
            }
        }
        say(&contenders, &row);
        rows.push(row);
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
        if let Some(ratio) = ratio(&row.series(shown.figure), shown.better) {
            line += &format!("  ratio {ratio:.2}");
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

/// How many times better the last contender is than the first; above 1 is better.
pub fn ratio(series: &[Series], better: Better) -> Option<f64> {
    // Where the first is not to be put under this load there is no ratio.
    let [first, .., last] = series else { return None };
    let (first, last) = (first.spread().0, last.spread().0);
    let ratio = if better == Better::More { last / first } else { first / last };
    ratio.is_finite().then_some(ratio).filter(|ratio| *ratio > 0.0)
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

    #[test]
    fn the_median_and_the_spread() {
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).spread(), (2.0, 1.0, 3.0));
        assert_eq!(Series(vec![4.0, 1.0]).spread(), (2.5, 1.0, 4.0));
        assert_eq!(Series::default().spread(), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_figure_goes() {
        let series = [Series(vec![10.0]), Series(vec![20.0])];
        assert_eq!(ratio(&series, Better::More), Some(2.0));
        assert_eq!(ratio(&series, Better::Less), Some(0.5));
        assert_eq!(ratio(&series[..1], Better::Less), None);
        assert_eq!(ratio(&[Series(vec![1.0]), Series::default()], Better::Less), None);
    }

    #[test]
    fn numbers_are_short() {
        let said: Vec<String> = [0.5, 12.34, 734.2, 9_600.0, 84_321.0, 1_663_000.0].map(short).to_vec();
        assert_eq!(said, ["0.50", "12.3", "734", "9600", "84 k", "1.66 M"]);
    }
}
