//! What an operator should look at: raised when it begins, cleared when it is over, said in the log and under
//! `$SYS/brokers/NODE/alarms/`. Alarms are of this run of the node and not kept.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::shard::Clock;

/// One alarm, with the fields that 4.4 publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// What kind of trouble, one at a time of each.
    pub name: &'static str,
    /// For programs.
    pub details: Value,
    /// For people.
    pub message: String,
    /// Milliseconds since 1970.
    pub activated_at_ms: u64,
    /// Milliseconds since 1970; `None` while it goes on.
    pub deactivated_at_ms: Option<u64>,
}

impl Alarm {
    /// `activate` or `deactivate`: the last level of its topic.
    pub fn word(&self) -> &'static str {
        if self.deactivated_at_ms.is_none() { "activate" } else { "deactivate" }
    }

    /// As it is published: times in microseconds.
    pub fn to_json(&self) -> Value {
        let ended = self.deactivated_at_ms.map_or_else(|| json!("infinity"), |at| json!(at * 1000));
        json!({
            "name": self.name,
            "details": self.details,
            "message": self.message,
            "activate_at": self.activated_at_ms * 1000,
            "deactivate_at": ended,
            "activated": self.deactivated_at_ms.is_none(),
        })
    }
}

/// The alarms that go on.
#[derive(Default)]
pub struct Alarms {
    active: BTreeMap<&'static str, Alarm>,
    listener: Option<Box<dyn Fn(Alarm)>>,
}

impl Alarms {
    /// Whoever publishes them.
    pub fn listen(&mut self, listener: Box<dyn Fn(Alarm)>) {
        self.listener = Some(listener);
    }

    /// Raises an alarm, unless one of that name goes on.
    pub fn activate(&mut self, name: &'static str, details: Value, message: String) {
        if self.active.contains_key(name) {
            return;
        }
        tracing::warn!("Alarm {name} is activated, {message}");
        let activated_at_ms = Clock::epoch().0;
        let alarm = Alarm { name, details, message, activated_at_ms, deactivated_at_ms: None };
        self.active.insert(name, alarm.clone());
        self.say(alarm);
    }

    /// Clears an alarm, if it goes on.
    pub fn deactivate(&mut self, name: &str) {
        let Some(alarm) = self.active.remove(name) else { return };
        tracing::warn!("Alarm {name} is deactivated");
        self.say(Alarm { deactivated_at_ms: Some(Clock::epoch().0), ..alarm });
    }

    fn say(&self, alarm: Alarm) {
        if let Some(listener) = &self.listener {
            listener(alarm);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn an_alarm_is_said_once_when_it_begins_and_once_when_it_ends() {
        let said = Rc::new(RefCell::new(Vec::new()));
        let mut alarms = Alarms::default();
        let heard = said.clone();
        alarms.listen(Box::new(move |alarm| heard.borrow_mut().push((alarm.word(), alarm.to_json()))));
        alarms.deactivate("partition");
        for node in ["a@h", "b@h"] {
            alarms.activate(
                "partition",
                json!({ "occurred": node }),
                format!("Partition occurs at node {node}"),
            );
        }
        alarms.deactivate("partition");
        alarms.deactivate("partition");
        let said = said.borrow();
        assert_eq!(said.iter().map(|(word, _)| *word).collect::<Vec<_>>(), ["activate", "deactivate"]);
        assert_eq!(said[0].1["details"]["occurred"], "a@h");
        assert_eq!(
            (&said[0].1["activated"], &said[0].1["deactivate_at"]),
            (&json!(true), &json!("infinity"))
        );
        assert!(said[1].1["deactivate_at"].as_u64() >= said[0].1["activate_at"].as_u64());
    }
}
