//! Transactions of PostgreSQL with an isolation level and modes.

use diesel::{QueryResult, pg::Pg, result::Error as DieselError};
use diesel_async::AnsiTransactionManager;

use crate::{connection::Connection, transaction::SendAsyncFnOnce};

/// Begins a transaction with more than the defaults; from [`Connection::build_transaction`].
///
/// ```no_run
/// # async fn example(mut connection: turbodiesel::Connection) -> diesel::QueryResult<()> {
/// connection
///     .build_transaction()
///     .serializable()
///     .read_only()
///     .deferrable()
///     .run(async |connection| Ok::<_, diesel::result::Error>(()))
///     .await
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before `run`"]
pub struct TransactionBuilder<'c> {
    connection: &'c mut Connection<Pg>,
    isolation: &'static str,
    mode: &'static str,
    deferrable: &'static str,
}

impl Connection<Pg> {
    /// Begins to describe a transaction.
    pub fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        TransactionBuilder { connection: self, isolation: "", mode: "", deferrable: "" }
    }
}

impl TransactionBuilder<'_> {
    /// `ISOLATION LEVEL READ COMMITTED`.
    pub fn read_committed(mut self) -> Self {
        self.isolation = " ISOLATION LEVEL READ COMMITTED";
        self
    }

    /// `ISOLATION LEVEL REPEATABLE READ`.
    pub fn repeatable_read(mut self) -> Self {
        self.isolation = " ISOLATION LEVEL REPEATABLE READ";
        self
    }

    /// `ISOLATION LEVEL SERIALIZABLE`.
    pub fn serializable(mut self) -> Self {
        self.isolation = " ISOLATION LEVEL SERIALIZABLE";
        self
    }

    /// `READ ONLY`.
    pub fn read_only(mut self) -> Self {
        self.mode = " READ ONLY";
        self
    }

    /// `READ WRITE`.
    pub fn read_write(mut self) -> Self {
        self.mode = " READ WRITE";
        self
    }

    /// `DEFERRABLE`.
    pub fn deferrable(mut self) -> Self {
        self.deferrable = " DEFERRABLE";
        self
    }

    /// `NOT DEFERRABLE`.
    pub fn not_deferrable(mut self) -> Self {
        self.deferrable = " NOT DEFERRABLE";
        self
    }

    /// Runs a function in the transaction: committed if it returns `Ok`, rolled back otherwise.
    ///
    /// # Errors
    ///
    /// What the function returns, or what beginning or committing fails with;
    /// `AlreadyInTransaction` inside another.
    pub async fn run<R, E, F>(self, function: F) -> Result<R, E>
    where
        F: for<'r> AsyncFnOnce(&'r mut Connection<Pg>) -> Result<R, E>
            + for<'r> SendAsyncFnOnce<&'r mut Connection<Pg>, Result<R, E>>,
        E: From<DieselError>,
    {
        let Self { connection, isolation, mode, deferrable } = self;
        connection.begin_with(&format!("BEGIN TRANSACTION{isolation}{mode}{deferrable}")).await?;
        connection.run_begun(function).await
    }
}

impl Connection<Pg> {
    async fn begin_with(&mut self, sql: &str) -> QueryResult<()> {
        self.reclaim().await?;
        let checkout = self.checked_out()?;
        let raw = checkout.start_control();
        let begun = AnsiTransactionManager::begin_transaction_sql(raw, sql).await;
        checkout.finish(begun)?;
        self.begin_frame();
        Ok(())
    }
}
