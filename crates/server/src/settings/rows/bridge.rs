//! Bridges, hooks, rules and figures.

use crate::settings::table::{Row, settings};

/// `etc/plugins/emqx_bridge_mqtt.conf`.
pub(super) const BRIDGE_MQTT: &[Row] = settings! {
    /// The address of the other broker, or the name of a node.
    "bridge.mqtt.$name.address": Text ships "bridge.mqtt.aws.address = 127.0.0.1:1883" => Later("bridges to other brokers are not there yet");
    /// The version of MQTT that is spoken.
    "bridge.mqtt.$name.proto_ver": OneOf["mqttv3", "mqttv4", "mqttv5"] ships "bridge.mqtt.aws.proto_ver = mqttv4" => Later("bridges to other brokers are not there yet");
    /// Whether the other broker is told that a bridge connects.
    "bridge.mqtt.$name.bridge_mode": OneOf["true", "false"] = "false" => Later("bridges to other brokers are not there yet");
    /// Whether the bridge starts by itself.
    "bridge.mqtt.$name.start_type": OneOf["manual", "auto"] = "auto" ships "bridge.mqtt.aws.start_type = manual" => Later("bridges to other brokers are not there yet");
    /// The client id of the bridge.
    "bridge.mqtt.$name.clientid": Text ships "bridge.mqtt.aws.clientid = bridge_aws" => Later("bridges to other brokers are not there yet");
    /// Whether the bridge starts with a clean session.
    "bridge.mqtt.$name.clean_start": OneOf["true", "false"] = "true" ships "bridge.mqtt.aws.clean_start = true" => Later("bridges to other brokers are not there yet");
    /// The user name.
    "bridge.mqtt.$name.username": Text ships "bridge.mqtt.aws.username = user" => Later("bridges to other brokers are not there yet");
    /// The password.
    "bridge.mqtt.$name.password": Text ships "bridge.mqtt.aws.password = passwd" => Later("bridges to other brokers are not there yet");
    /// The filters of what is forwarded, separated by commas.
    "bridge.mqtt.$name.forwards": Text ships "bridge.mqtt.aws.forwards = topic1/#,topic2/#" => Later("bridges to other brokers are not there yet");
    /// What is put before forwarded topics.
    "bridge.mqtt.$name.forward_mountpoint": Text ships "bridge.mqtt.aws.forward_mountpoint = bridge/aws/${node}/" => Later("bridges to other brokers are not there yet");
    /// A filter of what is fetched from the other broker.
    "bridge.mqtt.$name.subscription.$id.topic": Text => Later("bridges to other brokers are not there yet");
    /// The QoS of that subscription.
    "bridge.mqtt.$name.subscription.$id.qos": Integer => Later("bridges to other brokers are not there yet");
    /// What is put before fetched topics.
    "bridge.mqtt.$name.receive_mountpoint": Text => Later("bridges to other brokers are not there yet");
    /// Whether TLS is spoken.
    "bridge.mqtt.$name.ssl": Flag = "off" ships "bridge.mqtt.aws.ssl = off" => Later("bridges to other brokers are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "bridge.mqtt.$name.cacertfile": Text ships "bridge.mqtt.aws.cacertfile = etc/certs/cacert.pem" => Later("bridges to other brokers are not there yet");
    /// The file of the certificate and its chain.
    "bridge.mqtt.$name.certfile": Text ships "bridge.mqtt.aws.certfile = etc/certs/client-cert.pem" => Later("bridges to other brokers are not there yet");
    /// The file of the private key.
    "bridge.mqtt.$name.keyfile": Text ships "bridge.mqtt.aws.keyfile = etc/certs/client-key.pem" => Later("bridges to other brokers are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "bridge.mqtt.$name.verify": OneOf["true", "false"] => Later("bridges to other brokers are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "bridge.mqtt.$name.server_name_indication": Text => Later("bridges to other brokers are not there yet");
    /// The cipher suites that are offered, separated by commas; unknown ones are skipped.
    "bridge.mqtt.$name.ciphers": Text ships "bridge.mqtt.aws.ciphers = TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256,TLS_CHACHA20_POLY1305_SHA256,TLS_AES_128_CCM_SHA256,TLS_AES_128_CCM_8_SHA256,ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,ECDHE-ECDSA-AES256-SHA384,ECDHE-RSA-AES256-SHA384,ECDHE-ECDSA-DES-CBC3-SHA,ECDH-ECDSA-AES256-GCM-SHA384,ECDH-RSA-AES256-GCM-SHA384,ECDH-ECDSA-AES256-SHA384,ECDH-RSA-AES256-SHA384,DHE-DSS-AES256-GCM-SHA384,DHE-DSS-AES256-SHA256,AES256-GCM-SHA384,AES256-SHA256,ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES128-SHA256,ECDHE-RSA-AES128-SHA256,ECDH-ECDSA-AES128-GCM-SHA256,ECDH-RSA-AES128-GCM-SHA256,ECDH-ECDSA-AES128-SHA256,ECDH-RSA-AES128-SHA256,DHE-DSS-AES128-GCM-SHA256,DHE-DSS-AES128-SHA256,AES128-GCM-SHA256,AES128-SHA256,ECDHE-ECDSA-AES256-SHA,ECDHE-RSA-AES256-SHA,DHE-DSS-AES256-SHA,ECDH-ECDSA-AES256-SHA,ECDH-RSA-AES256-SHA,AES256-SHA,ECDHE-ECDSA-AES128-SHA,ECDHE-RSA-AES128-SHA,DHE-DSS-AES128-SHA,ECDH-ECDSA-AES128-SHA,ECDH-RSA-AES128-SHA,AES128-SHA" => Later("bridges to other brokers are not there yet");
    /// The cipher suites for pre-shared keys.
    "bridge.mqtt.$name.psk_ciphers": Text => Later("bridges to other brokers are not there yet");
    /// The keep-alive time of the bridge.
    "bridge.mqtt.$name.keepalive": Seconds = "10s" ships "bridge.mqtt.aws.keepalive = 60s" => Later("bridges to other brokers are not there yet");
    /// The versions of TLS that are spoken, separated by commas.
    "bridge.mqtt.$name.tls_versions": Text = "tlsv1.3,tlsv1.2,tlsv1.1,tlsv1" ships "bridge.mqtt.aws.tls_versions = tlsv1.3,tlsv1.2,tlsv1.1,tlsv1" => Later("bridges to other brokers are not there yet");
    /// How long the bridge waits before it connects again.
    "bridge.mqtt.$name.reconnect_interval": Duration = "30s" ships "bridge.mqtt.aws.reconnect_interval = 30s" => Later("bridges to other brokers are not there yet");
    /// After how long an unanswered message is sent again.
    "bridge.mqtt.$name.retry_interval": Seconds = "20s" ships "bridge.mqtt.aws.retry_interval = 20s" => Later("bridges to other brokers are not there yet");
    /// How many messages may be on their way.
    "bridge.mqtt.$name.max_inflight_size": Integer = "0" ships "bridge.mqtt.aws.max_inflight_size = 32" => Later("bridges to other brokers are not there yet");
    /// How many messages are sent together.
    "bridge.mqtt.$name.batch_size": Integer = "0" ships "bridge.mqtt.aws.batch_size = 32" => Later("bridges to other brokers are not there yet");
    /// The directory of the queue on disk.
    "bridge.mqtt.$name.queue.replayq_dir": Text ships "bridge.mqtt.aws.queue.replayq_dir = data/replayq/emqx_aws_bridge/" => Later("bridges to other brokers are not there yet");
    /// The size of one file of the queue.
    "bridge.mqtt.$name.queue.replayq_seg_bytes": ByteSize ships "bridge.mqtt.aws.queue.replayq_seg_bytes = 10MB" => Later("bridges to other brokers are not there yet");
    /// The largest size of the queue.
    "bridge.mqtt.$name.queue.max_total_size": ByteSize ships "bridge.mqtt.aws.queue.max_total_size = 5GB" => Later("bridges to other brokers are not there yet");
};

/// `etc/plugins/emqx_exhook.conf`.
pub(super) const EXHOOK: &[Row] = settings! {
    /// What is decided when the hook server cannot be asked.
    "exhook.request_failed_action": OneOf["ignore", "deny"] = "deny" => Later("hook servers are not there yet");
    /// How long the answer of the hook server may take.
    "exhook.request_timeout": Duration = "5s" => Later("hook servers are not there yet");
    /// How long to wait before the hook server is dialled again.
    "exhook.auto_reconnect": Text = "60s" => Later("hook servers are not there yet");
    /// When, among others, the hook is called.
    "exhook.hook_priority": Integer = "0" => Later("hook servers are not there yet");
    /// How many connections are kept open.
    "exhook.pool_size": Integer => Later("hook servers are not there yet");
    /// The URL of a hook server.
    "exhook.server.$name.url": Text ships "exhook.server.default.url = http://127.0.0.1:9000" => Later("hook servers are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "exhook.server.$name.ssl.cacertfile": Text => Later("hook servers are not there yet");
    /// The file of the certificate and its chain.
    "exhook.server.$name.ssl.certfile": Text => Later("hook servers are not there yet");
    /// The file of the private key.
    "exhook.server.$name.ssl.keyfile": Text => Later("hook servers are not there yet");
    /// Whether the kernel probes a silent hook server.
    "exhook.server.$name.socket_options.keepalive": OneOf["true", "false"] = "true" => Later("hook servers are not there yet");
    /// Whether small packets are sent at once (TCP_NODELAY).
    "exhook.server.$name.socket_options.nodelay": OneOf["true", "false"] = "true" => Later("hook servers are not there yet");
    /// The kernel's receive buffer of a socket.
    "exhook.server.$name.socket_options.recbuf": ByteSize => Later("hook servers are not there yet");
    /// The kernel's send buffer of a socket.
    "exhook.server.$name.socket_options.sndbuf": ByteSize => Later("hook servers are not there yet");
};

/// `etc/plugins/emqx_rule_engine.conf`.
pub(super) const RULE_ENGINE: &[Row] = settings! {
    /// Whether rules skip messages under `$SYS`.
    "rule_engine.ignore_sys_message": Flag = "on" ships "on" => Later("rules are not there yet");
    /// Whether an event is also published, and with which QoS.
    "rule_engine.events.$name": Text = "off, qos1" ships "rule_engine.events.client_connected = off" "rule_engine.events.client_disconnected = off" "rule_engine.events.session_subscribed = off" "rule_engine.events.session_unsubscribed = off" "rule_engine.events.message_delivered = off" "rule_engine.events.message_acked = off" "rule_engine.events.message_dropped = off" => Later("rules are not there yet");
};

/// `etc/plugins/emqx_web_hook.conf`.
pub(super) const WEB_HOOK: &[Row] = settings! {
    /// Where events are posted.
    "web.hook.url": Text ships "http://127.0.0.1:80" => Later("web hooks are not there yet");
    /// A header of the request.
    "web.hook.headers.$name": Text ships "web.hook.headers.content-type = application/json" => Later("web hooks are not there yet");
    /// How payloads are encoded.
    "web.hook.body.encoding_of_payload_field": OneOf["plain", "base62", "base64"] = "plain" ships "plain" => Later("web hooks are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "web.hook.ssl.cacertfile": Text => Later("web hooks are not there yet");
    /// The file of the certificate and its chain.
    "web.hook.ssl.certfile": Text => Later("web hooks are not there yet");
    /// The file of the private key.
    "web.hook.ssl.keyfile": Text => Later("web hooks are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "web.hook.ssl.verify": OneOf["true", "false"] = "false" => Later("web hooks are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "web.hook.ssl.server_name_indication": Text => Later("web hooks are not there yet");
    /// How many connections are kept open.
    "web.hook.pool_size": Integer = "32" ships "32" => Later("web hooks are not there yet");
    /// Whether further events are sent before the answer has come.
    "web.hook.enable_pipelining": OneOf["true", "false"] = "true" ships "true" => Later("web hooks are not there yet");
    /// A rule that posts the event client.connect, as `{"action": …}`.
    "web.hook.rule.client.connect.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event client.connack, as `{"action": …}`.
    "web.hook.rule.client.connack.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event client.connected, as `{"action": …}`.
    "web.hook.rule.client.connected.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event client.disconnected, as `{"action": …}`.
    "web.hook.rule.client.disconnected.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event client.subscribe, as `{"action": …}`.
    "web.hook.rule.client.subscribe.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event client.unsubscribe, as `{"action": …}`.
    "web.hook.rule.client.unsubscribe.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event session.subscribed, as `{"action": …}`.
    "web.hook.rule.session.subscribed.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event session.unsubscribed, as `{"action": …}`.
    "web.hook.rule.session.unsubscribed.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event session.terminated, as `{"action": …}`.
    "web.hook.rule.session.terminated.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event message.publish, as `{"action": …}`.
    "web.hook.rule.message.publish.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event message.acked, as `{"action": …}`.
    "web.hook.rule.message.acked.$name": Text => Later("web hooks are not there yet");
    /// A rule that posts the event message.delivered, as `{"action": …}`.
    "web.hook.rule.message.delivered.$name": Text => Later("web hooks are not there yet");
};

/// `etc/plugins/emqx_prometheus.conf`.
pub(super) const PROMETHEUS: &[Row] = settings! {
    /// The URL of the push gateway.
    "prometheus.push.gateway.server": Text ships "http://127.0.0.1:9091" => Later("figures for Prometheus are not there yet");
    /// How often figures are pushed, in milliseconds.
    "prometheus.interval": Integer = "5000" ships "15000" => Later("figures for Prometheus are not there yet");
    /// A collector of figures of the virtual machine.
    "prometheus.collector.$name": Atom => Later("figures for Prometheus are not there yet");
};

/// `etc/plugins/emqx_telemetry.conf`.
pub(super) const TELEMETRY: &[Row] = settings! {
    /// Whether usage data is sent to EMQ.
    "telemetry.enabled": OneOf["true", "false"] = "true" ships "true" => NoEffect("FlockMQ never sends usage data");
    /// Where usage data is sent.
    "telemetry.url": Text = "https://telemetry.emqx.io/api/telemetry" ships "https://telemetry.emqx.io/api/telemetry" => NoEffect("FlockMQ never sends usage data");
    /// How often usage data is sent.
    "telemetry.report_interval": Seconds = "7d" ships "7d" => NoEffect("FlockMQ never sends usage data");
};
