//! The HTTP API and the dashboard.

use crate::settings::table::{Row, settings};

/// `etc/plugins/emqx_management.conf`.
pub(super) const MANAGEMENT: &[Row] = settings! {
    /// The largest number of rows that one answer of the HTTP API has.
    "management.max_row_limit": Integer = "10000" ships "10000" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// A file of application ids and secrets that exist from the first start.
    "management.bootstrap_apps_file": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The application id that exists from the first start.
    "management.default_application.id": Text = "undefined" ships "admin" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The secret of that application.
    "management.default_application.secret": Text = "undefined" ships "public" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The secret of new applications.
    "management.application.default_secret": Text = "undefined" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The address of the HTTP API.
    "management.listener.http": Listen ships "8081" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How many tasks accept connections.
    "management.listener.http.acceptors": Integer = "4" ships "2" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How many connections may be open.
    "management.listener.http.max_clients": Integer = "512" ships "512" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How many connections may wait to be accepted.
    "management.listener.http.backlog": Integer = "1024" ships "512" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How long a client may refuse to take what is sent to it.
    "management.listener.http.send_timeout": Duration = "15s" ships "15s" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether a client that exceeds that time is closed.
    "management.listener.http.send_timeout_close": Flag = "on" ships "on" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The kernel's receive buffer of a socket.
    "management.listener.http.recbuf": ByteSize => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The kernel's send buffer of a socket.
    "management.listener.http.sndbuf": ByteSize => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The user-level buffer of a socket.
    "management.listener.http.buffer": ByteSize => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether the user-level buffer follows the kernel's.
    "management.listener.http.tune_buffer": Flag => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "management.listener.http.nodelay": OneOf["true", "false"] => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether IPv6 is listened on.
    "management.listener.http.inet6": OneOf["true", "false"] = "false" ships "false" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether IPv6 alone is listened on.
    "management.listener.http.ipv6_v6only": OneOf["true", "false"] = "false" ships "false" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether the PROXY protocol announces the caller's address.
    "management.listener.http.proxy_header": OneOf["true", "false"] = "false" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The address of the HTTP API with TLS.
    "management.listener.https": Listen => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How many tasks accept connections.
    "management.listener.https.acceptors": Integer = "8" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How many connections may be open.
    "management.listener.https.max_clients": Integer = "64" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How many connections may wait to be accepted.
    "management.listener.https.backlog": Integer = "1024" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// How long a client may refuse to take what is sent to it.
    "management.listener.https.send_timeout": Duration = "15s" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether a client that exceeds that time is closed.
    "management.listener.https.send_timeout_close": Flag = "on" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The kernel's receive buffer of a socket.
    "management.listener.https.recbuf": ByteSize => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The kernel's send buffer of a socket.
    "management.listener.https.sndbuf": ByteSize => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The user-level buffer of a socket.
    "management.listener.https.buffer": ByteSize => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether the user-level buffer follows the kernel's.
    "management.listener.https.tune_buffer": Flag => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "management.listener.https.nodelay": OneOf["true", "false"] => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The file of the private key.
    "management.listener.https.keyfile": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The password of the private key.
    "management.listener.https.key_password": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The file of the certificate and its chain.
    "management.listener.https.certfile": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The file of the authorities that may sign the other side's certificate.
    "management.listener.https.cacertfile": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "management.listener.https.verify": Atom => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "management.listener.https.ciphers": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// The versions of TLS that are spoken, separated by commas.
    "management.listener.https.tls_versions": Text => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether a client without a certificate is refused, where it is verified.
    "management.listener.https.fail_if_no_peer_cert": OneOf["true", "false"] => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether IPv6 is listened on.
    "management.listener.https.inet6": OneOf["true", "false"] = "false" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether IPv6 alone is listened on.
    "management.listener.https.ipv6_v6only": OneOf["true", "false"] = "false" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
    /// Whether the PROXY protocol announces the caller's address.
    "management.listener.https.proxy_header": OneOf["true", "false"] = "false" => Later("the HTTP API on a TCP port is not there yet; emqx_ctl speaks it over the node's Unix socket");
};

/// `etc/plugins/emqx_dashboard.conf`.
pub(super) const DASHBOARD: &[Row] = settings! {
    /// The user that exists from the first start.
    "dashboard.default_user.login": Text ships "admin" => Later("the dashboard is not there yet");
    /// The password of that user.
    "dashboard.default_user.password": Text ships "public" => Later("the dashboard is not there yet");
    /// The address of the dashboard.
    "dashboard.listener.http": Listen ships "18083" => Later("the dashboard is not there yet");
    /// How many tasks accept connections.
    "dashboard.listener.http.acceptors": Integer = "4" ships "4" => Later("the dashboard is not there yet");
    /// How many connections may be open.
    "dashboard.listener.http.max_clients": Integer = "512" ships "512" => Later("the dashboard is not there yet");
    /// A rule about client addresses: `allow all`, `deny 10.0.0.0/8`. The rules are tried in the order of their numbers.
    "dashboard.listener.http.access.$id": Text => Later("the dashboard is not there yet");
    /// Whether IPv6 is listened on.
    "dashboard.listener.http.inet6": OneOf["true", "false"] = "false" ships "false" => Later("the dashboard is not there yet");
    /// Whether IPv6 alone is listened on.
    "dashboard.listener.http.ipv6_v6only": OneOf["true", "false"] = "false" ships "false" => Later("the dashboard is not there yet");
    /// The address of the dashboard with TLS.
    "dashboard.listener.https": Listen => Later("the dashboard is not there yet");
    /// How many tasks accept connections.
    "dashboard.listener.https.acceptors": Integer = "8" => Later("the dashboard is not there yet");
    /// How many connections may be open.
    "dashboard.listener.https.max_clients": Integer = "64" => Later("the dashboard is not there yet");
    /// Whether IPv6 is listened on.
    "dashboard.listener.https.inet6": OneOf["true", "false"] = "false" => Later("the dashboard is not there yet");
    /// Whether IPv6 alone is listened on.
    "dashboard.listener.https.ipv6_v6only": OneOf["true", "false"] = "false" => Later("the dashboard is not there yet");
    /// The versions of TLS that are spoken, separated by commas.
    "dashboard.listener.https.tls_versions": Text => Later("the dashboard is not there yet");
    /// The file of Diffie-Hellman parameters.
    "dashboard.listener.https.dhfile": Text => Later("the dashboard is not there yet");
    /// The file of the private key.
    "dashboard.listener.https.keyfile": Text => Later("the dashboard is not there yet");
    /// The password of the private key.
    "dashboard.listener.https.key_password": Text => Later("the dashboard is not there yet");
    /// The file of the certificate and its chain.
    "dashboard.listener.https.certfile": Text => Later("the dashboard is not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "dashboard.listener.https.cacertfile": Text => Later("the dashboard is not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "dashboard.listener.https.verify": Atom => Later("the dashboard is not there yet");
    /// Whether a client without a certificate is refused, where it is verified.
    "dashboard.listener.https.fail_if_no_peer_cert": OneOf["true", "false"] => Later("the dashboard is not there yet");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "dashboard.listener.https.ciphers": Text => Later("the dashboard is not there yet");
    /// Whether renegotiation must be secure.
    "dashboard.listener.https.secure_renegotiate": Flag => Later("the dashboard is not there yet");
    /// Whether TLS sessions may be resumed.
    "dashboard.listener.https.reuse_sessions": Flag = "on" => Later("the dashboard is not there yet");
    /// Whether the server's order of cipher suites decides.
    "dashboard.listener.https.honor_cipher_order": Flag => Later("the dashboard is not there yet");
};
