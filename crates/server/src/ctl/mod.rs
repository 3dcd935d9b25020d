//! `emqx_ctl`: the words that EMQ X 4.4 users type, turned into requests to the node's REST API over the Unix socket in its
//! data directory, and the answers into the texts that they know. It decides nothing by itself: whatever it does anybody
//! can do over that API. One table below says which commands there are; usage and matching both come from it.
//!
//! With `--json` as the last word there is one JSON document on stdout instead: the answer's data, or an object with `error`
//! and `message`.

mod access;
mod broker;
mod clients;
mod cluster;
mod link;
mod log;
mod term;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use link::Link;

pub use term::atom;

/// Where the node is that is meant.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its data directory, which holds the socket.
    pub data_dir: PathBuf,
    /// Its name by the settings; only said when no node answers.
    pub node: String,
}

/// One row of the table of commands.
struct Command {
    /// The words; one in angle brackets stands for any word.
    words: &'static str,
    /// What it does, as the usage says; empty: not in the usage.
    does: &'static str,
    run: fn(&mut Call<'_>) -> Outcome,
}

macro_rules! table {
    ($($words:literal => $run:expr, $does:literal;)*) => {
        &[$(Command { words: $words, does: $does, run: $run }),*]
    };
}

/// Every command there is, in the order of the usage. Words and descriptions of those that 4.4 has are 4.4's.
static COMMANDS: &[Command] = table! {
    "status" => broker::status, "Show broker status";
    "broker" => broker::broker, "Show broker version, uptime and description";
    "broker stats" => broker::stats, "Show broker statistics of clients, topics, subscribers";
    "broker metrics" => broker::metrics, "Show broker metrics";
    "cluster join <Node>" => cluster::join, "Join the cluster";
    "cluster leave" => cluster::leave, "Leave the cluster";
    "cluster force-leave <Node>" => cluster::force_leave, "Force the node leave from cluster";
    "cluster status" => cluster::status, "Cluster status";
    "cluster join <Node> --dry-run" => cluster::join_plan, "Show what a join would do, and do nothing";
    "cluster join --dry-run <Node>" => cluster::join_plan, "";
    "cluster doctor" => cluster::doctor, "Examine the way to every member";
    "cluster doctor <Node>" => cluster::doctor, "Examine the way to a node, member or not";
    "cluster discovery" => cluster::discovery, "Show whether automatic discovery acts";
    "cluster discovery on" => cluster::discovery_on, "Let automatic discovery act (again)";
    "cluster discovery off" => cluster::discovery_off, "Let automatic discovery rest";
    "cluster heal" => cluster::heal, "Merge the sides of a partition when autoheal is off";
    "clients list" => clients::list, "List all clients";
    "clients show <ClientId>" => clients::show, "Show a client";
    "clients kick <ClientId>" => clients::kick, "Kick out a client";
    "routes list" => clients::routes, "List all routes";
    "routes show <Topic>" => clients::routes, "Show a route";
    "subscriptions list" => clients::subscriptions, "List all subscriptions";
    "subscriptions show <ClientId>" => clients::subscriptions_of, "Show subscriptions of a client";
    "subscriptions add <ClientId> <Topic> <QoS>" => clients::subscribe, "Add a static subscription manually";
    "subscriptions del <ClientId> <Topic>" => clients::unsubscribe, "Delete a static subscription manually";
    "topics list" => clients::routes, "List all topics";
    "topics show <Topic>" => clients::routes, "Show a topic";
    "banned list" => access::banned, "List the banned";
    "banned add <As> <Who>" => access::ban, "Ban a clientid, username or peerhost for good";
    "banned add <As> <Who> <Seconds>" => access::ban, "Ban a clientid, username or peerhost for a while";
    "banned del <As> <Who>" => access::unban, "End a ban";
    "users list" => |call| access::list_users(call, access::USERNAMES), "List username auth rules";
    "users add <Username> <Password>" => |call| access::add_user(call, access::USERNAMES), "Add username auth rule";
    "users update <Username> <NewPassword>" => |call| access::update_user(call, access::USERNAMES), "Update username auth rule";
    "users del <Username>" => |call| access::delete_user(call, access::USERNAMES), "Delete username auth rule";
    "users import <File>" => access::import, "Import users and acls of an export of EMQ X 4.4";
    "user list" => |call| access::list_users(call, access::USERNAMES), "List username auth rules";
    "user add <Username> <Password>" => |call| access::add_user(call, access::USERNAMES), "Add username auth rule";
    "user update <Username> <NewPassword>" => |call| access::update_user(call, access::USERNAMES), "Update username auth rule";
    "user delete <Username>" => |call| access::delete_user(call, access::USERNAMES), "Delete username auth rule";
    "user del <Username>" => |call| access::delete_user(call, access::USERNAMES), "";
    "clientid list" => |call| access::list_users(call, access::CLIENT_IDS), "List clientid auth rules";
    "clientid add <ClientId> <Password>" => |call| access::add_user(call, access::CLIENT_IDS), "Add clientid auth rule";
    "clientid update <ClientId> <NewPassword>" => |call| access::update_user(call, access::CLIENT_IDS), "Update clientid auth rule";
    "clientid delete <ClientId>" => |call| access::delete_user(call, access::CLIENT_IDS), "Delete clientid auth rule";
    "clientid del <ClientId>" => |call| access::delete_user(call, access::CLIENT_IDS), "";
    "acl list" => |call| access::rights(call, ""), "List all acls";
    "acl list clientid" => |call| access::rights(call, "/clientid"), "List clientid acls";
    "acl list username" => |call| access::rights(call, "/username"), "List username acls";
    "acl list _all" => |call| access::rights(call, "/$all"), "List $all acls";
    "acl show clientid <Clientid>" => |call| access::rights_of(call, "clientid"), "Lookup clientid acl detail";
    "acl show username <Username>" => |call| access::rights_of(call, "username"), "Lookup username acl detail";
    "acl add clientid <Clientid> <Topic> <Action> <Access>" => |call| access::give(call, Some("clientid")), "Add clientid acl";
    "acl add username <Username> <Topic> <Action> <Access>" => |call| access::give(call, Some("username")), "Add username acl";
    "acl add _all <Topic> <Action> <Access>" => |call| access::give(call, None), "Add $all acl";
    "acl del clientid <Clientid> <Topic>" => |call| access::take_back(call, "clientid"), "Delete clientid acl";
    "acl del username <Username> <Topic>" => |call| access::take_back(call, "username"), "Delete username acl";
    "acl del _all <Topic>" => |call| access::take_back(call, "$all"), "Delete $all acl";
    "acl cache-clean all" => access::clean_cache, "Clears acl cache on all nodes";
    "acl cache-clean node <Node>" => access::clean_cache_of_node, "Clears acl cache on given node";
    "acl cache-clean <ClientId>" => access::clean_cache_of_client, "Clears acl cache for given client";
    "modules list" => access::modules, "Show loaded modules";
    "modules reload <Module>" => access::reload_module, "Reload module";
    "listeners" => broker::listeners, "List listeners";
    "listeners start <Identifier>" => broker::start_listener, "Start a listener that was stopped";
    "listeners stop <Identifier>" => broker::stop_listener, "Stop a listener; its clients stay";
    "listeners restart <Identifier>" => broker::restart_listener, "Restart a listener; its clients stay";
    "pem_cache clean all" => broker::reread_certificates, "Clears x509 certificate cache on all nodes";
    "pem_cache clean node <Node>" => broker::reread_certificates_of_node, "Clears x509 certificate cache on given node";
    "vm" => broker::vm, "";
    "vm all" => broker::vm, "Show info of Erlang VM";
    "vm load" => broker::vm_load, "Show load of Erlang VM";
    "vm memory" => broker::vm_memory, "Show memory of Erlang VM";
    "vm process" => broker::vm_process, "Show process of Erlang VM";
    "vm io" => broker::vm_io, "Show IO of Erlang VM";
    "vm ports" => broker::vm_ports, "Show Ports of Erlang VM";
    "log set-level <Level>" => log::set_level, "Set the overall log level";
    "log primary-level" => log::primary_level, "Show the primary log level now";
    "log primary-level <Level>" => log::set_primary_level, "Set the primary log level";
    "log handlers list" => log::handlers, "Show log handlers";
    "log handlers start <HandlerId>" => log::start_handler, "Start a log handler";
    "log handlers stop  <HandlerId>" => log::stop_handler, "Stop a log handler";
    "log handlers set-level <HandlerId> <Level>" => log::set_handler_level, "Set log level of a log handler";
    "retainer info" => broker::retainer, "Show the count of retained messages";
    "retainer topics" => broker::retained_topics, "Show all topics of retained messages";
    "retainer clean" => broker::clean_retained, "Clean all retained messages";
    "retainer clean <Topic>" => broker::clean_retained, "Clean retained messages by the specified topic filter";
};

/// How a command ended.
type Outcome = Result<(), Failure>;

/// Why a command did not succeed. All of them end with exit state 1.
#[derive(Debug)]
enum Failure {
    /// Said on stdout, as 4.4 does.
    Told(Box<Told>),
    /// The node refused, in a way that the command has no words of its own for.
    Refused(Refused),
    /// No node runs there.
    NotRunning,
    /// A node runs there, but is another user's.
    Denied(PathBuf),
    /// A node runs there, and does not answer.
    Silent,
    /// The conversation broke off.
    Broken(String),
    /// The output cannot be written.
    Output(io::Error),
}

/// A failure with its 4.4 text.
#[derive(Debug)]
struct Told {
    error: String,
    message: String,
    /// The whole text, to the last newline.
    text: String,
    node: Option<String>,
    /// What is in the JSON document besides.
    more: Option<(&'static str, Value)>,
}

/// What the API answers when it refuses.
#[derive(Debug, serde::Deserialize)]
struct Refused {
    error: String,
    message: String,
    node: Option<String>,
}

impl Failure {
    fn told(error: &str, message: &str, text: impl Into<String>) -> Failure {
        Failure::Told(Box::new(Told {
            error: error.into(),
            message: message.into(),
            text: text.into(),
            node: None,
            more: None,
        }))
    }

