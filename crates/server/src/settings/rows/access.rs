//! Who may connect, publish and subscribe.

use crate::settings::table::{Row, settings};

/// Who may connect, publish and subscribe.
pub(super) const ROWS: &[Row] = settings! {
    /// The order in which login methods are asked.
    "auth_order": Text = "none" ships "none" => Later("there are no login methods to order yet");
    /// The order in which sources of access rules are asked.
    "acl_order": Text = "none" ships "none" => Later("there are no login methods to order yet");
    /// A module that renames clients at login.
    "alias_enrichment_module": Atom => NoEffect("there is no Erlang virtual machine here");
    /// A module that decides about logins.
    "special_auth_module": Atom => NoEffect("there is no Erlang virtual machine here");
    /// Whether a client that no login method knows may connect; false_quick_deny refuses without asking the methods.
    "allow_anonymous": OneOf["true", "false", "false_quick_deny"] = "false" ships "true";
    /// What happens to a publish or subscribe that no access rule matches.
    "acl_nomatch": OneOf["allow", "deny"] = "deny" ships "allow";
    /// The file of access rules.
    "acl_file": Text ships "etc/acl.conf";
    /// Whether decisions about access are remembered for each client.
    "enable_acl_cache": Flag = "on" ships "on";
    /// How long a decision about access is remembered.
    "acl_cache_ttl": Duration = "1m" ships "1m";
    /// How many decisions about access are remembered for each client.
    "acl_cache_max_size": Integer = "32" ships "32";
    /// What happens to a client that a rule denies: its packet is ignored, or it is disconnected.
    "acl_deny_action": OneOf["ignore", "disconnect"] = "ignore" ships "ignore";
    /// So many connects, in so much time, ban a client for so long.
    "flapping_detect_policy": Text = "30,1m,5m" ships "30, 1m, 5m";
};
