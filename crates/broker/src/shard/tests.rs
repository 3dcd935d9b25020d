//! Several shards wired together in memory: what a driver does, without sockets and threads.

mod exclusive;
mod sessions;
mod sharing;
mod subscribing;
mod world;
