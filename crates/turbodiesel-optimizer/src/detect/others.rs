//! What is found without an explanation by an earlier answer.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    Thresholds,
    explain::Loop,
    groups::{Group, Groups, time},
    loops,
};
use crate::{
    Class, Finding, Statement, ValueHash,
    recording::Execution,
    report::{Draft, fix},
    statement::Kind,
};

/// Writes of one row each, again and again, where one statement could write all.
///
/// Their values may come from anywhere. But they must be executed in a loop: nothing else in between
/// than statements that are executed as often. The entries of an audit log, one for each of several
/// different steps, are not.
pub(super) fn write_loops(
    groups: &Groups<'_>,
    loops: &[Loop<'_>],
    thresholds: &Thresholds,
) -> Vec<Finding> {
    let least = thresholds.repeats;
    let writes = groups.iter().filter(|(_, group)| {
        group.statement().kind == Kind::Write && group.executions.len() >= least
    });
    writes
        .filter_map(|(index, group)| {
            let runs = runs(groups, index, least);
            let in_a_run = |run: &Vec<&Execution>| {
                run.iter().map(|it| it.binds).collect::<HashSet<_>>().len() >= least
            };
            let executions: Vec<&Execution> = runs.into_iter().filter(in_a_run).flatten().collect();
            if executions.is_empty() {
                return None;
            }
            let explained = loops.iter().find(|it| it.group == index);
            let key = explained.map(|it| group.statement().keys[it.key].to_string());
            let time = time(&executions);
            Some(Finding::new(Draft {
                fix: fix::written_at_once(group.statement()),
                parent: explained.map(|it| loops::parent(groups, it)),
                key,
                distinct: executions.iter().map(|it| it.binds).collect::<HashSet<_>>().len(),
                saving: time - longest(&executions),
                time,
                ..of(Class::WriteLoop, group, &executions)
            }))
        })
        .filter(|finding| finding.time >= thresholds.time)
        .collect()
}

/// The writes of at most one row each, in runs that nothing divides but statements executed once or
/// twice.
fn runs<'r>(groups: &Groups<'r>, index: usize, least: usize) -> Vec<Vec<&'r Execution>> {
    let mut runs = vec![Vec::new()];
    for (group, execution) in groups.all() {
        if *group == index {
            if !execution.flags.failed && execution.rows <= 1 {
                runs.last_mut().expect("there is one at least").push(*execution);
            }
        } else if groups.group(*group).executions.len() < least {
            runs.push(Vec::new());
        }
    }
    runs
}

