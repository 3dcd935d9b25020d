//! The node as a process: in this terminal, or in the background with somebody who waits for it to serve.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};

use super::lock::{self, LockError};
use super::{Install, NOT_RUNNING_YET, Node, PRODUCT, Ready, StartError, VERSION, texts};
use crate::settings::{self, Secret, Settings};

/// The hidden command of the process in the background.
pub(super) const SERVE: &str = "__serve";

/// Starts the node in the background and returns when it serves, or when it has said why it does not.
pub(super) fn start(install: &Install) -> ExitCode {
    let settings = match settings::load(&install.root, &install.environment) {
        Ok(settings) => settings,
        Err(problems) => return super::fail(&problems.to_string()),
    };
    if let Some(pid) = lock::holder(&settings.node.data_dir) {
        return super::fail(&already_running(&install.place(), pid));
    }
    warn(&settings);
    match launch(install, &settings) {
        Ok(text) if text.trim_end() == "ready" => {
            println!("{PRODUCT} {VERSION} is started successfully!");
            ExitCode::SUCCESS
        }
        Ok(text) => match text.strip_prefix("failed: ") {
            Some(why) => super::fail(why.trim_end()),
            None => super::fail(&format!(
                "{PRODUCT} {VERSION} ended while it started; see {}",
                stderr_path(&settings.log.dir).display()
            )),
        },
        Err(why) => super::fail(&why),
    }
}

/// Somebody else has the data directory: the node itself, most likely.
fn already_running(place: &crate::ctl::Place, pid: Option<u32>) -> String {
    if crate::ctl::ping(place) {
        return "Node is already running!".to_owned();
    }
    in_use(&place.data_dir, pid)
}

fn in_use(data_dir: &Path, pid: Option<u32>) -> String {
    let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("another process (pid {pid})"));
    format!("The data directory {} is in use by {who}", data_dir.display())
}

/// Runs this program again as a process of its own; its standard output is the pipe on which it says whether it serves.
fn launch(install: &Install, settings: &Settings) -> Result<String, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("This program cannot be found: {error}"))?;
    let stderr = open_stderr(&settings.log.dir).map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg(SERVE)
        .current_dir(&install.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("The node's process cannot be started: {error}"))?;
    let mut pipe = child.stdout.take().ok_or("The node's process has no standard output")?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let heard = pipe.read_to_string(&mut text).map(|_| text);
        // Nobody listens any more once the time is up.
        let _ = tell.send(heard);
    });
    let seconds =
        install.environment.variable("WAIT_FOR_ERLANG").and_then(|text| text.parse().ok()).unwrap_or(150);
    match told.recv_timeout(Duration::from_secs(seconds)) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("The node's process cannot be heard: {error}")),
        Err(_) => Err(texts::too_long(seconds, &settings.log.dir)),
    }
}

fn stderr_path(log_dir: &Path) -> PathBuf {
    log_dir.join("stderr.log")
}

fn open_stderr(log_dir: &Path) -> io::Result<File> {
    crate::log::make_dir(log_dir)?;
    let path = stderr_path(log_dir);
    let open = OpenOptions::new().create(true).append(true).open(&path);
    open.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The process in the background. It takes the pipe for itself, so that nothing else is ever written to it.
pub(super) fn background(install: &Install, node: Node) -> ExitCode {
    let pipe = io::stdout().as_fd().try_clone_to_owned();
    let detached = rustix::stdio::dup2_stdout(io::stderr().as_fd());
    // Without a session of its own the node would end with the terminal. It fails only where the process leads a group
    // already, and then there is nothing to leave.
    let _ = rustix::process::setsid();
    let (Ok(pipe), Ok(())) = (pipe, detached) else {
        return super::fail("The standard output of the node's process cannot be used");
    };
    run(install, node, Ready::pipe(File::from(pipe)))
}

/// The node in this terminal.
pub(super) fn foreground(install: &Install, node: Node) -> ExitCode {
    let mut install = install.clone();
    install.environment.or_insert("EMQX_LOG__TO", "console");
    match settings::load(&install.root, &install.environment) {
        Ok(settings) => warn(&settings),
        Err(problems) => return super::fail(&problems.to_string()),
    }
    run(&install, node, Ready::console())
}

/// Says on standard error what the operator should know before the node runs.
fn warn(settings: &Settings) {
    if settings.node.cookie == Secret::new("emqxsecretcookie".to_owned()) {
        eprintln!("{}", texts::default_cookie(&settings.root));
    }
    if let Some(text) = texts::ulimit_warning(raise_open_files()) {
        eprintln!("{text}");
    }
    // What EMQ X distributes was nobody's choice; the log and check_conf list that as well.
    for line in texts::without_effect(&settings.values, |key| !settings.values.is_as_shipped(key)) {
        eprintln!("{line}");
    }
}

/// Lets this process and those it starts open as many files as the system allows, and returns how many that are.
fn raise_open_files() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    now.unwrap_or(u64::MAX)
}

