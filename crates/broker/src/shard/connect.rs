//! CONNECT: whose session it is, where that is now, and what becomes of an older connection.

use std::sync::Arc;

use cluster::Stamp;
use mqtt::codec::frame;
use mqtt::message::is_forwarded;
use mqtt::packet::Connect;
use mqtt::session::{self, Caller, Flight, Session, refuse};
use mqtt::topic::has_wildcard;
use mqtt::{MessageRef, Now, Properties, Property, Reason, Version};

use super::Shard;
use crate::client::{Client, ConnInfo, Counts, Fetching, Info, Life, NEVER, Names, Waiting, Will};
use crate::effects::{Cause, ConnId, Effects, Event};
use crate::kept::Told;
use crate::mailbox::Mailbox;
use crate::routes::Place;
use crate::timers;

/// Milliseconds that a connection waits for its session from a peer.
const FETCH_LIMIT_MS: u64 = 15_000;

impl Shard {
    /// A client has said who it is, and whoever checks that has let it in.
    pub fn connect(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        info: ConnInfo,
        now: Now,
        fx: &mut impl Effects,
    ) {
        self.stats.packets_received += 1;
        self.stats.packets_connect_received += 1;
        self.stats.client_connect += 1;
        if let Err(reason) = acceptable(connect, &info) {
            self.refuse(conn, connect.into(), reason, fx);
            return;
        }
        match self.find(&info.client_id) {
            Some(slot) => self.connect_known(slot, conn, connect, info, now, fx),
            None => self.connect_unknown(conn, connect, info, now, fx),
        }
    }

    /// Nobody here has the client id: perhaps a peer has.
    fn connect_unknown(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        info: ConnInfo,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let owner = if self.settings.registry { self.registry.owner(&info.client_id) } else { None };
        // The newer connection has the newer stamp, however the clocks of the two nodes differ.
        let stamp = newer(fx.stamp(), owner.map(|(_, stamp)| stamp).unwrap_or_default());
        let id: Arc<str> = info.client_id.as_str().into();
        self.claim(&id, Some(stamp), fx);
        let life = match owner {
            Some((peer, _)) => self.fetching(peer, conn, connect, info.clone(), now, fx),
            None => Life::Open { conn, session: open_session(connect, &info, Flight::default(), now) },
        };
        let slot = self.add_client(Client {
            id,
            stamp,
            zone: info.zone.clone(),
            life,
            info: Box::new(info_of(connect, &info, fx)),
            expiry: 0,
            will: None,
            names: None,
            subscriptions: None,
            mailbox: Mailbox::default(),
            publishing: None,
            rights: Default::default(),
            decided: None,
            arriving: None,
            opening: 0,
            armed: timers::NEVER,
        });
        self.bind(conn, slot);
        if owner.is_some() {
            let fresh = connect.clean_start;
            self.tell_owner(slot, &Told::Ask { fresh, stamp }, fx);
            self.arm(slot);
        } else {
            self.stats.session_created += 1;
            self.welcome(slot, conn, connect, &info, false, now, fx);
        }
    }

    /// The client id is known here: its older connection ends, its session goes on or ends.
    fn connect_known(
        &mut self,
        slot: u32,
        conn: ConnId,
        connect: &Connect<'_>,
        info: ConnInfo,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let client = &mut self.clients[slot as usize];
        match &mut client.life {
            Life::Leaving(leaving) => {
                let before = leaving.next.replace(waiting(conn, connect, info));
                fx.pause(conn);
                self.bind(conn, slot);
                self.turn_away(before, fx);
                return;
            }
            Life::Fetching(fetching) => {
                let before = fetching.waiting.replace(waiting(conn, connect, info));
                fx.pause(conn);
                self.bind(conn, slot);
                self.turn_away(before, fx);
                return;
            }
            Life::Open { .. } => {
                let cause = if connect.clean_start { Cause::Discarded } else { Cause::TakenOver };
                self.displace(slot, cause, now, fx);
            }
            Life::Away(_) => {}
        }
        // The older connection may have taken the session with it.
        let Some(slot) = self.find(&info.client_id) else {
            self.connect_unknown(conn, connect, info, now, fx);
            return;
        };
        // The client has been elsewhere since: the session that it has now is there, and this one is what
        // a cut network left behind.
        let own = self.clients[slot as usize].stamp;
        if self.registry.owner(&info.client_id).is_some_and(|(_, claimed)| claimed > own) {
            self.stats.session_discarded += 1;
            self.end_session(slot, now, fx);
            self.connect_unknown(conn, connect, info, now, fx);
            return;
        }
        if connect.clean_start {
            self.stats.session_discarded += 1;
            self.end_session(slot, now, fx);
            self.connect_unknown(conn, connect, info, now, fx);
            return;
        }
        self.resume_session(slot, conn, connect, info, now, fx);
    }

