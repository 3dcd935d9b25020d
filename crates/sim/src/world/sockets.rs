//! Connections of clients, seen from both ends.

use std::sync::Arc;

use broker::ConnInfo;
use mqtt::Packet;
use mqtt::session::Out;
use rand::RngExt;

use super::{Event, EventKey, Wire, World};
use crate::desk::Socket;
use crate::traffic;

impl World {
    /// A client begins a connection to a node; what it had before is broken.
    pub fn connect(&mut self, client: usize, host: usize, clean: bool) {
        self.serial += 1;
        let attempt = self.serial;
        // Whatever became of an attempt that it did not wait for: nobody told it.
        if let Some(clean) = self.clients[client].unanswered {
            self.oracle.doubt(client, clean, self.now);
        }
        let bytes = self.clients[client].connect(attempt, host, clean);
        self.oracle.sessions[client].touched.insert(host, u64::MAX);
        self.say(|| format!("c{client} connects to n{host}{}", if clean { " clean" } else { "" }));
        let run = self.hosts[host].run;
        let wire = Wire { client, host, run, shard: None, greeting: Vec::new(), last: [0; 2] };
        self.wires.insert(attempt, wire);
        if self.hosts[host].process.is_none() {
            return self.break_wire(attempt);
        }
        self.client_sends(attempt, bytes, false, 0);
    }

    /// Puts bytes of a client on their way.
    pub fn client_sends(&mut self, attempt: u64, bytes: Vec<u8>, end: bool, after: u64) {
        let delay = self.rng.random_range(1..4) + after;
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        wire.last[0] = wire.last[0].max(now + delay);
        let at = wire.last[0];
        self.push(at, Event::ToNode { attempt, bytes, end });
    }

    pub(super) fn output(&mut self, attempt: u64, bytes: Vec<u8>, end: bool) {
        let delay = self.rng.random_range(1..4);
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        wire.last[1] = wire.last[1].max(now + delay);
        let at = wire.last[1];
        self.push(at, Event::ToClient { attempt, bytes, end });
    }

    /// A client's connection breaks with what is on its way.
    pub fn break_wire(&mut self, attempt: u64) {
        let now = self.now;
        for key in self.events_of(attempt) {
            self.events.remove(&key);
        }
        self.push(now + 1, Event::ToNode { attempt, bytes: Vec::new(), end: true });
        self.push(now + 1, Event::ToClient { attempt, bytes: Vec::new(), end: true });
    }

    pub(super) fn events_of(&self, attempt: u64) -> Vec<EventKey> {
        let of = |event: &Event| match event {
            Event::ToNode { attempt: of, .. } | Event::ToClient { attempt: of, .. } => *of == attempt,
            _ => false,
        };
        self.events.iter().filter(|(_, event)| of(event)).map(|(key, _)| *key).collect()
    }

    pub(super) fn node_hears(&mut self, attempt: u64, bytes: &[u8], end: bool) {
        let Some(wire) = self.wires.get(&attempt) else { return };
        let (host, run, client, shard) = (wire.host, wire.run, wire.client, wire.shard);
        if !self.runs(host, run) {
            return;
        }
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        let id = self.clients[client].id.clone();
        match shard {
            None if end => {}
            None => {
                wire.greeting.extend_from_slice(bytes);
                self.greet(attempt, &id);
            }
            Some(shard) => {
                let Some((process, now)) = self.process(host) else { return };
                let desk = &mut process.workers[shard].desk;
                let Some(conn) = desk.conn_of(attempt) else { return };
                if end {
                    process.turn(shard, now, |shard, now, fx| shard.closed(conn, now, fx));
                    process.workers[shard].desk.sockets[conn.0 as usize] = None;
                } else if let Some(socket) = &mut desk.sockets[conn.0 as usize] {
                    socket.input.extend_from_slice(bytes);
                }
            }
        }
        self.drain(host);
    }

    /// Whether a CONNECT has come whole; then its home shard gets the connection.
    pub(super) fn greet(&mut self, attempt: u64, id: &str) {
        let Some(wire) = self.wires.get_mut(&attempt) else { return };
        let (host, greeting) = (wire.host, std::mem::take(&mut wire.greeting));
        let whole = mqtt::frame(&greeting, 1 << 20).expect("clients send packets").expect("in one piece");
        let Ok(connect) = mqtt::packet::Connect::decode(whole.body) else { unreachable!("a sound CONNECT") };
        let zone = self.zone.clone();
        let Some((process, now)) = self.process(host) else { return };
        let shard = process.shard_of(id);
        let conn = process.workers[shard].desk.seat(Socket {
            attempt,
            version: connect.version,
            input: greeting[whole.length..].to_vec(),
            out: Out::default(),
            paused: false,
            ended: false,
        });
        let info = ConnInfo {
            client_id: id.to_owned(),
            assigned: false,
            peer: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            listener: Arc::new("mqtt:tcp:external".into()),
            zone,
        };
        process.turn(shard, now, |shard, now, fx| shard.connect(conn, &connect, info, now, fx));
        if let Some(wire) = self.wires.get_mut(&attempt) {
            wire.shard = Some(shard);
        }
    }

    /// Hands packets of a connection to its shard. Says whether there were any.
    pub(super) fn read_socket(&mut self, host: usize, shard: usize, conn: broker::ConnId) -> bool {
        let mut any = false;
        loop {
            let Some(process) = &mut self.hosts[host].process else { return any };
            let place = process.workers[shard].desk.sockets.get_mut(conn.0 as usize);
            let Some(socket) = place.and_then(Option::as_mut) else { return any };
            if socket.paused || socket.ended {
                return any;
            }
            let (input, version) = (std::mem::take(&mut socket.input), socket.version);
            let attempt = socket.attempt;
            let Some(whole) = mqtt::frame(&input, 1 << 20).expect("clients send packets") else {
                socket.input = input;
                return any;
            };
            socket.input = input[whole.length..].to_vec();
            any = true;
            let packet = Packet::decode(version, &whole).expect("clients send sound packets");
            let published = match &packet {
                Packet::Publish(publish) => traffic::number_of(publish.payload),
                _ => None,
            };
            if let Some(message) = published {
                traffic::taken(self, host, message, attempt);
            }
            let Some((process, now)) = self.process(host) else { return any };
            process.turn(shard, now, |shard, now, fx| shard.packet(conn, packet, now, fx));
            if let (Some(message), Some(process)) = (published, &self.hosts[host].process)
                && let Some(known) = self.oracle.messages.get_mut(&message)
                && known.retain
            {
                let stamp = process.control.shelf.retained.stamp(&known.topic);
                known.stamp = stamp.map(|stamp| (process.identity().cluster, stamp));
            }
        }
    }

    pub(super) fn client_hears(&mut self, attempt: u64, bytes: &[u8], end: bool) {
        let Some(wire) = self.wires.get(&attempt) else { return };
        let client = wire.client;
        let current = self.clients[client].conn.as_ref().is_some_and(|conn| conn.attempt == attempt);
        if current && !bytes.is_empty() {
            traffic::receive(self, client, attempt, bytes);
        }
        if end {
            self.wires.remove(&attempt);
            if self.clients[client].conn.as_ref().is_some_and(|conn| conn.attempt == attempt) {
                self.clients[client].conn = None;
                traffic::lost(self, client);
            }
        }
    }
}
