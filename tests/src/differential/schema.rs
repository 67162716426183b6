//! Random schemas: tables with keys of all sorts, what hangs on them, and rows to begin with.

use fastrand::Rng;

use super::{
    Dialect,
    values::{DOMAIN, Kind, any_value, literal},
};

/// What a schema consists of, as far as statements over it must know.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) dialect: Dialect,
    /// Statements that make it. Each may fail by itself; the others are made all the same.
    pub(super) statements: Vec<String>,
    pub(super) tables: Vec<Table>,
    /// Everything that can be read: tables, their partitions and children, views.
    pub(super) relations: Vec<Relation>,
    /// Statements that write through procedures and functions.
    pub(super) calls: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Computed from another column.
    pub(super) generated: bool,
}

/// A table that statements write.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// How many columns make the primary key: the first ones.
    pub(super) key: usize,
    /// The key is a number that the database gives.
    pub(super) serial: bool,
    /// A unique column besides the key.
    pub(super) unique: Option<usize>,
    /// A text column with a unique index over `lower(…)`.
    pub(super) lower: Option<usize>,
    /// A column that refers to the key of another table.
    pub(super) foreign: Option<usize>,
    /// Nothing hangs on the table that could write elsewhere, or to rows that were not asked for.
    pub(super) plain: bool,
    /// The key is unique over all rows that a read of the table sees.
    pub(super) is_key_unique: bool,
}

/// Something that can be read, and some of it written.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// How many columns identify a row: the first ones. None in some views.
    pub(super) key: usize,
    /// The table, if it is one: its index.
    pub(super) table: Option<usize>,
    pub(super) writable: bool,
}

impl Table {
    pub(super) fn key_columns(&self) -> &[Column] {
        &self.columns[..self.key]
    }

    /// Columns that are neither of the key nor generated.
    pub(super) fn values(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().skip(self.key).filter(|(_, column)| !column.generated)
    }

    /// Whether a column is part of a key of its own or of another table.
    pub(super) fn is_of_a_key(&self, index: usize) -> bool {
        index < self.key || [self.unique, self.lower, self.foreign].contains(&Some(index))
    }
}

/// Makes a random schema.
pub(super) fn random(rng: &mut Rng, dialect: Dialect) -> Schema {
    let mut maker = Maker {
        rng,
        schema: Schema {
            dialect,
            statements: Vec::new(),
            tables: Vec::new(),
            relations: Vec::new(),
            calls: Vec::new(),
        },
    };
    maker.common();
    for index in 0..maker.rng.usize(3..=6) {
        maker.table(index);
    }
    maker.rows();
    // After the rows, so that what hangs on tables does not make the first ones.
    maker.triggers();
    maker.views();
    maker.schema
}

pub(super) struct Maker<'r> {
    pub(super) rng: &'r mut Rng,
    pub(super) schema: Schema,
}

const ACTIONS: [&str; 5] = ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"];

