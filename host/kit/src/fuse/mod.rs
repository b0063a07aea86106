//! One core module of the many that a tool has linked.
//!
//! JavaScript and Python arrive as ten and forty core modules around one memory and one table. Each instance then copies
//! thousands of references to functions into the table and looks up hundreds of imports, which takes longer than many a
//! handler does. Of one module all of that is known when it is compiled.
//!
//! In scope: finding the core modules of a handler and how they are put together (`linked`), what their indices stand for (`parts`), writing
//! them as one (`merge`).
//! Out of scope: making a component of it again (`component`), what runs inside (nothing is optimised here).
//!
//! Invariants
//! - Instructions are the same, in the same functions, on the same memory and tables. Only indices change.
//! - What core modules ask of anything else (WASI that a tool has answered with traps) is a trap.
//! - The same component gives the same bytes.

mod linked;
mod merge;
mod parts;

use wasm_encoder::reencode;

/// The one core module of the handler in this component: it imports nothing, and exports what the contract asks for.
///
/// # Errors
/// `FuseError` for whatever is not put together as these tools do it.
pub(crate) fn fuse(component: &[u8]) -> Result<Vec<u8>, FuseError> {
    merge::merge(&linked::Linked::read(component)?)
}

/// Why core modules do not become one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FuseError {
    #[error(transparent)]
    Parse(#[from] wasmparser::BinaryReaderError),
    #[error("it exports no function {0} of core WebAssembly")]
    NoFunction(String),
    #[error("{0} is not among its parts")]
    Missing(String),
    #[error("a part of it runs before another is there")]
    Starts,
    #[error("a part of it begins with a value that only another part computes")]
    NotConstant,
    #[error("it uses {0}, which this kit does not know how to take apart")]
    Unknown(&'static str),
    #[error("{0}")]
    Encode(String),
}

impl From<reencode::Error<FuseError>> for FuseError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is wasm-encoder's and open")]
    fn from(error: reencode::Error<FuseError>) -> Self {
        match error {
            reencode::Error::UserError(error) => error,
            error => Self::Encode(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FuseError, fuse};

    /// A component of two core modules, with `first` in the one that the other uses, `second` in that, and the handler
    /// lifted with the string encoding `strings`.
    fn refused(first: &str, second: &str, strings: &str) -> FuseError {
        let text = format!(
            r#"(component
                (core module $first-module {first} (memory (export "memory") 1)
                    (global (export "g") i64 (i64.const 1)))
                (core instance $first (instantiate $first-module))
                (core module $second-module {second}
                    (func (export "openexec:handler/guest@1.0.0#handle") (result i32) (i32.const 0))
                    (func (export "openexec:handler/guest@1.0.0#describe") (result i32) (i32.const 0)))
                (core instance $second (instantiate $second-module (with "first" (instance $first))))
                (func (result string) (canon lift (core func $second "openexec:handler/guest@1.0.0#handle")
                    (memory (core memory $first "memory")) string-encoding={strings}))
                (func (result string) (canon lift (core func $second "openexec:handler/guest@1.0.0#describe")
                    (memory (core memory $first "memory")) string-encoding={strings})))"#
        );
        let component = wat::parse_str(text).expect("a component");
        fuse(&component).expect_err("parts that do not become one")
    }

    #[test]
    fn what_tools_do_not_do_is_refused_and_named() {
        let starts = "(func $start) (start $start)";
        assert!(matches!(refused(starts, "", "utf8"), FuseError::Starts));
        let copies = r#"(import "first" "g" (global $g i64)) (global i64 (global.get $g))"#;
        assert!(matches!(refused("", copies, "utf8"), FuseError::NotConstant));
        let adds = r#"(import "first" "g" (global $g i64)) (global i64 (i64.add (i64.const 1) (global.get $g)))"#;
        assert!(matches!(refused("", adds, "utf8"), FuseError::NotConstant));
        assert!(matches!(refused("", "", "utf16"), FuseError::Unknown(_)));
        let misses = r#"(import "first" "h" (global $g i32)) (global i32 (global.get $g))"#;
        assert!(matches!(refused("", misses, "utf8"), FuseError::Missing(name) if name == "h"));
    }

    #[test]
    fn what_is_no_handler_is_refused() {
        for text in ["(component)", "(module)"] {
            let bytes = wat::parse_str(text).expect("an encoding");
            assert!(matches!(fuse(&bytes), Err(FuseError::NoFunction(_))), "{text}");
        }
        assert!(matches!(fuse(b"no wasm"), Err(FuseError::Parse(_))));
    }
}
