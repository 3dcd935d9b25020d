//! Secrets of users: argon2id for those that are made here, and the hashes of EMQ X 4.4 for those that were
//! brought along. Comparing takes milliseconds on purpose, so a few threads of their own do it, and their
//! queue has a limit: who finds it full is told that the server is busy.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use sha2::Digest;

/// Logins that may wait to be compared.
const QUEUE_MAX: usize = 10_000;
/// The longest password that is compared, in bytes.
const PASSWORD_BYTES_MAX: usize = 4_096;
/// What a secret of EMQ X 4.4 begins with, here.
const BROUGHT: &str = "emqx4";
/// Stands where somebody has no secret: comparing with it costs what comparing with a new one costs, and fits nobody.
const STAND_IN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c3RhbmRpbnN0YW5kaW4$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How `emqx_auth_mnesia` of EMQ X 4.4 makes its hashes (`auth.mnesia.password_hash`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    Plain,
    Md5,
    Sha,
    Sha256,
    Sha512,
}

impl Brought {
    fn word(self) -> &'static str {
        match self {
            Brought::Plain => "plain",
            Brought::Md5 => "md5",
            Brought::Sha => "sha",
            Brought::Sha256 => "sha256",
            Brought::Sha512 => "sha512",
        }
    }

    /// The algorithm of that name.
    pub fn parse(word: &str) -> Option<Brought> {
        [Brought::Plain, Brought::Md5, Brought::Sha, Brought::Sha256, Brought::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.word() == word)
    }

    /// What 4.4 keeps of a salted password: hexadecimal digits, or the password itself.
    fn digest(self, salted: &[u8]) -> Vec<u8> {
        match self {
            Brought::Plain => salted.get(SALT_BYTES..).unwrap_or_default().to_vec(),
            Brought::Md5 => hex(&md5::Md5::digest(salted)).into_bytes(),
            Brought::Sha => hex(&sha1::Sha1::digest(salted)).into_bytes(),
            Brought::Sha256 => hex(&sha2::Sha256::digest(salted)).into_bytes(),
            Brought::Sha512 => hex(&sha2::Sha512::digest(salted)).into_bytes(),
        }
    }
}

/// The salt before a hash of 4.4.
const SALT_BYTES: usize = 4;

/// The secret that 4.4 keeps as those bytes: a salt of four, and the digest.
pub fn brought(algorithm: Brought, kept: &[u8]) -> Option<String> {
    (kept.len() > SALT_BYTES).then(|| format!("{BROUGHT}:{}:{}", algorithm.word(), hex(kept)))
}

/// A new secret for a password; it takes some milliseconds and 19 MiB. `None`: the password is too long.
pub fn hash(password: &[u8]) -> Option<String> {
    if password.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let salt = SaltString::encode_b64(&crate::chance::bytes::<16>()).ok()?;
    Some(hasher().hash_password(password, &salt).ok()?.to_string())
}

/// Whether a password is the one that a secret was made of. A secret that is not understood is nobody's.
pub fn verify(secret: &str, password: &[u8]) -> bool {
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    if let Some(rest) = secret.strip_prefix(BROUGHT).and_then(|rest| rest.strip_prefix(':')) {
        let known = rest.split_once(':').and_then(|(word, kept)| Some((Brought::parse(word)?, unhex(kept)?)));
        return known.is_some_and(|(algorithm, kept)| is_brought(algorithm, &kept, password));
    }
    let Ok(parsed) = PasswordHash::new(secret) else { return false };
    hasher().verify_password(password, &parsed).is_ok()
}

/// What the password of a client that gave so many names is compared with: its secrets, and stand-ins up to one
/// argon2id for each name. So who fails learns nothing from the time that it took, neither whether there is such a
/// user nor what its secret is made of.
pub fn padded(mut secrets: Vec<String>, names: usize) -> Vec<String> {
    let costly = secrets.iter().filter(|secret| !secret.starts_with(BROUGHT)).count();
    secrets.extend(std::iter::repeat_n(STAND_IN.to_owned(), names.saturating_sub(costly)));
    secrets
}

/// Whether a password fits one of the secrets.
fn fits_one(secrets: &[String], password: &[u8]) -> bool {
    secrets.iter().any(|secret| verify(secret, password) && secret != STAND_IN)
}