    /// A session that is kept here goes on with a new connection.
    pub(super) fn resume_session(
        &mut self,
        slot: u32,
        conn: ConnId,
        connect: &Connect<'_>,
        info: ConnInfo,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let claimed = self.registry.owner(&info.client_id).map(|(_, stamp)| stamp).unwrap_or_default();
        let stamp = newer(fx.stamp(), claimed.max(self.clients[slot as usize].stamp));
        let id = self.clients[slot as usize].id.clone();
        self.claim(&id, Some(stamp), fx);
        let client = &mut self.clients[slot as usize];
        let flight = match &mut client.life {
            Life::Away(away) => std::mem::take(&mut away.flight),
            _ => Flight::default(),
        };
        // Back before the delay of the will has passed: it is not published. [MQTT-3.1.3-9]
        client.life = Life::Open { conn, session: open_session(connect, &info, flight, now) };
        client.stamp = stamp;
        client.zone = info.zone.clone();
        let created_at = client.info.created_at;
        *client.info = Info { created_at, ..info_of(connect, &info, fx) };
        self.bind(conn, slot);
        self.stats.session_resumed += 1;
        self.welcome(slot, conn, connect, &info, true, now, fx);
    }

    /// CONNACK, and everything that waits for this client.
    #[allow(clippy::too_many_arguments, reason = "what is known of a connection, each from another place")]
    pub(super) fn welcome(
        &mut self,
        slot: u32,
        conn: ConnId,
        connect: &Connect<'_>,
        info: &ConnInfo,
        present: bool,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let epoch = fx.epoch();
        let client = &mut self.clients[slot as usize];
        let id = client.id.clone();
        self.openings += 1;
        client.opening = self.openings;
        client.names = names(connect, info).map(Box::new);
        // It may have another user name and address than before.
        client.rights = Default::default();
        client.decided = None;
        client.expiry = expiry_secs(connect, info);
        client.will = will_of(connect, client.mount(), &id, epoch).map(Box::new);
        let mount = client.names.as_ref().and_then(|names| names.mount.as_deref()).unwrap_or_default();
        let Life::Open { session, .. } = &mut client.life else { return };
        session.set_mount(mount);
        let assigned = info.assigned.then_some(&*info.client_id);
        session.connack(connect, &info.zone.limits(), present, assigned, client.expiry, fx.out(conn));
        session.resend(epoch, fx.out(conn));
        let groups = client.groups();
        for group in groups {
            if let Some(members) = self.groups.group_mut(group) {
                members.set_connected(slot, true);
            }
            if self.settings.shared_ack {
                self.tell_members(group, fx);
            }
        }
        self.gauges.connections += 1;
        self.stats.client_connected += 1;
        self.stats.client_connack += 1;
        self.stats.client_auth_anonymous += u64::from(connect.username.is_none());
        self.stats.packets_connack_sent += 1;
        self.stats.packets_sent += 1;
        fx.event(Event::Connected { client: &id, session_present: present });
        self.pump(slot, fx);
        self.clients[slot as usize].armed = timers::NEVER;
        self.arm(slot);
        // A client that does not even take the CONNACK ends here.
        self.end_if_closing(slot, conn, None, now, fx);
    }

