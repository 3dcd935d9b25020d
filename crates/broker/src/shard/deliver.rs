//! The last step of a message: into the window and the output of a connected client, into its mailbox,
//! or to where its session is going.

use mqtt::session::{Copies, Delivered, Delivery};
use mqtt::{MessageRef, QoS};

use super::Shard;
use crate::client::Life;
use crate::effects::Effects;
use crate::frame::Publication;
use crate::groups::Pick;
use crate::kept::KeptLetter;
use crate::mailbox::{Letter, Pushed, Replay};
use crate::settings::Zone;
use crate::stats::Stats;
use crate::subscription::{Options, Target};

/// Bytes of output above which a client is too slow for more.
const OUTPUT_HIGH_BYTES: usize = 1 << 20;
/// Messages that are held for a session while it moves between nodes, where its mailbox is smaller.
const ON_ITS_WAY_MAX: usize = 10_000;
/// Retained messages that are fetched at a time for a new subscription.
const REPLAY_BATCH: usize = 64;

/// What became of a message at one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Its mailbox is full, or it takes no such message: another member may have it.
    No,
}

impl Shard {
    /// Gives a message to a session that has subscribed it.
    pub(super) fn deliver(
        &mut self,
        target: Target,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        publication: Publication,
        from: Option<u32>,
        fx: &mut impl Effects,
    ) {
        let slot = target.session();
        let mut options = target.options();
        let Some(client) = self.clients.get(slot as usize) else { return };
        if options.no_local
            && (from == Some(slot) || (from.is_none() && *message.publisher == *client.id.as_bytes()))
        {
            self.stats.delivery_dropped += 1;
            self.stats.delivery_dropped_no_local += 1;
            return;
        }
        options.retain_as_published &= message.retain;
        self.hand_over(slot, options, message, copies, publication, fx);
    }

    /// Gives a message to the picked member of a group here; to the next one where that is required and
    /// the first one cannot take it.
    pub(super) fn deliver_to_member(
        &mut self,
        group: u32,
        pick: Pick,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        publication: Publication,
        fx: &mut impl Effects,
    ) {
        let connected_first = self.settings.shared_ack && message.qos > QoS::AtMostOnce;
        let chosen = self.groups.group_mut(group).and_then(|g| g.pick(pick, connected_first));
        let Some(mut member) = chosen else {
            self.stats.shared_missed += 1;
            return;
        };
        if connected_first && !self.has_room_for(member.session(), message) {
            let others = self.groups.group(group).map(|g| g.after(member.session(), true));
            let mut others = others.into_iter().flatten();
            if let Some(other) = others.find(|m| self.has_room_for(m.session(), message)) {
                member = other;
            }
        }
        let mut options = member.options();
        options.retain_as_published &= message.retain;
        self.hand_over(member.session(), options, message, copies, publication, fx);
    }

    fn has_room_for(&self, slot: u32, message: &MessageRef<'_>) -> bool {
        let client = self.clients.get(slot as usize);
        client.is_some_and(|c| c.mailbox.has_room(message.topic, &c.zone.mailbox))
    }

    /// Puts a message where the session takes messages now. `options.retain_as_published` is the
    /// retain flag of this delivery.
    pub(super) fn hand_over(
        &mut self,
        slot: u32,
        mut options: Options,
        message: &MessageRef<'_>,
        copies: &mut Copies,
        publication: Publication,
        fx: &mut impl Effects,
    ) -> Taken {
        let Some(client) = self.clients.get_mut(slot as usize) else { return Taken::No };
        self.stats.messages_delivered += 1;
        options.qos = granted(options.qos, message.qos, &client.zone);
        let mut keep = || Letter::new(copies.keep(message).clone(), options);
        let on_its_way = match (&mut client.life, &mut client.arriving) {
            (Life::Leaving(leaving), _) => Some(&mut leaving.late),
            (_, Some(arriving)) => Some(&mut arriving.held),
            _ => None,
        };
        if let Some(letters) = on_its_way {
            letters.push_back(KeptLetter::new(publication, keep()));
            if letters.len() > client.zone.mailbox.len_max.max(ON_ITS_WAY_MAX) {
                letters.pop_front();
                client.mailbox.count_dropped();
                self.stats.delivery_dropped += 1;
                self.stats.delivery_dropped_queue_full += 1;
            }
            return Taken::Yes;
        }
        if let Life::Open { conn, session } = &mut client.life {
            let epoch = fx.epoch();
            let out = fx.out(*conn);
            let may_go_first =
                if options.qos == 0 { !client.mailbox.has_qos0() } else { client.mailbox.is_empty() };
            let is_slow = out.len() > OUTPUT_HIGH_BYTES;
            if is_slow && options.qos == 0 {
                self.stats.delivery_dropped += 1;
                self.stats.delivery_dropped_qos0 += 1;
                client.mailbox.count_dropped();
                return Taken::No;
            }
            if may_go_first && !is_slow && (options.qos == 0 || session.has_room()) {
                let ids = [options.identifier];
                let how = delivery(options, &ids);
                match session.deliver(message, copies, &how, epoch, out) {
                    Delivered::NoRoom => {}
                    delivered => {
                        count_delivered(&mut self.stats, delivered, options.qos);
                        client.info.counts.messages_out += 1;
                        return Taken::Yes;
                    }
                }
            }
        }
        let letter = Letter::new(copies.keep(message).clone(), options);
        self.post(slot, letter)
    }

