//! Random reads: by key and by everything else, through every construct that decides what a read
//! depends on.

use fastrand::Rng;

use super::{
    Dialect,
    conditions::condition,
    schema::{Column, Relation, Schema},
    statement::{Binds, Statement},
    values::{Kind, any_value, value},
};

/// A query that is asked again after every write.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) statement: Statement,
    /// Whether the order of its rows is total.
    pub(super) ordered: bool,
    /// For a read by the value of a key: the versions of the rows that have the value.
    pub(super) versions: Option<Statement>,
}

/// Makes a random query.
pub(super) fn random(rng: &mut Rng, schema: &Schema) -> Query {
    if rng.u8(0..100) < 45 {
        return by_value(rng, schema);
    }
    let mut text = Text { rng, schema, binds: Binds::default() };
    let (sql, ordered) = text.any();
    let mut statement = text.binds.statement(sql);
    statement.prepare = rng.u8(0..4) > 0;
    Query { statement, ordered, versions: None }
}

/// A read of the rows of a table that have one value in a column of a key.
fn by_value(rng: &mut Rng, schema: &Schema) -> Query {
    let table = rng.choice(&schema.tables).expect("there are some");
    let column = match (table.foreign, table.unique) {
        (Some(column), _) if rng.bool() => column,
        (_, Some(column)) if rng.u8(0..3) == 0 => column,
        _ => 0,
    };
    let column = &table.columns[column];
    let value = value(column.kind, any_value(rng), schema.dialect);
    let condition = format!("FROM {} WHERE {} = $1", table.name, column.name);
    let select =
        |what: &str| Statement::new(format!("SELECT {what} {condition}"), vec![value.clone()]);
    let mut statement = select("*");
    statement.prepare = rng.u8(0..4) > 0;
    // A key of another type is not one that reads can be told apart by.
    let pins = matches!(column.kind, Kind::Int | Kind::BigInt | Kind::Uuid | Kind::Text)
        && schema.dialect == Dialect::Postgres;
    let versions = pins.then(|| select("tableoid, ctid, xmin"));
    Query { statement, ordered: false, versions }
}

/// A text in the making.
struct Text<'a> {
    rng: &'a mut Rng,
    schema: &'a Schema,
    binds: Binds,
}

