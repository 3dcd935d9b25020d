//! How a starting node tells whoever waits for it that it serves, or why it does not.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;

/// The waiting side of a start. It hears the first of [`Ready::ready`] and [`Ready::failed`]; clones are the same waiter.
#[derive(Debug, Clone)]
pub struct Ready {
    waiter: Arc<Mutex<Option<File>>>,
    console: bool,
}

/// Why a node does not start: sentences for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Ready {
    /// Nobody waits; what the node says on its way goes to standard output.
    pub fn console() -> Self {
        Self { waiter: Arc::new(Mutex::new(None)), console: true }
    }

    /// Nobody waits and nothing is said; for tests.
    pub fn silent() -> Self {
        Self { waiter: Arc::new(Mutex::new(None)), console: false }
    }

    /// A process waits at the other end of this pipe.
    pub fn pipe(waiter: File) -> Self {
        Self { waiter: Arc::new(Mutex::new(Some(waiter))), console: false }
    }

    /// A line for somebody who watches the start, such as `Start mqtt:tcp:external listener on 0.0.0.0:1883 successfully.`
    pub fn say(&self, line: &str) {
        if self.console {
            // A console that is gone must not keep the node from serving.
            let _ = writeln!(io::stdout().lock(), "{line}");
        }
    }

    /// The node serves.
    pub fn ready(&self) {
        self.say(&format!("{} {} is running now!", super::PRODUCT, super::VERSION));
        self.tell("ready\n");
    }

    /// The node does not serve; `text` says why.
    pub fn failed(&self, text: &str) {
        self.tell(&format!("failed: {text}\n"));
    }

    fn tell(&self, text: &str) {
        if let Some(mut waiter) = self.waiter.lock().take() {
            // The waiter may have been interrupted; the node goes on all the same.
            let _ = waiter.write_all(text.as_bytes());
        }
    }
}
