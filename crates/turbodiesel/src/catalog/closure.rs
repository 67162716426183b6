//! Everything that a write may write: itself, and through foreign keys, triggers, views and
//! partitions.

use std::collections::{BTreeSet, HashMap, HashSet};

use turbodiesel_core::TableName;
use turbodiesel_sql::{Action, Columns, Plan, Target, Writes};

use super::{
    Catalog, Volatility,
    family::family,
    relation::{CascadeOn, Relation, RelationKind, TableWrite, add_columns, no_columns, overlap},
    trigger::{Events, TriggerBody},
};

/// What a statement may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteClosure {
    /// These tables.
    Tables {
        /// One for each of the plan's targets, in order. `None` is a view, whose tables are in
        /// `beyond`.
        targets: Vec<Option<WrittenTarget>>,
        /// Tables reached through cascades, triggers and views: any row of them may change. A
        /// target is among them where it is reached again, as by a foreign key to itself.
        beyond: BTreeSet<TableName>,
    },
    /// Nobody can say.
    Everything,
}

/// A table that a statement writes by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenTarget {
    /// Its full name.
    pub table: TableName,
    /// The table itself and all that may hold the same rows: partitions, inheritance.
    pub family: BTreeSet<TableName>,
    /// What is done to it: as the statement says, or [`Action::Replace`] where the table is declared
    /// to replace what conflicts.
    pub action: Action,
    /// Whether a row may move to another partition, which may refuse it: it is deleted then, and not
    /// among the rows that the statement returns.
    pub moves: bool,
    /// Columns in which something else may be stored than the statement supplies, or that change
    /// without its naming them: set by triggers, generated.
    pub assigned: Columns,
}

impl Catalog {
    /// Everything that a plan may write, through foreign keys, views, triggers and functions.
    pub fn write_closure(&self, plan: &Plan) -> WriteClosure {
        if self.may_write_by_calls(plan) {
            return WriteClosure::Everything;
        }
        let targets = match plan.writes() {
            Writes::None => &[][..],
            Writes::Tables(targets) => targets,
            Writes::Everything => return WriteClosure::Everything,
        };
        let mut spread = Spread::new(self);
        let written: Option<Vec<_>> = targets.iter().map(|target| spread.target(target)).collect();
        match (written, spread.finish()) {
            (Some(targets), Some(beyond)) => WriteClosure::Tables { targets, beyond },
            _ => WriteClosure::Everything,
        }
    }

    /// Everything that any write to these relations may write, all of it `beyond`.
    pub fn write_closure_of(&self, names: impl IntoIterator<Item = TableName>) -> WriteClosure {
        let mut spread = Spread::new(self);
        spread.open.extend(names.into_iter().map(TableWrite::anything));
        match spread.finish() {
            Some(beyond) => WriteClosure::Tables { targets: Vec::new(), beyond },
            None => WriteClosure::Everything,
        }
    }

    /// Whether a plan calls a function that may write, itself or through a view.
    pub(crate) fn may_write_by_calls(&self, plan: &Plan) -> bool {
        self.calls_what_may_write(plan, &mut HashSet::new())
    }

    fn calls_what_may_write(&self, plan: &Plan, seen: &mut HashSet<TableName>) -> bool {
        let unknown = self.unknown_may_write.then_some(Volatility::Writing);
        let calls = self
            .called(plan)
            .any(|(_, volatility)| volatility.or(unknown) == Some(Volatility::Writing));
        calls
            || plan.reads().filter_map(|name| self.resolve(name)).any(|(name, relation)| {
                relation.operator == Some(Volatility::Writing)
                    || matches!(&relation.kind, RelationKind::View(body)
                        if seen.insert(name) && self.calls_what_may_write(body, seen))
            })
    }

    /// The table itself and all that may hold the same rows, however distant.
    pub(crate) fn family(&self, name: &TableName) -> BTreeSet<TableName> {
        family(&self.relations, name)
    }
}

/// What happens to the rows of a table and of its family.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    events: Events,
    /// Columns that updates set, and those that change with them.
    updated: Columns,
    /// Columns of which the statement does not say what is stored.
    assigned: Columns,
    replaces: bool,
}

impl Change {
    fn of(write: &TableWrite, family: &[&Relation]) -> Self {
        let mut events = write.events;
        let replaces = write.replaces || family.iter().any(|member| member.replaces_conflicts);
        events.delete |= replaces && (events.insert || events.update);
        let mut change = Self { events, updated: no_columns(), assigned: no_columns(), replaces };
        change.assign(write, family);
        let moves = |member: &&Relation| overlap(&member.partition_key, &change.updated);
        if change.events.update && family.iter().any(moves) {
            // A row that moves is deleted from one partition and inserted into another.
            change.events.insert = true;
            change.events.delete = true;
            change.assign(write, family);
        }
        change
    }

