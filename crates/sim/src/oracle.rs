//! What the clients know: what was published, taken in and acknowledged, who was subscribed when, and
//! who is owed what. The oracle looks at packets and at the made-up world, never into the broker, with
//! one exception: whether the publisher's node knew the subscriber's route is asked of its `Interest`,
//! because a cut network makes that nobody's fault.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{ClusterId, Stamp};
use mqtt::QoS;

/// A message and its fate.
#[derive(Debug, Clone)]
pub struct Message {
    pub publisher: usize,
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    pub sent_at: u64,
    /// By which node it was first taken in, in which run of it, and when.
    pub taken: Option<(usize, u64, u64)>,
    /// Which session of its publisher it was first taken in from: with QoS 2 that one brings it once.
    pub session: u64,
    /// Its number among all that were taken in.
    pub number: u64,
    pub accepted: bool,
    /// Deliveries to members of a shared group.
    pub shared: u32,
    /// Of a retained message: in which cluster it was written, and when.
    pub stamp: Option<(ClusterId, Stamp)>,
}

/// A subscription.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The highest that was asked for, and the lowest.
    pub qos: QoS,
    pub least: QoS,
    /// When SUBACK came. Without, the subscription may be there or not.
    pub since: Option<u64>,
    /// When UNSUBACK came.
    pub until: Option<u64>,
    /// UNSUBSCRIBE was sent.
    pub ending: bool,
}

/// What a client may expect of its session.
#[derive(Debug, Default)]
pub struct Session {
    /// Counts the sessions of this client.
    pub epoch: u64,
    /// It should be there: it was said to be, and nothing that ends it has happened.
    pub alive: bool,
    /// The node that let the client in last.
    pub host: usize,
    /// Nodes that may have (a part of) the session, and since when no more.
    pub touched: BTreeMap<usize, u64>,
    pub filters: BTreeMap<String, Filter>,
    /// Every filter that a session of this client may have had.
    pub ever: BTreeMap<String, QoS>,
    /// An older session of this client may be left on a node that could not be reached when the client
    /// got a new one, and may come to light again.
    pub ghost: bool,
    /// There are two, on both sides of a cut: the one that was claimed last will stay, by clocks that may differ,
    /// and until it is known which nothing is owed.
    pub forked: bool,
    /// How often each message came, and how often otherwise than with QoS 1.
    pub got: BTreeMap<u64, (u32, u32)>,
    /// The last number by publisher, node of the publisher and its run, topic.
    pub last: BTreeMap<(usize, usize, u64, String), u64>,
    /// Messages that it has yet to get.
    pub owed: BTreeSet<u64>,
    /// When it was last let in.
    pub welcome_at: u64,
}

/// So long after trouble everything is known to everybody again, in milliseconds.
pub const CALM: u64 = 15_000;
/// For so long after a client has moved its old node may have a part of its session, in milliseconds.
pub const MOVING: u64 = 70_000;

#[derive(Default)]
pub struct Oracle {
    pub messages: BTreeMap<u64, Message>,
    pub sessions: Vec<Session>,
    serial: u64,
    taken: u64,
    /// The stamp of the last acknowledged retained message, by cluster and topic.
    pub retained: BTreeMap<(ClusterId, String), Stamp>,
    /// When a node last gave up all it had.
    pub wiped_at: u64,
    /// When something was last out of order in the world.
    pub trouble_at: u64,
    pub violation: Option<String>,
    pub counts: Counts,
}

/// What a run has seen, so that one can tell that it tests something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub published: u64,
    pub accepted: u64,
    pub delivered: u64,
    pub owed: u64,
    pub resumed: u64,
    pub moved: u64,
    pub faults: u64,
    /// Filters that clients wanted for themselves.
    pub granted: u64,
    pub refused: u64,
}

impl Oracle {
    pub fn new(clients: usize) -> Self {
        Self { sessions: (0..clients).map(|_| Session::default()).collect(), ..Self::default() }
    }

