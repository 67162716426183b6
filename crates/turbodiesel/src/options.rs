//! What one reader asks for, beyond the query itself.

use std::{sync::Arc, time::Duration};

use turbodiesel_cache::Slot;
use turbodiesel_core::{IdentityBuilder, Tag, Tier};

/// Options of a handle or connection; the default asks for nothing special.
#[derive(Clone, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) bypass: bool,
    pub(crate) tier: Option<Tier>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) scope: Option<Arc<str>>,
    /// Tags of the caller's own, each with its slot, which tells it apart in an identity.
    pub(crate) tags: Option<Arc<[(Slot, Tag)]>>,
}

impl ReadOptions {
    pub(crate) const DEFAULT: &'static Self =
        &Self { bypass: false, tier: None, max_age: None, scope: None, tags: None };

    /// Appends what makes an answer a different one: the scope it was read in, and the extra tags it
    /// must carry. Tier and age only decide which answers are accepted.
    pub(crate) fn identify(&self, identity: &mut IdentityBuilder) {
        match &self.scope {
            Some(scope) => identity.push_bytes(scope.as_bytes()),
            None => identity.push_null(),
        }
        let tags = self.tags.as_deref().unwrap_or_default();
        identity.push_u64(tags.len() as u64);
        for (slot, _) in tags {
            identity.push_u32(slot.number());
        }
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::DEFAULT.clone()
    }
}

/// The options that a handle and a connection have in common: they hold for all queries to come.
macro_rules! read_options {
    ($connection:ident) => {
        impl<B: Backend> $connection<B> {
            /// Reads the database, and leaves the cache as it is.
            #[must_use]
            pub fn bypass(mut self) -> Self {
                self.options.bypass = true;
                self
            }

            /// Uses this tier instead of the one that the statement's tables give.
            #[must_use]
            pub fn tier(mut self, tier: turbodiesel_core::Tier) -> Self {
                self.options.tier = Some(tier);
                self
            }

            /// Accepts no answer older than this. A longer time than the tier's own ceiling has no
            /// effect.
            #[must_use]
            pub fn max_age(mut self, max_age: std::time::Duration) -> Self {
                self.options.max_age = Some(max_age);
                self
            }

            /// Keeps answers apart by whatever decides what the session may see: a tenant, a role,
            /// claims.
            ///
            /// Tables under row-level security are cached only with a scope. It is the caller's word
            /// that two sessions with the same scope see the same rows.
            #[must_use]
            pub fn scope(mut self, scope: impl Into<std::sync::Arc<str>>) -> Self {
                self.options.scope = Some(scope.into());
                self
            }

            /// Makes answers depend on more than their tables:
            /// [`Db::invalidate`](crate::Db::invalidate) with one of these tags ends them, and a write
            /// to its table if there is one. A column or value of a table stands for the table.
            #[must_use]
            pub fn depends_on(
                mut self,
                tags: impl IntoIterator<Item = turbodiesel_core::Tag>,
            ) -> Self {
                let stamps = &self.db.0.stamps;
                let tags = tags.into_iter().map(|tag| (stamps.slot(&tag), tag)).collect();
                self.options.tags = Some(tags);
                self
            }
        }
    };
}
pub(crate) use read_options;
