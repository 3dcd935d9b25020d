//! Owned tables: each entry belongs to the node that made it, which numbers its changes. Peers are fed
//! a stream of changes, with a snapshot in its place where they have missed some.
//!
//! Nothing is stored twice: the entries of this node are lent by the consumer
//! ([`crate::Effects::own`]), those of others go to it. Here are numbers, digests, and the last changes.
//! The digest of a copy is kept up from what the stream says (each change carries the hash of what it
//! replaces), so it equals the owner's exactly when the stream was complete.

mod copy;
mod owner;

pub(crate) use copy::{Answer, Copy};
pub(crate) use owner::{Feed, Owner};
