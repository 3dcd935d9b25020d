//! The PROXY protocol of load balancers, versions 1 and 2: what stands before the first byte of the client, also before
//! TLS, and says where the client is (haproxy.org, `proxy-protocol.txt`).
//!
//! Not a byte behind the header is taken from the socket, so that whatever comes next reads it there.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::socket::Socket;
use crate::stream::retry;

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its line end.
const LINE_BYTES_MAX: usize = 107;
/// The head of version 2: signature, version and command, family, length.
const HEAD_BYTES: usize = 16;
/// The longest header of version 2 that is taken: addresses, and what load balancers add to them.
pub const HEADER_BYTES_MAX: usize = 4096;
/// What both versions have at least: as much may be read before the version is known.
const FIRST_BYTES: usize = 12;

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Where the client is; `None`: whoever connects speaks for itself, or the family is none of the internet.
    pub peer: Option<SocketAddr>,
    /// The common name of the client's certificate, which the load balancer has verified.
    pub common_name: Option<String>,
}

/// A header that has not come whole. Holds no more than [`HEADER_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Header(Vec<u8>);

impl Header {
    /// Takes what has come of the header. `WouldBlock`: more has to come; `InvalidData`: it is none;
    /// `UnexpectedEof`: the connection has ended.
    pub fn read(&mut self, socket: &mut Socket) -> io::Result<Announced> {
        loop {
            let wanted = match self.wanted()? {
                Wanted::Bytes(0) => return parse(&self.0).ok_or_else(|| bad("it cannot be understood")),
                Wanted::Bytes(count) => count,
                Wanted::Line => line_bytes(socket, LINE_BYTES_MAX - self.0.len())?,
            };
            let had = self.0.len();
            self.0.resize(had + wanted, 0);
            let read = retry(|| socket.read(&mut self.0[had..]));
            self.0.truncate(had + read.as_ref().map_or(0, |count| *count));
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// How many bytes are surely the header's.
    fn wanted(&self) -> io::Result<Wanted> {
        let have = &self.0;
        let common = have.len().min(FIRST_BYTES);
        if have.is_empty() {
            return Ok(Wanted::Bytes(FIRST_BYTES));
        }
        if have[..common] == SIGNATURE[..common] {
            return match have.get(..HEAD_BYTES) {
                None => Ok(Wanted::Bytes(
                    if common < FIRST_BYTES { FIRST_BYTES } else { HEAD_BYTES } - have.len(),
                )),
                Some(head) => {
                    let whole = HEAD_BYTES + usize::from(u16::from_be_bytes([head[14], head[15]]));
                    if whole > HEADER_BYTES_MAX {
                        return Err(bad("it is longer than 4096 bytes"));
                    }
                    Ok(Wanted::Bytes(whole - have.len()))
                }
            };
        }
        let word = b"PROXY ";
        let common = have.len().min(word.len());
        if have[..common] != word[..common] {
            return Err(bad("it is neither of version 1 nor of version 2"));
        }
        if have.len() < FIRST_BYTES {
            return Ok(Wanted::Bytes(FIRST_BYTES - have.len()));
        }
        match (have.ends_with(b"\n"), have.len() < LINE_BYTES_MAX) {
            (true, _) => Ok(Wanted::Bytes(0)),
            (false, true) => Ok(Wanted::Line),
            (false, false) => Err(bad("its line does not end")),
        }
    }
}

enum Wanted {
    Bytes(usize),
    /// Up to the end of the line, wherever that is.
    Line,
}

/// How many of the bytes that wait belong to the line: all, if its end is not among them.
fn line_bytes(socket: &Socket, most: usize) -> io::Result<usize> {
    let mut waiting = [0; LINE_BYTES_MAX];
    let (_, count) = rustix::io::retry_on_intr(|| {
        rustix::net::recv(socket, &mut waiting[..most], rustix::net::RecvFlags::PEEK)
    })?;
    let waiting = &waiting[..count.min(most)];
    match waiting.iter().position(|byte| *byte == b'\n') {
        _ if waiting.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Some(end) => Ok(end + 1),
        None => Ok(waiting.len()),
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the PROXY header: {why}"))
}

/// A whole header; `None`: it is malformed.
fn parse(header: &[u8]) -> Option<Announced> {
    if header.starts_with(SIGNATURE) { parse_v2(header) } else { parse_v1(header) }
}

fn parse_v1(header: &[u8]) -> Option<Announced> {
    let line = std::str::from_utf8(header.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(Announced::default());
    }
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse().ok().map(IpAddr::V4),
            "TCP6" => word.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let port = |word: &str| -> Option<u16> {
        word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
    };
    let (source, _) = (address(words.next()?)?, address(words.next()?)?);
    let (source_port, _) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Announced { peer: Some(SocketAddr::new(source, source_port)), common_name: None })
}

fn parse_v2(header: &[u8]) -> Option<Announced> {
    let (head, body) = header.split_at_checked(HEAD_BYTES)?;
    match head[12] {
        // LOCAL: the load balancer asks for itself, as health checks do.
        0x20 => return Some(Announced::default()),
        0x21 => {}
        _ => return None,
    }
    let address_bytes = match head[13] {
        0x00 => return Some(Announced::default()),
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return None,
    };
    let (addresses, extras) = body.split_at_checked(address_bytes)?;
    let port = |at: usize| Some(u16::from_be_bytes([*addresses.get(at)?, *addresses.get(at + 1)?]));
    let peer = match address_bytes {
        12 => {
            let ip: [u8; 4] = addresses.get(..4)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port(8)?))
        }
        36 => {
            let ip: [u8; 16] = addresses.get(..16)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port(32)?))
        }
        _ => None,
    };
    Some(Announced { peer, common_name: common_name(extras)? })
}

