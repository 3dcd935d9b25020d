//! TLS of the listeners of clients: which certificate is shown to whom, which suites are spoken, and which certificates
//! of clients are believed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{TlsError, chain, encrypted, key, versions};
use crate::settings::Secret;

/// What a listener's TLS is made of, as the settings say it. Files are read whenever a configuration is made.
#[derive(Clone, Debug, Default)]
pub struct ListenerTls {
    /// Certificate chains with their keys, PEM. A client that asks for a server by name gets the first one that is
    /// good for that name, every other client the first.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// What opens the keys that are encrypted.
    pub password: Option<Secret>,
    /// Protocol versions by 4.4's words; empty: 1.2 and 1.3.
    pub versions: Vec<String>,
    /// Cipher suites by the names of OpenSSL or IANA, the preferred one first; empty: all that are spoken.
    pub ciphers: Vec<String>,
    /// Whether that order decides, and not the client's.
    pub own_order: bool,
    /// Whether a client may come again without a whole handshake.
    pub resumption: bool,
    /// What is said of the first certificate beside it, if anything is.
    pub stapled: Option<Stapled>,
    /// The protocols that clients of this listener have to name (ALPN); empty: they need not name any.
    pub protocols: Vec<&'static str>,
    /// How clients' certificates are checked; `None`: clients are not asked for any.
    pub peers: Option<Peers>,
}

/// How clients' certificates are checked.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// The authorities, PEM.
    pub cacertfile: PathBuf,
    /// How many of them count, from the end of the file; `None`: all.
    pub last: Option<usize>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
    /// How many certificates may lie between a client's and an authority.
    pub depth: usize,
    /// What a client's certificate must be made for: object identifiers of extended key usages.
    pub usages: Vec<String>,
    /// Where revoked certificates are listed; `None`: that is not looked up.
    pub revoked: Option<Revoked>,
}

/// How the state of a listener's certificate is asked for.
#[derive(Clone, Debug)]
pub struct Stapled {
    /// The certificate, the first one of the listener.
    pub certfile: PathBuf,
    /// The certificate of its issuer.
    pub issuer: PathBuf,
    /// Where it is asked.
    pub url: String,
    /// How often.
    pub every: Duration,
    /// How long the answer may take.
    pub limit: Duration,
    /// The last answer.
    pub answer: Arc<Mutex<Option<Answer>>>,
}

/// What the authority says of a certificate.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The certificate, which may have been replaced by now.
    pub certificate: CertificateDer<'static>,
    pub text: Vec<u8>,
}

/// Where revoked certificates are listed.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// A file of revocation lists, PEM or DER.
    pub file: Option<PathBuf>,
    /// Where others are fetched.
    pub urls: Vec<String>,
    /// What has been fetched there.
    pub fetched: Arc<Fetched>,
}

/// Revocation lists that have been fetched, by the address they came from.
#[derive(Debug, Default)]
pub struct Fetched(Mutex<BTreeMap<String, Vec<u8>>>);

impl Fetched {
    /// Takes note of a list. `true`: it is not the one that was there.
    pub fn put(&self, url: &str, list: Vec<u8>) -> bool {
        let mut all = self.0.lock();
        let changed = all.get(url) != Some(&list);
        all.insert(url.to_owned(), list);
        changed
    }
}

