//! How fast a client may send: token buckets. A connection that is too fast is not read until it has
//! room again; one that has used up its quota of messages is told so, message by message.

use std::sync::Arc;

use mqtt::Now;
use parking_lot::Mutex;

use crate::settings::Rate;

/// So much in a time, spread evenly; what is left over is saved up to one whole measure.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Units that come back in a millisecond.
    per_ms: f64,
    max: f64,
    left: f64,
    at: Now,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate) -> Bucket {
        let max = rate.amount.max(1) as f64;
        let ms = (rate.per.as_millis() as f64).max(1.0);
        Bucket { per_ms: max / ms, max, left: max, at: Now(0) }
    }

    fn fill(&mut self, now: Now) {
        self.left = (self.left + now.since(self.at) as f64 * self.per_ms).min(self.max);
        self.at = now;
    }

    /// Takes `count` out, more than there is if need be. Says when there will be some again, if there is none.
    pub fn take(&mut self, count: u64, now: Now) -> Option<Now> {
        self.fill(now);
        self.left -= count as f64;
        (self.left < 0.0).then(|| now.plus((-self.left / self.per_ms).ceil() as u64))
    }

    /// Takes one out if there is one.
    pub fn take_one(&mut self, now: Now) -> bool {
        self.fill(now);
        let has_one = self.left >= 1.0;
        if has_one {
            self.left -= 1.0;
        }
        has_one
    }
}

/// The rules of a listener.
#[derive(Debug, Default)]
pub struct Pace {
    /// PUBLISH packets of one connection.
    pub messages: Option<Rate>,
    /// Bytes of one connection, by the zone and by the listener.
    pub bytes: [Option<Rate>; 2],
    /// Messages of one connection that are passed on.
    pub routing: Option<Rate>,
    /// Messages of all connections of the zone that are passed on.
    pub routing_all: Option<Arc<Mutex<Bucket>>>,
}

/// One connection, measured against them.
#[derive(Debug)]
pub struct Paced {
    messages: Option<Bucket>,
    bytes: Vec<Bucket>,
}

impl Paced {
    /// Nothing, where there is nothing to measure.
    pub fn new(pace: &Pace) -> Option<Box<Paced>> {
        let bytes: Vec<Bucket> = pace.bytes.iter().flatten().map(|r| Bucket::new(*r)).collect();
        if pace.messages.is_none() && bytes.is_empty() {
            return None;
        }
        let messages = pace.messages.map(Bucket::new);
        Some(Box::new(Paced { messages, bytes }))
    }

    /// A packet has come: until when nothing more is to be read, if that was too much.
    pub fn packet(&mut self, is_message: bool, bytes: usize, now: Now) -> Option<Now> {
        let counted = self.messages.as_mut().filter(|_| is_message).and_then(|m| m.take(1, now));
        let measured = self.bytes.iter_mut().filter_map(|b| b.take(bytes as u64, now)).max();
        counted.max(measured)
    }
}

/// What of one connection's messages is passed on.
#[derive(Debug)]
pub struct Quota {
    own: Option<Bucket>,
    all: Option<Arc<Mutex<Bucket>>>,
}

impl Quota {
    /// Nothing, where there is no quota.
    pub fn new(pace: &Pace) -> Option<Box<Quota>> {
        let quota = Quota { own: pace.routing.map(Bucket::new), all: pace.routing_all.clone() };
        (quota.own.is_some() || quota.all.is_some()).then(|| Box::new(quota))
    }

    /// Whether one more message may be passed on.
    pub fn take(&mut self, now: Now) -> bool {
        self.own.as_mut().is_none_or(|own| own.take_one(now))
            && self.all.as_ref().is_none_or(|all| all.lock().take_one(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_back_evenly_what_was_taken() {
        let mut bucket = Bucket::new(Rate { amount: 10, per: Duration::from_secs(1) });
        let start = Now(5000);
        for _ in 0..10 {
            assert_eq!(bucket.take(1, start), None);
        }
        assert_eq!(bucket.take(1, start), Some(start.plus(100)));
        assert_eq!(bucket.take(4, start), Some(start.plus(500)));
        assert!(!bucket.take_one(start.plus(599)) && bucket.take_one(start.plus(601)));
        assert_eq!(bucket.take(10, start.plus(60_000)), None, "no more than one measure is saved");
        assert!(bucket.take(1, start.plus(60_000)).is_some());
    }

    #[test]
    fn a_connection_rests_for_the_strictest_rule() {
        let rate = |amount, secs| Some(Rate { amount, per: Duration::from_secs(secs) });
        let pace = Pace { messages: rate(1, 1), bytes: [rate(100, 1), None], ..Pace::default() };
        let mut paced = Paced::new(&pace).unwrap();
        assert_eq!(paced.packet(true, 10, Now(1000)), None);
        assert_eq!(paced.packet(true, 10, Now(1000)), Some(Now(2000)));
        assert_eq!(paced.packet(false, 280, Now(1000)), Some(Now(3000)));
        assert!(Paced::new(&Pace::default()).is_none() && Quota::new(&Pace::default()).is_none());
    }
}
