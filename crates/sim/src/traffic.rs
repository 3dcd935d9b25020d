//! What the clients do: who they are, what they publish and subscribe, where they go; and what the
//! oracle is told of it.

use mqtt::{QoS, Version};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::check;
use crate::client::{Client, Seen};
use crate::oracle::CALM;
use crate::world::World;

/// Filters of plain subscriptions. A topic's last level says its QoS: `t/0`, `t/1`, `t/2`.
const FILTERS: [&str; 9] = ["t/0", "t/1", "t/2", "t/+", "t/#", "u/+/1", "u/#", "r/#", "w/#"];
/// Filters of shared subscriptions.
const SHARED: [&str; 3] = ["$share/g/s/+", "$queue/s/#", "$share/h/s/0"];
const TOPICS: [&str; 11] =
    ["t/0", "t/1", "t/2", "u/a/0", "u/a/1", "u/b/2", "r/a/1", "r/b/1", "r/c/2", "s/0", "s/1"];
/// Filters that clients want for themselves; nobody publishes to them.
const ALONE: [&str; 3] = ["$exclusive/x/1", "$exclusive/x/+", "$exclusive/y"];
/// Messages of one client that may be unacknowledged.
const PENDING_MAX: usize = 20;

/// The clients of a run.
pub fn cast(rng: &mut StdRng) -> Vec<Client> {
    let count = rng.random_range(4..10);
    let one = |n: usize| {
        let version = if rng.random() { Version::V5 } else { Version::V311 };
        Client::new(format!("c{n}"), version, rng.random_range(0..4) > 0, rng.random_range(0..4) == 0)
    };
    (0..count).map(one).collect()
}

fn qos_of(topic: &str) -> QoS {
    let last = topic.rsplit('/').next().and_then(|level| level.parse().ok());
    last.and_then(QoS::from_bits).unwrap_or_default()
}

/// The number of the message that a payload names.
pub fn number_of(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?.strip_prefix('m')?;
    text.split(' ').next()?.parse().ok()
}

/// One thing that a client does.
pub fn act(world: &mut World, client: usize) {
    let hosts = world.hosts.len();
    let kind = world.rng.random_range(0..100);
    let Some(attempt) = world.clients[client].conn.as_ref().map(|conn| conn.attempt) else {
        if kind < 40 {
            let host = world.rng.random_range(0..hosts);
            let clean = world.rng.random_range(0..12) == 0;
            world.connect(client, host, clean);
        }
        return;
    };
    if kind == 0 {
        // It goes on elsewhere without a word; now and then before it was let in.
        let host = world.rng.random_range(0..hosts);
        return roam(world, client, attempt, host);
    }
    if !world.clients[client].is_welcome() {
        return;
    }
    match kind {
        1 => roam_away(world, client),
        2 if world.mix.clients => {
            world.say(|| format!("c{client} loses its connection"));
            world.break_wire(attempt);
        }
        3 => {
            let bytes = world.clients[client].disconnect();
            world.say(|| format!("c{client} says good-bye"));
            world.client_sends(attempt, bytes, false, 0);
            world.client_sends(attempt, Vec::new(), true, 0);
            world.clients[client].conn = None;
            lost(world, client);
        }
        4..14 if world.contends => contend(world, client, attempt),
        4..16 => subscribe(world, client, attempt),
        16..20 => unsubscribe(world, client, attempt),
        _ => publish(world, client, attempt),
    }
}

fn roam_away(world: &mut World, client: usize) {
    let hosts = world.hosts.len();
    let Some(conn) = &world.clients[client].conn else { return };
    let (attempt, host) = (conn.attempt, conn.host);
    let other = (host + world.rng.random_range(1..hosts)) % hosts;
    roam(world, client, attempt, other);
}

/// The old connection stays open as far as its node knows.
fn roam(world: &mut World, client: usize, _: u64, host: usize) {
    world.clients[client].conn = None;
    lost(world, client);
    world.connect(client, host, false);
}

