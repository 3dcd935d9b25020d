//! Every command against a node that is not there but for its socket: whole outputs, as text and as JSON, and exit states.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{COMMANDS, Place, ping, run};
use crate::api::SOCKET_NAME;
use crate::api::fake::{Fake, Folder, Served, client};
use crate::api::shapes::Client;

struct Bench {
    place: Place,
    fake: Arc<Fake>,
    _served: Served,
    _folder: Folder,
}

fn place(folder: &Folder) -> Place {
    Place { data_dir: folder.0.clone(), node: "emqx@s1.emqx.io".into() }
}

impl Bench {
    fn new(fake: Fake) -> Bench {
        let (folder, fake) = (Folder::new(), Arc::new(fake));
        let served = Served::start(&folder.0, Arc::clone(&fake));
        Bench { place: place(&folder), fake, _served: served, _folder: folder }
    }

    /// Exit state, stdout, stderr.
    fn run(&self, line: &str) -> (u8, String, String) {
        typed(line, &self.place)
    }

    fn json(&self, line: &str) -> (u8, Value) {
        let (state, out, err) = self.run(&format!("{line} --json"));
        assert_eq!(err, "", "{line}");
        assert!(out.ends_with('\n'), "{line}");
        (state, serde_json::from_str(&out).unwrap_or_else(|why| panic!("{line}: {why}: {out}")))
    }
}

