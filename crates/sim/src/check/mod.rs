//! What must always hold, one property a file.

pub mod acked;
pub mod converged;
pub mod exclusive;
pub mod limits;
pub mod matching;
pub mod once;
pub mod order;
pub mod owner;
pub mod resumed;
