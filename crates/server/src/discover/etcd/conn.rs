//! The servers of etcd: the next one where one does not answer, logins, and errors in words.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::http;
use crate::settings::{ClientTls, Secret};

/// The servers, and the way in.
pub(super) struct Conn {
    servers: Vec<String>,
    /// The server that answered last.
    at: Cell<usize>,
    login: Option<(String, Secret)>,
    ssl: ClientTls,
    /// Of a login by v3.
    token: RefCell<Option<String>>,
}

/// What is sent.
pub(super) enum Body<'a> {
    None,
    Form(&'a [(&'a str, &'a str)]),
    Json(&'a Value),
}

impl Conn {
    pub fn new(servers: Vec<String>, login: Option<(String, Secret)>, ssl: ClientTls) -> Conn {
        let servers = servers.iter().map(|server| server.trim_end_matches('/').to_owned()).collect();
        Conn { servers, at: Cell::new(0), login, ssl, token: RefCell::default() }
    }

    pub fn servers(&self) -> String {
        self.servers.join(", ")
    }

    /// Whether the servers have the API v3 at the path that is used here: 3.4 and later.
    pub async fn has_v3(&self) -> Result<bool, String> {
        let (_, answer) = self.send(Method::GET, "/version", Body::None, None).await?;
        let version = answer["etcdserver"].as_str().unwrap_or_default();
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        Ok((numbers.next(), numbers.next()) >= (Some(3), Some(4)))
    }

    /// Asks by v2: status and document. Logins go by name and password.
    pub async fn v2(
        &self,
        method: Method,
        path: &str,
        form: Body<'_>,
    ) -> Result<(StatusCode, Value), String> {
        self.send(method, &format!("/v2/keys/{path}"), form, None).await
    }

    /// Asks by v3; the document of a success.
    pub async fn v3(&self, path: &str, body: &Value, limit: Option<Duration>) -> Result<Value, String> {
        for attempt in 0..2 {
            if self.login.is_some() && self.token.borrow().is_none() {
                self.log_in().await?;
            }
            let (status, answer) =
                self.send(Method::POST, &format!("/v3/{path}"), Body::Json(body), limit).await?;
            if status.is_success() {
                return Ok(answer);
            }
            let words =
                answer["message"].as_str().or(answer["error"].as_str()).unwrap_or_default().to_owned();
            // Tokens end.
            let is_stale = status == StatusCode::UNAUTHORIZED || words.contains("invalid auth token");
            if attempt == 0 && is_stale && self.token.borrow_mut().take().is_some() {
                continue;
            }
            return Err(format!("{} {words}", status.as_u16()));
        }
        Err("the login is not accepted".into())
    }

    async fn log_in(&self) -> Result<(), String> {
        let Some((name, password)) = &self.login else { return Ok(()) };
        let body = json!({ "name": name, "password": password.reveal() });
        let (status, answer) =
            self.send(Method::POST, "/v3/auth/authenticate", Body::Json(&body), None).await?;
        match answer["token"].as_str() {
            Some(token) if status.is_success() => {
                *self.token.borrow_mut() = Some(token.to_owned());
                Ok(())
            }
            _ => {
                let words = answer["message"].as_str().or(answer["error"].as_str()).unwrap_or("no token");
                Err(format!("the login as {name} failed: {} {words}", status.as_u16()))
            }
        }
    }

    /// Asks each server once, beginning with the one that answered last, until one answers.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
        limit: Option<Duration>,
    ) -> Result<(StatusCode, Value), String> {
        let mut failures = Vec::new();
        for turn in 0..self.servers.len() {
            let at = (self.at.get() + turn) % self.servers.len();
            let server = &self.servers[at];
            match self.send_to(server, &method, path, &body, limit).await {
                // A server that is cut off from the others says so in this way.
                Ok((status, answer)) if status.is_server_error() => {
                    let words = answer["message"].as_str().or(answer["error"].as_str()).unwrap_or_default();
                    failures.push(format!("{server}: {} {words}", status.as_u16()));
                }
                Ok(answer) => {
                    self.at.set(at);
                    return Ok(answer);
                }
                Err(why) => failures.push(format!("{server}: {why}")),
            }
        }
        Err(failures.join("; "))
    }

    async fn send_to(
        &self,
        server: &str,
        method: &Method,
        path: &str,
        body: &Body<'_>,
        limit: Option<Duration>,
    ) -> Result<(StatusCode, Value), String> {
        // Made anew: certificates are renewed in place.
        let client = http::client(server.starts_with("https"), &self.ssl)?;
        let mut request = client.request(method.clone(), format!("{server}{path}"));
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        match body {
            Body::None => {}
            Body::Form(fields) => {
                let text: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
                let kind = "application/x-www-form-urlencoded";
                request = request.header("content-type", kind).body(text.join("&"));
            }
            Body::Json(value) => request = request.json(value),
        }
        if path.starts_with("/v2/") {
            if let Some((name, password)) = &self.login {
                request = request.basic_auth(name, Some(password.reveal()));
            }
        } else if let Some(token) = &*self.token.borrow() {
            request = request.header("authorization", token);
        }
        let answer = request.send().await.map_err(|e| http::explain(&e))?;
        let status = answer.status();
        let bytes = http::body(answer).await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}

/// As forms want it.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
