//! TLS settings of listeners and of the cluster port: files in, `rustls` configurations out.

mod encrypted;
pub mod listener;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// What a TLS endpoint needs, as settings name it.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certfile: PathBuf,
    /// Its private key, PEM.
    pub keyfile: PathBuf,
    /// Authorities that the other side's certificate is checked against, PEM.
    pub cacertfile: Option<PathBuf>,
    /// Whether the other side is asked for a certificate.
    pub verify_peer: bool,
    /// Whether a peer without a certificate is refused.
    pub peer_required: bool,
    /// Protocol versions by 4.4's words (`tlsv1.2`, `tlsv1.3`); empty: both. Older ones are not spoken.
    pub versions: Vec<String>,
}

/// Why TLS could not be set up.
#[derive(Debug)]
pub enum TlsError {
    /// A file is missing, not readable, or holds no PEM of the kind.
    File { path: PathBuf, cause: String },
    /// The files do not fit together, or no version is left.
    Config(String),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::File { path, cause } => write!(f, "cannot use {}: {cause}", path.display()),
            TlsError::Config(cause) => write!(f, "TLS cannot be set up: {cause}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// Makes the process use one cryptographic provider. Called once at start.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The server's side of TLS.
pub fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain(&files.certfile)?;
    let key = key(&files.keyfile)?;
    let builder = ServerConfig::builder_with_protocol_versions(&versions(&files.versions)?);
    let builder = match (&files.cacertfile, files.verify_peer) {
        (Some(path), true) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots(path)?));
            let verifier = if files.peer_required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| TlsError::Config(e.to_string()))?)
        }
        (None, true) => {
            return Err(TlsError::Config("verify_peer needs a cacertfile to check against".into()));
        }
        (_, false) => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key).map_err(|e| TlsError::Config(e.to_string()))?;
    Ok(Arc::new(config))
}

/// The client's side of TLS: for links to peers. Without `verify_peer` the other side's certificate
/// is not checked (4.4's `verify_none`); the cookie is proven all the same.
pub fn client(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_protocol_versions(&versions(&files.versions)?);
    let builder = match (&files.cacertfile, files.verify_peer) {
        (Some(path), true) => builder.with_root_certificates(roots(path)?),
        (None, true) => {
            return Err(TlsError::Config("verify_peer needs a cacertfile to check against".into()));
        }
        (_, false) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked::new())),
    };
    let config = if files.certfile.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        builder
            .with_client_auth_cert(chain(&files.certfile)?, key(&files.keyfile)?)
            .map_err(|e| TlsError::Config(e.to_string()))?
    };
    Ok(Arc::new(config))
}

fn versions(words: &[String]) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    if words.is_empty() {
        return Ok(vec![&rustls::version::TLS13, &rustls::version::TLS12]);
    }
    let mut versions = Vec::new();
    for word in words {
        match word.as_str() {
            "tlsv1.3" => versions.push(&rustls::version::TLS13),
            "tlsv1.2" => versions.push(&rustls::version::TLS12),
            // TLS 1.0 and 1.1 are broken and not spoken; a list that names them beside newer ones,
            // as 4.4 ships it, works with the newer ones.
            _ => {}
        }
    }
    if versions.is_empty() {
        return Err(TlsError::Config(format!(
            "none of the versions {words:?} is spoken; use tlsv1.2, tlsv1.3"
        )));
    }
    Ok(versions)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(|all| all.collect()).map_err(|e| file(path, e))?;
    if certificates.is_empty() {
        return Err(TlsError::File { path: path.to_owned(), cause: "it holds no certificate".into() });
    }
    Ok(certificates)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| file(path, e))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|e| TlsError::File { path: path.to_owned(), cause: e.to_string() })?;
    }
    Ok(roots)
}

fn file(path: &Path, cause: rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), cause: cause.to_string() }
}

/// Accepts any certificate, but checks that the other side holds its key.
#[derive(Debug)]
struct Unchecked(rustls::crypto::WebPkiSupportedAlgorithms);

impl Unchecked {
    fn new() -> Unchecked {
        Unchecked(rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

impl rustls::client::danger::ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}
