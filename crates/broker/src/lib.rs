//! Who gets a message: routes, sessions, shared groups, retained messages. A pure crate.
#![forbid(unsafe_code)]

pub mod registry;
pub mod routes;
pub mod settings;
mod stamp;
pub mod stats;

pub use settings::{Settings, Zone};
pub use stamp::Stamp;
