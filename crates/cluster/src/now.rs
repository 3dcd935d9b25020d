//! The time as it comes in: a machine has no clock of its own.

/// One reading of both clocks of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back. All time limits count on it.
    pub at: u64,
    /// Milliseconds since 1970 by the clock on the wall, which may jump. Only stamps use it.
    pub unix: u64,
}

impl Now {
    /// Both readings, in milliseconds.
    pub fn new(at: u64, unix: u64) -> Self {
        Self { at, unix }
    }
}

/// The earlier of two wishes to be woken.
pub(crate) fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}
