//! What differs between databases: how a value of a key is read and bound.

use diesel::{QueryResult, backend::Backend, query_builder::AstPass};

use super::value::Value;

/// A database whose queries can be paginated: PostgreSQL, SQLite.
pub trait KeysetBackend: Internals {}

/// A key of this type can be part of an order on this database.
#[diagnostic::on_unimplemented(
    message = "a key of type `{ST}` cannot be bound on `{Self}`",
    note = "the type of a key must be one that the database knows"
)]
pub trait BindKey<ST>: KeysetBackend {
    #[doc(hidden)]
    fn bind<'b>(value: &'b Value, out: AstPass<'_, 'b, Self>) -> QueryResult<()>;
}

/// The sealed half.
pub trait Internals: Backend<QueryBuilder: Default> + Default + 'static {
    /// The name that cursors are bound to.
    const NAME: &'static str;
    /// Whether `EXPLAIN` tells how many rows there may be.
    const ESTIMATES: bool;

    /// Takes a value out of a row.
    fn read(value: Option<Self::RawValue<'_>>) -> QueryResult<Value>;
    /// A truth value.
    fn is_true(value: &Value) -> bool;
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::io::Write as _;

    use diesel::{
        pg::{Pg, PgValue},
        serialize::{self, IsNull, Output, ToSql},
        sql_types::HasSqlType,
    };

    use super::{AstPass, BindKey, Internals, KeysetBackend, QueryResult, Value};
    use crate::keyset::value::Bytes;

    impl KeysetBackend for Pg {}

    impl Internals for Pg {
        const NAME: &'static str = "postgres";
        const ESTIMATES: bool = true;

        fn read(value: Option<PgValue<'_>>) -> QueryResult<Value> {
            Ok(value.map_or(Value::Null, |value| Value::Bytes(Bytes(value.as_bytes().to_vec()))))
        }

        fn is_true(value: &Value) -> bool {
            matches!(value, Value::Bytes(Bytes(bytes)) if bytes == &[1])
        }
    }

    impl<ST> BindKey<ST> for Pg
    where
        Pg: HasSqlType<ST>,
    {
        fn bind<'b>(value: &'b Value, mut out: AstPass<'_, 'b, Self>) -> QueryResult<()> {
            match value {
                Value::Bytes(bytes) => out.push_bind_param::<ST, Bytes>(bytes),
                other => Err(super::unexpected(other)),
            }
        }
    }

    /// They came from the database as this type, in the format that it reads.
    impl<ST> ToSql<ST, Pg> for Bytes {
        fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
            out.write_all(&self.0)?;
            Ok(IsNull::No)
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use diesel::{
        sql_types::{BigInt, Binary, Double, HasSqlType, Text},
        sqlite::{Sqlite, SqliteType},
    };

    use super::{AstPass, Backend, BindKey, Internals, KeysetBackend, QueryResult, Value};
    use crate::keyset::value::Bytes;

    impl KeysetBackend for Sqlite {}

    impl Internals for Sqlite {
        const NAME: &'static str = "sqlite";
        const ESTIMATES: bool = false;

        fn read(value: Option<<Self as Backend>::RawValue<'_>>) -> QueryResult<Value> {
            let Some(mut value) = value else { return Ok(Value::Null) };
            Ok(match value.value_type() {
                None => Value::Null,
                Some(SqliteType::Text) => Value::Text(value.read_text().to_owned()),
                Some(SqliteType::Binary) => Value::Bytes(Bytes(value.read_blob().to_vec())),
                Some(SqliteType::Float | SqliteType::Double) => Value::Real(value.read_double()),
                Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => {
                    Value::Integer(value.read_long())
                }
            })
        }

        fn is_true(value: &Value) -> bool {
            matches!(value, Value::Integer(value) if *value != 0)
        }
    }

    /// A value is bound as what it is stored as, whatever the column was declared as: any column can
    /// hold any sort of value here, and each compares in its own way.
    impl<ST> BindKey<ST> for Sqlite
    where
        Sqlite: HasSqlType<ST>,
    {
        fn bind<'b>(value: &'b Value, mut out: AstPass<'_, 'b, Self>) -> QueryResult<()> {
            match value {
                Value::Integer(value) => out.push_bind_param::<BigInt, i64>(value),
                Value::Real(value) => out.push_bind_param::<Double, f64>(value),
                Value::Text(value) => out.push_bind_param::<Text, str>(value),
                Value::Bytes(Bytes(value)) => out.push_bind_param::<Binary, [u8]>(value),
                Value::Null => Err(super::unexpected(value)),
            }
        }
    }
}

/// A place's NULL is never bound, and a genuine cursor has values of its database's sorts only.
fn unexpected(value: &Value) -> diesel::result::Error {
    let message = format!("a key cannot be compared with {value:?}");
    diesel::result::Error::QueryBuilderError(message.into())
}
