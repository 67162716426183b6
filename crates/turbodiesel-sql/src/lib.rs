//! What an SQL statement reads and writes, judged from its text.
//!
//! A cache in front of a database must know which tables an answer came from, which rows of them,
//! whether the answer depends on anything else, and what a write changes. An application that
//! sends SQL has said all that already; this crate reads it out of the statement:
//!
//! ```
//! use turbodiesel_sql::{Dialect, Kind, Planner, Writes};
//!
//! let planner = Planner::new(Dialect::Postgres);
//!
//! // A read: where it reads, and what confines the rows there.
//! let read = planner.plan(
//!     r#"SELECT "posts"."title" FROM "posts" INNER JOIN "users"
//!        ON ("posts"."user_id" = "users"."id") WHERE ("users"."id" = $1)"#,
//! );
//! assert_eq!(read.refusal(), None);
//! assert_eq!(
//!     read.to_string(),
//!     "read, returns rows\n\
//!      reads posts[title, user_id] where user_id = $1 through users.id\n\
//!      reads users[id] where id = $1",
//! );
//!
//! // A write that hides within a query.
//! let write = planner.plan("WITH gone AS (DELETE FROM posts WHERE id = $1 RETURNING *) SELECT 1");
//! assert_eq!(write.kind(), Kind::Write);
//! let Writes::Tables(targets) = write.writes() else { panic!() };
//! assert_eq!(&*targets[0].table.name, "posts");
//!
//! // What is not understood is never cached, and may write everything.
//! let unknown = planner.plan("FROBNICATE posts");
//! assert!(unknown.refusal().is_some());
//! assert_eq!(*unknown.writes(), Writes::Everything);
//! ```
//!
//! # Guarantees
//!
//! - *Nothing is read or written unseen.* Every relation that a query reads is in
//!   [`Plan::occurrences`], through CTEs, subqueries in any clause, set operations and joins; every
//!   table that a statement names as its target is in [`Plan::writes`]. The walk over the syntax
//!   tree takes each node apart completely; a node of unknown meaning makes the whole statement
//!   [`Kind::Unknown`].
//! - *A pin holds*: a row that differs from it cannot influence the answer. The argument stands in
//!   the module `pins`, and a test compares it with SQLite on random queries and rows.
//! - *Refusal is the default.* A function is either on a short list of built-ins, or reported for
//!   the catalog to decide ([`Plan::functions`]).
//! - *Any text is answered*: planning neither fails nor panics nor overflows the stack, and
//!   a [`Planner`] is bounded in memory.
//!
//! # Limits
//!
//! The text does not tell what a name stands for. Whoever uses a plan must ask the catalog:
//!
//! - which schema an unqualified name is in, and whether it is a view, a foreign table, or has
//!   triggers, rules, policies, cascades or children;
//! - whether a user's function hides behind the name of a built-in ([`Plan::builtins`]), and how
//!   volatile the others are;
//! - whether a user's operator hides behind the symbol of a built-in one ([`Plan::operators`]), or behind
//!   syntax that calls one (`IN`, `LIKE`, `BETWEEN`). A user's `=` of the types of keys makes all pins
//!   void;
//! - whether a pinned column exists and has a type whose equality is that of its values, the same
//!   as the columns in [`Pin::through`].
//!
//! `standard_conforming_strings` must be on. Columns of text that hold the word `now` and are cast
//! to a time are not noticed. Temporary triggers of SQLite are not seen.
//!
//! Syntax that the parser (`sqlparser`) does not know is refused, even where a database accepts it:
//! `ROWS FROM (…)`, `f() AS (a int)`, `VARIADIC`, `SEARCH` and `CYCLE`, `JOIN … USING (…) AS j`;
//! in SQLite `INDEXED BY`, and `EXCLUDE` in window frames. A query in such syntax is still known
//! not to write; a write in it (`UPDATE … SET a[1] = …`) may write everything.
//!
//! # Modules, in reading order
//!
//! - `plan`: the vocabulary; `display` writes it as text.
//! - `planner`: plans remembered by the text of their statement.
//! - `statement`: from text to plan: control statements by their first words, the rest by the walk.
//! - `dialect`, `tokens`: the two databases' spelling, and where the parser must be helped.
//! - `walk`, `from`, `expr`, `operator`, `call`, `write`: the walk over queries, expressions and
//!   writes; `returning`: how to ask a write for more.
//! - `glance`: queries that the parser does not know. `view`: the body of a view.
//! - `facts`: what the walk has found; `scope`: which relation a name means.
//! - `pins`: what confines the rows of a relation.
//! - `builtins`, `types`, `clock`: what functions and casts may do, and what tells the time.

mod builtins;
mod call;
mod clock;
mod dialect;
mod display;
mod expr;
mod facts;
mod from;
mod glance;
mod operator;
mod pins;
mod plan;
mod planner;
mod returning;
mod scope;
mod statement;
mod tokens;
mod types;
mod view;
mod walk;
mod write;

pub use builtins::is_builtin;
pub use dialect::Dialect;
pub use plan::{
    Action, ColumnRef, Columns, Conflict, ConflictOn, FunctionName, Inserted, Kind, Occurrence,
    Operands, Pin, PinSource, Plan, Refusal, Rows, Scalar, Target, ValueSource, Writes,
};
pub use planner::Planner;
pub use returning::{Returned, Returning};
pub use statement::plan;
pub use view::plan_view;
