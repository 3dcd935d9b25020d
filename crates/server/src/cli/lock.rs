//! One process uses a data directory: it keeps `lock` in it locked as long as it lives, and its process id is written there.
//!
//! The kernel frees the lock however the process ends, so a stale one does not exist.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The name of the file in the data directory.
const NAME: &str = "lock";

/// How long a lock is tried for: somebody who only asks whether a node runs holds it for a moment.
const PATIENCE: Duration = Duration::from_millis(300);

/// The lock of this process. It is never given back before the process ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its id, if it could be read.
    Held(Option<u32>),
    /// The file cannot be made or locked.
    Io(io::Error),
}

/// Takes the lock and writes the id of this process.
///
/// # Errors
/// Nothing has been written then.
pub fn take(data_dir: &Path) -> Result<DataLock, LockError> {
    let path = data_dir.join(NAME);
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = open.map_err(LockError::Io)?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(10))
            }
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(written(&path))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(LockError::Io)?;
    Ok(DataLock { _file: file })
}

/// The process that uses the directory: `None` if none does, `Some(None)` if its id cannot be read.
pub fn holder(data_dir: &Path) -> Option<Option<u32>> {
    let path = data_dir.join(NAME);
    let file = File::open(&path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(written(&path)),
        _ => None,
    }
}

fn written(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let lock = take(dir.path()).unwrap();
        assert_eq!(holder(dir.path()), Some(Some(std::process::id())));
        assert!(matches!(take(dir.path()), Err(LockError::Held(Some(_)))));
        drop(lock);
        assert_eq!(holder(dir.path()), None);
        take(dir.path()).unwrap();
    }
}
