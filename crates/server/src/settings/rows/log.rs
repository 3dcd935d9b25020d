//! What is written about events, and where.

use crate::settings::table::{Row, settings};

/// What is written about events, and where.
pub(super) const ROWS: &[Row] = settings! {
    /// Where log lines go: to files, to the console, or both.
    "log.to": OneOf["file", "console", "both"] = "file" ships "file";
    /// The least severe level that is logged. `emqx_ctl log set-level` changes it at run time.
    "log.level": OneOf["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "all"] = "warning" ships "warning";
    /// A second level that an event must reach before `log.level` is looked at.
    "log.primary_log_level": OneOf["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "all"] = "warning" => NoEffect("log.level alone decides");
    /// The directory of the log files.
    "log.dir": Text = "log" ships "log";
    /// The name of the log file; with rotation on, `.1`, `.2` and so on are appended.
    "log.file": File = "emqx.log" ships "emqx.log";
    /// The longest text of one event; -1 is no limit.
    "log.chars_limit": Integer = "-1";
    /// Which reports of supervisors are logged.
    "log.supervisor_reports": OneOf["error", "progress"] = "error" => NoEffect("there is no Erlang virtual machine here");
    /// How deeply nested terms are printed.
    "log.max_depth": IntegerOr["unlimited"] = "100" => NoEffect("there is no Erlang virtual machine here");
    /// The form of a line: text, or one JSON object.
    "log.formatter": OneOf["text", "json"] = "text" ships "text";
    /// The form of the time in text lines.
    "log.formatter.text.date.format": Text = "rfc3339" => NoEffect("times are always in the form of RFC 3339");
    /// Whether an event stays on one line.
    "log.single_line": OneOf["true", "false"] = "true" => NoEffect("an event is always one line");
    /// Whether a full log file is followed by the next one.
    "log.rotation": Flag = "on" ships "on";
    /// The size at which a log file is full.
    "log.rotation.size": ByteSize = "10MB" ships "10MB";
    /// The largest size of a log file without rotation.
    "log.size": ByteSizeOr["infinity"] = "infinity" => NoEffect("log.rotation.size and log.rotation.count bound the files");
    /// How many log files are kept.
    "log.rotation.count": Integer = "5" ships "5";
    /// A further file for events of this level and more severe ones, such as `log.error.file = error.log`.
    "log.$level.file": File;
    /// How many events may wait before logging becomes synchronous.
    "log.sync_mode_qlen": Integer = "100" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// How many events may wait to be written; further ones are dropped and counted.
    "log.drop_mode_qlen": Integer = "3000";
    /// How many events may wait before all of them are thrown away.
    "log.flush_qlen": Integer = "8000" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// Whether a log writer that lags behind is ended and started anew.
    "log.overload_kill": Flag = "on" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// The memory of the log writer at which it is ended.
    "log.overload_kill_mem_size": ByteSize = "30MB" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// The number of waiting events at which the log writer is ended.
    "log.overload_kill_qlen": Integer = "20000" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// How long an ended log writer pauses.
    "log.overload_kill_restart_after": DurationOr["infinity"] = "5s" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// How many events a time are logged.
    "log.burst_limit": Text = "disabled" => NoEffect("logging never delays clients: beyond log.drop_mode_qlen waiting events are dropped and counted");
    /// What happens to events of the old error logger.
    "log.error_logger": OneOf["silent"] = "silent" => NoEffect("there is no Erlang virtual machine here");
};
