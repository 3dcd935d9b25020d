//! Listening sockets, and connections from their accept until they may speak MQTT.

use super::*;

impl Worker {
    pub(super) fn listen(&mut self, listener: Arc<Listener>, mut socket: Listening) {
        let entry = self.listeners.vacant_entry();
        let token = Token(LISTENERS + entry.key());
        match self.poll.registry().register(&mut socket, token, Interest::READABLE) {
            Ok(()) => drop(entry.insert((listener, socket, false))),
            Err(error) => tracing::error!(listener = %listener.id, %error, "cannot accept clients"),
        }
    }

    /// Accepts what waits, as far as the listener's limits allow.
    pub(super) fn accept(&mut self, at: usize, now: Now) {
        for _ in 0..ACCEPTS {
            let Some((listener, socket, paused)) = self.listeners.get_mut(at) else { return };
            *paused = !listener.may_accept(self.fx.epoch.0 / 1000);
            if *paused {
                return;
            }
            let listener = listener.clone();
            match socket.accept() {
                Ok((socket, peer)) => self.welcome(listener, socket, peer, now),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // The client has gone again.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors, most likely: look again in a while, others may end meanwhile.
                    tracing::warn!(listener = %listener.id, %error, "cannot accept a client");
                    if let Some(listener) = self.listeners.get_mut(at) {
                        listener.2 = true;
                    }
                    return;
                }
            }
        }
        // More may wait, and no event will say so again.
        self.crowded.push(at);
    }

    fn welcome(&mut self, listener: Arc<Listener>, socket: Socket, peer: std::net::SocketAddr, now: Now) {
        if let Err(cause) = listener.admit(peer.ip(), self.fx.epoch.0 / 1000) {
            tracing::debug!(listener = %listener.id, %peer, cause, "a client was turned away");
            return;
        }
        listener.tune(&socket);
        let stream = match listener.stream(socket) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(listener = %listener.id, %error, "TLS cannot begin");
                listener.release("ssl_error");
                return;
            }
        };
        self.insert(Adopted { stream, listener, peer, names: None, bytes: Vec::new() }, now);
    }

    pub(super) fn adopt(&mut self, adopted: Adopted, now: Now) {
        if let Some(at) = self.insert(adopted, now) {
            self.process_partial(at, now);
        }
    }

    pub(super) fn insert(&mut self, adopted: Adopted, now: Now) -> Option<u32> {
        let Adopted { mut stream, listener, peer, names, bytes } = adopted;
        let entry = self.conns.vacant_entry();
        let at = entry.key() as u32;
        let socket = stream.socket()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(socket, Token(entry.key()), interest) {
            tracing::error!(%peer, %error, "a client's socket cannot be polled");
            listener.release("poll_error");
            return None;
        }
        let newcomer = Newcomer::new(&mut stream, &listener, peer, names, now);
        entry.insert(Conn {
            stream,
            partial: bytes,
            phase: Phase::Greeting(newcomer),
            version: Version::V311,
            listener,
            blocked: false,
            slow: false,
            held: false,
            ready: true,
            hung_up: false,
            paced: None,
        });
        self.unsettled = true;
        self.fx.open(ConnId(at));
        self.ready.push(at);
        Some(at)
    }

    /// Reads on what a load balancer says before the client's first byte. `false`: it has not come whole, or was none.
    pub(super) fn announced(&mut self, at: u32, now: Now) -> bool {
        let Some(conn) = self.conns.get_mut(at as usize) else { return false };
        let Phase::Greeting(newcomer) = &mut conn.phase else { return true };
        match conn.stream.announced() {
            Ok(announced) => {
                let announced = announced.unwrap_or_default();
                newcomer.peer = announced.peer.unwrap_or(newcomer.peer);
                if let Some(name) = announced.common_name
                    && conn.listener.identity.is_from_certificates()
                {
                    newcomer.names = Some(Arc::new(conn.listener.identity.of_common_name(&name)));
                }
                newcomer.await_now(Awaits::first(&mut conn.stream), &conn.listener, now);
                true
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                conn.ready = false;
                false
            }
            Err(error) => {
                tracing::debug!(listener = %conn.listener.id, peer = %newcomer.peer, %error, "a client was refused");
                // Whoever looks whether the port is open says nothing and goes.
                let gone = error.kind() == io::ErrorKind::UnexpectedEof;
                self.remove(at, if gone { "tcp_closed" } else { Awaits::Announcement.wrong() });
                false
            }
        }
    }

    /// No more clients come in through that listener; those who wait in its backlog still do.
    pub fn unlisten(&mut self, id: &str) {
        let now = self.shared.clock.now();
        let own: Vec<usize> =
            self.listeners.iter().filter(|(_, l)| *l.0.id == *id).map(|(at, _)| at).collect();
        for at in own {
            self.accept(at, now);
            while self.crowded.pop_if(|crowded| *crowded == at).is_some() {
                self.accept(at, now);
            }
            self.listeners.remove(at);
        }
    }

    /// Clients of that listener come in through this socket, and through none that it had before.
    pub fn listen_anew(&mut self, listener: Arc<Listener>, socket: Listening) {
        self.unlisten(&listener.id);
        self.listen(listener, socket);
    }

    /// No more clients come in.
    pub fn stop_listening(&mut self) {
        self.listeners.clear();
    }
}
