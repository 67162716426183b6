//! Code that the database runs beside a write.

use turbodiesel_sql::{Action, Columns, Dialect, Kind, Writes, plan};

use super::{Catalog, Volatility, relation::TableWrite};

/// Code that runs beside a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// What sets it off.
    pub on: Events,
    /// What it does.
    pub body: TriggerBody,
}

/// What a [`Trigger`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerBody {
    /// No more than this.
    Known {
        /// The columns of the row being written that it may set.
        assigns: Columns,
        /// The tables that it writes.
        writes: Vec<TableWrite>,
    },
    /// Nobody can say.
    Opaque,
}

/// A set of things that can happen to rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Rows appear.
    pub insert: bool,
    /// Rows change.
    pub update: bool,
    /// Rows disappear.
    pub delete: bool,
    /// All rows disappear at once.
    pub truncate: bool,
}

impl Events {
    const NONE: Self = Self { insert: false, update: false, delete: false, truncate: false };
    /// All of them.
    pub const ALL: Self = Self { insert: true, update: true, delete: true, truncate: true };
    /// Rows change.
    pub const UPDATE: Self = Self { update: true, ..Self::NONE };
    /// Rows disappear.
    pub const DELETE: Self = Self { delete: true, ..Self::NONE };

    /// What an action may do.
    pub(crate) fn of(action: Action) -> Self {
        match action {
            Action::Insert | Action::Copy => Self { insert: true, ..Self::NONE },
            Action::Upsert => Self { insert: true, update: true, ..Self::NONE },
            Action::Update => Self::UPDATE,
            Action::Delete => Self::DELETE,
            Action::Truncate => Self { truncate: true, ..Self::NONE },
            Action::Replace | Action::Merge => Self { truncate: false, ..Self::ALL },
        }
    }

    /// Whether the sets have an event in common.
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.insert && other.insert
            || self.update && other.update
            || self.delete && other.delete
            || self.truncate && other.truncate
    }

    /// The events of either.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            insert: self.insert || other.insert,
            update: self.update || other.update,
            delete: self.delete || other.delete,
            truncate: self.truncate || other.truncate,
        }
    }
}

impl Catalog {
    /// The tables that some statements write themselves, `None` where nobody can say.
    ///
    /// What follows from those writes is for the closure to add. Statements that return rows, and
    /// those that notify, write nothing.
    pub(crate) fn writes_of<'a>(
        &self,
        dialect: Dialect,
        statements: impl IntoIterator<Item = &'a str>,
    ) -> Option<Vec<TableWrite>> {
        let mut writes = Vec::new();
        for sql in statements {
            let plan = plan(dialect, sql);
            if !matches!(plan.kind(), Kind::Read | Kind::Write)
                || self.may_write_by_calls(&plan)
                || self.worst_operator(&plan) == Some(Volatility::Writing)
            {
                return None;
            }
            match plan.writes() {
                Writes::None => {}
                Writes::Tables(targets) => writes.extend(targets.iter().map(TableWrite::of)),
                Writes::Everything => return None,
            }
        }
        Some(writes)
    }
}
