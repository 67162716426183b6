//! A write ends what it touched and nothing else.

mod composite;
mod indirect;
mod outdated;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use turbodiesel::{Db, Outcome};
use turbodiesel_testkit::Database;

use crate::support::{ask, ask_database, assert_cached};

diesel::table! {
    orders { id -> Integer, customer -> Integer, code -> Text, note -> Nullable<Text> }
}

/// Two customers with two orders each. `id` is a serial key, `customer` a foreign key, `code` unique.
const SCHEMA: &str = "
    CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id serial PRIMARY KEY, customer integer NOT NULL REFERENCES customers,
                         code text NOT NULL UNIQUE, note text);
    INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob');
    INSERT INTO orders (customer, code, note)
        VALUES (1, 'a', 'x'), (1, 'b', NULL), (2, 'c', NULL), (2, 'd', NULL);";

async fn open_with(more: &str) -> (Database, Db) {
    let database = turbodiesel_testkit::database();
    database.batch_execute(SCHEMA).unwrap();
    database.batch_execute(more).unwrap();
    let db = Db::builder().url(database.url()).build().await.unwrap();
    (database, db)
}

async fn open() -> (Database, Db) {
    open_with("").await
}

/// The questions that the tests ask, each by one key or by none.
const BY_ID: [&str; 2] = [
    "SELECT count(note)::text AS answer FROM orders WHERE id = 1",
    "SELECT count(note)::text AS answer FROM orders WHERE id = 3",
];
const BY_CUSTOMER: [&str; 2] = [
    "SELECT coalesce(string_agg(code, ',' ORDER BY id), '') AS answer FROM orders WHERE customer = 1",
    "SELECT coalesce(string_agg(code, ',' ORDER BY id), '') AS answer FROM orders WHERE customer = 2",
];
const BY_CODE: [&str; 2] = [
    "SELECT count(note)::text AS answer FROM orders WHERE code = 'a'",
    "SELECT count(note)::text AS answer FROM orders WHERE code = 'c'",
];
const ALL: &str = "SELECT count(note)::text || count(*) AS answer FROM orders";

/// Has all of them answered, performs a write, and says which of them it ended.
async fn ended(db: &Db, questions: &[&str], write: impl AsyncFnOnce(&Db)) -> Vec<bool> {
    for question in questions {
        assert_cached(db, question).await;
    }
    write(db).await;
    let mut ended = Vec::new();
    for question in questions {
        let (answer, outcome) = ask(db, question).await;
        ended.push(!matches!(outcome, Outcome::Hit(_)));
        let fresh = ask_database(db, question).await;
        assert_eq!(answer, fresh, "{question}: {outcome}");
    }
    ended
}

/// Of all questions.
async fn ended_of_all(db: &Db, write: impl AsyncFnOnce(&Db)) -> Vec<bool> {
    let questions: Vec<&str> =
        [&BY_ID[..], &BY_CUSTOMER, &BY_CODE, &[ALL]].into_iter().flatten().copied().collect();
    ended(db, &questions, write).await
}

async fn execute(db: &Db, sql: &str) {
    diesel::sql_query(sql).execute(&mut &*db).await.unwrap();
}

const NOTHING: bool = false;
const ENDED: bool = true;

#[tokio::test]
async fn an_insert_with_a_serial_key_ends_its_own_customer_alone() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        let new = (orders::customer.eq(2), orders::code.eq("e"));
        let count =
            diesel::insert_into(orders::table).values(new).execute(&mut &*db).await.unwrap();
        assert_eq!(count, 1);
    })
    .await;
    assert_eq!(ended, [NOTHING, NOTHING, NOTHING, ENDED, NOTHING, NOTHING, ENDED]);
}

#[tokio::test]
async fn an_insert_tells_the_caller_only_what_was_asked_for() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        let new = (orders::customer.eq(2), orders::code.eq("e"));
        let id: i32 = diesel::insert_into(orders::table)
            .values(new)
            .returning(orders::id)
            .get_result(&mut &*db)
            .await
            .unwrap();
        assert_eq!(id, 5);
        #[derive(QueryableByName)]
        struct Code {
            #[diesel(sql_type = diesel::sql_types::Text)]
            code: String,
        }
        let code: Code = diesel::sql_query(
            "INSERT INTO orders (customer, code) VALUES (2, 'f') RETURNING 'F' AS code",
        )
        .get_result(&mut &*db)
        .await
        .unwrap();
        assert_eq!(code.code, "F");
    })
    .await;
    assert_eq!(ended, [NOTHING, NOTHING, NOTHING, ENDED, NOTHING, NOTHING, ENDED]);
}

