//! Writing the protocol's data types. Strings and binary data longer than 65,535 bytes cannot be
//! expressed; who writes them has them from a packet, or bounded them before.

/// How many bytes a variable byte integer takes.
pub fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// The protocol's data types, appended to a byte vector.
pub trait Writer {
    /// One byte.
    fn put_u8(&mut self, value: u8);
    /// A two byte integer.
    fn put_u16(&mut self, value: u16);
    /// A four byte integer.
    fn put_u32(&mut self, value: u32);
    /// A variable byte integer, at most 268,435,455.
    fn put_varint(&mut self, value: usize);
    /// Binary data, or a string, with its length.
    fn put_binary(&mut self, bytes: &[u8]);
}

impl Writer for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_varint(&mut self, mut value: usize) {
        debug_assert!(value <= 268_435_455, "a packet is never that long");
        loop {
            let byte = (value & 0x7F) as u8;
            value >>= 7;
            if value == 0 {
                self.push(byte);
                return;
            }
            self.push(byte | 0x80);
        }
    }

    fn put_binary(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.put_u16(length);
        self.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
    }
}
