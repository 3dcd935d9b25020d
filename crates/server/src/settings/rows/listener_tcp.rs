//! Where clients connect.

use crate::settings::table::{Row, settings};

/// Where clients connect.
pub(super) const ROWS: &[Row] = settings! {
    /// The address on which clients connect with MQTT over TCP: a port, an address with a port, or the absolute path of a Unix socket.
    "listener.tcp.$name": Listen ships "listener.tcp.external = 0.0.0.0:1883" "listener.tcp.internal = 127.0.0.1:11883";
    /// How many tasks accept connections.
    "listener.tcp.$name.acceptors": Integer = "8" ships "listener.tcp.external.acceptors = 8" "listener.tcp.internal.acceptors = 4" => NoEffect("every core accepts and reads as much as is there");
    /// How many clients may be connected through this listener.
    "listener.tcp.$name.max_connections": Integer = "1024" ships "listener.tcp.external.max_connections = 1024000" "listener.tcp.internal.max_connections = 1024000";
    /// How many clients may connect in a second.
    "listener.tcp.$name.max_conn_rate": Integer ships "listener.tcp.external.max_conn_rate = 1000" "listener.tcp.internal.max_conn_rate = 1000";
    /// How many packets are read from the socket in one turn.
    "listener.tcp.$name.active_n": Integer = "100" ships "listener.tcp.external.active_n = 100" "listener.tcp.internal.active_n = 1000" => NoEffect("every core accepts and reads as much as is there");
    /// The zone of the clients of this listener.
    "listener.tcp.$name.zone": Text ships "listener.tcp.external.zone = external" "listener.tcp.internal.zone = internal";
    /// How many bytes a connection may send in a time, as `100KB,10s`.
    "listener.tcp.$name.rate_limit": Text = "undefined";
    /// A rule about the addresses from which sockets come: `allow all`, `deny 10.0.0.0/8`. The first rule that fits counts, in the order of
    /// their numbers; whom none fits may connect.
    "listener.tcp.$name.access.$id": Text ships "listener.tcp.external.access.1 = allow all";
    /// Whether a load balancer in front announces the client's address with the PROXY protocol, version 1 or 2.
    "listener.tcp.$name.proxy_protocol": Flag;
    /// How long that announcement may take; 3 s where nothing is said.
    "listener.tcp.$name.proxy_protocol_timeout": Duration;
    /// Which part of the client's certificate is the user name, which a load balancer announces by PROXY protocol version 2.
    "listener.tcp.$name.peer_cert_as_username": OneOf["cn"];
    /// Which part of the client's certificate is the client id, which a load balancer announces by PROXY protocol version 2.
    "listener.tcp.$name.peer_cert_as_clientid": OneOf["cn"];
    /// How many connections may wait to be accepted.
    "listener.tcp.$name.backlog": Integer = "1024" ships "listener.tcp.external.backlog = 1024" "listener.tcp.internal.backlog = 512";
    /// How long a client may take nothing of what is sent to it.
    "listener.tcp.$name.send_timeout": Duration = "15s" ships "listener.tcp.external.send_timeout = 15s" "listener.tcp.internal.send_timeout = 5s";
    /// Whether a client that exceeds that time is closed.
    "listener.tcp.$name.send_timeout_close": Flag = "on" ships "listener.tcp.external.send_timeout_close = on" "listener.tcp.internal.send_timeout_close = on";
    /// The kernel's receive buffer of a socket.
    "listener.tcp.$name.recbuf": ByteSize ships "listener.tcp.internal.recbuf = 64KB";
    /// The kernel's send buffer of a socket.
    "listener.tcp.$name.sndbuf": ByteSize ships "listener.tcp.internal.sndbuf = 64KB";
    /// The user-level buffer of a socket.
    "listener.tcp.$name.buffer": ByteSize => NoEffect("idle connections hold no buffer; busy ones share one");
    /// How many bytes may wait for a socket before the sender waits.
    "listener.tcp.$name.high_watermark": ByteSize = "1MB" => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether the user-level buffer follows the kernel's.
    "listener.tcp.$name.tune_buffer": Flag => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "listener.tcp.$name.nodelay": OneOf["true", "false"] ships "listener.tcp.external.nodelay = true" "listener.tcp.internal.nodelay = false";
    /// Whether the address may be taken again at once (SO_REUSEADDR).
    "listener.tcp.$name.reuseaddr": OneOf["true", "false"] ships "listener.tcp.external.reuseaddr = true" "listener.tcp.internal.reuseaddr = true" => NoEffect("it is always on");
    /// The address on which clients connect with MQTT over TLS: a port, an address with a port, or the absolute path of a Unix socket.
    "listener.ssl.$name": Listen ships "listener.ssl.external = 8883";
    /// How many tasks accept connections.
    "listener.ssl.$name.acceptors": Integer = "8" ships "listener.ssl.external.acceptors = 16" => NoEffect("every core accepts and reads as much as is there");
    /// How many clients may be connected through this listener.
    "listener.ssl.$name.max_connections": Integer = "1024" ships "listener.ssl.external.max_connections = 102400";
    /// How many clients may connect in a second.
    "listener.ssl.$name.max_conn_rate": Integer ships "listener.ssl.external.max_conn_rate = 500";
    /// How many packets are read from the socket in one turn.
    "listener.ssl.$name.active_n": Integer = "100" ships "listener.ssl.external.active_n = 100" => NoEffect("every core accepts and reads as much as is there");
    /// The zone of the clients of this listener.
    "listener.ssl.$name.zone": Text ships "listener.ssl.external.zone = external";
    /// How many bytes a connection may send in a time, as `100KB,10s`.
    "listener.ssl.$name.rate_limit": Text = "undefined";
    /// A rule about the addresses from which sockets come: `allow all`, `deny 10.0.0.0/8`. The first rule that fits counts, in the order of
    /// their numbers; whom none fits may connect.
    "listener.ssl.$name.access.$id": Text ships "listener.ssl.external.access.1 = allow all";
    /// Whether a load balancer in front announces the client's address with the PROXY protocol, version 1 or 2.
    "listener.ssl.$name.proxy_protocol": Flag;
    /// How long that announcement may take; 3 s where nothing is said.
    "listener.ssl.$name.proxy_protocol_timeout": Duration;
    /// How many connections may wait to be accepted.
    "listener.ssl.$name.backlog": Integer = "1024";
    /// How long a client may take nothing of what is sent to it.
    "listener.ssl.$name.send_timeout": Duration = "15s";
    /// Whether a client that exceeds that time is closed.
    "listener.ssl.$name.send_timeout_close": Flag = "on";
    /// The kernel's receive buffer of a socket.
    "listener.ssl.$name.recbuf": ByteSize ships "listener.ssl.external.recbuf = 4KB";
    /// The kernel's send buffer of a socket.
    "listener.ssl.$name.sndbuf": ByteSize ships "listener.ssl.external.sndbuf = 4KB";
    /// The user-level buffer of a socket.
    "listener.ssl.$name.buffer": ByteSize => NoEffect("idle connections hold no buffer; busy ones share one");
    /// How many bytes may wait for a socket before the sender waits.
    "listener.ssl.$name.high_watermark": ByteSize = "1MB" => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether the user-level buffer follows the kernel's.
    "listener.ssl.$name.tune_buffer": Flag => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "listener.ssl.$name.nodelay": OneOf["true", "false"];
    /// Whether the address may be taken again at once (SO_REUSEADDR).
    "listener.ssl.$name.reuseaddr": OneOf["true", "false"] ships "listener.ssl.external.reuseaddr = true" => NoEffect("it is always on");
    /// The versions of TLS that are spoken, separated by commas.
    "listener.ssl.$name.tls_versions": Text;
    /// The cipher suites that are spoken, by the names of OpenSSL, separated by commas. Those of them that are not there (without
    /// forward secrecy, with CBC or CCM) are left out and named in the log; where none is left the node does not start.
    "listener.ssl.$name.ciphers": Text ships "listener.ssl.external.ciphers = TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256,TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_CCM_SHA256,TLS_AES_128_CCM_8_SHA256,ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,ECDHE-ECDSA-AES256-SHA384,ECDHE-RSA-AES256-SHA384,ECDHE-ECDSA-DES-CBC3-SHA,ECDH-ECDSA-AES256-GCM-SHA384,ECDH-RSA-AES256-GCM-SHA384,ECDH-ECDSA-AES256-SHA384,ECDH-RSA-AES256-SHA384,DHE-DSS-AES256-GCM-SHA384,DHE-DSS-AES256-SHA256,AES256-GCM-SHA384,AES256-SHA256,ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES128-SHA256,ECDHE-RSA-AES128-SHA256,ECDH-ECDSA-AES128-GCM-SHA256,ECDH-RSA-AES128-GCM-SHA256,ECDH-ECDSA-AES128-SHA256,ECDH-RSA-AES128-SHA256,DHE-DSS-AES128-GCM-SHA256,DHE-DSS-AES128-SHA256,AES128-GCM-SHA256,AES128-SHA256,ECDHE-ECDSA-AES256-SHA,ECDHE-RSA-AES256-SHA,DHE-DSS-AES256-SHA,ECDH-ECDSA-AES256-SHA,ECDH-RSA-AES256-SHA,AES256-SHA,ECDHE-ECDSA-AES128-SHA,ECDHE-RSA-AES128-SHA,DHE-DSS-AES128-SHA,ECDH-ECDSA-AES128-SHA,ECDH-RSA-AES128-SHA,AES128-SHA";
    /// The cipher suites for pre-shared keys.
    "listener.ssl.$name.psk_ciphers": Text => NoEffect("pre-shared keys are not offered: see docs/adr");
    /// How long the TLS handshake may take.
    "listener.ssl.$name.handshake_timeout": Duration = "15s" ships "listener.ssl.external.handshake_timeout = 15s";
    /// How many intermediate certificates a client's chain may have.
    "listener.ssl.$name.depth": Integer = "10";
    /// The password of the private key, where that is encrypted (PKCS #8, AES).
    "listener.ssl.$name.key_password": Text;
    /// The file of Diffie-Hellman parameters.
    "listener.ssl.$name.dhfile": Text => NoEffect("finite-field key exchange is not offered");
    /// The file of the private key; as many as `certfile` has, in the same order.
    "listener.ssl.$name.keyfile": Text ships "listener.ssl.external.keyfile = etc/certs/key.pem";
    /// The file of the certificate and its chain. Several are separated by commas: a client that names the server it wants (SNI) gets
    /// the first that is good for that name, every other client the first.
    "listener.ssl.$name.certfile": Text ships "listener.ssl.external.certfile = etc/certs/cert.pem";
    /// The file of the authorities that may sign the other side's certificate.
    "listener.ssl.$name.cacertfile": Text ships "listener.ssl.external.cacertfile = etc/certs/cacert.pem";
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "listener.ssl.$name.verify": Atom;
    /// Which certificates of `cacertfile` count: `true` and `cacert_from_cacertfile` are the last one, `two_cacerts_from_cacertfile`
    /// the last two. Without it all of them do, roots or not.
    "listener.ssl.$name.partial_chain": OneOf["true", "false", "two_cacerts_from_cacertfile", "cacert_from_cacertfile"];
    /// Which extended key usages a client's certificate must have: `clientAuth`, `serverAuth`, … or `OID:1.2.3`, separated by commas.
    "listener.ssl.$name.verify_peer_ext_key_usage": Text = "undefined";
    /// Whether a client without a certificate is refused, where it is verified.
    "listener.ssl.$name.fail_if_no_peer_cert": OneOf["true", "false"];
    /// Whether renegotiation must be secure.
    "listener.ssl.$name.secure_renegotiate": Flag => NoEffect("renegotiation is never done");
    /// Whether TLS sessions may be resumed.
    "listener.ssl.$name.reuse_sessions": Flag = "on";
    /// Whether the order of `ciphers` decides, and not the client's.
    "listener.ssl.$name.honor_cipher_order": Flag;
    /// Which part of the client's certificate is the user name; `crt` and `pem` are the base64 of the whole certificate, `md5` is its hash in hexadecimal. It counts whatever the client says.
    "listener.ssl.$name.peer_cert_as_username": OneOf["cn", "dn", "crt", "pem", "md5"];
    /// Which part of the client's certificate is the client id; `crt` and `pem` are the base64 of the whole certificate, `md5` is its hash in hexadecimal. It counts whatever the client says.
    "listener.ssl.$name.peer_cert_as_clientid": OneOf["cn", "dn", "crt", "pem", "md5"];
    /// The level at which TLS alerts are logged.
    "listener.ssl.$name.log_level": OneOf["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "none", "all"] => NoEffect("log.level decides");
    /// Whether memory is collected after the handshake.
    "listener.ssl.$name.gc_after_handshake": OneOf["true", "false"] = "false" => NoEffect("an idle connection holds no buffer");
    /// After how much silence a TLS connection gives its memory back.
    "listener.ssl.$name.hibernate_after": Duration = "undefined" => NoEffect("an idle connection holds no buffer");
    /// Whether the state of the server's certificate is stapled to the handshake.
    "listener.ssl.$name.enable_ocsp_stapling": OneOf["true", "false"] = "false";
    /// Where the state of the certificate is asked.
    "listener.ssl.$name.ocsp_responder_url": Text;
    /// The certificate of the issuer.
    "listener.ssl.$name.ocsp_issuer_pem": File;
    /// How often the state of the certificate is asked.
    "listener.ssl.$name.ocsp_refresh_interval": Duration = "5m";
    /// How long that answer may take.
    "listener.ssl.$name.ocsp_refresh_http_timeout": Duration = "15s";
    /// Whether clients' certificates are looked up in revocation lists. Whoever is on none because there is none is refused.
    "listener.ssl.$name.enable_crl_check": OneOf["true", "false"] = "false";
    /// Where revocation lists are fetched, by HTTP, at start and then every `crl_cache_refresh_interval`.
    "listener.ssl.$name.crl_cache_urls": Text;
    /// A file of revocation lists, PEM or DER: clients whose certificate is on one, or whose issuer has none there, are refused. EMQ X has
    /// no such line.
    "listener.ssl.$name.crlfile": Text;
    /// How long fetching a revocation list may take.
    "crl_cache_http_timeout": Duration = "15s" ships "15s";
    /// How often revocation lists are fetched again.
    "crl_cache_refresh_interval": Duration = "15m" ships "15m";
    /// The address on which clients connect with MQTT over QUIC: a port of UDP, or an address with one. A client opens one stream in both
    /// directions and speaks MQTT on it; its ALPN is `mqtt`.
    "listener.quic.$name": Listen;
    /// How many tasks accept connections.
    "listener.quic.$name.acceptors": Integer = "8" => NoEffect("every core accepts and reads as much as is there");
    /// How many clients may be connected through this listener.
    "listener.quic.$name.max_connections": Integer = "1024";
    /// How many clients may connect in a second.
    "listener.quic.$name.max_conn_rate": Integer;
    /// How many packets are read from the socket in one turn.
    "listener.quic.$name.active_n": Integer = "100" => NoEffect("every core accepts and reads as much as is there");
    /// The zone of the clients of this listener.
    "listener.quic.$name.zone": Text;
    /// How many bytes a connection may send in a time, as `100KB,10s`.
    "listener.quic.$name.rate_limit": Text = "undefined";
    /// A rule about the addresses from which sockets come: `allow all`, `deny 10.0.0.0/8`. The first rule that fits counts, in the order of
    /// their numbers; whom none fits may connect.
    "listener.quic.$name.access.$id": Text;
    /// Whether a load balancer in front announces the client's address with the PROXY protocol, version 1 or 2.
    "listener.quic.$name.proxy_protocol": Flag => NoEffect("load balancers announce nothing before QUIC");
    /// How long that announcement may take.
    "listener.quic.$name.proxy_protocol_timeout": Duration => NoEffect("load balancers announce nothing before QUIC");
    /// How many connections may wait to be accepted.
    "listener.quic.$name.backlog": Integer = "1024" => NoEffect("whoever has to wait tries again by itself");
    /// How long a client may take nothing of what is sent to it.
    "listener.quic.$name.send_timeout": Duration = "15s";
    /// Whether a client that exceeds that time is closed.
    "listener.quic.$name.send_timeout_close": Flag = "on";
    /// The kernel's receive buffer of a socket.
    "listener.quic.$name.recbuf": ByteSize;
    /// The kernel's send buffer of a socket.
    "listener.quic.$name.sndbuf": ByteSize;
    /// The user-level buffer of a socket.
    "listener.quic.$name.buffer": ByteSize => NoEffect("idle connections hold no buffer; busy ones share one");
    /// How many bytes may wait for a socket before the sender waits.
    "listener.quic.$name.high_watermark": ByteSize = "1MB" => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether the user-level buffer follows the kernel's.
    "listener.quic.$name.tune_buffer": Flag => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "listener.quic.$name.nodelay": OneOf["true", "false"] => NoEffect("QUIC never waits to fill a packet");
    /// Whether the address may be taken again at once (SO_REUSEADDR).
    "listener.quic.$name.reuseaddr": OneOf["true", "false"] => NoEffect("it is always on");
    /// The versions of TLS that are spoken, separated by commas.
    "listener.quic.$name.tls_versions": Text => NoEffect("QUIC is TLS 1.3, always");
    /// The cipher suites that are spoken, by the names of OpenSSL, separated by commas. Those of them that are not there (without
    /// forward secrecy, with CBC or CCM) are left out and named in the log; where none is left the node does not start.
    "listener.quic.$name.ciphers": Text;
    /// The cipher suites for pre-shared keys.
    "listener.quic.$name.psk_ciphers": Text => NoEffect("pre-shared keys are not offered: see docs/adr");
    /// How long the TLS handshake may take.
    "listener.quic.$name.handshake_timeout": Duration = "15s";
    /// How many intermediate certificates a client's chain may have.
    "listener.quic.$name.depth": Integer = "10";
    /// The password of the private key, where that is encrypted (PKCS #8, AES).
    "listener.quic.$name.key_password": Text;
    /// The file of Diffie-Hellman parameters.
    "listener.quic.$name.dhfile": Text => NoEffect("finite-field key exchange is not offered");
    /// The file of the private key; as many as `certfile` has, in the same order.
    "listener.quic.$name.keyfile": Text;
    /// The file of the certificate and its chain. Several are separated by commas: a client that names the server it wants (SNI) gets
    /// the first that is good for that name, every other client the first.
    "listener.quic.$name.certfile": Text;
    /// The file of the authorities that may sign the other side's certificate.
    "listener.quic.$name.cacertfile": Text;
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "listener.quic.$name.verify": Atom;
    /// Which certificates of `cacertfile` count: `true` and `cacert_from_cacertfile` are the last one, `two_cacerts_from_cacertfile`
    /// the last two. Without it all of them do, roots or not.
    "listener.quic.$name.partial_chain": OneOf["true", "false", "two_cacerts_from_cacertfile", "cacert_from_cacertfile"];
    /// Which extended key usages a client's certificate must have: `clientAuth`, `serverAuth`, … or `OID:1.2.3`, separated by commas.
    "listener.quic.$name.verify_peer_ext_key_usage": Text = "undefined";
    /// Whether a client without a certificate is refused, where it is verified.
    "listener.quic.$name.fail_if_no_peer_cert": OneOf["true", "false"];
    /// Whether renegotiation must be secure.
    "listener.quic.$name.secure_renegotiate": Flag => NoEffect("renegotiation is never done");
    /// Whether TLS sessions may be resumed.
    "listener.quic.$name.reuse_sessions": Flag = "on";
    /// Whether the order of `ciphers` decides, and not the client's.
    "listener.quic.$name.honor_cipher_order": Flag;
    /// Which part of the client's certificate is the user name; `crt` and `pem` are the base64 of the whole certificate, `md5` is its hash in hexadecimal. It counts whatever the client says.
    "listener.quic.$name.peer_cert_as_username": OneOf["cn", "dn", "crt", "pem", "md5"];
    /// Which part of the client's certificate is the client id; `crt` and `pem` are the base64 of the whole certificate, `md5` is its hash in hexadecimal. It counts whatever the client says.
    "listener.quic.$name.peer_cert_as_clientid": OneOf["cn", "dn", "crt", "pem", "md5"];
    /// The level at which TLS alerts are logged.
    "listener.quic.$name.log_level": OneOf["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "none", "all"] => NoEffect("log.level decides");
    /// Whether memory is collected after the handshake.
    "listener.quic.$name.gc_after_handshake": OneOf["true", "false"] = "false" => NoEffect("an idle connection holds no buffer");
    /// After how much silence a TLS connection gives its memory back.
    "listener.quic.$name.hibernate_after": Duration = "undefined" => NoEffect("an idle connection holds no buffer");
    /// Whether the state of the server's certificate is stapled to the handshake.
    "listener.quic.$name.enable_ocsp_stapling": OneOf["true", "false"] = "false";
    /// Where the state of the certificate is asked.
    "listener.quic.$name.ocsp_responder_url": Text;
    /// The certificate of the issuer.
    "listener.quic.$name.ocsp_issuer_pem": File;
    /// How often the state of the certificate is asked.
    "listener.quic.$name.ocsp_refresh_interval": Duration = "5m";
    /// How long that answer may take.
    "listener.quic.$name.ocsp_refresh_http_timeout": Duration = "15s";
    /// Whether clients' certificates are looked up in revocation lists. Whoever is on none because there is none is refused.
    "listener.quic.$name.enable_crl_check": OneOf["true", "false"] = "false";
    /// Where revocation lists are fetched, by HTTP, at start and then every `crl_cache_refresh_interval`.
    "listener.quic.$name.crl_cache_urls": Text;
    /// A file of revocation lists, PEM or DER: clients whose certificate is on one, or whose issuer has none there, are refused. EMQ X has
    /// no such line.
    "listener.quic.$name.crlfile": Text;
};
