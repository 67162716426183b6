//! How a lookup ended, and why a query was not cached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Tier;

/// How one read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// Served from a tier of this process.
    Hit(Tier),
    /// Served from a tier of this process while a task revalidates it, within the ceiling on age.
    Stale(Tier),
    /// Waited for another task's read of the same query and shared its answer.
    Coalesced,
    /// Read from the database, and offered to the cache.
    Miss,
    /// Read from the database, the cache neither asked nor filled.
    Bypass(Bypass),
}

impl Outcome {
    /// Whether the database was not asked on behalf of this read alone.
    #[must_use]
    pub const fn is_served_from_cache(self) -> bool {
        matches!(self, Outcome::Hit(_) | Outcome::Stale(_) | Outcome::Coalesced)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Hit(tier) => write!(f, "hit {tier}"),
            Outcome::Stale(tier) => write!(f, "stale {tier}"),
            Outcome::Coalesced => f.write_str("coalesced"),
            Outcome::Miss => f.write_str("miss"),
            Outcome::Bypass(reason) => write!(f, "bypass ({reason})"),
        }
    }
}

macro_rules! bypass {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal;)+) => {
        /// Why a query was not answered from the cache.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Bypass {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Bypass {
            /// All reasons, in declaration order: a dense index for counters.
            pub const ALL: &'static [Bypass] = &[$(Bypass::$name),+];

            /// The label used in statistics and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Bypass::$name => $label,)+ }
            }
        }
    };
}

bypass! {
    /// The cache is switched off by configuration.
    Disabled = "disabled";
    /// The caller asked for the database.
    Requested = "requested";
    /// The connection is inside a transaction, where only the database knows what is visible.
    InTransaction = "in_transaction";
    /// The session was changed (`SET`, temporary tables, raw access), so answers may depend on it.
    TaintedConnection = "tainted_connection";
    /// The statement writes.
    Write = "write";
    /// The statement controls a transaction or a session.
    Control = "control";
    /// The statement could not be parsed.
    NotUnderstood = "not_understood";
    /// The text holds more than one statement.
    MultipleStatements = "multiple_statements";
    /// The statement takes row locks (`FOR UPDATE`, `FOR SHARE`).
    Locking = "locking";
    /// A volatile function is called, such as `random()` or `nextval()`.
    VolatileFunction = "volatile_function";
    /// The result depends on the time, the user or the session, such as `now()` or `current_user`.
    StableFunction = "stable_function";
    /// A function is called that neither the built-in list nor the catalog knows.
    UnknownFunction = "unknown_function";
    /// A system catalog is read.
    SystemCatalog = "system_catalog";
    /// A system column is read, such as `ctid` or `xmin`.
    SystemColumn = "system_column";
    /// A foreign table is read: others write it unseen.
    ForeignTable = "foreign_table";
    /// A table is read that the catalog does not know, a temporary one for example.
    UnknownTable = "unknown_table";
    /// A table under row-level security is read without a scope.
    RowSecurity = "row_security";
    /// The statement samples rows (`TABLESAMPLE`).
    Sampling = "sampling";
    /// The answer is larger than the limit for one entry.
    TooLarge = "too_large";
    /// The statement was executed for its count of rows.
    Executed = "executed";
    /// Another query has the same fingerprint.
    Collision = "collision";
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
