//! The machine of one data thread: the clients whose home it is, its index of their filters, and every
//! decision about who gets a message. Inputs are methods; what they cause leaves through [`Effects`]
//! in order. Nothing here fails: bad input ends a connection or is counted.

mod access;
mod admin;
mod connect;
mod deliver;
mod ending;
mod exclusive;
mod publish;
mod subscribe;
mod takeover;
#[cfg(test)]
mod tests;

use cluster::Stamp;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use mqtt::packet::{AckKind, Packet};
use mqtt::session::{Close, Copies, Request};
use mqtt::{Message, Now, QoS, Reason};
use slab::Slab;

use crate::access::Access;
use crate::client::{Client, Life, Remembered};
use crate::effects::{Cause, ConnId, Effects, Extent, Ticket, Wait, Wish};
use crate::groups::{Groups, Rng};
use crate::registry::Registry;
use crate::routes::{FilterId, Place, Table};
use crate::settings::Settings;
use crate::stats::{Gauges, Stats};
use crate::subscription::{Options, Target};
use crate::targets::Lookup;
use crate::timers::{self, Timers};

use exclusive::{Alone, Asking};

pub use admin::{ClientInfo, Identified, SubscriptionInfo};

/// What a shard is made with.
pub struct ShardConfig {
    /// The shard's own place.
    pub place: Place,
    /// What its node is called by every node, for the order of group members; not 0.
    pub node_key: u64,
    /// Another number for each shard and each start.
    pub seed: u64,
    pub settings: Settings,
    pub access: Box<dyn Access>,
}

/// The clients of one data thread.
pub struct Shard {
    place: Place,
    node_key: u64,
    settings: Settings,
    access: Box<dyn Access>,
    rng: Rng,
    clients: Slab<Client>,
    /// Clients by their id.
    ids: HashTable<u32>,
    hasher: FixedState,
    /// Clients by their connection; `NOBODY` where there is none.
    conns: Vec<u32>,
    index: Table<Target>,
    groups: Groups,
    /// Counts changes of the groups' members.
    groups_version: u64,
    registry: Registry,
    /// Filters that a session of this shard has for itself.
    alone: BTreeMap<FilterId, Alone>,
    timers: Timers,
    pending: HashMap<u64, Pending, FixedState>,
    /// The last ticket; none is used twice, as answers may come late.
    tickets: u64,
    stats: Stats,
    gauges: Gauges,
    /// Names the next publication.
    publication: u64,
    /// Connections that were let in; tells one from the next of the same client.
    openings: u64,
    /// The last topic that came from another place, or from this node itself.
    elsewhere: Remembered,
    /// Reused buffers, so that a message costs no allocation.
    frame: Vec<u8>,
    topic: String,
    copies: Option<Box<Copies>>,
    batch: Vec<Message>,
}

const NOBODY: u32 = u32::MAX;

/// What waits for an answer from outside.
enum Pending {
    /// A PUBLISH whose retained message goes to disk.
    Retain { client: u32, opening: u64, ticket: mqtt::session::Ticket, reason: Reason },
    /// A SUBSCRIBE whose routes are on their way.
    Subscribe { client: u32, opening: u64, packet_id: u16, codes: Vec<u8>, replays: Vec<(Box<str>, Options)> },
    /// A session that came from a peer and whose routes are on their way.
    Settle { client: u32, request: u64 },
    /// A SUBSCRIBE that asks for filters for its client alone.
    Exclusive(Box<Asking>),
    /// What a session that came from a peer has for itself.
    Keep { filters: Vec<Arc<str>> },
}