fn publish(world: &mut World, client: usize, attempt: u64) {
    if world.clients[client].pending.len() >= PENDING_MAX {
        return;
    }
    let topic = TOPICS[world.rng.random_range(0..TOPICS.len())];
    let burst = if world.rng.random_range(0..10) == 0 { 8 } else { 1 };
    for _ in 0..burst {
        let retain = topic.starts_with("r/");
        let qos = qos_of(topic);
        let now = world.now;
        let message = world.oracle.published(client, topic, qos, retain, now);
        let mut payload = format!("m{message} ");
        let length = if world.rng.random_range(0..20) == 0 { 3_000 } else { world.rng.random_range(0..40) };
        payload.extend(std::iter::repeat_n('x', length));
        world.say(|| format!("c{client} publishes m{message} to {topic}"));
        let bytes = world.clients[client].publish(message, topic, qos, retain, payload.as_bytes());
        world.client_sends(attempt, bytes, false, 0);
    }
}

fn subscribe(world: &mut World, client: usize, attempt: u64) {
    let mut filters = Vec::new();
    let asked = world.clients[client].asked.clone();
    for _ in 0..world.rng.random_range(1..3) {
        let filter = match world.rng.random_range(0..5) {
            0 => SHARED[world.rng.random_range(0..SHARED.len())],
            _ => FILTERS[world.rng.random_range(0..FILTERS.len())],
        };
        let qos = QoS::from_bits(world.rng.random_range(0..3)).unwrap_or_default();
        // A second SUBSCRIBE of the same filter may lower what was granted: one is enough.
        let known = world.oracle.sessions[client].filters.get(filter);
        if known.is_none_or(|known| known.until.is_some() || (known.since.is_none() && asked.is_empty()))
            && filters.iter().all(|(known, _)| known != filter)
        {
            filters.push((filter.to_owned(), qos));
        }
    }
    if filters.is_empty() {
        return;
    }
    for (filter, qos) in &filters {
        world.oracle.subscribing(client, filter, *qos);
    }
    world.say(|| format!("c{client} subscribes {filters:?}"));
    let bytes = world.clients[client].subscribe(filters);
    world.client_sends(attempt, bytes, false, 0);
}

fn unsubscribe(world: &mut World, client: usize, attempt: u64) {
    let known: Vec<_> = world.oracle.sessions[client]
        .filters
        .iter()
        .filter(|(_, f)| f.since.is_some() && !f.ending)
        .map(|(text, _)| text.clone())
        .collect();
    if known.is_empty() {
        return;
    }
    let filter = known[world.rng.random_range(0..known.len())].clone();
    world.oracle.unsubscribing(client, &filter);
    world.say(|| format!("c{client} unsubscribes {filter}"));
    let bytes = world.clients[client].unsubscribe(filter);
    world.client_sends(attempt, bytes, false, 0);
}

/// A client wants a filter for itself, or no longer.
fn contend(world: &mut World, client: usize, attempt: u64) {
    let filter = ALONE[world.rng.random_range(0..ALONE.len())].to_owned();
    let wants = world.rng.random_range(0..3) > 0;
    world.say(|| format!("c{client} {} {filter}", if wants { "subscribes" } else { "unsubscribes" }));
    let known = &mut world.clients[client];
    let bytes = if wants { known.subscribe_alone(filter) } else { known.unsubscribe(filter) };
    world.client_sends(attempt, bytes, false, 0);
}

/// A node is about to take a message in: who is owed it?
pub fn taken(world: &mut World, host: usize, message: u64, attempt: u64) {
    let Some(known) = world.oracle.messages.get(&message) else { return };
    let (topic, qos) = (known.topic.clone(), known.qos);
    let (now, run) = (world.now, world.hosts[host].run);
    let calm = now.saturating_sub(world.oracle.trouble_at) > CALM;
    let mut owes = Vec::new();
    let mut wanting = Vec::new();
    if let Some(process) = &world.hosts[host].process {
        let interest = &process.control.interest;
        interest.matches(&topic, |_, share| {
            if share.group.is_none()
                && let Some(peer) =
                    process.control.peer_in(share.place.number()).filter(|_| share.place.is_peer())
            {
                // What it knows of a run that has ended counts for nothing.
                wanting.extend(process.control.serving.get(&peer).map(|run| (peer, *run)));
            }
        });
    }
    for (client, session) in world.oracle.sessions.iter().enumerate() {
        if !session.alive || qos == QoS::AtMostOnce {
            continue;
        }
        let due = session.matching(&topic).any(|(_, filter)| {
            let since = filter.since.unwrap_or(now);
            let known = filter.least > QoS::AtMostOnce;
            let there = session.host == host && session.welcome_at <= since;
            let calm = calm && world.are_fellows(host, session.host);
            known && (there || (calm && now.saturating_sub(since) > 1_000))
        });
        let seen = session.matching(&topic).any(|(_, filter)| filter.least > QoS::AtMostOnce)
            && world.hosts[session.host]
                .process
                .as_ref()
                .is_some_and(|p| wanting.contains(&(p.identity().id, p.identity().incarnation)));
        if due || seen {
            owes.push(client);
        }
    }
    world.say(|| format!("n{host} takes m{message} in (attempt {attempt}), owed to {owes:?}"));
    world.oracle.taken(message, host, run, now, &owes);
}

