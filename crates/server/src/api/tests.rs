//! The paths over a real socket, and hostile callers.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{Fake, Folder, Served, client};
use super::{BODY_BYTES_MAX, SOCKET_NAME, connect, endpoints};

fn start(fake: Fake) -> (Folder, Arc<Fake>, Served) {
    let (folder, fake) = (Folder::new(), Arc::new(fake));
    let served = Served::start(&folder.0, Arc::clone(&fake));
    (folder, fake, served)
}

/// Sends bytes, and reads until the node hangs up.
fn raw(folder: &Path, bytes: &[u8]) -> String {
    let mut stream = connect(folder).expect("the node runs");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out can be set");
    // The node may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(folder: &Folder, method: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    let answer = raw(&folder.0, format!("{head}{body}").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.into())))
}

#[test]
fn every_row_of_the_table_answers() {
    let (folder, _, _served) = start(Fake::with_clients(vec![client("c1")]));
    for endpoint in endpoints::<Fake>() {
        let path =
            endpoint.path.replace("{node}", "self").replace("{clientid}", "c1").replace("{id}", "file");
        let path = path.replace("{identifier}", "mqtt:tcp:external");
        let path = path.replace("{topic}", "u").replace("{username}", "joe").replace("{kind}", "username");
        let path = path.replace("{as}", "clientid").replace("{who}", "c");
        let path = path.replace("modules/{name}", "modules/emqx_mod_acl_internal").replace("{name}", "joe");
        let body = r#"{"clientid":"c1","topic":"t","qos":1,"node":"emqx@s2.emqx.io","level":"info","enabled":true,
            "as":"clientid","who":"c","password":"x","action":"pub","access":"allow"}"#;
        let (status, answer) = ask(&folder, endpoint.method.as_str(), &path, body);
        assert_eq!(status, 200, "{} {path}: {answer}", endpoint.method);
        if path != "/status" {
            assert_eq!(answer["code"], 0, "{} {path}: {answer}", endpoint.method);
        }
        assert!(endpoint.does.ends_with('.'));
    }
}

#[test]
fn shapes_are_those_of_4_4() {
    let (folder, fake, _served) = start(Fake::with_clients(vec![client("a/b c"), client("z")]));
    let data = |path: &str| ask(&folder, "GET", path, "").1;
    assert_eq!(data("/status"), json!("Node emqx@s1.emqx.io is started\nemqx is running"));
    assert_eq!(data("/api/v4/brokers")["data"][0]["node_status"], "Running");
    assert_eq!(data("/api/v4/brokers/emqx@s1.emqx.io")["data"]["version"], "4.4.19");
    let missing = data("/api/v4/brokers/emqx@s9.emqx.io");
    assert_eq!((&missing["code"], &missing["error"]), (&json!(102), &json!("nodedown")));
    assert_eq!(data("/api/v4/stats")["data"][0]["stats"]["connections.count"], 1);
    assert_eq!(data("/api/v4/nodes/self/stats")["data"]["connections.count"], 1);
    assert_eq!(
        data("/api/v4/nodes")["data"][0],
        json!({"name": "e@h", "node": "e@h", "node_status": "Stopped"})
    );

    let paths = data("/api/v4")["data"].clone();
    assert!(paths.as_array().is_some_and(|rows| {
        rows.iter().any(|row| row["path"] == "/nodes/:node/clients" && row["method"] == "GET")
    }));

    let page = data("/api/v4/clients?_page=2&_limit=1");
    assert_eq!(page["meta"], json!({"page": 2, "limit": 1, "count": 2, "hasnext": false}));
    assert_eq!(page["data"][0]["clientid"], "z");
    assert_eq!(data("/api/v4/clients?_limit=1")["meta"]["hasnext"], true);
    assert_eq!(data("/api/v4/clients?_page=9")["data"], json!([]));
    let one = &data("/api/v4/clients/a%2Fb%20c")["data"][0];
    assert_eq!(
        (&one["subscriptions_cnt"], &one["connected_at_ms"]),
        (&json!(1), &json!(1_582_249_657_002_u64))
    );
    assert_eq!(one["connected_at"].as_str().map(str::len), Some(19));
    assert_eq!(one.get("disconnected_at"), None);
    assert_eq!(data("/api/v4/clients/none")["data"], json!([]));
    assert_eq!(ask(&folder, "DELETE", "/api/v4/clients/none", "").1["code"], 112);
    assert_eq!(fake.asked.lock().last().map(String::as_str), Some("kick Cluster none"));
}