impl ListenerTls {
    /// The configuration that the files make now.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites(&self.ciphers)?,
            ..rustls::crypto::aws_lc_rs::default_provider()
        });
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(&self.versions)?)
            .map_err(|_| {
                TlsError::Config(format!(
                    "none of the cipher suites {:?} belongs to one of the versions {:?}",
                    self.ciphers, self.versions
                ))
            })?;
        let builder = match &self.peers {
            Some(peers) => builder.with_client_cert_verifier(peers.verifier(&provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut keys = Vec::new();
        for (certfile, keyfile) in &self.certificates {
            let key = match encrypted::key(keyfile, self.password.as_ref().map(Secret::reveal)) {
                Some(opened) => opened?,
                None => key(keyfile)?,
            };
            let certified = CertifiedKey::from_der(chain(certfile)?, key, &provider);
            keys.push(Arc::new(certified.map_err(|why| {
                TlsError::Config(format!("{} and {}: {why}", certfile.display(), keyfile.display()))
            })?));
        }
        let mut config = builder.with_cert_resolver(Arc::new(ByName {
            keys,
            stapled: self.stapled.as_ref().map(|stapled| stapled.answer.clone()),
        }));
        config.ignore_client_order = self.own_order;
        if !self.resumption {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// The names in `ciphers` that stand for no suite that is spoken here.
    pub fn strange_ciphers(&self) -> Vec<&str> {
        self.ciphers.iter().map(String::as_str).filter(|name| suite(name).is_none()).collect()
    }
}

fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    if names.is_empty() {
        return Ok(rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES.to_vec());
    }
    let known: Vec<SupportedCipherSuite> = names.iter().filter_map(|name| suite(name)).collect();
    if known.is_empty() {
        let offered: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
        return Err(TlsError::Config(format!(
            "none of the cipher suites {names:?} is spoken; use some of {}",
            offered.join(", ")
        )));
    }
    Ok(known)
}

fn suite(name: &str) -> Option<SupportedCipherSuite> {
    let by_openssl = SUITES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite);
    by_openssl.or_else(|| {
        let iana = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        SUITES.iter().map(|(_, suite)| *suite).find(|suite| iana(suite) == name)
    })
}

mod names {
    pub(super) use rustls::crypto::aws_lc_rs::cipher_suite::*;
}

/// The suites that are spoken, by the names of OpenSSL. All have forward secrecy and authenticated encryption.
static SUITES: [(&str, SupportedCipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", names::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", names::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", names::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", names::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", names::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", names::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", names::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", names::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", names::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Chooses among a listener's certificates by the name that the client asks for.
#[derive(Debug)]
struct ByName {
    keys: Vec<Arc<CertifiedKey>>,
    /// What is said of one of them. It changes more often than they do, so it is put beside it at each handshake.
    stapled: Option<Arc<Mutex<Option<Answer>>>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let speaks = |key: &Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let name = hello.server_name().filter(|_| self.keys.len() > 1);
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| {
            self.keys.iter().find(|key| {
                let certificate = key.cert.first().and_then(|first| ParsedCertificate::try_from(first).ok());
                certificate.is_some_and(|it| rustls::client::verify_server_name(&it, &name).is_ok())
                    && speaks(key)
            })
        });
        // An old client and a new one may need keys of different kinds.
        let chosen = named.or_else(|| self.keys.iter().find(|key| speaks(key)))?;
        let answer = self.stapled.as_ref().and_then(|stapled| stapled.lock().clone());
        Some(match answer.filter(|answer| chosen.cert.first() == Some(&answer.certificate)) {
            None => chosen.clone(),
            Some(answer) => {
                let (cert, key) = (chosen.cert.clone(), chosen.key.clone());
                Arc::new(CertifiedKey { cert, key, ocsp: Some(answer.text) })
            }
        })
    }
}

impl Peers {
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let builder = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(self.anchors()?),
            provider.clone(),
        );
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        let lists = self.lists()?;
        let unlisted = self.revoked.is_some() && lists.is_empty();
        let builder =
            builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
        let inner = builder.build().map_err(|why| TlsError::Config(why.to_string()))?;
        Ok(Arc::new(Checked { inner, depth: self.depth, usages: self.usages.clone(), unlisted }))
    }

    fn anchors(&self) -> Result<RootCertStore, TlsError> {
        let all = chain(&self.cacertfile)?;
        let unfit = |cause: String| TlsError::File { path: self.cacertfile.clone(), cause };
        let skip = match self.last {
            None => 0,
            Some(last) => all
                .len()
                .checked_sub(last)
                .ok_or_else(|| unfit(format!("partial_chain needs {last} certificates in it")))?,
        };
        let mut roots = RootCertStore::empty();
        for certificate in all.into_iter().skip(skip) {
            roots.add(certificate).map_err(|why| unfit(why.to_string()))?;
        }
        Ok(roots)
    }

    fn lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let Some(revoked) = &self.revoked else { return Ok(Vec::new()) };
        let mut lists = Vec::new();
        if let Some(path) = &revoked.file {
            let unfit = |cause: String| TlsError::File { path: path.clone(), cause };
            let bytes = std::fs::read(path).map_err(|why| unfit(why.to_string()))?;
            lists.extend(parse_lists(&bytes).ok_or_else(|| unfit("it holds no revocation list".into()))?);
        }
        let all = revoked.fetched.0.lock();
        for bytes in revoked.urls.iter().filter_map(|url| all.get(url)) {
            lists.extend(parse_lists(bytes).unwrap_or_default());
        }
        Ok(lists)
    }
}

