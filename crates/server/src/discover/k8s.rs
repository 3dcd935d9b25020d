//! `cluster.discovery = k8s`: the endpoints of a service are the nodes. Its EndpointSlices are read, and its Endpoints
//! where it has no slices or they may not be read. Addresses that are not ready count too: a node becomes ready by
//! being found. Where the API server lets us watch, a change begins a round at once, and nothing is asked between.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Board, http};
use crate::settings::{AddressType, ClientTls};

/// What a pod is given to speak to the API server with. The token in it is renewed by and by.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long the API server may hold one watch.
const WATCH_SECS: u64 = 240;
/// How long a watch may be silent beyond that.
const WATCH_LIMIT: Duration = Duration::from_secs(WATCH_SECS + 30);
/// The longest event of a watch; a slice has at most 1,000 addresses.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// How names of nodes are made.
#[derive(Clone)]
pub(super) struct Naming {
    pub app: String,
    pub kind: AddressType,
    pub suffix: String,
    pub namespace: String,
    pub service: String,
}

/// What lists the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Slices,
    Endpoints,
}

/// Objects by name, and the names of nodes in each.
type Held = BTreeMap<String, Vec<String>>;

/// One service, asked for.
pub(super) struct K8s {
    server: Rc<Server>,
    kind: Kind,
    /// What a watch holds; none while none stands.
    watched: Rc<RefCell<Option<Held>>>,
    watch: Option<tokio::task::JoinHandle<()>>,
    board: Arc<Board>,
    remark: String,
}

struct Server {
    url: String,
    naming: Naming,
}

impl K8s {
    pub fn new(apiserver: &str, naming: Naming, board: Arc<Board>) -> K8s {
        K8s {
            server: Rc::new(Server { url: apiserver.trim_end_matches('/').to_owned(), naming }),
            kind: Kind::Slices,
            watched: Rc::default(),
            watch: None,
            board,
            remark: String::new(),
        }
    }

    pub fn asks(&self) -> String {
        let Naming { namespace, service, .. } = &self.server.naming;
        let what = if self.kind == Kind::Slices { "EndpointSlices" } else { "Endpoints" };
        format!("Kubernetes at {} for the {what} of {namespace}/{service}", self.server.url)
    }

    pub fn noticed(&self) -> String {
        self.remark.clone()
    }

    pub async fn ask(&mut self) -> Result<Vec<String>, String> {
        if let Some(held) = &*self.watched.borrow()
            && held.values().any(|nodes| !nodes.is_empty())
        {
            return Ok(nodes_of(held));
        }
        self.remark.clear();
        let slices = self.server.list(Kind::Slices).await;
        let (kind, (held, version)) = match slices {
            Ok((held, version)) if held.values().any(|nodes| !nodes.is_empty()) => {
                (Kind::Slices, (held, version))
            }
            // The way of before 1.21, and where the account may read only that.
            Ok(_) => (Kind::Endpoints, self.server.list(Kind::Endpoints).await?),
            Err(Failure::Denied(why)) => {
                self.remark = format!("the EndpointSlices are not to be had: {why}");
                (Kind::Endpoints, self.server.list(Kind::Endpoints).await?)
            }
            Err(Failure::Other(why)) => return Err(why),
        };
        self.kind = kind;
        let nodes = nodes_of(&held);
        self.watch_on(kind, held, version);
        Ok(nodes)
    }

    /// Watches from what was listed on.
    fn watch_on(&mut self, kind: Kind, held: Held, version: String) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        *self.watched.borrow_mut() = None;
        let (server, watched, board) = (self.server.clone(), self.watched.clone(), self.board.clone());
        self.watch = Some(tokio::task::spawn_local(async move {
            let why = server.watch(kind, held, version, &watched, &board).await;
            *watched.borrow_mut() = None;
            tracing::debug!("Kubernetes is not watched any more, but asked anew: {why}");
        }));
    }
}

