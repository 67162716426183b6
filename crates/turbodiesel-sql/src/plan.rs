//! The vocabulary of a plan: what one statement reads, writes and calls.

use std::collections::{BTreeMap, BTreeSet};

use turbodiesel_core::{Bypass, PinValue, TableName};

use crate::{Returning, operator::Beside};

/// What sort of statement this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads, and changes no table.
    Read,
    /// Changes rows, whether or not it also returns some: data-modifying CTEs, `RETURNING`,
    /// `SELECT … INTO`, `COPY … FROM` and `TRUNCATE` included. `NOTIFY` counts too, although it
    /// changes no table, because it is an effect that must reach the database.
    Write,
    /// Controls a transaction or lives within one: `BEGIN`, `SAVEPOINT`, `SET TRANSACTION`,
    /// `SET LOCAL`, `SET CONSTRAINTS`, `LOCK`.
    Transaction,
    /// Changes what later statements on the same connection mean or see: `SET`, `LISTEN`,
    /// temporary tables, cursors, prepared statements, `PRAGMA`, `ATTACH`, `set_config()`.
    Session,
    /// Changes the schema, or maintains it (`VACUUM`, `ANALYZE`, `REINDEX`).
    Schema,
    /// Not understood: it may do anything.
    Unknown,
}

/// What one statement reads, writes and calls, judged from its text alone.
///
/// What a name stands for (a table or a view, which columns, which triggers) is for the catalog to
/// say; a plan never claims less than the text allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(crate) kind: Kind,
    pub(crate) returns_rows: bool,
    pub(crate) is_aggregate: bool,
    pub(crate) occurrences: Vec<Occurrence>,
    pub(crate) writes: Writes,
    pub(crate) functions: BTreeSet<FunctionName>,
    pub(crate) builtins: BTreeSet<FunctionName>,
    pub(crate) operators: BTreeMap<Box<str>, Operands>,
    pub(crate) returning: Option<Returning>,
    pub(crate) refusal: Option<Refusal>,
}

impl Plan {
    /// What sort of statement this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the statement yields rows: a query, or a write with `RETURNING`.
    #[must_use]
    pub fn returns_rows(&self) -> bool {
        self.returns_rows
    }

    /// Whether the outermost query block aggregates: an aggregate function, `GROUP BY` or `HAVING`.
    #[must_use]
    pub fn is_aggregate(&self) -> bool {
        self.is_aggregate
    }

    /// Every place where a base relation is read, those within a write included (its subqueries,
    /// `FROM`, `USING`; not its target). A relation that is read twice occurs twice.
    #[must_use]
    pub fn occurrences(&self) -> &[Occurrence] {
        &self.occurrences
    }

    /// The distinct relations read.
    pub fn reads(&self) -> impl Iterator<Item = &TableName> {
        self.occurrences
            .iter()
            .map(|occurrence| &occurrence.table)
            .collect::<BTreeSet<_>>()
            .into_iter()
    }

    /// What the statement changes.
    #[must_use]
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// The `RETURNING` clause of the statement, present or not, if columns of its only target can be
    /// appended to it without changing what the statement does.
    ///
    /// It is there for one `INSERT`, `UPDATE` or `DELETE`, also with `ON CONFLICT` and behind CTEs
    /// that only read. It is not for `MERGE`, `REPLACE`, `UPDATE … FROM`, `DELETE … USING`, `LIMIT`,
    /// a statement that changes several tables, or a text that ends in a comment.
    #[must_use]
    pub fn returning(&self) -> Option<&Returning> {
        self.returning.as_ref()
    }

    /// Called functions, and operators that are known to call one, about which the built-in list
    /// says nothing: the catalog decides. A cached read needs them all known not to be volatile; a
    /// volatile one may write anything.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = &FunctionName> {
        self.functions.iter()
    }

    /// Called functions that the built-in list allows. They are listed because a schema may
    /// overload a built-in name with a function of its own.
    pub fn builtins(&self) -> impl ExactSizeIterator<Item = &FunctionName> {
        self.builtins.iter()
    }

    /// The operators that the text calls, by the name under which PostgreSQL looks them up, with what
    /// is known of their operands. Whether a user's are among those of that name is for the catalog to
    /// say. What syntax calls without writing it (`IN`, `LIKE`) is not listed. In SQLite none are,
    /// because users have none there.
    pub fn operators(&self) -> impl ExactSizeIterator<Item = (&str, &Operands)> {
        self.operators.iter().map(|(symbol, operands)| (&**symbol, operands))
    }

    /// Why the statement may not be answered from a cache, as far as its text shows.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }
}

/// What is known of the operands of an operator, over all its uses in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operands(Option<Vec<Vec<ColumnRef>>>);

impl Operands {
    pub(crate) fn anything() -> Self {
        Self(None)
    }

    pub(crate) fn of(uses: Vec<Beside>) -> Self {
        let columns = uses.into_iter().filter_map(|beside| match beside {
            Beside::Number => None,
            Beside::Columns(columns) => Some(columns),
        });
        Self(Some(columns.collect()))
    }

    /// Whether a number is certain to stand on one side of each use, given which columns hold some.
    pub fn are_numbers(&self, is_number: impl Fn(&ColumnRef) -> bool) -> bool {
        self.0
            .as_ref()
            .is_some_and(|uses| uses.iter().all(|columns| columns.iter().any(&is_number)))
    }
}

/// Why a statement may not be answered from a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, as statistics count it.
    pub reason: Bypass,
    /// What in the statement gave the reason. It may name tables and functions, never values.
    pub detail: String,
}

