//! The walk over `FROM` clauses: relations, joins and which conditions confine whom.

use sqlparser::ast::{
    Expr, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor, TableWithJoins,
};
use turbodiesel_core::Bypass;

use crate::{
    scope::{Relation, Source},
    walk::Walk,
};

impl<'a> Walk<'a> {
    /// The items of a `FROM` clause: first all relations, for `ON` conditions name them.
    pub(crate) fn from(&mut self, from: &'a [TableWithJoins]) {
        let mut conditions = Vec::new();
        for item in from {
            self.joins(item, &mut conditions);
        }
        self.exprs(conditions);
    }

    /// The source of a `MERGE`.
    pub(crate) fn source(&mut self, source: &'a TableFactor) {
        let mut conditions = Vec::new();
        self.table_factor(source, &mut conditions);
        self.exprs(conditions);
    }

    fn joins(&mut self, item: &'a TableWithJoins, conditions: &mut Vec<&'a Expr>) {
        let TableWithJoins { relation, joins } = item;
        let start = self.block().relations.len();
        self.table_factor(relation, conditions);
        for Join { relation, global, join_operator } in joins {
            let middle = self.block().relations.len();
            self.table_factor(relation, conditions);
            let end = self.block().relations.len();
            // The relations that an `ON` condition confines: see `pins`.
            let (confined, constraint) = match join_operator {
                JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => {
                    (start..end, on)
                }
                JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (middle..end, on),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (start..middle, on),
                JoinOperator::FullOuter(on) => (0..0, on),
                JoinOperator::Semi(_)
                | JoinOperator::LeftSemi(_)
                | JoinOperator::RightSemi(_)
                | JoinOperator::Anti(_)
                | JoinOperator::LeftAnti(_)
                | JoinOperator::RightAnti(_)
                | JoinOperator::CrossApply
                | JoinOperator::OuterApply
                | JoinOperator::AsOf { .. }
                | JoinOperator::StraightJoin(_)
                | JoinOperator::ArrayJoin
                | JoinOperator::LeftArrayJoin
                | JoinOperator::InnerArrayJoin => {
                    self.facts.not_understood("join of another dialect");
                    (0..0, &JoinConstraint::None)
                }
            };
            if *global {
                self.facts.not_understood("join of another dialect");
            }
            match constraint {
                JoinConstraint::On(condition) => {
                    conditions.push(condition);
                    for relation in &mut self.block().relations[confined] {
                        relation.conditions.push(condition);
                    }
                }
                JoinConstraint::Using(columns) => {
                    for column in columns {
                        self.use_name(column);
                    }
                }
                JoinConstraint::Natural => {
                    let Walk { blocks, facts, .. } = self;
                    let joined =
                        blocks.last().map_or(&[][..], |block| &block.relations[start..end]);
                    joined.iter().for_each(|relation| relation.use_all(facts));
                }
                JoinConstraint::None => {}
            }
        }
    }

    fn table_factor(&mut self, factor: &'a TableFactor, conditions: &mut Vec<&'a Expr>) {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality: _,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                if !with_hints.is_empty()
                    || version.is_some()
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || !index_hints.is_empty()
                {
                    self.facts.not_understood("table clause of another dialect");
                }
                if sample.is_some() {
                    self.facts.refuse(Bypass::Sampling, "TABLESAMPLE");
                }
                match args {
                    None => self.table(name, alias.as_ref()),
                    Some(args) => {
                        if args.settings.is_some() {
                            self.facts.not_understood("table clause of another dialect");
                        }
                        self.function_args(&args.args);
                        self.call(name, args.args.len());
                        self.opaque(alias.as_ref());
                    }
                }
            }
            TableFactor::Derived { lateral: _, subquery, alias, sample } => {
                if sample.is_some() {
                    self.facts.refuse(Bypass::Sampling, "TABLESAMPLE");
                }
                self.query(subquery);
                self.opaque(alias.as_ref());
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality: _, alias } => {
                self.function_args(args);
                self.call(name, args.len());
                self.opaque(alias.as_ref());
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: _,
                with_offset_alias: _,
                with_ordinality: _,
            } => {
                self.exprs(array_exprs);
                self.facts.calls_builtin("unnest");
                self.opaque(alias.as_ref());
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let start = self.block().relations.len();
                self.joins(table_with_joins, conditions);
                if alias.is_some() {
                    // The join's alias hides the names within it.
                    let Walk { blocks, facts, .. } = self;
                    let block = blocks.last_mut().expect("a FROM clause is walked in its block");
                    for relation in &mut block.relations[start..] {
                        relation.use_all(facts);
                        relation.exposed = None;
                        relation.renamed = true;
                    }
                    self.opaque(alias.as_ref());
                }
            }
            TableFactor::TableFunction { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => {
                self.facts.not_understood("table expression");
                self.opaque(None);
            }
        }
    }

    /// A table, a view or a CTE.
    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) {
        let Some(table) = self.dialect.fold_name(name) else {
            self.facts.not_understood("relation name");
            return self.opaque(alias);
        };
        if table.schema.is_none() && self.ctes.contains(&table.name) {
            let exposed = alias.map_or(table.name, |alias| self.dialect.fold(&alias.name));
            return self.relate(Relation::new(Some(exposed), Source::Opaque));
        }
        let exposed = match alias {
            Some(alias) => self.dialect.fold(&alias.name),
            None => table.name.clone(),
        };
        let occurrence = self.facts.reads(table.clone());
        let mut relation = Relation::new(Some(exposed), Source::Base { occurrence, table });
        if let Some(TableAlias { explicit: _, name: _, columns, at }) = alias {
            relation.renamed = !columns.is_empty() || at.is_some();
        }
        self.relate(relation);
    }

    /// An item whose columns are not those of a base relation.
    fn opaque(&mut self, alias: Option<&TableAlias>) {
        let exposed = alias.map(|alias| self.dialect.fold(&alias.name));
        self.relate(Relation::new(exposed, Source::Opaque));
    }

    pub(crate) fn relate(&mut self, relation: Relation<'a>) {
        self.block().relations.push(relation);
    }
}
