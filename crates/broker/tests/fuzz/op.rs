//! What two programs do to a broker, one after the other.

use mqtt::packet::AckKind;

use crate::harness::Random;

/// One step. `at` says which of the two programs takes it; where it has no connection, nothing happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Connects; a connection that it had is lost.
    Connect {
        at: usize,
        id: &'static str,
        how: Hello,
    },
    /// A second CONNECT on the same connection.
    ConnectAgain {
        at: usize,
    },
    Subscribe {
        at: usize,
        filter: &'static str,
        how: Wanted,
    },
    Unsubscribe {
        at: usize,
        filter: &'static str,
    },
    Publish {
        at: usize,
        topic: &'static str,
        packet_id: u16,
        how: Sent,
    },
    /// An acknowledgement, whatever it is for; of a failure where `error` says so.
    Ack {
        at: usize,
        kind: AckKind,
        packet_id: u16,
        error: bool,
    },
    /// The right answer to the n-th packet that waits for one.
    Answer {
        at: usize,
        nth: usize,
    },
    Ping {
        at: usize,
    },
    /// DISCONNECT with that reason, and perhaps another session expiry.
    Disconnect {
        at: usize,
        reason: u8,
        expiry: Option<u32>,
    },
    /// The connection breaks.
    Lose {
        at: usize,
    },
    /// Bytes that are no packet.
    Malformed {
        at: usize,
    },
    Wait {
        ms: u64,
    },
    /// What that shard has for the other one arrives there.
    Hand {
        from: usize,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hello {
    pub v5: bool,
    pub clean: bool,
    /// Of 5.0; 0: none is asked for.
    pub expiry: u32,
    pub keep_alive: u16,
    /// Of 5.0; 0: not said.
    pub receive_max: u16,
    /// Of 5.0: topic aliases that it takes.
    pub alias_max: u16,
    /// Of 5.0: bytes of the largest packet that it takes; 0: not said.
    pub packet_max: u32,
    pub will: Option<Left>,
}

/// A will.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    pub topic: &'static str,
    pub qos: u8,
    pub retain: bool,
    /// Of 5.0.
    pub delay: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    pub qos: u8,
    pub no_local: bool,
    pub retain_as_published: bool,
    /// 0 always, 1 if new, 2 never.
    pub handling: u8,
    /// 0: none.
    pub identifier: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    /// Without payload.
    pub empty: bool,
    /// Of 5.0, in seconds.
    pub expiry: Option<u32>,
    /// Of 5.0; 0: none.
    pub alias: u16,
    /// Of 5.0: the topic is that of the alias, and not said.
    pub nameless: bool,
}

/// What the broker of a run goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub inflight_max: u16,
    pub queue_max: usize,
    pub store_qos0: bool,
    pub awaiting_rel_max: u16,
    pub await_rel_ms: u64,
    /// Topic aliases that clients may use.
    pub alias_max: u16,
    pub upgrade_qos: bool,
    pub ignore_loop: bool,
    pub shared_ack: bool,
    /// Of clients before 5.0, in seconds.
    pub session_expiry: u32,
    /// The mountpoint of each program, wherever it connects; `%c` stands for the client id.
    pub mounts: [&'static str; 2],
    /// Topics that go before others, the greater number the earlier. Empty: all alike.
    pub priorities: &'static [(&'static str, u8)],
    /// Topics without a number go before those, not after them.
    pub others_first: bool,
    /// Of the node: 1, or 2 with one client id each.
    pub shards: usize,
    /// What one shard has for the other waits for `Op::Hand`.
    pub is_late: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            inflight_max: 2,
            queue_max: 3,
            store_qos0: true,
            awaiting_rel_max: 2,
            await_rel_ms: 3_000,
            alias_max: 2,
            upgrade_qos: false,
            ignore_loop: false,
            shared_ack: false,
            session_expiry: 5,
            mounts: ["", ""],
            priorities: &[],
            others_first: true,
            shards: 1,
            is_late: false,
        }
    }
}

impl Rules {
    pub fn any(random: &mut Random) -> Rules {
        Rules {
            inflight_max: random.one(&[0, 1, 2, 2, 3]),
            queue_max: random.one(&[0, 1, 2, 3]),
            store_qos0: random.below(3) > 0,
            awaiting_rel_max: random.one(&[0, 1, 2, 3]),
            await_rel_ms: random.one(&[0, 1_000, 3_000]),
            alias_max: random.one(&[0, 2, 2, u16::MAX]),
            upgrade_qos: random.below(6) == 0,
            ignore_loop: random.below(6) == 0,
            shared_ack: random.below(3) == 0,
            session_expiry: random.one(&[0, 2, 5, u32::MAX]),
            mounts: match random.below(4) {
                0 => [random.one(&MOUNTS), random.one(&MOUNTS)],
                1 => [random.one(&MOUNTS); 2],
                _ => ["", ""],
            },
            priorities: if random.below(3) == 0 { random.one(&PRIORITIES) } else { &[] },
            others_first: random.below(2) == 0,
            shards: 1 + random.below(2),
            is_late: random.below(3) == 0,
        }
    }
}

