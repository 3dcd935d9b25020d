//! The paths about who may connect, publish and subscribe.

use std::sync::Arc;

use base64::Engine;
use serde::Deserialize;

use super::asked::{Answer, Asked};
use super::node::{Code, Node, Refusal, Secret};
use super::shapes::{Banned, Change, RightShape};
use crate::access::{Action, Kind, is_name};

type Result<T> = std::result::Result<T, Refusal>;

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadParameter, "bad_parameter", message)
}

fn missing(what: &str) -> Refusal {
    Refusal::new(Code::BadParameter, "not_found", format!("there is no {what}"))
}

fn ok() -> Result<Answer> {
    Answer::data(&Change::result("ok"))
}

fn name_of(text: String) -> Result<String> {
    if is_name(&text) { Ok(text) } else { Err(bad("a name of 1 to 65535 bytes without NUL is needed")) }
}

fn kind_of(word: &str) -> Result<Kind> {
    match Kind::parse(word) {
        Some(kind) if kind != Kind::All => Ok(kind),
        _ => Err(bad(format!("{word} is none of clientid, username, peerhost"))),
    }
}

pub(super) async fn banned<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    Answer::list(&node.banned(page).await?, page)
}

pub(super) async fn ban<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let ban: Banned = asked.body()?;
    let kind = kind_of(&ban.kind)?;
    let who = name_of(ban.who.clone())?;
    if kind == Kind::PeerHost && who.parse::<std::net::IpAddr>().is_err() {
        return Err(bad(format!("{who} is no address")));
    }
    node.ban(ban).await?;
    ok()
}

pub(super) async fn unban<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let kind = kind_of(&asked.part("as"))?;
    if node.unban(kind, asked.part("who")).await? { ok() } else { Err(missing("such ban")) }
}

#[derive(Deserialize)]
struct NewUser {
    #[serde(alias = "clientid")]
    username: String,
    #[serde(flatten)]
    secret: SecretJson,
}

#[derive(Deserialize)]
struct SecretJson {
    password: Option<String>,
    /// What 4.4 keeps, in base64.
    password_hash: Option<String>,
}

impl SecretJson {
    fn secret(self) -> Result<Secret> {
        match (self.password, self.password_hash) {
            (Some(password), None) => Ok(Secret::Password(password)),
            (None, Some(kept)) => {
                let kept = base64::engine::general_purpose::STANDARD.decode(kept);
                kept.map(Secret::Kept).map_err(|_| bad("password_hash is not base64"))
            }
            _ => Err(Refusal::new(Code::MissingParameter, "missing_parameter", "missing field `password`")),
        }
    }
}

pub(super) async fn users<N: Node>(node: Arc<N>, kind: Kind, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    Answer::list(&node.users(kind, page).await?, page)
}

pub(super) async fn add_user<N: Node>(node: Arc<N>, kind: Kind, asked: Asked) -> Result<Answer> {
    let NewUser { username, secret } = asked.body()?;
    let name = name_of(username)?;
    if node.set_user(kind, name.clone(), secret.secret()?, true).await? {
        return ok();
    }
    Err(Refusal::new(Code::BadParameter, "existed", format!("there is a {} {name} already", kind.word())))
}

pub(super) async fn update_user<N: Node>(node: Arc<N>, kind: Kind, asked: Asked) -> Result<Answer> {
    let secret = asked.body::<SecretJson>()?.secret()?;
    let name = asked.part("name");
    if node.set_user(kind, name.clone(), secret, false).await? {
        return ok();
    }
    Err(Refusal::new(Code::BadParameter, "noexisted", format!("there is no {} {name}", kind.word())))
}

pub(super) async fn delete_user<N: Node>(node: Arc<N>, kind: Kind, asked: Asked) -> Result<Answer> {
    let name = asked.part("name");
    if node.delete_user(kind, name).await? { ok() } else { Err(missing("such user")) }
}

/// Whose rights a word in a path means.
fn holder(word: &str) -> Result<Kind> {
    match word {
        "clientid" => Ok(Kind::ClientId),
        "username" => Ok(Kind::Username),
        "$all" => Ok(Kind::All),
        _ => Err(bad(format!("{word} is none of clientid, username, $all"))),
    }
}

pub(super) async fn rights<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let page = asked.page()?;
    let kind = asked.part_if_any("kind").map(|word| holder(&word)).transpose()?;
    Answer::list(&node.rights(kind, asked.part_if_any("name"), page).await?, page)
}

pub(super) async fn give_right<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let right: RightShape = asked.body()?;
    let (kind, name) = right.holder();
    if kind != Kind::All {
        name_of(name.to_owned())?;
    }
    if right.clientid.is_some() && right.username.is_some() {
        return Err(bad("either clientid or username"));
    }
    if right.topic.contains('\0') || mqtt::topic::Subscribed::parse(&right.topic, 0).is_none() {
        return Err(Refusal::new(Code::BadTopic, "bad_topic", format!("{} is no topic filter", right.topic)));
    }
    node.give_right(right).await?;
    ok()
}

pub(super) async fn delete_right<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let kind = asked.part_if_any("kind").map_or(Ok(Kind::All), |word| holder(&word))?;
    if node.delete_right(kind, asked.part("name"), asked.part("topic")).await? {
        ok()
    } else {
        Err(missing("such right"))
    }
}

pub(super) async fn clean_acl_cache<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    let clientid = asked.part_if_any("clientid");
    if node.clean_acl_cache(asked.at(&node.name()), clientid.clone()).await? {
        return ok();
    }
    Err(Refusal::no_client(&clientid.unwrap_or_default()))
}

pub(super) async fn modules<N: Node>(node: Arc<N>, _: Asked) -> Result<Answer> {
    Answer::data(&node.modules())
}

pub(super) async fn reload_module<N: Node>(node: Arc<N>, asked: Asked) -> Result<Answer> {
    node.reload_module(asked.part("name")).await?;
    ok()
}

impl RightShape {
    /// Whose right it is.
    pub fn holder(&self) -> (Kind, &str) {
        match (&self.clientid, &self.username) {
            (Some(id), _) => (Kind::ClientId, id),
            (None, Some(name)) => (Kind::Username, name),
            (None, None) => (Kind::All, ""),
        }
    }

    /// As it is shown.
    pub fn new(kind: Kind, name: &str, topic: &str, action: Action, allow: bool) -> RightShape {
        let name = || Some(name.to_owned());
        RightShape {
            clientid: (kind == Kind::ClientId).then(name).flatten(),
            username: (kind == Kind::Username).then(name).flatten(),
            topic: topic.to_owned(),
            action,
            access: if allow { "allow" } else { "deny" }.to_owned(),
        }
    }
}
