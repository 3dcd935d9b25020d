//! The program around the three machines: sockets, threads, time, disk and the command line.

pub mod stream;
pub mod twin;