impl Drop for K8s {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

fn nodes_of(held: &Held) -> Vec<String> {
    let mut nodes: Vec<String> = held.values().flatten().cloned().collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Why a list was not had.
enum Failure {
    /// 403 or 404: not for this account, or not of this server.
    Denied(String),
    Other(String),
}

impl From<Failure> for String {
    fn from(failure: Failure) -> String {
        match failure {
            Failure::Denied(why) | Failure::Other(why) => why,
        }
    }
}

impl Server {
    /// The objects, and the version from which a watch goes on.
    async fn list(&self, kind: Kind) -> Result<(Held, String), Failure> {
        let Naming { namespace, service, .. } = &self.naming;
        let path = match kind {
            Kind::Slices => format!(
                "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}"
            ),
            // By name: an account may be allowed to get it and not to list.
            Kind::Endpoints => format!("/api/v1/namespaces/{namespace}/endpoints/{service}"),
        };
        let answer = self.get(&path, None).await.map_err(Failure::Other)?;
        let status = answer.status();
        let bytes = http::body(answer).await.map_err(Failure::Other)?;
        let document: Option<Value> = serde_json::from_slice(&bytes).ok();
        if !status.is_success() {
            let words = document.as_ref().and_then(|d| d["message"].as_str()).unwrap_or_default();
            let why = format!("{} {words}", status.as_u16());
            let is_denied = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
            return Err(if is_denied { Failure::Denied(why) } else { Failure::Other(why) });
        }
        let Some(document) = document else {
            return Err(Failure::Other("what answers is no API server of Kubernetes".into()));
        };
        let version = document["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let objects = match kind {
            Kind::Slices => list(&document["items"]),
            Kind::Endpoints => std::slice::from_ref(&document),
        };
        let held = objects.iter().map(|object| (name_of(object), self.naming.nodes(kind, object))).collect();
        Ok((held, version))
    }

    /// Holds what changes, for as long as the API server allows; why it ended.
    async fn watch(
        &self,
        kind: Kind,
        mut held: Held,
        mut version: String,
        watched: &RefCell<Option<Held>>,
        board: &Board,
    ) -> String {
        let Naming { namespace, service, .. } = &self.naming;
        loop {
            let rest = format!("&watch=true&resourceVersion={version}&timeoutSeconds={WATCH_SECS}");
            let path = match kind {
                Kind::Slices => format!(
                    "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}{rest}"
                ),
                Kind::Endpoints => {
                    format!(
                        "/api/v1/namespaces/{namespace}/endpoints?fieldSelector=metadata.name%3D{service}{rest}"
                    )
                }
            };
            let mut answer = match self.get(&path, Some(WATCH_LIMIT)).await {
                Ok(answer) if answer.status().is_success() => answer,
                Ok(answer) => return format!("{}", answer.status().as_u16()),
                Err(why) => return why,
            };
            *watched.borrow_mut() = Some(held.clone());
            let mut lines = Vec::new();
            loop {
                match answer.chunk().await {
                    Ok(Some(bytes)) => lines.extend_from_slice(&bytes),
                    // Its time is over: on to the next.
                    Ok(None) => break,
                    Err(error) => return http::explain(&error),
                }
                while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = lines.drain(..=end).collect();
                    let Ok(event) = serde_json::from_slice::<Value>(&line) else {
                        return "an event that is no JSON".into();
                    };
                    let object = &event["object"];
                    match event["type"].as_str() {
                        Some("ADDED" | "MODIFIED") => {
                            held.insert(name_of(object), self.naming.nodes(kind, object));
                        }
                        Some("DELETED") => drop(held.remove(&name_of(object))),
                        Some("BOOKMARK") => {}
                        _ => return object["message"].as_str().unwrap_or("an error").to_owned(),
                    }
                    if let Some(newer) = object["metadata"]["resourceVersion"].as_str() {
                        version = newer.to_owned();
                    }
                    *watched.borrow_mut() = Some(held.clone());
                    board.wake();
                }
                if lines.len() > EVENT_BYTES_MAX {
                    return "an event that is too long".into();
                }
            }
        }
    }

    async fn get(&self, path: &str, limit: Option<Duration>) -> Result<reqwest::Response, String> {
        let authorities = Path::new(ACCOUNT).join("ca.crt");
        let files =
            ClientTls { cacertfile: authorities.exists().then_some(authorities), ..ClientTls::default() };
        let client = http::client(self.url.starts_with("https"), &files)?;
        let mut request = client.get(format!("{}{path}", self.url)).header("accept", "application/json");
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        // Read anew each time: it is renewed in place.
        if let Ok(token) = std::fs::read_to_string(Path::new(ACCOUNT).join("token")) {
            request = request.bearer_auth(token.replace(['\n', '\r'], ""));
        }
        request.send().await.map_err(|e| http::explain(&e))
    }
}

impl Naming {
    /// The names of the nodes in one object.
    fn nodes(&self, kind: Kind, object: &Value) -> Vec<String> {
        let mut nodes = Vec::new();
        match kind {
            Kind::Slices => {
                for endpoint in list(&object["endpoints"]) {
                    let hostname = endpoint["hostname"].as_str();
                    let addresses = list(&endpoint["addresses"]).iter().filter_map(Value::as_str);
                    nodes.extend(addresses.filter_map(|address| self.node(address, hostname)));
                }
            }
            Kind::Endpoints => {
                for subset in list(&object["subsets"]) {
                    for one in list(&subset["addresses"]).iter().chain(list(&subset["notReadyAddresses"])) {
                        let address = one["ip"].as_str().unwrap_or_default();
                        nodes.extend(self.node(address, one["hostname"].as_str()));
                    }
                }
            }
        }
        nodes
    }

