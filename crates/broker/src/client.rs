//! A client as its home shard knows it: the kept part, which outlives connections, and where the client
//! stands between two of them.

use cluster::Stamp;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mqtt::session::{Flight, Session};
use mqtt::{Message, Now, Version};

use crate::access::{Decided, Rights, Who};
use crate::effects::ConnId;
use crate::groups::Picks;
use crate::kept::KeptLetter;
use crate::mailbox::Mailbox;
use crate::routes::{FilterId, Member, Place, Set};
use crate::settings::Zone;
use crate::subscription::Options;
use crate::targets::Targets;

/// What the driver knows of a connection when its CONNECT has come.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The client id: the one of the CONNECT, the user name where the zone says so, or one that
    /// [`crate::assigned_client_id`] has made.
    pub client_id: String,
    /// The client has to be told its id, as it did not choose it.
    pub assigned: bool,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// `mqtt:tcp:external`.
    pub listener: Arc<String>,
    /// The rules of the listener.
    pub zone: Arc<Zone>,
}

/// What is known of a client's latest connection, for those who ask.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) version: Version,
    pub(crate) is_bridge: bool,
    pub(crate) peer: Address,
    pub(crate) listener: Arc<String>,
    pub(crate) clean_start: bool,
    pub(crate) keepalive: u16,
    pub(crate) created_at: u64,
    pub(crate) connected_at: u64,
    /// 0: it is connected, or was never.
    pub(crate) disconnected_at: u64,
    pub(crate) counts: Counts,
}

/// What many clients do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) username: Option<Box<str>>,
    /// The zone's mountpoint for this client.
    pub(crate) mount: Option<Box<str>>,
}

/// An address and a port in 20 bytes, where [`SocketAddr`] takes 32: without the scope of IPv6.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    ip: IpAddr,
    port: u16,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address { ip: address.ip(), port: address.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> SocketAddr {
        SocketAddr::new(address.ip, address.port)
    }
}

/// What a client has sent and been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) packets_in: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
}

/// Seconds that a session outlives its connection: 0 ends with it, this never does.
pub(crate) const NEVER: u32 = u32::MAX;

/// What a client left to be published when it is gone.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) message: Message,
    /// Seconds.
    pub(crate) delay: u32,
}

/// One subscription as its session notes it, in twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) filter: FilterId,
    /// The shared group that it is of, plus one; 0: none.
    group: u32,
    options: u32,
}

impl Member for Subscription {
    fn key(&self) -> u64 {
        u64::from(self.filter.0) | u64::from(self.group) << 32
    }
}

impl Subscription {
    pub(crate) fn new(filter: FilterId, group: Option<u32>, options: Options) -> Subscription {
        Subscription { filter, group: group.map_or(0, |g| g + 1), options: options.pack() }
    }

    pub(crate) fn key_of(filter: FilterId, group: Option<u32>) -> u64 {
        Subscription::new(filter, group, Options::default()).key()
    }

    pub(crate) fn group(self) -> Option<u32> {
        self.group.checked_sub(1)
    }

    pub(crate) fn options(self) -> Options {
        Options::unpack(self.options)
    }
}

/// What a client that publishes needs at each message.
#[derive(Debug)]
pub(crate) struct Publishing {
    /// Its client id: at hand while the shard is busy with its message.
    pub(crate) publisher: Arc<str>,
    pub(crate) last: Remembered,
}

/// What the next message of the same topic, or to the same group, needs.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) targets: Targets,
    pub(crate) picks: Picks,
    pub(crate) token: u64,
}

/// Where a client stands.
pub(crate) enum Life {
    /// Connected.
    Open { conn: ConnId, session: Box<Session> },
    /// Connected, and its session is being fetched from a peer.
    Fetching(Box<Fetching>),
    /// Not connected; the session is kept.
    Away(Box<Away>),
    /// A peer has the session now; what still comes here follows it.
    Leaving(Box<Leaving>),
}

pub(crate) struct Fetching {
    pub(crate) from: Place,
    pub(crate) request: u64,
    /// The session is wanted ended, not here.
    pub(crate) fresh: bool,
    /// The connection that waits, unless it has given up.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) give_up_at: Now,
    /// Another node that wants the session as soon as it is here.
    pub(crate) next: Option<Ask>,
}

/// A node's wish for a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) from: Place,
    pub(crate) request: u64,
    /// It wants the session ended, not moved.
    pub(crate) fresh: bool,
    pub(crate) stamp: Stamp,
}

/// A connection that waits for its session, with its CONNECT packet.
pub(crate) struct Waiting {
    pub(crate) conn: ConnId,
    pub(crate) packet: Vec<u8>,
    pub(crate) info: ConnInfo,
}

