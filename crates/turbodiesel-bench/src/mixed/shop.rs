//! The shop that is read and written: its tables, its queries, and a server that does not forget.

use std::{collections::HashMap, hint::black_box};

use anyhow::{Context as _, Result};
use diesel::{dsl::sum, pg::Pg, prelude::*, sql_types::Text};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
};
use turbodiesel_testkit::{Database, Postgres, PostgresOptions};

use crate::{
    Context,
    mixed::load::{Read, Write},
};

diesel::table! {
    customers { id -> Integer, name -> Text, email -> Text, version -> Integer }
}

diesel::table! {
    orders {
        id -> Integer,
        customer_id -> Integer,
        status -> Text,
        amount_cents -> Integer,
        version -> Integer,
    }
}

/// How many customers there are, numbered from 1.
pub(crate) const CUSTOMERS: i32 = 1_000;

/// How many orders a customer has at first. Order `n` is one of customer [`customer_of`]`(n)`.
pub(crate) const ORDERS_PER_CUSTOMER: i32 = 10;

/// How many orders there are at first, numbered from 1.
pub(crate) const ORDERS: i32 = CUSTOMERS * ORDERS_PER_CUSTOMER;

/// The customer of one of the first orders.
pub(crate) fn customer_of(order: i32) -> i32 {
    (order - 1) % CUSTOMERS + 1
}

#[derive(Clone, Debug, Queryable, Selectable)]
pub(crate) struct Customer {
    id: i32,
    #[expect(dead_code, reason = "decoded, as in an application")]
    name: String,
    #[expect(dead_code, reason = "decoded, as in an application")]
    email: String,
    version: i32,
}

#[derive(Clone, Debug, Queryable, Selectable)]
pub(crate) struct Order {
    id: i32,
    customer_id: i32,
    #[expect(dead_code, reason = "decoded, as in an application")]
    status: String,
    #[expect(dead_code, reason = "decoded, as in an application")]
    amount_cents: i32,
    version: i32,
}

/// What of an answer tells its age: every write changes one or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) rows: i64,
    /// The sum of the rows' versions. A row's is how often it has been updated.
    pub(crate) versions: i64,
}

impl Seen {
    const NOTHING: Self = Self { rows: 0, versions: 0 };
}

impl From<&Customer> for Seen {
    fn from(customer: &Customer) -> Self {
        Self { rows: 1, versions: customer.version.into() }
    }
}

impl From<&Order> for Seen {
    fn from(order: &Order) -> Self {
        Self { rows: 1, versions: order.version.into() }
    }
}

impl From<&Vec<Order>> for Seen {
    fn from(orders: &Vec<Order>) -> Self {
        let versions = orders.iter().map(|order| i64::from(order.version)).sum();
        Self { rows: orders.len() as i64, versions }
    }
}

pub(crate) async fn customer<C>(connection: &mut C, id: i32) -> QueryResult<Customer>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    customers::table.find(id).select(Customer::as_select()).first(connection).await
}

pub(crate) async fn order<C>(connection: &mut C, id: i32) -> QueryResult<Order>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    orders::table.find(id).select(Order::as_select()).first(connection).await
}

/// The orders of a customer.
pub(crate) async fn orders_of<C>(connection: &mut C, customer: i32) -> QueryResult<Vec<Order>>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let query = orders::table.filter(orders::customer_id.eq(customer)).order(orders::id);
    query.select(Order::as_select()).load(connection).await
}

/// How many orders a customer has, and how often they have been updated.
pub(crate) async fn summary_of<C>(connection: &mut C, customer: i32) -> QueryResult<Seen>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let (rows, versions): (i64, Option<i64>) = orders::table
        .filter(orders::customer_id.eq(customer))
        .select((diesel::dsl::count_star(), sum(orders::version)))
        .first(connection)
        .await?;
    Ok(Seen { rows, versions: versions.unwrap_or_default() })
}

/// Reads, with every row decoded as an application would have it.
pub(crate) async fn read<C>(connection: &mut C, read: Read) -> QueryResult<Seen>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    Ok(match read {
        Read::Customer(id) => (&black_box(customer(connection, id).await?)).into(),
        Read::Order(id) => (&black_box(order(connection, id).await?)).into(),
        Read::OrdersOf(id) => (&black_box(orders_of(connection, id).await?)).into(),
        Read::SummaryOf(id) => summary_of(connection, id).await?,
    })
}

