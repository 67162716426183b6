//! Configuration: what can be set, what it defaults to, and what is refused.

use std::{collections::HashMap, fmt, marker::PhantomData, sync::Arc, time::Duration};

use turbodiesel_cache::{Cache, Stamps, StampsOptions, TierOptions};
use turbodiesel_core::{Clock, MonotonicClock, TableName, Tier};

use crate::{
    backend::Backend,
    catalog::{Catalog, RelationKind},
    db::Db,
    error::{Error, SharedError},
};

/// How long after a statement must have ended its mark still stands: the server may notice a
/// timeout late, and so may we.
const MARK_SLACK: Duration = Duration::from_secs(5);

/// Configures a [`Db`].
///
/// ```no_run
/// use std::time::Duration;
/// use turbodiesel::{Db, Tier};
///
/// # async fn example() -> Result<(), turbodiesel::Error> {
/// let db = Db::builder()
///     .url("postgres://app@db.example.org/shop?sslmode=verify-full")
///     .pool_size(16)
///     .statement_timeout(Duration::from_secs(10))
///     .reference(["roles", "permissions"])
///     .ttl(Tier::L3, Duration::from_secs(120))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<B: Backend> {
    url: Option<String>,
    enabled: bool,
    value_tags: bool,
    pool: PoolSettings,
    statement_timeout: Duration,
    tiers: [TierOptions; 3],
    jitter: f64,
    max_entry_bytes: usize,
    classes: Vec<(TableName, Tier)>,
    clock: Arc<dyn Clock>,
    backend: PhantomData<B>,
}

/// What a `Db` keeps of its configuration.
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    pub(crate) value_tags: bool,
    pub(crate) pool: PoolSettings,
    pub(crate) max_entry_bytes: usize,
    pub(crate) mark_lifetime: Duration,
    pub(crate) classes: Classes,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSettings {
    pub(crate) size: u32,
    pub(crate) min_idle: Option<u32>,
    pub(crate) checkout_timeout: Duration,
    /// Whether a connection that is closed takes its database with it.
    pub(crate) keep_for_ever: bool,
}

impl<B: Backend> Builder<B> {
    pub(crate) fn new() -> Self {
        Self {
            url: None,
            enabled: true,
            value_tags: true,
            pool: PoolSettings {
                size: 10,
                min_idle: None,
                checkout_timeout: Duration::from_secs(5),
                keep_for_ever: false,
            },
            statement_timeout: Duration::from_secs(30),
            tiers: Tier::ALL.map(TierOptions::default_for),
            jitter: 0.1,
            max_entry_bytes: 1 << 20,
            classes: Vec::new(),
            clock: Arc::new(MonotonicClock),
            backend: PhantomData,
        }
    }

