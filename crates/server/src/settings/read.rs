//! From texts to the typed [`Settings`]: the only place that knows which key fills which field.

mod client;
mod listeners;
mod modules;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::check;
use super::input::Environment;
use super::load::{Values, declared};
use super::problem::{Phase, Problem};
use super::ssl_dist;
use super::table::split_words;
use super::typed::*;
use super::value::{self, Rate};
use crate::log::Level;

/// Makes the typed settings. What is wrong is added to `problems`; the result then only serves to find further ones.
pub(super) fn settings(
    root: &Path,
    files: Vec<String>,
    values: Values,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Settings {
    let mut reader = Reader::new(root, &values, problems);
    let zones = client::zones(&mut reader);
    let listeners = listeners::listeners(&mut reader, &zones);
    let modules = modules::modules(&mut reader);
    let settings = Settings {
        root: root.to_owned(),
        files,
        node: node(&mut reader, environment),
        cluster: cluster(&mut reader),
        log: log(&mut reader),
        listeners,
        revocation: listeners::revocation(&mut reader),
        broker: broker(&mut reader),
        access: client::access(&mut reader),
        retainer: modules::retainer(&mut reader, &modules),
        modules,
        zones,
        values: Values::default(),
    };
    Settings { values, ..settings }
}

/// Reads keys as types. A text of the wrong type has been reported before; here it counts as the default.
struct Reader<'a> {
    root: &'a Path,
    values: &'a Values,
    problems: &'a mut Vec<Problem>,
    #[cfg(test)]
    used: std::collections::BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Path, values: &'a Values, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            root,
            values,
            problems,
            #[cfg(test)]
            used: std::collections::BTreeSet::new(),
        }
    }

    /// The text that is set, or the default of the row.
    fn text(&mut self, key: &str) -> Option<String> {
        let default = self.row_default(key);
        self.values.entry(key).map(|(text, _)| text).or(default).map(str::to_owned)
    }

    /// The text that is set.
    fn set(&mut self, key: &str) -> Option<String> {
        self.row_default(key);
        self.values.entry(key).map(|(text, _)| text.to_owned())
    }

    fn row_default(&mut self, key: &str) -> Option<&'static str> {
        let row = declared(key).map(|(_, row)| row);
        let row = row.unwrap_or_else(|| panic!("every key that is read is declared; {key} is not"));
        #[cfg(test)]
        self.used.insert(row.key);
        row.default
    }

    /// The value that is set, else the default, else nothing.
    fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let default = self.row_default(key);
        let set = self.values.entry(key).and_then(|(text, _)| parse(text).ok());
        set.or_else(|| default.and_then(|text| parse(text).ok()))
    }

    fn string(&mut self, key: &str) -> String {
        self.text(key).unwrap_or_default()
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.root.join(text))
    }

    fn flag(&mut self, key: &str) -> bool {
        self.parsed(key, value::flag).unwrap_or(false)
    }

    fn truth(&mut self, key: &str) -> bool {
        self.text(key).as_deref() == Some("true")
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        value::list(&self.string(key))
    }

    fn duration(&mut self, key: &str) -> Duration {
        self.parsed(key, value::duration).unwrap_or_default()
    }

    fn seconds(&mut self, key: &str) -> Duration {
        let exact = self.duration(key);
        Duration::from_secs(exact.as_millis().div_ceil(1000) as u64)
    }

    fn size(&mut self, key: &str) -> Option<u64> {
        self.parsed(key, value::byte_size)
    }

    /// A whole number that must fit its type.
    fn number<T: TryFrom<i64>>(&mut self, key: &str) -> Option<T> {
        let number = self.parsed(key, value::integer)?;
        let fitting = T::try_from(number).ok();
        if fitting.is_none() {
            self.invalid(key, "is out of range");
        }
        fitting
    }

    /// A number where 0 stands for no limit.
    fn limit<T: TryFrom<i64> + Default + PartialEq>(&mut self, key: &str) -> Option<T> {
        self.number::<T>(key).filter(|number| *number != T::default())
    }

    fn rate(&mut self, key: &str) -> Option<Rate> {
        let text = self.set(key).filter(|text| text != "undefined")?;
        self.accepted(key, value::rate(&text))
    }

    /// The value, or nothing and a problem.
    fn accepted<T>(&mut self, key: &str, value: Result<T, String>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(why) => {
                self.invalid(key, &why);
                None
            }
        }
    }

    fn invalid(&mut self, key: &str, why: &str) {
        let origin = self.values.entry(key).map(|(_, origin)| origin.clone());
        let text = format!("{key} invalid, {why}");
        self.problems.push(Problem { origin, key: Some(key.to_owned()), text, phase: Phase::Validation });
    }

    fn untranslatable(&mut self, internal: &str, key: &str, why: &str) {
        let origin = self.values.entry(key).map(|(_, origin)| origin.clone());
        self.problems.push(check::untranslatable(internal, key, origin, why));
    }

    /// A text that must be set.
    fn required(&mut self, internal: &str, key: &str) -> String {
        let text = self.text(key);
        if text.is_none() {
            self.problems.push(check::missing(internal, key));
        }
        text.unwrap_or_default()
    }

    /// The user's words at the place of the first free word of keys that begin with `prefix`.
    fn names_under(&self, prefix: &str) -> Vec<String> {
        let depth = split_words(prefix).count();
        let mut names: Vec<String> = Vec::new();
        for (key, _) in self.values.iter() {
            let under = key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
            let Some(name) = split_words(key).nth(depth).filter(|_| under) else { continue };
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }
}

