//! What a process has used, from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

/// The kernel's unit of `utime` and `stime` on every Linux that this runs on (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// CPU time in user space and kernel of all threads of `pid`, from its start. The scheduler's own count
/// in nanoseconds where the kernel has it, `utime + stime` in steps of 10 ms elsewhere; both count the same.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    match threads_cpu(pid) {
        Some(cpu) => Ok(cpu),
        None => ticks(pid),
    }
}

fn threads_cpu(pid: u32) -> Option<Duration> {
    let mut nanos = 0u64;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let line = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanos += line.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (nanos > 0).then_some(Duration::from_nanos(nanos))
}

/// `utime + stime` of `/proc/PID/stat`.
pub fn ticks(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name may hold blanks and brackets, so the fields count from the last bracket.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).ok_or_else(|| invalid("no stat"))?;
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory of `pid`, in bytes.
pub fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| invalid("no VmRSS"))? * 1024)
}

/// The process that listens on TCP `port` of this host, if it is one that we may look into.
pub fn listener(port: u16) -> Option<u32> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
            let listens = local.rsplit_once(':').and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
            if state == "0A" && listens == Some(port) {
                inodes.extend(fields.nth(5).map(|inode| format!("socket:[{inode}]")));
            }
        }
    }
    let pids = fs::read_dir("/proc").ok()?.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let owns = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    };
    let mut pids = pids;
    pids.find(owns)
}

/// Raises the limit of open files to what the system allows, for this process and those that it starts,
/// and says how many that are.
pub fn raise_files_max() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let reached = if setrlimit(Resource::Nofile, limit).is_ok() { limit.maximum } else { before };
    reached.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn this_process_has_used_cpu_and_memory() {
        let me = std::process::id();
        let mut sum = 0u64;
        while cpu(me).unwrap() < Duration::from_millis(30) {
            sum = (0..100_000u64).fold(sum, |a, b| a.wrapping_add(b * b));
        }
        assert!(ticks(me).unwrap() >= Duration::from_millis(10));
        assert!(resident(me).unwrap() > 100_000);
    }

    #[test]
    fn a_listener_is_found_by_its_port() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap().port()), Some(std::process::id()));
    }
}
