//! Statements that insert rows.

use super::{
    super::{
        schema::{Column, Table},
        statement::Class,
        values::{Kind, any_value},
    },
    Target, Text,
};

impl<'a> Text<'a> {
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
                        let n = if of_key && column.kind.is_integer() && self.rng.bool() {
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

    pub(super) fn insert(&mut self) -> (String, bool) {
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

    pub(super) fn default_values(&mut self) -> (String, bool) {
        let target = self.target();
        let (returning, returns) = self.returning(target);
        (format!("INSERT INTO {} DEFAULT VALUES{returning}", target.name), returns)
    }

    pub(super) fn upsert(&mut self) -> (String, bool) {
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

    pub(super) fn insert_select(&mut self) -> (String, bool) {
        let table = self.table();
        let is_given = |index| !(table.serial && index == 0);
        let columns = table.columns.iter().enumerate();
        let columns = columns.filter(|(index, column)| !column.generated && is_given(*index));
        let (columns, selected): (Vec<&str>, Vec<String>) = columns
            .map(|(index, column)| {
                let value = match index {
                    0 if column.kind.is_integer() => format!("{} + 30", column.name),
                    _ if [table.unique, table.lower].contains(&Some(index)) => "NULL".to_owned(),
                    _ => column.name.clone(),
                };
                (&*column.name, value)
            })
            .unzip();
        let target = Target { table, name: &table.name, columns: &table.columns, plain: false };
        let condition = self.key_condition(target);
        let (name, columns, selected) = (&table.name, columns.join(", "), selected.join(", "));
        let text = format!(
            "INSERT INTO {name} ({columns}) SELECT {selected} FROM {name} WHERE {condition}"
        );
        (text, false)
    }

    pub(super) fn copy(&mut self) -> (String, bool) {
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
}