/// Revocation lists, PEM or DER; `None`: there is none.
pub fn parse_lists(bytes: &[u8]) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let lists: Vec<_> = if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<_, _>>().ok()?
    } else {
        vec![CertificateRevocationListDer::from(bytes.to_vec())]
    };
    let is_list = |list: &CertificateRevocationListDer<'_>| {
        x509_parser::revocation_list::CertificateRevocationList::from_der(list).is_ok()
    };
    (!lists.is_empty() && lists.iter().all(is_list)).then_some(lists)
}

/// The usual checks, and those of the settings besides.
#[derive(Debug)]
struct Checked {
    inner: Arc<dyn ClientCertVerifier>,
    depth: usize,
    usages: Vec<String>,
    /// Certificates are to be looked up, and there is no list: nobody can be believed.
    unlisted: bool,
}

impl Checked {
    fn is_made_for_all(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let Ok(Some(usage)) = certificate.extended_key_usage() else { return self.usages.is_empty() };
        let usage = usage.value;
        self.usages.iter().all(|oid| match oid.as_str() {
            "1.3.6.1.5.5.7.3.1" => usage.server_auth,
            "1.3.6.1.5.5.7.3.2" => usage.client_auth,
            "1.3.6.1.5.5.7.3.3" => usage.code_signing,
            "1.3.6.1.5.5.7.3.4" => usage.email_protection,
            "1.3.6.1.5.5.7.3.8" => usage.time_stamping,
            "1.3.6.1.5.5.7.3.9" => usage.ocsp_signing,
            other => usage.other.iter().any(|known| known.to_id_string() == other),
        })
    }
}

impl ClientCertVerifier for Checked {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.unlisted {
            return Err(CertificateError::UnknownRevocationStatus.into());
        }
        // A chain comes in order [RFC 5246 §7.4.2], so what lies deeper is behind. Without it no deeper path is found.
        let intermediates = &intermediates[..intermediates.len().min(self.depth)];
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        if !self.usages.is_empty() && !self.is_made_for_all(end_entity) {
            return Err(CertificateError::InvalidPurpose.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_of_openssl_and_of_iana() {
        for (name, suite_of_it) in SUITES {
            assert_eq!(suite(name), Some(suite_of_it));
        }
        let both = ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];
        assert_eq!(suite(both[0]), suite(both[1]));
        assert_eq!(suite("AES128-SHA"), None);
        assert!(suites(&["AES128-SHA".into()]).is_err());
        let kept = suites(&["AES128-SHA".into(), both[0].into(), "TLS_AES_128_GCM_SHA256".into()]);
        assert_eq!(kept.expect("two of them").len(), 2);
    }

    #[test]
    fn only_lists_of_revoked_certificates_are_taken_for_such() {
        assert!(parse_lists(b"").is_none() && parse_lists(b"<html>").is_none());
        let other = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        assert!(parse_lists(other.as_bytes()).is_none());
    }
}
