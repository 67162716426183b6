//! The one row that the stub answers with.

use std::{ops::Range, sync::Arc};

use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};

use super::backend::Stub;
use crate::model::COLUMNS;

type Cells = [(&'static str, &'static [u8]); COLUMNS];

/// A row of `users`.
const CELLS: Cells = [
    ("id", &[0, 0, 0, 7]),
    ("name", b"name 7"),
    ("email", b"user7@example.org"),
    ("active", &[1]),
    ("org", &[0, 0, 0, 1]),
];

/// A row that shares its bytes, as one of a real connection shares its buffer.
#[derive(Clone, Debug)]
pub(crate) struct StubRow(Arc<Cells>);

impl StubRow {
    pub(crate) fn prepared() -> Self {
        Self(Arc::new(CELLS))
    }
}

impl RowSealed for StubRow {}

impl RowIndex<usize> for StubRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.0.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for StubRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.0.iter().position(|(column, _)| *column == name)
    }
}

impl<'a> Row<'a, Stub> for StubRow {
    type Field<'f>
        = StubField
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.0.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<StubField>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let (name, value) = self.0[self.idx(index)?];
        Some(StubField { name, value })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

/// A cell of a [`StubRow`].
#[derive(Debug)]
pub(crate) struct StubField {
    name: &'static str,
    value: &'static [u8],
}

impl<'f> Field<'f, Stub> for StubField {
    fn field_name(&self) -> Option<&str> {
        Some(self.name)
    }

    fn value(&self) -> Option<&[u8]> {
        Some(self.value)
    }
}

/// A row as turbodiesel hands it out: behind a pointer, like the rows of PostgreSQL.
#[derive(Debug)]
pub(crate) struct ServedRow(pub(crate) Box<StubRow>);

impl RowSealed for ServedRow {}

impl RowIndex<usize> for ServedRow {
    fn idx(&self, index: usize) -> Option<usize> {
        self.0.idx(index)
    }
}

impl<'a> RowIndex<&'a str> for ServedRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.0.idx(name)
    }
}

impl<'a> Row<'a, Stub> for ServedRow {
    type Field<'f>
        = StubField
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.0.field_count()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<StubField>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        Row::get(&*self.0, self.idx(index)?)
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}
