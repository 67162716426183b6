//! What an application does with Diesel's query builder, on everything that is a connection here.

use diesel::{pg::Pg, prelude::*, sql_types::Integer};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, AsyncPgConnection, RunQueryDsl, SaveChangesDsl,
    methods::LoadQuery,
};
use futures_util::TryStreamExt;
use turbodiesel::{Db, Outcome};

use super::{Bench, assert_hit, typed_rows};

diesel::table! {
    authors { id -> Integer, name -> Text, born -> Nullable<Integer> }
}

diesel::table! {
    books {
        id -> Integer,
        author_id -> Nullable<Integer>,
        title -> Text,
        pages -> Integer,
    }
}

diesel::joinable!(books -> authors (author_id));
diesel::allow_tables_to_appear_in_same_query!(authors, books);

const SCHEMA: &str = "
    CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL UNIQUE, born integer);
    CREATE TABLE books (id serial PRIMARY KEY, author_id integer REFERENCES authors,
                        title text NOT NULL, pages integer NOT NULL);
    INSERT INTO authors (name, born) VALUES ('Ann', 1950), ('Bob', NULL), ('Cid', 1980);
    INSERT INTO books (author_id, title, pages)
        VALUES (1, 'Bolts', 100), (1, 'Nuts', 50), (2, 'Gears', 300), (NULL, 'Anonymous', 1);";

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = authors, check_for_backend(Pg))]
struct Author {
    id: i32,
    name: String,
    born: Option<i32>,
}

#[derive(Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = books, check_for_backend(Pg))]
struct Book {
    title: String,
    #[diesel(embed)]
    facts: BookFacts,
}

#[derive(Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = books, check_for_backend(Pg))]
struct BookFacts {
    pages: i32,
    author_id: Option<i32>,
}

#[derive(Debug, PartialEq, QueryableByName)]
struct ByName {
    #[diesel(sql_type = diesel::sql_types::Text)]
    title: String,
    #[diesel(embed)]
    author: Named,
}

#[derive(Debug, PartialEq, QueryableByName)]
#[diesel(table_name = authors)]
struct Named {
    #[diesel(column_name = name)]
    by: String,
}

fn author(id: i32, name: &str, born: Option<i32>) -> Author {
    Author { id, name: name.to_owned(), born }
}

#[tokio::test]
async fn selections_and_joins() {
    let mut bench = Bench::new(SCHEMA).await;
    let bench = &mut bench;
    let all =
        typed_rows!(bench, authors::table.select(Author::as_select()).order(authors::id), Author)
            .unwrap();
    assert_eq!(all[1], author(2, "Bob", None));

    let embedded =
        typed_rows!(bench, books::table.select(Book::as_select()).order(books::id).limit(1), Book)
            .unwrap();
    let facts = BookFacts { pages: 100, author_id: Some(1) };
    assert_eq!(embedded, [Book { title: "Bolts".to_owned(), facts }]);

    let joined = || {
        books::table
            .left_join(authors::table)
            .order(books::id)
            .select((Book::as_select(), Option::<Author>::as_select()))
    };
    let joined = typed_rows!(bench, joined(), (Book, Option<Author>)).unwrap();
    assert_eq!(joined[3].1, None);
    assert_eq!(joined[2].1, Some(author(2, "Bob", None)));

    let outer = || {
        authors::table
            .left_join(books::table)
            .order((authors::id, books::id))
            .select((authors::name, (books::title, books::pages).nullable()))
    };
    let outer = typed_rows!(bench, outer(), (String, Option<(String, i32)>)).unwrap();
    assert_eq!(outer.last(), Some(&("Cid".to_owned(), None)));

    let pairs = || authors::table.inner_join(books::table).select((authors::name, books::title));
    assert_eq!(typed_rows!(bench, pairs(), (String, String)).unwrap().len(), 3);
}

#[tokio::test]
async fn lists_of_any_length() {
    let mut bench = Bench::new(SCHEMA).await;
    for ids in [vec![], vec![2], vec![2, 1], vec![1, 2], (-500..500).collect()] {
        let query = || {
            authors::table
                .filter(authors::id.eq_any(ids.clone()))
                .order(authors::id)
                .select(authors::id)
        };
        let found = typed_rows!(&mut bench, query(), i32).unwrap();
        assert!(found.into_iter().eq((1..=3).filter(|id| ids.contains(id))));
        let query = || {
            authors::table
                .filter(authors::id.ne_all(ids.clone()))
                .order(authors::id)
                .select(authors::id)
        };
        let found = typed_rows!(&mut bench, query(), i32).unwrap();
        assert!(found.into_iter().eq((1..=3).filter(|id| !ids.contains(id))));
    }
}

