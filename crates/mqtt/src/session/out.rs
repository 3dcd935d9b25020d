//! What goes to one client: bytes in order, and whether the connection ends after them. Everything small
//! is copied into one buffer; a large payload is held by reference to its message and never copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::{Message, Reason};

/// Payloads from this size on are held by reference: below it, copying costs less than another piece
/// to write.
pub const LARGE_PAYLOAD_BYTES: usize = 1024;

/// Written bytes that may stay in front of those that wait.
const WRITTEN_BYTES_MAX: usize = 16 << 10;

/// The output of one connection. Empty, it owns no buffer.
#[derive(Debug, Default)]
pub struct Out {
    /// Everything but the large payloads, in order.
    small: Vec<u8>,
    /// How many bytes at the front of `small` have been written.
    written: usize,
    large: Option<Box<Large>>,
    close: Option<Close>,
}

/// Large payloads, in order.
#[derive(Debug, Default)]
struct Large {
    /// Each with the place in `small` that it comes before.
    payloads: VecDeque<(usize, Message)>,
    /// Bytes of the first one that have been written.
    written: usize,
    /// Bytes of all that have not.
    waiting: usize,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The client said DISCONNECT.
    ByClient,
    /// This side ends it.
    ByServer(Reason),
}

impl Out {
    /// A packet, encoded by `write`. Nothing follows the packet that ends the connection.
    pub fn packet(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.packet_within(usize::MAX, write);
    }

    /// A packet of at most `bytes_max` bytes. `false`: it would have been longer, and is left out.
    pub(super) fn packet_within(&mut self, bytes_max: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.close.is_some() {
            return true;
        }
        let before = self.small.len();
        write(&mut self.small);
        let count = self.small.len() - before;
        if count > bytes_max {
            self.small.truncate(before);
            return false;
        }
        true
    }

    /// A packet that ends with the payload of a message. `head` writes what comes before the payload.
    pub(super) fn publish(
        &mut self,
        head: impl FnOnce(&mut Vec<u8>),
        payload: &[u8],
        message: Option<&Message>,
    ) {
        if self.close.is_some() {
            return;
        }
        head(&mut self.small);
        match message {
            Some(message) if payload.len() >= LARGE_PAYLOAD_BYTES => self.payload_of(message),
            _ => self.small.extend_from_slice(payload),
        }
    }

    /// A packet as another client got it: with the packet identifier at its place, and a large payload after it.
    pub(super) fn repeat(&mut self, packet: &[u8], id: Option<(usize, u16)>, large: Option<&Message>) {
        if self.close.is_some() {
            return;
        }
        let before = self.small.len();
        self.small.extend_from_slice(packet);
        if let Some((at, id)) = id
            && let Some(place) = self.small.get_mut(before + at..before + at + 2)
        {
            place.copy_from_slice(&id.to_be_bytes());
        }
        if let Some(message) = large {
            self.payload_of(message);
        }
    }

    /// A large payload comes next: it is not copied.
    fn payload_of(&mut self, message: &Message) {
        let place = self.small.len();
        let large = self.large.get_or_insert_default();
        large.payloads.push_back((place, message.clone()));
        large.waiting += message.payload().len();
    }

    /// Ends the connection after what has been put out. The first cause stays.
    pub fn close(&mut self, close: Close) {
        self.close.get_or_insert(close);
    }

