//! Commands about the levels of the log.

use hyper::Method;
use serde_json::{Value, json};

use super::link::part;
use super::term::plain;
use super::{Call, Failure, Outcome, Told};
use crate::api::shapes::LogState;

/// A refusal as 4.4 begins it: `[error] …`.
fn in_words(what: &str, failure: Failure) -> Failure {
    let Failure::Refused(refused) = failure else { return failure };
    let text = format!("[error] {what}{}\n", plain(&refused.message));
    Failure::Told(Box::new(Told {
        text,
        error: refused.error,
        message: refused.message,
        node: None,
        more: None,
    }))
}

pub(super) fn set_level(call: &mut Call<'_>) -> Outcome {
    let level = json!({"level": call.arg(0)});
    let state: LogState = call
        .link
        .send(Method::PUT, "/api/v4/log/level", Some(level))
        .map_err(|failure| in_words("set overall log level failed: ", failure))?;
    call.say(&state, format!("{}\n", state.primary_level))
}

pub(super) fn primary_level(call: &mut Call<'_>) -> Outcome {
    let state: LogState = call.link.get("/api/v4/log")?;
    call.say(&state, format!("{}\n", state.primary_level))
}

pub(super) fn set_primary_level(call: &mut Call<'_>) -> Outcome {
    let level = json!({"level": call.arg(0)});
    let state: LogState = call
        .link
        .send(Method::PUT, "/api/v4/log/primary_level", Some(level))
        .map_err(|failure| in_words("", failure))?;
    call.say(&state, format!("{}\n", state.primary_level))
}

pub(super) fn handlers(call: &mut Call<'_>) -> Outcome {
    let state: LogState = call.link.get("/api/v4/log")?;
    let line = |h: &crate::api::shapes::LogHandler| {
        format!(
            "LogHandler(id={}, level={}, destination={}, status={})\n",
            h.id,
            h.level,
            plain(&h.destination),
            h.status
        )
    };
    call.say(&state.handlers, state.handlers.iter().map(line).collect::<String>())
}

pub(super) fn start_handler(call: &mut Call<'_>) -> Outcome {
    let id = call.arg(0);
    let state =
        change(call, &id, json!({"status": "started"}), &format!("failed to start log handler {id}: "))?;
    call.say(&state, format!("log handler {id} started\n"))
}

pub(super) fn stop_handler(call: &mut Call<'_>) -> Outcome {
    let id = call.arg(0);
    let state =
        change(call, &id, json!({"status": "stopped"}), &format!("failed to stop log handler {id}: "))?;
    call.say(&state, format!("log handler {id} stopped\n"))
}

pub(super) fn set_handler_level(call: &mut Call<'_>) -> Outcome {
    let (id, level) = (call.arg(0), call.arg(1));
    let state = change(call, &id, json!({"level": level}), "")?;
    let now =
        state.handlers.iter().find(|handler| handler.id == id).map_or(level, |handler| handler.level.clone());
    call.say(&state, format!("{now}\n"))
}

fn change(call: &mut Call<'_>, id: &str, wish: Value, failed: &str) -> Result<LogState, Failure> {
    let path = format!("/api/v4/log/handlers/{}", part(id));
    call.link.send(Method::PUT, &path, Some(wish)).map_err(|failure| in_words(failed, failure))
}
