//! `cluster.discovery = mcast`: nodes call into a multicast group, and those that hear them answer.
//!
//! Answers go to the group as well, not to the caller: several nodes of one host may share a port, and only the group is
//! heard by all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::NodeName;
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::datagram::{BYTES_MAX, Datagram, Kind, Nonce, Refused, Seal};

/// How long answers are collected.
const COLLECT: Duration = Duration::from_millis(1_200);
/// A lost datagram must not hide a node: the call is repeated so many times in that time.
const CALLS: u32 = 3;
/// Answers sent in a second at most, whoever calls.
const ANSWERS_PER_SECOND_MAX: u32 = 100;
/// So many names, and so many addresses of strangers, are remembered.
const HEARD_MAX: usize = 256;

/// Where calls go.
pub(super) struct Reach {
    pub group: IpAddr,
    /// In order of preference; the first that is free is listened on, all are called.
    pub ports: Vec<u16>,
    pub iface: IpAddr,
    pub ttl: u8,
    pub looped: bool,
}

/// The strategy.
pub(super) struct Mcast {
    reach: Reach,
    seal: Arc<Seal>,
    open: Option<Open>,
}

/// A socket in the group, and the task that listens on it.
struct Open {
    socket: Arc<UdpSocket>,
    heard: Arc<Mutex<Heard>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Mcast {
    pub fn new(reach: Reach, seal: Seal) -> Self {
        Self { reach, seal: Arc::new(seal), open: None }
    }

    pub fn asks(&self) -> String {
        let ports: Vec<String> = self.reach.ports.iter().map(u16::to_string).collect();
        format!("the multicast group {} (UDP {})", self.reach.group, ports.join(", "))
    }

    /// Calls, and collects who answers or calls as well.
    pub async fn ask(&mut self) -> Result<Vec<String>, String> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.enter()?,
        };
        let open = self.open.insert(open);
        let nonce: Nonce = crate::chance::bytes();
        open.heard.lock().nonce = Some(nonce);
        let call = self.seal.write(Kind::Ping, &nonce);
        let mut sent = Err("cluster.mcast.ports names no port".to_owned());
        for _ in 0..CALLS {
            for port in &self.reach.ports {
                let to = SocketAddr::new(self.reach.group, *port);
                let outcome = open.socket.send_to(&call, to).await;
                let outcome = outcome.map(|_| ()).map_err(|e| format!("cannot send to {to}: {e}"));
                // One way out is enough.
                if sent.is_err() {
                    sent = outcome;
                }
            }
            tokio::time::sleep(COLLECT / CALLS).await;
        }
        let mut heard = open.heard.lock();
        heard.nonce = None;
        let names = std::mem::take(&mut heard.names);
        drop(heard);
        if let Err(why) = sent {
            // Perhaps the interface is another one now.
            self.open = None;
            return Err(why);
        }
        Ok(names.into_iter().map(|name| name.to_string()).collect())
    }

    /// Who was heard and is none of ours; said once.
    pub fn noticed(&mut self) -> String {
        let Some(open) = &self.open else { return String::new() };
        let heard = open.heard.lock();
        let with = |what: Refused| {
            let addresses: Vec<String> = heard
                .strangers
                .iter()
                .filter(|(_, why)| **why == what)
                .map(|(ip, _)| ip.to_string())
                .collect();
            addresses.join(", ")
        };
        let lines = [
            (with(Refused::Cookie), "nodes with another cookie (node.cookie) were heard from"),
            (with(Refused::Cluster), "nodes with another cluster.name were heard from"),
        ];
        let lines = lines.iter().filter(|(addresses, _)| !addresses.is_empty());
        lines.map(|(addresses, words)| format!("{words} {addresses}")).collect::<Vec<_>>().join(", ")
    }

    /// Out of the group: nobody is answered.
    pub fn hide(&mut self) {
        self.open = None;
    }

    fn enter(&self) -> Result<Open, String> {
        let mut why = "cluster.mcast.ports names no port".to_owned();
        for port in &self.reach.ports {
            match bind(&self.reach, *port) {
                Ok(socket) => {
                    tracing::info!(group = %self.reach.group, port, "in the multicast group");
                    let socket = Arc::new(socket);
                    let heard = Arc::new(Mutex::new(Heard::default()));
                    let listening =
                        listen(socket.clone(), self.seal.clone(), heard.clone(), self.reach.group);
                    let listening = tokio::task::spawn_local(listening);
                    return Ok(Open { socket, heard, listening });
                }
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                    why = format!("UDP port {port} is in use");
                }
                Err(e) => {
                    why = format!(
                        "cannot enter the group {} on {} with UDP port {port}: {e}",
                        self.reach.group, self.reach.iface
                    );
                }
            }
        }
        Err(why)
    }
}

