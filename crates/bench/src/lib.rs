//! The load generator: many MQTT clients in one thread, cheap enough that the broker is what is
//! measured, and strict enough that a wrong byte is found. `emqx_bench` is its program.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod cli;
pub mod compare;
pub mod contender;
pub mod fleet;
mod guard;
pub mod histogram;
pub mod hot;
pub mod ledger;
pub mod links;
mod plot;
pub mod process;
mod relay;
mod report;
pub mod scenarios;
mod secure;
pub mod stream;
mod tables;
pub mod tool;
pub mod traffic;
pub mod wire;

/// What can go wrong in a run, in words for whoever started it.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error>>;
