//! Other protocols.

use crate::settings::table::{Row, settings};

/// `etc/plugins/emqx_coap.conf`.
pub(super) const COAP: &[Row] = settings! {
    /// An address for CoAP over UDP.
    "coap.bind.udp.$number": Address = "0.0.0.0:5683" ships "coap.bind.udp.1 = 0.0.0.0:5683" => Later("CoAP is not there yet");
    /// Whether statistics are kept for each client.
    "coap.enable_stats": Flag ships "off" => Later("CoAP is not there yet");
    /// An address for CoAP over DTLS.
    "coap.bind.dtls.$number": Address = "0.0.0.0:5684" ships "coap.bind.dtls.1 = 0.0.0.0:5684" => Later("CoAP is not there yet");
    /// The file of the private key.
    "coap.dtls.keyfile": Text ships "etc/certs/key.pem" => Later("CoAP is not there yet");
    /// The file of the certificate and its chain.
    "coap.dtls.certfile": Text ships "etc/certs/cert.pem" => Later("CoAP is not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "coap.dtls.verify": OneOf["verify_none", "verify_peer"] = "verify_none" => Later("CoAP is not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "coap.dtls.cacertfile": Text => Later("CoAP is not there yet");
    /// Whether a client without a certificate is refused, where it is verified.
    "coap.dtls.fail_if_no_peer_cert": OneOf["true", "false"] => Later("CoAP is not there yet");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "coap.dtls.ciphers": Text ships "ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,ECDHE-ECDSA-AES256-SHA384,ECDHE-RSA-AES256-SHA384,ECDHE-ECDSA-DES-CBC3-SHA,ECDH-ECDSA-AES256-GCM-SHA384,ECDH-RSA-AES256-GCM-SHA384,ECDH-ECDSA-AES256-SHA384,ECDH-RSA-AES256-SHA384,DHE-DSS-AES256-GCM-SHA384,DHE-DSS-AES256-SHA256,AES256-GCM-SHA384,AES256-SHA256,ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES128-SHA256,ECDHE-RSA-AES128-SHA256,ECDH-ECDSA-AES128-GCM-SHA256,ECDH-RSA-AES128-GCM-SHA256,ECDH-ECDSA-AES128-SHA256,ECDH-RSA-AES128-SHA256,DHE-DSS-AES128-GCM-SHA256,DHE-DSS-AES128-SHA256,AES128-GCM-SHA256,AES128-SHA256,ECDHE-ECDSA-AES256-SHA,ECDHE-RSA-AES256-SHA,DHE-DSS-AES256-SHA,ECDH-ECDSA-AES256-SHA,ECDH-RSA-AES256-SHA,AES256-SHA,ECDHE-ECDSA-AES128-SHA,ECDHE-RSA-AES128-SHA,DHE-DSS-AES128-SHA,ECDH-ECDSA-AES128-SHA,ECDH-RSA-AES128-SHA,AES128-SHA" => Later("CoAP is not there yet");
};

/// `etc/plugins/emqx_exproto.conf`.
pub(super) const EXPROTO: &[Row] = settings! {
    /// The port on which protocol handlers call the node.
    "exproto.server.http.port": Integer ships "9100" => Later("protocols of one's own are not there yet");
    /// The same port with TLS.
    "exproto.server.https.port": Integer ships "9101" => Later("protocols of one's own are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "exproto.server.https.cacertfile": Text ships "etc/certs/cacert.pem" => Later("protocols of one's own are not there yet");
    /// The file of the certificate and its chain.
    "exproto.server.https.certfile": Text ships "etc/certs/cert.pem" => Later("protocols of one's own are not there yet");
    /// The file of the private key.
    "exproto.server.https.keyfile": Text ships "etc/certs/key.pem" => Later("protocols of one's own are not there yet");
    /// The address on which clients of an own protocol connect.
    "exproto.listener.$proto": Text ships "exproto.listener.protoname = tcp://0.0.0.0:7993" => Later("protocols of one's own are not there yet");
    /// The URL of the protocol's handler.
    "exproto.listener.$proto.connection_handler_url": Text ships "exproto.listener.protoname.connection_handler_url = http://127.0.0.1:9001" => Later("protocols of one's own are not there yet");
    /// The certificate for TLS with the handler.
    "exproto.listener.$proto.connection_handler_certfile": Text => Later("protocols of one's own are not there yet");
    /// The authorities for TLS with the handler.
    "exproto.listener.$proto.connection_handler_cacertfile": Text => Later("protocols of one's own are not there yet");
    /// The private key for TLS with the handler.
    "exproto.listener.$proto.connection_handler_keyfile": Text => Later("protocols of one's own are not there yet");
    /// How many tasks accept connections.
    "exproto.listener.$proto.acceptors": Integer = "8" ships "exproto.listener.protoname.acceptors = 8" => Later("protocols of one's own are not there yet");
    /// How many clients may be connected through this listener.
    "exproto.listener.$proto.max_connections": Integer = "1024" ships "exproto.listener.protoname.max_connections = 1024000" => Later("protocols of one's own are not there yet");
    /// How many clients may connect in a second.
    "exproto.listener.$proto.max_conn_rate": Integer ships "exproto.listener.protoname.max_conn_rate = 1000" => Later("protocols of one's own are not there yet");
    /// How many packets are read from the socket in one turn.
    "exproto.listener.$proto.active_n": Integer = "100" ships "exproto.listener.protoname.active_n = 100" => Later("protocols of one's own are not there yet");
    /// How long a connection may be silent.
    "exproto.listener.$proto.idle_timeout": Duration = "30s" ships "exproto.listener.protoname.idle_timeout = 30s" => Later("protocols of one's own are not there yet");
    /// A rule about client addresses: `allow all`, `deny 10.0.0.0/8`. The rules are tried in the order of their numbers.
    "exproto.listener.$proto.access.$id": Text ships "exproto.listener.protoname.access.1 = allow all" => Later("protocols of one's own are not there yet");
    /// Whether a load balancer in front announces the client's address with the PROXY protocol, version 1 or 2.
    "exproto.listener.$proto.proxy_protocol": Flag => Later("protocols of one's own are not there yet");
    /// How long that announcement may take.
    "exproto.listener.$proto.proxy_protocol_timeout": Duration => Later("protocols of one's own are not there yet");
    /// How many connections may wait to be accepted.
    "exproto.listener.$proto.backlog": Integer = "1024" ships "exproto.listener.protoname.backlog = 1024" => Later("protocols of one's own are not there yet");
    /// How long a client may refuse to take what is sent to it.
    "exproto.listener.$proto.send_timeout": Duration = "15s" ships "exproto.listener.protoname.send_timeout = 15s" => Later("protocols of one's own are not there yet");
    /// Whether a client that exceeds that time is closed.
    "exproto.listener.$proto.send_timeout_close": Flag = "on" ships "exproto.listener.protoname.send_timeout_close = on" => Later("protocols of one's own are not there yet");
    /// The kernel's receive buffer of a socket.
    "exproto.listener.$proto.recbuf": ByteSize => Later("protocols of one's own are not there yet");
    /// The kernel's send buffer of a socket.
    "exproto.listener.$proto.sndbuf": ByteSize => Later("protocols of one's own are not there yet");
    /// The user-level buffer of a socket.
    "exproto.listener.$proto.buffer": ByteSize => Later("protocols of one's own are not there yet");
    /// Whether the user-level buffer follows the kernel's.
    "exproto.listener.$proto.tune_buffer": Flag => Later("protocols of one's own are not there yet");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "exproto.listener.$proto.nodelay": OneOf["true", "false"] ships "exproto.listener.protoname.nodelay = true" => Later("protocols of one's own are not there yet");
    /// Whether the address may be taken again at once (SO_REUSEADDR).
    "exproto.listener.$proto.reuseaddr": OneOf["true", "false"] ships "exproto.listener.protoname.reuseaddr = true" => Later("protocols of one's own are not there yet");
    /// The versions of TLS that are spoken, separated by commas.
    "exproto.listener.$proto.tls_versions": Text => Later("protocols of one's own are not there yet");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "exproto.listener.$proto.ciphers": Text => Later("protocols of one's own are not there yet");
    /// The cipher suites for pre-shared keys.
    "exproto.listener.$proto.psk_ciphers": Text => Later("protocols of one's own are not there yet");
    /// The file of Diffie-Hellman parameters.
    "exproto.listener.$proto.dhfile": Text => Later("protocols of one's own are not there yet");
    /// The file of the private key.
    "exproto.listener.$proto.keyfile": Text => Later("protocols of one's own are not there yet");
    /// The file of the certificate and its chain.
    "exproto.listener.$proto.certfile": Text => Later("protocols of one's own are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "exproto.listener.$proto.cacertfile": Text => Later("protocols of one's own are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "exproto.listener.$proto.verify": Atom => Later("protocols of one's own are not there yet");
    /// Whether a client without a certificate is refused, where it is verified.
    "exproto.listener.$proto.fail_if_no_peer_cert": OneOf["true", "false"] => Later("protocols of one's own are not there yet");
    /// Whether renegotiation must be secure.
    "exproto.listener.$proto.secure_renegotiate": Flag => Later("protocols of one's own are not there yet");
    /// Whether TLS sessions may be resumed.
    "exproto.listener.$proto.reuse_sessions": Flag = "on" => Later("protocols of one's own are not there yet");
    /// Whether the server's order of cipher suites decides.
    "exproto.listener.$proto.honor_cipher_order": Flag => Later("protocols of one's own are not there yet");
};

/// `etc/plugins/emqx_lwm2m.conf`.
pub(super) const LWM2M: &[Row] = settings! {
    /// An address for LwM2M over UDP.
    "lwm2m.bind.udp.$number": Address = "0.0.0.0:5683" ships "lwm2m.bind.udp.1 = 0.0.0.0:5683" => Later("LwM2M is not there yet");
    /// An address for LwM2M over DTLS.
    "lwm2m.bind.dtls.$number": Address = "0.0.0.0:5684" ships "lwm2m.bind.dtls.1 = 0.0.0.0:5684" => Later("LwM2M is not there yet");
    /// The shortest lifetime that a device may ask for.
    "lwm2m.lifetime_min": Seconds ships "1s" => Later("LwM2M is not there yet");
    /// The longest lifetime that a device may ask for.
    "lwm2m.lifetime_max": Seconds = "315360000s" ships "86400s" => Later("LwM2M is not there yet");
    /// How long a device in queue mode stays awake.
    "lwm2m.qmode_time_window": Integer = "0" => Later("LwM2M is not there yet");
    /// Whether all objects of a device are observed at once.
    "lwm2m.auto_observe": Text = "off" => Later("LwM2M is not there yet");
    /// The load balancer before the node.
    "lwm2m.lb": Atom = "undefined" => Later("LwM2M is not there yet");
    /// An option of the UDP socket.
    "lwm2m.opts.$name": ByteSize ships "lwm2m.opts.buffer = 1024KB" "lwm2m.opts.recbuf = 1024KB" "lwm2m.opts.sndbuf = 1024KB" "lwm2m.opts.read_packets = 20" => Later("LwM2M is not there yet");
    /// What is put before every topic of a device.
    "lwm2m.mountpoint": Text ships "lwm2m/%e/" => Later("LwM2M is not there yet");
    /// The topic of commands to a device.
    "lwm2m.topics.command": Text = "lwm2m/%e/dn/#" ships "dn/#" => Later("LwM2M is not there yet");
    /// The topic of answers of a device.
    "lwm2m.topics.response": Text = "lwm2m/%e/up/resp" ships "up/resp" => Later("LwM2M is not there yet");
    /// The topic of notifications of a device.
    "lwm2m.topics.notify": Text = "lwm2m/%e/up/notify" ships "up/notify" => Later("LwM2M is not there yet");
    /// The topic of registrations.
    "lwm2m.topics.register": Text = "lwm2m/%e/up/resp" ships "up/resp" => Later("LwM2M is not there yet");
    /// The topic of updates of a registration.
    "lwm2m.topics.update": Text = "lwm2m/%e/up/resp" ships "up/resp" => Later("LwM2M is not there yet");
    /// Whether every update is published, or only one with a list of objects.
    "lwm2m.update_msg_publish_condition": OneOf["contains_object_list", "always"] = "contains_object_list" => Later("LwM2M is not there yet");
    /// The directory of the object definitions.
    "lwm2m.xml_dir": Text ships "etc/lwm2m_xml" => Later("LwM2M is not there yet");
    /// The file of the private key.
    "lwm2m.keyfile": Text => Later("LwM2M is not there yet");
    /// The file of the certificate and its chain.
    "lwm2m.certfile": Text => Later("LwM2M is not there yet");
    /// The file of the private key.
    "lwm2m.dtls.keyfile": Text ships "etc/certs/key.pem" => Later("LwM2M is not there yet");
    /// The file of the certificate and its chain.
    "lwm2m.dtls.certfile": Text ships "etc/certs/cert.pem" => Later("LwM2M is not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "lwm2m.dtls.verify": OneOf["verify_none", "verify_peer"] = "verify_none" => Later("LwM2M is not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "lwm2m.dtls.cacertfile": Text => Later("LwM2M is not there yet");
    /// Whether a client without a certificate is refused, where it is verified.
    "lwm2m.dtls.fail_if_no_peer_cert": OneOf["true", "false"] => Later("LwM2M is not there yet");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "lwm2m.dtls.ciphers": Text ships "ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,ECDHE-ECDSA-AES256-SHA384,ECDHE-RSA-AES256-SHA384,ECDHE-ECDSA-DES-CBC3-SHA,ECDH-ECDSA-AES256-GCM-SHA384,ECDH-RSA-AES256-GCM-SHA384,ECDH-ECDSA-AES256-SHA384,ECDH-RSA-AES256-SHA384,DHE-DSS-AES256-GCM-SHA384,DHE-DSS-AES256-SHA256,AES256-GCM-SHA384,AES256-SHA256,ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES128-SHA256,ECDHE-RSA-AES128-SHA256,ECDH-ECDSA-AES128-GCM-SHA256,ECDH-RSA-AES128-GCM-SHA256,ECDH-ECDSA-AES128-SHA256,ECDH-RSA-AES128-SHA256,DHE-DSS-AES128-GCM-SHA256,DHE-DSS-AES128-SHA256,AES128-GCM-SHA256,AES128-SHA256,ECDHE-ECDSA-AES256-SHA,ECDHE-RSA-AES256-SHA,DHE-DSS-AES256-SHA,ECDH-ECDSA-AES256-SHA,ECDH-RSA-AES256-SHA,AES256-SHA,ECDHE-ECDSA-AES128-SHA,ECDHE-RSA-AES128-SHA,DHE-DSS-AES128-SHA,ECDH-ECDSA-AES128-SHA,ECDH-RSA-AES128-SHA,AES128-SHA" => Later("LwM2M is not there yet");
    /// The cipher suites for pre-shared keys.
    "lwm2m.dtls.psk_ciphers": Text => Later("LwM2M is not there yet");
};

/// `etc/plugins/emqx_sn.conf`.
pub(super) const SN: &[Row] = settings! {
    /// The UDP port for MQTT-SN.
    "mqtt.sn.port": Text = "1884" ships "1884" => Later("MQTT-SN is not there yet");
    /// How often the gateway advertises itself.
    "mqtt.sn.advertise_duration": Duration = "15s" ships "15m" => Later("MQTT-SN is not there yet");
    /// The id of the gateway.
    "mqtt.sn.gateway_id": Integer = "1" ships "1" => Later("MQTT-SN is not there yet");
    /// The user name.
    "mqtt.sn.username": Text ships "mqtt_sn_user" => Later("MQTT-SN is not there yet");
    /// The password.
    "mqtt.sn.password": Text ships "abc" => Later("MQTT-SN is not there yet");
    /// How long a new client may be silent.
    "mqtt.sn.idle_timeout": Duration = "30s" ships "30s" => Later("MQTT-SN is not there yet");
    /// Whether statistics are kept for each client.
    "mqtt.sn.enable_stats": Flag ships "off" => Later("MQTT-SN is not there yet");
    /// Whether clients may publish with QoS -1.
    "mqtt.sn.enable_qos3": Flag ships "off" => Later("MQTT-SN is not there yet");
    /// The topic that a number stands for.
    "mqtt.sn.predefined.topic.$id": Text ships "mqtt.sn.predefined.topic.0 = reserved" "mqtt.sn.predefined.topic.1 = /predefined/topic/name/hello" "mqtt.sn.predefined.topic.2 = /predefined/topic/name/nice" => Later("MQTT-SN is not there yet");
    /// Whether subscriptions are resumed with the session.
    "mqtt.sn.subs_resume": OneOf["true", "false"] = "false" => Later("MQTT-SN is not there yet");
};

/// `etc/plugins/emqx_stomp.conf`.
pub(super) const STOMP: &[Row] = settings! {
    /// The address for STOMP.
    "stomp.listener": Listen = "61613" ships "61613" => Later("STOMP is not there yet");
    /// How many tasks accept connections.
    "stomp.listener.acceptors": Integer = "4" ships "4" => Later("STOMP is not there yet");
    /// How many clients may be connected through this listener.
    "stomp.listener.max_connections": Integer = "512" ships "512" => Later("STOMP is not there yet");
    /// Whether STOMP is spoken over TLS.
    "stomp.listener.ssl": Flag = "off" => Later("STOMP is not there yet");
    /// The versions of TLS that are spoken, separated by commas.
    "stomp.listener.tls_versions": Text => Later("STOMP is not there yet");
    /// How long the TLS handshake may take.
    "stomp.listener.handshake_timeout": Duration = "15s" => Later("STOMP is not there yet");
    /// The file of Diffie-Hellman parameters.
    "stomp.listener.dhfile": Text => Later("STOMP is not there yet");
    /// The file of the private key.
    "stomp.listener.keyfile": Text => Later("STOMP is not there yet");
    /// The file of the certificate and its chain.
    "stomp.listener.certfile": Text => Later("STOMP is not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "stomp.listener.cacertfile": Text => Later("STOMP is not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "stomp.listener.verify": Text => Later("STOMP is not there yet");
    /// Whether a client without a certificate is refused, where it is verified.
    "stomp.listener.fail_if_no_peer_cert": OneOf["true", "false"] => Later("STOMP is not there yet");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "stomp.listener.ciphers": Text => Later("STOMP is not there yet");
    /// Whether renegotiation must be secure.
    "stomp.listener.secure_renegotiate": Flag => Later("STOMP is not there yet");
    /// Whether TLS sessions may be resumed.
    "stomp.listener.reuse_sessions": Flag = "on" => Later("STOMP is not there yet");
    /// Whether the server's order of cipher suites decides.
    "stomp.listener.honor_cipher_order": Flag => Later("STOMP is not there yet");
    /// The login of clients that give none.
    "stomp.default_user.login": Text = "guest" ships "guest" => Later("STOMP is not there yet");
    /// The passcode of clients that give none.
    "stomp.default_user.passcode": Text = "guest" ships "guest" => Later("STOMP is not there yet");
    /// Whether clients may connect without a login.
    "stomp.allow_anonymous": OneOf["true", "false"] = "true" ships "true" => Later("STOMP is not there yet");
    /// The largest number of headers in a frame.
    "stomp.frame.max_headers": Integer = "10" ships "10" => Later("STOMP is not there yet");
    /// The longest header, in bytes.
    "stomp.frame.max_header_length": Integer = "1024" ships "1024" => Later("STOMP is not there yet");
    /// The longest body, in bytes.
    "stomp.frame.max_body_length": Integer = "8192" ships "8192" => Later("STOMP is not there yet");
};

/// `etc/plugins/emqx_psk_file.conf`.
pub(super) const PSK_FILE: &[Row] = settings! {
    /// The file of identities and keys.
    "psk.file.path": Text ships "etc/psk.txt" => Later("pre-shared keys are not there yet");
    /// What stands between identity and key.
    "psk.file.delimiter": Text ships ":" => Later("pre-shared keys are not there yet");
};
