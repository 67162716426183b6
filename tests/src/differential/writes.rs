//! Random writes: by key and by everything else, with and without rows in answer.

use fastrand::Rng;

use super::{
    Dialect,
    conditions::condition,
    schema::{Column, Relation, Schema, Table},
    statement::{Binds, Class, Statement},
    values::{Kind, any_value, literal, odd_value, value},
};

/// Makes a random write.
pub(super) fn random(rng: &mut Rng, schema: &Schema) -> Statement {
    let mut text = Text { rng, schema, binds: Binds::default(), class: Class::Other };
    let (sql, returns) = text.any();
    let (class, binds) = (text.class, text.binds);
    let mut statement = binds.statement(sql);
    (statement.class, statement.returns) = (class, returns);
    statement.prepare = rng.u8(0..4) > 0;
    statement
}

/// A text in the making.
struct Text<'a> {
    rng: &'a mut Rng,
    schema: &'a Schema,
    binds: Binds,
    class: Class,
}

/// What is written: a table by its own name, or by that of a view, a partition or a child.
#[derive(Clone, Copy)]
struct Target<'a> {
    table: &'a Table,
    name: &'a str,
    /// The columns that the name shows.
    columns: &'a [Column],
    /// It is the table, and nothing hangs on it.
    plain: bool,
}

impl<'a> Text<'a> {
    fn postgres(&self) -> bool {
        self.schema.dialect == Dialect::Postgres
    }

