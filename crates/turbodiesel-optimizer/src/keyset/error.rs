//! What can go wrong with a page.

use diesel::result::Error as DieselError;

/// Why a page could not be loaded.
///
/// [`is_cursor`](Self::is_cursor) and [`is_page_size`](Self::is_page_size) are the client's mistakes,
/// everything else is the application's or the database's.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("the cursor is malformed: it was cut off, or never was a cursor")]
    Malformed,
    #[error(
        "the cursor has version {0}, which this version of the library does not read: start from the \
         first page"
    )]
    Version(u8),
    #[error(
        "the cursor was altered, or signed with another key: processes that hand out cursors for each \
         other must share a `CursorKey`"
    )]
    Tampered,
    #[error("the cursor belongs to another query: its tables, filters or order are different")]
    Foreign,
    #[error("a page has 1 to {most} rows, not {asked}: ask for fewer, or raise `max_page_size`")]
    PageSize { asked: usize, most: usize },
    #[error("a query that is paginated brings no {0} of its own: remove it")]
    Clause(&'static str),
    #[error(
        "two rows have the same place in the order, so it is not total: what `unique` was said of is \
         not unique in this query"
    )]
    NotTotal,
    #[error("a cursor key needs at least {least} bytes, and this one has {given}")]
    ShortKey { least: usize, given: usize },
    #[error("the cursor key is in use already: install it before the first page is loaded")]
    KeyInUse,
    #[error("the planner's estimate could not be read")]
    Estimate,
    #[error("the database could not answer")]
    Database(#[source] DieselError),
}

impl Error {
    /// The cursor cannot be used: any of [`is_malformed_cursor`](Self::is_malformed_cursor),
    /// [`is_cursor_version`](Self::is_cursor_version),
    /// [`is_tampered_cursor`](Self::is_tampered_cursor) and
    /// [`is_foreign_cursor`](Self::is_foreign_cursor). A client that gets this begins anew.
    #[must_use]
    pub fn is_cursor(&self) -> bool {
        matches!(self.0, Kind::Malformed | Kind::Version(_) | Kind::Tampered | Kind::Foreign)
    }

    /// The cursor was cut off, or never was one.
    #[must_use]
    pub fn is_malformed_cursor(&self) -> bool {
        matches!(self.0, Kind::Malformed)
    }

    /// The cursor was made by a version of this library that wrote them in another way.
    #[must_use]
    pub fn is_cursor_version(&self) -> bool {
        matches!(self.0, Kind::Version(_))
    }

    /// The cursor was altered, or signed with another key.
    #[must_use]
    pub fn is_tampered_cursor(&self) -> bool {
        matches!(self.0, Kind::Tampered)
    }

    /// The cursor is genuine, but of a query with other tables, filters or another order.
    #[must_use]
    pub fn is_foreign_cursor(&self) -> bool {
        matches!(self.0, Kind::Foreign)
    }

    /// More rows were asked for than a page may have, or none.
    #[must_use]
    pub fn is_page_size(&self) -> bool {
        matches!(self.0, Kind::PageSize { .. })
    }

    /// A boxed query has an order, limit, offset, `DISTINCT`, `GROUP BY` or `HAVING` of its own.
    #[must_use]
    pub fn is_query(&self) -> bool {
        matches!(self.0, Kind::Clause(_))
    }

    /// Two rows have equal keys, so that one of them could be skipped between two pages. Something was
    /// said to be [`unique`](super::unique) that is not.
    #[must_use]
    pub fn is_not_total(&self) -> bool {
        matches!(self.0, Kind::NotTotal)
    }

    /// A [`CursorKey`](super::CursorKey) is too short, or was installed too late.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self.0, Kind::ShortKey { .. } | Kind::KeyInUse)
    }

    /// The database refused or failed; Diesel's error is the `source()`.
    #[must_use]
    pub fn is_database(&self) -> bool {
        matches!(self.0, Kind::Database(_) | Kind::Estimate)
    }
}

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        Self(Kind::Database(error))
    }
}

/// For transactions and functions whose error is Diesel's.
impl From<Error> for DieselError {
    fn from(error: Error) -> Self {
        match error.0 {
            Kind::Database(error) => error,
            kind => DieselError::QueryBuilderError(Box::new(Error(kind))),
        }
    }
}
