//! What a publisher publishes to a topic by way of one node reaches each session in that order. Only the
//! first arrival of a message counts: QoS 1 may repeat.

use crate::oracle::Oracle;

pub fn delivered(oracle: &mut Oracle, client: usize, message: u64) {
    let Some(known) = oracle.messages.get(&message) else { return };
    let session = &mut oracle.sessions[client];
    let Some((host, run, _)) = known.taken else { return };
    // Members of a group share the messages; each gets its own in order, but another one's may follow.
    let is_first = session.got.get(&message).is_some_and(|(all, _)| *all == 1);
    if !is_first || session.ghost || known.topic.starts_with("s/") {
        return;
    }
    let key = (known.publisher, host, run, known.topic.clone());
    let number = known.number;
    let last = session.last.entry(key).or_default();
    if *last > number {
        let what = format!("message {message} {known:?} came to c{client} after number {last}");
        return oracle.violate("order", what);
    }
    *last = number;
}
