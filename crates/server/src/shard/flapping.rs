//! Clients that connect again and again (`flapping_detect_policy`): how often each did of late. A client id
//! has one home shard, so each shard counts its own.

use std::collections::HashMap;
use std::time::Duration;

use mqtt::Now;

/// Client ids that are counted at a time; beyond, those whose time is over are forgotten, then all.
const COUNTED_MAX: usize = 100_000;

/// What is too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlappingPolicy {
    /// So many connections
    pub connects_max: u32,
    /// in so much time
    pub within: Duration,
    /// ban for so long.
    pub banned_for: Duration,
}

/// The counts.
#[derive(Default)]
pub struct Flapping(HashMap<Box<str>, (Now, u32)>);

impl Flapping {
    /// Counts one connection; whether the client may not come in for it.
    pub fn is_too_often(&mut self, client: &str, policy: FlappingPolicy, now: Now) -> bool {
        let within = policy.within.as_millis() as u64;
        if self.0.len() >= COUNTED_MAX {
            self.0.retain(|_, (since, _)| now.since(*since) < within);
            if self.0.len() >= COUNTED_MAX {
                self.0.clear();
            }
        }
        let (since, count) = match self.0.get_mut(client) {
            Some(entry) => entry,
            None => self.0.entry(client.into()).or_insert((now, 0)),
        };
        if now.since(*since) >= within {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        let too_often = *count >= policy.connects_max;
        if too_often {
            self.0.remove(client);
        }
        too_often
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_count_for_a_while_each_client_for_itself() {
        let policy = FlappingPolicy {
            connects_max: 3,
            within: Duration::from_secs(1),
            banned_for: Duration::from_secs(9),
        };
        let mut flapping = Flapping::default();
        assert!(!flapping.is_too_often("a", policy, Now(1)));
        assert!(!flapping.is_too_often("a", policy, Now(2)));
        assert!(!flapping.is_too_often("b", policy, Now(3)));
        assert!(!flapping.is_too_often("a", policy, Now(1_001)));
        assert!(!flapping.is_too_often("a", policy, Now(1_002)));
        assert!(flapping.is_too_often("a", policy, Now(1_003)));
        assert!(!flapping.is_too_often("a", policy, Now(1_004)));
    }
}
