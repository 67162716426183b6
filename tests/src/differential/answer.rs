//! Answers in raw form, and how they are compared.

use std::fmt;

use diesel::QueryResult;
use diesel_async::AsyncConnectionCore;
use futures_util::TryStreamExt;

use super::{side::Side, statement::Statement};

/// The rows of an answer, each as the bytes of its cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer(pub(super) Vec<Box<[u8]>>);

impl Answer {
    /// Reads through any connection.
    pub(super) async fn load<B, C>(connection: &mut C, statement: &Statement) -> QueryResult<Self>
    where
        B: Side,
        C: AsyncConnectionCore<Backend = B>,
    {
        let rows = connection.load(statement).await?;
        let rows = rows.map_ok(|row| {
            let mut bytes = Vec::with_capacity(64);
            B::encode(&row, &mut bytes);
            bytes.into_boxed_slice()
        });
        rows.try_collect().await.map(Self)
    }

    /// Whether two answers are the same: as sequences, or as multisets where the query leaves the
    /// order to the database.
    pub(super) fn same(&self, other: &Self, ordered: bool) -> bool {
        if self == other {
            return true;
        }
        !ordered && self.sorted() == other.sorted()
    }

    fn sorted(&self) -> Vec<&[u8]> {
        let mut rows: Vec<&[u8]> = self.0.iter().map(|row| &**row).collect();
        rows.sort_unstable();
        rows
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.0.len())?;
        for row in self.0.iter().take(12) {
            write!(f, "\n      {}", row.escape_ascii())?;
        }
        Ok(())
    }
}
