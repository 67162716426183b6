//! Statements that neither query nor change rows.

use expect_test::expect;
use turbodiesel_sql::Dialect;

use crate::check_all;

#[test]
fn transactions() {
    check_all(
        Dialect::Postgres,
        &[
            "BEGIN",
            "begin isolation level serializable",
            "START TRANSACTION READ ONLY",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ABORT",
            "ROLLBACK TO SAVEPOINT a",
            "SAVEPOINT diesel_savepoint_1",
            "RELEASE SAVEPOINT diesel_savepoint_1",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET LOCAL app.tenant = '1'",
            "SET CONSTRAINTS ALL DEFERRED",
            "LOCK TABLE t",
        ],
        expect![[r#"
            BEGIN
                transaction; refused: control (control statement)
            begin isolation level serializable
                transaction; refused: control (control statement)
            START TRANSACTION READ ONLY
                transaction; refused: control (control statement)
            COMMIT
                transaction; refused: control (control statement)
            END
                transaction; refused: control (control statement)
            ROLLBACK
                transaction; refused: control (control statement)
            ABORT
                transaction; refused: control (control statement)
            ROLLBACK TO SAVEPOINT a
                transaction; refused: control (control statement)
            SAVEPOINT diesel_savepoint_1
                transaction; refused: control (control statement)
            RELEASE SAVEPOINT diesel_savepoint_1
                transaction; refused: control (control statement)
            SET TRANSACTION ISOLATION LEVEL REPEATABLE READ
                transaction; refused: control (control statement)
            SET LOCAL app.tenant = '1'
                transaction; refused: control (control statement)
            SET CONSTRAINTS ALL DEFERRED
                transaction; refused: control (control statement)
            LOCK TABLE t
                transaction; refused: control (control statement)
        "#]],
    );
    check_all(
        Dialect::Sqlite,
        &["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "ROLLBACK TO a", "RELEASE a"],
        expect![[r#"
            BEGIN IMMEDIATE
                transaction; refused: control (control statement)
            BEGIN EXCLUSIVE
                transaction; refused: control (control statement)
            ROLLBACK TO a
                transaction; refused: control (control statement)
            RELEASE a
                transaction; refused: control (control statement)
        "#]],
    );
}

#[test]
fn what_another_transaction_prepared() {
    check_all(
        Dialect::Postgres,
        &["PREPARE TRANSACTION 'a'", "COMMIT PREPARED 'a'", "ROLLBACK PREPARED 'a'"],
        expect![[r#"
            PREPARE TRANSACTION 'a'
                unknown, returns rows; writes everything; refused: not_understood (may do anything)
            COMMIT PREPARED 'a'
                unknown, returns rows; writes everything; refused: not_understood (may do anything)
            ROLLBACK PREPARED 'a'
                unknown, returns rows; writes everything; refused: not_understood (may do anything)
        "#]],
    );
}

#[test]
fn sessions() {
    check_all(
        Dialect::Postgres,
        &[
            "SET search_path TO a",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET ROLE x",
            "RESET ALL",
            "DISCARD ALL",
            "LISTEN c",
            "UNLISTEN *",
            "PREPARE p AS SELECT 1",
            "DEALLOCATE p",
            "LOAD 'x'",
            "SELECT set_config('a', 'b', false)",
            "CREATE TEMP TABLE x (a int)",
            "CREATE TEMPORARY TABLE x AS SELECT f()",
            "CREATE LOCAL TEMP TABLE x (a int)",
            "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
            "DECLARE c CURSOR FOR SELECT f()",
            "FETCH 1 FROM c",
            "MOVE 1 FROM c",
            "CLOSE c",
        ],
        expect![[r#"
            SET search_path TO a
                session; refused: control (control statement)
            SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
                session; refused: control (control statement)
            SET ROLE x
                session; refused: control (control statement)
            RESET ALL
                session; refused: control (control statement)
            DISCARD ALL
                session; refused: control (control statement)
            LISTEN c
                session; refused: control (control statement)
            UNLISTEN *
                session; refused: control (control statement)
            PREPARE p AS SELECT 1
                session; refused: control (control statement)
            DEALLOCATE p
                session; refused: control (control statement)
            LOAD 'x'
                session; refused: control (control statement)
            SELECT set_config('a', 'b', false)
                session, returns rows; calls set_config; refused: stable_function (set_config())
            CREATE TEMP TABLE x (a int)
                session; refused: control (temporary object)
            CREATE TEMPORARY TABLE x AS SELECT f()
                session; writes everything; refused: control (temporary object)
            CREATE LOCAL TEMP TABLE x (a int)
                session; refused: control (temporary object)
            CREATE OR REPLACE TEMP VIEW v AS SELECT 1
                session; writes everything; refused: control (temporary object)
            DECLARE c CURSOR FOR SELECT f()
                session; writes everything; refused: control (cursor)
            FETCH 1 FROM c
                session, returns rows; writes everything; refused: control (cursor)
            MOVE 1 FROM c
                session; writes everything; refused: control (cursor)
            CLOSE c
                session; refused: control (control statement)
        "#]],
    );
    check_all(
        Dialect::Sqlite,
        &[
            "PRAGMA foreign_keys = ON",
            "PRAGMA table_info(t)",
            "ATTACH DATABASE 'x' AS y",
            "DETACH y",
            "CREATE TEMP TABLE x (a)",
        ],
        expect![[r#"
            PRAGMA foreign_keys = ON
                session, returns rows; refused: control (control statement)
            PRAGMA table_info(t)
                session, returns rows; refused: control (control statement)
            ATTACH DATABASE 'x' AS y
                session; refused: control (control statement)
            DETACH y
                session; refused: control (control statement)
            CREATE TEMP TABLE x (a)
                session; refused: control (temporary object)
        "#]],
    );
}

#[test]
fn notify_is_a_write_of_no_table() {
    check_all(
        Dialect::Postgres,
        &["NOTIFY c, 'x'"],
        expect![[r#"
            NOTIFY c, 'x'
                write; refused: write (NOTIFY)
        "#]],
    );
}

#[test]
fn schema() {
    check_all(
        Dialect::Postgres,
        &[
            "CREATE TABLE t (a int)",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
            "ALTER TABLE t ADD b int",
            "DROP TABLE t",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; DELETE FROM t $$",
            "COMMENT ON TABLE t IS 'x'",
            "GRANT SELECT ON t TO x",
            "REVOKE ALL ON t FROM x",
            "VACUUM t",
            "ANALYZE t",
            "REINDEX TABLE t",
            "CLUSTER t",
            "REFRESH MATERIALIZED VIEW v",
            "CREATE TABLE temp (a int)",
        ],
        expect![[r#"
            CREATE TABLE t (a int)
                schema; writes everything; refused: control (schema statement)
            CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)
                schema; writes everything; refused: control (schema statement)
            ALTER TABLE t ADD b int
                schema; writes everything; refused: control (schema statement)
            DROP TABLE t
                schema; writes everything; refused: control (schema statement)
            CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; DELETE FROM t $$
                schema; writes everything; refused: control (schema statement)
            COMMENT ON TABLE t IS 'x'
                schema; writes everything; refused: control (schema statement)
            GRANT SELECT ON t TO x
                schema; writes everything; refused: control (schema statement)
            REVOKE ALL ON t FROM x
                schema; writes everything; refused: control (schema statement)
            VACUUM t
                schema; writes everything; refused: control (schema statement)
            ANALYZE t
                schema; writes everything; refused: control (schema statement)
            REINDEX TABLE t
                schema; writes everything; refused: control (schema statement)
            CLUSTER t
                schema; writes everything; refused: control (schema statement)
            REFRESH MATERIALIZED VIEW v
                schema; writes everything; refused: control (schema statement)
            CREATE TABLE temp (a int)
                schema; writes everything; refused: control (schema statement)
        "#]],
    );
    check_all(
        Dialect::Sqlite,
        &[
            "CREATE TABLE t (a)",
            "ALTER TABLE t RENAME TO u",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; END",
            "VACUUM",
            "REINDEX t",
            "ANALYZE",
        ],
        expect![[r#"
            CREATE TABLE t (a)
                schema; writes everything; refused: control (schema statement)
            ALTER TABLE t RENAME TO u
                schema; writes everything; refused: control (schema statement)
            CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; END
                unknown, returns rows; writes everything; refused: multiple_statements (several statements)
            VACUUM
                schema; writes everything; refused: control (schema statement)
            REINDEX t
                schema; writes everything; refused: control (schema statement)
            ANALYZE
                schema; writes everything; refused: control (schema statement)
        "#]],
    );
}

#[test]
fn what_may_do_anything() {
    check_all(
        Dialect::Postgres,
        &["CALL p(1)", "DO $$ BEGIN DELETE FROM t; END $$", "EXECUTE p(1)"],
        expect![[r#"
            CALL p(1)
                unknown, returns rows; writes everything; refused: not_understood (may do anything)
            DO $$ BEGIN DELETE FROM t; END $$
                unknown, returns rows; writes everything; refused: not_understood (may do anything)
            EXECUTE p(1)
                unknown, returns rows; writes everything; refused: not_understood (may do anything)
        "#]],
    );
}

#[test]
fn explain() {
    check_all(
        Dialect::Postgres,
        &[
            "EXPLAIN SELECT 1",
            "EXPLAIN DELETE FROM t",
            "EXPLAIN (FORMAT json, VERBOSE) UPDATE t SET a = 1",
            "EXPLAIN ANALYZE SELECT f(a) FROM t WHERE id = $1",
            "EXPLAIN ANALYZE DELETE FROM t",
            "EXPLAIN (ANALYZE, BUFFERS) INSERT INTO t SELECT * FROM u",
            "EXPLAIN (COSTS, ANALYZE true) WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x",
            "EXPLAIN ANALYZE EXECUTE p",
            "EXPLAIN ANALYZE VERBOSE INSERT INTO t SELECT 1",
            "EXPLAIN (SELECT analyze FROM t)",
            "EXPLAIN ANALYZE (SELECT 1)",
        ],
        expect![[r#"
            EXPLAIN SELECT 1
                read, returns rows; refused: system_catalog (EXPLAIN)
            EXPLAIN DELETE FROM t
                read, returns rows; refused: system_catalog (EXPLAIN)
            EXPLAIN (FORMAT json, VERBOSE) UPDATE t SET a = 1
                read, returns rows; refused: system_catalog (EXPLAIN)
            EXPLAIN ANALYZE SELECT f(a) FROM t WHERE id = $1
                read, returns rows; reads t[a, id] where id = $1; calls unknown f; refused: system_catalog (EXPLAIN)
            EXPLAIN ANALYZE DELETE FROM t
                unknown, returns rows; writes everything; refused: not_understood (EXPLAIN ANALYZE of a write)
            EXPLAIN (ANALYZE, BUFFERS) INSERT INTO t SELECT * FROM u
                unknown, returns rows; writes everything; refused: not_understood (EXPLAIN ANALYZE of a write)
            EXPLAIN (COSTS, ANALYZE true) WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x
                unknown, returns rows; writes everything; refused: not_understood (EXPLAIN ANALYZE of a write)
            EXPLAIN ANALYZE EXECUTE p
                unknown, returns rows; writes everything; refused: not_understood (EXPLAIN ANALYZE of a write)
            EXPLAIN ANALYZE VERBOSE INSERT INTO t SELECT 1
                unknown, returns rows; writes everything; refused: not_understood (EXPLAIN ANALYZE of a write)
            EXPLAIN (SELECT analyze FROM t)
                unknown, returns rows; writes everything; refused: not_understood (EXPLAIN ANALYZE)
            EXPLAIN ANALYZE (SELECT 1)
                read, returns rows; refused: system_catalog (EXPLAIN)
        "#]],
    );
    check_all(
        Dialect::Sqlite,
        &["EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN DELETE FROM t"],
        expect![[r#"
            EXPLAIN SELECT 1
                read, returns rows; refused: system_catalog (EXPLAIN)
            EXPLAIN QUERY PLAN DELETE FROM t
                read, returns rows; refused: system_catalog (EXPLAIN)
        "#]],
    );
}