#[test]
fn what_is_no_question_is_refused_in_words() {
    let (folder, _, _served) = start(Fake::default());
    let cases = [
        ("GET", "/nothing", "", 404, 102),
        ("PUT", "/api/v4/clients", "", 405, 102),
        ("GET", "/api/v4/clients?_page=0", "", 200, 108),
        ("GET", "/api/v4/clients?_limit=x", "", 200, 108),
        ("GET", "/api/v4/clients/%ff", "", 400, 108),
        ("POST", "/api/v4/mqtt/subscribe", "{", 200, 109),
        ("POST", "/api/v4/mqtt/subscribe", r#"{"topic":"t"}"#, 200, 107),
        ("POST", "/api/v4/mqtt/subscribe", r#"{"clientid":1,"topic":"t"}"#, 200, 108),
        ("POST", "/api/v4/mqtt/subscribe", r#"{"clientid":"c1","topic":"t","qos":3}"#, 200, 116),
        ("POST", "/api/v4/mqtt/subscribe", r#"{"clientid":"c1","topic":""}"#, 200, 115),
        ("POST", "/api/v4/mqtt/subscribe", r#"{"clientid":"c9","topic":"t"}"#, 200, 112),
        ("PUT", "/api/v4/log/level", r#"{"level":"loud"}"#, 200, 108),
        ("PUT", "/api/v4/log/handlers/file", "{}", 200, 107),
        ("POST", "/api/v4/cluster/join", r#"{"node":""}"#, 200, 108),
    ];
    for (method, path, body, status, code) in cases {
        let (got, answer) = ask(&folder, method, path, body);
        assert_eq!((got, answer["code"].as_u64()), (status, Some(code)), "{method} {path} {body}: {answer}");
        assert!(
            answer["message"].as_str().is_some_and(|m| !m.is_empty()) && answer["error"].is_string(),
            "{answer}"
        );
    }
    let (_, answer) = ask(&folder, "POST", "/api/v4/cluster/join", r#"{"node":"cookie"}"#);
    assert_eq!(answer["error"], "bad_cookie");
    assert_eq!(answer["node"], "cookie@s1.emqx.io");
}

#[test]
fn hostile_bytes_end_their_connection_and_nothing_else() {
    let (folder, _, _served) = start(Fake::default());
    let long = "x".repeat(BODY_BYTES_MAX + 1);
    let head = format!(
        "POST /api/v4/cluster/join HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        long.len()
    );
    assert!(raw(&folder.0, format!("{head}{long}").as_bytes()).starts_with("HTTP/1.1 413"));
    let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(200_000));
    for bytes in [
        &b"\x10\x1a\x00\x04MQTT\x04\x02\x00\x3c\x00\x0eclient"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /api/v4/cluster/leave HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        endless.as_bytes(),
    ] {
        let answer = raw(&folder.0, bytes);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"),
            "{answer}"
        );
    }
    assert_eq!(ask(&folder, "GET", "/api/v4/cluster", "").0, 200);
}

#[test]
fn who_says_nothing_or_never_ends_is_hung_up_on() {
    let (folder, _, _served) = start(Fake::default());
    let mut silent = connect(&folder.0).expect("the node runs");
    let mut dripping = connect(&folder.0).expect("the node runs");
    dripping.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out can be set");
    let mut left = [0; 1024];
    let ended = (0..200).any(|_| {
        // A byte, and a tenth of a second for the answer.
        let written = dripping.write_all(b"G");
        written.is_err() || dripping.read(&mut left).is_ok()
    });
    assert!(ended, "a head that never ends ends the connection");
    assert!(silent.read_to_end(&mut Vec::new()).is_ok(), "the node hangs up");
    assert_eq!(ask(&folder, "GET", "/api/v4/cluster", "").0, 200);
}

#[test]
fn only_the_owner_can_open_the_socket_and_it_goes_with_the_node() {
    let (folder, _, served) = start(Fake::default());
    let socket = folder.0.join(SOCKET_NAME);
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(&folder.0).expect("a folder").count(),
        1,
        "nothing else is left in the folder"
    );
    drop(served);
    assert!(!socket.exists());
}

#[test]
fn what_an_earlier_node_left_is_replaced() {
    let folder = Folder::new();
    drop(std::os::unix::net::UnixListener::bind(folder.0.join(SOCKET_NAME)).expect("a stale socket"));
    std::fs::create_dir(folder.0.join(".ctl.new")).expect("a folder left by a crash");
    let _served = Served::start(&folder.0, Arc::new(Fake::default()));
    assert_eq!(ask(&folder, "GET", "/api/v4/cluster", "").0, 200);
}

#[test]
fn a_path_of_any_length_will_do() {
    let folder = Folder::new();
    let deep: PathBuf = folder.0.join("d".repeat(120)).join("e".repeat(200));
    std::fs::create_dir_all(&deep).expect("a deep folder");
    let _served = Served::start(&deep, Arc::new(Fake::default()));
    let answer = raw(&deep, b"GET /status HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert!(answer.ends_with("Node emqx@s1.emqx.io is started\nemqx is running"), "{answer}");
}

#[test]
fn the_reference_page_is_that_of_the_table() {
    let mut page = String::from(
        "# The paths of the REST API\n\nMade from the table in `crates/server/src/api/mod.rs`; `UPDATE=1` with its test rewrites it.\n\n",
    );
    page.push_str("Success is `{\"code\":0,\"data\":…}`; lists take `_page` and `_limit` (at most 10,000) and add `meta`.\n");
    page.push_str("A refusal is `{\"code\":N,\"message\":…,\"error\":…}`. `self` as a node's name is the node that is asked.\n");
    page.push_str("All of it is served on the Unix socket `ctl.sock` in the data directory, to the owner of the node alone.\n\n");
    page.push_str("| method | path | what it does |\n|---|---|---|\n");
    for row in endpoints::<Fake>() {
        page.push_str(&format!("| {} | `{}` | {} |\n", row.method, row.path, row.does));
    }
    super::fake::same_as_reference("rest-api.md", &page);
}