impl Shard {
    /// A shard without clients.
    pub fn new(config: ShardConfig) -> Shard {
        let mut rng = Rng::new(config.seed);
        Shard {
            place: config.place,
            node_key: config.node_key,
            settings: config.settings,
            access: config.access,
            clients: Slab::new(),
            ids: HashTable::new(),
            hasher: FixedState::with_seed(rng.next()),
            conns: Vec::new(),
            index: Table::new(rng.next()),
            groups: Groups::default(),
            groups_version: 0,
            registry: Registry::new(rng.next()),
            alone: BTreeMap::new(),
            timers: Timers::default(),
            pending: HashMap::with_hasher(FixedState::with_seed(0)),
            tickets: 0,
            stats: Stats::default(),
            gauges: Gauges::default(),
            publication: rng.next(),
            openings: 0,
            elsewhere: Remembered::default(),
            frame: Vec::new(),
            topic: String::new(),
            copies: None,
            batch: Vec::new(),
            rng,
        }
    }

    /// New rules of the broker, from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        // What was looked up holds the strategies of before.
        self.groups_version += 1;
    }

    /// A packet of a connection that [`Shard::connect`] has brought in. Not to be called between
    /// [`Effects::pause`] and [`Effects::resume`], nor once the shard has closed the connection.
    pub fn packet(&mut self, conn: ConnId, packet: Packet<'_>, now: Now, fx: &mut impl Effects) {
        let Some(slot) = self.slot_of(conn) else { return };
        self.count_received(&packet);
        let acked = if let Packet::Ack(ack) = &packet { Some((ack.kind, ack.reason)) } else { None };
        let client = &mut self.clients[slot as usize];
        client.info.counts.packets_in += 1;
        let Life::Open { session, .. } = &mut client.life else { return };
        let mut cause = None;
        let request = session.receive(packet, now, fx.out(conn));
        if let Some((kind, reason)) = acked {
            self.count_exchange(kind, reason, request.as_ref());
        }
        match request {
            None | Some(Request::Missed) => {}
            Some(Request::Publish(published)) => {
                self.publish_from(slot, conn, &published, now, fx);
                if published.qos == QoS::ExactlyOnce {
                    // It is given up when its PUBREL does not come; nothing else may have to be looked at before.
                    self.arm(slot);
                }
            }
            Some(Request::Subscribe(subscribe)) => self.subscribe_from(slot, conn, &subscribe, now, fx),
            Some(Request::Unsubscribe(packet)) => self.unsubscribe_from(slot, conn, &packet, now, fx),
            Some(Request::Acked) => {
                self.stats.messages_acked += 1;
                self.pump(slot, fx);
            }
            Some(Request::Disconnect { will, session_expiry }) => {
                cause = Some(self.said_goodbye(slot, will, session_expiry));
            }
        }
        self.end_if_closing(slot, conn, cause, now, fx);
    }

    /// Ends a connection whose session has put out its end.
    fn end_if_closing(
        &mut self,
        slot: u32,
        conn: ConnId,
        cause: Option<Cause>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        // An answer that could be given at once may have ended it, and the session with it.
        if self.slot_of(conn) != Some(slot) {
            return;
        }
        if let Some(close) = fx.out(conn).closing() {
            let cause = cause.unwrap_or(match close {
                Close::ByClient => Cause::Normal,
                Close::ByServer(reason) => Cause::Refused(reason),
            });
            self.end_connection(slot, cause, now, fx);
        }
    }

    /// The bytes of a connection made no packet: it ends.
    pub fn malformed(&mut self, conn: ConnId, reason: Reason, now: Now, fx: &mut impl Effects) {
        let Some(slot) = self.slot_of(conn) else { return };
        if let Life::Open { session, .. } = &mut self.clients[slot as usize].life {
            session.close(reason, fx.out(conn));
        }
        self.end_connection(slot, Cause::Refused(reason), now, fx);
    }

    /// The output of a connection has become short again: what waited for that may go on.
    pub fn writable(&mut self, conn: ConnId, fx: &mut impl Effects) {
        if let Some(slot) = self.slot_of(conn) {
            self.pump(slot, fx);
        }
    }

    /// The stream of a connection has ended.
    pub fn closed(&mut self, conn: ConnId, now: Now, fx: &mut impl Effects) {
        if let Some(slot) = self.slot_of(conn) {
            self.lose_connection(slot, conn, now, fx);
        }
    }

    /// The wishes before [`Effects::routes`] have come into force.
    pub fn routes_in(&mut self, ticket: Ticket, now: Now, fx: &mut impl Effects) {
        match self.pending.remove(&ticket.0) {
            Some(Pending::Subscribe { client, opening, packet_id, codes, replays }) => {
                if let Some(conn) = self.still_open(client, opening) {
                    self.answer_subscribe(client, conn, packet_id, &codes, replays, fx);
                    self.end_if_closing(client, conn, None, now, fx);
                }
            }
            Some(Pending::Settle { client, request }) => self.settle(client, request, now, fx),
            Some(Pending::Retain { .. } | Pending::Exclusive(_) | Pending::Keep { .. }) | None => {}
        }
    }

    /// The retained message of [`Effects::retain`] is on disk, or, if `reason` says so, is not.
    pub fn retained_stored(&mut self, ticket: Ticket, reason: Reason, now: Now, fx: &mut impl Effects) {
        if let Some(Pending::Retain { client, opening, ticket, reason: routed }) =
            self.pending.remove(&ticket.0)
            && let Some(conn) = self.still_open(client, opening)
            && let Life::Open { session, .. } = &mut self.clients[client as usize].life
        {
            let reason = if reason.is_error() { reason } else { routed };
            session.accepted(ticket, reason, fx.out(conn));
            self.end_if_closing(client, conn, None, now, fx);
        }
    }

    /// Everything whose time has come.
    pub fn expire(&mut self, now: Now, fx: &mut impl Effects) {
        while let Some((at, slot)) = self.timers.due(now) {
            let Some(client) = self.clients.get_mut(slot as usize) else { continue };
            if client.armed == at {
                client.armed = timers::NEVER;
            }
            self.expire_client(slot, now, fx);
            self.arm(slot);
        }
    }

    /// When [`Shard::expire`] wants to be called.
    pub fn wake_at(&self) -> Option<Now> {
        self.timers.wake_at()
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What there is now.
    pub fn gauges(&self) -> Gauges {
        Gauges { sessions: self.clients.len() as u64, filters: self.index.len() as u64, ..self.gauges }
    }

    fn slot_of(&self, conn: ConnId) -> Option<u32> {
        self.conns.get(conn.0 as usize).copied().filter(|slot| *slot != NOBODY)
    }

    /// The connection of a client, if it is still the one with this number.
    fn still_open(&self, slot: u32, opening: u64) -> Option<ConnId> {
        let client = self.clients.get(slot as usize).filter(|c| c.opening == opening)?;
        if let Life::Open { conn, .. } = client.life { Some(conn) } else { None }
    }

    fn bind(&mut self, conn: ConnId, slot: u32) {
        let at = conn.0 as usize;
        if self.conns.len() <= at {
            self.conns.resize(at + 1, NOBODY);
        }
        self.conns[at] = slot;
    }

    fn unbind(&mut self, conn: ConnId) {
        if let Some(slot) = self.conns.get_mut(conn.0 as usize) {
            *slot = NOBODY;
        }
    }

    fn find(&self, id: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.ids.find(hash, |&s| *self.clients[s as usize].id == *id).copied()
    }

    fn add_client(&mut self, client: Client) -> u32 {
        let id = client.id.clone();
        let slot = self.clients.insert(client) as u32;
        let (clients, hasher) = (&self.clients, &self.hasher);
        self.ids.insert_unique(hasher.hash_one(&*id), slot, |&s| hasher.hash_one(&*clients[s as usize].id));
        slot
    }

    fn remove_client(&mut self, slot: u32) -> Client {
        let id: Arc<str> = self.clients[slot as usize].id.clone();
        if let Ok(found) = self.ids.find_entry(self.hasher.hash_one(&*id), |&s| s == slot) {
            found.remove();
        }
        self.clients.remove(slot as usize)
    }

    /// Notes with the timers when a client wants to be looked at.
    pub(super) fn arm(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot as usize) {
            self.timers.arm(slot, client.wake_at(), &mut client.armed);
        }
    }

    /// Gives work to `then` once the wishes made so far are in force.
    fn when_routes_in(&mut self, extent: Extent, work: Pending, now: Now, fx: &mut impl Effects) {
        let ticket = self.ticket();
        self.pending.insert(ticket.0, work);
        if fx.routes(extent, ticket) == Wait::Over {
            self.routes_in(ticket, now, fx);
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn claim(&mut self, client: &Arc<str>, stamp: Option<Stamp>, fx: &mut impl Effects) {
        if self.settings.registry {
            fx.claim(client, stamp);
        }
    }

    /// Tells the other places how many members a group has here.
    fn tell_members(&mut self, group: u32, fx: &mut impl Effects) {
        self.groups_version += 1;
        if let Some(group) = self.groups.group(group) {
            fx.wish(Wish::Members(&group.key(), group.count(self.settings.shared_ack)));
        }
    }

    fn lookup<'a>(&'a self, fx: &'a impl Effects) -> Lookup<'a> {
        Lookup {
            index: &self.index,
            index_version: self.index.version() + self.groups_version,
            groups: &self.groups,
            interest: fx.interest(),
            settings: &self.settings,
            own_place: self.place,
            node_key: self.node_key,
        }
    }

    /// What a session has made of an acknowledgement: the packet it answered, and whether it fitted nothing.
    fn count_exchange(&mut self, kind: AckKind, reason: Reason, request: Option<&Request<'_>>) {
        let stats = &mut self.stats;
        let missed = matches!(request, Some(Request::Missed));
        let (answered, missing) = match kind {
            AckKind::Puback => (None, &mut stats.packets_puback_missed),
            AckKind::Pubcomp => (None, &mut stats.packets_pubcomp_missed),
            AckKind::Pubrel => (Some(&mut stats.packets_pubcomp_sent), &mut stats.packets_pubrel_missed),
            AckKind::Pubrec => (
                // A refusal ends the exchange.
                (!reason.is_error()).then_some(&mut stats.packets_pubrel_sent),
                &mut stats.packets_pubrec_missed,
            ),
        };
        *missing += u64::from(missed);
        if let Some(answered) = answered {
            *answered += 1;
            stats.packets_sent += 1;
        }
    }

    fn count_received(&mut self, packet: &Packet<'_>) {
        let stats = &mut self.stats;
        stats.packets_received += 1;
        *match packet {
            Packet::Publish(_) => &mut stats.packets_publish_received,
            Packet::Ack(ack) => match ack.kind {
                AckKind::Puback => &mut stats.packets_puback_received,
                AckKind::Pubrec => &mut stats.packets_pubrec_received,
                AckKind::Pubrel => &mut stats.packets_pubrel_received,
                AckKind::Pubcomp => &mut stats.packets_pubcomp_received,
            },
            Packet::Subscribe(_) => &mut stats.packets_subscribe_received,
            Packet::Unsubscribe(_) => &mut stats.packets_unsubscribe_received,
            Packet::Pingreq => {
                stats.packets_pingresp_sent += 1;
                stats.packets_sent += 1;
                &mut stats.packets_pingreq_received
            }
            Packet::Disconnect(_) => &mut stats.packets_disconnect_received,
            Packet::Auth(_) => &mut stats.packets_auth_received,
            _ => return,
        } += 1;
    }
}

/// A client id for a client that brought none; `random` makes it unlike all others.
pub fn assigned_client_id(random: u128) -> String {
    format!("auto-{random:032x}")
}
