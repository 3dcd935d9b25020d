//! Numbers and instants in the words that the REST API and `emqx_ctl` use.

use std::time::Duration;

/// `4 minutes, 52 seconds`; `1 days, 0 hours, 3 minutes, 9 seconds`. No singular, as ever.
pub fn uptime(since_start: Duration) -> String {
    let seconds = since_start.as_secs();
    let parts = [
        (seconds / 86_400, "days"),
        (seconds / 3600 % 24, "hours"),
        (seconds / 60 % 60, "minutes"),
        (seconds % 60, "seconds"),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    parts[first..].iter().map(|(n, unit)| format!("{n} {unit}")).collect::<Vec<_>>().join(", ")
}

/// `96.75M`: two decimals and K, M or G.
pub fn size(bytes: u64) -> String {
    const K: f64 = 1024.0;
    #[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let bytes = bytes as f64;
    match bytes {
        b if b >= K * K * K => format!("{:.2}G", b / (K * K * K)),
        b if b >= K * K => format!("{:.2}M", b / (K * K)),
        b => format!("{:.2}K", b / K),
    }
}

/// An instant, in milliseconds since 1970, in local time: `2020-02-21 09:39:58`.
pub fn local_time(ms: u64) -> String {
    let seconds = libc::time_t::try_from(ms / 1000).unwrap_or(libc::time_t::MAX);
    let tm = broken_down(seconds);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        i64::from(tm.tm_year) + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec
    )
}

/// What an operator means by a node's name: one without a host is on the host of the node that is asked, so
/// `emqx1` on `emqx2@10.0.0.5` is `emqx1@10.0.0.5`.
pub fn node_name(word: &str, own_name: &str) -> String {
    if word.split('@').filter(|part| !part.is_empty()).count() == 2 {
        return word.to_owned();
    }
    let host = own_name.split_once('@').map_or("127.0.0.1", |(_, host)| host);
    format!("{word}@{host}")
}

/// The C library knows the machine's time zone; nothing in the standard library does.
#[allow(unsafe_code, reason = "localtime_r has no safe counterpart")]
fn broken_down(seconds: libc::time_t) -> libc::tm {
    // SAFETY: `tm` is plain data for which all zeroes is a value, and both pointers are to locals that live through the
    // call. localtime_r keeps nothing; on failure (a year beyond i32) it leaves `tm` as it was.
    unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut tm);
        tm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_begins_with_the_largest_unit_that_is_not_zero() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (59, "59 seconds"),
            (292, "4 minutes, 52 seconds"),
            (3600, "1 hours, 0 minutes, 0 seconds"),
            (86_400 + 189, "1 days, 0 hours, 3 minutes, 9 seconds"),
        ] {
            assert_eq!(uptime(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_name_without_a_host_is_on_this_host() {
        for (word, name) in
            [("emqx1", "emqx1@10.0.0.5"), ("a@b.c", "a@b.c"), ("a@", "a@@10.0.0.5"), ("@h", "@h@10.0.0.5")]
        {
            assert_eq!(node_name(word, "emqx2@10.0.0.5"), name);
        }
    }

    #[test]
    fn sizes_have_two_decimals() {
        assert_eq!(size(512), "0.50K");
        assert_eq!(size(101_449_728), "96.75M");
        assert_eq!(size(3 << 30), "3.00G");
    }

    #[test]
    fn an_instant_has_the_form_of_4_4() {
        let text = local_time(1_582_249_657_123);
        assert_eq!(text.len(), 19);
        assert!(text.starts_with("2020-02-2") && text.as_bytes()[10] == b' ', "{text}");
        local_time(u64::MAX);
    }
}
