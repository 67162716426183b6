//! Keyset pagination: pages that cost the same at any depth.
//!
//! `OFFSET 1000000` makes the database find a million rows and throw them away, and shows a row twice
//! or never when another is inserted before it. A keyset page begins behind the *values* of the last
//! row instead, which an index finds at once. What usually goes wrong with it is what this module is
//! about: orders that are not total, NULLs, mixed directions, conditions that no index answers, and
//! cursors that a client can make up.
//!
//! ```no_run
//! # diesel::table! {
//! #     posts { id -> Integer, author -> Integer, published -> Nullable<Timestamp>, title -> Text }
//! # }
//! use diesel::prelude::*;
//! use diesel_async::AsyncPgConnection;
//! use turbodiesel_optimizer::keyset::{Cursor, Error, Page, PaginateDsl};
//!
//! async fn posts_of(
//!     author: i32,
//!     after: Option<Cursor>,
//!     connection: &mut AsyncPgConnection,
//! ) -> Result<Page<(i32, String)>, Error> {
//!     posts::table
//!         .filter(posts::author.eq(author))
//!         .select((posts::id, posts::title))
//!         .paginate_by((posts::published.desc().nulls_last(), posts::id.desc()))
//!         .after(after)
//!         .first(20)
//!         .load_page(connection)
//!         .await
//! }
//! ```
//!
//! # Where to find things
//!
//! - Begin: [`PaginateDsl::paginate_by`]. Orders: [`TotalOrder`], [`asc`], [`desc`], [`unique`].
//! - Ask for a page: [`Pagination`], [`PageQuery::load_page`]; for all, [`After::pages`].
//! - What it has: [`Page`], [`PageInfo`], [`Edge`], [`Total`].
//! - Cursors: [`Cursor`], [`CursorKey`]. Mistakes: [`Error`].
//!
//! # Guarantees
//!
//! - *Complete.* A row that exists and keeps its place in the order while it is paged through is seen
//!   exactly once, whatever is inserted, deleted or moved between two pages, the cursor's row included.
//! - *Total.* An order that is not known to tell all rows apart does not compile.
//! - *Exact.* The values in a cursor are the bytes that the database sent, and it compares them itself:
//!   by its collation, to the microsecond, NaN and -0 included.
//! - *Fast.* With an index on the keys, in their directions and with their places of NULLs, a page reads
//!   about as many rows as it has, at any depth.
//! - *Yours.* Filters, joins and selections stay as they are; the filter is parenthesised.
//! - *Genuine.* A cursor that was altered, cut, made up, or made for another query is an error, never
//!   another page.
//!
//! # Limits
//!
//! - There are no page numbers: a page is known by its neighbour.
//! - A row whose keys change while somebody pages may be seen twice or not at all.
//! - On mixed directions and nullable keys the statement is a union, which turbodiesel's cache tags with
//!   the whole table instead of the filter's values.
//! - Diesel's `table!` is believed: which column is the primary key, and which cannot be NULL.
//!
//! # Modules, in reading order
//!
//! - `query`, `order`, `key`: what can be paginated, by what.
//! - `pagination`: the builder.
//! - `plan`: the query taken apart.
//! - `branch`: which rows lie beyond a place.
//! - `statement`: the SQL.
//! - `load`: from the statement to the page.
//! - `page`, `count`: what the application gets.
//! - `cursor`, `value`: places as text, and what they are made of.
//! - `backend`: PostgreSQL and SQLite.
//! - `error`: what can go wrong.

mod backend;
mod branch;
mod count;
mod cursor;
mod error;
mod key;
mod load;
mod order;
mod page;
mod pagination;
mod plan;
mod query;
mod statement;
mod value;

pub use self::{
    backend::{BindKey, KeysetBackend},
    count::{Count, Total},
    cursor::{Cursor, CursorKey},
    error::Error,
    key::{
        Key, KeyOf, KeyOn, Nullability, NullsFirst, NullsLast, Places, Sorted, Unique, Unplaced,
        asc, desc, unique,
    },
    order::{
        ByAssertion, ByPrimaryKey, Identifies, LastKey, LastTwoKeys, Order, OrderOn, TotalOrder,
    },
    page::{Edge, Page, PageInfo},
    pagination::{After, Before, PageQuery, Pagination},
    query::{Pageable, PageableOn, PaginateDsl},
};
