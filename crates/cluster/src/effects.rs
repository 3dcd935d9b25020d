//! What the machine asks of whoever drives it. Each effect is run in order before the next input.

use crate::bus::handshake::Peer;
use crate::cause::Cause;
use crate::id::{Incarnation, NodeId};
use crate::name::NodeName;
use crate::replica::{Buckets, Origin, Stamp};

/// A connection for the control lane, numbered by who drives the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// An attempt to make a connection, numbered by the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// A command, numbered by who gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// A request that we sent to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request that another node sent to us; to be answered with [`crate::Node::respond`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    /// Who asks.
    pub from: NodeId,
    /// Its number there.
    pub number: u64,
}

/// An owned table: its entries belong to the node that made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u8);

/// A replicated map: the last writer wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(pub u8);

/// Called with keys and values in order; `false` ends the walk.
pub type VisitEntries<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;
/// Called with keys, stamps and values (`None`: removed) in order; `false` ends the walk.
pub type VisitRecords<'a> = dyn FnMut(&[u8], Stamp, Option<&[u8]>) -> bool + 'a;

/// The records of one replicated map, held once, by the consumer. Removed keys stay as tombstones
/// until [`Records::purge`].
pub trait Records {
    /// The stamp of a key, a removed one too.
    fn stamp(&self, key: &[u8]) -> Option<Stamp>;
    /// Holds (and puts on disk) this value, or the removal, in place of whatever is held for the key.
    fn apply(&mut self, key: &[u8], stamp: Stamp, value: Option<&[u8]>, origin: Origin);
    /// Shows one record.
    fn read(&self, key: &[u8], visit: &mut dyn FnMut(Stamp, Option<&[u8]>));
    /// Walks over all records, removed ones too, by ascending key, from behind `after`.
    fn scan(&self, after: Option<&[u8]>, visit: &mut VisitRecords<'_>);
    /// Forgets a removed key for good.
    fn purge(&mut self, key: &[u8]);
    /// The digests of exactly what is held.
    fn buckets(&self) -> &Buckets;
}

/// The driver of a [`crate::Node`], and the consumer of what it learns.
pub trait Effects {
    /// Connect to the node of that name (look the host up anew), run [`crate::bus::handshake::Handshake`]
    /// with [`crate::bus::handshake::Purpose::Control`], then call `link_up` or `dial_failed`.
    fn dial(&mut self, dial: DialId, name: &NodeName);
    /// Write these bytes on the link, in order. What waits is bounded by the lane's limit; it is
    /// dropped with the link.
    fn send(&mut self, link: LinkId, bytes: &[u8]);
    /// Close the link when all that was sent is written (a second at most). No `link_down` is expected.
    fn close(&mut self, link: LinkId);
    /// Keep this, whole, in place of what was kept before; it comes back in [`crate::Setup::state`].
    fn persist(&mut self, state: &[u8]);
    /// Disconnect the clients, move all local data aside, be empty, then call `wiped`. The data lanes
    /// end: the identity changes.
    fn wipe(&mut self, why: &Wipe);

