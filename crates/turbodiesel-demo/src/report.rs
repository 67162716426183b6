//! What the demo has to say: one table for people, the same figures for programs.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;
use turbodiesel::Tier;

use crate::{
    audit::{Findings, WrongAnswer},
    contender::{Counts, TierLookups},
    drive::Run,
    requests::Group,
};

/// The figures of a whole demo.
#[derive(Debug, Serialize)]
pub struct Report {
    facts: Facts,
    diesel_async: Figures,
    turbodiesel: Figures,
    #[serde(flatten)]
    findings: Findings,
}

/// What was run, and on what.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) database: String,
    /// Whether the database is a server, and not a library in this process.
    pub(crate) is_server: bool,
    pub(crate) seed: u64,
    /// Rows at the start.
    pub(crate) rows: usize,
    pub(crate) clients: u32,
    pub(crate) duration_seconds: u64,
    pub(crate) fault_planted: bool,
    pub(crate) machine: Machine,
}

/// The machine that everything ran on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpus: usize,
    os: &'static str,
    architecture: &'static str,
}

/// The figures of one contender.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    seconds: f64,
    requests: u64,
    requests_per_second: f64,
    writes_per_second: f64,
    failed_requests: u64,
    first_failure: Option<String>,
    latency: Latency,
    latency_of: LatencyByGroup,
    statements: u64,
    statements_per_request: f64,
    /// `None` without a cache.
    hit_rates: Option<HitRates>,
    counts: Counts,
}

/// Percentiles of the time that a request takes, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
}

#[derive(Debug, Serialize)]
struct LatencyByGroup {
    lookup: Latency,
    list: Latency,
    dashboard: Latency,
    write: Latency,
}

/// Parts of all queries that looked: 0 to 1, `None` if none did.
#[derive(Debug, Serialize)]
struct HitRates {
    l1: Option<f64>,
    l2: Option<f64>,
    l3: Option<f64>,
    /// Queries that waited for another task's read of the same, of all queries.
    joined: Option<f64>,
    /// Queries for which the database was not asked, of all queries.
    overall: Option<f64>,
}

impl Machine {
    pub(crate) fn this() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "three digits are kept")]
        let percentile = |part| histogram.value_at_quantile(part) as f64 / 1e3;
        Self { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) }
    }
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    pub(crate) fn of(run: &Run) -> Self {
        let requests = run.requests();
        let latency = |group| Latency::of(run.latencies.of(group));
        let lookups = &run.counts.lookups;
        let rate = |tier| TierLookups::hit_rate(lookups.tier(tier));
        let has_cache = lookups.served_from_memory().is_some();
        Self {
            seconds: run.elapsed.as_secs_f64(),
            requests,
            requests_per_second: requests as f64 / run.elapsed.as_secs_f64(),
            writes_per_second: run.latencies.of(Group::Write).len() as f64
                / run.elapsed.as_secs_f64(),
            failed_requests: run.failures.count,
            first_failure: run.failures.first.clone(),
            latency: Latency::of(&run.latencies.all()),
            latency_of: LatencyByGroup {
                lookup: latency(Group::Lookup),
                list: latency(Group::List),
                dashboard: latency(Group::Dashboard),
                write: latency(Group::Write),
            },
            statements: run.counts.statements,
            statements_per_request: run.counts.statements as f64 / requests.max(1) as f64,
            hit_rates: has_cache.then(|| HitRates {
                l1: rate(Tier::L1),
                l2: rate(Tier::L2),
                l3: rate(Tier::L3),
                joined: lookups.joined(),
                overall: lookups.served_from_memory(),
            }),
            counts: run.counts,
        }
    }
}

impl Report {
    pub(crate) fn new(facts: Facts, plain: &Run, turbodiesel: &Run) -> Self {
        Self {
            facts,
            diesel_async: Figures::of(plain),
            turbodiesel: Figures::of(turbodiesel),
            findings: turbodiesel.findings.clone(),
        }
    }

