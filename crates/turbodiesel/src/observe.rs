//! Telling statements to the scope of the task that asks them, if there is one.

use std::{panic::Location, sync::Arc};

use diesel::result::Error as DieselError;
use turbodiesel_optimizer::{Asked, Ended, Observation, ValueHash, is_observed, record_hit};

use crate::{
    backend::Backend,
    shape::{Captured, Shape},
};

/// Where a query is asked, as far as its connection knows.
pub(crate) type Site = Option<&'static Location<'static>>;

/// A statement under way, if there is a scope. Boxed, because without one it is moved about in vain.
pub(crate) type Begun = Option<Box<Observation>>;

/// Begins to observe a statement that goes to the database, when it does.
#[inline]
pub(crate) fn begin<B: Backend>(
    captured: &Captured<B>,
    site: Site,
    in_transaction: impl FnOnce() -> bool,
) -> Begun {
    if !is_observed() {
        return None;
    }
    begin_observed(&captured.shape, &B::hash_binds(captured.binds()), site, in_transaction())
}

/// Begins to observe a batch of statements.
pub(crate) fn begin_batch<B: Backend>(
    shape: &Shape<B>,
    in_transaction: impl FnOnce() -> bool,
) -> Begun {
    if !is_observed() {
        return None;
    }
    begin_observed(shape, &[], None, in_transaction())
}

fn begin_observed<B: Backend>(
    shape: &Shape<B>,
    binds: &[ValueHash],
    site: Site,
    in_transaction: bool,
) -> Begun {
    let asked = Asked { statement: shape.statement(), binds, site, in_transaction };
    Observation::begin(asked).map(Box::new)
}

/// Records a statement that has failed, or has touched so many rows.
pub(crate) fn end(observation: Begun, result: Result<usize, &DieselError>) {
    let Some(mut observation) = observation else { return };
    match result {
        Ok(rows) => {
            observation.touched(rows);
            observation.end(Ended::Done);
        }
        Err(_) => observation.end(Ended::Failed),
    }
}

/// Records a statement that the cache has answered.
#[inline]
pub(crate) fn hit<B: Backend>(captured: &Captured<B>, site: Site, answer: &Arc<B::Answer>) {
    if !is_observed() {
        return;
    }
    let (statement, binds) = (captured.shape.statement(), B::hash_binds(captured.binds()));
    let asked = Asked { statement, binds: &binds, site, in_transaction: false };
    let row = |index| Some(B::row(Arc::clone(answer), index));
    record_hit::<B, B::Row>(asked, B::row_count(answer), row);
}
