//! What one would write without turbodiesel: a cache beside the database, one for each kind of
//! answer, and after each write the keys to forget.
//!
//! It is as good as such code usually is. In particular a read that began before a write can put its
//! answer in after the write has forgotten the key, where it stays until it is too old.

use std::sync::Arc;

use anyhow::Result;
use diesel::{QueryResult, result::Error};
use moka::future::Cache as Moka;
use turbodiesel::Tier;
use turbodiesel_testkit::Database;

use crate::mixed::{
    contender::{Contender, Plain},
    load::{Read, Write},
    shop::{self, Customer, Order, Seen},
};

/// More answers than there are keys, so that none has to go.
const CAPACITY: u64 = 100_000;

#[derive(Clone)]
pub(crate) struct ByHand {
    plain: Plain,
    customers: Moka<i32, Arc<Customer>>,
    orders: Moka<i32, Arc<Order>>,
    orders_of: Moka<i32, Arc<Vec<Order>>>,
    summaries_of: Moka<i32, Seen>,
}

impl ByHand {
    pub(crate) async fn new(database: &Database) -> Result<Self> {
        Ok(Self {
            plain: Plain::new(database).await?,
            customers: cache(Tier::L1),
            orders: cache(Tier::L1),
            orders_of: cache(Tier::L1),
            summaries_of: cache(Tier::L2),
        })
    }
}

/// A cache with the time to live that turbodiesel has for such answers.
fn cache<T: Clone + Send + Sync + 'static>(tier: Tier) -> Moka<i32, T> {
    Moka::builder().max_capacity(CAPACITY).time_to_live(tier.default_ttl()).build()
}

impl Contender for ByHand {
    async fn read(&self, read: Read, _is_held: bool) -> QueryResult<Seen> {
        let plain = &self.plain;
        match read {
            Read::Customer(id) => {
                let load =
                    async { Ok(Arc::new(shop::customer(&mut *plain.reader().await?, id).await?)) };
                let customer = self.customers.try_get_with(id, load).await;
                Ok(customer.map_err(shared)?.as_ref().into())
            }
            Read::Order(id) => {
                let load =
                    async { Ok(Arc::new(shop::order(&mut *plain.reader().await?, id).await?)) };
                let order = self.orders.try_get_with(id, load).await;
                Ok(order.map_err(shared)?.as_ref().into())
            }
            Read::OrdersOf(id) => {
                let load =
                    async { Ok(Arc::new(shop::orders_of(&mut *plain.reader().await?, id).await?)) };
                let orders = self.orders_of.try_get_with(id, load).await;
                Ok(orders.map_err(shared)?.as_ref().into())
            }
            Read::SummaryOf(id) => {
                let load = async { shop::summary_of(&mut *plain.reader().await?, id).await };
                self.summaries_of.try_get_with(id, load).await.map_err(shared)
            }
        }
    }

    async fn write(&self, write: Write) -> QueryResult<Option<i32>> {
        let inserted = self.plain.write(write).await?;
        match write {
            Write::UpdateCustomer { id } => self.customers.invalidate(&id).await,
            Write::UpdateOrder { id, customer } | Write::DeleteOrder { id, customer } => {
                self.orders.invalidate(&id).await;
                self.orders_of.invalidate(&customer).await;
                self.summaries_of.invalidate(&customer).await;
            }
            Write::InsertOrder { customer } => {
                self.orders_of.invalidate(&customer).await;
                self.summaries_of.invalidate(&customer).await;
            }
        }
        Ok(inserted)
    }

    fn database_reads(&self) -> u64 {
        self.plain.database_reads()
    }
}

/// An error that all readers of a key are told.
fn shared(error: Arc<Error>) -> Error {
    Error::QueryBuilderError(error.to_string().into())
}
