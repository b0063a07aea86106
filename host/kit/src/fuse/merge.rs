//! Core modules written as one.
//!
//! In scope: what each index of each part becomes, values that are constant now, the sections of the one module.
//! Out of scope: which parts there are (`linked`).
//!
//! Parts stay in the order of their instances. Only the last of them may run something when it is instantiated: by then
//! all tables and memories are filled, as they are in one module.

use std::collections::HashMap;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, MemorySection, Module, StartSection, TableSection, TagSection, TypeSection,
};
use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef};

use super::FuseError;
use super::linked::{CoreInstance, Item, Linked, of};

/// The kinds of things that have indices of their own and can be imported.
const KINDS: [ExternalKind; 5] =
    [ExternalKind::Func, ExternalKind::Table, ExternalKind::Memory, ExternalKind::Global, ExternalKind::Tag];

/// How far a chain of re-exports is followed: a component has fewer instances.
const CHAIN_MAX: usize = 1_000;

/// A core module of the component.
struct Part<'a> {
    bytes: &'a [u8],
    /// Which instance each module name of its imports is.
    arguments: HashMap<&'a str, u32>,
    imports: Vec<Import<'a>>,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    /// How many it defines of each of `KINDS`.
    n_defined: [u32; 5],
    n_types: u32,
    n_elements: u32,
    n_data: u32,
    /// What it runs when it is instantiated.
    start: Option<u32>,
    /// The globals that it defines: those that never change, by their initial value.
    constants: Vec<Option<wasmparser::ConstExpr<'a>>>,
}

struct Import<'a> {
    module: &'a str,
    name: &'a str,
    kind: ExternalKind,
    /// The type of a function, in its part.
    signature: Option<u32>,
}

/// What an index of a part stands for.
#[derive(Clone, Copy)]
enum Place {
    /// The `index`th of its kind that `part` itself defines.
    Defined {
        part: usize,
        index: u32,
    },
    Outside,
}

/// All parts, and what their indices mean.
struct Parts<'a> {
    /// One for each core instance; `None`: items of other instances under new names.
    all: Vec<Option<Part<'a>>>,
    linked: &'a Linked<'a>,
    /// For each part and each of `KINDS`: the number of those that earlier parts define.
    before: Vec<[u32; 5]>,
}

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

impl<'a> Parts<'a> {
    fn of(linked: &'a Linked<'a>) -> Result<Self, FuseError> {
        let mut parts = Vec::new();
        let (mut before, mut n_so_far) = (Vec::new(), [0; 5]);
        for instance in linked.instances() {
            before.push(n_so_far);
            parts.push(match instance {
                CoreInstance::Bundle(_) => None,
                CoreInstance::Of { module, arguments } => {
                    let part = Part::read(module, arguments)?;
                    n_so_far.iter_mut().zip(part.n_defined).for_each(|(sum, n)| *sum += n);
                    Some(part)
                }
            });
        }
        before.push(n_so_far);
        Ok(Self { all: parts, linked, before })
    }

    fn part(&self, number: usize) -> Result<&Part<'a>, FuseError> {
        let part = self.all.get(number).and_then(Option::as_ref);
        part.ok_or_else(|| FuseError::Missing(format!("instance {number}")))
    }

    /// The index in the one module of what `part` defines as its `index`th.
    fn number(&self, kind: ExternalKind, part: usize, index: u32) -> Result<u32, FuseError> {
        let before = self.before.get(part).and_then(|before| before.get(position(kind)?));
        before.map(|before| before + index).ok_or(FuseError::Unknown("exact types"))
    }

    /// What an instance exports under a name.
    fn export(&self, instance: u32, name: &str, kind: ExternalKind) -> Result<Place, FuseError> {
        let (mut instance, mut name) = (instance, name);
        for _ in 0..CHAIN_MAX {
            let missing = || FuseError::Missing(name.to_owned());
            let (part, index) = match self.linked.instances().get(instance as usize).ok_or_else(missing)? {
                CoreInstance::Bundle(items) => match items.iter().find(|(it, _)| *it == name).ok_or_else(missing)?.1 {
                    Item::Outside => return Ok(Place::Outside),
                    Item::Export { instance: next, name: its_name } => {
                        (instance, name) = (next, its_name);
                        continue;
                    }
                },
                CoreInstance::Of { .. } => {
                    let part = instance as usize;
                    let exported = self.part(part)?.exports.get(name).filter(|exported| exported.0 == kind);
                    (part, exported.ok_or_else(missing)?.1)
                }
            };
            match self.part(part)?.at(kind, index) {
                Ok(index) => return Ok(Place::Defined { part, index }),
                Err(import) => {
                    let import = import.ok_or_else(missing)?;
                    let arguments = &self.part(part)?.arguments;
                    instance = *arguments.get(import.module).ok_or_else(missing)?;
                    name = import.name;
                }
            }
        }
        Err(FuseError::Missing(name.to_owned()))
    }

    /// What index `index` of `part` stands for.
    fn place(&self, part: usize, kind: ExternalKind, index: u32) -> Result<Place, FuseError> {
        match self.part(part)?.at(kind, index) {
            Ok(index) => Ok(Place::Defined { part, index }),
            Err(import) => {
                let import = import.ok_or_else(|| FuseError::Missing(format!("number {index}")))?;
                let instance = self.part(part)?.arguments.get(import.module);
                let instance = instance.ok_or_else(|| FuseError::Missing(import.module.to_owned()))?;
                self.export(*instance, import.name, kind)
            }
        }
    }

    /// What the indices of a part become. Functions from outside become traps of their type, after everything else.
    fn indices(
        &self,
        number: usize,
        part: &Part<'a>,
        first_type: u32,
        traps: &mut Vec<u32>,
    ) -> Result<[Vec<u32>; 5], FuseError> {
        let n_functions = self.before.last().map_or(0, |[functions, ..]| *functions);
        let mut indices = [const { Vec::new() }; 5];
        for (kind, indices) in KINDS.into_iter().zip(&mut indices) {
            for (import, index) in part.imports_of(kind).zip(0..) {
                indices.push(match (self.place(number, kind, index)?, import.signature) {
                    (Place::Defined { part, index }, _) => self.number(kind, part, index)?,
                    (Place::Outside, Some(signature)) => {
                        traps.push(first_type + signature);
                        n_functions + u32::try_from(traps.len() - 1).unwrap_or(u32::MAX)
                    }
                    (Place::Outside, None) => return Err(FuseError::Missing(import.name.to_owned())),
                });
            }
            let n_defined = position(kind).and_then(|kind| part.n_defined.get(kind)).copied().unwrap_or_default();
            for index in 0..n_defined {
                indices.push(self.number(kind, number, index)?);
            }
        }
        Ok(indices)
    }

    /// The value of an expression that depends on nothing but globals that never change. `None` for other expressions,
    /// which have no globals in them.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of operators is WebAssembly's and long")]
    fn constant(
        &self,
        part: usize,
        expression: &wasmparser::ConstExpr<'_>,
        depth: usize,
    ) -> Result<Option<i32>, FuseError> {
        let mut stack = Vec::new();
        let mut has_global = false;
        for operator in expression.get_operators_reader() {
            let operator = operator?;
            has_global |= matches!(operator, Operator::GlobalGet { .. });
            let value = match operator {
                Operator::I32Const { value } => Some(value),
                Operator::GlobalGet { global_index } => self.global(part, global_index, depth)?,
                Operator::I32Add => binary(&mut stack, i32::wrapping_add),
                Operator::I32Sub => binary(&mut stack, i32::wrapping_sub),
                Operator::I32Mul => binary(&mut stack, i32::wrapping_mul),
                Operator::End => continue,
                _ => None,
            };
            match value {
                Some(value) => stack.push(value),
                None if has_global => return Err(FuseError::NotConstant),
                None => return Ok(None),
            }
        }
        Ok(stack.pop())
    }

    fn global(&self, part: usize, index: u32, depth: usize) -> Result<Option<i32>, FuseError> {
        let Place::Defined { part, index } = self.place(part, ExternalKind::Global, index)? else { return Ok(None) };
        let constant = self.part(part)?.constants.get(index as usize).and_then(Option::as_ref);
        match (constant, depth.checked_sub(1)) {
            (Some(expression), Some(depth)) => self.constant(part, expression, depth),
            _ => Ok(None),
        }
    }
}

