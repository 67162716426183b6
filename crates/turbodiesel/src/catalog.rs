//! What the database knows about its relations, and what follows from it for reads and writes.
//!
//! A statement's text says which names it mentions; only the catalog says what lies behind them:
//! views have bodies, deletes cascade, triggers write elsewhere, partitions share rows. The *closure*
//! of a name is every base table whose rows it stands for.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use turbodiesel_core::{Bypass, TableName};
use turbodiesel_sql::Plan;

/// A snapshot of the catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Changes whenever the catalog does; compared, never interpreted.
    pub signature: String,
    /// The schemas in which an unqualified name is looked up, first match wins.
    pub search_path: Vec<Box<str>>,
    /// Schemas of the system, whose relations are never cached.
    pub system_schemas: &'static [&'static str],
    /// Tables and views outside the system's schemas, by their full name.
    pub relations: HashMap<TableName, Relation>,
    /// Functions defined outside the system's schemas, by name, with their worst volatility.
    pub functions: HashMap<Box<str>, Volatility>,
}

/// How much of a function's result depends on something other than its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// Nothing.
    Immutable,
    /// The state of the database, the session or the time.
    Stable,
    /// Anything; it may also write.
    Volatile,
}

/// A table or view.
#[derive(Debug)]
pub struct Relation {
    /// What it is.
    pub kind: RelationKind,
    /// Whether policies decide which rows a role sees.
    pub row_security: bool,
    /// Whether those policies call functions, which can read anything.
    pub opaque_policies: bool,
    /// Relations that the policies read.
    pub policy_reads: Vec<TableName>,
    /// Whether a write may write elsewhere in ways that the catalog does not tell: triggers, rules.
    pub opaque_writes: bool,
    /// Tables whose rows a write here may change or delete through a foreign key.
    pub cascades_to: Vec<TableName>,
    /// Partitions and inheritance: parents and children, which share rows with this table.
    pub relatives: Vec<TableName>,
}

/// The kind of a [`Relation`].
#[derive(Debug)]
pub enum RelationKind {
    /// Rows of its own, written by statements that name it. Materialised views are such: only
    /// `REFRESH` writes them, and that invalidates everything.
    Table,
    /// A query over other relations.
    View(Arc<Plan>),
    /// Rows that others write unseen.
    Foreign,
}

impl Relation {
    /// A plain table with nothing attached.
    pub fn table() -> Self {
        Self {
            kind: RelationKind::Table,
            row_security: false,
            opaque_policies: false,
            policy_reads: Vec::new(),
            opaque_writes: false,
            cascades_to: Vec::new(),
            relatives: Vec::new(),
        }
    }
}

/// The base tables behind the relations that a statement reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadClosure {
    /// The tables, in a stable order.
    pub tables: BTreeSet<TableName>,
    /// Whether one of the relations is under row-level security.
    pub row_security: bool,
}

/// What a statement may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteClosure {
    /// These tables, in a stable order.
    Tables(BTreeSet<TableName>),
    /// Nobody can say.
    Everything,
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
        self.read_plan(plan, &mut closure, &mut seen)?;
        Ok(closure)
    }

    fn read_plan(
        &self,
        plan: &Plan,
        closure: &mut ReadClosure,
        seen: &mut HashSet<TableName>,
    ) -> Result<(), Refused> {
        if let Some(refusal) = plan.refusal() {
            return Err((refusal.reason, refusal.detail.clone()));
        }
        self.check_functions(plan)?;
        for name in plan.reads() {
            self.read_relation(name, closure, seen)?;
        }
        Ok(())
    }

    fn read_relation(
        &self,
        name: &TableName,
        closure: &mut ReadClosure,
        seen: &mut HashSet<TableName>,
    ) -> Result<(), Refused> {
        if name.schema.as_deref().is_some_and(|schema| self.system_schemas.contains(&schema)) {
            return Err((Bypass::SystemCatalog, name.to_string()));
        }
        let Some((name, relation)) = self.resolve(name) else {
            return Err((Bypass::UnknownTable, name.to_string()));
        };
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        if relation.row_security {
            if relation.opaque_policies {
                return Err((Bypass::RowSecurity, format!("a policy of {name} calls a function")));
            }
            closure.row_security = true;
            for read in &relation.policy_reads {
                self.read_relation(read, closure, seen)?;
            }
        }
        match &relation.kind {
            RelationKind::Foreign => Err((Bypass::ForeignTable, name.to_string())),
            RelationKind::View(body) => self
                .read_plan(body, closure, seen)
                .map_err(|(reason, detail)| (reason, format!("{detail} in view {name}"))),
            RelationKind::Table => {
                closure.tables.insert(name);
                Ok(())
            }
        }
    }

    /// A user's function shadows or overloads a built-in one of its name, so both lists are asked.
    fn check_functions(&self, plan: &Plan) -> Result<(), Refused> {
        for function in plan.functions() {
            match self.functions.get(&function.name) {
                Some(volatility) => refuse_function(*volatility, &function.name)?,
                None => return Err((Bypass::UnknownFunction, function.name.to_string())),
            }
        }
        for function in plan.builtins() {
            if let Some(volatility) = self.functions.get(&function.name) {
                refuse_function(*volatility, &function.name)?;
            }
        }
        Ok(())
    }

    /// Everything that a plan may write, through foreign keys, views, triggers and functions.
    pub fn write_closure(&self, plan: &Plan) -> WriteClosure {
        let calls_volatile = plan
            .functions()
            .chain(plan.builtins())
            .any(|function| self.functions.get(&function.name) == Some(&Volatility::Volatile));
        if calls_volatile {
            return WriteClosure::Everything;
        }
        let targets = match plan.writes() {
            turbodiesel_sql::Writes::None => return WriteClosure::Tables(BTreeSet::new()),
            turbodiesel_sql::Writes::Tables(targets) => targets,
            turbodiesel_sql::Writes::Everything => return WriteClosure::Everything,
        };
        self.write_closure_of(targets.iter().map(|target| target.table.clone()))
    }

    /// Everything that a write to these relations may write.
    pub fn write_closure_of(&self, names: impl IntoIterator<Item = TableName>) -> WriteClosure {
        let mut tables = BTreeSet::new();
        let mut open: Vec<TableName> = names.into_iter().collect();
        let mut seen = HashSet::new();
        while let Some(name) = open.pop() {
            let Some((name, relation)) = self.resolve(&name) else {
                return WriteClosure::Everything;
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            if relation.opaque_writes {
                return WriteClosure::Everything;
            }
            match &relation.kind {
                // An updatable view passes the write on to the tables that it reads.
                RelationKind::View(body) if body.refusal().is_none() => {
                    open.extend(body.reads().cloned());
                }
                RelationKind::View(_) => return WriteClosure::Everything,
                RelationKind::Table | RelationKind::Foreign => {
                    open.extend(relation.cascades_to.iter().cloned());
                    open.extend(relation.relatives.iter().cloned());
                    tables.insert(name);
                }
            }
        }
        WriteClosure::Tables(tables)
    }
}

fn refuse_function(volatility: Volatility, name: &str) -> Result<(), Refused> {
    match volatility {
        Volatility::Immutable => Ok(()),
        Volatility::Stable => Err((Bypass::StableFunction, name.to_owned())),
        Volatility::Volatile => Err((Bypass::VolatileFunction, name.to_owned())),
    }
}
