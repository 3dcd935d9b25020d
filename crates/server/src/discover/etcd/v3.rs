//! etcd v3 by its JSON gateway: keys and values travel in base64, numbers of 64 bits as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::conn::Conn;
use super::{Keys, LOCK_TTL, LOCK_WAIT};

/// Waits for the lock; the lease that it goes with.
pub(super) async fn lock(conn: &Conn, keys: &Keys) -> Result<String, String> {
    let lease = grant(conn, LOCK_TTL.as_secs()).await?;
    let body = json!({ "name": encoded(&keys.lock()), "lease": lease });
    match conn.v3("lock/lock", &body, Some(LOCK_WAIT)).await {
        Ok(_) => Ok(lease),
        Err(why) => {
            // It may have been had too late to hear of it.
            let _ = revoke(conn, &lease).await;
            Err(why)
        }
    }
}

/// The names of the nodes.
pub(super) async fn nodes(conn: &Conn, keys: &Keys) -> Result<Vec<String>, String> {
    let from = keys.nodes();
    let mut upto = from.clone().into_bytes();
    if let Some(last) = upto.last_mut() {
        *last += 1;
    }
    let body = json!({ "key": encoded(&from), "range_end": STANDARD.encode(upto) });
    let answer = conn.v3("kv/range", &body, None).await?;
    let entries = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| decoded(&entry["value"])).collect())
}

/// A lease of so many seconds.
pub(super) async fn grant(conn: &Conn, ttl_secs: u64) -> Result<String, String> {
    let answer = conn.v3("lease/grant", &json!({ "TTL": ttl_secs }), None).await?;
    answer["ID"].as_str().map(str::to_owned).ok_or_else(|| "etcd granted no lease".to_owned())
}

/// Renews a lease; `false` when it has ended.
pub(super) async fn keep_alive(conn: &Conn, lease: &str) -> Result<bool, String> {
    let answer = conn.v3("lease/keepalive", &json!({ "ID": lease }), None).await?;
    Ok(answer["result"]["TTL"].as_str().is_some_and(|ttl| ttl != "0"))
}

/// Ends a lease, and with it what was put under it. One that has ended already is fine.
pub(super) async fn revoke(conn: &Conn, lease: &str) -> Result<(), String> {
    match conn.v3("lease/revoke", &json!({ "ID": lease }), None).await {
        Err(why) if !why.contains("lease not found") => Err(why),
        _ => Ok(()),
    }
}

pub(super) async fn put(conn: &Conn, key: &str, value: &str, lease: &str) -> Result<(), String> {
    let body = json!({ "key": encoded(key), "value": encoded(value), "lease": lease });
    conn.v3("kv/put", &body, None).await.map(drop)
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

fn decoded(value: &Value) -> Option<String> {
    String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok()
}
