//! `cluster doctor`: why this node and another one do not come together, in words, and what to do about it. It looks at
//! each step of the way from a name to a link, in order; what comes after a step that failed is not checked. It changes
//! nothing, here or there.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::shapes::{Finding, Verdict};
use crate::epmd;

/// The whole examination, however many nodes.
const EXAMINATION_MAX: Duration = Duration::from_millis(9_500);
const RESOLVE_MAX: Duration = Duration::from_secs(3);
const CONNECT_MAX: Duration = Duration::from_secs(2);
const HELLO_MAX: Duration = Duration::from_secs(2);
const WAY_BACK_MAX: Duration = Duration::from_secs(3);

/// Clocks further apart than this are worth a word.
const CLOCK_APART_MAX_MS: u64 = 2_000;

/// A certificate that ends within this time is worth a word.
const CERTIFICATE_LEFT_MIN_MS: u64 = 7 * 86_400_000;

/// How nodes find one another's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortMode {
    /// 4370 and the number at the end of the name.
    Ekka,
    /// The port mapper (epmd) tells, which listens on this port of every host.
    Epmd(u16),
}

/// What this node is, as far as the examination needs it.
#[derive(Debug, Clone)]
pub struct Own {
    /// `Name@Host`.
    pub name: String,
    pub mode: PortMode,
    /// The port of a node of that name in ekka mode.
    pub ekka_port: fn(&str) -> u16,
    /// Whether addresses are IPv6 (`cluster.proto_dist = inet6_tcp`).
    pub ipv6: bool,
    /// Whether links are TLS (`cluster.proto_dist = inet_tls`).
    pub tls: bool,
    /// Versions of the protocol between nodes that this one speaks.
    pub protocol: RangeInclusive<u16>,
    /// When this node's certificate ends, in milliseconds since 1970; none without TLS.
    pub certificate_until_ms: Option<u64>,
}

/// Who answers at an address, once the handshake is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name it gives itself.
    pub name: String,
    /// The product's version.
    pub version: String,
    /// Its clock in the middle of the exchange, in milliseconds since 1970.
    pub clock_ms: u64,
    /// This node's clock at the same time.
    pub own_clock_ms: u64,
    /// When its certificate ends; none without TLS.
    pub certificate_until_ms: Option<u64>,
}

/// Where the handshake ended. The order of the variants is the order of the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloError {
    /// The connection stands and nothing comes.
    Silent,
    /// Something that is no node of ours: what it looks like.
    Stranger(String),
    /// It speaks TLS, this node does not.
    TlsThere,
    /// This node speaks TLS, it does not.
    TlsHere,
    /// TLS failed on a certificate: in whose eyes, and why.
    Certificate(String),
    /// No version in common; those it speaks, 0 to 0 where it did not say.
    Version(RangeInclusive<u16>),
    /// The proof of the cookie was not accepted.
    Cookie,
    /// It has another name.
    Name(String),
}

