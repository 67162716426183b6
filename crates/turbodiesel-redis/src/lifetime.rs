//! How long a value may be served.

use std::time::Duration;

use turbodiesel_core::Tier;

/// How long a value lives, and the tier with which it can be cleared.
///
/// ```
/// use std::time::Duration;
/// use turbodiesel_redis::{Lifetime, Tier};
///
/// let lifetime: Lifetime = Tier::L2.into(); // as long as the tier's values live
/// let lifetime: Lifetime = Duration::from_secs(30).into(); // in the shortest tier that lives so long
/// let lifetime = Lifetime::within(Tier::L3, Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    tier: Option<Tier>,
    ttl: Option<Duration>,
}

impl Lifetime {
    /// A lifetime of its own, in a tier.
    #[must_use]
    pub fn within(tier: Tier, ttl: Duration) -> Self {
        Self { tier: Some(tier), ttl: Some(ttl) }
    }

    /// The tier and the time to live, given those of all tiers and the longest there is. Never below
    /// a millisecond, the shortest that Redis knows.
    pub(crate) fn resolve(self, ttls: &[Duration; 3], longest: Duration) -> (Tier, Duration) {
        let tier = self.tier.unwrap_or_else(|| {
            let wanted = self.ttl.unwrap_or_default();
            Tier::ALL.into_iter().find(|tier| wanted <= ttls[tier.index()]).unwrap_or(Tier::L3)
        });
        let ttl = self.ttl.unwrap_or(ttls[tier.index()]);
        (tier, ttl.clamp(Duration::from_millis(1), longest))
    }
}

impl From<Tier> for Lifetime {
    fn from(tier: Tier) -> Self {
        Self { tier: Some(tier), ttl: None }
    }
}

impl From<Duration> for Lifetime {
    fn from(ttl: Duration) -> Self {
        Self { tier: None, ttl: Some(ttl) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_finds_its_tier_and_the_longest_is_a_ceiling() {
        let ttls = Tier::ALL.map(Tier::default_ttl);
        let seconds = Duration::from_secs;
        let resolve = |lifetime: Lifetime| lifetime.resolve(&ttls, seconds(1_000));
        assert_eq!(resolve(Tier::L2.into()), (Tier::L2, seconds(60)));
        assert_eq!(resolve(seconds(10).into()), (Tier::L1, seconds(10)));
        assert_eq!(resolve(seconds(11).into()), (Tier::L2, seconds(11)));
        assert_eq!(resolve(seconds(5_000).into()), (Tier::L3, seconds(1_000)));
        assert_eq!(resolve(Duration::ZERO.into()), (Tier::L1, Duration::from_millis(1)));
    }
}
