//! The questions about access: who is banned, who has a password, who may do what.

use super::*;
use crate::access::{Ban, Kind, Right, User, passwords};
use crate::api::shapes::{Banned, Module, RightShape, UserShape};
use crate::api::{Access, Secret};
use crate::settings::BuiltInUser;

impl api::Access for Operator {
    async fn banned(&self, page: Page) -> Result<Listing<Banned>, Refusal> {
        let lists = self.gate.lists();
        let shape = |(kind, who, ban): (Kind, &str, &Ban)| Banned {
            kind: kind.word().into(),
            who: who.into(),
            by: Some(ban.by.clone()),
            reason: Some(ban.reason.clone()),
            at: Some(ban.at),
            until: ban.until,
        };
        Ok(page.of(lists.bans(now_secs()).into_iter().map(shape)))
    }

    async fn ban(&self, ban: Banned) -> Result<(), Refusal> {
        let key = Ban::key(Kind::parse(&ban.kind).unwrap_or(Kind::ClientId), &ban.who);
        let ban = Ban {
            by: ban.by.unwrap_or_else(|| "user".into()),
            reason: ban.reason.unwrap_or_default(),
            at: ban.at.unwrap_or_else(now_secs),
            until: ban.until,
        };
        self.write_access(key, Some(json!(ban))).await
    }

    async fn unban(&self, kind: Kind, who: String) -> Result<bool, Refusal> {
        let key = Ban::key(kind, &who);
        let found = self.gate.lists().bans(now_secs()).iter().any(|(k, w, _)| Ban::key(*k, w) == key);
        self.remove_if(found, key).await
    }

    async fn users(&self, kind: Kind, page: Page) -> Result<Listing<UserShape>, Refusal> {
        let lists = self.gate.lists();
        let name = |name: &str, of: Kind| (kind == of).then(|| name.to_owned());
        let all: Vec<_> = lists.users().into_iter().filter(|(k, ..)| *k == kind).collect();
        Ok(page.of(all.into_iter().map(|(_, user, known)| UserShape {
            username: name(user, Kind::Username),
            clientid: name(user, Kind::ClientId),
            created_at_ms: known.created_at,
        })))
    }

    async fn set_user(&self, kind: Kind, name: String, secret: Secret, new: bool) -> Result<bool, Refusal> {
        if self.has_user(kind, &name) == new {
            return Ok(false);
        }
        let hash = match secret {
            // It takes its time, and control has none.
            Secret::Password(password) => {
                let hashed = tokio::task::spawn_blocking(move || passwords::hash(password.as_bytes()));
                hashed.await.ok().flatten()
            }
            Secret::Kept(kept) => passwords::brought(self.brought, &kept),
        };
        let Some(hash) = hash else {
            return Err(Refusal::new(Code::BadParameter, "bad_parameter", "that is no password to keep"));
        };
        let user = User { hash, created_at: Clock::epoch().0 };
        self.write_access(User::key(kind, &name), Some(json!(user))).await?;
        Ok(true)
    }

    async fn delete_user(&self, kind: Kind, name: String) -> Result<bool, Refusal> {
        self.remove_if(self.has_user(kind, &name), User::key(kind, &name)).await
    }

    async fn rights(
        &self,
        kind: Option<Kind>,
        name: Option<String>,
        page: Page,
    ) -> Result<Listing<RightShape>, Refusal> {
        let lists = self.gate.lists();
        let meant = |(of, who, _): &(Kind, &str, &Right)| {
            kind.is_none_or(|kind| kind == *of) && name.as_deref().is_none_or(|name| name == *who)
        };
        let all: Vec<_> = lists.rights().into_iter().filter(meant).collect();
        Ok(page.of(all
            .into_iter()
            .map(|(kind, name, right)| RightShape::new(kind, name, &right.topic, right.action, right.allow))))
    }

