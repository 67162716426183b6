//! Findings for people.

use std::fmt;

use super::{Class, Finding, Findings, Severity, Shown};

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, severity, signature, executions, distinct, hits, .. } = self;
        write!(f, "{severity}[{class}]: {}", class.description())?;
        let times = if *executions == 1 { "time" } else { "times" };
        write!(f, "\n  executed {executions} {times}")?;
        if *distinct > 1 && *distinct != *executions && *class != Class::Interleaved {
            write!(f, " with {distinct} different values")?;
        }
        write!(f, ", {:.1?} in the database", self.time)?;
        if *hits > 0 {
            write!(f, "; {hits} answered by the cache")?;
        }
        if *class == Class::OverFetch {
            write!(f, ", {} rows read", self.rows)?;
        }
        for statement in &self.statements {
            show(f, "  ", statement)?;
        }
        if let Some(parent) = &self.parent {
            let rows = if parent.rows == 1 { "row" } else { "rows" };
            write!(f, "\n  for each `{}` of the {} {rows} of", parent.column, parent.rows)?;
            show(f, "    ", &parent.statement)?;
        }
        write!(f, "\n  instead:")?;
        for line in self.fix.lines() {
            write!(f, "\n    {line}")?;
        }
        if let Some(expired) = &self.expired {
            write!(f, "\n  {expired}")?;
        }
        write!(f, "\n  signature {signature}")
    }
}

fn show(f: &mut fmt::Formatter<'_>, indent: &str, statement: &Shown) -> fmt::Result {
    write!(f, "\n{indent}{}", statement.sql)?;
    match &statement.site {
        Some(site) => write!(f, "\n{indent}  at {site}"),
        None => Ok(()),
    }
}
