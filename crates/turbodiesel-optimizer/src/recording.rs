//! What a scope remembers of its statements, in bounded memory.

use std::{collections::HashMap, panic::Location, sync::Arc};

use foldhash::fast::FixedState;

use crate::{Statement, ValueHash, site::Stack};

/// How many statements of a scope are remembered one by one. Later ones are only counted.
const MOST_EXECUTIONS: usize = 8_192;

/// How many different statements of a scope are told apart.
const MOST_KEYS: usize = 1_024;

/// How many hashes of binds and cells a scope keeps: half a mebibyte.
const MOST_VALUES: usize = 65_536;

/// How many rows of an answer are looked at. Whoever goes through an answer mostly begins at its
/// beginning.
pub(crate) const SAMPLED_ROWS: usize = 128;

/// How many columns of a row are looked at.
pub(crate) const SAMPLED_COLUMNS: usize = 16;

// What `QueryScope` promises.
const _: () = {
    let executions = MOST_EXECUTIONS * size_of::<Execution>();
    assert!(executions + MOST_VALUES * size_of::<ValueHash>() <= 1 << 20);
};

/// Of how many answers of a cache to one statement a single row is looked at. They are looked at for
/// chains of lookups within a loop, and more of them tell nothing new.
const MOST_SINGLE_ROWS: u32 = 64;

/// The statements of a scope.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    keys: Vec<Key>,
    index: HashMap<(u64, usize), u32, FixedState>,
    executions: Vec<Execution>,
    /// Of each execution the values of its keys, and then the cells of its first rows.
    values: Vec<ValueHash>,
    counts: Counts,
    /// The key of the latest execution, which is often that of the next.
    latest: usize,
}

/// How many statements a scope has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Those that went to the database, failed ones included.
    pub statements: u64,
    /// Those that were answered by a cache instead.
    pub hits: u64,
    /// Those, among both, that were too many to be remembered one by one, or whose futures were made
    /// outside of the scope. They are in no finding.
    pub unremembered: u64,
}

/// A statement at a call site.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) statement: Arc<Statement>,
    pub(crate) site: Option<&'static Location<'static>>,
    /// The names of the columns that it returns, once a row has told them.
    pub(crate) columns: Box<[Box<str>]>,
    pub(crate) stack: Option<Stack>,
    executions: u32,
}

/// A statement that was executed to its end.
///
/// Order is told by ticks, which a scope and those within it count together: every beginning, first row
/// and end has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Execution {
    pub(crate) key: u32,
    pub(crate) start: u32,
    /// From here on its rows were known.
    pub(crate) first_row: u32,
    pub(crate) end: u32,
    /// How many rows it returned, or touched.
    pub(crate) rows: u32,
    /// How long it took, zero for a hit.
    pub(crate) nanos: u64,
    /// The hash of all its values.
    pub(crate) binds: u64,
    pub(crate) flags: Flags,
    values: u32,
    keys: u16,
    columns: u16,
    sampled: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Answered by a cache.
    pub(crate) hit: bool,
    pub(crate) failed: bool,
    pub(crate) in_transaction: bool,
    /// Rows were left unread.
    pub(crate) unread: bool,
}

/// What is recorded of an execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'e> {
    pub(crate) statement: &'e Arc<Statement>,
    pub(crate) site: Option<&'static Location<'static>>,
    pub(crate) binds: &'e [ValueHash],
    pub(crate) start: u32,
    pub(crate) first_row: u32,
    pub(crate) end: u32,
    pub(crate) rows: u32,
    pub(crate) nanos: u64,
    pub(crate) flags: Flags,
}

impl Recording {
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// All executions, in the order in which they ended.
    pub(crate) fn executions(&self) -> &[Execution] {
        &self.executions
    }

    /// The values of an execution's keys.
    pub(crate) fn key_values(&self, execution: &Execution) -> &[ValueHash] {
        let start = execution.values as usize;
        &self.values[start..start + usize::from(execution.keys)]
    }

    /// The cells of an execution's first rows, row by row.
    pub(crate) fn rows(&self, execution: &Execution) -> impl Iterator<Item = &[ValueHash]> {
        let start = execution.values as usize + usize::from(execution.keys);
        let columns = usize::from(execution.columns);
        self.values[start..start + columns * usize::from(execution.sampled)]
            .chunks_exact(columns.max(1))
    }

    /// The number of a key, which is made if it is not known. `None` if there are too many.
    #[inline]
    fn key(&mut self, entry: &Entry<'_>) -> Option<u32> {
        if let Some(latest) = self.keys.get(self.latest)
            && Arc::ptr_eq(&latest.statement, entry.statement)
            && latest.site.map(std::ptr::from_ref) == entry.site.map(std::ptr::from_ref)
        {
            return u32::try_from(self.latest).ok();
        }
        let id = id(entry.statement, entry.site);
        if let Some(&key) = self.index.get(&id) {
            return Some(key);
        }
        if self.keys.len() == MOST_KEYS {
            return None;
        }
        let number = u32::try_from(self.keys.len()).expect("they are bounded");
        self.keys.push(Key {
            statement: Arc::clone(entry.statement),
            site: entry.site,
            columns: Box::default(),
            stack: None,
            executions: 0,
        });
        self.index.insert(id, number);
        Some(number)
    }

