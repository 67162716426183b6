//! The value of a key as the database sent it.

use std::fmt;

/// A value that is never decoded, only handed back, so that nothing is lost on the way: not the
/// microseconds of a timestamp, not the sign of a zero, not a NaN.
///
/// Its `Debug` form does not show it: it may be anybody's data.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// SQLite's integers.
    Integer(i64),
    /// SQLite's floating-point numbers.
    Real(f64),
    /// SQLite's text.
    Text(String),
    /// SQLite's blobs, and every value of PostgreSQL in its binary format.
    Bytes(Bytes),
}

/// Bytes of a type that only the database knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Value {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Appends the value: a byte for its sort, and its bytes, with their length if it can vary.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let (sort, length, bytes): (u8, Option<usize>, &[u8]) = match self {
            Self::Null => (0, None, &[]),
            Self::Integer(value) => (1, None, &value.to_be_bytes()),
            // By its bits, which tell apart what compares as equal.
            Self::Real(value) => (2, None, &value.to_bits().to_be_bytes()),
            Self::Text(value) => (3, Some(value.len()), value.as_bytes()),
            Self::Bytes(Bytes(value)) => (4, Some(value.len()), value),
        };
        into.push(sort);
        into.extend(length.map(|length| (length as u64).to_be_bytes()).into_iter().flatten());
        into.extend(bytes);
    }

    /// Takes a value off the front.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take(bytes, 1)? {
            [0] => Self::Null,
            [1] => Self::Integer(i64::from_be_bytes(take_array(bytes)?)),
            [2] => Self::Real(f64::from_bits(u64::from_be_bytes(take_array(bytes)?))),
            [3] => Self::Text(String::from_utf8(take_counted(bytes)?.to_vec()).ok()?),
            [4] => Self::Bytes(Bytes(take_counted(bytes)?.to_vec())),
            _ => return None,
        })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_array(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    take(bytes, 8)?.try_into().ok()
}

fn take_counted<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u64::from_be_bytes(take_array(bytes)?);
    take(bytes, usize::try_from(length).ok()?)
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer(..)",
            Self::Real(_) => "Real(..)",
            Self::Text(_) => "Text(..)",
            Self::Bytes(_) => "Bytes(..)",
        })
    }
}

/// Diesel asks for it, to show the binds of a statement.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_encoding() {
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(-0.0),
            Value::Real(f64::MIN_POSITIVE),
            Value::Text(String::new()),
            Value::Text("žluť".to_owned()),
            Value::Bytes(Bytes(vec![0, 255])),
        ];
        let mut encoded = Vec::new();
        values.iter().for_each(|value| value.encode(&mut encoded));
        let mut rest = encoded.as_slice();
        for value in &values {
            let decoded = Value::decode(&mut rest).unwrap();
            assert_eq!(&decoded, value);
            if let (Value::Real(decoded), Value::Real(value)) = (decoded, value) {
                assert_eq!(decoded.to_bits(), value.to_bits());
            }
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_no_value() {
        let mut encoded = Vec::new();
        Value::Text("abc".to_owned()).encode(&mut encoded);
        for length in 0..encoded.len() {
            assert_eq!(Value::decode(&mut &encoded[..length]), None, "{length}");
        }
        // A length that no memory could hold.
        assert_eq!(Value::decode(&mut &[4, 255, 255, 255, 255, 255, 255, 255, 255, 1][..]), None);
    }
}
