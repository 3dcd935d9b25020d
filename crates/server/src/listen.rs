//! Listening sockets. Each shard has one of its own per listener, on the same address, so that
//! accepting needs no hand-off; before that a plain bind shows that nobody else has the port. Unix sockets cannot be
//! shared so: there every shard has a handle of the one socket, and whoever is first accepts.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Who may connect to a Unix socket: the user of the node, and its group.
const UNIX_MODE: u32 = 0o660;
/// Bytes of a Unix socket's path, which leaves room for the name that a new one has until it is in place.
const UNIX_PATH_BYTES_MAX: usize = 103;

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Listening {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl Listening {
    /// The next client and where it is. Clients of a Unix socket have no address: they are on this host.
    pub fn accept(&self) -> io::Result<(crate::socket::Socket, SocketAddr)> {
        match self {
            Listening::Tcp(socket) => socket.accept().map(|(tcp, peer)| (tcp.into(), peer)),
            Listening::Unix(socket) => {
                socket.accept().map(|(unix, _)| (unix.into(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            }
        }
    }
}

impl Source for Listening {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Listening::Tcp(socket) => socket.register(registry, token, interests),
            Listening::Unix(socket) => socket.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Listening::Tcp(socket) => socket.reregister(registry, token, interests),
            Listening::Unix(socket) => socket.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listening::Tcp(socket) => socket.deregister(registry),
            Listening::Unix(socket) => socket.deregister(registry),
        }
    }
}

/// The file of a Unix socket; it goes with this value, unless it is another one by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == self.inode) {
            // Who cannot remove it leaves a stale one, which the next start replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a path, where nobody else does; a file that a dead process left is replaced.
pub fn bind_unix(path: &Path, backlog: u32, shards: usize) -> io::Result<(SocketFile, Vec<Listening>)> {
    let refused = |kind, why: &str| Err(io::Error::new(kind, format!("{} {why}", path.display())));
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(there) if !there.file_type().is_socket() => {
            return refused(io::ErrorKind::AlreadyExists, "is there and is no socket; move it away");
        }
        Ok(_) => match connect_unix(path) {
            // Nobody listens: it is a leftover.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(()) => return refused(io::ErrorKind::AddrInUse, "is in use by another process"),
            Err(e) => return refused(e.kind(), &format!("cannot be looked at: {e}")),
        },
    }
    bind_unix_over(path, backlog, shards)
}

/// The same whoever listens there: from then on clients come to the new socket.
pub fn bind_unix_over(path: &Path, backlog: u32, shards: usize) -> io::Result<(SocketFile, Vec<Listening>)> {
    if path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
        let why = format!("{} is too long: a path may have {UNIX_PATH_BYTES_MAX} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    // It is made under another name, so that it is never seen with wrong rights, nor half made.
    let mut staging = OsString::from(path);
    staging.push(".new");
    let staging = Path::new(&staging);
    match fs::remove_file(staging) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(staging)?).map_err(|e| {
        io::Error::new(e.kind(), format!("{} cannot be made: {e}; see to its directory", path.display()))
    })?;
    let placed = place(&socket, staging, path, backlog);
    if placed.is_err() {
        let _ = fs::remove_file(staging);
    }
    let file = placed?;
    let handles = (0..shards).map(|_| {
        let handle = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket.try_clone()?));
        Ok(Listening::Unix(mio::net::UnixListener::from_std(handle)))
    });
    Ok((file, handles.collect::<io::Result<_>>()?))
}

fn place(socket: &Socket, staging: &Path, path: &Path, backlog: u32) -> io::Result<SocketFile> {
    fs::set_permissions(staging, fs::Permissions::from_mode(UNIX_MODE))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    let made = fs::symlink_metadata(staging)?;
    fs::rename(staging, path)?;
    Ok(SocketFile { path: path.to_owned(), inode: (made.dev(), made.ino()) })
}

/// Whether somebody listens there.
fn connect_unix(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        // Somebody does, and has much to do.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        outcome => outcome,
    }
}

/// Binds `shards` sockets to one address. `AddrInUse` when any other program, or another node,
/// has it.
pub fn bind(address: SocketAddr, backlog: u32, shards: usize) -> io::Result<Vec<Listening>> {
    // Without SO_REUSEPORT this fails when anybody listens there, also with SO_REUSEPORT.
    let probe = socket(address, false)?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    probe.listen(1)?;
    drop(probe);
    bind_beside(address, backlog, shards)
}

/// The same where this node's own sockets have the address already: these come to them.
pub fn bind_beside(address: SocketAddr, backlog: u32, shards: usize) -> io::Result<Vec<Listening>> {
    (0..shards)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            Ok(Listening::Tcp(mio::net::TcpListener::from_std(socket.into())))
        })
        .collect()
}

/// One listening socket that nobody else may share: for the port between nodes.
pub fn bind_alone(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address, false)?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// A socket for datagrams that nobody else may share.
pub fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restarted node must not wait for connections of its predecessor in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_port_that_is_taken_is_refused_even_when_its_owner_shares_it() {
        let owner = bind(loopback(0), 16, 2).expect("a free port");
        let Listening::Tcp(first) = &owner[0] else { panic!("it is TCP") };
        let port = first.local_addr().expect("bound").port();
        let error = bind(loopback(port), 16, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(owner);
        bind(loopback(port), 16, 1).expect("free again");
    }

    #[test]
    fn a_socket_file_that_nobody_listens_on_is_replaced_and_any_other_is_not() {
        let folder = crate::api::fake::Folder::new();
        let path = folder.0.join("mqtt.sock");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("a file").mode() & 0o777;
        let first = bind_unix(&path, 16, 2).expect("a fresh path");
        assert_eq!(mode(&path), UNIX_MODE);
        assert_eq!(bind_unix(&path, 16, 1).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        // The process dies: its sockets go, the file stays.
        let (file, sockets) = first;
        drop(sockets);
        let second = bind_unix(&path, 16, 1).expect("nobody listens any more");
        drop(file);
        assert!(path.exists(), "it is the second one's by now");
        let third = bind_unix_over(&path, 16, 1).expect("whoever listens");
        drop(second);
        assert!(path.exists());
        drop(third);
        assert!(!path.exists());
        fs::write(&path, "notes").expect("room");
        assert_eq!(bind_unix(&path, 16, 1).expect_err("no socket").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("untouched"), b"notes");
        let long = folder.0.join("x".repeat(100));
        assert_eq!(bind_unix(&long, 16, 1).expect_err("too long").kind(), io::ErrorKind::InvalidInput);
    }
}
