//! What must hold of the detector whatever it is given: metamorphic properties over made-up scopes.
//!
//! A story is told as executions one after the other; the properties change it and compare what is
//! found before and after.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Thresholds, detect};
use crate::{
    Class, Findings, Statement, ValueHash,
    recording::{Entry, Flags, Recording},
};

/// One execution of a story.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    sql: String,
    binds: Vec<i64>,
    /// The first column of its answer, whose name is that of `column`.
    rows: Vec<i64>,
    column: &'static str,
    nanos: u64,
    failed: bool,
}

impl Told {
    fn new(sql: impl Into<String>, binds: &[i64], rows: &[i64]) -> Self {
        let (binds, rows) = (binds.to_vec(), rows.to_vec());
        Self { sql: sql.into(), binds, rows, column: "id", nanos: 1_000_000, failed: false }
    }
}

/// The statements that stories are made of, each on tables of its own.
fn parent(loop_: usize, rows: &[i64]) -> Told {
    Told::new(format!("SELECT id FROM owner{loop_}s LIMIT 100"), &[], rows)
}

fn child(loop_: usize, which: usize, value: i64) -> Told {
    let sql = format!("SELECT x FROM child{loop_}_{which} WHERE owner{loop_}_id = $1");
    Told::new(sql, &[value], &[])
}

fn once(number: usize) -> Told {
    Told::new(format!("SELECT x FROM other{number} WHERE y > $1"), &[7], &[])
}

fn record(story: &[Told]) -> Recording {
    let mut recording = Recording::default();
    for (tick, told) in (0..).step_by(3).zip(story) {
        let binds: Vec<_> = told.binds.iter().copied().map(ValueHash::integer).collect();
        let cells: Vec<_> = told.rows.iter().copied().map(ValueHash::integer).collect();
        let entry = Entry {
            statement: &Statement::of(&told.sql),
            site: None,
            binds: &binds,
            start: tick,
            first_row: tick + 1,
            end: tick + 2,
            rows: u32::try_from(cells.len()).unwrap(),
            nanos: told.nanos,
            flags: Flags { failed: told.failed, ..Flags::default() },
        };
        let look = |values: &mut Vec<ValueHash>| {
            values.extend_from_slice(&cells);
            usize::from(!cells.is_empty())
        };
        recording.push(&entry, &look, &|| vec![told.column.into()]);
    }
    recording
}

/// Without what needs no loop.
fn thresholds(repeats: usize) -> Thresholds {
    Thresholds::tests().repeats(repeats).serialised(usize::MAX, std::time::Duration::MAX)
}

fn found(story: &[Told], repeats: usize) -> Findings {
    detect(&record(story), &thresholds(repeats))
}

/// The statements that something is wrong with.
fn accused(findings: &Findings) -> BTreeSet<String> {
    findings.iter().flat_map(|it| &it.statements).map(|it| it.sql.clone()).collect()
}

fn signatures(findings: &Findings) -> BTreeSet<String> {
    findings.iter().map(|finding| finding.signature.clone()).collect()
}

/// A loop of `children` statements over `rows` rows, in a scope's story.
fn a_loop(number: usize, rows: i64, children: usize) -> Vec<Told> {
    let values: Vec<i64> = (1..=rows).collect();
    let mut story = vec![parent(number, &values)];
    for value in values {
        story.extend((0..children).map(|which| child(number, which, value)));
    }
    story
}

/// Stories of a few loops, with something else at their beginning.
fn stories() -> impl Strategy<Value = Vec<Told>> {
    let loops = prop::collection::vec((2..9_i64, 1..4_usize), 1..4);
    (loops, 0..3_usize).prop_map(|(loops, others)| {
        let mut story: Vec<Told> = (0..others).map(once).collect();
        for (number, (rows, children)) in loops.into_iter().enumerate() {
            story.extend(a_loop(number, rows, children));
        }
        story
    })
}

