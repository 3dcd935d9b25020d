//! The bus between nodes: how a connection begins ([`handshake`]) and how frames travel on it ([`lane`]).

pub mod handshake;
pub mod lane;

use crate::id::NodeId;

/// For how long after a connection was made a second one is taken for a crossing of two dials rather
/// than for the news that the first is dead, in milliseconds.
pub const CROSSING: u64 = 3_000;

/// Whether a new connection for a lane takes the place of the one that is there.
///
/// Who dials says that it has none, so the newer one wins; unless both have just dialled each other:
/// then the one dialled by the smaller identity stays, which both sides decide alike.
/// `age` is how long the older one stands, in milliseconds.
pub fn newer_wins(newer_dialled_by: NodeId, older_dialled_by: NodeId, age: u64) -> bool {
    newer_dialled_by <= older_dialled_by || age >= CROSSING
}
