//! Reason codes: one table with the byte on the wire, the words for logs and counters, what a CONNACK of
//! 3.x says in its place (§3.2.2.3 of 3.1.1), and the packets of 5.0 that may carry it (§2.4).

use crate::codec::property::on::{
    AUTH, CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK,
};

/// DISCONNECT of a client; [`DISCONNECT`] alone is that of a server.
pub(crate) const CLIENT_DISCONNECT: u16 = 1;

/// DISCONNECT of either side.
const BOTH: u16 = DISCONNECT | CLIENT_DISCONNECT;
/// The answers to PUBLISH.
const PUBLISHED: u16 = PUBACK | PUBREC;
/// The answers to SUBSCRIBE and UNSUBSCRIBE.
const SUBSCRIBED: u16 = SUBACK | UNSUBACK;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $v3:literal, $on:expr;)*) => {
        /// A reason code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name = $code,)* }

        impl Reason {
            /// All of them, by code.
            pub const ALL: &[Reason] = &[$(Reason::$name),*];

            /// From the byte on the wire.
            pub fn from_code(code: u8) -> Option<Reason> {
                match code { $($code => Some(Reason::$name),)* _ => None }
            }

            /// A few words, also used as the cause in logs and counters.
            pub fn words(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// The CONNACK return code of 3.x in its place.
            pub fn connack_v3(self) -> u8 {
                match self { $(Reason::$name => $v3,)* }
            }

            /// The packets that may carry it.
            fn packets(self) -> u16 {
                match self { $(Reason::$name => $on,)* }
            }
        }
    };
}

reasons! {
    /// Success, normal disconnection, granted QoS 0.
    Success = 0x00, "success", 0, CONNACK | PUBLISHED | PUBREL | PUBCOMP | SUBSCRIBED | AUTH | BOTH;
    /// Granted QoS 1.
    GrantedQos1 = 0x01, "granted_qos1", 0, SUBACK;
    /// Granted QoS 2.
    GrantedQos2 = 0x02, "granted_qos2", 0, SUBACK;
    /// A DISCONNECT that asks for the will.
    DisconnectWithWill = 0x04, "disconnect_with_will_message", 0, CLIENT_DISCONNECT;
    /// Accepted, nobody is subscribed.
    NoMatchingSubscribers = 0x10, "no_matching_subscribers", 0, PUBLISHED;
    /// There was no such subscription.
    NoSubscriptionExisted = 0x11, "no_subscription_existed", 0, UNSUBACK;
    /// The authentication needs another step.
    ContinueAuthentication = 0x18, "continue_authentication", 0, AUTH;
    /// The client begins an authentication again.
    ReAuthenticate = 0x19, "re_authenticate", 0, AUTH;
    /// Anything that has no code of its own.
    Unspecified = 0x80, "unspecified_error", 3, CONNACK | PUBLISHED | SUBSCRIBED | BOTH;
    /// The bytes are no packet.
    MalformedPacket = 0x81, "malformed_packet", 3, CONNACK | BOTH;
    /// A packet that must not be, or not here.
    ProtocolError = 0x82, "protocol_error", 3, CONNACK | BOTH;
    /// Valid, not accepted by this implementation.
    ImplementationSpecific = 0x83, "implementation_specific_error", 3, CONNACK | PUBLISHED | SUBSCRIBED | BOTH;
    /// The server does not speak this version.
    UnsupportedProtocolVersion = 0x84, "unsupported_protocol_version", 1, CONNACK;
    /// The client id is not accepted.
    ClientIdNotValid = 0x85, "client_identifier_not_valid", 2, CONNACK;
    /// The login failed.
    BadUserNameOrPassword = 0x86, "bad_username_or_password", 4, CONNACK;
    /// Not allowed.
    NotAuthorized = 0x87, "not_authorized", 5, CONNACK | PUBLISHED | SUBSCRIBED | DISCONNECT;
    /// The server cannot serve now.
    ServerUnavailable = 0x88, "server_unavailable", 3, CONNACK;
    /// The server has too much to do.
    ServerBusy = 0x89, "server_busy", 3, CONNACK | DISCONNECT;
    /// The client is banned.
    Banned = 0x8A, "banned", 5, CONNACK;
    /// The server ends.
    ServerShuttingDown = 0x8B, "server_shutting_down", 3, DISCONNECT;
    /// The authentication method is not supported, or not that of CONNECT.
    BadAuthenticationMethod = 0x8C, "bad_authentication_method", 4, CONNACK | DISCONNECT;
    /// The client was silent for more than 1.5 × its keep-alive.
    KeepAliveTimeout = 0x8D, "keepalive_timeout", 3, DISCONNECT;
    /// The client id connected elsewhere.
    SessionTakenOver = 0x8E, "session_taken_over", 3, DISCONNECT;
    /// The filter is well formed and not accepted.
    TopicFilterInvalid = 0x8F, "topic_filter_invalid", 3, SUBSCRIBED | DISCONNECT;
    /// The name is well formed and not accepted.
    TopicNameInvalid = 0x90, "topic_name_invalid", 3, CONNACK | PUBLISHED | BOTH;
    /// The packet identifier is in use.
    PacketIdInUse = 0x91, "packet_identifier_inuse", 3, PUBLISHED | SUBSCRIBED;
    /// No such packet identifier.
    PacketIdNotFound = 0x92, "packet_identifier_not_found", 3, PUBREL | PUBCOMP;
    /// More QoS 1 and 2 messages than the Receive Maximum.
    ReceiveMaximumExceeded = 0x93, "receive_maximum_exceeded", 3, BOTH;
    /// An alias of 0, or above the maximum.
    TopicAliasInvalid = 0x94, "topic_alias_invalid", 3, BOTH;
    /// Larger than the Maximum Packet Size.
    PacketTooLarge = 0x95, "packet_too_large", 3, CONNACK | BOTH;
    /// More messages than are allowed in a time.
    MessageRateTooHigh = 0x96, "message_rate_too_high", 3, BOTH;
    /// A limit was reached.
    QuotaExceeded = 0x97, "quota_exceeded", 3, CONNACK | PUBLISHED | SUBACK | BOTH;
    /// An operator ended the connection.
    AdministrativeAction = 0x98, "administrative_action", 3, BOTH;
    /// The payload is not of the format it claims.
    PayloadFormatInvalid = 0x99, "payload_format_invalid", 3, CONNACK | PUBLISHED | BOTH;
    /// Retained messages are not available.
    RetainNotSupported = 0x9A, "retain_not_supported", 3, CONNACK | DISCONNECT;
    /// The QoS is above the maximum.
    QosNotSupported = 0x9B, "qos_not_supported", 3, CONNACK | DISCONNECT;
    /// Another server, for now.
    UseAnotherServer = 0x9C, "use_another_server", 3, CONNACK | DISCONNECT;
    /// Another server, for ever.
    ServerMoved = 0x9D, "server_moved", 3, CONNACK | DISCONNECT;
    /// Shared subscriptions are not available.
    SharedNotSupported = 0x9E, "shared_subscriptions_not_supported", 3, SUBACK | DISCONNECT;
    /// Too many connections in a time.
    ConnectionRateExceeded = 0x9F, "connection_rate_exceeded", 3, CONNACK | DISCONNECT;
    /// The connection has lasted as long as it may.
    MaximumConnectTime = 0xA0, "maximum_connect_time", 3, DISCONNECT;
    /// Subscription identifiers are not available.
    SubscriptionIdsNotSupported = 0xA1, "subscription_identifiers_not_supported", 3, SUBACK | DISCONNECT;
    /// Wildcard subscriptions are not available.
    WildcardsNotSupported = 0xA2, "wildcard_subscriptions_not_supported", 3, SUBACK | DISCONNECT;
}

