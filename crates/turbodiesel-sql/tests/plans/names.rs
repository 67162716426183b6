//! How names are spelt and what they mean.

use expect_test::expect;

use crate::{check, check_sqlite};

#[test]
fn postgres_folds_unquoted_names() {
    check(
        r#"SELECT Id, "Id" FROM Users, "Users" WHERE Users.ID = $1 AND "Users"."ID" = $2"#,
        expect![[r#"
            read, returns rows
            reads users[Id, id] where id = $1
            reads Users[ID, Id, id] where ID = $2"#]],
    );
}

#[test]
fn sqlite_folds_all_names() {
    check_sqlite(
        r#"SELECT 1 FROM Users AS U, "Orders" WHERE u.Id = ? AND `ORDERS`.[Id] = ?"#,
        expect![[r#"
            read, returns rows
            reads users[id] where id = $1
            reads orders[id] where id = $2"#]],
    );
}

#[test]
fn schemas_are_kept() {
    check(
        r#"SELECT 1 FROM Public.Users, "My Schema"."T", db.s.u"#,
        expect![[r#"
            read, returns rows
            reads public.users[]
            reads My Schema.T[]
            reads s.u[]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM Main.Users WHERE users.id = ?",
        expect![[r#"
            read, returns rows
            reads main.users[id] where id = $1"#]],
    );
}

#[test]
fn odd_characters() {
    check(
        r#"SELECT "a""b"."x;y" FROM "we""ird -- name" AS "a""b" WHERE "a""b"."id$" = $1"#,
        expect![[r#"
            read, returns rows
            reads we"ird -- name[id$, x;y] where id$ = $1"#]],
    );
    check(
        r#"SELECT 1 FROM "select" AS "from" WHERE "from"."where" = $1"#,
        expect![[r#"
            read, returns rows
            reads select[where] where where = $1"#]],
    );
    check(
        r#"SELECT 1 FROM "Größe" WHERE "größe" = $1"#,
        expect![[r#"
            read, returns rows
            reads Größe[größe] where größe = $1"#]],
    );
    check_sqlite(
        "SELECT `a``b` FROM [x y] WHERE `/* id */` = ?",
        expect![[r#"
            read, returns rows
            reads x y[/* id */, a`b] where /* id */ = $1"#]],
    );
}

#[test]
fn long_names_are_cut_as_postgres_does() {
    check(
        "SELECT 1 FROM aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123456789",
        expect![[r#"
            read, returns rows
            reads aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123[]"#]],
    );
    check_sqlite(
        "SELECT 1 FROM aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123456789",
        expect![[r#"
            read, returns rows
            reads aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123456789[]"#]],
    );
    check(
        r#"SELECT 1 FROM "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12ä456789""#,
        expect![[r#"
            read, returns rows
            reads aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12[]"#]],
    );
}

#[test]
fn comments_are_no_names() {
    check(
        "/* FROM a */ SELECT 1 -- FROM b
FROM /* c /* nested */ JOIN d */ e",
        expect![[r#"
            read, returns rows
            reads e[]"#]],
    );
    check_sqlite(
        "/* FROM a /* */ SELECT 1 FROM e",
        expect![[r#"
            read, returns rows
            reads e[]"#]],
    );
}

#[test]
fn strings_are_no_names() {
    check(
        r#"SELECT 'FROM a', $$ FROM b $$, $x$ FROM c $x$, E'\' FROM d' FROM e"#,
        expect![[r#"
            read, returns rows
            reads e[]"#]],
    );
}

// A space that is none to the database, a name in escapes, an end of the text.
#[test]
fn what_the_parser_may_misread_is_refused() {
    check(
        "SELECT 1 FROM users\u{a0}x",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (unreadable text)"#]],
    );
    check(
        r#"SELECT 1 FROM U&"users""#,
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (unreadable text)"#]],
    );
    check(
        "SELECT 1 FROM a\0b",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (unreadable text)"#]],
    );
    check(
        "SELECT 1 FROM a\u{b}b",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (unreadable text)"#]],
    );
    check(
        "SELECT a ->>/* FROM b */ 'x' FROM c",
        expect![[r#"
            unknown, returns rows
            writes everything
            refused: not_understood (unreadable text)"#]],
    );
}
