//! An answer as the bytes the database sent.

use std::{fmt, num::NonZeroU32, sync::Arc};

use crate::Weigh;

/// A column of an answer: its name, and the OID of its type where any row told it.
///
/// A NULL carries no type, so a column that held nothing else has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name as the database returned it.
    pub name: Box<str>,
    /// The type's OID.
    pub oid: Option<NonZeroU32>,
}

/// Marks the end offset of a cell that is NULL.
const NULL: u32 = 1 << 31;

/// The rows of one answer in one buffer.
///
/// Cells lie one after the other, row by row; for each cell only its end is kept, so the overhead is
/// the four bytes that the wire format needs for a cell's length.
#[derive(Clone)]
pub struct RowSet {
    columns: Arc<[Column]>,
    /// The end offset of each cell, with [`NULL`] set where the cell is NULL.
    ends: Box<[u32]>,
    bytes: Box<[u8]>,
    rows: u32,
}

impl RowSet {
    /// The columns. An answer without rows has none.
    #[must_use]
    #[inline]
    pub fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    /// The number of rows.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// A cell's bytes, `None` where it is NULL.
    ///
    /// # Panics
    ///
    /// If there is no such row. A column that does not exist is the caller's mistake, noticed in debug
    /// builds only: this is called for every cell of every hit.
    #[inline]
    #[must_use]
    pub fn cell(&self, row: usize, column: usize) -> Option<&[u8]> {
        debug_assert!(column < self.columns.len(), "column {column} of {}", self.columns.len());
        let index = row * self.columns.len() + column;
        let end = self.ends[index];
        if end & NULL != 0 {
            return None;
        }
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1] & !NULL,
        };
        Some(&self.bytes[start as usize..end as usize])
    }
}

impl fmt::Debug for RowSet {
    /// Shows the shape; the cells may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowSet")
            .field("rows", &self.rows)
            .field("columns", &self.columns.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl PartialEq for RowSet {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
            && self.columns == other.columns
            && self.ends == other.ends
            && self.bytes == other.bytes
    }
}

impl Eq for RowSet {}

impl Weigh for RowSet {
    fn weight(&self) -> usize {
        // The columns are usually shared by all answers of a statement and not counted here.
        size_of::<Self>() + self.bytes.len() + self.ends.len() * size_of::<u32>()
    }
}

/// The error of an answer that outgrew its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSetFull;

impl fmt::Display for RowSetFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is larger than the limit for one entry")
    }
}

impl std::error::Error for RowSetFull {}

/// Collects rows, cell by cell.
///
/// ```
/// use turbodiesel_core::RowSetBuilder;
///
/// let mut rows = RowSetBuilder::new(1024);
/// for (id, name) in [(1_i32, Some("bolt")), (2, None)] {
///     rows.begin_row(2)?;
///     rows.push_cell("id", Some((23.try_into().unwrap(), &id.to_be_bytes())))?;
///     rows.push_cell("name", name.map(|n| (25.try_into().unwrap(), n.as_bytes())))?;
/// }
/// let rows = rows.finish(None);
/// assert_eq!(rows.cell(0, 1), Some(&b"bolt"[..]));
/// assert_eq!(rows.cell(1, 1), None);
/// # Ok::<(), turbodiesel_core::RowSetFull>(())
/// ```
#[derive(Debug)]
pub struct RowSetBuilder {
    columns: Vec<Column>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
    rows: u32,
    column: usize,
    limit: usize,
}

impl RowSetBuilder {
    /// Starts an answer of at most `limit` bytes, per-cell overhead included.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            columns: Vec::new(),
            ends: Vec::new(),
            bytes: Vec::new(),
            rows: 0,
            column: 0,
            limit: limit.min(NULL as usize - 1),
        }
    }

    /// Starts a row of `columns` cells.
    ///
    /// # Errors
    ///
    /// If the answer outgrows its limit. The row counts as begun; see [`abandon_row`].
    ///
    /// [`abandon_row`]: Self::abandon_row
    pub fn begin_row(&mut self, columns: usize) -> Result<(), RowSetFull> {
        self.rows += 1;
        self.column = 0;
        let overhead = (self.ends.len() + columns) * size_of::<u32>();
        if self.bytes.len() + overhead > self.limit || self.rows == u32::MAX {
            return Err(RowSetFull);
        }
        Ok(())
    }

    /// Appends the next cell of the row: its type and bytes, or NULL.
    ///
    /// # Errors
    ///
    /// If the answer outgrows its limit. The row is then incomplete; see [`abandon_row`].
    ///
    /// [`abandon_row`]: Self::abandon_row
    pub fn push_cell(
        &mut self,
        name: &str,
        cell: Option<(NonZeroU32, &[u8])>,
    ) -> Result<(), RowSetFull> {
        match self.columns.get_mut(self.column) {
            Some(column) => {
                if let (None, Some((oid, _))) = (column.oid, cell) {
                    column.oid = Some(oid);
                }
            }
            None => self.columns.push(Column { name: name.into(), oid: cell.map(|(oid, _)| oid) }),
        }
        self.column += 1;
        if let Some((_, value)) = cell {
            let cells = (self.ends.len() + 1) * size_of::<u32>();
            if self.bytes.len() + value.len() + cells > self.limit {
                return Err(RowSetFull);
            }
            self.bytes.extend_from_slice(value);
        }
        let end = u32::try_from(self.bytes.len()).expect("the limit keeps offsets below 2 GiB");
        self.ends.push(if cell.is_some() { end } else { end | NULL });
        Ok(())
    }

    /// Forgets the row that was begun last.
    pub fn abandon_row(&mut self) {
        let columns = self.columns.len();
        self.rows -= 1;
        self.ends.truncate(self.rows as usize * columns);
        let end = self.ends.last().map_or(0, |end| end & !NULL);
        self.bytes.truncate(end as usize);
    }

    /// Ends the answer. Its columns are taken from `known` where they are the same, so that all
    /// answers of one statement share them.
    #[must_use]
    pub fn finish(self, known: Option<&Arc<[Column]>>) -> RowSet {
        let columns = match known {
            Some(known) if fits(known, &self.columns) => Arc::clone(known),
            _ => self.columns.into(),
        };
        RowSet {
            columns,
            ends: self.ends.into_boxed_slice(),
            bytes: self.bytes.into_boxed_slice(),
            rows: self.rows,
        }
    }
}

