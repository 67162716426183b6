//! Random writes: by key and by everything else, with and without rows in answer.

mod changes;
mod inserts;

use fastrand::Rng;

use super::{
    Dialect,
    schema::{Column, Relation, Schema, Table},
    statement::{Binds, Class, Statement},
    values::{any_value, literal, odd_value, value},
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

    fn call(&mut self) -> (String, bool) {
        match self.rng.choice(&self.schema.calls) {
            Some(call) => (call.clone(), call.starts_with("SELECT")),
            None => self.insert(),
        }
    }
}