fn node(reader: &mut Reader, environment: &Environment) -> Node {
    let name = reader.string("node.name");
    if let Err(why) = check::node_name(&name) {
        let origin = reader.values.entry("node.name").map(|(_, origin)| origin.clone());
        reader.problems.push(Problem {
            origin,
            key: Some("node.name".to_owned()),
            text: why,
            phase: Phase::Validation,
        });
    }
    // As in Erlang: without the first one the system chooses, without the last one the first is the only one.
    let first = reader.number::<u16>("node.dist_listen_min").unwrap_or(0);
    let last = reader.number::<u16>("node.dist_listen_max");
    let last = if first == 0 { 0 } else { last.unwrap_or(first) };
    if last < first {
        reader.invalid("node.dist_listen_max", "must not be less than node.dist_listen_min");
    }
    let max_memory = match reader.set("node.max_memory").as_deref() {
        None => MemoryLimit::Share,
        Some("off") => MemoryLimit::Off,
        Some(_) => MemoryLimit::Bytes(reader.size("node.max_memory").unwrap_or(u64::MAX)),
    };
    let proto_dist = reader.string("cluster.proto_dist");
    let mut optfile = reader.path("node.ssl_dist_optfile");
    if reader.text("node.ssl_dist_optfile").is_some_and(|path| path.contains(' ')) {
        reader.invalid("node.ssl_dist_optfile", "the path must not contain a blank");
    }
    if proto_dist == "inet_tls" {
        let path = optfile.get_or_insert_with(|| reader.root.join("etc/ssl_dist.conf"));
        if let Err(why) = ssl_dist::read(path, reader.root) {
            reader.invalid("node.ssl_dist_optfile", &why);
        }
    }
    let inet6 = proto_dist == "inet6_tcp";
    let everywhere = if inet6 { IpAddr::from([0_u16; 8]) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let interface = reader.set("node.dist_use_interface").and_then(|text| text.parse::<IpAddr>().ok());
    // The distributed file says 0.0.0.0, which a node that speaks IPv6 with its peers cannot mean.
    let interface = interface.filter(|ip| !(inet6 && *ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    Node {
        name,
        cookie: Secret::new(reader.string("node.cookie")),
        cookie_accept: reader.list("node.cookie_accept").into_iter().map(Secret::new).collect(),
        data_dir: reader.path("node.data_dir").unwrap_or_else(|| reader.root.join("data")),
        dist_use_interface: interface.unwrap_or(everywhere),
        dist_listen: (first, last),
        ssl_dist_optfile: optfile,
        epmd: environment.epmd(),
        shards: reader.number("node.shards").unwrap_or(0),
        max_memory,
    }
}

fn cluster(reader: &mut Reader) -> Cluster {
    let proto_dist = match reader.string("cluster.proto_dist").as_str() {
        "inet6_tcp" => ProtoDist::Inet6Tcp,
        "inet_tls" => ProtoDist::InetTls,
        _ => ProtoDist::InetTcp,
    };
    Cluster {
        name: reader.string("cluster.name"),
        discovery: discovery(reader),
        autoheal: reader.flag("cluster.autoheal"),
        autoclean: reader.parsed("cluster.autoclean", value::duration),
        proto_dist,
        join_wait: reader.duration("cluster.join_wait"),
    }
}

fn discovery(reader: &mut Reader) -> Discovery {
    const INTERNAL: &str = "ekka.cluster_discovery";
    match reader.string("cluster.discovery").as_str() {
        "manual" => Discovery::Manual,
        "static" => Discovery::Static { seeds: reader.list("cluster.static.seeds") },
        "mcast" => mcast(reader, INTERNAL),
        "dns" => Discovery::Dns {
            name: reader.required(INTERNAL, "cluster.dns.name"),
            app: reader.required(INTERNAL, "cluster.dns.app"),
            records: match reader.string("cluster.dns.type").as_str() {
                "aaaa" => DnsRecords::Aaaa,
                "srv" => DnsRecords::Srv,
                _ => DnsRecords::A,
            },
        },
        "etcd" => etcd(reader, INTERNAL),
        "k8s" => Discovery::K8s {
            apiserver: reader.required(INTERNAL, "cluster.k8s.apiserver"),
            service_name: reader.required(INTERNAL, "cluster.k8s.service_name"),
            address_type: match reader.string("cluster.k8s.address_type").as_str() {
                "dns" => AddressType::Dns,
                "hostname" => AddressType::Hostname,
                _ => AddressType::Ip,
            },
            app_name: reader.required(INTERNAL, "cluster.k8s.app_name"),
            namespace: reader.required(INTERNAL, "cluster.k8s.namespace"),
            suffix: reader.string("cluster.k8s.suffix"),
        },
        other => {
            let why = format!("\"{other}\" is none of manual, static, mcast, dns, etcd, k8s");
            reader.untranslatable(INTERNAL, "cluster.discovery", &why);
            Discovery::Manual
        }
    }
}

fn mcast(reader: &mut Reader, internal: &str) -> Discovery {
    let mut ip = |key: &str| {
        let text = reader.string(key);
        text.parse::<IpAddr>().unwrap_or_else(|_| {
            reader.untranslatable(internal, key, &format!("\"{text}\" is not an IP address"));
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        })
    };
    let (addr, iface) = (ip("cluster.mcast.addr"), ip("cluster.mcast.iface"));
    let mut ports = Vec::new();
    for word in reader.list("cluster.mcast.ports") {
        match word.parse::<u16>() {
            Ok(port) => ports.push(port),
            Err(_) => {
                reader.untranslatable(internal, "cluster.mcast.ports", &format!("\"{word}\" is not a port"))
            }
        }
    }
    Discovery::Mcast {
        addr,
        ports,
        iface,
        ttl: reader.number("cluster.mcast.ttl").unwrap_or(255),
        looped: reader.flag("cluster.mcast.loop"),
    }
}

fn etcd(reader: &mut Reader, internal: &str) -> Discovery {
    let servers = value::list(&reader.required(internal, "cluster.etcd.server"));
    let password = reader.string("cluster.etcd.password");
    Discovery::Etcd {
        servers,
        prefix: reader.string("cluster.etcd.prefix"),
        node_ttl: reader.duration("cluster.etcd.node_ttl"),
        version: match reader.string("cluster.etcd.version").as_str() {
            "v3" => EtcdVersion::V3,
            "v2" => EtcdVersion::V2,
            _ => EtcdVersion::Auto,
        },
        login: reader.text("cluster.etcd.username").map(|name| (name, Secret::new(password))),
        ssl: ClientTls {
            keyfile: reader.path("cluster.etcd.ssl.keyfile"),
            certfile: reader.path("cluster.etcd.ssl.certfile"),
            cacertfile: reader.path("cluster.etcd.ssl.cacertfile"),
        },
    }
}

fn log(reader: &mut Reader) -> Log {
    let to = match reader.string("log.to").as_str() {
        "console" => LogTo::Console,
        "both" => LogTo::Both,
        _ => LogTo::File,
    };
    let rotation = reader.flag("log.rotation").then(|| {
        let bytes = reader.size("log.rotation.size").unwrap_or(10 << 20);
        (bytes.max(4096), reader.number("log.rotation.count").unwrap_or(5))
    });
    let mut level_files = Vec::new();
    for word in reader.names_under("log") {
        let key = format!("log.{word}.file");
        if reader.values.entry(&key).is_none() {
            continue;
        }
        match word.parse::<Level>() {
            Ok(level) => level_files.push((level, reader.string(&key))),
            Err(why) => reader.invalid(&key, &why),
        }
    }
    Log {
        to,
        level: reader.parsed("log.level", |text| text.parse::<Level>()).unwrap_or(Level::Warning),
        dir: reader.path("log.dir").unwrap_or_else(|| reader.root.join("log")),
        file: reader.string("log.file"),
        json: reader.string("log.formatter") == "json",
        chars_limit: reader.parsed("log.chars_limit", value::integer).and_then(|n| usize::try_from(n).ok()),
        rotation,
        level_files,
        queue_max: reader.number("log.drop_mode_qlen").unwrap_or(3000),
    }
}

fn broker(reader: &mut Reader) -> Broker {
    let strategy = |text: &str| match text {
        "random" => SharedStrategy::Random,
        "sticky" => SharedStrategy::Sticky,
        "hash" => SharedStrategy::Hash,
        "hash_clientid" => SharedStrategy::HashClientid,
        "hash_topic" => SharedStrategy::HashTopic,
        "local" => SharedStrategy::Local,
        _ => SharedStrategy::RoundRobin,
    };
    let mut of_group = BTreeMap::new();
    for group in reader.names_under("broker") {
        let key = format!("broker.{group}.shared_subscription_strategy");
        if let Some((text, _)) = reader.values.entry(&key) {
            of_group.insert(group.replace("\\.", "."), strategy(text));
            reader.row_default(&key);
        }
    }
    Broker {
        sys_interval: reader.duration("broker.sys_interval"),
        sys_heartbeat: reader.duration("broker.sys_heartbeat"),
        enable_session_registry: reader.flag("broker.enable_session_registry"),
        shared_strategy: strategy(&reader.string("broker.shared_subscription_strategy")),
        shared_strategy_of: of_group,
        shared_dispatch_ack: reader.truth("broker.shared_dispatch_ack_enabled"),
    }
}

/// The keys of the rows that fill a field, so that a test can compare them with those that are said to work.
#[cfg(test)]
pub(super) fn used_keys(root: &Path, values: &Values) -> std::collections::BTreeSet<&'static str> {
    let mut problems = Vec::new();
    let mut reader = Reader::new(root, values, &mut problems);
    let zones = client::zones(&mut reader);
    listeners::listeners(&mut reader, &zones);
    listeners::revocation(&mut reader);
    let modules = modules::modules(&mut reader);
    node(&mut reader, &Environment::default());
    cluster(&mut reader);
    log(&mut reader);
    broker(&mut reader);
    client::access(&mut reader);
    modules::retainer(&mut reader, &modules);
    reader.used.clone()
}

type Zones = BTreeMap<String, Arc<Zone>>;
