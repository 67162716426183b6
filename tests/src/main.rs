//! Tests of the whole over real servers.

#![cfg(test)]

mod bad_input;
mod cancellation;
mod catalogs;
mod differential;
mod exactness;
mod explain;
mod frames;
mod functions;
mod interleavings;
mod invalidation;
mod northwind;
mod outcomes;
mod pagination;
mod pg_types;
mod reading;
mod scopes;
mod sessions;
mod smoke;
mod sqlite;
mod sqlite_catalogs;
mod sqlite_types;
mod support;
mod sweep;
mod tls;
mod transactions;
mod triggers;
