//! Tests of the whole over real servers.

#![cfg(test)]

mod smoke;
