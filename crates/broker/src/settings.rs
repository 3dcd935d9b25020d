//! What the broker may and must do: the rules of a [`Zone`], which every listener has one of, and the
//! rules of the whole broker. Plain values; whoever reads the configuration fills them in. The defaults
//! are those of the configuration that EMQ X 4.4.19 ships for its zone `external`.

use std::time::Duration;

use mqtt::QoS;
use mqtt::session::Limits;

/// The rules for the clients of a listener (`zone.<name>.*`, and `mqtt.*` where the zone says nothing).
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its name: `external`.
    pub name: String,
    /// Who is let in (`allow_anonymous`, `bypass_auth_plugins`).
    pub logins: Logins,
    /// Publishing and subscribing are checked (`enable_acl`).
    pub acl: bool,
    /// The answer if no rule fits (`acl_nomatch`).
    pub acl_no_match: crate::access::Verdict,
    /// What is remembered of the rules' answers for each client (`acl_cache_max_size`, `acl_cache_ttl`);
    /// `None`: nothing (`enable_acl_cache`).
    pub decided: Option<DecidedRules>,
    /// What happens to a client that may not do what it tries (`acl_deny_action`).
    pub denied: DenyAction,
    /// Banned clients are refused (`enable_ban`).
    pub ban: bool,
    /// Bytes of the largest packet, in both directions (`max_packet_size`).
    pub packet_bytes_max: u32,
    /// Characters of the longest client id (`max_clientid_len`).
    pub client_id_chars_max: usize,
    /// Levels of the longest topic or filter (`max_topic_levels`); 0: no limit.
    pub topic_levels_max: usize,
    /// The greatest QoS of a PUBLISH and of a subscription (`max_qos_allowed`).
    pub qos_max: u8,
    /// Topic aliases that a client may use (`max_topic_alias`).
    pub topic_alias_max: u16,
    /// Retained messages are taken (`retain_available`).
    pub retain: bool,
    /// Filters with wildcards are taken (`wildcard_subscription`).
    pub wildcard_subscription: bool,
    /// Shared subscriptions are taken (`shared_subscription`).
    pub shared_subscription: bool,
    /// A client may have a filter for itself (`exclusive_subscription`).
    pub exclusive_subscription: bool,
    /// Clients before 5.0 do not get what they published themselves (`ignore_loop_deliver`).
    pub ignore_loop_deliver: bool,
    /// What the protocol advises against is refused (`strict_mode`).
    pub strict: bool,
    /// Seconds; replaces the keep-alive that a 5.0 client asks for (`server_keepalive`).
    pub server_keepalive: Option<u16>,
    /// How often the keep-alive may pass, twice, before a silent client is ended (`keepalive_backoff`).
    pub keepalive_backoff: f64,
    /// Subscriptions of one client (`max_subscriptions`); 0: no limit.
    pub subscriptions_max: usize,
    /// A message is delivered with the greater QoS of publisher and subscription (`upgrade_qos`).
    pub upgrade_qos: bool,
    /// QoS 1 and 2 messages on their way to one client at a time (`max_inflight`); 0: as many as the
    /// protocol can number.
    pub inflight_max: u16,
    /// After how long an unacknowledged message is sent again to a client before 5.0 (`retry_interval`).
    pub retry_interval: Duration,
    /// QoS 2 messages of one publisher that wait for PUBREL (`max_awaiting_rel`); 0: no limit.
    pub awaiting_rel_max: u16,
    /// How long one waits (`await_rel_timeout`).
    pub await_rel_timeout: Duration,
    /// How long the session of a client before 5.0 without clean session outlives its connection
    /// (`session_expiry_interval`).
    pub session_expiry_interval: Duration,
    /// The rules of each client's mailbox.
    pub mailbox: MailboxRules,
    /// Set before each topic and filter of its clients (`mountpoint`), `%c` and `%u` already replaced
    /// by whoever lets a client in.
    pub mountpoint: Option<String>,
    /// The user name becomes the client id (`use_username_as_clientid`).
    pub username_as_client_id: bool,
    /// Given to 5.0 clients that ask for it (`response_information`).
    pub response_information: Option<String>,
    /// The driver is asked whether a message may be passed on (`quota.*`).
    pub quota: bool,
    /// What may wait for a client; with more than that it is ended, and its session too
    /// (`force_shutdown_policy`).
    pub waiting_max: Option<WaitingMax>,
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logins {
    /// Everybody; no password is looked at.
    Anyone,
    /// Who is known and has the right password; `others`: and who is not known; without `nameless`, nobody
    /// without a user name.
    Known { others: bool, nameless: bool },
}

/// What a client's home shard remembers of the rules' answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedRules {
    /// Topics of one client.
    pub entries_max: usize,
    /// How long an answer counts.
    pub ttl: Duration,
}

/// What may wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingMax {
    /// Messages.
    pub messages: usize,
    /// Their bytes together.
    pub bytes: usize,
}

