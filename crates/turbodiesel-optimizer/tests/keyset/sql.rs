//! The statements, as text.

use diesel::{pg::Pg, prelude::*, sqlite::Sqlite};
use diesel_async::AsyncPgConnection;
use expect_test::{Expect, expect};
use turbodiesel_optimizer::keyset::{Cursor, PaginateDsl as _, asc, desc, unique};

use crate::support::{key, postgres, sqlite};

diesel::table! {
    posts { id -> Integer, author -> Integer, created -> Nullable<BigInt> }
}

const SCHEMA: &str = "
    CREATE TABLE posts (id integer PRIMARY KEY, author integer NOT NULL, created bigint);
    INSERT INTO posts VALUES (1, 1, 10), (2, 1, 10), (3, 2, NULL), (4, 1, NULL);";

type Row = (i32, i32, Option<i64>);

/// One clause on each line.
#[expect(clippy::needless_pass_by_value, reason = "as `expect!` gives it")]
fn check(sql: &str, expected: Expect) {
    let mut lines = sql.replace("\"posts\".", "").replace('"', "");
    for clause in ["UNION ALL", "ORDER BY", "FROM (SELECT", "WHERE", "OR (", "AS page"] {
        lines = lines.replace(&format!(" {clause}"), &format!("\n{clause}"));
    }
    expected.assert_eq(&(lines + "\n"));
}

/// The cursor of a row, in an order.
macro_rules! cursor {
    ($connection:expr, $query:expr, $row:expr) => {{
        let page: turbodiesel_optimizer::keyset::Page<Row> =
            $query.signed_with(&key()).first(10).load_page($connection).await.unwrap();
        page.cursor($row).unwrap()
    }};
}

async fn connection() -> (AsyncPgConnection, turbodiesel_testkit::Database) {
    postgres(SCHEMA).await
}

