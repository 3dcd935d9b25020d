//! What a shard asks of whoever drives it. The driver implements [`Effects`]; a shard calls it in the
//! order in which things have to happen and never twice for the same thing.

use std::sync::Arc;

use cluster::Stamp;
use mqtt::session::Out;
use mqtt::{Epoch, Message, Now, Reason};

use crate::routes::{GroupCount, Interest, Place};

/// Names a connection of a shard's driver. Numbers are small and may be used again after
/// [`Effects::close`] or [`crate::Shard::closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// Comes back with the answer to what took time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How short of memory the driver is. Each step keeps what the steps before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    #[default]
    None,
    /// No more clients are let in; that is the driver's to do.
    Admission,
    /// QoS 0 messages are dropped where they come from.
    Shed,
    /// Messages of QoS 1 and 2 and new subscriptions are refused.
    Refuse,
    /// Clients for which most is kept are ended, by the driver's choice.
    Evict,
}

/// Whether something is so now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is done.
    Over,
    /// It will be; the driver calls back with the ticket.
    Later,
}

/// Who has to know of this shard's routes before somebody goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The other shards of this node: their `Interest` has all changes made so far.
    Node,
    /// The shards of all peers that can be reached as well. The driver bounds the wait.
    Cluster,
}

/// A change of what this shard wants, for the `Interest` of all other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// The first session of this shard has subscribed the filter.
    On(&'a Arc<str>),
    /// The last one has gone.
    Off(&'a Arc<str>),
    /// So many members of `$share/<group>/<filter>` or `$queue/<filter>` are here now; 0: none.
    Members(&'a str, GroupCount),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client sent DISCONNECT.
    Normal,
    /// The stream ended without one.
    Lost,
    /// The client was silent for too long.
    KeepAlive,
    /// The client broke a rule, or was refused; the reason says which.
    Refused(Reason),
    /// A newer connection has the session.
    TakenOver,
    /// A newer connection wanted a new session.
    Discarded,
    /// An operator ended it.
    Kicked,
    /// More waited for it than its zone allows.
    Overfull,
    /// The node is short of memory, and most is kept for this client.
    Overload,
    /// The node stops, joins or leaves.
    Stopping,
}

impl Cause {
    /// The word under which listeners count it and clients' events name it.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Normal => "normal",
            Cause::Lost => "tcp_closed",
            Cause::KeepAlive => "keepalive_timeout",
            Cause::Refused(reason) => reason.words(),
            Cause::TakenOver => "takeovered",
            Cause::Discarded => "discarded",
            Cause::Kicked => "kicked",
            Cause::Overfull => "message_queue_too_long",
            Cause::Overload => "overload",
            Cause::Stopping => "server_shutting_down",
        }
    }
}

/// What happened to a client, for the log and for `$SYS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It was let in.
    Connected { client: &'a str, session_present: bool },
    /// Its connection ended.
    Disconnected { client: &'a str, cause: Cause },
    /// Its session ended.
    Ended { client: &'a str },
    /// It had the filter for itself on one side of a cut network and another client on the other, before it: its
    /// subscription has ended. To be logged as a warning.
    Deprived { client: &'a str, filter: &'a str },
}

/// The driver of a shard, as the shard sees it.
pub trait Effects {
    /// The wall clock, for what outlives a process; read once a turn.
    fn epoch(&self) -> Epoch;

    /// The snapshot of the other places' interest, the same one until the driver's turn ends.
    fn interest(&self) -> &Interest;

    /// The output of a connection; what is put in is sent at the end of the turn. It exists from
    /// [`crate::Shard::connect`] until the shard or the driver closes.
    fn out(&mut self, conn: ConnId) -> &mut Out;

    /// Ends a connection once its output is sent. The shard has forgotten it; nothing comes in for it
    /// any more. It may be paused.
    fn close(&mut self, conn: ConnId, cause: Cause);

    /// Stops reading from a connection (its session is on its way), until [`Effects::resume`].
    fn pause(&mut self, conn: ConnId);

    /// Reads again.
    fn resume(&mut self, conn: ConnId);

    /// Whether one more message of a connection may be passed on; `false`: its quota is used up. Asked
    /// where [`crate::Zone::quota`] is set.
    fn may_pass_on(&mut self, _conn: ConnId) -> bool {
        true
    }

    /// Whether the connection is read. Where it is not, the client's silence is the driver's doing.
    fn is_read(&self, _conn: ConnId, _now: Now) -> bool {
        true
    }

    /// How short of memory the node is.
    fn pressure(&self) -> Pressure {
        Pressure::None
    }

    /// Sends a frame to another place, in order with all other frames of this shard to it.
    fn forward(&mut self, place: Place, frame: &[u8]);

    /// Tells of a change of what this shard wants.
    fn wish(&mut self, wish: Wish<'_>);

    /// Asks whether all wishes made so far have come into force; if later,
    /// [`crate::Shard::routes_in`] is called with the ticket.
    fn routes(&mut self, extent: Extent, ticket: Ticket) -> Wait;

    /// This node's claim of a client id, for the registries of the peers; `None` gives it up.
    fn claim(&mut self, client: &Arc<str>, stamp: Option<Stamp>);

    /// Asks whoever decides that in this node whether the client may have filters for itself, in the whole
    /// cluster; [`crate::Shard::exclusive_answered`] is called with the ticket.
    fn ask_exclusive(&mut self, client: &Arc<str>, filters: &[Arc<str>], ticket: Ticket);

    /// Gives back what was granted to the question with that ticket.
    fn give_back(&mut self, filter: &str, ticket: Ticket);

    /// A new stamp, later than all before.
    fn stamp(&mut self) -> Stamp;

    /// Sends bytes to the home shard of a client id on a peer, where they come in at
    /// [`crate::Shard::told`]; reliable and in order as long as the peer is up.
    fn tell(&mut self, peer: Place, client: &str, bytes: &[u8]);

    /// Retains a message, or deletes its topic's where the payload is empty. If later (it must reach
    /// the disk first), [`crate::Shard::retained_stored`] is called with the ticket.
    fn retain(&mut self, message: &Message, ticket: Ticket) -> Wait;

    /// Retained messages that match the filter, as [`crate::retained::Retained::matches`] gives them.
    fn retained(&mut self, filter: &str, after: Option<&str>, limit: usize, into: &mut Vec<Message>);

    /// Something happened to a client.
    fn event(&mut self, event: Event<'_>);
}
