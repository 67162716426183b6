//! Whether a write's `RETURNING` clause can be extended, and how.
//!
//! A write knows better than its text which rows it touches: serial keys, defaults, triggers and
//! conditions are all settled when it answers. Somebody who needs to know appends columns to its
//! `RETURNING` clause and takes them away again before the caller sees the answer. That must never
//! change what the write does or make it fail, so the default is not to: only the shapes below are
//! extended, and only at the end of the text.
//!
//! The clause tells *every* row that the statement itself changes, however they were chosen; so it
//! does not matter whether the condition has subqueries. What triggers, rules and cascades change,
//! and what they make of the row later, it does not tell: that is for the catalog to rule out.

use sqlparser::ast::{
    self, Delete, Expr, FromTable, Ident, Insert, ObjectName, Query, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SqliteOnConflict, TableAlias, TableFactor,
    TableObject, TableWithJoins, Update, With,
};

use crate::{
    Dialect, builtins,
    pins::unnest,
    scope::{Block, Relation, Source},
};

/// The `RETURNING` clause of a write, present or not, that columns can be appended to.
///
/// Only a plan of one `INSERT`, `UPDATE` or `DELETE` that changes one table has it (see
/// [`Plan::returning`](crate::Plan::returning)). `Display` writes it as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    dialect: Dialect,
    relation: Box<str>,
    items: Option<Vec<Returned>>,
}

/// What an item of a `RETURNING` clause yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// One output column: this column of the target, under whatever alias, if the target has such a
    /// column. If the catalog knows none, the name means something else (a whole row, a system
    /// column, a string in SQLite).
    Column(Box<str>),
    /// All columns of the target, in the order of the catalog.
    All,
    /// One output column: anything else.
    Expression,
    /// Any number of output columns.
    Several,
}

impl Returning {
    /// The items that the statement returns already, in order; none if it has no such clause.
    ///
    /// Appended columns follow them, so they are always the last of the answer.
    #[must_use]
    pub fn items(&self) -> Option<&[Returned]> {
        self.items.as_deref()
    }

    /// The name that qualifies the target's columns, folded to the catalog's case.
    #[must_use]
    pub fn relation(&self) -> &str {
        &self.relation
    }

    /// The statement with these columns of its target appended to what it returns.
    ///
    /// In PostgreSQL their values come as text. That a column has changed its type then neither fails
    /// a statement that was prepared before, as another type of the result would, nor the conversion.
    ///
    /// They tell rows as they are after an `INSERT` or `UPDATE`, and as they were before a `DELETE`.
    /// The text must be that of the plan, and the target must have the columns.
    ///
    /// ```
    /// use turbodiesel_sql::{Dialect, plan};
    ///
    /// let sql = r#"UPDATE "users" SET "name" = $1 WHERE "users"."id" = $2"#;
    /// let plan = plan(Dialect::Postgres, sql);
    /// let returning = plan.returning().unwrap();
    /// assert_eq!(returning.items(), None);
    /// assert_eq!(
    ///     returning.extend(sql, &["id", "team_id"]),
    ///     r#"UPDATE "users" SET "name" = $1 WHERE "users"."id" = $2 RETURNING "users"."id"::text, "users"."team_id"::text"#,
    /// );
    /// ```
    #[must_use]
    pub fn extend(&self, sql: &str, columns: &[&str]) -> String {
        self.append(sql, columns.iter().map(|column| (&*self.relation, *column)))
    }

    /// Whether the values of appended columns come as text, whatever the columns' types.
    #[must_use]
    pub fn appends_text(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// As [`extend`](Self::extend), then these columns of the rows as they were before the write
    /// (`old.column`): NULL for a row that was inserted.
    ///
    /// PostgreSQL knows this from version 18 on. `None` where it never does: in SQLite, and where
    /// the target itself is called `old` or `new`.
    #[must_use]
    pub fn extend_with_old(&self, sql: &str, columns: &[&str], old: &[&str]) -> Option<String> {
        if self.dialect != Dialect::Postgres || ["old", "new"].contains(&&*self.relation) {
            return None;
        }
        let columns = columns.iter().map(|column| (&*self.relation, *column));
        let old = old.iter().map(|column| ("old", *column));
        Some(self.append(sql, columns.chain(old)))
    }

    fn append<'c>(&self, sql: &str, columns: impl Iterator<Item = (&'c str, &'c str)>) -> String {
        let cast = if self.appends_text() { "::text" } else { "" };
        let columns: Vec<_> =
            columns.map(|(of, column)| format!("{}.{}{cast}", quote(of), quote(column))).collect();
        if columns.is_empty() {
            return sql.to_owned();
        }
        let (statement, rest) = sql.split_at(sql.trim_end_matches(may_follow).len());
        let glue = if self.items.is_some() { ", " } else { " RETURNING " };
        [statement, glue, &columns.join(", "), rest].concat()
    }
}

/// What may stand behind the last token of a statement that is extended. [`tokens`](crate::tokens)
/// sees to it that there is no comment among it.
fn may_follow(c: char) -> bool {
    c == ';' || c.is_ascii_whitespace()
}