#[test]
fn the_first_page() {
    let query = posts::table.paginate_by((posts::created.desc().nulls_last(), posts::id.desc()));
    check(
        &query.clone().first(20).sql::<Pg>().unwrap(),
        expect![[r"
            SELECT created, id, id, author, created FROM posts
            ORDER BY created DESC NULLS LAST, id DESC LIMIT 21
        "]],
    );
    // The last page is the first one backwards.
    check(
        &query.last(20).sql::<Pg>().unwrap(),
        expect![[r"
            SELECT created, id, id, author, created FROM posts
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 21
        "]],
    );
}

#[tokio::test]
async fn one_direction() {
    let (mut connection, _database) = connection().await;
    let query = || posts::table.paginate_by((posts::author.asc(), posts::id.asc()));
    let cursor = cursor!(&mut connection, query(), 1);
    let sql = query().signed_with(&key()).after(cursor).first(2).sql::<Pg>().unwrap();
    check(
        &sql,
        expect![[r#"
            SELECT ((SELECT 1 FROM posts
            WHERE (author, id) <= ($1, $2)
            ORDER BY author DESC, id DESC LIMIT 1) IS NOT NULL), author, id, id, author, created FROM posts
            WHERE (author, id) > ($3, $4)
            ORDER BY author ASC, id ASC LIMIT 3
        "#]],
    );
}

#[tokio::test]
async fn one_direction_backward_with_a_filter_that_needs_parentheses() {
    let (mut connection, _database) = connection().await;
    let filter = || diesel::dsl::sql::<diesel::sql_types::Bool>("author = 1 OR author = 2");
    let query = || posts::table.filter(filter()).paginate_by(posts::id.desc());
    let cursor = cursor!(&mut connection, query(), 1);
    let sql = query().signed_with(&key()).before(cursor).last(2).sql::<Pg>().unwrap();
    check(
        &sql,
        expect![[r#"
            SELECT ((SELECT 1 FROM posts
            WHERE (author = 1 OR author = 2) AND id <= $1
            ORDER BY id DESC LIMIT 1) IS NOT NULL), id, id, author, created FROM posts
            WHERE (author = 1 OR author = 2) AND id > $2
            ORDER BY id ASC LIMIT 3
        "#]],
    );
}

#[tokio::test]
async fn mixed_directions() {
    let (mut connection, _database) = connection().await;
    let query = || posts::table.paginate_by((posts::author.desc(), posts::id.asc()));
    let cursor = cursor!(&mut connection, query(), 1);
    let sql = query().signed_with(&key()).after(cursor).first(2).sql::<Pg>().unwrap();
    check(
        &sql,
        expect![[r#"
            SELECT ((SELECT 1 FROM posts
            WHERE author = $1 AND id = $2
            ORDER BY author ASC, id DESC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE author = $3 AND id < $4
            ORDER BY author ASC, id DESC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE author > $5
            ORDER BY author ASC, id DESC LIMIT 1) IS NOT NULL), page.*
            FROM (SELECT *
            FROM (SELECT author, id, id, author, created FROM posts
            WHERE author = $6 AND id > $7
            ORDER BY author DESC, id ASC LIMIT 3) branch_1
            UNION ALL SELECT *
            FROM (SELECT author, id, id, author, created FROM posts
            WHERE author < $8
            ORDER BY author DESC, id ASC LIMIT 3) branch_2) page
            ORDER BY 2 DESC, 3 ASC LIMIT 3
        "#]],
    );
}

#[tokio::test]
async fn nulls_last_behind_a_value_and_behind_a_null() {
    let (mut connection, _database) = connection().await;
    let query = || {
        let order = (posts::created.desc().nulls_last(), posts::id.desc());
        posts::table.filter(posts::author.eq(1)).paginate_by(order)
    };
    let value = cursor!(&mut connection, query(), 0);
    let null = cursor!(&mut connection, query(), 2);
    let sql =
        |cursor: Cursor| query().signed_with(&key()).after(cursor).first(2).sql::<Pg>().unwrap();
    check(
        &sql(value),
        expect![[r#"
            SELECT ((SELECT 1 FROM posts
            WHERE ((author = $1)) AND created = $2 AND id = $3
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE ((author = $4)) AND created = $5 AND id > $6
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE ((author = $7)) AND created > $8
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 1) IS NOT NULL), page.*
            FROM (SELECT *
            FROM (SELECT created, id, id, author, created FROM posts
            WHERE ((author = $9)) AND created = $10 AND id < $11
            ORDER BY created DESC NULLS LAST, id DESC LIMIT 3) branch_1
            UNION ALL SELECT *
            FROM (SELECT created, id, id, author, created FROM posts
            WHERE ((author = $12)) AND created < $13
            ORDER BY created DESC NULLS LAST, id DESC LIMIT 3) branch_2
            UNION ALL SELECT *
            FROM (SELECT created, id, id, author, created FROM posts
            WHERE ((author = $14)) AND created IS NULL
            ORDER BY created DESC NULLS LAST, id DESC LIMIT 3) branch_3) page
            ORDER BY 2 DESC NULLS LAST, 3 DESC LIMIT 3
        "#]],
    );
    check(
        &sql(null),
        expect![[r#"
            SELECT ((SELECT 1 FROM posts
            WHERE ((author = $1)) AND created IS NULL AND id = $2
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE ((author = $3)) AND created IS NULL AND id > $4
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE ((author = $5)) AND created IS NOT NULL
            ORDER BY created ASC NULLS FIRST, id ASC LIMIT 1) IS NOT NULL), created, id, id, author, created FROM posts
            WHERE ((author = $6)) AND created IS NULL AND id < $7
            ORDER BY created DESC NULLS LAST, id DESC LIMIT 3
        "#]],
    );
}

#[tokio::test]
async fn nothing_lies_behind_a_unique_null() {
    let (mut connection, _database) = connection().await;
    let query = || posts::table.paginate_by(unique(posts::created.asc().nulls_last()));
    let page: turbodiesel_optimizer::keyset::Page<Row> = posts::table
        .filter(posts::id.eq(3))
        .paginate_by(unique(posts::created.asc().nulls_last()))
        .signed_with(&key())
        .first(1)
        .load_page(&mut connection)
        .await
        .unwrap();
    // Of another query, whose filter differs: foreign.
    let cursor = page.end_cursor().unwrap();
    let error = query().signed_with(&key()).after(cursor).first(2).sql::<Pg>().unwrap_err();
    assert!(error.is_foreign_cursor());
    let query = || {
        let order = unique(posts::created.asc().nulls_last());
        posts::table.filter(posts::id.eq(3)).paginate_by(order).signed_with(&key())
    };
    let cursor = page.end_cursor().unwrap();
    check(
        &query().after(cursor.clone()).first(2).sql::<Pg>().unwrap(),
        expect![[r#"
            SELECT ((SELECT 1 FROM posts
            WHERE ((id = $1)) AND created IS NULL
            ORDER BY created DESC NULLS FIRST LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM posts
            WHERE ((id = $2)) AND created IS NOT NULL
            ORDER BY created DESC NULLS FIRST LIMIT 1) IS NOT NULL), page.*
            FROM (SELECT created, id, author, created FROM posts
            WHERE ((id = $3)) AND 1 = 0) page
            ORDER BY 2 ASC NULLS LAST LIMIT 3
        "#]],
    );
    let page: turbodiesel_optimizer::keyset::Page<Row> =
        query().after(cursor).first(2).load_page(&mut connection).await.unwrap();
    assert!(page.rows().is_empty() && page.has_previous_page() && !page.has_next_page());
}

#[tokio::test]
async fn sqlite_takes_the_same() {
    let mut connection = sqlite(SCHEMA).await;
    let query = || {
        let order = (desc(posts::created).nulls_last(), asc(posts::id));
        posts::table.filter(posts::author.eq(1)).paginate_by(order)
    };
    let cursor = cursor!(&mut connection, query(), 1);
    let sql = query().signed_with(&key()).after(cursor).first(2).sql::<Sqlite>().unwrap();
    check(
        &sql,
        expect![[r#"
            SELECT ((SELECT 1 FROM `posts`
            WHERE ((`posts`.`author` = ?)) AND `posts`.`created` = ? AND `posts`.`id` = ?
            ORDER BY `posts`.`created` ASC NULLS FIRST, `posts`.`id` DESC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM `posts`
            WHERE ((`posts`.`author` = ?)) AND `posts`.`created` = ? AND `posts`.`id` < ?
            ORDER BY `posts`.`created` ASC NULLS FIRST, `posts`.`id` DESC LIMIT 1) IS NOT NULL
            OR (SELECT 1 FROM `posts`
            WHERE ((`posts`.`author` = ?)) AND `posts`.`created` > ?
            ORDER BY `posts`.`created` ASC NULLS FIRST, `posts`.`id` DESC LIMIT 1) IS NOT NULL), page.*
            FROM (SELECT *
            FROM (SELECT `posts`.`created`, `posts`.`id`, `posts`.`id`, `posts`.`author`, `posts`.`created` FROM `posts`
            WHERE ((`posts`.`author` = ?)) AND `posts`.`created` = ? AND `posts`.`id` > ?
            ORDER BY `posts`.`created` DESC NULLS LAST, `posts`.`id` ASC LIMIT 3) branch_1
            UNION ALL SELECT *
            FROM (SELECT `posts`.`created`, `posts`.`id`, `posts`.`id`, `posts`.`author`, `posts`.`created` FROM `posts`
            WHERE ((`posts`.`author` = ?)) AND `posts`.`created` < ?
            ORDER BY `posts`.`created` DESC NULLS LAST, `posts`.`id` ASC LIMIT 3) branch_2
            UNION ALL SELECT *
            FROM (SELECT `posts`.`created`, `posts`.`id`, `posts`.`id`, `posts`.`author`, `posts`.`created` FROM `posts`
            WHERE ((`posts`.`author` = ?)) AND `posts`.`created` IS NULL
            ORDER BY `posts`.`created` DESC NULLS LAST, `posts`.`id` ASC LIMIT 3) branch_3) page
            ORDER BY 2 DESC NULLS LAST, 3 ASC LIMIT 3
        "#]],
    );
}