    /// How many checked answers were wrong.
    #[must_use]
    pub fn wrong_answers(&self) -> u64 {
        self.findings.wrong_answers
    }

    /// How many answers were checked.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.findings.checks
    }

    /// How many requests failed, on either side.
    #[must_use]
    pub fn failed_requests(&self) -> u64 {
        self.diesel_async.failed_requests + self.turbodiesel.failed_requests
    }

    /// Whether the demo showed what it must: no wrong answer, or if a fault was planted, at least
    /// one.
    #[must_use]
    pub fn is_as_it_must_be(&self) -> bool {
        let wrong = self.wrong_answers() > 0;
        self.checks() > 0 && self.failed_requests() == 0 && wrong == self.facts.fault_planted
    }

    /// The report as text, at most a hundred columns wide.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "\n{}\n\n{}\n\n{}\n\n{}\n",
            self.introduction(),
            self.table(),
            self.correctness(),
            self.fairness()
        )
    }

    fn introduction(&self) -> String {
        let Facts { database, seed, rows, clients, duration_seconds, machine, .. } = &self.facts;
        let Machine { cpus, os, architecture } = machine;
        format!(
            "A manufacturing service on {database}, {cpus} CPUs ({os}, {architecture})\n\
             {rows} rows, {clients} clients, {duration_seconds} s each, 90 % reads and 10 % \
             writes, seed {seed}",
            rows = thousands(*rows as u64),
        )
    }

    fn table(&self) -> Table {
        let (plain, turbo) = (&self.diesel_async, &self.turbodiesel);
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["", "diesel-async", "turbodiesel", "turbodiesel is"]);
        for (column, alignment) in (0..).zip([
            CellAlignment::Left,
            CellAlignment::Right,
            CellAlignment::Right,
            CellAlignment::Right,
        ]) {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(alignment);
            }
        }
        let mut row = |label: &str, plain: String, turbo: String, ratio: String| {
            table.add_row([label.to_owned(), plain, turbo, ratio].map(Cell::new));
        };
        row(
            "requests per second",
            thousands_of(plain.requests_per_second),
            thousands_of(turbo.requests_per_second),
            times(turbo.requests_per_second / plain.requests_per_second, "faster", "slower"),
        );
        let (of_plain, of_turbo) = (&plain.latency_of, &turbo.latency_of);
        for (label, plain, turbo) in [
            ("median request", plain.latency.p50, turbo.latency.p50),
            ("p95", plain.latency.p95, turbo.latency.p95),
            ("p99", plain.latency.p99, turbo.latency.p99),
            ("median look-up", of_plain.lookup.p50, of_turbo.lookup.p50),
            ("median list", of_plain.list.p50, of_turbo.list.p50),
            ("median dashboard", of_plain.dashboard.p50, of_turbo.dashboard.p50),
            ("median write", of_plain.write.p50, of_turbo.write.p50),
        ] {
            row(label, time(plain), time(turbo), times(plain / turbo, "faster", "slower"));
        }
        row(
            "database statements",
            thousands(plain.statements),
            thousands(turbo.statements),
            String::new(),
        );
        row(
            "statements per request",
            format!("{:.2}", plain.statements_per_request),
            format!("{:.2}", turbo.statements_per_request),
            times(plain.statements_per_request / turbo.statements_per_request, "fewer", "more"),
        );
        if let Some(rates) = &turbo.hit_rates {
            for (label, rate) in [
                ("hit rate L1, changing tables", rates.l1),
                ("hit rate L2, aggregates", rates.l2),
                ("hit rate L3, reference tables", rates.l3),
                ("joined another's read", rates.joined),
                ("queries without the database", rates.overall),
            ] {
                row(label, "–".to_owned(), percent(rate), String::new());
            }
        }
        table
    }

    fn correctness(&self) -> String {
        let Findings { checks, checks_of_memory, wrong_answers, first_wrong_answer } =
            &self.findings;
        let mut text = format!(
            "Correctness: {} answers compared with a fresh read, {} of them wholly or partly from \
             memory:\n{} wrong.",
            thousands(*checks),
            thousands(*checks_of_memory),
            thousands(*wrong_answers),
        );
        if let Some(WrongAnswer { request, answered, fresh }) = first_wrong_answer {
            let (answered, fresh) = where_they_differ(answered, fresh);
            text += &format!("\nThe first: {request}\n  answered  {answered}\n  should be {fresh}");
        }
        match (self.facts.fault_planted, *wrong_answers) {
            (true, 0) => {
                text += "\nA fault was planted, and the check did NOT find it: do not trust it.";
            }
            (true, _) => {
                text += "\nA fault was planted, writes that go around turbodiesel, and the check found \
                         it, as it must.\nThe figures above mean nothing then.";
            }
            (false, 0) => {}
            (false, _) => text += "\nThis is a bug in turbodiesel: please report it with the seed.",
        }
        for (name, figures) in
            [("diesel-async", &self.diesel_async), ("turbodiesel", &self.turbodiesel)]
        {
            if let Some(first) = &figures.first_failure {
                let count = thousands(figures.failed_requests);
                text += &format!("\n{count} requests failed over {name}, the first: {first}");
            }
        }
        text
    }

    fn fairness(&self) -> String {
        let mut text = format!(
            "Fair: the same queries, data, requests and pool size ({} connections, not pinged when \
             checked\nout) on both sides, one after the other, the data restored in between. Less \
             so: clients never\npause, so the faster side writes more ({} writes/s against {}), \
             and each write ends what the\ncache knew of what it touched; a few checks fall into \
             turbodiesel's time; clients and database\nshare the CPUs of one machine.",
            self.facts.clients,
            thousands_of(self.turbodiesel.writes_per_second),
            thousands_of(self.diesel_async.writes_per_second),
        );
        if !self.facts.is_server {
            text += "\nSQLite runs inside this process, so no network and no server is spared: this \
                     says little about\na database server. `cargo xtask demo --postgres` measures \
                     that.";
        }
        text
    }
}

