//! Keyset pagination over real databases.

mod cursors;
mod mistakes;
mod oracle;
mod others_bugs;
mod pages;
mod plans;
mod sql;
mod support;
