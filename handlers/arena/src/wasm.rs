//! The allocator of the handlers: memory from front to back, and nothing is given back but the latest piece.
//!
//! In scope: the memory between the program's data and its end first, growth when that is used up.
//! Out of scope: reusing what was freed. An instance lives for one call, and the host clears its memory afterwards.
//!
//! Why not the standard library's: that one grows the memory at its first use in every call, and the host must take the
//! growth back before the next call, which costs it more than a small call itself.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE_BYTES: usize = 64 * 1024;

#[global_allocator]
static ARENA: Arena = Arena { end: AtomicUsize::new(0) };

/// Everything from the linker's `__heap_base` to `end` is handed out; 0 is before the first piece. Handlers have one
/// thread, so each operation sees what the one before it wrote.
struct Arena {
    end: AtomicUsize,
}

unsafe extern "C" {
    /// Where the program's own data ends. Only its address means anything.
    static __heap_base: u8;
}

impl Arena {
    /// Makes everything before `end` usable; `false` if the memory cannot grow so far.
    fn reach(&self, end: usize) -> bool {
        let have = memory_size::<0>() * PAGE_BYTES;
        if end > have && memory_grow::<0>((end - have).div_ceil(PAGE_BYTES)) == usize::MAX {
            return false;
        }
        self.end.store(end, Relaxed);
        true
    }

    fn is_latest(&self, piece: *mut u8, layout: Layout) -> bool {
        piece as usize + layout.size() == self.end.load(Relaxed)
    }
}

// SAFETY: pieces begin at or after the end of the one before, within the memory and after the program's own data, at
// a multiple of their alignment; a piece is cut or stretched only while it is the latest.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let end = self.end.load(Relaxed).max(&raw const __heap_base as usize);
        let start = end.checked_next_multiple_of(layout.align());
        match start.and_then(|start| Some((start, start.checked_add(layout.size())?))) {
            Some((start, end)) if self.reach(end) => start as *mut u8,
            Some(_) | None => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if self.is_latest(piece, layout) {
            self.end.store(piece as usize, Relaxed);
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_latest(piece, layout) {
            let end = (piece as usize).checked_add(size);
            return if end.is_some_and(|end| self.reach(end)) { piece } else { core::ptr::null_mut() };
        }
        if size <= layout.size() {
            return piece;
        }
        // SAFETY: the caller's layout is valid, and so is one of another size that it promises not to overflow.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both pieces have the old size at least, and a new piece overlaps no other.
            unsafe { core::ptr::copy_nonoverlapping(piece, moved, layout.size()) };
        }
        moved
    }
}
