//! The only source of time.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Nanoseconds on a clock that never goes back, from an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// This instant and a duration later, saturating at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this instant, zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A source of time.
///
/// Nothing in the workspace reads the time directly, so tests can stop it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present, which may lag behind by [`resolution`](Clock::resolution) but never goes back.
    fn now(&self) -> Nanos;

    /// How far [`now`](Clock::now) may lag behind. Whoever promises a ceiling on age takes it off.
    fn resolution(&self) -> Duration {
        Duration::ZERO
    }
}

/// The operating system's monotonic clock, in its coarse form where there is one.
///
/// The coarse clock costs a few nanoseconds instead of tens, and advances with the kernel's tick
/// (1 to 10 ms).
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[cfg(target_os = "linux")]
    fn now(&self) -> Nanos {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        Nanos(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Nanos {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Nanos(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    #[cfg(target_os = "linux")]
    fn resolution(&self) -> Duration {
        Duration::from_millis(10)
    }
}

/// The operating system's monotonic clock in its precise form, for durations of a few microseconds.
///
/// Reading it costs tens of nanoseconds, so it is not for every hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct PreciseClock;

impl Clock for PreciseClock {
    fn now(&self) -> Nanos {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Nanos(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }
}

/// A clock that stands still until it is told to advance.
///
/// ```
/// use std::time::Duration;
/// use turbodiesel_core::{Clock, ManualClock};
///
/// let clock = ManualClock::default();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(10));
/// assert_eq!(clock.now().since(start), Duration::from_secs(10));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Moves the present forward.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).expect("a test advances by less than ages");
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Starts one hour after zero, so that "before the start" can be expressed.
    fn default() -> Self {
        Self(AtomicU64::new(3_600_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::SeqCst))
    }
}
