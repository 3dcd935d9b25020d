//! A certificate authority of a test's own, and what it signs, as PEM files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    /// Its own certificate.
    pub file: PathBuf,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    pub fn files(&self) -> Option<(&Path, &Path)> {
        Some((&self.cert, &self.key))
    }

    pub fn cert(&self) -> &str {
        self.cert.to_str().unwrap()
    }

    pub fn key(&self) -> &str {
        self.key.to_str().unwrap()
    }

    /// The same with the certificates of these authorities behind its own.
    pub fn with_chain(self, authorities: &[&Authority]) -> Pair {
        let mut chain = fs::read_to_string(&self.cert).unwrap();
        for authority in authorities {
            chain += &fs::read_to_string(&authority.file).unwrap();
        }
        fs::write(&self.cert, chain).unwrap();
        self
    }

    /// The certificate, DER.
    pub fn der(&self) -> Vec<u8> {
        use rustls::pki_types::pem::PemObject;
        rustls::pki_types::CertificateDer::from_pem_file(&self.cert).unwrap().to_vec()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Tests");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    /// A root whose files lie in `folder`.
    pub fn new(folder: &Path, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority::with(CertifiedIssuer::self_signed(authority(name), key).unwrap(), folder, name)
    }

    fn with(issuer: CertifiedIssuer<'static, KeyPair>, folder: &Path, name: &str) -> Authority {
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem()).unwrap();
        Authority { issuer, folder: folder.to_owned(), file }
    }

    /// An authority that this one vouches for.
    pub fn intermediate(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(authority(name), key, &self.issuer).unwrap();
        Authority::with(issuer, &self.folder, name)
    }

    /// Writes its private key beside its certificate, for programs that act for it.
    pub fn write_key(&self) {
        let file =
            self.file.with_file_name(format!("{}-key.pem", self.file.file_stem().unwrap().to_str().unwrap()));
        fs::write(file, self.issuer.key().serialize_pem()).unwrap();
    }

    /// A list of revoked certificates, PEM, by their serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(86_400);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now - day).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: (now - day).into(),
            next_update: (now + day).into(),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// A client or a server of that common name, which may be reached under these hosts.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Pair {
        self.issue_with(name, hosts, |params| {
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub fn issue_with(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let mut params = params(name);
        params.subject_alt_names = hosts.iter().map(|host| san(host)).collect();
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let (certfile, keyfile) = (format!("{name}-cert.pem"), format!("{name}-key.pem"));
        let pair = Pair { cert: self.folder.join(certfile), key: self.folder.join(keyfile) };
        fs::write(&pair.cert, cert.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

fn san(host: &str) -> rcgen::SanType {
    match host.parse() {
        Ok(ip) => rcgen::SanType::IpAddress(ip),
        Err(_) => rcgen::SanType::DnsName(host.try_into().unwrap()),
    }
}
