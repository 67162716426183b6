//! Statements as Diesel writes them.

use expect_test::expect;

use crate::{check, check_sqlite};

#[test]
fn find() {
    check(
        r#"SELECT "users"."id", "users"."name" FROM "users" WHERE ("users"."id" = $1)"#,
        expect![[r#"
            read, returns rows
            reads users[id, name] where id = $1"#]],
    );
    check(
        r#"SELECT "users"."id", "users"."name" FROM "users" WHERE ("users"."id" = $1) LIMIT $2"#,
        expect![[r#"
            read, returns rows
            reads users[id, name] where id = $1"#]],
    );
    check_sqlite(
        "SELECT `users`.`id`, `users`.`name` FROM `users` WHERE (`users`.`id` = ?) LIMIT ?",
        expect![[r#"
            read, returns rows
            reads users[id, name] where id = $1"#]],
    );
}

#[test]
fn filters() {
    check(
        r#"SELECT "orders"."id" FROM "orders" WHERE ((("orders"."customer_id" = $1) AND ("orders"."state" = $2)) AND ("orders"."total" > $3)) ORDER BY "orders"."id" DESC  LIMIT $4 OFFSET $5"#,
        expect![[r#"
            read, returns rows
            reads orders[customer_id, id, state, total] where customer_id = $1 & state = $2"#]],
    );
    check(
        r#"SELECT "orders"."id" FROM "orders" WHERE (("orders"."customer_id" = $1) OR ("orders"."state" = $2))"#,
        expect![[r#"
            read, returns rows
            reads orders[customer_id, id, state]"#]],
    );
    check(
        r#"SELECT "users"."id" FROM "users" WHERE ("users"."name" ILIKE $1) AND ("users"."name" NOT LIKE $2 ESCAPE '!') AND ("users"."age" BETWEEN $3 AND $4) AND ("users"."a" IS NOT NULL) AND ("users"."b" IS DISTINCT FROM $5)"#,
        expect![[r#"
            read, returns rows
            reads users[a, age, b, id, name]
            calls like"#]],
    );
}

#[test]
fn eq_any() {
    check(
        r#"SELECT "users"."id" FROM "users" WHERE ("users"."id" = ANY($1))"#,
        expect![[r#"
            read, returns rows
            reads users[id] where id = any($1)"#]],
    );
    check(
        r#"SELECT "users"."id" FROM "users" WHERE ("users"."id" != ALL($1))"#,
        expect![[r#"
            read, returns rows
            reads users[id]"#]],
    );
    check_sqlite(
        "SELECT `users`.`id` FROM `users` WHERE (`users`.`id` IN (?, ?, ?))",
        expect![[r#"
            read, returns rows
            reads users[id] where id in ($1, $2, $3)"#]],
    );
    check_sqlite(
        "SELECT `users`.`id` FROM `users` WHERE (1=0)",
        expect![[r#"
            read, returns rows
            reads users[id]"#]],
    );
}

#[test]
fn joins() {
    check(
        r#"SELECT "posts"."id", "users"."name" FROM ("posts" INNER JOIN "users" ON ("posts"."user_id" = "users"."id")) WHERE ("users"."id" = $1)"#,
        expect![[r#"
            read, returns rows
            reads posts[id, user_id] where user_id = $1 through users.id
            reads users[id, name] where id = $1"#]],
    );
    check(
        r#"SELECT "users"."id", "posts"."id" FROM ("users" LEFT OUTER JOIN "posts" ON (("posts"."user_id" = "users"."id") AND ("posts"."published" = $1))) WHERE ("users"."id" = $2)"#,
        expect![[r#"
            read, returns rows
            reads users[id] where id = $2
            reads posts[id, published, user_id] where published = $1 & user_id = $2 through users.id"#]],
    );
    check(
        r#"SELECT "a"."id" FROM (("a" INNER JOIN "b" ON ("b"."a_id" = "a"."id")) LEFT OUTER JOIN "c" ON ("c"."b_id" = "b"."id")) WHERE ("a"."id" = $1)"#,
        expect![[r#"
            read, returns rows
            reads a[id] where id = $1
            reads b[a_id, id] where a_id = $1 through a.id
            reads c[b_id]"#]],
    );
    check_sqlite(
        "SELECT `posts`.`id` FROM (`posts` INNER JOIN `users` ON (`posts`.`user_id` = `users`.`id`)) WHERE (`users`.`id` = ?)",
        expect![[r#"
            read, returns rows
            reads posts[id, user_id] where user_id = $1 through users.id
            reads users[id] where id = $1"#]],
    );
    check(
        r#"SELECT "u"."id", "m"."id" FROM ("users" AS "u" INNER JOIN "users" AS "m" ON ("u"."manager_id" = "m"."id")) WHERE ("m"."id" = $1)"#,
        expect![[r#"
            read, returns rows
            reads users[id, manager_id] where manager_id = $1 through users.id
            reads users[id] where id = $1"#]],
    );
}

#[test]
fn aggregates() {
    check(
        r#"SELECT COUNT(*) FROM "users""#,
        expect![[r#"
            read, aggregate, returns rows
            reads users[]
            calls count"#]],
    );
    check(
        r#"SELECT "orders"."customer_id", sum("orders"."total"), max("orders"."at") FROM "orders" GROUP BY "orders"."customer_id" HAVING (sum("orders"."total") > $1)"#,
        expect![[r#"
            read, aggregate, returns rows
            reads orders[at, customer_id, total]
            calls max, sum"#]],
    );
    check(
        r#"SELECT COUNT(DISTINCT "users"."name") FROM "users" WHERE ("users"."team_id" = $1)"#,
        expect![[r#"
            read, aggregate, returns rows
            reads users[name, team_id] where team_id = $1
            calls count"#]],
    );
    check_sqlite(
        "SELECT avg(`t`.`x`) FROM `t`",
        expect![[r#"
            read, aggregate, returns rows
            reads t[x]
            calls avg"#]],
    );
}

#[test]
fn exists_and_subselects() {
    check(
        r#"SELECT EXISTS (SELECT "users"."id" FROM "users" WHERE ("users"."email" = $1))"#,
        expect![[r#"
            read, returns rows
            reads users[email, id] where email = $1"#]],
    );
    check(
        r#"SELECT "users"."id" FROM "users" WHERE ("users"."id" = ANY(SELECT "posts"."user_id" FROM "posts" WHERE ("posts"."id" = $1)))"#,
        expect![[r#"
            read, returns rows
            reads users[id]
            reads posts[id, user_id] where id = $1"#]],
    );
    check(
        r#"SELECT "users"."id" FROM "users" WHERE NOT (EXISTS (SELECT "posts"."id" FROM "posts" WHERE ("posts"."user_id" = "users"."id")))"#,
        expect![[r#"
            read, returns rows
            reads users[id]
            reads posts[id, user_id]"#]],
    );
}

#[test]
fn inserts() {
    check(
        r#"INSERT INTO "users" ("name", "email") VALUES ($1, $2)"#,
        expect![[r#"
            write
            writes insert users [name, email] ($1, $2)
            refused: write (writes)"#]],
    );
    check(
        r#"INSERT INTO "users" ("name", "email") VALUES ($1, $2), ($3, DEFAULT) RETURNING "users"."id", "users"."name""#,
        expect![[r#"
            write, returns rows
            writes insert users [name, email] ($1, $2) ($3, default)
            refused: write (writes)"#]],
    );
    check(
        r#"INSERT INTO "users" DEFAULT VALUES"#,
        expect![[r#"
            write
            writes insert users [*] of defaults
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO `users` (`name`, `email`) VALUES (?, ?) RETURNING `id`",
        expect![[r#"
            write, returns rows
            writes insert users [name, email] ($1, $2)
            refused: write (writes)"#]],
    );
    check(
        r#"INSERT INTO "archive" ("id") SELECT "orders"."id" FROM "orders" WHERE ("orders"."state" = $1)"#,
        expect![[r#"
            write
            reads orders[id, state] where state = $1
            writes insert archive [id] of rows
            refused: write (writes)"#]],
    );
}

#[test]
fn upserts() {
    check(
        r#"INSERT INTO "users" ("id", "name") VALUES ($1, $2) ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name""#,
        expect![[r#"
            write
            writes upsert users [id, name] ($1, $2) on conflict [id] update set [name]
            refused: write (writes)"#]],
    );
    check(
        r#"INSERT INTO "users" ("id", "name") VALUES ($1, $2) ON CONFLICT DO NOTHING"#,
        expect![[r#"
            write
            writes insert users [id, name] ($1, $2) on any conflict do nothing
            refused: write (writes)"#]],
    );
    check(
        r#"INSERT INTO "users" ("id", "name") VALUES ($1, $2) ON CONFLICT ("id", "name") WHERE ("users"."x" = $3) DO UPDATE SET "name" = $4 WHERE ("users"."id" = $5)"#,
        expect![[r#"
            write
            writes upsert users [id, name] ($1, $2) on conflict of an expression update the target too set [name]
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT INTO `users` (`id`, `name`) VALUES (?, ?) ON CONFLICT (`id`) DO UPDATE SET `name` = excluded.`name`",
        expect![[r#"
            write
            writes upsert users [id, name] ($1, $2) on conflict [id] update set [name]
            refused: write (writes)"#]],
    );
    check_sqlite(
        "REPLACE INTO `users` (`id`, `name`) VALUES (?, ?)",
        expect![[r#"
            write
            writes replace users [id, name] ($1, $2)
            refused: write (writes)"#]],
    );
    check_sqlite(
        "INSERT OR IGNORE INTO `users` (`id`) VALUES (?)",
        expect![[r#"
            write
            writes insert users [id] ($1)
            refused: write (writes)"#]],
    );
}

#[test]
fn updates_and_deletes() {
    check(
        r#"UPDATE "users" SET "name" = $1, "age" = ("users"."age" + $2) WHERE ("users"."id" = $3) RETURNING "users"."id""#,
        expect![[r#"
            write, returns rows
            writes update users set [age, name] where id = $3
            refused: write (writes)"#]],
    );
    check(
        r#"DELETE  FROM "users" WHERE ("users"."id" = $1)"#,
        expect![[r#"
            write
            writes delete users where id = $1
            refused: write (writes)"#]],
    );
    check(
        r#"DELETE  FROM "users" WHERE "users"."id" IN (SELECT "posts"."user_id" FROM "posts")"#,
        expect![[r#"
            write
            reads posts[user_id]
            writes delete users
            refused: write (writes)"#]],
    );
    check_sqlite(
        "UPDATE `users` SET `name` = ? WHERE (`users`.`id` = ?)",
        expect![[r#"
            write
            writes update users set [name] where id = $2
            refused: write (writes)"#]],
    );
    check_sqlite(
        "DELETE  FROM `users` WHERE (`users`.`id` = ?)",
        expect![[r#"
            write
            writes delete users where id = $1
            refused: write (writes)"#]],
    );
}

#[test]
fn postgres_operators() {
    check(
        r#"SELECT ("t"."j" -> $1), ("t"."j" ->> $2) FROM "t" WHERE ("t"."j" @> $3) AND ("t"."j" ? $4) AND ("t"."a" && $5) AND ("t"."r" <@ $6) AND ("t"."a"[$7] = $8) AND ("t"."x" IS NOT DISTINCT FROM $9)"#,
        expect![[r#"
            read, returns rows
            reads t[a, j, r, x]"#]],
    );
    check(
        r#"SELECT DISTINCT ON ("t"."a") "t"."a" FROM "t" ORDER BY "t"."a", "t"."b" DESC NULLS LAST"#,
        expect![[r#"
            read, returns rows
            reads t[a, b]"#]],
    );
    check(
        r#"SELECT "t"."x" AT TIME ZONE $1, CAST("t"."y" AS Int8), ARRAY[$2,$3] FROM "t""#,
        expect![[r#"
            read, returns rows
            reads t[x, y]
            calls timezone"#]],
    );
    check(
        r#"SELECT "t"."id" FROM "t" WHERE ("t"."id" = $1) FOR UPDATE  SKIP LOCKED"#,
        expect![[r#"
            read, returns rows
            reads t[id] where id = $1
            refused: locking (row lock)"#]],
    );
    check(
        r#"SELECT "t"."id" FROM "t" WHERE ("t"."id" = $1) FOR NO KEY UPDATE "#,
        expect![[r#"
            read, returns rows
            reads t[id] where id = $1
            refused: locking (row lock)"#]],
    );
    check(
        r#"SELECT count(*) OVER (PARTITION BY "t"."a" ORDER BY "t"."b" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM "t" WHERE ("t"."id" = $1)"#,
        expect![[r#"
            read, returns rows
            reads t[a, b, id]
            calls count"#]],
    );
    check(
        r#"SELECT "t"."id" FROM "t" TABLESAMPLE BERNOULLI($1)"#,
        expect![[r#"
            read, returns rows
            reads t[id]
            refused: sampling (TABLESAMPLE)"#]],
    );
    check(
        r#"SELECT "t"."id" FROM ONLY "t""#,
        expect![[r#"
            read, returns rows
            reads t[id]"#]],
    );
}

#[test]
fn combinations() {
    check(
        r#"(SELECT "a"."id" FROM "a" WHERE ("a"."id" = $1)) UNION ALL (SELECT "b"."id" FROM "b") ORDER BY "id" LIMIT $2"#,
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[id]"#]],
    );
    check_sqlite(
        "SELECT * FROM (SELECT `a`.`id` FROM `a`) UNION SELECT * FROM (SELECT `b`.`id` FROM `b` WHERE (`b`.`id` = ?))",
        expect![[r#"
            read, returns rows
            reads a[id]
            reads b[id] where id = $1"#]],
    );
}

#[test]
fn pagination_with_a_total() {
    check(
        r#"SELECT *, COUNT(*) OVER () FROM (SELECT "users"."id" FROM "users" WHERE ("users"."team_id" = $1)) t LIMIT $2 OFFSET $3"#,
        expect![[r#"
            read, returns rows
            reads users[id, team_id] where team_id = $1
            calls count"#]],
    );
}

#[test]
fn copy() {
    check(
        r#"COPY "users" ("name", "age") FROM STDIN WITH (FORMAT binary)"#,
        expect![[r#"
            write
            writes copy users [name, age] of rows
            refused: write (writes)"#]],
    );
    check(
        r#"COPY "users" ("name") TO STDOUT WITH (FORMAT binary)"#,
        expect![[r#"
            read
            reads users[*]
            refused: not_understood (COPY TO)"#]],
    );
}

#[test]
fn migrations() {
    check(
        "CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);",
        expect![[r#"
            schema
            writes everything
            refused: control (schema statement)"#]],
    );
    check(
        r#"SELECT "__diesel_schema_migrations"."version" FROM "__diesel_schema_migrations" ORDER BY "__diesel_schema_migrations"."version" DESC"#,
        expect![[r#"
            read, returns rows
            reads __diesel_schema_migrations[version]"#]],
    );
    check(
        "SET TIME ZONE 'UTC'",
        expect![[r#"
            session
            refused: control (control statement)"#]],
    );
    check_sqlite(
        "PRAGMA foreign_keys = ON",
        expect![[r#"
            session, returns rows
            refused: control (control statement)"#]],
    );
}
