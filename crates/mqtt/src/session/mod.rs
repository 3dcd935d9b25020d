//! One connected client: what its packets mean, in which order answers leave, how many messages may be
//! on their way, and when it has been silent too long. A packet that comes in yields bytes and at most
//! one request to the broker.

mod acks;
mod alias;
mod copies;
mod flight;
mod incoming;
mod out;
mod outgoing;

use std::borrow::Cow;
use std::sync::Arc;

pub use acks::Ticket;
pub use copies::Copies;
use copies::Form;
pub use flight::Flight;
pub use out::{Close, LARGE_PAYLOAD_BYTES, Out};
pub use outgoing::{Delivered, Delivery};

use crate::codec::property::on;
use crate::codec::{PACKET_BYTES_MAX, Properties, Property};
use crate::packet::{
    Ack, AckKind, Connack, Connect, Disconnect, Packet, Suback, Subscribe, Unsuback, Unsubscribe,
};
use crate::{Epoch, MessageRef, Now, QoS, Reason, Version, topic};
use acks::Acks;
use incoming::{Incoming, Taken};
use outgoing::{Outgoing, Received, Receiver};

/// What a zone allows its clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a packet from the client; 0: as many as the protocol can say.
    pub packet_bytes_max: u32,
    /// Levels of a topic; 0: any number.
    pub topic_levels_max: u16,
    /// The greatest QoS of a PUBLISH.
    pub qos_max: QoS,
    /// The largest alias a client may use; 0: none.
    pub topic_alias_max: u16,
    /// Retained messages are taken.
    pub retain_available: bool,
    /// Filters with wildcards are taken.
    pub wildcard_available: bool,
    /// Shared subscriptions are taken.
    pub shared_available: bool,
    /// QoS 1 and 2 messages on their way to the client at a time; 0: as many as it allows.
    pub inflight_max: u16,
    /// QoS 2 messages of the client that wait for PUBREL; 0: no limit.
    pub awaiting_rel_max: u16,
    /// Milliseconds until such a message is given up; 0: never.
    pub await_rel_timeout_ms: u64,
    /// Seconds in place of what a 5.0 client asks; others could not be told.
    pub server_keep_alive: Option<u16>,
    /// The client is silent too long after keep-alive × 2 × this (4.4's `keepalive_backoff`).
    pub keep_alive_backoff: f32,
    /// Seconds a session may outlive its connection.
    pub session_expiry_max: u32,
    /// Given to 5.0 clients that ask for it.
    pub response_information: Option<Box<str>>,
    /// Characters that §1.5.4 advises against are refused in names, topics and filters.
    pub strict: bool,
}

impl Default for Limits {
    /// What 4.4.19's configuration gives an external client.
    fn default() -> Limits {
        Limits {
            packet_bytes_max: 1 << 20,
            topic_levels_max: 128,
            qos_max: QoS::ExactlyOnce,
            topic_alias_max: 65535,
            retain_available: true,
            wildcard_available: true,
            shared_available: true,
            inflight_max: 32,
            awaiting_rel_max: 100,
            await_rel_timeout_ms: 300_000,
            server_keep_alive: None,
            keep_alive_backoff: 0.75,
            session_expiry_max: u32::MAX,
            response_information: None,
            strict: false,
        }
    }
}

impl Limits {
    /// Milliseconds of silence that end the connection; 0: any.
    fn silence_max_ms(&self, connect: &Connect<'_>) -> u32 {
        let server = self.server_keep_alive.filter(|_| connect.version.is_v5());
        let seconds = server.unwrap_or(connect.keep_alive);
        (f64::from(seconds) * 2000.0 * f64::from(self.keep_alive_backoff)) as u32
    }
}

/// A PUBLISH that was taken in; the broker decides who gets it.
#[derive(Clone, Debug)]
pub struct Published<'p> {
    /// The topic: of the packet, or of its alias.
    pub topic: Topic<'p>,
    /// As published.
    pub qos: QoS,
    /// To be kept.
    pub retain: bool,
    /// It may have been sent before.
    pub dup: bool,
    /// The properties that are forwarded, in the encoding of MQTT 5.0.
    pub properties: Cow<'p, [u8]>,
    /// Seconds.
    pub expiry: Option<u32>,
    /// Any bytes.
    pub payload: &'p [u8],
    /// What is answered with.
    pub ticket: Ticket,
}

