//! How a starting node tells whoever waits for it that it serves, or why it does not.

use std::fs::File;
use std::io::{self, Write};

/// The waiting side of a start. It hears exactly one of [`Ready::ready`] and [`Ready::failed`].
#[derive(Debug)]
pub struct Ready {
    waiter: Option<File>,
    console: bool,
}

/// Why a node does not start: sentences for the operator, without a full stop at the end of the last.
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
        Self { waiter: None, console: true }
    }

    /// Nobody waits and nothing is said; for tests.
    pub fn silent() -> Self {
        Self { waiter: None, console: false }
    }

    /// A process waits at the other end of this pipe.
    pub fn pipe(waiter: File) -> Self {
        Self { waiter: Some(waiter), console: false }
    }

    /// A line for somebody who watches the start, such as `Start mqtt:tcp:external listener on 0.0.0.0:1883 successfully.`
    pub fn say(&self, line: &str) {
        if self.console {
            let mut out = io::stdout().lock();
            // A console that is gone must not keep the node from serving.
            let _ = writeln!(out, "{line}");
        }
    }

    /// The node serves. Further calls do nothing.
    pub fn ready(&mut self) {
        self.say(&format!("{} {} is running now!", super::PRODUCT, super::VERSION));
        self.tell("ready\n");
    }

    /// The node does not serve; `text` says why. Further calls do nothing.
    pub fn failed(&mut self, text: &str) {
        self.tell(&format!("failed: {text}\n"));
    }

    fn tell(&mut self, text: &str) {
        if let Some(mut waiter) = self.waiter.take() {
            // The waiter may have been interrupted; the node goes on all the same.
            let _ = waiter.write_all(text.as_bytes());
        }
    }
}
