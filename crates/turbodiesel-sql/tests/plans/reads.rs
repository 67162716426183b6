//! Which relations and columns a query reads.

use expect_test::expect;

use crate::{check, check_sqlite};

#[test]
fn a_plain_query() {
    check(
        "SELECT u.id, name FROM users AS u WHERE age > 3 ORDER BY created_at",
        expect![[r#"
            read, returns rows
            reads users[age, created_at, id, name]"#]],
    );
}

#[test]
fn a_wildcard_uses_all_columns() {
    check(
        "SELECT * FROM a JOIN b ON true",
        expect![[r#"
            read, returns rows
            reads a[*]
            reads b[*]"#]],
    );
    check(
        "SELECT a.* FROM a JOIN b ON a.id = b.a_id",
        expect![[r#"
            read, returns rows
            reads a[*]
            reads b[a_id]"#]],
    );
}

#[test]
fn a_whole_row_uses_all_columns() {
    check(
        "SELECT row_to_json(u) FROM users AS u",
        expect![[r#"
            read, returns rows
            reads users[*]
            calls row_to_json"#]],
    );
    check(
        "SELECT count(u.*), count(b) FROM users AS u, b",
        expect![[r#"
            read, aggregate, returns rows
            reads users[*]
            reads b[*]
            calls count"#]],
    );
}

#[test]
fn count_uses_no_column() {
    check(
        "SELECT count(*) FROM t",
        expect![[r#"
            read, aggregate, returns rows
            reads t[]
            calls count"#]],
    );
}

#[test]
fn an_unqualified_column_counts_for_every_relation_in_scope() {
    check(
        "SELECT x FROM a, b WHERE EXISTS (SELECT y FROM c)",
        expect![[r#"
            read, returns rows
            reads a[x, y]
            reads b[x, y]
            reads c[y]"#]],
    );
}

#[test]
fn a_qualified_column_counts_for_its_relation() {
    check(
        "SELECT a.x FROM a WHERE EXISTS (SELECT c.y FROM c WHERE c.z = a.w)",
        expect![[r#"
            read, returns rows
            reads a[w, x]
            reads c[y, z]"#]],
    );
}

#[test]
fn a_qualifier_not_in_scope_counts_for_all_columns() {
    check(
        "SELECT z.x FROM a",
        expect![[r#"
            read, returns rows
            reads a[*]"#]],
    );
}

// The derived table's `a` is the outer one, which an inner relation seems to hide.
#[test]
fn a_hidden_name_counts_for_both() {
    check(
        "SELECT (SELECT 1 FROM b AS a, (SELECT a.x) AS s) FROM a",
        expect![[r#"
            read, returns rows
            reads a[x]
            reads b[x]"#]],
    );
}

#[test]
fn using_counts_for_both_sides() {
    check(
        "SELECT 1 FROM a JOIN b USING (k)",
        expect![[r#"
            read, returns rows
            reads a[k]
            reads b[k]"#]],
    );
}

#[test]
fn natural_join_uses_all_columns() {
    check(
        "SELECT 1 FROM a NATURAL JOIN b",
        expect![[r#"
            read, returns rows
            reads a[*]
            reads b[*]"#]],
    );
}

#[test]
fn renamed_columns_use_all() {
    check(
        "SELECT x.p FROM t AS x (p, q)",
        expect![[r#"
            read, returns rows
            reads t[*]"#]],
    );
}

#[test]
fn subqueries_in_every_clause() {
    check(
        "SELECT (SELECT 1 FROM a), CASE WHEN EXISTS (SELECT 1 FROM b) THEN ARRAY(SELECT 1 FROM c) END FROM d JOIN e ON e.x IN (SELECT 1 FROM f) WHERE d.x > ANY (SELECT 1 FROM g) GROUP BY (SELECT 1 FROM h) HAVING count((SELECT 1 FROM i)) > 0 ORDER BY (SELECT 1 FROM j) LIMIT (SELECT 1 FROM k) OFFSET (SELECT 1 FROM l)",
        expect![[r#"
            read, aggregate, returns rows
            reads d[x]
            reads e[x]
            reads f[]
            reads a[]
            reads b[]
            reads c[]
            reads g[]
            reads h[]
            reads i[]
            reads j[]
            reads k[]
            reads l[]
            calls array, count"#]],
    );
}

#[test]
fn subqueries_in_calls() {
    check(
        "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM a)), sum(x) OVER (PARTITION BY (SELECT 1 FROM b) ORDER BY (SELECT 1 FROM c)), array_agg(x ORDER BY (SELECT 1 FROM d)), percentile_cont(0.5) WITHIN GROUP (ORDER BY (SELECT 1 FROM e)) FROM t WINDOW w AS (ORDER BY (SELECT 1 FROM f))",
        expect![[r#"
            read, aggregate, returns rows
            reads t[x]
            reads a[]
            reads b[]
            reads c[]
            reads d[]
            reads e[]
            reads f[]
            calls array_agg, count, percentile_cont, sum"#]],
    );
}

#[test]
fn subqueries_in_operators() {
    check(
        r#"SELECT (SELECT 1 FROM a)::int, x[(SELECT 1 FROM b)], -(SELECT 1 FROM c), (SELECT 1 FROM d) IS NULL, x BETWEEN (SELECT 1 FROM e) AND (SELECT 1 FROM f), x LIKE (SELECT '' FROM g) ESCAPE (SELECT '' FROM h), extract(day FROM (SELECT 1 FROM i)), substring((SELECT 1 FROM j) FROM 1), trim((SELECT 1 FROM k) FROM x), overlay(x PLACING (SELECT 1 FROM l) FROM 1), position('' IN (SELECT 1 FROM m)), x AT TIME ZONE (SELECT '' FROM n), (x, (SELECT 1 FROM o)) = ROW(1, 2), x COLLATE "C" = (SELECT '' FROM p), interval '1 day' * (SELECT 1 FROM q) FROM t"#,
        expect![[r#"
            read, returns rows
            reads t[x]
            reads a[]
            reads b[]
            reads c[]
            reads d[]
            reads e[]
            reads f[]
            reads g[]
            reads h[]
            reads i[]
            reads j[]
            reads k[]
            reads l[]
            reads m[]
            reads n[]
            reads o[]
            reads p[]
            reads q[]
            calls extract, like, overlay, position, row, substring, timezone, trim"#]],
    );
}

#[test]
fn a_derived_table() {
    check(
        "SELECT s.x FROM (SELECT x, y FROM t) AS s",
        expect![[r#"
            read, returns rows
            reads t[x, y]"#]],
    );
}

#[test]
fn values_and_functions_are_no_relations() {
    check(
        "SELECT * FROM (VALUES (1, (SELECT max(id) FROM t))) AS v (a, b), generate_series(1, (SELECT 2 FROM u)) AS g, unnest($1, $2) AS un, jsonb_each(v.a) AS e (k, v), LATERAL my_function(1) AS f",
        expect![[r#"
            read, returns rows
            reads t[id]
            reads u[]
            calls generate_series, jsonb_each, max, unnest
            calls unknown my_function"#]],
    );
}

#[test]
fn the_table_command() {
    check(
        "TABLE public.users",
        expect![[r#"
            read, returns rows
            reads public.users[*]"#]],
    );
}

// Tables that inherit are taken to be read too.
#[test]
fn only_and_inheritance() {
    check(
        "SELECT id FROM ONLY users AS u WHERE u.id = $1 FETCH FIRST 3 ROWS ONLY",
        expect![[r#"
            read, returns rows
            reads users[id] where id = $1"#]],
    );
}

#[test]
fn set_operations() {
    check(
        "SELECT a FROM t UNION (SELECT b FROM u INTERSECT SELECT c FROM v ORDER BY 1 LIMIT 2) ORDER BY a",
        expect![[r#"
            read, returns rows
            reads t[a]
            reads u[b]
            reads v[c]"#]],
    );
}

#[test]
fn grouping_sets() {
    check(
        "SELECT a, sum(c) FROM t GROUP BY GROUPING SETS ((a), (b, x)), ROLLUP (d), CUBE (e)",
        expect![[r#"
            read, aggregate, returns rows
            reads t[a, b, c, d, e, x]
            calls sum"#]],
    );
}

#[test]
fn a_cte_is_no_relation() {
    check(
        "WITH s AS (SELECT x FROM t) SELECT s.x FROM s, s AS again",
        expect![[r#"
            read, returns rows
            reads t[x]"#]],
    );
}

#[test]
fn a_ctes_own_name_means_the_table_within_it() {
    check(
        "WITH t AS (SELECT x FROM t) SELECT x FROM t",
        expect![[r#"
            read, returns rows
            reads t[x]"#]],
    );
}

#[test]
fn later_ctes_see_earlier_ones() {
    check(
        "WITH a AS (SELECT 1 FROM t), b AS (SELECT 1 FROM a), c AS (SELECT 1 FROM d), d AS (SELECT 1 FROM b) SELECT 1 FROM c, d",
        expect![[r#"
            read, returns rows
            reads t[]
            reads d[]"#]],
    );
}

#[test]
fn a_recursive_cte_sees_itself_and_later_ones() {
    check(
        "WITH RECURSIVE a AS (SELECT id FROM t UNION ALL SELECT t.id FROM t JOIN a ON t.parent = a.id JOIN b ON true), b AS (SELECT 1) SELECT * FROM a",
        expect![[r#"
            read, returns rows
            reads t[id]
            reads t[id, parent]"#]],
    );
    check_sqlite(
        "WITH a AS (SELECT 1 FROM b), b AS (SELECT 1 FROM t) SELECT 1 FROM a",
        expect![[r#"
            read, returns rows
            reads t[]"#]],
    );
}

#[test]
fn a_cte_ends_with_its_query() {
    check(
        "SELECT (WITH s AS (SELECT 1) SELECT 1 FROM s), (SELECT 1 FROM s)",
        expect![[r#"
            read, returns rows
            reads s[]"#]],
    );
    check(
        "SELECT 1 FROM (WITH s AS (SELECT 1) SELECT 1 FROM s) AS d JOIN s ON true",
        expect![[r#"
            read, returns rows
            reads s[]"#]],
    );
}

#[test]
fn an_inner_cte_hides_an_outer_one() {
    check(
        "WITH s AS (SELECT 1 FROM a) SELECT 1 FROM (WITH s AS (SELECT 1 FROM b JOIN s ON true) SELECT 1 FROM s) AS d, s",
        expect![[r#"
            read, returns rows
            reads a[]
            reads b[]"#]],
    );
}

#[test]
fn a_qualified_name_is_never_a_cte() {
    check(
        "WITH s AS (SELECT 1) SELECT 1 FROM public.s",
        expect![[r#"
            read, returns rows
            reads public.s[]"#]],
    );
}

#[test]
fn aggregates_are_those_of_the_outermost_block() {
    check(
        "SELECT max(x) FROM t",
        expect![[r#"
            read, aggregate, returns rows
            reads t[x]
            calls max"#]],
    );
    check(
        "SELECT x FROM t GROUP BY x",
        expect![[r#"
            read, aggregate, returns rows
            reads t[x]"#]],
    );
    check(
        "SELECT 1 FROM t HAVING true",
        expect![[r#"
            read, aggregate, returns rows
            reads t[]"#]],
    );
    check(
        "SELECT x FROM (SELECT count(*) AS x FROM t) AS s",
        expect![[r#"
            read, returns rows
            reads t[]
            calls count"#]],
    );
    check(
        "WITH s AS (SELECT count(*) FROM t) SELECT * FROM s",
        expect![[r#"
            read, returns rows
            reads t[]
            calls count"#]],
    );
    check(
        "SELECT (SELECT count(*) FROM t)",
        expect![[r#"
            read, returns rows
            reads t[]
            calls count"#]],
    );
    check(
        "SELECT sum(x) OVER () FROM t",
        expect![[r#"
            read, returns rows
            reads t[x]
            calls sum"#]],
    );
    check_sqlite(
        "SELECT max(a, b) FROM t",
        expect![[r#"
            read, returns rows
            reads t[a, b]
            calls max"#]],
    );
    check_sqlite(
        "SELECT max(a) FROM t",
        expect![[r#"
            read, aggregate, returns rows
            reads t[a]
            calls max"#]],
    );
}

#[test]
fn sqlite_rowids_are_columns() {
    check_sqlite(
        "SELECT rowid, _rowid_, oid FROM t WHERE rowid = ?",
        expect![[r#"
            read, returns rows
            reads t[_rowid_, oid, rowid] where rowid = $1"#]],
    );
}

#[test]
fn elements_and_fields() {
    check(
        r#"SELECT "t"."a"[1], s.t.b[1:2], c[3], (t).d, (e).f, ((t).g).h FROM s.t"#,
        expect![[r#"
            read, returns rows
            reads s.t[*]
            calls unknown d, f, g, h"#]],
    );
}

#[test]
fn joins_without_parentheses_nest_by_their_conditions() {
    check(
        "SELECT 1 FROM a LEFT JOIN b JOIN c ON b.id = c.id AND b.k = $1 ON a.id = b.id AND c.k = $2 AND a.k = $3",
        expect![[r#"
            read, returns rows
            reads a[id, k]
            reads b[id, k] where k = $1
            reads c[id, k] where k = $2"#]],
    );
}
