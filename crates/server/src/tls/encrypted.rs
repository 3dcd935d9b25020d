//! Private keys that a password protects: PKCS #8 with PBES2 (RFC 8018), as OpenSSL has written them by itself since 1.1.

use std::num::NonZeroU32;
use std::path::Path;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::asn1_rs::{Any, FromDer, Integer, OctetString, Oid, Sequence};

use super::TlsError;

const PBES2: &str = "1.2.840.113549.1.5.13";
const PBKDF2: &str = "1.2.840.113549.1.5.12";
/// How many rounds of a password are computed at most: a file must not be able to hold the start up for hours.
const ROUNDS_MAX: u32 = 10_000_000;

/// The first key of a PEM file if it is encrypted; `None`: the first one is not.
pub fn key(path: &Path, password: Option<&str>) -> Option<Result<PrivateKeyDer<'static>, TlsError>> {
    let bytes = std::fs::read(path).ok()?;
    let first = x509_parser::pem::Pem::iter_from_buffer(&bytes)
        .filter_map(Result::ok)
        .find(|block| block.label.ends_with("PRIVATE KEY"));
    let is_of_old = bytes.windows(22).any(|window| window == b"Proc-Type: 4,ENCRYPTED");
    let refused = |cause: &str| Some(Err(TlsError::File { path: path.to_owned(), cause: cause.to_owned() }));
    match first {
        Some(block) if block.label == "ENCRYPTED PRIVATE KEY" => {
            let Some(password) = password else {
                return refused("the key is encrypted; set key_password");
            };
            match opened(&block.contents, password.as_bytes()) {
                Ok(der) => Some(Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)))),
                Err(cause) => refused(cause),
            }
        }
        _ if is_of_old => {
            refused("the key is encrypted in an old way; `openssl pkcs8 -topk8` writes it anew")
        }
        _ => None,
    }
}

/// The key in an EncryptedPrivateKeyInfo.
fn opened(der: &[u8], password: &[u8]) -> Result<Vec<u8>, &'static str> {
    let info = parsed(der).ok_or("the encrypted key cannot be understood")?;
    let scheme = scheme(&info).ok_or(
        "the key is encrypted in a way that is not read here (PBES2 with PBKDF2 and AES in CBC mode is); \
         `openssl pkcs8 -topk8` writes it anew",
    )?;
    let mut secret = vec![0; scheme.cipher.1];
    pbkdf2::derive(scheme.prf, scheme.rounds, scheme.salt, password, &mut secret);
    let wrong = |_| "key_password does not open it";
    let key = UnboundCipherKey::new(scheme.cipher.0, &secret).map_err(wrong)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(wrong)?;
    let mut text = info.encrypted.to_vec();
    let context = DecryptionContext::Iv128(FixedLength::from(scheme.iv));
    let opened = key.decrypt(&mut text, context).map_err(wrong)?;
    // A wrong password may leave what looks like an end; a key is a sequence all the same.
    if Sequence::from_der(opened).is_err() {
        return Err("key_password does not open it");
    }
    Ok(opened.to_vec())
}

struct Info<'a> {
    algorithm: String,
    parameters: Sequence<'a>,
    encrypted: &'a [u8],
}

fn parsed(der: &[u8]) -> Option<Info<'_>> {
    let (_, whole) = Any::from_der(der).ok()?;
    let (rest, algorithm) = Any::from_der(whole.data).ok()?;
    let (_, encrypted) = Any::from_der(rest).ok()?;
    let (parameters, oid) = Oid::from_der(algorithm.data).ok()?;
    let (_, parameters) = Sequence::from_der(parameters).ok()?;
    Some(Info { algorithm: oid.to_id_string(), parameters, encrypted: encrypted.data })
}

struct Scheme<'a> {
    prf: pbkdf2::Algorithm,
    rounds: NonZeroU32,
    salt: &'a [u8],
    /// With the bytes of its key.
    cipher: (&'static Algorithm, usize),
    iv: [u8; 16],
}

