//! What a node does about the nodes that a discovery strategy has found: a pure decision.
//! The asking itself (static list, multicast, DNS, etcd, Kubernetes) is not here.

use crate::id::ClusterId;
use crate::name::NodeName;

/// A node that was found and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: NodeName,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nobody else is there, or all are of our cluster.
    Stay,
    /// Ours is the oldest: the others will join us.
    Wait,
    /// Join the cluster of this node.
    Join(NodeName),
}

/// The oldest cluster wins, a tie goes to the smaller UUID; among its nodes the first by name is asked.
/// A node that has left on purpose (`stays_out`) does nothing.
pub fn decide(own: ClusterId, stays_out: bool, found: &[Candidate]) -> Decision {
    let strangers = || found.iter().filter(|candidate| candidate.cluster != own);
    let Some(oldest) = strangers().min_by(|a, b| (a.cluster, &a.name).cmp(&(b.cluster, &b.name))) else {
        return Decision::Stay;
    };
    if stays_out {
        Decision::Stay
    } else if oldest.cluster < own {
        Decision::Join(oldest.name.clone())
    } else {
        Decision::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn cluster(born_at: u64, id: u8) -> ClusterId {
        ClusterId { born_at, id: NodeId([id; 16]) }
    }

    fn candidate(name: &str, born_at: u64, id: u8) -> Candidate {
        Candidate { name: NodeName::parse(name).expect("a name"), cluster: cluster(born_at, id) }
    }

    #[test]
    fn the_oldest_cluster_wins_and_a_tie_goes_to_the_smaller_uuid() {
        let found =
            [candidate("c@h", 5, 3), candidate("b@h", 5, 3), candidate("d@h", 5, 4), candidate("e@h", 9, 1)];
        let join_b = Decision::Join(NodeName::parse("b@h").expect("a name"));
        assert_eq!(decide(cluster(7, 1), false, &found), join_b);
        assert_eq!(decide(cluster(5, 4), false, &found), join_b);
        assert_eq!(decide(cluster(5, 3), false, &found), Decision::Wait);
        assert_eq!(decide(cluster(5, 3), false, &found[..2]), Decision::Stay);
        assert_eq!(decide(cluster(7, 1), true, &found), Decision::Stay);
        assert_eq!(decide(cluster(7, 1), false, &[]), Decision::Stay);
    }
}
