//! The one error type of the kit.

use std::{error, fmt, io};

/// Why a server, a database or a file could not be provided.
///
/// Its message names the command that mends it, where there is one.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NotInstalled,
    Server,
    Database,
    Io,
}

impl Error {
    /// Whether the machine has no programs of the server.
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        self.kind == Kind::NotInstalled
    }

    /// Whether a server could not be started or stopped. The message ends with its last log lines.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.kind == Kind::Server
    }

    /// Whether a running server could not be reached, or refused a statement or command.
    #[must_use]
    pub fn is_database(&self) -> bool {
        self.kind == Kind::Database
    }

    pub(crate) fn not_installed(message: impl Into<String>) -> Self {
        Self { kind: Kind::NotInstalled, message: message.into(), source: None }
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self { kind: Kind::Server, message: message.into(), source: None }
    }

    pub(crate) fn database(
        message: impl Into<String>,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind: Kind::Database, message: message.into(), source: Some(source.into()) }
    }

    pub(crate) fn io(message: impl Into<String>, source: io::Error) -> Self {
        Self { kind: Kind::Io, message: message.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
