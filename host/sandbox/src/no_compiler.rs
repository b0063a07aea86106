//! What a build without a compiler has in the place of `compile`.
//!
//! In scope: saying that there is none, and what to do.
//! Out of scope: loading what another build compiled (`artifact`).

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::StartError;
use crate::component::require_component;

pub(crate) fn settings(_config: &mut Config) {}

pub(crate) fn component(_engine: &Engine, bytes: &[u8], path: &str) -> Result<Component, StartError> {
    require_component(bytes, path)?;
    Err(StartError::NoCompiler)
}

pub(crate) fn artifact(_component: &[u8], _path: &str, _target: Option<&str>) -> Result<Vec<u8>, StartError> {
    Err(StartError::NoCompiler)
}
