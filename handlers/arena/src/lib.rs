//! The allocator of the handlers, by itself: `use arena as _;` and it is there.

#![no_std]

#[cfg(target_arch = "wasm32")]
mod wasm;
