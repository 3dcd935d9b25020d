//! Shared subscriptions: what a member of a group is sent stays its own.

use super::Places;
use crate::node::until;
use crate::wire::Wire;

/// [MQTT-4.8.2-3]
pub fn a_member_of_a_group_gets_no_more_than_the_qos_it_was_granted(at: &Places) {
    let mut publisher = at.p3("sq p");
    for granted in 0..3u16 {
        let (group, topic) = (format!("$share/g{granted}/sq/{granted}"), format!("sq/{granted}"));
        let mut member = at.s5("sq s");
        member
            .send(&format!("82 * 0001 {{}} '{group}' 0{granted}"))
            .gets(&format!("90 * 0001 {{}} 0{granted}"));
        at.known(&topic);
        publisher.send(&format!("30 * '{topic}'")).alive();
        publisher.send(&format!("32 * '{topic}' 0001")).gets("40 * 0001");
        publisher.send(&format!("34 * '{topic}' 0002")).gets("50 * 0002").send("62 * 0002").gets("70 * 0002");
        let mut number = 0;
        for published in 0..3u16 {
            match published.min(granted) {
                0 => member.gets(&format!("30 * '{topic}' {{}}")),
                qos => {
                    number += 1;
                    member.gets(&format!("3{:x} * '{topic}' {number:04x} {{}}", 2 * qos))
                }
            };
        }
        member.silent().bye();
    }
}

/// A message of QoS 2 is finished with the member that it was sent to, or not at all; one that a member has
/// refused is gone. [MQTT-4.8.2-4] [MQTT-4.8.2-5] [MQTT-4.8.2-6]
pub fn a_message_that_a_member_has_begun_stays_with_it(at: &Places) {
    const SUBSCRIBE: &str = "82 * 0001 {} '$share/g/sb' 02";
    let member = |id: &str| {
        let mut wire = Wire::greet(at.subscriber.mqtt(), "10 * 'MQTT' 05 00 003c {11 0000003c}", id, "");
        assert_eq!(wire.packet()[3], 0);
        wire
    };
    let mut publisher = at.p3("sb p");
    let mut publish = |id: u16, text: &str| {
        publisher.send(&format!("34 * 'sb' {id:04x} \"{text}\"")).gets(&format!("50 * {id:04x}"));
        publisher.send(&format!("62 * {id:04x}")).gets(&format!("70 * {id:04x}"));
    };
    let mut first = member("sb 1");
    first.send(SUBSCRIBE).gets("90 * 0001 {} 02");
    at.known("sb");
    publish(1, "finished");
    publish(2, "never finished");
    publish(3, "refused");
    first.gets("34 * 'sb' 0001 {} \"finished\" | 34 * 'sb' 0002 {} \"never finished\"");
    first.gets("34 * 'sb' 0003 {} \"refused\"").send("50 * 0003 97").alive();
    // The other one might have any of them from here on.
    let mut second = at.p5("sb 2");
    second.send(SUBSCRIBE).gets("90 * 0001 {} 02");
    drop(first);
    second.silent();
    let mut first = member("sb 1");
    first.gets("3c * 'sb' 0001 {} \"finished\" | 3c * 'sb' 0002 {} \"never finished\"");
    first.send("50 * 0001").gets("62 * 0001").send("70 * 0001").alive();
    drop(first);
    // A clean start ends the session that still had one to finish.
    let to = at.subscriber.mqtt();
    Wire::v5(to, "sb 1").bye();
    until("the session has ended", || at.subscriber.ctl(&["clients", "show", "sb 1"]).code == 1);
    second.silent().bye();
}
