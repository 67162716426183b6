//! The statements that pages are made of.

use diesel::{
    QueryResult,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};

use super::{
    backend::KeysetBackend,
    branch::{self, Branch, Term, Walk},
    plan::Plan,
    value::Value,
};

/// A statement about a plan.
pub(crate) struct Statement<'p, 'q, DB: KeysetBackend> {
    pub(crate) plan: &'p Plan<'q, DB>,
    pub(crate) kind: StatementKind<'p>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum StatementKind<'p> {
    /// The first rows beyond a place, or of all. Each has its keys in front; and before them, where
    /// there is a place, whether there are rows behind.
    ///
    /// The limit is written into the statement: PostgreSQL plans with it, and would take a page whose
    /// size it does not know for a tenth of the table.
    Rows { place: Option<&'p [Value]>, walk: Walk, limit: usize },
    /// Whether there are rows behind a place.
    Behind { place: &'p [Value], walk: Walk },
    /// How many rows there are.
    Count,
    /// How many rows the planner expects.
    Estimate,
}

impl<DB: KeysetBackend> QueryFragment<DB> for Statement<'_, '_, DB> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        match self.kind {
            StatementKind::Rows { place: None, walk, limit } => {
                let selection = Selection { columns: true, behind: None };
                self.select(&mut out, selection, Scope { place: &[], branch: &[] })?;
                self.order_and_limit(&mut out, walk, limit)
            }
            StatementKind::Rows { place: Some(place), walk, limit } => {
                let mut branches = branch::beyond(&self.plan.rules, &nulls(place), walk);
                if branches.len() == 1 {
                    let behind = Some((place, walk));
                    let selection = Selection { columns: true, behind };
                    let branch = branches.remove(0);
                    self.select(&mut out, selection, Scope { place, branch: &branch })?;
                    return self.order_and_limit(&mut out, walk, limit);
                }
                self.union(&mut out, place, walk, limit, &branches)
            }
            StatementKind::Behind { place, walk } => {
                out.push_sql("SELECT ");
                self.behind(&mut out, place, walk)
            }
            StatementKind::Count => self.count(&mut out, "SELECT COUNT(*)"),
            StatementKind::Estimate => self.count(&mut out, "EXPLAIN SELECT 1"),
        }
    }
}

/// What stands behind `SELECT`.
#[derive(Clone, Copy)]
struct Selection<'b> {
    /// The keys and what the caller selects, or nothing of interest.
    columns: bool,
    /// Whether there are rows behind a place.
    behind: Option<(&'b [Value], Walk)>,
}

/// What narrows a `SELECT`, beside the caller's filter.
#[derive(Clone, Copy)]
struct Scope<'b, 't> {
    place: &'b [Value],
    branch: &'t [Term],
}

impl<'p, DB: KeysetBackend> Statement<'p, '_, DB> {
    /// The first rows of each branch, and of all these the first.
    fn union<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, DB>,
        place: &'b [Value],
        walk: Walk,
        limit: usize,
        branches: &[Branch],
    ) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.behind(out, place, walk)?;
        out.push_sql(", \"page\".* FROM (");
        let selection = Selection { columns: true, behind: None };
        if branches.is_empty() {
            // Only where the last key is NULL, of which somebody said that it is unique.
            self.select(out, selection, Scope { place, branch: &[] })?;
            let and = if self.plan.parts.filter.is_some() { " AND " } else { " WHERE " };
            out.push_sql(&format!("{and}1 = 0"));
        }
        for (index, branch) in branches.iter().enumerate() {
            // SQLite takes an order and a limit in a subquery only.
            out.push_sql(if index == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
            self.select(out, selection, Scope { place, branch })?;
            self.order_and_limit(out, walk, limit)?;
            out.push_sql(&format!(") \"branch_{}\"", index + 1));
        }
        out.push_sql(") \"page\" ORDER BY ");
        for (index, direction) in self.plan.directions(walk).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // The first column is whether there are rows behind.
            out.push_sql(&format!("{comma}{}{direction}", index + 2));
        }
        out.push_sql(&format!(" LIMIT {limit}"));
        Ok(())
    }

    fn select<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, DB>,
        selection: Selection<'b>,
        scope: Scope<'b, '_>,
    ) -> QueryResult<()> {
        let parts = &self.plan.parts;
        out.push_sql("SELECT ");
        if let Some((place, walk)) = selection.behind {
            self.behind(out, place, walk)?;
            out.push_sql(", ");
        }
        if selection.columns {
            for key in &self.plan.keys {
                key.expression.walk_ast(out.reborrow())?;
                out.push_sql(", ");
            }
            parts.select.walk_ast(out.reborrow())?;
        } else {
            out.push_sql("1");
        }
        parts.from.walk_ast(out.reborrow())?;
        if let Some(filter) = &parts.filter {
            out.push_sql(" WHERE (");
            filter.walk_ast(out.reborrow())?;
            out.push_sql(")");
        }
        for (index, term) in scope.branch.iter().enumerate() {
            let first = index == 0 && parts.filter.is_none();
            out.push_sql(if first { " WHERE " } else { " AND " });
            self.term(out, term, scope.place)?;
        }
        Ok(())
    }

    fn term<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, DB>,
        term: &Term,
        place: &'b [Value],
    ) -> QueryResult<()> {
        let keys = &self.plan.keys;
        match term {
            Term::IsNull(key) | Term::IsNotNull(key) => {
                keys[*key].expression.walk_ast(out.reborrow())?;
                let is = if matches!(term, Term::IsNull(_)) { " IS NULL" } else { " IS NOT NULL" };
                out.push_sql(is);
                Ok(())
            }
            Term::Equal(key) => {
                keys[*key].expression.walk_ast(out.reborrow())?;
                out.push_sql(" = ");
                (keys[*key].bind)(&place[*key], out.reborrow())
            }
            Term::Beyond { keys: run, comparison } => {
                let (keys, place) = (&keys[run.clone()], &place[run.clone()]);
                let [open, close] = if keys.len() > 1 { ["(", ")"] } else { ["", ""] };
                out.push_sql(open);
                for (index, key) in keys.iter().enumerate() {
                    out.push_sql(if index == 0 { "" } else { ", " });
                    key.expression.walk_ast(out.reborrow())?;
                }
                out.push_sql(&format!("{close} {comparison} {open}"));
                for (index, (key, value)) in keys.iter().zip(place).enumerate() {
                    out.push_sql(if index == 0 { "" } else { ", " });
                    (key.bind)(value, out.reborrow())?;
                }
                out.push_sql(close);
                Ok(())
            }
        }
    }

    /// Whether there are rows at the place, or on the side of it that is not walked to.
    ///
    /// Not `EXISTS`: PostgreSQL drops the order and the limit in it, and then may look for the first
    /// row with a scan of the table. Most often the row of the cursor is still there, and a look at it
    /// is all that is done.
    fn behind<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, DB>,
        place: &'b [Value],
        walk: Walk,
    ) -> QueryResult<()> {
        let back = walk.reversed();
        let branches = branch::at_or_beyond(&self.plan.rules, &nulls(place), back);
        let selection = Selection { columns: false, behind: None };
        out.push_sql("(");
        for (index, branch) in branches.iter().enumerate() {
            out.push_sql(if index == 0 { "(" } else { " OR (" });
            self.select(out, selection, Scope { place, branch })?;
            self.order_and_limit(out, back, 1)?;
            out.push_sql(") IS NOT NULL");
        }
        out.push_sql(")");
        Ok(())
    }

    fn order_and_limit<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, DB>,
        walk: Walk,
        limit: usize,
    ) -> QueryResult<()> {
        out.push_sql(" ORDER BY ");
        for (index, (key, direction)) in
            self.plan.keys.iter().zip(self.plan.directions(walk)).enumerate()
        {
            out.push_sql(if index == 0 { "" } else { ", " });
            key.expression.walk_ast(out.reborrow())?;
            out.push_sql(&direction);
        }
        out.push_sql(&format!(" LIMIT {limit}"));
        Ok(())
    }

    fn count<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>, select: &str) -> QueryResult<()> {
        let parts = &self.plan.parts;
        out.push_sql(select);
        parts.from.walk_ast(out.reborrow())?;
        if let Some(filter) = &parts.filter {
            out.push_sql(" WHERE ");
            filter.walk_ast(out.reborrow())?;
        }
        Ok(())
    }
}

fn nulls(place: &[Value]) -> Vec<bool> {
    place.iter().map(Value::is_null).collect()
}

/// Its text depends on which values of the place are NULL, which the type does not tell.
impl<DB: KeysetBackend> QueryId for Statement<'_, '_, DB> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB: KeysetBackend> Query for Statement<'_, '_, DB> {
    type SqlType = ();
}