    /// Starts to wait for a session that a peer has.
    fn fetching(
        &mut self,
        from: Place,
        conn: ConnId,
        connect: &Connect<'_>,
        info: ConnInfo,
        now: Now,
        fx: &mut impl Effects,
    ) -> Life {
        fx.pause(conn);
        Life::Fetching(Box::new(Fetching {
            from,
            request: self.rng.next(),
            fresh: connect.clean_start,
            waiting: Some(waiting(conn, connect, info)),
            give_up_at: now.plus(FETCH_LIMIT_MS),
            next: None,
        }))
    }

    /// Lets a connection in that has waited: its session has come, or there is none. `present` is the
    /// session's window.
    pub(super) fn let_in(
        &mut self,
        slot: u32,
        waiting: Waiting,
        present: Option<Flight>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        let Waiting { conn, packet, info } = waiting;
        let Some(connect) = decoded(&packet) else { return };
        fx.resume(conn);
        let session_present = present.is_some();
        // While it waited another claim may have become known that is newer than the one it came with, because
        // clocks differ: it is here all the same, and the last to come.
        let own = self.clients[slot as usize].stamp;
        let claimed = self.registry.owner(&info.client_id).map(|(_, claimed)| claimed);
        if let Some(claimed) = claimed.filter(|claimed| *claimed >= own) {
            let stamp = newer(fx.stamp(), claimed);
            let id = self.clients[slot as usize].id.clone();
            self.claim(&id, Some(stamp), fx);
            self.clients[slot as usize].stamp = stamp;
        }
        let client = &mut self.clients[slot as usize];
        client.life =
            Life::Open { conn, session: open_session(&connect, &info, present.unwrap_or_default(), now) };
        client.zone = info.zone.clone();
        let created_at = if session_present { client.info.created_at } else { fx.epoch().0 };
        *client.info = Info { created_at, ..info_of(&connect, &info, fx) };
        self.bind(conn, slot);
        if session_present {
            self.stats.session_takeovered += 1;
        } else {
            self.stats.session_created += 1;
        }
        self.welcome(slot, conn, &connect, &info, session_present, now, fx);
    }

    /// A connection that has waited finds the session here again.
    pub(super) fn let_back_in(&mut self, slot: u32, waiting: Waiting, now: Now, fx: &mut impl Effects) {
        let Waiting { conn, packet, info } = waiting;
        let Some(connect) = decoded(&packet) else { return };
        self.unbind(conn);
        fx.resume(conn);
        self.connect_known(slot, conn, &connect, info, now, fx);
    }

    /// A connection that has waited begins again, as nothing of its client id is here any more.
    pub(super) fn connect_again(&mut self, waiting: Waiting, now: Now, fx: &mut impl Effects) {
        let Waiting { conn, packet, info } = waiting;
        let Some(connect) = decoded(&packet) else { return };
        self.unbind(conn);
        fx.resume(conn);
        self.connect_unknown(conn, &connect, info, now, fx);
    }

    /// Ends a connection that waited and whose place a newer one has taken.
    pub(super) fn turn_away(&mut self, waiting: Option<Waiting>, fx: &mut impl Effects) {
        if let Some(waiting) = waiting {
            // A CONNACK has no code for a session that was taken over.
            self.refuse_waiting(waiting, Reason::Unspecified, fx);
        }
    }

    pub(super) fn refuse_waiting(&mut self, waiting: Waiting, reason: Reason, fx: &mut impl Effects) {
        self.unbind(waiting.conn);
        let caller = decoded(&waiting.packet).map_or(Version::V311.into(), |c| Caller::from(&c));
        self.refuse(waiting.conn, caller, reason, fx);
    }

    pub(super) fn refuse(&mut self, conn: ConnId, caller: Caller, reason: Reason, fx: &mut impl Effects) {
        refuse(caller, reason, fx.out(conn));
        self.stats.client_connack += 1;
        self.stats.packets_sent += 1;
        self.stats.packets_connack_sent += 1;
        self.stats.packets_connack_error += 1;
        fx.close(conn, Cause::Refused(reason));
    }
}

