//! What MQTT demands, byte by byte, with publisher and subscriber on one node and on two nodes of three.
//! The tags before a scenario name the statements that it shows; `docs/conformance.md` is made from them.

mod connect;
mod publish;
mod shared;
mod subscribe;
mod websocket;

use std::time::Instant;

use crate::node::{Node, cluster};
use crate::wire::Wire;

/// Where the two sides of a scenario connect.
struct Places<'a> {
    publisher: &'a Node,
    subscriber: &'a Node,
}

impl Places<'_> {
    fn p3(&self, id: &str) -> Wire {
        Wire::v3(self.publisher.mqtt(), id)
    }
    fn p5(&self, id: &str) -> Wire {
        Wire::v5(self.publisher.mqtt(), id)
    }
    fn s3(&self, id: &str) -> Wire {
        Wire::v3(self.subscriber.mqtt(), id)
    }
    fn s5(&self, id: &str) -> Wire {
        Wire::v5(self.subscriber.mqtt(), id)
    }
    /// Until the publisher's node knows that the subscriber's wants this.
    fn known(&self, filter: &str) {
        if self.publisher.name != self.subscriber.name {
            self.publisher.routes(filter, self.subscriber);
        }
    }
}

type Scenario = fn(&Places);

const ALL: [(&str, Scenario); 19] = [
    ("sessions", connect::a_session_goes_on_or_begins_anew),
    ("wills", connect::a_will_is_published_unless_the_client_says_good_bye),
    ("properties of wills", connect::the_properties_of_a_will_arrive_in_their_order),
    ("take-over", connect::a_second_connection_of_a_client_id_ends_the_first),
    ("connack", connect::the_first_packet_is_a_connack_and_a_refusal_is_the_last),
    ("one connack", connect::a_second_connect_gets_no_second_connack),
    ("client ids", connect::client_ids_are_as_long_as_they_must_be),
    ("chosen client ids", connect::who_has_no_client_id_gets_one_of_its_own),
    ("retained", publish::retained_messages_are_kept_replaced_and_removed),
    ("owner of retained", publish::a_retained_message_outlives_the_session_that_published_it),
    ("dup", publish::dup_says_whether_this_packet_was_sent_before),
    ("overlaps", publish::overlapping_subscriptions_get_a_copy_each),
    ("filters", subscribe::filters_match_and_dollar_topics_stay_apart),
    ("unsubscribing", subscribe::after_unsuback_nothing_new_comes),
    ("begun", subscribe::what_was_begun_before_unsubscribe_is_finished_after_it),
    ("subscribing", subscribe::one_subscribe_with_many_filters_is_many_subscriptions),
    ("replaced", subscribe::no_message_is_lost_while_a_subscription_is_replaced),
    ("shared", shared::a_member_of_a_group_gets_no_more_than_the_qos_it_was_granted),
    ("shared and begun", shared::a_message_that_a_member_has_begun_stays_with_it),
];

fn run(places: &Places) {
    for (name, scenario) in ALL {
        let from = Instant::now();
        scenario(places);
        eprintln!("{name}: {:?}", from.elapsed());
    }
}

/// All of it over TCP. [MQTT-4.2-1], [MQTT-7.1.1-1] (3.1.1)
#[test]
fn statements_hold_on_one_node() {
    let mut node = Node::new();
    node.start();
    run(&Places { publisher: &node, subscriber: &node });
}

#[test]
fn statements_hold_across_nodes() {
    let nodes = cluster(3);
    run(&Places { publisher: &nodes[0], subscriber: &nodes[2] });
}
