//! What can be wrong with a configuration.

use std::time::Duration;

use turbodiesel_core::Tier;

/// The error of building a cache. Its message names the option to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

impl Error {
    /// Whether a duration or a fraction is out of its range.
    #[must_use]
    pub fn is_out_of_range(&self) -> bool {
        !self.is_too_small()
    }

    /// Whether a tier's budget cannot hold the largest entry that is allowed.
    #[must_use]
    pub fn is_too_small(&self) -> bool {
        matches!(self.0, Kind::TooSmall { .. } | Kind::EntryTooSmall { .. })
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Kind {
    #[error(
        "the TTL of {tier} is {ttl:?}, but entries must live longer than the clock's resolution of \
         {resolution:?}: raise it, or do not cache at all"
    )]
    Ttl { tier: Tier, ttl: Duration, resolution: Duration },
    #[error(
        "{tier} turns stale after {stale_after:?}, which is not before its TTL of {ttl:?}: lower \
         `stale_after` or raise the TTL"
    )]
    StaleAfter { tier: Tier, stale_after: Duration, ttl: Duration },
    #[error("`refresh_beta` of {tier} is {beta}: it must be a finite number, zero or more")]
    Beta { tier: Tier, beta: f64 },
    #[error("the jitter is {0}: it must be a fraction between 0 and 0.5")]
    Jitter(f64),
    #[error(
        "{tier} has a budget of {capacity} bytes, but one entry of {entry} bytes needs at least \
         {needed}: raise `capacity_bytes` or lower `max_entry_bytes`"
    )]
    TooSmall { tier: Tier, capacity: u64, entry: usize, needed: u64 },
    #[error(
        "`max_entry_bytes` is {entry}, but an empty entry takes {fixed} bytes: raise it to hold one"
    )]
    EntryTooSmall { entry: usize, fixed: usize },
}
