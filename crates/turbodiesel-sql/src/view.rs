//! From the definition of a view to the plan of its body.

use turbodiesel_core::Bypass;

use crate::{Dialect, Plan, statement, tokens};

/// Plans the query inside a `CREATE VIEW` statement, as SQLite keeps it in its schema.
///
/// What is not such a statement gives a plan that is refused.
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
    let refused = || statement::unknown(Bypass::NotUnderstood, "no view");
    let Ok(statement) = tokens::statement(dialect, definition) else { return refused() };
    // Names and columns come before the body, and none of them is an unquoted `AS`.
    let body = (0..statement.tokens.len()).find(|index| statement.is_word(*index, "AS"));
    match body {
        Some(index)
            if statement.is_word(0, "CREATE")
                && (1..index).any(|i| statement.is_word(i, "VIEW")) =>
        {
            statement::plan_query(dialect, &statement.skip(index + 1))
        }
        _ => refused(),
    }
}
