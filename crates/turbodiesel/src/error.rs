//! The one error of this crate, and errors shared by several readers.

use std::{fmt, sync::Arc, time::Duration};

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// What went wrong outside a query: configuration, connecting, checking out, closing.
///
/// Queries themselves fail with `diesel::result::Error`, as they do without turbodiesel; an error of
/// this type that happens on their way is turned into one.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("{0}")]
    Configuration(String),
    #[error("could not connect to {target}: {message}")]
    Connect { target: String, message: String },
    #[error(
        "no connection became free within {waited:?}: raise `pool_size` or `checkout_timeout`, or \
         hold connections for a shorter time"
    )]
    Checkout { waited: Duration },
    #[error("no connection could be opened within {waited:?}: {failure}")]
    Unreachable { waited: Duration, failure: String },
    #[error("this `Db` is closed")]
    Closed,
    #[error("{0} writes or refreshes did not end before the deadline; their outcome is unknown")]
    Unfinished(usize),
}

impl Error {
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self(Box::new(Kind::Configuration(message.into())))
    }

    pub(crate) fn connect(target: String, message: impl fmt::Display) -> Self {
        Self(Box::new(Kind::Connect { target, message: message.to_string() }))
    }

    /// `failure` is why connections could not be opened meanwhile.
    pub(crate) fn checkout(waited: Duration, failure: Option<String>) -> Self {
        Self(Box::new(match failure {
            Some(failure) => Kind::Unreachable { waited, failure },
            None => Kind::Checkout { waited },
        }))
    }

    pub(crate) fn closed() -> Self {
        Self(Box::new(Kind::Closed))
    }

    pub(crate) fn unfinished(writes: usize) -> Self {
        Self(Box::new(Kind::Unfinished(writes)))
    }

    /// A setting is wrong; the message names it and the values it takes.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(*self.0, Kind::Configuration(_))
    }

    /// The database could not be reached, or refused the connection.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(*self.0, Kind::Connect { .. } | Kind::Unreachable { .. })
    }

    /// The pool had no connection to give in time.
    #[must_use]
    pub fn is_checkout(&self) -> bool {
        matches!(*self.0, Kind::Checkout { .. })
    }

    /// The `Db` has been closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(*self.0, Kind::Closed)
    }

    /// Writes were still running when `Db::close` gave up.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        matches!(*self.0, Kind::Unfinished(_))
    }
}

impl From<Error> for DieselError {
    fn from(error: Error) -> Self {
        unable_to_send(error.to_string())
    }
}

/// The error that Diesel has for "the statement did not reach the database".
pub(crate) fn unable_to_send(message: String) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(message))
}

/// The error that Diesel has for a connection that is gone, which is told for a write whose answer was
/// lost: it may have been done, or may be done yet.
pub(crate) fn outcome_unknown(error: &DieselError) -> DieselError {
    let message = format!("the outcome of a write is unknown: {error}");
    DieselError::DatabaseError(
        DatabaseErrorKind::ClosedConnection,
        Box::new(Information::message(message)),
    )
}

/// Whether an error leaves open if what it reports on was done: the connection was lost, or the time
/// was up, between sending a write or a `COMMIT` and its answer.
///
/// Such a write must not be repeated blindly. Of a transaction,
/// [`Connection::settled_outcome`](crate::Connection::settled_outcome) can find out what became of
/// it. Every other error of a transaction means that it was rolled back.
///
/// ```no_run
/// # use turbodiesel::Db;
/// # async fn example(db: &Db) -> diesel::QueryResult<()> {
/// # async fn transfer(_: &mut turbodiesel::Connection) -> diesel::QueryResult<()> { Ok(()) }
/// let transferred: diesel::QueryResult<()> = db.transaction(transfer).await;
/// if let Err(error) = &transferred
///     && turbodiesel::is_outcome_unknown(error)
/// {
///     // Look whether it is there before trying again.
/// }
/// # transferred
/// # }
/// ```
#[must_use]
pub fn is_outcome_unknown(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _))
}

/// The error that Diesel has for "run the transaction again", for one that failed by what we asked for
/// beside its statement. It says all that the database has said, but for a place in a text that the
/// caller does not know.
pub(crate) fn run_again(error: &DieselError) -> DieselError {
    let said = match error {
        DieselError::DatabaseError(_, information) => Information::of(&**information),
        _ => Information::default(),
    };
    let message = format!(
        "a key has changed elsewhere since the catalog was read, and a write asked for it: run the \
         transaction again: {error}"
    );
    DieselError::DatabaseError(
        DatabaseErrorKind::SerializationFailure,
        Box::new(Information { message, position: None, ..said }),
    )
}

/// An error of one read that several readers receive.
///
/// Diesel's error cannot be cloned, so what it says is kept and told again: database errors with all
/// their parts, others by their message.
#[derive(Clone, Debug)]
pub(crate) struct SharedError(Arc<Shared>);

#[derive(Debug)]
enum Shared {
    Database(DatabaseErrorKind, Information),
    NotFound,
    Other(String),
}

impl SharedError {
    pub(crate) fn of(error: &DieselError) -> Self {
        Self(Arc::new(match error {
            DieselError::DatabaseError(kind, information) => {
                Shared::Database(*kind, Information::of(&**information))
            }
            DieselError::NotFound => Shared::NotFound,
            other => Shared::Other(other.to_string()),
        }))
    }

    pub(crate) fn to_diesel(&self) -> DieselError {
        match &*self.0 {
            Shared::Database(kind, information) => {
                DieselError::DatabaseError(*kind, Box::new(information.clone()))
            }
            Shared::NotFound => DieselError::NotFound,
            Shared::Other(message) => {
                DieselError::QueryBuilderError(Box::<dyn std::error::Error + Send + Sync>::from(
                    message.clone(),
                ))
            }
        }
    }
}

/// What a database error says, kept or made here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Information {
    message: String,
    details: Option<String>,
    hint: Option<String>,
    table: Option<String>,
    column: Option<String>,
    constraint: Option<String>,
    position: Option<i32>,
}

impl Information {
    pub(crate) fn message(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(crate) fn with_details(self, details: String, hint: &str) -> Self {
        Self { details: Some(details), hint: Some(hint.to_owned()), ..self }
    }

    fn of(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Self {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self {
            message: information.message().to_owned(),
            details: owned(information.details()),
            hint: owned(information.hint()),
            table: owned(information.table_name()),
            column: owned(information.column_name()),
            constraint: owned(information.constraint_name()),
            position: information.statement_position(),
        }
    }
}

impl DatabaseErrorInformation for Information {
    fn message(&self) -> &str {
        &self.message
    }

    fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn table_name(&self) -> Option<&str> {
        self.table.as_deref()
    }

    fn column_name(&self) -> Option<&str> {
        self.column.as_deref()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn statement_position(&self) -> Option<i32> {
        self.position
    }
}