fn typed(line: &str, place: &Place) -> (u8, String, String) {
    let words: Vec<String> = line.split(' ').filter(|w| !w.is_empty()).map(|w| w.replace("''", "")).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let state = run(&words, place, &mut out, &mut err);
    (state, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
}

const CLIENT_LINE: &str = "Client(c1, username=joe, peername=127.0.0.1:64826, clean_start=true, keepalive=60, \
    session_expiry_interval=7200, subscriptions=1, inflight=2, awaiting_rel=3, delivered_msgs=4, enqueued_msgs=5, \
    dropped_msgs=6, connected=true, created_at=1582249657001, connected_at=1582249657002)\n";

const GONE_LINE: &str = "Client(gone\\nline, username=undefined, peername=127.0.0.1:64826, clean_start=true, keepalive=60, \
    session_expiry_interval=7200, subscriptions=1, inflight=2, awaiting_rel=3, delivered_msgs=4, enqueued_msgs=5, \
    dropped_msgs=6, connected=false, created_at=1582249657001, connected_at=1582249657002, disconnected_at=1582249658000)\n";

const ACL_LINES: &str = "Acl(username = <<\"joe\">> topic = <<\"t/#\">> action = pubsub access = deny)\n\
    Acl($all topic = <<\"t/#\">> action = pubsub access = deny)\n";

const STATUS_LINE: &str = "Cluster status: [{running_nodes,['emqx@s1.emqx.io','emqx@s2.emqx.io']}]\n";

fn clients() -> Vec<Client> {
    let gone = Client {
        username: None,
        connected: false,
        disconnected_at_ms: Some(1_582_249_658_000),
        ..client("gone\nline")
    };
    vec![client("c1"), gone]
}

#[test]
fn texts_and_exit_states_are_those_of_4_4() {
    let bench = Bench::new(Fake::with_clients(clients()));
    let load =
        "cpu/load1               : 0.25\ncpu/load5               : 0.10\ncpu/load15              : 0.01\n";
    let memory = "memory/total            : 19000000\nmemory/used             : 18000000\n";
    let process = "process/limit           : 63000\nprocess/count           : 5\n";
    let io = "io/max_fds              : 1048576\nio/active_fds           : 12\n";
    let ports = "ports/count             : 3\nports/limit             : 1048576\n";
    let all = [load, memory, process, io, ports].concat();
    let levels = "debug, info, notice, warning, error, critical, alert, emergency";
    let cases: Vec<(&str, u8, String)> = vec![
        ("status", 0, "Node 'emqx@s1.emqx.io' 4.4.19 is started\n".into()),
        (
            "broker",
            0,
            "sysdescr  : FlockMQ\nversion   : 4.4.19\nuptime    : 4 minutes, 52 seconds\ndatetime  : 2020-02-21 09:39:58\n"
                .into(),
        ),
        (
            "broker stats",
            0,
            "a.long.name.of.thirty.letters : 12\nconnections.count             : 1\n".into(),
        ),
        ("broker metrics", 0, "messages.forward              : 7\n".into()),
        ("cluster status", 0, STATUS_LINE.into()),
        ("cluster join emqx@s2.emqx.io", 0, format!("Join the cluster successfully.\n{STATUS_LINE}")),
        ("cluster join emqx@s1.emqx.io", 0, "Ignore.\n".into()),
        ("cluster join emqx", 0, "Ignore.\n".into()),
        ("cluster join emqx@s9.emqx.io", 1, "Failed to join the cluster: {node_down,'emqx@s9.emqx.io'}\n".into()),
        ("cluster join cookie", 1, "Failed to join the cluster: {bad_cookie,'cookie@s1.emqx.io'}\n".into()),
        (
            "cluster join emqx@s2.emqx.io --dry-run",
            0,
            "Nothing has been changed. Joining 'emqx@s2.emqx.io' would\n  leave the cluster with 'emqx@s3.emqx.io'\n  \
             disconnect 12 clients of this node\n  remove 4 sessions and 3 retained messages from this node\n  \
             keep a copy of what is removed under /srv/emqx/data/backup\n"
                .into(),
        ),
        ("cluster join --dry-run emqx@s1.emqx.io", 0, "Ignore.\n".into()),
        ("cluster join x@y --dry-run", 1, "Failed to join the cluster: {node_down,x@y}\n".into()),
        (
            "cluster leave",
            0,
            "Leave the cluster successfully.\nCluster status: [{running_nodes,['emqx@s1.emqx.io']}]\n".into(),
        ),
        (
            "cluster force-leave emqx@s2.emqx.io",
            0,
            format!("Remove the node from cluster successfully.\n{STATUS_LINE}"),
        ),
        ("cluster force-leave emqx@s1.emqx.io", 0, "Ignore.\n".into()),
        (
            "cluster force-leave emqx@s9.emqx.io",
            1,
            "Failed to remove the node from cluster: node_not_in_cluster\n".into(),
        ),
        ("cluster heal", 0, format!("Heal the cluster successfully.\n{STATUS_LINE}")),
        (
            "cluster discovery",
            0,
            "Automatic cluster discovery (static) is on.\nAsked 3 seconds ago: cluster.static.seeds\n  \
             'emqx@s1.emqx.io': this node\n  'emqx@s2.emqx.io': not joined: no answer (node_down)\n  a remark\n"
                .into(),
        ),
        ("cluster discovery off", 0, "Automatic cluster discovery (static) is off.\n".into()),
        ("cluster discovery on", 0, "Automatic cluster discovery (static) is on.\n".into()),
        (
            "cluster doctor",
            0,
            "emqx@s2.emqx.io\n  ok     port            : 10.0.0.2:4370 accepts connections\nNothing is wrong.\n".into(),
        ),
        (
            "cluster doctor emqx@s3.emqx.io",
            1,
            "emqx@s3.emqx.io\n  ok     port            : 10.0.0.2:4370 accepts connections\n  \
             WRONG  cookie          : the cookies differ\n         what to do      : set node.cookie to the same on both\n  \
             -      way back        : not checked, because of the above\n1 of 3 checks found something wrong.\n"
                .into(),
        ),
        ("clients list", 0, format!("{CLIENT_LINE}{GONE_LINE}")),
        ("clients show c1", 0, CLIENT_LINE.into()),
        ("clients show c9", 1, "Not Found.\n".into()),
        ("clients show ''", 1, "Not Found.\n".into()),
        ("clients kick c1", 0, "ok\n".into()),
        ("clients kick c9", 1, "Not Found.\n".into()),
        ("routes list", 0, "t/# -> emqx@s1.emqx.io\nt/# -> emqx@s2.emqx.io\nu -> emqx@s1.emqx.io\n".into()),
        ("routes show t/#", 0, "t/# -> emqx@s1.emqx.io\nt/# -> emqx@s2.emqx.io\n".into()),
        ("routes show none", 0, String::new()),
        ("routes show ''", 0, String::new()),
        ("topics list", 0, "t/# -> emqx@s1.emqx.io\nt/# -> emqx@s2.emqx.io\nu -> emqx@s1.emqx.io\n".into()),
        ("topics show u", 0, "u -> emqx@s1.emqx.io\n".into()),
        ("subscriptions list", 0, "c1 -> t/1\nc1 -> t/2\nc2 -> $share/g/t\n".into()),
        ("subscriptions show c2", 0, "c2 -> $share/g/t\n".into()),
        ("subscriptions show c9", 1, "Not Found.\n".into()),
        ("subscriptions add c1 t/3 1", 0, "ok\n".into()),
        ("subscriptions add c9 t/3 1", 1, "Error: Channel not found!".into()),
        ("subscriptions add c1 t/3 3", 1, "QoS should be 0, 1, 2\n".into()),
        ("subscriptions add c1 t/3 one", 1, "QoS should be 0, 1, 2\n".into()),
        ("subscriptions add c1 '' 1", 1, "Error: that is not a topic filter\n".into()),
        ("subscriptions del c1 t/3", 0, "ok\n".into()),
        ("subscriptions del c9 t/3", 1, "Error: Channel not found!".into()),
        (
            "listeners",
            0,
            "mqtt:tcp:external\n  listen_on       : 0.0.0.0:1883\n  acceptors       : 8\n  max_conns       : 1024000\n  \
             current_conn    : 2\n  shutdown_count  : [{kicked,1},{'tcp closed',2}]\nmqtt:tcp:internal\n  \
             listen_on       : 127.0.0.1:11883\n  acceptors       : 8\n  max_conns       : 1024000\n  \
             current_conn    : 2\n  shutdown_count  : []\n"
                .into(),
        ),
        (
            "banned list",
            0,
            "Banned(clientid=c, by=user, reason=spam, at=2020-02-21 01:47:37, until=infinity)\n".into(),
        ),
        ("banned add clientid c", 0, "ok\n".into()),
        ("banned add peerhost 10.0.0.1 60", 0, "ok\n".into()),
        ("banned add clientid c soon", 1, "Error: SECONDS should be a number from 1\n".into()),
        (
            "banned add host c",
            1,
            "Error: host is none of clientid, username, peerhost\n".into(),
        ),
        ("banned del clientid c", 0, "ok\n".into()),
        ("banned del clientid d", 1, "Not Found.\n".into()),
        ("users list", 0, "joe\n".into()),
        ("users add jim x", 0, "ok\n".into()),
        ("users add joe x", 1, "Error: existed\n".into()),
        ("users update joe x", 0, "ok\n".into()),
        ("users update jim x", 1, "Error: noexisted\n".into()),
        ("users del joe", 0, "ok\n".into()),
        ("users del jim", 1, "Not Found.\n".into()),
        (
            "users import /no/such/file",
            1,
            "Error: /no/such/file cannot be imported: No such file or directory (os error 2)\n".into(),
        ),
        ("user list", 0, "joe\n".into()),
        ("user add jim x", 0, "ok\n".into()),
        ("user update joe x", 0, "ok\n".into()),
        ("user delete joe", 0, "ok\n".into()),
        ("user del joe", 0, "ok\n".into()),
        ("clientid list", 0, "joe\n".into()),
        ("clientid add c x", 0, "ok\n".into()),
        ("clientid update joe x", 0, "ok\n".into()),
        ("clientid delete joe", 0, "ok\n".into()),
        ("clientid del joe", 0, "ok\n".into()),
        ("acl list", 0, ACL_LINES.into()),
        ("acl list clientid", 0, ACL_LINES.into()),
        ("acl list username", 0, ACL_LINES.into()),
        ("acl list _all", 0, ACL_LINES.into()),
        ("acl show clientid c", 0, ACL_LINES.into()),
        ("acl show username joe", 0, ACL_LINES.into()),
        ("acl add clientid c t/# pub allow", 0, "ok\n".into()),
        ("acl add username joe t/# pubsub deny", 0, "ok\n".into()),
        ("acl add _all t/# sub deny", 0, "ok\n".into()),
        ("acl add _all t/# sub perhaps", 1, "Error: Input is illegal\n".into()),
        ("acl add _all t/#/x sub deny", 1, "Error: t/#/x is no topic filter\n".into()),
        ("acl del clientid c t/#", 0, "ok\n".into()),
        ("acl del username joe t/#", 0, "ok\n".into()),
        ("acl del _all t/#", 0, "ok\n".into()),
        ("acl del _all none", 1, "Not Found.\n".into()),
        ("acl cache-clean all", 0, "ACL cache drain start OK\n".into()),
        ("acl cache-clean node self", 0, "ACL cache drain start OK\n".into()),
        ("acl cache-clean c1", 0, "ACL cache drain start OK\n".into()),
        ("acl cache-clean c9", 1, "Not Found.\n".into()),
        ("pem_cache clean all", 0, "PEM cache clean OK\n".into()),
        ("pem_cache clean node self", 0, "PEM cache clean OK\n".into()),
        ("pem_cache clean node a@b", 1, "PEM cache clean FAILED\na@b: cannot use cert.pem\n".into()),
        (
            "modules list",
            0,
            "Module(emqx_mod_acl_internal, description=EMQ X Internal ACL Module, active=true)\n".into(),
        ),
        ("modules reload emqx_mod_acl_internal", 0, "Module emqx_mod_acl_internal reloaded successfully.\n".into()),
        ("modules reload none", 1, "Reload module none error: there is no such module.\n".into()),
        (
            "listeners stop mqtt:tcp:external",
            0,
            "Stop mqtt:tcp:external listener on 0.0.0.0:1883 successfully.\n".into(),
        ),
        (
            "listeners start mqtt:tcp:external",
            0,
            "Start mqtt:tcp:external listener on 0.0.0.0:1883 successfully.\n".into(),
        ),
        (
            "listeners restart mqtt:tcp:external",
            0,
            "Restarted mqtt:tcp:external listener successfully.\n".into(),
        ),
        ("listeners restart mqtt:tcp:none", 1, "No such listener mqtt:tcp:none\n".into()),
        ("retainer info", 0, "retained/total: 3\n".into()),
        ("retainer topics", 0, "a\nb/c\nevil\\x{1B}[2J\\nline\n".into()),
        ("retainer clean", 0, "Cleaned 3 retained messages\n".into()),
        ("retainer clean b/#", 0, "Cleaned 1 retained messages\n".into()),
        ("vm", 0, all.clone()),
        ("vm all", 0, all),
        ("vm load", 0, load.into()),
        ("vm memory", 0, memory.into()),
        ("vm process", 0, process.into()),
        ("vm io", 0, io.into()),
        ("vm ports", 0, ports.into()),
        ("log set-level debug", 0, "debug\n".into()),
        (
            "log set-level loud",
            1,
            format!("[error] set overall log level failed: loud is no level of the log; there are {levels}\n"),
        ),
        ("log primary-level", 0, "warning\n".into()),
        ("log primary-level error", 0, "error\n".into()),
        ("log primary-level x", 1, format!("[error] x is no level of the log; there are {levels}\n")),
        (
            "log handlers list",
            0,
            "LogHandler(id=file, level=warning, destination=log/emqx.log, status=started)\n\
             LogHandler(id=default, level=warning, destination=console, status=started)\n"
                .into(),
        ),
        ("log handlers start file", 0, "log handler file started\n".into()),
        ("log handlers stop file", 0, "log handler file stopped\n".into()),
        (
            "log handlers stop none",
            1,
            "[error] failed to stop log handler none: there is no log handler of that id\n".into(),
        ),
        ("log handlers set-level file debug", 0, "debug\n".into()),
        ("log handlers set-level none debug", 1, "[error] there is no log handler of that id\n".into()),
    ];
    for (line, state, text) in &cases {
        assert_eq!(bench.run(line), (*state, text.clone(), String::new()), "emqx_ctl {line}");
        // With --json the same exit state, one document, and `error` and `message` exactly where it failed.
        let (json_state, document) = bench.json(line);
        assert_eq!(json_state, *state, "emqx_ctl {line} --json: {document}");
        let failed = document["error"].is_string() && document["message"].is_string();
        assert_eq!(failed, *state == 1, "emqx_ctl {line} --json: {document}");
    }
    for command in COMMANDS {
        let covered = cases.iter().any(|(line, ..)| {
            let words: Vec<&str> = line.split(' ').collect();
            command.matches(&words).is_some()
        });
        assert!(covered, "no case for {}", command.words);
    }
}

#[test]
fn documents_have_the_names_of_the_rest_api() {
    let bench = Bench::new(Fake { stopped: vec!["emqx@s3.emqx.io".into()], ..Fake::with_clients(clients()) });
    let (s1, s2) = ("emqx@s1.emqx.io", "emqx@s2.emqx.io");
    let digests = json!({s1: {"routes": "00ff"}});
    let cases = [
        ("status", json!({"node": s1, "node_status": "Running", "version": "4.4.19"})),
        ("broker stats", json!({"a.long.name.of.thirty.letters": 12, "connections.count": 1})),
        (
            "cluster status",
            json!({"running_nodes": [s1, s2], "stopped_nodes": ["emqx@s3.emqx.io"], "digests": digests}),
        ),
        (
            "cluster join emqx@s2.emqx.io",
            json!({"result": "ok", "running_nodes": [s1, s2], "stopped_nodes": ["emqx@s3.emqx.io"], "digests": digests}),
        ),
        ("cluster join emqx", json!({"result": "ignored"})),
        (
            "cluster join emqx@s9.emqx.io",
            json!({
                "error": "node_down",
                "message": "emqx@s9.emqx.io cannot be reached, or does not run",
                "node": "emqx@s9.emqx.io"
            }),
        ),
        (
            "cluster leave",
            json!({"error": "node_not_in_cluster", "message": "this node is not in a cluster with others"}),
        ),
        (
            "cluster join emqx@s2.emqx.io --dry-run",
            json!({
                "node": s2, "leaves": ["emqx@s3.emqx.io"], "clients": 12, "sessions": 4, "retained": 3,
                "backup": "/srv/emqx/data/backup"
            }),
        ),
        ("clients kick c1", json!({"result": "ok"})),
        ("clients kick c9", json!({"error": "not_found", "message": "Not Found."})),
        ("routes show u", json!([{"topic": "u", "node": s1}])),
        ("routes show none", json!([])),
        ("subscriptions show c2", json!([{"node": s1, "topic": "$share/g/t", "clientid": "c2", "qos": 1}])),
        ("subscriptions add c9 t 0", json!({"error": "not_found", "message": "Channel not found!"})),
        ("retainer info", json!({"retained": 3})),
        ("retainer clean", json!({"cleaned": 3})),
        ("vm io", json!({"max_fds": 1_048_576, "active_fds": 12})),
        ("cluster discovery off", json!({"strategy": "static", "enabled": false})),
    ];
    for (line, document) in cases {
        assert_eq!(bench.json(line).1, document, "emqx_ctl {line} --json");
    }
    let (_, list) = bench.json("clients list");
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    assert_eq!((&list[0]["clientid"], &list[0]["subscriptions_cnt"]), (&json!("c1"), &json!(1)));
    assert_eq!(list[1]["clientid"], "gone\nline");
    let (_, found) = bench.json("cluster doctor emqx@s3.emqx.io");
    assert_eq!(
        (&found["checks"][1]["result"], &found["error"]),
        (&json!("wrong"), &json!("something_is_wrong"))
    );
    let status = bench.run("cluster status").1;
    let two = "Cluster status: [{running_nodes,['emqx@s1.emqx.io','emqx@s2.emqx.io']},\n {stopped_nodes,['emqx@s3.emqx.io']}]\n";
    assert_eq!(status, two);
}

#[test]
fn usage_has_the_form_of_4_4() {
    let folder = Folder::new();
    let place = place(&folder);
    let (state, text, err) = typed("cluster", &place);
    assert_eq!((state, err.as_str()), (0, ""));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("{:<70}# Join the cluster", "cluster join <Node>"));
    assert_eq!(lines[1], format!("{:<70}# Leave the cluster", "cluster leave"));
    assert_eq!(lines[2], format!("{:<70}# Force the node leave from cluster", "cluster force-leave <Node>"));
    assert_eq!(lines[3], format!("{:<70}# Cluster status", "cluster status"));
    for line in [
        "cluster help",
        "cluster foo",
        "cluster join",
        "cluster join a b",
        "cluster join --force",
        "cluster status x",
    ] {
        assert_eq!(typed(line, &place), (0, text.clone(), String::new()), "{line}");
    }
    assert_eq!(typed("status now", &place).1, format!("{:<70}# Show broker status\n", "status"));

    let (state, all, _) = typed("", &place);
    assert_eq!(state, 0);
    assert_eq!(typed("help", &place), (0, all.clone(), String::new()));
    assert_eq!(typed("nosuch", &place), (1, all.clone(), String::new()));
    let rule = "-".repeat(110);
    let status = format!("{:<70}# Show broker status", "status");
    assert!(all.starts_with(&format!("Usage: emqx_ctl\n{rule}\n{status}\n{rule}\nbroker ")), "{all}");
    assert_eq!(all.matches(&rule).count(), 18, "one rule before each first word");
    assert!(all.contains(&format!("{rule}\n{text}{rule}\n")));

    let (state, out, _) = typed("nosuch --json", &place);
    let document: Value = serde_json::from_str(&out).expect("a document");
    assert_eq!((state, &document["error"]), (1, &json!("unknown_command")));
    let (state, out, _) = typed("retainer --json", &place);
    let document: Value = serde_json::from_str(&out).expect("a document");
    assert_eq!((state, &document["usage"][0]["command"]), (0, &json!("retainer info")));
}