#[tokio::test]
async fn boxed_queries_differ_by_what_was_added() {
    let mut bench = Bench::new(SCHEMA).await;
    for (name, born, limit) in [
        (None, None, None),
        (Some("Ann"), None, None),
        (Some("Bob"), None, None),
        (None, Some(1950), None),
        (None, Some(1980), Some(1)),
        (None, None, Some(2)),
        (Some("Ann"), Some(1950), Some(1)),
        (Some("Ann"), Some(1980), Some(1)),
    ] {
        let query = || {
            let mut query = authors::table.order(authors::id).into_boxed();
            if let Some(name) = name {
                query = query.filter(authors::name.eq(name));
            }
            if let Some(born) = born {
                query = query.or_filter(authors::born.eq(born));
            }
            match limit {
                Some(limit) => query.limit(limit),
                None => query,
            }
        };
        typed_rows!(&mut bench, query(), Author).unwrap();
    }
    assert_eq!(bench.db.stats().lookups.misses, 8, "each is a query of its own");
}

#[tokio::test]
async fn sql_by_name() {
    let mut bench = Bench::new(SCHEMA).await;
    let sql = "SELECT a.name, b.pages, b.title FROM books b JOIN authors a ON a.id = b.author_id \
               WHERE b.pages > $1 AND a.name <> $2 ORDER BY b.id";
    for (pages, name, expected) in [(0, "", 3), (0, "Ann", 1), (60, "Bob", 1), (1000, "", 0)] {
        let query = || {
            diesel::sql_query(sql)
                .bind::<Integer, _>(pages)
                .bind::<diesel::sql_types::Text, _>(name)
        };
        let rows = typed_rows!(&mut bench, query(), ByName).unwrap();
        assert_eq!(rows.len(), expected);
    }
    let query = diesel::sql_query("SELECT title, name FROM books JOIN authors ON author_id = 1");
    let mut query = query.into_boxed::<Pg>();
    query = query.sql(" WHERE books.id = ").sql("$1").bind::<Integer, _>(2);
    let rows: Vec<ByName> = query.load(&mut &bench.db).await.unwrap();
    assert_eq!(rows[0].author, Named { by: "Ann".to_owned() });
}

#[tokio::test]
async fn writes_return_rows_and_are_not_cached() {
    let bench = Bench::new(SCHEMA).await;
    let mut handle = bench.db.handle();
    let names = async |handle: &mut turbodiesel::Handle| {
        let names: Vec<String> =
            authors::table.select(authors::name).order(authors::id).load(handle).await.unwrap();
        names
    };
    for _ in 0..2 {
        assert_eq!(names(&mut handle).await, ["Ann", "Bob", "Cid"]);
    }
    assert_hit(handle.outcome());

    // The same INSERT twice inserts twice.
    for id in [4, 5] {
        let inserted: Author = diesel::insert_into(authors::table)
            .values((authors::name.eq(format!("New {id}")), authors::born.eq(2000)))
            .returning(Author::as_returning())
            .get_result(&mut handle)
            .await
            .unwrap();
        assert_eq!(inserted, author(id, &format!("New {id}"), Some(2000)));
        assert_eq!(handle.outcome(), Some(Outcome::Bypass(turbodiesel::Bypass::Write)));
        assert_eq!(names(&mut handle).await.len(), id as usize);
    }
    for born in [1, 2] {
        let updated: Vec<(i32, Option<i32>)> = diesel::update(authors::table)
            .filter(authors::id.ge(4))
            .set(authors::born.eq(authors::born + born))
            .returning((authors::id, authors::born))
            .load(&mut handle)
            .await
            .unwrap();
        let sum = if born == 1 { 2001 } else { 2003 };
        assert_eq!(updated, [(4, Some(sum)), (5, Some(sum))]);
    }
    let bob: Author = authors::table.find(2).first(&mut handle).await.unwrap();
    let changed = Author { name: "Robert".to_owned(), ..bob };
    let saved: Author = changed.clone().save_changes(&mut handle).await.unwrap();
    assert_eq!(saved, changed);
    assert_eq!(names(&mut handle).await[1], "Robert");
    for expected in [vec![4, 5], vec![]] {
        let deleted: Vec<i32> = diesel::delete(authors::table.filter(authors::id.ge(4)))
            .returning(authors::id)
            .get_results(&mut handle)
            .await
            .unwrap();
        assert_eq!(deleted, expected);
    }
    assert_eq!(names(&mut handle).await.len(), 3);

    let conflict = diesel::insert_into(authors::table)
        .values(authors::name.eq("Ann"))
        .execute(&mut handle)
        .await;
    let Err(diesel::result::Error::DatabaseError(kind, information)) = conflict else {
        panic!("a name is taken once: {conflict:?}")
    };
    assert!(matches!(kind, diesel::result::DatabaseErrorKind::UniqueViolation));
    assert_eq!(information.constraint_name(), Some("authors_name_key"));
    let upserted: Author = diesel::insert_into(authors::table)
        .values((authors::name.eq("Ann"), authors::born.eq(1951)))
        .on_conflict(authors::name)
        .do_update()
        .set(authors::born.eq(diesel::upsert::excluded(authors::born)))
        .get_result(&mut &bench.db)
        .await
        .unwrap();
    assert_eq!(upserted, author(1, "Ann", Some(1951)));
}

