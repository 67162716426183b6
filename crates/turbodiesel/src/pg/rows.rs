//! PostgreSQL rows, cached or live, as one type that Diesel decodes.

use std::{
    fmt,
    num::NonZeroU32,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use diesel::{
    QueryResult,
    pg::{Pg, PgValue},
    row::{Field, PartialRow, Row, RowIndex, RowSealed},
};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use turbodiesel_core::{CachedField, CachedRow, Outline, RowSetBuilder};

use crate::backend::Loaded;

/// diesel-async's row, which it does not export by name.
pub(super) type LiveRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;
type LiveField<'f> = <LiveRow as Row<'f, Pg>>::Field<'f>;

/// What the answers of one statement have in common: the last one with rows tells it to the next.
#[derive(Debug, Default)]
pub struct LastAnswer(Mutex<Option<Outline>>);

impl LastAnswer {
    fn outline(&self) -> MutexGuard<'_, Option<Outline>> {
        // OK because nothing can panic while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row of a PostgreSQL answer.
pub enum PgRow {
    /// From bytes in the cache.
    Cached(CachedRow),
    /// Straight from the connection.
    Live(Box<LiveColumns>),
}

/// The first columns of a live row: those that the caller asked for.
pub struct LiveColumns {
    row: LiveRow,
    columns: usize,
}

impl fmt::Debug for LiveColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveColumns").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl PgRow {
    pub(super) fn live(row: LiveRow) -> Self {
        let columns = row.field_count();
        PgRow::Live(Box::new(LiveColumns { row, columns }))
    }

    /// Hides the last columns of a live row.
    pub(super) fn hide(&mut self, hidden: usize) {
        if let PgRow::Live(live) = self {
            live.columns -= hidden;
        }
    }
}

impl fmt::Debug for PgRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            PgRow::Cached(_) => "Cached",
            PgRow::Live(_) => "Live",
        };
        f.debug_tuple(kind).finish_non_exhaustive()
    }
}

impl RowSealed for PgRow {}

impl RowIndex<usize> for PgRow {
    #[inline]
    fn idx(&self, index: usize) -> Option<usize> {
        match self {
            PgRow::Cached(row) => row.idx(index),
            PgRow::Live(live) => live.row.idx(index).filter(|&index| index < live.columns),
        }
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    #[inline]
    fn idx(&self, name: &'a str) -> Option<usize> {
        match self {
            PgRow::Cached(row) => row.idx(name),
            PgRow::Live(live) => live.row.idx(name).filter(|&index| index < live.columns),
        }
    }
}

impl<'a> Row<'a, Pg> for PgRow {
    type Field<'f>
        = PgField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    #[inline]
    fn field_count(&self) -> usize {
        match self {
            PgRow::Cached(row) => row.field_count(),
            PgRow::Live(live) => live.columns,
        }
    }

    #[inline]
    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        match self {
            PgRow::Cached(row) => row.get(index).map(PgField::Cached),
            PgRow::Live(live) => Row::get(&live.row, index).map(PgField::Live),
        }
    }

    #[inline]
    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self::InnerPartialRow> {
        PartialRow::new(self, range)
    }
}

/// A cell of a [`PgRow`].
pub enum PgField<'f> {
    /// From bytes in the cache.
    Cached(CachedField<'f>),
    /// Straight from the connection.
    Live(LiveField<'f>),
}

impl fmt::Debug for PgField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgField(..)")
    }
}

impl<'f> Field<'f, Pg> for PgField<'f> {
    #[inline]
    fn field_name(&self) -> Option<&str> {
        match self {
            PgField::Cached(field) => field.field_name(),
            PgField::Live(field) => field.field_name(),
        }
    }

    // Called for every cell, and just too large to be inlined without insisting.
    #[inline(always)]
    fn value(&self) -> Option<PgValue<'_>> {
        match self {
            PgField::Cached(field) => field.value(),
            PgField::Live(field) => field.value(),
        }
    }
}

/// Collects a stream of live rows into a `RowSet`, or past the limit turns what it has and what is
/// to come into one stream. At most `limit` bytes and one row are buffered.
pub(super) async fn collect(
    mut live: BoxStream<'static, QueryResult<LiveRow>>,
    limit: usize,
    last: &LastAnswer,
) -> QueryResult<Loaded<Pg>> {
    let outline = last.outline().clone();
    let mut rows = match outline {
        Some(outline) => RowSetBuilder::like(outline, limit),
        None => RowSetBuilder::new(limit),
    };
    while let Some(row) = live.try_next().await? {
        if push(&mut rows, &row) {
            continue;
        }
        rows.abandon_row();
        let collected = Arc::new(rows.finish());
        let cached = (0..collected.len())
            .filter_map(move |index| CachedRow::new(Arc::clone(&collected), index))
            .map(|row| Ok(PgRow::Cached(row)));
        let overflowing = stream::once(std::future::ready(Ok(PgRow::live(row))));
        let rest = live.map_ok(PgRow::live);
        return Ok(Loaded::Streaming(stream::iter(cached).chain(overflowing).chain(rest).boxed()));
    }
    let rows = rows.finish();
    if !rows.is_empty() {
        *last.outline() = Some(rows.outline());
    }
    Ok(Loaded::Whole(rows))
}

/// Whether the row fitted.
fn push(rows: &mut RowSetBuilder, row: &LiveRow) -> bool {
    let columns = row.field_count();
    rows.begin_row(columns).is_ok()
        && (0..columns).all(|index| {
            let Some(field) = Row::get(row, index) else { return false };
            let value = field.value();
            let cell: Option<(NonZeroU32, &[u8])> =
                value.as_ref().map(|value| (value.get_oid(), value.as_bytes()));
            rows.push_cell(field.field_name().unwrap_or_default(), cell).is_ok()
        })
}
