//! What a write touches beyond the words of its statement: triggers and the database assign, rows are
//! shared, other relations choose them; and what a read depends on by way of another column.

use diesel::{
    QueryableByName,
    pg::Pg,
    query_builder::QueryId,
    serialize::{IsNull, Output, ToSql},
    sql_types::{SqlType, Text},
};
use diesel_async::RunQueryDsl;
use turbodiesel::{Db, Outcome};

use super::{BY_CUSTOMER, ENDED, NOTHING, ended, ended_of_all, execute, open, open_with};

#[tokio::test]
async fn what_is_supplied_is_not_what_is_stored() {
    let (_database, db) = open_with(
        "CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN NEW.customer := 3 - NEW.customer; RETURN NEW; END $$;
         CREATE TRIGGER swap BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION swap();",
    )
    .await;
    let ended = ended(&db, &BY_CUSTOMER, async |db| {
        execute(db, "INSERT INTO orders (customer, code) VALUES (1, 'e')").await;
    })
    .await;
    assert_eq!(ended[1], ENDED);
}

/// Rows change their customer with every update.
const SWAP: &str = "
    CREATE FUNCTION swap() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.customer := 3 - NEW.customer; RETURN NEW; END $$;
    CREATE TRIGGER swap BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION swap();";

#[tokio::test]
async fn a_trigger_that_moves_a_row() {
    let (_database, db) = open_with(SWAP).await;
    let ended_by = async |write: &str| ended_of_all(&db, async |db| execute(db, write).await).await;
    // `RETURNING` tells where the row went, and nobody where it was.
    let ended = ended_by("UPDATE orders SET note = 'y' WHERE id = 1").await;
    assert_eq!(ended, [ENDED, NOTHING, ENDED, ENDED, ENDED, NOTHING, ENDED]);
    let ended = ended_by(
        "INSERT INTO orders (customer, code) VALUES (2, 'a')
         ON CONFLICT (code) DO UPDATE SET note = 'z'",
    )
    .await;
    assert_eq!(ended, [ENDED, NOTHING, ENDED, ENDED, ENDED, NOTHING, ENDED]);
    // The condition tells where the rows were, and nobody where they went.
    let ended = ended_by("UPDATE orders SET note = 'w' WHERE customer = 1").await;
    assert_eq!(ended[2..4], [ENDED, ENDED]);
}

#[tokio::test]
async fn a_column_that_is_computed() {
    let (_database, db) = open_with(
        "ALTER TABLE orders ADD half int DEFAULT 1,
             ADD twice int GENERATED ALWAYS AS (half * 2) STORED;
         CREATE INDEX ON orders (twice)",
    )
    .await;
    let twice = |n: i32| format!("SELECT count(*)::text AS answer FROM orders WHERE twice = {n}");
    let questions = [twice(2), twice(4)];
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let update = "UPDATE orders SET half = 2 WHERE id = 1";
    let ended = ended(&db, &questions, async |db| execute(db, update).await).await;
    assert_eq!(ended, [ENDED, ENDED]);
}

/// Other relations choose the rows; what the statement says of the target's own columns holds.
#[tokio::test]
async fn joined_writes() {
    let (_database, db) = open_with(
        "CREATE TABLE labels (label char(3)); INSERT INTO labels VALUES ('c');
         CREATE VIEW ours AS SELECT id, name FROM customers;",
    )
    .await;
    let ended_by = async |write: &str| ended_of_all(&db, async |db| execute(db, write).await).await;
    let by_id = [NOTHING, ENDED, ENDED, ENDED, ENDED, ENDED, ENDED];
    for relation in ["customers", "ours"] {
        let update = format!(
            "UPDATE orders SET note = other.name FROM {relation} other
             WHERE other.id = customer AND orders.id = 3"
        );
        assert_eq!(ended_by(&update).await, by_id, "{relation}");
    }
    // What confines another occurrence does not confine the target.
    let update = "UPDATE orders SET note = 'y' FROM orders AS other
                  WHERE other.id = 3 AND orders.customer = other.customer";
    assert_eq!(ended_by(update).await, [ENDED; 7]);
    // Nor does equality by way of a column that pads with blanks.
    let delete = "DELETE FROM orders USING labels
                  WHERE orders.code = labels.label AND labels.label = 'c '";
    assert_eq!(ended_by(delete).await, [ENDED; 7]);
    let delete = "DELETE FROM orders USING customers WHERE customers.id <> customer
                  AND orders.code = 'd'";
    assert_eq!(ended_by(delete).await, [ENDED, ENDED, ENDED, ENDED, NOTHING, NOTHING, ENDED]);
}

