//! The command line: the words of emqtt-bench for `conn`, `pub` and `sub`, and our own `run` and
//! `compare`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use crate::links::Target;
use crate::scenarios::{Figures, Needs, SCENARIOS, Scenario, Setting};
use crate::stream::Layers;
use crate::tool::{self, Kind, Login, Plan, Say};
use crate::wire::Version;
use crate::{Fallible, compare, guard, process, relay, secure, tables};

fn option(long: &'static str, short: Option<char>, default: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(long).long(long).help(help).action(ArgAction::Set);
    let arg = if default.is_empty() { arg } else { arg.default_value(default) };
    match short {
        Some(short) => arg.short(short),
        None => arg,
    }
}

/// `--clean`, `--clean true`, `-C false`.
fn switch(long: &'static str, short: Option<char>, default: &'static str, help: &'static str) -> Arg {
    option(long, short, default, help)
        .value_parser(value_parser!(bool))
        .num_args(0..=1)
        .default_missing_value("true")
}

fn whole(arg: Arg) -> Arg {
    arg.value_parser(value_parser!(u64))
}

/// What every command that reaches a broker knows.
fn reach(command: Command, version: &'static str) -> Command {
    command
        .disable_help_flag(true)
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("this help"))
        .arg(option(
            "host",
            Some('h'),
            "localhost",
            "host names or addresses, HOST or HOST:PORT, with commas between",
        ))
        .arg(
            option("port", Some('p'), "", "the broker's port [default: 1883, 8883 with TLS]")
                .value_parser(value_parser!(u16)),
        )
        .arg(
            option("version", Some('V'), version, "MQTT version: 3 (3.1), 4 (3.1.1), 5")
                .value_parser(["3", "4", "5"]),
        )
        .arg(switch("ssl", Some('S'), "false", "TLS"))
        .arg(switch("ws", None, "false", "WebSocket"))
        .arg(option("ws-path", None, "/mqtt", "path of the WebSocket"))
        .arg(option("cacertfile", None, "", "trust this CA only; without it any certificate is accepted"))
        .arg(option("certfile", None, "", "client certificate, PEM"))
        .arg(option("keyfile", None, "", "client key, PEM"))
        .arg(option("ifaddr", None, "", "own addresses, with commas between, used in turn"))
        .arg(switch("json", None, "false", "one JSON object a line"))
}

fn clients(command: Command) -> Command {
    reach(command, "5")
        .arg(whole(option("count", Some('c'), "200", "how many clients")))
        .arg(whole(option("startnumber", Some('n'), "0", "their first number, less one")))
        .arg(whole(option("interval", Some('i'), "10", "milliseconds between two connects")))
        .arg(whole(option("connrate", Some('R'), "0", "connects per second, instead of --interval")))
        .arg(option("username", Some('u'), "", "user name; %i and %c are replaced"))
        .arg(option("password", Some('P'), "", "password"))
        .arg(option("keepalive", Some('k'), "300", "keep alive in seconds").value_parser(value_parser!(u16)))
        .arg(switch("clean", Some('C'), "true", "clean session, clean start"))
        .arg(
            option("session-expiry", Some('x'), "0", "session expiry in seconds (version 5)")
                .value_parser(value_parser!(u32)),
        )
        .arg(option("prefix", None, "", "client ids are PREFIX and the number"))
        .arg(switch("lowmem", Some('l'), "false", "without effect: memory is low already"))
        .arg(option("log_to", None, "console", "console or null").value_parser(["console", "null"]))
        .arg(switch("shortids", None, "false", "client ids are the number alone"))
        .arg(switch(
            "verify",
            None,
            "false",
            "payloads carry a proof; sub reports lost, duplicated, reordered, corrupt and latency",
        ))
        .arg(whole(option("seconds", None, "0", "stop after so many seconds; 0: never")))
}

fn qos(help: &'static str) -> Arg {
    option("qos", Some('q'), "0", help).value_parser(["0", "1", "2"])
}

