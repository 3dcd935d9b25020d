//! What one place sends to another for one PUBLISH: which members of shared groups were picked there,
//! and the message in its canonical encoding. Plain subscribers are not named; the place looks them up.
//!
//! Layout: version (1), flags (1), publication (8), number of picks (2); each pick: kind (1), value (8),
//! length of the group's name (2), name, length of its filter (2), filter; the rest is the message.
//! Numbers are big endian.

use crate::groups::Pick;

const VERSION: u8 = 1;
/// Only the picks get the message, plain subscribers have had it.
const PICKS_ONLY: u8 = 1;

const INDEX: u8 = 0;
const STICKY: u8 = 1;

/// Names one publication in the cluster, so that a session on its way between two nodes gets it once
/// though both have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Publication(pub(crate) u64);

/// Who gets a frame's message at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every plain subscriber, and the picks.
    Everyone,
    /// The picks alone.
    Picks,
}

/// Begins a frame in `into`, which is emptied. Picks follow, then the message's encoding.
pub(crate) fn begin(into: &mut Vec<u8>, publication: Publication, reach: Reach) {
    let mut head = [0; 12];
    head[0] = VERSION;
    head[1] = if reach == Reach::Picks { PICKS_ONLY } else { 0 };
    head[2..10].copy_from_slice(&publication.0.to_be_bytes());
    into.clear();
    into.extend_from_slice(&head);
}

/// Adds a pick. Names longer than the field are left out: no filter is that long.
pub(crate) fn pick(into: &mut Vec<u8>, name: &str, filter: &str, pick: Pick) {
    let (Ok(name_len), Ok(filter_len)) = (u16::try_from(name.len()), u16::try_from(filter.len())) else {
        return;
    };
    let count = u16::from_be_bytes([into[10], into[11]]).saturating_add(1).to_be_bytes();
    into[10..12].copy_from_slice(&count);
    let (kind, value) = match pick {
        Pick::Index(index) => (INDEX, u64::from(index)),
        Pick::Sticky(token) => (STICKY, token),
    };
    into.push(kind);
    into.extend_from_slice(&value.to_be_bytes());
    into.extend_from_slice(&name_len.to_be_bytes());
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(&filter_len.to_be_bytes());
    into.extend_from_slice(filter.as_bytes());
}

/// A frame as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) publication: Publication,
    pub(crate) reach: Reach,
    picks: &'a [u8],
    pub(crate) message: &'a [u8],
}

/// Reads a frame; `None` if it is not one. All picks are whole then.
pub(crate) fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let reach = if reader.byte()? & PICKS_ONLY == 0 { Reach::Everyone } else { Reach::Picks };
    let publication = Publication(reader.u64()?);
    let count = reader.u16()?;
    let start = reader.0;
    for _ in 0..count {
        read_pick(&mut reader)?;
    }
    let picks = &start[..start.len() - reader.0.len()];
    Some(Frame { publication, reach, picks, message: reader.0 })
}

impl<'a> Frame<'a> {
    /// The picks: group, filter, which member.
    pub(crate) fn picks(&self) -> impl Iterator<Item = (&'a str, &'a str, Pick)> + use<'a> {
        let mut reader = Reader(self.picks);
        std::iter::from_fn(move || read_pick(&mut reader))
    }
}

fn read_pick<'a>(reader: &mut Reader<'a>) -> Option<(&'a str, &'a str, Pick)> {
    let kind = reader.byte()?;
    let value = reader.u64()?;
    let pick = match kind {
        INDEX => Pick::Index(u32::try_from(value).ok()?),
        STICKY => Pick::Sticky(value),
        _ => return None,
    };
    Some((reader.text()?, reader.text()?, pick))
}

/// Reads numbers and texts; `None` where they do not fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let len = self.u16()?;
        std::str::from_utf8(self.take(len.into())?).ok()
    }
}

/// Appends bytes behind their length in four bytes.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    into.extend_from_slice(bytes);
}

/// Appends a text of at most 65,535 bytes behind its length in two.
pub(crate) fn put_text(into: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(0);
    into.extend_from_slice(&len.to_be_bytes());
    into.extend_from_slice(&text.as_bytes()[..len.into()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_any_cut_in_its_head_is_noticed() {
        let mut bytes = Vec::new();
        begin(&mut bytes, Publication(7), Reach::Picks);
        pick(&mut bytes, "g", "a/+", Pick::Index(3));
        pick(&mut bytes, "$queue", "a/b", Pick::Sticky(u64::MAX));
        let head = bytes.len();
        bytes.extend_from_slice(b"message");
        let frame = parse(&bytes).unwrap();
        assert_eq!((frame.publication, frame.reach), (Publication(7), Reach::Picks));
        assert_eq!(frame.message, b"message");
        let picks: Vec<_> = frame.picks().collect();
        assert_eq!(picks, [("g", "a/+", Pick::Index(3)), ("$queue", "a/b", Pick::Sticky(u64::MAX))]);
        for cut in 0..head {
            assert!(parse(&bytes[..cut]).is_none(), "{cut}");
        }
        assert!(parse(&[2, 0, 0]).is_none());
    }
}
