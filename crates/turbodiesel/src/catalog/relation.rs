//! What the catalog knows of one table or view.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use turbodiesel_core::TableName;
use turbodiesel_sql::{Action, Columns, Plan, Target};

use super::{
    Volatility,
    trigger::{Events, Trigger},
};

/// A table or view.
#[derive(Debug)]
pub struct Relation {
    /// What it is.
    pub kind: RelationKind,
    /// Whether policies decide which rows a role sees.
    pub row_security: bool,
    /// Whether those policies call functions, which can read anything.
    pub opaque_policies: bool,
    /// Relations that the policies read.
    pub policy_reads: Vec<TableName>,
    /// Its columns, all of them.
    pub columns: HashMap<Box<str>, Column>,
    /// Sets of columns whose values determine the row: each is a key, checked at once, for all rows
    /// that a read of the table sees. Columns that may be NULL do no harm, as no NULL equals a value.
    pub unique_keys: Vec<BTreeSet<Box<str>>>,
    /// The columns that decide in which partition a row is kept.
    pub partition_key: Columns,
    /// Partitions and inheritance: parents and children, which share rows with this table.
    pub relatives: Vec<TableName>,
    /// What happens to other tables, or other rows of this one, through foreign keys.
    pub cascades: Vec<Cascade>,
    /// The worst operator in the body of a view that is not the system's.
    pub operator: Option<Volatility>,
    /// What runs beside a write. Those of a view take its place.
    pub triggers: Vec<Trigger>,
    /// Whether a write may write elsewhere in ways that are not followed: rules, defaults and
    /// constraints that call a function which may write.
    pub opaque_writes: bool,
    /// Whether a row that conflicts with a new one gives way without the statement saying so.
    pub replaces_conflicts: bool,
    /// Whether `RETURNING` of every pin column may be appended to a write. Never true of a view.
    pub may_learn: bool,
}

/// The kind of a [`Relation`].
#[derive(Debug)]
pub enum RelationKind {
    /// Rows of its own, written by statements that name it. Materialised views are such: only
    /// `REFRESH` writes them, and that invalidates everything.
    Table,
    /// A query over other relations.
    View(Arc<Plan>),
    /// Rows that others write unseen.
    Foreign,
}

impl Relation {
    /// A plain table with nothing attached, and no column that could be a pin.
    pub fn table() -> Self {
        Self {
            kind: RelationKind::Table,
            row_security: false,
            opaque_policies: false,
            policy_reads: Vec::new(),
            columns: HashMap::new(),
            unique_keys: Vec::new(),
            partition_key: no_columns(),
            relatives: Vec::new(),
            cascades: Vec::new(),
            operator: None,
            triggers: Vec::new(),
            opaque_writes: false,
            replaces_conflicts: false,
            may_learn: false,
        }
    }

    /// The columns that a read may be pinned on, with the type of their values.
    pub fn pins(&self) -> impl Iterator<Item = (&str, PinType)> {
        self.columns.iter().filter_map(|(name, column)| {
            let kind = column.kind.filter(|_| column.is_pin)?;
            Some((&**name, kind))
        })
    }

    /// Whether a column alone is a unique key.
    pub fn is_unique(&self, column: &str) -> bool {
        self.unique_keys.iter().any(|key| key.len() == 1 && key.contains(column))
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What equality on the column means, where it means what equality of values does.
    pub kind: Option<PinType>,
    /// Whether it is worth a tag: part of the primary key, of a unique or foreign key, or first in
    /// an index. Only where `kind` is known, and the same in all tables that share rows.
    pub is_pin: bool,
    /// Whether the database computes it from other columns.
    pub is_generated: bool,
}

/// The types whose values have a canonical form: the variants of
/// [`PinValue`](turbodiesel_core::PinValue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinType {
    /// Integers of any width.
    Int,
    /// `boolean`.
    Bool,
    /// `uuid`.
    Uuid,
    /// Text that equals only the same text.
    Text,
}

/// What a foreign key does to the rows that refer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// What must happen to the referenced row.
    pub on: CascadeOn,
    /// What then happens to those that refer to it.
    pub write: TableWrite,
}

/// What sets off a [`Cascade`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CascadeOn {
    /// The row is deleted.
    Delete,
    /// One of these columns changes.
    Update(BTreeSet<Box<str>>),
}

/// What a cascade or a trigger does to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableWrite {
    /// The table, or a view.
    pub table: TableName,
    /// What may happen to its rows.
    pub events: Events,
    /// The columns that updates set.
    pub set_columns: Columns,
    /// Whether rows that conflict with new ones are deleted.
    pub replaces: bool,
}

impl TableWrite {
    /// Anything at all.
    pub(crate) fn anything(table: TableName) -> Self {
        Self { table, events: Events::ALL, set_columns: Columns::All, replaces: true }
    }

    /// What a target of a plan says.
    pub(crate) fn of(target: &Target) -> Self {
        Self {
            table: target.table.clone(),
            events: Events::of(target.action),
            set_columns: target.set_columns.clone(),
            replaces: target.action == Action::Replace,
        }
    }
}

/// No column.
pub(crate) fn no_columns() -> Columns {
    Columns::Only(BTreeSet::new())
}

/// Adds columns to a set.
pub(crate) fn add_columns(columns: &mut Columns, more: &Columns) {
    match (&mut *columns, more) {
        (Columns::All, _) => {}
        (Columns::Only(_), Columns::All) => *columns = Columns::All,
        (Columns::Only(columns), Columns::Only(more)) => columns.extend(more.iter().cloned()),
    }
}

/// Whether the sets may have a column in common.
pub(crate) fn overlap(one: &Columns, other: &Columns) -> bool {
    match (one, other) {
        (Columns::Only(one), Columns::Only(other)) => !one.is_disjoint(other),
        (Columns::Only(some), Columns::All) | (Columns::All, Columns::Only(some)) => {
            !some.is_empty()
        }
        (Columns::All, Columns::All) => true,
    }
}
