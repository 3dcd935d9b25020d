//! The program around the three machines: sockets, threads, time, disk and the command line.

pub mod access;
pub mod alarms;
pub mod api;
pub mod certs;
mod chance;
pub mod cli;
pub mod ctl;
pub mod discover;
pub mod epmd;
pub mod inbox;
pub mod listen;
pub mod listener;
pub mod listeners;
pub mod log;
pub mod node;
pub mod operator;
pub mod persist;
pub mod retained;
pub mod run;
pub mod settings;
pub mod shard;
pub mod stream;
pub mod sys;
pub mod term;
pub mod tls;
pub mod twin;
mod whole;
