//! Filters, and which topics they match.

/// A filter of a subscription, with the mountpoint of its client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub(super) text: String,
    /// Of the group `g`.
    pub(super) is_shared: bool,
}

impl Filter {
    /// From what a client writes.
    pub(super) fn new(filter: &str, mount: &str) -> Filter {
        let unshared = filter.strip_prefix("$share/g/");
        Filter { text: format!("{mount}{}", unshared.unwrap_or(filter)), is_shared: unshared.is_some() }
    }

    /// In this order the index of a shard yields those that match a topic: the one that is the topic, and
    /// level by level `#`, the level itself, `+`. MQTT leaves the order free in which a message comes for
    /// several subscriptions of one client.
    pub(super) fn order(&self) -> Vec<u8> {
        let rank = |level| match level {
            "#" => 0,
            "+" => 2,
            _ => 1,
        };
        if self.text.contains(['#', '+']) { self.text.split('/').map(rank).collect() } else { Vec::new() }
    }
}

pub(super) fn matches(filter: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1], of the names with their mountpoints: what is `$SYS/w` to a client need not begin so.
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}
