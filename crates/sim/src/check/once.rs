//! What is delivered with QoS 2 reaches a session at most once for each of its subscriptions, and so does
//! what is delivered with QoS 0; a QoS 0 message reaches one member at most of each shared group.

use std::collections::BTreeSet;

use mqtt::QoS;

use crate::oracle::Oracle;

pub fn delivered(oracle: &mut Oracle, client: usize, message: u64, qos: QoS) {
    let Some(known) = oracle.messages.get_mut(&message) else { return };
    let session = &mut oracle.sessions[client];
    if qos == QoS::AtLeastOnce || known.qos == QoS::AtLeastOnce || session.ghost {
        return;
    }
    let Some((_, count)) = session.got.get_mut(&message) else { return };
    *count += 1;
    let shared = |filter: &str| broker::routes::shared(filter).map(|(_, filter)| filter.to_owned());
    let matches = |filter: &str| {
        let filter = shared(filter).unwrap_or_else(|| filter.to_owned());
        mqtt::topic::matches(&filter, &known.topic)
    };
    let allowed = session.filters.keys().filter(|filter| matches(filter)).count();
    if *count as usize > allowed {
        let what = format!("message {message} {known:?} came {count} times to c{client}, for {allowed}");
        return oracle.violate("once", what);
    }
    if known.topic.starts_with("s/") && known.qos == QoS::AtMostOnce {
        known.shared += 1;
        let (count, topic) = (known.shared, known.topic.clone());
        let all = oracle.sessions.iter().flat_map(|session| session.filters.keys());
        let of_topic = |f: &&String| shared(f).is_some_and(|filter| mqtt::topic::matches(&filter, &topic));
        let groups = all.filter(of_topic).collect::<BTreeSet<_>>().len();
        if count as usize > groups {
            let what = format!("message {message} to {topic} came to {count} members of {groups} groups");
            oracle.violate("once", what);
        }
    }
}
