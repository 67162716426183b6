//! Reads PostgreSQL's triggers, and what their functions do.

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{Array, Bool, Integer, Nullable, Oid, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use turbodiesel_sql::{Columns, Dialect};

use super::{Names, plpgsql};
use crate::catalog::{Catalog, Events, Trigger, TriggerBody, Volatility, no_columns};

/// All but those that are disabled, and the server's own.
///
/// The condition of a trigger may call functions as well, which are taken not to write where they are
/// in C. A function that runs as its owner may find other tables by the same names: if its path leads
/// through a schema that is the owner's alone, by name or by privilege.
const TRIGGERS: &str = "
    WITH RECURSIVE related AS (
        SELECT oid, oid AS via FROM pg_operator WHERE oid >= 16384
        UNION
        SELECT r.oid, l.via
        FROM related r JOIN pg_operator o ON o.oid = r.via
        CROSS JOIN LATERAL (VALUES (o.oprnegate), (o.oprcom)) l (via)
        WHERE l.via <> 0
    ), path AS (
        SELECT trim(name) AS name
        FROM unnest(string_to_array(current_setting('search_path'), ',')) AS name
    )
    SELECT t.tgrelid AS relation, t.tgtype::int4 AS type, l.lanname::text AS language,
           n.nspname::text AS schema, p.prosrc AS source, p.probin AS library,
           p.proconfig AS settings,
           split_part(encode(t.tgargs, 'escape'), '\\000', 1) AS argument,
           EXISTS (SELECT FROM pg_depend d
                   LEFT JOIN related
                     ON d.refclassid = 'pg_operator'::regclass AND related.oid = d.refobjid
                   LEFT JOIN pg_operator o ON o.oid = related.via
                   JOIN pg_proc f
                     ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
                     OR f.oid = o.oprcode
                   JOIN pg_language fl ON fl.oid = f.prolang
                   WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
                     AND f.oid <> p.oid
                     AND f.provolatile = 'v' AND fl.lanname NOT IN ('c', 'internal'))
               AS condition_may_write,
           p.prosecdef AND (
               EXISTS (SELECT FROM path JOIN pg_namespace s
                         ON s.nspname = CASE WHEN path.name = '\"$user\"'
                                             THEN pg_get_userbyid(p.proowner)
                                             WHEN path.name LIKE '\"%' THEN trim('\"' FROM path.name)
                                             ELSE lower(path.name) END
                       WHERE has_schema_privilege(p.proowner, s.oid, 'USAGE')
                         AND s.nspname <> ALL (current_schemas(true)))
               OR EXISTS (SELECT FROM pg_namespace s
                          WHERE s.nspname = ANY (current_schemas(false))
                            AND NOT has_schema_privilege(p.proowner, s.oid, 'USAGE')))
               AS looks_elsewhere
    FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_language l ON l.oid = p.prolang
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'";

#[derive(QueryableByName)]
struct TriggerRow {
    #[diesel(sql_type = Oid)]
    relation: u32,
    #[diesel(sql_type = Integer, column_name = "type")]
    kind: i32,
    #[diesel(sql_type = Text)]
    language: String,
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    source: String,
    #[diesel(sql_type = Nullable<Text>)]
    library: Option<String>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    settings: Option<Vec<String>>,
    #[diesel(sql_type = Text)]
    argument: String,
    #[diesel(sql_type = Bool)]
    condition_may_write: bool,
    #[diesel(sql_type = Bool)]
    looks_elsewhere: bool,
}

impl TriggerRow {
    fn events(&self) -> Events {
        let has = |bit: i32| self.kind & bit != 0;
        Events { insert: has(4), delete: has(8), update: has(16), truncate: has(32) }
    }

    /// Whether it runs once for each row and before it is stored: what it assigns is what is stored.
    fn is_before_row(&self) -> bool {
        self.kind & 3 == 3
    }
}

/// Adds the triggers to a catalog whose tables, views and functions are known already.
pub(super) async fn load(
    raw: &mut AsyncPgConnection,
    names: &Names,
    catalog: &mut Catalog,
) -> QueryResult<()> {
    let rows: Vec<TriggerRow> = diesel::sql_query(TRIGGERS).load(raw).await?;
    for row in rows {
        let body = body(&row, catalog).unwrap_or(TriggerBody::Opaque);
        let table = names.get(&row.relation);
        if let Some(relation) = table.and_then(|table| catalog.relations.get_mut(table)) {
            relation.triggers.push(Trigger { on: row.events(), body });
        }
    }
    Ok(())
}

/// What a trigger does, `None` where nobody can say.
fn body(row: &TriggerRow, catalog: &Catalog) -> Option<TriggerBody> {
    if row.condition_may_write {
        return None;
    }
    let (assigns, writes) = match &*row.language {
        "plpgsql" => {
            let settings = row.settings.as_deref().unwrap_or_default();
            let elsewhere = settings.iter().any(|setting| !keeps_path(setting, catalog));
            // A function of a row may be called as if it were its column.
            let source = row.source.to_lowercase();
            let may_call = |name: &str, volatility: &Volatility| {
                *volatility == Volatility::Writing && source.contains(&name.to_lowercase())
            };
            if row.looks_elsewhere
                || elsewhere
                || catalog.row_functions.iter().any(|(name, volatility)| may_call(name, volatility))
            {
                return None;
            }
            let plpgsql::Body { statements, assigns } = plpgsql::read(&row.source)?;
            let statements = statements.iter().map(String::as_str);
            (assigns, catalog.writes_of(Dialect::Postgres, statements)?)
        }
        _ => (well_known(row)?, Vec::new()),
    };
    let assigns = if row.is_before_row() { assigns } else { no_columns() };
    Some(TriggerBody::Known { assigns, writes })
}

/// What functions that come with PostgreSQL assign.
fn well_known(row: &TriggerRow) -> Option<Columns> {
    // A backslash is an escape, and the name another one.
    let argument = || match row.argument.contains('\\') {
        true => Columns::All,
        false => Columns::Only([row.argument.as_str().into()].into()),
    };
    let library = row.library.as_deref().map(|path| path.trim_start_matches("$libdir/"));
    match (&*row.language, &*row.schema, &*row.source, library) {
        ("internal", "pg_catalog", "suppress_redundant_updates_trigger", _) => Some(no_columns()),
        (
            "internal",
            "pg_catalog",
            "tsvector_update_trigger_byid" | "tsvector_update_trigger_bycolumn",
            _,
        )
        | ("c", _, "moddatetime", Some("moddatetime")) => Some(argument()),
        _ => None,
    }
}

/// Whether a setting of a function leaves it with the tables that the session's own names mean: a
/// search path that leads to the same schemas, or to none but the system's.
fn keeps_path(setting: &str, catalog: &Catalog) -> bool {
    let Some(path) = setting.strip_prefix("search_path=") else { return false };
    let is_implied = |schema: &&str| ["", "pg_catalog", "pg_temp"].contains(schema);
    let path: Vec<&str> = path
        .split(',')
        .map(|schema| schema.trim().trim_matches('"'))
        .filter(|schema| !is_implied(schema))
        .collect();
    let own = catalog.search_path.iter().map(|schema| &**schema).filter(|it| !is_implied(it));
    path.is_empty() || own.eq(path)
}
