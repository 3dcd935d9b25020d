//! What the system says about this process and its host.

pub fn load() -> [String; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = text.split_whitespace().map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap_or_else(|| "0.00".into()))
}

/// Resident and virtual bytes of this process.
pub fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    let (virtual_size, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    (resident * page, virtual_size * page)
}

pub fn total_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Open descriptors, and the most there may be.
pub fn descriptors() -> (u64, u64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, limit.unwrap_or(u64::MAX))
}

/// Bytes that the host has, or this process's control group where that has less.
pub fn available_memory() -> u64 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().filter_map(group_limit).fold(total_memory(), u64::min)
}

/// The least limit of a control group and of those around it; `line` is of `/proc/self/cgroup`.
fn group_limit(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let mut least = None;
    // Within a container the path may be that of the host, which is not there; the root always is.
    let mut group = std::path::Path::new(path);
    loop {
        let file = std::path::Path::new(root).join(group.strip_prefix("/").unwrap_or(group)).join(file);
        let bytes = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok());
        least = least.into_iter().chain(bytes).min();
        match group.parent() {
            Some(parent) => group = parent,
            None => return least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_and_this_process_have_is_found() {
        assert!(available_memory() > 64 << 20 && available_memory() <= total_memory());
        assert!(memory().0 > 1 << 20);
    }
}
