//! Which rows lie beyond a place in an order, as conditions that an index can answer.
//!
//! The plain condition, `a > x OR (a = x AND b > y)`, is right, but PostgreSQL filters every row before
//! the place by it. So there are two other forms:
//!
//! - `(a, b) > (x, y)` where all keys run in one direction and none can be NULL;
//! - else one *branch* for each length of the prefix that is equal: first `a = x AND b > y`, then
//!   `a > x`. No row is in two branches, and all rows of a branch come before those of the next.
//!
//! Where NULLs come behind the values, what is beyond a value is in two branches: the greater values,
//! and the NULLs.

use std::ops::Range;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) descending: bool,
    pub(crate) nullable: bool,
    pub(crate) nulls: Option<Nulls>,
}

/// Where NULLs stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// Before the values.
    First,
    /// Behind the values.
    Last,
}

/// In which direction an order is walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    Forward,
    Backward,
}

impl Walk {
    pub(crate) fn reversed(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }
}

impl Rule {
    /// The rule when walked through in a direction.
    pub(crate) fn walked(self, walk: Walk) -> Self {
        match walk {
            Walk::Forward => self,
            Walk::Backward => Self {
                descending: !self.descending,
                nullable: self.nullable,
                nulls: self.nulls.map(|nulls| match nulls {
                    Nulls::First => Nulls::Last,
                    Nulls::Last => Nulls::First,
                }),
            },
        }
    }
}

/// A part of a condition; keys are meant by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// The key has the place's value.
    Equal(usize),
    IsNull(usize),
    IsNotNull(usize),
    /// The keys, compared as a row, have values beyond the place's.
    Beyond {
        keys: Range<usize>,
        comparison: &'static str,
    },
}

/// Conditions that must all hold.
pub(crate) type Branch = Vec<Term>;

/// The branches of the rows beyond a place, in their order. `nulls` says which of its values are NULL.
pub(crate) fn beyond(rules: &[Rule], nulls: &[bool], walk: Walk) -> Vec<Branch> {
    let rules: Vec<Rule> = rules.iter().map(|rule| rule.walked(walk)).collect();
    let mut branches = Vec::new();
    for run in runs(&rules).into_iter().rev() {
        let prefix: Branch = (0..run.start).map(|key| same(key, nulls)).collect();
        let rule = rules[run.start];
        let with = |term| prefix.iter().cloned().chain([term]).collect();
        // OK because a run of several keys has none that is nullable.
        let key = run.start;
        if nulls[key] {
            if rule.nulls == Some(Nulls::First) {
                branches.push(with(Term::IsNotNull(key)));
            }
            continue;
        }
        let comparison = if rule.descending { "<" } else { ">" };
        branches.push(with(Term::Beyond { keys: run, comparison }));
        if rule.nullable && rule.nulls == Some(Nulls::Last) {
            branches.push(with(Term::IsNull(key)));
        }
    }
    branches
}

/// The branches of the rows at a place or beyond it.
pub(crate) fn at_or_beyond(rules: &[Rule], nulls: &[bool], walk: Walk) -> Vec<Branch> {
    let mut branches = beyond(rules, nulls, walk);
    if let [branch] = branches.as_mut_slice()
        && let [Term::Beyond { keys, comparison }] = branch.as_mut_slice()
        && keys.len() == rules.len()
    {
        *comparison = if *comparison == "<" { "<=" } else { ">=" };
        return branches;
    }
    let at = (0..rules.len()).map(|key| same(key, nulls)).collect();
    branches.insert(0, at);
    branches
}

fn same(key: usize, nulls: &[bool]) -> Term {
    if nulls[key] { Term::IsNull(key) } else { Term::Equal(key) }
}