    fn node(&self, address: &str, hostname: Option<&str>) -> Option<String> {
        let Naming { app, suffix, namespace, service, .. } = self;
        let host = match self.kind {
            AddressType::Ip => address.to_owned(),
            AddressType::Dns => {
                let dashed = address.replace(['.', ':'], "-");
                if suffix.is_empty() { dashed } else { format!("{dashed}.{namespace}.{suffix}") }
            }
            AddressType::Hostname => {
                let hostname = hostname?;
                if suffix.is_empty() {
                    hostname.to_owned()
                } else {
                    format!("{hostname}.{service}.{namespace}.{suffix}")
                }
            }
        };
        (!address.is_empty()).then(|| format!("{app}@{host}"))
    }
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn naming(kind: AddressType, suffix: &str) -> Naming {
        Naming {
            app: "emqx".into(),
            kind,
            suffix: suffix.into(),
            namespace: "default".into(),
            service: "mq".into(),
        }
    }

    #[test]
    fn names_are_made_as_in_4_4_and_of_addresses_that_are_not_ready_too() {
        let slice = json!({ "endpoints": [
            { "addresses": ["172.17.0.3"], "hostname": "emqx-0", "conditions": { "ready": true } },
            { "addresses": ["172.17.0.4"], "conditions": { "ready": false } },
        ] });
        let endpoints = json!({ "subsets": [{
            "addresses": [{ "ip": "172.17.0.3", "hostname": "emqx-0" }],
            "notReadyAddresses": [{ "ip": "172.17.0.4" }],
        }] });
        for (kind, object) in [(Kind::Slices, &slice), (Kind::Endpoints, &endpoints)] {
            for (naming, names) in [
                (naming(AddressType::Ip, "pod.local"), &["emqx@172.17.0.3", "emqx@172.17.0.4"][..]),
                (naming(AddressType::Dns, ""), &["emqx@172-17-0-3", "emqx@172-17-0-4"]),
                (
                    naming(AddressType::Dns, "pod.cluster.local"),
                    &[
                        "emqx@172-17-0-3.default.pod.cluster.local",
                        "emqx@172-17-0-4.default.pod.cluster.local",
                    ],
                ),
                (naming(AddressType::Hostname, ""), &["emqx@emqx-0"]),
                (
                    naming(AddressType::Hostname, "svc.cluster.local"),
                    &["emqx@emqx-0.mq.default.svc.cluster.local"],
                ),
            ] {
                assert_eq!(naming.nodes(kind, object), names);
            }
        }
    }

    #[test]
    fn whatever_answers_makes_no_node_and_no_fault() {
        let naming = naming(AddressType::Ip, "");
        for document in [json!(null), json!({ "endpoints": 1, "subsets": [1, { "addresses": [{}] }] })] {
            assert_eq!(naming.nodes(Kind::Slices, &document), Vec::<String>::new());
            assert_eq!(naming.nodes(Kind::Endpoints, &document), Vec::<String>::new());
        }
    }
}
