//! Loading a page: the statement, its rows, and what is known when they are there.

use std::pin::pin;

use diesel::{
    QueryResult,
    deserialize::FromSqlRow,
    query_builder::{QueryBuilder as _, QueryFragment as _},
    result::Error as DieselError,
    row::{Field as _, Row},
};
use diesel_async::AsyncConnectionCore;
use futures_util::TryStreamExt as _;

use super::{
    backend::KeysetBackend,
    branch::Walk,
    count::{self, Count, Total},
    cursor::Seal,
    error::{Error, Kind},
    page::Page,
    plan::Plan,
    statement::{Statement, StatementKind},
    value::Value,
};

/// Loads the pages of a plan.
///
/// It is passed by value and given back: what it holds can be sent to another thread, but not be
/// shared with one, and so must not be borrowed while the database is waited for.
pub(crate) struct Loader<'q, DB: KeysetBackend> {
    pub(crate) plan: Plan<'q, DB>,
    pub(crate) seal: Seal,
    pub(crate) walk: Walk,
    /// Rows of a page.
    pub(crate) size: usize,
    pub(crate) count: Count,
}

impl<'q, DB: KeysetBackend> Loader<'q, DB> {
    /// The statement for a page's rows.
    pub(crate) fn sql(&self, place: Option<&[Value]>) -> QueryResult<String> {
        let mut builder = DB::QueryBuilder::default();
        self.rows(place).to_sql(&mut builder, &DB::default())?;
        Ok(builder.finish())
    }

    fn rows<'p>(&'p self, place: Option<&'p [Value]>) -> Statement<'p, 'q, DB> {
        // One row more than a page has tells whether there is another page.
        let kind = StatementKind::Rows { place, walk: self.walk, limit: self.size + 1 };
        Statement { plan: &self.plan, kind }
    }

    pub(crate) async fn load<T, ST, C>(
        self,
        connection: &mut C,
        place: Option<Vec<Value>>,
    ) -> Result<(Self, Page<T>), Error>
    where
        C: AsyncConnectionCore<Backend = DB>,
        T: FromSqlRow<ST, DB>,
    {
        let (walk, size, keys) = (self.walk, self.size, self.plan.keys.len());
        let mut found = Found { rows: Vec::new(), keys: Vec::new(), behind: None, more: false };
        {
            let loading = connection.load(self.rows(place.as_deref()));
            let mut rows = pin!(loading.await?);
            while let Some(row) = rows.try_next().await? {
                found.take(&row, place.is_some(), keys, size)?;
            }
        }
        let behind = match (&place, found.behind) {
            // Before the start and behind the end there is nothing.
            (None, _) => false,
            (Some(_), Some(behind)) => behind,
            (Some(place), None) => {
                let kind = StatementKind::Behind { place, walk };
                let loading = connection.load(Statement { plan: &self.plan, kind });
                DB::is_true(&first_cell::<C>(loading).await?)
            }
        };
        let total = match self.count {
            Count::None => None,
            wanted => {
                let estimate = wanted == Count::Estimated && DB::ESTIMATES;
                let kind = if estimate { StatementKind::Estimate } else { StatementKind::Count };
                let loading = connection.load(Statement { plan: &self.plan, kind });
                let cell = first_cell::<C>(loading).await?;
                let read = if estimate { count::estimated } else { count::counted };
                let rows = read(&cell).ok_or(Kind::Estimate)?;
                Some(Total { rows, exact: !estimate })
            }
        };

        let Found { mut rows, mut keys, more, .. } = found;
        let (has_previous_page, has_next_page) = match walk {
            Walk::Forward => (behind, more),
            Walk::Backward => {
                rows.reverse();
                keys.reverse();
                (more, behind)
            }
        };
        let seal = self.seal.clone();
        let page = Page { rows, keys, has_next_page, has_previous_page, total, seal };
        Ok((self, page))
    }
}

/// What came of a statement, in the order in which it came.
struct Found<T> {
    rows: Vec<T>,
    keys: Vec<Vec<Value>>,
    /// Whether there are rows on the other side of the place.
    behind: Option<bool>,
    /// Whether there are more rows than the page has.
    more: bool,
}

impl<T> Found<T> {
    fn take<'a, DB, ST>(
        &mut self,
        row: &impl Row<'a, DB>,
        has_behind: bool,
        key_count: usize,
        size: usize,
    ) -> Result<(), Error>
    where
        DB: KeysetBackend,
        T: FromSqlRow<ST, DB>,
    {
        let skipped = usize::from(has_behind);
        if has_behind && self.behind.is_none() {
            self.behind = Some(DB::is_true(&cell(row, 0)?));
        }
        let keys = (skipped..skipped + key_count)
            .map(|column| cell(row, column))
            .collect::<Result<Vec<Value>, DieselError>>()?;
        // Had the page ended between these two, the second would have been lost.
        if self.keys.last() == Some(&keys) {
            return Err(Kind::NotTotal.into());
        }
        if self.rows.len() == size {
            self.more = true;
            return Ok(());
        }
        let selected = row.partial_row(skipped + key_count..row.field_count());
        self.rows.push(T::build_from_row(&selected).map_err(DieselError::DeserializationError)?);
        self.keys.push(keys);
        Ok(())
    }
}

fn cell<'a, DB: KeysetBackend>(
    row: &impl Row<'a, DB>,
    column: usize,
) -> Result<Value, DieselError> {
    let missing = || DieselError::DeserializationError("a column is missing".into());
    let field = row.get(column).ok_or_else(missing)?;
    DB::read(field.value())
}

/// The first cell of an answer.
async fn first_cell<C>(loading: C::LoadFuture<'_, '_>) -> Result<Value, DieselError>
where
    C: AsyncConnectionCore<Backend: KeysetBackend>,
{
    let mut first = None;
    let mut rows = pin!(loading.await?);
    // To its end, so that the connection is free when this returns.
    while let Some(row) = rows.try_next().await? {
        if first.is_none() {
            first = Some(cell(&row, 0)?);
        }
    }
    first.ok_or(DieselError::NotFound)
}