/// What only a running node can try: to speak to another one over the cluster's port.
pub trait Probe: Send + Sync + 'static {
    /// Shakes hands with whoever listens there, expecting a node of this name, and hangs up.
    fn hello(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> impl Future<Output = Result<Hello, HelloError>> + Send;

    /// Asks the node there to connect to this one. `Err`: what it met, in its words.
    fn way_back(&self, address: SocketAddr, name: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// Examines the way to each of these nodes, all at once, and this node's own name. Within 10 s.
pub async fn examine<P: Probe>(own: Own, probe: Arc<P>, targets: Vec<String>) -> Vec<Finding> {
    let own = Arc::new(own);
    let mut running = JoinSet::new();
    for (at, target) in targets.iter().cloned().enumerate() {
        let (own, probe) = (Arc::clone(&own), Arc::clone(&probe));
        running.spawn(async move {
            let mut report = Report::new(&target);
            if timeout(EXAMINATION_MAX, one_node(&own, &*probe, &target, &mut report)).await.is_err() {
                report.wrong(
                    "time",
                    "the examination was not through in time",
                    "try again; the network is very slow",
                );
            }
            (at, report.findings)
        });
    }
    let mut findings = timeout(EXAMINATION_MAX, own_name(&own)).await.unwrap_or_default();
    let mut reports = Vec::new();
    while let Some(done) = running.join_next().await {
        reports.extend(done);
    }
    reports.sort_by_key(|(at, _)| *at);
    findings.extend(reports.into_iter().flat_map(|(_, found)| found));
    findings
}

/// What was found about one node so far.
struct Report {
    node: String,
    findings: Vec<Finding>,
}

impl Report {
    fn new(node: &str) -> Report {
        Report { node: node.into(), findings: Vec::new() }
    }

    fn ok(&mut self, check: &str, found: impl Into<String>) {
        self.add(check, Verdict::Ok, found.into(), "");
    }

    fn wrong(&mut self, check: &str, found: impl Into<String>, advice: &str) {
        self.add(check, Verdict::Wrong, found.into(), advice);
    }

    fn skipped(&mut self, checks: &[&str]) {
        for check in checks {
            self.add(check, Verdict::Skipped, "not checked, because of the above".into(), "");
        }
    }

    fn add(&mut self, check: &str, result: Verdict, found: String, advice: &str) {
        let (node, check, advice) = (self.node.clone(), check.into(), advice.into());
        self.findings.push(Finding { node, check, result, found, advice });
    }
}

/// The steps of the handshake and after, in order.
const STEPS: [&str; 8] = ["node", "tls", "certificate", "version", "cookie", "name", "clock", "way back"];

async fn own_name(own: &Own) -> Vec<Finding> {
    let mut report = Report::new(&own.name);
    let host = host_of(&own.name);
    match resolve(host, own.ipv6).await {
        Err(why) => report.wrong(
            "own name",
            format!("{host} cannot be resolved on this machine: {why}"),
            "other nodes reach this one by the host in node.name: enter it in DNS or /etc/hosts, or use an IP address",
        ),
        Ok(addresses) if addresses.iter().any(|a| UdpSocket::bind((*a, 0)).is_ok()) => {
            report.ok("own name", format!("{host} is this machine ({})", list(&addresses)));
        }
        Ok(addresses) => report.wrong(
            "own name",
            format!("{host} is {}, which is no address of this machine", list(&addresses)),
            "unless a NAT leads here, correct node.name, DNS or /etc/hosts",
        ),
    }
    if let Some(until) = own.certificate_until_ms {
        certificate(&mut report, "own certificate", until);
    }
    report.findings
}

async fn one_node<P: Probe>(own: &Own, probe: &P, target: &str, report: &mut Report) {
    let rest = |report: &mut Report, also: &[&str]| {
        report.skipped(also);
        report.skipped(&STEPS);
    };
    if !well_formed(target) {
        report.wrong(
            "name",
            "that is no node name",
            "a node name is Name@Host; Name has letters, digits, _ and - only; Host is an IP address or a full host name",
        );
        return rest(report, &["name resolution", "port"]);
    }
    if target == own.name {
        return report.ok("name", "that is this node");
    }
    let host = host_of(target);
    let addresses = match resolve(host, own.ipv6).await {
        Ok(addresses) => addresses,
        Err(why) => {
            report.wrong(
                "name resolution",
                format!("{host} cannot be resolved: {why}"),
                "check the spelling; enter the host in DNS or /etc/hosts of this machine",
            );
            return rest(report, &["port"]);
        }
    };
    report.ok("name resolution", format!("{host} is {}", list(&addresses)));
    let Some(address) = open_port(own, target, &addresses, report).await else {
        return rest(report, &[]);
    };
    let hello = timeout(HELLO_MAX, probe.hello(address, target)).await.unwrap_or(Err(HelloError::Silent));
    if !handshake(own, target, &hello, report) {
        return;
    }
    match timeout(WAY_BACK_MAX, probe.way_back(address, target)).await {
        Ok(Ok(())) => report.ok("way back", format!("{target} reaches this node")),
        Ok(Err(why)) => report.wrong(
            "way back",
            format!("{target} does not reach this node: {why}"),
            "over there, this node's name must resolve to this machine, and a firewall must let its port through",
        ),
        Err(_) => report.wrong(
            "way back",
            format!("{target} got no answer from this node"),
            "a firewall drops packets from there to this node's port, or this node's name resolves to another machine there",
        ),
    }
}

/// Finds the port and connects to it; on success the address that took the connection.
async fn open_port(own: &Own, target: &str, addresses: &[IpAddr], report: &mut Report) -> Option<SocketAddr> {
    let (mut refused, mut last) = (false, String::new());
    for ip in addresses {
        let port = match own.mode {
            PortMode::Ekka => (own.ekka_port)(target),
            PortMode::Epmd(epmd) => match epmd::lookup(*ip, epmd, base(target)).await {
                Ok(Some(port)) => port,
                Ok(None) => {
                    last = format!("the port mapper (epmd) at {ip} knows no node of that name");
                    continue;
                }
                Err(why) => {
                    last = format!("no port mapper (epmd) at {ip}:{epmd}: {why}");
                    continue;
                }
            },
        };
        let address = SocketAddr::new(*ip, port);
        match connect(address).await {
            Ok(()) => {
                report.ok("port", format!("{address} accepts connections"));
                return Some(address);
            }
            Err(why) => {
                refused |= why.kind() == io::ErrorKind::ConnectionRefused;
                last = format!("{address}: {}", plainly(&why));
            }
        }
    }
    let advice = match (own.mode, other_mode(own, target, addresses).await, refused) {
        (PortMode::Ekka, Some(port), _) => format!(
            "it is in epmd mode (port {port}, WITH_EPMD is set there), this node in ekka mode: start both the same way"
        ),
        (PortMode::Epmd(_), Some(port), _) => format!(
            "it is in ekka mode (port {port}, WITH_EPMD is not set there), this node in epmd mode: start both the same way"
        ),
        (_, None, true) => {
            "start the node there (emqx start), or correct its name: the number at its end decides the port"
                .into()
        }
        (PortMode::Epmd(_), None, false) => {
            "start the node there with WITH_EPMD=1, and let port 4369 and its own through".into()
        }
        (PortMode::Ekka, None, false) => {
            "start the machine, or let the port through a firewall between the two".into()
        }
    };
    report.wrong("port", last, &advice);
    None
}

/// The port at which the node is found the other way than this node's.
async fn other_mode(own: &Own, target: &str, addresses: &[IpAddr]) -> Option<u16> {
    let ip = *addresses.first()?;
    match own.mode {
        PortMode::Ekka => epmd::lookup(ip, epmd::PORT, base(target)).await.ok().flatten(),
        PortMode::Epmd(_) => {
            let port = (own.ekka_port)(target);
            connect(SocketAddr::new(ip, port)).await.ok().map(|()| port)
        }
    }
}

/// Writes down every step of the handshake; false when one failed.
fn handshake(own: &Own, target: &str, hello: &Result<Hello, HelloError>, report: &mut Report) -> bool {
    let failed_at = match hello {
        Ok(_) => usize::MAX,
        Err(HelloError::Silent | HelloError::Stranger(_)) => 0,
        Err(HelloError::TlsThere | HelloError::TlsHere) => 1,
        Err(HelloError::Certificate(_)) => 2,
        Err(HelloError::Version(_)) => 3,
        Err(HelloError::Cookie) => 4,
        Err(HelloError::Name(_)) => 5,
    };
    let passed = [
        format!(
            "a node answers{}",
            hello.as_ref().map_or(String::new(), |h| format!(", version {}", h.version))
        ),
        if own.tls { "both use TLS".into() } else { "neither uses TLS".into() },
        if own.tls { "each trusts the other's certificate".into() } else { "none needed".into() },
        "the two have a version of the protocol in common".into(),
        "the cookies fit".into(),
        format!("it is {target}"),
    ];
    for (step, found) in STEPS.iter().zip(passed).take(failed_at) {
        report.ok(step, found);
    }
    let hello = match hello {
        Ok(hello) => hello,
        Err(why) => {
            let (found, advice) = explain(own, target, why);
            report.wrong(STEPS[failed_at], found, &advice);
            report.skipped(&STEPS[failed_at + 1..]);
            return false;
        }
    };
    if let Some(until) = hello.certificate_until_ms {
        certificate(report, "certificate", until);
    }
    let apart = hello.clock_ms.abs_diff(hello.own_clock_ms);
    let words = format!("the clocks are {}.{:03} s apart", apart / 1000, apart % 1000);
    if apart <= CLOCK_APART_MAX_MS {
        report.ok("clock", words);
    } else {
        report.wrong(
            "clock",
            words,
            "let both machines keep their time by NTP; the later write wins, by these clocks",
        );
    }
    true
}

fn explain(own: &Own, target: &str, why: &HelloError) -> (String, String) {
    let ours = format!("{} to {}", own.protocol.start(), own.protocol.end());
    match why {
        HelloError::Silent => (
            "the port is open, but nothing answers".into(),
            "the node there hangs, or another program has its port: see log/ there".into(),
        ),
        HelloError::Stranger(what) => (
            format!("something else answers: {what}"),
            "another program has the port, or an EMQ X runs there: nodes of the two cannot be in one cluster".into(),
        ),
        HelloError::TlsThere => (
            "it uses TLS, this node does not".into(),
            "set cluster.proto_dist to inet_tls on both, or on neither".into(),
        ),
        HelloError::TlsHere => (
            "this node uses TLS, it does not".into(),
            "set cluster.proto_dist to inet_tls on both, or on neither".into(),
        ),
        HelloError::Certificate(words) => (
            words.clone(),
            "the certificates in node.ssl_dist_optfile must be signed by an authority that the other side has in its cacertfile"
                .into(),
        ),
        HelloError::Version(theirs) if *theirs.end() == 0 => (
            format!("it speaks no version of the protocol that this node, which speaks {ours}, knows"),
            "upgrade the older one; neighbouring versions understand one another".into(),
        ),
        HelloError::Version(theirs) => (
            format!("it speaks versions {} to {} of the protocol, this node {ours}", theirs.start(), theirs.end()),
            "upgrade the older one; neighbouring versions understand one another".into(),
        ),
        HelloError::Cookie => (
            "the cookies differ".into(),
            "set node.cookie to the same on both (or node.cookie_accept while changing it) and restart".into(),
        ),
        HelloError::Name(other) => (
            format!("the node there is called {other}, not {target}"),
            "use that name, or correct node.name there: the number at the end of a name decides its port".into(),
        ),
    }
}

fn certificate(report: &mut Report, check: &str, until_ms: u64) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let day = super::words::local_time(until_ms);
    match until_ms.checked_sub(now_ms) {
        None => {
            report.wrong(check, format!("it ended {day}"), "renew it; a new file is read without a restart")
        }
        Some(left) if left < CERTIFICATE_LEFT_MIN_MS => {
            report.wrong(check, format!("it ends {day}"), "renew it; a new file is read without a restart");
        }
        Some(_) => report.ok(check, format!("valid until {day}")),
    }
}

/// `Name@Host`: see the rules of node names.
fn well_formed(name: &str) -> bool {
    name.split_once('@').is_some_and(|(node, host)| {
        !node.is_empty()
            && node.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
    })
}

fn host_of(name: &str) -> &str {
    name.split_once('@').map_or(name, |(_, host)| host)
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// The addresses of a host, of the family in use. Never empty.
async fn resolve(host: &str, ipv6: bool) -> Result<Vec<IpAddr>, String> {
    let looked_up = match timeout(RESOLVE_MAX, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(addresses)) => addresses.map(|a| a.ip()).collect::<Vec<_>>(),
        Ok(Err(why)) => return Err(why.to_string()),
        Err(_) => return Err("the name servers do not answer".into()),
    };
    let mut addresses: Vec<IpAddr> = looked_up.iter().copied().filter(|a| a.is_ipv6() == ipv6).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        let (have, want) = if ipv6 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        return Err(format!("it has {have} addresses only, and cluster.proto_dist asks for {want}"));
    }
    Ok(addresses)
}

