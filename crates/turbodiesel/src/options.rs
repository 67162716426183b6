//! What one reader asks for, beyond the query itself.

use std::{sync::Arc, time::Duration};

use turbodiesel_cache::Slot;
use turbodiesel_core::{IdentityBuilder, Tier};

/// Options of a handle or connection; the default asks for nothing special.
#[derive(Clone, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) bypass: bool,
    pub(crate) tier: Option<Tier>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) scope: Option<Arc<str>>,
    pub(crate) tags: Option<Arc<[Slot]>>,
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
        for slot in tags {
            identity.push_u32(slot.number());
        }
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::DEFAULT.clone()
    }
}
