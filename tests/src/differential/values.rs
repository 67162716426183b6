//! The types of columns, and a small domain of values for each: few enough that random statements
//! meet the same rows, and spelt in all the ways that a value may be spelt.

use bigdecimal::BigDecimal;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use uuid::Uuid;

use super::Dialect;

/// Values of each type that random statements use.
pub(super) const DOMAIN: u32 = 12;

/// The type of a column, as far as it decides how values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    BigInt,
    Uuid,
    Text,
    /// `varchar(4)`: longer values are refused, or truncated by a cast.
    Varchar,
    /// `char(3)`: values are padded, and compare without the padding.
    Char,
    /// Text under a deterministic collation of its own.
    Collated,
    /// Text under a collation that takes different strings for equal.
    Loose,
    Bool,
    Numeric,
    Time,
}

/// A value bound to a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    NullInt,
    NullText,
    Small(i16),
    Int(i32),
    Big(i64),
    Text(String),
    Bool(bool),
    Uuid(Uuid),
    Numeric(BigDecimal),
    Double(f64),
    Time(DateTime<Utc>),
    Ints(Vec<i32>),
    Bigs(Vec<i64>),
    Texts(Vec<String>),
    Uuids(Vec<Uuid>),
}

const TEXTS: [&str; DOMAIN as usize] =
    ["a", "A", "a ", "b", "B", "ä", "a\u{308}", "", "it's", "7", "007", "é"];

impl Kind {
    /// The types that columns of values may have.
    pub(super) fn any(rng: &mut Rng, dialect: Dialect) -> Self {
        use Kind::*;
        let all: &[Kind] = match dialect {
            Dialect::Postgres => &[
                Int, BigInt, Uuid, Text, Text, Varchar, Char, Collated, Loose, Bool, Numeric, Time,
            ],
            Dialect::Sqlite => &[Int, BigInt, Text, Text, Varchar, Loose, Bool, Numeric],
        };
        *rng.choice(all).expect("there are some")
    }

    /// The types that natural keys may have.
    pub(super) fn of_key(rng: &mut Rng, dialect: Dialect) -> Self {
        use Kind::*;
        let all: &[Kind] = match dialect {
            Dialect::Postgres => &[Int, Int, BigInt, Uuid, Text, Varchar, Char, Collated, Loose],
            Dialect::Sqlite => &[Int, Int, BigInt, Text, Varchar, Loose],
        };
        *rng.choice(all).expect("there are some")
    }

    /// The type in a `CREATE TABLE`.
    pub(super) fn ddl(self, dialect: Dialect) -> &'static str {
        match (dialect, self) {
            (Dialect::Postgres, Kind::Int) => "int",
            (Dialect::Sqlite, Kind::Int) => "integer",
            (_, Kind::BigInt) => "bigint",
            (_, Kind::Uuid) => "uuid",
            (_, Kind::Text) => "text",
            (_, Kind::Varchar) => "varchar(4)",
            (_, Kind::Char) => "char(3)",
            (_, Kind::Collated) => "text COLLATE \"C\"",
            (Dialect::Postgres, Kind::Loose) => "text COLLATE loose",
            (Dialect::Sqlite, Kind::Loose) => "text COLLATE NOCASE",
            (_, Kind::Bool) => "bool",
            (_, Kind::Numeric) => "numeric",
            (_, Kind::Time) => "timestamptz",
        }
    }

    /// Whether values are numbers, which compare with numbers of other types.
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Kind::Int | Kind::BigInt)
    }

    pub(super) fn is_text(self) -> bool {
        use Kind::*;
        matches!(self, Text | Varchar | Char | Collated | Loose)
    }
}

pub(super) fn any_value(rng: &mut Rng) -> u32 {
    rng.u32(0..DOMAIN)
}

fn number(n: u32) -> i32 {
    i32::try_from(n).expect("the domain is small")
}

/// The n-th uuid of the domain.
pub(super) fn uuid(n: u32) -> Uuid {
    Uuid::from_u128(0x4000_8000_0000_0000_0000 + u128::from(n))
}

/// The n-th text of the domain.
pub(super) fn text(n: u32) -> &'static str {
    TEXTS[n as usize % TEXTS.len()]
}

fn time(n: u32) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(i64::from(n))
}

