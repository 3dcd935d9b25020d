//! Why nodes did not come together, in the words that operators read.

use std::fmt;

/// Why a connection, a join or a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// Nobody answers there, or whoever did has stopped.
    NodeDown = 1,
    /// The other side does not hold any of our secrets, or we none of its.
    BadCookie = 2,
    /// The node is a member of this cluster already, running or stopped.
    AlreadyInCluster = 3,
    /// Another node answers under that address, or the name is in use by a running member.
    NameMismatch = 4,
    /// The two share no version of the protocol.
    IncompatibleVersion = 5,
    /// The certificate of the other side is not accepted. Found by who runs TLS, never by this crate.
    BadCertificate = 6,
    /// One of the two is joining, leaving, or taking somebody in.
    JoinInProgress = 7,
    /// What answers is not one of us: HTTP, a TLS hello, noise.
    NotAPeer = 8,
    /// Not done within the time limit.
    TimedOut = 9,
    /// We have reached ourselves.
    Myself = 10,
    /// The connection ended.
    Closed = 11,
    /// Not a member of this cluster, or alone in it.
    NodeNotInCluster = 12,
    /// The queue to that node is full.
    NoRoom = 13,
    /// The other side does not know this kind of request.
    NotSupported = 14,
}

impl Cause {
    /// The word for it in messages and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::NodeDown => "node_down",
            Self::BadCookie => "bad_cookie",
            Self::AlreadyInCluster => "already_in_cluster",
            Self::NameMismatch => "name_mismatch",
            Self::IncompatibleVersion => "incompatible_version",
            Self::BadCertificate => "bad_certificate",
            Self::JoinInProgress => "join_in_progress",
            Self::NotAPeer => "not_a_peer",
            Self::TimedOut => "timed_out",
            Self::Myself => "myself",
            Self::Closed => "closed",
            Self::NodeNotInCluster => "node_not_in_cluster",
            Self::NoRoom => "no_room",
            Self::NotSupported => "not_supported",
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        use Cause::*;
        [
            NodeDown,
            BadCookie,
            AlreadyInCluster,
            NameMismatch,
            IncompatibleVersion,
            BadCertificate,
            JoinInProgress,
            NotAPeer,
            TimedOut,
            Myself,
            Closed,
            NodeNotInCluster,
            NoRoom,
            NotSupported,
        ]
        .into_iter()
        .find(|cause| *cause as u8 == byte)
        .unwrap_or(Closed)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
