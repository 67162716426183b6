//! What a database must bring to be observed: its binds and cells as hashes.

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::QueryFragment,
    row::{Field, Row},
};
use smallvec::SmallVec;

use crate::{ValueHash, recording::SAMPLED_COLUMNS};

/// The hashes of a statement's binds, in their order.
pub type Binds = SmallVec<[ValueHash; 4]>;

/// A backend whose values can be hashed.
///
/// Implemented for PostgreSQL and SQLite, with the features of their names. An implementation for
/// another backend must hash a bind as it hashes a cell with the same value.
#[diagnostic::on_unimplemented(
    message = "queries to `{Self}` cannot be observed",
    note = "`Pg` needs the feature `postgres` of turbodiesel-optimizer, `Sqlite` the feature `sqlite`"
)]
pub trait ObservedBackend: Backend<QueryBuilder: Default> + Default + 'static {
    /// Collects the hashes of a query's binds.
    ///
    /// # Errors
    ///
    /// If a bind cannot be serialised; the query then fails as well.
    fn binds<Q>(query: &Q) -> QueryResult<Binds>
    where
        Q: QueryFragment<Self> + ?Sized;

    /// The hash of a cell that is not NULL.
    fn cell(value: Self::RawValue<'_>) -> ValueHash;
}

/// How many columns of a row are looked at.
pub(crate) fn width<'a, B: Backend>(row: &impl Row<'a, B>) -> usize {
    row.field_count().min(SAMPLED_COLUMNS)
}

/// The hashes of a row's first cells.
#[inline]
pub(crate) fn cells<'r, 'a: 'r, B, R>(
    row: &'r R,
    width: usize,
) -> impl Iterator<Item = ValueHash> + 'r
where
    B: ObservedBackend,
    R: Row<'a, B>,
{
    (0..width).map(move |column| {
        let field = row.get(column);
        let hash = field.as_ref().and_then(Field::value).map(B::cell);
        hash.unwrap_or(ValueHash::NULL)
    })
}

/// The names of a row's first columns.
pub(crate) fn names<'a, B: Backend, R: Row<'a, B>>(row: &R, width: usize) -> Vec<Box<str>> {
    let name = |column| {
        let field = row.get(column);
        field.as_ref().and_then(Field::field_name).unwrap_or_default().into()
    };
    (0..width).map(name).collect()
}

/// PostgreSQL's binds and cells, in their binary form.
#[cfg(feature = "postgres")]
pub mod postgres {
    use diesel::{
        pg::{Pg, PgMetadataLookup, PgTypeMetadata, PgValue},
        query_builder::bind_collector::RawBytesBindCollector,
    };

    use super::{Binds, ObservedBackend, QueryFragment, QueryResult, ValueHash};

    const BOOL: u32 = 16;
    const INT8: u32 = 20;
    const INT2: u32 = 21;
    const INT4: u32 = 23;
    const FLOAT4: u32 = 700;
    const FLOAT8: u32 = 701;

    /// The hash of a value of a type, by its OID, in its binary form.
    #[must_use]
    #[inline]
    pub fn hash(oid: u32, bytes: &[u8]) -> ValueHash {
        let integer = match oid {
            INT2 => bytes.try_into().map(|it| i64::from(i16::from_be_bytes(it))),
            INT4 => bytes.try_into().map(|it| i64::from(i32::from_be_bytes(it))),
            INT8 => bytes.try_into().map(i64::from_be_bytes),
            BOOL | FLOAT4 | FLOAT8 => return ValueHash::common(bytes),
            _ => return ValueHash::bytes(bytes),
        };
        integer.map_or_else(|_| ValueHash::common(bytes), ValueHash::integer)
    }

    /// Knows no custom types: only a connection does, and their names make no difference to a hash.
    struct NoTypes;

    impl PgMetadataLookup for NoTypes {
        fn lookup_type(&mut self, _name: &str, _schema: Option<&str>) -> PgTypeMetadata {
            PgTypeMetadata::new(0, 0)
        }
    }

    impl ObservedBackend for Pg {
        fn binds<Q>(query: &Q) -> QueryResult<Binds>
        where
            Q: QueryFragment<Pg> + ?Sized,
        {
            let mut collector = RawBytesBindCollector::<Pg>::new();
            query.collect_binds(&mut collector, &mut NoTypes, &Pg)?;
            let binds = collector.binds.iter().zip(&collector.metadata);
            let binds = binds.map(|(value, metadata)| match value {
                Some(value) => hash(metadata.oid().unwrap_or(0), value),
                None => ValueHash::NULL,
            });
            Ok(binds.collect())
        }

