//! SUBSCRIBE and UNSUBSCRIBE: what changes in the index, what other places have to know, and what a new
//! subscription is owed.

use std::sync::Arc;

use mqtt::packet::{RetainHandling, Subscribe, SubscribeFilter, Unsubscribe};
use mqtt::topic::{Subscribed, has_wildcard};
use mqtt::{Now, QoS, Reason, Version};

use super::exclusive::{Asking, Wanted};
use super::{Pending, Shard};
use crate::access::{Deed, Verdict};
use crate::client::{Life, Subscription};
use crate::effects::{ConnId, Effects, Extent, Pressure, Wish};
use crate::routes::{Member, Set};
use crate::settings::DenyAction;
use crate::subscription::{Options, Target};
use crate::targets::own_group;

/// What an entry in the index changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    /// The session had no such subscription.
    pub(super) new: bool,
    /// Other places were told.
    pub(super) wished: bool,
}

impl Shard {
    pub(super) fn subscribe_from(
        &mut self,
        slot: u32,
        conn: ConnId,
        packet: &Subscribe<'_>,
        now: Now,
        fx: &mut impl Effects,
    ) {
        self.stats.client_subscribe += 1;
        let identifier = packet.subscription_id().unwrap_or(0);
        let (mut codes, mut replays, mut wished) = (Vec::new(), Vec::new(), false);
        let mut alone: Vec<Wanted> = Vec::new();
        for wanted in packet.filters() {
            let (subscribed, options) = match self.may_subscribe(slot, &wanted, identifier, alone.len(), now)
            {
                Ok((subscribed, _))
                    if fx.pressure() >= Pressure::Refuse && !self.has_subscribed(slot, subscribed) =>
                {
                    self.stats.overload_refused += 1;
                    self.stats.packets_subscribe_error += 1;
                    codes.push(Reason::QuotaExceeded.code());
                    continue;
                }
                Ok(allowed) => allowed,
                Err(reason) => {
                    self.stats.packets_subscribe_error += 1;
                    codes.push(reason.code());
                    continue;
                }
            };
            let (group, filter) = self.mounted(slot, subscribed);
            let retain_handling = wanted.options.retain_handling;
            if !self.alone.is_empty() || matches!(subscribed, Subscribed::Exclusive(_)) {
                let known = self.index.find(&filter).filter(|id| self.has_alone(slot, *id));
                match (subscribed, known) {
                    (Subscribed::Exclusive(_), None) => {
                        let filter = Arc::from(filter);
                        alone.push(Wanted { at: codes.len(), filter, options, retain_handling });
                        codes.push(options.qos);
                        continue;
                    }
                    // A session has one subscription to a filter; the last SUBSCRIBE says of which kind.
                    (Subscribed::Plain(_), Some(id)) => self.give_back(slot, id, fx),
                    _ => {}
                }
            }
            let added = self.add_subscription(slot, group.as_deref(), &filter, options, fx);
            wished |= added.wished;
            codes.push(options.qos);
            if group.is_none() && is_owed(retain_handling, added) {
                replays.push((filter.into_boxed_str(), options));
            }
        }
        let denied = codes.contains(&Reason::NotAuthorized.code());
        let client = &mut self.clients[slot as usize];
        if denied && client.zone.denied == DenyAction::Disconnect {
            if let Life::Open { session, .. } = &mut client.life {
                session.close(Reason::NotAuthorized, fx.out(conn));
            }
            return;
        }
        let (packet_id, opening) = (packet.packet_id, client.opening);
        if !alone.is_empty() {
            fx.pause(conn);
            let id = Arc::clone(&client.id);
            let ticket = self.ticket();
            let filters: Vec<Arc<str>> = alone.iter().map(|wanted| Arc::clone(&wanted.filter)).collect();
            fx.ask_exclusive(&id, &filters, ticket);
            let wanted = alone;
            let asking = Asking { client: slot, opening, packet_id, codes, replays, wished, wanted };
            self.pending.insert(ticket.0, Pending::Exclusive(Box::new(asking)));
        } else if wished {
            let work = Pending::Subscribe { client: slot, opening, packet_id, codes, replays };
            self.when_routes_in(Extent::Node, work, now, fx);
        } else {
            self.answer_subscribe(slot, conn, packet_id, &codes, replays, fx);
        }
    }

    pub(super) fn answer_subscribe(
        &mut self,
        slot: u32,
        conn: ConnId,
        packet_id: u16,
        codes: &[u8],
        replays: Vec<(Box<str>, Options)>,
        fx: &mut impl Effects,
    ) {
        let Life::Open { session, .. } = &mut self.clients[slot as usize].life else { return };
        session.suback(packet_id, codes, fx.out(conn));
        self.stats.packets_suback_sent += 1;
        self.stats.packets_sent += 1;
        self.replay(slot, replays, fx);
    }

