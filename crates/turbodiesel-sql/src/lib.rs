//! What an SQL statement reads and writes, judged from its text.
#![cfg_attr(test, allow(missing_docs))]

mod builtins;
mod clock;
mod dialect;
mod display;
mod expr;
mod facts;
mod pins;
mod plan;
mod planner;
mod scope;
mod statement;
mod tokens;
mod types;
mod view;
mod walk;
mod write;

pub use dialect::Dialect;
pub use plan::{
    Action, ColumnRef, Columns, Conflict, ConflictOn, FunctionName, Inserted, Kind, Occurrence,
    Pin, PinSource, Plan, Refusal, Rows, Scalar, Target, ValueSource, Writes,
};
pub use planner::Planner;
pub use statement::plan;
pub use view::plan_view;
