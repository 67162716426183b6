//! The check of every answer: is it as new as what had been acknowledged when it was asked for?
//!
//! Rows are counted up by every update, so an answer tells how many it contains. A reader takes down
//! what has been acknowledged before it begins; an answer that contains less is wrong. Deletes lower
//! the counts, so they are bounded from both sides: by those begun when the answer has come, and by
//! those acknowledged before. No right answer is called wrong, whatever runs at the same time.

use std::sync::atomic::{
    AtomicI64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::mixed::{
    load::{Read, Write},
    shop::{CUSTOMERS, ORDERS, ORDERS_PER_CUSTOMER, Seen},
};

#[derive(Debug)]
pub(crate) struct Checker {
    /// Acknowledged updates of each order.
    orders: Vec<AtomicI64>,
    customers: Vec<Account>,
}

/// What was done to a customer and its orders.
#[derive(Debug, Default)]
struct Account {
    updates: AtomicI64,
    order_updates: AtomicI64,
    inserts_begun: AtomicI64,
    inserts: AtomicI64,
    deletes_begun: AtomicI64,
    deletes: AtomicI64,
}

/// What an answer must contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    versions: i64,
    inserts: i64,
    deletes: i64,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            orders: (0..ORDERS).map(|_| AtomicI64::new(0)).collect(),
            customers: (0..CUSTOMERS).map(|_| Account::default()).collect(),
        }
    }

    /// To be called before a write begins.
    pub(crate) fn begin(&self, write: Write) {
        match write {
            Write::UpdateCustomer { .. } | Write::UpdateOrder { .. } => {}
            Write::InsertOrder { customer } => {
                self.customer(customer).inserts_begun.fetch_add(1, Relaxed);
            }
            Write::DeleteOrder { customer, .. } => {
                self.customer(customer).deletes_begun.fetch_add(1, Relaxed);
            }
        }
    }

    /// To be called when a write has been acknowledged. From then on readers know of it, and a
    /// reader who knows must also see what the cache has done for it: hence `Release`.
    pub(crate) fn acknowledge(&self, write: Write) {
        match write {
            Write::UpdateCustomer { id } => self.customer(id).updates.fetch_add(1, Release),
            Write::UpdateOrder { id, customer } => {
                self.order(id).fetch_add(1, Release);
                self.customer(customer).order_updates.fetch_add(1, Release)
            }
            Write::InsertOrder { customer } => {
                self.customer(customer).inserts.fetch_add(1, Release)
            }
            Write::DeleteOrder { customer, .. } => {
                self.customer(customer).deletes.fetch_add(1, Release)
            }
        };
    }

    /// What the answer to a read that begins now must contain.
    pub(crate) fn known(&self, read: Read) -> Known {
        let of_row = |versions| Known { versions, inserts: 0, deletes: 0 };
        match read {
            Read::Customer(id) => of_row(self.customer(id).updates.load(Acquire)),
            Read::Order(id) => of_row(self.order(id).load(Acquire)),
            Read::OrdersOf(id) | Read::SummaryOf(id) => {
                let account = self.customer(id);
                Known {
                    versions: account.order_updates.load(Acquire),
                    inserts: account.inserts.load(Acquire),
                    deletes: account.deletes.load(Acquire),
                }
            }
        }
    }

    /// Whether an answer contains what was known before it was asked for.
    pub(crate) fn is_right(&self, read: Read, known: Known, seen: Seen) -> bool {
        let rows = match read {
            Read::Customer(_) | Read::Order(_) => 1..=1,
            Read::OrdersOf(id) | Read::SummaryOf(id) => {
                let account = self.customer(id);
                let first = i64::from(ORDERS_PER_CUSTOMER);
                let fewest = first + known.inserts - account.deletes_begun.load(Acquire);
                let most = first + account.inserts_begun.load(Acquire) - known.deletes;
                fewest..=most
            }
        };
        seen.versions >= known.versions && rows.contains(&seen.rows)
    }

    fn order(&self, id: i32) -> &AtomicI64 {
        // Keys count from one.
        &self.orders[id as usize - 1]
    }

    fn customer(&self, id: i32) -> &Account {
        &self.customers[id as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Read = Read::OrdersOf(1);

    fn write(checker: &Checker, write: Write) {
        checker.begin(write);
        checker.acknowledge(write);
    }

    #[test]
    fn an_answer_older_than_an_acknowledged_write_is_wrong() {
        for (written, asked) in [
            (Write::UpdateCustomer { id: 1 }, Read::Customer(1)),
            (Write::UpdateOrder { id: 1, customer: 1 }, Read::Order(1)),
            (Write::UpdateOrder { id: 1, customer: 1 }, Read::SummaryOf(1)),
            (Write::InsertOrder { customer: 1 }, LIST),
            (Write::DeleteOrder { id: 20_000, customer: 1 }, LIST),
        ] {
            let checker = Checker::new();
            let rows = if matches!(asked, Read::Customer(_) | Read::Order(_)) { 1 } else { 10 };
            let old = Seen { rows, versions: 0 };
            assert!(checker.is_right(asked, checker.known(asked), old));
            // A reader that began before does not have to know.
            let before = checker.known(asked);
            write(&checker, written);
            assert!(checker.is_right(asked, before, old), "{written:?}");
            assert!(!checker.is_right(asked, checker.known(asked), old), "{written:?}");
        }
    }

    #[test]
    fn a_write_under_way_may_be_seen_or_not() {
        let checker = Checker::new();
        let seen = |rows| Seen { rows, versions: 0 };
        let known = checker.known(LIST);
        checker.begin(Write::InsertOrder { customer: 1 });
        checker.begin(Write::DeleteOrder { id: 20_000, customer: 1 });
        for rows in 9..=11 {
            assert!(checker.is_right(LIST, known, seen(rows)), "{rows}");
        }
        assert!(!checker.is_right(LIST, known, seen(8)));
        assert!(!checker.is_right(LIST, known, seen(12)));
    }
}