    async fn give_right(&self, shape: RightShape) -> Result<(), Refusal> {
        let allow = match shape.access.as_str() {
            "allow" => true,
            "deny" => false,
            _ => return Err(Refusal::new(Code::BadParameter, "bad_parameter", "access is allow or deny")),
        };
        let (kind, name) = shape.holder();
        let key = Right::key(kind, name, &shape.topic);
        let right =
            Right { topic: shape.topic.clone(), action: shape.action, allow, created_at: Clock::epoch().0 };
        self.write_access(key, Some(json!(right))).await
    }

    async fn delete_right(&self, kind: Kind, name: String, topic: String) -> Result<bool, Refusal> {
        let is_it = |(k, n, right): &(Kind, &str, &Right)| (*k, *n) == (kind, &*name) && right.topic == topic;
        let found = self.gate.lists().rights().iter().any(is_it);
        self.remove_if(found, Right::key(kind, &name, &topic)).await
    }

    async fn clean_acl_cache(&self, at: At, clientid: Option<String>) -> Result<bool, Refusal> {
        let all = self.answers::<bool>(at, Question::CleanAclCache(clientid)).await?;
        Ok(all.into_iter().any(|(_, done)| done))
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module {
            name: crate::access::FILE_MODULE.into(),
            description: "EMQ X Internal ACL Module".into(),
            active: self.gate.has_file(),
        }]
    }

    async fn reload_module(&self, name: String) -> Result<(), Refusal> {
        if name != crate::access::FILE_MODULE {
            return Err(Refusal::new(
                Code::Unknown,
                "not_found",
                format!("there is no module {name} to reload"),
            ));
        }
        match self.gate.reload() {
            Ok(rules) => {
                tracing::info!(rules, "the access rules have been read anew");
                crate::node::recheck(&self.shards);
                Ok(())
            }
            Err(why) => {
                Err(Refusal::new(Code::Unknown, "bad_rules", format!("the old rules stay in force: {why}")))
            }
        }
    }
}

impl Operator {
    /// Makes the users whom the configuration names, as far as nobody of that name is there.
    pub async fn make_users(&self, users: &[BuiltInUser]) {
        for user in users {
            let kind = if user.is_client { Kind::ClientId } else { Kind::Username };
            let secret = Secret::Password(user.password.reveal().to_owned());
            match self.set_user(kind, user.name.clone(), secret, true).await {
                Ok(true) => tracing::info!(name = user.name, "a user of the configuration is made"),
                Ok(false) => {}
                Err(refusal) => {
                    tracing::error!(name = user.name, ?refusal, "a user of the configuration cannot be made");
                }
            }
        }
    }

    fn has_user(&self, kind: Kind, name: &str) -> bool {
        self.gate.lists().user(kind, name).is_some()
    }

    async fn remove_if(&self, found: bool, key: Vec<u8>) -> Result<bool, Refusal> {
        if found {
            self.write_access(key, None).await?;
        }
        Ok(found)
    }

    async fn write_access(&self, key: Vec<u8>, value: Option<Value>) -> Result<(), Refusal> {
        let value = value.map(|value| value.to_string().into_bytes());
        let done = self.control.ask(move |control| control.write_access(&key, value.as_deref())).await;
        done.map_err(|_| Refusal::new(Code::Unknown, "failed", "the node stops"))
    }

    pub(super) async fn own_clean_acl_cache(&self, clientid: Option<String>) -> bool {
        match clientid {
            None => {
                self.at_all(|worker| worker.machine().0.forget_decided(None)).await;
                true
            }
            Some(id) => {
                let key = id.clone();
                let done = self.at_home(&id, move |worker| {
                    let machine = worker.machine().0;
                    machine.forget_decided(Some(&key));
                    machine.client(&key).is_some()
                });
                done.await.unwrap_or(false)
            }
        }
    }
}

fn now_secs() -> u64 {
    Clock::epoch().0 / 1_000
}
