//! A connection between nodes as the control thread drives it: the same `Wire` that a shard drives by
//! hand, waited for through tokio, and given back whole when it moves into a shard.

use std::io::{self, IoSlice, Read, Write};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::stream::Wire;

/// A `Wire` that can be awaited.
pub struct AsyncWire(AsyncFd<Wire>);

impl AsyncWire {
    /// Registers the wire with this thread's runtime.
    #[allow(unsafe_code, reason = "the only way to register a socket that tokio did not make")]
    pub fn new(wire: Wire) -> io::Result<AsyncWire> {
        // SAFETY: a `Wire` owns its socket, answers the same descriptor for as long as it lives and
        // closes it only when it is dropped, which `AsyncFd` does after taking it off the poll.
        unsafe { AsyncFd::register(wire) }.map(AsyncWire).map_err(io::Error::from)
    }

    /// The wire itself, registered nowhere.
    pub fn into_wire(self) -> Wire {
        self.0.into_inner()
    }

    /// Waits until the wire may be readable, or writable where that is wanted. What follows reads (and
    /// writes) until `WouldBlock`; only then waiting again makes sense.
    pub async fn ready(&self, want_write: bool) -> io::Result<()> {
        let interest = if want_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.0.ready(interest).await?.clear_ready();
        Ok(())
    }

    /// Reads what has come; 0 means that the other side ended the connection.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.get_mut().read(buffer)
    }

    /// Writes what the socket takes now.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(&[IoSlice::new(bytes)])
    }

    /// See [`Wire::keying_material`].
    pub fn keying_material(&self) -> Option<[u8; 32]> {
        self.0.get_ref().keying_material()
    }

    /// Pushes out what TLS still holds. `true`: nothing is left.
    pub fn try_push(&mut self) -> io::Result<bool> {
        self.0.get_mut().push()
    }
}