#[test]
fn a_node_that_does_not_run_is_told_on_stderr() {
    let folder = Folder::new();
    let place = place(&folder);
    let err = "Node 'emqx@s1.emqx.io' not responding to pings.\nERROR: node_is_not_running!\n";
    assert_eq!(typed("cluster status", &place), (1, String::new(), err.into()));
    assert!(!ping(&place));
    // A socket that a killed node left behind.
    drop(std::os::unix::net::UnixListener::bind(folder.0.join(SOCKET_NAME)).expect("a socket"));
    assert_eq!(typed("clients list", &place), (1, String::new(), err.into()));
    let (state, out, err) = typed("clients show c1 --json", &place);
    let document: Value = serde_json::from_str(&out).expect("a document");
    let expected =
        json!({"error": "node_is_not_running", "message": "Node 'emqx@s1.emqx.io' not responding to pings."});
    assert_eq!((state, document, err.as_str()), (1, expected, ""));
    // Nor does a list begin a document that it cannot end.
    let (_, out, _) = typed("clients list --json", &place);
    assert!(serde_json::from_str::<Value>(&out).is_ok_and(|document| document["error"].is_string()), "{out}");
}

#[test]
fn a_node_that_breaks_off_or_talks_nonsense_is_told_on_stderr() {
    for (answer, words) in [
        ("", "the node ended the conversation"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot json!", "the answer is not understood"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{", "the node ended the conversation"),
    ] {
        let folder = Folder::new();
        let listener = std::os::unix::net::UnixListener::bind(folder.0.join(SOCKET_NAME)).expect("a socket");
        let liar = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        });
        let (state, out, err) = typed("cluster leave", &place(&folder));
        assert_eq!((state, out.as_str()), (1, ""));
        assert!(err.starts_with("RPC to 'emqx@s1.emqx.io' failed: ") && err.contains(words), "{err}");
        liar.join().expect("it ends");
    }
}

