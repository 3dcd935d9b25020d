//! The kinds of frames on a control lane. A kind that a node does not know is skipped; fields that it
//! does not know as well.

/// The member set: 1 cluster, 2 a record each.
pub const MEMBERS: u8 = 16;
/// A message of the failure detector.
pub const SWIM: u8 = 17;
/// One-way word: kind (u16), body.
pub const CAST: u8 = 18;
/// A request: number (u64), kind (u16), body.
pub const REQUEST: u8 = 19;
/// Its answer: number (u64), zero or a cause, body.
pub const ANSWER: u8 = 20;
/// What I hold of your tables: incarnation, number of the last change, whether it is whole.
pub const HELD: u8 = 21;
/// Changes of my tables: from, to, changes.
pub const CHANGES: u8 = 22;
/// A snapshot of my tables begins: incarnation, number of the last change, tables.
pub const SNAPSHOT: u8 = 23;
/// Entries of one table.
pub const SNAPSHOT_PIECE: u8 = 24;
/// These tables are whole.
pub const SNAPSHOT_END: u8 = 25;
/// 1 number of the last change, 2 digest of a table each, 3 digest of a map each, 4 digest of the members.
pub const DIGESTS: u8 = 26;
/// My copies of these tables are wrong.
pub const REPAIR: u8 = 27;
/// Records of a map.
pub const MAP_WRITE: u8 = 28;
/// Records of a map, the last of those that were asked for whole.
pub const MAP_LAST: u8 = 29;
/// Digests of a map's buckets.
pub const MAP_BUCKETS: u8 = 30;
/// Keys and stamps of a map.
pub const MAP_SUMMARY: u8 = 31;
/// Keys of a map whose records are asked for.
pub const MAP_WANT: u8 = 32;
/// All maps, whole, please.
pub const MAP_ALL: u8 = 33;
/// Those were all.
pub const MAP_ALL_DONE: u8 = 34;
/// May I join? One byte: only to know what would happen.
pub const JOIN_ASK: u8 = 35;
/// You may: 1 whether it was only asked, 2 a name of a member each.
pub const JOIN_GRANT: u8 = 36;
/// You may not: a cause.
pub const JOIN_REFUSE: u8 = 37;
/// I have wiped my data, take me in.
pub const JOIN_COMMIT: u8 = 38;
/// You are a member; fields as in the member set.
pub const JOINED: u8 = 39;
/// I have left your cluster: fields as in the member set.
pub const GOODBYE: u8 = 40;
/// I have taken note of that.
pub const GOODBYE_ACK: u8 = 41;
/// After a partition I stay apart until somebody says heal.
pub const APART: u8 = 42;
/// Come together.
pub const HEAL: u8 = 43;
/// I stop.
pub const BYE: u8 = 44;
/// Nothing, but that I am here.
pub const BEAT: u8 = 45;
