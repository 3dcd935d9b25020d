//! How a connection between nodes begins: who are you, do we share a secret and a version, and what is
//! this connection for. Both sides of it, as one machine: bytes in, bytes out.
//!
//! ```text
//! dialler  → magic HELLO   versions, identity, lane, the name it looks for, a random challenge
//! acceptor → magic HELLO   versions, identity, a random challenge
//! dialler  → PROOF         HMAC-SHA256 by each cookie it holds, over both hellos
//! acceptor → ACCEPT        HMAC-SHA256 by the cookie that fitted, over both hellos; or REFUSE
//! ```
//!
//! The cookie never travels. A proof binds both challenges, both identities, the lane and the role, so it
//! can be neither replayed nor reflected. The dialler proves first: who knocks learns nothing that
//! helps to guess the cookie. Secrecy is the business of TLS; its channel may be bound in by [`Handshake::bind`].

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::cause::Cause;
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::name::{NAME_BYTES_MAX, NodeName};
use crate::now::Now;
use crate::wire::{Reader, as_u64, put, put_u64, put_with};

/// What a connection between nodes starts with. The line ends show a text protocol at once.
pub const MAGIC: [u8; 8] = *b"FLOCK\0\r\n";
/// The oldest version of the protocol spoken here.
pub const VERSION_MIN: u16 = 1;
/// The newest version of the protocol spoken here.
pub const VERSION_MAX: u16 = 1;
/// How long a handshake may take, in milliseconds.
pub const TIME_LIMIT: u64 = 10_000;
/// No message of a handshake is longer, so a stranger costs next to nothing.
const MESSAGE_BYTES_MAX: usize = 4_096;
/// More cookies than these are not tried.
pub const COOKIES_MAX: usize = 8;

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const ACCEPT: u8 = 3;
const REFUSE: u8 = 4;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Talk about the cluster: the control lane of [`crate::Node`].
    Control,
    /// The data lane with this number, from the dialler's shard of that number.
    Data(u16),
    /// Only to learn who answers, of whatever name; closed by the dialler when it knows.
    Probe,
}

impl Purpose {
    fn encode(self) -> u64 {
        match self {
            Self::Control => 0,
            Self::Probe => 1,
            Self::Data(lane) => 1 << 32 | u64::from(lane),
        }
    }

    fn decode(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Control),
            1 => Some(Self::Probe),
            _ if number >> 32 == 1 => u16::try_from(number & 0xFFFF_FFFF).ok().map(Self::Data),
            _ => None,
        }
    }
}

/// Ourselves, as the handshake shows it.
#[derive(Debug, Clone)]
pub struct Local {
    /// The identity of this node.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The cookie, and behind it those that peers may show besides; at most [`COOKIES_MAX`] are used.
    pub cookies: Vec<Vec<u8>>,
    /// What this node can do, a bit each.
    pub capabilities: u64,
}

/// The other side, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its identity.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// What the connection is for.
    pub purpose: Purpose,
    /// What both can do.
    pub capabilities: u64,
    /// The version that both speak.
    pub version: u16,
    /// Whether it accepted us by a cookie that is not our first: a change of cookie is under way.
    pub by_further_cookie: bool,
}

/// Where a handshake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// Done. So many of the bytes handed in belonged to the handshake; the rest is the lane's.
    Done {
        /// Who is there.
        peer: Peer,
        /// Bytes of the last input that were used.
        used: usize,
    },
    /// Write what is in the output, then close.
    Close(Cause),
}

#[derive(Debug)]
enum Step {
    /// The other side's hello is to come.
    Hello,
    /// Both hellos are known; the other side's proof is to come.
    Proof {
        peer: Peer,
        seeks: Option<NodeName>,
        transcript: [u8; 32],
    },
    Over(Cause),
}

/// One side of the beginning of one connection.
#[derive(Debug)]
pub struct Handshake {
    local: Local,
    /// The name that we dialled; `None` on the accepting side.
    seeks: Option<NodeName>,
    purpose: Purpose,
    hello: Vec<u8>,
    partial: Vec<u8>,
    magic_seen: bool,
    step: Step,
    give_up_at: u64,
    binding: Vec<u8>,
}

