//! What a suite found: rows for machines, a table for people.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use crate::rounds::Summary;

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    suite: &'static str,
    case: &'static str,
    contender: &'static str,
    metric: &'static str,
    unit: &'static str,
    /// The median over the rounds.
    value: f64,
    min: f64,
    max: f64,
    /// What was promised of this figure, and whether it is so.
    #[serde(skip)]
    verdict: String,
}

/// The figures of a suite.
#[derive(Debug)]
pub(crate) struct Report {
    suite: &'static str,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(suite: &'static str) -> Self {
        Self { suite, rows: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn add(
        &mut self,
        (case, contender): (&'static str, &'static str),
        (metric, unit): (&'static str, &'static str),
        Summary { median: value, min, max }: Summary,
    ) {
        let Self { suite, .. } = *self;
        let verdict = String::new();
        self.rows.push(Row { suite, case, contender, metric, unit, value, min, max, verdict });
    }

    /// Judges the figure that was added last.
    pub(crate) fn judge(&mut self, measured: f64, target: Target) {
        let Some(row) = self.rows.last_mut() else { return };
        if !row.verdict.is_empty() {
            row.verdict.push('\n');
        }
        row.verdict.push_str(&target.verdict(measured));
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// What was promised of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At least so many times faster than a rival.
    TimesFaster(f64, &'static str),
    /// At most so many times as much as a rival.
    TimesAsMuch(f64, &'static str),
    /// At least so much, of something.
    AtLeast(f64, &'static str),
    /// At most so much.
    AtMost(f64),
    /// This and nothing else.
    Exactly(f64),
}

impl Target {
    fn verdict(self, measured: f64) -> String {
        let (text, met) = match self {
            Target::TimesFaster(target, rival) => (
                format!("{measured:.1}x faster than {rival} (at least {target}x)"),
                measured >= target,
            ),
            Target::TimesAsMuch(target, rival) => {
                (format!("{measured:.3}x {rival} (at most {target}x)"), measured <= target)
            }
            Target::AtLeast(target, of) => {
                (format!("{measured:.3} of {of} (at least {target})"), measured >= target)
            }
            Target::AtMost(target) => (format!("at most {target}"), measured <= target),
            #[expect(clippy::float_cmp, reason = "counts, which a float holds exactly")]
            Target::Exactly(target) => (format!("exactly {target}"), measured == target),
        };
        format!("{} {text}", if met { "met:" } else { "MISSED:" })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        table.set_header(["case", "contender", "metric", "median", "min", "max", "target"]);
        for row in &self.rows {
            let metric = format!("{} ({})", row.metric, row.unit);
            table.add_row([
                row.case,
                row.contender,
                &metric,
                &figure(row.value),
                &figure(row.min),
                &figure(row.max),
                &row.verdict,
            ]);
        }
        for column in 3..6 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        write!(f, "{}\n{table}", self.suite)
    }
}

/// A figure with as many digits as it deserves.
fn figure(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_tells_met_from_missed() {
        for (target, good, bad) in [
            (Target::TimesFaster(150.0, "diesel-async"), 150.0, 149.0),
            (Target::TimesAsMuch(1.05, "diesel-async"), 1.05, 1.06),
            (Target::AtLeast(0.9, "reads"), 0.9, 0.89),
            (Target::AtMost(200.0), 200.0, 201.0),
            (Target::Exactly(1.0), 1.0, 2.0),
        ] {
            assert!(target.verdict(good).starts_with("met:"), "{target:?}");
            assert!(target.verdict(bad).starts_with("MISSED:"), "{target:?}");
        }
    }

    #[test]
    fn figures_keep_the_digits_that_matter() {
        assert_eq!([1.0, 0.987_6, 12.34, 131_234.5].map(figure), ["1", "0.988", "12.3", "131234"]);
    }
}
