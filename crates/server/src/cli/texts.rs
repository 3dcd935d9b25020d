//! Texts of `bin/emqx` that are longer than a line, and what is said about settings.

use std::path::Path;

use super::{PRODUCT, VERSION};
use crate::settings::{Effect, Settings, Values};

/// What `emqx` without a command says.
pub(super) fn usage() -> String {
    format!(
        "{PRODUCT} {VERSION}\n\
         Usage: emqx COMMAND [ARGUMENTS]\n\n  \
         start         start the node in the background; returns when it serves\n  \
         stop          stop the node\n  \
         restart       stop it and start it again\n  \
         console       run the node in this terminal\n  \
         foreground    the same, for containers and service managers\n  \
         ping          say pong if the node answers\n  \
         pid           print the process id of the node\n  \
         ctl           administer the node, as bin/emqx_ctl does: emqx ctl help\n  \
         check_conf    check etc/emqx.conf and etc/plugins/*.conf, and say which settings have no effect\n  \
         root_dir      print the directory of the installation\n  \
         versions      print the version\n  \
         help          print this text\n"
    )
}

/// The framed warning about the cookie everybody knows.
pub(super) fn default_cookie(root: &Path) -> String {
    format!(
        "!!!!!!\n\
         WARNING: Default (insecure) Erlang cookie is in use.\n         \
         Configure node.cookie in {}/etc/emqx.conf or override from environment variable EMQX_NODE_COOKIE\n         \
         Use the same config value for all nodes in the cluster.\n\
         !!!!!!",
        root.display()
    )
}

/// What is said when so few files may be open; `None` when there is nothing to say.
pub fn ulimit_warning(files_max: u64) -> Option<String> {
    (files_max < 1024)
        .then(|| format!("!!!! WARNING: ulimit -n is {files_max}; 1024 is the recommended minimum."))
}

/// What is said when a start takes too long.
pub(super) fn too_long(seconds: u64, log_dir: &Path) -> String {
    format!(
        "{PRODUCT} {VERSION} failed to start within {seconds} seconds,\n\
         see the output of 'emqx console' for more information.\n\
         If you want to increase the startup timeout, set the environment variable WAIT_FOR_ERLANG.\n\
         The log is in {}.",
        log_dir.display()
    )
}

/// `etc/emqx.conf is ok`, and what it includes.
pub(super) fn conf_is_ok(settings: &Settings) -> String {
    let included = settings.files.get(1..).unwrap_or_default();
    let include =
        if included.is_empty() { String::new() } else { format!("(include {})", included.join(" ")) };
    format!("{}{include} is ok", settings.root.join("etc/emqx.conf").display())
}

/// A line for each reason why settings have no effect, with the keys that `concerned` picks.
pub fn without_effect(values: &Values, concerned: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (effect, keys) in values.without_effect() {
        let keys: Vec<&str> = keys.into_iter().filter(|key| concerned(key)).collect();
        if keys.is_empty() {
            continue;
        }
        let keys = keys.join(", ");
        match effect {
            Effect::Works => {}
            Effect::NoEffect(why) => lines.push(format!("No effect here: {keys}: {why}.")),
            Effect::Later(why) => lines.push(format!("Not yet in effect: {keys}: {why}.")),
        }
    }
    lines
}
