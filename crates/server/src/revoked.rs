//! Revocation lists that listeners look clients' certificates up in, where they are fetched: at start, and then again and
//! again. A list that cannot be had leaves the one before in force, which ends by its own date.

use std::sync::Arc;
use std::time::Duration;

use crate::discover::http;
use crate::listeners::Listeners;
use crate::settings::{ClientTls, RevocationPace};
use crate::tls::listener::parse_lists;

/// How soon lists that could not be had are asked for again.
const AGAIN: Duration = Duration::from_secs(60);

/// Fetches each list once. `true`: all are there.
pub async fn fetch(listeners: &Listeners, pace: RevocationPace) -> bool {
    let mut whole = true;
    for (at, url) in listeners.revocation_urls() {
        match list(url, pace.limit).await {
            Ok(bytes) => listeners.put_revoked(at, url, bytes).await,
            Err(why) => {
                whole = false;
                tracing::warn!(url, why, "a revocation list cannot be fetched");
            }
        }
    }
    whole
}

/// Fetches the lists again and again.
pub async fn keep(listeners: Arc<Listeners>, pace: RevocationPace, mut whole: bool) {
    while listeners.revocation_urls().next().is_some() {
        let every = pace.every.max(Duration::from_secs(1));
        tokio::time::sleep(if whole { every } else { every.min(AGAIN) }).await;
        whole = fetch(&listeners, pace).await;
    }
}

async fn list(url: &str, limit: Duration) -> Result<Vec<u8>, String> {
    let client = http::client(url.starts_with("https:"), &ClientTls::default())?;
    let answer = client.get(url).timeout(limit).send().await.map_err(|why| http::explain(&why))?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let bytes = http::body(answer).await?;
    parse_lists(&bytes).map(|_| bytes).ok_or_else(|| "what comes is no revocation list".into())
}