#[test]
fn a_long_list_comes_page_by_page() {
    let many: Vec<Client> = (0..12_001).map(|n| client(&format!("c{n:05}"))).collect();
    let bench = Bench::new(Fake::with_clients(many));
    let (state, out, _) = bench.run("clients list");
    assert_eq!((state, out.lines().count()), (0, 12_001));
    let first_words = |n: usize| out.lines().nth(n).map(|line| line[..13].to_owned());
    assert_eq!(first_words(5_000).as_deref(), Some("Client(c05000"));
    assert_eq!(first_words(12_000).as_deref(), Some("Client(c12000"));
    let pages: Vec<String> = bench.fake.asked.lock().clone();
    assert_eq!(pages, [1, 2, 3].map(|page| format!("clients Here Everyone {page} 5000")));
    assert_eq!(bench.json("clients list").1.as_array().map(Vec::len), Some(12_001));
}

#[test]
fn a_list_goes_on_when_the_node_hung_up_on_a_connection_that_rested() {
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.0.join(SOCKET_NAME)).expect("a socket");
    let node = std::thread::spawn(move || {
        for (topic, more) in [("a", true), ("b", false)] {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = json!({"code": 0, "data": [topic], "meta": {"hasnext": more}}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes());
        }
    });
    assert_eq!(typed("retainer topics", &place(&folder)), (0, "a\nb\n".into(), String::new()));
    node.join().expect("it ends");
}

