//! The log: one line an event, in files or on the console, written by a thread of its own.
//!
//! Whoever logs only puts a finished line into a bounded queue; when that is full the line is dropped and counted. So a slow disk
//! never delays a client. What a secret is worth nobody can tell from here: it is the business of the one who logs to leave it out.

mod file;
mod line;

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::settings::{Log, LogTo};
use file::LogFile;
use line::Fields;

/// How severe an event is, by the words of `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Everything, also what only helps to find an error in the program.
    All,
    /// Details of what is going on.
    Debug,
    /// What an operator would tell a colleague.
    Info,
    /// Unusual, but right.
    Notice,
    /// It works, but somebody should look.
    Warning,
    /// Something was lost.
    Error,
    /// Nothing of FlockMQ is as severe as this and the following; a log of this level stays empty.
    Critical,
    /// See `Critical`.
    Alert,
    /// See `Critical`.
    Emergency,
}

impl Level {
    /// All levels, the most talkative first.
    pub const ALL: [Level; 9] = [
        Level::All,
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warning,
        Level::Error,
        Level::Critical,
        Level::Alert,
        Level::Emergency,
    ];

    /// The word in settings and in lines.
    pub fn word(self) -> &'static str {
        match self {
            Level::All => "all",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::Alert => "alert",
            Level::Emergency => "emergency",
        }
    }

    fn of(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::All,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::All => LevelFilter::TRACE,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Notice | Level::Warning => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
            Level::Critical | Level::Alert | Level::Emergency => LevelFilter::OFF,
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Level::ALL.into_iter().find(|level| level.word() == word);
        known.ok_or_else(|| {
            let words: Vec<&str> = Level::ALL.iter().map(|level| level.word()).collect();
            format!("\"{word}\" is not a valid enum value, acceptable values are: {}", words.join(", "))
        })
    }
}

/// The level in force. One process has one log.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Warning as u8);

/// Lines that found the queue full, since the start of the process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Changes the level at once, for the whole process.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// The level in force.
pub fn level() -> Level {
    let number = LEVEL.load(Ordering::Relaxed);
    Level::ALL.into_iter().find(|level| *level as u8 == number).unwrap_or(Level::Warning)
}

/// How many lines have been dropped because the queue was full.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The running log. Dropping it writes what waits and ends the writer; later events are lost.
#[derive(Debug)]
pub struct Guard {
    lines: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The layer keeps another sender for ever, so the writer is told to end rather than left to notice.
        if let Some(lines) = self.lines.take() {
            let _ = lines.send(Job::End);
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[derive(Debug)]
enum Job {
    Line(Level, String),
    End,
}

/// Opens the files and makes the log that of this process.
///
/// # Errors
/// A file or directory that cannot be made or opened, with its path. A second log in one process is refused.
pub fn start(settings: &Log) -> io::Result<Guard> {
    let sinks = Sinks::open(settings)?;
    let (sender, receiver) = sync_channel(settings.queue_max);
    let layer = Lines { queue: sender.clone(), json: settings.json, chars_limit: settings.chars_limit };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
        .map_err(io::Error::other)?;
    set_level(settings.level);
    let writer =
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&receiver, sinks))?;
    Ok(Guard { lines: Some(sender), writer: Some(writer) })
}

/// Logs what a panic says before the process goes on unwinding, so that it is not only on a standard error nobody reads.
pub fn log_panics() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tracing::error!(panic = %panic, "a fault in the program");
            usual(panic);
        }));
    });
}

/// Where lines go.
#[derive(Debug)]
struct Sinks {
    console: bool,
    file: Option<LogFile>,
    by_level: Vec<(Level, LogFile)>,
}

impl Sinks {
    fn open(settings: &Log) -> io::Result<Self> {
        let open = |name: &str| LogFile::open(&settings.dir.join(name), settings.rotation);
        let file = if settings.to == LogTo::Console { None } else { Some(open(&settings.file)?) };
        let mut by_level = Vec::new();
        for (level, name) in &settings.level_files {
            by_level.push((*level, open(name)?));
        }
        Ok(Self { console: settings.to != LogTo::File, file, by_level })
    }

    fn write(&mut self, level: Level, line: &str) {
        if self.console {
            // A console that is gone must not end the log in the file.
            let _ = io::stdout().lock().write_all(line.as_bytes());
        }
        if let Some(file) = &mut self.file {
            file.write(line);
        }
        for (least, file) in &mut self.by_level {
            if level >= *least {
                file.write(line);
            }
        }
    }

    fn flush(&mut self) {
        if self.console {
            let _ = io::stdout().lock().flush();
        }
        for file in self.file.iter_mut().chain(self.by_level.iter_mut().map(|(_, file)| file)) {
            file.flush();
        }
    }
}

fn write_lines(lines: &Receiver<Job>, mut sinks: Sinks) {
    const IDLE: Duration = Duration::from_millis(20);
    let mut reported = dropped();
    let mut dirty = false;
    loop {
        let job = if dirty {
            lines.recv_timeout(IDLE)
        } else {
            lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match job {
            Ok(Job::Line(level, line)) => {
                sinks.write(level, &line);
                dirty = true;
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Job::End) | Err(RecvTimeoutError::Disconnected) => {
                while let Ok(Job::Line(level, line)) = lines.try_recv() {
                    sinks.write(level, &line);
                }
                sinks.flush();
                return;
            }
        }
        let now = dropped();
        if now > reported {
            let text = format!(
                "{} [warning] log: {} lines were dropped: the log was too slow\n",
                line::now(),
                now - reported
            );
            sinks.write(Level::Warning, &text);
            reported = now;
        }
        sinks.flush();
        dirty = false;
    }
}

/// Makes a line of an event and puts it into the queue.
struct Lines {
    queue: SyncSender<Job>,
    json: bool,
    chars_limit: Option<usize>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= level().filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level().filter())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.add_context(of_span);
            }
        }
        let level = Level::of(event.metadata().level());
        let target = event.metadata().target();
        let line = if self.json {
            line::json(level, target, &fields, self.chars_limit)
        } else {
            line::text(level, target, &fields, self.chars_limit)
        };
        match self.queue.try_send(Job::Line(level, line)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Makes a directory for logs, so that a wrong path is told before anything else is started.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", dir.display())))
}

#[cfg(test)]
mod tests;
