//! The banned, the users, and the rights given by command, as every node of the cluster holds them, and the
//! records that they travel in: a key of words between NULs, a value of JSON.

use std::collections::HashMap;
use std::net::IpAddr;

use broker::access::rules::{Deeds, covers};
use broker::access::{Deed, Verdict, Who};
use serde::{Deserialize, Serialize};

/// By what somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    ClientId,
    Username,
    /// An address.
    PeerHost,
    /// Everybody; has no name.
    All,
}

impl Kind {
    /// The word that commands and keys have for it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::ClientId => "clientid",
            Kind::Username => "username",
            Kind::PeerHost => "peerhost",
            Kind::All => "all",
        }
    }

    /// What such a word means.
    pub fn parse(word: &str) -> Option<Kind> {
        [Kind::ClientId, Kind::Username, Kind::PeerHost, Kind::All].into_iter().find(|k| k.word() == word)
    }
}

/// Why and how long somebody is banned. Instants are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    pub by: String,
    pub reason: String,
    pub at: u64,
    /// `None`: for good.
    pub until: Option<u64>,
}

/// A user's secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// See [`super::passwords::verify`].
    pub hash: String,
    /// Milliseconds since 1970.
    pub created_at: u64,
}

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Pub,
    Sub,
    PubSub,
}

impl From<Action> for Deeds {
    fn from(action: Action) -> Deeds {
        match action {
            Action::Pub => Deeds::Publish,
            Action::Sub => Deeds::Subscribe,
            Action::PubSub => Deeds::Both,
        }
    }
}

/// One right, or its denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    pub topic: String,
    pub action: Action,
    pub allow: bool,
    /// Milliseconds since 1970. The newest that fits decides.
    pub created_at: u64,
}

/// A name of each kind and what belongs to it.
#[derive(Debug)]
struct Named<T>(HashMap<Kind, HashMap<Box<str>, T>>);

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named(HashMap::new())
    }
}

impl<T> Named<T> {
    fn get(&self, kind: Kind, name: &str) -> Option<&T> {
        self.0.get(&kind)?.get(name)
    }

    fn set(&mut self, kind: Kind, name: &str, value: Option<T>) {
        let of_kind = self.0.entry(kind).or_default();
        match value {
            Some(value) => drop(of_kind.insert(name.into(), value)),
            None => drop(of_kind.remove(name)),
        }
        if of_kind.is_empty() {
            self.0.remove(&kind);
        }
    }

