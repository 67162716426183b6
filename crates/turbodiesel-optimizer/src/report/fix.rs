//! The Diesel code that mends a finding, as far as the statement's text tells it.

use crate::{Statement, statement::Kind};

/// The table that a statement is about, as Diesel's schema calls its module.
fn table(statement: &Statement) -> &str {
    statement.tables().next().unwrap_or("table")
}

/// One query for all values that a loop asked for one by one.
pub(crate) fn batched(statement: &Statement, key: &str, column: &str) -> String {
    let table = table(statement);
    let keys =
        format!("let keys: Vec<_> = parents.iter().map(|it| it.{}).collect();", field(column));
    let filter = format!(".filter({table}::{key}.eq_any(&keys))");
    match statement.kind {
        Kind::Aggregate => format!(
            "{keys}\nlet counts: HashMap<_, i64> = {table}::table{filter}\n    .group_by({table}::{key})\n    \
             .select(({table}::{key}, count_star()))\n    .load(connection).await?.into_iter().collect();"
        ),
        _ if key == "id" => format!(
            "{keys}\nlet {table}: HashMap<_, _> = {table}::table{filter}\n    .load(connection).await?\
             .into_iter().map(|it| (it.id, it)).collect();"
        ),
        _ => format!(
            "{keys}\nlet {table} = {table}::table{filter}\n    .load(connection).await?\
             .grouped_by(&parents);"
        ),
    }
}

/// A name that a struct's field may have.
fn field(column: &str) -> &str {
    let is_plain = |it: &str| it.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !column.is_empty() && is_plain(column) { column } else { "key" }
}

/// One write for all rows.
pub(crate) fn written_at_once(statement: &Statement) -> String {
    let table = table(statement);
    let is = |word: &str| {
        statement.sql().get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word))
    };
    let key = statement.keys.first().map_or("id", |key| key);
    if is("insert") {
        format!("diesel::insert_into({table}::table).values(&rows).execute(connection).await?;")
    } else if is("delete") {
        format!(
            "diesel::delete({table}::table.filter({table}::{key}.eq_any(&keys)))\n    \
             .execute(connection).await?;"
        )
    } else {
        format!(
            "// where all rows get the same values:\n\
             diesel::update({table}::table.filter({table}::{key}.eq_any(&keys)))\n    \
             .set(…).execute(connection).await?;\n\
             // otherwise, upsert them in one statement:\n\
             diesel::insert_into({table}::table).values(&rows)\n    \
             .on_conflict({table}::{key}).do_update().set(…).execute(connection).await?;"
        )
    }
}

/// One query, whose answer is passed on.
pub(crate) fn once(statement: &Statement) -> String {
    format!(
        "load it from `{}` once and pass it on, or read it through a `turbodiesel::Db`, which answers \
         again from memory",
        table(statement)
    )
}

/// As many rows as are wanted.
pub(crate) fn limited(statement: &Statement, is_unread: bool) -> String {
    let table = table(statement);
    match is_unread {
        true => format!("{table}::table.first(connection).await?  // or `.limit(n)`"),
        false => format!(
            "{table}::table.order({table}::id).limit(100).load(connection).await?  // page by page"
        ),
    }
}

/// All at once.
pub(crate) fn at_the_same_time<'s>(statements: impl Iterator<Item = &'s Statement>) -> String {
    let tables: Vec<&str> = statements.map(table).collect();
    let loads: Vec<String> =
        tables.iter().map(|table| format!("    load_{table}(pool),\n")).collect();
    format!("let ({}) = futures::try_join!(\n{})?;", tables.join(", "), loads.concat())
}
