//! What may not be cached, by its text alone.

use expect_test::expect;
use turbodiesel_sql::Dialect;

use crate::{check_all, check_last_lines};

#[test]
fn volatile_functions() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT random()",
            "SELECT * FROM t WHERE x < RANDOM()",
            "SELECT gen_random_uuid()",
            "SELECT pg_catalog.nextval('s')",
            "SELECT currval('s'), setval('s', 1)",
            "SELECT clock_timestamp()",
            "SELECT txid_current()",
            "SELECT uuid_generate_v4()",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_notify('c', 'x')",
            "SELECT pg_sleep(1)",
            "SELECT * FROM (SELECT random() AS r) AS s",
            "SELECT 1 FROM t ORDER BY random()",
            "SELECT 1 FROM t TABLESAMPLE SYSTEM (10)",
        ],
        expect![[r#"
            SELECT random()
                refused: volatile_function (random())
            SELECT * FROM t WHERE x < RANDOM()
                refused: volatile_function (random())
            SELECT gen_random_uuid()
                refused: volatile_function (gen_random_uuid())
            SELECT pg_catalog.nextval('s')
                refused: volatile_function (nextval())
            SELECT currval('s'), setval('s', 1)
                refused: volatile_function (currval())
            SELECT clock_timestamp()
                refused: volatile_function (clock_timestamp())
            SELECT txid_current()
                refused: volatile_function (txid_current())
            SELECT uuid_generate_v4()
                refused: volatile_function (uuid_generate_v4())
            SELECT pg_advisory_xact_lock(1)
                refused: volatile_function (pg_advisory_xact_lock())
            SELECT pg_notify('c', 'x')
                refused: volatile_function (pg_notify())
            SELECT pg_sleep(1)
                refused: volatile_function (pg_sleep())
            SELECT * FROM (SELECT random() AS r) AS s
                refused: volatile_function (random())
            SELECT 1 FROM t ORDER BY random()
                refused: volatile_function (random())
            SELECT 1 FROM t TABLESAMPLE SYSTEM (10)
                refused: sampling (TABLESAMPLE)
        "#]],
    );
    check_last_lines(
        Dialect::Sqlite,
        &[
            "SELECT random()",
            "SELECT hex(randomblob(16))",
            "SELECT changes(), total_changes()",
            "SELECT last_insert_rowid()",
        ],
        expect![[r#"
            SELECT random()
                refused: volatile_function (random())
            SELECT hex(randomblob(16))
                refused: volatile_function (randomblob())
            SELECT changes(), total_changes()
                refused: volatile_function (changes())
            SELECT last_insert_rowid()
                refused: volatile_function (last_insert_rowid())
        "#]],
    );
}

#[test]
fn the_time() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT now()",
            "SELECT 1 FROM t WHERE at > CURRENT_TIMESTAMP",
            "SELECT current_date - 7",
            "SELECT localtime, localtimestamp(3)",
            "SELECT transaction_timestamp(), statement_timestamp()",
            "SELECT timeofday()",
            "SELECT age(created_at) FROM t",
            "SELECT age(a, b) FROM t",
            r#"SELECT "current_date" FROM t"#,
        ],
        expect![[r#"
            SELECT now()
                refused: stable_function (now())
            SELECT 1 FROM t WHERE at > CURRENT_TIMESTAMP
                refused: stable_function (current_timestamp())
            SELECT current_date - 7
                refused: stable_function (current_date())
            SELECT localtime, localtimestamp(3)
                refused: stable_function (localtime())
            SELECT transaction_timestamp(), statement_timestamp()
                refused: stable_function (transaction_timestamp())
            SELECT timeofday()
                refused: volatile_function (timeofday())
            SELECT age(created_at) FROM t
                refused: stable_function (age())
            SELECT age(a, b) FROM t
                calls age
            SELECT "current_date" FROM t
                reads t[current_date]
        "#]],
    );
    check_last_lines(
        Dialect::Sqlite,
        &[
            "SELECT CURRENT_TIMESTAMP",
            "SELECT date('now')",
            "SELECT datetime('NOW', 'localtime')",
            "SELECT date()",
            "SELECT strftime('%s')",
            "SELECT strftime('%s', 'now')",
            "SELECT strftime('%s', at) FROM t",
            "SELECT strftime(?, at) FROM t",
            "SELECT date(?)",
            "SELECT date(at, 'start of month') FROM t",
            "SELECT date('2024-01-01', '+1 day')",
            "SELECT unixepoch('subsec')",
            "SELECT julianday(at) - julianday('now') FROM t",
            "SELECT timediff(a, b) FROM t",
            "SELECT timediff('now', b) FROM t",
            "SELECT 1 FROM t WHERE name = 'now'",
        ],
        expect![[r#"
            SELECT CURRENT_TIMESTAMP
                refused: stable_function (current_timestamp())
            SELECT date('now')
                refused: stable_function (relative time)
            SELECT datetime('NOW', 'localtime')
                refused: stable_function (relative time)
            SELECT date()
                refused: stable_function (date())
            SELECT strftime('%s')
                refused: stable_function (strftime())
            SELECT strftime('%s', 'now')
                refused: stable_function (relative time)
            SELECT strftime('%s', at) FROM t
                calls strftime
            SELECT strftime(?, at) FROM t
                calls strftime
            SELECT date(?)
                refused: stable_function (relative time)
            SELECT date(at, 'start of month') FROM t
                calls date
            SELECT date('2024-01-01', '+1 day')
                calls date
            SELECT unixepoch('subsec')
                refused: stable_function (relative time)
            SELECT julianday(at) - julianday('now') FROM t
                refused: stable_function (relative time)
            SELECT timediff(a, b) FROM t
                calls timediff
            SELECT timediff('now', b) FROM t
                refused: stable_function (relative time)
            SELECT 1 FROM t WHERE name = 'now'
                reads t[name] where name = <text>
        "#]],
    );
}

#[test]
fn text_that_tells_the_time() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT 'now'::timestamptz",
            "SELECT timestamp 'now'",
            "SELECT CAST('tomorrow' AS date)",
            "SELECT 1 FROM t WHERE at > 'yesterday'",
            "SELECT 1 FROM t WHERE at > ' NOW '",
            "SELECT 1 FROM t WHERE name = 'knowledge'",
            r#"SELECT E'\x6eow'::timestamp"#,
            "SELECT $$today$$::date",
            r#"SELECT U&'\006eow'::timestamp"#,
            "SELECT $1::timestamptz",
            "SELECT CAST($1 AS date[])",
            "SELECT ('n' || 'ow')::timestamp",
            "SELECT lower('NO' || 'W')::time",
            "SELECT '2024-01-01'::date",
            "SELECT date '2024-01-01', time '12:00'",
            "SELECT '[today,)'::daterange",
            "SELECT $1::tstzrange",
            "SELECT at::date FROM t",
            "SELECT date(at) FROM t",
            "SELECT date($1)",
            "SELECT date('now')",
            "SELECT date_trunc('day', at)::date FROM t",
            "SELECT max(at)::date FROM t",
            "SELECT (at AT TIME ZONE 'utc')::date FROM t",
            "SELECT (at + interval '1 day')::date FROM t",
            "SELECT NULL::date",
            "SELECT (name::text)::date FROM t",
            "SELECT (SELECT 'now')::date",
        ],
        expect![[r#"
            SELECT 'now'::timestamptz
                refused: stable_function (text as timestamptz)
            SELECT timestamp 'now'
                refused: stable_function (text as timestamp)
            SELECT CAST('tomorrow' AS date)
                refused: stable_function (text as date)
            SELECT 1 FROM t WHERE at > 'yesterday'
                refused: stable_function (relative time in a string)
            SELECT 1 FROM t WHERE at > ' NOW '
                refused: stable_function (relative time in a string)
            SELECT 1 FROM t WHERE name = 'knowledge'
                reads t[name] where name = <text>
            SELECT E'\x6eow'::timestamp
                refused: stable_function (text as timestamp)
            SELECT $$today$$::date
                refused: stable_function (text as date)
            SELECT U&'\006eow'::timestamp
                refused: stable_function (text as timestamp)
            SELECT $1::timestamptz
                refused: stable_function (text as timestamptz)
            SELECT CAST($1 AS date[])
                refused: stable_function (text as date[])
            SELECT ('n' || 'ow')::timestamp
                refused: stable_function (text as timestamp)
            SELECT lower('NO' || 'W')::time
                refused: stable_function (text as time)
            SELECT '2024-01-01'::date
                read, returns rows
            SELECT date '2024-01-01', time '12:00'
                read, returns rows
            SELECT '[today,)'::daterange
                refused: stable_function (text as daterange)
            SELECT $1::tstzrange
                refused: stable_function (text as tstzrange)
            SELECT at::date FROM t
                reads t[at]
            SELECT date(at) FROM t
                calls date
            SELECT date($1)
                refused: stable_function (relative time)
            SELECT date('now')
                refused: stable_function (relative time in a string)
            SELECT date_trunc('day', at)::date FROM t
                calls date_trunc
            SELECT max(at)::date FROM t
                calls max
            SELECT (at AT TIME ZONE 'utc')::date FROM t
                calls timezone
            SELECT (at + interval '1 day')::date FROM t
                reads t[at]
            SELECT NULL::date
                read, returns rows
            SELECT (name::text)::date FROM t
                refused: stable_function (text as date)
            SELECT (SELECT 'now')::date
                refused: stable_function (text as date)
        "#]],
    );
}

#[test]
fn the_user_and_the_session() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT current_user",
            "SELECT SESSION_USER, user",
            "SELECT 1 FROM t WHERE owner = current_role",
            "SELECT current_catalog, current_schema",
            "SELECT current_schema()",
            "SELECT current_setting('app.tenant')",
            "SELECT current_database(), version()",
            "SELECT pg_backend_pid()",
            r#"SELECT "user" FROM t"#,
            "SELECT t.user FROM t",
            "SHOW search_path",
        ],
        expect![[r#"
            SELECT current_user
                refused: stable_function (current_user())
            SELECT SESSION_USER, user
                refused: stable_function (session_user())
            SELECT 1 FROM t WHERE owner = current_role
                refused: stable_function (current_role)
            SELECT current_catalog, current_schema
                refused: stable_function (current_catalog())
            SELECT current_schema()
                refused: stable_function (current_schema())
            SELECT current_setting('app.tenant')
                refused: stable_function (current_setting())
            SELECT current_database(), version()
                refused: stable_function (current_database())
            SELECT pg_backend_pid()
                refused: stable_function (pg_backend_pid())
            SELECT "user" FROM t
                reads t[user]
            SELECT t.user FROM t
                reads t[user]
            SHOW search_path
                refused: stable_function (SHOW)
        "#]],
    );
    check_last_lines(
        Dialect::Sqlite,
        &["SELECT user FROM t"],
        expect![[r#"
            SELECT user FROM t
                reads t[user]
        "#]],
    );
}

#[test]
fn row_locks() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT 1 FROM t FOR UPDATE",
            "SELECT 1 FROM t FOR NO KEY UPDATE SKIP LOCKED",
            "SELECT 1 FROM t FOR SHARE OF t NOWAIT",
            "SELECT 1 FROM t FOR KEY SHARE",
            "SELECT * FROM (SELECT 1 FROM t FOR UPDATE) AS s",
            "WITH s AS (SELECT 1 FROM t FOR UPDATE) SELECT 1 FROM s",
            "SELECT 1 FROM t LIMIT 1 FOR UPDATE",
        ],
        expect![[r#"
            SELECT 1 FROM t FOR UPDATE
                refused: locking (row lock)
            SELECT 1 FROM t FOR NO KEY UPDATE SKIP LOCKED
                refused: locking (row lock)
            SELECT 1 FROM t FOR SHARE OF t NOWAIT
                refused: locking (row lock)
            SELECT 1 FROM t FOR KEY SHARE
                refused: locking (row lock)
            SELECT * FROM (SELECT 1 FROM t FOR UPDATE) AS s
                refused: locking (row lock)
            WITH s AS (SELECT 1 FROM t FOR UPDATE) SELECT 1 FROM s
                refused: locking (row lock)
            SELECT 1 FROM t LIMIT 1 FOR UPDATE
                refused: locking (row lock)
        "#]],
    );
}

#[test]
fn system_catalogs() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT 1 FROM pg_catalog.pg_class",
            "SELECT 1 FROM pg_class",
            "SELECT 1 FROM information_schema.tables",
            "SELECT 1 FROM pg_toast.x",
            "SELECT 1 FROM pg_temp.x",
            "SELECT 1 FROM public.pg_mine",
            "SELECT 'users'::regclass",
            "SELECT $1::regtype",
            "SELECT pg_typeof(1), pg_get_viewdef(1)",
            "SELECT to_regclass('users')",
            "SELECT has_table_privilege('t', 'select')",
            "EXPLAIN SELECT 1 FROM t",
        ],
        expect![[r#"
            SELECT 1 FROM pg_catalog.pg_class
                refused: system_catalog (system relation pg_catalog.pg_class)
            SELECT 1 FROM pg_class
                refused: system_catalog (system relation pg_class)
            SELECT 1 FROM information_schema.tables
                refused: system_catalog (system relation information_schema.tables)
            SELECT 1 FROM pg_toast.x
                refused: system_catalog (system relation pg_toast.x)
            SELECT 1 FROM pg_temp.x
                refused: unknown_table (temporary table pg_temp.x)
            SELECT 1 FROM public.pg_mine
                reads public.pg_mine[]
            SELECT 'users'::regclass
                refused: system_catalog (cast to regclass)
            SELECT $1::regtype
                refused: system_catalog (cast to regtype)
            SELECT pg_typeof(1), pg_get_viewdef(1)
                refused: system_catalog (pg_typeof())
            SELECT to_regclass('users')
                refused: system_catalog (to_regclass())
            SELECT has_table_privilege('t', 'select')
                refused: system_catalog (has_table_privilege())
            EXPLAIN SELECT 1 FROM t
                refused: system_catalog (EXPLAIN)
        "#]],
    );
    check_last_lines(
        Dialect::Sqlite,
        &[
            "SELECT 1 FROM sqlite_master",
            "SELECT 1 FROM main.SQLITE_SCHEMA",
            "SELECT 1 FROM sqlite_temp_master",
            "SELECT 1 FROM pragma_table_info('t')",
            "SELECT 1 FROM pragma_database_list",
            "SELECT 1 FROM temp.t",
            "SELECT 1 FROM dbstat",
        ],
        expect![[r#"
            SELECT 1 FROM sqlite_master
                refused: system_catalog (system relation sqlite_master)
            SELECT 1 FROM main.SQLITE_SCHEMA
                refused: system_catalog (system relation main.sqlite_schema)
            SELECT 1 FROM sqlite_temp_master
                refused: system_catalog (system relation sqlite_temp_master)
            SELECT 1 FROM pragma_table_info('t')
                refused: system_catalog (pragma_table_info())
            SELECT 1 FROM pragma_database_list
                refused: system_catalog (system relation pragma_database_list)
            SELECT 1 FROM temp.t
                refused: unknown_table (temporary table temp.t)
            SELECT 1 FROM dbstat
                refused: system_catalog (system relation dbstat)
        "#]],
    );
}

#[test]
fn system_columns() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT ctid FROM t",
            "SELECT t.xmin FROM t",
            r#"SELECT 1 FROM t WHERE "tableoid" = 1"#,
            "SELECT (t).xmax FROM t",
            r#"SELECT "CTID" FROM t"#,
        ],
        expect![[r#"
            SELECT ctid FROM t
                refused: system_column (ctid)
            SELECT t.xmin FROM t
                refused: system_column (xmin)
            SELECT 1 FROM t WHERE "tableoid" = 1
                refused: system_column (tableoid)
            SELECT (t).xmax FROM t
                refused: system_column (xmax)
            SELECT "CTID" FROM t
                reads t[CTID]
        "#]],
    );
    check_last_lines(
        Dialect::Sqlite,
        &["SELECT ctid, rowid FROM t"],
        expect![[r#"
            SELECT ctid, rowid FROM t
                reads t[ctid, rowid]
        "#]],
    );
}

#[test]
fn unknown_types() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT 'x'::mood",
            "SELECT $1::shop.mood[]",
            "SELECT '1'::int8, '1'::numeric(10, 2), 'a'::varchar(3), '{1}'::int[], '{}'::jsonb, '1.2.3.4'::inet, '1'::citext",
        ],
        expect![[r#"
            SELECT 'x'::mood
                refused: unknown_function (cast to mood)
            SELECT $1::shop.mood[]
                refused: unknown_function (cast to shop.mood[])
            SELECT '1'::int8, '1'::numeric(10, 2), 'a'::varchar(3), '{1}'::int[], '{}'::jsonb, '1.2.3.4'::inet, '1'::citext
                read, returns rows
        "#]],
    );
}

#[test]
fn several_statements() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "SELECT 1; SELECT 2",
            "BEGIN; DELETE FROM t; COMMIT",
            "SELECT 1;",
            "; ; SELECT 1 ; ;",
            "SELECT ';'",
        ],
        expect![[r#"
            SELECT 1; SELECT 2
                refused: multiple_statements (several statements)
            BEGIN; DELETE FROM t; COMMIT
                refused: multiple_statements (several statements)
            SELECT 1;
                read, returns rows
            ; ; SELECT 1 ; ;
                read, returns rows
            SELECT ';'
                read, returns rows
        "#]],
    );
}

#[test]
fn what_is_not_understood() {
    check_last_lines(
        Dialect::Postgres,
        &[
            "",
            "--",
            "SELEC 1",
            "SELECT",
            "SELECT FROM WHERE",
            "SELECT 1 FROM (",
            "SELECT 'x",
            "SELECT * FROM a SEMI JOIN b ON true",
            "SELECT * FROM a FINAL",
            "SELECT TOP 5 * FROM t",
            "SELECT * EXCEPT (a) FROM t",
            "SELECT 1 QUALIFY true",
            "SELECT a XOR b FROM t",
            "SELECT 1 FROM t LIMIT 1 BY a",
        ],
        expect![[r#"

                refused: not_understood (no statement)
            --
                refused: not_understood (no statement)
            SELEC 1
                refused: not_understood (unknown statement)
            SELECT
                refused: not_understood (not parsed)
            SELECT FROM WHERE
                reads where[]
            SELECT 1 FROM (
                refused: not_understood (not parsed)
            SELECT 'x
                refused: not_understood (unreadable text)
            SELECT * FROM a SEMI JOIN b ON true
                refused: not_understood (join of another dialect)
            SELECT * FROM a FINAL
                reads a[*]
            SELECT TOP 5 * FROM t
                refused: not_understood (clause of another dialect)
            SELECT * EXCEPT (a) FROM t
                refused: not_understood (not parsed)
            SELECT 1 QUALIFY true
                refused: not_understood (not parsed)
            SELECT a XOR b FROM t
                refused: not_understood (operator of another dialect)
            SELECT 1 FROM t LIMIT 1 BY a
                refused: not_understood (not parsed)
        "#]],
    );
}

#[test]
fn functions_nobody_listed() {
    check_all(
        Dialect::Postgres,
        &[
            r#"SELECT my_function(x), Shop.Price(y), "Odd"(1) FROM t"#,
            "SELECT 1 FROM my_rows(1) AS r",
            "SELECT lower(name), shop.lower(name), pg_catalog.upper(name) FROM t",
            "SELECT a <~> b FROM t",
            "SELECT a OPERATOR(shop.+) b FROM t",
            "SELECT (t.item).price FROM t",
            "SELECT count(*), count(DISTINCT a) FILTER (WHERE my_filter(a)) FROM t GROUP BY my_group(b)",
            "SELECT coalesce(a, b), nullif(a, b), greatest(a, b), extract(epoch FROM a), substring(a FROM 1), substr(a, 1), trim(a), position('x' IN a), overlay(a PLACING b FROM 1), ceil(a), floor(a), a LIKE b, a AT TIME ZONE 'utc' FROM t",
        ],
        expect![[r#"
            SELECT my_function(x), Shop.Price(y), "Odd"(1) FROM t
                read, returns rows; reads t[x, y]; calls unknown Odd, my_function, shop.price
            SELECT 1 FROM my_rows(1) AS r
                read, returns rows; calls unknown my_rows
            SELECT lower(name), shop.lower(name), pg_catalog.upper(name) FROM t
                read, returns rows; reads t[name]; calls lower, pg_catalog.upper; calls unknown shop.lower
            SELECT a <~> b FROM t
                read, returns rows; reads t[a, b]; calls unknown <~>
            SELECT a OPERATOR(shop.+) b FROM t
                read, returns rows; reads t[a, b]; calls unknown OPERATOR(shop.+)
            SELECT (t.item).price FROM t
                read, returns rows; reads t[item]; calls unknown price
            SELECT count(*), count(DISTINCT a) FILTER (WHERE my_filter(a)) FROM t GROUP BY my_group(b)
                read, aggregate, returns rows; reads t[a, b]; calls count; calls unknown my_filter, my_group
            SELECT coalesce(a, b), nullif(a, b), greatest(a, b), extract(epoch FROM a), substring(a FROM 1), substr(a, 1), trim(a), position('x' IN a), overlay(a PLACING b FROM 1), ceil(a), floor(a), a LIKE b, a AT TIME ZONE 'utc' FROM t
                read, returns rows; reads t[a, b]; calls ceil, coalesce, extract, floor, greatest, like, nullif, overlay, position, substr, substring, timezone, trim
        "#]],
    );
    check_all(
        Dialect::Sqlite,
        &[
            "SELECT my_function(x) FROM t",
            "SELECT 1 FROM t WHERE a REGEXP b AND c MATCH d AND e GLOB f",
            "SELECT 1 FROM json_each(?), my_table(1)",
        ],
        expect![[r#"
            SELECT my_function(x) FROM t
                read, returns rows; reads t[x]; calls unknown my_function
            SELECT 1 FROM t WHERE a REGEXP b AND c MATCH d AND e GLOB f
                read, returns rows; reads t[a, b, c, d, e, f]; calls glob; calls unknown match, regexp
            SELECT 1 FROM json_each(?), my_table(1)
                read, returns rows; calls json_each; calls unknown my_table
        "#]],
    );
}

// They are refused, but they do not empty the cache either.
#[test]
fn queries_that_are_not_parsed_but_cannot_write() {
    check_all(
        Dialect::Postgres,
        &[
            "SELECT * FROM ROWS FROM (f(1), shop.g(2)) AS x",
            "SELECT xmlelement(name foo, lower(a)) FROM t WHERE a <~> b",
            "SELECT (t).* FROM t",
            "WITH x AS (SELECT 1 FROM t) SELECT * FROM a JOIN b USING (id) AS j",
            "SELECT (t).*, dblink('x') FROM t",
            "SELECT (t).*, set_config('a', 'b', false) FROM t",
            "SELECT (t).* INTO x FROM t",
            "WITH x AS (DELETE FROM t RETURNING (t).*, 1) SELECT * FROM x",
            "SELECT (t).*, 1 FROM t FOR UPDATE",
            "SELECT 'x'::varchar(4) COLLATE \"C\"",
            "SELECT (t).*, shop.varchar(4), \"numeric\"(1) FROM t WHERE (a) IN (1)",
        ],
        expect![[r#"
            SELECT * FROM ROWS FROM (f(1), shop.g(2)) AS x
                read, returns rows; reads as[as, f, from, g, rows, select, shop, x]; reads f[]; reads from[]; reads rows[]; reads select[]; reads shop[]; reads x[]; reads shop.g[]; calls unknown f, g; refused: not_understood (not parsed)
            SELECT xmlelement(name foo, lower(a)) FROM t WHERE a <~> b
                read, returns rows; reads a[a, b, foo, from, lower, name, select, t, where, xmlelement]; reads b[]; reads foo[]; reads from[]; reads lower[]; reads name[]; reads select[]; reads t[]; reads where[]; reads xmlelement[]; calls lower; calls unknown <~>, xmlelement; refused: not_understood (not parsed)
            SELECT (t).* FROM t
                read, returns rows; reads from[from, select, t]; reads select[]; reads t[]; refused: not_understood (not parsed)
            WITH x AS (SELECT 1 FROM t) SELECT * FROM a JOIN b USING (id) AS j
                read, returns rows; reads a[a, as, b, from, id, j, join, select, t, using, with, x]; reads as[]; reads b[]; reads from[]; reads id[]; reads j[]; reads join[]; reads select[]; reads t[]; reads using[]; reads with[]; reads x[]; refused: not_understood (not parsed)
            SELECT (t).*, dblink('x') FROM t
                write, returns rows; reads dblink[dblink, from, select, t]; reads from[]; reads select[]; reads t[]; writes everything; calls dblink; refused: write (writes)
            SELECT (t).*, set_config('a', 'b', false) FROM t
                session, returns rows; reads false[false, from, select, set_config, t]; reads from[]; reads select[]; reads set_config[]; reads t[]; calls set_config; refused: not_understood (not parsed)
            SELECT (t).* INTO x FROM t
                unknown, returns rows; writes everything; refused: not_understood (not parsed)
            WITH x AS (DELETE FROM t RETURNING (t).*, 1) SELECT * FROM x
                unknown, returns rows; writes everything; refused: not_understood (not parsed)
            SELECT (t).*, 1 FROM t FOR UPDATE
                unknown, returns rows; writes everything; refused: not_understood (not parsed)
            SELECT 'x'::varchar(4) COLLATE "C"
                read, returns rows; reads C[C, collate, select, varchar]; reads collate[]; reads select[]; reads varchar[]; refused: not_understood (not parsed)
            SELECT (t).*, shop.varchar(4), "numeric"(1) FROM t WHERE (a) IN (1)
                read, returns rows; reads a[a, from, in, numeric, select, shop, t, varchar, where]; reads from[]; reads in[]; reads numeric[]; reads select[]; reads shop[]; reads t[]; reads where[]; reads shop.varchar[]; calls unknown numeric, varchar; refused: not_understood (not parsed)
        "#]],
    );
    check_all(
        Dialect::Sqlite,
        &["SELECT a FROM t INDEXED BY i WHERE a = ?"],
        expect![[r#"
            SELECT a FROM t INDEXED BY i WHERE a = ?
                read, returns rows; reads a[a, by, from, i, indexed, select, t, where]; reads by[]; reads from[]; reads i[]; reads indexed[]; reads select[]; reads t[]; reads where[]; refused: not_understood (not parsed)
        "#]],
    );
}
