//! Assertions for tests.

use std::fmt::Write as _;

use crate::{QueryScope, Severity, Thresholds, detector};

/// Runs a future, asserts how many statements it sends to the database, and returns its output.
///
/// Answers of a cache are not counted. A failure lists the statements. Must be used where one may
/// `.await`.
///
/// ```
/// use turbodiesel_optimizer::assert_queries;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let page = assert_queries!(<= 3, async {
///     // … queries through an `Observed` connection …
///     "page"
/// });
/// assert_queries!(== 0, async {});
/// assert_queries!(< 1, async {});
/// # assert_eq!(page, "page");
/// # }
/// ```
#[macro_export]
macro_rules! assert_queries {
    (<= $most:expr, $future:expr $(,)?) => {
        $crate::assert_queries!(@ "at most", |count, limit| count <= limit, $most, $future)
    };
    (< $limit:expr, $future:expr $(,)?) => {
        $crate::assert_queries!(@ "less than", |count, limit| count < limit, $limit, $future)
    };
    (== $count:expr, $future:expr $(,)?) => {
        $crate::assert_queries!(@ "exactly", |count, limit| count == limit, $count, $future)
    };
    (@ $words:literal, $holds:expr, $limit:expr, $future:expr) => {{
        let (output, recorded) = $crate::scope(async { $future.await }).await;
        $crate::__expect_queries(&recorded, $words, $holds, $limit);
        output
    }};
}

/// Runs a future, asserts that nothing is wrong with its statements, and returns its output.
///
/// By [`Thresholds::tests`], from warnings on. For an allow list, see
/// [`Detector::tests`](crate::Detector::tests). Must be used where one may `.await`.
///
/// ```
/// use turbodiesel_optimizer::assert_no_findings;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let page = assert_no_findings!(async { "page" });
/// # assert_eq!(page, "page");
/// # }
/// ```
#[macro_export]
macro_rules! assert_no_findings {
    ($future:expr $(,)?) => {{
        let (output, recorded) = $crate::scope(async { $future.await }).await;
        $crate::__expect_no_findings(&recorded);
        output
    }};
}

#[doc(hidden)]
#[track_caller]
pub fn expect_queries(
    recorded: &QueryScope,
    words: &str,
    holds: impl Fn(u64, u64) -> bool,
    limit: u64,
) {
    let count = recorded.counts().statements;
    assert!(
        holds(count, limit),
        "expected {words} {limit} statements, but there were {count}:{}",
        list(recorded)
    );
}

#[doc(hidden)]
#[track_caller]
pub fn expect_no_findings(recorded: &QueryScope) {
    let findings = recorded.findings(&Thresholds::tests()).at_least(Severity::Warning);
    assert!(findings.is_empty(), "{}", detector::summary(&findings));
}

/// Each statement and how often it was executed.
fn list(recorded: &QueryScope) -> String {
    let mut list = String::new();
    for (statement, counts) in recorded.statements() {
        // OK because writing to a string does not fail.
        let _ = write!(list, "\n  {:>4} × {}", counts.statements, statement.sql());
        if counts.hits > 0 {
            let _ = write!(list, " ({} more from the cache)", counts.hits);
        }
    }
    list
}
