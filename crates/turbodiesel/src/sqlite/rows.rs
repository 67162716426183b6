//! SQLite rows, shared between the cache and any number of readers.

use std::{fmt, ops::Range, sync::Arc};

use diesel::{
    SqliteConnection,
    backend::Backend,
    connection::LoadConnection,
    row::{Field, IntoOwnedRow, PartialRow, Row, RowIndex, RowSealed},
    sqlite::{Sqlite, SqliteType},
};
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use turbodiesel_core::Weigh;

/// Diesel's owned row, which it does not export by name.
pub(super) type OwnedRow =
    <<SqliteConnection as LoadConnection>::Row<'static, 'static> as IntoOwnedRow<
        'static,
        Sqlite,
    >>::OwnedRow;
type OwnedField<'f> = <OwnedRow as Row<'f, Sqlite>>::Field<'f>;

/// The rows of one answer.
pub struct SqliteRows {
    /// Reading a value may convert it in place (`sqlite3_value_text` on a number), so values of one
    /// answer are read by one thread at a time. The lock is reentrant because decoding one row may
    /// hold several of its fields.
    lock: ReentrantMutex<()>,
    rows: Box<[OwnedRow]>,
    weight: usize,
}

// SAFETY: `OwnedRow` is `Send` but not `Sync`, because SQLite converts values in place while they
// are read through a shared reference. All access to `rows` goes through `SqliteRow::get` and
// `SqliteRow::idx`; the former holds `lock` for as long as anything borrowed from a value lives (the
// guard is a field of the borrowed `SqliteField`, and it is not `Send`), and the latter reads column
// names only, which are plain strings. So no value is ever touched by two threads at once.
#[expect(unsafe_code, reason = "values are converted in place; the lock makes it exclusive")]
unsafe impl Sync for SqliteRows {}

impl SqliteRows {
    pub(super) fn new(rows: Vec<OwnedRow>) -> Self {
        let weight = rows.iter().map(weigh).sum();
        Self { lock: ReentrantMutex::new(()), rows: rows.into_boxed_slice(), weight }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl fmt::Debug for SqliteRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteRows").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Weigh for SqliteRows {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.weight
    }
}

/// An estimate: SQLite allocates a value object of its own for every cell.
fn weigh(row: &OwnedRow) -> usize {
    const VALUE: usize = 96;
    let fields = Row::<Sqlite>::field_count(row);
    let payload: usize = (0..fields)
        .filter_map(|index| Row::<Sqlite>::get(row, index))
        .map(|field| match field.value() {
            None => 0,
            Some(mut value) => match value.value_type() {
                Some(SqliteType::Text) => value.read_text().len(),
                Some(SqliteType::Binary) => value.read_blob().len(),
                _ => 0,
            },
        })
        .sum();
    size_of::<OwnedRow>() + fields * VALUE + payload
}

/// A row of an SQLite answer.
#[derive(Clone)]
pub struct SqliteRow {
    answer: Arc<SqliteRows>,
    index: usize,
    /// How many columns at its end the caller did not ask for.
    hidden: usize,
}

impl SqliteRow {
    pub(super) fn of(answer: Arc<SqliteRows>, index: usize) -> Self {
        Self { answer, index, hidden: 0 }
    }

    /// A row that nobody shares.
    pub(super) fn live(row: OwnedRow) -> Self {
        let rows: Box<[OwnedRow]> = Box::new([row]);
        let answer = SqliteRows { lock: ReentrantMutex::new(()), rows, weight: 0 };
        Self { answer: Arc::new(answer), index: 0, hidden: 0 }
    }

    /// Hides the last columns.
    pub(super) fn hide(&mut self, hidden: usize) {
        self.hidden = hidden;
    }

    fn is_visible(&self, index: usize) -> bool {
        index < self.field_count()
    }

    fn row(&self) -> &OwnedRow {
        &self.answer.rows[self.index]
    }
}

impl fmt::Debug for SqliteRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteRow").field("index", &self.index).finish_non_exhaustive()
    }
}

impl RowSealed for SqliteRow {}

impl RowIndex<usize> for SqliteRow {
    fn idx(&self, index: usize) -> Option<usize> {
        self.row().idx(index).filter(|&index| self.is_visible(index))
    }
}

impl<'a> RowIndex<&'a str> for SqliteRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.row().idx(name).filter(|&index| self.is_visible(index))
    }
}

impl<'a> Row<'a, Sqlite> for SqliteRow {
    type Field<'f>
        = SqliteField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        Row::<Sqlite>::field_count(self.row()) - self.hidden
    }

    fn get<'f, I>(&'f self, index: I) -> Option<Self::Field<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        let guard = self.answer.lock.lock();
        Some(SqliteField { field: Row::<Sqlite>::get(self.row(), index)?, _guard: guard })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self::InnerPartialRow> {
        PartialRow::new(self, range)
    }
}

/// A cell of a [`SqliteRow`], held exclusively.
pub struct SqliteField<'f> {
    // Declared before the guard, so dropped before it.
    field: OwnedField<'f>,
    _guard: ReentrantMutexGuard<'f, ()>,
}

impl fmt::Debug for SqliteField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteField(..)")
    }
}

impl<'f> Field<'f, Sqlite> for SqliteField<'f> {
    fn field_name(&self) -> Option<&str> {
        self.field.field_name()
    }

    fn value(&self) -> Option<<Sqlite as Backend>::RawValue<'_>> {
        self.field.value()
    }
}
