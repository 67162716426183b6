//! What the tests of the kit share.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits for something that other processes do.
#[expect(clippy::disallowed_methods, reason = "a condition with a deadline, in another process")]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
