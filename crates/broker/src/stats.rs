//! What a shard counts, under the names of EMQ X 4.4. Plain numbers: the shard adds, whoever shows them
//! reads and sums up over the shards.

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// Counters since the start of the shard.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Stats {
            /// Each counter under its EMQ X name, sorted by it within each group.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)*].into_iter()
            }

            /// Adds another shard's counters.
            pub fn add(&mut self, other: &Stats) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counters! {
    /// CONNECT of a client that was let in or not.
    client_connect = "client.connect",
    /// CONNACK sent.
    client_connack = "client.connack",
    /// Clients that were let in.
    client_connected = "client.connected",
    /// Clients that were let in without a login.
    client_auth_anonymous = "client.auth.anonymous",
    /// Subscriptions asked for, by packets.
    client_subscribe = "client.subscribe",
    /// Likewise ended.
    client_unsubscribe = "client.unsubscribe",
    /// Connections of clients that ended.
    client_disconnected = "client.disconnected",
    /// Publications and subscriptions that were allowed.
    client_acl_allow = "client.acl.allow",
    /// Those that were not.
    client_acl_deny = "client.acl.deny",
    /// Messages that a session did not get, for whatever reason.
    delivery_dropped = "delivery.dropped",
    /// Because its client had published them.
    delivery_dropped_no_local = "delivery.dropped.no_local",
    /// Because they were larger than the client takes.
    delivery_dropped_too_large = "delivery.dropped.too_large",
    /// QoS 0, because nobody was there to take them, or the client was too slow.
    delivery_dropped_qos0 = "delivery.dropped.qos0_msg",
    /// Because its mailbox was full.
    delivery_dropped_queue_full = "delivery.dropped.queue_full",
    /// Because they had expired.
    delivery_dropped_expired = "delivery.dropped.expired",
    /// QoS 0 messages dropped because the node was short of memory.
    overload_qos0 = "overload.qos0",
    /// Messages of QoS 1 and 2, and subscriptions, refused for that reason.
    overload_refused = "overload.refused",
    /// Clients ended for that reason.
    overload_clients = "overload.clients",
    /// Messages from clients.
    messages_received = "messages.received",
    /// Messages to clients.
    messages_sent = "messages.sent",
    messages_qos0_received = "messages.qos0.received",
    messages_qos0_sent = "messages.qos0.sent",
    messages_qos1_received = "messages.qos1.received",
    messages_qos1_sent = "messages.qos1.sent",
    messages_qos2_received = "messages.qos2.received",
    messages_qos2_sent = "messages.qos2.sent",
    /// Messages published, by clients or by the node.
    messages_publish = "messages.publish",
    /// Messages that nobody got.
    messages_dropped = "messages.dropped",
    /// Because a PUBREL did not come in time.
    messages_dropped_await_pubrel_timeout = "messages.dropped.await_pubrel_timeout",
    /// Because nobody subscribed.
    messages_dropped_no_subscribers = "messages.dropped.no_subscribers",
    /// Messages sent on to peers.
    messages_forward = "messages.forward",
    /// Retained messages published.
    messages_retained = "messages.retained",
    /// Messages handed to sessions.
    messages_delivered = "messages.delivered",
    /// Messages acknowledged by clients.
    messages_acked = "messages.acked",
    packets_received = "packets.received",
    packets_sent = "packets.sent",
    packets_connect_received = "packets.connect.received",
    packets_connack_sent = "packets.connack.sent",
    packets_connack_error = "packets.connack.error",
    packets_publish_received = "packets.publish.received",
    packets_publish_sent = "packets.publish.sent",
    packets_publish_error = "packets.publish.error",
    packets_publish_auth_error = "packets.publish.auth_error",
    packets_publish_dropped = "packets.publish.dropped",
    packets_puback_received = "packets.puback.received",
    packets_puback_sent = "packets.puback.sent",
    packets_puback_missed = "packets.puback.missed",
    packets_pubrec_received = "packets.pubrec.received",
    packets_pubrec_sent = "packets.pubrec.sent",
    packets_pubrec_missed = "packets.pubrec.missed",
    packets_pubrel_received = "packets.pubrel.received",
    packets_pubrel_sent = "packets.pubrel.sent",
    packets_pubrel_missed = "packets.pubrel.missed",
    packets_pubcomp_received = "packets.pubcomp.received",
    packets_pubcomp_sent = "packets.pubcomp.sent",
    packets_pubcomp_missed = "packets.pubcomp.missed",
    packets_subscribe_received = "packets.subscribe.received",
    packets_subscribe_error = "packets.subscribe.error",
    packets_subscribe_auth_error = "packets.subscribe.auth_error",
    packets_suback_sent = "packets.suback.sent",
    packets_unsubscribe_received = "packets.unsubscribe.received",
    packets_unsubscribe_error = "packets.unsubscribe.error",
    packets_unsuback_sent = "packets.unsuback.sent",
    packets_pingreq_received = "packets.pingreq.received",
    packets_pingresp_sent = "packets.pingresp.sent",
    packets_disconnect_received = "packets.disconnect.received",
    packets_disconnect_sent = "packets.disconnect.sent",
    packets_auth_received = "packets.auth.received",
    packets_auth_sent = "packets.auth.sent",
    session_created = "session.created",
    session_resumed = "session.resumed",
    session_takeovered = "session.takeovered",
    session_discarded = "session.discarded",
    session_terminated = "session.terminated",
    /// Frames from other places that made no sense.
    frames_bad = "frames.bad",
    /// Picks of group members that met no member any more.
    shared_missed = "shared.missed",
}

/// What there is now, of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Clients with a connection (`connections.count`).
    pub connections: u64,
    /// Sessions, with a connection or without (`sessions.count`).
    pub sessions: u64,
    /// Subscriptions, shared ones included (`subscriptions.count`).
    pub subscriptions: u64,
    /// Shared ones among them (`subscriptions.shared.count`).
    pub subscriptions_shared: u64,
    /// Filters that a session of this shard subscribes (`topics.count` of this shard).
    pub filters: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_names_and_add_up() {
        let mut one = Stats { messages_received: 2, ..Stats::default() };
        one.add(&Stats { messages_received: 3, ..Stats::default() });
        assert!(one.named().any(|n| n == ("messages.received", 5)));
        let mut names: Vec<_> = one.named().map(|n| n.0).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