fn run(install: &Install, node: Node, ready: Ready) -> ExitCode {
    match served(install, node, &ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError(why)) => {
            tracing::error!(reason = %why, "the node ends");
            ready.failed(&why);
            super::fail(&why)
        }
    }
}

/// Makes everything ready that the node needs, and hands over to it until it ends.
fn served(install: &Install, node: Node, ready: &Ready) -> Result<(), StartError> {
    let settings = settings::load(&install.root, &install.environment)
        .map_err(|problems| StartError(problems.to_string()))?;
    std::env::set_current_dir(&install.root)
        .map_err(|error| StartError(format!("{}: {error}", install.root.display())))?;
    raise_open_files();
    let data_dir = &settings.node.data_dir;
    let unusable = |error: io::Error| {
        StartError(format!("The data directory {} cannot be used: {error}", data_dir.display()))
    };
    fs::create_dir_all(data_dir).map_err(unusable)?;
    // It stays locked until the process ends, whatever happens on the way out.
    let lock = match lock::take(data_dir) {
        Ok(lock) => lock,
        Err(LockError::Held(pid)) => return Err(StartError(in_use(data_dir, pid))),
        Err(LockError::Io(error)) => return Err(unusable(error)),
    };
    std::mem::forget(lock);
    let log = crate::log::start(&settings.log)
        .map_err(|error| StartError(format!("The log cannot be written: {error}")))?;
    crate::log::log_panics();
    ready.say(&format!("Starting emqx on node {}", settings.node.name));
    tracing::info!(node = %settings.node.name, version = VERSION, "the node starts");
    for line in texts::without_effect(&settings.values, |key| settings.matters(key)) {
        tracing::info!("{line}");
    }
    make_certificates(&settings);
    let ended = node(settings, ready.clone());
    drop(log);
    ended
}

/// A failure is no reason not to start: the listeners that need the files will say so.
fn make_certificates(settings: &Settings) {
    let dir = settings.root.join("etc/certs");
    let host = rustix::system::uname();
    let names = [settings.node.host().to_owned(), host.nodename().to_string_lossy().into_owned()];
    match crate::certs::ensure(&dir, &names) {
        Ok(true) => tracing::info!(dir = %dir.display(), "certificates were made for this installation"),
        Ok(false) => {}
        Err(error) => tracing::warn!(dir = %dir.display(), %error, "certificates could not be made"),
    }
}

/// Asks the running node to end and waits for it.
///
/// # Errors
/// The text for standard error.
pub(super) fn stop(install: &Install) -> Result<(), String> {
    /// The node has ten seconds for its farewells; the rest is for a slow disk.
    const WAIT: Duration = Duration::from_secs(15);
    let place = install.place();
    let Some(pid) = lock::holder(&place.data_dir) else {
        return Err(install.not_responding());
    };
    let pid = pid.ok_or(NOT_RUNNING_YET)?;
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or(NOT_RUNNING_YET)?;
    rustix::process::kill_process(process, rustix::process::Signal::TERM)
        .map_err(|error| format!("Graceful shutdown failed PID=[{pid}]: {error}"))?;
    let give_up = std::time::Instant::now() + WAIT;
    while lock::holder(&place.data_dir) == Some(Some(pid)) {
        if std::time::Instant::now() > give_up {
            println!("ERROR: {pid} is still around");
            return Err(format!("Stop failed, dangling after {} seconds", WAIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