/// Equality passes from column to column within one type. A type that equates more values would pin
/// a key to one of them.
#[tokio::test]
async fn equality_by_way_of_another_type() {
    let (_database, db) = open_with(
        "CREATE TABLE big (id bigint PRIMARY KEY, note text);
         INSERT INTO big VALUES (9007199254740992, 'x'), (9007199254740993, 'x');
         CREATE TABLE others (id int, measure float8, label char(3));
         INSERT INTO others VALUES (1, 9007199254740992, 'a');",
    )
    .await;
    let of_orders = "SELECT string_agg(coalesce(orders.note, '-'), ',') AS answer
                     FROM orders JOIN others ON ";
    let of_big = "SELECT string_agg(note, ',') AS answer FROM big JOIN others ON ";
    let update_order = "UPDATE orders SET note = note || 'y' WHERE id = 1";
    let update_big = "UPDATE big SET note = note || 'y' WHERE id = 9007199254740992";
    for (read, write) in [
        (format!("{of_orders} orders.code = others.label WHERE others.label = 'a '"), update_order),
        (
            format!("{of_big} big.id = others.measure WHERE others.measure = 9007199254740993"),
            update_big,
        ),
    ] {
        let ended = ended(&db, &[&read], async |db| execute(db, write).await).await;
        assert_eq!(ended, [ENDED], "{read}");
    }
    // Within one type it does.
    let read = format!("{of_orders} orders.id = others.id WHERE others.id = 1");
    for (id, is_ended) in [(1, ENDED), (3, NOTHING)] {
        let write = format!("UPDATE orders SET note = 'z' WHERE id = {id}");
        let ended = ended(&db, &[&read], async |db| execute(db, &write).await).await;
        assert_eq!(ended, [is_ended], "{write}");
    }
}

/// A bind of `char(n)` equals what is shorter by some blanks.
#[tokio::test]
async fn a_bind_of_another_type() {
    let (_database, db) = open().await;
    let read = async |code: &'static str| {
        #[derive(QueryableByName)]
        struct Note {
            #[diesel(sql_type = Text)]
            note: String,
        }
        let mut handle = db.handle();
        let query = "SELECT note FROM orders WHERE code = $1";
        let query = diesel::sql_query(query).bind::<Char, _>(Padded(code));
        let Note { note } = query.get_result(&mut handle).await.unwrap();
        (note, handle.outcome().unwrap())
    };
    for code in ["a", "a  "] {
        execute(&db, "UPDATE orders SET note = 'x' WHERE id = 1").await;
        read(code).await;
        assert!(matches!(read(code).await.1, Outcome::Hit(_)));
        execute(&db, "UPDATE orders SET note = 'y' WHERE id = 1").await;
        assert_eq!(read(code).await.0, "y", "{code:?}");
    }
}

#[derive(SqlType, QueryId)]
#[diesel(postgres_type(oid = 1042, array_oid = 1014))]
struct Char;

