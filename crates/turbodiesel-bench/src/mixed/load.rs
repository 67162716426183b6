//! What the tasks ask for: the same sequence for every contender.
//!
//! Reads follow popularity, so that few rows get most of them. Writes do not: an order is written a
//! few times in its life, however often it is looked at.

use std::collections::VecDeque;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use rand_distr::Zipf;

use crate::mixed::shop::{CUSTOMERS, ORDERS, customer_of};

/// A read, by the key that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Customer(i32),
    Order(i32),
    /// The orders of a customer.
    OrdersOf(i32),
    /// How many orders a customer has.
    SummaryOf(i32),
}

/// A write. An order's customer is named because an application that updates an order has it at
/// hand; a cache written by hand needs it to know what to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    UpdateCustomer { id: i32 },
    UpdateOrder { id: i32, customer: i32 },
    InsertOrder { customer: i32 },
    DeleteOrder { id: i32, customer: i32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read(Read),
    Write(Write),
}

/// How much is written, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    /// The part of the operations that write: 0 to 1.
    pub(crate) writes: f64,
    /// How much the writes prefer popular rows: the exponent of Zipf's law, of which 0 is no
    /// preference.
    pub(crate) write_skew: f64,
}

/// How much the reads prefer popular rows: the exponent of Zipf's law.
pub(crate) const READ_SKEW: f64 = 1.2;

/// The operations of one task, without end.
#[derive(Debug)]
pub(crate) struct Load {
    random: SmallRng,
    mix: Mix,
    read_order: Zipf<f64>,
    read_customer: Zipf<f64>,
    written_order: Zipf<f64>,
    written_customer: Zipf<f64>,
    /// The orders that this task has inserted and not yet deleted, with their customers.
    inserted: VecDeque<(i32, i32)>,
}

impl Load {
    /// The sequence of a task.
    pub(crate) fn new(mix: Mix, task: u64) -> Self {
        // OK because there is something to choose from and the exponents are not negative.
        let zipf = |numbers: i32, skew| Zipf::new(numbers.into(), skew).expect("a valid law");
        Self {
            random: SmallRng::seed_from_u64(task),
            mix,
            read_order: zipf(ORDERS, READ_SKEW),
            read_customer: zipf(CUSTOMERS, READ_SKEW),
            written_order: zipf(ORDERS, mix.write_skew),
            written_customer: zipf(CUSTOMERS, mix.write_skew),
            inserted: VecDeque::new(),
        }
    }

    pub(crate) fn next(&mut self) -> Operation {
        if self.random.random_bool(self.mix.writes) {
            Operation::Write(self.write())
        } else {
            Operation::Read(self.read())
        }
    }

    /// Takes note of an order, which will be deleted some day.
    pub(crate) fn inserted(&mut self, id: i32, customer: i32) {
        self.inserted.push_back((id, customer));
    }

    fn read(&mut self) -> Read {
        match self.random.random_range(0..100) {
            0..40 => Read::Customer(key(&mut self.random, self.read_customer)),
            40..80 => Read::Order(key(&mut self.random, self.read_order)),
            80..95 => Read::OrdersOf(key(&mut self.random, self.read_customer)),
            _ => Read::SummaryOf(key(&mut self.random, self.read_customer)),
        }
    }

    /// As many orders are deleted as are inserted, in the long run, so that lists stay as they are.
    fn write(&mut self) -> Write {
        let kind = self.random.random_range(0..100);
        match kind {
            0..10 => Write::UpdateCustomer { id: key(&mut self.random, self.written_customer) },
            10..70 => {
                let id = key(&mut self.random, self.written_order);
                Write::UpdateOrder { id, customer: customer_of(id) }
            }
            85..100 if let Some((id, customer)) = self.inserted.pop_front() => {
                Write::DeleteOrder { id, customer }
            }
            _ => Write::InsertOrder { customer: key(&mut self.random, self.written_customer) },
        }
    }
}

/// A key, counted from one.
#[expect(clippy::cast_possible_truncation, reason = "the law gives whole numbers up to its last")]
fn key(random: &mut SmallRng, law: Zipf<f64>) -> i32 {
    random.sample(law) as i32
}
