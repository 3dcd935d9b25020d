//! Bytes: how the protocol writes numbers, strings and properties, and where a packet begins and ends.
//! This room knows no packet by name.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, reason = "hostile bytes must not panic"))]

mod frame;
pub mod property;
mod read;
mod write;

pub use frame::{Frame, FrameError, PACKET_BYTES_MAX, frame};
pub use property::{Properties, Property};
pub use read::Reader;
pub use write::{Writer, varint_len};