/// The longest stretches of keys that can be compared as one row.
fn runs(rules: &[Rule]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (key, rule) in rules.iter().enumerate() {
        let joins = key.checked_sub(1).is_some_and(|before| {
            let before = rules[before];
            !rule.nullable && !before.nullable && rule.descending == before.descending
        });
        match runs.last_mut() {
            Some(run) if joins => run.end = key + 1,
            _ => runs.push(key..key + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::{cmp::Ordering, iter};

    use super::*;

    const ASC: Rule = Rule { descending: false, nullable: false, nulls: None };
    const DESC: Rule = Rule { descending: true, ..ASC };

    fn nullable(rule: Rule, nulls: Nulls) -> Rule {
        Rule { nullable: true, nulls: Some(nulls), ..rule }
    }

    #[test]
    fn one_direction_is_one_comparison() {
        for (rules, comparison) in [([ASC, ASC, ASC], ">"), ([DESC, DESC, DESC], "<")] {
            let branches = beyond(&rules, &[false; 3], Walk::Forward);
            assert_eq!(branches, [[Term::Beyond { keys: 0..3, comparison }]]);
        }
    }

    #[test]
    fn mixed_directions_are_branches_of_runs() {
        let branches = beyond(&[DESC, ASC, ASC], &[false; 3], Walk::Forward);
        let greater = Term::Beyond { keys: 1..3, comparison: ">" };
        let less = Term::Beyond { keys: 0..1, comparison: "<" };
        assert_eq!(branches, [vec![Term::Equal(0), greater], vec![less]]);
    }

    /// All orders of three keys over the values NULL, 0 and 1: the branches hold exactly the rows that
    /// come after the place, each in one branch, and in the order of the branches.
    #[test]
    fn branches_are_what_comes_after() {
        let values = [None, Some(0), Some(1)];
        let all_rules: Vec<Rule> = [ASC, DESC]
            .into_iter()
            .flat_map(|rule| [rule, nullable(rule, Nulls::First), nullable(rule, Nulls::Last)])
            .collect();
        let mut compared = 0;
        for rules in triples(&all_rules) {
            let rows: Vec<[Option<i32>; 3]> = triples(&values)
                .filter(|row| iter::zip(row, &rules).all(|(v, rule)| v.is_some() || rule.nullable))
                .collect();
            for (walk, place) in [Walk::Forward, Walk::Backward]
                .into_iter()
                .flat_map(|walk| rows.iter().map(move |place| (walk, place)))
            {
                let nulls = place.map(|value| value.is_none());
                let after = beyond(&rules, &nulls, walk);
                let from = at_or_beyond(&rules, &nulls, walk);
                let mut last = None;
                let mut sorted = rows.clone();
                sorted.sort_by(|a, b| compare(a, b, &rules, walk));
                for row in &sorted {
                    let branch = branch_of(row, place, &after);
                    let order = compare(row, place, &rules, walk);
                    assert_eq!(branch.is_some(), order.is_gt(), "{rules:?} {place:?} {row:?}");
                    assert_eq!(branch_of(row, place, &from).is_some(), order.is_ge());
                    assert!(branch >= last, "{rules:?} {place:?} {row:?}");
                    last = branch;
                    compared += 1;
                }
            }
        }
        assert!(compared > 50_000, "{compared}");
    }

    fn triples<T: Copy>(values: &[T]) -> impl Iterator<Item = [T; 3]> {
        values.iter().flat_map(move |&a| {
            values.iter().flat_map(move |&b| values.iter().map(move |&c| [a, b, c]))
        })
    }

    /// The order as SQL defines it, written down in another way.
    fn compare(
        a: &[Option<i32>; 3],
        b: &[Option<i32>; 3],
        rules: &[Rule; 3],
        walk: Walk,
    ) -> Ordering {
        let mut order = Ordering::Equal;
        for key in 0..3 {
            let rule = rules[key];
            let nulls_last = rule.nulls != Some(Nulls::First);
            order = order.then(match (a[key], b[key]) {
                (Some(a), Some(b)) if rule.descending => b.cmp(&a),
                (Some(a), Some(b)) => a.cmp(&b),
                (a, b) if nulls_last => a.is_none().cmp(&b.is_none()),
                (a, b) => b.is_none().cmp(&a.is_none()),
            });
        }
        if walk == Walk::Backward { order.reverse() } else { order }
    }

    fn branch_of(
        row: &[Option<i32>; 3],
        place: &[Option<i32>; 3],
        branches: &[Branch],
    ) -> Option<usize> {
        let holds = |term: &Term| match term {
            Term::Equal(key) => row[*key].is_some() && row[*key] == place[*key],
            Term::IsNull(key) => row[*key].is_none(),
            Term::IsNotNull(key) => row[*key].is_some(),
            Term::Beyond { keys, comparison } => {
                let (row, place) = (&row[keys.clone()], &place[keys.clone()]);
                // As in SQL, nothing compares with NULL; rows of several keys have none.
                row[0].is_some()
                    && place[0].is_some()
                    && match *comparison {
                        "<" => row < place,
                        "<=" => row <= place,
                        ">" => row > place,
                        _ => row >= place,
                    }
            }
        };
        let mut of = branches.iter().enumerate().filter(|(_, terms)| terms.iter().all(holds));
        let first = of.next().map(|(index, _)| index);
        assert!(of.next().is_none(), "{row:?} is in two branches of {place:?}");
        first
    }
}