#[derive(Default)]
pub(crate) struct Away {
    pub(crate) flight: Flight,
    /// When the session ends.
    pub(crate) ends_at: Option<Now>,
    /// When the will is published.
    pub(crate) will_at: Option<Now>,
}

pub(crate) struct Leaving {
    pub(crate) to: Place,
    pub(crate) request: u64,
    /// The claim with which the peer asked.
    pub(crate) stamp: Stamp,
    /// Kept, as the mailbox is, should the peer die before it has settled.
    pub(crate) away: Away,
    pub(crate) late: VecDeque<KeptLetter>,
    pub(crate) step: LeavingStep,
    /// A connection of the same client that came here again meanwhile.
    pub(crate) next: Option<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeavingStep {
    /// The peer has the session and is making its routes known.
    Given { give_up_at: Now },
    /// Everybody knows them; what was on its way here is still let in.
    Settled { done_at: Now },
}

/// What a session holds back while an old place may still have messages for it.
pub(crate) struct Arriving {
    pub(crate) from: Place,
    pub(crate) request: u64,
    pub(crate) held: VecDeque<KeptLetter>,
    pub(crate) give_up_at: Now,
    /// The old place has been told that everybody knows the new routes.
    pub(crate) settled: bool,
    /// Another node that wants the session as soon as it is whole.
    pub(crate) next: Option<Ask>,
}

/// A client id and all that belongs to it.
pub(crate) struct Client {
    pub(crate) id: Arc<str>,
    pub(crate) stamp: Stamp,
    pub(crate) zone: Arc<Zone>,
    pub(crate) life: Life,
    pub(crate) info: Box<Info>,
    pub(crate) expiry: u32,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) names: Option<Box<Names>>,
    pub(crate) subscriptions: Option<Set<Subscription>>,
    pub(crate) mailbox: Mailbox,
    pub(crate) publishing: Option<Box<Publishing>>,
    pub(crate) rights: Rights,
    pub(crate) decided: Option<Box<Decided>>,
    pub(crate) arriving: Option<Box<Arriving>>,
    /// Which connection of all that the shard has let in this is.
    pub(crate) opening: u64,
    /// The earliest wish that the timers have noted; [`crate::timers::NEVER`] if they have none.
    pub(crate) armed: Now,
}

impl Client {
    pub(crate) fn username(&self) -> Option<&str> {
        self.names.as_ref()?.username.as_deref()
    }

    /// What stands before each of its topics; mostly nothing.
    pub(crate) fn mount(&self) -> &str {
        self.names.as_ref().and_then(|names| names.mount.as_deref()).unwrap_or_default()
    }

    /// Who it is, as far as rules are concerned.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            client_id: &self.id,
            username: self.username(),
            peer: self.info.peer.into(),
            no_match: self.zone.acl_no_match,
        }
    }

    /// Its subscriptions.
    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        self.subscriptions.as_ref().map_or(&[], Set::as_slice)
    }

    /// The shared groups that it is a member of.
    pub(crate) fn groups(&self) -> Vec<u32> {
        self.subscriptions().iter().filter_map(|s| s.group()).collect()
    }

    /// Bytes of the messages that are kept for it.
    pub(crate) fn kept_bytes(&self) -> usize {
        let flight = |flight: &Flight| flight.messages().map(|m| m.as_bytes().len()).sum::<usize>();
        let window = match &self.life {
            Life::Open { session, .. } => session.kept_bytes(),
            Life::Away(away) => flight(&away.flight),
            Life::Leaving(leaving) => flight(&leaving.away.flight),
            Life::Fetching(_) => 0,
        };
        self.mailbox.bytes() + window
    }

    /// More waits for it than its zone allows.
    pub(crate) fn is_overfull(&self) -> bool {
        self.zone
            .waiting_max
            .is_some_and(|max| self.mailbox.len() > max.messages || self.mailbox.bytes() > max.bytes)
    }

    /// When it wants to be looked at.
    pub(crate) fn wake_at(&self) -> Option<Now> {
        let life = match &self.life {
            Life::Open { session, .. } => session.wake_at(),
            Life::Fetching(fetching) => Some(fetching.give_up_at),
            Life::Away(away) => earlier(away.ends_at, away.will_at),
            Life::Leaving(leaving) => match leaving.step {
                LeavingStep::Given { give_up_at } => Some(give_up_at),
                LeavingStep::Settled { done_at } => Some(done_at),
            },
        };
        if self.is_overfull() {
            return Some(Now(0));
        }
        earlier(life, self.arriving.as_ref().map(|a| a.give_up_at))
    }
}

fn earlier(a: Option<Now>, b: Option<Now>) -> Option<Now> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million clients are a million of these: see docs/memory.md.
    #[test]
    fn a_client_stays_small() {
        assert!(size_of::<Client>() <= 160, "{}", size_of::<Client>());
        assert!(size_of::<Info>() <= 96, "{}", size_of::<Info>());
    }
}
