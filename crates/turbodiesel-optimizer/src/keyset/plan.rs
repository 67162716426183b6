//! A query taken apart, on its database: what every page of it has in common.

use diesel::{
    QueryResult,
    query_builder::{AstPass, QueryBuilder, QueryFragment},
};

use super::{
    backend::KeysetBackend,
    branch::{Nulls, Rule, Walk},
    cursor::Shape,
    error::Kind,
    value::Value,
};

/// A piece of a query whose type does not matter any more.
pub(crate) type Fragment<'q, DB> = Box<dyn QueryFragment<DB> + Send + 'q>;

/// The clauses of a query.
#[allow(missing_debug_implementations, reason = "fragments have no debug form")]
pub struct Parts<'q, DB> {
    pub(crate) select: Fragment<'q, DB>,
    /// With its `FROM`.
    pub(crate) from: Fragment<'q, DB>,
    /// Without its `WHERE`, so that it can be parenthesised.
    pub(crate) filter: Option<Fragment<'q, DB>>,
}

/// A key of the order.
#[allow(missing_debug_implementations, reason = "fragments have no debug form")]
pub struct Key<'q, DB: diesel::backend::Backend> {
    pub(crate) expression: Fragment<'q, DB>,
    pub(crate) rule: Rule,
    pub(crate) bind: for<'b> fn(&'b Value, AstPass<'_, 'b, DB>) -> QueryResult<()>,
}

/// A query and its order.
pub(crate) struct Plan<'q, DB: KeysetBackend> {
    pub(crate) parts: Parts<'q, DB>,
    pub(crate) keys: Vec<Key<'q, DB>>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) shape: Shape,
}

impl<'q, DB: KeysetBackend> Plan<'q, DB> {
    pub(crate) fn new(parts: Parts<'q, DB>, keys: Vec<Key<'q, DB>>) -> Result<Self, Kind> {
        let text = |fragment: &Fragment<'q, DB>| -> Result<String, Kind> {
            let mut builder = DB::QueryBuilder::default();
            fragment.to_sql(&mut builder, &DB::default()).map_err(Kind::Database)?;
            Ok(builder.finish())
        };
        // The selection is not part of it: the next page may select other columns.
        let mut texts = vec![DB::NAME.to_owned(), text(&parts.from)?];
        texts.push(parts.filter.as_ref().map_or(Ok(String::new()), text)?);
        for key in &keys {
            texts.push(text(&key.expression)? + &direction(key.rule));
        }
        let shape = Shape::of(texts.iter().map(String::as_str));
        let rules = keys.iter().map(|key| key.rule).collect();
        Ok(Self { parts, keys, rules, shape })
    }

    /// What follows each expression in `ORDER BY`.
    pub(crate) fn directions(&self, walk: Walk) -> impl Iterator<Item = String> {
        self.rules.iter().map(move |rule| direction(rule.walked(walk)))
    }
}

fn direction(rule: Rule) -> String {
    let direction = if rule.descending { " DESC" } else { " ASC" };
    let nulls = match rule.nulls {
        None => "",
        Some(Nulls::First) => " NULLS FIRST",
        Some(Nulls::Last) => " NULLS LAST",
    };
    [direction, nulls].concat()
}
