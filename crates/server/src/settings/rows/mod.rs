//! All declared settings, by group.

mod access;
mod auth;
mod bridge;
mod broker;
mod cluster;
mod gateway;
mod listener_tcp;
mod listener_ws;
mod log;
mod management;
mod mqtt;
mod node;
mod retainer;

use super::table::Group;

/// The groups in the order of the reference page. Several groups are named `core`: together they are the keys of `etc/emqx.conf`.
pub const GROUPS: &[Group] = &[
    Group { name: "core", title: "Cluster", rows: cluster::ROWS },
    Group { name: "core", title: "Node", rows: node::ROWS },
    Group { name: "core", title: "Log", rows: log::ROWS },
    Group { name: "core", title: "Login and access", rows: access::ROWS },
    Group { name: "core", title: "MQTT", rows: mqtt::ROWS },
    Group { name: "core", title: "Listeners for TCP, TLS and QUIC", rows: listener_tcp::ROWS },
    Group { name: "core", title: "Listeners for WebSocket", rows: listener_ws::ROWS },
    Group { name: "core", title: "Broker", rows: broker::ROWS },
    Group { name: "emqx_auth_http", title: "Login by HTTP", rows: auth::AUTH_HTTP },
    Group { name: "emqx_auth_jwt", title: "Login by JWT", rows: auth::AUTH_JWT },
    Group { name: "emqx_auth_ldap", title: "Login by LDAP", rows: auth::AUTH_LDAP },
    Group { name: "emqx_auth_mnesia", title: "Built-in users", rows: auth::AUTH_MNESIA },
    Group { name: "emqx_auth_mongo", title: "Login by MongoDB", rows: auth::AUTH_MONGO },
    Group { name: "emqx_auth_mysql", title: "Login by MySQL", rows: auth::AUTH_MYSQL },
    Group { name: "emqx_auth_pgsql", title: "Login by PostgreSQL", rows: auth::AUTH_PGSQL },
    Group { name: "emqx_auth_redis", title: "Login by Redis", rows: auth::AUTH_REDIS },
    Group { name: "emqx_bridge_mqtt", title: "Bridges to other brokers", rows: bridge::BRIDGE_MQTT },
    Group { name: "emqx_exhook", title: "Hook servers", rows: bridge::EXHOOK },
    Group { name: "emqx_rule_engine", title: "Rules", rows: bridge::RULE_ENGINE },
    Group { name: "emqx_web_hook", title: "Web hooks", rows: bridge::WEB_HOOK },
    Group { name: "emqx_prometheus", title: "Prometheus", rows: bridge::PROMETHEUS },
    Group { name: "emqx_telemetry", title: "Usage data", rows: bridge::TELEMETRY },
    Group { name: "emqx_coap", title: "CoAP", rows: gateway::COAP },
    Group { name: "emqx_exproto", title: "Protocols of one's own", rows: gateway::EXPROTO },
    Group { name: "emqx_lwm2m", title: "LwM2M", rows: gateway::LWM2M },
    Group { name: "emqx_sn", title: "MQTT-SN", rows: gateway::SN },
    Group { name: "emqx_stomp", title: "STOMP", rows: gateway::STOMP },
    Group { name: "emqx_psk_file", title: "Pre-shared keys", rows: gateway::PSK_FILE },
    Group { name: "emqx_retainer", title: "Retained messages", rows: retainer::RETAINER },
    Group { name: "emqx_management", title: "HTTP API", rows: management::MANAGEMENT },
    Group { name: "emqx_dashboard", title: "Dashboard", rows: management::DASHBOARD },
];
