//! A small epmd for hosts without one: it keeps names for as long as their connections stand, and tells their ports.
//! Only nodes of the same host may register; it cannot be stopped from outside. It ends with its node; then the next
//! node of the host to notice stands in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{ALIVE2, ALIVE2_ANSWER, ALIVE2_LONG_ANSWER, NAMES, PORT_PLEASE2, PORT2};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 512;
/// Bytes of a request; a name has at most 255.
const REQUEST_BYTES_MAX: usize = 1024;
/// How long a request may take to come.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// What was registered: the bytes of ALIVE2_REQ, in part.
struct Entry {
    port: u16,
    /// Node type, protocol, highest and lowest version.
    kind: [u8; 6],
    extra: Vec<u8>,
    serial: u64,
}

#[derive(Default)]
struct Book {
    entries: BTreeMap<Vec<u8>, Entry>,
    serial: u64,
}

/// Begins to listen on the port, on all addresses, for as long as this thread's tasks run.
///
/// # Errors
/// The port cannot be had.
pub async fn start(port: u16, ipv6: bool) -> io::Result<()> {
    let everywhere: SocketAddr =
        if ipv6 { (Ipv6Addr::UNSPECIFIED, port).into() } else { (Ipv4Addr::UNSPECIFIED, port).into() };
    let listener = TcpListener::bind(everywhere).await?;
    tokio::task::spawn_local(async move {
        let book = Rc::new(RefCell::new(Book::default()));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, from)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let book = book.clone();
            tokio::task::spawn_local(async move {
                let _place = place;
                // What a stranger does wrong is its own affair.
                let _ = serve(stream, from, port, &book).await;
            });
        }
    });
    Ok(())
}

async fn serve(mut stream: TcpStream, from: SocketAddr, port: u16, book: &RefCell<Book>) -> io::Result<()> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let request = timeout(REQUEST_LIMIT, async {
        let length = usize::from(stream.read_u16().await?);
        if length == 0 || length > REQUEST_BYTES_MAX {
            return Err(malformed());
        }
        let mut request = vec![0; length];
        stream.read_exact(&mut request).await?;
        Ok(request)
    });
    let request = request.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    match request[0] {
        PORT_PLEASE2 => {
            let answer = answer_port(&book.borrow(), &request[1..]);
            stream.write_all(&answer).await
        }
        NAMES => {
            let mut answer = u32::from(port).to_be_bytes().to_vec();
            for (name, entry) in &book.borrow().entries {
                let name = String::from_utf8_lossy(name);
                answer.extend_from_slice(format!("name {name} at port {}\n", entry.port).as_bytes());
            }
            stream.write_all(&answer).await
        }
        ALIVE2 if from.ip().to_canonical().is_loopback() => {
            let (name, entry) = read_alive(&request[1..]).ok_or_else(malformed)?;
            let long = u16::from_be_bytes([entry.kind[2], entry.kind[3]]) >= 6;
            let registered = enter(&mut book.borrow_mut(), name.clone(), entry);
            let result = u8::from(registered.is_none());
            let creation = registered.unwrap_or_default() as u32;
            let answer = if long {
                [&[ALIVE2_LONG_ANSWER, result][..], &creation.to_be_bytes()].concat()
            } else {
                [&[ALIVE2_ANSWER, result][..], &(creation as u16).to_be_bytes()].concat()
            };
            let written = stream.write_all(&answer).await;
            let Some(serial) = registered else { return written };
            if written.is_ok() {
                // The name lives as long as the connection.
                let mut byte = [0];
                while matches!(stream.read(&mut byte).await, Ok(count) if count > 0) {}
            }
            let mut book = book.borrow_mut();
            if book.entries.get(&name).is_some_and(|entry| entry.serial == serial) {
                book.entries.remove(&name);
            }
            written
        }
        _ => Err(malformed()),
    }
}

/// Enters a name that nobody has; its number then.
fn enter(book: &mut Book, name: Vec<u8>, mut entry: Entry) -> Option<u64> {
    if book.entries.contains_key(&name) {
        return None;
    }
    book.serial += 1;
    entry.serial = book.serial;
    book.entries.insert(name, entry);
    Some(book.serial)
}

fn answer_port(book: &Book, name: &[u8]) -> Vec<u8> {
    let Some(entry) = book.entries.get(name) else { return vec![PORT2, 1] };
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    [
        &[PORT2, 0][..],
        &entry.port.to_be_bytes(),
        &entry.kind,
        &length(name),
        name,
        &length(&entry.extra),
        &entry.extra,
    ]
    .concat()
}

/// ALIVE2_REQ without its first byte.
fn read_alive(bytes: &[u8]) -> Option<(Vec<u8>, Entry)> {
    let (port, bytes) = bytes.split_first_chunk::<2>()?;
    let (kind, bytes) = bytes.split_first_chunk::<6>()?;
    let (name, bytes) = counted(bytes)?;
    let (extra, _) = counted(bytes)?;
    let is_name = (1..=255).contains(&name.len()) && name.iter().all(|b| b.is_ascii_graphic());
    let entry = Entry { port: u16::from_be_bytes(*port), kind: *kind, extra: extra.to_vec(), serial: 0 };
    is_name.then(|| (name.to_vec(), entry))
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::{Refused, Registration, lookup};
    use super::*;

    /// A port that nobody listens on, below those that the system gives to connections that go out: such a one may
    /// be gone by the time it is bound.
    fn free_port() -> u16 {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        // Each test in a place of its own, whether they share a process or not.
        let first = std::process::id() * 7 + CALLS.fetch_add(1, Ordering::Relaxed) * 1_000;
        let mut ports = (0..20_000).map(|n| 10_000 + ((first + n) % 20_000) as u16);
        let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        ports.find(is_free).expect("a port")
    }

    async fn until(mut done: impl AsyncFnMut() -> bool) {
        for _ in 0..500 {
            if done().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in time");
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn a_name_is_kept_for_as_long_as_its_node_and_belongs_to_one() {
        run(async {
            let port = free_port();
            let home = Ipv4Addr::LOCALHOST.into();
            let first = Registration::new("a", 6369, port, false).await.expect("registered");
            assert_eq!(lookup(home, port, "a").await.ok(), Some(Some(6369)));
            assert_eq!(lookup(home, port, "b").await.ok(), Some(None));
            assert!(matches!(Registration::new("a", 6370, port, false).await, Err(Refused::Taken)));
            let _second = Registration::new("b", 6370, port, false).await.expect("registered");
            drop(first);
            until(async || lookup(home, port, "a").await.ok() == Some(None)).await;
            assert_eq!(lookup(home, port, "b").await.ok(), Some(Some(6370)));
        });
    }

    #[test]
    fn any_bytes_end_in_an_answer_or_a_close() {
        run(async {
            let port = free_port();
            start(port, false).await.expect("listens");
            let registered = [0, 14, ALIVE2, 24, 225, 77, 0, 0, 6, 0, 5, 0, 1, b'x'];
            for length in 0..registered.len() {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
                stream.write_all(&registered[..length]).await.expect("written");
                stream.shutdown().await.expect("ended");
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                assert!(answer.is_empty(), "{length} bytes: {answer:?}");
            }
            let names = [0, 1, NAMES];
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
            stream.write_all(&names).await.expect("written");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("read");
            assert_eq!(answer, u32::from(port).to_be_bytes());
        });
    }
}