/// Writes. Returns the key of a new order.
pub(crate) async fn write<C>(connection: &mut C, write: Write) -> QueryResult<Option<i32>>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    match write {
        Write::UpdateCustomer { id } => {
            let version = customers::version.eq(customers::version + 1);
            diesel::update(customers::table.find(id)).set(version).execute(connection).await?;
        }
        Write::UpdateOrder { id, .. } => {
            let amount = orders::amount_cents.eq(orders::amount_cents + 1);
            let version = orders::version.eq(orders::version + 1);
            let update = diesel::update(orders::table.find(id)).set((amount, version));
            update.execute(connection).await?;
        }
        Write::InsertOrder { customer } => {
            let insert = diesel::insert_into(orders::table).values((
                orders::customer_id.eq(customer),
                orders::status.eq("new"),
                orders::amount_cents.eq(100),
                orders::version.eq(0),
            ));
            return insert.returning(orders::id).get_result(connection).await.map(Some);
        }
        Write::DeleteOrder { id, .. } => {
            diesel::delete(orders::table.find(id)).execute(connection).await?;
        }
    }
    Ok(None)
}

/// What the right answers are, while nobody writes.
#[derive(Debug)]
pub(crate) struct Truth {
    customers: HashMap<i32, Seen>,
    orders: HashMap<i32, Seen>,
    /// The orders of each customer, together.
    orders_of: HashMap<i32, Seen>,
}

impl Truth {
    pub(crate) async fn read(database: &Database) -> Result<Self> {
        let mut connection = AsyncPgConnection::establish(database.url()).await?;
        let customers: Vec<Customer> =
            customers::table.select(Customer::as_select()).load(&mut connection).await?;
        let orders: Vec<Order> =
            orders::table.select(Order::as_select()).load(&mut connection).await?;
        let mut orders_of: HashMap<i32, Seen> = HashMap::new();
        for order in &orders {
            let of_customer = orders_of.entry(order.customer_id).or_insert(Seen::NOTHING);
            of_customer.rows += 1;
            of_customer.versions += i64::from(order.version);
        }
        Ok(Self {
            customers: customers.iter().map(|it| (it.id, it.into())).collect(),
            orders: orders.iter().map(|it| (it.id, it.into())).collect(),
            orders_of,
        })
    }

    pub(crate) fn answer(&self, read: Read) -> Seen {
        let answer = match read {
            Read::Customer(id) => self.customers.get(&id),
            Read::Order(id) => self.orders.get(&id),
            Read::OrdersOf(id) | Read::SummaryOf(id) => self.orders_of.get(&id),
        };
        answer.copied().unwrap_or(Seen::NOTHING)
    }
}

/// A fresh database with the shop's tables, which are empty.
pub(crate) fn database(server_url: &str) -> Result<Database> {
    let database = Database::on(server_url).context("cannot make a database")?;
    // Nothing but what is measured runs in the background, and a row has room to be updated in
    // its page.
    database.batch_execute(
        "CREATE TABLE customers (
            id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL,
            version integer NOT NULL
        ) WITH (autovacuum_enabled = false, fillfactor = 70);
        CREATE TABLE orders (
            id serial PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers,
            status text NOT NULL, amount_cents integer NOT NULL, version integer NOT NULL
        ) WITH (autovacuum_enabled = false, fillfactor = 70);
        CREATE INDEX ON orders (customer_id);",
    )?;
    Ok(database)
}

/// Puts the shop back to its first day.
pub(crate) async fn refill(database: &Database) -> Result<()> {
    let mut connection = AsyncPgConnection::establish(database.url()).await?;
    let rows = format!(
        "TRUNCATE customers, orders RESTART IDENTITY;
        INSERT INTO customers (name, email, version)
            SELECT 'name ' || i, 'customer' || i || '@example.org', 0
            FROM generate_series(1, {CUSTOMERS}) i;
        INSERT INTO orders (customer_id, status, amount_cents, version)
            SELECT (i - 1) % {CUSTOMERS} + 1, 'paid', 100 * i, 0
            FROM generate_series(1, {ORDERS}) i;"
    );
    connection.batch_execute(&rows).await?;
    connection.batch_execute("VACUUM (ANALYZE) customers, orders").await?;
    connection.batch_execute("CHECKPOINT").await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Durability {
    #[diesel(sql_type = Text)]
    fsync: String,
    #[diesel(sql_type = Text)]
    synchronous_commit: String,
}

/// A private server that writes to a disk before it acknowledges, unless the one that all suites
/// share does so already.
pub(crate) async fn durable_server(context: &Context) -> Result<Option<Postgres>> {
    let mut connection = AsyncPgConnection::establish(&context.server_url).await?;
    let settings = "SELECT current_setting('fsync') AS fsync, \
                    current_setting('synchronous_commit') AS synchronous_commit";
    let Durability { fsync, synchronous_commit } =
        diesel::sql_query(settings).get_result(&mut connection).await?;
    if fsync == "on" && synchronous_commit == "on" {
        return Ok(None);
    }
    let options = PostgresOptions { durable: true, ..PostgresOptions::default() };
    Ok(Some(Postgres::with(options).context("cannot start a durable server")?))
}