#[tokio::test]
async fn an_update_by_key_ends_its_row_and_the_lists_it_is_in() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        let update = diesel::update(orders::table.find(3)).set(orders::note.eq("y"));
        assert_eq!(update.execute(&mut &*db).await.unwrap(), 1);
    })
    .await;
    assert_eq!(ended, [NOTHING, ENDED, NOTHING, ENDED, NOTHING, ENDED, ENDED]);
}

/// Whether a write tells what rows were before it (`RETURNING old.…`), as PostgreSQL does from 18 on.
async fn tells_what_was_before(db: &Db) -> bool {
    let version = "SELECT current_setting('server_version_num') AS answer";
    ask_database(db, version).await.parse::<u32>().unwrap() >= 180_000
}

/// Ends what the row was in before as well; where nobody tells that, any list may be it.
#[tokio::test]
async fn an_update_that_moves_a_row_ends_the_list_it_was_in_too() {
    let third = "INSERT INTO customers VALUES (3, 'Cid');
                 INSERT INTO orders (customer, code) VALUES (3, 'e'), (3, 'f');";
    let (_database, db) = open_with(third).await;
    let others = !tells_what_was_before(&db).await;
    let third = "SELECT count(code)::text AS answer FROM orders WHERE customer = 3";
    let questions = [BY_CUSTOMER[0], BY_CUSTOMER[1], third, BY_ID[0], BY_ID[1], BY_CODE[0]];
    let moved = ended(&db, &questions, async |db| {
        let update = diesel::update(orders::table.find(3)).set(orders::customer.eq(1));
        assert_eq!(update.execute(&mut &*db).await.unwrap(), 1);
    })
    .await;
    assert_eq!(moved, [ENDED, ENDED, others, NOTHING, ENDED, NOTHING]);
    // What it returns to the caller is what was asked for.
    let moved = ended(&db, &questions, async |db| {
        let update = diesel::update(orders::table.find(3)).set(orders::customer.eq(2));
        let code: String = update.returning(orders::code).get_result(&mut &*db).await.unwrap();
        assert_eq!(code, "c");
    })
    .await;
    assert_eq!(moved, [ENDED, ENDED, others, NOTHING, ENDED, NOTHING]);
    // In a transaction it ends with the commit.
    let moved = ended(&db, &questions, async |db| {
        db.transaction::<_, diesel::result::Error, _>(async |connection| {
            let update = diesel::update(orders::table.find(3)).set(orders::customer.eq(1));
            update.execute(connection).await?;
            Ok(())
        })
        .await
        .unwrap();
    })
    .await;
    assert_eq!(moved, [ENDED, ENDED, others, NOTHING, ENDED, NOTHING]);
}

#[tokio::test]
async fn a_delete_by_key_ends_its_row_and_the_lists_it_was_in() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        assert_eq!(diesel::delete(orders::table.find(4)).execute(&mut &*db).await.unwrap(), 1);
    })
    .await;
    assert_eq!(ended, [NOTHING, NOTHING, NOTHING, ENDED, NOTHING, NOTHING, ENDED]);
}

#[tokio::test]
async fn a_delete_by_another_key_ends_more() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        execute(db, "DELETE FROM orders WHERE customer = 2").await;
    })
    .await;
    // It may be many rows, so they are not asked for.
    assert_eq!(ended, [ENDED, ENDED, NOTHING, ENDED, ENDED, ENDED, ENDED]);
}

#[tokio::test]
async fn a_row_that_is_not_there_ends_nothing_but_the_table() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        let update = diesel::update(orders::table.find(77)).set(orders::note.eq("y"));
        assert_eq!(update.execute(&mut &*db).await.unwrap(), 0);
    })
    .await;
    assert_eq!(ended, [NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, ENDED]);
}

#[tokio::test]
async fn a_write_that_fails_ends_nothing_but_the_table() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        let new = (orders::customer.eq(2), orders::code.eq("a"));
        diesel::insert_into(orders::table).values(new).execute(&mut &*db).await.unwrap_err();
    })
    .await;
    assert_eq!(ended, [NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, ENDED]);
}