#[tokio::test]
async fn streams_end_like_lists() {
    let bench = Bench::new(SCHEMA).await;
    let mut handle = bench.db.handle();
    for hit in [false, true] {
        let rows = authors::table.order(authors::id).load_stream::<Author>(&mut handle);
        let rows: Vec<Author> = rows.await.unwrap().try_collect().await.unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(matches!(handle.outcome(), Some(Outcome::Hit(_))), hit);
        let titles = books::table.order(books::id).select(books::title);
        let titles = titles.load_stream::<String>(&mut &bench.db).await.unwrap();
        assert_eq!(titles.try_collect::<Vec<_>>().await.unwrap().len(), 4);
    }
}

/// What an application wrote over any full connection of diesel-async, before turbodiesel.
async fn rename<C>(connection: &mut C, id: i32, name: &str) -> QueryResult<Vec<Author>>
where
    C: AsyncConnection<Backend = Pg>,
{
    let name = name.to_owned();
    connection
        .transaction::<_, diesel::result::Error, _>(async move |connection| {
            diesel::update(authors::table.find(id))
                .set(authors::name.eq(&name))
                .execute(connection)
                .await?;
            authors::table.order(authors::id).load::<Author>(connection).await
        })
        .await?;
    authors::table.order(authors::id).load(connection).await
}

/// What it wrote over anything that loads.
async fn names<C>(connection: &mut C) -> QueryResult<Vec<String>>
where
    C: AsyncConnectionCore<Backend = Pg>,
    diesel::dsl::Order<diesel::dsl::Select<authors::table, authors::name>, authors::id>:
        for<'q> LoadQuery<'q, C, String>,
{
    authors::table.select(authors::name).order(authors::id).load(connection).await
}

#[tokio::test]
async fn generic_code_runs_on_every_connection() {
    let Bench { mut plain, db, tables: _, database: _database } = Bench::new(SCHEMA).await;
    let mut connection = db.connection().await.unwrap();

    let ours = rename(&mut connection, 1, "Eve").await.unwrap();
    let theirs = authors::table.order(authors::id).load::<Author>(&mut plain).await.unwrap();
    assert_eq!(ours, theirs);
    assert_eq!(ours[0].name, "Eve");
    let theirs = rename(&mut plain, 1, "Ada").await.unwrap();
    assert_eq!(theirs[0].name, "Ada");
    // Written past turbodiesel, so told by hand.
    db.invalidate_table("authors").unwrap();

    let expected = ["Ada", "Bob", "Cid"];
    assert_eq!(names::<AsyncPgConnection>(&mut plain).await.unwrap(), expected);
    let mut handle = db.handle();
    for _ in 0..2 {
        assert_eq!(names::<&Db>(&mut &db).await.unwrap(), expected);
        assert_eq!(names(&mut handle).await.unwrap(), expected);
        assert_hit(handle.outcome());
        assert_eq!(names(&mut connection).await.unwrap(), expected);
        assert_hit(connection.outcome());
    }
}