fn binary(stack: &mut Vec<i32>, apply: fn(i32, i32) -> i32) -> Option<i32> {
    let (right, left) = (stack.pop()?, stack.pop()?);
    Some(apply(left, right))
}

fn position(kind: ExternalKind) -> Option<usize> {
    KINDS.iter().position(|it| *it == kind)
}

impl<'a> Part<'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of payloads is wasmparser's and open")]
    fn read(bytes: &'a [u8], arguments: &[(&'a str, u32)]) -> Result<Self, FuseError> {
        let mut part = Self {
            bytes,
            arguments: arguments.iter().copied().collect(),
            imports: Vec::new(),
            exports: HashMap::new(),
            n_defined: [0; 5],
            n_types: 0,
            n_elements: 0,
            n_data: 0,
            start: None,
            constants: Vec::new(),
        };
        let [functions, tables, memories, globals, tags] = &mut part.n_defined;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        part.n_types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        part.imports.push(Import::of(&import?)?);
                    }
                }
                Payload::FunctionSection(section) => *functions = section.count(),
                Payload::TableSection(section) => *tables = section.count(),
                Payload::MemorySection(section) => *memories = section.count(),
                Payload::TagSection(section) => *tags = section.count(),
                Payload::GlobalSection(section) => {
                    *globals = section.count();
                    for global in section {
                        let global = global?;
                        part.constants.push((!global.ty.mutable).then_some(global.init_expr));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        part.exports.insert(export.name, (export.kind, export.index));
                    }
                }
                Payload::ElementSection(section) => part.n_elements = section.count(),
                Payload::DataSection(section) => part.n_data = section.count(),
                Payload::StartSection { func, .. } => part.start = Some(func),
                _ => {}
            }
        }
        Ok(part)
    }

    fn imports_of(&self, kind: ExternalKind) -> impl Iterator<Item = &Import<'a>> {
        self.imports.iter().filter(move |import| import.kind == kind)
    }

    /// The index among those that it defines; or the import, if it is one.
    fn at(&self, kind: ExternalKind, index: u32) -> Result<u32, Option<&Import<'a>>> {
        let n_imports = u32::try_from(self.imports_of(kind).count()).unwrap_or(u32::MAX);
        index.checked_sub(n_imports).ok_or_else(|| self.imports_of(kind).nth(index as usize))
    }
}

impl<'a> Import<'a> {
    fn of(import: &wasmparser::Import<'a>) -> Result<Self, FuseError> {
        let (kind, signature) = match import.ty {
            TypeRef::Func(signature) => (ExternalKind::Func, Some(signature)),
            TypeRef::Table(_) => (ExternalKind::Table, None),
            TypeRef::Memory(_) => (ExternalKind::Memory, None),
            TypeRef::Global(_) => (ExternalKind::Global, None),
            TypeRef::Tag(_) => (ExternalKind::Tag, None),
            TypeRef::FuncExact(_) => return Err(FuseError::Unknown("functions of exact types")),
        };
        Ok(Self { module: import.module, name: import.name, kind, signature })
    }
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
