//! Messages from the client: aliases, QoS 2 duplicates, and how many may be unanswered.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::acks::Acks;
use super::alias::Received;
use super::{Published, Rules, Topic};
use crate::codec::Property;
use crate::message::is_forwarded;
use crate::packet::Publish;
use crate::{Now, QoS, Reason, topic};

/// Packet identifiers that there are: more answers than that cannot be owed.
const ANSWERS_MAX: usize = 65_535;

/// What the client has sent and not finished.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Nothing for a client that has none, or has had none for a while.
    unreleased: Option<Box<Unreleased>>,
    /// 0: no limit.
    received_max: u16,
    alias_max: u16,
    aliases: Option<Box<Received>>,
}

/// QoS 2 messages between PUBLISH and PUBREL.
#[derive(Debug)]
struct Unreleased {
    /// Their packet identifiers, ascending, with the time they came. As a rule the new one goes to the end and the
    /// first one goes.
    ids: VecDeque<(u16, Now)>,
    /// None of them came earlier.
    oldest: Now,
}

impl Unreleased {
    fn insert(&mut self, id: u16, now: Now) {
        if self.ids.is_empty() {
            self.oldest = now;
        }
        if let Err(at) = self.find(id) {
            self.ids.insert(at, (id, now));
        }
    }

    fn remove(&mut self, id: u16) -> bool {
        self.find(id).is_ok_and(|at| self.ids.remove(at).is_some())
    }

    /// Where it is, or would be.
    fn find(&self, id: u16) -> Result<usize, usize> {
        if self.ids.back().is_none_or(|(last, _)| *last < id) {
            return Err(self.ids.len());
        }
        self.ids.binary_search_by_key(&id, |(of, _)| *of)
    }
}

/// What became of a PUBLISH.
pub(super) enum Taken<'p> {
    New(Published<'p>),
    /// A QoS 2 message that had come before: only the answer is repeated [MQTT-4.3.3-10].
    Again(u16),
    /// One that had come before and waits for its answer.
    Pending,
    /// The connection has to end.
    Refused(Reason),
}

impl Incoming {
    pub(super) fn new(received_max: u16, alias_max: u16, received: Vec<u16>, now: Now) -> Incoming {
        let mut ids: VecDeque<(u16, Now)> = received.into_iter().map(|id| (id, now)).collect();
        ids.make_contiguous().sort_unstable();
        let unreleased = (!ids.is_empty()).then(|| Box::new(Unreleased { ids, oldest: now }));
        Incoming { unreleased, received_max, alias_max, aliases: None }
    }

    pub(super) fn publish<'p>(
        &mut self,
        publish: &Publish<'p>,
        rules: &Rules,
        acks: &mut Acks,
        now: Now,
    ) -> Taken<'p> {
        match self.check(publish, rules, acks, now) {
            Ok(taken) => taken,
            Err(reason) => Taken::Refused(reason),
        }
    }

    fn check<'p>(
        &mut self,
        publish: &Publish<'p>,
        rules: &Rules,
        acks: &mut Acks,
        now: Now,
    ) -> Result<Taken<'p>, Reason> {
        // [MQTT-3.2.2-11] [MQTT-3.2.2-14]
        if publish.qos > rules.qos_max {
            return Err(Reason::QosNotSupported);
        }
        if publish.retain && !rules.retain_available {
            return Err(Reason::RetainNotSupported);
        }
        let parts = Parts::of(publish)?;
        let topic = self.topic(publish.topic, parts.alias)?;
        if rules.strict && topic::has_unwise_characters(&topic) {
            return Err(Reason::MalformedPacket);
        }
        // All else about the name the codec has looked at.
        if !topic::levels_fit(&topic, usize::from(rules.topic_levels_max)) {
            return Err(Reason::TopicNameInvalid);
        }
        if publish.qos == QoS::ExactlyOnce && self.is_unreleased(publish.packet_id) {
            let is_waiting = acks.is_waiting(publish.packet_id);
            return Ok(if is_waiting { Taken::Pending } else { Taken::Again(publish.packet_id) });
        }
        self.look_for_room(publish.qos, rules, acks, now)?;
        if publish.qos == QoS::ExactlyOnce {
            let empty = || Box::new(Unreleased { ids: VecDeque::new(), oldest: now });
            self.unreleased.get_or_insert_with(empty).insert(publish.packet_id, now);
        }
        Ok(Taken::New(Published {
            topic,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            properties: parts.forwarded,
            expiry: parts.expiry,
            payload: publish.payload,
            ticket: acks.issue(publish.qos, publish.packet_id),
        }))
    }

    /// [MQTT-3.3.4-7]: a QoS 1 message counts until its PUBACK, a QoS 2 message until its PUBREL. Clients
    /// of 3.x were not told a limit; of them only unreleased QoS 2 messages count.
    fn look_for_room(&mut self, qos: QoS, rules: &Rules, acks: &Acks, now: Now) -> Result<(), Reason> {
        if qos == QoS::AtMostOnce {
            return Ok(());
        }
        let qos1 = if rules.version.is_v5() { acks.qos1() } else { 0 };
        let counts = qos == QoS::ExactlyOnce || rules.version.is_v5();
        let max = usize::from(self.received_max);
        if counts && max > 0 && self.awaiting_rel() + qos1 >= max {
            self.expire(now, rules.await_rel_timeout_ms);
            if self.awaiting_rel() + qos1 >= max {
                return Err(Reason::ReceiveMaximumExceeded);
            }
        }
        if acks.len() >= ANSWERS_MAX { Err(Reason::ReceiveMaximumExceeded) } else { Ok(()) }
    }

    fn topic<'p>(&mut self, name: &'p str, alias: Option<u16>) -> Result<Topic<'p>, Reason> {
        let Some(alias) = alias else {
            return if name.is_empty() { Err(Reason::ProtocolError) } else { Ok(Topic::Packet(name)) };
        };
        // [MQTT-3.3.2-8] [MQTT-3.3.2-9]
        if alias == 0 || alias > self.alias_max {
            return Err(Reason::TopicAliasInvalid);
        }
        if name.is_empty() {
            let known = self.aliases.as_ref().and_then(|a| a.topic(alias));
            return known.cloned().map(Topic::Alias).ok_or(Reason::ProtocolError);
        }
        self.aliases.get_or_insert_default().set(alias, name)?;
        Ok(Topic::Packet(name))
    }

    /// PUBREL: whether there was such a message.
    pub(super) fn release(&mut self, packet_id: u16) -> bool {
        self.unreleased.as_mut().is_some_and(|u| u.remove(packet_id))
    }

    fn is_unreleased(&self, packet_id: u16) -> bool {
        self.unreleased.as_ref().is_some_and(|u| u.find(packet_id).is_ok())
    }

    pub(super) fn awaiting_rel(&self) -> usize {
        self.unreleased.as_ref().map_or(0, |u| u.ids.len())
    }

    pub(super) fn received(&self) -> Vec<u16> {
        self.unreleased.iter().flat_map(|u| u.ids.iter().map(|(id, _)| *id)).collect()
    }

    /// When the first message may have waited too long for its PUBREL.
    pub(super) fn wake_at(&self, timeout_ms: u64) -> Option<Now> {
        let unreleased = self.unreleased.as_ref().filter(|u| timeout_ms > 0 && !u.ids.is_empty())?;
        Some(unreleased.oldest.plus(timeout_ms))
    }

    /// Gives up messages whose PUBREL did not come in time, and room that is not needed.
    pub(super) fn expire(&mut self, now: Now, timeout_ms: u64) {
        if self.wake_at(timeout_ms).is_some_and(|at| now >= at)
            && let Some(unreleased) = &mut self.unreleased
        {
            unreleased.ids.retain(|(_, came)| now.since(*came) < timeout_ms);
            unreleased.oldest = unreleased.ids.iter().map(|(_, came)| *came).min().unwrap_or(now);
        }
        self.unreleased.take_if(|u| u.ids.is_empty());
    }
}

