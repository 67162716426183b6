//! Values as hashes: enough to see that two are equal, and nothing more.

use std::{fmt, hash::BuildHasher, sync::LazyLock};

use foldhash::quality::RandomState;

/// A keyed hash of one bind or cell.
///
/// The key is random for each process, so a hash tells nothing of its value and never leaves the
/// process. Integers of all widths hash alike, because an application loads an `integer` and binds it
/// as a `bigint` without thinking about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueHash(u64);

/// What the lowest two bits say of a value.
const CLASS: u64 = 0b11;
const OTHER: u64 = 0;
const INTEGER: u64 = 1;
/// Equal to too many others for equality to mean anything: NULL, booleans, long texts.
const COMMON: u64 = 2;

/// The longest value, in bytes, that is taken for a key of something.
const LONGEST_KEY: usize = 64;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl ValueHash {
    /// NULL, which is equal to nothing.
    pub const NULL: Self = Self(COMMON);

    /// An integer of any width.
    #[must_use]
    #[inline]
    pub fn integer(value: i64) -> Self {
        Self(KEY.hash_one(value) & !CLASS | INTEGER)
    }

    /// A value that may identify something, as its bytes: a text, a UUID, a date.
    #[must_use]
    #[inline]
    pub fn bytes(value: &[u8]) -> Self {
        let class = if value.len() <= LONGEST_KEY { OTHER } else { COMMON };
        Self(KEY.hash_one(value) & !CLASS | class)
    }

    /// A value that identifies nothing although it may be equal to others: a boolean, a float, an
    /// array.
    #[must_use]
    #[inline]
    pub fn common(value: &[u8]) -> Self {
        Self(KEY.hash_one(value) & !CLASS | COMMON)
    }

    /// Whether equality with another value says that they mean the same.
    pub(crate) fn is_telling(self) -> bool {
        self.0 & CLASS != COMMON
    }

    /// Whether it is an integer: small ones are equal by chance.
    pub(crate) fn is_integer(self) -> bool {
        self.0 & CLASS == INTEGER
    }

    /// The hash of a sequence of values.
    #[inline]
    pub(crate) fn all(values: impl IntoIterator<Item = Self>) -> u64 {
        // The values are hashed well already, so this need only depend on their order.
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        values
            .into_iter()
            .fold(0, |all, value| (all.rotate_left(23) ^ value.0).wrapping_mul(FACTOR))
    }
}

impl fmt::Debug for ValueHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_different_kinds_differ() {
        let seven = 7_i64.to_be_bytes();
        let all = [
            ValueHash::integer(7),
            ValueHash::bytes(&seven),
            ValueHash::common(&seven),
            ValueHash::bytes(b"7"),
            ValueHash::NULL,
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| one != other));
        }
        assert!(ValueHash::integer(7).is_telling() && ValueHash::bytes(b"7").is_telling());
        assert!(!ValueHash::NULL.is_telling() && !ValueHash::bytes(&[0; 65]).is_telling());
    }

    #[test]
    fn the_hash_of_all_depends_on_their_order_and_number() {
        let (a, b) = (ValueHash::integer(1), ValueHash::integer(2));
        let all = [vec![], vec![a], vec![a, b], vec![b, a], vec![a, a]].map(ValueHash::all);
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| one != other));
        }
    }
}
