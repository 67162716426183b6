//! How long an answer may be served.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A freshness tier: a ceiling on how old a served answer may be.
///
/// Tiers are ordered by their default ceiling, so the shortest of several is their minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Hot data, and every table that nobody classified: 10 seconds.
    L1,
    /// Aggregations such as `COUNT`, `SUM` and `GROUP BY`: 60 seconds.
    L2,
    /// Reference data, for tables that the configuration names: 300 seconds.
    L3,
}

impl Tier {
    /// All tiers, shortest ceiling first.
    pub const ALL: [Tier; 3] = [Tier::L1, Tier::L2, Tier::L3];

    /// The ceiling on age that holds unless the configuration says otherwise.
    #[must_use]
    pub const fn default_ttl(self) -> Duration {
        match self {
            Tier::L1 => Duration::from_secs(10),
            Tier::L2 => Duration::from_secs(60),
            Tier::L3 => Duration::from_secs(300),
        }
    }

    /// The name used in configuration, statistics and the monitoring API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::L1 => "L1",
            Tier::L2 => "L2",
            Tier::L3 => "L3",
        }
    }

    /// A dense index, for arrays with one place per tier.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of parsing a [`Tier`] from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTierError(String);

impl fmt::Display for ParseTierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown tier `{}`: expected L1, L2 or L3", self.0)
    }
}

impl std::error::Error for ParseTierError {}

impl FromStr for Tier {
    type Err = ParseTierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Tier::ALL
            .into_iter()
            .find(|tier| tier.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseTierError(text.to_owned()))
    }
}