proptest! {
    /// The same recording gives the same findings, to the byte.
    #[test]
    fn deterministic(story in stories()) {
        let (one, other) = (found(&story, 3), found(&story, 3));
        prop_assert_eq!(one.to_json().to_string(), other.to_json().to_string());
        prop_assert_eq!(one.to_sarif().to_string(), other.to_sarif().to_string());
    }

    /// Silence below the threshold, and at the threshold a finding.
    #[test]
    fn silent_below_the_threshold(rows in 1..12_i64, repeats in 2..12_usize, children in 1..3_usize) {
        let is_found = !found(&a_loop(0, rows, children), repeats).is_empty();
        prop_assert_eq!(is_found, usize::try_from(rows).unwrap() >= repeats);
    }

    /// More rows make the same finding, of more executions.
    #[test]
    fn amplified(rows in 3..40_i64, more in 1..40_i64) {
        let (few, many) = (found(&a_loop(0, rows, 1), 3), found(&a_loop(0, rows + more, 1), 3));
        prop_assert_eq!(signatures(&few), signatures(&many));
        let executions = |it: &Findings| it.iter().map(|finding| finding.executions).sum::<usize>();
        prop_assert_eq!(executions(&few) + usize::try_from(more).unwrap(), executions(&many));
        let worst = |it: &Findings| it.iter().map(|finding| finding.severity).max();
        prop_assert!(worst(&few) <= worst(&many));
    }

    /// The order in which a loop goes through the rows is of no importance.
    #[test]
    fn permuted(values in Just((1..=8_i64).collect::<Vec<_>>()).prop_shuffle()) {
        let in_order = found(&a_loop(0, 8, 1), 3);
        let mut story = vec![parent(0, &(1..=8).collect::<Vec<_>>())];
        story.extend(values.into_iter().map(|value| child(0, 0, value)));
        prop_assert_eq!(in_order.to_json(), found(&story, 3).to_json());
    }

    /// What is asked twice is neither a new finding nor another.
    #[test]
    fn duplicated(rows in 3..20_i64, index in any::<prop::sample::Index>()) {
        let mut story = a_loop(0, rows, 1);
        let once = found(&story, 3);
        let again = story[1 + index.index(story.len() - 1)].clone();
        story.push(again);
        let twice = found(&story, 3);
        prop_assert_eq!(signatures(&once), signatures(&twice));
        let finding = twice.iter().next().unwrap();
        prop_assert_eq!(finding.distinct + 1, finding.executions);
    }

    /// Two scopes' stories one after the other have the findings of both.
    #[test]
    fn added(one in (2..9_i64, 1..4_usize), other in (2..9_i64, 1..4_usize)) {
        let (one, other) = (a_loop(0, one.0, one.1), a_loop(1, other.0, other.1));
        let both = found(&[one.clone(), other.clone()].concat(), 3);
        let mut each = signatures(&found(&one, 3));
        each.extend(signatures(&found(&other, 3)));
        prop_assert_eq!(signatures(&both), each);
    }

    /// What has nothing to do with a loop changes nothing about it, wherever it stands.
    #[test]
    fn undisturbed(story in stories(), at in any::<prop::sample::Index>(), number in 10..13_usize) {
        let before = found(&story, 3);
        let mut disturbed = story;
        disturbed.insert(at.index(disturbed.len() + 1), once(number));
        prop_assert_eq!(signatures(&before), signatures(&found(&disturbed, 3)));
    }

    /// To take an execution away accuses no statement that was not accused.
    #[test]
    fn removed(story in stories(), at in any::<prop::sample::Index>()) {
        let before = accused(&found(&story, 3));
        let mut less = story;
        less.remove(at.index(less.len()));
        prop_assert!(accused(&found(&less, 3)).is_subset(&before));
    }

    /// No statement is accused of two things.
    #[test]
    fn exclusive(story in stories(), again in 0..6_usize) {
        let mut story = story;
        let last = story.last().cloned().unwrap();
        story.extend(std::iter::repeat_n(last, again));
        let findings = found(&story, 3);
        let all: Vec<_> = findings.iter().flat_map(|it| &it.statements).map(|it| &it.sql).collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    /// Without the answer that gives the values, there is no loop.
    #[test]
    fn unexplained(rows in 3..20_i64, children in 1..4_usize) {
        let story = a_loop(0, rows, children).split_off(1);
        prop_assert_eq!(found(&story, 3).len(), 0);
    }

    /// What comes before the answer does not follow from it.
    #[test]
    fn too_early(rows in 3..20_i64) {
        let mut story = a_loop(0, rows, 1);
        story.rotate_left(1);
        prop_assert_eq!(found(&story, 3).len(), 0);
    }

    /// What failed is not counted.
    #[test]
    fn failed(rows in 3..9_i64) {
        let mut story = a_loop(0, rows, 1);
        story.iter_mut().skip(1).for_each(|told| told.failed = true);
        prop_assert_eq!(found(&story, 3).len(), 0);
    }

    /// A threshold of time includes its value.
    #[test]
    fn inclusive(rows in 3..9_i64, nanos in 1..1_000_000_u64) {
        let mut story = a_loop(0, rows, 1);
        story.iter_mut().for_each(|told| told.nanos = nanos);
        let total = std::time::Duration::from_nanos(nanos * u64::try_from(rows).unwrap());
        let at = |time| detect(&record(&story), &thresholds(3).time(time)).len();
        prop_assert_eq!(at(total), 1);
        prop_assert_eq!(at(total + std::time::Duration::from_nanos(1)), 0);
    }

    /// A walk from row to row, over however many tables, is no loop.
    #[test]
    fn walked(length in 3..30_i64, tables in 1..4_i64) {
        let step = |at: i64| {
            let (table, next) = (at % tables, (at + 1) % tables);
            let sql = format!("SELECT node{next}_id FROM node{table} WHERE node{table}_id = $1");
            let column: &'static str = ["node0_id", "node1_id", "node2_id"][usize::try_from(next).unwrap()];
            Told { column, ..Told::new(sql, &[at], &[at + 1]) }
        };
        let story: Vec<Told> = (0..length).map(step).collect();
        prop_assert_eq!(found(&story, 3).len(), 0);
    }
}

#[test]
fn the_parent_and_its_column_are_named() {
    let findings = found(&a_loop(0, 5, 1), 3);
    let finding = findings.iter().next().unwrap();
    assert_eq!(finding.class, Class::NPlusOne);
    let parent = finding.parent.as_ref().unwrap();
    assert_eq!((parent.column.as_str(), parent.rows), ("id", 5));
    assert_eq!(parent.statement.tables, ["owner0s"]);
    assert_eq!(finding.key.as_deref(), Some("owner0_id"));
}

#[test]
fn signatures_do_not_depend_on_numbers() {
    let signature = |rows| found(&a_loop(0, rows, 1), 3).iter().next().unwrap().signature.clone();
    assert_eq!(signature(3), signature(50));
    // A change of this is a change for everybody's allow lists.
    assert_eq!(signature(3), "6feb5d1f3bcbed39");
}
