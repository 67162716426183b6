//! Collecting the rows of an answer.

use std::{fmt, num::NonZeroU32, sync::Arc};

use super::{Column, NULL, Outline, RowSet};

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
/// let rows = rows.finish();
/// assert_eq!(rows.cell(0, 1), Some(&b"bolt"[..]));
/// assert_eq!(rows.cell(1, 1), None);
/// # Ok::<(), turbodiesel_core::RowSetFull>(())
/// ```
#[derive(Debug)]
pub struct RowSetBuilder {
    columns: Columns,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    rows: u32,
    /// The column of the next cell.
    column: usize,
    limit: usize,
}

/// The columns of an answer that is being collected.
#[derive(Debug)]
enum Columns {
    /// Those of an earlier answer, from which this one does not differ yet. They may tell a type
    /// where this answer has held only NULLs.
    Shared(Arc<[Column]>),
    Own(Vec<Column>),
}

/// The most bytes, and the most offsets, that are reserved because the last answer had as many. The
/// next one may be much smaller.
const RESERVED: usize = 4 << 10;

impl RowSetBuilder {
    /// Starts an answer of at most `limit` bytes, per-cell overhead included.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            columns: Columns::Own(Vec::new()),
            offsets: Vec::new(),
            bytes: Vec::new(),
            rows: 0,
            column: 0,
            limit: limit.min(NULL as usize - 1),
        }
    }

    /// Starts an answer like an earlier one. It shares that one's columns, unless its own turn out to
    /// be different.
    #[must_use]
    pub fn like(outline: Outline, limit: usize) -> Self {
        Self {
            columns: Columns::Shared(outline.columns),
            offsets: Vec::with_capacity(outline.offsets.min(RESERVED)),
            bytes: Vec::with_capacity(outline.bytes.min(RESERVED)),
            ..Self::new(limit)
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
        if self.rows == 0 {
            if self.columns.as_slice().len() != columns {
                self.columns = Columns::Own(Vec::with_capacity(columns));
            }
            self.offsets.clear();
            self.offsets.push(0);
        }
        self.rows += 1;
        self.column = 0;
        let overhead = (self.offsets.len() - 1 + columns) * size_of::<u32>();
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
    #[inline]
    pub fn push_cell(
        &mut self,
        name: &str,
        cell: Option<(NonZeroU32, &[u8])>,
    ) -> Result<(), RowSetFull> {
        let oid = cell.map(|(oid, _)| oid);
        match self.columns.as_slice().get(self.column) {
            // All rows of an answer have the names of the first.
            Some(column)
                if (self.rows > 1 || *column.name == *name)
                    && (oid.is_none() || column.oid == oid) => {}
            _ => self.columns.differ(self.column, name, oid),
        }
        self.column += 1;
        if let Some((_, value)) = cell {
            // One for each cell, this one included: the first offset stands for none.
            let overhead = self.offsets.len() * size_of::<u32>();
            if self.bytes.len() + value.len() + overhead > self.limit {
                return Err(RowSetFull);
            }
            self.bytes.extend_from_slice(value);
        }
        let end = u32::try_from(self.bytes.len()).expect("the limit keeps offsets below 2 GiB");
        self.offsets.push(if cell.is_some() { end } else { end | NULL });
        Ok(())
    }

    /// Forgets the row that was begun last.
    pub fn abandon_row(&mut self) {
        self.rows -= 1;
        self.offsets.truncate(self.rows as usize * self.columns.as_slice().len() + 1);
        let end = self.offsets.last().map_or(0, |end| end & !NULL);
        self.bytes.truncate(end as usize);
    }

    /// Ends the answer.
    #[must_use]
    pub fn finish(self) -> RowSet {
        let columns = match self.columns {
            _ if self.rows == 0 => Arc::default(),
            Columns::Shared(columns) => columns,
            Columns::Own(columns) => columns.into(),
        };
        RowSet {
            columns,
            offsets: self.offsets.into_boxed_slice(),
            bytes: self.bytes.into_boxed_slice(),
            rows: self.rows,
        }
    }
}

impl Columns {
    #[inline]
    fn as_slice(&self) -> &[Column] {
        match self {
            Columns::Shared(columns) => columns,
            Columns::Own(columns) => columns,
        }
    }

    /// Takes note of a column that is not as it was known to be, or not known.
    #[cold]
    fn differ(&mut self, index: usize, name: &str, oid: Option<NonZeroU32>) {
        if let Columns::Shared(columns) = self {
            *self = Columns::Own(columns.to_vec());
        }
        let Columns::Own(columns) = self else { unreachable!("they were just made its own") };
        match columns.get_mut(index) {
            Some(column) if *column.name == *name => column.oid = oid.or(column.oid),
            Some(column) => *column = Column { name: name.into(), oid },
            None => columns.push(Column { name: name.into(), oid }),
        }
    }
}

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
        let rows = rows.finish();
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
        let rows = rows.finish();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.cell(0, 0), Some(&b"12345"[..]));
        assert_eq!(rows.cell(0, 1), None);
    }

    /// An answer of one row with the columns `a` and `b`, like an earlier one.
    fn set(cells: [Option<&[u8]>; 2], earlier: Option<&RowSet>) -> RowSet {
        let mut rows = match earlier {
            Some(earlier) => RowSetBuilder::like(earlier.outline(), 100),
            None => RowSetBuilder::new(100),
        };
        rows.begin_row(2).unwrap();
        for (name, cell) in ["a", "b"].into_iter().zip(cells) {
            rows.push_cell(name, cell.map(|bytes| (int4(), bytes))).unwrap();
        }
        rows.finish()
    }

    fn types(rows: &RowSet) -> Vec<Option<NonZeroU32>> {
        rows.columns().iter().map(|column| column.oid).collect()
    }

    #[test]
    fn columns_are_shared_when_they_agree() {
        let typed = set([Some(b"1"), Some(b"2")], None);
        for cells in [[Some(&b"3"[..]), Some(b"4")], [None, Some(b"5")], [None, None]] {
            let next = set(cells, Some(&typed));
            assert!(Arc::ptr_eq(next.columns(), typed.columns()));
            assert_eq!([next.cell(0, 0), next.cell(0, 1)], cells);
        }
    }

    #[test]
    fn a_type_that_was_not_known_is_added_to_those_that_were() {
        let first = set([Some(b"1"), None], None);
        assert_eq!(types(&first), [Some(int4()), None]);
        let second = set([None, Some(b"2")], Some(&first));
        assert_eq!(types(&second), [Some(int4()), Some(int4())]);
        assert_eq!(types(&first), [Some(int4()), None]);
    }

    #[test]
    fn columns_that_differ_are_told_as_they_are() {
        let earlier = set([Some(b"1"), Some(b"2")], None);
        let text = NonZeroU32::new(25).unwrap();
        let columns = |cells: &[(&str, Option<NonZeroU32>)]| {
            let mut rows = RowSetBuilder::like(earlier.outline(), 100);
            for _ in 0..2 {
                rows.begin_row(cells.len()).unwrap();
                for (name, oid) in cells {
                    rows.push_cell(name, oid.map(|oid| (oid, &b"x"[..]))).unwrap();
                }
            }
            let rows = rows.finish();
            assert_eq!(rows.cell(1, cells.len() - 1), cells.last().unwrap().1.map(|_| &b"x"[..]));
            let columns = rows.columns().iter();
            columns.map(|column| (column.name.to_string(), column.oid)).collect::<Vec<_>>()
        };
        let seen = |name: &str, oid| (name.to_owned(), oid);
        assert_eq!(
            columns(&[("a", Some(text)), ("b", None)]),
            [seen("a", Some(text)), seen("b", Some(int4()))]
        );
        assert_eq!(
            columns(&[("a", None), ("c", None)]),
            [seen("a", Some(int4())), seen("c", None)]
        );
        assert_eq!(columns(&[("b", Some(text))]), [seen("b", Some(text))]);
        let three = [("a", Some(int4())), ("b", None), ("c", Some(text))];
        assert_eq!(columns(&three), three.map(|(name, oid)| seen(name, oid)));
    }

    #[test]
    fn an_answer_without_rows_has_no_columns() {
        let earlier = set([Some(b"1"), Some(b"2")], None);
        let empty = RowSetBuilder::like(earlier.outline(), 100).finish();
        assert!(empty.is_empty() && empty.columns().is_empty());
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let mut rows = RowSetBuilder::new(100);
        rows.begin_row(0).unwrap();
        rows.begin_row(0).unwrap();
        assert_eq!(rows.finish().len(), 2);
    }
}
