//! The walk over statements that change rows.

use sqlparser::ast::{
    Assignment, AssignmentTarget, CascadeOption, ConflictTarget, CopySource, CopyTarget, Delete,
    Expr, FromTable, Insert, Merge, MergeAction, MergeInsertKind, MergeUpdateKind, ObjectName,
    OnConflict, OnConflictAction, OnInsert, OrderByExpr, OutputClause, Query, SelectItem, SetExpr,
    SqliteOnConflict, TableFactor, TableObject, Truncate, Update, UpdateTableFromKind,
};
use turbodiesel_core::{Bypass, TableName};

use crate::{
    Action, Columns, Conflict, ConflictOn, Inserted, Rows, Scalar, Target, ValueSource,
    pins::scalar,
    scope::{Block, Relation, Source},
    walk::Walk,
};

impl<'a> Walk<'a> {
    /// `INSERT` and `REPLACE`. Tells whether it yields rows, like the other writes.
    pub(crate) fn insert(&mut self, insert: &'a Insert) -> bool {
        let Insert {
            insert_token: _,
            optimizer_hints,
            or,
            ignore,
            into: _,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        if !optimizer_hints.is_empty()
            || *ignore
            || *overwrite
            || !assignments.is_empty()
            || partitioned.is_some()
            || !after_columns.is_empty()
            || *has_table_keyword
            || output.is_some()
            || priority.is_some()
            || insert_alias.is_some()
            || settings.is_some()
            || format_clause.is_some()
            || multi_table_insert_type.is_some()
            || !multi_table_into_clauses.is_empty()
            || !multi_table_when_clauses.is_empty()
            || multi_table_else_clause.is_some()
        {
            self.facts.not_understood("INSERT of another dialect");
        }
        let name = match table {
            TableObject::TableName(name) => self.dialect.fold_name(name),
            TableObject::TableFunction(_) | TableObject::TableQuery(_) => None,
        };
        let Some(name) = name else {
            self.facts.not_understood("target of INSERT");
            return returning.is_some();
        };
        let columns = match columns.as_slice() {
            [] => None,
            columns => {
                // Fields and elements (`a.b`, `a[1]`) count as their column, which comes first.
                let column = |name: &ObjectName| {
                    name.0.first().and_then(|part| part.as_ident()).map(|c| self.dialect.fold(c))
                };
                let folded: Option<Vec<_>> = columns.iter().map(column).collect();
                if folded.is_none() {
                    self.facts.not_understood("column of INSERT");
                }
                folded
            }
        };
        let rows = source.as_ref().map_or(Rows::Defaults, |source| rows(source));
        let mut target = Target::new(name.clone(), Action::Insert);
        target.inserted = Some(Inserted { columns, rows });
        if let Some(source) = source {
            self.query(source);
        }
        let exposed = match table_alias {
            Some(alias) => self.dialect.fold(&alias.alias),
            None => name.name.clone(),
        };
        let target = self.facts.writes(target);
        self.blocks.push(Block::default());
        self.relate(Relation::new(Some(exposed), Source::Target { target, table: name }));
        match on {
            None => {}
            Some(OnInsert::OnConflict(conflict)) => self.conflict(conflict, target),
            Some(_) => self.facts.not_understood("INSERT of another dialect"),
        }
        if *replace_into || matches!(or, Some(SqliteOnConflict::Replace)) {
            self.facts.targets[target].action = Action::Replace;
        }
        self.returning(returning.as_deref());
        self.close_block();
        returning.is_some()
    }

    fn conflict(&mut self, conflict: &'a OnConflict, target: usize) {
        let OnConflict { conflict_target, action } = conflict;
        let on = match conflict_target {
            None if self.conflict_on_expression => ConflictOn::Expression,
            None => ConflictOn::Any,
            Some(ConflictTarget::Columns(columns)) => {
                let columns: Vec<_> = columns.iter().map(|c| self.dialect.fold(c)).collect();
                match columns.iter().any(|column| self.dialect.is_row_id(column)) {
                    true => ConflictOn::Expression,
                    false => ConflictOn::Columns(columns),
                }
            }
            Some(ConflictTarget::OnConstraint(name)) => match self.dialect.fold_name(name) {
                Some(name) => ConflictOn::Constraint(name.name),
                None => ConflictOn::Any,
            },
        };
        let OnConflictAction::DoUpdate(update) = action else {
            let conflict = Conflict { on, updates: false, sets_target: false };
            return self.facts.targets[target].conflict = Some(conflict);
        };
        self.relate(Relation::new(Some("excluded".into()), Source::Opaque));
        let set_columns = self.assignments(&update.assignments);
        // No `condition`: it says nothing about the rows that do not conflict.
        self.exprs(&update.selection);
        let sets_target = match &on {
            ConflictOn::Columns(columns) => columns.iter().any(|c| set_columns.contains(c)),
            ConflictOn::Any | ConflictOn::Constraint(_) | ConflictOn::Expression => true,
        };
        let target = &mut self.facts.targets[target];
        target.action = Action::Upsert;
        target.set_columns = set_columns;
        target.conflict = Some(Conflict { on, updates: true, sets_target });
    }

    /// `UPDATE`.
    pub(crate) fn update(&mut self, update: &'a Update) -> bool {
        let Update {
            update_token: _,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        if !optimizer_hints.is_empty() || output.is_some() || !table.joins.is_empty() {
            self.facts.not_understood("UPDATE of another dialect");
        }
        self.blocks.push(Block::default());
        if let Some(target) = self.target(&table.relation, Action::Update) {
            match from {
                None => {}
                Some(UpdateTableFromKind::AfterSet(from)) => {
                    self.from(from);
                }
                Some(UpdateTableFromKind::BeforeSet(_)) => {
                    self.facts.not_understood("UPDATE of another dialect");
                }
            }
            let set_columns = self.assignments(assignments);
            self.facts.targets[target].set_columns = set_columns;
            self.restrict(selection.as_ref(), order_by, limit.as_ref());
            self.returning(returning.as_deref());
            self.close_block();
            if matches!(or, Some(SqliteOnConflict::Replace)) {
                // Rows are deleted that no condition names.
                let target = &mut self.facts.targets[target];
                target.action = Action::Replace;
                target.pins.clear();
            }
        }
        returning.is_some()
    }

    /// `DELETE`.
    pub(crate) fn delete(&mut self, delete: &'a Delete) -> bool {
        let Delete {
            delete_token: _,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        let table = match from {
            FromTable::WithFromKeyword(from) => match from.as_slice() {
                [table] if table.joins.is_empty() => Some(&table.relation),
                _ => None,
            },
            FromTable::WithoutKeyword(_) => None,
        };
        let (Some(table), [], [], None) =
            (table, optimizer_hints.as_slice(), tables.as_slice(), output)
        else {
            self.facts.not_understood("DELETE of another dialect");
            return returning.is_some();
        };
        self.blocks.push(Block::default());
        if self.target(table, Action::Delete).is_some() {
            if let Some(using) = using {
                self.from(using);
            }
            self.restrict(selection.as_ref(), order_by, limit.as_ref());
            self.returning(returning.as_deref());
            self.close_block();
        }
        returning.is_some()
    }

    /// `MERGE`. Its target has no pins: which rows it touches depends on the source.
    pub(crate) fn merge(&mut self, merge: &'a Merge) -> bool {
        let Merge { merge_token: _, optimizer_hints, into: _, table, source, on, clauses, output } =
            merge;
        if !optimizer_hints.is_empty() {
            self.facts.not_understood("MERGE of another dialect");
        }
        let returning = match output {
            None => None,
            Some(OutputClause::Returning { returning_token: _, select_items }) => {
                Some(select_items.as_slice())
            }
            Some(OutputClause::Output { .. }) => {
                self.facts.not_understood("MERGE of another dialect");
                None
            }
        };
        self.blocks.push(Block::default());
        if let Some(target) = self.target(table, Action::Merge) {
            self.source(source);
            self.expr(on);
            let mut set_columns = Columns::NONE;
            for clause in clauses {
                self.exprs(&clause.predicate);
                match &clause.action {
                    MergeAction::Insert(insert) => {
                        self.exprs(&insert.insert_predicate);
                        match &insert.kind {
                            MergeInsertKind::Values(values) => {
                                values.rows.iter().for_each(|row| self.exprs(&row.content));
                            }
                            MergeInsertKind::Row | MergeInsertKind::Wildcard => {
                                self.facts.not_understood("MERGE of another dialect");
                            }
                        }
                    }
                    MergeAction::Update(update) => {
                        self.exprs(&update.update_predicate);
                        self.exprs(&update.delete_predicate);
                        match &update.kind {
                            MergeUpdateKind::Set(assignments) => {
                                match self.assignments(assignments) {
                                    Columns::All => set_columns = Columns::All,
                                    Columns::Only(set) => {
                                        set.into_iter().for_each(|c| set_columns.insert(c));
                                    }
                                }
                            }
                            MergeUpdateKind::Wildcard => {
                                self.facts.not_understood("MERGE of another dialect");
                            }
                        }
                    }
                    MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => {}
                }
            }
            self.facts.targets[target].set_columns = set_columns;
            self.returning(returning);
            self.close_block();
        }
        returning.is_some()
    }

    /// `TRUNCATE`.
    pub(crate) fn truncate(&mut self, truncate: &'a Truncate) {
        let Truncate {
            table_names,
            partitions,
            table: _,
            if_exists,
            identity: _,
            cascade,
            on_cluster,
        } = truncate;
        if partitions.is_some() || *if_exists || on_cluster.is_some() {
            self.facts.not_understood("TRUNCATE of another dialect");
        }
        if matches!(cascade, Some(CascadeOption::Cascade)) {
            self.facts.writes_everything();
        }
        for table in table_names {
            match self.dialect.fold_name(&table.name) {
                Some(name) => drop(self.facts.writes(Target::new(name, Action::Truncate))),
                None => self.facts.not_understood("target of TRUNCATE"),
            }
        }
    }

    /// `COPY`, in either direction.
    pub(crate) fn copy(&mut self, source: &'a CopySource, to: bool, target: &CopyTarget) {
        if let CopyTarget::Program { .. } = target {
            // It may well connect to the database.
            self.facts.writes_everything();
        }
        match source {
            CopySource::Query(query) => drop(self.query(query)),
            CopySource::Table { table_name, columns } => {
                let Some(name) = self.dialect.fold_name(table_name) else {
                    return self.facts.not_understood("target of COPY");
                };
                if to {
                    let occurrence = self.facts.reads(name);
                    self.facts.occurrences[occurrence].columns = Columns::All;
                } else {
                    let mut target = Target::new(name, Action::Copy);
                    let columns: Vec<_> = columns.iter().map(|c| self.dialect.fold(c)).collect();
                    let columns = Some(columns).filter(|columns| !columns.is_empty());
                    target.inserted = Some(Inserted { columns, rows: Rows::Other });
                    self.facts.writes(target);
                }
            }
        }
        if to {
            self.facts.refuse(Bypass::NotUnderstood, "COPY TO");
        }
    }

    /// Opens the target of a write as a relation of the present block.
    fn target(&mut self, factor: &'a TableFactor, action: Action) -> Option<usize> {
        let plain = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.dialect.fold_name(name).map(|name| (name, alias))
            }
            _ => None,
        };
        let Some((name, alias)) = plain else {
            self.facts.not_understood("target of a write");
            self.blocks.pop();
            return None;
        };
        let exposed = match alias {
            Some(alias) => self.dialect.fold(&alias.name),
            None => name.name.clone(),
        };
        let target = self.facts.writes(Target::new(name.clone(), action));
        let mut relation = Relation::new(Some(exposed), Source::Target { target, table: name });
        relation.renamed = alias.as_ref().is_some_and(|alias| !alias.columns.is_empty());
        self.relate(relation);
        Some(target)
    }

    /// The columns on the left of an assignment; none if it may change others.
    fn assigned(&mut self, target: &AssignmentTarget) -> Option<Vec<Box<str>>> {
        let column = |name: &ObjectName| match name.0.as_slice() {
            [part] => part
                .as_ident()
                .map(|ident| self.dialect.fold(ident))
                .filter(|column| !self.dialect.is_row_id(column)),
            // `SET column.field`, or a qualified name that only other dialects allow.
            _ => None,
        };
        match target {
            AssignmentTarget::ColumnName(name) => column(name).map(|column| vec![column]),
            AssignmentTarget::Tuple(names) => names.iter().map(column).collect(),
        }
    }

    fn assignments(&mut self, assignments: &'a [Assignment]) -> Columns {
        let mut set = Columns::NONE;
        for Assignment { target, value } in assignments {
            match self.assigned(target) {
                Some(columns) => columns.into_iter().for_each(|column| set.insert(column)),
                None => set = Columns::All,
            }
            self.expr(value);
        }
        set
    }

    fn restrict(
        &mut self,
        condition: Option<&'a Expr>,
        order_by: &'a [OrderByExpr],
        limit: Option<&'a Expr>,
    ) {
        if let Some(condition) = condition {
            self.condition(condition);
        }
        self.order_by_exprs(order_by);
        self.exprs(limit);
    }

    fn returning(&mut self, items: Option<&'a [SelectItem]>) {
        items.into_iter().flatten().for_each(|item| self.select_item(item));
    }
}

impl Target {
    fn new(table: TableName, action: Action) -> Self {
        Self {
            table,
            action,
            set_columns: Columns::NONE,
            conflict: None,
            inserted: None,
            pins: Vec::new(),
        }
    }
}

/// The rows of an insert, where they are a short `VALUES` list.
fn rows(source: &Query) -> Rows {
    match source.body.as_ref() {
        SetExpr::Values(values)
            if values.rows.len() <= Rows::LISTED
                && source.with.is_none()
                && source.limit_clause.is_none()
                && source.fetch.is_none() =>
        {
            let row = |row: &[Expr]| row.iter().map(value_source).collect();
            Rows::Values(values.rows.iter().map(|values| row(&values.content)).collect())
        }
        _ => Rows::Other,
    }
}

fn value_source(expr: &Expr) -> ValueSource {
    match expr {
        Expr::Identifier(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
        {
            ValueSource::Default
        }
        expr => match scalar(expr) {
            Some(Scalar::Bind(index)) => ValueSource::Bind(index),
            Some(Scalar::Literal(value)) => ValueSource::Literal(value),
            None => ValueSource::Other,
        },
    }
}
