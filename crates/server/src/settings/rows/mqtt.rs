//! What clients may ask of the broker; `zone.NAME.*` overrides `mqtt.*` for the clients of the listeners in that zone.

use crate::settings::table::{Row, settings};

/// What clients may ask of the broker; `zone.NAME.*` overrides `mqtt.*` for the clients of the listeners in that zone.
pub(super) const ROWS: &[Row] = settings! {
    /// The largest packet that a client may send. A larger CONNECT than 64 KiB is refused in any case.
    "mqtt.max_packet_size": ByteSize = "1MB" ships "1MB";
    /// The longest client id, in bytes.
    "mqtt.max_clientid_len": Integer = "65535" ships "65535";
    /// The largest number of levels in a topic or filter; 0 is no limit.
    "mqtt.max_topic_levels": Integer = "128" ships "128";
    /// The highest QoS with which a client may publish.
    "mqtt.max_qos_allowed": Integer = "2" ships "2";
    /// The largest topic alias that a client may use; 0 forbids them.
    "mqtt.max_topic_alias": Integer = "65535" ships "65535";
    /// Whether clients may publish retained messages.
    "mqtt.retain_available": OneOf["true", "false"] = "true" ships "true";
    /// Whether clients may subscribe with wildcards.
    "mqtt.wildcard_subscription": OneOf["true", "false"] = "true" ships "true";
    /// Whether clients may subscribe to `$share/…` and `$queue/…`.
    "mqtt.shared_subscription": OneOf["true", "false"] = "true" ships "true";
    /// Whether a client's own messages are kept from it, as MQTT 5.0's No Local does.
    "mqtt.ignore_loop_deliver": OneOf["true", "false"] = "true" ships "false";
    /// Whether every UTF-8 string and every topic is checked to the letter.
    "mqtt.strict_mode": OneOf["true", "false"] = "false" ships "false";
    /// What a client is told that asks for response information.
    "mqtt.response_information": Text;
    /// Whether clients may subscribe to `$exclusive/…`: to a filter that no other client of the cluster then has exclusively.
    "mqtt.exclusive_subscription": OneOf["true", "false"] = "false" ships "false";
    /// How long a new connection may take to send its CONNECT.
    "zone.$name.idle_timeout": Duration = "15s" ships "zone.external.idle_timeout = 15s";
    /// `allow_anonymous` for this zone.
    "zone.$name.allow_anonymous": OneOf["true", "false", "false_quick_deny"] ships "zone.internal.allow_anonymous = true";
    /// `acl_nomatch` for this zone.
    "zone.$name.acl_nomatch": OneOf["allow", "deny"];
    /// Whether access rules are asked for clients of this zone.
    "zone.$name.enable_acl": Flag = "off" ships "zone.external.enable_acl = on" "zone.internal.enable_acl = off";
    /// `acl_deny_action` for this zone.
    "zone.$name.acl_deny_action": OneOf["ignore", "disconnect"] = "ignore" ships "zone.external.acl_deny_action = ignore" "zone.internal.acl_deny_action = ignore";
    /// Whether banned clients are refused.
    "zone.$name.enable_ban": Flag = "off" ships "zone.external.enable_ban = on";
    /// Whether statistics are kept for each client.
    "zone.$name.enable_stats": Flag = "off" ships "zone.external.enable_stats = on" "zone.internal.enable_stats = on" => NoEffect("statistics are always kept; they cost nothing");
    /// How many messages a client may publish in a time, as `10,1m`.
    "zone.$name.publish_limit": Text;
    /// `mqtt.max_packet_size` for this zone.
    "zone.$name.max_packet_size": ByteSize;
    /// `mqtt.max_clientid_len` for this zone.
    "zone.$name.max_clientid_len": Integer;
    /// `mqtt.max_topic_levels` for this zone.
    "zone.$name.max_topic_levels": Integer;
    /// `mqtt.max_qos_allowed` for this zone.
    "zone.$name.max_qos_allowed": Integer;
    /// `mqtt.max_topic_alias` for this zone.
    "zone.$name.max_topic_alias": Integer;
    /// `mqtt.retain_available` for this zone.
    "zone.$name.retain_available": OneOf["true", "false"];
    /// `mqtt.wildcard_subscription` for this zone.
    "zone.$name.wildcard_subscription": OneOf["true", "false"];
    /// `mqtt.shared_subscription` for this zone.
    "zone.$name.shared_subscription": OneOf["true", "false"];
    /// The keep-alive time, in seconds, that is imposed on MQTT 5.0 clients.
    "zone.$name.server_keepalive": Integer;
    /// A client is silent for too long after twice this factor times its keep-alive.
    "zone.$name.keepalive_backoff": Float = "0.75" ships "zone.external.keepalive_backoff = 0.75";
    /// How many subscriptions a client may have; 0 is no limit.
    "zone.$name.max_subscriptions": Integer = "0" ships "zone.external.max_subscriptions = 0" "zone.internal.max_subscriptions = 0";
    /// Whether a message is delivered with the higher one of its QoS and the subscription's.
    "zone.$name.upgrade_qos": Flag = "off" ships "zone.external.upgrade_qos = off";
    /// How many QoS 1 and 2 messages may be on their way to a client; 0 is no limit. More is faster on long lines, fewer means less to
    /// repeat.
    "zone.$name.max_inflight": Integer = "0" ships "zone.external.max_inflight = 32" "zone.internal.max_inflight = 128";
    /// After how long an unanswered message is sent again on the same connection (MQTT 3.1 and 3.1.1).
    "zone.$name.retry_interval": Seconds = "30s" ships "zone.external.retry_interval = 30s";
    /// How many deliveries the average latency is made of.
    "zone.$name.latency_samples": Integer = "10" => Later("latencies are not measured yet");
    /// How many QoS 2 messages of a client may wait for its PUBREL; 0 is no limit.
    "zone.$name.max_awaiting_rel": Integer = "0" ships "zone.external.max_awaiting_rel = 100" "zone.internal.max_awaiting_rel = 1000";
    /// How long a QoS 2 message waits for its PUBREL.
    "zone.$name.await_rel_timeout": Seconds = "300s" ships "zone.external.await_rel_timeout = 300s";
    /// `mqtt.ignore_loop_deliver` for this zone.
    "zone.$name.ignore_loop_deliver": OneOf["true", "false"] ships "zone.external.ignore_loop_deliver = false" "zone.internal.ignore_loop_deliver = false";
    /// How long the session of a 3.1 or 3.1.1 client with clean session off outlives its connection.
    "zone.$name.session_expiry_interval": Seconds = "2h" ships "zone.external.session_expiry_interval = 2h";
    /// How many messages wait for a client that is absent or slow; 0 is no limit.
    "zone.$name.max_mqueue_len": Integer = "1000" ships "zone.external.max_mqueue_len = 1000" "zone.internal.max_mqueue_len = 10000";
    /// Topics that overtake others in the queue, as `topic/1=10,topic/2=8`.
    "zone.$name.mqueue_priorities": Text = "none" ships "zone.external.mqueue_priorities = none";
    /// Whether topics without a priority come first or last.
    "zone.$name.mqueue_default_priority": OneOf["highest", "lowest"] = "lowest" ships "zone.external.mqueue_default_priority = highest";
    /// Whether QoS 0 messages wait in the queue.
    "zone.$name.mqueue_store_qos0": OneOf["true", "false"] = "true" ships "zone.external.mqueue_store_qos0 = true" "zone.internal.mqueue_store_qos0 = true";
    /// Whether clients that connect too often are banned.
    "zone.$name.enable_flapping_detect": Flag = "off" ships "zone.external.enable_flapping_detect = off" "zone.internal.enable_flapping_detect = off";
    /// How many messages a connection may send in a time, as `100,10s`.
    "zone.$name.rate_limit.conn_messages_in": Text;
    /// How many bytes a connection may send in a time, as `100KB,10s`.
    "zone.$name.rate_limit.conn_bytes_in": Text;
    /// Whether a congested connection raises an alarm.
    "zone.$name.conn_congestion.alarm": Flag = "off" => Later("alarms are not there yet");
    /// How long such an alarm lasts at least.
    "zone.$name.conn_congestion.min_alarm_sustain_duration": Duration = "1m" => Later("alarms are not there yet");
    /// How many messages a connection may have routed in a time.
    "zone.$name.quota.conn_messages_routing": Text;
    /// How many messages all connections together may have routed in a time.
    "zone.$name.quota.overall_messages_routing": Text;
    /// After how many messages or bytes the memory of a connection is collected.
    "zone.$name.force_gc_policy": Text ships "zone.external.force_gc_policy = 16000|16MB" => NoEffect("there is no garbage to collect");
    /// With more than so many waiting messages, or so many bytes of them, a client is ended, and its session: `10000|64MB`. `default`:
    /// what waits is bounded by the queue and by the node's memory alone.
    "zone.$name.force_shutdown_policy": Text = "default";
    /// What is put before every topic of a client; `%c` and `%u` stand for client id and user name.
    "zone.$name.mountpoint": Text;
    /// Whether the user name is the client id.
    "zone.$name.use_username_as_clientid": OneOf["true", "false"] = "false" ships "zone.external.use_username_as_clientid = false";
    /// `mqtt.strict_mode` for this zone.
    "zone.$name.strict_mode": OneOf["true", "false"] = "false" ships "zone.external.strict_mode = false" "zone.internal.strict_mode = false";
    /// `mqtt.response_information` for this zone.
    "zone.$name.response_information": Text;
    /// Whether clients of this zone connect without a login method being asked.
    "zone.$name.bypass_auth_plugins": OneOf["true", "false"] = "false" ships "zone.internal.bypass_auth_plugins = true" => Later("there are no login methods to bypass yet");
    /// `mqtt.exclusive_subscription` for this zone.
    "zone.$name.exclusive_subscription": OneOf["true", "false"];
    /// The kernel's keep-alive for connections: idle seconds, interval, probes.
    "zone.$name.tcp_keepalive": Text = "none" => Later("the keep-alive of MQTT decides yet");
};