    /// All, by kind and name.
    fn all(&self) -> Vec<(Kind, &str, &T)> {
        let each = |(kind, names): (&Kind, _)| {
            let names: &HashMap<Box<str>, T> = names;
            let kind = *kind;
            names.iter().map(move |(name, value)| (kind, &**name, value)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.0.iter().flat_map(|(kind, names)| each((kind, names))).collect();
        all.sort_by_key(|(kind, name, _)| (*kind, *name));
        all
    }
}

/// What the cluster keeps about access.
#[derive(Default)]
pub struct Lists {
    bans: Named<Ban>,
    users: Named<User>,
    rights: Named<Vec<Right>>,
}

impl Lists {
    /// Whether such a client is banned now (seconds since 1970).
    pub fn is_banned(&self, client_id: &str, username: Option<&str>, peer: IpAddr, now: u64) -> bool {
        if self.bans.0.is_empty() {
            return false;
        }
        let counts = |ban: &Ban| ban.until.is_none_or(|until| until > now);
        let is_peer_banned = || {
            let hosts = self.bans.0.get(&Kind::PeerHost)?;
            hosts.get(&*peer.to_canonical().to_string())
        };
        self.bans.get(Kind::ClientId, client_id).is_some_and(counts)
            || username.is_some_and(|name| self.bans.get(Kind::Username, name).is_some_and(counts))
            || is_peer_banned().is_some_and(counts)
    }

    /// The secrets by which such a client may be known; the client id's first.
    pub fn secrets(&self, client_id: &str, username: Option<&str>) -> Vec<String> {
        let by_id = self.users.get(Kind::ClientId, client_id);
        let by_name = username.and_then(|name| self.users.get(Kind::Username, name));
        by_id.into_iter().chain(by_name).map(|user| user.hash.clone()).collect()
    }

    /// Whether rights of such a client have been given or denied.
    pub fn concern(&self, who: &Who<'_>) -> bool {
        !self.rights.0.is_empty() && self.rights_of(who).next().is_some()
    }

    /// The first of the rights that fits: those of the client id, then the user name's, then everybody's.
    pub fn first(&self, who: &Who<'_>, deed: Deed, topic: &str) -> Option<Verdict> {
        let fits = |right: &&Right| {
            Deeds::from(right.action).include(deed) && covers(&right.topic, topic, who, verdict(right.allow))
        };
        self.rights_of(who).find(fits).map(|right| verdict(right.allow))
    }

    fn rights_of<'a>(&'a self, who: &Who<'a>) -> impl Iterator<Item = &'a Right> {
        let by_id = self.rights.get(Kind::ClientId, who.client_id);
        let by_name = who.username.and_then(|name| self.rights.get(Kind::Username, name));
        [by_id, by_name, self.rights.get(Kind::All, "")].into_iter().flatten().flatten()
    }

    /// All that are banned now (seconds since 1970).
    pub fn bans(&self, now: u64) -> Vec<(Kind, &str, &Ban)> {
        self.bans.all().into_iter().filter(|(_, _, ban)| ban.until.is_none_or(|until| until > now)).collect()
    }

    /// Keys of the bans that are over.
    pub fn bans_over(&self, now: u64) -> Vec<Vec<u8>> {
        let over = |ban: &Ban| ban.until.is_some_and(|until| until <= now);
        let all = self.bans.all().into_iter().filter(|(_, _, ban)| over(ban));
        all.map(|(kind, name, _)| key(BAN, kind, name, None)).collect()
    }

    /// One user.
    pub fn user(&self, kind: Kind, name: &str) -> Option<&User> {
        self.users.get(kind, name)
    }

    /// All users.
    pub fn users(&self) -> Vec<(Kind, &str, &User)> {
        self.users.all()
    }

    /// All rights.
    pub fn rights(&self) -> Vec<(Kind, &str, &Right)> {
        let each = |(kind, name, rights): (Kind, _, _)| {
            let rights: &Vec<Right> = rights;
            let name: &str = name;
            rights.iter().map(move |right| (kind, name, right)).collect::<Vec<_>>()
        };
        self.rights.all().into_iter().flat_map(each).collect()
    }

    /// A record is so now. What this version does not understand has no effect here.
    pub(super) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<Change> {
        let text = std::str::from_utf8(key).ok()?;
        let words: Vec<&str> = text.split('\0').collect();
        let [what, kind, name, rest @ ..] = words.as_slice() else { return None };
        let kind = Kind::parse(kind)?;
        match (*what, rest) {
            (BAN, []) => {
                let ban: Option<Ban> = read(value);
                let is_new = ban.is_some();
                self.bans.set(kind, name, ban);
                is_new.then(|| Change::Banned(kind, (*name).to_owned()))
            }
            (USER, []) => {
                self.users.set(kind, name, read(value));
                None
            }
            (RIGHT, [topic]) => {
                let mut rights = self.rights.get(kind, name).cloned().unwrap_or_default();
                rights.retain(|right| right.topic != *topic);
                rights.extend(read::<Right>(value).filter(|right| right.topic == *topic));
                rights.sort_by_key(|right| std::cmp::Reverse(right.created_at));
                self.rights.set(kind, name, Some(rights).filter(|rights| !rights.is_empty()));
                Some(Change::Rights)
            }
            _ => None,
        }
    }
}

/// What a changed record means for clients that are here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Those have to go.
    Banned(Kind, String),
    /// What they may is to be asked anew.
    Rights,
}

fn verdict(allow: bool) -> Verdict {
    if allow { Verdict::Allow } else { Verdict::Deny }
}

fn read<T: for<'de> Deserialize<'de>>(value: Option<&[u8]>) -> Option<T> {
    serde_json::from_slice(value?).ok()
}

const BAN: &str = "ban";
const USER: &str = "user";
const RIGHT: &str = "right";

fn key(what: &str, kind: Kind, name: &str, topic: Option<&str>) -> Vec<u8> {
    let mut key = format!("{what}\0{}\0{name}", kind.word());
    if let Some(topic) = topic {
        key.push('\0');
        key.push_str(topic);
    }
    key.into_bytes()
}

impl Ban {
    /// The key of the record that bans that one. A host's address is brought to its usual form.
    pub fn key(kind: Kind, who: &str) -> Vec<u8> {
        let address = (kind == Kind::PeerHost).then(|| who.parse::<IpAddr>().ok()).flatten();
        match address {
            Some(ip) => key(BAN, kind, &ip.to_canonical().to_string(), None),
            None => key(BAN, kind, who, None),
        }
    }
}

impl User {
    /// The key of a user's record.
    pub fn key(kind: Kind, name: &str) -> Vec<u8> {
        key(USER, kind, name, None)
    }
}

impl Right {
    /// The key of the record of a right.
    pub fn key(kind: Kind, name: &str, topic: &str) -> Vec<u8> {
        key(RIGHT, kind, name, Some(topic))
    }
}

/// Whether a name can be part of a key: MQTT has no NUL in names either.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && name.len() <= 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: &'static str, username: Option<&'static str>) -> Who<'static> {
        let peer = "127.0.0.1:1".parse().expect("an address");
        Who { client_id: id, username, peer, no_match: Verdict::Deny }
    }

    fn put<T: Serialize>(lists: &mut Lists, key: &[u8], value: &T) -> Option<Change> {
        lists.apply(key, Some(&serde_json::to_vec(value).expect("JSON")))
    }

    #[test]
    fn bans_count_until_their_time_and_for_the_address_in_any_form() {
        let mut lists = Lists::default();
        let ban = Ban { by: "x".into(), reason: String::new(), at: 1, until: Some(10) };
        put(&mut lists, &Ban::key(Kind::PeerHost, "::ffff:10.0.0.1"), &ban);
        let ip: IpAddr = "10.0.0.1".parse().expect("an address");
        assert!(lists.is_banned("a", None, ip, 9));
        assert!(!lists.is_banned("a", None, ip, 10));
        assert_eq!(lists.bans_over(10).len(), 1);
        let change = put(&mut lists, &Ban::key(Kind::Username, "joe"), &ban);
        assert_eq!(change, Some(Change::Banned(Kind::Username, "joe".into())));
        assert!(lists.is_banned("a", Some("joe"), "::1".parse().expect("an address"), 2));
        lists.apply(&Ban::key(Kind::Username, "joe"), None);
        assert!(!lists.is_banned("a", Some("joe"), "::1".parse().expect("an address"), 2));
    }

    #[test]
    fn the_newest_right_of_the_nearest_holder_decides() {
        let mut lists = Lists::default();
        let right = |topic: &str, allow, at| Right {
            topic: topic.into(),
            action: Action::PubSub,
            allow,
            created_at: at,
        };
        put(&mut lists, &Right::key(Kind::All, "", "#"), &right("#", false, 3));
        put(&mut lists, &Right::key(Kind::Username, "joe", "a/#"), &right("a/#", true, 1));
        put(&mut lists, &Right::key(Kind::Username, "joe", "a/b"), &right("a/b", false, 2));
        let joe = who("c", Some("joe"));
        assert_eq!(lists.first(&joe, Deed::Subscribe, "a/c"), Some(Verdict::Allow));
        assert_eq!(lists.first(&joe, Deed::Subscribe, "a/b"), Some(Verdict::Deny));
        assert_eq!(lists.first(&who("c", None), Deed::Subscribe, "a/c"), Some(Verdict::Deny));
        assert!(lists.concern(&joe));
        lists.apply(&Right::key(Kind::All, "", "#"), None);
        assert!(!lists.concern(&who("c", None)));
    }

    #[test]
    fn what_is_not_understood_has_no_effect() {
        let mut lists = Lists::default();
        assert_eq!(lists.apply(b"ban\0someone\0x", Some(b"{}")), None);
        assert_eq!(lists.apply(b"\xff", None), None);
        assert_eq!(lists.apply(b"later\0all\0", Some(b"{}")), None);
        assert!(lists.bans(0).is_empty());
    }
}