#[tokio::test]
async fn upserts() {
    let (_database, db) = open().await;
    let upsert =
        "INSERT INTO orders (customer, code, note) VALUES (1, 'c', 'z') ON CONFLICT (code) ";
    let ended_by = async |rest: &str| {
        ended_of_all(&db, async |db| execute(db, &format!("{upsert}{rest}")).await).await
    };
    // The row that conflicts keeps its customer, whatever was supplied.
    let ended = ended_by("DO UPDATE SET note = excluded.note").await;
    assert_eq!(ended, [NOTHING, ENDED, NOTHING, ENDED, NOTHING, ENDED, ENDED]);
    let ended = ended_by("DO NOTHING").await;
    assert_eq!(ended, [NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, ENDED]);
    // From here on the row changes its keys, and before 18 nobody tells what they were.
    let others = !tells_what_was_before(&db).await;
    let ended = ended_by("DO UPDATE SET customer = excluded.customer").await;
    assert_eq!(ended, [NOTHING, ENDED, ENDED, ENDED, NOTHING, ENDED, ENDED]);
    // The conflict target itself changes.
    let ended = ended_by("DO UPDATE SET code = 'q'").await;
    assert_eq!(ended, [NOTHING, ENDED, ENDED, NOTHING, others, ENDED, ENDED]);
}

#[tokio::test]
async fn in_a_transaction_what_was_learnt_ends_with_the_commit() {
    let (_database, db) = open().await;
    let ended = ended_of_all(&db, async |db| {
        db.transaction::<_, diesel::result::Error, _>(async |connection| {
            let update = diesel::update(orders::table.find(3)).set(orders::note.eq("y"));
            update.execute(connection).await?;
            // Rolled back, it has never happened.
            let savepoint: QueryResult<()> = connection
                .transaction(async |connection| {
                    diesel::delete(orders::table.find(1)).execute(connection).await?;
                    Err(diesel::result::Error::RollbackTransaction)
                })
                .await;
            assert!(savepoint.is_err());
            Ok(())
        })
        .await
        .unwrap();
    })
    .await;
    assert_eq!(ended, [NOTHING, ENDED, NOTHING, ENDED, NOTHING, ENDED, ENDED]);
}

#[tokio::test]
async fn binds_of_any_width_name_the_same_key() {
    use diesel::sql_types::{BigInt, Double, Integer, Nullable};
    let (_database, db) = open().await;
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    macro_rules! outcome {
        ($type:ty, $value:expr) => {{
            let mut handle = db.handle();
            let query = "SELECT count(note) FROM orders WHERE id = $1";
            let query = diesel::sql_query(query).bind::<$type, _>($value);
            let _: Count = query.get_result(&mut handle).await.unwrap();
            handle.outcome().unwrap()
        }};
    }
    for survives in [true, false] {
        outcome!(BigInt, 1_i64);
        outcome!(Double, 1.0);
        outcome!(Nullable<Integer>, None::<i32>);
        execute(
            &db,
            &format!("UPDATE orders SET note = 'n' WHERE id = {}", if survives { 3 } else { 1 }),
        )
        .await;
        assert_eq!(matches!(outcome!(BigInt, 1_i64), Outcome::Hit(_)), survives);
        // A float is not a value of the key, so that its answer depends on the table.
        assert!(matches!(outcome!(Double, 1.0), Outcome::Miss));
        assert!(matches!(outcome!(Nullable<Integer>, None::<i32>), Outcome::Miss));
    }
    let Count { count } = diesel::sql_query("SELECT count(note) FROM orders WHERE id = 1")
        .get_result(&mut &db)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn arrays_name_their_elements() {
    let (_database, db) = open().await;
    let read = async |ids: Vec<i32>| {
        let mut handle = db.handle();
        let notes: Vec<Option<String>> = orders::table
            .filter(orders::id.eq_any(ids))
            .select(orders::note)
            .load(&mut handle)
            .await
            .unwrap();
        (notes.into_iter().flatten().count(), handle.outcome().unwrap())
    };
    read(vec![1, 2]).await;
    read(vec![2, 3]).await;
    execute(&db, "UPDATE orders SET note = 'n' WHERE id = 3").await;
    assert!(matches!(read(vec![1, 2]).await, (1, Outcome::Hit(_))));
    assert!(matches!(read(vec![2, 3]).await, (1, Outcome::Miss)));
}

#[tokio::test]
async fn switched_off_every_write_ends_the_table() {
    let database = turbodiesel_testkit::database();
    database.batch_execute(SCHEMA).unwrap();
    let db = Db::builder().url(database.url()).value_tags(false).build().await.unwrap();
    let ended = ended_of_all(&db, async |db| {
        execute(db, "UPDATE orders SET note = 'y' WHERE id = 3").await;
    })
    .await;
    assert_eq!(ended, [ENDED; 7]);
}
