//! The conversation with the node: HTTP/1.1 over its Unix socket, one request after another.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Failure, Place, Refused};
use crate::api;

/// How long the node may take to tell something. Where it asks other nodes it gives them 10 s.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// How long the node may take to change something. A join across a slow network is the longest.
const CHANGE_WAIT: Duration = Duration::from_secs(120);

/// Items asked for at once: some 2 MB of clients.
const PAGE_ITEMS: usize = 5_000;

/// A node's socket; opened with the first request.
pub(super) struct Link {
    place: Place,
    open: Option<(Runtime, SendRequest<Full<Bytes>>)>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    hasnext: bool,
}

impl Link {
    pub fn new(place: &Place) -> Link {
        Link { place: place.clone(), open: None }
    }

    /// The data at a path.
    pub fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        Ok(self.ask::<T>(&Method::GET, path, None)?.data)
    }

    /// Asks for a change; the data that comes back.
    pub fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Failure> {
        Ok(self.ask::<T>(&method, path, body)?.data)
    }

    /// Every item of a list, page by page.
    pub fn pages(
        &mut self,
        path: &str,
        take: &mut dyn FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for page in 1_usize.. {
            let path = format!("{path}?_page={page}&_limit={PAGE_ITEMS}");
            let answer: Envelope<Vec<Value>> = self.ask(&Method::GET, &path, None)?;
            answer.data.into_iter().try_for_each(&mut *take)?;
            if !answer.meta.hasnext {
                break;
            }
        }
        Ok(())
    }

    /// What is at a path that is not JSON.
    pub fn text(&mut self, path: &str) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.exchange(&Method::GET, path, None)?).into_owned())
    }

    fn ask<T: DeserializeOwned>(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Envelope<T>, Failure> {
        let answer = self.exchange(method, path, body)?;
        if let Ok(refused) = serde_json::from_slice::<Refused>(&answer) {
            return Err(Failure::Refused(refused));
        }
        serde_json::from_slice(&answer)
            .map_err(|why| Failure::Broken(format!("the answer is not understood: {why}")))
    }

    fn exchange(&mut self, method: &Method, path: &str, body: Option<Value>) -> Result<Bytes, Failure> {
        let body = body.map(|json| json.to_string()).unwrap_or_default();
        let rested = self.open.is_some();
        match self.exchange_once(method, path, &body) {
            // A node hangs up on a connection that rests, as it does while somebody reads the last page. What only asks can
            // be asked again.
            Err(Failure::Broken(_)) if rested && method == Method::GET => {
                self.open = None;
                self.exchange_once(method, path, &body)
            }
            answer => answer,
        }
    }

    fn exchange_once(&mut self, method: &Method, path: &str, body: &str) -> Result<Bytes, Failure> {
        let (runtime, sender) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(open(&self.place)?),
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::HOST, "node")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|why| Failure::Broken(why.to_string()))?;
        let wait = if *method == Method::GET { ANSWER_WAIT } else { CHANGE_WAIT };
        let answer = async {
            sender.ready().await?;
            Ok::<Bytes, hyper::Error>(
                sender.send_request(request).await?.into_body().collect().await?.to_bytes(),
            )
        };
        match runtime.block_on(async { tokio::time::timeout(wait, answer).await }) {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(why)) if why.is_parse() => {
                Err(Failure::Broken(format!("the answer is not understood: {why}")))
            }
            Ok(Err(_)) => Err(Failure::Broken("the node ended the conversation".into())),
            Err(_) => Err(Failure::Silent),
        }
    }
}

fn open(place: &Place) -> Result<(Runtime, SendRequest<Full<Bytes>>), Failure> {
    let broken = |why: &dyn std::fmt::Display| Failure::Broken(why.to_string());
    let stream = api::connect(&place.data_dir).map_err(|why| match why.kind() {
        std::io::ErrorKind::PermissionDenied => Failure::Denied(place.data_dir.join(api::SOCKET_NAME)),
        _ => Failure::NotRunning,
    })?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| broken(&why))?;
    let sender = runtime.block_on(async {
        stream.set_nonblocking(true).map_err(|why| broken(&why))?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(|why| broken(&why))?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|why| broken(&why))?;
        tokio::spawn(async move {
            // What ends the connection is reported by the request that it ends.
            let _ = connection.await;
        });
        Ok::<_, Failure>(sender)
    })?;
    Ok((runtime, sender))
}

/// A word as one part of a path.
pub(super) fn part(word: &str) -> String {
    let mut part = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}
