//! What an answer depends on and what a write changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a table or view as the database catalog spells it (already case-folded).
///
/// A name without a schema is one that has not been resolved against a search path yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The schema, where the name is qualified.
    pub schema: Option<Box<str>>,
    /// The name within its schema.
    pub name: Box<str>,
}

impl TableName {
    /// A name without a schema.
    #[must_use]
    pub fn unqualified(name: impl Into<Box<str>>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// A name with its schema.
    #[must_use]
    pub fn qualified(schema: impl Into<Box<str>>, name: impl Into<Box<str>>) -> Self {
        Self { schema: Some(schema.into()), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// A column value in the canonical form that all spellings of it share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinValue {
    /// Integers of any width.
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `text` or unbounded `varchar` under a deterministic collation.
    Text(Box<str>),
}

/// A [`PinValue`] that borrows its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinRef<'a> {
    /// Integers of any width.
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `text` or unbounded `varchar` under a deterministic collation.
    Text(&'a str),
}

impl PinValue {
    /// The value, borrowed.
    #[must_use]
    #[inline]
    pub fn borrowed(&self) -> PinRef<'_> {
        match self {
            PinValue::Int(value) => PinRef::Int(*value),
            PinValue::Bool(value) => PinRef::Bool(*value),
            PinValue::Uuid(value) => PinRef::Uuid(*value),
            PinValue::Text(value) => PinRef::Text(value),
        }
    }
}

impl PinRef<'_> {
    /// The value, with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> PinValue {
        match self {
            PinRef::Int(value) => PinValue::Int(value),
            PinRef::Bool(value) => PinValue::Bool(value),
            PinRef::Uuid(value) => PinValue::Uuid(value),
            PinRef::Text(value) => PinValue::Text(value.into()),
        }
    }
}

/// A unit of invalidation: reads depend on tags, writes change them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// Everything. Every answer depends on it.
    All,
    /// A whole table.
    Table(TableName),
    /// The rows of a table with any value in a column: changed when a write could not say which.
    Column {
        /// The table.
        table: TableName,
        /// The column.
        column: Box<str>,
    },
    /// The rows of a table with one value in one column.
    Value {
        /// The table.
        table: TableName,
        /// The column.
        column: Box<str>,
        /// Its value.
        value: PinValue,
    },
}

impl fmt::Display for Tag {
    /// Writes the tag's name, without values: they may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tag::All => f.write_str("*"),
            Tag::Table(table) => table.fmt(f),
            Tag::Column { table, column } => write!(f, "{table}/{column}=*"),
            Tag::Value { table, column, .. } => write!(f, "{table}/{column}=?"),
        }
    }
}
