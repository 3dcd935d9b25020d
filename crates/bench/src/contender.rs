//! What can be put under a load: our release, other brokers, and a relay that is none. Each is started
//! afresh in a directory of its own, with the same limits.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::scenarios::{Needs, Scenario};
use crate::{Fallible, process};

/// A broker that can be started.
pub struct Contender {
    /// As the report names it.
    pub name: &'static str,
    /// Its version, in its own words.
    pub version: String,
    kind: Kind,
}

enum Kind {
    /// The directory of a release.
    Ours(PathBuf),
    /// The program.
    Mosquitto(String),
    /// The program.
    FlashMq(String),
    /// No broker, but the ceiling of one.
    Relay,
}

/// Where Debian puts it, which only root's PATH has.
const MOSQUITTO: &str = "/usr/sbin/mosquitto";

impl Contender {
    /// Our release in that directory.
    pub fn ours(release: &Path) -> Fallible<Contender> {
        let release = fs::canonicalize(release).map_err(|e| format!("{}: {e}", release.display()))?;
        Ok(Contender { name: "FlockMQ", version: crate_version(), kind: Kind::Ours(release) })
    }

    /// One of the others: `mosquitto`, `flashmq` or `relay`, or `NAME=PROGRAM` for one that is not on the PATH.
    pub fn peer(word: &str) -> Fallible<Contender> {
        let (name, program) = word.split_once('=').map_or((word, None), |(name, at)| (name, Some(at)));
        match name {
            "mosquitto" => {
                let usual = if Path::new(MOSQUITTO).exists() { MOSQUITTO } else { name };
                let program = program.unwrap_or(usual).to_owned();
                let version = version_of(&program, "-h", "apt-get install mosquitto")?;
                Ok(Contender { name: "Mosquitto", version, kind: Kind::Mosquitto(program) })
            }
            "flashmq" => {
                let program = program.unwrap_or(name).to_owned();
                let version = version_of(&program, "--version", "its site has packages")?;
                Ok(Contender { name: "FlashMQ", version, kind: Kind::FlashMq(program) })
            }
            "relay" => Ok(Contender { name: "Relay", version: crate_version(), kind: Kind::Relay }),
            _ => Err(format!("no peer {name} is known; there are: mosquitto, flashmq, relay").into()),
        }
    }

    /// Whether it can be put under this load.
    pub fn can(&self, scenario: &Scenario) -> bool {
        match self.kind {
            Kind::Ours(_) => true,
            Kind::Mosquitto(_) => !matches!(scenario.needs, Needs::Cluster | Needs::TwoCores),
            Kind::FlashMq(_) => scenario.needs != Needs::Cluster,
            Kind::Relay => {
                ["pairs-q0", "fan-out", "fan-in", "latency-q0", "latency-70"].contains(&scenario.name)
            }
        }
    }

    /// Starts what the scenario needs: one, or three nodes that are joined, on these cores (`taskset -c`).
    pub fn start(&self, scenario: &Scenario, cores: &str) -> Fallible<Vec<Running>> {
        match scenario.needs {
            Needs::Cluster => start_cluster(self, cores),
            Needs::Plain | Needs::Tls | Needs::TwoCores => Ok(vec![start(self, cores)?]),
        }
    }
}

fn crate_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The first number that a program says of itself.
fn version_of(program: &str, option: &str, remedy: &str) -> Fallible<String> {
    let said = Command::new(program).arg(option).output();
    let said = said.map_err(|e| format!("{program}: {e} ({remedy})"))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(number.unwrap_or("of unknown version").to_owned())
}

/// A broker that runs; it ends with this value.
pub struct Running {
    child: Child,
    /// The process that listens.
    pub pid: u32,
    home: PathBuf,
    /// Where it listens, on 127.0.0.1.
    pub ports: Ports,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
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
pub struct Ports {
    /// TCP.
    pub plain: u16,
    /// TLS.
    pub tls: u16,
}

impl Ports {
    /// Some that nobody has; the port between nodes that goes with them is free too.
    fn free() -> Fallible<Ports> {
        loop {
            let ports = Ports { plain: free_port()?, tls: free_port()? };
            if TcpListener::bind(("127.0.0.1", FIRST_NODE_PORT + ports.node_number())).is_ok() {
                return Ok(ports);
            }
        }
    }

    /// The number in the node's name.
    fn node_number(self) -> u16 {
        self.plain % 2000
    }
}

/// The port between nodes of a node whose name has no number.
const FIRST_NODE_PORT: u16 = 4370;

/// The same limits as the others get: windows of 100, queues without end, nobody needs a password.
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

/// Its window is also what may wait for a client, so that it is as long as the longest queue.
fn flashmq_settings(ports: Ports, home: &str, threads: usize) -> String {
    let Ports { plain, tls } = ports;
    format!(
        "listen {{\n\
         protocol mqtt\n\
         port {plain}\n\
         inet4_bind_address 127.0.0.1\n\
         inet_protocol ip4\n\
         }}\n\
         listen {{\n\
         protocol mqtt\n\
         port {tls}\n\
         inet4_bind_address 127.0.0.1\n\
         inet_protocol ip4\n\
         fullchain {home}/cert.pem\n\
         privkey {home}/key.pem\n\
         }}\n\
         allow_anonymous true\n\
         thread_count {threads}\n\
         max_qos_msg_pending_per_client 65535\n\
         max_qos_bytes_pending_per_client 1000000000\n\
         client_max_write_buffer_size 1073741824\n\
         quiet true\n\
         log_level error\n"
    )
}

fn start(contender: &Contender, cores: &str) -> Fallible<Running> {
    let ports = Ports::free()?;
    let home = std::env::temp_dir().join(format!("emqx_bench-{}-{}", std::process::id(), ports.plain));
    let place = home.to_str().ok_or("the temporary directory's name is not UTF-8")?;
    fs::create_dir_all(&home)?;
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(home.join("cert.pem"), certificate.cert.pem())?;
    fs::write(home.join("key.pem"), certificate.signing_key.serialize_pem())?;
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).stdin(Stdio::null());
    match &contender.kind {
        Kind::Mosquitto(program) => {
            let file = home.join("mosquitto.conf");
            fs::write(&file, mosquitto_settings(ports, place))?;
            command.arg(program).arg("-c").arg(file);
        }
        Kind::FlashMq(program) => {
            let file = home.join("flashmq.conf");
            fs::write(&file, flashmq_settings(ports, place, cores.split(',').count()))?;
            command.arg(program).arg("-c").arg(file);
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
    format!("bench{}@127.0.0.1", ports.node_number())
}

/// Three nodes of ours, joined.
fn start_cluster(contender: &Contender, cores: &str) -> Fallible<Vec<Running>> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(start(contender, cores)?);
    }
    let control = |node: &Running, words: &[&str]| -> Fallible<String> {
        let output =
            Command::new(node.home.join("bin/emqx_ctl")).args(words).current_dir(&node.home).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed =
            || format!("emqx_ctl {}: {said}{}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(said) } else { Err(failed().into()) }
    };
    // Whoever reaches the MQTT port may still be waiting for the node to serve.
    let begun = Instant::now();
    for node in &nodes {
        while let Err(why) = control(node, &["status"]) {
            if begun.elapsed() > Duration::from_secs(15) {
                return Err(why);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
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
