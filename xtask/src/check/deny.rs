//! cargo-deny: what the dependencies are allowed to be. Its rules stand in `deny.toml`.

use anyhow::Result;

use crate::shell::{cargo, spinner};

/// The version that is installed where there is none.
const VERSION: &str = "0.20.2";

/// Less optimisation than cargo-deny asks for: it runs for seconds and builds for minutes.
const QUICK_BUILD: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
];

/// Bans, licences and sources, which need no network.
pub(super) fn rules() -> Result<()> {
    install_if_missing()?;
    cargo(["deny", "--all-features", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"])
        .mend("allow it in deny.toml with a reason, or find who needs it with `cargo tree --invert CRATE`")
        .run()
}

/// Known vulnerabilities, from a database that has to be fetched: without it, this is skipped, and
/// said so.
pub(super) fn advisories() -> Result<()> {
    install_if_missing()?;
    let fetch = cargo(["deny", "fetch", "db"]);
    fetch.echo();
    let waiting = spinner("fetching the advisory database");
    let fetched = fetch.run_quietly();
    waiting.finish_and_clear();
    let (fetched, output) = fetched?;
    if !fetched {
        let reason =
            output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        eprintln!("SKIPPED: the advisory database cannot be reached: {}", reason.trim());
        eprintln!("run `cargo deny check advisories` where it can");
        return Ok(());
    }
    cargo(["deny", "--all-features", "check", "--disable-fetch", "advisories"])
        .mend("mend it with `cargo update --package CRATE`")
        .run()
}

fn install_if_missing() -> Result<()> {
    let (installed, _) = cargo(["deny", "--version"]).run_quietly()?;
    if installed {
        return Ok(());
    }
    eprintln!("cargo-deny is missing; installing it takes some minutes, once");
    let mut install = cargo(["install", "cargo-deny", "--locked", "--version", VERSION])
        .mend("cargo-deny's own page tells other ways to install it");
    for (name, value) in QUICK_BUILD {
        install = install.env(name, value);
    }
    install.run()
}