impl Reason {
    /// The byte on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed.
    pub fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// From a byte in one of the packets `on` (bits of [`crate::codec::property::on`]): a code that does
    /// not belong there is a protocol error.
    pub(crate) fn read(code: u8, on: u16) -> Result<Reason, Reason> {
        Reason::from_code(code).filter(|r| r.packets() & on != 0).ok_or(Reason::ProtocolError)
    }

    /// Itself where the packets `on` may carry it, otherwise [`Reason::Unspecified`].
    pub(crate) fn fitting(self, on: u16) -> Reason {
        if self.packets() & on != 0 { self } else { Reason::Unspecified }
    }

    /// From a CONNACK return code of 3.x.
    pub fn from_connack_v3(code: u8) -> Option<Reason> {
        Some(match code {
            0 => Reason::Success,
            1 => Reason::UnsupportedProtocolVersion,
            2 => Reason::ClientIdNotValid,
            3 => Reason::ServerUnavailable,
            4 => Reason::BadUserNameOrPassword,
            5 => Reason::NotAuthorized,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways_and_unknown_ones_are_none() {
        assert_eq!(Reason::ALL.len(), 43);
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(reason.is_error(), reason.connack_v3() != 0);
        }
        assert_eq!((0..=255u8).filter_map(Reason::from_code).count(), 43);
    }

    #[test]
    fn a_code_is_taken_only_from_the_packets_that_may_carry_it() {
        assert_eq!(Reason::read(0x10, PUBACK), Ok(Reason::NoMatchingSubscribers));
        assert_eq!(Reason::read(0x10, PUBCOMP), Err(Reason::ProtocolError));
        assert_eq!(Reason::read(0x8E, CLIENT_DISCONNECT), Err(Reason::ProtocolError));
        assert_eq!(Reason::read(0x03, CONNACK), Err(Reason::ProtocolError));
        assert_eq!(Reason::Banned.fitting(DISCONNECT), Reason::Unspecified);
        assert_eq!(Reason::Banned.fitting(CONNACK), Reason::Banned);
    }

    #[test]
    fn return_codes_of_3_go_both_ways() {
        for code in 0..=5 {
            assert_eq!(Reason::from_connack_v3(code).map(Reason::connack_v3), Some(code));
        }
        assert_eq!(Reason::from_connack_v3(6), None);
    }
}
