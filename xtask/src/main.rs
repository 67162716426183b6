//! The tasks of this workspace, run as `cargo xtask <task>`.
//!
//! Everything that a person or the continuous integration does here is a task, so that both do the
//! same. A task prints each command before it runs it, and a task that fails names the command that
//! mends it. Private servers and child processes end with the task, also on Ctrl-C.
//!
//! Modules, in reading order: `shell` runs commands, `servers` starts PostgreSQL and Redis,
//! `newest` fetches the newest PostgreSQL, and each task has a module of its own name.

#![allow(clippy::disallowed_methods, reason = "tasks measure wall-clock time for people")]

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod bench;
mod check;
mod demo;
mod newest;
mod servers;
mod services;
mod shell;
mod test;

/// The tasks of the turbodiesel workspace.
///
/// They need Rust and a C compiler. `test`, `bench`, `services` and `demo --postgres` also need
/// PostgreSQL's server programs, which are looked for in PG_BIN, in PATH and in the distribution's
/// folders. If they are missing they are installed when that is allowed (root, or Homebrew), else
/// the command that installs them is named. The same holds for Redis, which `test`, `bench` and
/// `services` need: REDIS_BIN, or `redis-server` or `valkey-server` in PATH.
///
/// Servers are private, run as an unprivileged user, and disappear with the task, whatever ends it.
/// If DATABASE_URL names a PostgreSQL server, `test`, `bench` and `demo --postgres` use that one.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    verbatim_doc_comment,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  cargo xtask demo                       the demo on embedded SQLite
  cargo xtask demo --postgres --seed 7   the demo on a private PostgreSQL
  cargo xtask test                       all tests
  cargo xtask test -p turbodiesel-sql    the tests of one crate
  cargo xtask test --postgres-bin DIR    on a PostgreSQL of your choice
  cargo xtask check --fast               the inner loop before a commit
  cargo xtask bench hit --quick          one suite, roughly"
)]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Plain diesel-async and turbodiesel side by side on real data (a minute after the build)
    ///
    /// Drives the same requests first through one and then through the other, and prints both in
    /// one table, with the number of wrong answers found, which must be zero.
    Demo(demo::Options),
    /// Every test of the workspace on private servers, doctests included (some minutes)
    ///
    /// All crates, all features. One private PostgreSQL serves all tests, each of which makes
    /// databases of its own. Those that depend on what PostgreSQL 18 tells of a write are run on that
    /// one too: it is fetched into `target/` with npm, or why it cannot be is printed.
    Test(test::Options),
    /// The benchmarks, contenders interleaved, on a private PostgreSQL (some minutes)
    ///
    /// Measures turbodiesel against its rivals in one run, and prints medians with their spread.
    Bench(bench::Options),
    /// Format, lints, docs, layering, tidiness, licences, advisories (some minutes; --fast: one)
    ///
    /// Runs all of them, also after one has failed, and lists at the end what to mend.
    Check(check::Options),
    /// Private servers for work by hand: prints their URLs, ends them on Ctrl-C (a second)
    ///
    /// The URLs are printed as shell commands, to be pasted into another terminal.
    Services(services::Options),
}

fn main() -> ExitCode {
    let Some(task) = Cli::parse().task else {
        println!("{}", Cli::command().render_long_help());
        return ExitCode::SUCCESS;
    };
    let done = shell::handle_interrupts().and_then(|()| match task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Check(options) => check::run(&options),
        Task::Services(options) => services::run(&options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<shell::Interrupted>() => {
            eprintln!("interrupted");
            // What a shell reports for a process that Ctrl-C ended.
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
