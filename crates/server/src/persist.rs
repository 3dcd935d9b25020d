//! The disk thread: takes records from the shards and from control, commits everything that has come
//! as one batch, then says so to those who wait for it. One commit serves many messages.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::Stamp;
use mqtt::Message;
use parking_lot::{Condvar, Mutex};
use store::{Batch, Durability, Space, Store, StoreError};

use crate::allocator::give_back;
use crate::inbox::{self, Inbox, Sender, Wake};

/// How often everything that was handed to the operating system is brought to the disk itself: what a
/// power cut can cost where nobody asked for more.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long a failed commit waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Called on the disk thread when the record it came with is safe from the death of this process.
pub type Then = Box<dyn FnOnce() + Send>;

/// One change of one record.
pub struct Write {
    /// Where the record lives.
    pub space: Space,
    /// What becomes of it.
    pub change: Change,
    /// Who waits for it.
    pub then: Option<Then>,
}

/// What becomes of a record.
pub enum Change {
    /// It is there.
    Put { key: Box<[u8]>, value: Box<[u8]> },
    /// A message is there under its topic, behind its stamp. On its way to the disk it is the buffer of those who
    /// keep it in memory, and leaves no hole between theirs.
    Message { stamp: Stamp, message: Message },
    /// It is gone.
    Remove { key: Box<[u8]> },
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Put { key, value } => key.len() + value.len(),
            Change::Message { message, .. } => message.as_bytes().len(),
            Change::Remove { key } => key.len(),
        }
    }
}

enum Job {
    Write(Write),
    Stop,
}

/// The senders' end of the disk thread.
#[derive(Clone)]
pub struct Disk {
    jobs: Sender<Job>,
}

/// The running disk thread.
pub struct DiskThread {
    disk: Disk,
    thread: JoinHandle<()>,
}

/// Starts the thread over an open store.
pub fn start(store: Store) -> std::io::Result<DiskThread> {
    let bell = Arc::new(Bell::default());
    let (jobs, inbox) = inbox::inbox(Box::new(bell.clone()));
    let thread = std::thread::Builder::new().name("disk".into()).spawn(move || run(&store, &inbox, &bell))?;
    Ok(DiskThread { disk: Disk { jobs }, thread })
}

impl DiskThread {
    /// A handle for those who write.
    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }

    /// Commits what has come, brings it to the disk and ends the thread.
    pub fn stop(self) {
        self.disk.jobs.send(Job::Stop);
        let _ = self.thread.join();
    }
}

impl Disk {
    /// Hands a record over. Records of one sender are committed in its order.
    pub fn write(&self, write: Write) {
        let bytes = write.change.bytes();
        self.jobs.send_sized(Job::Write(write), bytes);
    }

    /// Bytes that wait for the disk.
    pub fn bytes_waiting(&self) -> usize {
        self.jobs.bytes_waiting()
    }
}

fn run(store: &Store, inbox: &Inbox<Job>, bell: &Bell) {
    let mut jobs = Vec::new();
    let mut synced_at = Instant::now();
    let mut unsynced = false;
    let mut is_warm = false;
    loop {
        bell.wait(SYNC_EVERY);
        inbox.take(&mut jobs);
        let mut waiting = Vec::new();
        let mut writes = Vec::new();
        let mut stop = false;
        for job in jobs.drain(..) {
            match job {
                Job::Write(mut write) => {
                    waiting.extend(write.then.take());
                    writes.push(write);
                }
                Job::Stop => stop = true,
            }
        }
        let has_rest = writes.is_empty();
        if !has_rest {
            commit(store, &writes);
            (unsynced, is_warm) = (true, true);
            for then in waiting {
                then();
            }
        }
        if unsynced && (stop || synced_at.elapsed() >= SYNC_EVERY) {
            match store.sync() {
                Ok(()) => unsynced = false,
                Err(error) => tracing::error!(%error, "records are not on the disk yet"),
            }
            synced_at = Instant::now();
        }
        if stop {
            return;
        }
        // What the store has flushed was allocated by this thread.
        if has_rest && !unsynced && std::mem::take(&mut is_warm) {
            give_back();
        }
    }
}

/// Tries until the disk takes the batch: an acknowledgement waits for it, and nothing that was
/// accepted may be dropped because a disk was full for a while.
fn commit(store: &Store, writes: &[Write]) {
    let mut complained = false;
    while let Err(error) = try_commit(store, writes) {
        if !complained {
            tracing::error!(%error, records = writes.len(), "cannot write records, trying again");
            complained = true;
        }
        std::thread::sleep(RETRY_AFTER);
    }
}

fn try_commit(store: &Store, writes: &[Write]) -> Result<(), StoreError> {
    let mut batch: Batch = store.batch();
    let mut buffer = Vec::new();
    for Write { space, change, .. } in writes {
        match change {
            Change::Put { key, value } => batch.put(space, key, value),
            Change::Message { stamp, message } => {
                buffer.clear();
                buffer.extend_from_slice(&stamp.encode());
                buffer.extend_from_slice(message.as_bytes());
                batch.put(space, message.topic_bytes(), &buffer);
            }
            Change::Remove { key } => batch.delete(space, key),
        }
    }
    batch.commit(Durability::System)
}

/// Lets the disk thread sleep until somebody sends or a second has passed.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Bell {
    fn wait(&self, limit: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.ring.wait_for(&mut rung, limit);
        }
        *rung = false;
    }
}

impl Wake for Arc<Bell> {
    fn wake(&self) {
        *self.rung.lock() = true;
        self.ring.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_after_the_record_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let space = store.space("test").expect("a space");
        let thread = start(store.clone()).expect("starts");
        let (tell, told) = std::sync::mpsc::channel();
        let reader = (store.clone(), space.clone());
        thread.disk().write(Write {
            space,
            change: Change::Put { key: (*b"k").into(), value: (*b"v").into() },
            then: Some(Box::new(move || {
                let _ = tell.send(reader.0.read(&reader.1, b"k").expect("reads"));
            })),
        });
        let value = told.recv_timeout(Duration::from_secs(5)).expect("told");
        assert_eq!(value.as_deref(), Some(b"v".as_slice()));
        thread.stop();
    }
}
