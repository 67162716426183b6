//! What a walk over a statement has found out so far.

use std::collections::{BTreeMap, BTreeSet};

use turbodiesel_core::{Bypass, TableName};

use crate::{
    Columns, Dialect, FunctionName, Kind, Occurrence, Plan, Refusal, Target, Writes, builtins,
    builtins::Class, operator::Beside,
};

/// The findings, which only ever grow.
#[derive(Debug)]
pub(crate) struct Facts {
    dialect: Dialect,
    pub(crate) occurrences: Vec<Occurrence>,
    pub(crate) targets: Vec<Target>,
    pub(crate) is_aggregate: bool,
    /// What stands beside each use of an arithmetic operator.
    pub(crate) operands: BTreeMap<Box<str>, Vec<Beside>>,
    functions: BTreeSet<FunctionName>,
    builtins: BTreeSet<FunctionName>,
    refusal: Option<Refusal>,
    writes_everything: bool,
    changes_session: bool,
    not_understood: bool,
}

impl Facts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            occurrences: Vec::new(),
            targets: Vec::new(),
            is_aggregate: false,
            operands: BTreeMap::new(),
            functions: BTreeSet::new(),
            builtins: BTreeSet::new(),
            refusal: None,
            writes_everything: false,
            changes_session: false,
            not_understood: false,
        }
    }

    /// Notes why the statement may not be cached. The first reason stays.
    pub(crate) fn refuse(&mut self, reason: Bypass, detail: impl Into<String>) {
        self.refusal.get_or_insert_with(|| Refusal { reason, detail: detail.into() });
    }

    /// Notes a construct that is not understood, in which anything may hide.
    pub(crate) fn not_understood(&mut self, what: &str) {
        self.refuse(Bypass::NotUnderstood, what);
        self.not_understood = true;
    }

    /// Notes that any table may be changed.
    pub(crate) fn writes_everything(&mut self) {
        self.writes_everything = true;
    }

    /// Notes that a relation is read, and where to say more about it.
    pub(crate) fn reads(&mut self, table: TableName) -> usize {
        if let Some((reason, what)) = system_relation(self.dialect, &table) {
            self.refuse(reason, format!("{what} {table}"));
        }
        self.occurrences.push(Occurrence { table, columns: Columns::NONE, pins: Vec::new() });
        self.occurrences.len() - 1
    }

    /// Notes that a table is changed, and where to say more about it.
    pub(crate) fn writes(&mut self, target: Target) -> usize {
        if system_relation(self.dialect, &target.table).is_some() {
            self.writes_everything = true;
        }
        self.targets.push(target);
        self.targets.len() - 1
    }

    /// Notes that a function is called with so many arguments, and tells its class.
    pub(crate) fn calls(&mut self, function: FunctionName, arguments: usize) -> Class {
        let is_builtin = match (self.dialect, function.schema.as_deref()) {
            (_, None) => true,
            (Dialect::Postgres, Some(schema)) => schema == "pg_catalog",
            (Dialect::Sqlite, Some(_)) => false,
        };
        let class = match is_builtin {
            true => builtins::classify(self.dialect, &function.name),
            false => Class::Unknown,
        };
        let refusal = match class {
            Class::Pure | Class::Aggregate => None,
            Class::Clock { first: _, last } if arguments > last => None,
            Class::Clock { .. } | Class::Session | Class::Setting => Some(Bypass::StableFunction),
            Class::Volatile => Some(Bypass::VolatileFunction),
            Class::Catalog => Some(Bypass::SystemCatalog),
            Class::Writes => Some(Bypass::VolatileFunction),
            Class::Unknown => None,
        };
        if let Some(reason) = refusal {
            self.refuse(reason, format!("{}()", function.name));
        }
        self.writes_everything |= class == Class::Writes;
        self.changes_session |= class == Class::Setting;
        match class {
            Class::Unknown => self.functions.insert(function),
            _ => self.builtins.insert(function),
        };
        class
    }

    /// Notes a call of a built-in function that has a syntax of its own.
    pub(crate) fn calls_builtin(&mut self, name: &str) {
        self.builtins.insert(FunctionName { schema: None, name: name.into() });
    }

    /// Notes an operator whose function is not known.
    pub(crate) fn calls_operator(&mut self, operator: String) {
        self.functions.insert(FunctionName { schema: None, name: operator.into() });
    }

    /// The plan of the statement, given whether it yields rows.
    pub(crate) fn into_plan(self, returns_rows: bool) -> Plan {
        let changes = self.writes_everything || !self.targets.is_empty();
        let kind = match () {
            () if self.not_understood => Kind::Unknown,
            () if changes => Kind::Write,
            () if self.changes_session => Kind::Session,
            () => Kind::Read,
        };
        let writes = match () {
            () if self.writes_everything || self.not_understood => Writes::Everything,
            () if changes => Writes::Tables(self.targets),
            () => Writes::None,
        };
        let refusal = match kind {
            Kind::Write => Some(Refusal { reason: Bypass::Write, detail: "writes".into() }),
            _ => self.refusal,
        };
        Plan {
            kind,
            returns_rows,
            is_aggregate: self.is_aggregate,
            occurrences: self.occurrences,
            writes,
            functions: self.functions,
            builtins: self.builtins,
            operators: BTreeMap::new(),
            returning: None,
            refusal,
        }
    }
}

/// Whether a relation belongs to the database itself or to a session, and what to call it.
fn system_relation(dialect: Dialect, table: &TableName) -> Option<(Bypass, &'static str)> {
    const CATALOG: Option<(Bypass, &str)> = Some((Bypass::SystemCatalog, "system relation"));
    const TEMPORARY: Option<(Bypass, &str)> = Some((Bypass::UnknownTable, "temporary table"));
    match (dialect, table.schema.as_deref()) {
        (Dialect::Postgres, Some(schema)) if schema.starts_with("pg_temp") => TEMPORARY,
        (Dialect::Postgres, Some("information_schema")) => CATALOG,
        (Dialect::Postgres, Some(schema)) if schema.starts_with("pg_") => CATALOG,
        (Dialect::Postgres, None) if table.name.starts_with("pg_") => CATALOG,
        (Dialect::Sqlite, _)
            if table.name.starts_with("sqlite_")
                || table.name.starts_with("pragma_")
                || &*table.name == "dbstat" =>
        {
            CATALOG
        }
        (Dialect::Sqlite, Some("temp")) => TEMPORARY,
        _ => None,
    }
}
