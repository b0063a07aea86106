//! AssemblyScript: asc compiles, and knows nothing of components. How the contract crosses the boundary is written by hand
//! (`abi.ts`); the functions get the contract's names here, which no function can have in the language.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{ExportSection, Module};
use wit_component::StringEncoding;

use super::schemas::Schemas;
use super::{Template, javascript};
use crate::component::{Adapter, EXPORT};
use crate::project::Project;
use crate::{Component, KitError, Language, files, tool};

pub(super) const TEMPLATE: Template = &[
    ("handler.ts", include_str!("../../templates/assemblyscript/handler.ts")),
    ("tsconfig.json", include_str!("../../templates/assemblyscript/tsconfig.json")),
    ("package.json", include_str!("../../templates/assemblyscript/package.json")),
    ("README.md", include_str!("../../templates/assemblyscript/README.md")),
    (".gitignore", javascript::GITIGNORE),
];

const CONTRACT: &str = include_str!("../../templates/assemblyscript/contract.ts");
const ABI: &str = include_str!("../../templates/assemblyscript/abi.ts");

/// Memory is never taken back, for an instance lives for one call. An exception is a trap without a text, for the text
/// would need an import.
const SMALL: [&str; 5] = ["-O3s", "--runtime", "stub", "--use", "abort="];

pub(super) fn compile(project: &Project) -> Result<Component, KitError> {
    let parts = project.fresh_parts()?;
    files::write(&parts.join("contract.ts"), CONTRACT)?;
    files::write(&parts.join("abi.ts"), ABI)?;
    files::write(&parts.join("schemas.ts"), schemas(project)?)?;
    let mut compiler = javascript::installed("asc", Language::AssemblyScript, project)?;
    compiler.arg("build/abi.ts").args(SMALL).args(["--outFile", "build/core.wasm"]);
    tool::succeed(&mut compiler)?;
    let name = project.name.as_str();
    let module = with_names_of_the_contract(&files::read(&parts.join("core.wasm"))?);
    let module =
        module.map_err(|error| KitError::NotAComponent { name: name.to_owned(), reason: error.to_string() })?;
    Component::encode_bare(name, module, StringEncoding::UTF16, Adapter::Strict)
}

fn schemas(project: &Project) -> Result<String, KitError> {
    let Schemas { payload, output } = Schemas::of(project)?;
    Ok(format!(
        "// Made by the build.\n\nexport const payloadSchema: string = {payload};\nexport const outputSchema: string = {output};\n"
    ))
}

fn with_names_of_the_contract(core_module: &[u8]) -> Result<Vec<u8>, reencode::Error<Infallible>> {
    let mut module = Module::new();
    Renamed.parse_core_module(&mut module, wasmparser::Parser::new(0), core_module)?;
    Ok(module.finish())
}

struct Renamed;

impl Reencode for Renamed {
    type Error = Infallible;

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        let kind = self.export_kind(export.kind)?;
        match export.name {
            function @ ("handle" | "describe") => exports.export(&format!("{EXPORT}#{function}"), kind, export.index),
            other => exports.export(other, kind, export.index),
        };
        Ok(())
    }
}
