//! Random schemas: tables with keys of all sorts, what hangs on them, and rows to begin with.

mod tables;

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
