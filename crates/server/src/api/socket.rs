//! The Unix socket in the data directory: bound so that nobody but the owner can ever open it, reached however long its
//! path is, and served with limits.

use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, os::fd::AsRawFd};

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Node;

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "ctl.sock";

/// Where the socket is made before it has its permissions. Only one node uses a data directory at a time.
const STAGING_NAME: &str = ".ctl.new";

/// `sun_path` holds 108 bytes, the last one zero.
const ADDRESS_BYTES_MAX: usize = 107;

/// Connections served at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take for a request's head, and rest between requests.
const HEAD_WAIT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// The most that a request's head may hold, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long requests under way may go on once the node stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The bound socket. Dropping it removes the file.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Drop for Door {
    fn drop(&mut self) {
        // A failure leaves a file that refuses connections, which the next start replaces.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the socket in the data directory. Call it on a tokio runtime, and only by the node that holds the directory's lock:
/// what an earlier node left there is replaced.
///
/// # Errors
/// The directory cannot be written.
pub fn bind(data_dir: &Path) -> io::Result<Door> {
    // A socket has the permissions of the umask until chmod, so it is made in a folder that only the owner can enter and
    // moved out when it is ready. The umask itself belongs to every thread of the process.
    let staging = data_dir.join(STAGING_NAME);
    match fs::remove_dir_all(&staging) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => fs::DirBuilder::new().mode(0o700).create(&staging)?,
    }
    let listener = with_address(&staging, |address| StdListener::bind(address))?;
    let staged = staging.join(SOCKET_NAME);
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o600))?;
    let path = data_dir.join(SOCKET_NAME);
    fs::rename(&staged, &path)?;
    fs::remove_dir(&staging)?;
    listener.set_nonblocking(true)?;
    let owner = fs::metadata(&path)?.uid();
    Ok(Door { listener: UnixListener::from_std(listener)?, path, owner })
}

/// Opens a connection to the node that uses this data directory. It blocks only where the node has more callers than it
/// serves.
///
/// # Errors
/// `NotFound`, `ConnectionRefused`: no node runs there. `PermissionDenied`: it is another user's.
pub fn connect(data_dir: &Path) -> io::Result<StdStream> {
    with_address(data_dir, |address| StdStream::connect(address))
}

/// A path too long for a socket address is reached through a descriptor of its directory.
fn with_address<T>(dir: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(SOCKET_NAME);
    if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
        return act(&path);
    }
    let open = fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(dir)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_NAME}", open.as_raw_fd())))
}

/// Answers whoever comes, until `stop` is ready; then requests under way have two seconds.
pub async fn serve<N: Node>(door: Door, node: Arc<N>, stop: impl Future<Output = ()>) {
    let router = super::router(node);
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let seat = tokio::select! {
            seat = Arc::clone(&seats).acquire_owned() => seat.expect("the semaphore is never closed"),
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if allowed(&stream, door.owner) => {
                let (router, closed) = (router.clone(), closed.clone());
                connections.spawn(async move {
                    answer(stream, router, closed).await;
                    drop(seat);
                });
            }
            Ok(_) => tracing::warn!("control socket: a connection of another user was closed"),
            Err(why) => {
                // Out of descriptors, most likely. Waiting is all there is to do.
                tracing::warn!(error = %why, "control socket: cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(door);
    drop(closing);
    let _ = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
}

/// The permissions of the file say the same; this holds even where somebody changed them.
fn allowed(stream: &UnixStream, owner: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0)
}

async fn answer(stream: UnixStream, router: Router, mut closed: watch::Receiver<()>) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        tracing::debug!(error = %why, "control socket: connection ended");
    }
}