/// Whether `known` says all that `seen` says. It may know a type where `seen` met only NULLs.
fn fits(known: &[Column], seen: &[Column]) -> bool {
    known.len() == seen.len()
        && known.iter().zip(seen).all(|(known, seen)| {
            known.name == seen.name && (seen.oid.is_none() || known.oid == seen.oid)
        })
}

#[cfg(feature = "postgres")]
mod pg {
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
        row: usize,
    }

    impl CachedRow {
        /// The row with this index, `None` past the end.
        #[must_use]
        #[inline]
        pub fn new(rows: Arc<RowSet>, row: usize) -> Option<Self> {
            (row < rows.len()).then_some(Self { rows, row })
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
            Some(CachedField { rows: &self.rows, row: self.row, column })
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
        row: usize,
        column: usize,
    }

    impl<'a> Field<'a, Pg> for CachedField<'a> {
        #[inline]
        fn field_name(&self) -> Option<&str> {
            Some(&self.rows.columns()[self.column].name)
        }

        #[inline]
        fn value(&self) -> Option<PgValue<'_>> {
            let bytes = self.rows.cell(self.row, self.column)?;
            Some(PgValue::new(bytes, &self.rows.columns()[self.column]))
        }
    }
}

#[cfg(feature = "postgres")]
pub use pg::{CachedField, CachedRow};

#[cfg(test)]
mod tests {
    use super::*;

    fn int4() -> NonZeroU32 {
        NonZeroU32::new(23).unwrap()
    }

    #[test]
    fn a_column_learns_its_type_from_the_first_value() {
        let mut rows = RowSetBuilder::new(100);
        rows.begin_row(1).unwrap();
        rows.push_cell("n", None).unwrap();
        rows.begin_row(1).unwrap();
        rows.push_cell("n", Some((int4(), &[0, 0, 0, 1]))).unwrap();
        let rows = rows.finish(None);
        assert_eq!(rows.columns()[0].oid, Some(int4()));
        assert_eq!(rows.cell(0, 0), None);
        assert_eq!(rows.cell(1, 0), Some(&[0, 0, 0, 1][..]));
    }

    #[test]
    fn an_abandoned_row_leaves_the_rest_readable() {
        let mut rows = RowSetBuilder::new(30);
        rows.begin_row(2).unwrap();
        rows.push_cell("a", Some((int4(), b"12345"))).unwrap();
        rows.push_cell("b", None).unwrap();
        rows.begin_row(2).unwrap();
        rows.push_cell("a", Some((int4(), b"1234567"))).unwrap();
        assert_eq!(rows.push_cell("b", Some((int4(), b"1234567"))), Err(RowSetFull));
        rows.abandon_row();
        let rows = rows.finish(None);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.cell(0, 0), Some(&b"12345"[..]));
        assert_eq!(rows.cell(0, 1), None);
    }

    #[test]
    fn columns_are_shared_when_they_agree() {
        let set = |cell: Option<&[u8]>, known: Option<&Arc<[Column]>>| {
            let mut rows = RowSetBuilder::new(100);
            rows.begin_row(1).unwrap();
            rows.push_cell("a", cell.map(|bytes| (int4(), bytes))).unwrap();
            rows.finish(known)
        };
        let typed = set(Some(b"1234"), None);
        assert!(Arc::ptr_eq(set(None, Some(typed.columns())).columns(), typed.columns()));
        let untyped = set(None, None);
        assert!(!Arc::ptr_eq(
            set(Some(b"1"), Some(untyped.columns())).columns(),
            untyped.columns()
        ));
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let mut rows = RowSetBuilder::new(100);
        rows.begin_row(0).unwrap();
        rows.begin_row(0).unwrap();
        assert_eq!(rows.finish(None).len(), 2);
    }
}
