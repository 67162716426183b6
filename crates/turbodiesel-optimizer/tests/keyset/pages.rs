//! What can be paginated, and what a page says of itself.

use std::pin::pin;

use diesel::{pg::Pg, prelude::*};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt as _;
use turbodiesel_optimizer::keyset::{
    Count, Error, Page, PageInfo, PaginateDsl as _, Total, asc, desc, unique,
};
use turbodiesel_testkit::Database;

use crate::support::{postgres, sqlite};

diesel::table! {
    posts { id -> Integer, author -> Integer, title -> Text }
}

diesel::table! {
    users { id -> Integer, name -> Text, boss -> Nullable<Integer> }
}

diesel::table! {
    likes (user, post) { user -> Integer, post -> Integer }
}

diesel::joinable!(posts -> users (author));
diesel::joinable!(likes -> posts (post));
diesel::allow_tables_to_appear_in_same_query!(posts, users, likes);

const SCHEMA: &str = "
    CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, boss integer);
    CREATE TABLE posts (id integer PRIMARY KEY, author integer NOT NULL, title text NOT NULL);
    CREATE TABLE likes (\"user\" integer, post integer, PRIMARY KEY (\"user\", post));
    INSERT INTO users VALUES (1, 'Ann', NULL), (2, 'bob', 1), (3, 'Cid', 1);
    INSERT INTO posts VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, 2, 'd'), (5, 1, 'e');
    INSERT INTO likes VALUES (1, 1), (1, 2), (2, 1), (2, 5), (3, 1);";

#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = posts)]
struct Post {
    id: i32,
    title: String,
}

async fn open() -> (AsyncPgConnection, Database) {
    postgres(SCHEMA).await
}

fn ids(page: &Page<Post>) -> Vec<i32> {
    page.into_iter().map(|post| post.id).collect()
}

/// All pages of a query, of so many rows each, forward; and the same backward.
macro_rules! walk {
    ($connection:expr, $size:expr, $row:ty, $pages:expr) => {{
        let (mut found, mut cursor): (Vec<$row>, _) = (Vec::new(), None);
        loop {
            let page: Page<$row> =
                $pages.after(cursor).first($size).load_page($connection).await.unwrap();
            cursor = page.end_cursor();
            let more = page.has_next_page();
            found.extend(page);
            if !more {
                break;
            }
        }
        let (mut back, mut cursor): (Vec<$row>, _) = (Vec::new(), None);
        loop {
            let page: Page<$row> =
                $pages.before(cursor).last($size).load_page($connection).await.unwrap();
            cursor = page.start_cursor();
            let more = page.has_previous_page();
            back.extend(page.into_rows().into_iter().rev());
            if !more {
                break;
            }
        }
        back.reverse();
        assert_eq!(found, back);
        found
    }};
}

#[tokio::test]
async fn what_a_page_says_of_itself() {
    let (mut connection, _database) = open().await;
    let pages = || posts::table.select(Post::as_select()).paginate_by(posts::id.asc());
    let first: Page<Post> = pages().first(2).load_page(&mut connection).await.unwrap();
    assert_eq!(ids(&first), [1, 2]);
    assert_eq!((first.has_previous_page(), first.has_next_page()), (false, true));
    assert_eq!(first.cursor(0), first.start_cursor());
    assert_eq!(first.cursor(1), first.end_cursor());
    assert_eq!(first.cursor(2), None);
    assert_eq!(first.total(), None);

    let middle = pages().after(first.end_cursor()).first(2);
    let middle: Page<Post> = middle.load_page(&mut connection).await.unwrap();
    assert_eq!(ids(&middle), [3, 4]);
    assert_eq!((middle.has_previous_page(), middle.has_next_page()), (true, true));

    // A page that is exactly full is not told to be followed by another.
    let last: Page<Post> =
        pages().after(middle.cursor(0)).first(2).load_page(&mut connection).await.unwrap();
    assert_eq!(ids(&last), [4, 5]);
    assert_eq!((last.has_previous_page(), last.has_next_page()), (true, false));

    let beyond: Page<Post> =
        pages().after(last.end_cursor()).first(2).load_page(&mut connection).await.unwrap();
    let nothing = PageInfo::clone(&beyond.info());
    assert_eq!((nothing.has_previous_page, nothing.has_next_page), (true, false));
    assert_eq!((nothing.start_cursor, nothing.end_cursor), (None, None));

    let edges: Vec<_> = first.clone().into_edges().collect();
    assert_eq!(edges[1].node.title, "b");
    assert_eq!(Some(&edges[1].cursor), first.end_cursor().as_ref());

    let back: Page<Post> =
        pages().before(last.end_cursor()).last(3).load_page(&mut connection).await.unwrap();
    assert_eq!(ids(&back), [2, 3, 4], "those next to the cursor, in order");
    assert_eq!((back.has_previous_page(), back.has_next_page()), (true, true));
}

