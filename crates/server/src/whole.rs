//! What becomes of the process when one of the threads that it cannot do without panics.

/// A node without one of its shards, or without its control thread, would lose clients and messages unseen: it
/// ends instead, so that whoever watches it starts it again. What happened is in the log.
pub struct AllOrNothing;

impl Drop for AllOrNothing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
