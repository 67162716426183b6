//! What hangs on the tables of a schema: triggers, rules, functions, views.

use super::{
    schema::{Column, Maker, Relation, Table},
    values::{DOMAIN, Kind, any_value, literal},
};

impl Maker<'_> {
    /// Triggers of either sort on a few tables, a rule, functions that write.
    pub(super) fn triggers(&mut self) {
        for index in 0..self.schema.tables.len() {
            let table = self.schema.tables[index].clone();
            if self.chance(20) && self.assigning_trigger(&table) {
                continue;
            }
            if self.chance(12) {
                self.writing_trigger(&table, index);
            }
        }
        if self.postgres() {
            if self.chance(10) {
                let name = self.any_table().name.clone();
                self.add(format!(
                    "CREATE RULE note AS ON DELETE TO {name} DO ALSO
                     INSERT INTO audit (what) VALUES ('rule')"
                ));
                self.set_not_plain(&name);
            }
            self.callables();
        }
    }

    fn any_table(&mut self) -> Table {
        self.rng.choice(&self.schema.tables).expect("there are some").clone()
    }

    fn set_not_plain(&mut self, name: &str) {
        if let Some(table) = self.schema.tables.iter_mut().find(|it| it.name == name) {
            table.plain = false;
        }
    }

    /// A trigger that changes the row about to be written: any column, or one of a key.
    fn assigning_trigger(&mut self, table: &Table) -> bool {
        let name = &table.name;
        let keys: Vec<usize> = (0..table.columns.len())
            .filter(|index| table.is_of_a_key(*index) && !(table.serial && *index == 0))
            .collect();
        let values: Vec<usize> = table.values().map(|(index, _)| index).collect();
        let of_key = self.chance(50);
        let chosen = match self.rng.choice(if of_key { &keys } else { &values }) {
            Some(index) => &table.columns[*index],
            None => return false,
        };
        let n = any_value(self.rng);
        let column = &chosen.name;
        let value = match chosen.kind {
            // Another value with each write.
            Kind::Int if self.rng.bool() => format!("coalesce((NEW.{column} + 1) % {DOMAIN}, 1)"),
            kind => literal(kind, n, self.rng, self.schema.dialect),
        };
        if !self.postgres() {
            // SQLite has no way to change the row: the trigger updates it afterwards.
            let key = &table.columns[0].name;
            self.add(format!(
                "CREATE TRIGGER {name}_assigns AFTER INSERT ON {name} BEGIN
                 UPDATE {name} SET {column} = {value} WHERE {key} = NEW.{key}; END"
            ));
            self.set_not_plain(name);
            return true;
        }
        let events = match self.rng.u8(0..3) {
            0 => "INSERT",
            1 => "UPDATE",
            _ => "INSERT OR UPDATE",
        };
        self.add(format!(
            "CREATE FUNCTION {name}_assigns() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN NEW.{column} := {}; RETURN NEW; END'",
            value.replace('\'', "''")
        ));
        self.add(format!(
            "CREATE TRIGGER assigns BEFORE {events} ON {name}
             FOR EACH ROW EXECUTE FUNCTION {name}_assigns()"
        ));
        // A write of any column may now set that of a key.
        if of_key {
            self.set_not_plain(name);
        }
        true
    }

    /// A trigger that writes to another table.
    fn writing_trigger(&mut self, table: &Table, index: usize) {
        let name = &table.name;
        self.set_not_plain(name);
        let other = self.any_table();
        let (target, column) = match other.values().next() {
            Some((_, column)) if other.name != *name => (other.name.clone(), column.clone()),
            _ => {
                ("audit".into(), Column { name: "what".into(), kind: Kind::Text, generated: false })
            }
        };
        let n = any_value(self.rng);
        let value = literal(column.kind, n, self.rng, self.schema.dialect);
        let body = match self.rng.u8(0..3) {
            0 => format!("UPDATE {target} SET {} = {value}", column.name),
            1 => format!(
                "UPDATE {target} SET {} = NULL WHERE {} = {value}",
                column.name, column.name
            ),
            _ => format!("INSERT INTO audit (what, n) VALUES ('{name}', {index})"),
        };
        let event = self.rng.choice(["INSERT", "UPDATE", "DELETE"]).expect("there are some");
        if !self.postgres() {
            self.add(format!(
                "CREATE TRIGGER {name}_writes AFTER {event} ON {name} BEGIN {body}; END"
            ));
            return;
        }
        let each = if self.rng.bool() { "ROW" } else { "STATEMENT" };
        self.add(format!(
            "CREATE FUNCTION {name}_writes() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF pg_trigger_depth() < 3 THEN {}; END IF; RETURN NULL; END'",
            body.replace('\'', "''")
        ));
        self.add(format!(
            "CREATE TRIGGER writes AFTER {event} ON {name}
             FOR EACH {each} EXECUTE FUNCTION {name}_writes()"
        ));
    }

    /// A function and a procedure that write; the latter commits, and fails afterwards.
    fn callables(&mut self) {
        let table = self.any_table();
        let Some((_, column)) = table.values().next() else { return };
        let (name, column, kind) = (&table.name, &column.name, column.kind);
        let n = any_value(self.rng);
        let value = literal(kind, n, self.rng, self.schema.dialect);
        if self.chance(40) {
            self.add(format!(
                "CREATE FUNCTION bump() RETURNS bigint LANGUAGE sql AS
                 'UPDATE {name} SET {column} = {}; SELECT count(*) FROM {name}'",
                value.replace('\'', "''")
            ));
            self.schema.calls.push("SELECT bump()".into());
        }
        if self.chance(40) {
            self.add(format!(
                "CREATE PROCEDURE half() LANGUAGE plpgsql AS
                 'BEGIN UPDATE {name} SET {column} = {}; COMMIT;
                  UPDATE {name} SET {column} = NULL; PERFORM 1 / 0; END'",
                value.replace('\'', "''")
            ));
            self.schema.calls.push("CALL half()".into());
        }
        let block =
            format!("DO 'BEGIN UPDATE {name} SET {column} = {}; END'", value.replace('\'', "''"));
        self.schema.calls.push(block);
    }

    /// Views over tables and over views, a materialised one, and one with a trigger in its place.
    pub(super) fn views(&mut self) {
        for index in 0..self.rng.usize(1..=3) {
            let base = self.rng.choice(&self.schema.relations).expect("there are some").clone();
            self.simple_view(index, &base);
        }
        if self.chance(60) {
            self.joined_view();
        }
        if self.chance(50) {
            let table = self.any_table();
            let column = &table.columns[table.columns.len() - 1];
            self.add(format!(
                "CREATE VIEW counted AS SELECT {0}, count(*) AS n FROM {1} GROUP BY {0}",
                column.name, table.name
            ));
            if column.kind != Kind::Loose {
                self.relation("counted", vec![column.clone(), number("n")], 0, None, false);
            }
        }
    }

    fn relation(
        &mut self,
        name: &str,
        columns: Vec<Column>,
        key: usize,
        table: Option<usize>,
        writable: bool,
    ) {
        let relation = Relation { name: name.into(), columns, key, table, writable };
        self.schema.relations.push(relation);
    }

    /// A view that can be written through, of some rows and columns.
    fn simple_view(&mut self, index: usize, base: &Relation) {
        let name = format!("v{index}");
        let mut columns = base.columns[..base.key.max(1)].to_vec();
        columns
            .extend(base.columns.iter().skip(base.key.max(1)).filter(|_| self.rng.bool()).cloned());
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        let chosen = self.rng.choice(&base.columns).expect("there are some");
        let n = any_value(self.rng);
        let condition = match self.rng.u8(0..4) {
            0 => format!("WHERE {} IS NOT NULL", chosen.name),
            1 => format!(
                "WHERE {} = {}",
                chosen.name,
                literal(chosen.kind, n, self.rng, self.schema.dialect)
            ),
            _ => String::new(),
        };
        self.add(format!(
            "CREATE VIEW {name} AS SELECT {} FROM {} {condition}",
            names.join(", "),
            base.name
        ));
        let writable = self.postgres() && base.writable && base.table.is_some();
        self.relation(&name, columns, base.key, base.table, writable);
    }

    fn joined_view(&mut self) {
        let (one, two) = (self.any_table(), self.any_table());
        let on = match two.columns.iter().find(|column| column.kind == one.columns[0].kind) {
            Some(column) => format!("a.{} = b.{}", one.columns[0].name, column.name),
            None => "true".to_owned(),
        };
        let how = if self.rng.bool() { "JOIN" } else { "LEFT JOIN" };
        let (left, right) = (&one.columns[0], &two.columns[two.columns.len() - 1]);
        self.add(format!(
            "CREATE VIEW joined AS SELECT a.{} AS l, b.{} AS r FROM {} a {how} {} b ON {on}",
            left.name, right.name, one.name, two.name
        ));
        let rename = |column: &Column, name: &str| Column { name: name.into(), ..column.clone() };
        self.relation("joined", vec![rename(left, "l"), rename(right, "r")], 0, None, false);
    }
}

fn number(name: &str) -> Column {
    Column { name: name.into(), kind: Kind::BigInt, generated: false }
}
