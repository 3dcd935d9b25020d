//! A queue in pieces of fixed size: it grows without copying what it holds, has no half empty buffer behind
//! it, and gives memory back as it is drained, however long it has been.

use std::collections::VecDeque;

/// Items in a piece; the first one grows up to it.
const PIECE: usize = 64;

/// First in, first out.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    /// None of them is empty.
    pieces: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { pieces: VecDeque::new(), len: 0 }
    }
}

impl<T> Queue<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.pieces.front()?.front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    pub(crate) fn push_back(&mut self, item: T) {
        self.len += 1;
        match self.pieces.back_mut() {
            Some(piece) if piece.len() < PIECE => piece.push_back(item),
            last => {
                // Whoever has filled a piece will need all of the next one.
                let room = if last.is_some() { PIECE } else { 1 };
                let mut piece = VecDeque::with_capacity(room);
                piece.push_back(item);
                self.pieces.push_back(piece);
            }
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let piece = self.pieces.front_mut()?;
        let item = piece.pop_front()?;
        self.len -= 1;
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_first_comes_out_first_over_any_number_of_pieces() {
        let mut queue = Queue::default();
        let (mut next, mut first) = (0, 0);
        for (pushes, pops) in [(1, 1), (3 * PIECE, PIECE + 1), (PIECE, 0), (1, 3 * PIECE), (5, 6)] {
            for _ in 0..pushes {
                queue.push_back(next);
                next += 1;
            }
            assert_eq!(queue.iter().copied().collect::<Vec<_>>(), (first..next).collect::<Vec<_>>());
            for _ in 0..pops {
                assert_eq!(queue.front().copied(), (first < next).then_some(first));
                assert_eq!(queue.pop_front(), (first < next).then_some(first));
                first = next.min(first + 1);
            }
            assert_eq!((queue.len(), queue.is_empty()), (next - first, next == first));
        }
        assert!(queue.pieces.is_empty());
    }
}
