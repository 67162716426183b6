//! `Detector`: what is done with the findings of a scope.

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

use crate::{
    Allow, Counts, Findings, InCurrentScope, InScope, QueryScope, ScopeOptions, Severity,
    Thresholds, allow,
};

/// Watches futures, and says what is wrong with their statements when they have completed.
///
/// Cheap to clone; clones share what has been logged before.
///
/// ```
/// use turbodiesel_optimizer::Detector;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // In a test: a finding that is a warning at least is a panic with the report.
/// let page = Detector::tests()
///     .watch(async {
///         // … the handler under test, on an `Observed` connection …
///         "200 OK"
///     })
///     .await;
/// assert_eq!(page, "200 OK");
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Detector {
    mode: Mode,
    thresholds: Thresholds,
    allowed: Arc<[Allow]>,
    options: ScopeOptions,
    logged: Arc<Mutex<HashSet<String>>>,
}

type Callback = Arc<dyn Fn(&Findings, Counts) + Send + Sync>;

#[derive(Clone)]
enum Mode {
    Off,
    Log,
    Report(Callback),
    Panic,
}

/// How many findings are remembered as logged. Past that, they are logged again.
const REMEMBERED: usize = 1_024;

impl Detector {
    /// Opens no scope.
    pub fn off() -> Self {
        Self::new(Mode::Off, Thresholds::production())
    }

    /// Logs each finding through `tracing` as a warning, or if it is a note for information, when it
    /// is found for the first time, and for debugging later. By the thresholds of production.
    pub fn log() -> Self {
        Self::new(Mode::Log, Thresholds::production())
    }

    /// Calls a function at the end of each scope, whether anything was found or not: for metrics, or
    /// to collect. By the thresholds of production.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use turbodiesel_optimizer::Detector;
    ///
    /// static FINDINGS: AtomicUsize = AtomicUsize::new(0);
    /// let detector = Detector::report(|findings, _counts| {
    ///     FINDINGS.fetch_add(findings.len(), Ordering::Relaxed);
    /// });
    /// # let _ = detector;
    /// ```
    pub fn report(callback: impl Fn(&Findings, Counts) + Send + Sync + 'static) -> Self {
        Self::new(Mode::Report(Arc::new(callback)), Thresholds::production())
    }

    /// Panics at the end of a scope with findings that are warnings at least. By the thresholds of
    /// tests, and with a backtrace of each statement that has become suspicious.
    pub fn tests() -> Self {
        let thresholds = Thresholds::tests();
        let after = u32::try_from(thresholds.repeats).unwrap_or(u32::MAX);
        Self::new(Mode::Panic, thresholds).options(ScopeOptions::default().backtraces(after))
    }

    fn new(mode: Mode, thresholds: Thresholds) -> Self {
        let (allowed, options) = (Arc::default(), ScopeOptions::default());
        Self { mode, thresholds, allowed, options, logged: Arc::default() }
    }

    /// Sets from where on something is a finding.
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// Sets how scopes record.
    pub fn options(mut self, options: ScopeOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds to what is no finding.
    pub fn allow(mut self, allow: Allow) -> Self {
        self.allowed = self.allowed.iter().cloned().chain([allow]).collect();
        self
    }

    /// Runs a future in a scope of its own, and judges the scope when it has completed. Of a future
    /// that is dropped before, nothing is said.
    ///
    /// # Panics
    ///
    /// With [`tests`](Self::tests), if there is a finding.
    pub fn watch<F: Future>(&self, future: F) -> Watch<F> {
        let scope = self.open();
        Watch { future: run(scope.as_ref(), future), scope, detector: self.clone() }
    }

    /// A scope of its own, unless it is off.
    pub(crate) fn open(&self) -> Option<QueryScope> {
        (!matches!(self.mode, Mode::Off)).then(|| self.options.clone().open())
    }

    /// Judges a scope that was opened here once a future has completed in it.
    #[cfg(feature = "tower")]
    pub(crate) fn watch_in<F: Future>(&self, scope: Option<QueryScope>, future: F) -> Watch<F> {
        Watch { future: run(scope.as_ref(), future), scope, detector: self.clone() }
    }

    /// What is wrong in a scope and not allowed.
    #[must_use]
    pub fn findings(&self, scope: &QueryScope) -> Findings {
        let found = scope.findings(&self.thresholds).into_iter().collect();
        Findings::ranked(allow::sift(found, &self.allowed, allow::today()))
    }

    fn conclude(&self, scope: &QueryScope) {
        let findings = self.findings(scope);
        match &self.mode {
            Mode::Off => {}
            Mode::Log => self.write_log(&findings),
            Mode::Report(callback) => callback(&findings, scope.counts()),
            Mode::Panic => {
                let bad = findings.at_least(Severity::Warning);
                assert!(bad.is_empty(), "{}", summary(&bad));
            }
        }
    }

    fn write_log(&self, findings: &Findings) {
        for finding in findings {
            let mut logged = self.logged.lock();
            if logged.len() >= REMEMBERED {
                logged.clear();
            }
            let is_new = logged.insert(finding.signature.clone());
            drop(logged);
            let (class, signature) = (finding.class.as_str(), &finding.signature);
            match finding.severity {
                _ if !is_new => tracing::debug!(class, signature, "found again\n{finding}"),
                Severity::Note => tracing::info!(class, signature, "{finding}"),
                _ => tracing::warn!(class, signature, "{finding}"),
            }
        }
    }
}

fn run<F: Future>(scope: Option<&QueryScope>, future: F) -> InScope<F> {
    match scope {
        Some(scope) => scope.run(future),
        None => future.in_current_scope(),
    }
}

/// The findings under a heading.
pub(crate) fn summary(findings: &Findings) -> String {
    let noun = if findings.len() == 1 { "finding" } else { "findings" };
    format!("{} {noun}\n\n{findings}\n", findings.len())
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Off => "off",
            Mode::Log => "log",
            Mode::Report(_) => "report",
            Mode::Panic => "panic",
        };
        f.debug_struct("Detector")
            .field("mode", &mode)
            .field("thresholds", &self.thresholds)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A future whose statements are watched.
    #[must_use = "futures do nothing unless they are polled"]
    #[derive(Debug)]
    pub struct Watch<F> {
        #[pin]
        future: InScope<F>,
        scope: Option<QueryScope>,
        detector: Detector,
    }
}

impl<F: Future> Future for Watch<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(context));
        if let Some(scope) = this.scope {
            this.detector.conclude(scope);
        }
        Poll::Ready(output)
    }
}
