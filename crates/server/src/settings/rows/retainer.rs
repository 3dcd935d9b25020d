//! Retained messages.

use crate::settings::table::{Row, settings};

/// `etc/plugins/emqx_retainer.conf`.
pub(super) const RETAINER: &[Row] = settings! {
    /// Where retained messages are kept.
    "retainer.storage_type": OneOf["ram", "disc", "disc_only"] = "ram" ships "ram" => NoEffect("retained messages are in memory and on disk, on every node");
    /// How many retained messages are kept; 0 is no limit. Beyond it messages for new topics are not retained.
    "retainer.max_retained_messages": Integer = "0" ships "0";
    /// The largest payload that is retained; 0 is no limit.
    "retainer.max_payload_size": ByteSize = "1MB" ships "1MB";
    /// How long a retained message without an expiry of its own is kept; 0 is for ever.
    "retainer.expiry_interval": IntegerOrDuration = "0" ships "0";
    /// Whether the empty message that clears a topic is kept from subscribers.
    "retainer.stop_publish_clear_msg": OneOf["true", "false"] = "false";
};
