//! Which queries can be paginated, and taking them apart.

use diesel::{
    QuerySource,
    backend::Backend,
    expression::NonAggregate,
    query_builder::{
        AsQuery, BoxedDeleteStatement, BoxedSelectStatement, DeleteStatement, FromClause,
        LimitOffsetClause, NoLimitClause, NoOffsetClause, NoOrderClause, QueryFragment,
        SelectClauseExpression, SelectStatement,
    },
    query_dsl::methods::BoxedDsl,
};

use super::{
    error::{Error, Kind},
    order::{Order, TotalOrder},
    pagination::Pagination,
    plan::{Fragment, Parts},
};

/// Adds [`paginate_by`](Self::paginate_by) to Diesel's queries.
pub trait PaginateDsl: AsQuery + Sized {
    /// Pages through the query in an order that must be total: see [`TotalOrder`].
    ///
    /// The query may be a table or a join, with filters and a selection, boxed or not. What a page
    /// brings itself (an order, a limit, an offset) and what does not go with it (`DISTINCT`,
    /// `GROUP BY`, aggregates, locking) does not compile, or, in a boxed query, is an error when a
    /// page is loaded: [`is_query`](super::Error::is_query).
    ///
    /// ```
    /// # diesel::table! { posts { id -> Integer, author -> Integer, created -> Timestamp } }
    /// use diesel::prelude::*;
    /// use turbodiesel_optimizer::keyset::PaginateDsl;
    ///
    /// let newest = posts::table
    ///     .filter(posts::author.eq(7))
    ///     .paginate_by((posts::created.desc(), posts::id.desc()))
    ///     .first(20);
    /// ```
    fn paginate_by<K, By>(self, order: K) -> Pagination<Self::Query, K>
    where
        Self::Query: Pageable,
        K: Order<<Self::Query as Pageable>::Source>
            + TotalOrder<<Self::Query as Pageable>::Source, By>,
    {
        Pagination::new(self.as_query(), order)
    }
}

impl<Q: AsQuery> PaginateDsl for Q {}

/// A query that can be paginated.
#[diagnostic::on_unimplemented(
    message = "this query cannot be paginated",
    label = "has clauses that do not go with pages",
    note = "`paginate_by` brings the order and the limit: remove `order`, `limit` and `offset`",
    note = "`distinct`, `group_by`, aggregates and `for_update` do not go with pages either"
)]
pub trait Pageable {
    /// The table or the join.
    type Source: QuerySource;
    /// The type of a row.
    type SqlType;
}

/// A query that can be paginated on a database.
pub trait PageableOn<'q, DB: Backend>: Pageable {
    #[doc(hidden)]
    fn into_parts(self) -> Result<Parts<'q, DB>, Error>;
}

impl<F, S, W> Pageable
    for SelectStatement<
        FromClause<F>,
        S,
        NoDistinct,
        W,
        NoOrderClause,
        LimitOffsetClause<NoLimitClause, NoOffsetClause>,
    >
where
    F: QuerySource,
    S: SelectClauseExpression<FromClause<F>, Selection: NonAggregate>,
{
    type Source = F;
    type SqlType = S::SelectClauseSqlType;
}

impl<'q, DB, F, S, D, W, O, L, G, H, LC> PageableOn<'q, DB>
    for SelectStatement<FromClause<F>, S, D, W, O, L, G, H, LC>
where
    DB: Backend,
    F: QuerySource,
    Self: Pageable
        + BoxedDsl<
            'q,
            DB,
            Output = BoxedSelectStatement<'q, <Self as Pageable>::SqlType, FromClause<F>, DB>,
        >,
    BoxedSelectStatement<'q, <Self as Pageable>::SqlType, FromClause<F>, DB>: PageableOn<'q, DB>,
{
    fn into_parts(self) -> Result<Parts<'q, DB>, Error> {
        self.internal_into_boxed().into_parts()
    }
}

impl<F: QuerySource, ST, DB> Pageable for BoxedSelectStatement<'_, ST, FromClause<F>, DB> {
    type Source = F;
    type SqlType = ST;
}

impl<'q, F, ST, DB> PageableOn<'q, DB> for BoxedSelectStatement<'q, ST, FromClause<F>, DB>
where
    DB: Backend + Default,
    F: QuerySource,
    FromClause<F>: QueryFragment<DB> + Send + 'q,
{
    fn into_parts(self) -> Result<Parts<'q, DB>, Error> {
        let is_there = |clause: &Fragment<'q, DB>| !clause.is_noop(&DB::default()).unwrap_or(false);
        for (name, there) in [
            ("ORDER BY", self.order.is_some()),
            ("LIMIT", self.limit_offset.limit.as_ref().is_some_and(is_there)),
            ("OFFSET", self.limit_offset.offset.as_ref().is_some_and(is_there)),
            ("DISTINCT", is_there(&self.distinct)),
            ("GROUP BY", is_there(&self.group_by)),
            ("HAVING", is_there(&self.having)),
        ] {
            if there {
                return Err(Kind::Clause(name).into());
            }
        }
        let filter = match self.where_clause {
            BoxedWhere::<'q, F, DB>::Where(filter) => Some(filter),
            BoxedWhere::<'q, F, DB>::None => None,
        };
        Ok(Parts { select: self.select, from: Box::new(self.from), filter })
    }
}

/// The clauses of Diesel's statements whose types it does not name in public.
pub trait Clauses {
    #[doc(hidden)]
    type Distinct;
    #[doc(hidden)]
    type Where;
}

impl<F, S, D, W, O, L, G, H, LC> Clauses for SelectStatement<F, S, D, W, O, L, G, H, LC> {
    type Distinct = D;
    type Where = W;
}

impl<T: QuerySource, W, R> Clauses for DeleteStatement<T, W, R> {
    type Distinct = ();
    type Where = W;
}

type NoDistinct = <SelectStatement<(), ()> as Clauses>::Distinct;
type BoxedWhere<'q, F, DB> = <BoxedDeleteStatement<'q, DB, F> as Clauses>::Where;
