//! What the test needs of a database: a way around the cache, and values in raw form.

use diesel::{QueryResult, query_builder::AstPass, row::Row};
use turbodiesel::{Backend, Builder, Connection, Db, Tier};

use super::{Dialect, answer::Answer, statement::Statement, values::Value};

/// A backend under test.
pub(super) trait Side: Backend {
    /// A connection of its own, which knows nothing of the cache.
    type Oracle: Oracle;

    const SIDE: Dialect;

    /// A fresh database with a schema; statements of it that fail are left out.
    fn open(schema: &[String]) -> impl Future<Output = (Db<Self>, Self::Oracle)> + Send;

    /// Binds a value.
    fn bind<'b>(value: &'b Value, pass: AstPass<'_, 'b, Self>) -> QueryResult<()>;

    /// Executes statements at once on one connection.
    fn pipelined(
        connection: &Connection<Self>,
        statements: &[Statement],
    ) -> impl Future<Output = Vec<QueryResult<()>>> + Send;

    /// The number in an encoded row of one `bigint`.
    fn number(row: &[u8]) -> i64;

    /// Appends the cells of a row, as the database gave them, so that different rows differ.
    fn encode<'a>(row: &impl Row<'a, Self>, bytes: &mut Vec<u8>);
}

/// The way around the cache.
pub(super) trait Oracle: Send {
    /// Reads the database: `None` where it answers with an error.
    fn ask(&mut self, queries: &[&Statement]) -> impl Future<Output = Vec<Option<Answer>>> + Send;

    /// Waits until the server does nothing for anybody else.
    fn quiet(&mut self) -> impl Future<Output = ()> + Send;
}

/// Connections of the pool under test.
pub(super) const POOL: u32 = 4;

/// Answers must not expire, nor be read anew by chance, in the middle of the test.
pub(super) fn configure<B: Backend>(builder: Builder<B>) -> Builder<B> {
    Tier::ALL
        .into_iter()
        .fold(builder, |builder, tier| {
            builder.ttl(tier, std::time::Duration::from_secs(3600)).refresh_ahead(tier, 0.0)
        })
        .jitter(0.0)
        .pool_size(POOL)
        .checkout_timeout(std::time::Duration::from_secs(60))
}
