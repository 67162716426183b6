//! A small manufacturing service that shows what turbodiesel does to an application.
//!
//! The service keeps products, stock, suppliers, customers, orders, work orders and users. Its
//! queries are written once, with Diesel, over any diesel-async connection (`service`). The demo
//! drives it with the same requests twice, over a plain diesel-async pool and over turbodiesel, and
//! reports both side by side, on SQLite or PostgreSQL.
//!
//! ```no_run
//! use clap::Parser;
//! use tokio_util::sync::CancellationToken;
//! use turbodiesel_demo::{Options, run};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let options = Options::parse_from(["turbodiesel-demo", "--duration", "2", "--rows", "10000"]);
//! let report = run(&options, &CancellationToken::new()).await?;
//! println!("{}", report.text());
//! assert_eq!(report.wrong_answers(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! - `schema`, `model`, `service`: the application; nothing in them knows of turbodiesel.
//! - `requests`, `data`, `zipf`: what its clients ask for and what its tables hold, from a seed.
//! - `contender`: the two ways to run it. `place`, `sqlite`, `postgres`: where.
//! - `run`: a whole demo, step by step. `drive`, `audit`: the load, and the check that answers are right.
//! - `report`, `progress`, `options`: what people see and say.
//!
//! # Guarantees
//!
//! - What the demo makes, a temporary folder or a schema, is removed when [`run`] returns, also
//!   after an error and when its token is cancelled.
//! - A checked answer counts as wrong only if nobody could have seen it at that moment; see `audit`.
//!
//! # Limits
//!
//! - It is one process on one machine: it shows proportions, not what a server park can do.
//! - Connections to PostgreSQL are not encrypted.

#![allow(clippy::disallowed_methods, reason = "a measuring program reads wall-clock time")]
#![allow(clippy::duplicate_mod, reason = "the service is compiled once for each backend")]

mod audit;
mod contender;
mod data;
mod drive;
mod model;
mod options;
mod place;
mod postgres;
mod progress;
mod report;
mod requests;
mod run;
mod schema;

mod sqlite;
mod zipf;

pub use self::{options::Options, place::Interrupted, report::Report, run::run};
