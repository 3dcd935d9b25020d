//! What an authority says of a listener's own certificate (OCSP, RFC 6960), asked for again and again, so that clients get it
//! with the certificate and need not ask anybody. An answer that cannot be had leaves the one before, which ends by
//! its own date.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha1::{Digest, Sha1};
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::discover::http;
use crate::settings::ClientTls;
use crate::tls::listener::{Answer, Stapled};

/// How soon an answer that could not be had is asked for again.
const AGAIN: Duration = Duration::from_secs(60);

/// Asks for the answer of one listener again and again.
pub async fn keep(how: Stapled) {
    loop {
        let every = how.every.max(Duration::from_secs(1));
        let wait = match fetch(&how).await {
            Ok(()) => every,
            Err(why) => {
                tracing::warn!(url = how.url, why, "the state of a certificate cannot be had");
                every.min(AGAIN)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn fetch(how: &Stapled) -> Result<(), String> {
    let (certificate, question) = question(&how.certfile, &how.issuer)?;
    let client = http::client(how.url.starts_with("https:"), &ClientTls::default())?;
    let asked = client.post(&how.url).header("content-type", "application/ocsp-request").timeout(how.limit);
    let answer = asked.body(question).send().await.map_err(|why| http::explain(&why))?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let text = http::body(answer).await?;
    if !is_successful(&text) {
        return Err("the responder has no answer to that certificate".into());
    }
    *how.answer.lock() = Some(Answer { certificate, text });
    Ok(())
}

/// A certificate, and the question about it (RFC 6960 §4.1.1). It names the issuer by SHA-1, as every responder understands.
fn question(certfile: &Path, issuer: &Path) -> Result<(CertificateDer<'static>, Vec<u8>), String> {
    let read = |path: &Path| {
        CertificateDer::from_pem_file(path).map_err(|why| format!("cannot use {}: {why}", path.display()))
    };
    let (certificate, issuer_der) = (read(certfile)?, read(issuer)?);
    let parsed = |der, path: &Path| {
        X509Certificate::from_der(der)
            .map(|(_, it)| it)
            .map_err(|_| format!("{} holds no certificate", path.display()))
    };
    let (own, issued_by) = (parsed(&certificate, certfile)?, parsed(&issuer_der, issuer)?);
    if own.issuer() != issued_by.subject() {
        return Err(format!("{} is not the issuer of {}", issuer.display(), certfile.display()));
    }
    const SHA1: &[u8] = &[0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00];
    let id = [
        SHA1.to_vec(),
        der(OCTETS, &Sha1::digest(own.issuer().as_raw())),
        der(OCTETS, &Sha1::digest(&issued_by.public_key().subject_public_key.data)),
        der(INTEGER, own.raw_serial()),
    ];
    // One question, in a list, in what is to be signed, which need not be.
    let question = [SEQUENCE; 4].iter().fold(der(SEQUENCE, &id.concat()), |inner, tag| der(*tag, &inner));
    Ok((certificate, question))
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// A value with its tag and its length before it.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | length.len() as u8);
            out.extend(length);
        }
    }
    out.extend(content);
    out
}

/// Whether an answer is one (RFC 6960 §4.2.1). What it says is for clients to judge: it is signed for them.
fn is_successful(answer: &[u8]) -> bool {
    let Ok((_, whole)) = Any::from_der(answer) else { return false };
    matches!(Any::from_der(whole.data), Ok((rest, status)) if status.data == [0] && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        assert_eq!(der(OCTETS, &[7; 127])[..2], [OCTETS, 127]);
        assert_eq!(der(OCTETS, &[7; 128])[..3], [OCTETS, 0x81, 128]);
        assert_eq!(der(OCTETS, &[7; 300])[..4], [OCTETS, 0x82, 1, 44]);
    }

    #[test]
    fn only_an_answer_is_stapled() {
        assert!(!is_successful(b"") && !is_successful(b"<html>"));
        // "unauthorized", and a success without anything in it.
        assert!(!is_successful(&[0x30, 3, 0x0a, 1, 6]) && !is_successful(&[0x30, 3, 0x0a, 1, 0]));
        assert!(is_successful(&[0x30, 5, 0x0a, 1, 0, 0xa0, 0]));
    }
}
