//! The REST API: paths, and the JSON that goes with them. One table says which paths there are; what a path does is one
//! function that asks the [`Node`] and nothing else. Over the Unix socket of the data directory whoever owns the node
//! needs no password; `emqx_ctl` is one such client and can do nothing that others cannot.

mod access;
mod answers;
mod asked;
mod doctor;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod fuzz;
mod node;
pub mod shapes;
mod socket;
#[cfg(test)]
mod tests;
pub mod words;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};

use asked::{Answer, Asked, http_error};

pub use doctor::{Hello, HelloError, Own, PortMode, Probe, examine};
pub use node::{Access, At, Code, ListenerChange, Listing, LogChange, Node, Page, Refusal, Secret, Who};
pub use socket::{Door, SOCKET_NAME, bind, connect, serve};

/// The levels of the log, the most talkative first.
pub const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// What a node is called in a path that means the one that is asked. A name has an `@`, so none can clash with it.
pub const SELF: &str = "self";

/// The most that a request's body may hold, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// One row of the table of endpoints.
pub struct Endpoint<N> {
    pub method: Method,
    pub path: &'static str,
    /// What it is for, in a line.
    pub does: &'static str,
    run: Run<N>,
}

type Run<N> = fn(Arc<N>, Asked) -> Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send>>;

macro_rules! table {
    ($($method:ident $path:literal $run:expr, $does:literal;)*) => {
        vec![$(Endpoint {
            method: Method::$method,
            path: $path,
            does: $does,
            run: |node, asked| Box::pin($run(node, asked)),
        }),*]
    };
}

