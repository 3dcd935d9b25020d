//! What a client's certificate says of who the client is, for listeners that take the user name or the client id from
//! there (`peer_cert_as_username`, `peer_cert_as_clientid`) and not from the CONNECT. Whether the certificate counts at
//! all has been decided before, by TLS or by the load balancer that announces it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, RelativeDistinguishedName, X509Certificate};

use crate::settings::CertPart;

/// Bytes of a user name or a client id: what a length of two bytes can say.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// What is taken from certificates on a listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity {
    pub username: Option<CertPart>,
    pub client_id: Option<CertPart>,
}

/// What a certificate has given. A part that it does not have leaves the word to the CONNECT, as in 4.4.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub username: Option<String>,
    pub client_id: Option<String>,
    /// There is such a part, and it can be no name in MQTT: the client must not come in under one of its own choice.
    pub unusable: bool,
}

impl Identity {
    /// Whether anything is taken from certificates.
    pub fn is_from_certificates(&self) -> bool {
        self.username.is_some() || self.client_id.is_some()
    }

    /// The names that a certificate gives, DER.
    pub fn of_certificate(&self, der: &[u8]) -> Names {
        self.named(|part| part_of(part, der))
    }

    /// The same where a load balancer says the common name and nothing else of the certificate. As in 4.4 it stands
    /// for the distinguished name too.
    pub fn of_common_name(&self, name: &str) -> Names {
        self.named(|part| match part {
            CertPart::CommonName | CertPart::DistinguishedName => Some(Some(name.to_owned())),
            CertPart::Der | CertPart::Pem | CertPart::Md5 => None,
        })
    }

    /// `part`: the part if the certificate has it; the inner `None` if it is no text.
    fn named(&self, part: impl Fn(CertPart) -> Option<Option<String>>) -> Names {
        let mut names = Names::default();
        for (wanted, name) in [(self.username, &mut names.username), (self.client_id, &mut names.client_id)] {
            match wanted.and_then(&part) {
                Some(Some(text)) if text.len() <= NAME_BYTES_MAX && !text.contains('\0') => {
                    *name = Some(text)
                }
                Some(_) => names.unusable = true,
                None => {}
            }
        }
        names
    }
}

fn part_of(part: CertPart, der: &[u8]) -> Option<Option<String>> {
    match part {
        // A user name is text, so the bytes as such cannot be one: both are the same here.
        CertPart::Der | CertPart::Pem => Some(Some(STANDARD.encode(der))),
        CertPart::Md5 => {
            let hash = Md5::digest(der);
            Some(Some(hash.iter().map(|byte| format!("{byte:02x}")).collect()))
        }
        CertPart::CommonName => {
            let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Some(None) };
            let name = certificate.subject().iter_common_name().next()?;
            Some(name.as_str().ok().map(str::to_owned))
        }
        CertPart::DistinguishedName => {
            let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Some(None) };
            let parts: Option<Vec<String>> = certificate.subject().iter().map(relative_name).collect();
            // The most particular part comes first [RFC 4514 §2.1].
            Some(parts.map(|parts| parts.into_iter().rev().collect::<Vec<_>>().join(",")))
        }
    }
}

fn relative_name(name: &RelativeDistinguishedName<'_>) -> Option<String> {
    name.iter().map(attribute).collect::<Option<Vec<_>>>().map(|all| all.join("+"))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    let value = escaped(attribute.as_str().ok()?);
    // The words of 4.4, where it has one.
    let word = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "SERIALNUMBER",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "TITLE",
        "2.5.4.42" => "GIVENNAME",
        "2.5.4.43" => "INITIALS",
        "2.5.4.44" => "GENERATIONQUALIFIER",
        "2.5.4.65" => "PSEUDONYM",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "EMAILADDRESS",
        _ => return Some(format!("{oid}:{value}")),
    };
    Some(format!("{word}={value}"))
}

/// A value in which nothing can be taken for the end of it [RFC 4514 §2.4].
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        let at_an_end = (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
        if at_an_end || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn certificate(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn username(part: CertPart, der: &[u8]) -> Option<String> {
        let names = Identity { username: Some(part), client_id: None }.of_certificate(der);
        assert!(!names.unusable && names.client_id.is_none());
        names.username
    }

    #[test]
    fn each_part_of_a_certificate_can_be_the_name() {
        let der = certificate(&[
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, " Flock, Inc. "),
            (DnType::CommonName, "truck-7"),
        ]);
        assert_eq!(username(CertPart::CommonName, &der).as_deref(), Some("truck-7"));
        let dn = username(CertPart::DistinguishedName, &der);
        assert_eq!(dn.as_deref(), Some(r"CN=truck-7,O=\ Flock\, Inc.\ ,C=DE"));
        let pem = username(CertPart::Pem, &der).expect("text");
        assert_eq!(STANDARD.decode(&pem).expect("base64"), der);
        assert_eq!(username(CertPart::Der, &der), Some(pem));
        let md5 = username(CertPart::Md5, &der).expect("text");
        assert!(md5.len() == 32 && md5.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
    }

    #[test]
    fn a_part_that_is_not_there_leaves_the_word_to_the_client_and_a_strange_one_does_not() {
        let both = Identity { username: Some(CertPart::CommonName), client_id: Some(CertPart::CommonName) };
        let nameless = certificate(&[(DnType::OrganizationName, "Flock")]);
        assert_eq!(both.of_certificate(&nameless), Names::default());
        for strange in ["a\0b", &"x".repeat(70_000)] {
            let names = both.of_certificate(&certificate(&[(DnType::CommonName, strange)]));
            assert!(names.unusable && names.username.is_none() && names.client_id.is_none());
        }
        assert!(both.of_certificate(b"no certificate").unusable);
    }

    #[test]
    fn of_what_a_load_balancer_says_only_the_name_is_there() {
        let names = |part| Identity { username: Some(part), client_id: None }.of_common_name("ann").username;
        assert_eq!(names(CertPart::CommonName).as_deref(), Some("ann"));
        assert_eq!(names(CertPart::DistinguishedName).as_deref(), Some("ann"));
        assert_eq!(names(CertPart::Md5), None);
    }
}
