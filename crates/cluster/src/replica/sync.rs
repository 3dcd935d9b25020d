//! What is left to say to one peer about the replicated maps, in pieces that fit its lane.

use super::{Bitmap, Stamp, bucket_of, has};
use crate::effects::{MapId, Records};
use crate::node::frame;
use crate::wire::{Reader, put_bytes};

/// A piece holds about so many bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// So many records are looked at for one piece.
const VISITS_MAX: usize = 20_000;

/// One thing to say, bit by bit.
#[derive(Debug)]
pub(crate) enum Work {
    /// All records of the map, then that they were all.
    Full { map: MapId, after: Option<Vec<u8>> },
    /// Keys and stamps of the buckets that differ.
    Summary { map: MapId, buckets: Bitmap, after: Option<Vec<u8>> },
    /// Records of a range that the other side lacks or holds older, judged by its summary.
    Newer {
        map: MapId,
        buckets: Bitmap,
        after: Option<Vec<u8>>,
        upto: Option<Vec<u8>>,
        theirs: Vec<(Vec<u8>, Stamp)>,
    },
    /// Records that the other side asked for; the last is the next.
    Wanted { map: MapId, keys: Vec<Vec<u8>> },
}

impl Work {
    pub fn map(&self) -> MapId {
        match self {
            Self::Full { map, .. }
            | Self::Summary { map, .. }
            | Self::Newer { map, .. }
            | Self::Wanted { map, .. } => *map,
        }
    }

    /// Writes the next piece, a frame of the kind that is returned (`None`: nothing to say this time),
    /// and whether this was the last.
    pub fn piece(&mut self, records: &dyn Records, out: &mut Vec<u8>) -> (Option<u8>, bool) {
        out.clear();
        out.push(self.map().0);
        let empty = out.len();
        match self {
            Self::Full { after, .. } => {
                let (last, done) = walk(records, after.as_deref(), |key, stamp, value| {
                    put_entry(out, key, stamp, value);
                    out.len() < PIECE_BYTES
                });
                *after = last;
                // The end is said even when there is nothing: somebody waits for it.
                (Some(if done { frame::MAP_LAST } else { frame::MAP_WRITE }), done)
            }
            Self::Newer { buckets, after, upto, theirs, .. } => {
                let mut beyond = false;
                let (last, done) = walk(records, after.as_deref(), |key, stamp, value| {
                    beyond = upto.as_deref().is_some_and(|upto| key > upto);
                    if beyond {
                        return false;
                    }
                    let held =
                        theirs.binary_search_by(|(k, _)| k.as_slice().cmp(key)).ok().map(|i| theirs[i].1);
                    if has(buckets, bucket_of(key)) && held.is_none_or(|held| held < stamp) {
                        put_entry(out, key, stamp, value);
                    }
                    out.len() < PIECE_BYTES
                });
                *after = last;
                ((out.len() > empty).then_some(frame::MAP_WRITE), done || beyond)
            }
            Self::Wanted { keys, .. } => {
                while let Some(key) = keys.pop() {
                    records.read(&key, &mut |stamp, value| put_entry(out, &key, stamp, value));
                    if out.len() >= PIECE_BYTES {
                        break;
                    }
                }
                ((out.len() > empty).then_some(frame::MAP_WRITE), keys.is_empty())
            }
            Self::Summary { buckets, after, .. } => {
                let mut list = Vec::new();
                let (last, done) = walk(records, after.as_deref(), |key, stamp, _| {
                    if has(buckets, bucket_of(key)) {
                        put_bytes(&mut list, key);
                        list.extend_from_slice(&stamp.encode());
                    }
                    list.len() < PIECE_BYTES
                });
                out.extend_from_slice(buckets);
                put_option(out, after.as_deref());
                put_option(out, last.as_deref().filter(|_| !done));
                out.extend_from_slice(&list);
                *after = last;
                (Some(frame::MAP_SUMMARY), done)
            }
        }
    }

    /// What to do about a summary of the other side: the keys that we lack or hold older, and what we
    /// have to say. `None` when it is malformed.
    pub fn judge(map: MapId, records: &dyn Records, body: &[u8]) -> Option<(Vec<Vec<u8>>, Work)> {
        let mut reader = Reader(body);
        let buckets: Bitmap = reader.take(size_of::<Bitmap>())?.try_into().ok()?;
        let after = read_option(&mut reader)?;
        let upto = read_option(&mut reader)?;
        let (mut wanted, mut theirs) = (Vec::new(), Vec::<(Vec<u8>, Stamp)>::new());
        while !reader.is_empty() {
            let key = reader.bytes()?;
            let stamp = Stamp::decode(reader.take(16)?)?;
            if records.stamp(key).is_none_or(|held| held < stamp) {
                wanted.push(key.to_vec());
            }
            theirs.push((key.to_vec(), stamp));
        }
        // Sent by ascending key; sorted again because nothing may depend on what others promise.
        theirs.sort();
        Some((wanted, Work::Newer { map, buckets, after, upto, theirs }))
    }
}

/// Walks on from `after`; yields from where to go on, and whether the end was reached.
fn walk(
    records: &dyn Records,
    after: Option<&[u8]>,
    mut visit: impl FnMut(&[u8], Stamp, Option<&[u8]>) -> bool,
) -> (Option<Vec<u8>>, bool) {
    let (mut last, mut visits, mut done) = (after.map(<[u8]>::to_vec), 0, true);
    records.scan(after, &mut |key, stamp, value| {
        visits += 1;
        if visit(key, stamp, value) && visits < VISITS_MAX {
            return true;
        }
        last = Some(key.to_vec());
        done = false;
        false
    });
    (last, done)
}

pub(crate) fn put_entry(out: &mut Vec<u8>, key: &[u8], stamp: Stamp, value: Option<&[u8]>) {
    put_bytes(out, key);
    out.extend_from_slice(&stamp.encode());
    put_option(out, value);
}

fn put_option(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_bytes(out, value);
    }
}

fn read_option(reader: &mut Reader<'_>) -> Option<Option<Vec<u8>>> {
    match reader.byte()? {
        0 => Some(None),
        _ => Some(Some(reader.bytes()?.to_vec())),
    }
}

/// Reads what [`put_entry`] wrote, entry by entry; yields whether all of it was sound.
pub(crate) fn read_entries(body: &[u8], mut each: impl FnMut(&[u8], Stamp, Option<&[u8]>)) -> bool {
    let mut reader = Reader(body);
    while !reader.is_empty() {
        let mut one = || {
            let key = reader.bytes()?;
            let stamp = Stamp::decode(reader.take(16)?)?;
            let value = if reader.byte()? == 0 { None } else { Some(reader.bytes()?) };
            Some((key, stamp, value))
        };
        let Some((key, stamp, value)) = one() else { return false };
        each(key, stamp, value);
    }
    true
}
