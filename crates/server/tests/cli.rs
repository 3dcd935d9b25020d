//! `bin/emqx` as a program: a copy of this test is installed under that name, with a node that only answers `/status`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use server::cli::{Ready, StartError};
use server::settings::Settings;

fn main() -> ExitCode {
    let program = std::env::current_exe().expect("a process knows its program");
    if program.file_name().is_some_and(|name| name == "emqx") {
        return server::cli::main(node);
    }
    let tests: &[(&str, fn())] = &[
        ("a_node_starts_answers_and_stops", a_node_starts_answers_and_stops),
        ("a_start_that_fails_says_why_at_once", a_start_that_fails_says_why_at_once),
        ("a_node_in_the_foreground_speaks_on_the_console", a_node_in_the_foreground_speaks_on_the_console),
        ("words_without_a_node", words_without_a_node),
        ("a_configuration_is_checked", a_configuration_is_checked),
        ("an_installation_may_lie_deep", an_installation_may_lie_deep),
    ];
    // What `cargo nextest` asks first; nothing here is ignored.
    if std::env::args().any(|word| word == "--list") {
        if !std::env::args().any(|word| word == "--ignored") {
            tests.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&wanted)) {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// A node as the command line sees it: `fail@…` does not start, the others serve until SIGTERM.
fn node(settings: Settings, ready: Ready) -> Result<(), StartError> {
    if settings.node.short_name() == "fail" {
        return Err(StartError("port 4370 is in use".to_owned()));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .expect("signals can be caught");
        let status = format!("{{\"node\":\"{}\"}}", settings.node.name);
        let router = axum::Router::new().route("/status", axum::routing::get(|| async { status }));
        let socket = settings.node.data_dir.join("ctl.sock");
        let listener = bind(&socket);
        let path = axum::Router::new().merge(router);
        ready.say("Start mqtt:tcp:external listener on 0.0.0.0:1883 successfully.");
        ready.ready();
        tokio::select! {
            _ = axum::serve(listener, path) => {}
            _ = ended.recv() => {}
        }
        let _ = fs::remove_file(socket);
    });
    Ok(())
}

/// A long path is bound through the working directory, which the command line has made the root.
fn bind(socket: &Path) -> tokio::net::UnixListener {
    let short = socket
        .strip_prefix(std::env::current_dir().expect("a working directory"))
        .expect("data is under the root");
    tokio::net::UnixListener::bind(short).expect("the socket can be bound")
}

struct Installation {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Installation {
    fn new(below: &str, conf: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let root = dir.path().join(below).join("emqx");
        for part in ["bin", "etc"] {
            fs::create_dir_all(root.join(part)).expect("a directory can be made");
        }
        fs::copy(std::env::current_exe().expect("a program"), root.join("bin/emqx"))
            .expect("a program can be copied");
        std::os::unix::fs::symlink("emqx", root.join("bin/emqx_ctl")).expect("a link can be made");
        fs::write(root.join("etc/emqx.conf"), conf).expect("a file can be written");
        Self { _dir: dir, root }
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.root.join("bin").join(program));
        command.args(words).current_dir("/");
        for name in ["EMQX_NODE_NAME", "EMQX_NODE_COOKIE", "EMQX_NAME", "EMQX_HOST"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, words: &[&str]) -> (i32, String, String) {
        texts(self.command("emqx", words).output().expect("the program can be run"))
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = self.command("emqx", &["stop"]).output();
    }
}

fn texts(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program speaks UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

const CONF: &str =
    "node.name = emqx@127.0.0.1\nnode.cookie = secret\nnode.data_dir = data\nlog.level = info\n";

fn a_node_starts_answers_and_stops() {
    let version = server::cli::VERSION;
    let install = Installation::new("", CONF);
    let refused = "Node 'emqx@127.0.0.1' not responding to pings.\n";
    assert_eq!(install.run(&["ping"]), (1, String::new(), refused.to_owned()));
    assert_eq!(install.run(&["stop"]), (1, String::new(), refused.to_owned()));
    assert_eq!(install.run(&["pid"]), (1, String::new(), refused.to_owned()));
    let began = Instant::now();
    assert_eq!(
        install.run(&["start"]),
        (0, format!("FlockMQ {version} is started successfully!\n"), String::new())
    );
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(install.run(&["ping"]), (0, "pong\n".into(), String::new()));
    let (code, pid, _) = install.run(&["pid"]);
    assert_eq!((code, pid.trim().parse::<u32>().is_ok()), (0, true));
    assert_eq!(install.run(&["start"]), (1, String::new(), "Node is already running!\n".to_owned()));
    let (code, out, _) = install.run(&["restart"]);
    assert_eq!(
        (code, out),
        (0, format!("FlockMQ {version} is stopped: ok\nFlockMQ {version} is started successfully!\n"))
    );
    assert_ne!(install.run(&["pid"]).1, pid);
    // Files that have been spoilt since do not keep the node from being found and stopped.
    fs::write(install.root.join("etc/emqx.conf"), "cluster.autoheal = perhaps\n")
        .expect("a file can be written");
    assert_eq!(install.run(&["restart"]).0, 1);
    assert_eq!(install.run(&["ping"]).0, 0);
    assert_eq!(install.run(&["stop"]), (0, "ok\n".into(), String::new()));
    assert_eq!(install.run(&["ping"]).0, 1);
    let log = fs::read_to_string(install.root.join("log/emqx.log.1")).expect("there is a log");
    assert!(log.contains(" [info] server::cli::serve: the node starts, node=emqx@127.0.0.1"), "{log}");
    assert!(install.root.join("etc/certs/key.pem").exists());
}

fn a_start_that_fails_says_why_at_once() {
    let failing = |conf: &str, variables: &[(&str, &str)]| {
        let install = Installation::new("", conf);
        let began = Instant::now();
        let output = install.command("emqx", &["start"]).envs(variables.iter().copied()).output();
        let (code, out, err) = texts(output.expect("the program can be run"));
        assert!(began.elapsed() < Duration::from_secs(3));
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        err
    };
    let err = failing(CONF, &[("EMQX_NODE_NAME", "fail@127.0.0.1")]);
    assert_eq!(err, "port 4370 is in use\n");
    let err = failing("cluster.bogus = 1\ncluster.autoheal = true\n", &[]);
    assert!(
        err.contains("tried to set cluster.bogus") && err.contains("acceptable values are: on, off"),
        "{err}"
    );
    let err = failing(CONF, &[("EMQX_NODE_NAME", "em!qx@127.0.0.1")]);
    assert!(err.contains("Invalid node name, should be of format '^[0-9A-Za-z_-]+$'."), "{err}");
    let err = failing(&format!("{CONF}log.dir = /proc/none\n"), &[]);
    assert!(err.contains("/proc/none"), "{err}");
    // Somebody else has the data directory.
    let install = Installation::new("", CONF);
    fs::create_dir_all(install.root.join("data")).expect("a directory can be made");
    let lock = fs::File::create(install.root.join("data/lock")).expect("a file can be made");
    lock.lock().expect("a file can be locked");
    let (code, _, err) = install.run(&["start"]);
    assert_eq!(code, 1);
    assert!(err.contains("data is in use by another process"), "{err}");
}

fn a_node_in_the_foreground_speaks_on_the_console() {
    let install = Installation::new("", "node.name = emqx@127.0.0.1\n");
    let mut child = install
        .command("emqx", &["foreground"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program can be run");
    let mut out = child.stdout.take().expect("there is a pipe");
    let mut heard = String::new();
    let mut piece = [0; 256];
    while !heard.contains("is running now!") {
        let n = out.read(&mut piece).expect("the pipe can be read");
        assert!(n > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    assert!(
        heard.starts_with("Starting emqx on node emqx@127.0.0.1\nStart mqtt:tcp:external listener on "),
        "{heard}"
    );
    assert_eq!(install.run(&["stop"]).0, 0);
    assert!(child.wait().expect("the process ends").success());
    let mut err = String::new();
    child.stderr.take().expect("there is a pipe").read_to_string(&mut err).expect("the pipe can be read");
    assert!(err.starts_with("!!!!!!\nWARNING: Default (insecure) Erlang cookie is in use.\n"), "{err}");
}

fn words_without_a_node() {
    let install = Installation::new("", CONF);
    let (code, out, _) = install.run(&[]);
    assert_eq!((code, out.contains("Usage: emqx COMMAND")), (1, true));
    assert_eq!(install.run(&["help"]).0, 0);
    assert_eq!(install.run(&["start", "help"]).0, 0);
    assert_eq!(install.run(&["nonsense"]).0, 1);
    assert_eq!(install.run(&["root_dir"]), (0, format!("{}\n", install.root.display()), String::new()));
    assert_eq!(
        install.run(&["upgrade"]),
        (1, "Missing version argument\nUsage: emqx upgrade {version}\n".into(), String::new())
    );
    assert_eq!(install.run(&["attach"]), (1, String::new(), "Node is not running!\n".into()));
    for output in [
        install.command("emqx_ctl", &["status"]).output(),
        install.command("emqx", &["ctl", "status"]).output(),
    ] {
        let (code, _, err) = texts(output.expect("the program can be run"));
        assert_eq!(code, 1);
        assert!(err.starts_with("Node 'emqx@127.0.0.1' not responding to pings."), "{err}");
    }
}

fn a_configuration_is_checked() {
    let install = Installation::new("", &format!("{CONF}rpc.mode = sync\ninclude etc/more.conf\n"));
    let mut more = fs::File::create(install.root.join("etc/more.conf")).expect("a file can be made");
    writeln!(more, "node.async_threads = 4").expect("a file can be written");
    let (code, out, _) = install.run(&["check_conf"]);
    let first = format!("{}/etc/emqx.conf(include etc/more.conf) is ok\n", install.root.display());
    assert_eq!(code, 0);
    assert!(out.starts_with(&first), "{out}");
    assert!(
        out.contains("No effect here: node.async_threads: there is no Erlang virtual machine here."),
        "{out}"
    );
    assert!(out.contains("rpc.mode"), "{out}");
    assert!(!out.contains("secret"), "{out}");
}

fn an_installation_may_lie_deep() {
    let install = Installation::new(&"a-rather-long-name/".repeat(9), CONF);
    assert_eq!(install.run(&["start"]).0, 0);
    assert_eq!(install.run(&["ping"]), (0, "pong\n".into(), String::new()));
    assert_eq!(install.run(&["stop"]), (0, "ok\n".into(), String::new()));
}
