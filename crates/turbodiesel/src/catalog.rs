//! What the database knows about its relations, and what follows from it for reads and writes.
//!
//! A statement's text says which names it mentions; only the catalog says what lies behind them:
//! views have bodies, deletes cascade, triggers write elsewhere, partitions share rows. The *closure*
//! of a name is every base table whose rows it stands for.

mod closure;
mod family;
mod relation;
mod trigger;

use std::collections::{BTreeSet, HashMap, HashSet};

use turbodiesel_core::{Bypass, TableName};
use turbodiesel_sql::{ColumnRef, Columns, Plan};

use crate::settle::Process;

#[cfg_attr(
    not(feature = "_stub"),
    expect(unreachable_pub, reason = "published by that feature")
)]
pub use self::relation::{PinType, Relation, RelationKind};
pub(crate) use self::{
    closure::{WriteClosure, WrittenTarget},
    family::settle_families,
    relation::{Cascade, CascadeOn, Column, TableWrite, add_columns, no_columns},
    trigger::{Events, Trigger, TriggerBody},
};

/// A snapshot of the catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Changes whenever the catalog does; compared, never interpreted.
    pub objects: String,
    /// The schemas in which an unqualified name is looked up, first match wins.
    pub search_path: SearchPath,
    /// Schemas of the system, whose relations are never cached.
    pub system_schemas: &'static [&'static str],
    /// Tables and views outside the system's schemas, by their full name.
    pub relations: HashMap<TableName, Relation>,
    /// Functions by name and operators by symbol, with their worst volatility. The system's functions
    /// are left out where the planner knows them.
    pub functions: HashMap<Box<str>, Volatility>,
    /// Functions that look like a column when called on a row (`users.full_name`).
    pub row_functions: HashMap<Box<str>, Volatility>,
    /// Operators that are not the system's and depend on more than their operands, by their symbol:
    /// the planner takes it for the system's where that has such a one.
    pub operators: HashMap<Box<str>, UserOperator>,
    /// The worst of those that may be called where no text shows it.
    pub implied_operator: Option<Volatility>,
    /// Whether `RETURNING` knows rows as they were before the write (`old.column`).
    pub returns_old: bool,
    /// Whether a function that is not listed here may write.
    pub unknown_may_write: bool,
}

/// The schemas in which a session looks up unqualified names, first match wins.
pub(crate) type SearchPath = Vec<Box<str>>;

/// What a catalog is compared by.
#[derive(Debug)]
pub struct Signature {
    /// Changes whenever a relation, or anything attached to one, does.
    pub objects: String,
    /// Where this session looks names up.
    pub search_path: SearchPath,
    /// Whether a transaction is open that has written, so that others may never see what it sees.
    pub uncommitted: bool,
    /// The server's process behind this session, if the database is a server.
    pub process: Option<Process>,
}

/// How much of a function's result depends on something other than its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// Nothing.
    Immutable,
    /// The state of the database, the session or the time.
    Stable,
    /// Anything, but it writes no table.
    Volatile,
    /// Anything, and it may write.
    Writing,
}

/// Operators of one symbol that depend on more than their operands and are not the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserOperator {
    /// The worst of them.
    pub worst: Volatility,
    /// The worst of those that a number may be an operand of.
    pub worst_of_numbers: Option<Volatility>,
}

/// The base tables behind the relations that a statement reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadClosure {
    /// The tables, in a stable order.
    pub tables: BTreeSet<TableName>,
    /// Those among them that are read through views and policies, whether or not the statement names
    /// them as well.
    pub beyond: BTreeSet<TableName>,
    /// Whether one of the relations is under row-level security.
    pub row_security: bool,
}

/// How a statement comes to read a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// By its name.
    Directly,
    /// Through a view or a policy.
    Beyond,
}

/// Why a statement must not be cached: the reason, and what in the statement gives it.
pub(crate) type Refused = (Bypass, String);

impl Catalog {
    /// Finds a relation as the database would: by its full name or along the search path.
    pub fn resolve(&self, name: &TableName) -> Option<(TableName, &Relation)> {
        let candidates: Vec<TableName> = match &name.schema {
            Some(_) => vec![name.clone()],
            None => self
                .search_path
                .iter()
                .map(|schema| TableName::qualified(schema.clone(), name.name.clone()))
                .collect(),
        };
        candidates.into_iter().find_map(|name| {
            let relation = self.relations.get(&name)?;
            Some((name, relation))
        })
    }

    /// Everything that a plan reads, through views and policies.
    ///
    /// # Errors
    ///
    /// The reason why an answer must not be cached.
    pub fn read_closure(&self, plan: &Plan) -> Result<ReadClosure, Refused> {
        let mut closure = ReadClosure::default();
        let mut seen = HashSet::new();
        self.read_plan(plan, Reached::Directly, &mut closure, &mut seen)?;
        Ok(closure)
    }

