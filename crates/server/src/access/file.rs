//! Reads the file of access rules (`acl_file`): Erlang terms, as EMQ X 4.4 has them.

use std::net::IpAddr;
use std::path::Path;

use broker::access::Verdict;
use broker::access::rules::{Deeds, Rule, Rules, Topics, Whom};

use crate::term::{self, Term};

/// The rules of a file, or in plain words what is wrong with it.
pub fn read(path: &Path) -> Result<Rules, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    rules(&text).map_err(|what| format!("{}: {what}", path.display()))
}

fn rules(text: &str) -> Result<Rules, String> {
    let terms = term::parse(text).map_err(|e| format!("line {}, column {}: {}", e.line, e.column, e.what))?;
    let mut rules = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        rules.push(rule(term).ok_or_else(|| format!("rule {} is no access rule", i + 1))?);
    }
    Ok(Rules(rules.into()))
}

fn rule(term: &Term) -> Option<Rule> {
    let Term::Tuple(parts) = term else { return None };
    let verdict = match atom(parts.first()?)? {
        "allow" => Verdict::Allow,
        "deny" => Verdict::Deny,
        _ => return None,
    };
    let whom = whom(parts.get(1)?)?;
    let (deeds, topics) = match &parts[2..] {
        [] => (Deeds::Both, vec![Topics::All]),
        [deed, Term::List(list)] => {
            let deeds = match atom(deed)? {
                "publish" => Deeds::Publish,
                "subscribe" => Deeds::Subscribe,
                "pubsub" => Deeds::Both,
                _ => return None,
            };
            (deeds, list.iter().map(topics).collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    Some(Rule { verdict, whom, deeds, topics })
}

fn whom(term: &Term) -> Option<Whom> {
    let parts = match term {
        Term::Atom(all) if all == "all" => return Some(Whom::All),
        Term::Tuple(parts) => parts,
        _ => return None,
    };
    let [kind, value] = parts.as_slice() else { return None };
    let list = |each: fn(&Term) -> Option<Whom>| match value {
        Term::List(list) => list.iter().map(each).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    Some(match atom(kind)? {
        "client" | "user" if atom(value) == Some("all") => Whom::All,
        "client" => Whom::Client(text(value)?),
        "user" => Whom::User(text(value)?),
        "ipaddr" => network(value)?,
        "ipaddrs" => Whom::Or(list(network)?),
        "and" => Whom::And(list(whom)?),
        "or" => Whom::Or(list(whom)?),
        _ => return None,
    })
}

fn network(term: &Term) -> Option<Whom> {
    let text = text(term)?;
    let (address, bits) = text.split_once('/').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some(Whom::Network(address, bits))
}

fn topics(term: &Term) -> Option<Topics> {
    match term {
        Term::Tuple(parts) => match parts.as_slice() {
            [eq, exact] if atom(eq) == Some("eq") => Some(Topics::Exactly(text(exact)?)),
            _ => None,
        },
        _ => Some(Topics::Covered(text(term)?)),
    }
}

fn atom(term: &Term) -> Option<&str> {
    if let Term::Atom(atom) = term { Some(atom) } else { None }
}

fn text(term: &Term) -> Option<String> {
    match term {
        Term::Text(text) => Some(text.clone()),
        Term::Binary(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_and_all_forms_are_read() {
        let shipped = include_str!("../../../../release/etc/acl.conf");
        assert_eq!(rules(shipped).unwrap().0.len(), 4);
        let all = "{deny, {'and', [{client, \"a\"}, {ipaddrs, [\"10.0.0.0/8\", \"::1\"]}]}, publish, [{eq, \"#\"}, <<\"x\">>]}.";
        assert_eq!(rules(all).unwrap().0.len(), 1);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "{allow}.",
            "{may, all}.",
            "{allow, {ipaddr, \"10.0.0.0/33\"}}.",
            "{deny, all, pubsub, [x]}.",
            "{",
        ] {
            assert!(rules(wrong).is_err(), "{wrong}");
        }
    }
}
