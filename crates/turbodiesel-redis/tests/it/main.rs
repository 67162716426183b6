//! Both stores on real servers: what they promise, and what happens when Redis does not keep up.
//!
//! Servers are private to each test, and started by it.

#![allow(clippy::disallowed_methods, reason = "tests wait for other processes, with a deadline")]

mod conformance;
mod hostile;
mod outages;
mod support;
mod targets;
