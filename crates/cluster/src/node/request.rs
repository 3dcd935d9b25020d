//! Words between the layers above, from node to node: requests with an answer, and one-way.

use super::*;
use crate::effects::{Asked, RequestId};
use crate::wire::Reader;

impl Node {
    /// Asks another node; the answer, or why there is none after all, comes by [`Effects::answered`], at a later input.
    ///
    /// # Errors
    /// The node does not serve, or its lane is full; nothing was asked.
    pub fn request(
        &mut self,
        to: NodeId,
        kind: u16,
        body: &[u8],
        limit: Duration,
        now: Now,
    ) -> Result<RequestId, Cause> {
        self.now = now;
        self.request_serial += 1;
        let number = self.request_serial;
        let message = [&number.to_be_bytes()[..], &kind.to_be_bytes(), body].concat();
        self.say_to_running(to, frame::REQUEST, &message)?;
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.requests.insert(number, (to, now.at.saturating_add(limit)));
        Ok(RequestId(number))
    }

    /// Answers a request of another node. It travels at the next input.
    pub fn respond(&mut self, asked: Asked, answer: Result<&[u8], Cause>) {
        let (cause, body) = match answer {
            Ok(body) => (0, body),
            Err(cause) => (cause as u8, [].as_slice()),
        };
        let message = [&asked.number.to_be_bytes()[..], &[cause], body].concat();
        // Who asked waits no longer than its time limit, whatever becomes of this.
        let _ = self.say(asked.from, frame::ANSWER, &message);
    }

    /// Says something to another node, in order, once; it travels at the next input.
    ///
    /// # Errors
    /// The node does not serve, or its lane is full; nothing was said.
    pub fn cast(&mut self, to: NodeId, kind: u16, body: &[u8]) -> Result<(), Cause> {
        self.say_to_running(to, frame::CAST, &[&kind.to_be_bytes()[..], body].concat())
    }

    fn say_to_running(&mut self, to: NodeId, kind: u8, body: &[u8]) -> Result<(), Cause> {
        if !self.peers.get(&to).is_some_and(|peer| peer.running) {
            return Err(Cause::NodeDown);
        }
        self.say(to, kind, body)
    }

    pub(super) fn take_cast(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let mut reader = Reader(body);
        if let Some(kind) = reader.u16() {
            fx.cast(from, kind, reader.0);
        }
    }

    pub(super) fn take_request(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let mut reader = Reader(body);
        if let (Some(number), Some(kind)) = (reader.u64(), reader.u16()) {
            fx.asked(Asked { from, number }, kind, reader.0);
        }
    }

    pub(super) fn take_answer(&mut self, from: NodeId, body: &[u8], fx: &mut dyn Effects) {
        let mut reader = Reader(body);
        let (Some(number), Some(cause)) = (reader.u64(), reader.byte()) else { return };
        if self.requests.get(&number).is_some_and(|(of, _)| *of == from) {
            self.requests.remove(&number);
            let answer = if cause == 0 { Ok(reader.0) } else { Err(Cause::from_byte(cause)) };
            fx.answered(RequestId(number), answer);
        }
    }

    pub(super) fn fail_requests_to(&mut self, id: NodeId, fx: &mut dyn Effects) {
        for (number, _) in self.requests.extract_if(.., |_, (of, _)| *of == id) {
            fx.answered(RequestId(number), Err(Cause::NodeDown));
        }
    }

    pub(super) fn end_late_requests(&mut self, fx: &mut dyn Effects) {
        let at = self.now.at;
        for (number, _) in self.requests.extract_if(.., |_, (_, until)| *until <= at) {
            fx.answered(RequestId(number), Err(Cause::TimedOut));
        }
    }
}
