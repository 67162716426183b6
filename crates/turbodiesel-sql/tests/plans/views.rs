//! Plans of the bodies of views.

use expect_test::{Expect, expect};
use turbodiesel_sql::{Dialect, plan, plan_view};

fn check(definition: &str, expected: Expect) {
    expected.assert_eq(&plan_view(Dialect::Sqlite, definition).to_string());
}

#[test]
fn bodies_are_planned_like_queries() {
    check(
        "CREATE VIEW v AS SELECT id FROM orders WHERE state IS 'late' AND id = 1",
        expect![[r#"
            read, returns rows
            reads orders[id, state] where id = <int>"#]],
    );
    check(
        "create temp view if not exists main.\"as\" (a, b) as with x as (select 1 from t) select * from x",
        expect![[r#"
            read, returns rows
            reads t[]"#]],
    );
    check(
        "CREATE VIEW v AS SELECT random()",
        expect![[r#"
            read, returns rows
            calls random
            refused: volatile_function (random())"#]],
    );
}

#[test]
fn what_is_no_view_is_refused() {
    check(
        "CREATE TABLE t AS SELECT 1",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (no view)"#]],
    );
    check(
        "CREATE VIEW v AS",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (unknown statement)"#]],
    );
    check(
        "CREATE VIEW v",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (no view)"#]],
    );
    check(
        "SELECT 1 AS view",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (no view)"#]],
    );
    check(
        "",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (no view)"#]],
    );
}

// As `pg_get_viewdef` writes them.
#[test]
fn bodies_in_postgres() {
    let body = " SELECT o.id,\n    count(*) AS lines,\n    (o.total)::numeric(10,2) AS total\n   \
                FROM ((orders o\n     JOIN lines l ON ((l.order_id = o.id)))\n     \
                LEFT JOIN customers c ON ((c.id = o.customer_id)))\n  \
                WHERE (((o.state)::text = 'open'::text) AND \
                (o.at > '2024-01-01 00:00:00'::timestamp without time zone) AND \
                ((o.kind)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))\n  \
                GROUP BY o.id;";
    expect![[r#"
        read, aggregate, returns rows
        reads orders[at, customer_id, id, kind, state, total]
        reads lines[order_id]
        reads customers[id]
        calls count"#]]
    .assert_eq(&plan(Dialect::Postgres, body).to_string());
}
