//! The allocator of the program: mimalloc, asked so that a block is as large as it has to be.
//!
//! The functions of mimalloc 3 that take an alignment, which the crate `mimalloc` calls for every allocation,
//! give 192 bytes to who wants 160, and 96 for 80: where they find no page of the right size they ask for the alignment
//! on top, and then never make such a page. The plain ones align what they give by 8 anyway.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// To be named `#[global_allocator]`.
pub struct Allocator;

/// How every block of mimalloc is aligned.
const ALIGNED: usize = 8;

#[allow(unsafe_code, reason = "an allocator is made of nothing else")]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        unsafe { if align <= ALIGNED { mi_malloc(size) } else { mi_malloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        unsafe { if align <= ALIGNED { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast(), layout.align());
        unsafe {
            if align <= ALIGNED { mi_realloc(block, size) } else { mi_realloc_aligned(block, size, align) }
        }
        .cast()
    }
}

/// What this thread holds of freed memory goes back to the system.
#[allow(unsafe_code, reason = "a function of the allocator, which may be called at any time")]
pub fn give_back() {
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(unsafe_code, reason = "what is tested is an allocator")]
    #[test]
    fn a_block_is_aligned_and_no_larger_than_it_has_to_be() {
        // One mimalloc page may be there already; enough of them, and it shows.
        for (size, align) in [(80, 8), (160, 8), (192, 1), (160, 16), (4, 4), (1, 1), (64, 64), (100, 4096)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let blocks: Vec<_> = (0..1000).map(|_| unsafe { Allocator.alloc(layout) }).collect();
            for &block in &blocks {
                assert!(!block.is_null() && block.addr() % align == 0, "{size} {align}");
                if align <= ALIGNED && size >= 80 {
                    assert_eq!(unsafe { libmimalloc_sys::mi_usable_size(block.cast()) }, size);
                }
            }
            for block in blocks {
                unsafe {
                    block.write_bytes(1, size);
                    let larger = Allocator.realloc(block, layout, 3 * size);
                    assert!(larger.addr() % align == 0);
                    assert_eq!(larger.add(size - 1).read(), 1);
                    Allocator.dealloc(larger, Layout::from_size_align(3 * size, align).unwrap());
                }
            }
        }
    }
}