/// The properties of a PUBLISH, parted.
struct Parts<'p> {
    forwarded: Cow<'p, [u8]>,
    expiry: Option<u32>,
    alias: Option<u16>,
}

impl<'p> Parts<'p> {
    fn of(publish: &Publish<'p>) -> Result<Parts<'p>, Reason> {
        let mut parts = Parts { forwarded: Cow::Borrowed(&[]), expiry: None, alias: None };
        let raw = publish.properties.raw();
        // Where the forwarded ones lie, if they lie together; mostly they do, and nothing is copied.
        let (mut at, mut run, mut runs) = (0, 0..0, 0);
        for (property, bytes) in publish.properties.spans() {
            if is_forwarded(&property) {
                if run.end != at || runs == 0 {
                    runs += 1;
                    run.start = at;
                }
                run.end = at + bytes.len();
            }
            at += bytes.len();
            match property {
                Property::MessageExpiry(seconds) => parts.expiry = Some(seconds),
                Property::TopicAlias(alias) => parts.alias = Some(alias),
                // [MQTT-3.3.4-6]: a client sends no subscription identifier.
                Property::SubscriptionId(_) => return Err(Reason::ProtocolError),
                _ => {}
            }
        }
        parts.forwarded = if runs <= 1 {
            Cow::Borrowed(&raw[run])
        } else {
            let forwarded = publish.properties.spans().filter(|(p, _)| is_forwarded(p));
            Cow::Owned(forwarded.flat_map(|(_, bytes)| bytes).copied().collect())
        };
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Properties;

    fn parted(list: &[Property<'_>]) -> (Vec<u8>, bool, Option<u32>, Option<u16>) {
        let mut raw = Vec::new();
        list.iter().for_each(|p| p.write(&mut raw));
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "t",
            packet_id: 0,
            properties: Properties::trusted(&raw),
            payload: b"",
        };
        let parts = Parts::of(&publish).unwrap();
        let is_borrowed = matches!(parts.forwarded, Cow::Borrowed(_));
        (parts.forwarded.into_owned(), is_borrowed, parts.expiry, parts.alias)
    }

    #[test]
    fn what_is_forwarded_is_copied_only_where_something_else_lies_between() {
        let (user, format) = (Property::User(("k", "v")), Property::PayloadFormat(1));
        let (expiry, alias) = (Property::MessageExpiry(9), Property::TopicAlias(3));
        let mut both = Vec::new();
        user.write(&mut both);
        format.write(&mut both);
        assert_eq!(parted(&[]), (vec![], true, None, None));
        assert_eq!(parted(&[expiry, alias]), (vec![], true, Some(9), Some(3)));
        assert_eq!(parted(&[user, format]), (both.clone(), true, None, None));
        assert_eq!(parted(&[expiry, user, format, alias]), (both.clone(), true, Some(9), Some(3)));
        assert_eq!(parted(&[user, expiry, format]), (both, false, Some(9), None));
    }
}
