//! An answer as the bytes the database sent.

mod builder;
#[cfg(feature = "postgres")]
mod pg;

use std::{fmt, num::NonZeroU32, sync::Arc};

pub use self::builder::{RowSetBuilder, RowSetFull};
#[cfg(feature = "postgres")]
pub use self::pg::{CachedField, CachedRow};
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
    /// Zero, and the end offset of each cell, with [`NULL`] set where the cell is NULL. So a cell
    /// lies between the offset at its index and the next.
    offsets: Box<[u32]>,
    bytes: Box<[u8]>,
    rows: u32,
}

/// The columns and the size of an answer, so that the next answer of its statement need not find
/// them out anew.
#[derive(Clone, Debug)]
pub struct Outline {
    columns: Arc<[Column]>,
    offsets: usize,
    bytes: usize,
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
        self.cell_at(row * self.columns.len() + column)
    }

    /// A cell's bytes by its index among all cells.
    #[inline]
    fn cell_at(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = (self.offsets[index], self.offsets[index + 1]);
        if end & NULL != 0 {
            return None;
        }
        Some(&self.bytes[(start & !NULL) as usize..end as usize])
    }

    /// What the next answer of the same statement may be like.
    #[must_use]
    pub fn outline(&self) -> Outline {
        let columns = Arc::clone(&self.columns);
        Outline { columns, offsets: self.offsets.len(), bytes: self.bytes.len() }
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
            && self.offsets == other.offsets
            && self.bytes == other.bytes
    }
}

impl Eq for RowSet {}

impl Weigh for RowSet {
    fn weight(&self) -> usize {
        // The columns are usually shared by all answers of a statement and not counted here.
        size_of::<Self>() + self.bytes.len() + self.offsets.len() * size_of::<u32>()
    }
}
