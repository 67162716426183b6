//! Finding the programs of PostgreSQL and Redis servers, and installing them when that is allowed.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Error;

/// Where distributions put the programs, below a folder per major version, since they keep them out
/// of `PATH`.
const VERSIONED_FOLDERS: &[&str] = &[
    "/usr/lib/postgresql",
    "/usr/libexec/postgresql",
    "/usr/lib64/pgsql",
    "/usr/local/opt",
    "/opt/homebrew/opt",
    "/Applications/Postgres.app/Contents/Versions",
];

/// Keeps Debian's packages from creating and starting a server of their own.
const NO_MAIN_CLUSTER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");

/// The names of a server that speaks Redis's protocol. The last one is in Debian's `redis-tools`: the
/// server's own program under the name of one of its tools, in a package that starts no service.
const REDIS_PROGRAMS: &[&str] = &["redis-server", "valkey-server", "redis-check-rdb"];

/// How a package manager installs a server.
struct PackageManager {
    /// What is run for PostgreSQL, one command a line. Only the last one has to succeed: an index
    /// that could not be refreshed may still be good enough.
    commands: &'static [&'static str],
    /// What a person types instead.
    by_hand: &'static str,
    /// The same for Redis.
    redis_commands: &'static [&'static str],
    redis_by_hand: &'static str,
    /// Whether it has to be root; Homebrew must not be.
    as_root: bool,
}

const PACKAGE_MANAGERS: &[PackageManager] = &[
    PackageManager {
        commands: &[
            "apt-get update",
            // Our word on the main cluster stays, whatever the package brings.
            "apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold postgresql",
        ],
        by_hand: "sudo apt-get install postgresql",
        redis_commands: &[
            "apt-get update",
            "apt-get install --yes --no-install-recommends redis-tools",
        ],
        redis_by_hand: "sudo apt-get install redis-tools",
        as_root: true,
    },
    PackageManager {
        commands: &["dnf install --assumeyes postgresql-server"],
        by_hand: "sudo dnf install postgresql-server",
        redis_commands: &["dnf install --assumeyes redis"],
        redis_by_hand: "sudo dnf install redis",
        as_root: true,
    },
    PackageManager {
        commands: &["apk add postgresql"],
        by_hand: "sudo apk add postgresql",
        redis_commands: &["apk add redis"],
        redis_by_hand: "sudo apk add redis",
        as_root: true,
    },
    PackageManager {
        commands: &["pacman -Sy --noconfirm postgresql"],
        by_hand: "sudo pacman -S postgresql",
        redis_commands: &["pacman -Sy --noconfirm valkey"],
        redis_by_hand: "sudo pacman -S valkey",
        as_root: true,
    },
    PackageManager {
        commands: &["brew install postgresql@17"],
        by_hand: "brew install postgresql@17",
        redis_commands: &["brew install redis"],
        redis_by_hand: "brew install redis",
        as_root: false,
    },
];

/// Installs the distribution's PostgreSQL, without letting it start a server of its own.
///
/// `announce` gets each command before it runs. Since this changes the machine, the kit never does
/// it unasked: `cargo xtask` does.
///
/// # Errors
///
/// [`Error::is_not_installed`] if this user may not install packages, if no known package manager
/// is there, or if it failed. The message names the command to run by hand.
pub fn install_postgres(announce: impl FnMut(&str)) -> Result<(), Error> {
    let (path, contents) = NO_MAIN_CLUSTER;
    let manager = allowed_manager().ok_or_else(|| Error::not_installed(missing_message()))?;
    if manager.commands[0].starts_with("apt-get") && !Path::new(path).exists() {
        // A failure only means that the package starts a server, which does us no harm.
        let _ = fs::create_dir_all("/etc/postgresql-common");
        let _ = fs::write(path, contents);
    }
    run(manager.commands, announce, missing_message)?;
    find(None).map(|_| ())
}

/// Installs a package of the distribution that holds a Redis server and starts none.
///
/// # Errors
///
/// As for [`install_postgres`].
pub fn install_redis(announce: impl FnMut(&str)) -> Result<(), Error> {
    let manager = allowed_manager().ok_or_else(|| Error::not_installed(missing_redis()))?;
    run(manager.redis_commands, announce, missing_redis)?;
    redis().map(|_| ())
}

/// Runs the commands of a package manager; `missing` says what is missing while they fail.
fn run(
    commands: &[&str],
    mut announce: impl FnMut(&str),
    missing: fn() -> String,
) -> Result<(), Error> {
    let mut complaint = String::new();
    for command in commands {
        announce(command);
        let mut words = command.split(' ');
        let output = Command::new(words.next().unwrap_or_default())
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::io(format!("cannot run `{command}`"), error))?;
        complaint = match output.status.success() {
            true => String::new(),
            false => format!("`{command}`: {}", String::from_utf8_lossy(&output.stderr).trim()),
        };
    }
    if complaint.is_empty() {
        return Ok(());
    }
    Err(Error::not_installed(format!("{}\n{complaint}", missing())))
}