    fn assign(&mut self, write: &TableWrite, family: &[&Relation]) {
        for member in family {
            for trigger in member.triggers.iter().filter(|it| it.on.intersects(self.events)) {
                if let TriggerBody::Known { assigns, .. } = &trigger.body {
                    add_columns(&mut self.assigned, assigns);
                }
            }
            if self.events.insert || self.events.update {
                let generated = member.columns.iter().filter(|(_, column)| column.is_generated);
                let generated = generated.map(|(name, _)| name.clone()).collect();
                add_columns(&mut self.assigned, &Columns::Only(generated));
            }
        }
        if self.events.update {
            add_columns(&mut self.updated, &write.set_columns);
            add_columns(&mut self.updated, &self.assigned);
        }
    }

    /// Takes another in, and says whether that changed anything.
    fn absorb(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.events = self.events.union(other.events);
        add_columns(&mut self.updated, &other.updated);
        add_columns(&mut self.assigned, &other.assigned);
        self.replaces |= other.replaces;
        *self != before
    }
}

/// Follows writes from table to table until nothing new is reached.
struct Spread<'a> {
    catalog: &'a Catalog,
    /// What was followed so far, by the name of the relation it began at. It only grows, so that
    /// tables which reach each other in circles come to an end.
    followed: HashMap<TableName, Change>,
    beyond: BTreeSet<TableName>,
    open: Vec<TableWrite>,
    is_opaque: bool,
}

impl<'a> Spread<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            followed: HashMap::new(),
            beyond: BTreeSet::new(),
            open: Vec::new(),
            is_opaque: false,
        }
    }

    /// Begins at a target of the statement. The outer `None` is a table that nobody knows.
    fn target(&mut self, target: &Target) -> Option<Option<WrittenTarget>> {
        let (table, relation) = self.catalog.resolve(&target.table)?;
        let write = TableWrite::of(target);
        if let RelationKind::View(_) = relation.kind {
            self.open.push(write);
            return Some(None);
        }
        let family = self.catalog.family(&table);
        let Change { events, assigned, replaces, .. } = self.follow(&table, &family, &write);
        let moves = target.action == Action::Update && events.delete;
        let action = match target.action {
            Action::Insert | Action::Upsert | Action::Update if replaces => Action::Replace,
            action => action,
        };
        Some(Some(WrittenTarget { table, family, action, moves, assigned }))
    }

    /// Goes on until nothing is open: the tables reached, or `None` where nobody can say.
    fn finish(mut self) -> Option<BTreeSet<TableName>> {
        while let Some(write) = self.open.pop() {
            let (table, relation) = self.catalog.resolve(&write.table)?;
            match &relation.kind {
                RelationKind::View(body) => self.pass_on(table, relation, body, &write),
                RelationKind::Table | RelationKind::Foreign => {
                    let family = self.catalog.family(&table);
                    self.beyond.extend(family.iter().cloned());
                    self.follow(&table, &family, &write);
                }
            }
        }
        (!self.is_opaque).then_some(self.beyond)
    }

    /// An updatable view passes a write on to the tables that it reads, where its columns have other
    /// names.
    fn pass_on(&mut self, view: TableName, relation: &Relation, body: &Plan, write: &TableWrite) {
        self.is_opaque |= relation.opaque_writes
            || !relation.triggers.is_empty()
            || relation.operator == Some(Volatility::Writing)
            || body.refusal().is_some()
            || self.catalog.may_write_by_calls(body);
        let write = TableWrite { set_columns: Columns::All, ..write.clone() };
        if self.is_new(&view, &Change::of(&write, &[])) {
            let below =
                body.reads().map(|table| TableWrite { table: table.clone(), ..write.clone() });
            self.open.extend(below);
        }
    }

    /// What a write does to a table and its family; what follows from it is left open.
    fn follow(
        &mut self,
        table: &TableName,
        family: &BTreeSet<TableName>,
        write: &TableWrite,
    ) -> Change {
        let relations = &self.catalog.relations;
        let members: Vec<&Relation> =
            family.iter().filter_map(|member| relations.get(member)).collect();
        let change = Change::of(write, &members);
        if !self.is_new(table, &change) {
            return change;
        }
        for member in members {
            self.is_opaque |= member.opaque_writes;
            for trigger in member.triggers.iter().filter(|it| it.on.intersects(change.events)) {
                match &trigger.body {
                    TriggerBody::Known { writes, .. } => {
                        // In SQLite the statement's way with conflicts is that of its triggers too.
                        self.open.extend(writes.iter().cloned().map(|write| TableWrite {
                            replaces: write.replaces || change.replaces,
                            ..write
                        }));
                    }
                    TriggerBody::Opaque => self.is_opaque = true,
                }
            }
            let follows = |on: &CascadeOn| match on {
                CascadeOn::Delete => change.events.delete,
                CascadeOn::Update(referenced) => {
                    change.events.update && referenced.iter().any(|it| change.updated.contains(it))
                }
            };
            let cascades = member.cascades.iter().filter(|cascade| follows(&cascade.on));
            self.open.extend(cascades.map(|cascade| cascade.write.clone()));
        }
        change
    }

    /// Whether a change says more of a relation than those before.
    fn is_new(&mut self, relation: &TableName, change: &Change) -> bool {
        match self.followed.get_mut(relation) {
            Some(known) => known.absorb(change),
            None => {
                self.followed.insert(relation.clone(), change.clone());
                true
            }
        }
    }
}
