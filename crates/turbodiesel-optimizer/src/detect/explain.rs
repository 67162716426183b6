//! Which answer's rows the binds of a statement came from.
//!
//! A loop is *grounded* where one answer explains it: it had several rows, and later executions are
//! bound to values of one of its columns. What is explained only by many answers of one row each is a
//! walk, from one node to the next, and cannot be batched; unless those answers are themselves those of
//! a loop.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::{
    Thresholds,
    groups::{Group, Groups},
};
use crate::{Statement, ValueHash, recording::Execution};

/// Executions that follow the rows of an answer.
pub(super) struct Loop<'r> {
    pub(super) group: usize,
    /// Which of the statement's keys takes the values, by its index.
    pub(super) key: usize,
    pub(super) parent: usize,
    /// The parent's column that gives them, by its index.
    pub(super) column: usize,
    /// The rows of the parent's largest answer.
    pub(super) parent_rows: u32,
    /// The executions that are explained, in the order in which they began.
    pub(super) executions: Vec<&'r Execution>,
    pub(super) distinct: usize,
}

/// Values in a column of one statement's answers, as explanation of the values of another's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Explanation {
    key: usize,
    parent: usize,
    column: usize,
}

/// Where a value was returned.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    parent: usize,
    column: usize,
    /// The answer's index among the parent's.
    answer: usize,
    first_row: u32,
}

type Values = HashSet<ValueHash, FixedState>;
type Places = HashMap<ValueHash, SmallVec<[Place; 1]>, FixedState>;

/// How many answers are remembered as the source of one value. One that is returned more often
/// identifies nothing.
const MOST_PLACES: usize = 64;

pub(super) fn loops<'r>(groups: &Groups<'r>, thresholds: &Thresholds) -> Vec<Loop<'r>> {
    let least = thresholds.repeats;
    let mut open: Vec<usize> = groups
        .iter()
        .filter(|(_, group)| group.executions.len() >= least && !group.statement().keys.is_empty())
        .map(|(index, _)| index)
        .collect();
    // The usual scope has no statement that is executed several times, or no answer to follow, and
    // ends here.
    let has_rows = |(_, execution): &(usize, &Execution)| execution.rows as usize >= least;
    if open.is_empty() || !groups.all().iter().any(has_rows) {
        return Vec::new();
    }
    let bound = bound(groups, &open);
    let mut loops: Vec<Loop<'r>> = Vec::new();
    // What one answer of several rows explains first, then what the answers of loops explain.
    let mut places = places(groups, &bound, |_, execution| execution.rows as usize >= least);
    let mut by_one_answer = true;
    while !places.is_empty() {
        let known = loops.len();
        open.retain(|&index| {
            let best = best(groups, &places, index, least, by_one_answer);
            loops.extend(best.map(|best| explained(groups, index, best)));
            best.is_none()
        });
        let grounded: Vec<usize> = loops[known..].iter().map(|it| it.group).collect();
        places = self::places(groups, &bound, |parent, _| grounded.contains(&parent));
        by_one_answer = false;
    }
    loops.sort_by_key(|it| it.group);
    loops
}

/// The values that some keys are bound to, of all whose equality tells something.
fn bound(groups: &Groups<'_>, candidates: &[usize]) -> Values {
    let executions = candidates.iter().flat_map(|&index| &groups.group(index).executions);
    let values = executions.flat_map(|execution| groups.key_values(execution)).copied();
    values.filter(|value| value.is_telling()).collect()
}