fn command() -> Command {
    let topic = |help| option("topic", Some('t'), "", help).required(true);
    Command::new("emqx_bench")
        .about("Load for MQTT brokers. conn, pub and sub take the words of emqtt-bench.")
        .subcommand_required(true)
        .subcommand(clients(Command::new("conn").about("Connects clients and keeps them connected")))
        .subcommand(
            clients(Command::new("sub").about("Connects clients that subscribe"))
                .arg(topic("filter; %u, %c and %i become user name, client id and number"))
                .arg(qos("QoS of the subscription")),
        )
        .subcommand(
            clients(Command::new("pub").about("Connects clients that publish"))
                .arg(topic("topic; %u, %c, %i and %s become user name, client id, number and message number"))
                .arg(qos("QoS"))
                .arg(whole(option(
                    "interval_of_msg",
                    Some('I'),
                    "1000",
                    "milliseconds between two messages of a client; 0: as fast as it goes",
                )))
                .arg(whole(option("size", Some('s'), "256", "bytes of a payload")))
                .arg(option("message", Some('m'), "", "the payload itself"))
                .arg(switch("retain", Some('r'), "false", "retained messages"))
                .arg(whole(option("limit", Some('L'), "0", "stop after so many messages; 0: never")))
                .arg(whole(option(
                    "inflight",
                    Some('F'),
                    "1",
                    "messages of QoS 1 and 2 on their way per client",
                ))),
        )
        .subcommand(
            reach(
                Command::new("run").about("Runs the loads that brokers are compared by, against one broker"),
                "4",
            )
            .arg(Arg::new("scenario").num_args(0..).help("which; none: all. `run list` names them"))
            .arg(
                option(
                    "pid",
                    None,
                    "",
                    "the processes whose CPU and memory count; without it, those that listen on the ports of this host",
                ),
            )
            .args(sizes()),
        )
        .subcommand(
            Command::new("guard")
                .about("Counts the hot path's instructions with callgrind and compares them with a table")
                .arg(option("table", None, "crates/bench/instructions.tsv", "the table"))
                .arg(switch("write", None, "false", "renews the table"))
                .arg(option("work", None, "", "the work of one case, for callgrind to look at").hide(true)),
        )
        .subcommand(
            Command::new("relay")
                .about("The ceiling for QoS 0: passes messages on, and nothing else")
                .arg(option("port", Some('p'), "1883", "port on 127.0.0.1").value_parser(value_parser!(u16))),
        )
        .subcommand(
            Command::new("tables")
                .about("What a table of filters costs as it grows: no broker is asked")
                .arg(whole(option("filters", None, "1000000", "up to so many")))
                .arg(option("work", None, "", "one figure, in a process of its own").hide(true)),
        )
        .subcommand(
            Command::new("compare")
                .about("Runs the loads against brokers on this host in turn and writes what came out")
                .arg(option("ours", None, "", "the directory of a release (holds bin/emqx)"))
                .arg(option("peer", None, "", "a further broker: mosquitto, flashmq (NAME=PROGRAM where it is not on the PATH); or relay, the ceiling").action(ArgAction::Append))
                .arg(option("only", None, "", "these scenarios, with commas between"))
                .arg(whole(option("rounds", None, "5", "how often each broker gets each load")))
                .arg(option("broker-core", None, "0", "the core of the brokers (taskset -c)"))
                .arg(option("load-core", None, "1", "the core of the load (taskset -c)"))
                .arg(option("out", None, "", "write FILE.md, and plots beside it in a directory FILE"))
                .args(sizes()),
        )
}

fn sizes() -> Vec<Arg> {
    vec![
        option("secs", None, "2", "length of the measured part").value_parser(value_parser!(f64)),
        whole(option("size", Some('s'), "100", "bytes of a payload")),
        whole(option("window", Some('w'), "64", "messages of a publisher on their way")),
        whole(option("filters", None, "100", "filters of each client where subscriptions are counted")),
        option("scale", None, "1", "multiplies clients, subscriptions and messages that are counted")
            .value_parser(value_parser!(f64)),
    ]
}

/// The program.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    process::raise_files_max();
    let outcome = match matches.subcommand() {
        Some(("run", m)) => run(m),
        Some(("guard", m)) => match text(m, "work") {
            Some(name) => guard::work(name),
            None => guard::run(Path::new(text(m, "table").unwrap_or_default()), flag(m, "write")),
        },
        Some(("tables", m)) => match text(m, "work") {
            Some(work) => tables::work(work),
            None => tables::run(number(m, "filters") as usize),
        },
        Some(("relay", m)) => {
            let port = m.get_one::<u16>("port").copied().unwrap_or(1883);
            relay::run(SocketAddr::from(([127, 0, 0, 1], port))).map_err(Into::into)
        }
        Some(("compare", m)) => compare_brokers(m),
        Some((name, m)) => tool(name, m),
        None => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn text<'m>(m: &'m ArgMatches, name: &str) -> Option<&'m str> {
    m.get_one::<String>(name).map(String::as_str)
}

