//! Reads SQLite's schema.

use std::{collections::HashMap, sync::Arc};

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use turbodiesel_core::TableName;
use turbodiesel_sql::{Dialect, plan_view};

use super::RawSqlite;
use crate::catalog::{
    Cascade, CascadeOn, Catalog, Events, Relation, RelationKind, Signature, TableWrite, Trigger,
    TriggerBody,
};

const SCHEMA: &str = "main";

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    schema_version: i64,
}

/// SQLite counts the changes of a file's schema, whoever makes them.
pub(super) async fn signature(raw: &mut RawSqlite) -> QueryResult<Signature> {
    let Version { schema_version } =
        diesel::sql_query("SELECT schema_version FROM pragma_schema_version")
            .get_result(raw)
            .await?;
    Ok(Signature {
        objects: schema_version.to_string(),
        search_path: vec![SCHEMA.into()],
        uncommitted: false,
    })
}

const OBJECTS: &str = "
    SELECT lower(type) AS kind, lower(name) AS name, lower(tbl_name) AS table_name, sql,
           sql LIKE 'CREATE VIRTUAL%' AS virtual
    FROM main.sqlite_schema WHERE type IN ('table', 'view', 'trigger')";

#[derive(QueryableByName)]
struct Object {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Nullable<Text>)]
    sql: Option<String>,
    #[diesel(sql_type = Nullable<Bool>, column_name = "virtual")]
    is_virtual: Option<bool>,
}

const CASCADES: &str = "
    SELECT lower(f.\"table\") AS source, lower(t.name) AS target
    FROM main.sqlite_schema t, pragma_foreign_key_list(t.name) f
    WHERE t.type = 'table'
      AND (f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
           OR f.on_update IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))";

#[derive(QueryableByName)]
struct CascadeRow {
    #[diesel(sql_type = Text)]
    source: String,
    #[diesel(sql_type = Text)]
    target: String,
}

pub(super) async fn load(raw: &mut RawSqlite) -> QueryResult<Catalog> {
    let Signature { objects, search_path, .. } = signature(raw).await?;
    let schema: Vec<Object> = diesel::sql_query(OBJECTS).load(raw).await?;
    let cascades: Vec<CascadeRow> = diesel::sql_query(CASCADES).load(raw).await?;

    let name = |name: &str| TableName::qualified(SCHEMA, name);
    let mut relations: HashMap<TableName, Relation> = HashMap::new();
    for object in schema.iter().filter(|object| object.kind != "trigger") {
        let kind = match &*object.kind {
            "view" => {
                let sql = object.sql.as_deref().unwrap_or_default();
                RelationKind::View(Arc::new(plan_view(Dialect::Sqlite, sql)))
            }
            // A virtual table's rows come from its module, which need not tell when they change.
            _ if object.is_virtual == Some(true) => RelationKind::Foreign,
            _ => RelationKind::Table,
        };
        relations.insert(name(&object.name), Relation { kind, ..Relation::table() });
    }
    for trigger in schema.iter().filter(|object| object.kind == "trigger") {
        if let Some(relation) = relations.get_mut(&name(&trigger.table_name)) {
            relation.triggers.push(Trigger { on: Events::ALL, body: TriggerBody::Opaque });
        }
    }
    for CascadeRow { source, target } in cascades {
        if let Some(relation) = relations.get_mut(&name(&source)) {
            let write = TableWrite::anything(name(&target));
            relation.cascades.push(Cascade { on: CascadeOn::Delete, write });
        }
    }
    Ok(Catalog {
        objects,
        search_path,
        system_schemas: &["temp"],
        relations,
        // Functions that the application registers run in this process, beside the database.
        unknown_may_write: false,
        ..Catalog::default()
    })
}
