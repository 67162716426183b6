//! Plans of statements, compared with what a careful reader finds in them.

mod control;
mod diesel_sql;
mod names;
mod pins;
mod reads;
mod refusals;
mod returning;
mod robustness;
mod soundness;
mod views;
mod write_soundness;
mod writes;

use expect_test::Expect;
use turbodiesel_sql::{Dialect, plan};

/// Compares the plan of a PostgreSQL statement.
fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&plan(Dialect::Postgres, sql).to_string());
}

/// Compares the plan of an SQLite statement.
fn check_sqlite(sql: &str, expected: Expect) {
    expected.assert_eq(&plan(Dialect::Sqlite, sql).to_string());
}

/// Compares the last line of each of the statements' plans with its statement.
fn check_last_lines(dialect: Dialect, statements: &[&str], expected: Expect) {
    let line = |sql: &&str| {
        let plan = plan(dialect, sql).to_string();
        format!("{sql}\n    {}\n", plan.lines().last().unwrap())
    };
    expected.assert_eq(&statements.iter().map(line).collect::<String>());
}

/// Compares the whole plan of each of the statements, in one line, with its statement.
fn check_all(dialect: Dialect, statements: &[&str], expected: Expect) {
    let line = |sql: &&str| {
        let plan = plan(dialect, sql).to_string().replace('\n', "; ");
        format!("{sql}\n    {plan}\n")
    };
    expected.assert_eq(&statements.iter().map(line).collect::<String>());
}
