//! What the system says about this process and its host.

pub(super) fn load() -> [String; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = text.split_whitespace().map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap_or_else(|| "0.00".into()))
}

/// Resident and virtual bytes of this process.
pub(super) fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    let (virtual_size, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    (resident * page, virtual_size * page)
}

pub(super) fn total_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Open descriptors, and the most there may be.
pub(super) fn descriptors() -> (u64, u64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, limit.unwrap_or(u64::MAX))
}
