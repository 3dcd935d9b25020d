//! Durable records: named spaces of key → value, changed in atomic batches that share one journal
//! and one fsync. This room knows nothing of MQTT and nothing of the network; what a key means is
//! its caller's matter. The engine below is fjall (an LSM tree with one journal for all spaces).
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

/// Bytes of memory for cached blocks. Everything kept here is also held in memory by its owner, so
/// the cache serves only recovery.
const CACHE_BYTES: u64 = 512 << 10;
/// Bytes a space buffers in memory before it is flushed to a table file; with what the buffer itself needs
/// it takes twice as much.
const WRITE_BUFFER_BYTES: u64 = 512 << 10;
/// Bytes of journal on disk, over all spaces, before old ones are flushed away.
const JOURNAL_BYTES: u64 = 128 << 20;

/// A record store in one directory. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

/// One named space of a store.
#[derive(Clone)]
pub struct Space(Keyspace);

/// A key and its value.
pub type Record = (Box<[u8]>, Box<[u8]>);

/// How far a commit has to get before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the operating system: survives the death of the process, not a power cut.
    System,
    /// On the disk: survives a power cut.
    Disk,
}

/// The store could not be opened. Nothing was changed, apart from a torn tail of the journal, which
/// recovery cuts off.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    cause: fjall::Error,
}

/// Records could not be written or read. After a failed commit the batch is not visible; the store
/// refuses further writes until it is opened again where the engine says that its journal is torn.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    cause: fjall::Error,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot open the record store in {}: {}", self.path.display(), self.cause)
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the record store in {} failed: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for OpenError {}
impl std::error::Error for StoreError {}

impl Store {
    /// Opens the store in `path`, making it where there is none.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map(|database| Store { database, path: path.to_owned() })
            .map_err(|cause| OpenError { path: path.to_owned(), cause })
    }

    /// The space of that name, made where there is none.
    pub fn space(&self, name: &str) -> Result<Space, StoreError> {
        self.database
            .keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(WRITE_BUFFER_BYTES))
            .map(Space)
            .map_err(|cause| self.failed(cause))
    }

    /// An empty batch. Its changes become visible, and durable, all together.
    pub fn batch(&self) -> Batch {
        Batch { batch: self.database.batch(), path: self.path.clone() }
    }

    /// Every record of a space, in the order of its keys.
    pub fn scan(&self, space: &Space) -> impl Iterator<Item = Result<Record, StoreError>> + use<> {
        let path = self.path.clone();
        space.0.iter().map(move |guard| {
            guard
                .into_inner()
                .map(|(key, value)| (key.as_ref().into(), value.as_ref().into()))
                .map_err(|cause| StoreError { path: path.clone(), cause })
        })
    }

    /// The value of a key.
    pub fn read(&self, space: &Space, key: &[u8]) -> Result<Option<Box<[u8]>>, StoreError> {
        space.0.get(key).map(|value| value.map(|v| v.as_ref().into())).map_err(|cause| self.failed(cause))
    }

    /// Brings everything committed so far to the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: fjall::Error) -> StoreError {
        StoreError { path: self.path.clone(), cause }
    }
}

/// Changes that become visible and durable together.
pub struct Batch {
    batch: fjall::OwnedWriteBatch,
    path: PathBuf,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, space: &Space, key: &[u8], value: &[u8]) {
        self.batch.insert(&space.0, key, value);
    }

    /// Removes a key; one that is not there is no error.
    pub fn delete(&mut self, space: &Space, key: &[u8]) {
        self.batch.remove(&space.0, key);
    }

    /// Whether nothing was put or deleted.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Applies the changes. When it returns they have got as far as `durability` says.
    pub fn commit(self, durability: Durability) -> Result<(), StoreError> {
        let mode = match durability {
            Durability::System => PersistMode::Buffer,
            Durability::Disk => PersistMode::SyncData,
        };
        let path = self.path;
        self.batch.durability(Some(mode)).commit().map_err(|cause| StoreError { path, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> (Box<[u8]>, Box<[u8]>) {
        (key.as_bytes().into(), value.as_bytes().into())
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        {
            let store = Store::open(dir.path()).expect("opens");
            let space = store.space("retained").expect("a space");
            let mut batch = store.batch();
            batch.put(&space, b"a", b"1");
            batch.put(&space, b"b", b"2");
            batch.commit(Durability::System).expect("commits");
            let mut batch = store.batch();
            batch.delete(&space, b"a");
            batch.put(&space, b"c", b"3");
            batch.commit(Durability::Disk).expect("commits");
        }
        let store = Store::open(dir.path()).expect("opens again");
        let space = store.space("retained").expect("the space");
        let records: Vec<_> = store.scan(&space).map(|r| r.expect("reads")).collect();
        assert_eq!(records, [record("b", "2"), record("c", "3")]);
        assert_eq!(store.read(&space, b"b").expect("reads").as_deref(), Some(b"2".as_slice()));
    }

    #[test]
    fn spaces_do_not_see_one_another() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("opens");
        let (one, two) = (store.space("one").expect("one"), store.space("two").expect("two"));
        let mut batch = store.batch();
        batch.put(&one, b"k", b"v");
        batch.commit(Durability::System).expect("commits");
        assert_eq!(store.scan(&two).count(), 0);
    }

    #[test]
    fn a_directory_that_is_a_file_is_refused_with_its_path() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        std::fs::write(&path, b"x").expect("writes");
        let error = Store::open(&path).err().expect("refused").to_string();
        assert!(error.contains("file"), "{error}");
    }
}
