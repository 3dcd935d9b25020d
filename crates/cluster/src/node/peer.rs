//! What is known here of another node that we are, or were, connected with.

use std::collections::{BTreeMap, VecDeque};

use crate::bus::handshake::Peer as Proven;
use crate::bus::lane::{Lane, Limits};
use crate::effects::{Gone, LinkId, MapId};
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::name::NodeName;
use crate::replica::Work;
use crate::table::{Copy, Feed};

/// Silent for so long after the usual is down, at the least, in milliseconds.
const SILENCE_MIN: u64 = 1_600;
/// Beats come each 400 ms: who was silent for longer than this of late is behind a link that loses them.
const LOSSY_GAP: u64 = 700;
/// No link is so bad that its silence is borne longer, in milliseconds.
const SILENCE_MAX: u64 = 8_000;
/// What one link may hold back; bulk leaves [`super::BULK_RESERVE`] of it free.
const LIMITS: Limits = Limits { buffer_bytes_max: 8 * 1024 * 1024, frame_bytes_max: 32 * 1024 * 1024 };

/// A connection with a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub id: LinkId,
    pub since: u64,
    pub dialled_by: NodeId,
}

/// Another node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub name: NodeName,
    pub incarnation: Incarnation,
    pub cluster: ClusterId,
    pub lane: Lane,
    pub link: Option<Link>,
    /// Serves, as far as we know.
    pub running: bool,
    /// What has to be said once on a connection, to strangers too, has been said.
    pub met: bool,
    /// All that comes first on a new lane between members has been said.
    pub greeted: bool,
    /// It stays apart after a partition.
    pub apart: bool,
    /// It has said that it stops.
    pub stopping: bool,
    pub gone: Option<Gone>,
    /// When the link was lost, or the peer found to be down.
    pub lost_at: u64,
    /// When it was last heard, on its link or otherwise.
    pub heard_at: u64,
    /// When something last came over its link.
    pub link_heard_at: u64,
    pub spoken_at: u64,
    /// The longest silence of late.
    worst_gap: u64,
    pub feed: Feed,
    pub copy: Copy,
    pub work: VecDeque<Work>,
    /// It has asked for all maps and waits for the end.
    pub wants_all: bool,
    /// How often in a row the digests of a map differed.
    pub differs: BTreeMap<MapId, u32>,
    /// When a link that serves no purpose is closed.
    pub linger_until: u64,
}

impl Peer {
    pub fn new(proven: &Proven, epoch: u64, at: u64) -> Self {
        Self {
            name: proven.name.clone(),
            incarnation: proven.incarnation,
            cluster: proven.cluster,
            lane: Lane::new(epoch, LIMITS),
            link: None,
            running: false,
            met: false,
            greeted: false,
            apart: false,
            stopping: false,
            gone: None,
            lost_at: at,
            heard_at: at,
            link_heard_at: at,
            spoken_at: at,
            worst_gap: 0,
            feed: Feed::default(),
            copy: Copy::default(),
            work: VecDeque::new(),
            wants_all: false,
            differs: BTreeMap::new(),
            linger_until: 0,
        }
    }

    /// Nothing that was said to it before counts any more.
    pub fn start_over(&mut self, epoch: u64) {
        self.lane = Lane::new(epoch, LIMITS);
        self.greeted = false;
        self.stopping = false;
        self.feed = Feed::default();
        self.work.clear();
        self.wants_all = false;
        self.differs.clear();
    }

    pub fn heard(&mut self, at: u64) {
        self.worst_gap = self.worst_gap.max(at.saturating_sub(self.heard_at));
        self.heard_at = at;
    }

    /// Long silences are forgotten over a minute or so; to be called each second.
    pub fn age(&mut self) {
        self.worst_gap -= self.worst_gap / 32;
    }

    /// Packets are lost on the way, as it seems: then both links and the detector err.
    fn is_lossy(&self) -> bool {
        self.worst_gap > LOSSY_GAP
    }

    /// With the detector's word for it, so much silence is enough.
    pub fn silence_with_word(&self) -> u64 {
        if self.is_lossy() { SILENCE_MAX * 3 / 4 } else { SILENCE_MIN * 3 / 4 }
    }

    /// How long a silence is borne: a link that loses packets makes us slower rather than wrong.
    pub fn silence_max(&self) -> u64 {
        if self.is_lossy() { SILENCE_MAX } else { (self.worst_gap * 4).clamp(SILENCE_MIN, SILENCE_MAX) }
    }
}