    fn read_plan(
        &self,
        plan: &Plan,
        reached: Reached,
        closure: &mut ReadClosure,
        seen: &mut HashSet<TableName>,
    ) -> Result<(), Refused> {
        if let Some(refusal) = plan.refusal() {
            return Err((refusal.reason, refusal.detail.clone()));
        }
        for (name, volatility) in self.called(plan) {
            refuse_function(volatility, name)?;
        }
        for name in plan.reads() {
            self.read_relation(name, reached, closure, seen)?;
        }
        Ok(())
    }

    /// The functions that a plan calls as far as they are not built in, with their volatility:
    /// `None` where nobody knows. A user's function overloads a built-in one of its name, and a
    /// column may be a function of its row.
    fn called<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a str, Option<Volatility>)> {
        let unlisted = plan.functions().map(|function| {
            let name = &*function.name;
            (name, self.functions.get(name).copied())
        });
        let overloaded = plan.builtins().filter_map(|function| {
            let (name, volatility) = self.functions.get_key_value(&function.name)?;
            Some((&**name, Some(*volatility)))
        });
        let of_rows = self.row_functions.iter().filter_map(|(name, volatility)| {
            let used = plan.occurrences().iter().any(|occurrence| match &occurrence.columns {
                Columns::All => false,
                Columns::Only(columns) => columns.contains(name),
            });
            used.then_some((&**name, Some(*volatility)))
        });
        unlisted.chain(overloaded).chain(of_rows)
    }

    /// Takes in a function or an operator, beside others of its name.
    pub fn add_callable(&mut self, name: Box<str>, volatility: Volatility) {
        let known = self.functions.entry(name).or_insert(volatility);
        *known = (*known).max(volatility);
    }

    /// Takes in an operator that the system does not define, beside others of its symbol.
    pub fn add_operator(&mut self, symbol: Box<str>, of_numbers: bool, volatility: Volatility) {
        let of_numbers = of_numbers.then_some(volatility);
        let new = UserOperator { worst: volatility, worst_of_numbers: of_numbers };
        let known = self.operators.entry(symbol).or_insert(new);
        known.worst = known.worst.max(volatility);
        known.worst_of_numbers = known.worst_of_numbers.max(of_numbers);
    }

    /// The worst operator of a statement that the system does not define.
    pub fn worst_operator(&self, plan: &Plan) -> Option<Volatility> {
        if self.operators.is_empty() {
            return self.implied_operator;
        }
        let is_number = |column: &ColumnRef| {
            let relation = self.resolve(&column.table);
            let column = relation.and_then(|(_, relation)| relation.columns.get(&column.column));
            column.is_some_and(|column| column.kind == Some(PinType::Int))
        };
        let used = plan.operators().filter_map(|(symbol, operands)| {
            let operator = self.operators.get(symbol)?;
            match operands.are_numbers(is_number) {
                true => operator.worst_of_numbers,
                false => Some(operator.worst),
            }
        });
        used.max().max(self.implied_operator)
    }

    fn read_relation(
        &self,
        name: &TableName,
        reached: Reached,
        closure: &mut ReadClosure,
        seen: &mut HashSet<TableName>,
    ) -> Result<(), Refused> {
        if name.schema.as_deref().is_some_and(|schema| self.system_schemas.contains(&schema)) {
            return Err((Bypass::SystemCatalog, name.to_string()));
        }
        let Some((name, relation)) = self.resolve(name) else {
            return Err((Bypass::UnknownTable, name.to_string()));
        };
        if reached == Reached::Beyond && matches!(relation.kind, RelationKind::Table) {
            closure.beyond.insert(name.clone());
        }
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        if relation.row_security {
            if relation.opaque_policies {
                return Err((Bypass::RowSecurity, format!("a policy of {name} calls a function")));
            }
            closure.row_security = true;
            for read in &relation.policy_reads {
                self.read_relation(read, Reached::Beyond, closure, seen)?;
            }
        }
        if self.shares_rows_with_a_foreign_table(&name) {
            return Err((Bypass::ForeignTable, name.to_string()));
        }
        match &relation.kind {
            RelationKind::Foreign => Err((Bypass::ForeignTable, name.to_string())),
            RelationKind::View(_) if relation.operator.is_some() => Err((
                Bypass::StableFunction,
                format!("an operator that is not the system's in view {name}"),
            )),
            RelationKind::View(body) => self
                .read_plan(body, Reached::Beyond, closure, seen)
                .map_err(|(reason, detail)| (reason, format!("{detail} in view {name}"))),
            RelationKind::Table => {
                closure.tables.insert(name);
                Ok(())
            }
        }
    }

    fn shares_rows_with_a_foreign_table(&self, name: &TableName) -> bool {
        let is_foreign = |relation: &Relation| matches!(relation.kind, RelationKind::Foreign);
        self.family(name).iter().any(|member| self.relations.get(member).is_some_and(is_foreign))
    }
}

fn refuse_function(volatility: Option<Volatility>, name: &str) -> Result<(), Refused> {
    let reason = match volatility {
        None => Bypass::UnknownFunction,
        Some(Volatility::Immutable) => return Ok(()),
        Some(Volatility::Stable) => Bypass::StableFunction,
        Some(Volatility::Volatile | Volatility::Writing) => Bypass::VolatileFunction,
    };
    Err((reason, name.to_owned()))
}
