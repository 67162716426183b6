//! Pins hold on a real database: a row that differs from the pins of every place where its table is
//! read cannot change the answer.

use std::fmt::Write;

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types::Text,
};
use proptest::prelude::*;
use turbodiesel_core::PinValue;
use turbodiesel_sql::{Dialect, Pin, PinSource, Plan, Scalar, plan};

/// The columns of each of the tables `t0`, `t1`, `t2`: integers of a small domain, or NULL.
pub(crate) const COLUMNS: [&str; 3] = ["a", "b", "c"];
pub(crate) type Row = [Option<i64>; 3];

/// Decisions of a generator, taken from bytes so that failures shrink.
pub(crate) struct Choices<'a>(pub(crate) std::slice::Iter<'a, u8>);

impl Choices<'_> {
    /// A number below `bound`, zero once the bytes are used up.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % bound
    }

    pub(crate) fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    pub(crate) fn row(&mut self) -> Row {
        std::array::from_fn(|_| self.below(4).checked_sub(1).map(|value| value as i64))
    }
}

/// A query over a few relations, with columns `q0`, `q1` … and the names in scope for subqueries.
fn query(choices: &mut Choices<'_>, outer: &[String], depth: usize) -> String {
    let mut names = Vec::new();
    let from = from(choices, &mut names, outer, depth);
    let scope: Vec<String> = outer.iter().chain(&names).cloned().collect();
    let columns = |names: &[String]| -> Vec<String> {
        names.iter().flat_map(|name| COLUMNS.map(|column| format!("{name}.{column}"))).collect()
    };
    let own = columns(&names);
    let mut sql = String::from("SELECT ");
    let list = |items: &[String]| -> String {
        let items: Vec<_> = items.iter().enumerate().map(|(i, c)| format!("{c} AS q{i}")).collect();
        items.join(", ")
    };
    let shape = choices.below(7);
    match shape {
        0 => sql += "count(*) AS q0",
        1 => write!(sql, "{0} AS q0, count(*) AS q1, sum({1}) AS q2", own[0], own[1]).unwrap(),
        2 => write!(sql, "DISTINCT {}", list(&own[..1])).unwrap(),
        3 => write!(sql, "{0} AS q0, rank() OVER (ORDER BY {0}) AS q1", own[0]).unwrap(),
        _ => sql += &list(&own),
    }
    write!(sql, " FROM {from}").unwrap();
    if choices.below(4) > 0 {
        write!(sql, " WHERE {}", condition(choices, &scope, depth)).unwrap();
    }
    match shape {
        1 => {
            write!(sql, " GROUP BY {}", own[0]).unwrap();
            if choices.below(2) == 0 {
                write!(sql, " HAVING {} = 1", own[0]).unwrap();
            }
        }
        4 => {
            // Every column decides the order, so that the first rows are certain.
            let order: Vec<_> = (1..=own.len()).map(|i| i.to_string()).collect();
            write!(sql, " ORDER BY {} LIMIT 2", order.join(", ")).unwrap();
        }
        5 if outer.is_empty() && choices.below(2) == 0 => {
            write!(sql, " UNION SELECT {}", list(&own)).unwrap();
            write!(sql, " FROM {from} WHERE {}", condition(choices, &names, 0)).unwrap();
        }
        _ => {}
    }
    sql
}

fn from(
    choices: &mut Choices<'_>,
    names: &mut Vec<String>,
    outer: &[String],
    depth: usize,
) -> String {
    let mut sql = relation(choices, names, outer, depth);
    for _ in 0..choices.below(3) {
        let start = names.len();
        let right = if choices.below(4) == 0 && names.len() < 4 {
            let left = relation(choices, names, outer, depth);
            let join = choices.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            let right = relation(choices, names, outer, depth);
            format!("({left} {join} {right} ON {})", condition(choices, &names[start..], 0))
        } else {
            relation(choices, names, outer, depth)
        };
        match choices.below(6) {
            0 => write!(sql, " CROSS JOIN {right}").unwrap(),
            kind => {
                let join = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "INNER JOIN"][kind - 1];
                write!(sql, " {join} {right} ON {}", condition(choices, names, 0)).unwrap();
            }
        }
    }
    sql
}

fn relation(
    choices: &mut Choices<'_>,
    names: &mut Vec<String>,
    outer: &[String],
    depth: usize,
) -> String {
    let name = format!("x{}", outer.len() + names.len());
    let table = choices.pick(&["t0", "t1", "t2"]);
    let sql = match choices.below(8) {
        0 if depth > 0 => {
            let inner = format!("y{depth}");
            let filter = condition(choices, std::slice::from_ref(&inner), 0);
            let limit = choices.pick(&["", " ORDER BY 1, 2, 3 LIMIT 1"]);
            let rank = choices.pick(&["c", "rank() OVER (ORDER BY c)"]);
            format!(
                "(SELECT a, b, {rank} AS c FROM {table} AS {inner} WHERE {filter}{limit}) AS {name}"
            )
        }
        _ => format!("{table} AS {name}"),
    };
    names.push(name);
    sql
}

