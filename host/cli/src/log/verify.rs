//! `openexec log verify-proof` and `verify-consistency`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openexec_core::digest::Digest;
use openexec_core::evidence::{self, Aspect, Keys, Verdict};
use openexec_core::keys::decode_base64;
use openexec_core::limits::PROOF_BYTES_MAX;
use openexec_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use openexec_core::log::note::VerifierKey;
use openexec_core::log::prove::{Tiles, consistency_proof};
use openexec_core::log::tile::{TILE_WIDTH, TileId};
use openexec_core::log::tree;

use super::{line, witness_keys};
use crate::args::log::{VerifyConsistencyOptions, VerifyProofOptions};
use crate::logging::say;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// Checks a proof on its own.
pub(crate) fn verify_proof(options: &VerifyProofOptions) -> Result<ExitCode, Box<dyn Error>> {
    let keys = Keys {
        log_key: Some(VerifierKey::parse(&options.log_key)?),
        witness_keys: witness_keys(&options.witnesses)?,
        quorum: options.witnesses.quorum,
        ..Keys::default()
    };
    let findings = evidence::verify_proof(&read(&options.proof)?, &Digest::parse(&options.receipt_ref)?, &keys);
    for finding in &findings {
        say(&line(finding));
    }
    let is_optional = |aspect| aspect == Aspect::Cosignatures && keys.witness_keys.is_empty();
    let passes = findings.iter().all(|finding| finding.verdict == Verdict::Pass || is_optional(finding.aspect));
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks that a log only grew.
pub(crate) fn verify_consistency(options: &VerifyConsistencyOptions) -> Result<ExitCode, Box<dyn Error>> {
    let key = VerifierKey::parse(&options.log_key)?;
    let (old, new) = (read(&options.old)?, read(&options.new)?);
    let (old, new) = match (checkpoint(&old, &key), checkpoint(&new, &key)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) => return Ok(no(&format!("{}: {error}", options.old.display()))),
        (_, Err(error)) => return Ok(no(&format!("{}: {error}", options.new.display()))),
    };
    if old.size() > new.size() {
        return Ok(no(&format!("the log shrank: from {} receipts to {}", old.size(), new.size())));
    }
    let proof = match (&options.proof, &options.tiles) {
        (Some(path), _) => read_hashes(path)?,
        (None, Some(folder)) => consistency_proof(&Folder(folder.clone()), old.size(), new.size())?,
        (None, None) => return Err("give --tiles or --proof".into()),
    };
    match tree::verify_consistency(old.size(), old.root(), new.size(), new.root(), &proof) {
        Ok(()) => {
            say(&format!("consistent: the log grew from {} receipts to {}", old.size(), new.size()));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(no(&format!("{error}: the log rewrote its past, or the hashes are of another one"))),
    }
}

fn no(why: &str) -> ExitCode {
    say(&format!("not consistent: {why}"));
    ExitCode::FAILURE
}

fn checkpoint(note: &str, key: &VerifierKey) -> Result<Checkpoint, Box<dyn Error>> {
    Ok(SignedCheckpoint::parse(note)?.verify_log(key)?.clone())
}

/// Hashes in base64, one a line.
fn read_hashes(path: &Path) -> Result<Vec<Digest>, Box<dyn Error>> {
    let hash = |line: &str| decode_base64(line).ok()?.try_into().ok().map(Digest::from_bytes);
    let hashes: Option<Vec<_>> = read(path)?.lines().map(hash).collect();
    Ok(hashes.ok_or_else(|| format!("{}: not hashes of 32 bytes in base64, one a line", path.display()))?)
}

/// Tiles in files, under the paths at which they are served.
struct Folder(PathBuf);

impl Tiles for Folder {
    type Error = String;

    /// The tile, or the first hashes of the complete one.
    fn tile(&self, id: TileId) -> Result<Vec<Digest>, String> {
        let complete = TileId::new(id.level(), id.index(), TILE_WIDTH);
        let path = [Some(id), complete].into_iter().flatten().map(|id| self.0.join(id.to_string()));
        let path = path.into_iter().find(|path| path.exists());
        let path = path.ok_or_else(|| format!("{id}: there is no such file in {}", self.0.display()))?;
        let bytes = fs::read(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        match hashes.get(..usize::from(id.width())) {
            Some(hashes) if rest.is_empty() => Ok(hashes.iter().copied().map(Digest::from_bytes).collect()),
            Some(_) | None => Err(format!("{}: not a tile", path.display())),
        }
    }
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    let unreadable = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    if fs::metadata(path).map_err(unreadable)?.len() > PROOF_BYTES_MAX as u64 {
        return Err(format!("{}: larger than {PROOF_BYTES_MAX} bytes", path.display()).into());
    }
    Ok(fs::read_to_string(path).map_err(unreadable)?)
}
