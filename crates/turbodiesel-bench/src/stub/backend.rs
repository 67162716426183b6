//! The stub's dialect and types, as PostgreSQL's.

use std::fmt::Write as _;

use diesel::{
    QueryResult,
    backend::{
        Backend, DieselReserveSpecialization, SqlDialect, TrustedBackend,
        sql_dialect::{
            aggregate_function_expressions, alias_syntax, array_comparison, batch_insert_support,
            built_in_window_function_require_order, concat_clause, default_keyword_for_insert,
            default_value_clause, exists_syntax, from_clause_syntax, on_conflict_clause,
            returning_clause, select_statement_syntax, window_frame_clause_group_support,
            window_frame_exclusion_support,
        },
    },
    deserialize::{self, FromSql, FromSqlRef},
    query_builder::{
        AstPass, LimitClause, LimitOffsetClause, NoLimitClause, NoOffsetClause, QueryBuilder,
        QueryFragment, bind_collector::RawBytesBindCollector,
    },
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{
        BigInt, Binary, Bool, Date, Double, Float, HasSqlType, Integer, SmallInt, Text, Time,
        Timestamp, TypeMetadata,
    },
};

/// The backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stub;

/// The number of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oid(pub(crate) u32);

impl Backend for Stub {
    type QueryBuilder = StubQueryBuilder;
    type RawValue<'a> = &'a [u8];
    type BindCollector<'a> = RawBytesBindCollector<Stub>;
}

impl TypeMetadata for Stub {
    type TypeMetadata = Oid;
    type MetadataLookup = ();
}

impl SqlDialect for Stub {
    type ReturningClause = returning_clause::PgLikeReturningClause;
    type OnConflictClause = on_conflict_clause::DoesNotSupportOnConflictClause;
    type InsertWithDefaultKeyword = default_keyword_for_insert::IsoSqlDefaultKeyword;
    type BatchInsertSupport = batch_insert_support::PostgresLikeBatchInsertSupport;
    type ConcatClause = concat_clause::ConcatWithPipesClause;
    type DefaultValueClauseForInsert = default_value_clause::AnsiDefaultValueClause;
    type EmptyFromClauseSyntax = from_clause_syntax::AnsiSqlFromClauseSyntax;
    type SelectStatementSyntax = select_statement_syntax::AnsiSqlSelectStatement;
    type ExistsSyntax = exists_syntax::AnsiSqlExistsSyntax;
    type ArrayComparison = array_comparison::AnsiSqlArrayComparison;
    type AliasSyntax = alias_syntax::AsAliasSyntax;
    type WindowFrameClauseGroupSupport = window_frame_clause_group_support::IsoGroupWindowFrameUnit;
    type WindowFrameExclusionSupport = window_frame_exclusion_support::FrameExclusionSupport;
    type AggregateFunctionExpressions =
        aggregate_function_expressions::PostgresLikeAggregateFunctionExpressions;
    type BuiltInWindowFunctionRequireOrder =
        built_in_window_function_require_order::NoOrderRequired;
}

impl DieselReserveSpecialization for Stub {}
impl TrustedBackend for Stub {}

/// Renders SQL as PostgreSQL's does.
#[derive(Debug, Default)]
pub(crate) struct StubQueryBuilder {
    sql: String,
    binds: u32,
}

impl QueryBuilder<Stub> for StubQueryBuilder {
    fn push_sql(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn push_identifier(&mut self, identifier: &str) -> QueryResult<()> {
        self.sql.push('"');
        self.sql.push_str(&identifier.replace('"', "\"\""));
        self.sql.push('"');
        Ok(())
    }

    fn push_bind_param(&mut self) {
        self.push_bind_param_value_only();
        self.sql.push('$');
        // OK because writing to a string cannot fail.
        let _ = write!(self.sql, "{}", self.binds);
    }

    fn push_bind_param_value_only(&mut self) {
        self.binds += 1;
    }

    fn finish(self) -> String {
        self.sql
    }
}

impl QueryFragment<Stub> for LimitOffsetClause<NoLimitClause, NoOffsetClause> {
    fn walk_ast<'b>(&'b self, _pass: AstPass<'_, 'b, Stub>) -> QueryResult<()> {
        Ok(())
    }
}

impl<L> QueryFragment<Stub> for LimitOffsetClause<LimitClause<L>, NoOffsetClause>
where
    LimitClause<L>: QueryFragment<Stub>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Stub>) -> QueryResult<()> {
        self.limit_clause.walk_ast(pass)
    }
}

macro_rules! types {
    ($($sql_type:ty = $oid:literal,)*) => {$(
        impl HasSqlType<$sql_type> for Stub {
            fn metadata(_lookup: &mut ()) -> Oid {
                Oid($oid)
            }
        }
    )*};
}

types! {
    Bool = 16,
    Binary = 17,
    BigInt = 20,
    SmallInt = 21,
    Integer = 23,
    Text = 25,
    Float = 700,
    Double = 701,
    Date = 1082,
    Time = 1083,
    Timestamp = 1114,
}

impl ToSql<Integer, Stub> for i32 {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Stub>) -> serialize::Result {
        std::io::Write::write_all(out, &self.to_be_bytes())?;
        Ok(IsNull::No)
    }
}

impl ToSql<BigInt, Stub> for i64 {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Stub>) -> serialize::Result {
        std::io::Write::write_all(out, &self.to_be_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Integer, Stub> for i32 {
    fn from_sql(bytes: &[u8]) -> deserialize::Result<Self> {
        Ok(i32::from_be_bytes(bytes.try_into()?))
    }
}

impl FromSql<Bool, Stub> for bool {
    fn from_sql(bytes: &[u8]) -> deserialize::Result<Self> {
        Ok(bytes.first().is_some_and(|byte| *byte != 0))
    }
}

impl<'a> FromSqlRef<'a, Text, Stub> for &'a str {
    fn from_sql(bytes: &'a mut &[u8]) -> deserialize::Result<Self> {
        Ok(std::str::from_utf8(bytes)?)
    }
}
