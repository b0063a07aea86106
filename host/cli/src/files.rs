//! Replacing a file in one step: a reader sees the old bytes or the new ones, whatever happens in between.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a file was not replaced. It is as it was.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be written ({cause}): it is as it was")]
pub(crate) struct NotReplaced {
    path: PathBuf,
    cause: io::Error,
}

/// Writes `bytes` beside the file and puts them in its place. Its permissions stay; a link keeps pointing to it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), NotReplaced> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut unfinished = target.clone().into_os_string();
    unfinished.push(format!(".{}.unfinished", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    write_and_rename(&target, &unfinished, bytes).map_err(|cause| {
        let _ = fs::remove_file(&unfinished); // it may not even be there
        NotReplaced { path: path.to_owned(), cause }
    })
}

fn write_and_rename(target: &Path, unfinished: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(unfinished)?;
    file.write_all(bytes)?;
    if let Ok(present) = fs::metadata(target) {
        file.set_permissions(present.permissions())?;
    }
    file.sync_all()?;
    fs::rename(unfinished, target)?;
    // The name is durable once its folder is.
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}