impl<'a> Text<'a> {
    fn relation(&mut self) -> &'a Relation {
        self.rng.choice(&self.schema.relations).expect("there are some")
    }

    fn column(&mut self, relation: &'a Relation) -> &'a Column {
        // The key more often than its share.
        match self.rng.u8(0..3) {
            0 => &relation.columns[0],
            _ => self.rng.choice(&relation.columns).expect("there are some"),
        }
    }

    fn condition(&mut self, alias: &str, relation: &'a Relation) -> String {
        let column = self.column(relation);
        condition(self.rng, self.schema.dialect, &mut self.binds, alias, column)
    }

    /// One to three conditions.
    fn conditions(&mut self, alias: &str, relation: &'a Relation) -> String {
        let mut text = self.condition(alias, relation);
        for _ in 0..self.rng.usize(0..2) {
            let glue = match self.rng.u8(0..5) {
                0 => "OR",
                1 => "AND NOT",
                _ => "AND",
            };
            text = format!("{text} {glue} {}", self.condition(alias, relation));
        }
        text
    }

    /// What a query selects of a relation: never one of several values that compare equal.
    fn list(&mut self, alias: &str, relation: &'a Relation) -> String {
        match self.rng.u8(0..4) {
            0 => format!("{alias}.*"),
            1 => format!("{alias}.{}", self.column(relation).name),
            2 => format!("count(*), count({alias}.{})", self.column(relation).name),
            _ => {
                let (one, two) = (self.column(relation), self.column(relation));
                format!("{alias}.{}, {alias}.{}", one.name, two.name)
            }
        }
    }

    /// An equality between columns of two relations, if there are two of one type.
    fn link(&mut self, left: (&str, &'a Relation), right: (&str, &'a Relation)) -> String {
        for _ in 0..8 {
            let (one, two) = (self.column(left.1), self.column(right.1));
            let alike = (one.kind.is_integer() && two.kind.is_integer())
                || (one.kind.is_text() && two.kind.is_text() && self.rng.bool());
            if one.kind == two.kind || alike {
                return format!("{}.{} = {}.{}", left.0, one.name, right.0, two.name);
            }
        }
        "1 = 1".to_owned()
    }

    fn any(&mut self) -> (String, bool) {
        let a = self.relation();
        match self.rng.u8(0..25) {
            0..=3 => (self.plain(a), false),
            4 => self.first(a),
            5..=8 => (self.join(a), false),
            9 | 10 => (self.exists(a), false),
            11 => {
                let column = self.column(a).name.clone();
                let condition = self.conditions("a", a);
                let name = &a.name;
                (format!("SELECT count(*), count({column}) FROM {name} a WHERE {condition}"), false)
            }
            12 => (self.grouped(a), false),
            13 => (self.window(a), false),
            14 => (self.derived(a), false),
            15 | 16 => (self.cte(a), false),
            17 | 18 => (self.set_operation(a), false),
            19 => (self.scalar(a), false),
            20 => {
                let column = self.column(a).name.clone();
                let name = &a.name;
                (format!("SELECT count(DISTINCT {column}) FROM {name}"), false)
            }
            21 | 22 => (self.chain(a), false),
            _ => {
                let condition = self.conditions("a", a);
                (format!("SELECT EXISTS (SELECT 1 FROM {} a WHERE {condition})", a.name), false)
            }
        }
    }

    fn plain(&mut self, a: &'a Relation) -> String {
        let (list, condition) = (self.list("a", a), self.conditions("a", a));
        format!("SELECT {list} FROM {} a WHERE {condition}", a.name)
    }

    /// The first rows in an order that is total.
    fn first(&mut self, a: &'a Relation) -> (String, bool) {
        let unique = a.table.is_none_or(|table| self.schema.tables[table].is_key_unique);
        if a.key == 0 || !unique {
            return (self.plain(a), false);
        }
        let key: Vec<String> =
            a.columns[..a.key].iter().map(|it| format!("a.{}", it.name)).collect();
        let condition = self.conditions("a", a);
        let limit = self.rng.u8(1..5);
        let offset = if self.rng.bool() { " OFFSET 1" } else { "" };
        let (name, key) = (&a.name, key.join(", "));
        let text = format!(
            "SELECT a.* FROM {name} a WHERE {condition} ORDER BY {key} LIMIT {limit}{offset}"
        );
        (text, true)
    }

    fn join(&mut self, a: &'a Relation) -> String {
        let b = self.relation();
        let on = self.link(("a", a), ("b", b));
        let more_on = match self.rng.u8(0..4) {
            0 => format!(" AND {}", self.condition("b", b)),
            1 => format!(" AND {}", self.condition("a", a)),
            _ => String::new(),
        };
        let how = match self.rng.u8(0..6) {
            0 | 1 => "JOIN",
            2 | 3 => "LEFT JOIN",
            4 => "RIGHT JOIN",
            _ => "CROSS JOIN",
        };
        let (one, two) = (&a.name, &b.name);
        let alias = if self.rng.bool() { "a" } else { "b" };
        let of = if alias == "a" { a } else { b };
        let third = match self.rng.u8(0..4) {
            0 => {
                let c = self.relation();
                let on = self.link(("b", b), ("c", c));
                format!(" LEFT JOIN {} c ON {on}", c.name)
            }
            _ => String::new(),
        };
        let condition = self.conditions(alias, of);
        let list = match self.rng.u8(0..3) {
            0 => "count(*)".to_owned(),
            1 => format!("a.{}, b.{}", self.column(a).name, self.column(b).name),
            _ => self.list("b", b),
        };
        match how {
            "CROSS JOIN" => {
                format!(
                    "SELECT {list} FROM {one} a, {two} b{third} WHERE {on}{more_on} AND {condition}"
                )
            }
            how => format!(
                "SELECT {list} FROM {one} a {how} {two} b ON {on}{more_on}{third} WHERE {condition}"
            ),
        }
    }

    /// A key that is only confined by way of another column.
    fn chain(&mut self, a: &'a Relation) -> String {
        let (key, b) = (&a.columns[0], self.relation());
        let matches = |it: &&&Column| {
            let alike = |kinds: fn(Kind) -> bool| kinds(it.kind) && kinds(key.kind);
            it.kind == key.kind || alike(Kind::is_text) || alike(Kind::is_integer)
        };
        let Some(other) = b.columns.iter().rev().find(|it| matches(&it)) else {
            return self.join(a);
        };
        let n = any_value(self.rng);
        let value = self.binds.push(value(other.kind, n, self.schema.dialect));
        let (one, two, left, right) = (&a.name, &b.name, &key.name, &other.name);
        let how = if self.rng.bool() { "JOIN" } else { "LEFT JOIN" };
        format!(
            "SELECT a.*, b.{right} FROM {two} b {how} {one} a ON a.{left} = b.{right}
             WHERE b.{right} = {value}"
        )
    }

    fn exists(&mut self, a: &'a Relation) -> String {
        let b = self.relation();
        let (link, inner) = (self.link(("a", a), ("b", b)), self.conditions("b", b));
        let list = self.list("a", a);
        let not = if self.rng.bool() { "NOT " } else { "" };
        let (one, two) = (&a.name, &b.name);
        if self.rng.u8(0..3) == 0
            && let Some(column) = a.columns.iter().find(|it| it.kind == b.columns[0].kind)
        {
            let (left, right) = (&column.name, &b.columns[0].name);
            return format!(
                "SELECT {list} FROM {one} a WHERE a.{left} {not}IN (SELECT b.{right} FROM {two} b WHERE {inner})"
            );
        }
        let outer = self.condition("a", a);
        format!(
            "SELECT {list} FROM {one} a WHERE {outer} AND {not}EXISTS (SELECT 1 FROM {two} b WHERE {link} AND ({inner}))"
        )
    }

    fn grouped(&mut self, a: &'a Relation) -> String {
        let column = self.column(a);
        let having = if self.rng.bool() { " HAVING count(*) > 1" } else { "" };
        // The representative of a group of values that compare equal is any of them.
        let shown = match column.kind {
            Kind::Loose | Kind::Numeric | Kind::Char => String::new(),
            _ => format!("{}, ", column.name),
        };
        let condition = self.conditions("a", a);
        let (name, column) = (&a.name, &column.name);
        format!("SELECT {shown}count(*) FROM {name} a WHERE {condition} GROUP BY {column}{having}")
    }

    fn window(&mut self, a: &'a Relation) -> String {
        let (column, condition) = (&self.column(a).name, self.condition("a", a));
        let (name, key) = (&a.name, &a.columns[0].name);
        format!(
            "SELECT a.{key}, count(*) OVER (PARTITION BY a.{column}) FROM {name} a WHERE {condition}"
        )
    }

    fn derived(&mut self, a: &'a Relation) -> String {
        let inner = if self.rng.bool() { self.condition("i", a) } else { "1 = 1".into() };
        let outer = self.condition("a", a);
        let name = &a.name;
        format!("SELECT a.* FROM (SELECT * FROM {name} i WHERE {inner}) a WHERE {outer}")
    }

    fn cte(&mut self, a: &'a Relation) -> String {
        let b = self.relation();
        let inner = self.condition("i", a);
        let outer = if self.rng.bool() { self.condition("x", a) } else { "1 = 1".into() };
        let materialized = match self.rng.u8(0..3) {
            0 => "MATERIALIZED ",
            1 => "NOT MATERIALIZED ",
            _ => "",
        };
        let (one, two) = (&a.name, &b.name);
        // A CTE may hide a table of its name.
        let shadow = if self.rng.u8(0..4) == 0 { two.as_str() } else { "x" };
        if shadow != "x" {
            return format!(
                "WITH {shadow} AS {materialized}(SELECT * FROM {one} i WHERE {inner}) SELECT count(*) FROM {shadow}"
            );
        }
        let link = self.link(("x", a), ("b", b));
        format!(
            "WITH x AS {materialized}(SELECT * FROM {one} i WHERE {inner})
             SELECT count(*), count(b.{}) FROM x LEFT JOIN {two} b ON {link} WHERE {outer}",
            b.columns[0].name
        )
    }

    fn set_operation(&mut self, a: &'a Relation) -> String {
        let b = self.relation();
        let how = match self.rng.u8(0..4) {
            0 => "UNION ALL",
            1 => "UNION",
            2 => "EXCEPT",
            _ => "INTERSECT",
        };
        let column = self.column(a);
        let other = b.columns.iter().find(|it| it.kind == column.kind);
        let (name, of, other) = match other {
            Some(other) => (&b.name, b, other),
            None => (&a.name, a, column),
        };
        let (left, right) = (self.condition("a", a), self.condition("b", of));
        let kinds = [Kind::Loose, Kind::Numeric, Kind::Char];
        let body = format!(
            "SELECT a.{} FROM {} a WHERE {left} {how} SELECT b.{} FROM {name} b WHERE {right}",
            column.name, a.name, other.name
        );
        if how != "UNION ALL" && kinds.contains(&column.kind) {
            return format!("SELECT count(*) FROM ({body}) s");
        }
        body
    }

    fn scalar(&mut self, a: &'a Relation) -> String {
        let b = self.relation();
        let (link, inner) = (self.link(("a", a), ("b", b)), self.condition("b", b));
        let condition = self.condition("a", a);
        let (one, two) = (&a.name, &b.name);
        format!(
            "SELECT a.{}, (SELECT count(*) FROM {two} b WHERE {link} AND {inner}) FROM {one} a WHERE {condition}",
            self.column(a).name
        )
    }
}
