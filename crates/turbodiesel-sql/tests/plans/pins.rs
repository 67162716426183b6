//! What pins the rows of a relation, and what must not.

use expect_test::expect;

use crate::{check, check_sqlite};

#[test]
fn binds_literals_and_lists_pin() {
    check(
        "SELECT id FROM t WHERE id = $1 AND 'x' = name AND done = true AND n = -7 AND k IN ($2, 3) AND g = ANY($3)",
        expect![[r#"
            read, returns rows
            reads t[done, g, id, k, n, name] where id = $1 & name = <text> & done = <bool> & n = <int> & k in ($2, <int>) & g = any($3)"#]],
    );
}

#[test]
fn arrays_of_values_pin_like_lists() {
    check(
        "SELECT 1 FROM t WHERE id = ANY(ARRAY[$1, $2]) AND (k) = ANY ((ARRAY['x']))",
        expect![[r#"
            read, returns rows
            reads t[id, k] where id in ($1, $2) & k = <text>"#]],
    );
}

#[test]
fn equal_rows_pin_column_by_column() {
    check(
        "SELECT 1 FROM t JOIN u ON (t.a, t.b) = (u.a, $1) WHERE (t.k, 7, u.a) = ($2, t.g, $3)",
        expect![[r#"
            read, returns rows
            reads t[a, b, g, k] where b = $1 & k = $2 & g = <int> & a = $3 through u.a
            reads u[a] where a = $3"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE (a, b) = (?, 1)",
        expect![[r#"
            read, returns rows
            reads t[a, b] where a = $1 & b = <int>"#]],
    );
}

// Some of them hold for a row of which one column is equal, or where both columns are NULL.
#[test]
fn other_comparisons_of_rows_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE (a, b) <> ($1, $2) AND (a, b) < ($1, $2) AND (a, b) IN (($1, $2)) AND ((a, b), c) = (($1, $2), $3 + 1) AND (a, b) = ($1, $2, $3) AND (a, b) IS NOT DISTINCT FROM ($1, $2) AND NOT (a, b) = ($1, $2) AND ROW(a, b) = ROW($1, $2)",
        expect![[r#"
            read, returns rows
            reads t[a, b, c]
            calls row"#]],
    );
}

#[test]
fn ranges_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE a BETWEEN $1 AND $1 AND b BETWEEN SYMMETRIC 1 AND 1 AND c >= 1 AND c <= 1 AND d LIKE 'x' AND e IS TRUE AND f IS NULL",
        expect![[r#"
            read, returns rows
            reads t[a, b, c, d, e, f]
            calls like"#]],
    );
}

#[test]
fn parentheses_do_not_matter() {
    check(
        "SELECT id FROM t WHERE ((((id) = ($1)) AND ((k = 2))))",
        expect![[r#"
            read, returns rows
            reads t[id, k] where id = $1 & k = <int>"#]],
    );
}

#[test]
fn the_most_specific_pin_of_a_column_is_kept() {
    check(
        "SELECT id FROM t WHERE id = ANY($1) AND id IN (1, 2) AND id = $2 AND id = $3",
        expect![[r#"
            read, returns rows
            reads t[id] where id = $2"#]],
    );
}

#[test]
fn other_literals_do_not_pin() {
    check(
        r#"SELECT 1 FROM t WHERE a = NULL AND b = 1.0 AND c = 99999999999999999999 AND d = 'a\b' AND e = E'x' AND f = $$x$$ AND g = +1 AND h = 1e3 AND i = B'1'"#,
        expect![[r#"
            read, returns rows
            reads t[a, b, c, d, e, f, g, h, i]"#]],
    );
}

#[test]
fn long_lists_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE a IN (1,2,3,4,5,6,7,8) AND b IN (1,2,3,4,5,6,7,8,9)",
        expect![[r#"
            read, returns rows
            reads t[a, b] where a in (<int>, <int>, <int>, <int>, <int>, <int>, <int>, <int>)"#]],
    );
}

#[test]
fn lists_of_anything_else_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE a IN (1, b) AND c IN ($1, NULL) AND d NOT IN (1) AND e IN (SELECT 1) AND f = ALL($1) AND g <> ANY($1) AND h = ANY(ARRAY[1, NULL]) AND i = ANY(ARRAY[1,2,3,4,5,6,7,8,9]) AND j = ANY(ARRAY[]) AND k = ANY(SELECT 1) AND l = ANY(($1)::int[])",
        expect![[r#"
            read, returns rows
            reads t[a, b, c, d, e, f, g, h, i, j, k, l]"#]],
    );
}

#[test]
fn either_of_two_does_not_pin() {
    check(
        "SELECT 1 FROM t WHERE id = 1 OR name = 'x'",
        expect![[r#"
            read, returns rows
            reads t[id, name]"#]],
    );
}

#[test]
fn or_within_and_leaves_the_rest() {
    check(
        "SELECT 1 FROM t WHERE (id = 1 OR id = 2) AND k = $1",
        expect![[r#"
            read, returns rows
            reads t[id, k] where k = $1"#]],
    );
}

#[test]
fn negation_does_not_pin() {
    check(
        "SELECT 1 FROM t WHERE NOT id = 1 AND NOT (k = 2 AND g = 3) AND h <> 4",
        expect![[r#"
            read, returns rows
            reads t[g, h, id, k]"#]],
    );
}

// NULL would be confined to rows that an equality can never name.
#[test]
fn null_safe_equality_does_not_pin() {
    check(
        "SELECT 1 FROM t WHERE id IS NOT DISTINCT FROM $1",
        expect![[r#"
            read, returns rows
            reads t[id]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE id IS ? AND k IS NOT ?",
        expect![[r#"
            read, returns rows
            reads t[id, k]"#]],
    );
}

#[test]
fn casts_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE id = $1::bigint AND k::text = 'x' AND CAST(g AS int) = 1",
        expect![[r#"
            read, returns rows
            reads t[g, id, k]"#]],
    );
}

#[test]
fn case_does_not_pin() {
    check(
        "SELECT 1 FROM t WHERE CASE WHEN a THEN id = 1 ELSE k = 2 END AND CASE id WHEN 1 THEN true END",
        expect![[r#"
            read, returns rows
            reads t[a, id, k]"#]],
    );
}

// 'A' and 'a' may be equal under another collation.
#[test]
fn explicit_collate_does_not_pin() {
    check(
        r#"SELECT 1 FROM t WHERE name COLLATE "und-ci" = $1 AND title = $2 COLLATE "und-ci""#,
        expect![[r#"
            read, returns rows
            reads t[name, title]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE name = ? COLLATE NOCASE",
        expect![[r#"
            read, returns rows
            reads t[name]"#]],
    );
}

#[test]
fn expressions_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE lower(name) = $1 AND id + 0 = $2 AND id = $3 + 1 AND j->>'a' = $6 AND a[1] = 2",
        expect![[r#"
            read, returns rows
            reads t[a, id, j, name]
            calls lower"#]],
    );
}

#[test]
fn comparisons_of_comparisons_do_not_pin() {
    check(
        "SELECT 1 FROM t WHERE (id = 1) = false AND (k = 2) IS NOT TRUE",
        expect![[r#"
            read, returns rows
            reads t[id, k]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE id = 1 = 0 AND k = 2 IS NULL AND a BETWEEN 0 AND g = 1",
        expect![[r#"
            read, returns rows
            reads t[a, g, id, k]"#]],
    );
}

#[test]
fn having_does_not_pin() {
    check(
        "SELECT id FROM t GROUP BY id HAVING id = $1",
        expect![[r#"
            read, aggregate, returns rows
            reads t[id]"#]],
    );
}

// They see only what WHERE left over. The grand total of a grouping set is there even if that is
// nothing, and says the same then.
#[test]
fn grouping_sets_and_distinct_on_keep_pins() {
    check(
        "SELECT a, count(*) FROM t WHERE id = $1 GROUP BY GROUPING SETS ((a), ())",
        expect![[r#"
            read, aggregate, returns rows
            reads t[a, id] where id = $1
            calls count"#]],
    );
    check(
        "SELECT DISTINCT ON (a) a, b FROM t WHERE id = $1 ORDER BY a, b DESC",
        expect![[r#"
            read, returns rows
            reads t[a, b, id] where id = $1"#]],
    );
}

// They may choose the first of some rows, but not by a value of the group.
#[test]
fn nothing_outside_pins_within_distinct_on_or_a_group() {
    check(
        "SELECT * FROM (SELECT DISTINCT ON (a) a, id FROM t ORDER BY a, id) AS s WHERE s.id = $1",
        expect![[r#"
            read, returns rows
            reads t[a, id]"#]],
    );
    check(
        "SELECT * FROM (SELECT a, max(id) AS id FROM t GROUP BY a) AS s WHERE s.id = $1",
        expect![[r#"
            read, returns rows
            reads t[a, id]
            calls max"#]],
    );
}

// They see only what WHERE left over.
#[test]
fn aggregates_limits_and_distinct_keep_pins() {
    check(
        "SELECT DISTINCT count(*) FROM t WHERE id = $1 GROUP BY k HAVING count(*) > 1 ORDER BY k LIMIT $2 OFFSET $3",
        expect![[r#"
            read, aggregate, returns rows
            reads t[id, k] where id = $1
            calls count"#]],
    );
}

#[test]
fn inner_join_conditions_pin_both_sides() {
    check(
        "SELECT 1 FROM a JOIN b ON a.id = b.a_id AND b.k = $1 WHERE a.id = $2",
        expect![[r#"
            read, returns rows
            reads a[id] where id = $2
            reads b[a_id, k] where k = $1 & a_id = $2 through a.id"#]],
    );
}

#[test]
fn a_comma_is_an_inner_join() {
    check(
        "SELECT 1 FROM a, b WHERE a.id = b.a_id AND b.id = 3",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id, id] where id = <int>"#]],
    );
}

// Every row of `a` is in the answer, whatever its id.
#[test]
fn left_join_condition_does_not_pin_the_preserved_side() {
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id AND a.id = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id] where a_id = $1 through a.id"#]],
    );
}

#[test]
fn left_join_condition_pins_the_nullable_side() {
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id AND b.k = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id, k] where k = $1"#]],
    );
}

#[test]
fn right_join_condition_pins_the_left_side_only() {
    check(
        "SELECT 1 FROM a RIGHT JOIN b ON a.id = b.a_id AND a.k = $1 AND b.k = $2",
        expect![[r#"
            read, returns rows
            reads a[id, k] where k = $1
            reads b[a_id, k]"#]],
    );
}

#[test]
fn full_join_condition_pins_nothing() {
    check(
        "SELECT 1 FROM a FULL JOIN b ON a.id = b.a_id AND a.id = $1 AND b.id = $2",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id, id]"#]],
    );
}

// A row that is filled up with NULLs does not pass either.
#[test]
fn where_pins_the_nullable_side() {
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id WHERE b.k = $1 AND a.id = $2",
        expect![[r#"
            read, returns rows
            reads a[id] where id = $2
            reads b[a_id, k] where k = $1 & a_id = $2 through a.id"#]],
    );
}

#[test]
fn equality_does_not_cross_an_outer_join_to_the_preserved_side() {
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id WHERE b.a_id = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id] where a_id = $1"#]],
    );
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id AND b.a_id = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id] where a_id = $1"#]],
    );
}

#[test]
fn equality_crosses_an_outer_join_to_the_nullable_side() {
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id WHERE a.id = $1",
        expect![[r#"
            read, returns rows
            reads a[id] where id = $1
            reads b[a_id] where a_id = $1 through a.id"#]],
    );
}

#[test]
fn equality_passes_through_several_columns() {
    check(
        "SELECT 1 FROM a, b, c WHERE a.x = b.y AND b.y = c.z AND c.z = $1",
        expect![[r#"
            read, returns rows
            reads a[x] where x = $1 through c.z, b.y
            reads b[y] where y = $1 through c.z
            reads c[z] where z = $1"#]],
    );
}

#[test]
fn equality_passes_through_columns_of_one_table() {
    check(
        "SELECT 1 FROM t WHERE a = b AND b = $1",
        expect![[r#"
            read, returns rows
            reads t[a, b] where b = $1 & a = $1 through t.b"#]],
    );
}

#[test]
fn equality_does_not_pass_through_other_comparisons() {
    check(
        "SELECT 1 FROM a, b WHERE (a.x = b.y OR a.z) AND a.z >= b.z AND b.y = $1 AND b.z = $2",
        expect![[r#"
            read, returns rows
            reads a[x, z]
            reads b[y, z] where y = $1 & z = $2"#]],
    );
}

#[test]
fn nested_joins_pin_within_their_reach() {
    check(
        "SELECT 1 FROM a LEFT JOIN (b JOIN c ON b.id = c.b_id AND c.k = $1) ON a.id = b.a_id",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id, id]
            reads c[b_id, k] where k = $1"#]],
    );
}

#[test]
fn an_outer_join_within_an_outer_join() {
    check(
        "SELECT 1 FROM a LEFT JOIN (b LEFT JOIN c ON b.id = c.b_id AND b.k = $1) ON a.id = b.a_id AND c.x = $2",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id, id, k]
            reads c[b_id, x] where x = $2"#]],
    );
}

#[test]
fn later_inner_join_conditions_pin_earlier_relations() {
    check(
        "SELECT 1 FROM a LEFT JOIN b ON a.id = b.a_id JOIN c ON c.b_id = b.id AND b.k = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id, id, k] where k = $1
            reads c[b_id]"#]],
    );
}

#[test]
fn using_and_natural_do_not_pin() {
    check(
        "SELECT 1 FROM a JOIN b USING (id) NATURAL JOIN c WHERE a.id = $1 AND id = $2",
        expect![[r#"
            read, returns rows
            reads a[*] where id = $1
            reads b[*]
            reads c[*]"#]],
    );
}

#[test]
fn an_unqualified_column_of_several_relations_does_not_pin() {
    check(
        "SELECT 1 FROM a, b WHERE id = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[id]"#]],
    );
    check(
        "SELECT 1 FROM a, unnest($2) AS u WHERE id = $1",
        expect![[r#"
            read, returns rows
            reads a[id]
            calls unnest"#]],
    );
    check(
        "SELECT 1 FROM a, (SELECT 1 AS id) AS s WHERE id = $1",
        expect![[r#"
            read, returns rows
            reads a[id]"#]],
    );
}

#[test]
fn a_table_read_twice_is_pinned_where_it_is_pinned() {
    check(
        "SELECT 1 FROM t JOIN t AS u ON t.parent = u.id WHERE t.id = $1",
        expect![[r#"
            read, returns rows
            reads t[id, parent] where id = $1
            reads t[id]"#]],
    );
}

// One occurrence that nothing pins depends on every row, whatever pins the other.
#[test]
fn a_table_read_once_more_without_a_pin() {
    check(
        "SELECT (SELECT count(*) FROM t) FROM t WHERE t.id = $1",
        expect![[r#"
            read, returns rows
            reads t[id] where id = $1
            reads t[]
            calls count"#]],
    );
    check(
        "SELECT 1 FROM t WHERE t.id = $1 AND NOT EXISTS (SELECT 1 FROM t AS other WHERE other.parent = t.id)",
        expect![[r#"
            read, returns rows
            reads t[id] where id = $1
            reads t[parent]"#]],
    );
    check(
        "WITH s AS (SELECT max(x) AS x FROM t) SELECT 1 FROM t, s WHERE t.id = $1 AND t.x = s.x",
        expect![[r#"
            read, returns rows
            reads t[x]
            reads t[id, x] where id = $1
            calls max"#]],
    );
}

#[test]
fn an_ambiguous_qualifier_does_not_pin() {
    check(
        "SELECT 1 FROM s.t, u.t WHERE t.id = $1 AND s.t.k = $2",
        expect![[r#"
            read, returns rows
            reads s.t[id, k]
            reads u.t[id, k]"#]],
    );
}

#[test]
fn a_schema_qualifier_pins_its_own_table() {
    check(
        "SELECT 1 FROM s.t JOIN s.u ON s.t.id = s.u.id WHERE s.u.id = $1 AND x.t.k = $2",
        expect![[r#"
            read, returns rows
            reads s.t[id, k] where id = $1 through s.u.id
            reads s.u[id] where id = $1"#]],
    );
}

// `id` is the second column here.
#[test]
fn column_alias_lists_do_not_pin() {
    check(
        "SELECT 1 FROM t AS x (name, id) WHERE x.id = $1 AND x.name = $2",
        expect![[r#"
            read, returns rows
            reads t[*]"#]],
    );
}

// Its column called `id` is another, whose type says nothing.
#[test]
fn equality_does_not_pass_through_columns_of_unknown_type() {
    check(
        "SELECT 1 FROM a, t AS x (name, id) WHERE a.k = x.id AND x.id = $1",
        expect![[r#"
            read, returns rows
            reads a[k]
            reads t[*]"#]],
    );
    check(
        "SELECT 1 FROM a, (SELECT b.x AS id FROM b) AS s WHERE a.k = s.id AND s.id = $1",
        expect![[r#"
            read, returns rows
            reads a[k]
            reads b[x]"#]],
    );
    check(
        "WITH s AS (SELECT x AS id FROM b) SELECT 1 FROM a, s, unnest($2) AS u (id) WHERE a.k = s.id AND s.id = $1 AND a.g = u.id AND u.id = $1",
        expect![[r#"
            read, returns rows
            reads b[x]
            reads a[g, k]
            calls unnest"#]],
    );
}

// Its rank counts the rows that the condition outside removes.
#[test]
fn a_window_function_in_a_derived_table() {
    check(
        "SELECT * FROM (SELECT id, rank() OVER (ORDER BY score) FROM t) AS r WHERE r.id = $1",
        expect![[r#"
            read, returns rows
            reads t[id, score]
            calls rank"#]],
    );
}

#[test]
fn a_window_in_the_block_itself() {
    check(
        "SELECT rank() OVER (ORDER BY score) FROM t WHERE id = $1",
        expect![[r#"
            read, returns rows
            reads t[id, score]
            calls rank"#]],
    );
    check(
        "SELECT 1 FROM t WHERE id = $1 ORDER BY sum(x) OVER w",
        expect![[r#"
            read, returns rows
            reads t[id, x]
            calls sum"#]],
    );
    check(
        "SELECT 1 FROM t WHERE id = $1 WINDOW w AS (ORDER BY x)",
        expect![[r#"
            read, returns rows
            reads t[id, x]"#]],
    );
}

#[test]
fn a_window_in_a_subquery_leaves_the_outer_block() {
    check(
        "SELECT (SELECT max(rank) FROM (SELECT rank() OVER (ORDER BY u.x) FROM u WHERE u.k = $2) AS r) FROM t WHERE id = $1",
        expect![[r#"
            read, returns rows
            reads t[id, rank] where id = $1
            reads u[k, x]
            calls max, rank"#]],
    );
}

#[test]
fn nothing_outside_pins_within_a_derived_table() {
    check(
        "SELECT * FROM (SELECT * FROM t ORDER BY score LIMIT 10) AS top WHERE top.id = $1",
        expect![[r#"
            read, returns rows
            reads t[*]"#]],
    );
}

#[test]
fn a_derived_table_pins_its_own_block() {
    check(
        "SELECT count(*) FROM (SELECT * FROM t WHERE id = $1 LIMIT $2) AS s",
        expect![[r#"
            read, aggregate, returns rows
            reads t[*] where id = $1
            calls count"#]],
    );
}

#[test]
fn nothing_outside_pins_within_a_cte() {
    check(
        "WITH s AS (SELECT * FROM t) SELECT * FROM s WHERE s.id = $1",
        expect![[r#"
            read, returns rows
            reads t[*]"#]],
    );
}

#[test]
fn set_operations_do_not_pin() {
    check(
        "SELECT a FROM t WHERE id = $1 UNION ALL SELECT a FROM u WHERE id = $1",
        expect![[r#"
            read, returns rows
            reads t[a, id]
            reads u[a, id]"#]],
    );
    check(
        "(SELECT a FROM t WHERE id = 1 LIMIT 1) EXCEPT SELECT a FROM u WHERE id = 2 ORDER BY a",
        expect![[r#"
            read, returns rows
            reads t[a, id]
            reads u[a, id]"#]],
    );
}

#[test]
fn exists_pins_its_own_block() {
    check(
        "SELECT 1 FROM a WHERE a.id = $1 AND EXISTS (SELECT 1 FROM b WHERE b.k = $2 AND b.a_id = a.id)",
        expect![[r#"
            read, returns rows
            reads a[id] where id = $1
            reads b[a_id, k] where k = $2"#]],
    );
}

#[test]
fn not_exists_pins_its_own_block() {
    check(
        "SELECT 1 FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = $1)",
        expect![[r#"
            read, returns rows
            reads a[]
            reads b[k] where k = $1"#]],
    );
}

#[test]
fn correlation_with_a_pinned_column_does_not_pin() {
    check(
        "SELECT 1 FROM a WHERE a.id = $1 AND NOT EXISTS (SELECT 1 FROM b WHERE b.a_id = a.id)",
        expect![[r#"
            read, returns rows
            reads a[id] where id = $1
            reads b[a_id]"#]],
    );
    check(
        "SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.a_id = a.id AND a.id = $1)",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id]"#]],
    );
}

#[test]
fn a_condition_of_a_subquery_does_not_pin_the_outer_block() {
    check(
        "SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.id = $1)",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[]"#]],
    );
    check(
        "SELECT 1 FROM a WHERE a.id IN (SELECT b.a_id FROM b WHERE b.a_id = $1)",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[a_id] where a_id = $1"#]],
    );
}

#[test]
fn scalar_subqueries_pin_their_own_block() {
    check(
        "SELECT (SELECT name FROM u WHERE u.id = $1) FROM t WHERE t.k = (SELECT x FROM v WHERE v.id = $2)",
        expect![[r#"
            read, returns rows
            reads t[k, name, x]
            reads u[id, name] where id = $1
            reads v[id, x] where id = $2"#]],
    );
}

#[test]
fn lateral_subqueries_pin_their_own_block() {
    check(
        "SELECT 1 FROM a, LATERAL (SELECT * FROM b WHERE b.a_id = a.id AND b.k = $1 LIMIT 1) AS s WHERE a.id = $2",
        expect![[r#"
            read, returns rows
            reads a[*] where id = $2
            reads b[*] where k = $1"#]],
    );
}

// Every row of `a` is in the answer.
#[test]
fn a_lateral_left_join_does_not_pin_the_preserved_side() {
    check(
        "SELECT 1 FROM a LEFT JOIN LATERAL (SELECT * FROM b WHERE b.a_id = a.id AND a.k = $2) AS s ON a.id = $1",
        expect![[r#"
            read, returns rows
            reads a[*]
            reads b[*]"#]],
    );
}

#[test]
fn branches_of_a_recursive_cte_do_not_pin() {
    check(
        "WITH RECURSIVE s AS (SELECT id FROM t WHERE id = $1 UNION SELECT t.id FROM t JOIN s ON t.parent = s.id WHERE t.k = $2) SELECT * FROM s WHERE s.id = $3",
        expect![[r#"
            read, returns rows
            reads t[id]
            reads t[id, k, parent]"#]],
    );
}

#[test]
fn a_joins_alias_hides_its_relations() {
    check(
        "SELECT 1 FROM (a JOIN b ON a.id = b.a_id AND b.k = $2) AS j WHERE j.id = $1",
        expect![[r#"
            read, returns rows
            reads a[*]
            reads b[*]"#]],
    );
}

#[test]
fn sqlite_binds_count_in_the_order_of_the_text() {
    check_sqlite(
        "SELECT ? FROM t WHERE a = ? AND b IN (?, ?) LIMIT ?",
        expect![[r#"
            read, returns rows
            reads t[a, b] where a = $2 & b in ($3, $4)"#]],
    );
}

#[test]
fn other_sqlite_binds_do_not_pin() {
    check_sqlite(
        "SELECT 1 FROM t WHERE a = ?1 AND b = ?",
        expect![[r#"
            read, returns rows
            reads t[a, b]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE a = :a",
        expect![[r#"
            read, returns rows
            reads t[a]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE a = @a AND b = 1",
        expect![[r#"
            read, returns rows
            reads t[a, b] where b = <int>"#]],
    );
    check_sqlite(
        "SELECT 1 FROM t WHERE a = $1",
        expect![[r#"
            read, returns rows
            reads t[a]"#]],
    );
}

#[test]
fn postgres_binds_count_by_number() {
    check(
        "SELECT $2 FROM t WHERE a = $3 AND b = $1 AND c = $0",
        expect![[r#"
            read, returns rows
            reads t[a, b, c] where a = $3 & b = $1"#]],
    );
}

#[test]
fn conditions_on_no_relation_of_the_block_do_nothing() {
    check(
        "SELECT 1 FROM t WHERE $1 = 1 AND u.id = $2 AND 'a' = 'a'",
        expect![[r#"
            read, returns rows
            reads t[*]"#]],
    );
}

/// To PostgreSQL `==` is an operator of a user's, and so is what begins with `=` and goes on.
#[test]
fn an_equality_of_another_name_does_not_pin() {
    for operator in ["==", "=@", "=~", "===", "=!"] {
        let sql = format!("SELECT a FROM t WHERE id {operator} 1");
        let plan = turbodiesel_sql::plan(turbodiesel_sql::Dialect::Postgres, &sql);
        assert!(plan.refusal().is_some(), "{sql}");
        assert!(plan.occurrences().iter().all(|occurrence| occurrence.pins.is_empty()), "{sql}");
        assert!(plan.functions().any(|function| *function.name == *operator), "{sql}");
        assert!(plan.operators().any(|(symbol, _)| symbol == operator), "{sql}");
    }
    // A sign after it is one of the value's.
    let plan =
        turbodiesel_sql::plan(turbodiesel_sql::Dialect::Postgres, "SELECT 1 FROM t WHERE id =-1");
    assert_eq!(plan.refusal(), None);
}
