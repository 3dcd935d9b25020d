//! The machine that knows who is here and who owns what. It knows nothing of MQTT: keys and values are
//! bytes. It has no clock, sockets, threads or chance of its own: bytes, time and a seed come in,
//! effects go out.
//!
//! - [`Node`] ties it together: members, links, owned tables, replicated maps, requests between nodes.
//! - [`bus::handshake`] and [`bus::lane`] are the beginning and the rest of a connection, for whoever
//!   owns one: the control lane is driven by [`Node`], data lanes by their shards.
//! - [`NodeName`] and [`port_of`] are the names of nodes and where they listen.
//! - [`discovery`] decides whom to join among nodes that were found.

#![forbid(unsafe_code)]

pub mod bus;
mod cause;
mod digest;
pub mod discovery;
mod effects;
mod id;
pub mod member;
mod name;
mod node;
mod now;
pub mod replica;
mod table;
mod wire;

pub use cause::Cause;
pub use digest::Digest;
pub use effects::{
    Asked, Command, CommandId, DialId, Effects, Event, Gone, LinkId, MapId, Outcome, Records, RequestId,
    TableId, VisitEntries, VisitRecords, Wipe, WouldJoin,
};
pub use id::{ClusterId, Incarnation, NodeId};
pub use name::{NAME_BYTES_MAX, NameError, NodeName, PORT_BASE, port_of};
pub use node::{Identity, Node, Setup, StartError, Status, TableDigest};
pub use now::Now;
pub use replica::{Origin, Stamp};
