//! What a cache could do at best.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use turbodiesel::Tier;

use crate::mixed::{
    load::{Read, Write},
    shop::{CUSTOMERS, ORDERS},
};

/// The account of a cache that has room for everything and forgets nothing too early: an answer
/// ends when a write that touched its rows is acknowledged, or when it is as old as its tier allows.
/// It holds no answers, only since when it would hold them.
///
/// A read that finds none puts one in at once: whoever asks for the same meanwhile would share it.
#[derive(Debug)]
pub(crate) struct IdealCache {
    start: Instant,
    customers: Vec<Answer>,
    orders: Vec<Answer>,
    orders_of: Vec<Answer>,
    summaries_of: Vec<Answer>,
}

/// When an answer was read, in nanoseconds since the start; or one of the two below.
#[derive(Debug)]
struct Answer(AtomicU64);

const NEVER_READ: u64 = u64::MAX;
const ENDED: u64 = u64::MAX - 1;

impl IdealCache {
    pub(crate) fn new() -> Self {
        let answers =
            |count: i32| (0..count).map(|_| Answer(AtomicU64::new(NEVER_READ))).collect::<Vec<_>>();
        Self {
            start: Instant::now(),
            customers: answers(CUSTOMERS),
            orders: answers(ORDERS),
            orders_of: answers(CUSTOMERS),
            summaries_of: answers(CUSTOMERS),
        }
    }

    /// Whether it would have an answer; from now on it has.
    pub(crate) fn read(&self, read: Read, now: Instant) -> bool {
        let ttl = match read {
            Read::SummaryOf(_) => Tier::L2.default_ttl(),
            _ => Tier::L1.default_ttl(),
        };
        let now = nanoseconds(now - self.start);
        let Answer(since) = self.answer(read);
        let read_at = since.load(Relaxed);
        let is_held = read_at < ENDED && now.saturating_sub(read_at) < nanoseconds(ttl);
        if !is_held {
            since.store(now, Relaxed);
        }
        is_held
    }

    /// Forgets what a write has ended.
    pub(crate) fn forget(&self, write: Write) {
        let end = |read| {
            let Answer(since) = self.answer(read);
            if since.load(Relaxed) != NEVER_READ {
                since.store(ENDED, Relaxed);
            }
        };
        match write {
            Write::UpdateCustomer { id } => end(Read::Customer(id)),
            Write::UpdateOrder { id, customer } => {
                end(Read::Order(id));
                end(Read::OrdersOf(customer));
                end(Read::SummaryOf(customer));
            }
            // Nobody has read an inserted order by its key.
            Write::InsertOrder { customer } | Write::DeleteOrder { customer, .. } => {
                end(Read::OrdersOf(customer));
                end(Read::SummaryOf(customer));
            }
        }
    }

    /// Everything that has ever been read.
    pub(crate) fn ever_read(&self) -> Vec<Read> {
        let customers = (1..=CUSTOMERS)
            .flat_map(|id| [Read::Customer(id), Read::OrdersOf(id), Read::SummaryOf(id)]);
        let all = customers.chain((1..=ORDERS).map(Read::Order));
        all.filter(|read| self.answer(*read).0.load(Relaxed) != NEVER_READ).collect()
    }

    fn answer(&self, read: Read) -> &Answer {
        let (answers, id) = match read {
            Read::Customer(id) => (&self.customers, id),
            Read::Order(id) => (&self.orders, id),
            Read::OrdersOf(id) => (&self.orders_of, id),
            Read::SummaryOf(id) => (&self.summaries_of, id),
        };
        // Keys count from one.
        &answers[id as usize - 1]
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(ENDED - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_by_a_write_of_its_rows_or_by_its_age() {
        let cache = IdealCache::new();
        let start = cache.start;
        let all = [Read::Customer(1), Read::Order(1), Read::OrdersOf(1), Read::SummaryOf(1)];
        let read = |at| all.map(|read| cache.read(read, start + Duration::from_secs(at)));
        assert_eq!(read(0), [false; 4]);
        assert_eq!(read(9), [true; 4]);
        assert_eq!(read(11), [false, false, false, true]);

        cache.forget(Write::UpdateOrder { id: 1, customer: 1 });
        assert_eq!(read(12), [true, false, false, false]);
        cache.forget(Write::UpdateOrder { id: 1_001, customer: 1 });
        assert_eq!(read(13), [true, true, false, false]);
        cache.forget(Write::InsertOrder { customer: 1 });
        assert_eq!(read(14), [true, true, false, false]);
        cache.forget(Write::UpdateCustomer { id: 1 });
        assert_eq!(read(15), [false, true, true, true]);
        cache.forget(Write::UpdateCustomer { id: 2 });
        assert_eq!(cache.ever_read().len(), 4);
    }
}
