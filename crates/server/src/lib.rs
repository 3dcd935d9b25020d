//! The program around the three machines: sockets, threads, time, disk and the command line.

pub mod api;
pub mod ctl;
pub mod inbox;
pub mod listen;
pub mod persist;
pub mod stream;
pub mod tls;
pub mod twin;