pub const IDS: [&str; 2] = ["a", "b"];
pub const TOPICS: [&str; 4] = ["t", "t/under", "voice", "$SYS/w"];
pub const FILTERS: [&str; 9] = ["t", "t/under", "voice", "$SYS/w", "#", "t/#", "t/+", "$SYS/+", "+"];
pub const SHARED: [&str; 2] = ["$share/g/t", "$share/g/#"];
/// One of them is no longer than another, one begins like another, and one makes other topics of topics.
pub const MOUNTS: [&str; 6] = ["", "m/", "%c/", "m/n/", "t/", "mm"];

pub const PRIORITIES: [&[(&str, u8)]; 4] =
    [&[("t", 1)], &[("t", 2), ("voice", 1)], &[("voice", 255), ("t/under", 1)], &[("m/t", 1), ("t", 1)]];

impl Op {
    pub fn any(random: &mut Random) -> Op {
        let at = random.below(2);
        match random.below(34) {
            0..4 => Op::Connect { at, id: random.one(&IDS), how: Hello::any(random) },
            4..8 => {
                let is_shared = random.below(3) == 0;
                let filter = if is_shared { random.one(&SHARED) } else { random.one(&FILTERS) };
                let any = Wanted::any(random);
                Op::Subscribe { at, filter, how: Wanted { no_local: any.no_local && !is_shared, ..any } }
            }
            8 => {
                let filter = if random.below(3) == 0 { random.one(&SHARED) } else { random.one(&FILTERS) };
                Op::Unsubscribe { at, filter }
            }
            9..18 => Op::Publish {
                at,
                topic: random.one(&TOPICS),
                packet_id: 1 + random.below(3) as u16,
                how: Sent::any(random),
            },
            18..24 => Op::Answer { at, nth: random.one(&[0, 0, 0, 1, 2]) },
            24..27 => Op::Ack {
                at,
                kind: random.one(&[AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp]),
                packet_id: 1 + random.below(6) as u16,
                error: random.below(4) == 0,
            },
            27 => Op::Ping { at },
            28 => Op::Disconnect {
                at,
                reason: random.one(&[0, 0, 4, 0x80]),
                expiry: random.one(&[None, None, Some(0), Some(3)]),
            },
            29 => Op::Lose { at },
            30 => match random.below(8) {
                0 => Op::Malformed { at },
                1 => Op::ConnectAgain { at },
                _ => Op::Lose { at },
            },
            31 | 32 => Op::Hand { from: random.below(2) },
            _ => Op::Wait { ms: random.one(&[1, 700, 1_100, 2_300, 6_000]) },
        }
    }
}

impl Hello {
    fn any(random: &mut Random) -> Hello {
        let v5 = random.below(3) > 0;
        let will = (random.below(3) == 0).then(|| Left {
            topic: random.one(&TOPICS[..3]),
            qos: random.below(3) as u8,
            retain: random.below(4) == 0,
            delay: if v5 { random.one(&[0, 0, 1, 4]) } else { 0 },
        });
        Hello {
            v5,
            clean: random.below(3) == 0,
            expiry: if v5 { random.one(&[0, 2, 5, 60, u32::MAX]) } else { 0 },
            keep_alive: random.one(&[0, 0, 1, 4]),
            receive_max: if v5 { random.one(&[0, 0, 1, 2]) } else { 0 },
            alias_max: if v5 { random.one(&[0, 0, 1, 2, u16::MAX]) } else { 0 },
            packet_max: if v5 { random.one(&[0, 0, 0, 0, 0, 0, 5, 8, 11, 14, 17, 20]) } else { 0 },
            will,
        }
    }
}

impl Wanted {
    fn any(random: &mut Random) -> Wanted {
        Wanted {
            qos: random.below(3) as u8,
            no_local: random.below(4) == 0,
            retain_as_published: random.below(3) == 0,
            handling: random.one(&[0, 0, 1, 2]),
            identifier: random.one(&[0, 0, 1, 300]),
        }
    }
}

impl Sent {
    fn any(random: &mut Random) -> Sent {
        let qos = random.below(3) as u8;
        let alias = random.one(&[0, 0, 0, 0, 1, 2, 3]);
        Sent {
            qos,
            retain: random.below(4) == 0,
            dup: qos > 0 && random.below(6) == 0,
            empty: random.below(8) == 0,
            expiry: random.one(&[None, None, None, None, Some(0), Some(1), Some(3)]),
            alias,
            nameless: random.below(if alias > 0 { 2 } else { 50 }) == 0,
        }
    }
}
