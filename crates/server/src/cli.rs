//! The command line: `bin/emqx` with its commands, and `bin/emqx_ctl`, which is the same program under another name.
//!
//! The installation is the directory above the one that holds the program, so a copy of the directory is another node.

mod lock;
mod ready;
mod serve;
mod texts;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use ready::{Ready, StartError};
pub use texts::{ulimit_warning, without_effect};

use crate::ctl;
use crate::settings::{self, Environment, Settings};

/// What the product is called.
pub const PRODUCT: &str = "FlockMQ";

/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The node itself: it serves until it is told to end, and says on the way when it is ready.
pub type Node = fn(Settings, Ready) -> Result<(), StartError>;

const NOT_RUNNING_YET: &str = "The node is just starting or ending; try again";

/// Where this program is installed, and with which variables it was called.
#[derive(Debug, Clone)]
struct Install {
    root: PathBuf,
    environment: Environment,
    /// By the settings, however wrong the rest of them may be.
    node_name: String,
    data_dir: PathBuf,
}

impl Install {
    fn of_process() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let root = program.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned();
        let environment = Environment::of_process();
        let (node_name, data_dir) = settings::whereabouts(&root, &environment);
        Ok(Self { root, environment, node_name, data_dir })
    }

    fn place(&self) -> ctl::Place {
        ctl::Place { data_dir: self.data_dir.clone(), node: self.node_name.clone() }
    }

    fn not_responding(&self) -> String {
        format!("Node {} not responding to pings.", crate::term::quote_atom(&self.node_name))
    }
}

/// Does what the arguments of this process say. `node` is the node itself.
pub fn main(node: Node) -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    // An argument that is not UTF-8 is no word of ours; it is shown with its bad bytes replaced.
    let words: Vec<String> = arguments.map(|word: OsString| word.to_string_lossy().into_owned()).collect();
    let install = match Install::of_process() {
        Ok(install) => install,
        Err(error) => return fail(&format!("This program cannot be found: {error}")),
    };
    if Path::new(&called).file_name().is_some_and(|name| name == "emqx_ctl") {
        return control(&install, &words);
    }
    let mut words = words.iter().map(String::as_str);
    let Some(command) = words.next() else {
        print!("{}", texts::usage());
        return ExitCode::FAILURE;
    };
    let rest: Vec<String> = words.map(str::to_owned).collect();
    perform(&install, node, command, &rest)
}

fn perform(install: &Install, node: Node, command: &str, rest: &[String]) -> ExitCode {
    if command == "help" || (rest == ["help"] && command != "ctl") {
        print!("{}", texts::usage());
        return ExitCode::SUCCESS;
    }
    // These read the whole configuration and say everything that is wrong with it; the others need the name alone.
    let reads_all = ["start", "restart", "reboot", "console", "foreground", "check_conf", serve::SERVE];
    if !reads_all.contains(&command)
        && let Err(why) = settings::node_name(&install.node_name)
    {
        return fail(&why);
    }
    match command {
        "start" => serve::start(install),
        "console" | "foreground" => serve::foreground(install, node),
        serve::SERVE => serve::background(install, node),
        "stop" => stop(install),
        "restart" | "reboot" => restart(install),
        "ping" if ctl::ping(&install.place()) => say("pong"),
        "pid" => match lock::holder(&install.data_dir).flatten() {
            Some(pid) => say(&pid.to_string()),
            None => fail(&install.not_responding()),
        },
        "ping" => fail(&install.not_responding()),
        "ctl" => control(install, rest),
        "check_conf" => check_conf(install),
        "root_dir" => say(&install.root.display().to_string()),
        "versions" => say(&format!("{PRODUCT} {VERSION}")),
        "upgrade" | "downgrade" | "install" | "unpack" | "uninstall" if rest.is_empty() => {
            println!("Missing version argument");
            println!("Usage: emqx {command} {{version}}");
            ExitCode::FAILURE
        }
        "upgrade" | "downgrade" | "install" | "unpack" | "uninstall" => fail(
            "There are no release packages: put the new program in the place of bin/emqx and restart the node",
        ),
        "attach" | "remote_console" | "eval" | "rpc" | "rpcterms" if !ctl::ping(&install.place()) => {
            fail("Node is not running!")
        }
        "attach" | "remote_console" | "eval" | "rpc" | "rpcterms" | "escript" | "ertspath" => {
            fail(&format!("{command}: there is no Erlang virtual machine here; use emqx ctl"))
        }
        _ => {
            print!("{}", texts::usage());
            ExitCode::FAILURE
        }
    }
}

fn stop(install: &Install) -> ExitCode {
    match serve::stop(install) {
        Ok(()) => say("ok"),
        Err(why) => fail(&why),
    }
}

fn restart(install: &Install) -> ExitCode {
    // A configuration that the node would refuse must not cost the one that runs.
    if let Err(problems) = settings::load(&install.root, &install.environment) {
        return fail(&problems.to_string());
    }
    match serve::stop(install) {
        Ok(()) => println!("{PRODUCT} {VERSION} is stopped: ok"),
        Err(why) if lock::holder(&install.data_dir).is_some() => return fail(&why),
        Err(why) => eprintln!("{why}"),
    }
    serve::start(install)
}

fn check_conf(install: &Install) -> ExitCode {
    match settings::load(&install.root, &install.environment) {
        Ok(settings) => {
            println!("{}", texts::conf_is_ok(&settings));
            for line in texts::without_effect(&settings.values, |key| settings.matters(key)) {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(problems) => fail(&problems.to_string()),
    }
}

fn control(install: &Install, words: &[String]) -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    ExitCode::from(ctl::run(words, &install.place(), &mut out, &mut err))
}

fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}
