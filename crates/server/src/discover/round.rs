//! What came of one round, in the words that operators read. Pure: nothing is asked or joined here.

use std::fmt;

use cluster::discovery::{Candidate, Decision};
use cluster::{Cause, ClusterId, NodeName};

use crate::api::shapes::{DiscoveryAnswer, DiscoveryCandidate};

/// This node, when the round begins.
pub(super) struct Here {
    pub cluster: ClusterId,
    pub stays_out: bool,
    /// Members that serve, this node too.
    pub running: Vec<NodeName>,
    pub stopped: Vec<NodeName>,
}

/// What a name came to when it was asked who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// This node itself.
    Myself,
    /// A member that serves; it was not asked.
    Member,
    /// Lives, and belongs to that cluster.
    Cluster(ClusterId),
    /// No answer, and why.
    Silent(Cause),
    /// No name of a node.
    NoName,
}

/// What was done about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Myself,
    Member,
    /// Its cluster is younger: it is for that one to join.
    Younger,
    /// Its cluster is the oldest; this node is being let in by it.
    Joining,
    /// Another node, of the oldest cluster, was asked to let this one in.
    Passed,
    Joined,
    JoinFailed(Cause),
    Silent(Cause),
    NoName,
}

impl Fate {
    fn of(reply: Reply, name: &str, own: ClusterId, decision: &Decision) -> Fate {
        match reply {
            Reply::Myself => Fate::Myself,
            Reply::Member => Fate::Member,
            Reply::Silent(cause) => Fate::Silent(cause),
            Reply::NoName => Fate::NoName,
            Reply::Cluster(cluster) if cluster == own => Fate::Member,
            Reply::Cluster(_) => match decision {
                Decision::Join(target) if target.as_str() == name => Fate::Joining,
                Decision::Join(_) => Fate::Passed,
                Decision::Wait | Decision::Stay => Fate::Younger,
            },
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Myself => f.write_str("this node"),
            Fate::Member => f.write_str("a member of this cluster"),
            Fate::Younger => f.write_str("not joined: its cluster is younger, so it joins this one"),
            Fate::Joining => f.write_str("being joined: its cluster is the oldest"),
            Fate::Passed => {
                f.write_str("not joined: another node was asked, whose cluster is as old or older")
            }
            Fate::Joined => f.write_str("joined"),
            Fate::JoinFailed(cause) => write!(f, "not joined: {}", cause.word()),
            Fate::Silent(cause) => write!(f, "not joined: no answer ({})", cause.word()),
            Fate::NoName => f.write_str("not joined: this is no name of a node"),
        }
    }
}

/// Why a round found nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The strategy could not ask.
    Failed,
    /// It was answered with no other name.
    NoNames,
    /// None of the names answers.
    NoAnswer,
}

/// One round.
pub(super) struct Round {
    asked: String,
    failed: Option<String>,
    noticed: String,
    alone: bool,
    fates: Vec<(String, Fate)>,
}

/// The candidate that a reply makes.
pub(super) fn candidate((name, reply): &(String, Reply)) -> Option<Candidate> {
    let Reply::Cluster(cluster) = *reply else { return None };
    NodeName::parse(name).ok().map(|name| Candidate { name, cluster })
}

impl Round {
    pub fn new(
        here: &Here,
        replies: Vec<(String, Reply)>,
        decision: &Decision,
        asked: String,
        failed: Option<String>,
        noticed: String,
    ) -> Round {
        let fates = replies
            .into_iter()
            .map(|(name, reply)| {
                let fate = Fate::of(reply, &name, here.cluster, decision);
                (name, fate)
            })
            .collect();
        Round { asked, failed, noticed, alone: here.running.len() + here.stopped.len() < 2, fates }
    }

    /// What was noticed while it went on.
    pub fn notice(&mut self, noticed: String) {
        self.noticed = noticed;
    }

    /// What came of joining the cluster of `target`.
    pub fn joined(&mut self, target: &NodeName, fate: Fate) {
        for (name, was) in &mut self.fates {
            if name == target.as_str() {
                *was = fate;
            }
        }
        self.alone &= fate != Fate::Joined;
    }

    pub fn join_failed(&self) -> bool {
        self.fates.iter().any(|(_, fate)| matches!(fate, Fate::JoinFailed(_)))
    }

    /// Whether somebody is missing, so that the next round should come soon.
    pub fn wants_more(&self) -> bool {
        let settled = |fate: &Fate| matches!(fate, Fate::Myself | Fate::Member | Fate::Joined | Fate::NoName);
        self.alone || self.failed.is_some() || !self.fates.iter().all(|(_, fate)| settled(fate))
    }

    /// Why this node is still alone; none when it is not, or when somebody else lives.
    pub fn trouble(&self) -> Option<Trouble> {
        let lives = |fate: &Fate| !matches!(fate, Fate::Myself | Fate::Silent(_) | Fate::NoName);
        if !self.alone || self.fates.iter().any(|(_, fate)| lives(fate)) {
            None
        } else if self.failed.is_some() {
            Some(Trouble::Failed)
        } else if self.fates.iter().all(|(_, fate)| *fate == Fate::Myself) {
            Some(Trouble::NoNames)
        } else {
            Some(Trouble::NoAnswer)
        }
    }

