//! The cache service: one set of operations, whichever store answers.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use redis::{FromRedisValue, Pipeline, Value, pipe};
use tokio::task::AbortHandle;
use turbodiesel_core::Tier;

use crate::{
    breaker::Breaker,
    error::{Error, Kind},
    frame::{self, Framed, MAX_KEY},
    lifetime::Lifetime,
    link::{Failure, Link, Names},
    options::Builder,
    recovery::{self, millis},
    stats::{CacheStats, add},
    target::Target,
};

/// How many keys are asked for, or written, in one round trip at most, and about how many bytes are
/// written. More would keep other tasks waiting behind them, and exceed a command's deadline.
const BATCH_KEYS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;

/// A cache in Redis that goes on in memory when Redis does not.
///
/// Clones share it. Operations never fail because of Redis; see the
/// [crate's guarantees](crate#guarantees).
///
/// ```
/// use turbodiesel_redis::{RedisCache, Tier};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), turbodiesel_redis::Error> {
/// // Without a URL, memory serves alone.
/// let cache = RedisCache::builder().namespace("shop").build()?;
/// cache.set("user:7", "Ann", Tier::L1).await?;
/// assert_eq!(cache.get("user:7").await.unwrap(), "Ann");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisCache {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) settings: Arc<Settings>,
    /// The task that brings Redis back, if there is one to bring back.
    recovery: Option<AbortHandle>,
}

/// What a cache keeps of its configuration.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) names: Names,
    pub(crate) namespace: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) ttls: [Duration; 3],
    pub(crate) longest_ttl: Duration,
    pub(crate) max_value: usize,
    pub(crate) compress_from: usize,
    pub(crate) deadline: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) probe_interval: Duration,
    pub(crate) root_certificates: Option<Vec<u8>>,
}

impl RedisCache {
    /// Configures a cache.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Builds a cache from the environment alone; see [`Builder::env`].
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if a variable has a value that it cannot have.
    pub fn from_env() -> Result<Self, Error> {
        Builder::new().env()?.build()
    }

    pub(crate) fn open(
        breaker: Breaker,
        settings: Settings,
        target: Option<Target>,
    ) -> Result<Self, Error> {
        let (breaker, settings) = (Arc::new(breaker), Arc::new(settings));
        let recovery = match target {
            None => None,
            Some(target) => {
                let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
                    Error::configuration("a cache over Redis is built inside a tokio runtime")
                })?;
                let run = recovery::run(Arc::clone(&breaker), Arc::clone(&settings), target);
                Some(runtime.spawn(run).abort_handle())
            }
        };
        Ok(Self { inner: Arc::new(Inner { breaker, settings, recovery }) })
    }

    /// Waits until Redis is used, and tells whether it is. Nothing needs to wait for it: memory serves
    /// until then.
    pub async fn ready(&self, patience: Duration) -> bool {
        if self.inner.recovery.is_none() {
            return false;
        }
        let mut up = self.inner.breaker.up.subscribe();
        tokio::time::timeout(patience, up.wait_for(|up| *up)).await.is_ok_and(|up| up.is_ok())
    }

    /// The value of a key, if there is one that has not expired.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        self.get_many([key]).await.pop().flatten()
    }

    /// The values of some keys, in their order. A thousand keys take one round trip, on a Cluster one
    /// per node.
    pub async fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Option<Bytes>> {
        let keys: Vec<K> = keys.into_iter().collect();
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH_KEYS) {
            match self.inner.get_in_redis(keys).await {
                Some(found) => values.extend(found),
                None => values.extend(self.inner.get_in_memory(keys)),
            }
        }
        values
    }

    /// Keeps a value.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`] if the key or the value is. The former value stays.
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
        lifetime: impl Into<Lifetime>,
    ) -> Result<(), Error> {
        self.set_many([(key, value)], lifetime).await
    }

    /// Keeps some values, in one round trip per thousand or per MiB of them, on a Cluster one per node
    /// at the same time. If a key is there twice, its last value is kept.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`] if one of the keys or values is. Nothing was changed then.
    pub async fn set_many<K: AsRef<[u8]>, V: Into<Bytes>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
        lifetime: impl Into<Lifetime>,
    ) -> Result<(), Error> {
        let settings = &self.inner.settings;
        let (tier, ttl) = lifetime.into().resolve(&settings.ttls, settings.longest_ttl);
        let mut writes = Vec::new();
        for (key, value) in entries {
            let (key, value) = (self.inner.checked_key(key.as_ref())?, value.into());
            if value.len() > settings.max_value {
                let (length, most) = (value.len(), settings.max_value);
                return Err(Kind::ValueTooLarge { length, most }.into());
            }
            writes.push(Set { key, value, tier, ttl });
        }
        let mut rest = &writes[..];
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(batch_length(rest));
            self.inner.set(batch).await;
            rest = others;
        }
        Ok(())
    }

    /// Deletes a key, and tells whether it was there, as far as the store that is in use knows.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> bool {
        self.delete_many([key]).await > 0
    }

    /// Deletes some keys, and tells how many were there.
    pub async fn delete_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> u64 {
        // A key that is too long was never set.
        let keys = keys.into_iter().filter_map(|key| self.inner.checked_key(key.as_ref()).ok());
        let keys: Vec<Bytes> = keys.collect();
        let mut deleted = 0;
        for keys in keys.chunks(BATCH_KEYS) {
            deleted += self.inner.delete(keys).await;
        }
        deleted
    }

    /// How long a key lives yet, if it is there.
    pub async fn remaining_ttl(&self, key: impl AsRef<[u8]>) -> Option<Duration> {
        let key = key.as_ref();
        let breaker = &self.inner.breaker;
        if let Some(link) = breaker.link() {
            let mut command = pipe();
            command.cmd("PTTL").arg(link.name(key));
            match link.read(command).await.and_then(first::<i64>) {
                // -2 stands for a key that is not there, -1 for one without an end, which is not ours.
                Ok(left) => return u64::try_from(left).ok().map(Duration::from_millis),
                Err(failure) => breaker.read_failed(&link, &failure),
            }
        }
        breaker.memory.live(key).map(|(_, left)| left)
    }

    /// Lets a key live for so long from now on, and tells whether it was there. However often it is
    /// touched, a value ends at [`Builder::longest_ttl`] after it was set.
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: Duration) -> bool {
        let key = key.as_ref();
        let breaker = &self.inner.breaker;
        let ttl = ttl.min(self.inner.settings.longest_ttl);
        if let Some(link) = breaker.link() {
            let mut command = pipe();
            command.cmd("PEXPIRE").arg(link.name(key)).arg(millis(ttl));
            // Whether a touch was done or not, the value is the right one, so it needs no journal.
            match link.read(command).await.and_then(first::<i64>) {
                Ok(count) => return count > 0,
                Err(failure) => breaker.read_failed(&link, &failure),
            }
        }
        breaker.memory.touch(key, ttl)
    }

    /// What the cache did, and holds in memory.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let Breaker { memory, counters, .. } = &*self.inner.breaker;
        CacheStats {
            memory_entries: memory.len(),
            memory_bytes: memory.bytes(),
            pending: self.inner.breaker.pending(),
            ..counters.read()
        }
    }
}