        #[inline]
        fn cell(value: PgValue<'_>) -> ValueHash {
            hash(value.get_oid().get(), value.as_bytes())
        }
    }
}

/// SQLite's binds, of which Diesel shows the debug form alone, and its cells.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    use diesel::{
        backend::Backend,
        sqlite::{Sqlite, SqliteType},
    };

    use super::{Binds, ObservedBackend, QueryFragment, QueryResult, ValueHash};

    type BindCollector<'a> = <Sqlite as Backend>::BindCollector<'a>;
    type Value<'a> = <Sqlite as Backend>::RawValue<'a>;

    /// The hashes of binds, from the debug form of their collector:
    /// `SqliteBindCollector { binds: [(I32(7), Integer), (BorrowedString("a"), Text)] }`.
    ///
    /// What looks otherwise is hashed as it looks, so that it is still told from others but equal to
    /// no cell.
    #[must_use]
    pub fn hashes(debug: &str) -> Binds {
        const OPEN: &str = "SqliteBindCollector { binds: [";
        let Some(mut rest) = debug.strip_prefix(OPEN) else {
            return Binds::from_slice(&[ValueHash::common(debug.as_bytes())]);
        };
        let mut binds = Binds::new();
        while let Some(end) = end_of_bind(rest) {
            binds.push(hash(&rest[..end]));
            rest = rest[end..].strip_prefix(", ").unwrap_or_default();
        }
        binds
    }

    fn hash(bind: &str) -> ValueHash {
        let value = bind.strip_prefix('(').unwrap_or(bind);
        if value.starts_with("Null") {
            return ValueHash::NULL;
        }
        let digits = value.strip_prefix("I32(").or_else(|| value.strip_prefix("I64("));
        let integer = digits.and_then(|it| it.split_once(')')?.0.parse().ok());
        if let Some(integer) = integer {
            return ValueHash::integer(integer);
        }
        let text = value
            .strip_prefix("BorrowedString(\"")
            .or_else(|| value.strip_prefix("String(\""))
            .and_then(|text| Some(text.rsplit_once("\")")?.0));
        match text {
            Some(text) if !text.contains('\\') => ValueHash::bytes(text.as_bytes()),
            _ => ValueHash::common(bind.as_bytes()),
        }
    }

    /// Where the first bind of a list ends: behind the parenthesis that closes it, outside of texts.
    fn end_of_bind(list: &str) -> Option<usize> {
        let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
        for (at, byte) in list.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b'(' => depth += 1,
                b')' if depth == 1 => return Some(at + 1),
                b')' => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
        None
    }

    impl ObservedBackend for Sqlite {
        fn binds<Q>(query: &Q) -> QueryResult<Binds>
        where
            Q: QueryFragment<Sqlite> + ?Sized,
        {
            let mut collector = BindCollector::default();
            query.collect_binds(&mut collector, &mut (), &Sqlite)?;
            Ok(hashes(&format!("{collector:?}")))
        }

        fn cell(mut value: Value<'_>) -> ValueHash {
            match value.value_type() {
                Some(SqliteType::Long | SqliteType::Integer | SqliteType::SmallInt) => {
                    ValueHash::integer(value.read_long())
                }
                Some(SqliteType::Text) => ValueHash::bytes(value.read_text().as_bytes()),
                Some(SqliteType::Binary) => ValueHash::bytes(value.read_blob()),
                _ => ValueHash::common(&[]),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use diesel::{
            query_builder::AstPass,
            sql_types::{BigInt, Binary, Double, Integer, Nullable, Text},
        };

        use super::*;

        /// One bind of each sort: should Diesel show them otherwise one day, this says so.
        struct Some7;

        impl QueryFragment<Sqlite> for Some7 {
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
            let binds = Sqlite::binds(&Some7).unwrap();
            assert_eq!(binds.len(), 7);
            assert!(!binds[0].is_telling(), "escaped");
            assert_eq!(binds[1], ValueHash::integer(-7));
            assert_eq!(binds[3], ValueHash::integer(i64::MAX));
            assert_eq!(binds[4], ValueHash::NULL);
            assert!(!binds[5].is_telling(), "a float");
            assert_eq!(binds[6], ValueHash::bytes(b"plain (text)"));
        }
    }
}