    /// The trouble in words.
    pub fn why(&self, trouble: Trouble) -> String {
        match trouble {
            Trouble::Failed | Trouble::NoAnswer => self.to_string(),
            Trouble::NoNames => {
                let more = if self.noticed.is_empty() { "" } else { "; " };
                format!("{} names no other node{more}{}", self.asked, self.noticed)
            }
        }
    }

    /// For operators.
    pub fn answer(self) -> DiscoveryAnswer {
        let candidates = self
            .fates
            .into_iter()
            .map(|(node, fate)| DiscoveryCandidate { node, outcome: fate.to_string() })
            .collect();
        let failed = self.failed.into_iter();
        let noticed = Some(self.noticed).filter(|noticed| !noticed.is_empty());
        DiscoveryAnswer { asked: self.asked, age_ms: 0, candidates, remarks: failed.chain(noticed).collect() }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked {}", self.asked)?;
        let mut between = ": ";
        let remarks = self.failed.iter().chain(Some(&self.noticed).filter(|noticed| !noticed.is_empty()));
        let fates = self.fates.iter().map(|(name, fate)| format!("{name} ({fate})"));
        for part in fates.chain(remarks.cloned()) {
            write!(f, "{between}{part}")?;
            between = ", ";
        }
        if between == ": " {
            f.write_str(": nobody answered")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cluster::NodeId;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).expect("a name")
    }

    fn cluster(born_at: u64) -> ClusterId {
        ClusterId { born_at, id: NodeId([1; 16]) }
    }

    fn round(replies: &[(&str, Reply)], with: &[&str]) -> (Round, Decision) {
        let running = std::iter::once(&"a@h").chain(with).map(|n| name(n)).collect();
        let here = Here { cluster: cluster(5), stays_out: false, running, stopped: Vec::new() };
        let replies: Vec<_> = replies.iter().map(|(name, reply)| ((*name).to_owned(), *reply)).collect();
        let found: Vec<_> = replies.iter().filter_map(candidate).collect();
        let decision = cluster::discovery::decide(here.cluster, false, &found);
        (Round::new(&here, replies, &decision, "the list".into(), None, String::new()), decision)
    }

    #[test]
    fn each_candidate_is_shown_with_what_became_of_it() {
        let (mut round, decision) = round(
            &[
                ("a@h", Reply::Myself),
                ("b@h", Reply::Cluster(cluster(3))),
                ("c@h", Reply::Cluster(cluster(4))),
                ("d@h", Reply::Silent(Cause::NodeDown)),
                ("e", Reply::NoName),
            ],
            &[],
        );
        assert_eq!(decision, Decision::Join(name("b@h")));
        assert!(round.wants_more() && round.trouble().is_none() && !round.join_failed());
        round.joined(&name("b@h"), Fate::JoinFailed(Cause::JoinInProgress));
        assert!(round.join_failed());
        round.joined(&name("b@h"), Fate::Joined);
        assert_eq!(
            round.to_string(),
            "asked the list: a@h (this node), b@h (joined), c@h (not joined: another node was asked, whose cluster is \
             as old or older), d@h (not joined: no answer (node_down)), e (not joined: this is no name of a node)"
        );
        let answer = round.answer();
        assert_eq!((answer.candidates.len(), answer.candidates[1].outcome.as_str()), (5, "joined"));
    }

    #[test]
    fn a_round_in_which_all_are_members_is_the_last_for_a_while() {
        let (settled, _) = round(
            &[("a@h", Reply::Myself), ("b@h", Reply::Member), ("c@h", Reply::Cluster(cluster(5)))],
            &["b@h"],
        );
        assert!(!settled.wants_more() && settled.trouble().is_none());
        let (missing, _) =
            round(&[("b@h", Reply::Member), ("c@h", Reply::Silent(Cause::TimedOut))], &["b@h"]);
        assert!(missing.wants_more() && missing.trouble().is_none());
        let (younger, decision) = round(&[("c@h", Reply::Cluster(cluster(9)))], &["b@h"]);
        assert!(younger.wants_more() && decision == Decision::Wait);
    }

    #[test]
    fn why_nobody_was_found_is_said_in_words() {
        let (none, _) = round(&[("a@h", Reply::Myself)], &[]);
        assert_eq!(none.trouble(), Some(Trouble::NoNames));
        assert_eq!(none.why(Trouble::NoNames), "the list names no other node");
        let (silent, _) = round(&[("b@h", Reply::Silent(Cause::BadCookie))], &[]);
        assert_eq!(silent.trouble(), Some(Trouble::NoAnswer));
        assert!(silent.why(Trouble::NoAnswer).contains("b@h (not joined: no answer (bad_cookie))"));
        let here =
            Here { cluster: cluster(5), stays_out: false, running: vec![name("a@h")], stopped: Vec::new() };
        let failed = Round::new(
            &here,
            Vec::new(),
            &Decision::Stay,
            "multicast".into(),
            Some("no port is free".into()),
            String::new(),
        );
        assert_eq!(failed.trouble(), Some(Trouble::Failed));
        assert_eq!(failed.why(Trouble::Failed), "asked multicast: no port is free");
    }
}
