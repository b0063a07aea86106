//! A handler as a component: made from a core module or taken as a tool made it, and held to the contract.
//!
//! In scope: encoding, answering WASI inside the component, the two checks (imports nothing, exports the contract).
//! Out of scope: compiling (`languages`), and everything that the host checks again when it loads the file.

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};

use crate::KitError;
use crate::bindings::contract;
use crate::fuse::fuse;

/// What every handler exports, as `wit/handler.wit` names it.
pub const EXPORT: &str = "openexec:handler/guest@1.0.0";

/// The module by which a core module asks for WASI.
const WASI: &str = "wasi_snapshot_preview1";

/// What stands for WASI inside a component.
#[derive(Clone, Copy)]
pub(crate) enum Adapter {
    /// Clocks and randomness are traps.
    Strict,
    /// Clocks count their readings and randomness is the same every time, for runtimes that ask for both before the
    /// handler's first line.
    Lax,
}

impl Adapter {
    fn text(self) -> &'static str {
        match self {
            Self::Strict => include_str!("../adapter/strict.wat"),
            Self::Lax => include_str!("../adapter/lax.wat"),
        }
    }
}

/// Bytes that were checked: a valid component that imports nothing and exports the contract.
#[derive(Debug)]
pub struct Component(Vec<u8>);

impl Component {
    /// From a core module without WASI that carries its contract, as bindings leave it there.
    ///
    /// # Errors
    /// When it is no such module, or imports something.
    pub fn encode(name: &str, core_module: &[u8]) -> Result<Self, KitError> {
        Self::encode_with(name, core_module, Adapter::Strict)
    }

    /// The same for one that may import WASI.
    pub(crate) fn encode_with(name: &str, core_module: &[u8], adapter: Adapter) -> Result<Self, KitError> {
        let not_a_component = |reason: String| KitError::NotAComponent { name: name.to_owned(), reason };
        let imported = imported_modules(core_module).map_err(|error| not_a_component(error.to_string()))?;
        let others: Vec<_> = imported.iter().map(String::as_str).filter(|module| *module != WASI).collect();
        if !others.is_empty() {
            return Err(KitError::Imports { name: name.to_owned(), imports: others.join(", ") });
        }
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true);
        if !imported.is_empty() {
            let adapter = wat::parse_str(adapter.text()).map_err(|error| not_a_component(error.to_string()))?;
            encoder.adapter(WASI, &adapter).map_err(|error| not_a_component(format!("{error:#}")))?;
        }
        let bytes = encoder
            .module(core_module)
            .and_then(ComponentEncoder::encode)
            .map_err(|error| not_a_component(format!("{error:#}")))?;
        if imported.is_empty() { Self::check(name, bytes) } else { Self::fused(name, bytes) }
    }

    /// The same for one without the contract in it, as compilers make it that know nothing of components.
    pub(crate) fn encode_bare(
        name: &str,
        mut core_module: Vec<u8>,
        strings: StringEncoding,
        adapter: Adapter,
    ) -> Result<Self, KitError> {
        let (resolve, world) = contract()?;
        wit_component::embed_component_metadata(&mut core_module, &resolve, world, strings, false)
            .map_err(|error| KitError::NotAComponent { name: name.to_owned(), reason: format!("{error:#}") })?;
        Self::encode_with(name, &core_module, adapter)
    }

    /// From a component of many core modules, as tools link them: the same handler in one core module.
    ///
    /// # Errors
    /// As `check`, and when its core modules are put together in a way that is not known here.
    pub fn fused(name: &str, bytes: Vec<u8>) -> Result<Self, KitError> {
        let Self(linked) = Self::check(name, bytes)?;
        let module = fuse(&linked).map_err(|error| KitError::NotAComponent {
            name: name.to_owned(),
            reason: format!("its core modules do not become one: {error}"),
        })?;
        Self::encode_bare(name, module, StringEncoding::UTF8, Adapter::Strict)
    }

    /// From a component, as another tool made it.
    ///
    /// # Errors
    /// When it is none, imports something, or is no handler.
    pub fn check(name: &str, bytes: Vec<u8>) -> Result<Self, KitError> {
        let not_a_component = |reason: String| KitError::NotAComponent { name: name.to_owned(), reason };
        if !Parser::is_component(&bytes) {
            return Err(not_a_component("it does not begin as one".to_owned()));
        }
        let decoded = wit_component::decode(&bytes).map_err(|error| not_a_component(format!("{error:#}")))?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err(not_a_component("it is a WIT package".to_owned()));
        };
        let world = resolve.worlds.get(world).ok_or_else(|| not_a_component("it has no world".to_owned()))?;
        let imports: Vec<_> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
        if !imports.is_empty() {
            return Err(KitError::Imports { name: name.to_owned(), imports: imports.join(", ") });
        }
        if !world.exports.keys().any(|key| resolve.name_world_key(key) == EXPORT) {
            return Err(KitError::NoExport { name: name.to_owned() });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The modules that a core module imports from, each once.
fn imported_modules(core_module: &[u8]) -> Result<Vec<String>, wasmparser::BinaryReaderError> {
    let mut modules = Vec::new();
    for payload in Parser::new(0).parse_all(core_module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                modules.push(import?.module.to_owned());
            }
        }
    }
    modules.sort_unstable();
    modules.dedup();
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::{Adapter, Component};
    use crate::KitError;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_module_without_the_contract_is_no_handler() {
        assert!(matches!(Component::encode("x", EMPTY_MODULE), Err(KitError::NoExport { .. })));
    }

    #[test]
    fn other_bytes_are_no_component() {
        for bytes in [&b"hello"[..], b"", EMPTY_MODULE] {
            let refused = Component::check("x", bytes.to_vec());
            assert!(matches!(refused, Err(KitError::NotAComponent { .. })), "{bytes:?}: {refused:?}");
        }
        assert!(matches!(Component::encode("x", b"hello"), Err(KitError::NotAComponent { .. })));
    }

    #[test]
    fn what_a_module_imports_is_named_and_wasi_is_answered() {
        let asks = wat::parse_str(r#"(module (import "env" "now" (func)))"#).expect("a module");
        let refused = Component::encode("x", &asks).expect_err("it imports");
        assert!(refused.to_string().starts_with("x imports env, "), "{refused}");
        for adapter in [Adapter::Strict, Adapter::Lax] {
            let wasi = r#"(module
                (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
                (memory (export "memory") 1)
                (func (export "_initialize") (drop (call $random (i32.const 0) (i32.const 8)))))"#;
            let module = wat::parse_str(wasi).expect("a module");
            // Encoded it is, without an import; only the contract is missing.
            assert!(matches!(Component::encode_with("x", &module, adapter), Err(KitError::NoExport { .. })));
        }
    }
}
