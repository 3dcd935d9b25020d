//! Who gets a message.
#![forbid(unsafe_code)]

pub mod routes;