/// Where the text of a topic lies.
#[derive(Clone, Debug)]
pub enum Topic<'p> {
    /// In the packet.
    Packet(&'p str),
    /// Set by an earlier packet.
    Alias(Arc<str>),
}

impl std::ops::Deref for Topic<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Topic::Packet(text) => text,
            Topic::Alias(text) => text,
        }
    }
}

/// What a packet asks of the broker.
#[derive(Clone, Debug)]
pub enum Request<'p> {
    /// Give it to whom it concerns, then answer by [`Session::accepted`], or say [`Session::defer`] first.
    Publish(Published<'p>),
    /// Answer by [`Session::suback`].
    Subscribe(Subscribe<'p>),
    /// Answer by [`Session::unsuback`].
    Unsubscribe(Unsubscribe<'p>),
    /// A message has arrived at the client; there may be room for the next.
    Acked,
    /// The client has acknowledged what is not under way. Nothing is to be done.
    Missed,
    /// The client said good-bye: with the will published or not, and perhaps another session expiry.
    Disconnect {
        /// The will is published.
        will: bool,
        /// Seconds that the session outlives the connection from now on, if that was said.
        session_expiry: Option<u32>,
    },
}

/// What a session goes by, as it is needed at each packet.
#[derive(Clone, Copy, Debug)]
struct Rules {
    version: Version,
    qos_max: QoS,
    retain_available: bool,
    strict: bool,
    /// The session is one of before: the client may repeat what an earlier connection has finished.
    is_resumed: bool,
    topic_levels_max: u16,
    /// Bytes of a packet that the client takes.
    client_packet_max: u32,
    await_rel_timeout_ms: u64,
}

/// The protocol state of one connected client.
#[derive(Debug)]
pub struct Session {
    rules: Rules,
    /// Milliseconds of silence that end the connection; 0: any.
    silence_max_ms: u32,
    /// What the client said in CONNECT; a session that was to end may not be prolonged later.
    session_expiry: u32,
    heard_at: Now,
    /// The wall clock's time when the session's clock showed 0.
    epoch_at_zero: Epoch,
    incoming: Incoming,
    outgoing: Outgoing,
    acks: Acks,
}

impl Session {
    /// The state after a CONNECT that was accepted. `flight` is what an earlier connection of the same
    /// session left; it is sent again by [`Session::resend`] after the CONNACK.
    pub fn open(connect: &Connect<'_>, limits: &Limits, flight: Flight, now: Now) -> Session {
        let version = connect.version;
        let mut receive_max = u16::MAX;
        let mut client_packet_max = PACKET_BYTES_MAX;
        let mut alias_max = 0;
        for property in connect.properties.iter() {
            match property {
                Property::ReceiveMax(max) => receive_max = max,
                Property::MaxPacketSize(max) => client_packet_max = max.min(PACKET_BYTES_MAX),
                Property::TopicAliasMax(max) => alias_max = max,
                _ => {}
            }
        }
        let window = match limits.inflight_max {
            0 => receive_max,
            max => max.min(receive_max),
        };
        let (outgoing, received) = Outgoing::resume(flight, window, alias_max);
        let rules = Rules {
            version,
            qos_max: limits.qos_max,
            retain_available: limits.retain_available,
            strict: limits.strict,
            is_resumed: false,
            topic_levels_max: limits.topic_levels_max,
            client_packet_max,
            await_rel_timeout_ms: limits.await_rel_timeout_ms,
        };
        Session {
            rules,
            silence_max_ms: limits.silence_max_ms(connect),
            session_expiry: connect.session_expiry().unwrap_or(0),
            heard_at: now,
            epoch_at_zero: Epoch(0),
            incoming: Incoming::new(limits.awaiting_rel_max, limits.topic_alias_max, received, now),
            outgoing,
            acks: Acks::default(),
        }
    }

    /// What the broker sets before the client's topics and filters: it is taken away again from what the
    /// client is sent. To be called before anything is delivered.
    pub fn set_mount(&mut self, mount: &str) {
        self.outgoing.set_mount(mount);
    }

    /// The version the client speaks.
    pub fn version(&self) -> Version {
        self.rules.version
    }

    /// Answers the CONNECT with success. No property that nobody needs: what is not limited is not said.
    /// `granted_expiry` is how many seconds the session will outlive its connection.
    pub fn connack(
        &mut self,
        connect: &Connect<'_>,
        limits: &Limits,
        session_present: bool,
        assigned_id: Option<&str>,
        granted_expiry: u32,
        out: &mut Out,
    ) {
        self.rules.is_resumed = session_present;
        let mut list = Vec::new();
        if self.version().is_v5() {
            let mut say = |property: Property<'_>| property.write(&mut list);
            if granted_expiry != self.session_expiry {
                say(Property::SessionExpiry(granted_expiry));
            }
            if limits.awaiting_rel_max > 0 {
                say(Property::ReceiveMax(limits.awaiting_rel_max));
            }
            if limits.qos_max < QoS::ExactlyOnce {
                say(Property::MaxQos(limits.qos_max as u8));
            }
            if !limits.retain_available {
                say(Property::RetainAvailable(0));
            }
            if (1..PACKET_BYTES_MAX).contains(&limits.packet_bytes_max) {
                say(Property::MaxPacketSize(limits.packet_bytes_max));
            }
            if let Some(id) = assigned_id {
                say(Property::AssignedClientId(id));
            }
            if limits.topic_alias_max > 0 {
                say(Property::TopicAliasMax(limits.topic_alias_max));
            }
            if !limits.wildcard_available {
                say(Property::WildcardAvailable(0));
            }
            if !limits.shared_available {
                say(Property::SharedAvailable(0));
            }
            if let Some(seconds) = limits.server_keep_alive.filter(|s| *s != connect.keep_alive) {
                say(Property::ServerKeepAlive(seconds));
            }
            let wants_response = connect.properties.iter().any(|p| p == Property::RequestResponseInfo(1));
            if let Some(text) = limits.response_information.as_deref().filter(|_| wants_response) {
                say(Property::ResponseInfo(text));
            }
        }
        let connack =
            Connack { session_present, reason: Reason::Success, properties: Properties::trusted(&list) };
        self.put(out, |bytes| connack.encode(self.version(), bytes));
    }

    /// Takes a packet in. Nothing is taken in after the connection's end has been put out.
    pub fn receive<'p>(&mut self, packet: Packet<'p>, now: Now, out: &mut Out) -> Option<Request<'p>> {
        if out.closing().is_some() {
            return None;
        }
        self.heard_at = now;
        match packet {
            Packet::Publish(publish) => {
                match self.incoming.publish(&publish, &self.rules, &mut self.acks, now) {
                    Taken::New(published) => return Some(Request::Publish(published)),
                    Taken::Again(id) => self.answer(Ack::new(AckKind::Pubrec, id, Reason::Success), out),
                    Taken::Pending => {}
                    Taken::Refused(reason) => self.close(reason, out),
                }
            }
            Packet::Ack(ack) => return self.receive_ack(&ack, now, out),
            // A filter that is none ends the connection; one that is not allowed has a code in the
            // answer [MQTT-4.7.1-1] [MQTT-4.7.3-1].
            Packet::Subscribe(subscribe) => match subscribe.filters().find_map(|f| self.unfit(f.filter)) {
                None => return Some(Request::Subscribe(subscribe)),
                Some(reason) => self.close(reason, out),
            },
            Packet::Unsubscribe(unsubscribe) => match unsubscribe.filters().find_map(|f| self.unfit(f)) {
                None => return Some(Request::Unsubscribe(unsubscribe)),
                Some(reason) => self.close(reason, out),
            },
            Packet::Pingreq => self.put(out, |bytes| Packet::Pingresp.encode(self.version(), bytes)),
            Packet::Disconnect(disconnect) => return self.receive_disconnect(&disconnect, out),
            // A second CONNECT [MQTT-3.1.0-2], an AUTH without an authentication method in CONNECT
            // [MQTT-4.12.0-7], packets of a server.
            Packet::Connect(_)
            | Packet::Auth(_)
            | Packet::Connack(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp => self.close(Reason::ProtocolError, out),
        }
        None
    }

    /// Why what a client wrote in a SUBSCRIBE or UNSUBSCRIBE is no filter.
    fn unfit(&self, filter: &str) -> Option<Reason> {
        if filter.is_empty() || (self.rules.strict && topic::has_unwise_characters(filter)) {
            return Some(Reason::MalformedPacket);
        }
        (!topic::valid_subscription(filter)).then_some(Reason::TopicFilterInvalid)
    }

    fn receive_ack<'p>(&mut self, ack: &Ack<'_>, now: Now, out: &mut Out) -> Option<Request<'p>> {
        let id = ack.packet_id;
        let received = match ack.kind {
            AckKind::Pubrel => {
                // After a break a client may not know that it was released: no error then (§3.7.2.1).
                let known = self.incoming.release(id);
                let in_order = known || self.rules.is_resumed;
                let reason = if in_order { Reason::Success } else { Reason::PacketIdNotFound };
                self.answer(Ack::new(AckKind::Pubcomp, id, reason), out);
                return (!known).then_some(Request::Missed);
            }
            AckKind::Pubrec => match self.outgoing.pubrec(id, ack.reason) {
                Received::Release(reason) => {
                    self.answer(Ack::new(AckKind::Pubrel, id, reason), out);
                    return (reason != Reason::Success).then_some(Request::Missed);
                }
                received => received,
            },
            AckKind::Puback | AckKind::Pubcomp => self.outgoing.finish(id, ack.kind),
        };
        match received {
            Received::Ended => {
                let epoch = Epoch(self.epoch_at_zero.0.saturating_add(now.0));
                self.outgoing.send_unsent(self.receiver(), epoch, out);
                Some(Request::Acked)
            }
            Received::Unknown => Some(Request::Missed),
            Received::Wrong => {
                self.close(Reason::ProtocolError, out);
                None
            }
            Received::Release(_) => None,
        }
    }

    fn receive_disconnect<'p>(&mut self, packet: &Disconnect<'_>, out: &mut Out) -> Option<Request<'p>> {
        let session_expiry = packet.session_expiry();
        let is_server_only = packet.properties.iter().any(|p| matches!(p, Property::ServerReference(_)));
        // A session that was to end with the connection stays so (§3.14.2.2.2).
        let is_prolonged = self.session_expiry == 0 && session_expiry.is_some_and(|s| s > 0);
        let Some(reason) = packet.client_reason().ok().filter(|_| !is_server_only && !is_prolonged) else {
            self.close(Reason::ProtocolError, out);
            return None;
        };
        out.close(Close::ByClient);
        // [MQTT-3.14.4-3]: only a normal DISCONNECT drops the will.
        Some(Request::Disconnect { will: reason != Reason::Success, session_expiry })
    }

    /// Answers a PUBLISH. The answers leave in the order in which the messages came [MQTT-4.6.0-2].
    pub fn accepted(&mut self, ticket: Ticket, reason: Reason, out: &mut Out) {
        let Session { acks, incoming, rules, .. } = self;
        acks.answer(ticket, reason, |ticket, reason| {
            let Some(kind) = ticket.kind() else { return };
            // A refused QoS 2 message is not released [MQTT-4.3.3-9]. 3.x cannot say that it was
            // refused: the client goes on with PUBREL.
            if kind == AckKind::Pubrec && reason.is_error() {
                incoming.release(ticket.packet_id());
            }
            let ack = Ack::new(kind, ticket.packet_id(), reason.fitting(kind.on()));
            put(rules, out, |bytes| ack.encode(rules.version, bytes));
        });
    }

    /// The answer to this PUBLISH comes later, by [`Session::accepted`]. To be said before the next
    /// packet is taken in.
    pub fn defer(&mut self, ticket: Ticket) {
        self.acks.defer(ticket);
    }

    /// Answers a SUBSCRIBE with a reason code for each filter, in order.
    pub fn suback(&mut self, packet_id: u16, codes: &[u8], out: &mut Out) {
        let suback = Suback { packet_id, properties: Properties::NONE, codes };
        self.put(out, |bytes| suback.encode(self.version(), bytes));
    }

    /// Answers an UNSUBSCRIBE with a reason code for each filter, in order.
    pub fn unsuback(&mut self, packet_id: u16, codes: &[u8], out: &mut Out) {
        let unsuback = Unsuback { packet_id, properties: Properties::NONE, codes };
        self.put(out, |bytes| unsuback.encode(self.version(), bytes));
    }

    /// Sends a message to the client, or says why not. What other clients can use too stays in `copies`.
    pub fn deliver(
        &mut self,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        how: &Delivery<'_>,
        epoch: Epoch,
        out: &mut Out,
    ) -> Delivered {
        let is_plain = how.subscription_ids.is_empty() && !self.outgoing.has_own_topics();
        if copies.are_for_many() && is_plain {
            if message.is_expired(epoch) {
                return Delivered::Expired;
            }
            let form = Form { is_v5: self.version().is_v5(), qos: how.qos, retain: how.retain };
            if !copies.has(form) && !copies.note(form, message, self.version(), epoch) {
                return Delivered::TooLarge;
            }
            return self.outgoing.repeat(message, copies, form, self.rules.client_packet_max as usize, out);
        }
        self.outgoing.deliver(self.receiver(), message, copies, how, epoch, out)
    }

    /// Whether a QoS 1 or 2 message could be sent now.
    pub fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    /// Messages on their way to the client.
    pub fn inflight(&self) -> usize {
        self.outgoing.inflight()
    }

    /// Bytes of the messages that the client has not acknowledged.
    pub fn kept_bytes(&self) -> usize {
        self.outgoing.kept_bytes()
    }

    /// The most messages on their way to the client.
    pub fn inflight_max(&self) -> u16 {
        self.outgoing.window()
    }

    /// QoS 2 messages of the client that wait for PUBREL.
    pub fn awaiting_rel(&self) -> usize {
        self.incoming.awaiting_rel()
    }

    /// Sends again what an earlier connection left unanswered [MQTT-4.4.0-1]; what has no room in the
    /// window follows as the client acknowledges. To be called once, after [`Session::connack`].
    pub fn resend(&mut self, epoch: Epoch, out: &mut Out) {
        self.epoch_at_zero = Epoch(epoch.0.saturating_sub(self.heard_at.0));
        self.outgoing.send_unsent(self.receiver(), epoch, out);
    }

    /// Ends the connection: 5.0 clients are told why [MQTT-3.14.1-1].
    pub fn close(&mut self, reason: Reason, out: &mut Out) {
        if self.version().is_v5() {
            let reason = reason.fitting(on::DISCONNECT);
            let packet = Disconnect { reason, properties: Properties::NONE };
            self.put(out, |bytes| packet.encode(self.version(), bytes));
        }
        out.close(Close::ByServer(reason));
    }

    /// When [`Session::expire`] has something to do: the client has been silent too long, or a QoS 2
    /// message has waited too long for its PUBREL. It may be later than that by then.
    pub fn wake_at(&self) -> Option<Now> {
        let silent = self.silent_at();
        let given_up = self.incoming.wake_at(self.rules.await_rel_timeout_ms);
        match (silent, given_up) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Counts the client's silence from now on: whoever drives the connection has not read it.
    pub fn hear(&mut self, now: Now) {
        self.heard_at = now;
    }

    fn silent_at(&self) -> Option<Now> {
        (self.silence_max_ms > 0).then(|| self.heard_at.plus(u64::from(self.silence_max_ms)))
    }

    /// Ends a connection that was silent too long [MQTT-3.1.2-22], and gives up QoS 2 messages whose
    /// PUBREL never came. Doing it too early does no harm.
    pub fn expire(&mut self, now: Now, out: &mut Out) {
        self.incoming.expire(now, self.rules.await_rel_timeout_ms);
        self.outgoing.shrink();
        if self.silent_at().is_some_and(|at| now >= at) {
            self.close(Reason::KeepAliveTimeout, out);
        }
    }

    /// What outlives the connection.
    pub fn suspend(self) -> Flight {
        let received = self.incoming.received();
        self.outgoing.suspend(received)
    }

    fn receiver(&self) -> Receiver {
        let Rules { version, client_packet_max: packet_bytes_max, .. } = self.rules;
        Receiver { version, packet_bytes_max }
    }

    fn answer(&self, ack: Ack<'_>, out: &mut Out) {
        self.put(out, |bytes| ack.encode(self.version(), bytes));
    }

    fn put(&self, out: &mut Out, write: impl FnOnce(&mut Vec<u8>)) {
        put(&self.rules, out, write);
    }
}

