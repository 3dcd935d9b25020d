//! The REST API: paths, and the JSON that goes with them.

mod node;
pub mod shapes;
pub mod words;

pub use node::{At, Code, Listing, LogChange, Node, Page, Refusal, Who};

/// The levels of the log, the most talkative first.
pub const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
