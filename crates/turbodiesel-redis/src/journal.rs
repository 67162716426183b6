//! What was changed while Redis was away, and has to be told it when it is back.
//!
//! A key that is set or deleted while Redis is away still has its former value there. If nobody told
//! Redis, that value would come back with it. So the keys are remembered, up to a bound; beyond it, or
//! where what happened cannot be told key by key, the whole namespace gets a new epoch, which no former
//! value is of. Values are not kept here: they are in memory, or were evicted, which makes the key a
//! deleted one.

use std::collections::HashSet;

use bytes::Bytes;

/// The keys that were changed.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    keys: HashSet<Bytes>,
    bytes: usize,
    /// Whether to begin a new epoch instead of telling the keys.
    rotate: bool,
}

/// The most keys that are remembered, and the most bytes of them.
pub(crate) const MOST_KEYS: usize = 65_536;
const MOST_BYTES: usize = 8 << 20;

impl Journal {
    pub(crate) fn note(&mut self, key: Bytes) {
        let length = key.len();
        if !self.keys.insert(key) {
            return;
        }
        self.bytes += length;
        if self.keys.len() > MOST_KEYS || self.bytes > MOST_BYTES {
            // What is in memory under these keys is not told any more either: they are misses.
            self.keys = HashSet::new();
            self.bytes = 0;
            self.rotate = true;
        }
    }

    /// Asks for a new epoch.
    pub(crate) fn rotate(&mut self) {
        self.rotate = true;
    }

    pub(crate) fn must_rotate(&self) -> bool {
        self.rotate
    }

    /// Takes note that a new epoch was begun.
    pub(crate) fn rotated(&mut self) {
        self.rotate = false;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.rotate
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes some keys out. If telling them fails, they must be noted again.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Bytes> {
        let keys: Vec<Bytes> = self.keys.iter().take(most).cloned().collect();
        for key in &keys {
            self.keys.remove(key);
            self.bytes -= key.len();
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_once_each() {
        let mut journal = Journal::default();
        for key in ["a", "b", "a"] {
            journal.note(key.into());
        }
        assert_eq!(journal.take(1).len() + journal.take(9).len(), 2);
        assert!(journal.is_empty());
    }

    #[test]
    fn beyond_the_bound_the_namespace_gets_a_new_epoch() {
        let mut journal = Journal::default();
        for number in 0..=MOST_KEYS {
            assert!(!journal.must_rotate());
            journal.note(number.to_string().into());
        }
        assert!(journal.must_rotate() && !journal.is_empty());
        assert_eq!(journal.take(10), [""; 0]);
        journal.rotated();
        assert!(journal.is_empty());

        let long = Bytes::from(vec![0; MOST_BYTES + 1]);
        journal.note(long);
        assert!(journal.must_rotate());
    }
}
