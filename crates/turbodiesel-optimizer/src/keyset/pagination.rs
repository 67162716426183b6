//! From a query and its order to a page: the builder that applications use.

use diesel::{deserialize::FromSqlRow, query_dsl::CompatibleType};
use diesel_async::AsyncConnectionCore;
use futures_core::Stream;
use futures_util::stream;

use super::{
    backend::KeysetBackend,
    branch::Walk,
    count::Count,
    cursor::{Cursor, CursorKey, Seal},
    error::{Error, Kind},
    load::Loader,
    order::OrderOn,
    page::Page,
    plan::Plan,
    query::PageableOn,
    value::Value,
};

const DEFAULT_MAX_PAGE_SIZE: usize = 1_000;

/// A query in a total order, made by [`PaginateDsl::paginate_by`](super::PaginateDsl::paginate_by).
///
/// ```no_run
/// # diesel::table! { posts { id -> Integer, created -> Nullable<Timestamp>, title -> Text } }
/// use diesel::prelude::*;
/// use diesel_async::AsyncPgConnection;
/// use turbodiesel_optimizer::keyset::{Cursor, Error, Page, PaginateDsl};
///
/// async fn newest(
///     connection: &mut AsyncPgConnection,
///     after: Option<Cursor>,
/// ) -> Result<Page<(i32, String)>, Error> {
///     posts::table
///         .select((posts::id, posts::title))
///         .paginate_by((posts::created.desc().nulls_last(), posts::id.desc()))
///         .after(after)
///         .first(20)
///         .load_page(connection)
///         .await
/// }
/// ```
#[must_use = "a page is loaded by `load_page`"]
#[derive(Clone, Debug)]
pub struct Pagination<Q, K> {
    query: Q,
    order: K,
    key: Option<CursorKey>,
    max_page_size: usize,
    count: Count,
}

/// What lies beyond a cursor, or everything: towards the end.
#[must_use = "a page is loaded by `load_page`"]
#[derive(Clone, Debug)]
pub struct After<Q, K> {
    pagination: Pagination<Q, K>,
    cursor: Option<Cursor>,
}

/// What lies before a cursor, or everything: towards the start.
#[must_use = "a page is loaded by `load_page`"]
#[derive(Clone, Debug)]
pub struct Before<Q, K> {
    pagination: Pagination<Q, K>,
    cursor: Option<Cursor>,
}

/// One page, to be loaded.
#[must_use = "a page is loaded by `load_page`"]
#[derive(Clone, Debug)]
pub struct PageQuery<Q, K> {
    pagination: Pagination<Q, K>,
    cursor: Option<Cursor>,
    walk: Walk,
    size: usize,
}

impl<Q, K> Pagination<Q, K> {
    pub(crate) fn new(query: Q, order: K) -> Self {
        let max_page_size = DEFAULT_MAX_PAGE_SIZE;
        Self { query, order, key: None, max_page_size, count: Count::None }
    }

    /// Sets the key that cursors are signed with and must be signed with.
    ///
    /// Defaults to the one that is [installed](CursorKey::install).
    pub fn signed_with(mut self, key: &CursorKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Sets how many rows a page may have at most. The size of a page is part of its statement, so
    /// this is also how many statements there can be to prepare, and to cache.
    ///
    /// Defaults to 1,000.
    pub fn max_page_size(mut self, rows: usize) -> Self {
        self.max_page_size = rows;
        self
    }

    /// Sets whether the rows of all pages are counted, by a second statement that may see the
    /// database at a later moment.
    ///
    /// Defaults to [`Count::None`].
    pub fn count(mut self, count: Count) -> Self {
        self.count = count;
        self
    }

    /// Begins behind a cursor; at the start, if it is `None`.
    pub fn after(self, cursor: impl Into<Option<Cursor>>) -> After<Q, K> {
        After { pagination: self, cursor: cursor.into() }
    }

    /// Ends before a cursor; at the end, if it is `None`.
    pub fn before(self, cursor: impl Into<Option<Cursor>>) -> Before<Q, K> {
        Before { pagination: self, cursor: cursor.into() }
    }

    /// The first page, of at most so many rows.
    pub fn first(self, rows: usize) -> PageQuery<Q, K> {
        self.after(None).first(rows)
    }

    /// The last page, of at most so many rows.
    pub fn last(self, rows: usize) -> PageQuery<Q, K> {
        self.before(None).last(rows)
    }

    /// All pages, of so many rows each: see [`After::pages`].
    pub fn pages<'c, 'q, T, C>(
        self,
        rows: usize,
        connection: &'c mut C,
    ) -> impl Stream<Item = Result<Page<T>, Error>> + use<'c, 'q, T, C, Q, K>
    where
        C: AsyncConnectionCore<Backend: KeysetBackend>,
        Q: PageableOn<'q, C::Backend, SqlType: CompatibleType<T, C::Backend>>,
        K: OrderOn<'q, C::Backend>,
        T: FromSqlRow<<Q::SqlType as CompatibleType<T, C::Backend>>::SqlType, C::Backend>,
    {
        self.after(None).pages(rows, connection)
    }
}

impl<Q, K> After<Q, K> {
    /// The next page, of at most so many rows.
    pub fn first(self, rows: usize) -> PageQuery<Q, K> {
        let Self { pagination, cursor } = self;
        PageQuery { pagination, cursor, walk: Walk::Forward, size: rows }
    }

