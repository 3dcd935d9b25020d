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

/// So long a client that was found out is kept out here: by then the ban is known.
const KEPT_OUT_MS: u64 = 1_000;

/// The counts.
#[derive(Default)]
pub struct Flapping(HashMap<Box<str>, Count>);

struct Count {
    since: Now,
    connects: u32,
    kept_out_until: Now,
}

impl Flapping {
    /// Counts one connection; whether the client may not come in for it.
    pub fn is_too_often(&mut self, client: &str, policy: FlappingPolicy, now: Now) -> bool {
        let within = policy.within.as_millis() as u64;
        if self.0.len() >= COUNTED_MAX {
            self.0.retain(|_, count| now.since(count.since) < within);
            if self.0.len() >= COUNTED_MAX {
                self.0.clear();
            }
        }
        let count = match self.0.get_mut(client) {
            Some(count) => count,
            None => {
                let new = Count { since: now, connects: 0, kept_out_until: Now(0) };
                self.0.entry(client.into()).or_insert(new)
            }
        };
        if now < count.kept_out_until {
            return true;
        }
        if now.since(count.since) >= within {
            (count.since, count.connects) = (now, 0);
        }
        count.connects += 1;
        let too_often = count.connects >= policy.connects_max;
        if too_often {
            *count = Count { since: now, connects: 0, kept_out_until: now.plus(KEPT_OUT_MS) };
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
        assert!(flapping.is_too_often("a", policy, Now(1_004)));
        assert!(!flapping.is_too_often("a", policy, Now(2_003)));
    }
}
