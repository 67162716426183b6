//! The table, its rows, the queries and the ways to ask them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use diesel::{
    pg::Pg,
    prelude::*,
    sql_types::{BigInt, Integer},
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, PoolableConnection, RecyclingMethod, bb8::Pool,
    },
};
use turbodiesel_testkit::Database;

use crate::Context;

diesel::table! {
    users { id -> Integer, name -> Text, email -> Text, active -> Bool, org -> Integer }
}

/// A row as an application would have it.
#[derive(Clone, Debug, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = users)]
pub(crate) struct User {
    #[expect(dead_code, reason = "decoded, as in an application")]
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) email: String,
    #[expect(dead_code, reason = "decoded, as in an application")]
    pub(crate) active: bool,
    pub(crate) org: i32,
}

/// The columns of [`User`].
pub(crate) const COLUMNS: usize = 5;

/// How many users an organisation has. They lie scattered over the table, as rows do that came over
/// time.
pub(crate) const USERS_PER_ORG: i32 = 100;

/// How large the pools are: turbodiesel's default.
const POOL_SIZE: u32 = 10;

/// What turbodiesel sets by default on every connection.
pub(crate) const TIMED: &str = "SET statement_timeout = '30s'";

/// A fresh database with this many users and organisations, both numbered from 1, all of whose pages
/// are in memory.
pub(crate) async fn database(context: &Context, users: i32) -> Result<Database> {
    let orgs = users.div_euclid(USERS_PER_ORG).max(1);
    let database = Database::on(&context.server_url).context("cannot make a database")?;
    let mut connection = AsyncPgConnection::establish(database.url()).await?;
    let schema = format!(
        "CREATE TABLE users (
            id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL,
            active boolean NOT NULL, org integer NOT NULL
        ) WITH (autovacuum_enabled = false);
        INSERT INTO users
            SELECT i, 'name ' || i, 'user' || i || '@example.org', i % 2 = 0, i % {orgs} + 1
            FROM generate_series(1, {users}) i;
        CREATE INDEX ON users (org);"
    );
    connection.batch_execute(&schema).await?;
    connection.batch_execute("VACUUM (ANALYZE, FREEZE) users").await?;
    connection.batch_execute("CHECKPOINT").await?;
    Ok(database)
}

/// A pool as turbodiesel's own: the same size, and no round trip at a checkout. Each connection
/// begins with `session`.
pub(crate) async fn plain_pool<C>(url: &str, session: &'static str) -> Result<Pool<C>>
where
    C: PoolableConnection + 'static,
    AsyncDieselConnectionManager<C>:
        bb8::ManageConnection<Connection = C, Error: std::error::Error + Sync>,
{
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url| {
        Box::pin(async move {
            let mut connection = C::establish(url).await?;
            let prepared = connection.batch_execute(session).await;
            prepared.map_err(ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        })
    });
    let manager = AsyncDieselConnectionManager::<C>::new_with_config(url, config);
    let pool = Pool::builder()
        .max_size(POOL_SIZE)
        .connection_timeout(Duration::from_secs(30))
        .test_on_check_out(false)
        .build(manager)
        .await?;
    Ok(pool)
}

/// The user with a primary key.
pub(crate) async fn user<C>(connection: &mut C, id: i32) -> QueryResult<User>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    users::table.find(id).select(User::as_select()).first(connection).await
}

/// The users of an organisation.
pub(crate) async fn users_of<C>(connection: &mut C, org: i32) -> QueryResult<Vec<User>>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    users::table.filter(users::org.eq(org)).select(User::as_select()).load(connection).await
}

/// As many users as an organisation has, but side by side in the table: the same answer for less of
/// the database's work.
pub(crate) async fn users_beside<C>(connection: &mut C, block: i32) -> QueryResult<Vec<User>>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let first = (block - 1) * USERS_PER_ORG + 1;
    let query = users::table.filter(users::id.between(first, first + USERS_PER_ORG - 1));
    query.select(User::as_select()).load(connection).await
}

/// [`user`], as a query whose SQL is not known from its type.
pub(crate) async fn user_boxed<C>(connection: &mut C, id: i32) -> QueryResult<User>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let query = users::table.into_boxed().filter(users::id.eq(id));
    query.select(User::as_select()).first(connection).await
}

/// Three users, by an array of keys.
pub(crate) async fn users_any<C>(connection: &mut C, id: i32) -> QueryResult<Vec<User>>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let query = users::table.filter(users::id.eq_any([id, id + 1, id + 2]));
    query.select(User::as_select()).load(connection).await
}

/// [`user`], as text.
pub(crate) async fn user_sql<C>(connection: &mut C, id: i32) -> QueryResult<User>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    diesel::sql_query("SELECT id, name, email, active, org FROM users WHERE id = $1")
        .bind::<Integer, _>(id)
        .get_result(connection)
        .await
}

/// Moves a user to another organisation.
pub(crate) async fn set_org<C>(connection: &mut C, id: i32, org: i32) -> QueryResult<usize>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    diesel::update(users::table.find(id)).set(users::org.eq(org)).execute(connection).await
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How often the table has been scanned, as the server has counted. A session tells its counts at
/// the latest when it ends, so this waits until all others have ended.
pub(crate) async fn scans(url: &str) -> Result<u64> {
    let mut connection = AsyncPgConnection::establish(url).await?;
    loop {
        let others = "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = \
                      current_database() AND backend_type = 'client backend' AND pid <> \
                      pg_backend_pid()";
        let others: Count = diesel::sql_query(others).get_result(&mut connection).await?;
        if others.count == 0 {
            break;
        }
        connection.batch_execute("SELECT pg_sleep(0.01)").await?;
    }
    let scans = "SELECT seq_scan + idx_scan AS count FROM pg_stat_user_tables WHERE relname = \
                 'users'";
    let scans: Count = diesel::sql_query(scans).get_result(&mut connection).await?;
    Ok(u64::try_from(scans.count)?)
}