/// One place where a base relation is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The relation: a table, or a view that the catalog must read through.
    pub table: TableName,
    /// The columns that the statement uses of it.
    pub columns: Columns,
    /// What confines the rows read here, at most one pin per column. Each holds by itself: a row of
    /// the relation that differs from a pin cannot influence the answer.
    pub pins: Vec<Pin>,
}

/// A set of columns of one relation.
///
/// Names may be listed that the relation does not have, because an unqualified name counts for
/// every relation in scope. On PostgreSQL a listed name that is no column of any relation in scope
/// may be a function in attribute notation (`users.full_name`), which the catalog can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Possibly all.
    All,
    /// At most these.
    Only(BTreeSet<Box<str>>),
}

impl Columns {
    /// No column at all, as `COUNT(*)` uses.
    pub(crate) const NONE: Columns = Columns::Only(BTreeSet::new());

    /// Whether the column may be in the set.
    #[must_use]
    pub fn contains(&self, column: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::Only(columns) => columns.contains(column),
        }
    }

    pub(crate) fn insert(&mut self, column: Box<str>) {
        if let Columns::Only(columns) = self {
            columns.insert(column);
        }
    }
}

/// A column that is confined to a value, or to one of a few values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The column of the pinned relation.
    pub column: Box<str>,
    /// The values it is confined to.
    pub values: PinSource,
    /// The columns through which the equality was inferred, empty where it stands in the text.
    ///
    /// `a.x = b.y AND b.y = $1` pins `a.x` through `b.y`. Equality is transitive within one type
    /// and collation but not across them (an `int8` equals a `float8` that equals its neighbour
    /// too), so the pin holds only if these columns have the type of the pinned one.
    pub through: Vec<ColumnRef>,
}

/// A column of a base relation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnRef {
    /// The relation.
    pub table: TableName,
    /// The column.
    pub column: Box<str>,
}

/// Where the values of a pin come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// One or a few single values, never none.
    OneOf(Vec<Scalar>),
    /// The elements of an array bind: `= ANY($n)`, by index from zero.
    AnyBind(usize),
}

/// A single value as the text gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A bind value, by index from zero.
    Bind(usize),
    /// A literal: an integer, a plain string or a boolean. Its type is the column's to decide
    /// (`id = '7'` compares integers where `id` is one).
    Literal(PinValue),
}

/// What a statement changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// No table.
    None,
    /// These tables, and what the catalog adds to them (cascades, triggers, rules, partitions).
    Tables(Vec<Target>),
    /// Possibly everything.
    Everything,
}

/// One table that a statement changes, and how. A table that a statement changes twice, through
/// data-modifying CTEs, has two targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The table, or a view that the catalog must write through.
    pub table: TableName,
    /// What is done to it.
    pub action: Action,
    /// The columns that `UPDATE`, `DO UPDATE` or `MERGE` assigns. All of them where a part of a
    /// column is assigned, or SQLite's `rowid`, behind which the primary key may hide.
    pub set_columns: Columns,
    /// The `ON CONFLICT` clause of an insert.
    pub conflict: Option<Conflict>,
    /// The rows of an insert.
    pub inserted: Option<Inserted>,
    /// What confines the rows that an `UPDATE` or `DELETE` touches, as they were before it. Where
    /// other relations are joined to choose them (`FROM`, `USING`), each pin still holds: the target
    /// is one more relation of the block, and on no nullable side.
    pub pins: Vec<Pin>,
}

/// What a statement does to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `INSERT`, also with `ON CONFLICT DO NOTHING`.
    Insert,
    /// `INSERT … ON CONFLICT DO UPDATE`.
    Upsert,
    /// SQLite's `REPLACE` and `… OR REPLACE`: rows that conflict in any unique column are deleted.
    Replace,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `TRUNCATE` without `CASCADE`.
    Truncate,
    /// `MERGE`: any of insert, update and delete.
    Merge,
    /// `COPY … FROM`.
    Copy,
}

/// The `ON CONFLICT` clause of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What must conflict.
    pub on: ConflictOn,
    /// Whether the conflicting row is updated (`DO UPDATE`) rather than kept (`DO NOTHING`).
    pub updates: bool,
    /// Whether `DO UPDATE` assigns a conflict column, or may do so for all the text says.
    pub sets_target: bool,
}

/// The conflict target of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictOn {
    /// Any unique index.
    Any,
    /// The unique index over these columns.
    Columns(Vec<Box<str>>),
    /// A named constraint.
    Constraint(Box<str>),
    /// A unique index over expressions, or a partial one; or SQLite's `rowid`.
    Expression,
}

/// The rows of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The columns in the order of the values; without them, all columns in the table's order.
    pub columns: Option<Vec<Box<str>>>,
    /// The values.
    pub rows: Rows,
}

/// The values of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One or a few rows of `VALUES`, at most [`Rows::LISTED`].
    Values(Vec<Vec<ValueSource>>),
    /// `DEFAULT VALUES`: one row.
    Defaults,
    /// Many rows, or those of a query.
    Other,
}

impl Rows {
    /// The most rows of `VALUES` that are listed. Longer inserts are bulk writes, of which nobody
    /// asks the single values.
    pub const LISTED: usize = 8;
}

/// Where one value of an inserted row comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// A bind value, by index from zero.
    Bind(usize),
    /// A literal: an integer, a plain string or a boolean.
    Literal(PinValue),
    /// The column's default.
    Default,
    /// Anything else.
    Other,
}

/// The name of a called function, folded to the catalog's case.
///
/// An operator that calls a function of unknown name is listed as it is written, such as `<~>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName {
    /// The schema, where the name is qualified.
    pub schema: Option<Box<str>>,
    /// The name within its schema.
    pub name: Box<str>,
}
