//! Binds and cells as the canonical values of keys.
//!
//! Diesel keeps SQLite's binds to itself, and shows them in its debug form alone:
//! `SqliteBindCollector { binds: [(I32(7), Integer), (BorrowedString("a"), Text), (Null, Text)] }`.
//! So that is what is read here. Whatever looks otherwise has no value, and what depends on it is
//! tagged with its table.

use diesel::{
    row::{Field, Row},
    sqlite::SqliteType,
};
use turbodiesel_core::{PinRef, PinValue};

use super::SqliteRow;
use crate::catalog::PinType;

/// The bind at an index, from the debug form of all.
pub(super) fn bind(debug: &str, index: usize, kind: PinType) -> Option<PinRef<'_>> {
    let mut rest = debug.strip_prefix("SqliteBindCollector { binds: [")?;
    for _ in 0..index {
        rest = rest[end_of_bind(rest)?..].strip_prefix(", ")?;
    }
    let value = rest.strip_prefix('(')?;
    match kind {
        PinType::Int => {
            let digits = value.strip_prefix("I32(").or_else(|| value.strip_prefix("I64("))?;
            let (digits, _) = digits.split_once(')')?;
            Some(PinRef::Int(digits.parse().ok()?))
        }
        PinType::Text => {
            let text = value
                .strip_prefix("BorrowedString(\"")
                .or_else(|| value.strip_prefix("String(\""))?;
            let (text, _) = text.split_once("\")")?;
            // Escapes are left alone, and a quote inside is always escaped.
            (!text.contains(['\\', '"'])).then_some(PinRef::Text(text))
        }
        PinType::Bool | PinType::Uuid => None,
    }
}

/// Where the first bind of a list ends: behind the parenthesis that closes it, outside of strings.
fn end_of_bind(list: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// A cell of a row; within, `None` for NULL.
pub(super) fn cell(row: &SqliteRow, column: usize, kind: PinType) -> Option<Option<PinValue>> {
    let field = row.get(column)?;
    let Some(mut value) = field.value() else { return Some(None) };
    // A column may hold values of any type, whatever it was declared as.
    Some(Some(match (kind, value.value_type()?) {
        (PinType::Int, SqliteType::Long | SqliteType::Integer) => PinValue::Int(value.read_long()),
        (PinType::Text, SqliteType::Text) => PinValue::Text(value.read_text().into()),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use diesel::{
        QueryResult,
        query_builder::{AstPass, QueryFragment},
        sql_types::{BigInt, Binary, Double, Integer, Nullable, Text},
        sqlite::Sqlite,
    };

    use super::*;

    /// One bind of each sort, as Diesel shows them today: should it show them otherwise one day, this
    /// says so, and nothing else breaks.
    struct Binds;

    impl QueryFragment<Sqlite> for Binds {
        fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
            pass.push_bind_param::<Text, _>("a\"), (I32(1), Integer")?;
            pass.push_bind_param::<Integer, _>(&-7)?;
            pass.push_bind_param::<Binary, _>(&b"(("[..])?;
            pass.push_bind_param::<BigInt, _>(&i64::MAX)?;
            pass.push_bind_param::<Nullable<Text>, _>(&None::<String>)?;
            pass.push_bind_param::<Double, _>(&7.0)?;
            pass.push_bind_param::<Text, _>("plain (text)")
        }
    }

    #[test]
    fn binds_are_read_from_their_debug_form() {
        let mut collector = super::super::BindCollector::default();
        Binds.collect_binds(&mut collector, &mut (), &Sqlite).unwrap();
        let debug = format!("{collector:?}");
        let int = |index| bind(&debug, index, PinType::Int);
        let text = |index| bind(&debug, index, PinType::Text);
        assert_eq!(text(0), None, "escaped");
        assert_eq!(int(1), Some(PinRef::Int(-7)));
        assert_eq!(text(1), None);
        assert_eq!(int(3), Some(PinRef::Int(i64::MAX)));
        assert_eq!((int(4), text(4)), (None, None), "NULL");
        assert_eq!(int(5), None, "a float");
        assert_eq!(text(6), Some(PinRef::Text("plain (text)")));
        assert_eq!(int(7), None, "there is none");
    }
}
