//! rumqttc, as it comes, across two nodes. The other real clients are under `tests/clients/`.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::node::cluster;

const LIMIT: Duration = Duration::from_secs(10);

/// What a connection of rumqttc told, of both protocol levels.
#[derive(Debug)]
enum Seen {
    Connected { present: bool },
    Subscribed,
    Acked,
    Message { line: String, retain: bool },
}

struct Ear(Receiver<Seen>);

impl Ear {
    fn wait<T>(&self, what: &str, pick: impl Fn(Seen) -> Option<T>) -> T {
        loop {
            let seen = self.0.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("no {what}: {e}"));
            if let Some(found) = pick(seen) {
                return found;
            }
        }
    }
    /// Session present, of the next CONNACK.
    fn connected(&self) -> bool {
        self.wait("CONNACK", |s| if let Seen::Connected { present } = s { Some(present) } else { None })
    }
    fn subscribed(&self) {
        self.wait("SUBACK", |s| matches!(s, Seen::Subscribed).then_some(()));
    }
    fn acked(&self) {
        self.wait("PUBACK or PUBCOMP", |s| matches!(s, Seen::Acked).then_some(()));
    }
    fn message(&self) -> (String, bool) {
        self.wait(
            "message",
            |s| if let Seen::Message { line, retain } = s { Some((line, retain)) } else { None },
        )
    }
}

/// rumqttc has each type twice, once per protocol level; the story is the same.
macro_rules! story {
    ($level:ident, $($v:ident)::+, $qos:path, $packet:path, $kept:expr, $will:expr) => {
        mod $level {
            use super::*;
            use $qos as QoS;
            use $packet as Packet;
            use $($v)::+ as v;

            fn open(options: v::MqttOptions) -> (v::Client, Ear) {
                let (client, mut connection) = v::Client::new(options, 100);
                let (tell, seen) = channel();
                std::thread::spawn(move || {
                    for event in connection.iter() {
                        let told = match event {
                            Ok(v::Event::Incoming(Packet::ConnAck(c))) => Seen::Connected { present: c.session_present },
                            Ok(v::Event::Incoming(Packet::SubAck(_))) => Seen::Subscribed,
                            Ok(v::Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => Seen::Acked,
                            Ok(v::Event::Incoming(Packet::Publish(p))) => {
                                let topic = String::from_utf8_lossy(AsRef::<[u8]>::as_ref(&p.topic)).into_owned();
                                let line = format!("{topic} {}", String::from_utf8_lossy(&p.payload));
                                Seen::Message { line, retain: p.retain }
                            }
                            Ok(_) => continue,
                            Err(_) => return,
                        };
                        if tell.send(told).is_err() {
                            return;
                        }
                    }
                });
                (client, Ear(seen))
            }

            fn options(id: &str, at: SocketAddr) -> v::MqttOptions {
                v::MqttOptions::new(id, at.ip().to_string(), at.port())
            }

            /// It knows nothing of this broker. [MQTT-7.0.0-2] (3.1.1)
            #[test]
            fn does_everything_an_ordinary_program_does() {
                let nodes = cluster(2);
                let (a, b) = (nodes[0].mqtt(), nodes[1].mqtt());
                let (listener, ear) = open(options("listener", a));
                ear.connected();
                listener.subscribe("r/#", QoS::ExactlyOnce).unwrap();
                ear.subscribed();
                nodes[1].routes("r/#", &nodes[0]);

                let (publisher, acks) = open(options("publisher", b));
                acks.connected();
                publisher.publish("r/0", QoS::AtMostOnce, false, "zero").unwrap();
                assert_eq!(ear.message().0, "r/0 zero");
                publisher.publish("r/1", QoS::AtLeastOnce, false, "one").unwrap();
                acks.acked();
                assert_eq!(ear.message().0, "r/1 one");
                publisher.publish("r/2", QoS::ExactlyOnce, true, "two").unwrap();
                acks.acked();
                assert_eq!(ear.message(), ("r/2 two".into(), false));

                // Retained, for who comes later, on the other node.
                let (late, late_ear) = open(options("late", a));
                late.subscribe("r/2", QoS::AtLeastOnce).unwrap();
                assert_eq!(late_ear.message(), ("r/2 two".into(), true));

                // A session that waits.
                let mut kept = options("kept", a);
                $kept(&mut kept);
                let (client, kept_ear) = open(kept.clone());
                assert!(!kept_ear.connected());
                client.subscribe("q/#", QoS::AtLeastOnce).unwrap();
                kept_ear.subscribed();
                client.disconnect().unwrap();
                nodes[1].routes("q/#", &nodes[0]);
                publisher.publish("q/1", QoS::AtLeastOnce, false, "waited").unwrap();
                acks.acked();
                let (_client, kept_ear) = open(kept);
                assert!(kept_ear.connected());
                assert_eq!(kept_ear.message().0, "q/1 waited");

                // A will: the second connection of the id ends the first one.
                let mut dying = options("dying", b);
                dying.set_last_will($will);
                let (_dying, dying_ear) = open(dying);
                dying_ear.connected();
                nodes[1].ctl(&["clients", "kick", "dying"]).ok();
                assert_eq!(ear.message().0, "r/will gone");
            }
        }
    };
}

story!(
    of_3_1_1,
    rumqttc,
    rumqttc::QoS,
    rumqttc::Packet,
    |o: &mut rumqttc::MqttOptions| {
        o.set_clean_session(false);
    },
    rumqttc::LastWill::new("r/will", "gone", QoS::AtLeastOnce, false)
);
story!(
    of_5_0,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::QoS,
    rumqttc::v5::mqttbytes::v5::Packet,
    |o: &mut rumqttc::v5::MqttOptions| {
        o.set_clean_start(false);
        o.set_session_expiry_interval(Some(600));
    },
    rumqttc::v5::mqttbytes::v5::LastWill::new("r/will", "gone", QoS::AtLeastOnce, false, None)
);
