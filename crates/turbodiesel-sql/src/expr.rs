//! The walk over expressions: columns used, functions called, subqueries, and what tells the time.

use sqlparser::ast::{
    AccessExpr, CaseWhen, CeilFloorKind, DataType, DateTimeField, Expr, Ident, Subscript,
    TypedString, Value,
};
use turbodiesel_core::Bypass;

use crate::{Dialect, FunctionName, builtins, clock, types, walk::Walk};

impl<'a> Walk<'a> {
    pub(crate) fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Identifier(ident) => self.identifier(ident),
            Expr::CompoundIdentifier(parts) => {
                if let Some(column) = parts.last() {
                    self.check_system_column(column);
                }
                self.use_column(parts);
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.field_access(root, access_chain);
            }
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner)
            | Expr::IsJson { expr: inner, kind: _, unique_keys: _, negated: _ }
            | Expr::IsNormalized { expr: inner, form: _, negated: _ } => self.expr(inner),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.exprs([&**left, right]);
            }
            Expr::InList { expr, list, negated: _ } => {
                self.expr(expr);
                self.exprs(list);
            }
            Expr::InSubquery { expr, subquery, negated: _ } => {
                self.expr(expr);
                self.query(subquery);
            }
            Expr::Between { expr, negated: _, low, high } => self.exprs([&**expr, low, high]),
            Expr::BinaryOp { left, op, right } => {
                self.binary_operator(op);
                self.operands(op, [&**left, right]);
                self.exprs([&**left, right]);
            }
            Expr::Like { negated: _, any, expr, pattern, escape_char }
            | Expr::ILike { negated: _, any, expr, pattern, escape_char } => {
                if *any {
                    self.facts.not_understood("LIKE ANY of another dialect");
                }
                self.facts.calls_builtin("like");
                self.exprs([&**expr, pattern]);
                self.exprs(escape_char.as_deref());
            }
            Expr::SimilarTo { negated: _, expr, pattern, escape_char } => {
                self.exprs([&**expr, pattern]);
                self.exprs(escape_char.as_deref());
            }
            Expr::AnyOp { left, compare_op, right, is_some: _ }
            | Expr::AllOp { left, compare_op, right } => {
                self.binary_operator(compare_op);
                self.exprs([&**left, right]);
            }
            Expr::UnaryOp { op, expr } => {
                self.unary_operator(*op);
                self.expr(expr);
            }
            Expr::Cast { kind: _, expr, data_type, format } => {
                if format.is_some() {
                    self.facts.not_understood("CAST … FORMAT");
                }
                self.cast(data_type, clock::may_name_a_time(expr));
                self.expr(expr);
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: _ }) => {
                self.cast(data_type, clock::may_be_relative(&value.value));
                self.value(&value.value);
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.facts.calls_builtin("timezone");
                self.exprs([&**timestamp, time_zone]);
            }
            Expr::Extract { field: _, syntax: _, expr } => {
                self.facts.calls_builtin("extract");
                self.expr(expr);
            }
            Expr::Ceil { expr, field } => self.rounding("ceil", expr, field),
            Expr::Floor { expr, field } => self.rounding("floor", expr, field),
            Expr::Position { expr, r#in } => {
                self.facts.calls_builtin("position");
                self.exprs([&**expr, r#in]);
            }
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand } => {
                self.facts.calls_builtin(if *shorthand { "substr" } else { "substring" });
                self.expr(expr);
                self.exprs(substring_from.as_deref());
                self.exprs(substring_for.as_deref());
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.facts.calls_builtin("trim");
                self.expr(expr);
                self.exprs(trim_what.as_deref());
                self.exprs(trim_characters.iter().flatten());
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.facts.calls_builtin("overlay");
                self.exprs([&**expr, overlay_what, overlay_from]);
                self.exprs(overlay_for.as_deref());
            }
            Expr::Collate { expr, collation: _ } => self.expr(expr),
            Expr::Value(value) => self.value(&value.value),
            Expr::Function(function) => self.function(function),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.exprs(operand.as_deref());
                for CaseWhen { condition, result } in conditions {
                    self.exprs([condition, result]);
                }
                self.exprs(else_result.as_deref());
            }
            Expr::Exists { subquery, negated: _ } | Expr::Subquery(subquery) => {
                self.query(subquery);
            }
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                self.exprs(sets.iter().flatten());
            }
            Expr::Tuple(exprs) => self.exprs(exprs),
            Expr::Array(array) => self.exprs(&array.elem),
            Expr::Interval(interval) => self.expr(&interval.value),
            Expr::Wildcard(_) => self.use_all(|_| true),
            Expr::QualifiedWildcard(name, _) => self.use_row(name),
            Expr::JsonAccess { .. }
            | Expr::InUnnest { .. }
            | Expr::RLike { .. }
            | Expr::Convert { .. }
            | Expr::Prefixed { .. }
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::MatchAgainst { .. }
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::Lambda(_)
            | Expr::MemberOf(_) => self.facts.not_understood("expression of another dialect"),
        }
    }

    fn identifier(&mut self, ident: &Ident) {
        let name = self.dialect.fold(ident);
        if ident.quote_style.is_none() && builtins::is_bare_call(self.dialect, &name) {
            // The words are functions, with or without the precision in parentheses.
            self.facts.refuse(Bypass::StableFunction, name.to_string());
            self.facts.calls_builtin(&name);
        } else {
            self.check_system_column(ident);
            self.use_column(std::slice::from_ref(ident));
        }
    }

    /// Fields of composite values and elements of arrays.
    fn field_access(&mut self, root: &'a Expr, mut chain: &'a [AccessExpr]) {
        // `t.a[1]` is an element of column `t.a`, while `(t).a` is a field.
        if let Expr::Identifier(qualifier) = root {
            let mut parts = vec![qualifier.clone()];
            while let [AccessExpr::Dot(Expr::Identifier(part)), rest @ ..] = chain {
                parts.push(part.clone());
                chain = rest;
            }
            self.use_column(&parts);
        } else {
            self.expr(root);
        }
        for access in chain {
            match access {
                AccessExpr::Subscript(subscript) => self.subscript(subscript),
                // A field of a composite value, or a function in attribute notation.
                AccessExpr::Dot(Expr::Identifier(field)) => {
                    self.check_system_column(field);
                    let name = self.dialect.fold(field);
                    self.facts.calls(FunctionName { schema: None, name }, 1);
                }
                AccessExpr::Dot(_) => self.facts.not_understood("field access"),
            }
        }
    }

    fn check_system_column(&mut self, ident: &Ident) {
        const SYSTEM: &[&str] = &["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];
        let name = self.dialect.fold(ident);
        if self.dialect == Dialect::Postgres && SYSTEM.contains(&&*name) {
            self.facts.refuse(Bypass::SystemColumn, name);
        }
    }

    fn subscript(&mut self, subscript: &'a Subscript) {
        match subscript {
            Subscript::Index { index } => self.expr(index),
            Subscript::Slice { lower_bound, upper_bound, stride } => {
                self.exprs([lower_bound, upper_bound, stride].into_iter().flatten());
            }
        }
    }

    fn rounding(&mut self, name: &str, expr: &'a Expr, field: &CeilFloorKind) {
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {}
            CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_) => {
                self.facts.not_understood("rounding of another dialect");
            }
        }
        self.facts.calls_builtin(name);
        self.expr(expr);
    }

    fn value(&mut self, value: &Value) {
        // PostgreSQL reads a string as the type that its place asks for, so `created_at > 'today'`
        // tells the time. In SQLite only its date functions do.
        if self.dialect == Dialect::Postgres && clock::names_relative_time(value) {
            self.facts.refuse(Bypass::StableFunction, "relative time in a string");
        }
    }

    pub(crate) fn cast(&mut self, data_type: &DataType, from_text: bool) {
        match types::classify(self.dialect, data_type) {
            types::Class::Plain => {}
            types::Class::Time if from_text => {
                self.facts.refuse(
                    Bypass::StableFunction,
                    format!("text as {data_type}").to_ascii_lowercase(),
                );
            }
            types::Class::Time => {}
            types::Class::Catalog => {
                self.facts.refuse(
                    Bypass::SystemCatalog,
                    format!("cast to {data_type}").to_ascii_lowercase(),
                );
            }
            // The type's input function is unknown, and so are the checks of a domain.
            types::Class::Unknown => {
                self.facts.refuse(
                    Bypass::UnknownFunction,
                    format!("cast to {data_type}").to_ascii_lowercase(),
                );
            }
        }
    }
}
