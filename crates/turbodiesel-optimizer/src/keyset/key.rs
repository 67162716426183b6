//! The keys of an order: expressions with a direction, and a place for NULLs if they can be NULL.

use std::marker::PhantomData;

use diesel::{
    Column, Expression,
    dsl::{Asc, Desc},
    expression::{NonAggregate, SelectableExpression},
    query_builder::QueryFragment,
    sql_types::{SqlType, is_nullable},
};

use super::{
    backend::BindKey,
    branch::{Nulls, Rule},
    plan::Key as PlanKey,
};

/// One key of an order.
///
/// Diesel's `column.asc()` and `column.desc()`, on PostgreSQL also with `.nulls_first()` and
/// `.nulls_last()`, and what [`asc`], [`desc`] and [`unique`] make.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key of an order",
    label = "this has no direction",
    note = "say `column.asc()` or `column.desc()`",
    note = "other expressions than columns, such as `lower(name)`, take `keyset::asc(…)` or \
            `keyset::desc(…)`"
)]
pub trait Key {
    /// What is ordered by.
    type Expr: Expression;
    /// Where NULLs go: [`Unplaced`], [`NullsFirst`] or [`NullsLast`].
    type Place;

    #[doc(hidden)]
    const DESCENDING: bool;
    #[doc(hidden)]
    const NULLS: Option<Nulls>;

    #[doc(hidden)]
    fn into_expression(self) -> Self::Expr;
}

/// A key that the query can be ordered by: its expression is of the query's tables, and if it can be
/// NULL, its NULLs have a place.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a key that this query can be ordered by")]
pub trait KeyOf<Source>: Key {}

impl<Source, K> KeyOf<Source> for K
where
    K: Key,
    K::Expr: SelectableExpression<Source> + NonAggregate,
    <K::Expr as Expression>::SqlType: SqlType,
    K::Place: Places<<<K::Expr as Expression>::SqlType as SqlType>::IsNull>,
{
}

/// A key whose NULLs were given no place.
#[derive(Clone, Copy, Debug)]
pub struct Unplaced;
/// A key whose NULLs precede its values.
#[derive(Clone, Copy, Debug)]
pub struct NullsFirst;
/// A key whose NULLs follow its values.
#[derive(Clone, Copy, Debug)]
pub struct NullsLast;

/// Whether the place of NULLs is known. Databases disagree about it, and so do the two directions.
#[diagnostic::on_unimplemented(
    message = "this key can be NULL, and the order does not say where NULLs go",
    label = "needs `nulls_first()` or `nulls_last()`",
    note = "add `.nulls_first()` or `.nulls_last()` behind `.asc()` or `.desc()`",
    note = "on SQLite, where Diesel has neither: `keyset::desc(column).nulls_last()`"
)]
pub trait Places<IsNull> {}

impl Places<is_nullable::NotNull> for Unplaced {}
impl<IsNull> Places<IsNull> for NullsFirst {}
impl<IsNull> Places<IsNull> for NullsLast {}

/// A key made by [`asc`] or [`desc`].
#[derive(Clone, Copy, Debug)]
pub struct Sorted<E, const DESCENDING: bool, Place = Unplaced> {
    expression: E,
    place: PhantomData<Place>,
}

/// Ascending by any expression, such as `lower(users::name)`.
///
/// It must be one that the database can compute again when the next page is asked for: not `now()`,
/// and nothing that changes while it is paged through.
pub fn asc<E: Expression>(expression: E) -> Sorted<E, false> {
    Sorted { expression, place: PhantomData }
}

/// Descending by any expression; see [`asc`].
pub fn desc<E: Expression>(expression: E) -> Sorted<E, true> {
    Sorted { expression, place: PhantomData }
}

impl<E, const DESCENDING: bool> Sorted<E, DESCENDING> {
    /// NULLs precede the values.
    pub fn nulls_first(self) -> Sorted<E, DESCENDING, NullsFirst> {
        Sorted { expression: self.expression, place: PhantomData }
    }

    /// NULLs follow the values.
    pub fn nulls_last(self) -> Sorted<E, DESCENDING, NullsLast> {
        Sorted { expression: self.expression, place: PhantomData }
    }
}

/// The last key of an order, of which the application knows that it tells all rows of the query apart,
/// together with the keys before it.
#[derive(Clone, Copy, Debug)]
pub struct Unique<K>(K);

