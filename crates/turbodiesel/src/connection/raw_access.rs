//! Direct access to the diesel-async connection underneath.

use diesel::QueryResult;

use super::{Connection, hold::lost};
use crate::{
    backend::Backend,
    config::parse_table,
    error::{Error, outcome_unknown},
    shape::Effect,
    transaction::SendAsyncFnOnce,
    write::{self, Ended},
};

/// What a function given to [`Connection::with_raw`] may write.
#[derive(Clone, Debug)]
pub struct Touches(Kinds);

#[derive(Clone, Debug)]
enum Kinds {
    Nothing,
    Tables(Vec<String>),
    Everything,
}

impl Touches {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Kinds::Nothing)
    }

    /// These tables, named as in configuration, and what follows from writing them.
    #[must_use]
    pub fn tables<T: Into<String>>(tables: impl IntoIterator<Item = T>) -> Self {
        Self(Kinds::Tables(tables.into_iter().map(Into::into).collect()))
    }

    /// Anything, the schema included.
    #[must_use]
    pub fn everything() -> Self {
        Self(Kinds::Everything)
    }
}

impl<B: Backend> Connection<B> {
    /// Gives direct access to the diesel-async connection underneath, for what only its own type
    /// can do (`COPY`, notifications, extensions).
    ///
    /// Nothing is known of what happens there: what the caller declares is invalidated after, the
    /// connection's reads bypass the cache from now on, and it is closed instead of returned to the
    /// pool. A connection that is lost meanwhile leaves the declared tables uncached until its
    /// writes must have ended.
    ///
    /// # Errors
    ///
    /// What the function returns, or if a declared table does not exist.
    pub async fn with_raw<R, F>(&mut self, touches: Touches, function: F) -> QueryResult<R>
    where
        F: for<'r> AsyncFnOnce(&'r mut B::Raw) -> QueryResult<R>
            + for<'r> SendAsyncFnOnce<&'r mut B::Raw, QueryResult<R>>
            + Send,
        R: Send,
    {
        self.reclaim().await?;
        let edition = self.db.0.keeper.edition();
        let effect = self.declared(touches)?;
        self.frames().add(&effect);
        // It may begin and end transactions as it likes.
        self.out_of_hand = true;
        let Self { db, slot, .. } = self;
        let checkout = slot.as_mut().ok_or_else(lost)?;
        checkout.tainted = true;
        let mark = db.0.mark(effect.slots().iter().copied());
        let result = function(checkout.start_control()).await;
        let result = checkout.finish(result);
        let ended = if result.is_ok() { Ended::Done } else { Ended::Failed };
        let schema = effect.changes_schema();
        let is_settled = write::settle(&db.0, checkout, edition, mark, schema, ended).await;
        self.sync_frames();
        result.map_err(|error| if is_settled { error } else { outcome_unknown(&error) })
    }

    fn declared(&self, touches: Touches) -> QueryResult<Effect> {
        let names = match touches.0 {
            Kinds::Nothing => return Ok(Effect::Nothing),
            Kinds::Everything => return Ok(Effect::Everything { schema: true }),
            Kinds::Tables(names) => names,
        };
        let names = names.iter().map(|name| parse_table(name));
        self.db.0.effect_of(names).map_err(Error::into)
    }
}
