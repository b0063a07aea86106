//! Compiling. A build without the feature `compiler` has `no_compiler` in this place.
//!
//! In scope: the compiler's settings, code for this process, code for an artifact.
//! Out of scope: every setting that compiled code and its host must agree on (`engine`).

use wasmtime::component::Component;
use wasmtime::{Config, Engine, OptLevel, Strategy};

use crate::component::require_component;
use crate::{StartError, engine};

pub(crate) fn settings(config: &mut Config) {
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    config.cranelift_nan_canonicalization(true); // NaN bits differ between processors otherwise
    config.parallel_compilation(true); // components are compiled before the listener opens
}

/// Compiles for this process.
pub(crate) fn component(engine: &Engine, bytes: &[u8], path: &str) -> Result<Component, StartError> {
    require_component(bytes, path)?;
    Component::from_binary(engine, bytes).map_err(|error| not_acceptable(path, &error))
}

/// Compiles for an artifact, with an engine that reserves no memory.
pub(crate) fn artifact(component: &[u8], path: &str, target: Option<&str>) -> Result<Vec<u8>, StartError> {
    let engine = engine::settings().and_then(|mut config| {
        if let Some(target) = target {
            config.target(target)?;
        }
        Engine::new(&config)
    });
    let engine = engine.map_err(|error| StartError::CannotCompile { cause: format!("{error:#}") })?;
    engine.precompile_component(component).map_err(|error| not_acceptable(path, &error))
}

fn not_acceptable(path: &str, error: &wasmtime::Error) -> StartError {
    StartError::NotAcceptable { path: path.to_owned(), cause: format!("{error:#}") }
}