    /// Whether, and why, the connection has to end once everything is written.
    pub fn closing(&self) -> Option<Close> {
        self.close
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that have not been written.
    pub fn len(&self) -> usize {
        self.small.len() - self.written + self.large.as_ref().map_or(0, |large| large.waiting)
    }

    /// The next pieces to write, none of them empty; says how many there are.
    pub fn pieces<'a>(&'a self, pieces: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, bytes) in pieces.iter_mut().zip(self.waiting_pieces()) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    fn waiting_pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.written;
        let mut skip = self.large.as_ref().map_or(0, |l| l.written);
        let payloads = self.large.iter().flat_map(|l| l.payloads.iter());
        let before_and_payload = payloads.flat_map(move |(place, message)| {
            let before = &self.small[from..*place];
            let payload = &message.payload()[skip..];
            (from, skip) = (*place, 0);
            [before, payload]
        });
        let last = self.large.as_ref().and_then(|l| l.payloads.back()).map_or(self.written, |(p, _)| *p);
        before_and_payload.chain([&self.small[last..]]).filter(|piece| !piece.is_empty())
    }

    /// Forgets that many bytes, which have been written. Buffers go when nothing is left in them.
    pub fn advance(&mut self, count: usize) {
        let waiting = self.len();
        let mut left = count.min(waiting);
        if left == waiting {
            self.small = Vec::new();
            self.written = 0;
            self.large = None;
            return;
        }
        while let Some(large) = &mut self.large {
            let Some((place, message)) = large.payloads.front() else {
                self.large = None;
                break;
            };
            let small = left.min(place - self.written);
            self.written += small;
            left -= small;
            let payload = left.min(message.payload().len() - large.written);
            left -= payload;
            large.written += payload;
            large.waiting -= payload;
            if self.written < *place || large.written < message.payload().len() {
                break;
            }
            large.payloads.pop_front();
            large.written = 0;
        }
        self.written += left;
        self.compact();
    }

    /// What has been written does not stay for as long as a slow client has something to read.
    fn compact(&mut self) {
        if self.written < WRITTEN_BYTES_MAX || self.written < self.small.len() / 2 {
            return;
        }
        self.small.drain(..self.written);
        for (place, _) in self.large.iter_mut().flat_map(|l| l.payloads.iter_mut()) {
            *place -= self.written;
        }
        self.written = 0;
    }

    /// Gives an empty buffer to append to, so that a busy connection need not allocate one each turn.
    pub fn lend(&mut self, buffer: Vec<u8>) {
        if self.small.capacity() == 0 {
            self.small = buffer;
        }
    }

    /// Everything has been written: takes the buffer back. It comes cleared.
    pub fn written_whole(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.small);
        self.written = 0;
        self.large = None;
        buffer.clear();
        buffer
    }

    /// What waits, if it lies in one piece.
    pub fn single(&self) -> Option<&[u8]> {
        self.large.is_none().then(|| &self.small[self.written..])
    }

    /// All bytes that have not been written, copied: for tests and for made-up networks.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        for piece in self.waiting_pieces() {
            all.extend_from_slice(piece);
        }
        self.advance(all.len());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, MessageRef, Properties, QoS};

    fn message(payload: &[u8]) -> Message {
        let view = MessageRef {
            topic: "t",
            payload,
            properties: Properties::NONE,
            qos: QoS::AtMostOnce,
            retain: false,
            created: Epoch(0),
            expiry: None,
            publisher: b"",
        };
        view.to_message()
    }

    /// Small packets and large payloads, mixed.
    fn mixed(out: &mut Out, expected: &mut Vec<u8>, rounds: usize) {
        for round in 0..rounds {
            let payload = vec![round as u8; if round % 3 == 1 { 2000 } else { 20 }];
            out.packet(|bytes| bytes.extend_from_slice(b"ack"));
            out.publish(|bytes| bytes.extend_from_slice(b"head"), &payload, Some(&message(&payload)));
            expected.extend_from_slice(b"ackhead");
            expected.extend_from_slice(&payload);
        }
    }

    #[test]
    fn bytes_leave_in_order_whatever_a_write_takes() {
        for step in [1, 2, 3, 7, 100, 1023, 4096, usize::MAX] {
            let (mut out, mut expected, mut got) = (Out::default(), Vec::new(), Vec::new());
            mixed(&mut out, &mut expected, 9);
            assert_eq!(out.len(), expected.len());
            while !out.is_empty() {
                let mut pieces = [IoSlice::new(&[]); 5];
                let count = out.pieces(&mut pieces);
                assert!(count > 0 && pieces[..count].iter().all(|p| !p.is_empty()));
                let all: Vec<u8> = pieces[..count].iter().flat_map(|p| p.iter().copied()).collect();
                let taken = all.len().min(step);
                got.extend_from_slice(&all[..taken]);
                out.advance(taken);
                if got.len() == 2100 {
                    mixed(&mut out, &mut expected, 4);
                }
            }
            assert_eq!(got, expected, "step {step}");
            assert_eq!((out.small.capacity(), out.large.is_none()), (0, true));
        }
    }

    #[test]
    fn a_slow_reader_does_not_make_written_bytes_pile_up() {
        let mut out = Out::default();
        for _ in 0..10_000 {
            out.packet(|bytes| bytes.extend_from_slice(&[0; 100]));
            if out.len() > 1000 {
                out.advance(100);
            }
        }
        assert!(out.small.len() < 2 * WRITTEN_BYTES_MAX + 2000, "{}", out.small.len());
    }

    #[test]
    fn nothing_follows_the_end_and_a_packet_that_is_too_long_leaves_no_trace() {
        let mut out = Out::default();
        assert!(!out.packet_within(2, |bytes| bytes.extend_from_slice(b"abc")));
        assert!(out.is_empty());
        out.packet(|bytes| bytes.extend_from_slice(b"abc"));
        out.close(Close::ByServer(Reason::ProtocolError));
        out.close(Close::ByClient);
        out.packet(|bytes| bytes.extend_from_slice(b"late"));
        assert_eq!(out.single(), Some(&b"abc"[..]));
        assert_eq!(out.take_bytes(), b"abc");
        assert_eq!(out.closing(), Some(Close::ByServer(Reason::ProtocolError)));
    }

    #[test]
    fn a_lent_buffer_comes_back_empty() {
        let mut out = Out::default();
        out.lend(Vec::with_capacity(500));
        out.packet(|bytes| bytes.extend_from_slice(b"abc"));
        let buffer = out.written_whole();
        assert_eq!((buffer.len(), buffer.capacity(), out.len()), (0, 500, 0));
    }
}
