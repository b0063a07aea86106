//! Core modules written as one.
//!
//! In scope: the sections of the one module, and every index in them.
//! Out of scope: what an index of a part stands for (`parts`).
//!
//! Parts stay in the order of their instances. Only the last of them may run something when it is instantiated: by then
//! all tables and memories are filled, as they are in one module.

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, MemorySection, Module, StartSection, TableSection, TagSection, TypeSection,
};
use wasmparser::{ExternalKind, Parser, Payload};

use super::FuseError;
use super::linked::{Item, Linked, of};
use super::parts::{CHAIN_MAX, Part, Parts, Place, position};

/// Where the indices of one part begin in the one module, and what its imports became.
struct Renumbering<'p, 'a> {
    parts: &'p Parts<'a>,
    part: usize,
    /// For each of `KINDS`, what the part's indices are now.
    indices: [Vec<u32>; 5],
    first_type: u32,
    first_element: u32,
    first_data: u32,
}

/// The sections of the one module.
#[derive(Default)]
struct Sections {
    types: TypeSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    tags: TagSection,
    globals: GlobalSection,
    exports: ExportSection,
    start: Option<u32>,
    elements: ElementSection,
    code: CodeSection,
    data: DataSection,
}

/// The one module.
pub(super) fn merge(linked: &Linked<'_>) -> Result<Vec<u8>, FuseError> {
    let parts = Parts::of(linked)?;
    let mut sections = Sections::default();
    let mut traps = Vec::new(); // types of functions that stand for what is outside
    let (mut n_types, mut n_elements, mut n_data) = (0, 0, 0);
    for (number, part) in parts.all.iter().enumerate() {
        let Some(part) = part else { continue };
        if sections.start.is_some() {
            return Err(FuseError::Starts); // the part before this one was not the last
        }
        let indices = parts.indices(number, part, n_types, &mut traps)?;
        let mut renumbering = Renumbering {
            parts: &parts,
            part: number,
            indices,
            first_type: n_types,
            first_element: n_elements,
            first_data: n_data,
        };
        sections.add(part, &mut renumbering)?;
        sections.start = part.start.map(|function| renumbering.function_index(function)).transpose()?;
        n_types += part.n_types;
        n_elements += part.n_elements;
        n_data += part.n_data;
    }
    for signature in traps {
        sections.functions.function(signature);
        let mut trap = Function::new([]);
        trap.instructions().unreachable().end();
        sections.code.function(&trap);
    }
    for wanted in linked.wanted()? {
        let Item::Export { instance, name } = wanted.item else { return Err(FuseError::Missing(wanted.name)) };
        let place = parts.export(instance, name, wanted.kind)?;
        let Place::Defined { part, index } = place else { return Err(FuseError::Missing(wanted.name)) };
        let kind = if wanted.kind == ExternalKind::Memory { ExportKind::Memory } else { ExportKind::Func };
        sections.exports.export(&wanted.name, kind, parts.number(wanted.kind, part, index)?);
    }
    Ok(sections.finish(n_data))
}

impl Renumbering<'_, '_> {
    fn index(&self, kind: ExternalKind, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        let indices = position(kind).and_then(|kind| self.indices.get(kind)).map_or(&[][..], Vec::as_slice);
        of(indices, index).map_err(reencode::Error::UserError)
    }
}

impl Reencode for Renumbering<'_, '_> {
    type Error = FuseError;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        self.index(ExternalKind::Func, index)
    }

    fn table_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        self.index(ExternalKind::Table, index)
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        self.index(ExternalKind::Memory, index)
    }

    fn global_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        self.index(ExternalKind::Global, index)
    }

    fn tag_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        self.index(ExternalKind::Tag, index)
    }

    fn type_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        Ok(self.first_type + index)
    }

    fn element_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        Ok(self.first_element + index)
    }

    fn data_index(&mut self, index: u32) -> Result<u32, reencode::Error<FuseError>> {
        Ok(self.first_data + index)
    }

    /// Where a part's share of table and memory begins was a global of another part. Now it is a number, which is also
    /// what makes the content of the table known before anything runs.
    fn const_expr(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<ConstExpr, reencode::Error<FuseError>> {
        let constant = self.parts.constant(self.part, &expression, CHAIN_MAX).map_err(reencode::Error::UserError)?;
        match constant {
            Some(constant) => Ok(ConstExpr::i32_const(constant)),
            None => utils::const_expr(self, expression),
        }
    }
}

impl Sections {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of payloads is wasmparser's and open")]
    fn add(&mut self, part: &Part<'_>, renumbering: &mut Renumbering<'_, '_>) -> Result<(), FuseError> {
        for payload in Parser::new(0).parse_all(part.bytes) {
            match payload? {
                Payload::TypeSection(section) => renumbering.parse_type_section(&mut self.types, section)?,
                Payload::FunctionSection(section) => {
                    renumbering.parse_function_section(&mut self.functions, section)?;
                }
                Payload::TableSection(section) => renumbering.parse_table_section(&mut self.tables, section)?,
                Payload::MemorySection(section) => renumbering.parse_memory_section(&mut self.memories, section)?,
                Payload::TagSection(section) => renumbering.parse_tag_section(&mut self.tags, section)?,
                Payload::GlobalSection(section) => renumbering.parse_global_section(&mut self.globals, section)?,
                Payload::ElementSection(section) => renumbering.parse_element_section(&mut self.elements, section)?,
                Payload::CodeSectionEntry(body) => renumbering.parse_function_body(&mut self.code, body)?,
                Payload::DataSection(section) => renumbering.parse_data_section(&mut self.data, section)?,
                _ => {} // imports and exports are resolved; the rest is for tools
            }
        }
        Ok(())
    }

    fn finish(self, n_data: u32) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types).section(&self.functions).section(&self.tables).section(&self.memories);
        if !self.tags.is_empty() {
            module.section(&self.tags);
        }
        module.section(&self.globals).section(&self.exports);
        if let Some(function_index) = self.start {
            module.section(&StartSection { function_index });
        }
        module.section(&self.elements);
        module.section(&DataCountSection { count: n_data }).section(&self.code).section(&self.data);
        module.finish()
    }
}
