//! Transactions of SQLite that take their lock at the start.

use diesel::{
    QueryResult, connection::AnsiTransactionManager, result::Error as DieselError, sqlite::Sqlite,
};

use crate::{connection::Connection, transaction::SendAsyncFnOnce};

impl Connection<Sqlite> {
    /// Runs a function in a transaction begun with `BEGIN IMMEDIATE`, which waits for other writers
    /// at its start instead of failing at its first write.
    ///
    /// # Errors
    ///
    /// What the function returns, or what beginning or committing fails with;
    /// `AlreadyInTransaction` inside another.
    pub async fn immediate_transaction<R, E, F>(&mut self, function: F) -> Result<R, E>
    where
        F: for<'r> AsyncFnOnce(&'r mut Self) -> Result<R, E>
            + for<'r> SendAsyncFnOnce<&'r mut Self, Result<R, E>>,
        E: From<DieselError>,
    {
        self.begin_with("BEGIN IMMEDIATE").await?;
        self.run_begun(function).await
    }

    /// Runs a function in a transaction begun with `BEGIN EXCLUSIVE`.
    ///
    /// # Errors
    ///
    /// As [`immediate_transaction`](Self::immediate_transaction).
    pub async fn exclusive_transaction<R, E, F>(&mut self, function: F) -> Result<R, E>
    where
        F: for<'r> AsyncFnOnce(&'r mut Self) -> Result<R, E>
            + for<'r> SendAsyncFnOnce<&'r mut Self, Result<R, E>>,
        E: From<DieselError>,
    {
        self.begin_with("BEGIN EXCLUSIVE").await?;
        self.run_begun(function).await
    }

    async fn begin_with(&mut self, sql: &'static str) -> QueryResult<()> {
        self.reclaim().await?;
        let checkout = self.checked_out()?;
        let begun = checkout
            .start_control()
            .spawn_blocking(move |raw| AnsiTransactionManager::begin_transaction_sql(raw, sql))
            .await;
        checkout.finish(begun)?;
        self.begin_frame();
        Ok(())
    }
}