    /// Walk over this node's own entries of a table by ascending key from behind `after`.
    fn own(&mut self, table: TableId, after: Option<&[u8]>, visit: &mut VisitEntries<'_>);
    /// An entry of another node is new, changed, or (`None`) gone.
    fn table_changed(&mut self, node: NodeId, table: TableId, key: &[u8], value: Option<&[u8]>);
    /// What is held of that table of that node is stale: whatever is not named again before
    /// [`Self::table_complete`] is gone. It may be dropped now, or swept then.
    fn table_reset(&mut self, node: NodeId, table: TableId);
    /// The table is whole again.
    fn table_complete(&mut self, node: NodeId, table: TableId);
    /// The node does not serve: act as if its tables were empty, as one step, but keep them.
    fn masked(&mut self, node: NodeId);
    /// The node had counted this one as down while this one went on: words to it by [`crate::Node::cast`] may be
    /// lost. What waits for an answer to such a word has to be said again.
    fn interrupted(&mut self, node: NodeId);
    /// The node serves (again), in that run of it: what is held of its tables counts, as one step.
    fn unmasked(&mut self, node: NodeId, incarnation: Incarnation);

    /// The records of a replicated map; `None` for one that this version does not know.
    fn records(&mut self, map: MapId) -> Option<&mut dyn Records>;

    /// One-way word from another node; in order per link, at most once.
    fn cast(&mut self, from: NodeId, kind: u16, body: &[u8]);
    /// Another node asks; answer with [`crate::Node::respond`], at once or later.
    fn asked(&mut self, asked: Asked, kind: u16, body: &[u8]);
    /// The answer to our request, or why there is none.
    fn answered(&mut self, request: RequestId, answer: Result<&[u8], Cause>);

    /// The outcome of a command.
    fn reply(&mut self, command: CommandId, outcome: Outcome);
    /// Something an operator or another layer may want to know.
    fn event(&mut self, event: Event);
}

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Join the cluster of that node; the local data is wiped.
    Join(NodeName),
    /// What [`Command::Join`] would do, without doing it.
    JoinDryRun(NodeName),
    /// Leave the cluster; the local data is wiped.
    Leave,
    /// Remove another node for good.
    ForceLeave(NodeName),
    /// With autoheal off: let the sides of a healed partition come together.
    Heal,
    /// Let automatic discovery join again after a leave.
    DiscoveryOn,
    /// Let automatic discovery rest until it is switched on again, or until a join.
    DiscoveryOff,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// It was about this node itself: nothing to do.
    Ignored,
    /// Not done, and why.
    Failed(Cause),
    /// What a join would do.
    WouldJoin(WouldJoin),
}

/// What a join would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WouldJoin {
    /// The members of the cluster that would be joined.
    pub members: Vec<NodeName>,
    /// The members that would be left behind.
    pub leaves: Vec<NodeName>,
}

/// Why the local data must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wipe {
    /// This node joins the cluster of that one.
    Join(NodeName),
    /// This node leaves on command.
    Leave,
    /// Others removed this node while it was away or running. A warning.
    ForcedOut {
        /// Who told us.
        by: NodeName,
    },
}

/// What happened to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member serves: its control link is up.
    Up {
        /// Who.
        id: NodeId,
        /// Its name.
        name: NodeName,
        /// The run of its process.
        incarnation: Incarnation,
    },
    /// A member does not serve.
    Down {
        /// Who.
        id: NodeId,
        /// Its name.
        name: NodeName,
        /// How that was noticed.
        how: Gone,
    },
    /// A node is a member now.
    Joined {
        /// Who.
        id: NodeId,
        /// Its name.
        name: NodeName,
    },
    /// A node is no member any more. To be logged as a warning unless `by_command`.
    Left {
        /// Who.
        id: NodeId,
        /// Its name.
        name: NodeName,
        /// In which way.
        how: crate::member::State,
        /// Whether a command given on this node did it.
        by_command: bool,
    },
    /// These members are silent though nothing says that they stopped: maybe the network is cut.
    /// Raise the alarm `partition`.
    Partition(Vec<NodeName>),
    /// Nobody is cut off any more; with `false`, they may be reached but stay apart until `cluster heal`.
    Healed {
        /// Whether the sides are together.
        together: bool,
    },
    /// A connection to that member was tried and failed, with a cause other than before.
    Unreachable {
        /// Which name was dialled.
        name: NodeName,
        /// Why.
        cause: Cause,
    },
    /// The link with that node is quiet: whoever has other connections with it may ask whether it lives, and tell by
    /// [`crate::Node::heard`]. Said several times a second while it lasts.
    Quiet(NodeId),
    /// Who this node is has changed: handshakes must use [`crate::Node::identity`] anew.
    Identity,
    /// The copy of a table differs from its owner's and is fetched again.
    Repair {
        /// The owner.
        node: NodeId,
        /// Which table.
        table: TableId,
    },
    /// A peer was accepted by a cookie that is not our first: a change of cookie is under way.
    FurtherCookie(Box<Peer>),
}

/// How it was noticed that a member does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It said that it stops.
    Stopped,
    /// Its host refuses connections.
    Refused,
    /// Nothing is heard of it.
    Silent,
    /// Its process was started anew.
    Restarted,
    /// It is no member any more.
    Left,
}
