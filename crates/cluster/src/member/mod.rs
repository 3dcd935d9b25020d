//! Who belongs to the cluster: a replicated, persisted set of records, one for each identity.
//!
//! A record that says that an identity has left or was forced out is final: the identity never comes
//! back, whoever goes on under its name has a new one. Among the others the newer stamp wins. So merging
//! is the same in any order, and sets that were merged both ways are equal.

pub(crate) mod swim;

use std::collections::BTreeMap;

use crate::digest::{Digest, hash};
use crate::id::NodeId;
use crate::name::NodeName;
use crate::replica::Stamp;
use crate::wire::{Reader, as_u64, put, put_u64, put_with};

/// So many cleaned members are remembered; the longest absent goes first.
pub const CLEANED_MAX: usize = 256;
/// So many final records are remembered.
pub const TOMBSTONES_MAX: usize = 1_024;

/// How an identity stands to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// A member.
    Member = 1,
    /// Away for longer than autoclean allows: not listed, and welcome back with its data.
    Cleaned = 2,
    /// Has left by its own command.
    Left = 3,
    /// Was removed by somebody's command.
    ForcedOut = 4,
    /// Another identity has taken its name while it was stopped: its disk was lost, or it was set up anew.
    Replaced = 5,
}

impl State {
    /// Whether this identity can never be a member again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Left | Self::ForcedOut | Self::Replaced)
    }

    fn from_number(number: u64) -> Self {
        match number {
            2 => Self::Cleaned,
            3 => Self::Left,
            4 => Self::ForcedOut,
            5 => Self::Replaced,
            // A state of a later version is one in which the identity takes part.
            _ => Self::Member,
        }
    }
}

/// What is recorded of one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The identity.
    pub id: NodeId,
    /// Its name, whose host says where to dial.
    pub name: NodeName,
    /// How it stands to the cluster.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// When the record was written.
    pub stamp: Stamp,
}

impl Member {
    fn rank(&self) -> (bool, Stamp, State) {
        (self.state.is_final(), self.stamp, self.state)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(out, 1, &self.id.0);
        put(out, 2, self.name.as_str().as_bytes());
        put_u64(out, 3, self.state as u64);
        put_u64(out, 4, self.since);
        put(out, 5, &self.stamp.encode());
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let (mut id, mut name, mut state, mut since, mut stamp) = (None, None, None, 0, None);
        let mut reader = Reader(content);
        while let Some((number, content)) = reader.field() {
            match number {
                1 => id = NodeId::from_slice(content),
                2 => name = std::str::from_utf8(content).ok().and_then(|text| NodeName::parse(text).ok()),
                3 => state = as_u64(content).map(State::from_number),
                4 => since = as_u64(content)?,
                5 => stamp = Stamp::decode(content),
                _ => {}
            }
        }
        Some(Self { id: id?, name: name?, state: state?, since, stamp: stamp? })
    }
}

/// The set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members(BTreeMap<NodeId, Member>);

impl Members {
    /// Takes a record if it outranks the one that is held; yields what changed.
    pub fn merge(&mut self, record: Member) -> Option<Change> {
        if !self.takes(&record) {
            return None;
        }
        let before = self.0.get(&record.id).cloned();
        self.0.insert(record.id, record.clone());
        self.forget_oldest();
        Some(Change { before, record })
    }

    /// Whether [`Self::merge`] would take that record.
    pub fn takes(&self, record: &Member) -> bool {
        self.find(record.id).is_none_or(|held| held.rank() < record.rank())
    }

    fn forget_oldest(&mut self) {
        for (state, most) in [(false, CLEANED_MAX), (true, TOMBSTONES_MAX)] {
            let counts = |m: &&Member| if state { m.state.is_final() } else { m.state == State::Cleaned };
            if self.0.values().filter(counts).count() > most
                && let Some(oldest) =
                    self.0.values().filter(counts).min_by_key(|m| (m.since, m.id)).map(|m| m.id)
            {
                self.0.remove(&oldest);
            }
        }
    }

    pub fn find(&self, id: NodeId) -> Option<&Member> {
        self.0.get(&id)
    }

    /// The member with that name.
    pub fn named(&self, name: &NodeName) -> Option<&Member> {
        self.members().find(|m| m.name == *name)
    }

    pub fn is_member(&self, id: NodeId) -> bool {
        self.find(id).is_some_and(|m| m.state == State::Member)
    }

    /// By ascending identity.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.0.values().filter(|m| m.state == State::Member)
    }

    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }

    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        let mut bytes = Vec::new();
        for member in self.0.values() {
            bytes.clear();
            member.encode(&mut bytes);
            digest.add(hash(&member.id.0, &bytes));
        }
        digest
    }

    pub fn encode(&self, number: u8, out: &mut Vec<u8>) {
        for member in self.0.values() {
            put_with(out, number, |out| member.encode(out));
        }
    }
}

/// A record that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub before: Option<Member>,
    pub record: Member,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u8, state: State, time: u64) -> Member {
        let name = NodeName::parse(&format!("n{id}@h")).expect("a name");
        Member { id: NodeId([id; 16]), name, state, since: time, stamp: Stamp { time, node: 0 } }
    }

    #[test]
    fn merging_is_the_same_in_any_order() {
        let states = [State::Member, State::Cleaned, State::Left, State::ForcedOut, State::Replaced];
        let records: Vec<_> = states.iter().zip([9, 8, 2, 3, 3]).map(|(s, t)| record(1, *s, t)).collect();
        let mut forward = Members::default();
        let mut backward = Members::default();
        for record in &records {
            forward.merge(record.clone());
        }
        for record in records.iter().rev() {
            backward.merge(record.clone());
        }
        assert_eq!(forward, backward);
        assert_eq!(forward.digest(), backward.digest());
        assert!(forward.find(NodeId([1; 16])).is_some_and(|m| m.state.is_final()));
    }

    #[test]
    fn what_is_cleaned_comes_back_by_a_newer_record_and_who_left_never_does() {
        let mut set = Members::default();
        set.merge(record(1, State::Cleaned, 5));
        assert!(set.merge(record(1, State::Member, 4)).is_none());
        assert!(set.merge(record(1, State::Member, 6)).is_some());
        set.merge(record(1, State::ForcedOut, 1));
        assert!(set.merge(record(1, State::Member, 100)).is_none());
    }

    #[test]
    fn records_survive_the_wire_and_garbage_is_no_record() {
        let mut bytes = Vec::new();
        let member = record(3, State::Cleaned, 7);
        member.encode(&mut bytes);
        assert_eq!(Member::decode(&bytes), Some(member));
        for cut in 0..bytes.len() {
            assert_eq!(Member::decode(&bytes[..cut]), None);
        }
    }

    #[test]
    fn only_so_many_of_the_absent_are_remembered() {
        let mut set = Members::default();
        for i in 0..400u64 {
            let mut member = record(1, State::Cleaned, i);
            member.id.0[..8].copy_from_slice(&i.to_be_bytes());
            set.merge(member);
        }
        assert_eq!(set.all().count(), CLEANED_MAX);
        assert!(set.all().all(|m| m.since >= 400 - CLEANED_MAX as u64));
    }
}
