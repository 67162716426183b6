//! A global allocator that counts when it is told to, and costs one relaxed load when it is not.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static MADE: AtomicI64 = AtomicI64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// What happened while allocations were counted, on all threads. Bytes are those asked for, without
/// what the allocator rounds up to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Allocations, and reallocations.
    pub(crate) made: f64,
    /// By how much the number of live allocations grew.
    pub(crate) live: f64,
    /// By how much the live bytes grew.
    pub(crate) live_bytes: f64,
}

impl Tally {
    /// The share of each of `count` operations.
    pub(crate) fn per(self, count: i32) -> Self {
        let count = f64::from(count);
        Self {
            made: self.made / count,
            live: self.live / count,
            live_bytes: self.live_bytes / count,
        }
    }
}

/// Counts the allocations of a future, and of everything else that happens meanwhile.
pub(crate) async fn count<T>(future: impl Future<Output = T>) -> (T, Tally) {
    let before = [&MADE, &LIVE, &LIVE_BYTES].map(|counter| counter.load(Relaxed));
    COUNTS.store(true, Relaxed);
    let result = future.await;
    COUNTS.store(false, Relaxed);
    let after = [&MADE, &LIVE, &LIVE_BYTES].map(|counter| counter.load(Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "counts far below 52 bits")]
    let [made, live, live_bytes] =
        std::array::from_fn(|index| (after[index] - before[index]) as f64);
    (result, Tally { made, live, live_bytes })
}

struct Counting;

impl Counting {
    #[inline]
    fn note(made: i64, live: i64, bytes: i64) {
        if COUNTS.load(Relaxed) {
            MADE.fetch_add(made, Relaxed);
            LIVE.fetch_add(live, Relaxed);
            LIVE_BYTES.fetch_add(bytes, Relaxed);
        }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "no allocation is larger than isize::MAX")]
fn signed(bytes: usize) -> i64 {
    bytes as i64
}

#[expect(unsafe_code, reason = "there is no safe way to write a global allocator")]
// SAFETY: every call goes to the system's allocator with the arguments it came with, and counting
// neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(1, 1, signed(layout.size()));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::note(0, -1, -signed(layout.size()));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(1, 1, signed(layout.size()));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note(1, 0, signed(size) - signed(layout.size()));
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
