//! Reads what SQLite's tables are made of: columns, keys, and what refers to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use turbodiesel_core::TableName;
use turbodiesel_sql::Columns;

use super::{RawSqlite, name};
use crate::catalog::{Cascade, CascadeOn, Column, Events, PinType, Relation, TableWrite};

const COLUMNS: &str = "
    SELECT lower(t.name) AS relation, lower(c.name) AS name, lower(c.type) AS type, c.pk AS key,
           c.hidden IN (2, 3) AS is_generated, t.sql AS definition
    FROM main.sqlite_schema t, pragma_table_xinfo(t.name, 'main') c
    WHERE t.type = 'table' AND t.sql NOT LIKE 'CREATE VIRTUAL%'";

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    relation: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text, column_name = "type")]
    kind: String,
    /// The position in the primary key, from one.
    #[diesel(sql_type = BigInt)]
    key: i64,
    #[diesel(sql_type = Bool)]
    is_generated: bool,
    #[diesel(sql_type = Text)]
    definition: String,
}

/// The first column of every index and the others of unique ones, and whether the index makes a key
/// of its columns. Expressions have no name.
const INDEXED: &str = "
    SELECT lower(t.name) AS relation, i.name AS index_name, lower(k.name) AS name,
           i.\"unique\" AND NOT i.partial
           AND NOT EXISTS (SELECT 1 FROM pragma_index_xinfo(i.name, 'main') o
                           WHERE o.key AND o.name IS NULL) AS is_key
    FROM main.sqlite_schema t, pragma_index_list(t.name, 'main') i,
         pragma_index_xinfo(i.name, 'main') k
    WHERE t.type = 'table' AND t.sql NOT LIKE 'CREATE VIRTUAL%'
      AND k.key AND k.name IS NOT NULL AND (k.seqno = 0 OR i.\"unique\")";

#[derive(QueryableByName)]
struct Indexed {
    #[diesel(sql_type = Text)]
    relation: String,
    #[diesel(sql_type = Text)]
    index_name: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    is_key: bool,
}

/// One row for each column of a foreign key. Without a referenced column it is the primary key's.
const REFERENCES: &str = "
    SELECT lower(t.name) AS source, f.id AS number, lower(f.\"table\") AS target,
           lower(f.\"from\") AS referring, lower(f.\"to\") AS referenced,
           upper(f.on_delete) AS on_delete, upper(f.on_update) AS on_update
    FROM main.sqlite_schema t, pragma_foreign_key_list(t.name, 'main') f
    WHERE t.type = 'table' AND t.sql NOT LIKE 'CREATE VIRTUAL%'";

#[derive(QueryableByName)]
struct Reference {
    #[diesel(sql_type = Text)]
    source: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Text)]
    referring: String,
    #[diesel(sql_type = Nullable<Text>)]
    referenced: Option<String>,
    #[diesel(sql_type = Text)]
    on_delete: String,
    #[diesel(sql_type = Text)]
    on_update: String,
}

pub(super) async fn load(
    raw: &mut RawSqlite,
    relations: &mut HashMap<TableName, Relation>,
) -> QueryResult<()> {
    let columns: Vec<ColumnRow> = diesel::sql_query(COLUMNS).load(raw).await?;
    let indexed: Vec<Indexed> = diesel::sql_query(INDEXED).load(raw).await?;
    let references: Vec<Reference> = diesel::sql_query(REFERENCES).load(raw).await?;

    let mut keys: HashMap<String, BTreeSet<Box<str>>> = HashMap::new();
    for row in &columns {
        let column =
            Column { kind: kind(row), is_pin: row.key > 0, is_generated: row.is_generated };
        if row.key > 0 {
            keys.entry(row.relation.clone()).or_default().insert(row.name.as_str().into());
        }
        if let Some(relation) = relations.get_mut(&name(&row.relation)) {
            relation.columns.insert(row.name.as_str().into(), column);
        }
    }
    let mut mark = |relation: &str, column: &str| {
        let relation = relations.get_mut(&name(relation));
        if let Some(column) = relation.and_then(|relation| relation.columns.get_mut(column)) {
            column.is_pin = true;
        }
    };
    let mut by_index: BTreeMap<(&str, &str), BTreeSet<Box<str>>> = BTreeMap::new();
    for Indexed { relation, index_name, name, is_key } in &indexed {
        mark(relation, name);
        if *is_key {
            by_index.entry((relation, index_name)).or_default().insert(name.as_str().into());
        }
    }
    for Reference { source, referring, .. } in &references {
        mark(source, referring);
    }
    // The key of a table may be its row's number, which no index shows.
    let primary = keys.iter().map(|(relation, key)| (relation.as_str(), key.clone()));
    let others = by_index.into_iter().map(|((relation, _), key)| (relation, key));
    for (relation, key) in primary.chain(others) {
        if let Some(relation) = relations.get_mut(&name(relation)) {
            relation.unique_keys.push(key);
        }
    }
    for column in relations.values_mut().flat_map(|relation| relation.columns.values_mut()) {
        column.is_pin &= column.kind.is_some();
    }

    let mut by_key: BTreeMap<(&str, i64), Vec<&Reference>> = BTreeMap::new();
    for reference in &references {
        by_key.entry((&reference.source, reference.number)).or_default().push(reference);
    }
    for key in by_key.values() {
        if let Some(relation) = relations.get_mut(&name(&key[0].target)) {
            relation.cascades.extend(cascades(key, keys.get(&key[0].target)));
        }
    }
    Ok(())
}

/// The type whose equality a column's is, by the affinity that SQLite derives from its declaration.
///
/// Text may be compared otherwise where the definition of its table names a collation.
fn kind(row: &ColumnRow) -> Option<PinType> {
    let says = |part: &str| row.kind.contains(part);
    match () {
        () if says("int") => Some(PinType::Int),
        () if ["char", "clob", "text"].into_iter().any(says) => {
            (!has_word(&row.definition, "collate")).then_some(PinType::Text)
        }
        () => None,
    }
}

/// Whether a text contains a word in lower case, in any case and anywhere.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().contains(word)
}

fn cascades(key: &[&Reference], primary_key: Option<&BTreeSet<Box<str>>>) -> Vec<Cascade> {
    let referring: BTreeSet<Box<str>> = key.iter().map(|it| it.referring.as_str().into()).collect();
    let named = key.iter().map(|it| it.referenced.as_deref().map(Box::from)).collect();
    let named: Option<BTreeSet<Box<str>>> = named;
    let referenced = named.or_else(|| primary_key.cloned()).unwrap_or_default();

    let write = |events: Events, set_columns| TableWrite {
        table: name(&key[0].source),
        events,
        set_columns: Columns::Only(set_columns),
        replaces: false,
    };
    let on_delete = match &*key[0].on_delete {
        "CASCADE" => Some(write(Events::DELETE, BTreeSet::new())),
        "SET NULL" | "SET DEFAULT" => Some(write(Events::UPDATE, referring.clone())),
        _ => None,
    };
    let on_update = match &*key[0].on_update {
        "CASCADE" | "SET NULL" | "SET DEFAULT" => Some(write(Events::UPDATE, referring)),
        _ => None,
    };
    let on_delete = on_delete.map(|write| Cascade { on: CascadeOn::Delete, write });
    let on_update = on_update.map(|write| Cascade { on: CascadeOn::Update(referenced), write });
    on_delete.into_iter().chain(on_update).collect()
}
