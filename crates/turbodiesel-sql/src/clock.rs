//! Text that tells the time: `'now'`, `'today'` and what may turn into it.

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

use crate::pins::unnest;

/// Words that date and time types read relative to the present.
const RELATIVE: &[&str] = &["now", "today", "tomorrow", "yesterday", "subsec", "subsecond"];

/// Whether a string names a time relative to the present, if it is read as one.
pub(crate) fn names_relative_time(value: &Value) -> bool {
    let Some(text) = text(value) else { return false };
    text.split(|c: char| !c.is_ascii_alphabetic())
        .any(|word| RELATIVE.iter().any(|relative| word.eq_ignore_ascii_case(relative)))
}

/// Whether a value may name a time relative to the present: every bind may.
pub(crate) fn may_be_relative(value: &Value) -> bool {
    match value {
        Value::Number(..) | Value::Boolean(_) | Value::Null => false,
        Value::Placeholder(_) => true,
        // Shortened and misspelt words included: only a date is one for certain.
        value => !text(value).is_some_and(|text| {
            text.trim_start().starts_with(|c: char| c.is_ascii_digit())
                && !names_relative_time(value)
        }),
    }
}

/// Whether an expression may be a text that names a time relative to the present.
///
/// Columns are taken not to hold such text. Who stores `'now'` in a text column and casts it to a
/// timestamp later gets the time of the cached read.
pub(crate) fn may_name_a_time(expr: &Expr) -> bool {
    match unnest(expr) {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Extract { .. } => false,
        Expr::AtTimeZone { timestamp, time_zone: _ } => may_name_a_time(timestamp),
        Expr::Interval(_) => false,
        Expr::Value(value) => may_be_relative(&value.value),
        Expr::Cast {
            data_type: DataType::Date | DataType::Timestamp(..) | DataType::Time(..),
            expr,
            ..
        } => may_name_a_time(expr),
        // An operand of arithmetic is no text, and what is cast to be one is looked at there.
        Expr::BinaryOp { op, .. } => {
            !matches!(op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply)
        }
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            let is = |names: &[&str]| {
                name.is_some_and(|name| names.iter().any(|n| name.value.eq_ignore_ascii_case(n)))
            };
            if is(&[
                "date_trunc",
                "date_bin",
                "make_date",
                "make_timestamp",
                "to_timestamp",
                "to_date",
            ]) {
                return false;
            }
            match &function.args {
                FunctionArguments::List(list)
                    if is(&["min", "max", "coalesce", "greatest", "least"]) =>
                {
                    list.args.iter().any(|arg| match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => may_name_a_time(expr),
                        _ => true,
                    })
                }
                _ => true,
            }
        }
        _ => true,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text)
        | Value::NationalStringLiteral(text)
        | Value::DoubleQuotedString(text) => Some(text),
        Value::DollarQuotedString(quoted) => Some(&quoted.value),
        _ => None,
    }
}
