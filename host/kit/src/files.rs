//! Reading and writing files, with errors that name the path.

use std::fs;
use std::path::{Path, PathBuf};

use crate::KitError;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, KitError> {
    fs::read(path).map_err(|source| KitError::File { verb: "read", path: path.to_owned(), source })
}

pub(crate) fn read_text(path: &Path) -> Result<String, KitError> {
    fs::read_to_string(path).map_err(|source| KitError::File { verb: "read", path: path.to_owned(), source })
}

/// Writes the file, and the folders above it.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), KitError> {
    let failed = |source| KitError::File { verb: "write", path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

/// An empty folder, whatever was there before.
pub(crate) fn empty_folder(path: &Path) -> Result<(), KitError> {
    let failed = |source| KitError::File { verb: "make", path: path.to_owned(), source };
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(failed(source)),
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(path).map_err(failed)
}

/// None if there is no such folder.
pub(crate) fn folders_in(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path())
}
