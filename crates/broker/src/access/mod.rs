//! Who may publish and subscribe what. The seam behind which rules live; for now everybody may.

use mqtt::QoS;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub client_id: &'a str,
    pub username: Option<&'a str>,
    pub peer: std::net::SocketAddr,
}

/// The rules. Asked for each PUBLISH and each filter of a SUBSCRIBE of a zone with `enable_acl`.
pub trait Access: Send {
    /// Whether a client may publish to a topic.
    fn publish(&self, who: &Who<'_>, topic: &str, qos: QoS) -> Verdict;

    /// Whether a client may subscribe a filter (of a shared subscription: the filter of the group).
    fn subscribe(&self, who: &Who<'_>, filter: &str) -> Verdict;
}

/// Everybody may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl Access for Everybody {
    fn publish(&self, _: &Who<'_>, _: &str, _: QoS) -> Verdict {
        Verdict::Allow
    }

    fn subscribe(&self, _: &Who<'_>, _: &str) -> Verdict {
        Verdict::Allow
    }
}