/// Both databases take a quoted and qualified name for a column and nothing else.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The `RETURNING` clause of a parsed statement that writes one table.
///
/// The walk has refused what other dialects allow within these statements, so the fields that are
/// not looked at here are empty.
pub(crate) fn returning(dialect: Dialect, statement: &ast::Statement) -> Option<Returning> {
    let (name, alias, items) = match written(statement)? {
        ast::Statement::Insert(insert) => of_insert(insert)?,
        ast::Statement::Update(update) => of_update(update)?,
        ast::Statement::Delete(delete) => of_delete(delete)?,
        _ => return None,
    };
    let table = dialect.fold_name(name)?;
    let relation = match alias {
        // Not every version of SQLite knows the alias in `RETURNING`, nor the name that it hides.
        Some(_) if dialect == Dialect::Sqlite => return None,
        Some(alias) => dialect.fold(alias),
        None => table.name.clone(),
    };
    // Nothing else is in scope: neither `excluded` nor the relations of subqueries.
    let source = Source::Target { target: 0, table };
    let scope = Block {
        relations: vec![Relation::new(Some(relation.clone()), source)],
        ..Block::default()
    };
    let items = items.map(|items| items.iter().map(|item| returned(dialect, &scope, item)));
    Some(Returning { dialect, relation, items: items.map(Iterator::collect) })
}

/// The statement itself, behind its CTEs. That these only read is for the plan to tell.
fn written(statement: &ast::Statement) -> Option<&ast::Statement> {
    let ast::Statement::Query(query) = statement else { return Some(statement) };
    let Query {
        with: Some(With { with_token: _, recursive: _, cte_tables: _ }),
        body,
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks,
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators,
    } = &**query
    else {
        return None;
    };
    match &**body {
        SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement)
            if locks.is_empty() && pipe_operators.is_empty() =>
        {
            Some(statement)
        }
        _ => None,
    }
}

/// The target's name as written, its alias, and what is returned.
type Parts<'a> = (&'a ObjectName, Option<&'a Ident>, Option<&'a [SelectItem]>);

/// `OR IGNORE` returns what it did not ignore. `OR REPLACE` deletes rows that it does not tell, and
/// `OR FAIL` keeps changes of which its error tells nothing.
fn of_insert(insert: &Insert) -> Option<Parts<'_>> {
    let Insert { or, replace_into: false, table, table_alias, returning, .. } = insert else {
        return None;
    };
    let (None | Some(SqliteOnConflict::Ignore), TableObject::TableName(name)) = (or, table) else {
        return None;
    };
    let alias = table_alias.as_ref().map(|alias| &alias.alias);
    Some((name, alias, returning.as_deref()))
}

/// Not with `FROM`: other relations are in scope then, and `*` means theirs too.
fn of_update(update: &Update) -> Option<Parts<'_>> {
    let Update { table, from: None, returning, or: None, order_by, limit: None, .. } = update
    else {
        return None;
    };
    let (name, alias) = target(table)?;
    order_by.is_empty().then_some((name, alias, returning.as_deref()))
}

/// Not with `USING`, like [`of_update`].
fn of_delete(delete: &Delete) -> Option<Parts<'_>> {
    let Delete {
        tables,
        from: FromTable::WithFromKeyword(from),
        using: None,
        returning,
        order_by,
        limit: None,
        ..
    } = delete
    else {
        return None;
    };
    let ([table], [], []) = (from.as_slice(), tables.as_slice(), order_by.as_slice()) else {
        return None;
    };
    let (name, alias) = target(table)?;
    Some((name, alias, returning.as_deref()))
}

fn target(table: &TableWithJoins) -> Option<(&ObjectName, Option<&Ident>)> {
    let TableWithJoins { relation: TableFactor::Table { name, alias, .. }, joins } = table else {
        return None;
    };
    match alias {
        _ if !joins.is_empty() => None,
        None => Some((name, None)),
        Some(TableAlias { explicit: _, name: alias, columns, at: None }) if columns.is_empty() => {
            Some((name, Some(alias)))
        }
        Some(_) => None,
    }
}

fn returned(dialect: Dialect, scope: &Block<'_>, item: &SelectItem) -> Returned {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, alias: _ } => {
            match column(dialect, scope, unnest(expr)) {
                Some(column) => Returned::Column(column),
                None => Returned::Expression,
            }
        }
        SelectItem::Wildcard(_) => Returned::All,
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)
            if is_target(dialect, scope, name) =>
        {
            Returned::All
        }
        SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => Returned::Several,
    }
}

fn column(dialect: Dialect, scope: &Block<'_>, expr: &Expr) -> Option<Box<str>> {
    match expr {
        Expr::Identifier(word)
            if word.quote_style.is_none()
                && builtins::is_bare_call(dialect, &dialect.fold(word)) =>
        {
            None
        }
        expr => scope.resolve(dialect, expr).map(|(_, column)| column),
    }
}

fn is_target(dialect: Dialect, scope: &Block<'_>, name: &ObjectName) -> bool {
    let exposed = scope.relations.first().and_then(|relation| relation.exposed.as_ref());
    match dialect.fold_name(name) {
        Some(name) => name.schema.is_none() && Some(&name.name) == exposed,
        None => false,
    }
}
