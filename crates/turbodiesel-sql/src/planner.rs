//! Plans remembered by the text of their statement.

use std::{fmt, sync::Arc};

use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use crate::{Dialect, Plan, plan};

/// Remembers the plan of each statement, within bounds on number and memory.
///
/// Applications send few distinct texts, with their values in binds, so after a while every
/// statement is found here. A text that is built with literals cannot fill memory: plans of
/// statements that do not come again are the first to go.
///
/// ```
/// use std::sync::Arc;
/// use turbodiesel_sql::{Dialect, Planner};
///
/// let planner = Planner::new(Dialect::Sqlite);
/// let first = planner.plan("SELECT * FROM users WHERE id = ?");
/// assert!(Arc::ptr_eq(&first, &planner.plan("SELECT * FROM users WHERE id = ?")));
/// ```
pub struct Planner {
    dialect: Dialect,
    plans: Cache<Box<str>, Arc<Plan>, ByText>,
}

impl Planner {
    /// The number of plans that [`Planner::new`] remembers.
    pub const PLANS: usize = 4096;

    /// Bytes of text, and of what follows from it, that a plan may use on average before fewer
    /// plans are remembered than asked for.
    const BYTES_PER_PLAN: u64 = 4096;

    /// A planner that remembers [`Planner::PLANS`] plans.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self::with_capacity(dialect, Self::PLANS)
    }

    /// A planner that remembers about this many plans: fewer where texts are longer than 4 KiB on
    /// average, so that memory stays bounded too.
    #[must_use]
    pub fn with_capacity(dialect: Dialect, plans: usize) -> Self {
        let plans = plans.max(1);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(plans)
            .weight_capacity(plans as u64 * Self::BYTES_PER_PLAN)
            .build()
            .expect("both capacities are given");
        let plans = Cache::with_options(options, ByText, Default::default(), Default::default());
        Self { dialect, plans }
    }

    /// The dialect of the statements.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The plan of a statement. Tasks that ask for a new one at the same time may each compute it.
    #[must_use]
    pub fn plan(&self, sql: &str) -> Arc<Plan> {
        if let Some(plan) = self.plans.get(sql) {
            return plan;
        }
        let plan = Arc::new(plan(self.dialect, sql));
        self.plans.insert(sql.into(), Arc::clone(&plan));
        plan
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner")
            .field("dialect", &self.dialect)
            .field("plans", &self.plans.len())
            .finish()
    }
}

/// Weighs a plan by its text, whose length bounds what the plan can hold.
#[derive(Clone)]
struct ByText;

impl Weighter<Box<str>, Arc<Plan>> for ByText {
    fn weight(&self, sql: &Box<str>, _: &Arc<Plan>) -> u64 {
        // The floor bounds the number of plans: a plan weighs no less than its share.
        (sql.len() as u64 * 8).max(Planner::BYTES_PER_PLAN)
    }
}