/// The same question asked again, although nothing was written in between that could change the
/// answer, and nothing did.
pub(super) fn duplicates(
    groups: &Groups<'_>,
    loops: &[Loop<'_>],
    thresholds: &Thresholds,
) -> Vec<Finding> {
    let reads = groups.iter().filter(|(_, group)| {
        group.statement().kind.is_read()
            // What a cache answers again costs nothing worth a word.
            && group.executions.iter().filter(|it| !it.flags.hit).count() >= thresholds.repeats
            // `SELECT nextval(…)` and the like are not about what is stored.
            && group.statement().tables().next().is_some()
    });
    reads
        .filter(|(index, _)| !loops.iter().any(|it| it.group == *index))
        .filter_map(|(_, group)| {
            let repeated: Vec<&Execution> = repetitions(groups, group)
                .into_iter()
                .filter(|same| {
                    let asked = same.iter().filter(|it| !it.flags.hit).count();
                    asked >= thresholds.repeats
                })
                .flatten()
                .collect();
            if repeated.is_empty() {
                return None;
            }
            let distinct = repeated.iter().map(|it| it.binds).collect::<HashSet<_>>().len();
            let time = time(&repeated);
            Some(Finding::new(Draft {
                fix: fix::once(group.statement()),
                distinct,
                saving: time.saturating_sub(longest(&repeated)),
                time,
                ..of(Class::Duplicate, group, &repeated)
            }))
        })
        .filter(|finding| finding.time >= thresholds.time)
        .collect()
}

/// Executions with the same values and the same answer, between two writes to one of the tables.
fn repetitions<'r>(groups: &Groups<'r>, group: &Group<'r>) -> Vec<Vec<&'r Execution>> {
    let statement = group.statement();
    let changes: Vec<u32> = groups
        .all()
        .iter()
        .filter(|(other, _)| may_change(groups.group(*other).statement(), statement))
        .map(|(_, execution)| execution.start)
        .collect();
    // How many changes came before tells the time between two of them.
    let period = |execution: &Execution| changes.partition_point(|&at| at < execution.start);
    let mut same: Vec<Vec<&Execution>> = Vec::new();
    let mut latest: HashMap<u64, usize> = HashMap::new();
    for execution in &group.executions {
        let known = latest.get(&execution.binds).copied().filter(|&index| {
            let last = same[index].last().expect("none is empty");
            period(last) == period(execution)
                && last.rows == execution.rows
                && groups.rows(last).eq(groups.rows(execution))
        });
        match known {
            Some(index) => same[index].push(execution),
            None => {
                latest.insert(execution.binds, same.len());
                same.push(vec![execution]);
            }
        }
    }
    same
}

fn may_change(other: &Statement, statement: &Statement) -> bool {
    match other.kind {
        Kind::Read | Kind::Aggregate => false,
        Kind::Write => other.shares_a_table(statement) || other.tables().next().is_none(),
        Kind::Other => true,
    }
}

/// Queries without a limit that returned very many rows, or more than the application looked at.
pub(super) fn over_fetches(groups: &Groups<'_>, thresholds: &Thresholds) -> Vec<Finding> {
    groups
        .iter()
        .filter(|(_, group)| group.statement().kind == Kind::Read && !group.statement().is_limited)
        .filter_map(|(_, group)| {
            let is_too_much = |it: &&&Execution| it.flags.unread || it.rows >= thresholds.rows;
            let executions: Vec<&Execution> =
                group.executions.iter().filter(is_too_much).copied().collect();
            if executions.is_empty() {
                return None;
            }
            let is_unread = executions.iter().any(|it| it.flags.unread);
            Some(Finding::new(Draft {
                fix: fix::limited(group.statement(), is_unread),
                distinct: executions.iter().map(|it| it.binds).collect::<HashSet<_>>().len(),
                time: time(&executions),
                ..of(Class::OverFetch, group, &executions)
            }))
        })
        .collect()
}

/// Queries one after the other that have nothing to do with each other: no table and no value of an
/// answer in common, no transaction around them, nothing else in between.
pub(super) fn serialised(groups: &Groups<'_>, thresholds: &Thresholds) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut run: Vec<(usize, &Execution)> = Vec::new();
    let mut close = |run: &mut Vec<(usize, &Execution)>| {
        findings.extend(serialised_finding(groups, run, thresholds));
        run.clear();
    };
    for (index, execution) in groups.all() {
        // What a cache has answered was not waited for.
        if execution.flags.hit {
            continue;
        }
        let group = groups.group(*index);
        let is_single = group.executions.len() == 1
            && group.statement().kind.is_read()
            && group.statement().tables().next().is_some()
            && !execution.flags.in_transaction;
        if !is_single {
            close(&mut run);
            continue;
        }
        let follows = |(other, before): &(usize, &Execution)| {
            before.end < execution.start
                && !groups.group(*other).statement().shares_a_table(group.statement())
                && !is_bound_to(groups, execution, before)
        };
        if !run.iter().all(follows) {
            close(&mut run);
        }
        run.push((*index, execution));
    }
    close(&mut run);
    findings
}

/// Whether a key's value is one of an earlier answer's.
fn is_bound_to(groups: &Groups<'_>, execution: &Execution, before: &Execution) -> bool {
    let values: Vec<ValueHash> =
        groups.key_values(execution).iter().filter(|it| it.is_telling()).copied().collect();
    !values.is_empty() && groups.rows(before).flatten().any(|cell| values.contains(cell))
}

fn serialised_finding(
    groups: &Groups<'_>,
    run: &[(usize, &Execution)],
    thresholds: &Thresholds,
) -> Option<Finding> {
    let executions: Vec<&Execution> = run.iter().map(|(_, execution)| *execution).collect();
    let time = time(&executions);
    let saving = time - longest(&executions);
    if run.len() < thresholds.serialised || saving < thresholds.saving {
        return None;
    }
    let statements: Vec<_> = run.iter().map(|(index, _)| groups.group(*index)).collect();
    Some(Finding::new(Draft {
        statements: statements.iter().map(|group| group.shown()).collect(),
        fix: fix::at_the_same_time(statements.iter().map(|group| group.statement())),
        distinct: run.len(),
        time,
        saving,
        ..of(Class::SerialisedIndependent, statements[0], &executions)
    }))
}

fn longest(executions: &[&Execution]) -> Duration {
    Duration::from_nanos(executions.iter().map(|it| it.nanos).max().unwrap_or(0))
}

/// What all findings tell.
fn of(class: Class, group: &Group<'_>, executions: &[&Execution]) -> Draft {
    Draft {
        class,
        statements: vec![group.shown()],
        fix: String::new(),
        parent: None,
        key: None,
        executions: executions.len(),
        distinct: 0,
        hits: executions.iter().filter(|it| it.flags.hit).count(),
        rows: executions.iter().map(|it| u64::from(it.rows)).sum(),
        time: Duration::ZERO,
        saving: Duration::ZERO,
    }
}
