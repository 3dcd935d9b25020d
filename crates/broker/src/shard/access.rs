//! What the rules allow a client, asked as seldom as they allow, and asked again when they change.

use mqtt::Now;

use super::Shard;
use crate::access::{Decided, Deed, Rights, Verdict};
use crate::client::{Client, Subscription};
use crate::effects::Effects;
use crate::routes::Member;

impl Shard {
    /// Whether a client may do that; the topic is named without its mountpoint.
    pub(super) fn may(&mut self, slot: u32, deed: Deed, topic: &str, now: Now) -> Verdict {
        let client = &mut self.clients[slot as usize];
        if !client.zone.acl {
            return Verdict::Allow;
        }
        if !client.rights.is_of(self.access.version()) {
            client.rights = Rights::of(&*self.access, &client.who());
            client.decided = None;
        }
        let known = client.rights.to(deed);
        let known = known.or_else(|| client.decided.as_ref().and_then(|d| d.find(deed, topic, now)));
        let verdict = known.unwrap_or_else(|| {
            let verdict = self.access.ask(&client.who(), deed, topic);
            if let Some(rules) = client.zone.decided {
                let decided: &mut Decided = client.decided.get_or_insert_default();
                decided.note(deed, topic, verdict, rules, now);
            }
            verdict
        });
        match verdict {
            Verdict::Allow => self.stats.client_acl_allow += 1,
            Verdict::Deny => self.stats.client_acl_deny += 1,
        }
        verdict
    }

    /// Whether the will of a client may be published.
    pub(super) fn may_leave_will(&mut self, slot: u32, now: Now) -> bool {
        let client = &self.clients[slot as usize];
        let Some(will) = &client.will else { return false };
        let topic = client.unmounted(will.message.view().topic).to_owned();
        let may = self.may(slot, Deed::Publish, &topic, now) == Verdict::Allow;
        if !may {
            self.stats.messages_dropped += 1;
        }
        may
    }

    /// The rules have changed: subscriptions that they do not allow any more end, with what they are still
    /// owed of retained messages.
    pub fn recheck(&mut self, now: Now, fx: &mut impl Effects) {
        let slots: Vec<u32> =
            self.clients.iter().filter(|(_, c)| c.zone.acl).map(|(s, _)| s as u32).collect();
        for slot in slots {
            let client = &self.clients[slot as usize];
            let filters = client.subscriptions().iter().map(|s| (*s, self.index.filter(s.filter)));
            let filters: Vec<(Subscription, String)> =
                filters.map(|(s, filter)| (s, client.unmounted(filter).to_owned())).collect();
            for (subscription, filter) in filters {
                if self.may(slot, Deed::Subscribe, &filter, now) == Verdict::Deny {
                    self.end_subscription(slot, subscription.key(), fx);
                }
            }
        }
    }

    /// The remembered answers of a client, or of all, are forgotten.
    pub fn forget_decided(&mut self, client: Option<&str>) {
        match client {
            Some(id) => {
                if let Some(slot) = self.find(id) {
                    self.clients[slot as usize].decided = None;
                }
            }
            None => self.clients.iter_mut().for_each(|(_, client)| client.decided = None),
        }
    }
}

impl Client {
    /// A topic or filter without the mountpoint that was set before it.
    fn unmounted<'a>(&self, topic: &'a str) -> &'a str {
        topic.strip_prefix(self.mount()).unwrap_or(topic)
    }
}
