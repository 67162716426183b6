//! Reads what tables are made of: columns, keys, what refers to them and how they are partitioned.

use std::collections::{BTreeSet, HashMap, HashSet};

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{Array, Bool, Nullable, Oid, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use turbodiesel_core::TableName;
use turbodiesel_sql::Columns;

use super::Names;
use crate::catalog::{
    Cascade, CascadeOn, Column, Events, PinType, Relation, TableWrite, settle_families,
};

/// Text counts where no other spelling is equal, which leaves out `char(n)` (trailing blanks),
/// `varchar(n)` (a longer bind is cut by a cast), domains, and collations that equate.
const COLUMNS: &str = "
    WITH indexed AS (
        SELECT DISTINCT i.indrelid AS relation, k.attnum
        FROM pg_index i
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
        WHERE k.position = 1 OR i.indisunique AND k.position <= i.indnkeyatts
    ), referring AS (
        SELECT DISTINCT conrelid AS relation, unnest(conkey) AS attnum
        FROM pg_constraint WHERE contype = 'f'
    )
    SELECT a.attrelid AS relation, a.attname::text AS name,
           CASE WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'int'
                WHEN a.atttypid = 'bool'::regtype THEN 'bool'
                WHEN a.atttypid = 'uuid'::regtype THEN 'uuid'
                WHEN (a.atttypid = 'text'::regtype
                      OR a.atttypid = 'varchar'::regtype AND a.atttypmod = -1)
                     AND l.collisdeterministic THEN 'text' END AS type,
           i.relation IS NOT NULL OR f.relation IS NOT NULL AS is_key,
           a.attgenerated <> '' AS is_generated,
           has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS is_readable
    FROM pg_attribute a
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN indexed i ON i.relation = a.attrelid AND i.attnum = a.attnum
    LEFT JOIN referring f ON f.relation = a.attrelid AND f.attnum = a.attnum
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Oid)]
    relation: u32,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>, column_name = "type")]
    kind: Option<String>,
    #[diesel(sql_type = Bool)]
    is_key: bool,
    #[diesel(sql_type = Bool)]
    is_generated: bool,
    #[diesel(sql_type = Bool)]
    is_readable: bool,
}

/// An index makes a key of its columns only with the system's operator classes, which know no finer
/// equality than `=`, and only where no child has rows of its own.
const UNIQUE_KEYS: &str = "
    SELECT i.indrelid AS relation,
           ARRAY(SELECT a.attname::text
                 FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                 WHERE k.position <= i.indnkeyatts) AS columns
    FROM pg_index i
    WHERE i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM unnest(i.indclass) AS class (oid)
                      WHERE class.oid >= 16384)
      AND NOT EXISTS (SELECT FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
                      WHERE h.inhparent = i.indrelid AND NOT c.relispartition)";

#[derive(QueryableByName)]
struct UniqueKey {
    #[diesel(sql_type = Oid)]
    relation: u32,
    #[diesel(sql_type = Array<Text>)]
    columns: Vec<String>,
}

/// Foreign keys that act on the rows which refer. `SET NULL (…)` may set fewer columns than listed.
const CASCADES: &str = "
    SELECT k.confrelid AS source, k.conrelid AS target,
           k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)) AS referenced,
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS referring
    FROM pg_constraint k
    WHERE k.contype = 'f'
      AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))";

#[derive(QueryableByName)]
struct CascadeRow {
    #[diesel(sql_type = Oid)]
    source: u32,
    #[diesel(sql_type = Oid)]
    target: u32,
    #[diesel(sql_type = Text)]
    on_delete: String,
    #[diesel(sql_type = Text)]
    on_update: String,
    #[diesel(sql_type = Array<Text>)]
    referenced: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    referring: Vec<String>,
}

/// The columns that partitions are chosen by; not listed where expressions take part.
const PARTITION_KEYS: &str = "
    SELECT t.partrelid AS relation,
           CASE WHEN t.partexprs IS NULL THEN
               ARRAY(SELECT a.attname::text FROM pg_attribute a
                     WHERE a.attrelid = t.partrelid AND a.attnum = ANY (t.partattrs)) END AS key
    FROM pg_partitioned_table t";