/// The parts of two texts around their first difference, short enough for a line.
fn where_they_differ(one: &str, other: &str) -> (String, String) {
    const BEFORE: usize = 40;
    const LENGTH: usize = 80;
    let common = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let start = common.saturating_sub(BEFORE);
    let part = |text: &str| {
        let left = if start > 0 { "…" } else { "" };
        let right = if text.chars().count() > start + LENGTH { "…" } else { "" };
        let part: String = text.chars().skip(start).take(LENGTH).collect();
        format!("{left}{part}{right}")
    };
    (part(one), part(other))
}

/// A time in microseconds, with three digits.
fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 999.5 => format!("{} µs", three_digits(us)),
        us if us < 999_500.0 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

fn three_digits(number: f64) -> String {
    match number {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// How many times better, or worse if less than once.
fn times(factor: f64, better: &str, worse: &str) -> String {
    match factor {
        f if !f.is_finite() || f <= 0.0 => String::new(),
        f if (0.95..1.05).contains(&f) => "the same".to_owned(),
        f if f >= 1.0 => format!("{}× {better}", three_digits(f)),
        f => format!("{}× {worse}", three_digits(1.0 / f)),
    }
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
fn thousands_of(number: f64) -> String {
    thousands(number.round() as u64)
}

/// A number with its thousands set apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        contender::Lookups,
        drive::{Failures, Latencies},
    };

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(999), "999");
        assert_eq!(time(0.5), "0.50 µs");
        assert_eq!(time(999.4), "999 µs");
        assert_eq!(time(1_240.0), "1.24 ms");
        assert_eq!(time(2_000_000.0), "2.00 s");
        assert_eq!(times(3.25, "faster", "slower"), "3.25× faster");
        assert_eq!(times(0.5, "faster", "slower"), "2.00× slower");
        assert_eq!(times(1.01, "faster", "slower"), "the same");
        assert_eq!(times(f64::NAN, "faster", "slower"), "");
    }

    /// A run of ten look-ups that took one to ten times as long as the first.
    fn a_run(microseconds: u64, lookups: Lookups, statements: u64) -> Run {
        let mut latencies = Latencies::new();
        for factor in 1..=10 {
            latencies.record(Group::Lookup, Duration::from_micros(microseconds * factor));
        }
        Run {
            elapsed: Duration::from_secs(2),
            counts: Counts { statements, lookups },
            latencies,
            failures: Failures::default(),
            findings: Findings { checks: 3, checks_of_memory: 2, ..Findings::default() },
        }
    }

    fn a_report(fault_planted: bool, wrong_answers: u64) -> Report {
        let facts = Facts {
            database: "a database".to_owned(),
            is_server: false,
            seed: 7,
            rows: 100_000,
            clients: 8,
            duration_seconds: 2,
            fault_planted,
            machine: Machine { cpus: 2, os: "os", architecture: "cpu" },
        };
        let tier = |hits, misses| TierLookups { hits, misses };
        let lookups = Lookups { tiers: [tier(9, 1), tier(0, 0), tier(1, 1)], joined: 0, read: 2 };
        let mut turbodiesel = a_run(10, lookups, 2);
        turbodiesel.findings.wrong_answers = wrong_answers;
        Report::new(facts, &a_run(100, Lookups::default(), 20), &turbodiesel)
    }

    /// The cells of the row with this label.
    fn cells(report: &Report, label: &str) -> Vec<String> {
        let table = report.table().to_string();
        let mut lines = table.lines().map(|line| line.trim_matches(['│', ' ']));
        let cells = lines.find_map(|line| line.strip_prefix(label)).unwrap();
        cells
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_table_sets_both_side_by_side() {
        let report = a_report(false, 0);
        assert_eq!(cells(&report, "requests per second"), ["5", "5", "the same"]);
        assert_eq!(cells(&report, "median request"), ["500 µs", "50.0 µs", "10.0× faster"]);
        assert_eq!(cells(&report, "p99"), ["1.00 ms", "100 µs", "10.0× faster"]);
        assert_eq!(cells(&report, "statements per request"), ["2.00", "0.20", "10.0× fewer"]);
        assert_eq!(cells(&report, "hit rate L1, changing tables"), ["–", "90.0 %"]);
        assert_eq!(cells(&report, "hit rate L2, aggregates"), ["–", "–"]);
        assert_eq!(cells(&report, "queries without the database"), ["–", "83.3 %"]);
    }

    #[test]
    fn differences_are_shown_where_they_are() {
        let long = "x".repeat(100);
        let (one, other) = where_they_differ(&format!("{long}1{long}"), &format!("{long}2"));
        assert_eq!(one, format!("…{}1{}…", "x".repeat(40), "x".repeat(39)));
        assert_eq!(other, format!("…{}2", "x".repeat(40)));
        assert_eq!(where_they_differ("a1", "a2"), ("a1".to_owned(), "a2".to_owned()));
    }

    #[test]
    fn the_report_fits_a_terminal() {
        let mut report = a_report(true, 1);
        report.findings.first_wrong_answer = Some(WrongAnswer {
            request: "Order { id: 1 } by user 1".to_owned(),
            answered: "x".repeat(1000),
            fresh: "x".repeat(999),
        });
        for line in report.text().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn wrong_answers_decide() {
        assert!(a_report(false, 0).is_as_it_must_be());
        assert!(!a_report(false, 1).is_as_it_must_be());
        assert!(!a_report(true, 0).is_as_it_must_be());
        assert!(a_report(true, 1).is_as_it_must_be());
    }
}
