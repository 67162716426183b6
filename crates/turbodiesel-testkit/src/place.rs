//! Where a private server lives, and as whom it runs.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{Error, postgres::random};

/// The longest folder whose socket still fits into a socket address (104 bytes on macOS).
const LONGEST_FOLDER: usize = 104 - 1 - "/.s.PGSQL.65535".len();

/// Where Linux keeps files in memory.
const MEMORY_FOLDER: &str = "/dev/shm";

/// The free memory from which on a server's data is kept there. Containers often have 64 MB, which a
/// few databases fill.
const ENOUGH_MEMORY: u64 = 2 << 30;

/// A user that PostgreSQL agrees to run as, and Redis as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// `nobody`, which owns nothing, or else the user that PostgreSQL's package made.
pub(crate) fn unprivileged_user() -> Result<User, Error> {
    let users = fs::read_to_string("/etc/passwd")
        .map_err(|error| Error::io("cannot read /etc/passwd", error))?;
    ["nobody", "postgres"].into_iter().find_map(|name| find_user(&users, name)).ok_or_else(|| {
        Error::server(
            "PostgreSQL does not run as root, and there is no user `nobody` or `postgres`; \
             make one with `useradd --system postgres`",
        )
    })
}

fn find_user(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

/// A name that nobody has, in the best parent for a server of this kind.
///
/// Data that may be lost goes into memory where there is plenty: a database is made of three
/// hundred files, which took 20 ms there and 240 ms on a journaling disk. The temporary folder is
/// next, and `/tmp` if that one is too deep for a socket address or closed to the server's user.
pub(crate) fn new_folder_name(durable: bool, user: Option<User>) -> PathBuf {
    let name = format!("turbodiesel-{}-{:08x}", std::process::id(), random() >> 32);
    let memory = Path::new(MEMORY_FOLDER);
    if !durable && free_bytes(memory) >= ENOUGH_MEMORY && is_open_to_everybody(memory) {
        return memory.join(name);
    }
    let folder = env::temp_dir().join(&name);
    let usable = folder.as_os_str().len() <= LONGEST_FOLDER
        && (user.is_none() || is_open_to_everybody(&env::temp_dir()));
    if usable { folder } else { Path::new("/tmp").join(name) }
}

/// The free space of a file system, zero if there is no such folder.
fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// Whether any user can make a file in a folder.
fn is_open_to_everybody(folder: &Path) -> bool {
    let others_may = |path: &Path, bits: u32| {
        fs::metadata(path).is_ok_and(|metadata| metadata.mode() & bits == bits)
    };
    others_may(folder, 0o003) && folder.ancestors().all(|ancestor| others_may(ancestor, 0o001))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "nobodyelse:x:7:8::/:/bin/sh\nnobody:x:65534:65533:nobody:/:/sbin/nologin\n";
        let user = find_user(users, "nobody").expect("it is there");
        assert_eq!((user.uid, user.gid), (65534, 65533));
        assert!(find_user(users, "postgres").is_none());
    }

    #[test]
    fn what_must_survive_is_not_kept_in_memory() {
        assert!(!new_folder_name(true, None).starts_with(MEMORY_FOLDER));
    }
}
