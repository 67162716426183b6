//! The bytes of a value in Redis.
//!
//! Other processes, of other versions, read them, and so may whoever can write to that Redis. So a
//! value says in which format it is, is bound to its key, its namespace and the namespace's epoch by a
//! MAC, and is looked at in this order: lengths, then the MAC, then the contents. What is not
//! understood or not right is a [`Rejection`], which the cache counts and takes for a miss.
//!
//! Version 1, integers in little endian:
//!
//! | offset | bytes | |
//! |---:|---:|---|
//! | 0 | 2 | `TD` |
//! | 2 | 1 | version of the format |
//! | 3 | 1 | flags: bit 0 for a body in LZ4's block format, all others zero |
//! | 4 | 1 | tier: 0 for L1, 1 for L2, 2 for L3 |
//! | 5 | 1 | zero |
//! | 6 | 2 | length of the key |
//! | 8 | 8 | when it expires at the latest, in milliseconds since 1970 |
//! | 16 | 4 | length of the value |
//! | 20 | 4 | length of the body |
//! | 24 | 16 | MAC of all other bytes: keyed BLAKE3, cut off |
//! | 40 | | key, then body |
//!
//! A change of this table is a new version, with a golden payload of its own in the tests.

use bytes::Bytes;
use turbodiesel_core::Tier;

const MAGIC: &[u8; 2] = b"TD";
const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const MAC: std::ops::Range<usize> = 24..40;

/// The bytes before the key.
pub(crate) const HEADER: usize = MAC.end;

/// The longest key, as its length has two bytes and somebody has to read it.
pub(crate) const MAX_KEY: usize = 1_024;

/// No input expands by more than this in LZ4's block format.
const MAX_EXPANSION: usize = 255;

/// A body in LZ4 is only kept if it saves so much: one part of this many.
const LEAST_SAVING: usize = 8;

/// Makes and checks the MACs of one epoch of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Seal([u8; blake3::KEY_LEN]);

impl Seal {
    /// The context is all that the MACs are bound to beside the value's own bytes.
    pub(crate) fn new(secret: &[u8], namespace: &str, epoch: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("turbodiesel-redis 2026 values in Redis");
        for part in [secret, namespace.as_bytes(), epoch] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    fn mac(&self, before: &[u8], after: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(before).update(after);
        let mut mac = [0; 16];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        mac
    }
}

/// A value and what is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) value: Bytes,
    pub(crate) tier: Tier,
    /// In milliseconds since 1970.
    pub(crate) expires_at: u64,
}

/// Why bytes are no value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// They are no value of any version, or their lengths contradict each other.
    Malformed,
    /// They are of a version, or use a flag, that this one does not know.
    UnknownVersion,
    /// They are larger than a value may be.
    TooLarge,
    /// They are the value of another key.
    WrongKey,
    /// They were changed, or made under another secret, namespace or epoch.
    Forged,
    /// They should be gone.
    Expired,
}

impl Rejection {
    pub(crate) const COUNT: usize = Rejection::Expired as usize + 1;
}

/// Writes a value whose lengths were checked. Bodies of `compress_from` bytes on are compressed.
pub(crate) fn encode(seal: &Seal, key: &[u8], framed: &Framed, compress_from: usize) -> Vec<u8> {
    let value = &framed.value;
    let compressed = (value.len() >= compress_from)
        .then(|| lz4_flex::block::compress(value))
        .filter(|body| body.len() + value.len() / LEAST_SAVING <= value.len());
    let body: &[u8] = compressed.as_deref().unwrap_or(value);

    let mut bytes = Vec::with_capacity(HEADER + key.len() + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.push(if compressed.is_some() { COMPRESSED } else { 0 });
    bytes.push(framed.tier as u8);
    bytes.push(0);
    // OK because keys and values within their limits have lengths that fit.
    bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&framed.expires_at.to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(body);
    let mac = seal.mac(&bytes[..MAC.start], &bytes[MAC.end..]);
    bytes[MAC].copy_from_slice(&mac);
    bytes
}

/// Reads the value of a key. Nothing is allocated before the MAC was found right, and then no more
/// than `max_value` bytes.
pub(crate) fn decode(
    seal: &Seal,
    key: &[u8],
    bytes: &Bytes,
    now: u64,
    max_value: usize,
) -> Result<Framed, Rejection> {
    if bytes.len() < HEADER || &bytes[..2] != MAGIC {
        return Err(Rejection::Malformed);
    }
    let (version, flags, tier) = (bytes[2], bytes[3], bytes[4]);
    if version != VERSION || flags & !COMPRESSED != 0 {
        return Err(Rejection::UnknownVersion);
    }
    let key_length = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
    let (value_length, body_length) = (length_at(bytes, 16), length_at(bytes, 20));
    if bytes.len() - HEADER != key_length.saturating_add(body_length) {
        return Err(Rejection::Malformed);
    }
    if value_length > max_value || bytes.len() > max_value.saturating_add(HEADER + MAX_KEY) {
        return Err(Rejection::TooLarge);
    }
    let compressed = flags & COMPRESSED != 0;
    let possible = match compressed {
        true => value_length <= body_length.saturating_mul(MAX_EXPANSION),
        false => value_length == body_length,
    };
    if !possible {
        return Err(Rejection::Malformed);
    }
    let body = bytes.slice(HEADER + key_length..);
    if &bytes[HEADER..HEADER + key_length] != key {
        return Err(Rejection::WrongKey);
    }
    let mac = seal.mac(&bytes[..MAC.start], &bytes[MAC.end..]);
    // Without a branch per byte, so that how long it takes says nothing of how many were right.
    let difference = mac.iter().zip(&bytes[MAC]).fold(0, |sum, (one, two)| sum | (one ^ two));
    if difference != 0 {
        return Err(Rejection::Forged);
    }
    let tier = Tier::ALL.get(usize::from(tier)).copied().ok_or(Rejection::UnknownVersion)?;
    let mut expiry = [0; 8];
    expiry.copy_from_slice(&bytes[8..16]);
    let expires_at = u64::from_le_bytes(expiry);
    if expires_at <= now {
        return Err(Rejection::Expired);
    }
    let value = if compressed {
        let mut value = vec![0; value_length];
        match lz4_flex::block::decompress_into(&body, &mut value) {
            Ok(length) if length == value_length => Bytes::from(value),
            _ => return Err(Rejection::Malformed),
        }
    } else {
        body
    };
    Ok(Framed { value, tier, expires_at })
}

/// The tier that the first bytes of a value name, without a look at the rest.
pub(crate) fn tier_of(bytes: &[u8]) -> Option<Tier> {
    (bytes.len() > 4 && &bytes[..2] == MAGIC && bytes[2] == VERSION)
        .then(|| Tier::ALL.get(usize::from(bytes[4])).copied())
        .flatten()
}

fn length_at(bytes: &[u8], at: usize) -> usize {
    let mut length = [0; 4];
    length.copy_from_slice(&bytes[at..at + 4]);
    // Saturated on machines with shorter addresses, where it is beyond every limit.
    usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
