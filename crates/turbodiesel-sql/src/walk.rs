//! The walk over a parsed statement: its state, and query by query, block by block.
//!
//! Every struct of the syntax tree is taken apart field by field and every enum matched without a
//! wildcard where more could be read or written, so that syntax which a new version of the parser
//! learns does not compile until somebody has decided what it means here.

use sqlparser::ast::{
    Distinct, Expr, Fetch, GroupByExpr, GroupByWithModifier, Ident, LimitClause, NamedWindowExpr,
    ObjectName, OrderBy, OrderByExpr, OrderByKind, OrderBySort, Query, Select, SelectFlavor,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias,
    WildcardAdditionalOptions, With,
};
use turbodiesel_core::Bypass;

use crate::{
    Dialect,
    facts::Facts,
    pins,
    scope::{self, Block, Relation, Source},
};

/// The walk's state.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) facts: Facts,
    /// Whether conflict targets without columns stand for expressions.
    pub(crate) conflict_on_expression: bool,
    /// The CTE names in scope.
    pub(crate) ctes: Vec<Box<str>>,
    /// The query blocks around the present place, the outermost first.
    pub(crate) blocks: Vec<Block<'a>>,
    /// How many CTEs the present place is within.
    within_ctes: usize,
}

/// Where a query block stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    /// A branch of `UNION`, `INTERSECT` or `EXCEPT`.
    Branch,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(dialect: Dialect, conflict_on_expression: bool) -> Self {
        Self {
            dialect,
            facts: Facts::new(dialect),
            conflict_on_expression,
            ctes: Vec::new(),
            blocks: Vec::new(),
            within_ctes: 0,
        }
    }

    /// A query with its CTEs. Tells whether it yields rows.
    pub(crate) fn query(&mut self, query: &'a Query) -> bool {
        self.query_at(query, Place::Alone)
    }

    fn query_at(&mut self, query: &'a Query, place: Place) -> bool {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if for_clause.is_some()
            || settings.is_some()
            || format_clause.is_some()
            || !pipe_operators.is_empty()
        {
            self.facts.not_understood("clause of another dialect");
        }
        if !locks.is_empty() {
            self.facts.refuse(Bypass::Locking, "row lock");
        }
        let outer = self.ctes.len();
        if let Some(with) = with {
            self.with(with);
        }
        let returns_rows = self.set_expr(body, order_by.as_ref(), place);
        self.limit(limit_clause.as_ref(), fetch.as_ref());
        self.ctes.truncate(outer);
        returns_rows
    }

    /// Brings CTEs into scope.
    ///
    /// In PostgreSQL a CTE sees those before it, and its own name still means the table of that
    /// name; with `RECURSIVE`, and always in SQLite, all of them see each other.
    fn with(&mut self, with: &'a With) {
        let With { with_token: _, recursive, cte_tables } = with;
        let mutual = *recursive || self.dialect == Dialect::Sqlite;
        let name = |alias: &TableAlias| self.dialect.fold(&alias.name);
        let names: Vec<_> = cte_tables.iter().map(|cte| name(&cte.alias)).collect();
        if mutual {
            self.ctes.extend_from_slice(&names);
        }
        for (cte, name) in cte_tables.iter().zip(names) {
            if cte.from.is_some() || cte.alias.at.is_some() {
                self.facts.not_understood("clause of another dialect");
            }
            // Names of blocks outside are visible to a subquery's CTE, as to the subquery.
            self.within_ctes += 1;
            self.query(&cte.query);
            self.within_ctes -= 1;
            if !mutual {
                self.ctes.push(name);
            }
        }
    }

    fn set_expr(&mut self, body: &'a SetExpr, order_by: Option<&'a OrderBy>, place: Place) -> bool {
        let returns_rows = match body {
            SetExpr::Select(select) => {
                self.select(select, order_by, place);
                return true;
            }
            SetExpr::Query(query) => self.query_at(query, place),
            SetExpr::SetOperation { left, op: _, set_quantifier: _, right } => {
                self.set_expr(left, None, Place::Branch);
                self.set_expr(right, None, Place::Branch);
                true
            }
            SetExpr::Values(values) => {
                for row in &values.rows {
                    self.exprs(&row.content);
                }
                true
            }
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => self.write(statement),
            // The parser drops the quotes of the name, so it cannot be folded.
            SetExpr::Table(_) => {
                self.facts.not_understood("TABLE within a query");
                true
            }
        };
        if let Some(order_by) = order_by {
            self.order_by(order_by);
        }
        returns_rows
    }

    fn write(&mut self, statement: &'a Statement) -> bool {
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Merge(merge) => self.merge(merge),
            _ => {
                self.facts.not_understood("statement within a query");
                true
            }
        }
    }

    fn select(&mut self, select: &'a Select, order_by: Option<&'a OrderBy>, place: Place) {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if !optimizer_hints.is_empty()
            || select_modifiers.is_some()
            || top.is_some()
            || exclude.is_some()
            || !lateral_views.is_empty()
            || prewhere.is_some()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || qualify.is_some()
            || value_table_mode.is_some()
            || *flavor != SelectFlavor::Standard
        {
            self.facts.not_understood("clause of another dialect");
        }
        if into.is_some() {
            self.facts.refuse(Bypass::Write, "SELECT INTO");
            self.facts.writes_everything();
        }
        self.blocks.push(Block::default());
        self.from(from);
        for item in projection {
            self.select_item(item);
        }
        if let Some(Distinct::On(exprs)) = distinct {
            self.exprs(exprs);
        }
        if let Some(condition) = selection {
            self.condition(condition);
        }
        self.group_by(group_by);
        if let Some(having) = having {
            self.note_aggregate();
            self.expr(having);
        }
        for window in named_window {
            self.block().has_window = true;
            match &window.1 {
                NamedWindowExpr::NamedWindow(_) => {}
                NamedWindowExpr::WindowSpec(spec) => self.window(spec),
            }
        }
        if let Some(order_by) = order_by {
            self.order_by(order_by);
        }
        match place {
            Place::Alone => self.close_block(),
            Place::Branch => drop(self.blocks.pop()),
        }
    }

    /// Ends a block of its own and notes its pins.
    pub(crate) fn close_block(&mut self) {
        let block = self.blocks.pop().expect("a block is closed where it was opened");
        for relation in &block.relations {
            let pins = pins::pins(self.dialect, &block, relation);
            match relation.source {
                Source::Base { occurrence, .. } => self.facts.occurrences[occurrence].pins = pins,
                Source::Target { target, .. } => self.facts.targets[target].pins = pins,
                Source::Opaque => {}
            }
        }
    }

    pub(crate) fn block(&mut self) -> &mut Block<'a> {
        self.blocks.last_mut().expect("a clause is walked within its block")
    }

    /// Notes an aggregate if it belongs to the outermost block.
    pub(crate) fn note_aggregate(&mut self) {
        self.facts.is_aggregate |= self.blocks.len() == 1 && self.within_ctes == 0;
    }

    /// The condition that every row of the block's result meets: `WHERE`.
    pub(crate) fn condition(&mut self, condition: &'a Expr) {
        for relation in &mut self.block().relations {
            relation.conditions.push(condition);
        }
        self.expr(condition);
    }

    pub(crate) fn select_item(&mut self, item: &'a SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expr)
            | SelectItem::ExprWithAlias { expr, alias: _ }
            | SelectItem::ExprWithAliases { expr, aliases: _ } => self.expr(expr),
            SelectItem::Wildcard(options) => {
                self.wildcard_options(options);
                self.use_all(|_| true);
            }
            SelectItem::QualifiedWildcard(kind, options) => {
                self.wildcard_options(options);
                match kind {
                    SelectItemQualifiedWildcardKind::ObjectName(name) => self.use_row(name),
                    SelectItemQualifiedWildcardKind::Expr(expr) => self.expr(expr),
                }
            }
        }
    }

    pub(crate) fn wildcard_options(&mut self, options: &WildcardAdditionalOptions) {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        if opt_ilike.is_some()
            || opt_exclude.is_some()
            || opt_except.is_some()
            || opt_replace.is_some()
            || opt_rename.is_some()
            || opt_alias.is_some()
        {
            self.facts.not_understood("wildcard of another dialect");
        }
    }

    fn group_by(&mut self, group_by: &'a GroupByExpr) {
        let (exprs, modifiers) = match group_by {
            GroupByExpr::All(modifiers) => {
                self.facts.not_understood("GROUP BY ALL");
                (&[][..], modifiers)
            }
            GroupByExpr::Expressions(exprs, modifiers) => (exprs.as_slice(), modifiers),
        };
        if !exprs.is_empty() || !modifiers.is_empty() {
            self.note_aggregate();
        }
        self.exprs(exprs);
        for modifier in modifiers {
            match modifier {
                GroupByWithModifier::GroupingSets(expr) => self.expr(expr),
                GroupByWithModifier::Rollup
                | GroupByWithModifier::Cube
                | GroupByWithModifier::Totals => {
                    self.facts.not_understood("clause of another dialect");
                }
            }
        }
    }

    fn order_by(&mut self, order_by: &'a OrderBy) {
        let OrderBy { kind, interpolate } = order_by;
        match kind {
            OrderByKind::Expressions(exprs) if interpolate.is_none() => self.order_by_exprs(exprs),
            _ => self.facts.not_understood("ORDER BY of another dialect"),
        }
    }

    pub(crate) fn order_by_exprs(&mut self, exprs: &'a [OrderByExpr]) {
        for OrderByExpr { expr, options, with_fill } in exprs {
            if with_fill.is_some() {
                self.facts.not_understood("ORDER BY of another dialect");
            }
            if let Some(OrderBySort::Using(operator)) = &options.sort {
                self.facts.calls_operator(operator.to_string());
            }
            self.expr(expr);
        }
    }

    fn limit(&mut self, limit: Option<&'a LimitClause>, fetch: Option<&'a Fetch>) {
        match limit {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if !limit_by.is_empty() {
                    self.facts.not_understood("clause of another dialect");
                }
                self.exprs(limit);
                self.exprs(offset.as_ref().map(|offset| &offset.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => self.exprs([offset, limit]),
        }
        if let Some(Fetch { with_ties: _, percent: _, quantity }) = fetch {
            self.exprs(quantity);
        }
    }

    pub(crate) fn exprs(&mut self, exprs: impl IntoIterator<Item = &'a Expr>) {
        exprs.into_iter().for_each(|expr| self.expr(expr));
    }

    /// Notes the use of a column in all blocks where the name can mean one.
    pub(crate) fn use_column(&mut self, parts: &[Ident]) {
        scope::use_column(self.dialect, &self.blocks, &mut self.facts, parts);
    }

    pub(crate) fn use_name(&mut self, name: &ObjectName) {
        let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
        match parts {
            Some(parts) => self.use_column(&parts),
            None => self.facts.not_understood("column name"),
        }
    }

    /// Notes the use of whole rows of the relation with this name.
    pub(crate) fn use_row(&mut self, name: &ObjectName) {
        let Some(table) = self.dialect.fold_name(name) else {
            return self.facts.not_understood("relation name");
        };
        self.use_all(|relation| {
            relation.exposed.as_deref().is_none_or(|name| *name == *table.name)
        });
    }

    /// Notes the use of whole rows of relations in scope.
    pub(crate) fn use_all(&mut self, which: impl Fn(&Relation<'_>) -> bool) {
        let Walk { blocks, facts, .. } = self;
        blocks
            .iter()
            .flat_map(|block| &block.relations)
            .filter(|relation| which(relation))
            .for_each(|relation| relation.use_all(facts));
    }
}
