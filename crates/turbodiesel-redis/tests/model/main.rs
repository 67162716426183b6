//! The protocol of writers and readers that share a store, checked in every order of their steps.
//!
//! A few writers and readers, each a process of its own, are a state machine, and `stateright` visits
//! every state that it can reach: after a verdict "holds" there is no order left that nobody has tried.
//!
//! What writers and those who clean up after them do is data, and what a reader concludes is a function:
//! the [`protocol`] is the crate's own source. Wrong protocols are other data, and must be found out.
//!
//! # What is modelled
//!
//! - A database, whose answers are represented by the number of writes that they reflect, and a replica
//!   that lags behind.
//! - Two records on two nodes, that nobody looks at together. Their stamps, their marks, all that is in
//!   the store, or its latest changes may be lost.
//! - Writers that know what they touch or learn it or fail to, on one record or both; that commit, abort
//!   or never hear; that crash between any two moves, with a commit that lands later or never.
//! - Whoever buries marks of writers that have gone, and founds records whose marks were lost.
//! - Readers that look at stamps, marks and entries one after the other, read, and fill.
//! - In [`lapse`], time: when a mark may be buried. Elsewhere it is buried as that allows.
//!
//! Not modelled: ages, flights within a process (the cache crate's model has them), two stores that
//! serve at once after a network was split, and writes that do not pass through the library.
//!
//! # What must hold
//!
//! P1, P2 and P3 of [`Claim`](check::Claim). Every test prints a line per verdict:
//!
//! ```text
//! cargo test -p turbodiesel-redis --test model -- --nocapture
//! TURBODIESEL_LONG_MODEL=1 cargo test -p turbodiesel-redis --test model -- --nocapture
//! TURBODIESEL_MODEL_TRACES=1 …                              # with counterexamples
//! ```
//!
//! # Modules, in reading order
//!
//! `protocol`, `state`, `program`, `world`, `writers`, `readers`: the model. `check`: claims and verdicts.
//! `table`: the twenty-three protocols that the choice was made from. `shared`: what is to run.
//! `mutants`: what if it did otherwise. `lapse`: lifetimes. `verdicts`: what a reader concludes, case by
//! case.

mod check;
mod lapse;
mod mutants;
mod program;
#[path = "../../src/protocol.rs"]
mod protocol;
mod readers;
mod shared;
mod state;
mod table;
mod verdicts;
mod world;
mod writers;
