//! Whatever the text: no panic, no overflow, no endless time, and the same meaning however it is
//! laid out.

use proptest::prelude::*;
use sqlparser::{
    dialect::{PostgreSqlDialect, SQLiteDialect},
    tokenizer::{Token, Tokenizer},
};
use turbodiesel_sql::{Dialect, Kind, Writes, plan};

const POSTGRES: &[&str] = &[
    r#"SELECT "users"."id", "users"."name" FROM "users" WHERE ("users"."id" = $1) LIMIT $2"#,
    r#"SELECT "a"."id" FROM (("a" INNER JOIN "b" ON ("b"."a_id" = "a"."id")) LEFT OUTER JOIN "c" ON ("c"."b_id" = "b"."id")) WHERE ("a"."id" = ANY($1))"#,
    "SELECT count(*), max(o.total) FILTER (WHERE o.x > 1) FROM orders AS o GROUP BY o.customer_id HAVING sum(o.total) > 3",
    "WITH RECURSIVE tree AS (SELECT id FROM nodes WHERE id = $1 UNION ALL SELECT n.id FROM nodes n JOIN tree ON n.parent = tree.id) SELECT * FROM tree",
    "WITH moved AS (DELETE FROM queue WHERE id IN (SELECT id FROM queue ORDER BY at LIMIT 5 FOR UPDATE SKIP LOCKED) RETURNING *) INSERT INTO done SELECT * FROM moved",
    "INSERT INTO t (a, b) VALUES ($1, DEFAULT), ($2, 'x') ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.c IS NULL RETURNING id",
    "INSERT INTO t (a) VALUES (1) ON CONFLICT (lower(a)) WHERE b > 1 DO NOTHING",
    "UPDATE t SET a = u.a FROM u WHERE t.id = u.id AND u.k = $1 RETURNING t.*",
    "DELETE FROM t USING t AS u WHERE t.parent = u.id AND u.id = 7",
    "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
    "SELECT rank() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (ORDER BY c)",
    "SELECT a->>'x', b::date, c IS NOT DISTINCT FROM $1, d BETWEEN SYMMETRIC 1 AND 2, e ILIKE 'y', f[1] FROM t",
    "SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.a_id = a.id LIMIT 1) AS s WHERE NOT EXISTS (SELECT 1 FROM c WHERE c.k = $1)",
    "SELECT now(), current_user, nextval('s'), 'x'::mood, lower(name) FROM ONLY users FOR NO KEY UPDATE",
    "COPY t (a, b) FROM STDIN WITH (FORMAT binary)",
    "TRUNCATE a, b CASCADE",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT 1 FROM t",
    "CREATE TEMP TABLE x AS SELECT 1",
    "SET LOCAL app.tenant = '1'",
];

const SQLITE: &[&str] = &[
    "SELECT `users`.`id` FROM `users` WHERE ((`users`.`id` = ?) AND (`users`.`name` IS ?)) LIMIT ? OFFSET ?",
    "INSERT OR REPLACE INTO t (a, b) VALUES (?, ?) RETURNING id",
    "INSERT INTO t (a) SELECT a FROM u WHERE true ON CONFLICT (a) DO UPDATE SET b = excluded.b",
    "SELECT date('now'), strftime('%s', at), group_concat(name, ',') FROM [odd name] WHERE x GLOB 'a*' GROUP BY 1",
    "WITH a AS (SELECT * FROM b), b AS (SELECT 1 FROM t) SELECT * FROM a LEFT JOIN t USING (id)",
    "PRAGMA table_info(t)",
    "REPLACE INTO t VALUES (?)",
];

fn statements() -> impl Strategy<Value = (Dialect, &'static str)> {
    prop_oneof![
        prop::sample::select(POSTGRES).prop_map(|sql| (Dialect::Postgres, sql)),
        prop::sample::select(SQLITE).prop_map(|sql| (Dialect::Sqlite, sql)),
    ]
}

fn tokens(dialect: Dialect, sql: &str) -> Vec<Token> {
    let parser: &dyn sqlparser::dialect::Dialect = match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
    };
    let mut tokens = Tokenizer::new(parser, sql).tokenize().unwrap();
    tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
    tokens
}

