//! What an operator sees of the clients and does to them, and how all of them end at once.

use std::net::SocketAddr;
use std::sync::Arc;

use mqtt::{Now, Reason};

use super::Shard;
use crate::client::{Client, Life, Waiting};
use crate::effects::{Cause, ConnId, Effects};
use crate::routes::GroupCount;

/// A client as lists show it. Instants are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    pub client_id: String,
    pub username: Option<String>,
    /// `MQTT` or `MQIsdp`.
    pub proto_name: &'static str,
    /// 3, 4, 5.
    pub proto_ver: u8,
    pub peer: SocketAddr,
    /// `mqtt:tcp:external`.
    pub listener: String,
    pub zone: String,
    pub mountpoint: String,
    pub is_bridge: bool,
    pub connected: bool,
    pub created_at: u64,
    pub connected_at: u64,
    pub disconnected_at: Option<u64>,
    pub clean_start: bool,
    /// Seconds.
    pub keepalive: u16,
    /// Seconds; `u32::MAX`: for ever.
    pub expiry_interval: u32,
    pub subscriptions: usize,
    pub subscriptions_max: usize,
    pub inflight: usize,
    pub inflight_max: usize,
    pub mqueue_len: usize,
    pub mqueue_max: usize,
    pub mqueue_dropped: u64,
    pub awaiting_rel: usize,
    pub awaiting_rel_max: usize,
    pub packets_in: u64,
    pub messages_in: u64,
    pub messages_out: u64,
}

/// A subscription as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionInfo {
    pub client_id: String,
    /// As the client wrote it, with its mountpoint.
    pub filter: String,
    pub qos: u8,
}

/// By what a client is known.
#[derive(Clone, Copy, Debug)]
pub struct Identified<'a> {
    pub client_id: &'a str,
    pub username: Option<&'a str>,
    pub peer: SocketAddr,
}

impl Shard {
    /// All clients, in an order that only their history decides.
    pub fn clients(&self) -> impl Iterator<Item = ClientInfo> {
        self.clients.iter().filter(|(_, c)| is_here(c)).map(|(_, client)| client_info(client))
    }

    /// One client.
    pub fn client(&self, client_id: &str) -> Option<ClientInfo> {
        let client = &self.clients[self.find(client_id)? as usize];
        is_here(client).then(|| client_info(client))
    }