fn number(m: &ArgMatches, name: &str) -> u64 {
    m.get_one::<u64>(name).copied().unwrap_or(0)
}

fn flag(m: &ArgMatches, name: &str) -> bool {
    m.get_one::<bool>(name).copied().unwrap_or(false)
}

fn target(m: &ArgMatches) -> Fallible<Target> {
    let tls = flag(m, "ssl");
    let port = m.get_one::<u16>("port").copied().unwrap_or(if tls { 8883 } else { 1883 });
    let mut addresses = Vec::new();
    for host in text(m, "host").unwrap_or("localhost").split(',') {
        addresses.push(resolve(host, port)?);
    }
    let version = match text(m, "version") {
        Some("3") => Version::V3,
        Some("4") => Version::V4,
        _ => Version::V5,
    };
    let mut sources = Vec::new();
    for word in text(m, "ifaddr").unwrap_or("").split(',').filter(|word| !word.is_empty()) {
        sources.push(word.parse::<IpAddr>().map_err(|e| format!("--ifaddr {word}: {e}"))?);
    }
    let web_path = flag(m, "ws").then(|| text(m, "ws-path").unwrap_or("/mqtt").to_owned());
    let tls = match tls {
        true => Some(secure::config(text(m, "cacertfile"), text(m, "certfile"), text(m, "keyfile"))?),
        false => None,
    };
    Ok(Target { addresses, version, layers: Layers { tls, web_path }, sources })
}

/// `HOST` or `HOST:PORT`; an IPv4 address is taken where a name has both kinds.
fn resolve(host: &str, port: u16) -> Fallible<SocketAddr> {
    let (host, port) = match host.split_once(':') {
        Some((name, own)) if !own.contains(':') => (name, own.parse().map_err(|e| format!("{host}: {e}"))?),
        _ => (host, port),
    };
    let mut addresses: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(|e| format!("{host}: {e}"))?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(*addresses.first().ok_or_else(|| format!("{host} has no address"))?)
}

fn tool(name: &str, m: &ArgMatches) -> Fallible<()> {
    let word = |name| if m.try_contains_id(name).unwrap_or(false) { text(m, name) } else { None };
    let count = |name| if m.try_contains_id(name).unwrap_or(false) { number(m, name) } else { 0 };
    let qos = word("qos").and_then(|q| q.parse().ok()).unwrap_or(0);
    let topic = word("topic").unwrap_or("").to_owned();
    let kind = match name {
        "pub" => Kind::Pub {
            topic,
            qos,
            retain: flag(m, "retain"),
            payload: match word("message") {
                Some(message) => message.as_bytes().to_vec(),
                None => vec![b'a'; usize::try_from(count("size"))?],
            },
            every: Duration::from_millis(count("interval_of_msg")),
            limit: Some(count("limit")).filter(|&n| n > 0),
            inflight: count("inflight").max(1),
        },
        "sub" => Kind::Sub { topic, qos },
        _ => Kind::Conn,
    };
    let rate = number(m, "connrate");
    let plan = Plan {
        kind,
        count: number(m, "count"),
        first: number(m, "startnumber") + 1,
        connect_every: match rate {
            0 => Duration::from_millis(number(m, "interval")),
            rate => Duration::from_secs_f64(1.0 / rate as f64),
        },
        login: Login {
            username: word("username").map(str::to_owned),
            password: word("password").map(str::to_owned),
            keep_alive: m.get_one::<u16>("keepalive").copied().unwrap_or(300),
            clean: flag(m, "clean"),
            expiry: m.get_one::<u32>("session-expiry").copied().unwrap_or(0),
            prefix: match (flag(m, "shortids"), word("prefix")) {
                (true, _) => String::new(),
                (false, Some(prefix)) => prefix.to_owned(),
                (false, None) => format!("{}_bench_{name}_{}_", tool::host_name(), std::process::id()),
            },
        },
        verify: flag(m, "verify"),
        time: Some(number(m, "seconds")).filter(|&n| n > 0).map(Duration::from_secs),
        say: match (word("log_to"), flag(m, "json")) {
            (Some("null"), _) => Say::Nothing,
            (_, true) => Say::Json,
            (_, false) => Say::Words,
        },
    };
    tool::run(target(m)?, plan)
}

/// The scenarios of that name; all when there is none.
pub fn chosen(names: &[String]) -> Fallible<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let find = |name: &String| {
        let found = SCENARIOS.iter().find(|s| s.name == name);
        found.ok_or_else(|| format!("no scenario {name}; `emqx_bench run list` names them").into())
    };
    names.iter().map(find).collect()
}

