//! What a cast to a type may do.

use sqlparser::ast::{ArrayElemTypeDef, DataType};

use crate::Dialect;

/// What converting a value to a type means for caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The result follows from the value.
    Plain,
    /// From text, the result may be relative to the present.
    Time,
    /// Looks names up in the system catalogs.
    Catalog,
    /// Not listed: a user's type, whose conversion is unknown.
    Unknown,
}

/// Types of PostgreSQL that the parser has no variant for, and those of well-known extensions.
const PLAIN: &[&str] = &[
    "bpchar",
    "cidr",
    "citext",
    "hstore",
    "inet",
    "int4multirange",
    "int4range",
    "int8multirange",
    "int8range",
    "jsonpath",
    "ltree",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "nummultirange",
    "numrange",
    "oid",
    "vector",
    "xml",
];

/// The ranges of times.
const TIME: &[&str] =
    &["datemultirange", "daterange", "tsmultirange", "tsrange", "tstzmultirange", "tstzrange"];

/// Classifies the target of a cast.
pub(crate) fn classify(dialect: Dialect, data_type: &DataType) -> Class {
    match data_type {
        // SQLite's types are names for affinities.
        _ if dialect == Dialect::Sqlite => Class::Plain,
        DataType::Character(_)
        | DataType::Char(_)
        | DataType::CharacterVarying(_)
        | DataType::CharVarying(_)
        | DataType::Varchar(_)
        | DataType::Text
        | DataType::Uuid
        | DataType::Numeric(_)
        | DataType::Decimal(_)
        | DataType::Dec(_)
        | DataType::Float(_)
        | DataType::Float4
        | DataType::Float8
        | DataType::Real
        | DataType::Double(_)
        | DataType::DoublePrecision
        | DataType::Int2(_)
        | DataType::Int4(_)
        | DataType::Int8(_)
        | DataType::SmallInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_)
        | DataType::Bool
        | DataType::Boolean
        | DataType::Interval { .. }
        | DataType::JSON
        | DataType::JSONB
        | DataType::Bytea
        | DataType::Bit(_)
        | DataType::BitVarying(_)
        | DataType::VarBit(_)
        | DataType::GeometricType(_)
        | DataType::TsVector
        | DataType::TsQuery => Class::Plain,
        DataType::Date | DataType::Time(..) | DataType::Timestamp(..) => Class::Time,
        DataType::Regclass => Class::Catalog,
        DataType::Array(element) => match element {
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::Qualified(element, _) => classify(dialect, element),
            ArrayElemTypeDef::None
            | ArrayElemTypeDef::AngleBracket(_)
            | ArrayElemTypeDef::Parenthesis(_) => Class::Unknown,
        },
        DataType::Custom(name, _) => {
            let Some(name) = dialect.fold_name(name) else { return Class::Unknown };
            match name.schema.as_deref() {
                None | Some("pg_catalog") if PLAIN.contains(&&*name.name) => Class::Plain,
                None | Some("pg_catalog") if TIME.contains(&&*name.name) => Class::Time,
                None | Some("pg_catalog") if name.name.starts_with("reg") => Class::Catalog,
                _ => Class::Unknown,
            }
        }
        _ => Class::Unknown,
    }
}
