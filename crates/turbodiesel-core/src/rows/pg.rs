//! Cached rows as Diesel decodes them for PostgreSQL.

use std::{num::NonZeroU32, ops::Range, sync::Arc};

use diesel::{
    pg::{Pg, PgValue, TypeOidLookup},
    row::{Field, PartialRow, Row, RowIndex, RowSealed},
};

use super::{Column, RowSet};

impl TypeOidLookup for Column {
    #[inline]
    fn lookup(&self) -> NonZeroU32 {
        self.oid.expect("a cell that is not NULL told its column's type")
    }
}

/// One row of a shared [`RowSet`].
#[derive(Clone, Debug)]
pub struct CachedRow {
    rows: Arc<RowSet>,
    /// The index of its first cell.
    first: usize,
}

impl CachedRow {
    /// The row with this index, `None` past the end.
    #[must_use]
    #[inline]
    pub fn new(rows: Arc<RowSet>, row: usize) -> Option<Self> {
        (row < rows.len()).then(|| Self { first: row * rows.columns.len(), rows })
    }
}

impl RowSealed for CachedRow {}

impl RowIndex<usize> for CachedRow {
    #[inline]
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.rows.columns().len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for CachedRow {
    #[inline]
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.rows.columns().iter().position(|column| &*column.name == name)
    }
}

impl<'a> Row<'a, Pg> for CachedRow {
    type Field<'f>
        = CachedField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    #[inline]
    fn field_count(&self) -> usize {
        self.rows.columns().len()
    }

    #[inline]
    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let column = self.idx(index)?;
        Some(CachedField { rows: &self.rows, column, cell: self.first + column })
    }

    #[inline]
    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self::InnerPartialRow> {
        PartialRow::new(self, range)
    }
}

/// One cell of a [`CachedRow`].
#[derive(Clone, Copy, Debug)]
pub struct CachedField<'a> {
    rows: &'a RowSet,
    column: usize,
    /// The index among all cells.
    cell: usize,
}

impl<'a> Field<'a, Pg> for CachedField<'a> {
    #[inline]
    fn field_name(&self) -> Option<&str> {
        Some(&self.rows.columns[self.column].name)
    }

    // Called for every cell of every hit, and just too large to be inlined without insisting.
    #[inline(always)]
    fn value(&self) -> Option<PgValue<'_>> {
        let bytes = self.rows.cell_at(self.cell)?;
        Some(PgValue::new(bytes, &self.rows.columns[self.column]))
    }
}
