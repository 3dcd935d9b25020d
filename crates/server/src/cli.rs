//! The command line of `bin/emqx`.

mod ready;

pub use ready::{Ready, StartError};

/// What the product is called.
pub const PRODUCT: &str = "FlockMQ";

/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