/// Every path there is.
pub fn endpoints<N: Node>() -> Vec<Endpoint<N>> {
    use access::*;
    use answers::*;

    use crate::access::Kind;

    table! {
        GET "/status" status, "Whether the node runs, as text for load balancers.";
        GET "/api/v4" paths, "Every path there is.";
        GET "/api/v4/brokers" brokers, "Version and uptime of every running node.";
        GET "/api/v4/brokers/{node}" brokers, "Version and uptime of one node.";
        GET "/api/v4/nodes" nodes, "Load, memory and connections of every member; stopped ones are named.";
        GET "/api/v4/nodes/{node}" nodes, "Load, memory and connections of one node.";
        GET "/api/v4/stats" stats, "Gauges of every running node.";
        GET "/api/v4/nodes/{node}/stats" stats, "Gauges of one node.";
        GET "/api/v4/metrics" metrics, "Counters of every running node.";
        GET "/api/v4/nodes/{node}/metrics" metrics, "Counters of one node.";
        GET "/api/v4/clients" clients, "Clients of the cluster.";
        GET "/api/v4/clients/{clientid}" clients, "One client, wherever it is.";
        GET "/api/v4/clients/username/{username}" clients, "Clients of one user name.";
        GET "/api/v4/nodes/{node}/clients" clients, "Clients of one node.";
        GET "/api/v4/nodes/{node}/clients/{clientid}" clients, "One client of one node.";
        GET "/api/v4/nodes/{node}/clients/username/{username}" clients, "Clients of one user name on one node.";
        DELETE "/api/v4/clients/{clientid}" kick, "Ends a client's connection and its session, wherever it is.";
        DELETE "/api/v4/nodes/{node}/clients/{clientid}" kick, "Ends a client's connection and its session on one node.";
        GET "/api/v4/subscriptions" subscriptions, "Subscriptions of the cluster.";
        GET "/api/v4/subscriptions/{clientid}" subscriptions, "Subscriptions of one client.";
        GET "/api/v4/nodes/{node}/subscriptions" subscriptions, "Subscriptions of one node.";
        GET "/api/v4/nodes/{node}/subscriptions/{clientid}" subscriptions, "Subscriptions of one client of one node.";
        POST "/api/v4/mqtt/subscribe" subscribe, "Subscribes a client: clientid, topic or topics, qos.";
        POST "/api/v4/mqtt/unsubscribe" unsubscribe, "Unsubscribes a client: clientid, topic.";
        GET "/api/v4/routes" routes, "Which node has subscribers of which topic filter.";
        GET "/api/v4/routes/{topic}" routes, "Which nodes have subscribers of one topic filter.";
        GET "/api/v4/listeners" listeners, "Listeners of every running node.";
        GET "/api/v4/nodes/{node}/listeners" listeners, "Listeners of one node.";
        PUT "/api/v4/nodes/{node}/listeners/{identifier}/start" start_listener, "Opens a listener that was stopped.";
        PUT "/api/v4/nodes/{node}/listeners/{identifier}/stop" stop_listener, "Closes a listener; its clients stay connected.";
        PUT "/api/v4/nodes/{node}/listeners/{identifier}/restart" restart_listener, "Opens a listener anew, with its certificates read again; its clients stay connected.";
        DELETE "/api/v4/pem-cache" reread_certificates, "Reads the certificates of the listeners anew, on every node; who is connected stays so.";
        DELETE "/api/v4/nodes/{node}/pem-cache" reread_certificates, "The same on one node.";
        GET "/api/v4/retainer" retainer, "How many retained messages there are.";
        GET "/api/v4/retainer/topics" retained_topics, "Topics of the retained messages.";
        DELETE "/api/v4/retainer" clean_retained, "Removes all retained messages.";
        DELETE "/api/v4/retainer/topics/{topic}" clean_retained, "Removes the retained messages that match a topic filter.";
        GET "/api/v4/banned" banned, "Who is banned.";
        POST "/api/v4/banned" ban, "Bans somebody and ends their sessions: as (clientid, username, peerhost), who, until, by, reason.";
        DELETE "/api/v4/banned/{as}/{who}" unban, "Ends a ban.";
        GET "/api/v4/auth_clientid" |node, asked| users(node, Kind::ClientId, asked), "Client ids that have a password.";
        POST "/api/v4/auth_clientid" |node, asked| add_user(node, Kind::ClientId, asked), "Gives a client id a password: clientid, password, or password_hash as EMQ X 4.4 exports it.";
        PUT "/api/v4/auth_clientid/{name}" |node, asked| update_user(node, Kind::ClientId, asked), "Changes the password of a client id: password.";
        DELETE "/api/v4/auth_clientid/{name}" |node, asked| delete_user(node, Kind::ClientId, asked), "Removes the password of a client id.";
        GET "/api/v4/auth_username" |node, asked| users(node, Kind::Username, asked), "Users.";
        POST "/api/v4/auth_username" |node, asked| add_user(node, Kind::Username, asked), "Adds a user: username, password, or password_hash as EMQ X 4.4 exports it.";
        PUT "/api/v4/auth_username/{name}" |node, asked| update_user(node, Kind::Username, asked), "Changes the password of a user: password.";
        DELETE "/api/v4/auth_username/{name}" |node, asked| delete_user(node, Kind::Username, asked), "Removes a user.";
        GET "/api/v4/acl" rights, "Rights that were given or denied by command.";
        GET "/api/v4/acl/{kind}" rights, "Those of client ids (clientid), of users (username), of everybody ($all).";
        GET "/api/v4/acl/{kind}/{name}" rights, "Those of one client id or user.";
        POST "/api/v4/acl" give_right, "Gives or denies a right: clientid or username or neither, topic, action (pub, sub, pubsub), access (allow, deny).";
        DELETE "/api/v4/acl/$all/topic/{topic}" delete_right, "Removes a right of everybody.";
        DELETE "/api/v4/acl/{kind}/{name}/topic/{topic}" delete_right, "Removes a right of a client id or user.";
        DELETE "/api/v4/acl-cache" clean_acl_cache, "Forgets what is remembered of the rules' answers, on every node.";
        DELETE "/api/v4/nodes/{node}/acl-cache" clean_acl_cache, "The same on one node.";
        DELETE "/api/v4/clients/{clientid}/acl_cache" clean_acl_cache, "The same of one client, wherever it is.";
        GET "/api/v4/modules" modules, "Modules of the node.";
        PUT "/api/v4/modules/{name}/reload" reload_module, "Reads the module's files anew and asks the rules again for all who are here.";
        GET "/api/v4/vm" vm, "What the node's process uses.";
        GET "/api/v4/log" log, "Levels and destinations of the log.";
        PUT "/api/v4/log/level" set_log_level, "Sets the primary level and that of every destination: level.";
        PUT "/api/v4/log/primary_level" set_primary_log_level, "Sets the primary level: level.";
        PUT "/api/v4/log/handlers/{id}" change_log_handler, "Changes one destination: level, or status (started, stopped).";
        GET "/api/v4/cluster" cluster_status, "Who is in the cluster, running or stopped.";
        POST "/api/v4/cluster/join" cluster_join, "Joins the cluster of another node: node, dry_run.";
        POST "/api/v4/cluster/leave" cluster_leave, "Leaves the cluster.";
        POST "/api/v4/cluster/force-leave" cluster_force_leave, "Removes another member for good: node.";
        POST "/api/v4/cluster/heal" cluster_heal, "Merges the sides of a partition where autoheal is off.";
        GET "/api/v4/cluster/discovery" cluster_discovery, "Whether automatic discovery acts.";
        PUT "/api/v4/cluster/discovery" set_cluster_discovery, "Switches automatic discovery: enabled.";
        GET "/api/v4/cluster/doctor" cluster_doctor, "What keeps this node and others apart: ?node=, or every member.";
    }
}

/// The table as a service.
pub fn router<N: Node>(node: Arc<N>) -> Router {
    let mut router = Router::new();
    for endpoint in endpoints::<N>() {
        let run = endpoint.run;
        let answer = move |State(node): State<Arc<N>>, asked: Asked| async move {
            match run(node, asked).await {
                Ok(answer) => answer.into_response(),
                Err(refusal) => refusal.into_response(),
            }
        };
        let filter =
            MethodFilter::try_from(endpoint.method).expect("the table holds GET, PUT, POST and DELETE");
        router = router.route(endpoint.path, on(filter, answer));
    }
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(node)
}

async fn no_such_path() -> Response {
    http_error(StatusCode::NOT_FOUND, Code::Unknown, "not_found", "there is no such path")
}

async fn no_such_method() -> Response {
    http_error(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Unknown,
        "method_not_allowed",
        "that path has other methods",
    )
}
