//! Reads PostgreSQL's catalog: what hangs on every table, and who is who.

use std::collections::HashMap;

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{Array, Bool, Nullable, Oid, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use turbodiesel_core::TableName;
use turbodiesel_sql::{Dialect, plan};

use std::sync::Arc;

use crate::catalog::{Catalog, Relation, RelationKind, Volatility};

const SYSTEM_SCHEMAS: &[&str] = &["pg_catalog", "information_schema", "pg_toast"];

/// Hashes the identity and version (`xmin`) of every catalog row that `load` depends on. Temporary
/// objects are left out: they belong to one session, and a session that makes them is not cached.
const SIGNATURE: &str = "
    WITH relation AS (
        SELECT c.oid, c.xmin FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    ), part AS (
        SELECT 'c' AS kind, oid::text || ':' || xmin::text AS part FROM relation
        UNION ALL
        SELECT 't', t.oid::text || ':' || t.xmin::text FROM pg_trigger t WHERE NOT t.tgisinternal
        UNION ALL
        SELECT 'r', r.oid::text || ':' || r.xmin::text
        FROM pg_rewrite r JOIN relation ON relation.oid = r.ev_class
        UNION ALL
        SELECT 'f', k.oid::text || ':' || k.xmin::text FROM pg_constraint k WHERE k.contype = 'f'
        UNION ALL
        SELECT 'i', inhrelid::text || ':' || inhparent::text FROM pg_inherits
        UNION ALL
        SELECT 'p', oid::text || ':' || xmin::text FROM pg_policy
        UNION ALL
        SELECT 'x', p.oid::text || ':' || p.xmin::text
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
        UNION ALL
        SELECT 's', current_schemas(true)::text
    )
    SELECT md5(string_agg(kind || part, ',' ORDER BY kind, part)) AS signature FROM part";

#[derive(QueryableByName)]
struct Signature {
    #[diesel(sql_type = Text)]
    signature: String,
}

pub(super) async fn signature(raw: &mut AsyncPgConnection) -> QueryResult<String> {
    let Signature { signature } = diesel::sql_query(SIGNATURE).get_result(raw).await?;
    Ok(signature)
}

#[derive(QueryableByName)]
struct SearchPath {
    #[diesel(sql_type = Array<Text>)]
    schemas: Vec<String>,
}

const RELATIONS: &str = "
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
           c.relrowsecurity AS row_security,
           CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS body,
           EXISTS (SELECT FROM pg_trigger t
                   WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D')
           OR EXISTS (SELECT FROM pg_rewrite r
                      WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN') AS opaque_writes,
           EXISTS (SELECT FROM pg_policy p JOIN pg_depend d
                     ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
                    AND d.refclassid = 'pg_proc'::regclass
                   WHERE p.polrelid = c.oid) AS opaque_policies
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

#[derive(QueryableByName)]
struct RelationRow {
    #[diesel(sql_type = Oid)]
    oid: u32,
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    row_security: bool,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
    #[diesel(sql_type = Bool)]
    opaque_writes: bool,
    #[diesel(sql_type = Bool)]
    opaque_policies: bool,
}

/// Pairs of relations, by what connects them.
const LINKS: &str = "
    SELECT 'cascade' AS kind, confrelid AS source, conrelid AS target FROM pg_constraint
    WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
    UNION ALL
    SELECT 'relative', inhparent, inhrelid FROM pg_inherits
    UNION ALL
    SELECT 'relative', inhrelid, inhparent FROM pg_inherits
    UNION ALL
    SELECT DISTINCT 'policy', p.polrelid, d.refobjid FROM pg_policy p JOIN pg_depend d
        ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
       AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid";

#[derive(QueryableByName)]
struct Link {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Oid)]
    source: u32,
    #[diesel(sql_type = Oid)]
    target: u32,
}

const FUNCTIONS: &str = "
    SELECT lower(p.proname::text) AS name,
           max(CASE p.provolatile WHEN 'v' THEN '3v' WHEN 's' THEN '2s' ELSE '1i' END) AS volatility
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1";

#[derive(QueryableByName)]
struct FunctionRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    volatility: String,
}

pub(super) async fn load(raw: &mut AsyncPgConnection) -> QueryResult<Catalog> {
    // The signature is taken first: a change between the two is noticed by the next check.
    let signature = signature(raw).await?;
    let SearchPath { schemas } =
        diesel::sql_query("SELECT current_schemas(true)::text[] AS schemas")
            .get_result(raw)
            .await?;
    let rows: Vec<RelationRow> = diesel::sql_query(RELATIONS).load(raw).await?;
    let links: Vec<Link> = diesel::sql_query(LINKS).load(raw).await?;
    let functions: Vec<FunctionRow> = diesel::sql_query(FUNCTIONS).load(raw).await?;

    let names: HashMap<u32, TableName> =
        rows.iter().map(|row| (row.oid, TableName::qualified(&*row.schema, &*row.name))).collect();
    let mut relations: HashMap<TableName, Relation> =
        rows.into_iter().map(|row| (names[&row.oid].clone(), relation(row))).collect();
    for Link { kind, source, target } in links {
        let (Some(source), Some(target)) = (names.get(&source), names.get(&target)) else {
            // One end is a temporary table or a system catalog.
            if let Some(relation) = names.get(&source).and_then(|name| relations.get_mut(name)) {
                relation.opaque_policies |= kind == "policy";
            }
            continue;
        };
        let Some(relation) = relations.get_mut(source) else { continue };
        let target = target.clone();
        match &*kind {
            "cascade" => relation.cascades_to.push(target),
            "policy" => relation.policy_reads.push(target),
            _ => relation.relatives.push(target),
        }
    }
    Ok(Catalog {
        signature,
        search_path: schemas.into_iter().map(Into::into).collect(),
        system_schemas: SYSTEM_SCHEMAS,
        relations,
        functions: functions
            .into_iter()
            .map(|row| (row.name.into(), volatility(&row.volatility)))
            .collect(),
    })
}

fn relation(row: RelationRow) -> Relation {
    let kind = match (&*row.kind, row.body) {
        ("v", Some(body)) => RelationKind::View(Arc::new(plan(Dialect::Postgres, &body))),
        // A view whose definition this role may not see: planning nothing refuses everything.
        ("v", None) => RelationKind::View(Arc::new(plan(Dialect::Postgres, ""))),
        ("f", _) => RelationKind::Foreign,
        _ => RelationKind::Table,
    };
    Relation {
        kind,
        row_security: row.row_security,
        opaque_policies: row.opaque_policies,
        opaque_writes: row.opaque_writes,
        ..Relation::table()
    }
}

fn volatility(code: &str) -> Volatility {
    match code {
        "1i" => Volatility::Immutable,
        "2s" => Volatility::Stable,
        _ => Volatility::Volatile,
    }
}
