//! The locks and atomics whose order decides what readers are shown.
//!
//! They are the usual ones, except in this crate's unit tests: there they are shuttle's, which runs
//! the threads of a test one step at a time, in an order of its choice (see `schedules`). A test
//! that wants real threads belongs under `tests/`, where the crate is built as everywhere else.
//!
//! Whatever takes no step of the protocol stays away from here: to shuttle, a lookup in a tier's map
//! and a wake-up by `Notify` are one step each. It knows sequential consistency only, and so do
//! stamps and marks.

use std::sync::OnceLock;

#[cfg(not(test))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(test)]
pub(crate) use scheduled::{Mutex, MutexGuard};
#[cfg(test)]
pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(test))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64};

/// How many threads may run at once. Asked only once, since the system answers from files.
pub(crate) fn available_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod scheduled {
    pub(crate) use shuttle::sync::MutexGuard;

    /// Shuttle's lock, without poison like that of `parking_lot`.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a panic has failed the test already")
        }
    }
}