/// A token with the case of its letters changed where that means nothing.
fn recase(token: &Token, upper: bool) -> String {
    let text = token.to_string();
    match token {
        Token::Word(word) if word.quote_style.is_none() && upper => text.to_ascii_uppercase(),
        Token::Word(word) if word.quote_style.is_none() => text.to_ascii_lowercase(),
        _ => text,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(sql in ".*") {
        let _ = plan(Dialect::Postgres, &sql);
        let _ = plan(Dialect::Sqlite, &sql);
    }

    #[test]
    fn no_mutation_panics(
        (dialect, sql) in statements(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<prop::sample::Index>()), 1..6),
    ) {
        let mut words: Vec<String> = tokens(dialect, sql).iter().map(Token::to_string).collect();
        for (at, edit, other) in edits {
            if words.is_empty() {
                break;
            }
            let (at, other) = (at.index(words.len()), other.index(words.len()));
            match edit {
                0 => drop(words.remove(at)),
                1 => words.insert(at, words[other].clone()),
                2 => words.swap(at, other),
                _ => words.truncate(at),
            }
        }
        let plan = plan(dialect, &words.join(" "));
        // Whatever became of it, a plan never contradicts itself.
        prop_assert!(plan.kind() != Kind::Read || *plan.writes() == Writes::None);
        prop_assert!(plan.kind() != Kind::Unknown || *plan.writes() == Writes::Everything);
        prop_assert!(plan.kind() == Kind::Read || plan.refusal().is_some());
    }

    #[test]
    fn layout_means_nothing(
        (dialect, sql) in statements(),
        layout in prop::collection::vec((0..6_u8, any::<bool>()), 1..40),
    ) {
        let mut text = String::new();
        for (token, (space, upper)) in tokens(dialect, sql).iter().zip(layout.iter().cycle()) {
            text += match space {
                0 => "\n\t ",
                // A space before, for a comment after an operator is refused.
                1 => " /* ; ' \" FROM x */",
                2 => " --; DELETE FROM x '\n",
                3 => "\r\n",
                _ => " ",
            };
            text += &recase(token, *upper);
        }
        prop_assert_eq!(plan(dialect, &text), plan(dialect, sql), "{}", text);
    }
}

/// Long chains and deep nests, each repeated so many times.
fn extremes(times: usize) -> Vec<String> {
    let repeat = |text: &str| text.repeat(times);
    vec![
        format!("SELECT 1 FROM t WHERE a = 1{}", repeat(" OR a = 1")),
        format!("SELECT 1 FROM t WHERE a = 1{}", repeat(" AND a = b")),
        format!("SELECT 1 FROM t WHERE {}a = 1{}", repeat("("), repeat(")")),
        format!("SELECT 1 FROM t WHERE {}a = 1{}", repeat("("), repeat(" OR a = 2)")),
        format!("SELECT 1 FROM t WHERE {}a", repeat("NOT ")),
        format!("SELECT {}1", repeat("- ")),
        format!("SELECT 1{}", repeat("::int")),
        format!("SELECT a{}", repeat("[1]")),
        format!("SELECT {}1{}", repeat("f("), repeat(")")),
        format!("SELECT {}1{}", repeat("CASE WHEN true THEN "), repeat(" END")),
        format!("SELECT 1{}", repeat(" UNION SELECT 1")),
        format!("{}SELECT 1{}", repeat("("), repeat(")")),
        format!("SELECT * FROM {}t{}", repeat("("), repeat(")")),
        format!("SELECT * FROM {}t{}", repeat("(SELECT * FROM "), repeat(") AS s")),
        format!("SELECT * FROM {}a JOIN b ON true{}", repeat("("), repeat(" JOIN c ON true)")),
        format!("SELECT * FROM t{}", repeat(" JOIN t ON t.a = t.b")),
        format!("SELECT 1 FROM t WHERE a IN (1{})", repeat(", $1")),
        format!("SELECT 1 FROM t WHERE {}true{}", repeat("EXISTS (SELECT 1 WHERE "), repeat(")")),
        format!("{}SELECT 1", repeat("WITH a AS (SELECT 1) ")),
        format!("SELECT * FROM a{}", repeat(", LATERAL (SELECT * FROM b)")),
        format!("INSERT INTO t VALUES (1){}", repeat(", (1)")),
        repeat("("),
        repeat("SELECT "),
        repeat("EXPLAIN ANALYZE "),
        repeat("/*"),
        repeat("'"),
    ]
}

// A test's thread has 2 MiB of stack, like the runtime's. Were anything worse than quadratic, the
// test would not end.
#[test]
fn depth_and_length_overflow_nothing() {
    for times in [10, 100, 250, 1_000, 12_000, 30_000] {
        for sql in extremes(times) {
            let _ = plan(Dialect::Postgres, &sql);
        }
    }
}

#[test]
fn boxed_filters_built_in_a_loop_are_understood() {
    let filters = format!("{}a = 0{}", "(".repeat(120), " OR a = 1)".repeat(120));
    let plan = plan(Dialect::Postgres, &format!("SELECT a FROM t WHERE {filters}"));
    assert_eq!(plan.kind(), Kind::Read);
    assert_eq!(plan.refusal(), None);
}
