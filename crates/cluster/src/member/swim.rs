//! Failure detection by SWIM (the library foca), its messages carried in frames of the control lanes.
//! It knows only identities and whether they answer, by themselves or asked by others; what follows
//! from that is decided in [`crate::node`]. It changes hints, never membership.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    Config, Foca, Header, Message, NoCustomBroadcast, Notification, PeriodicParams, Runtime, State, Timer,
};
use rand::rngs::StdRng;

use crate::id::{Incarnation, NodeId};

/// Who is probed: a run of a node, and how often it had to contradict its own death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    pub id: NodeId,
    pub incarnation: Incarnation,
    pub bump: u16,
}

impl foca::Identity for Who {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { bump: self.bump.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.incarnation, self.bump) > (adversary.incarnation, adversary.bump)
    }
}

/// What came of a step, in order.
#[derive(Debug, Default)]
struct Outcome {
    messages: Vec<(NodeId, Vec<u8>)>,
    timers: Vec<(Timer<Who>, Duration)>,
    alive: Vec<(NodeId, bool)>,
}

impl Runtime<Who> for Outcome {
    fn notify(&mut self, notification: Notification<'_, Who>) {
        match notification {
            Notification::MemberUp(who) => self.alive.push((who.id, true)),
            Notification::MemberDown(who) => self.alive.push((who.id, false)),
            _ => {}
        }
    }

