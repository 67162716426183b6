//! How writes are executed: by themselves, together, in transactions, and given up half-way.

use std::fmt;

use fastrand::Rng;

use super::{
    Dialect,
    schema::Schema,
    statement::{Class, Statement},
    writes,
};

/// One step of a history. Plain data, so that a failing history can be replayed in part.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// On `&Db`.
    Db(Statement),
    /// On a handle.
    Handle(Statement),
    /// Several statements in one text, on `&Db`.
    Batch(Vec<Statement>),
    /// One after another on a connection.
    Connection(Vec<Statement>),
    /// Several at once on a connection.
    Pipelined(Vec<Statement>),
    Transaction(Vec<Action>, End),
    /// Through raw access, with the tables that it names, or as a write of anything.
    Raw(Statement, Option<String>),
    /// Given up after so many polls.
    Dropped(usize, Box<Step>),
}

/// What happens in a transaction.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Write(Statement),
    /// Asks a query, inside and outside.
    Read(usize),
    Savepoint(Vec<Action>, End),
}

/// How a transaction or savepoint ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The first error ends it.
    Commit,
    /// Errors are swallowed.
    CommitRegardless,
    Rollback,
}

impl Step {
    /// The statement, if the step is one write that is waited for.
    pub(super) fn single(&self) -> Option<&Statement> {
        match self {
            Step::Db(statement) | Step::Handle(statement) => Some(statement),
            Step::Connection(statements) | Step::Batch(statements) if statements.len() == 1 => {
                statements.first()
            }
            _ => None,
        }
    }

    /// How many writes it consists of.
    pub(super) fn writes(&self) -> usize {
        match self {
            Step::Db(_) | Step::Handle(_) | Step::Raw(..) => 1,
            Step::Batch(statements)
            | Step::Connection(statements)
            | Step::Pipelined(statements) => statements.len(),
            Step::Transaction(actions, _) => writes_of(actions),
            Step::Dropped(_, step) => step.writes(),
        }
    }
}

fn writes_of(actions: &[Action]) -> usize {
    let of = |action: &Action| match action {
        Action::Write(_) => 1,
        Action::Read(_) => 0,
        Action::Savepoint(actions, _) => writes_of(actions),
    };
    actions.iter().map(of).sum()
}

/// Makes a random step over a schema and so many queries.
pub(super) fn random(rng: &mut Rng, schema: &Schema, queries: usize) -> Step {
    if rng.u8(0..100) < 8 {
        let polls = rng.usize(0..24);
        return Step::Dropped(polls, Box::new(waited_for(rng, schema, queries)));
    }
    waited_for(rng, schema, queries)
}

/// Makes a random step that may run beside others: it asks nothing while it has tables locked.
pub(super) fn concurrent(rng: &mut Rng, schema: &Schema) -> Step {
    let mut step = random(rng, schema, 1);
    let waited_for = match &mut step {
        Step::Dropped(_, step) => &mut **step,
        step => step,
    };
    if let Step::Transaction(actions, _) = waited_for {
        leave_out_reads(actions);
    }
    step
}

fn waited_for(rng: &mut Rng, schema: &Schema, queries: usize) -> Step {
    let several = |rng: &mut Rng| -> Vec<Statement> {
        (0..rng.usize(1..4)).map(|_| writes::random(rng, schema)).collect()
    };
    match rng.u8(0..100) {
        0..=34 => Step::Db(writes::random(rng, schema)),
        35..=59 => Step::Handle(writes::random(rng, schema)),
        60..=64 => {
            let without_binds = |it: &Statement| it.binds.is_empty();
            let statements: Vec<_> = several(rng).into_iter().filter(without_binds).collect();
            match statements.is_empty() {
                true => Step::Db(writes::random(rng, schema)),
                false => Step::Batch(statements),
            }
        }
        65..=77 => Step::Connection(several(rng)),
        78..=82 if schema.dialect == Dialect::Postgres => Step::Pipelined(several(rng)),
        78..=82 => Step::Connection(several(rng)),
        83..=95 => {
            let mut actions = actions(rng, schema, queries, 0);
            if locks(&actions) {
                leave_out_reads(&mut actions);
            }
            Step::Transaction(actions, end(rng))
        }
        _ => {
            let statement = writes::random(rng, schema);
            // A table is only named where nothing else is written.
            let table = schema.tables.iter().find(|table| {
                statement.class != Class::Other
                    && statement.sql.split([' ', ',']).any(|word| word == table.name)
            });
            let table = table.map(|table| table.name.clone()).filter(|_| rng.bool());
            Step::Raw(statement, table)
        }
    }
}

fn end(rng: &mut Rng) -> End {
    match rng.u8(0..6) {
        0 => End::Rollback,
        1 => End::CommitRegardless,
        _ => End::Commit,
    }
}

fn actions(rng: &mut Rng, schema: &Schema, queries: usize, depth: usize) -> Vec<Action> {
    let count = rng.usize(1..5);
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(match rng.u8(0..10) {
            0 | 1 => Action::Read(rng.usize(0..queries)),
            2 | 3 if depth < 2 => {
                Action::Savepoint(actions(rng, schema, queries, depth + 1), end(rng))
            }
            _ => Action::Write(writes::random(rng, schema)),
        });
    }
    all
}

/// Whether a table may be locked, so that whoever reads outside would wait for the end of the
/// transaction.
fn locks(actions: &[Action]) -> bool {
    actions.iter().any(|action| match action {
        Action::Write(statement) => statement.sql.starts_with("TRUNCATE"),
        Action::Read(_) => false,
        Action::Savepoint(actions, _) => locks(actions),
    })
}

fn leave_out_reads(actions: &mut Vec<Action>) {
    actions.retain(|action| !matches!(action, Action::Read(_)));
    for action in actions {
        if let Action::Savepoint(actions, _) = action {
            leave_out_reads(actions);
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, name: &str, statements: &[Statement]| {
            write!(f, "{name}:")?;
            statements.iter().try_for_each(|it| write!(f, "\n      {it}"))
        };
        match self {
            Step::Db(statement) => write!(f, "on &Db: {statement}"),
            Step::Handle(statement) => write!(f, "on a handle: {statement}"),
            Step::Batch(statements) => list(f, "as a batch", statements),
            Step::Connection(statements) => list(f, "on a connection", statements),
            Step::Pipelined(statements) => list(f, "pipelined", statements),
            Step::Transaction(actions, end) => {
                write!(f, "in a transaction, {end:?}:")?;
                write_actions(f, actions, 1)
            }
            Step::Raw(statement, Some(table)) => write!(f, "raw, touches {table}: {statement}"),
            Step::Raw(statement, None) => write!(f, "raw, touches everything: {statement}"),
            Step::Dropped(polls, step) => write!(f, "dropped after {polls} polls, {step}"),
        }
    }
}

fn write_actions(f: &mut fmt::Formatter<'_>, actions: &[Action], depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth + 2);
    for action in actions {
        match action {
            Action::Write(statement) => write!(f, "\n{indent}{statement}")?,
            Action::Read(query) => write!(f, "\n{indent}asks query {query}, inside and outside")?,
            Action::Savepoint(actions, end) => {
                write!(f, "\n{indent}in a savepoint, {end:?}:")?;
                write_actions(f, actions, depth + 1)?;
            }
        }
    }
    Ok(())
}
