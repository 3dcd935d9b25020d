//! etcd v2, as EMQ X 4 speaks it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::conn::{Body, Conn};
use super::{Keys, LOCK_TTL, LOCK_WAIT};

/// Between two attempts to have a lock that somebody else holds.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn lock(conn: &Conn, keys: &Keys) -> Result<(), String> {
    let ttl = LOCK_TTL.as_secs().to_string();
    let form = [("ttl", ttl.as_str()), ("prevExist", "false"), ("value", &keys.node)];
    let end = tokio::time::Instant::now() + LOCK_WAIT;
    loop {
        match conn.v2(Method::PUT, &keys.lock(), Body::Form(&form)).await? {
            (StatusCode::PRECONDITION_FAILED, _) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            (StatusCode::PRECONDITION_FAILED, answer) => {
                return Err(format!(
                    "held by another node: {}",
                    answer["cause"].as_str().unwrap_or_default()
                ));
            }
            (status, answer) => return done(status, &answer),
        }
    }
}

pub(super) async fn unlock(conn: &Conn, keys: &Keys) -> Result<(), String> {
    let path = format!("{}?prevExist=true&prevValue={}", keys.lock(), keys.node);
    gone(conn.v2(Method::DELETE, &path, Body::None).await?)
}

/// The names of the nodes: the last parts of the keys.
pub(super) async fn nodes(conn: &Conn, keys: &Keys) -> Result<Vec<String>, String> {
    let path = format!("{}?recursive=true", keys.nodes().trim_end_matches('/'));
    let (status, answer) = conn.v2(Method::GET, &path, Body::None).await?;
    if status == StatusCode::NOT_FOUND {
        // The first node of all.
        return Ok(Vec::new());
    }
    done(status, &answer)?;
    let entries = answer["node"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |entry: &Value| Some(entry["key"].as_str()?.rsplit('/').next()?.to_owned());
    Ok(entries.iter().filter_map(name).collect())
}

/// Makes or renews the entry of this node.
pub(super) async fn enter(conn: &Conn, keys: &Keys, ttl_secs: u64) -> Result<(), String> {
    let ttl = ttl_secs.to_string();
    let (status, answer) = conn.v2(Method::PUT, &keys.entry(), Body::Form(&[("ttl", &ttl)])).await?;
    done(status, &answer)
}

pub(super) async fn leave(conn: &Conn, keys: &Keys) -> Result<(), String> {
    gone(conn.v2(Method::DELETE, &keys.entry(), Body::None).await?)
}

fn gone((status, answer): (StatusCode, Value)) -> Result<(), String> {
    if status == StatusCode::NOT_FOUND { Ok(()) } else { done(status, &answer) }
}

fn done(status: StatusCode, answer: &Value) -> Result<(), String> {
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{} {}", status.as_u16(), answer["message"].as_str().unwrap_or_default()))
}