/// The common name among the type-length-value triples, if it was verified. The outer `None`: they are malformed.
fn common_name(extras: &[u8]) -> Option<Option<String>> {
    const SSL: u8 = 0x20;
    const COMMON_NAME: u8 = 0x22;
    let mut found = None;
    for extra in triples(extras) {
        let (kind, value) = extra?;
        if kind != SSL {
            continue;
        }
        // Flags: TLS, a certificate on this connection or in this session; then 0 when it was verified.
        let (flags, rest) = value.split_first()?;
        let (verified, rest) = rest.split_at_checked(4)?;
        for inner in triples(rest) {
            let (kind, value) = inner?;
            if kind == COMMON_NAME && flags & 0x06 != 0 && verified == [0; 4] {
                found = Some(std::str::from_utf8(value).ok()?.to_owned());
            }
        }
    }
    Some(found)
}

/// Type and value of each; `None` once for a rest that is none.
fn triples(mut rest: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    std::iter::from_fn(move || {
        let bytes = std::mem::take(&mut rest);
        let (kind, after) = bytes.split_first()?;
        let triple = after.split_first_chunk::<2>().and_then(|(length, after)| {
            let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = after;
            Some((*kind, value))
        });
        Some(triple)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn peer(text: &str) -> Announced {
        Announced { peer: Some(text.parse().expect("an address")), common_name: None }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend((body.len() as u16).to_be_bytes());
        header.extend(body);
        header
    }

    const V4: [u8; 12] = [10, 1, 2, 3, 10, 0, 0, 1, 0x1f, 0x90, 0x07, 0x5b];

    #[test]
    fn headers_of_both_versions_say_where_the_client_is() {
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[32], v6[33]) = (0xfd, 0x77, 0x05, 0x12, 0x34);
        let ssl = [&[0x20, 0, 12, 0x07, 0, 0, 0, 0, 0x22, 0, 4][..], b"Ann1"].concat();
        let unverified = [&[0x20, 0, 12, 0x07, 0, 0, 0, 1, 0x22, 0, 4][..], b"Ann1"].concat();
        let named = Announced { common_name: Some("Ann1".into()), ..peer("10.1.2.3:8080") };
        let cases = [
            (b"PROXY TCP4 10.1.2.3 10.0.0.1 8080 1883\r\n".to_vec(), peer("10.1.2.3:8080")),
            (b"PROXY TCP6 fd77::5 fd77::1 4660 1883\r\n".to_vec(), peer("[fd77::5]:4660")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Announced::default()),
            (b"PROXY UNKNOWN ffff::1 whatever\r\n".to_vec(), Announced::default()),
            (v2(0x21, 0x11, &V4), peer("10.1.2.3:8080")),
            (v2(0x21, 0x12, &V4), peer("10.1.2.3:8080")),
            (v2(0x21, 0x21, &v6), peer("[fd77::5]:4660")),
            (v2(0x20, 0x00, &[]), Announced::default()),
            (v2(0x20, 0x11, &V4), Announced::default()),
            (v2(0x21, 0x00, &[1, 2, 3]), Announced::default()),
            (v2(0x21, 0x31, &[0; 216]), Announced::default()),
            (v2(0x21, 0x11, &[&V4[..], &[0x01, 0, 2, b'h', b'2'][..]].concat()), peer("10.1.2.3:8080")),
            (v2(0x21, 0x11, &[&V4[..], &ssl].concat()), named),
            (v2(0x21, 0x11, &[&V4[..], &unverified].concat()), peer("10.1.2.3:8080")),
        ];
        for (header, says) in cases {
            assert_eq!(parse(&header), Some(says), "{header:?}");
        }
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        let cases = [
            b"PROXY TCP4 10.1.2.3 10.0.0.1 8080\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 8080 1883 1\r\n".to_vec(),
            b"PROXY TCP4 fd77::5 fd77::1 8080 1883\r\n".to_vec(),
            b"PROXY TCP6 10.1.2.3 10.0.0.1 8080 1883\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 +80 1883\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 99999 1883\r\n".to_vec(),
            b"PROXY TCP4  10.1.2.3 10.0.0.1 80 1883\r\n".to_vec(),
            b"PROXY UDP4 10.1.2.3 10.0.0.1 80 1883\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 8080 1883\n".to_vec(),
            v2(0x22, 0x11, &V4),
            v2(0x11, 0x11, &V4),
            v2(0x21, 0x41, &V4),
            v2(0x21, 0x11, &V4[..11]),
            v2(0x21, 0x21, &V4),
            v2(0x21, 0x11, &[&V4[..], &[0x01, 0, 2, 1][..]].concat()),
            v2(0x21, 0x11, &[&V4[..], &[0x20, 0, 1, 1][..]].concat()),
        ];
        for header in cases {
            assert_eq!(parse(&header), None, "{header:?}");
        }
    }

    /// What comes of these bytes, sent in pieces, and what is left in the socket for whoever comes next.
    fn through_a_socket(pieces: &[&[u8]]) -> (io::Result<Announced>, Vec<u8>) {
        let (mut near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        far.set_nonblocking(true).expect("options");
        let mut socket = Socket::from(mio::net::UnixStream::from_std(far));
        let mut header = Header::default();
        let mut outcome: io::Result<Announced> = Err(io::ErrorKind::WouldBlock.into());
        for piece in pieces {
            near.write_all(piece).expect("room");
            let waits = matches!(&outcome, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
            if waits {
                outcome = header.read(&mut socket);
            }
        }
        drop(near);
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).expect("the rest");
        (outcome, rest)
    }

    #[test]
    fn a_header_in_any_pieces_is_read_to_its_end_and_no_further() {
        for header in [b"PROXY TCP4 10.1.2.3 10.0.0.1 8080 1883\r\n".to_vec(), v2(0x21, 0x11, &V4)] {
            let all = [&header[..], b"\r\nMQTT"].concat();
            for cut in 0..=header.len() {
                let (outcome, rest) = through_a_socket(&[&all[..cut], &all[cut..]]);
                assert_eq!(outcome.expect("a header"), peer("10.1.2.3:8080"), "{cut}");
                assert_eq!(rest, b"\r\nMQTT", "{cut}");
            }
            let single: Vec<&[u8]> = all.chunks(1).collect();
            assert_eq!(through_a_socket(&single).0.expect("a header"), peer("10.1.2.3:8080"));
        }
    }

    #[test]
    fn a_header_that_is_too_long_or_none_is_refused_before_it_is_kept() {
        let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
        let huge = v2(0x21, 0x11, &[0; 5000]);
        for bytes in
            [&endless[..], &huge, b"\x10\x0c\0\x04MQTT", b"PROXX TCP4 1.1.1.1", b"\r\n\r\n\0\r\nQUIX\n"]
        {
            let error = through_a_socket(&[bytes]).0.expect_err("no header");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }
}
