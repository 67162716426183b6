//! What loops over the rows of an answer are called: N+1, interleaved, concurrent, counting.

use super::{
    Thresholds,
    explain::Loop,
    groups::{Groups, time},
};
use crate::{
    Class, Finding,
    recording::Execution,
    report::{Draft, Parent, fix},
    statement::Kind,
};

/// The findings of all loops that read.
pub(super) fn findings(
    groups: &Groups<'_>,
    loops: &[Loop<'_>],
    thresholds: &Thresholds,
) -> Vec<Finding> {
    let reads: Vec<&Loop<'_>> =
        loops.iter().filter(|it| groups.group(it.group).statement().kind.is_read()).collect();
    let (concurrent, sequential): (Vec<_>, Vec<_>) =
        reads.into_iter().partition(|it| is_concurrent(&it.executions));
    let mut findings: Vec<Finding> =
        concurrent.iter().map(|it| finding(groups, &[it], Class::Concurrent)).collect();
    for together in interleaved(groups, sequential, thresholds) {
        let class = match together.as_slice() {
            [one] => match groups.group(one.group).statement().kind {
                Kind::Aggregate => Class::CountLoop,
                _ => Class::NPlusOne,
            },
            _ => Class::Interleaved,
        };
        findings.push(finding(groups, &together, class));
    }
    findings.retain(|finding| finding.time >= thresholds.time);
    findings
}

/// Whether at least half of the executions ran beside another.
fn is_concurrent(executions: &[&Execution]) -> bool {
    let mut beside = 0;
    let mut end = None;
    for (index, execution) in executions.iter().enumerate() {
        let next = executions.get(index + 1);
        let overlaps_next = next.is_some_and(|next| next.start < execution.end);
        beside += usize::from(overlaps_next || end.is_some_and(|end| execution.start < end));
        end = end.max(Some(execution.end));
    }
    2 * beside >= executions.len()
}

/// Puts loops together that are one in the source: those whose executions take turns.
fn interleaved<'l, 'r>(
    groups: &Groups<'_>,
    loops: Vec<&'l Loop<'r>>,
    thresholds: &Thresholds,
) -> Vec<Vec<&'l Loop<'r>>> {
    let mut together: Vec<Vec<&Loop<'_>>> = Vec::new();
    for one in loops {
        // A loop may close the gap between others, which are then all the same.
        let (with, without): (Vec<_>, Vec<_>) = together.into_iter().partition(|others| {
            others.iter().any(|other| {
                is_related(one, other)
                    && take_turns(&one.executions, &other.executions, thresholds.repeats)
            })
        });
        let mut merged = vec![one];
        merged.extend(with.into_iter().flatten());
        // The loop that is entered first tells the parent.
        merged.sort_by_key(|it| it.executions.first().map(|first| first.start));
        together = without;
        together.push(merged);
    }
    together.sort_by_key(|it| groups.group(it[0].group).executions[0].start);
    together
}

/// Whether two loops follow the same answer, or one the answers of the other.
fn is_related(one: &Loop<'_>, other: &Loop<'_>) -> bool {
    one.parent == other.parent || one.parent == other.group || other.parent == one.group
}

/// Whether one runs between most executions of the other.
fn take_turns(one: &[&Execution], other: &[&Execution], repeats: usize) -> bool {
    let alternates = |outer: &[&Execution], inner: &[&Execution]| {
        let is_filled = |gap: &&[&Execution]| {
            inner.iter().any(|it| gap[0].start < it.start && it.start < gap[1].start)
        };
        let filled = outer.windows(2).filter(is_filled).count();
        filled + 1 >= repeats && 2 * filled + 1 >= outer.len()
    };
    alternates(one, other) || alternates(other, one)
}

fn finding(groups: &Groups<'_>, together: &[&Loop<'_>], class: Class) -> Finding {
    let first = together[0];
    let executions: Vec<&Execution> =
        together.iter().flat_map(|it| it.executions.iter().copied()).collect();
    let parent = parent(groups, first);
    let fixes = together.iter().map(|it| {
        let statement = groups.group(it.group).statement();
        let key = &statement.keys[it.key];
        fix::batched(statement, key, &self::parent(groups, it).column)
    });
    Finding::new(Draft {
        class,
        statements: together.iter().map(|it| groups.group(it.group).shown()).collect(),
        fix: fixes.collect::<Vec<_>>().join("\n\n"),
        parent: Some(parent),
        key: Some(groups.group(first.group).statement().keys[first.key].to_string()),
        executions: executions.len(),
        distinct: together.iter().map(|it| it.distinct).sum(),
        hits: executions.iter().filter(|it| it.flags.hit).count(),
        rows: executions.iter().map(|it| u64::from(it.rows)).sum(),
        time: time(&executions),
        saving: time(&executions) - slowest(together),
    })
}

/// What is left if each statement is executed once.
fn slowest(together: &[&Loop<'_>]) -> std::time::Duration {
    let slowest = |it: &&Loop<'_>| it.executions.iter().map(|execution| execution.nanos).max();
    std::time::Duration::from_nanos(together.iter().filter_map(slowest).sum())
}

/// The query whose rows a loop follows.
pub(super) fn parent(groups: &Groups<'_>, it: &Loop<'_>) -> Parent {
    let parent = groups.group(it.parent);
    let column = parent.key.columns.get(it.column).map(ToString::to_string);
    Parent {
        statement: parent.shown(),
        column: column.unwrap_or_default(),
        rows: u64::from(it.parent_rows),
    }
}
