//! What is known here of another node that we are, or were, connected with.

use std::collections::{BTreeMap, VecDeque};

use crate::bus::handshake::Peer as Proven;
use crate::bus::lane::{Lane, Limits};
use crate::effects::{Gone, LinkId, MapId};
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::name::NodeName;
use crate::replica::Work;
use crate::table::{Copy, Feed};

/// Who is silent for so long is down, in milliseconds; with the word of the detector for it, or, without
/// a link, by its own failing to come back, somewhat less is enough.
const SILENCE: Silence = Silence { alone: 1_650, with_word: 1_200, without_link: 1_500 };
/// The same where packets are lost on the way: then both links and the detector err, and a slow judgement
/// is better than a wrong one.
const SILENCE_LOSSY: Silence = Silence { alone: 8_000, with_word: 6_000, without_link: 8_000 };
/// Beats come each 400 ms: who was silent for longer than this is behind a link that loses packets.
const LOSSY_GAP: u64 = 700;
/// For so long after such a gap. At 30 % loss there is one each ten seconds or so.
const LOSSY_FOR: u64 = 60_000;
/// What one link may hold back; bulk leaves [`super::BULK_RESERVE`] of it free.
const LIMITS: Limits = Limits { buffer_bytes_max: 8 * 1024 * 1024, frame_bytes_max: 32 * 1024 * 1024 };

/// How long silence is borne, in milliseconds.
struct Silence {
    alone: u64,
    with_word: u64,
    without_link: u64,
}

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
    /// Until then it counts as behind a link that loses packets.
    lossy_until: u64,
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
            lossy_until: 0,
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
        if at.saturating_sub(self.heard_at) > LOSSY_GAP {
            self.lossy_until = at + LOSSY_FOR;
        }
        self.heard_at = at;
    }

    /// Whether nothing has been heard of it for so long that it counts as down. `word`: what the failure
    /// detector says, true where it answers somebody.
    pub fn is_silent(&self, at: u64, word: Option<bool>) -> bool {
        let borne = if at < self.lossy_until { &SILENCE_LOSSY } else { &SILENCE };
        let silence = at.saturating_sub(self.heard_at);
        if self.link.is_none() {
            return self.running && silence.min(at.saturating_sub(self.lost_at)) > borne.without_link;
        }
        silence > borne.alone || (silence > borne.with_word && word == Some(false))
    }
}
