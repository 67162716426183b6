//! Which query an answer belongs to.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    mem,
    ops::Deref,
};

use siphasher::sip128::SipHasher13;

/// A keyed 128-bit hash of a query's identity.
///
/// Two identities with one fingerprint are possible in principle, so whoever stores an answer under
/// a fingerprint keeps the identity beside it and compares it on a hit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The secret under which identities are hashed (SipHash-1-3 with 128 bits of output).
///
/// An attacker who chooses bind values but does not know the key cannot choose a collision. The
/// variant is the one that the standard library trusts its maps to; what a collision could do beyond
/// that, giving one query the answer of another, is ruled out by comparing identities.
#[derive(Clone, Copy)]
pub struct FingerprintKey([u64; 2]);

impl FingerprintKey {
    /// A key that no other process shares.
    #[must_use]
    pub fn random() -> Self {
        // `RandomState` is seeded by the operating system once per thread and then counts up, so
        // two of them hash nothing to unrelated values.
        let word = || RandomState::new().build_hasher().finish();
        Self([word(), word()])
    }

    /// A key that processes agree on, from two words of shared secret.
    #[must_use]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// The fingerprint of an identity.
    #[must_use]
    #[inline]
    pub fn fingerprint(&self, identity: &[u8]) -> Fingerprint {
        Fingerprint(SipHasher13::new_with_keys(self.0[0], self.0[1]).hash(identity).as_u128())
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// Encodes the parts of an identity injectively: different parts never give the same bytes.
///
/// Every part of variable length carries its length, so no part can pretend to be its neighbour.
///
/// ```
/// use turbodiesel_core::IdentityBuilder;
///
/// let encode = |parts: &[&str]| {
///     let mut identity = IdentityBuilder::default();
///     parts.iter().for_each(|part| identity.push_bytes(part.as_bytes()));
///     identity.into_bytes()
/// };
/// assert_ne!(encode(&["a", "b"]), encode(&["ab"]));
/// assert_ne!(encode(&["a b"]), encode(&["a", " b"]));
/// ```
#[derive(Debug, Default)]
pub struct IdentityBuilder {
    bytes: IdentityBytes,
}

/// The bytes of an identity.
///
/// Dropped, they leave their allocation to the next identity that is built on the thread: that of a
/// hit is not needed for longer than the lookup, so every hit after the first finds one.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityBytes(Vec<u8>);

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The largest allocation that is kept for the next identity.
const LARGEST_SPARE: usize = 4 << 10;

impl Default for IdentityBytes {
    #[inline]
    fn default() -> Self {
        Self(SPARE.try_with(Cell::take).unwrap_or_default())
    }
}

impl Drop for IdentityBytes {
    #[inline]
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.0);
        if (1..=LARGEST_SPARE).contains(&bytes.capacity()) {
            bytes.clear();
            // On a thread that is ending there is no next.
            let _ = SPARE.try_with(|spare| spare.set(bytes));
        }
    }
}

impl fmt::Debug for IdentityBytes {
    /// Shows the length; the bytes may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityBytes({})", self.0.len())
    }
}

impl Deref for IdentityBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl IdentityBuilder {
    /// Appends a number of fixed width.
    #[inline]
    pub fn push_u32(&mut self, number: u32) {
        self.bytes.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Appends a number of fixed width.
    #[inline]
    pub fn push_u64(&mut self, number: u64) {
        self.bytes.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Appends a part of variable length.
    ///
    /// # Panics
    ///
    /// If the part is longer than 4 GiB − 2 bytes, which no wire protocol can carry.
    #[inline]
    pub fn push_bytes(&mut self, part: &[u8]) {
        let length = u32::try_from(part.len()).expect("a part of an identity fits the wire");
        assert_ne!(length, u32::MAX, "the length that means NULL");
        self.push_u32(length);
        self.bytes.0.extend_from_slice(part);
    }

    /// Appends an SQL NULL, which differs from every value, the empty one included.
    #[inline]
    pub fn push_null(&mut self) {
        self.push_u32(u32::MAX);
    }

    /// The bytes encoded so far.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded bytes.
    #[must_use]
    #[inline]
    pub fn into_bytes(self) -> IdentityBytes {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_differ() {
        let mut null = IdentityBuilder::default();
        null.push_null();
        let mut empty = IdentityBuilder::default();
        empty.push_bytes(b"");
        assert_ne!(null.as_bytes(), empty.as_bytes());
    }

    #[test]
    fn a_new_identity_has_nothing_of_the_one_whose_allocation_it_took_over() {
        let build = |part: &[u8]| {
            let mut identity = IdentityBuilder::default();
            identity.push_bytes(part);
            identity.into_bytes()
        };
        let first = build(b"first");
        let place = first.as_ptr();
        drop(first);
        let second = build(b"2nd");
        assert_eq!(second.as_ptr(), place);
        assert_eq!(&second[4..], b"2nd");
        assert_ne!(build(b"third").as_ptr(), place);
    }

    #[test]
    fn a_large_identity_takes_its_allocation_with_it() {
        let mut large = IdentityBuilder::default();
        large.push_bytes(&[0; LARGEST_SPARE]);
        drop(large);
        assert_eq!(SPARE.take().capacity(), 0);
    }

    #[test]
    fn fingerprints_depend_on_the_key() {
        let one = FingerprintKey::from_words([1, 2]);
        let two = FingerprintKey::from_words([1, 3]);
        assert_eq!(one.fingerprint(b"x"), one.fingerprint(b"x"));
        assert_ne!(one.fingerprint(b"x"), two.fingerprint(b"x"));
    }
}