    /// Notes the first violation.
    pub fn violate(&mut self, check: &str, what: String) {
        self.violation.get_or_insert(format!("{check}: {what}"));
    }

    /// A message leaves its publisher.
    pub fn published(&mut self, publisher: usize, topic: &str, qos: QoS, retain: bool, now: u64) -> u64 {
        self.serial += 1;
        self.counts.published += 1;
        let message = Message {
            publisher,
            topic: topic.to_owned(),
            qos,
            retain,
            sent_at: now,
            taken: None,
            session: 0,
            number: 0,
            accepted: false,
            shared: 0,
            stamp: None,
        };
        self.messages.insert(self.serial, message);
        self.serial
    }

    /// A node takes a message in. `owes` says of each client whether its session is to get it.
    pub fn taken(&mut self, message: u64, host: usize, run: u64, now: u64, owes: &[usize]) {
        self.taken += 1;
        let number = self.taken;
        let Some(known) = self.messages.get_mut(&message) else { return };
        let session = self.sessions[known.publisher].epoch;
        if known.taken.is_none() {
            known.taken = Some((host, run, now));
            known.number = number;
            known.session = session;
        } else if known.qos == QoS::ExactlyOnce && known.session == session {
            return;
        }
        for client in owes {
            self.counts.owed += 1;
            let session = &mut self.sessions[*client];
            if !session.forked && !session.got.contains_key(&message) {
                session.owed.insert(message);
            }
        }
    }

    /// It has come to a client.
    pub fn arrived(&mut self, client: usize, message: u64) {
        let session = &mut self.sessions[client];
        session.got.entry(message).or_default().0 += 1;
        session.owed.remove(&message);
    }

    /// Its publisher is told so.
    pub fn accepted(&mut self, message: u64) {
        self.counts.accepted += 1;
        let Some(known) = self.messages.get_mut(&message) else { return };
        known.accepted = true;
        // What a node had that was wiped since went with it.
        let is_kept = known.taken.is_some_and(|(.., at)| at > self.wiped_at);
        if let Some((cluster, stamp)) = known.stamp.filter(|_| is_kept) {
            let last = self.retained.entry((cluster, known.topic.clone())).or_default();
            *last = stamp.max(*last);
        }
    }

    /// A client was let in. `cuts`: the network of this run may be cut, or its processes sleep. `fellows`: the
    /// node is in the cluster of the one that let it in last. `is_alone`: no other node has a session for it.
    #[allow(clippy::too_many_arguments, reason = "what the world knows of a client that was let in")]
    pub fn welcome(
        &mut self,
        client: usize,
        host: usize,
        present: bool,
        cuts: bool,
        fellows: bool,
        is_alone: bool,
        now: u64,
    ) {
        let session = &mut self.sessions[client];
        let calm = now.saturating_sub(self.trouble_at) > CALM;
        if !is_alone && !calm {
            session.forked = true;
        } else if std::mem::take(&mut session.forked) {
            // One of them is left.
            session.ghost = true;
            session.owed.clear();
            session.last.clear();
            session.filters.values_mut().for_each(|filter| filter.since = None);
        }
        if !fellows {
            // Each cluster has a session of its own for it, and it may come back to either.
            session.ghost = true;
            session.owed.clear();
            session.last.clear();
            session.filters.values_mut().for_each(|filter| filter.since = None);
        }
        if present {
            self.counts.resumed += 1;
            self.counts.moved += u64::from(session.host != host);
            if session.host != host && !calm {
                // What a cut holds back on the way to a node comes when the session is not there any more,
                // or is there again, having been elsewhere.
                session.last.clear();
                let messages = &self.messages;
                let here = |m: &u64| messages[m].taken.is_some_and(|(taken, ..)| taken == host);
                if cuts {
                    session.owed.retain(here);
                }
            }
            if session.ghost && !calm {
                // Perhaps this is an older session, whose subscriptions nobody remembers: the node that lets the
                // client in asks the others for it, and clocks that differ decide which is the newer.
                session.owed.clear();
                session.filters.values_mut().for_each(|filter| filter.since = None);
            }
        } else {
            let epoch = session.epoch + 1;
            let touched = std::mem::take(&mut session.touched);
            let ever = std::mem::take(&mut session.ever);
            let ghost = session.ghost || !calm;
            let forked = session.forked;
            *session = Session { epoch, touched, ever, ghost, forked, ..Session::default() };
        }
        session.alive = true;
        for (node, until) in &mut session.touched {
            if *node != host {
                *until = (*until).min(now + MOVING);
            }
        }
        session.touched.insert(host, u64::MAX);
        session.host = host;
        session.welcome_at = now;
    }

