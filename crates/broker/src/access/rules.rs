//! The rules of an access file (`acl.conf` of EMQ X 4.4): asked in order, the first that fits decides. Asking
//! allocates nothing.

use std::net::IpAddr;

use super::{Access, Deed, Verdict, Who};

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody.
    All,
    /// The client with that id.
    Client(String),
    /// The clients with that user name.
    User(String),
    /// The clients of that network: an address and how many leading bits of it count.
    Network(IpAddr, u8),
    /// Who fits all of these.
    And(Vec<Whom>),
    /// Who fits one of these.
    Or(Vec<Whom>),
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deeds {
    Publish,
    Subscribe,
    Both,
}

/// Topics a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// All.
    All,
    /// Those that the filter covers; a level `%c` or `%u` stands for the client id or user name.
    Covered(String),
    /// The very text.
    Exactly(String),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub verdict: Verdict,
    pub whom: Whom,
    pub deeds: Deeds,
    pub topics: Vec<Topics>,
}

/// Rules in order.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub std::sync::Arc<[Rule]>);

impl Deeds {
    /// Whether that is one of them.
    pub fn include(self, deed: Deed) -> bool {
        match deed {
            Deed::Publish => self != Deeds::Subscribe,
            Deed::Subscribe => self != Deeds::Publish,
        }
    }
}

impl Rule {
    /// Whether the rule is about such a client and deed, whatever the topic.
    fn concerns(&self, who: &Who<'_>, deed: Deed) -> bool {
        self.deeds.include(deed) && self.whom.fits(who)
    }
}

impl Rules {
    /// The first rule that fits.
    pub fn first(&self, who: &Who<'_>, deed: Deed, topic: &str) -> Option<Verdict> {
        let fits = |rule: &&Rule| {
            rule.concerns(who, deed) && rule.topics.iter().any(|topics| topics.fit(who, topic, rule.verdict))
        };
        self.0.iter().find(fits).map(|rule| rule.verdict)
    }
}

impl Access for Rules {
    fn ask(&self, who: &Who<'_>, deed: Deed, topic: &str) -> Verdict {
        self.first(who, deed, topic).unwrap_or(who.no_match)
    }

    fn always(&self, who: &Who<'_>, deed: Deed) -> Option<Verdict> {
        let mut so_far = None;
        for rule in self.0.iter().filter(|rule| rule.concerns(who, deed)) {
            if so_far.is_some_and(|verdict| verdict != rule.verdict) {
                return None;
            }
            so_far = Some(rule.verdict);
            if rule.topics.contains(&Topics::All) {
                return so_far;
            }
        }
        so_far.is_none_or(|verdict| verdict == who.no_match).then_some(who.no_match)
    }

    fn version(&self) -> u32 {
        0
    }
}

impl Whom {
    fn fits(&self, who: &Who<'_>) -> bool {
        match self {
            Whom::All => true,
            Whom::Client(id) => id == who.client_id,
            Whom::User(name) => who.username == Some(name),
            Whom::Network(address, bits) => within(who.peer.ip(), *address, *bits),
            Whom::And(all) => all.iter().all(|whom| whom.fits(who)),
            Whom::Or(some) => some.iter().any(|whom| whom.fits(who)),
        }
    }
}

fn within(peer: IpAddr, address: IpAddr, bits: u8) -> bool {
    match (peer.to_canonical(), address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

impl Topics {
    fn fit(&self, who: &Who<'_>, topic: &str, verdict: Verdict) -> bool {
        match self {
            Topics::All => true,
            Topics::Exactly(text) => text == topic,
            Topics::Covered(filter) => covers(filter, topic, who, verdict),
        }
    }
}

/// Whether a rule's filter covers a topic or a subscribed filter. For a right, the filter must cover all that
/// the subscribed one does: `a/+` does not allow `a/#`. What stands for a name is never a wildcard and does not
/// lead to the topics of the broker: clients called `+` and `$SYS` get nothing by `%c`.
pub fn covers(filter: &str, topic: &str, who: &Who<'_>, verdict: Verdict) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let allows = verdict == Verdict::Allow;
    let widens = |name: &str| name.contains(['+', '#']) || name.starts_with('$');
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        let Some(level) = levels.next() else { return false };
        let named = match wanted {
            "%c" => Some(who.client_id).filter(|id| !id.is_empty()),
            "%u" => who.username.filter(|name| !name.is_empty()),
            "+" if allows && level == "#" => return false,
            "+" => continue,
            _ if wanted == level => continue,
            _ => return false,
        };
        let Some(name) = named else { return false };
        if name != level || (allows && widens(name)) {
            return false;
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(filter: &str, verdict: Verdict, id: &str, user: Option<&str>, topic: &str) -> bool {
        let peer = "127.0.0.1:1".parse().unwrap();
        let who = Who { client_id: id, username: user, peer, no_match: Verdict::Deny };
        covers(filter, topic, &who, verdict)
    }

    #[test]
    fn names_stand_for_one_level_and_fit_nobody_without_one() {
        assert!(asked("c/%c/#", Verdict::Allow, "x", None, "c/x/1"));
        assert!(!asked("c/%u", Verdict::Allow, "x", None, "c/%u"));
        assert!(!asked("c/%u", Verdict::Allow, "x", Some(""), "c/"));
        assert!(!asked("c/%c", Verdict::Allow, "x", None, "c/y"));
    }

    #[test]
    fn wildcards_never_widen_a_right() {
        assert!(!asked("c/%c", Verdict::Allow, "+", None, "c/+"));
        assert!(!asked("c/%u", Verdict::Allow, "x", Some("#"), "c/#"));
        assert!(!asked("%c/#", Verdict::Allow, "$SYS", None, "$SYS/#"));
        assert!(!asked("a/+", Verdict::Allow, "x", None, "a/#"));
        assert!(asked("a/+", Verdict::Deny, "x", None, "a/#"));
        assert!(!asked("#", Verdict::Allow, "x", None, "$SYS/#"));
    }

    #[test]
    fn what_does_not_depend_on_the_topic_is_known_beforehand() {
        let rule = |verdict, whom, deeds, topics| Rule { verdict, whom, deeds, topics };
        let sys = || vec![Topics::Covered("$SYS/#".to_owned())];
        let rules = Rules(std::sync::Arc::new([
            rule(Verdict::Allow, Whom::Client("root".to_owned()), Deeds::Both, sys()),
            rule(Verdict::Deny, Whom::All, Deeds::Subscribe, sys()),
            rule(Verdict::Allow, Whom::All, Deeds::Both, vec![Topics::All]),
        ]));
        let peer = "127.0.0.1:1".parse().unwrap();
        let who = Who { client_id: "x", username: None, peer, no_match: Verdict::Deny };
        let publish = Deed::Publish;
        assert_eq!(rules.always(&who, publish), Some(Verdict::Allow));
        assert_eq!(rules.always(&who, Deed::Subscribe), None);
        assert_eq!(rules.always(&Who { client_id: "root", ..who }, publish), Some(Verdict::Allow));
        assert_eq!(Rules::default().always(&who, publish), Some(Verdict::Deny));
    }

    #[test]
    fn networks_are_compared_by_their_leading_bits() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(within(ip("10.1.2.3"), ip("10.0.0.0"), 8));
        assert!(!within(ip("11.1.2.3"), ip("10.0.0.0"), 8));
        assert!(within(ip("::ffff:10.1.2.3"), ip("10.1.2.3"), 32));
        assert!(within(ip("1.2.3.4"), ip("0.0.0.0"), 0));
    }
}
