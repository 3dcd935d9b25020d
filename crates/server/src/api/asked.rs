//! From an HTTP request to what was asked, and from the answer to an HTTP response.
//!
//! As in 4.4 a refusal is `{"code":N,"message":…}` with status 200; we add `error`, one word for programs, and `node`.
//! Statuses of 400 and more are for requests that are no question at all.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::node::{At, Code, Listing, Page, Refusal, Who};
use super::shapes::ClusterError;
use super::{SELF, shapes::ClusterCause};

/// How long a request's body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Items a page when none is asked for, as in 4.4.
const PAGE_LIMIT_DEFAULT: usize = 10_000;

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct Asked {
    path: HashMap<String, String>,
    query: HashMap<String, String>,
    body: Bytes,
}

impl Asked {
    /// The node in the path; without one the whole cluster.
    pub fn at(&self, own_name: &str) -> At {
        match self.path.get("node").map(String::as_str) {
            None => At::Cluster,
            Some(name) if name == SELF || name == own_name => At::Here,
            Some(name) => At::Node(name.into()),
        }
    }

    /// The client or user in the path; without one everyone.
    pub fn who(&self) -> Who {
        match (self.path.get("clientid"), self.path.get("username")) {
            (Some(id), _) => Who::ClientId(id.clone()),
            (None, Some(name)) => Who::Username(name.clone()),
            (None, None) => Who::Everyone,
        }
    }

    /// A part of the path; the empty string when the path has no such part.
    pub fn part(&self, name: &str) -> String {
        self.path.get(name).cloned().unwrap_or_default()
    }

    /// A part of the path that not every path to the same question has.
    pub fn part_if_any(&self, name: &str) -> Option<String> {
        self.path.get(name).cloned()
    }

    /// A field after the `?`.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// `_page` and `_limit`.
    pub fn page(&self) -> Result<Page, Refusal> {
        let page = self.count("_page", 1)?;
        let limit = self.count("_limit", PAGE_LIMIT_DEFAULT)?.min(Page::LIMIT_MAX);
        Ok(Page { page, limit })
    }

    fn count(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.query.get(name) else { return Ok(default) };
        text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Refusal::new(
                Code::BadParameter,
                "bad_parameter",
                format!("{name} must be a number from 1, not {text}"),
            )
        })
    }

    /// The JSON of the body.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body).map_err(|why| {
            let text = why.to_string();
            match why.classify() {
                serde_json::error::Category::Data if text.starts_with("missing field") => {
                    Refusal::new(Code::MissingParameter, "missing_parameter", text)
                }
                serde_json::error::Category::Data => Refusal::new(Code::BadParameter, "bad_parameter", text),
                _ => Refusal::new(Code::NotJson, "not_json", format!("the body is not JSON: {text}")),
            }
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Asked, Response> {
        let (mut parts, body) = request.into_parts();
        let bad =
            |words: String| http_error(StatusCode::BAD_REQUEST, Code::BadParameter, "bad_request", &words);
        let Path(path) =
            Path::from_request_parts(&mut parts, state).await.map_err(|why| bad(why.body_text()))?;
        let Query(query) =
            Query::from_request_parts(&mut parts, state).await.map_err(|why| bad(why.body_text()))?;
        let reading = Bytes::from_request(Request::from_parts(parts, body), state);
        let body = match tokio::time::timeout(BODY_WAIT, reading).await {
            Ok(Ok(body)) => body,
            Ok(Err(why)) => {
                return Err(http_error(why.status(), Code::BadParameter, "bad_request", &why.body_text()));
            }
            Err(_) => {
                let words = "the body did not arrive in time";
                return Err(http_error(
                    StatusCode::REQUEST_TIMEOUT,
                    Code::BadParameter,
                    "bad_request",
                    words,
                ));
            }
        };
        Ok(Asked { path, query, body })
    }
}

/// What is sent back when all went well.
#[derive(Debug)]
pub(super) enum Answer {
    /// A JSON document, ready.
    Json(Vec<u8>),
    /// Words.
    Text(StatusCode, String),
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    code: u16,
    data: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

#[derive(Serialize)]
struct Meta {
    page: usize,
    limit: usize,
    count: usize,
    hasnext: bool,
}

impl Answer {
    /// `{"code":0,"data":…}`.
    pub fn data<T: Serialize>(data: &T) -> Result<Answer, Refusal> {
        Answer::enveloped(&Envelope { code: 0, data, meta: None })
    }

    /// `{"code":0,"data":[…],"meta":…}`.
    pub fn list<T: Serialize>(listing: &Listing<T>, page: Page) -> Result<Answer, Refusal> {
        let hasnext =
            page.skip().saturating_add(listing.items.len()) < listing.count && !listing.items.is_empty();
        let meta = Meta { page: page.page, limit: page.limit, count: listing.count, hasnext };
        Answer::enveloped(&Envelope { code: 0, data: &listing.items, meta: Some(meta) })
    }

    fn enveloped<T: Serialize>(envelope: &Envelope<'_, T>) -> Result<Answer, Refusal> {
        serde_json::to_vec(envelope).map(Answer::Json).map_err(|why| {
            Refusal::new(Code::Unknown, "failed", format!("the answer cannot be written: {why}"))
        })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Answer::Json(body) => json(StatusCode::OK, body),
            Answer::Text(status, words) => (status, words).into_response(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(StatusCode::OK, &self)
    }
}

impl From<ClusterError> for Refusal {
    fn from(error: ClusterError) -> Refusal {
        let code = match error.cause {
            ClusterCause::NodeDown => Code::RpcFailed,
            _ => Code::Unknown,
        };
        let message = error.to_string();
        Refusal { code, error: error.cause.word().into(), message, node: error.node }
    }
}

/// A request that is no question.
pub(super) fn http_error(status: StatusCode, code: Code, error: &str, words: &str) -> Response {
    refused(status, &Refusal::new(code, error, words))
}

#[derive(Serialize)]
struct RefusalJson<'a> {
    code: u16,
    message: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
}

fn refused(status: StatusCode, refusal: &Refusal) -> Response {
    let shape = RefusalJson {
        code: refusal.code as u16,
        message: &refusal.message,
        error: &refusal.error,
        node: refusal.node.as_deref(),
    };
    json(status, serde_json::to_vec(&shape).expect("strings and numbers always become JSON"))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