/// The n-th value of a type, bound as the type itself.
pub(super) fn value(kind: Kind, n: u32, dialect: Dialect) -> Value {
    match kind {
        Kind::Numeric if dialect == Dialect::Sqlite => Value::Double(f64::from(n)),
        Kind::Int => Value::Int(number(n)),
        Kind::BigInt => Value::Big(i64::from(n)),
        Kind::Uuid => Value::Uuid(uuid(n)),
        Kind::Text | Kind::Varchar | Kind::Char | Kind::Collated | Kind::Loose => {
            Value::Text(text(n).to_owned())
        }
        Kind::Bool => Value::Bool(n.is_multiple_of(2)),
        Kind::Numeric => Value::Numeric(BigDecimal::new(i64::from(n).into(), 0)),
        Kind::Time => Value::Time(time(n)),
    }
}

/// The n-th value, bound as another type that the database may compare with the column.
pub(super) fn odd_value(kind: Kind, n: u32, rng: &mut Rng, dialect: Dialect) -> Value {
    let numeric = |scale: i64| {
        Value::Numeric(BigDecimal::new(
            (i64::from(n) * 10_i64.pow(u32::try_from(scale).expect("it is small"))).into(),
            scale,
        ))
    };
    match (dialect, kind) {
        (Dialect::Postgres, Kind::Int | Kind::BigInt) => match rng.u8(0..4) {
            0 => Value::Small(i16::try_from(n).expect("the domain is small")),
            1 => Value::Int(number(n)),
            2 => Value::Big(i64::from(n)),
            _ => numeric(1),
        },
        (Dialect::Sqlite, Kind::Int | Kind::BigInt | Kind::Numeric) => match rng.u8(0..3) {
            0 => Value::Text(n.to_string()),
            1 => Value::Text(format!("{n}.0")),
            _ => Value::Big(i64::from(n)),
        },
        (Dialect::Sqlite, _) if rng.u8(0..4) == 0 => Value::Int(number(n)),
        (Dialect::Postgres, Kind::Numeric) => match rng.u8(0..3) {
            0 => numeric(2),
            1 => Value::Int(number(n)),
            _ => Value::Big(i64::from(n)),
        },
        _ => value(kind, n, dialect),
    }
}

/// The n-th value as an array, with its neighbours.
pub(super) fn array(kind: Kind, n: u32) -> Option<Value> {
    let all = [n, (n + 1) % DOMAIN];
    Some(match kind {
        Kind::Int => Value::Ints(all.map(number).to_vec()),
        Kind::BigInt => Value::Bigs(all.map(i64::from).to_vec()),
        Kind::Uuid => Value::Uuids(all.map(uuid).to_vec()),
        kind if kind.is_text() => Value::Texts(all.map(|n| text(n).to_owned()).to_vec()),
        _ => return None,
    })
}

/// The n-th value of a type as a literal, in one of its spellings.
pub(super) fn literal(kind: Kind, n: u32, rng: &mut Rng, dialect: Dialect) -> String {
    let postgres = dialect == Dialect::Postgres;
    let spelling = rng.u8(0..6);
    match kind {
        Kind::Int | Kind::BigInt => match spelling {
            0 => format!("'{n}'"),
            1 => format!("00{n}"),
            2 => format!("{n}.0"),
            3 if postgres => format!("'{n}'::bigint"),
            3 => format!("CAST('{n}' AS integer)"),
            _ => n.to_string(),
        },
        Kind::Uuid => match spelling {
            0 => format!("'{{{}}}'", uuid(n)),
            1 => format!("'{}'", uuid(n).simple()),
            2 => format!("'{}'::uuid", uuid(n).to_string().to_uppercase()),
            _ => format!("'{}'", uuid(n)),
        },
        Kind::Bool => {
            let truth = n.is_multiple_of(2);
            match spelling {
                0 if postgres => format!("'{}'", if truth { "yes" } else { "off" }),
                1 if !postgres => u8::from(truth).to_string(),
                _ => truth.to_string(),
            }
        }
        Kind::Numeric => match spelling {
            0 => format!("{n}.00"),
            1 => format!("'{n}'"),
            2 => format!("{n}e0"),
            _ => n.to_string(),
        },
        Kind::Time => match spelling {
            0 => format!("'1970-01-01 {n:02}:00:00+00'"),
            _ => format!("'1970-01-01 {:02}:00:00+02'", n + 2),
        },
        _ => {
            let quoted = format!("'{}'", text(n).replace('\'', "''"));
            match spelling {
                0 if postgres => format!("{quoted}::text"),
                1 if postgres => format!("E{quoted}"),
                2 if postgres => format!("{quoted}::varchar(4)"),
                _ => quoted,
            }
        }
    }
}
