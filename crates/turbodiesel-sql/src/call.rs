//! The walk over function calls.

use std::ops::RangeInclusive;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    ListAggOnOverflow, ObjectName, WindowFrameBound, WindowSpec, WindowType,
};
use turbodiesel_core::Bypass;

use crate::{Dialect, FunctionName, builtins::Class, clock, walk::Walk};

impl<'a> Walk<'a> {
    pub(crate) fn function(&mut self, function: &'a Function) {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            within_group,
            filter,
            null_treatment: _,
            over,
        } = function;
        if *uses_odbc_syntax || *parameters != FunctionArguments::None {
            self.facts.not_understood("call of another dialect");
        }
        let arguments = match args {
            FunctionArguments::None => 0,
            FunctionArguments::Subquery(query) => {
                self.query(query);
                1
            }
            FunctionArguments::List(list) => {
                self.function_args(&list.args);
                for clause in &list.clauses {
                    self.function_clause(clause);
                }
                list.args.len()
            }
        };
        let class = self.call(name, arguments);
        if let Class::Clock { first, last } = class {
            self.clock_arguments(args, first..=last);
        }
        // SQLite's `min` and `max` of several arguments are scalar.
        let scalar = self.dialect == Dialect::Sqlite && arguments > 1 && is_extremum(name);
        if class == Class::Aggregate && over.is_none() && !scalar {
            self.note_aggregate();
        }
        self.order_by_exprs(within_group);
        self.exprs(filter.as_deref());
        if let Some(over) = over {
            if let Some(block) = self.blocks.last_mut() {
                block.has_window = true;
            }
            match over {
                WindowType::NamedWindow(_) => {}
                WindowType::WindowSpec(spec) => self.window(spec),
            }
        }
    }

    /// Notes the call of a function by name, and tells its class.
    pub(crate) fn call(&mut self, name: &ObjectName, arguments: usize) -> Class {
        let Some(name) = self.dialect.fold_name(name) else {
            self.facts.not_understood("function name");
            return Class::Unknown;
        };
        self.facts.calls(FunctionName { schema: name.schema, name: name.name }, arguments)
    }

    /// Refuses a function of times if one of those may be the present, or relative to it.
    fn clock_arguments(&mut self, args: &FunctionArguments, times: RangeInclusive<usize>) {
        let FunctionArguments::List(list) = args else { return };
        let is_relative = list.args.iter().enumerate().any(|(index, arg)| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => match expr {
                _ if times.contains(&index) => clock::may_name_a_time(expr),
                Expr::Value(value) => clock::names_relative_time(&value.value),
                _ => false,
            },
            _ => true,
        });
        if is_relative {
            self.facts.refuse(Bypass::StableFunction, "relative time");
        }
    }

    pub(crate) fn function_args(&mut self, args: &'a [FunctionArg]) {
        for arg in args {
            let arg = match arg {
                FunctionArg::Named { name: _, arg, operator: _ } | FunctionArg::Unnamed(arg) => arg,
                FunctionArg::ExprNamed { name, arg, operator: _ } => {
                    self.expr(name);
                    arg
                }
            };
            match arg {
                FunctionArgExpr::Expr(expr) => self.expr(expr),
                FunctionArgExpr::QualifiedWildcard(name) => self.use_row(name),
                // `count(*)` uses no column.
                FunctionArgExpr::Wildcard => {}
                FunctionArgExpr::WildcardWithOptions(options) => self.wildcard_options(options),
            }
        }
    }

    fn function_clause(&mut self, clause: &'a FunctionArgumentClause) {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(_)
            | FunctionArgumentClause::JsonNullClause(_)
            | FunctionArgumentClause::Separator(_) => {}
            FunctionArgumentClause::OrderBy(exprs) => self.order_by_exprs(exprs),
            FunctionArgumentClause::JsonReturningClause(returning) => {
                self.cast(&returning.data_type, true);
            }
            FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Error) => {}
            FunctionArgumentClause::OnOverflow(ListAggOnOverflow::Truncate { .. })
            | FunctionArgumentClause::Where(_)
            | FunctionArgumentClause::Limit(_)
            | FunctionArgumentClause::Having(_) => {
                self.facts.not_understood("call of another dialect");
            }
        }
    }

    pub(crate) fn window(&mut self, spec: &'a WindowSpec) {
        let WindowSpec { window_name: _, partition_by, order_by, window_frame } = spec;
        self.exprs(partition_by);
        self.order_by_exprs(order_by);
        let bounds = window_frame.iter().flat_map(|frame| {
            [Some(&frame.start_bound), frame.end_bound.as_ref()].into_iter().flatten()
        });
        for bound in bounds {
            match bound {
                WindowFrameBound::CurrentRow => {}
                WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) => {
                    self.exprs(offset.as_deref());
                }
            }
        }
    }
}

fn is_extremum(name: &ObjectName) -> bool {
    let name = name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| {
        name.value.eq_ignore_ascii_case("min") || name.value.eq_ignore_ascii_case("max")
    })
}
