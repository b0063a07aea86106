//! The contract as source of other languages: the bindings that a compiler needs and no author writes.
//!
//! In scope: `wit/handler.wit`, as this build of the host has it; bindings for C and C++.
//! Out of scope: languages whose own tools make bindings of a WIT file (Rust, JavaScript, Python).

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::{Resolve, WorldId};

use crate::{KitError, files};

/// The contract. Every project has a copy, for its tools.
pub(crate) const WIT: &str = include_str!("../../../wit/handler.wit");

const WORLD: &str = "handler";

/// The contract, read.
pub(crate) fn contract() -> Result<(Resolve, WorldId), KitError> {
    let refused = |error: String| KitError::Bindings(error);
    let mut resolve = Resolve::default();
    let package = resolve.push_str("handler.wit", WIT).map_err(|error| refused(format!("{error:#}")))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| refused(format!("{error:#}")))?;
    Ok((resolve, world))
}

/// Writes the bindings of a generator into a folder.
pub(crate) fn generate(mut generator: Box<dyn WorldGenerator>, folder: &Path) -> Result<(), KitError> {
    let (mut resolve, world) = contract()?;
    let mut made = Files::default();
    generator.generate(&mut resolve, world, &mut made).map_err(|error| KitError::Bindings(format!("{error:#}")))?;
    made.iter().try_for_each(|(name, bytes)| files::write(&folder.join(name), bytes))
}
