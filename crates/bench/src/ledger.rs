//! What should have arrived and what did: the payload that names its publisher and number, and the
//! book-keeping that finds what was lost, doubled, out of order or changed on the way.

/// The bytes of a payload that carry the proof; a shorter payload is not possible.
pub const HEAD_BYTES: usize = 24;

/// The head of a verified payload, in wire order: publisher, number, time of sending, check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which publisher, from 0.
    pub publisher: u32,
    /// Counts the publisher's messages from 0.
    pub number: u64,
    /// When it was sent: nanoseconds since the generator's start.
    pub stamp: u64,
}

/// The bytes behind the head, the same in every payload, so that comparing is one pass over memory.
fn fill_byte(at: usize) -> u8 {
    (at.wrapping_mul(167) >> 1) as u8
}

fn check(head: Head, bytes: usize) -> u32 {
    let mixed = (u64::from(head.publisher) << 32 ^ head.number ^ head.stamp.rotate_left(17) ^ bytes as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// Writes and verifies payloads of one size.
#[derive(Clone, Debug)]
pub struct Payload {
    template: Vec<u8>,
}

impl Payload {
    /// Payloads of `bytes`, at least [`HEAD_BYTES`].
    pub fn new(bytes: usize) -> Payload {
        Payload { template: (0..bytes.max(HEAD_BYTES)).map(fill_byte).collect() }
    }

    /// A payload with its head left blank.
    pub fn blank(&self) -> &[u8] {
        &self.template
    }

    /// Writes `head` at the front of a payload made from [`Payload::blank`].
    pub fn seal(payload: &mut [u8], head: Head) {
        let check = check(head, payload.len());
        payload[..4].copy_from_slice(&head.publisher.to_le_bytes());
        payload[4..12].copy_from_slice(&head.number.to_le_bytes());
        payload[12..20].copy_from_slice(&head.stamp.to_le_bytes());
        payload[20..24].copy_from_slice(&check.to_le_bytes());
    }

    /// The head, if every byte of the payload is what was sent.
    pub fn open(&self, payload: &[u8]) -> Option<Head> {
        let head = Payload::head(payload)?;
        (payload.len() == self.template.len() && payload[HEAD_BYTES..] == self.template[HEAD_BYTES..])
            .then_some(head)
    }

    /// The head of a payload of any size, if its check holds.
    pub fn head(payload: &[u8]) -> Option<Head> {
        let (head, _) = payload.split_first_chunk::<HEAD_BYTES>()?;
        let (publisher, rest) = head.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (stamp, rest) = rest.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<4>()?;
        let head = Head {
            publisher: u32::from_le_bytes(*publisher),
            number: u64::from_le_bytes(*number),
            stamp: u64::from_le_bytes(*stamp),
        };
        (check(head, payload.len()) == u32::from_le_bytes(*sum)).then_some(head)
    }
}

/// What was wrong, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Sent, and never came.
    pub lost: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one of the same publisher and topic.
    pub reordered: u64,
    /// Changed on the way, or not ours.
    pub corrupt: u64,
}

impl Faults {
    /// Adds another count.
    pub fn add(&mut self, other: Faults) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.lost + self.duplicated + self.reordered + self.corrupt
    }
}

/// The numbers of one publisher as one receiver sees them.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// The number that comes next when nothing is wrong.
    next: u64,
    /// Ranges below `next` that have not come, in order, half open.
    gaps: Vec<(u64, u64)>,
}

/// Whether numbers that come late are out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A receiver of its own: its publishers' numbers rise.
    Kept,
    /// A shared group as a whole: its members are not in step.
    Free,
}

/// One receiver's book: every message of each of its publishers exactly once, in order.
#[derive(Clone, Debug)]
pub struct Ledger {
    first: u32,
    streams: Vec<Stream>,
    order: Order,
    faults: Faults,
}

impl Ledger {
    /// A book over `count` publishers from number `first` on.
    pub fn new(first: u32, count: usize, order: Order) -> Ledger {
        Ledger { first, streams: vec![Stream::default(); count], order, faults: Faults::default() }
    }

    /// Notes an arrival. `false`: it was not new.
    #[inline]
    pub fn note(&mut self, head: Head) -> bool {
        let Some(stream) = head
            .publisher
            .checked_sub(self.first)
            .and_then(|i| self.streams.get_mut(usize::try_from(i).unwrap_or(usize::MAX)))
        else {
            self.faults.corrupt += 1;
            return false;
        };
        if head.number == stream.next {
            stream.next += 1;
            return true;
        }
        if head.number > stream.next {
            stream.gaps.push((stream.next, head.number));
            stream.next = head.number + 1;
            return true;
        }
        let filled = stream.fill(head.number);
        if !filled {
            self.faults.duplicated += 1;
        } else if self.order == Order::Kept {
            self.faults.reordered += 1;
        }
        filled
    }