pub(crate) fn condition(choices: &mut Choices<'_>, names: &[String], depth: usize) -> String {
    let atoms: Vec<_> = (0..=choices.below(3)).map(|_| atom(choices, names, depth)).collect();
    let glue = choices.pick(&[" AND ", " AND ", " AND ", " OR "]);
    match choices.below(12) {
        0 => format!("NOT ({})", atoms.join(glue)),
        1 => format!("({}) AND ({})", atoms.join(glue), atom(choices, names, 0)),
        _ => atoms.join(glue),
    }
}

fn atom(choices: &mut Choices<'_>, names: &[String], depth: usize) -> String {
    let column = |choices: &mut Choices<'_>| {
        let name = &names[choices.below(names.len())];
        format!("{name}.{}", choices.pick(&COLUMNS))
    };
    let left = column(choices);
    let value = choices.below(3);
    match choices.below(13) {
        0..=3 => format!("{left} = {value}"),
        4..=6 => format!("{left} = {}", column(choices)),
        7 => format!("{left} IN ({value}, 1)"),
        8 => format!("{left} < {value}"),
        9 => format!("{left} IS NULL"),
        10 => format!("({value} = {left})"),
        11 => format!("({left}, {}) = ({value}, {})", column(choices), column(choices)),
        _ if depth > 0 => {
            let not = choices.pick(&["", "NOT "]);
            format!("{not}EXISTS ({})", query(choices, names, depth - 1))
        }
        _ => "true".to_owned(),
    }
}

/// Whether some pin keeps the row out.
pub(crate) fn excludes(pins: &[Pin], row: &Row) -> bool {
    pins.iter().any(|pin| {
        let index = COLUMNS.iter().position(|column| **column == *pin.column).unwrap();
        let PinSource::OneOf(values) = &pin.values else { panic!("no arrays here") };
        !values.iter().any(|value| match value {
            Scalar::Literal(PinValue::Int(value)) => row[index] == Some(*value),
            _ => panic!("only integers here"),
        })
    })
}

/// Whether the row, in this table, can influence the answer for all that the plan says.
fn is_relevant(plan: &Plan, table: &str, row: &Row) -> bool {
    let mut reads = plan.occurrences().iter().filter(|read| *read.table.name == *table);
    reads.any(|read| !excludes(&read.pins, row))
}

pub(crate) fn literal(row: &Row) -> String {
    row.map(|value| value.map_or("NULL".to_owned(), |value| value.to_string())).join(", ")
}

#[derive(diesel::QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    rows: String,
}

fn answer(connection: &mut SqliteConnection, sql: &str, columns: usize) -> String {
    let columns: Vec<_> = (0..columns).map(|i| format!("q{i}")).collect();
    let sql = format!(
        "SELECT coalesce(group_concat(r, ' '), '') AS rows FROM \
         (SELECT json_array({}) AS r FROM ({sql}) ORDER BY 1)",
        columns.join(", ")
    );
    diesel::sql_query(&sql).get_result::<Answer>(connection).expect(&sql).rows
}

fn columns_of(sql: &str) -> usize {
    let select = sql.split(" FROM ").next().unwrap();
    select.matches(" AS q").count()
}

/// Inserts rows that the plan calls irrelevant, one after the other, and compares answers.
fn check(bytes: &[u8]) -> usize {
    let mut choices = Choices(bytes.iter());
    let sql = query(&mut choices, &[], 1);
    let plan = plan(Dialect::Sqlite, &sql);
    assert_eq!(plan.refusal(), None, "{sql}");

    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    for table in ["t0", "t1", "t2"] {
        connection.batch_execute(&format!("CREATE TABLE {table} (a int, b int, c int)")).unwrap();
        for _ in 0..choices.below(4) {
            let row = literal(&choices.row());
            connection.batch_execute(&format!("INSERT INTO {table} VALUES ({row})")).unwrap();
        }
    }
    let columns = columns_of(&sql);
    let mut before = answer(&mut connection, &sql, columns);
    let mut irrelevant = 0;
    for _ in 0..12 {
        let (table, row) = (choices.pick(&["t0", "t1", "t2"]), choices.row());
        let relevant = is_relevant(&plan, table, &row);
        let insert = format!("INSERT INTO {table} VALUES ({})", literal(&row));
        connection.batch_execute(&insert).unwrap();
        let after = answer(&mut connection, &sql, columns);
        if !relevant {
            irrelevant += 1;
            assert_eq!(before, after, "{insert}\n{sql}\n{plan}");
        }
        before = after;
    }
    irrelevant
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn irrelevant_rows_do_not_change_the_answer(
        bytes in prop::collection::vec(any::<u8>(), 60..200),
    ) {
        check(&bytes);
    }
}