    pub(super) fn unsubscribe_from(
        &mut self,
        slot: u32,
        conn: ConnId,
        packet: &Unsubscribe<'_>,
        _now: Now,
        fx: &mut impl Effects,
    ) {
        self.stats.client_unsubscribe += 1;
        let mut codes = Vec::new();
        for text in packet.filters() {
            let gone = self.unsubscribe_text(slot, text, fx);
            codes.push(if gone { Reason::Success } else { Reason::NoSubscriptionExisted }.code());
        }
        let Life::Open { session, .. } = &mut self.clients[slot as usize].life else { return };
        session.unsuback(packet.packet_id, &codes, fx.out(conn));
        self.stats.packets_unsuback_sent += 1;
        self.stats.packets_sent += 1;
    }

    /// Ends a subscription that is named as the client wrote it. Says whether there was one.
    pub(super) fn unsubscribe_text(&mut self, slot: u32, text: &str, fx: &mut impl Effects) -> bool {
        let Some(subscribed) = Subscribed::parse(text, 0) else { return false };
        let (group, filter) = self.mounted(slot, subscribed);
        let number = match &group {
            None => None,
            Some(name) => match own_group(&self.index, &self.groups, name, &filter) {
                None => return false,
                number => number,
            },
        };
        let Some(id) = self.index.find(&filter) else { return false };
        self.end_subscription(slot, Subscription::key_of(id, number), fx)
    }

    /// Ends the subscription with that key. Says whether there was one.
    pub(super) fn end_subscription(&mut self, slot: u32, key: u64, fx: &mut impl Effects) -> bool {
        let client = &mut self.clients[slot as usize];
        let Some(subscriptions) = &mut client.subscriptions else { return false };
        let gone = match subscriptions.remove(key) {
            Ok(None) => return false,
            Ok(Some(gone)) => gone,
            Err(last) => {
                client.subscriptions = None;
                last
            }
        };
        if gone.group().is_none() {
            let filter = self.index.filter(gone.filter);
            client.mailbox.end_replays(filter);
        }
        self.forget_subscription(slot, gone, fx);
        true
    }

    /// Enters a subscription into the index, or changes its options.
    pub(super) fn add_subscription(
        &mut self,
        slot: u32,
        group: Option<&str>,
        filter: &str,
        options: Options,
        fx: &mut impl Effects,
    ) -> Added {
        let target = Target::new(slot, options.pack());
        let (entry, added) = match group {
            None => {
                let inserted = self.index.insert(filter, target);
                let new = inserted.replaced.is_none();
                let others = self.index.members(inserted.id).iter().filter(|t| t.group().is_none());
                let wished = new && others.take(2).count() == 1;
                if wished && let Some(filter) = self.index.shared_filter(inserted.id) {
                    fx.wish(Wish::On(filter));
                }
                (Subscription::new(inserted.id, None, options), Added { new, wished })
            }
            Some(name) => {
                let number = own_group(&self.index, &self.groups, name, filter);
                let number = number.unwrap_or_else(|| self.groups.create(name, filter));
                let id = self.index.insert(filter, Target::of_group(number)).id;
                let connected = matches!(self.clients[slot as usize].life, Life::Open { .. });
                let new = self.groups.group_mut(number).is_some_and(|g| g.insert(target, connected));
                if new {
                    self.tell_members(number, fx);
                    self.gauges.subscriptions_shared += 1;
                }
                (Subscription::new(id, Some(number), options), Added { new, wished: new })
            }
        };
        self.gauges.subscriptions += u64::from(added.new);
        match &mut self.clients[slot as usize].subscriptions {
            Some(subscriptions) => drop(subscriptions.insert(entry)),
            none => *none = Some(Set::One(entry)),
        }
        added
    }

    /// Takes a subscription that its session has forgotten out of the index.
    pub(super) fn forget_subscription(&mut self, slot: u32, gone: Subscription, fx: &mut impl Effects) {
        self.gauges.subscriptions -= 1;
        let Some(number) = gone.group() else {
            let Some(filter) = self.index.shared_filter(gone.filter).cloned() else { return };
            self.give_back(slot, gone.filter, fx);
            self.index.remove(gone.filter, Target::key_of_session(slot));
            if !self.index.members(gone.filter).iter().any(|t| t.group().is_none()) {
                fx.wish(Wish::Off(&filter));
            }
            return;
        };
        self.gauges.subscriptions_shared -= 1;
        if let Some(group) = self.groups.group_mut(number) {
            group.remove(slot);
            let is_empty = group.count(false).members == 0;
            self.tell_members(number, fx);
            if is_empty {
                self.index.remove(gone.filter, Target::key_of_group(number));
                self.groups.remove(number);
            }
        }
    }