impl Maker<'_> {
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    pub(super) fn postgres(&self) -> bool {
        self.schema.dialect == Dialect::Postgres
    }

    pub(super) fn add(&mut self, statement: impl Into<String>) {
        self.schema.statements.push(statement.into());
    }

    fn common(&mut self) {
        let key = if self.postgres() {
            self.add("CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
            "serial"
        } else {
            "integer"
        };
        self.add(format!("CREATE TABLE audit (id {key} PRIMARY KEY, what text, n int)"));
        self.add("CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL)");
        self.add("INSERT INTO counters VALUES (1, 0), (2, 0), (3, 0), (4, 0)");
        let column = |name: &str, kind| Column { name: name.into(), kind, generated: false };
        self.schema.relations.push(Relation {
            name: "audit".into(),
            columns: vec![
                column("id", Kind::Int),
                column("what", Kind::Text),
                column("n", Kind::Int),
            ],
            key: 1,
            table: None,
            writable: false,
        });
    }

    fn table(&mut self, index: usize) {
        let dialect = self.schema.dialect;
        let name = format!("t{index}");
        let serial = self.chance(45);
        let key = if serial || self.chance(60) { 1 } else { 2 };
        let mut columns: Vec<Column> = (0..key)
            .map(|position| {
                let kind = if serial { Kind::Int } else { Kind::of_key(self.rng, dialect) };
                let name = if position == 0 { "id".into() } else { format!("k{position}") };
                Column { name, kind, generated: false }
            })
            .collect();
        let partitioned = self.postgres() && !serial && key == 2 && self.chance(50);
        if partitioned {
            columns[1].kind = Kind::Int;
        }
        for position in 0..self.rng.usize(2..=4) {
            let kind = Kind::any(self.rng, dialect);
            columns.push(Column { name: format!("c{position}"), kind, generated: false });
        }
        let mut table = Table {
            name: name.clone(),
            columns,
            key,
            serial,
            unique: None,
            lower: None,
            foreign: None,
            plain: true,
            is_key_unique: true,
        };
        let foreign = self.foreign_key(&mut table, index);
        let generated = self.chance(20);
        if generated {
            table.columns.push(Column { name: "g".into(), kind: Kind::Text, generated: true });
        }
        self.create(&table, foreign.as_deref(), partitioned);
        self.indexes(&mut table, partitioned);
        self.schema.relations.push(Relation {
            name: name.clone(),
            columns: table.columns.clone(),
            key,
            table: Some(index),
            writable: true,
        });
        if partitioned {
            self.partitions(&table, index);
            table.plain = false;
        } else if self.postgres() && self.chance(15) {
            self.child(&table, index);
            table.plain = false;
            table.is_key_unique = false;
        }
        self.schema.tables.push(table);
    }

    /// A column that refers to an earlier table or to the table itself, and its constraint.
    fn foreign_key(&mut self, table: &mut Table, index: usize) -> Option<String> {
        if !self.chance(65) {
            return None;
        }
        let to_self = index == 0 || self.chance(20);
        let target = if to_self { index } else { self.rng.usize(0..index) };
        let (name, kind) = {
            let target = if to_self { &*table } else { &self.schema.tables[target] };
            if target.key != 1 || !target.is_key_unique {
                return None;
            }
            (target.name.clone(), target.columns[0].kind)
        };
        let column = "parent".to_owned();
        table.foreign = Some(table.columns.len());
        table.columns.push(Column { name: column, kind, generated: false });
        let mut action = || self.rng.choice(ACTIONS).expect("there are some");
        let (delete, update) = (action(), action());
        // The target's rows are no longer changed by those alone that write it.
        if [delete, update].iter().any(|it| !matches!(*it, "NO ACTION" | "RESTRICT")) {
            table.plain = false;
            if let Some(target) = self.schema.tables.get_mut(target) {
                target.plain = false;
            }
        }
        let deferred = if self.chance(25) { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
        Some(format!("REFERENCES {name} ON DELETE {delete} ON UPDATE {update}{deferred}"))
    }

    fn create(&mut self, table: &Table, foreign: Option<&str>, partitioned: bool) {
        let dialect = self.schema.dialect;
        let mut parts: Vec<String> = Vec::new();
        for (index, column) in table.columns.iter().enumerate() {
            let kind = column.kind.ddl(dialect);
            let part = if index == 0 && table.serial {
                match (dialect, self.rng.bool()) {
                    (Dialect::Sqlite, _) => "id integer PRIMARY KEY".into(),
                    (Dialect::Postgres, true) => "id serial PRIMARY KEY".into(),
                    (Dialect::Postgres, false) => {
                        "id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY".into()
                    }
                }
            } else if column.generated {
                let source = &table.columns[table.key].name;
                format!(
                    "g text GENERATED ALWAYS AS (CASE WHEN {source} IS NULL THEN 'none' ELSE 'some' END) STORED"
                )
            } else if table.foreign == Some(index) {
                let default = any_value(self.rng);
                let default = literal(column.kind, default, self.rng, dialect);
                let default =
                    if self.chance(40) { format!(" DEFAULT {default}") } else { String::new() };
                format!("{} {kind}{default} {}", column.name, foreign.unwrap_or_default())
            } else if index < table.key {
                format!("{} {kind} NOT NULL", column.name)
            } else {
                let default = any_value(self.rng);
                match self.rng.u8(0..4) {
                    0 => format!(
                        "{} {kind} DEFAULT {}",
                        column.name,
                        literal(column.kind, default, self.rng, dialect)
                    ),
                    _ => format!("{} {kind}", column.name),
                }
            };
            parts.push(part);
        }
        if !table.serial {
            let key: Vec<&str> = table.key_columns().iter().map(|it| &*it.name).collect();
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        let tail = if partitioned {
            let how = if self.rng.bool() { "LIST" } else { "RANGE" };
            format!(" PARTITION BY {how} (k1)")
        } else if !self.postgres() && !table.serial && self.chance(30) {
            " WITHOUT ROWID".to_owned()
        } else {
            String::new()
        };
        self.add(format!("CREATE TABLE {} ({}){tail}", table.name, parts.join(", ")));
    }

    fn indexes(&mut self, table: &mut Table, partitioned: bool) {
        let name = table.name.clone();
        if partitioned {
            return;
        }
        let values: Vec<(usize, String, Kind)> = table
            .values()
            .filter(|(index, _)| Some(*index) != table.foreign)
            .map(|(index, column)| (index, column.name.clone(), column.kind))
            .collect();
        if let Some((index, column, kind)) = self.rng.choice(&values)
            && *kind != Kind::Bool
            && self.rng.u8(0..100) < 35
        {
            table.unique = Some(*index);
            self.add(format!("CREATE UNIQUE INDEX {name}_unique ON {name} ({column})"));
        }
        if let Some((index, column, _)) = values
            .iter()
            .find(|(index, _, kind)| *kind == Kind::Text && Some(*index) != table.unique)
            && self.rng.u8(0..100) < 30
        {
            table.lower = Some(*index);
            self.add(format!("CREATE UNIQUE INDEX {name}_lower ON {name} (lower({column}))"));
        }
        if let Some((_, column, _)) = self.rng.choice(&values)
            && self.rng.bool()
        {
            self.add(format!("CREATE INDEX {name}_{column} ON {name} ({column})"));
            self.add(format!(
                "CREATE UNIQUE INDEX {name}_partial ON {name} ({column}) WHERE {column} IS NULL"
            ));
        }
    }

    /// Partitions, which are read and written directly too.
    fn partitions(&mut self, table: &Table, index: usize) {
        let made = self.schema.statements.last().cloned().unwrap_or_default();
        let list = made.contains("BY LIST");
        let bounds = match list {
            true => ["IN (0, 1, 2)", "IN (3, 4, 5)", ""],
            false => ["FROM (0) TO (4)", "FROM (4) TO (8)", ""],
        };
        for (position, bounds) in bounds.iter().enumerate() {
            let name = format!("{}_p{position}", table.name);
            let bounds = match bounds.is_empty() {
                true => "DEFAULT".to_owned(),
                false => format!("FOR VALUES {bounds}"),
            };
            self.add(format!("CREATE TABLE {name} PARTITION OF {} {bounds}", table.name));
            self.schema.relations.push(Relation {
                name,
                columns: table.columns.clone(),
                key: table.key,
                table: Some(index),
                writable: true,
            });
        }
    }

    /// A table that inherits, whose rows the parent shows too.
    fn child(&mut self, table: &Table, index: usize) {
        let name = format!("{}_child", table.name);
        self.add(format!("CREATE TABLE {name} (extra int) INHERITS ({})", table.name));
        self.schema.relations.push(Relation {
            name,
            columns: table.columns.clone(),
            key: table.key,
            table: Some(index),
            writable: true,
        });
    }

    /// A few rows in each table. Those that break a constraint are left out.
    fn rows(&mut self) {
        let dialect = self.schema.dialect;
        for table in self.schema.tables.clone() {
            for n in 0..DOMAIN {
                let columns: Vec<usize> = (0..table.columns.len())
                    .filter(|index| !table.columns[*index].generated)
                    .filter(|index| !(table.serial && *index == 0))
                    .collect();
                let names: Vec<&str> =
                    columns.iter().map(|index| &*table.columns[*index].name).collect();
                let values: Vec<String> = columns
                    .iter()
                    .map(|index| match *index {
                        0 => literal(table.columns[0].kind, n, self.rng, dialect),
                        _ if self.chance(12) && *index >= table.key => "NULL".to_owned(),
                        index => {
                            let n = any_value(self.rng);
                            literal(table.columns[index].kind, n, self.rng, dialect)
                        }
                    })
                    .collect();
                let (name, names, values) = (&table.name, names.join(", "), values.join(", "));
                self.add(format!("INSERT INTO {name} ({names}) VALUES ({values})"));
            }
        }
    }
}
