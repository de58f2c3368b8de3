//! Memory for the many small pieces of a start.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// The first allocations come from here and are never given back: a start is short, and
/// its few hundred small pieces cost more in a general allocator than they are big.
/// What is more, or larger, or lives on, goes to the system's.
pub struct Arena {
    memory: UnsafeCell<[u8; ARENA]>,
    used: Cell<usize>,
}

const ARENA: usize = 256 << 10;

// SAFETY: the launcher has one thread; rustc asks for Sync because a static could be shared.
unsafe impl Sync for Arena {}

impl Arena {
    pub const fn new() -> Arena {
        Arena { memory: UnsafeCell::new([0; ARENA]), used: Cell::new(0) }
    }

    fn owns(&self, p: *mut u8) -> bool {
        (p as usize).wrapping_sub(self.memory.get() as usize) < ARENA
    }

    /// The arena's last piece, which may grow or go in place.
    fn is_last(&self, p: *mut u8, size: usize) -> bool {
        p as usize + size == self.memory.get() as usize + self.used.get()
    }
}

// SAFETY: pieces of the arena are disjoint and aligned, and never handed out twice unless
// the last one is freed; everything else is the system allocator's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.memory.get() as usize;
        let start = (base + self.used.get()).next_multiple_of(layout.align()) - base;
        match start.checked_add(layout.size()) {
            Some(end) if end <= ARENA => {
                self.used.set(end);
                (base + start) as *mut u8
            }
            // SAFETY: the caller's promises, passed on.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if !self.owns(p) {
            // SAFETY: not the arena's, so the system's.
            unsafe { System.dealloc(p, layout) }
        } else if self.is_last(p, layout.size()) {
            self.used.set(self.used.get() - layout.size());
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.owns(p) {
            // SAFETY: not the arena's, so the system's.
            return unsafe { System.realloc(p, layout, size) };
        }
        let used = self.used.get() - layout.size();
        if self.is_last(p, layout.size()) && used + size <= ARENA {
            self.used.set(used + size);
            return p;
        }
        // SAFETY: a new piece of at least the smaller size, which cannot overlap the old.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(p, new, size.min(layout.size()));
                self.dealloc(p, layout);
            }
            new
        }
    }
}
