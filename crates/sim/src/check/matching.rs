//! Nobody gets what it has not subscribed: some filter of the session matches, the QoS is not above
//! what both sides said, and what was published after an UNSUBACK does not come. Payload and topic are
//! those that were published.

use mqtt::QoS;

use crate::oracle::Oracle;

/// So long after an UNSUBACK what was published before may still be taken in elsewhere, in milliseconds.
const LATE: u64 = 1_000;

pub fn delivered(oracle: &mut Oracle, client: usize, message: u64, topic: &str, qos: QoS, retain: bool) {
    let Some(known) = oracle.messages.get(&message) else {
        let what = format!("c{client} got a message {message} on {topic} that nobody published");
        return oracle.violate("matching", what);
    };
    if known.topic != topic || known.taken.is_none() {
        return oracle
            .violate("matching", format!("message {message} {known:?} came on {topic} to c{client}"));
    }
    let session = &oracle.sessions[client];
    let mut most = None;
    for (text, filter) in &session.filters {
        let plain = broker::routes::shared(text).map_or(text.as_str(), |(_, filter)| filter);
        let late = filter
            .until
            .is_some_and(|until| !retain && known.taken.is_some_and(|(.., at)| at > until + LATE));
        if mqtt::topic::matches(plain, topic) && !late {
            most = most.max(Some(filter.qos));
        }
    }
    let plain = |text: &str| broker::routes::shared(text).map_or(text, |(_, filter)| filter).to_owned();
    if session.ghost {
        let ever = session.ever.iter().filter(|(text, _)| mqtt::topic::matches(&plain(text), topic));
        most = ever.map(|(_, qos)| *qos).max();
    }
    let Some(most) = most else {
        let what = format!("message {message} {known:?} came to c{client}: {:?}", session.filters);
        return oracle.violate("matching", what);
    };
    if qos > most.min(known.qos) {
        let what = format!("message {message} {known:?} came to c{client} with {qos:?}, granted {most:?}");
        oracle.violate("matching", what);
    }
}