async fn connect(address: SocketAddr) -> io::Result<()> {
    match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    }
}

/// A node's name without its host: under this the port mapper (epmd) knows it.
fn base(name: &str) -> &str {
    name.split('@').next().unwrap_or_default()
}

fn plainly(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
        io::ErrorKind::TimedOut => "no answer".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no way there".into(),
        _ => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    struct Fake(Result<Hello, HelloError>, Result<(), String>);

    impl Probe for Fake {
        async fn hello(&self, _: SocketAddr, _: &str) -> Result<Hello, HelloError> {
            self.0.clone()
        }
        async fn way_back(&self, _: SocketAddr, _: &str) -> Result<(), String> {
            self.1.clone()
        }
    }

    /// In these tests a node's port is the number at the end of its name.
    fn port_in_name(name: &str) -> u16 {
        let node = name.split('@').next().unwrap_or_default();
        node.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(1)
    }

    fn own() -> Own {
        Own {
            name: "emqx@127.0.0.1".into(),
            mode: PortMode::Ekka,
            ekka_port: port_in_name,
            ipv6: false,
            tls: false,
            protocol: 1..=2,
            certificate_until_ms: None,
        }
    }

    fn good() -> Hello {
        Hello {
            name: "emqx2@127.0.0.1".into(),
            version: "1.2.3".into(),
            clock_ms: 1_500,
            own_clock_ms: 1_000,
            certificate_until_ms: None,
        }
    }

    async fn run(own: Own, probe: Fake, target: &str) -> String {
        let found = examine(own, Arc::new(probe), vec![target.into()]).await;
        found.iter().map(|f| format!("{:?} {}: {} [{}]\n", f.result, f.check, f.found, f.advice)).collect()
    }

    async fn listening() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let name = format!("n{}@127.0.0.1", listener.local_addr().expect("it is bound").port());
        (listener, name)
    }

    #[tokio::test]
    async fn all_is_well_between_two_good_nodes() {
        let (_listener, name) = listening().await;
        let text = run(own(), Fake(Ok(good()), Ok(())), &name).await;
        assert!(!text.contains("Wrong") && !text.contains("Skipped"), "{text}");
        for words in [
            "127.0.0.1 is this machine",
            "accepts connections",
            "version 1.2.3",
            "0.500 s apart",
            "reaches this node",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[tokio::test]
    async fn each_step_that_fails_is_named_and_ends_the_examination() {
        let cases = [
            (HelloError::Silent, "Wrong node: the port is open, but nothing answers"),
            (HelloError::Stranger("HTTP".into()), "Wrong node: something else answers: HTTP"),
            (HelloError::TlsThere, "Wrong tls: it uses TLS, this node does not"),
            (HelloError::TlsHere, "Wrong tls: this node uses TLS, it does not"),
            (HelloError::Certificate("unknown issuer".into()), "Wrong certificate: unknown issuer"),
            (
                HelloError::Version(4..=5),
                "Wrong version: it speaks versions 4 to 5 of the protocol, this node 1 to 2",
            ),
            (HelloError::Cookie, "Wrong cookie: the cookies differ"),
            (HelloError::Name("b@h".into()), "Wrong name: the node there is called b@h"),
        ];
        for (error, words) in cases {
            let (_listener, name) = listening().await;
            let text = run(own(), Fake(Err(error), Ok(())), &name).await;
            assert!(text.contains(words), "{words}: {text}");
            assert_eq!(text.matches("Wrong").count(), 1, "{text}");
            assert!(text.ends_with("Skipped way back: not checked, because of the above []\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn clocks_apart_and_a_way_back_that_is_blocked_are_both_told() {
        let (_listener, name) = listening().await;
        let hello = Hello { clock_ms: 10_000, ..good() };
        let text = run(own(), Fake(Ok(hello), Err("connection refused".into())), &name).await;
        assert!(text.contains("Wrong clock: the clocks are 9.000 s apart"), "{text}");
        assert!(text.contains("does not reach this node: connection refused"), "{text}");
    }

    #[tokio::test]
    async fn a_closed_port_and_a_host_that_is_not_there_are_told_apart() {
        let (listener, name) = listening().await;
        drop(listener);
        let text = run(own(), Fake(Ok(good()), Ok(())), &name).await;
        assert!(text.contains("Wrong port: 127.0.0.1:") && text.contains("nothing listens there"), "{text}");
        let text = run(own(), Fake(Ok(good()), Ok(())), "emqx@no-such-host.invalid").await;
        assert!(text.contains("Wrong name resolution: no-such-host.invalid cannot be resolved"), "{text}");
        let text = run(own(), Fake(Ok(good()), Ok(())), "em!qx@h").await;
        assert!(text.contains("Wrong name: that is no node name"), "{text}");
        let text = run(own(), Fake(Ok(good()), Ok(())), "emqx@127.0.0.1").await;
        assert!(text.ends_with("Ok name: that is this node []\n"), "{text}");
    }

    #[tokio::test]
    async fn a_name_of_another_machine_and_an_old_certificate_are_told() {
        let own = Own { name: "emqx@192.0.2.1".into(), certificate_until_ms: Some(1), ..own() };
        let text = run(own, Fake(Ok(good()), Ok(())), "em!qx@h").await;
        assert!(
            text.contains("Wrong own name: 192.0.2.1 is 192.0.2.1, which is no address of this machine"),
            "{text}"
        );
        assert!(text.contains("Wrong own certificate: it ended 19"), "{text}");
    }
}