impl Handshake {
    /// Begins as the one who dials the node of that name. The nonce must come from a good source of chance.
    pub fn dial(
        local: Local,
        seeks: NodeName,
        purpose: Purpose,
        nonce: [u8; 32],
        now: Now,
        out: &mut Vec<u8>,
    ) -> Self {
        let this = Self::new(local, Some(seeks), purpose, nonce, now);
        this.say_hello(out);
        this
    }

    /// Begins as the one who was dialled.
    pub fn accept(local: Local, nonce: [u8; 32], now: Now) -> Self {
        Self::new(local, None, Purpose::Probe, nonce, now)
    }

    fn new(local: Local, seeks: Option<NodeName>, purpose: Purpose, nonce: [u8; 32], now: Now) -> Self {
        let mut hello = Vec::with_capacity(256);
        put_u64(&mut hello, 1, u64::from(VERSION_MIN));
        put_u64(&mut hello, 2, u64::from(VERSION_MAX));
        put(&mut hello, 3, &local.id.0);
        put(&mut hello, 4, local.name.as_str().as_bytes());
        put_u64(&mut hello, 5, local.incarnation);
        put(&mut hello, 6, &local.cluster.encode());
        put_u64(&mut hello, 7, local.capabilities);
        put(&mut hello, 8, &nonce);
        if let Some(seeks) = &seeks {
            put_u64(&mut hello, 9, purpose.encode());
            put(&mut hello, 10, seeks.as_str().as_bytes());
        }
        Self {
            local,
            seeks,
            purpose,
            hello,
            partial: Vec::new(),
            magic_seen: false,
            step: Step::Hello,
            give_up_at: now.at + TIME_LIMIT,
            binding: Vec::new(),
        }
    }

    /// Binds the proofs to the channel below: keying material of TLS, the same on both sides and on no other
    /// channel, so that nobody between the two can pass proofs on. Before the first [`Self::receive`].
    pub fn bind(&mut self, material: &[u8]) {
        self.binding = material.to_vec();
    }