fn bind(reach: &Reach, port: u16) -> io::Result<UdpSocket> {
    let any: IpAddr = match reach.group {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let address = SocketAddr::new(any, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Nodes of one host share the port, as they do in EMQ X.
    socket.set_reuse_address(true)?;
    match (reach.group, reach.iface) {
        (IpAddr::V4(group), IpAddr::V4(iface)) => {
            socket.bind(&address.into())?;
            socket.join_multicast_v4(&group, &iface)?;
            socket.set_multicast_if_v4(&iface)?;
            socket.set_multicast_ttl_v4(u32::from(reach.ttl))?;
            socket.set_multicast_loop_v4(reach.looped)?;
        }
        (IpAddr::V6(group), iface) => {
            let index = interface(iface)?;
            socket.set_only_v6(true)?;
            socket.bind(&address.into())?;
            socket.join_multicast_v6(&group, index)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(u32::from(reach.ttl))?;
            socket.set_multicast_loop_v6(reach.looped)?;
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => return Err(unfit(&format!("{} is none of IPv4", reach.iface))),
    }
    UdpSocket::from_std(socket.into())
}

/// The number of the interface that has the address; 0, the system's choice, for none in particular.
fn interface(address: IpAddr) -> io::Result<u32> {
    if address.is_unspecified() {
        return Ok(0);
    }
    let IpAddr::V6(address) = address else { return Err(unfit(&format!("{address} is none of IPv6"))) };
    // Address, number of the interface, and more, all in hexadecimal digits (proc(5)).
    let wanted = format!("{:032x}", address.to_bits());
    let all = std::fs::read_to_string("/proc/net/if_inet6")?;
    let mut lines = all.lines().map(|line| line.split_ascii_whitespace());
    let number = lines.find_map(|mut words| (words.next() == Some(&wanted)).then(|| words.next()).flatten());
    let number = number.and_then(|number| u32::from_str_radix(number, 16).ok());
    number.ok_or_else(|| unfit(&format!("no interface has the address {address}")))
}

fn unfit(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("cluster.mcast.iface does not fit: {why}"))
}

/// Answers callers and notes who is there, for ever.
async fn listen(socket: Arc<UdpSocket>, seal: Arc<Seal>, heard: Arc<Mutex<Heard>>, group: IpAddr) {
    let mut buffer = [0; BYTES_MAX + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "the multicast socket");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let datagram = match seal.read(&buffer[..length]) {
            Ok(datagram) => datagram,
            Err(why) => {
                if heard.lock().stranger(from.ip(), why) {
                    tracing::warn!(from = %from.ip(), ?why, "a node that is none of ours was heard");
                }
                continue;
            }
        };
        let answer = heard.lock().take(&datagram, &seal.node, Instant::now());
        if answer {
            let pong = seal.write(Kind::Pong, &datagram.nonce);
            let to = SocketAddr::new(group, from.port());
            if let Err(error) = socket.send_to(&pong, to).await {
                tracing::debug!(%error, "a multicast answer");
            }
        }
    }
}

/// Who was heard since the last round.
#[derive(Default)]
struct Heard {
    names: BTreeSet<NodeName>,
    strangers: BTreeMap<IpAddr, Refused>,
    /// Of the call that is out.
    nonce: Option<Nonce>,
    /// When a second of answers began, and how many were in it.
    answers: Option<(Instant, u32)>,
}

impl Heard {
    /// Notes a datagram. Whether it is to be answered.
    fn take(&mut self, datagram: &Datagram, own: &NodeName, now: Instant) -> bool {
        if datagram.node == *own {
            return false;
        }
        let counts = datagram.kind == Kind::Ping || self.nonce == Some(datagram.nonce);
        if counts && self.names.len() < HEARD_MAX {
            self.names.insert(datagram.node.clone());
        }
        datagram.kind == Kind::Ping && self.may_answer(now)
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        let (began, count) = self.answers.get_or_insert((now, 0));
        if now.duration_since(*began) >= Duration::from_secs(1) {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        *count <= ANSWERS_PER_SECOND_MAX
    }

    /// Notes a node that is none of ours. Whether it is a new one, worth a word.
    fn stranger(&mut self, from: IpAddr, why: Refused) -> bool {
        why != Refused::Garbage
            && (self.strangers.contains_key(&from) || self.strangers.len() < HEARD_MAX)
            && self.strangers.insert(from, why) != Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).expect("a name")
    }

    fn datagram(kind: Kind, nonce: u8, node: &str) -> Datagram {
        Datagram { kind, nonce: [nonce; 16], node: name(node) }
    }

    #[test]
    fn callers_are_answered_and_only_answers_to_the_present_call_count() {
        let (own, now) = (name("a@h"), Instant::now());
        let mut heard = Heard { nonce: Some([1; 16]), ..Heard::default() };
        assert!(!heard.take(&datagram(Kind::Ping, 1, "a@h"), &own, now), "ourselves");
        assert!(!heard.take(&datagram(Kind::Pong, 1, "b@h"), &own, now));
        assert!(!heard.take(&datagram(Kind::Pong, 2, "old@h"), &own, now));
        assert!(heard.take(&datagram(Kind::Ping, 9, "c@h"), &own, now));
        assert_eq!(heard.names.iter().map(|n| n.as_str()).collect::<Vec<_>>(), ["b@h", "c@h"]);
    }

    #[test]
    fn who_calls_too_often_is_answered_no_more_for_a_while() {
        let (own, now) = (name("a@h"), Instant::now());
        let mut heard = Heard::default();
        let answered = (0..300).filter(|_| heard.take(&datagram(Kind::Ping, 9, "c@h"), &own, now)).count();
        assert_eq!(answered as u32, ANSWERS_PER_SECOND_MAX);
        assert!(heard.take(&datagram(Kind::Ping, 9, "c@h"), &own, now + Duration::from_secs(1)));
    }

    #[test]
    fn a_stranger_is_worth_one_word() {
        let mut heard = Heard::default();
        let from = IpAddr::from([10, 0, 0, 1]);
        assert!(!heard.stranger(from, Refused::Garbage));
        assert!(heard.stranger(from, Refused::Cookie));
        assert!(!heard.stranger(from, Refused::Cookie));
        assert!(heard.stranger(from, Refused::Cluster));
    }
}
