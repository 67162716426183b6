//! Configuration: what can be set, what it defaults to, and what is refused.

use std::{fmt, sync::Arc, time::Duration};

use turbodiesel_core::{Clock, MonotonicClock, Tier};

use crate::{
    breaker::Breaker,
    cache::{RedisCache, Settings},
    error::Error,
    link::Names,
    memory::Memory,
    target::Target,
};

/// The longest name of a namespace.
const MAX_NAMESPACE: usize = 64;
/// The shortest secret: what can be tried out is none.
const MIN_SECRET: usize = 16;
/// The greatest value, as lengths in a frame have four bytes and Redis takes no more than this.
const MAX_VALUE: usize = 512 << 20;

/// Configures a [`RedisCache`].
///
/// ```no_run
/// use std::time::Duration;
/// use turbodiesel_redis::{RedisCache, Tier};
///
/// # fn example() -> Result<(), turbodiesel_redis::Error> {
/// let cache = RedisCache::builder()
///     .url("redis://app:secret@cache.example.org:6379")
///     .namespace("shop")
///     .ttl(Tier::L3, Duration::from_secs(600))
///     .deadline(Duration::from_millis(20))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    url: Option<String>,
    namespace: String,
    secret: String,
    ttls: [Duration; 3],
    longest_ttl: Duration,
    max_value: usize,
    memory: u64,
    compress_from: usize,
    deadline: Duration,
    connect_timeout: Duration,
    probe_interval: Duration,
    root_certificates: Option<Vec<u8>>,
    clock: Arc<dyn Clock>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            url: None,
            namespace: "turbodiesel".to_owned(),
            secret: String::new(),
            ttls: Tier::ALL.map(Tier::default_ttl),
            longest_ttl: Duration::from_secs(24 * 3_600),
            max_value: 1 << 20,
            memory: 64 << 20,
            compress_from: 1 << 10,
            deadline: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            probe_interval: Duration::from_secs(1),
            root_certificates: None,
            clock: Arc::new(MonotonicClock),
        }
    }

    /// Takes settings from the environment: `REDIS_URL`, `REDIS_NAMESPACE`, `REDIS_SECRET`,
    /// `CACHE_TTL_L1`, `CACHE_TTL_L2` and `CACHE_TTL_L3` (whole seconds). What is not set stays as it
    /// is; an empty `REDIS_URL` counts as not set.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if a variable has a value that it cannot have.
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
        if let Some(url) = get("REDIS_URL")?.filter(|url| !url.is_empty()) {
            self.url = Some(url);
        }
        if let Some(namespace) = get("REDIS_NAMESPACE")? {
            self.namespace = namespace;
        }
        if let Some(secret) = get("REDIS_SECRET")? {
            self.secret = secret;
        }
        for tier in Tier::ALL {
            let name = format!("CACHE_TTL_{tier}");
            let Some(value) = get(&name)? else { continue };
            let seconds: u64 = value.trim().parse().ok().filter(|&it| it > 0).ok_or_else(|| {
                Error::configuration(format!(
                    "{name} is `{value}`: use a whole number of seconds above zero"
                ))
            })?;
            self = self.ttl(tier, Duration::from_secs(seconds));
        }
        Ok(self)
    }

    /// Sets where Redis, or Valkey, is: `redis://user:password@host:port/db`, `rediss://…` for TLS
    /// (feature `tls`), `redis+unix:///path`, `redis+sentinel://user:password@host:port,…/service/db`
    /// for the primary that Sentinels name, or `redis+cluster://user:password@host:port,…` for a
    /// Cluster. Sentinels share user and password with the servers.
    ///
    /// Defaults to none: memory serves alone.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets the name that begins all keys in Redis, so that several applications can share one:
    /// letters, digits, `_`, `-` and `.`.
    ///
    /// Defaults to `turbodiesel`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the secret by which values are told from those that somebody else put into Redis. All
    /// processes that share values have the same one, of at least 16 bytes.
    ///
    /// Defaults to none: values are then checked against accidents, but not against forgery.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = secret.into();
        self
    }

    /// Sets how long values of a tier live.
    ///
    /// Defaults to [`Tier::default_ttl`].
    pub fn ttl(mut self, tier: Tier, ttl: Duration) -> Self {
        self.ttls[tier.index()] = ttl;
        self
    }

    /// Sets how long a value lives at most, whatever it was set with and however often it was
    /// touched.
    ///
    /// Defaults to a day.
    pub fn longest_ttl(mut self, ttl: Duration) -> Self {
        self.longest_ttl = ttl;
        self
    }

    /// Sets the greatest size of a value in bytes, before compression.
    ///
    /// Defaults to 1 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value = bytes;
        self
    }

    /// Sets the budget of the store in this process in bytes. It is used while Redis is not.
    ///
    /// Defaults to 64 MiB.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Sets from which size on values are compressed in Redis, if it saves at least an eighth.
    ///
    /// Defaults to 1 KiB.
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.compress_from = bytes;
        self
    }

    /// Sets how long Redis may take for a command. A write that takes longer, and the third read in a
    /// row, open the breaker.
    ///
    /// Defaults to 50 milliseconds.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how long it may take to connect. Nobody waits for it.
    ///
    /// Defaults to a second.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how often Redis is looked at while nothing is asked, and the longest pause between
    /// attempts to bring it back.
    ///
    /// Defaults to a second.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// Sets the certificates, in PEM, from which that of the server must descend.
    ///
    /// Defaults to those of the system.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Sets the clock by which values in memory age; for tests. In Redis they age by its own.
    ///
    /// Defaults to the operating system's monotonic clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the cache. With a URL it connects in the background, so it has to be built inside a
    /// tokio runtime; [`RedisCache::ready`] waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if a setting is wrong. That Redis cannot be reached is no error.
    pub fn build(self) -> Result<RedisCache, Error> {
        let Self {
            url,
            namespace,
            secret,
            ttls,
            longest_ttl,
            max_value,
            memory,
            compress_from,
            deadline,
            connect_timeout,
            probe_interval,
            root_certificates,
            clock,
        } = self;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if namespace.is_empty()
            || namespace.len() > MAX_NAMESPACE
            || !namespace.chars().all(is_name)
        {
            return Err(Error::configuration(format!(
                "the namespace `{namespace}` is no name: use up to {MAX_NAMESPACE} letters, digits, \
                 `_`, `-` and `.`"
            )));
        }
        if !secret.is_empty() && secret.len() < MIN_SECRET {
            return Err(Error::configuration(format!(
                "`secret` is shorter than {MIN_SECRET} bytes, so it could be guessed"
            )));
        }
        for (tier, ttl) in Tier::ALL.into_iter().zip(ttls) {
            if ttl <= clock.resolution() || ttl > longest_ttl {
                return Err(Error::configuration(format!(
                    "the TTL of {tier} is {ttl:?}: it must be above {:?} and no more than \
                     `longest_ttl` of {longest_ttl:?}",
                    clock.resolution()
                )));
            }
        }
        if max_value == 0 || max_value > MAX_VALUE {
            return Err(Error::configuration(format!(
                "`max_value_bytes` is {max_value}: use 1 to {MAX_VALUE}"
            )));
        }
        let least = Memory::least_capacity(max_value);
        if memory < least {
            return Err(Error::configuration(format!(
                "`memory_bytes` is {memory}, but one value of `max_value_bytes` takes {least}: raise \
                 the one or lower the other"
            )));
        }
        for (name, duration) in [
            ("deadline", deadline),
            ("connect_timeout", connect_timeout),
            ("probe_interval", probe_interval),
        ] {
            if duration.is_zero() {
                return Err(Error::configuration(format!("`{name}` is zero")));
            }
        }
        let target = url.map(|url| Target::parse(&url)).transpose()?;
        let memory = Memory::new(memory, max_value, longest_ttl, clock);
        let settings = Settings {
            names: Names::new(&namespace),
            namespace,
            secret: secret.into_bytes(),
            ttls,
            longest_ttl,
            max_value,
            compress_from,
            deadline,
            connect_timeout,
            probe_interval,
            root_certificates,
        };
        RedisCache::open(Breaker::new(memory), settings, target)
    }
}

