//! What a statement does to the session that runs it.

use turbodiesel_sql::{Kind, Plan};

/// A change that outlives the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// None.
    None,
    /// One that the end of the transaction undoes and that changes no answer: `LOCK`, a savepoint,
    /// `SET LOCAL` of a parameter of the application's own.
    Harmless,
    /// One that the end of the transaction undoes, and until then names may mean other tables:
    /// `SET LOCAL search_path`, `SET LOCAL ROLE`.
    Names,
    /// One that stays: `SET`, `LISTEN`, a temporary table, or nobody knows what.
    Session,
    /// A transaction begins or ends, behind the transaction manager's back.
    Transaction,
}

/// Parameters that have no say in what a statement reads or writes.
const HARMLESS: &[&str] = &[
    "application_name",
    "commit_delay",
    "deadlock_timeout",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "synchronous_commit",
    "work_mem",
];

/// What a statement changes, with doubt resolved towards more.
pub(crate) fn change(plan: &Plan, sql: &str) -> Change {
    match plan.kind() {
        Kind::Transaction => match &words(sql)[..] {
            [first, ..] if matches!(&**first, "lock" | "savepoint" | "release") => Change::Harmless,
            [set, what, ..] if set == "set" && matches!(&**what, "transaction" | "constraints") => {
                Change::Harmless
            }
            [set, local, name, ..] if set == "set" && local == "local" => of_setting(name),
            _ => Change::Transaction,
        },
        Kind::Session => local_settings(sql).unwrap_or(Change::Session),
        Kind::Unknown => Change::Session,
        _ => Change::None,
    }
}

/// The first words, folded; none where the text starts with something else, as a comment.
fn words(sql: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    sql.split(|c: char| c.is_ascii_whitespace() || c == '=')
        .filter(|word| !word.is_empty())
        .take(3)
        .take_while(|word| word.chars().all(is_word))
        .map(str::to_ascii_lowercase)
        .collect()
}

fn of_setting(name: &str) -> Change {
    // A name with a dot is an extension's or the application's own.
    if name.contains('.') || HARMLESS.contains(&name) { Change::Harmless } else { Change::Names }
}

/// What the calls of `set_config` in a text change, if all of them end with the transaction: each
/// has three arguments, a literal name first and a literal `true`, its `is_local`, last.
///
/// A call is read up to its first `)`. If that is inside a string, the quotes before it are odd in
/// number; texts that quote in other ways are not read.
fn local_settings(sql: &str) -> Option<Change> {
    let sql = sql.to_ascii_lowercase();
    let quotes_otherwise = sql.contains(['\\', '"', '/'])
        || sql.contains("--")
        || sql.split('$').skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    if quotes_otherwise {
        return None;
    }
    let changes: Option<Vec<Change>> = sql
        .split("set_config")
        .skip(1)
        .map(|call| {
            let (arguments, _) = call.trim_start().strip_prefix('(')?.split_once(')')?;
            let name =
                arguments.split(',').next()?.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            let is_local = arguments.rsplit(',').next()?.trim() == "true";
            let is_whole = arguments.matches('\'').count().is_multiple_of(2);
            (is_local && is_whole).then(|| of_setting(name))
        })
        .collect();
    let changes = changes?;
    let harmless = changes.iter().all(|change| *change == Change::Harmless);
    match changes.is_empty() {
        true => None,
        false => Some(if harmless { Change::Harmless } else { Change::Names }),
    }
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
            ("SET LOCAL app.tenant = '7'", Change::Harmless),
            ("set local lock_timeout='1s'", Change::Harmless),
            ("SET TRANSACTION READ ONLY", Change::Harmless),
            ("SET CONSTRAINTS ALL DEFERRED", Change::Harmless),
            ("LOCK TABLE t", Change::Harmless),
            ("SAVEPOINT a", Change::Harmless),
            ("SET LOCAL search_path = other", Change::Names),
            ("SET LOCAL ROLE admin", Change::Names),
            ("SET LOCAL \"search_path\" = other", Change::Transaction),
            ("SET app.tenant = '7'", Change::Session),
            ("LISTEN x", Change::Session),
            ("CREATE TEMP TABLE t (id int)", Change::Session),
            ("BEGIN", Change::Transaction),
            ("/* hidden */ COMMIT", Change::Transaction),
            ("ROLLBACK", Change::Transaction),
            ("SELECT set_config('app.tenant', $1, true)", Change::Harmless),
            ("SELECT set_config('search_path', $1, true)", Change::Names),
            ("SELECT set_config($1, 'x', true)", Change::Session),
            ("SELECT set_config('app.tenant', $1, false)", Change::Session),
            ("SELECT set_config('app.tenant', $1, $2)", Change::Session),
            ("SELECT set_config('a.a', 'b, true)', false)", Change::Session),
            ("SELECT set_config('a.a', $x$b, true)$x$, false)", Change::Session),
            ("not a statement at all", Change::Session),
        ] {
            assert_eq!(change(&plan(Dialect::Postgres, sql), sql), expected, "{sql}");
        }
    }
}