    /// A client has given up an attempt to connect before it was answered, where something was out of order or it
    /// wanted a new session: a node may let it in yet, and what session it has then nobody has told it.
    pub fn doubt(&mut self, client: usize, clean: bool, now: u64) {
        let calm = now.saturating_sub(self.trouble_at) > CALM;
        if calm && !clean {
            return;
        }
        let session = &mut self.sessions[client];
        session.ghost = true;
        session.owed.clear();
        session.filters.values_mut().for_each(|filter| filter.since = None);
    }

    /// The session is gone, as far as anybody promises.
    pub fn ended(&mut self, client: usize) {
        let session = &mut self.sessions[client];
        session.alive = false;
        session.owed.clear();
    }

    /// A node is gone with all that it had.
    pub fn lost_node(&mut self, host: usize, now: u64) {
        self.trouble_at = now;
        for client in 0..self.sessions.len() {
            if self.sessions[client].touched.remove(&host).is_some_and(|until| until > now) {
                self.ended(client);
            }
            let messages = &self.messages;
            let by_host = |m: &u64| messages[m].taken.is_some_and(|(taken, ..)| taken == host);
            self.sessions[client].owed.retain(|message| !by_host(message));
        }
    }

    /// SUBSCRIBE is sent.
    pub fn subscribing(&mut self, client: usize, filter: &str, qos: QoS) {
        let entry = Filter { qos, least: qos, since: None, until: None, ending: false };
        let most = self.sessions[client].ever.entry(filter.to_owned()).or_default();
        *most = qos.max(*most);
        let known = self.sessions[client].filters.entry(filter.to_owned()).or_insert(entry);
        known.qos = known.qos.max(qos);
        known.least = known.least.min(qos);
        if known.until.is_some() || known.ending {
            (known.since, known.until, known.ending) = (None, None, false);
        }
    }

    pub fn subscribed(&mut self, client: usize, filter: &str, now: u64) {
        if let Some(known) = self.sessions[client].filters.get_mut(filter)
            && !known.ending
        {
            known.since.get_or_insert(now);
        }
    }

    /// UNSUBSCRIBE is sent: from here on nothing of the filter is owed.
    pub fn unsubscribing(&mut self, client: usize, filter: &str) {
        let session = &mut self.sessions[client];
        if let Some(known) = session.filters.get_mut(filter) {
            known.ending = true;
        }
        let messages = &self.messages;
        session.owed.retain(|m| !mqtt::topic::matches(filter, &messages[m].topic));
    }

    pub fn unsubscribed(&mut self, client: usize, filter: &str, now: u64) {
        if let Some(known) = self.sessions[client].filters.get_mut(filter)
            && known.ending
        {
            known.until = Some(now);
        }
    }
}

impl Session {
    /// Its subscriptions in force that match a topic, those of shared groups left out.
    pub fn matching<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (&'a String, &'a Filter)> {
        self.filters.iter().filter(move |(text, filter)| {
            filter.since.is_some()
                && !filter.ending
                && broker::routes::shared(text).is_none()
                && mqtt::topic::matches(text, topic)
        })
    }
}