/// Where these values were returned, by some of the answers.
fn places(
    groups: &Groups<'_>,
    values: &Values,
    is_wanted: impl Fn(usize, &Execution) -> bool,
) -> Places {
    let mut places = Places::default();
    for (parent, group) in groups.iter() {
        let answers = group.executions.iter().enumerate();
        for (answer, execution) in answers.filter(|(_, it)| is_wanted(parent, it)) {
            let cells = groups.rows(execution).flat_map(|row| row.iter().enumerate());
            for (column, value) in cells.filter(|(_, value)| values.contains(value)) {
                let place = Place { parent, column, answer, first_row: execution.first_row };
                let places = places.entry(*value).or_default();
                if places.len() < MOST_PLACES && !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    places
}

/// The best explanation of a statement's loop: the values of a column, enough of which were bound later.
/// They may have to be those of one answer.
fn best(
    groups: &Groups<'_>,
    places: &Places,
    index: usize,
    least: usize,
    by_one_answer: bool,
) -> Option<Explanation> {
    let mut affinities: HashMap<Explanation, u8> = HashMap::new();
    let mut values: HashMap<(Explanation, Option<usize>), Values> = HashMap::new();
    for execution in &groups.group(index).executions {
        for (key, value) in groups.key_values(execution).iter().enumerate() {
            for place in places.get(value).into_iter().flatten() {
                let Place { parent, column, answer, first_row } = *place;
                // By its own answers one by one, a statement walks.
                if first_row >= execution.start || (parent == index && !by_one_answer) {
                    continue;
                }
                let explanation = Explanation { key, parent, column };
                let affinity = affinities
                    .entry(explanation)
                    .or_insert_with(|| affinity(groups, index, explanation));
                if *affinity > 0 || !value.is_integer() {
                    let answer = by_one_answer.then_some(answer);
                    values.entry((explanation, answer)).or_default().insert(*value);
                }
            }
        }
    }
    let explanations = values.iter().filter(|(_, values)| values.len() >= least);
    explanations
        .max_by_key(|((explanation, answer), values)| {
            // Ties go to the first, so that the same recording always gives the same findings.
            (affinities[explanation], values.len(), Reverse((*explanation, *answer)))
        })
        .map(|((explanation, _), _)| *explanation)
}

/// The executions that a column's values explain, whichever answer they came from.
fn explained<'r>(groups: &Groups<'r>, index: usize, explanation: Explanation) -> Loop<'r> {
    let Explanation { key, parent, column } = explanation;
    let answers = &groups.group(parent).executions;
    let mut known: HashMap<ValueHash, u32, FixedState> = HashMap::default();
    for answer in answers {
        for value in groups.rows(answer).filter_map(|row| row.get(column)) {
            let first_row = known.entry(*value).or_insert(answer.first_row);
            *first_row = answer.first_row.min(*first_row);
        }
    }
    let is_explained = |execution: &&&Execution| {
        let value = groups.key_values(execution).get(key).filter(|value| value.is_telling());
        value.and_then(|value| known.get(value)).is_some_and(|&row| row < execution.start)
    };
    let executions: Vec<_> =
        groups.group(index).executions.iter().filter(is_explained).copied().collect();
    let distinct = executions.iter().map(|it| it.binds).collect::<HashSet<_>>().len();
    let parent_rows = answers.iter().map(|it| it.rows).max().unwrap_or(0);
    Loop { group: index, key, parent, column, parent_rows, executions, distinct }
}

/// How well the names of a returned column and of a key go together; zero if equal integers in them
/// are equal by chance, as the quantities 1, 2 and 3 are to the first keys of every table.
fn affinity(groups: &Groups<'_>, index: usize, explanation: Explanation) -> u8 {
    let Explanation { key, parent, column } = explanation;
    let (parent, child): (&Group<'_>, &Group<'_>) = (groups.group(parent), groups.group(index));
    match (parent.key.columns.get(column), child.statement().keys.get(key)) {
        (Some(column), Some(key)) => {
            name_affinity((column, parent.statement()), (key, child.statement()))
        }
        _ => 0,
    }
}

fn name_affinity((column, parent): (&str, &Statement), (key, child): (&str, &Statement)) -> u8 {
    let (column, key) = (column.to_ascii_lowercase(), key.to_ascii_lowercase());
    if column == key {
        // Every table has an `id`, and they have nothing to do with each other.
        return if column == "id" && !parent.shares_a_table(child) { 0 } else { 4 };
    }
    if let Some(stem) = stem(&key, &column) {
        // `user_id` is given by the `id` of `users` rather than by that of `orders`.
        return if parent.tables().any(|table| table.to_ascii_lowercase().starts_with(stem)) {
            4
        } else {
            2
        };
    }
    if let Some(stem) = self::stem(&column, &key) {
        return if child.tables().any(|table| table.to_ascii_lowercase().starts_with(stem)) {
            4
        } else {
            2
        };
    }
    u8::from(column.ends_with("id") && key.ends_with("id"))
}

/// What a longer name has before a shorter one: `user` in `user_id`, for `id`.
fn stem<'n>(longer: &'n str, shorter: &str) -> Option<&'n str> {
    let stem = longer.strip_suffix(shorter)?;
    let stem = stem.strip_suffix('_').unwrap_or(stem);
    (!stem.is_empty()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_keys_from_numbers() {
        let statement = |table: &str| Statement::of(&format!("SELECT 1 FROM {table}"));
        for (parent, column, child, key, expected) in [
            ("users", "id", "posts", "user_id", 4),
            ("posts", "user_id", "users", "id", 4),
            ("posts", "user_id", "profiles", "user_id", 4),
            ("users", "id", "users", "id", 4),
            ("users", "id", "orders", "id", 0),
            ("users", "id", "posts", "author_id", 2),
            ("posts", "author_id", "profiles", "user_id", 1),
            ("orders", "quantity", "posts", "user_id", 0),
            ("orders", "total", "months", "number", 0),
            ("orders", "customer_no", "customers", "no", 4),
        ] {
            let (parent, child) = (statement(parent), statement(child));
            assert_eq!(
                name_affinity((column, &parent), (key, &child)),
                expected,
                "{parent:?} {column} -> {child:?} {key}"
            );
        }
    }
}
