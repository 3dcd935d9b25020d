//! How control messages are written: fields with a number and a length. A reader skips numbers that it
//! does not know, so a node of the next version may add fields.

/// Appends a field: number, length (four bytes, big endian), content.
pub(crate) fn put(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number);
    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(content);
}

/// Appends a number as a field.
pub(crate) fn put_u64(out: &mut Vec<u8>, number: u8, value: u64) {
    put(out, number, &value.to_be_bytes());
}

/// Appends a field whose content is written by `write`.
pub(crate) fn put_with(out: &mut Vec<u8>, number: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(number);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends bytes behind their length (variable, seven bits a byte).
pub(crate) fn put_bytes(out: &mut Vec<u8>, content: &[u8]) {
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Appends a number, seven bits a byte, low bits first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7F) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what the functions above wrote. Whatever does not fit yields `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field; `None` at the end, and at the first one that is cut off.
    pub fn field(&mut self) -> Option<(u8, &'a [u8])> {
        let number = self.byte()?;
        let length = usize::try_from(self.u32()?).ok()?;
        Some((number, self.take(length)?))
    }
}

/// A field's content as a number.
pub(crate) fn as_u64(content: &[u8]) -> Option<u64> {
    content.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_off_is_not() {
        let mut out = Vec::new();
        put(&mut out, 1, b"abc");
        put_u64(&mut out, 2, 7);
        put_with(&mut out, 3, |out| put_bytes(out, &[5; 300]));
        let mut reader = Reader(&out);
        assert_eq!(reader.field(), Some((1, b"abc".as_slice())));
        assert_eq!(reader.field().and_then(|(_, c)| as_u64(c)), Some(7));
        let (number, content) = reader.field().expect("a field");
        assert_eq!((number, Reader(content).bytes()), (3, Some([5u8; 300].as_slice())));
        assert!(reader.is_empty());
        for cut in 1..out.len() {
            let mut reader = Reader(&out[..cut]);
            while reader.field().is_some() {}
        }
        assert_eq!(Reader(&[0xFF; 12]).varint(), None);
    }
}
