//! What the deliveries of one message share: the message as one buffer, once somebody has to keep it, and the packet
//! as the last client with the same wishes got it.

use super::out::LARGE_PAYLOAD_BYTES;
use crate::packet::Forward;
use crate::{Epoch, Message, MessageRef, QoS, Version};

/// The shared part of one message's deliveries. Used again for the next message, it allocates nothing.
#[derive(Debug, Default)]
pub struct Copies {
    kept: Option<Message>,
    /// More than one client may get it: a packet is worth being noted.
    is_for_many: bool,
    packet: Vec<u8>,
    packet_is: Option<Form>,
    /// Where the packet identifier lies in `packet`, if there is one.
    id_at: usize,
}

/// What makes two clients' packets the same, but for the packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) is_v5: bool,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl Copies {
    /// The copies of a message that somebody keeps already.
    pub fn of(kept: Message) -> Copies {
        Copies { kept: Some(kept), ..Copies::default() }
    }

    /// Another message comes.
    pub fn begin(&mut self) {
        self.kept = None;
        self.is_for_many = false;
        self.packet_is = None;
    }

    /// So many sessions get it.
    pub fn are_for(&mut self, sessions: usize) {
        self.is_for_many = sessions > 1;
    }

    /// The message as one buffer, made once.
    pub fn keep(&mut self, message: &MessageRef<'_>) -> &Message {
        self.kept.get_or_insert_with(|| message.to_message())
    }

    pub(super) fn kept(&self) -> Option<&Message> {
        self.kept.as_ref()
    }

    pub(super) fn are_for_many(&self) -> bool {
        self.is_for_many
    }

    /// Whether the packet that was noted last is of that form.
    pub(super) fn has(&self, form: Form) -> bool {
        self.packet_is == Some(form)
    }

    /// That packet, a large payload left out, and where its identifier lies.
    pub(super) fn packet(&self) -> (&[u8], usize) {
        (&self.packet, self.id_at)
    }

    /// Notes the message's packet in that form. `false`: it cannot be a packet.
    #[cold]
    pub(super) fn note(
        &mut self,
        form: Form,
        message: &MessageRef<'_>,
        version: Version,
        epoch: Epoch,
    ) -> bool {
        if message.topic.len() > usize::from(u16::MAX) {
            return false;
        }
        let forward = Forward {
            message,
            dup: false,
            qos: form.qos,
            retain: form.retain,
            packet_id: 0,
            expiry: message.seconds_left(epoch),
            subscription_ids: &[],
            alias: None,
        };
        self.packet.clear();
        forward.encode_head(version, &mut self.packet);
        self.id_at = forward.id_at(version);
        if message.payload.len() < LARGE_PAYLOAD_BYTES {
            self.packet.extend_from_slice(message.payload);
        }
        self.packet_is = Some(form);
        true
    }
}
