//! Where a packet begins and ends: the fixed header (§2.1).

use crate::Reason;

/// A packet that has come whole, not yet looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Packet type, 1 to 15.
    pub kind: u8,
    /// The four flag bits.
    pub flags: u8,
    /// What follows the fixed header.
    pub body: &'a [u8],
    /// Bytes of the whole packet.
    pub length: usize,
}

/// Bytes of the largest packet that the protocol can express (§2.1.4).
pub const PACKET_BYTES_MAX: u32 = 268_435_460;

/// Why no packet can begin here. The connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError(pub Reason);

/// The first packet of `bytes`; `None` while it has not come whole. A packet of more than `bytes_max`
/// is refused as soon as its length is known, before it is buffered.
pub fn frame(bytes: &[u8], bytes_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0F);
    if !flags_fit(kind, flags) {
        return Err(FrameError(Reason::MalformedPacket));
    }
    let mut length = 0usize;
    let mut header = 1;
    loop {
        let Some(&byte) = bytes.get(header) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            // The shortest form is required [MQTT-1.5.5-1].
            if byte == 0 && header > 2 {
                return Err(FrameError(Reason::MalformedPacket));
            }
            break;
        }
        if header == 5 {
            return Err(FrameError(Reason::MalformedPacket));
        }
    }
    let total = header + length;
    if total > bytes_max {
        return Err(FrameError(Reason::PacketTooLarge));
    }
    Ok(bytes.get(header..total).map(|body| Frame { kind, flags, body, length: total }))
}

/// Flags that are reserved must have the value that is written down [MQTT-2.1.3-1]; a PUBLISH may not
/// have both QoS bits [MQTT-3.3.1-4].
fn flags_fit(kind: u8, flags: u8) -> bool {
    match kind {
        0 => false,
        3 => flags & 0b0110 != 0b0110,
        // DUP is left to `Packet::decode`: 3.1 has it there.
        6 | 8 | 10 => flags & 0b0111 == 0b0010,
        _ => flags == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_in_its_shortest_form_only() {
        assert_eq!(frame(&[0xC0], 100), Ok(None));
        assert_eq!(frame(&[0xC0, 0], 100).map(|f| f.map(|f| (f.kind, f.length))), Ok(Some((12, 2))));
        assert_eq!(frame(&[0xC0, 0x80, 0], 100), Err(FrameError(Reason::MalformedPacket)));
        assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], 100), Err(FrameError(Reason::MalformedPacket)));
        assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 100), Err(FrameError(Reason::PacketTooLarge)));
        assert_eq!(frame(&[0x30, 5, 1, 2], 100), Ok(None));
    }

    #[test]
    fn reserved_flags_have_one_value_each() {
        for kind in 0..16u8 {
            let fitting = (0..16u8).filter(|f| flags_fit(kind, *f)).count();
            assert_eq!(
                fitting,
                match kind {
                    0 => 0,
                    3 => 12,
                    6 | 8 | 10 => 2,
                    _ => 1,
                },
                "type {kind}"
            );
        }
    }
}