/// A client never gets a packet that is larger than it takes [MQTT-3.1.2-24]. One that does not even
/// take the answers cannot be served.
fn put(rules: &Rules, out: &mut Out, write: impl FnOnce(&mut Vec<u8>)) {
    if !out.packet_within(rules.client_packet_max as usize, write) {
        out.close(Close::ByServer(Reason::PacketTooLarge));
    }
}

/// Whether a CONNECT keeps the rules of its version and of its zone. Not looked at: the login, and how
/// long the client id is.
pub fn acceptable(connect: &Connect<'_>, limits: &Limits) -> Result<(), Reason> {
    // [MQTT-3.1.3-8] of 3.1.1: who leaves the client id to the server can have no session of before.
    // 3.1 has no client ids of no characters.
    let may_be_chosen = match connect.version {
        Version::V31 => false,
        Version::V311 => connect.clean_start,
        Version::V5 => true,
    };
    if connect.client_id.is_empty() && !may_be_chosen {
        return Err(Reason::ClientIdNotValid);
    }
    // No extended authentication is offered (§4.12).
    if connect.properties.iter().any(|p| matches!(p, Property::AuthMethod(_))) {
        return Err(Reason::BadAuthenticationMethod);
    }
    if limits.strict {
        if topic::has_unwise_characters(connect.client_id) {
            return Err(Reason::ClientIdNotValid);
        }
        let texts = [connect.username, connect.will.as_ref().map(|w| w.topic)];
        if texts.into_iter().flatten().any(topic::has_unwise_characters) {
            return Err(Reason::MalformedPacket);
        }
    }
    let Some(will) = &connect.will else { return Ok(()) };
    if !topic::valid_name(will.topic, usize::from(limits.topic_levels_max)) {
        return Err(Reason::TopicNameInvalid);
    }
    if will.qos > limits.qos_max {
        return Err(Reason::QosNotSupported);
    }
    if will.retain && !limits.retain_available {
        return Err(Reason::RetainNotSupported);
    }
    Ok(())
}

