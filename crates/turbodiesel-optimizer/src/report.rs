//! Findings: what is wrong, where, and the Diesel code that mends it.

pub(crate) mod fix;
mod sarif;
mod text;

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{Site, statement::fingerprint};

/// What kind of problem a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// One query for each row of an earlier one.
    NPlusOne,
    /// Several different queries for each row of an earlier one, in turns; or one for each row of each
    /// of those.
    Interleaved,
    /// One query for each row of an earlier one, at the same time.
    Concurrent,
    /// One count or sum for each row of an earlier query.
    CountLoop,
    /// One write for each of several rows.
    WriteLoop,
    /// The same query with the same values, and nothing written in between.
    Duplicate,
    /// An unlimited query that returned very many rows, or more than were read.
    OverFetch,
    /// Independent queries that waited for each other.
    SerialisedIndependent,
}

impl Class {
    /// All classes.
    pub const ALL: &'static [Class] = &[
        Class::NPlusOne,
        Class::Interleaved,
        Class::Concurrent,
        Class::CountLoop,
        Class::WriteLoop,
        Class::Duplicate,
        Class::OverFetch,
        Class::SerialisedIndependent,
    ];

    /// The name in reports, metrics and allow lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::NPlusOne => "n-plus-one",
            Class::Interleaved => "interleaved",
            Class::Concurrent => "concurrent",
            Class::CountLoop => "count-loop",
            Class::WriteLoop => "write-loop",
            Class::Duplicate => "duplicate",
            Class::OverFetch => "over-fetch",
            Class::SerialisedIndependent => "serialised-independent",
        }
    }

    /// What it means, in a sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Class::NPlusOne => "one query for each row of an earlier query",
            Class::Interleaved => "several queries for each row of an earlier query",
            Class::Concurrent => "one query for each row of an earlier query, all at the same time",
            Class::CountLoop => "one count for each row of an earlier query",
            Class::WriteLoop => "one write for each of several rows",
            Class::Duplicate => "the same query again, with nothing written in between",
            Class::OverFetch => "a query without a limit that returned more than was wanted",
            Class::SerialisedIndependent => "independent queries that waited for each other",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// An opportunity; or a loop that a cache answers for now.
    Note,
    /// Worth mending.
    Warning,
    /// Ten or more executions where one would do.
    Error,
}

/// From how many executions on a finding is an error.
const MANY: usize = 10;

/// A statement as a finding shows it: without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Shown {
    /// The text, with `?` for literals.
    pub sql: String,
    /// The tables that it names.
    pub tables: Vec<String>,
    /// Where it was asked, if anything told: see [`Located`](crate::Located).
    pub site: Option<Site>,
}

/// The query whose rows a loop follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Parent {
    /// The query.
    pub statement: Shown,
    /// Its column whose values were bound.
    pub column: String,
    /// How many rows its largest answer had.
    pub rows: u64,
}

/// Something that is wrong with the statements of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of problem it is.
    pub class: Class,
    /// How bad it is.
    pub severity: Severity,
    /// The same for the same problem in every run: of the class, the statements and the file that
    /// they are in, but not of lines, numbers or times.
    pub signature: String,
    /// The statements, of which there are several in [`Class::Interleaved`] and
    /// [`Class::SerialisedIndependent`] alone.
    pub statements: Vec<Shown>,
    /// The query whose rows are followed, where there is one.
    pub parent: Option<Parent>,
    /// The column that the parent's values are compared with.
    pub key: Option<String>,
    /// How many executions there were.
    pub executions: usize,
    /// How many of them had different values.
    pub distinct: usize,
    /// How many of them a cache has answered.
    pub hits: usize,
    /// How many rows they returned or touched together.
    pub rows: u64,
    /// How long they took together, in the database.
    #[serde(rename = "time_seconds", serialize_with = "seconds")]
    pub time: Duration,
    /// How much of that may be saved, at least if a batch takes as long as the slowest execution.
    #[serde(rename = "saving_seconds", serialize_with = "seconds")]
    pub saving: Duration,
    /// Diesel code that mends it, to be adapted.
    pub fix: String,
    /// That it was allowed until a date that has passed, and why.
    pub expired: Option<String>,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// A finding before it is judged.
pub(crate) struct Draft {
    pub(crate) class: Class,
    pub(crate) statements: Vec<Shown>,
    pub(crate) parent: Option<Parent>,
    pub(crate) key: Option<String>,
    pub(crate) executions: usize,
    pub(crate) distinct: usize,
    pub(crate) hits: usize,
    pub(crate) rows: u64,
    pub(crate) time: Duration,
    pub(crate) saving: Duration,
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn new(draft: Draft) -> Self {
        let Draft { class, statements, parent, key, executions, distinct, hits, .. } = draft;
        let severity = match class {
            Class::SerialisedIndependent => Severity::Note,
            // All but the first came from the cache: it costs nothing as long as that is warm.
            _ if hits + 1 >= executions && hits > 0 => Severity::Note,
            Class::OverFetch => Severity::Warning,
            _ if executions >= MANY => Severity::Error,
            _ => Severity::Warning,
        };
        let file =
            |shown: &Shown| shown.site.as_ref().map_or_else(String::new, |it| it.file.clone());
        let mut parts = vec![class.as_str().to_owned()];
        for shown in statements.iter().chain(parent.iter().map(|parent| &parent.statement)) {
            parts.extend([shown.sql.clone(), file(shown)]);
        }
        let Draft { rows, time, saving, fix, .. } = draft;
        Self {
            class,
            severity,
            signature: format!("{:016x}", fingerprint(&parts)),
            statements,
            parent,
            key,
            executions,
            distinct,
            hits,
            rows,
            time,
            saving,
            fix,
            expired: None,
        }
    }

    /// Where it is, if anything told.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        self.statements.iter().find_map(|statement| statement.site.as_ref())
    }
}

/// The findings of a scope, the worst first.
///
/// `Display` is a report for people; [`to_json`](Self::to_json) and [`to_sarif`](Self::to_sarif) are
/// for machines. None of them contains a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Ranks findings: by severity, by what they cost, and then by their signatures, so that the same
    /// findings always come in the same order.
    #[must_use]
    pub fn ranked(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|one, other| {
            let rank = |it: &Finding| (it.severity, it.saving, it.executions);
            rank(other).cmp(&rank(one)).then_with(|| one.signature.cmp(&other.signature))
        });
        Self(findings)
    }

    /// The findings, the worst first.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are at least this bad.
    #[must_use]
    pub fn at_least(mut self, severity: Severity) -> Self {
        self.0.retain(|finding| finding.severity >= severity);
        self
    }

    /// The findings as an array in JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The findings as a log in SARIF 2.1.0, which code hosts show beside the lines concerned.
    #[must_use]
    pub fn to_sarif(&self) -> serde_json::Value {
        sarif::log(self)
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'f> IntoIterator for &'f Findings {
    type Item = &'f Finding;
    type IntoIter = std::slice::Iter<'f, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        self.0.extend(findings);
        *self = Self::ranked(std::mem::take(&mut self.0));
    }
}
