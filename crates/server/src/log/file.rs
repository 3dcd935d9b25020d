//! A log file, or with rotation a ring of them: `emqx.log.1`, `emqx.log.2` and so on, the oldest written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that lines are appended to. Errors after the opening are swallowed: there is no log to tell them to.
#[derive(Debug)]
pub(super) struct LogFile {
    base: PathBuf,
    rotation: Option<(u64, u32)>,
    number: u32,
    bytes: u64,
    out: BufWriter<File>,
}

impl LogFile {
    /// Goes on where an earlier process stopped. `rotation` is the size of a file in bytes and the number of files.
    pub(super) fn open(base: &Path, rotation: Option<(u64, u32)>) -> io::Result<Self> {
        let name_path =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", base.display()));
        if let Some(dir) = base.parent() {
            super::make_dir(dir)?;
        }
        let number = rotation.map_or(0, |(_, count)| newest(base, count));
        let out = append(&numbered(base, number)).map_err(name_path)?;
        let bytes = out.metadata().map_err(name_path)?.len();
        Ok(Self { base: base.to_owned(), rotation, number, bytes, out: BufWriter::new(out) })
    }

    pub(super) fn write(&mut self, line: &str) {
        if let Some((size, count)) = self.rotation
            && self.bytes > 0
            && self.bytes + line.len() as u64 > size
        {
            self.rotate(count);
        }
        self.bytes += line.len() as u64;
        let _ = self.out.write_all(line.as_bytes());
    }

    pub(super) fn flush(&mut self) {
        let _ = self.out.flush();
    }

    fn rotate(&mut self, count: u32) {
        let _ = self.out.flush();
        let next = self.number % count + 1;
        let path = numbered(&self.base, next);
        let made = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .and_then(|_| append(&path));
        // Without room for another file the log goes on in this one.
        if let Ok(file) = made {
            self.out = BufWriter::new(file);
            self.number = next;
        }
        self.bytes = 0;
    }
}

fn numbered(base: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return base.to_owned();
    }
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The number of the file that was written last; 1 when there is none.
fn newest(base: &Path, count: u32) -> u32 {
    let written = |number: u32| fs::metadata(numbered(base, number)).and_then(|found| found.modified()).ok();
    let known = (1..=count).filter_map(|number| Some((written(number)?, number)));
    known.max().map_or(1, |(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_followed_by_the_next_and_the_oldest_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("deep/emqx.log");
        let mut log = LogFile::open(&base, Some((10, 3))).unwrap();
        for n in 0..7 {
            log.write(&format!("line {n}\n"));
        }
        log.flush();
        let read = |n: u32| fs::read_to_string(numbered(&base, n)).unwrap();
        assert_eq!((read(1), read(2), read(3)), ("line 6\n".into(), "line 4\n".into(), "line 5\n".into()));
        drop(log);
        let again = LogFile::open(&base, Some((10, 3))).unwrap();
        assert_eq!(again.bytes, 7);
    }

    #[test]
    fn without_rotation_there_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("emqx.log");
        let mut log = LogFile::open(&base, None).unwrap();
        log.write("a\n");
        drop(log);
        let mut log = LogFile::open(&base, None).unwrap();
        log.write("b\n");
        log.flush();
        assert_eq!(fs::read_to_string(&base).unwrap(), "a\nb\n");
    }
}
