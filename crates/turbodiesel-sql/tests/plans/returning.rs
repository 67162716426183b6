//! Which writes can be asked to return more, and what they return then.

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types::Text,
};
use expect_test::{Expect, expect};
use turbodiesel_sql::{Dialect, plan};

/// Compares what statements return, and their text when `k` is asked for too.
fn check(dialect: Dialect, statements: &[&str], expected: Expect) {
    let line = |sql: &&str| {
        let plan = plan(dialect, sql);
        let returning = plan.returning().expect(sql);
        format!("{returning}\n    {}\n", returning.extend(sql, &["k"]))
    };
    expected.assert_eq(&statements.iter().map(line).collect::<String>());
}

/// Asserts that none of the statements can be extended.
fn check_none(dialect: Dialect, statements: &[&str]) {
    for sql in statements {
        assert_eq!(plan(dialect, sql).returning(), None, "{sql}");
    }
}

#[test]
fn writes_of_one_table() {
    check(
        Dialect::Postgres,
        &[
            r#"INSERT INTO "users" ("name") VALUES ($1)"#,
            "INSERT INTO t DEFAULT VALUES",
            "INSERT INTO t SELECT a AS returning FROM u",
            "INSERT INTO t SELECT a FROM u FOR UPDATE",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (lower(a)) DO UPDATE SET b = excluded.b WHERE t.c",
            r#"UPDATE "users" SET "name" = $1 WHERE ("users"."id" = $2)"#,
            "UPDATE ONLY t SET a = 1 WHERE id IN (SELECT id FROM u LIMIT 1)",
            "DELETE FROM t WHERE id = $1",
        ],
        expect![[r#"
            nothing of users
                INSERT INTO "users" ("name") VALUES ($1) RETURNING "users"."k"::text
            nothing of t
                INSERT INTO t DEFAULT VALUES RETURNING "t"."k"::text
            nothing of t
                INSERT INTO t SELECT a AS returning FROM u RETURNING "t"."k"::text
            nothing of t
                INSERT INTO t SELECT a FROM u FOR UPDATE RETURNING "t"."k"::text
            nothing of t
                INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING RETURNING "t"."k"::text
            nothing of t
                INSERT INTO t (a) VALUES (1) ON CONFLICT (lower(a)) DO UPDATE SET b = excluded.b WHERE t.c RETURNING "t"."k"::text
            nothing of users
                UPDATE "users" SET "name" = $1 WHERE ("users"."id" = $2) RETURNING "users"."k"::text
            nothing of t
                UPDATE ONLY t SET a = 1 WHERE id IN (SELECT id FROM u LIMIT 1) RETURNING "t"."k"::text
            nothing of t
                DELETE FROM t WHERE id = $1 RETURNING "t"."k"::text
        "#]],
    );
}

#[test]
fn what_is_returned_already() {
    check(
        Dialect::Postgres,
        &[
            r#"INSERT INTO "users" ("name") VALUES ($1) RETURNING "users"."id", "users"."name""#,
            "DELETE FROM t RETURNING id, (k) AS renamed, t.a b",
            "UPDATE t SET a = 1 RETURNING *",
            "UPDATE t SET a = 1 RETURNING t.*, id, other.*",
            "UPDATE s.t SET a = 1 RETURNING s.t.id, u.t.id, x.id",
            "DELETE FROM t RETURNING a + 1, lower(b), $1, 'x', nextval('s'), a::text, (SELECT 1), a[1], current_user, user, current_schema, localtimestamp",
            "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a, excluded.b",
            "DELETE FROM t RETURNING old.id, new.id, old.*, old",
        ],
        expect![[r#"
            id, name of users
                INSERT INTO "users" ("name") VALUES ($1) RETURNING "users"."id", "users"."name", "users"."k"::text
            id, k, a of t
                DELETE FROM t RETURNING id, (k) AS renamed, t.a b, "t"."k"::text
            * of t
                UPDATE t SET a = 1 RETURNING *, "t"."k"::text
            *, id, ?? of t
                UPDATE t SET a = 1 RETURNING t.*, id, other.*, "t"."k"::text
            id, ?, ? of t
                UPDATE s.t SET a = 1 RETURNING s.t.id, u.t.id, x.id, "t"."k"::text
            ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? of t
                DELETE FROM t RETURNING a + 1, lower(b), $1, 'x', nextval('s'), a::text, (SELECT 1), a[1], current_user, user, current_schema, localtimestamp, "t"."k"::text
            a, ? of t
                INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a, excluded.b, "t"."k"::text
            ?, ?, ??, old of t
                DELETE FROM t RETURNING old.id, new.id, old.*, old, "t"."k"::text
        "#]],
    );
}

// The alias hides the table's name; quoting is right whatever the name.
#[test]
fn the_name_that_qualifies_columns() {
    check(
        Dialect::Postgres,
        &[
            "UPDATE Users AS U SET a = 1 RETURNING u.id, users.id",
            "DELETE FROM public.users x",
            "INSERT INTO t AS x (a) VALUES (1)",
            r#"UPDATE "Odd ""one""" SET a = 1"#,
            r#"UPDATE s."T" AS "Select" SET a = 1"#,
        ],
        expect![[r#"
            id, ? of u
                UPDATE Users AS U SET a = 1 RETURNING u.id, users.id, "u"."k"::text
            nothing of x
                DELETE FROM public.users x RETURNING "x"."k"::text
            nothing of x
                INSERT INTO t AS x (a) VALUES (1) RETURNING "x"."k"::text
            nothing of Odd "one"
                UPDATE "Odd ""one""" SET a = 1 RETURNING "Odd ""one"""."k"::text
            nothing of Select
                UPDATE s."T" AS "Select" SET a = 1 RETURNING "Select"."k"::text
        "#]],
    );
}

#[test]
fn ctes_that_only_read() {
    check(
        Dialect::Postgres,
        &[
            "WITH s AS (SELECT id FROM u) DELETE FROM t WHERE id IN (SELECT id FROM s)",
            "WITH s AS (SELECT id FROM u) INSERT INTO t SELECT * FROM s RETURNING id",
            "WITH RECURSIVE s AS (SELECT 1) UPDATE t SET a = 1",
        ],
        expect![[r#"
            nothing of t
                WITH s AS (SELECT id FROM u) DELETE FROM t WHERE id IN (SELECT id FROM s) RETURNING "t"."k"::text
            id of t
                WITH s AS (SELECT id FROM u) INSERT INTO t SELECT * FROM s RETURNING id, "t"."k"::text
            nothing of t
                WITH RECURSIVE s AS (SELECT 1) UPDATE t SET a = 1 RETURNING "t"."k"::text
        "#]],
    );
}

#[test]
fn the_end_of_the_text() {
    let extended =
        |sql: &str| plan(Dialect::Postgres, sql).returning().map(|r| r.extend(sql, &["k"]));
    assert_eq!(
        extended("DELETE FROM t ; ;\n").unwrap(),
        "DELETE FROM t RETURNING \"t\".\"k\"::text ; ;\n"
    );
    assert_eq!(
        extended("/* why */ DELETE FROM t -- all of it\n WHERE true \t\r\n").unwrap(),
        "/* why */ DELETE FROM t -- all of it\n WHERE true RETURNING \"t\".\"k\"::text \t\r\n",
    );
    assert_eq!(
        extended("DELETE FROM t WHERE a = ';  '").unwrap(),
        "DELETE FROM t WHERE a = ';  ' RETURNING \"t\".\"k\"::text",
    );
    for sql in ["DELETE FROM t -- all", "DELETE FROM t /* all */ ;", "DELETE FROM t; -- all\n"] {
        assert_eq!(extended(sql), None, "{sql}");
    }
}

#[test]
fn other_statements_are_left_alone() {
    check_none(
        Dialect::Postgres,
        &[
            "SELECT 1 FROM t",
            "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE",
            "UPDATE t SET a = u.a FROM u WHERE u.id = t.id",
            "DELETE FROM t USING u WHERE u.id = t.id",
            "WITH x AS (DELETE FROM u RETURNING *) DELETE FROM t WHERE id IN (SELECT id FROM x)",
            "WITH x AS (DELETE FROM t RETURNING *) DELETE FROM t WHERE id = 2",
            "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
            "WITH x AS (INSERT INTO t VALUES (1)) SELECT 1",
            "WITH x AS (SELECT dblink_exec('DELETE FROM u')) DELETE FROM t",
            "INSERT INTO t SELECT lo_unlink(1)",
            "UPDATE t AS x (a, b) SET a = 1",
            "UPDATE t SET a = 1 WHERE CURRENT OF c",
            "DELETE FROM t WHERE CURRENT OF c",
            "DELETE FROM pg_class",
            "TRUNCATE t",
            "COPY t FROM STDIN",
            "COPY (DELETE FROM t RETURNING *) TO STDOUT",
            "EXPLAIN ANALYZE DELETE FROM t",
            "PREPARE x AS DELETE FROM t",
            "DELETE FROM t; DELETE FROM u",
            "UPDATE t SET a = 1 RETURNING WITH (OLD AS o) o.a",
            "UPDATE t SET a[1] = 1",
            "UPDATE t SET a = 1 RETURNING (t).*",
            "SELECT * INTO new FROM t",
        ],
    );
    check_none(
        Dialect::Sqlite,
        &[
            "REPLACE INTO t VALUES (1)",
            "INSERT OR REPLACE INTO t VALUES (1)",
            "INSERT OR FAIL INTO t VALUES (1)",
            "INSERT OR ROLLBACK INTO t VALUES (1)",
            "UPDATE OR REPLACE t SET a = 1",
            "UPDATE OR FAIL t SET a = 1",
            "UPDATE OR IGNORE t SET a = 1",
            "UPDATE t SET a = 1 LIMIT 1",
            "DELETE FROM t ORDER BY a LIMIT 1",
            "UPDATE t SET a = 1 FROM u",
            // It does not know the alias in RETURNING, as a test below shows.
            "UPDATE t AS x SET a = 1",
            "DELETE FROM t AS x",
            "INSERT INTO t AS x VALUES (1)",
        ],
    );
}

#[test]
fn rows_as_they_were() {
    let extended = |dialect, sql| {
        plan(dialect, sql).returning().unwrap().extend_with_old(sql, &["k", "id"], &["k"])
    };
    assert_eq!(
        extended(Dialect::Postgres, "UPDATE t AS x SET k = 1 RETURNING a").unwrap(),
        r#"UPDATE t AS x SET k = 1 RETURNING a, "x"."k"::text, "x"."id"::text, "old"."k"::text"#,
    );
    assert_eq!(extended(Dialect::Postgres, "UPDATE old SET k = 1"), None);
    assert_eq!(extended(Dialect::Postgres, "UPDATE t AS New SET k = 1"), None);
    assert_eq!(extended(Dialect::Sqlite, "UPDATE t SET k = 1"), None);
}

#[test]
fn nothing_is_appended_for_nothing() {
    let sql = "DELETE FROM t";
    let plan = plan(Dialect::Postgres, sql);
    assert_eq!(plan.returning().unwrap().extend(sql, &[]), sql);
}

#[derive(diesel::QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    k: String,
}

/// Every form of a write, on a real SQLite: what it returns by itself is still there, and the
/// appended column tells the rows' `k`.
#[test]
fn sqlite_returns_what_is_appended() {
    let cases = [
        ("INSERT INTO t VALUES ('1', 'a')", vec![("-", "a")]),
        ("INSERT INTO t (id) VALUES ('2'), ('3') RETURNING id", vec![("2", "d"), ("3", "d")]),
        (
            "INSERT INTO t SELECT id + 10, k FROM t RETURNING id;",
            vec![("11", "a"), ("12", "d"), ("13", "d")],
        ),
        ("INSERT INTO t DEFAULT VALUES", vec![("-", "d")]),
        ("INSERT OR IGNORE INTO t VALUES ('1', 'x'), ('4', 'b')", vec![("-", "b")]),
        (
            "INSERT INTO t VALUES ('1', 'x') ON CONFLICT (id) DO UPDATE SET k = k || excluded.k RETURNING id",
            vec![("1", "ax")],
        ),
        ("INSERT INTO t SELECT id, 'y' FROM t WHERE id = '1' ON CONFLICT (id) DO NOTHING", vec![]),
        (
            "UPDATE main.t SET k = 'u' WHERE id IN ('1', '4') RETURNING id",
            vec![("1", "u"), ("4", "u")],
        ),
        (
            "WITH s AS (SELECT '4' AS id) DELETE FROM T WHERE id IN (SELECT id FROM s) RETURNING t.ID",
            vec![("4", "u")],
        ),
        (r#"DELETE FROM [t] WHERE "id" = '1'"#, vec![("-", "u")]),
    ];
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    connection.batch_execute("CREATE TABLE t (id TEXT PRIMARY KEY, k TEXT DEFAULT 'd')").unwrap();
    for (sql, expected) in cases {
        let plan = plan(Dialect::Sqlite, sql);
        let returning = plan.returning().expect(sql);
        let extended = match returning.items() {
            Some(_) => returning.extend(sql, &["k"]),
            None => {
                // An item of our own, for `Answer` needs two columns.
                let sql = format!("{sql} RETURNING '-' AS id");
                turbodiesel_sql::plan(Dialect::Sqlite, &sql)
                    .returning()
                    .unwrap()
                    .extend(&sql, &["k"])
            }
        };
        let rows = diesel::sql_query(&extended).load::<Answer>(&mut connection).expect(&extended);
        let rows: Vec<_> = rows.iter().map(|row| (&*row.id, &*row.k)).collect();
        assert_eq!(rows, expected, "{extended}");
    }
}

// Should this fail with a newer SQLite: other versions will still be in use.
#[test]
fn sqlite_does_not_know_an_alias() {
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    connection.batch_execute("CREATE TABLE t (id INT)").unwrap();
    connection.batch_execute(r#"UPDATE t SET id = 1 RETURNING "t"."id""#).unwrap();
    connection.batch_execute(r#"UPDATE t AS x SET id = 1 RETURNING "x"."id""#).unwrap_err();
}