#[cfg(feature = "json")]
impl RedisCache {
    /// The value of a key that [`set_json`](Self::set_json) kept.
    ///
    /// # Errors
    ///
    /// [`Error::is_encoding`] if what is there is no JSON of the type.
    pub async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        let Some(bytes) = self.get(key).await else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(Error::encoding)
    }

    /// Keeps a value as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::is_encoding`] if it cannot be written as JSON, and as for [`set`](Self::set).
    pub async fn set_json<T: serde::Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        lifetime: impl Into<Lifetime>,
    ) -> Result<(), Error> {
        let bytes = serde_json::to_vec(value).map_err(Error::encoding)?;
        self.set(key, bytes, lifetime).await
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("namespace", &self.inner.settings.namespace)
            .field("is_up", &self.inner.breaker.link().is_some())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(recovery) = &self.recovery {
            recovery.abort();
        }
    }
}

/// A value to be kept.
struct Set {
    key: Bytes,
    value: Bytes,
    tier: Tier,
    ttl: Duration,
}

impl Inner {
    fn checked_key(&self, key: &[u8]) -> Result<Bytes, Error> {
        if key.len() > MAX_KEY {
            return Err(Kind::KeyTooLarge { length: key.len(), most: MAX_KEY }.into());
        }
        Ok(Bytes::copy_from_slice(key))
    }

    /// What Redis has, or nothing if it is not used or did not answer.
    async fn get_in_redis<K: AsRef<[u8]>>(&self, keys: &[K]) -> Option<Vec<Option<Bytes>>> {
        let breaker = &self.breaker;
        let link = breaker.link()?;
        match link.get(keys).await {
            Ok(found) => {
                let now = unix_millis();
                let values: Vec<_> = keys
                    .iter()
                    .zip(found)
                    .map(|(key, bytes)| self.opened(&link, key.as_ref(), &bytes?, now))
                    .collect();
                breaker.counters.redis.count_lookups(&values);
                Some(values)
            }
            Err(failure) => {
                breaker.read_failed(&link, &failure);
                None
            }
        }
    }

