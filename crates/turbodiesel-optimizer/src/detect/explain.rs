//! Which answer's rows the binds of a statement came from.
//!
//! A loop is *grounded* where one answer explains it: it had several rows, and later executions are
//! bound to values of one of its columns. What is explained only by many answers of one row each is a
//! walk, from one node to the next, and cannot be batched; unless those answers are themselves those of
//! a loop.

use std::collections::{HashMap, HashSet};

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
struct Place {
    parent: usize,
    column: usize,
    /// The answer's index among the parent's.
    answer: usize,
    first_row: u32,
}

/// How many answers are remembered as the source of one value. One that is returned more often
/// identifies nothing.
const MOST_PLACES: usize = 64;

pub(super) fn loops<'r>(groups: &Groups<'r>, thresholds: &Thresholds) -> Vec<Loop<'r>> {
    let least = thresholds.repeats;
    let candidates: Vec<usize> = groups
        .iter()
        .filter(|(_, group)| group.executions.len() >= least && !group.statement().keys.is_empty())
        .map(|(index, _)| index)
        .collect();
    // The usual scope has no statement that is executed several times, and ends here.
    if candidates.is_empty() {
        return Vec::new();
    }
    let places = places(groups);
    let mut loops: Vec<Loop<'r>> = Vec::new();
    let mut open: Vec<(usize, Explained)> =
        candidates.into_iter().map(|index| (index, explain(groups, &places, index))).collect();
    // What is explained by one answer first, then what is explained by the answers of loops.
    loop {
        let before = loops.len();
        let grounded: HashSet<usize> = loops.iter().map(|it| it.group).collect();
        open.retain(|(index, explained)| {
            match explained.best(groups, *index, &grounded, least) {
                Some(best) => loops.push(explained.to_loop(groups, *index, best)),
                None => return true,
            }
            false
        });
        if loops.len() == before {
            loops.sort_by_key(|it| it.group);
            return loops;
        }
    }
}

/// Where each value that tells something was returned.
fn places(groups: &Groups<'_>) -> HashMap<ValueHash, Vec<Place>> {
    let mut places: HashMap<ValueHash, Vec<Place>> = HashMap::new();
    for (parent, group) in groups.iter() {
        for (answer, execution) in group.executions.iter().enumerate() {
            for row in groups.rows(execution) {
                for (column, value) in row.iter().enumerate().filter(|(_, it)| it.is_telling()) {
                    let places = places.entry(*value).or_default();
                    let is_known = |it: &Place| (it.parent, it.column, it.answer) == (parent, column, answer);
                    if places.len() < MOST_PLACES && !places.iter().any(is_known) {
                        let first_row = execution.first_row;
                        places.push(Place { parent, column, answer, first_row });
                    }
                }
            }
        }
    }
    places
}

/// What explains the values of a statement's keys.
#[derive(Default)]
struct Explained {
    /// By one answer: its rows' values that were bound later.
    by_one: HashMap<(Explanation, usize), HashSet<ValueHash>>,
    /// By all answers of a statement.
    by_all: HashMap<Explanation, HashSet<ValueHash>>,
}

fn explain(
    groups: &Groups<'_>,
    places: &HashMap<ValueHash, Vec<Place>>,
    index: usize,
) -> Explained {
    let group = groups.group(index);
    let mut explained = Explained::default();
    let mut affinities = HashMap::new();
    for execution in &group.executions {
        for (key, value) in groups.key_values(execution).iter().enumerate() {
            for place in places.get(value).into_iter().flatten() {
                let Place { parent, column, answer, first_row } = *place;
                if first_row >= execution.start {
                    continue;
                }
                let explanation = Explanation { key, parent, column };
                let affinity = affinities
                    .entry(explanation)
                    .or_insert_with(|| affinity(groups, index, explanation));
                if value.is_integer() && *affinity == 0 {
                    continue;
                }
                explained.by_one.entry((explanation, answer)).or_default().insert(*value);
                if parent != index {
                    explained.by_all.entry(explanation).or_default().insert(*value);
                }
            }
        }
    }
    explained
}

impl Explained {
    /// The best explanation, if one answer or the answers of a loop suffice.
    fn best(
        &self,
        groups: &Groups<'_>,
        index: usize,
        grounded: &HashSet<usize>,
        least: usize,
    ) -> Option<Explanation> {
        let by_one = self.by_one.iter().map(|((explanation, _), values)| (*explanation, values));
        let by_loop = self.by_all.iter().filter(|(explanation, _)| grounded.contains(&explanation.parent));
        let by_loop = by_loop.map(|(explanation, values)| (*explanation, values));
        by_one
            .chain(by_loop)
            .filter(|(_, values)| values.len() >= least)
            .max_by_key(|(explanation, values)| {
                let affinity = affinity(groups, index, *explanation);
                // Ties go to the first, so that the same recording always gives the same findings.
                (affinity, values.len(), std::cmp::Reverse(*explanation))
            })
            .map(|(explanation, _)| explanation)
    }

    fn to_loop<'r>(
        &self,
        groups: &Groups<'r>,
        index: usize,
        explanation: Explanation,
    ) -> Loop<'r> {
        let Explanation { key, parent, column } = explanation;
        let mut values: HashSet<ValueHash> =
            self.by_all.get(&explanation).into_iter().flatten().copied().collect();
        let answers = self.by_one.iter().filter(|((it, _), _)| *it == explanation);
        values.extend(answers.flat_map(|(_, values)| values));
        let first_row = groups.group(parent).executions.iter().map(|it| it.first_row).min();
        let is_explained = |execution: &&&Execution| {
            Some(execution.start) > first_row
                && groups.key_values(execution).get(key).is_some_and(|it| values.contains(it))
        };
        let executions: Vec<_> =
            groups.group(index).executions.iter().filter(is_explained).copied().collect();
        let distinct = executions.iter().map(|it| it.binds).collect::<HashSet<_>>().len();
        let rows = groups.group(parent).executions.iter().map(|it| it.rows);
        let parent_rows = rows.max().unwrap_or(0);
        Loop { group: index, key, parent, column, parent_rows, executions, distinct }
    }
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
        return if parent.tables().any(|table| table.to_ascii_lowercase().starts_with(stem)) { 4 } else { 2 };
    }
    if let Some(stem) = self::stem(&column, &key) {
        return if child.tables().any(|table| table.to_ascii_lowercase().starts_with(stem)) { 4 } else { 2 };
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
