//! Finding the programs of a PostgreSQL server, and installing them when that is allowed.

use std::{
    env, fs,
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

/// How a package manager installs PostgreSQL.
struct PackageManager {
    program: &'static str,
    /// The commands, the last of which installs. Homebrew refuses to run as root.
    commands: &'static [&'static [&'static str]],
    as_root: bool,
}

const PACKAGE_MANAGERS: &[PackageManager] = &[
    PackageManager {
        program: "apt-get",
        commands: &[
            &["apt-get", "update"],
            &[
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                "-o",
                "Dpkg::Options::=--force-confold",
                "postgresql",
            ],
        ],
        as_root: true,
    },
    PackageManager {
        program: "dnf",
        commands: &[&["dnf", "install", "--assumeyes", "postgresql-server"]],
        as_root: true,
    },
    PackageManager { program: "apk", commands: &[&["apk", "add", "postgresql"]], as_root: true },
    PackageManager {
        program: "pacman",
        commands: &[&["pacman", "-Sy", "--noconfirm", "postgresql"]],
        as_root: true,
    },
    PackageManager {
        program: "brew",
        commands: &[&["brew", "install", "postgresql@17"]],
        as_root: false,
    },
];

/// Installs the distribution's PostgreSQL, without letting it start a server of its own.
///
/// This changes the machine, so the kit never does it unasked: `cargo xtask` does.
///
/// # Errors
///
/// [`Error::is_not_installed`] if this user may not install packages, if no known package manager
/// is there, or if it failed. The message names the command to run by hand.
pub fn install_postgres() -> Result<(), Error> {
    let not_installed = || Error::not_installed(missing_message());
    let manager = package_manager().ok_or_else(not_installed)?;
    if manager.as_root != is_root() {
        return Err(not_installed());
    }
    let (path, contents) = NO_MAIN_CLUSTER;
    if manager.program == "apt-get" && !Path::new(path).exists() {
        // A failure only means that the package starts a server, which does us no harm.
        let _ = fs::create_dir_all("/etc/postgresql-common");
        let _ = fs::write(path, contents);
    }
    for command in manager.commands {
        let output = Command::new(command[0])
            .args(&command[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::io(format!("cannot run {}", command[0]), error))?;
        if !output.status.success() {
            return Err(Error::not_installed(format!(
                "`{}` failed: {}",
                command.join(" "),
                String::from_utf8_lossy(&output.stderr).trim(),
            )));
        }
    }
    find().map(|_| ())
}

/// The command line that installs PostgreSQL on this machine, if its package manager is known.
#[must_use]
pub fn install_command() -> Option<String> {
    let manager = package_manager()?;
    let sudo = if manager.as_root && !is_root() { "sudo " } else { "" };
    let commands: Vec<_> =
        manager.commands.iter().map(|command| format!("{sudo}{}", command.join(" "))).collect();
    Some(commands.join(" && "))
}

/// The folder that holds `initdb` and `postgres`: `$PG_BIN`, then `PATH`, then the distribution's
/// folders, of which the highest version wins.
pub(crate) fn find() -> Result<PathBuf, Error> {
    if let Some(folder) = env::var_os("PG_BIN") {
        let folder = PathBuf::from(folder);
        return if has_programs(&folder) {
            Ok(folder)
        } else {
            Err(Error::not_installed(format!(
                "PG_BIN is {}, which has no initdb and postgres; unset it or correct it",
                folder.display()
            )))
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find(|folder| has_programs(folder))
        .or_else(newest_versioned)
        .ok_or_else(|| Error::not_installed(missing_message()))
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

fn package_manager() -> Option<&'static PackageManager> {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = |program| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    PACKAGE_MANAGERS.iter().find(|manager| installed(manager.program))
}

fn missing_message() -> String {
    let how = match install_command() {
        Some(command) => format!("install it with `{command}`"),
        None => "install your system's PostgreSQL server package".to_owned(),
    };
    format!(
        "this machine has no PostgreSQL server; {how}, or set PG_BIN to the folder of its programs, \
         or DATABASE_URL to a running server"
    )
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