/// The program of a Redis server: `$REDIS_BIN`, then the first of its names in `PATH`.
pub(crate) fn redis() -> Result<PathBuf, Error> {
    if let Some(program) = env::var_os("REDIS_BIN").map(PathBuf::from) {
        return match program.is_file() {
            true => Ok(program),
            false => Err(Error::not_installed(format!(
                "REDIS_BIN is {}, which is no file; unset it or name a redis-server",
                program.display()
            ))),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    REDIS_PROGRAMS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::not_installed(missing_redis()))
}

/// The version of a Redis server, such as `7.0.15`.
pub(crate) fn redis_version(program: &Path) -> Result<String, Error> {
    let output = Command::new(program)
        // By the name under which the watchdog calls it.
        .arg0("redis-server")
        .arg("--version")
        .output()
        .map_err(|error| Error::io("cannot run `redis-server --version`", error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // For instance "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64".
    text.split_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .map(str::to_owned)
        .ok_or_else(|| Error::server(format!("`redis-server --version` said {text:?}")))
}

/// The folder that holds `initdb` and `postgres`: the one that was asked for, else `$PG_BIN`, then
/// `PATH`, then the distribution's folders, of which the highest version wins.
pub(crate) fn find(wanted: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(folder) = wanted {
        return named(folder, "the folder that was asked for", "correct it");
    }
    if let Some(folder) = env::var_os("PG_BIN") {
        return named(Path::new(&folder), "PG_BIN", "unset it or correct it");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find(|folder| has_programs(folder))
        .or_else(newest_versioned)
        .ok_or_else(|| Error::not_installed(missing_message()))
}

/// A folder that somebody has named, if the programs are there.
fn named(folder: &Path, by: &str, mend: &str) -> Result<PathBuf, Error> {
    if has_programs(folder) {
        return Ok(folder.to_owned());
    }
    let folder = folder.display();
    Err(Error::not_installed(format!("{by} is {folder}, which has no initdb and postgres; {mend}")))
}

/// The version of the programs in a folder, such as `15.14`.
pub(crate) fn version(programs: &Path) -> Result<String, Error> {
    let output = Command::new(programs.join("postgres"))
        .arg("--version")
        .output()
        .map_err(|error| Error::io("cannot run `postgres --version`", error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // For instance "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)".
    text.split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
        .ok_or_else(|| Error::server(format!("`postgres --version` said {text:?}")))
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn has_programs(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

fn newest_versioned() -> Option<PathBuf> {
    let entries = VERSIONED_FOLDERS.iter().flat_map(fs::read_dir).flatten().flatten();
    entries
        .map(|entry| {
            (major_version(&entry.file_name().to_string_lossy()), entry.path().join("bin"))
        })
        .filter(|(_, programs)| has_programs(programs))
        .max()
        .map(|(_, programs)| programs)
}

/// The number in a folder's name such as `15`, `postgresql15` or `postgresql@15`.
fn major_version(folder: &str) -> u32 {
    folder.split(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse().ok()).unwrap_or(0)
}

fn allowed_manager() -> Option<&'static PackageManager> {
    package_manager().filter(|manager| manager.as_root == is_root())
}

fn package_manager() -> Option<&'static PackageManager> {
    let path = env::var_os("PATH").unwrap_or_default();
    PACKAGE_MANAGERS.iter().find(|manager| {
        let program = manager.commands[0].split(' ').next().unwrap_or_default();
        env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

fn missing_message() -> String {
    let how = match package_manager() {
        Some(manager) => format!("install it with `{}`", manager.by_hand),
        None => "install your system's PostgreSQL server package".to_owned(),
    };
    format!(
        "this machine has no PostgreSQL server; {how}, or set PG_BIN to the folder of its programs, \
         or DATABASE_URL to a running server"
    )
}

fn missing_redis() -> String {
    let how = match package_manager() {
        Some(manager) => format!("install it with `{}`", manager.redis_by_hand),
        None => "install your system's Redis or Valkey package".to_owned(),
    };
    format!("this machine has no Redis server; {how}, or set REDIS_BIN to the program of one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_folders_name() {
        for (folder, expected) in
            [("15", 15), ("9.6", 9), ("postgresql@17", 17), ("postgresql16", 16), ("latest", 0)]
        {
            assert_eq!(major_version(folder), expected, "{folder}");
        }
    }

    #[test]
    fn the_message_says_what_to_do() {
        let message = missing_message();
        assert!(message.contains("install"), "{message}");
        assert!(message.contains("DATABASE_URL"), "{message}");
    }
}
