//! Looking up and loading in one step, for use without a facade.

use std::{cell::RefCell, future::poll_fn, pin::pin, sync::Arc};

use turbodiesel_core::{Bypass, Fingerprint, Outcome, Weigh};

use crate::{Cache, Followed, Lead, Lookup, Read, Role};

impl<V: Weigh, E: Clone> Cache<V, E> {
    /// The answer of a query, from the cache, from another reader's load or from `load`.
    ///
    /// Of all who ask for one query at the same time, one runs its `load`; its error is shared, its
    /// future passes the duty on when it is dropped. If an ageing answer is due to be refreshed, the
    /// one reader who is chosen for it runs its `load` at once while all others are served, and
    /// falls back to the ageing answer if it fails.
    ///
    /// A `load` that asks for its own key again, within its own future, reads a second time rather
    /// than wait for itself. Two tasks whose loads ask for one another's key wait for ever.
    ///
    /// # Errors
    ///
    /// The error of the load, its own or that of the reader it waited for.
    pub async fn get_or_try_load<F, L>(
        &self,
        read: Read<'_>,
        load: F,
    ) -> Result<(Arc<V>, Outcome), E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<V, E>>,
    {
        match self.lookup(&read) {
            Lookup::Hit { value, outcome, refresh: None } => return Ok((value, outcome)),
            Lookup::Hit { value, outcome, refresh: Some(lead) } => {
                return Ok(lead
                    .run(load)
                    .await
                    .map_or((value, outcome), |new| (new, Outcome::Miss)));
            }
            Lookup::Collision => return bypass(Bypass::Collision, load).await,
            Lookup::Miss => {}
        }
        if Within::is(self.inner.load_id(read.key.fingerprint)) {
            return Ok((self.load_alone(&read, load).await?, Outcome::Miss));
        }
        let lead = match self.join(&read) {
            Role::Lead(lead) => lead,
            Role::Follow(follow) => match follow.wait().await {
                Followed::Value(value) => return Ok((value, Outcome::Coalesced)),
                Followed::Failed(error) => return Err(error),
                Followed::Unshared => return bypass(Bypass::TooLarge, load).await,
                Followed::Lead(lead) => lead,
            },
        };
        Ok((lead.run(load).await?, Outcome::Miss))
    }

    /// A load that neither waits for others nor lets others wait for it.
    async fn load_alone<F, L>(&self, read: &Read<'_>, load: F) -> Result<Arc<V>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<V, E>>,
    {
        let snapshot = self.stamps().snapshot(read.slots.iter().copied());
        let value = Arc::new(load().await?);
        self.fill(read, snapshot, Arc::clone(&value));
        Ok(value)
    }
}

impl<V: Weigh, E: Clone> Lead<V, E> {
    async fn run<F, L>(self, load: F) -> Result<Arc<V>, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<V, E>>,
    {
        let id = self.load_id();
        let mut load = pin!(load());
        let loaded = poll_fn(|context| {
            let _within = Within::enter(id);
            load.as_mut().poll(context)
        });
        match loaded.await {
            Ok(value) => Ok(self.complete(value).value().await),
            Err(error) => {
                self.fail(error.clone());
                Err(error)
            }
        }
    }
}

/// A cache, by its address, and a key whose load is being polled.
pub(crate) type LoadId = (usize, Fingerprint);

thread_local! {
    /// The loads that this thread is polling now, one within the other.
    static WITHIN: RefCell<Vec<LoadId>> = const { RefCell::new(Vec::new()) };
}

/// While it exists, the current thread polls a load.
struct Within;

impl Within {
    fn enter(load: LoadId) -> Self {
        WITHIN.with_borrow_mut(|loads| loads.push(load));
        Self
    }

    fn is(load: LoadId) -> bool {
        WITHIN.with_borrow(|loads| loads.contains(&load))
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.with_borrow_mut(|loads| loads.pop());
    }
}

async fn bypass<V, E, F, L>(reason: Bypass, load: F) -> Result<(Arc<V>, Outcome), E>
where
    F: FnOnce() -> L,
    L: Future<Output = Result<V, E>>,
{
    Ok((Arc::new(load().await?), Outcome::Bypass(reason)))
}
