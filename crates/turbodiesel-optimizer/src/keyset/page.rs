//! A page of rows, and what Relay's connections say of one.

use std::vec;

use super::{
    count::Total,
    cursor::{Cursor, Seal},
    value::Value,
};

/// Some rows of a query, one after the other in its order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// The values of the keys, for each row.
    pub(crate) keys: Vec<Vec<Value>>,
    pub(crate) has_next_page: bool,
    pub(crate) has_previous_page: bool,
    pub(crate) total: Option<Total>,
    pub(crate) seal: Seal,
}

/// What lies around a page: the `PageInfo` of Relay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageInfo {
    /// Whether there are rows behind the last one.
    pub has_next_page: bool,
    /// Whether there are rows before the first one.
    pub has_previous_page: bool,
    /// The place of the first row, to load what precedes it.
    pub start_cursor: Option<Cursor>,
    /// The place of the last row, to load what follows it.
    pub end_cursor: Option<Cursor>,
}

/// A row and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edge<T> {
    /// The row.
    pub node: T,
    /// Its place.
    pub cursor: Cursor,
}

impl<T> Page<T> {
    /// The rows, in the order of the query, in whichever direction they were loaded.
    #[must_use]
    pub fn rows(&self) -> &[T] {
        &self.rows
    }

    /// The rows without their places.
    #[must_use]
    pub fn into_rows(self) -> Vec<T> {
        self.rows
    }

    /// The rows with their places.
    pub fn into_edges(self) -> impl ExactSizeIterator<Item = Edge<T>> {
        let Self { rows, keys, seal, .. } = self;
        rows.into_iter().zip(keys).map(move |(node, keys)| Edge { node, cursor: seal.write(&keys) })
    }

    /// The place of the row with this number on the page.
    #[must_use]
    pub fn cursor(&self, row: usize) -> Option<Cursor> {
        self.keys.get(row).map(|keys| self.seal.write(keys))
    }

    /// Whether there are rows behind the last one, as of the moment when the page was read.
    #[must_use]
    pub fn has_next_page(&self) -> bool {
        self.has_next_page
    }

    /// Whether there are rows before the first one, as of the moment when the page was read.
    #[must_use]
    pub fn has_previous_page(&self) -> bool {
        self.has_previous_page
    }

    /// The place of the first row, to load what precedes it; `None` on an empty page.
    #[must_use]
    pub fn start_cursor(&self) -> Option<Cursor> {
        self.cursor(0)
    }

    /// The place of the last row, to load what follows it; `None` on an empty page.
    #[must_use]
    pub fn end_cursor(&self) -> Option<Cursor> {
        self.keys.last().map(|keys| self.seal.write(keys))
    }

    /// What lies around the page.
    #[must_use]
    pub fn info(&self) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next_page,
            has_previous_page: self.has_previous_page,
            start_cursor: self.start_cursor(),
            end_cursor: self.end_cursor(),
        }
    }

    /// How many rows the query has on all pages, if it was [counted](super::Pagination::count).
    #[must_use]
    pub fn total(&self) -> Option<Total> {
        self.total
    }
}

impl<T> IntoIterator for Page<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Page<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}