    /// The pages from here on, of so many rows each, one after the other as they are asked for.
    ///
    /// Each is a statement of its own, so rows that come and go between two of them are seen as they
    /// are then; a row that stays where it is in the order is seen exactly once. Without rows there is
    /// no page. The rows are counted for the first page only.
    ///
    /// ```no_run
    /// # diesel::table! { posts { id -> Integer, title -> Text } }
    /// # async fn example(
    /// #     connection: &mut diesel_async::AsyncPgConnection,
    /// # ) -> Result<(), turbodiesel_optimizer::keyset::Error> {
    /// use std::pin::pin;
    ///
    /// use diesel::prelude::*;
    /// use futures_util::TryStreamExt as _;
    /// use turbodiesel_optimizer::keyset::PaginateDsl;
    ///
    /// let pages = posts::table.paginate_by(posts::id.asc()).pages::<(i32, String), _>(500, connection);
    /// let mut pages = pin!(pages);
    /// while let Some(page) = pages.try_next().await? {
    ///     for (id, title) in page {
    ///         println!("{id}: {title}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn pages<'c, 'q, T, C>(
        self,
        rows: usize,
        connection: &'c mut C,
    ) -> impl Stream<Item = Result<Page<T>, Error>> + use<'c, 'q, T, C, Q, K>
    where
        C: AsyncConnectionCore<Backend: KeysetBackend>,
        Q: PageableOn<'q, C::Backend, SqlType: CompatibleType<T, C::Backend>>,
        K: OrderOn<'q, C::Backend>,
        T: FromSqlRow<<Q::SqlType as CompatibleType<T, C::Backend>>::SqlType, C::Backend>,
    {
        let start = Some(self.first(rows).prepare());
        stream::try_unfold((start, connection), async |(next, connection)| {
            let Some(request) = next else { return Ok(None) };
            let Request { loader, place } = request?;
            let (loader, page) = loader.load(connection, place).await?;
            if page.rows.is_empty() {
                return Ok(None);
            }
            let next = page.keys.last().filter(|_| page.has_next_page).map(|place| {
                let loader = Loader { count: Count::None, ..loader };
                Ok(Request { loader, place: Some(place.clone()) })
            });
            Ok(Some((page, (next, connection))))
        })
    }
}

/// A page that only the database is missing of.
struct Request<'q, DB: KeysetBackend> {
    loader: Loader<'q, DB>,
    place: Option<Vec<Value>>,
}

impl<Q, K> Before<Q, K> {
    /// The page before, of at most so many rows: those next to the cursor, in the order of the query.
    pub fn last(self, rows: usize) -> PageQuery<Q, K> {
        let Self { pagination, cursor } = self;
        PageQuery { pagination, cursor, walk: Walk::Backward, size: rows }
    }
}

impl<Q, K> PageQuery<Q, K> {
    /// Loads the page.
    ///
    /// One statement, on any diesel-async connection; through turbodiesel's `Db` its answer is cached
    /// as any other. Only where a cursor has no row beyond it, a second one asks if there are rows
    /// before it.
    ///
    /// # Errors
    ///
    /// If the cursor is not one of this query, if the page is too large, if the database fails, or if
    /// two rows turn out to have the same keys.
    pub async fn load_page<'q, T, C>(self, connection: &mut C) -> Result<Page<T>, Error>
    where
        C: AsyncConnectionCore<Backend: KeysetBackend>,
        Q: PageableOn<'q, C::Backend, SqlType: CompatibleType<T, C::Backend>>,
        K: OrderOn<'q, C::Backend>,
        T: FromSqlRow<<Q::SqlType as CompatibleType<T, C::Backend>>::SqlType, C::Backend>,
    {
        let Request { loader, place } = self.prepare()?;
        let (_, page) = loader.load(connection, place).await?;
        Ok(page)
    }

    /// The statement that loads the page, with placeholders for its binds: for `EXPLAIN`, to see that
    /// an index serves it.
    ///
    /// # Errors
    ///
    /// Those of [`load_page`](Self::load_page) that need no database.
    ///
    /// ```
    /// # diesel::table! { posts { id -> Integer, title -> Text } }
    /// use diesel::pg::Pg;
    /// use turbodiesel_optimizer::keyset::PaginateDsl;
    ///
    /// let page = posts::table.paginate_by(posts::id.desc()).first(20);
    /// assert_eq!(
    ///     page.sql::<Pg>()?,
    ///     r#"SELECT "posts"."id", "posts"."id", "posts"."title" FROM "posts" ORDER BY "posts"."id" DESC LIMIT 21"#
    /// );
    /// # use diesel::prelude::*;
    /// # Ok::<(), turbodiesel_optimizer::keyset::Error>(())
    /// ```
    pub fn sql<'q, DB>(self) -> Result<String, Error>
    where
        DB: KeysetBackend,
        Q: PageableOn<'q, DB>,
        K: OrderOn<'q, DB>,
    {
        let Request { loader, place } = self.prepare()?;
        Ok(loader.sql(place.as_deref())?)
    }

    /// Everything that can be done without the database.
    fn prepare<'q, DB>(self) -> Result<Request<'q, DB>, Error>
    where
        DB: KeysetBackend,
        Q: PageableOn<'q, DB>,
        K: OrderOn<'q, DB>,
    {
        let Self { pagination, cursor, walk, size } = self;
        let Pagination { query, order, key, max_page_size: most, count } = pagination;
        if size == 0 || size > most {
            return Err(Kind::PageSize { asked: size, most }.into());
        }
        let plan = Plan::new(query.into_parts()?, order.into_keys())?;
        let key = key.unwrap_or_else(CursorKey::installed);
        let seal = Seal { key, shape: plan.shape };
        let place = cursor.map(|cursor| seal.read(&cursor, plan.keys.len())).transpose()?;
        Ok(Request { loader: Loader { plan, seal, walk, size, count }, place })
    }
}
