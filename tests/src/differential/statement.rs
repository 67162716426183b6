//! Statements as plain data, which Diesel can execute on any connection.

use std::fmt;

use diesel::{
    QueryResult,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Untyped,
};

use super::{side::Side, values::Value};

/// A statement: `$n` in its text stands for the n-th bind, wherever and however often.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) binds: Vec<Value>,
    /// Whether Diesel may keep it prepared.
    pub(super) prepare: bool,
    /// Whether it answers with rows.
    pub(super) returns: bool,
    /// What sort of write it is, for the precision of invalidation.
    pub(super) class: Class,
}

/// What is counted of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// An insert of rows that are given.
    Insert,
    /// An update by primary key that sets no column of a key.
    Update,
    /// A delete by primary key.
    Delete,
    /// Anything else.
    Other,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>, binds: Vec<Value>) -> Self {
        Self { sql: sql.into(), binds, prepare: true, returns: false, class: Class::Other }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)?;
        if !self.binds.is_empty() {
            write!(f, "  -- {:?}", self.binds)?;
        }
        Ok(())
    }
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<B: Side> QueryFragment<B> for Statement {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        if !self.prepare {
            pass.unsafe_to_cache_prepared();
        }
        let mut parts = self.sql.split('$');
        pass.push_sql(parts.next().unwrap_or_default());
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let number: usize = part[..part.len() - rest.len()].parse().expect("a bind's number");
            B::bind(&self.binds[number - 1], pass.reborrow())?;
            pass.push_sql(rest);
        }
        Ok(())
    }
}

/// A text and its binds in the making.
#[derive(Debug, Default)]
pub(super) struct Binds(Vec<Value>);

impl Binds {
    /// The place of a bind in the text.
    pub(super) fn push(&mut self, value: Value) -> String {
        self.0.push(value);
        format!("${}", self.0.len())
    }

    pub(super) fn statement(self, sql: impl Into<String>) -> Statement {
        Statement::new(sql, self.0)
    }
}
