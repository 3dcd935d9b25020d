//! The control thread: the cluster, not messages.

pub mod wire;
