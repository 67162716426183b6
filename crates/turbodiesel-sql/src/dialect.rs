//! The two SQL dialects: how they are parsed and how they fold names.

use sqlparser::{
    ast::{Ident, ObjectName, ObjectNamePart},
    dialect::{PostgreSqlDialect, SQLiteDialect},
};
use turbodiesel_core::TableName;

/// The database whose SQL is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL, with `standard_conforming_strings` on (its default).
    Postgres,
    /// SQLite 3.39 or later.
    Sqlite,
}

/// PostgreSQL cuts names to this many bytes (`NAMEDATALEN` − 1), silently.
const POSTGRES_NAME_BYTES: usize = 63;

impl Dialect {
    pub(crate) fn parser(self) -> &'static dyn sqlparser::dialect::Dialect {
        match self {
            Dialect::Postgres => &PostgreSqlDialect {},
            Dialect::Sqlite => &SQLiteDialect {},
        }
    }

    /// The name as the catalog spells it. Both databases fold ASCII letters only.
    pub(crate) fn fold(self, ident: &Ident) -> Box<str> {
        match (self, ident.quote_style) {
            (Dialect::Postgres, Some(_)) => clip(&ident.value).into(),
            (Dialect::Postgres, None) => clip(&ident.value).to_ascii_lowercase().into(),
            (Dialect::Sqlite, _) => ident.value.to_ascii_lowercase().into(),
        }
    }

    /// Whether the folded name may stand for the primary key, unless the table has a column of that
    /// name.
    pub(crate) fn is_row_id(self, column: &str) -> bool {
        self == Dialect::Sqlite && ["_rowid_", "oid", "rowid"].contains(&column)
    }

    /// The last two parts of a name, folded. `None` if it is not made of plain identifiers.
    pub(crate) fn fold_name(self, name: &ObjectName) -> Option<TableName> {
        let ident = |part: &ObjectNamePart| part.as_ident().map(|ident| self.fold(ident));
        match name.0.as_slice() {
            [name] => Some(TableName::unqualified(ident(name)?)),
            [schema, name] | [_, schema, name] => {
                Some(TableName::qualified(ident(schema)?, ident(name)?))
            }
            _ => None,
        }
    }
}

fn clip(name: &str) -> &str {
    &name[..name.floor_char_boundary(POSTGRES_NAME_BYTES)]
}
