//! Bytes ⇄ packets ⇄ one client's session, in MQTT 3.1, 3.1.1 and 5.0. Everything that concerns one
//! client is decided here; who gets a message is not. No clock, no sockets, no threads: time and bytes
//! come in, bytes and requests go out.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod codec;
pub mod message;
pub mod packet;
pub mod reason;
pub mod session;
pub mod topic;
pub mod version;

pub use codec::{Frame, FrameError, Properties, Property, frame};
pub use message::{Message, MessageRef};
pub use packet::Packet;
pub use reason::Reason;
pub use topic::Filter;
pub use version::{Epoch, Now, QoS, Version};
