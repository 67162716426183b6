//! The executions of each statement, and what findings tell of them.

use std::{collections::HashMap, time::Duration};

use crate::{
    Site, Statement, ValueHash,
    recording::{Execution, Key, Recording},
    report::Shown,
};

/// Everything that was executed, by statement and call site.
pub(super) struct Groups<'r> {
    recording: &'r Recording,
    groups: Vec<Group<'r>>,
    /// All executions in the order in which they began, with their groups.
    all: Vec<(usize, &'r Execution)>,
}

/// The executions of one statement at one call site.
pub(super) struct Group<'r> {
    pub(super) key: &'r Key,
    /// Those that did not fail, in the order in which they began.
    pub(super) executions: Vec<&'r Execution>,
}

impl<'r> Groups<'r> {
    pub(super) fn of(recording: &'r Recording) -> Self {
        let mut numbers = HashMap::new();
        let mut groups: Vec<Group<'r>> = Vec::new();
        // One call site may have several addresses, if its code was generated more than once.
        let of_key: Vec<usize> = (recording.keys().iter())
            .map(|key| {
                let site = key.site.map(|site| (site.file(), site.line(), site.column()));
                *numbers.entry((key.statement.fingerprint(), site)).or_insert_with(|| {
                    groups.push(Group { key, executions: Vec::new() });
                    groups.len() - 1
                })
            })
            .collect();
        let mut all: Vec<_> = (recording.executions().iter())
            .map(|execution| (of_key[execution.key as usize], execution))
            .collect();
        all.sort_by_key(|(_, execution)| execution.start);
        for (group, execution) in &all {
            if !execution.flags.failed {
                groups[*group].executions.push(execution);
            }
        }
        Self { recording, groups, all }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Group<'r>)> {
        self.groups.iter().enumerate()
    }

    pub(super) fn group(&self, index: usize) -> &Group<'r> {
        &self.groups[index]
    }

    /// All executions in the order in which they began, failed ones included.
    pub(super) fn all(&self) -> &[(usize, &'r Execution)] {
        &self.all
    }

    pub(super) fn key_values(&self, execution: &Execution) -> &'r [ValueHash] {
        self.recording.key_values(execution)
    }

    pub(super) fn rows(&self, execution: &Execution) -> impl Iterator<Item = &'r [ValueHash]> {
        self.recording.rows(execution)
    }
}

impl<'r> Group<'r> {
    pub(super) fn statement(&self) -> &'r Statement {
        &self.key.statement
    }

    /// What a finding shows of the statement.
    pub(super) fn shown(&self) -> Shown {
        let site = self.key.site.map(Site::from);
        let site = site.or_else(|| self.key.stack.as_ref().and_then(|stack| stack.site()));
        let statement = self.statement();
        let tables = statement.tables().map(ToOwned::to_owned).collect();
        Shown { sql: statement.sql().to_owned(), tables, site }
    }
}

/// How long executions took together.
pub(super) fn time<'e>(executions: impl IntoIterator<Item = &'e &'e Execution>) -> Duration {
    Duration::from_nanos(executions.into_iter().map(|execution| execution.nanos).sum())
}