fn is_brought(algorithm: Brought, kept: &[u8], password: &[u8]) -> bool {
    let Some((salt, digest)) = kept.split_at_checked(SALT_BYTES) else { return false };
    let given = algorithm.digest(&[salt, password].concat());
    // Every byte is looked at, wherever the first difference is.
    given.len() == digest.len() && given.iter().zip(digest).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// One login to compare.
struct Job {
    secrets: Vec<String>,
    password: Vec<u8>,
    then: Box<dyn FnOnce(bool) + Send>,
}

/// The threads that compare; they start with the first login.
#[derive(Default)]
pub struct Pool(Mutex<Option<SyncSender<Job>>>);

impl Pool {
    /// Compares a password with secrets of which one has to fit, and tells `then`, on another thread.
    /// `false`: too many wait already, and `then` is not called.
    pub fn verify(
        &self,
        secrets: Vec<String>,
        password: Vec<u8>,
        then: impl FnOnce(bool) + Send + 'static,
    ) -> bool {
        let mut jobs = self.0.lock();
        let jobs = jobs.get_or_insert_with(start);
        match jobs.try_send(Job { secrets, password, then: Box::new(then) }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn start() -> SyncSender<Job> {
    let (sender, jobs) = sync_channel(QUEUE_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    // The shards need the cores too.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
    for number in 0..threads {
        let jobs = jobs.clone();
        let spawned =
            std::thread::Builder::new().name(format!("passwords-{number}")).spawn(move || work(&jobs));
        if let Err(error) = spawned {
            tracing::error!(%error, "a thread that compares passwords cannot start");
        }
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().recv();
        let Ok(Job { secrets, password, then }) = job else { return };
        then(fits_one(&secrets, &password));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_secret_and_no_other_does() {
        let secret = hash(b"public").expect("short enough");
        assert!(secret.starts_with("$argon2id$"));
        assert!(verify(&secret, b"public"));
        assert!(!verify(&secret, b"Public"));
        assert!(!verify("", b""));
        assert!(!verify("emqx4:sha256:zz", b""));
        assert!(hash(&[b'x'; PASSWORD_BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn secrets_of_4_4_are_understood() {
        // What `emqx_auth_mnesia` keeps: four bytes of salt, then the digest of salt and password in hexadecimal digits.
        let kept = [b"salt".as_slice(), hex(&sha2::Sha256::digest(b"saltpublic")).as_bytes()].concat();
        let secret = brought(Brought::Sha256, &kept).expect("long enough");
        assert!(verify(&secret, b"public"));
        assert!(!verify(&secret, b"publik"));
        let plain = brought(Brought::Plain, b"saltpublic").expect("long enough");
        assert!(verify(&plain, b"public"));
        assert!(!verify(&plain, b"saltpublic"));
        assert_eq!(brought(Brought::Md5, b"salt"), None);
    }

    /// Who asks for a login must not learn from the time that the answer takes whether there is such a user.
    #[test]
    fn who_fails_costs_as_much_whoever_is_known() {
        let new = hash(b"public").expect("short enough");
        let old = brought(Brought::Sha256, b"salt0123").expect("long enough");
        let cost = |secret: &String| secret.rsplitn(3, '$').nth(2).unwrap_or_default().to_owned();
        let nobody: Vec<String> = padded(vec![], 2).iter().map(cost).collect();
        assert_eq!(nobody, [cost(&new), cost(&new)], "the stand-in has the parameters of a new secret");
        for known in
            [vec![new.clone()], vec![old.clone()], vec![new.clone(), old], vec![new.clone(), new.clone()]]
        {
            let argon2 = |secrets: Vec<String>| {
                let costly = secrets.iter().filter(|s| s.starts_with("$argon2id$"));
                costly.map(cost).collect::<Vec<_>>()
            };
            assert_eq!(argon2(padded(known.clone(), 2)), nobody, "{known:?}");
        }
        assert!(fits_one(&padded(vec![new], 2), b"public"));
        assert!(!fits_one(&padded(vec![], 2), b"public"));
        assert!(PasswordHash::new(STAND_IN).is_ok(), "it is understood, or it would cost nothing");
    }
}
