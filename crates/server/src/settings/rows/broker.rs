//! Modules, the broker itself, and the watch over the system.

use crate::settings::table::{Row, settings};

/// Modules, the broker itself, and the watch over the system.
pub(super) const ROWS: &[Row] = settings! {
    /// The file that lists which modules are on.
    "modules.loaded_file": Text ships "data/loaded_modules";
    /// The QoS of the messages about clients that come and go.
    "module.presence.qos": Integer = "1" ships "1";
    /// A topic that every client is subscribed to when it connects.
    "module.subscription.$id.topic": Text => Later("subscriptions made by the server are not there yet");
    /// The QoS of that subscription.
    "module.subscription.$id.qos": Integer = "1" => Later("subscriptions made by the server are not there yet");
    /// Whether a client's own messages are kept from it.
    "module.subscription.$id.nl": Integer = "0" => Later("subscriptions made by the server are not there yet");
    /// Whether the retain flag is kept as published.
    "module.subscription.$id.rap": Integer = "0" => Later("subscriptions made by the server are not there yet");
    /// Whether retained messages are sent on subscribing.
    "module.subscription.$id.rh": Integer = "0" => Later("subscriptions made by the server are not there yet");
    /// A rewriting of topics, both when publishing and when subscribing.
    "module.rewrite.rule.$id": Text => Later("topics are not rewritten yet");
    /// A rewriting of topics when publishing.
    "module.rewrite.pub.rule.$id": Text => Later("topics are not rewritten yet");
    /// A rewriting of filters when subscribing.
    "module.rewrite.sub.rule.$id": Text => Later("topics are not rewritten yet");
    /// From which latency on a subscriber counts as slow.
    "module.slow_subs.threshold": Duration = "500ms" => Later("slow subscribers are not listed yet");
    /// How long a slow subscriber stays in the list.
    "module.slow_subs.expire_interval": Duration = "300s" => Later("slow subscribers are not listed yet");
    /// How long the list of slow subscribers is.
    "module.slow_subs.top_k_num": Integer = "10" => Later("slow subscribers are not listed yet");
    /// Which part of a delivery is measured.
    "module.slow_subs.stats_type": OneOf["whole", "internal", "response"] = "whole" => Later("slow subscribers are not listed yet");
    /// How often the list is published; 0s is never.
    "module.slow_subs.notice_interval": Duration = "0s" => Later("slow subscribers are not listed yet");
    /// The QoS of that message.
    "module.slow_subs.notice_qos": Integer = "0" => Later("slow subscribers are not listed yet");
    /// How many entries one such message has.
    "module.slow_subs.notice_batch_size": Integer = "500" => Later("slow subscribers are not listed yet");
    /// The directory of the plugins' own configuration files.
    "plugins.etc_dir": Text ships "etc/plugins/";
    /// The file that lists which plugins are on.
    "plugins.loaded_file": Text ships "data/loaded_plugins";
    /// A directory of further plugins.
    "plugins.expand_plugins_dir": Text => NoEffect("what plugins of EMQ X do is part of the program");
    /// How often the topics under `$SYS` are published.
    "broker.sys_interval": Duration = "1m" ships "1m";
    /// How often uptime and time of day are published under `$SYS`.
    "broker.sys_heartbeat": Duration = "30s" ships "30s";
    /// Whether a client id is looked up on all nodes, so that a client takes its session with it. off: only on this node.
    "broker.enable_session_registry": Flag = "on";
    /// On how many nodes a client id is locked while it connects.
    "broker.session_locking_strategy": OneOf["local", "leader", "quorum", "all"] = "quorum" ships "quorum" => NoEffect("a client id has one home; nothing is locked");
    /// Which member of a shared group gets a message.
    "broker.shared_subscription_strategy": OneOf["random", "round_robin", "sticky", "hash", "hash_clientid", "hash_topic", "local"] = "round_robin" ships "random";
    /// `broker.shared_subscription_strategy` for one group.
    "broker.$name.shared_subscription_strategy": OneOf["random", "round_robin", "sticky", "hash", "hash_clientid", "hash_topic", "local"] = "round_robin";
    /// Whether a message for a shared group goes to another member when the chosen one does not acknowledge it.
    "broker.shared_dispatch_ack_enabled": OneOf["true", "false"] = "false" ships "false";
    /// Whether the routes of a dead node are removed together.
    "broker.route_batch_clean": Flag = "on" ships "off" => NoEffect("the routes of a dead node always go together");
    /// What is locked while a route changes.
    "broker.perf.route_lock_type": OneOf["key", "tab", "global"] = "key" => NoEffect("the route index needs no lock and is always compact");
    /// Whether the index of wildcard filters is kept small rather than quick to change.
    "broker.perf.trie_compaction": OneOf["true", "false"] = "true" => NoEffect("the route index needs no lock and is always compact");
    /// Whether a client whose session is discarded by another connection is reported as disconnected.
    "broker.client_disconnect_discarded": Flag = "off" => Later("hooks are not there yet");
    /// Whether a client whose session is taken over is reported as disconnected.
    "broker.client_disconnect_takeovered": Flag = "off" => Later("hooks are not there yet");
    /// From which duration on a collection of the virtual machine is reported.
    "sysmon.long_gc": IntegerOrDuration = "0" ships "0" => NoEffect("there is no Erlang virtual machine here");
    /// From which duration on a stalled process of the virtual machine is reported.
    "sysmon.long_schedule": IntegerOrDuration = "240" ships "240ms" => NoEffect("there is no Erlang virtual machine here");
    /// From which size on a heap of the virtual machine is reported.
    "sysmon.large_heap": ByteSize = "8MB" ships "8MB" => NoEffect("there is no Erlang virtual machine here");
    /// Whether a busy port of the virtual machine is reported.
    "sysmon.busy_port": OneOf["true", "false"] = "false" ships "false" => NoEffect("there is no Erlang virtual machine here");
    /// Whether a busy connection between virtual machines is reported.
    "sysmon.busy_dist_port": OneOf["true", "false"] = "true" ships "true" => NoEffect("there is no Erlang virtual machine here");
    /// Whether the memory that the kernel can free counts as free.
    "os_mon.memsup_improved_system_memory_data": OneOf["true", "false"] = "true" => Later("alarms are not there yet");
    /// How often the load of the processors is looked at.
    "os_mon.cpu_check_interval": Seconds = "60s" ships "60s" => Later("alarms are not there yet");
    /// From which load on an alarm is raised.
    "os_mon.cpu_high_watermark": Percent = "80%" ships "80%" => Later("alarms are not there yet");
    /// Below which load the alarm ends.
    "os_mon.cpu_low_watermark": Percent = "60%" ships "60%" => Later("alarms are not there yet");
    /// How often the use of memory is looked at.
    "os_mon.mem_check_interval": Seconds = "60s" ships "60s" => Later("alarms are not there yet");
    /// From which use of the host's memory on an alarm is raised.
    "os_mon.sysmem_high_watermark": Percent = "70%" ships "70%" => Later("alarms are not there yet");
    /// From which use by one process of the virtual machine on an alarm is raised.
    "os_mon.procmem_high_watermark": Percent = "5%" ships "5%" => NoEffect("there is no Erlang virtual machine here");
    /// How often the number of processes of the virtual machine is looked at.
    "vm_mon.check_interval": Seconds = "30s" ships "30s" => NoEffect("there is no Erlang virtual machine here");
    /// From which number on an alarm is raised.
    "vm_mon.process_high_watermark": Percent = "80%" ships "80%" => NoEffect("there is no Erlang virtual machine here");
    /// Below which number the alarm ends.
    "vm_mon.process_low_watermark": Percent = "60%" ships "60%" => NoEffect("there is no Erlang virtual machine here");
    /// What is done with an alarm: log it, publish it.
    "alarm.actions": Text = "log,publish" ships "log,publish" => Later("alarms are not there yet");
    /// How many ended alarms are kept.
    "alarm.size_limit": Integer = "1000" ships "1000" => Later("alarms are not there yet");
    /// How long ended alarms are kept.
    "alarm.validity_period": Seconds = "24h" ships "24h" => Later("alarms are not there yet");
    /// Whether usage data is sent to EMQ.
    "telemetry.enabled": OneOf["true", "false"] = "false" ships "true" => NoEffect("FlockMQ never sends usage data");
    /// Where usage data is sent.
    "telemetry.url": Text = "https://telemetry-emqx-io.bigpar.vercel.app/api/telemetry" ships "https://telemetry.emqx.io/api/telemetry" => NoEffect("FlockMQ never sends usage data");
    /// How often usage data is sent.
    "telemetry.report_interval": Seconds = "7d" ships "7d" => NoEffect("FlockMQ never sends usage data");
};
