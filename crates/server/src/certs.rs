//! Certificates for the first start: an authority of this installation, a server and a client, so that TLS listeners open at once.
//!
//! They are made only where the directory does not exist at all; what an operator has put there is never touched.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Ten years, in days: nobody renews a certificate they have not made themselves.
const VALID_DAYS: u64 = 3650;

/// Makes `cacert.pem`, `cert.pem`, `key.pem`, `client-cert.pem` and `client-key.pem` in `dir` if `dir` does not exist.
/// The server's certificate is for `localhost`, the loopback addresses and `names` (host names or addresses).
/// The authority's own key is thrown away. Returns whether anything was made.
///
/// # Errors
/// The directory cannot be written; then nothing is left behind.
pub fn ensure(dir: &Path, names: &[String]) -> io::Result<bool> {
    if dir.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let mut staging = dir.as_os_str().to_owned();
    staging.push(".new");
    let staging = Path::new(&staging);
    // What an interrupted start has left is half made.
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::DirBuilder::new().recursive(true).mode(0o755).create(staging)?,
    }
    let made = fill(staging, names).and_then(|()| fs::rename(staging, dir));
    if made.is_err() {
        let _ = fs::remove_dir_all(staging);
    }
    made.map(|()| true)
}

fn fill(dir: &Path, names: &[String]) -> io::Result<()> {
    let authority = authority().map_err(io::Error::other)?;
    write(dir, "cacert.pem", 0o644, &authority.pem())?;
    let mut server: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    server.extend(names.iter().filter(|name| !name.is_empty()).cloned());
    server.sort();
    server.dedup();
    let purposes = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let (cert, key) = issue(&authority, "Server", &server, &purposes).map_err(io::Error::other)?;
    write(dir, "cert.pem", 0o644, &cert)?;
    write(dir, "key.pem", 0o600, &key)?;
    let (cert, key) = issue(&authority, "Client", &[], &purposes[1..]).map_err(io::Error::other)?;
    write(dir, "client-cert.pem", 0o644, &cert)?;
    write(dir, "client-key.pem", 0o600, &key)
}

fn write(dir: &Path, name: &str, mode: u32, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(dir.join(name))?;
    file.write_all(text.as_bytes())
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "FlockMQ");
    params.distinguished_name.push(DnType::CommonName, name);
    // A day of grace for clocks that are slow.
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(86_400)).into();
    params.not_after = (now + Duration::from_secs(VALID_DAYS * 86_400)).into();
    params
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = params("FlockMQ installation");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn issue(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    hosts: &[String],
    purposes: &[ExtendedKeyUsagePurpose],
) -> Result<(String, String), rcgen::Error> {
    let mut params = params(name);
    for host in hosts {
        params.subject_alt_names.push(match host.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(host.as_str().try_into()?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = purposes.to_vec();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, authority)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// When the first certificate of a PEM file ends, in milliseconds since 1970.
pub fn valid_until_ms(path: &Path) -> Option<u64> {
    let der = CertificateDer::from_pem_file(path).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok().map(|seconds| seconds * 1000)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_directory_is_filled_and_keys_are_private() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("etc/certs");
        assert!(ensure(&dir, &["s1.emqx.io".to_owned(), "10.0.0.1".to_owned()]).unwrap());
        let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
        let until = valid_until_ms(&dir.join("cert.pem")).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert!(u128::from(until) > now.as_millis());
        assert_eq!(valid_until_ms(&dir.join("key.pem")), None);
        assert_eq!((mode("key.pem"), mode("client-key.pem"), mode("cert.pem")), (0o600, 0o600, 0o644));
        let files = crate::tls::TlsFiles {
            certfile: dir.join("cert.pem"),
            keyfile: dir.join("key.pem"),
            cacertfile: Some(dir.join("cacert.pem")),
            verify_peer: true,
            peer_required: true,
            versions: Vec::new(),
        };
        crate::tls::install_provider();
        crate::tls::server(&files).unwrap();
        assert!(!root.path().join("etc/certs.new").exists());
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!ensure(dir.path(), &[]).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