#[derive(QueryableByName)]
struct PartitionKey {
    #[diesel(sql_type = Oid)]
    relation: u32,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    key: Option<Vec<String>>,
}

pub(super) async fn load(
    raw: &mut AsyncPgConnection,
    names: &Names,
    relations: &mut HashMap<TableName, Relation>,
    own_equality: bool,
) -> QueryResult<()> {
    let columns: Vec<ColumnRow> = diesel::sql_query(COLUMNS).load(raw).await?;
    let unique_keys: Vec<UniqueKey> = diesel::sql_query(UNIQUE_KEYS).load(raw).await?;
    let cascades: Vec<CascadeRow> = diesel::sql_query(CASCADES).load(raw).await?;
    let keys: Vec<PartitionKey> = diesel::sql_query(PARTITION_KEYS).load(raw).await?;

    let mut unreadable: HashSet<(TableName, Box<str>)> = HashSet::new();
    for row in columns {
        let Some(table) = names.get(&row.relation) else { continue };
        let Some(relation) = relations.get_mut(table) else { continue };
        let name: Box<str> = row.name.into();
        if !row.is_readable {
            unreadable.insert((table.clone(), name.clone()));
        }
        // Where a user's `=` may be called, nobody can say which values are equal.
        let kind = row.kind.as_deref().filter(|_| !own_equality).map(|kind| match kind {
            "int" => PinType::Int,
            "bool" => PinType::Bool,
            "uuid" => PinType::Uuid,
            _ => PinType::Text,
        });
        let column =
            Column { kind, is_pin: row.is_key && kind.is_some(), is_generated: row.is_generated };
        relation.columns.insert(name, column);
    }
    for UniqueKey { relation, columns } in unique_keys {
        if let Some(relation) = names.get(&relation).and_then(|name| relations.get_mut(name)) {
            relation.unique_keys.push(set(columns));
        }
    }
    for row in cascades {
        let (Some(source), Some(target)) = (names.get(&row.source), names.get(&row.target)) else {
            continue;
        };
        if let Some(relation) = relations.get_mut(source) {
            relation.cascades.extend(self::cascades(&row, target));
        }
    }
    for PartitionKey { relation, key } in keys {
        let Some(relation) = names.get(&relation).and_then(|name| relations.get_mut(name)) else {
            continue;
        };
        relation.partition_key = key.map_or(Columns::All, |key| Columns::Only(set(key)));
    }
    settle_families(relations);
    for (table, relation) in relations {
        let readable = |pin: &str| !unreadable.contains(&(table.clone(), pin.into()));
        let is_readable = relation.pins().all(|(pin, _)| readable(pin));
        relation.may_learn &= is_readable;
    }
    Ok(())
}

fn cascades(row: &CascadeRow, target: &TableName) -> Vec<Cascade> {
    let write = |action: &str| {
        let (events, set_columns) = match action {
            "c" => (Events::DELETE, BTreeSet::new()),
            "n" | "d" => (Events::UPDATE, set(row.referring.clone())),
            // No action, or to refuse.
            _ => return None,
        };
        let set_columns = Columns::Only(set_columns);
        Some(TableWrite { table: target.clone(), events, set_columns, replaces: false })
    };
    let on_delete = write(&row.on_delete).map(|write| Cascade { on: CascadeOn::Delete, write });
    // To cascade an update is to set the referring columns, too.
    let on_update = write(if row.on_update == "c" { "n" } else { &row.on_update });
    let on_update = on_update
        .map(|write| Cascade { on: CascadeOn::Update(set(row.referenced.clone())), write });
    on_delete.into_iter().chain(on_update).collect()
}

fn set(names: Vec<String>) -> BTreeSet<Box<str>> {
    names.into_iter().map(Into::into).collect()
}
