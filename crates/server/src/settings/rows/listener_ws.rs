//! Where clients connect with WebSocket.

use crate::settings::table::{Row, settings};

/// Where clients connect with WebSocket.
pub(super) const ROWS: &[Row] = settings! {
    /// The address on which clients connect with MQTT over WebSocket: a port, an address with a port, or the absolute path of a Unix
    /// socket.
    "listener.ws.$name": Listen ships "listener.ws.external = 8083";
    /// The path of the WebSocket.
    "listener.ws.$name.mqtt_path": Text = "/mqtt" ships "listener.ws.external.mqtt_path = /mqtt";
    /// How many tasks accept connections.
    "listener.ws.$name.acceptors": Integer = "8" ships "listener.ws.external.acceptors = 4" => NoEffect("every core accepts and reads as much as is there");
    /// How many clients may be connected through this listener.
    "listener.ws.$name.max_connections": Integer = "1024" ships "listener.ws.external.max_connections = 102400";
    /// How many clients may connect in a second.
    "listener.ws.$name.max_conn_rate": Integer ships "listener.ws.external.max_conn_rate = 1000";
    /// How many packets are read from the socket in one turn.
    "listener.ws.$name.active_n": Integer = "100" ships "listener.ws.external.active_n = 100" => NoEffect("every core accepts and reads as much as is there");
    /// The zone of the clients of this listener.
    "listener.ws.$name.zone": Text ships "listener.ws.external.zone = external";
    /// How many bytes a connection may send in a time, as `100KB,10s`.
    "listener.ws.$name.rate_limit": Text = "undefined";
    /// A rule about the addresses from which sockets come: `allow all`, `deny 10.0.0.0/8`. The first rule that fits counts, in the order of
    /// their numbers; whom none fits may connect.
    "listener.ws.$name.access.$id": Text ships "listener.ws.external.access.1 = allow all";
    /// Whether a client that names no subprotocol is refused.
    "listener.ws.$name.fail_if_no_subprotocol": OneOf["true", "false"] = "true";
    /// The subprotocols that are accepted.
    "listener.ws.$name.supported_subprotocols": Text = "mqtt, mqtt-v3, mqtt-v3.1.1, mqtt-v5";
    /// The header in which a proxy names the client's address: the first one in it counts. It is believed whoever sends it, so the listener
    /// should be reached through the proxy alone, or this be a name that nobody sends. Not read where `proxy_protocol` is on.
    "listener.ws.$name.proxy_address_header": Text = "X-Forwarded-For";
    /// The header in which a proxy names the client's port; the same holds.
    "listener.ws.$name.proxy_port_header": Text = "X-Forwarded-Port";
    /// Whether a load balancer in front announces the client's address with the PROXY protocol, version 1 or 2.
    "listener.ws.$name.proxy_protocol": Flag;
    /// How long that announcement may take; 3 s where nothing is said.
    "listener.ws.$name.proxy_protocol_timeout": Duration;
    /// How many connections may wait to be accepted.
    "listener.ws.$name.backlog": Integer = "1024" ships "listener.ws.external.backlog = 1024";
    /// How long a client may take nothing of what is sent to it.
    "listener.ws.$name.send_timeout": Duration = "15s" ships "listener.ws.external.send_timeout = 15s";
    /// Whether a client that exceeds that time is closed.
    "listener.ws.$name.send_timeout_close": Flag = "on" ships "listener.ws.external.send_timeout_close = on";
    /// The kernel's receive buffer of a socket.
    "listener.ws.$name.recbuf": ByteSize;
    /// The kernel's send buffer of a socket.
    "listener.ws.$name.sndbuf": ByteSize;
    /// The user-level buffer of a socket.
    "listener.ws.$name.buffer": ByteSize => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether the user-level buffer follows the kernel's.
    "listener.ws.$name.tune_buffer": Flag => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "listener.ws.$name.nodelay": OneOf["true", "false"] ships "listener.ws.external.nodelay = true";
    /// Whether frames may be compressed.
    "listener.ws.$name.compress": OneOf["true", "false"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How hard frames are compressed.
    "listener.ws.$name.deflate_opts.level": OneOf["none", "default", "best_compression", "best_speed"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How much memory compression takes, from 1 to 9.
    "listener.ws.$name.deflate_opts.mem_level": Integer => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How the compressor searches.
    "listener.ws.$name.deflate_opts.strategy": OneOf["default", "filtered", "huffman_only", "rle"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// Whether the compressor remembers earlier frames.
    "listener.ws.$name.deflate_opts.server_context_takeover": OneOf["takeover", "no_takeover"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// Whether the client's compressor may remember earlier frames.
    "listener.ws.$name.deflate_opts.client_context_takeover": OneOf["takeover", "no_takeover"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// The window of the compressor, from 8 to 15 bits.
    "listener.ws.$name.deflate_opts.server_max_window_bits": Integer => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// The window of the client's compressor, from 8 to 15 bits.
    "listener.ws.$name.deflate_opts.client_max_window_bits": Integer => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How long a connection may be silent before its CONNECT.
    "listener.ws.$name.idle_timeout": Duration;
    /// The largest WebSocket frame, in bytes; 0 is no limit beside the packet size.
    "listener.ws.$name.max_frame_size": Integer;
    /// Whether one frame may hold several packets.
    "listener.ws.$name.mqtt_piggyback": OneOf["single", "multiple"] = "multiple" ships "listener.ws.external.mqtt_piggyback = multiple" => NoEffect("frames may hold any number of packets, and parts of packets");
    /// Which part of the client's certificate is the user name, which a load balancer announces by PROXY protocol version 2.
    "listener.ws.$name.peer_cert_as_username": OneOf["cn"];
    /// Which part of the client's certificate is the client id, which a load balancer announces by PROXY protocol version 2.
    "listener.ws.$name.peer_cert_as_clientid": OneOf["cn"];
    /// Whether the Origin header of browsers is checked.
    "listener.ws.$name.check_origin_enable": OneOf["true", "false"] = "false" ships "listener.ws.external.check_origin_enable = false";
    /// Whether a client without an Origin header passes that check.
    "listener.ws.$name.allow_origin_absence": OneOf["true", "false"] = "true" ships "listener.ws.external.allow_origin_absence = true";
    /// The origins that pass that check, separated by commas.
    "listener.ws.$name.check_origins": Text ships "listener.ws.external.check_origins = http://localhost:18083, http://127.0.0.1:18083";
    /// The address on which clients connect with MQTT over WebSocket with TLS: a port, an address with a port, or the absolute path of
    /// a Unix socket.
    "listener.wss.$name": Listen ships "listener.wss.external = 8084";
    /// The path of the WebSocket.
    "listener.wss.$name.mqtt_path": Text = "/mqtt" ships "listener.wss.external.mqtt_path = /mqtt";
    /// How many tasks accept connections.
    "listener.wss.$name.acceptors": Integer = "8" ships "listener.wss.external.acceptors = 4" => NoEffect("every core accepts and reads as much as is there");
    /// How many clients may be connected through this listener.
    "listener.wss.$name.max_connections": Integer = "1024" ships "listener.wss.external.max_connections = 102400";
    /// How many clients may connect in a second.
    "listener.wss.$name.max_conn_rate": Integer ships "listener.wss.external.max_conn_rate = 1000";
    /// How many packets are read from the socket in one turn.
    "listener.wss.$name.active_n": Integer = "100" ships "listener.wss.external.active_n = 100" => NoEffect("every core accepts and reads as much as is there");
    /// The zone of the clients of this listener.
    "listener.wss.$name.zone": Text ships "listener.wss.external.zone = external";
    /// How many bytes a connection may send in a time, as `100KB,10s`.
    "listener.wss.$name.rate_limit": Text;
    /// Whether a client that names no subprotocol is refused.
    "listener.wss.$name.fail_if_no_subprotocol": OneOf["true", "false"] = "true";
    /// The subprotocols that are accepted.
    "listener.wss.$name.supported_subprotocols": Text = "mqtt, mqtt-v3, mqtt-v3.1.1, mqtt-v5";
    /// A rule about the addresses from which sockets come: `allow all`, `deny 10.0.0.0/8`. The first rule that fits counts, in the order of
    /// their numbers; whom none fits may connect.
    "listener.wss.$name.access.$id": Text ships "listener.wss.external.access.1 = allow all";
    /// The header in which a proxy names the client's address: the first one in it counts. It is believed whoever sends it, so the listener
    /// should be reached through the proxy alone, or this be a name that nobody sends. Not read where `proxy_protocol` is on.
    "listener.wss.$name.proxy_address_header": Text = "X-Forwarded-For";
    /// The header in which a proxy names the client's port; the same holds.
    "listener.wss.$name.proxy_port_header": Text = "X-Forwarded-Port";
    /// Whether a load balancer in front announces the client's address with the PROXY protocol, version 1 or 2.
    "listener.wss.$name.proxy_protocol": Flag;
    /// How long that announcement may take; 3 s where nothing is said.
    "listener.wss.$name.proxy_protocol_timeout": Duration;
    /// How many connections may wait to be accepted.
    "listener.wss.$name.backlog": Integer = "1024" ships "listener.wss.external.backlog = 1024";
    /// How long a client may take nothing of what is sent to it.
    "listener.wss.$name.send_timeout": Duration = "15s" ships "listener.wss.external.send_timeout = 15s";
    /// Whether a client that exceeds that time is closed.
    "listener.wss.$name.send_timeout_close": Flag = "on" ships "listener.wss.external.send_timeout_close = on";
    /// The kernel's receive buffer of a socket.
    "listener.wss.$name.recbuf": ByteSize;
    /// The kernel's send buffer of a socket.
    "listener.wss.$name.sndbuf": ByteSize;
    /// The user-level buffer of a socket.
    "listener.wss.$name.buffer": ByteSize => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether the user-level buffer follows the kernel's.
    "listener.wss.$name.tune_buffer": Flag => NoEffect("idle connections hold no buffer; busy ones share one");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "listener.wss.$name.nodelay": OneOf["true", "false"];
    /// The versions of TLS that are spoken, separated by commas.
    "listener.wss.$name.tls_versions": Text;
    /// The cipher suites that are spoken, by the names of OpenSSL, separated by commas. Those of them that are not there (without
    /// forward secrecy, with CBC or CCM) are left out and named in the log; where none is left the node does not start.
    "listener.wss.$name.ciphers": Text ships "listener.wss.external.ciphers = TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256,TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_CCM_SHA256,TLS_AES_128_CCM_8_SHA256,ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,ECDHE-ECDSA-AES256-SHA384,ECDHE-RSA-AES256-SHA384,ECDHE-ECDSA-DES-CBC3-SHA,ECDH-ECDSA-AES256-GCM-SHA384,ECDH-RSA-AES256-GCM-SHA384,ECDH-ECDSA-AES256-SHA384,ECDH-RSA-AES256-SHA384,DHE-DSS-AES256-GCM-SHA384,DHE-DSS-AES256-SHA256,AES256-GCM-SHA384,AES256-SHA256,ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES128-SHA256,ECDHE-RSA-AES128-SHA256,ECDH-ECDSA-AES128-GCM-SHA256,ECDH-RSA-AES128-GCM-SHA256,ECDH-ECDSA-AES128-SHA256,ECDH-RSA-AES128-SHA256,DHE-DSS-AES128-GCM-SHA256,DHE-DSS-AES128-SHA256,AES128-GCM-SHA256,AES128-SHA256,ECDHE-ECDSA-AES256-SHA,ECDHE-RSA-AES256-SHA,DHE-DSS-AES256-SHA,ECDH-ECDSA-AES256-SHA,ECDH-RSA-AES256-SHA,AES256-SHA,ECDHE-ECDSA-AES128-SHA,ECDHE-RSA-AES128-SHA,DHE-DSS-AES128-SHA,ECDH-ECDSA-AES128-SHA,ECDH-RSA-AES128-SHA,AES128-SHA";
    /// The cipher suites for pre-shared keys.
    "listener.wss.$name.psk_ciphers": Text => NoEffect("pre-shared keys are not offered: see docs/adr");
    /// The file of the private key; as many as `certfile` has, in the same order.
    "listener.wss.$name.keyfile": Text ships "listener.wss.external.keyfile = etc/certs/key.pem";
    /// The file of the certificate and its chain. Several are separated by commas: a client that names the server it wants (SNI) gets
    /// the first that is good for that name, every other client the first.
    "listener.wss.$name.certfile": Text ships "listener.wss.external.certfile = etc/certs/cert.pem";
    /// The file of the authorities that may sign the other side's certificate.
    "listener.wss.$name.cacertfile": Text;
    /// A file of revocation lists, PEM or DER: clients whose certificate is on one, or whose issuer has none there, are refused. EMQ X has
    /// no such line.
    "listener.wss.$name.crlfile": Text;
    /// The file of Diffie-Hellman parameters.
    "listener.wss.$name.dhfile": Text => NoEffect("finite-field key exchange is not offered");
    /// How many intermediate certificates a client's chain may have.
    "listener.wss.$name.depth": Integer = "10";
    /// The password of the private key, where that is encrypted (PKCS #8, AES).
    "listener.wss.$name.key_password": Text;
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "listener.wss.$name.verify": Atom;
    /// Whether a client without a certificate is refused, where it is verified.
    "listener.wss.$name.fail_if_no_peer_cert": OneOf["true", "false"];
    /// Whether renegotiation must be secure.
    "listener.wss.$name.secure_renegotiate": Flag => NoEffect("renegotiation is never done");
    /// Whether TLS sessions may be resumed.
    "listener.wss.$name.reuse_sessions": Flag = "on";
    /// Whether the order of `ciphers` decides, and not the client's.
    "listener.wss.$name.honor_cipher_order": Flag;
    /// Which part of the client's certificate is the user name; `crt` and `pem` are the base64 of the whole certificate, `md5` is its hash in hexadecimal. It counts whatever the client says.
    "listener.wss.$name.peer_cert_as_username": OneOf["cn", "dn", "crt", "pem", "md5"];
    /// Which part of the client's certificate is the client id; `crt` and `pem` are the base64 of the whole certificate, `md5` is its hash in hexadecimal. It counts whatever the client says.
    "listener.wss.$name.peer_cert_as_clientid": OneOf["cn", "dn", "crt", "pem", "md5"];
    /// Whether frames may be compressed.
    "listener.wss.$name.compress": OneOf["true", "false"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How hard frames are compressed.
    "listener.wss.$name.deflate_opts.level": OneOf["none", "default", "best_compression", "best_speed"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How much memory compression takes, from 1 to 9.
    "listener.wss.$name.deflate_opts.mem_level": Integer => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How the compressor searches.
    "listener.wss.$name.deflate_opts.strategy": OneOf["default", "filtered", "huffman_only", "rle"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// Whether the compressor remembers earlier frames.
    "listener.wss.$name.deflate_opts.server_context_takeover": OneOf["takeover", "no_takeover"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// Whether the client's compressor may remember earlier frames.
    "listener.wss.$name.deflate_opts.client_context_takeover": OneOf["takeover", "no_takeover"] => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// The window of the compressor, from 8 to 15 bits.
    "listener.wss.$name.deflate_opts.server_max_window_bits": Integer => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// The window of the client's compressor, from 8 to 15 bits.
    "listener.wss.$name.deflate_opts.client_max_window_bits": Integer => NoEffect("frames are not compressed: that costs memory for each connection, and every client can do without");
    /// How long a connection may be silent before its CONNECT.
    "listener.wss.$name.idle_timeout": Duration;
    /// The largest WebSocket frame, in bytes; 0 is no limit beside the packet size.
    "listener.wss.$name.max_frame_size": Integer;
    /// Whether one frame may hold several packets.
    "listener.wss.$name.mqtt_piggyback": OneOf["single", "multiple"] = "multiple" ships "listener.wss.external.mqtt_piggyback = multiple" => NoEffect("frames may hold any number of packets, and parts of packets");
    /// Whether the Origin header of browsers is checked.
    "listener.wss.$name.check_origin_enable": OneOf["true", "false"] = "false" ships "listener.wss.external.check_origin_enable = false";
    /// Whether a client without an Origin header passes that check.
    "listener.wss.$name.allow_origin_absence": OneOf["true", "false"] = "true" ships "listener.wss.external.allow_origin_absence = true";
    /// The origins that pass that check, separated by commas.
    "listener.wss.$name.check_origins": Text ships "listener.wss.external.check_origins = https://localhost:8084, https://127.0.0.1:8084";
    /// The level at which TLS alerts are logged.
    "listener.wss.$name.log_level": OneOf["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "none", "all"] => NoEffect("log.level decides");
};
