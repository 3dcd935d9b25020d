//! How one thread hands things to another: a list under a short lock, and a wake-up only where the
//! receiver may be asleep. Senders batch, so a turn of a shard costs one lock and one wake-up per
//! receiver however much it sends. The list is bounded by bytes: who sends asks for room first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Wakes the thread that owns an inbox.
pub trait Wake: Send + Sync {
    /// Makes the owner's wait end, now or as soon as it begins.
    fn wake(&self);
}

impl Wake for mio::Waker {
    fn wake(&self) {
        // An eventfd write fails only when its counter is full, and then the owner is awake anyway.
        let _ = mio::Waker::wake(self);
    }
}

impl Wake for tokio::sync::Notify {
    fn wake(&self) {
        self.notify_one();
    }
}

struct Inner<T> {
    items: Mutex<Vec<T>>,
    bytes: AtomicUsize,
    /// Set by the first sender after the owner has looked; later ones need not wake again.
    woken: AtomicBool,
    wake: Box<dyn Wake>,
}

/// The senders' end; cheap to clone.
pub struct Sender<T>(Arc<Inner<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

/// The owner's end.
pub struct Inbox<T>(Arc<Inner<T>>);

/// A new inbox whose owner is woken by `wake`.
pub fn inbox<T>(wake: Box<dyn Wake>) -> (Sender<T>, Inbox<T>) {
    let inner = Arc::new(Inner {
        items: Mutex::new(Vec::new()),
        bytes: AtomicUsize::new(0),
        woken: AtomicBool::new(false),
        wake,
    });
    (Sender(inner.clone()), Inbox(inner))
}

impl<T> Sender<T> {
    /// Hands one thing over.
    pub fn send(&self, item: T) {
        self.send_sized(item, 0);
    }

    /// Hands one thing over that counts `bytes` against the limit until it is taken.
    pub fn send_sized(&self, item: T, bytes: usize) {
        {
            let mut items = self.0.items.lock();
            items.push(item);
            self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if !self.0.woken.swap(true, Ordering::AcqRel) {
            self.0.wake.wake();
        }
    }

    /// Bytes sent and not yet taken.
    pub fn bytes_waiting(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

impl<T> Inbox<T> {
    /// Takes everything that has come into `into`, which must be empty; its room is reused.
    pub fn take(&self, into: &mut Vec<T>) {
        debug_assert!(into.is_empty(), "what was taken before has been dealt with");
        // Cleared before the list is looked at: what is pushed after the look wakes again.
        self.0.woken.store(false, Ordering::Release);
        let mut items = self.0.items.lock();
        std::mem::swap(&mut *items, into);
        self.0.bytes.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Arc<Count> {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_sends_wake_a_sleeper_once_and_arrive_in_order() {
        let wakes = Arc::new(Count::default());
        let (sender, inbox) = inbox(Box::new(wakes.clone()));
        for n in 0..100 {
            sender.send_sized(n, 10);
        }
        assert_eq!((wakes.0.load(Ordering::Relaxed), sender.bytes_waiting()), (1, 1000));
        let mut taken = Vec::new();
        inbox.take(&mut taken);
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
        assert_eq!(sender.bytes_waiting(), 0);
        sender.send(100);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    }
}
