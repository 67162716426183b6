//! What a statement does to the session that runs it.

use turbodiesel_sql::{Kind, Plan};

/// A change that outlives the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// None.
    None,
    /// One that the end of the transaction undoes: `SET LOCAL`, `LOCK`, a savepoint.
    UntilTransactionEnds,
    /// One that stays: `SET`, `LISTEN`, a temporary table, or nobody knows what.
    Session,
    /// A transaction begins or ends.
    Transaction,
}

/// What a statement changes, with doubt resolved towards more.
pub(crate) fn change(plan: &Plan, sql: &str) -> Change {
    match plan.kind() {
        Kind::Transaction => match first_word(sql).as_str() {
            "SET" | "LOCK" | "SAVEPOINT" | "RELEASE" => Change::UntilTransactionEnds,
            _ => Change::Transaction,
        },
        Kind::Session if sets_locally(sql) => Change::UntilTransactionEnds,
        Kind::Session | Kind::Unknown => Change::Session,
        _ => Change::None,
    }
}

/// The first word in upper case, empty where the text starts with something else, as a comment.
fn first_word(sql: &str) -> String {
    sql.trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_uppercase()
}

/// Whether the text calls `set_config`, and always with a literal `true` at the end, its `is_local`.
///
/// A call is read up to its first `)`. If that is inside a string, the quotes before it are odd in
/// number; texts that quote in other ways are not read.
fn sets_locally(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let quotes_otherwise = sql.contains(['\\', '"', '/'])
        || sql.contains("--")
        || sql.split('$').skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    let mut calls = sql.split("set_config").skip(1).peekable();
    calls.peek().is_some()
        && !quotes_otherwise
        && calls.all(|call| {
            let call = call.trim_start();
            let Some((arguments, _)) = call.strip_prefix('(').and_then(|it| it.split_once(')'))
            else {
                return false;
            };
            let last = arguments.rsplit(',').next().map(str::trim);
            arguments.matches('\'').count().is_multiple_of(2) && last == Some("true")
        })
}

#[cfg(test)]
mod tests {
    use turbodiesel_sql::{Dialect, plan};

    use super::*;

    #[test]
    fn changes() {
        for (sql, expected) in [
            ("SELECT 1", Change::None),
            ("UPDATE t SET a = 1", Change::None),
            ("SET LOCAL app.tenant = '7'", Change::UntilTransactionEnds),
            ("LOCK TABLE t", Change::UntilTransactionEnds),
            ("SET app.tenant = '7'", Change::Session),
            ("LISTEN x", Change::Session),
            ("CREATE TEMP TABLE t (id int)", Change::Session),
            ("BEGIN", Change::Transaction),
            ("/* hidden */ COMMIT", Change::Transaction),
            ("ROLLBACK", Change::Transaction),
            ("SELECT set_config('app.tenant', $1, true)", Change::UntilTransactionEnds),
            ("SELECT set_config('app.tenant', $1, false)", Change::Session),
            ("SELECT set_config('app.tenant', $1, $2)", Change::Session),
            ("SELECT set_config('a', 'b, true)', false)", Change::Session),
            ("SELECT set_config('a', $x$b, true)$x$, false)", Change::Session),
            ("not a statement at all", Change::Session),
        ] {
            assert_eq!(change(&plan(Dialect::Postgres, sql), sql), expected, "{sql}");
        }
    }
}
