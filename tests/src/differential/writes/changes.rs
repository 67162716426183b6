//! Statements that update and delete rows.

use super::{
    super::{
        conditions::condition,
        statement::{Binds, Class},
        values::{any_value, literal},
    },
    Target, Text,
};

impl<'a> Text<'a> {
    /// A condition on the whole key.
    pub(super) fn key_condition(&mut self, target: Target<'_>) -> String {
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
        let of_keys = [target.table.foreign, target.table.unique];
        let of_keys: Vec<usize> =
            of_keys.into_iter().flatten().filter(|it| settable.contains(it)).collect();
        let index = match self.rng.choice(&of_keys) {
            Some(index) if self.rng.u8(0..4) == 0 => *index,
            _ => *self.rng.choice(&settable)?,
        };
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

    pub(super) fn update_by_key(&mut self) -> (String, bool) {
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

    pub(super) fn update(&mut self) -> (String, bool) {
        let target = self.target();
        let Some((_, set)) = self.set(target) else { return self.insert() };
        let condition = self.condition(target, "u");
        let (returning, returns) = self.returning(target);
        (format!("UPDATE {} AS u SET {set} WHERE {condition}{returning}", target.name), returns)
    }

    pub(super) fn update_from(&mut self) -> (String, bool) {
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

    pub(super) fn delete_by_key(&mut self) -> (String, bool) {
        let target = self.target();
        let condition = self.key_condition(target);
        let (returning, returns) = self.returning(target);
        if target.plain {
            self.class = Class::Delete;
        }
        (format!("DELETE FROM {} WHERE {condition}{returning}", target.name), returns)
    }

    pub(super) fn delete(&mut self) -> (String, bool) {
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

    pub(super) fn writing_cte(&mut self) -> (String, bool) {
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

    pub(super) fn merge(&mut self) -> (String, bool) {
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

    pub(super) fn truncate(&mut self) -> (String, bool) {
        let name = &self.table().name;
        match (self.postgres(), self.rng.u8(0..3)) {
            (true, 0) => (format!("TRUNCATE {name} CASCADE"), false),
            (true, 1) => (format!("TRUNCATE {name}"), false),
            _ => (format!("DELETE FROM {name}"), false),
        }
    }
}