    /// Puts a letter into a mailbox.
    pub(super) fn post(&mut self, slot: u32, letter: Letter) -> Taken {
        let client = &mut self.clients[slot as usize];
        let pushed = client.mailbox.push(letter, &client.zone.mailbox);
        if client.is_overfull() {
            // Its end comes when this message is with everyone else.
            self.arm(slot);
        }
        match pushed {
            Pushed::Kept => Taken::Yes,
            Pushed::Displaced => {
                self.stats.delivery_dropped += 1;
                self.stats.delivery_dropped_queue_full += 1;
                Taken::Yes
            }
            Pushed::Refused => {
                self.stats.delivery_dropped += 1;
                self.stats.delivery_dropped_qos0 += 1;
                Taken::No
            }
        }
    }

    /// Sends what waits for a client while its window and its output have room: its mailbox first, then
    /// the retained messages that its new subscriptions are owed.
    pub(super) fn pump(&mut self, slot: u32, fx: &mut impl Effects) {
        let epoch = fx.epoch();
        loop {
            let client = &mut self.clients[slot as usize];
            let Life::Open { conn, session } = &mut client.life else { return };
            let conn = *conn;
            let out = fx.out(conn);
            // What ends does not get it any more: it is kept for the next connection.
            if out.len() > OUTPUT_HIGH_BYTES || out.closing().is_some() {
                return;
            }
            let Some(next) = client.mailbox.next() else {
                client.mailbox.shrink();
                if client.mailbox.replays().is_empty() || !session.has_room() || !self.fetch_replay(slot, fx)
                {
                    return;
                }
                continue;
            };
            let options = next.options();
            if options.qos > 0 && !session.has_room() {
                return;
            }
            let Some(letter) = client.mailbox.pop() else { return };
            let ids = [options.identifier];
            let how = delivery(options, &ids);
            let mut copies = Copies::of(letter.message.clone());
            let delivered = session.deliver(&letter.message.view(), &mut copies, &how, epoch, fx.out(conn));
            debug_assert!(delivered != Delivered::NoRoom, "room was looked for");
            client.info.counts.messages_out += 1;
            count_delivered(&mut self.stats, delivered, options.qos);
        }
    }

    /// Moves the next retained messages of a new subscription into the mailbox. `false`: there are no
    /// more, of any.
    fn fetch_replay(&mut self, slot: u32, fx: &mut impl Effects) -> bool {
        let client = &mut self.clients[slot as usize];
        let limit = match client.zone.mailbox.len_max {
            0 => REPLAY_BATCH,
            max => REPLAY_BATCH.min(max),
        };
        let mut batch = std::mem::take(&mut self.batch);
        while let Some(replay) = client.mailbox.replays_mut().first_mut() {
            batch.clear();
            fx.retained(&replay.filter, replay.after.as_deref(), limit, &mut batch);
            let options = Options { retain_as_published: true, ..replay.options };
            match batch.last().filter(|_| batch.len() >= limit) {
                Some(last) => replay.after = Some(last.view().topic.into()),
                None => drop(client.mailbox.replays_mut().remove(0)),
            }
            for message in batch.drain(..) {
                let qos = granted(options.qos, message.view().qos, &client.zone);
                // These are owed: they wait even where QoS 0 messages usually do not.
                client.mailbox.push_owed(Letter::new(message, Options { qos, ..options }));
            }
            if !client.mailbox.is_empty() {
                self.batch = batch;
                return true;
            }
        }
        self.batch = batch;
        false
    }

    /// Notes the retained messages that new subscriptions are owed, and begins to send them.
    pub(super) fn replay(&mut self, slot: u32, filters: Vec<(Box<str>, Options)>, fx: &mut impl Effects) {
        if filters.is_empty() {
            return self.pump(slot, fx);
        }
        let replays = filters.into_iter().map(|(filter, options)| Replay { filter, options, after: None });
        self.clients[slot as usize].mailbox.replays_mut().extend(replays);
        self.pump(slot, fx);
    }
}

/// The QoS with which a message goes to a subscriber that asked for `wanted`: the lesser of both
/// [MQTT-3.8.4-8], or the greater where the zone says so.
fn granted(wanted: u8, published: QoS, zone: &Zone) -> u8 {
    if zone.upgrade_qos { wanted.max(published as u8) } else { wanted.min(published as u8) }
}

fn delivery<'a>(options: Options, ids: &'a [u32; 1]) -> Delivery<'a> {
    let qos = QoS::from_bits(options.qos).unwrap_or_default();
    let ids: &[u32] = if options.identifier == 0 { &[] } else { ids };
    Delivery { qos, retain: options.retain_as_published, subscription_ids: ids }
}

fn count_delivered(stats: &mut Stats, delivered: Delivered, qos: u8) {
    match delivered {
        Delivered::Sent => {
            stats.messages_sent += 1;
            stats.packets_sent += 1;
            stats.packets_publish_sent += 1;
            *match qos {
                0 => &mut stats.messages_qos0_sent,
                1 => &mut stats.messages_qos1_sent,
                _ => &mut stats.messages_qos2_sent,
            } += 1;
        }
        Delivered::Expired => {
            stats.delivery_dropped += 1;
            stats.delivery_dropped_expired += 1;
        }
        Delivered::TooLarge => {
            stats.delivery_dropped += 1;
            stats.delivery_dropped_too_large += 1;
        }
        Delivered::NoRoom => {}
    }
}
