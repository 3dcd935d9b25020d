//! Names of nodes: `Name@Host`, how they are written, completed and printed, and the port that follows
//! from them.

use std::fmt;
use std::sync::Arc;

/// The port of a node whose name ends in no digits.
pub const PORT_BASE: u16 = 4370;
/// What the number at the end of a name is taken modulo.
const OFFSET_MODULUS: u64 = 60_000;
/// No name is longer: it travels in every handshake.
pub const NAME_BYTES_MAX: usize = 300;

/// A checked name of a node, `Name@Host`. The order is by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// Why a text is not the name of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// The part before the `@` does not match `^[0-9A-Za-z_-]+$`.
    Name,
    /// There is no `@`, more than one, or nothing behind it.
    Host,
    /// Longer than [`NAME_BYTES_MAX`].
    Length,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "Invalid node name, should be of format '^[0-9A-Za-z_-]+$'.",
            Self::Host => "Invalid node name, should be of format Name@Host.",
            Self::Length => "Invalid node name, too long.",
        })
    }
}

impl std::error::Error for NameError {}

impl NodeName {
    /// Checks a full name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::Length);
        }
        let (name, host) = text.split_once('@').unwrap_or((text, ""));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(NameError::Name);
        }
        let host_fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'@' | b'\'' | b'"' | b'\\');
        if host.is_empty() || !host.bytes().all(host_fits) {
            return Err(NameError::Host);
        }
        Ok(Self(text.into()))
    }

    /// Reads the argument of a command: a full name as it is, anything else with the local host.
    pub fn complete(argument: &str, local: &NodeName) -> Result<Self, NameError> {
        match argument.split('@').collect::<Vec<_>>()[..] {
            [name, host] if !name.is_empty() && !host.is_empty() => Self::parse(argument),
            _ => Self::parse(&format!("{}@{}", argument.split('@').next().unwrap_or_default(), local.host())),
        }
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    pub fn short(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(name, _)| name)
    }

    /// The part behind the `@`: where to dial.
    pub fn host(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, host)| host)
    }

    /// The port that this node listens on where no name service is asked.
    pub fn port(&self) -> u16 {
        port_of(&self.0)
    }

    /// The name as it is printed: in single quotes unless it is a bare word.
    pub fn quoted(&self) -> String {
        let bare = self.0.starts_with(|c: char| c.is_ascii_lowercase())
            && self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'@');
        if bare { self.0.to_string() } else { format!("'{}'", self.0) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The port that belongs to a name: 4370 and the number at the end of the part before the first `@`,
/// modulo 60000. Zero for control tools (`remsh…`), which are never dialled.
pub fn port_of(name: &str) -> u16 {
    let short = name.split('@').next().unwrap_or_default();
    if short.starts_with("remsh") {
        return 0;
    }
    // Taken modulo digit by digit, so that no length of digits overflows.
    let head = short.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = short
        .bytes()
        .skip(head)
        .fold(0u64, |number, digit| (number * 10 + u64::from(digit - b'0')) % OFFSET_MODULUS);
    PORT_BASE + u16::try_from(number).expect("a number below 60000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_from_names() {
        let rows = [
            ("emqx@127.0.0.1", 4370),
            ("emqx1@h", 4371),
            ("emqx-1@192.168.0.12", 4371),
            ("emqx2-10@h", 4380),
            ("emqx_3@h", 4373),
            ("emqx007@h", 4377),
            ("emqx0@h", 4370),
            ("emqx-0@h", 4370),
            ("3@h", 4373),
            ("emqx-1a@h", 4370),
            ("e2e@h", 4370),
            ("emqx1@10.0.0.9", 4371),
            ("12345@h", 16715),
            ("emqx60000@h", 4370),
            ("emqx60001@h", 4371),
            ("emqx99999@h", 44369),
            ("20260101@h", 44471),
            ("emqx1", 4371),
            ("remsh12@h", 0),
            ("a99999999999999999999999999999999999959999@h", 4370 + 59999),
        ];
        for (name, port) in rows {
            assert_eq!(port_of(name), port, "{name}");
        }
    }

    #[test]
    fn names_are_checked() {
        for name in ["emqx@s1.emqx.io", "emqx-1@10.0.0.1", "E_1@fd77::11", "3@h"] {
            assert!(NodeName::parse(name).is_ok(), "{name}");
        }
        for (name, error) in [
            ("@h", NameError::Name),
            ("em.qx@h", NameError::Name),
            ("", NameError::Name),
            ("emqx", NameError::Host),
            ("emqx@", NameError::Host),
            ("emqx@a@b", NameError::Host),
            ("emqx@a b", NameError::Host),
        ] {
            assert_eq!(NodeName::parse(name), Err(error), "{name}");
        }
        assert_eq!(NodeName::parse(&format!("a@{}", "h".repeat(400))), Err(NameError::Length));
    }

    #[test]
    fn short_arguments_get_the_local_host() {
        let local = NodeName::parse("emqx2@10.0.0.5").expect("a name");
        for (argument, full) in [
            ("emqx1", "emqx1@10.0.0.5"),
            ("emqx1@", "emqx1@10.0.0.5"),
            ("emqx@s1.emqx.io", "emqx@s1.emqx.io"),
        ] {
            assert_eq!(NodeName::complete(argument, &local).expect("completes").as_str(), full);
        }
        assert!(NodeName::complete("@x", &local).is_err());
    }

    #[test]
    fn names_are_quoted_unless_bare_words() {
        for (name, printed) in [
            ("emqx@s1.emqx.io", "'emqx@s1.emqx.io'"),
            ("emqx-1@h.x", "'emqx-1@h.x'"),
            ("Emqx@h", "'Emqx@h'"),
            ("emqx@localhost", "emqx@localhost"),
            ("emqx_1@h", "emqx_1@h"),
        ] {
            assert_eq!(NodeName::parse(name).expect("a name").quoted(), printed);
        }
    }
}
