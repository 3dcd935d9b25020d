//! Bytes on the control socket: good requests, changed at random. Each ends with an answer of bounded length,
//! or with the end of its connection; nothing panics, and the next request is answered.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::fake::{Fake, Folder, Served, client};
use super::{connect, endpoints};

#[path = "../../../mqtt/tests/fuzz/harness.rs"]
mod harness;

use harness::{Random, fuzz};

/// The longest answer: the list of paths is the largest there is here.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Kept samples, besides a request for each row of the table: what is at the edge of HTTP.
const SAMPLES: [&str; 12] = [
    "GET /status HTTP/1.0\r\n\r\n",
    "GET /api/v4/clients?_page=2&_limit=18446744073709551615 HTTP/1.1\r\nhost: n\r\n\r\n",
    "GET /api/v4/clients?_page=%ff&_page=1 HTTP/1.1\r\nhost: n\r\n\r\n",
    "GET /api/v4/clients/%00%ff%2f.. HTTP/1.1\r\nhost: n\r\n\r\n",
    "GET http://[::1]:0/api/v4 HTTP/1.1\r\nhost: n\r\nconnection: keep-alive\r\n\r\nGET /status HTTP/1.1\r\n\r\n",
    "POST /api/v4/banned HTTP/1.1\r\nhost: n\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"as\"\r\nffffffffffffffff\r\n",
    "POST /api/v4/mqtt/subscribe HTTP/1.1\r\nhost: n\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
    "POST /api/v4/mqtt/subscribe HTTP/1.1\r\nhost: n\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "POST /api/v4/acl HTTP/1.1\r\nhost: n\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n{\"a\":1e9}",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "OPTIONS * HTTP/1.1\r\nhost: n\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "PUT /api/v4/log/level HTTP/1.1\r\nhost: n\r\ncontent-length: 40\r\n\r\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// A good request for each row of the table, and the kept samples.
fn samples() -> Vec<Vec<u8>> {
    let body = r#"{"clientid":"c1","topics":["t"],"topic":"t","qos":1,"node":"a@b","level":"info","enabled":true,"as":"clientid","who":"c","until":9,"password":"x","action":"pub","access":"allow"}"#;
    let row = |e: super::Endpoint<Fake>| {
        let path = e.path.replace(['{', '}'], "");
        format!(
            "{} {path}?_page=1 HTTP/1.1\r\nhost: n\r\ncontent-length: {}\r\n\r\n{body}",
            e.method,
            body.len()
        )
    };
    let kept = SAMPLES.iter().map(|s| (*s).to_owned());
    kept.chain(endpoints::<Fake>().into_iter().map(row)).map(String::into_bytes).collect()
}

fn change(random: &mut Random, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = samples[random.below(samples.len())].clone();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 => bytes.insert(at, random.one(b" \r\n:;/?%{}[]\"\\,0\x00\x80\xff")),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => bytes
                .splice(at..at, std::iter::repeat_n(random.one(b"a0[{/%\""), 1 << random.below(18)))
                .for_each(drop),
            _ => {
                let other = &samples[random.below(samples.len())];
                let (from, to) = (random.below(other.len()), random.below(other.len()));
                let part = other[from.min(to)..from.max(to)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Says it all, and that this is all; what comes back until the node hangs up.
fn answer(folder: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(folder).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out can be set");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a time-out can be set");
    // The node may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => panic!("the node keeps the connection"),
        _ => answer,
    }
}

#[test]
fn the_control_socket_stands_whatever_is_said_to_it() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |why| {
        // Tests have names, the thread that serves the socket has none.
        let is_server = std::thread::current().name().is_none();
        PANICS.fetch_add(usize::from(is_server), Ordering::Relaxed);
        before(why);
    }));
    let (folder, fake) = (Folder::new(), Arc::new(Fake::with_clients(vec![client("c1")])));
    let _served = Served::start(&folder.0, Arc::clone(&fake));
    let samples = samples();
    let stand = |bytes: &[u8]| {
        let got = answer(&folder.0, bytes);
        assert!(
            got.len() <= ANSWER_BYTES_MAX,
            "{} bytes for {:?}",
            got.len(),
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{:?}", String::from_utf8_lossy(bytes));
        fake.asked.lock().clear();
    };
    for sample in &samples {
        stand(sample);
        for cut in (0..sample.len()).step_by(7) {
            stand(&sample[..cut]);
        }
    }
    fuzz("control socket", 2_000, |random| stand(&change(random, &samples)));
    let last = answer(&folder.0, b"GET /status HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n");
    assert!(last.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&last));
}
