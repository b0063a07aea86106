//! Reading and writing files, with errors that name the path.
//!
//! In scope: whole files, the place of the handlers, a temporary folder.
//! Out of scope: what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;

/// The absolute path of the handlers: the one that was named, or the parent of the package that cargo runs.
pub(crate) fn handlers(named: Option<PathBuf>) -> Result<PathBuf, Error> {
    let beside_pack = || Some(PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?).parent()?.to_owned());
    let path = named.or_else(beside_pack).ok_or(Error::NoHandlers)?;
    path.canonicalize().map_err(|source| Error::File { verb: "find", path, source })
}

pub(crate) fn temporary_folder() -> Result<TempDir, Error> {
    TempDir::with_prefix("openexec-pack-").map_err(Error::TemporaryFolder)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { verb: "read", path: path.to_owned(), source })
}

pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { verb: "read", path: path.to_owned(), source })
}

/// Replaces the file in one step, so that a reader sees the old bytes or the new ones. Leaves it alone if they are the
/// same, so that nothing is rebuilt for nothing.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let failed = |source| Error::File { verb: "write", path: path.to_owned(), source };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(&unfinished, bytes).map_err(failed)?;
    fs::rename(&unfinished, path).map_err(failed)
}
