//! A QoS 1 or 2 message that was acknowledged reaches every session that it was owed to: who was
//! subscribed and whose node the publisher's node knew and reached, or had to. Sessions live in the
//! memory of their node, and what a node forwards waits in its memory, so both end with it; so does a
//! session of which a client was told that it is not there any more.

use broker::retained::Retained;
use cluster::ClusterId;

use crate::oracle::Oracle;

/// To be looked at when everything has come to rest.
pub fn at_rest(oracle: &mut Oracle) {
    for (client, session) in oracle.sessions.iter().enumerate() {
        if let Some(message) = session.owed.iter().find(|message| oracle.messages[message].accepted) {
            let what = format!("message {message} {:?} never reached c{client}", oracle.messages[message]);
            return oracle.violate("acked", what);
        }
    }
}

/// No retained message that was acknowledged gives way to an older one, on any node.
pub fn retained(oracle: &mut Oracle, host: usize, cluster: ClusterId, held: &Retained) {
    let lost = oracle
        .retained
        .iter()
        .find(|((of, topic), stamp)| *of == cluster && held.stamp(topic).is_none_or(|at| at < **stamp));
    if let Some(((_, topic), stamp)) = lost {
        let what = format!("n{host} has {:?} of {topic}, acknowledged was {stamp:?}", held.stamp(topic));
        oracle.violate("acked", what);
    }
}