    /// Notes a payload that was not what was sent.
    pub fn note_corrupt(&mut self) {
        self.faults.corrupt += 1;
    }

    /// Closes the book: `sent` says how many messages each publisher has sent.
    pub fn close(&self, sent: impl Fn(u32) -> u64) -> Faults {
        let mut faults = self.faults;
        for (publisher, stream) in (self.first..).zip(&self.streams) {
            let gaps: u64 = stream.gaps.iter().map(|(from, to)| to - from).sum();
            faults.lost += gaps + sent(publisher).saturating_sub(stream.next);
        }
        faults
    }
}

impl Stream {
    /// Takes `number` out of the gaps; `false` when it is in none.
    fn fill(&mut self, number: u64) -> bool {
        let at = self.gaps.partition_point(|gap| gap.1 <= number);
        let Some(&(from, to)) = self.gaps.get(at).filter(|gap| gap.0 <= number) else { return false };
        match (from == number, to == number + 1) {
            (true, true) => {
                self.gaps.remove(at);
            }
            (true, false) => self.gaps[at].0 = number + 1,
            (false, true) => self.gaps[at].1 = number,
            (false, false) => {
                self.gaps[at].1 = number;
                self.gaps.insert(at + 1, (number + 1, to));
            }
        }
        true
    }
}

/// The order that one member of a shared group sees, which rises even though numbers are left out.
#[derive(Clone, Debug, Default)]
pub struct Rising {
    next: Vec<u64>,
    /// Messages that came after a later one.
    pub reordered: u64,
}

impl Rising {
    /// Notes an arrival at this member.
    pub fn note(&mut self, head: Head) {
        let at = usize::try_from(head.publisher).unwrap_or(usize::MAX);
        // A head that its check has proven comes from one of our publishers, so this stays small.
        if at >= self.next.len() && at < 1 << 20 {
            self.next.resize(at + 1, 0);
        }
        if let Some(next) = self.next.get_mut(at) {
            if head.number < *next {
                self.reordered += 1;
            } else {
                *next = head.number + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(publisher: u32, number: u64) -> Head {
        Head { publisher, number, stamp: 5 }
    }

    #[test]
    fn a_payload_opens_only_as_it_was_sealed() {
        let payload = Payload::new(100);
        let mut bytes = payload.blank().to_vec();
        Payload::seal(&mut bytes, head(3, 9));
        assert_eq!(payload.open(&bytes), Some(head(3, 9)));
        for at in 0..bytes.len() {
            bytes[at] ^= 0x40;
            assert_eq!(payload.open(&bytes), None, "byte {at}");
            bytes[at] ^= 0x40;
        }
        assert_eq!(payload.open(&bytes[..99]), None);
        assert_eq!(payload.open(b""), None);
    }

    #[test]
    fn all_in_order_is_no_fault() {
        let mut ledger = Ledger::new(2, 2, Order::Kept);
        for n in 0..10 {
            assert!(ledger.note(head(2, n)) && ledger.note(head(3, n)));
        }
        assert_eq!(ledger.close(|_| 10), Faults::default());
    }

    #[test]
    fn lost_doubled_late_and_strange_are_told_apart() {
        let mut ledger = Ledger::new(0, 1, Order::Kept);
        for n in [0, 1, 5, 3, 3, 1, 7] {
            ledger.note(head(0, n));
        }
        ledger.note(head(9, 0));
        ledger.note_corrupt();
        // 2, 4, 6 never came, nor did 8 and 9; 3 came late, 3 and 1 came twice.
        assert_eq!(ledger.close(|_| 10), Faults { lost: 5, duplicated: 2, reordered: 1, corrupt: 2 });
    }

    #[test]
    fn a_group_as_a_whole_has_no_order_but_its_members_have() {
        let mut group = Ledger::new(0, 1, Order::Free);
        let mut member = Rising::default();
        for n in [3, 0, 2, 1] {
            assert!(group.note(head(0, n)));
        }
        assert_eq!(group.close(|_| 4), Faults::default());
        for n in [1, 4, 2, 9] {
            member.note(head(0, n));
        }
        assert_eq!(member.reordered, 1);
    }
}