    /// The rules for one filter of a SUBSCRIBE, of which so many others are being asked for.
    fn may_subscribe<'a>(
        &mut self,
        slot: u32,
        wanted: &SubscribeFilter<'a>,
        identifier: u32,
        asked: usize,
        now: Now,
    ) -> Result<(Subscribed<'a>, Options), Reason> {
        let client = &self.clients[slot as usize];
        let zone = &client.zone;
        let subscribed =
            Subscribed::parse(wanted.filter, zone.topic_levels_max).ok_or(Reason::TopicFilterInvalid)?;
        let filter = subscribed.filter();
        match subscribed {
            Subscribed::Exclusive(_) if !zone.exclusive_subscription => {
                return Err(Reason::TopicFilterInvalid);
            }
            Subscribed::Shared { .. } if !zone.shared_subscription => return Err(Reason::SharedNotSupported),
            _ => {}
        }
        if !zone.wildcard_subscription && has_wildcard(filter) {
            return Err(Reason::WildcardsNotSupported);
        }
        if zone.subscriptions_max > 0
            && client.subscriptions().len() + asked >= zone.subscriptions_max
            && !self.has_subscribed(slot, subscribed)
        {
            return Err(Reason::QuotaExceeded);
        }
        if self.may(slot, Deed::Subscribe, filter, now) == Verdict::Deny {
            self.stats.packets_subscribe_auth_error += 1;
            return Err(Reason::NotAuthorized);
        }
        let client = &self.clients[slot as usize];
        let zone = &client.zone;
        let asked = wanted.options;
        let is_v5 = client.info.version == Version::V5;
        // A bridge of 3.x does not get its own messages back, and gets the retain flag as it was.
        let is_bridge = client.info.is_bridge;
        let options = Options {
            qos: (asked.qos as u8).min(zone.qos_max),
            no_local: asked.no_local || is_bridge || (!is_v5 && zone.ignore_loop_deliver),
            retain_as_published: asked.retain_as_published || is_bridge,
            identifier,
        };
        Ok((subscribed, options))
    }

    /// Whether a SUBSCRIBE would only change the options of a subscription.
    fn has_subscribed(&self, slot: u32, subscribed: Subscribed<'_>) -> bool {
        let (group, filter) = self.mounted(slot, subscribed);
        let number = group.as_ref().and_then(|name| own_group(&self.index, &self.groups, name, &filter));
        let Some(id) = self.index.find(&filter).filter(|_| group.is_none() || number.is_some()) else {
            return false;
        };
        let key = Subscription::key_of(id, number);
        self.clients[slot as usize].subscriptions().iter().any(|own| own.key() == key)
    }

    /// Group and filter with the client's mountpoint before the filter.
    pub(super) fn mounted(&self, slot: u32, subscribed: Subscribed<'_>) -> (Option<String>, String) {
        let mount = self.clients[slot as usize].mount();
        let filter = format!("{mount}{}", subscribed.filter());
        match subscribed {
            Subscribed::Shared { group, .. } => (Some(group.to_owned()), filter),
            Subscribed::Plain(_) | Subscribed::Exclusive(_) => (None, filter),
        }
    }

    /// An operator subscribes for a client. `false`: no such client, or no valid filter; an exclusive one is
    /// the client's to ask for.
    pub fn subscribe_for(&mut self, client: &str, text: &str, qos: QoS, fx: &mut impl Effects) -> bool {
        let (Some(slot), Some(subscribed)) = (self.find(client), Subscribed::parse(text, 0)) else {
            return false;
        };
        if matches!(subscribed, Subscribed::Exclusive(_)) {
            return false;
        }
        let (group, filter) = self.mounted(slot, subscribed);
        let options = Options { qos: qos as u8, ..Options::default() };
        let added = self.add_subscription(slot, group.as_deref(), &filter, options, fx);
        if group.is_none() && added.new {
            self.replay(slot, vec![(filter.into_boxed_str(), options)], fx);
        }
        true
    }

    /// An operator unsubscribes for a client. `false`: no such client or subscription.
    pub fn unsubscribe_for(&mut self, client: &str, text: &str, fx: &mut impl Effects) -> bool {
        self.find(client).is_some_and(|slot| self.unsubscribe_text(slot, text, fx))
    }
}

/// Whether a subscription is owed the retained messages. [MQTT-3.3.1-9, -10, -11]
pub(super) fn is_owed(handling: RetainHandling, added: Added) -> bool {
    match handling {
        RetainHandling::Always => true,
        RetainHandling::IfNew => added.new,
        RetainHandling::Never => false,
    }
}
