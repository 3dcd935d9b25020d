//! Values in the notation of Erlang terms, as the texts of 4.4 have them.

use crate::api::shapes::ClusterStatus;

/// A name: in single quotes unless it is a bare word, which begins with a–z and has only letters, digits, `_` and `@`.
pub fn atom(name: &str) -> String {
    let bare = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'@');
    if bare {
        return name.to_owned();
    }
    format!("'{}'", plain(name).replace('\'', "\\'"))
}

/// A list of names.
fn atoms(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| atom(name)).collect();
    format!("[{}]", names.join(","))
}

/// `Cluster status: […]` in the form of the page "create a cluster"; names sorted by bytes, stopped nodes only if there are any.
pub(super) fn cluster_status(status: &ClusterStatus) -> String {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        atoms(&names)
    };
    let running = sorted(&status.running_nodes);
    match status.stopped_nodes.as_slice() {
        [] => format!("Cluster status: [{{running_nodes,{running}}}]\n"),
        stopped => format!(
            "Cluster status: [{{running_nodes,{running}}},\n {{stopped_nodes,{}}}]\n",
            sorted(stopped)
        ),
    }
}

/// What strangers chose (client ids, topics) without what would move a terminal's cursor or pretend to be another line.
pub(super) fn plain(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() || c == '\\') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => plain.push_str("\\\\"),
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            c if c.is_control() => plain.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_in_4_4() {
        for (name, text) in [
            ("emqx@s1.emqx.io", "'emqx@s1.emqx.io'"),
            ("emqx-1@h.x", "'emqx-1@h.x'"),
            ("Emqx@h", "'Emqx@h'"),
            ("emqx@localhost", "emqx@localhost"),
            ("emqx_1@h", "emqx_1@h"),
            ("", "''"),
            ("it's\n", "'it\\'s\\n'"),
        ] {
            assert_eq!(atom(name), text);
        }
    }

    #[test]
    fn status_sorts_by_bytes() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let mut status = ClusterStatus {
            running_nodes: names(&["emqx_3@h.x", "emqx2@h.x", "emqx10@h.x", "emqx-2@h.x", "emqx1@h.x"]),
            ..ClusterStatus::default()
        };
        assert_eq!(
            cluster_status(&status),
            "Cluster status: [{running_nodes,['emqx-2@h.x','emqx10@h.x','emqx1@h.x','emqx2@h.x','emqx_3@h.x']}]\n"
        );
        status.running_nodes = names(&["a@h"]);
        status.stopped_nodes = names(&["c@h.x", "b@h.x"]);
        assert_eq!(
            cluster_status(&status),
            "Cluster status: [{running_nodes,[a@h]},\n {stopped_nodes,['b@h.x','c@h.x']}]\n"
        );
    }
}