    /// All subscriptions.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionInfo> {
        self.clients.iter().filter(|(_, c)| is_here(c)).flat_map(|(_, c)| self.subscriptions_of(c))
    }

    /// Those of one client; `None`: no such client.
    pub fn client_subscriptions(&self, client_id: &str) -> Option<Vec<SubscriptionInfo>> {
        let client = &self.clients[self.find(client_id)? as usize];
        is_here(client).then(|| self.subscriptions_of(client).collect())
    }

    /// Everything that this shard has told others by wishes: plain filters, and groups with their
    /// members. For a driver that has to begin anew.
    pub fn wishes(&self) -> (Vec<&str>, Vec<(String, GroupCount)>) {
        let has_plain = |targets: &[crate::subscription::Target]| targets.iter().any(|t| t.group().is_none());
        let plain = self.index.iter().filter(|(_, _, targets)| has_plain(targets)).map(|(_, f, _)| f);
        let groups = self.groups.iter().map(|g| (g.key(), g.count(self.settings.shared_ack)));
        (plain.collect(), groups.collect())
    }

    fn subscriptions_of(&self, client: &Client) -> impl Iterator<Item = SubscriptionInfo> {
        client.subscriptions().iter().map(|s| SubscriptionInfo {
            client_id: client.id.to_string(),
            filter: match s.group().and_then(|g| self.groups.group(g)) {
                Some(group) => group.key(),
                None => self.index.filter(s.filter).to_owned(),
            },
            qos: s.options().qos,
        })
    }

    /// Ends a client and its session. `false`: no such client.
    pub fn kick(&mut self, client_id: &str, now: Now, fx: &mut impl Effects) -> bool {
        self.end_client(client_id, Reason::AdministrativeAction, Cause::Kicked, now, fx)
    }

    /// Ends all clients that are meant, and their sessions; those that wait for a session are refused.
    pub fn ban(&mut self, is_meant: impl Fn(&Identified<'_>) -> bool, now: Now, fx: &mut impl Effects) {
        let meant = |client: &Client| {
            let (client_id, username) = (&*client.id, client.username());
            is_meant(&Identified { client_id, username, peer: client.info.peer.into() })
        };
        let meant: Vec<_> =
            self.clients.iter().filter(|(_, c)| meant(c)).map(|(s, c)| (s as u32, c.id.clone())).collect();
        for (slot, id) in meant {
            if let Some(waiting) = self.take_waiting(slot) {
                self.refuse_waiting(waiting, Reason::Banned, fx);
            }
            self.kick(&id, now, fx);
        }
    }

    /// Ends a client and its session, as the node is short of memory.
    pub fn evict(&mut self, client_id: &str, now: Now, fx: &mut impl Effects) {
        self.stats.overload_clients += 1;
        self.end_client(client_id, Reason::QuotaExceeded, Cause::Overload, now, fx);
    }

    fn end_client(
        &mut self,
        client_id: &str,
        reason: Reason,
        cause: Cause,
        now: Now,
        fx: &mut impl Effects,
    ) -> bool {
        let Some(slot) = self.find(client_id).filter(|s| is_here(&self.clients[*s as usize])) else {
            return false;
        };
        self.dismiss(slot, reason, cause, now, fx);
        if let Some(slot) = self.find(client_id) {
            self.end_session(slot, now, fx);
        }
        true
    }

    /// The clients for which most is kept, at most so many, with the bytes, the greatest first. `output` says
    /// how much waits to be written to a connection.
    pub fn greediest(&self, count: usize, output: impl Fn(ConnId) -> usize) -> Vec<(Arc<str>, usize)> {
        let bytes = |client: &Client| {
            let written = if let Life::Open { conn, .. } = client.life { output(conn) } else { 0 };
            client.kept_bytes() + written
        };
        let here = self.clients.iter().filter(|(_, client)| is_here(client));
        let mut all: Vec<_> = here.map(|(_, client)| (bytes(client), &client.id)).collect();
        all.retain(|(bytes, _)| *bytes > 0);
        all.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        all.into_iter().take(count).map(|(bytes, id)| (id.clone(), bytes)).collect()
    }

    /// The node stops: every connection ends, 5.0 clients are told so.
    pub fn drain(&mut self, now: Now, fx: &mut impl Effects) {
        for slot in self.slots() {
            self.stop_client(slot, now, fx);
        }
    }

    /// The node joins or leaves a cluster: every connection and every session ends.
    pub fn wipe(&mut self, now: Now, fx: &mut impl Effects) {
        for slot in self.slots() {
            self.stop_client(slot, now, fx);
            if self.clients.contains(slot as usize) {
                self.end_session(slot, now, fx);
            }
        }
    }

    fn slots(&self) -> Vec<u32> {
        self.clients.iter().map(|(slot, _)| slot as u32).collect()
    }

    /// The connection of a client that waits for its session.
    fn take_waiting(&mut self, slot: u32) -> Option<Waiting> {
        match &mut self.clients.get_mut(slot as usize)?.life {
            Life::Fetching(fetching) => fetching.waiting.take(),
            Life::Leaving(leaving) => leaving.next.take(),
            Life::Open { .. } | Life::Away(_) => None,
        }
    }

    fn stop_client(&mut self, slot: u32, now: Now, fx: &mut impl Effects) {
        if let Some(waiting) = self.take_waiting(slot) {
            self.refuse_waiting(waiting, Reason::ServerUnavailable, fx);
        }
        self.dismiss(slot, Reason::ServerShuttingDown, Cause::Stopping, now, fx);
    }
}

/// Whether a session is this node's, as far as lists are concerned.
fn is_here(client: &Client) -> bool {
    !matches!(client.life, Life::Leaving(_) | Life::Fetching(_))
}

fn client_info(client: &Client) -> ClientInfo {
    let info = &client.info;
    let zone = &client.zone;
    let (inflight, inflight_max, awaiting_rel) = match &client.life {
        Life::Open { session, .. } => {
            (session.inflight(), session.inflight_max().into(), session.awaiting_rel())
        }
        Life::Away(away) => (away.flight.len(), zone.inflight_max.into(), 0),
        Life::Fetching(_) | Life::Leaving(_) => (0, zone.inflight_max.into(), 0),
    };
    ClientInfo {
        client_id: client.id.to_string(),
        username: client.username().map(str::to_owned),
        proto_name: info.version.name(),
        proto_ver: info.version.level(),
        peer: info.peer.into(),
        listener: info.listener.to_string(),
        zone: zone.name.clone(),
        mountpoint: client.mount().to_owned(),
        is_bridge: info.is_bridge,
        connected: matches!(client.life, Life::Open { .. }),
        created_at: info.created_at,
        connected_at: info.connected_at,
        disconnected_at: (info.disconnected_at > 0).then_some(info.disconnected_at),
        clean_start: info.clean_start,
        keepalive: info.keepalive,
        expiry_interval: client.expiry,
        subscriptions: client.subscriptions().len(),
        subscriptions_max: zone.subscriptions_max,
        inflight,
        inflight_max,
        mqueue_len: client.mailbox.len(),
        mqueue_max: zone.mailbox.len_max,
        mqueue_dropped: client.mailbox.dropped(),
        awaiting_rel,
        awaiting_rel_max: zone.awaiting_rel_max.into(),
        packets_in: info.counts.packets_in,
        messages_in: info.counts.messages_in,
        messages_out: info.counts.messages_out,
    }
}