    /// Takes settings from the environment: `DATABASE_URL`, `ENABLE_QUERY_CACHE` (`true` or
    /// `false`), `CACHE_TTL_L1`, `CACHE_TTL_L2` and `CACHE_TTL_L3` (whole seconds). What is not set
    /// stays as it is. `REDIS_URL` has no effect yet.
    ///
    /// # Errors
    ///
    /// If a variable has a value that it cannot have.
    pub fn env(self) -> Result<Self, Error> {
        self.variables(|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Error::configuration(format!("{name} is not valid Unicode")))
            }
        })
    }

    fn variables(
        mut self,
        get: impl Fn(&str) -> Result<Option<String>, Error>,
    ) -> Result<Self, Error> {
        if let Some(url) = get("DATABASE_URL")? {
            self.url = Some(url);
        }
        if let Some(value) = get("ENABLE_QUERY_CACHE")? {
            self.enabled = match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => true,
                "false" | "0" | "no" | "off" => false,
                _ => {
                    return Err(Error::configuration(format!(
                        "ENABLE_QUERY_CACHE is `{value}`: use `true` or `false`"
                    )));
                }
            };
        }
        for tier in Tier::ALL {
            let name = format!("CACHE_TTL_{tier}");
            let Some(value) = get(&name)? else { continue };
            let seconds: u64 = value.trim().parse().ok().filter(|&it| it > 0).ok_or_else(|| {
                Error::configuration(format!(
                    "{name} is `{value}`: use a whole number of seconds above zero, or switch the \
                     cache off with ENABLE_QUERY_CACHE=false"
                ))
            })?;
            self = self.ttl(tier, Duration::from_secs(seconds));
        }
        Ok(self)
    }

    /// Sets where the database is.
    ///
    /// PostgreSQL: a URL or a list of `key=value`, with `sslmode` and `sslrootcert` as in libpq, and
    /// `host=/folder` for a Unix socket. SQLite: a path, or `:memory:` for a database that lives as
    /// long as the `Db`, on a pool of one.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Switches the cache on or off. Off, every query reaches the database; writes are tracked all
    /// the same.
    ///
    /// Defaults to on.
    pub fn cache(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Whether an answer confined to one value of a key (`id = 7`, `customer_id = 3`) outlives writes
    /// to other rows of its table. Off, every write to a table ends every answer that reads it.
    ///
    /// Defaults to on.
    pub fn value_tags(mut self, enabled: bool) -> Self {
        self.value_tags = enabled;
        self
    }

    /// Sets the greatest number of pool connections.
    ///
    /// Defaults to 10.
    pub fn pool_size(mut self, connections: u32) -> Self {
        self.pool.size = connections;
        self
    }

    /// Sets how many connections are kept open while idle.
    ///
    /// Defaults to none in particular.
    pub fn min_idle(mut self, connections: u32) -> Self {
        self.pool.min_idle = Some(connections);
        self
    }

    /// Sets how long a query waits for a pool connection before it fails.
    ///
    /// Defaults to 5 seconds.
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.pool.checkout_timeout = timeout;
        self
    }

    /// Sets PostgreSQL's `statement_timeout` on every connection. It bounds how long a write of which
    /// nobody can find out how it ended keeps its tables uncached, so it cannot be switched off.
    ///
    /// Defaults to 30 seconds.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Sets the ceiling on the age of answers in a tier.
    ///
    /// Defaults to [`Tier::default_ttl`].
    pub fn ttl(mut self, tier: Tier, ttl: Duration) -> Self {
        self.tiers[tier.index()].ttl = ttl;
        self
    }

    /// Sets a tier's budget in bytes.
    ///
    /// Defaults to 64 MiB for L1 and L2 and 32 MiB for L3.
    pub fn capacity(mut self, tier: Tier, bytes: u64) -> Self {
        self.tiers[tier.index()].capacity_bytes = bytes;
        self
    }

    /// From this age on, answers of a tier are served while one task reads them anew. Less than the
    /// TTL, which stays the ceiling.
    ///
    /// Defaults to none: refreshes ahead of expiry then happen by chance, in proportion to what a
    /// read costs.
    pub fn stale_after(mut self, tier: Tier, age: Duration) -> Self {
        self.tiers[tier.index()].stale_after = Some(age);
        self
    }

    /// Sets how eagerly answers of a tier are read anew before they expire, in multiples of what the
    /// read costs (XFetch). Zero switches it off.
    ///
    /// Defaults to 1.
    pub fn refresh_ahead(mut self, tier: Tier, eagerness: f64) -> Self {
        self.tiers[tier.index()].refresh_beta = eagerness;
        self
    }

    /// Sets the greatest part of its TTL that chance takes off an answer's life, so that answers
    /// read together do not expire together: 0 to 0.5.
    ///
    /// Defaults to 0.1.
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Sets the greatest size of one answer in the cache, in bytes. Larger ones stream through.
    ///
    /// Defaults to 1 MiB.
    pub fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.max_entry_bytes = bytes;
        self
    }

    /// Names tables of reference data, cached in L3: those that hardly ever change, or whose changes
    /// by others may be seen minutes late.
    pub fn reference<T: AsRef<str>>(self, tables: impl IntoIterator<Item = T>) -> Self {
        self.class(tables, Tier::L3)
    }

    /// Names tables of hot data, cached in L1. So is every table that nobody names; naming one
    /// documents it, and guards it against being named twice.
    pub fn hot<T: AsRef<str>>(self, tables: impl IntoIterator<Item = T>) -> Self {
        self.class(tables, Tier::L1)
    }

    fn class<T: AsRef<str>>(mut self, tables: impl IntoIterator<Item = T>, tier: Tier) -> Self {
        self.classes.extend(tables.into_iter().map(|name| (parse_table(name.as_ref()), tier)));
        self
    }

    /// Sets the clock by which answers age; for tests.
    ///
    /// Defaults to the operating system's monotonic clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Connects, reads the catalog, and starts the cache.
    ///
    /// # Errors
    ///
    /// If a setting is wrong ([`Error::is_configuration`]) or the database cannot be reached
    /// ([`Error::is_connect`]).
    pub async fn build(self) -> Result<Db<B>, Error> {
        let Self {
            url,
            enabled,
            value_tags,
            mut pool,
            statement_timeout,
            tiers,
            jitter,
            max_entry_bytes,
            classes,
            clock,
            backend: _,
        } = self;
        let url = url.ok_or_else(|| {
            Error::configuration("no database is named: set `url(…)`, or DATABASE_URL and `env()`")
        })?;
        if statement_timeout.as_millis() == 0 {
            return Err(Error::configuration(
                "`statement_timeout` is zero, which PostgreSQL takes for none: set at least a \
                 millisecond",
            ));
        }
        if statement_timeout.as_millis() > i32::MAX as u128 {
            return Err(Error::configuration(
                "`statement_timeout` is beyond PostgreSQL's longest, of 24 days",
            ));
        }
        if pool.checkout_timeout.is_zero() {
            return Err(Error::configuration(
                "`checkout_timeout` is zero, so that no query could get a connection",
            ));
        }
        if pool.size == 0 {
            return Err(Error::configuration("`pool_size` is zero: set at least one connection"));
        }
        if pool.min_idle.is_some_and(|idle| idle > pool.size) {
            return Err(Error::configuration("`min_idle` is above `pool_size`"));
        }
        let target = B::target(&url, statement_timeout)?;
        if B::is_private_to_a_connection(&target) {
            pool = PoolSettings { size: 1, min_idle: None, keep_for_ever: true, ..pool };
        }
        let stamps = Stamps::new(clock, StampsOptions::default());
        let mut cache = Cache::<B::Answer, SharedError>::builder()
            .jitter(jitter)
            .max_entry_bytes(max_entry_bytes)
            .stamps(Arc::clone(&stamps));
        for tier in Tier::ALL {
            cache = cache.tier(tier, tiers[tier.index()]);
        }
        let cache = cache.build().map_err(|error| Error::configuration(error.to_string()))?;
        let settings = Settings {
            enabled,
            value_tags,
            pool,
            max_entry_bytes,
            mark_lifetime: statement_timeout + MARK_SLACK,
            classes: Classes::default(),
        };
        Db::open(target, settings, cache, stamps, &classes).await
    }
}

