//! Where in the application a query was asked.
//!
//! Diesel's own methods are not `#[track_caller]`, so the location of a caller of `load()` always lies
//! in diesel-async. There are three honest ways to more:
//!
//! - A future is told where it is awaited: `query.load(&mut connection).located().await`, or once
//!   around a helper, whose queries are then those of its caller.
//! - A connection is told where it is used: `query.load(connection.here())`. A `turbodiesel::Handle`
//!   knows where it was made.
//! - In development, one backtrace is taken of each statement that has become suspicious
//!   ([`ScopeOptions::backtraces`](crate::ScopeOptions::backtraces)), and resolved only if there is
//!   something to report of it.

use std::{fmt, panic::Location};

use serde::Serialize;

/// A place in the application's source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Site {
    /// The file, as the compiler was told its path.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, where it is known.
    pub column: Option<u32>,
}

impl From<&Location<'_>> for Site {
    fn from(location: &Location<'_>) -> Self {
        let (line, column) = (location.line(), Some(location.column()));
        Self { file: location.file().to_owned(), line, column }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.column {
            Some(column) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
}

/// A stack that was looked at but not yet understood: microseconds, where resolving takes
/// milliseconds.
#[derive(Debug)]
pub(crate) struct Stack(#[cfg(feature = "backtrace")] backtrace::Backtrace);

impl Stack {
    #[cfg(feature = "backtrace")]
    pub(crate) fn take() -> Option<Self> {
        Some(Self(backtrace::Backtrace::new_unresolved()))
    }

    #[cfg(not(feature = "backtrace"))]
    pub(crate) fn take() -> Option<Self> {
        None
    }

    /// The innermost frame that is neither a library's nor ours.
    #[cfg(feature = "backtrace")]
    pub(crate) fn site(&self) -> Option<Site> {
        let mut resolved = self.0.clone();
        resolved.resolve();
        let mut symbols = resolved.frames().iter().flat_map(backtrace::BacktraceFrame::symbols);
        symbols.find_map(|symbol| {
            let file = symbol.filename()?.to_str().filter(|file| is_application(file))?;
            let column = symbol.colno().filter(|&column| column > 0);
            Some(Site { file: shortened(file), line: symbol.lineno()?, column })
        })
    }

    #[cfg(not(feature = "backtrace"))]
    pub(crate) fn site(&self) -> Option<Site> {
        None
    }
}

/// Whether a source file is neither the standard library's, nor from a registry, nor one of those that
/// stand between a query and its caller.
#[cfg(feature = "backtrace")]
fn is_application(file: &str) -> bool {
    const FOREIGN: &[&str] = &[
        "/rustc/",
        "/.cargo/registry/",
        "/.cargo/git/",
        "/lib/rustlib/",
        "turbodiesel-optimizer/src/",
        "turbodiesel/src/",
    ];
    !FOREIGN.iter().any(|foreign| file.contains(foreign))
}

/// The path below the folder that the program runs in, which in a test is its package.
#[cfg(feature = "backtrace")]
fn shortened(file: &str) -> String {
    let folder = std::env::current_dir().ok();
    let below = folder.and_then(|folder| {
        let below = std::path::Path::new(file).strip_prefix(folder).ok()?;
        below.to_str().map(ToOwned::to_owned)
    });
    below.unwrap_or_else(|| file.to_owned())
}