    fn table(&mut self) -> &'a Table {
        self.rng.choice(&self.schema.tables).expect("there are some")
    }

    fn target(&mut self) -> Target<'a> {
        if self.rng.u8(0..5) == 0 {
            let relation = self.rng.choice(&self.schema.relations).expect("there are some");
            if let Relation { table: Some(table), writable: true, name, columns, .. } = relation {
                let table = &self.schema.tables[*table];
                return Target { table, name, columns, plain: false };
            }
        }
        let table = self.table();
        Target { table, name: &table.name, columns: &table.columns, plain: table.plain }
    }

    /// The n-th value of a column: bound, bound as another type, or spelt out.
    fn value_of(&mut self, column: &Column, n: u32) -> String {
        let dialect = self.schema.dialect;
        match self.rng.u8(0..8) {
            0 | 1 => literal(column.kind, n, self.rng, dialect),
            2 => {
                let odd = odd_value(column.kind, n, self.rng, dialect);
                self.binds.push(odd)
            }
            _ => self.binds.push(value(column.kind, n, dialect)),
        }
    }

    fn any_value_of(&mut self, column: &Column) -> String {
        let n = any_value(self.rng);
        match self.rng.u8(0..10) {
            0 => "NULL".to_owned(),
            _ => self.value_of(column, n),
        }
    }

    /// `RETURNING` nothing, something or everything.
    fn returning(&mut self, target: Target<'_>) -> (String, bool) {
        match self.rng.u8(0..6) {
            0 => (" RETURNING *".into(), true),
            1 => {
                let column = self.rng.choice(target.columns).expect("there are some");
                (format!(" RETURNING {}", column.name), true)
            }
            2 => {
                let (column, key) =
                    (self.rng.choice(target.columns).expect("there are some"), &target.columns[0]);
                (format!(" RETURNING {}, {} AS again, {}", key.name, key.name, column.name), true)
            }
            _ => (String::new(), false),
        }
    }

    fn any(&mut self) -> (String, bool) {
        match self.rng.u8(0..100) {
            0..=21 => self.insert(),
            22..=31 => self.upsert(),
            32..=53 => self.update_by_key(),
            54..=60 => self.update(),
            61..=64 => self.update_from(),
            65..=74 => self.delete_by_key(),
            75..=80 => self.delete(),
            81..=85 => self.writing_cte(),
            86..=88 => self.insert_select(),
            89 | 90 => self.merge(),
            91 => self.default_values(),
            92 => self.truncate(),
            93 => self.copy(),
            94..=97 => self.call(),
            _ => (format!("DELETE FROM audit WHERE id > {}", any_value(self.rng)), false),
        }
    }

    /// The columns of an insert: those of the key, unless the database gives it, and some others.
    fn columns_to_insert(&mut self, target: Target<'a>) -> Vec<&'a Column> {
        let table = target.table;
        let omit_key = table.serial && self.rng.u8(0..4) > 0;
        let columns = target.columns.iter().enumerate();
        let chosen = columns.filter(|(index, column)| {
            let of_key = *index < table.key;
            !column.generated && (if of_key { !omit_key } else { self.rng.u8(0..5) > 0 })
        });
        chosen.map(|(_, column)| column).collect()
    }

    fn rows(&mut self, columns: &[&Column], target: Target<'_>) -> String {
        let rows: Vec<String> = (0..if self.rng.u8(0..3) == 0 { self.rng.usize(2..4) } else { 1 })
            .map(|_| {
                let values: Vec<String> = columns
                    .iter()
                    .map(|column| {
                        let of_key =
                            target.table.key_columns().iter().any(|it| it.name == column.name);
                        let n = any_value(self.rng);
                        // New keys, mostly: ones of the domain are likely to be taken.
                        let n = if of_key && column.kind.is_integer() && self.rng.u8(0..3) > 0 {
                            n + 20 + self.rng.u32(0..200)
                        } else {
                            n
                        };
                        match of_key {
                            true => self.value_of(column, n),
                            false => self.any_value_of(column),
                        }
                    })
                    .collect();
                format!("({})", values.join(", "))
            })
            .collect();
        rows.join(", ")
    }

    fn insert(&mut self) -> (String, bool) {
        let target = self.target();
        let columns = self.columns_to_insert(target);
        if columns.is_empty() {
            return self.default_values();
        }
        let rows = self.rows(&columns, target);
        let names: Vec<&str> = columns.iter().map(|it| &*it.name).collect();
        let (returning, returns) = self.returning(target);
        if target.plain {
            self.class = Class::Insert;
        }
        let verb = match self.rng.u8(0..6) {
            0 if !self.postgres() => "REPLACE INTO",
            1 if !self.postgres() => "INSERT OR REPLACE INTO",
            2 if !self.postgres() => "INSERT OR IGNORE INTO",
            _ => "INSERT INTO",
        };
        (format!("{verb} {} ({}) VALUES {rows}{returning}", target.name, names.join(", ")), returns)
    }

    fn default_values(&mut self) -> (String, bool) {
        let target = self.target();
        let (returning, returns) = self.returning(target);
        (format!("INSERT INTO {} DEFAULT VALUES{returning}", target.name), returns)
    }

    fn upsert(&mut self) -> (String, bool) {
        let target = self.target();
        let table = target.table;
        let mut columns: Vec<&Column> =
            target.columns.iter().filter(|column| !column.generated).collect();
        if table.serial && self.rng.bool() {
            columns.remove(0);
        }
        if columns.is_empty() {
            return self.default_values();
        }
        let rows = self.rows(&columns, target);
        let names: Vec<&str> = columns.iter().map(|it| &*it.name).collect();
        let key: Vec<&str> = table.key_columns().iter().map(|it| &*it.name).collect();
        let conflict = match (self.rng.u8(0..6), table.unique, table.lower) {
            (0..=2, Some(unique), _) => format!(" ({})", table.columns[unique].name),
            (0..=2, None, Some(lower)) => format!(" (lower({}))", table.columns[lower].name),
            (3, ..) => String::new(),
            _ => format!(" ({})", key.join(", ")),
        };
        let set = match self.rng.u8(0..3) {
            // The conflict column itself, perhaps.
            0 => {
                let column = self.rng.choice(&columns).expect("there are some");
                let n = any_value(self.rng);
                let n = n + if column.kind.is_integer() { 20 } else { 0 };
                format!("{} = {}", column.name, self.value_of(column, n))
            }
            _ => {
                let sets: Vec<String> = columns
                    .iter()
                    .filter(|column| !key.contains(&&*column.name))
                    .map(|column| format!("{0} = excluded.{0}", column.name))
                    .collect();
                sets.join(", ")
            }
        };
        let action = if conflict.is_empty() || set.is_empty() || self.rng.u8(0..4) == 0 {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {set}")
        };
        let (returning, returns) = self.returning(target);
        let (name, names) = (target.name, names.join(", "));
        let text = format!(
            "INSERT INTO {name} ({names}) VALUES {rows} ON CONFLICT{conflict} DO {action}{returning}"
        );
        (text, returns)
    }

    /// A condition on the whole key.
    fn key_condition(&mut self, target: Target<'_>) -> String {
        let conditions: Vec<String> = target
            .table
            .key_columns()
            .iter()
            .map(|column| {
                let n = any_value(self.rng);
                format!("{} = {}", column.name, self.value_of(column, n))
            })
            .collect();
        conditions.join(" AND ")
    }

    /// A column to set and what to.
    fn set(&mut self, target: Target<'a>) -> Option<(usize, String)> {
        let settable: Vec<usize> = (0..target.columns.len())
            .filter(|index| !target.columns[*index].generated)
            .filter(|index| *index >= target.table.key || self.rng.u8(0..4) == 0)
            .collect();
        let index = *self.rng.choice(&settable)?;
        let column = &target.columns[index];
        let value = match self.rng.u8(0..8) {
            0 if column.kind.is_integer() => format!("{} + 1", column.name),
            1 => column.name.clone(),
            2 => "DEFAULT".to_owned(),
            _ => self.any_value_of(column),
        };
        let value = if value == "DEFAULT" && !self.postgres() { "NULL".into() } else { value };
        Some((index, format!("{} = {value}", column.name)))
    }

    fn update_by_key(&mut self) -> (String, bool) {
        let target = self.target();
        let Some((index, set)) = self.set(target) else { return self.insert() };
        let condition = self.key_condition(target);
        let more = if self.rng.u8(0..6) == 0 {
            self.condition(target, target.name)
        } else {
            String::new()
        };
        let more = if more.is_empty() { more } else { format!(" AND {more}") };
        let (returning, returns) = self.returning(target);
        if target.plain && !target.table.is_of_a_key(index) {
            self.class = Class::Update;
        }
        (format!("UPDATE {} SET {set} WHERE {condition}{more}{returning}", target.name), returns)
    }

    fn condition(&mut self, target: Target<'a>, alias: &str) -> String {
        let column = self.rng.choice(target.columns).expect("there are some");
        condition(self.rng, self.schema.dialect, &mut self.binds, alias, column)
    }

    fn update(&mut self) -> (String, bool) {
        let target = self.target();
        let Some((_, set)) = self.set(target) else { return self.insert() };
        let condition = self.condition(target, "u");
        let (returning, returns) = self.returning(target);
        (format!("UPDATE {} AS u SET {set} WHERE {condition}{returning}", target.name), returns)
    }

    fn update_from(&mut self) -> (String, bool) {
        let target = self.target();
        let Some((_, set)) = self.set(target) else { return self.insert() };
        let other = self.table();
        let (mine, theirs) = (&target.columns[0], &other.columns[other.columns.len() - 1]);
        let link = match mine.kind == theirs.kind {
            true => format!("u.{} = o.{}", mine.name, theirs.name),
            false => format!("o.{} IS NOT NULL", theirs.name),
        };
        let set = set.replace(" + 1", "").replace("= DEFAULT", "= NULL");
        let (column, assigned) = set.split_once(" = ").unwrap_or((&set, "NULL"));
        let assigned = if assigned == column { format!("u.{column}") } else { assigned.to_owned() };
        let condition = self.condition(target, "u");
        let (name, other) = (target.name, &other.name);
        (
            format!(
                "UPDATE {name} AS u SET {column} = {assigned} FROM {other} o WHERE {link} AND {condition}"
            ),
            false,
        )
    }

    fn delete_by_key(&mut self) -> (String, bool) {
        let target = self.target();
        let condition = self.key_condition(target);
        let (returning, returns) = self.returning(target);
        if target.plain {
            self.class = Class::Delete;
        }
        (format!("DELETE FROM {} WHERE {condition}{returning}", target.name), returns)
    }

    fn delete(&mut self) -> (String, bool) {
        let target = self.target();
        let name = target.name;
        let condition = self.condition(target, name);
        if self.postgres() && self.rng.bool() {
            let other = self.table();
            if other.name != name {
                let (mine, theirs) = (&target.columns[0], &other.columns[0]);
                let link = match mine.kind == theirs.kind {
                    true => format!("{name}.{} = o.{}", mine.name, theirs.name),
                    false => "true".to_owned(),
                };
                return (
                    format!(
                        "DELETE FROM {name} USING {} o WHERE {link} AND {condition}",
                        other.name
                    ),
                    false,
                );
            }
        }
        // The rows that the schema began with are few.
        (format!("DELETE FROM {name} WHERE {condition} AND {}", self.key_condition(target)), false)
    }

    fn writing_cte(&mut self) -> (String, bool) {
        let target = self.target();
        if !self.postgres() {
            let condition = self.key_condition(target);
            let name = target.name;
            return (format!("WITH x AS (SELECT 1) DELETE FROM {name} WHERE {condition}"), false);
        }
        let condition = self.key_condition(target);
        let key = &target.columns[0].name;
        let name = target.name;
        match self.rng.u8(0..4) {
            0 => (
                format!(
                    "WITH gone AS (DELETE FROM {name} WHERE {condition} RETURNING *)
                         INSERT INTO audit (what, n) SELECT 'gone', 1 FROM gone"
                ),
                false,
            ),
            1 => (
                format!(
                    "WITH gone AS (DELETE FROM {name} WHERE {condition} RETURNING {key}) SELECT * FROM gone"
                ),
                true,
            ),
            2 => {
                let other = self.target();
                let Some((_, set)) = self.set(other) else { return self.insert() };
                let second = self.key_condition(other);
                (
                    format!(
                        "WITH gone AS (DELETE FROM {name} WHERE {condition} RETURNING 1)
                             UPDATE {} SET {set} WHERE {second}",
                        other.name
                    ),
                    false,
                )
            }
            _ => {
                let Some((_, set)) = self.set(target) else { return self.insert() };
                (
                    format!(
                        "WITH done AS (UPDATE {name} SET {set} WHERE {condition} RETURNING {key})
                             SELECT count(*) FROM done"
                    ),
                    true,
                )
            }
        }
    }

    fn insert_select(&mut self) -> (String, bool) {
        let table = self.table();
        let columns: Vec<&str> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(index, column)| !(column.generated || table.serial && *index == 0))
            .map(|(_, column)| &*column.name)
            .collect();
        let select: Vec<String> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(index, column)| !(column.generated || table.serial && *index == 0))
            .map(|(index, column)| match index {
                0 if column.kind.is_integer() => format!("{} + 30", column.name),
                _ if Some(index) == table.unique => "NULL".to_owned(),
                _ if Some(index) == table.lower => "NULL".to_owned(),
                _ => column.name.clone(),
            })
            .collect();
        let condition = self.key_condition(Target {
            table,
            name: &table.name,
            columns: &table.columns,
            plain: false,
        });
        let (name, columns, select) = (&table.name, columns.join(", "), select.join(", "));
        (
            format!("INSERT INTO {name} ({columns}) SELECT {select} FROM {name} WHERE {condition}"),
            false,
        )
    }

    fn merge(&mut self) -> (String, bool) {
        if !self.postgres() {
            return self.insert();
        }
        let target = self.target();
        let Some((index, set)) = self.set(target) else { return self.insert() };
        let set = if index < target.table.key { String::new() } else { set };
        let key = &target.columns[0];
        let n = any_value(self.rng);
        let value = literal(key.kind, n, self.rng, self.schema.dialect);
        let matched = match (self.rng.bool(), set.is_empty() || set.contains('$')) {
            (true, _) | (_, true) => "DELETE".to_owned(),
            _ => format!("UPDATE SET {set}"),
        };
        let name = target.name;
        self.binds = Binds::default();
        (
            format!(
                "MERGE INTO {name} m USING (SELECT 1) s ON m.{} = {value}
                     WHEN MATCHED THEN {matched}",
                key.name
            ),
            false,
        )
    }

    fn truncate(&mut self) -> (String, bool) {
        let name = &self.table().name;
        match (self.postgres(), self.rng.u8(0..3)) {
            (true, 0) => (format!("TRUNCATE {name} CASCADE"), false),
            (true, 1) => (format!("TRUNCATE {name}"), false),
            _ => (format!("DELETE FROM {name}"), false),
        }
    }

    fn copy(&mut self) -> (String, bool) {
        let tables: Vec<&Table> = self
            .schema
            .tables
            .iter()
            .filter(|table| table.key_columns().iter().all(|it| it.kind == Kind::Int))
            .collect();
        let table = match self.rng.choice(&tables) {
            Some(table) if self.postgres() => *table,
            _ => return self.insert(),
        };
        let names: Vec<&str> = table.key_columns().iter().map(|it| &*it.name).collect();
        let values: Vec<String> = names.iter().map(|_| self.rng.u32(0..300).to_string()).collect();
        let (name, names, values) = (&table.name, names.join(", "), values.join(","));
        (format!("COPY {name} ({names}) FROM PROGRAM 'echo {values}' WITH (FORMAT csv)"), false)
    }

    fn call(&mut self) -> (String, bool) {
        match self.rng.choice(&self.schema.calls) {
            Some(call) => (call.clone(), call.starts_with("SELECT")),
            None => self.insert(),
        }
    }
}