impl Zone {
    /// What of it the protocol state of a client needs.
    pub fn limits(&self) -> Limits {
        Limits {
            packet_bytes_max: self.packet_bytes_max,
            topic_levels_max: u16::try_from(self.topic_levels_max).unwrap_or(u16::MAX),
            qos_max: QoS::from_bits(self.qos_max).unwrap_or(QoS::ExactlyOnce),
            topic_alias_max: self.topic_alias_max,
            retain_available: self.retain,
            wildcard_available: self.wildcard_subscription,
            shared_available: self.shared_subscription,
            inflight_max: self.inflight_max,
            awaiting_rel_max: self.awaiting_rel_max,
            await_rel_timeout_ms: u64::try_from(self.await_rel_timeout.as_millis()).unwrap_or(u64::MAX),
            server_keep_alive: self.server_keepalive,
            keep_alive_backoff: self.keepalive_backoff as f32,
            session_expiry_max: u32::MAX,
            response_information: self.response_information.as_deref().map(Into::into),
            strict: self.strict,
        }
    }
}

/// What happens to a client that may not do what it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyAction {
    /// It is told, where the protocol has a way.
    Ignore,
    /// Its connection ends.
    Disconnect,
}

/// The rules of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRules {
    /// Messages it holds (`max_mqueue_len`); 0: no limit.
    pub len_max: usize,
    /// QoS 0 messages wait too (`mqueue_store_qos0`).
    pub store_qos0: bool,
    /// Topics that go before others, 1 to 255, the greater the earlier (`mqueue_priorities`). Empty:
    /// all alike.
    pub priorities: Vec<(String, u8)>,
    /// Where topics without a priority go (`mqueue_default_priority`).
    pub default_priority: DefaultPriority,
}

/// Where topics without a priority go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultPriority {
    /// Before all others.
    Highest,
    /// After all others.
    Lowest,
}

impl Default for MailboxRules {
    fn default() -> MailboxRules {
        MailboxRules {
            len_max: 1000,
            store_qos0: true,
            priorities: Vec::new(),
            default_priority: DefaultPriority::Highest,
        }
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone {
            name: "external".to_owned(),
            logins: Logins::Known { others: true, nameless: true },
            acl: true,
            acl_no_match: crate::access::Verdict::Allow,
            decided: Some(DecidedRules { entries_max: 32, ttl: Duration::from_secs(60) }),
            denied: DenyAction::Ignore,
            ban: true,
            packet_bytes_max: 1 << 20,
            client_id_chars_max: 65_535,
            topic_levels_max: 128,
            qos_max: 2,
            topic_alias_max: 65_535,
            retain: true,
            wildcard_subscription: true,
            shared_subscription: true,
            exclusive_subscription: false,
            ignore_loop_deliver: false,
            strict: false,
            server_keepalive: None,
            keepalive_backoff: 0.75,
            subscriptions_max: 0,
            upgrade_qos: false,
            inflight_max: 32,
            retry_interval: Duration::from_secs(30),
            awaiting_rel_max: 100,
            await_rel_timeout: Duration::from_secs(300),
            session_expiry_interval: Duration::from_secs(2 * 3600),
            mailbox: MailboxRules::default(),
            mountpoint: None,
            username_as_client_id: false,
            response_information: None,
            quota: false,
            waiting_max: None,
        }
    }
}

/// How one member of a shared group is chosen for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Any.
    Random,
    /// One after the other, counted by each publisher.
    RoundRobin,
    /// The same for a publisher as long as it is a member.
    Sticky,
    /// By the publisher's client id; also written `hash`.
    HashClientId,
    /// By the topic.
    HashTopic,
    /// Any on the publisher's node; any at all if there is none.
    Local,
}

impl Strategy {
    /// By the word of the configuration.
    pub fn parse(word: &str) -> Option<Strategy> {
        Some(match word {
            "random" => Strategy::Random,
            "round_robin" => Strategy::RoundRobin,
            "sticky" => Strategy::Sticky,
            "hash" | "hash_clientid" => Strategy::HashClientId,
            "hash_topic" => Strategy::HashTopic,
            "local" => Strategy::Local,
            _ => return None,
        })
    }
}

/// The rules of the whole broker (`broker.*`).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `broker.shared_subscription_strategy`.
    pub shared_strategy: Strategy,
    /// `broker.<group>.shared_subscription_strategy`.
    pub group_strategies: Vec<(String, Strategy)>,
    /// A QoS 1 or 2 message goes to a connected member of a group if there is one
    /// (`broker.shared_dispatch_ack_enabled`).
    pub shared_ack: bool,
    /// Client ids are unique in the cluster, and sessions follow their clients
    /// (`broker.enable_session_registry`).
    pub registry: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            shared_strategy: Strategy::Random,
            group_strategies: Vec::new(),
            shared_ack: false,
            registry: true,
        }
    }
}

impl Settings {
    /// The strategy of a group.
    pub fn strategy(&self, group: &str) -> Strategy {
        let own = self.group_strategies.iter().find(|(name, _)| name == group);
        own.map_or(self.shared_strategy, |(_, strategy)| *strategy)
    }
}
