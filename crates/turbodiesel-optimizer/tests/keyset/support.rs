//! What the tests share: a key, connections, and an order that walks.

use diesel::SqliteConnection;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use turbodiesel_optimizer::keyset::CursorKey;
use turbodiesel_testkit::{Database, database};

pub(crate) type Sqlite = SyncConnectionWrapper<SqliteConnection>;

pub(crate) fn key() -> CursorKey {
    CursorKey::new(&[7; 32]).unwrap()
}

/// A fresh database of PostgreSQL with a schema, and a connection to it.
pub(crate) async fn postgres(schema: &str) -> (AsyncPgConnection, Database) {
    let database = database();
    database.batch_execute(schema).unwrap();
    (AsyncPgConnection::establish(database.url()).await.unwrap(), database)
}

/// A SQLite database in memory with a schema.
pub(crate) async fn sqlite(schema: &str) -> Sqlite {
    let mut connection = Sqlite::establish(":memory:").await.unwrap();
    connection.batch_execute(schema).await.unwrap();
    connection
}