    fn opened(&self, link: &Link, key: &[u8], bytes: &Bytes, now: u64) -> Option<Bytes> {
        match frame::decode(&link.epoch.seal, key, bytes, now, self.settings.max_value) {
            Ok(framed) => Some(framed.value),
            Err(rejection) => {
                self.breaker.counters.count_rejection(rejection);
                None
            }
        }
    }

    fn get_in_memory<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Option<Bytes>> {
        let memory = &self.breaker.memory;
        let values: Vec<_> = keys.iter().map(|key| memory.get(key.as_ref())).collect();
        self.breaker.counters.memory.count_lookups(&values);
        values
    }

    async fn set(&self, sets: &[Set]) {
        let breaker = &self.breaker;
        let in_memory = |memory: &crate::memory::Memory, journal: &mut crate::journal::Journal| {
            for Set { key, value, tier, ttl } in sets {
                memory.set(key.clone(), value.clone(), *tier, *ttl);
                self.note(journal, key);
            }
            add(&breaker.counters.memory.sets, sets.len());
        };
        loop {
            let Some(link) = breaker.link() else {
                if breaker.change(in_memory).is_some() {
                    return;
                }
                // Redis came back in between.
                continue;
            };
            match link.write(self.set_commands(&link, sets)).await {
                Ok(_) => add(&breaker.counters.redis.sets, sets.len()),
                Err(failure) => breaker.write_failed(&failure, in_memory),
            }
            return;
        }
    }

    fn set_commands(&self, link: &Link, sets: &[Set]) -> Pipeline {
        let Settings { longest_ttl, compress_from, .. } = &*self.settings;
        let counters = &self.breaker.counters;
        let expires_at = unix_millis() + millis(*longest_ttl);
        let mut commands = pipe();
        for Set { key, value, tier, ttl } in sets {
            let framed = Framed { value: value.clone(), tier: *tier, expires_at };
            let frame = frame::encode(&link.epoch.seal, key, &framed, *compress_from);
            counters.value_bytes.fetch_add(value.len() as u64, Relaxed);
            counters.written_bytes.fetch_add(frame.len() as u64, Relaxed);
            commands.cmd("SET").arg(link.name(key)).arg(frame).arg("PX").arg(millis(*ttl));
        }
        commands
    }

    async fn delete(&self, keys: &[Bytes]) -> u64 {
        let breaker = &self.breaker;
        let in_memory = |memory: &crate::memory::Memory, journal: &mut crate::journal::Journal| {
            add(&breaker.counters.memory.deletes, keys.len());
            let deleted = keys.iter().filter(|key| {
                self.note(journal, key);
                memory.delete(key)
            });
            deleted.count() as u64
        };
        loop {
            let Some(link) = breaker.link() else {
                match breaker.change(in_memory) {
                    Some(deleted) => return deleted,
                    // Redis came back in between.
                    None => continue,
                }
            };
            let mut commands = pipe();
            if link.wire.is_cluster() {
                for key in keys {
                    commands.cmd("UNLINK").arg(link.name(key));
                }
            } else {
                commands.cmd("UNLINK");
                for key in keys {
                    commands.arg(link.name(key));
                }
            }
            return match link.write(commands).await {
                Ok(counts) => {
                    add(&breaker.counters.redis.deletes, keys.len());
                    counts.into_iter().filter_map(|count| u64::from_redis_value(count).ok()).sum()
                }
                Err(failure) => breaker.write_failed(&failure, in_memory),
            };
        }
    }

    /// Takes note of a change for Redis, if there is one to be told.
    fn note(&self, journal: &mut crate::journal::Journal, key: &Bytes) {
        if self.has_redis() {
            journal.note(key.clone());
        }
    }

    pub(crate) fn has_redis(&self) -> bool {
        self.recovery.is_some()
    }
}

/// How many of some values are written in one round trip: at least one.
fn batch_length(sets: &[Set]) -> usize {
    let mut bytes = 0;
    let fitting = sets.iter().take(BATCH_KEYS).take_while(|set| {
        let fits = bytes < BATCH_BYTES;
        bytes += set.value.len();
        fits
    });
    fitting.count()
}

/// The first answer as a type.
pub(crate) fn first<T: FromRedisValue>(answers: Vec<Value>) -> Result<T, Failure> {
    let answer = answers.into_iter().next().unwrap_or(Value::Nil);
    T::from_redis_value(answer).map_err(|error| Failure::Lost(error.to_string()))
}

/// The present in milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the end of a value's longest life is compared by processes on several machines; that it \
              jumps only makes values live a little shorter or longer than the longest"
)]
pub(crate) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
