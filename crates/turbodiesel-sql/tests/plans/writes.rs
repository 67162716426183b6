//! What writes change.

use expect_test::expect;
use turbodiesel_sql::{Dialect, Kind, Writes, plan};

use crate::{check, check_sqlite};

#[test]
fn inserted_values() {
    check(
        r#"INSERT INTO t (a, "B", c, d, e, f) VALUES ($1, 2, 'x', true, DEFAULT, now()), ($2, NULL, lower('x'), $3::text, -1, (SELECT 1 FROM u)) RETURNING a"#,
        expect![[r#"
            write, returns rows
            reads u[]
            writes insert t [a, B, c, d, e, f] ($1, <int>, <text>, <bool>, default, ?) ($2, ?, ?, ?, <int>, ?)
            calls lower, now
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t VALUES ($1)",
        expect![[r#"
            write
            writes insert t [*] ($1)
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t DEFAULT VALUES",
        expect![[r#"
            write
            writes insert t [*] of defaults
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO `t` (`a`, `b`) VALUES (?, ?), (?, ?)",
        expect![[r#"
            write
            writes insert t [a, b] ($1, $2) ($3, $4)
            refused: write (writes)"#]],
    );
}

#[test]
fn many_rows_are_not_listed() {
    check(
        "INSERT INTO t (a) VALUES (1),(2),(3),(4),(5),(6),(7),(8)",
        expect![[r#"
            write
            writes insert t [a] (<int>) (<int>) (<int>) (<int>) (<int>) (<int>) (<int>) (<int>)
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9)",
        expect![[r#"
            write
            writes insert t [a] of rows
            refused: write (writes)"#]],
    );
}

// Which of them are inserted depends on their order.
#[test]
fn some_rows_of_a_list_are_not_listed() {
    check(
        "INSERT INTO t (a) VALUES (1), (2) LIMIT 1",
        expect![[r#"
            write
            writes insert t [a] of rows
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) VALUES (1), (2) OFFSET 1 FETCH FIRST ROW ONLY",
        expect![[r#"
            write
            writes insert t [a] of rows
            refused: write (writes)"#]],
    );
}

#[test]
fn insert_from_a_query() {
    check(
        "INSERT INTO t (a) SELECT x FROM u WHERE u.id = $1",
        expect![[r#"
            write
            reads u[id, x] where id = $1
            writes insert t [a] of rows
            refused: write (writes)"#]],
    );
    check(
        "WITH s AS (SELECT x FROM v) INSERT INTO t SELECT * FROM s",
        expect![[r#"
            write
            reads v[x]
            writes insert t [*] of rows
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t WITH s AS (SELECT x FROM v) SELECT * FROM s",
        expect![[r#"
            write
            reads v[x]
            writes insert t [*] of rows
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES ($1)",
        expect![[r#"
            write
            writes insert t [a] ($1)
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t TABLE u",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (not parsed)"#]],
    );
}

#[test]
fn upserts() {
    check(
        r#"INSERT INTO t AS x (a, b) VALUES ($1, $2) ON CONFLICT ("a", c) DO UPDATE SET b = excluded.b, d = x.d + 1 WHERE x.e = $3 AND EXISTS (SELECT 1 FROM u) RETURNING *"#,
        expect![[r#"
            write, returns rows
            reads u[]
            writes upsert t [a, b] ($1, $2) on conflict [a, c] update set [b, d]
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = $2",
        expect![[r#"
            write
            writes upsert t [a] ($1) on conflict [a] update the target too set [a]
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING",
        expect![[r#"
            write
            writes insert t [a] ($1) on any conflict do nothing
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) VALUES ($1) ON CONFLICT ON CONSTRAINT t_a_key DO UPDATE SET b = 1",
        expect![[r#"
            write
            writes upsert t [a] ($1) on constraint t_a_key update the target too set [b]
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET (b, c) = (excluded.b, 1)",
        expect![[r#"
            write
            writes upsert t [a] ($1) on conflict [a] update set [b, c]
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO t (a) VALUES (?) ON CONFLICT DO UPDATE SET b = 1",
        expect![[r#"
            write
            writes upsert t [a] ($1) on any conflict update the target too set [b]
            refused: write (writes)"#]],
    );
}

#[test]
fn upserts_on_expressions() {
    check(
        "INSERT INTO t (a) VALUES ($1) ON CONFLICT (lower(a), b) DO UPDATE SET b = 1",
        expect![[r#"
            write
            writes upsert t [a] ($1) on conflict of an expression update the target too set [b]
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) WHERE b > 1 DO NOTHING",
        expect![[r#"
            write
            writes insert t [a] ($1) on conflict of an expression do nothing
            refused: write (writes)"#]],
    );
    check(
        r#"INSERT INTO t (a) VALUES ($1) ON CONFLICT (a COLLATE "C" text_ops) DO NOTHING"#,
        expect![[r#"
            write
            writes insert t [a] ($1) on conflict of an expression do nothing
            refused: write (writes)"#]],
    );
}

#[test]
fn replace() {
    check_sqlite(
        "REPLACE INTO t (a) VALUES (?)",
        expect![[r#"
            write
            writes replace t [a] ($1)
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT OR REPLACE INTO t (a) VALUES (?)",
        expect![[r#"
            write
            writes replace t [a] ($1)
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT OR IGNORE INTO t (a) VALUES (?)",
        expect![[r#"
            write
            writes insert t [a] ($1)
            refused: write (writes)"#]],
    );
    check_sqlite(
        "UPDATE OR REPLACE t SET a = 1 WHERE id = ?",
        expect![[r#"
            write
            writes replace t set [a]
            refused: write (writes)"#]],
    );
}

#[test]
fn update() {
    check(
        "UPDATE t SET a = $1, b = DEFAULT, c = (SELECT x FROM u WHERE u.id = $3) WHERE id = $2",
        expect![[r#"
            write
            reads u[id, x] where id = $3
            writes update t set [a, b, c] where id = $2
            refused: write (writes)"#]],
    );
    check(
        "UPDATE t AS x SET a = 1 WHERE x.id = $1 AND t.k = 2 RETURNING x.*",
        expect![[r#"
            write, returns rows
            writes update t set [a] where id = $1
            refused: write (writes)"#]],
    );
    check(
        "UPDATE ONLY s.t SET (a, b) = ROW(1, 2) WHERE s.t.id IN (1, 2)",
        expect![[r#"
            write
            writes update s.t set [a, b] where id in (<int>, <int>)
            calls row
            refused: write (writes)"#]],
    );
    check(
        "UPDATE t SET a = 1",
        expect![[r#"
            write
            writes update t set [a]
            refused: write (writes)"#]],
    );
    check_sqlite(
        "UPDATE `t` SET `a` = ? WHERE (`t`.`id` = ?)",
        expect![[r#"
            write
            writes update t set [a] where id = $2
            refused: write (writes)"#]],
    );
    check_sqlite(
        "UPDATE t SET a = 1 WHERE id = ? LIMIT (SELECT 1 FROM v)",
        expect![[r#"
            write
            reads v[]
            writes update t set [a] where id = $1
            refused: write (writes)"#]],
    );
}

#[test]
fn several_columns_set_at_once() {
    check(
        "UPDATE t SET (a, b) = (SELECT x, y FROM u WHERE u.id = $1), c = 1, (d, e) = ($2, DEFAULT) WHERE (id, k) = ($3, $4)",
        expect![[r#"
            write
            reads u[id, x, y] where id = $1
            writes update t set [a, b, c, d, e] where id = $3 & k = $4
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a, b) DO UPDATE SET (c, b) = (excluded.c, 1), d = 2",
        expect![[r#"
            write
            writes upsert t [a, b] ($1, $2) on conflict [a, b] update the target too set [b, c, d]
            refused: write (writes)"#]],
    );
}

// The primary key may be another name of it.
#[test]
fn sqlite_row_ids_stand_for_another_column() {
    check_sqlite(
        "UPDATE t SET rowid = 2, a = 1 WHERE b = 3",
        expect![[r#"
            write
            writes update t set [*] where b = <int>
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO t (id) VALUES (?) ON CONFLICT (RowId) DO UPDATE SET id = 3",
        expect![[r#"
            write
            writes upsert t [id] ($1) on conflict of an expression update the target too set [id]
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO t (id) VALUES (?) ON CONFLICT (id) DO UPDATE SET [oid] = 3",
        expect![[r#"
            write
            writes upsert t [id] ($1) on conflict [id] update the target too set [*]
            refused: write (writes)"#]],
    );
    check(
        "UPDATE t SET oid = 2",
        expect![[r#"
            write
            writes update t set [oid]
            refused: write (writes)"#]],
    );
}

#[test]
fn parts_of_columns_count_as_columns_or_as_all() {
    check(
        "UPDATE t SET c.f = 3 WHERE id = 1",
        expect![[r#"
            write
            writes update t set [*] where id = <int>
            refused: write (writes)"#]],
    );
    check(
        "INSERT INTO t (a.f, b) VALUES (1, 2)",
        expect![[r#"
            write
            writes insert t [a, b] (<int>, <int>)
            refused: write (writes)"#]],
    );
}

#[test]
fn update_from() {
    check(
        "UPDATE t SET a = u.a FROM u LEFT JOIN v ON v.id = u.v_id WHERE t.u_id = u.id AND u.id = $1",
        expect![[r#"
            write
            reads u[a, id, v_id] where id = $1
            reads v[id]
            writes update t set [a] where u_id = $1 through u.id
            refused: write (writes)"#]],
    );
}

// The condition pins the other occurrence.
#[test]
fn a_self_joined_update() {
    check(
        "UPDATE t SET a = u.a FROM t AS u WHERE u.id = $1 AND t.k = u.k",
        expect![[r#"
            write
            reads t[a, id, k] where id = $1
            writes update t set [a]
            refused: write (writes)"#]],
    );
}

#[test]
fn delete() {
    check(
        "DELETE FROM t WHERE id = ANY($1) AND EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id)",
        expect![[r#"
            write
            reads u[t_id]
            writes delete t where id = any($1)
            refused: write (writes)"#]],
    );
    check(
        "DELETE FROM t",
        expect![[r#"
            write
            writes delete t
            refused: write (writes)"#]],
    );
    check(
        "DELETE FROM t WHERE id = 1 OR id = 2 RETURNING id",
        expect![[r#"
            write, returns rows
            writes delete t
            refused: write (writes)"#]],
    );
    check_sqlite(
        "DELETE FROM t WHERE id = ? LIMIT 1",
        expect![[r#"
            write
            writes delete t where id = $1
            refused: write (writes)"#]],
    );
}

// The condition pins the other occurrence.
#[test]
fn a_self_joined_delete() {
    check(
        "DELETE FROM t USING t AS u WHERE u.id = $1 AND t.parent > u.id",
        expect![[r#"
            write
            reads t[id] where id = $1
            writes delete t
            refused: write (writes)"#]],
    );
    check(
        "DELETE FROM t AS u USING t WHERE t.id = $1",
        expect![[r#"
            write
            reads t[id] where id = $1
            writes delete t
            refused: write (writes)"#]],
    );
}

#[test]
fn delete_using_a_cte() {
    check(
        "WITH s AS (SELECT id FROM u) DELETE FROM t USING s WHERE t.id = s.id AND s.id = $1",
        expect![[r#"
            write
            reads u[id]
            writes delete t
            refused: write (writes)"#]],
    );
}

#[test]
fn a_target_is_never_a_cte() {
    check_sqlite(
        "WITH t AS (SELECT 1 AS id FROM u) DELETE FROM t WHERE id IN (SELECT id FROM t)",
        expect![[r#"
            write
            reads u[]
            writes delete t
            refused: write (writes)"#]],
    );
}

#[test]
fn writes_within_ctes() {
    check(
        "WITH x AS (UPDATE t SET a = 1 WHERE id = $1 RETURNING *) SELECT * FROM x",
        expect![[r#"
            write, returns rows
            writes update t set [a] where id = $1
            refused: write (writes)"#]],
    );
    check(
        "WITH x AS (DELETE FROM t RETURNING *), y AS (INSERT INTO u SELECT * FROM x RETURNING id) SELECT count(*) FROM y, v",
        expect![[r#"
            write, aggregate, returns rows
            reads v[]
            writes delete t
            writes insert u [*] of rows
            calls count
            refused: write (writes)"#]],
    );
}

#[test]
fn a_table_written_twice_has_two_targets() {
    check(
        "WITH x AS (UPDATE t SET a = 1 WHERE id = $1 RETURNING id) DELETE FROM t WHERE k = $2",
        expect![[r#"
            write
            writes update t set [a] where id = $1
            writes delete t where k = $2
            refused: write (writes)"#]],
    );
}

// The pins of the target hold beside a subquery in the condition and beside other relations.
#[test]
fn what_else_chooses_the_rows() {
    check(
        "UPDATE t SET a = 1 FROM u LEFT JOIN v ON v.id = u.id AND t.k = 2 WHERE t.id = $1",
        expect![[r#"
            write
            reads u[id]
            reads v[id]
            writes update t set [a] where id = $1
            refused: write (writes)"#]],
    );
    check(
        "DELETE FROM t WHERE id = $1 AND k IN (SELECT k FROM u WHERE u.t_id = t.id)",
        expect![[r#"
            write
            reads u[k, t_id]
            writes delete t where id = $1
            refused: write (writes)"#]],
    );
    check(
        "WITH x AS (DELETE FROM u RETURNING id) UPDATE t SET a = 1 FROM x WHERE t.u_id = x.id",
        expect![[r#"
            write
            writes delete u
            writes update t set [a]
            refused: write (writes)"#]],
    );
    check(
        "WITH x AS (DELETE FROM u RETURNING id) UPDATE t SET a = 1 WHERE u_id IN (SELECT id FROM x)",
        expect![[r#"
            write
            writes delete u
            writes update t set [a]
            refused: write (writes)"#]],
    );
}

#[test]
fn merge() {
    check(
        "MERGE INTO t AS x USING (SELECT * FROM u WHERE u.k = $1) AS s ON x.id = s.id AND x.id = $2 WHEN MATCHED AND EXISTS (SELECT 1 FROM v) THEN DELETE WHEN MATCHED THEN UPDATE SET a = (SELECT 1 FROM w), b = s.b WHEN NOT MATCHED THEN INSERT (id) VALUES ((SELECT 1 FROM z))",
        expect![[r#"
            write
            reads u[*] where k = $1
            reads v[]
            reads w[]
            reads z[]
            writes merge t set [a, b]
            refused: write (writes)"#]],
    );
    check(
        "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DO NOTHING",
        expect![[r#"
            write
            reads u[id]
            writes merge t
            refused: write (writes)"#]],
    );
}

#[test]
fn truncate() {
    check(
        "TRUNCATE a, ONLY s.b RESTART IDENTITY",
        expect![[r#"
            write
            writes truncate a
            writes truncate s.b
            refused: write (writes)"#]],
    );
    check(
        "TRUNCATE TABLE a CASCADE",
        expect![[r#"
            write
            writes everything
            refused: write (writes)"#]],
    );
}

#[test]
fn copy() {
    check(
        r#"COPY "t" ("a", b) FROM STDIN WITH (FORMAT binary)"#,
        expect![[r#"
            write
            writes copy t [a, b] of rows
            refused: write (writes)"#]],
    );
    check(
        "COPY s.t FROM '/tmp/x'",
        expect![[r#"
            write
            writes copy s.t [*] of rows
            refused: write (writes)"#]],
    );
    check(
        "COPY t FROM PROGRAM 'cat'",
        expect![[r#"
            write
            writes everything
            refused: write (writes)"#]],
    );
    check(
        "COPY t (a) TO STDOUT",
        expect![[r#"
            read
            reads t[*]
            refused: not_understood (COPY TO)"#]],
    );
    check(
        "COPY (SELECT a FROM t WHERE id = 1) TO STDOUT",
        expect![[r#"
            read
            reads t[a, id] where id = <int>
            refused: not_understood (COPY TO)"#]],
    );
    check(
        "COPY (DELETE FROM t RETURNING *) TO STDOUT",
        expect![[r#"
            write
            writes delete t
            refused: write (writes)"#]],
    );
    check(
        "COPY t TO PROGRAM 'psql'",
        expect![[r#"
            write
            reads t[*]
            writes everything
            refused: write (writes)"#]],
    );
}

#[test]
fn select_into() {
    check(
        "SELECT * INTO new FROM t",
        expect![[r#"
            write, returns rows
            reads t[*]
            writes everything
            refused: write (writes)"#]],
    );
    check(
        "WITH s AS (SELECT 1) SELECT * INTO TEMP new FROM s",
        expect![[r#"
            write, returns rows
            writes everything
            refused: write (writes)"#]],
    );
}

#[test]
fn comments_before_a_write() {
    check(
        "/* SELECT */ -- SELECT 1
  DELETE FROM t",
        expect![[r#"
            write
            writes delete t
            refused: write (writes)"#]],
    );
    check_sqlite(
        "-- SELECT
/**/UPDATE t SET a = 1",
        expect![[r#"
            write
            writes update t set [a]
            refused: write (writes)"#]],
    );
}

#[test]
fn functions_that_write() {
    check(
        "SELECT dblink_exec('DELETE FROM t')",
        expect![[r#"
            write, returns rows
            writes everything
            calls dblink_exec
            refused: write (writes)"#]],
    );
    check(
        "SELECT lo_unlink(1)",
        expect![[r#"
            write, returns rows
            writes everything
            calls lo_unlink
            refused: write (writes)"#]],
    );
    check(
        "SELECT pg_something_new()",
        expect![[r#"
            write, returns rows
            writes everything
            calls pg_something_new
            refused: write (writes)"#]],
    );
    check(
        "SELECT query_to_xml('DELETE FROM t', true, true, '')",
        expect![[r#"
            write, returns rows
            writes everything
            calls query_to_xml
            refused: write (writes)"#]],
    );
    check(
        "SELECT * FROM pg_catalog.lo_import('x')",
        expect![[r#"
            write, returns rows
            writes everything
            calls pg_catalog.lo_import
            refused: write (writes)"#]],
    );
    check_sqlite(
        "SELECT load_extension('x')",
        expect![[r#"
            write, returns rows
            writes everything
            calls load_extension
            refused: write (writes)"#]],
    );
}

// What is parsed although the database does not know it may mean anything.
#[test]
fn writes_of_other_dialects() {
    for sql in [
        "UPDATE t JOIN u ON true SET a = 1",
        "UPDATE u, t SET a = 1",
        "DELETE t FROM t JOIN u ON true",
        "DELETE FROM t JOIN u ON true",
        "DELETE FROM t, u",
        "INSERT INTO TABLE t VALUES (1)",
        "INSERT IGNORE INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1",
        "TRUNCATE TABLE IF EXISTS t",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT TOP 5 * FROM x",
        "WITH x AS (DELETE FROM t RETURNING a XOR b) SELECT 1",
        "MERGE INTO t USING u ON true WHEN NOT MATCHED THEN INSERT ROW",
    ] {
        let plan = plan(Dialect::Postgres, sql);
        assert_eq!((plan.kind(), plan.writes()), (Kind::Unknown, &Writes::Everything), "{sql}");
    }
}

#[test]
fn writes_to_system_tables() {
    check(
        "UPDATE pg_catalog.pg_class SET relname = 'x'",
        expect![[r#"
            write
            writes everything
            refused: write (writes)"#]],
    );
    check_sqlite(
        "DELETE FROM sqlite_sequence",
        expect![[r#"
            write
            writes everything
            refused: write (writes)"#]],
    );
}
