//! Cursors: the place of a row in an order, as text that only this application can have written.
//!
//! A cursor is base64url, without padding, of
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version |
//! | 8 | shape: a hash of the query's tables, filters and order |
//! | … | the values of the keys |
//! | 16 | HMAC-SHA-256 of all that precedes, cut to 128 bits |
//!
//! The version comes first and means the whole format, so that it can change.

use std::{fmt, sync::OnceLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{
    error::{Error, Kind},
    value::Value,
};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const SHAPE_BYTES: usize = 8;
/// As many as the hash is wide; the input of HMAC gains nothing beyond.
const LEAST_KEY_BYTES: usize = 32;

/// The place of a row in the order of a query, for clients to hand back.
///
/// It says after, or before, which values of the keys the next page begins; the row itself may be gone
/// by then. It is opaque, but not secret: a client can decode the values. It is good for queries with
/// the same tables, filters (whatever their values) and order, whatever they select.
///
/// Any text can be made one; whether it is genuine shows when a page is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// The text to hand to the client. It needs no escaping in a URL or in JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Cursor {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.0
    }
}

/// What cursors are signed with.
///
/// Unless one is [installed](Self::install) or given to a query, it is random and of this process:
/// then cursors are refused after a restart, and by other processes of the same application. So an
/// application that restarts under its users or runs more than once configures one.
///
/// ```
/// use turbodiesel_optimizer::keyset::CursorKey;
///
/// # let secret = [7; 32];
/// // From wherever the application keeps its secrets.
/// CursorKey::new(&secret)?.install()?;
/// # Ok::<(), turbodiesel_optimizer::keyset::Error>(())
/// ```
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

static INSTALLED: OnceLock<CursorKey> = OnceLock::new();

impl CursorKey {
    /// A key from at least 32 bytes that nobody can guess.
    ///
    /// # Errors
    ///
    /// [`Error::is_key`] if there are fewer.
    pub fn new(secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < LEAST_KEY_BYTES {
            let given = secret.len();
            return Err(Kind::ShortKey { least: LEAST_KEY_BYTES, given }.into());
        }
        Ok(Self::from_bytes(secret))
    }

    /// A key that nobody else has.
    ///
    /// # Panics
    ///
    /// If the operating system has no random numbers to give.
    #[must_use]
    pub fn random() -> Self {
        let mut secret = [0; LEAST_KEY_BYTES];
        getrandom::fill(&mut secret).expect("the operating system gives random numbers");
        Self::from_bytes(&secret)
    }

    /// Makes this the key of all queries of the process that are given none.
    ///
    /// # Errors
    ///
    /// [`Error::is_key`] if there is one already, be it installed or the random one, which the first
    /// page takes.
    pub fn install(self) -> Result<(), Error> {
        INSTALLED.set(self).map_err(|_| Kind::KeyInUse.into())
    }

    pub(crate) fn installed() -> Self {
        INSTALLED.get_or_init(Self::random).clone()
    }

    fn from_bytes(secret: &[u8]) -> Self {
        // OK because HMAC takes keys of any length.
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorKey").finish_non_exhaustive()
    }
}

/// Which queries a cursor is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape([u8; SHAPE_BYTES]);

impl Shape {
    /// Of the parts of a query, as text.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With their lengths, so that no part can pass for a piece of another.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut shape = [0; SHAPE_BYTES];
        shape.copy_from_slice(&hash.finalize()[..SHAPE_BYTES]);
        Self(shape)
    }
}

/// Writes and reads the cursors of one query.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    pub(crate) key: CursorKey,
    pub(crate) shape: Shape,
}