    fn not_found() -> Failure {
        Failure::told("not_found", "Not Found.", "Not Found.\n")
    }
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Failure {
        Failure::Output(why)
    }
}

/// One command under way.
struct Call<'a> {
    /// The words that stood for those in angle brackets.
    args: Vec<&'a str>,
    link: Link,
    json: bool,
    out: &'a mut dyn Write,
}

impl Call<'_> {
    /// The n-th word in angle brackets; the empty string when this form of the command has none.
    fn arg(&self, n: usize) -> String {
        self.args.get(n).copied().unwrap_or_default().to_owned()
    }

    /// Ends a command with its text, or with its document.
    fn say<T: Serialize>(&mut self, document: &T, text: impl AsRef<str>) -> Outcome {
        if self.json {
            serde_json::to_writer(&mut self.out, document).map_err(io::Error::from)?;
            self.out.write_all(b"\n")?;
        } else {
            self.out.write_all(text.as_ref().as_bytes())?;
        }
        Ok(())
    }

    /// Prints a list of any length, a line an item, while it arrives page by page. Returns how many there were.
    fn list(
        &mut self,
        path: &str,
        line: impl Fn(&Value) -> Result<String, Failure>,
    ) -> Result<usize, Failure> {
        let (out, json) = (&mut *self.out, self.json);
        let mut count = 0;
        // Nothing is written before the first page has come: a failure then is a document of its own.
        self.link.pages(path, &mut |item| {
            if json {
                out.write_all(if count == 0 { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, &item).map_err(io::Error::from)?;
            } else {
                out.write_all(line(&item)?.as_bytes())?;
            }
            count += 1;
            Ok(())
        })?;
        if json {
            out.write_all(if count == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        Ok(count)
    }
}

/// Runs one command and returns the exit state: 0 for success, for `Ignore.` and for a usage that was asked for or that
/// corrects the words after a known first one; 1 for everything else.
pub fn run(words: &[String], place: &Place, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    let json = words.pop_if(|last| *last == "--json").is_some();
    let outcome = attempt(&words, place, json, out);
    match outcome.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => 0,
        Err(failure) => {
            // Where even this cannot be said the exit state still says it.
            let _ = explain(failure, place, json, out, err);
            1
        }
    }
}

/// Whether the node answers.
pub fn ping(place: &Place) -> bool {
    Link::new(place).text("/status").is_ok()
}

fn attempt(words: &[&str], place: &Place, json: bool, out: &mut dyn Write) -> Outcome {
    let Some(first) =
        words.first().filter(|first| !["help", "--help", "-h"].contains(*first) || words.len() > 1)
    else {
        return usage(None, json, out);
    };
    for command in COMMANDS {
        if let Some(args) = command.matches(words) {
            let mut call = Call { args, link: Link::new(place), json, out };
            return (command.run)(&mut call);
        }
    }
    if COMMANDS.iter().any(|command| command.first_word() == *first) {
        return usage(Some(first), json, out);
    }
    let mut text = Vec::new();
    usage(None, false, &mut text)?;
    let message = format!("there is no command {first}");
    Err(Failure::told("unknown_command", &message, String::from_utf8_lossy(&text)))
}

impl Command {
    fn first_word(&self) -> &'static str {
        self.words.split(' ').next().unwrap_or_default()
    }

    /// The words that stand for those in angle brackets, if all the others are the same.
    fn matches<'a>(&self, words: &[&'a str]) -> Option<Vec<&'a str>> {
        let pattern: Vec<&str> = self.words.split_whitespace().collect();
        if pattern.len() != words.len() {
            return None;
        }
        let mut args = Vec::new();
        for (expected, word) in pattern.into_iter().zip(words) {
            match expected.starts_with('<') {
                // A flag is never taken for a name.
                true if word.starts_with("--") => return None,
                true => args.push(*word),
                false if expected == *word => {}
                false => return None,
            }
        }
        Some(args)
    }
}

