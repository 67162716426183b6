//! Tests of the whole over real servers.

#![cfg(test)]

mod invalidation;
mod pg_types;
mod smoke;
mod support;
mod transactions;
