//! The detector over plain diesel-async, on a private PostgreSQL and on SQLite.

mod behaviour;
mod corpus;
mod shop;
