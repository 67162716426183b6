//! Random conditions on a column.

use fastrand::Rng;

use super::{
    Dialect,
    schema::Column,
    statement::Binds,
    values::{Kind, Value, any_value, array, literal, odd_value, value},
};

/// A condition on a column, mostly an equality in one of its many forms.
pub(super) fn condition(
    rng: &mut Rng,
    dialect: Dialect,
    binds: &mut Binds,
    alias: &str,
    column: &Column,
) -> String {
    let postgres = dialect == Dialect::Postgres;
    let c = format!("{alias}.{}", column.name);
    let n = any_value(rng);
    let kind = column.kind;
    let spelt = |rng: &mut Rng| literal(kind, n, rng, dialect);
    match rng.u8(0..24) {
        0..=6 => {
            let bind = binds.push(value(kind, n, dialect));
            if rng.bool() { format!("{c} = {bind}") } else { format!("{bind} = {c}") }
        }
        7 | 8 => format!("{c} = {}", binds.push(odd_value(kind, n, rng, dialect))),
        9..=11 => format!("{c} = {}", spelt(rng)),
        12 => {
            let one = binds.push(value(kind, n, dialect));
            let two = binds.push(value(kind, any_value(rng), dialect));
            format!("{c} IN ({one}, {two})")
        }
        13 => {
            let other = any_value(rng);
            format!("{c} IN ({}, {})", spelt(rng), literal(kind, other, rng, dialect))
        }
        14 => match array(kind, n).filter(|_| postgres) {
            Some(array) => format!("{c} = ANY({})", binds.push(array)),
            None => format!("{c} <> {}", spelt(rng)),
        },
        15 => format!("{c} IS NULL"),
        16 => format!("{c} > {}", binds.push(value(kind, n, dialect))),
        17 => format!("{c} BETWEEN {} AND {}", spelt(rng), spelt(rng)),
        18 if postgres => format!("{c} IS NOT DISTINCT FROM {}", spelt(rng)),
        18 => format!("{c} IS {}", spelt(rng)),
        19 if kind.is_text() => match rng.u8(0..3) {
            0 => format!("lower({c}) = lower({})", spelt(rng)),
            1 if postgres => format!("{c} = ({}) COLLATE \"C\"", spelt(rng)),
            1 => format!("{c} = ({}) COLLATE NOCASE", spelt(rng)),
            _ => format!("CAST({c} AS text) = {}", binds.push(value(kind, n, dialect))),
        },
        19 if kind.is_integer() => match rng.u8(0..3) {
            0 => format!("{c} + 0 = {n}"),
            1 => format!("CAST({c} AS text) = '{n}'"),
            _ => format!("{c} = CAST({} AS integer)", binds.push(Value::Text(n.to_string()))),
        },
        20 => format!("({c}, 1) = ({}, 1)", binds.push(value(kind, n, dialect))),
        21 => format!("CASE WHEN {c} = {} THEN 1 = 1 ELSE 1 = 0 END", spelt(rng)),
        22 => {
            let null = match kind {
                Kind::Int | Kind::BigInt | Kind::Numeric => Value::NullInt,
                _ => Value::NullText,
            };
            format!("{c} = {}", binds.push(null))
        }
        _ => format!("{c} = {}", spelt(rng)),
    }
}
