//! A subscription as the index of a shard holds it: eight bytes, so that a million of them fit.

use crate::routes::Member;

/// One entry of a shard's own index: a session with the options of its subscription, or a shared group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The session's number; with the upper bit set the group's.
    who: u32,
    /// The options, see [`Options::pack`].
    options: u32,
}

/// The bit that tells groups from sessions.
const GROUP: u32 = 1 << 31;

impl Member for Target {
    fn key(&self) -> u64 {
        u64::from(self.who)
    }
}

impl Target {
    pub(crate) fn new(session: u32, options: u32) -> Target {
        debug_assert!(session < GROUP, "two thousand million sessions do not fit a shard");
        Target { who: session, options }
    }

    pub(crate) fn of_group(group: u32) -> Target {
        Target { who: group | GROUP, options: 0 }
    }

    pub(crate) fn key_of_session(session: u32) -> u64 {
        u64::from(session)
    }

    pub(crate) fn key_of_group(group: u32) -> u64 {
        u64::from(group | GROUP)
    }

    /// The group's number, if it is one.
    pub(crate) fn group(self) -> Option<u32> {
        (self.who & GROUP != 0).then_some(self.who & !GROUP)
    }

    /// The session's number; of a session only.
    pub(crate) fn session(self) -> u32 {
        self.who
    }

    pub(crate) fn is_session(self, session: u32) -> bool {
        self.who == session
    }

    pub(crate) fn options(self) -> Options {
        Options::unpack(self.options)
    }
}

/// What a subscription asks for, as far as it matters to a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The greatest QoS: 0, 1 or 2.
    pub qos: u8,
    /// The client does not get what it has published itself.
    pub no_local: bool,
    /// The retain flag stays as it was published.
    pub retain_as_published: bool,
    /// The subscription identifier, 1 to 268,435,455; 0: none.
    pub identifier: u32,
}

impl Options {
    /// QoS in bits 0 and 1, no local in 2, retain as published in 3, the identifier in the other 28.
    pub(crate) fn pack(self) -> u32 {
        u32::from(self.qos & 3)
            | u32::from(self.no_local) << 2
            | u32::from(self.retain_as_published) << 3
            | self.identifier << 4
    }

    pub(crate) fn unpack(bits: u32) -> Options {
        Options {
            qos: (bits & 3).min(2) as u8,
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
            identifier: bits >> 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_their_packing() {
        for options in [
            Options { qos: 2, no_local: true, retain_as_published: false, identifier: 268_435_455 },
            Options { qos: 1, no_local: false, retain_as_published: true, identifier: 0 },
        ] {
            assert_eq!(Options::unpack(options.pack()), options);
        }
        assert_eq!(size_of::<Target>(), 8);
    }
}