/// The usage of one first word, or of all.
fn usage(first: Option<&str>, json: bool, out: &mut dyn Write) -> Outcome {
    let rows = COMMANDS.iter().filter(|command| !command.does.is_empty());
    let rows = rows.filter(|command| first.is_none_or(|word| word == command.first_word()));
    if json {
        let rows: Vec<Value> =
            rows.map(|row| json!({"command": row.words, "description": row.does})).collect();
        serde_json::to_writer(&mut *out, &json!({"usage": rows})).map_err(io::Error::from)?;
        return Ok(out.write_all(b"\n")?);
    }
    if first.is_none() {
        writeln!(out, "Usage: emqx_ctl")?;
    }
    let mut group = first.unwrap_or_default();
    for row in rows {
        if row.first_word() != group {
            group = row.first_word();
            writeln!(out, "{:-<110}", "")?;
        }
        writeln!(out, "{:<70}# {}", row.words, row.does)?;
    }
    Ok(())
}

/// Says why a command failed: in 4.4's places, or as one document.
fn explain(
    failure: Failure,
    place: &Place,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let node = atom(&place.node);
    let (told, to_stderr) = match failure {
        // Whoever closed the pipe has read what they wanted; there is nobody to tell.
        Failure::Output(why) if why.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Failure::Output(why) => return writeln!(err, "The output cannot be written: {why}"),
        Failure::Told(told) => (*told, false),
        Failure::Refused(Refused { error, message, node }) => {
            let text = format!("Error: {}\n", term::plain(&message));
            (Told { error, message, text, node, more: None }, false)
        }
        Failure::NotRunning => {
            let message = format!("Node {node} not responding to pings.");
            let text = format!("{message}\nERROR: node_is_not_running!\n");
            (Told { error: "node_is_not_running".into(), message, text, node: None, more: None }, true)
        }
        Failure::Denied(path) => {
            let message = format!(
                "{} cannot be opened: only the user that runs the node may control it",
                path.display()
            );
            (
                Told {
                    error: "permission_denied".into(),
                    text: format!("{message}\n"),
                    message,
                    node: None,
                    more: None,
                },
                true,
            )
        }
        Failure::Silent => (broken(&node, "timeout"), true),
        Failure::Broken(why) => (broken(&node, &why), true),
    };
    if !json {
        let stream: &mut dyn Write = if to_stderr { &mut *err } else { &mut *out };
        stream.write_all(told.text.as_bytes())?;
        return stream.flush();
    }
    let mut document = json!({"error": told.error, "message": told.message});
    if let Some(node) = told.node {
        document["node"] = Value::String(node);
    }
    if let Some((name, value)) = told.more {
        document[name] = value;
    }
    writeln!(out, "{document}")?;
    out.flush()
}

fn broken(node: &str, why: &str) -> Told {
    let message = format!("RPC to {node} failed: {why}");
    Told { error: "rpc_failed".into(), text: format!("{message}\n"), message, node: None, more: None }
}
