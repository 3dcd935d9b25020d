//! How often the hot path asks for memory, however many get a message: never at QoS 0, once at QoS 1; at
//! QoS 2 now and then a node of the set of packet ids comes on top, and a frame from another node costs two
//! more, for its look-up.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait's only use here")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bench::hot::{CASES, World};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.realloc(place, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_message_costs_no_allocation_at_qos_0_and_one_above() {
    let mut wrong = Vec::new();
    for case in CASES {
        let mut world = World::new(*case);
        world.run(4000);
        let before = COUNT.get();
        let deliveries = world.run(4000);
        let messages = deliveries / case.subscribers as u64;
        let each = (COUNT.get() - before) as f64 / messages as f64;
        // A buffer that grows once more is not a message's allocation.
        let allowed = [0.01, 1.01, 1.15][usize::from(case.qos)] + if case.across { 2.0 } else { 0.0 };
        if each > allowed {
            wrong.push(format!("{}: {each:.2} allocations a message", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
