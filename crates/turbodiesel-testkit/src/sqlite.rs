//! A private SQLite file.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Error;

/// A place for a SQLite database that does not exist yet; `Drop` removes it with its journals.
///
/// ```
/// let file = turbodiesel_testkit::SqliteFile::new()?;
/// assert!(file.url().starts_with("sqlite:///"));
/// assert!(!file.path().exists());
/// # Ok::<(), turbodiesel_testkit::Error>(())
/// ```
#[derive(Debug)]
pub struct SqliteFile {
    path: PathBuf,
    /// The folder of its own keeps `-wal`, `-shm` and `-journal` together with the file.
    _folder: TempDir,
}

impl SqliteFile {
    /// Makes a place for a new database.
    ///
    /// # Errors
    ///
    /// If no folder can be made in the temporary folder.
    pub fn new() -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("turbodiesel-sqlite-")
            .tempdir()
            .map_err(|error| Error::io("cannot make a temporary folder", error))?;
        Ok(Self { path: folder.path().join("test.db"), _folder: folder })
    }

    /// The file, which the first connection creates.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as a URL that Diesel understands, `sqlite:///folder/test.db`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }
}