    /// Records an execution. `look` appends the cells of its first rows, row by row, and says how many
    /// there are in a row; `names` names their columns.
    #[inline]
    pub(crate) fn push(
        &mut self,
        entry: &Entry<'_>,
        look: &impl Fn(&mut Vec<ValueHash>) -> usize,
        names: &impl Fn() -> Vec<Box<str>>,
    ) {
        match entry.flags.hit {
            true => self.counts.hits += 1,
            false => self.counts.statements += 1,
        }
        let key = self.key(entry).filter(|_| self.executions.len() < MOST_EXECUTIONS);
        let Some(key) = key else {
            self.counts.unremembered += 1;
            return;
        };
        self.latest = key as usize;
        let Key { columns, executions, .. } = &mut self.keys[key as usize];
        *executions += 1;
        let place = self.values.len();
        let room = MOST_VALUES - place;
        self.values.extend(entry.statement.key_values(entry.binds).take(room));
        let keys = self.values.len() - place;
        let tells_nothing_new =
            entry.flags.hit && entry.rows <= 1 && *executions > MOST_SINGLE_ROWS;
        let (mut width, mut sampled) = (0, 0);
        if !tells_nothing_new && room - keys >= SAMPLED_ROWS * SAMPLED_COLUMNS {
            width = look(&mut self.values);
            let cells = self.values.len() - place - keys;
            sampled = cells.checked_div(width).unwrap_or(0).min(SAMPLED_ROWS);
            self.values.truncate(place + keys + sampled * width);
            if columns.is_empty() && width > 0 {
                *columns = names().into();
            }
        }
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let Entry { start, first_row, end, rows, nanos, flags, .. } = *entry;
        self.executions.push(Execution {
            key,
            start,
            first_row,
            end,
            rows,
            nanos,
            binds: entry.statement.hash_values(entry.binds),
            flags,
            values: u32::try_from(place).expect("they are bounded"),
            keys: short(keys),
            columns: short(width),
            sampled: short(sampled),
        });
    }

    pub(crate) fn push_unknown(&mut self) {
        self.counts.statements += 1;
        self.counts.unremembered += 1;
    }

    /// Whether a statement has become suspicious, and nobody knows yet where it comes from.
    pub(crate) fn wants_a_stack(
        &self,
        statement: &Statement,
        site: Option<&'static Location<'static>>,
        after: u32,
    ) -> bool {
        let id = id(statement, site);
        let key = self.index.get(&id).map(|&key| &self.keys[key as usize]);
        key.is_some_and(|key| key.executions + 1 >= after && key.stack.is_none())
    }

    pub(crate) fn keep_stack(
        &mut self,
        statement: &Statement,
        site: Option<&'static Location<'static>>,
        stack: Option<Stack>,
    ) {
        let id = id(statement, site);
        if let Some(&key) = self.index.get(&id) {
            self.keys[key as usize].stack = stack;
        }
    }
}

/// What a key is found by. Equal places may have different addresses; they are put together when they
/// are judged.
fn id(statement: &Statement, site: Option<&'static Location<'static>>) -> (u64, usize) {
    (statement.fingerprint(), site.map_or(0, |site| std::ptr::from_ref(site).addr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let mut recording = Recording::default();
        let names = || vec!["id".into(), "name".into()];
        let cells: Vec<ValueHash> = (0..2_000).map(ValueHash::integer).collect();
        let most = 3 * MOST_KEYS.max(MOST_EXECUTIONS);
        for number in 0..most {
            let table = number % (2 * MOST_KEYS);
            let statement = Statement::of(&format!("SELECT id, name FROM t{table}x WHERE id = $1"));
            let entry = Entry {
                statement: &statement,
                site: None,
                binds: &[ValueHash::integer(7)],
                start: 0,
                first_row: 1,
                end: 2,
                rows: 1_000,
                nanos: 0,
                flags: Flags::default(),
            };
            let look = |values: &mut Vec<ValueHash>| {
                values.extend_from_slice(&cells[..2 * SAMPLED_ROWS]);
                2
            };
            recording.push(&entry, &look, &names);
        }
        assert_eq!(recording.keys.len(), MOST_KEYS);
        assert_eq!(recording.executions.len(), MOST_EXECUTIONS);
        assert!(recording.values.len() <= MOST_VALUES);
        for execution in recording.executions() {
            assert!(recording.rows(execution).count() <= SAMPLED_ROWS);
            assert!(recording.key_values(execution).len() <= 1);
        }
        let counts = recording.counts();
        assert_eq!(counts.statements as usize, most);
        assert_eq!(counts.unremembered as usize, most - MOST_EXECUTIONS);
    }
}