#[test]
fn ids_and_topics_of_any_letters_arrive_unchanged() {
    let id = "ä/../%2f?#&;+ \u{1F600}";
    let bench = Bench::new(Fake::with_clients(vec![client(id)]));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["clients", "kick", id].map(str::to_owned);
    assert_eq!(run(&words, &bench.place, &mut out, &mut err), 0);
    let words = ["retainer", "clean", "+/ä/#"].map(str::to_owned);
    assert_eq!(run(&words, &bench.place, &mut out, &mut err), 0);
    assert_eq!(*bench.fake.asked.lock(), [format!("kick Cluster {id}"), "clean Some(\"+/ä/#\")".to_owned()]);
}

#[test]
fn a_data_directory_of_any_depth_will_do() {
    let folder = Folder::new();
    let deep = folder.0.join("d".repeat(200)).join("e".repeat(200));
    std::fs::create_dir_all(&deep).expect("a deep folder");
    let _served = Served::start(&deep, Arc::new(Fake::default()));
    let place = Place { data_dir: deep, node: "emqx@s1.emqx.io".into() };
    assert!(ping(&place));
    assert_eq!(typed("cluster status", &place).1, STATUS_LINE);
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new(Fake::with_clients(clients()));
    let words = ["clients", "list"].map(str::to_owned);
    assert_eq!(run(&words, &bench.place, &mut Closed, &mut Closed), 1);
}

#[test]
fn a_command_takes_milliseconds() {
    let bench = Bench::new(Fake::default());
    let quickest = (0..10).map(|_| {
        let began = Instant::now();
        bench.run("cluster status");
        began.elapsed()
    });
    assert!(quickest.min() < Some(Duration::from_millis(50)));
}

#[test]
fn the_reference_page_is_that_of_the_table() {
    let folder = Folder::new();
    let usage = typed("help", &place(&folder)).1;
    let rows = usage.lines().filter_map(|line| line.split_once('#'));
    let mut page = String::from(
        "# The commands of `emqx_ctl`\n\nMade from the table in `crates/server/src/ctl/mod.rs`; `UPDATE=1` with its test \
         rewrites it.\n\nThe last word may be `--json`: one JSON document on stdout, fields named as in the REST API; a failure \
         is an object with `error` and `message`.\nExit state 0 is success and `Ignore.`; 1 is every failure, `Not Found.` and \
         a `doctor` that found something.\n\n| command | what it does |\n|---|---|\n",
    );
    for (words, does) in rows {
        page.push_str(&format!("| `{}` | {} |\n", words.trim(), does.trim()));
    }
    crate::api::fake::same_as_reference("emqx_ctl.md", &page);
}