/// How it is encrypted, if that is a way that is read here.
fn scheme<'a>(info: &'a Info<'a>) -> Option<Scheme<'a>> {
    if info.algorithm != PBES2 {
        return None;
    }
    let (rest, derivation) = Any::from_der(&info.parameters.content).ok()?;
    let (_, encryption) = Any::from_der(rest).ok()?;

    let (derivation, oid) = Oid::from_der(derivation.data).ok()?;
    if oid.to_id_string() != PBKDF2 {
        return None;
    }
    let (_, derivation) = Any::from_der(derivation).ok()?;
    let (rest, salt) = Any::from_der(derivation.data).ok()?;
    let (mut rest, rounds) = Integer::from_der(rest).ok()?;
    let rounds = NonZeroU32::new(rounds.as_u32().ok()?).filter(|rounds| rounds.get() <= ROUNDS_MAX)?;
    // The length of the key may stand there, which the cipher says as well.
    if let Ok((after, _)) = Integer::from_der(rest) {
        rest = after;
    }
    let prf = match rest {
        [] => pbkdf2::PBKDF2_HMAC_SHA1,
        prf => {
            let (_, prf) = Any::from_der(prf).ok()?;
            match Oid::from_der(prf.data).ok()?.1.to_id_string().as_str() {
                "1.2.840.113549.2.7" => pbkdf2::PBKDF2_HMAC_SHA1,
                "1.2.840.113549.2.9" => pbkdf2::PBKDF2_HMAC_SHA256,
                "1.2.840.113549.2.10" => pbkdf2::PBKDF2_HMAC_SHA384,
                "1.2.840.113549.2.11" => pbkdf2::PBKDF2_HMAC_SHA512,
                _ => return None,
            }
        }
    };

    let (iv, oid) = Oid::from_der(encryption.data).ok()?;
    let cipher = match oid.to_id_string().as_str() {
        "2.16.840.1.101.3.4.1.2" => (&AES_128, 16),
        "2.16.840.1.101.3.4.1.22" => (&AES_192, 24),
        "2.16.840.1.101.3.4.1.42" => (&AES_256, 32),
        _ => return None,
    };
    let (_, iv) = OctetString::from_der(iv).ok()?;
    Some(Scheme { prf, rounds, salt: salt.data, cipher, iv: iv.as_ref().try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A key of OpenSSL's, encrypted as `options` say, with the password `secret`.
    fn written(options: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let made = format!(
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkcs8 -topk8 {options} \
             -passout pass:secret -out '{}'",
            file.path().display()
        );
        assert!(Command::new("sh").args(["-c", &made]).status().expect("a shell").success(), "{made}");
        file
    }

    #[test]
    fn keys_that_a_password_protects_are_opened_by_it_alone() {
        for options in [
            "",
            "-v2 aes128",
            "-v2 aes-192-cbc -v2prf hmacWithSHA512",
            "-v2 aes256 -v2prf hmacWithSHA1",
            "-v2 aes256 -iter 10000",
        ] {
            let file = written(options);
            let key = |password| key(file.path(), password).expect("it is encrypted");
            let opened = key(Some("secret")).expect("the password fits");
            rustls::crypto::aws_lc_rs::sign::any_supported_type(&opened).expect("a key");
            for wrong in ["secre", "", "another"] {
                let why = key(Some(wrong)).expect_err("no other one does").to_string();
                assert!(why.ends_with("key_password does not open it"), "{why}");
            }
            assert!(key(None).expect_err("none").to_string().ends_with("set key_password"));
        }
        let other = written("-v2 des3");
        let why = key(other.path(), Some("secret")).expect("it is encrypted").expect_err("but not so");
        assert!(why.to_string().contains("is not read here"), "{why}");
        assert!(key(written("-nocrypt").path(), Some("secret")).is_none(), "others read that");
    }

    #[test]
    fn what_is_cut_or_changed_is_no_key_and_ends_nothing() {
        let file = written("");
        let text = std::fs::read(file.path()).expect("a file");
        let block = x509_parser::pem::Pem::iter_from_buffer(&text).next().expect("one").expect("PEM");
        for end in 0..block.contents.len() {
            assert!(opened(&block.contents[..end], b"secret").is_err(), "{end}");
        }
        // The beginning says how it is encrypted.
        for at in 0..96 {
            let mut der = block.contents.clone();
            der[at] ^= 0x41;
            let _ = opened(&der, b"secret");
        }
    }
}
