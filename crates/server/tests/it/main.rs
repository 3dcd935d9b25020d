//! The real program, over real sockets: what an operator types and what clients see.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has to fail there"
)]

mod access;
mod authority;
mod carriers;
mod certificates;
mod cli;
mod client;
mod config;
mod conformance;
mod endurance;
mod exclusive;
mod hostile;
mod limits;
mod listeners;
mod membership;
mod messages;
mod node;
mod overload;
mod ports;
mod proxy;
mod quic;
mod real_client;
mod retained;
mod sessions;
mod upgrade;
mod wire;