impl Seal {
    pub(crate) fn write(&self, values: &[Value]) -> Cursor {
        let mut bytes = vec![VERSION];
        bytes.extend(self.shape.0);
        values.iter().for_each(|value| value.encode(&mut bytes));
        let mac = self.key.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(&mac[..MAC_BYTES]);
        Cursor(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The values of so many keys.
    pub(crate) fn read(&self, cursor: &Cursor, keys: usize) -> Result<Vec<Value>, Kind> {
        let bytes = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| Kind::Malformed)?;
        let version = *bytes.first().ok_or(Kind::Malformed)?;
        if version != VERSION {
            return Err(Kind::Version(version));
        }
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(Kind::Malformed)?;
        let (shape, mut values) =
            signed.get(1..).and_then(<[u8]>::split_first_chunk).ok_or(Kind::Malformed)?;
        // In constant time. Nothing behind the version is believed before.
        let ours = self.key.0.clone().chain_update(signed);
        ours.verify_truncated_left(mac).map_err(|_| Kind::Tampered)?;
        if *shape != self.shape.0 {
            return Err(Kind::Foreign);
        }
        let read: Option<Vec<Value>> = (0..keys).map(|_| Value::decode(&mut values)).collect();
        // The shape fixes the number of keys, so that this cannot happen to a genuine cursor.
        read.filter(|_| values.is_empty()).ok_or(Kind::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        let key = CursorKey::new(&[7; 32]).unwrap();
        Seal { key, shape: Shape::of(["posts", "author = ?"]) }
    }

    fn values() -> Vec<Value> {
        vec![Value::Null, Value::Integer(-3), Value::Text("ab".to_owned())]
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = seal().write(&values());
        assert_eq!(seal().read(&cursor, 3).unwrap(), values());
        assert!(cursor.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let cursor = seal().write(&values());
        let bytes = URL_SAFE_NO_PAD.decode(cursor.as_str()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = Cursor(URL_SAFE_NO_PAD.encode(flipped));
            let error = Error::from(seal().read(&flipped, 3).unwrap_err());
            let expected =
                if bit < 8 { error.is_cursor_version() } else { error.is_tampered_cursor() };
            assert!(expected, "bit {bit}: {error}");
            assert!(error.is_cursor());
        }
    }

    #[test]
    fn every_flipped_bit_of_the_text_is_noticed() {
        let text = seal().write(&values()).0.into_bytes();
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = Cursor(String::from_utf8_lossy(&flipped).into_owned());
            assert!(Error::from(seal().read(&flipped, 3).unwrap_err()).is_cursor(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_noticed() {
        let text = seal().write(&values()).0;
        for length in 0..text.len() {
            let cut = Cursor::from(&text[..length]);
            assert!(Error::from(seal().read(&cut, 3).unwrap_err()).is_cursor(), "{length}");
        }
        for more in ["A", "AA", "AAAA", "=", "==", " ", "\n", "é"] {
            let longer = Cursor(format!("{text}{more}"));
            assert!(Error::from(seal().read(&longer, 3).unwrap_err()).is_cursor(), "{more:?}");
        }
    }

    #[test]
    fn what_never_was_a_cursor_is_refused() {
        for text in ["", "null", "undefined", "1", "é", "AA", "../../etc/passwd", "AQ", "\0"] {
            let error = Error::from(seal().read(&Cursor::from(text), 3).unwrap_err());
            assert!(error.is_cursor(), "{text:?}: {error}");
        }
    }

    #[test]
    fn another_query_another_key_and_another_version_are_told_apart() {
        let cursor = seal().write(&values());
        let error = |seal: &Seal| Error::from(seal.read(&cursor, 3).unwrap_err());
        // The same text, cut in another place, is another shape.
        let foreign = Seal { shape: Shape::of(["postsauthor", " = ?"]), ..seal() };
        assert!(error(&foreign).is_foreign_cursor());
        let key = CursorKey::new(&[8; 32]).unwrap();
        assert!(error(&Seal { key, ..seal() }).is_tampered_cursor());
        assert!(error(&Seal { key: CursorKey::random(), ..seal() }).is_tampered_cursor());
    }

    #[test]
    fn a_key_must_be_long_enough() {
        assert!(CursorKey::new(&[1; 31]).unwrap_err().is_key());
        CursorKey::new(&[1; 64]).unwrap();
    }
}