/// Whoever has sent a CONNECT, as far as it matters to one that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The version it speaks.
    pub version: Version,
    packet_bytes_max: u32,
}

impl From<&Connect<'_>> for Caller {
    fn from(connect: &Connect<'_>) -> Caller {
        let max =
            connect.properties.find(|p| if let Property::MaxPacketSize(n) = p { Some(n) } else { None });
        Caller { version: connect.version, packet_bytes_max: max.unwrap_or(u32::MAX) }
    }
}

/// Its CONNECT could not be read as a whole.
impl From<Version> for Caller {
    fn from(version: Version) -> Caller {
        Caller { version, packet_bytes_max: u32::MAX }
    }
}

/// Refuses a CONNECT in the words of its version, and ends the connection. A client of 3.x that has
/// broken the protocol is told nothing: there are no words for it [MQTT-3.2.2-6]; nor is one that takes no
/// packet of that size [MQTT-3.1.2-24].
pub fn refuse(caller: impl Into<Caller>, reason: Reason, out: &mut Out) {
    let Caller { version, packet_bytes_max } = caller.into();
    let is_wrong = matches!(
        reason,
        Reason::MalformedPacket | Reason::ProtocolError | Reason::PacketTooLarge | Reason::TopicNameInvalid
    );
    if version.is_v5() || !is_wrong {
        let reason = reason.fitting(on::CONNACK);
        let connack = Connack { session_present: false, reason, properties: Properties::NONE };
        out.packet_within(packet_bytes_max as usize, |bytes| connack.encode(version, bytes));
    }
    out.close(Close::ByServer(reason));
}

#[cfg(test)]
mod tests;
