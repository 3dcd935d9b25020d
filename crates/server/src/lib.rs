//! The program around the three machines: sockets, threads, time, disk and the command line.

pub mod api;
pub mod certs;
pub mod cli;
pub mod ctl;
pub mod inbox;
pub mod listen;
pub mod log;
pub mod node;
pub mod persist;
pub mod settings;
pub mod stream;
pub mod term;
pub mod tls;
pub mod twin;
