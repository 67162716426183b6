//! Reads SQLite's schema.

mod tables;
mod triggers;

use std::{collections::HashMap, sync::Arc};

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use turbodiesel_core::TableName;
use turbodiesel_sql::{Dialect, plan_view};

use super::RawSqlite;
use crate::catalog::{Catalog, Relation, RelationKind, Signature, Trigger};

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
        process: None,
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

impl Object {
    fn is_virtual(&self) -> bool {
        self.is_virtual == Some(true)
    }

    fn sql(&self) -> &str {
        self.sql.as_deref().unwrap_or_default()
    }
}

pub(super) async fn load(raw: &mut RawSqlite) -> QueryResult<Catalog> {
    let Signature { objects, search_path, .. } = signature(raw).await?;
    let schema: Vec<Object> = diesel::sql_query(OBJECTS).load(raw).await?;
    let mut catalog = Catalog {
        objects,
        search_path,
        system_schemas: &["temp"],
        relations: relations(&schema),
        // Functions that the application registers run in this process, beside the database.
        unknown_may_write: false,
        ..Catalog::default()
    };
    tables::load(raw, &mut catalog.relations).await?;
    for object in schema.iter().filter(|object| object.kind == "trigger") {
        let trigger: Trigger = triggers::read(object.sql(), &catalog);
        if let Some(relation) = catalog.relations.get_mut(&name(&object.table_name)) {
            relation.triggers.push(trigger);
        }
    }
    Ok(catalog)
}

fn name(name: &str) -> TableName {
    TableName::qualified(SCHEMA, name)
}

fn relations(schema: &[Object]) -> HashMap<TableName, Relation> {
    // A virtual table's rows come from its module, which need not tell when they change. Where it
    // keeps them in tables of its own, their names begin with the virtual one's.
    let modules: Vec<String> = schema
        .iter()
        .filter(|object| object.is_virtual())
        .map(|object| format!("{}_", object.name))
        .collect();
    let is_of_module = |name: &str| modules.iter().any(|module| name.starts_with(module));
    let relation = |object: &Object| {
        let kind = match &*object.kind {
            "view" => RelationKind::View(Arc::new(plan_view(Dialect::Sqlite, object.sql()))),
            _ if object.is_virtual() || is_of_module(&object.name) => RelationKind::Foreign,
            _ => RelationKind::Table,
        };
        Relation {
            may_learn: matches!(kind, RelationKind::Table),
            kind,
            // Said in the definition of a table or column, it goes for every statement without a
            // word of its own. The word alone is enough to expect it.
            replaces_conflicts: tables::has_word(object.sql(), "replace"),
            ..Relation::table()
        }
    };
    let relations = schema.iter().filter(|object| object.kind != "trigger");
    relations.map(|object| (name(&object.name), relation(object))).collect()
}
