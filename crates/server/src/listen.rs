//! Listening sockets. Each shard has one of its own per listener, on the same address, so that
//! accepting needs no hand-off; before that a plain bind shows that nobody else has the port.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Binds `shards` sockets to one address. `AddrInUse` when any other program, or another node,
/// has it.
pub fn bind(address: SocketAddr, backlog: u32, shards: usize) -> io::Result<Vec<mio::net::TcpListener>> {
    // Without SO_REUSEPORT this fails when anybody listens there, also with SO_REUSEPORT.
    let probe = socket(address, false)?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    probe.listen(1)?;
    drop(probe);
    bind_beside(address, backlog, shards)
}

/// The same where this node's own sockets have the address already: these come to them.
pub fn bind_beside(
    address: SocketAddr,
    backlog: u32,
    shards: usize,
) -> io::Result<Vec<mio::net::TcpListener>> {
    (0..shards)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            Ok(mio::net::TcpListener::from_std(socket.into()))
        })
        .collect()
}

/// One listening socket that nobody else may share: for the port between nodes.
pub fn bind_alone(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address, false)?;
    socket.listen(1024)?;
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
        let port = owner[0].local_addr().expect("bound").port();
        let error = bind(loopback(port), 16, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(owner);
        bind(loopback(port), 16, 1).expect("free again");
    }
}
