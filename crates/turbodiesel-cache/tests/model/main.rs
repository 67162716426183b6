//! The protocol of readers and writers, checked in every order of their steps.
//!
//! Real threads meet the dangerous orders once in a million runs, if at all. Here a few writers and
//! readers of one cache are a state machine, and `stateright` visits every state that it can reach:
//! after a verdict "holds" there is no order left that nobody has tried.
//!
//! What writers do is data: the [`protocol`] is the crate's own source, whose steps a `WriteMark`
//! performs on atomics and the model one by one, with everybody else's in between. So are the rules
//! of what a snapshot may be used for. Wrong protocols are other data, and must be found out. What is
//! shared, kept and handed over is written down once more here, as `inner`, `lead` and `flights`
//! have it.
//!
//! # What is modelled
//!
//! - A database, whose answers are represented by the number of writes that they reflect.
//! - Writers that commit or abort, learn what they touched or fail to, and lose the outcome at any
//!   moment; a commit whose writer is gone lands at any moment before its deadline, or never.
//! - Readers that find an entry, share a load, lead one or read alone; flights that linger and are
//!   handed over; answers that are evicted or too large. In [`Grain::Fine`](program::Grain), taking a
//!   tick, storing it, looking for writers and looking for deadlines are steps of their own.
//! - Loads that fail. Not modelled: ages, clearing, leaders that vanish, and the many slots of a tag's table,
//!   of which any one that a reader and a writer have in common decides alone.
//!
//! # What must hold
//!
//! P1, P2 and P3 of [`Claim`](check::Claim). Every test prints a line per verdict, with the number of
//! states visited:
//!
//! ```text
//! cargo test -p turbodiesel-cache --test model -- --nocapture
//! ```
//!
//! # Modules, in reading order
//!
//! `protocol`, `state`, `program`, `world`, `writers`, `readers`: the model. `check`: claims and verdicts. `table`: the
//! thirteen protocols that the choice was made from. `library`: what the crate does, and what if it
//! did otherwise. `learnt`: writes that learn what they have touched. `doubt`: writes whose outcome
//! somebody finds out.

mod check;
mod doubt;
mod learnt;
mod library;
mod program;
#[path = "../../src/protocol.rs"]
mod protocol;
mod readers;
mod state;
mod table;
mod world;
mod writers;