#[derive(Debug)]
struct Padded(&'static str);

impl ToSql<Char, Pg> for Padded {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> diesel::serialize::Result {
        std::io::Write::write_all(out, self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

#[tokio::test]
async fn a_join_depends_on_both_keys() {
    let (_database, db) = open().await;
    let name = |id| {
        format!(
            "SELECT name || note AS answer FROM orders JOIN customers ON customers.id = customer
             WHERE orders.id = {id} AND customers.id = 1"
        )
    };
    let (one, ann) = (name(1), "SELECT name AS answer FROM customers WHERE id = 1");
    let questions = [&*one, ann];
    let update = async |sql: &str| ended(&db, &questions, async |db| execute(db, sql).await).await;
    assert_eq!(update("UPDATE customers SET name = 'Ben' WHERE id = 2").await, [NOTHING, NOTHING]);
    assert_eq!(update("UPDATE orders SET note = 'n' WHERE id = 2").await, [NOTHING, NOTHING]);
    assert_eq!(update("UPDATE customers SET name = 'Amy' WHERE id = 1").await, [ENDED, ENDED]);
    assert_eq!(update("UPDATE orders SET note = 'm' WHERE id = 1").await, [ENDED, NOTHING]);
}

#[tokio::test]
async fn a_table_that_is_reached_twice() {
    let (_database, db) = open_with(
        "CREATE TABLE parts (id integer PRIMARY KEY, whole integer REFERENCES parts ON DELETE CASCADE);
         INSERT INTO parts VALUES (1, NULL), (2, 1), (3, NULL);",
    )
    .await;
    let part = |id| format!("SELECT count(*)::text AS answer FROM parts WHERE id = {id}");
    let questions = [part(1), part(2), part(3)];
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let ended =
        ended(&db, &questions, async |db| execute(db, "DELETE FROM parts WHERE id = 1").await)
            .await;
    // The cascade may have deleted any of them.
    assert_eq!(ended, [ENDED, ENDED, ENDED]);
}

#[tokio::test]
async fn partitions_share_their_rows() {
    let (_database, db) = open_with(
        "CREATE TABLE events (id integer, day integer, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
         CREATE TABLE monday PARTITION OF events FOR VALUES IN (1);
         CREATE TABLE tuesday PARTITION OF events FOR VALUES IN (2);
         INSERT INTO events VALUES (1, 1), (2, 2);",
    )
    .await;
    let questions = [
        "SELECT count(*)::text AS answer FROM events WHERE id = 1",
        "SELECT count(*)::text AS answer FROM monday WHERE id = 1",
        "SELECT count(*)::text AS answer FROM tuesday WHERE id = 1",
        "SELECT count(*)::text AS answer FROM tuesday WHERE id = 2",
    ];
    let moved = async |db: &Db| execute(db, "UPDATE events SET day = 2 WHERE id = 1").await;
    let ended_by_move = ended(&db, &questions, moved).await;
    assert_eq!(ended_by_move[..3], [ENDED, ENDED, ENDED]);
    let written = async |db: &Db| execute(db, "DELETE FROM tuesday WHERE id = 1").await;
    let ended_by_delete = ended(&db, &questions, written).await;
    assert_eq!(ended_by_delete[..3], [ENDED, ENDED, ENDED]);
}

/// The row is deleted from one partition, the other one refuses it, and nothing is returned.
#[tokio::test]
async fn a_row_that_is_lost_on_its_way_to_another_partition() {
    let (_database, db) = open_with(
        "CREATE TABLE p (id integer PRIMARY KEY, customer integer) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE TABLE high PARTITION OF p FOR VALUES FROM (10) TO (20);
         CREATE INDEX ON p (customer);
         CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER swallow BEFORE INSERT ON high FOR EACH ROW EXECUTE FUNCTION swallow();
         INSERT INTO p VALUES (1, 5);",
    )
    .await;
    let questions = ["SELECT count(*)::text AS answer FROM p WHERE customer = 5"];
    let ended =
        ended(&db, &questions, async |db| execute(db, "UPDATE p SET id = 11 WHERE id = 1").await)
            .await;
    assert_eq!(ended, [ENDED]);
}