/// Declares that no two rows of the query agree in this key and all before it.
///
/// The primary key of a query's only table needs no such word. A unique column does, and so does every
/// key of a join: each post may appear once per comment, or have one author only, and the database
/// knows, but not its schema in Rust. If it turns out to be wrong, a page that contains the two rows is
/// an error, [`is_not_total`](super::Error::is_not_total), and not one row too few.
///
/// ```
/// # diesel::table! { posts { id -> Integer, author -> Integer } }
/// # diesel::table! { users { id -> Integer, name -> Text } }
/// # diesel::joinable!(posts -> users (author));
/// # diesel::allow_tables_to_appear_in_same_query!(posts, users);
/// use diesel::prelude::*;
/// use turbodiesel_optimizer::keyset::{PaginateDsl, unique};
///
/// // A post has one author, so the join has as many rows as there are posts.
/// let page = posts::table
///     .inner_join(users::table)
///     .paginate_by((users::name.asc(), unique(posts::id.asc())))
///     .first(20);
/// ```
pub fn unique<K: Key>(key: K) -> Unique<K> {
    Unique(key)
}

macro_rules! keys {
    ($(
        $(#[$attribute:meta])*
        impl[$($generics:tt)*] $key:ty {
            $expression:ty = |$self:ident| $into:expr, $descending:expr, $place:ident, $nulls:expr
        }
    )*) => {$(
        $(#[$attribute])*
        impl<$($generics)*> Key for $key {
            type Expr = $expression;
            type Place = $place;

            const DESCENDING: bool = $descending;
            const NULLS: Option<Nulls> = $nulls;

            fn into_expression(self) -> Self::Expr {
                let $self = self;
                $into
            }
        }
    )*};
}

// Diesel keeps the expression in its own types to itself, but a column can be made from its type.
keys! {
    impl[C: Column + Default] Asc<C> { C = |_key| C::default(), false, Unplaced, None }
    impl[C: Column + Default] Desc<C> { C = |_key| C::default(), true, Unplaced, None }
    #[cfg(feature = "postgres")]
    impl[C: Column + Default] diesel::dsl::NullsFirst<Asc<C>> {
        C = |_key| C::default(), false, NullsFirst, Some(Nulls::First)
    }
    #[cfg(feature = "postgres")]
    impl[C: Column + Default] diesel::dsl::NullsFirst<Desc<C>> {
        C = |_key| C::default(), true, NullsFirst, Some(Nulls::First)
    }
    #[cfg(feature = "postgres")]
    impl[C: Column + Default] diesel::dsl::NullsLast<Asc<C>> {
        C = |_key| C::default(), false, NullsLast, Some(Nulls::Last)
    }
    #[cfg(feature = "postgres")]
    impl[C: Column + Default] diesel::dsl::NullsLast<Desc<C>> {
        C = |_key| C::default(), true, NullsLast, Some(Nulls::Last)
    }
    impl[E: Expression, const DESC: bool] Sorted<E, DESC> {
        E = |key| key.expression, DESC, Unplaced, None
    }
    impl[E: Expression, const DESC: bool] Sorted<E, DESC, NullsFirst> {
        E = |key| key.expression, DESC, NullsFirst, Some(Nulls::First)
    }
    impl[E: Expression, const DESC: bool] Sorted<E, DESC, NullsLast> {
        E = |key| key.expression, DESC, NullsLast, Some(Nulls::Last)
    }
}

impl<K: Key> Key for Unique<K> {
    type Expr = K::Expr;
    type Place = K::Place;

    const DESCENDING: bool = K::DESCENDING;
    const NULLS: Option<Nulls> = K::NULLS;

    fn into_expression(self) -> Self::Expr {
        self.0.into_expression()
    }
}

/// A key that can be sent to a database.
pub trait KeyOn<'q, DB: diesel::backend::Backend>: Key {
    #[doc(hidden)]
    fn into_plan(self) -> PlanKey<'q, DB>;
}

impl<'q, DB, K> KeyOn<'q, DB> for K
where
    K: Key,
    K::Expr: QueryFragment<DB> + Send + 'q,
    <K::Expr as Expression>::SqlType: SqlType<IsNull: Nullability>,
    DB: BindKey<<K::Expr as Expression>::SqlType>,
{
    fn into_plan(self) -> PlanKey<'q, DB> {
        let nullable = <<K::Expr as Expression>::SqlType as SqlType>::IsNull::NULLABLE;
        PlanKey {
            expression: Box::new(self.into_expression()),
            rule: Rule { descending: K::DESCENDING, nullable, nulls: K::NULLS },
            bind: DB::bind,
        }
    }
}

/// Whether a type has NULL, as a value.
pub trait Nullability {
    #[doc(hidden)]
    const NULLABLE: bool;
}

impl Nullability for is_nullable::IsNullable {
    const NULLABLE: bool = true;
}

impl Nullability for is_nullable::NotNull {
    const NULLABLE: bool = false;
}