/// Bytes have come to a client.
pub fn receive(world: &mut World, client: usize, attempt: u64, bytes: &[u8]) {
    let (mut out, mut acks) = (Vec::new(), Vec::new());
    let seen = world.clients[client].receive(bytes, &mut out, &mut acks);
    let Some((host, clean)) = world.clients[client].conn.as_ref().map(|conn| (conn.host, conn.clean)) else {
        return;
    };
    let now = world.now;
    for seen in seen {
        world.say(|| match &seen {
            Seen::Message { topic, payload, qos, retain } => {
                let number = number_of(payload).unwrap_or(0);
                format!(
                    "c{client} gets m{number} of {topic} {qos:?}{}",
                    if *retain { " retained" } else { "" }
                )
            }
            other => format!("c{client} sees {other:?}"),
        });
        match seen {
            Seen::Welcome { present } => {
                check::resumed::welcome(world, client, host, clean, present);
                let cuts = world.mix.cuts || world.mix.pauses;
                let session = &world.oracle.sessions[client];
                let fellows = session.touched.is_empty() || world.are_fellows(host, session.host);
                let is_alone = !world.has_session_elsewhere(client, host);
                world.oracle.welcome(client, host, present, cuts, fellows, is_alone, now);
            }
            Seen::Message { topic, payload, qos, retain } => {
                delivered(world, client, &topic, &payload, qos, retain)
            }
            Seen::Accepted { message } => world.oracle.accepted(message),
            Seen::Subscribed(filters) => {
                for (filter, _) in filters {
                    world.oracle.subscribed(client, &filter, now);
                }
            }
            Seen::Unsubscribed(filter) => world.oracle.unsubscribed(client, &filter, now),
            Seen::Alone { granted } => {
                let counts = &mut world.oracle.counts;
                *if granted { &mut counts.granted } else { &mut counts.refused } += 1;
                check::exclusive::now(world);
            }
            Seen::Refused(_) | Seen::Closing(_) => {}
        }
    }
    if !out.is_empty() {
        world.client_sends(attempt, out, false, 0);
    }
    if !acks.is_empty() {
        let slow = if world.storm { world.rng.random_range(0..30) } else { 0 };
        world.client_sends(attempt, acks, false, slow);
    }
}

fn delivered(world: &mut World, client: usize, topic: &str, payload: &[u8], qos: QoS, retain: bool) {
    world.oracle.counts.delivered += 1;
    let Some(message) = number_of(payload) else {
        // A will: the node's message, not a client's.
        if !topic.starts_with("w/") {
            world.oracle.violate("matching", format!("c{client} got {payload:?} on {topic}"));
        }
        return;
    };
    let oracle = &mut world.oracle;
    check::matching::delivered(oracle, client, message, topic, qos, retain);
    oracle.arrived(client, message);
    // A retained message may come once more with each SUBSCRIBE, and between newer ones.
    if !topic.starts_with("r/") {
        check::once::delivered(oracle, client, message, qos);
        check::order::delivered(oracle, client, message);
    }
}

/// A client has no connection any more.
pub fn lost(world: &mut World, client: usize) {
    if !world.clients[client].keeps {
        world.oracle.ended(client);
    }
}

/// Every client with a session comes back, so that it gets what it is owed.
pub fn gather(world: &mut World) {
    for client in 0..world.clients.len() {
        if world.contends
            && world.clients[client].is_welcome()
            && let Some(attempt) = world.clients[client].conn.as_ref().map(|conn| conn.attempt)
        {
            contend(world, client, attempt);
        }
        if world.clients[client].persistent && world.clients[client].conn.is_none() {
            let host = world.rng.random_range(0..world.hosts.len());
            world.connect(client, host, false);
        }
    }
}