/// Whether a CONNECT keeps the rules of its zone.
fn acceptable(connect: &Connect<'_>, info: &ConnInfo) -> Result<(), Reason> {
    let zone = &info.zone;
    if info.client_id.is_empty() || info.client_id.chars().count() > zone.client_id_chars_max {
        return Err(Reason::ClientIdNotValid);
    }
    // [MQTT-3.1.3-8] of 3.1.1: no id needs a clean session.
    if info.assigned && !connect.version.is_v5() && !connect.clean_start {
        return Err(Reason::ClientIdNotValid);
    }
    // What stands in a mountpoint must not make it a wildcard.
    if let Some(mount) = zone.mountpoint.as_deref() {
        if mount.contains("%c") && has_wildcard(&info.client_id) {
            return Err(Reason::ClientIdNotValid);
        }
        if mount.contains("%u") && connect.username.is_some_and(has_wildcard) {
            return Err(Reason::BadUserNameOrPassword);
        }
    }
    session::acceptable(connect, &zone.limits())
}

/// This stamp, or, where the clock it comes from is behind, the first one after `other`.
fn newer(stamp: Stamp, other: Stamp) -> Stamp {
    if stamp > other { stamp } else { Stamp { time: other.time.saturating_add(1), node: stamp.node } }
}

fn waiting(conn: ConnId, connect: &Connect<'_>, info: ConnInfo) -> Waiting {
    let mut packet = Vec::new();
    connect.encode(&mut packet);
    Waiting { conn, packet, info }
}

/// A CONNECT that `waiting` has encoded.
pub(super) fn decoded(packet: &[u8]) -> Option<Connect<'_>> {
    let whole = frame(packet, packet.len()).ok().flatten()?;
    Connect::decode(whole.body).ok()
}

fn open_session(connect: &Connect<'_>, info: &ConnInfo, flight: Flight, now: Now) -> Box<Session> {
    Box::new(Session::open(connect, &info.zone.limits(), flight, now))
}

/// Seconds that the session outlives the connection. In 3.x the zone says it of all sessions that are
/// not clean.
fn expiry_secs(connect: &Connect<'_>, info: &ConnInfo) -> u32 {
    if connect.version.is_v5() {
        return connect.session_expiry().unwrap_or(0);
    }
    if connect.clean_start {
        return 0;
    }
    u32::try_from(info.zone.session_expiry_interval.as_secs()).unwrap_or(NEVER)
}

fn names(connect: &Connect<'_>, info: &ConnInfo) -> Option<Names> {
    let mount = info.zone.mountpoint.as_deref().filter(|m| !m.is_empty()).map(|mount| {
        let mount = mount.replace("%c", &info.client_id);
        connect.username.map_or_else(|| mount.clone(), |user| mount.replace("%u", user)).into()
    });
    let username = connect.username.map(Into::into);
    (mount.is_some() || username.is_some()).then_some(Names { username, mount })
}

fn info_of(connect: &Connect<'_>, info: &ConnInfo, fx: &impl Effects) -> Info {
    Info {
        version: connect.version,
        is_bridge: connect.bridge,
        peer: info.peer.into(),
        listener: Arc::clone(&info.listener),
        clean_start: connect.clean_start,
        keepalive: info.zone.server_keepalive.unwrap_or(connect.keep_alive),
        created_at: fx.epoch().0,
        connected_at: fx.epoch().0,
        disconnected_at: 0,
        counts: Counts::default(),
    }
}

/// The will as the message that it will be.
fn will_of(connect: &Connect<'_>, mount: &str, publisher: &str, created: mqtt::Epoch) -> Option<Will> {
    let will = connect.will.as_ref()?;
    let mut list = Vec::new();
    let (mut delay, mut expiry) = (0, None);
    for property in will.properties.iter() {
        match property {
            Property::WillDelay(secs) => delay = secs,
            Property::MessageExpiry(secs) => expiry = Some(secs),
            other if is_forwarded(&other) => other.write(&mut list),
            _ => {}
        }
    }
    let topic = format!("{mount}{}", will.topic);
    let message = MessageRef {
        topic: &topic,
        payload: will.payload,
        properties: Properties::trusted(&list),
        qos: will.qos,
        retain: will.retain,
        created,
        expiry,
        publisher: publisher.as_bytes(),
    };
    Some(Will { message: message.to_message(), delay })
}
