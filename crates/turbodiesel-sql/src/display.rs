//! Plans as text, for people: logs, explanations and tests. Literals are left out, because they may
//! be personal data.

use std::fmt::{self, Display, Formatter};

use turbodiesel_core::PinValue;

use crate::{
    Action, ColumnRef, Columns, Conflict, ConflictOn, FunctionName, Inserted, Kind, Occurrence,
    Pin, PinSource, Plan, Refusal, Returned, Returning, Rows, Scalar, Target, ValueSource, Writes,
};

impl Display for Plan {
    /// Writes one line per finding, the kind of statement first.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.is_aggregate {
            f.write_str(", aggregate")?;
        }
        if self.returns_rows {
            f.write_str(", returns rows")?;
        }
        for occurrence in &self.occurrences {
            write!(f, "\nreads {occurrence}")?;
        }
        match &self.writes {
            Writes::None => {}
            Writes::Tables(targets) => {
                for target in targets {
                    write!(f, "\nwrites {target}")?;
                }
            }
            Writes::Everything => f.write_str("\nwrites everything")?,
        }
        if !self.builtins.is_empty() {
            write!(f, "\ncalls {}", list(&self.builtins))?;
        }
        if !self.functions.is_empty() {
            write!(f, "\ncalls unknown {}", list(&self.functions))?;
        }
        match &self.refusal {
            Some(refusal) => write!(f, "\nrefused: {refusal}"),
            None => Ok(()),
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Transaction => "transaction",
            Kind::Session => "session",
            Kind::Schema => "schema",
            Kind::Unknown => "unknown",
        })
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.detail)
    }
}

impl Display for Occurrence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.table, self.columns)?;
        pins(f, &self.pins)
    }
}

impl Display for Columns {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Columns::All => f.write_str("*"),
            Columns::Only(columns) => write!(f, "{}", list(columns)),
        }
    }
}

fn pins(f: &mut Formatter<'_>, pins: &[Pin]) -> fmt::Result {
    match pins {
        [] => Ok(()),
        pins => write!(f, " where {}", join(pins, " & ")),
    }
}

impl Display for Pin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.column, self.values)?;
        match self.through.as_slice() {
            [] => Ok(()),
            through => write!(f, " through {}", list(through)),
        }
    }
}

impl Display for PinSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            PinSource::OneOf(values) => match values.as_slice() {
                [value] => write!(f, "= {value}"),
                values => write!(f, "in ({})", list(values)),
            },
            PinSource::AnyBind(index) => write!(f, "= any(${})", index + 1),
        }
    }
}

impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bind(index) => write!(f, "${}", index + 1),
            Scalar::Literal(value) => f.write_str(type_of(value)),
        }
    }
}

impl Display for ColumnRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.column)
    }
}

impl Display for FunctionName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.table)?;
        if let Some(inserted) = &self.inserted {
            write!(f, " {inserted}")?;
        }
        if let Some(conflict) = &self.conflict {
            write!(f, " {conflict}")?;
        }
        if self.set_columns != Columns::NONE {
            write!(f, " set [{}]", self.set_columns)?;
        }
        pins(f, &self.pins)
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Insert => "insert",
            Action::Upsert => "upsert",
            Action::Replace => "replace",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Truncate => "truncate",
            Action::Merge => "merge",
            Action::Copy => "copy",
        })
    }
}

impl Display for Conflict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.on {
            ConflictOn::Any => f.write_str("on any conflict")?,
            ConflictOn::Columns(columns) => write!(f, "on conflict [{}]", list(columns))?,
            ConflictOn::Constraint(name) => write!(f, "on constraint {name}")?,
            ConflictOn::Expression => f.write_str("on conflict of an expression")?,
        }
        match (self.updates, self.sets_target) {
            (false, _) => f.write_str(" do nothing"),
            (true, false) => f.write_str(" update"),
            (true, true) => f.write_str(" update the target too"),
        }
    }
}

impl Display for Inserted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.columns {
            None => f.write_str("[*]")?,
            Some(columns) => write!(f, "[{}]", list(columns))?,
        }
        match &self.rows {
            Rows::Defaults => f.write_str(" of defaults"),
            Rows::Other => f.write_str(" of rows"),
            Rows::Values(rows) => rows.iter().try_for_each(|row| write!(f, " ({})", list(row))),
        }
    }
}

impl Display for Returning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.items() {
            None => write!(f, "nothing of {}", self.relation()),
            Some(items) => write!(f, "{} of {}", list(items), self.relation()),
        }
    }
}

impl Display for Returned {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Returned::Column(column) => f.write_str(column),
            Returned::All => f.write_str("*"),
            Returned::Expression => f.write_str("?"),
            Returned::Several => f.write_str("??"),
        }
    }
}

impl Display for ValueSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ValueSource::Bind(index) => write!(f, "${}", index + 1),
            ValueSource::Literal(value) => f.write_str(type_of(value)),
            ValueSource::Default => f.write_str("default"),
            ValueSource::Other => f.write_str("?"),
        }
    }
}

fn type_of(value: &PinValue) -> &'static str {
    match value {
        PinValue::Int(_) => "<int>",
        PinValue::Bool(_) => "<bool>",
        PinValue::Uuid(_) => "<uuid>",
        PinValue::Text(_) => "<text>",
    }
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    join(items, ", ")
}

fn join<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(separator)
}
