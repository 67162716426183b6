//! Clearing many keys at once, without holding the server up.

use redis::{FromRedisValue, Value, cmd, pipe};
use turbodiesel_core::Tier;

use crate::{
    cache::{RedisCache, first},
    frame,
    link::{Failure, Link, Node},
};

/// How many keys the server looks at before it does something else. `SCAN` takes microseconds for so
/// many; `KEYS` would look at all of them at once.
const SCAN_COUNT: usize = 512;

/// The bytes that name a value's tier.
const TIER_BYTES: usize = 5;

/// Which values to clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection<'a> {
    /// All of the namespace.
    All,
    /// Those whose keys begin with this.
    Prefix(&'a str),
    /// Those of a tier.
    Tier(Tier),
}

impl Selection<'_> {
    fn takes(self, key: &[u8], tier: Tier) -> bool {
        match self {
            Selection::All => true,
            Selection::Prefix(prefix) => key.starts_with(prefix.as_bytes()),
            Selection::Tier(selected) => tier == selected,
        }
    }
}

impl RedisCache {
    /// Deletes all values of a selection, and tells how many there were.
    ///
    /// In Redis it scans and unlinks in batches of some hundred keys, and the server does what others
    /// ask in between; a value that is set meanwhile may stay. If Redis is away, or does not come to
    /// an end with it, the namespace gets a new epoch before Redis is used again, which clears all of
    /// it.
    pub async fn clear(&self, selection: Selection<'_>) -> u64 {
        let breaker = &self.inner.breaker;
        let in_memory = |memory: &crate::memory::Memory, journal: &mut crate::journal::Journal| {
            if self.inner.has_redis() {
                journal.rotate();
            }
            memory.remove_all(|key, tier| selection.takes(key, tier))
        };
        loop {
            let Some(link) = breaker.link() else {
                match breaker.change(in_memory) {
                    Some(removed) => return removed,
                    // Redis came back in between.
                    None => continue,
                }
            };
            let mut removed = 0;
            if let Err(failure) = clear(&link, selection, &mut removed).await {
                removed += breaker.write_failed(&failure, in_memory);
            }
            return removed;
        }
    }
}

async fn clear(link: &Link, selection: Selection<'_>, removed: &mut u64) -> Result<(), Failure> {
    let mut pattern = escaped(&link.epoch.prefix);
    if let Selection::Prefix(prefix) = selection {
        pattern.extend(escaped(prefix.as_bytes()));
    }
    pattern.push(b'*');
    for node in nodes(link).await? {
        let mut cursor = 0_u64;
        loop {
            let mut scan = pipe();
            scan.cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT);
            let answers = link.wire.ask_node(&node, &scan).await?;
            let answers = answers.into_iter().map(|answer| Ok(answer.extract_error()?));
            let answers: Result<Vec<Value>, Failure> = answers.collect();
            let (next, keys): (u64, Vec<Vec<u8>>) = first(answers?)?;
            let keys = match selection {
                Selection::Tier(tier) => of_tier(link, keys, tier).await?,
                _ => keys,
            };
            *removed += unlink(link, &keys).await?;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Those of some keys whose values name a tier.
async fn of_tier(link: &Link, keys: Vec<Vec<u8>>, tier: Tier) -> Result<Vec<Vec<u8>>, Failure> {
    let mut heads = pipe();
    for key in &keys {
        heads.cmd("GETRANGE").arg(key).arg(0).arg(TIER_BYTES - 1);
    }
    let heads = link.wire.ask_all(&heads).await?.into_iter();
    let is_selected = |head: Value| {
        Vec::<u8>::from_redis_value(head).is_ok_and(|head| frame::tier_of(&head) == Some(tier))
    };
    let keys = keys.into_iter().zip(heads);
    Ok(keys.filter_map(|(key, head)| is_selected(head).then_some(key)).collect())
}

async fn unlink(link: &Link, keys: &[Vec<u8>]) -> Result<u64, Failure> {
    if keys.is_empty() {
        return Ok(0);
    }
    let mut commands = pipe();
    if link.wire.is_cluster() {
        for key in keys {
            commands.cmd("UNLINK").arg(key);
        }
    } else {
        commands.cmd("UNLINK").arg(keys);
    }
    let counts = link.write(commands).await?;
    Ok(counts.into_iter().filter_map(|count| u64::from_redis_value(count).ok()).sum())
}

/// The servers that hold keys.
async fn nodes(link: &Link) -> Result<Vec<Node>, Failure> {
    if !link.wire.is_cluster() {
        return Ok(vec![Node::Only]);
    }
    // Each primary's own line among the nodes that it knows is the one about itself.
    let mut nodes = Vec::new();
    for answer in link.wire.ask_primaries(cmd("CLUSTER").arg("NODES")).await? {
        let text: String = first(vec![answer])?;
        let own = text.lines().find(|line| line.contains("myself"));
        let address = own.and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        // For instance 10.0.0.1:7000@17000,cache-1.example
        let address = address.split('@').next().unwrap_or_default();
        if let Some((host, port)) = address.rsplit_once(':') {
            let port = port.parse().map_err(|_| Failure::Lost("an address".to_owned()))?;
            nodes.push(Node::At(host.to_owned(), port));
        }
    }
    Ok(nodes)
}

/// Bytes as a pattern that matches only them.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(bytes.len() + 1);
    for &byte in bytes {
        if b"*?[]\\^-".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(escaped(b"user:*[a-z]?\\"), b"user:\\*\\[a\\-z\\]\\?\\\\");
    }
}
