//! HTTP as a client, for strategies that ask a server: time limits, certificates that are always checked, and errors
//! in words.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::ClientTls;
use crate::tls::{self, TlsFiles};

/// How long a connection may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long an answer may take in all, unless a request says otherwise.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// No answer of use is longer.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A client whose certificates are read now. Without `cacertfile` the authorities of the system count.
///
/// # Errors
/// Which file cannot be used.
pub(crate) fn client(encrypted: bool, files: &ClientTls) -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT)
        .redirect(reqwest::redirect::Policy::limited(3));
    let builder = if encrypted {
        let cacertfile = files.cacertfile.clone().or_else(system_authorities);
        let Some(cacertfile) = cacertfile else {
            return Err("the certificate of the server cannot be checked: no file of authorities".into());
        };
        let config = tls::client(&TlsFiles {
            certfile: files.certfile.clone().unwrap_or_default(),
            keyfile: files.keyfile.clone().unwrap_or_default(),
            cacertfile: Some(cacertfile),
            verify_peer: true,
            peer_required: false,
            versions: Vec::new(),
        });
        builder.tls_backend_preconfigured(config.map_err(|e| e.to_string())?.as_ref().clone())
    } else {
        builder
    };
    builder.build().map_err(|e| explain(&e))
}

fn system_authorities() -> Option<PathBuf> {
    SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned)
}

/// The whole body of an answer, which may not be longer than anything of use.
pub(crate) async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| explain(&e))? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {} MB", ANSWER_BYTES_MAX >> 20));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The innermost cause, which is the one that helps.
pub(crate) fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
