//! Who gets a message: sessions, routes, shared groups, retained messages. [`Shard`] is the machine of
//! one data thread of a node; its driver brings packets, frames and time, and does what the shard asks
//! for through [`Effects`]. A pure crate: no clock, sockets, threads or randomness of its own.
#![forbid(unsafe_code)]

pub mod access;
mod client;
mod effects;
pub mod exclusive;
mod frame;
mod groups;
mod kept;
mod mailbox;
pub mod registry;
pub mod retained;
pub mod routes;
pub mod settings;
mod shard;
pub mod stats;
mod subscription;
mod targets;
mod timers;

pub use client::ConnInfo;
pub use cluster::Stamp;
pub use effects::{Cause, ConnId, Effects, Event, Extent, Pressure, Ticket, Wait, Wish};
pub use kept::told_client;
pub use settings::{Settings, Zone};
pub use shard::{ClientInfo, Identified, Shard, ShardConfig, SubscriptionInfo, assigned_client_id};
pub use subscription::Options;