fn run(m: &ArgMatches) -> Fallible<()> {
    let names: Vec<String> = m.get_many("scenario").into_iter().flatten().cloned().collect();
    if names == ["list"] {
        for scenario in SCENARIOS {
            println!("{:12} {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    let target = target(m)?;
    let mut brokers = Vec::new();
    for word in text(m, "pid").unwrap_or("").split(',').filter(|word| !word.is_empty()) {
        brokers.push(word.parse::<u32>().map_err(|e| format!("--pid {word}: {e}"))?);
    }
    if brokers.is_empty() {
        let local = target.addresses.iter().filter(|address| address.ip().is_loopback());
        brokers.extend(local.filter_map(|address| process::listener(address.port())));
    }
    let setting = Setting {
        target,
        brokers,
        measure: Duration::from_secs_f64(m.get_one::<f64>("secs").copied().unwrap_or(2.0)),
        payload: usize::try_from(number(m, "size"))?,
        window: number(m, "window").max(2),
        filters: usize::try_from(number(m, "filters"))?.max(1),
        scale: m.get_one::<f64>("scale").copied().unwrap_or(1.0),
    };
    // Without a name, those that need what the target is not are left out.
    let fits = |scenario: &&Scenario| match scenario.needs {
        Needs::Plain => true,
        Needs::Tls => setting.target.layers.tls.is_some(),
        Needs::Cluster => setting.target.addresses.len() > 1,
        Needs::TwoCores => false,
    };
    let all = names.is_empty();
    for scenario in chosen(&names)?.into_iter().filter(|scenario| !all || fits(scenario)) {
        let figures = (scenario.run)(&setting).map_err(|e| format!("{}: {e}", scenario.name))?;
        print(scenario, &figures, flag(m, "json"));
    }
    Ok(())
}

fn print(scenario: &Scenario, figures: &Figures, as_json: bool) {
    if as_json {
        let map: Map<String, Value> = figures.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        println!("{}", json!({ "scenario": scenario.name, "figures": map }));
        return;
    }
    println!("{} ({})", scenario.name, scenario.about);
    for (name, value) in figures {
        println!("  {name:28} {value:14.2}");
    }
}

fn compare_brokers(m: &ArgMatches) -> Fallible<()> {
    let only = text(m, "only").unwrap_or("");
    let only: Vec<String> = only.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    compare::run(&compare::Comparison {
        ours: text(m, "ours").map(Into::into),
        peers: m.get_many("peer").into_iter().flatten().cloned().collect(),
        scenarios: chosen(&only)?,
        rounds: usize::try_from(number(m, "rounds"))?.max(1),
        broker_core: text(m, "broker-core").unwrap_or("0").to_owned(),
        load_core: text(m, "load-core").unwrap_or("1").to_owned(),
        out: text(m, "out").map(Into::into),
        sizes: ["secs", "scale"]
            .iter()
            .map(|name| (*name, m.get_one::<f64>(name).copied().unwrap_or(1.0).to_string()))
            .chain(["size", "window", "filters"].iter().map(|name| (*name, number(m, name).to_string())))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_emqtt_bench_are_understood() {
        command().debug_assert();
        let line = "emqx_bench pub -c 100 -I 10 -t bench/%i -s 256 -q 1 -h 10.0.0.1 -p 1884 -C false -S -n 5 -L 9 -r";
        let m = command().try_get_matches_from(line.split(' ')).unwrap();
        let (name, m) = m.subcommand().unwrap();
        assert_eq!(name, "pub");
        assert_eq!(
            (number(m, "count"), number(m, "interval_of_msg"), number(m, "startnumber")),
            (100, 10, 5)
        );
        assert_eq!(
            (text(m, "host"), text(m, "topic"), text(m, "qos")),
            (Some("10.0.0.1"), Some("bench/%i"), Some("1"))
        );
        assert!(!flag(m, "clean") && flag(m, "ssl") && flag(m, "retain"));
        assert!(command().try_get_matches_from(["emqx_bench", "sub"]).is_err(), "a topic is required");
    }

    #[test]
    fn an_unknown_scenario_is_named() {
        let refused = chosen(&["nothing".to_owned()]).err().unwrap().to_string();
        assert!(refused.contains("nothing"), "{refused}");
        assert_eq!(chosen(&[]).unwrap().len(), SCENARIOS.len());
    }
}