impl<B: Backend> fmt::Debug for Builder<B> {
    /// Leaves out the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("enabled", &self.enabled)
            .field("pool", &self.pool)
            .field("tiers", &self.tiers)
            .finish_non_exhaustive()
    }
}

/// The tiers of the tables that the configuration names, by their full names.
#[derive(Debug, Default)]
pub(crate) struct Classes(HashMap<TableName, Tier>);

impl Classes {
    /// Looks the configured names up in the catalog.
    pub(crate) fn resolve(
        configured: &[(TableName, Tier)],
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let mut classes = HashMap::new();
        for (name, tier) in configured {
            let Some((full, relation)) = catalog.resolve(name) else {
                return Err(unknown_table(name, catalog));
            };
            if let RelationKind::View(_) = relation.kind {
                return Err(Error::configuration(format!(
                    "`{full}` is a view: name the tables behind it"
                )));
            }
            if classes.insert(full.clone(), *tier).is_some_and(|other| other != *tier) {
                return Err(Error::configuration(format!(
                    "`{full}` is named as both `reference` and `hot`: choose one"
                )));
            }
        }
        Ok(Self(classes))
    }

    /// The tier of a table's rows.
    pub(crate) fn tier(&self, table: &TableName) -> Tier {
        self.0.get(table).copied().unwrap_or(Tier::L1)
    }
}

/// The error of naming a table that is not there, with those that are.
pub(crate) fn unknown_table(name: &TableName, catalog: &Catalog) -> Error {
    const SHOWN: usize = 12;
    let mut known: Vec<String> = catalog.relations.keys().map(ToString::to_string).collect();
    known.sort();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    known.truncate(SHOWN);
    Error::configuration(format!(
        "there is no table `{name}` in {}: the database has {}{more}",
        catalog.search_path.join(", "),
        if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    ))
}

/// A table's name as written in configuration: `table` or `schema.table`, spelt as in the catalog.
pub(crate) fn parse_table(text: &str) -> TableName {
    match text.split_once('.') {
        Some((schema, name)) => TableName::qualified(schema, name),
        None => TableName::unqualified(text),
    }
}

#[cfg(test)]
mod tests {
    use diesel::pg::Pg;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Result<Builder<Pg>, Error> {
        Builder::<Pg>::new().variables(|name| {
            Ok(pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_environment_sets_what_it_names() {
        let builder = variables(&[
            ("DATABASE_URL", "postgres://localhost/shop"),
            ("ENABLE_QUERY_CACHE", "FALSE"),
            ("CACHE_TTL_L2", "90"),
        ])
        .unwrap();
        assert!(!builder.enabled);
        assert_eq!(builder.tiers[Tier::L2.index()].ttl, Duration::from_secs(90));
        assert_eq!(builder.tiers[Tier::L1.index()].ttl, Duration::from_secs(10));
    }

    #[test]
    fn a_bad_value_is_named_with_those_that_are_good() {
        for (name, value, fix) in [
            ("ENABLE_QUERY_CACHE", "maybe", "`true` or `false`"),
            ("CACHE_TTL_L1", "0", "above zero"),
            ("CACHE_TTL_L2", "-5", "above zero"),
            ("CACHE_TTL_L3", "ten", "whole number"),
        ] {
            let error = variables(&[(name, value)]).unwrap_err();
            assert!(error.is_configuration());
            let message = error.to_string();
            assert!(message.contains(name) && message.contains(fix), "{message}");
        }
    }
}
