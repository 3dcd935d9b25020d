//! The datagram by which nodes find one another on a network: who is there, of which cluster, proven by the
//! cookie. Pure: bytes in, bytes out.
//!
//! ```text
//! magic "FMQD" 1 · kind · nonce (16) · length, cluster name · length, node name · HMAC-SHA256 (32)
//! ```
//!
//! The hash is keyed by the cookie, which never travels, and covers all that stands before it. A PONG repeats the nonce of
//! the PING, so that an old one that somebody has kept counts for nothing.

use cluster::NodeName;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const MAGIC: [u8; 5] = *b"FMQD\x01";
const HASH_BYTES: usize = 32;
/// No datagram is longer.
pub(super) const BYTES_MAX: usize = 1024;

/// By what a PONG is told from an old one.
pub(super) type Nonce = [u8; 16];

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ping,
    Pong,
}

/// Why a datagram does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing of ours.
    Garbage,
    /// A node of a cluster with another name.
    Cluster,
    /// A node with another cookie.
    Cookie,
}

/// Who this node is, and the secret that it shares with others.
pub(super) struct Seal {
    pub node: NodeName,
    pub cluster: String,
    /// The cookie, and behind it those that others may have.
    pub cookies: Vec<Vec<u8>>,
}

/// A datagram that has been proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Datagram {
    pub kind: Kind,
    pub nonce: Nonce,
    pub node: NodeName,
}

impl Seal {
    /// A datagram from this node.
    pub fn write(&self, kind: Kind, nonce: &Nonce) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(match kind {
            Kind::Ping => 1,
            Kind::Pong => 2,
        });
        out.extend_from_slice(nonce);
        for text in [&self.cluster, self.node.as_str()] {
            // Names are shorter than a datagram; what is not would not be accepted by anybody.
            out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        let cookie = self.cookies.first().map_or([].as_slice(), Vec::as_slice);
        let hash = hash(cookie, &out).finalize().into_bytes();
        out.extend_from_slice(&hash);
        out
    }

    /// What somebody has sent.
    pub fn read(&self, bytes: &[u8]) -> Result<Datagram, Refused> {
        let (kind, nonce, cluster, node, said, proof) = parse(bytes).ok_or(Refused::Garbage)?;
        if cluster != self.cluster.as_bytes() {
            return Err(Refused::Cluster);
        }
        if !self.cookies.iter().any(|cookie| hash(cookie, said).verify_slice(proof).is_ok()) {
            return Err(Refused::Cookie);
        }
        Ok(Datagram { kind, nonce, node })
    }
}

type Parts<'a> = (Kind, Nonce, &'a [u8], NodeName, &'a [u8], &'a [u8]);

fn parse(bytes: &[u8]) -> Option<Parts<'_>> {
    let (said, proof) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
    let rest = said.strip_prefix(&MAGIC)?;
    let (kind, rest) = rest.split_first()?;
    let kind = match kind {
        1 => Kind::Ping,
        2 => Kind::Pong,
        _ => return None,
    };
    let (nonce, rest) = rest.split_first_chunk::<16>()?;
    let (cluster, rest) = text(rest)?;
    let (node, rest) = text(rest)?;
    let node = NodeName::parse(std::str::from_utf8(node).ok()?).ok()?;
    rest.is_empty().then_some((kind, *nonce, cluster, node, said, proof))
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn hash(cookie: &[u8], said: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(cookie).expect("HMAC takes keys of any length");
    mac.update(b"flockmq discovery 1 ");
    mac.update(said);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(node: &str, cluster: &str, cookies: &[&str]) -> Seal {
        Seal {
            node: NodeName::parse(node).expect("a name"),
            cluster: cluster.into(),
            cookies: cookies.iter().map(|cookie| cookie.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn nodes_of_one_cluster_name_and_cookie_hear_one_another() {
        let (a, b) = (seal("a@h", "c", &["secret"]), seal("b@h", "c", &["new", "secret"]));
        let ping = a.write(Kind::Ping, &[7; 16]);
        let heard = b.read(&ping).expect("one of ours");
        assert_eq!((heard.kind, heard.nonce, heard.node.as_str()), (Kind::Ping, [7; 16], "a@h"));
        assert!(ping.len() < BYTES_MAX && !ping.windows(6).any(|part| part == b"secret"));
        assert_eq!(a.read(&b.write(Kind::Pong, &[7; 16])), Err(Refused::Cookie));
        assert_eq!(seal("b@h", "other", &["secret"]).read(&ping), Err(Refused::Cluster));
    }

    #[test]
    fn garbage_and_anything_cut_off_or_changed_counts_for_nothing() {
        let own = seal("a@h", "c", &["secret"]);
        let ping = own.write(Kind::Ping, &[1; 16]);
        for cut in 0..ping.len() {
            assert!(own.read(&ping[..cut]).is_err(), "{cut}");
        }
        for place in 0..ping.len() {
            let mut changed = ping.clone();
            changed[place] ^= 0x40;
            assert!(own.read(&changed).is_err(), "{place}");
        }
        // A datagram of EMQ X itself.
        assert_eq!(own.read(b"\x83h\x04d\0\x04pingd\0\x0eemqx@127.0.0.1"), Err(Refused::Garbage));
        assert_eq!(own.read(&[0xFF; 2000]), Err(Refused::Garbage));
    }
}