impl fmt::Debug for Builder {
    /// Leaves out the URL and the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("namespace", &self.namespace)
            .field("ttls", &self.ttls)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Result<Builder, Error> {
        Builder::new().variables(|name| {
            Ok(pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_environment_sets_what_it_names() {
        let builder = variables(&[
            ("REDIS_URL", "redis://localhost"),
            ("REDIS_NAMESPACE", "shop"),
            ("CACHE_TTL_L2", "90"),
        ])
        .unwrap();
        assert_eq!(builder.url.as_deref(), Some("redis://localhost"));
        assert_eq!(builder.namespace, "shop");
        assert_eq!(builder.ttls[Tier::L2.index()], Duration::from_secs(90));
        assert_eq!(builder.ttls[Tier::L1.index()], Duration::from_secs(10));
        assert_eq!(variables(&[("REDIS_URL", "")]).unwrap().url, None);
        assert!(variables(&[("CACHE_TTL_L1", "0")]).unwrap_err().is_configuration());
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let seconds = Duration::from_secs;
        for (builder, name) in [
            (Builder::new().namespace("a:b"), "namespace"),
            (Builder::new().namespace(""), "namespace"),
            (Builder::new().secret("short"), "secret"),
            (Builder::new().ttl(Tier::L2, Duration::ZERO), "TTL of L2"),
            (Builder::new().longest_ttl(seconds(30)), "TTL of L2"),
            (Builder::new().max_value_bytes(0), "max_value_bytes"),
            (Builder::new().memory_bytes(1_000), "memory_bytes"),
            (Builder::new().deadline(Duration::ZERO), "deadline"),
            (Builder::new().url("redis://localhost"), "tokio"),
        ] {
            let error = builder.build().unwrap_err();
            assert!(error.is_configuration());
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let builder = Builder::new().url("redis://:hunter2@localhost").secret("hunter2 and more …");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
