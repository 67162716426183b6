//! Counting the rows of all pages.

use super::value::{Bytes, Value};

/// Whether the rows of all pages are counted, which takes a statement of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// They are not.
    #[default]
    None,
    /// They are counted one by one, which costs as much as there are rows.
    Exact,
    /// PostgreSQL's planner is asked how many it expects, from its statistics: as fast for a billion
    /// as for ten, and as wrong as they are old. SQLite has no such estimate and counts.
    Estimated,
}

/// How many rows a query has on all pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Total {
    /// Their number.
    pub rows: u64,
    /// Whether they were counted, and not estimated.
    pub exact: bool,
}

/// The number in an answer of `count(*)`.
pub(crate) fn counted(value: &Value) -> Option<u64> {
    let count = match value {
        Value::Integer(count) => *count,
        Value::Bytes(Bytes(bytes)) => i64::from_be_bytes(bytes.as_slice().try_into().ok()?),
        _ => return None,
    };
    u64::try_from(count).ok()
}

/// The number of rows in the first line of a plan, such as
/// `Seq Scan on posts  (cost=0.00..22.70 rows=1270 width=36)`.
pub(crate) fn estimated(value: &Value) -> Option<u64> {
    let Value::Bytes(Bytes(line)) = value else { return None };
    // Behind the last parenthesis, since what precedes it can be named as anybody likes.
    let (_, costs) = std::str::from_utf8(line).ok()?.rsplit_once('(')?;
    costs.split(' ').find_map(|word| word.strip_prefix("rows="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_that_of_the_whole_plan() {
        for (line, expected) in [
            ("Seq Scan on posts  (cost=0.00..22.70 rows=1270 width=36)", Some(1270)),
            ("Index Scan using \"a (rows=7 b\" on x  (cost=0.29..8.31 rows=1 width=4)", Some(1)),
            ("Result", None),
            ("", None),
        ] {
            let value = Value::Bytes(Bytes(line.as_bytes().to_vec()));
            assert_eq!(estimated(&value), expected, "{line}");
        }
    }

    #[test]
    fn counts_of_both_databases() {
        assert_eq!(counted(&Value::Integer(7)), Some(7));
        assert_eq!(counted(&Value::Bytes(Bytes(7_i64.to_be_bytes().to_vec()))), Some(7));
        assert_eq!(counted(&Value::Null), None);
    }
}