    fn send_to(&mut self, to: Who, data: &[u8]) {
        self.messages.push((to.id, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Who>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// The detector of one run of this node.
pub(crate) struct Swim {
    foca: Foca<Who, Codec, StdRng, NoCustomBroadcast>,
    timers: BTreeMap<(u64, u64), Timer<Who>>,
    serial: u64,
    alive: BTreeMap<NodeId, bool>,
}

impl Swim {
    pub fn new(id: NodeId, incarnation: Incarnation, rng: StdRng) -> Self {
        let who = Who { id, incarnation, bump: 0 };
        Self {
            foca: Foca::new(who, config(), rng, Codec),
            timers: BTreeMap::new(),
            serial: 0,
            alive: BTreeMap::new(),
        }
    }

    /// Whether somebody has heard of that node of late; `None` when nobody ever did.
    pub fn alive(&self, id: NodeId) -> Option<bool> {
        self.alive.get(&id).copied()
    }

    /// A link to that node is there: greet it. Messages to send are appended to `out`.
    pub fn greet(&mut self, id: NodeId, incarnation: Incarnation, at: u64, out: &mut Vec<(NodeId, Vec<u8>)>) {
        let mut outcome = Outcome::default();
        // An error leaves the detector as it was; the next probe finds the node.
        let _ = self.foca.announce(Who { id, incarnation, bump: 0 }, &mut outcome);
        self.take(outcome, at, out);
    }

    pub fn receive(&mut self, data: &[u8], at: u64, out: &mut Vec<(NodeId, Vec<u8>)>) {
        let mut outcome = Outcome::default();
        // Garbage is dropped whole.
        let _ = self.foca.handle_data(data, &mut outcome);
        self.take(outcome, at, out);
    }

    pub fn expire(&mut self, at: u64, out: &mut Vec<(NodeId, Vec<u8>)>) {
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= at) {
            let timer = entry.remove();
            let mut outcome = Outcome::default();
            let _ = self.foca.handle_timer(timer, &mut outcome);
            self.take(outcome, at, out);
        }
    }

    pub fn wake_at(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// That node is no member any more.
    pub fn forget(&mut self, id: NodeId) {
        self.alive.remove(&id);
    }

    fn take(&mut self, outcome: Outcome, at: u64, out: &mut Vec<(NodeId, Vec<u8>)>) {
        for (timer, after) in outcome.timers {
            self.serial += 1;
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            self.timers.insert((at.saturating_add(after), self.serial), timer);
        }
        self.alive.extend(outcome.alive);
        out.extend(outcome.messages);
    }
}

fn config() -> Config {
    let two = const { NonZeroUsize::new(2).expect("two") };
    Config {
        probe_period: Duration::from_millis(500),
        probe_rtt: Duration::from_millis(200),
        num_indirect_probes: const { NonZeroUsize::new(3).expect("three") },
        max_transmissions: const { NonZeroU8::new(8).expect("eight") },
        suspect_to_down_after: Duration::from_millis(1_000),
        // A node that was down is met again by its link, long before this.
        remove_down_after: Some(Duration::from_secs(60)),
        max_packet_size: const { NonZeroUsize::new(1_400).expect("a packet") },
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: Some(PeriodicParams {
            frequency: Duration::from_secs(2),
            num_members: two,
        }),
        periodic_gossip: Some(PeriodicParams { frequency: Duration::from_millis(500), num_members: two }),
    }
}

/// The bytes of the detector's messages: fixed widths, big endian.
struct Codec;

#[derive(Debug)]
struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a message of the failure detector")
    }
}

impl std::error::Error for Malformed {}

const WHO: usize = 26;

fn put_who(who: &Who, buf: &mut impl BufMut) {
    buf.put_slice(&who.id.0);
    buf.put_u64(who.incarnation);
    buf.put_u16(who.bump);
}

fn read_who(buf: &mut impl Buf) -> Result<Who, Malformed> {
    if buf.remaining() < WHO {
        return Err(Malformed);
    }
    let mut id = [0; 16];
    buf.copy_to_slice(&mut id);
    Ok(Who { id: NodeId(id), incarnation: buf.get_u64(), bump: buf.get_u16() })
}

impl foca::Codec<Who> for Codec {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<Who>, mut buf: impl BufMut) -> Result<(), Malformed> {
        if buf.remaining_mut() < 3 * WHO + 4 {
            return Err(Malformed);
        }
        put_who(&header.src, &mut buf);
        buf.put_u16(header.src_incarnation);
        put_who(&header.dst, &mut buf);
        let (number, probe, other) = match &header.message {
            Message::Ping(n) => (1, *n, None),
            Message::Ack(n) => (2, *n, None),
            Message::PingReq { target, probe_number } => (3, *probe_number, Some(target)),
            Message::IndirectPing { origin, probe_number } => (4, *probe_number, Some(origin)),
            Message::IndirectAck { target, probe_number } => (5, *probe_number, Some(target)),
            Message::ForwardedAck { origin, probe_number } => (6, *probe_number, Some(origin)),
            Message::Announce => (7, 0, None),
            Message::Feed => (8, 0, None),
            Message::Gossip => (9, 0, None),
            Message::Broadcast => (10, 0, None),
            Message::TurnUndead => (11, 0, None),
        };
        buf.put_u8(number);
        buf.put_u8(probe);
        if let Some(other) = other {
            put_who(other, &mut buf);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Who>, Malformed> {
        let src = read_who(&mut buf)?;
        let src_incarnation = if buf.remaining() >= 2 { buf.get_u16() } else { return Err(Malformed) };
        let dst = read_who(&mut buf)?;
        if buf.remaining() < 2 {
            return Err(Malformed);
        }
        let (number, probe_number) = (buf.get_u8(), buf.get_u8());
        let message = match number {
            1 => Message::Ping(probe_number),
            2 => Message::Ack(probe_number),
            3 => Message::PingReq { target: read_who(&mut buf)?, probe_number },
            4 => Message::IndirectPing { origin: read_who(&mut buf)?, probe_number },
            5 => Message::IndirectAck { target: read_who(&mut buf)?, probe_number },
            6 => Message::ForwardedAck { origin: read_who(&mut buf)?, probe_number },
            7 => Message::Announce,
            8 => Message::Feed,
            9 => Message::Gossip,
            10 => Message::Broadcast,
            11 => Message::TurnUndead,
            _ => return Err(Malformed),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &foca::Member<Who>, mut buf: impl BufMut) -> Result<(), Malformed> {
        if buf.remaining_mut() < WHO + 3 {
            return Err(Malformed);
        }
        put_who(member.id(), &mut buf);
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 1,
            State::Suspect => 2,
            State::Down => 3,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<foca::Member<Who>, Malformed> {
        let who = read_who(&mut buf)?;
        if buf.remaining() < 3 {
            return Err(Malformed);
        }
        let incarnation = buf.get_u16();
        let state = match buf.get_u8() {
            1 => State::Alive,
            2 => State::Suspect,
            3 => State::Down,
            _ => return Err(Malformed),
        };
        Ok(foca::Member::new(who, incarnation, state))
    }
}
