//! Who may publish and subscribe what: the seam behind which rules live, and what a client's home shard
//! remembers of their answers.

mod decided;
pub mod rules;

pub(crate) use decided::Decided;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Publish,
    Subscribe,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub client_id: &'a str,
    pub username: Option<&'a str>,
    pub peer: std::net::SocketAddr,
    /// The answer if no rule fits (`acl_nomatch` of the zone).
    pub no_match: Verdict,
}

/// The rules. Asked for each PUBLISH and each filter of a SUBSCRIBE of a zone with `enable_acl`.
pub trait Access: Send {
    /// Whether a client may do that: publish to a topic, or subscribe a filter (of a shared subscription:
    /// the filter of the group).
    fn ask(&self, who: &Who<'_>, deed: Deed, topic: &str) -> Verdict;

    /// The answer whatever the topic is; `None`: it depends on the topic.
    fn always(&self, who: &Who<'_>, deed: Deed) -> Option<Verdict>;

    /// Another number than before says that answers given so far may be wrong.
    fn version(&self) -> u32;
}

/// Everybody may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl Access for Everybody {
    fn ask(&self, _: &Who<'_>, _: Deed, _: &str) -> Verdict {
        Verdict::Allow
    }

    fn always(&self, _: &Who<'_>, _: Deed) -> Option<Verdict> {
        Some(Verdict::Allow)
    }

    fn version(&self) -> u32 {
        0
    }
}

/// What holds for a client whatever the topic is, worked out once for each version of the rules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rights {
    version: Option<u32>,
    publish: Option<Verdict>,
    subscribe: Option<Verdict>,
}

impl Rights {
    pub(crate) fn of(access: &dyn Access, who: &Who<'_>) -> Rights {
        Rights {
            version: Some(access.version()),
            publish: access.always(who, Deed::Publish),
            subscribe: access.always(who, Deed::Subscribe),
        }
    }

    pub(crate) fn is_of(&self, version: u32) -> bool {
        self.version == Some(version)
    }

    pub(crate) fn to(&self, deed: Deed) -> Option<Verdict> {
        match deed {
            Deed::Publish => self.publish,
            Deed::Subscribe => self.subscribe,
        }
    }
}
