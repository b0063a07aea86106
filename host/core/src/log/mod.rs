//! The transparency log: its tree, and the texts that prove what stands in it.
//!
//! In scope: what an entry is, RFC 6962 trees and proofs, tiles, signed checkpoints, cosignatures and offline proofs,
//! and the keys that sign them, as C2SP spells them (tlog-tiles, tlog-checkpoint, signed-note, tlog-cosignature, tlog-proof).
//! Out of scope: keeping leaves and tiles, asking witnesses, which keys to trust.
//!
//! Invariants
//! - An entry holds a digest and nothing else: publishing the log publishes no request and no result.
//! - Every text has one spelling. What was parsed prints as the bytes it was parsed from.

pub mod checkpoint;
pub mod edge;
pub mod note;
pub mod proof;
pub mod prove;
pub mod sign;
pub mod tile;
pub mod tree;

use crate::digest::Digest;
use crate::keys;
use crate::limits::LOG_SIZE_MAX;

pub use sign::{LogKey, WitnessKey};

/// What every entry begins with: says what the digest after it is of.
pub const ENTRY_HEADER: &str = "urn:openexec:receipt:v2\n";

/// Bytes of an entry: the header, then one digest.
pub const ENTRY_BYTES: usize = 24 + 32;

const _: () = assert!(ENTRY_HEADER.len() + 32 == ENTRY_BYTES);

/// The entry of a receipt, by the receipt's reference.
#[must_use]
pub fn entry(receipt_ref: &Digest) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    let pieces = ENTRY_HEADER.as_bytes().iter().chain(receipt_ref.as_bytes());
    entry.iter_mut().zip(pieces).for_each(|(place, byte)| *place = *byte);
    entry
}

/// The leaf hash of a receipt, by the receipt's reference.
#[must_use]
pub fn leaf_hash_of(receipt_ref: &Digest) -> Digest {
    tree::leaf_hash(&entry(receipt_ref))
}

/// Reads a size or an index: decimal digits, no leading zero, no sign, and small enough to be one of a log.
fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'));
    let number = text.parse().ok().filter(|_| plain)?;
    (number <= LOG_SIZE_MAX).then_some(number)
}

/// Reads a digest in base64.
fn parse_hash(text: &str) -> Option<Digest> {
    keys::decode_base64(text).ok()?.try_into().ok().map(Digest::from_bytes)
}

/// A digest in base64.
fn hash_text(hash: &Digest) -> String {
    keys::encode_base64(hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(parse_decimal("0"), Some(0));
        assert_eq!(parse_decimal("9223372036854775807"), Some(LOG_SIZE_MAX));
        for text in
            ["", "00", "01", "+1", "-0", " 1", "1 ", "1\n", "0x1", "١", "9223372036854775808", "99999999999999999999"]
        {
            assert_eq!(parse_decimal(text), None, "{text:?}");
        }
    }
}
