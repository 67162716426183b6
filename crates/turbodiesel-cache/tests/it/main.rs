//! Behaviour of the cache as its users see it. Time stands still unless a test advances it.

mod ages;
mod budgets;
mod configuration;
mod flights;
mod handovers;
mod oracle;
mod protocol;
mod races;
mod support;
