//! Nodes made for tests: the layout of the release in a directory of its own, the program that cargo built,
//! ports of its own, ended by its own pid when the value is dropped.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, Connect, LIMIT};

/// Tries until `done` says yes; fails the test with `what` after ten seconds.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ten ports in a row that no other test and nothing else on this machine has. Below the kernel's own range,
/// so that no outgoing connection takes one; held against other test processes by a lock on a file.
struct Ports {
    base: u16,
    _lock: File,
}

impl Ports {
    fn take() -> Self {
        let folder = std::env::temp_dir().join("flockmq-test-ports");
        fs::create_dir_all(&folder).expect("the temporary directory can be written");
        let start = std::process::id() % 2000;
        for i in 0..2000 {
            let base = 10_000 + ((start + i) % 2000) as u16 * 10;
            let lock = File::create(folder.join(base.to_string())).expect("a lock file can be made");
            if lock.try_lock().is_err() {
                continue;
            }
            let free = |p| TcpListener::bind((Ipv4Addr::UNSPECIFIED, p)).is_ok();
            if (base..base + 10).all(free) {
                return Self { base, _lock: lock };
            }
        }
        panic!("no ten free ports in a row");
    }
}

/// What a command printed, and its exit state.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Said {
    /// Standard output without its last newline; any other exit state than 0 fails the test.
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.trim_end_matches('\n')
    }
    /// As `ok`, for exit state 1.
    pub fn fails(&self) -> &str {
        assert_eq!(self.code, 1, "{self:?}");
        self.out.trim_end_matches('\n')
    }
    pub fn has(&self, words: &str) -> &Self {
        assert!(self.out.contains(words) || self.err.contains(words), "no {words:?} in {self:?}");
        self
    }
}

