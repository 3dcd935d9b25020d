//! When something was written, so that every node agrees which of two writes is the later one.

/// A reading of a hybrid logical clock: later writes have greater stamps, on whatever node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
    pub time: u64,
    /// The node that wrote; decides between equal times.
    pub node: u64,
}

impl Stamp {
    /// Sixteen bytes whose order is that of the stamps.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.time) << 64) | u128::from(self.node)).to_be_bytes()
    }

    /// The inverse; `None` for anything but sixteen bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Stamp> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(Stamp { time: (both >> 64) as u64, node: both as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_bytes_and_they_are_ordered() {
        let (a, b) = (Stamp { time: 1, node: u64::MAX }, Stamp { time: 2, node: 0 });
        assert_eq!(Stamp::from_bytes(&a.to_bytes()), Some(a));
        assert!(a.to_bytes() < b.to_bytes() && a < b);
        assert_eq!(Stamp::from_bytes(&[0; 15]), None);
    }
}
