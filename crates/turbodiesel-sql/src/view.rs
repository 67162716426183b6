//! From the definition of a view to the plan of its body.

use sqlparser::{ast::Statement, dialect, parser::Parser};

use crate::{Dialect, Plan, plan};

/// Plans the query inside a `CREATE VIEW` statement, as SQLite keeps it in its schema.
///
/// What is not such a statement gives the plan of an empty one, which is refused.
///
/// ```
/// use turbodiesel_sql::{Dialect, plan_view};
///
/// let plan = plan_view(Dialect::Sqlite, "CREATE VIEW late(id) AS SELECT id FROM orders WHERE due");
/// assert_eq!(plan.reads().map(|table| &*table.name).collect::<Vec<_>>(), ["orders"]);
/// assert!(plan_view(Dialect::Sqlite, "CREATE TABLE t (id)").refusal().is_some());
/// ```
#[must_use]
pub fn plan_view(dialect: Dialect, definition: &str) -> Plan {
    let parsed = match dialect {
        Dialect::Postgres => Parser::parse_sql(&dialect::PostgreSqlDialect {}, definition),
        Dialect::Sqlite => Parser::parse_sql(&dialect::SQLiteDialect {}, definition),
    };
    match parsed.as_deref() {
        Ok([Statement::CreateView(view)]) => plan(dialect, &view.query.to_string()),
        _ => plan(dialect, ""),
    }
}