pub struct Node {
    pub root: PathBuf,
    pub name: String,
    ports: Ports,
    child: Option<Child>,
    env: Vec<(String, String)>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Node {
    /// A node that was never started, named after its port: `emqxN@127.0.0.1` listens for peers on 4370+N.
    pub fn new() -> Self {
        Self::named("emqx")
    }

    /// As `new`, with `prefix` before the number.
    pub fn named(prefix: &str) -> Self {
        let ports = Ports::take();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for folder in ["bin", "etc", "data", "log"] {
            fs::create_dir_all(root.join(folder)).expect("cargo's temporary directory can be written");
        }
        for name in ["emqx", "emqx_ctl"] {
            let to = root.join("bin").join(name);
            fs::hard_link(env!("CARGO_BIN_EXE_emqx"), &to)
                .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_emqx"), &to).map(drop))
                .expect("the program can be placed");
        }
        copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../release/etc"), &root.join("etc"));
        let node = Self {
            name: format!("{prefix}{}@127.0.0.1", ports.base + 5 - 4370),
            root,
            ports,
            child: None,
            env: vec![],
        };
        let base = node.ports.base;
        node.set("node.name", &node.name);
        node.set("node.cookie", "cookie-of-the-tests");
        for (i, key) in
            ["tcp.external", "tcp.internal", "ssl.external", "ws.external", "wss.external"].iter().enumerate()
        {
            node.set(&format!("listener.{key}"), &format!("127.0.0.1:{}", base + i as u16));
        }
        node
    }

    /// Adds a line to `etc/emqx.conf`; the last line for a key wins.
    pub fn set(&self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"));
    }

    pub fn line(&self, line: &str) {
        let path = self.conf();
        let mut text = fs::read_to_string(&path).expect("the release has etc/emqx.conf");
        if !text.ends_with('\n') {
            text.push('\n');
        }
        fs::write(&path, format!("{text}{line}\n")).expect("etc/emqx.conf can be written");
    }

    pub fn conf(&self) -> PathBuf {
        self.root.join("etc/emqx.conf")
    }

    /// A variable for everything that is run for this node from here on.
    pub fn env(&mut self, key: &str, value: &str) {
        self.env.retain(|(k, _)| k != key);
        self.env.push((key.into(), value.into()));
    }

    pub fn no_env(&mut self) {
        self.env.clear();
    }

    /// Where MQTT is spoken.
    pub fn mqtt(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.base))
    }

    /// The i-th port of this node: 0 MQTT, 1 internal, 2 TLS, 3 WebSocket, 4 its TLS, 5 peers, 6 to 9 unused.
    pub fn port(&self, i: u16) -> u16 {
        self.ports.base + i
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join("bin").join(program));
        for (key, _) in std::env::vars().filter(|(k, _)| k.starts_with("EMQX_") || k == "WITH_EPMD") {
            command.env_remove(key);
        }
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> Said {
        // Into files, not pipes: a daemon that keeps a pipe open must not hold up the test.
        let file = |what: &str| {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            self.root.join(format!("said-{n}-{what}"))
        };
        let (out, err) = (file("out"), file("err"));
        let mut child = self
            .command(program)
            .args(args)
            .stdout(File::create(&out).expect("a file can be made"))
            .stderr(File::create(&err).expect("a file can be made"))
            .spawn()
            .expect("the program can be run");
        let end = Instant::now() + 3 * LIMIT;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{program} {args:?} did not end within {:?}", 3 * LIMIT);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |path: &Path| {
            let text =
                String::from_utf8_lossy(&fs::read(path).expect("what was said can be read")).into_owned();
            let _ = fs::remove_file(path);
            text
        };
        Said { out: read(&out), err: read(&err), code: status.code().unwrap_or(-1) }
    }

    pub fn emqx(&self, args: &[&str]) -> Said {
        self.run("emqx", args)
    }

    pub fn ctl(&self, args: &[&str]) -> Said {
        self.run("emqx_ctl", args)
    }

    /// `emqx_ctl ARGS --json`, parsed; exit state 0.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let said = self.ctl(&[args, &["--json"]].concat());
        serde_json::from_str(said.ok()).unwrap_or_else(|e| panic!("{args:?}: {e} in {said:?}"))
    }

    /// Runs it as a child of this test, and waits until it serves.
    pub fn start(&mut self) -> &mut Self {
        assert!(self.child.is_none(), "it runs already");
        let log = File::create(self.root.join("log/test-stdout")).expect("log/ can be written");
        let child = self
            .command("emqx")
            .arg("foreground")
            .stdout(log.try_clone().expect("a handle can be doubled"))
            .stderr(log)
            .spawn()
            .expect("the program can be run");
        self.child = Some(child);
        let end = Instant::now() + 2 * LIMIT;
        while !self.said().contains(" is running now!") || TcpStream::connect(self.mqtt()).is_err() {
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                self.child = None;
                panic!("{} ended while starting, {status}:\n{}", self.name, self.said());
            }
            assert!(Instant::now() < end, "{} does not serve:\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// What the running child printed.
    pub fn said(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(self.root.join("log/test-stdout")) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    /// The power goes: no farewell to anybody.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `bin/emqx stop`, and its end.
    pub fn stop(&mut self) {
        self.emqx(&["stop"]).ok();
        let mut child = self.child.take().expect("only what runs is stopped");
        let end = Instant::now() + LIMIT;
        while child.try_wait().expect("a child can be waited for").is_none() {
            assert!(Instant::now() < end, "{} is still there after `stop`", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| c.try_wait().is_ok_and(|s| s.is_none()))
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn connect(&self, id: &str) -> Connect {
        Connect::new(self.mqtt(), id)
    }

    pub fn client(&self, id: &str) -> Client {
        self.connect(id).open()
    }

    pub fn join(&self, target: &Node) {
        let said = self.ctl(&["cluster", "join", &target.name]);
        assert!(said.ok().starts_with("Join the cluster successfully.\nCluster status: "), "{said:?}");
    }

    /// Waits until this node sees exactly these members running and these stopped.
    pub fn sees(&self, running: &[&Node], stopped: &[&Node]) {
        let want = status_line(running, stopped);
        let mut last = String::new();
        let end = Instant::now() + 2 * LIMIT;
        loop {
            let said = self.ctl(&["cluster", "status"]);
            if said.code == 0 && said.out.trim_end_matches('\n') == want {
                return;
            }
            if said.out != last {
                last = said.out;
            }
            assert!(Instant::now() < end, "{} says\n{last}\nnot\n{want}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this node routes `filter` to `to`.
    pub fn routes(&self, filter: &str, to: &Node) {
        self.routes_times(filter, to, 1);
    }

    /// The same where several groups, or a group and plain subscribers, have the filter there: a route each.
    pub fn routes_times(&self, filter: &str, to: &Node, times: usize) {
        let line = format!("{filter} -> {}", to.name);
        until(&format!("{} routes {line} {times} times", self.name), || {
            self.ctl(&["routes", "list"]).out.lines().filter(|l| *l == line).count() == times
        });
    }

    /// The topics of retained messages that clients published, sorted.
    pub fn retained(&self) -> Vec<String> {
        let said = self.ctl(&["retainer", "topics"]);
        let mut topics: Vec<String> = said
            .ok()
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with("$SYS/"))
            .map(str::to_owned)
            .collect();
        topics.sort();
        topics
    }

    /// Waits until this node routes `filter` nowhere.
    pub fn routes_nowhere(&self, filter: &str) {
        let start = format!("{filter} -> ");
        until(&format!("{} routes {filter} nowhere", self.name), || {
            !self.ctl(&["routes", "list"]).out.lines().any(|l| l.starts_with(&start))
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        // A node that was started as a daemon tells its pid itself.
        let said = self.command("emqx").arg("pid").output();
        if let Some(pid) =
            said.ok().and_then(|o| String::from_utf8(o.stdout).ok()?.trim().parse::<u32>().ok())
        {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        if std::thread::panicking() {
            eprintln!("---- {} ({})\n{}", self.name, self.root.display(), tail(&self.said(), 40));
        } else {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the node's directory can be written");
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("a directory can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("an entry has a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}

/// A name as the status prints it: bare when it is a bare word, else in single quotes.
pub fn quoted(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
    if bare { name.into() } else { format!("'{name}'") }
}

fn names(nodes: &[&Node]) -> String {
    let mut names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
    names.sort_unstable();
    names.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(",")
}

/// The status text with these nodes.
pub fn status_line(running: &[&Node], stopped: &[&Node]) -> String {
    if stopped.is_empty() {
        format!("Cluster status: [{{running_nodes,[{}]}}]", names(running))
    } else {
        let stopped = names(stopped);
        format!("Cluster status: [{{running_nodes,[{}]}},\n {{stopped_nodes,[{stopped}]}}]", names(running))
    }
}

/// `n` nodes that run and are one cluster.
pub fn cluster(n: usize) -> Vec<Node> {
    cluster_with(n, |_| {})
}

/// As `cluster`, each node set up by `set`.
pub fn cluster_with(n: usize, set: impl Fn(&Node)) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..n).map(|_| Node::new()).collect();
    for node in &mut nodes {
        set(node);
        node.start();
    }
    for node in &nodes[1..] {
        node.join(&nodes[0]);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    for node in &nodes {
        node.sees(&all, &[]);
    }
    nodes
}
