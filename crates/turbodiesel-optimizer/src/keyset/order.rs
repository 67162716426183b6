//! Orders: keys of which the last tells all rows apart.

use diesel::{Column, Table};

use super::{
    key::{Key, KeyOf, KeyOn, Unique},
    plan::Key as PlanKey,
};

/// Keys that a query can be ordered by: a key, or a tuple of up to eight.
#[diagnostic::on_unimplemented(
    message = "this query cannot be ordered by `{Self}`",
    note = "an order is `column.asc()`, `column.desc()` or a tuple of these, of up to eight",
    note = "a key that can be NULL needs `.nulls_first()` or `.nulls_last()` behind its direction",
    note = "the columns must be of the query's tables"
)]
pub trait Order<Source> {}

/// An order in which no two rows of a query have the same place.
///
/// The last key must be the primary key of the query's only table, in one column or, as the last two
/// keys, in two; or one that is said to be [`unique`](super::unique). `By` is how it is known, which
/// the compiler finds out.
#[diagnostic::on_unimplemented(
    message = "this order is not known to be total: rows could be lost or shown twice where its keys \
               are equal",
    label = "does not end with a key that tells all rows apart",
    note = "add the table's primary key as the last key, such as `posts::id.desc()`",
    note = "or, for a unique column, a join or a primary key of more than two columns, wrap the last \
            key: `keyset::unique(posts::slug.asc())`"
)]
pub trait TotalOrder<Source, By> {}

/// An order that can be sent to a database.
pub trait OrderOn<'q, DB: diesel::backend::Backend> {
    #[doc(hidden)]
    fn into_keys(self) -> Vec<PlanKey<'q, DB>>;
}

/// The last key alone tells rows apart, as `By` says.
#[derive(Debug)]
pub struct LastKey<By>(By);
/// The last two keys do, which are the primary key.
#[derive(Debug)]
pub struct LastTwoKeys(());
/// It is the primary key of the only table.
#[derive(Debug)]
pub struct ByPrimaryKey(());
/// The application says so.
#[derive(Debug)]
pub struct ByAssertion(());

/// A key that tells all rows of a query apart.
pub trait Identifies<Source, By>: Key {}

impl<K, T> Identifies<T, ByPrimaryKey> for K
where
    K: Key<Expr: Column<Table = T>>,
    T: Table<PrimaryKey = K::Expr>,
{
}

impl<K: Key, Source> Identifies<Source, ByAssertion> for Unique<K> {}

macro_rules! tuples {
    ($(($($key:ident),*) then $last:ident;)*) => {$(
        impl<Source, $($key,)* $last> Order<Source> for ($($key,)* $last,)
        where
            $($key: KeyOf<Source>,)*
            $last: KeyOf<Source>,
        {
        }

        // That the keys are such is asked for apart, so that each mistake has its own message.
        impl<Source, By, $($key,)* $last> TotalOrder<Source, LastKey<By>> for ($($key,)* $last,)
        where
            $last: Identifies<Source, By>,
        {
        }

        impl<'q, DB, $($key,)* $last> OrderOn<'q, DB> for ($($key,)* $last,)
        where
            DB: diesel::backend::Backend,
            $($key: KeyOn<'q, DB>,)*
            $last: KeyOn<'q, DB>,
        {
            #[allow(non_snake_case, reason = "the names of the types")]
            fn into_keys(self) -> Vec<PlanKey<'q, DB>> {
                let ($($key,)* $last,) = self;
                vec![$($key.into_plan(),)* $last.into_plan()]
            }
        }
    )*};
}

macro_rules! pairs {
    ($(($($key:ident),*);)*) => {$(
        impl<T, $($key,)* Y, Z> TotalOrder<T, LastTwoKeys> for ($($key,)* Y, Z)
        where
            Y: Key,
            Z: Key,
            T: Table<PrimaryKey = (Y::Expr, Z::Expr)>,
        {
        }
    )*};
}

tuples! {
    () then Z;
    (A) then Z;
    (A, B) then Z;
    (A, B, C) then Z;
    (A, B, C, D) then Z;
    (A, B, C, D, E) then Z;
    (A, B, C, D, E, F) then Z;
    (A, B, C, D, E, F, G) then Z;
}

pairs! {
    ();
    (A);
    (A, B);
    (A, B, C);
    (A, B, C, D);
    (A, B, C, D, E);
    (A, B, C, D, E, F);
}

impl<Source, K: KeyOf<Source>> Order<Source> for K {}

impl<Source, By, K: Identifies<Source, By>> TotalOrder<Source, LastKey<By>> for K {}

impl<'q, DB, K> OrderOn<'q, DB> for K
where
    DB: diesel::backend::Backend,
    K: KeyOn<'q, DB>,
{
    fn into_keys(self) -> Vec<PlanKey<'q, DB>> {
        vec![self.into_plan()]
    }
}