#[tokio::test]
async fn without_rows() {
    let (mut connection, _database) = open().await;
    let pages = || posts::table.filter(posts::id.gt(99)).paginate_by(posts::id.asc());
    let first: Page<(i32, i32, String)> =
        pages().first(2).load_page(&mut connection).await.unwrap();
    let last: Page<(i32, i32, String)> = pages().last(2).load_page(&mut connection).await.unwrap();
    for page in [first, last] {
        assert!(page.rows().is_empty() && !page.has_next_page() && !page.has_previous_page());
    }
    let mut pages = pin!(pages().pages::<(i32, i32, String), _>(2, &mut connection));
    assert!(pages.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_of_pages() {
    let (mut connection, _database) = open().await;
    let query = || posts::table.select(posts::id).paginate_by(posts::id.desc()).count(Count::Exact);
    {
        let pages = query().pages::<i32, _>(2, &mut connection);
        let pages: Vec<Page<i32>> = pages.try_collect().await.unwrap();
        let rows: Vec<&[i32]> = pages.iter().map(Page::rows).collect();
        assert_eq!(rows, [&[5, 4][..], &[3, 2], &[1]]);
        let totals: Vec<bool> = pages.iter().map(|page| page.total().is_some()).collect();
        assert_eq!(totals, [true, false, false], "counted once");
        let after = pages[0].cursor(0);
        let pages = query().after(after).pages::<i32, _>(3, &mut connection);
        let pages: Vec<Page<i32>> = pages.try_collect().await.unwrap();
        assert_eq!(pages.iter().map(|page| page.rows().len()).collect::<Vec<_>>(), [3, 1]);
    }
    // A mistake is the stream's first and last item.
    let mut pages = pin!(query().pages::<i32, _>(0, &mut connection));
    assert!(pages.try_next().await.unwrap_err().is_page_size());
    assert!(pages.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn counts() {
    let (mut connection, _database) = open().await;
    diesel::sql_query("ANALYZE posts").execute(&mut connection).await.unwrap();
    let filtered = || posts::table.filter(posts::author.eq(1)).paginate_by(posts::id.asc());
    for (count, exact) in [(Count::Exact, true), (Count::Estimated, false)] {
        let page = filtered().count(count).first(1);
        let page: Page<(i32, i32, String)> = page.load_page(&mut connection).await.unwrap();
        let total = page.total().unwrap();
        assert_eq!((total.rows, total.exact), (3, exact));
    }
    // SQLite counts.
    let mut connection = sqlite(SCHEMA).await;
    for count in [Count::Exact, Count::Estimated] {
        let page = filtered().count(count).first(1);
        let page: Page<(i32, i32, String)> = page.load_page(&mut connection).await.unwrap();
        let Total { rows, exact, .. } = page.total().unwrap();
        assert_eq!((rows, exact), (3, true));
    }
}

#[tokio::test]
async fn page_sizes() {
    let (mut connection, _database) = open().await;
    for (size, most, fine) in
        [(0, 1_000, false), (1_000, 1_000, true), (1_001, 1_000, false), (1_001, 2_000, true)]
    {
        let pages = posts::table.select(posts::id).paginate_by(posts::id.asc()).max_page_size(most);
        let page = pages.first(size).load_page::<i32, _>(&mut connection).await;
        assert_eq!(page.is_ok(), fine, "{size} of {most}");
        if let Err(error) = page {
            assert!(error.is_page_size() && error.to_string().contains(&size.to_string()));
        }
    }
}

#[tokio::test]
async fn joins_that_find_one_row_each() {
    let (mut connection, _database) = open().await;
    let found = walk!(
        &mut connection,
        2,
        (i32, String),
        posts::table
            .inner_join(users::table)
            .select((posts::id, users::name))
            .paginate_by((users::name.desc(), unique(posts::id.asc())))
    );
    let expected = [(3, "bob"), (4, "bob"), (1, "Ann"), (2, "Ann"), (5, "Ann")];
    assert_eq!(found, expected.map(|(id, name)| (id, name.to_owned())));
}

#[tokio::test]
async fn joins_that_find_many_rows_each() {
    let (mut connection, _database) = open().await;
    // Post 1 has three likes: its id alone does not tell the rows apart, and that is noticed.
    let query = || posts::table.inner_join(likes::table).select((posts::id, likes::user));
    let pages = query().paginate_by(unique(posts::id.asc()));
    let page = pages.first(2).load_page::<(i32, i32), _>(&mut connection).await;
    assert!(page.unwrap_err().is_not_total());
    let found = walk!(
        &mut connection,
        2,
        (i32, i32),
        query().paginate_by((posts::id.asc(), unique(likes::user.desc())))
    );
    assert_eq!(found, [(1, 3), (1, 2), (1, 1), (2, 1), (5, 2)]);
}

#[tokio::test]
async fn outer_joins_have_keys_that_can_be_null() {
    let (mut connection, _database) = open().await;
    let found = walk!(
        &mut connection,
        1,
        (i32, Option<i32>),
        posts::table
            .left_join(likes::table)
            .select((posts::id, likes::user.nullable()))
            .paginate_by((asc(likes::user.nullable()).nulls_first(), unique(posts::id.asc()),))
    );
    let expected = [(3, None), (4, None), (1, Some(1)), (2, Some(1)), (1, Some(2)), (5, Some(2))];
    assert_eq!(found[..6], expected);
}

#[tokio::test]
async fn aliases_expressions_and_keys_of_two_columns() {
    let (mut connection, _database) = open().await;
    let bosses = diesel::alias!(users as bosses);
    let found = walk!(
        &mut connection,
        1,
        (i32, Option<String>),
        users::table
            .left_join(bosses.on(users::boss.eq(bosses.field(users::id).nullable())))
            .select((users::id, bosses.field(users::name).nullable()))
            .paginate_by((
                desc(bosses.field(users::name).nullable()).nulls_last(),
                unique(users::id.desc()),
            ))
    );
    let ann = || Some("Ann".to_owned());
    assert_eq!(found, [(3, ann()), (2, ann()), (1, None)]);

    // Upper and lower case are one, so that "bob" comes before "Cid", and a bind is in the key.
    let lower = || {
        diesel::dsl::sql::<diesel::sql_types::Text>("lower(users.name) || ")
            .bind::<diesel::sql_types::Text, _>("!")
    };
    let found = walk!(
        &mut connection,
        1,
        i32,
        users::table.select(users::id).paginate_by((asc(lower()), users::id.asc()))
    );
    assert_eq!(found, [1, 2, 3]);

    let found = walk!(
        &mut connection,
        2,
        (i32, i32),
        likes::table.paginate_by((likes::user.desc(), likes::post.asc()))
    );
    assert_eq!(found, [(3, 1), (2, 1), (2, 5), (1, 1), (1, 2)]);
}

#[tokio::test]
async fn filters_stay_whole() {
    let (mut connection, _database) = open().await;
    // `or_filter` means `(what was there) OR this`, raw SQL brings no parentheses.
    let found = walk!(
        &mut connection,
        1,
        i32,
        posts::table
            .select(posts::id)
            .filter(posts::author.eq(2))
            .or_filter(posts::title.eq("a"))
            .paginate_by((posts::author.desc(), posts::id.asc()))
    );
    assert_eq!(found, [3, 4, 1]);
    let raw = || diesel::dsl::sql::<diesel::sql_types::Bool>("author = 2 OR title = 'a'");
    let found = walk!(
        &mut connection,
        1,
        i32,
        posts::table.select(posts::id).filter(raw()).paginate_by(posts::id.desc())
    );
    assert_eq!(found, [4, 3, 1]);
}

#[tokio::test]
async fn boxed_queries() {
    let (mut connection, _database) = open().await;
    let found = walk!(&mut connection, 2, i32, {
        let query = posts::table.select(posts::id).into_boxed();
        query.filter(posts::author.eq(1)).paginate_by((posts::author.asc(), posts::id.desc()))
    });
    assert_eq!(found, [5, 2, 1]);
    // Whether it has a clause that does not go with pages shows at run time only.
    let boxed = || posts::table.select(posts::id).into_boxed::<Pg>();
    for (query, clause) in [
        (boxed().order(posts::id), "ORDER BY"),
        (boxed().limit(1), "LIMIT"),
        (boxed().offset(1), "OFFSET"),
        (boxed().distinct(), "DISTINCT"),
    ] {
        let page = query.paginate_by(posts::id.asc()).first(2);
        let error = page.load_page::<i32, _>(&mut connection).await.unwrap_err();
        assert!(error.is_query() && error.to_string().contains(clause), "{error}");
    }
}

#[tokio::test]
async fn in_a_transaction_and_in_a_task() {
    use diesel_async::AsyncConnection as _;

    let (mut connection, _database) = open().await;
    // Its error can be Diesel's …
    let rows: Vec<i32> = connection
        .transaction::<_, diesel::result::Error, _>(async |connection| {
            let page = posts::table.select(posts::id).paginate_by(posts::id.asc()).first(2);
            Ok(page.load_page(connection).await?.into_rows())
        })
        .await
        .unwrap();
    assert_eq!(rows, [1, 2]);
    // … and its future can be sent.
    let task = tokio::spawn(async move {
        let order = (posts::title.asc(), posts::id.desc());
        let query = posts::table.select(posts::id).into_boxed().paginate_by(order);
        let page: Page<i32> = query.first(2).load_page(&mut connection).await?;
        Ok::<_, Error>(page.into_rows())
    });
    assert_eq!(task.await.unwrap().unwrap(), [1, 2]);
}

#[tokio::test]
async fn errors_of_the_database_are_passed_on() {
    let (mut connection, database) = open().await;
    database.batch_execute("DROP TABLE posts").unwrap();
    let page = posts::table.select(posts::id).paginate_by(posts::id.asc()).first(2);
    let error = page.load_page::<i32, _>(&mut connection).await.unwrap_err();
    assert!(error.is_database());
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("posts"), "{source}");
    let error = diesel::result::Error::from(error);
    assert!(matches!(error, diesel::result::Error::DatabaseError(..)), "{error}");
}
