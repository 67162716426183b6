//! The shop that programs run on: its tables, its rows, and connections to it.

use diesel::prelude::*;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use turbodiesel_optimizer::Observed;
use turbodiesel_testkit::{Database, SqliteFile};

pub(crate) mod schema {
    //! As Diesel sees it.
    diesel::table! { countries { id -> Integer, name -> Text } }
    diesel::table! { customers { id -> Integer, name -> Text, country_id -> Integer, referrer_id -> Nullable<Integer> } }
    diesel::table! { orders { id -> Integer, customer_id -> Integer, status -> Text, total -> Integer } }
    diesel::table! { items (order_id, product_id) { order_id -> Integer, product_id -> Integer, quantity -> Integer } }
    diesel::table! { products { id -> Integer, code -> Text, price -> Integer } }
    diesel::table! { stock (code) { code -> Text, on_hand -> Integer } }
    diesel::table! { events { id -> Integer, customer_id -> BigInt, at -> Integer } }
    diesel::table! { nodes { id -> Integer, next_id -> Integer } }
    diesel::table! { links { id -> Integer, node_id -> Integer } }
    diesel::table! { categories { id -> Integer, parent_id -> Integer } }
    diesel::table! { audit { id -> Integer, message -> Text } }
    diesel::table! { jobs { id -> Integer, state -> Text } }
    diesel::table! { lines { id -> Integer, text -> Text } }

    diesel::joinable!(orders -> customers (customer_id));
    diesel::allow_tables_to_appear_in_same_query!(customers, orders);
}

/// Ids begin at 1 everywhere, so that as many values as possible are equal by chance.
const SCHEMA: &str = "
    DROP TABLE IF EXISTS countries; DROP TABLE IF EXISTS customers; DROP TABLE IF EXISTS orders;
    DROP TABLE IF EXISTS items; DROP TABLE IF EXISTS products; DROP TABLE IF EXISTS stock;
    DROP TABLE IF EXISTS events; DROP TABLE IF EXISTS nodes; DROP TABLE IF EXISTS links;
    DROP TABLE IF EXISTS categories; DROP TABLE IF EXISTS audit; DROP TABLE IF EXISTS jobs;
    DROP TABLE IF EXISTS lines;
    CREATE TABLE countries (id integer PRIMARY KEY, name text NOT NULL);
    CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, country_id integer NOT NULL,
        referrer_id integer);
    CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL, status text NOT NULL,
        total integer NOT NULL);
    CREATE TABLE items (order_id integer, product_id integer, quantity integer NOT NULL,
        PRIMARY KEY (order_id, product_id));
    CREATE TABLE products (id integer PRIMARY KEY, code text NOT NULL, price integer NOT NULL);
    CREATE TABLE stock (code text PRIMARY KEY, on_hand integer NOT NULL);
    CREATE TABLE events (id integer PRIMARY KEY, customer_id bigint NOT NULL, at integer NOT NULL);
    CREATE TABLE nodes (id integer PRIMARY KEY, next_id integer NOT NULL);
    CREATE TABLE links (id integer PRIMARY KEY, node_id integer NOT NULL);
    CREATE TABLE categories (id integer PRIMARY KEY, parent_id integer NOT NULL);
    CREATE TABLE jobs (id integer PRIMARY KEY, state text NOT NULL);
    CREATE TABLE lines (id integer PRIMARY KEY, text text NOT NULL);
    INSERT INTO countries VALUES (1, 'AT'), (2, 'CH'), (3, 'DE'), (4, 'FR'), (5, 'IT'), (6, 'PL');
    INSERT INTO customers VALUES (1, 'Ann', 3, NULL), (2, 'Bob', 1, 1), (3, 'Cid', 2, 1),
        (4, 'Dot', 6, 2), (5, 'Eve', 5, 3), (6, 'Fay', 4, NULL);
    INSERT INTO orders VALUES (1, 6, 'open', 10), (2, 5, 'paid', 20), (3, 4, 'open', 30),
        (4, 3, 'sent', 40), (5, 2, 'open', 50), (6, 1, 'paid', 60), (7, 1, 'open', 70),
        (8, 1, 'sent', 80);
    INSERT INTO items VALUES (1, 1, 1), (1, 2, 2), (2, 3, 3), (3, 4, 1), (4, 5, 2), (5, 6, 3),
        (6, 1, 1), (7, 2, 2), (8, 3, 3);
    INSERT INTO products VALUES (1, 'bolt', 1), (2, 'nut', 2), (3, 'screw', 3), (4, 'nail', 4),
        (5, 'rivet', 5), (6, 'clip', 6);
    INSERT INTO stock VALUES ('bolt', 10), ('nut', 20), ('screw', 30), ('nail', 40), ('rivet', 50),
        ('clip', 60);
    INSERT INTO events VALUES (1, 1, 100), (2, 2, 200), (3, 3, 300), (4, 4, 400);
    INSERT INTO nodes VALUES (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 0);
    INSERT INTO links VALUES (2, 2), (3, 3), (4, 4), (5, 5), (6, 6);
    INSERT INTO categories VALUES (1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (7, 3), (8, 4);
    INSERT INTO jobs VALUES (1, 'queued');
";

const PG_ONLY: &str = "
    CREATE TABLE audit (id serial PRIMARY KEY, message text NOT NULL);
    INSERT INTO lines SELECT i, 'line ' || i FROM generate_series(1, 1500) i;
";

const SQLITE_ONLY: &str = "
    CREATE TABLE audit (id integer PRIMARY KEY, message text NOT NULL);
    WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1500)
        INSERT INTO lines SELECT i, 'line ' || i FROM s;
";

pub(crate) type PgConn = Observed<AsyncPgConnection>;
pub(crate) type SqliteConn = Observed<SyncConnectionWrapper<SqliteConnection>>;

/// A database that is a shop after each [`reset`](Self::reset).
pub(crate) struct Shop<D> {
    database: D,
}

impl Shop<Database> {
    pub(crate) fn postgres() -> Self {
        Self { database: turbodiesel_testkit::database() }
    }

    pub(crate) async fn connection(&self) -> PgConn {
        PgConn::establish(self.database.url()).await.unwrap()
    }

    pub(crate) async fn reset(&self) {
        let mut connection = self.connection().await;
        connection.batch_execute(&format!("{SCHEMA}{PG_ONLY}")).await.unwrap();
    }
}

impl Shop<SqliteFile> {
    pub(crate) fn sqlite() -> Self {
        Self { database: SqliteFile::new().unwrap() }
    }

    pub(crate) async fn connection(&self) -> SqliteConn {
        let mut connection = SqliteConn::establish(&self.database.url()).await.unwrap();
        connection
            .batch_execute("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000")
            .await
            .unwrap();
        connection
    }

    pub(crate) async fn reset(&self) {
        let mut connection = self.connection().await;
        connection.batch_execute(&format!("{SCHEMA}{SQLITE_ONLY}")).await.unwrap();
    }
}

/// Whether a connection's placeholders are numbered.
pub(crate) trait Numbered {
    fn is_numbered(&self) -> bool;
}

impl Numbered for PgConn {
    fn is_numbered(&self) -> bool {
        true
    }
}

impl Numbered for SqliteConn {
    fn is_numbered(&self) -> bool {
        false
    }
}