    /// Takes bytes from the socket; what must be written is appended to `out`.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Progress {
        if let Step::Over(cause) = self.step {
            return Progress::Close(cause);
        }
        let before = self.partial.len();
        // Bytes behind the end of a handshake belong to a lane and are not ours to keep.
        let room = MAGIC.len() + MESSAGE_BYTES_MAX + 2;
        let mut fed = 0;
        loop {
            let more = bytes.len().min(fed + room.saturating_sub(self.partial.len()));
            self.partial.extend_from_slice(&bytes[fed..more]);
            fed = more;
            let progress = self.advance(out);
            match progress {
                Ok(Some(peer)) => {
                    let used = fed - self.partial.len();
                    debug_assert!(before == 0 || used > 0);
                    self.step = Step::Over(Cause::Closed);
                    return Progress::Done { peer, used };
                }
                Ok(None) if fed < bytes.len() => {}
                Ok(None) => return Progress::More,
                Err(cause) => {
                    self.step = Step::Over(cause);
                    self.partial = Vec::new();
                    return Progress::Close(cause);
                }
            }
        }
    }

    /// To be called when [`Self::wake_at`] has come: a cause when the time is over.
    pub fn expire(&mut self, now: Now) -> Option<Cause> {
        if now.at < self.give_up_at || matches!(self.step, Step::Over(_)) {
            return None;
        }
        self.step = Step::Over(Cause::TimedOut);
        Some(Cause::TimedOut)
    }

    /// When [`Self::expire`] wants to be called, on the clock of [`Now::at`].
    pub fn wake_at(&self) -> Option<u64> {
        (!matches!(self.step, Step::Over(_))).then_some(self.give_up_at)
    }

    /// Handles whatever is complete in `partial`.
    fn advance(&mut self, out: &mut Vec<u8>) -> Result<Option<Peer>, Cause> {
        loop {
            if !self.magic_seen {
                let length = self.partial.len().min(MAGIC.len());
                if self.partial[..length] != MAGIC[..length] {
                    return Err(Cause::NotAPeer);
                }
                if length < MAGIC.len() {
                    return Ok(None);
                }
                self.partial.drain(..MAGIC.len());
                self.magic_seen = true;
            }
            let Some(length) = Reader(&self.partial).u16().map(usize::from) else { return Ok(None) };
            if length == 0 || length > MESSAGE_BYTES_MAX {
                return Err(Cause::NotAPeer);
            }
            if self.partial.len() < 2 + length {
                return Ok(None);
            }
            let message: Vec<u8> = self.partial.drain(..2 + length).skip(2).collect();
            if let Some(peer) = self.message(message[0], &message[1..], out)? {
                return Ok(Some(peer));
            }
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Peer>, Cause> {
        if kind == REFUSE {
            return Err(Cause::from_byte(Reader(body).byte().unwrap_or_default()));
        }
        match std::mem::replace(&mut self.step, Step::Over(Cause::NotAPeer)) {
            Step::Hello if kind == HELLO => {
                let (peer, seeks) = self.read_hello(body).map_err(|cause| refuse(out, cause))?;
                let transcript = self.transcript(body);
                if self.seeks.is_some() {
                    self.show_proof(&transcript, out);
                } else {
                    self.say_hello(out);
                }
                self.step = Step::Proof { peer, seeks, transcript };
                Ok(None)
            }
            Step::Proof { peer, seeks, transcript } if kind == PROOF && self.seeks.is_none() => {
                self.check_proof(body, peer, seeks.as_ref(), &transcript, out).map(Some)
            }
            Step::Proof { peer, transcript, .. } if kind == ACCEPT && self.seeks.is_some() => {
                self.check_acceptance(body, peer, &transcript).map(Some)
            }
            _ => Err(Cause::NotAPeer),
        }
    }

    fn say_hello(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        frame(out, HELLO, |out| out.extend_from_slice(&self.hello));
    }

    fn read_hello(&self, body: &[u8]) -> Result<(Peer, Option<NodeName>), Cause> {
        let (mut low, mut high, mut id, mut name, mut incarnation) = (None, None, None, None, None);
        let (mut cluster, mut capabilities, mut nonce, mut purpose, mut seeks) = (None, 0, false, None, None);
        let mut reader = Reader(body);
        while let Some((number, content)) = reader.field() {
            match number {
                1 => low = as_u64(content),
                2 => high = as_u64(content),
                3 => id = NodeId::from_slice(content),
                4 => name = read_name(content),
                5 => incarnation = as_u64(content),
                6 => cluster = ClusterId::decode(content),
                7 => capabilities = as_u64(content).unwrap_or(0),
                8 => nonce = content.len() == 32,
                9 => purpose = as_u64(content).and_then(Purpose::decode),
                10 => seeks = read_name(content),
                _ => {}
            }
        }
        let (Some(low), Some(high)) = (low, high) else { return Err(Cause::NotAPeer) };
        let version = high.min(u64::from(VERSION_MAX));
        if low > version || version < u64::from(VERSION_MIN) {
            return Err(Cause::IncompatibleVersion);
        }
        let (Some(id), Some(name), Some(incarnation), Some(cluster), true) =
            (id, name, incarnation, cluster, nonce)
        else {
            return Err(Cause::NotAPeer);
        };
        if id == self.local.id {
            return Err(Cause::Myself);
        }
        let purpose = if self.seeks.is_some() { Some(self.purpose) } else { purpose };
        let peer = Peer {
            id,
            name,
            incarnation,
            cluster,
            purpose: purpose.ok_or(Cause::IncompatibleVersion)?,
            capabilities: capabilities & self.local.capabilities,
            version: u16::try_from(version).unwrap_or(VERSION_MAX),
            by_further_cookie: false,
        };
        Ok((peer, seeks))
    }

    fn transcript(&self, other: &[u8]) -> [u8; 32] {
        let (dialler, acceptor) = if self.seeks.is_some() {
            (self.hello.as_slice(), other)
        } else {
            (other, self.hello.as_slice())
        };
        let mut hash = Sha256::new();
        for part in [dialler, acceptor, &self.binding] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.local.cookies.iter().take(COOKIES_MAX).map(Vec::as_slice)
    }

    fn show_proof(&self, transcript: &[u8; 32], out: &mut Vec<u8>) {
        frame(out, PROOF, |out| {
            for cookie in self.cookies() {
                put(out, 1, &mac(cookie, b"dialler", transcript).finalize().into_bytes());
            }
        });
    }

    fn check_proof(
        &self,
        body: &[u8],
        mut peer: Peer,
        seeks: Option<&NodeName>,
        transcript: &[u8; 32],
        out: &mut Vec<u8>,
    ) -> Result<Peer, Cause> {
        let mut reader = Reader(body);
        let mut shown = 0u64;
        while let Some((number, proof)) = reader.field() {
            if number != 1 || shown >= COOKIES_MAX as u64 {
                continue;
            }
            let fits = self
                .cookies()
                .position(|cookie| mac(cookie, b"dialler", transcript).verify_slice(proof).is_ok());
            if let Some(index) = fits {
                // Who only looks learns who it is.
                let sought = peer.purpose != Purpose::Probe;
                if sought && seeks.is_some_and(|seeks| *seeks != self.local.name) {
                    return Err(refuse(out, Cause::NameMismatch));
                }
                let cookie = self.local.cookies[index].as_slice();
                frame(out, ACCEPT, |out| {
                    put(out, 1, &mac(cookie, b"acceptor", transcript).finalize().into_bytes());
                    put_u64(out, 2, shown);
                });
                peer.by_further_cookie = index > 0 || shown > 0;
                return Ok(peer);
            }
            shown += 1;
        }
        Err(refuse(out, Cause::BadCookie))
    }

    fn check_acceptance(&self, body: &[u8], mut peer: Peer, transcript: &[u8; 32]) -> Result<Peer, Cause> {
        let mut reader = Reader(body);
        let (mut proof, mut index) = (None, None);
        while let Some((number, content)) = reader.field() {
            match number {
                1 => proof = Some(content),
                2 => index = as_u64(content).and_then(|i| usize::try_from(i).ok()),
                _ => {}
            }
        }
        let (Some(proof), Some(index)) = (proof, index) else { return Err(Cause::NotAPeer) };
        let cookie = self.cookies().nth(index).ok_or(Cause::BadCookie)?;
        mac(cookie, b"acceptor", transcript).verify_slice(proof).map_err(|_| Cause::BadCookie)?;
        if self.purpose != Purpose::Probe && self.seeks.as_ref().is_some_and(|seeks| *seeks != peer.name) {
            return Err(Cause::NameMismatch);
        }
        peer.by_further_cookie = index > 0;
        Ok(peer)
    }
}

fn read_name(content: &[u8]) -> Option<NodeName> {
    if content.len() > NAME_BYTES_MAX {
        return None;
    }
    std::str::from_utf8(content).ok().and_then(|text| NodeName::parse(text).ok())
}

fn mac(cookie: &[u8], role: &[u8], transcript: &[u8; 32]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(cookie).expect("HMAC takes keys of any length");
    mac.update(b"flockmq bus 1 ");
    mac.update(role);
    mac.update(transcript);
    mac
}

fn frame(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0, 0, kind]);
    body(out);
    let length = u16::try_from(out.len() - at - 2).expect("messages of a handshake are short");
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

fn refuse(out: &mut Vec<u8>, cause: Cause) -> Cause {
    // The first bytes we say must show who we are, whatever they say.
    if out.is_empty() && cause != Cause::BadCookie && cause != Cause::NameMismatch {
        out.extend_from_slice(&MAGIC);
    }
    frame(out, REFUSE, |out| put_cause(out, cause));
    cause
}

fn put_cause(out: &mut Vec<u8>, cause: Cause) {
    out.push(cause as u8);
    put_with(out, 1, |out| out.extend_from_slice(cause.word().as_bytes()));
}

#[cfg(test)]
#[path = "handshake/tests.rs"]
mod tests;
