//! What waits for one client.

use super::letter::Letter;
use crate::op::Rules;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Queue {
    /// In the order in which they came.
    letters: Vec<(Rank, Letter)>,
    /// Whose turn it is, and how many more it may send in it.
    turn: Option<(Rank, u32)>,
}

/// What goes before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Priority(u32),
    /// Retained messages of a new subscription, where there are priorities: they were fetched because
    /// nothing else waited.
    Owed,
}

impl Rank {
    fn of(topic: &str, rules: &Rules) -> Rank {
        let own = rules.priorities.iter().find(|(t, _)| *t == topic);
        Rank::Priority(match own {
            _ if rules.priorities.is_empty() => 0,
            Some((_, priority)) => u32::from(*priority),
            None if rules.others_first => u32::MAX,
            None => 0,
        })
    }

    /// Messages of a turn: ten times the priority.
    fn turn(self) -> u32 {
        if let Rank::Priority(n) = self { n.saturating_mul(10).max(1) } else { u32::MAX }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn has_qos0(&self) -> bool {
        self.letters.iter().any(|(_, letter)| letter.qos == 0)
    }

    pub(super) fn has_room(&self, topic: &str, rules: &Rules) -> bool {
        let rank = Rank::of(topic, rules);
        rules.queue_max == 0 || self.letters.iter().filter(|(of, _)| *of == rank).count() < rules.queue_max
    }

    /// Where there is no room the oldest of that priority goes.
    pub(super) fn push(&mut self, letter: Letter, rules: &Rules) {
        let rank = Rank::of(&letter.message.topic, rules);
        self.letters.push((rank, letter));
        let same = |(of, _): &(Rank, Letter)| *of == rank;
        if rules.queue_max > 0 && self.letters.iter().filter(|l| same(l)).count() > rules.queue_max {
            let oldest = self.letters.iter().position(same).expect("the new one is of that priority");
            self.letters.remove(oldest);
        }
    }

    pub(super) fn push_owed(&mut self, letter: Letter, rules: &Rules) {
        let rank = if rules.priorities.is_empty() { Rank::Priority(0) } else { Rank::Owed };
        self.letters.push((rank, letter));
    }

    /// The next message's place, and the turn in which it goes.
    fn next(&self) -> Option<(usize, (Rank, u32))> {
        let ranks = || self.letters.iter().map(|(rank, _)| *rank);
        let first = ranks().max()?;
        let turn = self.turn.filter(|(rank, _)| ranks().any(|r| r == *rank));
        let (rank, left) = match turn {
            _ if first == Rank::Owed => (first, first.turn()),
            Some((rank, left)) if left > 0 => (rank, left),
            Some((rank, _)) => {
                let next = ranks().filter(|r| *r < rank).max().unwrap_or(first);
                (next, next.turn())
            }
            None => (first, first.turn()),
        };
        ranks().position(|r| r == rank).map(|at| (at, (rank, left)))
    }

    pub(super) fn front(&self) -> Option<&Letter> {
        self.next().map(|(at, _)| &self.letters[at].1)
    }

    pub(super) fn pop_front(&mut self) -> Option<Letter> {
        let (at, (rank, left)) = self.next()?;
        if rank != Rank::Owed {
            self.turn = Some((rank, left - 1));
        }
        Some(self.letters.remove(at).1)
    }

    /// Nothing waits any more: the next message begins anew.
    pub(super) fn rest(&mut self) {
        self.turn = None;
    }

    /// Everything, the greatest priority first.
    pub(super) fn all(&self) -> Vec<&Letter> {
        let mut all: Vec<_> = self.letters.iter().collect();
        all.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        all.into_iter().map(|(_, letter)| letter).collect()
    }
}
