//! A handler as a component: made from a core module, and held to the contract.
//!
//! In scope: encoding, the two checks (imports nothing, exports the contract), the digest.
//! Out of scope: compiling (`compile`), and everything that the host checks again when it loads the file.

use std::path::Path;

use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::error::Error;
use crate::files;

/// What every handler exports, as `wit/handler.wit` names it.
pub(crate) const EXPORT: &str = "openexec:handler/guest@1.0.0";

/// Bytes that were checked: a valid component that imports nothing and exports the contract.
pub(crate) struct Component(Vec<u8>);

impl Component {
    pub(crate) fn encode(package: &str, core_module: &[u8]) -> Result<Self, Error> {
        let not_a_component = |reason: String| Error::NotAComponent { package: package.to_owned(), reason };
        let bytes = ComponentEncoder::default()
            .validate(true)
            .module(core_module)
            .and_then(|encoder| encoder.encode())
            .map_err(|error| not_a_component(format!("{error:#}")))?;
        let decoded = wit_component::decode(&bytes).map_err(|error| not_a_component(format!("{error:#}")))?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err(not_a_component("it is a WIT package".to_owned()));
        };
        let world = &resolve.worlds[world];
        let imports: Vec<_> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
        if !imports.is_empty() {
            return Err(Error::Imports { package: package.to_owned(), imports: imports.join(", ") });
        }
        if !world.exports.keys().any(|key| resolve.name_world_key(key) == EXPORT) {
            return Err(Error::NoExport { package: package.to_owned() });
        }
        Ok(Self(bytes))
    }

    pub(crate) fn digest(&self) -> String {
        digest(&self.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        files::write(path, &self.0)
    }
}

/// SHA-256 as the registry writes it: 64 lowercase hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Component, digest};
    use crate::error::Error;

    #[test]
    fn a_digest_is_lowercase_hexadecimal() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_module_without_the_contract_is_no_handler() {
        const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
        assert!(matches!(Component::encode("x", EMPTY_MODULE), Err(Error::NoExport { .. })));
    }

    #[test]
    fn other_bytes_are_no_component() {
        assert!(matches!(Component::encode("x", b"hello"), Err(Error::NotAComponent { .. })));
    }
}
