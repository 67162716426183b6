//! A store that processes share, over Redis.
//!
//! So far this is the protocol alone: what writers do to a table's stamps and marks in the store, and
//! what a reader may conclude from what it finds there. It is checked, in every order of its steps, by
//! the model under `tests/model`, and argued in `docs/decisions/0014-shared-stamps.md`.
//!
//! # Modules
//!
//! - `protocol`: the steps of a shared write, as data, and what a reader may conclude.

#[expect(dead_code, reason = "what performs it comes next; the model under tests/model checks it")]
mod protocol;
