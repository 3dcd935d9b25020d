//! The file of certificates for TLS between nodes (`node.ssl_dist_optfile`), in the Erlang terms that users of EMQ X have:
//! `[{server, [{certfile, "etc/certs/cert.pem"}, …]}, {client, […]}].`

use std::fs;
use std::path::{Path, PathBuf};

use crate::term::{self, Term};

/// What each side of a connection between nodes uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistTls {
    /// For connections that peers open.
    pub server: DistSide,
    /// For connections that this node opens.
    pub client: DistSide,
}

/// The options of one side. Options that are not here, such as `secure_renegotiate`, have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistSide {
    /// The certificate and its chain.
    pub certfile: Option<PathBuf>,
    /// The private key.
    pub keyfile: Option<PathBuf>,
    /// The authorities that may sign the peer's certificate.
    pub cacertfile: Option<PathBuf>,
    /// Whether the peer's certificate is verified.
    pub verify_peer: bool,
    /// Whether a peer without a certificate is refused; a matter of the server.
    pub fail_if_no_peer_cert: bool,
    /// How many intermediate certificates a chain may have.
    pub depth: Option<u8>,
}

/// Reads the file; relative paths in it start at `root`.
///
/// # Errors
/// A sentence with the file and what is wrong with it.
pub fn read(path: &Path, root: &Path) -> Result<DistTls, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    parse(&text, root).map_err(|why| format!("{shown}: {why}"))
}

fn parse(text: &str, root: &Path) -> Result<DistTls, String> {
    let terms = term::parse(text).map_err(|error| error.to_string())?;
    let [Term::List(sides)] = terms.as_slice() else {
        return Err("it must be one list, [{server, […]}, {client, […]}].".to_owned());
    };
    let mut found = DistTls::default();
    for entry in sides {
        let (name, value) = pair(entry)?;
        let Term::List(options) = value else {
            return Err(format!("{name} must have a list of options"));
        };
        match name {
            "server" => found.server = side(name, options, root)?,
            "client" => found.client = side(name, options, root)?,
            other => return Err(format!("{other} is neither server nor client")),
        }
    }
    if found.server.certfile.is_none() {
        return Err("the server needs a certfile".to_owned());
    }
    for (name, side) in [("server", &found.server), ("client", &found.client)] {
        if side.verify_peer && side.cacertfile.is_none() {
            return Err(format!("{name} verifies its peer and so needs a cacertfile"));
        }
    }
    Ok(found)
}

fn side(name: &str, options: &[Term], root: &Path) -> Result<DistSide, String> {
    let mut side = DistSide::default();
    for option in options {
        let (key, value) = pair(option)?;
        let wrong = || format!("{name}: {key} cannot be {value}");
        match key {
            "certfile" => side.certfile = Some(root.join(text(value).ok_or_else(wrong)?)),
            "keyfile" => side.keyfile = Some(root.join(text(value).ok_or_else(wrong)?)),
            "cacertfile" => side.cacertfile = Some(root.join(text(value).ok_or_else(wrong)?)),
            "verify" => side.verify_peer = choice(value, "verify_peer", "verify_none").ok_or_else(wrong)?,
            "fail_if_no_peer_cert" => {
                side.fail_if_no_peer_cert = choice(value, "true", "false").ok_or_else(wrong)?;
            }
            "depth" => match value {
                Term::Integer(depth) => side.depth = Some(u8::try_from(*depth).map_err(|_| wrong())?),
                _ => return Err(wrong()),
            },
            _ => {}
        }
    }
    // One file may hold both, as with Erlang.
    if side.keyfile.is_none() {
        side.keyfile = side.certfile.clone();
    }
    Ok(side)
}

fn pair(term: &Term) -> Result<(&str, &Term), String> {
    match term {
        Term::Tuple(parts) => match parts.as_slice() {
            [Term::Atom(name), value] => Ok((name, value)),
            _ => Err(format!("{term} is not {{name, value}}")),
        },
        _ => Err(format!("{term} is not {{name, value}}")),
    }
}

fn text(term: &Term) -> Option<&str> {
    match term {
        Term::Text(text) => Some(text),
        Term::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn choice(term: &Term, yes: &str, no: &str) -> Option<bool> {
    match term {
        Term::Atom(word) if word == yes => Some(true),
        Term::Atom(word) if word == no => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_read() {
        let text = "%% c\n[{server, [{certfile, \"etc/a.pem\"}, {keyfile, \"/k.pem\"}, {cacertfile, \"ca\"}, {verify, verify_peer},\n\
                    {fail_if_no_peer_cert, true}, {secure_renegotiate, true}, {depth, 0}]}, {client, [{certfile, \"c\"}]}].";
        let found = parse(text, Path::new("/root")).unwrap();
        assert_eq!(found.server.certfile, Some("/root/etc/a.pem".into()));
        assert_eq!(found.server.keyfile, Some("/k.pem".into()));
        assert!(found.server.verify_peer && found.server.fail_if_no_peer_cert);
        assert_eq!(found.server.depth, Some(0));
        assert_eq!(found.client.keyfile, Some("/root/c".into()));
        assert!(!found.client.verify_peer);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "[]. []",
            "{server, []}.",
            "[{server, []}].",
            "[{servant, []}].",
            "[{server, [{certfile, 1}]}].",
            "[{server, [{certfile, \"a\"}, {verify, maybe}]}].",
            "[{server, [{certfile, \"a\"}, {verify, verify_peer}]}].",
            "[{server, [{certfile, \"a\"}, {depth, 1000}]}].",
            "[server].",
        ] {
            assert!(parse(text, Path::new("/")).is_err(), "{text}");
        }
    }
}
